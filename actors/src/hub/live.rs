//! Live queries: a page of what there is, and then what becomes of it.
//!
//! A topic may ask for the changes of a query ([`Liveness::Changes`]): its client is given a snapshot, read at a position of
//! its own, and goes over to the live stream from there as a client does that comes back. Or it asks for a window, the
//! first so many in some order ([`Liveness::Window`]): after each commit that concerns it the window is read anew, once for
//! all who hold the same one, and each client is told what is another than what it was told before. Meanwhile nobody
//! else waits; what is committed while a window is read makes it be read once more.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;

use super::post::Post;
use super::replay::Replay;
use super::state::{Done, HubState, Turn};
use super::{Audience, ClientKey, InterestId};
use crate::wire::Frames;
use crate::{Change, Seq};

/// What a topic asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Liveness {
    /// Events of records.
    #[default]
    Events,
    /// A snapshot, and the changes of a query's result.
    Changes,
    /// A snapshot, and the changes of the first so many of it.
    Window,
}

/// The answer of [`Audience::snapshot`].
pub struct Snapshot {
    /// The last change that the page knows of.
    pub at: Seq,
    /// What a client sees that has seen nothing yet: a JSON object on a single line.
    pub payload: Bytes,
    /// The records of a window, in their order, each with its id; none where the page could not be read.
    pub items: Option<Vec<(Arc<str>, Bytes)>>,
}

/// Stands where a client's live topic begins that has no snapshot yet: after everything.
pub(super) const PENDING: Seq = Seq(u64::MAX);

/// The windows of a hub.
#[derive(Default)]
pub(super) struct Windows {
    /// What each client was told last, by the texts of its topics.
    shown: HashMap<ClientKey, HashMap<Arc<str>, Shown>>,
    /// Windows that are being read; true if they must be read once more.
    reading: HashMap<InterestId, bool>,
}

type Shown = Arc<Vec<(Arc<str>, Bytes)>>;

impl Windows {
    pub(super) fn forget(&mut self, client: ClientKey) {
        self.shown.remove(&client);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl<A: Audience> HubState<A> {
    /// Those of a client's texts that are live queries, and the others.
    pub(super) fn part_live(&self, texts: Vec<String>) -> (Vec<String>, Vec<String>) {
        texts.into_iter().partition(|text| self.audience.liveness(text) != Liveness::Events)
    }

    /// A client has other topics than before: begins with the live ones among the new.
    pub(super) fn begin_live(&mut self, client: ClientKey, held: &[String]) {
        let texts = self.roster.texts(client);
        if let Some(shown) = self.windows.shown.get_mut(&client) {
            shown.retain(|text, _| texts.iter().any(|own| **own == **text));
        }
        let (live, _) = self.part_live(texts);
        for text in live.iter().filter(|text| !held.contains(text)) {
            self.restart_live(client, text);
        }
    }

    /// What a client sees of its live queries may be another than it was told.
    pub(super) fn restart_all_live(&mut self, client: ClientKey) {
        let (live, _) = self.part_live(self.roster.texts(client));
        for text in &live {
            self.restart_live(client, text);
        }
    }

    fn restart_live(&mut self, client: ClientKey, text: &str) {
        self.roster.set_from(client, text, PENDING);
        match self.audience.liveness(text) {
            Liveness::Events => {}
            Liveness::Changes => self.ask_snapshot(client, text),
            Liveness::Window => {
                if let Some(interest) = self.roster.interest(client, text) {
                    self.read_window(interest);
                }
            }
        }
    }

    fn ask_snapshot(&mut self, client: ClientKey, text: &str) {
        let Some(caller) = self.roster.client(client).and_then(|client| self.roster.caller_of(client)) else { return };
        let (snapshot, text) = (self.audience.snapshot(text, caller), Arc::from(text));
        let work = snapshot.map(move |snapshot| Done::Snapshot(client, text, snapshot));
        self.effects.work.push(work.boxed_local());
    }

    /// A snapshot came: what was committed since is told after it, as a replay that is nearly over.
    pub(super) fn snapshot_read(&mut self, key: ClientKey, text: &Arc<str>, snapshot: Snapshot) {
        if self.roster.from(key, text) != Some(PENDING) {
            return;
        }
        if snapshot.items.is_none() {
            // Why there is none; nothing follows.
            return self.tell(key, text, &[snapshot.payload]);
        }
        let present = snapshot.at >= self.delivered;
        if !present && (self.replays.iter().any(|replay| replay.has(key)) || self.recent.since(snapshot.at).is_none()) {
            // One thing after the other, or it took too long.
            return self.ask_snapshot(key, text);
        }
        self.tell(key, text, &[snapshot.payload]);
        let Some(client) = self.roster.client(key) else { return };
        if present {
            self.roster.set_from(key, text, snapshot.at);
            return;
        }
        let (subscription, data) = (client.subscription.clone(), client.data.clone());
        let caller = self.roster.caller_of(client).cloned().unwrap_or_default();
        self.roster.drop_topic(key, text);
        let mut replay = Replay::new(self.next_replay(), snapshot.at);
        replay.roster.adopt(&self.audience, subscription, data, caller);
        replay.roster.set_topics(&self.audience, key, &[text.to_string()], snapshot.at);
        self.turns.push_back(Turn::Join(replay.id));
        self.replays.push(replay);
    }

    /// Windows that a commit concerns are read anew.
    pub(super) fn touch_windows(&mut self, changes: &[Change]) {
        for interest in self.roster.windows(changes) {
            self.read_window(interest);
        }
    }

    fn read_window(&mut self, interest: InterestId) {
        if let Some(again) = self.windows.reading.get_mut(&interest) {
            *again = true;
            return;
        }
        let Some((text, caller)) = self.roster.asked(interest) else { return };
        let window = self.audience.snapshot(text, caller);
        self.windows.reading.insert(interest, false);
        self.effects.work.push(window.map(move |window| Done::Window(interest, window)).boxed_local());
    }

    /// A window was read: each of its clients is told what is new to it.
    pub(super) fn window_read(&mut self, interest: InterestId, window: Snapshot) {
        let again = self.windows.reading.remove(&interest).unwrap_or(false);
        let Some((text, members)) = self.roster.members(interest) else { return };
        let (text, keys): (Arc<str>, Vec<ClientKey>) = (text.clone(), members.keys().copied().collect());
        let items = window.items.map(Arc::new);
        for key in keys {
            let shown = self.windows.shown.entry(key).or_default();
            let before = match &items {
                Some(items) => shown.insert(text.clone(), items.clone()),
                None => shown.remove(&text),
            };
            match (before, &items) {
                (Some(before), Some(after)) => {
                    let changes = self.audience.differences(&before, after);
                    self.tell(key, &text, &changes);
                }
                _ => self.tell(key, &text, std::slice::from_ref(&window.payload)),
            }
        }
        if again {
            self.read_window(interest);
        }
    }

    /// Tells one client something under one of its topics.
    fn tell(&mut self, key: ClientKey, text: &str, payloads: &[Bytes]) {
        let Some(client) = self.roster.client(key) else { return };
        self.turn += 1;
        // Who is still being told of the past has not come to the present yet.
        let replay = self.replays.iter().find(|replay| replay.has(key));
        let at = replay.map_or(self.delivered, |replay| replay.at);
        let mut post =
            Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects, &mut self.counts);
        for payload in payloads {
            post.event(&self.roster, &client.subscription, at, text, payload, &mut Frames::default());
        }
        self.finish_cuts();
    }
}
