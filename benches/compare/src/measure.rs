//! Times, and the statistics over them.

use std::time::{Duration, Instant};

use crate::disk::Counters;
use crate::workload::Checksum;

/// Single times in nanoseconds; one above 4.2 s counts as 4.2 s.
#[derive(Default)]
pub struct Latencies {
    nanos: Vec<u32>,
}

/// The three figures that a table shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The median, in nanoseconds.
    pub p50: f64,
    /// What 99 of 100 stay below, in nanoseconds.
    pub p99: f64,
    /// The longest, in nanoseconds.
    pub max: f64,
}

impl Latencies {
    /// Room for `count` times, so that none of them includes growing the list.
    pub fn with_capacity(count: usize) -> Self {
        Latencies { nanos: Vec::with_capacity(count) }
    }

    /// Notes the time since `last`; returns now, the start of the next lap.
    #[inline]
    pub fn lap(&mut self, last: Instant) -> Instant {
        let now = Instant::now();
        self.push(now - last);
        now
    }

    /// Notes the time since `last` as that of `parts` equal operations.
    #[inline]
    pub fn lap_of(&mut self, last: Instant, parts: u32) -> Instant {
        let now = Instant::now();
        self.push((now - last) / parts);
        now
    }

    fn push(&mut self, time: Duration) {
        self.nanos.push(u32::try_from(time.as_nanos()).unwrap_or(u32::MAX));
    }

    /// How many times were noted.
    pub fn count(&self) -> usize {
        self.nanos.len()
    }

    /// Takes in the times of another thread.
    pub fn append(&mut self, mut other: Latencies) {
        self.nanos.append(&mut other.nanos);
    }

    /// Sorts, and reads off the figures; zeros if there is nothing.
    pub fn spread(mut self) -> Spread {
        self.nanos.sort_unstable();
        let at = |percent: usize| {
            let index = (self.nanos.len() * percent).div_ceil(100).saturating_sub(1);
            self.nanos.get(index).copied().map_or(0.0, f64::from)
        };
        Spread { p50: at(50), p99: at(99), max: at(100) }
    }
}

/// What one store did in one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Operations done.
    pub ops: u64,
    /// Wall time of all of them together.
    pub elapsed: Duration,
    /// Times of the single operations.
    pub spread: Spread,
    /// What reached the device meanwhile, if that is known and the question is about writing.
    pub disk: Option<Counters>,
    /// Sum over what was read.
    pub checksum: Checksum,
}

impl Sample {
    /// Operations in a second.
    pub fn per_second(&self) -> f64 {
        self.ops as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Flushes for each operation.
    pub fn flushes_each(&self) -> Option<f64> {
        self.disk.map(|disk| disk.flushes as f64 / self.ops.max(1) as f64)
    }

    /// Bytes on the device for each operation.
    pub fn bytes_each(&self) -> Option<f64> {
        self.disk.map(|disk| disk.bytes as f64 / self.ops.max(1) as f64)
    }
}

/// The median of the rounds, the mean of the middle two if their number is even; none for no rounds.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[upper]),
        _ => Some((values[upper - 1] + values[upper]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_reads_ranks() {
        let latencies = Latencies { nanos: (1..=200).rev().collect() };
        assert_eq!(latencies.spread(), Spread { p50: 100.0, p99: 198.0, max: 200.0 });
        assert_eq!(Latencies { nanos: vec![7] }.spread(), Spread { p50: 7.0, p99: 7.0, max: 7.0 });
        assert_eq!(Latencies::default().spread(), Spread::default());
    }

    #[test]
    fn median_of_odd_even_none() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }
}
