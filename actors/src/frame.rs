//! Frames: the bytes of one event on the wire. An event is framed once per protocol and shared by all who see it.

use bytes::Bytes;

use crate::{Epoch, Seq};

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Sse,
    WebSocket,
}

impl Protocol {
    pub(crate) const COUNT: usize = 2;

    /// What is sent where nothing else was for a while: a comment line, which every parser skips.
    /// WebSockets have pings of their own.
    pub(crate) fn keep_alive(self) -> Option<Bytes> {
        match self {
            Protocol::Sse => Some(Bytes::from_static(b":\n")),
            Protocol::WebSocket => None,
        }
    }

    /// Appends an event to `out`. `payload` is a JSON object on a single line; `topic` is the subscription's text,
    /// which has no control characters.
    pub(crate) fn write_event(self, out: &mut Vec<u8>, epoch: &Epoch, seq: Seq, topic: &str, payload: &[u8]) {
        out.reserve(payload.len() + topic.len() + 64);
        match self {
            Protocol::Sse => {
                out.extend_from_slice(b"id:");
                write_position(out, epoch, seq);
                write_sse(out, topic, payload);
            }
            Protocol::WebSocket => {
                out.extend_from_slice(br#"{"type":"event","topic":"#);
                // Writing a text into a Vec cannot fail.
                let _ = serde_json::to_writer(&mut *out, topic);
                out.extend_from_slice(br#","seq":""#);
                write_position(out, epoch, seq);
                out.push(b'"');
                match payload.strip_prefix(b"{") {
                    Some(members) if members != b"}" => {
                        out.push(b',');
                        out.extend_from_slice(members);
                    }
                    _ => out.push(b'}'),
                }
            }
        }
    }
}

/// An SSE event with an `id:` of its own, such as the first one of a stream.
pub fn sse_event(id: &str, topic: &str, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(id.len() + topic.len() + payload.len() + 32);
    out.extend_from_slice(b"id:");
    out.extend_from_slice(id.as_bytes());
    write_sse(&mut out, topic, payload);
    out.into()
}

fn write_sse(out: &mut Vec<u8>, topic: &str, payload: &[u8]) {
    out.extend_from_slice(b"\nevent:");
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(b"\ndata:");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\n\n");
}

fn write_position(out: &mut Vec<u8>, epoch: &Epoch, seq: Seq) {
    use std::io::Write;
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{epoch}:{seq}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_framed_as_each_protocol_has_it() {
        let epoch: Epoch = "k3f9xq2a".parse().unwrap();
        let frame = |protocol: Protocol, payload: &str| {
            let mut out = Vec::new();
            protocol.write_event(&mut out, &epoch, Seq(7), "posts/*", payload.as_bytes());
            String::from_utf8(out).unwrap()
        };
        let payload = r#"{"record":{"id":"r1"},"action":"create"}"#;
        assert_eq!(frame(Protocol::Sse, payload), format!("id:k3f9xq2a:7\nevent:posts/*\ndata:{payload}\n\n"));
        assert_eq!(
            frame(Protocol::WebSocket, payload),
            r#"{"type":"event","topic":"posts/*","seq":"k3f9xq2a:7","record":{"id":"r1"},"action":"create"}"#
        );
        assert_eq!(frame(Protocol::WebSocket, "{}"), r#"{"type":"event","topic":"posts/*","seq":"k3f9xq2a:7"}"#);
        assert_eq!(sse_event("C1", "PB_CONNECT", b"{}"), "id:C1\nevent:PB_CONNECT\ndata:{}\n\n");
    }
}
