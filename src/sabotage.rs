//! Planted bugs: each suite must catch the ones that are its business, or it is not worth its time.
//!
//! A test plants one bug on its own thread; a store without background threads then runs into it there. Without the
//! feature `_testing` nothing is planted and the questions compile to nothing.

/// The bugs, with their numbers in the sabotage matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// S1: the log is not synced.
    LogSyncSkipped,
    /// S2: a directory is not synced after a file was created in it.
    DirectorySyncSkipped,
    /// S3: a write is answered before it is synced.
    ReplyBeforeSync,
    /// S4: readers and watchers see what is not synced.
    VisibleBeforeSync,
    /// S5: the catalog names a run that is not synced.
    EditBeforeRunSync,
    /// S6: a log segment is removed before the edit that covers it is durable.
    SegmentRemovedEarly,
    /// S7: the checkpoint moves in another transaction than the runs.
    CheckpointApart,
    /// S10: any bad frame is taken for the end of the log.
    AnyBadFrameEnds,
    /// S11: a failed sync is tried again, then acknowledged.
    SyncRetried,
    /// S12: a merge drops a tombstone above an older value.
    TombstoneDropped,
    /// S13: a watch resumes one revision late.
    WatchOffByOne,
    /// S14: a revision's events are split into two batches.
    RevisionSplit,
    /// S15: progress is told ahead of events.
    ProgressAhead,
    /// S16: the event array hands over one event late.
    EventLate,
    /// S17: a lease is refreshed by replay.
    LeaseRefreshed,
    /// S18: expiry is applied whatever epoch it saw.
    ExpiryWithoutEpoch,
    /// S27: a flush forgets the operation ids of its memtable.
    OperationForgotten,
    /// S30: a fence holds whatever became of its lock.
    FenceNotChecked,
    /// S28: a fence does not look at the clock: only what has ended a lease counts.
    DeadlineNotSeen,
    /// S29: a lease that had lapsed is alive again after a recovery.
    LapseLost,
    /// S31: a cursor's advance is not in the record of its txn.
    AdvanceApart,
}

#[cfg(feature = "_testing")]
mod planted {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug on this thread, or removes it.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether a bug is planted here.
    pub(crate) fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "_testing")]
pub(crate) use planted::is_planted;
#[cfg(feature = "_testing")]
pub use planted::plant;

/// Whether a bug is planted here: never, without the suites.
#[cfg(not(feature = "_testing"))]
#[inline(always)]
pub(crate) const fn is_planted(_: Bug) -> bool {
    false
}
