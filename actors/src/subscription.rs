//! A subscription: the way of one client's events from its hub to its socket.
//!
//! The hub puts frames in, in order; they go out as fast as the client's socket accepts them, everything that waits in as
//! few pieces as possible. What waits is bounded in bytes: a client that falls further behind is cut off and told so,
//! never skipped. [`SubscriptionState`] is all of that without actors and clocks; [`Subscription`] shares it between the
//! hub and the connection, which live on one thread; a [`Sink`] is the socket as the hub sees it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;

use bytes::Buf;

use crate::Seq;
use crate::hub::ClientKey;
use crate::wire::{Frame, Wire};

/// Frames that are handed to a socket at a time.
const PIECES: usize = 64;

/// The bounds of every subscription of a hub. Times are ticks of the hub, one second each.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionLimits {
    /// Bytes that may wait for a client. The frames of one commit are taken whole: a client is cut off when this much
    /// was already waiting before.
    pub bytes: usize,
    /// Topics that a client may have.
    pub topics: usize,
    /// Of these, those that may be live queries.
    pub live: usize,
    /// After so many ticks without a frame a keep-alive is sent.
    pub keep_alive: u16,
    /// After so many ticks in which something waited and nothing was taken the client is cut off.
    pub stall: u16,
    /// After so many ticks without an event the stream ends; never, without.
    pub idle: Option<u32>,
    /// After so many ticks the stream ends in any case; never, without.
    pub lifetime: Option<u32>,
}

impl Default for SubscriptionLimits {
    fn default() -> SubscriptionLimits {
        SubscriptionLimits {
            bytes: 256 * 1024,
            topics: 1000,
            live: 32,
            keep_alive: 25,
            stall: 10,
            idle: None,
            lifetime: None,
        }
    }
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// More waited than the bound allows.
    Overflow,
    /// The client took nothing for too long.
    Stalled,
    /// The hub could not tell the client of everything, or no longer knows who it is: it must read anew.
    Lagged,
    /// Its time is over, as the settings say; what waits is still sent.
    Expired,
    /// The server is stopping; what waits is still sent.
    Stopped,
    /// The client said goodbye, or nothing that can be understood; what waits is still sent.
    Left,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, and the connection must be woken for it.
    First,
    /// It waits behind others.
    Queued,
    /// The subscription ended because of it.
    Overflow,
    /// The subscription had ended before.
    Ended,
}

/// What a tick asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    Nothing,
    KeepAlive,
    End(Ending),
}

/// Frames in order. One frame has its place here without an allocation: nearly always it is the only one.
#[derive(Clone, Debug, Default)]
struct Waiting {
    first: Option<Frame>,
    /// Empty where there is no first one.
    rest: VecDeque<Frame>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn push(&mut self, frame: Frame) {
        match &self.first {
            None => self.first = Some(frame),
            Some(_) => self.rest.push_back(frame),
        }
    }

    fn pop(&mut self) {
        self.first = self.rest.pop_front();
    }

    fn iter(&self) -> impl Iterator<Item = &Frame> {
        self.first.iter().chain(&self.rest)
    }
}

/// The queue of one client.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionState {
    queue: Waiting,
    /// The sum of the queue.
    bytes: usize,
    /// The first frame was sent in part.
    partial: bool,
    /// The turn of the hub in which frames were last admitted: the bound is looked at once per turn.
    turn: u64,
    /// Ticks since the last frame.
    quiet: u16,
    /// Ticks in which something waited and nothing was taken.
    stuck: u16,
    /// Ticks since the last event, and since the beginning.
    idle: u32,
    age: u32,
    ending: Option<Ending>,
}

impl SubscriptionState {
    /// Puts a frame in. All frames of one turn of the hub are admitted or refused together.
    fn push(&mut self, frame: Frame, turn: u64, limits: &SubscriptionLimits) -> Pushed {
        if self.ending.is_some() {
            return Pushed::Ended;
        }
        if self.turn != turn {
            self.turn = turn;
            if self.bytes > limits.bytes {
                return Pushed::Overflow;
            }
        }
        let first = self.queue.is_empty();
        self.bytes += frame.len();
        (self.quiet, self.idle) = (0, 0);
        self.queue.push(frame);
        if first { Pushed::First } else { Pushed::Queued }
    }

    /// Puts a frame behind what waits, whatever waits: the client asked for it, and is asked for nothing while it does not
    /// read.
    pub(crate) fn reply(&mut self, frame: Frame) {
        if self.ending.is_none() {
            self.bytes += frame.len();
            self.queue.push(frame);
        }
    }

    /// Hands what waits to `write`, several frames at a time, until nothing waits or `write` fails. `write` says how many
    /// bytes it took.
    pub fn write(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<()> {
        while let Some(first) = &self.queue.first {
            let written = if self.queue.rest.is_empty() {
                write(&[IoSlice::new(first)])?
            } else {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let frames = pieces.iter_mut().zip(self.queue.iter());
                let count = frames.map(|(piece, frame)| *piece = IoSlice::new(frame)).count();
                write(&pieces[..count])?
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written(written);
        }
        // An idle client keeps no buffer.
        self.queue.rest = VecDeque::new();
        Ok(())
    }

    fn written(&mut self, mut count: usize) {
        self.stuck = 0;
        self.bytes -= count;
        while let Some(frame) = &mut self.queue.first {
            if count < frame.len() {
                frame.advance(count);
                self.partial |= count > 0;
                return;
            }
            count -= frame.len();
            self.queue.pop();
            self.partial = false;
        }
    }

    /// Ends the subscription with a last frame. Of what waits only the rest of a frame that was begun is still sent, or
    /// all of it when the server stops. The first reason stands.
    fn end(&mut self, ending: Ending, last: impl FnOnce() -> Frame) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(ending);
        if !matches!(ending, Ending::Stopped | Ending::Expired | Ending::Left) {
            self.queue.rest.clear();
            self.queue.first.take_if(|_| !self.partial);
        }
        self.queue.push(last());
        self.bytes = self.queue.iter().map(Frame::len).sum();
    }

    /// Ends the subscription by the connection itself: what waits is the last of it.
    fn close(&mut self) {
        self.ending.get_or_insert(Ending::Left);
    }

    /// Why it ended, if it did; what still waits belongs to the client.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.bytes
    }

    pub(crate) fn tick(&mut self, limits: &SubscriptionLimits) -> Tick {
        if self.ending.is_some() {
            return Tick::Nothing;
        }
        self.age = self.age.saturating_add(1);
        self.idle = self.idle.saturating_add(1);
        if limits.lifetime.is_some_and(|end| self.age >= end) || limits.idle.is_some_and(|end| self.idle >= end) {
            return Tick::End(Ending::Expired);
        }
        if !self.queue.is_empty() {
            self.stuck += 1;
            return if self.stuck > limits.stall { Tick::End(Ending::Stalled) } else { Tick::Nothing };
        }
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet >= limits.keep_alive { Tick::KeepAlive } else { Tick::Nothing }
    }
}

/// A socket, as the hub of its client sees it.
pub trait Sink {
    /// Frames wait, or the subscription has ended. What can be written is written here and now; the rest, and the closing,
    /// is the connection's to see to. Must return at once.
    fn wake(&self, waiting: &mut SubscriptionState);

    /// Looks at what `wake` will need.
    fn approach(&self) {}
}

/// A client's queue and its socket, shared by the hub and the connection.
pub struct Subscription {
    pub key: ClientKey,
    pub(crate) wire: &'static dyn Wire,
    pub(crate) state: RefCell<SubscriptionState>,
    sink: Rc<dyn Sink>,
    /// The last position that a frame told the client.
    pub(crate) told: Cell<Seq>,
    /// It is still being told of the past. What it hears of the present meanwhile says no later position than `told`: if
    /// the connection ended there, it would never be told the rest.
    pub(crate) replaying: Cell<bool>,
    /// How many interests of this client the commit at hand concerns; used by the hub within one turn.
    pub(crate) concerned: Cell<u32>,
}

impl Subscription {
    pub(crate) fn new(key: ClientKey, wire: &'static dyn Wire, sink: Rc<dyn Sink>, at: Seq) -> Subscription {
        let state = RefCell::new(SubscriptionState::default());
        let (replaying, concerned) = (Cell::new(false), Cell::new(0));
        Subscription { key, wire, state, sink, told: Cell::new(at), replaying, concerned }
    }

    /// Puts a frame in. All frames of one turn of the hub are admitted or refused together.
    pub(crate) fn push(&self, frame: Frame, turn: u64, limits: &SubscriptionLimits) -> Pushed {
        let pushed = self.state.borrow_mut().push(frame, turn, limits);
        if pushed == Pushed::Overflow {
            self.end(Ending::Overflow);
        }
        pushed
    }

    /// Puts a sign of life in, which is no event.
    pub(crate) fn keep_alive(&self, frame: Frame, turn: u64, limits: &SubscriptionLimits) -> Pushed {
        let idle = self.state.borrow().idle;
        let pushed = self.push(frame, turn, limits);
        self.state.borrow_mut().idle = idle;
        pushed
    }

    /// Ends the stream; to be followed by [`Subscription::wake`].
    pub(crate) fn end(&self, ending: Ending) {
        self.state.borrow_mut().end(ending, || self.wire.ending(ending));
    }

    /// Nothing more goes out than what waits.
    pub(crate) fn close(&self) {
        self.state.borrow_mut().close();
    }

    /// The same, with something to say before the end.
    pub(crate) fn end_with(&self, word: Frame, ending: Ending) {
        self.state.borrow_mut().end(ending, || [word, self.wire.ending(ending)].concat().into());
    }

    /// Why it ended, if it did.
    pub fn ending(&self) -> Option<Ending> {
        self.state.borrow().ending()
    }

    /// Has the processor fetch what [`Subscription::wake`] will need.
    pub(crate) fn approach(&self) {
        std::hint::black_box(self.state.borrow().bytes);
        self.sink.approach();
    }

    pub(crate) fn wake(&self) {
        let state = &mut *self.state.borrow_mut();
        self.sink.wake(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SubscriptionLimits =
        SubscriptionLimits { bytes: 10, topics: 10, live: 10, keep_alive: 3, stall: 2, idle: None, lifetime: None };

    fn frame(text: &'static str) -> Frame {
        Frame::from_static(text.as_bytes())
    }

    /// What a socket with room for `max` bytes takes.
    fn take(state: &mut SubscriptionState, max: usize) -> String {
        let mut taken = Vec::new();
        let result = state.write(|pieces| {
            let before = taken.len();
            for byte in pieces.iter().flat_map(|piece| piece.iter()).take(max - before) {
                taken.push(*byte);
            }
            if taken.len() == before { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken.len() - before) }
        });
        assert_eq!(result.is_ok(), state.queue.is_empty());
        String::from_utf8(taken).unwrap()
    }

    #[test]
    fn what_waits_is_taken_in_order_and_in_few_pieces() {
        let mut state = SubscriptionState::default();
        assert_eq!(state.push(frame("one,"), 1, &LIMITS), Pushed::First);
        assert_eq!(state.push(frame("two,"), 1, &LIMITS), Pushed::Queued);
        assert_eq!(state.push(frame("three,"), 1, &LIMITS), Pushed::Queued);
        let mut calls = 0;
        let _ = state.clone().write(|pieces| {
            calls += 1;
            Ok(pieces.iter().map(|piece| piece.len()).sum())
        });
        assert_eq!(calls, 1);
        assert_eq!(take(&mut state, 8), "one,two,");
        assert_eq!(take(&mut state, 3), "thr");
        assert_eq!(state.waiting(), 3);
        assert_eq!(take(&mut state, 100), "ee,");
        assert_eq!((state.waiting(), state.queue.rest.capacity()), (0, 0));
        assert_eq!(state.push(frame("four"), 2, &LIMITS), Pushed::First);
    }

    #[test]
    fn more_frames_than_fit_one_call_all_go_out() {
        let mut state = SubscriptionState::default();
        for _ in 0..3 * PIECES {
            state.push(frame("x"), 1, &LIMITS);
        }
        assert_eq!(take(&mut state, 1000), "x".repeat(3 * PIECES));
    }

    #[test]
    fn one_turn_is_taken_whole_and_the_next_one_overflows() {
        let mut state = SubscriptionState::default();
        for _ in 0..5 {
            state.push(frame("12345"), 1, &LIMITS);
        }
        assert_eq!(state.waiting(), 25);
        assert_eq!(state.push(frame("6"), 2, &LIMITS), Pushed::Overflow);
    }

    #[test]
    fn a_client_at_the_bound_stays() {
        let mut state = SubscriptionState::default();
        state.push(frame("1234567890"), 1, &LIMITS);
        assert_eq!(state.push(frame("1"), 2, &LIMITS), Pushed::Queued);
        assert_eq!(state.push(frame("2"), 3, &LIMITS), Pushed::Overflow);
    }

    #[test]
    fn what_waits_is_dropped_at_a_cut_but_for_the_rest_of_what_was_begun() {
        let mut state = SubscriptionState::default();
        state.push(frame("begun"), 1, &LIMITS);
        state.push(frame("never"), 1, &LIMITS);
        assert_eq!(take(&mut state, 2), "be");
        state.end(Ending::Overflow, || frame("!"));
        assert_eq!(state.push(frame("7"), 2, &LIMITS), Pushed::Ended);
        assert_eq!((state.waiting(), take(&mut state, 100)), (4, "gun!".into()));

        let mut state = SubscriptionState::default();
        state.push(frame("never"), 1, &LIMITS);
        state.end(Ending::Stalled, || frame("!"));
        assert_eq!(take(&mut state, 100), "!");
    }

    #[test]
    fn what_waits_when_the_server_stops_is_still_sent() {
        let mut state = SubscriptionState::default();
        state.push(frame("last"), 1, &LIMITS);
        state.end(Ending::Stopped, || frame("."));
        state.end(Ending::Overflow, || frame("!"));
        assert_eq!((take(&mut state, 100).as_str(), state.ending()), ("last.", Some(Ending::Stopped)));
    }

    #[test]
    fn ticks_ask_for_a_keep_alive_when_quiet_and_for_the_end_when_stuck() {
        let mut state = SubscriptionState::default();
        let ticks =
            |state: &mut SubscriptionState, count: usize| (0..count).map(|_| state.tick(&LIMITS)).last().unwrap();
        assert_eq!(ticks(&mut state, 2), Tick::Nothing);
        assert_eq!(ticks(&mut state, 1), Tick::KeepAlive);
        state.push(frame(":\n"), 1, &LIMITS);
        assert_eq!(ticks(&mut state, 2), Tick::Nothing);
        take(&mut state, 1);
        assert_eq!(ticks(&mut state, 2), Tick::Nothing);
        assert_eq!(ticks(&mut state, 1), Tick::End(Ending::Stalled));
    }

    #[test]
    fn a_quiet_stream_lives_on_if_nobody_set_an_end() {
        let limits = SubscriptionLimits::default();
        let mut state = SubscriptionState::default();
        // A day of seconds.
        for second in 1..=86_400 {
            let tick = state.tick(&limits);
            assert!(!matches!(tick, Tick::End(_)), "{tick:?} after {second}");
            assert_eq!(tick == Tick::KeepAlive, second >= 25);
        }
    }

    #[test]
    fn a_stream_ends_when_it_is_idle_or_old_if_the_limits_say_so() {
        let limits = SubscriptionLimits { idle: Some(4), lifetime: Some(6), keep_alive: 100, ..LIMITS };
        let mut state = SubscriptionState::default();
        let tick = |state: &mut SubscriptionState| state.tick(&limits);
        for _ in 0..3 {
            assert_eq!(tick(&mut state), Tick::Nothing);
        }
        state.push(frame("event"), 1, &limits);
        take(&mut state, 100);
        assert_eq!((tick(&mut state), tick(&mut state)), (Tick::Nothing, Tick::Nothing));
        assert_eq!(tick(&mut state), Tick::End(Ending::Expired), "old");
        let mut state = SubscriptionState::default();
        let last = (0..4).map(|_| tick(&mut state)).last();
        assert_eq!(last, Some(Tick::End(Ending::Expired)), "idle");
    }
}
