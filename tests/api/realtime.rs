//! Event streams as PocketBase's clients know them. What we add is tested beside them, in modules of its own.

mod callers;
mod connect;
mod delivery;
mod epoch;
mod events;
mod hooks;
mod lifetimes;
mod listener;
mod live;
mod live_bounds;
mod oauth2;
mod resume;
mod rules;
mod scene;
mod sockets;
mod visibility;
mod watching;

use serde_json::{Value as Json, json};

use crate::harness::{Client, Directory, Server, Stream, query};

const RECORDS: &str = "/api/collections/posts/records";

/// A server with open `posts`, `notes` for their owners, and `sealed` for superusers.
fn scene() -> Server {
    let server = Server::start();
    let users = server.superuser().get("/api/collections/users").ok();
    let owner = json!({ "name": "owner", "type": "relation", "collectionId": users["id"], "maxSelect": 1 });
    let text = json!({ "name": "text", "type": "text" });
    let hidden = json!({ "name": "hid", "type": "text", "hidden": true });
    let rank = json!({ "name": "rank", "type": "number" });
    server.collection(json!({ "name": "posts", "fields": [text, rank, hidden, owner] }));
    let own = "owner = @request.auth.id";
    server.collection(json!({ "name": "notes", "listRule": own, "viewRule": own, "fields": [text, owner] }));
    server.collection(json!({ "name": "sealed", "listRule": null, "viewRule": null, "fields": [text] }));
    server
}

fn id(record: &Json) -> &str {
    record["id"].as_str().unwrap()
}

fn user(server: &Server, name: &str) -> (Client, String) {
    let email = format!("{name}@example.com");
    let body = json!({ "email": email, "password": "12345678", "passwordConfirm": "12345678", "name": name });
    let made = server.guest().post("/api/collections/users/records", body).ok();
    (server.login("users", &email, "12345678"), id(&made).to_owned())
}

fn post(server: &Server, body: Json) -> Json {
    server.guest().post(RECORDS, body).ok()
}

/// The texts of the next events.
fn texts(stream: &mut Stream, count: usize) -> Vec<String> {
    (0..count).map(|_| stream.next().record()["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_stream_begins_with_its_id() {
    let server = scene();
    let stream = Stream::open(&server.guest());
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(stream.head.header(name), Some(value), "{name}");
    }
    assert!(stream.head.header("content-encoding").is_none());
    assert!(stream.id.len() == 40 && stream.id.bytes().all(|b| b.is_ascii_alphanumeric()), "{}", stream.id);
    let lines: Vec<_> = stream.connect.lines.iter().map(String::as_str).collect();
    assert_eq!(lines[..2], [format!("id:{}", stream.id), "event:PB_CONNECT".to_owned()]);
    assert!(lines.len() == 3 && lines[2].starts_with(&format!("data:{{\"clientId\":\"{}\"", stream.id)), "{lines:?}");
    assert_ne!(stream.id, Stream::open(&server.guest()).id);
}

#[test]
fn an_event_is_three_lines_with_the_record_first() {
    let server = scene();
    let mut stream = Stream::subscribed(&server.guest(), &["posts/*"]);
    let made = post(&server, json!({ "text": "a\nb <i>&\u{2028}" }));
    let event = stream.next();
    assert_eq!((event.name.as_str(), event.action(), event.record()), ("posts/*", "create", &made));
    assert!(event.lines[0].starts_with("id:") && event.lines[1] == "event:posts/*" && event.lines.len() == 3);
    assert!(event.lines[2].starts_with("data:{\"record\":{\"collectionId\":"), "{}", event.lines[2]);
    assert!(event.lines[2].ends_with("},\"action\":\"create\"}"), "{}", event.lines[2]);
}

#[test]
fn creates_updates_and_deletes_arrive_in_order() {
    let server = scene();
    let mut stream = Stream::subscribed(&server.guest(), &["posts/*"]);
    let made = post(&server, json!({ "text": "a" }));
    let path = format!("{RECORDS}/{}", id(&made));
    let changed = server.guest().patch(&path, json!({ "rank": 1 })).ok();
    server.guest().delete(&path).ok();
    let events: Vec<_> = (0..3).map(|_| stream.next().data).collect();
    assert_eq!(
        events,
        [
            json!({ "action": "create", "record": made }),
            json!({ "action": "update", "record": changed }),
            json!({ "action": "delete", "record": changed }),
        ]
    );
}

#[test]
fn a_post_replaces_the_topics() {
    let server = scene();
    let guest = server.guest();
    let mut stream = Stream::open(&guest);
    let answer = stream.subscribe(&guest, &["posts/*"]);
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    post(&server, json!({ "text": "heard" }));
    stream.subscribe(&guest, &["users/*", "", "no such topic"]).ok();
    post(&server, json!({ "text": "not heard" }));
    stream.subscribe(&guest, &["posts"]).ok();
    post(&server, json!({ "text": "heard again" }));
    guest.post("/api/realtime", json!({ "clientId": stream.id })).ok();
    post(&server, json!({ "text": "not heard either" }));
    stream.subscribe(&guest, &["posts/*"]).ok();
    post(&server, json!({ "text": "last" }));
    assert_eq!(texts(&mut stream, 3), ["heard", "heard again", "last"]);
}

#[test]
fn topics_come_in_three_forms_of_body() {
    let server = scene();
    let guest = server.guest();
    let mut stream = Stream::open(&guest);
    let form = [("clientId", stream.id.as_str()), ("subscriptions", "posts/*"), ("subscriptions", "users/*")];
    guest.request("POST", "/api/realtime").form(&form).send().ok();
    post(&server, json!({ "text": "form" }));
    let parts = crate::harness::Multipart::new().text("clientId", &stream.id).text("subscriptions", "posts");
    guest.request("POST", "/api/realtime").multipart(parts).send().ok();
    post(&server, json!({ "text": "multipart" }));
    assert_eq!([stream.next().name, stream.next().name], ["posts/*", "posts"]);
}

#[test]
fn requests_that_name_nobody_or_too_much_are_refused() {
    let server = scene();
    let stream = Stream::open(&server.guest());
    let send = |body: Json| server.guest().post("/api/realtime", body);
    let error = send(json!({})).refused(400);
    assert_eq!(error["data"], json!({ "clientId": { "code": "validation_required", "message": "Cannot be blank." } }));
    let error = send(json!({ "clientId": "x".repeat(256) })).refused(400);
    assert_eq!(error["data"]["clientId"]["params"], json!({ "min": 1, "max": 255 }));
    let error = send(json!({ "clientId": "nobody" })).refused(404);
    assert_eq!(error["message"], "Missing or invalid client id.");
    let error = send(json!({ "clientId": stream.id, "subscriptions": vec!["a"; 1001] })).refused(400);
    assert_eq!(
        error["data"]["subscriptions"],
        json!({ "code": "validation_length_too_long", "message": "The length must be no more than 1000.", "params": { "min": 0, "max": 1000 } })
    );
    let error = send(json!({ "clientId": stream.id, "subscriptions": ["a", "x".repeat(2501)] })).refused(400);
    assert_eq!(error["data"]["subscriptions"]["1"]["params"], json!({ "min": 0, "max": 2500 }), "{error}");
    send(json!({ "clientId": stream.id, "subscriptions": vec!["a"; 1000] })).ok();
    let id = stream.id.clone();
    drop(stream);
    // Its stream is closed: after the next events the server knows.
    while send(json!({ "clientId": id, "subscriptions": ["posts/*"] })).status != 404 {
        post(&server, json!({}));
    }
}

#[test]
fn topics_name_a_collection_or_a_record() {
    let server = scene();
    let collection = server.superuser().get("/api/collections/posts").ok();
    let made = post(&server, json!({ "text": "a" }));
    let topics = [
        "posts".to_owned(),
        "posts/*".to_owned(),
        format!("{}/*", id(&collection)),
        format!("posts/{}", id(&made)),
        format!("{}/{}", id(&collection), id(&made)),
        "posts/*?options={\"query\":{\"filter\":\"rank = 1\"}}".to_owned(),
        "posts/*?nothing=1".to_owned(),
    ];
    let silent = ["Posts/*", "posts/* ", "*", "posts/", "post", "posts/nobody", &format!("posts/{}x", id(&made))];
    let all: Vec<_> = topics.iter().map(String::as_str).chain(silent).collect();
    let mut stream = Stream::subscribed(&server.guest(), &all);
    let changed = server.guest().patch(&format!("{RECORDS}/{}", id(&made)), json!({ "rank": 1 })).ok();
    let mut heard: Vec<_> = (0..topics.len())
        .map(|_| {
            let event = stream.next();
            assert_eq!(event.record(), &changed);
            event.name
        })
        .collect();
    heard.sort_unstable();
    let mut topics = topics.to_vec();
    topics.sort_unstable();
    assert_eq!(heard, topics);
    // And nothing else: what comes next is of the next change.
    post(&server, json!({ "text": "next" }));
    assert_eq!(stream.next().record()["text"], "next");
}

#[test]
fn rules_decide_who_hears() {
    let server = scene();
    let ((ann, ann_id), (bob, bob_id)) = (user(&server, "ann"), user(&server, "bob"));
    let superuser = server.superuser();
    let topics = ["notes/*", "sealed/*", "posts/*"];
    let mut streams = [&server.guest(), &ann, &bob, &superuser].map(|client| Stream::subscribed(client, &topics));
    for (text, owner) in [("ann's", &ann_id), ("bob's", &bob_id)] {
        server.guest().post("/api/collections/notes/records", json!({ "text": text, "owner": owner })).ok();
    }
    superuser.post("/api/collections/sealed/records", json!({ "text": "sealed" })).ok();
    post(&server, json!({ "text": "end" }));
    let expected: [&[&str]; 4] = [&["end"], &["ann's", "end"], &["bob's", "end"], &["ann's", "bob's", "sealed", "end"]];
    for (stream, expected) in streams.iter_mut().zip(expected) {
        assert_eq!(texts(stream, expected.len()), expected);
    }
}

#[test]
fn one_record_is_for_those_who_may_view_it_and_all_for_those_who_may_list() {
    let server = scene();
    let made = post(&server, json!({ "text": "a" }));
    let record = format!("posts/{}", id(&made));
    let (mut one, mut all) =
        (Stream::subscribed(&server.guest(), &[&record, "users/*"]), Stream::subscribed(&server.guest(), &["posts/*"]));
    let set = |list: Json, view: Json| {
        server.superuser().patch("/api/collections/posts", json!({ "listRule": list, "viewRule": view })).ok();
    };
    let change = |rank: u32| server.guest().patch(&format!("{RECORDS}/{}", id(&made)), json!({ "rank": rank })).ok();
    set(json!(null), json!(""));
    change(1);
    set(json!(""), json!(null));
    change(2);
    set(json!("rank = 3"), json!("rank = 4"));
    change(3);
    change(4);
    assert_eq!([one.next().record()["rank"].clone(), one.next().record()["rank"].clone()], [1, 4]);
    assert_eq!([all.next().record()["rank"].clone(), all.next().record()["rank"].clone()], [2, 3]);
}

#[test]
fn rules_see_the_options_of_a_topic() {
    let server = scene();
    let rule = "@request.context = 'realtime' && @request.method = 'GET' && @request.query.a = '1' && @request.headers.x_b = '2'";
    server.superuser().patch("/api/collections/posts", json!({ "listRule": rule })).ok();
    let options = |options: &str| format!("posts/*?{}", query(&[("options", options)]));
    let good = options(r#"{"query":{"a":1},"headers":{"X-B":"2"}}"#);
    let bad = options(r#"{"query":{"a":"2"},"headers":{"X-B":"2"}}"#);
    let mut stream =
        Stream::subscribed(&server.guest(), &["posts/*", &bad, &good, "posts/*?options={broken", "users/*"]);
    post(&server, json!({ "text": "a" }));
    post(&server, json!({ "text": "b" }));
    assert_eq!([stream.next().name, stream.next().name], [good.clone(), good]);
}

#[test]
fn options_filter_pick_and_expand() {
    let server = scene();
    let (_, ann_id) = user(&server, "ann");
    let script = |text: &str| {
        text.replace('%', "%25").replace(' ', "%20").replace('"', "%22").replace('{', "%7B").replace('}', "%7D")
    };
    // As the script SDK writes it, as a form, and raw.
    let filter = r#"{"query":{"filter":"rank > 5 && text != 'x y'"}}"#;
    let filters = [
        format!("posts/*?options={}", script(filter).replace('&', "%26").replace('>', "%3E")),
        format!("posts/*?{}", query(&[("options", filter)])),
    ];
    for topic in &filters {
        let mut stream = Stream::subscribed(&server.guest(), &[topic]);
        for (text, rank) in [("a", 5), ("x y", 6), ("b", 6), ("c", 1), ("d", 7)] {
            post(&server, json!({ "text": text, "rank": rank }));
        }
        assert_eq!(texts(&mut stream, 2), ["b", "d"], "{topic}");
    }
    let fields = format!(
        "posts/*?{}",
        query(&[("options", r#"{"query":{"fields":"text,expand.owner.name","expand":"owner"}}"#)])
    );
    let mut stream = Stream::subscribed(&server.guest(), &[&fields]);
    server.superuser().patch("/api/collections/users", json!({ "viewRule": "" })).ok();
    post(&server, json!({ "text": "with", "owner": ann_id }));
    server.superuser().patch("/api/collections/users", json!({ "viewRule": null })).ok();
    post(&server, json!({ "text": "without", "owner": ann_id }));
    assert_eq!(
        stream.next().data,
        json!({ "action": "create", "record": { "text": "with", "expand": { "owner": { "name": "ann" } } } })
    );
    assert_eq!(stream.next().data, json!({ "action": "create", "record": { "text": "without" } }));
}

#[test]
fn filters_that_nobody_may_ask_hear_nothing() {
    let server = scene();
    let options = |filter: &str| {
        format!("posts/*?{}", query(&[("options", &json!({ "query": { "filter": filter } }).to_string())]))
    };
    let topics = ["nope = 1", "text =", "@request.auth.id = ''", "@collection.posts.id != ''", "hid = ''"].map(options);
    let mut topics: Vec<_> = topics.iter().map(String::as_str).collect();
    topics.push("users/*");
    let mut stream = Stream::subscribed(&server.guest(), &topics);
    post(&server, json!({ "text": "a" }));
    server.superuser().patch("/api/collections/users", json!({ "listRule": "" })).ok();
    user(&server, "ann");
    assert_eq!(stream.next().name, "users/*");
}

#[test]
fn hidden_fields_and_emails_are_for_those_who_may_see_them() {
    let server = scene();
    let ((ann, ann_id), (bob, _)) = (user(&server, "ann"), user(&server, "bob"));
    server.superuser().patch("/api/collections/users", json!({ "listRule": "" })).ok();
    let superuser = server.superuser();
    let mut streams =
        [&server.guest(), &bob, &ann, &superuser].map(|client| Stream::subscribed(client, &["users/*", "posts/*"]));
    post(&server, json!({ "text": "a" }));
    ann.patch(&format!("/api/collections/users/records/{ann_id}"), json!({ "name": "Ann" })).ok();
    for (stream, (hid, email)) in streams.iter_mut().zip([(false, false), (false, false), (false, true), (true, true)])
    {
        let post = stream.next();
        let user = stream.next();
        assert_eq!((post.record().get("hid").is_some(), user.record().get("email").is_some()), (hid, email));
        assert!(user.record().get("tokenKey").is_none() && user.record().get("password").is_none());
    }
}

#[test]
fn a_stream_belongs_to_who_subscribed_first() {
    let server = scene();
    let ((ann, _), (bob, _)) = (user(&server, "ann"), user(&server, "bob"));
    let stream = Stream::subscribed(&server.guest(), &["posts/*"]);
    stream.subscribe(&server.guest().with_token("nonsense"), &["posts/*"]).ok();
    stream.subscribe(&ann, &["posts/*"]).ok();
    stream.subscribe(&server.login("users", "ann@example.com", "12345678"), &["notes/*"]).ok();
    for other in [&server.guest(), &bob, &server.superuser(), &server.guest().with_token("nonsense")] {
        let error = stream.subscribe(other, &["posts/*"]).refused(403);
        assert_eq!(error["message"], "The current and the previous request authorization don't match.");
    }
}

#[test]
fn streams_follow_their_users() {
    let server = scene();
    let (ann, ann_id) = user(&server, "ann");
    let rule = "@request.auth.name = 'Ann' || text = 'end'";
    server.superuser().patch("/api/collections/posts", json!({ "listRule": rule })).ok();
    let mut stream = Stream::subscribed(&ann, &["posts/*"]);
    let path = format!("/api/collections/users/records/{ann_id}");
    post(&server, json!({ "text": "ann" }));
    ann.patch(&path, json!({ "name": "Ann" })).ok();
    post(&server, json!({ "text": "Ann" }));
    assert_eq!(texts(&mut stream, 1), ["Ann"]);
    // Another password: the stream stays, and is a guest's.
    let password = json!({ "oldPassword": "12345678", "password": "another one", "passwordConfirm": "another one" });
    ann.patch(&path, password).ok();
    post(&server, json!({ "text": "guest" }));
    post(&server, json!({ "text": "end" }));
    assert_eq!(texts(&mut stream, 1), ["end"]);
    stream.subscribe(&server.login("users", "ann@example.com", "another one"), &["posts/*"]).ok();
    post(&server, json!({ "text": "Ann again" }));
    assert_eq!(texts(&mut stream, 1), ["Ann again"]);
    // A user who is gone.
    server.superuser().delete(&path).ok();
    post(&server, json!({ "text": "nobody" }));
    post(&server, json!({ "text": "end" }));
    assert_eq!(texts(&mut stream, 1), ["end"]);
}

#[test]
fn another_secret_of_the_collection_makes_guests_of_all() {
    let server = scene();
    let (ann, _) = user(&server, "ann");
    let rule = "@request.auth.id != '' || text = 'end'";
    server.superuser().patch("/api/collections/posts", json!({ "listRule": rule })).ok();
    let mut stream = Stream::subscribed(&ann, &["posts/*"]);
    post(&server, json!({ "text": "a" }));
    server
        .superuser()
        .patch("/api/collections/users", json!({ "authToken": { "secret": "x".repeat(50), "duration": 1000 } }))
        .ok();
    post(&server, json!({ "text": "b" }));
    post(&server, json!({ "text": "end" }));
    assert_eq!(texts(&mut stream, 2), ["a", "end"]);
}

#[test]
fn what_is_refused_or_undone_is_not_told() {
    let server = scene();
    let mut stream = Stream::subscribed(&server.guest(), &["posts/*"]);
    let made = post(&server, json!({ "text": "first" }));
    server.guest().post(RECORDS, json!({ "id": "short" })).refused(400);
    server.guest().post(RECORDS, json!({ "id": id(&made) })).refused(400);
    server.superuser().patch("/api/collections/posts", json!({ "createRule": "text = 'last'" })).ok();
    server.guest().post(RECORDS, json!({ "text": "no" })).refused(400);
    post(&server, json!({ "text": "last" }));
    assert_eq!(texts(&mut stream, 2), ["first", "last"]);
}

#[test]
fn what_a_deletion_takes_along_is_told() {
    let server = Server::start();
    let parents = server.collection(json!({ "name": "parents", "fields": [] }));
    for (name, cascade) in [("children", true), ("friends", false)] {
        let field = json!({ "name": "parent", "type": "relation", "collectionId": parents["id"], "cascadeDelete": cascade, "maxSelect": 1 });
        server.collection(json!({ "name": name, "fields": [field] }));
    }
    let guest = server.guest();
    let parent = guest.post("/api/collections/parents/records", json!({})).ok();
    for name in ["children", "friends"] {
        guest.post(&format!("/api/collections/{name}/records"), json!({ "parent": id(&parent) })).ok();
    }
    let mut stream = Stream::subscribed(&guest, &["parents/*", "children/*", "friends/*"]);
    guest.delete(&format!("/api/collections/parents/records/{}", id(&parent))).ok();
    let events: Vec<_> = (0..3)
        .map(|_| stream.next())
        .map(|event| (event.name.clone(), event.action().to_owned(), event.record()["parent"].clone()))
        .collect();
    let told = |name: &str, action: &str, parent: Json| (name.to_owned(), action.to_owned(), parent);
    assert!(events.contains(&told("children/*", "delete", json!(id(&parent)))), "{events:?}");
    assert!(events.contains(&told("friends/*", "update", json!(""))), "{events:?}");
    assert!(events.contains(&told("parents/*", "delete", json!(null))), "{events:?}");
}

#[test]
fn truncating_tells_every_record_and_deleting_a_collection_none() {
    let server = scene();
    server.collection(json!({ "name": "gone", "fields": [] }));
    for _ in 0..3 {
        post(&server, json!({}));
        server.guest().post("/api/collections/gone/records", json!({})).ok();
    }
    let mut stream = Stream::subscribed(&server.guest(), &["posts/*", "gone/*"]);
    server.superuser().delete("/api/collections/gone").ok();
    server.superuser().delete("/api/collections/posts/truncate").ok();
    for _ in 0..3 {
        let event = stream.next();
        assert_eq!((event.name.as_str(), event.action()), ("posts/*", "delete"));
    }
    post(&server, json!({ "text": "next" }));
    assert_eq!(stream.next().record()["text"], "next");
}

#[test]
fn topics_by_id_outlive_another_name() {
    let server = scene();
    let collection = server.superuser().get("/api/collections/posts").ok();
    let by_id = format!("{}/*", id(&collection));
    let mut stream = Stream::subscribed(&server.guest(), &["posts/*", &by_id, "renamed/*"]);
    server.superuser().patch("/api/collections/posts", json!({ "name": "renamed" })).ok();
    server.guest().post("/api/collections/renamed/records", json!({ "text": "a" })).ok();
    let mut heard = [stream.next().name, stream.next().name];
    heard.sort_unstable();
    let mut expected = [by_id, "renamed/*".to_owned()];
    expected.sort_unstable();
    assert_eq!(heard, expected);
}

#[test]
fn other_methods() {
    let server = scene();
    let guest = server.guest();
    let head = guest.request("HEAD", "/api/realtime");
    assert_eq!(head.head_only(), 200);
    let options = guest.request("OPTIONS", "/api/realtime").send();
    assert_eq!((options.status, options.text().as_str()), (204, ""));
    for method in ["PUT", "DELETE", "PATCH"] {
        guest.request(method, "/api/realtime").json(&json!({})).send().refused(404);
    }
}

#[test]
fn streams_end_with_the_server_and_a_new_one_knows_the_new_server() {
    let server = scene();
    let mut stream = Stream::subscribed(&server.guest(), &["posts/*"]);
    let (directory, _): (Directory, _) = server.stop();
    assert_eq!(stream.next_or_end(), None);
    let server = Server::open(directory);
    server.guest().post("/api/realtime", json!({ "clientId": stream.id, "subscriptions": [] })).refused(404);
    let mut stream = Stream::subscribed(&server.guest(), &["posts/*"]);
    post(&server, json!({ "text": "a" }));
    assert_eq!(texts(&mut stream, 1), ["a"]);
}
