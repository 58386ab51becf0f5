//! Compaction, hashes and space: the rows CP, with values by hand.

use etclite::io::sim::{SimClock, SimDisk};
use etclite::testing::{merge_all, step};
use etclite::{Db, Error, Options, Put, Range, SortOrder, SortTarget};

use super::rig::{
    Kind, ROOMY, Store, TINY, contents, delete, drain, events, everywhere, ms, open_image, open_sim, put, rev,
};

#[test]
fn cp_01_which_revisions_can_be_compacted() {
    everywhere(|store| {
        store.put("a", "1");
        store.put("a", "2");
        assert!(matches!(store.db.compact(4), Err(Error::FutureRevision { current }) if current == 3));
        let done = store.db.compact(3).unwrap();
        assert_eq!((done.revision, done.compact_revision), (rev(3), rev(3)));
        for again in [0, 2, 3] {
            let refused = store.db.compact(again);
            assert!(matches!(refused, Err(Error::Compacted { compacted }) if compacted == 3), "{refused:?}");
        }
        store.put("a", "3");
        store.always(|store| {
            assert_eq!(store.db.compact_revision(), 3);
            assert!(matches!(store.db.compact(3), Err(Error::Compacted { .. })));
        });
        store.db.compact(4).unwrap();
    });
}

#[test]
fn cp_01_zero_is_allowed_once_on_a_store_never_compacted() {
    everywhere(|store| {
        store.put("a", "1");
        store.db.compact(0).unwrap();
        assert_eq!(store.db.compact_revision(), 0);
        store.always(|store| assert!(matches!(store.db.compact(0), Err(Error::Compacted { .. }))));
        assert_eq!(store.events(.., 1), ["+a=1@2"]);
    });
}

#[test]
fn cp_01_what_is_kept() {
    everywhere(|store| {
        for value in ["1", "2", "3"] {
            store.put("changed", value);
        }
        store.put("old", "1");
        store.put("deleted", "1");
        store.delete("deleted");
        store.put("changed", "4");
        store.db.compact(6).unwrap();
        store.always(|store| {
            let at = |key: &str, at| store.db.get_at(key, at).unwrap().map(|kv| kv.value);
            assert_eq!((at("changed", 6).unwrap(), at("changed", 8).unwrap()), ("3".into(), "4".into()));
            assert_eq!((at("old", 6).unwrap(), at("deleted", 6).unwrap()), ("1".into(), "1".into()));
            assert_eq!((at("deleted", 7), at("deleted", 0)), (None, None));
            let kept = store.db.get("changed").unwrap().unwrap();
            assert_eq!((kept.create_revision, kept.version), (rev(2), 4));
        });
    });
}

#[test]
fn cp_01_physical_gives_the_space_back() {
    for kind in [Kind::Files, Kind::Tiny] {
        let store = Store::new(kind);
        for i in 0..200 {
            store.put("a", &format!("{i} {}", "x".repeat(500)));
        }
        store.db.compact_physical(201).unwrap();
        let stats = store.db.stats();
        assert!(stats.run_entries == 1 && stats.run_bytes < 20_000, "{stats:?}");
        assert!(stats.live_bytes < 20_000, "{stats:?}");
    }
}

#[test]
fn cp_02_every_event_of_the_compact_revision_is_kept() {
    everywhere(|store| {
        store.put("a", "1");
        store.put("b", "1");
        store.delete("a");
        store.txn(vec![delete("b"), put("c", "1")]);
        store.db.compact_physical(5).unwrap();
        // The tombstone of `a` is history, that of `b` is not.
        store.always(|store| assert_eq!(store.events(.., 5), ["-b@5", "+c=1@5"]));
    });
}

#[test]
fn cp_03_an_answered_compaction_survives_a_power_cut_and_is_finished() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, TINY);
    for i in 0..40 {
        db.put("a", i.to_string()).unwrap();
        step(&db).unwrap();
    }
    db.compact(41).unwrap();
    let answered = disk.position();
    db.compact(41).unwrap_err();
    while step(&db).unwrap() {}
    for position in answered..=disk.position() {
        let db = open_image(disk.record().durable_at(position), &clock, TINY).unwrap();
        assert_eq!((db.revision(), db.compact_revision()), (rev(41), rev(41)));
        db.flush().unwrap();
        merge_all(&db).unwrap();
        assert_eq!((db.stats().run_entries, contents(&db)), (1, vec!["a=39".to_owned()]));
    }
}

#[test]
fn cp_05_reads_below_fail_and_nothing_else_changes() {
    everywhere(|store| {
        for i in 0..10 {
            store.put(&format!("k{}", i % 3), &i.to_string());
        }
        let before: Vec<_> = (7..=11).map(|at| store.db.query(Range::new(..).at(at)).unwrap().kvs).collect();
        store.db.compact(7).unwrap();
        store.always(|store| {
            let below = |at: u64| store.db.query(Range::new(..).at(at)).map(drop);
            assert!(matches!(below(6), Err(Error::Compacted { compacted }) if compacted == 7));
            assert!(matches!(store.db.get_at("k1", 1), Err(Error::Compacted { .. })));
            assert!(matches!(store.db.count(Range::new(..).at(6)), Err(Error::Compacted { .. })));
            assert!(matches!(store.db.snapshot_at(6), Err(Error::Compacted { .. })));
            let sorted = Range::new(..).at(6).sort(SortTarget::Value, SortOrder::Descend);
            assert!(matches!(store.db.range(sorted).map(drop), Err(Error::Compacted { .. })));
            let after: Vec<_> = (7..=11).map(|at| store.db.query(Range::new(..).at(at)).unwrap().kvs).collect();
            assert_eq!(before, after);
        });
    });
}

#[test]
fn cp_05_no_answer_depends_on_what_was_reclaimed() {
    let answers = |physical: bool| {
        let store = Store::new(Kind::Tiny);
        for i in 0..60 {
            store.put(&format!("k{}", i % 7), &i.to_string());
            if i % 9 == 0 {
                store.delete(format!("k{}", i % 5));
            }
        }
        if physical {
            store.db.compact_physical(30).unwrap();
        } else {
            store.db.compact(30).unwrap();
        }
        let head = store.db.revision().get();
        let reads: Vec<_> = (28..=head).map(|at| format!("{:?}", store.db.count(Range::new(..).at(at)).ok())).collect();
        let hashes: Vec<_> = (28..=head).map(|at| store.db.hash(at).ok()).collect();
        (reads, hashes, events(&store.db, .., 30).unwrap())
    };
    assert_eq!(answers(false), answers(true));
}

#[test]
fn cp_06_hash() {
    everywhere(|store| {
        store.put("a", "1");
        store.put("a", "2");
        store.put("b", "1");
        let at = |store: &Store, at: u64| store.db.hash(at).unwrap();
        let (whole, third) = (at(store, 0), at(store, 3));
        assert_eq!((whole.hash_revision, whole.revision, whole.compact_revision), (rev(4), rev(4), rev(0)));
        assert_eq!((third.hash_revision, third.revision), (rev(3), rev(4)));
        assert_eq!(at(store, 4).hash, whole.hash);
        store.always(|store| assert_eq!((at(store, 0), at(store, 3)), (whole, third)));
        assert!(matches!(store.db.hash(5), Err(Error::FutureRevision { .. })));
        store.db.compact(3).unwrap();
        assert!(matches!(store.db.hash(2), Err(Error::Compacted { .. })));
        let compacted = at(store, 0);
        assert_eq!(compacted.compact_revision, 3);
        assert_ne!(compacted.hash, whole.hash);
        store.always(|store| assert_eq!(at(store, 0), compacted));
    });
}

#[test]
fn cp_06_equal_stores_have_equal_hashes_and_others_do_not() {
    let hash = |kind, value: &str| {
        let store = Store::new(kind);
        store.put("a", value);
        store.settle();
        store.put("b", "1");
        store.db.hash(0).unwrap().hash
    };
    assert!(hash(Kind::Memory, "1") == hash(Kind::Files, "1") && hash(Kind::Files, "1") == hash(Kind::Tiny, "1"));
    assert_ne!(hash(Kind::Memory, "1"), hash(Kind::Memory, "2"));
}

#[test]
fn cp_08_quota() {
    for kind in [Kind::Memory, Kind::Tiny] {
        let store = Store::with(kind, Options::new().quota_bytes(64 << 10));
        let value = "x".repeat(1_000);
        let fill = |value: &str| {
            for i in 0..1_000 {
                match store.db.put(format!("k{}", i % 10), value) {
                    Ok(_) => store.work(),
                    Err(error) => return error,
                }
            }
            panic!("the quota holds nothing back")
        };
        assert!(matches!(fill(&value), Error::Full { what: "quota", max: 65_536 }));
        assert!(matches!(fill(""), Error::Full { .. }));
        let revision = store.db.revision();
        // CP-09: the same set fails and the same passes.
        store.db.get("k1").unwrap().unwrap();
        assert!(matches!(store.db.grant(ms(1_000)), Err(Error::Full { .. })));
        let with_put = store.db.txn().when([]).then([delete("k1")]).or_else([Put::new("k1", &value)]).commit();
        assert!(matches!(with_put, Err(Error::Full { .. })));
        let changes_nothing = store.db.txn().when([]).then([delete("absent")]).or_else([Put::new("k1", "")]).commit();
        assert!(matches!(changes_nothing, Err(Error::Full { .. })));
        assert_eq!(store.db.revision(), revision);
        store.txn(vec![delete("k1")]);
        store.delete("k2");
        store.db.compact(store.db.revision()).unwrap();
        // History is gone, so there is room; nobody disarmed anything.
        store.db.put("k3", &value).unwrap();
        store.work();
        assert!(store.db.revision().get() > revision.get() + 2);
        assert!(matches!(fill(&value), Error::Full { .. }));
    }
}

#[test]
fn cp_11_merging_blocks_nobody_and_changes_nothing() {
    let store = Store::new(Kind::Tiny);
    for i in 0..50 {
        store.put(&format!("k{i}"), &i.to_string());
        store.db.flush().unwrap();
    }
    let (before, hash) = (store.contents(), store.db.hash(0).unwrap());
    let snapshot = store.db.snapshot().unwrap();
    let mut watch = store.db.watch(..).from(1).start().unwrap();
    merge_all(&store.db).unwrap();
    assert_eq!(store.db.stats().runs, 1);
    assert_eq!((store.contents(), store.db.hash(0).unwrap()), (before, hash));
    assert_eq!(snapshot.count(..).unwrap(), 50);
    assert_eq!(drain(&mut watch).unwrap().len(), 50);
}

#[test]
fn x_10_a_snapshot_answers_after_compaction_has_passed_it() {
    everywhere(|store| {
        store.put("a", "1");
        store.put("b", "1");
        let snapshot = store.db.snapshot().unwrap();
        let older = store.db.snapshot_at(2).unwrap();
        store.put("a", "2");
        store.delete("b");
        store.db.compact_physical(5).unwrap();
        assert_eq!((snapshot.revision(), older.revision()), (rev(3), rev(2)));
        assert_eq!(snapshot.get("a").unwrap().unwrap().value, "1");
        let keys: Vec<_> = snapshot.range(..).unwrap().map(|kv| kv.unwrap().key).collect();
        assert_eq!((keys.len(), snapshot.count(..).unwrap(), older.count(..).unwrap()), (2, 2, 1));
        assert!(matches!(store.db.get_at("a", 3), Err(Error::Compacted { .. })));
        assert!(matches!(store.db.snapshot_at(3), Err(Error::Compacted { .. })));
    });
}

#[test]
fn cp_01_a_roomy_store_reclaims_like_a_tiny_one() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.put("a", "1").unwrap();
    db.delete("a").unwrap();
    db.put("b", "1").unwrap();
    db.compact_physical(4).unwrap();
    assert_eq!(db.stats().run_entries, 1);
}

#[test]
fn cp_09_over_the_quota() {
    let store = Store::with(Kind::Memory, Options::new().quota_bytes(64 << 10));
    let lease = store.db.grant(ms(60_000)).unwrap();
    while store.db.put("a", "x".repeat(1_000)).is_ok() {}
    while store.db.put("a", "").is_ok() {}
    // Nothing was raised that somebody would have to disarm: the store is well, only full.
    assert!(matches!(store.db.health(), etclite::Health::Ok));
    let put = store.db.put("a", "").unwrap_err();
    assert!(matches!(put, Error::Full { what: "quota", .. }) && put.applied() == etclite::Applied::No);
    assert!(matches!(store.db.grant(ms(1_000)), Err(Error::Full { .. })));
    assert!(matches!(store.db.txn().then([Put::new("b", "")]).commit(), Err(Error::Full { .. })));
    // What does not grow passes.
    assert!(store.db.get("a").unwrap().is_some());
    assert_eq!(lease.keep_alive().unwrap(), ms(60_000));
    lease.revoke().unwrap();
    assert_eq!(store.db.delete("a").unwrap().deleted, 1);
    store.db.compact(store.db.revision()).unwrap();
    store.db.put("a", "there is room again").unwrap();
}

#[test]
fn cp_12_a_backup_is_a_consistent_copy() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("store")).unwrap();
    for i in 0..100 {
        db.put(format!("k{}", i % 7), i.to_string()).unwrap();
    }
    db.compact(50u64).unwrap();
    let copied = db.backup(dir.path().join("copy")).unwrap();
    let hash = db.hash(0u64).unwrap();
    db.put("k1", "not in the copy").unwrap();
    let copy = Db::open(dir.path().join("copy")).unwrap();
    assert_eq!((copied, copy.revision(), copy.compact_revision().get()), (hash.revision, hash.revision, 50));
    assert_eq!(copy.hash(0u64).unwrap(), hash);
    assert_eq!(copy.put("k1", "goes on").unwrap().revision, copied + 1);
}
