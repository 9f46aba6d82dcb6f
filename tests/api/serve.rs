//! Starting and stopping the server.

use serde_json::json;

use crate::harness::{Directory, Multipart, Program, Server, Socket, Stream, query, raw};

#[test]
fn a_fresh_directory_is_served_and_health_is_told_without_a_token() {
    let server = Server::open(Directory::empty());
    let answer = server.guest().get("/api/health");
    assert_eq!(answer.ok(), json!({ "message": "API is healthy.", "code": 200, "data": {} }));
    assert!(answer.text().ends_with("}\n"));
}

#[test]
fn a_superuser_sees_more_of_the_health() {
    let server = Server::start();
    let data = &server.superuser().get("/api/health").ok()["data"];
    assert_eq!(data["canBackup"], true);
    assert_eq!(data["realIP"], "127.0.0.1");
    assert_eq!(data["possibleProxyHeader"], "");
}

#[test]
fn what_was_written_is_there_after_a_stop_and_a_start() {
    let server = Server::start();
    server.collection(json!({ "name": "posts", "fields": [{ "name": "title", "type": "text" }] }));
    let made = server.guest().post("/api/collections/posts/records", json!({ "title": "kept" })).ok();

    let (directory, status) = server.stop();
    assert!(status.success(), "{status}");

    let server = Server::open(directory);
    let path = format!("/api/collections/posts/records/{}", made["id"].as_str().unwrap());
    assert_eq!(server.guest().get(&path).ok(), made);
}

#[test]
fn open_streams_do_not_hold_up_a_stop() {
    let server = Server::start();
    server.collection(json!({ "name": "posts" }));
    let mut stream = Stream::subscribed(&server.guest(), &["posts/*"]);
    let (_directory, status) = server.stop();
    assert!(status.success(), "{status}");
    assert_eq!(stream.next_or_end(), None);
}

/// DEF-20: whoever reads the log cannot log in with what stands in it, however much is logged and however broken the
/// request was.
#[test]
fn no_token_is_ever_printed() {
    // No token, but as good as one to look for.
    const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2VjcmV0";
    let server = Server::run(&Program::headwater().logging("debug"), Directory::fresh(), &[]);
    server.collection(json!({ "name": "posts", "fields": [{ "name": "title", "type": "text" }] }));
    let superuser = server.superuser();
    let valid = superuser.token().unwrap().to_owned();
    for token in [SECRET, valid.as_str()] {
        let guest = server.guest();
        for path in [
            "/api/realtime/state",
            "/api/collections/posts/records",
            "/api/collections/none/records/none",
            "/api/files/posts/none/none.txt",
            "/api/oauth2-redirect",
            "/api/none",
            "/none.html",
        ] {
            for more in ["", "&filter=(", "&filter=no~field", "&expand=%FF%00", "&sort=%"] {
                guest.get(&format!("{path}?token={token}{more}"));
            }
            guest.post(&format!("{path}?token={token}"), json!({ "token": token, "clientId": token, "state": token }));
            guest.with_token(token).get(path);
        }
        // Streams of both protocols: by the query, by a message, by a message that is none.
        let subscribed = format!("/api/realtime?{}", query(&[("subscribe", "posts/*"), ("token", token)]));
        let _stream = Stream::open_at(&guest, &subscribed, &[("Last-Event-ID", token)]);
        let mut socket = Socket::open_at(&guest, &subscribed, &[("x-token", token)]).unwrap();
        socket.request(json!({ "type": "auth", "token": token }));
        socket.request(json!({ "subscriptions": [], "token": token, "since": token }));
        for text in [format!("{{\"token\":\"{token}\""), format!("{{\"token\":[\"{token}\"]}}"), token.to_owned()] {
            socket.send(&text);
            socket.read();
        }
        guest.request("POST", "/api/batch").multipart(Multipart::new().text("@jsonPayload", token)).send();
        guest.request("POST", "/api/realtime").body("application/json", format!("{{\"token\":\"{token}\"")).send();
        // What is hardly a request.
        for line in [
            format!("GET /api/realtime?token={token} HTTP/9.9\r\n\r\n"),
            format!("GET /api/realtime?token={token}\x01 HTTP/1.1\r\nHost: x\r\n\r\n"),
            format!("GET /api/realtime?token={token}%\u{e4} HTTP/1.1\r\nHost: x\r\n\r\n"),
            format!("GET //?token={token} HTTP/1.1\r\nHost: {token}\r\nContent-Length: x\r\n\r\n"),
            format!("GET /?token={token} HTTP/1.1\r\nAuthorization: Bearer\x02{token}\r\n\r\n"),
            format!("BREW /?token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: {token}\r\nConnection: upgrade\r\n\r\n"),
            format!("?token={token}\r\n\r\n"),
            format!("POST /api/realtime?token={token} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{token}\r\n"),
        ] {
            raw(server.address(), line.as_bytes());
        }
    }
    let (directory, _) = server.stop();
    let printed = directory.printed();
    // The log is kept, and at this level it says something.
    assert!(printed.contains("DEBUG"), "{printed}");
    for token in [SECRET, &valid] {
        // Its signature is what makes it one.
        let signature = token.rsplit('.').next().unwrap();
        let told: Vec<&str> = printed.lines().filter(|line| line.contains(signature)).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}
