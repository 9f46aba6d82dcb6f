//! Latencies of one run, kept as they came (4 bytes each) and sorted once at the end: exact percentiles, no buckets.

use std::time::Duration;

#[derive(Default)]
pub(crate) struct Latencies {
    /// Whole microseconds; capped at 71 minutes, far beyond the bound of any run.
    micros: Vec<u32>,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latencies {
    pub(crate) fn push(&mut self, latency: Duration) {
        self.micros.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn len(&self) -> usize {
        self.micros.len()
    }

    pub(crate) fn percentiles(mut self) -> Percentiles {
        self.micros.sort_unstable();
        Percentiles { p50: self.rank(0.50), p99: self.rank(0.99), max: self.rank(1.0) }
    }

    /// The nearest-rank percentile: the smallest value that at least this share of all values does not exceed.
    fn rank(&self, share: f64) -> f64 {
        let rank = (share * self.micros.len() as f64).ceil() as usize;
        self.micros.get(rank.saturating_sub(1)).map_or(0.0, |&micros| f64::from(micros) / 1000.0)
    }
}

/// The middle value; of an even number of values the mean of the two in the middle. 0 for none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[length / 2],
        length => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        for millis in (1..=200).rev() {
            latencies.push(Duration::from_millis(millis));
        }
        assert_eq!(latencies.percentiles(), Percentiles { p50: 100.0, p99: 198.0, max: 200.0 });
    }

    #[test]
    fn one_value_is_every_percentile_and_none_is_zero() {
        let mut one = Latencies::default();
        one.push(Duration::from_micros(1500));
        assert_eq!(one.percentiles(), Percentiles { p50: 1.5, p99: 1.5, max: 1.5 });
        assert_eq!(Latencies::default().percentiles(), Percentiles::default());
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
