//! a store in memory is the same engine.

use std::time::Duration;

use etclite::{Db, Error, KeyRange, Op, Options, Put, prefix};

use super::support::{all_keys, events, get, grant, kv, lease_keys, put_all, run, value, with_lease};

/// Does a little of everything, and returns what each call answered.
fn story(db: &Db) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |what: String| told.push(what);
    tell(format!("{:?}", db.put("a", "1").unwrap()));
    tell(format!("{:?}", db.put_with("b", "2", with_lease(404)).unwrap_err()));
    grant(db, 7);
    tell(format!("{:?}", db.put_with("b", "2", with_lease(7)).unwrap()));
    tell(format!("{:?}", run(db, [Put::new("c", "3").into(), Op::from(etclite::Delete::new("a"))]).unwrap()));
    tell(format!("{:?}", db.put_if_absent("c", "x").unwrap()));
    tell(format!("{:?}", db.compact(3).unwrap()));
    tell(format!("{:?}", db.get_at("c", 2).unwrap_err()));
    tell(format!("{:?}", db.get_at("c", 99).unwrap_err()));
    tell(format!("{:?}", db.lease(7).revoke().unwrap()));
    tell(format!("{:?}", db.query(prefix("")).unwrap()));
    tell(format!("{:?}", db.hash(0).unwrap()));
    tell(format!("{:?}", db.put("", "").unwrap_err()));
    tell(events(db, 3).join(" "));
    told
}

#[test]
fn x_12_same_answers_errors_and_revisions_as_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = story(&Db::open(dir.path().join("store")).unwrap());
    assert_eq!(story(&Db::in_memory().unwrap()), on_disk);
}

#[test]
fn x_12_stores_are_independent_and_leave_nothing() {
    let (one, two) = (Db::in_memory().unwrap(), Db::in_memory().unwrap());
    put_all(&one, &[("a", "1"), ("b", "1")]);
    assert_eq!((one.revision().get(), two.revision().get(), two.count(..).unwrap()), (3, 1, 0));
    let clone = one.clone();
    drop(one);
    assert_eq!(value(&clone, "a").as_deref(), Some("1"));
    clone.close().unwrap();
    assert!(matches!(clone.get("a"), Err(Error::Closed)));
    assert_eq!(Db::in_memory().unwrap().count(..).unwrap(), 0);
    assert_eq!(two.put("a", "2").unwrap().revision, 2);
}

#[test]
fn x_12_backup_writes_a_store_that_opens() {
    let db = Db::in_memory().unwrap();
    grant(&db, 7);
    put_all(&db, &[("a", "1"), ("a", "2"), ("b", "1")]);
    db.put_with("l", "1", with_lease(7)).unwrap();
    db.delete("b").unwrap();
    db.compact(3).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy");
    assert_eq!(db.backup(&path).unwrap(), 6);
    assert!(db.backup(&path).is_err(), "it never overwrites");
    let copy = Db::open(&path).unwrap();
    assert_eq!(
        (copy.hash(0).unwrap(), copy.revision(), copy.compact_revision().get()),
        (db.hash(0).unwrap(), db.revision(), 3)
    );
    assert_eq!(all_keys(&copy), ["a", "l"]);
    assert_eq!(get(&copy, "a"), kv("a", "2", [2, 3, 2]));
    assert_eq!(copy.get_at("b", 5).unwrap(), Some(kv("b", "1", [4, 4, 1])));
    assert_eq!(lease_keys(&copy, 7), ["l"]);
    assert_eq!(events(&copy, 3), events(&db, 3));
    // They part from here.
    assert_eq!(copy.put("a", "copy").unwrap().revision, 7);
    assert_eq!(db.put("a", "original").unwrap().revision, 7);
    assert!(copy.check().unwrap().is_clean());
    copy.close().unwrap();
    assert_eq!(value(&Db::open(&path).unwrap(), "a").as_deref(), Some("copy"));
}

#[test]
fn x_12_more_than_a_memtable() {
    let db = Options::new().in_memory().unwrap();
    // More than the 32 MiB of a memtable, in requests of a megabyte.
    let value = vec![b'v'; 1 << 20];
    for number in 0..80 {
        db.put(format!("k{number:02}"), &value).unwrap();
    }
    db.delete(KeyRange::between("k10", "k20")).unwrap();
    assert_eq!(db.count(prefix("k")).unwrap(), 70);
    for number in (0..10).chain(20..80) {
        assert_eq!(db.get(format!("k{number:02}")).unwrap().unwrap().value.len(), 1 << 20);
    }
    db.compact_physical(db.revision()).unwrap();
    assert_eq!(db.count(prefix("k")).unwrap(), 70);
    assert!(db.check().unwrap().is_clean());
}

#[test]
fn x_12_leases_end_in_memory_too() {
    let db = Db::in_memory().unwrap();
    let mut watch = db.watch("a").start().unwrap();
    let lease = db.grant(Duration::from_millis(20)).unwrap();
    db.put_with("a", "1", with_lease(lease.id().get())).unwrap();
    assert_eq!(watch.next().unwrap().unwrap().events().len(), 1);
    // Blocks until the lease has ended.
    let batch = watch.next().unwrap().unwrap();
    assert_eq!((batch.events()[0].kind, batch.revision().get()), (etclite::EventKind::Delete, 3));
    assert!(matches!(lease.keep_alive(), Err(Error::LeaseNotFound)));
}
