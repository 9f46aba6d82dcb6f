//! Non-blocking TCP sockets with a chosen source address, and the epoll set that watches them. With `process`, the only
//! place that talks to the system by itself: the standard library can neither bind before it connects nor wait for many.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// One source address has some 28,000 ports, and connecting becomes slow when half of them are taken.
pub(crate) const SOURCES: usize = 8;

/// The `index`-th of the addresses that connections to a server on this machine come from, in turn.
pub(crate) fn source(server: Ipv4Addr, index: usize) -> Ipv4Addr {
    match server.is_loopback() {
        true => Ipv4Addr::new(127, 0, 0, 2 + (index % SOURCES) as u8),
        false => Ipv4Addr::UNSPECIFIED,
    }
}

/// A client that will stall has little room for what arrives, and takes it in small pieces: otherwise the kernel's own
/// buffers would keep some 700 kB for it, and the server would have nothing to keep.
const NARROW_BUFFER: libc::c_int = 4096;
const NARROW_SEGMENT: libc::c_int = 128;

/// Begins to connect. The stream becomes writable when it is connected.
pub(crate) fn connect(to: SocketAddrV4, from: Ipv4Addr, narrow: bool) -> io::Result<TcpStream> {
    // SAFETY: a plain system call; the descriptor it returns belongs to nobody else.
    let stream = unsafe {
        let descriptor =
            checked(libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0))?;
        TcpStream::from(OwnedFd::from_raw_fd(descriptor))
    };
    stream.set_nodelay(true)?;
    let descriptor = stream.as_raw_fd();
    if narrow {
        // Before it connects, because then the peer is told of both.
        set_option(descriptor, libc::SOL_SOCKET, libc::SO_RCVBUF, NARROW_BUFFER)?;
        set_option(descriptor, libc::IPPROTO_TCP, libc::TCP_MAXSEG, NARROW_SEGMENT)?;
    }
    if !from.is_unspecified() {
        // The port is then chosen when connecting, per destination, and not reserved for the source address alone.
        set_option(descriptor, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        with_address(SocketAddrV4::new(from, 0), |address, size| {
            // SAFETY: `address` points to a sockaddr_in of that size.
            unsafe { libc::bind(descriptor, address, size) }
        })?;
    }
    let connecting = with_address(to, |address, size| {
        // SAFETY: `address` points to a sockaddr_in of that size.
        unsafe { libc::connect(descriptor, address, size) }
    });
    match connecting {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(stream),
    }
}

fn set_option(descriptor: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let (address, size) = (&raw const value, size_of_val(&value) as libc::socklen_t);
    // SAFETY: the option is an int, and its address and size are those of `value`.
    checked(unsafe { libc::setsockopt(descriptor, level, option, address.cast(), size) }).map(drop)
}

fn with_address(
    address: SocketAddrV4,
    call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> libc::c_int,
) -> io::Result<libc::c_int> {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    checked(call((&raw const address).cast(), size_of_val(&address) as libc::socklen_t))
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(crate) struct Epoll(OwnedFd);

/// One descriptor that can be served.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: a plain system call; the descriptor it returns belongs to nobody else.
        unsafe { checked(libc::epoll_create1(libc::EPOLL_CLOEXEC)).map(|set| Epoll(OwnedFd::from_raw_fd(set))) }
    }

    /// Watches for something to read. Closing the stream ends the watch.
    pub(crate) fn add(&self, stream: &TcpStream, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, stream, token, libc::EPOLLIN)
    }

    /// Whether to watch for room to write, too.
    pub(crate) fn watch_writes(&self, stream: &TcpStream, token: u64, writes: bool) -> io::Result<()> {
        let interest = if writes { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
        self.control(libc::EPOLL_CTL_MOD, stream, token, interest)
    }

    /// Whether to watch for anything at all.
    pub(crate) fn watch_reads(&self, stream: &TcpStream, token: u64, reads: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, stream, token, if reads { libc::EPOLLIN } else { 0 })
    }

    fn control(&self, operation: libc::c_int, stream: &TcpStream, token: u64, interest: libc::c_int) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest as u32, u64: token };
        // SAFETY: both descriptors are open, and the event lives through the call.
        checked(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, stream.as_raw_fd(), &mut event) }).map(drop)
    }

    /// Waits until something is ready or the time is over, then replaces the content of `ready`.
    pub(crate) fn wait(&self, timeout: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        const AT_ONCE: usize = 256;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; AT_ONCE];
        let millis = timeout.as_nanos().div_ceil(1_000_000).min(1000) as libc::c_int;
        ready.clear();
        // SAFETY: `events` has room for as many as are asked for.
        match checked(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), AT_ONCE as _, millis) }) {
            Ok(count) => {
                ready.extend(events[..count as usize].iter().map(|event| Ready {
                    token: event.u64,
                    // An error or a hang-up shows when one reads.
                    readable: event.events & !(libc::EPOLLOUT as u32) != 0,
                    writable: event.events & libc::EPOLLOUT as u32 != 0,
                }));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}
