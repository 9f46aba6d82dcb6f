//! Order, bounds, and writes that do not wait for anybody who listens (DEF-2, DEF-3, DEF-4).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value as Json, json};

use super::scene::{collection, create, id, seq, start};
use crate::harness::Stream;

/// DEF-2, RTX-4: writers side by side, updates one by one.
#[test]
fn updates_arrive_in_the_order_of_their_commits() {
    const UPDATES: usize = 3000;
    let server = start();
    collection(&server, "posts", json!({}));
    collection(&server, "ruled", json!({ "listRule": "n >= 0" }));
    let guest = server.guest();
    let records: Vec<(&str, String)> =
        ["posts", "ruled", "posts"].map(|name| (name, id(&create(&guest, name, json!({ "n": 0 }))).to_owned())).into();
    let mut streams: Vec<Stream> = (0..4).map(|_| Stream::subscribed(&guest, &["posts/*", "ruled/*"])).collect();
    thread::scope(|scope| {
        for (name, record) in &records {
            let mut session = guest.session();
            scope.spawn(move || {
                let path = format!("/api/collections/{name}/records/{record}");
                for n in 1..=UPDATES / 3 {
                    session.send("PATCH", &path, &json!({ "n": n })).expect("an answer").ok();
                }
            });
        }
        for stream in &mut streams {
            let records = &records;
            scope.spawn(move || {
                let mut last = vec![0; records.len()];
                let mut position = 0;
                for _ in 0..UPDATES {
                    let event = stream.next();
                    assert!(seq(&event) > position, "{} after {position}", event.id);
                    position = seq(&event);
                    let place = records.iter().position(|(_, own)| own == id(event.record())).unwrap();
                    last[place] += 1;
                    assert_eq!(event.record()["n"], last[place]);
                }
            });
        }
    });
}

/// DEF-2: thousands of changes in one transaction, and clients that overlap.
#[test]
fn a_large_transaction_arrives_whole_and_in_order() {
    const RECORDS: usize = 3000;
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    thread::scope(|scope| {
        for part in 0..8 {
            let mut session = guest.session();
            scope.spawn(move || {
                for n in (0..RECORDS).filter(|n| n % 8 == part) {
                    session.send("POST", "/api/collections/posts/records", &json!({ "n": n })).expect("an answer").ok();
                }
            });
        }
    });
    let mut one = Stream::subscribed(&guest, &["posts/*"]);
    let mut two = Stream::subscribed(&guest, &["posts/*", "posts"]);
    server.superuser().delete("/api/collections/posts/truncate").ok();
    let mut told: Vec<Json> = Vec::new();
    let mut position = 0;
    for _ in 0..RECORDS {
        let event = one.next();
        assert!(seq(&event) > position && event.action() == "delete");
        position = seq(&event);
        told.push(event.record()["n"].clone());
        // The other one has it twice, next to each other; only the second one says that it has all of it.
        let twins = [two.next(), two.next()];
        assert!(twins.iter().all(|twin| twin.data == event.data), "{twins:?} {event:?}");
        assert_eq!([seq(&twins[0]) + 1, seq(&twins[1])], [position; 2]);
    }
    told.sort_by_key(|n| n.as_u64());
    assert_eq!(told, (0..RECORDS).map(|n| json!(n)).collect::<Vec<_>>());
}

/// DEF-4, RTX-7. What is sent is far more than what the sockets between them can hold.
#[test]
fn a_client_that_does_not_read_is_cut_off_and_holds_nobody_up() {
    const UPDATES: usize = 400;
    let server = start();
    collection(&server, "posts", json!({ "fields": [{ "name": "body", "type": "text", "max": 100_000 }] }));
    let guest = server.guest();
    let record = create(&guest, "posts", json!({}));
    let path = format!("/api/collections/posts/records/{}", id(&record));
    let mut stalled = Stream::subscribed(&guest, &["posts/*"]);
    let mut healthy = Stream::subscribed(&guest, &["posts/*"]);
    let (mut session, body) = (guest.session(), "x".repeat(20_000));
    for n in 1..=UPDATES {
        session.send("PATCH", &path, &json!({ "n": n, "body": body })).expect("an answer").ok();
        // In step with the writer, it never has more before it than one event.
        assert_eq!(healthy.next().record()["n"], n);
    }
    let mut received = 0;
    while let Some(event) = stalled.next_or_end() {
        received += 1;
        assert_eq!(event.record()["n"], received);
    }
    assert!(received < UPDATES);
    stalled.subscribe(&guest, &[]).refused(404);
}

/// DEF-3, RTX-5: while somebody's condition keeps the database busy, writes are answered all the same. A condition that
/// takes too long is not skipped in silence: its stream ends.
#[test]
fn writes_do_not_wait_for_those_who_listen() {
    let server = start();
    collection(&server, "many", json!({}));
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let mut session = guest.session();
    for n in 0..120 {
        session.send("POST", "/api/collections/many/records", &json!({ "n": n })).expect("an answer").ok();
    }
    // Every combination of five records has to be looked at to find that none fits.
    let filter = "@collection.many:a.n ?!= @collection.many:b.n && @collection.many:c.n ?!= @collection.many:d.n \
                  && @collection.many:e.title ?= 'none'";
    let options = json!({ "query": { "filter": filter } }).to_string();
    let topic = format!("posts/*?{}", crate::harness::query(&[("options", &options)]));
    let mut slow = Stream::subscribed(&server.superuser(), &[&topic]);

    let ended = AtomicBool::new(false);
    let answered = thread::scope(|scope| {
        scope.spawn(|| {
            let event = slow.next_or_end();
            ended.store(true, Ordering::SeqCst);
            assert_eq!(event, None);
        });
        let mut answered = 0;
        while !ended.load(Ordering::SeqCst) {
            session.send("POST", "/api/collections/posts/records", &json!({})).expect("an answer").ok();
            answered += 1;
        }
        answered
    });
    // A server that decides before it answers would have answered one at most.
    assert!(answered > 2, "{answered}");
}
