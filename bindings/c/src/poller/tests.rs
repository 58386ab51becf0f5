//! Pollers as C sees them.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "all that is passed in lives in the caller's frame")]

use std::ptr;

use super::*;
use crate::code::{ETCLITE_E_CLOSED, ETCLITE_E_INVALID_ARGUMENT, ETCLITE_E_MISUSE, ETCLITE_E_WATCH_CANCELED};
use crate::fixture::{Store, ok, status};
use crate::flag::tests::is_readable;
use crate::watch::etclite_watch_free;
use crate::watch::tests::Watched;

/// A poller that is freed when dropped, if it was not before.
struct Polled {
    poller: *mut etclite_poller,
    fd: i32,
}

// SAFETY: a handle.
unsafe impl Send for Polled {}
// SAFETY: as above.
unsafe impl Sync for Polled {}

impl Drop for Polled {
    fn drop(&mut self) {
        unsafe { etclite_poller_free(self.poller) };
    }
}

impl Polled {
    fn new(store: &Store) -> Polled {
        let (mut poller, mut fd) = (ptr::null_mut(), -1);
        ok(|err| unsafe { etclite_poller_new(store.db, &raw mut poller, err) });
        ok(|err| unsafe { etclite_poller_fd(poller, &raw mut fd, err) });
        Polled { poller, fd }
    }

    fn add(&self, watched: &Watched, cookie: u64) {
        ok(|err| unsafe { etclite_poller_add(self.poller, watched.watch, cookie, err) });
    }

    fn wait_for(&self, timeout_ms: i64, cap: usize) -> Result<Vec<u64>, i32> {
        let (mut cookies, mut count) = ([0; 64], 99);
        let status = status(|err| unsafe {
            etclite_poller_wait(self.poller, timeout_ms, cookies.as_mut_ptr(), cap, &raw mut count, err)
        });
        match status {
            ETCLITE_OK => Ok(cookies[..count].to_vec()),
            ETCLITE_TIMEOUT => {
                assert_eq!(count, 0);
                Err(ETCLITE_TIMEOUT)
            }
            error => {
                assert_eq!(count, 99, "written on success only");
                Err(error)
            }
        }
    }

    /// What is ready now; the descriptor must say the same.
    fn ready(&self) -> Result<Vec<u64>, i32> {
        let readable = is_readable(self.fd);
        let ready = self.wait_for(0, 64);
        assert_eq!(readable, ready != Err(ETCLITE_TIMEOUT));
        ready
    }

    fn wake(&self) {
        ok(|err| unsafe { etclite_poller_wake(self.poller, err) });
    }

    /// Waits until another thread waits.
    fn until_waiting(&self) {
        let poller = handle::pin::<Poller>(self.poller).ok().unwrap();
        while poller.waiting.try_lock().is_ok() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_cookie_is_reported_once_and_again_after_timeout() {
    let store = Store::new();
    let (polled, watched) = (Polled::new(&store), Watched::open(&store, "k", 0, 0));
    polled.add(&watched, 7);
    assert_eq!(polled.ready(), Err(ETCLITE_TIMEOUT));
    store.put("other", "");
    assert_eq!(polled.ready(), Err(ETCLITE_TIMEOUT));
    store.put("k", "1");
    assert_eq!(polled.ready(), Ok(vec![7]));
    store.put("k", "2");
    assert_eq!(polled.ready(), Err(ETCLITE_TIMEOUT), "it was not read until TIMEOUT");
    assert_eq!(watched.drain(), ["3 put k=1 new", "4 put k=2"]);
    assert_eq!(polled.ready(), Err(ETCLITE_TIMEOUT));
    store.put("k", "3");
    assert_eq!(polled.ready(), Ok(vec![7]));
}

#[test]
fn a_watch_that_has_something_is_reported_when_it_is_added() {
    let store = Store::new();
    store.put("k", "1");
    let (polled, watched) = (Polled::new(&store), Watched::open(&store, "k", 0, 2));
    polled.add(&watched, u64::MAX);
    assert_eq!(polled.ready(), Ok(vec![u64::MAX]));
    let canceled = Watched::open(&store, "k", 0, 0);
    canceled.cancel();
    polled.add(&canceled, 1);
    assert_eq!(polled.ready(), Ok(vec![1]));
    assert_eq!(canceled.next(0), Err((ETCLITE_E_WATCH_CANCELED, 0)));
    assert_eq!(polled.ready(), Err(ETCLITE_TIMEOUT));
}

#[test]
fn ready_watches_are_told_in_order_as_many_as_there_is_room_for() {
    let store = Store::new();
    let polled = Polled::new(&store);
    let watches = [0, 1, 2, 3].map(|cookie| {
        let watched = Watched::open(&store, &format!("k{cookie}"), 0, 0);
        polled.add(&watched, cookie);
        watched
    });
    for key in ["k2", "k0", "k3", "k2", "k1"] {
        store.put(key, "");
    }
    assert_eq!(polled.wait_for(-1, 3), Ok(vec![2, 0, 3]));
    assert_eq!(polled.ready(), Ok(vec![1]));
    assert_eq!(polled.ready(), Err(ETCLITE_TIMEOUT));
    assert_eq!(polled.wait_for(0, 0), Err(ETCLITE_E_INVALID_ARGUMENT));
    drop(watches);
}

#[test]
fn freed_and_removed_watches_are_not_reported() {
    let store = Store::new();
    let (polled, other) = (Polled::new(&store), Polled::new(&store));
    let [one, two, three] = [1, 2, 3].map(|cookie| {
        let watched = Watched::open(&store, "k", 0, 0);
        polled.add(&watched, cookie);
        watched
    });
    assert_eq!(
        status(|err| unsafe { etclite_poller_add(other.poller, one.watch, 0, err) }),
        ETCLITE_E_INVALID_ARGUMENT,
        "it is in a poller"
    );
    store.put("k", "");
    drop(one);
    let remove = |watched: &Watched| status(|err| unsafe { etclite_poller_remove(polled.poller, watched.watch, err) });
    assert_eq!((remove(&two), remove(&two)), (ETCLITE_OK, ETCLITE_NOT_FOUND));
    assert_eq!(polled.ready(), Ok(vec![3]));
    other.add(&two, 4);
    assert_eq!((remove(&two), other.ready()), (ETCLITE_NOT_FOUND, Ok(vec![4])));
    assert_eq!(unsafe { etclite_watch_free(three.watch) }, ETCLITE_OK);
    assert_eq!(remove(&three), ETCLITE_E_MISUSE);
    assert_eq!(polled.ready(), Err(ETCLITE_TIMEOUT));
}

#[test]
fn a_watch_survives_its_poller_and_joins_another() {
    let store = Store::new();
    let (polled, watched) = (Polled::new(&store), Watched::open(&store, "k", 0, 0));
    polled.add(&watched, 1);
    drop(polled);
    store.put("k", "");
    let another = Polled::new(&store);
    another.add(&watched, 2);
    assert_eq!(another.ready(), Ok(vec![2]));
}

#[test]
fn waking_ends_a_wait_or_the_next_one() {
    let store = Store::new();
    let polled = Polled::new(&store);
    polled.wake();
    polled.wake();
    assert_eq!(polled.ready(), Ok(vec![]));
    assert_eq!(polled.wait_for(1, 1), Err(ETCLITE_TIMEOUT));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| polled.wait_for(-1, 64));
        polled.until_waiting();
        assert_eq!(polled.wait_for(0, 1), Err(ETCLITE_E_MISUSE), "two threads wait");
        polled.wake();
        assert_eq!(waiting.join().unwrap(), Ok(vec![]));
    });
}

#[test]
fn a_wait_ends_when_a_watch_is_ready() {
    let store = Store::new();
    let (polled, watched) = (Polled::new(&store), Watched::open(&store, "k", 0, 0));
    polled.add(&watched, 5);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| polled.wait_for(3_600_000, 64));
        polled.until_waiting();
        store.put("k", "");
        assert_eq!(waiting.join().unwrap(), Ok(vec![5]));
    });
}

#[test]
fn freeing_the_poller_ends_a_wait() {
    let store = Store::new();
    let polled = Polled::new(&store);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| polled.wait_for(-1, 64));
        polled.until_waiting();
        assert_eq!(unsafe { etclite_poller_free(polled.poller) }, ETCLITE_OK);
        assert_eq!(waiting.join().unwrap(), Err(ETCLITE_E_CANCELED));
    });
    assert_eq!(unsafe { etclite_poller_free(polled.poller) }, ETCLITE_E_MISUSE);
}

#[test]
fn closing_the_store_makes_every_watch_ready_and_then_the_poller_says_so() {
    let store = Store::new();
    let (polled, idle) = (Polled::new(&store), Polled::new(&store));
    let watches = [1, 2].map(|cookie| {
        let watched = Watched::open(&store, "k", 0, 0);
        polled.add(&watched, cookie);
        watched
    });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| idle.wait_for(-1, 64));
        idle.until_waiting();
        store.close();
        assert_eq!(waiting.join().unwrap(), Err(ETCLITE_E_CLOSED));
    });
    assert_eq!(polled.ready(), Ok(vec![1, 2]));
    for watched in &watches {
        assert_eq!(watched.next(0), Err((ETCLITE_E_CLOSED, 0)));
    }
    assert_eq!((polled.ready(), polled.ready()), (Err(ETCLITE_E_CLOSED), Err(ETCLITE_E_CLOSED)));
}

/// As Go's runtime does: the descriptor is read from, and only then is the poller asked.
#[test]
fn reading_from_the_descriptor_loses_nothing() {
    let store = Store::new();
    let (polled, watched) = (Polled::new(&store), Watched::open(&store, "k", 0, 0));
    polled.add(&watched, 1);
    for _ in 0..3 {
        store.put("k", "");
        let mut bytes = [0u8; 8];
        assert_eq!(unsafe { libc::read(polled.fd, bytes.as_mut_ptr().cast(), 8) }, 8);
        polled.wake();
        assert_eq!(polled.wait_for(0, 64), Ok(vec![1]));
        assert_eq!((watched.drain().len(), polled.ready()), (1, Err(ETCLITE_TIMEOUT)));
    }
}

#[test]
fn no_wake_up_is_lost_beside_writers() {
    const WATCHES: usize = 8;
    const PUTS: usize = 400;
    let store = Store::new();
    let polled = Polled::new(&store);
    let watches: [Watched; WATCHES] = std::array::from_fn(|index| {
        let watched = Watched::open(&store, &format!("k{index}"), 0, 0);
        polled.add(&watched, index as u64);
        watched
    });
    std::thread::scope(|scope| {
        for half in 0..2 {
            let store = &store;
            scope.spawn(move || {
                (0..PUTS).for_each(|put| _ = store.put(&format!("k{}", (put * 2 + half) % WATCHES), ""))
            });
        }
        let mut seen = 0;
        while seen < 2 * PUTS {
            for cookie in polled.wait_for(60_000, 4).expect("a lost wake-up") {
                seen += watches[usize::try_from(cookie).unwrap()].drain().len();
            }
        }
        assert_eq!(seen, 2 * PUTS);
    });
}
