//! `kill -9` under load: what was acknowledged is there, the file is sound, and the change log is the truth.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::thread;

use rand::RngExt;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde_json::{Map, Value as Json, json};

use crate::harness::{Directory, Server, Session};

const RECORDS: &str = "/api/collections/kept/records";
const WRITERS: usize = 64;

/// How often the server is killed. A release is checked with more.
fn rounds() -> usize {
    std::env::var("HEADWATER_CRASH_ROUNDS").map_or(3, |text| text.parse().expect("HEADWATER_CRASH_ROUNDS is a number"))
}

/// The values that a record may have: one, or two while a write was not answered. None is a record that is not there.
type Known = HashMap<String, Vec<Option<u64>>>;

/// A write that was answered with success.
struct Acknowledged {
    /// `EPOCH:SEQ`
    position: String,
    record: String,
    action: &'static str,
}

#[test]
fn acknowledged_writes_survive_and_the_change_log_tells_them() {
    let mut directory = Directory::fresh();
    let mut known = Known::new();
    let mut acknowledged = Vec::new();
    let mut collection = String::new();
    for round in 0..rounds() {
        let server = Server::open(directory);
        if round == 0 {
            let fields = json!([
                { "name": "n", "type": "number" },
                { "name": "text", "type": "text" },
                { "name": "updated", "type": "autodate", "onCreate": true, "onUpdate": true },
            ]);
            let made = server.collection(json!({ "name": "kept", "fields": fields }));
            collection = made["id"].as_str().unwrap().to_owned();
        }
        compare(&server, &mut known);
        directory = write_until_killed(server, round, &mut known, &mut acknowledged);
        // On a copy: the server shall find the file as it left it.
        let copy = Directory::copy_of(&directory.data());
        check_file(&copy.database(), &collection, &acknowledged);
    }
    compare(&Server::open(directory), &mut known);
}

/// Compares what the server tells with what may be there, and forgets what turned out not to have happened.
fn compare(server: &Server, known: &mut Known) {
    let mut stored = HashMap::new();
    for page in 1.. {
        let list = server.superuser().get(&format!("{RECORDS}?perPage=1000&skipTotal=1&sort=id&page={page}")).ok();
        let items = list["items"].as_array().unwrap();
        stored.extend(items.iter().map(|item| (item["id"].as_str().unwrap().to_owned(), item["n"].as_u64())));
        if items.len() < 1000 {
            break;
        }
    }
    for (record, values) in &mut *known {
        let value = stored.remove(record).flatten();
        assert!(values.contains(&value), "{record} is {value:?}, and should be one of {values:?}");
        *values = vec![value];
    }
    assert!(stored.is_empty(), "nobody wrote these: {stored:?}");
}

/// Lets writers loose, and kills the server after a random number of acknowledged writes.
fn write_until_killed(
    server: Server,
    round: usize,
    known: &mut Known,
    acknowledged: &mut Vec<Acknowledged>,
) -> Directory {
    let kill_after = rand::rng().random_range(1..4000);
    let (told, acknowledgements) = mpsc::channel();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (session, told) = (server.guest().session(), told.clone());
            thread::spawn(move || write(session, format!("{writer:03}{round:04}"), &told))
        })
        .collect();
    drop(told);
    for _ in 0..kill_after {
        acknowledged.push(acknowledgements.recv().expect("the writers go on until the server is killed"));
    }
    let directory = server.kill();
    // Some were on their way when it was killed: they count like all others.
    acknowledged.extend(acknowledgements);
    for writer in writers {
        known.extend(writer.join().unwrap());
    }
    directory
}

/// Creates, changes and deletes records of its own until nobody answers any more.
fn write(mut session: Session, prefix: String, told: &Sender<Acknowledged>) -> Known {
    let mut known = Known::new();
    let mut alive: Vec<String> = Vec::new();
    for number in 0.. {
        let dice = rand::rng().random_range(0..100);
        let (method, action, record) = match alive.len() {
            1.. if dice < 20 => ("DELETE", "delete", alive.swap_remove(rand::rng().random_range(0..alive.len()))),
            1.. if dice < 60 => ("PATCH", "update", alive[rand::rng().random_range(0..alive.len())].clone()),
            _ => ("POST", "create", format!("{prefix}{number:08}")),
        };
        let value = (action != "delete").then_some(number);
        let path = if action == "create" { RECORDS.to_owned() } else { format!("{RECORDS}/{record}") };
        let mut body = json!({ "n": number, "text": "t".repeat(number as usize % 300) });
        if action == "create" {
            body["id"] = json!(record);
        }
        let values = known.entry(record.clone()).or_insert_with(|| vec![None]);
        let Some(answer) = session.send(method, &path, &body) else {
            values.push(value);
            break;
        };
        answer.ok();
        *values = vec![value];
        if action == "create" {
            alive.push(record.clone());
        }
        let position = answer.header("headwater-seq").expect("every write tells its position").to_owned();
        // The one who listens is gone only if the test failed already.
        let _ = told.send(Acknowledged { position, record, action });
    }
    known
}

fn check_file(database: &Path, collection: &str, acknowledged: &[Acknowledged]) {
    let conn = Connection::open(database).unwrap();
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");

    let (count, first, last): (i64, i64, i64) = conn
        .query_row("SELECT count(*), min(seq), max(seq) FROM _hw_changes", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!((first, last), (1, count), "numbers without a hole");

    // Replayed from the first to the last, the log gives the table, and every change begins where the one before ended.
    let mut replayed: BTreeMap<String, Json> = BTreeMap::new();
    let mut changes = HashMap::new();
    let mut statement = conn
        .prepare("SELECT seq, record, action, before, after FROM _hw_changes WHERE collection = ?1 ORDER BY seq")
        .unwrap();
    let mut rows = statement.query([collection]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let seq: i64 = row.get(0).unwrap();
        let (record, action): (String, String) = (row.get(1).unwrap(), row.get(2).unwrap());
        let [before, after] = [3, 4].map(|index| {
            let text: Option<String> = row.get(index).unwrap();
            text.map(|text| plain(serde_json::from_str(&text).unwrap()))
        });
        assert_eq!(replayed.remove(&record), before, "#{seq}");
        if let Some(after) = after {
            replayed.insert(record.clone(), after);
        }
        changes.insert(seq, (record, action));
    }
    let mut statement = conn.prepare("SELECT * FROM kept").unwrap();
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let stored: BTreeMap<String, Json> = statement
        .query_map([], |row| Ok((row.get("id")?, plain(columns_of(row, &columns)))))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(stored == replayed, "the change log does not replay to the table");

    let epoch: String =
        conn.query_row("SELECT value FROM _hw_state WHERE key = 'epoch'", [], |row| row.get(0)).unwrap();
    for Acknowledged { position, record, action } in acknowledged {
        let (at, seq) = position.split_once(':').unwrap();
        let change = changes.get(&seq.parse().unwrap());
        assert_eq!((at, change), (&*epoch, Some(&(record.clone(), (*action).to_owned()))), "{position}");
    }
}

fn columns_of(row: &Row<'_>, columns: &[String]) -> Json {
    let value = |index| match row.get_ref(index).unwrap() {
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) => json!(std::str::from_utf8(text).unwrap()),
        ValueRef::Null | ValueRef::Blob(_) => Json::Null,
    };
    columns.iter().enumerate().map(|(index, name)| (name.clone(), value(index))).collect::<Map<_, _>>().into()
}

/// A number of SQLite is the same whether it is kept as an integer or not.
fn plain(row: Json) -> Json {
    let Json::Object(row) = row else { panic!("not a row: {row}") };
    row.into_iter()
        .map(|(name, value)| (name, value.as_f64().map_or(value.clone(), Json::from)))
        .collect::<Map<_, _>>()
        .into()
}

#[test]
fn batches_survive_whole_or_not_at_all() {
    let mut directory = Directory::fresh();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..rounds() {
        let server = Server::open(directory);
        if round == 0 {
            server.collection(json!({ "name": "halves", "fields": [{ "name": "whole", "type": "text" }] }));
            let batch = json!({ "enabled": true, "maxRequests": 50, "timeout": 10 });
            server.superuser().patch("/api/settings", json!({ "batch": batch })).ok();
        }
        let (told, acknowledgements) = mpsc::channel();
        for writer in 0..8 {
            let (mut session, told) = (server.guest().session(), told.clone());
            // Ends with the connection.
            thread::spawn(move || {
                for number in 0.. {
                    let whole = format!("{round} {writer} {number}");
                    let half = json!({ "method": "POST", "url": "/api/collections/halves/records", "body": { "whole": whole } });
                    let Some(answer) = session.send("POST", "/api/batch", &json!({ "requests": [half, half, half] }))
                    else {
                        break;
                    };
                    answer.ok();
                    let _ = told.send(whole);
                }
            });
        }
        drop(told);
        let kill_after = rand::rng().random_range(1..500);
        acknowledged.extend(acknowledgements.iter().take(kill_after));
        directory = server.kill();
        acknowledged.extend(acknowledgements);

        let copy = Directory::copy_of(&directory.data());
        let conn = Connection::open(copy.database()).unwrap();
        let mut statement = conn.prepare("SELECT whole, count(*) FROM halves GROUP BY whole").unwrap();
        let stored: HashMap<String, i64> =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(stored.values().all(|count| *count == 3), "a part of a batch");
        assert!(acknowledged.iter().all(|whole| stored.contains_key(whole)), "an acknowledged batch is gone");
    }
}
