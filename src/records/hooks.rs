//! The places in the life of a record where extensions attach.
//!
//! Request hooks surround a whole request, commit included. Those of the write, its checks and its statement run inside
//! the Writer's transaction, so they must be quick. All of them cost nothing while nobody is attached.

use std::sync::Arc;

use headwater_actors::Action;

use super::present::PageInfo;
use super::{Record, RecordError};
use crate::app::App;
use crate::hooks::{Hook, Tagged};
use crate::request::RequestInfo;
use crate::schema::Collection;

/// All hooks of records.
#[derive(Default)]
pub struct Hooks {
    pub create: Stages,
    pub update: Stages,
    pub delete: Stages,
    /// Around the checks of a record that is about to be created or updated.
    pub validate: RecordHook,
    /// Around the answer to a list request, once its records are read. A handler that does not call `next` leaves the
    /// answer empty. Handlers run on a thread where they may take their time.
    pub list: Hook<ListEvent, RecordError>,
    /// As `list`, for a single record.
    pub view: Hook<ViewEvent, RecordError>,
    /// Before a record is shown to the caller of the request; inside are the records that are expanded in it. Handlers run
    /// wherever the answer is made, so they must be quick.
    pub enrich: Hook<EnrichEvent, RecordError>,
}

pub type RecordHook = Hook<RecordEvent, RecordError>;

/// The stages of one action, outermost first.
#[derive(Default)]
pub struct Stages {
    /// Around the whole request of a caller, once the rule has let him in. Handlers run on a thread where they may take
    /// their time; when `next` returns, the write is committed.
    pub request: RecordHook,
    /// Around the write, validation included.
    pub write: RecordHook,
    /// Around the statement that changes the row.
    pub execute: RecordHook,
    /// After the commit.
    pub after_success: RecordHook,
}

impl Hooks {
    pub(super) fn of(&self, action: Action) -> &Stages {
        match action {
            Action::Create => &self.create,
            Action::Update => &self.update,
            Action::Delete => &self.delete,
        }
    }

    /// True if nobody listens to anything.
    pub(super) fn are_empty(&self) -> bool {
        let stages = [&self.create, &self.update, &self.delete];
        let empty = |stages: &Stages| {
            [&stages.request, &stages.write, &stages.execute, &stages.after_success].into_iter().all(|h| h.is_empty())
        };
        stages.into_iter().all(empty) && self.validate.is_empty() && self.enrich.is_empty()
    }

    /// True if somebody wants to know of commits.
    pub(super) fn are_told(&self) -> bool {
        [&self.create, &self.update, &self.delete].into_iter().any(|stages| !stages.after_success.is_empty())
    }

    /// True if something may run inside the job of this action besides our own steps.
    pub(super) fn join(&self, action: Action) -> bool {
        let stages = self.of(action);
        !(stages.write.is_empty() && stages.execute.is_empty() && self.validate.is_empty())
    }
}

/// A record on its way.
pub struct RecordEvent {
    pub app: App,
    pub action: Action,
    /// Before the commit handlers may change it, but for its collection.
    pub record: Record,
    /// As it was stored, for updates and deletes.
    pub before: Option<Record>,
    /// None where the server itself writes.
    pub request: Option<Arc<RequestInfo>>,
}

impl Tagged for RecordEvent {
    fn tags(&self) -> [&str; 2] {
        [&self.record.collection.name, &self.record.collection.id]
    }
}

/// A record that is about to be shown.
pub struct EnrichEvent {
    pub app: App,
    pub record: Record,
    pub request: Arc<RequestInfo>,
}

impl Tagged for EnrichEvent {
    fn tags(&self) -> [&str; 2] {
        [&self.record.collection.name, &self.record.collection.id]
    }
}

/// A page of records that was read for a caller.
pub struct ListEvent {
    pub app: App,
    pub collection: Arc<Collection>,
    /// Handlers may change, add and remove records of this collection.
    pub records: Vec<Record>,
    pub page: PageInfo,
    pub request: Arc<RequestInfo>,
}

impl Tagged for ListEvent {
    fn tags(&self) -> [&str; 2] {
        [&self.collection.name, &self.collection.id]
    }
}

/// A record that was read for a caller.
pub struct ViewEvent {
    pub app: App,
    pub record: Record,
    pub request: Arc<RequestInfo>,
}

impl Tagged for ViewEvent {
    fn tags(&self) -> [&str; 2] {
        [&self.record.collection.name, &self.record.collection.id]
    }
}
