//! Puts the frames of events into the queues of clients: each is made once and shared, unless somebody inspects what
//! goes out.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::roster::{Members, Roster};
use super::state::Effects;
use super::{Audience, Delivery, InterestId, Outgoing};
use crate::subscription::{Pushed, Subscription, SubscriptionLimits};
use crate::wire::{Frame, Frames, Wire};
use crate::{Commit, Epoch, Position, Seq};

/// Puts frames into queues.
pub(super) struct Post<'a, A: Audience> {
    audience: &'a A,
    epoch: &'a Epoch,
    limits: &'a SubscriptionLimits,
    turn: u64,
    pub(super) inspects: bool,
    effects: &'a mut Effects,
}

/// What one interest sees of a commit.
struct Share<'a> {
    text: &'a Arc<str>,
    members: &'a Members,
    /// Places in the list of deliveries.
    deliveries: Vec<usize>,
    /// Those of its clients that another interest of the same commit concerns too.
    mixed: Vec<&'a Rc<Subscription>>,
}

impl<'a, A: Audience> Post<'a, A> {
    pub(super) fn new(
        audience: &'a A,
        epoch: &'a Epoch,
        limits: &'a SubscriptionLimits,
        turn: u64,
        effects: &'a mut Effects,
    ) -> Post<'a, A> {
        Post { audience, epoch, limits, turn, inspects: audience.inspects(), effects }
    }

    /// `seq` is the last change that the frame tells of.
    fn push(&mut self, subscription: &Rc<Subscription>, frame: Frame, seq: Seq) {
        subscription.told.set(seq.max(subscription.told.get()));
        match subscription.push(frame, self.turn, self.limits) {
            Pushed::First => self.effects.wake.push(subscription.clone()),
            Pushed::Overflow => self.effects.cut.push(subscription.clone()),
            Pushed::Queued | Pushed::Ended => {}
        }
    }

    /// All that an interest sees of the commit goes to its clients as one piece of shared bytes. Only a client that is
    /// concerned by several interests gets its events one by one, in the order of the changes.
    pub(super) fn shared<'r>(&mut self, roster: &'r Roster<A>, commit: &Commit, deliveries: &[Delivery]) {
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
        for subscription in shares.iter().flat_map(|share| concerned(share.members, commit)) {
            subscription.concerned.set(subscription.concerned.get() + 1);
        }
        let mut any_mixed = false;
        for share in &mut shares {
            let mut frames = Frames::default();
            let last = share.deliveries.last().and_then(|place| seq_of(commit, &deliveries[*place]));
            for subscription in concerned(share.members, commit) {
                if subscription.concerned.get() > 1 {
                    share.mixed.push(subscription);
                    any_mixed = true;
                    continue;
                }
                let frame = frames.get(subscription.wire, || {
                    let events = share.deliveries.iter().map(|place| &deliveries[*place]);
                    self.frame(subscription.wire, share.text, commit, events)
                });
                self.push(subscription, frame, last.unwrap_or_default());
            }
        }
        if any_mixed {
            for delivery in deliveries {
                let Some(share) = places.get(&delivery.interest).map(|place| &shares[*place]) else { continue };
                let Some(seq) = seq_of(commit, delivery) else { continue };
                let mut frames = Frames::default();
                for subscription in &share.mixed {
                    let write = || self.frame(subscription.wire, share.text, commit, [delivery]);
                    let frame = frames.get(subscription.wire, write);
                    self.push(subscription, frame, seq);
                }
            }
        }
        for subscription in shares.iter().flat_map(|share| concerned(share.members, commit)) {
            subscription.concerned.set(0);
        }
    }

    /// Every event is shown to the audience for each client: the way while it inspects what goes out.
    pub(super) fn one_by_one(&mut self, roster: &Roster<A>, commit: &Commit, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let Some(change) = commit.changes.get(delivery.change) else { continue };
            let Some((text, members)) = roster.members(delivery.interest) else { continue };
            let mut frames = Frames::default();
            for subscription in concerned(members, commit) {
                self.event(roster, subscription, change.seq, text, &delivery.payload, &mut frames);
            }
        }
    }

    /// One event for one client.
    pub(super) fn event(
        &mut self,
        roster: &Roster<A>,
        subscription: &Rc<Subscription>,
        seq: Seq,
        text: &str,
        payload: &Bytes,
        frames: &mut Frames,
    ) {
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
        let write = |text: &str, payload: &[u8]| {
            let mut out = Vec::new();
            subscription.wire.event(&mut out, &self.at(seq), text, payload);
            Frame::from(out)
        };
        let frame = match changed {
            Some((text, payload)) => write(&text, &payload),
            None => frames.get(subscription.wire, || write(text, payload)),
        };
        self.push(subscription, frame, seq);
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

/// The clients of an interest for whom the commit is news.
fn concerned<'r>(members: &'r Members, commit: &Commit) -> impl Iterator<Item = &'r Rc<Subscription>> {
    let last = commit.last;
    members.values().filter(move |member| member.from < last).map(|member| &member.subscription)
}
