//! How many records a list has in all: counted once, and known until something is written that may change it.
//!
//! A count is as old as the moment before it was taken; a write is told here after its commit and before its answer. So a
//! count that knows of fewer writes than have been told of its collection is taken anew, and whoever has the answer to a
//! write sees it in the next total.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;
use headwater_actors::{Change, Value};
use rusqlite::Connection;

use crate::generations::Generations;
use crate::query::Count;

/// Totals that are kept.
const CAPACITY: usize = 1000;
/// Longer queries are counted each time.
const MAX_KEY: usize = 8192;

/// The totals that are known.
pub struct Totals {
    /// Commits told of.
    commits: AtomicU64,
    /// The commit that last changed the records of a collection, by its id.
    changed: DashMap<Box<str>, u64>,
    /// The commit that last changed something that is no record.
    cleared: AtomicU64,
    known: Mutex<Generations<Known>>,
}

#[derive(Clone)]
struct Known {
    total: u64,
    /// Commits before it was counted.
    commits: u64,
}

impl Default for Totals {
    fn default() -> Totals {
        let known = Mutex::new(Generations::new(CAPACITY));
        Totals { commits: AtomicU64::new(0), changed: DashMap::new(), cleared: AtomicU64::new(0), known }
    }
}

impl Totals {
    /// Records were changed. To be called after each commit, before its jobs are answered.
    pub fn changed(&self, changes: &[Change]) {
        let now = self.commits.fetch_add(1, Ordering::AcqRel) + 1;
        let mut last = None;
        for change in changes {
            let id = change.subject.id();
            // Those of one collection mostly follow each other.
            if last.replace(id) == Some(id) {
                continue;
            }
            match self.changed.get_mut(id) {
                Some(mut commit) => *commit = now,
                None => {
                    self.changed.insert(id.into(), now);
                }
            }
        }
    }

    /// Something else was changed, so that nothing is known any more. To be called like [`Totals::changed`].
    pub fn clear(&self) {
        let now = self.commits.fetch_add(1, Ordering::AcqRel) + 1;
        self.cleared.fetch_max(now, Ordering::AcqRel);
    }

    /// The total, counted if need be.
    pub(super) fn of(&self, conn: &Connection, count: &Count) -> rusqlite::Result<u64> {
        let Some(key) = key(count) else { return count.run(conn) };
        let known = self.known().get(&key);
        if let Some(known) = known.filter(|known| self.is_current(count, known)) {
            return Ok(known.total);
        }
        let commits = self.commits.load(Ordering::Acquire);
        let total = count.run(conn)?;
        self.known().insert(key, Known { total, commits });
        Ok(total)
    }

    fn is_current(&self, count: &Count, known: &Known) -> bool {
        let last = match &count.of {
            Some(collection) => self.changed.get(&**collection).map_or(0, |commit| *commit),
            None => self.commits.load(Ordering::Acquire),
        };
        last.max(self.cleared.load(Ordering::Acquire)) <= known.commits
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Generations<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is counted, to the letter. None: it may be another number in a moment, or is too long to be kept.
fn key(count: &Count) -> Option<Box<str>> {
    let statement = &count.statement;
    if !count.lasts || statement.sql.len() > MAX_KEY {
        return None;
    }
    let mut key = statement.sql.clone();
    for param in &statement.params {
        // Writing to a String cannot fail.
        let _ = match param {
            Value::Text(text) => write!(key, "\0{}:{text}", text.len()),
            other => write!(key, "\0{other:?}"),
        };
    }
    (key.len() <= MAX_KEY).then(|| key.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headwater_actors::{Action, Seq, Subject};

    use super::*;
    use crate::query::Statement;

    struct Named(&'static str);

    impl Subject for Named {
        fn id(&self) -> &str {
            self.0
        }

        fn name(&self) -> &str {
            self.0
        }
    }

    fn change(of: &'static str) -> Change {
        let (record, action) = ("r".into(), Action::Create);
        Change { seq: Seq(1), subject: Arc::new(Named(of)), record, action, before: None, after: None, actor: None }
    }

    fn count(of: Option<&str>, params: Vec<Value>) -> Count {
        let statement = Statement { sql: "SELECT count(*) FROM t WHERE ?1 IS ?1".into(), params };
        Count { statement, of: of.map(Into::into), lasts: true }
    }

    #[test]
    fn what_was_counted_is_known_until_something_of_it_changes() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (v)").unwrap();
        let totals = Totals::default();
        let insert = || conn.execute("INSERT INTO t VALUES (1)", []).unwrap();
        let (own, all) = (count(Some("a"), vec![]), count(None, vec![]));
        let of = |count: &Count| totals.of(&conn, count).unwrap();
        assert_eq!((of(&own), of(&all)), (0, 0));
        insert();
        assert_eq!((of(&own), of(&all)), (0, 0));
        totals.changed(&[change("b"), change("c")]);
        assert_eq!((of(&own), of(&all)), (0, 1));
        totals.changed(&[change("b"), change("a")]);
        assert_eq!((of(&own), of(&all)), (1, 1));
        insert();
        totals.clear();
        assert_eq!((of(&own), of(&all)), (2, 2));
    }

    #[test]
    fn what_differs_by_a_parameter_is_counted_apart() {
        let text = |text: &str| Value::Text(text.into());
        let of = |params: Vec<Value>| key(&count(None, params)).unwrap();
        let keys = [
            of(vec![]),
            of(vec![text("a"), text("b")]),
            of(vec![text("a\x001:b")]),
            of(vec![text("1")]),
            of(vec![Value::Integer(1)]),
            of(vec![Value::Real(1.0)]),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(keys[..index].iter().all(|other| other != one), "{one:?}");
        }
        assert!(key(&Count { lasts: false, ..count(None, vec![]) }).is_none());
        assert!(key(&count(None, vec![text(&"x".repeat(MAX_KEY))])).is_none());
    }
}
