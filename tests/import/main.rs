//! The suite `import`: a store made from an etcd snapshot answers as that etcd did, and no file however damaged makes an
//! import panic, hang or leave half a store.
//!
//! Reading order: `answers` writes down what a store answers, in the words of `tests/fixtures/etcd-snapshot/make.py`, which
//! wrote down what an etcd answered; `recorded` compares the two. `craft` makes bbolt files by hand, `rules` imports those
//! that no etcd at hand makes; `damage` damages files; `disks` lets the disk fail, fill up and lose power.

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

mod answers;
mod craft;
mod damage;
mod disks;
mod recorded;
mod rules;

use std::path::PathBuf;
use std::sync::Arc;

use etclite::import::{ImportOptions, ImportReport};
use etclite::io::memory::MemoryDisk;
use etclite::io::sim::SimClock;
use etclite::io::{Disk, DiskFile, IoSite, OpenMode, write_all_at};
use etclite::testing::{import_etcd_to, open_on};
use etclite::{Db, Options, Result};

/// The sizes of the pieces that an import works in: as it does, and so small that there are many runs.
const SIZES: [(u64, usize); 2] = [(64 << 20, 16), (600, 2)];

/// A directory of fixtures.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The small snapshot that is kept, with its hash at the end.
fn small() -> Vec<u8> {
    std::fs::read(fixture("etcd-snapshot").join("snapshot.db")).unwrap()
}

/// A file in memory.
fn file(bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = MemoryDisk::new().open(IoSite::StoreList, "snapshot.db", OpenMode::CreateNew).unwrap();
    write_all_at(&*file, IoSite::StoreList, bytes, 0).unwrap();
    file
}

/// A store in memory made from a snapshot.
struct Imported {
    report: ImportReport,
    db: Db,
}

fn import(bytes: &[u8], options: &ImportOptions, sizes: (u64, usize)) -> Result<Imported> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let clock = SimClock::new(1);
    let report = import_etcd_to(file(bytes), &disk, &clock, options, sizes, &mut |_| {})?;
    let db = open_on(disk, Arc::new(clock), Options::new())?;
    Ok(Imported { report, db })
}

/// Imports with each of [`SIZES`], shows the store, and checks it.
fn import_in_all_sizes(bytes: &[u8], options: &ImportOptions, mut test: impl FnMut(&Imported)) {
    for sizes in SIZES {
        println!("sizes: {sizes:?}");
        let imported = import(bytes, options, sizes).unwrap();
        test(&imported);
        let report = imported.db.check().unwrap();
        assert!(report.is_clean(), "{report:?}");
        imported.db.close().unwrap();
    }
}
