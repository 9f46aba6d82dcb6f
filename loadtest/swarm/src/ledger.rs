//! What each subscriber has received: nothing may be missing, come twice, come in another order than it was written in, or
//! come to somebody whom it does not concern. Pure bookkeeping; `audience` feeds it.

use serde_json::{Value, json};
use std::collections::HashSet;

/// What a writer puts into the record: who wrote, the how-manieth event of the run it is (from 0), and when it was due
/// (microseconds since the run began).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mark {
    pub(crate) writer: usize,
    pub(crate) event: usize,
    pub(crate) due_micros: u64,
}

impl Mark {
    /// Found by its key and read as three numbers: a JSON parser per delivery would cost more than the delivery.
    pub(crate) fn find(data: &[u8]) -> Option<Mark> {
        const KEY: &[u8] = b"\"mark\":\"";
        let start = data.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
        let text = &data[start..start + data[start..].iter().position(|&byte| byte == b'"')?];
        let mut numbers = text.split(|&byte| byte == b'-').map(number);
        let mark =
            Mark { writer: numbers.next()?? as usize, event: numbers.next()?? as usize, due_micros: numbers.next()?? };
        numbers.next().is_none().then_some(mark)
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}-{}-{}", self.writer, self.event, self.due_micros)
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, &digit| {
        digit.is_ascii_digit().then(|| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))).flatten()
    })
}

/// Whom an event is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Concerns {
    Everybody,
    /// One client, see `recipient`.
    One,
}

/// The client that an event is for, if it is for one. Neighbours in time are no neighbours in the crowd, and everybody's
/// turn comes: the factor is a prime.
pub(crate) fn recipient(event: usize, clients: usize) -> usize {
    event * 7919 % clients
}

pub(crate) struct Ledger {
    concerns: Concerns,
    clients: usize,
    writers: usize,
    events: usize,
    /// One bit per event, `words` of them per client.
    seen: Vec<u64>,
    words: usize,
    /// Per client and writer: the next event that would be in order, i.e. the highest one so far plus one.
    next: Vec<u32>,
    /// Per client: a fingerprint of the order in which events came.
    order: Vec<u64>,
    /// Distinct events over all clients.
    pub(crate) received: u64,
    pub(crate) repeated: u64,
    /// Came after a later event of the same writer: the client has seen an older state after a newer one.
    pub(crate) late: u64,
    /// Received by a client whom it does not concern.
    pub(crate) leaked: u64,
    /// Marks that this run has not written.
    pub(crate) foreign: u64,
}

impl Ledger {
    /// For so many events at most.
    pub(crate) fn new(concerns: Concerns, clients: usize, writers: usize, events: usize) -> Ledger {
        let words = events.div_ceil(64);
        Ledger {
            concerns,
            clients,
            writers,
            events,
            seen: vec![0; clients * words],
            words,
            next: vec![0; clients * writers],
            order: vec![0; clients],
            received: 0,
            repeated: 0,
            late: 0,
            leaked: 0,
            foreign: 0,
        }
    }

    /// So many events have been written in the end.
    pub(crate) fn ends_with(&mut self, events: usize) {
        self.events = events;
    }

    /// Whether this is a first delivery.
    pub(crate) fn note(&mut self, client: usize, mark: Mark) -> bool {
        if mark.writer >= self.writers || mark.event >= self.events {
            self.foreign += 1;
            return false;
        }
        if self.concerns == Concerns::One && recipient(mark.event, self.clients) != client {
            self.leaked += 1;
            return false;
        }
        let word = &mut self.seen[client * self.words + mark.event / 64];
        let bit = 1 << (mark.event % 64);
        if *word & bit != 0 {
            self.repeated += 1;
            return false;
        }
        *word |= bit;
        self.received += 1;
        let order = &mut self.order[client];
        *order = (*order ^ (mark.event as u64 + 1)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        let next = &mut self.next[client * self.writers + mark.writer];
        if (mark.event as u32) < *next {
            self.late += 1;
        } else {
            *next = mark.event as u32 + 1;
        }
        true
    }

    pub(crate) fn expected(&self) -> u64 {
        match self.concerns {
            Concerns::Everybody => self.clients as u64 * self.events as u64,
            Concerns::One => self.events as u64,
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.received >= self.expected()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// How many of the events, all of which concern everybody, this client has received.
    pub(crate) fn received_by(&self, client: usize) -> usize {
        let seen = &self.seen[client * self.words..][..self.words];
        seen.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// None lost, repeated, late, leaked or foreign.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost() + self.repeated + self.late + self.leaked + self.foreign == 0
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "events": self.events, "expected": self.expected(), "received": self.received, "lost": self.lost(),
            "repeated": self.repeated, "late": self.late, "leaked": self.leaked, "foreign": self.foreign,
            "orders": (self.concerns == Concerns::Everybody).then(|| self.orders()),
        })
    }

    /// For people.
    pub(crate) fn summary(&self) -> String {
        let mut text = format!("{} lost, {} repeated, {} late", self.lost(), self.repeated, self.late);
        match self.concerns {
            Concerns::Everybody => text.push_str(&format!(", {} orders", self.orders())),
            Concerns::One => text.push_str(&format!(", {} leaked", self.leaked)),
        }
        if self.foreign > 0 {
            text.push_str(&format!(", {} foreign", self.foreign));
        }
        text
    }

    /// In how many different orders the clients have seen the events; 1 means that all agree.
    pub(crate) fn orders(&self) -> usize {
        self.order.iter().collect::<HashSet<_>>().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(writer: usize, event: usize) -> Mark {
        Mark { writer, event, due_micros: 0 }
    }

    #[test]
    fn a_mark_survives_its_record() {
        let mark = Mark { writer: 3, event: 41, due_micros: 123_456 };
        let data = format!(r#"{{"action":"update","record":{{"id":"a","mark":"{mark}","padding":"1-2-3"}}}}"#);
        assert_eq!(Mark::find(data.as_bytes()), Some(mark));
        for broken in [r#"{"mark":""}"#, r#"{"mark":"1-2"}"#, r#"{"mark":"1-2-3-4"}"#, r#"{"mark":"1-x-3"}"#, "{}"] {
            assert_eq!(Mark::find(broken.as_bytes()), None, "{broken}");
        }
        assert_eq!(Mark::find(br#"{"mark":"1-2-3"#), None);
        assert_eq!(Mark::find(br#"{"mark":"1-2-99999999999999999999"}"#), None);
    }

    #[test]
    fn what_comes_once_and_in_order_is_clean() {
        let mut ledger = Ledger::new(Concerns::Everybody, 2, 2, 100);
        for client in 0..2 {
            for event in 0..100 {
                assert!(ledger.note(client, mark(event % 2, event)));
            }
        }
        assert_eq!((ledger.lost(), ledger.repeated, ledger.late, ledger.orders()), (0, 0, 0, 1));
    }

    #[test]
    fn loss_repetition_and_lateness_are_told_apart() {
        let mut ledger = Ledger::new(Concerns::Everybody, 1, 1, 5);
        for event in [0, 2, 1, 1, 4] {
            ledger.note(0, mark(0, event));
        }
        assert_eq!((ledger.lost(), ledger.repeated, ledger.late, ledger.foreign), (1, 1, 1, 0));
        ledger.note(0, mark(0, 5));
        ledger.note(0, mark(1, 3));
        assert_eq!((ledger.foreign, ledger.lost()), (2, 1));
    }

    #[test]
    fn an_event_for_one_is_a_leak_anywhere_else() {
        let mut ledger = Ledger::new(Concerns::One, 10, 1, 3);
        for event in 0..3 {
            let client = recipient(event, 10);
            assert!(!ledger.note((client + 1) % 10, mark(0, event)));
            assert!(ledger.note(client, mark(0, event)));
        }
        assert_eq!((ledger.leaked, ledger.lost(), ledger.is_clean()), (3, 0, false));
        let mut turns: Vec<_> = (0..10).map(|event| recipient(event, 10)).collect();
        turns.sort_unstable();
        assert!(turns.into_iter().eq(0..10));
    }

    #[test]
    fn a_run_may_end_early() {
        let mut ledger = Ledger::new(Concerns::Everybody, 2, 1, 100);
        (0..70).for_each(|event| assert!(ledger.note(0, mark(0, event))));
        ledger.ends_with(70);
        assert_eq!((ledger.lost(), ledger.received_by(0), ledger.received_by(1)), (70, 70, 0));
    }

    #[test]
    fn writers_may_interleave_but_then_the_clients_disagree() {
        let mut ledger = Ledger::new(Concerns::Everybody, 2, 2, 2);
        for (client, events) in [(0, [0, 1]), (1, [1, 0])] {
            for event in events {
                ledger.note(client, mark(event, event));
            }
        }
        assert_eq!((ledger.late, ledger.orders()), (0, 2));
    }
}
