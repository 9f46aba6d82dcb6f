//! Going on where one was: `realtime-beyond.md` §3 and §4.

use std::thread;

use serde_json::{Value as Json, json};

use super::listener::Listener;
use super::scene::{collection, create, delete, id, nothing_came, position, seq, start, update, user};
use crate::harness::{Server, Stream, eventually, query};

/// RTX-9, RTX-20: writers go on while clients come back from all over the past.
#[test]
fn who_comes_back_is_told_everything_once_and_in_order() {
    const WRITES: u64 = 1200;
    let server = start();
    collection(&server, "posts", json!({}));
    collection(&server, "ruled", json!({ "listRule": "n >= 0" }));
    let guest = server.guest();
    let begin = position(&server);
    let (epoch, first) = begin.split_once(':').unwrap();
    let first: u64 = first.parse().unwrap();
    thread::scope(|scope| {
        for writer in 0..4 {
            let mut session = guest.session();
            scope.spawn(move || {
                let path = format!("/api/collections/{}/records", ["posts", "ruled"][writer % 2]);
                for n in 0..WRITES / 4 {
                    session.send("POST", &path, &json!({ "n": n, "title": "x".repeat(200) })).expect("an answer").ok();
                }
            });
        }
        for reader in 0..4 {
            let (guest, server) = (&guest, &server);
            scope.spawn(move || {
                let mut at = first;
                // Comes back again and again; the last time it stays.
                while at < first + WRITES {
                    let since = format!("{epoch}:{at}");
                    let listener = Listener::both(guest, &["posts/*", "ruled/*"], &since);
                    let until = (at + 1 + 97 * (reader + 1)).min(first + WRITES);
                    for mut listener in listener {
                        for expected in at + 1..=until {
                            let (position, topic, _) = listener.next();
                            assert_eq!(position, format!("{epoch}:{expected}"), "{topic}");
                        }
                    }
                    at = until;
                }
                // Nothing came twice: what comes next is new.
                let since = format!("{epoch}:{at}");
                let [Listener::Sse(mut stream), _] = Listener::both(guest, &["posts/*", "marks/*"], &since) else {
                    panic!("the first one is a stream")
                };
                let mark = create(&server.guest(), "marks", json!({ "id": format!("mark{reader:011}") }));
                while stream.next().record() != &mark {}
            });
        }
    });
}

/// RTX-9: across a restart of the server.
#[test]
fn positions_outlive_the_server() {
    let server = start();
    let guest = server.guest();
    let since = position(&server);
    for n in 0..5 {
        create(&guest, "marks", json!({ "id": format!("mark{n:011}") }));
    }
    let (directory, _) = server.stop();
    let server = Server::open(directory);
    for mut listener in Listener::both(&server.guest(), &["marks/*"], &since) {
        for n in 0..5 {
            let (_, topic, data) = listener.next();
            assert_eq!((topic.as_str(), &data["record"]["id"]), ("marks/*", &json!(format!("mark{n:011}"))));
        }
        create(&server.guest(), "marks", json!({}));
        assert_eq!(listener.next().2["action"], "create");
    }
}

/// RTX-10: what is no position of ours is said to be none, and then the stream is live.
#[test]
fn positions_that_we_never_told_are_reset() {
    let server = start();
    create(&server.guest(), "marks", json!({}));
    let now = position(&server);
    let (epoch, seq) = now.split_once(':').unwrap();
    let future = format!("{epoch}:{}", seq.parse::<u64>().unwrap() + 1000);
    for (since, reason) in [("zzzzzzzz:1", "epoch"), (&future, "unknown")] {
        let mut listeners = Listener::both(&server.guest(), &["marks/*"], since);
        for listener in &mut listeners {
            listener.is_reset(reason);
        }
        let mark = create(&server.guest(), "marks", json!({}));
        for listener in &mut listeners {
            assert_eq!(listener.next().2["record"], mark);
        }
    }
    let stream = Stream::open(&server.guest());
    let body = json!({ "clientId": stream.id, "subscriptions": ["marks/*"], "since": "yesterday" });
    let error = server.guest().post("/api/realtime", body).refused(400);
    assert_eq!(error["data"]["since"]["code"], "validation_invalid_position");
}

/// RTX-10: who was away for longer than the log reaches back is told so.
#[test]
fn positions_that_the_log_has_forgotten_are_reset() {
    let server = start();
    collection(&server, "posts", json!({ "fields": [{ "name": "body", "type": "text", "max": 100_000 }] }));
    let superuser = server.superuser();
    superuser.patch("/api/settings", json!({ "headwater": { "changeLog": { "maxBytes": 1 << 20 } } })).ok();
    let state = || superuser.get("/api/realtime/state").ok();
    // Not by a stream: a hub that has seen the changes can tell them from memory.
    let epoch = state()["epoch"].as_str().unwrap().to_owned();
    let (mut session, body) = (server.guest().session(), "x".repeat(50_000));
    for _ in 0..40 {
        session.send("POST", "/api/collections/posts/records", &json!({ "body": body })).expect("an answer").ok();
    }
    eventually("pruned", || state()["oldest"].as_u64().unwrap() > 2);
    let mut listeners = Listener::both(&server.guest(), &["marks/*", "posts/*"], &format!("{epoch}:1"));
    for listener in &mut listeners {
        listener.is_reset("expired");
    }
    let mark = create(&server.guest(), "marks", json!({}));
    for listener in &mut listeners {
        assert_eq!(listener.next().2["record"], mark);
    }
    // The oldest that there is is no reset.
    eventually("nothing more to prune", || {
        let oldest = state()["oldest"].as_u64().unwrap();
        let [mut stream, _] =
            Listener::both(&server.guest(), &["marks/*", "posts/*"], &format!("{epoch}:{}", oldest - 1));
        let (position, name, _) = stream.next();
        name == "posts/*" && position == format!("{epoch}:{oldest}")
    });
}

/// RTX-12: what counts is who may see it now, and what of it.
#[test]
fn a_replay_asks_todays_rules() {
    let server = start();
    let hidden = json!([{ "name": "secret", "type": "text", "hidden": true }, { "name": "owner", "type": "text" }]);
    collection(&server, "posts", json!({ "fields": hidden }));
    let (ann, client) = user(&server, "ann");
    let since = position(&server);
    let post = |title: &str, owner: &str| {
        create(&server.superuser(), "posts", json!({ "title": title, "owner": owner, "secret": "s" }))
    };
    post("others'", "somebody");
    let own = post("own", id(&ann));
    let gone = post("gone", id(&ann));
    delete(&server.superuser(), "posts", id(&gone));
    let rule = json!({ "listRule": "owner = @request.auth.id" });
    server.superuser().patch("/api/collections/posts", rule).ok();
    for mut listener in Listener::both(&client, &["posts/*"], &since) {
        let (_, _, first) = listener.next();
        assert_eq!((&first["action"], &first["record"]["id"]), (&json!("create"), &own["id"]));
        assert_eq!(first["record"].get("secret"), None);
        assert_eq!(listener.next().2["record"]["title"], "gone");
        assert_eq!(listener.next().2["action"], "delete");
    }
    for mut listener in Listener::both(&server.superuser(), &["posts/*"], &since) {
        let (_, _, first) = listener.next();
        assert_eq!((&first["record"]["title"], &first["record"]["secret"]), (&json!("others'"), &json!("s")));
    }
    server.superuser().patch("/api/collections/posts", json!({ "listRule": null })).ok();
    let stream = Stream::open(&client);
    let body = json!({ "clientId": stream.id, "subscriptions": ["posts/*", "marks/*"], "since": since });
    client.post("/api/realtime", body).ok();
    let mut stream = stream;
    nothing_came(&server, &mut stream);
}

/// RTX-12: a change of the fields gives the rows of before another meaning, so they are not told again. Who listens
/// hears nothing of it, and the positions go on.
#[test]
fn what_was_written_for_other_fields_is_not_told_again() {
    type Change = fn(&mut Vec<Json>);
    let changes: [(&str, Change); 4] = [
        ("another name", |fields| {
            fields.iter_mut().find(|field| field["name"] == "secret").unwrap()["name"] = json!("private")
        }),
        ("two names changed places", |fields| {
            for field in fields.iter_mut() {
                match field["name"].as_str() {
                    Some("secret") => field["name"] = json!("private"),
                    Some("private") => field["name"] = json!("secret"),
                    _ => {}
                }
            }
        }),
        ("a new field", |fields| fields.push(json!({ "name": "private", "type": "bool" }))),
        ("several instead of one", |fields| {
            fields.iter_mut().find(|field| field["name"] == "of").unwrap()["maxSelect"] = json!(2);
        }),
    ];
    for (name, change) in changes {
        let mut server = start();
        let superuser = server.superuser();
        let mut fields =
            json!([{ "name": "secret", "type": "bool" }, { "name": "of", "type": "select", "values": ["a", "b"] }]);
        if name == "two names changed places" {
            fields.as_array_mut().unwrap().push(json!({ "name": "private", "type": "bool" }));
        }
        collection(&server, "posts", json!({ "fields": fields, "listRule": null }));
        let mut listening = Listener::Sse(Stream::subscribed(&server.guest(), &["marks/*"]));
        let since = position(&server);
        create(&superuser, "posts", json!({ "title": "not for you", "secret": true }));
        let path = "/api/collections/posts";
        let mut fields = superuser.get(path).ok()["fields"].as_array().unwrap().clone();
        change(&mut fields);
        superuser.patch(path, json!({ "fields": fields })).ok();
        // Zero values would meet it.
        let rule = if name == "several instead of one" { "of:length = 0" } else { "private = false" };
        superuser.patch(path, json!({ "listRule": rule })).ok();
        for round in 0..2 {
            let mut listeners = Listener::both(&server.guest(), &["marks/*", "posts/*"], &since);
            for listener in &mut listeners {
                listener.is_reset("expired");
            }
            let mark = create(&server.guest(), "marks", json!({}));
            for listener in &mut listeners {
                let (position, _, data) = listener.next();
                assert_eq!(data["record"], mark, "{name}, round {round}");
                assert_eq!(position.split_once(':').unwrap().0, since.split_once(':').unwrap().0, "{name}");
            }
            if round == 0 {
                assert_eq!(listening.next().2["record"], mark, "{name}: it listens on");
                server = Server::open(server.stop().0);
            }
        }
    }
}

/// The id of a collection comes from its name: another one may have it later.
#[test]
fn a_new_collection_has_not_the_past_of_one_that_is_gone() {
    let server = start();
    let superuser = server.superuser();
    let gone = collection(&server, "posts", json!({ "listRule": null }));
    let since = position(&server);
    create(&superuser, "posts", json!({ "title": "not for you" }));
    superuser.delete("/api/collections/posts").ok();
    let again = collection(&server, "posts", json!({}));
    assert_eq!(again["id"], gone["id"]);
    for mut listener in Listener::both(&server.guest(), &["marks/*", "posts/*"], &since) {
        listener.is_reset("expired");
    }
}

/// What a collection told before it was deleted is nobody's business any more.
#[test]
fn changes_of_a_collection_that_is_gone_are_passed_over() {
    let server = start();
    collection(&server, "posts", json!({}));
    let since = position(&server);
    create(&server.guest(), "posts", json!({}));
    let mark = create(&server.guest(), "marks", json!({}));
    server.superuser().delete("/api/collections/posts").ok();
    for mut listener in Listener::both(&server.guest(), &["posts/*", "marks/*"], &since) {
        assert_eq!(listener.next().2["record"], mark);
    }
}

/// New topics of an open stream are told what they missed; what it listens to already is not told again.
#[test]
fn topics_that_come_later_have_a_past_of_their_own() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let since = position(&server);
    let mut stream = Stream::subscribed(&guest, &["marks/*"]);
    let mark = create(&guest, "marks", json!({}));
    let post = create(&guest, "posts", json!({}));
    assert_eq!(stream.next().record(), &mark);
    let body = json!({ "clientId": stream.id, "subscriptions": ["marks/*", "posts/*"], "since": since });
    guest.post("/api/realtime", body).ok();
    assert_eq!(stream.next().record(), &post);
    let later = update(&guest, "posts", id(&post), json!({ "n": 1 }));
    assert_eq!(stream.next().record(), &later);
    nothing_came(&server, &mut stream);
}

/// RTX-13: topics in the request for the stream; every `id:` is a position, and `Last-Event-ID` goes on from it.
#[test]
fn a_stream_may_be_subscribed_in_its_request() {
    let server = start();
    collection(&server, "posts", json!({ "listRule": "@request.auth.name = 'ann'" }));
    let (_, ann) = user(&server, "ann");
    let path = |token: &str| {
        let pairs = [("subscribe", "posts/*"), ("subscribe", "marks/*"), ("token", token)];
        format!("/api/realtime?{}", query(&pairs))
    };
    let mut stream = Stream::open_at(&server.guest(), &path(ann.token().unwrap()), &[]);
    assert_eq!(stream.connect.id, stream.connect.data["seq"].as_str().unwrap());
    assert_eq!(stream.id.len(), 40);
    let post = create(&server.guest(), "posts", json!({}));
    let event = stream.next();
    assert_eq!(event.record(), &post);
    drop(stream);

    let missed: Vec<Json> = (0..3).map(|_| create(&server.guest(), "posts", json!({}))).collect();
    let mut stream = Stream::open_at(&ann, &path(""), &[("Last-Event-ID", &event.id)]);
    // Cut off right here it would come back to where it was.
    assert_eq!(stream.connect.id, event.id);
    for (record, place) in missed.iter().zip(1..) {
        let told = stream.next();
        assert_eq!((told.record(), seq(&told)), (record, seq(&event) + place));
    }
    nothing_came(&server, &mut stream);

    let mut guest = Stream::open_at(&server.guest(), &path("no token"), &[("Last-Event-ID", "no position")]);
    let reset = guest.next();
    assert_eq!((reset.name.as_str(), &reset.data["reason"]), ("HW_RESET", &json!("unknown")));
    create(&server.guest(), "posts", json!({}));
    nothing_came(&server, &mut guest);
}

#[test]
fn bad_topics_in_the_request_for_a_stream_are_refused() {
    let server = start();
    let long = format!("/api/realtime?subscribe={}", "x".repeat(2501));
    let error = server.guest().get(&long).refused(400);
    assert_eq!(error["data"]["subscribe"]["0"]["code"], "validation_length_too_long");
    server.guest().get("/api/realtime?subscribe=a%0Ab").refused(400);
}
