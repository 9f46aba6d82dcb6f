//! Logging in, refreshing and everything else about auth collections.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Map;

use super::auth_answer::{Factor, Login};
use super::middleware::bearer;
use super::{ApiError, answer, extract};
use crate::app::App;
use crate::auth::admission::AdmissionError;
use crate::auth::hooks::{PasswordEvent, RefreshEvent};
use crate::auth::login::{self, Credentials, LoginError};
use crate::auth::methods;
use crate::auth::mfa::MfaError;
use crate::auth::passwords::HashError;
use crate::auth::tokens::{self, Claims, TokenError};
use crate::checks::{length, required};
use crate::errors::{Errors, Invalid};
use crate::records::{Record, save};
use crate::request::Context;
use crate::schema::Collection;

const NOT_LOADED: &str = "An error occurred while loading the submitted data.";
const NOT_VALID: &str = "An error occurred while validating the submitted data.";

pub fn configure(config: &mut web::ServiceConfig) {
    let path = |rest: &str| format!("/api/collections/{{collection}}/{rest}");
    config
        .route(&path("auth-methods"), web::get().to(auth_methods))
        .route(&path("auth-with-password"), web::post().to(auth_with_password))
        .route(&path("auth-refresh"), web::post().to(auth_refresh))
        .route(&path("impersonate/{id}"), web::post().to(impersonate));
}

/// The collection of the path, of whatever type.
fn any_collection(app: &App, name: &str) -> Result<Arc<Collection>, ApiError> {
    let missing = || ApiError::not_found("Missing or invalid collection context.");
    app.schema.current().find(name).cloned().ok_or_else(missing)
}

/// The auth collection of the path.
fn auth_collection(app: &App, name: &str) -> Result<Arc<Collection>, ApiError> {
    let collection = any_collection(app, name)?;
    if !collection.is_auth() {
        return Err(ApiError::not_found("Missing or invalid auth collection context."));
    }
    Ok(collection)
}

async fn auth_methods(request: HttpRequest, collection: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let collection = auth_collection(extract::app(&request), &collection)?;
    let fields = extract::query(&request).remove("fields");
    answer::picked(&methods::of(&collection), fields.as_deref())
}

async fn auth_with_password(
    request: HttpRequest,
    collection: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let app = extract::app(&request);
    let collection = auth_collection(app, &collection)?;
    let Some(options) = collection.auth().filter(|options| options.password_auth.enabled) else {
        let message = "The collection is not configured to allow password authentication.";
        return Err(ApiError::forbidden(message));
    };
    let body = read(&request, payload).await?;
    let text = |key: &str| body.text(key).map_err(|error| error.or_message(NOT_LOADED));
    let credentials = Credentials {
        identity: text("identity")?,
        password: text("password")?,
        identity_field: text("identityField")?,
    };
    let mfa_id = text("mfaId")?;

    let mut errors = Errors::new();
    for (key, value) in [("identity", &credentials.identity), ("password", &credentials.password)] {
        errors.check(key, required(value).and_then(|()| length(value, 1, 255)));
    }
    let field = &credentials.identity_field;
    if !field.is_empty() && !options.password_auth.identity_fields.contains(field) {
        errors.add("identityField", Invalid::new("validation_in_invalid", "must be a valid value"));
    }
    errors.into_result().map_err(|errors| ApiError::bad_request(NOT_VALID).with_errors(&errors))?;

    let record = login::find(app, &collection, &credentials).await?;
    let factor = Factor { method: "password", mfa_id };
    let login = Login::new(&request, Context::Password, body.values, Some(factor));
    let Credentials { identity, password, identity_field } = credentials;
    if app.auth_hooks.password_request.is_empty() {
        let record = proved(app, &collection, record, &password).await?;
        let token = tokens::issue_auth(&record)?;
        return login.conclude(record, token).await;
    }
    let (app, request) = (app.clone(), login.info.clone());
    let mut event = PasswordEvent { app, collection, record, identity, identity_field, password, request };
    login
        .surrounded(move |end| {
            let app = event.app.clone();
            app.auth_hooks.password_request.trigger(&mut event, |event| {
                let record = proved(&event.app, &event.collection, event.record.clone(), &event.password);
                let record = end.wait(record)?;
                let token = tokens::issue_auth(&record)?;
                end.conclude(record, token)
            })
        })
        .await
}

/// The record, if the password is its own.
async fn proved(
    app: &App,
    collection: &Collection,
    record: Option<Record>,
    password: &str,
) -> Result<Record, ApiError> {
    let is_right = login::proves(app, collection, record.as_ref(), password).await?;
    record.filter(|_| is_right).ok_or_else(|| ApiError::bad_request("Failed to authenticate."))
}

async fn auth_refresh(request: HttpRequest, collection: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let app = extract::app(&request);
    let collection = any_collection(app, &collection)?;
    let caller = extract::require_auth(&request)?;
    let record = caller.record().filter(|record| record.collection.id == collection.id);
    let Some(record) = record else {
        let own = caller.record().map_or("", |record| record.collection.name.as_str());
        return Err(ApiError::forbidden(format!("The request requires auth record from {own} collection.")));
    };
    let login = Login::new(&request, Context::Default, Map::new(), None);
    let token = bearer(request.headers()).unwrap_or_default().to_owned();
    let renewable = Claims::unverified(&token).is_some_and(|claims| claims.refreshable == Some(true));
    let renewed = move |record: &Record| if renewable { tokens::issue_auth(record) } else { Ok(token.clone()) };
    let record = Record::clone(record);
    if app.auth_hooks.refresh_request.is_empty() {
        let token = renewed(&record)?;
        return login.conclude(record, token).await;
    }
    let mut event = RefreshEvent { app: app.clone(), record, request: login.info.clone() };
    login
        .surrounded(move |end| {
            let app = event.app.clone();
            app.auth_hooks.refresh_request.trigger(&mut event, |event| {
                let token = renewed(&event.record)?;
                end.conclude(event.record.clone(), token)
            })
        })
        .await
}

async fn impersonate(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let (collection, id) = path.into_inner();
    let app = extract::app(&request);
    any_collection(app, &collection)?;
    extract::require_superuser(&request)?;
    let collection = auth_collection(app, &collection)?;
    let record = app.readers.run(move |conn| save::load(conn, &collection, &id)).await??;
    let record = record.ok_or_else(|| ApiError::not_found(""))?;
    let body = read(&request, payload).await?;
    let duration = body.integer("duration").map_err(|error| error.or_message(NOT_LOADED))?;
    let errors = crate::checks::min(duration, 0).map_err(|invalid| Errors::one("duration", invalid));
    errors.map_err(|errors| ApiError::bad_request(NOT_VALID).with_errors(&errors))?;
    let token = tokens::issue_static(&record, duration)?;
    Login::new(&request, Context::Default, body.values, None).conclude(record, token).await
}

async fn read(request: &HttpRequest, payload: web::Payload) -> Result<extract::Body, ApiError> {
    let body = extract::body(request, payload, extract::DEFAULT_BODY_LIMIT).await;
    body.map_err(|error| error.or_message(NOT_LOADED))
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> ApiError {
        match error {
            LoginError::Read(error) => error.into(),
            LoginError::Storage(error) => error.into(),
            LoginError::Hash(error) => error.into(),
        }
    }
}

impl From<HashError> for ApiError {
    fn from(error: HashError) -> ApiError {
        match error {
            HashError::Overloaded => ApiError::overloaded(),
            error => ApiError::internal(error),
        }
    }
}

impl From<AdmissionError> for ApiError {
    fn from(error: AdmissionError) -> ApiError {
        match error {
            AdmissionError::Read(error) => error.into(),
            AdmissionError::Storage(error) => error.into(),
            // A rule that no longer resolves lets nobody in.
            AdmissionError::Query(error) => {
                log::warn!("an auth rule could not be evaluated: {error}");
                ApiError::forbidden("The request doesn't satisfy the collection requirements to authenticate.")
            }
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> ApiError {
        ApiError::internal(error)
    }
}

impl From<MfaError> for ApiError {
    fn from(error: MfaError) -> ApiError {
        match error {
            MfaError::Expired | MfaError::NotYours | MfaError::SameMethod => ApiError::bad_request(error.to_string()),
            MfaError::Read(error) => error.into(),
            MfaError::Record(error) => error.into(),
            MfaError::NoCollection | MfaError::Storage(_) => ApiError::internal(error),
        }
    }
}
