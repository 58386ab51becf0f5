//! CO-01, LE-11: sessions, on a clock that stands still until it is moved, and on the host's where threads renew.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use etclite::coordination::SESSION_TTL_DEFAULT;
use etclite::io::IoSite;
use etclite::io::fs::SystemClock;
use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk};
use etclite::testing::{Knobs, expire, open_on, renew, with_knobs};
use etclite::{Db, Error, Health, LeaseId, Options, PutOptions, Session, SessionOptions};

use super::gate::{GateDisk, LONG};
use super::rig::{Kind, ROOMY, Store, everywhere, ids, left_ms, ms, open_image, open_sim};

fn put_with(session: &Session, key: &str) {
    session.db().put_with(key, "", PutOptions::new().lease(session.lease())).unwrap();
}

/// Lets time pass in steps, after each of which what is due is renewed, and then what is due ends.
fn live_on(store: &Store, steps: u32, step_ms: u64) {
    for _ in 0..steps {
        store.clock.advance(ms(step_ms));
        renew(&store.db);
        expire(&store.db).unwrap();
    }
}

#[test]
fn co_01_a_session_of_60_s_by_default() {
    everywhere(|store| {
        let session = store.db.session_with(SessionOptions::new()).unwrap();
        assert_eq!((session.ttl(), SESSION_TTL_DEFAULT), (ms(60_000), ms(60_000)));
        assert_eq!(left_ms(&store.db, session.lease().get()), Some(60_000));
        assert!(session.lease().get() > 0 && session.is_alive());
        assert_eq!(store.db.revision(), 1);
    });
}

#[test]
fn co_01_renewed_for_as_long_as_it_lives() {
    everywhere(|store| {
        let session = store.db.session(ms(3_000)).unwrap();
        put_with(&session, "a");
        live_on(store, 20, 1_000);
        assert!(session.is_alive() && !session.done().is_done());
        assert_eq!(left_ms(&store.db, session.lease().get()), Some(3_000));
        assert_eq!(store.contents(), ["a="]);
    });
}

#[test]
fn le_11_a_renewal_is_due_after_a_third_of_the_time_and_not_before() {
    let store = Store::new(Kind::Memory);
    let session = store.db.session(ms(3_000)).unwrap();
    let left = || left_ms(&store.db, session.lease().get());
    live_on(&store, 1, 999);
    assert_eq!(left(), Some(2_001));
    live_on(&store, 1, 1);
    assert_eq!(left(), Some(3_000));
    live_on(&store, 1, 999);
    assert_eq!(left(), Some(2_001));
}

#[test]
fn co_01_over_a_given_lease() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(5_000)).unwrap();
        store.clock.advance(ms(4_000));
        let session = store.db.session_with(SessionOptions::new().lease(7)).unwrap();
        assert_eq!((session.lease().get(), session.ttl()), (7, ms(5_000)));
        assert_eq!(left_ms(&store.db, 7), Some(5_000));
        let unknown = store.db.session_with(SessionOptions::new().lease(8));
        assert!(matches!(unknown, Err(Error::LeaseNotFound)));
        session.close().unwrap();
        assert!(ids(&store.db).is_empty());
    });
}

#[test]
fn co_01_close_revokes() {
    everywhere(|store| {
        let session = store.db.session(ms(3_000)).unwrap();
        let clone = session.clone();
        put_with(&session, "a");
        session.close().unwrap();
        assert!(store.contents().is_empty() && ids(&store.db).is_empty());
        assert!(!clone.is_alive() && clone.done().is_done());
        let revision = store.db.revision();
        clone.close().unwrap();
        drop((session, clone));
        assert_eq!(store.db.revision(), revision);
    });
}

#[test]
fn co_01_dropping_the_last_handle_closes() {
    everywhere(|store| {
        let session = store.db.session(ms(3_000)).unwrap();
        put_with(&session, "a");
        let (clone, done) = (session.clone(), session.done());
        drop(session);
        assert!(clone.is_alive() && !done.is_done());
        assert_eq!(store.contents(), ["a="]);
        drop(clone);
        assert!(done.is_done());
        assert!(store.contents().is_empty() && ids(&store.db).is_empty());
    });
}

#[test]
fn b_078_no_renewal_outlives_the_handles() {
    let store = Store::new(Kind::Memory);
    let session = store.db.session(ms(3_000)).unwrap();
    put_with(&session, "a");
    // The lease stays, as if the revoke of a dropped session had failed.
    session.orphan();
    drop(session);
    live_on(&store, 2, 1_000);
    assert_eq!(store.contents(), ["a="]);
    live_on(&store, 1, 1_000);
    assert!(store.contents().is_empty() && ids(&store.db).is_empty());
}

#[test]
fn co_01_orphan_stops_renewing_and_revokes_nothing() {
    everywhere(|store| {
        let session = store.db.session(ms(3_000)).unwrap();
        let lease = session.orphan();
        assert!(!session.is_alive() && session.done().is_done());
        drop(session);
        live_on(store, 2, 1_000);
        assert_eq!(ids(&store.db), [lease.get()]);
        live_on(store, 1, 1_000);
        assert!(ids(&store.db).is_empty());
    });
}

#[test]
fn co_01_loss_can_be_awaited() {
    let store = Store::new(Kind::Memory);
    let ends: [fn(&Store, &Session); 4] = [
        |_, session| assert!(session.close().unwrap().is_some()),
        |store, session| assert!(store.db.lease(session.lease()).revoke().is_ok()),
        |store, _| store.advance_ms(3_000),
        |store, _| store.db.close().unwrap(),
    ];
    for end in ends {
        let session = store.db.session(ms(3_000)).unwrap();
        let done = session.done();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                session.done().wait();
                session.is_alive()
            });
            assert!(!done.wait_timeout(Duration::ZERO));
            end(&store, &session);
            assert!(!waiter.join().unwrap());
        });
        assert!(done.is_done() && done.wait_timeout(LONG));
    }
}

struct Flag(std::sync::atomic::AtomicU32);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn co_01_the_end_is_a_future() {
    let store = Store::new(Kind::Memory);
    let session = store.db.session(ms(3_000)).unwrap();
    let woken = Arc::new(Flag(0.into()));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut done = pin!(session.done());
    assert_eq!(done.as_mut().poll(&mut context), Poll::Pending);
    assert_eq!(done.as_mut().poll(&mut context), Poll::Pending);
    store.db.lease(session.lease()).revoke().unwrap();
    assert_eq!(woken.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(done.as_mut().poll(&mut context), Poll::Ready(()));
}

/// Testing 5.1 (g): nobody has ended the lease, and no renewal was answered, yet its owner does not take it for his.
#[test]
fn co_01_loss_is_known_one_ttl_after_the_last_renewal_was_sent() {
    let store = Store::new(Kind::Memory);
    let session = store.db.session(ms(3_000)).unwrap();
    store.clock.advance(ms(1_500));
    renew(&store.db);
    store.clock.advance(ms(2_999));
    assert!(session.is_alive());
    store.clock.advance(ms(1));
    assert!(!session.is_alive());
    assert!(matches!(session.mutex("n").try_lock(), Err(Error::SessionExpired)));
    // A process that was paused: the renewal that is due now never revives it.
    renew(&store.db);
    assert!(!session.is_alive() && session.done().is_done());
    expire(&store.db).unwrap();
    assert!(ids(&store.db).is_empty());
}

#[test]
fn co_01_time_asleep_counts() {
    let store = Store::new(Kind::Memory);
    let session = store.db.session(ms(3_000)).unwrap();
    store.clock.suspend(ms(3_000));
    assert!(!session.is_alive());
}

#[test]
fn ch_05_what_is_left_of_a_session_survives_its_store() {
    everywhere(|store| {
        let session = store.db.session(ms(3_000)).unwrap();
        let lease = session.lease().get();
        put_with(&session, "a");
        live_on(store, 1, 1_000);
        store.clock.advance(ms(500));
        store.reopen();
        assert!(!session.is_alive());
        assert_eq!(left_ms(&store.db, lease), Some(2_500));
        // The handle is of the store that was closed: nothing renews the lease, nor ends it before its time.
        drop(session);
        live_on(store, 1, 2_499);
        assert_eq!(store.contents(), ["a="]);
        live_on(store, 1, 1);
        assert!(store.contents().is_empty());
    });
}

#[test]
fn le_08_a_session_whose_process_died_ends_late_and_never_early() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let session = db.session(ms(3_000)).unwrap();
    clock.advance(ms(1_000));
    renew(&db);
    clock.advance(ms(2_900));
    assert!(session.is_alive());
    let db = open_image(disk.image(), &clock, ROOMY).unwrap();
    assert_eq!(left_ms(&db, session.lease().get()), Some(3_000));
}

#[test]
fn co_01_a_closed_store_ends_its_sessions() {
    let store = Store::new(Kind::Files);
    let session = store.db.session(ms(3_000)).unwrap();
    store.db.close().unwrap();
    assert!(!session.is_alive() && session.done().is_done());
    assert!(matches!(session.mutex("n").lock(), Err(Error::Closed)));
    assert!(matches!(store.db.session(ms(1)), Err(Error::Closed)));
    session.close().unwrap();
}

#[test]
fn co_01_a_poisoned_store_ends_its_sessions() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let session = db.session(ms(3_000)).unwrap();
    disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1, kind: FaultKind::Eio, forever: false });
    assert!(db.put("a", "").is_err());
    assert!(session.done().is_done());
    assert!(matches!(session.mutex("n").lock(), Err(Error::Poisoned)));
}

/// The host's clock and the thread that renews: three times as long as it would live without.
#[test]
fn co_01_renewed_by_a_thread() {
    let db = Db::in_memory().unwrap();
    let long = db.session(Duration::from_secs(3_600)).unwrap();
    // A renewal that is due long before the others.
    let session = db.session(ms(1_500)).unwrap();
    put_with(&session, "a");
    assert!(!session.done().wait_timeout(ms(4_500)));
    assert!(session.is_alive() && db.get("a").unwrap().is_some());
    drop((session, long));
    assert!(db.leases().unwrap().is_empty());
    // The thread ends with its last session, and another one begins.
    let again = db.session(ms(1_500)).unwrap();
    assert!(!again.done().wait_timeout(ms(2_000)));
    db.close().unwrap();
}

#[test]
fn co_01_many_sessions_come_and_go() {
    let db = Db::in_memory().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let session = db.session(LONG).unwrap();
                    put_with(&session, "a");
                    assert!(session.is_alive());
                }
            });
        }
    });
    assert!(db.leases().unwrap().is_empty() && db.get("a").unwrap().is_none());
}

/// As etcd's `Session.Close`, which orphans first: what was orphaned can still be revoked.
#[test]
fn co_01_an_orphan_can_be_closed() {
    everywhere(|store| {
        let session = store.db.session(ms(3_000)).unwrap();
        put_with(&session, "a");
        session.orphan();
        assert!(session.close().unwrap().is_some());
        assert!(store.contents().is_empty() && ids(&store.db).is_empty());
        // The id is free, and what it is used for next is none of the session's business.
        store.db.grant_with_id(session.lease(), ms(3_000)).unwrap();
        assert_eq!(session.close().unwrap(), None);
        drop(session);
        assert_eq!(ids(&store.db).len(), 1);
    });
}

/// The revoke of a close failed, so its keys are still there: closing again must not say that they are gone.
#[test]
fn co_01_a_close_that_failed_is_not_taken_for_done() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let session = db.session(ms(3_000)).unwrap();
    put_with(&session, "a");
    disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1, kind: FaultKind::Eio, forever: false });
    assert!(matches!(session.close(), Err(Error::Indeterminate)));
    assert!(db.get("a").unwrap().is_some());
    for handle in [&session, &session.clone()] {
        assert!(matches!(handle.close(), Err(Error::Poisoned)));
    }
}

/// Two close at once: neither returns while the keys are still there.
#[test]
fn co_01_who_closes_second_waits_for_the_first() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let disk = GateDisk::new(&disk, IoSite::LogSync);
    let gate = disk.gate();
    let db = open_on(Arc::new(disk), Arc::new(clock), with_knobs(Options::new(), ROOMY)).unwrap();
    let session = db.session(ms(3_000)).unwrap();
    put_with(&session, "a");
    gate.shut();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| session.close());
        gate.await_call();
        let (started, starting) = std::sync::mpsc::channel();
        let second = scope.spawn({
            let (session, db) = (session.clone(), &db);
            move || {
                started.send(()).unwrap();
                session.close().unwrap();
                db.get("a").unwrap()
            }
        });
        starting.recv().unwrap();
        gate.open();
        assert!(first.join().unwrap().unwrap().is_some());
        assert_eq!(second.join().unwrap(), None);
    });
}

/// A hundred sessions whose first renewal is due at the same time: one sync is theirs together, not one each.
#[test]
fn le_11_first_renewals_share_a_sync() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let sessions: Vec<_> = (0..100).map(|_| db.session(ms(3_000)).unwrap()).collect();
    clock.advance(ms(1_000));
    // Whoever needs more than one sync is poisoned by the second.
    disk.fail(Fault { site: Some(IoSite::LogSync), nth: 2, kind: FaultKind::Eio, forever: false });
    renew(&db);
    assert!(sessions.iter().all(Session::is_alive));
    assert!(sessions.iter().all(|session| left_ms(&db, session.lease().get()) == Some(3_000)));
    // They are marked: what a crash leaves gives each its full time again.
    clock.advance(ms(2_000));
    let image = open_image(disk.image(), &clock, ROOMY).unwrap();
    assert!(sessions.iter().all(|session| left_ms(&image, session.lease().get()) == Some(3_000)));
}

/// The sync of a first renewal takes longer than what was left: the answer comes, but too late, and revives nobody.
#[test]
fn co_01_a_renewal_that_is_answered_too_late_revives_nobody() {
    for asked_meanwhile in [true, false] {
        let (disk, clock) = (SimDisk::new(), SimClock::new(1));
        let disk = GateDisk::new(&disk, IoSite::LogSync);
        let gate = disk.gate();
        let db = open_on(Arc::new(disk), Arc::new(clock.clone()), with_knobs(Options::new(), ROOMY)).unwrap();
        let session = db.session(ms(3_000)).unwrap();
        clock.advance(ms(1_000));
        gate.shut();
        std::thread::scope(|scope| {
            let renewing = scope.spawn(|| renew(&db));
            gate.await_call();
            clock.advance(ms(1_999));
            assert!(session.is_alive());
            clock.advance(ms(1));
            assert!(!asked_meanwhile || !session.is_alive());
            gate.open();
            renewing.join().unwrap();
        });
        assert!(!session.is_alive() && session.done().is_done());
        // Nor does anybody ask for another.
        clock.advance(ms(999));
        renew(&db);
        assert_eq!(left_ms(&db, session.lease().get()), Some(1));
    }
}

/// A lease was revoked and its id granted again, by somebody else: a session that had it must not keep it alive.
#[test]
fn le_11_a_lost_session_renews_nobody_elses_lease() {
    let store = Store::new(Kind::Memory);
    store.db.grant_with_id(7, ms(3_000)).unwrap();
    let session = store.db.session_with(SessionOptions::new().lease(7)).unwrap();
    store.db.lease(7).revoke().unwrap();
    store.db.grant_with_id(7, ms(3_000)).unwrap();
    live_on(&store, 1, 1_000);
    assert!(!session.is_alive());
    assert_eq!(left_ms(&store.db, 7), Some(2_000));
    drop(session);
    assert_eq!(ids(&store.db), [7]);
}

/// Uses the store when it is woken.
struct Meddler(Db, fn(&Db), std::sync::mpsc::Sender<()>);

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.1(&self.0);
        self.2.send(()).unwrap();
    }
}

/// Who is woken is foreign code: it must not run inside the write path, or with a lock held that it may need.
#[test]
fn co_01_who_is_told_of_a_loss_may_use_the_store() {
    type Ways = (fn(&Db, LeaseId), fn(&Db));
    let ends: [Ways; 2] = [
        (|db, lease| assert!(db.lease(lease).revoke().is_ok()), |db| assert!(db.put("woken", "").is_ok())),
        (|db, _| db.close().unwrap(), |db| assert!(matches!(db.health(), Health::Closed | Health::Ok))),
    ];
    for (end, use_store) in ends {
        let db = Db::in_memory().unwrap();
        let session = db.session(LONG).unwrap();
        let (sender, told) = std::sync::mpsc::channel();
        let waker = Waker::from(Arc::new(Meddler(db.clone(), use_store, sender)));
        let mut done = Box::pin(session.done());
        assert_eq!(done.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
        let lease = session.lease();
        let ending = std::thread::spawn(move || end(&db, lease));
        told.recv_timeout(LONG).expect("who is woken comes through");
        ending.join().unwrap();
    }
}

/// The disk stands still, so the thread that renews cannot have a first renewal answered: it tells the loss all the same,
/// and those that need no mark live on.
#[test]
fn le_11_a_disk_that_stands_still_delays_no_loss() {
    let disk = GateDisk::new(&SimDisk::new(), IoSite::LogSync);
    let gate = disk.gate();
    let knobs = Knobs { manual: false, ..ROOMY };
    let db = open_on(Arc::new(disk), Arc::new(SystemClock::new()), with_knobs(Options::new(), knobs)).unwrap();
    let marked = db.session(ms(3_000)).unwrap();
    db.lease(marked.lease()).keep_alive().unwrap();
    let session = db.session(ms(1_200)).unwrap();
    gate.shut();
    assert!(session.done().wait_timeout(LONG));
    assert!(!marked.done().wait_timeout(ms(3_000)) && marked.is_alive());
    gate.open();
    drop((session, marked));
    db.close().unwrap();
}
