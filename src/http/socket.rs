//! The sockets that requests come in by: what actix-http is given to read and write.
//!
//! A response may take its socket over. Its head goes out like any other, after whatever was written before; then the
//! socket leaves this wrapper, actix-http sees the end of an empty one and frees its buffers (8 KB), and the new owner
//! goes on from the first byte of the body. That works for every connection, also one that has served requests before.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection, as actix-http holds it.
pub(super) struct Socket(Rc<RefCell<State>>);

enum State {
    Open(TcpStream),
    /// Somebody takes the stream as soon as all that was written has gone out.
    Promised(TcpStream, Taker),
    Gone,
}

/// Who takes a stream over.
pub(crate) type Taker = Box<dyn FnOnce(TcpStream)>;

/// The way from a request to the socket that it came by.
#[derive(Clone)]
struct Handle(Rc<RefCell<State>>);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Socket {
        Socket(Rc::new(RefCell::new(State::Open(stream))))
    }

    /// Notes the socket for its requests; to be given to the server as `on_connect_ext`.
    pub(super) fn remember(&self, data: &mut Extensions) {
        data.insert(Handle(self.0.clone()));
    }

    /// Lets `act` use the stream, if it is still here.
    fn with<T>(&self, gone: T, act: impl FnOnce(Pin<&mut TcpStream>) -> T) -> T {
        match &mut *self.0.borrow_mut() {
            State::Open(stream) | State::Promised(stream, _) => act(Pin::new(stream)),
            State::Gone => gone,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Nothing read is the end.
        self.with(Poll::Ready(Ok(())), |stream| stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(Poll::Ready(Ok(bytes.len())), |stream| stream.poll_write(cx, bytes))
    }

    /// Comes after all that was written has been accepted by the stream: the moment to hand it over.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.0.replace(State::Gone);
        match state {
            State::Promised(stream, taker) => {
                taker(stream);
                // The dispatcher shall look again, and see the end.
                cx.waker().wake_by_ref();
            }
            state => {
                self.0.replace(state);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(Poll::Ready(Ok(())), |stream| stream.poll_shutdown(cx))
    }
}

/// The body of a response that takes its socket over: endless, and written by `taker`.
pub(crate) struct TakeOver {
    socket: Handle,
    taker: Option<Taker>,
}

impl TakeOver {
    /// None if the request did not come by a [`Socket`].
    pub(crate) fn of(request: &HttpRequest, taker: Taker) -> Option<TakeOver> {
        let socket = request.conn_data::<Handle>()?.clone();
        Some(TakeOver { socket, taker: Some(taker) })
    }
}

impl MessageBody for TakeOver {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        // The head is in actix-http's buffer, and will be flushed when this is pending.
        if let Some(taker) = self.taker.take() {
            let state = &mut *self.socket.0.borrow_mut();
            *state = match std::mem::replace(state, State::Gone) {
                State::Open(stream) => State::Promised(stream, taker),
                state => state,
            };
        }
        Poll::Pending
    }
}
