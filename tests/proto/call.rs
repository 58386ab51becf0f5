//! Calls by message, in short words.

use etclite::proto::etcdserverpb as pb;
use etclite::{Db, Error, proto};
use prost::Message;

/// The reply to a request that succeeds. It has only what generated code knows, in its order.
pub(crate) fn answer<A: Message + Default>(db: &Db, operation: u32, request: &impl Message) -> A {
    let reply = proto::execute(db, operation, &request.encode_to_vec()).unwrap_or_else(|error| panic!("{error}"));
    let bytes = reply.to_vec();
    assert_eq!(bytes.len(), reply.len());
    let message = A::decode(&bytes[..]).expect("a reply is of the request's kind");
    assert_eq!(message.encode_to_vec(), bytes);
    message
}

/// Why a request fails.
pub(crate) fn refused(db: &Db, operation: u32, request: &impl Message) -> Error {
    proto::execute(db, operation, &request.encode_to_vec()).expect_err("it is refused")
}

pub(crate) fn single(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

pub(crate) fn put(db: &Db, key: &str, value: &str) -> pb::PutResponse {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    answer(db, proto::PUT, &pb::PutRequest { key, value, ..Default::default() })
}

pub(crate) fn delete(db: &Db, key: &str, end: &str) -> pb::DeleteRangeResponse {
    let (key, range_end) = (key.to_owned().into(), end.to_owned().into());
    answer(db, proto::DELETE_RANGE, &pb::DeleteRangeRequest { key, range_end, prev_kv: true })
}

pub(crate) fn txn(db: &Db, compare: Vec<pb::Compare>, success: Vec<pb::RequestOp>) -> pb::TxnResponse {
    answer(db, proto::TXN, &pb::TxnRequest { compare, success, failure: vec![] })
}

pub(crate) fn compact(db: &Db, revision: i64) -> pb::CompactionResponse {
    answer(db, proto::COMPACT, &pb::CompactionRequest { revision, physical: false })
}

pub(crate) fn grant(db: &Db, id: i64, ttl: i64) -> pb::LeaseGrantResponse {
    answer(db, proto::LEASE_GRANT, &pb::LeaseGrantRequest { ttl, id })
}

pub(crate) fn time_to_live(db: &Db, id: i64, keys: bool) -> pb::LeaseTimeToLiveResponse {
    answer(db, proto::LEASE_TIME_TO_LIVE, &pb::LeaseTimeToLiveRequest { id, keys })
}
