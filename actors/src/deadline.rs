//! A time limit on what a connection runs, kept by SQLite's progress handler.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rusqlite::Connection;

/// The moment at which the running statement is interrupted, watched by SQLite's progress handler.
pub(crate) struct Deadline {
    origin: Instant,
    /// 0 means none.
    micros: AtomicU64,
    look: Box<dyn Fn() + Send + Sync>,
}

thread_local! {
    /// The limit of what this thread runs.
    static CURRENT: RefCell<Option<Arc<Deadline>>> = const { RefCell::new(None) };
}

/// True if the statement that this thread runs has to end. SQLite looks at the clock between two rows and never within
/// one, so functions that may take long have to ask themselves.
pub fn is_overdue() -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(|deadline| deadline.is_over()))
}

impl Deadline {
    /// Virtual machine instructions between two looks at the clock: a few microseconds, but for those that read long
    /// texts.
    const STEPS: i32 = 2_000;

    pub(crate) fn install(conn: &Connection) -> rusqlite::Result<Arc<Deadline>> {
        Deadline::install_beside(conn, || {})
    }

    /// As [`Deadline::install`]; `look` is called whenever the clock is looked at.
    pub(crate) fn install_beside(
        conn: &Connection,
        look: impl Fn() + Send + Sync + 'static,
    ) -> rusqlite::Result<Arc<Deadline>> {
        let look = Box::new(look);
        let deadline = Arc::new(Deadline { origin: Instant::now(), micros: AtomicU64::new(0), look });
        let seen = deadline.clone();
        conn.progress_handler(Self::STEPS, Some(move || seen.is_over()))?;
        Ok(deadline)
    }

    /// To be called on the thread that runs the statements.
    pub(crate) fn set(self: &Arc<Self>, at: Option<Instant>) {
        let micros = at.map_or(0, |at| at.saturating_duration_since(self.origin).as_micros() as u64);
        self.micros.store(micros, Ordering::Relaxed);
        CURRENT.set(at.map(|_| self.clone()));
    }

    fn is_over(&self) -> bool {
        (self.look)();
        self.passed()
    }

    fn passed(&self) -> bool {
        let micros = self.micros.load(Ordering::Relaxed);
        micros != 0 && self.origin.elapsed().as_micros() as u64 > micros
    }
}
