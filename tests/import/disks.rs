//! Disks that fail, fill up or lose power, and what an import leaves behind: a whole store, or none.

use std::sync::Arc;

use etclite::import::{ImportOptions, ImportReport, import_etcd};
use etclite::io::sim::{Fault, FaultKind, Image, SimClock, SimDisk, SplitMix64};
use etclite::io::{Disk, DiskFile, IoSite, OpenMode};
use etclite::testing::{import_etcd_to, open_on};
use etclite::{Db, Error, Options, Result};

use crate::answers::answers;
use crate::{SIZES, file, fixture, import, small};

/// So small that runs are written, merged and removed.
const LITTLE: (u64, usize) = SIZES[1];

fn import_on(source: Arc<dyn DiskFile>, disk: &SimDisk) -> Result<ImportReport> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    import_etcd_to(source, &disk, &SimClock::new(1), &ImportOptions::default(), LITTLE, &mut |_| {})
}

/// What a store on this image answers.
fn answers_on(image: Image) -> Vec<String> {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::from_image(image));
    let db = open_on(disk, Arc::new(SimClock::new(2)), Options::new()).unwrap();
    assert!(db.check().unwrap().is_clean());
    answers(&db, true)
}

fn expected() -> Vec<String> {
    answers(&import(&small(), &ImportOptions::default(), SIZES[0]).unwrap().db, true)
}

/// Once the import has returned, no crash can take anything of the store back: so naming its directory is all that is left
/// to do.
#[test]
fn what_was_imported_survives_a_crash() {
    let (disk, expected) = (SimDisk::new(), expected());
    import_on(file(&small()), &disk).unwrap();
    let (record, end) = (disk.record(), disk.position());
    let mut images = vec![record.durable_at(end), record.complete_at(end)];
    record.images_at(end, &mut SplitMix64::new(1), &mut |image| images.push(image));
    for image in images {
        assert_eq!(answers_on(image), expected);
    }
}

/// A crash on the way leaves no store that is less than whole.
#[test]
fn a_crash_on_the_way_leaves_a_whole_store_or_none() {
    let (disk, expected) = (SimDisk::new(), expected());
    import_on(file(&small()), &disk).unwrap();
    let (record, mut whole) = (disk.record(), 0);
    for position in record.crash_points() {
        for image in [record.durable_at(position), record.complete_at(position)] {
            let disk: Arc<dyn Disk> = Arc::new(SimDisk::from_image(image));
            let opened = open_on(disk, Arc::new(SimClock::new(2)), Options::new().create(false));
            if let Ok(db) = opened {
                assert_eq!(answers(&db, true), expected, "at {position}");
                whole += 1;
            }
        }
    }
    assert!(whole > 0 && whole < 2 * disk.position() / 3, "both ends are reached: {whole}");
}

/// Each call on either disk fails in turn, in every way that it may.
#[test]
fn each_call_that_fails_is_told() {
    let expected = expected();
    for kind in [FaultKind::Eio, FaultKind::Enospc, FaultKind::Edquot, FaultKind::Eintr] {
        fail_each_call(kind, &expected);
    }
    for kind in [FaultKind::ShortWrite, FaultKind::ShortRead, FaultKind::SyncLosesData] {
        fail_each_call(kind, &expected);
    }
}

fn fail_each_call(kind: FaultKind, expected: &[String]) {
    let mut failures = 0;
    for on_source in [true, false] {
        for nth in 1.. {
            let (source, disk) = (source_disk(), SimDisk::new());
            let failing = if on_source { &source } else { &disk };
            let snapshot = source.open(IoSite::StoreList, "snapshot.db", OpenMode::Read).unwrap();
            failing.fail(Fault { site: None, nth, kind, forever: false });
            let result = import_on(snapshot, &disk);
            if failing.faults_fired() == 0 {
                result.unwrap();
                break;
            }
            failures += 1;
            match result {
                Ok(_) => assert_eq!(answers_on(disk.image()), expected, "{kind:?} {nth}"),
                Err(Error::Io { .. } | Error::Full { .. }) => {}
                Err(error) => panic!("{kind:?} {nth}: {error:?}"),
            }
        }
    }
    println!("{kind:?}: {failures} calls failed");
    assert!(failures > 5, "{kind:?}");
}

fn source_disk() -> SimDisk {
    let mut image = Image::new();
    image.insert("snapshot.db", &small());
    SimDisk::from_image(image)
}

/// However small the disk is, a full one is told as such, and the space that an import needs is bounded.
#[test]
fn a_full_disk_is_told() {
    let disk = SimDisk::new();
    import_on(file(&small()), &disk).unwrap();
    let used = disk.used();
    let mut refused = 0;
    for capacity in (0..).map(|step| step * 16384) {
        let disk = SimDisk::new();
        disk.set_capacity(Some(capacity));
        match import_on(file(&small()), &disk) {
            Ok(_) => {
                assert!(capacity <= 2 * used, "an import to a store of {used} bytes needs {capacity}");
                break;
            }
            Err(Error::Full { .. }) => refused += 1,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::StorageFull => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(refused > 3);
}

/// What a killed import left is in nobody's way, and a failed one leaves nothing.
#[test]
fn leftovers_are_passed_over_and_failures_leave_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("app.etcl");
    let source = dir.path().join("snapshot.db");
    let killed = dir.path().join("app.etcl.incomplete-1-0");
    std::fs::create_dir_all(killed.join("run")).unwrap();
    std::fs::write(killed.join("run/junk"), "junk").unwrap();

    let mut damaged = small();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    std::fs::write(&source, &damaged).unwrap();
    let refusal = import_etcd(&source, &store, &ImportOptions::default(), &mut |_| {}).unwrap_err();
    assert!(matches!(&refusal, Error::Corrupt { file, .. } if *file == source), "{refusal}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the snapshot, and what was there");

    std::fs::write(&source, small()).unwrap();
    import_etcd(&source, &store, &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(answers(&Db::open(&store).unwrap(), true), expected());
    let missing = dir.path().join("no/where");
    assert!(matches!(import_etcd(&source, &missing, &ImportOptions::default(), &mut |_| {}), Err(Error::Io { .. })));
}

/// Of two imports to one path one makes the store, and the other is refused.
#[test]
fn two_imports_to_one_path_make_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let (source, store) = (fixture("etcd-snapshot").join("snapshot.db"), dir.path().join("app.etcl"));
    let one = || import_etcd(&source, &store, &ImportOptions::default(), &mut |_| {});
    let results = std::thread::scope(|scope| [scope.spawn(one), scope.spawn(one)].map(|thread| thread.join().unwrap()));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert_eq!(answers(&Db::open(&store).unwrap(), true), expected());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
