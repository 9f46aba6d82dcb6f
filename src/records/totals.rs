//! How many records a list has in all: counted once, and known until something is written that may change it. Even then the
//! number need not be counted anew where memory can tell which of the records written since belong to the list.
//!
//! A total is of a position in the history of changes; a write is told here after its commit and before its answer. So a
//! total from before the last change that was told of its collection is old, and whoever has the answer to a write sees it
//! in the next total.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use dashmap::DashMap;
use headwater_actors::recent::{Bounds, Recent};
use headwater_actors::{Action, Change, Commit, Seq, change_log, is_overdue};
use rusqlite::Connection;

use super::membership::{Conditions, Membership};
use crate::generations::Generations;
use crate::query::{Count, Reads};

/// Totals that are kept.
const CAPACITY: usize = 1000;
/// Longer queries are counted each time.
const MAX_KEY: usize = 8192;
/// What longer queries ask is made ready anew each time.
const MAX_READY: usize = 2048;
/// What is kept of the newest changes. The hubs keep the same, and more of it.
const RECENT: Bounds = Bounds { changes: 1024, bytes: 2 << 20 };
/// Changes of a collection after which its records are counted anew: many take as long to look at as a count.
const CARRIED: usize = 256;

/// The totals that are known.
pub struct Totals {
    /// The last change of each collection, by its id, and of all.
    changed: DashMap<Box<str>, Seq>,
    last: AtomicU64,
    recent: RwLock<Recent>,
    /// Begins anew when something changes that is no record.
    era: AtomicU64,
    known: Mutex<Generations<Known>>,
}

#[derive(Clone)]
struct Known {
    total: u64,
    /// All changes up to this one are counted, and none after it.
    at: Seq,
    era: u64,
    /// What belongs to the list, once that was asked.
    conditions: Option<Conditions>,
}

impl Default for Totals {
    fn default() -> Totals {
        Totals {
            changed: DashMap::new(),
            last: AtomicU64::new(0),
            // What was there before is known to all counts.
            recent: RwLock::new(Recent::after(Seq::ZERO, RECENT)),
            era: AtomicU64::new(0),
            known: Mutex::new(Generations::new(CAPACITY)),
        }
    }
}

impl Totals {
    /// A transaction was committed, and its jobs are not answered yet. `more`: it changed something beside these records,
    /// so that nothing is known any more.
    pub fn committed(&self, commit: &Arc<Commit>, more: bool) {
        if more {
            self.clear();
            self.recent.write().unwrap_or_else(PoisonError::into_inner).restart(commit.last);
            self.changed.clear();
        } else {
            // First what can be carried on, then that it has to be.
            self.recent.write().unwrap_or_else(PoisonError::into_inner).push(commit.clone());
        }
        let mut last = None;
        for change in &commit.changes {
            let id = change.subject.id();
            // Those of one collection mostly follow each other.
            if last.replace(id) == Some(id) {
                continue;
            }
            match self.changed.get_mut(id) {
                Some(mut seq) => *seq = commit.last,
                None => {
                    self.changed.insert(id.into(), commit.last);
                }
            }
        }
        self.last.store(commit.last.0, Ordering::Release);
    }

    /// Something other than records was changed, so that nothing is known any more. To be called before the change is
    /// answered.
    pub fn clear(&self) {
        self.era.fetch_add(1, Ordering::AcqRel);
        self.known().clear();
    }

    /// The era in which a list is asked for; to be taken before its schema is.
    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// The total of a list; counted if need be.
    pub(super) fn of(
        &self,
        conn: &Connection,
        count: &Count,
        membership: &Membership,
        era: u64,
    ) -> rusqlite::Result<u64> {
        let Some(key) = key(count) else { return count.run(conn) };
        let known = self.known().get(&key).filter(|known| known.era == era && era == self.era());
        let mut conditions = None;
        if let Some(known) = known {
            if self.changed(&count.reads) <= known.at {
                return Ok(known.total);
            }
            // What looks at other collections is not told by the list's own records.
            if count.reads.of.is_some() && membership.schema.has(&membership.collection) {
                let asked = membership.conditions(known.conditions.as_ref());
                let carried = self.carried_on(&known, membership, &asked);
                conditions = Some(asked).filter(|_| key.len() <= MAX_READY);
                if let Some((total, at)) = carried {
                    self.known().insert(key, Known { total, at, era, conditions });
                    return Ok(total);
                }
            }
        }
        // One view of the database for both.
        let transaction = conn.unchecked_transaction()?;
        let at = change_log::last(conn)?;
        let total = count.run(conn)?;
        transaction.finish()?;
        self.known().insert(key, Known { total, at, era, conditions });
        Ok(total)
    }

    /// The last change that may be about what is read.
    pub(super) fn changed(&self, reads: &Reads) -> Seq {
        match &reads.of {
            Some(collection) => self.changed.get(&**collection).map_or(Seq::ZERO, |seq| *seq),
            None => self.last(),
        }
    }

    /// The last change that was told. Whatever is read from here on is not older.
    pub(super) fn last(&self) -> Seq {
        Seq(self.last.load(Ordering::Acquire))
    }

    /// A total with what was written since, and its position; none where that cannot be told, or not sooner than by counting.
    fn carried_on(&self, known: &Known, membership: &Membership, conditions: &Conditions) -> Option<(u64, Seq)> {
        let commits: Vec<Arc<Commit>> = {
            let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
            recent.commits_since(known.at)?.cloned().collect()
        };
        let own = |change: &&Change| change.seq > known.at && change.subject.id() == membership.collection.id;
        let judge = membership.judge(conditions);
        let mut total = known.total;
        for (looks, change) in commits.iter().flat_map(|commit| &commit.changes).filter(own).enumerate() {
            if looks >= CARRIED || is_overdue() {
                return None;
            }
            if change.action != Action::Create {
                total = total.checked_sub(judge.has(change, change.before.as_ref()?)?.into())?;
            }
            if change.action != Action::Delete {
                total = total.checked_add(judge.has(change, change.after.as_ref()?)?.into())?;
            }
        }
        Some((total, commits.last().map_or(known.at, |commit| commit.last)))
    }

    fn known(&self) -> MutexGuard<'_, Generations<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is counted. None: it may be another number in a moment, or is too long to be kept.
fn key(count: &Count) -> Option<Box<str>> {
    if !count.reads.lasts {
        return None;
    }
    count.statement.key(MAX_KEY).map(String::into_boxed_str)
}

#[cfg(test)]
mod tests;
