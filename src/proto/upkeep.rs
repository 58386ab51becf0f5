//! Status, hashes, alarms: what etcd's Maintenance service answers for a store that is a healthy cluster of one.

use super::etcdserverpb as pb;
use super::etclitepb as our;
use super::identity::{Identity, RAFT_TERM, wire_count, wire_revision};
use super::request::positive;
use crate::db::Db;
use crate::engine::inspect::Health;
use crate::error::{Error, Result};
use crate::kv::Revision;

/// Whose behaviour is followed: clients parse it (CL-10).
const ETCD_VERSION: &str = "3.7.1";

/// The version of what is stored, in etcd's terms.
const STORAGE_VERSION: &str = "3.7.0";

pub(super) fn status(db: &Db, identity: Identity, _: pb::StatusRequest) -> Result<pb::StatusResponse> {
    let stats = db.stats();
    let revision = stats.revision;
    Ok(pb::StatusResponse {
        header: Some(identity.header(revision)),
        version: ETCD_VERSION.to_owned(),
        db_size: wire_count(stats.run_bytes.saturating_add(stats.memtable_bytes)),
        leader: identity.member_id(),
        raft_index: revision.get(),
        raft_term: RAFT_TERM,
        raft_applied_index: revision.get(),
        errors: problem(db)?.into_iter().collect(),
        db_size_in_use: wire_count(stats.live_bytes),
        is_learner: false,
        storage_version: STORAGE_VERSION.to_owned(),
        db_size_quota: wire_count(db.engine().options.quota_bytes),
        downgrade_info: Some(pb::DowngradeInfo::default()),
    })
}

/// What is wrong with a store that is open, in words.
fn problem(db: &Db) -> Result<Option<String>> {
    match db.health() {
        Health::Closed => Err(Error::Closed),
        Health::Poisoned(error) | Health::Degraded(error) => Ok(Some(error.to_string())),
        Health::Ok | Health::ReadOnly => Ok(None),
    }
}

/// Differs from etcd: a negative revision is compacted; there the hash of nothing is answered.
pub(super) fn hash_kv(db: &Db, identity: Identity, request: pb::HashKvRequest) -> Result<pb::HashKvResponse> {
    if request.revision < 0 {
        return Err(Error::Compacted { compacted: db.compact_revision() });
    }
    let hash = db.hash(positive(request.revision))?;
    Ok(pb::HashKvResponse {
        header: Some(identity.header(hash.revision)),
        hash: hash.hash,
        compact_revision: wire_revision(hash.compact_revision),
        hash_revision: wire_revision(hash.hash_revision),
    })
}

pub(super) fn hash(db: &Db, identity: Identity, _: pb::HashRequest) -> Result<pb::HashResponse> {
    let hash = db.hash(Revision::ZERO)?;
    Ok(pb::HashResponse { header: Some(identity.header(hash.revision)), hash: hash.hash })
}

/// There is no state of alarm (CP-09): the quota is looked at, and raising or taking back an alarm does nothing.
pub(super) fn alarm(db: &Db, identity: Identity, request: pb::AlarmRequest) -> Result<pb::AlarmResponse> {
    let (stats, quota) = (db.stats(), db.engine().options.quota_bytes);
    db.engine().check_open()?;
    let nospace = i32::from(pb::AlarmType::Nospace);
    let is_asked = request.action == i32::from(pb::alarm_request::AlarmAction::Get)
        && (request.alarm == i32::from(pb::AlarmType::None) || request.alarm == nospace)
        && (request.member_id == 0 || request.member_id == identity.member_id());
    let is_full = quota != 0 && stats.live_bytes >= quota;
    let alarm = pb::AlarmMember { member_id: identity.member_id(), alarm: nospace };
    let alarms = if is_asked && is_full { vec![alarm] } else { Vec::new() };
    Ok(pb::AlarmResponse { header: Some(identity.header(stats.revision)), alarms })
}

/// Never needed, and blocks nobody: a merge of what can be merged begins (CP-11).
pub(super) fn defragment(db: &Db, identity: Identity, _: pb::DefragmentRequest) -> Result<pb::DefragmentResponse> {
    db.engine().check_open()?;
    db.engine().kick_merge();
    Ok(pb::DefragmentResponse { header: Some(identity.header(Revision::ZERO)) })
}

pub(super) fn sync(db: &Db, identity: Identity, request: our::SyncRequest) -> Result<our::SyncResponse> {
    if request.flush {
        db.flush()?
    } else {
        db.sync()?
    };
    Ok(our::SyncResponse { header: Some(identity.header(db.revision())) })
}

pub(super) fn stats(db: &Db, identity: Identity, _: our::StatsRequest) -> Result<our::StatsResponse> {
    let problem = problem(db)?.unwrap_or_default();
    let stats = db.stats();
    Ok(our::StatsResponse {
        header: Some(identity.header(stats.revision)),
        compact_revision: wire_revision(stats.compact_revision),
        synced_revision: wire_revision(stats.synced_revision),
        recovered_revision: wire_revision(stats.recovered_revision),
        epoch: stats.epoch,
        memtable_bytes: stats.memtable_bytes,
        memtables: stats.memtables,
        runs: stats.runs,
        run_bytes: stats.run_bytes,
        run_entries: stats.run_entries,
        live_bytes: stats.live_bytes,
        log_segments: stats.log_segments,
        logged_bytes: stats.logged_bytes,
        leases: stats.leases,
        operation_ids: stats.operation_ids,
        cursors: stats.cursors,
        watches: stats.watches,
        snapshots: stats.snapshots,
        pinned_bytes: stats.pinned_bytes,
        problem,
    })
}
