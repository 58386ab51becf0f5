//! The doors that the test suites open: any disk and clock, shrunken sizes, background work step by step.

use std::sync::Arc;

use crate::db::Db;
use crate::engine::backup::BackupOptions;
use crate::error::Result;
use crate::io::{Clock, Disk};
use crate::options::Options;

/// Sizes of the engine, small enough that rare paths become common.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes that the log is filled ahead at first.
    pub fill_bytes: u64,
    /// Bytes of a memtable before it is closed.
    pub memtable_bytes: usize,
    /// How many runs make a merge.
    pub merge_runs: usize,
    /// Whether runs are mapped where the disk can.
    pub use_map: bool,
    /// Whether background work waits for [`step`] instead of having threads.
    pub manual: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        let tuning = Options::new().tuning;
        Knobs {
            segment_bytes: tuning.segment_bytes,
            fill_bytes: tuning.fill_bytes,
            memtable_bytes: tuning.memtable_bytes,
            merge_runs: tuning.merge_runs,
            use_map: tuning.use_map,
            manual: tuning.manual,
        }
    }
}

/// The options with these sizes.
pub fn with_knobs(mut options: Options, knobs: Knobs) -> Options {
    options.tuning.segment_bytes = knobs.segment_bytes;
    options.tuning.fill_bytes = knobs.fill_bytes;
    options.tuning.memtable_bytes = knobs.memtable_bytes;
    options.tuning.merge_runs = knobs.merge_runs;
    options.tuning.use_map = knobs.use_map;
    options.tuning.manual = knobs.manual;
    let frame = usize::try_from(knobs.segment_bytes / 2).unwrap_or(usize::MAX);
    options.request_bytes_max = options.request_bytes_max.min(frame);
    options
}

/// The options with this limit of the bytes of runs that are merged into one.
pub fn with_merge_bytes_max(mut options: Options, bytes: u64) -> Options {
    options.tuning.merge_bytes_max = bytes;
    options
}

/// Opens a store on any disk and clock.
pub fn open_on(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, options: Options) -> Result<Db> {
    Db::open_on(disk, clock, options)
}

/// Does one piece of background work of a store without threads; false if there is none.
pub fn step(db: &Db) -> Result<bool> {
    db.engine().step()
}

/// Ends the leases that are due.
pub fn expire(db: &Db) -> Result<()> {
    db.engine().expire_due()
}

/// Renews the leases of sessions that are due for it.
pub fn renew(db: &Db) {
    db.keeper().renew_due(db.engine());
}

/// How often somebody who waits for a lock or the like was woken.
pub fn waiter_wakes(db: &Db) -> u64 {
    db.lines().wakes()
}

/// Merges all runs into one.
pub fn merge_all(db: &Db) -> Result<bool> {
    db.engine().merge_some(true)
}

/// The ids of the operations that are remembered, oldest first, with the revision of each.
pub fn remembered(db: &Db) -> Vec<(u128, u64)> {
    db.engine().remembered()
}

/// Backs up to any empty disk.
pub fn backup_to(db: &Db, disk: &Arc<dyn Disk>) -> Result<crate::kv::Revision> {
    db.engine().backup_to(disk, &BackupOptions::default(), &mut |_, _| {})
}

/// Imports an etcd snapshot to any empty disk, in pieces of these sizes: bytes sorted in memory, runs merged into one.
#[cfg(feature = "import-etcd")]
pub fn import_etcd_to(
    snapshot: Arc<dyn crate::io::DiskFile>,
    disk: &Arc<dyn Disk>,
    clock: &dyn Clock,
    options: &crate::import::ImportOptions,
    (chunk_bytes, merge_runs): (u64, usize),
    progress: &mut dyn FnMut(&crate::import::ImportProgress),
) -> Result<crate::import::ImportReport> {
    let sizes = crate::engine::build::Sizes { chunk_bytes, merge_runs, ..crate::engine::build::Sizes::default() };
    crate::import::import_to(snapshot, std::path::Path::new("snapshot.db"), disk, clock, options, sizes, progress)
}
