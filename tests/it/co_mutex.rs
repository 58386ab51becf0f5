//! CO-02 to CO-07 and the rules for locks of testing 5.1: who gets the lock, when, and what becomes of those who do not.
//!
//! A waiter stands in line once its key is there; that is what tests wait for before they go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use etclite::coordination::{Cancel, LockGuard, WaitOptions};
use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk};
use etclite::testing::{open_on, waiter_wakes, with_knobs};
use etclite::{
    Compare, Db, Delete, Error, Options, Put, PutOptions, Result, Revision, Session, SessionOptions, prefix,
};

use super::gate::{ActingClock, LONG};
use super::rig::{Kind, ROOMY, Store, everywhere, ms, open_sim};

/// Waits until the lock's line has so many keys.
pub(crate) fn await_line(db: &Db, name: &str, count: usize) {
    let prefix = prefix(format!("{name}/"));
    let mut watch = db.watch(prefix.clone()).start().unwrap();
    while db.count(prefix.clone()).unwrap() != count as u64 {
        assert!(watch.next_timeout(LONG).unwrap().is_some(), "the line of {name} never has {count} keys");
    }
}

/// A session that does not end during a test.
pub(crate) fn session(db: &Db) -> Session {
    db.session(Duration::from_secs(3_600)).unwrap()
}

/// A thread that locks `n`, and what it came to.
pub(crate) fn locker<'s>(
    scope: &'s Scope<'s, '_>,
    session: &Session,
    options: &WaitOptions,
) -> (ScopedJoinHandle<'s, ()>, Receiver<Result<Option<LockGuard>>>) {
    let (mutex, options, (sender, receiver)) = (session.mutex("n"), options.clone(), channel());
    let thread = scope.spawn(move || sender.send(mutex.lock_with(&options)).unwrap());
    (thread, receiver)
}

pub(crate) fn is_waiting<T>(receiver: &Receiver<T>) -> bool {
    matches!(receiver.try_recv(), Err(TryRecvError::Empty))
}

pub(crate) fn line(db: &Db) -> Vec<String> {
    let keys = db.range(prefix("n/")).unwrap().map(|kv| kv.unwrap().key);
    keys.map(|key| String::from_utf8(key.to_vec()).unwrap()).collect()
}

#[test]
fn co_02_the_key_is_etcds() {
    everywhere(|store| {
        for (id, key) in [(0x5f1c, "lk/5f1c"), (1, "lk/1"), (-7, "lk/-7"), (i64::MAX, "lk/7fffffffffffffff")] {
            store.db.grant_with_id(id, ms(60_000)).unwrap();
            let session = store.db.session_with(SessionOptions::new().lease(id)).unwrap();
            let guard = session.mutex("lk").lock().unwrap();
            assert_eq!(guard.key(), key);
            let kv = store.db.get(key).unwrap().unwrap();
            assert_eq!((kv.value.len(), kv.lease.get(), kv.create_revision), (0, id, guard.revision()));
            assert_eq!(guard.revision(), store.db.revision());
            guard.unlock().unwrap();
        }
        let session = session(&store.db);
        assert_eq!(*session.mutex("/my-lock/").lock().unwrap().key(), format!("/my-lock//{}", session.lease()));
        assert_eq!(
            *session.mutex(b"\xff").lock().unwrap().key(),
            [b"\xff/", session.lease().to_string().as_bytes()].concat()
        );
    });
}

/// Another client's key stands in line like any other.
#[test]
fn co_02_clients_of_all_kinds_share_a_lock() {
    everywhere(|store| {
        let db = &store.db;
        db.grant_with_id(7, ms(60_000)).unwrap();
        db.put_with("n/7", "", PutOptions::new().lease(7)).unwrap();
        let session = session(db);
        assert!(session.mutex("n").try_lock().unwrap().is_none());
        std::thread::scope(|scope| {
            let (_, locked) = locker(scope, &session, &WaitOptions::new());
            await_line(db, "n", 2);
            assert!(is_waiting(&locked));
            db.lease(7).revoke().unwrap();
            let guard = locked.recv().unwrap().unwrap().unwrap();
            // Their txn that takes the lock finds that it is not the first.
            db.grant_with_id(8, ms(60_000)).unwrap();
            let theirs = db.txn().when([Compare::create_revision("n/8").eq(0)]).then([Put::new("n/8", "").lease(8)]);
            theirs.commit().unwrap();
            assert_eq!(db.leader("n").unwrap().unwrap().key, guard.key());
        });
    });
}

#[test]
fn co_03_served_in_the_order_of_arrival() {
    const WAITERS: usize = 24;
    let db = Db::in_memory().unwrap();
    let first = session(&db).mutex("n").lock().unwrap();
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for number in 0..WAITERS {
            let (sender, session) = (sender.clone(), session(&db));
            scope.spawn(move || {
                let guard = session.mutex("n").lock().unwrap();
                sender.send((number, guard.revision())).unwrap();
                guard.unlock().unwrap();
            });
            await_line(&db, "n", number + 2);
        }
        let before = waiter_wakes(&db);
        let mut last = first.revision();
        first.unlock().unwrap();
        for expected in 0..WAITERS {
            let (number, revision) = receiver.recv_timeout(LONG).unwrap();
            assert_eq!(number, expected);
            assert!(revision > last, "tokens rise");
            last = revision;
        }
        assert_eq!(waiter_wakes(&db) - before, WAITERS as u64, "one release wakes one waiter");
    });
    assert!(line(&db).is_empty());
}

/// Many at once, each with a session of its own: the lock excludes, and its numbers rise.
#[test]
fn co_03_holders_never_overlap() {
    let db = Db::in_memory().unwrap();
    let (inside, last, counter) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let session = session(&db);
                for _ in 0..40 {
                    let guard = session.mutex("n").lock().unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two are inside");
                    assert!(last.swap(guard.revision().get(), Ordering::SeqCst) < guard.revision().get());
                    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    guard.unlock().unwrap();
                }
            });
        }
    });
    assert_eq!(counter.into_inner(), 240);
}

#[test]
fn co_03_waiter_learns_that_its_session_ended() {
    let ends: [fn(&Store, &Session); 3] = [
        |_, session| assert!(session.close().unwrap().is_some()),
        |store, session| assert!(store.db.lease(session.lease()).revoke().is_ok()),
        |store, _| store.advance_ms(5_000),
    ];
    for end in ends {
        let store = Store::new(Kind::Memory);
        let held = session(&store.db).mutex("n").lock().unwrap();
        let waiting = store.db.session(ms(5_000)).unwrap();
        std::thread::scope(|scope| {
            let (_, locked) = locker(scope, &waiting, &WaitOptions::new());
            await_line(&store.db, "n", 2);
            assert!(is_waiting(&locked));
            end(&store, &waiting);
            assert!(matches!(locked.recv().unwrap(), Err(Error::SessionExpired)));
            // At once: the holder holds on.
            assert!(held.is_held().unwrap());
            assert_eq!(line(&store.db), [std::str::from_utf8(held.key()).unwrap()]);
        });
        assert!(matches!(waiting.mutex("n").lock(), Err(Error::SessionExpired)));
        assert!(matches!(waiting.mutex("n").try_lock(), Err(Error::SessionExpired)));
    }
}

/// The waiter in the middle dies; the one behind it waits on, for the holder.
#[test]
fn co_03_a_dead_waiter_leaves_the_line() {
    let store = Store::new(Kind::Memory);
    let held = session(&store.db).mutex("n").lock().unwrap();
    let (dying, living) = (session(&store.db), session(&store.db));
    std::thread::scope(|scope| {
        let (_, dead) = locker(scope, &dying, &WaitOptions::new());
        await_line(&store.db, "n", 2);
        let (_, locked) = locker(scope, &living, &WaitOptions::new());
        await_line(&store.db, "n", 3);
        dying.close().unwrap();
        assert!(dead.recv().unwrap().is_err());
        assert!(is_waiting(&locked));
        held.unlock().unwrap();
        assert!(locked.recv().unwrap().unwrap().unwrap().is_held().unwrap());
    });
}

#[test]
fn co_03_a_key_deleted_by_hand_is_lost() {
    let store = Store::new(Kind::Memory);
    let held = session(&store.db).mutex("n").lock().unwrap();
    let waiting = session(&store.db);
    std::thread::scope(|scope| {
        let (_, locked) = locker(scope, &waiting, &WaitOptions::new());
        await_line(&store.db, "n", 2);
        store.db.delete_with(Delete::new(format!("n/{}", waiting.lease()))).unwrap();
        assert!(matches!(locked.recv().unwrap(), Err(Error::SessionExpired)));
        assert!(held.is_held().unwrap());
    });
}

#[test]
fn co_03_a_cancelled_wait_deletes_the_own_key() {
    let store = Store::new(Kind::Memory);
    let held = session(&store.db).mutex("n").lock().unwrap();
    let (giving_up, patient, cancel) = (session(&store.db), session(&store.db), Cancel::new());
    std::thread::scope(|scope| {
        let (_, canceled) = locker(scope, &giving_up, &WaitOptions::new().cancel(&cancel));
        await_line(&store.db, "n", 2);
        let (_, locked) = locker(scope, &patient, &WaitOptions::new());
        await_line(&store.db, "n", 3);
        cancel.cancel();
        assert!(matches!(canceled.recv().unwrap(), Err(Error::WaitCanceled)));
        assert_eq!(line(&store.db).len(), 2, "its key is gone when the call returns");
        assert!(is_waiting(&locked) && held.is_held().unwrap() && giving_up.is_alive());
        held.unlock().unwrap();
        locked.recv().unwrap().unwrap().unwrap().unlock().unwrap();
    });
    // What is cancelled stays so; what is free is had all the same.
    let held = patient.mutex("n").lock_with(&WaitOptions::new().cancel(&cancel)).unwrap().unwrap();
    assert!(matches!(giving_up.mutex("n").lock_with(&WaitOptions::new().cancel(&cancel)), Err(Error::WaitCanceled)));
    assert_eq!(line(&store.db), [std::str::from_utf8(held.key()).unwrap()]);
}

#[test]
fn co_03_a_wait_that_times_out_deletes_the_own_key() {
    everywhere(|store| {
        let held = session(&store.db).mutex("n").lock().unwrap();
        let impatient = session(&store.db);
        for timeout in [Duration::ZERO, ms(5)] {
            assert!(impatient.mutex("n").lock_timeout(timeout).unwrap().is_none());
            assert_eq!(line(&store.db), [std::str::from_utf8(held.key()).unwrap()]);
        }
        held.unlock().unwrap();
        assert!(impatient.mutex("n").lock_timeout(Duration::ZERO).unwrap().is_some());
        assert!(impatient.mutex("m").lock_timeout(Duration::MAX).unwrap().is_some());
    });
}

#[test]
fn co_03_compaction_disturbs_no_waiter() {
    let store = Store::new(Kind::Tiny);
    let held = session(&store.db).mutex("n").lock().unwrap();
    let waiting = session(&store.db);
    std::thread::scope(|scope| {
        let (_, locked) = locker(scope, &waiting, &WaitOptions::new());
        await_line(&store.db, "n", 2);
        for round in 0..30 {
            store.put("other", &round.to_string());
            store.db.compact(store.db.revision()).unwrap();
            store.settle();
        }
        assert!(is_waiting(&locked));
        held.unlock().unwrap();
        store.db.compact(store.db.revision()).unwrap();
        assert!(locked.recv().unwrap().unwrap().is_some());
    });
}

#[test]
fn co_04_try_lock() {
    everywhere(|store| {
        let (one, other) = (session(&store.db), session(&store.db));
        let held = one.mutex("n").try_lock().unwrap().unwrap();
        let revision = store.db.revision();
        assert!(other.mutex("n").try_lock().unwrap().is_none());
        assert_eq!((store.db.revision(), line(&store.db).len()), (revision, 1), "nothing was written");
        assert_eq!(one.mutex("n").try_lock().unwrap().unwrap().revision(), held.revision());
        // Its guard, dropped, has released the lock of the session.
        assert!(other.mutex("n").try_lock().unwrap().is_some());
    });
}

#[test]
fn co_05_the_same_session_has_one_lock() {
    everywhere(|store| {
        let (one, other) = (session(&store.db), session(&store.db));
        let (first, second) = (one.mutex("n").lock().unwrap(), one.clone().mutex("n").lock().unwrap());
        assert_eq!((first.key(), first.revision()), (second.key(), second.revision()));
        first.unlock().unwrap();
        assert!(!second.is_held().unwrap());
        assert!(matches!(second.unlock(), Err(Error::SessionExpired)));
        assert!(other.mutex("n").try_lock().unwrap().is_some());
    });
}

/// Waits until so many wait in one line, each of whom watches two keys; the line has a watch of its own.
pub(crate) fn await_waiters(db: &Db, count: u64) {
    let started = std::time::Instant::now();
    while db.stats().watches != 1 + 2 * count {
        assert!(started.elapsed() < LONG, "there are never {count} waiters");
        std::thread::yield_now();
    }
}

#[test]
fn co_06_a_stale_guard_frees_nothing() {
    everywhere(|store| {
        let (one, other) = (store.db.session(ms(5_000)).unwrap(), session(&store.db));
        let stale = one.mutex("n").lock().unwrap();
        store.advance_ms(5_000);
        let held = other.mutex("n").try_lock().unwrap().unwrap();
        assert!(!stale.is_held().unwrap() && held.revision() > stale.revision());
        let revision = store.db.revision();
        for _ in 0..2 {
            assert!(matches!(stale.unlock(), Err(Error::SessionExpired)));
        }
        drop(stale);
        assert!(held.is_held().unwrap() && store.db.revision() == revision);
        held.unlock().unwrap();
        assert!(matches!(held.unlock(), Err(Error::LockReleased)));
        assert!(!held.is_held().unwrap());
    });
}

/// The same session locks, unlocks and locks again: the key is the same, the guard of before is not.
#[test]
fn co_06_a_guard_of_an_earlier_lock_frees_nothing() {
    let store = Store::new(Kind::Memory);
    let one = session(&store.db);
    let (first, second) = (one.mutex("n").lock().unwrap(), one.mutex("n").lock().unwrap());
    first.unlock().unwrap();
    let again = one.mutex("n").lock().unwrap();
    assert_eq!(second.key(), again.key());
    assert!(matches!(second.unlock(), Err(Error::SessionExpired)));
    assert!(again.is_held().unwrap());
}

#[test]
fn co_07_proof_for_later_txns() {
    everywhere(|store| {
        let one = session(&store.db);
        let guard = one.mutex("n").lock().unwrap();
        let write = || store.db.txn().when([guard.is_owner()]).then([Put::new("a", "")]).commit().unwrap();
        assert_eq!(guard.revision(), store.db.revision());
        assert!(write().succeeded);
        guard.unlock().unwrap();
        assert!(!write().succeeded);
        let _again = one.mutex("n").lock().unwrap();
        assert!(!write().succeeded);
    });
}

/// The header of the acquire: of when the lock was got, whatever happens afterwards.
#[test]
fn co_07_a_guard_tells_as_of_when_it_has_the_lock() {
    let store = Store::new(Kind::Memory);
    let (one, other) = (session(&store.db), session(&store.db));
    let first = one.mutex("n").lock().unwrap();
    store.put("a", "");
    assert_eq!((first.revision(), first.acquired_revision()), (Revision::new(2), Revision::new(2)));
    let again = one.mutex("n").try_lock().unwrap().unwrap();
    store.put("a", "");
    assert_eq!((again.revision(), again.acquired_revision()), (Revision::new(2), Revision::new(3)));
    std::thread::scope(|scope| {
        let (_, locked) = locker(scope, &other, &WaitOptions::new());
        await_line(&store.db, "n", 2);
        let released = first.unlock().unwrap();
        let guard = locked.recv().unwrap().unwrap().unwrap();
        assert_eq!((guard.revision() + 1, guard.acquired_revision()), (released, released));
        store.put("a", "");
        assert_eq!(guard.acquired_revision(), released);
    });
    let free = other.mutex("free").try_lock().unwrap().unwrap();
    assert_eq!(free.acquired_revision(), free.revision());
    let lead = other.election("e").campaign("v").unwrap();
    store.put("a", "");
    assert_eq!(lead.elected_revision(), lead.revision());
}

#[test]
fn co_06_dropping_a_guard_unlocks_and_leaving_it_does_not() {
    let store = Store::new(Kind::Memory);
    let (one, other) = (session(&store.db), session(&store.db));
    drop(one.mutex("n").lock().unwrap());
    assert!(line(&store.db).is_empty());
    one.mutex("n").lock().unwrap().leave();
    assert!(other.mutex("n").try_lock().unwrap().is_none());
    drop(one);
    assert!(other.mutex("n").try_lock().unwrap().is_some());
}

#[test]
fn a_guard_keeps_its_session() {
    let store = Store::new(Kind::Memory);
    let guard = session(&store.db).mutex("n").lock().unwrap();
    assert!(guard.is_held().unwrap() && guard.session().is_alive());
    drop(guard);
    assert!(store.db.leases().unwrap().is_empty());
}

/// Testing 5.1 (h).
#[test]
fn closing_the_store_wakes_the_waiters() {
    let db = Db::in_memory().unwrap();
    let _held = session(&db).mutex("n").lock().unwrap();
    let waiting: Vec<Session> = (0..4).map(|_| session(&db)).collect();
    std::thread::scope(|scope| {
        let lockers: Vec<_> = waiting.iter().map(|waiting| locker(scope, waiting, &WaitOptions::new())).collect();
        await_line(&db, "n", 5);
        db.close().unwrap();
        for (_, locked) in lockers {
            assert!(matches!(locked.recv().unwrap(), Err(Error::Closed)));
        }
    });
}

/// A store that can write no more releases no lock: nobody waits for that.
#[test]
fn a_poisoned_store_wakes_the_waiters() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let _held = session(&db).mutex("n").lock().unwrap();
    let waiting = session(&db);
    std::thread::scope(|scope| {
        let (_, locked) = locker(scope, &waiting, &WaitOptions::new());
        await_line(&db, "n", 2);
        disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1, kind: FaultKind::Eio, forever: false });
        assert!(db.put("a", "").is_err());
        assert!(matches!(locked.recv().unwrap(), Err(Error::Poisoned)));
    });
}

/// Testing 5.1 (h): a panic in a holder releases.
#[test]
fn a_panic_in_a_holder_releases() {
    let db = Db::in_memory().unwrap();
    let waiting = session(&db);
    let held = session(&db).mutex("n").lock().unwrap();
    std::thread::scope(|scope| {
        let (_, locked) = locker(scope, &waiting, &WaitOptions::new());
        await_line(&db, "n", 2);
        let panicked = std::thread::spawn(move || {
            let _held = held;
            std::panic::resume_unwind(Box::new("what a holder does wrong"));
        });
        assert!(panicked.join().is_err());
        assert!(locked.recv().unwrap().unwrap().is_some());
    });
}

#[test]
fn a_failed_lock_leaves_no_key() {
    let store = Store::new(Kind::Memory);
    let one = session(&store.db);
    assert!(matches!(store.db.session_with(SessionOptions::new().lease(99)), Err(Error::LeaseNotFound)));
    let revision: Revision = store.db.revision();
    one.orphan();
    assert!(matches!(one.mutex("n").lock(), Err(Error::SessionExpired)));
    assert_eq!(store.db.revision(), revision);
}

/// X-01 at this layer: what a guard or a lead was good for, it is not any more once it is lost.
#[test]
fn x_01_guards_are_fences() {
    everywhere(|store| {
        let db = &store.db;
        let one = db.session(ms(5_000)).unwrap();
        let (guard, lead) = (one.mutex("n").lock().unwrap(), one.election("e").campaign("a").unwrap());
        assert_eq!((&guard.token().key, guard.token().lease), (guard.key(), one.lease()));
        assert!(guard.is_held().unwrap() && lead.is_held().unwrap());
        db.txn().fenced(&guard).fenced(&lead).then([Put::new("a", "1")]).commit().unwrap();
        db.fenced(lead.token()).put("a", "2").unwrap();
        // Paused past its time: nobody has ended the lease yet.
        store.clock.advance(ms(5_000));
        assert!(!guard.is_held().unwrap() && !lead.is_held().unwrap());
        for late in [db.fenced(&guard).put("a", "3"), db.fenced(&lead).put("a", "4")] {
            assert!(matches!(late, Err(Error::SessionExpired)));
        }
        assert_eq!(db.get("a").unwrap().unwrap().value, "2");
        let next = session(db).mutex("n").lock().unwrap();
        assert!(next.revision() > guard.revision());
        db.fenced(&next).put("a", "5").unwrap();
    });
}

/// CO-03, CO-08, CO-12: the waiter's time ends, which nobody has acted on yet, and then what it waits for is released. It
/// is told that its session is over, not that its turn has come, and its key is gone.
#[test]
fn co_03_a_release_in_the_moment_of_the_end_serves_nobody_dead() {
    let waits: [fn(&Session) -> Result<()>; 4] = [
        |dying| dying.mutex("n").lock().map(LockGuard::leave),
        |dying| dying.election("n").campaign("").map(|lead| lead.leave()),
        |dying| dying.rw_lock("n").read().map(LockGuard::leave),
        |dying| dying.rw_lock("n").write().map(LockGuard::leave),
    ];
    for (number, wait) in waits.into_iter().enumerate() {
        let store = Store::new(Kind::Memory);
        let holder = session(&store.db);
        let lock = if number < 2 { holder.mutex("n").lock() } else { holder.rw_lock("n").write() };
        let held = lock.unwrap();
        let dying = store.db.session(ms(5_000)).unwrap();
        std::thread::scope(|scope| {
            let (sender, waited) = channel();
            scope.spawn(|| { sender }.send(wait(&dying)).unwrap());
            await_line(&store.db, "n", 2);
            store.clock.advance(ms(5_000));
            held.unlock().unwrap();
            assert!(matches!(waited.recv().unwrap(), Err(Error::SessionExpired)));
            assert!(line(&store.db).is_empty());
        });
    }
}

/// Its time ends when the session has been looked at and nothing is written yet: nobody gets what is free that way.
#[test]
fn co_03_what_is_free_is_not_for_a_session_that_is_over() {
    let takes: [fn(&Session) -> Result<bool>; 4] = [
        |dying| dying.mutex("n").lock().map(|_| true),
        |dying| dying.mutex("n").try_lock().map(|guard| guard.is_some()),
        |dying| dying.election("n").campaign("").map(|_| true),
        |dying| dying.rw_lock("n").write().map(|_| true),
    ];
    for take in takes {
        let clock = SimClock::new(1);
        let acting = ActingClock::new(&clock);
        let db =
            open_on(Arc::new(SimDisk::new()), Arc::new(acting.clone()), with_knobs(Options::new(), ROOMY)).unwrap();
        let dying = db.session(ms(5_000)).unwrap();
        acting.at_next_reading(move || clock.advance(ms(5_000)));
        assert!(matches!(take(&dying), Err(Error::SessionExpired)));
        assert!(acting.has_acted() && line(&db).is_empty());
    }
}

/// What is written by giving back is told.
#[test]
fn co_06_releases_tell_their_revision() {
    let store = Store::new(Kind::Memory);
    let one = session(&store.db);
    let (guard, lead) = (one.mutex("n").lock().unwrap(), one.election("e").campaign("a").unwrap());
    let before = store.db.revision();
    assert_eq!(guard.unlock().unwrap(), before + 1);
    assert_eq!(lead.proclaim("b").unwrap(), before + 2);
    assert_eq!(lead.resign().unwrap(), before + 3);
    store.put("other", "");
    let _held = one.mutex("n").lock().unwrap();
    assert_eq!((one.close().unwrap(), store.db.revision()), (Some(before + 6), before + 6));
    assert_eq!(one.close().unwrap(), None);
}

/// CO-12, CW-04: also those who wait without a session.
#[test]
fn a_poisoned_store_wakes_who_waits_without_a_session() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let (db, target) = (open_sim(&disk, &clock, ROOMY), Db::in_memory().unwrap());
    let barrier = db.barrier("b");
    assert!(barrier.hold().unwrap());
    std::thread::scope(|scope| {
        let waiters = [
            scope.spawn(|| barrier.wait()),
            scope.spawn(|| db.queue("q").dequeue().map(drop)),
            scope.spawn(|| db.priority_queue("p").dequeue().map(drop)),
            scope.spawn(|| db.mirror("m/", &target).run(&WaitOptions::new())),
        ];
        disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1, kind: FaultKind::Eio, forever: false });
        assert!(db.put("a", "").is_err());
        waiters.into_iter().for_each(|waiter| assert!(matches!(waiter.join().unwrap(), Err(Error::Poisoned))));
    });
}
