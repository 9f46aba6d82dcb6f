//! The hub's logic: events in, effects out. No actor, no clock, no socket.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use super::post::Post;
use super::roster::Roster;
use super::{Audience, ClientKey, Decided, Decision, Recheck, Refusal};
use crate::subscription::{Ending, Pushed, Sink, Subscription, SubscriptionLimits, Tick};
use crate::wire::{Frame, Frames, Wire};
use crate::{Commit, Epoch, Position, Seq};

/// Stands for somebody who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// A client's new set of topics.
pub struct SetTopics<C> {
    pub client: ClientKey,
    /// The subscriptions' texts, options included.
    pub texts: Vec<String>,
    pub caller: C,
    /// The last change that was committed when the set was asked for. Up to it the topics of before count: who was answered
    /// a write and then asks for other topics has that write delivered first.
    pub from: Seq,
    pub ticket: Ticket,
}

/// What is to be done after an event.
#[derive(Default)]
pub struct Effects {
    /// Subscriptions for which frames began to wait, or that ended in peace.
    pub wake: Vec<Rc<Subscription>>,
    /// Subscriptions that were ended because they, or the hub, fell behind.
    pub cut: Vec<Rc<Subscription>>,
    pub answers: Vec<(Ticket, Result<(), Refusal>)>,
    /// To be awaited and handed to [`HubState::decided`]; at most one at a time.
    pub decision: Option<LocalBoxFuture<'static, Decided>>,
    /// Changes that the hub is done with.
    pub finished: usize,
}

/// Figures of a hub.
#[derive(Clone, Copy, Debug, Default)]
pub struct HubStats {
    pub clients: usize,
    /// Distinct pairs of text and caller.
    pub interests: usize,
    /// Bytes that wait for clients.
    pub waiting: usize,
    /// Clients cut off because they, or the hub, fell behind.
    pub cut: u64,
    /// The last change delivered.
    pub delivered: Seq,
}

enum Turn<C> {
    Commit(Arc<Commit>),
    SetTopics(SetTopics<C>),
    /// All records of this subject are nobody any more.
    Revoke(Arc<str>),
}

/// See the module's documentation.
pub struct HubState<A: Audience> {
    audience: A,
    epoch: Epoch,
    limits: SubscriptionLimits,
    roster: Roster<A>,
    turns: VecDeque<Turn<A::Caller>>,
    /// Sets that came before the commits after which they count.
    early: VecDeque<SetTopics<A::Caller>>,
    /// The last change handed over.
    received: Seq,
    /// The commit whose decision is awaited.
    deciding: Option<Arc<Commit>>,
    /// The last change delivered.
    delivered: Seq,
    /// Counts whatever puts frames into queues.
    turn: u64,
    cut: u64,
    /// The server is stopping: who still comes is told so at once.
    stopped: bool,
    effects: Effects,
}

impl<A: Audience> HubState<A> {
    /// A hub that will be given every commit after `at`.
    pub fn new(audience: A, epoch: Epoch, at: Seq, limits: SubscriptionLimits) -> HubState<A> {
        HubState {
            audience,
            epoch,
            limits,
            roster: Roster::new(),
            turns: VecDeque::new(),
            early: VecDeque::new(),
            received: at,
            deciding: None,
            delivered: at,
            turn: 0,
            cut: 0,
            stopped: false,
            effects: Effects::default(),
        }
    }

    pub fn audience(&self) -> &A {
        &self.audience
    }

    pub fn stats(&self) -> HubStats {
        HubStats {
            clients: self.roster.client_count(),
            interests: self.roster.interest_count(),
            waiting: self.roster.clients().map(|client| client.subscription.state.borrow().waiting()).sum(),
            cut: self.cut,
            delivered: self.delivered,
        }
    }

    /// A client came, with the frame that it sees first.
    pub fn connect(
        &mut self,
        wire: &'static dyn Wire,
        data: A::Client,
        sink: Rc<dyn Sink>,
        first: Option<Frame>,
    ) -> Rc<Subscription> {
        let subscription = self.roster.connect(wire, data, sink, self.delivered);
        self.turn += 1;
        if let Some(frame) = first {
            subscription.push(frame, self.turn, &self.limits);
        }
        if self.stopped {
            subscription.end(Ending::Stopped);
        }
        subscription
    }

    /// A client went.
    pub fn disconnect(&mut self, key: ClientKey) {
        if let Some(client) = self.roster.disconnect(key) {
            self.audience.left(&client.data);
        }
    }

    /// The next commit. To be called in order.
    pub fn commit(&mut self, commit: Arc<Commit>) -> Effects {
        let last = commit.last;
        self.turns.push_back(Turn::Commit(commit));
        self.reach(last);
        self.run()
    }

    /// A client wants other topics. The answer comes once all earlier commits are delivered.
    pub fn set_topics(&mut self, set: SetTopics<A::Caller>) -> Effects {
        if set.from > self.received {
            self.early.push_back(set);
        } else {
            self.turns.push_back(Turn::SetTopics(set));
        }
        self.run()
    }

    /// All changes up to this one were handed over, or will never be.
    fn reach(&mut self, last: Seq) {
        self.received = self.received.max(last);
        for set in std::mem::take(&mut self.early) {
            if set.from > self.received {
                self.early.push_back(set);
            } else {
                self.turns.push_back(Turn::SetTopics(set));
            }
        }
    }

    /// Every caller that is a record of this subject becomes a guest, after the commits that came before.
    pub fn revoke(&mut self, subject: Arc<str>) -> Effects {
        self.turns.push_back(Turn::Revoke(subject));
        self.run()
    }

    /// The awaited decision.
    pub fn decided(&mut self, decided: Decided) -> Effects {
        if let Some(commit) = self.deciding.take() {
            self.deliver(&commit, decided);
        }
        self.run()
    }

    /// A caller who is known here had these values after the change `as_of`, or later. They count at once, unless a later
    /// change has told more.
    pub fn refresh(&mut self, caller: A::Caller, as_of: Seq) {
        self.roster.refresh_known(&self.audience, caller, as_of);
    }

    /// One client becomes a guest at once.
    pub fn demote(&mut self, key: ClientKey) {
        self.roster.demote(key);
    }

    /// Sends a message to all who listen to exactly this topic, at once.
    pub fn send(&mut self, topic: &str, payload: &Bytes) -> Effects {
        self.turn += 1;
        let mut post = Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects);
        for (text, members) in self.roster.listening_to(topic) {
            let mut frames = Frames::default();
            for member in members.values() {
                post.event(&self.roster, &member.subscription, self.delivered, text, payload, &mut frames);
            }
        }
        self.finish_cuts();
        std::mem::take(&mut self.effects)
    }

    /// Sends a message to one client if it listens to exactly this text, and maybe ends that subscription with it.
    pub fn send_to(&mut self, key: ClientKey, text: &str, payload: &Bytes, once: bool) -> (bool, Effects) {
        if !self.roster.has_topic(key, text) {
            return (false, Effects::default());
        }
        self.turn += 1;
        if let Some(client) = self.roster.client(key) {
            let mut post = Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects);
            let frames = &mut Frames::default();
            post.event(&self.roster, &client.subscription, self.delivered, text, payload, frames);
        }
        if once {
            self.roster.drop_topic(key, text);
        }
        self.finish_cuts();
        (true, std::mem::take(&mut self.effects))
    }

    /// Whether a client listens to exactly this text.
    pub fn listens(&self, key: ClientKey, text: &str) -> bool {
        self.roster.has_topic(key, text)
    }

    /// A second has passed.
    pub fn tick(&mut self) -> Effects {
        self.turn += 1;
        let at = Position { epoch: self.epoch.clone(), seq: self.delivered };
        let (mut told, mut silent) = (Frames::default(), Frames::default());
        for client in self.roster.clients() {
            let subscription = &client.subscription;
            let tick = subscription.state.borrow_mut().tick(&self.limits);
            match tick {
                Tick::Nothing => {}
                Tick::KeepAlive => {
                    let news = subscription.told.replace(at.seq) < at.seq;
                    let frames = if news { &mut told } else { &mut silent };
                    let frame = frames.get(subscription.wire, || subscription.wire.keep_alive(&at, news));
                    if subscription.push(frame, self.turn, &self.limits) == Pushed::First {
                        self.effects.wake.push(subscription.clone());
                    }
                }
                Tick::Stalled => {
                    subscription.end(Ending::Stalled);
                    self.effects.cut.push(subscription.clone());
                }
            }
        }
        self.finish_cuts();
        std::mem::take(&mut self.effects)
    }

    /// Commits up to `last` were lost on the way to this hub: all its clients are cut off, what waits is dropped.
    pub fn lagged(&mut self, last: Seq) -> Effects {
        self.reach(last);
        for turn in std::mem::take(&mut self.turns) {
            match turn {
                Turn::Commit(commit) => self.effects.finished += commit.changes.len(),
                Turn::SetTopics(set) => self.effects.answers.push((set.ticket, Err(Refusal::UnknownClient))),
                Turn::Revoke(_) => {}
            }
        }
        for client in self.roster.clients() {
            client.subscription.end(Ending::Lagged);
            self.effects.cut.push(client.subscription.clone());
        }
        self.delivered = self.delivered.max(last);
        self.finish_cuts();
        std::mem::take(&mut self.effects)
    }

    /// The server is stopping: streams end after what waits in them.
    pub fn stop(&mut self) -> Effects {
        self.stopped = true;
        for client in self.roster.clients() {
            client.subscription.end(Ending::Stopped);
            self.effects.wake.push(client.subscription.clone());
        }
        std::mem::take(&mut self.effects)
    }

    /// Takes turns until one has to wait.
    fn run(&mut self) -> Effects {
        while self.deciding.is_none() {
            match self.turns.pop_front() {
                None => break,
                Some(Turn::Commit(commit)) => self.begin(commit),
                Some(Turn::SetTopics(set)) => self.apply(set),
                Some(Turn::Revoke(subject)) => {
                    for caller in self.roster.callers_of(&subject) {
                        self.roster.demote_all(caller);
                    }
                }
            }
        }
        std::mem::take(&mut self.effects)
    }

    fn apply(&mut self, set: SetTopics<A::Caller>) {
        let SetTopics { client, texts, caller, from, ticket } = set;
        let answer = if self.roster.client(client).is_none() {
            Err(Refusal::UnknownClient)
        } else if !self.roster.may_become(&self.audience, client, &caller) {
            Err(Refusal::OtherCaller)
        } else {
            self.roster.set_caller(&self.audience, client, caller);
            self.roster.set_topics(&self.audience, client, &texts, from.max(self.delivered));
            Ok(())
        };
        self.effects.answers.push((ticket, answer));
    }

    fn begin(&mut self, commit: Arc<Commit>) {
        // Callers first: a record that lost its right to listen must not see even this commit.
        for change in &commit.changes {
            let Some((key, caller)) = self.roster.subject_of(change) else { continue };
            match self.audience.recheck(caller, change) {
                Recheck::Fresh(caller) => self.roster.refresh(key, caller, change.seq),
                Recheck::Guest => self.roster.demote_all(key),
            }
        }
        match self.audience.decide(&commit, self.roster.listeners()) {
            Decision::Now(decided) => self.deliver(&commit, decided),
            Decision::Later(decision) => {
                self.deciding = Some(commit);
                self.effects.decision = Some(decision);
            }
        }
    }

    fn deliver(&mut self, commit: &Commit, decided: Decided) {
        let Decided { mut deliveries, failed } = decided;
        self.turn += 1;
        deliveries.sort_by_key(|delivery| delivery.change);
        let mut post = Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects);
        if !deliveries.is_empty() {
            if post.inspects {
                post.one_by_one(&self.roster, commit, &deliveries);
            } else {
                post.shared(&self.roster, commit, &deliveries);
            }
        }
        for (_, members) in failed.into_iter().filter_map(|interest| self.roster.members(interest)) {
            for member in members.values().filter(|member| member.from < commit.last) {
                member.subscription.end(Ending::Lagged);
                self.effects.cut.push(member.subscription.clone());
            }
        }
        self.delivered = self.delivered.max(commit.last);
        self.effects.finished += commit.changes.len();
        self.finish_cuts();
    }

    /// Clients that are cut off are gone at once.
    fn finish_cuts(&mut self) {
        for subscription in &self.effects.cut {
            if let Some(client) = self.roster.disconnect(subscription.key) {
                self.cut += 1;
                self.audience.left(&client.data);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_tidy(&self) -> bool {
        self.roster.is_tidy()
    }
}
