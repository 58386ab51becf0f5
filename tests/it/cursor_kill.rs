//! A consumer that is killed at any point processes each event once, in order, while producers go on and compaction is
//! held back only within its budget.

use etclite::io::sim::{Fault, FaultKind, Image, Limits, SimClock, SimDisk, SplitMix64};
use etclite::testing::{Knobs, open_on, step, with_knobs};
use etclite::{Cursor, Db, Op, Options, Put, Watch, prefix};
use std::sync::Arc;

/// Small, but large enough that a thousand opens are quick.
const KNOBS: Knobs = Knobs {
    segment_bytes: 16 << 10,
    fill_bytes: 4 << 10,
    memtable_bytes: 8 << 10,
    merge_runs: 2,
    use_map: false,
    manual: true,
};

const BUDGET: u64 = 64 << 10;

/// A store, one producer and one consumer, whose machine loses power now and then.
struct World {
    clock: SimClock,
    disk: SimDisk,
    db: Db,
    rng: SplitMix64,
    produced: u64,
    kills: u64,
    /// Kills between what the consumer was given and what it wrote, and after.
    midway: [u64; 2],
    most_bytes: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let (clock, disk) = (SimClock::new(1), SimDisk::new());
        let db = open(&disk, &clock);
        db.cursor("consumer", prefix("in/")).create().unwrap();
        let rng = SplitMix64::new(seed).split("cursor");
        World { clock, disk, db, rng, produced: 0, kills: 0, midway: [0; 2], most_bytes: 0 }
    }

    fn cursor(&self) -> Cursor {
        self.db.open_cursor("consumer").unwrap()
    }

    /// Each event is a number, in order; keys are few, so that older ones are history.
    fn produce(&mut self) {
        for _ in 0..self.rng.below(4) {
            self.produced += 1;
            let key = format!("in/{}", self.produced % 3);
            self.db.put(key, format!("{} {}", self.produced, "x".repeat(60))).unwrap();
        }
        // Always all of it: cursors alone keep what is not consumed.
        if self.db.revision() > self.db.compact_revision() {
            self.db.compact(self.db.revision()).unwrap();
        }
        while self.rng.below(3) != 0 && step(&self.db).unwrap() {}
    }

    /// Takes one batch, and writes what it makes of each event together with the advance.
    fn consume(&mut self, watch: &mut Watch) -> bool {
        let Some(batch) = watch.try_next().unwrap() else { return false };
        let position = self.cursor().position().unwrap();
        let mut ops = vec![Op::advance("consumer", position, batch.revision())];
        let done: u64 = self.done();
        for (number, event) in batch.events().iter().enumerate() {
            let text = String::from_utf8(event.kv.value.to_vec()).unwrap();
            let value: u64 = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(value, done + 1 + number as u64, "in order, each once");
        }
        let count = batch.events().len() as u64;
        ops.push(Put::new("done", (done + count).to_string()).into());
        self.db.txn().then(ops).commit().unwrap();
        true
    }

    /// How many events were processed, as the consumer's own writes say.
    fn done(&self) -> u64 {
        let kv = self.db.get("done").unwrap();
        kv.map_or(0, |kv| String::from_utf8(kv.value.to_vec()).unwrap().parse().unwrap())
    }

    /// The power fails at a place of the record; what is left is one of the images that may be.
    fn kill(&mut self, from: usize) {
        let cut = from + self.rng.index(self.disk.position() - from + 1);
        let record = self.disk.record();
        let mut images: Vec<Image> = vec![record.durable_at(cut), record.complete_at(cut)];
        let limits = Limits { exhaustive: 3, each: 2, pairs: 1, random: 2, variations: 2, ..Limits::default() };
        record.images_within(&limits, cut, &mut self.rng, &mut |image| images.push(image));
        let image = images.swap_remove(self.rng.index(images.len()));
        let before = self.cursor().position().unwrap();
        self.disk.fail(Fault { site: None, nth: 1, kind: FaultKind::Eio, forever: true });
        self.disk = SimDisk::from_image(image);
        self.db = open(&self.disk, &self.clock);
        self.midway[usize::from(self.cursor().position().unwrap() == before)] += 1;
        self.kills += 1;
    }

    fn note_bytes(&mut self) {
        let stats = self.db.stats();
        assert!(!self.cursor().status().unwrap().lapsed);
        self.most_bytes = self.most_bytes.max(stats.run_bytes + stats.memtable_bytes);
    }
}

fn open(disk: &SimDisk, clock: &SimClock) -> Db {
    let options = with_knobs(Options::new().cursor_hold_bytes(BUDGET), KNOBS);
    open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), options).unwrap()
}

#[test]
fn x_04_a_consumer_killed_a_thousand_times() {
    let mut world = World::new(4);
    while world.kills < 1_000 {
        world.produce();
        let mut watch = world.cursor().watch().unwrap().batch_bytes(500).start().unwrap();
        for _ in 0..world.rng.below(8) {
            let start = world.disk.position();
            let any = world.consume(&mut watch);
            if any && world.rng.below(2) == 0 {
                world.kill(start);
                break;
            }
            if !any {
                break;
            }
        }
        world.note_bytes();
        // Acknowledged by the disk or not, the producer's events are those that are there.
        let newest = (0..3).filter_map(|key| world.db.get(format!("in/{key}")).unwrap());
        let numbers = newest.map(|kv| String::from_utf8(kv.value.to_vec()).unwrap());
        let numbers = numbers.map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap());
        assert_eq!(numbers.max().unwrap_or(0), world.produced, "what was acknowledged is there");
    }
    let mut watch = world.cursor().watch().unwrap().start().unwrap();
    while world.consume(&mut watch) {}
    assert_eq!(world.done(), world.produced, "every event, once");
    while step(&world.db).unwrap() {}
    println!("x_04: {} kills, {:?}, {} events, {} bytes", world.kills, world.midway, world.produced, world.most_bytes);
    assert!(world.midway.iter().all(|count| *count > 100), "{:?}", world.midway);
    // The store does not grow with what was consumed: a thousand times the events, and the same few bytes.
    assert!(world.produced > 1_000 && world.most_bytes < BUDGET, "{} bytes", world.most_bytes);
    assert!(world.db.check().unwrap().is_clean());
}

/// With a consumer that has stopped for good, compaction is held back up to the budget and no further.
#[test]
fn x_04_a_dead_consumer_costs_its_budget_and_no_more() {
    let mut world = World::new(5);
    while !world.cursor().status().unwrap().lapsed {
        world.produce();
        assert!(world.produced < 20_000, "it never lapses");
    }
    let held = world.produced * 100;
    assert!(held > BUDGET / 2, "it was held for {} events only", world.produced);
    let mut most = 0;
    for _ in 0..500 {
        world.produce();
        while step(&world.db).unwrap() {}
        let stats = world.db.stats();
        most = most.max(stats.run_bytes + stats.memtable_bytes);
    }
    assert!(most < BUDGET, "{most} bytes after it lapsed");
    assert!(world.db.compact_revision() > world.cursor().position().unwrap() + 1);
}
