//! The change log: a table of the data file with a row per change, written in the transaction of the change itself.
//!
//! It is the durable side of [`Seq`]: the number of the newest row is the last one given out, so the newest row is
//! never pruned. The values of a record are kept as a JSON object of its columns, so that the log can be read with any
//! SQLite tool (`SELECT after ->> 'title' FROM _hw_changes`).
//!
//! Two rows of `_hw_state` belong to it: `epoch`, the name of the history that goes on now, and `epoch_start`, the
//! number after which it is replayed. Rows up to there tell of an earlier history, or of fields that are others by now.

mod page;
mod row_json;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

pub use page::{PageError, StoredChange, page};

use crate::{Change, Epoch, Row, Seq};

/// Creates the tables where they are missing; true if the epoch is a new one then. To be called inside a transaction of
/// the caller.
pub fn create_tables(conn: &Connection) -> rusqlite::Result<bool> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS _hw_state (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS _hw_changes (
            seq INTEGER PRIMARY KEY NOT NULL,
            time INTEGER NOT NULL,
            collection TEXT NOT NULL,
            record TEXT NOT NULL,
            action TEXT NOT NULL,
            actor TEXT,
            before TEXT,
            after TEXT
         );",
    )?;
    let sql = "INSERT OR IGNORE INTO _hw_state (key, value) VALUES ('epoch', ?1)";
    Ok(conn.execute(sql, [Epoch::random().as_str()])? > 0)
}

/// The epoch of this file.
pub fn epoch(conn: &Connection) -> rusqlite::Result<Epoch> {
    conn.query_row("SELECT value FROM _hw_state WHERE key = 'epoch'", [], |row| {
        let text: String = row.get(0)?;
        text.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e)))
    })
}

/// The number of the last change that was given one, [`Seq::ZERO`] in a new file.
pub fn last(conn: &Connection) -> rusqlite::Result<Seq> {
    Ok(newest_row(conn)?.max(epoch_start(conn)?))
}

/// The oldest change of this epoch that is still in the log; the number of the next one where there is none.
pub fn oldest(conn: &Connection) -> rusqlite::Result<Seq> {
    let start = epoch_start(conn)?;
    let sql = "SELECT seq FROM _hw_changes WHERE seq > ?1 ORDER BY seq LIMIT 1";
    let oldest: Option<i64> = conn.query_row(sql, [start.0 as i64], |row| row.get(0)).optional()?;
    Ok(oldest.map_or(start.next(), |seq| Seq(seq as u64)))
}

/// Gives the history that follows `start` a new name. To be called inside a transaction.
pub fn begin_epoch(conn: &Connection, start: Seq) -> rusqlite::Result<Epoch> {
    let epoch = Epoch::random();
    let sql = "INSERT INTO _hw_state (key, value) VALUES ('epoch', ?1), ('epoch_start', ?2)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    conn.execute(sql, [epoch.as_str(), &start.to_string()])?;
    Ok(epoch)
}

/// Lets nothing up to this change be replayed. To be called inside a transaction.
pub(crate) fn expire(conn: &Connection, through: Seq) -> rusqlite::Result<()> {
    let sql = "INSERT INTO _hw_state (key, value) VALUES ('epoch_start', ?1)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    conn.execute(sql, [through.to_string()]).map(drop)
}

/// True if the log may still tell of records of one of these subjects. Reads all of it where it does not.
pub fn mentions(conn: &Connection, subjects: &[&str]) -> rusqlite::Result<bool> {
    if subjects.is_empty() {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM _hw_changes
               WHERE seq > ?1 AND collection IN (SELECT value FROM json_each(?2)))";
    conn.query_row(sql, params![epoch_start(conn)?.0 as i64, json!(subjects).to_string()], |row| row.get(0))
}

fn epoch_start(conn: &Connection) -> rusqlite::Result<Seq> {
    let sql = "SELECT CAST(value AS INTEGER) FROM _hw_state WHERE key = 'epoch_start'";
    let start: Option<i64> = conn.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(Seq(start.unwrap_or(0) as u64))
}

fn newest_row(conn: &Connection) -> rusqlite::Result<Seq> {
    let newest: Option<i64> = conn.query_row("SELECT max(seq) FROM _hw_changes", [], |row| row.get(0))?;
    Ok(Seq(newest.unwrap_or(0) as u64))
}

/// Appends one change, without its secrets: the log outlives the change of a password. Times are milliseconds since 1970.
pub fn append(conn: &Connection, change: &Change) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO _hw_changes (seq, time, collection, record, action, actor, before, after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let encode = |row: &Row| row_json::encode(row, |column| change.subject.is_secret(column));
    statement.execute(params![
        change.seq.0 as i64,
        now().as_millis() as i64,
        change.subject.id(),
        &*change.record,
        change.action.as_str(),
        change.actor.as_deref(),
        change.before.as_deref().map(encode),
        change.after.as_deref().map(encode),
    ])?;
    Ok(())
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What bounds the log.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Older changes go.
    pub max_age: Duration,
    /// Where all have more bytes than this, the oldest go, whatever their age.
    pub max_bytes: u64,
}

/// What a row counts: its texts, and what SQLite keeps beside them. Does not read texts that lie on pages of their own.
const SIZE: &str = "32 + octet_length(collection) + octet_length(record) + ifnull(octet_length(actor), 0)
     + ifnull(octet_length(before), 0) + ifnull(octet_length(after), 0)";

/// The bytes of at most `max_rows` changes after `after`, and the last of them.
pub(crate) fn measure(conn: &Connection, after: Seq, max_rows: usize) -> rusqlite::Result<(Seq, u64)> {
    let sql = format!(
        "SELECT ifnull(max(seq), ?1), ifnull(sum(size), 0)
         FROM (SELECT seq, {SIZE} AS size FROM _hw_changes WHERE seq > ?1 ORDER BY seq LIMIT ?2)"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_row([after.0 as i64, max_rows as i64], |row| {
        let (last, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok((Seq(last as u64), bytes as u64))
    })
}

/// Some of the oldest changes that are to go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cut {
    pub through: Seq,
    pub bytes: u64,
}

/// The oldest changes that are beyond the limits, if the whole log has `bytes`: at most `max_rows`, and no more than
/// the first that has `max_bytes` with those before it. Never the newest.
pub(crate) fn plan(
    conn: &Connection,
    limits: LogLimits,
    bytes: u64,
    max_rows: usize,
    max_bytes: u64,
) -> rusqlite::Result<Option<Cut>> {
    let newest = newest_row(conn)?;
    let young = now().saturating_sub(limits.max_age).as_millis() as i64;
    let sql = format!("SELECT seq, time, {SIZE} FROM _hw_changes ORDER BY seq LIMIT ?1");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([max_rows as i64])?;
    let mut cut: Option<Cut> = None;
    while let Some(row) = rows.next()? {
        let (seq, time, size): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (seq, so_far) = (Seq(seq as u64), cut.map_or(0, |cut| cut.bytes));
        let too_much = bytes.saturating_sub(so_far) > limits.max_bytes;
        if seq >= newest || so_far >= max_bytes || (time >= young && !too_much) {
            break;
        }
        cut = Some(Cut { through: seq, bytes: so_far + size as u64 });
    }
    Ok(cut)
}

/// Removes the changes up to this one. The newest stays in any case.
pub(crate) fn prune(conn: &Connection, through: Seq) -> rusqlite::Result<()> {
    let sql = "DELETE FROM _hw_changes WHERE seq <= ?1 AND seq < (SELECT max(seq) FROM _hw_changes)";
    conn.prepare_cached(sql)?.execute([through.0 as i64]).map(drop)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Action, NewChange, Subject, Value};

    struct Notes;

    impl Subject for Notes {
        fn id(&self) -> &str {
            "notes_id"
        }

        fn name(&self) -> &str {
            "notes"
        }
    }

    pub(crate) fn row(text: &str) -> Arc<Row> {
        let columns = ["id", "text", "a"].map(Into::into).into();
        Arc::new(Row { columns, values: [Value::Text("r1".into()), Value::Text(text.into()), Value::Null].into() })
    }

    /// An update of a record, whose row had this text and has it twice now.
    pub(crate) fn change(seq: u64, text: &str) -> Change {
        let change = NewChange {
            subject: Arc::new(Notes),
            record: "r1".into(),
            action: Action::Update,
            before: Some(row(text)),
            after: Some(row(&text.repeat(2))),
            actor: Some("users/u1".into()),
        };
        change.numbered(Seq(seq))
    }

    pub(crate) fn log(changes: impl IntoIterator<Item = Change>) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        create_tables(&conn).unwrap();
        changes.into_iter().for_each(|change| append(&conn, &change).unwrap());
        conn
    }

    fn age(conn: &Connection, through: u64, seconds: i64) {
        conn.execute("UPDATE _hw_changes SET time = time - ?2 * 1000 WHERE seq <= ?1", [through as i64, seconds])
            .unwrap();
    }

    const LIMITS: LogLimits = LogLimits { max_age: Duration::from_secs(60), max_bytes: 1 << 20 };

    fn cut(conn: &Connection, limits: LogLimits, max_rows: usize, max_bytes: u64) -> Option<u64> {
        let (_, bytes) = measure(conn, Seq::ZERO, 1_000).unwrap();
        let cut = plan(conn, limits, bytes, max_rows, max_bytes).unwrap()?;
        let (_, after) = measure(conn, cut.through, 1_000).unwrap();
        assert_eq!(cut.bytes, bytes - after, "what is measured and what is cut are counted alike");
        Some(cut.through.0)
    }

    #[test]
    fn what_is_too_old_goes_oldest_first() {
        let conn = log((1..=10).map(|seq| change(seq, "x")));
        assert_eq!(cut(&conn, LIMITS, 500, 1 << 20), None);
        age(&conn, 4, 61);
        assert_eq!(cut(&conn, LIMITS, 500, 1 << 20), Some(4));
        assert_eq!(cut(&conn, LIMITS, 3, 1 << 20), Some(3), "a chunk has so many rows");
        assert_eq!(cut(&conn, LIMITS, 500, 1), Some(1), "a chunk has so many bytes, and one row at least");
    }

    #[test]
    fn what_is_too_much_goes_however_young() {
        let conn = log((1..=10).map(|seq| change(seq, &"x".repeat(1000))));
        let (last, bytes) = measure(&conn, Seq::ZERO, 1_000).unwrap();
        assert_eq!(last, Seq(10));
        let one = bytes / 10;
        let limit = |rows: u64| LogLimits { max_bytes: one * rows, ..LIMITS };
        assert_eq!(cut(&conn, limit(10), 500, 1 << 20), None);
        assert_eq!(cut(&conn, limit(7), 500, 1 << 20), Some(3));
        assert_eq!(cut(&conn, limit(0), 500, 1 << 20), Some(9), "the newest stays");
    }

    #[test]
    fn the_newest_is_never_pruned_and_numbers_go_on_behind_it() {
        let conn = log((1..=3).map(|seq| change(seq, "x")));
        assert_eq!(oldest(&conn).unwrap(), Seq(1));
        prune(&conn, Seq(2)).unwrap();
        assert_eq!((oldest(&conn).unwrap(), last(&conn).unwrap()), (Seq(3), Seq(3)));
        prune(&conn, Seq(100)).unwrap();
        assert_eq!((oldest(&conn).unwrap(), last(&conn).unwrap()), (Seq(3), Seq(3)));
    }

    #[test]
    fn a_new_epoch_keeps_the_numbers_and_replays_nothing_of_before() {
        let conn = log((1..=3).map(|seq| change(seq, "x")));
        let first = epoch(&conn).unwrap();
        let second = begin_epoch(&conn, Seq(7)).unwrap();
        assert_ne!(first, second);
        assert_eq!(epoch(&conn).unwrap(), second);
        assert_eq!((oldest(&conn).unwrap(), last(&conn).unwrap()), (Seq(8), Seq(7)));
        append(&conn, &change(8, "x")).unwrap();
        assert_eq!((oldest(&conn).unwrap(), last(&conn).unwrap()), (Seq(8), Seq(8)));
        begin_epoch(&conn, Seq(8)).unwrap();
        assert_eq!((oldest(&conn).unwrap(), last(&conn).unwrap()), (Seq(9), Seq(8)));
    }

    #[test]
    fn an_expired_past_is_out_of_reach_and_the_epoch_goes_on() {
        let conn = log((1..=3).map(|seq| change(seq, "x")));
        let before = epoch(&conn).unwrap();
        let mentions = |subjects: &[&str]| super::mentions(&conn, subjects).unwrap();
        assert!(mentions(&["other", "notes_id"]) && !mentions(&["notes"]) && !mentions(&[]));
        expire(&conn, Seq(3)).unwrap();
        assert_eq!((epoch(&conn).unwrap(), oldest(&conn).unwrap(), last(&conn).unwrap()), (before, Seq(4), Seq(3)));
        assert!(!mentions(&["notes_id"]));
        append(&conn, &change(4, "x")).unwrap();
        assert_eq!((oldest(&conn).unwrap(), last(&conn).unwrap()), (Seq(4), Seq(4)));
        assert!(mentions(&["notes_id"]));
    }

    #[test]
    fn an_empty_log_begins_with_one() {
        let conn = log([]);
        assert_eq!((oldest(&conn).unwrap(), last(&conn).unwrap()), (Seq(1), Seq::ZERO));
        assert_eq!(measure(&conn, Seq::ZERO, 10).unwrap(), (Seq::ZERO, 0));
    }
}
