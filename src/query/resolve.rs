//! Paths looked up in the schema: from where, over which relations, to which field. No SQL is made here.
//!
//! What only superusers may name is refused here too, except for what can be told by rows alone (list rules with an
//! expression, e-mail visibility), which the SQL adds.

use std::sync::Arc;

use super::path::{Modifier, Path, Root};
use crate::records::Record;
use crate::request::RequestInfo;
use crate::schema::fields::Relation;
use crate::schema::{Collection, Field, FieldKind, Rule, Schema, indexes};

/// Relations that one path may pass through.
const MAX_HOPS: usize = 6;

/// Where a path is looked up, and how far it may see.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a> {
    pub schema: &'a Schema,
    pub request: &'a RequestInfo,
    /// The collection that paths start from. It may be a newer version than the schema's.
    pub collection: &'a Arc<Collection>,
    /// Hidden fields and collections without a list rule may be named.
    pub trusted: bool,
    /// The record does not exist yet: nothing can refer to it.
    pub unborn: bool,
}

/// What a path means.
#[derive(Debug)]
pub(super) enum Resolved<'a> {
    /// NULL: nobody is signed in, or the request has no such part.
    Null,
    /// A value of the request itself; see `given`.
    Given,
    /// Whether the request has such a part.
    IsSet,
    /// The number of submitted items of a field.
    GivenLength(&'a Field),
    /// Each submitted item of a field.
    GivenItems(&'a Field),
    /// A submitted field as lower-case text.
    GivenLower(&'a Field),
    /// Whether a field was submitted with another value than the record has.
    Changed(&'a Field),
    /// A field of a record, perhaps behind relations.
    Chain(Chain<'a>),
}

#[derive(Debug)]
pub(super) struct Chain<'a> {
    pub start: Start<'a>,
    pub hops: Vec<Hop<'a>>,
    pub end: End<'a>,
}

#[derive(Debug)]
pub(super) enum Start<'a> {
    Record,
    Caller(&'a Record),
    /// Every record of a collection.
    Cross {
        collection: &'a Arc<Collection>,
        alias: Option<Box<str>>,
    },
    /// The records whose ids were submitted for a relation field.
    Body {
        field: &'a Field,
        collection: &'a Arc<Collection>,
    },
}

/// A relation, followed.
#[derive(Debug)]
pub(super) struct Hop<'a> {
    pub to: &'a Arc<Collection>,
    /// The relation field: of the collection before the hop, or for a back relation of the one after it.
    pub field: &'a Field,
    pub direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    /// `at_most_one`: a unique index on the relation field promises it.
    Back {
        at_most_one: bool,
    },
}

#[derive(Debug)]
pub(super) struct End<'a> {
    pub collection: &'a Arc<Collection>,
    pub field: &'a Field,
    pub read: Read,
}

/// What of the last field is asked for.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    Value,
    Lower,
    Length,
    Each,
    /// A part of a JSON value, as a path like `.a[0]`.
    Json {
        path: String,
        lower: bool,
    },
}

impl Chain<'_> {
    /// True if one record may lead to several values.
    pub(super) fn is_multiple(&self) -> bool {
        let start = match &self.start {
            Start::Record | Start::Caller(_) => false,
            Start::Cross { .. } => true,
            Start::Body { field, .. } => field.is_multiple(),
        };
        let each = self.end.read == Read::Each && self.end.field.is_multiple();
        start || each || self.hops.iter().any(Hop::is_multiple)
    }
}

impl Hop<'_> {
    pub(super) fn is_multiple(&self) -> bool {
        match self.direction {
            Direction::Forward => self.field.is_multiple(),
            Direction::Back { at_most_one } => !at_most_one,
        }
    }
}

impl<'a> Lookup<'a> {
    pub(super) fn resolve(&self, path: &Path) -> Result<Resolved<'a>, String> {
        match &path.root {
            Root::Record => {
                let chain = self.chain(Start::Record, self.collection, &path.parts, path.modifier)?;
                Ok(Resolved::Chain(chain))
            }
            Root::Cross { name, alias } => {
                let collection = self.find(name).ok_or_else(|| format!("unknown collection {name:?}"))?;
                self.may_join(collection)?;
                let start = Start::Cross { collection, alias: alias.clone() };
                Ok(Resolved::Chain(self.chain(start, collection, &path.parts, path.modifier)?))
            }
            Root::Auth => self.auth(path),
            Root::Body => self.body(path),
            Root::Query | Root::Headers | Root::Method | Root::Context => self.given(path),
        }
    }

    fn auth(&self, path: &Path) -> Result<Resolved<'a>, String> {
        const LOADED: [&str; 6] = ["id", "collectionId", "collectionName", "email", "emailVisibility", "verified"];
        let Some(caller) = self.request.caller.record() else { return Ok(Resolved::Null) };
        if let (None, [name]) = (path.modifier, &*path.parts)
            && LOADED.contains(&&**name)
        {
            return Ok(Resolved::Given);
        }
        let collection = self.schema.by_id(&caller.collection.id).unwrap_or(&caller.collection);
        self.lenient(self.walk(Start::Caller(caller), collection, &path.parts, path.modifier))
    }

    fn body(&self, path: &Path) -> Result<Resolved<'a>, String> {
        let Some((_, field)) = path.parts.first().and_then(|name| self.collection.field(name)) else {
            return self.given(path);
        };
        if path.parts.len() > 1 {
            let FieldKind::Relation(options) = &field.kind else { return self.given(path) };
            let collection = self.target(field, options)?;
            if super::given::ids(self.request, &field.name).is_empty() {
                return Ok(Resolved::Null);
            }
            let start = Start::Body { field, collection };
            return self.lenient(self.walk(start, collection, &path.parts[1..], path.modifier));
        }
        let list = || match field.kind {
            FieldKind::Select(_) | FieldKind::File(_) | FieldKind::Relation(_) => Ok(field),
            _ => Err(format!("field {:?} does not hold several values", field.name)),
        };
        match path.modifier {
            Some(Modifier::Length) => Ok(Resolved::GivenLength(list()?)),
            Some(Modifier::Each) => Ok(Resolved::GivenItems(list()?)),
            Some(Modifier::Lower) => Ok(Resolved::GivenLower(field)),
            Some(Modifier::Changed) => Ok(Resolved::Changed(field)),
            Some(Modifier::IsSet) | None => self.given(path),
        }
    }

    fn given(&self, path: &Path) -> Result<Resolved<'a>, String> {
        match path.modifier {
            None | Some(Modifier::Lower) => Ok(Resolved::Given),
            Some(Modifier::IsSet) => Ok(Resolved::IsSet),
            Some(modifier) => Err(format!("modifier {:?} cannot be used here", modifier.as_str())),
        }
    }

    /// What the request does not have is NULL, and so is what its records' collections do not have.
    fn lenient(&self, walked: Result<Result<Chain<'a>, Box<str>>, String>) -> Result<Resolved<'a>, String> {
        Ok(walked?.map_or(Resolved::Null, Resolved::Chain))
    }

    fn chain(
        &self,
        start: Start<'a>,
        from: &'a Arc<Collection>,
        parts: &[Box<str>],
        modifier: Option<Modifier>,
    ) -> Result<Chain<'a>, String> {
        self.walk(start, from, parts, modifier)?.map_err(|part| match parts.last() {
            Some(last) if **last == *part => format!("unknown field {part:?}"),
            _ => format!("failed to resolve field {part:?}"),
        })
    }

    /// Follows the parts from a collection. The inner error is a name that is unknown.
    fn walk(
        &self,
        start: Start<'a>,
        from: &'a Arc<Collection>,
        parts: &[Box<str>],
        modifier: Option<Modifier>,
    ) -> Result<Result<Chain<'a>, Box<str>>, String> {
        let Some((last, inner)) = parts.split_last() else { return Ok(Err(Box::default())) };
        let mut hops: Vec<Hop<'a>> = Vec::new();
        let mut at = from;
        for (index, part) in inner.iter().enumerate() {
            let field = self.field(at, part)?;
            if let Some(field) = field
                && matches!(field.kind, FieldKind::Json(_) | FieldKind::GeoPoint(_))
            {
                let read =
                    Read::Json { path: json_path(&parts[index + 1..]), lower: modifier == Some(Modifier::Lower) };
                return Ok(Ok(Chain { start, hops, end: End { collection: at, field, read } }));
            }
            if index >= MAX_HOPS {
                return Err(format!("more than {MAX_HOPS} relations in a path, at {part:?}"));
            }
            let hop = match field {
                Some(field) => {
                    let FieldKind::Relation(options) = &field.kind else {
                        return Err(format!("field {part:?} is not a relation"));
                    };
                    let to = self.target(field, options)?;
                    // The id of a single relation is the column itself.
                    if !field.is_multiple() && index + 2 == parts.len() && &**last == "id" && modifier.is_none() {
                        return Ok(Ok(Chain { start, hops, end: End { collection: at, field, read: Read::Value } }));
                    }
                    Hop { to, field, direction: Direction::Forward }
                }
                None => match self.back(at, part)? {
                    Some(_) if self.unborn && hops.is_empty() && matches!(start, Start::Record) => {
                        return Err(format!("nothing can refer to a record that does not exist yet: {part:?}"));
                    }
                    Some(hop) => hop,
                    None => return Ok(Err(part.clone())),
                },
            };
            self.may_join(hop.to)?;
            at = hop.to;
            hops.push(hop);
        }
        let Some(field) = self.field(at, last)? else { return Ok(Err(last.clone())) };
        Ok(Ok(Chain { start, hops, end: End { collection: at, field, read: read(field, modifier) } }))
    }

    /// A field by name; refused if it is hidden from the one who names it.
    fn field(&self, collection: &'a Arc<Collection>, name: &str) -> Result<Option<&'a Field>, String> {
        match collection.field(name) {
            Some((_, field)) if field.hidden && !self.trusted => Err(format!("field {name:?} cannot be used here")),
            found => Ok(found.map(|(_, field)| field)),
        }
    }

    /// `COLLECTION_via_FIELD`
    fn back(&self, at: &'a Arc<Collection>, part: &str) -> Result<Option<Hop<'a>>, String> {
        let Some((name, via)) = part.rsplit_once("_via_") else { return Ok(None) };
        let Some(collection) = self.find(name) else { return Ok(None) };
        let Some(field) = self.field(collection, via)? else { return Ok(None) };
        match &field.kind {
            FieldKind::Relation(options) if options.collection_id == at.id => {}
            _ => return Ok(None),
        }
        let at_most_one = !field.is_multiple() && indexes::single_unique(&collection.indexes, via).is_some();
        Ok(Some(Hop { to: collection, field, direction: Direction::Back { at_most_one } }))
    }

    fn target(&self, field: &Field, options: &Relation) -> Result<&'a Arc<Collection>, String> {
        self.find(&options.collection_id).ok_or_else(|| format!("the collection of field {:?} is missing", field.name))
    }

    fn find(&self, id_or_name: &str) -> Option<&'a Arc<Collection>> {
        if id_or_name == self.collection.id || id_or_name == self.collection.name {
            return Some(self.collection);
        }
        self.schema.find(id_or_name)
    }

    /// Records that a caller could not list in any case must not decide what he finds elsewhere.
    fn may_join(&self, collection: &Collection) -> Result<(), String> {
        match collection.rules.list {
            Rule::Sealed if !self.trusted => Err(format!("only superusers can use {:?} here", collection.name)),
            _ => Ok(()),
        }
    }
}

/// A modifier that does not fit the field is ignored.
fn read(field: &Field, modifier: Option<Modifier>) -> Read {
    let is_list = matches!(field.kind, FieldKind::Select(_) | FieldKind::File(_) | FieldKind::Relation(_));
    let lower = modifier == Some(Modifier::Lower);
    match modifier {
        Some(Modifier::Length) if is_list => Read::Length,
        Some(Modifier::Each) if is_list => Read::Each,
        // A scalar stored as JSON compares as that scalar.
        _ if matches!(field.kind, FieldKind::Json(_)) => Read::Json { path: String::new(), lower },
        _ if lower => Read::Lower,
        _ => Read::Value,
    }
}

/// Parts that are numbers are indexes of lists.
fn json_path(parts: &[Box<str>]) -> String {
    let step = |part: &str| match part.parse::<u32>() {
        Ok(index) => format!("[{index}]"),
        Err(_) => format!(".{part}"),
    };
    parts.iter().map(|part| step(part)).collect()
}
