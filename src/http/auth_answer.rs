//! The end of every way to log in: may the record, does it need a second factor, and the record with its token.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value as Json, json};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::{ApiError, answer, extract};
use crate::app::App;
use crate::auth::admission::{self, AdmissionError};
use crate::auth::hooks::{AuthEvent, SecondFactorNeeded, Stopped};
use crate::auth::mfa;
use crate::records::{Record, Shows, expand, output, present};
use crate::request::{Caller, Context, RequestInfo};

/// How somebody proved who he is, where a second proof may be asked for.
pub(super) struct Factor {
    pub method: &'static str,
    /// Of the first half of the login, as it stood in the body; the query goes before it.
    pub mfa_id: String,
}

/// A login on its way to the answer.
pub(super) struct Login {
    app: App,
    pub info: Arc<RequestInfo>,
    /// Superusers may come from where the request comes from.
    admits_superuser: bool,
    factor: Option<Factor>,
}

/// What to answer.
enum Outcome {
    Token {
        record: Box<Record>,
        token: String,
        meta: Option<Json>,
    },
    /// The first half of a login, under this id.
    Half(String),
    /// Handlers did not let it come to an answer.
    Nothing,
}

impl Login {
    pub fn new(request: &HttpRequest, context: Context, body: Map<String, Json>, factor: Option<Factor>) -> Login {
        let mut info = extract::info(request, context);
        info.body = body;
        Login {
            app: extract::app(request).clone(),
            info: Arc::new(info),
            admits_superuser: extract::admits_superuser(request),
            factor,
        }
    }

    /// Answers the record, which is to have this token.
    pub async fn conclude(self, record: Record, token: String) -> Result<HttpResponse, ApiError> {
        if !self.app.auth_hooks.auth_request.is_empty() {
            return self.surrounded(move |end| end.conclude(record, token)).await;
        }
        self.admit(&record).await?;
        let outcome = self.outcome(record, token, None).await?;
        self.answer(outcome)
    }

    /// As [`Login::conclude`], where handlers are attached: `layers` runs on a thread that may be blocked, and calls
    /// [`End::conclude`] inside them. One thread serves all layers of a login, so that logins never wait for each other's.
    pub async fn surrounded<L>(self, layers: L) -> Result<HttpResponse, ApiError>
    where
        L: FnOnce(&mut End) -> Result<(), Stopped> + Send + 'static,
    {
        let mut end = End { login: self, runtime: Handle::current(), outcome: Outcome::Nothing };
        let run = move || {
            let result = layers(&mut end);
            (end, result)
        };
        let (end, result) = spawn_blocking(run).await.map_err(ApiError::internal)?;
        match result {
            Err(error) if !error.is::<SecondFactorNeeded>() => Err(ApiError::of_handler(error)),
            _ => end.login.answer(end.outcome),
        }
    }

    async fn admit(&self, record: &Record) -> Result<(), ApiError> {
        if record.collection.is_superusers() && !self.admits_superuser {
            return Err(ApiError::forbidden(""));
        }
        if !admission::admits(&self.app, record, &self.info).await? {
            let message = "The request doesn't satisfy the collection requirements to authenticate.";
            return Err(ApiError::forbidden(message));
        }
        Ok(())
    }

    async fn outcome(&self, mut record: Record, token: String, meta: Option<Json>) -> Result<Outcome, ApiError> {
        if let Some(factor) = &self.factor
            && let Some(id) = self.first_half(&record, factor).await?
        {
            return Ok(Outcome::Half(id));
        }
        // From here on it is the record that asks: what it may see of itself and of what it refers to.
        record.shows = Shows { hidden: record.collection.is_superusers(), email: true };
        let paths = self.info.query.get("expand").filter(|paths| !paths.is_empty()).cloned();
        if paths.is_some() || !self.app.record_hooks.enrich.is_empty() {
            let mut info = RequestInfo::clone(&self.info);
            info.caller = Caller::of(Arc::new(record.clone()));
            let (app, schema, info) = (self.app.clone(), self.app.schema.current(), Arc::new(info));
            let presented = move |conn: &rusqlite::Connection| -> Result<Record, ApiError> {
                let record_alone = std::slice::from_mut(&mut record);
                if let Some(paths) = paths {
                    expand::expand(conn, &schema, record_alone, &paths, &info)?;
                }
                present::enrich(&app, record_alone, &info)?;
                Ok(record)
            };
            record = self.app.readers.run(presented).await??;
        }
        Ok(Outcome::Token { record: Box::new(record), token, meta })
    }

    /// The id that the second half will need, if this was the first half of a login.
    async fn first_half(&self, record: &Record, factor: &Factor) -> Result<Option<String>, ApiError> {
        let wanted = admission::wants_second_factor(&self.app, record, &self.info).await;
        let wanted = wanted.map_err(|error| match error {
            AdmissionError::Query(_) => ApiError::bad_request("Failed to authenticate."),
            error => error.into(),
        })?;
        if !wanted {
            return Ok(None);
        }
        let given = self.info.query.get("mfaId").filter(|id| !id.is_empty()).unwrap_or(&factor.mfa_id);
        if given.is_empty() {
            return Ok(Some(mfa::begin(&self.app, record, factor.method).await?));
        }
        mfa::complete(&self.app, record, factor.method, given.clone()).await?;
        Ok(None)
    }

    fn answer(&self, outcome: Outcome) -> Result<HttpResponse, ApiError> {
        let (record, token, meta) = match outcome {
            Outcome::Token { record, token, meta } => (record, token, meta),
            Outcome::Half(id) => {
                return Ok(answer::json_with_status(StatusCode::UNAUTHORIZED, &json!({ "mfaId": id })));
            }
            Outcome::Nothing => return Ok(HttpResponse::Ok().finish()),
        };
        if let Some(fields) = self.info.query.get("fields").filter(|fields| !fields.is_empty()) {
            let mut whole = Map::new();
            whole.extend(meta.map(|meta| ("meta".to_owned(), meta)));
            whole.insert("record".to_owned(), output::to_json(&record));
            whole.insert("token".to_owned(), token.into());
            return answer::picked(&Json::Object(whole), Some(fields));
        }
        let mut out = Vec::with_capacity(1024);
        out.push(b'{');
        if let Some(meta) = &meta {
            out.extend_from_slice(b"\"meta\":");
            crate::json::write(meta, &mut out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"record\":");
        output::write_json(&record, &mut out);
        out.extend_from_slice(b",\"token\":");
        crate::json::write_text(&token, &mut out);
        out.push(b'}');
        Ok(answer::bytes(out))
    }
}

/// The end of a login inside the layers of its hooks, on a thread that may be blocked.
pub(super) struct End {
    login: Login,
    runtime: Handle,
    outcome: Outcome,
}

impl End {
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The record may have this token, if the handlers agree.
    pub fn conclude(&mut self, record: Record, token: String) -> Result<(), Stopped> {
        self.wait(self.login.admit(&record))?;
        let End { login, runtime, outcome } = self;
        let method = login.factor.as_ref().map_or("", |factor| factor.method);
        let (app, request) = (login.app.clone(), login.info.clone());
        let mut event = AuthEvent { app, record, token, meta: None, method, request };
        login.app.auth_hooks.auth_request.trigger(&mut event, |event| {
            // A handler that calls next twice has its answer already.
            if let Outcome::Nothing = outcome {
                let (record, token, meta) = (event.record.clone(), event.token.clone(), event.meta.clone());
                *outcome = runtime.block_on(login.outcome(record, token, meta))?;
            }
            if let Outcome::Half(_) = outcome { Err(SecondFactorNeeded.into()) } else { Ok(()) }
        })
    }
}
