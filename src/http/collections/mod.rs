//! The collections API (superusers only).

mod list;
mod meta;

use actix_web::{HttpRequest, HttpResponse, web};
use headwater_actors::WriteError;
use serde_json::{Map, Value as Json};

use super::{ApiError, answer, extract};
pub(super) use meta::read_query;

use crate::checks;
use crate::errors::{Errors, Invalid};
use crate::realtime::explain::explain;
use crate::records::{RecordError, truncate};
use crate::request::Context;
use crate::schema::save::{self, SaveError};
use crate::schema::{Collection, import};

pub fn configure(config: &mut web::ServiceConfig) {
    let all = web::resource("/api/collections").route(web::get().to(list::list)).route(web::post().to(create));
    let one = web::resource("/api/collections/{collection}")
        .route(web::get().to(view))
        .route(web::patch().to(update))
        .route(web::delete().to(delete));
    config
        .service(all)
        .service(web::resource("/api/collections/import").route(web::put().to(run_import)))
        .configure(meta::configure)
        .service(web::resource("/api/collections/{collection}/truncate").route(web::delete().to(truncate_records)))
        .service(web::resource("/api/collections/{collection}/rules/explain").route(web::get().to(explain_rules)))
        .service(one);
}

const MALFORMED: &str = "Failed to load the submitted data due to invalid formatting.";

async fn view(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let schema = extract::app(&request).schema.current();
    show(&request, schema.find(&path).ok_or(ApiError::not_found(""))?)
}

/// How the rules are answered when a record has changed.
async fn explain_rules(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let schema = extract::app(&request).schema.current();
    let explained = explain(&schema, schema.find(&path).ok_or(ApiError::not_found(""))?);
    answer::picked(&explained, extract::query(&request).get("fields").map(String::as_str))
}

async fn create(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let malformed = "Failed to load the collection type data due to invalid formatting.";
    let body = read(&request, payload, malformed).await?;
    if !["name", "type"].iter().all(|key| is_text(&body, key)) {
        return Err(ApiError::bad_request(malformed));
    }
    let collection = save::create(extract::app(&request), body).await.map_err(|error| refused(error, "create"))?;
    show(&request, &collection)
}

async fn update(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let app = extract::app(&request);
    let id = app.schema.current().find(&path).ok_or(ApiError::not_found(""))?.id.clone();
    let body = read(&request, payload, MALFORMED).await?;
    let collection = save::update(app, id, body).await.map_err(|error| refused(error, "update"))?;
    show(&request, &collection)
}

async fn delete(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let app = extract::app(&request);
    let deleted = save::delete(app, path.into_inner()).await.map_err(|error| refused(error, "delete"))?;
    // An id that came in by another way than through us may lead out of the folder, or be all of it.
    if !deleted.is_view() && !deleted.id.is_empty() && checks::word(&deleted.id).is_ok() {
        remove_files(app.config.dir.join("storage").join(&deleted.id));
    }
    Ok(answer::nothing())
}

async fn truncate_records(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let app = extract::app(&request);
    let collection = app.schema.current().find(&path).cloned().ok_or(ApiError::not_found(""))?;
    if collection.is_view() {
        let message = "View collections cannot be truncated since they don't store their own records.";
        return Err(ApiError::bad_request(message));
    }
    let info = extract::info(&request, Context::Default);
    truncate::truncate(app, &collection, info).await.map_err(|error| match error {
        RecordError::Failed(..) | RecordError::Refused(_) => ApiError::bad_request(
            "Failed to truncate collection (most likely due to required cascade delete record references).",
        ),
        error => error.into(),
    })?;
    Ok(answer::nothing())
}

/// The records are gone for good by now; nobody needs to wait for their files.
fn remove_files(folder: std::path::PathBuf) {
    actix_web::rt::task::spawn_blocking(move || match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            log::warn!("could not remove {}: {error}", folder.display());
        }
        _ => {}
    });
}

async fn run_import(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let malformed = "An error occurred while loading the submitted data.";
    let mut body = read(&request, payload, malformed).await?;
    let delete_missing = match body.get("deleteMissing") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(flag)) => *flag,
        Some(_) => return Err(ApiError::bad_request(malformed)),
    };
    let items = match body.remove("collections") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(items)) => items,
        Some(_) => return Err(ApiError::bad_request(malformed)),
    };
    if items.is_empty() {
        let errors = Errors::one("collections", Invalid::required());
        return Err(
            ApiError::bad_request("An error occurred while validating the submitted data.").with_errors(&errors)
        );
    }
    let object = |item| match item {
        Json::Object(item) => Some(item),
        _ => None,
    };
    let items: Option<Vec<Map<String, Json>>> = items.into_iter().map(object).collect();
    let items = items.ok_or(ApiError::bad_request(malformed))?;
    import::import(extract::app(&request), items, delete_missing).await.map_err(|error| match error {
        WriteError::Job(SaveError::Invalid(errors)) => {
            ApiError::bad_request("Failed to import collections.").with_errors(&errors)
        }
        error => refused(error, "import"),
    })?;
    Ok(answer::nothing())
}

fn show(request: &HttpRequest, collection: &Collection) -> Result<HttpResponse, ApiError> {
    answer::picked(collection, extract::query(request).get("fields").map(String::as_str))
}

async fn read(request: &HttpRequest, payload: web::Payload, malformed: &str) -> Result<Map<String, Json>, ApiError> {
    let body = extract::body(request, payload, extract::DEFAULT_BODY_LIMIT).await;
    body.map(|body| body.values).map_err(|error| error.or_message(malformed))
}

fn is_text(body: &Map<String, Json>, key: &str) -> bool {
    matches!(body.get(key), None | Some(Json::Null | Json::String(_)))
}

/// Why a collection was not saved or deleted, as clients see it.
fn refused(error: WriteError<SaveError>, action: &str) -> ApiError {
    let error = match error {
        WriteError::Job(error) => error,
        WriteError::Overloaded => return ApiError::overloaded(),
        error => return ApiError::internal(error),
    };
    let failed = format!("Failed to {action} collection");
    match error {
        SaveError::Missing => ApiError::not_found(""),
        SaveError::Malformed(reason) => {
            log::debug!("{failed}: {reason}");
            ApiError::bad_request(MALFORMED)
        }
        SaveError::Invalid(errors) => ApiError::bad_request(failed).with_errors(&errors),
        SaveError::Referenced(names) => {
            ApiError::bad_request(format!("{failed} probably due to existing reference in {}", names.join(", ")))
        }
        SaveError::Refused(reason) if action == "delete" => {
            log::info!("{failed}: {reason}");
            ApiError::bad_request(failed)
        }
        SaveError::Refused(_) | SaveError::Database(_) => {
            ApiError::bad_request(format!("{failed}. Raw error: \n{error}"))
        }
    }
}
