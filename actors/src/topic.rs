//! Topics: what a subscription's text stands for, and which texts a change concerns.
//!
//! A text is a topic, and maybe options after a `?`: `posts/*?options=…`. Only the topic decides what is matched, byte by
//! byte. `COLLECTION` and `COLLECTION/*` are all records of a collection, `COLLECTION/RECORD` is one of them; a
//! collection goes by its name and by its id. Any other topic is one that only application code sends to.

use std::collections::HashMap;
use std::hash::Hash;

use crate::Change;

/// The topic of a subscription's text: what stands before the options.
pub fn topic_of(text: &str) -> &str {
    text.split_once('?').map_or(text, |(topic, _)| topic)
}

/// Subscriptions by topic. `K` stands for a subscription's text.
pub(crate) struct TopicIndex<K> {
    /// By what stands before the first slash: usually a collection.
    heads: HashMap<Box<str>, Head<K>>,
}

struct Head<K> {
    /// `posts`
    bare: Vec<K>,
    /// `posts/*`
    all: Vec<K>,
    /// `posts/RECORD`, by what stands after the slash.
    one: HashMap<Box<str>, Vec<K>>,
}

impl<K> Head<K> {
    fn new() -> Head<K> {
        Head { bare: Vec::new(), all: Vec::new(), one: HashMap::new() }
    }

    fn is_empty(&self) -> bool {
        self.bare.is_empty() && self.all.is_empty() && self.one.is_empty()
    }
}

impl<K: Copy + Eq + Hash> TopicIndex<K> {
    pub(crate) fn new() -> TopicIndex<K> {
        TopicIndex { heads: HashMap::new() }
    }

    pub(crate) fn insert(&mut self, topic: &str, key: K) {
        let (name, tail) = split(topic);
        let head = self.heads.entry(name.into()).or_insert_with(Head::new);
        match tail {
            None => head.bare.push(key),
            Some("*") => head.all.push(key),
            Some(tail) => head.one.entry(tail.into()).or_default().push(key),
        }
    }

    pub(crate) fn remove(&mut self, topic: &str, key: K) {
        let (name, tail) = split(topic);
        let Some(head) = self.heads.get_mut(name) else { return };
        match tail {
            None => head.bare.retain(|k| *k != key),
            Some("*") => head.all.retain(|k| *k != key),
            Some(tail) => {
                if let Some(keys) = head.one.get_mut(tail) {
                    keys.retain(|k| *k != key);
                    if keys.is_empty() {
                        head.one.remove(tail);
                    }
                }
            }
        }
        if head.is_empty() {
            self.heads.remove(name);
        }
    }

    /// The texts whose topic is exactly this one.
    pub(crate) fn exactly(&self, topic: &str) -> &[K] {
        let (name, tail) = split(topic);
        let Some(head) = self.heads.get(name) else { return &[] };
        match tail {
            None => &head.bare,
            Some("*") => &head.all,
            Some(tail) => head.one.get(tail).map_or(&[], Vec::as_slice),
        }
    }

    /// The texts that a change concerns.
    pub(crate) fn concerned<'a>(&'a self, change: &Change) -> impl Iterator<Item = K> + use<'a, K> {
        let (name, id) = (change.subject.name(), change.subject.id());
        let by_name = self.heads.get(name);
        let by_id = if id == name { None } else { self.heads.get(id) };
        let record = change.record.clone();
        by_name.into_iter().chain(by_id).flat_map(move |head| {
            let one = head.one.get(&*record).map_or(&[][..], Vec::as_slice);
            head.bare.iter().chain(&head.all).chain(one).copied()
        })
    }
}

fn split(topic: &str) -> (&str, Option<&str>) {
    match topic.split_once('/') {
        Some((name, tail)) => (name, Some(tail)),
        None => (topic, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::testing::change;

    fn index(texts: &[&'static str]) -> TopicIndex<&'static str> {
        let mut index = TopicIndex::new();
        for text in texts {
            index.insert(topic_of(text), *text);
        }
        index
    }

    #[test]
    fn a_change_concerns_its_collection_and_its_record_by_name_and_by_id() {
        let concerned =
            ["posts", "posts?x=1", "posts/*", "posts/*?options={}", "pbc_posts/*", "posts/r1", "pbc_posts/r1?"];
        let others = [
            "Posts/*",
            "posts/* ",
            "*",
            "posts/r",
            "posts/r11",
            "posts/",
            "post",
            "posts2/*",
            "",
            "posts/*/x",
            "pbc_posts/r2",
        ];
        let all: Vec<_> = concerned.iter().chain(&others).copied().collect();
        let mut index = index(&all);
        let mut found: Vec<_> = index.concerned(&change(1, "posts", "r1")).collect();
        found.sort();
        let mut expected = concerned.to_vec();
        expected.sort();
        assert_eq!(found, expected);

        for text in all {
            index.remove(topic_of(text), text);
        }
        assert!(index.heads.is_empty());
    }

    #[test]
    fn other_topics_are_found_by_their_exact_text() {
        let index = index(&["chat/room/1", "chat/room/1?options=x", "chat/room", "chat", "chat/*"]);
        assert_eq!(index.exactly("chat/room/1"), ["chat/room/1", "chat/room/1?options=x"]);
        assert_eq!(index.exactly("chat"), ["chat"]);
        assert_eq!(index.exactly("chat/*"), ["chat/*"]);
        assert_eq!(index.exactly("chat/room/2"), [""; 0]);
    }
}
