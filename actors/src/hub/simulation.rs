//! Seeded simulations: a hub and its clients through any order of commits, subscriptions, live queries, stalls, cuts, late
//! decisions, returns, restarts, new histories and expired ones, beside a simple model of what each client must be told. A
//! failing run repeats by its seed: `HEADWATER_SEED=… cargo test -p headwater-actors simulation`.

mod client;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use client::{Client, Place, Story, position};

use super::replay::ReplayId;
use super::state::{Done, Effects, HubState};
use super::testing::{Counter, Lines, User, World, change, commit};
use super::topics::{SetTopics, Since, Ticket, Topics};
use super::{ClientKey, Refusal};
use crate::subscription::{Ending, SubscriptionLimits};
use crate::{Change, Commit, Position, Seq};

const LIMITS: SubscriptionLimits =
    SubscriptionLimits { bytes: 1_500, topics: 10, live: 10, keep_alive: 5, stall: 4, idle: None, lifetime: None };
const SCHEDULES: u64 = 10_000;
const STEPS: usize = 120;
const HELLO: &str = "hello\n\n";
const RECORDS: [&str; 3] = ["r1", "r2", "r3"];
const TEXTS: [&str; 16] = [
    "posts/*",
    "pbc_posts/*?options=1",
    "posts/r1",
    "posts",
    "notes/*",
    "notes/r2",
    "secret/*",
    "secret/r3",
    "users",
    "chat/1",
    "posts/*?live",
    "secret/*?live",
    "notes/r2?live",
    "posts/*?window",
    "secret/*?window",
    "notes/*?broken",
];

/// What was put into the hub and takes its turn there.
enum Input {
    Commit(Arc<Commit>),
    SetTopics { ticket: Ticket, client: ClientKey, texts: Vec<String>, user: String, from: u64, since: Option<Place> },
    Revoke,
    Epoch(Place),
    Expire,
}

struct Simulation {
    rng: StdRng,
    world: Rc<World>,
    hub: HubState<Rc<World>>,
    work: Vec<LocalBoxFuture<'static, Done<()>>>,
    paused: VecDeque<ReplayId>,
    clients: BTreeMap<ClientKey, Client>,
    /// Who went: user, texts, and the last position it was told.
    lost: Vec<(String, Vec<String>, Place)>,
    epoch: usize,
    seq: u64,
    /// All changes, each with its history.
    past: Vec<(usize, Change)>,
    /// Committed, and still on the way to the hub.
    mail: VecDeque<Arc<Commit>>,
    inputs: VecDeque<Input>,
    /// Asked for when commits were still on the way that come first.
    early: Vec<(u64, Input)>,
    delivered: u64,
    /// The history of what was delivered last.
    epoch_told: usize,
    tickets: u64,
    overflows: usize,
    stalls: usize,
    refusals: usize,
    /// Clients of somebody, when another history began.
    sent_away: usize,
    events: usize,
    resumes: usize,
    resets: usize,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let world = Rc::new(World::default());
        world.page.set(7);
        world.failing.set(9);
        Simulation {
            rng: StdRng::seed_from_u64(seed),
            hub: HubState::new(world.clone(), position((0, 0)).epoch, Seq::ZERO, LIMITS),
            world,
            work: Vec::new(),
            paused: VecDeque::new(),
            clients: BTreeMap::new(),
            lost: Vec::new(),
            epoch: 0,
            seq: 0,
            past: Vec::new(),
            mail: VecDeque::new(),
            inputs: VecDeque::new(),
            early: Vec::new(),
            delivered: 0,
            epoch_told: 0,
            tickets: 0,
            overflows: 0,
            stalls: 0,
            refusals: 0,
            sent_away: 0,
            events: 0,
            resumes: 0,
            resets: 0,
        }
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.rng.random_range(0..of.len())]
    }

    fn client(&mut self) -> Option<ClientKey> {
        let count = self.clients.len();
        (count > 0).then(|| *self.clients.keys().nth(self.rng.random_range(0..count)).unwrap())
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..8 => self.connect(),
            8..9 => self.disconnect(),
            9..20 => self.subscribe(),
            20..40 => self.commit(),
            40..55 => self.hand_over(),
            55..78 => self.read(),
            78..79 => {
                self.world.slow.set(self.rng.random_bool(0.6));
                self.world.asks.set(self.rng.random_bool(0.3));
            }
            79..80 => self.world.index.set(self.rng.random()),
            80..92 => self.release(),
            92..93 => self.stall(),
            93..95 => self.send(),
            95..96 => self.revoke(),
            96..97 if self.rng.random_bool(0.3) => self.restart(),
            97..98 if self.rng.random_bool(0.3) => self.new_epoch(),
            97..98 if self.rng.random_bool(0.5) => self.expire(),
            98..99 => {
                let keep = self.rng.random_range(0..60);
                self.world.prune(keep);
            }
            _ => {
                for _ in 0..3 {
                    let effects = self.hub.tick();
                    self.apply(effects);
                }
            }
        }
    }

    fn connect(&mut self) {
        if self.clients.len() >= 10 {
            return;
        }
        let first = Some(Bytes::from_static(HELLO.as_bytes()));
        let subscription = self.hub.connect(&Lines, (), Rc::new(Counter::default()), first);
        let key = subscription.key;
        let client = Client {
            subscription,
            user: String::new(),
            texts: BTreeMap::new(),
            expected: Vec::new(),
            optional: Vec::new(),
            resumed: false,
            went_back: false,
            begun: 0,
            received: String::new(),
            stalled: false,
        };
        self.clients.insert(key, client);
        if !self.lost.is_empty() && self.rng.random_bool(0.7) {
            let (user, texts, since) = self.lost.swap_remove(self.rng.random_range(0..self.lost.len()));
            self.resumes += 1;
            self.set_topics(key, user, texts, Some(since));
        }
    }

    fn disconnect(&mut self) {
        if let Some(key) = self.client() {
            self.hub.disconnect(key);
            let client = self.clients.remove(&key).unwrap();
            self.lose(client);
        }
    }

    /// A client that went may come back.
    fn lose(&mut self, client: Client) {
        client.check(false);
        client.check_live(&self.world, &self.past, false);
        let story = client.story();
        self.events += story.events.len();
        self.resets += usize::from(story.reset.is_some());
        let texts: Vec<String> = client.texts.keys().filter(|text| *text != "chat/1").cloned().collect();
        // Who was told nothing has nothing to go on from, but where its topics began.
        let began = client.texts.values().max().map(|from| (self.epoch, *from));
        let began = began.filter(|_| self.epoch == self.epoch_told);
        if client.went_back {
            return;
        }
        if let Some(since) = story.position.or(began.filter(|_| !client.resumed && story.reset.is_none())) {
            self.lost.push((client.user, texts, since));
        }
    }

    /// The server ends and another one begins: who was connected comes back.
    fn restart(&mut self) {
        let at = position((self.epoch, self.seq));
        self.hub = HubState::new(self.world.clone(), at.epoch, at.seq, LIMITS);
        (self.epoch_told, self.delivered) = (self.epoch, self.seq);
        self.world.held.borrow_mut().clear();
        self.work.clear();
        self.paused.clear();
        self.mail.clear();
        self.inputs.clear();
        self.early.clear();
        for client in std::mem::take(&mut self.clients).into_values() {
            self.lose(client);
        }
    }

    /// Somebody else wrote the file.
    fn new_epoch(&mut self) {
        while !self.mail.is_empty() {
            self.hand_over();
        }
        self.epoch += 1;
        self.seq = self.rng.random_range(0..self.seq + 1);
        self.world.log.borrow_mut().clear();
        self.world.expired.set(self.seq);
        self.world.last.set(self.seq);
        self.inputs.push_back(Input::Epoch((self.epoch, self.seq)));
        let effects = self.hub.new_epoch(position((self.epoch, self.seq)));
        self.apply(effects);
    }

    /// The log means something else from here on.
    fn expire(&mut self) {
        while !self.mail.is_empty() {
            self.hand_over();
        }
        self.world.prune(0);
        self.inputs.push_back(Input::Expire);
        let effects = self.hub.expire(Seq(self.seq));
        self.apply(effects);
    }

    fn subscribe(&mut self) {
        let Some(client) = self.client() else { return };
        let busy = |input: &Input| matches!(input, Input::SetTopics { client: other, .. } if *other == client);
        let queued = self.inputs.iter().chain(self.early.iter().map(|(_, input)| input)).any(busy);
        if queued || self.hub.is_replaying(client) {
            return;
        }
        let count = self.rng.random_range(0..4);
        let texts: Vec<String> = (0..count).map(|_| self.one_of(&TEXTS).to_owned()).collect();
        let user = self.one_of(&["", "", "ann", "bob"]).to_owned();
        let since = self.clients[&client].story().position.filter(|_| self.rng.random_bool(0.3));
        self.clients.get_mut(&client).unwrap().went_back |= since.is_some();
        self.set_topics(client, user, texts, since);
    }

    fn set_topics(&mut self, client: ClientKey, user: String, texts: Vec<String>, since: Option<Place>) {
        self.tickets += 1;
        let (ticket, from) = (Ticket(self.tickets), self.seq);
        let set = SetTopics {
            client,
            topics: Topics::Replace(texts.clone()),
            caller: Some(User(user.clone())),
            any_caller: false,
            from: Seq(from),
            since: since.map(|place| Since::At(position(place))),
            ticket,
        };
        let input = Input::SetTopics { ticket, client, texts, user, from, since };
        if self.mail.is_empty() {
            self.inputs.push_back(input)
        } else {
            self.early.push((from, input))
        }
        let effects = self.hub.set_topics(set);
        self.apply(effects);
    }

    fn commit(&mut self) {
        let count = if self.rng.random_bool(0.03) { 80 } else { self.rng.random_range(1..4) };
        let changes: Vec<Change> = (0..count)
            .map(|_| {
                self.seq += 1;
                match self.rng.random_range(0..40) {
                    0 => change(self.seq, "users", self.one_of(&["ann", "bob"])),
                    _ => {
                        let (name, record) = (self.one_of(&["posts", "notes", "secret"]), self.one_of(&RECORDS));
                        change(self.seq, name, record)
                    }
                }
            })
            .collect();
        self.past.extend(changes.iter().map(|change| (self.epoch, change.clone())));
        self.world.write(&changes);
        self.mail.push_back(commit(changes));
    }

    fn hand_over(&mut self) {
        if let Some(commit) = self.mail.pop_front() {
            self.inputs.push_back(Input::Commit(commit.clone()));
            let (now, later): (Vec<_>, _) =
                std::mem::take(&mut self.early).into_iter().partition(|(from, _)| *from <= commit.last.0);
            self.inputs.extend(now.into_iter().map(|(_, input)| input));
            self.early = later;
            let effects = self.hub.commit(commit);
            self.apply(effects);
        }
    }

    fn revoke(&mut self) {
        self.inputs.push_back(Input::Revoke);
        let effects = self.hub.revoke("pbc_users".into());
        self.apply(effects);
    }

    fn read(&mut self) {
        let Some(key) = self.client() else { return };
        let max = self.rng.random_range(1..3_000);
        let client = self.clients.get_mut(&key).unwrap();
        if !client.stalled {
            client.take(max);
        }
    }

    fn stall(&mut self) {
        if let Some(key) = self.client() {
            self.clients.get_mut(&key).unwrap().stalled = true;
        }
    }

    fn send(&mut self) {
        for client in self.clients.values_mut().filter(|client| !client.resumed && client.texts.contains_key("chat/1"))
        {
            client.expected.push(((self.epoch_told, self.delivered), "chat/1".into()));
        }
        let effects = self.hub.send("chat/1", &Bytes::from_static(b"{}"));
        self.apply(effects);
    }

    /// Lets the oldest thing come that is waited for, and goes on with a replay.
    fn release(&mut self) {
        let release = self.world.held.borrow_mut().pop_front();
        if let Some(release) = release {
            // Who waited for it may have gone.
            let _ = release.send(());
        }
        for mut work in std::mem::take(&mut self.work) {
            match (&mut work).now_or_never() {
                Some(done) => {
                    let effects = self.hub.done(done);
                    self.apply(effects);
                }
                None => self.work.push(work),
            }
        }
        if let Some(replay) = self.paused.pop_front() {
            let effects = self.hub.go_on(replay);
            self.apply(effects);
        }
    }

    /// Follows the hub: whatever it finished must be the inputs in their order.
    fn apply(&mut self, effects: Effects<()>) {
        let Effects { wake, cut, answers, work, paused, mut finished } = effects;
        let mut answers: VecDeque<_> = answers.into();
        let mut sent_away = BTreeMap::new();
        loop {
            match self.inputs.front() {
                Some(Input::Commit(commit)) if finished >= commit.changes.len() => {
                    finished -= commit.changes.len();
                }
                Some(Input::SetTopics { ticket, .. }) if answers.front().is_some_and(|(own, _)| own == ticket) => {}
                Some(Input::Revoke | Input::Epoch(_) | Input::Expire) if self.hub.took(self.inputs.len()) => {}
                _ => break,
            }
            match self.inputs.pop_front() {
                Some(Input::Commit(commit)) => self.expect(&commit),
                Some(Input::SetTopics { client, texts, user, from, since, .. }) => {
                    let (_, answer) = answers.pop_front().unwrap();
                    let cut = cut.iter().any(|subscription| subscription.key == client);
                    if !cut || answer != Err(Refusal::UnknownClient) {
                        self.expect_topics(client, texts, user, from, since, answer);
                    }
                }
                Some(Input::Epoch((epoch, seq))) => {
                    (self.epoch_told, self.delivered) = (epoch, seq);
                    // From here on nobody is anybody of before.
                    let clients = std::mem::take(&mut self.clients);
                    let (guests, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
                        clients.into_iter().partition(|(_, client)| client.user.is_empty());
                    self.clients = guests;
                    sent_away.extend(others.into_iter().map(|(key, client)| (key, (client, epoch))));
                    for client in self.clients.values_mut() {
                        client.texts.values_mut().for_each(|from| *from = seq);
                        client.begun += 1;
                    }
                }
                Some(Input::Revoke) => self.clients.values_mut().for_each(Client::demote),
                Some(Input::Expire) | None => {}
            }
        }
        assert_eq!((finished, answers.len()), (0, 0), "turns were taken out of order");
        for subscription in cut {
            subscription.wake();
            let (mut client, epoch) = match sent_away.remove(&subscription.key) {
                Some((client, epoch)) => (client, Some(epoch)),
                None => (self.clients.remove(&subscription.key).unwrap(), None),
            };
            match subscription.ending() {
                Some(Ending::Overflow) => self.overflows += 1,
                Some(Ending::Stalled) => self.stalls += 1,
                Some(Ending::Lagged) if epoch.is_some() => self.sent_away += 1,
                other => panic!("cut as {other:?}"),
            }
            // A client that reads on reads whole events, and then why it was cut off.
            if !client.stalled {
                client.take(usize::MAX);
                let end = format!("end:{:?}", subscription.ending().unwrap());
                assert!(client.received.ends_with(&end), "{}", client.received);
                client.received.truncate(client.received.len() - end.len());
                assert!(client.received.is_empty() || client.received.ends_with('\n'));
                // Who had not even read the greeting lost that as well.
                if subscription.ending() == Some(Ending::Lagged) && client.received.starts_with(HELLO) {
                    let Story { reset, events, .. } = client.story();
                    assert_eq!(reset.map(|(at, reason)| (Some(at.0), reason)), Some((epoch, "epoch".into())));
                    assert!(events.is_empty(), "{events:?}");
                }
            }
            self.lose(client);
        }
        assert!(sent_away.is_empty(), "somebody of another history listens on");
        for subscription in wake {
            subscription.wake();
        }
        self.work.extend(work);
        self.paused.extend(paused);
    }

    fn expect(&mut self, commit: &Commit) {
        for change in commit.changes.iter().filter(|change| change.subject.name() == "users") {
            for client in self.clients.values_mut().filter(|client| *client.user == *change.record) {
                client.demote();
            }
        }
        for client in self.clients.values_mut() {
            client.expect(&commit.changes, self.epoch_told);
        }
        self.delivered = commit.last.0;
    }

    fn expect_topics(
        &mut self,
        client: ClientKey,
        texts: Vec<String>,
        user: String,
        from: u64,
        since: Option<Place>,
        answer: Result<Position, Refusal>,
    ) {
        let from = match since {
            Some((epoch, seq)) if epoch == self.epoch_told && seq <= self.delivered => seq,
            Some(_) => self.delivered,
            None => from.max(self.delivered),
        };
        let Some(client) = self.clients.get_mut(&client) else {
            return assert_eq!(answer, Err(Refusal::UnknownClient));
        };
        if !client.user.is_empty() && client.user != user {
            self.refusals += 1;
            return assert_eq!(answer, Err(Refusal::OtherCaller));
        }
        assert_eq!(answer, Ok(position((self.epoch_told, self.delivered))));
        client.user = user;
        client.begun += 1;
        let before = std::mem::take(&mut client.texts);
        let (kept, new): (Vec<String>, Vec<String>) = texts.into_iter().partition(|text| before.contains_key(text));
        client.texts = new.into_iter().map(|text| (text, from)).collect();
        if since.is_some() {
            client.resumed = true;
            client.expected.retain(|(_, text)| text != "chat/1");
            // Everything that there was, also what the log has forgotten: then it is told so.
            let (epoch, delivered) = (self.epoch_told, self.delivered);
            let missed = self.past.iter().filter(|(own, change)| *own == epoch && change.seq.0 <= delivered);
            let missed: Vec<Change> = missed.map(|(_, change)| change.clone()).collect();
            client.expect(&missed, epoch);
        }
        client.texts.extend(kept.into_iter().map(|text| (before[&text], text)).map(|(from, text)| (text, from)));
    }

    /// Everything comes to rest; whoever still reads has received everything.
    fn end(&mut self) {
        while !self.mail.is_empty() {
            self.hand_over();
        }
        self.world.slow.set(false);
        // A stalled client would hold its replay up for ever.
        for key in self.clients.iter().filter(|(_, client)| client.stalled).map(|(key, _)| *key).collect::<Vec<_>>() {
            self.hub.disconnect(key);
            let client = self.clients.remove(&key).unwrap();
            self.lose(client);
        }
        while !self.work.is_empty() || !self.paused.is_empty() || self.hub.is_reading() {
            self.release();
            if self.work.is_empty() && self.paused.is_empty() {
                // What could not be read is tried again.
                let effects = self.hub.tick();
                self.apply(effects);
            }
            self.clients.values_mut().for_each(|client| client.take(usize::MAX));
        }
        assert!(self.inputs.is_empty() && self.early.is_empty());
        for client in self.clients.values_mut() {
            client.take(usize::MAX);
            client.check(true);
            client.check_live(&self.world, &self.past, true);
            self.events += client.story().events.len();
        }
        assert!(self.hub.is_tidy());
        for key in std::mem::take(&mut self.clients).into_keys() {
            self.hub.disconnect(key);
        }
        assert!(self.hub.is_tidy());
    }
}

/// Every client's history is exactly what it may see, in order, once, or says where it is broken.
#[test]
fn every_client_is_told_everything_in_order_or_that_it_was_cut_off() {
    let (mut overflows, mut stalls, mut refusals, mut events, mut resumes, mut resets) = (0, 0, 0, 0, 0, 0);
    let mut sent_away = 0;
    let seeds = match std::env::var("HEADWATER_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).unwrap(),
        Err(_) => 0..SCHEDULES,
    };
    let whole = seeds.end - seeds.start == SCHEDULES;
    for seed in seeds {
        let mut simulation = Simulation::new(seed);
        let run = std::panic::AssertUnwindSafe(|| {
            (0..STEPS).for_each(|_| simulation.step());
            simulation.end();
        });
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("the failing seed is {seed}");
            std::panic::resume_unwind(panic);
        }
        overflows += simulation.overflows;
        stalls += simulation.stalls;
        refusals += simulation.refusals;
        sent_away += simulation.sent_away;
        events += simulation.events;
        resumes += simulation.resumes;
        resets += simulation.resets;
    }
    // The runs must have reached what they are about.
    assert!(
        !whole
            || [overflows, stalls, refusals, resumes, resets, sent_away].iter().all(|count| *count > 500)
                && events > 100_000,
        "{overflows} {stalls} {refusals} {events} {resumes} {resets} {sent_away}"
    );
}
