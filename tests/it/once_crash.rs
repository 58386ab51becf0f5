//! A write whose outcome a crash left unknown is sent again: it is there once, and the answer is the first one.

use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, Image, Limits, SimClock, SimDisk, SplitMix64};
use etclite::{Db, Error, KeyRange, Options};

use super::rig::{Kind, Store, TINY, open_image, open_sim};

const APPENDS: u64 = 12;

/// The writes of one client: each appends to the history of a key, under an id of its own, and is sent until it is
/// answered.
struct Client {
    clock: SimClock,
    disk: SimDisk,
    db: Db,
    rng: SplitMix64,
    /// The answers so far: value, since, revision.
    answered: Vec<(u64, u64, u64)>,
    crashes: u64,
    /// Sends that found the write done already.
    found: u64,
}

impl Client {
    fn new(seed: u64) -> Client {
        let (clock, disk) = (SimClock::new(1), SimDisk::new());
        let db = open_sim(&disk, &clock, TINY);
        let rng = SplitMix64::new(seed).split("appends");
        Client { clock, disk, db, rng, answered: Vec::new(), crashes: 0, found: 0 }
    }

    /// Sends a write once; whether it was done already, and at which revision.
    fn send(&self, value: u64, since: u64) -> (bool, u64) {
        let filling = "x".repeat(usize::try_from(value % 5 * 60).unwrap());
        let operation = self.db.operation(u128::from(value)).since(since);
        let answer = operation.put("list", format!("{value} {filling}")).unwrap();
        (answer.replayed, answer.revision.get())
    }

    /// Sends a write until its answer arrives; the power fails on the way now and then.
    fn append(&mut self, value: u64) {
        let since = self.db.revision().get();
        loop {
            let start = self.disk.position();
            let (replayed, revision) = self.send(value, since);
            if self.rng.below(3) == 0 {
                // The answer is lost, and perhaps more: before the log was written, before it was synced, or after.
                let end = self.disk.position();
                let cut = start + self.rng.index(end - start + 1);
                self.crash(cut);
                continue;
            }
            self.found += u64::from(replayed);
            self.answered.push((value, since, revision));
            return;
        }
    }

    fn crash(&mut self, cut: usize) {
        let mut images: Vec<Image> = vec![self.disk.record().durable_at(cut), self.disk.record().complete_at(cut)];
        let limits = Limits { exhaustive: 3, each: 2, pairs: 1, random: 2, variations: 2, ..Limits::default() };
        self.disk.record().images_within(&limits, cut, &mut self.rng, &mut |image| images.push(image));
        let image = images.swap_remove(self.rng.index(images.len()));
        self.disk.fail(Fault { site: None, nth: 1, kind: FaultKind::Eio, forever: true });
        self.disk = SimDisk::from_image(image);
        self.db = open_sim(&self.disk, &self.clock, TINY);
        self.crashes += 1;
    }

    /// Every write is in the history once, in the order in which they were sent, and gets its first answer again.
    fn check(&self, seed: u64) {
        let mut watch = self.db.watch("list").from(1).start().unwrap();
        let mut history = Vec::new();
        while let Some(batch) = watch.try_next().unwrap() {
            for event in batch.events() {
                let text = String::from_utf8(event.kv.value.to_vec()).unwrap();
                let value: u64 = text.split(' ').next().unwrap().parse().unwrap();
                history.push((value, event.kv.mod_revision.get()));
            }
        }
        let expected: Vec<_> = self.answered.iter().map(|(value, _, revision)| (*value, *revision)).collect();
        assert_eq!(history, expected, "seed {seed}");
        let before = (self.db.revision(), self.db.hash(0).unwrap().hash);
        for (value, since, revision) in &self.answered {
            assert_eq!(self.send(*value, *since), (true, *revision), "seed {seed}");
        }
        assert_eq!((self.db.revision(), self.db.hash(0).unwrap().hash), before);
        assert!(self.db.check().unwrap().is_clean());
    }
}

/// A thousand runs of appends, with crashes between log, sync and reply.
#[test]
fn x_03_appends_are_there_once_whatever_crashes() {
    let (mut crashes, mut found) = (0, 0);
    for seed in 1..=1_000 {
        let mut client = Client::new(seed);
        for value in 1..=APPENDS {
            client.append(value);
            if client.rng.below(5) == 0 {
                client.db.flush().unwrap();
            }
        }
        client.check(seed);
        (crashes, found) = (crashes + client.crashes, found + client.found);
    }
    println!("x_03: {} appends, {crashes} crashes, {found} found done when sent again", 1_000 * APPENDS);
    // Both outcomes of a crash are met often.
    assert!(crashes > 3_000 && found > 800 && crashes - found > 800, "{crashes} crashes, {found} found done");
}

/// etcd #14890: a write was sent again by the client after an error that left its outcome open, and took effect twice.
/// Here the sync of the log fails: the write may be on the disk, or not. Sent again after the reopen it is there once.
#[test]
fn etcd_14890_retry_applies_once() {
    let mut outcomes = [false; 2];
    for (site, kind) in [(IoSite::LogSync, FaultKind::Eio), (IoSite::LogAppend, FaultKind::Eio)] {
        let (clock, disk) = (SimClock::new(1), SimDisk::new());
        let db = open_sim(&disk, &clock, TINY);
        db.put("balance", "0").unwrap();
        let since = db.revision();
        let deposit = |db: &Db| db.operation(77u128).since(since).put("balance", "10");
        disk.fail(Fault { site: Some(site), nth: 1, kind, forever: false });
        assert!(matches!(deposit(&db), Err(Error::Indeterminate)));
        assert!(matches!(deposit(&db), Err(Error::Poisoned)), "it is not answered by what is not durable");
        for image in [disk.image(), disk.record().durable_at(disk.position())] {
            let db = open_image(image, &clock, TINY).unwrap();
            let before = db.revision();
            let answer = deposit(&db).unwrap();
            outcomes[usize::from(answer.replayed)] = true;
            assert_eq!((answer.revision.get(), before == answer.revision), (3, answer.replayed));
            let kv = db.get("balance").unwrap().unwrap();
            assert_eq!((kv.version, kv.value.as_ref(), db.revision()), (2, &b"10"[..], answer.revision));
            assert!(deposit(&db).unwrap().replayed);
        }
    }
    assert_eq!(outcomes, [true; 2], "both outcomes were met");
}

/// A crash between a flush's files and the edit that names them, and at each other step of it, loses no id.
#[test]
fn x_03_no_crash_of_a_flush_loses_an_id() {
    let store = Store::with(Kind::Tiny, Options::new());
    let disk = store.sim.clone().unwrap();
    let send = |db: &Db, id: u128| db.operation(id).put("a", id.to_string()).unwrap();
    for id in 1..=8 {
        send(&store.db, id);
        if id < 8 {
            store.db.flush().unwrap();
        }
    }
    let start = disk.position();
    // The eighth makes one of all state files.
    store.db.flush().unwrap();
    let (record, mut rng) = (disk.record(), SplitMix64::new(5));
    let sites: Vec<IoSite> = record.ops()[start..].iter().map(|op| op.site).collect();
    for site in [IoSite::StateCreate, IoSite::StateWrite, IoSite::StateSync, IoSite::StateSyncDir, IoSite::StateRemove]
    {
        assert!(sites.contains(&site), "{site:?} of {sites:?}");
    }
    for cut in start..=disk.position() {
        let limits = Limits { exhaustive: 6, each: 8, pairs: 8, random: 8, variations: 4, ..Limits::default() };
        let mut images = Vec::new();
        record.images_within(&limits, cut, &mut rng, &mut |image| images.push(image));
        for image in images {
            let db = open_image(image, &store.clock, TINY).unwrap();
            assert!((1..=8).all(|id| send(&db, id).replayed), "cut at {cut}");
            assert_eq!((db.revision().get(), db.count(KeyRange::all()).unwrap()), (9, 1));
            assert!(db.check().unwrap().is_clean());
        }
    }
}
