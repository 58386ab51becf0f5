//! G8: the promises of watches for any history. Each of 200 random histories is written on a store whose parts are so
//! tiny that watches read event arrays, runs and merged runs, and hand over between them; then a watch is started at
//! every revision, beside a compaction at every revision, and resumed after every revision.
//!
//! What is right is known without the store: the list of events, in order, each with the value before it.

use std::collections::BTreeMap;

use etclite::io::sim::{SimClock, SimDisk, SplitMix64};
use etclite::testing::{expire, merge_all, step};
use etclite::{Db, Error, KeyRange, Op, PutOptions, Watch, prefix};

use super::rig::{TINY, delete, drain, ms, nested, open_sim, put, show};

/// An event as it should be delivered.
#[derive(Clone, Debug)]
struct Change {
    revision: u64,
    key: String,
    /// `None` is a delete.
    value: Option<String>,
    /// The value that `with_prev` gives, while the revision before is not compacted.
    prev: Option<String>,
}

impl Change {
    fn text(&self, compacted: u64, with_prev: bool) -> String {
        let Change { revision, key, value, .. } = self;
        let prev = self.prev.as_ref().filter(|_| with_prev && *revision > compacted);
        let was = prev.map_or(String::new(), |prev| format!(" was {prev}"));
        match value {
            Some(value) => format!("+{key}={value}@{revision}{was}"),
            None => format!("-{key}@{revision}{was}"),
        }
    }
}

/// A subscriber that lives while history is written.
struct Live {
    watch: Watch,
    spec: Spec,
    seen: Vec<String>,
}

#[derive(Clone, Debug)]
struct Spec {
    range: KeyRange,
    from: u64,
    puts: bool,
    deletes: bool,
    batch_bytes: usize,
}

impl Spec {
    fn start(&self, db: &Db, with_prev: bool) -> etclite::Result<Watch> {
        let mut builder = db.watch(self.range.clone()).from(self.from).batch_bytes(self.batch_bytes);
        if with_prev {
            builder = builder.with_prev();
        }
        if !self.puts {
            builder = builder.no_put();
        }
        if !self.deletes {
            builder = builder.no_delete();
        }
        builder.start()
    }

    fn wants(&self, change: &Change) -> bool {
        let kind = if change.value.is_some() { self.puts } else { self.deletes };
        kind && change.revision >= self.from && self.range.contains(change.key.as_bytes())
    }
}

struct World {
    rng: SplitMix64,
    disk: SimDisk,
    clock: SimClock,
    db: Db,
    live: BTreeMap<String, String>,
    revision: u64,
    history: Vec<Change>,
    watchers: Vec<Live>,
}

const KEYS: [&str; 5] = ["a", "b", "ba", "bb", "c"];

#[test]
fn every_start_and_every_compaction_of_random_histories() {
    for seed in 1..=200 {
        eprintln!("history {seed}");
        let mut world = World::new(seed);
        world.write(25);
        world.check_live();
        world.compact_everywhere();
    }
}

impl World {
    fn new(seed: u64) -> World {
        let (disk, clock) = (SimDisk::new(), SimClock::new(seed));
        let db = open_sim(&disk, &clock, TINY);
        let rng = SplitMix64::new(seed);
        let (live, history, watchers) = (BTreeMap::new(), Vec::new(), Vec::new());
        World { rng, disk, clock, db, live, revision: 1, history, watchers }
    }

    fn write(&mut self, count: usize) {
        for _ in 0..count {
            match self.rng.below(8) {
                0..=3 => self.put(),
                4 => self.delete_range(),
                5 => self.txn(),
                6 => self.expire_keys(),
                _ => self.watch(),
            }
            match self.rng.below(4) {
                0 => self.db.flush().unwrap(),
                1 => drop(merge_all(&self.db).unwrap()),
                2 => drop(step(&self.db).unwrap()),
                _ => {}
            }
            assert_eq!(self.db.revision(), self.revision);
            for live in &mut self.watchers {
                if self.rng.one_in(4) {
                    live.seen.extend(drain(&mut live.watch).unwrap());
                }
            }
        }
    }

    /// What a write does to the expected state, at the revision it makes.
    fn note(&mut self, revision: u64, key: &str, value: Option<&str>, fresh: bool) {
        let prev = self.live.get(key).cloned().filter(|_| !fresh);
        match value {
            Some(value) => drop(self.live.insert(key.to_owned(), value.to_owned())),
            None => drop(self.live.remove(key)),
        }
        self.history.push(Change { revision, key: key.to_owned(), value: value.map(str::to_owned), prev });
    }

    fn some_key(&mut self) -> &'static str {
        KEYS[self.rng.index(KEYS.len())]
    }

    fn put(&mut self) {
        let key = self.some_key();
        let value = self.rng.below(100).to_string().repeat(1 + self.rng.index(30));
        self.db.put(key, &value).unwrap();
        self.revision += 1;
        self.note(self.revision, key, Some(&value), false);
    }

    fn delete_range(&mut self) {
        let range = self.some_range();
        self.db.delete(range.clone()).unwrap();
        let gone: Vec<String> = self.live.keys().filter(|key| range.contains(key.as_bytes())).cloned().collect();
        self.revision += u64::from(!gone.is_empty());
        for key in gone {
            self.note(self.revision, &key, None, false);
        }
    }

    /// Puts, a delete of everything from `b` on, and one of those keys put again: created anew within the revision.
    fn txn(&mut self) {
        let text = self.rng.below(100).to_string();
        let mut ops: Vec<Op> = vec![nested(vec![put("a", &text)])];
        let again = self.rng.flip();
        if again {
            ops.extend([delete("b"..), put("c", &text)]);
        }
        self.db.txn().then(ops).commit().unwrap();
        self.revision += 1;
        self.note(self.revision, "a", Some(&text), false);
        if again {
            let gone: Vec<String> = self.live.range("b".to_owned()..).map(|(key, _)| key.clone()).collect();
            for key in gone {
                self.note(self.revision, &key, None, false);
            }
            self.note(self.revision, "c", Some(&text), true);
        }
    }

    fn expire_keys(&mut self) {
        let lease = self.db.grant(ms(10)).unwrap();
        let (first, second) = (self.some_key(), self.some_key());
        for key in [first, second] {
            self.db.put_with(key, "leased", PutOptions::new().lease(lease.id())).unwrap();
            self.revision += 1;
            self.note(self.revision, key, Some("leased"), false);
        }
        self.clock.advance(ms(10));
        expire(&self.db).unwrap();
        self.revision += 1;
        for key in std::collections::BTreeSet::from([first, second]) {
            self.note(self.revision, key, None, false);
        }
    }

    fn some_range(&mut self) -> KeyRange {
        match self.rng.below(4) {
            0 => KeyRange::all(),
            1 => prefix("b"),
            2 => KeyRange::from_key("bb"),
            _ => KeyRange::key(self.some_key()),
        }
    }

    fn some_spec(&mut self, from: u64) -> Spec {
        let batch_bytes = [0, 200, 1 << 20][self.rng.index(3)];
        let (puts, deletes) = (!self.rng.one_in(4), !self.rng.one_in(4));
        Spec { range: self.some_range(), from, puts, deletes, batch_bytes }
    }

    fn watch(&mut self) {
        let from = 1 + self.rng.below(self.revision + 4);
        let spec = self.some_spec(from);
        let watch = spec.start(&self.db, true).unwrap();
        self.watchers.push(Live { watch, spec, seen: Vec::new() });
    }

    fn expected(&self, spec: &Spec, compacted: u64, with_prev: bool) -> Vec<String> {
        let wanted = self.history.iter().filter(|change| spec.wants(change));
        wanted.map(|change| change.text(compacted, with_prev)).collect()
    }

    /// Watches that were there while history was written, whenever they were read.
    fn check_live(&mut self) {
        for mut live in std::mem::take(&mut self.watchers) {
            live.seen.extend(drain(&mut live.watch).unwrap());
            assert_eq!(live.seen, self.expected(&live.spec, 0, true), "{:?}", live.spec);
            assert_eq!(live.watch.progress(), self.revision.max(live.spec.from - 1));
        }
    }

    fn compact_everywhere(&mut self) {
        self.check_every_start(0);
        let mut ahead = self.db.watch(..).from(self.revision + 1).start().unwrap();
        for compacted in 1..=self.revision {
            let mut behind = self.some_spec(compacted).start(&self.db, true).unwrap();
            if self.rng.one_in(8) {
                self.db.compact_physical(compacted).unwrap();
            } else {
                self.db.compact(compacted).unwrap();
            }
            assert_eq!(
                behind.try_next().map(drop).err().map(|error| error.to_string()),
                None,
                "it stands at {compacted}"
            );
            match self.rng.below(8) {
                1 => {
                    self.db.flush().unwrap();
                    merge_all(&self.db).unwrap();
                }
                2 => drop(step(&self.db).unwrap()),
                3 => {
                    self.db.close().unwrap();
                    self.db = open_sim(&self.disk, &self.clock, TINY);
                    ahead = self.db.watch(..).from(self.revision + 1).start().unwrap();
                }
                _ => {}
            }
            self.check_every_start(compacted);
        }
        // One that had nothing to read went through all those compactions.
        self.put();
        assert_eq!(drain(&mut ahead).unwrap().len(), 1);
    }

    fn check_every_start(&mut self, compacted: u64) {
        if compacted > 0 {
            let from = 1 + self.rng.below(compacted);
            let refused = self.db.watch(..).from(from).start().err();
            match (from < compacted, refused) {
                (true, Some(Error::Compacted { compacted: told })) => assert_eq!(told, compacted),
                (false, None) => {}
                other => panic!("a watch from {from}, compacted at {compacted}: {other:?}"),
            }
        }
        for from in compacted.max(1)..=self.revision + 1 {
            let spec = self.some_spec(from);
            let mut watch = spec.start(&self.db, true).unwrap();
            assert_eq!(drain(&mut watch).unwrap(), self.expected(&spec, compacted, true), "{spec:?}");
            assert_eq!(watch.progress(), self.revision.max(from - 1));
        }
        self.check_resuming(compacted);
    }

    /// A new watch after each batch sees the same as one that goes on; each batch is whole and says where it ends.
    fn check_resuming(&mut self, compacted: u64) {
        let mut spec = self.some_spec(compacted.max(1));
        let expected = self.expected(&spec, compacted, true);
        let mut seen: Vec<String> = Vec::new();
        let mut last = 0;
        loop {
            let mut watch = spec.start(&self.db, true).unwrap();
            let Some(batch) = watch.try_next().unwrap() else { break };
            let first = batch.events()[0].kv.mod_revision.get();
            assert!(first > last, "revision {first} was split or came twice");
            last = batch.events().last().unwrap().kv.mod_revision.get();
            assert_eq!(batch.revision(), last);
            seen.extend(batch.events().iter().map(show));
            let progress = watch.progress().get();
            let missed = self
                .history
                .iter()
                .find(|change| spec.wants(change) && last < change.revision && change.revision <= progress);
            assert!(progress >= last && missed.is_none(), "progress {progress} is ahead of {missed:?}");
            spec.from = progress + 1;
        }
        assert_eq!(seen, expected);
    }
}
