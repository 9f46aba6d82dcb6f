//! One change, shown to those who listen by one topic: what memory can answer is answered, the rest becomes questions.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use headwater_actors::Action;
use headwater_actors::hub::{Delivery, Listener, TopicListeners};

use super::payload::{leave, payload};
use super::questions::Question;
use super::rules::{Asked, Index};
use super::solutions::{FEW, Problem, SOME, Solutions};
use super::topic::{Topic, request};
use super::visibility::Visibility;
use crate::query::{Predicate, Predicates, Solution};
use crate::records::{Record, Shows, shows};
use crate::request::{Caller, RequestInfo};
use crate::schema::{Rule, Schema};

/// What a change is about.
pub(super) struct Subject {
    pub place: usize,
    pub action: Action,
    /// As it was after the change; before it, for a delete.
    pub record: Record,
    /// As it was before an update.
    pub before: Option<Record>,
    /// What was written so far: as what, by what is shown and by which fields.
    payloads: HashMap<(&'static str, Shows, Option<Box<str>>), Bytes>,
}

impl Subject {
    pub(super) fn new(place: usize, action: Action, record: Record, before: Option<Record>) -> Subject {
        Subject { place, action, record, before, payloads: HashMap::new() }
    }
}

/// What holds for all of a commit.
pub(super) struct Moment<'a> {
    pub schema: &'a Arc<Schema>,
    pub predicates: &'a Predicates,
    pub now: DateTime<Utc>,
    /// Extensions change records for each who sees them, so nothing is shared.
    pub enriched: bool,
    /// What was found before for the rules that need the database; none if it was not asked yet.
    pub solutions: Option<&'a Solutions>,
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
    /// Whom the rule lets see the record, where the database was asked for all at once.
    solution: Option<&'a Solution>,
    manage: Option<Arc<Predicate>>,
    /// As the callers ask; who asks is set for each.
    request: RequestInfo,
    /// Whether the record meets the topic's filter, once it was asked: the same for all but superusers.
    filter: Option<Answer>,
    /// What was written of the record for this topic.
    written: Vec<((&'static str, Shows), Bytes)>,
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
        let predicate = |asked: Asked| asked.predicate(moment.predicates, moment.schema, collection);
        let (index, manage) = (predicate(topic.asked()).map(Index), predicate(Asked::Manage));
        let solution = moment
            .solutions
            .zip(index.as_ref())
            .and_then(|(solutions, index)| solutions.of(subject.place, &index.0, topic.options.as_ref()));
        let request = request(topic.options.as_deref());
        Viewing { moment, subject, topic, rule, index, solution, manage, request, filter: None, written: Vec::new() }
    }

    /// What has to be asked for all listeners at once before the change is shown to them; none where that is asked about few.
    pub(super) fn problem(
        &mut self,
        audience: &Visibility,
        listeners: &TopicListeners<'_, Visibility>,
    ) -> Option<Problem> {
        let index = self.index.clone()?;
        let (rule, now) = (&index.0, self.moment.now);
        let known = self.moment.solutions.is_some() || !rule.is_solvable();
        if known || self.topic.is_live() || listeners.count() <= FEW {
            return None;
        }
        let record = self.subject.record.clone();
        if rule.refuses_everybody(&record, &self.request, now) || self.filter(&Caller::GUEST) == Answer::No {
            return None;
        }
        let mut asked = 0;
        match rule.reach(&record, &self.request, now, None, usize::MAX) {
            Some(values) => listeners.groups(audience, &index, Some(&values), |group| {
                let Some(first) = group.next() else { return };
                if self.rule(first.caller) == Answer::Ask {
                    asked += 1 + group.count();
                }
            }),
            None if listeners.count() > SOME => asked = listeners.count(),
            None => asked = listeners.all().filter(|listener| self.rule(listener.caller) == Answer::Ask).count(),
        }
        let options = self.topic.options.clone();
        (asked > FEW).then(|| Problem { change: self.subject.place, record, rule: rule.clone(), options })
    }

    pub(super) fn show(mut self, audience: &Visibility, listeners: &TopicListeners<'_, Visibility>, seen: &mut Seen) {
        if self.topic.is_live() {
            let (record, before) = (self.subject.record.clone(), self.subject.before.clone());
            return listeners.all().for_each(|listener| self.show_live(&listener, &record, before.as_ref(), seen));
        }
        let Some(index) = self.index.clone() else {
            return listeners.all().for_each(|listener| self.show_group(&mut std::iter::once(listener), seen));
        };
        let record = self.subject.record.clone();
        // Where they are more than those who listen, it is quicker to look at everybody.
        let values = index.0.reach(&record, &self.request, self.moment.now, self.solution, listeners.count());
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
            match self.written(&listener, self.subject.action.as_str(), rule, filter) {
                Some(payload) => {
                    let delivery = Delivery { change: self.subject.place, interest: listener.interest, payload };
                    seen.deliveries.push(delivery);
                }
                None => seen.questions.push(Question {
                    interest: listener.interest,
                    rule: if rule == Answer::Ask { self.rule.clone() } else { Rule::Open },
                    asks_filter: filter == Answer::Ask,
                    options: self.topic.options.clone(),
                    caller: listener.caller.clone(),
                    client: listener.only_client(),
                }),
            }
        }
    }

    /// What becomes of the record in a live query: whether it belonged to it before, and does now.
    fn show_live(
        &mut self,
        listener: &Listener<'_, Visibility>,
        record: &Record,
        before: Option<&Record>,
        seen: &mut Seen,
    ) {
        let place = self.subject.place;
        let (was, is) = match (self.subject.action, before) {
            (Action::Create, _) => (Answer::No, self.belongs(record, listener.caller)),
            (Action::Delete, _) => (self.belongs(record, listener.caller), Answer::No),
            (Action::Update, Some(before)) => {
                (self.belongs(before, listener.caller), self.belongs(record, listener.caller))
            }
            (Action::Update, None) => (Answer::Ask, Answer::Ask),
        };
        let word = match (was, is) {
            (Answer::No, Answer::No) => return,
            (Answer::Yes, Answer::No) => {
                let payload = leave(self.subject.record.id());
                return seen.deliveries.push(Delivery { change: place, interest: listener.interest, payload });
            }
            (Answer::No, Answer::Yes) => "enter",
            (Answer::Yes, Answer::Yes) => "change",
            _ => "",
        };
        let written = if word.is_empty() { None } else { self.written(listener, word, Answer::Yes, Answer::Yes) };
        match written {
            Some(payload) => {
                seen.deliveries.push(Delivery { change: place, interest: listener.interest, payload });
            }
            None => seen.questions.push(Question {
                interest: listener.interest,
                rule: if listener.caller.is_superuser() { Rule::Open } else { self.rule.clone() },
                asks_filter: true,
                options: self.topic.options.clone(),
                caller: listener.caller.clone(),
                client: listener.only_client(),
            }),
        }
    }

    /// Whether a record meets the rule and the filter, as far as memory can tell.
    fn belongs(&mut self, record: &Record, caller: &Caller) -> Answer {
        let rule = self.ask_rule(caller, Some(record));
        if rule == Answer::No {
            return rule;
        }
        let filter = match self.topic.filter(self.moment.schema, &record.collection) {
            None => Answer::Yes,
            Some(_) if caller.is_superuser() => Answer::Ask,
            Some(predicate) => {
                self.request.caller = caller.clone();
                predicate.holds(record, &self.request, self.moment.now).into()
            }
        };
        if rule == Answer::Ask && filter == Answer::Yes { rule } else { filter }
    }

    fn rule(&mut self, caller: &Caller) -> Answer {
        self.ask_rule(caller, None)
    }

    /// What the rule says to this record, or without one to the subject.
    fn ask_rule(&mut self, caller: &Caller, record: Option<&Record>) -> Answer {
        match (&self.rule, &self.index) {
            _ if caller.is_superuser() => Answer::Yes,
            (Rule::Open, _) => Answer::Yes,
            (Rule::Sealed, _) => Answer::No,
            (Rule::When(_), None) => Answer::Ask,
            (Rule::When(_), Some(index)) => {
                self.request.caller = caller.clone();
                let now = self.moment.now;
                let about = record.unwrap_or(&self.subject.record);
                let holds = index.0.holds(about, &self.request, now);
                let solution = self.solution.filter(|_| record.is_none());
                holds.or_else(|| index.0.lets(solution?, about, &self.request, now)).into()
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
    fn written(
        &mut self,
        listener: &Listener<'_, Visibility>,
        word: &'static str,
        rule: Answer,
        filter: Answer,
    ) -> Option<Bytes> {
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
        if let Some((_, written)) = self.written.iter().find(|(own, _)| *own == (word, shows)) {
            return Some(written.clone());
        }
        let fields = options.and_then(|options| options.picked()).map(Box::from);
        let written = self.subject.payloads.entry((word, shows, fields));
        let written = written.or_insert_with(|| payload(record, word, options)).clone();
        self.written.push(((word, shows), written.clone()));
        Some(written)
    }
}
