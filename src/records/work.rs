//! What the steps of a write share inside its job on the Writer.

use std::sync::Arc;

use headwater_actors::{Action, NewChange, Tx};
use rusqlite::Connection;

use super::hooks::{RecordEvent, RecordHook};
use super::{Record, RecordError};
use crate::app::App;
use crate::request::RequestInfo;
use crate::schema::Schema;

pub(crate) struct Work<'a, 'tx> {
    pub app: &'a App,
    /// The collections as they are while the job runs.
    pub schema: &'a Arc<Schema>,
    tx: &'a mut Tx<'tx>,
    /// None where the server itself writes.
    pub request: Option<Arc<RequestInfo>>,
    actor: Option<Arc<str>>,
    /// What to tell after the commit, in order; empty while nobody listens.
    told: Vec<RecordEvent>,
}

impl<'a, 'tx> Work<'a, 'tx> {
    pub fn new(app: &'a App, schema: &'a Arc<Schema>, tx: &'a mut Tx<'tx>, request: Option<Arc<RequestInfo>>) -> Self {
        let actor = request.as_ref().and_then(|request| request.caller.actor());
        Work { app, schema, tx, request, actor, told: Vec::new() }
    }

    /// Goes on with another request of the same job.
    pub fn serve(&mut self, request: &Arc<RequestInfo>) {
        self.actor = request.caller.actor();
        self.request = Some(request.clone());
    }

    pub fn conn(&self) -> &Connection {
        self.tx.conn()
    }

    /// Refuses if the write was prepared for other collections than those of now.
    pub fn expect(&self, schema: &Arc<Schema>) -> Result<(), RecordError> {
        if Arc::ptr_eq(self.schema, schema) { Ok(()) } else { Err(RecordError::Outdated) }
    }

    /// Records that a row was changed: for the log, for the subscribers and for whoever caches auth records.
    pub fn changed(&mut self, action: Action, before: Option<Record>, after: Option<&Record>) {
        let Some(record) = after.or(before.as_ref()) else { return };
        let collection = record.collection.clone();
        let id: Arc<str> = record.id().into();
        if collection.is_auth() && action != Action::Create {
            let (app, collection, id) = (self.app.clone(), collection.clone(), id.clone());
            self.tx.after_commit(move || app.auth_cache.forget(&collection.id, &id));
        }
        if !self.app.record_hooks.of(action).after_success.is_empty() {
            self.told.push(RecordEvent {
                app: self.app.clone(),
                action,
                record: record.clone(),
                before: before.clone(),
                request: self.request.clone(),
            });
        }
        self.tx.changed(NewChange {
            subject: collection,
            record: id,
            action,
            before: before.map(|record| Arc::new(record.into_row())),
            after: after.map(Record::to_row),
            actor: self.actor.clone(),
        });
    }

    /// Runs a step inside the layers of a hook.
    pub fn around(
        &mut self,
        hook: &RecordHook,
        action: Action,
        record: &mut Record,
        before: Option<&Record>,
        step: &mut dyn FnMut(&mut Self, &mut Record) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        if hook.is_empty() {
            return step(self, record);
        }
        let mut event = RecordEvent {
            app: self.app.clone(),
            action,
            record: record.clone(),
            before: before.cloned(),
            request: self.request.clone(),
        };
        let mut reached = false;
        hook.trigger(&mut event, |event| {
            reached = true;
            step(self, &mut event.record)
        })?;
        if !reached {
            log::error!("a hook on {} of {} did not call next", action.as_str(), record.collection.name);
            return Err(RecordError::failed(action));
        }
        *record = event.record;
        Ok(())
    }

    /// What to tell after the commit.
    pub fn into_told(self) -> Vec<RecordEvent> {
        self.told
    }
}

/// Tells the listeners of a write that is committed, in the order of its changes. The first error ends it; the write
/// stands all the same.
pub(crate) fn tell(app: &App, told: Vec<RecordEvent>) -> Result<(), RecordError> {
    for mut event in told {
        app.record_hooks.of(event.action).after_success.trigger(&mut event, |_| Ok(()))?;
    }
    Ok(())
}
