//! A reader of HTTP/1.1 responses that is fed with whatever arrived and hands the body on in pieces, so that the same
//! code serves a short answer and a stream that never ends. It knows lengths, chunks and bodies until the end.

use crate::Result;

/// Longer heads than any server here sends.
const HEAD_LIMIT: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Head,
    /// A body of known length; so much is left.
    Length(u64),
    /// A body that ends with the connection.
    UntilClose,
    ChunkSize {
        size: u64,
        extension: bool,
    },
    ChunkData(u64),
    /// The line end after the data of a chunk.
    ChunkEnd,
    /// The lines after the last chunk, up to an empty one.
    Trailer {
        empty: bool,
    },
    Done,
}

pub(crate) struct Response {
    state: State,
    /// The beginning of a head that came in pieces; empty otherwise.
    head: Vec<u8>,
    /// 0 until the head has been read.
    pub(crate) status: u16,
    /// The server will close the connection after this response.
    pub(crate) closes: bool,
}

impl Response {
    pub(crate) fn new() -> Response {
        Response { state: State::Head, head: Vec::new(), status: 0, closes: false }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The connection has ended. Whether that completes the response.
    pub(crate) fn end(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// Reads up to the end of this response and returns how many bytes it took.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut on_body: impl FnMut(&[u8])) -> Result<usize> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            let rest = &bytes[at..];
            at += match self.state {
                State::Head => self.feed_head(rest)?,
                State::Length(left) => {
                    let taken = hand_on(rest, left, &mut on_body);
                    self.state = if taken == left { State::Done } else { State::Length(left - taken) };
                    taken as usize
                }
                State::ChunkData(left) => {
                    let taken = hand_on(rest, left, &mut on_body);
                    self.state = if taken == left { State::ChunkEnd } else { State::ChunkData(left - taken) };
                    taken as usize
                }
                State::UntilClose => {
                    on_body(rest);
                    rest.len()
                }
                State::ChunkSize { .. } | State::ChunkEnd | State::Trailer { .. } => {
                    self.feed_framing(rest[0])?;
                    1
                }
                State::Done => 0,
            };
        }
        Ok(at)
    }

    fn feed_head(&mut self, bytes: &[u8]) -> Result<usize> {
        const END: &[u8] = b"\r\n\r\n";
        if self.head.is_empty()
            && let Some(end) = position(bytes, END)
        {
            self.read_head(&bytes[..end])?;
            return Ok(end + END.len());
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        match position(&self.head, END) {
            Some(end) => {
                let head = std::mem::take(&mut self.head);
                self.read_head(&head[..end])?;
                Ok(end + END.len() - before)
            }
            None if self.head.len() > HEAD_LIMIT => Err("the head of a response is too long".into()),
            None => Ok(bytes.len()),
        }
    }

    fn read_head(&mut self, head: &[u8]) -> Result<()> {
        let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let status_line = lines.next().unwrap_or_default();
        self.status = status_line
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok())
            .ok_or_else(|| format!("no HTTP/1.1 response: {}", String::from_utf8_lossy(status_line)))?;
        let mut length = None;
        let mut chunked = false;
        for line in lines {
            // Only the lines that begin with c or t are looked at.
            match line.first().map(u8::to_ascii_lowercase) {
                Some(b'c') => {
                    if let Some(value) = header(line, b"content-length:") {
                        let value = std::str::from_utf8(value)?;
                        length = Some(value.parse().map_err(|_| format!("content length {value}"))?);
                    } else if let Some(value) = header(line, b"connection:") {
                        self.closes = value.eq_ignore_ascii_case(b"close");
                    }
                }
                Some(b't') => {
                    if let Some(value) = header(line, b"transfer-encoding:") {
                        chunked = value.eq_ignore_ascii_case(b"chunked");
                    }
                }
                _ => {}
            }
        }
        self.state = match (self.status, length) {
            // What follows is no longer HTTP.
            (101, _) => State::Done,
            (100..=199, _) => State::Head,
            (204 | 304, _) => State::Done,
            _ if chunked => State::ChunkSize { size: 0, extension: false },
            (_, Some(0)) => State::Done,
            (_, Some(length)) => State::Length(length),
            (_, None) => State::UntilClose,
        };
        Ok(())
    }

    /// One byte of what stands between chunks.
    fn feed_framing(&mut self, byte: u8) -> Result<()> {
        self.state = match (self.state, byte) {
            (State::ChunkSize { size: 0, .. }, b'\n') => State::Trailer { empty: true },
            (State::ChunkSize { size, .. }, b'\n') => State::ChunkData(size),
            (State::ChunkSize { size, .. }, b'\r' | b';') => State::ChunkSize { size, extension: true },
            (State::ChunkSize { size, extension: true }, _) => State::ChunkSize { size, extension: true },
            (State::ChunkSize { size, extension: false }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or("a chunk without a size")?;
                let size = size.checked_mul(16).ok_or("a chunk too large")? + u64::from(digit);
                State::ChunkSize { size, extension: false }
            }
            (State::ChunkEnd, b'\r') => State::ChunkEnd,
            (State::ChunkEnd, b'\n') => State::ChunkSize { size: 0, extension: false },
            (State::Trailer { empty: true }, b'\n') => State::Done,
            (State::Trailer { .. }, b'\n') => State::Trailer { empty: true },
            (State::Trailer { empty }, b'\r') => State::Trailer { empty },
            (State::Trailer { .. }, _) => State::Trailer { empty: false },
            _ => return Err("a chunk longer than its size".into()),
        };
        Ok(())
    }
}

fn hand_on(rest: &[u8], left: u64, on_body: &mut impl FnMut(&[u8])) -> u64 {
    let taken = left.min(rest.len() as u64);
    on_body(&rest[..taken as usize]);
    taken
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (given, value) = line.split_at_checked(name.len())?;
    given.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\nA;x=y\r\nlo, world!\r\n0\r\nA: b\r\n\r\n";
    const EMPTY: &[u8] = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    fn read(pieces: &[&[u8]]) -> (u16, String, bool) {
        let mut response = Response::new();
        let mut body = Vec::new();
        for piece in pieces {
            let used = response.feed(piece, |bytes| body.extend_from_slice(bytes)).unwrap();
            assert_eq!(used, piece.len());
        }
        (response.status, String::from_utf8(body).unwrap(), response.is_done())
    }

    #[test]
    fn every_kind_of_body() {
        assert_eq!(read(&[LENGTH]), (200, "hello".into(), true));
        assert_eq!(read(&[CHUNKED]), (400, "hello, world!".into(), true));
        assert_eq!(read(&[EMPTY]), (204, String::new(), true));
        assert_eq!(read(&[CONTINUE]), (200, String::new(), true));
    }

    #[test]
    fn responses_are_the_same_wherever_the_pieces_are_cut() {
        for text in [LENGTH, CHUNKED, EMPTY, CONTINUE] {
            let whole = read(&[text]);
            for first in 0..text.len() {
                for second in first..text.len() {
                    assert_eq!(read(&[&text[..first], &text[first..second], &text[second..]]), whole);
                }
            }
        }
    }

    #[test]
    fn a_response_stops_at_its_end() {
        let two = [LENGTH, EMPTY].concat();
        let mut response = Response::new();
        assert_eq!(response.feed(&two, |_| {}).unwrap(), LENGTH.len());
        assert!(response.is_done() && !response.closes);
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let mut response = Response::new();
        let mut body = Vec::new();
        response
            .feed(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", |bytes| body.extend_from_slice(bytes))
            .unwrap();
        assert!(!response.is_done() && response.closes);
        assert!(response.end());
        assert_eq!(body, b"abc");
        assert!(!Response::new().end());
    }

    #[test]
    fn an_upgrade_ends_with_its_head() {
        let mut response = Response::new();
        let head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";
        assert_eq!(response.feed(&[&head[..], b"\x81\x02{}"].concat(), |_| {}).unwrap(), head.len());
        assert_eq!((response.status, response.is_done()), (101, true));
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in [&b"SSH-2.0\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"] {
            assert!(Response::new().feed(text, |_| {}).is_err());
        }
        assert!(Response::new().feed(&vec![b'a'; HEAD_LIMIT + 1], |_| {}).is_err());
    }
}
