//! Passwords: hashing and checking them, on a few threads of their own.
//!
//! A hash takes a tenth of a second of a core on purpose. It never runs on a worker's thread or the Writer's; more than a
//! bounded number may not wait for one. Hashes of both schemes verify at any time; the [`Policy`] decides how new ones
//! are made.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{Semaphore, oneshot};

/// Passwords that may wait or be worked on; further callers wait outside.
const QUEUE: usize = 256;
/// How long a caller waits for a place in the queue.
const WAIT: Duration = Duration::from_secs(10);
/// bcrypt looks at no more than these bytes, so more are not accepted for a new hash.
const BCRYPT_MAX_BYTES: usize = 72;
/// The cost of bcrypt where the field does not say.
pub const DEFAULT_COST: u32 = 10;

/// How new hashes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The reference can read them: for directories that it created.
    Bcrypt,
    /// Ours, for directories that we created. The reference refuses these logins.
    Argon2id,
}

/// The row of `_hw_state` that sets the policy, as `bcrypt` or `argon2id`.
const POLICY_KEY: &str = "passwordHash";
/// The row of `_hw_state` that says who created the directory.
const CREATOR_KEY: &str = "creator";

impl Policy {
    pub fn parse(text: &str) -> Option<Policy> {
        match text {
            "bcrypt" => Some(Policy::Bcrypt),
            "argon2id" => Some(Policy::Argon2id),
            _ => None,
        }
    }

    /// Its name, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Policy::Bcrypt => "bcrypt",
            Policy::Argon2id => "argon2id",
        }
    }

    /// Sets the policy of a data directory. Inside a job of the Writer.
    pub fn store(self, conn: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT INTO \"_hw_state\" (\"key\", \"value\") VALUES (?1, ?2)
                   ON CONFLICT (\"key\") DO UPDATE SET \"value\" = excluded.\"value\"";
        conn.execute(sql, [POLICY_KEY, self.as_str()]).map(drop)
    }

    /// The policy of a data directory: as it was set, or by who created it.
    pub fn load(conn: &Connection) -> rusqlite::Result<Policy> {
        let state = |key: &str| -> rusqlite::Result<Option<String>> {
            conn.query_row("SELECT \"value\" FROM \"_hw_state\" WHERE \"key\" = ?1", [key], |row| row.get(0)).optional()
        };
        if let Some(policy) = state(POLICY_KEY)?.as_deref().and_then(Policy::parse) {
            return Ok(policy);
        }
        let own = state(CREATOR_KEY)?.is_some_and(|creator| creator.starts_with("headwater"));
        Ok(if own { Policy::Argon2id } else { Policy::Bcrypt })
    }
}

/// Why there is no hash.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// More bytes than bcrypt looks at.
    #[error("the password is longer than {BCRYPT_MAX_BYTES} bytes")]
    TooLong,
    #[error("too many passwords are waiting; try again")]
    Overloaded,
    #[error("hashing failed: {0}")]
    Failed(String),
}

/// The way to the hashing threads.
pub struct Hasher {
    jobs: Sender<Job>,
    slots: Arc<Semaphore>,
    policy: AtomicU8,
}

type Job = Box<dyn FnOnce() + Send>;

impl Hasher {
    /// Starts one thread per core.
    pub fn start(policy: Policy) -> std::io::Result<Hasher> {
        let (jobs, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..thread::available_parallelism().map_or(2, usize::from) {
            let waiting = waiting.clone();
            thread::Builder::new().name(format!("hasher-{number}")).spawn(move || work(&waiting))?;
        }
        Ok(Hasher { jobs, slots: Arc::new(Semaphore::new(QUEUE)), policy: AtomicU8::new(policy as u8) })
    }

    pub fn policy(&self) -> Policy {
        if self.policy.load(Ordering::Relaxed) == Policy::Argon2id as u8 { Policy::Argon2id } else { Policy::Bcrypt }
    }

    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(policy as u8, Ordering::Relaxed);
    }

    /// A new hash by the policy. `cost` is bcrypt's, 0 for the usual one.
    pub async fn hash(&self, plain: &str, cost: u32) -> Result<String, HashError> {
        let (plain, policy) = (plain.to_owned(), self.policy());
        self.run(move || match policy {
            Policy::Bcrypt => bcrypt_hash(&plain, cost),
            Policy::Argon2id => argon2_hash(&plain),
        })
        .await?
    }

    /// A new bcrypt hash, whatever the policy: for codes that live for minutes.
    pub async fn hash_briefly(&self, plain: &str, cost: u32) -> Result<String, HashError> {
        let plain = plain.to_owned();
        self.run(move || bcrypt_hash(&plain, cost)).await?
    }

    /// True if the hash, of either scheme, is this password's. An empty or unknown hash is nobody's.
    pub async fn verify(&self, plain: &str, hash: &str) -> Result<bool, HashError> {
        if Scheme::of(hash).is_none() {
            return Ok(false);
        }
        let (plain, hash) = (plain.to_owned(), hash.to_owned());
        self.run(move || matches(&plain, &hash)).await
    }

    /// Takes as long as [`Hasher::verify`], for logins of those who do not exist.
    pub async fn pretend(&self, plain: &str, cost: u32) -> Result<(), HashError> {
        // A text that is too long for a hash would be verified by its beginning.
        let plain = plain.chars().take(BCRYPT_MAX_BYTES / 4).collect::<String>();
        self.hash(&plain, cost).await.map(drop)
    }

    /// True if the hash is not what the policy would make of the password today.
    pub fn outdated(&self, hash: &str) -> bool {
        match Scheme::of(hash) {
            Some(Scheme::Bcrypt) => self.policy() != Policy::Bcrypt,
            Some(Scheme::Argon2) => self.policy() != Policy::Argon2id,
            None => false,
        }
    }

    /// From here on every password is one too many.
    #[cfg(test)]
    pub(crate) fn refuse(&self) {
        self.slots.close();
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, HashError> {
        let slot = tokio::time::timeout(WAIT, self.slots.clone().acquire_owned())
            .await
            .map_err(|_| HashError::Overloaded)?
            .map_err(|_| HashError::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        let job = move || {
            // Who went away meanwhile needs no answer.
            if !reply.is_closed() {
                let _ = reply.send(work());
            }
            drop(slot);
        };
        self.jobs.send(Box::new(job)).map_err(|_| HashError::Failed("the threads are gone".into()))?;
        answer.await.map_err(|_| HashError::Failed("the thread panicked".into()))
    }
}

/// Ends when the [`Hasher`] is dropped.
fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            log::error!("hasher: a job panicked");
        }
    }
}

#[derive(PartialEq)]
enum Scheme {
    Bcrypt,
    Argon2,
}

impl Scheme {
    fn of(hash: &str) -> Option<Scheme> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
            Some(Scheme::Bcrypt)
        } else if hash.starts_with("$argon2") {
            Some(Scheme::Argon2)
        } else {
            None
        }
    }
}

/// True if a stored password field holds a hash of a scheme that we know, rather than a plain text.
pub fn is_hash(text: &str) -> bool {
    Scheme::of(text).is_some()
}

fn matches(plain: &str, hash: &str) -> bool {
    match Scheme::of(hash) {
        Some(Scheme::Bcrypt) => bcrypt::verify(plain, hash).unwrap_or(false),
        Some(Scheme::Argon2) => {
            PasswordHash::new(hash).is_ok_and(|hash| argon2().verify_password(plain.as_bytes(), &hash).is_ok())
        }
        None => false,
    }
}

fn bcrypt_hash(plain: &str, cost: u32) -> Result<String, HashError> {
    if plain.len() > BCRYPT_MAX_BYTES {
        return Err(HashError::TooLong);
    }
    let cost = if cost == 0 { DEFAULT_COST } else { cost };
    let parts = bcrypt::hash_with_result(plain, cost).map_err(|error| HashError::Failed(error.to_string()))?;
    Ok(parts.format_for_version(bcrypt::Version::TwoA))
}

fn argon2_hash(plain: &str) -> Result<String, HashError> {
    let hash = argon2().hash_password(plain.as_bytes()).map_err(|error| HashError::Failed(error.to_string()))?;
    Ok(hash.to_string())
}

/// 19 MiB, two passes, one lane: the library's and OWASP's choice, named here so that an update cannot change it.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    // "1234567890" as the reference stored it.
    const STORED: &str = "$2a$04$";

    fn hasher(policy: Policy) -> Hasher {
        Hasher::start(policy).unwrap()
    }

    #[actix_web::test]
    async fn bcrypt_hashes_are_written_as_the_reference_does_and_read_in_every_spelling() {
        let hasher = hasher(Policy::Bcrypt);
        let hash = hasher.hash("1234567890", 4).await.unwrap();
        assert!(hash.starts_with(STORED) && hash.len() == 60, "{hash}");
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let hash = format!("{prefix}{}", &hash[4..]);
            assert!(hasher.verify("1234567890", &hash).await.unwrap(), "{hash}");
            assert!(!hasher.verify("1234567891", &hash).await.unwrap());
        }
        assert!(hasher.hash("x", 0).await.unwrap().starts_with("$2a$10$"));
    }

    #[actix_web::test]
    async fn bcrypt_takes_72_bytes_and_ignores_more_when_verifying() {
        let hasher = hasher(Policy::Bcrypt);
        let longest = "é".repeat(36);
        let hash = hasher.hash(&longest, 4).await.unwrap();
        assert!(hasher.verify(&format!("{longest}more"), &hash).await.unwrap());
        assert!(!hasher.verify(&"é".repeat(35), &hash).await.unwrap());
        assert_eq!(hasher.hash(&"é".repeat(37), 4).await, Err(HashError::TooLong));
    }

    #[actix_web::test]
    async fn argon2id_by_policy_and_both_schemes_verify_under_either() {
        let hasher = hasher(Policy::Argon2id);
        let new = hasher.hash("1234567890", 4).await.unwrap();
        assert!(new.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{new}");
        let old = hasher.hash_briefly("1234567890", 4).await.unwrap();
        assert!(hasher.verify("1234567890", &old).await.unwrap() && hasher.outdated(&old) && !hasher.outdated(&new));
        hasher.set_policy(Policy::Bcrypt);
        assert!(hasher.verify("1234567890", &new).await.unwrap() && hasher.outdated(&new) && !hasher.outdated(&old));
        assert!(!hasher.verify("wrong", &new).await.unwrap());
    }

    #[actix_web::test]
    async fn what_is_no_hash_is_nobodys() {
        let hasher = hasher(Policy::Bcrypt);
        for hash in ["", "1234567890", "$2a$", "$2a$10$short", "$argon2id$", "$5$x", "$2x$10$"] {
            assert!(!hasher.verify("", hash).await.unwrap(), "{hash}");
            assert!(!hasher.verify(hash, hash).await.unwrap(), "{hash}");
        }
        assert!(hasher.pretend(&"x".repeat(255), 4).await.is_ok());
    }

    #[test]
    fn the_policy_of_a_directory() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE _hw_state (key TEXT PRIMARY KEY, value TEXT)").unwrap();
        assert_eq!(Policy::load(&conn).unwrap(), Policy::Bcrypt);
        conn.execute_batch("INSERT INTO _hw_state VALUES ('creator', 'headwater 0.1.0')").unwrap();
        assert_eq!(Policy::load(&conn).unwrap(), Policy::Argon2id);
        for policy in [Policy::Bcrypt, Policy::Argon2id, Policy::Bcrypt] {
            policy.store(&conn).unwrap();
            assert_eq!(Policy::load(&conn).unwrap(), policy);
        }
    }
}
