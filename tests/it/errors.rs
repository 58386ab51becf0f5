//! ER: each refusal is typed, speaks etcd's words, says that nothing was applied, and leaves the store as it was.

use std::time::Duration;

use etclite::{Applied, Db, Delete, Error, Invalid, KeyRange, Op, Options, Put, PutOptions, Range, prefix};

use super::support::{
    get, grant, is_invalid, kv, on_each_setup, on_each_setup_with, put_all, refused, run, with_lease,
};

#[test]
fn er_02_invalid_argument() {
    on_each_setup(|db| {
        let refusals: [(Error, Invalid, &str); 8] = [
            (refused(db, |db| db.put("", "v")), Invalid::EmptyKey, "key is not provided"),
            (refused(db, |db| db.get("")), Invalid::EmptyKey, "key is not provided"),
            (refused(db, |db| db.get_at("", 99)), Invalid::EmptyKey, "key is not provided"),
            (refused(db, |db| db.query(Range::new("").at(99))), Invalid::EmptyKey, "key is not provided"),
            (refused(db, |db| db.delete(KeyRange::between("", "b"))), Invalid::EmptyKey, "key is not provided"),
            (
                refused(db, |db| db.put_with("x", "", PutOptions::new().ignore_value())),
                Invalid::KeyNotFound,
                "key not found",
            ),
            (
                refused(db, |db| db.put_with("x", "v", PutOptions::new().ignore_value())),
                Invalid::ValueProvided,
                "value is provided",
            ),
            (
                refused(db, |db| db.put_with("x", "", PutOptions::new().ignore_lease().lease(1))),
                Invalid::LeaseProvided,
                "lease is provided",
            ),
        ];
        for (error, reason, text) in refusals {
            assert!(is_invalid(&error, reason), "{error:?} for {reason:?}");
            assert_eq!(error.to_string(), text);
        }
    });
}

#[test]
fn er_02_an_empty_key_in_every_verb() {
    on_each_setup(|db| {
        let refusals = [
            refused(db, |db| db.put_if_absent("", "v").map(drop)),
            refused(db, |db| db.compare_and_swap("", 0, "v").map(drop)),
            refused(db, |db| db.range("").map(drop)),
            refused(db, |db| db.range(KeyRange::from_wire("", "\0")).map(drop)),
            refused(db, |db| db.count("").map(drop)),
            refused(db, |db| db.delete_with(Delete::new("")).map(drop)),
            refused(db, |db| db.snapshot()?.get("").map(drop)),
            refused(db, |db| db.snapshot()?.count(Range::new("")).map(drop)),
            refused(db, |db| db.snapshot()?.range(Range::new("")).map(drop)),
        ];
        assert!(refusals.iter().all(|error| is_invalid(error, Invalid::EmptyKey)), "{refusals:?}");
    });
}

#[test]
fn er_03_lease_ttl_too_large() {
    on_each_setup(|db| {
        let error = refused(db, |db| db.grant(Duration::from_secs(9_000_000_001)));
        assert!(matches!(error, Error::TooLarge { max: 9_000_000_000_000, .. }), "{error:?}");
        assert!(matches!(refused(db, |db| db.grant(Duration::MAX)), Error::TooLarge { .. }));
        let longest = Duration::from_secs(9_000_000_000);
        assert_eq!(db.grant_with_id(7, longest).unwrap().granted(), Some(longest));
        db.settle();
        assert_eq!(db.lease(7).time_to_live().unwrap().unwrap().granted, longest);
    });
}

#[test]
fn er_04_duplicate_key() {
    on_each_setup(|db| {
        let error = refused(db, |db| run(db, ["1", "2"].map(|value| Op::from(Put::new("a", value)))));
        assert!(matches!(error, Error::DuplicateKey));
        assert_eq!(error.to_string(), "duplicate key given in txn request");
    });
}

#[test]
fn er_05_compacted_and_future() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("a", "2"), ("a", "3")]);
        let answer = db.compact(3).unwrap();
        assert_eq!((answer.revision.get(), answer.compact_revision.get()), (4, 3));
        db.settle();
        let compacted = [
            refused(db, |db| db.get_at("a", 2).map(drop)),
            refused(db, |db| db.query(Range::new("a").at(1)).map(drop)),
            refused(db, |db| db.snapshot_at(2).map(drop)),
            refused(db, |db| db.hash(2).map(drop)),
            refused(db, |db| db.compact(3).map(drop)),
            refused(db, |db| db.compact(0).map(drop)),
            refused(db, |db| db.watch("a").from(2).start().map(drop)),
        ];
        for error in compacted {
            assert!(matches!(error, Error::Compacted { compacted } if compacted == 3), "{error:?}");
            assert!(error.to_string().starts_with("required revision has been compacted"));
        }
        let next = db.revision() + 1;
        let calls: [fn(&Db, u64) -> etclite::Result<()>; 4] = [
            |db, revision| db.get_at("a", revision).map(drop),
            |db, revision| db.snapshot_at(revision).map(drop),
            |db, revision| db.hash(revision).map(drop),
            |db, revision| db.compact(revision).map(drop),
        ];
        for call in calls {
            for revision in [db.revision().get() + 1, u64::MAX] {
                let current = db.revision();
                let error = refused(db, |db| call(db, revision));
                assert!(matches!(error, Error::FutureRevision { current: told } if told == current), "{error:?}");
                assert!(error.to_string().starts_with("required revision is a future revision"));
            }
        }
        assert!(db.revision() > next);
        assert_eq!(get(db, "a"), kv("a", "3", [2, 4, 3]));
    });
}

#[test]
fn er_06_leases() {
    on_each_setup(|db| {
        grant(db, 7);
        db.settle();
        let missing = [
            refused(db, |db| db.put_with("a", "", with_lease(404)).map(drop)),
            refused(db, |db| db.lease(404).revoke().map(drop)),
            refused(db, |db| db.lease(404).keep_alive().map(drop)),
            refused(db, |db| run(db, [Put::new("a", "").lease(404).into()]).map(drop)),
        ];
        for error in missing {
            assert!(matches!(error, Error::LeaseNotFound), "{error:?}");
            assert_eq!(error.to_string(), "requested lease not found");
        }
        assert_eq!(db.lease(404).time_to_live().unwrap(), None);
        let error = refused(db, |db| db.grant_with_id(7, Duration::from_secs(1)));
        assert!(matches!(error, Error::LeaseExists));
        assert_eq!(error.to_string(), "lease already exists");
    });
}

const QUOTA: u64 = 64 << 10;

#[test]
fn er_07_full() {
    on_each_setup_with(Options::new().quota_bytes(QUOTA), |db| {
        let mut error = None;
        for number in 0..200 {
            if let Err(refusal) = db.put(format!("k{number}"), vec![b'v'; 1000]) {
                error = Some(refusal);
                break;
            }
        }
        let error = error.expect("the quota is reached");
        assert!(matches!(error, Error::Full { max: QUOTA, .. }), "{error:?}");
        assert_eq!(error.applied(), Applied::No);
        // What does not grow works; once there is room, writes work, and nobody disarms anything (CH-06).
        let revision = db.revision();
        assert!(matches!(db.put("~", vec![b'v'; 4000]), Err(Error::Full { .. })));
        assert!(matches!(run(db, [Put::new("~", vec![b'v'; 4000]).into()]), Err(Error::Full { .. })));
        assert!(matches!(db.grant_with_id(9, Duration::from_secs(9)), Err(Error::Full { .. }) | Ok(_)));
        assert_eq!(db.revision(), revision);
        assert!(db.get("k0").unwrap().is_some());
        assert!(db.delete(prefix("k")).unwrap().deleted > 0);
        db.compact_physical(db.revision()).unwrap();
        db.settle();
        db.put("again", vec![b'v'; 1000]).unwrap();
        assert!(db.get("again").unwrap().is_some());
    });
}

#[test]
fn er_13_closed() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1")]);
        let clone = Db::clone(db);
        let lease = db.grant(Duration::from_secs(9)).unwrap();
        let mut watch = db.watch("a").start().unwrap();
        clone.close().unwrap();
        clone.close().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let calls: Vec<etclite::Result<()>> = vec![
            db.put("a", "2").map(drop),
            db.get("a").map(drop),
            db.get_at("a", 2).map(drop),
            db.query("a").map(drop),
            db.range("a").map(drop),
            db.count("a").map(drop),
            db.delete("a").map(drop),
            db.txn().then([Put::new("a", "2")]).commit().map(drop),
            db.txn().then([Range::new("a")]).commit().map(drop),
            db.put_if_absent("b", "").map(drop),
            db.compare_and_swap("b", 0, "").map(drop),
            db.compact(2).map(drop),
            db.grant(Duration::from_secs(1)).map(drop),
            lease.keep_alive().map(drop),
            lease.revoke().map(drop),
            lease.time_to_live().map(drop),
            db.leases().map(drop),
            db.watch("a").start().map(drop),
            db.snapshot().map(drop),
            db.snapshot_at(2).map(drop),
            db.hash(0).map(drop),
            db.sync(),
            db.flush(),
            db.compact_physical(2).map(drop),
            db.check().map(drop),
            db.backup(dir.path().join("copy")).map(drop),
        ];
        for (at, call) in calls.into_iter().enumerate() {
            let error = call.expect_err("closed");
            assert!(matches!(error, Error::Closed), "call {at}: {error:?}");
            assert_eq!((error.to_string(), error.applied()), ("the store is closed".to_owned(), Applied::No));
        }
        assert!(matches!(watch.next(), Some(Err(Error::Closed))));
        assert!(watch.next().is_none());
        assert!(matches!(db.health(), etclite::Health::Closed));
        db.force_open();
        assert_eq!(get(db, "a"), kv("a", "1", [2, 2, 1]));
    });
}
