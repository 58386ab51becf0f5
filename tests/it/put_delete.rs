//! PD: put and delete.

use etclite::{Delete, Error, Invalid, KeyRange, Op, OpResponse, Put, PutOptions, from_key, prefix};

use super::support::{
    all_keys, events, get, grant, is_invalid, kv, lease_keys, leased, on_each_setup, on_each_setup_with, put_all,
    refused, run, with_lease,
};

fn ignore_value() -> PutOptions {
    PutOptions::new().ignore_value()
}

fn ignore_lease() -> PutOptions {
    PutOptions::new().ignore_lease()
}

#[test]
fn pd_01_lease_of_a_put() {
    on_each_setup(|db| {
        grant(db, 7);
        db.put_with("a", "1", with_lease(7)).unwrap();
        db.settle();
        assert_eq!(get(db, "a"), leased("a", "1", [2, 2, 1], 7));
        assert_eq!(lease_keys(db, 7), ["a"]);
        db.put("a", "2").unwrap();
        db.settle();
        assert_eq!(get(db, "a"), kv("a", "2", [2, 3, 2]));
        assert_eq!(lease_keys(db, 7), [""; 0]);
        assert_eq!(db.lease(7).revoke().unwrap(), 3);
        assert!(db.get("a").unwrap().is_some());
        let error = refused(db, |db| db.put_with("b", "1", with_lease(7)));
        assert!(matches!(error, Error::LeaseNotFound));
        assert_eq!(all_keys(db), ["a"]);
    });
}

#[test]
fn pd_02_another_lease() {
    on_each_setup(|db| {
        grant(db, 1);
        grant(db, -2);
        db.put_with("a", "1", with_lease(1)).unwrap();
        db.settle();
        db.put_with("a", "2", with_lease(-2)).unwrap();
        db.settle();
        assert_eq!((lease_keys(db, 1), lease_keys(db, -2)), (vec![], vec!["a".to_owned()]));
        db.put_with("a", "3", with_lease(-2)).unwrap();
        db.settle();
        assert_eq!(lease_keys(db, -2), ["a"]);
        assert_eq!(db.lease(1).revoke().unwrap(), 4);
        assert_eq!(get(db, "a"), leased("a", "3", [2, 4, 3], -2));
        assert_eq!(db.lease(-2).revoke().unwrap(), 5);
        db.settle();
        assert_eq!(db.get("a").unwrap(), None);
    });
}

#[test]
fn pd_03_prev_kv() {
    on_each_setup(|db| {
        let prev = |value: &str| db.put_with("a", value, PutOptions::new().prev_kv()).unwrap().prev;
        assert_eq!(prev("1"), None);
        assert_eq!(prev("2"), Some(kv("a", "1", [2, 2, 1])));
        assert_eq!(db.put("a", "3").unwrap().prev, None);
        assert_eq!(prev("4"), Some(kv("a", "3", [2, 4, 3])));
        db.delete("a").unwrap();
        assert_eq!(prev("5"), None);
        db.settle();
        assert_eq!(get(db, "a"), kv("a", "5", [7, 7, 1]));
    });
}

#[test]
fn pd_03_prev_kv_counts_earlier_operations_of_the_txn() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1")]);
        db.settle();
        let ops = [
            Delete::new(from_key("a")).into(),
            Put::new("a", "2").prev_kv().into(),
            Delete::new(prefix("")).prev_kv().into(),
        ];
        // The last delete is from the zero byte to no end: TX-10.
        let answers = run(db, ops).unwrap().responses;
        assert!(matches!(&answers[1], OpResponse::Put(put) if put.prev.is_none()));
        let OpResponse::Delete(last) = &answers[2] else { panic!("not a delete") };
        assert_eq!(last.prev_kvs, [kv("a", "2", [4, 4, 1])]);
    });
}

#[test]
fn pd_04_ignore_value() {
    on_each_setup(|db| {
        grant(db, 7);
        db.put_with("a", "1", with_lease(7)).unwrap();
        db.settle();
        // A full put: version and mod revision rise, an event appears, and the lease goes like in any put without one.
        assert_eq!(db.put_with("a", "", ignore_value()).unwrap().revision, 3);
        db.settle();
        assert_eq!(get(db, "a"), kv("a", "1", [2, 3, 2]));
        assert_eq!(events(db, 3), ["+a=1@3 was 1"]);
        let error = refused(db, |db| db.put_with("a", "2", ignore_value()));
        assert!(is_invalid(&error, Invalid::ValueProvided));
        let error = refused(db, |db| db.put_with("missing", "", ignore_value()));
        assert!(is_invalid(&error, Invalid::KeyNotFound));
    });
}

#[test]
fn pd_05_ignore_lease() {
    on_each_setup(|db| {
        grant(db, 7);
        db.put_with("a", "1", with_lease(7)).unwrap();
        db.settle();
        db.put_with("a", "2", ignore_lease()).unwrap();
        db.settle();
        assert_eq!((get(db, "a"), lease_keys(db, 7)), (leased("a", "2", [2, 3, 2], 7), vec!["a".to_owned()]));
        db.put_with("a", "", ignore_lease().ignore_value()).unwrap();
        assert_eq!(get(db, "a"), leased("a", "2", [2, 4, 3], 7));
        let error = refused(db, |db| db.put_with("a", "3", ignore_lease().lease(7)));
        assert!(is_invalid(&error, Invalid::LeaseProvided));
        let error = refused(db, |db| db.put_with("missing", "3", ignore_lease()));
        assert!(is_invalid(&error, Invalid::KeyNotFound));
        let revision = db.revision() + 1;
        assert_eq!(db.lease(7).revoke().unwrap(), revision);
        assert_eq!(db.get("a").unwrap(), None);
    });
}

#[test]
fn pd_06_delete_range() {
    on_each_setup(|db| {
        grant(db, 7);
        put_all(db, &[("c", "3"), ("a", "1"), ("d", "4"), ("b", "2"), ("b", "2b")]);
        db.put_with("bb", "l", with_lease(7)).unwrap();
        db.settle();
        let answer = db.delete_with(Delete::new("b".."d").prev_kv()).unwrap();
        assert_eq!((answer.deleted, answer.revision.get()), (3, 8));
        let expected = [kv("b", "2b", [5, 6, 2]), leased("bb", "l", [7, 7, 1], 7), kv("c", "3", [2, 2, 1])];
        assert_eq!(answer.prev_kvs, expected);
        db.settle();
        assert_eq!(all_keys(db), ["a", "d"]);
        assert_eq!(lease_keys(db, 7), [""; 0]);
        assert_eq!(events(db, 8), ["-b@8 was 2b", "-bb@8 was l", "-c@8 was 3"]);
        let again = db.delete("b".."d").unwrap();
        assert_eq!((again.deleted, again.revision.get(), again.prev_kvs.len()), (0, 8, 0));
        let silent = db.delete(KeyRange::all()).unwrap();
        assert_eq!((silent.deleted, silent.prev_kvs.len()), (2, 0));
    });
}

#[test]
fn pd_06_command_changes_max() {
    on_each_setup_with(etclite::Options::new().command_changes_max(3), |db| {
        put_all(db, &[("a", ""), ("b", ""), ("c", ""), ("d", "")]);
        db.settle();
        let is_too_many = |error: &Error| matches!(error, Error::TooLarge { len: 4, max: 3, .. });
        let error = refused(db, |db| db.delete(prefix("")));
        assert!(is_too_many(&error), "{error:?}");
        let puts = || ["w", "x", "y", "z"].map(|key| Op::from(Put::new(key, "")));
        let error = refused(db, |db| run(db, puts()));
        assert!(is_too_many(&error), "{error:?}");
        // Exactly the bound passes, and a lease always ends.
        grant(db, 7);
        for key in ["a", "b", "c", "d"] {
            db.put_with(key, "", with_lease(7)).unwrap();
        }
        let revision = db.revision();
        assert_eq!(db.lease(7).revoke().unwrap(), revision + 1);
        assert_eq!(db.count(prefix("")).unwrap(), 0);
        put_all(db, &[("a", ""), ("b", ""), ("c", "")]);
        assert_eq!(db.delete(prefix("")).unwrap().deleted, 3);
    });
}

#[test]
fn pd_07_delete_event() {
    on_each_setup(|db| {
        grant(db, 7);
        db.put_with("a", "1", with_lease(7)).unwrap();
        db.delete("a").unwrap();
        db.settle();
        // `events` checks that value, version, create revision and lease are zero.
        assert_eq!(events(db, 2), ["+a=1@2", "-a@3 was 1"]);
    });
}

/// Whether an error is the expected one.
type Check = fn(&Error) -> bool;

#[test]
fn pd_08_order_of_checks() {
    on_each_setup(|db| {
        // Flags against values, then the lease, then the missing key: in a put and in a txn alike.
        let cases: [(Put, Check); 3] = [
            (Put::with("x", "v", ignore_value().lease(404)), |e| is_invalid(e, Invalid::ValueProvided)),
            (Put::with("x", "", ignore_value().lease(404)), |e| matches!(e, Error::LeaseNotFound)),
            (Put::with("x", "", ignore_value()), |e| is_invalid(e, Invalid::KeyNotFound)),
        ];
        for (put, is_expected) in cases {
            let error = refused(db, |db| run(db, [put.clone().into()]));
            assert!(is_expected(&error), "in a txn: {error}");
        }
        let error = refused(db, |db| db.put_with("x", "v", ignore_value().lease(404)));
        assert!(is_invalid(&error, Invalid::ValueProvided));
        let error = refused(db, |db| db.put_with("x", "", ignore_value().lease(404)));
        assert!(matches!(error, Error::LeaseNotFound));
        let error = refused(db, |db| db.put_with("x", "", ignore_lease().lease(404)));
        assert!(is_invalid(&error, Invalid::LeaseProvided));
    });
}
