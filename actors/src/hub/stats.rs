//! Figures of a hub.

use crate::Seq;
use crate::wire::KINDS;

/// Figures of a hub at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct HubStats {
    pub clients: usize,
    /// The same, by the kind of their wire.
    pub kinds: [usize; KINDS],
    /// Topics of all clients.
    pub subscriptions: usize,
    /// Distinct pairs of text and caller.
    pub interests: usize,
    /// Clients that are being told what they missed.
    pub replaying: usize,
    /// Bytes that wait for clients.
    pub waiting: usize,
    /// The last change delivered.
    pub delivered: Seq,
    pub counts: HubCounts,
}

/// What a hub has done since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct HubCounts {
    /// Changes that were looked at.
    pub changes: u64,
    /// Events that were put into queues.
    pub deliveries: u64,
    /// Clients cut off because more waited for them than may.
    pub overflows: u64,
    /// Clients cut off because they took nothing for too long.
    pub stalls: u64,
    /// Clients cut off because the hub could not tell them of something.
    pub lagged: u64,
    /// Clients that were told to read anew.
    pub resets: u64,
    /// Clients that came back and were told what they missed.
    pub replays: u64,
}
