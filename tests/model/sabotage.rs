//! Bugs planted in the engine that the model must notice, within far fewer sequences than a run has.

use etclite::sabotage::{Bug, plant};

use super::db::DbTarget;
use super::engine::{Simulated, TINY};
use super::generate::{Profile, sequence};
use super::harness::run;

/// How many sequences the model may need.
const SEQUENCES: u64 = 3_000;

/// Plants a bug and expects a difference; the same sequence must pass without it.
fn must_be_caught(bug: Bug) {
    let fresh = || DbTarget::open(Simulated::new(TINY));
    plant(Some(bug));
    let caught = (0..SEQUENCES).map(|seed| sequence(seed, 40, &Profile::ALL)).find(|ops| run(ops, &fresh).is_some());
    plant(None);
    let ops = caught.unwrap_or_else(|| panic!("{bug:?} was not noticed in {SEQUENCES} sequences"));
    assert!(run(&ops, &fresh).is_none(), "without {bug:?} the sequence passes");
}

#[test]
fn s12_tombstone_dropped() {
    must_be_caught(Bug::TombstoneDropped);
}

#[test]
fn s13_watch_off_by_one() {
    must_be_caught(Bug::WatchOffByOne);
}

#[test]
fn s14_revision_split() {
    must_be_caught(Bug::RevisionSplit);
}

#[test]
fn s15_progress_ahead() {
    must_be_caught(Bug::ProgressAhead);
}

#[test]
fn s16_event_late() {
    must_be_caught(Bug::EventLate);
}

#[test]
fn s27_operation_forgotten_at_flush() {
    must_be_caught(Bug::OperationForgotten);
}

#[test]
fn s17_lease_refreshed_by_replay() {
    must_be_caught(Bug::LeaseRefreshed);
}

#[test]
fn s27_fence_not_checked() {
    must_be_caught(Bug::FenceNotChecked);
}

#[test]
fn s29_lapse_lost_on_recovery() {
    must_be_caught(Bug::LapseLost);
}
