//! A small domain for the tests of this crate.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    Answer, Audience, Decided, Decision, Delivery, Fetched, InterestId, Listeners, Liveness, Page, Recheck, Snapshot,
    Standing, TopicListeners,
};
use crate::subscription::{Ending, Sink, SubscriptionState};
use crate::topic::topic_of;
use crate::wire::{Frame, Reset, Wire};
use crate::{Action, Change, Commit, Position, Row, Seq, Subject, Value};

struct Named {
    id: String,
    name: String,
}

impl Subject for Named {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A change of a record of the collection `name`, whose id is `pbc_name`.
pub(crate) fn change(seq: u64, name: &str, record: &str) -> Change {
    Change {
        seq: Seq(seq),
        subject: Arc::new(Named { id: format!("pbc_{name}"), name: name.into() }),
        record: record.into(),
        action: Action::Update,
        before: None,
        after: Some(Arc::new(Row { columns: ["id".into()].into(), values: [Value::Text(record.into())].into() })),
        actor: None,
    }
}

pub(crate) fn commit(changes: Vec<Change>) -> Arc<Commit> {
    let last = changes.last().map(|change| change.seq).unwrap_or_default();
    Arc::new(Commit { changes, last })
}

/// Guests (empty) and users by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct User(pub(crate) String);

/// Everybody sees everything, except that records of `secret` are for users only; what it is asked, it answers at once
/// or when told to.
#[derive(Default)]
pub(crate) struct World {
    /// What it is asked waits in `held` while this is set.
    pub(crate) slow: Cell<bool>,
    /// The same of live queries alone.
    pub(crate) slow_reads: Cell<bool>,
    /// Commits are decided in two steps while this is set.
    pub(crate) asks: Cell<bool>,
    pub(crate) held: RefCell<VecDeque<oneshot::Sender<()>>>,
    pub(crate) left: Cell<usize>,
    /// How often somebody was judged.
    pub(crate) judged: Cell<usize>,
    /// Callers are sorted by it: users are found by their names, guests are always asked.
    pub(crate) index: Cell<u8>,
    /// The change log, from the first change after `expired` on.
    pub(crate) log: RefCell<VecDeque<Change>>,
    pub(crate) expired: Cell<u64>,
    /// Changes that make a page.
    pub(crate) page: Cell<usize>,
    /// The last change in the database, which hubs may still have to hear of.
    pub(crate) last: Cell<u64>,
    /// Records by collection, with the change that wrote each last.
    pub(crate) table: RefCell<BTreeMap<(String, String), u64>>,
    /// Live queries that were read, as whom and whether whole.
    pub(crate) reads: RefCell<Vec<(String, String, bool)>>,
    /// Each so many of these fail at the first attempt; none without.
    pub(crate) failing: Cell<usize>,
    /// Reads take too long.
    pub(crate) late: Cell<bool>,
    /// How often two states of a window were compared.
    pub(crate) compared: Cell<usize>,
}

/// Records of a window.
const WINDOW: usize = 2;

impl World {
    /// These were committed.
    pub(crate) fn write(&self, changes: &[Change]) {
        for change in changes {
            self.last.set(change.seq.0);
            let key = (change.subject.name().to_owned(), change.record.to_string());
            self.table.borrow_mut().insert(key, change.seq.0);
        }
        self.log.borrow_mut().extend(changes.iter().cloned());
    }

    /// The newest records of a topic's collection, as somebody sees them.
    pub(crate) fn window(&self, text: &str, user: &str) -> Vec<(Arc<str>, Bytes)> {
        let name = topic_of(text).split('/').next().unwrap_or_default();
        if name == "secret" && user.is_empty() {
            return Vec::new();
        }
        let table = self.table.borrow();
        let mut records: Vec<(u64, &str)> = table
            .iter()
            .filter(|((own, _), _)| own == name)
            .map(|((_, record), seq)| (*seq, record.as_str()))
            .collect();
        records.sort();
        records.into_iter().rev().take(WINDOW).map(|(seq, id)| (id.into(), seq.to_string().into())).collect()
    }

    /// Answers now, or when it is told to.
    fn answer<T: 'static>(&self, answer: T, slow: bool) -> LocalBoxFuture<'static, T> {
        if !slow {
            return std::future::ready(answer).boxed_local();
        }
        let (release, released) = oneshot::channel();
        self.held.borrow_mut().push_back(release);
        released.map(|_| answer).boxed_local()
    }

    /// The log forgets the oldest changes.
    pub(crate) fn prune(&self, keep: usize) {
        let mut log = self.log.borrow_mut();
        while log.len() > keep {
            self.expired.set(log.pop_front().map_or(0, |change| change.seq.0));
        }
    }
}

impl Audience for Rc<World> {
    type Client = ();
    type Caller = User;
    type Topic = String;
    type Index = u8;
    type Found = ();

    fn standing(&self, _: &u8, caller: &User) -> Standing {
        let find = (!caller.0.is_empty()).then(|| Arc::from(caller.0.as_str()));
        Standing { find, group: "".into() }
    }

    fn topic(&self, text: &str) -> String {
        text.to_owned()
    }

    fn identity<'a>(&self, caller: &'a User) -> Option<(&'a str, &'a str)> {
        if caller.0.is_empty() { None } else { Some(("pbc_users", &caller.0)) }
    }

    fn recheck(&self, _: &User, _: &Change) -> Recheck<User> {
        Recheck::Guest
    }

    fn decide(&self, commit: &Arc<Commit>, listeners: Listeners<'_, Self>, found: Option<()>) -> Decision<()> {
        if self.asks.get() && found.is_none() {
            return Decision::Later(self.answer(Answer::Found(()), self.slow.get()));
        }
        let mut deliveries = Vec::new();
        for (place, change) in commit.changes.iter().enumerate() {
            for topic in listeners.topics(change) {
                self.check_standings(&topic);
            }
            for listener in listeners.of(change) {
                self.judged.set(self.judged.get() + 1);
                if change.subject.name() != "secret" || !listener.caller.0.is_empty() {
                    let payload = format!(r#"{{"seq":{},"record":"{}"}}"#, change.seq, change.record).into();
                    deliveries.push(Delivery { change: place, interest: listener.interest, payload });
                }
            }
        }
        let decided = Decided { deliveries, failed: Vec::new() };
        match self.slow.get() {
            true => Decision::Later(self.answer(Answer::Decided(decided), true)),
            false => Decision::Now(decided),
        }
    }

    fn fetch(&self, after: Seq, up_to: Seq) -> LocalBoxFuture<'static, Fetched> {
        let fetched = if after.0 < self.expired.get() {
            Fetched::Expired
        } else {
            let log = self.log.borrow();
            let missed = log.iter().filter(|change| change.seq > after && change.seq <= up_to);
            Fetched::Page(commit(missed.take(self.page.get()).cloned().collect()))
        };
        self.answer(fetched, self.slow.get())
    }

    fn liveness(&self, text: &str) -> Liveness {
        match text.split_once('?') {
            Some((_, "live")) => Liveness::Changes,
            Some((_, "window" | "broken")) => Liveness::Window,
            _ => Liveness::Events,
        }
    }

    fn snapshot(&self, text: &str, user: &User, whole: bool) -> LocalBoxFuture<'static, Snapshot> {
        let mut reads = self.reads.borrow_mut();
        reads.push((text.to_owned(), user.0.clone(), whole));
        let slow = self.slow.get() || self.slow_reads.get();
        if reads.len().is_multiple_of(self.failing.get()) {
            return self.answer(Snapshot::Failed, slow);
        }
        if self.late.get() {
            return self.answer(Snapshot::TookTooLong(r#"{"error":"late"}"#.into()), slow);
        }
        if text.ends_with("?broken") {
            return self.answer(Snapshot::Refused(r#"{"error":true}"#.into()), slow);
        }
        let (at, items) = (self.last.get(), self.window(text, &user.0));
        let shown: BTreeMap<&str, &str> =
            items.iter().map(|(id, item)| (&**id, std::str::from_utf8(item).unwrap())).collect();
        let payload = match whole {
            true => format!(r#"{{"page":{at},"user":"{}","items":{}}}"#, user.0, json!(shown)),
            false => "nobody is told this".into(),
        };
        self.answer(Snapshot::Page(Page { at: Seq(at), payload: payload.into(), items }), slow)
    }

    fn differences(&self, before: &[(Arc<str>, Bytes)], after: &[(Arc<str>, Bytes)]) -> Vec<Bytes> {
        self.compared.set(self.compared.get() + 1);
        let payload = |id: &str, item: Option<&Bytes>| {
            json!({ "id": id, "is": item.map(|item| std::str::from_utf8(item).unwrap()) }).to_string().into()
        };
        let gone = before.iter().filter(|(id, _)| after.iter().all(|(other, _)| other != id));
        let news = after.iter().filter(|item| !before.contains(item));
        gone.map(|(id, _)| payload(id, None)).chain(news.map(|(id, item)| payload(id, Some(item)))).collect()
    }

    fn left(&self, _: &()) {
        self.left.set(self.left.get() + 1);
    }
}

impl World {
    /// The sorted listeners of a topic are the same ones, and each is found by its name.
    fn check_standings(self: &Rc<World>, topic: &TopicListeners<'_, Rc<World>>) {
        if self.liveness(topic.topic()) != Liveness::Events {
            return;
        }
        let mut all: Vec<(InterestId, User)> = topic.all().map(|l| (l.interest, l.caller.clone())).collect();
        all.sort_by_key(|(interest, _)| *interest);
        for name in [None, Some("ann"), Some("nobody")] {
            let mut found = Vec::new();
            let values = name.map(|name| [name]);
            topic.groups(self, &self.index.get(), values.as_ref().map(|values| &values[..]), |group| {
                found.extend(group.map(|listener| (listener.interest, listener.caller.clone())));
            });
            found.sort_by_key(|(interest, _)| *interest);
            let is_reached = |user: &User| name.is_none_or(|name| user.0.is_empty() || user.0 == name);
            let reached: Vec<_> = all.iter().filter(|(_, user)| is_reached(user)).cloned().collect();
            // Few are not sorted.
            assert!(found == reached || (found == all && all.len() <= 2), "{found:?} {reached:?}");
        }
    }
}

/// A socket that takes nothing, and counts how often it was woken.
#[derive(Clone, Default)]
pub(crate) struct Counter(pub(crate) Rc<Cell<usize>>);

impl Sink for Counter {
    fn wake(&self, _: &mut SubscriptionState) {
        self.0.set(self.0.get() + 1);
    }
}

/// Events as three lines; a stream that was cut off says why.
pub(crate) struct Lines;

impl Wire for Lines {
    fn kind(&self) -> usize {
        0
    }

    fn event(&self, out: &mut Vec<u8>, at: &Position, topic: &str, payload: &[u8]) {
        out.extend_from_slice(format!("id:{at}\nevent:{topic}\ndata:").as_bytes());
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\n\n");
    }

    fn keep_alive(&self, _: &Position, _: bool) -> Frame {
        Frame::from_static(b":\n")
    }

    fn reset(&self, at: &Position, reason: Reset) -> Frame {
        format!("id:{at}\nevent:RESET\ndata:{{\"seq\":{},\"reason\":\"{}\"}}\n\n", at.seq, reason.as_str()).into()
    }

    fn ending(&self, ending: Ending) -> Frame {
        format!("end:{ending:?}").into()
    }
}
