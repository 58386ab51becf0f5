//! Files: who may open what, read-only opens, damage, backups, full disks, and what a store tells of itself.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk};
use etclite::io::{Disk, IoSite};
use etclite::testing::{backup_to, open_on, step, with_knobs};
use etclite::{Db, DumpOptions, Error, Health, LogEvent, Options, PutOptions, prefix};

use super::rig::{ROOMY, TINY, contents, delete, events, ids, ms, open_image, open_sim, put, rev};

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.etcl");
    (dir, path)
}

/// Every file with its bytes and time of change.
fn snapshot_of(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::metadata(&path).unwrap();
        let bytes = if meta.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        found.insert(path.clone(), (bytes, meta.mtime(), meta.mtime_nsec()));
        if meta.is_dir() {
            found.extend(snapshot_of(&path));
        }
    }
    found
}

#[test]
fn a_store_is_private_whatever_the_umask() {
    let (_dir, path) = place();
    let db = Db::open(&path).unwrap();
    db.put("a", "1").unwrap();
    db.flush().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    for (file, _) in snapshot_of(&path) {
        let meta = fs::metadata(&file).unwrap();
        assert_eq!(meta.mode() & 0o777, if meta.is_dir() { 0o700 } else { 0o600 }, "{}", file.display());
    }
}

#[test]
fn a_symlink_leads_to_the_same_store() {
    let (dir, path) = place();
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    let db = Db::open(&path).unwrap();
    db.put("a", "1").unwrap();
    assert!(matches!(Db::open(&link), Err(Error::Locked { .. })));
    db.close().unwrap();
    assert_eq!(contents(&Db::open(&link).unwrap()), ["a=1"]);
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let (_dir, path) = place();
    let db = Db::open(&path).unwrap();
    for options in [Options::new(), Options::new().read_only(true)] {
        match options.open(&path) {
            Err(Error::Locked { holder: Some(holder) }) => assert_eq!(holder.pid, std::process::id()),
            other => panic!("{other:?}"),
        }
    }
    drop(db);
    Db::open(&path).unwrap();
}

#[test]
fn what_is_no_store_is_not_touched() {
    let (dir, path) = place();
    fs::write(&path, "a file").unwrap();
    assert!(matches!(Db::open(&path), Err(Error::NotADatabase { .. })));
    assert!(matches!(Db::open(path.join("below")), Err(Error::NotADatabase { .. })));
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter.txt"), "dear").unwrap();
    let before = snapshot_of(&foreign);
    match Db::open(&foreign) {
        Err(Error::NotADatabase { path, .. }) => assert_eq!(path, foreign),
        other => panic!("{other:?}"),
    }
    assert_eq!(snapshot_of(&foreign), before);
}

#[test]
fn a_world_writable_directory_is_refused() {
    let (_dir, path) = place();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Db::open(&path), Err(Error::Io { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    Db::open(&path).unwrap();
}

#[test]
fn missing_and_not_to_be_created() {
    let (_dir, path) = place();
    let missing = Options::new().create(false).open(&path);
    assert!(matches!(&missing, Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound));
    assert!(Options::new().read_only(true).open(&path).is_err());
    assert!(!path.exists());
    assert!(Db::open(path.join("no").join("parent")).is_err());
}

#[test]
fn x_11_read_only_writes_nothing_and_reads_everything() {
    let (_dir, path) = place();
    let db = Db::open(&path).unwrap();
    db.grant_with_id(7, ms(1)).unwrap();
    for i in 0..20 {
        db.put(format!("k{i:02}"), "1").unwrap();
    }
    db.flush().unwrap();
    db.grant_with_id(8, ms(60_000)).unwrap();
    db.put_with("leased", "1", PutOptions::new().lease(8)).unwrap();
    let expected = (contents(&db), db.hash(0).unwrap(), db.revision());
    db.close().unwrap();
    // A tail that was torn: ignored, and not cut.
    let newest = fs::read_dir(path.join("log")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[end.next_multiple_of(8)..][..40].fill(0x5a);
    fs::write(&newest, bytes).unwrap();
    let modes = |mode| {
        for dir in [path.clone(), path.join("log"), path.join("run"), path.join("state")] {
            fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    modes(0o500);
    let before = snapshot_of(&path);
    let db = Options::new().read_only(true).open(&path).unwrap();
    let other = Options::new().read_only(true).open(&path).unwrap();
    assert_eq!((contents(&db), db.hash(0).unwrap(), db.revision()), expected);
    assert_eq!(contents(&other), expected.0);
    assert!(matches!(Db::open(&path), Err(Error::Locked { .. })));
    check_read_only(&db);
    assert!(matches!(db.health(), Health::ReadOnly), "{:?}", db.health());
    db.close().unwrap();
    other.close().unwrap();
    assert_eq!(snapshot_of(&path), before);
    modes(0o700);
    assert_eq!(contents(&Db::open(&path).unwrap()), expected.0);
}

fn check_read_only(db: &Db) {
    let refused = |result: etclite::Result<()>| assert!(matches!(result, Err(Error::ReadOnly)), "{result:?}");
    refused(db.put("a", "1").map(drop));
    refused(db.delete("k01").map(drop));
    refused(db.txn().then([put("a", "1"), delete("b")]).commit().map(drop));
    refused(db.put_if_absent("a", "1").map(drop));
    refused(db.compact(3).map(drop));
    refused(db.compact_physical(3).map(drop));
    refused(db.grant(ms(5)).map(drop));
    refused(db.lease(8).keep_alive().map(drop));
    refused(db.lease(8).revoke().map(drop));
    refused(db.flush());
    refused(db.sync());
    // Time stands still for leases.
    assert_eq!(ids(db), [8]);
    assert_eq!(db.lease(8).time_to_live().unwrap().unwrap().keys, ["leased"]);
    assert_eq!(events(db, prefix("k0"), 2).unwrap().len(), 10);
    let mut watch = db.watch("leased").start().unwrap();
    assert!(watch.next().is_none() && watch.is_ended());
    let mut history = db.watch("k05").from(2).start().unwrap();
    assert_eq!(history.next().unwrap().unwrap().revision(), 7);
    assert!(history.next().is_none());
    assert!(db.check().unwrap().is_clean());
}

#[test]
fn x_11_read_only_beside_an_unclean_end_replays_in_memory() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, TINY);
    for i in 0..40 {
        db.put(format!("k{}", i % 7), i.to_string()).unwrap();
    }
    let expected = (contents(&db), db.hash(0).unwrap());
    let killed = SimDisk::from_image(disk.image());
    // With threads, as everybody opens it: none may find work, or fault, in a store that cannot be written.
    let knobs = etclite::testing::Knobs { manual: false, ..TINY };
    let options = with_knobs(Options::new().read_only(true), knobs);
    let db = open_on(Arc::new(killed.clone()), Arc::new(clock), options).unwrap();
    assert_eq!((contents(&db), db.hash(0).unwrap()), expected);
    assert!(matches!(db.flush(), Err(Error::ReadOnly)));
    db.close().unwrap();
    assert_eq!(killed.position(), 0);
    assert!(matches!(db.health(), Health::Closed));
}

#[test]
fn damaged_files_name_themselves() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    for i in 0..100 {
        db.put(format!("k{i}"), "x".repeat(100)).unwrap();
    }
    db.flush().unwrap();
    db.put("a", "1").unwrap();
    db.put("a", "2").unwrap();
    db.close().unwrap();
    let whole = disk.image();
    let run = whole.files().map(|(path, _)| path.to_owned()).find(|path| path.starts_with("run/")).unwrap();
    let open = |image| open_image(image, &clock, ROOMY);
    let named = |result: etclite::Result<()>, wanted: &str| match result {
        Err(Error::Corrupt { file, .. }) => assert_eq!(file, Path::new(wanted)),
        other => panic!("{wanted}: {other:?}"),
    };
    let mut truncated = whole.clone();
    truncated.mutate(&run, |bytes| bytes.truncate(bytes.len() / 2));
    named(open(truncated).map(drop), &run);
    let mut gone = whole.clone();
    gone.remove(&run);
    named(open(gone).map(drop), &run);
    let mut flipped = whole.clone();
    flipped.flip_bit(&run, 6_000, 3);
    let db = open(flipped).unwrap();
    let report = db.check().unwrap();
    assert_eq!(report.problems[0].file, Path::new(&run));
    named(db.range(..).and_then(Iterator::collect::<etclite::Result<Vec<_>>>).map(drop), &run);
    assert!(db.put("still", "writable").is_ok());
    let mut catalog = whole.clone();
    catalog.mutate("catalog.redb", |bytes| bytes.truncate(5_000));
    named(open(catalog).map(drop), "catalog.redb");
    let mut lost = whole.clone();
    lost.remove("catalog.redb");
    named(open(lost).map(drop), "catalog.redb");
}

fn same_store(db: &Db, copy: &Db) {
    assert_eq!((copy.revision(), copy.compact_revision()), (db.revision(), db.compact_revision()));
    let from = db.compact_revision().get().max(1);
    for at in from..=db.revision().get() {
        assert_eq!(copy.hash(at).unwrap().hash, db.hash(at).unwrap().hash, "at {at}");
    }
    assert_eq!(events(copy, .., from).unwrap(), events(db, .., from).unwrap());
    let leases = |db: &Db| db.leases().unwrap().iter().map(|l| (l.id, l.granted, l.key_count)).collect::<Vec<_>>();
    assert_eq!(leases(copy), leases(db));
    assert!(copy.check().unwrap().is_clean());
}

fn filled(db: &Db) {
    db.grant_with_id(7, ms(60_000)).unwrap();
    for i in 0..30 {
        db.put_with(format!("k{}", i % 8), i.to_string(), PutOptions::new().lease(7 * (i % 2))).unwrap();
        if i == 15 {
            db.delete("k1").unwrap();
            db.compact(10).unwrap();
        }
    }
}

#[test]
fn x_12_a_backup_from_memory_opens_from_disk() {
    let (_dir, path) = place();
    let db = Db::in_memory().unwrap();
    filled(&db);
    assert_eq!(db.backup(&path).unwrap(), db.revision());
    let copy = Db::open(&path).unwrap();
    same_store(&db, &copy);
    copy.put("only", "there").unwrap();
    assert_eq!(db.get("only").unwrap(), None);
}

#[test]
fn a_backup_has_an_identity_of_its_own_and_replaces_nothing() {
    let (dir, path) = place();
    let copy_path = dir.path().join("copy");
    let db = Db::open(&path).unwrap();
    filled(&db);
    db.flush().unwrap();
    db.backup(&copy_path).unwrap();
    let before = snapshot_of(&copy_path);
    assert!(matches!(db.backup(&copy_path), Err(Error::Io { .. })));
    assert!(matches!(db.backup(&path), Err(Error::Io { .. })));
    assert_eq!(snapshot_of(&copy_path), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing half-made is left");
    let copy = Db::open(&copy_path).unwrap();
    same_store(&db, &copy);
    db.close().unwrap();
    copy.close().unwrap();
    // A run of one in the place of a run of the other is noticed.
    let run = |path: &Path| fs::read_dir(path.join("run")).unwrap().next().unwrap().unwrap().path();
    fs::copy(run(&path), run(&copy_path)).unwrap();
    assert!(matches!(Db::open(&copy_path), Err(Error::Corrupt { .. })));
}

#[test]
fn a_backup_under_writes_is_one_moment() {
    let (dir, _) = place();
    let db = Db::in_memory().unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..2_000 {
                db.txn().then([put("a", &i.to_string()), put("b", &i.to_string())]).commit().unwrap();
            }
        });
        let backups: Vec<_> = (0..4)
            .map(|i| {
                let (db, path) = (&db, dir.path().join(format!("{}", i / 2)));
                scope.spawn(move || (db.backup(&path), path))
            })
            .collect();
        // Two race for each name: one of them wins, and what is there is whole.
        let done: Vec<_> = backups.into_iter().map(|backup| backup.join().unwrap()).collect();
        writer.join().unwrap();
        for pair in done.chunks(2) {
            let won = pair.iter().filter_map(|(result, _)| result.as_ref().ok()).collect::<Vec<_>>();
            assert_eq!(won.len(), 1, "{pair:?}");
            let copy = Db::open(&pair[0].1).unwrap();
            assert_eq!(copy.revision(), *won[0]);
            assert_eq!(copy.hash(0).unwrap().hash, db.hash(*won[0]).unwrap().hash);
            let values: Vec<_> = copy.range(..).unwrap().map(|kv| kv.unwrap().value).collect();
            assert!(values.windows(2).all(|pair| pair[0] == pair[1]));
        }
    });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_poisoned_store_reads_and_backs_up_what_was_acknowledged() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let told = told.clone();
        move |event: &LogEvent| told.lock().unwrap().push(format!("{event:?}"))
    };
    let options = with_knobs(Options::new().log_hook(hook), ROOMY);
    let db = open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), options).unwrap();
    filled(&db);
    let (revision, expected) = (db.revision(), contents(&db));
    let mut watch = db.watch(..).from(revision).start().unwrap();
    disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1, kind: FaultKind::SyncLosesData, forever: false });
    let failed = db.put("lost", "1").unwrap_err();
    assert!(matches!(failed, Error::Indeterminate) && failed.applied() == etclite::Applied::Unknown);
    assert!(matches!(db.put("later", "1"), Err(Error::Poisoned)));
    assert!(matches!(db.health(), Health::Poisoned(_)));
    assert!(told.lock().unwrap()[0].starts_with("Poisoned"));
    assert_eq!((db.revision(), contents(&db)), (revision, expected.clone()));
    assert_eq!(watch.try_next().unwrap().unwrap().revision(), revision);
    assert!(matches!(watch.try_next(), Err(Error::Poisoned)));
    let copy: Arc<dyn Disk> = Arc::new(SimDisk::new());
    assert_eq!(backup_to(&db, &copy).unwrap(), revision);
    let copy = open_on(copy, Arc::new(clock.clone()), with_knobs(Options::new(), ROOMY)).unwrap();
    assert_eq!((copy.revision(), contents(&copy), ids(&copy)), (revision, expected, vec![7]));
    assert!(copy.check().unwrap().is_clean());
    db.close().unwrap();
    let reopened = open_sim(&disk, &clock, ROOMY);
    assert!(reopened.revision() >= revision);
    reopened.put("goes on", "1").unwrap();
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, TINY);
    for i in 0..20 {
        db.put(format!("k{i}"), "x".repeat(100)).unwrap();
        step(&db).unwrap();
    }
    disk.set_capacity(Some(disk.used()));
    let mut written = db.revision();
    let full = loop {
        match db.put("k1", "y".repeat(100)) {
            Ok(response) => written = response.revision,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::Full { .. }), "{full:?}");
    assert_eq!(full.applied(), etclite::Applied::No);
    assert!(!matches!(db.health(), Health::Poisoned(_)), "{:?}", db.health());
    assert_eq!(db.revision(), written);
    assert_eq!(db.count(..).unwrap(), 20);
    let refused = step(&db);
    assert!(
        refused.is_ok() || matches!(refused, Err(ref error) if matches!(error, Error::Full { .. } | Error::Io { .. }))
    );
    disk.set_capacity(None);
    assert_eq!(db.put("k2", "z").unwrap().revision, written + 1);
    while step(&db).unwrap() {}
    assert!(db.check().unwrap().is_clean());
    db.close().unwrap();
    assert_eq!(open_sim(&disk, &clock, TINY).revision(), written + 1);
}

#[test]
fn stats_and_health_tell_what_is() {
    let (_dir, path) = place();
    let db = Db::open(&path).unwrap();
    filled(&db);
    let _watch = db.watch(..).start().unwrap();
    let stats = db.stats();
    assert_eq!((stats.revision, stats.compact_revision, stats.synced_revision), (rev(32), rev(10), rev(32)));
    assert_eq!((stats.leases, stats.watches, stats.epoch, stats.recovered_revision), (1, 1, 1, rev(1)));
    assert!(matches!(db.health(), Health::Ok));
    db.flush().unwrap();
    assert_eq!((db.stats().memtable_bytes, db.stats().runs), (0, 1));
    db.close().unwrap();
    assert!(matches!(db.health(), Health::Closed));
    assert!(matches!(db.get("k1"), Err(Error::Closed)));
    let db = Db::open(&path).unwrap();
    assert_eq!((db.stats().epoch, db.stats().recovered_revision), (2, rev(32)));
}

#[test]
fn the_log_hook_hears_of_a_torn_tail() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.put("a", "1").unwrap();
    let mut image = disk.image();
    let log = image.files().map(|(path, _)| path.to_owned()).find(|path| path.starts_with("log/")).unwrap();
    let mut end = 0;
    image.mutate(&log, |bytes| {
        end = (bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1).next_multiple_of(8);
        bytes[end..end + 64].fill(0x77);
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let told = told.clone();
        move |event: &LogEvent| told.lock().unwrap().push(format!("{event:?}"))
    };
    let disk = Arc::new(SimDisk::from_image(image));
    let db = open_on(disk, Arc::new(clock), with_knobs(Options::new().log_hook(hook), ROOMY)).unwrap();
    assert_eq!(contents(&db), ["a=1"]);
    assert_eq!(*told.lock().unwrap(), [format!("TornTail {{ file: {log:?}, offset: {end} }}")]);
}

#[test]
fn a_dump_reads_as_documented() {
    let db = Db::in_memory().unwrap();
    db.put("a", "1").unwrap();
    db.put("a", "two\n").unwrap();
    db.put([0xff], "3").unwrap();
    db.delete(&[0xff]).unwrap();
    let dump = |options: &DumpOptions| {
        let mut out = Vec::new();
        db.dump(&mut out, options).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let hash = db.hash(0).unwrap().hash;
    let live = dump(&DumpOptions::default());
    assert_eq!(
        live,
        [
            r#"{"etclite_dump":1,"revision":5,"compact_revision":0,"history":false}"#.to_owned(),
            r#"{"key":"a","value":"two\n","create_revision":2,"mod_revision":3,"version":2}"#.to_owned(),
            format!(r#"{{"end":true,"kvs":1,"leases":0,"hash":"{hash:08x}"}}"#),
        ]
    );
    let history = dump(&DumpOptions { history: true, ..DumpOptions::default() });
    assert_eq!(history.len(), 6);
    assert_eq!(history[4], r#"{"type":"delete","rev":5,"sub":0,"kv":{"key_b64":"/w==","mod_revision":5}}"#);
    assert_eq!(dump(&DumpOptions { revision: rev(4), prefix: vec![0xff], history: false }).len(), 3);
}
