//! Deleting a record, with all that belongs to it.

use std::sync::Arc;

use headwater_actors::{Action, JobLimits};

use super::rules::{self, Find, Gate};
use super::work::Work;
use super::{Authority, Record, RecordError, cascade};
use crate::app::App;
use crate::request::RequestInfo;
use crate::schema::{Collection, Schema};

/// A deletion that is ready to be made.
pub(crate) struct Delete {
    schema: Arc<Schema>,
    collection: Arc<Collection>,
    id: String,
    find: Find,
}

impl Delete {
    pub fn prepare(
        schema: &Arc<Schema>,
        collection: &Arc<Collection>,
        id: &str,
        request: &RequestInfo,
        authority: Authority,
    ) -> Result<Delete, RecordError> {
        let gate = Gate::of(rules::of_action(collection, Action::Delete), request, authority)?;
        let find = rules::find(schema, collection, request, gate, id)?;
        Ok(Delete { schema: schema.clone(), collection: collection.clone(), id: id.to_owned(), find })
    }

    /// The stored record, if the rule lets the caller at it; for who has to know before the job.
    pub async fn precheck(&self, app: &App) -> Result<Record, RecordError> {
        let (find, collection, id) = (self.find.clone(), self.collection.clone(), self.id.clone());
        app.readers.run(move |conn| find.run(conn, &collection, &id)).await?
    }

    /// A deletion that takes too long loses its whole transaction, so one that may shares it with no other write.
    pub fn limits(&self, app: &App) -> JobLimits {
        if cascade::may_spread(&self.schema, &self.collection) {
            return JobLimits::MANY.with_time(JobLimits::MANY.time);
        }
        let is_one = cascade::is_unreferenced(&self.schema, &self.collection) && !app.record_hooks.join(Action::Delete);
        if is_one { JobLimits::ONE } else { JobLimits::MANY }
    }

    pub fn run(self, work: &mut Work<'_, '_>) -> Result<(), RecordError> {
        work.expect(&self.schema)?;
        let record = self.find.run(work.conn(), &self.collection, &self.id)?;
        cascade::remove(work, record)
    }
}
