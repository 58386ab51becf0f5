//! A clock that stands still until a test moves it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::SplitMix64;
use crate::io::{Alarm, Clock, Now};

/// Clocks under a test's control. Clones show the same time.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when a clock moves, an alarm is rung, and somebody falls asleep.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    now: Now,
    random: SplitMix64,
    /// Until when those sleep who do, by alarm.
    asleep: BTreeMap<u64, Duration>,
    /// Alarms that were rung since their last sleep.
    rung: BTreeSet<u64>,
    alarms: u64,
    /// How often somebody woke up.
    wakes: u64,
}

impl SimClock {
    /// Clocks of a host that booted a minute ago, in November 2023.
    pub fn new(seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let boot = Duration::from_secs(60);
        let wall = Duration::from_secs(1_700_000_000);
        let now = Now { mono: boot, boot, boot_id: boot_id(&mut random), wall };
        let (asleep, rung) = (BTreeMap::new(), BTreeSet::new());
        let state = Mutex::new(State { now, random, asleep, rung, alarms: 0, wakes: 0 });
        SimClock(Arc::new(Shared { state, changed: Condvar::new() }))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock());
        self.0.changed.notify_all();
    }

    /// Waits until a thread sleeps until exactly this time of the boot clock, and returns how often threads woke up from a
    /// sleep so far. Those that it is too late for wake up before they are counted.
    pub fn await_sleep(&self, until: Duration) -> u64 {
        let mut state = self.0.state.lock();
        while !state.asleep.values().any(|asleep| *asleep == until) {
            self.0.changed.wait(&mut state);
        }
        state.wakes
    }

    /// How often threads woke up from a sleep.
    pub fn wakes(&self) -> u64 {
        self.0.state.lock().wakes
    }

    /// Lets time pass on all clocks.
    pub fn advance(&self, by: Duration) {
        self.change(|State { now, .. }| {
            now.mono = now.mono.saturating_add(by);
            now.boot = now.boot.saturating_add(by);
            now.wall = now.wall.saturating_add(by);
        });
    }

    /// The host sleeps: only the clocks that count suspend go on.
    pub fn suspend(&self, by: Duration) {
        self.change(|State { now, .. }| {
            now.boot = now.boot.saturating_add(by);
            now.wall = now.wall.saturating_add(by);
        });
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, wall: Duration) {
        self.change(|state| state.now.wall = wall);
    }

    /// Sets everything at once.
    pub fn set(&self, now: Now) {
        self.change(|state| state.now = now);
    }

    /// The host boots: a new boot id, and its clocks start again. The wall clock goes on.
    pub fn reboot(&self) {
        self.change(|state| {
            state.now.boot_id = boot_id(&mut state.random);
            state.now.boot = Duration::ZERO;
            state.now.mono = Duration::ZERO;
        });
    }
}

fn boot_id(random: &mut SplitMix64) -> u128 {
    (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64()) | 1
}

impl Clock for SimClock {
    fn now(&self) -> Now {
        self.0.state.lock().now
    }

    fn alarm(&self) -> Arc<dyn Alarm> {
        let mut state = self.0.state.lock();
        state.alarms += 1;
        Arc::new(SimAlarm { clock: self.clone(), number: state.alarms })
    }

    fn random(&self, buf: &mut [u8]) {
        self.0.state.lock().random.fill(buf);
    }
}

/// Goes off when a test moves the clock.
#[derive(Debug)]
struct SimAlarm {
    clock: SimClock,
    number: u64,
}

impl Alarm for SimAlarm {
    fn sleep(&self, _: Duration, until: Duration) {
        let mut state = self.clock.0.state.lock();
        state.asleep.insert(self.number, until);
        self.clock.0.changed.notify_all();
        while !state.rung.contains(&self.number) && state.now.boot < until {
            self.clock.0.changed.wait(&mut state);
        }
        state.asleep.remove(&self.number);
        state.rung.remove(&self.number);
        state.wakes += 1;
    }

    fn ring(&self) {
        self.clock.change(|state| {
            state.rung.insert(self.number);
        });
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
