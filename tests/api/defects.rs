//! Where PocketBase fails and we promise better. Each test is named by the promise.

use std::sync::Barrier;
use std::thread;

use serde_json::{Value as Json, json};

use crate::harness::Server;

fn counters() -> Server {
    let server = Server::start();
    server.collection(json!({
        "name": "counters",
        "fields": [
            { "name": "w", "type": "number" },
            { "name": "a", "type": "text" },
            { "name": "b", "type": "text" },
            { "name": "tags", "type": "select", "values": ["0", "1", "2", "3", "4", "5", "6", "7"], "maxSelect": 8 },
        ],
    }));
    server
}

/// Sends requests of several clients at the same time, and expects each to succeed.
fn at_once(server: &Server, clients: Vec<Vec<(String, Json)>>) {
    let start = Barrier::new(clients.len());
    thread::scope(|scope| {
        for requests in clients {
            let (start, mut session) = (&start, server.guest().session());
            scope.spawn(move || {
                start.wait();
                for (path, body) in requests {
                    session.send("PATCH", &path, &body).expect("an answer").ok();
                }
            });
        }
    });
}

/// DEF-1: PocketBase ends such a race at about half.
#[test]
fn concurrent_increments_all_count() {
    let server = counters();
    let made = server.guest().post("/api/collections/counters/records", json!({})).ok();
    let path = format!("/api/collections/counters/records/{}", made["id"].as_str().unwrap());
    at_once(&server, vec![vec![(path.clone(), json!({ "w+": 1 })); 25]; 8]);
    assert_eq!(server.guest().get(&path).ok()["w"], 200);
}

/// DEF-1: PocketBase writes whole rows, so that one of two concurrent changes may be undone.
#[test]
fn concurrent_changes_of_different_fields_all_stay() {
    let server = counters();
    let made = server.guest().post("/api/collections/counters/records", json!({})).ok();
    let path = format!("/api/collections/counters/records/{}", made["id"].as_str().unwrap());
    for round in 0..60 {
        let value = format!("round {round}");
        let change = |field: &str| vec![(path.clone(), json!({ field: value }))];
        at_once(&server, vec![change("a"), change("b")]);
        let record = server.guest().get(&path).ok();
        assert_eq!((&record["a"], &record["b"]), (&json!(value), &json!(value)));
    }
}

/// DEF-1, with lists.
#[test]
fn concurrently_appended_values_all_stay() {
    let server = counters();
    let made = server.guest().post("/api/collections/counters/records", json!({})).ok();
    let path = format!("/api/collections/counters/records/{}", made["id"].as_str().unwrap());
    let appended = |tag: u32| vec![(path.clone(), json!({ "tags+": tag.to_string() }))];
    at_once(&server, (0..8).map(appended).collect());
    let mut tags: Vec<String> = serde_json::from_value(server.guest().get(&path).ok()["tags"].clone()).unwrap();
    tags.sort_unstable();
    assert_eq!(tags, ["0", "1", "2", "3", "4", "5", "6", "7"]);
}
