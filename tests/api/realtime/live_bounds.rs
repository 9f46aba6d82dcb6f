//! What a live query may not do: see more than its topic, and cost more than its share (RTX-15, RTX-16).

use serde_json::{Value as Json, json};

use super::listener::Listener;
use super::live::live;
use super::scene::{collection, create, id, start, update, user};
use crate::harness::{Client, Directory, Program, Server, Socket, Stream, query};

/// The next message of each is about a new record of `marks`: nothing came before it.
#[track_caller]
fn nothing_came(server: &Server, listeners: &mut [Listener]) {
    let mark = create(&server.guest(), "marks", json!({}));
    for listener in listeners {
        let (_, topic, data) = listener.next();
        assert_eq!((topic.as_str(), &data["record"]["id"]), ("marks/*", &mark["id"]), "{data}");
    }
}

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

#[test]
fn a_client_may_hold_only_so_many_live_queries() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let topics = |count: usize| -> Vec<String> {
        (0..count).map(|n| live("posts/*", json!({ "filter": format!("n > {n}") }))).collect()
    };
    let code = "validation_too_many_live_queries";
    let post = |stream: &Stream, topics: Vec<String>| {
        guest.post("/api/realtime", json!({ "clientId": stream.id, "subscriptions": topics }))
    };
    let mut stream = Stream::open(&guest);
    assert_eq!(post(&stream, topics(33)).refused(400)["data"]["subscriptions"]["code"], code);
    let others = (0..100).map(|n| format!("topic{n}"));
    post(&stream, topics(32).into_iter().chain(others).collect()).ok();
    for _ in 0..32 {
        assert_eq!(stream.next().action(), "snapshot");
    }

    let path = |topics: Vec<String>| {
        let pairs: Vec<(&str, &str)> = topics.iter().map(|topic| ("subscribe", topic.as_str())).collect();
        format!("/api/realtime?{}", query(&pairs))
    };
    assert_eq!(guest.get(&path(topics(33))).refused(400)["data"]["subscribe"]["code"], code);
    assert_eq!(Stream::open_at(&guest, &path(topics(32)), &[]).next().action(), "snapshot");

    let mut socket = Socket::subscribed(&guest, &[]);
    assert_eq!(socket.request(json!({ "subscriptions": topics(33) }))["data"]["subscriptions"]["code"], code);
    // Together with those that it has.
    socket.ask(json!({ "type": "subscribe", "topics": topics(20) }));
    let more: Vec<String> = topics(33).split_off(20);
    assert_eq!(socket.request(json!({ "type": "subscribe", "topics": more }))["data"]["topics"]["code"], code);
    socket.ask(json!({ "type": "subscribe", "topics": topics(32) }));
}

#[test]
fn a_window_has_only_so_many_records() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let window = |records: Json| live("posts/*", json!({ "sort": "n", "perPage": records }));
    let code = "validation_max_less_equal_than_required";
    for records in [json!(201), json!("1000")] {
        let topics = ["marks/*".to_owned(), window(records)];
        let stream = Stream::open(&guest);
        let body = json!({ "clientId": stream.id, "subscriptions": topics });
        let error = guest.post("/api/realtime", body).refused(400);
        assert_eq!(error["data"]["subscriptions"]["1"]["code"], code);
        let path = format!("/api/realtime?{}", query(&[("subscribe", &topics[1])]));
        assert_eq!(guest.get(&path).refused(400)["data"]["subscribe"]["0"]["code"], code);
        let mut socket = Socket::open(&guest);
        let error = socket.request(json!({ "type": "subscribe", "topics": topics }));
        assert_eq!(error["data"]["topics"]["1"]["code"], code);
    }
    // A page that is read once may be larger.
    for topic in [window(json!(200)), live("posts/*", json!({ "perPage": 1000 }))] {
        for listener in &mut Listener::subscribed(&guest, &[&topic]) {
            assert_eq!(listener.next().2["action"], "snapshot");
        }
    }
}

/// A page that cannot be read is told to be none, and nothing follows, whatever is written.
#[test]
fn nothing_follows_an_error() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    for parameters in [json!({ "filter": "none ?", "sort": "n", "perPage": 5 }), json!({ "filter": "none ?" })] {
        let mut listeners = Listener::subscribed(&guest, &["marks/*", &live("posts/*", parameters)]);
        for listener in &mut listeners {
            assert_eq!(listener.next().2["action"], "error");
        }
        for _ in 0..3 {
            create(&guest, "posts", json!({}));
        }
        nothing_came(&server, &mut listeners);
    }
    // Also where it could be read at first.
    let window = live("posts/*", json!({ "sort": "n", "perPage": 5, "filter": "n > 0" }));
    let mut listeners = Listener::subscribed(&guest, &["marks/*", &window]);
    for listener in &mut listeners {
        assert_eq!(listener.next().2["action"], "snapshot");
    }
    let superuser = server.superuser();
    superuser.patch("/api/collections/posts", json!({ "listRule": null })).ok();
    for _ in 0..3 {
        create(&guest, "posts", json!({ "n": 1 }));
    }
    for listener in &mut listeners {
        assert_eq!(listener.next().2["action"], "error");
    }
    nothing_came(&server, &mut listeners);
}

/// Relations of a post to others.
const PEERS: usize = 6;

/// Posts that refer to one in as many ways as they can: that one, which itself refers to a friend.
fn crowd(server: &Server) -> Json {
    let posts = collection(server, "posts", json!({}));
    let mut fields = posts["fields"].as_array().unwrap().clone();
    fields.extend((0..PEERS).map(
        |n| json!({ "name": format!("peer{n}"), "type": "relation", "collectionId": posts["id"], "maxSelect": 1 }),
    ));
    server.superuser().patch("/api/collections/posts", json!({ "fields": fields })).ok();
    let guest = server.guest();
    let friend = create(&guest, "posts", json!({ "title": "friend" }));
    let hub = create(&guest, "posts", json!({ "peer0": friend["id"] }));
    let peers: serde_json::Map<String, Json> = (0..PEERS).map(|n| (format!("peer{n}"), hub["id"].clone())).collect();
    let mut session = guest.session();
    for _ in 0..60 {
        session.send("POST", "/api/collections/posts/records", &Json::from(peers.clone())).expect("an answer").ok();
    }
    hub
}

/// Every combination of those who refer to the one has to be looked at to find that none fits.
fn slow(n: usize) -> String {
    let parts: Vec<String> = (0..PEERS).map(|n| format!("posts_via_peer{n}.title ?= 'none'")).collect();
    format!("title = 'n{n}' || {}", parts.join(" || "))
}

/// A page that takes too long is told to be none, however long a list may take. Who waits meanwhile has his in turn.
#[test]
fn a_page_that_takes_too_long_is_an_error_and_the_next_one_is_read() {
    // As many as are read at a time.
    const READS: usize = 4;
    let server = Server::run(&Program::headwater(), Directory::fresh(), &["--queryTimeout", "600"]);
    crowd(&server);
    let guest = server.guest();
    let quick = live("posts/*", json!({ "filter": "title = 'friend'" }));
    let mut topics: Vec<String> = (0..READS).map(|n| live("posts/*", json!({ "filter": slow(n) }))).collect();
    let mut stream = Stream::open(&guest);
    for more in [None, Some(quick.clone())] {
        topics.extend(more);
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        stream.subscribe(&guest, &topics).ok();
    }
    for _ in &topics {
        let event = stream.next();
        let expected = if event.name == quick { "snapshot" } else { "error" };
        assert_eq!(event.action(), expected, "{event:?}");
    }
    let friend = create(&guest, "posts", json!({ "title": "friend" }));
    let event = stream.next();
    assert_eq!((event.name, event.data), (quick, json!({ "action": "enter", "record": friend })));
}

/// Whose conditions keep the database busy is cut off once for all of them; the others hear of the change.
#[test]
fn many_slow_filters_of_one_client_do_not_add_up() {
    // More than anybody would wait for, at a second each.
    const TOPICS: usize = 50;
    let server = start();
    let hub = crowd(&server);
    let guest = server.guest();
    let filtered = |filter: &str| {
        let options = json!({ "query": { "filter": filter } }).to_string();
        format!("posts/*?{}", query(&[("options", &options)]))
    };
    let topics: Vec<String> = (0..TOPICS).map(|n| filtered(&slow(n))).collect();
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
