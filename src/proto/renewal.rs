//! Renewals of leases, by the second and by the millisecond, alone and in a batch.

use super::etcdserverpb as pb;
use super::etclitepb as our;
use super::identity::Identity;
use super::reply::Reply;
use super::request::decode;
use super::response::{seconds_up, wire_millis};
use crate::db::{BatchOp, BatchResponse, Db};
use crate::error::{Error, Result};
use crate::kv::LeaseId;

/// A renewal that was read from a message.
pub(super) struct Renewal {
    pub(super) id: LeaseId,
    /// Whether it is etcd's message, which counts in seconds.
    by_second: bool,
}

impl Renewal {
    /// The renewal that the bytes of one of the two operations are.
    pub(super) fn read(operation: u32, bytes: &[u8]) -> Result<Renewal> {
        let by_second = operation == super::LEASE_KEEPALIVE;
        let id = if by_second {
            decode::<pb::LeaseKeepAliveRequest>(bytes)?.id
        } else {
            decode::<our::LeaseKeepAliveRequest>(bytes)?.id
        };
        Ok(Renewal { id: LeaseId::new(id), by_second })
    }

    pub(super) fn run(self, db: &Db) -> Result<Reply> {
        let ended = db.batch([BatchOp::KeepAlive(self.id)]).pop().expect("an answer for each operation");
        self.answer(db, ended)
    }

    /// The reply that tells how it ended. To etcd's message a lease that is gone is a TTL of zero.
    pub(super) fn answer(self, db: &Db, ended: Result<BatchResponse>) -> Result<Reply> {
        let id = self.id.get();
        let header = |revision| Some(Identity::of(db).header(revision));
        match ended {
            Ok(BatchResponse::KeepAlive { revision, ttl, .. }) if self.by_second => {
                Ok(Reply::encode(&pb::LeaseKeepAliveResponse { header: header(revision), id, ttl: seconds_up(ttl) }))
            }
            Ok(BatchResponse::KeepAlive { revision, ttl, .. }) => Ok(Reply::encode(&our::LeaseKeepAliveResponse {
                header: header(revision),
                id,
                ttl_ms: wire_millis(ttl),
            })),
            // What ended it is visible by now (LE-04).
            Err(Error::LeaseNotFound) if self.by_second => {
                Ok(Reply::encode(&pb::LeaseKeepAliveResponse { header: header(db.revision()), id, ttl: 0 }))
            }
            Err(error) => Err(error),
            Ok(other) => unreachable!("a renewal answers {other:?}"),
        }
    }
}
