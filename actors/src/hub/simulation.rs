//! Seeded simulations: a hub and its clients through any order of commits, subscriptions, stalls, cuts and late
//! decisions, beside a simple model of what each client must be told. A failing run repeats by its seed.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::state::{Effects, HubState, SetTopics, Ticket};
use super::testing::{Counter, User, World, change, commit};
use super::{ClientKey, Decided, Refusal};
use crate::frame::Protocol;
use crate::subscription::{Ending, Subscription, SubscriptionLimits};
use crate::topic::topic_of;
use crate::{Change, Commit, Seq};

const LIMITS: SubscriptionLimits = SubscriptionLimits { bytes: 1_500, keep_alive: 5, stall: 8 };
const HELLO: &str = "hello\n\n";
const RECORDS: [&str; 3] = ["r1", "r2", "r3"];
const TEXTS: [&str; 10] = [
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
];

/// What was put into the hub and takes its turn there.
enum Input {
    Commit(Arc<Commit>),
    SetTopics { ticket: Ticket, client: ClientKey, texts: Vec<String>, user: String, from: u64 },
    Revoke,
}

/// One client, and what it must be told.
struct Client {
    subscription: Rc<Subscription>,
    sink: Counter,
    user: String,
    /// Its texts, each with the number after which it counts.
    texts: BTreeMap<String, u64>,
    /// Events as number and text.
    expected: Vec<(u64, String)>,
    received: String,
    stalled: bool,
}

impl Client {
    /// Whole events that were received so far.
    fn events(&self) -> Vec<(u64, String)> {
        let body = self.received.strip_prefix(HELLO).unwrap_or_default();
        let whole = body.rfind("\n\n").map_or("", |end| &body[..end + 2]);
        let event = |text: &str| {
            let mut lines = text.lines().filter(|line| *line != ":");
            let seq = lines.next().unwrap().strip_prefix("id:k3f9xq2a:").unwrap().parse().unwrap();
            let name = lines.next().unwrap().strip_prefix("event:").unwrap().to_owned();
            assert!(lines.next().unwrap().starts_with("data:{"));
            (seq, name)
        };
        whole.split_terminator("\n\n").map(event).collect()
    }

    /// What was received is a beginning of what was expected; the events of one change may come in any order.
    fn check(&self, all: bool) {
        let received = self.events();
        assert!(received.is_sorted_by_key(|(seq, _)| *seq), "out of order: {received:?}");
        let canonical = |events: &[(u64, String)]| {
            let mut events = events.to_vec();
            events.sort();
            events
        };
        if all {
            assert_eq!(canonical(&received), canonical(&self.expected));
            return;
        }
        let Some((last, _)) = received.last() else { return };
        let before = |events: &[(u64, String)]| -> Vec<_> {
            canonical(events).into_iter().take_while(|(seq, _)| seq < last).collect()
        };
        assert_eq!(before(&received), before(&self.expected));
        assert!(received.iter().all(|event| self.expected.contains(event)));
    }
}

struct Simulation {
    rng: StdRng,
    world: Rc<World>,
    hub: HubState<Rc<World>>,
    decision: Option<LocalBoxFuture<'static, Decided>>,
    clients: BTreeMap<ClientKey, Client>,
    seq: u64,
    /// Committed, and still on the way to the hub.
    mail: VecDeque<Arc<Commit>>,
    inputs: VecDeque<Input>,
    /// Asked for when commits were still on the way that come first.
    early: Vec<(u64, Input)>,
    delivered: u64,
    tickets: u64,
    overflows: usize,
    stalls: usize,
    refusals: usize,
    events: usize,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let world = Rc::new(World::default());
        Simulation {
            rng: StdRng::seed_from_u64(seed),
            hub: HubState::new(world.clone(), "k3f9xq2a".parse().unwrap(), Seq::ZERO, LIMITS),
            world,
            decision: None,
            clients: BTreeMap::new(),
            seq: 0,
            mail: VecDeque::new(),
            inputs: VecDeque::new(),
            early: Vec::new(),
            delivered: 0,
            tickets: 0,
            overflows: 0,
            stalls: 0,
            refusals: 0,
            events: 0,
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
            78..79 => self.world.slow.set(self.rng.random_bool(0.6)),
            79..80 => self.world.index.set(self.rng.random()),
            80..92 => self.release(),
            92..93 => self.stall(),
            93..95 => self.send(),
            95..96 => self.revoke(),
            _ => {
                let effects = self.hub.tick();
                self.apply(effects);
            }
        }
    }

    fn connect(&mut self) {
        if self.clients.len() >= 10 {
            return;
        }
        let sink = Counter::default();
        let first = Some(Bytes::from_static(HELLO.as_bytes()));
        let subscription = self.hub.connect(Protocol::Sse, (), Box::new(sink.clone()), first);
        let key = subscription.key;
        let client = Client {
            subscription,
            sink,
            user: String::new(),
            texts: BTreeMap::new(),
            expected: Vec::new(),
            received: String::new(),
            stalled: false,
        };
        self.clients.insert(key, client);
    }

    fn disconnect(&mut self) {
        if let Some(key) = self.client() {
            self.hub.disconnect(key);
            let client = self.clients.remove(&key).unwrap();
            client.check(false);
            self.events += client.events().len();
        }
    }

    fn subscribe(&mut self) {
        let Some(client) = self.client() else { return };
        let count = self.rng.random_range(0..4);
        let texts: Vec<String> = (0..count).map(|_| self.one_of(&TEXTS).to_owned()).collect();
        let user = self.one_of(&["", "", "ann", "bob"]).to_owned();
        self.tickets += 1;
        let (ticket, from) = (Ticket(self.tickets), self.seq);
        let set = SetTopics { client, texts: texts.clone(), caller: User(user.clone()), from: Seq(from), ticket };
        let input = Input::SetTopics { ticket, client, texts, user, from };
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
        if !client.stalled
            && let Some(bytes) = client.subscription.take(max)
        {
            client.received.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    fn stall(&mut self) {
        if let Some(key) = self.client() {
            self.clients.get_mut(&key).unwrap().stalled = true;
        }
    }

    fn send(&mut self) {
        for client in self.clients.values_mut().filter(|client| client.texts.contains_key("chat/1")) {
            client.expected.push((self.delivered, "chat/1".into()));
        }
        let effects = self.hub.send("chat/1", &Bytes::from_static(b"{}"));
        self.apply(effects);
    }

    /// Lets the oldest decision come.
    fn release(&mut self) {
        let release = self.world.held.borrow_mut().pop_front();
        if let Some(release) = release {
            release.send(()).unwrap();
        }
        let Some(mut decision) = self.decision.take() else { return };
        match (&mut decision).now_or_never() {
            Some(decided) => {
                let effects = self.hub.decided(decided);
                self.apply(effects);
            }
            None => self.decision = Some(decision),
        }
    }

    /// Follows the hub: whatever it finished must be the inputs in their order.
    fn apply(&mut self, effects: Effects) {
        let Effects { wake, cut, answers, decision, mut finished } = effects;
        let mut answers: VecDeque<_> = answers.into();
        loop {
            match self.inputs.front() {
                Some(Input::Commit(commit)) if finished >= commit.changes.len() => {
                    finished -= commit.changes.len();
                }
                Some(Input::SetTopics { ticket, .. }) if answers.front().is_some_and(|(own, _)| own == ticket) => {}
                Some(Input::Revoke) => {}
                _ => break,
            }
            match self.inputs.pop_front() {
                Some(Input::Commit(commit)) => self.expect(&commit),
                Some(Input::SetTopics { client, texts, user, from, .. }) => {
                    let (_, answer) = answers.pop_front().unwrap();
                    let cut = cut.iter().any(|subscription| subscription.key == client);
                    if !cut || answer != Err(Refusal::UnknownClient) {
                        self.expect_topics(client, texts, user, from, answer);
                    }
                }
                _ => self.clients.values_mut().for_each(|client| client.user.clear()),
            }
        }
        assert_eq!((finished, answers.len()), (0, 0), "turns were taken out of order");
        for subscription in cut {
            subscription.sink.cut();
            let client = self.clients.remove(&subscription.key).unwrap();
            match subscription.ending() {
                Some(Ending::Overflow) => self.overflows += 1,
                Some(Ending::Stalled) => self.stalls += 1,
                other => panic!("cut as {other:?}"),
            }
            assert_eq!(client.sink.0.get().1, 1);
            client.check(false);
            self.events += client.events().len();
        }
        for subscription in wake {
            subscription.wake();
        }
        if let Some(decision) = decision {
            assert!(self.decision.is_none());
            self.decision = Some(decision);
        }
    }

    fn expect(&mut self, commit: &Commit) {
        for change in commit.changes.iter().filter(|change| change.subject.name() == "users") {
            for client in self.clients.values_mut().filter(|client| *client.user == *change.record) {
                client.user.clear();
            }
        }
        for client in self.clients.values_mut() {
            for change in &commit.changes {
                let (name, id, record) = (change.subject.name(), change.subject.id(), &*change.record);
                if name == "secret" && client.user.is_empty() {
                    continue;
                }
                for (text, from) in &client.texts {
                    let topic = topic_of(text);
                    let of = |head: &str| [head.to_owned(), format!("{head}/*"), format!("{head}/{record}")];
                    if *from < change.seq.0 && of(name).iter().chain(&of(id)).any(|own| own == topic) {
                        client.expected.push((change.seq.0, text.clone()));
                    }
                }
            }
        }
        self.delivered = commit.last.0;
    }

    fn expect_topics(
        &mut self,
        client: ClientKey,
        texts: Vec<String>,
        user: String,
        from: u64,
        answer: Result<(), Refusal>,
    ) {
        let from = from.max(self.delivered);
        let Some(client) = self.clients.get_mut(&client) else {
            return assert_eq!(answer, Err(Refusal::UnknownClient));
        };
        if !client.user.is_empty() && client.user != user {
            self.refusals += 1;
            return assert_eq!(answer, Err(Refusal::OtherCaller));
        }
        assert_eq!(answer, Ok(()));
        client.user = user;
        let before = std::mem::take(&mut client.texts);
        client.texts = texts
            .into_iter()
            .map(|text| (before.get(&text).copied().unwrap_or(from), text))
            .map(|(f, t)| (t, f))
            .collect();
    }

    /// Everything comes to rest; whoever still reads has received everything.
    fn end(&mut self) {
        while !self.mail.is_empty() {
            self.hand_over();
        }
        self.world.slow.set(false);
        while self.decision.is_some() {
            self.release();
        }
        assert!(self.inputs.is_empty() && self.early.is_empty());
        for client in self.clients.values_mut().filter(|client| !client.stalled) {
            while let Some(bytes) = client.subscription.take(100) {
                client.received.push_str(std::str::from_utf8(&bytes).unwrap());
            }
            client.check(true);
            self.events += client.events().len();
        }
        assert!(self.hub.is_tidy());
        for key in std::mem::take(&mut self.clients).into_keys() {
            self.hub.disconnect(key);
        }
        assert!(self.hub.is_tidy());
    }
}

#[test]
fn every_client_is_told_everything_in_order_or_that_it_was_cut_off() {
    let (mut overflows, mut stalls, mut refusals, mut events) = (0, 0, 0, 0);
    for seed in 0..300 {
        let mut simulation = Simulation::new(seed);
        let run = std::panic::AssertUnwindSafe(|| {
            (0..600).for_each(|_| simulation.step());
            simulation.end();
        });
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("the failing seed is {seed}");
            std::panic::resume_unwind(panic);
        }
        overflows += simulation.overflows;
        stalls += simulation.stalls;
        refusals += simulation.refusals;
        events += simulation.events;
    }
    // The runs must have reached what they are about.
    assert!(
        overflows > 100 && stalls > 100 && refusals > 100 && events > 20_000,
        "{overflows} {stalls} {refusals} {events}"
    );
}
