//! A store made from a snapshot beside what the etcd that made the snapshot answered.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use etclite::import::{ImportOptions, ImportProgress, ImportStep, import_etcd};
use etclite::io::Disk;
use etclite::io::memory::MemoryDisk;
use etclite::io::sim::SimClock;
use etclite::testing::{import_etcd_to, open_on};
use etclite::{Db, Error, KeyRange, Options};

use crate::answers::answers;
use crate::{SIZES, file, fixture, import, import_in_all_sizes, small};

/// Compares line by line, and shows the first lines that differ.
fn compare(db: &Db, dir: &Path, in_full: bool) {
    let recorded = std::fs::read_to_string(dir.join("answers.txt")).unwrap();
    let recorded: Vec<&str> = recorded.lines().collect();
    let ours = answers(db, in_full);
    for (at, (ours, recorded)) in ours.iter().zip(&recorded).enumerate() {
        assert_eq!(ours, recorded, "line {}", at + 1);
    }
    assert_eq!(ours.len(), recorded.len());
}

/// Every retained revision field by field, leases, the watch from the compact revision, the refusals beyond both ends.
#[test]
fn ct_05_small_snapshot_answers_as_etcd_did() {
    import_in_all_sizes(&small(), &ImportOptions::default(), |imported| {
        compare(&imported.db, &fixture("etcd-snapshot"), true);
        assert_eq!(imported.report.revision, imported.db.revision());
        assert_eq!(imported.report.compact_revision, imported.db.compact_revision());
        assert_eq!(imported.report.leases, 4);
    });
}

/// The same through a real directory, opened again after it was written to.
#[test]
fn a_store_on_disk_goes_on_from_the_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (source, store) = (fixture("etcd-snapshot").join("snapshot.db"), dir.path().join("app.etcl"));
    let mut told: Vec<ImportProgress> = Vec::new();
    let report = import_etcd(&source, &store, &ImportOptions::default(), &mut |progress| told.push(*progress)).unwrap();
    assert!(told.iter().all(|progress| progress.done <= progress.total));
    assert_eq!(told.first().map(|progress| progress.step), Some(ImportStep::Verify));
    let last = told.last().unwrap();
    assert_eq!((last.step, last.done, last.changes), (ImportStep::Read, last.total, report.changes));

    let db = Db::open(&store).unwrap();
    compare(&db, &fixture("etcd-snapshot"), true);
    let next = db.put("after", "1").unwrap().revision;
    assert_eq!(next, report.revision + 1, "revisions go on (RV-02)");
    db.compact(report.revision).unwrap();
    db.close().unwrap();
    let db = Db::open(&store).unwrap();
    assert_eq!((db.revision(), db.compact_revision()), (next, report.revision));
    assert!(matches!(db.get_at("after", report.revision - 1), Err(Error::Compacted { .. })));
    assert!(db.check().unwrap().is_clean());
    db.close().unwrap();
    let again = import_etcd(&source, &store, &ImportOptions::default(), &mut |_| {}).unwrap_err();
    let Error::Io { source, .. } = &again else { panic!("{again}") };
    assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists, "an existing path is refused");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

/// Two imports of one snapshot are two stores, equal in what they hold.
#[test]
fn each_import_has_an_identity_of_its_own() {
    let options = ImportOptions::default();
    let dir = tempfile::tempdir().unwrap();
    let source = fixture("etcd-snapshot").join("snapshot.db");
    let ids = ["a", "b"].map(|name| {
        import_etcd(&source, dir.path().join(name), &options, &mut |_| {}).unwrap();
        let db = Db::open(dir.path().join(name)).unwrap();
        (db.stats().cluster_id, db.stats().member_id, db.hash(0).unwrap().hash)
    });
    assert_ne!(ids[0].0, ids[1].0);
    assert_ne!(ids[0].1, ids[1].1);
    assert_eq!(ids[0].2, ids[1].2);
}

/// An imported lease has its whole granted time before it when the store is first opened, however long after the import;
/// from then on its time runs as that of any lease, while the store is closed too.
#[test]
fn le_08_imported_leases_begin_anew() {
    let (disk, clock) = (Arc::new(MemoryDisk::new()) as Arc<dyn Disk>, SimClock::new(1));
    import_etcd_to(file(&small()), &disk, &clock, &ImportOptions::default(), SIZES[0], &mut |_| {}).unwrap();
    let second = Duration::from_secs(1);
    let open = || open_on(disk.clone(), Arc::new(clock.clone()), Options::new()).unwrap();
    let remaining = |db: &Db| db.lease(7).time_to_live().unwrap().unwrap().remaining;
    clock.advance(3600 * second);
    let db = open();
    assert_eq!(remaining(&db), 600 * second);
    clock.advance(10 * second);
    assert_eq!(remaining(&db), 590 * second);
    db.close().unwrap();
    clock.advance(20 * second);
    let db = open();
    assert_eq!(remaining(&db), 570 * second);
    assert_eq!(db.lease(7).keep_alive().unwrap(), 600 * second);
}

/// They hold the keys that they held, and take them along.
#[test]
fn le_09_imported_leases_hold_their_keys() {
    import_in_all_sizes(&small(), &ImportOptions::default(), |imported| {
        let db = &imported.db;
        let revision = db.revision();
        assert_eq!(db.lease(7).revoke().unwrap(), revision + 1);
        let held: Vec<_> = db.range(KeyRange::prefix("lock/")).unwrap().map(|kv| kv.unwrap().key).collect();
        assert_eq!(held, ["lock/d", "lock/moves"], "lock/a and lock/c were of lease 7");
        db.delete("lock/moves").unwrap();
        assert!(db.lease(0x2a0b_c0de_0000_0001).time_to_live().unwrap().unwrap().keys.is_empty());
    });
}

/// etcdutl's `--bump-revision` and `--mark-compacted`.
#[test]
fn ct_05_revisions_never_fall() {
    let options = ImportOptions { bump_revision: 1000, mark_compacted: true, ..ImportOptions::default() };
    import_in_all_sizes(&small(), &options, |imported| {
        assert_eq!(imported.db.revision(), 1037);
        assert_eq!(imported.db.compact_revision(), 1037);
        assert_eq!(imported.db.count(KeyRange::all()).unwrap(), 16);
        assert!(matches!(imported.db.get_at("config/00", 1036), Err(Error::Compacted { .. })));
        assert_eq!(imported.db.put("next", "").unwrap().revision, 1038);
    });
    let options = ImportOptions { bump_revision: 1000, ..ImportOptions::default() };
    import_in_all_sizes(&small(), &options, |imported| {
        assert_eq!((imported.db.revision().get(), imported.db.compact_revision().get()), (1037, 26));
        assert_eq!(imported.db.get_at("large", 900).unwrap().unwrap().value, "small now");
        assert_eq!(imported.db.get_at("empty", 36).unwrap().unwrap().version, 2);
    });
    let options = ImportOptions { bump_revision: 1 << 62, ..ImportOptions::default() };
    assert!(matches!(import(&small(), &options, SIZES[0]).err(), Some(Error::InvalidArgument(_))));
}

/// 10,000 keys from an etcd that is started for it, with `ETCLITE_ETCD` set; it takes about a minute.
#[test]
fn ct_05_ten_thousand_keys_answer_as_etcd_did() {
    if std::env::var_os("ETCLITE_ETCD").is_none() {
        println!("skipped: ETCLITE_ETCD is not set");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = fixture("etcd-snapshot").join("make.py");
    let made = Command::new("python3").arg(script).arg("big").arg(dir.path()).status().unwrap();
    assert!(made.success());
    let source = dir.path().join("snapshot.db");
    let store = dir.path().join("app.etcl");
    import_etcd(&source, &store, &ImportOptions::default(), &mut |_| {}).unwrap();
    let db = Db::open(&store).unwrap();
    compare(&db, dir.path(), false);
    assert!(db.check().unwrap().is_clean());
    db.close().unwrap();
    let bytes = std::fs::read(&source).unwrap();
    // In many small runs, merged several times over; and the member's own file, which has no hash.
    let many = import(&bytes, &ImportOptions::default(), (100_000, 4)).unwrap();
    compare(&many.db, dir.path(), false);
    assert!(many.db.check().unwrap().is_clean());
    let (member, store) = (dir.path().join("member.db"), dir.path().join("member.etcl"));
    let options = ImportOptions { skip_hash_check: true, ..ImportOptions::default() };
    import_etcd(&member, &store, &options, &mut |_| {}).unwrap();
    compare(&Db::open(&store).unwrap(), dir.path(), false);
}
