//! The hub: brings commits to the clients of one worker thread, in order.
//!
//! There is a hub per worker thread, for the clients whose sockets live there. It takes one turn after the other, from a
//! single queue: a commit is delivered before the next one is looked at, and a client's new set of topics counts from
//! a known place between two commits. So every client sees changes in the order of their [`Seq`](crate::Seq), without
//! locks and without a word about order anywhere else.
//!
//! * [`HubState`] is all of it in plain Rust: events go in, effects come out, time passes by ticks.
//! * [`Hub`] is the actor around it: it receives, applies the effects and waits for what takes time.
//! * [`Audience`] is what the hub asks the domain: who may see a change, and what it looks like.
//!
//! Equal listeners are one [`Interest`](InterestId): the same text of a subscription by the same caller. Ten thousand
//! guests on `posts/*` are decided once, framed once, and share the bytes.

mod actor;
mod flusher;
mod live;
mod post;
mod replay;
mod roster;
#[cfg(test)]
mod simulation;
mod standing;
mod state;
mod stats;
#[cfg(test)]
pub(crate) mod testing;
mod topics;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

pub use actor::{Hub, HubHandle, LocalHub};
pub use live::{Liveness, Page, Query, Snapshot};
pub use replay::ReplayId;
pub use roster::{Listener, Listeners, TopicListeners};
pub use standing::Standing;
pub use state::{Done, Effects, HubState};
pub use stats::{HubCounts, HubStats};
pub use topics::{SetTopics, Since, Ticket, Topics};

use crate::subscription::Subscription;
use crate::{Change, Commit, Seq};

/// A client of one hub. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey(pub(crate) u64);

/// All clients of a hub that hold the same subscription text as the same caller. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterestId(pub(crate) u64);

/// The domain, as a hub sees it.
pub trait Audience: Sized + 'static {
    /// What the domain keeps of a client, e.g. the name by which others find it.
    type Client: Clone + 'static;
    /// Somebody who listens. The default one is a guest.
    type Caller: Clone + Default + Send + 'static;
    /// The options of a subscription's text, parsed once for all who use that text.
    type Topic: 'static;
    /// A way to sort the callers of a topic (say, by a version of a rule). While equal ones are asked for, the hub keeps
    /// the callers sorted; another one sorts them anew.
    type Index: Clone + PartialEq + 'static;
    /// What was found out before a commit could be decided.
    type Found: 'static;

    fn topic(&self, text: &str) -> Self::Topic;

    /// Which record a caller is, as the subject's id and the record's; none for guests. Equal ones are one caller.
    fn identity<'a>(&self, caller: &'a Self::Caller) -> Option<(&'a str, &'a str)>;

    /// A caller's own record was changed: who is it from now on? Asked before anything of that commit is decided.
    fn recheck(&self, caller: &Self::Caller, change: &Change) -> Recheck<Self::Caller>;

    /// Where a caller stands in an index. Asked when he comes and when his values change.
    fn standing(&self, index: &Self::Index, caller: &Self::Caller) -> Standing;

    /// Who sees which changes of a commit, as what bytes. `found`: the answer of a decision that asked for more first. It
    /// may be about listeners who have gone since.
    fn decide(
        &self,
        commit: &Arc<Commit>,
        listeners: Listeners<'_, Self>,
        found: Option<Self::Found>,
    ) -> Decision<Self::Found>;

    /// Changes from the log, for those who missed them: after `after` and up to `up_to`, as many as make a page.
    fn fetch(&self, after: Seq, up_to: Seq) -> LocalBoxFuture<'static, Fetched>;

    /// What a subscription's text asks for.
    fn liveness(&self, _text: &str) -> Liveness {
        Liveness::Events
    }

    /// The page of a live query, with the position that it was read at. Without `whole` only its records are asked for.
    fn snapshot(&self, text: &str, caller: &Self::Caller, whole: bool) -> LocalBoxFuture<'static, Snapshot>;

    /// What to tell a client who knows the one state of a window and not the other.
    fn differences(&self, before: &[(Arc<str>, Bytes)], after: &[(Arc<str>, Bytes)]) -> Vec<Bytes>;

    /// True while [`Audience::outgoing`] wants to see every message to every client. Nothing is shared then.
    fn inspects(&self) -> bool {
        false
    }

    /// A message on its way to one client.
    fn outgoing(&self, _: &Self::Client, _: &Self::Caller, _topic: &str, _payload: &Bytes) -> Outgoing {
        Outgoing::Unchanged
    }

    /// A client has gone, or was cut off.
    fn left(&self, _: &Self::Client) {}
}

/// The answer of [`Audience::fetch`].
pub enum Fetched {
    /// In order; `last` is how far the page goes, also where the last changes are nobody's business any more.
    Page(Arc<Commit>),
    /// The log does not reach back that far.
    Expired,
    /// It could not be read.
    Failed,
}

/// The answer of [`Audience::recheck`].
pub enum Recheck<C> {
    /// The same caller, with these values.
    Fresh(C),
    /// Nobody in particular any more.
    Guest,
}

/// The answer of [`Audience::outgoing`].
pub enum Outgoing {
    Unchanged,
    Withheld,
    Changed { topic: String, payload: Bytes },
}

/// The answer of [`Audience::decide`]: at once, or later. Whatever comes after the commit waits until then.
pub enum Decision<F> {
    Now(Decided),
    Later(LocalBoxFuture<'static, Answer<F>>),
}

/// What comes of a [`Decision`] that takes time.
pub enum Answer<F> {
    Decided(Decided),
    /// With this the same commit is decided once more, for those who listen then.
    Found(F),
}

/// Who sees what of a commit.
#[derive(Default)]
pub struct Decided {
    /// In any order; the hub delivers by the order of the changes.
    pub deliveries: Vec<Delivery>,
    /// Interests that could not be decided. Their clients are cut off: nobody misses a change without a word.
    pub failed: Vec<InterestId>,
}

/// One change for one interest.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The place of the change in its commit.
    pub change: usize,
    pub interest: InterestId,
    /// A JSON object on a single line.
    pub payload: Bytes,
}

/// Why a set of topics was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such client, or not any more.
    UnknownClient,
    /// The client belongs to another caller.
    OtherCaller,
    /// Together with those that it has.
    TooManyTopics,
    /// The same of those that are live queries.
    TooManyLive,
}

/// A subscription as its hub and its connection hold it.
pub type SharedSubscription = Rc<Subscription>;
