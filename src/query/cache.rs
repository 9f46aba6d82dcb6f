//! Parsed texts, kept by text: rules are parsed once and not on every request.
//!
//! Bounded by two generations: what was used since the last turn is in the young one; when that is full it becomes the
//! old one and the former old one is forgotten. Clients with ever new filters can thus not push out rules in use.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::QueryError;
use super::parser;
use super::tree::Filter;

/// Texts per generation.
const CAPACITY: usize = 500;
/// Longer texts are parsed on each use.
const MAX_TEXT: usize = 4096;

static PARSED: LazyLock<Mutex<Generations>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<Filter>>,
    old: HashMap<Box<str>, Arc<Filter>>,
}

impl Generations {
    fn get(&mut self, text: &str) -> Option<Arc<Filter>> {
        if let Some(filter) = self.young.get(text) {
            return Some(filter.clone());
        }
        let (text, filter) = self.old.remove_entry(text)?;
        self.insert(text, filter.clone());
        Some(filter)
    }

    fn insert(&mut self, text: Box<str>, filter: Arc<Filter>) {
        if self.young.len() >= CAPACITY {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(text, filter);
    }
}

/// The tree of a text, from the cache where it is known.
pub fn parse(text: &str) -> Result<Arc<Filter>, QueryError> {
    let cached = |text: &str| PARSED.lock().unwrap_or_else(PoisonError::into_inner).get(text);
    if let Some(filter) = cached(text) {
        return Ok(filter);
    }
    let filter = Arc::new(parser::parse(text)?);
    if text.len() <= MAX_TEXT {
        PARSED.lock().unwrap_or_else(PoisonError::into_inner).insert(text.into(), filter.clone());
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_while_others_come_and_go() {
        let mut cache = Generations::default();
        let filter = Arc::new(parser::parse("a = 1").unwrap());
        cache.insert("rule".into(), filter.clone());
        for index in 0..5 * CAPACITY {
            cache.insert(index.to_string().into(), filter.clone());
            if index % 100 == 0 {
                assert!(cache.get("rule").is_some());
            }
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * CAPACITY);
        assert!(cache.get("0").is_none());
    }

    #[test]
    fn the_same_text_gives_the_same_tree() {
        let first = parse("cached = 'tree'").unwrap();
        assert!(Arc::ptr_eq(&first, &parse("cached = 'tree'").unwrap()));
        assert!(parse("cached =").is_err());
    }
}
