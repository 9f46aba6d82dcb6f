//! Creating a record. [`Create::prepare`] does what needs no database, [`Create::run`] the rest inside the job.

use std::sync::Arc;

use headwater_actors::{Action, JobLimits, Value};

use super::auth_fields::{self, Credentials};
use super::body::{Given, Input};
use super::passwords::{self, Plain};
use super::rules::{self, Gate};
use super::work::Work;
use super::{Authority, Record, RecordError, autodates, save, validate};
use crate::app::App;
use crate::errors::Errors;
use crate::patterns;
use crate::query::{Base, Statement};
use crate::request::{Context, RequestInfo};
use crate::schema::{Collection, FieldKind, Schema};

/// A record that is ready to be created.
pub(crate) struct Create {
    schema: Arc<Schema>,
    request: Arc<RequestInfo>,
    record: Record,
    /// Whether the rule is met by the record as it was given.
    rule: Option<Statement>,
    /// None where the server itself writes, and for what is no auth record.
    credentials: Option<Credentials>,
    plain: Plain,
    /// What is wrong with the values themselves.
    errors: Errors,
}

impl Create {
    /// `request.body` becomes what rules see of the input.
    pub async fn prepare(
        app: &App,
        schema: &Arc<Schema>,
        collection: &Arc<Collection>,
        input: &Input,
        request: &mut Arc<RequestInfo>,
        authority: Authority,
    ) -> Result<Create, RecordError> {
        let gate = Gate::of(rules::of_action(collection, Action::Create), request, authority)?;
        let may_set_hidden = authority.may_set_hidden(request);
        let mut given = Given::read(collection, &input.values, may_set_hidden);
        given.refuse_files(collection, &input.files)?;

        // The rule sees the record with its id, but before other fields fill themselves.
        let mut record = Record::blank(collection.clone());
        given.apply(&mut record);
        fill(&mut record, |field| field == "id");
        if rules::body_is_read(app, collection, request, gate) {
            Arc::make_mut(request).body = given.resolved(&input.values, &record, may_set_hidden);
        }
        let rule = match gate {
            Gate::Open => None,
            Gate::When(text) => Some(rules::on_candidate(schema, &candidate(&record), request, text)?),
        };
        fill(&mut record, |_| true);

        let mut credentials = None;
        if collection.is_auth() && authority == Authority::Rules {
            if request.context == Context::OAuth2 && !input.values.contains_key("password") {
                record.set("password", Value::Text(passwords::unknown(app).await?));
            } else {
                credentials = Some(Credentials::read(&input.values));
            }
        }
        // A hash takes long, and is not made for who may not create the record at all. In a batch an earlier item may yet
        // make the rule hold.
        if let Some(rule) = &rule
            && request.context != Context::Batch
            && given.passwords(collection).next().is_some()
        {
            precheck(app, rule).await?;
        }
        let (plain, mut errors) = passwords::hash(app, collection, &mut given).await?;
        errors.merge(validate::values(&record, None, &plain));
        given.apply_passwords(&mut record, &plain);
        auth_fields::settle(&mut record);
        Ok(Create { schema: schema.clone(), request: request.clone(), record, rule, credentials, plain, errors })
    }

    /// Whether the rule is met as things stand, for who has to know before the job.
    pub async fn precheck(&self, app: &App) -> Result<(), RecordError> {
        match &self.rule {
            Some(rule) => precheck(app, rule).await,
            None => Ok(()),
        }
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Goes on with another version of the record, whose values are checked anew.
    pub fn replace(&mut self, record: Record) {
        self.errors = validate::values(&record, None, &self.plain);
        self.record = record;
    }

    pub fn limits(&self, app: &App) -> JobLimits {
        let is_one = !self.record.collection.is_superusers() && !app.record_hooks.join(Action::Create);
        if is_one { JobLimits::ONE } else { JobLimits::MANY }
    }

    /// The rule, then the form of auth records, then the fields, then the row: each reports alone.
    pub fn run(mut self, work: &mut Work<'_, '_>) -> Result<Record, RecordError> {
        work.expect(&self.schema)?;
        self.check_rule(work)?;
        self.check_credentials(work)?;
        let (app, mut errors) = (work.app, self.errors);
        let hooks = &app.record_hooks;
        work.around(&hooks.create.write, Action::Create, &mut self.record, None, &mut |work, record| {
            work.around(&hooks.validate, Action::Create, record, None, &mut |work, record| {
                validate::references(work.conn(), work.schema, record, true, &mut errors)?;
                std::mem::take(&mut errors).into_result().map_err(refused)
            })?;
            if record.collection.is_auth() {
                validate::auth_id(work.conn(), work.schema, record)?.map_err(refused)?;
            }
            work.around(&hooks.create.execute, Action::Create, record, None, &mut |work, record| {
                autodates::touch(record, Action::Create);
                save::insert(work.conn(), record).map_err(|error| not_inserted(error, &record.collection))
            })
        })?;
        work.changed(Action::Create, None, Some(&self.record));
        auth_fields::dismiss_installer(work, &self.record)?;
        Ok(self.record)
    }

    fn check_rule(&self, work: &Work<'_, '_>) -> Result<(), RecordError> {
        match &self.rule {
            Some(rule) if !rules::holds(rule, work.conn())? => Err(RecordError::failed(Action::Create)),
            _ => Ok(()),
        }
    }

    fn check_credentials(&self, work: &Work<'_, '_>) -> Result<(), RecordError> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let is_manager = self.request.caller.is_superuser()
            || self.record.flag("verified") && {
                let candidate = candidate(&self.record);
                rules::is_manager(work.conn(), work.schema, Base::Candidate(&candidate), &candidate, &self.request)?
            };
        credentials.check_create(&self.record, is_manager).into_result().map_err(refused)
    }
}

async fn precheck(app: &App, rule: &Statement) -> Result<(), RecordError> {
    let rule = rule.clone();
    let is_met = app.readers.run(move |conn| rules::holds(&rule, conn)).await??;
    if is_met { Ok(()) } else { Err(RecordError::failed(Action::Create)) }
}

fn refused(errors: Errors) -> RecordError {
    RecordError::Failed(Action::Create, errors)
}

/// The record as rules see it: who is yet to be created has proven no address.
fn candidate(record: &Record) -> Record {
    let mut candidate = record.clone();
    candidate.set("verified", Value::Integer(0));
    candidate
}

/// Fills empty texts that have a pattern to be made from.
fn fill(record: &mut Record, concerns: impl Fn(&str) -> bool) {
    for (field, value) in record.collection.fields.iter().zip(&mut record.values) {
        if let (FieldKind::Text(options), Value::Text(text)) = (&field.kind, value)
            && text.is_empty()
            && !options.autogenerate_pattern.is_empty()
            && concerns(&field.name)
        {
            match patterns::generate(&options.autogenerate_pattern) {
                Ok(generated) => *text = generated,
                Err(error) => log::warn!("{}: {error}", field.name),
            }
        }
    }
}

fn not_inserted(error: rusqlite::Error, collection: &Collection) -> RecordError {
    match validate::uniqueness(&error, collection) {
        Some(errors) => refused(errors),
        None => error.into(),
    }
}
