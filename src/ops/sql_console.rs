//! SQL as a superuser types it. Called by `POST /api/sql` alone.
//!
//! It passes by all rules, hooks and the change log: no subscriber hears of what it changes. Reading statements run on a
//! connection of their own, so that nothing they leave behind (a transaction, an attached file) outlives them. What it
//! writes counts at once, as what another program writes. Headwater's own tables are only read here.

use std::time::{Duration, Instant};

use headwater_actors::{JobLimits, Tx, WriteError};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, OpenFlags};
use serde::Serialize;

use super::data_dir;
use super::settings::Settings;
use crate::app::App;
use crate::schema::store;
use crate::schema::sync::sqlite_text;

/// How long one call may run.
const TIME: Duration = Duration::from_secs(180);
/// Rows that an answer may hold; the rest is left out.
const MAX_ROWS: usize = 1000;

/// What the statements yielded: the rows of the last one.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Milliseconds.
    pub exec_time: u64,
    pub affected_rows: u64,
    pub columns: Vec<Column>,
    /// Every value as a text, or null.
    pub rows: Vec<Vec<Option<String>>>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Column {
    pub name: String,
    /// As declared; empty for expressions.
    #[serde(rename = "type")]
    pub declared: String,
    pub nullable: bool,
}

/// Why nothing was executed, or all of it undone.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The statements are wrong, or took too long.
    #[error("{0}")]
    Failed(String),
    #[error("too many writes are waiting")]
    Overloaded,
    #[error("{0}")]
    Internal(String),
}

impl From<rusqlite::Error> for ConsoleError {
    fn from(error: rusqlite::Error) -> ConsoleError {
        ConsoleError::Failed(sqlite_text(&error))
    }
}

/// Runs one or several statements: reading ones on a reader, and as soon as one of them writes, all in one transaction.
pub async fn run(app: &App, sql: String) -> Result<Outcome, ConsoleError> {
    let started = Instant::now();
    if sql.trim().is_empty() {
        return Err(ConsoleError::Failed("empty query".into()));
    }
    let outcome = if begins_with_write(&sql) { None } else { read(app, sql.clone()).await? };
    let mut outcome = match outcome {
        Some(outcome) => outcome,
        None => write(app, sql).await?,
    };
    outcome.exec_time = started.elapsed().as_millis() as u64;
    Ok(outcome)
}

fn begins_with_write(sql: &str) -> bool {
    const WORDS: [&str; 8] = ["insert", "create", "update", "delete", "drop", "detach", "alter", "replace"];
    let sql = sql.trim_start();
    WORDS.iter().any(|word| sql.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)))
}

/// None if a statement would write.
async fn read(app: &App, sql: String) -> Result<Option<Outcome>, ConsoleError> {
    let database = app.config.dir.join("data.db");
    let job = move || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(database, flags)?;
        data_dir::prepare(&conn)?;
        let until = Instant::now() + TIME;
        conn.progress_handler(20_000, Some(move || Instant::now() > until))?;
        let mut outcome = Outcome::default();
        let mut batch = Batch::new(&conn, &sql);
        while let Some(mut statement) = batch.next()? {
            if !statement.readonly() {
                return Ok(None);
            }
            outcome = rows(&mut statement)?;
        }
        Ok(Some(outcome))
    };
    actix_web::web::block(job).await.map_err(|error| ConsoleError::Internal(error.to_string()))?
}

async fn write(app: &App, sql: String) -> Result<Outcome, ConsoleError> {
    let cache = app.clone();
    let job = move |tx: &mut Tx<'_>| {
        let outcome = tx.typed(|conn| execute(conn, &sql))?;
        // Collections and settings may have been changed in their own tables, and auth records in theirs. If what is there
        // now can no longer be read, it is undone.
        let (schema, settings) = (store::load(tx.conn())?, Settings::load(tx.conn())?);
        // Which records it changed is in no log: who follows the changes has to read anew.
        tx.end_epoch();
        tx.after_commit(move || cache.replace(Some(schema), Some(settings), None));
        Ok::<_, ConsoleError>(outcome)
    };
    let done = app.writer.run(JobLimits::MANY.with_time(TIME), job).await;
    done.map(|done| done.value).map_err(|error| match error {
        WriteError::Job(error) => error,
        WriteError::Overloaded => ConsoleError::Overloaded,
        WriteError::Storage(error) => ConsoleError::Failed(sqlite_text(&error)),
        error => ConsoleError::Internal(error.to_string()),
    })
}

fn execute(conn: &Connection, sql: &str) -> rusqlite::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut batch = Batch::new(conn, sql);
    while let Some(mut statement) = batch.next()? {
        outcome = rows(&mut statement)?;
        drop(statement);
        outcome.affected_rows = conn.changes();
    }
    Ok(outcome)
}

fn rows(statement: &mut rusqlite::Statement<'_>) -> rusqlite::Result<Outcome> {
    let columns: Vec<Column> = statement
        .columns()
        .iter()
        .map(|column| Column {
            name: column.name().to_owned(),
            declared: column.decl_type().unwrap_or_default().to_uppercase(),
            nullable: true,
        })
        .collect();
    let mut found = Vec::new();
    let mut rows = statement.query([])?;
    // A statement that writes has to run to its end, whatever it returns.
    while let Some(row) = rows.next()? {
        if found.len() < MAX_ROWS {
            let cells = (0..columns.len()).map(|index| row.get_ref(index).map(cell));
            found.push(cells.collect::<rusqlite::Result<_>>()?);
        }
    }
    Ok(Outcome { columns, rows: found, ..Outcome::default() })
}

fn cell(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(real(number)),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// The shortest form, with an exponent of at least two digits where the number is very large or small.
fn real(number: f64) -> String {
    if number == 0.0 || (1e-4..1e21).contains(&number.abs()) || !number.is_finite() {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_tells_a_write() {
        for (sql, expected) in [
            ("  Insert into t", true),
            ("REPLACE into t", true),
            ("with x as (select 1) select 1", false),
            ("se", false),
        ] {
            assert_eq!(begins_with_write(sql), expected, "{sql}");
        }
    }

    #[test]
    fn numbers_are_written_short() {
        for (number, expected) in [
            (2.0, "2"),
            (1.5, "1.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (0.0, "0"),
        ] {
            assert_eq!(real(number), expected);
        }
    }
}
