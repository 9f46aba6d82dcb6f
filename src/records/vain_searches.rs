//! Who searches in vain again and again (query-language.md §6).
//!
//! A list rule and the caller's filter run as one query, so how long it takes may tell something about records that the
//! rule hides. Whoever asks like that asks often and finds nothing: the HTTP layer then answers him at random times.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Searches in vain that one client may make on one collection within [`WINDOW`].
const FREE: u32 = 3;
const WINDOW: Duration = Duration::from_secs(3);
/// Clients that are remembered at a time: about a megabyte.
const MOST: usize = 8192;
/// A delayed answer comes up to this much later, in milliseconds.
const MOST_DELAY: u64 = 500;

/// The latest searches in vain, per client and collection.
#[derive(Default)]
pub struct VainSearches(Mutex<Windows>);

#[derive(Default)]
struct Windows {
    by_client: HashMap<(IpAddr, String), Window>,
    /// When those that are over were last dropped.
    swept: Option<Instant>,
}

struct Window {
    since: Instant,
    searches: u32,
}

impl VainSearches {
    /// Counts one that ended now. How long its answer is to wait, if it was one too many.
    pub fn delay(&self, client: IpAddr, collection_id: &str) -> Option<Duration> {
        let is_over = self.is_one_too_many(client, collection_id, Instant::now());
        is_over.then(|| Duration::from_millis(rand::random_range(0..MOST_DELAY)))
    }

    fn is_one_too_many(&self, client: IpAddr, collection_id: &str, now: Instant) -> bool {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (client, collection_id.to_owned());
        if windows.by_client.len() >= MOST && !windows.by_client.contains_key(&key) {
            // Sweeping looks at all of them: once per window is enough.
            if windows.swept.is_none_or(|swept| now.duration_since(swept) >= WINDOW) {
                windows.by_client.retain(|_, window| !window.is_over(now));
                windows.swept = Some(now);
            }
            // So many clients at once are one: a wait costs an honest one little.
            if windows.by_client.len() >= MOST {
                return true;
            }
        }
        let window = windows.by_client.entry(key).or_insert(Window { since: now, searches: 0 });
        if window.is_over(now) {
            *window = Window { since: now, searches: 0 };
        }
        window.searches = window.searches.saturating_add(1);
        window.searches > FREE
    }
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: usize) -> IpAddr {
        IpAddr::from((number as u32).to_be_bytes())
    }

    #[test]
    fn the_fourth_search_within_three_seconds_is_one_too_many() {
        let (searches, start) = (VainSearches::default(), Instant::now());
        let at = |millis| searches.is_one_too_many(client(1), "posts", start + Duration::from_millis(millis));
        assert_eq!([0, 10, 20, 30, 2999].map(at), [false, false, false, true, true]);
        assert_eq!([3000, 3001, 3002, 3003].map(at), [false, false, false, true]);
    }

    #[test]
    fn clients_and_collections_are_counted_apart() {
        let (searches, now) = (VainSearches::default(), Instant::now());
        for _ in 0..FREE {
            assert!(!searches.is_one_too_many(client(1), "posts", now));
        }
        assert!(searches.is_one_too_many(client(1), "posts", now));
        assert!(!searches.is_one_too_many(client(2), "posts", now));
        assert!(!searches.is_one_too_many(client(1), "users", now));
        assert!(searches.delay(client(1), "posts").is_some_and(|delay| delay < Duration::from_millis(MOST_DELAY)));
        assert_eq!(searches.delay(client(3), "posts"), None);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (searches, start) = (VainSearches::default(), Instant::now());
        for number in 0..MOST {
            assert!(!searches.is_one_too_many(client(number), "posts", start));
        }
        let len = || searches.0.lock().unwrap().by_client.len();
        assert!(searches.is_one_too_many(client(MOST), "posts", start));
        assert!(!searches.is_one_too_many(client(0), "posts", start));
        assert_eq!(len(), MOST);
        assert!(!searches.is_one_too_many(client(MOST), "posts", start + WINDOW));
        assert_eq!(len(), 1);
    }
}
