//! Topics and what their events say: `realtime.md` §3 and §4.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{collection, create, delete, id, nothing_came, seq, start, update};
use crate::harness::{Answer, Stream, query};

/// RT-3, RT-22, RT-27, RTX-3.
#[test]
fn each_change_is_an_event_of_three_lines_with_its_position() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let mut stream = Stream::subscribed(&guest, &["posts/*"]);

    // The record in an event is written as in an answer, byte by byte.
    let posts = "/api/collections/posts/records";
    let written = |answer: Answer| (answer.ok(), answer.text().trim_end().to_owned());
    let (record, made) = written(guest.post(posts, json!({ "title": "a\nb\u{2028}<é>", "n": 1.50 })));
    let created = stream.next();
    let path = format!("{posts}/{}", id(&record));
    let (_, changed) = written(guest.patch(&path, json!({ "n": 2 })));
    let updated = stream.next();
    guest.patch(&path, json!({})).ok();
    let unchanged = stream.next();
    guest.delete(&path).ok();
    let deleted = stream.next();

    let epoch = stream.connect.data["seq"].as_str().unwrap().split_once(':').unwrap().0.to_owned();
    let events = [("create", &created, &made), ("update", &updated, &changed), ("update", &unchanged, &changed)];
    for (action, event, record) in events.into_iter().chain([("delete", &deleted, &changed)]) {
        let data = format!(r#"{{"record":{record},"action":"{action}"}}"#);
        let lines = [format!("id:{epoch}:{}", seq(event)), "event:posts/*".into(), format!("data:{data}")];
        assert_eq!(event.lines, lines);
    }
    let numbers = [&created, &updated, &unchanged, &deleted].map(seq);
    assert!(numbers.is_sorted() && numbers[3] == numbers[0] + 3, "{numbers:?}");
}

/// RT-22: nothing is told of what did not happen.
#[test]
fn refused_writes_are_no_events() {
    let server = start();
    collection(&server, "posts", json!({ "fields": [{ "name": "must", "type": "text", "required": true }] }));
    let guest = server.guest();
    let mut stream = Stream::subscribed(&guest, &["posts/*", "marks/*"]);
    guest.post("/api/collections/posts/records", json!({ "title": "x" })).refused(400);
    guest.patch("/api/collections/posts/records/none", json!({ "title": "x" })).refused(404);
    nothing_came(&server, &mut stream);
}

/// RT-11, RT-12, RT-13, RT-14, RT-39.
#[test]
fn every_subscription_that_matches_gets_the_event_under_its_own_text() {
    let server = start();
    let posts = collection(&server, "posts", json!({}));
    let guest = server.guest();
    let one = create(&guest, "posts", json!({}));
    let other = create(&guest, "posts", json!({}));
    let (one, other, by_id) = (id(&one), id(&other), id(&posts));
    let options = format!("posts/*?{}", query(&[("options", r#"{"query":{"x":"1"}}"#)]));
    let matching: Vec<String> = vec![
        "posts".into(),
        "posts/*".into(),
        by_id.into(),
        format!("{by_id}/*"),
        format!("posts/{one}"),
        format!("{by_id}/{one}"),
        format!("posts/{one}?a=b"),
        "posts?".into(),
        options,
    ];
    let silent = [
        "Posts/*".into(),
        "posts/* ".into(),
        " posts/*".into(),
        "*".into(),
        format!("posts/{other}"),
        format!("posts/{one}x"),
        "posts/".into(),
        "none/*".into(),
        "PB_CONNECT".into(),
        "marks/*".into(),
    ];
    let topics: Vec<&str> = matching.iter().chain(&silent).map(String::as_str).collect();
    let mut stream = Stream::subscribed(&guest, &topics);
    update(&guest, "posts", one, json!({ "n": 1 }));
    let names: BTreeSet<String> = matching.iter().map(|_| stream.next().name).collect();
    assert_eq!(names, matching.into_iter().collect());
    nothing_came(&server, &mut stream);
}

/// RT-32.
#[test]
fn a_renamed_collection_is_heard_by_its_new_name_and_by_its_id() {
    let server = start();
    let posts = collection(&server, "posts", json!({}));
    let by_id = format!("{}/*", id(&posts));
    let guest = server.guest();
    let mut stream = Stream::subscribed(&guest, &["posts/*", "articles/*", &by_id]);
    server.superuser().patch("/api/collections/posts", json!({ "name": "articles" })).ok();
    create(&guest, "articles", json!({}));
    let names: BTreeSet<String> = [stream.next().name, stream.next().name].into();
    assert_eq!(names, [by_id, "articles/*".into()].into());
    stream.subscribe(&guest, &["posts/*", "marks/*"]).ok();
    create(&guest, "articles", json!({}));
    nothing_came(&server, &mut stream);
}

/// RT-25.
#[test]
fn a_cascade_is_told_record_by_record() {
    let server = start();
    let parents = collection(&server, "parents", json!({}));
    let relation = |name: &str, cascade: bool| json!({ "name": name, "type": "relation", "collectionId": parents["id"], "cascadeDelete": cascade, "maxSelect": 1 });
    collection(&server, "bound", json!({ "fields": [relation("parent", true)] }));
    collection(&server, "loose", json!({ "fields": [relation("parent", false)] }));
    let guest = server.guest();
    let parent = create(&guest, "parents", json!({}));
    let bound = create(&guest, "bound", json!({ "parent": parent["id"] }));
    let loose = create(&guest, "loose", json!({ "parent": parent["id"] }));

    let mut stream = Stream::subscribed(&guest, &["parents/*", "bound/*", "loose/*", "marks/*"]);
    delete(&guest, "parents", id(&parent));
    let mut events: Vec<_> = (0..3).map(|_| stream.next()).collect();
    assert!(events.is_sorted_by_key(seq));
    events.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!((events[0].action(), events[0].record()), ("delete", &bound));
    assert_eq!((events[1].action(), &events[1].record()["parent"]), ("update", &json!("")));
    assert_eq!(events[1].record()["id"], loose["id"]);
    assert_eq!((events[2].action(), events[2].record()), ("delete", &parent));
    nothing_came(&server, &mut stream);
}

/// RT-26.
#[test]
fn a_truncation_is_told_record_by_record_and_the_end_of_a_collection_is_not() {
    let server = start();
    collection(&server, "posts", json!({}));
    server.collection(json!({ "name": "titles", "type": "view", "viewQuery": "select id, title from posts" }));
    let guest = server.guest();
    let made: BTreeSet<String> = (0..5).map(|n| id(&create(&guest, "posts", json!({ "n": n }))).to_owned()).collect();

    let mut stream = Stream::subscribed(&guest, &["posts/*", "titles/*", "marks/*"]);
    server.superuser().delete("/api/collections/posts/truncate").ok();
    let told: Vec<_> = made.iter().map(|_| stream.next()).collect();
    assert!(told.iter().all(|event| event.action() == "delete" && event.name == "posts/*"));
    assert_eq!(told.iter().map(|event| id(event.record()).to_owned()).collect::<BTreeSet<_>>(), made);

    create(&guest, "posts", json!({}));
    assert_eq!(stream.next().name, "posts/*");
    server.superuser().delete("/api/collections/titles").ok();
    server.superuser().delete("/api/collections/posts").ok();
    nothing_came(&server, &mut stream);
}

/// RT-23.
#[test]
fn a_batch_is_told_write_by_write_and_a_failed_one_not_at_all() {
    let server = start();
    collection(&server, "posts", json!({}));
    server.superuser().patch("/api/settings", json!({ "batch": { "enabled": true, "maxRequests": 50 } })).ok();
    let guest = server.guest();
    let mut stream = Stream::subscribed(&guest, &["posts/*", "marks/*"]);
    let url = "/api/collections/posts/records";
    let writes: Vec<Json> = (0..20).map(|n| json!({ "method": "POST", "url": url, "body": { "n": n } })).collect();
    guest.post("/api/batch", json!({ "requests": writes })).ok();
    for n in 0..20 {
        assert_eq!(stream.next().record()["n"], n);
    }
    let mut failing = writes;
    failing.push(json!({ "method": "PATCH", "url": format!("{url}/none"), "body": {} }));
    guest.post("/api/batch", json!({ "requests": failing })).refused(400);
    nothing_came(&server, &mut stream);
}
