//! A clock that stands still until a test moves it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::SplitMix64;
use crate::io::{Clock, Now};

/// Clocks under a test's control. Clones show the same time.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: Now,
    random: SplitMix64,
}

impl SimClock {
    /// Clocks of a host that booted a minute ago, in November 2023.
    pub fn new(seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let boot = Duration::from_secs(60);
        let wall = Duration::from_secs(1_700_000_000);
        let now = Now { mono: boot, boot, boot_id: boot_id(&mut random), wall };
        SimClock(Arc::new(Mutex::new(State { now, random })))
    }

    /// Lets time pass on all clocks.
    pub fn advance(&self, by: Duration) {
        let now = &mut self.0.lock().now;
        now.mono = now.mono.saturating_add(by);
        now.boot = now.boot.saturating_add(by);
        now.wall = now.wall.saturating_add(by);
    }

    /// The host sleeps: only the clocks that count suspend go on.
    pub fn suspend(&self, by: Duration) {
        let now = &mut self.0.lock().now;
        now.boot = now.boot.saturating_add(by);
        now.wall = now.wall.saturating_add(by);
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, wall: Duration) {
        self.0.lock().now.wall = wall;
    }

    /// Sets everything at once.
    pub fn set(&self, now: Now) {
        self.0.lock().now = now;
    }

    /// The host boots: a new boot id, and its clocks start again. The wall clock goes on.
    pub fn reboot(&self) {
        let state = &mut *self.0.lock();
        state.now.boot_id = boot_id(&mut state.random);
        state.now.boot = Duration::ZERO;
        state.now.mono = Duration::ZERO;
    }
}

fn boot_id(random: &mut SplitMix64) -> u128 {
    (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64()) | 1
}

impl Clock for SimClock {
    fn now(&self) -> Now {
        self.0.lock().now
    }

    fn random(&self, buf: &mut [u8]) {
        self.0.lock().random.fill(buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_when_told() {
        let clock = SimClock::new(1);
        let start = clock.now();
        assert_eq!(clock.clone().now(), start);
        clock.advance(Duration::from_secs(2));
        clock.suspend(Duration::from_secs(3));
        clock.set_wall(Duration::ZERO);
        let later = clock.now();
        assert_eq!(
            (later.mono - start.mono, later.boot - start.boot),
            (Duration::from_secs(2), Duration::from_secs(5))
        );
        assert_eq!(later.wall, Duration::ZERO);
        clock.reboot();
        assert_ne!(clock.now().boot_id, start.boot_id);
        assert_eq!(clock.boot(), Duration::ZERO);
    }

    #[test]
    fn chance_follows_from_the_seed() {
        let draw = |seed| {
            let mut bytes = [0; 24];
            SimClock::new(seed).random(&mut bytes);
            bytes
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let seed = SplitMix64::new(3);
        assert_ne!(seed.split("disk").next_u64(), seed.split("clock").next_u64());
        let mut drawn = seed.clone();
        assert!((0..1000).all(|_| drawn.below(10) < 10));
        assert_eq!(drawn.below(0), 0);
    }
}
