//! The operations from 1000 on: what etcd has no messages for.

use super::call;
use super::etclitepb as our;
use super::etclitepb::response_op::Response;
use super::identity::{Identity, wire_count, wire_revision};
use super::request::{self, argument, positive};
use super::response::{self, inner, wire_millis};
use super::txn::{self, our_advance, our_grant, our_put};
use crate::db::{Db, LeaseStatus, Operation};
use crate::error::{Error, Result};
use crate::kv::LeaseId;
use crate::op::{DeleteResponse, Op, OpResponse, OperationId, PutResponse, Token, Txn, TxnResponse};

/// The write of that id, if there is one.
fn operation(db: &Db, operation: Option<our::Operation>) -> Option<Operation> {
    let our::Operation { high, low, since } = operation?;
    let operation = db.operation(OperationId::new(u128::from(high) << 64 | u128::from(low)));
    Some(match since {
        Some(since) => operation.since(positive(since)),
        None => operation,
    })
}

fn replay(replayed: bool, truncated: bool) -> Option<our::Replay> {
    Some(our::Replay { replayed, truncated })
}

/// Runs a txn, once if it has an id.
fn execute(db: &Db, once: Option<Operation>, txn: Txn) -> Result<(TxnResponse, Option<our::Replay>)> {
    match once {
        None => Ok((db.execute(txn)?, None)),
        Some(once) => {
            let done = once.execute(txn)?;
            Ok((done.response, replay(done.replayed, done.truncated)))
        }
    }
}

/// A single write behind fences: a txn of its own. Of a replay that was cut the answer may be missing.
fn fenced(
    db: &Db,
    once: Option<Operation>,
    fences: Vec<our::Token>,
    op: Op,
) -> Result<(Option<OpResponse>, crate::Revision, Option<our::Replay>)> {
    let fences: Vec<Token> = fences.into_iter().map(txn::token).collect();
    let txn = fences.iter().fold(Txn::new(), Txn::fenced).then([op]).finish();
    let (response, replay) = execute(db, once, txn)?;
    Ok((response.responses.into_iter().next(), response.revision, replay))
}

pub(super) fn put(db: &Db, identity: Identity, request: our::PutRequest) -> Result<our::PutResponse> {
    let put = our_put(request.put, request.ttl_ms)?;
    let once = operation(db, request.operation);
    let (response, replay) = if !request.fences.is_empty() {
        match fenced(db, once, request.fences, put.into())? {
            (Some(OpResponse::Put(response)), _, replay) => (response, replay),
            (_, revision, replay) => (PutResponse { revision, prev: None }, replay),
        }
    } else if let Some(once) = once {
        let done = once.put_with(&put.key, &put.value, put.options)?;
        (done.response, replay(done.replayed, done.truncated))
    } else {
        (db.engine().submit_put(put, None)?.0, None)
    };
    Ok(our::PutResponse { response: Some(response::put(identity.header(response.revision), response)), replay })
}

pub(super) fn delete_range(
    db: &Db,
    identity: Identity,
    request: our::DeleteRangeRequest,
) -> Result<our::DeleteRangeResponse> {
    let delete = request::delete(request.delete_range.unwrap_or_default())?;
    let once = operation(db, request.operation);
    let (response, replay) = if !request.fences.is_empty() {
        match fenced(db, once, request.fences, delete.into())? {
            (Some(OpResponse::Delete(response)), _, replay) => (response, replay),
            (_, revision, replay) => (DeleteResponse { revision, deleted: 0, prev_kvs: Vec::new() }, replay),
        }
    } else if let Some(once) = once {
        let done = once.delete_with(delete)?;
        (done.response, replay(done.replayed, done.truncated))
    } else {
        (db.delete_with(delete)?, None)
    };
    let response = response::delete(identity.header(response.revision), response);
    Ok(our::DeleteRangeResponse { response: Some(response), replay })
}

pub(super) fn txn(db: &Db, identity: Identity, request: our::TxnRequest) -> Result<our::TxnResponse> {
    let once = operation(db, request.operation);
    let mut replayed = None;
    let response = txn::plan_ours(db, request)?.run(db, |txn| {
        let (response, replay) = execute(db, once, txn)?;
        replayed = replay;
        Ok(response)
    })?;
    Ok(our::TxnResponse { replay: replayed, ..txn_response(identity.header(response.revision), response)? })
}

fn txn_response(header: super::etcdserverpb::ResponseHeader, response: TxnResponse) -> Result<our::TxnResponse> {
    let responses = response.responses.into_iter().map(op_response).collect::<Result<_>>()?;
    Ok(our::TxnResponse { header: Some(header), succeeded: response.succeeded, responses, replay: None })
}

fn op_response(response: OpResponse) -> Result<our::ResponseOp> {
    let response = match response {
        OpResponse::Range(response) => Response::Range(response::range(inner(response.revision), response)),
        OpResponse::Put(response) => Response::Put(response::put(inner(response.revision), response)),
        OpResponse::Delete(response) => Response::DeleteRange(response::delete(inner(response.revision), response)),
        OpResponse::Txn(response) => Response::Txn(txn_response(inner(response.revision), response)?),
        OpResponse::Grant(granted) => Response::Grant(our::LeaseGrantResponse {
            id: granted.id.get(),
            ttl_ms: wire_millis(granted.ttl),
            ..Default::default()
        }),
        OpResponse::Revoke(revoked) => Response::Revoke(our::LeaseRevokeResponse {
            header: Some(inner(revoked.revision)),
            deleted: wire_count(revoked.deleted),
            replay: None,
        }),
        OpResponse::Advance(advanced) => Response::Advance(our::CursorAdvanceResponse {
            header: Some(inner(advanced.revision)),
            position: wire_revision(advanced.position),
            replay: None,
        }),
    };
    Ok(our::ResponseOp { response: Some(response) })
}

pub(super) fn compact(db: &Db, identity: Identity, request: our::CompactRequest) -> Result<our::CompactResponse> {
    let response = call::compact_to(db, request.revision, request.physical)?;
    Ok(our::CompactResponse {
        header: Some(identity.header(response.revision)),
        compact_revision: wire_revision(response.compact_revision),
    })
}

pub(super) fn lease_grant(
    db: &Db,
    identity: Identity,
    request: our::LeaseGrantRequest,
) -> Result<our::LeaseGrantResponse> {
    let options = our_grant(&request);
    let (id, granted, replay) = match operation(db, request.operation) {
        None => {
            let (id, granted, _) = db.engine().grant(options)?;
            (id, granted, None)
        }
        Some(once) => {
            let done = once.grant_with(options)?;
            let granted = done.granted().ok_or_else(|| argument("a grant has a time"))?;
            (done.id(), granted, replay(done.replayed, done.truncated))
        }
    };
    let header = Some(identity.header(db.revision()));
    Ok(our::LeaseGrantResponse { header, id: id.get(), ttl_ms: wire_millis(granted), replay })
}

pub(super) fn lease_revoke(
    db: &Db,
    identity: Identity,
    request: our::LeaseRevokeRequest,
) -> Result<our::LeaseRevokeResponse> {
    let (revision, replay) = match operation(db, request.operation) {
        None => (db.lease(request.id).revoke()?, None),
        Some(once) => {
            let done = once.revoke(request.id)?;
            (done.response, replay(done.replayed, done.truncated))
        }
    };
    Ok(our::LeaseRevokeResponse { header: Some(identity.header(revision)), deleted: 0, replay })
}

pub(super) fn lease_keep_alive(
    db: &Db,
    identity: Identity,
    request: our::LeaseKeepAliveRequest,
) -> Result<our::LeaseKeepAliveResponse> {
    let header = Some(identity.header(db.revision()));
    let ttl_ms = wire_millis(db.lease(request.id).keep_alive()?);
    Ok(our::LeaseKeepAliveResponse { header, id: request.id, ttl_ms })
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

pub(super) fn cursor_advance(
    db: &Db,
    identity: Identity,
    request: our::CursorAdvanceRequest,
) -> Result<our::CursorAdvanceResponse> {
    let once = operation(db, request.operation);
    let advance = our_advance(request.name, request.from, request.to);
    let to = advance.to;
    let (response, replay) = execute(db, once, Txn::new().then([Op::Advance(advance)]).finish())?;
    let header = Some(identity.header(response.revision));
    Ok(our::CursorAdvanceResponse { header, position: wire_revision(to), replay })
}
