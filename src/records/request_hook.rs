//! Runs a write, or the answer to a read, inside the layers of its request hook.
//!
//! Handlers are plain functions that may block, so the layers run on a thread of the blocking pool; the write itself
//! happens where they call `next`.

use std::sync::Arc;

use headwater_actors::{Action, Position};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::hooks::{Hooks, RecordEvent};
use super::{Record, RecordError};
use crate::app::App;
use crate::hooks::{Hook, Tagged};
use crate::request::RequestInfo;

/// True if a request of this action has to go through [`surround`].
pub(super) fn is_bound(app: &App, action: Action) -> bool {
    !app.record_hooks.of(action).request.is_empty()
}

/// Calls `write` with the record as the handlers leave it, and returns the record as they leave it afterwards.
pub(super) async fn surround<W, F>(
    app: &App,
    action: Action,
    record: Record,
    before: Option<Record>,
    request: Arc<RequestInfo>,
    write: W,
) -> Result<(Record, Option<Position>), RecordError>
where
    W: FnOnce(Record) -> F + Send + 'static,
    F: Future<Output = Result<(Record, Option<Position>), RecordError>>,
{
    let (app, runtime) = (app.clone(), Handle::current());
    let layers = move || {
        let mut event = RecordEvent { app: app.clone(), action, record, before, request: Some(request) };
        let mut write = Some(write);
        let mut position = None;
        let hook = &app.record_hooks.of(action).request;
        hook.trigger(&mut event, |event| {
            // A handler that calls next twice has its write already.
            let Some(write) = write.take() else { return Ok(()) };
            (event.record, position) = runtime.block_on(write(event.record.clone()))?;
            Ok(())
        })?;
        if write.is_some() {
            log::error!("a request hook on {} of {} did not call next", action.as_str(), event.record.collection.name);
            return Err(RecordError::failed(action));
        }
        Ok((event.record, position))
    };
    match spawn_blocking(layers).await {
        // Prepared anew, the write would pass the handlers a second time.
        Ok(Err(RecordError::Outdated)) => Err(RecordError::Overloaded),
        Ok(result) => result,
        Err(error) => Err(RecordError::Storage(error.to_string())),
    }
}

/// Calls `show` with what was read, as the handlers leave it. None if a handler did not call next.
pub(super) async fn surround_read<E, T, S, F>(
    app: &App,
    hook: fn(&Hooks) -> &Hook<E, RecordError>,
    mut event: E,
    show: S,
) -> Result<Option<T>, RecordError>
where
    E: Tagged + Send + 'static,
    T: Send + 'static,
    S: Fn(&E) -> F + Send + 'static,
    F: Future<Output = Result<T, RecordError>>,
{
    let (app, runtime) = (app.clone(), Handle::current());
    let layers = move || {
        let mut shown = None;
        hook(&app.record_hooks).trigger(&mut event, |event| {
            shown = Some(runtime.block_on(show(event))?);
            Ok(())
        })?;
        Ok(shown)
    };
    spawn_blocking(layers).await.map_err(|error| RecordError::Storage(error.to_string()))?
}
