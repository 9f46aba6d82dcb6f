//! Live queries: `realtime-beyond.md` §6 (RTX-15, RTX-16, DEF-5).

use std::collections::BTreeMap;
use std::thread;

use rand::RngExt;
use serde_json::{Value as Json, json};

use super::scene::{collection, create, delete, id, start, update, user};
use crate::harness::{Client, Socket, Stream, query};

/// A topic's text for a live query with these parameters.
pub(super) fn live(topic: &str, parameters: Json) -> String {
    let options = json!({ "live": true, "query": parameters }).to_string();
    format!("{topic}?{}", query(&[("options", &options)]))
}

/// What a client is told of one live query, over either protocol.
enum Listener {
    Sse(Box<Stream>),
    WebSocket(Box<Socket>),
}

impl Listener {
    fn both(client: &Client, topic: &str) -> [Listener; 2] {
        let stream = Stream::subscribed(client, &[topic]);
        let socket = Socket::subscribed(client, &[topic]);
        [Listener::Sse(Box::new(stream)), Listener::WebSocket(Box::new(socket))]
    }

    #[track_caller]
    fn next(&mut self) -> Json {
        match self {
            Listener::Sse(stream) => stream.next().data,
            Listener::WebSocket(socket) => socket.next(),
        }
    }

    /// The next message: its action and the title of its record, or the id of one that left.
    #[track_caller]
    fn told(&mut self) -> (String, String) {
        let message = self.next();
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let what = if message["action"] == "leave" { &message["id"] } else { &message["record"]["title"] };
        (text(&message["action"]), text(what))
    }
}

#[track_caller]
fn assert_told(listener: &mut Listener, expected: &[(&str, &str)]) {
    for (action, what) in expected {
        let (told, of) = listener.told();
        assert_eq!((told.as_str(), of.as_str()), (*action, *what));
    }
}

fn titles(page: &Json) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap()).collect()
}

/// RTX-15, DEF-5: the page, then who comes, changes and goes.
#[test]
fn a_query_is_told_and_what_becomes_of_it() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    create(&guest, "posts", json!({ "title": "low", "n": 1 }));
    let high = create(&guest, "posts", json!({ "title": "high", "n": 20 }));
    let topic = live("posts/*", json!({ "filter": "n > 10" }));
    let mut listeners = Listener::both(&guest, &topic);
    for listener in &mut listeners {
        let page = listener.next();
        assert_eq!((&page["action"], &page["totalItems"], &page["page"]), (&json!("snapshot"), &json!(1), &json!(1)));
        assert_eq!(page["items"], json!([high]));
    }
    let other = create(&guest, "posts", json!({ "title": "other", "n": 5 }));
    update(&guest, "posts", id(&other), json!({ "n": 6 }));
    let came = update(&guest, "posts", id(&other), json!({ "n": 11 }));
    update(&guest, "posts", id(&high), json!({ "n": 21 }));
    update(&guest, "posts", id(&high), json!({ "n": 2 }));
    create(&guest, "posts", json!({ "title": "new", "n": 12 }));
    delete(&guest, "posts", id(&other));
    for listener in &mut listeners {
        let enter = listener.next();
        assert_eq!((&enter["action"], &enter["record"]), (&json!("enter"), &came));
        assert_told(listener, &[("change", "high"), ("leave", id(&high)), ("enter", "new"), ("leave", id(&other))]);
    }
}

/// A record that a rule begins to show, or hides, enters or leaves; what is in a query depends on who asks, and changes with
/// him.
#[test]
fn a_query_shows_what_its_caller_may_see() {
    let server = start();
    let rule = "owner = @request.auth.id || @request.auth.name = 'chief'";
    collection(&server, "posts", json!({ "fields": [{ "name": "owner", "type": "text" }], "listRule": rule }));
    let (ann, client) = user(&server, "ann");
    let (bob, _) = user(&server, "bob");
    let superuser = server.superuser();
    let post = create(&superuser, "posts", json!({ "title": "post", "owner": id(&bob) }));
    let mut listeners = Listener::both(&client, &live("posts/*", json!({})));
    for listener in &mut listeners {
        assert_eq!(titles(&listener.next()), [""; 0]);
    }
    update(&superuser, "posts", id(&post), json!({ "owner": id(&ann) }));
    update(&superuser, "posts", id(&post), json!({ "owner": id(&bob) }));
    for listener in &mut listeners {
        assert_told(listener, &[("enter", "post"), ("leave", id(&post))]);
    }
    update(&superuser, "users", id(&ann), json!({ "name": "chief" }));
    for listener in &mut listeners {
        let page = listener.next();
        assert_eq!((&page["action"], titles(&page)), (&json!("snapshot"), vec!["post"]));
    }
    create(&superuser, "posts", json!({ "title": "another" }));
    for listener in &mut listeners {
        assert_told(listener, &[("enter", "another")]);
    }
}

/// RTX-16: with `sort` and `perPage` the window is kept full.
#[test]
fn a_window_is_kept_full() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let posts: Vec<Json> =
        (1..=5).map(|n| create(&guest, "posts", json!({ "title": format!("p{n}"), "n": n * 10 }))).collect();
    let topic = live("posts/*", json!({ "sort": "-n", "perPage": 3, "filter": "n > 0" }));
    let mut listeners = Listener::both(&guest, &topic);
    for listener in &mut listeners {
        let page = listener.next();
        assert_eq!((titles(&page), &page["totalItems"]), (vec!["p5", "p4", "p3"], &json!(5)));
    }
    let step = |listeners: &mut [Listener; 2], expected: &[(&str, &str)]| {
        for listener in listeners {
            assert_told(listener, expected);
        }
    };
    // Out of the window: somebody else moves in.
    update(&guest, "posts", id(&posts[4]), json!({ "n": 5 }));
    step(&mut listeners, &[("leave", id(&posts[4])), ("enter", "p2")]);
    // Into it: the last one moves out.
    create(&guest, "posts", json!({ "title": "top", "n": 100 }));
    step(&mut listeners, &[("leave", id(&posts[1])), ("enter", "top")]);
    update(&guest, "posts", id(&posts[3]), json!({ "n": 41 }));
    step(&mut listeners, &[("change", "p4")]);
    // Below it nothing is told, and the deletion after it is the next.
    create(&guest, "posts", json!({ "title": "below", "n": 1 }));
    delete(&guest, "posts", id(&posts[2]));
    step(&mut listeners, &[("leave", id(&posts[2])), ("enter", "p2")]);
    // The place of who came is told.
    let best = create(&guest, "posts", json!({ "title": "best", "n": 70 }));
    for listener in &mut listeners {
        assert_eq!(listener.told().0, "leave");
        let enter = listener.next();
        assert_eq!((&enter["record"], &enter["index"]), (&best, &json!(1)));
    }
}

/// RTX-15, RTX-16: whatever is written meanwhile, what was told adds up to what there is.
#[test]
fn nothing_is_missing_between_the_page_and_what_comes_after() {
    const WRITES: usize = 150;
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let window = json!({ "filter": "n < 50", "sort": "-n,id", "perPage": 7 });
    let all = json!({ "filter": "n < 50", "perPage": 500 });
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let mut session = guest.session();
                scope.spawn(move || {
                    let mut rng = rand::rng();
                    for _ in 0..WRITES {
                        let record = format!("record{writer}{:08}", rng.random_range(0..8));
                        let path = "/api/collections/posts/records";
                        let values = json!({ "id": record, "n": rng.random_range(0..100) });
                        let one = format!("{path}/{record}");
                        let answer = match rng.random_range(0..4) {
                            0 | 1 => session.send("POST", path, &values),
                            2 => session.send("PATCH", &one, &values),
                            _ => session.send("DELETE", &one, &json!({})),
                        };
                        assert!(answer.is_some());
                    }
                })
            })
            .collect();
        let mut held: Vec<(Listener, BTreeMap<String, Json>, &Json)> = Vec::new();
        for parameters in [&window, &all, &window, &all] {
            for listener in Listener::both(&guest, &live("posts/*", parameters.clone())) {
                held.push((listener, BTreeMap::new(), parameters));
            }
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        // What is written last: a record that is first in every order.
        let last = create(&guest, "posts", json!({ "id": "zzzzzzzzzzzzzzz", "n": 49, "title": "last" }));
        for (listener, records, parameters) in &mut held {
            let is_window = *parameters == &window;
            let parameters: Vec<(&str, String)> = parameters
                .as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str().map_or(value.to_string(), str::to_owned)))
                .collect();
            let pairs: Vec<(&str, &str)> = parameters.iter().map(|(key, value)| (*key, value.as_str())).collect();
            let list = guest.get(&format!("/api/collections/posts/records?{}", query(&pairs))).ok();
            let expected = list["items"].as_array().unwrap().iter().map(|item| (id(item).to_owned(), item.clone()));
            let expected: BTreeMap<String, Json> = expected.collect();
            // A window that is read once for several commits tells what became of them in the order of the window.
            while !records.contains_key(id(&last)) || is_window && *records != expected {
                follow(records, &listener.next());
            }
            assert_eq!(*records, expected, "{parameters:?}");
        }
    });
}

/// Does what a message says; it must make sense.
#[track_caller]
fn follow(records: &mut BTreeMap<String, Json>, message: &Json) {
    match message["action"].as_str().unwrap() {
        "snapshot" => {
            assert!(records.is_empty(), "one page to begin with");
            for item in message["items"].as_array().unwrap() {
                records.insert(id(item).to_owned(), item.clone());
            }
        }
        "leave" => assert!(records.remove(message["id"].as_str().unwrap()).is_some(), "{message}"),
        action => {
            let record = message["record"].clone();
            let known = records.insert(id(&record).to_owned(), record);
            assert_eq!(known.is_some(), action == "change", "{message}");
        }
    }
}

/// A client that comes back is given the page anew, and its other topics what they missed.
#[test]
fn who_comes_back_begins_with_the_page() {
    let server = start();
    collection(&server, "posts", json!({}));
    let guest = server.guest();
    let since = Stream::open(&guest).connect.data["seq"].as_str().unwrap().to_owned();
    let mark = create(&guest, "marks", json!({}));
    create(&guest, "posts", json!({ "title": "there" }));
    let topic = live("posts/*", json!({}));
    let mut socket = Socket::open(&guest);
    socket.ask(json!({ "subscriptions": [topic, "marks/*"], "since": since }));
    let messages = [socket.next(), socket.next()];
    let page = messages.iter().find(|message| message["topic"] == topic).expect("a page");
    assert_eq!(titles(page), ["there"]);
    let missed = messages.iter().find(|message| message["topic"] == "marks/*").expect("what was missed");
    assert_eq!(missed["record"], mark);
    create(&guest, "posts", json!({ "title": "new" }));
    let enter = socket.next();
    assert_eq!((&enter["action"], &enter["record"]["title"]), (&json!("enter"), &json!("new")));
}

/// RTX-9: while a client is being told what it missed, its live queries go on. What they tell says no later position than
/// what it has been told, so that it may come back from there and miss nothing.
#[test]
fn positions_do_not_run_ahead_of_what_is_still_to_be_told() {
    const POSTS: usize = 800;
    let server = start();
    let body = json!({ "name": "body", "type": "text" });
    collection(&server, "posts", json!({ "fields": [body] }));
    let guest = server.guest();
    let since = Stream::open(&guest).connect.data["seq"].as_str().unwrap().to_owned();
    let mut session = guest.session();
    for _ in 0..POSTS {
        let post = json!({ "body": "x".repeat(2000) });
        session.send("POST", "/api/collections/posts/records", &post).expect("an answer").ok();
    }
    let mut socket = Socket::narrow(&guest);
    socket.ask(json!({ "subscriptions": [live("marks/*", json!({}))] }));
    assert_eq!(socket.next()["action"], "snapshot");
    // While it does not read it is told no more than the first part of what it missed.
    socket.ask(json!({ "type": "subscribe", "topics": ["posts/*"], "since": since }));
    (0..3).for_each(|_| _ = create(&guest, "marks", json!({})));
    let number = |position: &str| position.split_once(':').unwrap().1.parse::<u64>().unwrap();
    let (mut told, mut posts, mut marks) = (number(&since), 0, 0);
    while posts < POSTS || marks < 3 {
        let message = socket.next();
        let position = number(message["seq"].as_str().unwrap());
        if message["topic"] == "posts/*" {
            assert!(told < position, "{message}");
            (told, posts) = (position, posts + 1);
        } else {
            assert_eq!(message["action"], "enter");
            marks += 1;
        }
        assert!(posts == POSTS || position <= told, "at {told}: {message}");
    }
}

/// One record, its fields and relations as asked for; and queries that cannot be read say so.
#[test]
fn a_query_takes_the_parameters_of_a_list() {
    let server = start();
    let sealed = json!({ "listRule": null, "viewRule": "" });
    collection(&server, "posts", sealed);
    let guest = server.guest();
    let post = create(&guest, "posts", json!({ "title": "post" }));
    let one = format!("posts/{}", id(&post));
    for mut listener in Listener::both(&guest, &live(&one, json!({ "fields": "title" }))) {
        assert_eq!(listener.next()["items"], json!([{ "title": "post" }]));
        update(&guest, "posts", id(&post), json!({ "n": 1 }));
        assert_eq!(listener.next()["record"], json!({ "title": "post" }));
    }
    let senseless = [json!({ "filter": "none ?" }), json!({ "fields": "title:nope()" })].map(|query| live(&one, query));
    for topic in [live("posts/*", json!({})), live("nobody/*", json!({}))].into_iter().chain(senseless) {
        for mut listener in Listener::both(&guest, &topic) {
            assert_eq!(listener.next()["action"], "error");
        }
    }
}
