//! The text of a Server-Sent Events stream, cut into frames. Fed with whatever pieces of the body arrive.
//!
//! It reads what PocketBase and Headwater write: lines ending in `\n`, one data line per frame. It is no general reader.

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) event: &'a [u8],
    pub(crate) data: &'a [u8],
}

/// Empty between frames, so that an idle client costs the generator nothing here.
#[derive(Default)]
pub(crate) struct Frames {
    /// The beginning of a frame whose end has not come yet.
    begun: Vec<u8>,
}

impl Frames {
    pub(crate) fn feed(&mut self, piece: &[u8], mut on_frame: impl FnMut(Frame<'_>)) {
        if self.begun.is_empty() {
            let used = read_frames(piece, &mut on_frame);
            self.begun.extend_from_slice(&piece[used..]);
        } else {
            self.begun.extend_from_slice(piece);
            let used = read_frames(&self.begun, &mut on_frame);
            self.begun.drain(..used);
        }
    }
}

/// Reports all complete frames and returns how many bytes they took.
fn read_frames(text: &[u8], on_frame: &mut impl FnMut(Frame<'_>)) -> usize {
    let mut used = 0;
    let mut at = 0;
    let mut frame = Frame::default();
    while let Some(length) = text[at..].iter().position(|&byte| byte == b'\n') {
        let line = &text[at..at + length];
        at += length + 1;
        if line.is_empty() {
            // A comment alone is a keep-alive, not an event.
            if frame != Frame::default() {
                on_frame(frame);
            }
            frame = Frame::default();
            used = at;
        } else if let Some(data) = field(line, b"data:") {
            frame.data = data;
        } else if let Some(event) = field(line, b"event:") {
            frame.event = event;
        } else if let Some(id) = field(line, b"id:") {
            frame.id = id;
        }
    }
    used
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"id:c1\nevent:PB_CONNECT\ndata:{\"clientId\":\"c1\"}\n\n:\n\nid: 7\nevent: a/*\ndata: {}\n\n";

    fn frames(pieces: &[&[u8]]) -> Vec<[String; 3]> {
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        for piece in pieces {
            frames.feed(piece, |frame| {
                seen.push([frame.id, frame.event, frame.data].map(|part| String::from_utf8(part.to_vec()).unwrap()));
            });
        }
        assert!(frames.begun.is_empty());
        seen
    }

    #[test]
    fn frames_are_read_whole() {
        let seen = frames(&[STREAM]);
        assert_eq!(seen, [["c1", "PB_CONNECT", "{\"clientId\":\"c1\"}"], ["7", "a/*", "{}"]]);
    }

    #[test]
    fn frames_are_the_same_wherever_the_pieces_are_cut() {
        let whole = frames(&[STREAM]);
        for first in 0..STREAM.len() {
            for second in first..STREAM.len() {
                assert_eq!(frames(&[&STREAM[..first], &STREAM[first..second], &STREAM[second..]]), whole);
            }
        }
    }
}
