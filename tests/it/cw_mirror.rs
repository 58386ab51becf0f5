//! CW-04: a prefix of one store under a prefix of another, resumed wherever it was cut short.

use etclite::coordination::{Cancel, Mirror, WaitOptions};
use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk, SplitMix64};
use etclite::{Db, Error, Op, Options, PutOptions, prefix};

use super::gate::LONG;
use super::rig::{Kind, ROOMY, Store, contents, delete, everywhere, ms, open_image, open_sim, put};

/// Key and value of all keys under a prefix, without it.
fn under(db: &Db, under: &str) -> Vec<String> {
    let kvs = db.range(prefix(under)).unwrap().map(Result::unwrap);
    kvs.map(|kv| format!("{}={}", kv.key[under.len()..].escape_ascii(), kv.value.escape_ascii())).collect()
}

fn mirror(source: &Db, target: &Db) -> Mirror {
    source.mirror("from/", target).into_prefix("into/")
}

#[test]
fn cw_04_base_and_changes() {
    everywhere(|store| {
        let target = Store::new(Kind::Memory).db;
        store.put("from/a", "1");
        store.put("from/b", "2");
        store.put("other", "outside");
        target.put("into/b", "2").unwrap();
        target.put("into/c", "of an earlier life").unwrap();
        target.put("own", "stays").unwrap();
        store.settle();
        let mirror = mirror(&store.db, &target);
        assert_eq!(mirror.position().unwrap(), None);
        assert_eq!(mirror.catch_up().unwrap(), store.db.revision());
        assert_eq!(contents(&target), ["__mirror/from/=4", "into/a=1", "into/b=2", "own=stays"]);
        assert_eq!(target.get("into/b").unwrap().unwrap().version, 1, "what is equal is not written");
        let revision = target.revision();
        assert_eq!((mirror.catch_up().unwrap(), target.revision()), (store.db.revision(), revision));
        // Each revision is one in the target, with its cursor.
        store.txn(vec![put("from/a", "3"), put("from/d", "4")]);
        store.put("other", "outside");
        store.delete(prefix("from/"));
        store.put("from/a", "5");
        store.db.put_with("from/leased", "6", PutOptions::new()).unwrap();
        mirror.catch_up().unwrap();
        assert_eq!(target.revision(), revision + 4);
        assert_eq!(target.query(etclite::Range::new(prefix("into/")).at(revision + 2)).unwrap().kvs.len(), 0);
        assert_eq!(under(&target, "into/"), ["a=5", "leased=6"]);
        assert_eq!(mirror.position().unwrap(), Some(store.db.revision()));
    });
}

#[test]
fn cw_04_many_pages() {
    let (source, target) = (Db::in_memory().unwrap(), Db::in_memory().unwrap());
    let ops: Vec<Op> = (0..2_500).map(|key| put(&format!("from/{key:05}"), "v")).collect();
    source.txn().then(ops).commit().unwrap();
    mirror(&source, &target).catch_up().unwrap();
    assert_eq!(under(&target, "into/"), under(&source, "from/"));
    // The claim and three pages, each with the cursor.
    assert_eq!(target.revision(), 5);
}

#[test]
fn cw_04_a_whole_store_under_its_own_names() {
    let (source, target) = (Db::in_memory().unwrap(), Db::in_memory().unwrap());
    let mirror = source.mirror("", &target).cursor("cursor");
    source.put("a", "1").unwrap();
    source.put("cursor", "is not mirrored").unwrap();
    mirror.catch_up().unwrap();
    source.put("cursor", "nor now").unwrap();
    source.delete("a").unwrap();
    source.put("b", "2").unwrap();
    mirror.catch_up().unwrap();
    assert_eq!(contents(&target), ["b=2", "cursor=6"]);
    target.put("cursor", "x").unwrap();
    assert!(matches!(mirror.catch_up(), Err(Error::InvalidArgument(_))));
}

#[test]
fn cw_04_a_compaction_that_passes_it_is_survived() {
    everywhere(|store| {
        let target = Store::new(Kind::Memory).db;
        let mirror = mirror(&store.db, &target);
        store.put("from/a", "1");
        store.put("from/b", "1");
        mirror.catch_up().unwrap();
        store.put("from/a", "2");
        store.delete("from/b");
        store.put("from/c", "3");
        store.db.compact(store.db.revision()).unwrap();
        store.settle();
        mirror.catch_up().unwrap();
        assert_eq!(under(&target, "into/"), ["a=2", "c=3"]);
    });
}

#[test]
fn cw_04_a_source_that_was_put_back_is_mirrored_anew() {
    let target = Db::in_memory().unwrap();
    let ahead = Db::in_memory().unwrap();
    for value in 0..10 {
        ahead.put("from/a", value.to_string()).unwrap();
    }
    mirror(&ahead, &target).catch_up().unwrap();
    let behind = Db::in_memory().unwrap();
    behind.put("from/b", "1").unwrap();
    mirror(&behind, &target).catch_up().unwrap();
    assert_eq!(
        (under(&target, "into/"), mirror(&behind, &target).position().unwrap()),
        (vec!["b=1".into()], Some(2.into()))
    );
}

#[test]
fn cw_04_runs_until_canceled() {
    let (source, target, cancel) = (Db::in_memory().unwrap(), Db::in_memory().unwrap(), Cancel::new());
    source.put("from/a", "1").unwrap();
    let mut watch = target.watch("into/a").start().unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| mirror(&source, &target).run(&WaitOptions::new().cancel(&cancel)));
        for value in ["1", "2", "3"] {
            source.put("from/a", value).unwrap();
            while target.get("into/a").unwrap().is_none_or(|kv| kv.value != value) {
                assert!(watch.next_timeout(LONG).unwrap().is_some());
            }
        }
        cancel.cancel();
        assert!(matches!(running.join().unwrap(), Err(Error::WaitCanceled)));
    });
    mirror(&source, &target).run(&WaitOptions::new().timeout(ms(1))).unwrap();
    source.close().unwrap();
    assert!(matches!(mirror(&source, &target).run(&WaitOptions::new()), Err(Error::Closed)));
}

#[test]
fn cw_04_two_mirrors_do_not_disturb_each_other() {
    let (source, target, cancel) = (Db::in_memory().unwrap(), Db::in_memory().unwrap(), Cancel::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| mirror(&source, &target).run(&WaitOptions::new().cancel(&cancel)));
        }
        for round in 0..300 {
            source.put(format!("from/{}", round % 7), round.to_string()).unwrap();
            if round % 50 == 0 {
                source.compact(source.revision()).unwrap();
            }
        }
        mirror(&source, &target).catch_up().unwrap();
        assert_eq!(under(&target, "into/"), under(&source, "from/"));
        cancel.cancel();
    });
}

/// Cut short at any write of the target: what a crash leaves is resumed, and comes to the same as a mirror that never
/// was interrupted.
#[test]
fn cw_04_resumed_as_if_never_interrupted() {
    let source = Db::in_memory().unwrap();
    let clock = SimClock::new(1);
    for seed in 0..40 {
        let mut rng = SplitMix64::new(seed);
        let disk = SimDisk::new();
        let target = open_sim(&disk, &clock, ROOMY);
        target.put("into/left over", "").unwrap();
        disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1 + rng.below(8), kind: FaultKind::Eio, forever: false });
        let step = |rng: &mut SplitMix64| {
            let key = format!("from/{}", rng.below(5));
            match rng.below(4) {
                0 => source.delete(&key[..]).map(drop),
                1 => source.txn().then([put(&key, "x"), delete("from/5"), put("from/6", &key)]).commit().map(drop),
                _ => source.put(&key, rng.below(100).to_string()).map(drop),
            }
            .unwrap();
        };
        let mut target = target;
        for _ in 0..12 {
            step(&mut rng);
            if mirror(&source, &target).catch_up().is_err() {
                let image = disk.image();
                drop(target);
                target = open_image(image, &clock, ROOMY).unwrap();
            }
        }
        mirror(&source, &target).catch_up().unwrap();
        assert_eq!(under(&target, "into/"), under(&source, "from/"), "seed {seed}");
    }
}

/// What the source took in one revision, or holds altogether, may be more than the target takes in one request.
#[test]
fn cw_04_txns_are_bounded_in_bytes() {
    let (source, target) = (Db::in_memory().unwrap(), Store::with(Kind::Memory, small_requests()).db);
    let write = |keys: std::ops::Range<u32>| {
        let value = "v".repeat(4 << 10);
        let ops: Vec<Op> = keys.map(|key| put(&format!("from/{key:05}"), &value)).collect();
        source.txn().then(ops).commit().unwrap()
    };
    // By a base, then by a revision that is followed.
    for keys in [0..100, 50..200] {
        write(keys);
        assert_eq!(mirror(&source, &target).catch_up().unwrap(), source.revision());
        assert_eq!(under(&target, "into/"), under(&source, "from/"));
    }
    assert_eq!(mirror(&source, &target).position().unwrap(), Some(source.revision()));
}

fn small_requests() -> Options {
    Options::new().request_bytes_max(64 << 10)
}

/// A mirror of a store into itself makes a change for each that it mirrors: catching up comes to an end all the same.
#[test]
fn cw_04_catching_up_ends_while_the_source_is_written() {
    let db = Db::in_memory().unwrap();
    let mirror = db.mirror("", &db).into_prefix("copy/").cursor("cursor");
    for value in ["1", "2"] {
        let wanted = db.put("a", value).unwrap().revision;
        assert!(mirror.catch_up().unwrap() >= wanted);
        assert_eq!(db.get("copy/a").unwrap().unwrap().value, value);
    }
}
