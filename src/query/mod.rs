//! The query language of filters, rules and sorts.
//!
//! Text becomes a tree ([`parse`]), and a tree becomes SQL ([`Select`]) for one collection, one request and one degree
//! of trust. Callers never put joins together themselves.

mod cache;
mod lexer;
pub mod macros;
mod parser;
pub mod path;
pub mod tree;

use std::sync::Arc;

pub use cache::parse;

use rusqlite::Connection;

use crate::records::Record;
use crate::request::RequestInfo;
use crate::schema::{Collection, Schema};
use headwater_actors::Value;

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

/// A query over one collection, put together from rules, filters and a sort.
pub struct Select<'a> {
    pub schema: &'a Schema,
    pub collection: &'a Arc<Collection>,
    pub request: &'a RequestInfo,
    pub base: Base<'a>,
}

/// SQL with its parameters, ready to run.
#[derive(Clone, Debug)]
pub struct Statement {
    pub sql: String,
    pub params: Vec<Value>,
}

impl<'a> Select<'a> {
    pub fn new(
        schema: &'a Schema,
        collection: &'a Arc<Collection>,
        request: &'a RequestInfo,
        base: Base<'a>,
    ) -> Select<'a> {
        Select { schema, collection, request, base }
    }

    /// Adds a condition written by the owner: everything may be named in it.
    pub fn rule(&mut self, text: &str) -> Result<&mut Self, QueryError> {
        todo!("{text}")
    }

    /// Adds a condition written by the caller, who may name only what he may see (query-language.md §6).
    pub fn filter(&mut self, text: &str) -> Result<&mut Self, QueryError> {
        todo!("{text}")
    }

    /// Sets the order, written by the caller.
    pub fn sort(&mut self, text: &str) -> Result<&mut Self, QueryError> {
        todo!("{text}")
    }

    /// Narrows to one record.
    pub fn only(&mut self, id: &str) -> &mut Self {
        todo!("{id}")
    }

    /// Narrows to some records (bound as one JSON array, so that the SQL text stays the same for any number).
    pub fn only_any(&mut self, ids: &[String]) -> &mut Self {
        todo!("{ids:?}")
    }

    /// Narrows to records whose relation field `field` holds any of `ids` (back relations).
    pub fn referring(&mut self, field: &str, ids: &[String]) -> &mut Self {
        todo!("{field} {ids:?}")
    }

    /// The rows, all columns in field order; at most `limit` of them after `offset` where given.
    pub fn rows(&self, page: Option<(u64, u64)>) -> Statement {
        todo!("{page:?}")
    }

    /// How many distinct records there are.
    pub fn count(&self) -> Statement {
        todo!()
    }

    /// Whether there is any.
    pub fn exists(&self) -> Statement {
        todo!()
    }
}

impl Statement {
    /// Runs a statement of [`Select::rows`].
    pub fn records(&self, conn: &Connection, collection: &Arc<Collection>) -> rusqlite::Result<Vec<Record>> {
        todo!("{conn:?} {collection:?}")
    }

    /// Runs a statement of [`Select::count`].
    pub fn number(&self, conn: &Connection) -> rusqlite::Result<u64> {
        todo!("{conn:?}")
    }

    /// Runs a statement of [`Select::exists`].
    pub fn any(&self, conn: &Connection) -> rusqlite::Result<bool> {
        todo!("{conn:?}")
    }
}

/// Checks a rule when its collection is saved.
pub fn check_rule(schema: &Schema, collection: &Arc<Collection>, text: &str) -> Result<(), QueryError> {
    todo!("{schema:?} {collection:?} {text}")
}
