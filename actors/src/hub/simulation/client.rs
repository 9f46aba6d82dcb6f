//! One client of the simulation, and what it must be told.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value as Json;

use super::HELLO;
use crate::hub::testing::World;
use crate::subscription::Subscription;
use crate::topic::topic_of;
use crate::{Change, Position, Seq};

/// A position that sorts: the number of the history, and that of the change.
pub(super) type Place = (usize, u64);

pub(super) fn position((epoch, seq): Place) -> Position {
    Position { epoch: format!("epoch{epoch:03}").parse().unwrap(), seq: Seq(seq) }
}

pub(super) fn place(text: &str) -> Place {
    let position: Position = text.parse().unwrap();
    (position.epoch.as_str()[5..].parse().unwrap(), position.seq.0)
}

/// An event: its change, and the text of the subscription that it came for.
pub(super) type Told = (Place, String);

/// One client, and what it must be told.
pub(super) struct Client {
    pub(super) subscription: Rc<Subscription>,
    pub(super) user: String,
    /// Its texts, each with the number after which it counts.
    pub(super) texts: BTreeMap<String, u64>,
    pub(super) expected: Vec<Told>,
    /// Of what is expected, what may be withheld: its user became a guest while it was being told.
    pub(super) optional: Vec<Told>,
    /// It came back with a position.
    pub(super) resumed: bool,
    /// It named a position when it was told more already: what it missed of its new topics comes after that.
    pub(super) went_back: bool,
    /// How often its live queries may have begun anew.
    pub(super) begun: usize,
    pub(super) received: String,
    pub(super) stalled: bool,
}

/// What a client has received.
#[derive(Default)]
pub(super) struct Story {
    /// The events after the last reset.
    pub(super) events: Vec<Told>,
    before: Vec<Told>,
    pub(super) reset: Option<(Place, String)>,
    /// The last `id:`.
    pub(super) position: Option<Place>,
    /// What live queries told, by their texts.
    live: BTreeMap<String, Live>,
    /// The positions of messages of live queries after the last reset, each with the number of events that came before.
    claims: Vec<(Place, usize)>,
}

/// What one live query told.
#[derive(Default)]
struct Live {
    /// Each begins with a page.
    parts: Vec<Part>,
    errors: usize,
}

struct Part {
    page: Place,
    user: String,
    /// The changes after the page.
    changes: Vec<Place>,
    /// Of a window, its records.
    window: BTreeMap<String, String>,
}

pub(super) fn is_live(text: &str) -> bool {
    matches!(text.split_once('?'), Some((_, "live" | "window" | "broken")))
}

fn concerns(change: &Change, text: &str) -> bool {
    let (name, id, record) = (change.subject.name(), change.subject.id(), &*change.record);
    let of = |head: &str| [head.to_owned(), format!("{head}/*"), format!("{head}/{record}")];
    of(name).iter().chain(&of(id)).any(|own| own == topic_of(text))
}

impl Live {
    fn take(&mut self, id: Place, data: &Json) {
        if data["error"] == true {
            self.errors += 1;
            return;
        }
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        if let Some(page) = data["page"].as_u64() {
            let items = data["items"].as_object().unwrap();
            let window = items.iter().map(|(id, item)| (id.clone(), text(item))).collect();
            let part = Part { page: (id.0, page), user: text(&data["user"]), changes: Vec::new(), window };
            return self.parts.push(part);
        }
        let part = self.parts.last_mut().expect("a page to begin with");
        match (data["seq"].as_u64(), data["is"].as_str()) {
            (Some(seq), _) => part.changes.push((id.0, seq)),
            (None, Some(item)) => _ = part.window.insert(text(&data["id"]), item.to_owned()),
            (None, None) => assert!(part.window.remove(data["id"].as_str().unwrap()).is_some(), "{data}"),
        }
    }
}

impl Client {
    /// Reads at most so many bytes.
    pub(super) fn take(&mut self, max: usize) {
        let mut taken = Vec::new();
        let _ = self.subscription.state.borrow_mut().write(|pieces| {
            let before = taken.len();
            taken.extend(pieces.iter().flat_map(|piece| piece.iter()).take(max - before));
            if taken.len() == before { Err(std::io::ErrorKind::WouldBlock.into()) } else { Ok(taken.len() - before) }
        });
        self.received.push_str(std::str::from_utf8(&taken).unwrap());
    }

    /// Whole events that were received so far.
    pub(super) fn story(&self) -> Story {
        let body = self.received.strip_prefix(HELLO).unwrap_or_default();
        let whole = body.rfind("\n\n").map_or("", |end| &body[..end + 2]);
        let mut story = Story::default();
        for event in whole.split_terminator("\n\n") {
            let mut lines = event.lines().filter(|line| *line != ":");
            let id = place(lines.next().unwrap().strip_prefix("id:").unwrap());
            let name = lines.next().unwrap().strip_prefix("event:").unwrap().to_owned();
            let data: Json = serde_json::from_str(lines.next().unwrap().strip_prefix("data:").unwrap()).unwrap();
            assert!(
                self.went_back || story.position.is_none_or(|last| last <= id),
                "back from {:?} to {id:?}",
                story.position
            );
            story.position = Some(id);
            if name == "RESET" {
                story.before.append(&mut story.events);
                story.claims.clear();
                story.reset = Some((id, data["reason"].as_str().unwrap().to_owned()));
                continue;
            }
            if is_live(&name) {
                story.claims.push((id, story.events.len()));
                story.live.entry(name).or_default().take(id, &data);
                continue;
            }
            let seq = data["seq"].as_u64().unwrap_or(id.1);
            assert!(id.1 == seq || id.1 + 1 == seq, "{event}");
            // Messages that are no changes are told to those who come back at the place where they are.
            if !(self.resumed && name == "chat/1") {
                story.events.push(((id.0, seq), name));
            }
        }
        story
    }

    /// What was received is a beginning of what was expected; the events of one change may come in any order.
    pub(super) fn check(&self, all: bool) {
        let Story { events, before, reset, claims, .. } = self.story();
        let told = [&before[..], &events[..]].concat();
        assert!(self.went_back || told.is_sorted_by_key(|(place, _)| *place), "out of order: {told:?}");
        assert!(told.iter().all(|event| self.expected.contains(event)), "{told:?} of {:?}", self.expected);
        let canonical = |events: &[Told], last: Option<Place>| {
            let counts = |event: &&Told| {
                reset.as_ref().is_none_or(|(at, _)| event.0 > *at)
                    && last.is_none_or(|last| event.0 < last)
                    && (!self.optional.contains(event) || told.contains(event))
            };
            let mut events: Vec<Told> = events.iter().filter(counts).cloned().collect();
            events.sort();
            events
        };
        if self.went_back && !all {
            return;
        }
        // Where the client was cut off, the last change may be told in part.
        let last = if all { None } else { Some(events.last().map_or((0, 0), |(place, _)| *place)) };
        assert_eq!(canonical(&events, last), canonical(&self.expected, last), "{reset:?}");
        if self.went_back {
            return;
        }
        // Everything up to the position of a message has been told before it.
        let expected = canonical(&self.expected, None);
        let count = |events: &[Told], position: Place| {
            events.iter().filter(|(place, text)| *place <= position && text != "chat/1").count()
        };
        for (position, before) in claims {
            let (told, due) = (count(&events[..before], position), count(&expected, position));
            assert_eq!(told, due, "before a message at {position:?}: {events:?} of {expected:?}");
        }
    }

    /// The same of live queries: a page, and each change after it, once and in order.
    pub(super) fn check_live(&self, world: &World, past: &[(usize, Change)], all: bool) {
        let Story { mut live, .. } = self.story();
        for (text, Live { parts, errors }) in &live {
            assert!(*errors <= self.begun, "{text} failed {errors} times");
            for part in parts.iter().filter(|_| text.ends_with("?live")) {
                let due = part.due(text, past);
                assert!(due.starts_with(&part.changes), "{text}: {:?} of {due:?} after {:?}", part.changes, part.page);
            }
        }
        for text in self.texts.keys().filter(|text| all && is_live(text)) {
            let Live { mut parts, errors } = live.remove(text).unwrap_or_default();
            if text.ends_with("?broken") {
                assert!(errors > 0 && parts.is_empty());
                continue;
            }
            let part = parts.pop().expect("a page");
            assert_eq!(part.user, self.user, "{text}");
            if text.ends_with("?live") {
                assert_eq!(part.changes, part.due(text, past), "{text} after {:?}", part.page);
            } else {
                let window = world.window(text, &self.user).into_iter();
                let window = window.map(|(id, item)| (id.to_string(), String::from_utf8(item.to_vec()).unwrap()));
                assert_eq!(part.window, window.collect::<BTreeMap<_, _>>(), "{text}");
            }
        }
    }

    /// It must be told of what it listens to.
    pub(super) fn expect(&mut self, changes: &[Change], epoch: usize) {
        for change in changes {
            if change.subject.name() == "secret" && self.user.is_empty() {
                continue;
            }
            for (text, from) in &self.texts {
                if *from < change.seq.0 && !is_live(text) && concerns(change, text) {
                    self.expected.push(((epoch, change.seq.0), text.clone()));
                }
            }
        }
    }

    /// Its user is nobody any more.
    pub(super) fn demote(&mut self) {
        self.user.clear();
        self.begun += 1;
        if self.resumed {
            let told = self.story();
            let secret = self.expected.iter().filter(|(_, text)| topic_of(text).contains("secret"));
            let missing: Vec<Told> = secret.filter(|event| !told.events.contains(event)).cloned().collect();
            self.optional.extend(missing);
        }
    }
}

impl Part {
    /// The changes that must follow the page.
    fn due(&self, text: &str, past: &[(usize, Change)]) -> Vec<Place> {
        let (epoch, seq) = self.page;
        let later = past.iter().filter(|(own, change)| *own == epoch && change.seq.0 > seq);
        let seen = later.filter(|(_, change)| {
            concerns(change, text) && (change.subject.name() != "secret" || !self.user.is_empty())
        });
        seen.map(|(epoch, change)| (*epoch, change.seq.0)).collect()
    }
}
