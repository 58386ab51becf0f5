//! Bugs of ours that a review found, one small test each, on real threads over a simulated disk: with handshakes where
//! one order is meant, and many rounds where any is. A thread that never comes back fails its test by time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use etclite::io::fs::SystemClock;
use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk};
use etclite::io::{Disk, IoSite};
use etclite::testing::{Knobs, expire, open_on, with_knobs};
use etclite::{Db, Error, Health, LogEvent, Options, PutOptions, prefix};

use super::gate::{GateDisk, LONG};
use super::rig::{ROOMY, TINY, drain, ids, left_ms, ms, open_image, open_sim, open_threaded};

/// Small segments, and memtables that take everything: what was written stays in the log.
const ALL_IN_LOG: Knobs = Knobs { memtable_bytes: 4 << 20, ..TINY };

const SYSTEM_TIME: fn() -> Arc<SystemClock> = || Arc::new(SystemClock::new());

fn fault(site: IoSite) -> Fault {
    Fault { site: Some(site), nth: 1, kind: FaultKind::Eio, forever: false }
}

/// A writer that found the open frame full handed it to the system and published it, unsynced: the writers in it were
/// answered, and a power cut took back what they had been told.
#[test]
fn a_full_frame_is_synced_before_it_is_answered() {
    let disk = SimDisk::new();
    let gated = GateDisk::new(&disk, IoSite::LogSync);
    let gate = gated.gate();
    let options = with_knobs(Options::new(), Knobs { manual: false, segment_bytes: 64 << 10, ..ROOMY });
    let db = open_on(Arc::new(gated), SYSTEM_TIME(), options).unwrap();
    let answered = Mutex::new(Vec::new());
    let put = |len: usize| {
        let revision = db.put("a", vec![b'x'; len]).unwrap().revision;
        let position = disk.position();
        let synced = db.stats().synced_revision;
        assert!(synced >= revision, "{revision} was answered, {synced} is synced");
        answered.lock().unwrap().push((position, revision));
    };
    for _ in 0..20 {
        let before = db.stats().memtable_bytes;
        gate.shut();
        thread::scope(|scope| {
            scope.spawn(|| put(1));
            gate.await_call();
            // Behind the frame that is being synced: half a segment takes two of these, and six find no place.
            (0..8).for_each(|_| drop(scope.spawn(|| put(14_000))));
            while db.stats().memtable_bytes < before + 2 * 14_000 {
                thread::yield_now();
            }
            (0..100).for_each(|_| thread::yield_now());
            gate.let_one_pass();
            gate.await_call();
            gate.open();
        });
    }
    let record = disk.record();
    for (position, revision) in answered.into_inner().unwrap().into_iter().step_by(10) {
        let db = open_image(record.durable_at(position), &SimClock::new(1), ROOMY).unwrap();
        assert!(db.revision() >= revision, "{revision} was answered, a power cut leaves {}", db.revision());
    }
}

/// Threads began to flush, to commit and to end leases while the log was still being replayed: they ordered and published
/// in the middle of it.
#[test]
fn nothing_works_in_the_background_during_replay() {
    let disk = SimDisk::new();
    let options = with_knobs(Options::new(), ALL_IN_LOG);
    let db = open_on(Arc::new(disk.clone()), SYSTEM_TIME(), options).unwrap();
    for id in 1..=40 {
        // Over before the next open, all but the first.
        db.grant_with_id(id, if id == 1 { ms(1_000_000) } else { ms(1) }).unwrap();
        db.put_with(format!("leased/{id:02}"), "1", PutOptions::new().lease(id)).unwrap();
        (0..15).for_each(|i| drop(db.put(format!("k{i}"), "x".repeat(200)).unwrap()));
    }
    let (revision, hash) = (db.revision(), db.hash(0).unwrap().hash);
    let image = disk.image();
    for _ in 0..50 {
        // Memtables are closed and flushed all the way.
        let db = open_threaded(&SimDisk::from_image(image.clone()), TINY);
        assert_eq!(db.stats().recovered_revision, revision);
        assert_eq!(db.hash(revision).unwrap().hash, hash);
        let mut watch = db.watch(prefix("leased/")).from(revision + 1).start().unwrap();
        while watch.progress() < revision + 39 {
            watch.next_timeout(LONG).unwrap().expect("the leases end");
        }
        assert_eq!((ids(&db), db.revision()), (vec![1], revision + 39));
        db.close().unwrap();
    }
}

/// An open that failed late had started threads: they kept the store, and its lock, of a handle that nobody had.
#[test]
fn a_failed_open_leaves_no_thread_and_no_lock() {
    let disk = SimDisk::new();
    let db = open_sim(&disk, &SimClock::new(1), ALL_IN_LOG);
    db.grant_with_id(7, ms(1_000_000)).unwrap();
    db.flush().unwrap();
    db.grant_with_id(8, ms(1_000_000)).unwrap();
    for i in 0..60 {
        db.put(format!("k{}", i % 10), "x".repeat(200)).unwrap();
    }
    let image = disk.image();
    let options = with_knobs(Options::new(), Knobs { manual: false, ..TINY });
    let (mut failed, mut opened, mut nth) = (0, 0, 0);
    while opened < 30 {
        nth += 1;
        let disk = Arc::new(SimDisk::from_image(image.clone()));
        disk.fail(Fault { site: None, nth, kind: FaultKind::Eio, forever: false });
        match open_on(disk.clone(), Arc::new(SimClock::new(2)), options.clone()) {
            Ok(db) => {
                opened += 1;
                drop(db.close());
            }
            Err(error) => {
                failed += 1;
                assert_eq!(Arc::strong_count(&disk), 1, "call {nth}, {error}: somebody still has the store");
                assert!(disk.lock(true).is_ok(), "call {nth}, {error}: the lock is still held");
            }
        }
    }
    assert!(failed > 50, "{failed}");
}

/// A keep-alive waited for the end of its lease; the sync of that end failed, it was never published, and the keep-alive
/// waited for ever.
#[test]
fn a_keep_alive_that_waits_for_an_end_hears_of_poison() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let gated = GateDisk::new(&disk, IoSite::LogSync);
    let gate = gated.gate();
    let db = open_on(Arc::new(gated), Arc::new(clock.clone()), with_knobs(Options::new(), ROOMY)).unwrap();
    let lease = db.grant_with_id(7, ms(10)).unwrap();
    lease.keep_alive().unwrap();
    clock.advance(ms(10));
    disk.fail(fault(IoSite::LogSync));
    gate.shut();
    let (answer, answered) = mpsc::channel();
    let ending = thread::spawn({
        let db = db.clone();
        move || expire(&db)
    });
    gate.await_call();
    thread::spawn(move || answer.send(lease.keep_alive()));
    gate.open();
    assert!(ending.join().unwrap().is_err());
    let kept = answered.recv_timeout(LONG).expect("the keep-alive comes back");
    assert!(matches!(kept, Err(Error::Poisoned)), "{kept:?}");
}

/// The log hook hears of poison on the thread that met it. Closing the store there waited for all threads to end, that
/// one too.
#[test]
fn the_log_hook_closes_the_store_on_a_background_thread() {
    let disk = SimDisk::new();
    let slot: Arc<Mutex<Option<Db>>> = Arc::default();
    let (closed, told) = mpsc::channel();
    let hook = {
        let slot = slot.clone();
        move |event: &LogEvent| {
            let db = slot.lock().unwrap().take();
            if let (LogEvent::Poisoned(_), Some(db)) = (event, db) {
                closed.send((thread::current().id(), db.close().is_ok())).unwrap();
            }
        }
    };
    let options = with_knobs(Options::new().log_hook(hook), Knobs { manual: false, ..TINY });
    let db = open_on(Arc::new(disk.clone()), SYSTEM_TIME(), options).unwrap();
    *slot.lock().unwrap() = Some(db.clone());
    db.grant_with_id(7, ms(1_000_000)).unwrap();
    disk.fail(fault(IoSite::RunSync));
    let mut answered = db.revision();
    let error = loop {
        match db.put("a", "x".repeat(200)) {
            Ok(response) => answered = response.revision,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Poisoned | Error::Closed | Error::Indeterminate), "{error}");
    let (by, fine) = told.recv_timeout(LONG).expect("close returns");
    assert!(fine && by != thread::current().id());
    assert!(matches!(db.put("a", "1"), Err(Error::Closed)) && matches!(db.get("a"), Err(Error::Closed)));
    assert!(matches!(db.health(), Health::Closed));
    // Nothing of it holds the lock.
    let db = open_threaded(&disk, TINY);
    assert!(db.revision() >= answered && ids(&db) == [7]);
}

/// Writers that wait for a flush on a full disk: the flush failed once, and told one of them.
#[test]
fn every_writer_that_waits_for_a_flush_is_told_of_a_full_disk() {
    let disk = SimDisk::new();
    let knobs = Knobs { manual: false, segment_bytes: 4 << 20, fill_bytes: 1 << 20, ..TINY };
    let options = with_knobs(Options::new(), knobs).write_timeout(LONG);
    let db = open_on(Arc::new(disk.clone()), SYSTEM_TIME(), options.clone()).unwrap();
    for round in 0..10 {
        disk.set_capacity(Some(disk.used()));
        let full = thread::scope(|scope| {
            let write_until_full = || {
                loop {
                    if let Err(error) = db.put("a", vec![round; 200]) {
                        break error;
                    }
                }
            };
            let writers: Vec<_> = (0..4).map(|_| scope.spawn(write_until_full)).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(full.iter().all(|error| matches!(error, Error::Full { what: "disk", .. })), "{full:?}");
        disk.set_capacity(None);
        db.put("b", "there is room").unwrap();
        db.flush().unwrap();
    }
    let revision = db.revision();
    db.close().unwrap();
    assert_eq!(open_on(Arc::new(disk), SYSTEM_TIME(), options).unwrap().revision(), revision);
}

/// Closing writes down what is left of leases. With memtables waiting for their flush it found no room for that, waited for
/// threads that it had ended itself, and gave up: `Closed`, and the leases went on from an older time.
#[test]
fn a_store_whose_flushes_have_fallen_behind_closes() {
    let disk = SimDisk::new();
    let clock = SimClock::new(1);
    let knobs = Knobs { manual: false, segment_bytes: 4 << 20, fill_bytes: 1 << 20, ..TINY };
    let open = || open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), with_knobs(Options::new(), knobs)).unwrap();
    let db = open();
    (1..=500).for_each(|id| drop(db.grant_with_id(id, ms(60_000)).unwrap()));
    db.flush().unwrap();
    disk.set_capacity(Some(disk.used()));
    while db.put("a", "x".repeat(200)).is_ok() {}
    // The threads that found no room are gone, and nobody asks them again.
    disk.set_capacity(None);
    clock.advance(ms(1_000));
    db.close().unwrap();
    assert_eq!(left_ms(&open(), 500), Some(59_000));
}

/// A flush that takes for ever: `write_timeout` is what a writer waits, and nothing of it was written.
#[test]
fn a_writer_waits_for_a_flush_no_longer_than_it_may() {
    let disk = SimDisk::new();
    let gated = GateDisk::new(&disk, IoSite::RunSync);
    let gate = gated.gate();
    let options = with_knobs(Options::new(), Knobs { manual: false, ..TINY }).write_timeout(ms(20));
    let db = open_on(Arc::new(gated), SYSTEM_TIME(), options).unwrap();
    gate.shut();
    let (mut answered, started) = (db.revision(), std::time::Instant::now());
    // Three memtables take no more than twenty of these.
    let error = (0..20).find_map(|_| match db.put("a", "x".repeat(200)) {
        Ok(response) => {
            answered = response.revision;
            None
        }
        Err(error) => Some(error),
    });
    gate.await_call();
    let (waited, revision) = (started.elapsed(), db.revision());
    gate.open();
    assert!(matches!(error, Some(Error::Timeout)), "{error:?}");
    assert!(waited < LONG && revision == answered);
    while let Err(error) = db.put("a", "there is room") {
        assert!(matches!(error, Error::Timeout), "{error}");
    }
    assert_eq!(db.revision(), answered + 1);
}

/// `check` read the log while it was written, and the catalog while it was edited: it found damage where there was none.
#[test]
fn a_check_among_writers_finds_nothing() {
    let disk = SimDisk::new();
    let db = open_threaded(&disk, TINY);
    db.grant_with_id(7, ms(1_000_000)).unwrap();
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut watch = db.watch("never").start().unwrap();
    thread::scope(|scope| {
        for worker in 0..3 {
            let (db, stop, written) = (&db, &stop, &written);
            scope.spawn(move || {
                for i in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let lease = PutOptions::new().lease(if i % 3 == 0 { 7 } else { 0 });
                    let revision = db
                        .put_with(format!("k{worker}/{}", i % 9), vec![b'x'; 150 + 1_500 * (i % 2)], lease)
                        .unwrap()
                        .revision;
                    if worker == 0 && i % 50 == 49 {
                        db.compact(revision - 20).unwrap();
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for check in 0..200 {
            // A check keeps writers out of the log for a while: each has had its turn.
            while written.load(Ordering::Relaxed) < 5 * check {
                thread::yield_now();
            }
            let report = db.check();
            if !report.as_ref().is_ok_and(etclite::CheckReport::is_clean) {
                stop.store(true, Ordering::Relaxed);
            }
            let report = report.unwrap();
            assert!(report.is_clean(), "{report:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(drain(&mut watch).unwrap().is_empty());
    db.close().unwrap();
}
