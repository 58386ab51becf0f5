//! RV-08, CH-04, TX-07, TX-08, N5, N11: what is too large is refused by a typed error with its numbers, before anything.

use etclite::{Compare, Db, Error, Op, Options, Put, Range, Txn, prefix};

use super::support::{get, kv, on_each_setup, on_each_setup_with, put_all, refused, run};

#[test]
fn rv_08_request_is_too_large() {
    on_each_setup_with(Options::new().request_bytes_max(1000), |db| {
        let limits = |error: Error| match error {
            Error::TooLarge { what: "request", len, max } => (len, max),
            other => panic!("{other:?}"),
        };
        let (len, max) = limits(refused(db, |db| db.put("k", vec![b'v'; 2000])));
        assert!(len > 2000 && len < 2100 && max == 1000, "{len} of {max}");
        let (len, _) = limits(refused(db, |db| db.put(vec![b'k'; 5000], "v")));
        assert!(len > 5000 && len < 5100, "{len}");
        let many = || (0..100).map(|n| Op::from(Put::new(format!("key-{n:08}"), "")));
        limits(refused(db, |db| db.txn().then(many()).commit()));
        limits(refused(db, |db| {
            db.txn().when([Compare::value("k").eq(vec![0; 1000])]).then([Put::new("k", "")]).commit()
        }));
        limits(refused(db, |db| db.put_if_absent("k", vec![0; 1000])));
        limits(refused(db, |db| db.delete(vec![b'k'; 1000])));
        // No limit for one key or value but the request's.
        db.put(vec![b'k'; 900], "").unwrap();
        db.put("k", vec![b'v'; 900]).unwrap();
        db.settle();
        assert_eq!(get(db, "k").value, vec![b'v'; 900]);
        assert_eq!(get(db, &"k".repeat(900)).version, 1);
    });
}

/// The default is 32 MiB, wherever the store lives (CH-04, X-12).
#[test]
fn ch_04_default_limits() {
    let dir = tempfile::tempdir().unwrap();
    for db in [Db::in_memory().unwrap(), Db::open(dir.path().join("store")).unwrap()] {
        let error = refused(&db, |db| db.put("k", vec![0; 33 << 20]));
        let Error::TooLarge { what: "request", len, max } = error else { panic!("{error:?}") };
        assert!(len >= 33 << 20 && max <= 32 << 20 && max > (32 << 20) - 1024, "{len} of {max}");
        let large = vec![b'v'; (32 << 20) - 1024];
        db.put("k", &large).unwrap();
        db.put("small", "1").unwrap();
        assert!(db.get("k").unwrap().unwrap().value == large);
        db.flush().unwrap();
        assert!(db.get("k").unwrap().unwrap().value == large);
        assert_eq!(get(&db, "small").mod_revision, 5);
    }
}

/// N5: no limit on operations by default; one revision, all or nothing.
#[test]
fn n5_a_txn_of_ten_thousand_operations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let on_disk = Db::open(&path).unwrap();
    for db in [&Db::in_memory().unwrap(), &on_disk] {
        let puts = || (0..10_000).map(|n| Op::from(Put::new(format!("k{n:05}"), "v")));
        let answer = db.txn().then(puts()).commit().unwrap();
        assert_eq!((answer.revision.get(), answer.responses.len()), (2, 10_000));
        assert_eq!(db.count(prefix("k")).unwrap(), 10_000);
        // The same with a failing last operation leaves nothing.
        let error = refused(db, |db| db.txn().then(puts().chain([Range::new("k").at(99).into()])).commit());
        assert!(matches!(error, Error::FutureRevision { .. }));
        let twice = puts().chain([Put::new("k00000", "again").into()]);
        assert!(matches!(refused(db, |db| db.txn().then(twice).commit()), Error::DuplicateKey));
        assert_eq!(get(db, "k09999"), kv("k09999", "v", [2, 2, 1]));
    }
    let before = on_disk.hash(0).unwrap();
    drop(on_disk);
    let db = Db::open(&path).unwrap();
    assert_eq!((db.hash(0).unwrap(), db.count(prefix("k")).unwrap()), (before, 10_000));
}

#[test]
fn ch_04_no_limit_of_operations_but_the_option() {
    on_each_setup_with(Options::new().txn_ops_max(2), |db| {
        let put = |key: &str| Op::from(Put::new(key, ""));
        run(db, [put("a"), put("b")]).unwrap();
        let error = refused(db, |db| run(db, [put("a"), put("b"), put("c")]));
        assert!(matches!(error, Error::TooLarge { len: 3, max: 2, .. }), "{error:?}");
        assert!(error.to_string().contains("operations in txn request"), "{error}");
    });
}

/// A txn nested so deep.
fn nest(depth: usize) -> Txn {
    let mut txn = Txn::new().then([Put::new("deep", "")]).finish();
    for _ in 1..depth {
        txn = Txn::new().then([txn]).finish();
    }
    txn
}

#[test]
fn tx_07_depth_is_bounded() {
    on_each_setup(|db| {
        assert!(db.execute(nest(128)).is_ok());
        let error = refused(db, |db| db.execute(nest(129)));
        assert!(matches!(error, Error::TooLarge { len: 129, max: 128, .. }), "{error:?}");
        let in_else = || Txn::new().then([Put::new("a", "")]).or_else([nest(128)]);
        assert!(matches!(refused(db, |db| db.execute(in_else())), Error::TooLarge { .. }));
        db.settle();
        assert_eq!(get(db, "deep"), kv("deep", "", [2, 2, 1]));
    });
    on_each_setup_with(Options::new().txn_depth_max(2), |db| {
        assert!(db.execute(nest(2)).is_ok());
        let error = refused(db, |db| db.execute(nest(3)));
        assert!(matches!(error, Error::TooLarge { len: 3, max: 2, .. }), "{error:?}");
    });
}

/// Checked without the stack: such a txn can be built, so it must be refused and dropped.
#[test]
fn tx_07_nested_a_thousand_deep() {
    let db = Db::in_memory().unwrap();
    assert!(matches!(refused(&db, |db| db.execute(nest(1000))), Error::TooLarge { max: 128, .. }));
}

#[test]
fn pd_06_command_changes_max_counts_txns_whole() {
    on_each_setup_with(Options::new().command_changes_max(4), |db| {
        put_all(db, &[("a", ""), ("b", ""), ("c", "")]);
        let put = |key: &str| Op::from(Put::new(key, ""));
        let delete = || Op::from(etclite::Delete::new("a".."d"));
        let error = refused(db, |db| run(db, [put("x"), put("y"), delete()]));
        assert!(matches!(error, Error::TooLarge { len: 5, max: 4, .. }), "{error:?}");
        let nested = Op::from(Txn::new().then([put("y"), put("z")]));
        assert!(matches!(refused(db, |db| run(db, [nested.clone(), delete()])), Error::TooLarge { .. }));
        assert_eq!(run(db, [put("x"), delete()]).unwrap().responses.len(), 2);
        db.settle();
        assert_eq!(db.count(..).unwrap(), 1);
    });
}

/// N11: refused by its size before it is copied, encoded or logged.
#[test]
fn rv_08_a_value_of_a_gigabyte() {
    let db = Db::in_memory().unwrap();
    // Zeros that nobody writes to take no memory.
    let value = vec![0; 1 << 30];
    let error = refused(&db, |db| db.put("k", &value));
    assert!(matches!(error, Error::TooLarge { what: "request", len, .. } if len > 1 << 30), "{error:?}");
}
