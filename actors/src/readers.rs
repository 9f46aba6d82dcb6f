//! The Readers: a fixed set of threads, each an actor with a read-only connection from the pool.
//!
//! Two of them on two cores were measured to beat a larger blocking pool by 2× on throughput and 5× on p99: a slow query
//! holds one of them, never a worker's HTTP or realtime clients. A query that passes its time limit is interrupted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, oneshot};

use crate::deadline::Deadline;

/// The bounds of the Readers.
#[derive(Clone, Copy, Debug)]
pub struct ReaderLimits {
    /// Threads, each with a connection: as many as there are cores, but from 2 to 8.
    pub threads: usize,
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
            queue: 4096,
            wait: Duration::from_secs(10),
            time: Duration::from_secs(30),
        }
    }
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
    addr: Addr<Reader>,
    slots: Arc<Semaphore>,
    limits: ReaderLimits,
    pool: r2d2::Pool<SqliteConnectionManager>,
    counters: Arc<Counters>,
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
    ) -> Result<Readers, r2d2::Error> {
        let manager = SqliteConnectionManager::file(path)
            .with_flags(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI)
            .with_init(move |conn| {
                conn.set_prepared_statement_cache_capacity(256);
                prepare(conn)
            });
        // Each thread keeps its connection: a checkout per read was measured at 15 us. A few more serve work that is
        // long by nature and may not hold a reader (backups, exports), through `connection`.
        let pool = r2d2::Pool::builder()
            .max_size(limits.threads as u32 + 4)
            .min_idle(Some(limits.threads as u32))
            .test_on_check_out(false)
            .build(manager)?;
        let reader_pool = pool.clone();
        let counters = Arc::new(Counters::default());
        let reader_counters = counters.clone();
        let addr = SyncArbiter::start(limits.threads, move || Reader {
            pool: reader_pool.clone(),
            conn: None,
            counters: reader_counters.clone(),
        });
        Ok(Readers { addr, slots: Arc::new(Semaphore::new(limits.queue)), limits, pool, counters })
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
        self.addr.do_send(Read {
            time,
            run: Box::new(move |conn| {
                // A caller that went away while the read waited needs no answer.
                if !reply.is_closed() {
                    let _ = reply.send(job(conn));
                }
                drop(slot);
            }),
        });
        answer.await.map_err(|_| ReadError::Panicked)
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

struct Reader {
    pool: r2d2::Pool<SqliteConnectionManager>,
    conn: Option<Held>,
    counters: Arc<Counters>,
}

/// A connection that stays with its thread, and the deadline that its progress handler watches.
struct Held {
    conn: r2d2::PooledConnection<SqliteConnectionManager>,
    deadline: Arc<Deadline>,
}

impl Actor for Reader {
    type Context = SyncContext<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Read {
    time: Duration,
    run: Box<dyn FnOnce(&Connection) + Send>,
}

impl Handler<Read> for Reader {
    type Result = ();

    fn handle(&mut self, read: Read, _: &mut SyncContext<Self>) {
        if self.conn.is_none() {
            self.conn = Held::checkout(&self.pool);
        }
        let Some(held) = &self.conn else { return };
        let started = Instant::now();
        held.deadline.set(Instant::now().checked_add(read.time));
        if catch_unwind(AssertUnwindSafe(|| (read.run)(&held.conn))).is_err() {
            log::error!("readers: a read panicked");
        }
        held.deadline.set(None);
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        self.counters.micros.fetch_add(started.elapsed().as_micros() as u64, Ordering::Relaxed);
    }
}

impl Held {
    fn checkout(pool: &r2d2::Pool<SqliteConnectionManager>) -> Option<Held> {
        let opened = pool.get().map_err(|e| e.to_string()).and_then(|conn| {
            let deadline = Deadline::install(&conn).map_err(|e| e.to_string())?;
            Ok(Held { conn, deadline })
        });
        opened.inspect_err(|error| log::error!("readers: no connection: {error}")).ok()
    }
}
