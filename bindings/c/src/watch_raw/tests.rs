//! Watches in etcd's messages.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "all that is passed in lives in the caller's frame")]

use std::ptr;

use etclite::proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use prost::Message;

use super::*;
use crate::buf::etclite_buf_free;
use crate::code::{ETCLITE_E_CLOSED, ETCLITE_E_COMPACTED, ETCLITE_E_INVALID_ARGUMENT, ETCLITE_TIMEOUT};
use crate::fixture::{Store, fails, ok};
use crate::watch::tests::Watched;

fn create(store: &Store, request: &WatchCreateRequest) -> Watched {
    let request = request.encode_to_vec();
    let mut watch = ptr::null_mut();
    ok(|err| unsafe { etclite_watch_create_raw(store.db, request.as_ptr(), request.len(), &raw mut watch, err) });
    Watched { watch }
}

fn on(key: &str) -> WatchCreateRequest {
    WatchCreateRequest { key: key.to_owned().into(), ..WatchCreateRequest::default() }
}

/// A response, and whether it spilled.
fn next(watched: &Watched, bytes_max: usize, cap: usize) -> Result<(WatchResponse, bool), (i32, i64)> {
    let (mut out, mut len) = (vec![0; cap], usize::MAX);
    let mut spill = etclite_buf { data: ptr::null(), len: 9, token: 9 };
    let (status, detail) = fails(|err| unsafe {
        etclite_watch_next_raw(watched.watch, bytes_max, out.as_mut_ptr(), cap, &raw mut len, &raw mut spill, err)
    });
    if status != ETCLITE_OK {
        assert_eq!((spill.token, len), (0, usize::MAX));
        return Err((status, detail));
    }
    if spill.token == 0 {
        return Ok((WatchResponse::decode(&out[..len]).unwrap(), false));
    }
    assert!(len == 0 && spill.len > cap);
    let response = WatchResponse::decode(unsafe { std::slice::from_raw_parts(spill.data, spill.len) }).unwrap();
    assert_eq!(unsafe { etclite_buf_free(&raw mut spill) }, ETCLITE_OK);
    Ok((response, true))
}

#[test]
fn a_response_fits_or_spills_whole() {
    let store = Store::new();
    let watched = create(&store, &WatchCreateRequest { prev_kv: true, ..on("k") });
    assert_eq!(next(&watched, 0, 0), Err((ETCLITE_TIMEOUT, 0)));
    store.put("k", "1");
    let (response, spilled) = next(&watched, 0, 4096).unwrap();
    assert!(!spilled && response.watch_id == 0 && !response.canceled);
    assert_eq!(response.header.unwrap().revision, 2);
    store.put("k", "2");
    let (response, spilled) = next(&watched, 0, 10).unwrap();
    let event = &response.events[0];
    assert_eq!(event.kv.as_ref().unwrap().value, "2");
    assert!(spilled && event.prev_kv.as_ref().unwrap().value == "1");
    assert_eq!(next(&watched, 0, 4096), Err((ETCLITE_TIMEOUT, 0)));
}

#[test]
fn bytes_max_bounds_each_read_and_a_revision_stays_whole() {
    let store = Store::new();
    let watched = create(&store, &WatchCreateRequest { range_end: "l".into(), ..on("k") });
    let puts = ["k1", "k2"].map(|key| etclite::Put::new(key, "a"));
    database(store.db).ok().unwrap().db.txn().then(puts).commit().unwrap();
    (0..10).for_each(|_| _ = store.put("k", ""));
    assert_eq!(next(&watched, 1, 4096).unwrap().0.events.len(), 2);
    assert_eq!(next(&watched, 1, 4096).unwrap().0.events.len(), 1);
    assert_eq!(next(&watched, 0, 4096).unwrap().0.events.len(), 9);
}

#[test]
fn how_a_watch_ends_is_told_by_status_and_detail() {
    let store = Store::new();
    let watched = create(&store, &on("k"));
    (0..4).for_each(|_| _ = store.put("k", ""));
    ok(|err| unsafe { crate::kv::etclite_compact(store.db, 4, 0, err) });
    assert_eq!(next(&watched, 0, 4096), Err((ETCLITE_E_COMPACTED, 4)));
    let open = create(&store, &on("k"));
    store.close();
    assert_eq!(next(&open, 0, 4096), Err((ETCLITE_E_CLOSED, 0)));
    assert_eq!(next(&open, 0, 4096), Err((ETCLITE_E_CLOSED, 0)));
}

#[test]
fn bytes_that_are_no_request_are_refused() {
    let store = Store::new();
    let mut watch = ptr::null_mut();
    let refused = |bytes: &[u8], watch: &mut *mut etclite_watch| {
        fails(|err| unsafe { etclite_watch_create_raw(store.db, bytes.as_ptr(), bytes.len(), watch, err) }).0
    };
    assert_eq!(refused(&[0xff], &mut watch), ETCLITE_E_INVALID_ARGUMENT);
    let empty = WatchCreateRequest { range_end: "a".into(), ..on("b") }.encode_to_vec();
    assert_eq!(refused(&empty, &mut watch), ETCLITE_E_INVALID_ARGUMENT);
    assert!(watch.is_null());
}

#[test]
fn bytes_max_is_of_the_call_alone() {
    let store = Store::new();
    let watched = Watched::with(&store, "k", "", |options| options.batch_bytes_max = 1);
    (0..4).for_each(|_| _ = store.put("k", ""));
    assert_eq!(watched.next(0).unwrap().len(), 1);
    assert_eq!(next(&watched, 0, 4096).unwrap().0.events.len(), 3);
    (0..4).for_each(|_| _ = store.put("k", ""));
    assert_eq!(watched.next(0).unwrap().len(), 1, "as the watch was opened");
}
