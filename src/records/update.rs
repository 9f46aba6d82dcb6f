//! Updating a record. [`Update::prepare`] does what needs no transaction, [`Update::run`] the rest inside the job.
//!
//! The body is applied to the row as it is inside the transaction, and only what it changes is written: of two updates
//! at the same time none undoes the other.

use std::sync::Arc;

use headwater_actors::{Action, JobLimits};

use super::auth_fields::{self, Credentials, OldPassword, PasswordChanged};
use super::body::{Given, Input};
use super::passwords::{self, Plain};
use super::rules::{self, Find, Gate};
use super::work::Work;
use super::{Authority, Record, RecordError, autodates, save, validate};
use crate::app::App;
use crate::errors::Errors;
use crate::query::Base;
use crate::request::{Context, RequestInfo};
use crate::schema::{Collection, Schema};

/// An update that is ready to be made.
pub(crate) struct Update {
    schema: Arc<Schema>,
    collection: Arc<Collection>,
    id: String,
    request: Arc<RequestInfo>,
    authority: Authority,
    given: Given,
    plain: Plain,
    errors: Errors,
    find: Find,
    /// The input, where the rule reads the body and the body depends on the stored record.
    late: Option<Input>,
    credentials: Option<Credentials>,
    old: Option<OldPassword>,
}

impl Update {
    /// `request.body` becomes what rules see of the input, but for modifiers, which need the stored record.
    pub async fn prepare(
        app: &App,
        schema: &Arc<Schema>,
        collection: &Arc<Collection>,
        id: &str,
        input: &Input,
        request: &mut Arc<RequestInfo>,
        authority: Authority,
    ) -> Result<Update, RecordError> {
        let gate = Gate::of(rules::of_action(collection, Action::Update), request, authority)?;
        let may_set_hidden = authority.may_set_hidden(request);
        let given = Given::read(collection, &input.values, may_set_hidden);
        given.refuse_files(collection, &input.files)?;

        let body_is_read = rules::body_is_read(app, collection, request, gate);
        if body_is_read {
            let mut preview = Record::blank(collection.clone());
            given.apply(&mut preview);
            Arc::make_mut(request).body = given.resolved(&input.values, &preview, may_set_hidden);
        }
        let is_late = body_is_read && given.has_modifiers();
        let find = rules::find(schema, collection, request, if is_late { Gate::Open } else { gate }, id)?;

        let credentials =
            (collection.is_auth() && authority == Authority::Rules).then(|| Credentials::read(&input.values));
        let mut update = Update {
            schema: schema.clone(),
            collection: collection.clone(),
            id: id.to_owned(),
            request: request.clone(),
            authority,
            given,
            plain: Plain::new(),
            errors: Errors::new(),
            find,
            late: is_late.then(|| input.clone()),
            credentials,
            old: None,
        };
        update.take_passwords(app).await?;
        Ok(update)
    }

    /// Verifies the old password and hashes the new ones. That takes long, and is not done for who may not change the
    /// record at all.
    async fn take_passwords(&mut self, app: &App) -> Result<(), RecordError> {
        let proves = self.credentials.as_ref().filter(|credentials| credentials.proves_old_password());
        let old = proves.map(|credentials| credentials.old.clone()).filter(|_| !self.request.caller.is_superuser());
        let takes_long = old.is_some() || self.given.passwords(&self.collection).next().is_some();
        // In a batch an earlier item may yet make the record, or the rule hold.
        if takes_long && self.authority == Authority::Rules && self.request.context != Context::Batch {
            self.precheck(app).await?;
        }
        if let Some(old) = old {
            self.old = Some(verify_old(app, &self.collection, &self.id, &old).await?);
        }
        (self.plain, self.errors) = passwords::hash(app, &self.collection, &mut self.given).await?;
        Ok(())
    }

    /// The stored record, if the rule lets the caller at it, and what the update makes of it as things stand; for who has
    /// to know before the job.
    pub async fn precheck(&self, app: &App) -> Result<(Record, Record), RecordError> {
        let find = |find: Find| {
            let (collection, id) = (self.collection.clone(), self.id.clone());
            app.readers.run(move |conn| find.run(conn, &collection, &id))
        };
        let before = find(self.find.clone()).await??;
        let mut after = before.clone();
        self.given.apply(&mut after);
        if let Some(input) = &self.late {
            let request = self.seeing(input, &after);
            find(self.find_late(&self.schema, &request)?).await??;
        }
        Ok((before, after))
    }

    /// Sets the values in which `changed` differs from `seen`, beside or instead of what the body gives.
    pub fn set_changed(&mut self, seen: &Record, changed: &Record) {
        for (position, value) in changed.values.iter().enumerate() {
            if seen.values[position] != *value {
                self.given.set(position, value.clone());
            }
        }
    }

    pub fn limits(&self, app: &App) -> JobLimits {
        let gives = |name: &str| self.given.gives(&self.collection, name);
        // Superusers become verified by any update, which ends what was linked to them before.
        let is_many = app.record_hooks.join(Action::Update)
            || self.collection.is_superusers()
            || auth_fields::is_sensitive(&self.collection, gives);
        if is_many { JobLimits::MANY } else { JobLimits::ONE }
    }

    /// The record, the rule, then the form of auth records, then the fields, then the row: each reports alone.
    pub fn run(mut self, work: &mut Work<'_, '_>) -> Result<Record, RecordError> {
        work.expect(&self.schema)?;
        let before = self.find.run(work.conn(), &self.collection, &self.id)?;
        let mut after = before.clone();
        self.given.apply(&mut after);
        self.check_late_rule(work, &after)?;
        self.check_credentials(work, &before, &after)?;

        let app = work.app;
        let hooks = &app.record_hooks;
        let (plain, mut errors) = (&self.plain, self.errors);
        work.around(&hooks.update.write, Action::Update, &mut after, Some(&before), &mut |work, after| {
            work.around(&hooks.validate, Action::Update, after, Some(&before), &mut |work, after| {
                errors.merge(validate::values(after, Some(&before), plain));
                validate::references(work.conn(), work.schema, after, false, &mut errors)?;
                std::mem::take(&mut errors).into_result().map_err(refused)
            })?;
            auth_fields::settle(after);
            if after.collection.is_auth() {
                auth_fields::rotate_token_key(work, &before, after)?;
            }
            work.around(&hooks.update.execute, Action::Update, after, Some(&before), &mut |work, after| {
                autodates::touch(after, Action::Update);
                save::update(work.conn(), &before, after).map_err(|error| not_updated(error, &after.collection))
            })
        })?;
        if after.collection.is_auth() {
            auth_fields::clean_up(work, &before, &after)?;
        }
        work.changed(Action::Update, Some(before), Some(&after));
        Ok(after)
    }

    /// The rule, where it could not be asked while the record was looked up.
    fn check_late_rule(&mut self, work: &Work<'_, '_>, after: &Record) -> Result<(), RecordError> {
        let Some(input) = &self.late else { return Ok(()) };
        self.request = Arc::new(self.seeing(input, after));
        let find = self.find_late(work.schema, &self.request)?;
        find.run(work.conn(), &self.collection, &self.id).map(drop)
    }

    /// The request with the body as it is over the stored record.
    fn seeing(&self, input: &Input, after: &Record) -> RequestInfo {
        let may_set_hidden = self.authority.may_set_hidden(&self.request);
        let body = self.given.resolved(&input.values, after, may_set_hidden);
        RequestInfo { body, ..RequestInfo::clone(&self.request) }
    }

    fn find_late(&self, schema: &Schema, request: &RequestInfo) -> Result<Find, RecordError> {
        let gate = Gate::of(rules::of_action(&self.collection, Action::Update), request, self.authority)?;
        rules::find(schema, &self.collection, request, gate, &self.id)
    }

    fn check_credentials(&self, work: &Work<'_, '_>, before: &Record, after: &Record) -> Result<(), RecordError> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let check = |is_manager| credentials.check_update(before, after, is_manager, self.old.as_ref());
        let errors = if self.request.caller.is_superuser() {
            check(true)
        } else {
            // The manage rule is asked only where it matters.
            match check(false) {
                Ok(errors) if errors.is_empty() => Ok(errors),
                errors => {
                    let (conn, schema) = (work.conn(), work.schema);
                    if rules::is_manager(conn, schema, Base::Stored, before, &self.request)? {
                        check(true)
                    } else {
                        errors
                    }
                }
            }
        };
        match errors {
            Ok(errors) => errors.into_result().map_err(refused),
            Err(PasswordChanged) => Err(RecordError::Outdated),
        }
    }
}

fn refused(errors: Errors) -> RecordError {
    RecordError::Failed(Action::Update, errors)
}

fn not_updated(error: rusqlite::Error, collection: &Collection) -> RecordError {
    match validate::uniqueness(&error, collection) {
        Some(errors) => refused(errors),
        None => error.into(),
    }
}

/// Compares the old password with the stored hash, on the threads that are there for it.
async fn verify_old(
    app: &App,
    collection: &Arc<Collection>,
    id: &str,
    plain: &str,
) -> Result<OldPassword, RecordError> {
    let (collection, id) = (collection.clone(), id.to_owned());
    let stored = app.readers.run(move |conn| save::load(conn, &collection, &id)).await??;
    let hash = stored.map(|record| record.text("password").to_owned()).unwrap_or_default();
    let is_right = app.hasher.verify(plain, &hash).await.map_err(|error| match error {
        crate::auth::passwords::HashError::Overloaded => RecordError::Overloaded,
        error => RecordError::Storage(error.to_string()),
    })?;
    Ok(OldPassword { hash, is_right })
}
