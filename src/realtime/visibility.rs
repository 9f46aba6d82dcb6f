//! Who may see a change, and as what.
//!
//! What constants decide is answered on the hub's own thread: rules that are open or sealed, superusers. Everything else
//! (expressions, filters, relations to expand) is put to a Reader, in one job for the whole commit; the hub waits for it
//! before it looks at the next commit, so order holds. Equal listeners were made one before they come here.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use headwater_actors::hub::{Audience, Decided, Decision, Delivery, Fetched, Listener, Listeners, Outgoing, Recheck};
use headwater_actors::{Action, Change, Commit, Seq};

use super::ClientId;
use super::events::Message;
use super::missed;
use super::payload::payload;
use super::questions::{Question, Questions};
use super::topic::Topic;
use crate::app::App;
use crate::records::{Record, Shows, shows};
use crate::request::{Caller, RequestInfo};
use crate::schema::{Collection, Rule, Schema};

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

    fn topic(&self, text: &str) -> Topic {
        Topic::parse(text)
    }

    fn identity<'a>(&self, caller: &'a Caller) -> Option<(&'a str, &'a str)> {
        caller.record().map(|record| (record.collection.id.as_str(), record.id()))
    }

    fn recheck(&self, caller: &Caller, change: &Change) -> Recheck<Caller> {
        let fresh = match (change.action, &change.after) {
            (Action::Update, Some(row)) => {
                collection(&self.app.schema.current(), change).map(|collection| Record::from_row(collection, row))
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

    fn decide(&self, commit: &Arc<Commit>, listeners: Listeners<'_, Self>) -> Decision {
        let schema = self.app.schema.current();
        let mut decided = Decided::default();
        let mut questions = Questions::new(schema.clone());
        let enriched = !self.app.record_hooks.enrich.is_empty();
        for (place, change) in commit.changes.iter().enumerate() {
            let mut listeners = listeners.of(change).peekable();
            if listeners.peek().is_none() {
                continue;
            }
            let Some(mut subject) = Subject::of(&schema, change) else { continue };
            let mut asked = Vec::new();
            for listener in listeners {
                match subject.answer(&listener, enriched) {
                    Answer::No => {}
                    Answer::Yes(payload) => {
                        decided.deliveries.push(Delivery { change: place, interest: listener.interest, payload });
                    }
                    Answer::Ask(rule) => asked.push(Question {
                        interest: listener.interest,
                        rule,
                        options: listener.topic.options.clone(),
                        caller: listener.caller.clone(),
                    }),
                }
            }
            if !asked.is_empty() {
                questions.add(place, change.action, subject.record, asked);
            }
        }
        if questions.is_empty() {
            return Decision::Now(decided);
        }
        let app = self.app.clone();
        Decision::Later(Box::pin(async move {
            questions.ask(&app, &mut decided).await;
            decided
        }))
    }

    fn fetch(&self, after: Seq, up_to: Seq) -> LocalBoxFuture<'static, Fetched> {
        Box::pin(missed::fetch(self.app.clone(), after, up_to))
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

/// The collection of a change as it is now; as it was then, if it is gone.
fn collection(schema: &Schema, change: &Change) -> Option<Arc<Collection>> {
    if let Some(collection) = schema.by_id(change.subject.id()) {
        return Some(collection.clone());
    }
    let subject: Arc<dyn Any + Send + Sync> = change.subject.clone();
    subject.downcast().ok()
}

/// What a change is about.
struct Subject {
    action: Action,
    /// As it was after the change; before it, for a delete.
    record: Record,
    /// What was written so far: by what is shown and by which fields.
    payloads: HashMap<(Shows, Option<Box<str>>), Bytes>,
}

enum Answer {
    No,
    Yes(Bytes),
    /// Only the database can tell, by this rule and what else the subscription asks for.
    Ask(Rule),
}

impl Subject {
    fn of(schema: &Schema, change: &Change) -> Option<Subject> {
        let record = Record::from_row(collection(schema, change)?, change.row()?);
        Some(Subject { action: change.action, record, payloads: HashMap::new() })
    }

    /// `enriched`: extensions change records for each who sees them, so nothing is shared.
    fn answer(&mut self, listener: &Listener<'_, Visibility>, enriched: bool) -> Answer {
        let rule = match listener.topic.rule(&self.record.collection) {
            _ if listener.caller.is_superuser() => &Rule::Open,
            Rule::Sealed => return Answer::No,
            rule => rule,
        };
        let options = listener.topic.options.as_deref();
        let asks_more = options.is_some_and(|options| options.filter().is_some() || options.expand().is_some());
        if enriched || asks_more || matches!(rule, Rule::When(_)) {
            return Answer::Ask(rule.clone());
        }
        // The copy at hand shows what the last listener might see.
        self.record.shows = Shows::default();
        let request = RequestInfo { caller: listener.caller.clone(), ..RequestInfo::default() };
        if !shows::decide_without_database(std::slice::from_mut(&mut self.record), &request) {
            return Answer::Ask(Rule::Open);
        }
        let fields = options.and_then(|options| options.picked()).map(Box::from);
        let written = self.payloads.entry((self.record.shows, fields));
        Answer::Yes(written.or_insert_with(|| payload(&self.record, self.action, options)).clone())
    }
}
