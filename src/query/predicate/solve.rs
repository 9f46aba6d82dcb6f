//! Rules that need SQL, turned around: one query tells for a record which values its callers must have.
//!
//! Each alternative of the rule is a list of comparisons that all have to hold for one row of its joins. Where at most one of
//! those that need SQL names the caller, and that as `path = @request.auth.X`, the others and the path make a query without
//! a caller, whose values are the X that are let through. What is in memory does not depend on the row, and is asked of each caller.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use headwater_actors::Value;
use rusqlite::Connection;

use super::reach::Part;
use super::values::Scalar;
use super::{Compare, Predicate};
use crate::query::path::{Path, Root};
use crate::query::tree::{Comparison, Op, Operand};
use crate::query::{Base, QueryError, Select};
use crate::records::Record;
use crate::request::{Caller, RequestInfo};
use crate::schema::Schema;

/// Values that one alternative may let through; with more of them the callers are asked one by one.
const MAX_VALUES: usize = 50_000;

/// One alternative of a rule.
#[derive(Debug)]
pub(super) struct Alternative {
    memory: Vec<Arc<Compare>>,
    /// To be asked of SQL; none of them names the caller.
    sql: Vec<Arc<Comparison>>,
    pub link: Option<Link>,
}

/// `path = @request.auth.X`
#[derive(Debug)]
pub(super) struct Link {
    path: Path,
    /// `?=`
    any: bool,
    /// The caller's path, by its place.
    pub auth: usize,
    /// As it was written.
    pub text: String,
}

/// Whom a rule lets see one record: what was found for each of its alternatives.
#[derive(Debug)]
pub struct Solution(pub(super) Vec<Found>);

#[derive(Debug)]
pub(super) enum Found {
    All(bool),
    Values(HashSet<Box<str>>),
}

/// The link of a comparison that needs SQL: the path of the records, and that of the caller.
pub(super) fn link(comparison: &Comparison) -> Option<(&Path, &Path)> {
    let is_auth = |path: &Path| path.root == Root::Auth;
    match (&comparison.left, comparison.sign.op, &comparison.right) {
        (Operand::Path(left), Op::Equal, Operand::Path(right)) if is_auth(right) && !is_auth(left) => {
            Some((left, right))
        }
        (Operand::Path(left), Op::Equal, Operand::Path(right)) if is_auth(left) && !is_auth(right) => {
            Some((right, left))
        }
        _ => None,
    }
}

fn names_caller(operand: &Operand) -> bool {
    match operand {
        Operand::Path(path) => path.root == Root::Auth,
        Operand::Macro(_) | Operand::Number(_) | Operand::Text(_) => false,
        Operand::GeoDistance(arguments) => arguments.iter().any(names_caller),
        Operand::Strftime(call) => call.time.as_ref().is_some_and(names_caller),
    }
}

/// None if there is an alternative that cannot be turned around.
pub(super) fn alternatives(spread: &[Vec<Part>], paths: &[Path]) -> Option<Vec<Alternative>> {
    spread.iter().map(|parts| alternative(parts, paths)).collect()
}

fn alternative(parts: &[Part], paths: &[Path]) -> Option<Alternative> {
    let mut alternative = Alternative { memory: Vec::new(), sql: Vec::new(), link: None };
    for part in parts {
        match part {
            Part::Compare(compare) => alternative.memory.push(compare.clone()),
            Part::Elsewhere(comparison) if !names_caller(&comparison.left) && !names_caller(&comparison.right) => {
                alternative.sql.push(comparison.clone());
            }
            Part::Elsewhere(comparison) => {
                let (path, caller) = link(comparison).filter(|_| alternative.link.is_none())?;
                let auth = paths.iter().position(|own| own == caller)?;
                alternative.link =
                    Some(Link { path: path.clone(), any: comparison.sign.any, auth, text: comparison.to_string() });
            }
        }
    }
    Some(alternative)
}

impl Solution {
    /// How many values it holds.
    pub fn size(&self) -> usize {
        let size = |found: &Found| match found {
            Found::All(_) => 1,
            Found::Values(values) => values.len(),
        };
        self.0.iter().map(size).sum()
    }
}

impl Predicate {
    /// Whether [`Predicate::solve`] may do better than to ask for each caller.
    pub fn is_solvable(&self) -> bool {
        self.alternatives.is_some()
    }

    /// Asks the database about a record for all callers at once. The request's caller is not looked at. None where that cannot be done.
    pub fn solve(
        &self,
        conn: &Connection,
        schema: &Schema,
        record: &Record,
        request: &RequestInfo,
    ) -> rusqlite::Result<Option<Solution>> {
        let Some(alternatives) = &self.alternatives else { return Ok(None) };
        let request = RequestInfo { caller: Caller::GUEST, ..request.clone() };
        let mut found = Vec::with_capacity(alternatives.len());
        for alternative in alternatives {
            match alternative.ask(conn, schema, record, &request)? {
                None => return Ok(None),
                Some(answer) => found.push(answer),
            }
        }
        Ok(Some(Solution(found)))
    }

    /// Whether the caller of the request is let through, by the solution for this record; none if he has to be asked about on
    /// his own. What is not certain of any alternative is not certain at all: SQL may fail over it, also where another one
    /// holds.
    pub fn lets(
        &self,
        solution: &Solution,
        record: &Record,
        request: &RequestInfo,
        now: DateTime<Utc>,
    ) -> Option<bool> {
        let at = self.at(Some(record), request, now)?;
        let mut answer = false;
        for (alternative, found) in self.alternatives.as_ref()?.iter().zip(&solution.0) {
            let mut holds = true;
            for compare in &alternative.memory {
                holds &= at.compare(compare)?;
            }
            holds &= match (found, &alternative.link) {
                (Found::All(found), _) => *found,
                (Found::Values(_), None) => return None,
                (Found::Values(values), Some(link)) => match &*at.auth(link.auth)?.value()?.0 {
                    Scalar::Text(text) if !text.is_empty() => values.contains(&**text),
                    // The empty value is equal to more than itself.
                    _ => return None,
                },
            };
            answer |= holds;
        }
        Some(answer)
    }
}

impl Alternative {
    pub(super) fn asks_sql(&self) -> bool {
        !self.sql.is_empty() || self.link.is_some()
    }

    fn ask(
        &self,
        conn: &Connection,
        schema: &Schema,
        record: &Record,
        request: &RequestInfo,
    ) -> rusqlite::Result<Option<Found>> {
        if !self.asks_sql() {
            return Ok(Some(Found::All(true)));
        }
        let mut select = Select::new(schema, &record.collection, request, Base::Snapshot(record));
        let mut require = || -> Result<(), QueryError> {
            self.sql.iter().try_for_each(|comparison| select.require_comparison(comparison))
        };
        if require().is_err() {
            return Ok(None);
        }
        let Some(link) = &self.link else { return select.exists().any(conn).map(Found::All).map(Some) };
        let Ok(Some(statement)) = select.values(&link.path, link.any, MAX_VALUES + 1) else { return Ok(None) };
        let found = statement.values(conn)?;
        if found.len() > MAX_VALUES {
            return Ok(None);
        }
        let mut values = HashSet::with_capacity(found.len());
        for value in found {
            match value {
                Value::Text(text) => _ = values.insert(text.into()),
                Value::Null => {}
                // Numbers equal more than their own text.
                _ => return Ok(None),
            }
        }
        Ok(Some(Found::Values(values)))
    }
}
