//! The records API.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use headwater_actors::{Action, Position};
use rand::RngExt;

use super::{ApiError, answer, extract, limits};
use crate::app::App;
use crate::ops::rate_limits::RateLimiter;
use crate::query::QueryError;
use crate::records::{Input, RecordError, present, read, write};
use crate::request::Context;
use crate::schema::{Collection, FieldKind};

/// Where the change of a write stands in the stream, as `EPOCH:SEQ`: a client that subscribes from there misses nothing.
const POSITION: HeaderName = HeaderName::from_static("headwater-seq");

pub fn configure(config: &mut web::ServiceConfig) {
    let records =
        web::resource("/api/collections/{collection}/records").route(web::get().to(list)).route(web::post().to(create));
    let record = web::resource("/api/collections/{collection}/records/{id}")
        .route(web::get().to(view))
        .route(web::patch().to(update))
        .route(web::delete().to(delete));
    config.service(record).service(records);
}

async fn list(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let app = extract::app(&request);
    let collection = find(app, &path)?;
    let page = read::list(app, &collection, extract::info(&request, Context::Default)).await?;
    if page.is_empty_search {
        slow_down(&request, &collection).await;
    }
    Ok(answer::bytes_or_nothing(page.json))
}

async fn view(request: HttpRequest, path: web::Path<(String, String)>) -> Result<HttpResponse, ApiError> {
    let app = extract::app(&request);
    let collection = find(app, &path.0)?;
    let record = read::view(app, &collection, &path.1, extract::info(&request, Context::Default)).await?;
    Ok(answer::bytes_or_nothing(record))
}

async fn create(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let app = extract::app(&request);
    let collection = writable(app, &path)?;
    let input = input(&request, payload, &collection).await?;
    let written = write::create(app, &collection, input, extract::info(&request, Context::Default)).await?;
    let json = present::written(app, written.record, written.request).await?;
    Ok(at(answer::bytes_or_nothing(json), written.position))
}

async fn update(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let app = extract::app(&request);
    let collection = writable(app, &path.0)?;
    let input = input(&request, payload, &collection).await?;
    let info = extract::info(&request, Context::Default);
    let written = write::update(app, &collection, &path.1, input, info).await?;
    let json = present::written(app, written.record, written.request).await?;
    Ok(at(answer::bytes_or_nothing(json), written.position))
}

async fn delete(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let app = extract::app(&request);
    let collection = find(app, &path.0)?;
    if collection.is_view() {
        return Err(RecordError::Unsupported.into());
    }
    let mut info = extract::info(&request, Context::Default);
    info.body = input(&request, payload, &collection).await?.values;
    let position = write::delete(app, &collection, &path.1, info).await?;
    Ok(at(answer::nothing(), position))
}

/// Searches that find nothing are how one guesses at what a rule hides, by how long they take: after a few of them the
/// answers wait for a time that tells nothing.
async fn slow_down(request: &HttpRequest, collection: &Collection) {
    let Some(client) = limits::client(request) else { return };
    if let Some(wait) = wait(&extract::app(request).rate_limiter, client, &collection.id) {
        actix_web::rt::time::sleep(wait).await;
    }
}

/// How long the answer to one more search that found nothing has to wait.
fn wait(limiter: &RateLimiter, client: IpAddr, collection_id: &str) -> Option<Duration> {
    const SEARCHES: i64 = 3;
    const WINDOW: Duration = Duration::from_secs(3);
    const LONGEST_WAIT: u64 = 500;

    let place = format!("search {collection_id}");
    let is_free = limiter.take(&place, client, SEARCHES, WINDOW);
    (!is_free).then(|| Duration::from_millis(rand::rng().random_range(0..LONGEST_WAIT)))
}

/// The collection that a path names.
pub(super) fn find(app: &App, name: &str) -> Result<Arc<Collection>, ApiError> {
    Ok(app.schema.current().find(name).ok_or(RecordError::MissingCollection)?.clone())
}

fn writable(app: &App, name: &str) -> Result<Arc<Collection>, ApiError> {
    let missing = "Missing or invalid collection context.";
    let collection = app.schema.current().find(name).ok_or_else(|| ApiError::not_found(missing))?.clone();
    if collection.is_view() { Err(RecordError::Unsupported.into()) } else { Ok(collection) }
}

async fn input(request: &HttpRequest, payload: web::Payload, collection: &Collection) -> Result<Input, ApiError> {
    let body = extract::body(request, payload, body_limit(collection)).await?;
    Ok(Input { values: body.values, files: body.files })
}

/// Bytes of a body: the usual allowance, and what the large fields may hold.
fn body_limit(collection: &Collection) -> usize {
    let or = |size: i64, default: i64| if size <= 0 { default } else { size };
    let large = collection.fields.iter().map(|field| match &field.kind {
        FieldKind::Editor(options) => or(options.max_size, 5 << 20),
        FieldKind::Json(options) => or(options.max_size, 1 << 20),
        FieldKind::File(options) => or(options.max_size, 5 << 20).saturating_mul(options.max_select.max(1)),
        _ => 0,
    });
    let large = large.fold(0_i64, i64::saturating_add);
    extract::DEFAULT_BODY_LIMIT.saturating_add(usize::try_from(large).unwrap_or(usize::MAX))
}

/// An answer with the position of the change.
pub(super) fn at(mut response: HttpResponse, position: Option<Position>) -> HttpResponse {
    if let Some(value) = position.and_then(|position| HeaderValue::from_str(&position.to_string()).ok()) {
        response.headers_mut().insert(POSITION, value);
    }
    response
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> ApiError {
        match error {
            RecordError::SuperusersOnly => ApiError::forbidden("Only superusers can perform this action."),
            RecordError::MissingCollection => ApiError::not_found("Missing collection context."),
            RecordError::Unsupported => ApiError::bad_request("Unsupported collection type."),
            RecordError::NotFound => ApiError::not_found(""),
            RecordError::Failed(action, errors) => ApiError::bad_request(failed(action)).with_errors(&errors),
            RecordError::Refused(message) => ApiError::bad_request(message),
            RecordError::Parameters | RecordError::Interrupted | RecordError::Query(QueryError::Invalid(_)) => {
                ApiError::bad_request("")
            }
            RecordError::Query(QueryError::Forbidden(message)) => ApiError::forbidden(message),
            RecordError::Hook { status, message, data } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                ApiError { data, ..ApiError::new(status, message) }
            }
            RecordError::TooManyRequests => ApiError::new(StatusCode::TOO_MANY_REQUESTS, ""),
            RecordError::Outdated | RecordError::Overloaded => ApiError::overloaded(),
            RecordError::Storage(cause) => ApiError::internal(cause),
        }
    }
}

fn failed(action: Action) -> &'static str {
    match action {
        Action::Create => "Failed to create record.",
        Action::Update => "Failed to update record.",
        Action::Delete => {
            "Failed to delete record. Make sure that the record is not part of a required relation reference."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_search_in_vain_waits_for_a_time_that_tells_nothing() {
        let limiter = RateLimiter::default();
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        assert!((0..3).all(|_| wait(&limiter, one, "posts").is_none()));
        let waits: Vec<_> = (0..50).filter_map(|_| wait(&limiter, one, "posts")).collect();
        assert_eq!(waits.len(), 50);
        assert!(waits.iter().all(|wait| *wait < Duration::from_millis(500)));
        assert!(waits.iter().any(|wait| *wait != waits[0]), "the same wait would tell as much as none");
        assert_eq!(wait(&limiter, other, "posts"), None);
        assert_eq!(wait(&limiter, one, "comments"), None);
    }
}
