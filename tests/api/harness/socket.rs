//! A client of WebSockets (`GET /api/realtime` with an upgrade): a JSON object for each message.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value as Json, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Request;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::{Error, Message, WebSocket};

use super::http::try_connect;
use super::{Client, PATIENCE};

/// An open socket.
pub struct Socket {
    socket: WebSocket<TcpStream>,
    /// The first message.
    pub connect: Json,
    /// Events that came while an answer was waited for.
    early: VecDeque<Json>,
    last: u64,
}

impl Socket {
    /// Opens a socket as a guest and reads the first message.
    pub fn open(client: &Client) -> Socket {
        Socket::open_at(client, "/api/realtime", &[]).expect("an upgrade")
    }

    /// Opens a socket and subscribes as `client`.
    pub fn subscribed(client: &Client, topics: &[&str]) -> Socket {
        let mut socket = Socket::open(client);
        socket.ask(json!({ "subscriptions": topics, "token": client.token() }));
        socket
    }

    /// Opens a socket with a query string or headers of its own; the status of the answer if there is no upgrade.
    pub fn open_at(client: &Client, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
        Socket::try_open_at(client, path, headers).expect("an answer before the end of the connection")
    }

    /// The same, where the server may be gone: none then.
    pub fn try_open_at(client: &Client, path: &str, headers: &[(&'static str, &str)]) -> Option<Result<Socket, u16>> {
        let mut request = format!("ws://{}{path}", client.address()).into_client_request().unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        Socket::handshake(request, try_connect(client.address()).ok()?)
    }

    fn handshake(request: Request, stream: TcpStream) -> Option<Result<Socket, u16>> {
        let (mut socket, _) = match tungstenite::client(request, stream) {
            Ok(opened) => opened,
            Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => {
                return Some(Err(answer.status().as_u16()));
            }
            Err(_) => return None,
        };
        let connect = match socket.read() {
            Ok(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            Ok(other) => panic!("{other:?}"),
            Err(_) => return None,
        };
        Some(Ok(Socket { socket, connect, early: VecDeque::new(), last: 0 }))
    }

    /// Opens a socket whose receive buffer is as small as the kernel lets it be.
    pub fn narrow(client: &Client) -> Socket {
        let stream = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        // Before it connects: the window is agreed on then.
        stream.set_recv_buffer_size(1).unwrap();
        stream.connect(&client.address().into()).unwrap();
        let stream = TcpStream::from(stream);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("ws://{}/api/realtime", client.address()).into_client_request().unwrap();
        Socket::handshake(request, stream).expect("an answer").expect("an upgrade")
    }

    /// Sends a message with an `id` of its own and returns its answer, `ok` or `error`.
    #[track_caller]
    pub fn request(&mut self, mut message: Json) -> Json {
        self.last += 1;
        message["id"] = json!(self.last);
        self.send(&message.to_string());
        loop {
            let message = self.read();
            match message["type"].as_str() {
                Some("ok" | "error") => {
                    assert_eq!(message["id"], json!(self.last), "{message}");
                    return message;
                }
                _ => self.early.push_back(message),
            }
        }
    }

    /// The same, for what must succeed.
    #[track_caller]
    pub fn ask(&mut self, message: Json) -> Json {
        let answer = self.request(message);
        assert_eq!(answer["type"], "ok", "{answer}");
        answer
    }

    pub fn send(&mut self, text: &str) {
        self.write(Message::Text(text.into()));
    }

    /// False if the server is gone.
    pub fn try_send(&mut self, text: &str) -> bool {
        self.socket.send(Message::Text(text.into())).is_ok()
    }

    pub fn write(&mut self, message: Message) {
        self.socket.send(message).expect("an open socket");
    }

    /// The next message that answers nothing.
    #[track_caller]
    pub fn next(&mut self) -> Json {
        match self.early.pop_front() {
            Some(message) => message,
            None => self.read(),
        }
    }

    #[track_caller]
    pub fn read(&mut self) -> Json {
        match self.frame() {
            Ok(text) => serde_json::from_str(&text).expect("JSON"),
            Err(code) => panic!("closed with {code}"),
        }
    }

    /// What comes next, signs of life too.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        self.socket.read().expect("a message")
    }

    /// The next text, or the code that the socket was closed with; 1006 without one.
    pub fn frame(&mut self) -> Result<String, u16> {
        let begin = Instant::now();
        loop {
            // Signs of life are no reason to go on waiting.
            assert!(begin.elapsed() < PATIENCE, "no message came");
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(text.to_string()),
                Ok(Message::Close(frame)) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Ok(Message::Pong(data)) => return Ok(format!("pong {}", String::from_utf8_lossy(&data))),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no message came"),
                Err(_) => return Err(1006),
            }
        }
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        self.socket.get_ref()
    }
}
