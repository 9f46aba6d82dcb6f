//! Who listens, as the domain sees it.

use super::super::standing::Standings;
use super::super::{Audience, ClientKey, InterestId};
use super::{CallerKey, Interest, Members, PENDING, Roster, Topic};
use crate::Change;
use crate::hub::Liveness;

/// Callers of a topic up to which it is as cheap to ask for each as to keep them sorted. Hardly any where tests are run, so
/// that they sort.
const FEW: usize = if cfg!(debug_assertions) { 2 } else { 16 };

/// One interest, as the domain judges it.
pub struct Listener<'a, A: Audience> {
    pub interest: InterestId,
    pub topic: &'a A::Topic,
    pub caller: &'a A::Caller,
    members: &'a Members,
}

impl<A: Audience> Listener<'_, A> {
    /// The client whose interest it is, if it is nobody else's.
    pub fn only_client(&self) -> Option<ClientKey> {
        let mut members = self.members.keys();
        members.next().copied().filter(|_| members.next().is_none())
    }
}

/// Those who listen on a hub.
pub struct Listeners<'a, A: Audience>(&'a Roster<A>);

impl<'a, A: Audience> Listeners<'a, A> {
    /// The interests that a change concerns by its topics.
    pub fn of(&self, change: &Change) -> impl Iterator<Item = Listener<'a, A>> + use<'a, A> {
        self.topics(change).flat_map(|topic| topic.all())
    }

    /// The same by topic.
    pub fn topics(&self, change: &Change) -> impl Iterator<Item = TopicListeners<'a, A>> + use<'a, A> {
        let roster = self.0;
        let topics = roster.index.concerned(change).filter_map(|key| roster.topics.get(&key));
        // Windows are read anew, whoever may see the change.
        let topics = topics.filter(|topic| topic.liveness != Liveness::Window);
        topics.map(move |topic| TopicListeners { roster, topic })
    }
}

/// Those who listen to one topic.
pub struct TopicListeners<'a, A: Audience> {
    roster: &'a Roster<A>,
    topic: &'a Topic<A>,
}

impl<'a, A: Audience> TopicListeners<'a, A> {
    pub fn topic(&self) -> &'a A::Topic {
        &self.topic.parsed
    }

    /// How many, where equal ones are one.
    pub fn count(&self) -> usize {
        self.topic.interests.len()
    }

    pub fn all(&self) -> impl Iterator<Item = Listener<'a, A>> + use<'a, A> {
        let (roster, topic) = (self.roster, self.topic);
        let interests = topic.interests.iter().filter(|(_, interest)| topic.is_heard_by(interest));
        interests.filter_map(move |(caller, _)| roster.listener(topic, *caller))
    }

    /// Shows each group of listeners whom the index does not tell apart: all of them, or those who stand at one of the
    /// values and those who stand at none. Few listeners are not sorted: each is then a group, whatever the values.
    pub fn groups(
        &self,
        audience: &A,
        index: &A::Index,
        values: Option<&[&str]>,
        mut show: impl FnMut(&mut dyn Iterator<Item = Listener<'a, A>>),
    ) {
        let (roster, topic) = (self.roster, self.topic);
        let mut standings = topic.standings.borrow_mut();
        if standings.is_none() && self.count() <= FEW {
            self.all().for_each(|listener| show(&mut std::iter::once(listener)));
            return;
        }
        let standings = match &mut *standings {
            Some(standings) if standings.is_by(index) => standings,
            other => other.insert(Standings::new(index.clone(), topic.interests.keys().copied())),
        };
        standings.sort(|caller| {
            let listener = roster.listener(topic, caller)?;
            Some(audience.standing(index, listener.caller))
        });
        for group in standings.groups(values) {
            show(&mut group.iter().filter_map(|caller| roster.listener(topic, *caller)));
        }
    }
}

impl<A: Audience> Topic<A> {
    /// Of a live query nobody may have a page yet, or ever: then there is no need to ask what becomes of it.
    fn is_heard_by(&self, interest: &Interest) -> bool {
        self.liveness == Liveness::Events || interest.members.values().any(|member| member.from != PENDING)
    }
}

impl<A: Audience> Roster<A> {
    pub(in crate::hub) fn listeners(&self) -> Listeners<'_, A> {
        Listeners(self)
    }

    fn listener<'a>(&'a self, topic: &'a Topic<A>, caller: CallerKey) -> Option<Listener<'a, A>> {
        let interest = topic.interests.get(&caller)?;
        let caller = &self.callers.get(&caller)?.caller;
        Some(Listener { interest: interest.id, topic: &topic.parsed, caller, members: &interest.members })
    }
}
