//! Who a client is, and what becomes of it when its record changes: `realtime.md` §2 and §6.

use serde_json::json;

use super::scene::{collection, create, delete, id, nothing_came, start, update, user};
use crate::harness::{Server, Stream};

/// A server with the collection `private`, whose events are for whoever is logged in and named `ann`.
fn with_private() -> Server {
    let server = start();
    collection(&server, "private", json!({ "listRule": "@request.auth.name = 'ann'" }));
    server
}

#[track_caller]
fn hears(server: &Server, stream: &mut Stream) {
    let made = create(&server.guest(), "private", json!({}));
    assert_eq!(stream.next().record(), &made);
}

#[track_caller]
fn is_deaf(server: &Server, stream: &mut Stream) {
    create(&server.guest(), "private", json!({}));
    nothing_came(server, stream);
}

const TOPICS: [&str; 2] = ["private/*", "marks/*"];

/// RT-31: the end of a token's key. The change itself is not told any more.
#[test]
fn who_got_another_token_key_is_a_guest_until_it_shows_a_new_token() {
    let server = with_private();
    let (ann, client) = user(&server, "ann");
    let superuser = server.superuser();
    let own = format!("users/{}", id(&ann));
    let mut stream = Stream::subscribed(&client, &[&own, "private/*", "marks/*"]);
    update(&superuser, "users", id(&ann), json!({ "name": "ann" }));
    assert_eq!(stream.next().name, own);

    let password = json!({ "password": "another one", "passwordConfirm": "another one" });
    update(&superuser, "users", id(&ann), password);
    is_deaf(&server, &mut stream);

    let client = server.login("users", "ann@example.com", "another one");
    stream.subscribe(&client, &TOPICS).ok();
    hears(&server, &mut stream);
}

/// RT-31.
#[test]
fn whose_record_is_deleted_is_a_guest() {
    let server = with_private();
    let (ann, client) = user(&server, "ann");
    let mut stream = Stream::subscribed(&client, &TOPICS);
    hears(&server, &mut stream);
    delete(&server.superuser(), "users", id(&ann));
    is_deaf(&server, &mut stream);
    stream.subscribe(&server.guest(), &TOPICS).ok();
    is_deaf(&server, &mut stream);
}

/// RT-31.
#[test]
fn the_end_of_the_collection_makes_guests_of_its_records() {
    let server = with_private();
    let (_, client) = user(&server, "ann");
    let mut stream = Stream::subscribed(&client, &TOPICS);
    hears(&server, &mut stream);
    server.superuser().delete("/api/collections/users").ok();
    is_deaf(&server, &mut stream);
    stream.subscribe(&server.guest(), &TOPICS).ok();
}
