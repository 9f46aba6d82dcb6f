//! The worst that a filter within its limits can ask for ends by the time limit of a query, and holds up nobody else.

use std::sync::mpsc;
use std::thread;

use serde_json::json;

use crate::harness::{Client, Directory, Program, Server, eventually, query};

/// Seconds; the rest of the test takes a small part of it.
const TIMEOUT: &str = "10";

/// Items that all belong to one group, so that each leads to all others; and texts of a megabyte that are all alike.
fn start(timeout: &str) -> Server {
    let server = Server::run(&Program::headwater(), Directory::fresh(), &["--queryTimeout", timeout]);
    let groups = server.collection(json!({ "name": "groups", "fields": [] }))["id"].clone();
    let group = json!({ "name": "group", "type": "relation", "collectionId": groups, "maxSelect": 1 });
    server.collection(json!({ "name": "items", "fields": [group, { "name": "n", "type": "number" }] }));
    server.collection(json!({ "name": "texts", "fields": [{ "name": "body", "type": "editor" }] }));
    server.collection(json!({ "name": "notes", "fields": [{ "name": "title", "type": "text" }] }));
    let superuser = server.superuser();
    let numbers =
        |count: u32| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    for sql in [
        "INSERT INTO groups (id) VALUES ('group0000000001')".to_owned(),
        format!(
            "INSERT INTO items (id, \"group\", n) {} SELECT 'item' || (10000000000 + i), 'group0000000001', i FROM n",
            numbers(300)
        ),
        format!(
            "INSERT INTO texts (id, body) {} SELECT 'text' || (10000000000 + i), \
             replace(hex(zeroblob(500000)), '00', 'aa') FROM n",
            numbers(20)
        ),
    ] {
        superuser.post("/api/sql", json!({ "query": sql })).ok();
    }
    server
}

/// A collection, and a filter on it whose answer takes longer than anybody waits.
fn endless() -> Vec<(&'static str, String)> {
    let hops = "group.items_via_group.group.items_via_group.group.items_via_group.n";
    let terms = |term: &dyn Fn(usize) -> String, join: &str| (0..200).map(term).collect::<Vec<_>>().join(join);
    vec![
        // Six hops, there and back: 300 items lead to 300 each time.
        ("items", format!("{hops} ?= -1")),
        ("items", format!("{hops} != 301 && {hops} > 0")),
        // As many terms as there may be, each of which tries every place of each text.
        ("texts", terms(&|i| format!("body~'%ab{i}'"), "||")),
        ("texts", terms(&|i| format!("body!~'a%ab{i}'"), "&&")),
    ]
}

/// Filters that a careless search takes forever for.
fn long_patterns() -> Vec<(&'static str, String)> {
    let pattern = |text: String| ("texts", format!("body ~ '{text}'"));
    vec![
        pattern(format!("%{}b%", "a".repeat(3400))),
        pattern(format!("%{}b", "a%".repeat(1600))),
        pattern(format!("%{}b", "a_%".repeat(1000))),
        pattern("a".repeat(3000) + "b"),
    ]
}

fn search(client: &Client, collection: &str, filter: &str) -> crate::harness::Answer {
    assert!(filter.len() <= 3500, "{}", filter.len());
    client.get(&format!("/api/collections/{collection}/records?{}", query(&[("filter", filter), ("perPage", "1")])))
}

#[test]
fn the_worst_filters_end_by_the_time_limit() {
    let server = start("1");
    let guest = server.guest();
    for (collection, filter) in endless() {
        let error = search(&guest, collection, &filter).refused(400);
        assert_eq!(error["message"], "Something went wrong while processing your request.", "{filter}");
        assert_eq!(error["data"], json!({}));
    }
    for (collection, filter) in long_patterns() {
        let answer = search(&guest, collection, &filter);
        // Or else it was found out in time.
        if answer.status != 400 {
            assert_eq!(answer.ok()["totalItems"], 0, "{filter}");
        }
    }
    assert_eq!(search(&guest, "items", "n = 7").ok()["totalItems"], 1);
}

#[test]
fn the_worst_filters_hold_up_nobody() {
    let server = start(TIMEOUT);
    let (guest, superuser) = (server.guest(), server.superuser());
    let note = guest.post("/api/collections/notes/records", json!({ "title": "a" })).ok()["id"].clone();
    let note = format!("/api/collections/notes/records/{}", note.as_str().unwrap());
    // More than there are cores.
    let endless = endless();
    let slow: Vec<_> = endless.iter().cloned().chain(long_patterns()).collect();
    let (answered, answers) = mpsc::channel();
    thread::scope(|scope| {
        for (collection, filter) in &slow {
            let (guest, answered) = (guest.clone(), answered.clone());
            scope.spawn(move || answered.send(("slow", search(&guest, collection, filter).status)).unwrap());
        }
        // All that will not end by themselves are under way.
        eventually("the slow reads", || {
            let metrics = superuser.get("/api/metrics").text();
            let queue = metrics.lines().find_map(|line| line.strip_prefix("headwater_readers_queue ")).unwrap();
            queue.parse::<usize>().unwrap() >= endless.len()
        });
        for (method, path, body) in [
            ("GET", "/api/health", json!({})),
            ("GET", "/api/collections/notes/records?filter=title~%27a%27", json!({})),
            ("GET", &note, json!({})),
            ("POST", "/api/collections/notes/records", json!({ "title": "b" })),
            ("PATCH", &note, json!({ "title": "c" })),
            ("GET", "/api/collections/items/records?sort=-n&perPage=5", json!({})),
        ] {
            let answer = guest.request(method, path).json(&body).send();
            assert_eq!(answer.status, 200, "{method} {path}");
            answered.send(("quick", answer.status)).unwrap();
        }
    });
    drop(answered);
    let order: Vec<_> = answers.iter().collect();
    let first_refused = order.iter().position(|(_, status)| *status == 400).expect("a slow one");
    let last_quick = order.iter().rposition(|(kind, _)| *kind == "quick").expect("a quick one");
    assert!(last_quick < first_refused, "{order:?}");
    assert!(order.iter().filter(|(_, status)| *status == 400).count() >= endless.len(), "{order:?}");
}
