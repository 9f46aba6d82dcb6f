//! Auth records and verified tokens in memory, so that telling who asks costs no query and no signature.
//!
//! What must always hold: once a write was answered, no request that comes after it sees an older version of the record.
//! So the Writer's commits take records out ([`AuthCache::forget`], called from `after_commit`), and a record that was
//! read before such a commit does not get in after it: each part of the cache counts what it forgot, and a reader's
//! record enters only if the count is what it was before the read.
//! Schema changes need no call: a cached record of an older version of its collection is not used.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use rusqlite::{Connection, OptionalExtension};

use super::tokens::Claims;
use crate::records::{Record, save};
use crate::schema::Collection;
use crate::schema::row_sql::quoted;

/// Records held at most: some 1 KB each.
const MAX_RECORDS: usize = 32_768;
/// Tokens held at most: some 800 bytes each.
const MAX_TOKENS: usize = 32_768;
/// Longer tokens are verified anew each time.
const MAX_TOKEN_LENGTH: usize = 1024;
/// Counters of forgotten records: enough that unrelated writes seldom meet.
const COUNTERS: usize = 256;

/// See the module's documentation.
pub struct AuthCache {
    /// By `COLLECTION_ID/RECORD_ID`.
    records: Bounded<Arc<Record>>,
    tokens: Bounded<Arc<VerifiedToken>>,
    forgotten: Vec<AtomicU64>,
    hasher: RandomState,
}

/// A token whose signature was checked once, with the key that it was checked with.
#[derive(Debug)]
pub struct VerifiedToken {
    pub claims: Claims,
    /// The record's place in the cache.
    pub place: Place,
    /// The record's `tokenKey` and the collection's secret at that time, one after the other.
    pub key: String,
}

impl VerifiedToken {
    /// True if the key of the token is still the record's.
    pub fn fits(&self, record: &Record) -> bool {
        let Some(options) = record.collection.auth() else { return false };
        let own = record.text("tokenKey");
        !own.is_empty() && self.key.strip_prefix(own) == Some(self.claims.kind.config(options).secret.as_str())
    }
}

/// Where a record stands in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Box<str>);

impl Place {
    pub fn new(collection_id: &str, record_id: &str) -> Place {
        Place(format!("{collection_id}/{record_id}").into())
    }

    pub fn is_in(&self, collection_id: &str) -> bool {
        self.0.strip_prefix(collection_id).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// A permission to put in what is about to be read; see [`AuthCache::before_read`].
pub struct ReadMark {
    place: Place,
    counter: usize,
    count: u64,
}

impl Default for AuthCache {
    fn default() -> Self {
        AuthCache::new()
    }
}

impl AuthCache {
    pub fn new() -> AuthCache {
        AuthCache {
            records: Bounded::new(MAX_RECORDS),
            tokens: Bounded::new(MAX_TOKENS),
            forgotten: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// A record, if it is here in this version of its collection.
    pub fn get(&self, place: &Place, collection: &Arc<Collection>) -> Option<Arc<Record>> {
        let record = self.records.get(&place.0)?;
        Arc::ptr_eq(&record.collection, collection).then_some(record)
    }

    /// To be called before a record is read that is to be put here.
    pub fn before_read(&self, place: Place) -> ReadMark {
        let counter = self.counter(&place);
        ReadMark { counter, count: self.forgotten[counter].load(Ordering::SeqCst), place }
    }

    /// Puts in what was read, unless the record was forgotten since.
    pub fn put(&self, mark: ReadMark, record: Arc<Record>) {
        let ReadMark { place, counter, count } = mark;
        self.records.insert_if(place.0, record, || self.forgotten[counter].load(Ordering::SeqCst) == count);
    }

    /// A record was changed or deleted. To be called after the commit, before it is answered.
    pub fn forget(&self, collection_id: &str, record_id: &str) {
        let place = Place::new(collection_id, record_id);
        // First the count: who checked it before holds the map's lock, and what he puts in is taken out below.
        self.forgotten[self.counter(&place)].fetch_add(1, Ordering::SeqCst);
        self.records.remove(&place.0);
    }

    /// All records of a collection may have changed.
    pub fn forget_collection(&self, collection_id: &str) {
        for counter in &self.forgotten {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        self.records.retain(|place| place.split_once('/').is_none_or(|(collection, _)| collection != collection_id));
    }

    /// Any record may have changed.
    pub fn forget_all(&self) {
        for counter in &self.forgotten {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        self.records.retain(|_| false);
    }

    pub fn token(&self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.tokens.get(token)
    }

    pub fn put_token(&self, token: &str, verified: Arc<VerifiedToken>) {
        if token.len() <= MAX_TOKEN_LENGTH {
            self.tokens.insert_if(token.into(), verified, || true);
        }
    }

    fn counter(&self, place: &Place) -> usize {
        self.hasher.hash_one(&place.0) as usize % COUNTERS
    }
}

/// A map that lets go of about half its entries when it is full: what is in use comes back by itself.
struct Bounded<V> {
    map: DashMap<Box<str>, V>,
    length: AtomicUsize,
    max: usize,
}

impl<V: Clone> Bounded<V> {
    fn new(max: usize) -> Bounded<V> {
        Bounded { map: DashMap::new(), length: AtomicUsize::new(0), max }
    }

    fn get(&self, key: &str) -> Option<V> {
        self.map.get(key).map(|entry| entry.value().clone())
    }

    /// `condition` is asked while the entry's part of the map is locked.
    fn insert_if(&self, key: Box<str>, value: V, condition: impl FnOnce() -> bool) {
        if self.length.load(Ordering::Relaxed) >= self.max {
            let mut odd = false;
            self.retain(|_| {
                odd = !odd;
                odd
            });
        }
        let entry = self.map.entry(key);
        if !condition() {
            return;
        }
        match entry {
            Entry::Occupied(mut entry) => {
                entry.insert(value);
            }
            Entry::Vacant(entry) => {
                entry.insert(value);
                self.length.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn remove(&self, key: &str) {
        if self.map.remove(key).is_some() {
            self.length.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn retain(&self, mut keep: impl FnMut(&str) -> bool) {
        self.map.retain(|key, _| {
            let kept = keep(key);
            if !kept {
                self.length.fetch_sub(1, Ordering::Relaxed);
            }
            kept
        });
    }
}

/// Reads the first record that meets a condition on `?1`. The condition is ours, never a client's.
pub(crate) fn load_where(
    conn: &Connection,
    collection: &Arc<Collection>,
    condition: &str,
    value: &str,
) -> rusqlite::Result<Option<Record>> {
    let columns = &collection.row_sql().columns;
    let sql = format!("SELECT {columns} FROM {} WHERE {condition} LIMIT 1", quoted(&collection.name));
    conn.prepare_cached(&sql)?.query_row([value], |row| save::read(row, collection)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tokens::tests::user;

    fn place() -> Place {
        Place::new("pbc_1", "u1")
    }

    #[test]
    fn a_record_is_kept_until_it_is_forgotten_or_its_collection_changes() {
        let cache = AuthCache::new();
        let record = Arc::new(user());
        cache.put(cache.before_read(place()), record.clone());
        assert!(cache.get(&place(), &record.collection).is_some());
        assert!(cache.get(&place(), &user().collection).is_none(), "another version of the collection");
        cache.forget("pbc_1", "u1");
        assert!(cache.get(&place(), &record.collection).is_none());
        cache.put(cache.before_read(place()), record.clone());
        cache.forget_collection("pbc_2");
        assert!(cache.get(&place(), &record.collection).is_some());
        cache.forget_collection("pbc_1");
        assert!(cache.get(&place(), &record.collection).is_none());
        let late = cache.before_read(place());
        cache.put(cache.before_read(place()), record.clone());
        cache.forget_all();
        cache.put(late, record.clone());
        assert!(cache.get(&place(), &record.collection).is_none());
    }

    #[test]
    fn what_was_read_before_a_commit_does_not_get_in_after_it() {
        let cache = AuthCache::new();
        let record = Arc::new(user());
        let mark = cache.before_read(place());
        cache.forget("pbc_1", "u1");
        cache.put(mark, record.clone());
        assert!(cache.get(&place(), &record.collection).is_none());
        let mark = cache.before_read(place());
        cache.forget_collection("pbc_1");
        cache.put(mark, record.clone());
        assert!(cache.get(&place(), &record.collection).is_none());
    }

    #[test]
    fn the_cache_stays_within_its_bound() {
        let bounded = Bounded::new(100);
        for number in 0..1000 {
            bounded.insert_if(number.to_string().into(), number, || true);
            assert!(bounded.map.len() <= 100);
            assert_eq!(bounded.map.len(), bounded.length.load(Ordering::Relaxed));
        }
        bounded.insert_if("999".into(), 0, || true);
        bounded.remove("999");
        bounded.remove("999");
        assert_eq!(bounded.map.len(), bounded.length.load(Ordering::Relaxed));
    }

    #[test]
    fn a_verified_token_fits_only_while_both_halves_of_its_key_stand() {
        let mut record = user();
        let token = super::super::tokens::issue_auth(&record).unwrap();
        let claims = Claims::unverified(&token).unwrap();
        let verified = VerifiedToken { claims, place: place(), key: "token-keyauth-secret".into() };
        assert!(verified.fits(&record));
        record.set("tokenKey", "token-keyauth".to_owned());
        assert!(!verified.fits(&record));
        record.set("tokenKey", String::new());
        assert!(!verified.fits(&record));
    }
}
