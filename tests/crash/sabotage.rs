//! The suite can fail: a disk that skips the syncs of one site, and a bug planted in the engine, must each be caught
//! within a small budget.

use std::panic::catch_unwind;

use etclite::io::IoSite;
use etclite::io::sim::SimDisk;
use etclite::sabotage::{Bug, plant};

use super::enumerate::{Tally, enumerate};
use super::workload::run;
use super::{corrupt, faults, nested};

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

/// A bug in what leads up to the crash; recovery is sound.
fn planted(bug: Bug) {
    caught(|seed| {
        plant(Some(bug));
        let trace = catch_unwind(|| run(seed, |_| ()));
        plant(None);
        // A workload on which the bug shows without a crash says nothing of this suite.
        let Ok(trace) = trace else { return Ok(()) };
        enumerate(&trace, &Tally::default(), 500, &mut |_| {})
    });
}

#[test]
fn s3_reply_before_sync() {
    planted(Bug::ReplyBeforeSync);
}

#[test]
fn s4_visible_before_sync() {
    caught(|seed| faults::search(seed, Bug::VisibleBeforeSync));
}

#[test]
fn s5_edit_before_run_sync() {
    planted(Bug::EditBeforeRunSync);
}

#[test]
fn s6_segment_removed_early() {
    planted(Bug::SegmentRemovedEarly);
}

#[test]
fn s7_checkpoint_apart() {
    planted(Bug::CheckpointApart);
}

#[test]
fn s27_operation_forgotten_at_flush() {
    planted(Bug::OperationForgotten);
}

/// A lease that had lapsed is alive after a recovery, and the fences of a lost lock with it.
#[test]
fn s29_lapse_lost() {
    caught(|seed| faults::search_lapsed(seed, Bug::LapseLost));
}

#[test]
fn s31_advance_apart() {
    planted(Bug::AdvanceApart);
}

#[test]
fn s10_any_bad_frame_ends() {
    caught(|seed| corrupt::search(seed, Bug::AnyBadFrameEnds));
}

#[test]
fn s11_sync_retried() {
    caught(|seed| faults::search(seed, Bug::SyncRetried));
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
