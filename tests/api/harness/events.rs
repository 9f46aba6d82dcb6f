//! A reader of event streams (`GET /api/realtime`): one event at a time, as its lines came over the wire.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value as Json, json};

use super::http::{Body, Head};
use super::{Answer, Client, PATIENCE};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    /// The topic, exactly as it was subscribed to.
    pub name: String,
    pub data: Json,
    /// The lines as they came, without the blank one.
    pub lines: Vec<String>,
}

impl Event {
    /// `create`, `update` or `delete`.
    pub fn action(&self) -> &str {
        self.data["action"].as_str().unwrap_or_default()
    }

    pub fn record(&self) -> &Json {
        &self.data["record"]
    }
}

/// An open stream.
pub struct Stream {
    /// Status and headers; its body stays empty.
    pub head: Answer,
    /// From PB_CONNECT; what `POST /api/realtime` calls `clientId`.
    pub id: String,
    /// PB_CONNECT itself.
    pub connect: Event,
    body: BufReader<Body<BufReader<TcpStream>>>,
}

impl Stream {
    /// Opens a stream as a guest (the GET binds nobody) and reads PB_CONNECT.
    pub fn open(client: &Client) -> Stream {
        Stream::open_at(client, "/api/realtime", &[])
    }

    /// Opens a stream with a query string or headers of its own.
    pub fn open_at(client: &Client, path: &str, headers: &[(&str, &str)]) -> Stream {
        let mut request = client.request("GET", path).header("Accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Stream::of(request.open("keep-alive")).expect("an answer before the end of the connection")
    }

    /// The same, where the server may be gone: none then.
    pub fn try_open_at(client: &Client, path: &str, headers: &[(&str, &str)]) -> Option<Stream> {
        let mut request = client.request("GET", path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Stream::of(request.try_open("keep-alive").ok()?)
    }

    fn of(mut connection: BufReader<TcpStream>) -> Option<Stream> {
        let head = Head::read(&mut connection).ok()??.into_answer();
        assert_eq!(head.status, 200);
        let mut body = BufReader::new(Body::of(&head, "GET", connection));
        let connect = read(&mut body)?;
        assert_eq!(connect.name, "PB_CONNECT");
        let id = connect.data["clientId"].as_str().expect("a client id").to_owned();
        Some(Stream { head, id, connect, body })
    }

    /// Opens a stream and subscribes as `client`.
    pub fn subscribed(client: &Client, topics: &[&str]) -> Stream {
        let stream = Stream::open(client);
        stream.subscribe(client, topics).ok();
        stream
    }

    /// Replaces the set of topics.
    pub fn subscribe(&self, client: &Client, topics: &[&str]) -> Answer {
        client.post("/api/realtime", json!({ "clientId": self.id, "subscriptions": topics }))
    }

    /// The next event. Comments are passed over.
    #[track_caller]
    pub fn next(&mut self) -> Event {
        read(&mut self.body).expect("an event before the end of the stream")
    }

    /// The next line as it came, comments too. None at the clean end of the body; a connection that was cut off is a
    /// failure.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.body.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.strip_suffix('\n').expect("a whole line").to_owned()),
            Err(error) => panic!("the stream broke off: {error}"),
        }
    }

    /// None if the stream ended.
    pub fn next_or_end(&mut self) -> Option<Event> {
        read(&mut self.body)
    }
}

fn read(body: &mut impl BufRead) -> Option<Event> {
    let mut event = Event { id: String::new(), name: String::new(), data: Json::Null, lines: Vec::new() };
    let begin = Instant::now();
    loop {
        // Comments that keep the connection open are no reason to go on waiting.
        assert!(begin.elapsed() < PATIENCE, "no event came");
        let mut line = String::new();
        match body.read_line(&mut line) {
            Ok(0) => return None,
            // A connection that was cut off in the middle of a line.
            Ok(_) if !line.ends_with('\n') => return None,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no event came"),
            Err(_) => return None,
        }
        let line = line.trim_end_matches('\n');
        if line.is_empty() && event.data.is_null() {
            // The end of a comment or of a lone `id:`: nothing to dispatch.
            event.lines.clear();
            continue;
        }
        if line.is_empty() {
            return Some(event);
        }
        event.lines.push(line.to_owned());
        match line.split_once(':') {
            Some(("id", value)) => event.id = value.trim_start().to_owned(),
            Some(("event", value)) => event.name = value.trim_start().to_owned(),
            Some(("data", value)) => event.data = serde_json::from_str(value).expect("data is JSON"),
            _ => {}
        }
    }
}
