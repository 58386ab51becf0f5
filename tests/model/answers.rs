//! What the model, its generator and its harness talk about: answers and failures.

use super::Blob;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kv {
    pub(crate) key: Blob,
    pub(crate) value: Blob,
    pub(crate) create: u64,
    pub(crate) modified: u64,
    pub(crate) version: u64,
    pub(crate) lease: i64,
}

/// Stands for every hidden lease, whose ids nobody can foresee: they are random, and the model's end here.
pub(crate) const HIDDEN: i64 = i64::MAX;

/// Ids above this are of hidden leases: those of callers are small.
pub(crate) const CALLERS_MAX: i64 = 1_000;

impl Kv {
    fn hide(&mut self) {
        if self.lease > CALLERS_MAX {
            self.lease = HIDDEN;
        }
    }
}

impl Answer {
    /// Makes all hidden leases alike.
    pub(super) fn hide(&mut self) {
        match self {
            Answer::Put(put) => put.prev.iter_mut().for_each(Kv::hide),
            Answer::Range(range) => range.kvs.iter_mut().for_each(Kv::hide),
            Answer::Delete(delete) => delete.prev_kvs.iter_mut().for_each(Kv::hide),
            Answer::Txn(txn) => txn.answers.iter_mut().for_each(Answer::hide),
            Answer::Batches(batches) => batches.iter_mut().flatten().for_each(|event| {
                event.kv.hide();
                event.prev.iter_mut().for_each(Kv::hide);
            }),
            _ => {}
        }
    }
}

/// One change of one key: `kv` is the key afterwards, `None` a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) sub: u64,
    pub(crate) key: Blob,
    pub(crate) kv: Option<Kv>,
}

/// One change as a watcher sees it; of a delete only the key and the deleting revision are set (PD-07).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) delete: bool,
    pub(crate) kv: Kv,
    pub(crate) prev: Option<Kv>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PutAnswer {
    pub(crate) revision: u64,
    pub(crate) prev: Option<Kv>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeleteAnswer {
    pub(crate) revision: u64,
    pub(crate) deleted: u64,
    pub(crate) prev_kvs: Vec<Kv>,
}

/// The model always counts; a store may leave the count out where a limit made it unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeAnswer {
    pub(crate) revision: u64,
    pub(crate) kvs: Vec<Kv>,
    pub(crate) more: bool,
    pub(crate) count: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TxnAnswer {
    pub(crate) revision: u64,
    pub(crate) succeeded: bool,
    pub(crate) answers: Vec<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseInfo {
    pub(crate) id: i64,
    pub(crate) granted_ms: u64,
    pub(crate) remaining_ms: u64,
    pub(crate) keys: Vec<Blob>,
}

/// What an [`Op`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Put(PutAnswer),
    Range(RangeAnswer),
    Delete(DeleteAnswer),
    Txn(TxnAnswer),
    /// Of a grant in a txn: the granted TTL.
    Granted(u64),
    /// Of a revoke in a txn.
    Revoked {
        revision: u64,
        deleted: u64,
    },
    /// Of a compaction or revoke: the revision of the store.
    Revision(u64),
    /// Of a grant or keep-alive: the granted TTL.
    Millis(u64),
    TimeToLive(Option<LeaseInfo>),
    Leases(Vec<LeaseInfo>),
    /// Events in order, never one revision in two batches; the model makes a batch of each revision.
    Batches(Vec<Vec<Event>>),
    /// Up to where a watcher was read; `None` if the slot has none.
    Progress(Option<u64>),
    /// The model has no hash.
    Hash(Option<u64>),
    Once {
        replayed: bool,
        answer: Box<Answer>,
    },
    /// Of a cursor.
    Position(u64),
    Advance {
        revision: u64,
        position: u64,
    },
    /// Cursors with their positions, by name.
    Cursors(Vec<(Blob, u64, bool)>),
    /// Operation ids with the revision of each, oldest first.
    Ids(Vec<(u128, u64)>),
}

/// Why an operation failed: the engine's errors, one for one. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    EmptyKey,
    KeyNotFound,
    ValueProvided,
    LeaseProvided,
    TwoDeadlines,
    EmptyWatchRange,
    TooLarge,
    DuplicateKey,
    Compacted(u64),
    FutureRevision(u64),
    LeaseNotFound,
    LeaseExists,
    SessionExpired,
    CursorNotFound,
    CursorMoved(u64),
    CursorExists,
    AdvanceBackward,
    OperationIdReused,
    ReadWithId,
    /// The operation may have been forgotten; this time nothing was changed.
    Indeterminate,
    /// Anything that the model never answers.
    Other(String),
}
