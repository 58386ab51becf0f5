//! Flush: a closed memtable becomes a run.

use std::sync::Arc;

use crate::error::Result;
use crate::io::Disk;
use crate::memtable::Memtable;
use crate::store::key::everything;
use crate::store::merge::{Merged, Retention, merge_into};
use crate::store::run::RunInfo;

/// Writes what must be kept of `memtable` as run `id`, synced; `None` if nothing must be kept.
///
/// Versions superseded at or below the compact revision, as it stood when the memtable was closed, are left out: hot
/// keys mostly die here.
pub(crate) fn flush(
    disk: &Arc<dyn Disk>,
    store_id: u128,
    id: u64,
    memtable: &Arc<Memtable>,
    retention: Retention,
) -> Result<Option<RunInfo>> {
    let source = memtable.history_cursor(everything(), u64::MAX);
    merge_into(disk, store_id, id, Merged::new(vec![source], false), retention, &|| false)
}
