//! A bounded map that forgets what was not asked for lately.
//!
//! Two generations: what was used since the last turn is in the young one; when that is full it becomes the old one, and
//! the former old one is forgotten. Ever new keys can thus not push out those in use.

use std::collections::HashMap;

pub(crate) struct Generations<V> {
    young: HashMap<Box<str>, V>,
    old: HashMap<Box<str>, V>,
    /// Keys per generation.
    capacity: usize,
}

impl<V: Clone> Generations<V> {
    pub fn new(capacity: usize) -> Generations<V> {
        Generations { young: HashMap::new(), old: HashMap::new(), capacity }
    }

    pub fn get(&mut self, key: &str) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub fn clear(&mut self) {
        *self = Generations::new(self.capacity);
    }

    pub fn insert(&mut self, key: Box<str>, value: V) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_while_others_come_and_go() {
        let mut map = Generations::new(500);
        map.insert("used".into(), 0);
        for index in 0..2500 {
            map.insert(index.to_string().into(), index);
            if index % 100 == 0 {
                assert!(map.get("used").is_some());
            }
        }
        assert!(map.young.len() + map.old.len() <= 1000);
        assert!(map.get("0").is_none());
    }

    #[test]
    fn the_last_value_counts() {
        let mut map = Generations::new(1);
        map.insert("a".into(), 1);
        map.insert("b".into(), 2);
        map.insert("a".into(), 3);
        assert_eq!((map.get("a"), map.get("b")), (Some(3), Some(2)));
    }
}
