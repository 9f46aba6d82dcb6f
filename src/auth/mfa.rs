//! The second factor: what stands between the two halves of a login (auth.md §5.4).
//!
//! The first half leaves a row in `_mfas` and is told its id; the second half shows the id and must be of another method.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use headwater_actors::{Action, JobLimits, NewChange, Tx, WriteError};

use super::cache;
use crate::app::App;
use crate::dates;
use crate::patterns;
use crate::records::Record;
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
    Storage(#[from] rusqlite::Error),
}

/// Notes the first factor; the id is for the second half.
pub async fn begin(app: &App, record: &Record, method: &'static str) -> Result<String, WriteError<MfaError>> {
    let mfas = collection(app).map_err(WriteError::Job)?;
    let (owner, now) = ([record.collection.id.clone(), record.id().to_owned()], dates::now());
    let job = move |tx: &mut Tx<'_>| -> Result<String, MfaError> {
        let id = patterns::random_text(15, "abcdefghijklmnopqrstuvwxyz0123456789");
        let mut row = Record::blank(mfas.clone());
        let [collection_ref, record_ref] = owner;
        let values = [
            ("id", id.clone()),
            ("collectionRef", collection_ref),
            ("recordRef", record_ref),
            ("method", method.to_owned()),
            ("created", now.clone()),
            ("updated", now),
        ];
        for (field, value) in &values {
            row.set(field, value.clone());
        }
        let sql = format!(
            "INSERT INTO \"{MFAS}\" (\"id\", \"collectionRef\", \"recordRef\", \"method\", \"created\", \"updated\")
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        );
        tx.conn().prepare_cached(&sql)?.execute(values.each_ref().map(|(_, value)| value))?;
        tx.changed(change(&mfas, &row, Action::Create));
        Ok(id)
    };
    Ok(app.writer.run(JobLimits::ONE, job).await?.value)
}

/// Uses up what the first half left: it counts once, for its own record, for a while, and for another method.
pub async fn complete(
    app: &App,
    record: &Record,
    method: &'static str,
    id: String,
) -> Result<(), WriteError<MfaError>> {
    let mfas = collection(app).map_err(WriteError::Job)?;
    let seconds = record.collection.auth().map_or(0, |options| options.mfa.duration);
    let owner = [record.collection.id.clone(), record.id().to_owned()];
    // A refusal must keep its clean-up, so it is the job's value and not its error.
    let job = move |tx: &mut Tx<'_>| -> Result<Result<(), MfaError>, MfaError> {
        let Some(row) = cache::load(tx.conn(), &mfas, &id)? else { return Ok(Err(MfaError::Expired)) };
        let created = dates::parse_moment(row.text("created"));
        let expired = created.is_none_or(|created| Utc::now() - created > TimeDelta::seconds(seconds));
        if !expired {
            if [row.text("collectionRef"), row.text("recordRef")] != owner {
                return Ok(Err(MfaError::NotYours));
            }
            if row.text("method") == method {
                return Ok(Err(MfaError::SameMethod));
            }
        }
        tx.conn().prepare_cached(&format!("DELETE FROM \"{MFAS}\" WHERE \"id\" = ?1"))?.execute([&id])?;
        tx.changed(change(&mfas, &row, Action::Delete));
        Ok(if expired { Err(MfaError::Expired) } else { Ok(()) })
    };
    app.writer.run(JobLimits::ONE, job).await?.value.map_err(WriteError::Job)
}

fn collection(app: &App) -> Result<Arc<Collection>, MfaError> {
    app.schema.current().find(MFAS).cloned().ok_or(MfaError::NoCollection)
}

fn change(mfas: &Arc<Collection>, row: &Record, action: Action) -> NewChange {
    let (before, after) = match action {
        Action::Delete => (Some(row.to_row()), None),
        _ => (None, Some(row.to_row())),
    };
    NewChange { subject: mfas.clone(), record: row.id().into(), action, before, after, actor: None }
}
