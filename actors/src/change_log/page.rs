//! Reading the log, for those who come back and want what they missed.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::Type;
use rusqlite::{Connection, Row as SqlRow};

use super::row_json;
use crate::{Action, Row, Seq};

/// A change as the log keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredChange {
    pub seq: Seq,
    pub time: SystemTime,
    /// The collection's lasting id, which may be that of a collection that is gone.
    pub collection: Box<str>,
    pub record: Arc<str>,
    pub action: Action,
    /// As `COLLECTION_ID/RECORD_ID`; none for guests and for the system itself.
    pub actor: Option<Arc<str>>,
    pub before: Option<Arc<Row>>,
    pub after: Option<Arc<Row>>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The log no longer has what comes after that position, or never had.
    #[error("the change log does not reach back to this position")]
    Expired,
    #[error("the change log could not be read: {0}")]
    Storage(#[from] rusqlite::Error),
}

/// The changes after `after` and up to `up_to`, in order and without a hole: at most `max_rows`, and no more once they
/// have `max_bytes`, but one at least. Empty only if `after` is not before `up_to`.
///
/// The epoch of the position, and that `after` is no earlier than it, is for the caller to know.
pub fn page(
    conn: &Connection,
    after: Seq,
    up_to: Seq,
    max_rows: usize,
    max_bytes: usize,
) -> Result<Vec<StoredChange>, PageError> {
    if after >= up_to {
        return Ok(Vec::new());
    }
    let mut statement = conn.prepare_cached(
        "SELECT seq, time, collection, record, action, actor, before, after FROM _hw_changes
         WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
    )?;
    let limit = max_rows.clamp(1, i32::MAX as usize) as i64;
    let mut rows = statement.query([after.0 as i64, up_to.0.min(i64::MAX as u64) as i64, limit])?;
    let mut page = Vec::with_capacity(max_rows.min(256));
    let (mut next, mut bytes) = (after.next(), 0);
    let mut columns: Arc<[Arc<str>]> = [].into();
    while let Some(row) = rows.next()? {
        let change = read(row, &mut columns, &mut bytes)?;
        if change.seq != next {
            // The page ends before a hole; the next one begins with it.
            break;
        }
        next = next.next();
        page.push(change);
        if bytes >= max_bytes {
            break;
        }
    }
    if page.is_empty() { Err(PageError::Expired) } else { Ok(page) }
}

fn read(row: &SqlRow<'_>, columns: &mut Arc<[Arc<str>]>, bytes: &mut usize) -> rusqlite::Result<StoredChange> {
    let mut values = |index| -> rusqlite::Result<Option<Arc<Row>>> {
        let Some(text) = row.get_ref(index)?.as_str_or_null()? else { return Ok(None) };
        *bytes += text.len();
        let row = row_json::decode(text, columns);
        row.map(|row| Some(Arc::new(row))).map_err(|error| unreadable(index, error))
    };
    let (before, after) = (values(6)?, values(7)?);
    let action: &str = row.get_ref(4)?.as_str()?;
    let action = Action::parse(action).ok_or_else(|| unreadable(4, "no action"))?;
    Ok(StoredChange {
        seq: Seq(row.get::<_, i64>(0)? as u64),
        time: UNIX_EPOCH + Duration::from_millis(row.get::<_, i64>(1)?.max(0) as u64),
        collection: row.get_ref(2)?.as_str()?.into(),
        record: row.get_ref(3)?.as_str()?.into(),
        action,
        actor: row.get_ref(5)?.as_str_or_null()?.map(Into::into),
        before,
        after,
    })
}

fn unreadable(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change_log::prune;
    use crate::change_log::tests::{change, log, row};

    fn seqs(page: &[StoredChange]) -> Vec<u64> {
        page.iter().map(|change| change.seq.0).collect()
    }

    #[test]
    fn a_page_has_what_follows_a_position_as_it_was_written() {
        let conn = log((1..=5).map(|seq| change(seq, &seq.to_string())));
        let page = page(&conn, Seq(1), Seq(4), 100, 1 << 20).unwrap();
        assert_eq!(seqs(&page), [2, 3, 4]);
        let third = &page[1];
        assert_eq!((&*third.collection, &*third.record, third.action), ("notes_id", "r1", Action::Update));
        assert_eq!(third.actor.as_deref(), Some("users/u1"));
        assert_eq!((&third.before, &third.after), (&Some(row("3")), &Some(row("33"))));
        assert!(third.time <= SystemTime::now() && third.time.elapsed().unwrap() < Duration::from_secs(60));
    }

    #[test]
    fn pages_are_bounded_in_rows_and_bytes_and_follow_each_other() {
        let conn = log((1..=10).map(|seq| change(seq, &"x".repeat(100))));
        assert_eq!(seqs(&page(&conn, Seq(0), Seq(10), 3, 1 << 20).unwrap()), [1, 2, 3]);
        assert_eq!(seqs(&page(&conn, Seq(0), Seq(10), 100, 1).unwrap()), [1]);
        assert_eq!(seqs(&page(&conn, Seq(0), Seq(10), 100, 500).unwrap()), [1, 2]);
        let (mut after, mut all) = (Seq(0), Vec::new());
        while after < Seq(10) {
            let page = page(&conn, after, Seq(10), 4, 1 << 20).unwrap();
            after = page.last().unwrap().seq;
            all.extend(seqs(&page));
        }
        assert_eq!(all, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_pruned_has_expired_and_the_present_has_not() {
        let conn = log((1..=5).map(|seq| change(seq, "x")));
        prune(&conn, Seq(3)).unwrap();
        assert!(matches!(page(&conn, Seq(2), Seq(5), 100, 1 << 20), Err(PageError::Expired)));
        assert_eq!(seqs(&page(&conn, Seq(3), Seq(5), 100, 1 << 20).unwrap()), [4, 5]);
        assert!(page(&conn, Seq(5), Seq(5), 100, 1 << 20).unwrap().is_empty());
        assert!(page(&conn, Seq(9), Seq(5), 100, 1 << 20).unwrap().is_empty());
        assert!(matches!(page(&conn, Seq(5), Seq(9), 100, 1 << 20), Err(PageError::Expired)), "never a silent gap");
    }

    #[test]
    fn a_page_ends_before_a_hole_and_the_next_has_expired() {
        let conn = log([1, 2, 4, 5].map(|seq| change(seq, "x")));
        assert_eq!(seqs(&page(&conn, Seq(0), Seq(5), 100, 1 << 20).unwrap()), [1, 2]);
        assert!(matches!(page(&conn, Seq(2), Seq(5), 100, 1 << 20), Err(PageError::Expired)));
    }
}
