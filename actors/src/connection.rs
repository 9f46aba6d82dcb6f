//! The connection of a client: the actor that owns its socket.
//!
//! As long as the socket accepts what it is given, the hub writes frames itself, everything that waits in one call: no
//! message, no wake-up. When the socket is full the actor waits for it, and meanwhile frames wait in the client's bounded
//! queue. Beside that the actor reads: what the client sends, and that it has gone. An idle client costs this actor, its
//! queue and its socket, no buffer and no timer.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::hub::{Audience, LocalHub};
use crate::subscription::{Sink, Subscription, SubscriptionState};
use crate::wire::{Frame, Wire};

/// The send buffer of a socket, in bytes; left to itself, the kernel lets one stalled client hold 4 MB.
const SEND_BUFFER: usize = 64 * 1024;

/// After so long without an acknowledgement of what was sent the kernel gives a peer up.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a client may take for what was still under way when its stream ended, and for closing its side.
const FAREWELL: Duration = Duration::from_secs(2);

/// Reads in a row before others have their turn.
const READS: usize = 16;

/// What a client sends, as its protocol understands it.
pub trait Peer: 'static {
    /// Bytes came.
    fn received(&mut self, bytes: &[u8]);

    /// Acts on what came so far. Called until it has nothing to do.
    fn step(&mut self) -> Step;
}

/// What a [`Peer`] did.
pub enum Step {
    /// It needs more bytes.
    Idle,
    /// It goes on when this is done; nothing is read until then.
    Wait(LocalBoxFuture<'static, ()>),
    /// The connection is over.
    Close,
}

/// A peer of whom nothing is expected.
pub struct Silent;

impl Peer for Silent {
    fn received(&mut self, _: &[u8]) {}

    fn step(&mut self) -> Step {
        Step::Idle
    }
}

/// The actor of one client. See the module's documentation.
pub struct Connection<A: Audience> {
    hub: LocalHub<A>,
    subscription: Rc<Subscription>,
    /// Taken when the actor starts.
    io: Option<Io>,
}

impl<A: Audience> Connection<A> {
    /// Starts the actor of a client that has just been connected to its hub by `connect`, which is given the client's sink.
    pub fn start<P: Peer>(
        hub: &LocalHub<A>,
        stream: TcpStream,
        connect: impl FnOnce(Rc<dyn Sink>) -> Rc<Subscription>,
        peer: impl FnOnce(&Rc<Subscription>) -> P,
    ) {
        let socket = SockRef::from(&stream);
        // What the kernel refuses stays as it was.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
        let outlet = Rc::new(Outlet {
            stream,
            blocked: Cell::new(false),
            ended: Cell::new(false),
            broken: Cell::new(false),
            task: RefCell::new(None),
        });
        let subscription = connect(outlet.clone());
        let peer = Box::new(peer(&subscription));
        let io = Io { outlet, subscription: subscription.clone(), peer, pending: None, farewell: None, shut: false };
        subscription.wake();
        Connection { hub: hub.clone(), subscription, io: Some(io) }.start();
    }
}

impl<A: Audience> Actor for Connection<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(io) = self.io.take() {
            ctx.spawn(io.into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

impl<A: Audience> Drop for Connection<A> {
    fn drop(&mut self) {
        self.hub.disconnect(self.subscription.key);
    }
}

/// The sending side, shared by the hub and the actor.
struct Outlet {
    stream: TcpStream,
    /// The socket is full: the actor waits for it.
    blocked: Cell<bool>,
    /// The stream has ended; what is left of it may still go out.
    ended: Cell<bool>,
    /// The socket failed.
    broken: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Outlet {
    fn wake_actor(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}

impl Sink for Outlet {
    fn approach(&self) {
        std::hint::black_box((self.blocked.get(), self.stream.as_raw_fd()));
    }

    fn wake(&self, waiting: &mut SubscriptionState) {
        if waiting.ending().is_some() && !self.ended.replace(true) {
            self.wake_actor();
        }
        if self.blocked.get() || self.broken.get() {
            return;
        }
        let written = waiting.write(|pieces| match pieces {
            // Nearly always: the kernel is asked at once, without what tokio knows of the socket.
            [piece] => match SockRef::from(&self.stream).send(piece) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.try_write(piece),
                sent => sent,
            },
            pieces => self.stream.try_write_vectored(pieces),
        });
        match written {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked.set(true),
            Err(_) => self.broken.set(true),
        }
        self.wake_actor();
    }
}

/// The actor's work.
struct Io {
    outlet: Rc<Outlet>,
    subscription: Rc<Subscription>,
    peer: Box<dyn Peer>,
    /// What the peer waits for.
    pending: Option<LocalBoxFuture<'static, ()>>,
    /// Runs once the stream has ended.
    farewell: Option<Pin<Box<Sleep>>>,
    /// Our side is closed.
    shut: bool,
}

impl Io {
    /// Writes as far as the socket goes. True when nothing is left.
    fn poll_write(&self, task: &mut Task<'_>) -> bool {
        while self.outlet.blocked.get() {
            match self.outlet.stream.poll_write_ready(task) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) => {
                    self.outlet.blocked.set(false);
                    self.subscription.wake();
                }
                Poll::Ready(Err(_)) => {
                    self.outlet.broken.set(true);
                    return true;
                }
            }
        }
        true
    }

    /// The stream has ended: first what is left goes out, then the client has a moment to close its side, so that what it has
    /// not read yet is not lost by a reset.
    fn poll_farewell(&mut self, task: &mut Task<'_>, written: bool) -> Poll<()> {
        let farewell = self.farewell.get_or_insert_with(|| Box::pin(tokio::time::sleep(FAREWELL)));
        if farewell.as_mut().poll(task).is_ready() {
            return Poll::Ready(());
        }
        self.pending = None;
        if written && !self.shut {
            self.shut = true;
            let _ = SockRef::from(&self.outlet.stream).shutdown(Shutdown::Write);
        }
        self.poll_read(task).map(drop)
    }

    /// The peer ends the connection.
    fn close(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.subscription.close();
        self.outlet.ended.set(true);
        let written = self.poll_write(task);
        self.poll_farewell(task, written)
    }

    /// Reads what there is.
    fn poll_read(&mut self, task: &mut Task<'_>) -> Poll<Read> {
        let mut buffer = [0; 4096];
        for _ in 0..READS {
            if self.outlet.stream.poll_read_ready(task).is_pending() {
                return Poll::Pending;
            }
            match self.outlet.stream.try_read(&mut buffer) {
                Ok(0) => return Poll::Ready(Read::Gone),
                // Who was told that the stream has ended has nothing more to say.
                Ok(_) if self.farewell.is_some() => {}
                Ok(count) => {
                    self.peer.received(&buffer[..count]);
                    if self.poll_peer(task).is_ready() {
                        return Poll::Ready(Read::Close);
                    }
                    if self.pending.is_some() {
                        return Poll::Pending;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(Read::Gone),
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Lets the peer act. Ready when it closes the connection.
    fn poll_peer(&mut self, task: &mut Task<'_>) -> Poll<()> {
        loop {
            if let Some(pending) = &mut self.pending {
                if pending.as_mut().poll(task).is_pending() {
                    return Poll::Pending;
                }
                self.pending = None;
            }
            match self.peer.step() {
                Step::Idle => return Poll::Pending,
                Step::Wait(future) => self.pending = Some(future),
                Step::Close => return Poll::Ready(()),
            }
        }
    }
}

impl Future for Io {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.outlet.task.borrow().as_ref().is_none_or(|own| !own.will_wake(task.waker())) {
            *this.outlet.task.borrow_mut() = Some(task.waker().clone());
        }
        let written = this.poll_write(task);
        if this.outlet.broken.get() {
            return Poll::Ready(());
        }
        if this.outlet.ended.get() {
            return this.poll_farewell(task, written);
        }
        if !written {
            // Whoever takes no answers is asked for no questions.
            return Poll::Pending;
        }
        if this.pending.is_some() {
            match this.poll_peer(task) {
                Poll::Ready(()) => return this.close(task),
                Poll::Pending if this.pending.is_some() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        match this.poll_read(task) {
            Poll::Ready(Read::Gone) => Poll::Ready(()),
            Poll::Ready(Read::Close) => this.close(task),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Why reading is over.
enum Read {
    /// The client closed its side, or the socket failed.
    Gone,
    /// The peer wants no more.
    Close,
}

impl Subscription {
    /// Puts a frame of the client's own conversation behind what waits.
    pub fn reply(&self, frame: Frame) {
        self.state.borrow_mut().reply(frame);
        self.wake();
    }

    /// How messages to this client are written.
    pub fn wire(&self) -> &'static dyn Wire {
        self.wire
    }
}
