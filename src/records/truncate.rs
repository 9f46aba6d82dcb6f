//! Deleting all records of a collection: each like any other deletion, all in one job.

use std::sync::Arc;
use std::time::Duration;

use super::work::Work;
use super::{Record, RecordError, cascade, save, write};
use crate::app::App;
use crate::request::RequestInfo;
use crate::schema::Collection;
use crate::schema::row_sql::quoted;
use headwater_actors::JobLimits;

/// Records are read in pages of so many.
const PAGE: usize = 500;
/// Every record is deleted by itself, so that a large collection takes long.
const TIME: Duration = Duration::from_secs(600);

/// Deletes every record with all that belongs to it, or none. No rule is asked.
pub async fn truncate(app: &App, collection: &Arc<Collection>, request: RequestInfo) -> Result<(), RecordError> {
    if collection.is_view() {
        return Err(RecordError::Unsupported);
    }
    let id = collection.id.clone();
    let request = Some(Arc::new(request));
    let steps = move |work: &mut Work<'_, '_>| {
        let collection = work.schema.by_id(&id).cloned().ok_or(RecordError::MissingCollection)?;
        loop {
            let ids = first_ids(work, &collection)?;
            if ids.is_empty() {
                return Ok(());
            }
            for id in ids {
                // One that was deleted before may have taken this one along.
                let record: Option<Record> = save::load(work.conn(), &collection, &id)?;
                if let Some(record) = record {
                    cascade::remove(work, record)?;
                }
            }
        }
    };
    write::run(app, JobLimits::MANY.with_time(TIME), request, steps).await.map(|_| ())
}

fn first_ids(work: &Work<'_, '_>, collection: &Collection) -> Result<Vec<String>, RecordError> {
    let sql = format!("SELECT \"id\" FROM {} LIMIT {PAGE}", quoted(&collection.name));
    let mut statement = work.conn().prepare_cached(&sql)?;
    let ids = statement.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}
