//! The one way to write records: the API, auth flows, the command line and batches all come through here.
//!
//! A write is prepared on the caller's thread (casts, generated values, hashes, rules as SQL), then runs as one job on
//! the Writer, where the rule is asked and the row is read, checked and written, all at one moment. When the call
//! returns the change is committed. If the collections changed between the two, the write is prepared anew.

use std::sync::Arc;

use headwater_actors::{Action, JobLimits, Position, Tx};
use serde_json::{Map, Value as Json};

use super::body::Input;
use super::create::Create;
use super::delete::Delete;
use super::hooks::RecordEvent;
use super::update::Update;
use super::work::{self, Work};
use super::{Record, RecordError, request_hook};
use crate::app::App;
use crate::request::RequestInfo;
use crate::schema::{Collection, Schema};

/// On whose word a write happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The caller's: the collection's rules decide.
    Rules,
    /// The server's own: no rule is asked, and every field may be set.
    System,
}

impl Authority {
    pub(crate) fn may_set_hidden(self, request: &RequestInfo) -> bool {
        self == Authority::System || request.caller.is_superuser()
    }
}

/// A record as it was written.
#[derive(Debug)]
pub struct Written {
    pub record: Record,
    /// Where the last change of the write stands in the stream.
    pub position: Option<Position>,
    /// The request with the body as rules saw it.
    pub request: Arc<RequestInfo>,
}

/// How often a write is prepared while the collections keep changing.
const ATTEMPTS: usize = 3;

/// Creates a record for the caller of the request.
pub async fn create(
    app: &App,
    collection: &Arc<Collection>,
    input: Input,
    request: RequestInfo,
) -> Result<Written, RecordError> {
    create_as(app, collection, input, request, Authority::Rules).await
}

/// Changes the given fields of a record for the caller of the request.
pub async fn update(
    app: &App,
    collection: &Arc<Collection>,
    id: &str,
    input: Input,
    request: RequestInfo,
) -> Result<Written, RecordError> {
    update_as(app, collection, id, input, request, Authority::Rules).await
}

/// Deletes a record for the caller of the request.
pub async fn delete(
    app: &App,
    collection: &Arc<Collection>,
    id: &str,
    request: RequestInfo,
) -> Result<Option<Position>, RecordError> {
    delete_as(app, collection, id, request, Authority::Rules).await
}

/// Creates a record by the server itself. Values are checked as always; a password is given in clear.
pub async fn create_by_system(
    app: &App,
    collection: &Arc<Collection>,
    values: Map<String, Json>,
) -> Result<Record, RecordError> {
    let written = create_as(app, collection, values.into(), RequestInfo::default(), Authority::System).await?;
    Ok(written.record)
}

/// Changes the given fields of a record by the server itself. A changed password or address ends the record's tokens.
pub async fn update_by_system(
    app: &App,
    collection: &Arc<Collection>,
    id: &str,
    values: Map<String, Json>,
) -> Result<Record, RecordError> {
    let written = update_as(app, collection, id, values.into(), RequestInfo::default(), Authority::System).await?;
    Ok(written.record)
}

/// Deletes a record by the server itself, with all that belongs to it.
pub async fn delete_by_system(app: &App, collection: &Arc<Collection>, id: &str) -> Result<(), RecordError> {
    delete_as(app, collection, id, RequestInfo::default(), Authority::System).await.map(drop)
}

async fn create_as(
    app: &App,
    collection: &Arc<Collection>,
    input: Input,
    request: RequestInfo,
    authority: Authority,
) -> Result<Written, RecordError> {
    let mut request = Arc::new(request);
    for _ in 0..ATTEMPTS {
        let (schema, collection) = current(app, collection)?;
        let create = Create::prepare(app, &schema, &collection, &input, &mut request, authority).await?;
        let result = if authority == Authority::Rules && request_hook::is_bound(app, Action::Create) {
            create_inside_hook(app, create, request.clone()).await
        } else {
            run(app, create.limits(app), actor(&request, authority), move |work| create.run(work)).await
        };
        match result {
            Err(RecordError::Outdated) => continue,
            result => return result.map(|(record, position)| Written { record, position, request }),
        }
    }
    Err(RecordError::failed(Action::Create))
}

async fn update_as(
    app: &App,
    collection: &Arc<Collection>,
    id: &str,
    input: Input,
    request: RequestInfo,
    authority: Authority,
) -> Result<Written, RecordError> {
    let mut request = Arc::new(request);
    for _ in 0..ATTEMPTS {
        let (schema, collection) = current(app, collection)?;
        let update = Update::prepare(app, &schema, &collection, id, &input, &mut request, authority).await?;
        let result = if authority == Authority::Rules && request_hook::is_bound(app, Action::Update) {
            update_inside_hook(app, update, request.clone()).await
        } else {
            run(app, update.limits(app), actor(&request, authority), move |work| update.run(work)).await
        };
        match result {
            Err(RecordError::Outdated) => continue,
            result => return result.map(|(record, position)| Written { record, position, request }),
        }
    }
    Err(RecordError::failed(Action::Update))
}

async fn delete_as(
    app: &App,
    collection: &Arc<Collection>,
    id: &str,
    request: RequestInfo,
    authority: Authority,
) -> Result<Option<Position>, RecordError> {
    let request = Arc::new(request);
    for _ in 0..ATTEMPTS {
        let (schema, collection) = current(app, collection)?;
        let delete = Delete::prepare(&schema, &collection, id, &request, authority)?;
        let result = if authority == Authority::Rules && request_hook::is_bound(app, Action::Delete) {
            delete_inside_hook(app, delete, request.clone()).await
        } else {
            let request = actor(&request, authority);
            run(app, delete.limits(app), request, move |work| delete.run(work)).await.map(|((), position)| position)
        };
        match result {
            Err(RecordError::Outdated) => continue,
            result => return result,
        }
    }
    Err(RecordError::failed(Action::Delete))
}

async fn create_inside_hook(
    app: &App,
    mut create: Create,
    request: Arc<RequestInfo>,
) -> Result<(Record, Option<Position>), RecordError> {
    create.precheck(app).await?;
    let (record, inner, caller) = (create.record().clone(), app.clone(), request.clone());
    request_hook::surround(app, Action::Create, record, None, request, |record| async move {
        create.replace(record);
        run_here(&inner, create.limits(&inner), Some(caller), move |work| create.run(work)).await
    })
    .await
}

async fn update_inside_hook(
    app: &App,
    mut update: Update,
    request: Arc<RequestInfo>,
) -> Result<(Record, Option<Position>), RecordError> {
    let (before, after) = update.precheck(app).await?;
    let (seen, inner, caller) = (after.clone(), app.clone(), request.clone());
    request_hook::surround(app, Action::Update, after, Some(before), request, |record| async move {
        update.set_changed(&seen, &record);
        run_here(&inner, update.limits(&inner), Some(caller), move |work| update.run(work)).await
    })
    .await
}

async fn delete_inside_hook(
    app: &App,
    delete: Delete,
    request: Arc<RequestInfo>,
) -> Result<Option<Position>, RecordError> {
    let record = delete.precheck(app).await?;
    let (before, inner, caller) = (record.clone(), app.clone(), request.clone());
    let write = |record| async move {
        let limits = delete.limits(&inner);
        run_here(&inner, limits, Some(caller), move |work| delete.run(work))
            .await
            .map(|((), position)| (record, position))
    };
    let done = request_hook::surround(app, Action::Delete, record, Some(before), request, write).await?;
    Ok(done.1)
}

/// The collection as it is now.
fn current(app: &App, collection: &Collection) -> Result<(Arc<Schema>, Arc<Collection>), RecordError> {
    let schema = app.schema.current();
    let collection = schema.by_id(&collection.id).ok_or(RecordError::MissingCollection)?.clone();
    if collection.is_view() { Err(RecordError::Unsupported) } else { Ok((schema, collection)) }
}

/// The request as changes and hooks name it.
fn actor(request: &Arc<RequestInfo>, authority: Authority) -> Option<Arc<RequestInfo>> {
    (authority == Authority::Rules).then(|| request.clone())
}

/// Runs the steps of a write as a job, then tells whoever listens: also when the caller is gone by then, for what is
/// committed has happened.
pub(crate) async fn run<T: Send + 'static>(
    app: &App,
    limits: JobLimits,
    request: Option<Arc<RequestInfo>>,
    steps: impl FnOnce(&mut Work<'_, '_>) -> Result<T, RecordError> + Send + 'static,
) -> Result<(T, Option<Position>), RecordError> {
    if !app.record_hooks.are_told() {
        return run_here(app, limits, request, steps).await;
    }
    let app = app.clone();
    let write = tokio::spawn(async move { run_here(&app, limits, request, steps).await });
    write.await.unwrap_or_else(|error| Err(RecordError::Storage(error.to_string())))
}

/// As [`run`], for a caller who stays until the end.
async fn run_here<T: Send + 'static>(
    app: &App,
    limits: JobLimits,
    request: Option<Arc<RequestInfo>>,
    steps: impl FnOnce(&mut Work<'_, '_>) -> Result<T, RecordError> + Send + 'static,
) -> Result<(T, Option<Position>), RecordError> {
    let job_app = app.clone();
    let job = move |tx: &mut Tx<'_>| -> Result<(T, Vec<RecordEvent>), RecordError> {
        let schema = job_app.schema.current();
        let mut work = Work::new(&job_app, &schema, tx, request);
        let value = steps(&mut work)?;
        Ok((value, work.into_told()))
    };
    let done = app.writer.run(limits, job).await?;
    let (value, told) = done.value;
    if !told.is_empty() {
        work::tell(app, told)?;
    }
    Ok((value, done.position))
}
