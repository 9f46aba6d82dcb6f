//! Epochs: positions count as long as every change of the file passed through the server, and not a moment longer.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value as Json, json};

use crate::harness::{Directory, Server, eventually};

const RECORDS: &str = "/api/collections/notes/records";
const NOTE: &str = "/api/collections/notes/records/note00000000001";

fn start() -> Server {
    let server = Server::start();
    server.collection(json!({ "name": "notes", "fields": [{ "name": "text", "type": "text" }] }));
    server.guest().post(RECORDS, json!({ "id": "note00000000001", "text": "first" })).ok();
    server
}

/// The epoch and the number of a write.
fn write(server: &Server) -> (String, u64) {
    let answer = server.guest().post(RECORDS, json!({ "text": "x" }));
    answer.ok();
    let (epoch, seq) = answer.header("headwater-seq").unwrap().split_once(':').unwrap();
    (epoch.to_owned(), seq.parse().unwrap())
}

/// Another program, for as long as it takes.
pub(crate) fn run(database: &Path, sql: &str) {
    let conn = Connection::open(database).unwrap();
    conn.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    conn.execute_batch(sql).unwrap();
}

#[test]
fn an_epoch_lives_over_stops_and_kills() {
    let mut server = start();
    let (epoch, mut seq) = write(&server);
    for round in 0..6 {
        let directory = match round {
            // Once before it wrote anything, too.
            0 | 2 | 3 => server.kill(),
            _ => server.stop().0,
        };
        server = Server::open(directory);
        if round != 2 {
            let next = write(&server);
            assert_eq!(next, (epoch.clone(), seq + 1), "round {round}");
            seq = next.1;
        }
    }
}

#[test]
fn reading_copying_and_checkpoints_end_no_epoch() {
    let server = start();
    let (epoch, seq) = write(&server);
    let look = "SELECT * FROM notes; PRAGMA wal_checkpoint(PASSIVE); PRAGMA wal_checkpoint(TRUNCATE)";
    run(&server.directory().database(), look);
    assert_eq!(write(&server), (epoch.clone(), seq + 1));
    run(&server.directory().database(), look);
    assert_eq!(write(&server), (epoch.clone(), seq + 2));
    let (directory, _) = server.stop();
    run(&directory.database(), "SELECT * FROM notes; PRAGMA integrity_check");
    fs::copy(directory.database(), directory.data().join("copy.db")).unwrap();
    let server = Server::open(directory);
    assert_eq!(write(&server), (epoch, seq + 3));
}

#[test]
fn what_another_program_writes_is_seen_at_once_and_ends_the_epoch() {
    let server = start();
    let (epoch, seq) = write(&server);
    run(&server.directory().database(), "UPDATE notes SET text = 'foreign' WHERE id = 'note00000000001'");
    assert_eq!(server.guest().get(NOTE).ok()["text"], "foreign");
    let (next, number) = write(&server);
    assert_ne!(next, epoch);
    assert_eq!(number, seq + 1);
    assert_eq!(write(&server), (next.clone(), seq + 2), "once");
    // The file has it too.
    let server = Server::open(server.kill());
    assert_eq!(write(&server), (next, seq + 3));
}

#[test]
fn what_is_kept_in_memory_follows_another_program() {
    let server = start();
    let superuser = server.superuser();
    let user = json!({ "email": "ann@example.com", "password": "1234567890", "passwordConfirm": "1234567890" });
    superuser.post("/api/collections/users/records", user).ok();
    let ann = server.login("users", "ann@example.com", "1234567890");
    let refresh = "/api/collections/users/auth-refresh";
    ann.post(refresh, json!({})).ok();
    let database = server.directory().database();

    // Nobody writes here: it is noticed all the same.
    run(&database, "UPDATE _collections SET listRule = NULL WHERE name = 'notes'");
    eventually("another rule", || server.guest().get(RECORDS).status == 403);
    run(
        &database,
        r#"ALTER TABLE notes RENAME COLUMN text TO words;
           UPDATE _collections SET fields = replace(fields, '"name":"text"', '"name":"words"') WHERE name = 'notes'"#,
    );
    eventually("another field", || server.guest().get(NOTE).ok()["words"] == "first");
    run(&database, "UPDATE users SET tokenKey = 'another key that is long enough to be one'");
    eventually("another key", || ann.post(refresh, json!({})).status == 401);
    superuser.patch("/api/settings", json!({ "meta": { "appName": "Ours" } })).ok();
    superuser.patch("/api/settings", json!({ "headwater": { "realtime": { "keepAlive": 30 } } })).ok();
    run(
        &database,
        "UPDATE _params SET value = json_set(value, '$.meta.appName', 'Theirs') WHERE id = 'settings';
         UPDATE _hw_state SET value = json_set(value, '$.realtime.keepAlive', 31) WHERE key = 'settings'",
    );
    eventually("other settings", || {
        let settings = superuser.get("/api/settings").ok();
        settings["meta"]["appName"] == "Theirs" && settings["headwater"]["realtime"]["keepAlive"] == 31
    });

    // Collections that cannot be read stay as they are known; logins follow all the same.
    let ann = server.login("users", "ann@example.com", "1234567890");
    ann.post(refresh, json!({})).ok();
    run(
        &database,
        "BEGIN; UPDATE _collections SET fields = 'broken' WHERE name = 'notes';
         UPDATE users SET tokenKey = 'a third key that is long enough to be one too'; COMMIT",
    );
    eventually("a third key", || ann.post(refresh, json!({})).status == 401);
    assert_eq!(server.guest().get(NOTE).ok()["words"], "first");
}

#[test]
fn sql_of_superusers_ends_the_epoch_if_it_writes() {
    let server = start();
    let (epoch, seq) = write(&server);
    let console = |query: &str| server.superuser().post("/api/sql", json!({ "query": query })).ok();
    console("SELECT * FROM notes");
    assert_eq!(write(&server), (epoch.clone(), seq + 1));
    console("UPDATE notes SET text = 'typed'");
    let (next, number) = write(&server);
    assert_ne!(next, epoch);
    assert_eq!(number, seq + 2);
}

/// What may happen to a directory while no server runs on it: given the files as they were some changes before.
type Event = fn(&Directory, backup: &Path);

#[test]
fn what_happens_to_the_file_while_the_server_is_stopped_ends_the_epoch() {
    let restore = |directory: &Directory, backup: &Path| {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", directory.database().display()));
        }
        fs::copy(backup, directory.database()).unwrap();
    };
    let cases: [(&str, Event); 6] = [
        ("a row changed", |directory, _| run(&directory.database(), "UPDATE notes SET text = 'foreign'")),
        ("the log reset", |directory, _| run(&directory.database(), "DELETE FROM _hw_changes")),
        ("a table dropped", |directory, _| run(&directory.database(), "DROP TABLE _hw_state")),
        ("a backup in its place", restore),
        ("a backup moved into its place", |directory, backup| fs::rename(backup, directory.database()).unwrap()),
        ("a directory without a seal", |directory, _| {
            fs::remove_file(directory.data().join(".headwater.seal")).unwrap();
        }),
    ];
    for (name, happen) in cases {
        for killed in [false, true] {
            // A backup that is moved leaves a write-ahead log which is not its own: nobody can make sense of that.
            if killed && name.contains("moved") {
                continue;
            }
            let (directory, _) = start().stop();
            let backup = directory.data().join("backup.db");
            fs::copy(directory.database(), &backup).unwrap();
            let server = Server::open(directory);
            let (epoch, _) = write(&server);
            let directory = if killed { server.kill() } else { server.stop().0 };
            happen(&directory, &backup);
            let server = Server::open(directory);
            let (next, seq) = write(&server);
            assert_ne!(next, epoch, "{name}, killed: {killed}");
            assert_eq!(write(&server), (next.clone(), seq + 1), "{name}");
            let server = Server::open(server.kill());
            assert_eq!(write(&server), (next, seq + 2), "{name}");
        }
    }
}

#[test]
fn a_copy_of_the_directory_goes_its_own_way() {
    let server = start();
    let (epoch, _) = write(&server);
    let (directory, _) = server.stop();
    let copy = Server::open(Directory::copy_of(&directory.data()));
    let (other, _) = write(&copy);
    assert_ne!(other, epoch);
    let server = Server::open(directory);
    assert_eq!(write(&server).0, epoch);
    let _: Json = server.guest().get(NOTE).ok();
}
