//! Opening a stream and setting its topics: `realtime.md` §1 and §2.

use std::io::{Read, Write};

use serde_json::{Value as Json, json};

use crate::harness::{PATIENCE, Server, Stream};

/// RT-1, RT-2, RTX-3.
#[test]
fn a_stream_opens_with_pb_connect() {
    let server = Server::start();
    let stream = Stream::open_at(&server.guest(), "/api/realtime", &[("Origin", "http://example.com")]);
    let headers = [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
        ("x-xss-protection", "1; mode=block"),
        ("vary", "Origin"),
        ("access-control-allow-origin", "*"),
        ("transfer-encoding", "chunked"),
    ];
    for (name, value) in headers {
        assert_eq!(stream.head.header(name), Some(value), "{name}");
    }
    assert_eq!(stream.head.header("content-encoding"), None);
    assert!(stream.id.len() == 40 && stream.id.bytes().all(|b| b.is_ascii_alphanumeric()), "{}", stream.id);
    let position = stream.connect.data["seq"].as_str().unwrap();
    assert!(position.split_once(':').is_some_and(|(epoch, seq)| epoch.len() == 8 && seq.parse::<u64>().is_ok()));
    let data = format!(r#"data:{{"clientId":"{}","seq":"{position}"}}"#, stream.id);
    assert_eq!(stream.connect.lines, [format!("id:{}", stream.id), "event:PB_CONNECT".into(), data]);
    assert_ne!(Stream::open(&server.guest()).id, stream.id);
}

/// RT-1: a client may say what it likes to have compressed.
#[test]
fn a_stream_is_never_compressed() {
    let server = Server::start();
    let stream = Stream::open_at(&server.guest(), "/api/realtime", &[("Accept-Encoding", "gzip, deflate, br")]);
    assert_eq!(stream.head.header("content-encoding"), None);
}

/// RT-6, RT-7.
#[test]
fn what_is_no_set_of_topics_is_refused() {
    let server = Server::start();
    let guest = server.guest();
    let stream = Stream::open(&guest);
    let message = "Something went wrong while processing your request.";
    let topics = |topics: Json| json!({ "clientId": stream.id, "subscriptions": topics });
    let invalid = |code: &str, message: &str| json!({ "code": code, "message": message });
    let too_long = |max: usize| {
        let message = format!("The length must be no more than {max}.");
        json!({ "code": "validation_length_too_long", "message": message, "params": { "min": 0, "max": max } })
    };
    let out_of_range = json!({
        "code": "validation_length_out_of_range",
        "message": "The length must be between 1 and 255.",
        "params": { "min": 1, "max": 255 },
    });
    let cases = [
        (json!({}), json!({ "clientId": invalid("validation_required", "Cannot be blank.") })),
        (json!({ "clientId": "a".repeat(256) }), json!({ "clientId": out_of_range })),
        (topics(json!(vec!["a"; 1001])), json!({ "subscriptions": too_long(1000) })),
        (topics(json!(["a", "b".repeat(2501)])), json!({ "subscriptions": { "1": too_long(2500) } })),
        (json!({ "clientId": 1 }), json!({})),
        (topics(json!("a")), json!({})),
        (topics(json!([1])), json!({})),
        // Control characters would become lines of the stream (DEF-7).
        (
            topics(json!(["a\nevent:x", "b\u{7f}", "c"])),
            json!({ "subscriptions": {
                "0": invalid("validation_invalid_value", "Invalid value."),
                "1": invalid("validation_invalid_value", "Invalid value."),
            }}),
        ),
    ];
    for (body, data) in cases {
        let error = guest.post("/api/realtime", body).refused(400);
        assert_eq!((&error["data"], error["message"].as_str()), (&data, Some(message)));
    }
    for (content_type, body) in [("application/json", "{"), ("text/plain", "x")] {
        let error = guest.request("POST", "/api/realtime").body(content_type, body).send().refused(400);
        assert_eq!((&error["data"], error["message"].as_str()), (&json!({}), Some(message)), "{content_type}");
    }
    guest.post("/api/realtime", topics(json!(vec!["a"; 1000]))).ok();
    guest.post("/api/realtime", topics(json!(["ä".repeat(1250)]))).ok();

    for id in ["x".to_owned(), "a".repeat(40), "a".repeat(255)] {
        let error = guest.post("/api/realtime", json!({ "clientId": id })).refused(404);
        assert_eq!(error["message"], "Missing or invalid client id.", "{id}");
    }
}

/// RT-7: the close of a connection frees its client, by whatever means it closes.
#[test]
fn a_client_that_went_away_is_unknown() {
    let server = Server::start();
    let stream = Stream::open(&server.guest());
    let id = stream.id.clone();
    drop(stream);
    let gone = || server.guest().post("/api/realtime", json!({ "clientId": id })).status == 404;
    while !gone() {
        std::thread::yield_now();
    }
}

/// RT-8.
#[test]
fn only_the_address_that_opened_a_stream_sets_its_topics() {
    let server = Server::start();
    let guest = server.guest();
    let proxy = json!({ "trustedProxy": { "headers": ["X-Forwarded-For"], "useLeftmostIP": false } });
    server.superuser().patch("/api/settings", proxy).ok();
    let stream = Stream::open_at(&guest, "/api/realtime", &[("X-Forwarded-For", "10.0.0.1")]);
    let body = json!({ "clientId": stream.id, "subscriptions": [] });
    let post = |from: &str| guest.request("POST", "/api/realtime").header("X-Forwarded-For", from).json(&body).send();
    assert_eq!(post("10.0.0.2").refused(400)["message"], "Invalid realtime client.");
    post("10.0.0.9, 10.0.0.1").ok();
    assert_eq!(guest.post("/api/realtime", body.clone()).refused(400)["message"], "Invalid realtime client.");
}

/// A stream takes over the connection that its request came by, whatever was asked on it before: what was answered before
/// comes first.
#[test]
fn a_stream_may_follow_other_requests_on_its_connection() {
    let server = Server::start();
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let many = get("/api/health").repeat(3) + &get("/api/realtime");
    stream.write_all(many.as_bytes()).unwrap();
    let text = read_until(&mut stream, "PB_CONNECT");
    let answers: Vec<&str> = text.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
    assert_eq!(answers.len(), 4);
    assert!(answers[..3].iter().all(|answer| answer.contains("API is healthy")), "{text}");
    assert!(answers[3].contains("text/event-stream"));
}

/// HTTP/1.0 knows no chunks: the body is the events, and ends with the connection.
#[test]
fn clients_of_http_1_0_get_no_chunks() {
    let server = Server::start();
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /api/realtime HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    let text = read_until(&mut stream, "\n\n");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert!(body.starts_with("id:") && body.ends_with("\n\n"), "{body}");
    server.stop();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "retry:1000\n");
}

fn read_until(stream: &mut std::net::TcpStream, end: &str) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !text.contains(end) {
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}
