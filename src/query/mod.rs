//! The query language of filters, rules and sorts.
//!
//! Text becomes a [`tree`] ([`parse`]), and a tree becomes SQL ([`Select`]) for one collection, one request and one degree
//! of trust. Callers never put joins together themselves.
//!
//! A [`Predicate`] is the same without SQL, for a record that is at hand; it answers what it can answer with certainty.
//!
//! On the way: the `lexer` and `parser` know the form of a text, `resolve` knows the schema, `to_sql` turns paths into
//! joins and literals into parameters, and `compare` knows what the operators mean.

mod cache;
mod compare;
mod functions;
mod given;
mod joins;
mod lexer;
mod like;
mod literal;
pub mod macros;
mod parser;
pub mod path;
mod predicate;
mod predicates;
mod resolve;
mod select;
mod sort;
mod sql;
mod statement;
mod to_sql;
pub mod tree;

use std::sync::Arc;

pub use cache::parse;
pub use functions::register_functions;
pub use predicate::{Elsewhere, Predicate, Solution, Standing};
pub use predicates::Predicates;
pub use select::Select;
pub use statement::{Count, Reads, Statement};

use crate::records::Record;
use crate::request::RequestInfo;
use crate::schema::{Collection, Schema};

/// Why a filter, rule or sort was refused.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// Not a filter, or it names what does not exist, or it passes a limit. Clients see a bare 400; only who saves a
    /// rule sees the text.
    #[error("{0}")]
    Invalid(String),
    /// It uses what only superusers may (403, with this sentence).
    #[error("{0}")]
    Forbidden(&'static str),
}

/// What the collection's own fields mean in a [`Select`].
#[derive(Clone, Copy)]
pub enum Base<'a> {
    /// The stored rows.
    Stored,
    /// One record that is about to be created: a row without column affinities, as create rules see it.
    Candidate(&'a Record),
    /// One record as it was at some moment, with the affinities of its columns: for events.
    Snapshot(&'a Record),
}

/// Checks a rule when its collection is saved.
pub fn check_rule(schema: &Schema, collection: &Arc<Collection>, text: &str) -> Result<(), QueryError> {
    Select::new(schema, collection, &RequestInfo::default(), Base::Stored).rule(text).map(drop)
}

#[cfg(test)]
pub(crate) mod tests;
