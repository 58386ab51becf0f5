//! The rules of `semantics.md`, one by one.

use super::*;

#[test]
fn wa_02_start() {
    let mut store = Store::new();
    (2..=6).for_each(|revision| assert_eq!(store.put("k"), revision));
    store.compact(4);
    assert_eq!(compacted(store.watch("k").from(3).start()), Some(4));
    assert_eq!(drain(&mut store.watch("k").from(4).start().unwrap()), [4, 5, 6]);
    let mut next = store.watch("k").start().unwrap();
    let mut future = store.watch("k").from(8).start().unwrap();
    assert_eq!((next.start_revision().get(), future.start_revision().get()), (7, 8));
    assert_eq!((drain(&mut next), drain(&mut future)), (vec![], vec![]));
    store.put("k");
    store.put("k");
    assert_eq!((drain(&mut next), drain(&mut future)), (vec![7, 8], vec![8]));
}

#[test]
fn wa_02_compaction_ends_a_watch_later() {
    let mut store = Store::new();
    let mut watch = store.watch("k").batch_bytes(0).start().unwrap();
    (2..=6).for_each(|_| _ = store.put("k"));
    assert_eq!(watch.try_next().unwrap().unwrap().revision().get(), 2);
    store.compact(3);
    assert_eq!(watch.try_next().unwrap().unwrap().revision().get(), 3);
    store.compact(5);
    assert_eq!(compacted(watch.try_next()), Some(5));
    assert!(watch.is_ended() && watch.try_next().unwrap().is_none() && watch.next().is_none());
    assert_eq!((watch.progress().get(), store.hub.len()), (3, 0));
    store.put("k");
    assert_eq!(watch.progress().get(), 3, "an ended watch stays where it was");
}

#[test]
fn wa_02_compaction_during_a_read_is_no_gap() {
    let mut store = Store::new();
    let mut watch = store.watch("k").start().unwrap();
    (2..=6).for_each(|_| _ = store.put("k"));
    *store.fake.meanwhile.lock() = Some(Box::new(|fake| fake.compact(5)));
    assert_eq!(compacted(watch.try_next()), Some(5));
    assert_eq!(watch.progress().get(), 1);
}

#[test]
fn wa_03_keys() {
    let mut store = Store::new();
    let ranges =
        [KeyRange::key("b"), prefix("b"), KeyRange::from_key("b"), KeyRange::all(), KeyRange::between("a", "b")];
    let mut watches: Vec<_> = ranges.into_iter().map(|range| store.watch(range).start().unwrap()).collect();
    ["a", "b", "bb", "c"].iter().for_each(|key| _ = store.put(key));
    let seen: Vec<_> = watches.iter_mut().map(drain).collect();
    assert_eq!(seen, [vec![3], vec![3, 4], vec![3, 4, 5], vec![2, 3, 4, 5], vec![2]]);

    let empty = store.watch(KeyRange::between("b", "b")).start().unwrap_err();
    assert!(matches!(empty, Error::InvalidArgument(Invalid::EmptyWatchRange)));
    let mut lowest = store.watch("").start().unwrap();
    store.put("\0");
    assert_eq!(drain(&mut lowest), [6]);
}

#[test]
fn wa_07_prev_kv_on_request() {
    let mut store = Store::new();
    let mut plain = store.watch("k").start().unwrap();
    let mut with_prev = store.watch("k").with_prev().start().unwrap();
    store.put("k");
    store.delete("k");
    let prev = |watch: &mut Watch| -> Vec<_> {
        let events = watch.next().unwrap().unwrap().into_events();
        events.into_iter().map(|event| event.prev.map(|kv| kv.mod_revision.get())).collect()
    };
    assert_eq!((prev(&mut plain), prev(&mut with_prev)), (vec![None, None], vec![None, Some(2)]));
}

#[test]
fn wa_08_progress_moves_past_filtered_events() {
    let mut store = Store::new();
    let mut puts = store.watch("k").no_delete().batch_bytes(1).start().unwrap();
    let mut deletes = store.watch("k").no_put().start().unwrap();
    let mut nothing = store.watch("k").no_put().no_delete().start().unwrap();
    store.put("k");
    store.delete("k");
    store.commit(&[(EventKind::Delete, "k"), (EventKind::Put, "k")]);
    store.delete("k");
    assert_eq!((drain(&mut puts), drain(&mut deletes), drain(&mut nothing)), (vec![2, 4], vec![3, 4, 5], vec![]));
    for watch in [puts, deletes, nothing] {
        assert_eq!(watch.progress().get(), 5);
    }
}

#[test]
fn wa_10_timed_progress() {
    let mut store = Store::new();
    let second = Duration::from_secs(1);
    let mut watch = store.watch("k").from(3).progress_every(second).start().unwrap();
    store.put("other");
    store.clock.advance(second);
    assert!(watch.try_next().unwrap().is_none(), "not below the start");
    store.put("k");
    store.put("other");
    assert_eq!(watch.try_next().unwrap().unwrap().revision().get(), 3);
    store.clock.advance(second / 2);
    assert!(watch.try_next().unwrap().is_none());
    store.clock.advance(second / 2);
    let batch = watch.next().unwrap().unwrap();
    assert!(batch.is_progress() && batch.revision() == 4);
    assert!(watch.try_next().unwrap().is_none());
    store.clock.advance(second);
    assert!(watch.next_timeout(Duration::ZERO).unwrap().unwrap().is_progress());

    let too_often = store.watch("k").progress_every(PROGRESS_EVERY_MIN / 2).start();
    assert!(matches!(too_often, Err(Error::InvalidArgument(Invalid::Argument(_)))));
}

#[test]
fn etcd_20221_no_early_progress() {
    let mut store = Store::new();
    let every = Duration::from_secs(1);
    let mut watch = store.watch("k").from(5).progress_every(every).start().unwrap();
    for revision in 2..=4 {
        assert_eq!(store.put("k"), revision);
        store.clock.advance(every);
        assert!(watch.try_next().unwrap().is_none());
        assert_eq!(watch.progress().get(), 4, "resuming at progress + 1 is the start");
    }
    store.compact(4);
    store.put("k");
    assert_eq!(drain(&mut watch), [5]);
}

#[test]
fn etcd_15220_progress_after_its_events() {
    let mut store = Store::new();
    let watch = store.watch("k").start().unwrap();
    let quiet = store.watch("other").start().unwrap();
    store.write(&[(EventKind::Put, "k")]);
    assert_eq!((watch.progress().get(), quiet.progress().get()), (1, 1), "visible is not yet matched");
    store.publish();
    assert_eq!((watch.progress().get(), quiet.progress().get()), (1, 2));
}

/// Between the marks of a publication progress says nothing yet of any of its revisions.
#[test]
fn etcd_15220_no_progress_between_marks() {
    let store = Store::new();
    let watch = store.watch("k").start().unwrap();
    let mut seen = Vec::new();
    let mut changes = [(2, "other"), (3, "other"), (4, "k"), (5, "other")].into_iter().map(|(revision, key)| {
        seen.push(watch.progress().get());
        (revision, Bytes::from_static(key.as_bytes()))
    });
    store.hub.publish(5, &mut changes);
    assert_eq!(seen, [1, 1, 1, 3]);
    assert_eq!(watch.progress().get(), 3);
}

#[test]
fn x_05_nothing_pending_is_never_compacted() {
    let mut store = Store::new();
    let mut watch = store.watch("k").start().unwrap();
    let mut future = store.watch("k").from(9).start().unwrap();
    for _ in 0..5 {
        let revision = store.put("other");
        store.compact(revision);
        assert!(watch.try_next().unwrap().is_none());
    }
    assert_eq!((watch.progress().get(), future.progress().get()), (6, 8));
    let revision = store.put("k");
    store.compact(revision);
    assert_eq!((drain(&mut watch), drain(&mut future)), (vec![revision], vec![]));
}

#[test]
fn x_05_errors_of_reading_end_a_watch_once() {
    let mut store = Store::new();
    let mut watch = store.watch("k").start().unwrap();
    store.put("k");
    *store.fake.fails_with.lock() = Some(Error::corrupt("runs/1", 8, "checksum"));
    assert!(matches!(watch.next(), Some(Err(Error::Corrupt { offset: 8, .. }))));
    assert!(watch.next().is_none() && watch.is_ended());
    assert_eq!(watch.progress().get(), 1);
}

#[test]
fn etcd_17529_slow_watchers_lose_nothing() {
    let mut store = Store::new();
    let mut watches: Vec<_> = (0..100).map(|_| store.watch("k").batch_bytes(1000).start().unwrap()).collect();
    let expected: Vec<u64> = (0..1000).map(|_| store.put("k")).collect();
    for watch in &mut watches {
        assert_eq!(drain(watch), expected);
        assert_eq!(watch.progress().get(), 1001);
    }
}

/// Without a queue there is nothing that could grow: a watch that never reads is a window of two numbers.
#[test]
fn x_05_slow_watchers_cost_no_memory() {
    let store = Store::new();
    let watch = store.watch("k").start().unwrap();
    let key: &[u8] = b"k";
    for revision in 2..100_002 {
        store.hub.publish(revision, &mut std::iter::once((revision, Bytes::copy_from_slice(key))));
        store.hub.wake();
    }
    let state = store.hub.state.lock();
    assert_eq!((state.slots.len(), state.wakes.capacity()), (1, 0));
    assert!(size_of::<Slot>() <= 288, "{}", size_of::<Slot>());
    drop(state);
    assert_eq!(watch.progress().get(), 1);
    assert_eq!(store.fake.reads.load(Ordering::Relaxed), 0);
}

#[test]
fn etcd_20655_rapid_watch_creation() {
    let mut store = Store::new();
    for _ in 0..1000 {
        let mut watch = store.watch(prefix("k")).start().unwrap();
        let revision = store.put("k1");
        assert_eq!(drain(&mut watch), [revision]);
    }
    assert_eq!(store.hub.len(), 0);
}

#[test]
fn x_11_a_frozen_store_ends_watches_after_its_history() {
    let mut store = Store::new();
    let mut before = store.watch("k").start().unwrap();
    (2..=4).for_each(|_| _ = store.put("k"));
    store.hub.freeze(None);
    assert_eq!(before.next().unwrap().unwrap().events().len(), 3);
    assert!(before.next().is_none() && before.is_ended());
    let mut after = store.watch("k").from(3).start().unwrap();
    assert_eq!(after.by_ref().map(|batch| batch.unwrap().events().len()).sum::<usize>(), 2);
    assert_eq!(after.progress().get(), 4);
    assert!(store.watch("k").start().unwrap().next().is_none());
}

#[test]
fn a_revision_read_between_its_marks_comes_once() {
    let mut store = Store::new();
    let mut watch = store.watch(prefix("k")).start().unwrap();
    let revision = store.write(&[(EventKind::Put, "k1"), (EventKind::Put, "k2")]);
    let mut seen = Vec::new();
    let mut keys = [b"k1", b"k2"].into_iter().map(|key| {
        // Publication runs this between the marks; the watch takes no lock of the hub.
        seen.push(watch.try_next().unwrap().map(|batch| batch.events().len()));
        (revision, Bytes::from_static(key))
    });
    store.hub.publish(revision, &mut keys);
    seen.push(watch.try_next().unwrap().map(|batch| batch.events().len()));
    assert_eq!(seen, [None, Some(2), None]);
    assert_eq!(watch.progress().get(), revision);
}

#[test]
fn the_number_of_watches_is_bounded() {
    let store = Store::new();
    let history: Arc<dyn History> = store.fake.clone();
    let hub = Hub::new(Arc::downgrade(&history), store.clock.clone(), 1, 2);
    let watch = |key: &str| WatchBuilder::new(Arc::clone(&hub), key.into()).start();
    let (_first, second) = (watch("a").unwrap(), watch("b").unwrap());
    assert!(matches!(watch("c"), Err(Error::Full { what: "watches", max: 2 })));
    drop(second);
    assert!(watch("c").is_ok());
}

#[test]
fn a_watch_does_not_keep_its_store() {
    let mut store = Store::new();
    let mut watch = store.watch("k").start().unwrap();
    store.put("k");
    let fake: Weak<Fake> = Arc::downgrade(&store.fake);
    drop(store);
    assert!(fake.upgrade().is_none());
    assert!(matches!(watch.next(), Some(Err(Error::Closed))) && watch.next().is_none());
}
