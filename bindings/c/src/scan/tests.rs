//! Scans as C sees them.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "all that is passed in lives in the caller's frame")]

use std::ptr;

use super::*;
use crate::code::{ETCLITE_E_CLOSED, ETCLITE_E_FUTURE_REVISION, ETCLITE_E_MISUSE};
use crate::fixture::{Store, fails, kvs, ok, revision, zeroed};
use crate::kv::{ETCLITE_ORDER_DESCEND, ETCLITE_RANGE_KEYS_ONLY, ETCLITE_RANGE_PREFIX, etclite_compact};
use crate::result::{etclite_result_count, etclite_result_free};

struct Scanned {
    scan: *mut etclite_scan,
}

impl Drop for Scanned {
    fn drop(&mut self) {
        unsafe { etclite_scan_free(self.scan) };
    }
}

impl Scanned {
    fn open(store: &Store, change: impl FnOnce(&mut etclite_range_options)) -> Result<Scanned, (i32, i64)> {
        let mut options = zeroed::<etclite_range_options>();
        options.struct_size = size_of::<etclite_range_options>();
        options.flags = ETCLITE_RANGE_PREFIX;
        change(&mut options);
        let mut scan = ptr::null_mut();
        let status = fails(|err| unsafe {
            let key = b"k";
            etclite_scan_open(store.db, key.as_ptr(), 1, ptr::null(), 0, &raw const options, &raw mut scan, err)
        });
        if status.0 == ETCLITE_OK { Ok(Scanned { scan }) } else { Err(status) }
    }

    /// The keys of a piece with its revision, or the status.
    fn next(&self, kvs_max: usize, bytes_max: usize) -> Result<(Vec<String>, i64), i32> {
        let (mut result, mut count) = (ptr::null_mut(), 0);
        let status = fails(|err| unsafe { etclite_scan_next(self.scan, kvs_max, bytes_max, &raw mut result, err) }).0;
        assert_eq!(status == ETCLITE_OK, !result.is_null());
        if status != ETCLITE_OK {
            return Err(status);
        }
        let piece = (kvs(result), revision(result));
        ok(|err| unsafe { etclite_result_count(result, &raw mut count, err) });
        assert_eq!(usize::try_from(count).unwrap(), piece.0.len());
        assert_eq!(unsafe { etclite_result_free(result) }, ETCLITE_OK);
        Ok(piece)
    }
}

fn filled(count: usize) -> Store {
    let store = Store::new();
    (0..count).for_each(|index| _ = store.put(&format!("k{index}"), &index.to_string()));
    store
}

#[test]
fn a_scan_reads_one_revision_piece_by_piece_whatever_is_written_and_compacted() {
    let store = filled(5);
    let scanned = Scanned::open(&store, |_| {}).ok().unwrap();
    assert_eq!(scanned.next(2, 0), Ok((vec!["k0=0".to_owned(), "k1=1".to_owned()], 6)));
    (0..5).for_each(|index| _ = store.put(&format!("k{index}"), "new"));
    store.delete("k4");
    ok(|err| unsafe { etclite_compact(store.db, 12, 0, err) });
    assert_eq!(scanned.next(0, 0), Ok((vec!["k2=2".to_owned(), "k3=3".to_owned(), "k4=4".to_owned()], 6)));
    assert_eq!((scanned.next(1, 1), scanned.next(0, 0)), (Err(ETCLITE_END), Err(ETCLITE_END)));
}

#[test]
fn a_piece_is_bounded_in_bytes_and_never_splits_a_key() {
    let store = filled(3);
    store.put("k1", &"v".repeat(100));
    let scanned = Scanned::open(&store, |_| {}).ok().unwrap();
    let lens: Vec<_> = std::iter::from_fn(|| scanned.next(0, 10).ok()).map(|(keys, _)| keys.len()).collect();
    assert_eq!(lens, [1, 1, 1], "the second does not fit, neither behind the first nor before the third");
    let whole = Scanned::open(&store, |_| {}).ok().unwrap();
    assert_eq!(whole.next(0, 3 + 102 + 3).unwrap().0.len(), 3, "exactly as many as fit");
}

#[test]
fn options_hold_as_for_a_range() {
    let store = filled(5);
    let scanned = Scanned::open(&store, |options| {
        options.sort_order = ETCLITE_ORDER_DESCEND;
        options.flags |= ETCLITE_RANGE_KEYS_ONLY;
        options.limit = 3;
        options.revision = 5;
    });
    let scanned = scanned.ok().unwrap();
    assert_eq!(scanned.next(2, 0).unwrap().0, ["k3=", "k2="]);
    assert_eq!(scanned.next(2, 0).unwrap().0, ["k1="]);
    assert_eq!(scanned.next(2, 0), Err(ETCLITE_END));
    let future = Scanned::open(&store, |options| options.revision = 99).err();
    assert_eq!(future, Some((ETCLITE_E_FUTURE_REVISION, 6)));
}

#[test]
fn a_scan_of_a_closed_store_says_so_although_it_has_read_ahead() {
    let store = filled(3);
    let scanned = Scanned::open(&store, |_| {}).ok().unwrap();
    assert_eq!(scanned.next(0, 1).unwrap().0.len(), 1);
    store.close();
    assert_eq!((scanned.next(0, 0), scanned.next(0, 0)), (Err(ETCLITE_E_CLOSED), Err(ETCLITE_E_CLOSED)));
    let scan = scanned.scan;
    drop(scanned);
    assert_eq!(unsafe { etclite_scan_free(scan) }, ETCLITE_E_MISUSE);
    assert_eq!(unsafe { etclite_scan_free(ptr::null_mut()) }, ETCLITE_OK);
}

#[test]
fn two_threads_do_not_share_a_scan() {
    let store = filled(1);
    let scanned = Scanned::open(&store, |_| {}).ok().unwrap();
    let object = handle::pin::<Scan>(scanned.scan).ok().unwrap();
    let inside = object.walk.lock();
    assert_eq!(scanned.next(0, 0), Err(ETCLITE_E_MISUSE));
    drop(inside);
    assert!(scanned.next(0, 0).is_ok());
}

#[test]
fn b_049_a_read_at_the_revision_of_a_delete_finds_nothing_before_and_after_it_the_key() {
    let store = Store::new();
    store.put("k", "1");
    store.delete("k");
    store.put("k", "2");
    let at = |revision| {
        let scanned = Scanned::open(&store, |options| options.revision = revision).ok().unwrap();
        scanned.next(0, 0).map(|(keys, _)| keys)
    };
    assert_eq!(at(2), Ok(vec!["k=1".to_owned()]));
    assert_eq!(at(3), Err(ETCLITE_END));
    assert_eq!(at(4), Ok(vec!["k=2".to_owned()]));
    assert_eq!([2, 3, 4].map(|revision| store.get("k", revision)), [Some("1".into()), None, Some("2".into())]);
}
