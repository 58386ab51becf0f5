//! The operations from 1000 on, each against the store: times in milliseconds, fences, operation ids, leases in txns, cursors.

use etclite::proto::{etcdserverpb as pb, etclitepb as our};
use etclite::{Db, Options, proto};
use our::request_op::Request;

use crate::call::{answer, compact, delete, put, refused};

fn etcd_put(key: &str, value: &str) -> Option<pb::PutRequest> {
    Some(pb::PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() })
}

fn put_op(key: &str, value: &str) -> our::RequestOp {
    op(Request::Put(our::PutRequest { put: etcd_put(key, value), ..Default::default() }))
}

fn op(request: Request) -> our::RequestOp {
    our::RequestOp { request: Some(request) }
}

fn grant_ms(db: &Db, id: i64, ttl_ms: i64) -> our::LeaseGrantResponse {
    answer(db, proto::LEASE_GRANT_MS, &our::LeaseGrantRequest { ttl_ms, id, ..Default::default() })
}

fn value(db: &Db, key: &str) -> String {
    db.get(key).unwrap().map_or_else(String::new, |kv| String::from_utf8(kv.value.to_vec()).unwrap())
}

/// A lock's token over lease 7, whose key is `lock`.
fn token(db: &Db) -> our::Token {
    grant_ms(db, 7, 60_000);
    let put = pb::PutRequest { key: "lock".into(), lease: 7, ..Default::default() };
    let revision = answer::<pb::PutResponse>(db, proto::PUT, &put).header.unwrap().revision;
    our::Token { key: "lock".into(), revision, lease: 7 }
}

#[test]
fn x_01_fenced_writes_fail_once_the_lock_is_lost() {
    let db = Db::in_memory().unwrap();
    let fences = vec![token(&db)];
    let put = our::PutRequest { put: etcd_put("a", "1"), fences: fences.clone(), ..Default::default() };
    let delete_range = Some(pb::DeleteRangeRequest { key: "a".into(), prev_kv: true, ..Default::default() });
    let delete_range = our::DeleteRangeRequest { delete_range, fences: fences.clone(), operation: None };
    let txn = our::TxnRequest { fences, success: vec![put_op("a", "2")], ..Default::default() };

    let response: our::PutResponse = answer(&db, proto::PUT_WITH, &put);
    assert_eq!(response.response.unwrap().header.unwrap().revision, 3);
    let response: our::DeleteRangeResponse = answer(&db, proto::DELETE_RANGE_WITH, &delete_range);
    assert_eq!(response.response.unwrap().prev_kvs[0].value, "1");
    assert!(answer::<our::TxnResponse>(&db, proto::TXN_WITH, &txn).succeeded);

    delete(&db, "lock", "");
    for error in [
        refused(&db, proto::PUT_WITH, &put),
        refused(&db, proto::DELETE_RANGE_WITH, &delete_range),
        refused(&db, proto::TXN_WITH, &txn),
    ] {
        assert_eq!((error.code().name, &proto::message(&error)[..]), ("SESSION_EXPIRED", "mutex: session is expired"));
    }
    assert_eq!(value(&db, "a"), "2");
}

#[test]
fn x_01_a_token_as_a_compare() {
    let db = Db::in_memory().unwrap();
    let held = our::compare::Compare::Held(token(&db));
    let mut txn = our::TxnRequest { compare: vec![our::Compare { compare: Some(held) }], ..Default::default() };
    assert!(answer::<our::TxnResponse>(&db, proto::TXN_WITH, &txn).succeeded);
    delete(&db, "lock", "");
    assert!(!answer::<our::TxnResponse>(&db, proto::TXN_WITH, &txn).succeeded);
    txn.compare = vec![our::Compare::default()];
    assert_eq!(refused(&db, proto::TXN_WITH, &txn).code().name, "INVALID_ARGUMENT");
    let held = our::compare::Compare::Held(our::Token::default());
    txn.compare = vec![our::Compare { compare: Some(held) }];
    assert_eq!(refused(&db, proto::TXN_WITH, &txn).code().name, "EMPTY_KEY");
}

#[test]
fn x_03_every_write_with_an_id_takes_effect_once() {
    let db = Db::in_memory().unwrap();
    let mut id = 0;
    let mut operation = || {
        id += 1;
        Some(our::Operation { high: id, low: 0, since: Some(1) })
    };
    // A put.
    let mut request = our::PutRequest { put: etcd_put("a", "1"), operation: operation(), ..Default::default() };
    let first: our::PutResponse = answer(&db, proto::PUT_WITH, &request);
    put(&db, "a", "2");
    let again: our::PutResponse = answer(&db, proto::PUT_WITH, &request);
    assert_eq!((first.response, first.replay), (again.response, Some(our::Replay::default())));
    assert_eq!(again.replay, Some(our::Replay { replayed: true, truncated: false }));
    assert_eq!(value(&db, "a"), "2");
    // The id names this put and no other.
    request.put = etcd_put("a", "3");
    assert_eq!(refused(&db, proto::PUT_WITH, &request).code().name, "INVALID_ARGUMENT");
    // A delete, a txn, a grant, a revoke, an advance.
    let delete_range = Some(pb::DeleteRangeRequest { key: "a".into(), ..Default::default() });
    let request = our::DeleteRangeRequest { delete_range, operation: operation(), fences: vec![] };
    let deleted = || {
        let response: our::DeleteRangeResponse = answer(&db, proto::DELETE_RANGE_WITH, &request);
        (response.response.unwrap().deleted, response.replay.unwrap().replayed)
    };
    assert_eq!((deleted(), deleted()), ((1, false), (1, true)));
    let txn = our::TxnRequest { success: vec![put_op("b", "1")], operation: operation(), ..Default::default() };
    let done = || {
        let response: our::TxnResponse = answer(&db, proto::TXN_WITH, &txn);
        (
            response.header.unwrap().revision,
            response.succeeded,
            response.responses.len(),
            response.replay.unwrap().replayed,
        )
    };
    assert_eq!((done(), done()), ((5, true, 1, false), (5, true, 1, true)));
    let grant = our::LeaseGrantRequest { ttl_ms: 60_000, operation: operation(), ..Default::default() };
    let granted = || answer::<our::LeaseGrantResponse>(&db, proto::LEASE_GRANT_MS, &grant);
    let (first, again) = (granted(), granted());
    assert!(first.id == again.id && !first.replay.unwrap().replayed && again.replay.unwrap().replayed);
    let revoke = our::LeaseRevokeRequest { id: first.id, operation: operation() };
    let revoked =
        || answer::<our::LeaseRevokeResponse>(&db, proto::LEASE_REVOKE_WITH, &revoke).replay.unwrap().replayed;
    assert_eq!((revoked(), revoked()), (false, true));
    let create = our::CursorCreateRequest {
        name: "c".into(),
        key: "a".into(),
        position: Some(1),
        operation: operation(),
        ..Default::default()
    };
    let created = || {
        let response: our::CursorResponse = answer(&db, proto::CURSOR_CREATE, &create);
        (response.cursor.map(|cursor| cursor.position), response.replay.unwrap().replayed)
    };
    assert_eq!((created(), created()), ((Some(1), false), (Some(1), true)));
    let advance = our::CursorAdvanceRequest { name: "c".into(), from: 1, to: 3, operation: operation() };
    let advanced = || {
        let response: our::CursorAdvanceResponse = answer(&db, proto::CURSOR_ADVANCE, &advance);
        (response.position, response.replay.unwrap().replayed)
    };
    assert_eq!((advanced(), advanced()), ((3, false), (3, true)));
    let reset = our::CursorResetRequest { name: "c".into(), to: 2, operation: operation() };
    let drop = our::CursorDropRequest { name: "c".into(), operation: operation() };
    let position = |response: our::CursorPositionResponse| (response.position, response.replay.unwrap().replayed);
    let moved = || position(answer(&db, proto::CURSOR_RESET, &reset));
    let dropped = || position(answer(&db, proto::CURSOR_DROP, &drop));
    assert_eq!((moved(), moved()), ((2, false), (2, true)));
    assert_eq!((dropped(), dropped()), ((2, false), (2, true)));
    assert_eq!(created(), (None, true), "it was made, once, and is gone");
    // None has the number zero.
    let zero =
        our::PutRequest { put: etcd_put("a", "1"), operation: Some(our::Operation::default()), ..Default::default() };
    assert_eq!(refused(&db, proto::PUT_WITH, &zero).code().name, "INVALID_ARGUMENT");
}

#[test]
fn x_03_both_halves_of_an_id_count() {
    let db = Db::in_memory().unwrap();
    let put = |high, low| {
        let operation = Some(our::Operation { high, low, since: None });
        let request = our::PutRequest { put: etcd_put("a", "1"), operation, ..Default::default() };
        answer::<our::PutResponse>(&db, proto::PUT_WITH, &request).replay.unwrap().replayed
    };
    assert_eq!([put(1, 2), put(2, 1), put(0, 1), put(1, 0), put(1, 2)], [false, false, false, false, true]);
}

#[test]
fn x_03_a_fenced_write_with_an_id_is_repeated_after_the_lock_is_lost() {
    let db = Db::in_memory().unwrap();
    let request = our::PutRequest {
        put: etcd_put("a", "1"),
        fences: vec![token(&db)],
        operation: Some(our::Operation { high: 1, low: 1, since: None }),
        ttl_ms: None,
    };
    let first: our::PutResponse = answer(&db, proto::PUT_WITH, &request);
    delete(&db, "lock", "");
    let again: our::PutResponse = answer(&db, proto::PUT_WITH, &request);
    assert_eq!(first.response, again.response);
    assert!(again.replay.unwrap().replayed);
}

#[test]
fn x_04_cursors_by_message() {
    let db = Db::in_memory().unwrap();
    let create = our::CursorCreateRequest {
        name: "c".into(),
        key: "a".into(),
        range_end: "b".into(),
        position: Some(1),
        no_delete: true,
        max_lag: 100,
        max_age_ms: 2_000,
        ..Default::default()
    };
    let made: our::CursorResponse = answer(&db, proto::CURSOR_CREATE, &create);
    let expected = our::CursorStatus {
        name: "c".into(),
        key: "a".into(),
        range_end: "b".into(),
        position: 1,
        no_delete: true,
        max_lag: 100,
        max_age_ms: 2_000,
        ..Default::default()
    };
    assert_eq!(made.cursor.as_ref(), Some(&expected));
    put(&db, "a", "1");
    put(&db, "a", "2");
    // A cursor holds compaction; the answer says how far it went.
    let compacted: our::CompactResponse =
        answer(&db, proto::COMPACT_WITH, &our::CompactRequest { revision: 3, physical: true });
    assert_eq!((compacted.header.unwrap().revision, compacted.compact_revision), (3, 2));
    // It advances with what its consumer writes.
    let advance = |from, to| our::CursorAdvanceRequest { name: "c".into(), from, to, operation: None };
    let txn = our::TxnRequest {
        success: vec![put_op("done", "2"), op(Request::Advance(advance(1, 2)))],
        ..Default::default()
    };
    let response: our::TxnResponse = answer(&db, proto::TXN_WITH, &txn);
    let Some(our::response_op::Response::Advance(advanced)) = &response.responses[1].response else { panic!() };
    assert_eq!((advanced.position, response.header.unwrap().revision), (2, 4));
    let error = refused(&db, proto::TXN_WITH, &txn);
    assert_eq!((error.code().name, error.detail()), ("CURSOR_MOVED", 2));
    assert_eq!(refused(&db, proto::CURSOR_ADVANCE, &advance(2, 99)).code().name, "FUTURE_REVISION");
    let reset = our::CursorResetRequest { name: "c".into(), to: 4, operation: None };
    assert_eq!(answer::<our::CursorPositionResponse>(&db, proto::CURSOR_RESET, &reset).position, 4);
    let all =
        our::CursorCreateRequest { name: "all".into(), key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    answer::<our::CursorResponse>(&db, proto::CURSOR_CREATE, &all);
    let one = our::CursorCreateRequest { name: "one".into(), key: "k".into(), no_put: true, ..Default::default() };
    answer::<our::CursorResponse>(&db, proto::CURSOR_CREATE, &one);
    let listed: our::CursorListResponse = answer(&db, proto::CURSOR_LIST, &our::CursorListRequest {});
    let spelled: Vec<_> =
        listed.cursors.iter().map(|c| (&c.name[..], &c.key[..], &c.range_end[..], c.position)).collect();
    assert_eq!(spelled, [(&b"all"[..], &b"\0"[..], &b"\0"[..], 4), (b"c", b"a", b"b", 4), (b"one", b"k", b"", 4)]);
    let status = our::CursorStatusRequest { name: "c".into() };
    let found: our::CursorResponse = answer(&db, proto::CURSOR_STATUS, &status);
    assert_eq!(found.cursor, Some(our::CursorStatus { position: 4, ..expected }));
    let dropped: our::CursorPositionResponse =
        answer(&db, proto::CURSOR_DROP, &our::CursorDropRequest { name: "c".into(), operation: None });
    assert_eq!(dropped.position, 4);
    assert_eq!(refused(&db, proto::CURSOR_STATUS, &status).code().name, "CURSOR_NOT_FOUND");
    assert_eq!(
        refused(&db, proto::CURSOR_CREATE, &our::CursorCreateRequest::default()).code().name,
        "INVALID_ARGUMENT"
    );
}

#[test]
fn x_06_a_put_for_a_time() {
    let db = Db::in_memory().unwrap();
    let with_ttl = |ttl_ms| our::PutRequest { put: etcd_put("a", "1"), ttl_ms: Some(ttl_ms), ..Default::default() };
    answer::<our::PutResponse>(&db, proto::PUT_WITH, &with_ttl(60_000));
    let lease = db.get("a").unwrap().unwrap().lease.get();
    let request = our::LeaseTimeToLiveRequest { id: lease, keys: true };
    let found: our::LeaseTimeToLiveResponse = answer(&db, proto::LEASE_TIME_TO_LIVE_MS, &request);
    let status = found.lease.unwrap();
    assert!(status.remaining_ms > 50_000 && status.key_count == 1 && status.keys == ["a"]);
    assert_eq!(refused(&db, proto::PUT_WITH, &with_ttl(i64::MAX)).code().name, "LEASE_TTL_TOO_LARGE");
    let leased = pb::PutRequest { lease: 7, ..etcd_put("a", "1").unwrap() };
    let both = our::PutRequest { put: Some(leased), ttl_ms: Some(5), ..Default::default() };
    assert_eq!(refused(&db, proto::PUT_WITH, &both).code().name, "INVALID_ARGUMENT");
    assert_eq!(refused(&db, proto::PUT_WITH, &our::PutRequest::default()).code().name, "EMPTY_KEY");
}

#[test]
fn x_07_leases_in_milliseconds() {
    let db = Db::in_memory().unwrap();
    let granted = grant_ms(&db, 7, 123_456);
    assert_eq!((granted.id, granted.ttl_ms, granted.replay), (7, 123_456, None));
    assert!(grant_ms(&db, 0, 99_000).id > 0);
    assert_eq!(
        refused(&db, proto::LEASE_GRANT_MS, &our::LeaseGrantRequest { id: 7, ..Default::default() }).code().name,
        "LEASE_EXISTS"
    );
    let delayed = our::LeaseGrantRequest { ttl_ms: 5, lock_delay_ms: 60_001, ..Default::default() };
    assert!(refused(&db, proto::LEASE_GRANT_MS, &delayed).code().number < 0, "a lock delay is bounded (X-02)");
    let kept: our::LeaseKeepAliveResponse =
        answer(&db, proto::LEASE_KEEPALIVE_MS, &our::LeaseKeepAliveRequest { id: 7 });
    assert_eq!((kept.id, kept.ttl_ms), (7, 123_456));
    let listed: our::LeaseListResponse = answer(&db, proto::LEASE_LIST_MS, &our::LeaseListRequest {});
    let listed: Vec<_> = listed.leases.iter().map(|lease| (lease.granted_ms, lease.remaining_ms > 0)).collect();
    assert_eq!(listed, [(99_000, true), (123_456, true)], "by the time they end");
    let leased = pb::PutRequest { lease: 7, ..etcd_put("a", "1").unwrap() };
    answer::<pb::PutResponse>(&db, proto::PUT, &leased);
    let revoked: our::LeaseRevokeResponse =
        answer(&db, proto::LEASE_REVOKE_WITH, &our::LeaseRevokeRequest { id: 7, operation: None });
    assert_eq!((revoked.header.unwrap().revision, revoked.deleted, revoked.replay), (3, 1, None));
    for error in [
        refused(&db, proto::LEASE_KEEPALIVE_MS, &our::LeaseKeepAliveRequest { id: 7 }),
        refused(&db, proto::LEASE_TIME_TO_LIVE_MS, &our::LeaseTimeToLiveRequest { id: 7, keys: false }),
        refused(&db, proto::LEASE_REVOKE_WITH, &our::LeaseRevokeRequest { id: 7, operation: None }),
    ] {
        assert_eq!(error.code().name, "LEASE_NOT_FOUND");
    }
}

#[test]
fn x_08_leases_inside_a_txn() {
    let db = Db::in_memory().unwrap();
    let leased = pb::PutRequest { lease: 7, ..etcd_put("a", "1").unwrap() };
    let grant = our::LeaseGrantRequest { id: 7, ttl_ms: 60_000, ..Default::default() };
    let alive = our::Compare { compare: Some(our::compare::Compare::LeaseAlive(7)) };
    let nested = our::TxnRequest {
        compare: vec![our::Compare {
            compare: Some(our::compare::Compare::Etcd(pb::Compare { key: "a".into(), ..Default::default() })),
        }],
        success: vec![op(Request::Range(pb::RangeRequest { key: "a".into(), ..Default::default() }))],
        ..Default::default()
    };
    let txn = our::TxnRequest {
        compare: vec![alive],
        success: vec![op(Request::Revoke(7))],
        failure: vec![
            op(Request::Grant(grant)),
            op(Request::Put(our::PutRequest { put: Some(leased), ..Default::default() })),
            op(Request::Txn(nested)),
            op(Request::DeleteRange(pb::DeleteRangeRequest { key: "x".into(), ..Default::default() })),
        ],
        ..Default::default()
    };
    let response: our::TxnResponse = answer(&db, proto::TXN_WITH, &txn);
    assert!(!response.succeeded && response.header.unwrap().revision == 2);
    let Some(our::response_op::Response::Grant(granted)) = &response.responses[0].response else { panic!() };
    assert_eq!((granted.id, granted.ttl_ms, granted.header.unwrap().revision), (7, 60_000, 1));
    let Some(our::response_op::Response::Txn(nested)) = &response.responses[2].response else { panic!() };
    assert!(nested.succeeded && nested.header.unwrap().revision == 0);
    let Some(our::response_op::Response::Range(range)) = &nested.responses[0].response else { panic!() };
    assert_eq!(range.kvs[0].lease, 7);
    let Some(our::response_op::Response::DeleteRange(deleted)) = &response.responses[3].response else { panic!() };
    assert_eq!(deleted.deleted, 0);
    let response: our::TxnResponse = answer(&db, proto::TXN_WITH, &txn);
    let Some(our::response_op::Response::Revoke(revoked)) = &response.responses[0].response else { panic!() };
    assert_eq!((revoked.deleted, revoked.header.unwrap().revision), (1, 3));
    assert_eq!(value(&db, "a"), "");
}

#[test]
fn what_belongs_to_a_whole_request_is_refused_inside() {
    let db = Db::in_memory().unwrap();
    let operation = Some(our::Operation { high: 1, low: 1, since: None });
    let fences = vec![our::Token { key: "lock".into(), revision: 2, lease: 7 }];
    let put = our::PutRequest { put: etcd_put("a", "1"), ..Default::default() };
    let grant = our::LeaseGrantRequest { id: 7, ttl_ms: 5, operation, ..Default::default() };
    let inner = [
        Request::Put(our::PutRequest { operation, ..put.clone() }),
        Request::Put(our::PutRequest { fences: fences.clone(), ..put }),
        Request::Txn(our::TxnRequest { operation, ..Default::default() }),
        Request::Txn(our::TxnRequest { fences, ..Default::default() }),
        Request::Grant(grant),
        Request::Advance(our::CursorAdvanceRequest { name: "c".into(), operation, ..Default::default() }),
    ];
    for request in inner {
        let txn = our::TxnRequest { failure: vec![op(request)], ..Default::default() };
        assert_eq!(refused(&db, proto::TXN_WITH, &txn).code().name, "INVALID_ARGUMENT");
    }
    let nothing = our::TxnRequest { success: vec![our::RequestOp::default()], ..Default::default() };
    assert_eq!(refused(&db, proto::TXN_WITH, &nothing).code().name, "KEY_NOT_FOUND", "TX-15");
    let db = Options::new().txn_ops_max(1).in_memory().unwrap();
    let two = our::TxnRequest { success: vec![our::RequestOp::default(); 2], ..Default::default() };
    assert_eq!(refused(&db, proto::TXN_WITH, &two).code().name, "TOO_MANY_OPS", "TX-08");
}

#[test]
fn sync_compaction_and_sizes() {
    let db = Db::in_memory().unwrap();
    put(&db, "a", "1");
    for flush in [false, true] {
        let synced: our::SyncResponse = answer(&db, proto::SYNC, &our::SyncRequest { flush });
        assert_eq!(synced.header.unwrap().revision, 2);
    }
    compact(&db, 2);
    let told: our::StatsResponse = answer(&db, proto::STATS, &our::StatsRequest {});
    let stats = db.stats();
    assert_eq!((told.compact_revision, told.header.unwrap().revision), (2, 2));
    assert!(told.runs > 0, "flushed");
    assert_eq!((told.runs, told.run_entries, told.log_segments), (stats.runs, stats.run_entries, stats.log_segments));
    assert_eq!(told.problem, "");
    assert_eq!(
        refused(&db, proto::COMPACT_WITH, &our::CompactRequest { revision: -1, physical: false }).code().name,
        "COMPACTED"
    );
}
