//! Rules and filters in memory: the second back end of the language, beside SQL.
//!
//! A [`Predicate`] is compiled once per rule and schema and answers for a record that is at hand, without the database.
//! It covers what reads the record's own columns, literals, macros, the caller's own columns and the plain parts of the
//! request. Whatever it does not cover with certainty (relations, JSON, functions, odd values) it leaves to SQL by answering
//! `None`; it never guesses. Its meaning is that of the SQL form over a snapshot of the record ([`Base::Snapshot`]); a
//! property test holds the two together, SQLite being the judge.
//!
//! * `compile` looks the names up and tells what has to be asked elsewhere.
//! * `evaluate` is what `compare` and `to_sql` write, evaluated; `values` is what SQLite makes of values.
//! * `solve` asks what needs SQL for all callers at once.
//! * `reach` finds the few callers whom a record may concern, by what it holds or by what `solve` has found.
//!
//! [`Base::Snapshot`]: super::Base::Snapshot

mod compile;
mod evaluate;
mod reach;
mod solve;
mod values;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use self::evaluate::{Asking, At};
use self::reach::Reach;
use self::solve::Alternative;
pub use self::solve::Solution;
use super::literal::Literal;
use super::macros::Macro;
use super::path::Path;
use super::tree::{Comparison, Op};
use crate::records::Record;
use crate::request::{Caller, RequestInfo};
use crate::schema::{Collection, Schema};

/// A rule or filter, ready to be asked of records of one collection.
#[derive(Debug)]
pub struct Predicate {
    collection: Arc<Collection>,
    tree: Node,
    /// The distinct `@request.auth` paths.
    paths: Vec<Path>,
    /// True if the SQL form refuses to be asked by guests.
    refuses_guests: bool,
    /// The records that may ask, by collection.
    kinds: Vec<Kind>,
    elsewhere: Vec<Elsewhere>,
    reach: Option<Reach>,
    /// How it is asked for all callers at once; none if it cannot, or need not.
    alternatives: Option<Vec<Alternative>>,
}

/// A part that only SQL can answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Elsewhere {
    /// The comparison, as text.
    pub part: String,
    pub reason: String,
}

/// Callers of one auth collection.
#[derive(Debug)]
struct Kind {
    collection: Arc<Collection>,
    /// The SQL form refuses to be asked by them.
    refused: bool,
    /// What each of the predicate's paths is for them.
    reads: Vec<AuthRead>,
}

#[derive(Clone, Debug)]
enum Node {
    Compare(Arc<Compare>),
    All(Vec<Node>),
    Any(Vec<Node>),
    /// To be asked of SQL.
    Elsewhere(Arc<Comparison>),
}

#[derive(Debug)]
struct Compare {
    left: Operand,
    op: Op,
    right: Operand,
    /// As it was written.
    text: String,
}

#[derive(Clone, Debug)]
enum Operand {
    Literal(Literal),
    Macro(Macro),
    Column(Column),
    /// A path by its place in [`Predicate::paths`].
    Auth(usize),
    /// A part of the request.
    Given {
        path: Path,
        is_number: bool,
    },
}

/// A column of a record.
#[derive(Clone, Debug, PartialEq)]
struct Column {
    index: usize,
    name: Box<str>,
    class: Class,
    read: Read,
}

/// How values of a column compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Text,
    Number,
    /// JSON text: as the value alone.
    Bare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Value,
    Lower,
    Length,
}

/// What a path is for the callers of one collection.
#[derive(Clone, Debug)]
enum AuthRead {
    Null,
    /// Taken from the record without a look at its columns. `is_number`: a text that is a number counts as one.
    Loaded {
        name: Box<str>,
        is_number: bool,
    },
    Column(Column),
    Elsewhere(&'static str),
}

/// Where a caller stands among all who listen by one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// The value by which records find him; none for those who have to be asked each time.
    pub find: Option<Arc<str>>,
    /// Equal for callers whom the rule cannot tell apart (among those of the same `find`).
    pub group: Arc<str>,
}

impl Predicate {
    /// A rule, written by the owner of the collection.
    pub fn rule(schema: &Schema, collection: &Arc<Collection>, text: &str) -> Predicate {
        compile::rule(schema, collection, text)
    }

    /// A filter, written by somebody who is no superuser.
    pub fn filter(schema: &Schema, collection: &Arc<Collection>, text: &str) -> Predicate {
        compile::filter(schema, collection, text)
    }

    /// Whether the record meets it for the caller of the request; none where only SQL can tell.
    pub fn holds(&self, record: &Record, request: &RequestInfo, now: DateTime<Utc>) -> Option<bool> {
        let at = self.at(Some(record), request, now)?;
        match at.holds(&self.tree) {
            // Yes would not be the last word: SQL may ask more than the text says, or fail over the other parts.
            Some(true) if !self.elsewhere.is_empty() => None,
            answer => answer,
        }
    }

    /// True if the caller of the request meets it whatever the record is.
    pub fn holds_anyhow(&self, request: &RequestInfo, now: DateTime<Utc>) -> bool {
        let at = self.elsewhere.is_empty().then(|| self.at(None, request, now)).flatten();
        at.is_some_and(|at| at.holds(&self.tree) == Some(true))
    }

    /// Whether it looks at who asks.
    pub fn names_caller(&self) -> bool {
        !self.paths.is_empty()
    }

    /// What keeps it from being answered in memory alone. Empty if nothing does.
    pub fn elsewhere(&self) -> &[Elsewhere] {
        &self.elsewhere
    }

    /// The comparisons by which a record finds the callers whom it may concern; empty if each has to be asked.
    pub fn index(&self) -> &[String] {
        self.reach.as_ref().map_or(&[], Reach::comparisons)
    }

    /// The distinct values ([`Standing::find`]) of the callers whom a record may concern, beside those without one; none if
    /// it may concern anybody, as far as is known without the solution for this record, or more than so many.
    pub fn reach<'r>(
        &self,
        record: &'r Record,
        request: &RequestInfo,
        now: DateTime<Utc>,
        solution: Option<&'r Solution>,
        most: usize,
    ) -> Option<Vec<&'r str>> {
        let at = At { predicate: self, record: Some(record), request, asking: Asking::Anybody, now };
        self.reach.as_ref()?.values(record, &at, solution, most)
    }

    /// True if the record does not meet it, whoever asks.
    pub fn refuses_everybody(&self, record: &Record, request: &RequestInfo, now: DateTime<Utc>) -> bool {
        let at = At { predicate: self, record: Some(record), request, asking: Asking::Anybody, now };
        at.holds(&self.tree) == Some(false)
    }

    pub fn standing(&self, caller: &Caller) -> Standing {
        let request = RequestInfo { caller: caller.clone(), ..RequestInfo::default() };
        let Some(at) = self.at(None, &request, DateTime::UNIX_EPOCH) else {
            return Standing { find: None, group: "refused".into() };
        };
        let find = self.reach.as_ref().and_then(|reach| reach.value_of(&at));
        let known = self.reach.as_ref().filter(|_| find.is_some()).map(Reach::path);
        let others = (0..self.paths.len()).filter(|path| Some(*path) != known);
        let mut group = String::new();
        for path in others {
            group.push_str(&format!("{:?};", at.auth(path)));
        }
        Standing { find: find.map(Arc::from), group: group.into() }
    }

    /// None if the SQL form has to say what it makes of such a caller.
    fn at<'a>(&'a self, record: Option<&'a Record>, request: &'a RequestInfo, now: DateTime<Utc>) -> Option<At<'a>> {
        let asking = match request.caller.record() {
            None if self.refuses_guests => return None,
            None => Asking::Guest,
            Some(caller) => {
                let own = |kind: &&Kind| {
                    Arc::ptr_eq(&kind.collection, &caller.collection) || kind.collection.id == caller.collection.id
                };
                Asking::Record(self.kinds.iter().find(own).filter(|kind| !kind.refused)?, caller)
            }
        };
        Some(At { predicate: self, record, request, asking, now })
    }
}
