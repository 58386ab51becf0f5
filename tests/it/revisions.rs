//! RV: revisions and the metadata of keys. CH: the choices that hold everywhere.

use std::time::Duration;

use etclite::{Compare, Db, Delete, Error, KeyRange, LeaseId, Op, Options, Put, Range, from_key, prefix};

use super::support::{
    all_keys, events, found, get, grant, kv, leased, on_each_setup, put_all, refused, run, value, with_lease,
};

#[test]
fn rv_01_first_revision() {
    on_each_setup(|db| {
        assert_eq!((db.revision().get(), db.compact_revision().get()), (1, 0));
        db.settle();
        assert_eq!((db.revision().get(), db.compact_revision().get()), (1, 0));
        assert_eq!(db.put("a", "1").unwrap().revision, 2);
        db.settle();
        assert_eq!(db.revision(), 2);
    });
}

#[test]
fn rv_02_one_step_per_write() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(db.delete(prefix("")).unwrap().revision, 5);
        let ops = ["x", "y", "z"].map(|key| Op::from(Put::new(key, "")));
        assert_eq!(run(db, ops).unwrap().revision, 6);
        grant(db, 7);
        db.put_with("l1", "", with_lease(7)).unwrap();
        db.put_with("l2", "", with_lease(7)).unwrap();
        assert_eq!(db.lease(7).revoke().unwrap(), 9);
        db.settle();
        assert_eq!(db.revision(), 9);
        // The hidden sub-revision orders the changes inside one revision.
        let seen = events(db, 5);
        assert_eq!(seen[..3], ["-a@5 was 1", "-b@5 was 2", "-c@5 was 3"]);
        assert_eq!(seen[3..6], ["+x=@6", "+y=@6", "+z=@6"]);
        assert_eq!(seen[8..], ["-l1@9 was ", "-l2@9 was "]);
    });
}

#[test]
fn rv_03_writes_without_change() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1")]);
        let nothing = db.delete("x").unwrap();
        assert_eq!((nothing.revision.get(), nothing.deleted), (2, 0));
        let ops = [Delete::new("x").into(), Range::new("a").into()];
        assert_eq!(run(db, ops).unwrap().revision, 2);
        let untaken = db.txn().when([Compare::version("a").eq(9)]).then([Put::new("a", "2")]).commit().unwrap();
        assert_eq!((untaken.succeeded, untaken.revision.get()), (false, 2));
        grant(db, 1);
        assert_eq!(db.revision(), 2);
        assert_eq!(db.lease(1).revoke().unwrap(), 2);
        db.settle();
        assert_eq!(db.revision(), 2);
        assert_eq!(db.put("a", "1").unwrap().revision, 3);
        assert_eq!(get(db, "a"), kv("a", "1", [2, 3, 2]));
    });
}

#[test]
fn rv_04_metadata_of_a_key() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("a", "2")]);
        db.settle();
        assert_eq!(get(db, "a"), kv("a", "2", [2, 3, 2]));
        db.delete("a").unwrap();
        db.put("a", "3").unwrap();
        db.settle();
        assert_eq!(get(db, "a"), kv("a", "3", [5, 5, 1]));
        assert_eq!(db.put("a", "4").unwrap().revision, 6);
        assert_eq!(get(db, "a"), kv("a", "4", [5, 6, 2]));
        // The generations before are as they were.
        assert_eq!(db.get_at("a", 3).unwrap(), Some(kv("a", "2", [2, 3, 2])));
        assert_eq!(db.get_at("a", 4).unwrap(), None);
    });
}

#[test]
fn rv_05_one_key_twice_in_a_revision() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("a", "2")]);
        let twice = [Put::new("a", "3").into(), Put::new("a", "4").into()];
        assert!(matches!(refused(db, |db| run(db, twice)), Error::DuplicateKey));
        let revision = db.revision().get() + 1;
        run(db, [Delete::new(prefix("")).into(), Put::new("a", "3").into()]).unwrap();
        db.settle();
        assert_eq!(get(db, "a"), kv("a", "3", [revision, revision, 1]));
        assert_eq!(events(db, revision), [format!("-a@{revision} was 2"), format!("+a=3@{revision}")]);
    });
}

#[test]
fn rv_06_header_is_the_stores_revision() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("a", "2"), ("b", "1")]);
        db.settle();
        let past = db.query(Range::new("a").at(2)).unwrap();
        assert_eq!((past.revision.get(), past.kvs), (4, vec![kv("a", "1", [2, 2, 1])]));
        assert_eq!(db.range(Range::new("a").at(2)).unwrap().revision(), 4);
    });
}

#[test]
fn rv_07_bytes() {
    on_each_setup(|db| {
        let odd: [&[u8]; 6] = [b"\0", b"\0\0", b"\x01", b"a\0b", b"\xff", b"\xff\xff\xfe"];
        for key in odd {
            db.put(key, key).unwrap();
        }
        db.put("empty", "").unwrap();
        db.settle();
        let listed: Vec<_> = db.range(KeyRange::all()).unwrap().map(|kv| kv.unwrap().key).collect();
        let expected: [&[u8]; 7] = [b"\0", b"\0\0", b"\x01", b"a\0b", b"empty", b"\xff", b"\xff\xff\xfe"];
        assert_eq!(listed, expected);
        for key in odd {
            assert_eq!(db.get(key).unwrap().unwrap().value, key);
        }
        assert_eq!(get(db, "empty"), kv("empty", "", [8, 8, 1]));
        assert_eq!(db.delete(b"\xff").unwrap().deleted, 1);
        assert_eq!(db.count(from_key(b"\xff")).unwrap(), 1);
    });
}

#[test]
fn rv_09_range_end() {
    on_each_setup(|db| {
        put_all(db, &[("a", ""), ("a\0", ""), ("aa", ""), ("b", ""), ("\u{7f}", "")]);
        db.settle();
        let wire = |key: &str, end: &str| found(db, KeyRange::from_wire(key, end));
        assert_eq!(wire("a", ""), ["a"]);
        assert_eq!(wire("aa", "\0"), ["aa", "b", "\u{7f}"]);
        assert_eq!(wire("\0", "\0"), ["a", "a\0", "aa", "b", "\u{7f}"]);
        assert_eq!(wire("a", "b"), ["a", "a\0", "aa"]);
        assert_eq!(wire("a", "a\0"), ["a"]);
        assert_eq!(wire("a", "a"), [""; 0]);
        assert_eq!(wire("b", "a"), [""; 0]);
        assert_eq!(found(db, prefix("a")), ["a", "a\0", "aa"]);
        assert_eq!(found(db, "a".."aa"), ["a", "a\0"]);
        assert_eq!(found(db, "b"..), ["b", "\u{7f}"]);
        assert_eq!(found(db, ..), all_keys(db));
    });
}

#[test]
fn rv_09_prefixes_of_0xff() {
    on_each_setup(|db| {
        let keys: [&[u8]; 5] = [b"a\xfe", b"a\xff", b"a\xff\xff", b"b", b"\xff\xff"];
        for key in keys {
            db.put(key, "").unwrap();
        }
        db.settle();
        assert_eq!(db.count(prefix(b"a\xff")).unwrap(), 2);
        assert_eq!(db.count(prefix(b"a\xff\xff")).unwrap(), 1);
        assert_eq!(db.count(prefix(b"\xff")).unwrap(), 1);
        assert_eq!(db.delete(prefix(b"\xff\xff")).unwrap().deleted, 1);
    });
}

#[test]
fn rv_09_an_end_at_or_below_the_start_is_empty() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "2")]);
        db.settle();
        for end in ["a", "b"] {
            let empty = || KeyRange::between("b", end);
            assert_eq!(db.count(empty()).unwrap(), 0);
            let nothing = db.delete(empty()).unwrap();
            assert_eq!((nothing.deleted, nothing.revision.get()), (0, 3));
            // As a missing key: zero for numbers, false for values.
            let zero = db.txn().when([Compare::version(empty()).eq(0)]).commit_empty();
            assert!(zero);
            assert!(!db.txn().when([Compare::value(empty()).ne("x")]).commit_empty());
        }
    });
}

/// A txn that only asks.
trait CommitEmpty {
    fn commit_empty(self) -> bool;
}

impl CommitEmpty for etclite::DbTxn<etclite::stage::When> {
    fn commit_empty(self) -> bool {
        self.commit().unwrap().succeeded
    }
}

#[test]
fn rv_10_a_reply_is_durable_and_what_was_read_too() {
    on_each_setup(|db| {
        let revision = db.put("a", "1").unwrap().revision;
        assert_eq!(value(db, "a").as_deref(), Some("1"));
        db.reopen();
        assert!(db.revision() >= revision);
        assert_eq!(get(db, "a"), kv("a", "1", [2, 2, 1]));
        assert_eq!(db.put("a", "2").unwrap().revision, revision + 1);
    });
}

#[test]
fn ch_02_keys_only_keeps_the_lease() {
    on_each_setup(|db| {
        grant(db, 7);
        db.put_with("a", "1", with_lease(7)).unwrap();
        db.settle();
        assert_eq!(db.query(Range::new("a").keys_only()).unwrap().kvs, [leased("a", "", [2, 2, 1], 7)]);
    });
}

#[test]
fn ch_03_ttl_is_whole_milliseconds() {
    let db = Db::in_memory().unwrap();
    let granted = |ttl| db.grant(ttl).unwrap().granted().unwrap();
    assert_eq!(granted(Duration::ZERO), Duration::from_millis(1));
    assert_eq!(granted(Duration::from_micros(1)), Duration::from_millis(1));
    assert_eq!(granted(Duration::from_micros(5001)), Duration::from_millis(6));
    assert_eq!(granted(Duration::from_millis(7)), Duration::from_millis(7));
    let db = Options::new().min_ttl(Duration::from_secs(2)).in_memory().unwrap();
    assert_eq!(db.grant(Duration::from_millis(7)).unwrap().granted(), Some(Duration::from_secs(2)));
}

#[test]
fn ch_09_what_changes_nothing_writes_no_log() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1")]);
        let before = db.stats().logged_bytes;
        db.delete("x").unwrap();
        db.delete(KeyRange::between("b", "a")).unwrap();
        let failed = db.txn().when([Compare::version("a").eq(9)]).then([Put::new("b", "")]).commit().unwrap();
        assert!(!failed.succeeded);
        run(db, [Delete::new("x").into(), Range::new("a").into()]).unwrap();
        db.put_if_absent("a", "2").unwrap();
        db.compare_and_swap("a", 99, "2").unwrap();
        db.put_with("b", "", with_lease(404)).unwrap_err();
        assert_eq!((db.stats().logged_bytes, db.revision().get()), (before, 2));
        db.put("a", "1").unwrap();
        assert!(db.stats().logged_bytes > before);
    });
}

#[test]
fn ch_11_a_watcher_sees_what_is_durable() {
    on_each_setup(|db| {
        let mut watch = db.watch("a").start().unwrap();
        let revision = db.put("a", "1").unwrap().revision;
        assert!(db.stats().synced_revision >= revision);
        assert_eq!(watch.try_next().unwrap().unwrap().revision(), revision);
        drop(watch);
    });
}

#[test]
fn ch_12_a_failed_txn_has_no_effect_at_all() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "2")]);
        let ops = [Put::new("c", "3").into(), Delete::new("a").into(), Put::new("b", "9").lease(404).into()];
        assert!(matches!(refused(db, |db| run(db, ops)), Error::LeaseNotFound));
        db.settle();
        assert_eq!(all_keys(db), ["a", "b"]);
        assert_eq!(get(db, "b"), kv("b", "2", [3, 3, 1]));
    });
}

#[test]
fn ch_14_equal_stores_give_equal_answers() {
    let hashes = std::cell::RefCell::new(Vec::new());
    on_each_setup(|db| {
        grant(db, 5);
        put_all(db, &[("b", "v"), ("a", "v"), ("c", "w"), ("a", "x")]);
        db.put_with("l2", "", with_lease(5)).unwrap();
        db.put_with("l1", "", with_lease(5)).unwrap();
        let deleted = db.delete_with(Delete::new("b".."d").prev_kv()).unwrap();
        assert_eq!(deleted.prev_kvs, [kv("b", "v", [2, 2, 1]), kv("c", "w", [4, 4, 1])]);
        db.settle();
        assert_eq!(super::support::lease_keys(db, 5), ["l1", "l2"]);
        hashes.borrow_mut().push(db.hash(0).unwrap());
    });
    let hashes = hashes.into_inner();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn ch_14_leases_by_deadline_then_id() {
    let db = Db::in_memory().unwrap();
    for (id, hours) in [(9, 2), (3, 3), (5, 1)] {
        db.grant_with_id(id, Duration::from_secs(hours * 3600)).unwrap();
    }
    let ids: Vec<LeaseId> = db.leases().unwrap().iter().map(|lease| lease.id).collect();
    assert_eq!(ids, [5, 9, 3].map(LeaseId::new));
}

/// A lease that a key has left deletes nothing of it, although the key bears the same name (etcd-client#52).
#[test]
fn b_037_an_old_lease_does_not_delete_a_recreated_key() {
    on_each_setup(|db| {
        grant(db, 7);
        db.put_with("a", "1", with_lease(7)).unwrap();
        db.delete("a").unwrap();
        db.put("a", "2").unwrap();
        db.settle();
        assert_eq!(db.lease(7).revoke().unwrap(), 4);
        db.settle();
        assert_eq!((get(db, "a"), db.revision().get()), (kv("a", "2", [4, 4, 1]), 4));
    });
}

/// A read-modify-write notices that its key was deleted, or deleted and made again, by its revisions; version and value
/// cannot tell (etcd#7184).
#[test]
fn b_034_compares_see_a_recreated_key() {
    on_each_setup(|db| {
        db.put("a", "1").unwrap();
        let before = get(db, "a");
        db.delete("a").unwrap();
        db.put("a", "1").unwrap();
        db.settle();
        let holds = |compare: Compare| db.txn().when([compare]).commit_empty();
        assert!(!holds(Compare::mod_revision("a").eq(before.mod_revision)));
        assert!(!holds(Compare::create_revision("a").eq(before.create_revision)));
        assert!(holds(Compare::version("a").eq(1)));
        assert!(holds(Compare::value("a").eq("1")));
        assert_eq!(db.compare_and_swap("a", before.mod_revision, "2").unwrap(), None);
        db.delete("a").unwrap();
        assert_eq!(db.compare_and_swap("a", 4, "2").unwrap(), None);
        assert_eq!(value(db, "a"), None);
        assert_eq!(db.compare_and_swap("a", 0, "2").unwrap().unwrap(), 6);
    });
}
