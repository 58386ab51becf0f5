//! CW-02, that a client never sees the past again; and of CW-08 what touches files: options from one, and snapshots with
//! their checksums.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use etclite::{Db, Error, HashResponse, Invalid, Options, Range, prefix};
use tempfile::tempdir;

/// In one process all handles are one client: nothing that anybody was told is unseen by a read that begins afterwards.
#[test]
fn cw_02_no_read_is_older_than_what_was_seen() {
    let db = Db::in_memory().unwrap();
    let (seen, done) = (AtomicU64::new(1), AtomicBool::new(false));
    thread::scope(|scope| {
        let writers = [0, 1].map(|writer| {
            let (db, seen) = (db.clone(), &seen);
            scope.spawn(move || {
                for n in 0..2_000 {
                    let revision = db.put(format!("k{writer}"), n.to_string()).unwrap().revision;
                    seen.fetch_max(revision.get(), Ordering::AcqRel);
                }
            })
        });
        for _ in 0..2 {
            let (db, seen, done) = (db.clone(), &seen, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    let before = seen.load(Ordering::Acquire);
                    let read = db.query(Range::new(prefix("k"))).unwrap();
                    let newest = read.kvs.iter().map(|kv| kv.mod_revision.get()).max().unwrap_or(1);
                    assert!(read.revision.get() >= before, "{} after {before} was seen", read.revision);
                    assert!(newest >= before, "a key of {newest} after {before} was seen");
                    assert!(db.revision().get() >= before);
                    seen.fetch_max(read.revision.get(), Ordering::AcqRel);
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
    });
    assert_eq!(seen.load(Ordering::Acquire), 4_001);
}

#[test]
fn cw_08_options_from_a_file() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("app.conf");
    let text = "# an operator's\n\n request_bytes_max=4KiB\r\nmin_ttl = 5s\ncursors_max = 1 \nwatches_max = 1";
    fs::write(&file, text).unwrap();
    let db = Options::from_file(&file).unwrap().in_memory().unwrap();
    assert!(matches!(db.put("a", [0; 4097]), Err(Error::TooLarge { max: 4096, .. })));
    assert_eq!(db.grant(Duration::from_secs(1)).unwrap().granted(), Some(Duration::from_secs(5)));
    db.cursor("one", "a").create().unwrap();
    assert!(matches!(db.cursor("two", "a").create(), Err(Error::Full { max: 1, .. })));
    // What the program says afterwards counts, and what the file leaves out is as ever.
    let options = Options::from_file(&file).unwrap().request_bytes_max(10_000);
    assert!(options.in_memory().unwrap().put("a", [0; 4097]).is_ok());
    fs::write(&file, "create = false\n").unwrap();
    let missing = Options::from_file(&file).unwrap().open(dir.path().join("none"));
    assert!(missing.is_err());
}

#[test]
fn cw_08_a_mistake_in_the_file_passes_for_no_default() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("app.conf");
    let mistakes = [
        ("quota = 1", 1, "no option of that name"),
        ("\n# here\nlog_hook = true", 3, "no option of that name"),
        ("create", 1, "not of the form name = value"),
        ("create = yes", 1, "neither true nor false"),
        ("durability = synced\ndurability = synced", 2, "set before"),
        ("durability = Synced", 1, "none of synced, written and buffered"),
        ("lock_wait = 5", 1, "no unit of time: ms, s, m, h"),
        ("lock_wait = s", 1, "no duration such as 5s or 1500ms"),
        ("lock_wait = 18446744073709551615h", 1, "too long"),
        ("quota_bytes = 1KB", 1, "no unit of size: KiB, MiB, GiB"),
        ("quota_bytes = -1", 1, "no number of bytes such as 4096 or 64KiB"),
        ("quota_bytes = 17179869184GiB", 1, "too many bytes"),
        ("watches_max = 1KiB", 1, "no number"),
    ];
    for (text, at, why) in mistakes {
        fs::write(&file, text).unwrap();
        match Options::from_file(&file) {
            Err(error @ Error::InvalidArgument(Invalid::Setting { line, what })) => {
                assert_eq!((line, what), (at, why), "{text}");
                assert_eq!(error.to_string(), format!("line {at} of the options: {why}"));
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    // A bound is the store's to check.
    fs::write(&file, "watches_max = 0").unwrap();
    assert!(matches!(Options::from_file(&file).unwrap().in_memory(), Err(Error::InvalidArgument(_))));
    fs::write(&file, "#".repeat((64 << 10) + 1)).unwrap();
    assert!(matches!(Options::from_file(&file), Err(Error::TooLarge { max: 65_536, .. })));
    fs::write(&file, [b'#', 0xff]).unwrap();
    assert!(matches!(Options::from_file(&file), Err(Error::Io { .. })));
    for path in [dir.path(), &dir.path().join("none")] {
        assert!(matches!(Options::from_file(path), Err(Error::Io { .. })));
    }
}

/// The hash of what a store holds, if it opens and finds nothing wrong with itself.
fn hash_of_whole(path: &Path) -> Option<HashResponse> {
    let db = Options::new().create(false).read_only(true).open(path).ok()?;
    let is_clean = db.check().is_ok_and(|report| report.is_clean());
    is_clean.then(|| db.hash(0).unwrap())
}

/// etcd's snapshot is a file with a hash behind it. Ours is a store, in which whatever holds data has a checksum of its
/// own; and the two can be compared by the hash of all that they hold.
#[test]
fn cw_08_a_snapshot_carries_its_checksums() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("snapshot");
    let db = Db::in_memory().unwrap();
    for n in 0..200 {
        db.put(format!("k{:02}", n % 50), format!("{n}").repeat(20)).unwrap();
    }
    let (revision, hash) = (db.backup(&path).unwrap(), db.hash(0).unwrap());
    db.put("k00", "later").unwrap();
    let copy = Db::open(&path).unwrap();
    assert_eq!((copy.revision(), copy.hash(0).unwrap()), (revision, hash));
    copy.close().unwrap();
    assert_eq!(hash_of_whole(&path), Some(hash));
    let runs: Vec<_> = fs::read_dir(path.join("run")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!runs.is_empty());
    for run in runs {
        let whole = fs::read(&run).unwrap();
        let mut noticed = 0;
        for at in (0..whole.len()).step_by(whole.len() / 64 + 1) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&run, &damaged).unwrap();
            // Or it is one of those that fill up a block, and hold nothing.
            match hash_of_whole(&path) {
                None => noticed += 1,
                Some(found) => assert_eq!(found, hash, "byte {at} of {} was changed", whole.len()),
            }
        }
        assert!(noticed > 16, "only {noticed} were noticed");
        fs::write(&run, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(hash_of_whole(&path), None, "its last byte is gone");
        fs::write(&run, &whole).unwrap();
    }
    assert_eq!(hash_of_whole(&path), Some(hash));
}
