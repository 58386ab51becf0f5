//! What requests are answered with.

use crate::kv::{KeyValue, Revision};
use crate::op::{GrantResponse, RevokeResponse};

/// The answer to a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutResponse {
    /// The revision that the put made.
    pub revision: Revision,
    /// The key as it was before, if asked for and there was one.
    pub prev: Option<KeyValue>,
}

/// The answer to a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteResponse {
    /// The revision that the delete made; if it deleted nothing, the store's.
    pub revision: Revision,
    /// How many keys were deleted.
    pub deleted: u64,
    /// The deleted keys in key order, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// The answer to a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeResponse {
    /// The store's revision when the request was applied, for a read of the past too.
    pub revision: Revision,
    /// The keys, in the order asked for; empty with `count_only`.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut something off.
    pub more: bool,
    /// How many keys the range holds, whatever limit and filters say. `None` if a limit made it unknown and it was
    /// not asked for.
    ///
    /// Differs from etcd: `RangeResponse.count` is always there, so each page pays for the rest of its range.
    pub count: Option<u64>,
}

/// The answer to a txn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnResponse {
    /// The revision that the txn made; if it changed nothing, the store's. Zero in the answer of a nested txn.
    pub revision: Revision,
    /// Whether all compares held.
    pub succeeded: bool,
    /// One response per operation of the branch taken, in order.
    pub responses: Vec<OpResponse>,
}

/// The answer to the advance of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvanceResponse {
    /// As that of a range: an advance changes no key.
    pub revision: Revision,
    /// Where the cursor stands now.
    pub position: Revision,
}

/// The answer to one operation of a txn or a batch. In a txn, a put reports the txn's new revision; anything else does so
/// once it or an earlier operation has changed a key, else the revision before the txn. In a batch each operation has a
/// revision of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpResponse {
    /// Of a put.
    Put(PutResponse),
    /// Of a delete.
    Delete(DeleteResponse),
    /// Of a range.
    Range(RangeResponse),
    /// Of a nested txn.
    Txn(TxnResponse),
    /// Of a grant.
    Grant(GrantResponse),
    /// Of a revoke.
    Revoke(RevokeResponse),
    /// Of the advance of a cursor.
    Advance(AdvanceResponse),
}

impl OpResponse {
    /// The revision of the header, as etcd calls it; zero in the answer of a nested txn.
    pub fn revision(&self) -> Revision {
        match self {
            OpResponse::Put(put) => put.revision,
            OpResponse::Delete(delete) => delete.revision,
            OpResponse::Range(range) => range.revision,
            OpResponse::Txn(txn) => txn.revision,
            OpResponse::Grant(grant) => grant.revision,
            OpResponse::Revoke(revoke) => revoke.revision,
            OpResponse::Advance(advance) => advance.revision,
        }
    }

    /// Whether the operation may have changed something: no read, and neither a delete of nothing nor a txn that did
    /// nothing else.
    pub(crate) fn may_have_written(&self) -> bool {
        match self {
            OpResponse::Range(_) => false,
            OpResponse::Delete(delete) => delete.deleted > 0,
            OpResponse::Txn(txn) => txn.responses.iter().any(OpResponse::may_have_written),
            OpResponse::Put(_) | OpResponse::Grant(_) | OpResponse::Revoke(_) | OpResponse::Advance(_) => true,
        }
    }
}
