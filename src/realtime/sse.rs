//! Server-sent events: what messages look like on an event stream.

use bytes::Bytes;
use headwater_actors::Position;
use headwater_actors::subscription::Ending;
use headwater_actors::wire::{Frame, Reset, Wire};

use super::ClientId;

/// An event stream.
pub(crate) struct Sse {
    kind: usize,
    /// Each frame is a chunk of its own (HTTP/1.1), or the body simply goes on until the connection ends.
    chunked: bool,
    /// Every `id:` is a position, so that a browser comes back with the last one by itself. Otherwise the first one is the
    /// client's id, which SDKs read there.
    resumes: bool,
}

static CHUNKED: Sse = Sse { kind: 0, chunked: true, resumes: false };
static PLAIN: Sse = Sse { kind: 1, chunked: false, resumes: false };
static CHUNKED_RESUMING: Sse = Sse { kind: 2, chunked: true, resumes: true };
static PLAIN_RESUMING: Sse = Sse { kind: 3, chunked: false, resumes: true };

/// The name of the event that says to read anew.
const RESET: &str = "HW_RESET";

/// The end of a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Hexadecimal digits of the length of a chunk: enough for 4 GB, and always as many, so that the length can be filled in
/// after the chunk was written.
const DIGITS: usize = 8;

impl Sse {
    /// The way to write to a client. `chunked`: by HTTP/1.1.
    pub(crate) fn of(chunked: bool, resumes: bool) -> &'static Sse {
        match (chunked, resumes) {
            (true, false) => &CHUNKED,
            (false, false) => &PLAIN,
            (true, true) => &CHUNKED_RESUMING,
            (false, true) => &PLAIN_RESUMING,
        }
    }

    /// The first event of a stream.
    pub(crate) fn connect(&self, client: &ClientId, at: &Position, name: &str, data: &[u8]) -> Frame {
        let position = at.to_string();
        let id = if self.resumes { position.as_str() } else { client.as_str() };
        let mut out = Vec::with_capacity(data.len() + 128);
        self.chunk(&mut out, |out| write_message(out, id, name, data));
        out.into()
    }

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

    /// A comment line, which every parser skips; or a lone position, so that a client that hears nothing for days does not
    /// fall out of the change log. The blank line makes browsers take it in, and there is no event without data.
    fn keep_alive(&self, at: &Position, news: bool) -> Frame {
        if news && self.resumes { self.line(&format!("id:{at}\n\n")) } else { self.line(":\n") }
    }

    fn reset(&self, at: &Position, reason: Reset) -> Frame {
        let (at, mut out) = (at.to_string(), Vec::new());
        let data = format!(r#"{{"seq":"{at}","reason":"{}"}}"#, reason.as_str());
        self.chunk(&mut out, |out| write_message(out, &at, RESET, data.as_bytes()));
        out.into()
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
        let reset = "id:k3f9xq2a:7\nevent:HW_RESET\ndata:{\"seq\":\"k3f9xq2a:7\",\"reason\":\"expired\"}\n\n";
        assert_eq!(PLAIN.reset(&at, Reset::Expired), reset);
    }

    #[test]
    fn the_first_id_is_the_clients_or_a_position() {
        let (client, at) = (ClientId::random(), "k3f9xq2a:7".parse().unwrap());
        let first = |resumes| Sse::of(false, resumes).connect(&client, &at, "PB_CONNECT", b"{}");
        assert_eq!(first(false), format!("id:{client}\nevent:PB_CONNECT\ndata:{{}}\n\n"));
        assert_eq!(first(true), "id:k3f9xq2a:7\nevent:PB_CONNECT\ndata:{}\n\n");
        assert_eq!(PLAIN_RESUMING.keep_alive(&at, true), "id:k3f9xq2a:7\n\n");
        assert_eq!(PLAIN_RESUMING.keep_alive(&at, false), ":\n");
    }

    #[test]
    fn a_stream_ends_with_its_last_chunk() {
        assert_eq!(CHUNKED.ending(Ending::Overflow), "0\r\n\r\n");
        assert_eq!(PLAIN.ending(Ending::Overflow), "");
        assert_eq!(CHUNKED.ending(Ending::Stopped), "0000000b\r\nretry:1000\n\r\n0\r\n\r\n");
        assert_eq!(CHUNKED.keep_alive(&"k3f9xq2a:7".parse().unwrap(), true), "00000002\r\n:\n\r\n");
    }
}
