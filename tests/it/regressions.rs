//! The regressions of section 14 of the semantics, by their names: bugs of etcd's that must never be ours, and ours that
//! must never come back. A crash is an image of the disk as a power cut leaves it: what was not synced may be lost,
//! torn or there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etclite::io::sim::{Image, SimClock, SimDisk, SplitMix64};
use etclite::testing::{expire, merge_all, step};
use etclite::{Db, Error, PutOptions, prefix};

use super::rig::{
    ROOMY, Store, TINY, contents, delete, drain, events, everywhere, ids, left_ms, ms, nested, open_image, open_sim,
    open_threaded, put, rev,
};

/// What a crash at each place from `from` on may leave: all that was synced and nothing else, everything, and some in
/// between.
fn crashes(disk: &SimDisk, from: usize, mut check: impl FnMut(Image, usize)) {
    let record = disk.record();
    let mut rng = SplitMix64::new(7);
    for position in from..=disk.position() {
        check(record.durable_at(position), position);
        check(record.complete_at(position), position);
        let mut some = Vec::new();
        record.images_at(position, &mut rng, &mut |image| some.push(image));
        let every = some.len().div_ceil(4).max(1);
        some.into_iter().step_by(every).for_each(|image| check(image, position));
    }
}

/// Everything that can be told of a store.
fn state(db: &Db) -> (u64, u64, Vec<String>, u32) {
    let hash = db.hash(0).unwrap().hash;
    (db.revision().get(), db.compact_revision().get(), contents(db), hash)
}

/// Ours: what is flushed is in the checkpoint while nothing in the log proves its last frame. The first crash then
/// began a segment at the checkpoint instead of at the end of the proven part, and the second one found a gap there.
#[test]
fn a_second_crash_after_a_flush_opens() {
    let clock = SimClock::new(1);
    let mut image = Image::new();
    for round in 0..6 {
        let disk = SimDisk::from_image(image);
        let db = open_sim(&disk, &clock, TINY);
        assert_eq!(db.revision(), 1 + round);
        db.put("a", round.to_string()).unwrap();
        if round % 2 == 0 {
            db.flush().unwrap();
        }
        image = disk.image();
    }
}

/// etcd kept its applied index apart from its data, and after a crash under load they disagreed. Ours come from one
/// point: revision, data and a replay of what was acknowledged agree.
#[test]
fn etcd_13766_revision_after_crash_under_load() {
    let disk = SimDisk::new();
    let db = open_threaded(&disk, TINY);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let db = &db;
            scope.spawn(move || {
                for i in 0..40 {
                    db.txn().then([put(&format!("k{thread}"), &i.to_string()), put("all", "x")]).commit().unwrap();
                }
            });
        }
    });
    let record = disk.record();
    let mut rng = SplitMix64::new(1);
    for _ in 0..60 {
        let position = rng.index(disk.position() + 1);
        let Ok(db) = open_image(record.durable_at(position), &SimClock::new(1), TINY) else {
            // Cut before the store was there at all.
            assert!(record.durable_at(position).get("catalog.redb").is_none());
            continue;
        };
        // Each revision put one of the four counters and `all`, so they add up.
        let counters = db.range(prefix("k")).unwrap().map(|kv| kv.unwrap().version).sum::<u64>();
        let all = db.get("all").unwrap().map_or(0, |kv| kv.version);
        assert_eq!((db.revision(), counters), (rev(1 + all), all));
        assert!(db.check().unwrap().is_clean());
    }
}

/// etcd with a single member answered writes before they were durable.
#[test]
fn etcd_14370_acknowledged_write_survives_crash() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, TINY);
    let mut acknowledged = BTreeMap::new();
    for i in 0..25u64 {
        let revision = db.put("a", i.to_string()).unwrap().revision;
        acknowledged.insert(disk.position(), revision);
        step(&db).unwrap();
    }
    let first = *acknowledged.keys().next().unwrap();
    crashes(&disk, first, |image, position| {
        let db = open_image(image, &clock, TINY).unwrap();
        let (_, promised) = acknowledged.range(..=position).next_back().unwrap();
        assert!(db.revision() >= *promised, "{promised} was acknowledged, {} is there", db.revision());
        assert_eq!(db.get("a").unwrap().unwrap().mod_revision, db.revision());
    });
}

/// etcd's defragmentation could lose data in a crash. Flush, merge and reclaim change no revision and no key, wherever
/// they are cut, and a second crash while that is recovered changes nothing either.
#[test]
fn etcd_14685_crash_while_reclaiming_space() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    for i in 0..30 {
        db.put(format!("k{}", i % 4), i.to_string()).unwrap();
    }
    db.delete("k1").unwrap();
    db.flush().unwrap();
    db.put("k2", "late").unwrap();
    db.compact(20).unwrap();
    let (expected, from) = (state(&db), disk.position());
    db.flush().unwrap();
    merge_all(&db).unwrap();
    db.compact_physical(25).unwrap();
    let compacted = state(&db);
    crashes(&disk, from, |image, position| {
        let again = SimDisk::from_image(image);
        let db = open_sim(&again, &clock, ROOMY);
        let found = state(&db);
        assert!(found == expected || found == compacted, "at {position}: {found:?}");
        let db = open_image(again.image(), &clock, ROOMY).unwrap();
        assert_eq!(state(&db), found);
        assert!(db.check().unwrap().is_clean());
    });
}

/// etcd could send the progress of a revision before the events of it.
#[test]
fn etcd_15220_progress_after_its_events() {
    let db = Db::in_memory().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let db = &db;
            scope.spawn(move || {
                for i in 0..300 {
                    db.put(format!("k{thread}"), i.to_string()).unwrap();
                }
            });
        }
        let mut watch = db.watch(prefix("k")).from(2).start().unwrap();
        let mut delivered = 1;
        while delivered < 601 {
            let progress = watch.progress().get();
            assert_eq!(progress, delivered, "each revision has a match");
            if let Some(batch) = watch.next_timeout(ms(1_000)).unwrap() {
                delivered = batch.revision().get();
            }
        }
    });
}

/// etcd watches that reconnected got events older than where they had been.
#[test]
fn etcd_15271_watch_never_goes_back() {
    everywhere(|store| {
        let mut seen = Vec::new();
        let mut resume = rev(2);
        for round in 0..6 {
            store.put("a", &round.to_string());
            store.put("b", &round.to_string());
            if round % 2 == 0 {
                store.settle();
            }
            store.reopen();
            let mut watch = store.db.watch("a").from(resume).start().unwrap();
            seen.extend(drain(&mut watch).unwrap());
            resume = watch.progress() + 1;
        }
        let expected: Vec<_> = (0..6).map(|round| format!("+a={round}@{}", 2 + 2 * round)).collect();
        assert_eq!(seen, expected);
    });
}

/// Compacts a store whose newest revision is a tombstone, and cuts it at every step.
fn crash_while_compacting_at_a_tombstone(check: impl Fn(&Db, &SimClock)) {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.put("a", "1").unwrap();
    db.put("a", "2").unwrap();
    db.delete("a").unwrap();
    let from = disk.position();
    db.compact(4).unwrap();
    db.flush().unwrap();
    merge_all(&db).unwrap();
    step(&db).unwrap();
    db.close().unwrap();
    crashes(&disk, from, |image, _| check(&open_image(image, &clock, ROOMY).unwrap(), &clock));
}

/// etcd found its revision by looking at the keys; with all of them compacted away it went back.
#[test]
fn etcd_16693_revision_kept_when_compaction_crashes() {
    crash_while_compacting_at_a_tombstone(|db, _| {
        assert_eq!((db.revision(), contents(db).len()), (rev(4), 0));
        assert!(db.compact_revision() == 4 || db.compact_revision() == 0);
    });
}

/// The same, seen from the next write.
#[test]
fn etcd_17780_revision_never_decreases() {
    crash_while_compacting_at_a_tombstone(|db, _| {
        assert_eq!(db.put("b", "1").unwrap().revision, 5);
        assert_eq!(events(db, .., 4).unwrap(), ["-a@4".to_owned() + was(db), "+b=1@5".to_owned()]);
    });
}

fn was(db: &Db) -> &'static str {
    if db.compact_revision() == 4 { "" } else { " was 2" }
}

/// etcd could deliver the events of a txn twice to a watcher that was catching up.
#[test]
fn etcd_17247_no_duplicate_event_from_txn() {
    everywhere(|store| {
        let mut early = store.db.watch(..).start().unwrap();
        for i in 0..5 {
            store.txn(vec![put("a", &i.to_string()), put("b", &i.to_string()), delete("x"), put("c", &i.to_string())]);
            if i % 2 == 0 {
                store.settle();
            }
        }
        let late = store.events(.., 1);
        let early = drain(&mut early).unwrap();
        assert_eq!((early.len(), late.len()), (15, 15));
        assert_eq!(early.iter().collect::<BTreeSet<_>>().len(), 15);
    });
}

/// etcd's slow watchers starved, or lost events, beside a fast writer.
#[test]
fn etcd_17529_slow_watchers_lose_nothing() {
    let disk = SimDisk::new();
    let db = open_threaded(&disk, TINY);
    let head = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let mut watch = db.watch(prefix("k")).from(2).batch_bytes(300).start().unwrap();
            let head = &head;
            scope.spawn(move || {
                let mut next = 2;
                while next <= head.load(Ordering::Acquire) {
                    let Some(batch) = watch.next_timeout(ms(200)).unwrap() else { continue };
                    for event in batch.events() {
                        assert_eq!(event.kv.mod_revision, next);
                        next += 1;
                    }
                }
            });
        }
        for i in 0..1_000 {
            db.put(format!("k{}", i % 10), "some value that fills memtables").unwrap();
        }
        head.store(db.revision().get(), Ordering::Release);
    });
    db.close().unwrap();
}

/// etcd's compaction dropped the tombstone at the compact revision, so that a watch from exactly there missed it.
#[test]
fn etcd_18089_delete_event_at_compaction() {
    everywhere(|store| {
        store.put("a", "1");
        store.delete("a");
        store.put("b", "1");
        store.db.compact_physical(3).unwrap();
        store.always(|store| assert_eq!(store.events(.., 3), ["-a@3", "+b=1@4"]));
        // One revision on, it is history.
        store.db.compact_physical(4).unwrap();
        store.always(|store| assert_eq!(store.events(.., 4), ["+b=1@4"]));
    });
}

/// The same with more than one key, and a start below.
#[test]
fn etcd_19179_watch_from_compact_revision() {
    everywhere(|store| {
        for key in ["a", "b", "c"] {
            store.put(key, "1");
        }
        store.txn(vec![delete("a"), put("b", "2"), delete("c")]);
        store.db.compact_physical(5).unwrap();
        store.always(|store| {
            assert_eq!(store.events(.., 5), ["-a@5", "+b=2@5", "-c@5"]);
            let below = store.db.watch(..).from(4).start();
            assert!(matches!(below, Err(Error::Compacted { compacted }) if compacted == 5));
        });
    });
}

/// A watch from a future revision was told progress below it.
#[test]
fn etcd_20221_no_early_progress() {
    everywhere(|store| {
        let start = |store: &Store| store.db.watch(..).from(6).progress_every(ms(100)).start().unwrap();
        let mut watch = start(store);
        for i in 0..4 {
            store.put("a", &i.to_string());
            store.clock.advance(ms(200));
            assert_eq!((watch.try_next().unwrap(), watch.progress()), (None, rev(5)));
            if i == 1 {
                store.db.compact(2).unwrap();
                store.reopen();
                watch = start(store);
            }
        }
        store.put("a", "at last");
        assert_eq!(watch.try_next().unwrap().unwrap().revision(), 6);
        store.clock.advance(ms(200));
        let progress = watch.try_next().unwrap().unwrap();
        assert!(progress.is_progress() && progress.revision() == 6);
    });
}

/// A watch from a future revision got events from before it.
#[test]
fn etcd_20221_no_old_events() {
    everywhere(|store| {
        let mut watch = store.db.watch(..).from(5).start().unwrap();
        for i in 0..3 {
            store.put("a", &i.to_string());
            store.settle();
        }
        store.db.compact(3).unwrap();
        assert_eq!(drain(&mut watch).unwrap(), [""; 0]);
        store.put("a", "3");
        assert_eq!(drain(&mut watch).unwrap(), ["+a=3@5"]);
        let resume = watch.progress() + 1;
        store.reopen();
        assert_eq!(store.events(.., resume.get()), [""; 0]);
    });
}

/// etcd panicked on, or served, damaged files. Cut, zeroed or half-written at any page: `Corrupt` with file and offset,
/// or nothing that differs.
#[test]
fn etcd_20271_damaged_file_is_an_error() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    for i in 0..300 {
        db.put(format!("k{:03}", i % 100), format!("{i} {}", "x".repeat(60))).unwrap();
    }
    db.flush().unwrap();
    for i in 0..50 {
        db.put(format!("k{i:03}"), "in the log only").unwrap();
    }
    let hashes: BTreeMap<u64, u32> = (301..=351).map(|at| (at, db.hash(at).unwrap().hash)).collect();
    let whole = disk.image();
    db.close().unwrap();
    for whole in [whole, disk.image()] {
        let files: Vec<String> = whole.files().map(|(path, _)| path.to_owned()).collect();
        for path in files {
            let len = whole.get(&path).unwrap().len();
            for page in (0..len.div_ceil(4096)).filter(|page| *page < 40 || page % 16 == 0) {
                for damage in 0..3 {
                    let mut image = whole.clone();
                    let at = usize::try_from(page * 4096).unwrap();
                    image.mutate(&path, |bytes| damage_page(bytes, at, damage));
                    check_damaged(image, &clock, &hashes, &format!("{path}, page {page}, damage {damage}"));
                }
            }
        }
    }
}

fn damage_page(bytes: &mut Vec<u8>, at: usize, damage: u8) {
    let end = bytes.len().min(at + 4096);
    match damage {
        0 => bytes.truncate(at),
        1 => bytes[at..end].fill(0),
        _ => bytes[(at + 512).min(end)..end].fill(0xa5),
    }
}

fn check_damaged(image: Image, clock: &SimClock, hashes: &BTreeMap<u64, u32>, what: &str) {
    let refused = |error: Error| match error {
        Error::Corrupt { file, .. } => assert!(!file.as_os_str().is_empty(), "{what}: no file is named"),
        Error::NotADatabase { .. } | Error::FormatTooNew { .. } => {
            assert!(what.starts_with("catalog"), "{what}: {error}");
        }
        other => panic!("{what}: {other}"),
    };
    let db = match open_image(image, clock, ROOMY) {
        Ok(db) => db,
        Err(error) => return refused(error),
    };
    match db.hash(0) {
        // The end of the log may be gone: that cannot be told from a tear. What is there is right.
        Ok(hash) => {
            assert!(what.starts_with("log/") || db.revision() == 351, "{what}: at {}", db.revision());
            assert_eq!(Some(&hash.hash), hashes.get(&db.revision().get()), "{what}: a wrong answer");
        }
        Err(error) => refused(error),
    }
}

/// Watches that were created while events were published missed some.
#[test]
fn etcd_20655_rapid_watch_creation() {
    let db = Db::in_memory().unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..3_000 {
                db.put("a", i.to_string()).unwrap();
            }
        });
        let mut count = 0;
        while !writer.is_finished() || count < 50 {
            let mut watch = db.watch("a").start().unwrap();
            let mut next = watch.start_revision().get();
            for _ in 0..2 {
                let Some(batch) = watch.next_timeout(Duration::ZERO).unwrap() else { break };
                for event in batch.events() {
                    assert_eq!(event.kv.mod_revision, next);
                    next += 1;
                }
            }
            assert!(watch.progress().get() + 1 >= next);
            count += 1;
        }
    });
    assert_eq!(db.stats().watches, 0);
}

/// etcd's readers saw what a crash at that moment lost. Whatever a reader or a watcher is told is on the disk.
#[test]
fn etcd_14140_nothing_unsynced_is_seen() {
    let disk = SimDisk::new();
    let db = open_threaded(&disk, ROOMY);
    let seen = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|thread| {
                let db = &db;
                scope.spawn(move || (0..60).for_each(|i| drop(db.put(format!("k{thread}"), i.to_string()).unwrap())))
            })
            .collect();
        let mut watch = db.watch(..).from(2).start().unwrap();
        let mut seen = Vec::new();
        loop {
            // Asked before a look, so that there is one even if they are fast.
            let finished = writers.iter().all(|writer| writer.is_finished());
            let read = db.revision().get();
            seen.push((read, disk.position()));
            if let Some(batch) = watch.next_timeout(ms(1)).unwrap() {
                seen.push((batch.revision().get(), disk.position()));
            }
            if finished {
                break seen;
            }
        }
    });
    let record = disk.record();
    for (told, position) in seen.iter().step_by(seen.len().div_ceil(80)) {
        let db = open_image(record.durable_at(*position), &SimClock::new(1), ROOMY).unwrap();
        assert!(db.revision().get() >= *told, "{told} was seen, a crash leaves {}", db.revision());
    }
}

/// etcd gives every lease its full time again at each restart. Ours goes on with what is left.
#[test]
fn etcd_9888_ttl_survives_restart() {
    everywhere(|store| {
        let clock = store.clock.clone();
        store.db.grant_with_id(1, ms(10_000)).unwrap();
        store.put_leased("a", "1", 1);
        store.advance_ms(8_000);
        store.reopen_with(|| clock.advance(ms(1_000)));
        assert_eq!(left_ms(&store.db, 1), Some(1_000));
        // Reopening for ever does not keep it alive, and ends it no earlier.
        for left in (1..10).rev() {
            store.reopen_with(|| clock.advance(ms(100)));
            assert_eq!(left_ms(&store.db, 1), Some(left * 100));
        }
        store.advance_ms(99);
        assert_eq!(ids(&store.db), [1]);
        store.advance_ms(1);
        assert_eq!((ids(&store.db), store.contents().len()), (vec![], 0));
    });
    // The same through crashes, with a reboot and a wall clock set back in between.
    let clock = SimClock::new(3);
    let disk = SimDisk::new();
    let db = open_sim(&disk, &clock, TINY);
    db.grant_with_id(1, ms(10_000)).unwrap();
    db.put_with("a", "1", PutOptions::new().lease(1)).unwrap();
    clock.advance(ms(9_000));
    let disk = SimDisk::from_image(disk.record().durable_at(disk.position()));
    let db = open_sim(&disk, &clock, TINY);
    assert_eq!(left_ms(&db, 1), Some(1_000));
    clock.set_wall(Duration::from_secs(1));
    clock.reboot();
    let db = open_image(disk.image(), &clock, TINY).unwrap();
    assert_eq!(left_ms(&db, 1), Some(1_000));
    clock.advance(ms(1_000));
    expire(&db).unwrap();
    assert!(ids(&db).is_empty());
}

/// A key deleted and put again in the revision that is compacted: etcd keeps one of the two events, and loses the put.
#[test]
fn tx_10_compaction_keeps_both_events() {
    everywhere(|store| {
        store.put("a", "1");
        store.txn(vec![delete("a"..), put("a", "2")]);
        store.txn(vec![nested(vec![put("a", "3")]), delete("a"..)]);
        store.db.compact_physical(3).unwrap();
        store.always(|store| {
            assert_eq!(store.events(.., 3), ["-a@3", "+a=2@3", "+a=3@4 was 2", "-a@4 was 2"]);
            assert_eq!(store.db.get_at("a", 3).unwrap().unwrap().value, "2");
        });
        store.db.compact_physical(4).unwrap();
        store.always(|store| {
            assert_eq!(store.events(.., 4), ["+a=3@4", "-a@4"]);
            assert_eq!(store.contents().len(), 0);
        });
    });
}
