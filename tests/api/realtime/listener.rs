//! A client over either protocol, for what must be the same over both.

use serde_json::{Value as Json, json};

use crate::harness::{Client, Socket, Stream};

pub(super) enum Listener {
    Sse(Stream),
    WebSocket(Socket),
}

impl Listener {
    /// Both protocols, as this client from now on.
    pub fn subscribed(client: &Client, topics: &[&str]) -> [Listener; 2] {
        let (stream, socket) = (Stream::subscribed(client, topics), Socket::subscribed(client, topics));
        [Listener::Sse(stream), Listener::WebSocket(socket)]
    }

    /// The same, with what came after a position.
    pub fn both(client: &Client, topics: &[&str], since: &str) -> [Listener; 2] {
        let stream = Stream::open(client);
        let body = json!({ "clientId": stream.id, "subscriptions": topics, "since": since });
        client.post("/api/realtime", body).ok();
        let mut socket = Socket::open(client);
        socket.ask(json!({ "subscriptions": topics, "since": since, "token": client.token() }));
        [Listener::Sse(stream), Listener::WebSocket(socket)]
    }

    /// The client's id.
    pub fn id(&self) -> &str {
        match self {
            Listener::Sse(stream) => &stream.id,
            Listener::WebSocket(socket) => socket.connect["clientId"].as_str().unwrap(),
        }
    }

    /// Position, topic and what it says.
    #[track_caller]
    pub fn next(&mut self) -> (String, String, Json) {
        match self {
            Listener::Sse(stream) => {
                let event = stream.next();
                (event.id, event.name, event.data)
            }
            Listener::WebSocket(socket) => {
                let message = socket.next();
                let topic = match message["type"].as_str() {
                    Some("reset") => "HW_RESET",
                    _ => message["topic"].as_str().unwrap(),
                };
                (message["seq"].as_str().unwrap().to_owned(), topic.to_owned(), message)
            }
        }
    }

    /// What comes next says to read anew, and why.
    #[track_caller]
    pub fn is_reset(&mut self, reason: &str) {
        let (position, name, data) = self.next();
        assert_eq!((name.as_str(), &data["reason"]), ("HW_RESET", &json!(reason)), "{data}");
        assert_eq!(data["seq"].as_str(), Some(position.as_str()));
    }

    /// Nothing comes any more: the body of the event stream has ended, the socket was closed with this code.
    #[track_caller]
    pub fn is_over(&mut self, code: u16) {
        match self {
            Listener::Sse(stream) => assert_eq!(stream.line(), None),
            Listener::WebSocket(socket) => assert_eq!(socket.frame(), Err(code)),
        }
    }
}
