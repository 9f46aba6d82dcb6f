//! A small domain for the tests of this crate.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::{Audience, Decided, Decision, Delivery, Fetched, InterestId, Listeners, Recheck, Standing, TopicListeners};
use crate::subscription::{Ending, Sink, SubscriptionState};
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
    /// Decisions wait in `held` while this is set.
    pub(crate) slow: Cell<bool>,
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
}

impl World {
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

    fn decide(&self, commit: &Arc<Commit>, listeners: Listeners<'_, Self>) -> Decision {
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
        if !self.slow.get() {
            return Decision::Now(decided);
        }
        let (release, released) = oneshot::channel();
        self.held.borrow_mut().push_back(release);
        Decision::Later(released.map(|_| decided).boxed_local())
    }

    fn fetch(&self, after: Seq, up_to: Seq) -> LocalBoxFuture<'static, Fetched> {
        let fetched = if after.0 < self.expired.get() {
            Fetched::Expired
        } else {
            let log = self.log.borrow();
            let missed = log.iter().filter(|change| change.seq > after && change.seq <= up_to);
            Fetched::Page(commit(missed.take(self.page.get()).cloned().collect()))
        };
        if !self.slow.get() {
            return std::future::ready(fetched).boxed_local();
        }
        let (release, released) = oneshot::channel();
        self.held.borrow_mut().push_back(release);
        released.map(|_| fetched).boxed_local()
    }

    fn left(&self, _: &()) {
        self.left.set(self.left.get() + 1);
    }
}

impl World {
    /// The sorted listeners of a topic are the same ones, and each is found by its name.
    fn check_standings(self: &Rc<World>, topic: &TopicListeners<'_, Rc<World>>) {
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
