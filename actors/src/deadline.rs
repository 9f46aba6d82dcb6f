//! A time limit on what a connection runs, kept by SQLite's progress handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rusqlite::Connection;

/// The moment at which the running statement is interrupted, watched by SQLite's progress handler. 0 means none.
pub(crate) struct Deadline {
    origin: Instant,
    micros: AtomicU64,
}

impl Deadline {
    /// Virtual machine instructions between two looks at the clock: well below a millisecond.
    const STEPS: i32 = 20_000;

    pub(crate) fn install(conn: &Connection) -> rusqlite::Result<Arc<Deadline>> {
        Deadline::install_beside(conn, || {})
    }

    /// As [`Deadline::install`]; `look` is called whenever the clock is looked at.
    pub(crate) fn install_beside(conn: &Connection, look: impl Fn() + Send + 'static) -> rusqlite::Result<Arc<Deadline>> {
        let deadline = Arc::new(Deadline { origin: Instant::now(), micros: AtomicU64::new(0) });
        let seen = deadline.clone();
        let handler = move || {
            look();
            seen.passed()
        };
        conn.progress_handler(Self::STEPS, Some(handler))?;
        Ok(deadline)
    }

    pub(crate) fn set(&self, at: Option<Instant>) {
        let micros = at.map_or(0, |at| at.saturating_duration_since(self.origin).as_micros() as u64);
        self.micros.store(micros, Ordering::Relaxed);
    }

    fn passed(&self) -> bool {
        let micros = self.micros.load(Ordering::Relaxed);
        micros != 0 && self.origin.elapsed().as_micros() as u64 > micros
    }
}
