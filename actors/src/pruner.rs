//! The Pruner: keeps the change log within its bounds, without holding up the Writer.
//!
//! A thread with a read-only connection of its own counts what is in the log and finds what has to go. The Writer is
//! only asked to delete a range of numbers: small ones, with pauses in between, each a job among others.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::change_log::{self, LogLimits};
use crate::{Epoch, Seq, WriterHandle};

/// Stops the thread when dropped. The Writer must have stopped before.
pub struct Pruner {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pruner {
    /// How often the log is looked at. What is written meanwhile is beyond the bound for so long.
    const INTERVAL: Duration = Duration::from_secs(1);
    /// The pause between two jobs: with them 25,000 changes a second go, which is more than can come.
    const PAUSE: Duration = Duration::from_millis(20);
    /// Changes of one job, which then takes about half a millisecond of the Writer's time.
    const CHUNK_ROWS: usize = 500;
    /// Bytes of one job: the pages of long texts are freed one by one.
    const CHUNK_BYTES: u64 = 1 << 20;
    /// Changes that are counted at once: no snapshot is held for long, so that checkpoints can go on.
    const MEASURED_ROWS: usize = 20_000;

    /// What its connection may keep of the database: half a megabyte, as SQLite counts it.
    const CACHE: i64 = -512;

    /// Starts the thread. `limits` is asked again and again.
    pub fn start(
        conn: Connection,
        writer: WriterHandle,
        limits: impl Fn() -> LogLimits + Send + 'static,
    ) -> std::io::Result<Pruner> {
        // It goes over the whole log when it starts, and keeps nothing of it.
        if let Err(error) = conn.pragma_update(None, "cache_size", Self::CACHE) {
            log::warn!("pruner: its cache keeps its size: {error}");
        }
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("pruner".into()).spawn(move || {
            let mut log = Log { epoch: writer.position().epoch, through: Seq::ZERO, bytes: 0 };
            let mut pause = Self::PAUSE;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = match log.prune(&conn, &writer, limits()) {
                    Ok(true) => Self::PAUSE,
                    Ok(false) => Self::INTERVAL,
                    Err(error) => {
                        log::warn!("pruner: the change log was not pruned: {error}");
                        Self::INTERVAL
                    }
                };
            }
        })?;
        Ok(Pruner { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Pruner {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is known of the log.
struct Log {
    /// Where it is another one, the log may be another one too.
    epoch: Epoch,
    /// Counted up to here.
    through: Seq,
    /// Of the changes up to there.
    bytes: u64,
}

impl Log {
    /// One step: counts what came, or has some of what is beyond the limits deleted. True if there may be more to do.
    fn prune(&mut self, conn: &Connection, writer: &WriterHandle, limits: LogLimits) -> rusqlite::Result<bool> {
        let epoch = writer.position().epoch;
        if epoch != self.epoch {
            *self = Log { epoch, through: Seq::ZERO, bytes: 0 };
        }
        let before = self.through;
        let (through, bytes) = change_log::measure(conn, before, Pruner::MEASURED_ROWS)?;
        self.through = through;
        self.bytes += bytes;
        if through.0 >= before.0 + Pruner::MEASURED_ROWS as u64 {
            return Ok(true);
        }
        let Some(cut) = change_log::plan(conn, limits, self.bytes, Pruner::CHUNK_ROWS, Pruner::CHUNK_BYTES)? else {
            return Ok(false);
        };
        match writer.prune(cut.through).blocking_recv() {
            Ok(Ok(_)) => {
                self.bytes = self.bytes.saturating_sub(cut.bytes);
                Ok(true)
            }
            Ok(Err(error)) => {
                log::warn!("pruner: the change log was not pruned: {error}");
                Ok(false)
            }
            // The Writer has stopped.
            Err(_) => Ok(false),
        }
    }
}
