//! What a crowd hears of the events that `writers` make: the account of it, and how long it took.

use crate::Result;
use crate::client::Heard;
use crate::crowd::Crowd;
use crate::latency::Latencies;
use crate::ledger::{Ledger, Mark};
use crate::socket::Ready;
use std::ops::Range;
use std::time::{Duration, Instant};

/// What comes after the last expected delivery can only be a repetition or a leak: so long it has to show.
const AFTERWARDS: Duration = Duration::from_millis(200);

pub(crate) struct Audience {
    pub(crate) ledger: Ledger,
    start: Instant,
    /// Whose deliveries are timed, and every how-manieth of them.
    timed: (Range<usize>, usize),
    pub(crate) deliveries: Latencies,
    pub(crate) last_delivery: Instant,
    /// How often a client was told that something is missing.
    pub(crate) resets: u64,
}

impl Audience {
    /// Every delivery is timed. Events are due counted from `start`.
    pub(crate) fn new(ledger: Ledger, start: Instant) -> Audience {
        let timed = (0..usize::MAX, 1);
        Audience { ledger, start, timed, deliveries: Latencies::default(), last_delivery: start, resets: 0 }
    }

    /// Only those of some clients are timed.
    pub(crate) fn timing(self, clients: Range<usize>, every: usize) -> Audience {
        Audience { timed: (clients, every), ..self }
    }

    pub(crate) fn serve(&mut self, crowd: &mut Crowd, ready: Ready) {
        crowd.serve(ready, |heard| self.hear(ready.token as usize, heard));
    }

    fn hear(&mut self, client: usize, heard: Heard<'_>) {
        match heard {
            Heard::Event(data) => match Mark::find(data) {
                Some(mark) if self.ledger.note(client, mark) => {
                    self.last_delivery = Instant::now();
                    if self.timed.0.contains(&client) && client.is_multiple_of(self.timed.1) {
                        let due = Duration::from_micros(mark.due_micros);
                        self.deliveries.push((self.last_delivery - self.start).saturating_sub(due));
                    }
                }
                Some(_) => {}
                None => self.ledger.foreign += 1,
            },
            Heard::Reset => self.resets += 1,
            Heard::Connected(_) | Heard::Subscribed => {}
        }
    }

    /// Listens for what should not come.
    pub(crate) fn linger(&mut self, crowd: &mut Crowd) -> Result<()> {
        crowd.listen(AFTERWARDS, |client, heard| self.hear(client, heard))
    }
}
