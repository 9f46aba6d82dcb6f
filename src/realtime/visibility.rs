//! Who may see a change, and as what.
//!
//! What memory can tell is answered on the hub's own thread: rules that are open or sealed, superusers, and the expressions
//! that read no more than the record and the caller ([`Predicate`](crate::query::Predicate)). Where a rule compares a column
//! with a value of the caller, the few whom a record concerns are looked up; where a relation does, a Reader is asked for its
//! values first ([`super::solutions`]). Everything else (other expressions, relations to expand) is put to a Reader, in one
//! job for the whole commit; the hub waits for it before it looks at the next commit, so order holds. Equal listeners were
//! made one before they come here.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use futures_util::future::LocalBoxFuture;
use headwater_actors::hub::{
    Answer, Audience, Decided, Decision, Fetched, Listeners, Liveness, Outgoing, Recheck, Snapshot, Standing,
};
use headwater_actors::{Action, Change, Commit, Row, Seq};

use super::ClientId;
use super::events::Message;
use super::live;
use super::missed;
use super::questions::{self, Questions};
use super::rules::Index;
use super::solutions::{Problems, Solutions};
use super::topic::Topic;
use super::viewing::{Moment, Seen, Subject, Viewing};
use crate::app::App;
use crate::records::Record;
use crate::request::Caller;
use crate::schema::{Collection, Schema};

/// The audience of one hub.
pub struct Visibility {
    app: App,
}

impl Visibility {
    pub(super) fn new(app: App) -> Visibility {
        Visibility { app }
    }
}

impl Audience for Visibility {
    type Client = ClientId;
    type Caller = Caller;
    type Topic = Topic;
    type Index = Index;
    type Found = Solutions;

    fn topic(&self, text: &str) -> Topic {
        Topic::parse(text)
    }

    fn identity<'a>(&self, caller: &'a Caller) -> Option<(&'a str, &'a str)> {
        caller.record().map(|record| (record.collection.id.as_str(), record.id()))
    }

    fn recheck(&self, caller: &Caller, change: &Change) -> Recheck<Caller> {
        let fresh = match (change.action, &change.after) {
            (Action::Update, Some(row)) => {
                Versions::of(&self.app.schema.current(), change).map(|versions| versions.record(row))
            }
            _ => None,
        };
        match (fresh, caller.record()) {
            (Some(fresh), Some(record)) if fresh.text("tokenKey") == record.text("tokenKey") => {
                Recheck::Fresh(Caller::of(Arc::new(fresh)))
            }
            _ => Recheck::Guest,
        }
    }

    fn standing(&self, index: &Index, caller: &Caller) -> Standing {
        index.standing(caller)
    }

    fn decide(
        &self,
        commit: &Arc<Commit>,
        listeners: Listeners<'_, Self>,
        found: Option<Solutions>,
    ) -> Decision<Solutions> {
        let schema = self.app.schema.current();
        let mut decided = Decided::default();
        let mut questions = Questions::new(schema.clone());
        let enriched = !self.app.record_hooks.enrich.is_empty();
        let (predicates, solutions) = (&self.app.predicates, found.as_ref());
        let moment = Moment { schema: &schema, predicates, now: Utc::now(), enriched, solutions };
        let mut problems = Problems::default();
        for (place, change) in commit.changes.iter().enumerate() {
            let mut topics = listeners.topics(change).peekable();
            if topics.peek().is_none() {
                continue;
            }
            let Some((record, before)) = records(&schema, change) else { continue };
            let mut subject = Subject::new(place, change.action, record, before);
            let mut seen = Seen::default();
            for topic in topics {
                let mut viewing = Viewing::new(&moment, &mut subject, topic.topic());
                match viewing.problem(self, &topic) {
                    Some(problem) => problems.add(problem),
                    // With a problem before it, all of the commit is looked at again.
                    None if !problems.is_empty() => {}
                    None => viewing.show(self, &topic, &mut seen),
                }
            }
            decided.deliveries.append(&mut seen.deliveries);
            if !seen.questions.is_empty() {
                let Subject { action, record, before, .. } = subject;
                questions.add(questions::Subject { change: place, action, record, before }, seen.questions);
            }
        }
        let app = self.app.clone();
        if !problems.is_empty() {
            return Decision::Later(Box::pin(async move { Answer::Found(problems.solve(&app, schema).await) }));
        }
        if questions.is_empty() {
            return Decision::Now(decided);
        }
        let spent = found.map_or(Duration::ZERO, |found| found.spent);
        Decision::Later(Box::pin(async move {
            questions.ask(&app, &mut decided, spent).await;
            Answer::Decided(decided)
        }))
    }

    fn fetch(&self, after: Seq, up_to: Seq) -> LocalBoxFuture<'static, Fetched> {
        Box::pin(missed::fetch(self.app.clone(), after, up_to))
    }

    fn liveness(&self, text: &str) -> Liveness {
        live::liveness(text)
    }

    fn snapshot(&self, text: &str, caller: &Caller, whole: bool) -> LocalBoxFuture<'static, Snapshot> {
        Box::pin(live::snapshot(self.app.clone(), text.to_owned(), caller.clone(), whole))
    }

    fn differences(&self, before: &[(Arc<str>, Bytes)], after: &[(Arc<str>, Bytes)]) -> Vec<Bytes> {
        live::differences(before, after)
    }

    fn inspects(&self) -> bool {
        !self.app.realtime.events().message.is_empty()
    }

    fn outgoing(&self, client: &ClientId, caller: &Caller, topic: &str, payload: &Bytes) -> Outgoing {
        let message =
            Message { client: *client, caller: caller.clone(), name: topic.to_owned(), data: payload.clone() };
        match self.app.realtime.events().pass(message) {
            Ok(Some(message)) => Outgoing::Changed { topic: message.name, payload: message.data },
            Ok(None) => Outgoing::Withheld,
            Err(error) => {
                log::warn!("realtime: a handler stopped a message: {error}");
                Outgoing::Withheld
            }
        }
    }

    fn left(&self, client: &ClientId) {
        self.app.realtime.forget(client);
    }
}

/// The collection of a change.
struct Versions {
    /// As it is now; as it was then, if it is gone.
    now: Arc<Collection>,
    then: Arc<Collection>,
}

impl Versions {
    fn of(schema: &Schema, change: &Change) -> Option<Versions> {
        let subject: Arc<dyn Any + Send + Sync> = change.subject.clone();
        let then: Arc<Collection> = subject.downcast().ok()?;
        let now = schema.by_id(&then.id).unwrap_or(&then).clone();
        Some(Versions { now, then })
    }

    fn record(&self, row: &Row) -> Record {
        Record::from_row(self.now.clone(), &self.then, row)
    }
}

/// What a change is about: the record after it, or before it for a delete; and as it was before an update.
fn records(schema: &Schema, change: &Change) -> Option<(Record, Option<Record>)> {
    let versions = Versions::of(schema, change)?;
    let before = change.before.as_ref().filter(|_| change.action == Action::Update);
    let before = before.map(|row| versions.record(row));
    Some((versions.record(change.row()?), before))
}
