//! What the tests of realtime have in common.

use serde_json::{Value as Json, json};

use crate::harness::{Client, Event, Server, Stream};

/// A collection of this name with a text `title`, a number `n` and what else is given; open to everyone by default.
pub(super) fn collection(server: &Server, name: &str, more: Json) -> Json {
    let mut definition = json!({
        "name": name,
        "fields": [{ "name": "title", "type": "text" }, { "name": "n", "type": "number" }],
    });
    for (key, value) in more.as_object().expect("an object") {
        match (key.as_str(), value) {
            ("fields", Json::Array(fields)) => definition["fields"].as_array_mut().unwrap().extend(fields.clone()),
            (key, value) => definition[key] = value.clone(),
        }
    }
    server.collection(definition)
}

pub(super) fn create(client: &Client, collection: &str, record: Json) -> Json {
    client.post(&format!("/api/collections/{collection}/records"), record).ok()
}

pub(super) fn update(client: &Client, collection: &str, id: &str, values: Json) -> Json {
    client.patch(&format!("/api/collections/{collection}/records/{id}"), values).ok()
}

pub(super) fn delete(client: &Client, collection: &str, id: &str) {
    client.delete(&format!("/api/collections/{collection}/records/{id}")).ok();
}

pub(super) fn id(record: &Json) -> &str {
    record["id"].as_str().expect("an id")
}

/// A user of the auth collection `users` and a client of its own.
pub(super) fn user(server: &Server, name: &str) -> (Json, Client) {
    let email = format!("{name}@example.com");
    let body = json!({ "email": email, "password": "1234567890", "passwordConfirm": "1234567890", "name": name });
    let record = create(&server.superuser(), "users", body);
    (record, server.login("users", &email, "1234567890"))
}

/// Asserts that nothing came before this moment: a record of the open collection `marks` is made, and its event is the
/// next one. The stream must listen to `marks/*`.
#[track_caller]
pub(super) fn nothing_came(server: &Server, stream: &mut Stream) {
    let mark = create(&server.guest(), "marks", json!({}));
    let event = stream.next();
    assert_eq!((event.name.as_str(), event.record()["id"].as_str()), ("marks/*", mark["id"].as_str()), "{event:?}");
}

/// A server with the open collection `marks`.
pub(super) fn start() -> Server {
    let server = Server::start();
    server.collection(json!({ "name": "marks" }));
    server
}

/// Where the stream is now.
pub(super) fn position(server: &Server) -> String {
    Stream::open(&server.guest()).connect.data["seq"].as_str().unwrap().to_owned()
}

/// The number in an event's position.
pub(super) fn seq(event: &Event) -> u64 {
    event.id.split_once(':').expect("a position").1.parse().expect("a number")
}
