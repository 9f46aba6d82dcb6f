//! What events look like on the wire. The domain has a [`Wire`] for each kind of connection; frames are made once for
//! each kind and shared by all clients of it.

use bytes::Bytes;

use crate::Position;
use crate::subscription::Ending;

/// The bytes of one or more messages, or the rest of some.
pub type Frame = Bytes;

/// How many kinds of wire there can be.
pub const KINDS: usize = 8;

/// A way to write messages.
pub trait Wire: 'static {
    /// Below [`KINDS`]. Clients of the same kind are given the same bytes.
    fn kind(&self) -> usize;

    /// Appends an event to `out`. `payload` is a JSON object on a single line; `topic` is the subscription's text, which
    /// has no control characters.
    fn event(&self, out: &mut Vec<u8>, at: &Position, topic: &str, payload: &[u8]);

    /// What is sent where nothing else was for a while. `news`: the position moved on without an event for the client.
    fn keep_alive(&self, at: &Position, news: bool) -> Frame;

    /// The client is to read its data anew, and to count on what comes after `at`.
    fn reset(&self, at: &Position, reason: Reset) -> Frame;

    /// The last message of a stream.
    fn ending(&self, ending: Ending) -> Frame;
}

/// Why a client cannot go on where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The log does not reach back that far.
    Expired,
    /// The position is of another history.
    Epoch,
    /// There never was such a position.
    Unknown,
}

impl Reset {
    /// The word that clients see.
    pub fn as_str(self) -> &'static str {
        match self {
            Reset::Expired => "expired",
            Reset::Epoch => "epoch",
            Reset::Unknown => "unknown",
        }
    }
}

/// One message for clients of several kinds: written for a kind when the first client of it comes.
#[derive(Default)]
pub(crate) struct Frames([Option<Frame>; KINDS]);

impl Frames {
    pub(crate) fn get(&mut self, wire: &dyn Wire, write: impl FnOnce() -> Frame) -> Frame {
        match self.0.get_mut(wire.kind()) {
            Some(frame) => frame.get_or_insert_with(write).clone(),
            None => write(),
        }
    }
}
