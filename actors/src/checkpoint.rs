//! The Checkpointer: moves the write-ahead log back into the database file, off the Writer's thread.
//!
//! Left to SQLite, a checkpoint runs inside an unlucky COMMIT and is the tail of write latency (15 to 138 ms measured).
//! Here a thread with a connection of its own copies most of the log while the Writer goes on; then the Writer itself
//! copies the little that came meanwhile, between two transactions, so that the log can start anew at its beginning
//! and does not grow under constant load.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::WriterHandle;

/// Stops the thread when dropped, after it has moved back all that is left. The Writer must have stopped before.
pub struct Checkpointer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// How often the size of the log is looked at.
    const INTERVAL: Duration = Duration::from_millis(200);
    /// Below this size the log is left alone: 2,000 pages of 4 KiB.
    const THRESHOLD: u64 = 8 << 20;
    /// Fewer frames than this in the log are not worth the Writer's time.
    const THRESHOLD_FRAMES: i64 = 1_000;

    /// Starts the thread on the database at `path`.
    pub fn start(path: &Path, conn: Connection, writer: WriterHandle) -> std::io::Result<Checkpointer> {
        let (stop, stopped) = channel();
        let log = log_path(path);
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            while stopped.recv_timeout(Self::INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if std::fs::metadata(&log).map_or(0, |file| file.len()) < Self::THRESHOLD {
                    continue;
                }
                match checkpoint(&conn) {
                    // The file keeps its length when the log starts anew, so its content decides.
                    Ok(frames) if frames < Self::THRESHOLD_FRAMES => {}
                    Ok(_) => writer.checkpoint(),
                    Err(error) => log::warn!("checkpoint: {error}"),
                }
            }
            // Whoever opens or copies the file next finds all of it in one place.
            if let Err(error) = empty_log(&conn) {
                log::warn!("checkpoint: the write-ahead log could not be emptied: {error}");
            }
        })?;
        Ok(Checkpointer { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Copies what can be copied without waiting for anyone. Returns the frames that the log holds.
pub(crate) fn checkpoint(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
}

/// Copies everything and empties the log; waits a moment for readers that still use it.
fn empty_log(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::from_secs(1))?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
