//! The tree as SQL: operands become terms, relations become joins, literals become parameters.
//!
//! One [`Builder`] serves one query. Everything that depends on values and not on the form of a filter is a parameter, so
//! that the same form gives the same text, for which SQLite keeps a prepared statement.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use headwater_actors::Value;

use super::QueryError;
use super::compare::{self, Bind, Form, Nulls, Rows, Term};
use super::joins::{Joins, Key, Origin, Row, Source, Typing, expression, joined};
use super::literal::Literal;
use super::path::{Modifier, Path, Root};
use super::resolve::{Chain, Direction, Hop, Lookup, Read, Resolved, Start};
use super::tree::{Comparison, Filter, Op, Operand, Sign, Strftime};
use super::{given, parse, sql};
use crate::records::Record;
use crate::request::RequestInfo;
use crate::schema::{Collection, Field, FieldKind, Rule, Schema};

/// Code points from which on a text field may hold a long text.
const LONG_TEXT: i64 = 16_000;

pub(super) struct Builder<'a> {
    schema: &'a Schema,
    request: &'a RequestInfo,
    /// When macros are taken; the same for the whole query.
    now: Option<DateTime<Utc>>,
    pub params: Vec<Value>,
    /// Values of records that are bound already, with the parameter that holds them.
    bound: Vec<(&'a Record, usize, String)>,
    pub joins: Joins,
    aliases: usize,
    scopes: usize,
    /// Joined collections whose list rule is still to be added, by the alias of their rows.
    listed: Vec<Listed<'a>>,
    /// `strftime` may be asked for the time of now.
    has_strftime: bool,
}

struct Listed<'a> {
    alias: usize,
    collection: &'a Arc<Collection>,
    added: bool,
}

/// What the names of a filter refer to.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub collection: &'a Arc<Collection>,
    /// The row of that collection.
    pub source: Source<'a>,
    /// Written by the owner, or asked by a superuser.
    pub trusted: bool,
    /// Told apart from other scopes of the query, which have `@collection` rows of their own.
    number: usize,
}

impl Bind for Builder<'_> {
    fn bind(&mut self, value: Value) -> String {
        self.params.push(value);
        format!("?{}", self.params.len())
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(schema: &'a Schema, request: &'a RequestInfo) -> Builder<'a> {
        Builder {
            schema,
            request,
            now: None,
            params: Vec::new(),
            bound: Vec::new(),
            joins: Joins::default(),
            aliases: 0,
            scopes: 0,
            listed: Vec::new(),
            has_strftime: false,
        }
    }

    /// True if what was built so far may mean something else later.
    pub(super) fn asks_the_clock(&self) -> bool {
        self.now.is_some() || self.has_strftime
    }

    /// Macros are taken at this moment.
    #[cfg(test)]
    pub(super) fn set_now(&mut self, now: DateTime<Utc>) {
        self.now = Some(now);
    }

    /// The scope of the collection being queried.
    pub(super) fn base(&self, collection: &'a Arc<Collection>, source: Source<'a>, trusted: bool) -> Scope<'a> {
        Scope { collection, source, trusted, number: 0 }
    }

    /// A filter as a condition that can stand beside AND.
    pub(super) fn condition(&mut self, scope: &Scope<'a>, filter: &Filter) -> Result<String, QueryError> {
        let (members, join) = match filter {
            Filter::Compare(comparison) => return self.comparison(scope, comparison),
            Filter::All(members) => (members, " AND "),
            Filter::Any(members) => (members, " OR "),
        };
        let members: Result<Vec<String>, QueryError> = members.iter().map(|m| self.condition(scope, m)).collect();
        Ok(format!("({})", members?.join(join)))
    }

    /// The list rules of the collections that untrusted paths have joined since the last call. Each is asked of the
    /// joined row, at the top of the query; a row that is not there needs no permission.
    pub(super) fn list_rules(&mut self) -> Result<Vec<String>, QueryError> {
        let mut conditions = Vec::new();
        while let Some(listed) = self.listed.iter_mut().find(|listed| !listed.added) {
            listed.added = true;
            let (alias, collection) = (listed.alias, listed.collection);
            let Rule::When(rule) = &collection.rules.list else { continue };
            self.scopes += 1;
            let scope = Scope { collection, source: Source::Table(alias), trusted: true, number: self.scopes };
            let filter = parse(rule)?;
            let condition = self.condition(&scope, &filter)?;
            let id = joined(alias, "id");
            conditions.push(format!("({id} = '' OR {id} IS NULL OR {condition})"));
        }
        Ok(conditions)
    }

    /// The operand of a sort: an expression over columns, never a value.
    pub(super) fn sort_term(&mut self, scope: &Scope<'a>, path: &Path) -> Result<String, String> {
        match self.path(scope, path, false)?.form {
            Form::Sql { text, .. } | Form::Pattern { text, .. } => Ok(text),
            Form::Known { .. } => Err("does not depend on the record".to_owned()),
        }
    }

    /// A path as an expression over a row. None if all of several rows would have to be asked.
    pub(super) fn value(&mut self, scope: &Scope<'a>, path: &Path, any: bool) -> Result<Option<String>, String> {
        let term = self.path(scope, path, !any)?;
        Ok(if term.rows.is_some() { None } else { Some(compare::written(&term, self)) })
    }

    fn comparison(&mut self, scope: &Scope<'a>, comparison: &Comparison) -> Result<String, QueryError> {
        let Comparison { left, sign, right } = comparison;
        let wrong = |side, operand: &Operand, reason| {
            QueryError::Invalid(format!("invalid {side} operand {:?} - {reason}", name_of(operand)))
        };
        let left_term = self.operand(scope, left, !sign.any).map_err(|reason| wrong("left", left, reason))?;
        let right_term = self.operand(scope, right, !sign.any).map_err(|reason| wrong("right", right, reason))?;
        Ok(compare::comparison(&left_term, *sign, &right_term, self))
    }

    /// `all`: every row of a multi-valued path will be asked for.
    fn operand(&mut self, scope: &Scope<'a>, operand: &Operand, all: bool) -> Result<Term, String> {
        match operand {
            Operand::Number(number) => Ok(Term::known(Literal::Number(*number))),
            Operand::Text(text) => Ok(Term::known(Literal::Text(text.to_string()))),
            Operand::Macro(name) => {
                let now = *self.now.get_or_insert_with(Utc::now);
                Ok(Term::known(Literal::from_value(&name.at(now))))
            }
            Operand::Path(path) => {
                self.path(scope, path, all).or_else(|reason| word(path).map(Term::known).ok_or(reason))
            }
            Operand::GeoDistance(arguments) => self.geo_distance(scope, arguments),
            Operand::Strftime(call) => self.strftime(scope, call, all),
        }
    }

    fn geo_distance(&mut self, scope: &Scope<'a>, arguments: &[Operand; 4]) -> Result<Term, String> {
        let mut guard = None;
        let mut texts = Vec::with_capacity(4);
        for argument in arguments {
            let term = self.operand(scope, argument, false)?;
            texts.push(compare::written(&term, self));
            guard = guard.or(term.guard);
        }
        let call = format!("{}({})", super::functions::GEO_DISTANCE, texts.join(", "));
        Ok(Term { nulls: Nulls::Distinct, guard, ..Term::sql(call) })
    }

    fn strftime(&mut self, scope: &Scope<'a>, call: &Strftime, all: bool) -> Result<Term, String> {
        self.has_strftime = true;
        let format = self.bind(Value::Text(call.format.to_string()));
        let Some(time) = &call.time else { return Ok(Term::pattern(format!("strftime({format})"))) };
        let time = self.operand(scope, time, all)?;
        let mut modifiers = String::new();
        for modifier in &call.modifiers {
            modifiers.push_str(", ");
            modifiers.push_str(&self.bind(Value::Text(modifier.to_string())));
        }
        let written = compare::written(&time, self);
        let of = |time: &str| format!("strftime({format}, {time}{modifiers})");
        let rows = time.rows.map(|rows| Rows { value: of(&rows.value), joins: rows.joins });
        Ok(Term { rows, guard: time.guard, ..Term::pattern(of(&written)) })
    }

    fn path(&mut self, scope: &Scope<'a>, path: &Path, all: bool) -> Result<Term, String> {
        let lookup = Lookup {
            schema: self.schema,
            request: self.request,
            collection: scope.collection,
            trusted: scope.trusted,
            unborn: matches!(scope.source, Source::Record(_, Typing::Bare)),
        };
        let lower = path.modifier == Some(Modifier::Lower);
        match lookup.resolve(path)? {
            Resolved::Null => Ok(Term::known(Literal::Null)),
            Resolved::Given => {
                let value = match path.root {
                    Root::Auth => self.caller_value(path),
                    Root::Body => given::body(self.request, scope.collection, &path.parts),
                    _ => given::find(self.request, &path.root, &path.parts),
                };
                let value = value.map_or(Literal::Null, |v| given::as_number(v, scope.collection, &path.parts));
                Ok(Term::of(Form::Known { value, lower }))
            }
            Resolved::IsSet => {
                let found = given::find(self.request, &path.root, &path.parts).is_some();
                Ok(Term::known(Literal::Integer(found.into())))
            }
            Resolved::GivenLength(field) => {
                let length = given::items(self.request, &field.name).len();
                Ok(Term::known(Literal::Integer(length as i64)))
            }
            Resolved::GivenLower(field) => {
                let value = Literal::Text(given::body_text(self.request, field));
                Ok(Term::of(Form::Known { value, lower: true }))
            }
            Resolved::GivenItems(field) => self.body_items(scope, field, all),
            Resolved::Changed(field) => self.changed(scope, field),
            Resolved::Chain(chain) => self.chain(scope, &chain, all),
        }
    }

    /// What is known of the caller without looking at any column.
    fn caller_value(&self, path: &Path) -> Option<Literal> {
        let caller = self.request.caller.record()?;
        let name = path.parts.first()?;
        match &**name {
            "collectionId" => Some(Literal::Text(caller.collection.id.clone())),
            "collectionName" => Some(Literal::Text(caller.collection.name.clone())),
            "emailVisibility" | "verified" => Some(Literal::Bool(caller.flag(name))),
            _ => Some(Literal::Text(caller.text(name).to_owned())),
        }
    }

    /// `@request.body.F:isset = true && @request.body.F != F`, as a value.
    fn changed(&mut self, scope: &Scope<'a>, field: &Field) -> Result<Term, String> {
        let of = |root| Operand::Path(Path { root, parts: vec![field.name.as_str().into()], modifier: None });
        let text = if self.request.body.contains_key(&field.name) {
            let sign = Sign { op: Op::NotEqual, any: false };
            let differs = Comparison { left: of(Root::Body), sign, right: of(Root::Record) };
            let condition = self.comparison(scope, &differs).map_err(|error| error.to_string())?;
            format!("({condition})")
        } else {
            "0".to_owned()
        };
        Ok(Term { nulls: Nulls::Distinct, ..Term::sql(text) })
    }

    fn body_items(&mut self, scope: &Scope<'a>, field: &'a Field, all: bool) -> Result<Term, String> {
        let key = Key::BodyItems { scope: scope.number, field: field.name.as_str().into() };
        let items = given::items(self.request, &field.name);
        let list = serde_json::to_string(&items).map_err(|error| error.to_string())?;
        let shared = match self.joins.find(&key) {
            Some(alias) => alias,
            None => {
                let table = format!("json_each({})", self.bind(Value::Text(list.clone())));
                let alias = self.alias();
                self.joins.push(key.clone(), alias, &table, None, true)?;
                alias
            }
        };
        let rows = if all && field.is_multiple() {
            let table = format!("json_each({})", self.bind(Value::Text(list)));
            let (alias, mut joins) = (self.alias(), Joins::default());
            joins.push(key, alias, &table, None, true)?;
            Some(Rows { joins: joins.to_sql(), value: joined(alias, "value") })
        } else {
            None
        };
        Ok(Term { rows, ..Term::of(Form::Sql { text: joined(shared, "value"), given: true }) })
    }

    fn chain(&mut self, scope: &Scope<'a>, chain: &Chain<'a>, all: bool) -> Result<Term, String> {
        let mut joins = std::mem::take(&mut self.joins);
        let placed = self.place(scope, chain, &mut joins, true);
        self.joins = joins;
        let (text, row) = placed?;
        let end = &chain.end;
        let plain = matches!(end.read, Read::Value | Read::Lower);
        let private = plain && !scope.trusted && end.field.name == "email" && end.collection.is_auth();
        let guard = private.then(|| format!("{} = 1", self.column(row, end.collection, "emailVisibility")));
        let rows = if all && chain.is_multiple() {
            let mut joins = Joins::default();
            let (mut value, row) = self.place(scope, chain, &mut joins, false)?;
            if private {
                // Nor may it be guessed by what would fail if it were something else.
                value = format!("IIF({} = 1, {value}, NULL)", self.column(row, end.collection, "emailVisibility"));
            }
            Some(Rows { joins: joins.to_sql(), value })
        } else {
            None
        };
        let nulls = if matches!(end.read, Read::Json { .. }) { Nulls::Distinct } else { Nulls::Empty };
        // Other fields have limits of their own; lists of ids and names stay far below.
        let is_long = match &end.field.kind {
            FieldKind::Editor(_) | FieldKind::Json(_) => true,
            FieldKind::Text(options) => options.max > LONG_TEXT,
            _ => false,
        };
        Ok(Term { form: Form::Sql { text, given: false }, nulls, rows, guard, is_long })
    }

    /// Adds the joins of a chain that are not there yet. Returns its value and the row that holds it.
    /// `main`: the joins are those of the query, not private ones of a subquery.
    fn place(
        &mut self,
        scope: &Scope<'a>,
        chain: &Chain<'a>,
        joins: &mut Joins,
        main: bool,
    ) -> Result<(String, Source<'a>), String> {
        let (mut source, mut at) = match &chain.start {
            Start::Record => (scope.source, scope.collection),
            Start::Caller(caller) => {
                let collection = self.schema.by_id(&caller.collection.id).unwrap_or(&caller.collection);
                (Source::Record(caller, Typing::AsColumn), collection)
            }
            Start::Cross { collection, alias } => {
                let name = collection.id.as_str().into();
                let key = Key::Cross { scope: scope.number, collection: name, alias: alias.clone() };
                let alias = self.join(joins, key, &sql::quoted(&collection.name), true, |_, _| None)?;
                self.note_list_rule(scope, main, alias, collection);
                (Source::Table(alias), *collection)
            }
            Start::Body { field, collection } => {
                let key = Key::Body { scope: scope.number, field: field.name.as_str().into() };
                let ids = given::ids(self.request, &field.name);
                let many = ids.len() > 1 || field.is_multiple();
                let list = serde_json::to_string(&ids).map_err(|error| error.to_string())?;
                let alias = self.join(joins, key, &sql::quoted(&collection.name), many, |builder, alias| {
                    let list = builder.bind(Value::Text(list));
                    Some(format!("{} IN (SELECT value FROM json_each({list}))", joined(alias, "id")))
                })?;
                self.note_list_rule(scope, main, alias, collection);
                (Source::Table(alias), *collection)
            }
        };
        for hop in &chain.hops {
            let alias = self.hop(scope, source, at, hop, joins)?;
            self.note_list_rule(scope, main, alias, hop.to);
            (source, at) = (Source::Table(alias), hop.to);
        }
        let end = &chain.end;
        let value = if end.read == Read::Each {
            joined(self.items(scope, source, at, end.field, joins)?, "value")
        } else {
            expression(self.column(source, at, &end.field.name), &end.read)
        };
        Ok((value, source))
    }

    /// Joins the collection behind a relation.
    fn hop(
        &mut self,
        scope: &Scope<'a>,
        from: Source<'a>,
        at: &'a Arc<Collection>,
        hop: &Hop<'a>,
        joins: &mut Joins,
    ) -> Result<usize, String> {
        let origin = origin(scope, from);
        let table = sql::quoted(&hop.to.name);
        let field: Box<str> = hop.field.name.as_str().into();
        match hop.direction {
            Direction::Forward => {
                let id = match hop.field.is_multiple() {
                    true => joined(self.items(scope, from, at, hop.field, joins)?, "value"),
                    false => self.column(from, at, &field),
                };
                let key = Key::Forward { from: origin, field };
                self.join(joins, key, &table, false, |_, alias| Some(format!("{} = {id}", joined(alias, "id"))))
            }
            Direction::Back { .. } => {
                let id = self.column(from, at, "id");
                let is_list = hop.field.is_multiple();
                let key = Key::Back { from: origin, collection: hop.to.id.as_str().into(), field };
                // Several rows even where there is a unique index: it may have a condition.
                self.join(joins, key, &table, true, |_, alias| {
                    let column = joined(alias, &hop.field.name);
                    Some(match is_list {
                        true => format!("{id} IN (SELECT value FROM {})", sql::items(&column)),
                        false => format!("{column} = {id}"),
                    })
                })
            }
        }
    }

    /// Joins the items of a list column.
    fn items(
        &mut self,
        scope: &Scope<'a>,
        from: Source<'a>,
        at: &'a Arc<Collection>,
        field: &Field,
        joins: &mut Joins,
    ) -> Result<usize, String> {
        let key = Key::Items { from: origin(scope, from), field: field.name.as_str().into() };
        let table = sql::items(&self.column(from, at, &field.name));
        self.join(joins, key, &table, field.is_multiple(), |_, _| None)
    }

    /// The alias of a join, which is added if there is none with this key.
    fn join(
        &mut self,
        joins: &mut Joins,
        key: Key,
        table: &str,
        many: bool,
        on: impl FnOnce(&mut Self, usize) -> Option<String>,
    ) -> Result<usize, String> {
        if let Some(alias) = joins.find(&key) {
            return Ok(alias);
        }
        let alias = self.alias();
        let on = on(self, alias);
        joins.push(key, alias, table, on, many)?;
        Ok(alias)
    }

    fn alias(&mut self) -> usize {
        self.aliases += 1;
        self.aliases
    }

    fn note_list_rule(&mut self, scope: &Scope<'a>, main: bool, alias: usize, collection: &'a Arc<Collection>) {
        if main && !scope.trusted && !self.listed.iter().any(|listed| listed.alias == alias) {
            self.listed.push(Listed { alias, collection, added: false });
        }
    }

    /// A column of a row.
    pub(super) fn column(&mut self, source: Source<'a>, collection: &Collection, name: &str) -> String {
        let (record, typing) = match source {
            Source::Table(alias) => return joined(alias, name),
            Source::Record(record, typing) => (record, typing),
        };
        let Some((index, field)) = collection.field(name) else { return "NULL".to_owned() };
        if let Some((_, _, text)) =
            self.bound.iter().find(|(r, i, _)| std::ptr::eq::<Record>(*r, record) && *i == index)
        {
            return text.clone();
        }
        let mut value = record.get(name).cloned().unwrap_or(Value::Null);
        let cast = if typing == Typing::AsColumn { affinity(field, &value) } else { None };
        // A number that no column has touched yet is a float, which shows where it is read as text.
        if let (Typing::Bare, FieldKind::Number(_), Value::Integer(number)) = (typing, &field.kind, &value) {
            value = Value::Real(*number as f64);
        }
        let mut text = self.bind(value);
        if let Some(affinity) = cast {
            text = format!("CAST({text} AS {affinity})");
        }
        self.bound.push((record, index, text.clone()));
        text
    }
}

/// The affinity that a column gives to comparisons with it, where a cast can give it to a value without changing it.
/// JSON columns hold texts that are no numbers, for which it makes no difference.
fn affinity(field: &Field, value: &Value) -> Option<&'static str> {
    let is_json = field.is_multiple() || matches!(field.kind, FieldKind::Json(_) | FieldKind::GeoPoint(_));
    let is_number = matches!(field.kind, FieldKind::Number(_) | FieldKind::Bool(_));
    match value {
        _ if is_json => None,
        Value::Text(_) | Value::Blob(_) if is_number => None,
        _ if is_number => Some("NUMERIC"),
        _ => Some("TEXT"),
    }
}

fn origin(scope: &Scope<'_>, source: Source<'_>) -> Origin {
    let row = match source {
        Source::Table(alias) => Row::Table(alias),
        Source::Record(record, _) => match scope.source {
            Source::Record(base, _) if std::ptr::eq(base, record) => Row::Base,
            _ => Row::Caller,
        },
    };
    Origin { scope: scope.number, row }
}

/// `null`, `true` and `false`, where no field has that name.
pub(super) fn word(path: &Path) -> Option<Literal> {
    let word = path.as_word()?;
    let words = [("null", Literal::Null), ("true", Literal::Integer(1)), ("false", Literal::Integer(0))];
    words.into_iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, value)| value)
}

fn name_of(operand: &Operand) -> String {
    match operand {
        Operand::Text(text) => text.to_string(),
        Operand::GeoDistance(_) => "geoDistance".to_owned(),
        Operand::Strftime(_) => "strftime".to_owned(),
        other => other.to_string(),
    }
}
