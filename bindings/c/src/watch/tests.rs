//! Watches as C sees them.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "all that is passed in lives in the caller's frame")]

use std::ptr;

use super::*;
use crate::code::{
    ETCLITE_E_CLOSED, ETCLITE_E_COMPACTED, ETCLITE_E_INVALID_ARGUMENT, ETCLITE_E_MISUSE, ETCLITE_E_WATCH_CANCELED,
};
use crate::fixture::{Store, fails, ok, show, status, zeroed};
use crate::kv::etclite_compact;

/// A watch that is freed when dropped, if it was not before.
pub(crate) struct Watched {
    pub(crate) watch: *mut etclite_watch,
}

// SAFETY: a handle. Reading it from two threads at once is what some tests are about.
unsafe impl Send for Watched {}
// SAFETY: as above.
unsafe impl Sync for Watched {}

impl Drop for Watched {
    fn drop(&mut self) {
        unsafe { etclite_watch_free(self.watch) };
    }
}

/// What a read returned: its events as text, or its status with the error's detail.
pub(crate) type Read = Result<Vec<String>, (i32, i64)>;

impl Watched {
    pub(crate) fn open(store: &Store, key: &str, flags: u32, start: i64) -> Watched {
        Self::with(store, key, "", |options| {
            options.flags = flags;
            options.start_revision = start;
        })
    }

    pub(crate) fn with(
        store: &Store,
        key: &str,
        end: &str,
        change: impl FnOnce(&mut etclite_watch_options),
    ) -> Watched {
        let mut watch = ptr::null_mut();
        ok(|err| open(store, key, end, change, &mut watch, err));
        Watched { watch }
    }

    pub(crate) fn next(&self, timeout_ms: i64) -> Read {
        let mut events = ptr::null_mut();
        let (status, detail) = fails(|err| unsafe { etclite_watch_next(self.watch, timeout_ms, &raw mut events, err) });
        assert_eq!(status == ETCLITE_OK, !events.is_null());
        if status != ETCLITE_OK {
            return Err((status, detail));
        }
        let (mut views, mut count, mut header) = (ptr::null(), 0, zeroed::<etclite_header>());
        ok(|err| unsafe { etclite_events_get(events, &raw mut views, &raw mut count, err) });
        ok(|err| unsafe { etclite_events_header(events, &raw mut header, err) });
        let views = unsafe { std::slice::from_raw_parts(views, count) };
        assert_eq!(header.revision, views.last().unwrap().kv.mod_revision);
        let shown = views.iter().map(show_event).collect();
        assert_eq!(unsafe { etclite_events_free(events) }, ETCLITE_OK);
        Ok(shown)
    }

    /// Everything that is there now.
    pub(crate) fn drain(&self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match self.next(0) {
                Ok(mut events) => all.append(&mut events),
                Err(end) => {
                    assert_eq!(end, (ETCLITE_TIMEOUT, 0));
                    return all;
                }
            }
        }
    }

    pub(crate) fn progress(&self) -> i64 {
        let mut revision = 0;
        ok(|err| unsafe { etclite_watch_progress(self.watch, &raw mut revision, err) });
        revision
    }

    pub(crate) fn cancel(&self) {
        ok(|err| unsafe { etclite_watch_cancel(self.watch, err) });
    }
}

fn open(
    store: &Store,
    key: &str,
    end: &str,
    change: impl FnOnce(&mut etclite_watch_options),
    watch: &mut *mut etclite_watch,
    err: *mut etclite_error,
) -> i32 {
    let mut options = zeroed::<etclite_watch_options>();
    options.struct_size = size_of::<etclite_watch_options>();
    change(&mut options);
    let (key, end) = ((key.as_ptr(), key.len()), (end.as_ptr(), end.len()));
    unsafe { etclite_watch_open(store.db, key.0, key.1, end.0, end.1, &raw const options, watch, err) }
}

/// `revision kind key=value`, with a mark for a creation, and what was before.
fn show_event(event: &etclite_event) -> String {
    let kind = if event.r#type == ETCLITE_EVENT_PUT { "put" } else { "del" };
    let created = if event.flags & ETCLITE_EVENT_CREATED != 0 { " new" } else { "" };
    let prev = unsafe { event.prev.as_ref() }.map_or(String::new(), |prev| format!(" was {}", show(prev)));
    format!("{} {kind} {}{created}{prev}", event.kv.mod_revision, show(&event.kv))
}

/// Waits until a read of the watch has begun in another thread.
fn until_read(watched: &Watched) {
    while pin(watched.watch).is_ok_and(|object| object.read().is_ok()) {
        std::thread::yield_now();
    }
}

#[test]
fn a_put_made_after_the_watch_was_opened_is_seen() {
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    assert_eq!(watched.next(0), Err((ETCLITE_TIMEOUT, 0)));
    store.put("k", "1");
    store.put("other", "");
    store.put("k", "2");
    store.delete("k");
    assert_eq!(watched.next(-1).unwrap(), ["2 put k=1 new", "4 put k=2", "5 del k="]);
    assert_eq!((watched.next(1), watched.progress()), (Err((ETCLITE_TIMEOUT, 0)), 5));
}

#[test]
fn flags_say_which_keys_and_which_events() {
    let store = Store::new();
    let prefix = ETCLITE_RANGE_PREFIX;
    let with_prev = Watched::open(&store, "a", prefix | ETCLITE_WATCH_PREV_KV | ETCLITE_WATCH_NO_PUT, 0);
    let puts = Watched::open(&store, "b", ETCLITE_RANGE_FROM_KEY | ETCLITE_WATCH_NO_DELETE, 0);
    let everything = Watched::open(&store, "", prefix, 0);
    for (key, value) in [("a", "1"), ("ab", "2"), ("b", "3")] {
        store.put(key, value);
        store.delete(key);
    }
    assert_eq!(with_prev.drain(), ["3 del a= was a=1", "5 del ab= was ab=2"]);
    assert_eq!(puts.drain(), ["6 put b=3 new"]);
    assert_eq!(everything.drain().len(), 6);
    assert_eq!((with_prev.progress(), puts.progress(), everything.progress()), (7, 7, 7));
}

#[test]
fn what_is_no_watch_is_refused() {
    let store = Store::new();
    let mut watch = ptr::null_mut();
    let refused: [fn(&mut etclite_watch_options); 4] = [
        |options| options.flags = 32,
        |options| options.flags = ETCLITE_RANGE_PREFIX | ETCLITE_RANGE_FROM_KEY,
        |options| options.reserved = 1,
        |options| options.start_revision = -1,
    ];
    for change in refused {
        assert_eq!(status(|err| open(&store, "k", "", change, &mut watch, err)), ETCLITE_E_INVALID_ARGUMENT);
    }
    assert_eq!(status(|err| open(&store, "k", "k", |_| {}, &mut watch, err)), ETCLITE_E_INVALID_ARGUMENT);
    let nothing = ptr::null_mut();
    assert_eq!(status(|err| unsafe { etclite_watch_next(nothing, 0, ptr::null_mut(), err) }), ETCLITE_E_MISUSE);
    assert_eq!(unsafe { etclite_watch_free(nothing) }, ETCLITE_OK);
    let watched = Watched::open(&store, "k", 0, 0);
    let copy = watched.watch;
    drop(watched);
    assert_eq!(unsafe { etclite_watch_free(copy) }, ETCLITE_E_MISUSE);
}

#[test]
fn a_compaction_past_the_next_event_is_told_with_its_revision_each_time() {
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    (0..4).for_each(|_| _ = store.put("k", ""));
    ok(|err| unsafe { etclite_compact(store.db, 4, 0, err) });
    assert_eq!(watched.next(0), Err((ETCLITE_E_COMPACTED, 4)));
    assert_eq!(watched.next(-1), Err((ETCLITE_E_COMPACTED, 4)));
    assert_eq!(watched.progress(), 1);
    let mut watch = ptr::null_mut();
    let late = fails(|err| open(&store, "k", "", |options| options.start_revision = 3, &mut watch, err));
    assert_eq!((late, watch.is_null()), ((ETCLITE_E_COMPACTED, 4), true));
}

#[test]
fn cancelling_ends_a_wait_and_every_later_read() {
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| watched.next(-1));
        until_read(&watched);
        assert_eq!(watched.next(0), Err((ETCLITE_E_MISUSE, 0)), "two threads read one watch");
        assert_eq!(watched.progress(), 1);
        watched.cancel();
        assert_eq!(waiting.join().unwrap(), Err((ETCLITE_E_WATCH_CANCELED, 0)));
    });
    watched.cancel();
    assert_eq!(watched.next(-1), Err((ETCLITE_E_WATCH_CANCELED, 0)));
}

#[test]
fn freeing_ends_a_wait() {
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| watched.next(-1));
        until_read(&watched);
        assert_eq!(unsafe { etclite_watch_free(watched.watch) }, ETCLITE_OK);
        assert_eq!(waiting.join().unwrap(), Err((ETCLITE_E_WATCH_CANCELED, 0)));
    });
    assert_eq!(watched.next(0), Err((ETCLITE_E_MISUSE, 0)));
}

#[test]
fn events_outlive_their_watch_and_their_store() {
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    store.put("k", "1");
    let (mut events, mut views, mut count) = (ptr::null_mut(), ptr::null(), 0);
    ok(|err| unsafe { etclite_watch_next(watched.watch, -1, &raw mut events, err) });
    drop(watched);
    store.close();
    ok(|err| unsafe { etclite_events_get(events, &raw mut views, &raw mut count, err) });
    assert_eq!((count, show_event(unsafe { &*views })), (1, "2 put k=1 new".to_owned()));
    assert_eq!(unsafe { etclite_events_free(events) }, ETCLITE_OK);
    assert_eq!(unsafe { etclite_events_free(events) }, ETCLITE_E_MISUSE);
}

#[test]
fn what_could_not_be_handed_out_comes_again() {
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    store.put("k", "1");
    let object = pin(watched.watch).ok().unwrap();
    let Ok(Found::Batch(batch)) = object.next(&mut object.read().ok().unwrap(), None) else { panic!("no batch") };
    object.put_back(batch);
    assert_eq!(watched.progress(), 1, "it was not returned");
    assert_eq!(watched.drain(), ["2 put k=1 new"]);
    assert_eq!(watched.progress(), 2);
}

#[test]
fn b_002_a_batch_never_splits_a_revision_and_the_next_one_is_complete() {
    let store = Store::new();
    let small = Watched::with(&store, "k", "l", |options| options.batch_bytes_max = 1);
    let puts = ["k1", "k2", "k3"].map(|key| etclite::Put::new(key, "a"));
    database(store.db).ok().unwrap().db.txn().then(puts).commit().unwrap();
    store.put("k1", "c");
    assert_eq!(small.next(0).unwrap(), ["2 put k1=a new", "2 put k2=a new", "2 put k3=a new"]);
    assert_eq!(small.progress(), 2);
    let resumed = Watched::open(&store, "k", ETCLITE_RANGE_PREFIX, 3);
    assert_eq!((small.drain(), resumed.drain()), (vec!["3 put k1=c".to_owned()], vec!["3 put k1=c".to_owned()]));
}

#[test]
fn b_009_watches_are_independent_and_cancelling_one_leaves_the_other_whole() {
    let store = Store::new();
    let (one, two) = (Watched::open(&store, "t/1", 0, 0), Watched::open(&store, "t/2", 0, 0));
    store.put("t/2", "a");
    store.put("t/1", "b");
    assert_eq!(one.drain(), ["3 put t/1=b new"]);
    one.cancel();
    store.put("t/1", "c");
    store.put("t/2", "d");
    assert_eq!(two.drain(), ["2 put t/2=a new", "5 put t/2=d"]);
    assert_eq!(one.next(0), Err((ETCLITE_E_WATCH_CANCELED, 0)));
}

#[test]
fn b_010_a_watch_of_a_closed_store_says_so_each_time_and_another_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store").into_os_string().into_encoded_bytes();
    let open = || {
        let mut db = ptr::null_mut();
        ok(|err| unsafe { crate::database::etclite_open(path.as_ptr(), path.len(), ptr::null(), &raw mut db, err) });
        Store { db }
    };
    let store = open();
    let old = Watched::open(&store, "k", 0, 0);
    store.put("k", "1");
    assert_eq!(old.drain(), ["2 put k=1 new"]);
    store.close();
    let store = open();
    for _ in 0..3 {
        assert_eq!(old.next(-1), Err((ETCLITE_E_CLOSED, 0)));
    }
    store.put("k", "2");
    let new = Watched::open(&store, "k", 0, old.progress() + 1);
    store.put("k", "3");
    assert_eq!(new.drain(), ["3 put k=2", "4 put k=3"]);
}

#[test]
fn b_057_a_wait_without_end_ends_when_the_store_is_closed() {
    let store = Store::new();
    let watches = [0; 64].map(|_| Watched::open(&store, "never", 0, 0));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = watches.iter().map(|watched| scope.spawn(|| watched.next(-1))).collect();
        watches.iter().for_each(until_read);
        store.close();
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap(), Err((ETCLITE_E_CLOSED, 0)));
        }
    });
}

#[test]
fn b_079_watches_that_nobody_reads_are_freed_whole() {
    let store = Store::new();
    let watches = || database(store.db).ok().unwrap().db.stats().watches;
    for _ in 0..100 {
        let many = [0; 100].map(|_| Watched::open(&store, "k", 0, 0));
        store.put("k", "");
        assert_eq!(watches(), 100);
        drop(many);
        assert_eq!(watches(), 0);
    }
}

/// It took the lock whose owner is the one reader: a read at the same time was refused, and of two that asked at the same
/// time one was told what had been long before.
#[test]
fn progress_is_asked_beside_the_lock_of_the_reader() {
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    let object = pin(watched.watch).ok().unwrap();
    let taken = object.watch.try_lock().unwrap();
    store.put("other", "");
    assert_eq!(watched.progress(), 2);
    drop(taken);
    let state = object.progress.lock();
    assert!(object.watch.try_lock().is_some(), "nor is it held by who looks");
    drop(state);
}

#[test]
fn asking_for_progress_refuses_no_reader() {
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    let read = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !read.load(std::sync::atomic::Ordering::Relaxed) {
                    watched.progress();
                }
            });
        }
        let first = (0..50_000).map(|_| watched.next(0)).find(|read| *read != Err((ETCLITE_TIMEOUT, 0)));
        read.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(first, None);
    });
}

#[test]
fn progress_never_falls_and_is_never_ahead_of_what_was_returned() {
    const PUTS: i64 = 2_000;
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    let object = pin(watched.watch).ok().unwrap();
    // The revision up to which events were taken out, told before the reader's turn ends.
    let taken = std::sync::atomic::AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut before = 0;
                while before <= PUTS as u64 {
                    let progress = object.progress();
                    assert!(progress >= before, "{progress} after {before}");
                    assert!(progress <= taken.load(std::sync::atomic::Ordering::SeqCst), "{progress}");
                    before = progress;
                }
            });
        }
        scope.spawn(|| (0..PUTS).for_each(|_| _ = store.put("k", "")));
        while taken.load(std::sync::atomic::Ordering::SeqCst) <= PUTS as u64 {
            let Ok(mut watch) = object.read() else { continue };
            if let Ok(Found::Batch(batch)) = object.next(&mut watch, None) {
                taken.store(batch.revision().get(), std::sync::atomic::Ordering::SeqCst);
            }
        }
    });
}

#[test]
fn what_was_put_back_is_not_counted_as_returned() {
    let store = Store::new();
    let watched = Watched::open(&store, "k", 0, 0);
    store.put("k", "1");
    let object = pin(watched.watch).ok().unwrap();
    for _ in 0..2 {
        let mut watch = object.read().ok().unwrap();
        let Ok(Found::Batch(batch)) = object.next(&mut watch, None) else { panic!("an event is there") };
        assert_eq!(watched.progress(), 1);
        object.put_back(batch);
        drop(watch);
        assert_eq!(watched.progress(), 1);
    }
    assert_eq!(watched.drain(), ["2 put k=1 new"]);
    assert_eq!(watched.progress(), 2);
}
