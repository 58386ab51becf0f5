//! Locks.

use std::sync::atomic::{AtomicI64, Ordering};

use etclite::coordination::LockGuard;

use super::*;
use crate::coordination::mutex::*;

type Mutex = Shared<etclite_mutex>;

fn mutex(session: Shared<etclite_session>, name: &str) -> Mutex {
    // SAFETY: the name and the out parameters live until it returns.
    made(|mutex, err| unsafe { etclite_mutex_new(session.get(), name.as_ptr(), name.len(), mutex, err) })
}

fn lock(mutex: Mutex, timeout_ms: i64) -> i32 {
    // SAFETY: a place for the error.
    status(|err| unsafe { etclite_mutex_lock(mutex.get(), timeout_ms, err) })
}

fn try_lock(mutex: Mutex) -> i32 {
    // SAFETY: a place for the error.
    status(|err| unsafe { etclite_mutex_try_lock(mutex.get(), err) })
}

fn unlock(mutex: Mutex) -> i32 {
    // SAFETY: a place for the error.
    status(|err| unsafe { etclite_mutex_unlock(mutex.get(), err) })
}

fn cancel(mutex: Mutex) -> i32 {
    // SAFETY: a place for the error.
    status(|err| unsafe { etclite_mutex_cancel(mutex.get(), err) })
}

fn free(mutex: Mutex) -> i32 {
    // SAFETY: it takes any pointer.
    unsafe { etclite_mutex_free(mutex.get()) }
}

/// The fencing number, or why there is none.
fn revision(mutex: Mutex) -> Result<i64, i32> {
    let mut revision = 0;
    // SAFETY: out parameters that live until it returns.
    match status(|err| unsafe { etclite_mutex_revision(mutex.get(), &raw mut revision, err) }) {
        ETCLITE_OK => Ok(revision),
        failure => Err(failure),
    }
}

fn key(mutex: Mutex) -> String {
    let (mut key, mut len) = (ptr::null(), 0);
    // SAFETY: out parameters that live until it returns.
    assert_eq!(status(|err| unsafe { etclite_mutex_key(mutex.get(), &raw mut key, &raw mut len, err) }), ETCLITE_OK);
    // SAFETY: a view, and the mutex is not freed yet.
    String::from_utf8(unsafe { crate::argument::bytes(key, len) }.unwrap().to_vec()).unwrap()
}

#[test]
fn co_02_the_key_is_etcds() {
    let db = memory();
    let rust = rust(db);
    for (id, name, expected) in [(0x5f1c, "lk", "lk/5f1c"), (-7, "lk", "lk/-7"), (9, "/my-lock/", "/my-lock//9")] {
        rust.grant_with_id(id, LONG).unwrap();
        let session = session_with(db, session_options(0, id, 0));
        let mutex = mutex(session, name);
        assert_eq!(key(mutex), expected, "before it is locked");
        assert_eq!(lock(mutex, -1), ETCLITE_OK);
        let kv = rust.get(expected).unwrap().unwrap();
        assert_eq!((kv.lease.get(), kv.value.len()), (id, 0));
        assert_eq!(revision(mutex), Ok(crate::argument::signed(kv.create_revision.get())));
        assert_eq!((free(mutex), end_session(session, 1)), (ETCLITE_OK, ETCLITE_OK));
    }
    close(db);
}

#[test]
fn b_015_one_session_has_one_lock_and_the_first_unlock_frees_it() {
    let db = memory();
    let (ours, theirs) = (session(db), session(db));
    let (first, second, other) = (mutex(ours, "n"), mutex(ours, "n"), mutex(theirs, "n"));
    assert_eq!((lock(first, -1), lock(second, -1)), (ETCLITE_OK, ETCLITE_OK));
    assert_eq!(revision(first).unwrap(), revision(second).unwrap());
    assert_eq!(try_lock(other), ETCLITE_NOT_ACQUIRED);
    assert_eq!(unlock(first), ETCLITE_OK);
    assert_eq!(lock(other, -1), ETCLITE_OK);
    // What is somebody else's by now is not freed, by an unlock or by the end of the handle.
    assert_eq!(unlock(second), ETCLITE_E_SESSION_EXPIRED);
    assert_eq!(revision(second), Err(ETCLITE_E_SESSION_EXPIRED));
    assert_eq!((free(second), free(first)), (ETCLITE_OK, ETCLITE_OK));
    assert_eq!(line(&rust(db), "n"), [key(other)]);
    close(db);
}

#[test]
fn locking_twice_by_one_handle_is_locking_once() {
    let db = memory();
    let session = session(db);
    let mutex = mutex(session, "n");
    assert_eq!(lock(mutex, -1), ETCLITE_OK);
    let first = revision(mutex).unwrap();
    assert_eq!((lock(mutex, 0), lock(mutex, LONG_MS), try_lock(mutex)), (ETCLITE_OK, ETCLITE_OK, ETCLITE_OK));
    assert_eq!(revision(mutex), Ok(first), "and it was not let go in between");
    assert_eq!(unlock(mutex), ETCLITE_OK);
    assert_eq!(line(&rust(db), "n"), [""; 0]);
    assert_eq!((unlock(mutex), unlock(mutex)), (ETCLITE_E_LOCK_RELEASED, ETCLITE_E_LOCK_RELEASED));
    assert_eq!(revision(mutex), Err(ETCLITE_E_LOCK_RELEASED));
    assert_eq!(lock(mutex, -1), ETCLITE_OK);
    assert!(revision(mutex).unwrap() > first, "the fencing number rises");
    close(db);
}

#[test]
fn b_016_who_gives_up_leaves_no_key_and_who_does_not_wait_writes_nothing() {
    let db = memory();
    let rust = rust(db);
    let (holder, waiter) = (mutex(session(db), "n"), mutex(session(db), "n"));
    assert_eq!(lock(holder, -1), ETCLITE_OK);
    let before = rust.revision();
    assert_eq!((lock(waiter, 0), try_lock(waiter)), (ETCLITE_TIMEOUT, ETCLITE_NOT_ACQUIRED));
    assert_eq!(rust.revision(), before);
    assert_eq!(lock(waiter, 1), ETCLITE_TIMEOUT);
    assert_eq!(rust.revision(), before + 2, "it stood in line and left");
    assert_eq!(line(&rust, "n"), [key(holder)]);
    assert_eq!(unlock(waiter), ETCLITE_E_LOCK_RELEASED, "it never had it");
    assert_eq!(unlock(holder), ETCLITE_OK);
    assert_eq!(lock(waiter, 0), ETCLITE_OK);
    close(db);
}

#[test]
fn b_016_a_wait_that_is_canceled_leaves_the_line_and_the_next_is_served() {
    let db = memory();
    let rust = rust(db);
    let [holder, canceled, next] = [(); 3].map(|()| mutex(session(db), "n"));
    assert_eq!(lock(holder, -1), ETCLITE_OK);
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || lock(canceled, -1));
        await_line(&rust, "n", 2);
        let served = scope.spawn(move || lock(next, -1));
        await_line(&rust, "n", 3);
        assert_eq!(cancel(canceled), ETCLITE_OK);
        assert_eq!(waits.join().unwrap(), ETCLITE_E_CANCELED);
        assert!(!line(&rust, "n").contains(&key(canceled)), "gone when the call returns");
        assert!(!served.is_finished());
        assert_eq!(unlock(holder), ETCLITE_OK);
        assert_eq!(served.join().unwrap(), ETCLITE_OK);
    });
    // It holds for what comes later, too, whoever was faster.
    assert_eq!((lock(canceled, 0), lock(canceled, -1)), (ETCLITE_E_CANCELED, ETCLITE_E_CANCELED));
    assert_eq!(cancel(next), ETCLITE_OK);
    assert_eq!(unlock(next), ETCLITE_OK, "a lock that is held stays held");
    close(db);
}

#[test]
fn b_018_a_waiter_whose_session_ends_is_told_at_once() {
    for revoke in [0, 1] {
        let db = memory();
        let rust = rust(db);
        let session_of_waiter = session(db);
        let (holder, waiter) = (mutex(session(db), "n"), mutex(session_of_waiter, "n"));
        assert_eq!(lock(holder, -1), ETCLITE_OK);
        std::thread::scope(|scope| {
            let waits = scope.spawn(move || lock(waiter, -1));
            await_line(&rust, "n", 2);
            assert_eq!(end_session(session_of_waiter, revoke), ETCLITE_OK);
            assert_eq!(waits.join().unwrap(), ETCLITE_E_SESSION_EXPIRED);
        });
        assert_eq!(line(&rust, "n"), [key(holder)], "revoke {revoke}");
        assert_eq!(lock(waiter, -1), ETCLITE_E_SESSION_EXPIRED);
        close(db);
    }
}

#[test]
fn b_023_a_lock_delay_is_for_sessions_that_expire() {
    let db = memory();
    let next = mutex(session(db), "n");
    for (revoke, expected) in [(1, ETCLITE_OK), (0, ETCLITE_TIMEOUT)] {
        let delayed = session_with(db, session_options(if revoke == 1 { 0 } else { 200 }, 0, 60_000));
        let holder = mutex(delayed, "n");
        assert_eq!(lock(holder, -1), ETCLITE_OK);
        // Orphaned, its lease ends within this wait; the lock stays.
        assert_eq!(end_session(delayed, revoke), ETCLITE_OK);
        assert_eq!(lock(next, 700), expected);
        assert_eq!(unlock(next) == ETCLITE_OK, revoke == 1);
    }
    close(db);
}

#[test]
fn b_057_closing_the_store_ends_all_waits() {
    const WAITERS: usize = 64;
    let db = memory();
    let rust = rust(db);
    let holder = mutex(session(db), "n");
    assert_eq!(lock(holder, -1), ETCLITE_OK);
    let sessions: Vec<_> = (0..WAITERS).map(|_| session(db)).collect();
    let waiters: Vec<_> = sessions.iter().map(|session| mutex(*session, "n")).collect();
    std::thread::scope(|scope| {
        let waits: Vec<_> = waiters.iter().map(|mutex| scope.spawn(|| lock(*mutex, -1))).collect();
        await_line(&rust, "n", WAITERS + 1);
        close(db);
        for wait in waits {
            assert_eq!(wait.join().unwrap(), ETCLITE_E_CLOSED);
        }
    });
    for mutex in waiters.iter().chain([&holder]) {
        assert_eq!((lock(*mutex, -1), try_lock(*mutex)), (ETCLITE_E_CLOSED, ETCLITE_E_CLOSED));
        assert_eq!((unlock(*mutex), cancel(*mutex)), (ETCLITE_E_CLOSED, ETCLITE_E_CLOSED));
        assert_eq!((revision(*mutex), free(*mutex)), (Err(ETCLITE_E_CLOSED), ETCLITE_OK));
    }
    assert!(sessions.iter().all(|session| end_session(*session, 1) == ETCLITE_OK));
}

#[test]
fn freeing_a_mutex_unlocks_and_ends_its_wait() {
    let db = memory();
    let rust = rust(db);
    let (holder, waiter) = (mutex(session(db), "n"), mutex(session(db), "n"));
    assert_eq!(lock(holder, -1), ETCLITE_OK);
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || lock(waiter, -1));
        await_line(&rust, "n", 2);
        assert_eq!(free(waiter), ETCLITE_OK);
        assert_eq!(waits.join().unwrap(), ETCLITE_E_CANCELED);
    });
    assert_eq!(line(&rust, "n"), [key(holder)]);
    assert_eq!(free(holder), ETCLITE_OK);
    assert_eq!(line(&rust, "n"), [""; 0]);
    assert_eq!(
        (free(holder), lock(holder, -1), unlock(waiter)),
        (ETCLITE_E_MISUSE, ETCLITE_E_MISUSE, ETCLITE_E_MISUSE)
    );
    assert_eq!(free(Shared(ptr::null_mut())), ETCLITE_OK);
    close(db);
}

#[test]
fn one_thread_at_a_time_locks_and_unlocks_by_a_handle() {
    let db = memory();
    let rust = rust(db);
    let (holder, waiter) = (mutex(session(db), "n"), mutex(session(db), "n"));
    assert_eq!(lock(holder, -1), ETCLITE_OK);
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || lock(waiter, -1));
        await_line(&rust, "n", 2);
        assert_eq!((lock(waiter, -1), try_lock(waiter)), (ETCLITE_E_MISUSE, ETCLITE_E_MISUSE));
        assert_eq!(unlock(waiter), ETCLITE_E_MISUSE);
        // Those that only look may come at any time.
        assert_eq!(revision(waiter), Err(ETCLITE_E_LOCK_RELEASED));
        assert_eq!(key(waiter), line(&rust, "n").into_iter().find(|place| *place != key(holder)).unwrap());
        assert_eq!(unlock(holder), ETCLITE_OK);
        assert_eq!(waits.join().unwrap(), ETCLITE_OK);
    });
    close(db);
}

#[test]
fn x_01_a_lock_that_was_lost_fences_off_and_frees_nothing_of_others() {
    let db = memory();
    let rust = rust(db);
    let lost = session(db);
    let (holder, next) = (mutex(lost, "n"), mutex(session(db), "n"));
    assert_eq!(token_of(holder.get()).unwrap_err().code(), ETCLITE_E_LOCK_RELEASED);
    assert_eq!(lock(holder, -1), ETCLITE_OK);
    let token = token_of(holder.get()).unwrap();
    rust.fenced(&token).put("counter", "1").unwrap();
    rust.lease(lease(lost)).revoke().unwrap();
    assert_eq!(lock(next, -1), ETCLITE_OK);
    assert!(rust.fenced(token_of(holder.get()).unwrap()).put("counter", "2").is_err());
    assert!(rust.fenced(token_of(next.get()).unwrap()).put("counter", "3").is_ok());
    assert!(revision(next).unwrap() > revision(holder).unwrap());
    assert_eq!((unlock(holder), unlock(holder)), (ETCLITE_E_SESSION_EXPIRED, ETCLITE_E_SESSION_EXPIRED));
    assert_eq!(token_of(holder.get()).unwrap_err().code(), ETCLITE_E_SESSION_EXPIRED);
    assert_eq!(line(&rust, "n"), [key(next)]);
    close(db);
}

#[test]
fn locks_of_c_and_of_rust_exclude_each_other() {
    let db = memory();
    let rust = rust(db);
    let theirs = rust.session(LONG).unwrap();
    let ours = mutex(session(db), "n");
    let guard = theirs.mutex("n").lock().unwrap();
    assert_eq!(lock(ours, 0), ETCLITE_TIMEOUT);
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || lock(ours, -1));
        await_line(&rust, "n", 2);
        guard.unlock().unwrap();
        assert_eq!(waits.join().unwrap(), ETCLITE_OK);
        assert!(theirs.mutex("n").try_lock().unwrap().is_none());
        let waits = scope.spawn(|| theirs.mutex("n").lock());
        await_line(&rust, "n", 2);
        assert_eq!(unlock(ours), ETCLITE_OK);
        let guard: LockGuard = waits.join().unwrap().unwrap();
        assert_eq!(try_lock(ours), ETCLITE_NOT_ACQUIRED);
        guard.unlock().unwrap();
    });
    close(db);
}

#[test]
fn b_025_many_threads_that_lock_are_never_two_inside() {
    const THREADS: i64 = 8;
    const ROUNDS: i64 = 50;
    let db = memory();
    let (inside, last, count) = (AtomicI64::new(0), AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let session = session(db);
                let mutex = mutex(session, "n");
                for _ in 0..ROUNDS {
                    assert_eq!(lock(mutex, LONG_MS), ETCLITE_OK);
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have the lock");
                    let token = revision(mutex).unwrap();
                    assert!(last.swap(token, Ordering::SeqCst) < token, "a fencing number that does not rise");
                    count.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    assert_eq!(unlock(mutex), ETCLITE_OK);
                }
                assert_eq!((free(mutex), end_session(session, 1)), (ETCLITE_OK, ETCLITE_OK));
            });
        }
    });
    assert_eq!(count.into_inner(), THREADS * ROUNDS);
    close(db);
}

#[test]
fn arguments_of_a_mutex_are_checked() {
    let db = memory();
    let session = session(db);
    let mut out = ptr::dangling_mut();
    // SAFETY: null is refused, and out parameters live until they return.
    unsafe {
        assert_eq!(etclite_mutex_new(session.get(), ptr::null(), 1, &raw mut out, ptr::null_mut()), ETCLITE_E_MISUSE);
        assert!(out.is_null());
        assert_eq!(
            etclite_mutex_new(session.get(), b"n".as_ptr(), 1, ptr::null_mut(), ptr::null_mut()),
            ETCLITE_E_MISUSE
        );
        assert_eq!(
            etclite_mutex_new(db.get().cast(), b"n".as_ptr(), 1, &raw mut out, ptr::null_mut()),
            ETCLITE_E_MISUSE
        );
    }
    let mutex = mutex(session, "");
    assert_eq!(key(mutex), format!("/{}", etclite::LeaseId::from(lease(session))));
    assert_eq!(lock(mutex, -2), ETCLITE_E_INVALID_ARGUMENT);
    assert_eq!(lock(mutex, i64::MAX), ETCLITE_OK);
    close(db);
}
