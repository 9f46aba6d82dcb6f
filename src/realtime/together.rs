//! Questions that are answered for many callers at once: ten thousand who listen by `members.id ?= @request.auth.id` cost
//! one query for the members and a look-up each, not a query each.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use rusqlite::Connection;

use super::options::Options;
use super::payload::payload;
use super::questions::{Question, Subject};
use super::topic;
use crate::query::Predicate;
use crate::schema::{Rule, Schema};

/// Callers of a rule below which each is asked about on his own: one query together has its price too.
const FEW: usize = 3;

/// The same rule about the same subject, as the same options show it.
#[derive(PartialEq, Eq, Hash)]
struct Key(usize, *const Predicate, Option<*const Options>);

impl Key {
    fn of(place: usize, question: &Question) -> Option<Key> {
        let options = question.options.as_ref().map(Arc::as_ptr);
        Some(Key(place, Arc::as_ptr(question.together.as_ref()?), options))
    }
}

/// Answers the rules of questions that can be asked together: those whom a rule lets through are left with an open one, those
/// whom it does not are gone, and whoever remains is asked about on his own.
pub(super) fn answer_rules(
    conn: &Connection,
    schema: &Schema,
    subjects: &[Subject],
    questions: &mut VecDeque<(usize, Question)>,
) {
    let mut counts: HashMap<Key, usize> = HashMap::new();
    for (place, question) in questions.iter() {
        if let Some(key) = Key::of(*place, question) {
            *counts.entry(key).or_default() += 1;
        }
    }
    counts.retain(|_, count| *count > FEW);
    if counts.is_empty() {
        return;
    }
    let now = Utc::now();
    let mut groups: HashMap<Key, Vec<(usize, Question)>> = HashMap::new();
    let mut kept = VecDeque::with_capacity(questions.len());
    for (place, question) in questions.drain(..) {
        match Key::of(place, &question).filter(|key| counts.contains_key(key)) {
            Some(key) => groups.entry(key).or_default().push((place, question)),
            None => kept.push_back((place, question)),
        }
    }
    for (Key(place, ..), mut group) in groups {
        let first = group.first().and_then(|(_, first)| Some((first.together.clone()?, first.options.clone())));
        let Some(((predicate, options), subject)) = first.zip(subjects.get(place)) else { continue };
        let mut request = topic::request(options.as_deref());
        let solution = predicate.solve(conn, schema, &subject.record, &request, now);
        if let Err(error) = &solution {
            log::debug!("realtime: a rule was not answered for all at once: {error}");
        }
        let solution = solution.ok().flatten();
        group.retain_mut(|(_, question)| {
            // Not tried again, whatever came of it.
            question.together = None;
            request.caller = question.caller.clone();
            match solution.as_ref().and_then(|solution| solution.lets(&request)) {
                Some(true) => {
                    question.rule = Rule::Open;
                    true
                }
                Some(false) => false,
                None => true,
            }
        });
        kept.extend(group);
    }
    *questions = kept;
}

/// Payloads that are the same for all, written once.
#[derive(Default)]
pub(super) struct Written(HashMap<(usize, Option<*const Options>), Bytes>);

impl Written {
    /// What a listener sees about whom nothing is left to ask; none where there is.
    pub(super) fn payload(&mut self, place: usize, subject: &Subject, question: &Question) -> Option<Bytes> {
        let options = question.options.as_deref();
        let expands = options.is_some_and(|options| options.expand().is_some());
        let is_open = question.rule == Rule::Open && !question.asks_filter && !expands;
        // Superusers see more, and of auth records each sees something else.
        if !is_open || question.caller.is_superuser() || subject.record.collection.is_auth() {
            return None;
        }
        let key = (place, question.options.as_ref().map(Arc::as_ptr));
        let written = self.0.entry(key).or_insert_with(|| payload(&subject.record, subject.action, options));
        Some(written.clone())
    }
}
