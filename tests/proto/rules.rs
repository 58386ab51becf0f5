//! Rows of the specification that only a message can ask for, or whose answer only a message can give.

use std::time::Duration;

use etclite::proto::etcdserverpb::{self as pb, compare, range_request, request_op};
use etclite::{Db, Error, Invalid, Options, proto};
use prost::Message;

use crate::call::{answer, compact, delete, grant, put, refused, single, time_to_live, txn};

fn range(key: &str, end: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_owned().into(), range_end: end.to_owned().into(), ..Default::default() }
}

fn query(db: &Db, request: &pb::RangeRequest) -> pb::RangeResponse {
    answer(db, proto::RANGE, request)
}

fn keys(response: &pb::RangeResponse) -> String {
    response.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key)).collect::<Vec<_>>().join(" ")
}

fn range_op(request: pb::RangeRequest) -> pb::RequestOp {
    pb::RequestOp { request: Some(request_op::Request::RequestRange(request)) }
}

/// Four keys whose values go down as their keys go up.
fn four() -> Db {
    let db = Db::in_memory().unwrap();
    for (key, value) in [("a", "4"), ("b", "3"), ("c", "2"), ("d", "1")] {
        put(&db, key, value);
    }
    db
}

#[test]
fn rv_06_ch_10_headers_have_all_four_fields() {
    let db = Db::in_memory().unwrap();
    let stats = db.stats();
    assert!(stats.cluster_id != 0 && stats.member_id != 0);
    let header = |revision| {
        Some(pb::ResponseHeader { cluster_id: stats.cluster_id, member_id: stats.member_id, revision, raft_term: 1 })
    };
    assert_eq!(put(&db, "a", "1").header, header(2));
    assert_eq!(query(&db, &single("a")).header, header(2));
    put(&db, "a", "2");
    // Of a read of the past, too, it is the store's revision.
    assert_eq!(query(&db, &pb::RangeRequest { revision: 2, ..single("a") }).header, header(3));
    let status: pb::StatusResponse = answer(&db, proto::STATUS, &pb::StatusRequest {});
    assert_eq!(status.header, header(3));
}

#[test]
fn rv_07_an_empty_key_is_refused_everywhere() {
    let db = Db::in_memory().unwrap();
    let refusals = [
        refused(&db, proto::RANGE, &pb::RangeRequest::default()),
        refused(&db, proto::RANGE, &range("", "z")),
        refused(&db, proto::PUT, &pb::PutRequest::default()),
        refused(&db, proto::DELETE_RANGE, &pb::DeleteRangeRequest::default()),
        refused(&db, proto::TXN, &pb::TxnRequest { compare: vec![pb::Compare::default()], ..Default::default() }),
        refused(&db, proto::TXN, &pb::TxnRequest { failure: vec![range_op(range("", ""))], ..Default::default() }),
    ];
    for error in refusals {
        assert_eq!(proto::message(&error), "etcdserver: key is not provided");
        assert_eq!((error.code().name, error.code().grpc), ("EMPTY_KEY", 3));
    }
}

#[test]
fn rv_08_a_request_is_measured_before_it_is_decoded() {
    let db = Options::new().request_bytes_max(1000).in_memory().unwrap();
    // No message at all, and yet it is its length that is told.
    for operation in [proto::RANGE, proto::PUT, proto::TXN, proto::PUT_WITH] {
        let error = proto::execute(&db, operation, &[0xff; 1513]).unwrap_err();
        assert!(matches!(error, Error::TooLarge { len: 1513, max: 1512, .. }), "{error}");
        assert_eq!(proto::message(&error), "etcdserver: request is too large");
        let error = proto::execute(&db, operation, &[0xff; 1512]).unwrap_err();
        assert_eq!(error.code().name, "INVALID_ARGUMENT");
    }
    assert!(proto::watch_builder(&db, &[0xff; 1513]).is_err_and(|error| error.code().name == "REQUEST_TOO_LARGE"));
    assert_eq!(
        refused(
            &db,
            proto::PUT,
            &pb::PutRequest { key: "k".into(), value: vec![0; 1001].into(), ..Default::default() }
        )
        .code()
        .name,
        "REQUEST_TOO_LARGE"
    );
}

#[test]
fn kv_01_a_negative_revision_is_the_latest() {
    let db = four();
    for revision in [-1, i64::MIN] {
        assert_eq!(keys(&query(&db, &pb::RangeRequest { revision, ..single("d") })), "d");
    }
    assert_eq!(
        refused(&db, proto::RANGE, &pb::RangeRequest { revision: 6, ..single("d") }).code().name,
        "FUTURE_REVISION"
    );
    compact(&db, 4);
    assert_eq!(refused(&db, proto::RANGE, &pb::RangeRequest { revision: 3, ..single("d") }).code().name, "COMPACTED");
}

#[test]
fn kv_02_a_negative_limit_is_none() {
    let response = query(&four(), &pb::RangeRequest { limit: -2, ..range("a", "z") });
    assert_eq!((response.kvs.len(), response.more, response.count), (4, false, 4));
}

#[test]
fn kv_03_count_is_always_given() {
    let db = four();
    let response = query(&db, &pb::RangeRequest { limit: 1, ..range("a", "z") });
    assert_eq!((keys(&response).as_str(), response.more, response.count), ("a", true, 4));
    assert_eq!(query(&db, &single("a")).count, 1);
    assert_eq!(query(&db, &single("x")).count, 0);
    let op = range_op(pb::RangeRequest { limit: 1, ..range("a", "z") });
    let response = txn(&db, vec![], vec![op]);
    let Some(pb::response_op::Response::ResponseRange(inner)) = &response.responses[0].response else { panic!() };
    assert_eq!((inner.count, inner.more), (4, true));
}

#[test]
fn kv_05_an_unknown_sort_is_refused() {
    let db = four();
    for (sort_order, sort_target) in [(3, 0), (-1, 0), (0, 5), (1, i32::MAX)] {
        let request = pb::RangeRequest { sort_order, sort_target, ..range("a", "z") };
        for error in [
            refused(&db, proto::RANGE, &request),
            // On a branch that is not taken as well (TX-11).
            refused(
                &db,
                proto::TXN,
                &pb::TxnRequest { failure: vec![range_op(request.clone())], ..Default::default() },
            ),
        ] {
            assert!(matches!(error, Error::InvalidArgument(Invalid::SortOption)));
            assert_eq!((error.code().number, error.code().grpc), (-6, 3));
            assert_eq!(proto::message(&error), "etcdserver: invalid sort option");
        }
    }
}

#[test]
fn kv_06_a_limit_before_an_unnamed_sort() {
    let db = four();
    let by_value =
        pb::RangeRequest { limit: 2, sort_target: range_request::SortTarget::Value.into(), ..range("a", "z") };
    let response = query(&db, &by_value);
    // Of the first three keys those with the two least values, where all four would give "d c".
    assert_eq!((keys(&response).as_str(), response.more, response.count), ("c b", true, 4));
    // Sorted by their values, but without them.
    let response = query(&db, &pb::RangeRequest { keys_only: true, ..by_value.clone() });
    assert_eq!(keys(&response), "c b");
    assert!(response.kvs.iter().all(|kv| kv.value.is_empty()));
    // A direction, a filter or a count makes it the ordinary thing.
    let ascend = range_request::SortOrder::Ascend.into();
    assert_eq!(keys(&query(&db, &pb::RangeRequest { sort_order: ascend, ..by_value.clone() })), "d c");
    assert_eq!(keys(&query(&db, &pb::RangeRequest { min_mod_revision: 1, ..by_value.clone() })), "d c");
    let counted = query(&db, &pb::RangeRequest { count_only: true, ..by_value.clone() });
    assert_eq!((counted.kvs.len(), counted.count, counted.more), (0, 4, false));
    // At the greatest limit nothing overflows.
    assert_eq!(keys(&query(&db, &pb::RangeRequest { limit: i64::MAX, ..by_value })), "d c b a");
}

#[test]
fn kv_06_the_same_inside_txns() {
    let db = four();
    let by_value =
        pb::RangeRequest { limit: 2, sort_target: range_request::SortTarget::Value.into(), ..range("a", "z") };
    let nested = pb::TxnRequest { failure: vec![], success: vec![range_op(by_value.clone())], compare: vec![] };
    let ops = vec![
        pb::RequestOp { request: Some(request_op::Request::RequestTxn(nested)) },
        range_op(single("a")),
        range_op(by_value),
    ];
    // On both branches, of which one is taken.
    let request = pb::TxnRequest { success: ops.clone(), failure: ops, compare: vec![] };
    let response: pb::TxnResponse = answer(&db, proto::TXN, &request);
    let found = response.responses.iter().map(|op| match &op.response {
        Some(pb::response_op::Response::ResponseRange(range)) => keys(range),
        Some(pb::response_op::Response::ResponseTxn(txn)) => match &txn.responses[0].response {
            Some(pb::response_op::Response::ResponseRange(range)) => keys(range),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
    assert_eq!(found.collect::<Vec<_>>(), ["c b", "a", "c b"]);
}

#[test]
fn kv_07_negative_filters() {
    let db = four();
    for set in [
        |request: &mut pb::RangeRequest| request.max_mod_revision = -1,
        |request: &mut pb::RangeRequest| request.max_create_revision = i64::MIN,
    ] {
        let mut request = range("a", "z");
        set(&mut request);
        let response = query(&db, &request);
        assert_eq!((response.kvs.len(), response.more, response.count), (0, false, 4), "every revision is above");
    }
    for set in [
        |request: &mut pb::RangeRequest| request.min_mod_revision = -1,
        |request: &mut pb::RangeRequest| request.min_create_revision = i64::MIN,
    ] {
        let mut request = range("a", "z");
        set(&mut request);
        assert_eq!(query(&db, &request).kvs.len(), 4, "no revision is below");
    }
}

#[test]
fn kv_11_serializable_makes_no_difference() {
    let db = four();
    let serializable = pb::RangeRequest { serializable: true, ..single("b") };
    assert_eq!(query(&db, &serializable), query(&db, &single("b")));
}

#[test]
fn tx_02_operands_that_are_not_set_and_numbers_that_do_not_exist() {
    use compare::{CompareResult as Result, CompareTarget as Target, TargetUnion};
    let db = four();
    let holds = |key: &str, target: i32, result: i32, union: Option<TargetUnion>| {
        let compare =
            pb::Compare { key: key.to_owned().into(), target, result, target_union: union, ..Default::default() };
        txn(&db, vec![compare], vec![]).succeeded
    };
    let (equal, greater) = (i32::from(Result::Equal), i32::from(Result::Greater));
    // Not set: zero, or empty.
    for target in [Target::Version, Target::Create, Target::Mod, Target::Lease] {
        assert!(holds("x", target.into(), equal, None), "{target:?} of a missing key");
    }
    assert!(!holds("a", Target::Version.into(), equal, None) && holds("a", Target::Version.into(), greater, None));
    assert!(holds("a", Target::Value.into(), greater, None));
    // The operand of another target is none.
    assert!(holds("a", Target::Lease.into(), equal, Some(TargetUnion::Version(7))));
    // An unknown operator is true, but of a missing key's value nothing is (TX-03).
    for result in [4, -1] {
        assert!(holds("a", Target::Version.into(), result, Some(TargetUnion::Version(9))));
        assert!(holds("x", Target::Mod.into(), result, None));
        assert!(holds("a", Target::Value.into(), result, None) && !holds("x", Target::Value.into(), result, None));
        assert!(holds("x", 9, result, None));
    }
    // An unknown target is equal to anything.
    for key in ["a", "x"] {
        assert!(holds(key, 9, equal, Some(TargetUnion::Version(9))));
        for result in [Result::Greater, Result::Less, Result::NotEqual] {
            assert!(!holds(key, 9, result.into(), None), "{key} {result:?}");
        }
    }
}

#[test]
fn tx_04_a_compare_of_a_range() {
    let db = four();
    let every = |end: &str, version| {
        let union = Some(compare::TargetUnion::Version(version));
        let compare = pb::Compare {
            key: "a".into(),
            range_end: end.to_owned().into(),
            target_union: union,
            ..Default::default()
        };
        txn(&db, vec![compare], vec![]).succeeded
    };
    assert!(every("c", 1) && every("\0", 1) && !every("c", 2));
    put(&db, "b", "9");
    assert!(!every("c", 1) && every("", 1));
    assert!(every("A", 0), "an empty range is a missing key");
}

#[test]
fn tx_08_budgets_come_first() {
    let db = Options::new().txn_ops_max(3).in_memory().unwrap();
    let broken = pb::RequestOp::default();
    let txn_of = |count| pb::TxnRequest { success: vec![broken.clone(); count], ..Default::default() };
    assert_eq!(refused(&db, proto::TXN, &txn_of(4)).code().name, "TOO_MANY_OPS");
    assert_eq!(refused(&db, proto::TXN, &txn_of(3)).code().name, "KEY_NOT_FOUND");
    // What one level takes is not left to the next.
    let nested = |count| pb::RequestOp { request: Some(request_op::Request::RequestTxn(txn_of(count))) };
    let outer = |count| pb::TxnRequest { failure: vec![nested(count)], ..Default::default() };
    assert_eq!(refused(&db, proto::TXN, &outer(3)).code().name, "TOO_MANY_OPS");
    assert_eq!(refused(&db, proto::TXN, &outer(2)).code().name, "KEY_NOT_FOUND");
    let error = refused(&db, proto::TXN, &outer(3));
    assert!(matches!(error, Error::TooLarge { len: 4, max: 3, .. }), "{error:?}");
}

#[test]
fn tx_11_negative_revisions_inside_a_txn() {
    let db = four();
    let at = |revision| range_op(pb::RangeRequest { revision, ..single("a") });
    let with = |success: Vec<_>| pb::TxnRequest { success, ..Default::default() };
    // Nothing was compacted: -1 is the latest.
    assert_eq!(txn(&db, vec![], vec![at(-1)]).responses.len(), 1);
    let compacted = |success: Vec<_>| refused(&db, proto::TXN, &with(success)).code().name == "COMPACTED";
    assert!(compacted(vec![at(-2)]) && compacted(vec![at(0), at(i64::MIN)]));
    // The first that fails decides.
    assert!(compacted(vec![at(-2), at(99)]) && !compacted(vec![at(99), at(-2)]));
    // On the branch taken only.
    let other = pb::TxnRequest { failure: vec![at(-2)], ..Default::default() };
    assert!(answer::<pb::TxnResponse>(&db, proto::TXN, &other).succeeded);
    compact(&db, 3);
    assert!(compacted(vec![at(-1)]) && compacted(vec![at(2)]) && !compacted(vec![at(6)]));
    let error = refused(&db, proto::TXN, &with(vec![at(-1)]));
    assert_eq!((error.detail(), error.code().grpc), (3, 11));
}

#[test]
fn tx_15_an_operation_with_nothing_set() {
    let db = four();
    let empty = pb::TxnRequest { failure: vec![pb::RequestOp::default()], ..Default::default() };
    let error = refused(&db, proto::TXN, &empty);
    assert_eq!(proto::message(&error), "etcdserver: key not found");
}

#[test]
fn tx_07_nesting_is_bounded() {
    let nested = |depth: usize| {
        let mut request = pb::TxnRequest { success: vec![range_op(single("a"))], ..Default::default() };
        for _ in 1..depth {
            let op = pb::RequestOp { request: Some(request_op::Request::RequestTxn(request)) };
            request = pb::TxnRequest { success: vec![op], ..Default::default() };
        }
        request
    };
    let db = four();
    let response: pb::TxnResponse = answer(&db, proto::TXN, &nested(49));
    assert_eq!(response.header.unwrap().revision, 5);
    assert_eq!(refused(&db, proto::TXN, &nested(51)).code().name, "INVALID_ARGUMENT");
    // Without a message in memory: ten thousand levels, each a txn and an operation, as long as their lengths allow.
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![];
        for tag in [4u8 << 3 | 2, 2 << 3 | 2] {
            outer.clear();
            outer.push(tag);
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.append(&mut bytes);
            bytes.append(&mut outer);
        }
    }
    assert_eq!(proto::execute(&db, proto::TXN, &bytes).unwrap_err().code().name, "INVALID_ARGUMENT");
}

#[test]
fn cp_01_compaction_at_zero_and_below() {
    let db = four();
    for revision in [-1, i64::MIN] {
        let request = pb::CompactionRequest { revision, physical: false };
        assert_eq!(refused(&db, proto::COMPACT, &request).code().name, "COMPACTED");
    }
    assert_eq!(compact(&db, 0).header.unwrap().revision, 5, "once, on a store that was never compacted");
    assert_eq!(refused(&db, proto::COMPACT, &pb::CompactionRequest::default()).code().name, "COMPACTED");
    assert_eq!(
        refused(&db, proto::COMPACT, &pb::CompactionRequest { revision: 6, physical: true }).code().name,
        "FUTURE_REVISION"
    );
    let request = pb::CompactionRequest { revision: 4, physical: true };
    assert_eq!(answer::<pb::CompactionResponse>(&db, proto::COMPACT, &request).header.unwrap().revision, 5);
}

#[test]
fn cp_06_hash_of_keys() {
    let (one, two) = (four(), four());
    let hash = |db, revision| answer::<pb::HashKvResponse>(db, proto::HASH_KV, &pb::HashKvRequest { revision });
    let (a, b) = (hash(&one, 0), hash(&two, 0));
    assert_eq!((a.hash, a.hash_revision, a.compact_revision), (b.hash, 5, 0));
    assert_ne!(a.hash, hash(&one, 4).hash);
    assert_eq!(refused(&one, proto::HASH_KV, &pb::HashKvRequest { revision: 6 }).code().name, "FUTURE_REVISION");
    assert_eq!(refused(&one, proto::HASH_KV, &pb::HashKvRequest { revision: -1 }).code().name, "COMPACTED");
    let whole: pb::HashResponse = answer(&one, proto::HASH, &pb::HashRequest {});
    assert_eq!(whole.hash, a.hash);
}

#[test]
fn cp_09_the_alarm_of_space_is_told_while_there_is_none() {
    let db = Options::new().quota_bytes(1 << 20).in_memory().unwrap();
    let get = pb::AlarmRequest::default();
    let alarms = |request: &pb::AlarmRequest| answer::<pb::AlarmResponse>(&db, proto::ALARM, request).alarms;
    assert!(alarms(&get).is_empty());
    let large = pb::PutRequest { key: "k".into(), value: vec![7; 60 << 10].into(), ..Default::default() };
    let mut written = 0;
    let error = loop {
        match proto::execute(&db, proto::PUT, &large.encode_to_vec()) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "the quota is enforced");
    };
    assert_eq!(proto::message(&error), "etcdserver: mvcc: database space exceeded");
    // The quota refuses what would pass it, so the store itself stays just below, and nothing need be disarmed.
    let activate = pb::AlarmRequest { action: 1, alarm: 1, ..get };
    assert!(alarms(&activate).is_empty() && alarms(&pb::AlarmRequest { alarm: 2, ..get }).is_empty());
    let status: pb::StatusResponse = answer(&db, proto::STATUS, &pb::StatusRequest {});
    assert_eq!(status.db_size_quota, 1 << 20);
    delete(&db, "k", "");
}

#[test]
fn wa_02_wa_03_wa_08_a_watch_as_it_is_asked_for() {
    let db = four();
    let events = |request: &pb::WatchCreateRequest| {
        let mut watch = proto::watch_builder(&db, &request.encode_to_vec()).unwrap().start().unwrap();
        let mut events = Vec::new();
        while let Some(batch) = watch.try_next().unwrap() {
            events.extend(proto::watch_response(proto::Identity::of(&db), 7, batch).events);
        }
        events.iter().map(|event| (event.r#type, event.kv.as_ref().unwrap().mod_revision)).collect::<Vec<_>>()
    };
    delete(&db, "b", "");
    // An empty key is the least one; unknown filters are no filters.
    let all =
        pb::WatchCreateRequest { range_end: "\0".into(), start_revision: 4, filters: vec![5], ..Default::default() };
    assert_eq!(events(&all), [(0, 4), (0, 5), (1, 6)]);
    assert_eq!(events(&pb::WatchCreateRequest { filters: vec![0], ..all.clone() }), [(1, 6)]);
    assert_eq!(events(&pb::WatchCreateRequest { filters: vec![1, 1], ..all.clone() }), [(0, 4), (0, 5)]);
    assert_eq!(events(&pb::WatchCreateRequest { filters: vec![0, 1], ..all.clone() }), []);
    let refused = |request: &pb::WatchCreateRequest| {
        proto::watch_builder(&db, &request.encode_to_vec()).and_then(etclite::WatchBuilder::start).unwrap_err()
    };
    let empty = pb::WatchCreateRequest { key: "b".into(), range_end: "a".into(), ..Default::default() };
    assert_eq!(proto::message(&refused(&empty)), "mvcc: watcher range is empty");
    assert_eq!(refused(&pb::WatchCreateRequest { start_revision: -1, ..all.clone() }).code().name, "COMPACTED");
    compact(&db, 5);
    assert_eq!(refused(&all).detail(), 5);
}

#[test]
fn wa_07_a_watch_tells_what_was_before() {
    let db = four();
    let request =
        pb::WatchCreateRequest { key: "a".into(), prev_kv: true, progress_notify: true, ..Default::default() };
    let mut watch = proto::watch_builder(&db, &request.encode_to_vec()).unwrap().start().unwrap();
    put(&db, "a", "5");
    let response = proto::watch_response(proto::Identity::of(&db), 7, watch.try_next().unwrap().unwrap());
    assert_eq!((response.watch_id, response.header.unwrap().revision), (7, 6));
    let event = &response.events[0];
    assert_eq!(event.prev_kv.as_ref().unwrap().value, "4");
    assert_eq!(event.kv.as_ref().unwrap().version, 2);
}

#[test]
fn le_02_seconds_below_one_are_one() {
    let db = Db::in_memory().unwrap();
    for ttl in [0, -1, i64::MIN] {
        assert_eq!(grant(&db, 0, ttl).ttl, 1);
    }
    assert_eq!(grant(&db, -7, 5).id, -7);
    let request = pb::LeaseGrantRequest { ttl: 9_000_000_001, id: 0 };
    assert_eq!(proto::message(&refused(&db, proto::LEASE_GRANT, &request)), "etcdserver: too large lease TTL");
    let floor = Options::new().min_ttl(Duration::from_millis(1500)).in_memory().unwrap();
    assert_eq!(grant(&floor, 7, 1).ttl, 2, "what was granted rounds up");
}

#[test]
fn le_04_a_lease_that_is_gone_is_told_by_no_time() {
    let db = Db::in_memory().unwrap();
    grant(&db, 7, 5);
    let keep_alive =
        |id| answer::<pb::LeaseKeepAliveResponse>(&db, proto::LEASE_KEEPALIVE, &pb::LeaseKeepAliveRequest { id });
    assert_eq!((keep_alive(7).ttl, keep_alive(7).id), (5, 7));
    answer::<pb::LeaseRevokeResponse>(&db, proto::LEASE_REVOKE, &pb::LeaseRevokeRequest { id: 7 });
    assert_eq!((keep_alive(7).ttl, keep_alive(7).id), (0, 7));
    assert_eq!(refused(&db, proto::LEASE_REVOKE, &pb::LeaseRevokeRequest { id: 7 }).code().name, "LEASE_NOT_FOUND");
    // A store that is closed does not say so.
    db.close().unwrap();
    assert_eq!(refused(&db, proto::LEASE_KEEPALIVE, &pb::LeaseKeepAliveRequest { id: 7 }).code().name, "CLOSED");
}

#[test]
fn le_05_what_is_left_rounds_down() {
    let db = Db::in_memory().unwrap();
    grant(&db, 7, 100);
    answer::<pb::PutResponse>(&db, proto::PUT, &pb::PutRequest { key: "a".into(), lease: 7, ..Default::default() });
    let found = time_to_live(&db, 7, true);
    assert!((90..100).contains(&found.ttl), "a little has passed, so it is 99 at most: {}", found.ttl);
    assert_eq!((found.granted_ttl, &found.keys[..]), (100, &["a".into()][..]));
    assert!(time_to_live(&db, 7, false).keys.is_empty());
    let missing = time_to_live(&db, 8, true);
    assert_eq!((missing.ttl, missing.granted_ttl, missing.id), (-1, 0, 8));
}

#[test]
fn cl_05_status_of_a_cluster_of_one() {
    let db = four();
    let status: pb::StatusResponse = answer(&db, proto::STATUS, &pb::StatusRequest {});
    assert_eq!((&status.version[..], &status.storage_version[..]), ("3.7.1", "3.7.0"));
    assert_eq!(status.leader, db.stats().member_id);
    assert_eq!((status.raft_index, status.raft_applied_index, status.raft_term), (5, 5, 1));
    assert!(status.errors.is_empty() && !status.is_learner && status.db_size > 0 && status.db_size_in_use > 0);
    let done: pb::DefragmentResponse = answer(&db, proto::DEFRAGMENT, &pb::DefragmentRequest {});
    assert_eq!(done.header.unwrap().revision, 0, "it has no revision (RV-06)");
    db.close().unwrap();
    for operation in [proto::STATUS, proto::DEFRAGMENT, proto::ALARM, proto::STATS, proto::HASH] {
        assert_eq!(proto::execute(&db, operation, &[]).unwrap_err().code().name, "CLOSED", "{operation}");
    }
}

#[test]
fn unknown_fields_are_skipped() {
    let db = four();
    let mut request = single("a").encode_to_vec();
    // A number in field 99, bytes in field 100.
    request.extend([0x98, 0x06, 0x07, 0xa2, 0x06, 0x02, b'x', b'y']);
    let reply = proto::execute(&db, proto::RANGE, &request).unwrap().to_vec();
    assert_eq!(keys(&pb::RangeResponse::decode(&reply[..]).unwrap()), "a");
}

#[test]
fn replies_know_their_length_and_fill_any_buffer() {
    let db = four();
    put(&db, "a", &"long".repeat(100));
    let request = range("a", "z").encode_to_vec();
    let reply = proto::execute(&db, proto::RANGE, &request).unwrap();
    let mut exact = vec![0; reply.len()];
    reply.write(&mut &mut exact[..]);
    assert_eq!(exact, reply.to_vec());
    assert_eq!(pb::RangeResponse::decode(&exact[..]).unwrap().encode_to_vec(), exact);
    assert!(!reply.is_empty());
}
