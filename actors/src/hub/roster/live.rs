//! The live queries among the topics of clients.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::live::Query;
use super::{CallerKey, GUEST, Interest, Members, Roster, Topic, TopicKey};
use crate::hub::{Audience, ClientKey, Liveness};
use crate::{Change, Seq};

impl<A: Audience> Roster<A> {
    /// The texts of a client's live queries.
    pub(in crate::hub) fn live_texts(&self, key: ClientKey) -> Vec<Arc<str>> {
        if self.live == 0 {
            return Vec::new();
        }
        let topics = self.clients.get(&key).map(|client| &client.topics[..]).unwrap_or_default();
        let topics = topics.iter().filter_map(|topic| self.topics.get(topic));
        topics.filter(|topic| topic.liveness != Liveness::Events).map(|topic| topic.text.clone()).collect()
    }

    /// A client's topic begins after this change.
    pub(in crate::hub) fn set_from(&mut self, key: ClientKey, text: &str, from: Seq) {
        let Some(client) = self.clients.get(&key) else { return };
        let topic = self.texts.get(text).and_then(|topic| self.topics.get_mut(topic));
        let interest = topic.and_then(|topic| topic.interests.get_mut(&client.caller));
        if let Some(member) = interest.and_then(|interest| interest.members.get_mut(&key)) {
            member.from = from;
        }
    }

    /// What is to be read for a client's topic.
    pub(in crate::hub) fn query(&self, key: ClientKey, text: &str) -> Option<Query> {
        let topic = self.topics.get(self.texts.get(text)?)?;
        self.query_of(topic, self.clients.get(&key)?.caller)
    }

    fn query_of(&self, topic: &Topic<A>, caller: CallerKey) -> Option<Query> {
        let caller = self.callers.get(&caller)?.identity.clone();
        Some(Query { text: topic.text.clone(), caller })
    }

    /// Whether it is a window, as whom it is read and for which clients; nothing if they have gone.
    pub(in crate::hub) fn asked(&self, query: &Query) -> Option<(Liveness, &A::Caller, &Members)> {
        let topic = self.topics.get(self.texts.get(&query.text)?)?;
        let caller = match &query.caller {
            None => GUEST,
            Some((subject, record)) => *self.identities.get(subject)?.get(record)?,
        };
        let Interest { members, .. } = topic.interests.get(&caller)?;
        Some((topic.liveness, &self.callers.get(&caller)?.caller, members))
    }

    /// The windows that changes concern.
    pub(in crate::hub) fn windows(&self, changes: &[Change]) -> Vec<Query> {
        if self.live == 0 {
            return Vec::new();
        }
        let topics: HashSet<TopicKey> = changes.iter().flat_map(|change| self.index.concerned(change)).collect();
        let topics = topics.iter().filter_map(|key| self.topics.get(key));
        let windows = topics.filter(|topic| topic.liveness == Liveness::Window);
        windows
            .flat_map(|topic| topic.interests.keys().filter_map(move |caller| self.query_of(topic, *caller)))
            .collect()
    }
}
