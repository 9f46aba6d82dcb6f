//! WebSockets: what messages look like on them, and how those of clients are read. The one module that uses
//! actix-web-actors.
//!
//! Its handshake and its codec do the protocol; the socket and its actor are the same as for event streams.

use std::rc::Rc;

use actix_http::ws::{Codec, Item};
use actix_web::{HttpRequest, HttpResponseBuilder};
use actix_web_actors::ws::{self, CloseCode, CloseReason, Message, ProtocolError};
use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use headwater_actors::Position;
use headwater_actors::connection::{Peer, Step};
use headwater_actors::subscription::{Ending, Subscription};
use headwater_actors::wire::{Frame, Reset, Wire};
use serde::Serialize;
use tokio_util::codec::{Decoder, Encoder};

/// Bytes of one message of a client.
const MAX_MESSAGE: usize = 64 * 1024;

const TOO_LONG: &str = "a message has 64 KiB at most";

/// Close codes of our own (4000 to 4999 are for applications).
const OVERFLOW: u16 = 4008;
const LAGGED: u16 = 4009;

/// The kind of wire that they are; event streams have the ones before.
pub(super) const KIND: usize = 4;

/// A WebSocket, as a hub writes to it.
pub(crate) struct WebSocket;

/// The answer that turns a request into a WebSocket, or what is wrong with the request.
pub(crate) fn handshake(request: &HttpRequest) -> Result<HttpResponseBuilder, ws::HandshakeError> {
    ws::handshake(request)
}

fn encode(message: Message) -> Frame {
    let mut out = BytesMut::new();
    // Nothing of what we send can be refused: whole texts, pings, pongs and one close.
    let _ = Codec::new().encode(message, &mut out);
    out.freeze()
}

/// A text message.
pub(crate) fn text(message: String) -> Frame {
    encode(Message::Text(message.into()))
}

fn json(message: &impl Serialize) -> Frame {
    // A struct of texts always serialises.
    text(serde_json::to_string(message).unwrap_or_default())
}

fn close(code: impl Into<CloseCode>, reason: &str) -> Frame {
    encode(Message::Close(Some(CloseReason { code: code.into(), description: Some(reason.to_owned()) })))
}

#[derive(Serialize)]
struct Told<'a> {
    r#type: &'a str,
    seq: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The first message: what PB_CONNECT says on an event stream.
pub(crate) fn connect(data: &[u8]) -> Frame {
    text(with_members(r#"{"type":"connect""#.to_owned(), data))
}

/// An object that was begun, with the members of another one.
fn with_members(mut begun: String, object: &[u8]) -> String {
    match String::from_utf8_lossy(object).strip_prefix('{') {
        Some(members) if members != "}" => {
            begun.push(',');
            begun.push_str(members);
        }
        _ => begun.push('}'),
    }
    begun
}

impl Wire for WebSocket {
    fn kind(&self) -> usize {
        KIND
    }

    fn event(&self, out: &mut Vec<u8>, at: &Position, topic: &str, payload: &[u8]) {
        let mut message = String::with_capacity(payload.len() + topic.len() + 80);
        message.push_str(r#"{"type":"event","topic":"#);
        message.push_str(&serde_json::Value::from(topic).to_string());
        message.push_str(r#","seq":""#);
        message.push_str(&at.to_string());
        message.push('"');
        out.extend_from_slice(&text(with_members(message, payload)));
    }

    /// A ping, and the position where it moved on.
    fn keep_alive(&self, at: &Position, news: bool) -> Frame {
        let ping = encode(Message::Ping(Bytes::new()));
        if !news {
            return ping;
        }
        let position = json(&Told { r#type: "position", seq: &at.to_string(), reason: None });
        [ping, position].concat().into()
    }

    fn reset(&self, at: &Position, reason: Reset) -> Frame {
        json(&Told { r#type: "reset", seq: &at.to_string(), reason: Some(reason.as_str()) })
    }

    fn ending(&self, ending: Ending) -> Frame {
        match ending {
            Ending::Overflow => close(OVERFLOW, "overflow"),
            Ending::Stalled => close(OVERFLOW, "stalled"),
            Ending::Lagged => close(LAGGED, "lagged"),
            Ending::Expired => close(CloseCode::Normal, "its time is over"),
            Ending::Stopped => close(CloseCode::Restart, "the server is restarting"),
            // The conversation has its own last message.
            Ending::Left => Frame::new(),
        }
    }
}

/// What answers the messages of a client: a text for a text.
pub(crate) type Answer = Box<dyn Fn(String) -> LocalBoxFuture<'static, String>>;

/// The reading side of a WebSocket: takes messages in, one at a time, and sends what `answer` says to each.
pub(crate) struct Reader {
    subscription: Rc<Subscription>,
    answer: Answer,
    codec: Codec,
    /// What came and is no whole frame yet.
    bytes: BytesMut,
    /// The beginning of a message that comes in parts.
    begun: Option<BytesMut>,
}

impl Reader {
    pub(crate) fn new(subscription: Rc<Subscription>, answer: Answer) -> Reader {
        let codec = Codec::new().max_size(MAX_MESSAGE);
        Reader { subscription, answer, codec, bytes: BytesMut::new(), begun: None }
    }

    fn message(&self, message: &[u8]) -> Step {
        let Ok(message) = std::str::from_utf8(message) else {
            return self.refuse(CloseCode::Invalid, "a text is UTF-8");
        };
        let (answer, subscription) = ((self.answer)(message.to_owned()), self.subscription.clone());
        Step::Wait(Box::pin(async move { subscription.reply(text(answer.await)) }))
    }

    /// Says why, and closes.
    fn refuse(&self, code: CloseCode, reason: &str) -> Step {
        self.subscription.reply(close(code, reason));
        Step::Close
    }

    /// A message that comes in parts; nothing to do before the last one.
    fn part(&mut self, part: Item) -> Option<Step> {
        let (bytes, last) = match part {
            Item::FirstBinary(_) => return Some(self.refuse(CloseCode::Unsupported, "messages are texts")),
            Item::FirstText(bytes) | Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let mut message = self.begun.take().unwrap_or_default();
        message.extend_from_slice(&bytes);
        if message.len() > MAX_MESSAGE {
            return Some(self.refuse(CloseCode::Size, TOO_LONG));
        }
        if last {
            return Some(self.message(&message));
        }
        self.begun = Some(message);
        None
    }

    /// Nothing to do for what was only about the connection.
    fn frame(&mut self, frame: ws::Frame) -> Option<Step> {
        match frame {
            ws::Frame::Text(message) => Some(self.message(&message)),
            ws::Frame::Continuation(part) => self.part(part),
            ws::Frame::Ping(data) => {
                self.subscription.reply(encode(Message::Pong(data)));
                None
            }
            ws::Frame::Pong(_) => None,
            ws::Frame::Binary(_) => Some(self.refuse(CloseCode::Unsupported, "messages are texts")),
            ws::Frame::Close(reason) => {
                let code = reason.map_or(CloseCode::Normal, |reason| reason.code);
                Some(self.refuse(code, ""))
            }
        }
    }
}

impl Peer for Reader {
    fn received(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn step(&mut self) -> Step {
        loop {
            match self.codec.decode(&mut self.bytes) {
                Ok(Some(frame)) => {
                    if let Some(step) = self.frame(frame) {
                        return step;
                    }
                }
                Ok(None) => {
                    if self.bytes.is_empty() {
                        // An idle client keeps no buffer.
                        self.bytes = BytesMut::new();
                    }
                    return Step::Idle;
                }
                Err(ProtocolError::Overflow) => return self.refuse(CloseCode::Size, TOO_LONG),
                Err(error) => return self.refuse(CloseCode::Protocol, &error.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unframed(frame: &[u8]) -> String {
        let mut bytes = BytesMut::from(frame);
        let frame = Codec::new().client_mode().decode(&mut bytes).unwrap().unwrap();
        assert!(bytes.is_empty());
        match frame {
            ws::Frame::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn events_are_texts_with_their_position() {
        let at: Position = "k3f9xq2a:7".parse().unwrap();
        let event = |payload: &str| {
            let mut out = Vec::new();
            WebSocket.event(&mut out, &at, "posts/*?a=\"b\"", payload.as_bytes());
            unframed(&out)
        };
        let head = r#"{"type":"event","topic":"posts/*?a=\"b\"","seq":"k3f9xq2a:7""#;
        assert_eq!(
            event(r#"{"record":{"id":"r1"},"action":"create"}"#),
            format!(r#"{head},"record":{{"id":"r1"}},"action":"create"}}"#)
        );
        assert_eq!(event("{}"), format!("{head}}}"));
        assert_eq!(
            unframed(&WebSocket.reset(&at, Reset::Epoch)),
            r#"{"type":"reset","seq":"k3f9xq2a:7","reason":"epoch"}"#
        );
        assert!(unframed(&WebSocket.ending(Ending::Overflow)).contains("4008"));
        assert!(unframed(&WebSocket.ending(Ending::Stopped)).contains("Restart"));
    }
}
