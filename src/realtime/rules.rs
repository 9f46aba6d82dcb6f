//! The rules that decide who sees records, and how callers are sorted by them.

use std::sync::Arc;

use headwater_actors::hub::Standing;

use crate::query::{Predicate, Predicates};
use crate::records::shows;
use crate::request::Caller;
use crate::schema::{Collection, Rule, Schema};

/// Which rule of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    List,
    View,
    Manage,
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

impl Asked {
    /// The rule that decides who sees records; for `Manage` see [`shows::manage_rule`].
    pub(super) fn rule(self, collection: &Collection) -> &Rule {
        match self {
            Asked::List | Asked::Manage => &collection.rules.list,
            Asked::View => &collection.rules.view,
        }
    }

    /// The same, to be answered in memory; none where it is no expression.
    pub(super) fn predicate(
        self,
        predicates: &Predicates,
        schema: &Arc<Schema>,
        collection: &Arc<Collection>,
    ) -> Option<Arc<Predicate>> {
        let text = match (self, self.rule(collection)) {
            (Asked::Manage, _) => shows::manage_rule(collection)?,
            (_, Rule::When(text)) => text,
            (_, Rule::Open | Rule::Sealed) => return None,
        };
        Some(predicates.rule(schema, collection, text))
    }
}
