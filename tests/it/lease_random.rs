//! G10: a lease never ends early and always ends. Random schedules over virtual years: grants, keep-alives, revokes,
//! suspends, clean reopens, kills, power cuts, reboots and a wall clock that is set forward and back.
//!
//! Two things are checked after every step: the exact time left of each lease, as section 11 of the storage
//! specification computes it, and the promise itself, which knows nothing of how: as long as no reboot met a wall clock
//! set forward, no lease is gone before its last answered keep-alive plus its time to live.

use std::collections::BTreeMap;

use etclite::io::Clock;
use etclite::io::sim::{SimClock, SimDisk, SplitMix64};
use etclite::testing::{expire, step};
use etclite::{Db, Error};

use super::rig::{TINY, left_ms, ms, open_sim};

/// What is known of a lease. All times in milliseconds; true time never jumps.
#[derive(Clone, Debug)]
struct Expected {
    ttl: u64,
    /// What is left of it, to the millisecond.
    left: i128,
    stored: Stored,
    /// Kept alive since it was granted or the store opened: a crash gives the full time.
    renewed: bool,
    /// The true time before which it must not end; forgotten when somebody sets the wall clock forward over a reboot.
    not_before: u128,
}

/// What was last stored of a lease: when, by true time and by the wall clock, and how much was left.
#[derive(Clone, Copy, Debug)]
struct Stored {
    at: u128,
    wall: u128,
    left: i128,
}

struct World {
    rng: SplitMix64,
    disk: SimDisk,
    clock: SimClock,
    db: Db,
    true_ms: u128,
    leases: BTreeMap<i64, Expected>,
    next_id: i64,
    /// Time that leases lived through, summed up.
    lease_ms: u128,
}

#[test]
fn g10_no_lease_ends_early_and_each_ends() {
    let schedules = std::env::var("ETCLITE_SCHEDULES").map_or(60, |count| count.parse().unwrap());
    let lived: u128 = (1..=schedules).map(|seed| World::run(seed, 150)).sum();
    let years = lived / (365 * 24 * 3_600 * 1_000);
    eprintln!("{years} virtual years of leases");
    assert!(years >= 5_000 || schedules < 60, "{years} virtual years are too few");
}

impl World {
    fn run(seed: u64, steps: usize) -> u128 {
        eprintln!("schedule {seed}");
        let (disk, clock) = (SimDisk::new(), SimClock::new(seed));
        let db = open_sim(&disk, &clock, TINY);
        let rng = SplitMix64::new(seed);
        let mut world = World { rng, disk, clock, db, true_ms: 0, leases: BTreeMap::new(), next_id: 1, lease_ms: 0 };
        for _ in 0..steps {
            world.step();
            world.check();
        }
        world.finish();
        world.lease_ms
    }

    fn step(&mut self) {
        match self.rng.below(16) {
            0..=3 => self.grant(),
            4..=6 => self.keep_alive(),
            7 => self.revoke(),
            8..=10 => {
                let by = self.some_time();
                self.clock.advance(ms(by));
                self.passed(by);
            }
            11 => {
                let by = self.some_time();
                self.clock.suspend(ms(by));
                self.passed(by);
            }
            12 => self.set_wall(),
            13 => drop(step(&self.db).unwrap()),
            14 => self.down(true),
            _ => self.down(false),
        }
    }

    fn grant(&mut self) {
        let ttl = match self.rng.below(4) {
            0 => 1 + self.rng.below(50),
            1 => 1 + self.rng.below(100_000),
            2 => 1 + self.rng.below(40_000_000_000),
            _ => 1 + self.rng.below(4_000_000_000_000),
        };
        self.db.grant_with_id(self.next_id, ms(ttl)).unwrap();
        let not_before = self.true_ms + u128::from(ttl);
        let stored = Stored { at: self.true_ms, wall: self.clock.now().wall.as_millis(), left: ttl.into() };
        self.leases.insert(self.next_id, Expected { ttl, left: ttl.into(), stored, renewed: false, not_before });
        if self.rng.flip() {
            let options = etclite::PutOptions::new().lease(self.next_id);
            self.db.put_with(format!("k{}", self.rng.below(8)), "v", options).unwrap();
        }
        self.next_id += 1;
    }

    /// Any lease, one that is gone too.
    fn some_lease(&mut self) -> i64 {
        let known: Vec<i64> = self.leases.keys().copied().collect();
        if known.is_empty() || self.rng.one_in(5) {
            return 1 + self.rng.below(20).cast_signed();
        }
        known[self.rng.index(known.len())]
    }

    fn keep_alive(&mut self) {
        let id = self.some_lease();
        match (self.leases.get_mut(&id), self.db.lease(id).keep_alive()) {
            (Some(lease), Ok(ttl)) => {
                assert_eq!(ttl, ms(lease.ttl));
                lease.left = lease.ttl.into();
                lease.renewed = true;
                lease.not_before = self.true_ms + u128::from(lease.ttl);
            }
            (None, Err(Error::LeaseNotFound)) => {}
            (expected, answer) => panic!("keep-alive of {id}: expected {expected:?}, got {answer:?}"),
        }
    }

    fn revoke(&mut self) {
        let id = self.some_lease();
        let known = self.leases.remove(&id).is_some();
        assert_eq!(self.db.lease(id).revoke().is_ok(), known);
    }

    fn some_time(&mut self) -> u64 {
        let bound = [3, 100, 50_000, 20_000_000_000, 400_000_000_000][self.rng.index(5)];
        self.rng.below(bound)
    }

    /// True time went on while the store was open.
    fn passed(&mut self, by: u64) {
        self.count(by);
        self.true_ms += u128::from(by);
        self.leases.values_mut().for_each(|lease| lease.left -= i128::from(by));
        expire(&self.db).unwrap();
        self.end_due();
    }

    fn count(&mut self, by: u64) {
        let lived: i128 = self.leases.values().map(|lease| lease.left.clamp(0, by.into())).sum();
        self.lease_ms += lived.unsigned_abs();
    }

    fn end_due(&mut self) {
        let now = self.true_ms;
        self.leases.retain(|id, lease| {
            let ends = lease.left <= 0;
            assert!(!ends || lease.not_before <= now, "lease {id} ends early: {lease:?} at {now}");
            !ends
        });
    }

    fn set_wall(&mut self) {
        let wall = self.clock.now().wall;
        let by = ms(self.some_time());
        let wall = if self.rng.flip() { wall + by } else { wall.saturating_sub(by) };
        self.clock.set_wall(wall);
    }

    /// The store goes down, cleanly or by a kill or a power cut, and comes up again some time later.
    fn down(&mut self, clean: bool) {
        if clean {
            self.store_all();
            self.db.close().unwrap();
        }
        let power_cut = !clean && self.rng.flip();
        let image = if power_cut { self.disk.record().durable_at(self.disk.position()) } else { self.disk.image() };
        let away = self.some_time();
        self.clock.advance(ms(away));
        self.true_ms += u128::from(away);
        self.leases.values_mut().for_each(|lease| lease.left -= i128::from(away));
        if self.rng.flip() {
            self.set_wall();
        }
        let rebooted = self.rng.flip();
        if rebooted {
            self.clock.reboot();
        }
        self.disk = SimDisk::from_image(image);
        self.db = open_sim(&self.disk, &self.clock, TINY);
        self.come_up(rebooted);
        self.store_all();
        expire(&self.db).unwrap();
        self.end_due();
    }

    /// What is left of each lease after an open, by the rules.
    fn come_up(&mut self, rebooted: bool) {
        let (wall, now) = (self.clock.now().wall.as_millis(), self.true_ms);
        for (id, lease) in &mut self.leases {
            let found = left_ms(&self.db, *id).expect("nothing ends before the first look at deadlines");
            let found = i128::try_from(found).unwrap();
            if lease.renewed {
                assert_eq!(found, i128::from(lease.ttl), "lease {id}: its owner died while keeping it alive");
                lease.left = found;
            } else if rebooted {
                // Two readings of a clock in whole milliseconds: up to one late, never early.
                let by_wall = wall.saturating_sub(lease.stored.wall);
                let left = (lease.stored.left - i128::try_from(by_wall).unwrap()).max(0);
                assert!((left..=left + 1).contains(&found), "lease {id}: {found} left, expected {left}: {lease:?}");
                lease.left = found;
                if by_wall > now - lease.stored.at {
                    lease.not_before = 0;
                }
            } else {
                assert_eq!(found, lease.left.max(0), "lease {id}: {lease:?}");
            }
        }
    }

    /// An open and a clean close store what is left, with a stamp.
    fn store_all(&mut self) {
        let stored = |left| Stored { at: self.true_ms, wall: self.clock.now().wall.as_millis(), left };
        for lease in self.leases.values_mut() {
            lease.stored = stored(lease.left);
            lease.renewed = false;
        }
    }

    /// The leases that are there, and what is left of each.
    fn check(&self) {
        let listed = self.db.leases().unwrap().into_iter();
        let found: BTreeMap<i64, i128> =
            listed.map(|lease| (lease.id.get(), i128::try_from(lease.remaining.as_millis()).unwrap())).collect();
        let expected: BTreeMap<i64, i128> = self.leases.iter().map(|(id, lease)| (*id, lease.left)).collect();
        assert_eq!(found, expected);
    }

    /// Nobody cares any more: everything ends, to the millisecond.
    fn finish(&mut self) {
        while let Some(next) = self.leases.values().map(|lease| lease.left).min() {
            let by = u64::try_from(next).unwrap();
            self.clock.advance(ms(by - 1));
            self.passed(by - 1);
            self.check();
            self.clock.advance(ms(1));
            self.passed(1);
            self.check();
        }
        assert!(self.db.range(..).unwrap().next().is_none(), "keys outlive their leases");
        assert!(self.db.check().unwrap().is_clean());
    }
}
