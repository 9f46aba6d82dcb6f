//! The newest commits, kept in memory for whoever knows how things were a moment ago.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::{Change, Commit, Row, Seq, Value};

/// See the module's documentation. The commits themselves are shared by all who keep them.
pub struct Recent {
    bounds: Bounds,
    /// Each with its weight.
    commits: VecDeque<(Arc<Commit>, usize)>,
    /// The commits are all there were after this one.
    after: Seq,
    changes: usize,
    bytes: usize,
}

/// What is kept at most.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub changes: usize,
    /// Of values, about.
    pub bytes: usize,
}

impl Recent {
    pub fn after(seq: Seq, bounds: Bounds) -> Recent {
        Recent { bounds, commits: VecDeque::new(), after: seq, changes: 0, bytes: 0 }
    }

    /// Forgets everything; what follows comes after this.
    pub fn restart(&mut self, after: Seq) {
        *self = Recent::after(after, self.bounds);
    }

    pub fn push(&mut self, commit: Arc<Commit>) {
        if commit.changes.is_empty() {
            return;
        }
        let weight = weight(&commit);
        self.changes += commit.changes.len();
        self.bytes += weight;
        self.commits.push_back((commit, weight));
        while self.changes > self.bounds.changes || self.bytes > self.bounds.bytes {
            let Some((oldest, weight)) = self.commits.pop_front() else { break };
            self.after = oldest.last;
            self.changes -= oldest.changes.len();
            self.bytes -= weight;
        }
    }

    /// The commits of all changes after `seq`; None if that is more than there is here. The first one may also have changes
    /// up to it.
    pub fn commits_since(&self, seq: Seq) -> Option<impl Iterator<Item = &Arc<Commit>>> {
        let first = self.commits.partition_point(|(commit, _)| commit.last <= seq);
        (seq >= self.after).then(|| self.commits.range(first..).map(|(commit, _)| commit))
    }

    /// Everything after `seq` as one; None if that is more than there is here.
    pub fn since(&self, seq: Seq) -> Option<Arc<Commit>> {
        let last = self.commits.back().map_or(self.after, |(commit, _)| commit.last);
        let changes = self.commits_since(seq)?.flat_map(|commit| &commit.changes);
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

    const BOUNDS: Bounds = Bounds { changes: 100, bytes: 1 << 20 };

    fn seqs(recent: &Recent, seq: u64) -> Option<Vec<u64>> {
        Some(recent.since(Seq(seq))?.changes.iter().map(|change| change.seq.0).collect())
    }

    #[test]
    fn what_came_after_a_position() {
        let mut recent = Recent::after(Seq(10), BOUNDS);
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
        let mut recent = Recent::after(Seq(0), BOUNDS);
        for seq in 1..=BOUNDS.changes as u64 + 5 {
            recent.push(commit(vec![change(seq, "posts", "a")]));
        }
        assert_eq!(seqs(&recent, 4), None);
        assert_eq!(seqs(&recent, 5).unwrap().len(), BOUNDS.changes);
    }
}
