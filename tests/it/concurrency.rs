//! RV-10: many threads at once. No update is lost, no snapshot changes, and the order of revisions is the order of time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use etclite::io::Disk;
use etclite::io::memory::MemoryDisk;
use etclite::{Compare, Db, KeyRange, Op, Options, Put, Range};

use super::support::{get, on_each_setup, open_restless, put_all, range_of, text};

const THREADS: usize = 8;
const ROUNDS: u64 = 40;

fn number(value: &[u8]) -> u64 {
    text(value).parse().unwrap()
}

/// Adds one by compare-and-swap, as often as it takes.
fn add_by_swap(db: &Db, key: &str) {
    loop {
        let kv = get(db, key);
        let next = (number(&kv.value) + 1).to_string();
        if db.compare_and_swap(key, kv.mod_revision, next).unwrap().is_some() {
            return;
        }
    }
}

/// The same by a txn on the value, which tells the newest value when it loses.
fn add_by_txn(db: &Db, key: &str) {
    let mut seen = number(&get(db, key).value);
    loop {
        let same = Compare::value(key).eq(seen.to_string());
        let txn = db.txn().when([same]).then([Put::new(key, (seen + 1).to_string())]);
        let answer = txn.or_else([Range::new(key)]).commit().unwrap();
        if answer.succeeded {
            return;
        }
        seen = number(&range_of(&answer.responses[0]).kvs[0].value);
    }
}

#[test]
fn rv_10_no_update_is_lost() {
    on_each_setup(|db| {
        put_all(db, &[("swap", "0"), ("txn", "0")]);
        let db: &Db = db;
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        add_by_swap(db, "swap");
                        add_by_txn(db, "txn");
                        db.put("noise", "").unwrap();
                    }
                });
            }
        });
        let expected = THREADS as u64 * ROUNDS;
        for key in ["swap", "txn"] {
            let kv = get(db, key);
            assert_eq!((number(&kv.value), kv.version), (expected, expected + 1));
        }
        assert_eq!(db.revision(), 3 + 3 * expected, "one revision a change, and none for what lost");
    });
}

/// Checker 1 of the test plan in small: if A returned before B was called then rev(A) <= rev(B), and < if B wrote;
/// every read equals the history at the revision that it reports.
#[test]
fn rv_10_revisions_are_in_the_order_of_time() {
    on_each_setup(|db| {
        let store: &Db = db;
        let clock = AtomicU64::new(0);
        let history = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for worker in 0..THREADS {
                let (clock, history) = (&clock, &history);
                scope.spawn(move || {
                    let operations =
                        (0..ROUNDS).map(|round| operation(store, clock, worker, round)).collect::<Vec<_>>();
                    history.lock().unwrap().extend(operations);
                });
            }
        });
        let mut history = history.into_inner().unwrap();
        check_order(&mut history);
        db.settle();
        for read in history.iter().filter(|operation| !operation.wrote) {
            let value = db.get_at("k", read.revision).unwrap().map(|kv| kv.value.to_vec());
            assert_eq!(read.value, value, "the read at {} equals the history", read.revision);
        }
    });
}

/// What one call did, by a clock of ticks.
struct Done {
    called: u64,
    returned: u64,
    revision: u64,
    wrote: bool,
    value: Option<Vec<u8>>,
}

fn operation(db: &Db, clock: &AtomicU64, worker: usize, round: u64) -> Done {
    let called = clock.fetch_add(1, Ordering::SeqCst);
    let value = format!("{worker}/{round}").into_bytes();
    let (revision, wrote, value) = match round % 4 {
        0 => (db.put("k", &value).unwrap().revision, true, None),
        1 => {
            let answer = db.query("k").unwrap();
            (answer.revision, false, answer.kvs.first().map(|kv| kv.value.to_vec()))
        }
        2 => {
            let txn =
                db.txn().then([Op::from(Put::new(format!("own/{worker}"), &value)), Put::new("k", &value).into()]);
            (txn.commit().unwrap().revision, true, None)
        }
        _ => {
            let answer = db.txn().then([Range::new("k")]).commit().unwrap();
            (answer.revision, false, range_of(&answer.responses[0]).kvs.first().map(|kv| kv.value.to_vec()))
        }
    };
    let returned = clock.fetch_add(1, Ordering::SeqCst);
    Done { called, returned, revision: revision.get(), wrote, value }
}

/// Walks the calls in the order in which they were called, with the highest revision of all that had returned.
fn check_order(history: &mut [Done]) {
    let mut written: Vec<u64> = history.iter().filter(|done| done.wrote).map(|done| done.revision).collect();
    written.sort_unstable();
    assert!(written.windows(2).all(|pair| pair[0] < pair[1]), "each write has a revision of its own");
    history.sort_unstable_by_key(|done| done.called);
    for later in history.iter() {
        let earlier = history.iter().filter(|done| done.returned < later.called).map(|done| done.revision).max();
        let least = earlier.unwrap_or(0) + u64::from(later.wrote && earlier.is_some());
        assert!(later.revision >= least, "revision {} after {earlier:?}", later.revision);
    }
}

#[test]
fn x_10_a_snapshot_never_changes_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let db = Options::new().durability(etclite::Durability::Buffered).open(dir.path().join("store")).unwrap();
    let keys: Vec<String> = (0..50).map(|n| format!("k{n:02}")).collect();
    let set_all = |value: &str| {
        db.txn().then(keys.iter().map(|key| Op::from(Put::new(key, value)))).commit().unwrap();
    };
    set_all("0");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..200 {
                set_all(&round.to_string());
                if round % 20 == 0 {
                    db.delete(KeyRange::between("k10", "k20")).unwrap();
                    db.flush().unwrap();
                    db.compact_physical(db.revision()).unwrap();
                }
            }
            stop.store(true, Ordering::SeqCst);
        });
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let snapshot = db.snapshot().unwrap();
                    let read = || -> Vec<_> { snapshot.range(..).unwrap().map(Result::unwrap).collect() };
                    let first = read();
                    assert!(first.iter().all(|kv| kv.value == first[0].value), "a txn is seen whole");
                    assert!(matches!(first.len(), 40 | 50), "a delete is seen whole");
                    for _ in 0..3 {
                        assert_eq!(read(), first);
                        assert_eq!(snapshot.count(..).unwrap(), first.len() as u64);
                        assert_eq!(snapshot.get("k00").unwrap().as_ref(), first.first());
                    }
                }
            });
        }
    });
    assert!(db.check().unwrap().is_clean());
}

/// The same while memtables rotate, the log rolls, runs are flushed and merged, and history is compacted away: by the
/// store's own threads, beside the writers.
#[test]
fn rv_10_under_constant_flushing_and_merging() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let db = open_restless(&disk);
    put_all(&db, &[("swap", "0"), ("txn", "0")]);
    let stop = AtomicBool::new(false);
    let writers = AtomicU64::new(THREADS as u64);
    let mut watch = db.watch("swap").start().unwrap();
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let (db, stop, writers) = (&db, &stop, &writers);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    add_by_swap(db, "swap");
                    add_by_txn(db, "txn");
                    db.put(format!("own/{worker}/{}", round % 7), round.to_string()).unwrap();
                    if round % 10 == 9 {
                        db.delete(etclite::prefix(format!("own/{worker}/"))).unwrap();
                    }
                }
                if writers.fetch_sub(1, Ordering::SeqCst) == 1 {
                    stop.store(true, Ordering::SeqCst);
                }
            });
        }
        scope.spawn(|| read_while(&db, &stop));
        scope.spawn(|| read_while(&db, &stop));
        scope.spawn(|| compact_while(&db, &stop));
    });
    let expected = THREADS as u64 * ROUNDS;
    for key in ["swap", "txn"] {
        let kv = get(&db, key);
        assert_eq!((number(&kv.value), kv.version), (expected, expected + 1));
    }
    let report = db.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
    let (hash, revision) = (db.hash(0).unwrap(), db.revision());
    while let Some(batch) = watch.try_next().transpose() {
        match batch {
            Ok(batch) => assert_eq!(batch.events().len(), 1),
            Err(error) => assert!(matches!(error, etclite::Error::Compacted { .. }), "{error}"),
        }
    }
    db.close().unwrap();
    let db = open_restless(&disk);
    assert_eq!((db.hash(0).unwrap(), db.revision()), (hash, revision));
    assert!(db.check().unwrap().is_clean());
}

/// Reads the present and the past in all ways; what is read twice at a revision must be the same.
fn read_while(db: &Db, stop: &AtomicBool) {
    let mut last = 0;
    while !stop.load(Ordering::SeqCst) {
        let snapshot = db.snapshot().unwrap();
        let revision = snapshot.revision().get();
        assert!(revision >= last, "revisions never go back");
        last = revision;
        let forward: Vec<_> = snapshot.range(..).unwrap().map(Result::unwrap).collect();
        let mut backward: Vec<_> = snapshot.range(Range::new(..).reverse()).unwrap().map(Result::unwrap).collect();
        backward.reverse();
        assert_eq!(forward, backward);
        assert!(
            forward.iter().all(|kv| kv.mod_revision <= snapshot.revision() && kv.create_revision <= kv.mod_revision)
        );
        for kv in &forward {
            assert_eq!(snapshot.get(&kv.key).unwrap().as_ref(), Some(kv));
        }
        match db.query(Range::new(..).at(revision)) {
            Ok(answer) => assert_eq!(answer.kvs, forward),
            Err(error) => assert!(matches!(error, etclite::Error::Compacted { .. }), "{error}"),
        }
    }
}

fn compact_while(db: &Db, stop: &AtomicBool) {
    let mut last = 0;
    while !stop.load(Ordering::SeqCst) {
        let revision = db.revision().get();
        if revision > last + 20 {
            last = revision - 10;
            db.compact(last).unwrap();
        }
        thread::yield_now();
    }
}
