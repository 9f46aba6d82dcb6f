//! How often a client may ask: the rules of the settings, and the counters behind them (operations.md §8).
//!
//! A window begins with a client's first request and lasts as long as its rule says; what is over is refused until it
//! ends. Counters live in memory and begin anew when settings are saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::settings::{RateLimitRule, Settings};

/// Windows that are kept. Where more clients come, finished windows are dropped; if none is, newcomers are not counted.
const MAX_WINDOWS: usize = 100_000;

/// The counters of all clients.
#[derive(Default)]
pub struct RateLimiter {
    windows: DashMap<String, Window>,
    /// The settings for which they count, by address.
    settings: AtomicUsize,
}

struct Window {
    ends: Instant,
    left: i64,
}

/// Where a request goes, as rules name it.
pub struct Place<'a> {
    /// What is counted together: requests to one place share their window.
    pub key: &'a str,
    /// `NAME:tag` and `*:tag` for the routes of collections, then `METHOD /path` and `/path`; the first that has a rule
    /// counts.
    pub labels: &'a [String],
}

impl RateLimiter {
    /// Counts a request; false if it is one too many. Whether somebody is exempt is for the caller to know.
    pub fn admits(&self, settings: &Arc<Settings>, place: &Place<'_>, is_guest: bool, client: &str) -> bool {
        let Some(rule) = find_rule(&settings.rate_limits.rules, place.labels, is_guest) else { return true };
        let address = Arc::as_ptr(settings) as usize;
        if self.settings.swap(address, Ordering::Relaxed) != address {
            self.windows.clear();
        }
        let key = format!("{}{}", place.key, rule.audience);
        let seconds = u64::try_from(rule.duration).unwrap_or_default();
        client.is_empty() || self.take(&key, client, rule.max_requests, Duration::from_secs(seconds))
    }

    /// Takes one of `max` turns that a client has at a place within `window`; false if none is left.
    pub fn take(&self, place: &str, client: &str, max: i64, window: Duration) -> bool {
        self.take_at(Instant::now(), place, client, max, window)
    }

    fn take_at(&self, now: Instant, place: &str, client: &str, max: i64, window: Duration) -> bool {
        let key = format!("{place} {client}");
        if self.windows.len() >= MAX_WINDOWS && !self.windows.contains_key(&key) {
            self.windows.retain(|_, window| window.ends > now);
            if self.windows.len() >= MAX_WINDOWS {
                return true;
            }
        }
        let mut entry = self.windows.entry(key).or_insert(Window { ends: now, left: 0 });
        if entry.ends <= now {
            *entry = Window { ends: now + window, left: max };
        }
        entry.left -= 1;
        entry.left >= 0
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
        let limiter = RateLimiter::default();
        let start = Instant::now();
        let take = |millis: u64, place: &str, client: &str| {
            limiter.take_at(start + Duration::from_millis(millis), place, client, 2, Duration::from_secs(3))
        };
        assert!(take(0, "a", "1") && take(2000, "a", "1"));
        assert!(!take(2001, "a", "1") && !take(2999, "a", "1"));
        assert!(take(2999, "a", "2") && take(2999, "b", "1"));
        assert!(take(3000, "a", "1") && take(5999, "a", "1") && !take(5999, "a", "1"));
    }
}
