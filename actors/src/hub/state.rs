//! The hub's logic: events in, effects out. No actor, no clock, no socket.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::live::{Beginning, Live, Page, Query, Snapshot};
use super::post::Post;
use super::replay::{Replay, ReplayId};
use super::roster::Roster;
use super::stats::{HubCounts, HubStats};
use super::topics::{SetTopics, Ticket};
use super::{Answer, Audience, ClientKey, Decided, Decision, Fetched, Recheck, Refusal};
use crate::recent::{Bounds, Recent};
use crate::subscription::{Ending, Pushed, Sink, Subscription, SubscriptionLimits, Tick};
use crate::wire::{Frame, Frames, Wire};
use crate::{Commit, Epoch, Position, Seq};

/// Most clients that come back have missed no more than these.
const RECENT: Bounds = Bounds { changes: 4096, bytes: 8 << 20 };

/// What is to be done after an event.
pub struct Effects<F> {
    /// Subscriptions for which frames began to wait, or that ended in peace.
    pub wake: Vec<Rc<Subscription>>,
    /// Subscriptions that were ended: they, or the hub, fell behind, or their time was over.
    pub cut: Vec<Rc<Subscription>>,
    /// The position from which a set counts, or why it does not.
    pub answers: Vec<(Ticket, Result<Position, Refusal>)>,
    /// To be awaited, each on its own, and handed to [`HubState::done`].
    pub work: Vec<LocalBoxFuture<'static, Done<F>>>,
    /// Replays to go on with ([`HubState::go_on`]) in a moment.
    pub paused: Vec<ReplayId>,
    /// Changes that the hub is done with.
    pub finished: usize,
}

impl<F> Default for Effects<F> {
    fn default() -> Effects<F> {
        Effects { wake: vec![], cut: vec![], answers: vec![], work: vec![], paused: vec![], finished: 0 }
    }
}

/// What was awaited.
pub enum Done<F> {
    /// Who sees what of the commit at hand.
    Decided(Answer<F>),
    /// Who sees what of a page of a replay.
    Replayed(ReplayId, Answer<F>),
    /// A page of the change log.
    Fetched(ReplayId, Fetched),
    /// A live query, by the number of its read.
    Snapshot(Query, u64, Snapshot),
}

pub(super) enum Turn<C> {
    Commit(Arc<Commit>),
    SetTopics(SetTopics<C>),
    /// All records of this subject are nobody any more.
    Revoke(Arc<str>),
    /// A replay has come close enough to the present to end in it.
    Join(ReplayId),
    /// A live query begins with the page that was read for it.
    Begin(Query, u64, Page),
    /// What comes now is another history.
    Epoch(Position),
    /// What came up to this change is not told again.
    Expire(Seq),
}

/// What a decision is awaited for.
pub(super) enum Deciding<A: Audience> {
    /// And how often clients of the roster had become another caller when it was asked.
    Commit(Arc<Commit>, u64),
    Join(ReplayId, Arc<Commit>, u64),
    Begin(Box<Beginning<A>>, Arc<Commit>),
}

/// See the module's documentation.
pub struct HubState<A: Audience> {
    pub(super) audience: A,
    pub(super) epoch: Epoch,
    pub(super) limits: SubscriptionLimits,
    pub(super) roster: Roster<A>,
    pub(super) turns: VecDeque<Turn<A::Caller>>,
    /// Sets that came before the commits after which they count.
    early: VecDeque<SetTopics<A::Caller>>,
    /// The last change handed over.
    received: Seq,
    deciding: Option<Deciding<A>>,
    /// The last change delivered.
    pub(super) delivered: Seq,
    /// The newest commits, for those who come back.
    pub(super) recent: Recent,
    pub(super) replays: Vec<Replay<A>>,
    pub(super) last_replay: u64,
    pub(super) live: Live,
    /// Counts whatever puts frames into queues.
    pub(super) turn: u64,
    pub(super) counts: HubCounts,
    /// The server is stopping: who still comes is told so at once.
    stopped: bool,
    pub(super) effects: Effects<A::Found>,
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
            recent: Recent::after(at, RECENT),
            replays: Vec::new(),
            last_replay: 0,
            live: Live::default(),
            turn: 0,
            counts: HubCounts::default(),
            stopped: false,
            effects: Effects::default(),
        }
    }

    pub fn audience(&self) -> &A {
        &self.audience
    }

    pub fn stats(&self) -> HubStats {
        let mut stats = HubStats {
            interests: self.roster.interest_count(),
            replaying: self.replays.iter().map(|replay| replay.roster.client_count()).sum(),
            delivered: self.delivered,
            counts: self.counts,
            ..HubStats::default()
        };
        for client in self.roster.clients() {
            stats.clients += 1;
            if let Some(count) = stats.kinds.get_mut(client.subscription.wire.kind()) {
                *count += 1;
            }
            stats.subscriptions += client.topic_count();
            stats.waiting += client.subscription.state.borrow().waiting();
        }
        stats
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
        self.forget(key);
    }

    fn forget(&mut self, key: ClientKey) -> bool {
        for replay in &mut self.replays {
            replay.forget(key);
        }
        self.live.forget(key);
        let client = self.roster.disconnect(key);
        if let Some(client) = &client {
            self.audience.left(&client.data);
        }
        client.is_some()
    }

    /// The next commit. To be called in order.
    pub fn commit(&mut self, commit: Arc<Commit>) -> Effects<A::Found> {
        let last = commit.last;
        self.turns.push_back(Turn::Commit(commit));
        self.reach(last);
        self.run()
    }

    /// A client wants other topics. The answer comes once all earlier commits are delivered.
    pub fn set_topics(&mut self, set: SetTopics<A::Caller>) -> Effects<A::Found> {
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
    pub fn revoke(&mut self, subject: Arc<str>) -> Effects<A::Found> {
        self.turns.push_back(Turn::Revoke(subject));
        self.run()
    }

    /// The history that clients know ended: they are told to read anew, and what comes after counts from `at` on. To be
    /// called in order with the commits.
    pub fn new_epoch(&mut self, at: Position) -> Effects<A::Found> {
        self.received = at.seq;
        self.turns.push_back(Turn::Epoch(at));
        // What was asked for in the other history waits for nothing of it any more.
        self.turns.extend(std::mem::take(&mut self.early).into_iter().map(Turn::SetTopics));
        self.run()
    }

    /// Nothing up to this change is told again to those who come back: it means something else by now. Those who are being
    /// told it are told to read anew; who listens to the present hears nothing of it.
    pub fn expire(&mut self, through: Seq) -> Effects<A::Found> {
        self.turns.push_back(Turn::Expire(through));
        self.run()
    }

    /// Other bounds from now on.
    pub fn set_limits(&mut self, limits: SubscriptionLimits) {
        self.limits = limits;
    }

    /// What was awaited.
    pub fn done(&mut self, done: Done<A::Found>) -> Effects<A::Found> {
        match done {
            Done::Decided(answer) => match self.deciding.take() {
                // Somebody became another caller meanwhile: it is asked again.
                Some(Deciding::Commit(commit, moves)) if moves != self.roster.moves => self.begin(commit),
                Some(Deciding::Join(replay, _, moves)) if self.moved(replay, moves) => self.begin_join(replay),
                Some(deciding) => match answer {
                    Answer::Decided(decided) => self.decided(deciding, decided),
                    Answer::Found(found) => self.decide(deciding, Some(found)),
                },
                None => {}
            },
            Done::Replayed(replay, answer) => self.page_answered(replay, answer),
            Done::Fetched(replay, fetched) => self.page_fetched(replay, fetched),
            Done::Snapshot(query, number, snapshot) => self.snapshot_read(query, number, snapshot),
        }
        self.run()
    }

    /// Goes on with a replay that paused.
    pub fn go_on(&mut self, replay: ReplayId) -> Effects<A::Found> {
        self.advance(replay);
        self.run()
    }

    /// A caller who is known here had these values after the change `as_of`, or later. They count at once, unless a later
    /// change has told more.
    pub fn refresh(&mut self, caller: A::Caller, as_of: Seq) -> Effects<A::Found> {
        for replay in &mut self.replays {
            replay.roster.refresh_known(&self.audience, caller.clone(), as_of);
        }
        if let Some(key) = self.roster.refresh_known(&self.audience, caller, as_of) {
            for client in self.roster.clients_of(key) {
                self.restart_all_live(client);
            }
        }
        self.take_effects()
    }

    /// One client becomes a guest at once.
    pub fn demote(&mut self, key: ClientKey) -> Effects<A::Found> {
        for replay in &mut self.replays {
            replay.roster.demote(key);
        }
        self.roster.demote(key);
        self.restart_all_live(key);
        self.take_effects()
    }

    /// Sends a message to all who listen to exactly this topic, at once.
    pub fn send(&mut self, topic: &str, payload: &Bytes) -> Effects<A::Found> {
        self.turn += 1;
        let mut post =
            Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects, &mut self.counts);
        let replays = self.replays.iter().map(|replay| (&replay.roster, replay.at));
        for (roster, at) in std::iter::once((&self.roster, self.delivered)).chain(replays) {
            for (text, members) in roster.listening_to(topic) {
                let mut frames = Frames::default();
                for member in members.values() {
                    post.event(roster, &member.subscription, at, text, payload, &mut frames);
                }
            }
        }
        self.finish_cuts();
        std::mem::take(&mut self.effects)
    }

    /// Sends a message to one client if it listens to exactly this text, and maybe ends that subscription with it.
    pub fn send_to(&mut self, key: ClientKey, text: &str, payload: &Bytes, once: bool) -> (bool, Effects<A::Found>) {
        let replays = self.replays.iter_mut().map(|replay| (&mut replay.roster, replay.at));
        let mut places = std::iter::once((&mut self.roster, self.delivered)).chain(replays);
        let Some((roster, at)) = places.find(|(roster, _)| roster.has_topic(key, text)) else {
            return (false, Effects::default());
        };
        self.turn += 1;
        if let Some(client) = roster.client(key) {
            let mut post =
                Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects, &mut self.counts);
            post.event(roster, &client.subscription, at, text, payload, &mut Frames::default());
        }
        if once {
            roster.drop_topic(key, text);
        }
        self.finish_cuts();
        (true, std::mem::take(&mut self.effects))
    }

    /// Whose client it is; none if it is gone.
    pub fn caller(&self, key: ClientKey) -> Option<&A::Caller> {
        self.roster.caller_of(self.roster.client(key)?)
    }

    /// Whether a client listens to exactly this text.
    pub fn listens(&self, key: ClientKey, text: &str) -> bool {
        let replays = self.replays.iter().map(|replay| &replay.roster);
        std::iter::once(&self.roster).chain(replays).any(|roster| roster.has_topic(key, text))
    }

    /// A second has passed.
    pub fn tick(&mut self) -> Effects<A::Found> {
        self.turn += 1;
        let at = Position { epoch: self.epoch.clone(), seq: self.delivered };
        let (mut told, mut silent) = (Frames::default(), Frames::default());
        for client in self.roster.clients() {
            let subscription = &client.subscription;
            let tick = subscription.state.borrow_mut().tick(&self.limits);
            match tick {
                Tick::Nothing => {}
                Tick::KeepAlive => {
                    // Who is still being told of the past does not hear of the present.
                    let present = !self.replays.iter().any(|replay| replay.has(subscription.key));
                    let news = present && subscription.told.replace(at.seq) < at.seq;
                    let frames = if news { &mut told } else { &mut silent };
                    let frame = frames.get(subscription.wire, || subscription.wire.keep_alive(&at, news));
                    if subscription.keep_alive(frame, self.turn, &self.limits) == Pushed::First {
                        self.effects.wake.push(subscription.clone());
                    }
                }
                Tick::End(ending) => {
                    subscription.end(ending);
                    self.effects.cut.push(subscription.clone());
                }
            }
        }
        self.finish_cuts();
        self.retry_reads();
        self.take_effects()
    }

    /// Commits up to `last` were lost on the way to this hub: all its clients are cut off, what waits is dropped.
    pub fn lagged(&mut self, last: Seq) -> Effects<A::Found> {
        self.reach(last);
        for turn in std::mem::take(&mut self.turns) {
            match turn {
                Turn::Commit(commit) => self.effects.finished += commit.changes.len(),
                Turn::SetTopics(set) => self.effects.answers.push((set.ticket, Err(Refusal::UnknownClient))),
                Turn::Revoke(_) | Turn::Join(_) | Turn::Begin(..) | Turn::Expire(_) => {}
                Turn::Epoch(at) => self.epoch = at.epoch,
            }
        }
        self.abandon_replays();
        self.recent.restart(last);
        for client in self.roster.clients() {
            client.subscription.end(Ending::Lagged);
            self.effects.cut.push(client.subscription.clone());
        }
        self.delivered = self.delivered.max(last);
        self.finish_cuts();
        std::mem::take(&mut self.effects)
    }

    /// The server is stopping: streams end after what waits in them.
    pub fn stop(&mut self) -> Effects<A::Found> {
        self.stopped = true;
        for client in self.roster.clients() {
            client.subscription.end(Ending::Stopped);
            self.effects.wake.push(client.subscription.clone());
        }
        std::mem::take(&mut self.effects)
    }

    /// Takes turns until one has to wait.
    fn run(&mut self) -> Effects<A::Found> {
        while self.deciding.is_none() {
            match self.turns.pop_front() {
                None => break,
                Some(Turn::Commit(commit)) => self.begin(commit),
                Some(Turn::SetTopics(set)) => self.apply(set),
                Some(Turn::Revoke(subject)) => self.end_callers(&subject),
                Some(Turn::Join(replay)) => self.begin_join(replay),
                Some(Turn::Begin(query, number, page)) => self.begin_query(query, number, page),
                Some(Turn::Epoch(at)) => self.begin_epoch(at),
                Some(Turn::Expire(through)) => self.expire_past(through),
            }
        }
        self.take_effects()
    }

    fn take_effects(&mut self) -> Effects<A::Found> {
        self.begin_reads();
        std::mem::take(&mut self.effects)
    }

    /// All records of a subject are nobody any more.
    fn end_callers(&mut self, subject: &str) {
        let callers = self.roster.callers_of(subject).into_iter();
        let clients: Vec<ClientKey> = callers.flat_map(|caller| self.roster.clients_of(caller)).collect();
        for roster in rosters(&mut self.roster, &mut self.replays) {
            for caller in roster.callers_of(subject) {
                roster.demote_all(caller);
            }
        }
        for client in clients {
            self.restart_all_live(client);
        }
    }

    fn apply(&mut self, set: SetTopics<A::Caller>) {
        if let Some(replay) = self.replays.iter_mut().find(|replay| replay.has(set.client)) {
            // One thing after the other: its last set is not in force yet.
            replay.after.push(set);
            return;
        }
        let SetTopics { client, topics, caller, any_caller, from, since, ticket } = set;
        let texts = topics.of(|| self.roster.texts(client));
        let answer = if self.roster.client(client).is_none() {
            Err(Refusal::UnknownClient)
        } else if !any_caller
            && caller.as_ref().is_some_and(|caller| !self.roster.may_become(&self.audience, client, caller))
        {
            Err(Refusal::OtherCaller)
        } else if texts.len() > self.limits.topics {
            Err(Refusal::TooManyTopics)
        } else if self.live_among(&texts) > self.limits.live {
            Err(Refusal::TooManyLive)
        } else {
            let (held, moves) = (self.roster.texts(client), self.roster.moves);
            if let Some(caller) = caller {
                self.roster.set_caller(&self.audience, client, caller);
            }
            let from = from.max(self.delivered);
            match since {
                Some(since) => self.resume(client, texts, since),
                None => self.roster.set_topics(&self.audience, client, &texts, from),
            }
            // To somebody else they show something else.
            let held = if self.roster.moves == moves { &held[..] } else { &[] };
            self.begin_live(client, held);
            Ok(Position { epoch: self.epoch.clone(), seq: self.delivered })
        };
        self.effects.answers.push((ticket, answer));
    }

    fn begin(&mut self, commit: Arc<Commit>) {
        // Callers first: a record that lost its right to listen must not see even this commit.
        let mut others = Vec::new();
        for roster in rosters(&mut self.roster, &mut self.replays) {
            for change in &commit.changes {
                let Some((key, caller)) = roster.subject_of(change) else { continue };
                if roster.live > 0 {
                    others.extend(roster.clients_of(key));
                }
                match self.audience.recheck(caller, change) {
                    Recheck::Fresh(caller) => roster.refresh(key, caller, change.seq),
                    Recheck::Guest => roster.demote_all(key),
                }
            }
        }
        others.sort();
        others.dedup();
        for client in others {
            self.restart_all_live(client);
        }
        self.decide(Deciding::Commit(commit, self.roster.moves), None);
    }

    /// Asks who sees what, and goes on with the answer or waits for it.
    pub(super) fn decide(&mut self, deciding: Deciding<A>, found: Option<A::Found>) {
        let (roster, commit) = match &deciding {
            Deciding::Commit(commit, _) => (Some(&self.roster), commit),
            Deciding::Join(id, commit, _) => {
                (self.replays.iter().find(|replay| replay.id == *id).map(|replay| &replay.roster), commit)
            }
            Deciding::Begin(beginning, commit) => (Some(&beginning.roster), commit),
        };
        let decision = match roster {
            Some(roster) => self.audience.decide(commit, roster.listeners(), found),
            None => Decision::Now(Decided::default()),
        };
        match decision {
            Decision::Now(decided) => self.decided(deciding, decided),
            Decision::Later(answer) => {
                self.deciding = Some(deciding);
                self.effects.work.push(answer.map(Done::Decided).boxed_local());
            }
        }
    }

    fn decided(&mut self, deciding: Deciding<A>, decided: Decided) {
        match deciding {
            Deciding::Commit(commit, _) => self.deliver(&commit, decided),
            Deciding::Join(replay, commit, _) => {
                self.deliver_page(replay, &commit, decided);
                self.join(replay);
            }
            Deciding::Begin(beginning, commit) => self.begun(*beginning, &commit, decided),
        }
    }

    fn deliver(&mut self, commit: &Arc<Commit>, decided: Decided) {
        self.turn += 1;
        let mut post =
            Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects, &mut self.counts);
        post.decided(&self.roster, commit, decided);
        self.delivered = self.delivered.max(commit.last);
        self.recent.push(commit.clone());
        self.counts.changes += commit.changes.len() as u64;
        self.touch_windows(&commit.changes);
        self.effects.finished += commit.changes.len();
        self.finish_cuts();
    }

    /// Clients that are cut off are gone at once.
    pub(super) fn finish_cuts(&mut self) {
        let cut = self.effects.cut.iter().map(|subscription| (subscription.key, subscription.ending()));
        let cut: Vec<(ClientKey, Option<Ending>)> = cut.collect();
        for (key, ending) in cut {
            if self.forget(key) {
                match ending {
                    Some(Ending::Overflow) => self.counts.overflows += 1,
                    Some(Ending::Stalled) => self.counts.stalls += 1,
                    Some(Ending::Lagged) => self.counts.lagged += 1,
                    Some(Ending::Expired | Ending::Stopped | Ending::Left) | None => {}
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_replaying(&self, client: ClientKey) -> bool {
        self.replays.iter().any(|replay| replay.has(client))
    }

    /// True when fewer turns wait than that: the oldest ones were taken.
    #[cfg(test)]
    pub(super) fn took(&self, turns: usize) -> bool {
        let own = self.turns.iter().filter(|turn| matches!(turn, Turn::Join(_) | Turn::Begin(..))).count();
        self.turns.len() - own + usize::from(matches!(self.deciding, Some(Deciding::Commit(..)))) < turns
    }

    #[cfg(test)]
    pub(super) fn is_tidy(&self) -> bool {
        self.roster.is_tidy() && self.replays.is_empty() && self.live.is_tidy(&self.roster)
    }

    #[cfg(test)]
    pub(super) fn is_reading(&self) -> bool {
        !self.live.is_at_rest()
    }
}

/// Whoever listens, live or in a replay.
fn rosters<'a, A: Audience>(
    live: &'a mut Roster<A>,
    replays: &'a mut [Replay<A>],
) -> impl Iterator<Item = &'a mut Roster<A>> {
    std::iter::once(live).chain(replays.iter_mut().map(|replay| &mut replay.roster))
}
