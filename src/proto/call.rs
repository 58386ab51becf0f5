//! What each operation number runs: decode, one verb, encode.

use prost::Message;

use super::etcdserverpb as pb;
use super::identity::Identity;
use super::renewal::Renewal;
use super::reply::Reply;
use super::request::{self, decode, positive, single_key};
use super::response::{seconds_down, seconds_up};
use super::write::Write;
use super::{cursors, ours, upkeep};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::kv::LeaseId;

pub(super) fn dispatch(db: &Db, operation: u32, request: &[u8]) -> Result<Reply> {
    match Write::read(db, operation, request)? {
        Some(write) => write.run(db),
        None => dispatch_other(db, operation, request),
    }
}

/// What is not a write of keys, leases or positions.
pub(super) fn dispatch_other(db: &Db, operation: u32, request: &[u8]) -> Result<Reply> {
    match operation {
        super::RANGE => range(db, request),
        super::COMPACT => with(db, request, compact),
        super::LEASE_KEEPALIVE | super::LEASE_KEEPALIVE_MS => Renewal::read(operation, request)?.run(db),
        super::LEASE_TIME_TO_LIVE => with(db, request, lease_time_to_live),
        super::LEASE_LEASES => with(db, request, lease_leases),
        super::STATUS => with(db, request, upkeep::status),
        super::HASH_KV => with(db, request, upkeep::hash_kv),
        super::HASH => with(db, request, upkeep::hash),
        super::ALARM => with(db, request, upkeep::alarm),
        super::DEFRAGMENT => with(db, request, upkeep::defragment),
        super::COMPACT_WITH => with(db, request, ours::compact),
        super::LEASE_TIME_TO_LIVE_MS => with(db, request, ours::lease_time_to_live),
        super::LEASE_LIST_MS => with(db, request, ours::lease_list),
        super::CURSOR_CREATE => with(db, request, cursors::create),
        super::CURSOR_RESET => with(db, request, cursors::reset),
        super::CURSOR_STATUS => with(db, request, cursors::status),
        super::CURSOR_DROP => with(db, request, cursors::end),
        super::CURSOR_LIST => with(db, request, cursors::list),
        super::SYNC => with(db, request, upkeep::sync),
        super::STATS => with(db, request, upkeep::stats),
        super::MEMBER_ADD..=super::MEMBER_PROMOTE => Err(Error::Unsupported { what: "a change of members" }),
        _ => Err(Error::Unsupported { what: "an operation of that number" }),
    }
}

/// A call whose request and response are messages.
fn with<Q: Message + Default, A: Message>(
    db: &Db,
    request: &[u8],
    call: fn(&Db, Identity, Q) -> Result<A>,
) -> Result<Reply> {
    Ok(Reply::encode(&call(db, Identity::of(db), decode(request)?)?))
}

fn range(db: &Db, request: &[u8]) -> Result<Reply> {
    if let Some(key) = single_key(request) {
        let (kv, revision) = db.engine().get_visible(key)?;
        return Ok(Reply::get(Identity::of(db), revision, kv));
    }
    let plan = request::range(decode(request)?)?;
    let mut response = db.query(plan.range)?;
    if let Some(late_sort) = plan.late_sort {
        late_sort.finish(&mut response);
    }
    Ok(Reply::range(Identity::of(db), response))
}

fn compact(db: &Db, identity: Identity, request: pb::CompactionRequest) -> Result<pb::CompactionResponse> {
    let response = compact_to(db, request.revision, request.physical)?;
    Ok(pb::CompactionResponse { header: Some(identity.header(response.revision)) })
}

/// A store that was never compacted lies above every negative revision too (CP-01).
pub(super) fn compact_to(db: &Db, revision: i64, physical: bool) -> Result<crate::db::CompactResponse> {
    if revision < 0 {
        return Err(Error::Compacted { compacted: db.compact_revision() });
    }
    if physical { db.compact_physical(positive(revision)) } else { db.compact(positive(revision)) }
}

fn lease_time_to_live(
    db: &Db,
    identity: Identity,
    request: pb::LeaseTimeToLiveRequest,
) -> Result<pb::LeaseTimeToLiveResponse> {
    let found = db.engine().time_to_live(LeaseId::new(request.id), request.keys)?;
    let (ttl, granted_ttl, keys) = match found {
        Some((time, keys)) => (seconds_down(time.remaining), seconds_up(time.terms.ttl), keys),
        None => (-1, 0, Vec::new()),
    };
    Ok(pb::LeaseTimeToLiveResponse {
        header: Some(identity.header(db.revision())),
        id: request.id,
        ttl,
        granted_ttl,
        keys,
    })
}

fn lease_leases(db: &Db, identity: Identity, _: pb::LeaseLeasesRequest) -> Result<pb::LeaseLeasesResponse> {
    let leases = db.leases()?.into_iter().map(|lease| pb::LeaseStatus { id: lease.id.get() }).collect();
    Ok(pb::LeaseLeasesResponse { header: Some(identity.header(db.revision())), leases })
}
