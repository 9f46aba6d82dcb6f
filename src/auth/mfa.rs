//! The second factor: what stands between the two halves of a login (auth.md §5.4).
//!
//! The first half leaves a row in `_mfas` and is told its id; the second half shows the id and must be of another method.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use headwater_actors::ReadError;
use serde_json::{Map, json};

use crate::app::App;
use crate::dates;
use crate::records::{Record, RecordError, save, write};
use crate::schema::Collection;

/// The system collection of logins that are half done.
pub const MFAS: &str = "_mfas";

/// Why a login goes no further.
#[derive(Debug, thiserror::Error)]
pub enum MfaError {
    #[error("Invalid or expired MFA session.")]
    Expired,
    #[error("Invalid MFA session.")]
    NotYours,
    #[error("A different authentication method is required.")]
    SameMethod,
    #[error("there is no collection {MFAS}")]
    NoCollection,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Storage(#[from] rusqlite::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Notes the first factor; the id is for the second half.
pub async fn begin(app: &App, record: &Record, method: &'static str) -> Result<String, MfaError> {
    let values =
        [("collectionRef", json!(record.collection.id)), ("recordRef", json!(record.id())), ("method", json!(method))];
    let values = Map::from_iter(values.map(|(key, value)| (key.to_owned(), value)));
    let row = write::create_by_system(app, &collection(app)?, values).await?;
    Ok(row.id().to_owned())
}

/// Uses up what the first half left: it counts once, for its own record, for a while, and for another method.
pub async fn complete(app: &App, record: &Record, method: &'static str, id: String) -> Result<(), MfaError> {
    let mfas = collection(app)?;
    let known = mfas.clone();
    let row = app.readers.run(move |conn| save::load(conn, &known, &id)).await??;
    let row = row.ok_or(MfaError::Expired)?;
    let expired = expired(record, &row);
    if !expired {
        if [row.text("collectionRef"), row.text("recordRef")] != [record.collection.id.as_str(), record.id()] {
            return Err(MfaError::NotYours);
        }
        if row.text("method") == method {
            return Err(MfaError::SameMethod);
        }
    }
    // Of two that show it at the same time one finds it gone.
    match write::delete_by_system(app, &mfas, row.id()).await {
        Ok(()) if !expired => Ok(()),
        Ok(()) | Err(RecordError::NotFound) => Err(MfaError::Expired),
        Err(error) => Err(error.into()),
    }
}

fn expired(record: &Record, row: &Record) -> bool {
    let seconds = record.collection.auth().map_or(0, |options| options.mfa.duration);
    let lifetime = TimeDelta::try_seconds(seconds).unwrap_or_default();
    dates::parse_moment(row.text("created")).is_none_or(|created| Utc::now() - created > lifetime)
}

fn collection(app: &App) -> Result<Arc<Collection>, MfaError> {
    app.schema.current().find(MFAS).cloned().ok_or(MfaError::NoCollection)
}
