//! One realtime client, in each of the ways in which a client may come in, and what it hears.

use crate::Result;
use crate::events::{Frame, Frames};
use crate::request::Target;
use crate::response::Response;
use crate::socket::{Epoll, Ready};
use crate::websocket::{self, Kind, Messages};
use crate::wire::Wire;
use std::io::Write;
use std::net::Ipv4Addr;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    /// A GET opens the stream and a POST subscribes: as PocketBase's own clients do.
    Sse,
    /// The GET subscribes, and says with `Last-Event-ID` what the client has seen. Headwater only.
    Resuming,
    /// Headwater only.
    WebSocket,
}

impl FromStr for Protocol {
    type Err = Box<dyn std::error::Error>;

    fn from_str(name: &str) -> Result<Protocol> {
        match name {
            "sse" => Ok(Protocol::Sse),
            "sse-resuming" => Ok(Protocol::Resuming),
            "websocket" => Ok(Protocol::WebSocket),
            other => Err(format!("{other}: sse, sse-resuming or websocket").into()),
        }
    }
}

/// What a client has heard.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard<'a> {
    /// It is connected, has this id, and has still to subscribe.
    Connected(&'a [u8]),
    Subscribed,
    Event(&'a [u8]),
    /// The server cannot tell what this client has missed.
    Reset,
}

/// How a client introduces itself.
pub(crate) struct Introduction<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) topic: &'a str,
    pub(crate) token: &'a str,
    /// The position up to which it has seen everything; empty for a new client.
    pub(crate) position: &'a [u8],
    /// Whether the kernel is to take little for it.
    pub(crate) narrow: bool,
}

/// Small, because there are many.
pub(crate) struct Client {
    wire: Wire,
    response: Response,
    incoming: Incoming,
}

enum Incoming {
    Sse {
        frames: Frames,
        /// Whether the GET has subscribed.
        resuming: bool,
    },
    WebSocket {
        messages: Messages,
        /// What to say when connected; empty afterwards.
        greeting: Vec<u8>,
    },
}

impl Client {
    pub(crate) fn open(
        epoll: &Epoll,
        target: &Target,
        from: Ipv4Addr,
        epoll_token: u64,
        who: &Introduction<'_>,
    ) -> Result<Client> {
        let mut wire = Wire::open_with(epoll, target.address, from, epoll_token, who.narrow)?;
        let position = String::from_utf8_lossy(who.position);
        let out = wire.out();
        let incoming = match who.protocol {
            Protocol::Sse => {
                target.write(out, "GET", "/api/realtime", "", None);
                Incoming::Sse { frames: Frames::default(), resuming: false }
            }
            Protocol::Resuming => {
                let seen = if position.is_empty() { String::new() } else { format!("Last-Event-ID: {position}\r\n") };
                target.write_with(
                    out,
                    "GET",
                    &format!("/api/realtime?subscribe={}", who.topic),
                    who.token,
                    &seen,
                    None,
                );
                Incoming::Sse { frames: Frames::default(), resuming: true }
            }
            Protocol::WebSocket => {
                target.write_with(out, "GET", "/api/realtime", "", websocket::UPGRADE, None);
                let mut greeting = Vec::new();
                // Writing to a Vec cannot fail.
                let _ = write!(greeting, r#"{{"id":1,"subscriptions":["{}"]"#, who.topic);
                for (name, value) in [("token", who.token), ("since", &position)] {
                    if !value.is_empty() {
                        let _ = write!(greeting, r#","{name}":"{value}""#);
                    }
                }
                greeting.push(b'}');
                Incoming::WebSocket { messages: Messages::default(), greeting }
            }
        };
        wire.flush(epoll)?;
        Ok(Client { wire, response: Response::new(), incoming })
    }

    /// From now on nothing is read, and the end of the connection goes unnoticed.
    pub(crate) fn stall(&self, epoll: &Epoll, stalled: bool) -> Result<()> {
        Ok(self.wire.stall(epoll, stalled)?)
    }

    /// Reads what has arrived. `position` is what the client would resume from.
    pub(crate) fn serve(
        &mut self,
        ready: Ready,
        epoll: &Epoll,
        buffer: &mut [u8],
        position: &mut Vec<u8>,
        mut on: impl FnMut(Heard<'_>),
    ) -> Result<()> {
        if ready.writable {
            self.wire.flush(epoll)?;
        }
        if !ready.readable {
            return Ok(());
        }
        let Some(bytes) = self.wire.read(buffer)? else { return Ok(()) };
        if bytes.is_empty() {
            return Err("the server has closed the stream".into());
        }
        let response = &mut self.response;
        if response.status == 0 {
            self.wire.release_out();
        }
        match &mut self.incoming {
            Incoming::Sse { frames, resuming } => {
                response.feed(bytes, |piece| {
                    frames.feed(piece, |frame| hear_frame(frame, *resuming, position, &mut on));
                })?;
                match response.status {
                    0 | 200 if !response.is_done() => Ok(()),
                    200 => Err("the server has ended the stream".into()),
                    status => Err(format!("the stream was answered with {status}").into()),
                }
            }
            Incoming::WebSocket { messages, greeting } => {
                let used = if response.status == 101 { 0 } else { response.feed(bytes, |_| {})? };
                if !matches!(response.status, 0 | 101) {
                    return Err(format!("the upgrade was answered with {}", response.status).into());
                }
                let (out, mut end) = (self.wire.out(), None);
                messages.feed(&bytes[used..], |kind, data| match kind {
                    Kind::Text => match hear_text(data, position) {
                        Ok(Some(Heard::Connected(id))) => {
                            websocket::write(out, Kind::Text, &std::mem::take(greeting));
                            on(Heard::Connected(id));
                        }
                        Ok(Some(heard)) => on(heard),
                        Ok(None) => {}
                        Err(error) => end = Some(error),
                    },
                    Kind::Ping => websocket::write(out, Kind::Pong, data),
                    Kind::Pong => {}
                    Kind::Close => {
                        let code = websocket::close_code(data);
                        end = Some(format!("the server has closed the socket with {code}").into());
                    }
                })?;
                if !out.is_empty() {
                    self.wire.flush(epoll)?;
                    self.wire.release_out();
                }
                end.map_or(Ok(()), Err)
            }
        }
    }
}

fn hear_frame<'a>(frame: Frame<'a>, resuming: bool, position: &mut Vec<u8>, on: &mut impl FnMut(Heard<'a>)) {
    match frame.event {
        b"PB_CONNECT" if !resuming => return on(Heard::Connected(frame.id)),
        b"PB_CONNECT" => on(Heard::Subscribed),
        b"HW_RESET" => on(Heard::Reset),
        // Only a position: the server's sign of life.
        b"" if frame.data.is_empty() => {}
        _ => on(Heard::Event(frame.data)),
    }
    set(position, frame.id);
}

/// Read by what it begins with, because a JSON parser per delivery would cost more than the delivery.
fn hear_text<'a>(text: &'a [u8], position: &mut Vec<u8>) -> Result<Option<Heard<'a>>> {
    const TYPE: &[u8] = b"{\"type\":\"";
    let kind = text.strip_prefix(TYPE).and_then(|rest| rest.split(|&byte| byte == b'"').next()).unwrap_or_default();
    let seq = value(text, b"\"seq\":\"").unwrap_or_default();
    let heard = match kind {
        b"event" => Heard::Event(text),
        b"reset" => Heard::Reset,
        b"connect" | b"ok" => {
            // Who has seen nothing yet begins here. Who resumes is told everything after its own position.
            if position.is_empty() {
                set(position, seq);
            }
            let connected = Heard::Connected(value(text, b"\"clientId\":\"").unwrap_or_default());
            return Ok(Some(if kind == b"ok" { Heard::Subscribed } else { connected }));
        }
        b"position" => {
            set(position, seq);
            return Ok(None);
        }
        _ => return Err(format!("the server says {}", String::from_utf8_lossy(text)).into()),
    };
    set(position, seq);
    Ok(Some(heard))
}

fn set(position: &mut Vec<u8>, id: &[u8]) {
    position.clear();
    position.extend_from_slice(id);
}

/// The text that follows the key, up to its quotation mark.
fn value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let start = text.windows(key.len()).position(|window| window == key)? + key.len();
    text[start..].split(|&byte| byte == b'"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(event: &'static str, id: &'static str, data: &'static str) -> Frame<'static> {
        Frame { id: id.as_bytes(), event: event.as_bytes(), data: data.as_bytes() }
    }

    #[test]
    fn frames_move_the_position_but_a_client_id_is_none() {
        let mut position = Vec::new();
        let mut hear = |frame, resuming| {
            let mut heard = Vec::new();
            hear_frame(frame, resuming, &mut position, &mut |what| heard.push(format!("{what:?}")));
            (heard.join(" "), String::from_utf8(position.clone()).unwrap())
        };
        let connected = format!("{:?}", Heard::Connected(b"c1"));
        assert_eq!(hear(frame("PB_CONNECT", "c1", "{}"), false), (connected, String::new()));
        assert_eq!(hear(frame("PB_CONNECT", "e:3", "{}"), true), ("Subscribed".into(), "e:3".into()));
        let event = format!("{:?}", Heard::Event(b"{}"));
        assert_eq!(hear(frame("posts/*", "e:4", "{}"), true), (event, "e:4".into()));
        assert_eq!(hear(frame("", "e:9", ""), true), (String::new(), "e:9".into()));
        assert_eq!(hear(frame("HW_RESET", "f:1", "{}"), true), ("Reset".into(), "f:1".into()));
    }

    #[test]
    fn texts_are_told_apart() {
        let mut position = Vec::new();
        let connect = br#"{"type":"connect","clientId":"c1","seq":"e:3"}"#;
        assert_eq!(hear_text(connect, &mut position).unwrap(), Some(Heard::Connected(b"c1")));
        assert_eq!(position, b"e:3");
        let event = br#"{"type":"event","topic":"a/*","seq":"e:4","action":"update","record":{}}"#;
        assert_eq!(hear_text(event, &mut position).unwrap(), Some(Heard::Event(event)));
        // The position of an answer may be ahead of what is still on its way.
        let ok = br#"{"type":"ok","id":1,"seq":"e:9"}"#;
        assert_eq!(hear_text(ok, &mut position).unwrap(), Some(Heard::Subscribed));
        assert_eq!(position, b"e:4");
        assert_eq!(hear_text(br#"{"type":"position","seq":"e:12"}"#, &mut position).unwrap(), None);
        assert_eq!(position, b"e:12");
        let reset = br#"{"type":"reset","seq":"f:1","reason":"epoch"}"#;
        assert_eq!(hear_text(reset, &mut position).unwrap(), Some(Heard::Reset));
        assert_eq!(position, b"f:1");
        for text in [r#"{"type":"error","status":400}"#, "{}", ""] {
            assert!(hear_text(text.as_bytes(), &mut position).is_err(), "{text}");
        }
    }

    #[test]
    fn protocols_have_names() {
        assert_eq!("websocket".parse::<Protocol>().unwrap(), Protocol::WebSocket);
        assert!("tcp".parse::<Protocol>().is_err());
    }
}
