//! X-02: a lock whose holder's lease has expired stays locked for its delay, and one that was given back does not.

use etclite::coordination::WaitOptions;
use etclite::{Error, SessionOptions};

use super::co_mutex::{await_line, is_waiting, line, locker, session};
use super::rig::{Kind, Store, ms};

/// X-02 at this layer: the loss is told at once, and waiters sit the delay out.
#[test]
fn x_02_a_lock_stays_locked_for_its_delay() {
    let store = Store::new(Kind::Memory);
    let options = SessionOptions::new().ttl(ms(5_000)).lock_delay(ms(4_000));
    let dying = store.db.session_with(options).unwrap();
    let guard = dying.mutex("n").lock().unwrap();
    let waiting = session(&store.db);
    std::thread::scope(|scope| {
        let (_, locked) = locker(scope, &waiting, &WaitOptions::new());
        await_line(&store.db, "n", 2);
        store.advance_ms(5_000);
        assert!(dying.done().is_done() && !dying.is_alive() && !guard.is_held().unwrap());
        assert!(matches!(dying.mutex("n").lock(), Err(Error::SessionExpired)));
        store.advance_ms(3_999);
        assert_eq!(line(&store.db).len(), 2);
        assert!(is_waiting(&locked));
        store.advance_ms(1);
        let next = locked.recv().unwrap().unwrap().unwrap();
        assert!(next.is_held().unwrap());
        assert!(matches!(guard.unlock(), Err(Error::SessionExpired)));
    });
}

/// X-02, CO-03: a waiter whose session lapses learns it while its key is still there, and never gets the lock.
#[test]
fn x_02_a_waiter_that_lapses_learns_it_at_once() {
    let store = Store::new(Kind::Memory);
    let held = session(&store.db).mutex("n").lock().unwrap();
    let options = SessionOptions::new().ttl(ms(5_000)).lock_delay(ms(60_000));
    let dying = store.db.session_with(options).unwrap();
    std::thread::scope(|scope| {
        let (_, locked) = locker(scope, &dying, &WaitOptions::new());
        await_line(&store.db, "n", 2);
        store.advance_ms(5_000);
        assert!(matches!(locked.recv().unwrap(), Err(Error::SessionExpired)));
        assert!(held.is_held().unwrap());
    });
}

/// B-023.
#[test]
fn x_02_release_and_close_hand_over_at_once() {
    let store = Store::new(Kind::Memory);
    let one = store.db.session_with(SessionOptions::new().lock_delay(ms(60_000))).unwrap();
    let (n, _m) = (one.mutex("n").lock().unwrap(), one.mutex("m").lock().unwrap());
    let other = session(&store.db);
    assert!(other.mutex("n").try_lock().unwrap().is_none());
    n.unlock().unwrap();
    assert!(other.mutex("n").try_lock().unwrap().is_some());
    one.close().unwrap();
    assert!(other.mutex("m").try_lock().unwrap().is_some());
}

/// X-02, CO-06: the holder was paused past its time. It drops what it had when the delay is nearly over, or says that it
/// gives it back: the delay runs on, and nobody is let in before its end.
#[test]
fn x_02_a_stale_guard_does_not_end_the_delay() {
    for expired_by_others in [true, false] {
        let store = Store::new(Kind::Memory);
        let options = SessionOptions::new().ttl(ms(5_000)).lock_delay(ms(60_000));
        let dying = store.db.session_with(options).unwrap();
        let (unlocked, dropped) = (dying.mutex("n").lock().unwrap(), dying.mutex("m").lock().unwrap());
        let (resigned, left) = (dying.election("e").campaign("").unwrap(), dying.election("f").campaign("").unwrap());
        let reading = dying.rw_lock("r").read().unwrap();
        store.clock.advance(ms(5_000));
        if expired_by_others {
            store.advance_ms(0);
            store.clock.advance(ms(59_999));
        }
        let revision = store.db.revision();
        assert!(matches!(unlocked.unlock(), Err(Error::SessionExpired)));
        assert!(matches!(resigned.resign(), Err(Error::NotLeaderOfElection)));
        drop((unlocked, dropped, resigned, left, reading));
        assert_eq!(store.db.revision(), revision, "its keys stay");
        let next = session(&store.db);
        if !expired_by_others {
            store.advance_ms(59_999);
        }
        assert!(next.mutex("n").try_lock().unwrap().is_none() && next.mutex("m").try_lock().unwrap().is_none());
        assert!(store.db.leader("e").unwrap().is_some() && store.db.leader("f").unwrap().is_some());
        assert!(next.rw_lock("r").write_timeout(ms(0)).unwrap().is_none());
        store.advance_ms(1);
        assert!(next.mutex("n").try_lock().unwrap().is_some() && next.mutex("m").try_lock().unwrap().is_some());
        assert!(store.db.leader("e").unwrap().is_none() && next.rw_lock("r").write_timeout(ms(0)).unwrap().is_some());
    }
}
