//! The first superuser of a fresh directory: a helper account whose token, printed at the start, may create him.
//!
//! The account has no password that anybody knows, and goes with the creation of the first real superuser (which the
//! write pipeline sees to).

use serde_json::{Map, Value as Json, json};

use super::cache;
use super::tokens;
use crate::app::App;
use crate::patterns;
use crate::records::{RecordError, write};
use crate::schema::SUPERUSERS;

/// The address of the helper account.
pub const INSTALLER_EMAIL: &str = "__pbinstaller@example.com";

/// Seconds for which the token is good.
const LIFETIME: i64 = 30 * 60;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum InstallerError {
    #[error("there is no collection {SUPERUSERS}")]
    NoCollection,
    #[error(transparent)]
    Read(#[from] headwater_actors::ReadError),
    #[error(transparent)]
    Storage(#[from] rusqlite::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Token(#[from] tokens::TokenError),
}

/// A token with which the first superuser can be created; none if there is one already.
pub async fn invite(app: &App) -> Result<Option<String>, InstallerError> {
    let schema = app.schema.current();
    let superusers = schema.find(SUPERUSERS).cloned().ok_or(InstallerError::NoCollection)?;
    let collection = superusers.clone();
    let (real, installer) = app
        .readers
        .run(move |conn| {
            let real = cache::load_where(conn, &collection, "\"email\" != ?1", INSTALLER_EMAIL)?;
            let installer = cache::load_where(conn, &collection, "\"email\" = ?1", INSTALLER_EMAIL)?;
            Ok::<_, rusqlite::Error>((real, installer))
        })
        .await??;
    if real.is_some() {
        return Ok(None);
    }
    let installer = match installer {
        Some(installer) => installer,
        None => write::create_by_system(app, &superusers, account()).await?,
    };
    Ok(Some(tokens::issue_static(&installer, LIFETIME)?))
}

fn account() -> Map<String, Json> {
    let password = patterns::random_text(30, patterns::ALPHANUMERIC);
    Map::from_iter([("email".to_owned(), json!(INSTALLER_EMAIL)), ("password".to_owned(), json!(password))])
}
