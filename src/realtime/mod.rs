//! The domain side of realtime: topics, options, who may see a change, and what it looks like to them.
//!
//! The Writer hands each commit to [`Realtime::publish`], which gives it to the hub of every worker thread. A hub asks
//! [`visibility`] who sees it, and puts the frames into its clients' queues. Nothing of this happens on the Writer's thread
//! or before a write was answered.

mod client;
pub mod events;
pub mod explain;
mod live;
mod missed;
mod options;
mod payload;
mod questions;
mod rules;
mod solutions;
pub mod sse;
mod stats;
mod topic;
mod viewing;
mod visibility;
pub(crate) mod wish;
pub mod ws;

use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use bytes::Bytes;
use dashmap::DashMap;
use headwater_actors::connection::{Connection, Peer};
use headwater_actors::hub::{ClientKey, Hub, HubHandle, HubState, LocalHub, Refusal, SetTopics, Ticket};
pub use headwater_actors::hub::{Since, Topics};
use headwater_actors::subscription::{Subscription, SubscriptionLimits};
use headwater_actors::wire::{Frame, Wire};
use headwater_actors::{Commit, Position, Seq};
use serde_json::json;

pub use client::ClientId;
use events::{Events, Message, Stopped, Subscribe};
pub use stats::RealtimeStats;
use visibility::Visibility;
pub use wish::{SubscribeError, Wish};

use crate::app::App;
use crate::auth::tokens::TokenKind;
use crate::ops::own_settings::RealtimeSettings;
use crate::records::{Record, save};
use crate::request::Caller;
use crate::schema::{Collection, Schema};

/// The name of the first event of every stream.
const CONNECT: &str = "PB_CONNECT";

/// How long streams may take to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// All realtime clients of the server, and the way to them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Realtime(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// One hub per worker thread that has ever had a client.
    hubs: RwLock<Vec<HubHandle<Visibility>>>,
    clients: DashMap<ClientId, Connected>,
    events: Events,
}

/// Where a client is connected: requests about it may reach any worker.
struct Connected {
    /// The place in the list of hubs, which only grows.
    hub: u32,
    key: ClientKey,
    ip: Option<IpAddr>,
}

/// The hub of one worker thread, started with its first client.
#[derive(Clone, Default)]
pub struct WorkerHub(Rc<OnceCell<(u32, LocalHub<Visibility>)>>);

/// A client that is about to connect.
pub(crate) struct Opening {
    pub client: ClientId,
    pub ip: Option<IpAddr>,
    pub wire: &'static dyn Wire,
    /// What it sees first.
    pub first: Option<Frame>,
}

impl Realtime {
    /// What extensions may attach to.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// Gives a commit to all hubs. Called by the Writer after each commit, in order; never waits.
    pub fn publish(&self, commit: &Arc<Commit>) {
        for hub in self.hubs().iter() {
            hub.publish(commit.clone());
        }
    }

    /// No change up to this one is told again.
    pub fn expire(&self, through: Seq) {
        self.hubs().iter().for_each(|hub| hub.expire(through));
    }

    /// What clients know of positions counts no more; what comes after this does. In order with the commits.
    pub fn new_epoch(&self, start: &Position) {
        self.hubs().iter().for_each(|hub| hub.new_epoch(start.clone()));
    }

    /// Another schema is in force: whoever listens as a record of a collection that is gone, or whose tokens are void
    /// because its secret changed, becomes a guest. To be called from `after_commit`.
    pub(crate) fn revoke_changed(&self, before: &Schema, after: &Schema) {
        let secret = |collection: &Collection| Some(TokenKind::Auth.config(collection.auth()?).secret.clone());
        for collection in before.collections().iter().filter(|collection| collection.is_auth()) {
            if after.by_id(&collection.id).and_then(|after| secret(after)) != secret(collection) {
                self.hubs().iter().for_each(|hub| hub.revoke(collection.id.as_str().into()));
            }
        }
    }

    /// Where a client is connected, if it may be spoken for from this address.
    pub(crate) fn check(&self, client: &ClientId, ip: Option<IpAddr>) -> Result<(u32, ClientKey), SubscribeError> {
        let connected = self.0.clients.get(client).ok_or(SubscribeError::UnknownClient)?;
        if connected.ip == ip { Ok((connected.hub, connected.key)) } else { Err(SubscribeError::OtherAddress) }
    }

    /// Sets the topics of a client, as its caller from now on. The answer comes when the set counts, with the position from
    /// which it does.
    pub async fn subscribe(&self, app: &App, wish: Wish) -> Result<Position, SubscribeError> {
        let Wish { client, ip, caller, any_caller, mut topics, since } = wish;
        let (hub, key) = self.check(&client, ip)?;
        let hub = self.hub(hub).ok_or(SubscribeError::UnknownClient)?;
        topics.texts_mut().retain(|topic| !topic.is_empty());
        let asks = match &caller {
            Some(caller) => caller.clone(),
            None if self.events().subscribe.is_empty() => Caller::GUEST,
            None => hub.caller(key).await.ok_or(SubscribeError::UnknownClient)?,
        };
        let mut event = Subscribe { client, caller: asks, topics: std::mem::take(topics.texts_mut()) };
        let mut goes_on = false;
        let passed = self.events().subscribe.trigger(&mut event, |_| {
            goes_on = true;
            Ok(())
        });
        passed.map_err(SubscribeError::Stopped)?;
        if !goes_on {
            return Ok(app.writer.position());
        }
        *topics.texts_mut() = event.topics;
        let from = app.writer.position().seq;
        let record = caller.as_ref().and_then(Caller::record).cloned();
        let set = SetTopics { client: key, topics, caller, any_caller, from, since, ticket: Ticket::default() };
        let position = hub.set_topics(set).await.map_err(|refusal| match refusal {
            Refusal::UnknownClient => SubscribeError::UnknownClient,
            Refusal::OtherCaller => SubscribeError::OtherCaller,
            Refusal::TooManyTopics => SubscribeError::TooManyTopics,
            Refusal::TooManyLive => SubscribeError::TooManyLive,
        })?;
        if let Some(record) = record {
            self.confirm(app, &hub, key, &record).await;
        }
        Ok(position)
    }

    /// A record that was changed between the request's look at it and the hub's first knowledge of it is looked at again:
    /// from here on the hub sees every change itself.
    async fn confirm(&self, app: &App, hub: &HubHandle<Visibility>, key: ClientKey, record: &Arc<Record>) {
        // Before the read: what the hub sees later than this may be newer than what is read.
        let as_of = app.writer.position().seq;
        let schema = app.schema.current();
        let secret = |record: &Record| record.collection.auth().map(|auth| TokenKind::Auth.config(auth).secret.clone());
        let fresh = match schema.by_id(&record.collection.id).cloned() {
            None => None,
            Some(collection) => {
                let id = record.id().to_owned();
                match app.readers.run(move |conn| save::load(conn, &collection, &id)).await {
                    Ok(Ok(fresh)) => fresh,
                    error => {
                        log::warn!("realtime: a caller could not be confirmed and became a guest: {error:?}");
                        None
                    }
                }
            }
        };
        let fresh =
            fresh.filter(|fresh| fresh.text("tokenKey") == record.text("tokenKey") && secret(fresh) == secret(record));
        match fresh {
            Some(fresh) if fresh.values == record.values => {}
            Some(fresh) => hub.refresh(Caller::of(Arc::new(fresh)), as_of),
            None => hub.demote(key),
        }
    }

    /// Sends a message to all clients that listen to exactly this topic, with any options. The payload is JSON on a
    /// single line.
    pub fn send(&self, topic: &str, payload: Bytes) {
        for hub in self.hubs().iter() {
            hub.send(topic.into(), payload.clone());
        }
    }

    /// Sends a message to one client that listens to exactly this text, and ends that subscription. False if there is no
    /// such client, or if it is connected from another address.
    pub async fn send_once(&self, client: &ClientId, ip: Option<IpAddr>, topic: &str, payload: Bytes) -> bool {
        let Ok((hub, key)) = self.check(client, ip) else { return false };
        let Some(hub) = self.hub(hub) else { return false };
        hub.send_to(key, topic.to_owned(), payload, true).await
    }

    /// Ends all streams after what waits in them, and waits until they have ended, but no longer than [`FAREWELL`].
    pub async fn shutdown(&self) {
        let hubs = self.hubs().clone();
        let ended = async {
            for hub in hubs {
                hub.stop().await;
            }
            while self.stats().await.clients() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // A hub that does not answer holds nobody up.
        let _ = tokio::time::timeout(FAREWELL, ended).await;
    }

    /// The figures of all hubs together.
    pub async fn stats(&self) -> RealtimeStats {
        let hubs = self.hubs().clone();
        let mut sum = RealtimeStats::default();
        for hub in hubs {
            sum.add(&hub.stats().await);
        }
        sum
    }

    /// Takes the socket of a new client over, which is a guest without topics.
    pub(crate) fn open<P: Peer>(
        &self,
        app: &App,
        worker: &WorkerHub,
        opening: Opening,
        stream: TcpStream,
        peer: impl FnOnce(&Rc<Subscription>) -> P,
    ) {
        let Opening { client, ip, wire, first } = opening;
        let (place, hub) = self.local(app, worker);
        let connect = |sink| {
            let subscription = hub.connect(wire, client, sink, first);
            self.0.clients.insert(client, Connected { hub: *place, key: subscription.key, ip });
            subscription
        };
        Connection::start(hub, stream, connect, peer);
    }

    /// What a new client sees first, as `frame` writes it; none if a handler withheld it.
    pub(crate) fn greet(
        &self,
        app: &App,
        client: ClientId,
        frame: impl FnOnce(&Message, &Position) -> Frame,
    ) -> Result<Option<Frame>, Stopped> {
        let at = app.writer.position();
        let data = json!({ "clientId": client.as_str(), "seq": at.to_string() });
        let first = Message { client, caller: Caller::GUEST, name: CONNECT.into(), data: data.to_string().into() };
        let first = self.events().pass(first)?;
        Ok(first.map(|first| frame(&first, &at)))
    }

    /// A client is gone.
    fn forget(&self, client: &ClientId) {
        self.0.clients.remove(client);
    }

    fn hubs(&self) -> std::sync::RwLockReadGuard<'_, Vec<HubHandle<Visibility>>> {
        self.0.hubs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn hub(&self, place: u32) -> Option<HubHandle<Visibility>> {
        self.hubs().get(place as usize).cloned()
    }

    /// The hub of this thread, and its place.
    fn local<'a>(&self, app: &App, worker: &'a WorkerHub) -> &'a (u32, LocalHub<Visibility>) {
        worker.0.get_or_init(|| {
            let mut hubs = self.0.hubs.write().unwrap_or_else(PoisonError::into_inner);
            // What is committed before the hub is in the list it never hears of; it has no client yet that could miss it.
            let Position { epoch, seq } = app.writer.position();
            let visibility = Visibility::new(app.clone());
            let mut settings = app.own_settings.watch();
            let limits = limits(&settings.borrow_and_update().realtime);
            let hub = Hub::start(HubState::new(visibility, epoch, seq, limits));
            hubs.push(hub.handle().clone());
            let handle = hub.handle().clone();
            actix_web::rt::spawn(async move {
                while settings.changed().await.is_ok() {
                    handle.set_limits(self::limits(&settings.borrow_and_update().realtime));
                }
            });
            (hubs.len() as u32 - 1, hub)
        })
    }
}

/// The bounds of every client, in the ticks of its hub: a second each.
fn limits(settings: &RealtimeSettings) -> SubscriptionLimits {
    let ticks = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let few = |time: Duration| u16::try_from(time.as_secs()).unwrap_or(u16::MAX);
    SubscriptionLimits {
        bytes: settings.queue_bytes(),
        topics: wish::MAX_TOPICS,
        live: wish::MAX_LIVE,
        keep_alive: few(settings.keep_alive()),
        stall: few(settings.stall_timeout()),
        idle: settings.idle_timeout().map(ticks),
        lifetime: settings.max_lifetime().map(ticks),
    }
}
