//! The change log keeps what its bounds allow, and no more.

use rusqlite::Connection;
use serde_json::{Value as Json, json};

use crate::harness::{Directory, Server, eventually};

const RECORDS: &str = "/api/collections/notes/records";

fn start() -> Server {
    let server = Server::start();
    server.collection(json!({ "name": "notes", "fields": [{ "name": "text", "type": "text", "max": 100_000 }] }));
    server
}

fn bound(server: &Server, change_log: Json) {
    server.superuser().patch("/api/settings", json!({ "headwater": { "changeLog": change_log } })).ok();
}

/// First and last number, how many there are, and the bytes of their rows.
fn log(directory: &Directory) -> (i64, i64, i64, i64) {
    let sql = "SELECT min(seq), max(seq), count(*), sum(ifnull(length(before), 0) + ifnull(length(after), 0))
               FROM _hw_changes";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    Connection::open(directory.database()).unwrap().query_row(sql, [], row).unwrap()
}

fn seq(position: &str) -> i64 {
    position.split_once(':').unwrap().1.parse().unwrap()
}

#[test]
fn what_is_beyond_the_bound_in_bytes_goes_oldest_first() {
    let server = start();
    let text = "t".repeat(50_000);
    let mut session = server.guest().session();
    let mut write = || {
        let answer = session.send("POST", RECORDS, &json!({ "text": text })).unwrap();
        answer.ok();
        seq(answer.header("headwater-seq").unwrap())
    };
    let count = (0..100).map(|_| write()).last().unwrap();
    assert_eq!(log(server.directory()).2, count, "5 MB are within the default");
    bound(&server, json!({ "maxBytes": 1 << 20 }));
    eventually("pruned", || log(server.directory()).3 <= 1 << 20);
    let (first, last, kept, bytes) = log(server.directory());
    assert_eq!((last, kept), (count, last - first + 1), "the newest, without a hole");
    assert!(bytes > 900_000, "no more than needed: {bytes}");

    // What comes later is counted too, and numbers go on.
    assert_eq!(write(), count + 1);
    let count = (0..50).map(|_| write()).last().unwrap();
    eventually("pruned again", || log(server.directory()).3 <= 1 << 20);
    let server = Server::open(server.kill());
    let answer = server.guest().post(RECORDS, json!({ "text": "x" }));
    assert_eq!(seq(answer.header("headwater-seq").unwrap()), count + 1);
}

#[test]
fn what_is_too_old_goes_and_the_newest_stays_however_old() {
    let server = start();
    for _ in 0..5 {
        server.guest().post(RECORDS, json!({ "text": "x" })).ok();
    }
    let (directory, _) = server.stop();
    let (_, last, ..) = log(&directory);
    let conn = Connection::open(directory.database()).unwrap();
    conn.execute("UPDATE _hw_changes SET time = time - 3600000 WHERE seq <= ?1", [last - 2]).unwrap();
    drop(conn);
    let server = Server::open(directory);
    bound(&server, json!({ "maxAge": 3700 }));
    server.guest().post(RECORDS, json!({ "text": "young" })).ok();
    let (first, newest, ..) = log(server.directory());
    assert_eq!(first, 1, "all are young enough still");
    bound(&server, json!({ "maxAge": 3500 }));
    eventually("pruned", || log(server.directory()).0 == last - 1);
    assert_eq!(log(server.directory()).1, newest);

    let (directory, _) = server.stop();
    let conn = Connection::open(directory.database()).unwrap();
    conn.execute("UPDATE _hw_changes SET time = 0", []).unwrap();
    drop(conn);
    let server = Server::open(directory);
    eventually("pruned", || log(server.directory()).0 == newest);
    assert_eq!(log(server.directory()).2, 1);
    let answer = server.guest().post(RECORDS, json!({ "text": "x" }));
    assert_eq!(seq(answer.header("headwater-seq").unwrap()), newest + 1);
}

#[test]
fn no_password_and_no_key_is_in_it() {
    let server = start();
    let superuser = server.superuser();
    server.collection(json!({ "name": "vaults", "fields": [{ "name": "code", "type": "password" }] }));
    superuser.post("/api/collections/vaults/records", json!({ "code": "1234567890" })).ok();
    let users = "/api/collections/users/records";
    let ann = json!({ "email": "ann@example.com", "password": "1234567890", "passwordConfirm": "1234567890" });
    let ann = superuser.post(users, ann).ok();
    let path = format!("{users}/{}", ann["id"].as_str().unwrap());
    superuser.patch(&path, json!({ "password": "0987654321", "passwordConfirm": "0987654321" })).ok();
    superuser.delete(&path).ok();

    let conn = Connection::open(server.directory().database()).unwrap();
    let sql = "SELECT row FROM (SELECT before AS row FROM _hw_changes UNION ALL SELECT after FROM _hw_changes)
               WHERE row ->> 'tokenKey' IS NOT NULL OR row ->> 'code' IS NOT NULL";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let rows: Vec<Json> = rows.map(|row| serde_json::from_str(&row.unwrap()).unwrap()).collect();
    assert!(rows.len() >= 5, "{rows:?}");
    for row in rows {
        for (column, value) in row.as_object().unwrap() {
            if ["password", "tokenKey", "code"].contains(&column.as_str()) {
                assert_eq!(value, "***", "{row}");
            }
        }
    }
}
