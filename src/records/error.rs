//! Why a record was not read or written. The HTTP layer turns these into answers in one place.

use headwater_actors::{Action, ReadError, WriteError};
use serde_json::Value as Json;

use crate::errors::Errors;
use crate::query::QueryError;

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The collection's rule for this action is sealed, and the caller is no superuser.
    #[error("only superusers can perform this action")]
    SuperusersOnly,
    /// No such collection, or not any more.
    #[error("missing collection context")]
    MissingCollection,
    /// Views cannot be written.
    #[error("unsupported collection type")]
    Unsupported,
    /// No such record, or none that the rule lets the caller see.
    #[error("the record was not found")]
    NotFound,
    /// The record was not written: what is wrong with which field, or nothing in particular.
    #[error("failed to {} the record", .0.as_str())]
    Failed(Action, Errors),
    /// The record was not written, for the reason that this sentence gives.
    #[error("{0}")]
    Refused(&'static str),
    /// A list's parameters make no sense.
    #[error("invalid list parameters")]
    Parameters,
    /// A filter or sort was refused.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An extension refused, with an answer of its own.
    #[error("{message}")]
    Hook { status: u16, message: String, data: Json },
    /// The caller asks too often.
    #[error("too many requests")]
    TooManyRequests,
    /// The collections changed while the write waited; it is prepared anew.
    #[error("the collections changed meanwhile")]
    Outdated,
    /// It took longer than it may.
    #[error("the time limit was reached")]
    Interrupted,
    /// A queue is full. Nothing was stored; trying again makes sense.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The database failed; the text is for the log.
    #[error("{0}")]
    Storage(String),
}

impl RecordError {
    /// A write that was refused without details.
    pub(crate) fn failed(action: Action) -> RecordError {
        RecordError::Failed(action, Errors::new())
    }
}

impl From<rusqlite::Error> for RecordError {
    fn from(error: rusqlite::Error) -> RecordError {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
            return RecordError::Interrupted;
        }
        // The statement was prepared for collections that an earlier write of the same group has just changed.
        let text = error.to_string();
        if text.contains("no such column") || text.contains("no such table") || text.contains("has no column named") {
            return RecordError::Outdated;
        }
        RecordError::Storage(text)
    }
}

impl From<ReadError> for RecordError {
    fn from(error: ReadError) -> RecordError {
        match error {
            ReadError::Overloaded | ReadError::Stopped => RecordError::Overloaded,
            ReadError::Panicked => RecordError::Storage(error.to_string()),
        }
    }
}

impl From<WriteError<RecordError>> for RecordError {
    fn from(error: WriteError<RecordError>) -> RecordError {
        match error {
            WriteError::Job(error) => error,
            WriteError::Overloaded | WriteError::Stopped => RecordError::Overloaded,
            WriteError::Panicked | WriteError::Storage(_) => RecordError::Storage(error.to_string()),
        }
    }
}
