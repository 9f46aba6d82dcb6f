//! Which records belong to a list: its rule and its filter, asked in memory.

use std::any::Any;
use std::sync::Arc;

use chrono::Utc;
use headwater_actors::{Change, Row, Value};

use super::Record;
use crate::query::Predicate;
use crate::request::{Caller, RequestInfo};
use crate::schema::{Collection, FieldKind, Schema};

/// A list that does not depend on the clock.
pub(super) struct Membership {
    pub schema: Arc<Schema>,
    pub collection: Arc<Collection>,
    /// The rule; none where everything is let through.
    pub rule: Option<Arc<Predicate>>,
    pub request: Arc<RequestInfo>,
}

/// What a list asks of a record. Lasts as long as the schema, and is the same for lists of the same SQL.
#[derive(Clone)]
pub(super) struct Conditions(Arc<[Arc<Predicate>]>);

/// Who tells what belongs to the list of one request.
pub(super) struct Judge<'a> {
    collection: &'a Arc<Collection>,
    conditions: &'a [Arc<Predicate>],
    request: Arc<RequestInfo>,
}

impl Membership {
    pub fn conditions(&self) -> Conditions {
        // A superuser may write whatever an owner may.
        let compile = if self.request.caller.is_superuser() { Predicate::rule } else { Predicate::filter };
        let filter = self.request.query.get("filter").filter(|filter| !filter.is_empty());
        let filter = filter.map(|filter| Arc::new(compile(&self.schema, &self.collection, filter)));
        Conditions(self.rule.iter().cloned().chain(filter).collect())
    }

    pub fn judge<'a>(&'a self, Conditions(conditions): &'a Conditions) -> Judge<'a> {
        let names_caller = || conditions.iter().any(|condition| condition.names_caller());
        let request = match self.request.caller.is_superuser() && !names_caller() {
            // Predicates know no superusers. This one is asked alike by everybody.
            true => Arc::new(RequestInfo { caller: Caller::GUEST, ..RequestInfo::clone(&self.request) }),
            false => self.request.clone(),
        };
        Judge { collection: &self.collection, conditions, request }
    }
}

impl Judge<'_> {
    /// Whether the list has the record of a change, as it is in this row; none where only SQL can tell.
    pub fn has(&self, change: &Change, row: &Row) -> Option<bool> {
        let subject: Arc<dyn Any + Send + Sync> = change.subject.clone();
        let then: Arc<Collection> = subject.downcast().ok()?;
        let record = Record::from_row(self.collection.clone(), &then, row);
        if !is_usual(&record) {
            return None;
        }
        let mut all = Some(true);
        for condition in self.conditions {
            match condition.holds(&record, &self.request, Utc::now()) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => all = None,
            }
        }
        all
    }
}

/// True if all values are as fields store them. Others, by other programs, compare in a table as the column's affinity has
/// it, and in memory as they are.
fn is_usual(record: &Record) -> bool {
    let usual = |kind: &FieldKind, value: &Value| match value {
        Value::Text(_) => !matches!(kind, FieldKind::Number(_) | FieldKind::Bool(_)),
        Value::Integer(_) | Value::Real(_) => {
            matches!(kind, FieldKind::Number(_) | FieldKind::Bool(_) | FieldKind::Json(_))
        }
        Value::Null => matches!(kind, FieldKind::Json(_)),
        Value::Blob(_) => false,
    };
    record.collection.fields.iter().zip(&record.values).all(|(field, value)| usual(&field.kind, value))
}
