//! A subscription: the way of one client's events from its hub to its socket.
//!
//! The hub puts frames in, in order; the connection takes them out as fast as its socket accepts them, everything that
//! waits in as few pieces as possible. What waits is bounded in bytes: a client that falls further behind is cut off and
//! told so, never skipped. [`SubscriptionState`] is all of that without actors and clocks; [`Subscription`] shares it
//! between the hub and the connection, which live on one thread; a [`Sink`] is what the connection gives the hub to be
//! woken and cut by.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::frame::Protocol;
use crate::hub::ClientKey;

/// The bounds of every subscription of a hub. Times are ticks of the hub, one second each.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionLimits {
    /// Bytes that may wait for a client. The frames of one commit are taken whole: a client is cut off when this much
    /// was already waiting before.
    pub bytes: usize,
    /// After so many ticks without a frame a keep-alive is sent.
    pub keep_alive: u16,
    /// After so many ticks in which something waited and nothing was taken the client is cut off.
    pub stall: u16,
}

impl Default for SubscriptionLimits {
    fn default() -> SubscriptionLimits {
        SubscriptionLimits { bytes: 256 * 1024, keep_alive: 25, stall: 10 }
    }
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// More waited than the bound allows.
    Overflow,
    /// The client took nothing for too long.
    Stalled,
    /// The hub itself fell too far behind: what it skipped must be fetched anew.
    Lagged,
    /// The server is stopping; what waits is still sent.
    Stopped,
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
    Stalled,
}

/// The queue of one client.
#[derive(Debug, Default)]
pub struct SubscriptionState {
    queue: VecDeque<Bytes>,
    /// The sum of the queue.
    bytes: usize,
    /// The turn of the hub in which frames were last admitted: the bound is looked at once per turn.
    turn: u64,
    /// Ticks since the last frame.
    quiet: u16,
    /// Ticks in which something waited and nothing was taken.
    stuck: u16,
    ending: Option<Ending>,
}

impl SubscriptionState {
    /// Puts a frame in. All frames of one turn of the hub are admitted or refused together.
    pub fn push(&mut self, frame: Bytes, turn: u64, limits: &SubscriptionLimits) -> Pushed {
        if self.ending.is_some() {
            return Pushed::Ended;
        }
        if self.turn != turn {
            self.turn = turn;
            if self.bytes > limits.bytes {
                self.end(Ending::Overflow);
                return Pushed::Overflow;
            }
        }
        let first = self.queue.is_empty();
        self.bytes += frame.len();
        self.quiet = 0;
        self.queue.push_back(frame);
        if first { Pushed::First } else { Pushed::Queued }
    }

    /// Takes what waits, joined to at most `max` bytes. None when nothing waits.
    pub fn take(&mut self, max: usize) -> Option<Bytes> {
        let first = self.queue.front_mut()?;
        self.stuck = 0;
        if first.len() > max {
            self.bytes -= max;
            return Some(first.split_to(max));
        }
        let mut sum = 0;
        let count = self.queue.iter().take_while(|frame| {
            sum += frame.len();
            sum <= max
        });
        let taken = match count.count() {
            0 | 1 => self.queue.pop_front()?,
            count => {
                let size = self.queue.iter().take(count).map(Bytes::len).sum();
                let mut joined = BytesMut::with_capacity(size);
                for frame in self.queue.drain(..count) {
                    joined.extend_from_slice(&frame);
                }
                joined.freeze()
            }
        };
        self.bytes -= taken.len();
        if self.queue.is_empty() {
            // An idle client keeps no buffer.
            self.queue = VecDeque::new();
        }
        Some(taken)
    }

    /// Ends the subscription. Only what waits when the server stops is still sent. The first reason stands.
    pub fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            if ending != Ending::Stopped {
                self.queue = VecDeque::new();
                self.bytes = 0;
            }
        }
    }

    /// Why it ended, if it did; what [`SubscriptionState::take`] still gives belongs to the client.
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
        if !self.queue.is_empty() {
            self.stuck += 1;
            return if self.stuck > limits.stall { Tick::Stalled } else { Tick::Nothing };
        }
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet >= limits.keep_alive { Tick::KeepAlive } else { Tick::Nothing }
    }
}

/// What a connection gives its hub. Both calls come on the connection's own thread and must return at once.
pub trait Sink {
    /// Frames wait. A connection that can write takes them here and now; another one takes a note to come for them.
    fn wake(&self, waiting: &mut SubscriptionState);

    /// The subscription ended before its time: close the connection, whether its client still reads or not.
    fn cut(&self);
}

/// A client's queue and its connection, shared by the hub and that connection.
pub struct Subscription {
    pub key: ClientKey,
    pub protocol: Protocol,
    pub(crate) state: RefCell<SubscriptionState>,
    pub(crate) sink: Box<dyn Sink>,
    /// How many interests of this client the commit at hand concerns; used by the hub within one turn.
    pub(crate) concerned: Cell<u32>,
}

impl Subscription {
    pub(crate) fn new(key: ClientKey, protocol: Protocol, sink: Box<dyn Sink>) -> Subscription {
        let state = RefCell::new(SubscriptionState::default());
        Subscription { key, protocol, state, sink, concerned: Cell::new(0) }
    }

    /// Takes what waits, joined to at most `max` bytes.
    pub fn take(&self, max: usize) -> Option<Bytes> {
        self.state.borrow_mut().take(max)
    }

    /// Why it ended, if it did.
    pub fn ending(&self) -> Option<Ending> {
        self.state.borrow().ending()
    }

    pub(crate) fn wake(&self) {
        let state = &mut *self.state.borrow_mut();
        self.sink.wake(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SubscriptionLimits = SubscriptionLimits { bytes: 10, keep_alive: 3, stall: 2 };

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_waits_is_taken_in_order_and_in_few_pieces() {
        let mut state = SubscriptionState::default();
        assert_eq!(state.push(frame("one,"), 1, &LIMITS), Pushed::First);
        assert_eq!(state.push(frame("two,"), 1, &LIMITS), Pushed::Queued);
        assert_eq!(state.push(frame("three,"), 1, &LIMITS), Pushed::Queued);
        assert_eq!(state.take(8).unwrap(), "one,two,");
        assert_eq!(state.take(3).unwrap(), "thr");
        assert_eq!(state.waiting(), 3);
        assert_eq!(state.take(100).unwrap(), "ee,");
        assert_eq!(state.take(100), None);
        assert_eq!((state.waiting(), state.queue.capacity()), (0, 0));
        assert_eq!(state.push(frame("four"), 2, &LIMITS), Pushed::First);
    }

    #[test]
    fn one_turn_is_taken_whole_and_the_next_one_overflows() {
        let mut state = SubscriptionState::default();
        for _ in 0..5 {
            state.push(frame("12345"), 1, &LIMITS);
        }
        assert_eq!(state.waiting(), 25);
        assert_eq!(state.push(frame("6"), 2, &LIMITS), Pushed::Overflow);
        assert_eq!(state.push(frame("7"), 2, &LIMITS), Pushed::Ended);
        assert_eq!((state.ending(), state.take(100), state.waiting()), (Some(Ending::Overflow), None, 0));
    }

    #[test]
    fn a_client_at_the_bound_stays() {
        let mut state = SubscriptionState::default();
        state.push(frame("1234567890"), 1, &LIMITS);
        assert_eq!(state.push(frame("1"), 2, &LIMITS), Pushed::Queued);
        assert_eq!(state.push(frame("2"), 3, &LIMITS), Pushed::Overflow);
    }

    #[test]
    fn what_waits_when_the_server_stops_is_still_sent() {
        let mut state = SubscriptionState::default();
        state.push(frame("last"), 1, &LIMITS);
        state.end(Ending::Stopped);
        state.end(Ending::Overflow);
        assert_eq!((state.take(100).unwrap(), state.ending()), (frame("last"), Some(Ending::Stopped)));
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
        state.take(1);
        assert_eq!(ticks(&mut state, 2), Tick::Nothing);
        assert_eq!(ticks(&mut state, 1), Tick::Stalled);
    }
}
