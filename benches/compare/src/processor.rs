//! Who used the processors: this process, or somebody else?
//!
//! The floor is short, and misses a neighbor who comes and goes between its two halves. Processor time misses nothing.

use std::fs;
use std::time::{Duration, Instant};

/// Processor time that all threads of this process have used; zero where the system does not tell.
pub fn own() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to the one `timespec` that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Looks at the processors from its start on.
pub struct Watch {
    started: Instant,
    own: Duration,
    busy: Option<Duration>,
}

impl Watch {
    /// Begins to look.
    pub fn start() -> Watch {
        Watch { started: Instant::now(), own: own(), busy: busy() }
    }

    /// The part of all processors' time since the start that was used, but not by this process.
    pub fn others(&self) -> Option<f64> {
        let busy = busy()?.checked_sub(self.busy?)?;
        let others = busy.saturating_sub(own().saturating_sub(self.own));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Some(others.as_secs_f64() / (self.started.elapsed().as_secs_f64() * cores as f64).max(1e-9))
    }
}

fn busy() -> Option<Duration> {
    ticks(&fs::read_to_string("/proc/stat").ok()?).map(|ticks| Duration::from_millis(ticks * TICK_MS))
}

/// `USER_HZ` is 100 on every architecture that Linux's `/proc/stat` is read on here.
const TICK_MS: u64 = 10;

/// Ticks in which any processor was busy or was taken away by the hypervisor: the columns user, nice, system, irq, softirq
/// and steal of the first line. Between them stand idle and iowait, and after them guests, who are in user already.
fn ticks(stat: &str) -> Option<u64> {
    let columns: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).map_while(|c| c.parse().ok()).collect();
    [0, 1, 2, 5, 6, 7].iter().map(|column| columns.get(*column)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_leaves_out_idle_waiting_and_guests() {
        assert_eq!(ticks("cpu  1 20 300 1000000 1000000 4000 50000 600000 7 7\ncpu0 1 1 1 1\n"), Some(654_321));
        assert_eq!(ticks("cpu 1 2 3"), None);
        assert_eq!(ticks(""), None);
    }
}
