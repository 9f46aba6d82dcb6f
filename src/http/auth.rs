//! Logging in, refreshing and everything else about auth collections.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value as Json, json};

use super::middleware::bearer;
use super::{ApiError, answer, extract};
use crate::app::App;
use crate::auth::admission::{self, AdmissionError};
use crate::auth::login::{self, Credentials, LoginError};
use crate::auth::methods;
use crate::auth::mfa::{self, MfaError};
use crate::auth::passwords::HashError;
use crate::auth::tokens::{self, Claims, TokenError};
use crate::checks::{length, required};
use crate::errors::{Errors, Invalid};
use crate::records::{Record, Shows, expand, output, save};
use crate::request::{Caller, Context};
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

    let record = login::by_password(app, &collection, &credentials).await?;
    let record = record.ok_or_else(|| ApiError::bad_request("Failed to authenticate."))?;
    let token = tokens::issue_auth(&record)?;
    let factor = Factor { method: "password", mfa_id };
    respond(&request, record, token, Some(factor), Context::Password, body.values).await
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
    let token = bearer(request.headers()).unwrap_or_default();
    let renewable = Claims::unverified(token).is_some_and(|claims| claims.refreshable == Some(true));
    let token = if renewable { tokens::issue_auth(record)? } else { token.to_owned() };
    respond(&request, Record::clone(record), token, None, Context::Default, Map::new()).await
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
    respond(&request, record, token, None, Context::Default, body.values).await
}

async fn read(request: &HttpRequest, payload: web::Payload) -> Result<extract::Body, ApiError> {
    let body = extract::body(request, payload, extract::DEFAULT_BODY_LIMIT).await;
    body.map_err(|error| error.or_message(NOT_LOADED))
}

/// How somebody proved who he is, where a second proof may be asked for.
struct Factor {
    method: &'static str,
    /// Of the first half of the login, as it stood in the body; the query goes before it.
    mfa_id: String,
}

/// The end of every way to log in: may it, does it need a second factor, and the record with its token.
async fn respond(
    request: &HttpRequest,
    mut record: Record,
    token: String,
    factor: Option<Factor>,
    context: Context,
    body: Map<String, Json>,
) -> Result<HttpResponse, ApiError> {
    let app = extract::app(request);
    if record.collection.is_superusers() && !extract::admits_superuser(request) {
        return Err(ApiError::forbidden(""));
    }
    let mut info = extract::info(request, context);
    info.body = body;
    let mut info = Arc::new(info);
    if !admission::admits(app, &record, &info).await? {
        let message = "The request doesn't satisfy the collection requirements to authenticate.";
        return Err(ApiError::forbidden(message));
    }
    if let Some(factor) = factor
        && let Some(refused) = second_factor(app, &record, factor, &info).await?
    {
        return Ok(refused);
    }

    // From here on it is the record that asks: what it may see of itself and of what it refers to.
    record.shows = Shows { hidden: record.collection.is_superusers(), email: true };
    if let Some(paths) = info.query.get("expand").filter(|paths| !paths.is_empty()).cloned() {
        let now = Arc::make_mut(&mut info);
        now.caller = Caller::of(Arc::new(record.clone()));
        let (schema, now) = (app.schema.current(), info.clone());
        let expanded = move |conn: &rusqlite::Connection| -> rusqlite::Result<Record> {
            expand::expand(conn, &schema, std::slice::from_mut(&mut record), &paths, &now)?;
            Ok(record)
        };
        record = app.readers.run(expanded).await??;
    }

    match info.query.get("fields").filter(|fields| !fields.is_empty()) {
        Some(fields) => answer::picked(&json!({ "record": output::to_json(&record), "token": token }), Some(fields)),
        None => {
            let mut out = Vec::with_capacity(1024);
            out.extend_from_slice(b"{\"record\":");
            output::write_json(&record, &mut out);
            out.extend_from_slice(b",\"token\":");
            crate::json::write_text(&token, &mut out);
            out.push(b'}');
            Ok(answer::bytes(out))
        }
    }
}

/// What to answer instead of a token, if this was the first half of a login.
async fn second_factor(
    app: &App,
    record: &Record,
    factor: Factor,
    info: &Arc<crate::request::RequestInfo>,
) -> Result<Option<HttpResponse>, ApiError> {
    let wanted = admission::wants_second_factor(app, record, info).await.map_err(|error| match error {
        AdmissionError::Query(_) => ApiError::bad_request("Failed to authenticate."),
        error => error.into(),
    })?;
    if !wanted {
        return Ok(None);
    }
    let given = info.query.get("mfaId").filter(|id| !id.is_empty()).cloned().unwrap_or(factor.mfa_id);
    if given.is_empty() {
        let id = mfa::begin(app, record, factor.method).await?;
        return Ok(Some(answer::json_with_status(StatusCode::UNAUTHORIZED, &json!({ "mfaId": id }))));
    }
    mfa::complete(app, record, factor.method, given).await?;
    Ok(None)
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
