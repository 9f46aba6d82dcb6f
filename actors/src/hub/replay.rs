//! Replays: clients that come back are told what they missed, in order, and then go over to the live stream.
//!
//! A replay has a roster of its own for those who begin at the same position: the same questions are asked and the same
//! frames shared as for live commits. It takes the changes page by page, from memory where they are recent and from the
//! log where not, beside the live stream and without holding it up; a client that has not taken a page yet is given no
//! other one. Its last stretch is a turn of the hub like a commit: when it is over the clients are members of the live
//! roster, and nothing can come in between.

use std::sync::Arc;

use futures_util::FutureExt;

use super::post::Post;
use super::roster::{Client, Roster};
use super::state::{Deciding, Done, HubState, Turn};
use super::topics::{SetTopics, Since};
use super::{Answer, Audience, ClientKey, Decided, Decision, Fetched};
use crate::subscription::Ending;
use crate::wire::{Frames, Reset};
use crate::{Commit, Position, Seq};

/// Changes that may be left for the last stretch of a replay.
const LAST_STRETCH: u64 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayId(u64);

/// Some clients on their way from a position in the past to the present.
pub(super) struct Replay<A: Audience> {
    pub(super) id: ReplayId,
    pub(super) roster: Roster<A>,
    /// Told so far.
    pub(super) at: Seq,
    /// The page whose decision is awaited, and how often its clients had become another caller when it was asked.
    deciding: Option<(Arc<Commit>, u64)>,
    /// Nothing of it has been asked yet: others may join.
    fresh: bool,
    /// Sets of its clients that wait until it is over.
    pub(super) after: Vec<SetTopics<A::Caller>>,
}

impl<A: Audience> Replay<A> {
    pub(super) fn new(id: ReplayId, at: Seq) -> Replay<A> {
        Replay { id, roster: Roster::new(), at, deciding: None, fresh: false, after: Vec::new() }
    }

    pub(super) fn has(&self, client: ClientKey) -> bool {
        self.roster.client(client).is_some()
    }

    pub(super) fn forget(&mut self, client: ClientKey) {
        self.roster.disconnect(client);
    }
}

impl<A: Audience> HubState<A> {
    /// The topics of a client become these; of those that are new it is told what came after `since`.
    pub(super) fn resume(&mut self, key: ClientKey, texts: Vec<String>, since: Since) {
        let refused = match &since {
            Since::Unknown => Some(Reset::Unknown),
            Since::At(at) if at.epoch != self.epoch => Some(Reset::Epoch),
            Since::At(at) if at.seq > self.delivered => Some(Reset::Unknown),
            Since::At(_) => None,
        };
        let (None, Since::At(Position { seq, .. })) = (refused, since) else {
            self.roster.set_topics(&self.audience, key, &texts, self.delivered);
            self.reset([key], refused.unwrap_or(Reset::Unknown));
            return;
        };
        let held = self.roster.texts(key);
        // A live query begins anew with what there is.
        let (live, texts) = self.part_live(texts);
        let (kept, new): (Vec<String>, Vec<String>) = texts.iter().cloned().partition(|text| held.contains(text));
        if seq == self.delivered || new.is_empty() {
            let all = [live, texts].concat();
            self.roster.set_topics(&self.audience, key, &all, self.delivered);
            return;
        }
        // Also what it keeps goes on in the replay, so that everything comes in order.
        self.roster.set_topics(&self.audience, key, &live, self.delivered);
        let Some(client) = self.roster.client(key) else { return };
        let (subscription, data) = (client.subscription.clone(), client.data.clone());
        let caller = self.roster.caller_of(client).cloned().unwrap_or_default();
        subscription.told.set(seq);
        subscription.replaying.set(true);
        self.counts.replays += 1;
        let id = match self.replays.iter().find(|replay| replay.fresh && replay.at == seq) {
            Some(replay) => replay.id,
            None => {
                let id = self.next_replay();
                self.replays.push(Replay { fresh: true, ..Replay::new(id, seq) });
                // Others who come back at this moment, after a restart say, share it.
                self.effects.paused.push(id);
                id
            }
        };
        if let Some(replay) = self.replays.iter_mut().find(|replay| replay.id == id) {
            replay.roster.adopt(&self.audience, subscription, data, caller);
            replay.roster.set_topics(&self.audience, key, &kept, self.delivered);
            replay.roster.set_topics(&self.audience, key, &texts, seq);
        }
    }

    pub(super) fn next_replay(&mut self) -> ReplayId {
        self.last_replay += 1;
        ReplayId(self.last_replay)
    }

    /// Tells clients that they cannot go on where they were.
    fn reset(&mut self, keys: impl IntoIterator<Item = ClientKey>, reason: Reset) {
        self.turn += 1;
        let at = Position { epoch: self.epoch.clone(), seq: self.delivered };
        let (mut frames, mut resets) = (Frames::default(), 0);
        let mut post =
            Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects, &mut self.counts);
        for client in keys.into_iter().filter_map(|key| self.roster.client(key)) {
            let wire = client.subscription.wire;
            let frame = frames.get(wire, || wire.reset(&at, reason));
            post.push(&client.subscription, frame, at.seq);
            client.subscription.told.set(at.seq);
            resets += 1;
        }
        self.counts.resets += resets;
        self.finish_cuts();
    }

    fn replay(&mut self, id: ReplayId) -> Option<&mut Replay<A>> {
        self.replays.iter_mut().find(|replay| replay.id == id)
    }

    /// The next page of a replay, or its last stretch.
    pub(super) fn advance(&mut self, id: ReplayId) {
        let (delivered, half) = (self.delivered, self.limits.bytes / 2);
        let Some(replay) = self.replay(id) else { return };
        replay.fresh = false;
        let waiting = |client: &Client<A>| client.subscription.state.borrow().waiting();
        if replay.roster.clients().any(|client| waiting(client) > half) {
            self.effects.paused.push(id);
            return;
        }
        let at = replay.at;
        let near = delivered.0.saturating_sub(at.0) <= LAST_STRETCH;
        if replay.roster.client_count() == 0 || (near && self.recent.since(at).is_some()) {
            self.turns.push_back(Turn::Join(id));
            return;
        }
        let fetch = self.audience.fetch(at, delivered);
        self.effects.work.push(fetch.map(move |fetched| Done::Fetched(id, fetched)).boxed_local());
    }

    pub(super) fn page_fetched(&mut self, id: ReplayId, fetched: Fetched) {
        let Some(replay) = self.replays.iter_mut().find(|replay| replay.id == id) else { return };
        match fetched {
            Fetched::Page(page) => self.decide_page(id, page, None),
            Fetched::Expired => {
                let keys: Vec<ClientKey> = replay.roster.clients().map(|client| client.subscription.key).collect();
                replay.at = self.delivered;
                self.turns.push_back(Turn::Join(id));
                self.reset(keys, Reset::Expired);
            }
            Fetched::Failed => {
                for client in replay.roster.clients() {
                    client.subscription.end(Ending::Lagged);
                    self.effects.cut.push(client.subscription.clone());
                }
                self.turns.push_back(Turn::Join(id));
                self.finish_cuts();
            }
        }
    }

    fn decide_page(&mut self, id: ReplayId, page: Arc<Commit>, found: Option<A::Found>) {
        let Some(replay) = self.replays.iter_mut().find(|replay| replay.id == id) else { return };
        match self.audience.decide(&page, replay.roster.listeners(), found) {
            Decision::Now(decided) => {
                self.deliver_page(id, &page, decided);
                self.effects.paused.push(id);
            }
            Decision::Later(answer) => {
                replay.deciding = Some((page, replay.roster.moves));
                self.effects.work.push(answer.map(move |answer| Done::Replayed(id, answer)).boxed_local());
            }
        }
    }

    pub(super) fn page_answered(&mut self, id: ReplayId, answer: Answer<A::Found>) {
        let Some((page, moves)) = self.replay(id).and_then(|replay| replay.deciding.take()) else { return };
        match answer {
            _ if self.moved(id, moves) => self.decide_page(id, page, None),
            Answer::Found(found) => self.decide_page(id, page, Some(found)),
            Answer::Decided(decided) => {
                self.deliver_page(id, &page, decided);
                self.effects.paused.push(id);
            }
        }
    }

    /// Whether clients of a replay became another caller since.
    pub(super) fn moved(&self, id: ReplayId, moves: u64) -> bool {
        self.replays.iter().any(|replay| replay.id == id && replay.roster.moves != moves)
    }

    pub(super) fn deliver_page(&mut self, id: ReplayId, page: &Commit, decided: Decided) {
        let Some(place) = self.replays.iter().position(|replay| replay.id == id) else { return };
        let replay = &mut self.replays[place];
        replay.at = page.last;
        self.turn += 1;
        let mut post =
            Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects, &mut self.counts)
                .of_past();
        post.decided(&replay.roster, page, decided);
        self.finish_cuts();
    }

    /// The last stretch of a replay, as a turn: what it decides is still the present when it is delivered.
    pub(super) fn begin_join(&mut self, id: ReplayId) {
        let Some(replay) = self.replays.iter_mut().find(|replay| replay.id == id) else { return };
        if replay.roster.client_count() == 0 {
            return self.join(id);
        }
        match self.recent.since(replay.at) {
            // It went on too long, and the present is out of sight again.
            None => self.advance(id),
            Some(commit) if commit.changes.is_empty() => self.join(id),
            Some(commit) => {
                let moves = replay.roster.moves;
                self.decide(Deciding::Join(id, commit, moves), None);
            }
        }
    }

    /// The clients of a replay go over to the live stream.
    pub(super) fn join(&mut self, id: ReplayId) {
        let Some(place) = self.replays.iter().position(|replay| replay.id == id) else { return };
        let replay = self.replays.swap_remove(place);
        for client in replay.roster.clients() {
            let key = client.subscription.key;
            client.subscription.replaying.set(false);
            let mut texts = self.roster.texts(key);
            texts.extend(replay.roster.texts(key));
            self.roster.set_topics(&self.audience, key, &texts, self.delivered);
        }
        for set in replay.after.into_iter().rev() {
            self.turns.push_front(Turn::SetTopics(set));
        }
    }

    /// What comes from here on is another history: everybody is told so. Whoever made it may have changed or removed the
    /// records that callers are, past the changes by which we would know: who listens as somebody is sent away, to come
    /// back and show anew who he is.
    pub(super) fn begin_epoch(&mut self, at: Position) {
        self.epoch = at.epoch;
        self.delivered = at.seq;
        self.recent.restart(at.seq);
        let replays: Vec<ReplayId> = self.replays.iter().map(|replay| replay.id).collect();
        replays.into_iter().for_each(|id| self.join(id));
        self.roster.restart(at.seq);
        let (guests, others): (Vec<&Client<A>>, _) = self.roster.clients().partition(|client| client.is_guest());
        let keys = |clients: Vec<&Client<A>>| -> Vec<ClientKey> {
            clients.into_iter().map(|client| client.subscription.key).collect()
        };
        let (guests, others) = (keys(guests), keys(others));
        if self.roster.live > 0 {
            guests.iter().for_each(|key| self.restart_all_live(*key));
        }
        self.reset(guests, Reset::Epoch);
        self.send_away(others);
    }

    /// The past is over, and so are the replays that are not yet through it.
    pub(super) fn expire_past(&mut self, through: Seq) {
        self.recent.restart(self.delivered.max(through));
        let late = self.replays.iter().filter(|replay| replay.at < self.delivered);
        let late: Vec<ReplayId> = late.map(|replay| replay.id).collect();
        for id in late {
            let clients = self.replay(id).into_iter().flat_map(|replay| replay.roster.clients());
            let keys: Vec<ClientKey> = clients.map(|client| client.subscription.key).collect();
            self.join(id);
            self.reset(keys, Reset::Expired);
        }
    }

    /// Ends the streams of clients after a last word: to read anew. What waited is of the history that ended.
    fn send_away(&mut self, keys: Vec<ClientKey>) {
        let at = Position { epoch: self.epoch.clone(), seq: self.delivered };
        let mut frames = Frames::default();
        for client in keys.into_iter().filter_map(|key| self.roster.client(key)) {
            let subscription = &client.subscription;
            if subscription.ending().is_none() {
                let reset = frames.get(subscription.wire, || subscription.wire.reset(&at, Reset::Epoch));
                subscription.end_with(reset, Ending::Lagged);
                self.effects.cut.push(subscription.clone());
                self.counts.resets += 1;
            }
        }
        self.finish_cuts();
    }

    /// All clients are gone.
    pub(super) fn abandon_replays(&mut self) {
        for replay in std::mem::take(&mut self.replays) {
            let unknown = |set: SetTopics<A::Caller>| (set.ticket, Err(super::Refusal::UnknownClient));
            self.effects.answers.extend(replay.after.into_iter().map(unknown));
        }
    }
}
