//! Who answers: what all headers have in common.

use super::etcdserverpb::ResponseHeader;
use crate::db::Db;
use crate::kv::Revision;

/// Raft's term as one process tells it (CH-10): a cluster of one that leads itself from the beginning.
pub const RAFT_TERM: u64 = 1;

/// The ids that a store puts in the header of its replies. They are drawn when it is created, and kept.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let identity = etclite::proto::Identity::of(&db);
/// assert_eq!(identity.cluster_id(), db.stats().cluster_id);
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    cluster_id: u64,
    member_id: u64,
}

impl Identity {
    /// Those of a store.
    pub fn of(db: &Db) -> Self {
        let (cluster_id, member_id) = db.engine().identity();
        Identity { cluster_id, member_id }
    }

    /// The cluster that the store is by itself.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// The store as its member.
    pub fn member_id(&self) -> u64 {
        self.member_id
    }

    /// The header of a reply as of `revision`.
    pub fn header(&self, revision: Revision) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            revision: wire_revision(revision),
            raft_term: RAFT_TERM,
        }
    }
}

/// A revision as messages hold it. It fits: it would take a write every nanosecond for three centuries to overflow.
pub(super) fn wire_revision(revision: Revision) -> i64 {
    wire_count(revision.get())
}

/// A count or size as messages hold it.
pub(super) fn wire_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
