//! Rules that are met whatever the record is, like `@request.auth.id != ""`: answered in memory, so that reads need no SQL
//! for them.
//!
//! Only for reads. A write asks its rule inside its transaction, of the caller as he is at that moment.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::Utc;

use super::rules::Gate;
use crate::query::Predicate;
use crate::request::RequestInfo;
use crate::schema::{Collection, Schema};

/// The rules of the schema in force.
#[derive(Default)]
pub struct Gates(RwLock<Compiled>);

#[derive(Default)]
struct Compiled {
    schema: Arc<Schema>,
    /// By the addresses of a collection's version and of its rule, which stay in use as long as the version is held.
    predicates: HashMap<(usize, usize), (Arc<Collection>, Arc<Predicate>)>,
}

impl Gates {
    /// The gate, or an open one if its rule is met without a look at the record.
    pub(super) fn settle<'a>(
        &self,
        schema: &Arc<Schema>,
        collection: &Arc<Collection>,
        request: &RequestInfo,
        gate: Gate<'a>,
    ) -> Gate<'a> {
        match gate {
            Gate::When(rule) if self.predicate(schema, collection, rule).holds_anyhow(request, Utc::now()) => {
                Gate::Open
            }
            gate => gate,
        }
    }

    fn predicate(&self, schema: &Arc<Schema>, collection: &Arc<Collection>, rule: &str) -> Arc<Predicate> {
        let key = (Arc::as_ptr(collection) as usize, rule.as_ptr() as usize);
        let compiled = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&compiled.schema, schema)
            && let Some((_, predicate)) = compiled.predicates.get(&key)
        {
            return predicate.clone();
        }
        drop(compiled);
        let predicate = Arc::new(Predicate::rule(schema, collection, rule));
        let mut compiled = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&compiled.schema, schema) {
            *compiled = Compiled { schema: schema.clone(), predicates: HashMap::new() };
        }
        compiled.predicates.insert(key, (collection.clone(), predicate.clone()));
        predicate
    }
}
