//! Signs of life and the ends of streams, as the settings say (RT-33, RTX-6). Settings count in seconds, and so these
//! tests take some; they wait for nothing but bytes.

use serde_json::{Value as Json, json};
use tungstenite::Message;

use super::listener::Listener;
use super::scene::{collection, create, start};
use crate::harness::{Server, Socket, Stream};

fn set(server: &Server, settings: Json) {
    server.superuser().patch("/api/settings", json!({ "headwater": { "realtime": settings } })).ok();
}

/// A stream without an event shows signs of life, and ends when it has been idle for too long; those with events go on.
#[test]
fn a_quiet_stream_shows_signs_of_life_and_ends_when_it_was_idle_for_too_long() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let mut stream = Stream::subscribed(&guest, &["marks/*"]);
    let mut resuming = Stream::open_at(&guest, "/api/realtime?subscribe=marks/*", &[]);
    let mut socket = Socket::subscribed(&guest, &["marks/*"]);
    let mut busy = Listener::subscribed(&guest, &["posts/*"]);
    // It counts for those who are there.
    set(&server, json!({ "keepAlive": 5, "idleTimeout": 10 }));

    // A change that is none of their business moves the position on.
    let answer = guest.post("/api/collections/posts/records", json!({}));
    let position = answer.header("headwater-seq").unwrap();
    for listener in &mut busy {
        assert_eq!(listener.next().0, position);
    }
    assert_eq!(stream.line().as_deref(), Some(":"));
    assert_eq!([resuming.line(), resuming.line()], [Some(format!("id:{position}")), Some(String::new())]);
    assert!(matches!(socket.message(), Message::Ping(_)));
    assert_eq!(socket.read(), json!({ "type": "position", "seq": position }));

    let post = create(&guest, "posts", json!({}));
    for listener in &mut busy {
        assert_eq!(listener.next().2["record"], post);
    }
    assert_eq!([stream.line(), resuming.line()], [None, None]);
    assert_eq!(socket.frame(), Err(1000));
    let post = create(&guest, "posts", json!({}));
    for listener in &mut busy {
        assert_eq!(listener.next().2["record"], post);
    }
}

/// However busy it is.
#[test]
fn a_stream_ends_when_its_time_is_over() {
    let server = start();
    let guest = server.guest();
    let mut stream = Stream::subscribed(&guest, &["marks/*"]);
    let mut socket = Listener::WebSocket(Socket::subscribed(&guest, &["marks/*"]));
    set(&server, json!({ "keepAlive": 5, "maxLifetime": 10 }));
    assert_eq!(stream.line().as_deref(), Some(":"));
    // An event in between makes it no longer.
    let mark = create(&guest, "marks", json!({}));
    assert_eq!(stream.next().record(), &mark);
    assert_eq!(socket.next().2["record"], mark);
    assert_eq!(stream.line(), None);
    socket.is_over(1000);
    let body = json!({ "clientId": stream.id, "subscriptions": [] });
    guest.post("/api/realtime", body).refused(404);
}
