//! Lanes: how many reader threads take reads at a time.
//!
//! There are as many lanes as cores, and more threads than lanes. A thread keeps its lane from read to read; one whose
//! read turns out to be long leaves its lane to a thread that has none, and waits for another when it is done. So a slow
//! query never keeps quick ones from being served, and as long as all are quick no thread ever waits for a lane.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A read that takes longer leaves its lane.
const LONG: Duration = Duration::from_millis(50);

pub(super) struct Lanes {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: usize,
    closed: bool,
}

impl Lanes {
    pub(super) fn new(count: usize) -> Arc<Lanes> {
        Arc::new(Lanes { state: Mutex::new(State { free: count, closed: false }), changed: Condvar::new() })
    }

    /// Waits for a lane, or for the end.
    fn enter(&self) {
        let mut state = self.state();
        while state.free == 0 && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.free = state.free.saturating_sub(1);
    }

    fn leave(&self) {
        self.state().free += 1;
        self.changed.notify_one();
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the waiting for lanes when it is dropped.
pub(super) struct Gate(pub(super) Arc<Lanes>);

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// One thread, on its lane or without one.
pub(super) struct Driver {
    lanes: Arc<Lanes>,
    origin: Instant,
    /// When the present read began, in microseconds.
    began: AtomicU64,
    has_lane: AtomicBool,
}

impl Driver {
    pub(super) fn new(lanes: Arc<Lanes>) -> Arc<Driver> {
        let (began, has_lane) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Driver { lanes, origin: Instant::now(), began, has_lane })
    }

    /// Waits for a lane where the thread has none.
    pub(super) fn enter(&self) {
        if !self.has_lane.load(Ordering::Relaxed) {
            self.lanes.enter();
            self.has_lane.store(true, Ordering::Relaxed);
        }
    }

    /// A read begins.
    pub(super) fn begin(&self) {
        self.began.store(self.micros(), Ordering::Relaxed);
    }

    /// Leaves the lane if the read has become a long one. To be called on the thread itself, now and then.
    pub(super) fn look(&self) {
        let long = self.micros() - self.began.load(Ordering::Relaxed) > LONG.as_micros() as u64;
        if long && self.has_lane.swap(false, Ordering::Relaxed) {
            self.lanes.leave();
        }
    }

    fn micros(&self) -> u64 {
        self.origin.elapsed().as_micros() as u64
    }
}
