//! Who may do what: the collection's rule for an action, as a statement that is asked inside the job or read.

use std::sync::Arc;

use chrono::Utc;
use headwater_actors::Action;
use rusqlite::Connection;

use super::shows::manage_rule;
use super::{Authority, Record, RecordError};
use crate::app::App;
use crate::query::{Base, Predicates, Select, Statement};
use crate::request::RequestInfo;
use crate::schema::{Collection, Rule, Schema};

/// What stands between a caller and an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gate<'a> {
    Open,
    When(&'a str),
}

impl<'a> Gate<'a> {
    /// Refuses where the rule is sealed, before anything is looked up.
    pub fn of(rule: &'a Rule, request: &RequestInfo, authority: Authority) -> Result<Gate<'a>, RecordError> {
        if authority == Authority::System || request.caller.is_superuser() {
            return Ok(Gate::Open);
        }
        match rule {
            Rule::Sealed => Err(RecordError::SuperusersOnly),
            Rule::Open => Ok(Gate::Open),
            Rule::When(text) => Ok(Gate::When(text)),
        }
    }

    /// The gate, or an open one if its rule is met whatever the record is, like `@request.auth.id != ""`: so that reads
    /// need no SQL for it. Only for them: a write asks its rule inside its transaction, of the caller as he is at that moment.
    pub fn settle(
        self,
        predicates: &Predicates,
        schema: &Arc<Schema>,
        collection: &Arc<Collection>,
        request: &RequestInfo,
    ) -> Gate<'a> {
        match self {
            Gate::When(rule) if predicates.rule(schema, collection, rule).holds_anyhow(request, Utc::now()) => {
                Gate::Open
            }
            gate => gate,
        }
    }

    /// True if its answer depends on the body.
    pub fn reads_body(self) -> bool {
        matches!(self, Gate::When(text) if text.contains("@request.body"))
    }
}

/// True if anything that is asked about the request may look at its body: the gate, the manage rule, rules of records
/// that are expanded, or a hook.
pub(crate) fn body_is_read(app: &App, collection: &Collection, request: &RequestInfo, gate: Gate<'_>) -> bool {
    gate.reads_body()
        || manage_rule(collection).is_some_and(|rule| rule.contains("@request.body"))
        || request.query.contains_key("expand")
        || !app.record_hooks.are_empty()
}

/// The rule of a collection for an action that changes records.
pub(crate) fn of_action(collection: &Collection, action: Action) -> &Rule {
    match action {
        Action::Create => &collection.rules.create,
        Action::Update => &collection.rules.update,
        Action::Delete => &collection.rules.delete,
    }
}

/// Reads the one record if the gate lets the caller at it.
pub(crate) fn find(
    schema: &Schema,
    collection: &Arc<Collection>,
    request: &RequestInfo,
    gate: Gate<'_>,
    id: &str,
) -> Result<Find, RecordError> {
    match gate {
        Gate::Open => Ok(Find::ById),
        Gate::When(rule) => {
            let mut select = Select::new(schema, collection, request, Base::Stored);
            // A rule that no longer resolves lets nobody in.
            select.only(id).rule(rule).map_err(|error| {
                log::debug!("rule of {}: {error}", collection.name);
                RecordError::NotFound
            })?;
            Ok(Find::Where(select.rows(Some((1, 0)))))
        }
    }
}

/// How to find a record.
#[derive(Clone, Debug)]
pub(crate) enum Find {
    ById,
    Where(Statement),
}

impl Find {
    pub fn run(&self, conn: &Connection, collection: &Arc<Collection>, id: &str) -> Result<Record, RecordError> {
        let found = match self {
            Find::ById => super::save::load(conn, collection, id)?,
            Find::Where(statement) => statement.records(conn, collection).or_else(unmet(Vec::new()))?.pop(),
        };
        found.ok_or(RecordError::NotFound)
    }
}

/// The condition that a candidate has to meet.
pub(crate) fn on_candidate(
    schema: &Schema,
    candidate: &Record,
    request: &RequestInfo,
    rule: &str,
) -> Result<Statement, RecordError> {
    let mut select = Select::new(schema, &candidate.collection, request, Base::Candidate(candidate));
    select.rule(rule).map_err(|error| {
        log::debug!("create rule of {}: {error}", candidate.collection.name);
        RecordError::failed(Action::Create)
    })?;
    Ok(select.exists())
}

pub(crate) fn holds(statement: &Statement, conn: &Connection) -> Result<bool, RecordError> {
    statement.any(conn).or_else(unmet(false))
}

/// True if the caller manages the record, which is a candidate or stored.
pub(crate) fn is_manager(
    conn: &Connection,
    schema: &Schema,
    base: Base<'_>,
    record: &Record,
    request: &RequestInfo,
) -> Result<bool, RecordError> {
    if request.caller.is_guest() {
        return Ok(false);
    }
    let Some(rule) = manage_rule(&record.collection) else { return Ok(false) };
    let mut select = Select::new(schema, &record.collection, request, base);
    if let Base::Stored = base {
        select.only(record.id());
    }
    match select.rule(rule) {
        Ok(select) => holds(&select.exists(), conn),
        Err(error) => {
            log::warn!("manage rule of {}: {error}", record.collection.name);
            Ok(false)
        }
    }
}

/// A rule that fails while it runs (a function of wrong data) is one that is not met; a broken database is an error.
fn unmet<T>(otherwise: T) -> impl FnOnce(rusqlite::Error) -> Result<T, RecordError> {
    move |error| {
        let is_of_the_rule = error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_ERROR);
        match RecordError::from(error) {
            RecordError::Storage(text) if is_of_the_rule => {
                log::debug!("a rule failed: {text}");
                Ok(otherwise)
            }
            error => Err(error),
        }
    }
}
