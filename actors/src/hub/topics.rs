//! What a client asks of its hub: a set of topics, and where it wants to go on.

use super::ClientKey;
use crate::{Position, Seq};

/// Stands for somebody who waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// A client's new set of topics.
pub struct SetTopics<C> {
    pub client: ClientKey,
    pub topics: Topics,
    /// Whose client it is from now on; without, it stays whose it is.
    pub caller: Option<C>,
    /// Whoever the client belongs to so far, it is this caller's now. Otherwise only a guest's or the caller's own is.
    pub any_caller: bool,
    /// The last change that was committed when the set was asked for. Up to it the topics of before count: who was answered
    /// a write and then asks for other topics has that write delivered first.
    pub from: Seq,
    /// Where the client wants to go on; from now on, without.
    pub since: Option<Since>,
    pub ticket: Ticket,
}

/// Subscriptions' texts, options included, and what becomes of those that the client has.
#[derive(Clone, Debug)]
pub enum Topics {
    /// These, and no others.
    Replace(Vec<String>),
    /// These too.
    Add(Vec<String>),
    /// All but these.
    Remove(Vec<String>),
}

impl Topics {
    /// The whole set, for a client that has `held`.
    pub(super) fn of(self, held: impl FnOnce() -> Vec<String>) -> Vec<String> {
        match self {
            Topics::Replace(texts) => texts,
            Topics::Add(texts) => {
                let mut all = held();
                let new: Vec<String> = texts.into_iter().filter(|text| !all.contains(text)).collect();
                all.extend(new);
                all
            }
            Topics::Remove(texts) => held().into_iter().filter(|text| !texts.contains(text)).collect(),
        }
    }

    pub fn texts(&self) -> &[String] {
        match self {
            Topics::Replace(texts) | Topics::Add(texts) | Topics::Remove(texts) => texts,
        }
    }

    pub fn texts_mut(&mut self) -> &mut Vec<String> {
        match self {
            Topics::Replace(texts) | Topics::Add(texts) | Topics::Remove(texts) => texts,
        }
    }
}

/// The last position that a client says it has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    At(Position),
    /// Nothing that we ever told anybody.
    Unknown,
}
