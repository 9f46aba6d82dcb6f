//! Whether a record that proved who it is may log in: the rule of its collection, and a second factor where one is due.

use std::sync::Arc;

use headwater_actors::ReadError;

use crate::app::App;
use crate::query::{Base, QueryError, Select};
use crate::records::Record;
use crate::request::RequestInfo;
use crate::schema::Rule;

/// Why it could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Storage(#[from] rusqlite::Error),
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// True if the collection's `authRule` lets the record log in. The rule sees who asks, not who is about to be.
pub async fn admits(app: &App, record: &Record, request: &Arc<RequestInfo>) -> Result<bool, AdmissionError> {
    let Some(options) = record.collection.auth() else { return Ok(false) };
    match &options.auth_rule {
        _ if request.caller.is_superuser() => Ok(true),
        Rule::Sealed => Ok(false),
        Rule::Open => Ok(true),
        Rule::When(rule) => satisfies(app, record, rule, request).await,
    }
}

/// True if the collection asks this record for a second factor.
pub async fn wants_second_factor(
    app: &App,
    record: &Record,
    request: &Arc<RequestInfo>,
) -> Result<bool, AdmissionError> {
    match record.collection.auth() {
        Some(options) if options.mfa.enabled && options.mfa.rule.is_empty() => Ok(true),
        Some(options) if options.mfa.enabled => satisfies(app, record, &options.mfa.rule, request).await,
        _ => Ok(false),
    }
}

async fn satisfies(app: &App, record: &Record, rule: &str, request: &Arc<RequestInfo>) -> Result<bool, AdmissionError> {
    let (schema, collection, request) = (app.schema.current(), record.collection.clone(), request.clone());
    let (id, rule) = (record.id().to_owned(), rule.to_owned());
    let job = move |conn: &rusqlite::Connection| -> Result<bool, AdmissionError> {
        let mut select = Select::new(&schema, &collection, &request, Base::Stored);
        Ok(select.rule(&rule)?.only(&id).exists().any(conn)?)
    };
    app.readers.run(job).await?
}
