//! Hashes the passwords of a write before it waits for the Writer.

use super::RecordError;
use super::body::Given;
use crate::app::App;
use crate::auth::passwords::HashError;
use crate::errors::{Errors, Invalid};
use crate::schema::{Collection, FieldKind};

/// The passwords of a write as they were entered, by position of their field. Their hashes stand in [`Given`].
pub(crate) type Plain = Vec<(usize, String)>;

/// Replaces plain passwords by their hashes. One that is not valid is left alone: [`super::validate`] refuses it.
pub(crate) async fn hash(
    app: &App,
    collection: &Collection,
    given: &mut Given,
) -> Result<(Plain, Errors), RecordError> {
    let mut plain = Plain::new();
    let mut errors = Errors::new();
    for (position, value) in given.passwords(collection) {
        let field = &collection.fields[position];
        let FieldKind::Password(options) = &field.kind else { continue };
        plain.push((position, value.clone()));
        if value.is_empty() || options.validate_plain(value).is_err() {
            continue;
        }
        match app.hasher.hash(value, u32::try_from(options.cost).unwrap_or_default()).await {
            Ok(hash) => *value = hash,
            Err(HashError::TooLong) => errors.add(field.name.as_str(), Invalid::value()),
            Err(HashError::Overloaded) => return Err(RecordError::Overloaded),
            Err(HashError::Failed(cause)) => return Err(RecordError::Storage(cause)),
        }
    }
    Ok((plain, errors))
}

/// A hash of a password that nobody knows, for records that log in by other ways.
pub(crate) async fn unknown(app: &App) -> Result<String, RecordError> {
    let plain = crate::patterns::random_text(30, crate::patterns::ALPHANUMERIC);
    app.hasher.hash(&plain, 0).await.map_err(|error| match error {
        HashError::Overloaded => RecordError::Overloaded,
        HashError::TooLong | HashError::Failed(_) => RecordError::Storage(error.to_string()),
    })
}
