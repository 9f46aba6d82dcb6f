//! The change log: a table of the data file with a row per change, written in the transaction of the change itself.
//!
//! It is the durable side of [`Seq`]: the number of the newest row is the last one given out, so the newest row is
//! never pruned. The values of a record are kept as a JSON object of its columns, so that the log can be read with any
//! SQLite tool (`SELECT after ->> 'title' FROM _hw_changes`).

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value as Json};

use crate::{Change, Epoch, Row, Seq, Value};

/// Creates the tables where they are missing. To be called inside a transaction of the caller.
pub fn create_tables(conn: &Connection) -> rusqlite::Result<()> {
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
    conn.execute("INSERT OR IGNORE INTO _hw_state (key, value) VALUES ('epoch', ?1)", [Epoch::random().as_str()])?;
    Ok(())
}

/// The epoch of this file.
pub fn epoch(conn: &Connection) -> rusqlite::Result<Epoch> {
    conn.query_row("SELECT value FROM _hw_state WHERE key = 'epoch'", [], |row| {
        let text: String = row.get(0)?;
        text.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e)))
    })
}

/// The number of the newest change, [`Seq::ZERO`] in an empty log.
pub fn last(conn: &Connection) -> rusqlite::Result<Seq> {
    let last: Option<i64> =
        conn.query_row("SELECT max(seq) FROM _hw_changes", [], |row| row.get(0)).optional()?.flatten();
    Ok(Seq(last.unwrap_or(0) as u64))
}

/// Appends one change. Times are milliseconds since 1970.
pub fn append(conn: &Connection, change: &Change) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO _hw_changes (seq, time, collection, record, action, actor, before, after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_millis() as i64).unwrap_or(0);
    statement.execute(params![
        change.seq.0 as i64,
        now,
        change.subject.id(),
        &*change.record,
        change.action.as_str(),
        change.actor.as_deref(),
        change.before.as_deref().map(encode),
        change.after.as_deref().map(encode),
    ])?;
    Ok(())
}

/// A row as a JSON object. Texts, numbers and nulls keep their type; blobs do not occur in record tables.
fn encode(row: &Row) -> String {
    let mut out = Vec::with_capacity(64 + row.values.len() * 24);
    out.push(b'{');
    for (index, (column, value)) in row.columns.iter().zip(row.values.iter()).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Writing into a Vec cannot fail, and neither texts nor numbers can fail to serialise.
        let _ = serde_json::to_writer(&mut out, &**column);
        out.push(b':');
        let _ = match value {
            Value::Null | Value::Blob(_) => serde_json::to_writer(&mut out, &()),
            Value::Integer(number) => serde_json::to_writer(&mut out, number),
            Value::Real(number) => serde_json::to_writer(&mut out, number),
            Value::Text(text) => serde_json::to_writer(&mut out, text),
        };
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

/// The inverse of the encoding in the log.
pub fn decode(text: &str) -> Result<Row, serde_json::Error> {
    let object: Map<String, Json> = serde_json::from_str(text)?;
    let mut columns = Vec::with_capacity(object.len());
    let mut values = Vec::with_capacity(object.len());
    for (column, value) in object {
        columns.push(column.into());
        values.push(match value {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Integer(flag.into()),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Value::Integer(integer),
                None => Value::Real(number.as_f64().unwrap_or(0.0)),
            },
            Json::String(text) => Value::Text(text),
            other => Value::Text(other.to_string()),
        });
    }
    Ok(Row { columns: columns.into(), values: values.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_what_the_log_wrote() {
        let row = Row {
            columns: ["a", "b", "c", "d"].map(Into::into).into(),
            values: [
                Value::Text("quote \" and \u{2028}".into()),
                Value::Integer(i64::MAX),
                Value::Real(0.1),
                Value::Null,
            ]
            .into(),
        };
        assert_eq!(decode(&encode(&row)).unwrap(), row);
    }
}
