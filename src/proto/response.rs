//! Answers of the verbs as etcd's messages. Keys and values move over; none is copied.

use std::time::Duration;

use super::Identity;
use super::etcdserverpb as pb;
use super::etclitepb as our;
use super::identity::{wire_count, wire_revision};
use super::mvccpb;
use crate::error::{Error, Result};
use crate::kv::{Event, EventKind, KeyValue, Revision};
use crate::op::{DeleteResponse, OpResponse, PutResponse, RangeResponse, TxnResponse};
use crate::watch::WatchBatch;

impl From<KeyValue> for mvccpb::KeyValue {
    fn from(kv: KeyValue) -> Self {
        mvccpb::KeyValue {
            create_revision: wire_revision(kv.create_revision),
            mod_revision: wire_revision(kv.mod_revision),
            version: wire_count(kv.version),
            lease: kv.lease.get(),
            key: kv.key,
            value: kv.value,
        }
    }
}

impl From<Event> for mvccpb::Event {
    fn from(event: Event) -> Self {
        let kind = match event.kind {
            EventKind::Put => mvccpb::event::EventType::Put,
            EventKind::Delete => mvccpb::event::EventType::Delete,
        };
        mvccpb::Event { r#type: kind.into(), kv: Some(event.kv.into()), prev_kv: event.prev.map(Into::into) }
    }
}

/// The header of an answer inside a txn: a revision only (TX-13).
pub(super) fn inner(revision: Revision) -> pb::ResponseHeader {
    pb::ResponseHeader { revision: wire_revision(revision), ..Default::default() }
}

fn messages(kvs: Vec<KeyValue>) -> Vec<mvccpb::KeyValue> {
    kvs.into_iter().map(Into::into).collect()
}

pub(super) fn range(header: pb::ResponseHeader, response: RangeResponse) -> pb::RangeResponse {
    pb::RangeResponse {
        header: Some(header),
        kvs: messages(response.kvs),
        more: response.more,
        count: wire_count(response.count.unwrap_or(0)),
    }
}

pub(super) fn put(header: pb::ResponseHeader, response: PutResponse) -> pb::PutResponse {
    pb::PutResponse { header: Some(header), prev_kv: response.prev.map(Into::into) }
}

pub(super) fn delete(header: pb::ResponseHeader, response: DeleteResponse) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: Some(header),
        deleted: wire_count(response.deleted),
        prev_kvs: messages(response.prev_kvs),
    }
}

pub(super) fn txn(header: pb::ResponseHeader, response: TxnResponse) -> Result<pb::TxnResponse> {
    let responses = response.responses.into_iter().map(operation).collect::<Result<_>>()?;
    Ok(pb::TxnResponse { header: Some(header), succeeded: response.succeeded, responses })
}

fn operation(response: OpResponse) -> Result<pb::ResponseOp> {
    use pb::response_op::Response;
    let response = match response {
        OpResponse::Range(response) => Response::ResponseRange(range(inner(response.revision), response)),
        OpResponse::Put(response) => Response::ResponsePut(put(inner(response.revision), response)),
        OpResponse::Delete(response) => Response::ResponseDeleteRange(delete(inner(response.revision), response)),
        OpResponse::Txn(response) => Response::ResponseTxn(txn(inner(response.revision), response)?),
        OpResponse::Grant(_) | OpResponse::Revoke(_) | OpResponse::Advance(_) => {
            return Err(Error::Unsupported { what: "an answer that etcd's messages have no place for" });
        }
    };
    Ok(pb::ResponseOp { response: Some(response) })
}

pub(super) fn our_txn(header: pb::ResponseHeader, response: TxnResponse) -> Result<our::TxnResponse> {
    let responses = response.responses.into_iter().map(our_operation).collect::<Result<_>>()?;
    Ok(our::TxnResponse { header: Some(header), succeeded: response.succeeded, responses, replay: None })
}

fn our_operation(response: OpResponse) -> Result<our::ResponseOp> {
    use our::response_op::Response;
    let response = match response {
        OpResponse::Range(response) => Response::Range(range(inner(response.revision), response)),
        OpResponse::Put(response) => Response::Put(put(inner(response.revision), response)),
        OpResponse::Delete(response) => Response::DeleteRange(delete(inner(response.revision), response)),
        OpResponse::Txn(response) => Response::Txn(our_txn(inner(response.revision), response)?),
        OpResponse::Grant(granted) => Response::Grant(our::LeaseGrantResponse {
            header: Some(inner(granted.revision)),
            id: granted.id.get(),
            ttl_ms: wire_millis(granted.ttl),
            replay: None,
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

/// The response that tells a batch of events, or of progress, to the watch `watch_id` of a stream.
pub fn watch_response(identity: Identity, watch_id: i64, batch: WatchBatch) -> pb::WatchResponse {
    pb::WatchResponse {
        header: Some(identity.header(batch.revision())),
        watch_id,
        events: batch.into_events().into_iter().map(Into::into).collect(),
        ..Default::default()
    }
}

/// Whole seconds, so that what is granted is never told shorter than it is.
pub(super) fn seconds_up(time: Duration) -> i64 {
    wire_count(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

/// Whole seconds, so that what remains is never told longer than it is.
pub(super) fn seconds_down(time: Duration) -> i64 {
    wire_count(time.as_secs())
}

/// Whole milliseconds; all times of leases are.
pub(super) fn wire_millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
