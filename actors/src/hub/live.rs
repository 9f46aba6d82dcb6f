//! Live queries: a page of what there is, and then what becomes of it.
//!
//! A topic may ask for the changes of a query ([`Liveness::Changes`]): its clients are given a page, read at a position of
//! its own, and what was committed since, in one turn of the hub; from then on they hear of changes like others. Or it
//! asks for a window, the first so many in some order ([`Liveness::Window`]): after each commit that concerns it the
//! window is read anew, and each client is told what is another than what it was told before. Nobody else waits.
//!
//! What is read is read once for all who ask for the same text as the same caller ([`Query`]), and never twice at a time:
//! what is asked for while it is being read is read once more afterwards. Reads are numbered. A client that begins, or
//! becomes another caller, waits for a read that has not begun yet: what was read before may show what is not for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;

use super::post::Post;
use super::roster::Roster;
use super::state::{Deciding, Done, HubState, Turn};
use super::{Audience, ClientKey, Decided};
use crate::wire::Frames;
use crate::{Change, Commit, Seq};

/// Reads that a hub has under way at a time, so that others find a Reader too. What else is to be read waits.
const READS: usize = 4;

/// Times in a row after which a window that was shown cannot be read: each took too long.
const PATIENCE: u8 = 3;

/// What a topic asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Liveness {
    /// Events of records.
    #[default]
    Events,
    /// A page, and the changes of a query's result.
    Changes,
    /// A page, and the changes of the first so many of it.
    Window,
}

/// The answer of [`Audience::snapshot`].
pub enum Snapshot {
    Page(Page),
    /// It cannot be read, now or later. What its clients are told, as the last word: a JSON object on a single line.
    Refused(Bytes),
    /// It could not be read this time.
    Failed,
    /// It took too long. What its clients are told if it is not tried again.
    TookTooLong(Bytes),
}

/// A page of a live query.
pub struct Page {
    /// The last change that the page knows of.
    pub at: Seq,
    /// What a client sees that has seen nothing yet: a JSON object on a single line.
    pub payload: Bytes,
    /// The records of a window, in their order, each with its id.
    pub items: Vec<(Arc<str>, Bytes)>,
}

/// What is read: a topic's text, as which record asks for it; guests are none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    pub(super) text: Arc<str>,
    pub(super) caller: Option<(Box<str>, Box<str>)>,
}

/// Stands where a client's live topic begins that has no page yet: after everything.
pub(super) const PENDING: Seq = Seq(u64::MAX);

/// The live queries of a hub.
#[derive(Default)]
pub(super) struct Live {
    /// What each client was told, by the texts of its topics.
    told: HashMap<ClientKey, HashMap<Arc<str>, Told>>,
    reads: HashMap<Query, Read>,
    /// In the order in which they are to be read.
    due: VecDeque<Query>,
    under_way: usize,
    /// Could not be read; to be tried again with the next tick.
    late: Vec<Query>,
    /// How often in a row it took too long.
    slow: HashMap<Query, u8>,
    /// The number of the read that began last.
    last: u64,
}

/// What a client was told of a live query.
enum Told {
    /// Nothing yet; it waits for this read or a later one.
    Nothing(u64),
    /// Its page; it hears of changes.
    Page,
    /// A window, as it was then.
    Window(Shown),
    /// That it cannot be read; nothing follows.
    Error,
}

type Shown = Arc<Vec<(Arc<str>, Bytes)>>;

enum Read {
    Due,
    UnderWay,
    /// It is under way, and to be read once more.
    Stale,
}

/// A page that was read, in a turn of its own.
pub(super) struct Beginning<A: Audience> {
    query: Query,
    number: u64,
    page: Page,
    /// Those who wait for it.
    pub(super) roster: Roster<A>,
}

impl Live {
    pub(super) fn forget(&mut self, client: ClientKey) {
        self.told.remove(&client);
    }

    fn told(&self, client: ClientKey, text: &str) -> Option<&Told> {
        self.told.get(&client)?.get(text)
    }

    fn tell(&mut self, client: ClientKey, text: &Arc<str>, told: Told) {
        self.told.entry(client).or_default().insert(text.clone(), told);
    }

    /// Whether a client waits for this read.
    fn awaits(&self, client: ClientKey, text: &str, number: u64) -> bool {
        matches!(self.told(client, text), Some(Told::Nothing(first)) if *first <= number)
    }

    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        let none = self.reads.is_empty() && self.due.is_empty() && self.late.is_empty() && self.slow.is_empty();
        none && self.under_way == 0
    }

    /// Nothing is kept of those who have gone.
    #[cfg(test)]
    pub(super) fn is_tidy<A: Audience>(&self, roster: &Roster<A>) -> bool {
        self.is_at_rest()
            && self.told.iter().all(|(key, told)| !told.is_empty() && told.len() == roster.live_texts(*key).len())
    }
}

impl<A: Audience> HubState<A> {
    /// Those of a client's texts that are live queries, and the others.
    pub(super) fn part_live(&self, texts: Vec<String>) -> (Vec<String>, Vec<String>) {
        texts.into_iter().partition(|text| self.audience.liveness(text) != Liveness::Events)
    }

    /// How many of these texts are live queries.
    pub(super) fn live_among(&self, texts: &[String]) -> usize {
        texts.iter().filter(|text| self.audience.liveness(text) != Liveness::Events).count()
    }

    /// A client has other topics than before: begins with the live ones among the new.
    pub(super) fn begin_live(&mut self, client: ClientKey, held: &[String]) {
        let texts = self.roster.live_texts(client);
        if let Some(told) = self.live.told.get_mut(&client) {
            told.retain(|text, _| texts.contains(text));
            if told.is_empty() {
                self.live.told.remove(&client);
            }
        }
        for text in texts.iter().filter(|text| !held.iter().any(|own| *own == ***text)) {
            self.restart_live(client, text);
        }
    }

    /// What a client sees of its live queries may be another than it was told.
    pub(super) fn restart_all_live(&mut self, client: ClientKey) {
        for text in self.roster.live_texts(client) {
            self.restart_live(client, &text);
        }
    }

    fn restart_live(&mut self, client: ClientKey, text: &Arc<str>) {
        self.roster.set_from(client, text, PENDING);
        self.live.tell(client, text, Told::Nothing(self.live.last + 1));
        if let Some(query) = self.roster.query(client, text) {
            self.read(query);
        }
    }

    /// Windows that a commit concerns are read anew.
    pub(super) fn touch_windows(&mut self, changes: &[Change]) {
        for query in self.roster.windows(changes) {
            self.read(query);
        }
    }

    /// What could not be read is tried again.
    pub(super) fn retry_reads(&mut self) {
        for query in std::mem::take(&mut self.live.late) {
            self.read(query);
        }
    }

    /// Somebody wants to know how a query is from now on.
    fn read(&mut self, query: Query) {
        match self.live.reads.get_mut(&query) {
            Some(Read::Due) => {}
            Some(read) => *read = Read::Stale,
            None => {
                self.live.reads.insert(query.clone(), Read::Due);
                self.live.due.push_back(query);
            }
        }
    }

    /// Begins to read what is due, as far as it may.
    pub(super) fn begin_reads(&mut self) {
        while self.live.under_way < READS {
            let Some(query) = self.live.due.pop_front() else { return };
            let asked = self.roster.asked(&query);
            let Some((caller, whole)) = asked.and_then(|(_, caller, members)| {
                let told = members.keys().filter_map(|key| self.live.told(*key, &query.text));
                // The whole page is for those who have nothing yet.
                let wanted = told.filter_map(|told| match told {
                    Told::Nothing(_) => Some(true),
                    Told::Window(_) => Some(false),
                    Told::Page | Told::Error => None,
                });
                Some((caller, wanted.max()?))
            }) else {
                self.live.reads.remove(&query);
                self.live.slow.remove(&query);
                continue;
            };
            self.live.last += 1;
            self.live.under_way += 1;
            let (number, snapshot) = (self.live.last, self.audience.snapshot(&query.text, caller, whole));
            self.live.reads.insert(query.clone(), Read::UnderWay);
            let work = snapshot.map(move |snapshot| Done::Snapshot(query, number, snapshot));
            self.effects.work.push(work.boxed_local());
        }
    }

    /// A read is over.
    pub(super) fn snapshot_read(&mut self, query: Query, number: u64, snapshot: Snapshot) {
        self.live.under_way -= 1;
        let read = self.live.reads.remove(&query);
        let liveness = self.roster.asked(&query).map(|(liveness, ..)| liveness);
        let slow = self.live.slow.remove(&query).unwrap_or_default() + 1;
        match (snapshot, liveness) {
            (_, None | Some(Liveness::Events)) => {}
            // It can be read in time, unless the machine is busy.
            (Snapshot::TookTooLong(_), _) if slow < PATIENCE && self.is_shown(&query) => {
                self.live.slow.insert(query.clone(), slow);
                if !matches!(read, Some(Read::Stale)) {
                    self.live.late.push(query.clone());
                }
            }
            (Snapshot::Failed, _) => self.live.late.push(query.clone()),
            (Snapshot::Refused(payload) | Snapshot::TookTooLong(payload), _) => self.refuse(&query, number, &payload),
            (Snapshot::Page(page), Some(Liveness::Window)) => self.show_window(&query, number, page),
            (Snapshot::Page(page), Some(Liveness::Changes)) => {
                self.turns.push_back(Turn::Begin(query.clone(), number, page));
            }
        }
        if matches!(read, Some(Read::Stale)) {
            self.read(query);
        }
    }

    /// Those who wait for a read.
    fn waiting(&self, query: &Query, number: u64) -> HashSet<ClientKey> {
        let members = self.roster.asked(query).map(|(_, _, members)| members);
        let keys = members.into_iter().flat_map(|members| members.keys().copied());
        keys.filter(|key| self.live.awaits(*key, &query.text, number)).collect()
    }

    /// Whether somebody was shown a window.
    fn is_shown(&self, query: &Query) -> bool {
        let members = self.roster.asked(query).map(|(_, _, members)| members);
        let mut keys = members.into_iter().flat_map(|members| members.keys());
        keys.any(|key| matches!(self.live.told(*key, &query.text), Some(Told::Window(_))))
    }

    /// A query cannot be read: whoever holds it is told so, and it is not read again for them.
    fn refuse(&mut self, query: &Query, number: u64, payload: &Bytes) {
        let Some((_, _, members)) = self.roster.asked(query) else { return };
        let keys = members.keys().copied().filter(|key| match self.live.told(*key, &query.text) {
            Some(Told::Nothing(first)) => *first <= number,
            Some(Told::Window(_)) => true,
            Some(Told::Page | Told::Error) | None => false,
        });
        let keys: Vec<ClientKey> = keys.collect();
        for key in &keys {
            self.live.tell(*key, &query.text, Told::Error);
        }
        self.tell(&query.text, &keys, std::slice::from_ref(payload));
    }

    /// A window was read: each of its clients is told what is new to it.
    fn show_window(&mut self, query: &Query, number: u64, page: Page) {
        let Some((_, _, members)) = self.roster.asked(query) else { return };
        let keys: Vec<ClientKey> = members.keys().copied().collect();
        let items = Arc::new(page.items);
        // Nearly always all of them know the same, and are told the same.
        let mut groups: Vec<(Option<Shown>, Vec<ClientKey>)> = Vec::new();
        for key in keys {
            let before = match self.live.told(key, &query.text) {
                Some(Told::Nothing(first)) if *first <= number => None,
                Some(Told::Window(before)) => Some(before.clone()),
                _ => continue,
            };
            self.live.tell(key, &query.text, Told::Window(items.clone()));
            let is_same = |known: &Option<Shown>| known.as_ref().map(Arc::as_ptr) == before.as_ref().map(Arc::as_ptr);
            match groups.iter_mut().find(|(known, _)| is_same(known)) {
                Some((_, keys)) => keys.push(key),
                None => groups.push((before, vec![key])),
            }
        }
        for (before, keys) in groups {
            match before {
                None => self.tell(&query.text, &keys, std::slice::from_ref(&page.payload)),
                Some(before) => {
                    let changes = self.audience.differences(&before, &items);
                    self.tell(&query.text, &keys, &changes);
                }
            }
        }
    }

    /// Tells clients something under one of their topics.
    fn tell(&mut self, text: &str, keys: &[ClientKey], payloads: &[Bytes]) {
        self.turn += 1;
        let mut frames: Vec<Frames> = payloads.iter().map(|_| Frames::default()).collect();
        let mut post =
            Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects, &mut self.counts);
        for client in keys.iter().filter_map(|key| self.roster.client(*key)) {
            for (payload, frames) in payloads.iter().zip(&mut frames) {
                post.event(&self.roster, &client.subscription, self.delivered, text, payload, frames);
            }
        }
        self.finish_cuts();
    }

    /// The turn of a page: what was committed since it was read is told after it.
    pub(super) fn begin_query(&mut self, query: Query, number: u64, page: Page) {
        let waiting = self.waiting(&query, number);
        if waiting.is_empty() {
            return;
        }
        // It took so long that memory does not reach back to it.
        let Some(commit) = self.recent.since(page.at) else { return self.read(query) };
        let mut roster = Roster::new();
        for client in waiting.iter().filter_map(|key| self.roster.client(*key)) {
            let caller = self.roster.caller_of(client).cloned().unwrap_or_default();
            roster.adopt(&self.audience, client.subscription.clone(), client.data.clone(), caller);
            roster.set_topics(&self.audience, client.subscription.key, &[query.text.to_string()], page.at);
        }
        let beginning = Beginning { query, number, page, roster };
        if commit.changes.is_empty() {
            return self.begun(beginning, &commit, Decided::default());
        }
        self.decide(Deciding::Begin(Box::new(beginning), commit), None);
    }

    pub(super) fn begun(&mut self, beginning: Beginning<A>, commit: &Commit, decided: Decided) {
        let Beginning { query, number, page, mut roster } = beginning;
        // Who became somebody else meanwhile waits for another page.
        let waiting = self.waiting(&query, number);
        let keys: Vec<ClientKey> = roster.clients().map(|client| client.subscription.key).collect();
        let (keys, gone): (Vec<ClientKey>, Vec<ClientKey>) = keys.into_iter().partition(|key| waiting.contains(key));
        for key in gone {
            roster.disconnect(key);
        }
        self.turn += 1;
        let mut frames = Frames::default();
        let mut post =
            Post::new(&self.audience, &self.epoch, &self.limits, self.turn, &mut self.effects, &mut self.counts)
                .late(self.delivered);
        for client in roster.clients() {
            post.event(&roster, &client.subscription, self.delivered, &query.text, &page.payload, &mut frames);
        }
        post.decided(&roster, commit, decided);
        for key in keys {
            self.live.tell(key, &query.text, Told::Page);
            self.roster.set_from(key, &query.text, page.at.max(self.delivered));
        }
        self.finish_cuts();
    }
}

#[cfg(test)]
mod tests;
