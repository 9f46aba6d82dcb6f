//! The settings API (superusers only).

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use headwater_actors::JobLimits;

use super::{ApiError, answer, extract};
use crate::errors::Errors;
use crate::ops::settings::{MergeError, Settings};

pub fn configure(config: &mut web::ServiceConfig) {
    let settings = web::resource("/api/settings").route(web::get().to(show)).route(web::patch().to(change));
    config.service(settings);
}

async fn show(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    respond(&request, &extract::app(&request).settings.current())
}

/// Why settings were not changed.
enum Refused {
    NotSettings,
    Invalid(Errors),
    Storage(rusqlite::Error),
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> ApiError {
        match refused {
            Refused::NotSettings => ApiError::bad_request("An error occurred while loading the submitted data."),
            Refused::Invalid(errors) => {
                ApiError::bad_request("An error occurred while saving the new settings.").with_errors(&errors)
            }
            Refused::Storage(error) => ApiError::internal(error),
        }
    }
}

async fn change(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let body = extract::body(&request, payload, extract::DEFAULT_BODY_LIMIT)
        .await
        .map_err(|error| error.or_message("An error occurred while loading the submitted data."))?;
    let app = extract::app(&request).clone();
    let cache = app.clone();
    // Merged inside the job, so that of two changes at the same time neither is lost.
    let job = move |tx: &mut headwater_actors::Tx<'_>| {
        let stored = Settings::load(tx.conn()).map_err(Refused::Storage)?;
        let settings = stored.merged(&body.values, body.form).map_err(|MergeError| Refused::NotSettings)?;
        settings.check().into_result().map_err(Refused::Invalid)?;
        settings.store(tx.conn()).map_err(Refused::Storage)?;
        let settings = Arc::new(settings);
        let current = settings.clone();
        tx.after_commit(move || cache.settings.replace(current));
        Ok::<_, Refused>(settings)
    };
    let settings = app.writer.run(JobLimits::ONE, job).await?.value;
    respond(&request, &settings)
}

fn respond(request: &HttpRequest, settings: &Settings) -> Result<HttpResponse, ApiError> {
    let fields = extract::query(request).remove("fields");
    answer::picked(&settings.public(), fields.as_deref())
}
