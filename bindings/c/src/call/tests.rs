//! Requests in bytes: the layout, and that each runs once.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "all that is passed in lives in the caller's frame")]

use std::ptr;

use etclite::proto::etcdserverpb as pb;
use etclite::proto::{PUT, RANGE, TXN};
use prost::Message;

use super::*;
use crate::buf::etclite_buf_free;
use crate::code::*;
use crate::fixture::{Store, fails};

fn put(key: &str, value: &str) -> Vec<u8> {
    let put = pb::PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
    pb::PutRequest { prev_kv: true, ..put }.encode_to_vec()
}

fn range(key: &str) -> Vec<u8> {
    pb::RangeRequest { key: key.to_owned().into(), ..Default::default() }.encode_to_vec()
}

/// Calls with room for `cap` bytes. The bytes that come out, and whether they spilled.
fn receive(
    cap: usize,
    call: impl FnOnce(*mut u8, *mut usize, *mut etclite_buf, *mut etclite_error) -> i32,
) -> Result<(Vec<u8>, bool), (i32, i64)> {
    let (mut out, mut len) = (vec![0xaa; cap], usize::MAX);
    let mut spill = etclite_buf { data: ptr::null(), len: 9, token: 9 };
    let (status, detail) = fails(|err| call(out.as_mut_ptr(), &raw mut len, &raw mut spill, err));
    if status != ETCLITE_OK {
        assert_eq!((len, spill.len, spill.token), (usize::MAX, 0, 0));
        return Err((status, detail));
    }
    if spill.token == 0 {
        assert!(out[len..].iter().all(|byte| *byte == 0xaa), "written beyond the reply");
        out.truncate(len);
        return Ok((out, false));
    }
    assert!(len == 0 && spill.len > cap && out.iter().all(|byte| *byte == 0xaa));
    let bytes = unsafe { std::slice::from_raw_parts(spill.data, spill.len) }.to_vec();
    let mut copy = spill;
    assert_eq!(unsafe { etclite_buf_free(&raw mut spill) }, ETCLITE_OK);
    assert_eq!(unsafe { etclite_buf_free(&raw mut spill) }, ETCLITE_OK, "it is empty now");
    assert_eq!(unsafe { etclite_buf_free(&raw mut copy) }, ETCLITE_E_MISUSE);
    Ok((bytes, true))
}

fn call(store: &Store, op: u32, request: &[u8], cap: usize) -> Result<(Vec<u8>, bool), (i32, i64)> {
    receive(cap, |out, len, spill, err| unsafe {
        etclite_call(store.db, op, request.as_ptr(), request.len(), out, cap, len, spill, err)
    })
}

fn call_batch(store: &Store, requests: &[u8], cap: usize) -> Result<(Vec<u8>, bool), (i32, i64)> {
    receive(cap, |out, len, spill, err| unsafe {
        etclite_call_batch(store.db, requests.as_ptr(), requests.len(), out, cap, len, spill, err)
    })
}

/// The layout of section 6, written anew.
fn encode(parts: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (op, part) in parts {
        bytes.extend(op.to_le_bytes());
        bytes.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        bytes.extend(part);
        bytes.resize(bytes.len().div_ceil(8) * 8, 0);
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Vec<(i32, Vec<u8>)> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let status = i32::from_le_bytes(bytes[..4].try_into().unwrap());
        let len = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        let end = 8 + len.div_ceil(8) * 8;
        assert!(bytes[8 + len..end].iter().all(|byte| *byte == 0), "padded with zeros");
        parts.push((status, bytes[8..8 + len].to_vec()));
        bytes = &bytes[end..];
    }
    parts
}

#[test]
fn a_reply_fits_exactly_or_spills_whole_and_the_request_runs_once() {
    let store = Store::new();
    let (reply, spilled) = call(&store, PUT, &put("k", "1"), 4096).unwrap();
    assert_eq!(pb::PutResponse::decode(&reply[..]).unwrap().header.unwrap().revision, 2);
    assert!(!spilled);
    let (reply, spilled) = call(&store, PUT, &put("k", "2"), 0).unwrap();
    assert_eq!(pb::PutResponse::decode(&reply[..]).unwrap().prev_kv.unwrap().value, "1");
    assert!(spilled);
    let (reply, _) = call(&store, RANGE, &range("k"), 4096).unwrap();
    assert_eq!(pb::RangeResponse::decode(&reply[..]).unwrap().kvs[0].version, 2);
    assert_eq!(call(&store, RANGE, &range("k"), reply.len()).unwrap(), (reply.clone(), false));
    assert_eq!(call(&store, RANGE, &range("k"), reply.len() - 1).unwrap(), (reply, true));
}

#[test]
fn an_operation_that_is_none_and_bytes_that_are_none_are_refused() {
    let store = Store::new();
    for op in [0, 6, 30, 33, 34, 999, u32::MAX] {
        assert_eq!(call(&store, op, &[], 64), Err((ETCLITE_E_UNSUPPORTED, 0)), "{op}");
    }
    assert_eq!(call(&store, PUT, &[0xff], 64), Err((ETCLITE_E_INVALID_ARGUMENT, 0)));
    assert_eq!(call(&store, PUT, &put("", ""), 64), Err((ETCLITE_E_EMPTY_KEY, 0)));
    let (mut len, mut spill) = (0, etclite_buf::EMPTY);
    let (len, spill) = (&raw mut len, &raw mut spill);
    let nulls = |request_len, cap, len, spill| {
        let (request, out) = (ptr::null(), ptr::null_mut());
        fails(|err| unsafe { etclite_call(store.db, 14, request, request_len, out, cap, len, spill, err) }).0
    };
    assert_eq!(nulls(5, 0, len, spill), ETCLITE_E_MISUSE);
    assert_eq!(nulls(0, 5, len, spill), ETCLITE_E_MISUSE);
    assert_eq!(nulls(0, 0, ptr::null_mut(), spill), ETCLITE_E_MISUSE);
    assert_eq!(nulls(0, 0, len, ptr::null_mut()), ETCLITE_E_MISUSE);
    assert_eq!(nulls(0, 0, len, spill), ETCLITE_OK);
    assert_eq!(unsafe { etclite_buf_free(spill) }, ETCLITE_OK);
}

#[test]
fn a_batch_runs_in_order_each_with_its_own_revision_and_status() {
    let store = Store::new();
    let requests = [
        (PUT, put("k", "1")),
        (PUT, put("", "")),
        (999, vec![]),
        (PUT, put("k", "22")),
        (RANGE, range("k")),
        (TXN, vec![0xff]),
        (PUT, put("k", "333")),
    ];
    let (reply, spilled) = call_batch(&store, &encode(&requests), 4096).unwrap();
    let replies = decode(&reply);
    let statuses: Vec<_> = replies.iter().map(|(status, _)| *status).collect();
    let (empty, unsupported, invalid) = (ETCLITE_E_EMPTY_KEY, ETCLITE_E_UNSUPPORTED, ETCLITE_E_INVALID_ARGUMENT);
    assert_eq!((statuses, spilled), (vec![0, empty, unsupported, 0, 0, invalid, 0], false));
    let revision = |index: usize| pb::PutResponse::decode(&replies[index].1[..]).unwrap().header.unwrap().revision;
    assert_eq!([revision(0), revision(3), revision(6)], [2, 3, 4]);
    assert_eq!(pb::RangeResponse::decode(&replies[4].1[..]).unwrap().kvs[0].value, "22");
    assert_eq!(String::from_utf8_lossy(&replies[1].1), "key is not provided");
}

#[test]
fn a_batch_that_spills_ran_once() {
    let store = Store::new();
    let requests = encode(&vec![(PUT, put("k", "v")); 1024]);
    assert!(requests.len() > 8000);
    let (reply, spilled) = call_batch(&store, &requests, 64).unwrap();
    assert!(spilled && decode(&reply).len() == 1024 && decode(&reply).iter().all(|(status, _)| *status == 0));
    assert_eq!(store.put("other", ""), 1026);
    assert_eq!(call_batch(&store, &[], 0).unwrap(), (vec![], false), "nothing is a batch");
}

#[test]
fn a_batch_beyond_its_limits_or_torn_does_nothing() {
    let store = Store::new();
    let many = encode(&vec![(PUT, put("k", "v")); 1025]);
    assert_eq!(call_batch(&store, &many, 64), Err((ETCLITE_E_REQUEST_TOO_LARGE, 1024)));
    let value = "v".repeat(1 << 19);
    let large = encode(&[(PUT, put("k", &value)), (PUT, put("k", &value))]);
    assert_eq!(call_batch(&store, &large, 64), Err((ETCLITE_E_REQUEST_TOO_LARGE, 1 << 20)));
    let whole = encode(&[(PUT, put("k", "1")), (PUT, put("k", "22"))]);
    let first = encode(&[(PUT, put("k", "1"))]).len();
    for end in (1..whole.len()).filter(|end| *end != first) {
        assert_eq!(call_batch(&store, &whole[..end], 64), Err((ETCLITE_E_INVALID_ARGUMENT, 0)), "{end}");
    }
    assert_eq!(store.put("k", ""), 2, "nothing was done");
}

#[test]
fn a_panic_is_told_and_the_store_takes_no_more_writes() {
    let store = Store::new();
    store.put("k", "1");
    assert_eq!(call(&store, 0xffff, &[], 64), Err((ETCLITE_E_PANIC, 0)));
    assert_eq!(call(&store, PUT, &put("k", "2"), 64), Err((ETCLITE_E_POISONED, 0)));
    assert_eq!(store.get("k", 0).as_deref(), Some("1"));
    let other = Store::new();
    assert_eq!(call_batch(&other, &encode(&[(PUT, put("k", "1")), (0xffff, vec![])]), 64), Err((ETCLITE_E_PANIC, 0)));
}

#[test]
fn a_write_whose_answer_has_no_handle_is_not_told_as_nothing_done_and_a_read_is() {
    assert_eq!(Failure::full("handles", 1).after(true).code(), ETCLITE_E_INDETERMINATE);
    assert_eq!(Failure::full("handles", 1).after(false).code(), ETCLITE_E_FULL);
    assert_eq!(Failure::from(Error::Closed).after(true).code(), ETCLITE_E_CLOSED);
    assert_eq!(Failure::null().after(true).code(), ETCLITE_E_MISUSE);
}

#[test]
fn what_has_written_is_told_from_what_has_not() {
    let store = Store::new();
    let db = database(store.db).ok().unwrap();
    let wrote = |op, request: &[u8]| proto::execute(&db.db, op, request).map(|reply| reply.may_have_written());
    assert!(wrote(PUT, &put("k", "1")).unwrap());
    assert!(!wrote(RANGE, &range("k")).unwrap());
    let delete = |key: &str| pb::DeleteRangeRequest { key: key.to_owned().into(), ..Default::default() };
    assert!(!wrote(proto::DELETE_RANGE, &delete("no").encode_to_vec()).unwrap());
    let txn = |request: pb::request_op::Request, compare: Vec<pb::Compare>| {
        let op = pb::RequestOp { request: Some(request) };
        pb::TxnRequest { success: vec![op], compare, ..Default::default() }.encode_to_vec()
    };
    let put = || pb::request_op::Request::RequestPut(pb::PutRequest { key: "k".into(), ..Default::default() });
    let read = pb::request_op::Request::RequestRange(pb::RangeRequest { key: "k".into(), ..Default::default() });
    assert!(!wrote(TXN, &txn(read, vec![])).unwrap());
    assert!(!wrote(TXN, &txn(pb::request_op::Request::RequestDeleteRange(delete("no")), vec![])).unwrap());
    assert!(wrote(TXN, &txn(put(), vec![])).unwrap());
    let nested = pb::TxnRequest { success: vec![pb::RequestOp { request: Some(put()) }], ..Default::default() };
    assert!(wrote(TXN, &txn(pb::request_op::Request::RequestTxn(nested), vec![])).unwrap());
    let never = pb::Compare { key: "k".into(), ..Default::default() };
    assert!(!wrote(TXN, &txn(put(), vec![never])).unwrap(), "version 0 of a key that is there");
    let reads = [proto::LEASE_TIME_TO_LIVE, proto::LEASE_LEASES, proto::STATUS, proto::HASH_KV, proto::HASH];
    let ours = [proto::ALARM, proto::LEASE_LIST_MS, proto::CURSOR_LIST, proto::STATS];
    for op in reads.into_iter().chain(ours) {
        assert_eq!(wrote(op, &[]).ok(), Some(false), "{op}");
    }
    assert!(wrote(proto::LEASE_GRANT, &pb::LeaseGrantRequest { ttl: 60, id: 7 }.encode_to_vec()).unwrap());
    assert!(!wrote(proto::LEASE_TIME_TO_LIVE_MS, &[8, 7]).unwrap());
    assert!(wrote(proto::LEASE_KEEPALIVE, &pb::LeaseKeepAliveRequest { id: 7 }.encode_to_vec()).unwrap());
    assert!(wrote(proto::SYNC, &[]).unwrap());
    assert!(wrote(proto::DELETE_RANGE, &delete("k").encode_to_vec()).unwrap());
}
