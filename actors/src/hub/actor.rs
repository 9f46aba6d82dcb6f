//! The actor around [`HubState`]: it receives, applies the effects, and waits for decisions that take time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::flusher::Flusher;
use super::{Audience, ClientKey, Effects, HubState, HubStats, Refusal, SetTopics, Ticket};
use crate::subscription::{Sink, Subscription, SubscriptionLimits};
use crate::wire::{Frame, Wire};
use crate::{Commit, Position, Seq};

/// Changes that may wait for a hub. Far more than a healthy hub ever has; a commit is taken whole.
const BACKLOG: usize = 50_000;

/// The length of a tick.
const TICK: Duration = Duration::from_secs(1);

/// Between two pages of a replay: time for others, and for its clients to take what they were given.
const PAUSE: Duration = Duration::from_millis(5);

/// A hub from its own thread: connections come and go without a message.
pub struct LocalHub<A: Audience> {
    state: Rc<RefCell<HubState<A>>>,
    handle: HubHandle<A>,
}

impl<A: Audience> Clone for LocalHub<A> {
    fn clone(&self) -> Self {
        LocalHub { state: self.state.clone(), handle: self.handle.clone() }
    }
}

impl<A: Audience> LocalHub<A> {
    /// The hub as other threads see it.
    pub fn handle(&self) -> &HubHandle<A> {
        &self.handle
    }

    /// A client came, with the frame that it sees first. The connection must say when it ends ([`Self::disconnect`]).
    pub fn connect(
        &self,
        wire: &'static dyn Wire,
        data: A::Client,
        sink: Rc<dyn Sink>,
        first: Option<Frame>,
    ) -> Rc<Subscription> {
        self.state.borrow_mut().connect(wire, data, sink, first)
    }

    /// A client went.
    pub fn disconnect(&self, key: ClientKey) {
        match self.state.try_borrow_mut() {
            Ok(mut state) => state.disconnect(key),
            // A connection that ends in the middle of the hub's own work is taken off right after it.
            Err(_) => self.handle.addr.do_send(Disconnect(key)),
        }
    }
}

/// A hub from any thread: cheap to clone.
pub struct HubHandle<A: Audience> {
    addr: Addr<Hub<A>>,
    load: Arc<Load>,
}

/// What a hub has before it.
#[derive(Default)]
struct Load {
    /// Changes handed over and not yet finished.
    changes: AtomicUsize,
    /// The hub was told that commits were dropped because too many changes waited, and did not see to it yet.
    lagged: AtomicBool,
    /// The last change that was dropped.
    lost: AtomicU64,
}

impl<A: Audience> Clone for HubHandle<A> {
    fn clone(&self) -> Self {
        HubHandle { addr: self.addr.clone(), load: self.load.clone() }
    }
}

impl<A: Audience> HubHandle<A> {
    /// Hands over the next commit; never waits. A hub that has far too much before it loses the commit, and its clients
    /// are told.
    pub fn publish(&self, commit: Arc<Commit>) {
        let count = commit.changes.len();
        if self.load.changes.fetch_add(count, Ordering::AcqRel) > BACKLOG {
            self.load.changes.fetch_sub(count, Ordering::AcqRel);
            self.load.lost.fetch_max(commit.last.0, Ordering::AcqRel);
            if !self.load.lagged.swap(true, Ordering::AcqRel) {
                self.addr.do_send(Lagged);
            }
            return;
        }
        // The mailbox does not refuse: `load` is its bound.
        self.addr.do_send(Publish(commit));
    }

    /// Sets the topics of a client. The answer comes when the set counts; the ticket of `set` is given here.
    pub async fn set_topics(&self, set: SetTopics<A::Caller>) -> Result<Position, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.addr.do_send(Set { set, reply });
        // A hub that is gone took its clients along.
        answer.await.unwrap_or(Err(Refusal::UnknownClient))
    }

    /// The history that clients know ended, in order with the commits: see [`HubState::new_epoch`].
    pub fn new_epoch(&self, at: Position) {
        self.addr.do_send(NewEpoch(at));
    }

    /// Nothing up to this change is told again: see [`HubState::expire`].
    pub fn expire(&self, through: Seq) {
        self.addr.do_send(Expire(through));
    }

    /// Other bounds from now on.
    pub fn set_limits(&self, limits: SubscriptionLimits) {
        self.addr.do_send(SetLimits(limits));
    }

    /// Every caller that is a record of this subject becomes a guest.
    pub fn revoke(&self, subject: Arc<str>) {
        self.addr.do_send(Revoke(subject));
    }

    /// A caller who is known here had these values after the change `as_of`, or later.
    pub fn refresh(&self, caller: A::Caller, as_of: Seq) {
        self.addr.do_send(Refresh(caller, as_of));
    }

    /// One client becomes a guest.
    pub fn demote(&self, client: ClientKey) {
        self.addr.do_send(Demote(client));
    }

    /// Sends a message to all who listen to exactly this topic.
    pub fn send(&self, topic: Arc<str>, payload: Bytes) {
        self.addr.do_send(Send { topic, payload });
    }

    /// Sends a message to one client if it listens to exactly this text; false if not. `once` ends the subscription.
    pub async fn send_to(&self, client: ClientKey, text: String, payload: Bytes, once: bool) -> bool {
        self.addr.send(SendTo { client, text, payload, once }).await.unwrap_or(false)
    }

    /// Whose client it is; none if it is gone.
    pub async fn caller(&self, client: ClientKey) -> Option<A::Caller> {
        let (reply, answer) = oneshot::channel();
        self.addr.do_send(CallerOf { client, reply });
        answer.await.ok().flatten()
    }

    /// Whether a client listens to exactly this text.
    pub async fn listens(&self, client: ClientKey, text: String) -> bool {
        self.addr.send(Listens { client, text }).await.unwrap_or(false)
    }

    /// The hub's figures.
    pub async fn stats(&self) -> HubStats {
        self.addr.send(Stats).await.unwrap_or_default()
    }

    /// Ends all streams after what waits in them.
    pub async fn stop(&self) {
        let _ = self.addr.send(Stop).await;
    }
}

/// See the module's documentation.
pub struct Hub<A: Audience> {
    state: Rc<RefCell<HubState<A>>>,
    load: Arc<Load>,
    flusher: Flusher,
    replies: HashMap<Ticket, oneshot::Sender<Result<Position, Refusal>>>,
    last_ticket: u64,
}

impl<A: Audience> Hub<A> {
    /// Starts a hub on the current thread.
    pub fn start(state: HubState<A>) -> LocalHub<A> {
        let state = Rc::new(RefCell::new(state));
        let load = Arc::new(Load::default());
        let hub = Hub {
            state: state.clone(),
            load: load.clone(),
            flusher: Flusher::default(),
            replies: HashMap::new(),
            last_ticket: 0,
        };
        let addr = Actor::start(hub);
        LocalHub { state, handle: HubHandle { addr, load } }
    }

    /// Lets something happen to the state, and does what follows from it.
    fn act(&mut self, ctx: &mut Context<Self>, event: impl FnOnce(&mut HubState<A>) -> Effects<A::Found>) {
        let effects = event(&mut self.state.borrow_mut());
        self.apply(effects, ctx);
    }

    fn apply(&mut self, effects: Effects<A::Found>, ctx: &mut Context<Self>) {
        let Effects { wake, cut, answers, work, paused, finished } = effects;
        for subscription in cut {
            subscription.wake();
        }
        self.flusher.add(wake);
        for (ticket, answer) in answers {
            if let Some(reply) = self.replies.remove(&ticket) {
                // Whoever asked may have gone.
                let _ = reply.send(answer);
            }
        }
        if finished > 0 {
            self.load.changes.fetch_sub(finished, Ordering::AcqRel);
        }
        for work in work {
            ctx.spawn(work.into_actor(self).map(|done, hub, ctx| hub.act(ctx, |state| state.done(done))));
        }
        for replay in paused {
            ctx.run_later(PAUSE, move |hub, ctx| hub.act(ctx, |state| state.go_on(replay)));
        }
    }
}

impl<A: Audience> Actor for Hub<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // One timer for all clients.
        ctx.run_interval(TICK, |hub, ctx| hub.act(ctx, HubState::tick));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Publish(Arc<Commit>);

impl<A: Audience> Handler<Publish> for Hub<A> {
    type Result = ();

    fn handle(&mut self, Publish(commit): Publish, ctx: &mut Context<Self>) {
        self.act(ctx, |state| state.commit(commit));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Lagged;

impl<A: Audience> Handler<Lagged> for Hub<A> {
    type Result = ();

    fn handle(&mut self, _: Lagged, ctx: &mut Context<Self>) {
        log::warn!("realtime: a worker fell too far behind; its clients are cut off");
        // First the mark: what is dropped from here on asks for another turn.
        self.load.lagged.store(false, Ordering::Release);
        let lost = Seq(self.load.lost.load(Ordering::Acquire));
        self.act(ctx, |state| state.lagged(lost));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Set<C> {
    set: SetTopics<C>,
    reply: oneshot::Sender<Result<Position, Refusal>>,
}

impl<A: Audience> Handler<Set<A::Caller>> for Hub<A> {
    type Result = ();

    fn handle(&mut self, Set { mut set, reply }: Set<A::Caller>, ctx: &mut Context<Self>) {
        self.last_ticket += 1;
        set.ticket = Ticket(self.last_ticket);
        self.replies.insert(set.ticket, reply);
        self.act(ctx, |state| state.set_topics(set));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Disconnect(ClientKey);

impl<A: Audience> Handler<Disconnect> for Hub<A> {
    type Result = ();

    fn handle(&mut self, Disconnect(key): Disconnect, _: &mut Context<Self>) {
        self.state.borrow_mut().disconnect(key);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Revoke(Arc<str>);

impl<A: Audience> Handler<Revoke> for Hub<A> {
    type Result = ();

    fn handle(&mut self, Revoke(subject): Revoke, ctx: &mut Context<Self>) {
        self.act(ctx, |state| state.revoke(subject));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct NewEpoch(Position);

impl<A: Audience> Handler<NewEpoch> for Hub<A> {
    type Result = ();

    fn handle(&mut self, NewEpoch(at): NewEpoch, ctx: &mut Context<Self>) {
        self.act(ctx, |state| state.new_epoch(at));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Expire(Seq);

impl<A: Audience> Handler<Expire> for Hub<A> {
    type Result = ();

    fn handle(&mut self, Expire(through): Expire, ctx: &mut Context<Self>) {
        self.act(ctx, |state| state.expire(through));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct SetLimits(SubscriptionLimits);

impl<A: Audience> Handler<SetLimits> for Hub<A> {
    type Result = ();

    fn handle(&mut self, SetLimits(limits): SetLimits, _: &mut Context<Self>) {
        self.state.borrow_mut().set_limits(limits);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Refresh<C>(C, Seq);

impl<A: Audience> Handler<Refresh<A::Caller>> for Hub<A> {
    type Result = ();

    fn handle(&mut self, Refresh(caller, as_of): Refresh<A::Caller>, ctx: &mut Context<Self>) {
        self.act(ctx, |state| state.refresh(caller, as_of));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Demote(ClientKey);

impl<A: Audience> Handler<Demote> for Hub<A> {
    type Result = ();

    fn handle(&mut self, Demote(key): Demote, ctx: &mut Context<Self>) {
        self.act(ctx, |state| state.demote(key));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Send {
    topic: Arc<str>,
    payload: Bytes,
}

impl<A: Audience> Handler<Send> for Hub<A> {
    type Result = ();

    fn handle(&mut self, Send { topic, payload }: Send, ctx: &mut Context<Self>) {
        self.act(ctx, |state| state.send(&topic, &payload));
    }
}

#[derive(Message)]
#[rtype(result = "bool")]
struct SendTo {
    client: ClientKey,
    text: String,
    payload: Bytes,
    once: bool,
}

impl<A: Audience> Handler<SendTo> for Hub<A> {
    type Result = bool;

    fn handle(&mut self, message: SendTo, ctx: &mut Context<Self>) -> bool {
        let SendTo { client, text, payload, once } = message;
        let (sent, effects) = self.state.borrow_mut().send_to(client, &text, &payload, once);
        self.apply(effects, ctx);
        sent
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct CallerOf<C> {
    client: ClientKey,
    reply: oneshot::Sender<Option<C>>,
}

impl<A: Audience> Handler<CallerOf<A::Caller>> for Hub<A> {
    type Result = ();

    fn handle(&mut self, CallerOf { client, reply }: CallerOf<A::Caller>, _: &mut Context<Self>) {
        // Whoever asked may have gone.
        let _ = reply.send(self.state.borrow().caller(client).cloned());
    }
}

#[derive(Message)]
#[rtype(result = "bool")]
struct Listens {
    client: ClientKey,
    text: String,
}

impl<A: Audience> Handler<Listens> for Hub<A> {
    type Result = bool;

    fn handle(&mut self, Listens { client, text }: Listens, _: &mut Context<Self>) -> bool {
        self.state.borrow().listens(client, &text)
    }
}

#[derive(Message)]
#[rtype(result = "HubStats")]
struct Stats;

impl<A: Audience> Handler<Stats> for Hub<A> {
    type Result = MessageResult<Stats>;

    fn handle(&mut self, _: Stats, _: &mut Context<Self>) -> MessageResult<Stats> {
        MessageResult(self.state.borrow().stats())
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl<A: Audience> Handler<Stop> for Hub<A> {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.act(ctx, HubState::stop);
    }
}
