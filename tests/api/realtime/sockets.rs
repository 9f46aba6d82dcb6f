//! WebSockets: `realtime-beyond.md` §5 (RTX-14, RTX-20).

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value as Json, json};
use tungstenite::Message;

use super::scene::{collection, create, id, start, update, user};
use crate::harness::{Directory, PATIENCE, Program, Server, Socket};

/// The next message is about a new record of `marks`: nothing came before it.
#[track_caller]
fn nothing_came(server: &Server, socket: &mut Socket) {
    let mark = create(&server.guest(), "marks", json!({}));
    let message = socket.next();
    assert_eq!((&message["topic"], &message["record"]["id"]), (&json!("marks/*"), &mark["id"]), "{message}");
}

#[test]
fn a_socket_tells_its_client_and_the_position() {
    let server = start();
    let socket = Socket::open(&server.guest());
    assert_eq!(socket.connect["type"], "connect");
    assert_eq!(socket.connect["clientId"].as_str().map(str::len), Some(40));
    assert!(socket.connect["seq"].as_str().is_some_and(|seq| seq.contains(':')));
}

/// The set is replaced, extended and reduced; each answer says from where it counts.
#[test]
fn topics_are_set_added_and_removed() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let mut socket = Socket::subscribed(&guest, &["posts/*"]);
    let answer = socket.ask(json!({ "type": "subscribe", "topics": ["marks/*", "posts/*"] }));
    assert_eq!(
        answer["seq"].as_str().unwrap().split(':').next(),
        socket.connect["seq"].as_str().unwrap().split(':').next()
    );
    let post = create(&guest, "posts", json!({ "n": 1 }));
    let event = socket.next();
    assert_eq!(
        (&event["type"], &event["topic"], &event["action"]),
        (&json!("event"), &json!("posts/*"), &json!("create"))
    );
    assert_eq!(event["record"], post);
    let keys: Vec<&String> = event.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    nothing_came(&server, &mut socket);

    socket.ask(json!({ "type": "unsubscribe", "topics": ["posts/*", "none"] }));
    update(&guest, "posts", id(&post), json!({ "n": 2 }));
    nothing_came(&server, &mut socket);
    socket.ask(json!({ "subscriptions": ["posts/*"] }));
    create(&guest, "marks", json!({}));
    let post = update(&guest, "posts", id(&post), json!({ "n": 3 }));
    assert_eq!(socket.next()["record"], post);
    socket.ask(json!({}));
    update(&guest, "posts", id(&post), json!({ "n": 4 }));
    socket.ask(json!({ "subscriptions": ["marks/*"] }));
    nothing_came(&server, &mut socket);
}

/// Another token without another connection; what it may no longer see stops at once.
#[test]
fn a_socket_may_change_hands() {
    let server = start();
    collection(&server, "private", json!({ "listRule": "@request.auth.name = 'ann'" }));
    let (_, ann) = user(&server, "ann");
    let (_, bob) = user(&server, "bob");
    let mut socket = Socket::open(&server.guest());
    socket.ask(json!({ "subscriptions": ["private/*", "marks/*"] }));
    create(&server.guest(), "private", json!({}));
    nothing_came(&server, &mut socket);

    socket.ask(json!({ "type": "auth", "token": ann.token() }));
    let seen = create(&server.guest(), "private", json!({}));
    assert_eq!(socket.next()["record"], seen);
    // A set by somebody else is refused, as from another connection.
    let refused = socket.request(json!({ "subscriptions": ["marks/*"], "token": bob.token() }));
    assert_eq!((&refused["status"], &refused["type"]), (&json!(403), &json!("error")));
    let refused = socket.request(json!({ "type": "auth", "token": "none" }));
    assert_eq!(refused["status"], 401);
    let seen = create(&server.guest(), "private", json!({}));
    assert_eq!(socket.next()["record"], seen);

    for token in [bob.token(), None] {
        socket.ask(json!({ "type": "auth", "token": token }));
        create(&server.guest(), "private", json!({}));
        nothing_came(&server, &mut socket);
    }
}

/// Who opens it may say who it is: by a header, or where there are none by the query.
#[test]
fn a_socket_may_begin_with_a_token() {
    let server = start();
    collection(&server, "private", json!({ "listRule": "@request.auth.name = 'ann'" }));
    let (_, ann) = user(&server, "ann");
    let token = ann.token().unwrap();
    let query = format!("/api/realtime?token={token}");
    for (path, headers) in [("/api/realtime", vec![("authorization", token)]), (&query, vec![])] {
        let mut socket = Socket::open_at(&server.guest(), path, &headers).unwrap();
        socket.ask(json!({ "subscriptions": ["private/*"] }));
        let seen = create(&server.guest(), "private", json!({}));
        assert_eq!(socket.next()["record"], seen);
    }
}

/// A token that lost its key is nobody's, also for the next message of the same socket.
#[test]
fn whose_key_changed_is_a_guest_for_good() {
    let server = start();
    collection(&server, "private", json!({ "listRule": "@request.auth.name = 'ann'" }));
    let (record, ann) = user(&server, "ann");
    let mut socket = Socket::subscribed(&ann, &["private/*", "marks/*"]);
    let password = json!({ "password": "another one", "passwordConfirm": "another one" });
    update(&server.superuser(), "users", id(&record), password);
    socket.ask(json!({ "type": "subscribe", "topics": ["private"] }));
    create(&server.guest(), "private", json!({}));
    nothing_came(&server, &mut socket);
}

/// Errors are answered, and the socket goes on.
#[test]
fn what_cannot_be_understood_is_answered_with_an_error() {
    let server = start();
    let mut socket = Socket::open(&server.guest());
    let cases = [
        (json!({ "type": "dance" }), "type"),
        (json!({ "type": "subscribe" }), "topics"),
        (json!({ "type": "auth" }), "token"),
        (json!({ "subscriptions": [], "since": "yesterday" }), "since"),
        (json!({ "subscriptions": ["a\nb"] }), "subscriptions"),
        (json!({ "type": "subscribe", "topics": vec!["x"; 1001] }), "topics"),
    ];
    for (message, field) in cases {
        let answer = socket.request(message.clone());
        assert_eq!((&answer["type"], &answer["status"]), (&json!("error"), &json!(400)), "{message}");
        assert!(answer["data"].get(field).is_some(), "{answer}");
    }
    assert_eq!(socket.request(json!({ "subscriptions": 7 }))["status"], 400);
    assert_eq!(socket.request(json!({ "clientId": "x", "subscriptions": [] }))["status"], 404);
    for text in ["no JSON", "[1]", "7", "", "\u{0}"] {
        socket.send(text);
        let answer = socket.read();
        assert_eq!((&answer["type"], &answer["id"], &answer["status"]), (&json!("error"), &Json::Null, &json!(400)));
    }
    // Together with those that it has.
    let many = |from: usize| (from..from + 600).map(|n| format!("t{n}")).collect::<Vec<_>>();
    socket.ask(json!({ "type": "subscribe", "topics": many(0) }));
    let answer = socket.request(json!({ "type": "subscribe", "topics": many(600) }));
    assert_eq!(answer["data"]["topics"]["code"], "validation_length_too_long");
    socket.ask(json!({ "subscriptions": ["marks/*"] }));
    nothing_came(&server, &mut socket);
}

/// Pings are answered, messages may come in parts; what is no message of ours closes the socket with the code for it.
#[test]
fn the_protocol_is_kept() {
    let server = start();
    let mut socket = Socket::subscribed(&server.guest(), &["marks/*"]);
    socket.write(Message::Ping("are you there".into()));
    assert_eq!(socket.frame(), Ok("pong are you there".into()));
    nothing_came(&server, &mut socket);

    socket.write(Message::Text(format!(r#"{{"type":"subscribe","topics":["{}"]}}"#, "x".repeat(65_600)).into()));
    assert_eq!(socket.frame(), Err(1009));
    let mut socket = Socket::open(&server.guest());
    socket.write(Message::Binary(vec![1, 2, 3].into()));
    assert_eq!(socket.frame(), Err(1003));
    let mut socket = Socket::open(&server.guest());
    socket.write(Message::Close(None));
    assert_eq!(socket.frame(), Err(1000));
    let mut socket = Socket::open(&server.guest());
    server.stop();
    assert_eq!(socket.frame(), Err(1012));
}

/// Bytes that no client sends by mistake.
#[test]
fn frames_that_break_the_protocol_close_the_socket() {
    let server = start();
    // Not masked; a reserved kind; a continuation of nothing.
    for bytes in [&b"\x81\x02{}"[..], b"\x83\x80\0\0\0\0", b"\x80\x80\0\0\0\0"] {
        let mut socket = Socket::open(&server.guest());
        let mut stream = socket.stream();
        stream.write_all(bytes).unwrap();
        let closed = socket.frame();
        assert!(matches!(closed, Err(1002 | 1003 | 1006)), "{bytes:?} {closed:?}");
    }
    server.guest().get("/api/health").ok();
}

/// Pages of other origins may not open one, if the operator says so.
#[test]
fn origins_are_checked() {
    let server = Server::run(&Program::headwater(), Directory::fresh(), &["--origins", "https://*.example.com"]);
    let open = |origin: &str| Socket::open_at(&server.guest(), "/api/realtime", &[("origin", origin)]).map(drop);
    assert_eq!(open("https://app.example.com"), Ok(()));
    assert_eq!(open("https://example.org"), Err(403));
    // Programs have none.
    Socket::open(&server.guest());
}

/// What is no handshake is no socket.
#[test]
fn half_a_handshake_is_refused() {
    let server = start();
    let guest = server.guest();
    let request = |headers: &[(&str, &str)]| {
        let mut request = guest.request("GET", "/api/realtime").header("Upgrade", "websocket");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().status
    };
    assert_eq!(request(&[]), 400);
    assert_eq!(request(&[("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]), 400);
}

/// RT-8: a socket's topics may be set by a request too, from the address that opened it.
#[test]
fn only_the_address_that_opened_a_socket_sets_its_topics() {
    let server = start();
    let guest = server.guest();
    let proxy = json!({ "trustedProxy": { "headers": ["X-Forwarded-For"], "useLeftmostIP": false } });
    server.superuser().patch("/api/settings", proxy).ok();
    let mut socket = Socket::open_at(&guest, "/api/realtime", &[("x-forwarded-for", "10.0.0.1")]).unwrap();
    let body = json!({ "clientId": socket.connect["clientId"], "subscriptions": ["marks/*"] });
    let post = |from: &str| guest.request("POST", "/api/realtime").header("X-Forwarded-For", from).json(&body).send();
    assert_eq!(post("10.0.0.2").refused(400)["message"], "Invalid realtime client.");
    assert_eq!(guest.post("/api/realtime", body.clone()).refused(400)["message"], "Invalid realtime client.");
    post("10.0.0.9, 10.0.0.1").ok();
    nothing_came(&server, &mut socket);
    // Its own messages come from where it is.
    socket.ask(json!({ "subscriptions": [] }));
    create(&guest, "marks", json!({}));
    socket.ask(json!({ "clientId": socket.connect["clientId"].clone(), "subscriptions": ["marks/*"] }));
    nothing_came(&server, &mut socket);
}

/// RT-40.
#[test]
fn only_a_get_opens_a_socket() {
    let server = start();
    let status = |method: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(format!("{method} /api/realtime HTTP/1.1\r\n{head}").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).unwrap()
    };
    let answers = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"].map(|method| (method, status(method)));
    let expected = [("GET", 101), ("HEAD", 200), ("OPTIONS", 204), ("POST", 400), ("PUT", 404), ("DELETE", 404)];
    assert_eq!(answers, expected);
}
