//! A non-blocking connection under the epoll set: what is to be sent goes out as the socket takes it, what arrives is
//! read into the caller's buffer. It knows bytes only; `connection` and `client` make messages of them.

use crate::Result;
use crate::socket::{self, Epoll};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

pub(crate) struct Wire {
    stream: TcpStream,
    token: u64,
    out: Vec<u8>,
    sent: usize,
    /// Whether the epoll set tells us about room to write.
    watched: bool,
}

impl Wire {
    pub(crate) fn open(epoll: &Epoll, to: SocketAddrV4, from: Ipv4Addr, token: u64) -> io::Result<Wire> {
        Wire::open_with(epoll, to, from, token, false)
    }

    /// With little room for what arrives, if `narrow`.
    pub(crate) fn open_with(
        epoll: &Epoll,
        to: SocketAddrV4,
        from: Ipv4Addr,
        token: u64,
        narrow: bool,
    ) -> io::Result<Wire> {
        let stream = socket::connect(to, from, narrow)?;
        epoll.add(&stream, token)?;
        Ok(Wire { stream, token, out: Vec::new(), sent: 0, watched: false })
    }

    /// Where the next message is written; to be followed by `flush`.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        &mut self.out
    }

    /// For a connection that has nothing more to say.
    pub(crate) fn release_out(&mut self) {
        if self.sent == self.out.len() {
            self.out = Vec::new();
            self.sent = 0;
        }
    }

    /// Sends what the socket takes now; the rest when the epoll set says so.
    pub(crate) fn flush(&mut self, epoll: &Epoll) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let pending = self.sent < self.out.len();
        if pending != self.watched {
            epoll.watch_writes(&self.stream, self.token, pending)?;
            self.watched = pending;
        }
        Ok(())
    }

    /// Whether to leave alone what arrives.
    pub(crate) fn stall(&self, epoll: &Epoll, stalled: bool) -> io::Result<()> {
        epoll.watch_reads(&self.stream, self.token, !stalled)
    }

    /// What has arrived; nothing in it means that the peer has closed. None: nothing yet.
    pub(crate) fn read<'a>(&mut self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>> {
        match self.stream.read(buffer) {
            Ok(count) => Ok(Some(&buffer[..count])),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
