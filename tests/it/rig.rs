//! What the modules share: a store of every kind under a clock of the test's, and events as text.

use std::sync::Arc;
use std::time::Duration;

use etclite::io::Disk;
use etclite::io::fs::{FsDisk, FsOptions, SystemClock};
use etclite::io::memory::MemoryDisk;
use etclite::io::sim::{Image, SimClock, SimDisk};
use etclite::testing::{Knobs, expire, merge_all, open_on, step, with_knobs};
use etclite::{
    Db, Delete, Event, EventKind, KeyRange, LeaseId, Op, Options, Put, PutOptions, Result, Revision, Txn, TxnResponse,
    Watch,
};
use tempfile::TempDir;

/// Sizes at which everything stays in one memtable.
pub(crate) const ROOMY: Knobs = Knobs {
    segment_bytes: 4 << 20,
    fill_bytes: 64 << 10,
    memtable_bytes: 4 << 20,
    merge_runs: 4,
    use_map: true,
    manual: true,
};

/// Sizes at which segments roll, memtables rotate and runs merge every few operations.
pub(crate) const TINY: Knobs = Knobs {
    segment_bytes: 16 << 10,
    fill_bytes: 4 << 10,
    memtable_bytes: 1 << 10,
    merge_runs: 2,
    use_map: false,
    manual: true,
};

/// Where a store lives, and how large its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Files,
    /// Tiny parts on a simulated disk: what is read comes from runs, merged ones too.
    Tiny,
}

/// A store whose time stands still and which has no threads.
pub(crate) struct Store {
    pub(crate) kind: Kind,
    pub(crate) db: Db,
    pub(crate) clock: SimClock,
    disk: Arc<dyn Disk>,
    /// The same disk, if it is a simulated one.
    pub(crate) sim: Option<SimDisk>,
    options: Options,
    _dir: Option<TempDir>,
}

/// Runs a test on a fresh store of every kind.
pub(crate) fn everywhere(test: impl Fn(&mut Store)) {
    for kind in [Kind::Memory, Kind::Files, Kind::Tiny] {
        eprintln!("on {kind:?}");
        test(&mut Store::new(kind));
    }
}

impl Store {
    pub(crate) fn new(kind: Kind) -> Store {
        Store::with(kind, Options::new())
    }

    pub(crate) fn with(kind: Kind, options: Options) -> Store {
        let mut dir = None;
        let mut sim = None;
        let disk: Arc<dyn Disk> = match kind {
            Kind::Memory => Arc::new(MemoryDisk::new()),
            Kind::Files => {
                let made = dir.insert(tempfile::tempdir().unwrap());
                let create = FsOptions { create: true, ..FsOptions::default() };
                Arc::new(FsDisk::open(&made.path().join("store"), create).unwrap())
            }
            Kind::Tiny => Arc::new(sim.insert(SimDisk::new()).clone()),
        };
        let options = with_knobs(options, if kind == Kind::Tiny { TINY } else { ROOMY });
        let clock = SimClock::new(1);
        let db = open_on(disk.clone(), Arc::new(clock.clone()), options.clone()).unwrap();
        Store { kind, db, clock, disk, sim, options, _dir: dir }
    }

    /// Moves everything into one run where parts are tiny.
    pub(crate) fn settle(&self) {
        if self.kind == Kind::Tiny {
            self.db.flush().unwrap();
            merge_all(&self.db).unwrap();
        }
    }

    /// Does all background work there is.
    pub(crate) fn work(&self) {
        while step(&self.db).unwrap() {}
    }

    pub(crate) fn reopen(&mut self) {
        self.reopen_with(|| {});
    }

    /// Reopens; `meanwhile` happens while the store is closed.
    pub(crate) fn reopen_with(&mut self, meanwhile: impl FnOnce()) {
        self.db.close().unwrap();
        meanwhile();
        self.db = self.open().unwrap();
    }

    fn open(&self) -> Result<Db> {
        open_on(self.disk.clone(), Arc::new(self.clock.clone()), self.options.clone())
    }

    /// What a check says must hold is checked now, once everything is in runs, and after a reopen.
    pub(crate) fn always(&mut self, check: impl Fn(&Store)) {
        check(self);
        self.settle();
        check(self);
        self.reopen();
        check(self);
    }

    /// Lets time pass and ends what is due.
    pub(crate) fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
        expire(&self.db).unwrap();
    }

    pub(crate) fn put(&self, key: &str, value: &str) -> u64 {
        self.db.put(key, value).unwrap().revision.get()
    }

    pub(crate) fn put_leased(&self, key: &str, value: &str, lease: i64) -> u64 {
        self.db.put_with(key, value, PutOptions::new().lease(lease)).unwrap().revision.get()
    }

    pub(crate) fn delete(&self, key: impl Into<KeyRange>) -> u64 {
        self.db.delete(key).unwrap().revision.get()
    }

    pub(crate) fn txn(&self, ops: Vec<Op>) -> TxnResponse {
        self.db.txn().then(ops).commit().unwrap()
    }

    /// Key and value of all keys, as `key=value`.
    pub(crate) fn contents(&self) -> Vec<String> {
        contents(&self.db)
    }

    /// The events of a range from a revision on, each with its predecessor.
    pub(crate) fn events(&self, range: impl Into<KeyRange>, from: u64) -> Vec<String> {
        events(&self.db, range, from).unwrap()
    }
}

/// Opens what a crash left, in a process of its own as it were.
pub(crate) fn open_image(image: Image, clock: &SimClock, knobs: Knobs) -> Result<Db> {
    let disk = Arc::new(SimDisk::from_image(image));
    open_on(disk, Arc::new(clock.clone()), with_knobs(Options::new(), knobs))
}

/// A store on a disk that can be cut off, with clocks of its own.
pub(crate) fn open_sim(disk: &SimDisk, clock: &SimClock, knobs: Knobs) -> Db {
    open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), with_knobs(Options::new(), knobs)).unwrap()
}

/// A store on a simulated disk with the host's clock and real threads.
pub(crate) fn open_threaded(disk: &SimDisk, knobs: Knobs) -> Db {
    let options = with_knobs(Options::new(), Knobs { manual: false, ..knobs });
    open_on(Arc::new(disk.clone()), Arc::new(SystemClock::new()), options).unwrap()
}

pub(crate) fn put(key: &str, value: &str) -> Op {
    Put::new(key, value).into()
}

pub(crate) fn delete(key: impl Into<KeyRange>) -> Op {
    Delete::new(key).into()
}

/// A nested txn, which is what lets one key be changed twice in a revision.
pub(crate) fn nested(ops: Vec<Op>) -> Op {
    Txn::new().then(ops).into()
}

pub(crate) fn contents(db: &Db) -> Vec<String> {
    let kvs = db.range(..).unwrap().map(|kv| kv.unwrap());
    kvs.map(|kv| format!("{}={}", text(&kv.key), text(&kv.value))).collect()
}

pub(crate) fn events(db: &Db, range: impl Into<KeyRange>, from: u64) -> Result<Vec<String>> {
    drain(&mut db.watch(range).from(from).with_prev().start()?)
}

/// All that a watch has now.
pub(crate) fn drain(watch: &mut Watch) -> Result<Vec<String>> {
    let mut events = Vec::new();
    while let Some(batch) = watch.try_next()? {
        events.extend(batch.events().iter().map(show));
    }
    Ok(events)
}

/// `+key=value@revision was before`, or `-key@revision was before`.
pub(crate) fn show(event: &Event) -> String {
    let key = text(&event.kv.key);
    let at = event.kv.mod_revision;
    let was = event.prev.as_ref().map_or(String::new(), |prev| format!(" was {}", text(&prev.value)));
    match event.kind {
        EventKind::Put => format!("+{key}={}@{at}{was}", text(&event.kv.value)),
        EventKind::Delete => format!("-{key}@{at}{was}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn ids(db: &Db) -> Vec<i64> {
    db.leases().unwrap().iter().map(|lease| lease.id.get()).collect()
}

/// What is left of a lease in milliseconds; `None` if there is no such lease.
pub(crate) fn left_ms(db: &Db, id: i64) -> Option<u128> {
    db.lease(LeaseId::new(id)).time_to_live().unwrap().map(|status| status.remaining.as_millis())
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn rev(revision: u64) -> Revision {
    Revision::new(revision)
}
