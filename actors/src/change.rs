//! What the Writer publishes: committed changes, in order.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{Seq, Value};

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Create,
    Update,
    Delete,
}

impl Action {
    /// The word that clients and the change log see.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
        }
    }

    /// The inverse of [`Action::as_str`].
    pub fn parse(word: &str) -> Option<Action> {
        [Action::Create, Action::Update, Action::Delete].into_iter().find(|action| action.as_str() == word)
    }
}

/// What a change happened to, as the domain knows it (a collection, as its schema was at that moment).
/// The crate itself asks only for its names: they are what topics begin with.
pub trait Subject: Any + Send + Sync {
    /// The lasting identifier; the change log keeps this one.
    fn id(&self) -> &str;
    /// The name in use when the change was made.
    fn name(&self) -> &str;
    /// True for a column whose values the change log must not keep.
    fn is_secret(&self, _column: &str) -> bool {
        false
    }
}

/// The stored values of one record, by column.
///
/// The column names are shared by all rows of one schema version; a row costs only its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub columns: Arc<[Arc<str>]>,
    pub values: Box<[Value]>,
}

impl Row {
    pub fn get(&self, column: &str) -> Option<&Value> {
        let index = self.columns.iter().position(|name| &**name == column)?;
        self.values.get(index)
    }
}

/// A change that a job made, before the Writer has numbered it.
pub struct NewChange {
    pub subject: Arc<dyn Subject>,
    pub record: Arc<str>,
    pub action: Action,
    /// The row before it, for update and delete.
    pub before: Option<Arc<Row>>,
    /// The row after it, for create and update.
    pub after: Option<Arc<Row>>,
    /// Who made it, as `COLLECTION_ID/RECORD_ID`; none for guests and for the system itself.
    pub actor: Option<Arc<str>>,
}

impl NewChange {
    pub(crate) fn numbered(self, seq: Seq) -> Change {
        let NewChange { subject, record, action, before, after, actor } = self;
        Change { seq, subject, record, action, before, after, actor }
    }
}

/// A committed change.
#[derive(Clone)]
pub struct Change {
    pub seq: Seq,
    pub subject: Arc<dyn Subject>,
    pub record: Arc<str>,
    pub action: Action,
    pub before: Option<Arc<Row>>,
    pub after: Option<Arc<Row>>,
    pub actor: Option<Arc<str>>,
}

impl Change {
    /// The row that the change is about: the new one, or for a delete the one that was there.
    pub fn row(&self) -> Option<&Arc<Row>> {
        self.after.as_ref().or(self.before.as_ref())
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {}/{}", self.seq, self.action.as_str(), self.subject.name(), self.record)
    }
}

/// All changes of one committed transaction, in order of their [`Seq`].
#[derive(Debug)]
pub struct Commit {
    pub changes: Vec<Change>,
    /// The last number given out so far, also where this commit had no change.
    pub last: Seq,
}
