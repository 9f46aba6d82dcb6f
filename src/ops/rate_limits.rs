//! How often a client may ask: the rules of the settings, and the counters behind them (operations.md §8).
//!
//! A window begins with a client's first request and lasts as long as its rule says; what is over is refused until it
//! ends. Counters live in memory and begin anew when settings are saved.

use std::collections::HashMap;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::settings::{RateLimitRule, Settings};

/// Windows per generation.
const CAPACITY: usize = 50_000;

/// The counters of all clients.
#[derive(Default)]
pub struct RateLimiter(Mutex<Counters>);

#[derive(Default)]
struct Counters {
    /// The settings for which they count.
    settings: Weak<Settings>,
    windows: Windows,
}

/// Bounded by two generations: a window that is asked for is in the young one; when that is full it becomes the old one,
/// and the former old one is forgotten. So nothing has to be searched for what may go, newcomers are always counted, and
/// who goes on asking is not forgotten over them.
#[derive(Default)]
struct Windows {
    young: HashMap<Key, Window>,
    old: HashMap<Key, Window>,
}

/// A place, and who asks there.
type Key = (Box<str>, IpAddr);

#[derive(Clone, Copy)]
struct Window {
    ends: Instant,
    left: i64,
}

/// Where a request goes, as rules name it.
pub struct Place<'a> {
    /// The route, where requests to each are counted apart; otherwise all requests that a rule covers count together.
    pub route: Option<&'a str>,
    /// `NAME:tag` and `*:tag` for the routes of collections, then `METHOD /path` and `/path`; the first that has a rule
    /// counts.
    pub labels: &'a [String],
}

impl RateLimiter {
    /// Counts a request; false if it is one too many. Whether somebody is exempt is for the caller to know.
    pub fn admits(&self, settings: &Arc<Settings>, place: &Place<'_>, is_guest: bool, client: IpAddr) -> bool {
        let Some(rule) = find_rule(&settings.rate_limits.rules, place.labels, is_guest) else { return true };
        let key = format!("{}{}", place.route.unwrap_or(&rule.label), rule.audience);
        let seconds = u64::try_from(rule.duration).unwrap_or_default();
        let mut counters = self.counters();
        if counters.settings.as_ptr() != Arc::as_ptr(settings) {
            *counters = Counters { settings: Arc::downgrade(settings), windows: Windows::default() };
        }
        counters.windows.take(Instant::now(), &key, client, rule.max_requests, Duration::from_secs(seconds))
    }

    /// Takes one of `max` turns that a client has at a place within `window`; false if none is left.
    pub fn take(&self, place: &str, client: IpAddr, max: i64, window: Duration) -> bool {
        self.counters().windows.take(Instant::now(), place, client, max, window)
    }

    fn counters(&self) -> std::sync::MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In place of a window that no clock can tell the end of: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Windows {
    fn take(&mut self, now: Instant, place: &str, client: IpAddr, max: i64, length: Duration) -> bool {
        let window = self.find((place.into(), counted_as(client)), now);
        if window.ends <= now {
            let ends = now.checked_add(length).unwrap_or(now + LONGEST);
            *window = Window { ends, left: max };
        }
        window.left -= 1;
        window.left >= 0
    }

    fn find(&mut self, key: Key, now: Instant) -> &mut Window {
        let known = self.old.remove(&key);
        if self.young.len() >= CAPACITY && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.entry(key).or_insert(known.unwrap_or(Window { ends: now, left: 0 }))
    }
}

/// Whoever has one address of version 6 has the 2^64 of its network.
fn counted_as(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

/// The one rule for a request: by label in their order, an exact one before the prefix of a path.
fn find_rule<'a>(rules: &'a [RateLimitRule], labels: &[String], is_guest: bool) -> Option<&'a RateLimitRule> {
    let own = if is_guest { "@guest" } else { "@auth" };
    let concerns = |rule: &&RateLimitRule| rule.audience.is_empty() || rule.audience == own;
    labels.iter().find_map(|label| {
        let exact = rules.iter().filter(concerns).find(|rule| rule.label == *label);
        exact.or_else(|| {
            let is_prefix = |rule: &&RateLimitRule| {
                rule.label.strip_suffix('/').is_some_and(|prefix| {
                    label.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            };
            rules.iter().filter(concerns).find(is_prefix)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(label: &str, audience: &str) -> RateLimitRule {
        RateLimitRule { label: label.into(), audience: audience.into(), duration: 1, max_requests: 1 }
    }

    #[test]
    fn the_nearest_rule_counts() {
        let rules = [
            rule("/api/", ""),
            rule("*:create", "@auth"),
            rule("*:create", "@guest"),
            rule("posts:create", "@auth"),
            rule("POST /api/x", ""),
        ];
        let labels = |collection: &str, tag: &str, path: &str| {
            vec![format!("{collection}:{tag}"), format!("*:{tag}"), format!("POST {path}"), path.to_owned()]
        };
        let find = |labels: Vec<String>, is_guest| {
            find_rule(&rules, &labels, is_guest).map(|rule| format!("{}{}", rule.label, rule.audience))
        };
        let records = "/api/collections/posts/records";
        assert_eq!(find(labels("posts", "create", records), false).as_deref(), Some("posts:create@auth"));
        assert_eq!(find(labels("posts", "create", records), true).as_deref(), Some("*:create@guest"));
        assert_eq!(find(labels("posts", "list", records), true).as_deref(), Some("/api/"));
        assert_eq!(find(vec!["POST /api/x".into(), "/api/x".into()], true).as_deref(), Some("POST /api/x"));
        assert_eq!(find(vec!["GET /api".into(), "/api".into()], true).as_deref(), Some("/api/"));
        assert_eq!(find(vec!["GET /apis".into(), "/apis".into()], true), None);
    }

    #[test]
    fn a_window_begins_with_the_first_request_and_ends() {
        let mut windows = Windows::default();
        let start = Instant::now();
        let mut take = |millis: u64, place: &str, client: [u8; 4]| {
            windows.take(start + Duration::from_millis(millis), place, client.into(), 2, Duration::from_secs(3))
        };
        let (one, two) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        assert!(take(0, "a", one) && take(2000, "a", one));
        assert!(!take(2001, "a", one) && !take(2999, "a", one));
        assert!(take(2999, "a", two) && take(2999, "b", one));
        assert!(take(3000, "a", one) && take(5999, "a", one) && !take(5999, "a", one));
    }

    #[test]
    fn a_window_may_be_of_any_length() {
        let start = Instant::now();
        let later = start + LONGEST - Duration::from_secs(1);
        for length in [LONGEST, Duration::from_secs(i64::MAX as u64), Duration::MAX] {
            let mut windows = Windows::default();
            let mut take = |now| windows.take(now, "a", [10, 0, 0, 1].into(), 2, length);
            assert!(take(start) && take(later) && !take(later), "{length:?}");
        }
    }

    #[test]
    fn a_network_of_version_6_is_one_client() {
        let limiter = RateLimiter::default();
        let admits = |client: &str| limiter.take("a", client.parse().unwrap(), 1, Duration::from_secs(60));
        assert!(admits("2001:db8:0:1::1"));
        for same in ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff:ffff:ffff:ffff"] {
            assert!(!admits(same), "{same}");
        }
        assert!(admits("2001:db8:0:2::1"));
        // Addresses of version 4 in the form of version 6 are no network.
        assert!(admits("::ffff:10.0.0.1") && admits("::ffff:10.0.0.2"));
        assert!(!admits("10.0.0.1") && !admits("::ffff:10.0.0.2"));
    }

    #[test]
    fn however_many_come_each_is_counted_and_who_stays_is_not_forgotten() {
        let mut windows = Windows::default();
        let now = Instant::now();
        let mut take = |client: u32| {
            let client = std::net::Ipv4Addr::from_bits(client).into();
            windows.take(now, "a", client, 1, Duration::from_secs(60))
        };
        assert!(take(0));
        for client in 1..=3 * CAPACITY as u32 {
            assert!(take(client) && !take(client), "{client}");
            if client % 10_000 == 0 {
                assert!(!take(0), "after {client} others");
            }
        }
        assert!(windows.young.len() + windows.old.len() <= 2 * CAPACITY);
    }

    #[test]
    fn where_no_route_is_named_all_that_a_rule_covers_counts_together() {
        let mut settings = Settings::default();
        settings.rate_limits.rules = vec![RateLimitRule { duration: 60, ..rule("/api/", "") }];
        let (limiter, settings, client) = (RateLimiter::default(), Arc::new(settings), IpAddr::from([10, 0, 0, 1]));
        let admits = |route, path: &str| {
            let labels = [format!("GET {path}"), path.to_owned()];
            limiter.admits(&settings, &Place { route, labels: &labels }, true, client)
        };
        assert!(admits(None, "/api/a") && !admits(None, "/api/b"));
        assert!(admits(Some("a"), "/api/a") && admits(Some("b"), "/api/b") && !admits(Some("b"), "/api/c"));
    }
}
