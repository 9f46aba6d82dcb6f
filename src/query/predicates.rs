//! The rules of the schema in force, ready to be answered in memory: by reads, and by the hubs for each change. All begin
//! anew with each schema, as a rule may mean something else when any collection has changed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Predicate;
use crate::schema::{Collection, Schema};

/// See the module's documentation.
#[derive(Default)]
pub struct Predicates(RwLock<Compiled>);

#[derive(Default)]
struct Compiled {
    schema: Arc<Schema>,
    /// By the addresses of a collection's version and of its rule, which stay in use as long as the version is held.
    rules: HashMap<(usize, usize), (Arc<Collection>, Arc<Predicate>)>,
}

impl Predicates {
    /// A rule that belongs to the collection.
    pub fn rule(&self, schema: &Arc<Schema>, collection: &Arc<Collection>, rule: &str) -> Arc<Predicate> {
        let key = (Arc::as_ptr(collection) as usize, rule.as_ptr() as usize);
        let compiled = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&compiled.schema, schema)
            && let Some((_, predicate)) = compiled.rules.get(&key)
        {
            return predicate.clone();
        }
        drop(compiled);
        let predicate = Arc::new(Predicate::rule(schema, collection, rule));
        let mut compiled = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&compiled.schema, schema) {
            // Who still has an old schema does not undo what all others have made of the new one.
            if schema.version < compiled.schema.version {
                return predicate;
            }
            *compiled = Compiled { schema: schema.clone(), rules: HashMap::new() };
        }
        // Whoever was first: equal callers are told apart by whose predicate they stand under.
        let (_, predicate) = compiled.rules.entry(key).or_insert_with(|| (collection.clone(), predicate));
        predicate.clone()
    }
}
