//! Whatever bytes arrive: a reply or an error, never a panic, and the store is whole afterwards.
//!
//! Valid requests of every operation are damaged in ways that keep most of their shape, and given to operations that expect
//! others. Seeds are fixed, so a failure comes again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use etclite::proto::{etcdserverpb as pb, etclitepb as our};
use etclite::{Options, proto};
use prost::Message;

/// xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

#[test]
fn no_bytes_cause_a_panic() {
    let corpus = corpus();
    let (mut replies, mut errors) = (0, 0);
    for seed in 1..=8 {
        let mut random = Random::new(seed);
        let db = Options::new().request_bytes_max(1 << 16).in_memory().unwrap();
        for step in 0..2_500 {
            let (operation, bytes) = damaged(&mut random, &corpus);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let _ = proto::watch_builder(&db, &bytes).and_then(etclite::WatchBuilder::start);
                proto::execute(&db, operation, &bytes).map(|reply| (reply.len(), reply.to_vec()))
            }));
            match outcome {
                Ok(Ok((len, reply))) => {
                    assert_eq!(len, reply.len());
                    replies += 1;
                }
                Ok(Err(error)) => {
                    assert!(error.code().number < 0 && !proto::message(&error).is_empty());
                    errors += 1;
                }
                Err(_) => panic!("seed {seed}, step {step}: operation {operation} with {bytes:02x?}"),
            }
        }
        let requests: Vec<_> = (0..200).map(|_| damaged(&mut random, &corpus)).collect();
        let requests: Vec<_> = requests.iter().map(|(operation, bytes)| (*operation, &bytes[..])).collect();
        let answered = catch_unwind(AssertUnwindSafe(|| proto::batch(&db, &requests).len()));
        assert_eq!(answered.ok(), Some(requests.len()), "seed {seed}, the batch");
        assert!(db.check().unwrap().is_clean(), "seed {seed}");
    }
    assert!(replies > 4_000 && errors > 4_000, "both happen: {replies} replies, {errors} errors");
}

/// A request with up to three damages, mostly for its own operation.
fn damaged(random: &mut Random, corpus: &[(u32, Vec<u8>)]) -> (u32, Vec<u8>) {
    let (own, mut bytes) = corpus[random.below(corpus.len())].clone();
    for _ in 0..random.below(4) {
        damage(random, &mut bytes, corpus);
    }
    let operation = if random.below(8) == 0 { corpus[random.below(corpus.len())].0 } else { own };
    (operation, bytes)
}

/// Changes a message a little: a byte, a part left out, doubled, or put in from another.
fn damage(random: &mut Random, bytes: &mut Vec<u8>, corpus: &[(u32, Vec<u8>)]) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(9)).min(bytes.len());
    match random.below(6) {
        0 if at < bytes.len() => bytes[at] = random.next().to_le_bytes()[0],
        1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        4 => {
            let other = &corpus[random.below(corpus.len())].1;
            let from = random.below(other.len() + 1);
            bytes.splice(at..end, other[from..].iter().copied().take(24));
        }
        _ => bytes.truncate(at),
    }
}

/// A request or more of every operation.
pub(crate) fn corpus() -> Vec<(u32, Vec<u8>)> {
    let operation = Some(our::Operation { high: 7, low: 8, since: Some(1) });
    let token = our::Token { key: "lock".into(), revision: 2, lease: 7 };
    let range =
        pb::RangeRequest { key: "a".into(), range_end: "z".into(), limit: 2, sort_target: 4, ..Default::default() };
    let put = pb::PutRequest { key: "a".into(), value: "1".into(), lease: 7, prev_kv: true, ..Default::default() };
    let delete = pb::DeleteRangeRequest { key: "a".into(), range_end: "\0".into(), prev_kv: true };
    let compare = pb::Compare {
        key: "a".into(),
        result: 1,
        target: 3,
        target_union: Some(pb::compare::TargetUnion::Value("0".into())),
        range_end: "c".into(),
    };
    let advance = our::CursorAdvanceRequest { name: "c".into(), from: 1, to: 2, operation: None };
    let grant = our::LeaseGrantRequest { ttl_ms: 50_000, id: 7, lock_delay_ms: 9, operation: None };
    let mut corpus = vec![
        (proto::RANGE, range.encode_to_vec()),
        (proto::RANGE, pb::RangeRequest { key: "a".into(), ..Default::default() }.encode_to_vec()),
        (proto::PUT, put.encode_to_vec()),
        (
            proto::PUT,
            pb::PutRequest { key: "b".into(), value: vec![7; 200].into(), ..Default::default() }.encode_to_vec(),
        ),
        (proto::DELETE_RANGE, delete.encode_to_vec()),
        (proto::TXN, etcd_txn(&range, &put, &delete, &compare).encode_to_vec()),
        (proto::COMPACT, pb::CompactionRequest { revision: 5, physical: true }.encode_to_vec()),
        (proto::LEASE_GRANT, pb::LeaseGrantRequest { ttl: 50, id: 7 }.encode_to_vec()),
        (proto::LEASE_REVOKE, pb::LeaseRevokeRequest { id: 7 }.encode_to_vec()),
        (proto::LEASE_KEEPALIVE, pb::LeaseKeepAliveRequest { id: 7 }.encode_to_vec()),
        (proto::LEASE_TIME_TO_LIVE, pb::LeaseTimeToLiveRequest { id: 7, keys: true }.encode_to_vec()),
        (proto::HASH_KV, pb::HashKvRequest { revision: 3 }.encode_to_vec()),
        (proto::ALARM, pb::AlarmRequest { action: 0, member_id: 0, alarm: 1 }.encode_to_vec()),
        (proto::COMPACT_WITH, our::CompactRequest { revision: 5, physical: false }.encode_to_vec()),
        (proto::LEASE_GRANT_MS, our::LeaseGrantRequest { operation, ..grant }.encode_to_vec()),
        (proto::LEASE_REVOKE_WITH, our::LeaseRevokeRequest { id: 7, operation }.encode_to_vec()),
        (proto::LEASE_KEEPALIVE_MS, our::LeaseKeepAliveRequest { id: 7 }.encode_to_vec()),
        (proto::LEASE_TIME_TO_LIVE_MS, our::LeaseTimeToLiveRequest { id: 7, keys: true }.encode_to_vec()),
        (proto::CURSOR_ADVANCE, our::CursorAdvanceRequest { operation, ..advance.clone() }.encode_to_vec()),
        (proto::CURSOR_RESET, our::CursorResetRequest { name: "c".into(), to: 2, operation: None }.encode_to_vec()),
        (proto::CURSOR_STATUS, our::CursorStatusRequest { name: "c".into() }.encode_to_vec()),
        (proto::CURSOR_DROP, our::CursorDropRequest { name: "c".into(), operation: None }.encode_to_vec()),
        (proto::SYNC, our::SyncRequest { flush: true }.encode_to_vec()),
    ];
    let create = our::CursorCreateRequest {
        name: "c".into(),
        key: "a".into(),
        range_end: "b".into(),
        position: Some(1),
        max_lag: 9,
        ..Default::default()
    };
    corpus.push((proto::CURSOR_CREATE, create.encode_to_vec()));
    let fences = vec![token.clone()];
    let with = our::PutRequest { put: Some(put.clone()), ttl_ms: Some(90_000), fences: fences.clone(), operation };
    corpus.push((proto::PUT_WITH, with.encode_to_vec()));
    let with = our::DeleteRangeRequest { delete_range: Some(delete.clone()), fences, operation };
    corpus.push((proto::DELETE_RANGE_WITH, with.encode_to_vec()));
    corpus.push((proto::TXN_WITH, our_txn(range, put, delete, compare, token, grant, advance).encode_to_vec()));
    let numbers = proto::OPERATIONS.iter().map(|(_, number)| *number);
    let rest: Vec<_> = numbers.filter(|number| corpus.iter().all(|(other, _)| number != other)).collect();
    // What is left takes no arguments, or is not supported.
    corpus.extend(rest.into_iter().map(|number| (number, Vec::new())));
    corpus
}

fn etcd_txn(
    range: &pb::RangeRequest,
    put: &pb::PutRequest,
    delete: &pb::DeleteRangeRequest,
    compare: &pb::Compare,
) -> pb::TxnRequest {
    use pb::request_op::Request;
    let op = |request| pb::RequestOp { request: Some(request) };
    let nested = pb::TxnRequest {
        compare: vec![compare.clone()],
        success: vec![op(Request::RequestRange(range.clone()))],
        failure: vec![op(Request::RequestPut(pb::PutRequest { key: "n".into(), lease: 0, ..put.clone() }))],
    };
    pb::TxnRequest {
        compare: vec![compare.clone()],
        success: vec![op(Request::RequestDeleteRange(delete.clone())), op(Request::RequestTxn(nested))],
        failure: vec![op(Request::RequestRange(pb::RangeRequest { revision: -1, ..range.clone() }))],
    }
}

fn our_txn(
    range: pb::RangeRequest,
    put: pb::PutRequest,
    delete: pb::DeleteRangeRequest,
    compare: pb::Compare,
    token: our::Token,
    grant: our::LeaseGrantRequest,
    advance: our::CursorAdvanceRequest,
) -> our::TxnRequest {
    use our::compare::Compare;
    use our::request_op::Request;
    let op = |request| our::RequestOp { request: Some(request) };
    let compares = [Compare::Etcd(compare), Compare::Held(token), Compare::LeaseAlive(7)];
    let compare = compares.into_iter().map(|compare| our::Compare { compare: Some(compare) }).collect();
    let put = our::PutRequest { put: Some(put), ..Default::default() };
    let nested = our::TxnRequest { success: vec![op(Request::Range(range))], ..Default::default() };
    our::TxnRequest {
        fences: vec![],
        compare,
        success: vec![op(Request::Put(put)), op(Request::Txn(nested)), op(Request::Revoke(7))],
        failure: vec![op(Request::Grant(grant)), op(Request::DeleteRange(delete)), op(Request::Advance(advance))],
        operation: None,
    }
}
