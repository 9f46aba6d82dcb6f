//! The settings API (superusers only): the reference's document, and below its own key what is Headwater's alone.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use headwater_actors::JobLimits;
use serde::Serialize;

use super::{ApiError, answer, extract};
use crate::errors::Errors;
use crate::ops::own_settings::{self, OwnSettings};
use crate::ops::settings::{MergeError, Settings};

pub fn configure(config: &mut web::ServiceConfig) {
    let settings = web::resource("/api/settings").route(web::get().to(show)).route(web::patch().to(change));
    config.service(settings);
}

async fn show(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let app = extract::app(&request);
    respond(&request, &app.settings.current(), &app.own_settings.current())
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

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Refused {
        Refused::Storage(error)
    }
}

impl From<MergeError> for Refused {
    fn from(MergeError: MergeError) -> Refused {
        Refused::NotSettings
    }
}

async fn change(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let mut body = extract::body(&request, payload, extract::DEFAULT_BODY_LIMIT)
        .await
        .map_err(|error| error.or_message("An error occurred while loading the submitted data."))?;
    let own_changes = OwnSettings::take_changes(&mut body.values, body.form);
    // Who names only ours leaves the reference's row as it is.
    let (own_named, theirs_named) = (own_changes.is_some(), own_changes.is_none() || !body.values.is_empty());
    let app = extract::app(&request).clone();
    let cache = app.clone();
    // Merged inside the job, so that of two changes at the same time neither is lost.
    let job = move |tx: &mut headwater_actors::Tx<'_>| {
        let settings = Settings::load(tx.conn())?.merged(&body.values, body.form)?;
        let own = OwnSettings::load(tx.conn())?.merged(&own_changes.unwrap_or_default(), body.form)?;
        let mut errors = settings.check();
        errors.nest(own_settings::KEY, own.check());
        errors.into_result().map_err(Refused::Invalid)?;
        if theirs_named {
            settings.store(tx.conn())?;
        }
        if own_named {
            own.store(tx.conn())?;
        }
        let (settings, own) = (Arc::new(settings), Arc::new(own));
        let current = (settings.clone(), own.clone());
        tx.after_commit(move || {
            if theirs_named {
                cache.settings.replace(current.0);
            }
            if own_named {
                cache.own_settings.replace(current.1);
            }
        });
        Ok::<_, Refused>((settings, own))
    };
    let (settings, own) = app.writer.run(JobLimits::MANY, job).await?.value;
    respond(&request, &settings, &own)
}

fn respond(request: &HttpRequest, settings: &Settings, own: &OwnSettings) -> Result<HttpResponse, ApiError> {
    #[derive(Serialize)]
    struct Document {
        #[serde(flatten)]
        settings: Settings,
        headwater: OwnSettings,
    }
    let fields = extract::query(request).remove("fields");
    answer::picked(&Document { settings: settings.public(), headwater: own.public() }, fields.as_deref())
}
