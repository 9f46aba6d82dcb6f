//! What extensions of the server do to streams: `realtime.md` §9 (RT-30, RT-36, RT-37), over both protocols.

use std::sync::{Arc, Mutex};

use headwater::hooks::{Handler, Next};
use headwater::http::ApiError;
use headwater::realtime::ClientId;
use headwater::realtime::events::{Connect, Message, Stopped, Subscribe};
use headwater::records::RecordError;
use headwater::records::hooks::EnrichEvent;
use headwater::request::Caller;
use serde_json::{Value as Json, json};

use super::listener::Listener;
use super::scene::create;
use crate::harness::{Client, Embedded, Socket, Stream};

/// A server with the open collections `posts` and `marks`, and ann.
fn start() -> (Embedded, Client) {
    let server = Embedded::start();
    for name in ["posts", "marks"] {
        server.collection(name, json!([{ "name": "title", "type": "text" }]));
    }
    let password = json!("1234567890");
    let ann = json!({ "email": "ann@example.com", "password": password, "passwordConfirm": password, "name": "ann" });
    create(&server.superuser(), "users", ann);
    let ann = server.login("users", "ann@example.com", "1234567890");
    (server, ann)
}

/// Who asked for which topics.
type Asked = (String, Vec<String>);

fn name(caller: &Caller) -> String {
    caller.record().map_or("guest", |record| record.text("name")).to_owned()
}

/// What is next is a new record of `marks`: nothing came before it.
#[track_caller]
fn nothing_came(server: &Embedded, listeners: &mut [Listener]) {
    let mark = create(&server.guest(), "marks", json!({}));
    for listener in listeners {
        let (_, topic, data) = listener.next();
        assert_eq!((topic.as_str(), &data["record"]["id"]), ("marks/*", &mark["id"]), "{data}");
    }
}

/// RT-30.
#[test]
fn records_are_enriched_for_each_who_hears_of_them() {
    let (server, ann) = start();
    let topics = ["posts/*", "marks/*"];
    let mut guests = Listener::subscribed(&server.guest(), &topics);
    let mut anns = Listener::subscribed(&ann, &topics);
    let posts = server.app.schema.current().find("posts").unwrap().id.clone();
    let enrich = |event: &mut EnrichEvent, next: Next<'_, EnrichEvent, RecordError>| {
        if event.request.context.as_str() == "realtime" {
            let whom = name(&event.request.caller);
            if event.record.text("title") == "private" && whom == "guest" {
                return Err(RecordError::NotFound);
            }
            event.record.set("title", format!("{} for {whom}", event.record.text("title")));
        }
        next(event)
    };
    server.app.record_hooks.enrich.bind(Handler::new(enrich).id("enrich").tags([posts]));
    create(&server.guest(), "posts", json!({ "title": "one" }));
    for (listeners, expected) in [(&mut guests, "one for guest"), (&mut anns, "one for ann")] {
        for listener in listeners {
            assert_eq!(listener.next().2["record"]["title"], expected);
        }
    }
    // A handler that fails keeps the event from those for whom it failed.
    create(&server.guest(), "posts", json!({ "title": "private" }));
    for listener in &mut anns {
        assert_eq!(listener.next().2["record"]["title"], "private for ann");
    }
    nothing_came(&server, &mut guests);
    server.app.record_hooks.enrich.unbind("enrich");
    create(&server.guest(), "posts", json!({ "title": "two" }));
    for listener in &mut guests {
        assert_eq!(listener.next().2["record"]["title"], "two");
    }
}

/// RT-36: to all who listen to a topic of the application's own, with any options, whoever they are.
#[test]
fn the_application_sends_to_topics_of_its_own() {
    let (server, ann) = start();
    let realtime = &server.app.realtime;
    let with_options = "news?options=%7B%22query%22%3A%7B%22a%22%3A%221%22%7D%7D";
    let mut hear = Vec::from(Listener::subscribed(&server.guest(), &["news", "marks/*"]));
    hear.extend(Listener::subscribed(&ann, &["news", "marks/*"]));
    let mut by_options = Listener::subscribed(&server.guest(), &[with_options, "marks/*"]);
    let mut others = Vec::from(Listener::subscribed(&ann, &["News", "news/*", "news/1", "new", "marks/*"]));
    others.extend(Listener::subscribed(&server.guest(), &["marks/*"]));
    for n in 0..3 {
        realtime.send("news", json!({ "n": n }).to_string().into());
    }
    // Nobody listens to this one.
    realtime.send("nothing", "{}".into());
    for n in 0..3 {
        for listener in &mut hear {
            let (_, topic, data) = listener.next();
            assert_eq!((topic.as_str(), &data["n"]), ("news", &json!(n)));
        }
        for listener in &mut by_options {
            let (_, topic, data) = listener.next();
            assert_eq!((topic.as_str(), &data["n"]), (with_options, &json!(n)));
        }
    }
    let mut all = hear;
    all.extend(by_options);
    all.append(&mut others);
    nothing_came(&server, &mut all);
}

/// RT-36: to one client that waits for it, once.
#[test]
fn the_application_answers_one_client_once() {
    let (server, _) = start();
    let home = "127.0.0.1".parse().ok();
    for place in 0..2 {
        let pair = || Listener::subscribed(&server.guest(), &["answer", "marks/*"]).into_iter().nth(place).unwrap();
        let mut listeners = [pair(), pair()];
        let client = ClientId::parse(listeners[0].id()).unwrap();
        let send = |client: &ClientId, ip, topic: &str, n: i32| {
            let payload = json!({ "n": n }).to_string().into();
            server.wait(server.app.realtime.send_once(client, ip, topic, payload))
        };
        assert!(!send(&ClientId::random(), home, "answer", 1));
        assert!(!send(&client, "10.0.0.1".parse().ok(), "answer", 2), "from elsewhere");
        assert!(!send(&client, home, "question", 3), "it does not wait for that");
        assert!(send(&client, home, "answer", 4));
        assert!(!send(&client, home, "answer", 5), "once");
        let (_, topic, data) = listeners[0].next();
        assert_eq!((topic.as_str(), &data["n"]), ("answer", &json!(4)));
        nothing_came(&server, &mut listeners);
    }
}

/// RT-37.
#[test]
fn handlers_see_and_refuse_connections() {
    let (server, _) = start();
    let guest = server.guest();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let ids = seen.clone();
    let connect = &server.app.realtime.events().connect;
    connect.bind(Handler::new(move |event: &mut Connect, next: Next<'_, Connect, Stopped>| {
        ids.lock().unwrap().push(event.client.to_string());
        next(event)
    }));
    let (stream, socket) = (Stream::open(&guest), Socket::open(&guest));
    assert_eq!(*seen.lock().unwrap(), [&stream.id, socket.connect["clientId"].as_str().unwrap()]);
    // A HEAD connects nobody.
    assert_eq!(guest.request("HEAD", "/api/realtime").head_only(), 200);
    assert_eq!(seen.lock().unwrap().len(), 2);

    let refuse = |_: &mut Connect, _: Next<'_, Connect, Stopped>| Err(ApiError::forbidden("Not today").into());
    connect.bind(Handler::new(refuse).id("refuse"));
    assert_eq!(guest.get("/api/realtime").refused(403)["message"], "Not today.");
    assert_eq!(Socket::open_at(&guest, "/api/realtime", &[]).err(), Some(403));
    // Who does not go on has an answer without a stream.
    connect.bind(Handler::new(|_: &mut Connect, _: Next<'_, Connect, Stopped>| Ok(())).id("refuse"));
    let answer = guest.get("/api/realtime");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(Socket::open_at(&guest, "/api/realtime", &[]).err(), Some(200));
    connect.unbind("refuse");
    Stream::open(&guest);
}

/// RT-37.
#[test]
fn handlers_see_alter_and_refuse_topics() {
    let (server, ann) = start();
    let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let asked = seen.clone();
    let subscribe = &server.app.realtime.events().subscribe;
    let alter = move |event: &mut Subscribe, next: Next<'_, Subscribe, Stopped>| {
        asked.lock().unwrap().push((name(&event.caller), event.topics.clone()));
        if event.topics.iter().any(|topic| topic == "forbidden") {
            return Err(ApiError::forbidden("Not this one").into());
        }
        if event.topics.iter().any(|topic| topic == "ignored") {
            return Ok(());
        }
        for topic in &mut event.topics {
            *topic = topic.replace("alias", "marks");
        }
        next(event)
    };
    subscribe.bind(Handler::new(alter));
    let (stream, mut socket) = (Stream::open(&server.guest()), Socket::open(&server.guest()));
    let set = |topics: &[&str]| stream.subscribe(&ann, topics);
    set(&["alias/*"]).ok();
    socket.ask(json!({ "subscriptions": ["alias/*"], "token": ann.token() }));
    // Neither of these changes anything.
    assert_eq!(set(&["forbidden"]).refused(403)["message"], "Not this one.");
    let refused = socket.request(json!({ "type": "subscribe", "topics": ["forbidden"] }));
    assert_eq!((&refused["status"], &refused["message"]), (&json!(403), &json!("Not this one.")));
    set(&["ignored", "posts/*"]).ok();
    socket.ask(json!({ "type": "subscribe", "topics": ["ignored", "posts/*"] }));
    create(&server.guest(), "posts", json!({}));
    nothing_came(&server, &mut [Listener::Sse(stream), Listener::WebSocket(socket)]);
    // Also where a message does not say who asks.
    let asked = |topics: &[&str]| ("ann".to_owned(), topics.iter().map(|topic| (*topic).to_owned()).collect());
    let expected: [Asked; 6] = [
        asked(&["alias/*"]),
        asked(&["alias/*"]),
        asked(&["forbidden"]),
        asked(&["forbidden"]),
        asked(&["ignored", "posts/*"]),
        asked(&["ignored", "posts/*"]),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// RT-37: every message to every client, the first one and those of the application too.
#[test]
fn handlers_see_alter_and_withhold_messages() {
    let (server, ann) = start();
    let message = &server.app.realtime.events().message;
    let alter = |event: &mut Message, next: Next<'_, Message, Stopped>| {
        let mut data: Json = serde_json::from_slice(&event.data)?;
        match data["record"]["title"].as_str() {
            Some("withheld") => return Ok(()),
            Some("refused") => return Err("no".into()),
            _ => {}
        }
        data["for"] = json!(name(&event.caller));
        data["by"] = json!(event.client.to_string());
        event.data = data.to_string().into();
        if event.name == "posts/*" {
            event.name = "renamed".to_owned();
        }
        next(event)
    };
    message.bind(Handler::new(alter).id("alter"));
    let topics = ["posts/*", "marks/*", "news"];
    let mut listeners = Vec::from(Listener::subscribed(&server.guest(), &topics));
    listeners.extend(Listener::subscribed(&ann, &topics));
    for listener in &listeners {
        let first = match listener {
            Listener::Sse(stream) => &stream.connect.data,
            Listener::WebSocket(socket) => &socket.connect,
        };
        assert_eq!((&first["for"], &first["by"]), (&json!("guest"), &json!(listener.id())), "{first}");
        assert!(first["seq"].is_string());
    }
    for title in ["withheld", "refused", "seen"] {
        create(&server.guest(), "posts", json!({ "title": title }));
    }
    let callers = ["guest", "guest", "ann", "ann"];
    for (listener, whom) in listeners.iter_mut().zip(callers) {
        let id = listener.id().to_owned();
        let (_, topic, data) = listener.next();
        assert_eq!((topic.as_str(), &data["record"]["title"]), ("renamed", &json!("seen")));
        assert_eq!((&data["for"], &data["by"]), (&json!(whom), &json!(id)));
    }
    // Not before: hubs are told of a commit after its write was answered, of this at once.
    server.app.realtime.send("news", r#"{"n":1}"#.into());
    for (listener, whom) in listeners.iter_mut().zip(callers) {
        let (_, topic, data) = listener.next();
        assert_eq!((topic.as_str(), &data["n"], &data["for"]), ("news", &json!(1), &json!(whom)));
    }
    message.unbind("alter");
    nothing_came(&server, &mut listeners);
}
