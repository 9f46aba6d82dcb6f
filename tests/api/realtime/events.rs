//! Topics and what their events say: `realtime.md` §3 and §4.

use serde_json::{Value as Json, json};

use super::scene::{collection, id, nothing_came, seq, start};
use crate::harness::{Answer, Stream};

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
