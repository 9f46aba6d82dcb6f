//! Puts the frames of events into the queues of clients: each is made once and shared, unless somebody inspects what
//! goes out.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::roster::{Member, Members, Roster};
use super::state::Effects;
use super::stats::HubCounts;
use super::{Audience, ClientKey, Decided, Delivery, InterestId, Outgoing};
use crate::subscription::{Ending, Pushed, Subscription, SubscriptionLimits};
use crate::wire::{Frame, Frames, Wire};
use crate::{Commit, Epoch, Position, Seq};

/// Puts frames into queues.
pub(super) struct Post<'a, A: Audience> {
    audience: &'a A,
    epoch: &'a Epoch,
    limits: &'a SubscriptionLimits,
    turn: u64,
    inspects: bool,
    positions: Positions,
    effects: &'a mut Effects<A::Found>,
    counts: &'a mut HubCounts,
}

/// Which positions frames tell.
enum Positions {
    /// Those of their changes; who is still being told of the past has not come to them yet.
    Present,
    /// Those of their changes.
    Past,
    /// This one: the changes up to it were told under other topics already. For who is still being told of the past as
    /// above.
    Late(Seq),
}

/// What one interest sees of a commit.
struct Share<'a> {
    text: &'a Arc<str>,
    members: &'a Members,
    /// Places in the list of deliveries.
    deliveries: Vec<usize>,
    /// Those of its clients that are not told just this: another interest of the same commit concerns them too, they came
    /// in the middle of it, or they are at a position of their own.
    mixed: Vec<&'a Member>,
}

impl<'a, A: Audience> Post<'a, A> {
    pub(super) fn new(
        audience: &'a A,
        epoch: &'a Epoch,
        limits: &'a SubscriptionLimits,
        turn: u64,
        effects: &'a mut Effects<A::Found>,
        counts: &'a mut HubCounts,
    ) -> Post<'a, A> {
        let (inspects, positions) = (audience.inspects(), Positions::Present);
        Post { audience, epoch, limits, turn, inspects, positions, effects, counts }
    }

    /// For a replay.
    pub(super) fn of_past(self) -> Post<'a, A> {
        Post { positions: Positions::Past, ..self }
    }

    /// For changes up to `at` that were told under other topics already.
    pub(super) fn late(self, at: Seq) -> Post<'a, A> {
        Post { positions: Positions::Late(at), ..self }
    }

    /// The position that a frame tells a client where its change has this one: everything up to it has been told.
    fn position(&self, client: &Subscription, seq: Seq) -> Seq {
        match self.positions {
            Positions::Present | Positions::Late(_) if client.replaying.get() => client.told.get(),
            Positions::Present | Positions::Past => seq,
            Positions::Late(at) => at,
        }
    }

    /// Whether a client may be told other positions than those of the changes.
    fn is_elsewhere(&self, client: &Subscription) -> bool {
        match self.positions {
            Positions::Present => client.replaying.get(),
            Positions::Past => false,
            Positions::Late(_) => true,
        }
    }

    /// `seq` is the last change that the frame tells of.
    pub(super) fn push(&mut self, subscription: &Rc<Subscription>, frame: Frame, seq: Seq) {
        subscription.told.set(seq.max(subscription.told.get()));
        match subscription.push(frame, self.turn, self.limits) {
            Pushed::First => self.effects.wake.push(subscription.clone()),
            Pushed::Overflow => self.effects.cut.push(subscription.clone()),
            Pushed::Queued | Pushed::Ended => {}
        }
    }

    /// What was decided of a commit, for the clients of a roster.
    pub(super) fn decided(&mut self, roster: &Roster<A>, commit: &Commit, decided: Decided) {
        let Decided { mut deliveries, failed } = decided;
        deliveries.sort_by_key(|delivery| delivery.change);
        if !deliveries.is_empty() {
            if self.inspects {
                self.one_by_one(roster, commit, &deliveries);
            } else {
                self.shared(roster, commit, &deliveries);
            }
        }
        for (_, members) in failed.into_iter().filter_map(|interest| roster.members(interest)) {
            for member in members.values().filter(|member| member.from < commit.last) {
                member.subscription.end(Ending::Lagged);
                self.effects.cut.push(member.subscription.clone());
            }
        }
    }

    /// All that an interest sees of the commit goes to its clients as one piece of shared bytes. Only a client that is
    /// concerned by several interests gets its events one by one, in the order of the changes.
    fn shared<'r>(&mut self, roster: &'r Roster<A>, commit: &Commit, deliveries: &[Delivery]) {
        let mut shares: Vec<Share<'r>> = Vec::new();
        let mut places: HashMap<InterestId, usize> = HashMap::new();
        for (place, delivery) in deliveries.iter().enumerate() {
            if let Some(share) = places.get(&delivery.interest) {
                shares[*share].deliveries.push(place);
            } else if let Some((text, members)) = roster.members(delivery.interest) {
                places.insert(delivery.interest, shares.len());
                shares.push(Share { text, members, deliveries: vec![place], mixed: Vec::new() });
            }
        }
        // Where only one interest is concerned nobody needs to be counted.
        let counted = if shares.len() > 1 { &shares[..] } else { &[] };
        for member in counted.iter().flat_map(|share| concerned(share.members, commit)) {
            member.subscription.concerned.set(member.subscription.concerned.get() + 1);
        }
        let mut any_mixed = false;
        for share in &mut shares {
            let mut frames = Frames::default();
            let seq = |place: Option<&usize>| place.and_then(|place| seq_of(commit, &deliveries[*place]));
            let (Some(first), Some(last)) = (seq(share.deliveries.first()), seq(share.deliveries.last())) else {
                continue;
            };
            for member in concerned(share.members, commit) {
                let subscription = &member.subscription;
                if subscription.concerned.get() > 1 || member.from >= first || self.is_elsewhere(subscription) {
                    share.mixed.push(member);
                    any_mixed = true;
                    continue;
                }
                let frame = frames.get(subscription.wire, || {
                    let events = share.deliveries.iter().map(|place| &deliveries[*place]);
                    self.frame(subscription.wire, share.text, commit, events)
                });
                self.push(subscription, frame, last);
                self.counts.deliveries += share.deliveries.len() as u64;
            }
        }
        if any_mixed {
            for group in deliveries.chunk_by(|one, other| one.change == other.change) {
                let share = |delivery: &Delivery| places.get(&delivery.interest).map(|place| &shares[*place]);
                let mixed = |delivery: &Delivery| {
                    let members = share(delivery).into_iter().flat_map(|share| share.mixed.iter().copied());
                    let seq = seq_of(commit, delivery).unwrap_or_default();
                    members.filter(move |member| member.from < seq).map(|member| &member.subscription)
                };
                let ends = Ends::of(group, mixed);
                for (place, delivery) in group.iter().enumerate() {
                    let (Some(share), Some(seq)) = (share(delivery), seq_of(commit, delivery)) else { continue };
                    let (mut last, mut other) = (Frames::default(), Frames::default());
                    for subscription in mixed(delivery) {
                        let (frames, seq) = ends.pick(subscription, place, seq, &mut last, &mut other);
                        let at = self.position(subscription, seq);
                        let write = || self.write(subscription.wire, at, share.text, &delivery.payload);
                        let frame = if at == seq { frames.get(subscription.wire, write) } else { write() };
                        self.push(subscription, frame, at);
                        self.counts.deliveries += 1;
                    }
                }
            }
        }
        if shares.len() > 1 {
            for member in shares.iter().flat_map(|share| concerned(share.members, commit)) {
                member.subscription.concerned.set(0);
            }
        }
    }

    /// Every event is shown to the audience for each client: the way while it inspects what goes out.
    fn one_by_one(&mut self, roster: &Roster<A>, commit: &Commit, deliveries: &[Delivery]) {
        let members = |delivery: &Delivery| {
            let members = roster.members(delivery.interest).map(|(_, members)| members);
            let seq = seq_of(commit, delivery).unwrap_or_default();
            let members = members.into_iter().flat_map(|members| members.values());
            members.filter(move |member| member.from < seq).map(|member| &member.subscription)
        };
        for group in deliveries.chunk_by(|one, other| one.change == other.change) {
            let ends = Ends::of(group, members);
            for (place, delivery) in group.iter().enumerate() {
                let Some(seq) = seq_of(commit, delivery) else { continue };
                let Some((text, _)) = roster.members(delivery.interest) else { continue };
                let (mut last, mut other) = (Frames::default(), Frames::default());
                for subscription in members(delivery) {
                    let (frames, at) = ends.pick(subscription, place, seq, &mut last, &mut other);
                    self.event(roster, subscription, at, text, &delivery.payload, frames);
                }
            }
        }
    }

    /// One event for one client. `seq`: where it belongs; `frames` are of those who are there.
    pub(super) fn event(
        &mut self,
        roster: &Roster<A>,
        subscription: &Rc<Subscription>,
        seq: Seq,
        text: &str,
        payload: &Bytes,
        frames: &mut Frames,
    ) {
        let at = self.position(subscription, seq);
        let mut changed = None;
        if self.inspects
            && let Some(client) = roster.client(subscription.key)
            && let Some(caller) = roster.caller_of(client)
        {
            match self.audience.outgoing(&client.data, caller, text, payload) {
                Outgoing::Unchanged => {}
                Outgoing::Withheld => return,
                Outgoing::Changed { topic, payload } => changed = Some((topic, payload)),
            }
        }
        let frame = match changed {
            Some((text, payload)) => self.write(subscription.wire, at, &text, &payload),
            None if at != seq => self.write(subscription.wire, at, text, payload),
            None => frames.get(subscription.wire, || self.write(subscription.wire, at, text, payload)),
        };
        self.push(subscription, frame, at);
        self.counts.deliveries += 1;
    }

    fn write(&self, wire: &dyn Wire, at: Seq, text: &str, payload: &[u8]) -> Frame {
        let mut out = Vec::new();
        wire.event(&mut out, &self.at(at), text, payload);
        out.into()
    }

    fn at(&self, seq: Seq) -> Position {
        Position { epoch: self.epoch.clone(), seq }
    }

    fn frame<'d>(
        &self,
        wire: &dyn Wire,
        text: &str,
        commit: &Commit,
        events: impl IntoIterator<Item = &'d Delivery>,
    ) -> Frame {
        let mut out = Vec::new();
        for delivery in events {
            if let Some(seq) = seq_of(commit, delivery) {
                wire.event(&mut out, &self.at(seq), text, &delivery.payload);
            }
        }
        out.into()
    }
}

fn seq_of(commit: &Commit, delivery: &Delivery) -> Option<Seq> {
    commit.changes.get(delivery.change).map(|change| change.seq)
}

/// A client may see one change under several of its topics. Only the last of these events tells it the change's own
/// position, the others the one before: if the connection ends between them, it is told all of them again, and none is
/// lost.
struct Ends(HashMap<ClientKey, usize>);

impl Ends {
    /// Of the deliveries of one change.
    fn of<'r, I: Iterator<Item = &'r Rc<Subscription>>>(group: &[Delivery], clients: impl Fn(&Delivery) -> I) -> Ends {
        let mut last = HashMap::new();
        if group.len() > 1 {
            for (place, delivery) in group.iter().enumerate() {
                last.extend(clients(delivery).map(|subscription| (subscription.key, place)));
            }
        }
        Ends(last)
    }

    /// What a client has been told of when it has the event at this place, and the frames of those in the same case.
    fn pick<'f>(
        &self,
        client: &Subscription,
        place: usize,
        seq: Seq,
        last: &'f mut Frames,
        other: &'f mut Frames,
    ) -> (&'f mut Frames, Seq) {
        match self.0.get(&client.key) {
            Some(end) if *end > place => (other, Seq(seq.0 - 1)),
            _ => (last, seq),
        }
    }
}

/// The clients of an interest for whom something of the commit is news.
fn concerned<'r>(members: &'r Members, commit: &Commit) -> impl Iterator<Item = &'r Member> {
    let last = commit.last;
    members.values().filter(move |member| member.from < last)
}
