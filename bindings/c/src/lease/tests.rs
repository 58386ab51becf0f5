//! Leases as C sees them.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "all that is passed in lives in the caller's frame")]

use std::ptr;

use super::*;
use crate::code::{
    ETCLITE_E_INVALID_ARGUMENT, ETCLITE_E_LEASE_EXISTS, ETCLITE_E_LEASE_NOT_FOUND, ETCLITE_E_LEASE_TTL_TOO_LARGE,
    ETCLITE_E_MISUSE,
};
use crate::fixture::{Store, kvs, ok, status, zeroed};
use crate::kv::ETCLITE_RANGE_PREFIX;
use crate::result::etclite_result_free;
use crate::watch::tests::Watched;

fn grant(store: &Store, ttl_ms: i64, id: i64) -> Result<etclite_lease_info, i32> {
    let mut info = zeroed();
    match status(|err| unsafe { etclite_lease_grant(store.db, ttl_ms, id, &raw mut info, err) }) {
        ETCLITE_OK => Ok(info),
        error => Err(error),
    }
}

fn list(store: &Store, cap: usize) -> (Vec<i64>, usize) {
    let (mut ids, mut count) = (vec![-1; cap], 0);
    ok(|err| unsafe { etclite_lease_list(store.db, ids.as_mut_ptr(), cap, &raw mut count, err) });
    ids.truncate(count);
    (ids, count)
}

#[test]
fn a_lease_is_granted_renewed_looked_at_and_ended() {
    let store = Store::new();
    let lease = grant(&store, 60_000, 7).ok().unwrap();
    assert_eq!((lease.id, lease.granted_ms, lease.remaining_ms), (7, 60_000, 60_000));
    store.put_leased("a", "1", 7);
    store.put_leased("b", "2", 7);
    let (mut info, mut keys) = (zeroed::<etclite_lease_info>(), ptr::null_mut());
    ok(|err| unsafe { etclite_lease_info_get(store.db, 7, &raw mut info, &raw mut keys, err) });
    assert_eq!(kvs(keys), ["a=", "b="]);
    assert!(info.granted_ms == 60_000 && info.remaining_ms <= 60_000 && info.remaining_ms > 0);
    assert_eq!(unsafe { etclite_result_free(keys) }, ETCLITE_OK);
    ok(|err| unsafe { etclite_lease_keepalive(store.db, 7, &raw mut info, err) });
    assert_eq!((info.id, info.remaining_ms, info.granted_ms), (7, 60_000, 60_000));
    ok(|err| unsafe { etclite_lease_keepalive(store.db, 7, ptr::null_mut(), err) });
    ok(|err| unsafe { etclite_lease_info_get(store.db, 7, ptr::null_mut(), ptr::null_mut(), err) });
    ok(|err| unsafe { etclite_lease_revoke(store.db, 7, err) });
    assert_eq!((store.get("a", 0), store.get("b", 0)), (None, None));
    let gone = [
        status(|err| unsafe { etclite_lease_revoke(store.db, 7, err) }),
        status(|err| unsafe { etclite_lease_keepalive(store.db, 7, &raw mut info, err) }),
        status(|err| unsafe { etclite_lease_info_get(store.db, 7, &raw mut info, &raw mut keys, err) }),
    ];
    assert_eq!((gone, keys.is_null()), ([ETCLITE_E_LEASE_NOT_FOUND; 3], true));
}

#[test]
fn an_id_is_drawn_or_must_be_free_and_a_ttl_has_bounds() {
    let store = Store::new();
    let drawn = grant(&store, 60_000, 0).ok().unwrap().id;
    assert!(drawn > 0);
    assert_eq!(grant(&store, 60_000, drawn).err(), Some(ETCLITE_E_LEASE_EXISTS));
    assert_eq!(grant(&store, 9_000_000_000_001, 1).err(), Some(ETCLITE_E_LEASE_TTL_TOO_LARGE));
    assert_eq!(grant(&store, -1, 1).err(), Some(ETCLITE_E_INVALID_ARGUMENT));
    ok(|err| unsafe { etclite_lease_grant(store.db, 60_000, 1, ptr::null_mut(), err) });
    assert_eq!(list(&store, 8).0.len(), 2);
}

#[test]
fn the_list_tells_how_many_there_are_whatever_fits() {
    let store = Store::new();
    assert_eq!(list(&store, 2), (vec![], 0));
    for (id, ttl) in [(3, 300_000), (1, 100_000), (2, 200_000)] {
        grant(&store, ttl, id).ok().unwrap();
    }
    assert_eq!(list(&store, 2), (vec![1, 2], 3));
    assert_eq!(list(&store, 5), (vec![1, 2, 3], 3));
    let mut count = 0;
    ok(|err| unsafe { etclite_lease_list(store.db, ptr::null_mut(), 0, &raw mut count, err) });
    assert_eq!(count, 3);
    let null = status(|err| unsafe { etclite_lease_list(store.db, ptr::null_mut(), 1, &raw mut count, err) });
    assert_eq!(null, ETCLITE_E_MISUSE);
}

#[test]
fn b_053_the_end_of_a_lease_with_many_keys_is_one_revision_and_one_batch_in_key_order() {
    const KEYS: usize = 2000;
    let store = Store::new();
    grant(&store, 60_000, 7).ok().unwrap();
    (0..KEYS).rev().for_each(|index| _ = store.put_leased(&format!("n/{index:04}"), "", 7));
    let watched = Watched::open(&store, "n/", ETCLITE_RANGE_PREFIX, 0);
    ok(|err| unsafe { etclite_lease_revoke(store.db, 7, err) });
    let revision = KEYS + 2;
    let expected: Vec<_> = (0..KEYS).map(|index| format!("{revision} del n/{index:04}=")).collect();
    assert_eq!(watched.next(0).unwrap(), expected);
    assert!(watched.drain().is_empty());
}
