//! What etcd has no messages for, and is no write: leases by the millisecond, and how far cursors hold a compaction.

use super::call;
use super::etclitepb as our;
use super::identity::{Identity, wire_count, wire_revision};
use super::response::wire_millis;
use crate::db::{Db, LeaseStatus};
use crate::error::{Error, Result};
use crate::kv::LeaseId;

pub(super) fn compact(db: &Db, identity: Identity, request: our::CompactRequest) -> Result<our::CompactResponse> {
    let response = call::compact_to(db, request.revision, request.physical)?;
    Ok(our::CompactResponse {
        header: Some(identity.header(response.revision)),
        compact_revision: wire_revision(response.compact_revision),
    })
}

pub(super) fn lease_time_to_live(
    db: &Db,
    identity: Identity,
    request: our::LeaseTimeToLiveRequest,
) -> Result<our::LeaseTimeToLiveResponse> {
    let found = db.engine().time_to_live(LeaseId::new(request.id), request.keys)?;
    let (time, keys) = found.ok_or(Error::LeaseNotFound)?;
    let lease = our::LeaseStatus {
        id: request.id,
        remaining_ms: wire_millis(time.remaining),
        granted_ms: wire_millis(time.terms.ttl),
        key_count: wire_count(keys.len() as u64),
        keys,
    };
    Ok(our::LeaseTimeToLiveResponse { header: Some(identity.header(db.revision())), lease: Some(lease) })
}

pub(super) fn lease_list(db: &Db, identity: Identity, _: our::LeaseListRequest) -> Result<our::LeaseListResponse> {
    let status = |lease: LeaseStatus| our::LeaseStatus {
        id: lease.id.get(),
        remaining_ms: wire_millis(lease.remaining),
        granted_ms: wire_millis(lease.granted),
        key_count: wire_count(lease.key_count),
        keys: Vec::new(),
    };
    let leases = db.leases()?.into_iter().map(status).collect();
    Ok(our::LeaseListResponse { header: Some(identity.header(db.revision())), leases })
}
