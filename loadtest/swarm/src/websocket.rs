//! The frames of a WebSocket as a client needs them: texts out, masked as clients have to; texts, pings and the close in.
//!
//! It reads what Headwater writes: whole messages, one per frame. A message in parts is an error.

use crate::Result;

/// What asks for the upgrade, after the request line. The key proves nothing, so it may always be the same.
pub(crate) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: c3dhcm0gc3dhcm0gc3dhcg==\r\n";

/// Masks keep scripts in browsers from choosing the bytes on the wire. We are no browser, and one mask is as good as another.
const MASK: [u8; 4] = [0x3C, 0xA5, 0x5A, 0xC3];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Text,
    Ping,
    Pong,
    Close,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Text => 1,
            Kind::Close => 8,
            Kind::Ping => 9,
            Kind::Pong => 10,
        }
    }

    fn of(code: u8) -> Result<Kind> {
        let found = [Kind::Text, Kind::Close, Kind::Ping, Kind::Pong].into_iter().find(|kind| kind.code() == code);
        found.ok_or_else(|| format!("a WebSocket frame of the kind {code}").into())
    }
}

/// Appends a frame from a client.
pub(crate) fn write(out: &mut Vec<u8>, kind: Kind, data: &[u8]) {
    out.push(0x80 | kind.code());
    match data.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(data.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Empty between frames, as `events::Frames`.
#[derive(Default)]
pub(crate) struct Messages {
    /// The beginning of a frame whose end has not come yet.
    begun: Vec<u8>,
}

impl Messages {
    pub(crate) fn feed(&mut self, piece: &[u8], mut on_message: impl FnMut(Kind, &[u8])) -> Result<()> {
        if self.begun.is_empty() {
            let used = read_frames(piece, &mut on_message)?;
            self.begun.extend_from_slice(&piece[used..]);
        } else {
            self.begun.extend_from_slice(piece);
            let used = read_frames(&self.begun, &mut on_message)?;
            self.begun.drain(..used);
        }
        Ok(())
    }
}

/// Reports all complete frames and returns how many bytes they took.
fn read_frames(bytes: &[u8], on_message: &mut impl FnMut(Kind, &[u8])) -> Result<usize> {
    let mut used = 0;
    while let Some((kind, head, length)) = read_head(&bytes[used..])? {
        let Some(data) = bytes[used + head..].get(..length) else { break };
        on_message(kind, data);
        used += head + length;
    }
    Ok(used)
}

/// The kind of a frame, the length of its head and that of its data; None if the head is not complete.
fn read_head(bytes: &[u8]) -> Result<Option<(Kind, usize, usize)>> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if first & 0xF0 != 0x80 {
        return Err("a WebSocket message in parts, or with an extension".into());
    }
    if second & 0x80 != 0 {
        return Err("a WebSocket frame from a server is not masked".into());
    }
    let kind = Kind::of(first & 0x0F)?;
    let (head, length) = match (second, &bytes[2..]) {
        (126, &[a, b, ..]) => (4, u64::from(u16::from_be_bytes([a, b]))),
        (127, &[a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        (126 | 127, _) => return Ok(None),
        (length, _) => (2, u64::from(length)),
    };
    Ok(Some((kind, head, usize::try_from(length)?)))
}

/// The code that a connection was closed with; 1005 if there is none.
pub(crate) fn close_code(data: &[u8]) -> u16 {
    match *data {
        [a, b, ..] => u16::from_be_bytes([a, b]),
        _ => 1005,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server sends it.
    fn frame(kind: Kind, data: &[u8]) -> Vec<u8> {
        let mut masked = Vec::new();
        write(&mut masked, kind, data);
        let head = masked.len() - data.len() - MASK.len();
        masked[1] &= 0x7F;
        [&masked[..head], data].concat()
    }

    fn read(pieces: &[&[u8]]) -> Vec<(Kind, Vec<u8>)> {
        let mut messages = Messages::default();
        let mut seen = Vec::new();
        for piece in pieces {
            messages.feed(piece, |kind, data| seen.push((kind, data.to_vec()))).unwrap();
        }
        assert!(messages.begun.is_empty());
        seen
    }

    #[test]
    fn texts_are_masked() {
        let mut out = Vec::new();
        write(&mut out, Kind::Text, b"abcde");
        assert_eq!(out[..6], [0x81, 0x85, 0x3C, 0xA5, 0x5A, 0xC3]);
        let plain: Vec<u8> = out[6..].iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(plain, b"abcde");
    }

    #[test]
    fn every_length_is_read() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let data = vec![b'x'; length];
            assert_eq!(read(&[&frame(Kind::Text, &data)]), [(Kind::Text, data)]);
        }
    }

    #[test]
    fn frames_are_the_same_wherever_the_pieces_are_cut() {
        let text = [
            frame(Kind::Text, b"{}"),
            frame(Kind::Ping, b""),
            frame(Kind::Close, &[3, 240]),
            frame(Kind::Text, &[b'y'; 130]),
        ]
        .concat();
        let whole = read(&[&text]);
        assert_eq!(whole.len(), 4);
        assert_eq!(close_code(&whole[2].1), 1008);
        for first in 0..text.len() {
            for second in first..text.len() {
                assert_eq!(read(&[&text[..first], &text[first..second], &text[second..]]), whole);
            }
        }
    }

    #[test]
    fn what_no_server_sends_is_an_error() {
        for bytes in [&[0x01, 0x00][..], &[0x81, 0x80, 0, 0, 0, 0], &[0x83, 0x00], &[0xC1, 0x00]] {
            assert!(Messages::default().feed(bytes, |_, _| {}).is_err(), "{bytes:?}");
        }
        assert_eq!(close_code(b""), 1005);
    }
}
