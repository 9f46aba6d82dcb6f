//! What `to_sql` and `compare` write as SQL, evaluated: the same cases in the same order.

use std::borrow::Cow;
use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use headwater_actors::Value;

use super::values::{self, Affinity, Scalar};
use super::{AuthRead, Class, Column, Compare, Kind, Node, Operand, Predicate, Read};
use crate::query::given;
use crate::query::like;
use crate::query::literal::Literal;
use crate::query::path::{Modifier, Path};
use crate::query::tree::Op;
use crate::records::Record;
use crate::request::RequestInfo;
use crate::schema::fields::parse_number;

/// What is asked, of whom and by whom.
pub(super) struct At<'a> {
    pub predicate: &'a Predicate,
    /// None where only the caller is looked at.
    pub record: Option<&'a Record>,
    pub request: &'a RequestInfo,
    pub asking: Asking<'a>,
    pub now: DateTime<Utc>,
}

#[derive(Clone, Copy)]
pub(super) enum Asking<'a> {
    /// Whoever it may be: nothing is known of him.
    Anybody,
    Guest,
    Record(&'a Kind, &'a Record),
}

/// An operand with its value.
#[derive(Debug)]
pub(super) enum Term<'a> {
    /// A value that SQL would be given as a parameter.
    Known { value: Known<'a>, lower: bool },
    /// A value that SQL would read from a row.
    Read(Scalar<'a>, Affinity),
}

#[derive(Debug)]
pub(super) enum Known<'a> {
    Text(Cow<'a, str>),
    Other(Cow<'a, Literal>),
}

impl<'a> At<'a> {
    /// None where SQL has to be asked. There is no negation over comparisons, so that false and NULL are one.
    pub(super) fn holds(&self, node: &Node) -> Option<bool> {
        let (members, end) = match node {
            Node::Elsewhere(_) => return None,
            Node::Compare(compare) => return self.compare(compare),
            Node::All(members) => (members, true),
            Node::Any(members) => (members, false),
        };
        let mut answer = Some(end);
        for member in members {
            match self.holds(member) {
                Some(found) if found != end => return Some(found),
                Some(_) => {}
                None => answer = None,
            }
        }
        answer
    }

    pub(super) fn compare(&self, compare: &Compare) -> Option<bool> {
        let (left, right) = (self.term(&compare.left)?, self.term(&compare.right)?);
        match compare.op {
            Op::Equal => equal(&left, &right),
            Op::NotEqual => not_equal(&left, &right),
            Op::Like => Some(like(&left, &right)? == Some(true)),
            Op::NotLike => Some(like(&left, &right)? == Some(false)),
            Op::Greater => ordered(&left, &right, Ordering::is_gt),
            Op::GreaterOrEqual => ordered(&left, &right, Ordering::is_ge),
            Op::Less => ordered(&left, &right, Ordering::is_lt),
            Op::LessOrEqual => ordered(&left, &right, Ordering::is_le),
        }
    }

    fn term<'t>(&'t self, operand: &'t Operand) -> Option<Term<'t>> {
        match operand {
            Operand::Literal(literal) => Some(Term::literal(Cow::Borrowed(literal))),
            Operand::Macro(name) => Some(Term::literal(Cow::Owned(Literal::from_value(&name.at(self.now))))),
            Operand::Column(column) => {
                let record = self.record?;
                let is_own = std::sync::Arc::ptr_eq(&record.collection, &self.predicate.collection);
                let value = if is_own { record.values.get(column.index) } else { record.get(&column.name) };
                read(column, value.unwrap_or(&Value::Null))
            }
            Operand::Auth(path) => self.auth(*path),
            Operand::Given { path, is_number } => Some(self.given(path, *is_number)),
        }
    }

    /// A path of the caller, by its place.
    pub(super) fn auth(&self, path: usize) -> Option<Term<'a>> {
        let (kind, caller) = match self.asking {
            Asking::Anybody => return None,
            Asking::Guest => return Some(Term::null()),
            Asking::Record(kind, caller) => (kind, caller),
        };
        match kind.reads.get(path)? {
            AuthRead::Null => Some(Term::null()),
            AuthRead::Elsewhere(_) => None,
            AuthRead::Column(column) => {
                if std::sync::Arc::ptr_eq(&kind.collection, &caller.collection) {
                    return read(column, caller.values.get(column.index)?);
                }
                // He came before the collection was changed: what he does not have is zero.
                match caller.get(&column.name) {
                    Some(value) => read(column, value),
                    None => {
                        let (_, field) = kind.collection.field(&column.name)?;
                        let zero = field.of().zero();
                        let Term::Read(value, affinity) = read(column, &zero)? else { return None };
                        Some(Term::Read(value.detached(), affinity))
                    }
                }
            }
            AuthRead::Loaded { name, is_number } => {
                let text = match &**name {
                    "collectionId" => &kind.collection.id,
                    "collectionName" => &kind.collection.name,
                    "emailVisibility" | "verified" => {
                        return Some(Term::literal(Cow::Owned(Literal::Bool(caller.flag(name)))));
                    }
                    name => caller.text(name),
                };
                Some(Term::text(Cow::Borrowed(text), *is_number, false))
            }
        }
    }

    fn given(&self, path: &Path, is_number: bool) -> Term<'static> {
        let found = given::find(self.request, &path.root, &path.parts);
        if path.modifier == Some(Modifier::IsSet) {
            return Term::literal(Cow::Owned(Literal::Integer(found.is_some().into())));
        }
        match found {
            Some(Literal::Text(text)) => {
                Term::text(Cow::Owned(text), is_number, path.modifier == Some(Modifier::Lower))
            }
            found => Term::literal(Cow::Owned(found.unwrap_or(Literal::Null))),
        }
    }
}

/// The value of a column, as `joins::expression` reads it from a snapshot.
fn read<'a>(column: &Column, value: &'a Value) -> Option<Term<'a>> {
    let value = Scalar::of(value)?;
    let (value, affinity) = match (column.class, &value) {
        (Class::Bare, _) | (Class::Number, Scalar::Text(_)) => (value, Affinity::None),
        (Class::Number, _) => (value, Affinity::Numeric),
        (Class::Text, Scalar::Text(_) | Scalar::Null) => (value, Affinity::Text),
        (Class::Text, _) => {
            let text = value.as_text()??.into_owned();
            (Scalar::Text(Cow::Owned(text)), Affinity::Text)
        }
    };
    Some(match column.read {
        Read::Value => Term::Read(value, affinity),
        Read::Lower => Term::Read(lower(value)?, Affinity::None),
        Read::Length => Term::Read(Scalar::Integer(values::length(&value)?), Affinity::None),
    })
}

fn lower(value: Scalar<'_>) -> Option<Scalar<'static>> {
    Some(match value.as_text()? {
        None => Scalar::Null,
        Some(text) => Scalar::Text(Cow::Owned(text.to_ascii_lowercase())),
    })
}

impl<'a> Term<'a> {
    fn null() -> Term<'a> {
        Term::literal(Cow::Owned(Literal::Null))
    }

    fn literal(literal: Cow<'a, Literal>) -> Term<'a> {
        Term::Known { value: Known::Other(literal), lower: false }
    }

    fn text(text: Cow<'a, str>, is_number: bool, lower: bool) -> Term<'a> {
        let number = if is_number { parse_number(&text) } else { None };
        let value = match number {
            Some(number) => Known::Other(Cow::Owned(Literal::Number(number))),
            None => Known::Text(text),
        };
        Term::Known { value, lower }
    }

    /// An empty literal.
    fn is_empty(&self) -> bool {
        match self {
            Term::Known { value: Known::Text(text), .. } => text.is_empty(),
            Term::Known { value: Known::Other(literal), .. } => literal.is_empty(),
            Term::Read(..) => false,
        }
    }

    /// Known not to be empty.
    fn is_given(&self) -> bool {
        matches!(self, Term::Known { .. }) && !self.is_empty()
    }

    /// The value as SQL would have it written.
    pub(super) fn value(&self) -> Option<(Cow<'_, Scalar<'a>>, Affinity)> {
        let (scalar, is_lower) = match self {
            Term::Read(value, affinity) => return Some((Cow::Borrowed(value), *affinity)),
            Term::Known { value: Known::Text(text), lower } => (Scalar::Text(text.clone()), *lower),
            Term::Known { value: Known::Other(literal), lower } => (Scalar::owned(literal.to_value())?, *lower),
        };
        let scalar = if is_lower && !scalar.is_null() { lower(scalar)? } else { scalar };
        Some((Cow::Owned(scalar), Affinity::None))
    }

    /// As [`Term::value`], with the empty text for an empty literal.
    fn value_or_empty(&self) -> Option<(Cow<'_, Scalar<'a>>, Affinity)> {
        if self.is_empty() { Some((Cow::Owned(EMPTY), Affinity::None)) } else { self.value() }
    }

    /// `COALESCE(value, '')`
    fn coalesced(&self) -> Option<(Cow<'_, Scalar<'a>>, Affinity)> {
        let (value, _) = self.value()?;
        Some((if value.is_null() { Cow::Owned(EMPTY) } else { value }, Affinity::None))
    }
}

const EMPTY: Scalar<'static> = Scalar::Text(Cow::Borrowed(""));

fn equal(left: &Term<'_>, right: &Term<'_>) -> Option<bool> {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => Some(true),
        _ if left.is_given() || right.is_given() => {
            let ((left, l), (right, r)) = (left.value_or_empty()?, right.value_or_empty()?);
            if left.is_null() || right.is_null() {
                return Some(false);
            }
            Some(values::order((&left, l), (&right, r))?.is_eq())
        }
        (true, false) => is_blank(right),
        (false, true) => is_blank(left),
        (false, false) => {
            let ((left, l), (right, r)) = (left.coalesced()?, right.coalesced()?);
            Some(values::order((&left, l), (&right, r))?.is_eq())
        }
    }
}

fn not_equal(left: &Term<'_>, right: &Term<'_>) -> Option<bool> {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => Some(false),
        _ if left.is_given() || right.is_given() => {
            let ((left, l), (right, r)) = (left.value_or_empty()?, right.value_or_empty()?);
            if left.is_null() || right.is_null() {
                return Some(left.is_null() != right.is_null());
            }
            Some(values::order((&left, l), (&right, r))?.is_ne())
        }
        (true, false) => is_blank(right).map(|blank| !blank),
        (false, true) => is_blank(left).map(|blank| !blank),
        (false, false) => {
            let ((left, l), (right, r)) = (left.coalesced()?, right.coalesced()?);
            Some(values::order((&left, l), (&right, r))?.is_ne())
        }
    }
}

fn is_blank(term: &Term<'_>) -> Option<bool> {
    let (value, affinity) = term.value()?;
    Some(value.is_null() || values::order((&value, affinity), (&EMPTY, Affinity::None))?.is_eq())
}

fn ordered(left: &Term<'_>, right: &Term<'_>, holds: fn(Ordering) -> bool) -> Option<bool> {
    let ((left, l), (right, r)) = (left.value()?, right.value()?);
    if left.is_null() || right.is_null() {
        return Some(false);
    }
    Some(holds(values::order((&left, l), (&right, r))?))
}

/// The inner none is NULL, which neither matches nor does not.
fn like(left: &Term<'_>, right: &Term<'_>) -> Option<Option<bool>> {
    let (value, _) = left.value()?;
    let pattern = match right {
        Term::Known { value, lower } => {
            let pattern = match value {
                Known::Text(text) => Literal::Text(text.to_string()).to_pattern(),
                Known::Other(literal) if **literal == Literal::Null => return Some(None),
                Known::Other(literal) => literal.to_pattern(),
            };
            if *lower { pattern.to_ascii_lowercase() } else { pattern }
        }
        Term::Read(value, _) => match value.as_text()? {
            None => return Some(None),
            Some(text) => format!("%{text}%"),
        },
    };
    let Some(text) = value.as_text()? else { return Some(None) };
    Some(Some(like::like(&text, &pattern)?))
}
