//! The newest commits, kept in memory: most clients that come back have missed no more than these.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::{Change, Commit, Row, Seq, Value};

/// Changes that are kept at most. Hubs share their bytes.
const CHANGES: usize = 4096;

/// Bytes of values that are kept at most.
const BYTES: usize = 8 << 20;

pub(super) struct Recent {
    commits: VecDeque<Arc<Commit>>,
    /// The commits are all there were after this one.
    after: Seq,
    changes: usize,
    bytes: usize,
}

impl Recent {
    pub(super) fn after(seq: Seq) -> Recent {
        Recent { commits: VecDeque::new(), after: seq, changes: 0, bytes: 0 }
    }

    pub(super) fn push(&mut self, commit: Arc<Commit>) {
        if commit.changes.is_empty() {
            return;
        }
        self.changes += commit.changes.len();
        self.bytes += weight(&commit);
        self.commits.push_back(commit);
        while self.changes > CHANGES || self.bytes > BYTES {
            let Some(oldest) = self.commits.pop_front() else { break };
            self.after = oldest.last;
            self.changes -= oldest.changes.len();
            self.bytes -= weight(&oldest);
        }
    }

    /// Everything after `seq` as one; None if that is more than there is here.
    pub(super) fn since(&self, seq: Seq) -> Option<Arc<Commit>> {
        if seq < self.after {
            return None;
        }
        let last = self.commits.back().map_or(self.after, |commit| commit.last);
        let first = self.commits.partition_point(|commit| commit.last <= seq);
        let changes = self.commits.iter().skip(first).flat_map(|commit| &commit.changes);
        let changes: Vec<Change> = changes.filter(|change| change.seq > seq).cloned().collect();
        Some(Arc::new(Commit { changes, last: last.max(seq) }))
    }
}

/// What the values of a commit take, about.
fn weight(commit: &Commit) -> usize {
    let row = |row: &Option<Arc<Row>>| row.as_ref().map_or(0, |row| row.values.iter().map(value).sum());
    commit.changes.iter().map(|change| 200 + row(&change.before) + row(&change.after)).sum()
}

fn value(value: &Value) -> usize {
    let bytes = match value {
        Value::Text(text) => text.capacity(),
        Value::Blob(bytes) => bytes.capacity(),
        _ => 0,
    };
    size_of::<Value>() + bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::testing::{change, commit};

    fn seqs(recent: &Recent, seq: u64) -> Option<Vec<u64>> {
        Some(recent.since(Seq(seq))?.changes.iter().map(|change| change.seq.0).collect())
    }

    #[test]
    fn what_came_after_a_position() {
        let mut recent = Recent::after(Seq(10));
        assert_eq!((seqs(&recent, 9), seqs(&recent, 10)), (None, Some(vec![])));
        recent.push(commit(vec![change(11, "posts", "a"), change(12, "posts", "b")]));
        recent.push(commit(vec![change(13, "posts", "a")]));
        assert_eq!(seqs(&recent, 9), None);
        assert_eq!(seqs(&recent, 10), Some(vec![11, 12, 13]));
        assert_eq!(seqs(&recent, 11), Some(vec![12, 13]));
        assert_eq!((seqs(&recent, 12), seqs(&recent, 13)), (Some(vec![13]), Some(vec![])));
    }

    #[test]
    fn the_oldest_go_first() {
        let mut recent = Recent::after(Seq(0));
        for seq in 1..=CHANGES as u64 + 5 {
            recent.push(commit(vec![change(seq, "posts", "a")]));
        }
        assert_eq!(seqs(&recent, 4), None);
        assert_eq!(seqs(&recent, 5).unwrap().len(), CHANGES);
    }
}
