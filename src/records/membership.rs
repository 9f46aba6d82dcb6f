//! Which records belong to a list: its rule and its filter, asked in memory.

use std::any::Any;
use std::sync::Arc;

use chrono::Utc;
use headwater_actors::{Change, Row, Value};

use super::Record;
use crate::query::Predicate;
use crate::request::{Caller, RequestInfo};
use crate::schema::{Collection, FieldKind, Schema};

/// A list: whose records belong to it is decided by what it asks, and by who asks.
pub(super) struct Membership {
    pub schema: Arc<Schema>,
    pub collection: Arc<Collection>,
    /// The rule; none where everything is let through.
    pub rule: Option<Arc<Predicate>>,
    pub request: Arc<RequestInfo>,
}

/// What a list asks of a record, ready to be asked. Good for lists of the same schema, rule and filter; what they compare
/// with may be of the request.
#[derive(Clone)]
pub(super) struct Conditions {
    rule: Option<Arc<Predicate>>,
    filter: Option<(Box<str>, Arc<Predicate>)>,
    /// A superuser may write whatever an owner may.
    trusted: bool,
}

/// Who tells what belongs to the list of one request.
pub(super) struct Judge<'a> {
    collection: &'a Arc<Collection>,
    conditions: &'a Conditions,
    request: Arc<RequestInfo>,
}

impl Membership {
    /// What is asked; as it is `known` where that is of such a list.
    pub fn conditions(&self, known: Option<&Conditions>) -> Conditions {
        let trusted = self.request.caller.is_superuser();
        let text = self.request.query.get("filter").filter(|filter| !filter.is_empty());
        let known = known.filter(|known| known.trusted == trusted).and_then(|known| known.filter.as_ref());
        let filter = text.map(|text| match known {
            Some((same, predicate)) if **same == **text => (same.clone(), predicate.clone()),
            _ => {
                let compile = if trusted { Predicate::rule } else { Predicate::filter };
                (text.as_str().into(), Arc::new(compile(&self.schema, &self.collection, text)))
            }
        });
        Conditions { rule: self.rule.clone(), filter, trusted }
    }

    pub fn judge<'a>(&'a self, conditions: &'a Conditions) -> Judge<'a> {
        let request = match conditions.trusted && !conditions.all().any(|condition| condition.names_caller()) {
            // Predicates know no superusers. This one is asked alike by everybody.
            true => Arc::new(RequestInfo { caller: Caller::GUEST, ..RequestInfo::clone(&self.request) }),
            false => self.request.clone(),
        };
        Judge { collection: &self.collection, conditions, request }
    }
}

impl Conditions {
    fn all(&self) -> impl Iterator<Item = &Arc<Predicate>> {
        self.rule.iter().chain(self.filter.as_ref().map(|(_, predicate)| predicate))
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
        for condition in self.conditions.all() {
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
