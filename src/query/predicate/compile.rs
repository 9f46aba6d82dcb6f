//! The tree with its names looked up, for each kind of caller.
//!
//! The SQL form is made once for each kind too: what it refuses (unknown names, too many joins) is not answered here.

use std::sync::Arc;

use super::reach::{self, Reach};
use super::solve;
use super::{AuthRead, Class, Column, Compare, Elsewhere, Kind, Node, Operand, Predicate, Read};
use crate::query::literal::Literal;
use crate::query::path::{Modifier, Path, Root};
use crate::query::resolve::{self, Chain, Lookup, Resolved};
use crate::query::tree::{self, Comparison, Filter};
use crate::query::{Base, QueryError, Select, parse};
use crate::records::Record;
use crate::request::{Caller, RequestInfo};
use crate::schema::{Collection, Field, FieldKind, Schema};

const FUNCTION: &str = "it calls a function";
const RELATION: &str = "it follows a relation";
const COLLECTION: &str = "it looks at other records";
const ITEMS: &str = "it looks at each item of a list";
const JSON: &str = "it looks into a JSON value";
const BODY: &str = "it reads the body";
const ADDRESS: &str = "it reads an e-mail address";
const UNKNOWN: &str = "it names what does not exist";

pub(super) fn rule(schema: &Schema, collection: &Arc<Collection>, text: &str) -> Predicate {
    let blank = Record::blank(collection.clone());
    let refused =
        |request: &RequestInfo| Select::new(schema, collection, request, Base::Snapshot(&blank)).rule(text).err();
    let callers = schema.collections().iter().filter(|c| c.is_auth() && !c.is_superusers());
    let requests = callers.map(|collection| {
        let caller = Caller::of(Arc::new(Record::blank(collection.clone())));
        (collection.clone(), RequestInfo { caller, ..RequestInfo::default() })
    });
    compile(schema, collection, text, true, requests.collect(), refused)
}

pub(super) fn filter(schema: &Schema, collection: &Arc<Collection>, text: &str) -> Predicate {
    let blank = Record::blank(collection.clone());
    let refused =
        |request: &RequestInfo| Select::new(schema, collection, request, Base::Snapshot(&blank)).filter(text).err();
    // Such a filter cannot name its caller; still he is looked up.
    let callers = schema.collections().iter().filter(|c| c.is_auth() && !c.is_superusers());
    let requests = callers.map(|collection| (collection.clone(), RequestInfo::default()));
    compile(schema, collection, text, false, requests.collect(), refused)
}

fn compile(
    schema: &Schema,
    collection: &Arc<Collection>,
    text: &str,
    trusted: bool,
    requests: Vec<(Arc<Collection>, RequestInfo)>,
    refused: impl Fn(&RequestInfo) -> Option<QueryError>,
) -> Predicate {
    let guest = RequestInfo::default();
    let refusal = refused(&guest);
    let mut compiler = Compiler {
        lookup: Lookup { schema, request: &guest, collection, trusted, unborn: false },
        paths: Vec::new(),
        elsewhere: Vec::new(),
    };
    let tree = match parse(text) {
        Ok(filter) => compiler.node(&filter),
        // Refused for everybody, see below.
        Err(_) => Node::Any(Vec::new()),
    };
    let Compiler { paths, mut elsewhere, .. } = compiler;
    let kinds: Vec<Kind> = requests
        .iter()
        .map(|(caller, request)| {
            let lookup = Lookup { schema, request, collection, trusted, unborn: false };
            let reads = paths.iter().map(|path| auth_read(&lookup, path)).collect();
            Kind { collection: caller.clone(), refused: refused(request).is_some(), reads }
        })
        .collect();
    for (index, path) in paths.iter().enumerate() {
        for kind in &kinds {
            if let AuthRead::Elsewhere(reason) = kind.reads[index] {
                let reason = format!("{reason}, for records of {}", kind.collection.name);
                elsewhere.push(Elsewhere { part: path.to_string(), reason });
            }
        }
    }
    if let Some(error) = &refusal {
        elsewhere.insert(0, Elsewhere { part: text.to_owned(), reason: format!("it is refused: {error}") });
    }
    // Nobody is found by what only SQL can read.
    let is_read = |path: usize| !kinds.iter().any(|kind| matches!(kind.reads[path], AuthRead::Elsewhere(_)));
    let spread = reach::spread(&tree);
    // What clients write is asked together with the rules of what it joins.
    let solvable = spread.as_ref().filter(|_| trusted && !elsewhere.is_empty());
    let alternatives = solvable.and_then(|spread| solve::alternatives(spread, &paths));
    let alternatives = alternatives.filter(|all| all.iter().any(solve::Alternative::asks_sql));
    let reach = spread.and_then(|spread| Reach::of(&spread, alternatives.as_deref(), is_read));
    Predicate {
        collection: collection.clone(),
        tree,
        paths,
        refuses_guests: refusal.is_some(),
        kinds,
        elsewhere,
        reach,
        alternatives,
    }
}

struct Compiler<'a> {
    lookup: Lookup<'a>,
    paths: Vec<Path>,
    elsewhere: Vec<Elsewhere>,
}

impl Compiler<'_> {
    fn node(&mut self, filter: &Filter) -> Node {
        match filter {
            Filter::All(members) => Node::All(members.iter().map(|member| self.node(member)).collect()),
            Filter::Any(members) => Node::Any(members.iter().map(|member| self.node(member)).collect()),
            Filter::Compare(comparison) => self.comparison(comparison).unwrap_or_else(|reason| {
                self.elsewhere.push(Elsewhere { part: comparison.to_string(), reason: reason.to_owned() });
                // The caller's side of it may still find him.
                if let Some((_, caller)) = solve::link(comparison) {
                    self.auth(caller);
                }
                Node::Elsewhere(Arc::new(comparison.clone()))
            }),
        }
    }

    /// `?=` and `=` are one: nothing that is answered here has more than one row.
    fn comparison(&mut self, comparison: &Comparison) -> Result<Node, &'static str> {
        let left = self.operand(&comparison.left)?;
        let right = self.operand(&comparison.right)?;
        let compare = Compare { left, op: comparison.sign.op, right, text: comparison.to_string() };
        Ok(Node::Compare(Arc::new(compare)))
    }

    fn operand(&mut self, operand: &tree::Operand) -> Result<Operand, &'static str> {
        match operand {
            tree::Operand::Number(number) => Ok(Operand::Literal(Literal::Number(*number))),
            tree::Operand::Text(text) => Ok(Operand::Literal(Literal::Text(text.to_string()))),
            tree::Operand::Macro(name) => Ok(Operand::Macro(*name)),
            tree::Operand::GeoDistance(_) | tree::Operand::Strftime(_) => Err(FUNCTION),
            tree::Operand::Path(path) => self.path(path),
        }
    }

    fn path(&mut self, path: &Path) -> Result<Operand, &'static str> {
        match &path.root {
            Root::Auth => Ok(Operand::Auth(self.auth(path))),
            Root::Body => Err(BODY),
            Root::Cross { .. } => Err(COLLECTION),
            Root::Query | Root::Headers | Root::Method | Root::Context => match self.lookup.resolve(path) {
                Ok(Resolved::Given | Resolved::IsSet) => {
                    let is_number = is_number(self.lookup.collection, path);
                    Ok(Operand::Given { path: path.clone(), is_number })
                }
                _ => Err(UNKNOWN),
            },
            Root::Record => match self.lookup.resolve(path) {
                Ok(Resolved::Chain(chain)) if !self.lookup.trusted && is_address(&chain) => Err(ADDRESS),
                Ok(Resolved::Chain(chain)) => Ok(Operand::Column(column(&chain)?)),
                Ok(_) => Err(UNKNOWN),
                Err(_) => crate::query::to_sql::word(path).map(Operand::Literal).ok_or(UNKNOWN),
            },
        }
    }

    fn auth(&mut self, path: &Path) -> usize {
        match self.paths.iter().position(|known| known == path) {
            Some(index) => index,
            None => {
                self.paths.push(path.clone());
                self.paths.len() - 1
            }
        }
    }
}

fn auth_read(lookup: &Lookup<'_>, path: &Path) -> AuthRead {
    match lookup.resolve(path) {
        Ok(Resolved::Null) => AuthRead::Null,
        Ok(Resolved::Given) => {
            let name = path.parts.first().cloned().unwrap_or_default();
            AuthRead::Loaded { name, is_number: is_number(lookup.collection, path) }
        }
        Ok(Resolved::Chain(chain)) => column(&chain).map_or_else(AuthRead::Elsewhere, AuthRead::Column),
        Ok(_) | Err(_) => AuthRead::Elsewhere(UNKNOWN),
    }
}

/// The column that a chain ends in without leaving its record.
fn column(chain: &Chain<'_>) -> Result<Column, &'static str> {
    if !chain.hops.is_empty() {
        return Err(RELATION);
    }
    let end = &chain.end;
    let read = match end.read {
        resolve::Read::Value => Read::Value,
        resolve::Read::Lower => Read::Lower,
        resolve::Read::Length => Read::Length,
        resolve::Read::Each => return Err(ITEMS),
        resolve::Read::Json { .. } => return Err(JSON),
    };
    let name = end.field.name.as_str();
    let index = end.collection.position(name).ok_or(UNKNOWN)?;
    Ok(Column { index, name: name.into(), class: class(end.field), read })
}

/// As `to_sql` casts the values of a snapshot.
fn class(field: &Field) -> Class {
    match field.kind {
        _ if field.is_multiple() => Class::Bare,
        FieldKind::Json(_) | FieldKind::GeoPoint(_) => Class::Bare,
        FieldKind::Number(_) | FieldKind::Bool(_) => Class::Number,
        _ => Class::Text,
    }
}

fn is_address(chain: &Chain<'_>) -> bool {
    chain.end.field.name == "email" && chain.end.collection.is_auth()
}

/// Whether a text under this name is read as a number; see `given::as_number`.
fn is_number(collection: &Collection, path: &Path) -> bool {
    let field = path.parts.last().and_then(|name| collection.field(name));
    path.modifier != Some(Modifier::IsSet) && field.is_some_and(|(_, field)| matches!(field.kind, FieldKind::Number(_)))
}
