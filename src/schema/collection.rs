//! A collection: its fields, rules and options, as stored in `_collections` and as everything else reads it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use headwater_actors::Subject;
use serde::{Deserialize, Serialize};

use super::auth_options::AuthOptions;
use super::field::{Field, FieldKind};
use super::row_sql::RowSql;

/// The three kinds of collections. What only one kind has travels with it.
#[derive(Clone, Debug, PartialEq)]
pub enum CollectionKind {
    Base,
    Auth(Box<AuthOptions>),
    View { query: String },
}

/// An access rule of a collection, in the three states that the API knows.
///
/// `Sealed` (JSON `null`): superusers only. `Open` (`""`): everyone. `When`: whoever meets the expression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<String>", into = "Option<String>")]
pub enum Rule {
    #[default]
    Sealed,
    Open,
    When(Arc<str>),
}

impl From<Option<String>> for Rule {
    fn from(text: Option<String>) -> Rule {
        match text {
            None => Rule::Sealed,
            Some(text) if text.is_empty() => Rule::Open,
            Some(text) => Rule::When(text.into()),
        }
    }
}

impl From<Rule> for Option<String> {
    fn from(rule: Rule) -> Option<String> {
        rule.as_text().map(str::to_owned)
    }
}

impl Rule {
    /// The stored text: none, empty, or the expression.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Rule::Sealed => None,
            Rule::Open => Some(""),
            Rule::When(text) => Some(text),
        }
    }
}

/// The five access rules of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub list: Rule,
    pub view: Rule,
    pub create: Rule,
    pub update: Rule,
    pub delete: Rule,
}

/// A collection as it stands in one schema version. Shared, never changed in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    pub id: String,
    pub name: String,
    pub kind: CollectionKind,
    pub system: bool,
    /// In the order in which the owner put them; records keep their values in this order.
    pub fields: Vec<Field>,
    /// `CREATE INDEX` texts as the owner wrote them.
    pub indexes: Vec<String>,
    pub rules: Rules,
    pub created: String,
    pub updated: String,
    /// Looked-up parts, derived from `fields`; see [`Collection::index`].
    derived: Derived,
}

/// What is asked for on every request, computed once per schema version.
#[derive(Clone, Debug, PartialEq, Default)]
struct Derived {
    position: HashMap<Arc<str>, usize>,
    columns: Arc<[Arc<str>]>,
    /// Field positions by name in alphabetical order: the order of keys in JSON.
    by_name: Arc<[usize]>,
    row_sql: BuiltOnce,
}

/// Texts that are built when first asked for. They depend on the rest of the collection alone, and a copy, which may be
/// about to change, begins without them.
#[derive(Debug, Default)]
struct BuiltOnce(OnceLock<RowSql>);

impl Clone for BuiltOnce {
    fn clone(&self) -> BuiltOnce {
        BuiltOnce::default()
    }
}

impl PartialEq for BuiltOnce {
    fn eq(&self, _: &BuiltOnce) -> bool {
        true
    }
}

impl Collection {
    /// A collection without fields, rules or dates.
    pub fn new(id: impl Into<String>, name: impl Into<String>, kind: CollectionKind) -> Collection {
        Collection {
            id: id.into(),
            name: name.into(),
            kind,
            system: false,
            fields: Vec::new(),
            indexes: Vec::new(),
            rules: Rules::default(),
            created: String::new(),
            updated: String::new(),
            derived: Derived::default(),
        }
    }

    /// Recomputes the looked-up parts. To be called after `fields` was changed, before the collection is shared.
    pub fn index(&mut self) {
        let names: Vec<Arc<str>> = self.fields.iter().map(|field| field.name.as_str().into()).collect();
        let mut by_name: Vec<usize> = (0..names.len()).collect();
        by_name.sort_by(|a, b| names[*a].cmp(&names[*b]));
        self.derived = Derived {
            position: names.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect(),
            columns: names.into(),
            by_name: by_name.into(),
            row_sql: BuiltOnce::default(),
        };
    }

    /// With other fields; the looked-up parts follow.
    pub fn with_fields(mut self, fields: Vec<Field>) -> Collection {
        self.fields = fields;
        self.index();
        self
    }

    pub fn is_auth(&self) -> bool {
        matches!(self.kind, CollectionKind::Auth(_))
    }

    pub fn is_view(&self) -> bool {
        matches!(self.kind, CollectionKind::View { .. })
    }

    pub fn is_superusers(&self) -> bool {
        self.name == super::SUPERUSERS
    }

    pub fn auth(&self) -> Option<&AuthOptions> {
        match &self.kind {
            CollectionKind::Auth(options) => Some(options),
            _ => None,
        }
    }

    /// The word in the `type` column: `base`, `auth` or `view`.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            CollectionKind::Base => "base",
            CollectionKind::Auth(_) => "auth",
            CollectionKind::View { .. } => "view",
        }
    }

    /// A field and its position, by exact name.
    pub fn field(&self, name: &str) -> Option<(usize, &Field)> {
        let index = *self.derived.position.get(name)?;
        Some((index, &self.fields[index]))
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.derived.position.get(name).copied()
    }

    /// The column names in field order, shared by all rows of this schema version.
    pub fn columns(&self) -> &Arc<[Arc<str>]> {
        &self.derived.columns
    }

    /// The SQL texts for single rows. Only for a collection that is no longer changed.
    pub fn row_sql(&self) -> &RowSql {
        self.derived.row_sql.0.get_or_init(|| RowSql::new(self))
    }

    /// Field positions in alphabetical order of their names.
    pub fn alphabetical(&self) -> &[usize] {
        &self.derived.by_name
    }
}

impl Subject for Collection {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_secret(&self, column: &str) -> bool {
        let field = self.field(column).map(|(_, field)| &field.kind);
        matches!(field, Some(FieldKind::Password(_))) || (self.is_auth() && column == "tokenKey")
    }
}
