//! Where the callers of one topic stand: in groups that the domain does not tell apart, some of which are found by a value.
//!
//! A topic with ten thousand callers, each of whom sees only what is his own, then costs a look-up per change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::roster::CallerKey;

/// Where a caller stands, as the domain says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// The value by which changes find the caller; none if every change has to ask for him.
    pub find: Option<Arc<str>>,
    /// Equal for those of the same `find` who always get the same answer.
    pub group: Arc<str>,
}

/// The callers of a topic, as one index of the domain sorts them.
pub(super) struct Standings<I> {
    index: I,
    groups: BTreeMap<Standing, Vec<CallerKey>>,
    places: HashMap<CallerKey, Standing>,
    /// Came, or changed, since the groups were last looked at. Some may have gone since.
    unsorted: Vec<CallerKey>,
}

impl<I: PartialEq> Standings<I> {
    pub(super) fn new(index: I, callers: impl Iterator<Item = CallerKey>) -> Standings<I> {
        let unsorted = callers.collect();
        Standings { index, groups: BTreeMap::new(), places: HashMap::new(), unsorted }
    }

    pub(super) fn is_by(&self, index: &I) -> bool {
        self.index == *index
    }

    pub(super) fn add(&mut self, caller: CallerKey) {
        self.unsorted.push(caller);
    }

    pub(super) fn remove(&mut self, caller: CallerKey) {
        let Some(standing) = self.places.remove(&caller) else { return };
        let Some(group) = self.groups.get_mut(&standing) else { return };
        if let Some(place) = group.iter().position(|own| *own == caller) {
            group.swap_remove(place);
        }
        if group.is_empty() {
            self.groups.remove(&standing);
        }
    }

    /// Sorts who came since the last time; none stands for who has gone.
    pub(super) fn sort(&mut self, standing: impl Fn(CallerKey) -> Option<Standing>) {
        for caller in std::mem::take(&mut self.unsorted) {
            if self.places.contains_key(&caller) {
                continue;
            }
            if let Some(standing) = standing(caller) {
                self.groups.entry(standing.clone()).or_default().push(caller);
                self.places.insert(caller, standing);
            }
        }
    }

    /// All groups, or those found by one of the values and those that are always asked.
    pub(super) fn groups<'s>(&'s self, values: Option<&[&str]>) -> Vec<&'s [CallerKey]> {
        let Some(values) = values else { return self.groups.values().map(Vec::as_slice).collect() };
        let of = |find: Option<Arc<str>>| {
            let from = Standing { find: find.clone(), group: "".into() };
            self.groups.range(from..).take_while(move |(standing, _)| standing.find == find)
        };
        let finds = std::iter::once(None).chain(values.iter().map(|value| Some(Arc::from(*value))));
        finds.flat_map(of).map(|(_, group)| group.as_slice()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(find: Option<&str>, group: &str) -> Standing {
        Standing { find: find.map(Arc::from), group: group.into() }
    }

    #[test]
    fn callers_are_found_by_their_value_and_those_without_one_always() {
        let callers: Vec<_> = (0..9).map(CallerKey::of).collect();
        let of = |caller: CallerKey| match callers.iter().position(|own| *own == caller)? {
            place @ (0..=1) => Some(standing(None, if place == 0 { "a" } else { "b" })),
            place @ (2..=6) => Some(standing(Some(["x", "y"][place % 2]), ["", "g"][place / 4])),
            7 => Some(standing(Some("xx"), "")),
            _ => None,
        };
        let mut standings = Standings::new("index", callers.iter().copied());
        standings.sort(of);
        let found = |standings: &Standings<&str>, values: Option<&[&str]>| {
            let mut groups: Vec<Vec<usize>> = standings
                .groups(values)
                .into_iter()
                .map(|group| group.iter().map(|c| callers.iter().position(|own| own == c).unwrap()).collect())
                .collect();
            groups.iter_mut().for_each(|group| group.sort_unstable());
            groups
        };
        assert_eq!(found(&standings, Some(&[])), [vec![0], vec![1]]);
        assert_eq!(found(&standings, Some(&["x"])), [vec![0], vec![1], vec![2], vec![4, 6]]);
        assert_eq!(found(&standings, Some(&["y", "z"])), [vec![0], vec![1], vec![3], vec![5]]);
        assert_eq!(found(&standings, None).concat().len(), 8);

        standings.remove(callers[4]);
        standings.remove(callers[0]);
        standings.remove(callers[8]);
        assert_eq!(found(&standings, Some(&["x"])), [vec![1], vec![2], vec![6]]);
        standings.add(callers[4]);
        standings.add(callers[4]);
        standings.sort(|_| Some(standing(None, "b")));
        assert_eq!(found(&standings, Some(&["x"])), [vec![1, 4], vec![2], vec![6]]);
    }
}
