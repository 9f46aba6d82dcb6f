//! A small HTTP/1.1 client: requests as text, answers read to their end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value as Json;

use super::PATIENCE;

/// A caller: where the server is, and who asks.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    token: Option<String>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client { address, token: None }
    }

    pub fn with_token(&self, token: &str) -> Client {
        Client { address: self.address, token: Some(token.to_owned()) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send()
    }

    pub fn post(&self, path: &str, body: Json) -> Answer {
        self.request("POST", path).json(&body).send()
    }

    pub fn patch(&self, path: &str, body: Json) -> Answer {
        self.request("PATCH", path).json(&body).send()
    }

    pub fn put(&self, path: &str, body: Json) -> Answer {
        self.request("PUT", path).json(&body).send()
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path).send()
    }

    /// A request to add headers or another body to.
    pub fn request(&self, method: &str, path: &str) -> Request<'_> {
        let headers = self.token.iter().map(|token| ("Authorization".to_owned(), token.clone())).collect();
        Request { client: self, method: method.to_owned(), path: path.to_owned(), headers, body: Vec::new() }
    }

    /// Many requests over one connection.
    pub fn session(&self) -> Session {
        self.try_session().expect("the server listens")
    }

    /// None if the server is gone.
    pub fn try_session(&self) -> Option<Session> {
        Some(Session { client: self.clone(), connection: BufReader::new(try_connect(self.address).ok()?) })
    }
}

/// A request that is being put together.
pub struct Request<'a> {
    client: &'a Client,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn json(self, body: &Json) -> Self {
        self.body("application/json", body.to_string())
    }

    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        self.body("application/x-www-form-urlencoded", query(fields))
    }

    pub fn multipart(self, parts: Multipart) -> Self {
        let body = parts.finish();
        self.body(&format!("multipart/form-data; boundary={}", Multipart::BOUNDARY), body)
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    /// Sends it on a connection of its own and reads the whole answer.
    pub fn send(self) -> Answer {
        Answer::read(self.open("close"))
    }

    /// Sends it and returns the status alone, as for HEAD no body follows.
    pub fn head_only(self) -> u16 {
        Head::read(&mut self.open("close")).expect("an answer within the time").expect("an answer").status
    }

    /// Sends it and leaves the body unread.
    pub(super) fn open(self, connection: &str) -> BufReader<TcpStream> {
        self.try_open(connection).expect("the server listens")
    }

    pub(super) fn try_open(self, connection: &str) -> std::io::Result<BufReader<TcpStream>> {
        let mut stream = try_connect(self.client.address)?;
        // A server may answer before it has read everything, and close: what it answered is still there to be read.
        let _ = stream.write_all(&self.bytes(connection));
        Ok(BufReader::new(stream))
    }

    fn bytes(&self, connection: &str) -> Vec<u8> {
        let Request { client, method, path, headers, body } = self;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: {connection}\r\n", client.address)
            .into_bytes();
        for (name, value) in headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        if !body.is_empty() || !matches!(method.as_str(), "GET" | "HEAD" | "DELETE") {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        bytes
    }
}

/// A connection that is kept for many requests, for tests that write a lot.
pub struct Session {
    client: Client,
    connection: BufReader<TcpStream>,
}

impl Session {
    /// None if the server went away before it answered: then nobody knows whether the request was carried out.
    pub fn send(&mut self, method: &str, path: &str, body: &Json) -> Option<Answer> {
        let bytes = self.client.request(method, path).json(body).bytes("keep-alive");
        self.connection.get_mut().write_all(&bytes).ok()?;
        let mut answer = Head::read(&mut self.connection).ok()??.into_answer();
        Body::of(&answer, method, &mut self.connection).read_to_end(&mut answer.body).ok()?;
        Some(answer)
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn read(mut connection: BufReader<TcpStream>) -> Answer {
        let head = Head::read(&mut connection).expect("an answer within the time");
        let mut answer = head.expect("an answer before the end of the connection").into_answer();
        let mut body = Vec::new();
        // Without a length the body goes up to the end of the connection.
        Body::of(&answer, "GET", &mut connection).read_to_end(&mut body).expect("the whole body");
        answer.body = body;
        answer
    }

    /// The value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The body of a successful answer; null where there is none.
    #[track_caller]
    pub fn ok(&self) -> Json {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text());
        if self.body.is_empty() { Json::Null } else { self.json() }
    }

    /// The body of an answer with a given status that has the form of an error.
    #[track_caller]
    pub fn refused(&self, status: u16) -> Json {
        assert_eq!(self.status, status, "{}", self.text());
        self.error()
    }

    /// The body of an error of any status: `{"data":{…},"message":"…","status":…}`, JSON, with a final newline.
    #[track_caller]
    pub fn error(&self) -> Json {
        let text = self.text();
        assert_eq!(self.header("content-type"), Some("application/json"), "{} {text}", self.status);
        assert!(text.ends_with('\n'), "{} {text}", self.status);
        let body = self.json();
        let keys: Vec<_> = body.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["data", "message", "status"], "{text}");
        assert!(body["data"].is_object() && body["message"].is_string(), "{text}");
        assert_eq!(body["status"], self.status, "{text}");
        body
    }
}

/// The status line and the headers.
pub(super) struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// None at the end of the connection.
    pub fn read(connection: &mut BufReader<TcpStream>) -> std::io::Result<Option<Head>> {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Some(Head { status, headers }))
    }

    pub fn into_answer(self) -> Answer {
        Answer { status: self.status, headers: self.headers, body: Vec::new() }
    }
}

/// The bytes of a body as they come, whichever way their end is told.
pub(super) enum Body<R> {
    Length(std::io::Take<R>),
    Chunked { connection: R, left: u64, ended: bool },
    ToEnd(R),
}

impl<R: BufRead> Body<R> {
    pub fn of(answer: &Answer, method: &str, connection: R) -> Body<R> {
        if method == "HEAD" || matches!(answer.status, 204 | 304) {
            return Body::Length(connection.take(0));
        }
        match answer.header("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Body::Length(connection.take(length)),
            None if answer.header("transfer-encoding") == Some("chunked") => {
                Body::Chunked { connection, left: 0, ended: false }
            }
            None => Body::ToEnd(connection),
        }
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Body::Length(body) => body.read(out),
            Body::ToEnd(body) => body.read(out),
            Body::Chunked { ended: true, .. } => Ok(0),
            Body::Chunked { connection, left, ended } => {
                let mut line = String::new();
                if *left == 0 {
                    connection.read_line(&mut line)?;
                    *left = u64::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
                    *ended = *left == 0;
                }
                let count = connection.by_ref().take(*left).read(out)?;
                *left -= count as u64;
                if *left == 0 {
                    connection.read_line(&mut line)?;
                }
                Ok(count)
            }
        }
    }
}

/// A multipart body.
#[derive(Default)]
pub struct Multipart(Vec<u8>);

impl Multipart {
    const BOUNDARY: &str = "----the-end-of-a-part";

    pub fn new() -> Multipart {
        Multipart::default()
    }

    pub fn text(self, name: &str, value: &str) -> Multipart {
        self.part(&format!("name=\"{name}\""), "", value.as_bytes())
    }

    pub fn file(self, name: &str, file_name: &str, content: &[u8]) -> Multipart {
        let disposition = format!("name=\"{name}\"; filename=\"{file_name}\"");
        self.part(&disposition, "Content-Type: application/octet-stream\r\n", content)
    }

    fn part(mut self, disposition: &str, headers: &str, content: &[u8]) -> Multipart {
        let head =
            format!("--{}\r\nContent-Disposition: form-data; {disposition}\r\n{headers}\r\n", Multipart::BOUNDARY);
        self.0.extend(head.bytes());
        self.0.extend(content);
        self.0.extend(b"\r\n");
        self
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.extend(format!("--{}--\r\n", Multipart::BOUNDARY).bytes());
        self.0
    }
}

/// `name=value` pairs, encoded for a query string or a form.
pub fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Sends bytes that need not be HTTP and returns the answer, if there is one before the connection ends.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut connection = BufReader::new(stream);
    let mut answer = Head::read(&mut connection).ok()??.into_answer();
    let mut body = Vec::new();
    Body::of(&answer, "GET", &mut connection).read_to_end(&mut body).ok()?;
    answer.body = body;
    Some(answer)
}

pub(super) fn connect(address: SocketAddr) -> TcpStream {
    try_connect(address).expect("the server listens")
}

pub(super) fn try_connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
