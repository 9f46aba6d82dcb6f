//! Saving and deleting collections: the one way through for the API, imports and hooks.
//!
//! Everything of one change happens in one job of the Writer: the collection is completed and checked against what is
//! stored at that moment, its table follows, then its row, then the views that read it. The shared snapshot is replaced
//! after the commit.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Map, Value as Json};

use super::auth_options::TokenConfig;
use super::draft::{self, Draft, Malformed};
use super::indexes::Index;
use super::sync::{self, SyncError, sqlite_text};
use super::validate::{self, Candidate};
use super::views::{self, Shape};
use super::{Collection, CollectionKind, Field, FieldKind, Schema, store, system_fields};
use crate::app::App;
use crate::dates;
use crate::errors::{Errors, Invalid};
use crate::ops::settings::Settings;
use headwater_actors::{JobLimits, ReadError, Tx, WriteError, change_log};

/// A large table takes long to get an index or another column, and has to get it at once.
const TIME: Duration = Duration::from_secs(600);

/// Why a collection was not saved or deleted. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// There is no collection of this id or name.
    #[error("there is no such collection")]
    Missing,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Refused, with the reasons by key.
    #[error("the collection is not valid")]
    Invalid(Errors),
    /// Refused because of other collections; their names.
    #[error("relations of {} refer to it", .0.join(", "))]
    Referenced(Vec<String>),
    /// Refused, with a sentence.
    #[error("{0}")]
    Refused(String),
    /// The database refused it, or failed.
    #[error("{}", sqlite_text(.0))]
    Database(#[from] rusqlite::Error),
}

impl From<SyncError> for SaveError {
    fn from(error: SyncError) -> SaveError {
        match error {
            SyncError::Sqlite(error) => SaveError::Database(error),
            SyncError::Indexes(errors) => SaveError::Invalid(errors),
        }
    }
}

/// Creates a collection from the body of a request.
pub async fn create(app: &App, body: Map<String, Json>) -> Result<Arc<Collection>, WriteError<SaveError>> {
    let draft = draft::create(&body).map_err(|error| WriteError::Job(error.into()))?;
    let problem = view_problem(app, &draft.collection).await?;
    in_one_job(app, move |tx, schema| {
        let (schema, saved) = save(tx.conn(), schema, None, draft, problem)?;
        Ok((schema, saved.clone(), vec![saved.id.clone()]))
    })
    .await
}

/// Changes a collection by what the body of a request gives.
pub async fn update(
    app: &App,
    id_or_name: String,
    body: Map<String, Json>,
) -> Result<Arc<Collection>, WriteError<SaveError>> {
    let refused = |error: SaveError| WriteError::Job(error);
    let present = app.schema.current().find(&id_or_name).cloned().ok_or(refused(SaveError::Missing))?;
    let draft = draft::update(&present, &body).map_err(|error| refused(error.into()))?;
    let problem = view_problem(app, &draft.collection).await?;
    in_one_job(app, move |tx, schema| {
        let present = schema.by_id(&present.id).cloned().ok_or(SaveError::Missing)?;
        // Anew, over what is stored now: another change may have come first.
        let draft = draft::update(&present, &body)?;
        let (schema, saved) = save(tx.conn(), schema, Some(&present), draft, problem)?;
        Ok((schema, saved, vec![present.id.clone()]))
    })
    .await
}

/// Deletes a collection with its records. The answer is what there was, so that its files can be removed.
pub async fn delete(app: &App, id_or_name: String) -> Result<Arc<Collection>, WriteError<SaveError>> {
    in_one_job(app, move |tx, schema| {
        let present = schema.find(&id_or_name).cloned().ok_or(SaveError::Missing)?;
        let schema = remove(tx.conn(), schema, &present)?;
        Ok((schema, present.clone(), vec![present.id.clone()]))
    })
    .await
}

/// Rate limits name collections in their labels, as in `posts:create`.
fn follow_in_rate_limits(tx: &mut Tx<'_>, app: &App, old: &str, new: &str) -> rusqlite::Result<()> {
    let mut settings = Settings::load(tx.conn())?;
    let mut changed = false;
    for rule in &mut settings.rate_limits.rules {
        if let Some((name, tag)) = rule.label.split_once(':')
            && name == old
        {
            rule.label = format!("{new}:{tag}");
            changed = true;
        }
    }
    if changed {
        settings.store(tx.conn())?;
        let cache = app.clone();
        tx.after_commit(move || cache.settings.replace(Arc::new(settings)));
    }
    Ok(())
}

/// True if rows that the change log has of before would be taken for something else by the collections of now. A field
/// that has another name or type, or that the rows never had, would be judged by a value that it did not have.
fn log_reads_otherwise(conn: &Connection, before: &[Arc<Collection>], now: &Schema) -> rusqlite::Result<bool> {
    let mut new = Vec::new();
    for collection in now.collections().iter().filter(|collection| !collection.is_view()) {
        let Some(before) = before.iter().find(|before| before.id == collection.id) else {
            new.push(collection.id.as_str());
            continue;
        };
        if !collection.fields.iter().all(|field| before.fields.iter().any(|was| is_same(was, field))) {
            return Ok(true);
        }
    }
    // One that was deleted may have had the id of a new one.
    change_log::mentions(conn, &new)
}

/// True if the stored values of a field are those of another one.
fn is_same(was: &Field, field: &Field) -> bool {
    (was.id == field.id && was.name == field.name)
        && was.of().type_name() == field.of().type_name()
        && was.is_multiple() == field.is_multiple()
}

/// Runs the query of a wanted view on a reader, because it may take long, and says what is wrong with it.
async fn view_problem(app: &App, wanted: &Collection) -> Result<Option<String>, WriteError<SaveError>> {
    let CollectionKind::View { query } = &wanted.kind else { return Ok(None) };
    let (schema, query) = (app.schema.current(), query.clone());
    let problem = app.readers.run(move |conn| views::dry_run(conn, &schema, &query).err().map(|error| error.0)).await;
    problem.map_err(|error| match error {
        ReadError::Overloaded => WriteError::Overloaded,
        ReadError::Panicked => WriteError::Panicked,
        ReadError::Stopped => WriteError::Stopped,
    })
}

/// Runs a change of the schema on the Writer: it is given the schema as the transaction sees it, and answers the next
/// one, its result, and the ids of the collections that it concerns.
pub(super) async fn in_one_job<T: Send + 'static>(
    app: &App,
    change: impl FnOnce(&mut Tx<'_>, Schema) -> Result<(Schema, T, Vec<String>), SaveError> + Send + 'static,
) -> Result<T, WriteError<SaveError>> {
    let app_after = app.clone();
    let job = move |tx: &mut Tx<'_>| {
        // Not the shared snapshot: a job before this one in the same transaction may have changed the schema too.
        let schema = store::load(tx.conn())?;
        let before = schema.collections().to_vec();
        let (schema, result, concerned) = change(tx, schema)?;
        if log_reads_otherwise(tx.conn(), &before, &schema)? {
            tx.expire_history();
        }
        for collection in before {
            if let Some(now) = schema.by_id(&collection.id).filter(|now| now.name != collection.name) {
                follow_in_rate_limits(tx, &app_after, &collection.name, &now.name)?;
            }
        }
        let schema = Arc::new(schema);
        // Writes of records rely on the shared snapshot to be that of the database.
        tx.end_group();
        tx.after_commit(move || {
            app_after.realtime.revoke_changed(&app_after.schema.current(), &schema);
            app_after.schema.replace(schema);
            app_after.totals.clear();
            concerned.iter().for_each(|id| app_after.auth_cache.forget_collection(id));
        });
        Ok(result)
    };
    app.writer.run(JobLimits::MANY.with_time(TIME), job).await.map(|done| done.value)
}

/// The steps of saving one collection.
fn save(
    conn: &Connection,
    schema: Schema,
    present: Option<&Arc<Collection>>,
    draft: Draft,
    view_problem: Option<String>,
) -> Result<(Schema, Arc<Collection>), SaveError> {
    let type_name = draft.type_name.clone();
    let mut wanted = complete(&schema, present.map(Arc::as_ref), draft);
    if present.is_none() && (schema.by_id(&wanted.id).is_some() || schema.by_name(&wanted.id).is_some()) {
        let message = "The model id is invalid or already exists.";
        return Err(SaveError::Invalid(Errors::one("id", Invalid::new("validation_invalid_or_existing_id", message))));
    }
    let shape = view_shape(conn, &schema, &mut wanted);
    let problem = view_problem.or_else(|| shape.as_ref().and_then(|shape| shape.as_ref().err().cloned()));
    let wanted = Arc::new(wanted);
    let next = schema.with(wanted.clone());
    let errors = validate::collection(&Candidate {
        conn,
        schema: &next,
        present: present.map(Arc::as_ref),
        wanted: &wanted,
        is_saved: false,
        type_name: &type_name,
        view_problem: problem.as_deref(),
    })?;
    errors.into_result().map_err(SaveError::Invalid)?;
    let broken_before = if present.is_some() { views::broken(conn, &schema) } else { HashSet::new() };
    apply(conn, present.map(Arc::as_ref), &wanted, shape.and_then(Result::ok).as_ref())?;
    let next = match present {
        Some(present) => keep_views(conn, next, present, &wanted, &broken_before)?,
        None => next,
    };
    let next = views::refresh(conn, next, &wanted.id)?;
    optimize(conn);
    Ok((next, wanted))
}

/// Puts in what every collection has, derives what nobody chose, and brings the texts into their stored form.
pub(super) fn complete(schema: &Schema, present: Option<&Collection>, draft: Draft) -> Collection {
    let Draft { collection: mut wanted, id_is_derived, .. } = draft;
    if id_is_derived && let Some(id) = free_id(schema, &wanted.id) {
        rename_default_indexes(&mut wanted, &id);
        wanted.id = id;
    }
    wanted.updated = dates::now();
    if present.is_none() {
        wanted.created.clone_from(&wanted.updated);
    }
    system_fields::enforce(&mut wanted);
    let superusers = wanted.is_superusers() || present.is_some_and(Collection::is_superusers);
    let names: Vec<String> = wanted.fields.iter().map(|field| field.name.clone()).collect();
    if let CollectionKind::Auth(options) = &mut wanted.kind {
        let mapped = &mut options.oauth2.mapped_fields;
        for name in [&mut mapped.id, &mut mapped.name, &mut mapped.username, &mut mapped.avatar_url] {
            if !names.contains(name) {
                name.clear();
            }
        }
        if superusers {
            // A password stays their way in, and nobody becomes one by a login elsewhere.
            options.oauth2.enabled = false;
            options.oauth2.providers.clear();
            options.password_auth.enabled = true;
            options.mfa.enabled |= options.otp.enabled;
        }
        // Who may log in has changed, so everybody has to do it anew.
        if present.and_then(Collection::auth).is_some_and(|before| before.auth_rule != options.auth_rule) {
            options.auth_token.secret = TokenConfig::random_secret();
        }
    }
    sync::name_table_in_indexes(&mut wanted);
    wanted
}

/// A derived id that is taken gets a number; none if it is free as it is.
fn free_id(schema: &Schema, id: &str) -> Option<String> {
    schema.by_id(id)?;
    (2..1000).map(|number| format!("{id}{number}")).find(|id| schema.by_id(id).is_none())
}

/// The default names of indexes contain the id of their collection.
fn rename_default_indexes(collection: &mut Collection, id: &str) {
    for text in &mut collection.indexes {
        if let Some(mut index) = Index::parse(text)
            && index.name.contains(&collection.id)
        {
            index.name = index.name.replace(&collection.id, id);
            *text = index.to_sql();
        }
    }
}

/// The fields of a view come from its query, whatever was sent. None for other collections.
pub(super) fn view_shape(conn: &Connection, schema: &Schema, wanted: &mut Collection) -> Option<Result<Shape, String>> {
    let CollectionKind::View { query } = &wanted.kind else { return None };
    let shape = views::shape(conn, schema, query);
    wanted.fields = shape.as_ref().map(|shape| shape.fields.clone()).unwrap_or_default();
    wanted.index();
    Some(shape.and_then(|shape| shape.check().map(|()| shape)).map_err(|error| error.0))
}

/// Changes the database: the table or view, then the row.
pub(super) fn apply(
    conn: &Connection,
    present: Option<&Collection>,
    wanted: &Collection,
    shape: Option<&Shape>,
) -> Result<(), SaveError> {
    match (shape, present) {
        (Some(shape), present) => {
            if let Some(present) = present {
                sync::drop_view(conn, &present.name)?;
            }
            views::create(conn, &wanted.name, &shape.sql)?;
        }
        (None, None) => sync::create_table(conn, wanted)?,
        (None, Some(present)) => sync::alter_table(conn, present, wanted)?,
    }
    match present {
        None => store::insert(conn, wanted)?,
        Some(_) => store::update(conn, wanted)?,
    }
    Ok(())
}

/// What it finds out helps the next queries; where it cannot, nothing is lost.
pub(super) fn optimize(conn: &Connection) {
    if let Err(error) = conn.execute_batch("PRAGMA optimize") {
        log::debug!("PRAGMA optimize: {error}");
    }
}

/// Views go on to name the collection and its fields as they were called. Where it can be told, a view is given the new
/// name of the collection; rather than to leave another one broken, the change is refused.
fn keep_views(
    conn: &Connection,
    mut schema: Schema,
    present: &Collection,
    wanted: &Collection,
    broken_before: &HashSet<String>,
) -> Result<Schema, SaveError> {
    let renamed = present.name != wanted.name;
    if renamed {
        for id in views::broken(conn, &schema).difference(broken_before) {
            if let Some(view) = schema.by_id(id).cloned() {
                schema = views::follow(conn, schema, &view, &present.name, &wanted.name)?;
            }
        }
    }
    let broken = views::broken(conn, &schema);
    let names = broken.difference(broken_before).filter_map(|id| schema.by_id(id)).map(|view| view.name.as_str());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let views = names.join(", ");
    match (names.is_empty(), renamed) {
        (true, _) => Ok(schema),
        (false, true) => {
            let message =
                format!("The collection is read under its present name by the view {views}; change its query first.");
            let invalid = Invalid::new("validation_collection_name_used_in_view", message).with("views", views);
            Err(SaveError::Invalid(Errors::one("name", invalid)))
        }
        (false, false) => Err(SaveError::Refused(format!("the query of the view {views} would no longer run"))),
    }
}

/// The steps of deleting one collection.
fn remove(conn: &Connection, schema: Schema, present: &Collection) -> Result<Schema, SaveError> {
    if present.system {
        return Err(SaveError::Refused("system collections cannot be deleted".into()));
    }
    let references = references(&schema, present);
    if !references.is_empty() {
        return Err(SaveError::Referenced(references));
    }
    let broken_before = views::broken(conn, &schema);
    drop(conn, present)?;
    let next = schema.without(&present.id);
    let broken = views::broken(conn, &next);
    if let Some(id) = broken.difference(&broken_before).next() {
        let view = next.by_id(id).map_or("", |view| &view.name);
        return Err(SaveError::Refused(format!("the view {view} depends on it")));
    }
    Ok(views::refresh(conn, next, &present.id)?)
}

/// Removes the table or view of a collection and its row, without asking.
pub(super) fn drop(conn: &Connection, present: &Collection) -> rusqlite::Result<()> {
    if present.is_view() {
        sync::drop_view(conn, &present.name)?;
    } else {
        sync::drop_table(conn, &present.name)?;
    }
    store::delete(conn, &present.id)
}

/// The names of the other collections whose relations refer to this one.
fn references(schema: &Schema, collection: &Collection) -> Vec<String> {
    let refers = |other: &Collection| {
        other.fields.iter().any(
            |field| matches!(&field.kind, FieldKind::Relation(relation) if relation.collection_id == collection.id),
        )
    };
    let others = schema.collections().iter().filter(|other| other.id != collection.id && refers(other));
    others.map(|other| other.name.clone()).collect()
}
