//! Who sees an event and what of the record: rules and options of `realtime.md` §3 and §4.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::scene::{collection, create, delete, id, nothing_came, start, update, user};
use crate::harness::{Server, Stream, query};

/// `topic?options=…`
fn with_options(topic: &str, options: &str) -> String {
    format!("{topic}?{}", query(&[("options", options)]))
}

/// RT-24.
#[test]
fn a_delete_is_judged_by_the_record_that_was() {
    let server = start();
    collection(&server, "posts", json!({ "listRule": "n = 1" }));
    let guest = server.guest();
    let seen = create(&guest, "posts", json!({ "n": 1, "title": "last words" }));
    let hidden = create(&guest, "posts", json!({ "n": 2 }));
    let mut stream = Stream::subscribed(&guest, &["posts/*", "marks/*"]);
    delete(&server.superuser(), "posts", id(&hidden));
    delete(&server.superuser(), "posts", id(&seen));
    let event = stream.next();
    assert_eq!((event.action(), event.record()), ("delete", &seen));
    nothing_came(&server, &mut stream);
}

/// RT-17, RT-18: what the JavaScript and the Dart SDK send, and what curl would.
#[test]
fn rules_see_context_and_options() {
    let server = start();
    let rule = "@request.context = 'realtime' && @request.method = 'GET' && @request.query.q = '1' \
                && @request.headers.x_tok = 'a b'";
    collection(&server, "posts", json!({ "listRule": rule }));
    let guest = server.guest();
    let passing = [
        "posts/*?options=%7B%22query%22%3A%7B%22q%22%3A%221%22%7D%2C%22headers%22%3A%7B%22X-Tok%22%3A%22a%20b%22%7D%7D",
        "posts/*?options=%7B%22query%22%3A%7B%22q%22%3A1%7D%2C%22headers%22%3A%7B%22xTok%22%3A%22a+b%22%7D%7D",
        r#"posts/*?x=y&options={"query":{"q":"1"},"headers":{"x_tok":"a b"}}"#,
    ];
    let failing = [
        "posts/*",
        "posts/*?q=1",
        r#"posts/*?options={"query":{"q":"1"}}"#,
        r#"posts/*?options={"query":{"q":"1"},"headers":{"x_tok":"a b"}"#,
        r#"posts/*?options=nonsense"#,
    ];
    let topics: Vec<&str> = passing.iter().chain(&failing).chain(&["marks/*"]).copied().collect();
    let mut stream = Stream::subscribed(&guest, &topics);
    create(&guest, "posts", json!({}));
    let names: BTreeSet<String> = passing.iter().map(|_| stream.next().name).collect();
    assert_eq!(names, passing.iter().map(|text| text.to_string()).collect());
    nothing_came(&server, &mut stream);
}

/// RT-19.
#[test]
fn fields_pick_from_the_record_alone() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let cases = [
        (r#"{"query":{"fields":"title"}}"#, Some(json!({ "title": "long" }))),
        (r#"{"query":{"fields":"title:excerpt(2),none"}}"#, Some(json!({ "title": "lo" }))),
        (r#"{"query":{"fields":"action"}}"#, Some(json!({}))),
        // What cannot be understood picks nothing out.
        (r#"{"query":{"fields":"title:wrong(1)"}}"#, None),
        (r#"{"query":{"fields":""}}"#, None),
    ];
    for (options, picked) in cases {
        let topic = with_options("posts/*", options);
        let mut stream = Stream::subscribed(&guest, &[&topic]);
        let made = create(&guest, "posts", json!({ "title": "long" }));
        let event = stream.next();
        assert_eq!(event.data, json!({ "record": picked.unwrap_or(made), "action": "create" }), "{options}");
    }
}

/// RT-28, RT-29.
#[test]
fn hidden_fields_and_addresses_are_shown_to_whom_they_are() {
    let server = start();
    collection(&server, "posts", json!({ "fields": [{ "name": "secret", "type": "text", "hidden": true }] }));
    let open = json!({
        "listRule": "", "viewRule": "",
        "fields": [{ "name": "boss", "type": "text" }],
    });
    patch_users(&server, open);
    patch_users(&server, json!({ "manageRule": "boss = @request.auth.id" }));
    let (boss, boss_client) = user(&server, "boss");
    let (ann, ann_client) = user(&server, "ann");
    let superuser = server.superuser();
    update(&superuser, "users", id(&ann), json!({ "boss": boss["id"] }));
    let ann_client = {
        drop(ann_client);
        server.login("users", "ann@example.com", "1234567890")
    };

    let topics = ["posts/*", "users/*"];
    let mut streams = [
        ("guest", Stream::subscribed(&server.guest(), &topics), false),
        ("ann", Stream::subscribed(&ann_client, &topics), true),
        ("boss", Stream::subscribed(&boss_client, &topics), true),
        ("superuser", Stream::subscribed(&superuser, &topics), true),
    ];
    create(&superuser, "posts", json!({ "secret": "s" }));
    update(&superuser, "users", id(&ann), json!({ "name": "Ann" }));
    update(&superuser, "users", id(&ann), json!({ "emailVisibility": true }));
    for (who, stream, sees_address) in &mut streams {
        let secret = stream.next().record().get("secret").cloned();
        assert_eq!(secret.is_some(), *who == "superuser", "{who}");
        let hidden = stream.next();
        assert_eq!(hidden.record()["name"], "Ann");
        assert_eq!(hidden.record().get("email").is_some(), *sees_address, "{who}");
        let visible = stream.next();
        assert_eq!(visible.record()["email"], "ann@example.com", "{who}");
        for event in [hidden, visible] {
            assert!(event.record().get("password").is_none() && event.record().get("tokenKey").is_none(), "{who}");
        }
    }
}

fn patch_users(server: &Server, mut values: Json) {
    if let Some(fields) = values.get("fields").and_then(Json::as_array).cloned() {
        let mut all = server.superuser().get("/api/collections/users").ok()["fields"].as_array().unwrap().clone();
        all.extend(fields);
        values["fields"] = all.into();
    }
    server.superuser().patch("/api/collections/users", values).ok();
}
