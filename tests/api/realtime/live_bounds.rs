//! What a live query may not do: see more than its topic, and cost more than its share (RTX-15, RTX-16).

use serde_json::{Value as Json, json};

use super::listener::Listener;
use super::live::live;
use super::scene::{collection, create, id, start, update, user};
use crate::harness::{Client, Stream, query};

/// Whatever the filter says, a look at one record shows that record at most.
#[test]
fn a_filter_only_narrows_a_look_at_one_record() {
    let server = start();
    collection(&server, "posts", json!({ "listRule": null, "viewRule": "" }));
    let guest = server.guest();
    let post = create(&guest, "posts", json!({ "title": "seen" }));
    create(&guest, "posts", json!({ "title": "hidden" }));
    let one = format!("posts/{}", id(&post));
    for filter in ["id != '') //", "id != '') || (id != ''", "id != '' // )"] {
        for listener in &mut Listener::subscribed(&guest, &[&live(&one, json!({ "filter": filter }))]) {
            let (_, _, page) = listener.next();
            let items = page["items"].as_array().map_or(0, Vec::len);
            assert!(page["action"] == "error" || (items == 1 && page["totalItems"] == 1), "{filter}: {page}");
        }
    }
    for (filter, found) in [("id != '' || title != ''", json!([post])), ("title = 'hidden'", json!([]))] {
        for listener in &mut Listener::subscribed(&guest, &[&live(&one, json!({ "filter": filter }))]) {
            assert_eq!(listener.next().2["items"], found, "{filter}");
        }
    }
}

/// Whose conditions keep the database busy is cut off once for all of them; the others hear of the change.
#[test]
fn many_slow_filters_of_one_client_do_not_add_up() {
    const FIELDS: usize = 6;
    // More than anybody would wait for, at a second each.
    const TOPICS: usize = 50;
    let server = start();
    let superuser = server.superuser();
    let posts = collection(&server, "posts", json!({}));
    let mut fields = posts["fields"].as_array().unwrap().clone();
    fields.extend((0..FIELDS).map(
        |n| json!({ "name": format!("peer{n}"), "type": "relation", "collectionId": posts["id"], "maxSelect": 1 }),
    ));
    superuser.patch("/api/collections/posts", json!({ "fields": fields })).ok();
    let guest = server.guest();
    let friend = create(&guest, "posts", json!({ "title": "friend" }));
    let hub = create(&guest, "posts", json!({ "peer0": friend["id"] }));
    let peers: serde_json::Map<String, Json> = (0..FIELDS).map(|n| (format!("peer{n}"), hub["id"].clone())).collect();
    let mut session = guest.session();
    for _ in 0..60 {
        session.send("POST", "/api/collections/posts/records", &Json::from(peers.clone())).expect("an answer").ok();
    }
    let filtered = |filter: &str| {
        let options = json!({ "query": { "filter": filter } }).to_string();
        format!("posts/*?{}", query(&[("options", &options)]))
    };
    // Every combination of those who refer to it has to be looked at to find that none fits.
    let parts: Vec<String> = (0..FIELDS).map(|n| format!("posts_via_peer{n}.title ?= 'none'")).collect();
    let slow = |n: usize| filtered(&format!("title = 'n{n}' || {}", parts.join(" || ")));
    let topics: Vec<String> = (0..TOPICS).map(slow).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let fast = filtered("peer0.title = 'friend'");

    let (_, ann) = user(&server, "ann");
    let mut healthy = Stream::subscribed(&guest, &[&fast]);
    let mut hear = |client: &Client, streams: &[&[&str]]| {
        let streams: Vec<Stream> = streams.iter().map(|topics| Stream::subscribed(client, topics)).collect();
        let changed = update(&guest, "posts", id(&hub), json!({ "n": streams.len() }));
        assert_eq!(healthy.next().record(), &changed);
        for mut stream in streams {
            assert_eq!(stream.next_or_end(), None);
        }
    };
    hear(&server.guest(), &[&topics[..]]);
    // A user is one, over however many connections.
    let (one, two) = topics.split_at(TOPICS / 2);
    hear(&ann, &[one, two]);
}
