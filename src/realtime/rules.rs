//! The rules of the schema in force, ready to be answered in memory. A hub has one such set, which begins anew with each
//! schema: a rule may mean something else when any collection has changed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use headwater_actors::hub::Standing;

use crate::query::Predicate;
use crate::records::shows;
use crate::request::Caller;
use crate::schema::{Collection, Rule, Schema};

/// Which rule of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    List,
    View,
    Manage,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Rules(RefCell<Compiled>);

#[derive(Default)]
struct Compiled {
    schema: Arc<Schema>,
    /// By the collection's version and the rule. Holding the version keeps its address from being used again.
    predicates: HashMap<(*const Collection, Asked), (Arc<Collection>, Index)>,
}

/// A rule in memory, and the way in which callers are sorted by it.
#[derive(Clone)]
pub struct Index(pub(super) Arc<Predicate>);

impl PartialEq for Index {
    fn eq(&self, other: &Index) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Index {
    pub(super) fn standing(&self, caller: &Caller) -> Standing {
        // Rules do not apply to them, so they stand beside everybody else.
        if caller.is_superuser() {
            return Standing { find: None, group: "superusers".into() };
        }
        let standing = self.0.standing(caller);
        Standing { find: standing.find, group: standing.group }
    }
}

impl Rules {
    /// A rule of a collection; none where it is no expression.
    pub(super) fn find(&self, schema: &Arc<Schema>, collection: &Arc<Collection>, asked: Asked) -> Option<Index> {
        let text = match (asked, asked.rule(collection)) {
            (Asked::Manage, _) => shows::manage_rule(collection)?,
            (_, Rule::When(text)) => text,
            (_, Rule::Open | Rule::Sealed) => return None,
        };
        let mut compiled = self.0.borrow_mut();
        if !Arc::ptr_eq(&compiled.schema, schema) {
            *compiled = Compiled { schema: schema.clone(), predicates: HashMap::new() };
        }
        let key = (Arc::as_ptr(collection), asked);
        let (_, index) = compiled
            .predicates
            .entry(key)
            .or_insert_with(|| (collection.clone(), Index(Arc::new(Predicate::rule(schema, collection, text)))));
        Some(index.clone())
    }
}

impl Asked {
    /// The rule that decides who sees records; for `Manage` see [`shows::manage_rule`].
    pub(super) fn rule(self, collection: &Collection) -> &Rule {
        match self {
            Asked::List | Asked::Manage => &collection.rules.list,
            Asked::View => &collection.rules.view,
        }
    }
}
