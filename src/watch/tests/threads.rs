//! Waiting, waking and ending across threads. Threads meet by channels and by looking whether a watch is parked.

use std::sync::atomic::AtomicBool;
use std::task::{Context, Wake, Waker};
use std::thread::{self, JoinHandle, ScopedJoinHandle};

use crossbeam_channel::{bounded, select};

use super::*;

const LONG: Duration = Duration::from_secs(3600);

/// Waits until the watch sleeps.
fn until_parked(canceller: &WatchCanceller) {
    while !canceller.is_parked() {
        thread::yield_now();
    }
}

fn block(mut watch: Watch) -> JoinHandle<(Option<Result<WatchBatch>>, Watch)> {
    let canceller = watch.canceller();
    let thread = thread::spawn(move || (watch.next(), watch));
    until_parked(&canceller);
    thread
}

#[test]
fn next_waits_for_its_event() {
    let mut store = Store::new();
    let thread = block(store.watch("k").start().unwrap());
    store.put("other");
    store.put("k");
    let (batch, _) = thread.join().unwrap();
    assert_eq!(batch.unwrap().unwrap().revision().get(), 3);
}

#[test]
fn next_timeout_gives_up() {
    let store = Store::new();
    let mut watch = store.watch("k").start().unwrap();
    // The clock of the test stands still: the system's wait alone ends it.
    assert!(watch.next_timeout(Duration::from_millis(1)).unwrap().is_none());
    assert!(watch.next_timeout(Duration::ZERO).unwrap().is_none());
    assert!(!watch.is_ended());
}

#[test]
fn next_timeout_waits_for_its_event() {
    let mut store = Store::new();
    let mut watch = store.watch("k").start().unwrap();
    let canceller = watch.canceller();
    let thread = thread::spawn(move || watch.next_timeout(LONG));
    until_parked(&canceller);
    store.put("k");
    assert_eq!(thread.join().unwrap().unwrap().unwrap().revision().get(), 2);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_waker_outlives_waits_that_ended_with_nothing() {
    let mut store = Store::new();
    let mut watch = store.watch("k").start().unwrap();
    let woken = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(watch.poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(watch.next_timeout(Duration::from_millis(1)).unwrap().is_none());
    store.put("k");
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(watch.canceller().register(&waker), "there is something to read");
    assert!(watch.poll(&mut Context::from_waker(&waker)).is_ready());
    assert!(!watch.canceller().register(&waker));
    store.put("other");
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "nothing happened that concerns it");
    watch.canceller().cancel();
    assert_eq!(woken.0.load(Ordering::SeqCst), 2);
}

#[test]
fn timed_progress_wakes_a_quiet_watch() {
    let store = Store::new();
    let mut watch = store.watch("k").from(1).progress_every(PROGRESS_EVERY_MIN).start().unwrap();
    let batch = watch.next().unwrap().unwrap();
    assert!(batch.is_progress() && batch.revision() == 1);
}

#[test]
fn only_the_matching_are_woken() {
    let mut store = Store::new();
    let mut threads: Vec<_> = ["a", "b", "c"].map(|key| block(store.watch(key).start().unwrap())).into();
    let _awake = store.watch("b").start().unwrap();
    store.write(&[(EventKind::Put, "b")]);
    store.publish();
    let woken: Vec<_> = store.hub.state.lock().wakes.iter().map(|slot| slot.range.clone()).collect();
    assert_eq!(woken, [KeyRange::key("b")]);
    store.hub.wake();
    assert!(threads.remove(1).join().unwrap().0.unwrap().is_ok());
    assert!(threads.iter().all(|thread| !thread.is_finished()));
    store.hub.close(Error::Closed);
    threads.into_iter().for_each(|thread| assert!(matches!(thread.join().unwrap().0, Some(Err(Error::Closed)))));
}

#[test]
fn cancel_wakes_and_ends() {
    let mut store = Store::new();
    let watch = store.watch("k").start().unwrap();
    let canceller = watch.canceller();
    let thread = block(watch);
    canceller.cancel();
    canceller.clone().cancel();
    let (first, mut watch) = thread.join().unwrap();
    assert!(matches!(first, Some(Err(Error::Canceled))));
    assert!(watch.next().is_none() && watch.try_next().unwrap().is_none());
    assert_eq!(store.hub.len(), 0);
    store.put("k");
    assert_eq!(watch.progress().get(), 1);
}

#[test]
fn close_wakes_ends_and_refuses() {
    let store = Store::new();
    let thread = block(store.watch("k").start().unwrap());
    store.hub.close(Error::Closed);
    let (first, mut watch) = thread.join().unwrap();
    assert!(matches!(first, Some(Err(Error::Closed))) && watch.next().is_none());
    assert!(matches!(store.watch("k").start(), Err(Error::Closed)));
}

#[test]
fn freeze_wakes_and_ends() {
    let store = Store::new();
    let thread = block(store.watch("k").start().unwrap());
    store.hub.freeze(None);
    assert!(thread.join().unwrap().0.is_none());
}

/// Progress and delivery beside a publisher in full flight: every third revision matches.
#[test]
fn x_05_progress_never_ahead_beside_a_publisher() {
    const LAST: u64 = 3000;
    let store = Mutex::new(Store::new());
    let hub = Arc::clone(&store.lock().hub);
    let watches: Vec<_> = (0..2).map(|_| store.lock().watch("k").batch_bytes(300).start().unwrap()).collect();
    thread::scope(|scope| {
        let readers: Vec<ScopedJoinHandle<'_, ()>> =
            watches.into_iter().map(|watch| scope.spawn(|| read_until(watch, LAST))).collect();
        let mut store = store.lock();
        while store.revision < LAST {
            // Some publications have several revisions, with several keys.
            for _ in 0..=store.revision % 2 {
                let key = if (store.revision + 1).is_multiple_of(3) { "k" } else { "other" };
                store.write(&[(EventKind::Put, "first"), (EventKind::Put, key)]);
            }
            store.publish();
            hub.wake();
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

fn read_until(mut watch: Watch, last: u64) {
    let mut delivered = 0;
    while delivered < last {
        let progress = watch.progress().get();
        assert!(progress - progress % 3 <= delivered, "progress {progress} with {delivered} delivered");
        let batch = if progress.is_multiple_of(2) { watch.try_next() } else { watch.next_timeout(LONG) };
        for event in batch.unwrap().iter().flatten() {
            delivered += 3;
            assert_eq!(event.kv.mod_revision.get(), delivered);
        }
    }
}

/// Watches that come and go while a publisher runs.
#[test]
fn etcd_20655_registration_beside_a_publisher() {
    let mut store = Store::new();
    let (hub, done) = (Arc::clone(&store.hub), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.write(&[(EventKind::Put, "k")]);
                store.publish();
                hub.wake();
            }
        });
        for _ in 0..300 {
            let mut watch = WatchBuilder::new(Arc::clone(&hub), KeyRange::key("k")).start().unwrap();
            let mut expected = watch.start_revision().get();
            for _ in 0..3 {
                for event in &watch.next().unwrap().unwrap() {
                    assert_eq!(event.kv.mod_revision.get(), expected);
                    expected += 1;
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_receiver_stands_in_a_select() {
    let mut store = Store::new();
    let a = store.watch("a").start().unwrap().receiver(1);
    let b = store.watch("b").start().unwrap().receiver(1);
    for key in ["b", "a", "a", "b"] {
        let revision = store.put(key);
        let (from, batch) = select! { recv(a) -> batch => ("a", batch), recv(b) -> batch => ("b", batch) };
        assert_eq!((from, batch.unwrap().unwrap().revision().get()), (key, revision));
    }
}

#[test]
fn a_receiver_tells_the_end() {
    let mut store = Store::new();
    let receiver = store.watch("k").start().unwrap().receiver(0);
    store.put("k");
    assert_eq!(receiver.recv().unwrap().unwrap().revision().get(), 2);
    receiver.canceller().cancel();
    assert!(matches!(receiver.recv(), Ok(Err(Error::Canceled))));
    assert!(receiver.recv().is_err());
}

#[test]
fn dropping_a_quiet_receiver_ends_its_thread() {
    let store = Store::new();
    let watch = store.watch("k").start().unwrap();
    let canceller = watch.canceller();
    let receiver = watch.receiver(4);
    until_parked(&canceller);
    let kept = (*receiver).clone();
    // Returns only once the thread has been joined.
    drop(receiver);
    assert!(kept.recv().is_err());
    assert_eq!(store.hub.len(), 0);
}

#[test]
fn dropping_a_full_receiver_ends_its_thread() {
    let mut store = Store::new();
    let receiver = store.watch("k").from(1).batch_bytes(1).start().unwrap().receiver(1);
    // A clone keeps the channel connected: it must not keep the thread.
    let kept = (*receiver).clone();
    (0..5).for_each(|_| _ = store.put("k"));
    while !receiver.is_full() {
        thread::yield_now();
    }
    let (dropped, joined) = bounded(1);
    let thread = thread::spawn(move || {
        drop(receiver);
        dropped.send(()).unwrap();
    });
    joined.recv().unwrap();
    thread.join().unwrap();
    assert_eq!(store.hub.len(), 0);
    assert_eq!(kept.iter().count(), 1, "what was delivered can still be taken");
}
