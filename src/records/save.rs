//! The SQL of single records. Called inside the Writer's transaction by the steps of a write, and by readers.
//!
//! Nothing is checked here and no change is recorded: see [`super::write`].

use std::fmt::Write;
use std::sync::Arc;

use headwater_actors::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::Record;
use crate::schema::Collection;
use crate::schema::row_sql::quoted;

/// Reads the record of this id, as it is now.
pub(crate) fn load(conn: &Connection, collection: &Arc<Collection>, id: &str) -> rusqlite::Result<Option<Record>> {
    let mut statement = conn.prepare_cached(&collection.row_sql().select)?;
    statement.query_row([id], |row| read(row, collection)).optional()
}

/// A row of all columns in field order as a record.
pub(crate) fn read(row: &rusqlite::Row<'_>, collection: &Arc<Collection>) -> rusqlite::Result<Record> {
    let values = (0..collection.fields.len()).map(|index| row.get(index)).collect::<rusqlite::Result<Vec<Value>>>()?;
    Ok(Record::from_values(collection.clone(), values))
}

pub(crate) fn insert(conn: &Connection, record: &Record) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(&record.collection.row_sql().insert)?;
    statement.execute(params_from_iter(&record.values)).map(drop)
}

/// Writes the columns that differ. No statement runs if none does.
pub(crate) fn update(conn: &Connection, before: &Record, after: &Record) -> rusqlite::Result<()> {
    let collection = &after.collection;
    let mut sql = String::with_capacity(96);
    let mut values = Vec::with_capacity(after.values.len() + 1);
    for (position, value) in after.values.iter().enumerate() {
        if *value != before.values[position] {
            sql.push_str(if values.is_empty() { "UPDATE " } else { "," });
            if values.is_empty() {
                let _ = write!(sql, "{} SET ", quoted(&collection.name));
            }
            values.push(value);
            let _ = write!(sql, "{}=?{}", quoted(&collection.fields[position].name), values.len());
        }
    }
    if values.is_empty() {
        return Ok(());
    }
    let id = Value::Text(before.id().to_owned());
    values.push(&id);
    let _ = write!(sql, " WHERE \"id\"=?{}", values.len());
    conn.prepare_cached(&sql)?.execute(params_from_iter(values)).map(drop)
}

pub(crate) fn delete(conn: &Connection, record: &Record) -> rusqlite::Result<()> {
    conn.prepare_cached(&record.collection.row_sql().delete)?.execute([record.id()]).map(drop)
}
