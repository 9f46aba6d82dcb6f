//! The joins of one query. Paths that pass through the same relation share its join, and so its rows: this is what
//! makes `tags.name ?= "a" && tags.name ?= "b"` ask for one tag that is both.

use super::resolve::Read;
use super::sql;
use crate::records::Record;

/// Where columns are read from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// A joined or selected table, by the number of its alias. 0 is the collection being queried.
    Table(usize),
    /// A record that is at hand: its values are bound as parameters.
    Record(&'a Record, Typing),
}

/// How a bound value of a record compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typing {
    /// Like the value alone, as create rules see a candidate.
    Bare,
    /// Like the column that it comes from, affinity included.
    AsColumn,
}

/// What a join is for; equal keys share one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    /// The items of a list column.
    Items { from: Origin, field: Box<str> },
    /// The records of a relation column.
    Forward { from: Origin, field: Box<str> },
    /// The records that refer here.
    Back { from: Origin, collection: Box<str>, field: Box<str> },
    /// All records of a collection.
    Cross { scope: usize, collection: Box<str>, alias: Option<Box<str>> },
    /// The records named in the body.
    Body { scope: usize, field: Box<str> },
    /// The items of a list in the body.
    BodyItems { scope: usize, field: Box<str> },
}

/// A [`Source`] as part of a key, within the scope that asks: the rule of a joined collection has rows of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub scope: usize,
    pub row: Row,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Table(usize),
    Base,
    Caller,
}

/// SQLite joins 64 tables at most; one place is the base's.
const MAX_JOINS: usize = 60;

/// Joins in the order in which they depend on each other.
#[derive(Default)]
pub(super) struct Joins(Vec<Join>);

struct Join {
    key: Key,
    alias: usize,
    /// ` LEFT JOIN … ON …`
    sql: String,
    /// True if there may be several rows per row of the base.
    many: bool,
}

impl Joins {
    pub(super) fn find(&self, key: &Key) -> Option<usize> {
        self.0.iter().find(|join| join.key == *key).map(|join| join.alias)
    }

    /// Adds a join of `table`, on the condition that `on` writes for the alias.
    pub(super) fn push(
        &mut self,
        key: Key,
        alias: usize,
        table: &str,
        on: Option<String>,
        many: bool,
    ) -> Result<(), String> {
        if self.0.len() >= MAX_JOINS {
            return Err(format!("more than {MAX_JOINS} joins"));
        }
        let mut sql = format!(" LEFT JOIN {table} AS {}", alias_name(alias));
        if let Some(on) = on {
            sql.push_str(" ON ");
            sql.push_str(&on);
        }
        self.0.push(Join { key, alias, sql, many });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if records of other collections may be read. (Each join of a subquery stands here too.)
    pub(super) fn reach_tables(&self) -> bool {
        self.0.iter().any(|join| !matches!(join.key, Key::Items { .. } | Key::BodyItems { .. }))
    }

    /// True if a row of the base may appear more than once.
    pub(super) fn multiply(&self) -> bool {
        self.0.iter().any(|join| join.many)
    }

    pub(super) fn write(&self, out: &mut String) {
        for join in &self.0 {
            out.push_str(&join.sql);
        }
    }

    pub(super) fn to_sql(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

pub(super) fn alias_name(alias: usize) -> String {
    match alias {
        0 => "t".to_owned(),
        number => format!("j{number}"),
    }
}

/// A column of a joined table.
pub(super) fn joined(alias: usize, column: &str) -> String {
    format!("{}.{}", alias_name(alias), sql::quoted(column))
}

/// The value of a column as `read` asks for it. `Each` is a join and not an expression.
pub(super) fn expression(column: String, read: &Read) -> String {
    match read {
        Read::Value | Read::Each => column,
        Read::Lower => format!("LOWER({column})"),
        Read::Length => format!("({})", sql::length(&column)),
        Read::Json { path, lower: false } => format!("({})", sql::json_value(&column, path)),
        Read::Json { path, lower: true } => format!("LOWER({})", sql::json_value(&column, path)),
    }
}
