//! KV: range.

use etclite::{Error, KeyRange, Options, Range, SortOrder, SortTarget, prefix};

use super::support::{found, get, grant, keys, kv, leased, on_each_setup, put_all, refused, with_lease};

fn all() -> Range {
    Range::new(KeyRange::all())
}

#[test]
fn kv_01_reading_the_past() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")]);
        db.compact(3).unwrap();
        db.settle();
        let at = |revision: u64| db.get_at("a", revision).map(|kv| kv.unwrap());
        assert_eq!(at(3).unwrap(), kv("a", "2", [2, 3, 2]));
        assert_eq!(at(4).unwrap(), kv("a", "3", [2, 4, 3]));
        assert_eq!(at(0).unwrap(), kv("a", "3", [2, 4, 3]));
        assert!(matches!(at(2), Err(Error::Compacted { compacted }) if compacted == 3));
        assert!(matches!(at(6), Err(Error::FutureRevision { current }) if current == 5));
        assert!(matches!(db.query(all().at(2)), Err(Error::Compacted { .. })));
        assert!(matches!(db.count(all().at(6)), Err(Error::FutureRevision { .. })));
        assert!(db.range(all().at(1)).is_err());
    });
}

#[test]
fn kv_01_a_deleted_key_is_there_before_its_delete() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1")]);
        db.delete("a").unwrap();
        db.settle();
        assert_eq!(db.get("a").unwrap(), None);
        assert_eq!(db.get_at("a", 4).unwrap(), None);
        assert_eq!(db.get_at("a", 3).unwrap(), Some(kv("a", "1", [2, 2, 1])));
        assert_eq!(found(db, all().at(3)), ["a", "b"]);
        assert_eq!(found(db, all().at(2)), ["a"]);
        assert_eq!(found(db, all().at(1)), [""; 0]);
        // Compacted at the delete: gone, and the revision itself is readable.
        db.compact(4).unwrap();
        db.settle();
        assert_eq!(db.get_at("a", 4).unwrap(), None);
        assert_eq!(found(db, all()), ["b"]);
    });
}

#[test]
fn kv_02_limit_and_more() {
    on_each_setup(|db| {
        put_all(db, &[("a", ""), ("b", ""), ("c", "")]);
        db.settle();
        for reverse in [false, true] {
            let ask = |limit| if reverse { all().reverse().limit(limit) } else { all().limit(limit) };
            let answers: Vec<_> = [0, 1, 2, 3, 4].map(|limit| db.query(ask(limit)).unwrap()).into();
            let shape: Vec<_> = answers.iter().map(|answer| (answer.kvs.len(), answer.more)).collect();
            assert_eq!(shape, [(3, false), (1, true), (2, true), (3, false), (3, false)]);
            let order = found(db, ask(2));
            assert_eq!(order, if reverse { ["c", "b"] } else { ["a", "b"] });
        }
        assert!(!db.query(Range::new("a").limit(1)).unwrap().more);
    });
}

#[test]
fn kv_03_count() {
    on_each_setup(|db| {
        put_all(db, &[("a", ""), ("b", ""), ("c", "")]);
        db.delete("b").unwrap();
        db.settle();
        let limited = all().limit(1).with_count();
        assert_eq!(db.query(limited.clone()).unwrap().count, Some(2));
        assert_eq!(db.query(limited.clone().at(4)).unwrap().count, Some(3));
        assert_eq!(db.query(all().limit(1)).unwrap().count, None);
        assert_eq!(db.query(all().min_mod_revision(4).limit(1)).unwrap().kvs.len(), 1);
        assert_eq!(db.query(all().min_mod_revision(4).with_count()).unwrap().count, Some(2));
        assert_eq!(db.count(all().limit(1).min_mod_revision(4)).unwrap(), 2);
        let iter = db.range(limited.reverse()).unwrap();
        db.put("d", "").unwrap();
        assert_eq!((iter.total().unwrap(), db.count(..).unwrap()), (2, 3));
    });
}

/// The count is that of the range, not of the page, and `more` is exact where the page ends (etcd#13056).
#[test]
fn b_041_count_and_more_at_the_edge() {
    on_each_setup(|db| {
        put_all(db, &[("k1", ""), ("k2", ""), ("k3", ""), ("k4", ""), ("k5", ""), ("l", "")]);
        db.settle();
        for (limit, more) in [(1, true), (4, true), (5, false), (6, false)] {
            for sort in [SortTarget::Key, SortTarget::ModRevision] {
                let page = Range::new(prefix("k")).limit(limit).sort(sort, SortOrder::Ascend).with_count();
                let answer = db.query(page).unwrap();
                assert_eq!((answer.count, answer.more, answer.kvs.len() as u64), (Some(5), more, limit.min(5)));
            }
        }
    });
}

#[test]
fn kv_04_count_only() {
    on_each_setup(|db| {
        put_all(db, &[("a", ""), ("b", "")]);
        db.settle();
        let answer = db.query(all().count_only().limit(1)).unwrap();
        assert_eq!((answer.kvs.len(), answer.more, answer.count), (0, false, Some(2)));
        assert_eq!(db.range(all().count_only()).unwrap().count(), 0);
        let none = db.query(Range::new("x").count_only()).unwrap();
        assert_eq!(none.count, Some(0));
    });
}

#[test]
fn kv_05_sort() {
    on_each_setup(|db| {
        put_all(db, &[("c", "1"), ("a", "3"), ("b", "2"), ("c", "1")]);
        db.settle();
        let by = |target, order| found(db, all().sort(target, order));
        use SortOrder::{Ascend, Descend};
        use SortTarget::{CreateRevision, Key, ModRevision, Value, Version};
        assert_eq!(by(Key, Ascend), ["a", "b", "c"]);
        assert_eq!(by(Key, Descend), ["c", "b", "a"]);
        assert_eq!(by(CreateRevision, Ascend), ["c", "a", "b"]);
        assert_eq!(by(CreateRevision, Descend), ["b", "a", "c"]);
        assert_eq!(by(ModRevision, Ascend), ["a", "b", "c"]);
        assert_eq!(by(ModRevision, Descend), ["c", "b", "a"]);
        assert_eq!(by(Value, Ascend), ["c", "b", "a"]);
        assert_eq!(by(Value, Descend), ["a", "b", "c"]);
        // Ties ascend by key in either direction (CH-14).
        assert_eq!(by(Version, Ascend), ["a", "b", "c"]);
        assert_eq!(by(Version, Descend), ["c", "a", "b"]);
        // Sorted as of the past: c was at version 1 then.
        assert_eq!(found(db, all().at(4).sort(Version, Descend)), ["a", "b", "c"]);
    });
}

#[test]
fn kv_06_limit_comes_last() {
    on_each_setup(|db| {
        put_all(db, &[("a", "3"), ("b", "2"), ("c", "1"), ("d", "0")]);
        db.settle();
        let smallest = db.query(all().sort(SortTarget::Value, SortOrder::Ascend).limit(2)).unwrap();
        assert_eq!((keys(&smallest), smallest.more), (vec!["d".to_owned(), "c".to_owned()], true));
        assert_eq!(found(db, all().min_mod_revision(4).limit(1)), ["c"]);
        assert_eq!(found(db, all().max_mod_revision(3).reverse().limit(1)), ["b"]);
        let newest = all().sort(SortTarget::CreateRevision, SortOrder::Descend).max_mod_revision(4).limit(1);
        assert_eq!(found(db, newest), ["c"]);
        let exact = db.query(all().sort(SortTarget::Value, SortOrder::Descend).limit(4)).unwrap();
        assert!(!exact.more);
    });
}

#[test]
fn kv_07_revision_filters() {
    on_each_setup(|db| {
        // a: create 2, mod 5; b: 3, 3; c: 4, 4.
        put_all(db, &[("a", "1"), ("b", "1"), ("c", "1"), ("a", "2")]);
        db.settle();
        assert_eq!(found(db, all().min_mod_revision(4)), ["a", "c"]);
        assert_eq!(found(db, all().max_mod_revision(4)), ["b", "c"]);
        assert_eq!(found(db, all().min_mod_revision(3).max_mod_revision(3)), ["b"]);
        assert_eq!(found(db, all().min_create_revision(3)), ["b", "c"]);
        assert_eq!(found(db, all().max_create_revision(2)), ["a"]);
        assert_eq!(found(db, all().min_create_revision(2).max_create_revision(3).max_mod_revision(4)), ["b"]);
        assert_eq!(found(db, all().min_mod_revision(0).max_mod_revision(0)), ["a", "b", "c"]);
        assert_eq!(found(db, all().min_mod_revision(99)), [""; 0]);
        // `more` looks at what passes only: one key passes, so a limit of one cuts nothing.
        assert!(!db.query(all().max_create_revision(2).limit(1)).unwrap().more);
        assert!(db.query(all().min_create_revision(3).limit(1)).unwrap().more);
        // At revision 4, a was last changed at 2.
        assert_eq!(found(db, all().at(4).max_mod_revision(2)), ["a"]);
    });
}

#[test]
fn kv_08_keys_only() {
    on_each_setup(|db| {
        grant(db, 7);
        db.put_with("a", "z", with_lease(7)).unwrap();
        put_all(db, &[("b", "y"), ("b", "x")]);
        db.settle();
        let expected = [leased("a", "", [2, 2, 1], 7), kv("b", "", [3, 4, 2])];
        assert_eq!(db.query(all().keys_only()).unwrap().kvs, expected);
        let listed: Vec<_> = db.range(all().keys_only()).unwrap().map(Result::unwrap).collect();
        assert_eq!(listed, expected);
        // Sorted by what is not shown.
        let by_value = db.query(all().keys_only().sort(SortTarget::Value, SortOrder::Ascend)).unwrap();
        assert_eq!(by_value.kvs, [expected[1].clone(), expected[0].clone()]);
    });
}

#[test]
fn kv_09_shorthands() {
    on_each_setup(|db| {
        put_all(db, &[("c", "1"), ("a", "1"), ("b", "1"), ("a", "2")]);
        db.settle();
        let first = |target, order| found(db, all().sort(target, order).limit(1)).remove(0);
        assert_eq!(first(SortTarget::CreateRevision, SortOrder::Ascend), "c");
        assert_eq!(first(SortTarget::CreateRevision, SortOrder::Descend), "b");
        assert_eq!(first(SortTarget::ModRevision, SortOrder::Ascend), "c");
        assert_eq!(first(SortTarget::ModRevision, SortOrder::Descend), "a");
        assert_eq!(first(SortTarget::Key, SortOrder::Descend), "c");
        assert_eq!(found(db, all().reverse().at(3)), ["c", "a"]);
        assert_eq!(found(db, "b"), ["b"]);
        assert_eq!(found(db, b"b"), ["b"]);
        assert_eq!(found(db, String::from("b")..), ["b", "c"]);
    });
}

/// Not to be had in Rust: a put with a range, a delete with a limit. Options that are out of bounds are refused at open.
#[test]
fn kv_10_misuse_of_options() {
    let is_refused = |options: Options| matches!(options.in_memory(), Err(Error::InvalidArgument(_)));
    assert!(is_refused(Options::new().request_bytes_max(0)));
    assert!(is_refused(Options::new().txn_ops_max(0)));
    assert!(is_refused(Options::new().txn_depth_max(129)));
    assert!(is_refused(Options::new().command_changes_max(0)));
    assert!(is_refused(Options::new().watches_max(0)));
    assert!(is_refused(Options::new().min_ttl(std::time::Duration::ZERO)));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    assert!(matches!(Options::new().request_bytes_max((32 << 20) + 1).open(&path), Err(Error::InvalidArgument(_))));
    assert!(!path.exists(), "refused before anything is made");
}

#[test]
fn kv_14_keys_only_of_a_past_revision_keeps_the_lease_of_then() {
    on_each_setup(|db| {
        grant(db, 7);
        db.put_with("a", "1", with_lease(7)).unwrap();
        db.put("a", "2").unwrap();
        db.settle();
        assert_eq!(db.query(Range::new("a").at(2).keys_only()).unwrap().kvs, [leased("a", "", [2, 2, 1], 7)]);
        assert_eq!(get(db, "a").lease.get(), 0);
    });
}

#[test]
fn kv_01_a_refused_read_changes_nothing() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1")]);
        let error = refused(db, |db| db.query(all().at(99)));
        assert!(matches!(error, Error::FutureRevision { current } if current == 2));
    });
}
