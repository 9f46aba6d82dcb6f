//! What those who come back have missed: pages of the change log.

use std::sync::Arc;

use headwater_actors::change_log::{self, PageError, StoredChange};
use headwater_actors::hub::Fetched;
use headwater_actors::{Change, Commit, Seq};

use crate::app::App;
use crate::schema::Schema;

/// What makes a page, in changes and in bytes of their values. A client is given one while up to half of what may wait for it
/// does; what comes live meanwhile must not be what cuts it off.
const CHANGES: usize = 256;
const BYTES: usize = 64 * 1024;

pub(super) async fn fetch(app: App, after: Seq, up_to: Seq) -> Fetched {
    // First these, then what is in reach: what other fields put out of reach is so before they are in force.
    let schema = app.schema.current();
    // What came before the oldest may still be in the table, but belongs to another history.
    if after.next() < app.writer.oldest() {
        return Fetched::Expired;
    }
    let page = app.readers.run(move |conn| change_log::page(conn, after, up_to, CHANGES, BYTES)).await;
    match page {
        Ok(Ok(changes)) => {
            let last = changes.last().map_or(up_to, |change| change.seq);
            let changes = changes.into_iter().filter_map(|change| known(&schema, change)).collect();
            Fetched::Page(Arc::new(Commit { changes, last }))
        }
        Ok(Err(PageError::Expired)) => Fetched::Expired,
        Ok(Err(PageError::Storage(error))) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Fetched {
    log::warn!("realtime: what clients missed could not be read: {error}");
    Fetched::Failed
}

/// A change by the schema as it is now. Of a collection that is gone nobody may see anything.
fn known(schema: &Schema, change: StoredChange) -> Option<Change> {
    let StoredChange { seq, collection, record, action, actor, before, after, .. } = change;
    let subject = schema.by_id(&collection)?.clone();
    Some(Change { seq, subject, record, action, before, after, actor })
}
