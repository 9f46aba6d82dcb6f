//! Streams of server-sent events. The one module that uses actix-web-actors.
//!
//! The actor of a client is the body of its response: the hub wakes it by a message, and the dispatcher of the
//! connection takes from the client's queue just what its socket accepts. So an idle stream costs no task and no timer,
//! and what waits for a slow client stays in its bounded queue, in sight of the hub.

use std::any::Any;
use std::cell::OnceCell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix::prelude::*;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web_actors::HttpContext;
use bytes::Bytes;
use futures_util::Stream;
use headwater_actors::frame::{Protocol, sse_event};
use headwater_actors::hub::LocalHub;
use headwater_actors::subscription::{Sink, Subscription, SubscriptionState};
use serde_json::json;

use super::events::{Message, Stopped};
use super::visibility::Visibility;
use super::{CONNECT, ClientId, Connected, Realtime, WorkerHub};
use crate::app::App;
use crate::request::Caller;

/// Bytes that are handed to the connection at a time. What it holds beyond its socket's buffer is at most twice as much.
const CHUNK: usize = 32 * 1024;

/// The send buffer of a stream's socket; the kernel would let one stalled client hold 4 MB.
const SEND_BUFFER: libc::c_int = 64 * 1024;

/// After so many milliseconds without an acknowledgement of what was sent the kernel gives a peer up.
const USER_TIMEOUT: libc::c_uint = 60_000;

/// The socket of a connection, borrowed for as long as a response is being sent on it.
#[derive(Clone, Copy)]
pub(crate) struct Socket(RawFd);

impl Socket {
    /// Notes the socket of a new connection; to be given to the server's `on_connect`.
    pub(crate) fn remember(connection: &dyn Any, data: &mut Extensions) {
        if let Some(stream) = connection.downcast_ref::<TcpStream>() {
            data.insert(Socket(stream.as_raw_fd()));
        }
    }

    /// Bounds what the kernel holds for a stream.
    fn bound(self) {
        set_option(self.0, libc::SOL_SOCKET, libc::SO_SNDBUF, SEND_BUFFER);
        #[cfg(target_os = "linux")]
        set_option(self.0, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, USER_TIMEOUT);
    }

    /// Ends the connection in both directions, also when its peer does not read.
    fn shut_down(self) {
        // SAFETY: a call on a number. A body lives no longer than its connection, and tells its hub when it ends before
        // the connection closes the socket: the number still means this socket.
        unsafe { libc::shutdown(self.0, libc::SHUT_RDWR) };
    }
}

fn set_option<T>(socket: RawFd, level: libc::c_int, name: libc::c_int, value: T) {
    // SAFETY: the kernel reads `value`, which outlives the call. What it refuses stays as it was.
    unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), size_of::<T>() as libc::socklen_t) };
}

/// The actor of a client. Its messages only wake the connection, which then takes what waits.
struct Client;

impl Actor for Client {
    type Context = HttpContext<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Wake;

impl Handler<Wake> for Client {
    type Result = ();

    fn handle(&mut self, _: Wake, _: &mut HttpContext<Self>) {}
}

struct Connection {
    /// Set as soon as there is an actor.
    client: Rc<OnceCell<Addr<Client>>>,
    socket: Option<Socket>,
}

impl Connection {
    fn wake(&self) {
        if let Some(client) = self.client.get() {
            client.do_send(Wake);
        }
    }
}

impl Sink for Connection {
    fn wake(&self, _: &mut SubscriptionState) {
        // At most one is under way: the hub wakes only when the queue was empty.
        self.wake();
    }

    fn cut(&self) {
        if let Some(socket) = self.socket {
            socket.shut_down();
        }
        self.wake();
    }
}

/// The body of a stream.
pub(crate) struct Body<A> {
    client: A,
    subscription: Rc<Subscription>,
    hub: LocalHub<Visibility>,
}

impl<A: Stream + Unpin> MessageBody for Body<A> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        // Takes in messages and sees to it that the next one wakes this task.
        let stopped = matches!(Pin::new(&mut self.client).poll_next(context), Poll::Ready(None));
        if let Some(bytes) = self.subscription.take(CHUNK) {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if stopped || self.subscription.ending().is_some() { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl<A> Drop for Body<A> {
    fn drop(&mut self) {
        self.hub.disconnect(self.subscription.key);
    }
}

impl Realtime {
    /// Opens a stream for a new client, which is a guest without topics. Its first event is in the queue already.
    pub(crate) fn open_stream(
        &self,
        app: &App,
        worker: &WorkerHub,
        client: ClientId,
        ip: Option<IpAddr>,
        socket: Option<Socket>,
    ) -> Result<impl MessageBody + use<>, Stopped> {
        let (place, hub) = self.local(app, worker);
        let data = json!({ "clientId": client.as_str(), "seq": app.writer.position().to_string() });
        let name = CONNECT.to_owned();
        let first = Message { client, caller: Caller::GUEST, name, data: data.to_string().into() };
        let first = self.events().pass(first)?.map(|first| sse_event(client.as_str(), &first.name, &first.data));

        if let Some(socket) = socket {
            socket.bound();
        }
        let address = Rc::new(OnceCell::new());
        let sink = Connection { client: address.clone(), socket };
        let actor = HttpContext::with_factory(move |context| {
            // The only call there is: the cell is empty.
            let _ = address.set(context.address());
            Client
        });
        let subscription = hub.connect(Protocol::Sse, client, Box::new(sink), first);
        self.0.clients.insert(client, Connected { hub: *place, key: subscription.key, ip });
        Ok(Body { client: actor, subscription, hub: hub.clone() })
    }
}
