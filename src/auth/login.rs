//! Logging in with a password: whose it is.
//!
//! What it costs says nothing about who exists: for an unknown identity a hash is computed all the same.

use std::sync::Arc;

use headwater_actors::{JobLimits, ReadError, WriteError};
use rusqlite::Connection;

use super::cache::load_where;
use super::passwords::HashError;
use crate::app::App;
use crate::checks;
use crate::records::Record;
use crate::schema::indexes::single_unique;
use crate::schema::row_sql::quoted;
use crate::schema::{Collection, FieldKind};

/// What somebody logs in with.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub identity: String,
    pub password: String,
    /// The only field to look in; empty for all identity fields.
    pub identity_field: String,
}

/// Why nobody can be told whether the password is right.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Storage(#[from] rusqlite::Error),
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// The record whose identity this is. Nothing is said about the password.
pub async fn find(
    app: &App,
    collection: &Arc<Collection>,
    credentials: &Credentials,
) -> Result<Option<Record>, LoginError> {
    let (wanted, whose) = (credentials.clone(), collection.clone());
    Ok(app.readers.run(move |conn| look_up(conn, &whose, &wanted)).await??)
}

/// True if the password is the record's. That there is no record takes as long to find out.
pub async fn proves(
    app: &App,
    collection: &Collection,
    record: Option<&Record>,
    password: &str,
) -> Result<bool, LoginError> {
    let known = record.map(|record| (record, record.text("password"))).filter(|(_, hash)| !hash.is_empty());
    let Some((record, hash)) = known else {
        app.hasher.pretend(password, cost(collection)).await?;
        return Ok(false);
    };
    if !app.hasher.verify(password, hash).await? {
        return Ok(false);
    }
    if app.hasher.outdated(hash) {
        tokio::spawn(rehash(app.clone(), record.clone(), password.to_owned()));
    }
    Ok(true)
}

/// Looks in the identity fields, `email` first. A field counts only while a unique index says that the answer is one.
fn look_up(
    conn: &Connection,
    collection: &Arc<Collection>,
    credentials: &Credentials,
) -> rusqlite::Result<Option<Record>> {
    let Some(options) = collection.auth() else { return Ok(None) };
    let mut fields: Vec<&str> = options.password_auth.identity_fields.iter().map(String::as_str).collect();
    if credentials.identity_field.is_empty() {
        fields.sort_by_key(|name| *name != "email");
        fields.retain(|name| *name != "email" || checks::email(&credentials.identity).is_ok());
    } else {
        fields.retain(|name| *name == credentials.identity_field);
    }
    for field in fields {
        let Some(index) = single_unique(&collection.indexes, field) else { continue };
        if collection.position(field).is_none() {
            continue;
        }
        let any_case = index.columns.first().is_some_and(|column| column.collation.eq_ignore_ascii_case("nocase"));
        let collation = if any_case { " COLLATE NOCASE" } else { "" };
        // Nobody is found by an empty identity; to say so lets SQLite use an index that leaves them out.
        let column = quoted(field);
        let condition = format!("{column} = ?1{collation} AND {column} != ''");
        if let Some(record) = load_where(conn, collection, &condition, &credentials.identity)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// The cost that a collection's password field asks for; 0 for the usual one.
pub fn cost(collection: &Collection) -> u32 {
    match collection.field("password").map(|(_, field)| &field.kind) {
        Some(FieldKind::Password(options)) => u32::try_from(options.cost).unwrap_or(0),
        _ => 0,
    }
}

/// Replaces the hash by one of today's policy. Nothing that anybody can see changes: same key, same dates, no event.
async fn rehash(app: App, record: Record, plain: String) {
    let new = match app.hasher.hash(&plain, cost(&record.collection)).await {
        Ok(hash) => hash,
        // Too long for bcrypt, or too busy now: the hash that is there stays good.
        Err(_) => return,
    };
    let auth = app.clone();
    let job = move |tx: &mut headwater_actors::Tx<'_>| {
        let sql = format!(
            "UPDATE {} SET \"password\" = ?1 WHERE \"id\" = ?2 AND \"password\" = ?3",
            quoted(&record.collection.name)
        );
        tx.conn().prepare_cached(&sql)?.execute([&new, record.id(), record.text("password")])?;
        let (collection, id) = (record.collection.id.clone(), record.id().to_owned());
        tx.after_commit(move || auth.auth_cache.forget(&collection, &id));
        Ok::<(), rusqlite::Error>(())
    };
    let done: Result<_, WriteError<rusqlite::Error>> = app.writer.run(JobLimits::ONE, job).await;
    if let Err(error) = done {
        log::warn!("a password's hash was not renewed: {error}");
    }
}
