//! A keep-alive connection with one request under way at a time.

use crate::Result;
use crate::response::Response;
use crate::socket::{Epoll, Ready};
use crate::wire::Wire;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

pub(crate) struct Connection {
    wire: Wire,
    response: Response,
    body: Vec<u8>,
    /// When the request under way was handed to the socket; None when there is none.
    pub(crate) asked: Option<Instant>,
}

pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    pub(crate) asked: Instant,
    /// The server closes this connection now.
    pub(crate) closes: bool,
}

impl Connection {
    pub(crate) fn open(epoll: &Epoll, to: SocketAddrV4, from: Ipv4Addr, token: u64) -> Result<Connection> {
        let wire = Wire::open(epoll, to, from, token)?;
        Ok(Connection { wire, response: Response::new(), body: Vec::new(), asked: None })
    }

    /// Sends the request that `write` appends; none when it returns false. A connection that breaks here is found broken
    /// when it is read.
    pub(crate) fn ask(&mut self, epoll: &Epoll, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        if !write(self.wire.out()) {
            return false;
        }
        self.response = Response::new();
        self.body.clear();
        self.asked = Some(Instant::now());
        let _ = self.wire.flush(epoll);
        true
    }

    /// Goes on with what the epoll set has reported; the answer, when it is complete.
    pub(crate) fn serve(&mut self, ready: Ready, epoll: &Epoll, buffer: &mut [u8]) -> Result<Option<Answer<'_>>> {
        if ready.writable {
            self.wire.flush(epoll)?;
        }
        if !ready.readable {
            return Ok(None);
        }
        let Some(bytes) = self.wire.read(buffer)? else { return Ok(None) };
        let done = if bytes.is_empty() {
            self.response.end() || return Err("the server has closed the connection".into())
        } else {
            let body = &mut self.body;
            let used = self.response.feed(bytes, |piece| body.extend_from_slice(piece))?;
            if used < bytes.len() {
                return Err("the server has sent more than it was asked for".into());
            }
            self.response.is_done()
        };
        if !done {
            return Ok(None);
        }
        let asked = self.asked.take().ok_or("the server has answered without a request")?;
        Ok(Some(Answer { status: self.response.status, body: &self.body, asked, closes: self.response.closes }))
    }
}
