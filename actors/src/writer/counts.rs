//! What the Writer has done, for those who watch over it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes of a transaction's time, in seconds.
pub const TIME_BOUNDS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];

/// Since the Writer began.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriterCounts {
    /// Transactions that were committed.
    pub commits: u64,
    /// Jobs in them.
    pub jobs: u64,
    /// Changes of records in them.
    pub changes: u64,
    /// Their time, from the beginning to when everybody was told.
    pub seconds: f64,
    /// How many took no longer than the bound, by [`TIME_BOUNDS`].
    pub within: [u64; TIME_BOUNDS.len()],
}

#[derive(Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    jobs: AtomicU64,
    changes: AtomicU64,
    micros: AtomicU64,
    classes: [AtomicU64; TIME_BOUNDS.len()],
}

impl Counters {
    pub(super) fn committed(&self, jobs: usize, changes: usize, time: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.jobs.fetch_add(jobs as u64, Ordering::Relaxed);
        self.changes.fetch_add(changes as u64, Ordering::Relaxed);
        self.micros.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
        if let Some(class) = TIME_BOUNDS.iter().position(|bound| time.as_secs_f64() <= *bound) {
            self.classes[class].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> WriterCounts {
        let mut sum = 0;
        let within = std::array::from_fn(|class| {
            sum += self.classes[class].load(Ordering::Relaxed);
            sum
        });
        WriterCounts {
            commits: self.commits.load(Ordering::Relaxed),
            jobs: self.jobs.load(Ordering::Relaxed),
            changes: self.changes.load(Ordering::Relaxed),
            seconds: self.micros.load(Ordering::Relaxed) as f64 / 1e6,
            within,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_in_every_class_that_they_fit() {
        let counters = Counters::default();
        for millis in [0, 3, 70, 2000] {
            counters.committed(2, 1, Duration::from_millis(millis));
        }
        let counts = counters.read();
        assert_eq!((counts.commits, counts.jobs, counts.changes), (4, 8, 4));
        assert_eq!(counts.within, [1, 1, 1, 2, 2, 2, 2, 3, 3]);
        assert!((counts.seconds - 2.073).abs() < 1e-9);
    }
}
