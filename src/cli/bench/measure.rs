//! Times, counted in buckets: as many as one likes in a few kilobytes, told apart to three percent.

use std::time::Duration;

/// One row of the report.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) threads: usize,
    /// How long it ran.
    pub(super) elapsed: Duration,
    pub(super) latencies: Latencies,
    /// How many were done; where not each is timed, more than there are latencies.
    pub(super) done: u64,
    /// Whether each is made durable, so that the floor is what it is compared with.
    pub(super) durable: bool,
}

impl Figure {
    pub(super) fn per_second(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a rate is shown without decimals")]
        let done = self.done as f64;
        done / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The median as a multiple of one fdatasync, of what is durable.
    pub(super) fn floors(&self, floor: Option<Duration>) -> Option<f64> {
        let floor = floor.filter(|floor| self.durable && !floor.is_zero())?;
        (self.latencies.count() > 0).then(|| self.latencies.percentile(50).as_secs_f64() / floor.as_secs_f64())
    }
}

/// Buckets to a power of two.
const STEPS: u64 = 32;

/// How often each time was measured.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    buckets: Vec<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { buckets: vec![0; bucket(u64::MAX) + 1] }
    }
}

impl Latencies {
    pub(super) fn add(&mut self, time: Duration) {
        self.buckets[bucket(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))] += 1;
    }

    pub(super) fn merge(&mut self, other: &Latencies) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(ours, theirs)| *ours += theirs);
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The time that so many percent did not exceed; zero if there are none.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        Duration::from_nanos(found.map_or(0, lowest))
    }
}

/// The bucket of a number of nanoseconds: below 32 one each, then 32 for each power of two.
fn bucket(nanos: u64) -> usize {
    let octave = nanos.checked_ilog2().map_or(0, |log| u64::from(log).saturating_sub(5));
    usize::try_from(octave * STEPS + (nanos >> octave)).expect("at most 60 times 32 buckets, and 32")
}

/// The least that a bucket holds.
fn lowest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let octave = (bucket / STEPS).saturating_sub(1);
    (bucket - octave * STEPS) << octave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_three_percent_wide_and_in_order() {
        let numbers = (0..64).flat_map(|log| [1u64 << log, (1 << log) + (1 << log) / 3, (1 << log) - 1 + (1 << log)]);
        let mut last = 0;
        for nanos in numbers {
            let (bucket, low) = (bucket(nanos), lowest(bucket(nanos)));
            assert!(low <= nanos && nanos - low <= nanos / STEPS, "{nanos} in {low}");
            assert!(bucket >= last, "{nanos}");
            last = bucket;
        }
    }

    #[test]
    fn percentiles_are_of_all_that_was_measured() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), Duration::ZERO);
        for millis in 1..=100 {
            latencies.add(Duration::from_millis(millis));
        }
        let mut twice = latencies.clone();
        twice.merge(&latencies);
        for all in [latencies, twice] {
            let (median, p99) = (all.percentile(50).as_secs_f64(), all.percentile(99).as_secs_f64());
            assert!((0.048..=0.050).contains(&median) && (0.096..=0.099).contains(&p99), "{median} {p99}");
        }
    }
}
