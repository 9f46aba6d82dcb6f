//! Clients that listen while another program writes the file (RTX-2).

use serde_json::json;

use super::listener::Listener;
use super::scene::{collection, create, id, start, user};
use crate::epochs::run;
use crate::harness::Stream;

/// Guests are told to read anew, and listen on. Who listens as somebody may be nobody by now: the stream ends, and what
/// the other program took away is gone.
#[test]
fn what_another_program_took_away_nobody_hears() {
    let server = start();
    collection(&server, "private", json!({ "listRule": "@request.auth.id != ''" }));
    let (record, ann) = user(&server, "ann");
    let (_, bob) = user(&server, "bob");
    let topics = ["marks/*", "private/*"];
    let mut guests = Listener::subscribed(&server.guest(), &topics);
    let mut somebodies = [Listener::subscribed(&ann, &topics), Listener::subscribed(&bob, &topics)];
    let superuser = server.superuser();
    let seen = create(&superuser, "private", json!({}));
    for listener in somebodies.iter_mut().flatten() {
        assert_eq!(listener.next().2["record"], seen);
    }

    run(&server.directory().database(), &format!("DELETE FROM users WHERE id = '{}'", id(&record)));
    // Nobody has noticed yet: it is seen before this is told to anybody.
    create(&superuser, "private", json!({}));
    let mark = create(&server.guest(), "marks", json!({}));
    for listener in &mut guests {
        listener.is_reset("epoch");
        let (_, topic, data) = listener.next();
        assert_eq!((topic.as_str(), &data["record"]), ("marks/*", &mark));
    }
    for listener in somebodies.iter_mut().flatten() {
        listener.is_reset("epoch");
        listener.is_over(4009);
    }
    let gone = json!({ "clientId": somebodies[0][0].id(), "subscriptions": topics });
    ann.post("/api/realtime", gone).refused(404);

    // They come back: one is nobody, the other one is still who he was.
    let mut nobody = Listener::subscribed(&ann, &topics);
    let mut bobs = Listener::subscribed(&bob, &topics);
    let seen = create(&superuser, "private", json!({}));
    let mark = create(&server.guest(), "marks", json!({}));
    for listener in &mut bobs {
        assert_eq!(listener.next().2["record"], seen);
        assert_eq!(listener.next().2["record"], mark);
    }
    for listener in nobody.iter_mut().chain(&mut guests) {
        assert_eq!(listener.next().2["record"], mark);
    }
}

/// Nobody has to write through us for it to be noticed.
#[test]
fn another_programs_write_is_told_by_itself() {
    let server = start();
    let mut stream = Listener::Sse(Stream::subscribed(&server.guest(), &["marks/*"]));
    run(&server.directory().database(), "INSERT INTO marks (id) VALUES ('foreign00000001')");
    stream.is_reset("epoch");
}
