//! A finished statement: SQL with its parameters, and how its rows are read.

use std::fmt::Write;
use std::sync::Arc;

use headwater_actors::Value;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, Rows};

use crate::records::Record;
use crate::schema::Collection;

/// SQL with its parameters, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub sql: String,
    /// By number: `?1` is the first. There may be more than the text refers to.
    pub params: Vec<Value>,
}

/// A statement that counts records.
#[derive(Clone, Debug)]
pub struct Count {
    pub statement: Statement,
    pub reads: Reads,
}

/// What the answer of a query depends on.
#[derive(Clone, Debug)]
pub struct Reads {
    /// The id of the one collection whose records it reads; none if it may read others too.
    pub of: Option<Box<str>>,
    /// It asks the same later on: nothing in it depends on the clock.
    pub lasts: bool,
}

impl Count {
    pub fn run(&self, conn: &Connection) -> rusqlite::Result<u64> {
        self.statement.number(conn)
    }
}

impl Statement {
    /// Runs a statement of [`Select::rows`](super::Select::rows).
    pub fn records(&self, conn: &Connection, collection: &Arc<Collection>) -> rusqlite::Result<Vec<Record>> {
        let mut statement = conn.prepare_cached(&self.sql)?;
        let mut rows = self.bind(&mut statement)?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..collection.fields.len()).map(|index| row.get_ref(index).map(owned));
            records.push(Record::from_values(collection.clone(), values.collect::<rusqlite::Result<_>>()?));
        }
        Ok(records)
    }

    /// What it asks, to the letter; none where that is longer than so many bytes.
    pub fn key(&self, longest: usize) -> Option<String> {
        if self.sql.len() > longest {
            return None;
        }
        let mut key = self.sql.clone();
        for param in &self.params {
            // Writing to a String cannot fail.
            let _ = match param {
                Value::Text(text) => write!(key, "\0{}:{text}", text.len()),
                other => write!(key, "\0{other:?}"),
            };
        }
        (key.len() <= longest).then_some(key)
    }

    /// The number that it gives.
    pub fn number(&self, conn: &Connection) -> rusqlite::Result<u64> {
        let mut statement = conn.prepare_cached(&self.sql)?;
        let mut rows = self.bind(&mut statement)?;
        let row = rows.next()?;
        row.map_or(Ok(0), |row| row.get::<_, i64>(0)).map(|number| number.max(0) as u64)
    }

    /// Runs a statement of [`Select::exists`](super::Select::exists).
    pub fn any(&self, conn: &Connection) -> rusqlite::Result<bool> {
        Ok(self.number(conn)? > 0)
    }

    /// Runs a statement of [`Select::values`](super::Select::values).
    pub(super) fn values(&self, conn: &Connection) -> rusqlite::Result<Vec<Value>> {
        let mut statement = conn.prepare_cached(&self.sql)?;
        let mut rows = self.bind(&mut statement)?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            values.push(owned(row.get_ref(0)?));
        }
        Ok(values)
    }

    fn bind<'s>(&self, statement: &'s mut CachedStatement<'_>) -> rusqlite::Result<Rows<'s>> {
        let wanted = statement.parameter_count();
        for (index, value) in self.params.iter().take(wanted).enumerate() {
            statement.raw_bind_parameter(index + 1, value)?;
        }
        Ok(statement.raw_query())
    }
}

/// A value out of a row. Texts that are no valid UTF-8 (another program's doing) are mended rather than refused.
fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(match std::str::from_utf8(text) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(text).into_owned(),
        }),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}
