//! Figures of all hubs together.

use headwater_actors::Seq;
use headwater_actors::hub::{HubCounts, HubStats};

use super::ws;

/// See [`HubStats`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RealtimeStats {
    pub event_streams: usize,
    pub web_sockets: usize,
    /// Topics of all clients.
    pub subscriptions: usize,
    /// Clients that are being told what they missed.
    pub replaying: usize,
    /// Bytes that wait for clients.
    pub queued_bytes: usize,
    /// The last change that every hub is done with; none without hubs.
    pub delivered: Option<Seq>,
    pub counts: HubCounts,
}

impl RealtimeStats {
    pub fn clients(&self) -> usize {
        self.event_streams + self.web_sockets
    }

    pub(super) fn add(&mut self, hub: &HubStats) {
        for (kind, count) in hub.kinds.iter().enumerate() {
            let sum = if kind == ws::KIND { &mut self.web_sockets } else { &mut self.event_streams };
            *sum += count;
        }
        self.subscriptions += hub.subscriptions;
        self.replaying += hub.replaying;
        self.queued_bytes += hub.waiting;
        self.delivered = Some(self.delivered.map_or(hub.delivered, |seq| seq.min(hub.delivered)));
        self.counts.changes += hub.counts.changes;
        self.counts.deliveries += hub.counts.deliveries;
        self.counts.overflows += hub.counts.overflows;
        self.counts.stalls += hub.counts.stalls;
        self.counts.lagged += hub.counts.lagged;
        self.counts.resets += hub.counts.resets;
        self.counts.replays += hub.counts.replays;
    }
}
