//! Starting and stopping the server.

use serde_json::json;

use crate::harness::{Directory, Server, Stream};

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
