//! `/api/oauth2-redirect` and the topic `@oauth2` (RT-35): `realtime.md` §8.

use serde_json::json;

use super::listener::Listener;
use super::scene::{create, start};
use crate::harness::{Answer, Client, Multipart, Server, Socket, Stream, query};

const PATH: &str = "/api/oauth2-redirect";
const SUCCESS: &str = "../_/#/auth/oauth2-redirect-success";
const FAILURE: &str = "../_/#/auth/oauth2-redirect-failure";

/// A client that waits for a code, and one that does so over a WebSocket.
fn waiting(client: &Client) -> [Listener; 2] {
    Listener::subscribed(client, &["@oauth2", "marks/*"])
}

fn get(client: &Client, pairs: &[(&str, &str)]) -> Answer {
    client.get(&format!("{PATH}?{}", query(pairs)))
}

#[track_caller]
fn leads_to(answer: &Answer, status: u16, page: &str) {
    assert_eq!((answer.status, answer.header("location"), answer.text().as_str()), (status, Some(page), ""));
}

#[track_caller]
fn nothing_came(server: &Server, listener: &mut Listener) {
    let mark = create(&server.guest(), "marks", json!({}));
    let (_, topic, data) = listener.next();
    assert_eq!((topic.as_str(), &data["record"]), ("marks/*", &mark), "{data}");
}

#[test]
fn a_code_goes_once_to_the_client_that_waits_for_it() {
    let server = start();
    let guest = server.guest();
    for protocol in 0..2 {
        let mut listener = waiting(&guest).into_iter().nth(protocol).unwrap();
        let state = listener.id().to_owned();
        // The order of members and the escapes are the reference's.
        leads_to(&get(&guest, &[("state", &state), ("code", "a\"b<ä\n")]), 307, SUCCESS);
        if let Listener::Sse(stream) = &mut listener {
            let data = format!(r#"data:{{"state":"{state}","code":"a\"b\u003cä\n"}}"#);
            assert_eq!(stream.next().lines[1..], ["event:@oauth2".to_owned(), data]);
        } else {
            let (_, topic, data) = listener.next();
            assert_eq!((topic.as_str(), &data["type"]), ("@oauth2", &json!("event")));
            assert_eq!((&data["state"], &data["code"]), (&json!(state), &json!("a\"b<ä\n")));
            assert_eq!(data.as_object().map(|data| data.len()), Some(5), "{data}");
        }
        // It waits for no other one, and keeps what else it listens to.
        leads_to(&get(&guest, &[("state", &state), ("code", "another")]), 307, FAILURE);
        nothing_came(&server, &mut listener);
    }
}

#[test]
fn forms_are_posted_too() {
    let server = start();
    let guest = server.guest();
    let post = |path: &str, state: &str| {
        let fields = [("state", state), ("code", "c"), ("user", r#"{"name":{"firstName":"Ann"}}"#)];
        guest.request("POST", path).form(&fields).send()
    };
    let parts = |state: &str| Multipart::new().text("state", state).text("code", "c");
    type Send<'a> = Box<dyn Fn(&str) -> Answer + 'a>;
    let good: [Send<'_>; 4] = [
        Box::new(|state| post(PATH, state)),
        Box::new(|state| guest.post(PATH, json!({ "state": state, "code": "c" }))),
        Box::new(|state| guest.request("POST", PATH).multipart(parts(state)).send()),
        Box::new(|state| {
            let path = format!("{PATH}?state={state}&code=not-this-one");
            guest.request("POST", &path).form(&[("code", "c")]).send()
        }),
    ];
    for send in good {
        let mut stream = Stream::subscribed(&guest, &["@oauth2"]);
        leads_to(&send(&stream.id), 303, SUCCESS);
        assert_eq!(stream.next().data, json!({ "state": stream.id, "code": "c" }));
    }
    let mut listener = waiting(&guest).into_iter().next().unwrap();
    let state = listener.id().to_owned();
    let path = format!("{PATH}?state={state}&code=c");
    let bad = [
        guest.request("POST", PATH),
        guest.request("POST", &path),
        guest.request("POST", &path).body("application/json", "{"),
        guest.request("POST", &path).body("text/plain", "code=c"),
        guest.request("POST", PATH).json(&json!({ "state": [state], "code": "c" })),
        guest.request("POST", PATH).form(&[("state", &state), ("code", &"x".repeat(2 << 20))]),
    ];
    for request in bad {
        leads_to(&request.send(), 303, FAILURE);
    }
    nothing_came(&server, &mut listener);
    guest.put(PATH, json!({})).refused(404);
}

/// The app hears of a failure as well.
#[test]
fn a_failure_is_told_too() {
    let server = start();
    let guest = server.guest();
    let cases = [
        (vec![("error", "access_denied")], json!({ "code": "", "error": "access_denied" })),
        (vec![("error", "access_denied"), ("code", "c")], json!({ "code": "c", "error": "access_denied" })),
        (vec![], json!({ "code": "" })),
        (vec![("code", "")], json!({ "code": "" })),
    ];
    for (mut pairs, mut expected) in cases {
        let mut stream = Stream::subscribed(&guest, &["@oauth2"]);
        expected["state"] = json!(stream.id);
        pairs.push(("state", &stream.id));
        let answer = get(&guest, &pairs);
        leads_to(&answer, 307, FAILURE);
        assert_eq!(stream.next().data, expected);
    }
}

#[test]
fn nobody_else_hears_of_it() {
    let server = start();
    let guest = server.guest();
    let proxy = json!({ "trustedProxy": { "headers": ["X-Forwarded-For"], "useLeftmostIP": false } });
    server.superuser().patch("/api/settings", proxy).ok();
    let from = |state: &str, address: &str| {
        let path = format!("{PATH}?state={state}&code=c");
        guest.request("GET", &path).header("X-Forwarded-For", address).send()
    };
    let mut bystanders = Vec::from(waiting(&guest));
    bystanders.extend(Listener::subscribed(&guest, &["marks/*"]));
    bystanders.extend(Listener::subscribed(&guest, &["marks/*", "@oauth2?options=%7B%7D"]));
    let away = Stream::open_at(&guest, "/api/realtime", &[("X-Forwarded-For", "10.0.0.1")]);
    let mut away = Listener::Sse(away);
    let body = json!({ "clientId": away.id(), "subscriptions": ["@oauth2", "marks/*"] });
    guest.request("POST", "/api/realtime").header("X-Forwarded-For", "10.0.0.1").json(&body).send().ok();
    let gone = {
        let socket = Socket::open(&guest);
        socket.connect["clientId"].as_str().unwrap().to_owned()
    };

    for state in ["", "x", &"a".repeat(40), &"a".repeat(300), &gone] {
        leads_to(&get(&guest, &[("state", state), ("code", "c")]), 307, FAILURE);
    }
    // Known to the server, but not waiting for this.
    for bystander in &bystanders[2..] {
        leads_to(&get(&guest, &[("state", bystander.id()), ("code", "c")]), 307, FAILURE);
    }
    // From another address than the client's.
    leads_to(&from(away.id(), "10.0.0.2"), 307, FAILURE);
    leads_to(&from(away.id(), "10.0.0.1"), 307, SUCCESS);
    assert_eq!(away.next().1, "@oauth2");
    let mark = create(&guest, "marks", json!({}));
    for bystander in bystanders.iter_mut().chain([&mut away]) {
        let (_, topic, data) = bystander.next();
        assert_eq!((topic.as_str(), &data["record"]), ("marks/*", &mark), "{data}");
    }
}
