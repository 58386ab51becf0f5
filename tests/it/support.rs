//! The setups that a test runs on, and short words for what tests say often.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use etclite::io::Disk;
use etclite::io::fs::SystemClock;
use etclite::io::memory::MemoryDisk;
use etclite::testing::{Knobs, merge_all, open_on, with_knobs};
use etclite::{
    Applied, Db, Error, Event, EventKind, Invalid, KeyRange, KeyValue, LeaseId, Op, OpResponse, Options, PutOptions,
    Range, RangeResponse, Revision, TxnResponse,
};
use tempfile::TempDir;

/// Where a store lives.
enum Place {
    /// In memory, with default sizes: reads come from a memtable.
    Memory,
    /// On disk, with default sizes. To settle is to close and open again: reads come from what the log replayed.
    Disk(TempDir),
    /// In memory, so small that memtables rotate and logs roll all the time. To settle is to flush and merge: reads
    /// come from one run.
    Tiny(Arc<dyn Disk>),
}

/// A store under test; it derefs to its [`Db`].
pub(crate) struct Store {
    db: Option<Db>,
    place: Place,
    options: Options,
}

/// Runs a test on each setup, on a new store with default options.
pub(crate) fn on_each_setup(test: impl Fn(&mut Store)) {
    on_each_setup_with(Options::new(), test);
}

/// Runs a test on each setup, on a new store.
pub(crate) fn on_each_setup_with(options: Options, test: impl Fn(&mut Store)) {
    let places = [Place::Memory, Place::Disk(tempfile::tempdir().unwrap()), Place::Tiny(Arc::new(MemoryDisk::new()))];
    for place in places {
        println!("setup: {}", place.name());
        let mut store = Store { db: None, place, options: options.clone() };
        store.open();
        test(&mut store);
        let report = store.check().unwrap();
        assert!(report.is_clean(), "the store is whole after the test: {report:?}");
    }
}

impl Place {
    fn name(&self) -> &'static str {
        match self {
            Place::Memory => "in memory",
            Place::Disk(_) => "on disk",
            Place::Tiny(_) => "tiny, from runs",
        }
    }
}

impl Store {
    fn open(&mut self) {
        let options = self.options.clone();
        self.db = Some(match &self.place {
            Place::Memory => options.in_memory().unwrap(),
            Place::Disk(dir) => options.open(dir.path().join("store")).unwrap(),
            Place::Tiny(disk) => {
                open_on(disk.clone(), Arc::new(SystemClock::new()), with_knobs(options, TINY)).unwrap()
            }
        });
    }

    /// Moves what was written to where this setup reads it from: replayed from the log, or merged into one run.
    pub(crate) fn settle(&mut self) {
        match &self.place {
            Place::Memory => {}
            Place::Disk(_) => self.reopen(),
            Place::Tiny(_) => self.settle_open(),
        }
    }

    /// Moves what was written into a run, with the store open: for what must survive that, such as a snapshot.
    pub(crate) fn settle_open(&self) {
        self.flush().unwrap();
        while merge_all(self).unwrap() {}
    }

    /// Opens what a test has closed; a store in memory begins anew, with the one key that such tests expect.
    pub(crate) fn force_open(&mut self) {
        self.db = None;
        self.open();
        if matches!(self.place, Place::Memory) {
            self.put("a", "1").unwrap();
        }
    }

    /// Closes and opens again; a store in memory lives on.
    pub(crate) fn reopen(&mut self) {
        if !matches!(self.place, Place::Memory) {
            self.db.take().unwrap().close().unwrap();
            self.open();
        }
    }
}

impl Deref for Store {
    type Target = Db;
    fn deref(&self) -> &Db {
        self.db.as_ref().unwrap()
    }
}

/// A store on `disk` that rotates, rolls, flushes and merges all the time, by threads of its own.
pub(crate) fn open_restless(disk: &Arc<dyn Disk>) -> Db {
    let knobs = Knobs { manual: false, ..TINY };
    open_on(disk.clone(), Arc::new(SystemClock::new()), with_knobs(Options::new(), knobs)).unwrap()
}

/// Sizes so small that a handful of puts rotates a memtable and rolls the log.
const TINY: Knobs = Knobs {
    segment_bytes: 16 << 10,
    fill_bytes: 4 << 10,
    memtable_bytes: 1 << 10,
    merge_runs: 2,
    use_map: true,
    manual: true,
};

/// Puts these keys, one revision each.
pub(crate) fn put_all(db: &Db, pairs: &[(&str, &str)]) {
    for (key, value) in pairs {
        db.put(key, value).unwrap();
    }
}

/// A key without a lease: create revision, mod revision, version.
pub(crate) fn kv(key: &str, value: &str, numbers: [u64; 3]) -> KeyValue {
    leased(key, value, numbers, 0)
}

/// A key with a lease.
pub(crate) fn leased(key: &str, value: &str, [create, modified, version]: [u64; 3], lease: i64) -> KeyValue {
    KeyValue {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        create_revision: Revision::new(create),
        mod_revision: Revision::new(modified),
        version,
        lease: LeaseId::new(lease),
    }
}

/// The key as it is now; it must exist.
pub(crate) fn get(db: &Db, key: &str) -> KeyValue {
    db.get(key).unwrap().unwrap()
}

/// The value as it is now, if the key exists.
pub(crate) fn value(db: &Db, key: &str) -> Option<String> {
    db.get(key).unwrap().map(|kv| text(&kv.value))
}

/// Bytes for assertions to show.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The keys of an answer, in its order.
pub(crate) fn keys(response: &RangeResponse) -> Vec<String> {
    response.kvs.iter().map(|kv| text(&kv.key)).collect()
}

/// The keys that a range request finds; the iterator and the whole answer must agree.
pub(crate) fn found(db: &Db, range: impl Into<Range>) -> Vec<String> {
    let range = range.into();
    let response = db.query(range.clone()).unwrap();
    let mut walk = db.range(range).unwrap();
    let walked: Vec<KeyValue> = walk.by_ref().map(Result::unwrap).collect();
    assert_eq!((&walked, walk.more()), (&response.kvs, response.more), "the iterator and the answer differ");
    keys(&response)
}

/// Every key of the store.
pub(crate) fn all_keys(db: &Db) -> Vec<String> {
    found(db, KeyRange::all())
}

/// Put options with a lease.
pub(crate) fn with_lease(id: i64) -> PutOptions {
    PutOptions::new().lease(id)
}

/// A lease that does not end during a test.
pub(crate) fn grant(db: &Db, id: i64) {
    db.grant_with_id(id, Duration::from_secs(3600)).unwrap();
}

/// The keys that a lease holds.
pub(crate) fn lease_keys(db: &Db, id: i64) -> Vec<String> {
    db.lease(id).time_to_live().unwrap().unwrap().keys.iter().map(|key| text(key)).collect()
}

/// All events from a revision on, as a watcher sees them: `+key=value@revision`, `-key@revision`, each with
/// ` was value` if there was one.
pub(crate) fn events(db: &Db, from: u64) -> Vec<String> {
    let mut watch = db.watch(KeyRange::all()).from(from).with_prev().start().unwrap();
    let mut seen = Vec::new();
    while let Some(batch) = watch.try_next().unwrap() {
        seen.extend(batch.events().iter().map(describe));
    }
    seen
}

fn describe(event: &Event) -> String {
    let kv = &event.kv;
    let (key, revision) = (text(&kv.key), kv.mod_revision);
    let what = match event.kind {
        EventKind::Put => format!("+{key}={}@{revision}", text(&kv.value)),
        EventKind::Delete => {
            assert_eq!((kv.value.len(), kv.version, kv.create_revision.get(), kv.lease.get()), (0, 0, 0, 0), "PD-07");
            format!("-{key}@{revision}")
        }
    };
    match &event.prev {
        Some(prev) => format!("{what} was {}", text(&prev.value)),
        None => what,
    }
}

/// Runs these operations unconditionally.
pub(crate) fn run<const N: usize>(db: &Db, ops: [Op; N]) -> etclite::Result<TxnResponse> {
    db.txn().then(ops).commit()
}

/// The answer to a range inside a txn.
pub(crate) fn range_of(response: &OpResponse) -> &RangeResponse {
    let OpResponse::Range(range) = response else { panic!("not a range: {response:?}") };
    range
}

/// The answer to a nested txn.
pub(crate) fn txn_of(response: &OpResponse) -> &TxnResponse {
    let OpResponse::Txn(txn) = response else { panic!("not a txn: {response:?}") };
    txn
}

/// The revision in any inner answer.
pub(crate) fn revision_of(response: &OpResponse) -> u64 {
    match response {
        OpResponse::Put(put) => put.revision.get(),
        OpResponse::Delete(delete) => delete.revision.get(),
        OpResponse::Range(range) => range.revision.get(),
        OpResponse::Txn(txn) => txn.revision.get(),
        other => panic!("unknown: {other:?}"),
    }
}

/// The error of a call that must fail without a trace: not applied, revision and hash and leases as before, and the
/// store goes on.
pub(crate) fn refused<T: Debug>(db: &Db, call: impl FnOnce(&Db) -> etclite::Result<T>) -> Error {
    let before = (db.revision(), db.hash(0).unwrap(), db.leases().unwrap().len());
    let error = call(db).expect_err("the call must be refused");
    assert_eq!(error.applied(), Applied::No, "{error}");
    assert_eq!((db.revision(), db.hash(0).unwrap(), db.leases().unwrap().len()), before, "nothing changed: {error}");
    // Usable: a write and a read, undone in content by the delete.
    let revision = db.put("~probe", "x").unwrap().revision;
    assert_eq!(revision, before.0 + 1);
    assert_eq!(db.delete("~probe").unwrap().deleted, 1);
    error
}

/// Whether an error is an invalid argument for this reason.
pub(crate) fn is_invalid(error: &Error, reason: Invalid) -> bool {
    matches!(error, Error::InvalidArgument(found) if *found == reason)
}
