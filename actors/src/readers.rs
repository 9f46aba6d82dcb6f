//! The Readers: a fixed set of threads with a read-only connection of the pool each, and one mailbox for all of them.
//!
//! Threads and a channel rather than actix's `SyncArbiter`, which passes every message through the thread that started it.
//! As many of them read at a time as there are cores: two on two cores were measured to beat a larger blocking pool by 2×
//! on throughput and 5× on p99. A query that turns out to be slow does not count among them any more, see [`lanes`], and
//! is interrupted when it passes its time limit.

mod lanes;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, oneshot};

use crate::deadline::Deadline;
use lanes::{Driver, Gate, Lanes};

/// Threads that may have a connection for [`Readers::at_once`].
const MAX_WORKERS: u32 = 64;

/// What such a connection may keep of the database: 8 MB, as SQLite counts it.
const OWN_CACHE: i64 = -8000;

/// The bounds of the Readers.
#[derive(Clone, Copy, Debug)]
pub struct ReaderLimits {
    /// Quick reads at a time: as many as there are cores, but from 2 to 8.
    pub threads: usize,
    /// Slow reads beside them, each on a further thread with a connection.
    pub slow: usize,
    /// Reads that may wait or run; further callers wait outside.
    pub queue: usize,
    /// How long a caller waits for a place before it is told [`ReadError::Overloaded`].
    pub wait: Duration,
    /// How long one read may run.
    pub time: Duration,
}

impl Default for ReaderLimits {
    fn default() -> ReaderLimits {
        ReaderLimits {
            threads: std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8),
            slow: 8,
            queue: 4096,
            wait: Duration::from_secs(10),
            time: Duration::from_secs(30),
        }
    }
}

/// Why the Readers did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Connections(#[from] r2d2::Error),
    #[error(transparent)]
    Thread(#[from] std::io::Error),
}

/// Why a read gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("too many reads are waiting; try again")]
    Overloaded,
    #[error("the read failed unexpectedly")]
    Panicked,
    #[error("the server is stopping")]
    Stopped,
}

/// The way to the Readers: cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Readers {
    mailbox: Sender<Read>,
    slots: Arc<Semaphore>,
    limits: ReaderLimits,
    pool: r2d2::Pool<SqliteConnectionManager>,
    counters: Arc<Counters>,
    /// After the mailbox: threads without a lane end when it is gone.
    _gate: Arc<Gate>,
}

#[derive(Default)]
struct Counters {
    reads: AtomicU64,
    micros: AtomicU64,
}

/// Since the Readers began.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReaderCounts {
    pub reads: u64,
    /// The time of all threads together.
    pub seconds: f64,
}

impl Readers {
    /// Opens the read-only connections of `path`, calling `prepare` on each (pragmas), and starts the threads.
    pub fn start(
        path: &Path,
        limits: ReaderLimits,
        prepare: impl Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    ) -> Result<Readers, StartError> {
        let manager = SqliteConnectionManager::file(path)
            .with_flags(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI)
            .with_init(move |conn| {
                conn.set_prepared_statement_cache_capacity(256);
                prepare(conn)
            });
        // Each thread keeps its connection: a checkout per read was measured at 15 us. A few more serve work that is
        // long by nature and may not hold a reader (backups, exports), through `connection`.
        let threads = limits.threads + limits.slow;
        let pool = r2d2::Pool::builder()
            .max_size(threads as u32 + 4 + MAX_WORKERS)
            .min_idle(Some(limits.threads as u32))
            .test_on_check_out(false)
            .build(manager)?;
        let counters = Arc::new(Counters::default());
        let lanes = Lanes::new(limits.threads);
        let gate = Arc::new(Gate(lanes.clone()));
        let (mailbox, reads) = crossbeam_channel::unbounded();
        for number in 0..threads {
            let (reads, pool, counters) = (reads.clone(), pool.clone(), counters.clone());
            let reader = Reader { reads, pool, conn: None, driver: Driver::new(lanes.clone()), counters };
            thread::Builder::new().name(format!("reader {number}")).spawn(move || reader.run())?;
        }
        let slots = Arc::new(Semaphore::new(limits.queue));
        Ok(Readers { mailbox, slots, limits, pool, counters, _gate: gate })
    }

    /// Runs `job` on a reader thread, within the default time limit.
    pub async fn run<T, F>(&self, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> T + Send + 'static,
    {
        self.run_within(self.limits.time, job).await
    }

    /// Runs `job` with a time limit of its own; a statement that passes it fails with `SQLITE_INTERRUPT`.
    pub async fn run_within<T, F>(&self, time: Duration, job: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> T + Send + 'static,
    {
        let slot = match self.slots.clone().try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => match tokio::time::timeout(self.limits.wait, self.slots.clone().acquire_owned()).await {
                Ok(Ok(slot)) => slot,
                Ok(Err(_)) => return Err(ReadError::Stopped),
                Err(_) => return Err(ReadError::Overloaded),
            },
        };
        let (reply, answer) = oneshot::channel();
        let run = Box::new(move |conn: &Connection| {
            // A caller that went away while the read waited needs no answer.
            if !reply.is_closed() {
                let _ = reply.send(job(conn));
            }
            drop(slot);
        });
        self.mailbox.send(Read { time, run }).map_err(|_| ReadError::Stopped)?;
        answer.await.map_err(|_| ReadError::Panicked)
    }

    /// Runs a job that is sure to be quick (a look-up of one row) here and now, on a connection of the calling thread's
    /// own. None if there is none to be had at once.
    pub fn at_once<T>(&self, job: impl FnOnce(&Connection) -> T) -> Option<T> {
        OWN.with_borrow_mut(|own| {
            if !own.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, &self.counters)) {
                let conn = self.pool.try_get()?;
                conn.pragma_update(None, "cache_size", OWN_CACHE).ok()?;
                *own = Some((self.counters.clone(), conn));
            }
            let (_, conn) = own.as_ref()?;
            let started = Instant::now();
            let result = job(conn);
            self.counters.count(started);
            Some(result)
        })
    }

    /// Reads waiting or running now.
    pub fn queued(&self) -> usize {
        self.limits.queue - self.slots.available_permits().min(self.limits.queue)
    }

    /// What the Readers have done since they began.
    pub fn counts(&self) -> ReaderCounts {
        let micros = self.counters.micros.load(Ordering::Relaxed);
        ReaderCounts { reads: self.counters.reads.load(Ordering::Relaxed), seconds: micros as f64 / 1e6 }
    }

    /// A connection outside the reader threads, for work that is long by nature.
    pub fn connection(&self) -> Result<r2d2::PooledConnection<SqliteConnectionManager>, r2d2::Error> {
        self.pool.get()
    }
}

/// A thread of its own, and its mailbox.
struct Reader {
    reads: Receiver<Read>,
    pool: r2d2::Pool<SqliteConnectionManager>,
    conn: Option<Held>,
    driver: Arc<Driver>,
    counters: Arc<Counters>,
}

/// A connection that stays with its thread, and the deadline that its progress handler watches.
struct Held {
    conn: r2d2::PooledConnection<SqliteConnectionManager>,
    deadline: Arc<Deadline>,
}

struct Read {
    time: Duration,
    run: Box<dyn FnOnce(&Connection) + Send>,
}

impl Reader {
    fn run(mut self) {
        self.driver.enter();
        while let Ok(read) = self.reads.recv() {
            self.read(read);
            self.driver.enter();
        }
    }

    fn read(&mut self, read: Read) {
        if self.conn.is_none() {
            self.conn = Held::checkout(&self.pool, &self.driver);
        }
        let Some(held) = &self.conn else { return };
        let started = Instant::now();
        self.driver.begin();
        held.deadline.set(started.checked_add(read.time));
        if catch_unwind(AssertUnwindSafe(|| (read.run)(&held.conn))).is_err() {
            log::error!("readers: a read panicked");
        }
        held.deadline.set(None);
        self.counters.count(started);
    }
}

impl Counters {
    fn count(&self, started: Instant) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(started.elapsed().as_micros() as u64, Ordering::Relaxed);
    }
}

thread_local! {
    /// The connection for [`Readers::at_once`], and whose it is.
    static OWN: RefCell<Option<(Arc<Counters>, r2d2::PooledConnection<SqliteConnectionManager>)>> =
        const { RefCell::new(None) };
}

impl Held {
    fn checkout(pool: &r2d2::Pool<SqliteConnectionManager>, driver: &Arc<Driver>) -> Option<Held> {
        let opened = pool.get().map_err(|e| e.to_string()).and_then(|conn| {
            let driver = driver.clone();
            let deadline = Deadline::install_beside(&conn, move || driver.look()).map_err(|e| e.to_string())?;
            Ok(Held { conn, deadline })
        });
        opened.inspect_err(|error| log::error!("readers: no connection: {error}")).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use rusqlite::functions::FunctionFlags;

    use super::*;
    use crate::deadline::is_overdue;
    use crate::testing::Place;

    #[actix::test]
    async fn slow_reads_leave_quick_ones_their_place() {
        let place = Place::new("readers");
        let conn = place.open();
        conn.execute_batch("CREATE TABLE t (v)").unwrap();
        let goes_on = Arc::new(AtomicBool::new(true));
        let asked = goes_on.clone();
        let limits = ReaderLimits { threads: 2, slow: 4, ..ReaderLimits::default() };
        let readers = Readers::start(&place.database(), limits, move |conn| {
            let asked = asked.clone();
            let flags = FunctionFlags::SQLITE_UTF8;
            conn.create_scalar_function("goes_on", 0, flags, move |_| Ok(asked.load(Ordering::Relaxed)))
        })
        .unwrap();
        let slow = |conn: &Connection| {
            let sql =
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE goes_on()) SELECT max(i) FROM n";
            conn.query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        let slow: Vec<_> = (0..5)
            .map(|_| {
                let readers = readers.clone();
                actix_rt::spawn(async move { readers.run(slow).await })
            })
            .collect();
        for _ in 0..20 {
            let quick = readers.run(|conn| conn.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)));
            assert_eq!(quick.await.unwrap().unwrap(), 0);
        }
        assert!(slow.iter().all(|read| !read.is_finished()));
        goes_on.store(false, Ordering::Relaxed);
        for read in slow {
            assert!(read.await.unwrap().unwrap().unwrap() > 1);
        }
        // Each has found its way back.
        for _ in 0..20 {
            assert!(readers.run(|_| ()).await.is_ok());
        }
    }

    #[actix::test]
    async fn a_function_can_ask_whether_its_time_is_over() {
        let place = Place::new("readers");
        place.open();
        let limits = ReaderLimits { threads: 1, slow: 0, ..ReaderLimits::default() };
        let readers = Readers::start(&place.database(), limits, |_| Ok(())).unwrap();
        let wait = |_: &Connection| while !is_overdue() {};
        assert!(readers.run_within(Duration::ZERO, wait).await.is_ok());
        assert!(!readers.run(|_| is_overdue()).await.unwrap());
        assert!(!is_overdue(), "nobody set a limit here");
    }

    #[actix::test]
    async fn a_connection_for_reads_at_once_keeps_less_in_memory() {
        let place = Place::new("readers");
        place.open();
        let limits = ReaderLimits { threads: 1, slow: 0, ..ReaderLimits::default() };
        let start = || {
            Readers::start(&place.database(), limits, |conn| conn.pragma_update(None, "cache_size", 4 * OWN_CACHE))
                .unwrap()
        };
        let cache =
            |conn: &Connection| conn.pragma_query_value(None, "cache_size", |row| row.get::<_, i64>(0)).unwrap();
        // This thread's connection to the one is none to the other.
        for readers in [start(), start()] {
            assert_eq!(readers.at_once(cache), Some(OWN_CACHE));
            assert_eq!(readers.run(cache).await.unwrap(), 4 * OWN_CACHE);
        }
    }
}
