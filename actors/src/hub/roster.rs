//! Who is connected, as whom, and to what they listen.

mod listeners;
mod live;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

pub use listeners::{Listener, Listeners, TopicListeners};

use super::live::{Liveness, PENDING};
use super::standing::Standings;
use super::{Audience, ClientKey, InterestId};
use crate::subscription::{Sink, Subscription};
use crate::topic::{TopicIndex, topic_of};
use crate::wire::Wire;
use crate::{Change, Seq};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CallerKey(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TopicKey(u64);

const GUEST: CallerKey = CallerKey(0);

#[cfg(test)]
impl CallerKey {
    pub(super) fn of(number: u64) -> CallerKey {
        CallerKey(number)
    }
}

pub(super) struct Roster<A: Audience> {
    clients: BTreeMap<ClientKey, Client<A>>,
    callers: HashMap<CallerKey, Entry<A::Caller>>,
    /// Callers that are records: by subject, then by record.
    identities: HashMap<Box<str>, HashMap<Box<str>, CallerKey>>,
    topics: HashMap<TopicKey, Topic<A>>,
    texts: HashMap<Arc<str>, TopicKey>,
    index: TopicIndex<TopicKey>,
    /// Where each interest is to be found.
    interests: HashMap<InterestId, (TopicKey, CallerKey)>,
    last_key: u64,
    /// How often a client became another caller: what was decided before then is not about its interests any more.
    pub(super) moves: u64,
    /// Topics that are live queries.
    pub(super) live: usize,
}

pub(super) struct Client<A: Audience> {
    pub(super) subscription: Rc<Subscription>,
    pub(super) data: A::Client,
    caller: CallerKey,
    topics: Box<[TopicKey]>,
}

impl<A: Audience> Client<A> {
    pub(super) fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub(super) fn is_guest(&self) -> bool {
        self.caller == GUEST
    }
}

struct Entry<C> {
    caller: C,
    clients: usize,
    /// Under what it stands among the identities; none for the guest.
    identity: Option<(Box<str>, Box<str>)>,
    /// The last change of the caller's own record that was seen here.
    seen: Seq,
    /// Where the caller has an interest; not kept for the guest, who never changes.
    topics: Vec<TopicKey>,
}

struct Topic<A: Audience> {
    text: Arc<str>,
    parsed: A::Topic,
    liveness: Liveness,
    interests: HashMap<CallerKey, Interest>,
    /// The callers sorted, once there are many and somebody asked for it.
    standings: RefCell<Option<Standings<A::Index>>>,
}

struct Interest {
    id: InterestId,
    members: Members,
}

/// In the order in which they came: their queues and sockets lie in memory in much the same order.
pub(super) type Members = BTreeMap<ClientKey, Member>;

pub(super) struct Member {
    pub(super) subscription: Rc<Subscription>,
    /// Changes up to this one were there before the client subscribed.
    pub(super) from: Seq,
}

impl<C> Entry<C> {
    fn new(caller: C, identity: Option<(Box<str>, Box<str>)>) -> Entry<C> {
        Entry { caller, clients: 0, identity, seen: Seq::ZERO, topics: Vec::new() }
    }
}

impl<A: Audience> Roster<A> {
    pub(super) fn new() -> Roster<A> {
        Roster {
            clients: BTreeMap::new(),
            callers: HashMap::from([(GUEST, Entry::new(A::Caller::default(), None))]),
            identities: HashMap::new(),
            topics: HashMap::new(),
            texts: HashMap::new(),
            index: TopicIndex::new(),
            interests: HashMap::new(),
            last_key: 0,
            moves: 0,
            live: 0,
        }
    }

    fn next_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &Client<A>> {
        self.clients.values()
    }

    pub(super) fn client(&self, key: ClientKey) -> Option<&Client<A>> {
        self.clients.get(&key)
    }

    pub(super) fn caller_of(&self, client: &Client<A>) -> Option<&A::Caller> {
        self.callers.get(&client.caller).map(|entry| &entry.caller)
    }

    pub(super) fn client_count(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn interest_count(&self) -> usize {
        self.interests.len()
    }

    /// The text and the clients of an interest, if it still has any.
    pub(super) fn members(&self, interest: InterestId) -> Option<(&Arc<str>, &Members)> {
        let (topic, caller) = self.interests.get(&interest)?;
        let topic = self.topics.get(topic)?;
        Some((&topic.text, &topic.interests.get(caller)?.members))
    }

    /// Texts and clients of all interests whose topic is exactly this one.
    pub(super) fn listening_to(&self, topic: &str) -> impl Iterator<Item = (&Arc<str>, &Members)> {
        let topics = self.index.exactly(topic).iter().filter_map(|key| self.topics.get(key));
        topics.flat_map(|topic| topic.interests.values().map(|interest| (&topic.text, &interest.members)))
    }

    /// `at`: the last change before the client came.
    pub(super) fn connect(
        &mut self,
        wire: &'static dyn Wire,
        data: A::Client,
        sink: Rc<dyn Sink>,
        at: Seq,
    ) -> Rc<Subscription> {
        let key = ClientKey(self.next_key());
        let subscription = Rc::new(Subscription::new(key, wire, sink, at));
        let client = Client { subscription: subscription.clone(), data, caller: GUEST, topics: Box::default() };
        self.clients.insert(key, client);
        subscription
    }

    /// A client of another roster is listened for here too, as this caller.
    pub(super) fn adopt(&mut self, audience: &A, subscription: Rc<Subscription>, data: A::Client, caller: A::Caller) {
        let key = subscription.key;
        let client = Client { subscription, data, caller: GUEST, topics: Box::default() };
        self.clients.insert(key, client);
        self.set_caller(audience, key, caller);
    }

    /// The texts of a client's topics.
    pub(super) fn texts(&self, key: ClientKey) -> Vec<String> {
        let topics = self.clients.get(&key).map(|client| &client.topics[..]).unwrap_or_default();
        topics.iter().filter_map(|topic| Some(self.topics.get(topic)?.text.to_string())).collect()
    }

    pub(super) fn disconnect(&mut self, key: ClientKey) -> Option<Client<A>> {
        let client = self.clients.remove(&key)?;
        for topic in &client.topics {
            self.leave(*topic, client.caller, key);
        }
        self.release(client.caller);
        Some(client)
    }

    /// The topics of a client become these; those that it keeps go on without a break, others count from `from` on.
    pub(super) fn set_topics(&mut self, audience: &A, key: ClientKey, texts: &[String], from: Seq) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let caller = client.caller;
        let subscription = client.subscription.clone();
        let before = std::mem::take(&mut client.topics);

        let mut after: Vec<TopicKey> = Vec::with_capacity(texts.len());
        for text in texts {
            let topic = self.topic(audience, text);
            if !after.contains(&topic) {
                after.push(topic);
                if !before.contains(&topic) {
                    self.join(topic, caller, Member { subscription: subscription.clone(), from });
                }
            }
        }
        for topic in before.iter().filter(|topic| !after.contains(topic)) {
            self.leave(*topic, caller, key);
        }
        if let Some(client) = self.clients.get_mut(&key) {
            client.topics = after.into();
        }
    }

    /// Drops one topic of a client, by its exact text; false if it had none.
    pub(super) fn drop_topic(&mut self, key: ClientKey, text: &str) -> bool {
        let Some(topic) = self.texts.get(text).copied() else { return false };
        let Some(client) = self.clients.get_mut(&key) else { return false };
        let count = client.topics.len();
        client.topics = client.topics.iter().copied().filter(|own| *own != topic).collect();
        let had = client.topics.len() < count;
        let caller = client.caller;
        if had {
            self.leave(topic, caller, key);
        }
        had
    }

    /// Whether a client listens to exactly this text.
    pub(super) fn has_topic(&self, key: ClientKey, text: &str) -> bool {
        let topic = self.texts.get(text);
        topic.zip(self.clients.get(&key)).is_some_and(|(topic, client)| client.topics.contains(topic))
    }

    /// The clients of a caller.
    pub(super) fn clients_of(&self, caller: CallerKey) -> Vec<ClientKey> {
        self.clients.iter().filter(|(_, client)| client.caller == caller).map(|(key, _)| *key).collect()
    }

    /// Whether a client may be used by this caller: it was a guest so far, or is the same.
    pub(super) fn may_become(&self, audience: &A, key: ClientKey, caller: &A::Caller) -> bool {
        let Some(client) = self.clients.get(&key) else { return false };
        client.caller == GUEST || self.caller_key(audience, caller) == Some(client.caller)
    }

    /// The client acts as this caller from now on; its topics go on without a break.
    pub(super) fn set_caller(&mut self, audience: &A, key: ClientKey, caller: A::Caller) {
        let caller = match self.caller_key(audience, &caller) {
            // A caller that is known here has seen every change since: its values are at least as fresh.
            Some(known) => known,
            None => self.add_caller(audience, caller),
        };
        self.move_client(key, caller);
    }

    /// The client acts as a guest from now on.
    pub(super) fn demote(&mut self, key: ClientKey) {
        self.move_client(key, GUEST);
    }

    /// Numbers begin anew: whoever listens now is told everything after `at`.
    pub(super) fn restart(&mut self, at: Seq) {
        let interests = self.topics.values_mut().flat_map(|topic| topic.interests.values_mut());
        let members = interests.flat_map(|interest| interest.members.values_mut());
        members.filter(|member| member.from != PENDING).for_each(|member| member.from = at);
        self.callers.values_mut().for_each(|entry| entry.seen = at);
    }

    /// The caller whose own record a change is about.
    pub(super) fn subject_of(&self, change: &Change) -> Option<(CallerKey, &A::Caller)> {
        let key = self.identities.get(change.subject.id())?.get(&*change.record)?;
        Some((*key, &self.callers.get(key)?.caller))
    }

    /// The caller has these values since the change `seen`.
    pub(super) fn refresh(&mut self, key: CallerKey, caller: A::Caller, seen: Seq) {
        if let Some(entry) = self.callers.get_mut(&key) {
            (entry.caller, entry.seen) = (caller, seen);
            self.stands_anew(key);
        }
    }

    /// A caller's values have changed: where he stands has to be asked again.
    fn stands_anew(&mut self, key: CallerKey) {
        let Some(entry) = self.callers.get(&key) else { return };
        for topic in &entry.topics {
            if let Some(topic) = self.topics.get_mut(topic)
                && let Some(standings) = topic.standings.get_mut()
            {
                standings.remove(key);
                standings.add(key);
            }
        }
    }

    /// A caller who is known here had these values after the change `as_of`, or later: they count unless a later change
    /// was seen here. Whose values they are now, if they count.
    pub(super) fn refresh_known(&mut self, audience: &A, caller: A::Caller, as_of: Seq) -> Option<CallerKey> {
        let key = self.caller_key(audience, &caller).filter(|key| *key != GUEST)?;
        let entry = self.callers.get_mut(&key).filter(|entry| entry.seen <= as_of)?;
        entry.caller = caller;
        self.stands_anew(key);
        Some(key)
    }

    /// All clients of a caller act as guests from now on.
    pub(super) fn demote_all(&mut self, caller: CallerKey) {
        for key in self.clients_of(caller) {
            self.demote(key);
        }
    }

    /// All callers that are records of a subject.
    pub(super) fn callers_of(&self, subject: &str) -> Vec<CallerKey> {
        self.identities.get(subject).map(|records| records.values().copied().collect()).unwrap_or_default()
    }

    fn caller_key(&self, audience: &A, caller: &A::Caller) -> Option<CallerKey> {
        let Some((subject, record)) = audience.identity(caller) else { return Some(GUEST) };
        self.identities.get(subject)?.get(record).copied()
    }

    fn add_caller(&mut self, audience: &A, caller: A::Caller) -> CallerKey {
        let Some((subject, record)) = audience.identity(&caller) else { return GUEST };
        let key = CallerKey(self.last_key + 1);
        self.last_key += 1;
        let identity: (Box<str>, Box<str>) = (subject.into(), record.into());
        self.identities.entry(identity.0.clone()).or_default().insert(identity.1.clone(), key);
        self.callers.insert(key, Entry::new(caller, Some(identity)));
        key
    }

    fn move_client(&mut self, key: ClientKey, to: CallerKey) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let from = std::mem::replace(&mut client.caller, to);
        if from == to {
            return;
        }
        self.moves += 1;
        let topics = std::mem::take(&mut client.topics);
        for topic in &topics {
            if let Some(member) = self.leave_keeping_topic(*topic, from, key) {
                self.join(*topic, to, member);
            }
        }
        if let Some(client) = self.clients.get_mut(&key) {
            client.topics = topics;
        }
        if let Some(entry) = self.callers.get_mut(&to) {
            entry.clients += 1;
        }
        self.release(from);
    }

    /// A client less acts as this caller; the last one takes the caller along.
    fn release(&mut self, key: CallerKey) {
        let Some(entry) = self.callers.get_mut(&key) else { return };
        entry.clients = entry.clients.saturating_sub(1);
        if entry.clients > 0 || key == GUEST {
            return;
        }
        let Some((subject, record)) = self.callers.remove(&key).and_then(|entry| entry.identity) else { return };
        if let Some(records) = self.identities.get_mut(&subject) {
            records.remove(&record);
            if records.is_empty() {
                self.identities.remove(&subject);
            }
        }
    }

    fn topic(&mut self, audience: &A, text: &str) -> TopicKey {
        if let Some(key) = self.texts.get(text) {
            return *key;
        }
        let key = TopicKey(self.next_key());
        let text: Arc<str> = text.into();
        self.index.insert(topic_of(&text), key);
        self.texts.insert(text.clone(), key);
        let (parsed, liveness) = (audience.topic(&text), audience.liveness(&text));
        self.live += usize::from(liveness != Liveness::Events);
        let topic = Topic { text, parsed, liveness, interests: HashMap::new(), standings: RefCell::default() };
        self.topics.insert(key, topic);
        key
    }

    fn join(&mut self, topic: TopicKey, caller: CallerKey, member: Member) {
        let fresh = InterestId(self.next_key());
        let Some(entry) = self.topics.get_mut(&topic) else { return };
        let interest = entry.interests.entry(caller).or_insert_with(|| {
            self.interests.insert(fresh, (topic, caller));
            if let Some(standings) = entry.standings.get_mut() {
                standings.add(caller);
            }
            if let Some(entry) = self.callers.get_mut(&caller).filter(|_| caller != GUEST) {
                entry.topics.push(topic);
            }
            Interest { id: fresh, members: BTreeMap::new() }
        });
        interest.members.insert(member.subscription.key, member);
    }

    fn leave(&mut self, topic: TopicKey, caller: CallerKey, key: ClientKey) {
        self.leave_keeping_topic(topic, caller, key);
        let Some(entry) = self.topics.get(&topic) else { return };
        if entry.interests.is_empty() {
            self.index.remove(topic_of(&entry.text), topic);
            self.texts.remove(&entry.text);
            self.live -= usize::from(entry.liveness != Liveness::Events);
            self.topics.remove(&topic);
        }
    }

    fn leave_keeping_topic(&mut self, topic: TopicKey, caller: CallerKey, key: ClientKey) -> Option<Member> {
        let entry = self.topics.get_mut(&topic)?;
        let interest = entry.interests.get_mut(&caller)?;
        let member = interest.members.remove(&key);
        if interest.members.is_empty() {
            let id = interest.id;
            entry.interests.remove(&caller);
            self.interests.remove(&id);
            if let Some(standings) = entry.standings.get_mut() {
                standings.remove(caller);
            }
            if let Some(entry) = self.callers.get_mut(&caller) {
                entry.topics.retain(|own| *own != topic);
            }
        }
        member
    }

    /// True if nobody is left behind: no topic, interest or caller without a client.
    #[cfg(test)]
    pub(super) fn is_tidy(&self) -> bool {
        let interests: usize = self.topics.values().map(|topic| topic.interests.len()).sum();
        let identities: usize = self.identities.values().map(HashMap::len).sum();
        interests == self.interests.len()
            && self.topics.len() == self.texts.len()
            && self.topics.values().all(|topic| {
                !topic.interests.is_empty() && topic.interests.values().all(|interest| !interest.members.is_empty())
            })
            && identities + 1 == self.callers.len()
            && self.callers.iter().filter(|(key, _)| **key != GUEST).all(|(key, entry)| {
                let own = self.topics.iter().filter(|(_, topic)| topic.interests.contains_key(key)).count();
                entry.topics.len() == own
            })
            && (!self.clients.is_empty() || (self.topics.is_empty() && self.callers.len() == 1))
    }
}
