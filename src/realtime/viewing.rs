//! One change, shown to those who listen by one topic: what memory can answer is answered, the rest becomes questions.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use headwater_actors::Action;
use headwater_actors::hub::{Delivery, Listener, TopicListeners};

use super::payload::payload;
use super::questions::Question;
use super::rules::{Asked, Index, Rules};
use super::topic::{Topic, request};
use super::visibility::Visibility;
use crate::query::Predicate;
use crate::records::{Record, Shows, shows};
use crate::request::{Caller, RequestInfo};
use crate::schema::{Rule, Schema};

/// What a change is about.
pub(super) struct Subject {
    pub place: usize,
    pub action: Action,
    /// As it was after the change; before it, for a delete.
    pub record: Record,
    /// What was written so far: by what is shown and by which fields.
    payloads: HashMap<(Shows, Option<Box<str>>), Bytes>,
}

impl Subject {
    pub(super) fn new(place: usize, action: Action, record: Record) -> Subject {
        Subject { place, action, record, payloads: HashMap::new() }
    }
}

/// What holds for all of a commit.
pub(super) struct Moment<'a> {
    pub schema: &'a Arc<Schema>,
    pub rules: &'a Rules,
    pub now: DateTime<Utc>,
    /// Extensions change records for each who sees them, so nothing is shared.
    pub enriched: bool,
}

/// Who sees the change, and who has to be asked about.
#[derive(Default)]
pub(super) struct Seen {
    pub deliveries: Vec<Delivery>,
    pub questions: Vec<Question>,
}

/// See the module's documentation.
pub(super) struct Viewing<'a> {
    moment: &'a Moment<'a>,
    subject: &'a mut Subject,
    topic: &'a Topic,
    rule: Rule,
    index: Option<Index>,
    manage: Option<Arc<Predicate>>,
    /// As the callers ask; who asks is set for each.
    request: RequestInfo,
    /// Whether the record meets the topic's filter, once it was asked: the same for all but superusers.
    filter: Option<Answer>,
    /// What was written of the record for this topic.
    written: Vec<(Shows, Bytes)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    No,
    Yes,
    /// Only the database can tell.
    Ask,
}

impl From<Option<bool>> for Answer {
    fn from(found: Option<bool>) -> Answer {
        match found {
            Some(true) => Answer::Yes,
            Some(false) => Answer::No,
            None => Answer::Ask,
        }
    }
}

impl<'a> Viewing<'a> {
    pub(super) fn new(moment: &'a Moment<'a>, subject: &'a mut Subject, topic: &'a Topic) -> Viewing<'a> {
        let collection = &subject.record.collection;
        let rule = topic.asked().rule(collection).clone();
        let index = moment.rules.find(moment.schema, collection, topic.asked());
        let manage = moment.rules.find(moment.schema, collection, Asked::Manage).map(|index| index.0);
        let request = request(topic.options.as_deref());
        Viewing { moment, subject, topic, rule, index, manage, request, filter: None, written: Vec::new() }
    }

    pub(super) fn show(mut self, audience: &Visibility, listeners: &TopicListeners<'_, Visibility>, seen: &mut Seen) {
        let Some(index) = self.index.clone() else {
            return listeners.all().for_each(|listener| self.show_group(&mut std::iter::once(listener), seen));
        };
        let record = self.subject.record.clone();
        let values = index.0.reach(&record, &self.request, self.moment.now);
        listeners.groups(audience, &index, values.as_deref(), |group| self.show_group(group, seen));
    }

    /// A group gets one answer, from what holds for the first of it.
    fn show_group(&mut self, group: &mut dyn Iterator<Item = Listener<'_, Visibility>>, seen: &mut Seen) {
        let Some(first) = group.next() else { return };
        let rule = self.rule(first.caller);
        if rule == Answer::No {
            return;
        }
        let filter = self.filter(first.caller);
        if filter == Answer::No {
            return;
        }
        for listener in std::iter::once(first).chain(group) {
            match self.written(&listener, rule, filter) {
                Some(payload) => {
                    let delivery = Delivery { change: self.subject.place, interest: listener.interest, payload };
                    seen.deliveries.push(delivery);
                }
                None => seen.questions.push(Question {
                    interest: listener.interest,
                    rule: if rule == Answer::Ask { self.rule.clone() } else { Rule::Open },
                    together: if rule == Answer::Ask { self.together() } else { None },
                    asks_filter: filter == Answer::Ask,
                    options: self.topic.options.clone(),
                    caller: listener.caller.clone(),
                }),
            }
        }
    }

    fn together(&self) -> Option<Arc<Predicate>> {
        self.index.as_ref().map(|index| &index.0).filter(|rule| rule.is_solvable()).cloned()
    }

    fn rule(&mut self, caller: &Caller) -> Answer {
        match (&self.rule, &self.index) {
            _ if caller.is_superuser() => Answer::Yes,
            (Rule::Open, _) => Answer::Yes,
            (Rule::Sealed, _) => Answer::No,
            (Rule::When(_), None) => Answer::Ask,
            (Rule::When(_), Some(index)) => {
                self.request.caller = caller.clone();
                index.0.holds(&self.subject.record, &self.request, self.moment.now).into()
            }
        }
    }

    fn filter(&mut self, caller: &Caller) -> Answer {
        let Some(predicate) = self.topic.filter(self.moment.schema, &self.subject.record.collection) else {
            return Answer::Yes;
        };
        // They may name more in it.
        if caller.is_superuser() {
            return Answer::Ask;
        }
        *self.filter.get_or_insert_with(|| {
            self.request.caller = caller.clone();
            predicate.holds(&self.subject.record, &self.request, self.moment.now).into()
        })
    }

    /// The record as this listener sees it; none where the database has to be asked.
    fn written(&mut self, listener: &Listener<'_, Visibility>, rule: Answer, filter: Answer) -> Option<Bytes> {
        let options = self.topic.options.as_deref();
        let expands = options.is_some_and(|options| options.expand().is_some());
        if self.moment.enriched || expands || rule == Answer::Ask || filter == Answer::Ask {
            return None;
        }
        self.request.caller = listener.caller.clone();
        // The copy at hand shows what the last listener might see.
        let record = &mut self.subject.record;
        record.shows = Shows::default();
        if !shows::decide_without_database(std::slice::from_mut(record), &self.request) {
            record.shows.email = self.manage.as_ref()?.holds(record, &self.request, self.moment.now)?;
        }
        let shows = record.shows;
        if let Some((_, written)) = self.written.iter().find(|(own, _)| *own == shows) {
            return Some(written.clone());
        }
        let fields = options.and_then(|options| options.picked()).map(Box::from);
        let written = self.subject.payloads.entry((shows, fields));
        let written = written.or_insert_with(|| payload(record, self.subject.action, options)).clone();
        self.written.push((shows, written.clone()));
        Some(written)
    }
}
