//! Several writes as one: in order, in one transaction, all or none (records.md §13).
//!
//! Every item is prepared like a write of its own; then one job runs them all. Each sees what those before it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use headwater_actors::{JobLimits, Position};

use super::body::Input;
use super::create::Create;
use super::delete::Delete;
use super::pick::Fields;
use super::present::Presentation;
use super::update::Update;
use super::work::Work;
use super::write::{self, Authority};
use super::{Record, RecordError, save};
use crate::app::App;
use crate::request::RequestInfo;
use crate::schema::{Collection, Schema};

/// One write of a batch.
#[derive(Debug)]
pub struct Item {
    pub action: ItemAction,
    /// Collection by id or name.
    pub collection: String,
    pub input: Input,
    pub request: RequestInfo,
}

#[derive(Debug)]
pub enum ItemAction {
    Create,
    Update {
        id: String,
    },
    /// An update of the record whose id the body has, if there is one; otherwise it is created.
    Upsert,
    Delete {
        id: String,
    },
    /// One more than the caller may ask for now: fails when its turn comes.
    Limited,
    /// Not a write of a record: fails when its turn comes.
    Unknown,
}

/// What became of an item.
#[derive(Debug)]
pub enum ItemResult {
    /// The record as its caller is shown it, as it was before the items that followed.
    Written(Vec<u8>),
    Deleted,
}

/// Why nothing of a batch was stored.
#[derive(Debug)]
pub enum BatchError {
    /// The item of this index failed first.
    Item(usize, RecordError),
    /// It took longer than a batch may.
    TooLong,
    Whole(RecordError),
}

const ATTEMPTS: usize = 3;

/// Runs the items within `time`, counted from when the Writer begins with them.
pub async fn run(
    app: &App,
    items: Vec<Item>,
    time: Duration,
) -> Result<(Vec<ItemResult>, Option<Position>), BatchError> {
    for _ in 0..ATTEMPTS {
        let schema = app.schema.current();
        let mut prepared = Vec::with_capacity(items.len());
        for item in &items {
            let item = Prepared::of(app, &schema, item).await;
            // Nothing after an item that cannot succeed will run.
            let is_refused = matches!(item, Prepared::Refused(_));
            prepared.push(item);
            if is_refused {
                break;
            }
        }
        let at = Arc::new(AtomicUsize::new(0));
        let reached = at.clone();
        let steps = move |work: &mut Work<'_, '_>| {
            let started = Instant::now();
            let mut results = Vec::with_capacity(prepared.len());
            for (index, item) in prepared.into_iter().enumerate() {
                reached.store(index, Ordering::Relaxed);
                if started.elapsed() > time {
                    return Err(RecordError::Interrupted);
                }
                results.push(item.run(work)?);
            }
            Ok(results)
        };
        match write::run(app, JobLimits::MANY.with_time(time), None, steps).await {
            Ok(done) => return Ok(done),
            Err(RecordError::Outdated) => continue,
            Err(RecordError::Interrupted) => return Err(BatchError::TooLong),
            Err(error @ (RecordError::Overloaded | RecordError::Storage(_))) => return Err(BatchError::Whole(error)),
            Err(error) => return Err(BatchError::Item(at.load(Ordering::Relaxed), error)),
        }
    }
    Err(BatchError::Whole(RecordError::Overloaded))
}

/// An item that is ready to run.
enum Prepared {
    Create(Box<Create>, Arc<RequestInfo>),
    Update(Box<Update>, Arc<RequestInfo>),
    Upsert(Box<Upsert>),
    Delete(Box<Delete>, Arc<RequestInfo>),
    Refused(RecordError),
}

/// Which of the two it is turns out when its turn comes: an earlier item may have created the record.
struct Upsert {
    collection: Arc<Collection>,
    id: String,
    update: Prepared,
    create: Prepared,
}

impl Prepared {
    async fn of(app: &App, schema: &Arc<Schema>, item: &Item) -> Prepared {
        let Some(collection) = schema.find(&item.collection) else {
            return Prepared::Refused(match item.action {
                ItemAction::Unknown => RecordError::Parameters,
                _ => RecordError::MissingCollection,
            });
        };
        if collection.is_view() && !matches!(item.action, ItemAction::Unknown) {
            return Prepared::Refused(RecordError::Unsupported);
        }
        let is_shown = !matches!(item.action, ItemAction::Delete { .. });
        if is_shown && item.request.query.get("fields").is_some_and(|fields| Fields::parse(fields).is_err()) {
            return Prepared::Refused(RecordError::Parameters);
        }
        match &item.action {
            ItemAction::Create => Prepared::create(app, schema, collection, item).await,
            ItemAction::Update { id } => Prepared::update(app, schema, collection, id, item).await,
            ItemAction::Delete { id } => {
                let request = Arc::new(item.request.clone());
                match Delete::prepare(schema, collection, id, &request, Authority::Rules) {
                    Ok(delete) => Prepared::Delete(Box::new(delete), request),
                    Err(error) => Prepared::Refused(error),
                }
            }
            ItemAction::Upsert => match super::body::id_of(&item.input.values) {
                None => Prepared::create(app, schema, collection, item).await,
                Some(id) => Prepared::Upsert(Box::new(Upsert {
                    collection: collection.clone(),
                    update: Prepared::update(app, schema, collection, &id, item).await,
                    create: Prepared::create(app, schema, collection, item).await,
                    id,
                })),
            },
            ItemAction::Limited => Prepared::Refused(RecordError::TooManyRequests),
            ItemAction::Unknown => Prepared::Refused(RecordError::Parameters),
        }
    }

    async fn create(app: &App, schema: &Arc<Schema>, collection: &Arc<Collection>, item: &Item) -> Prepared {
        let mut request = Arc::new(RequestInfo { method: "POST".into(), ..item.request.clone() });
        match Create::prepare(app, schema, collection, &item.input, &mut request, Authority::Rules).await {
            Ok(create) => Prepared::Create(Box::new(create), request),
            Err(error) => Prepared::Refused(error),
        }
    }

    async fn update(app: &App, schema: &Arc<Schema>, collection: &Arc<Collection>, id: &str, item: &Item) -> Prepared {
        let mut request = Arc::new(RequestInfo { method: "PATCH".into(), ..item.request.clone() });
        match Update::prepare(app, schema, collection, id, &item.input, &mut request, Authority::Rules).await {
            Ok(update) => Prepared::Update(Box::new(update), request),
            Err(error) => Prepared::Refused(error),
        }
    }

    fn run(self, work: &mut Work<'_, '_>) -> Result<ItemResult, RecordError> {
        match self {
            Prepared::Create(create, request) => {
                work.serve(&request);
                let record = create.run(work)?;
                present(work, record, &request)
            }
            Prepared::Update(update, request) => {
                work.serve(&request);
                let record = update.run(work)?;
                present(work, record, &request)
            }
            Prepared::Upsert(upsert) => {
                let exists = save::load(work.conn(), &upsert.collection, &upsert.id)?.is_some();
                if exists { upsert.update.run(work) } else { upsert.create.run(work) }
            }
            Prepared::Delete(delete, request) => {
                work.serve(&request);
                delete.run(work).map(|()| ItemResult::Deleted)
            }
            Prepared::Refused(error) => Err(error),
        }
    }
}

fn present(work: &Work<'_, '_>, record: Record, request: &Arc<RequestInfo>) -> Result<ItemResult, RecordError> {
    let presentation = Presentation::of(request);
    let mut records = [record];
    presentation.prepare(work.app, work.conn(), work.schema, &mut records, request)?;
    Ok(ItemResult::Written(presentation.one(&records[0])))
}
