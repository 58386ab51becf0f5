//! The suite can fail: a disk that skips the syncs of one site must be caught within a small budget.

use etclite::io::IoSite;
use etclite::io::sim::SimDisk;

use super::enumerate::{Tally, enumerate};
use super::nested;
use super::workload::run;

/// Workloads that a sabotage may take to be caught.
const WORKLOADS: u64 = 40;

/// How the first workload that catches it says so.
fn caught(find: impl Fn(u64) -> Result<(), String>) -> String {
    let found = (8..8 + WORKLOADS).find_map(|seed| find(seed).err());
    found.expect("the sabotage is caught")
}

fn skipped(site: IoSite) -> String {
    caught(|seed| enumerate(&run(seed, |disk| disk.skip_syncs(site)), &Tally::default(), 500, &mut |_| {}))
}

fn skipped_in_recovery(site: IoSite) -> String {
    let skip = |disk: &SimDisk| disk.skip_syncs(site);
    caught(|seed| nested::search(seed, &Tally::default(), &Tally::default(), &skip))
}

#[test]
fn s1_log_sync_skipped() {
    skipped(IoSite::LogSync);
}

#[test]
fn s2_log_directory_sync_skipped() {
    skipped(IoSite::LogSyncDir);
}

#[test]
fn s2_run_directory_sync_skipped() {
    skipped(IoSite::RunSyncDir);
}

#[test]
fn s2_catalog_directory_sync_skipped() {
    skipped(IoSite::CatalogSyncDir);
}

#[test]
fn s5_run_sync_skipped() {
    skipped(IoSite::RunSync);
}

#[test]
fn catalog_sync_skipped() {
    skipped(IoSite::CatalogSync);
}

#[test]
fn s2_store_directory_sync_skipped() {
    skipped(IoSite::StoreSyncDir);
}

#[test]
fn fill_sync_skipped() {
    skipped(IoSite::LogFillSync);
}

#[test]
fn recovery_sync_skipped() {
    skipped_in_recovery(IoSite::RecoverSync);
}

#[test]
fn recovery_log_directory_sync_skipped() {
    skipped_in_recovery(IoSite::LogSyncDir);
}
