//! Several requests by one call: the replies are those that they have one by one, and writes in a row share a commit.

use std::sync::Arc;

use etclite::io::IoSite;
use etclite::io::sim::{SimClock, SimDisk};
use etclite::proto::{etcdserverpb as pb, etclitepb as our};
use etclite::testing::open_on;
use etclite::{Db, Options, proto};
use prost::Message;

use crate::dynamic::{Style, decode};
use crate::fuzz::{Random, corpus};

fn put(key: &str) -> (u32, Vec<u8>) {
    (proto::PUT, pb::PutRequest { key: key.to_owned().into(), ..Default::default() }.encode_to_vec())
}

fn run(db: &Db, requests: &[(u32, Vec<u8>)]) -> Vec<etclite::Result<proto::Reply>> {
    let requests: Vec<_> = requests.iter().map(|(operation, bytes)| (*operation, &bytes[..])).collect();
    proto::batch(db, &requests)
}

fn names(replies: &[etclite::Result<proto::Reply>]) -> Vec<&'static str> {
    replies.iter().map(|reply| reply.as_ref().map_or_else(|error| error.code().name, |_| "")).collect()
}

#[test]
fn requests_see_those_before_and_do_not_stop_those_behind() {
    let db = Db::in_memory().unwrap();
    let get = pb::RangeRequest { key: "a".into(), range_end: "z".into(), ..Default::default() };
    let requests = [
        put("a"),
        put(""),
        (7, vec![]),
        put("b"),
        (proto::RANGE, get.encode_to_vec()),
        (proto::PUT, vec![0xff]),
        (proto::LEASE_REVOKE, pb::LeaseRevokeRequest { id: 7 }.encode_to_vec()),
    ];
    let replies = run(&db, &requests);
    assert_eq!(names(&replies), ["", "EMPTY_KEY", "UNSUPPORTED", "", "", "INVALID_ARGUMENT", "LEASE_NOT_FOUND"]);
    let found = pb::RangeResponse::decode(&replies[4].as_ref().unwrap().to_vec()[..]).unwrap();
    assert_eq!((found.kvs.len(), found.header.unwrap().revision), (2, 3));
    assert!(run(&db, &[]).is_empty());
}

#[test]
fn writes_in_a_row_share_one_sync() {
    let disk = SimDisk::new();
    let db = open_on(Arc::new(disk.clone()), Arc::new(SimClock::new(1)), Options::new()).unwrap();
    db.put("warm", "").unwrap();
    let syncs = || disk.sites_hit().get(&IoSite::LogSync).copied().unwrap_or(0);
    let before = syncs();
    let grant = our::LeaseGrantRequest { ttl_ms: 60_000, id: 7, ..Default::default() };
    let leased = pb::PutRequest { key: "leased".into(), lease: 7, ..Default::default() };
    let with = our::PutRequest { put: Some(leased), ttl_ms: None, fences: vec![], operation: None };
    let txn = pb::TxnRequest {
        success: vec![pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(leased_in_txn())) }],
        ..Default::default()
    };
    let mut requests: Vec<_> = (0..500).map(|i| put(&format!("k{i}"))).collect();
    requests.insert(100, put(""));
    requests.insert(200, (proto::LEASE_GRANT_MS, grant.encode_to_vec()));
    requests.insert(201, (proto::PUT_WITH, with.encode_to_vec()));
    requests.insert(202, (proto::TXN, txn.encode_to_vec()));
    requests.insert(300, (proto::PUT, vec![0xff]));
    requests.push((proto::LEASE_REVOKE, pb::LeaseRevokeRequest { id: 7 }.encode_to_vec()));
    let replies = run(&db, &requests);
    assert_eq!(replies.iter().filter(|reply| reply.is_err()).count(), 2);
    // 500 puts, the leased ones, and the end of their lease, each with its own.
    assert_eq!(db.revision().get(), 2 + 500 + 2 + 1);
    assert_eq!(syncs() - before, 1);
    // One by one each has a sync of its own.
    requests[..10].iter().for_each(|(operation, bytes)| drop(proto::execute(&db, *operation, bytes).unwrap()));
    assert_eq!(syncs() - before, 11);
}

#[test]
fn renewals_in_a_row_share_one_sync() {
    let disk = SimDisk::new();
    let db = open_on(Arc::new(disk.clone()), Arc::new(SimClock::new(1)), Options::new()).unwrap();
    let grant = |id| pb::LeaseGrantRequest { ttl: 60, id }.encode_to_vec();
    let grants: Vec<_> = (1..=500).map(|id| (proto::LEASE_GRANT, grant(id))).collect();
    assert!(run(&db, &grants).iter().all(Result::is_ok));
    let syncs = || disk.sites_hit().get(&IoSite::LogSync).copied().unwrap_or(0);
    let before = syncs();
    let renewal = |id| match id % 2 {
        0 => (proto::LEASE_KEEPALIVE, pb::LeaseKeepAliveRequest { id }.encode_to_vec()),
        _ => (proto::LEASE_KEEPALIVE_MS, our::LeaseKeepAliveRequest { id }.encode_to_vec()),
    };
    let mut renewals: Vec<_> = (1..=502).map(renewal).collect();
    renewals.insert(7, (proto::LEASE_KEEPALIVE, vec![0xff]));
    let replies = run(&db, &renewals);
    assert_eq!(syncs() - before, 1);
    for (request, reply) in renewals.iter().zip(&replies).filter(|(_, reply)| reply.is_ok()) {
        let told = told(request.0, reply).to_string();
        assert!(told.contains("60") || told.contains("502"), "{told}");
    }
    assert_eq!(replies.iter().filter(|reply| reply.is_err()).count(), 2);
    assert_eq!((names(&replies)[7], names(&replies)[501]), ("INVALID_ARGUMENT", "LEASE_NOT_FOUND"));
    // Of etcd's message it is no error that the lease is gone.
    let gone = pb::LeaseKeepAliveResponse::decode(&replies[502].as_ref().unwrap().to_vec()[..]).unwrap();
    assert_eq!((gone.id, gone.ttl, gone.header.unwrap().revision), (502, 0, 1));
    // Writes around them have each a commit of their own.
    let mut around = vec![put("a"), put("b")];
    around.extend(renewals[..7].iter().cloned());
    around.extend([put("c"), put("d")]);
    assert!(run(&db, &around).iter().all(Result::is_ok));
    assert_eq!(syncs() - before, 3);
}

fn leased_in_txn() -> pb::PutRequest {
    pb::PutRequest { key: "leased too".into(), lease: 7, ..Default::default() }
}

#[test]
fn a_batch_answers_as_its_requests_do_one_by_one() {
    let corpus: Vec<_> = corpus().into_iter().filter(|(operation, _)| reply_name(*operation).is_some()).collect();
    for seed in 1..=20 {
        let mut random = Random::new(seed);
        let requests: Vec<_> = (0..120).map(|_| corpus[random.below(corpus.len())].clone()).collect();
        let (together, apart) = (Db::in_memory().unwrap(), Db::in_memory().unwrap());
        let mut replies = Vec::new();
        let mut rest = &requests[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(1 + random.below(rest.len()));
            replies.extend(run(&together, now));
            rest = later;
        }
        for ((operation, bytes), reply) in requests.iter().zip(replies) {
            let alone = proto::execute(&apart, *operation, bytes);
            assert_eq!(told(*operation, &reply), told(*operation, &alone), "seed {seed}, operation {operation}");
        }
        assert_eq!(together.hash(0).unwrap(), apart.hash(0).unwrap());
    }
}

/// What a reply says, without the ids of its store.
fn told(operation: u32, reply: &etclite::Result<proto::Reply>) -> serde_json::Value {
    match reply {
        Ok(reply) => decode(reply_name(operation).unwrap(), &reply.to_vec(), Style::Recorded),
        Err(error) => format!("{error}").into(),
    }
}

/// The message of a reply that says the same whenever it is asked for.
fn reply_name(operation: u32) -> Option<&'static str> {
    Some(match operation {
        proto::RANGE => "etcdserverpb.RangeResponse",
        proto::PUT => "etcdserverpb.PutResponse",
        proto::DELETE_RANGE => "etcdserverpb.DeleteRangeResponse",
        proto::TXN => "etcdserverpb.TxnResponse",
        proto::COMPACT => "etcdserverpb.CompactionResponse",
        proto::LEASE_GRANT => "etcdserverpb.LeaseGrantResponse",
        proto::LEASE_REVOKE => "etcdserverpb.LeaseRevokeResponse",
        proto::LEASE_KEEPALIVE => "etcdserverpb.LeaseKeepAliveResponse",
        proto::LEASE_LEASES => "etcdserverpb.LeaseLeasesResponse",
        proto::HASH_KV => "etcdserverpb.HashKVResponse",
        proto::PUT_WITH => "etclitepb.PutResponse",
        proto::DELETE_RANGE_WITH => "etclitepb.DeleteRangeResponse",
        proto::TXN_WITH => "etclitepb.TxnResponse",
        proto::COMPACT_WITH => "etclitepb.CompactResponse",
        proto::LEASE_GRANT_MS => "etclitepb.LeaseGrantResponse",
        proto::LEASE_REVOKE_WITH => "etclitepb.LeaseRevokeResponse",
        proto::LEASE_KEEPALIVE_MS => "etclitepb.LeaseKeepAliveResponse",
        proto::CURSOR_CREATE | proto::CURSOR_STATUS => "etclitepb.CursorResponse",
        proto::CURSOR_ADVANCE => "etclitepb.CursorAdvanceResponse",
        proto::CURSOR_RESET | proto::CURSOR_DROP => "etclitepb.CursorPositionResponse",
        proto::CURSOR_LIST => "etclitepb.CursorListResponse",
        proto::SYNC => "etclitepb.SyncResponse",
        _ => return None,
    })
}
