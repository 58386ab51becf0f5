//! The clocks of the host: the only place that asks what time it is.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Alarm, Clock, Now, alarm, sys};

/// The host's clocks and random numbers.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
    boot_id: u128,
}

impl SystemClock {
    /// Clocks whose monotonic time starts now.
    pub fn new() -> Self {
        SystemClock { start: Instant::now(), boot_id: read_boot_id() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let mono = self.start.elapsed();
        Now { mono, boot: sys::time_since_boot().unwrap_or(mono), boot_id: self.boot_id, wall: wall() }
    }

    fn boot(&self) -> Duration {
        sys::time_since_boot().unwrap_or_else(|| self.start.elapsed())
    }

    fn alarm(&self) -> Arc<dyn Alarm> {
        alarm::system()
    }

    fn random(&self, buf: &mut [u8]) {
        if File::open("/dev/urandom").and_then(|mut source| source.read_exact(buf)).is_err() {
            // A jail without devices. Ids need to differ, not to be secret, and std seeds its hashers from the kernel.
            for (i, chunk) in buf.chunks_mut(8).enumerate() {
                let word = RandomState::new().hash_one((i, self.start)).to_le_bytes();
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
        }
    }
}

/// Wall time since the Unix epoch; a clock before it reads as the epoch.
pub(super) fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Linux names each boot by a UUID. Elsewhere, or without `/proc`, it is 0: unknown, so boots are told apart by wall
/// time.
fn read_boot_id() -> u128 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    parse_boot_id(&text)
}

fn parse_boot_id(text: &str) -> u128 {
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    u128::from_str_radix(&digits, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_forward() {
        let clock = SystemClock::new();
        let (first, second) = (clock.now(), clock.now());
        assert!(second.mono >= first.mono && second.boot >= first.boot && clock.boot() >= second.boot);
        assert_eq!(first.boot_id, second.boot_id);
        assert!(first.wall > Duration::from_secs(1_700_000_000));
    }

    #[test]
    fn random_bytes_differ() {
        let clock = SystemClock::new();
        let (mut a, mut b) = ([0; 19], [0; 19]);
        clock.random(&mut a);
        clock.random(&mut b);
        assert_ne!(a, b);
    }

    #[test]
    fn a_boot_is_named_by_a_uuid() {
        assert_eq!(parse_boot_id("00000000-0000-0000-0000-0000000000ff\n"), 255);
        assert_eq!(parse_boot_id("no uuid"), 0);
        assert_eq!(parse_boot_id(""), 0);
    }
}
