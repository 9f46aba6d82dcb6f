//! Server-sent events: what messages look like on an event stream.

use bytes::Bytes;
use headwater_actors::Position;
use headwater_actors::subscription::Ending;
use headwater_actors::wire::{Frame, Wire};

/// An event stream.
pub(crate) struct Sse {
    kind: usize,
    /// Each frame is a chunk of its own (HTTP/1.1), or the body simply goes on until the connection ends.
    chunked: bool,
}

/// For clients of HTTP/1.1.
pub(crate) static CHUNKED: Sse = Sse { kind: 0, chunked: true };
/// For those of before.
pub(crate) static PLAIN: Sse = Sse { kind: 1, chunked: false };

/// The end of a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Hexadecimal digits of the length of a chunk: enough for 4 GB, and always as many, so that the length can be filled in
/// after the chunk was written.
const DIGITS: usize = 8;

impl Sse {
    /// Appends what `write` writes, as a chunk where there are chunks.
    fn chunk(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.chunked {
            return write(out);
        }
        let start = out.len();
        out.extend_from_slice(b"00000000\r\n");
        let body = out.len();
        write(out);
        let mut length = out.len() - body;
        for digit in out[start..start + DIGITS].iter_mut().rev() {
            *digit = b"0123456789abcdef"[length % 16];
            length /= 16;
        }
        out.extend_from_slice(b"\r\n");
    }

    /// An event with an `id:` of its own, such as the first one of a stream.
    pub(crate) fn message(&self, id: &str, name: &str, data: &[u8]) -> Frame {
        let mut out = Vec::with_capacity(id.len() + name.len() + data.len() + 48);
        self.chunk(&mut out, |out| write_message(out, id, name, data));
        out.into()
    }

    fn line(&self, line: &str) -> Frame {
        let mut out = Vec::with_capacity(line.len() + 16);
        self.chunk(&mut out, |out| out.extend_from_slice(line.as_bytes()));
        out.into()
    }
}

fn write_message(out: &mut Vec<u8>, id: &str, name: &str, data: &[u8]) {
    out.extend_from_slice(b"id:");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\nevent:");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata:");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

impl Wire for Sse {
    fn kind(&self) -> usize {
        self.kind
    }

    fn event(&self, out: &mut Vec<u8>, at: &Position, topic: &str, payload: &[u8]) {
        out.reserve(payload.len() + topic.len() + 80);
        self.chunk(out, |out| write_message(out, &at.to_string(), topic, payload));
    }

    /// A comment line, which every parser skips.
    fn keep_alive(&self, _: &Position, _: bool) -> Frame {
        self.line(":\n")
    }

    fn ending(&self, ending: Ending) -> Frame {
        let mut out = Vec::new();
        if ending == Ending::Stopped {
            // Whoever restarts us needs a moment.
            self.chunk(&mut out, |out| out.extend_from_slice(b"retry:1000\n"));
        }
        if self.chunked {
            out.extend_from_slice(LAST_CHUNK);
        }
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_three_lines_and_a_chunk_of_their_own() {
        let at: Position = "k3f9xq2a:7".parse().unwrap();
        let frame = |wire: &Sse| {
            let mut out = b"before".to_vec();
            wire.event(&mut out, &at, "posts/*", br#"{"record":{"id":"r1"},"action":"create"}"#);
            String::from_utf8(out).unwrap()
        };
        let event = "id:k3f9xq2a:7\nevent:posts/*\ndata:{\"record\":{\"id\":\"r1\"},\"action\":\"create\"}\n\n";
        assert_eq!(frame(&PLAIN), format!("before{event}"));
        assert_eq!(frame(&CHUNKED), format!("before{:08x}\r\n{event}\r\n", event.len()));
        assert_eq!(PLAIN.message("C1", "PB_CONNECT", b"{}"), "id:C1\nevent:PB_CONNECT\ndata:{}\n\n");
    }

    #[test]
    fn a_stream_ends_with_its_last_chunk() {
        assert_eq!(CHUNKED.ending(Ending::Overflow), "0\r\n\r\n");
        assert_eq!(PLAIN.ending(Ending::Overflow), "");
        assert_eq!(CHUNKED.ending(Ending::Stopped), "0000000b\r\nretry:1000\n\r\n0\r\n\r\n");
        assert_eq!(CHUNKED.keep_alive(&"k3f9xq2a:7".parse().unwrap(), true), "00000002\r\n:\n\r\n");
    }
}
