//! Txns as C sees them.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "all that is passed in lives in the caller's frame")]

use std::ptr;

use super::result::{
    etclite_txn_op, etclite_txn_op_count, etclite_txn_op_txn, etclite_txn_result_free, etclite_txn_result_header,
    etclite_txn_succeeded,
};
use super::*;
use crate::code::{
    ETCLITE_E_DUPLICATE_KEY, ETCLITE_E_EMPTY_KEY, ETCLITE_E_INVALID_ARGUMENT, ETCLITE_E_LOCK_RELEASED,
    ETCLITE_E_MISUSE, ETCLITE_E_SESSION_EXPIRED, ETCLITE_TIMEOUT,
};
use crate::coordination::mutex::{etclite_mutex_free, etclite_mutex_lock, etclite_mutex_new, etclite_mutex_unlock};
use crate::coordination::session::{etclite_session, etclite_session_close, etclite_session_open};
use crate::fixture::{Store, kvs, ok, revision, status, zeroed};
use crate::kv::{ETCLITE_DELETE_PREV_KV, ETCLITE_PUT_PREV_KV, ETCLITE_RANGE_COUNT_ONLY};
use crate::result::{
    etclite_result, etclite_result_count, etclite_result_free, etclite_result_kvs, etclite_result_prev,
};

/// A txn that is freed when dropped, if it was not before.
struct Built {
    txn: *mut etclite_txn,
}

impl Drop for Built {
    fn drop(&mut self) {
        unsafe { etclite_txn_free(self.txn) };
    }
}

impl Built {
    fn new() -> Built {
        let mut txn = ptr::null_mut();
        ok(|err| unsafe { etclite_txn_new(&raw mut txn, err) });
        Built { txn }
    }

    fn if_value(self, key: &str, op: u32, value: &str) -> Self {
        ok(|err| unsafe {
            etclite_txn_if_value(self.txn, key.as_ptr(), key.len(), op, value.as_ptr(), value.len(), err)
        });
        self
    }

    fn if_int(self, key: &str, target: u32, op: u32, number: i64) -> Self {
        ok(|err| unsafe { etclite_txn_if_int(self.txn, key.as_ptr(), key.len(), target, op, number, err) });
        self
    }

    fn if_range(self, key: &str, end: &str, flags: u32, target: u32, op: u32, number: i64) -> Self {
        ok(|err| unsafe {
            let (key, end) = ((key.as_ptr(), key.len()), (end.as_ptr(), end.len()));
            let (txn, value) = (self.txn, ptr::null());
            etclite_txn_if_range(txn, key.0, key.1, end.0, end.1, flags, target, op, value, 0, number, err)
        });
        self
    }

    fn otherwise(self) -> Self {
        ok(|err| unsafe { etclite_txn_else(self.txn, err) });
        self
    }

    fn then(self) -> Self {
        ok(|err| unsafe { etclite_txn_then(self.txn, err) });
        self
    }

    fn put(self, key: &str, value: &str) -> Self {
        self.put_with(key, value, 0, 0)
    }

    fn put_with(self, key: &str, value: &str, lease: i64, flags: u32) -> Self {
        let mut options = zeroed::<etclite_put_options>();
        options.struct_size = size_of::<etclite_put_options>();
        (options.lease, options.flags) = (lease, flags);
        ok(|err| unsafe {
            let (key, value) = ((key.as_ptr(), key.len()), (value.as_ptr(), value.len()));
            etclite_txn_put(self.txn, key.0, key.1, value.0, value.1, &raw const options, err)
        });
        self
    }

    fn get(self, key: &str) -> Self {
        ok(|err| unsafe { etclite_txn_get(self.txn, key.as_ptr(), key.len(), err) });
        self
    }

    fn range(self, key: &str, end: &str, flags: u32) -> Self {
        let mut options = zeroed::<etclite_range_options>();
        options.struct_size = size_of::<etclite_range_options>();
        options.flags = flags;
        ok(|err| unsafe {
            let (key, end) = ((key.as_ptr(), key.len()), (end.as_ptr(), end.len()));
            etclite_txn_range(self.txn, key.0, key.1, end.0, end.1, &raw const options, err)
        });
        self
    }

    fn delete(self, key: &str, end: &str, flags: u32) -> Self {
        ok(|err| unsafe {
            let (key, end) = ((key.as_ptr(), key.len()), (end.as_ptr(), end.len()));
            etclite_txn_delete(self.txn, key.0, key.1, end.0, end.1, flags, err)
        });
        self
    }

    fn nested(self, nested: Built) -> Self {
        ok(|err| unsafe { etclite_txn_nested(self.txn, nested.txn, err) });
        assert_eq!(unsafe { etclite_txn_free(nested.txn) }, ETCLITE_E_MISUSE, "it was taken over");
        self
    }

    fn commit(&self, store: &Store) -> Committed {
        self.try_commit(store).unwrap()
    }

    fn try_commit(&self, store: &Store) -> Result<Committed, i32> {
        let (mut succeeded, mut result) = (-1, ptr::null_mut());
        let status =
            status(|err| unsafe { etclite_txn_commit(store.db, self.txn, &raw mut succeeded, &raw mut result, err) });
        if status != ETCLITE_OK {
            assert!(succeeded == -1 && result.is_null());
            return Err(status);
        }
        let committed = Committed { result };
        assert_eq!(committed.succeeded(), succeeded == 1);
        Ok(committed)
    }
}

/// The result of a txn, freed when dropped.
#[derive(Debug)]
struct Committed {
    result: *mut etclite_txn_result,
}

impl Drop for Committed {
    fn drop(&mut self) {
        unsafe { etclite_txn_result_free(self.result) };
    }
}

impl Committed {
    fn succeeded(&self) -> bool {
        succeeded(self.result)
    }

    fn revision(&self) -> i64 {
        let mut header = zeroed::<crate::result::etclite_header>();
        ok(|err| unsafe { etclite_txn_result_header(self.result, &raw mut header, err) });
        header.revision
    }

    fn ops(&self) -> usize {
        ops(self.result)
    }

    fn op(&self, index: usize) -> *const etclite_result {
        op(self.result, index)
    }

    /// The keys of an operation's result.
    fn kvs(&self, index: usize) -> Vec<String> {
        kvs(self.op(index))
    }

    fn count(&self, index: usize) -> i64 {
        let mut count = 0;
        ok(|err| unsafe { etclite_result_count(self.op(index), &raw mut count, err) });
        count
    }

    fn nested(&self, index: usize) -> *const etclite_txn_result {
        let mut nested = ptr::null();
        ok(|err| unsafe { etclite_txn_op_txn(self.result, index, &raw mut nested, err) });
        nested
    }
}

fn succeeded(result: *const etclite_txn_result) -> bool {
    let mut succeeded = -1;
    ok(|err| unsafe { etclite_txn_succeeded(result, &raw mut succeeded, err) });
    succeeded == 1
}

fn ops(result: *const etclite_txn_result) -> usize {
    let mut count = 0;
    ok(|err| unsafe { etclite_txn_op_count(result, &raw mut count, err) });
    count
}

fn op(result: *const etclite_txn_result, index: usize) -> *const etclite_result {
    let mut op = ptr::null();
    ok(|err| unsafe { etclite_txn_op(result, index, &raw mut op, err) });
    op
}

const EQUAL: u32 = ETCLITE_COMPARE_EQUAL;
const PREFIX: u32 = ETCLITE_RANGE_PREFIX;

#[test]
fn all_comparisons_choose_the_branch_whose_operations_are_answered() {
    let store = Store::new();
    let built = Built::new().if_int("lock", ETCLITE_TARGET_VERSION, EQUAL, 0).put("lock", "me");
    let built = built.otherwise().get("lock").get("none").then().put("other", "");
    let first = built.commit(&store);
    assert!(first.succeeded() && first.ops() == 2 && first.revision() == 2);
    let second = built.commit(&store);
    assert_eq!((second.succeeded(), second.ops(), second.revision()), (false, 2, 2));
    assert_eq!((second.kvs(0), second.kvs(1)), (vec!["lock=me".to_owned()], vec![]));
}

#[test]
fn comparisons_have_every_target_and_operator() {
    use {ETCLITE_COMPARE_GREATER as GREATER, ETCLITE_COMPARE_LESS as LESS, ETCLITE_COMPARE_NOT_EQUAL as UNEQUAL};
    let store = Store::new();
    store.put("k", "a");
    store.put("k", "b");
    let holds = |built: Built| built.commit(&store).succeeded();
    let targets =
        [(ETCLITE_TARGET_VERSION, 2), (ETCLITE_TARGET_CREATE, 2), (ETCLITE_TARGET_MOD, 3), (ETCLITE_TARGET_LEASE, 0)];
    for (target, number) in targets {
        for (op, less, equal, greater) in [(EQUAL, 0, 1, 0), (GREATER, 1, 0, 0), (LESS, 0, 0, 1), (UNEQUAL, 1, 0, 1)] {
            let held =
                [number - 1, number, number + 1].map(|number| holds(Built::new().if_int("k", target, op, number)));
            assert_eq!(held.map(i32::from), [less, equal, greater], "{target} {op}");
        }
    }
    for (op, less, equal, greater) in [(EQUAL, 0, 1, 0), (GREATER, 1, 0, 0), (LESS, 0, 0, 1), (UNEQUAL, 1, 0, 1)] {
        let held = ["a", "b", "c"].map(|value| holds(Built::new().if_value("k", op, value)));
        assert_eq!(held.map(i32::from), [less, equal, greater], "{op}");
        assert!(!holds(Built::new().if_value("none", op, "")), "no key has no value");
    }
}

#[test]
fn what_is_no_comparison_or_operation_is_refused_and_leaves_the_txn_as_it_was() {
    let store = Store::new();
    let built = Built::new().put("k", "1");
    let (txn, key) = (built.txn, b"k".as_ptr());
    let invalid = [
        status(|err| unsafe { etclite_txn_if_int(txn, key, 1, ETCLITE_TARGET_VALUE, EQUAL, 0, err) }),
        status(|err| unsafe { etclite_txn_if_int(txn, key, 1, 5, EQUAL, 0, err) }),
        status(|err| unsafe { etclite_txn_if_int(txn, key, 1, ETCLITE_TARGET_MOD, 4, 0, err) }),
        status(|err| unsafe { etclite_txn_if_value(txn, key, 1, 4, key, 1, err) }),
        status(|err| unsafe { etclite_txn_if_range(txn, key, 1, key, 0, 4, 0, 0, key, 0, 0, err) }),
        status(|err| unsafe { etclite_txn_if_range(txn, key, 1, key, 0, 0, ETCLITE_TARGET_VALUE, 0, key, 1, 1, err) }),
        status(|err| unsafe { etclite_txn_if_range(txn, key, 1, key, 0, 0, ETCLITE_TARGET_MOD, 0, key, 1, 1, err) }),
        status(|err| unsafe { etclite_txn_delete(txn, key, 1, key, 0, 64, err) }),
    ];
    assert_eq!(invalid, [ETCLITE_E_INVALID_ARGUMENT; 8]);
    assert_eq!(status(|err| unsafe { etclite_txn_get(txn, ptr::null(), 5, err) }), ETCLITE_E_MISUSE);
    assert_eq!(status(|err| unsafe { etclite_txn_nested(txn, txn, err) }), ETCLITE_E_MISUSE, "in itself");
    assert_eq!(status(|err| unsafe { etclite_txn_nested(txn, ptr::null_mut(), err) }), ETCLITE_E_MISUSE);
    let committed = built.commit(&store);
    assert_eq!((committed.ops(), committed.revision()), (1, 2));
    assert_eq!(Built::new().put("k", "").put("k", "").try_commit(&store).err(), Some(ETCLITE_E_DUPLICATE_KEY));
    assert_eq!(Built::new().get("").try_commit(&store).err(), Some(ETCLITE_E_EMPTY_KEY));
}

#[test]
fn a_builder_stays_until_it_is_reset_or_freed() {
    let store = Store::new();
    let built = Built::new().if_value("none", EQUAL, "").put("k", "1").otherwise().put("k", "2");
    built.commit(&store);
    assert_eq!(built.commit(&store).revision(), 3);
    ok(|err| unsafe { etclite_txn_reset(built.txn, err) });
    let empty = built.commit(&store);
    assert_eq!((empty.succeeded(), empty.ops(), empty.revision()), (true, 0, 3));
    let built = built.put("k", "3");
    assert!(built.commit(&store).ops() == 1, "operations go to the first list again");
    ok(|err| unsafe { etclite_txn_commit(store.db, built.txn, &mut 0, ptr::null_mut(), err) });
    let null = status(|err| unsafe { etclite_txn_commit(store.db, built.txn, ptr::null_mut(), ptr::null_mut(), err) });
    assert_eq!(null, ETCLITE_E_MISUSE);
    assert_eq!(unsafe { etclite_txn_free(built.txn) }, ETCLITE_OK);
    assert_eq!(built.try_commit(&store).err(), Some(ETCLITE_E_MISUSE));
    assert_eq!(store.get("k", 0).as_deref(), Some("3"));
}

#[test]
fn what_operations_answered_belongs_to_the_result() {
    let store = Store::new();
    store.put("k", "old");
    let nested = Built::new().get("k");
    let built = Built::new().put_with("k", "new", 0, ETCLITE_PUT_PREV_KV).nested(nested).get("none");
    let committed = built.commit(&store);
    let (put, nested) = (committed.op(0), committed.nested(1));
    assert_eq!((put, nested), (committed.op(0), committed.nested(1)), "asked again");
    let mut prev = ptr::null();
    ok(|err| unsafe { etclite_result_prev(put, &raw mut prev, err) });
    assert_eq!(crate::fixture::show(unsafe { &*prev }), "k=old");
    assert_eq!(unsafe { etclite_result_free(put.cast_mut()) }, ETCLITE_E_MISUSE);
    assert_eq!(unsafe { etclite_txn_result_free(nested.cast_mut()) }, ETCLITE_E_MISUSE);
    let inner = op(nested, 0);
    assert_eq!((kvs(inner), succeeded(nested), ops(nested)), (vec!["k=new".to_owned()], true, 1));
    let (mut any, mut any_txn) = (ptr::null(), ptr::null());
    for index in [1, 3, usize::MAX] {
        let refused = status(|err| unsafe { etclite_txn_op(committed.result, index, &raw mut any, err) });
        assert_eq!(refused, ETCLITE_E_INVALID_ARGUMENT);
    }
    for index in [0, 2, 3] {
        let refused = status(|err| unsafe { etclite_txn_op_txn(committed.result, index, &raw mut any_txn, err) });
        assert_eq!(refused, ETCLITE_E_INVALID_ARGUMENT);
    }
    drop(committed);
    let (mut views, mut count) = (ptr::null(), 0);
    for dead in [put, inner] {
        let stale = status(|err| unsafe { etclite_result_kvs(dead, &raw mut views, &raw mut count, err) });
        assert_eq!(stale, ETCLITE_E_MISUSE);
    }
    assert_eq!(status(|err| unsafe { etclite_txn_op_count(nested, &raw mut count, err) }), ETCLITE_E_MISUSE);
}

#[test]
fn results_outlive_their_store() {
    let store = Store::new();
    store.put("k", "1");
    let committed = Built::new().get("k").commit(&store);
    store.close();
    assert_eq!(committed.kvs(0), ["k=1"]);
}

#[test]
fn nesting_ends_at_a_bound() {
    let mut built = Built::new().put("k", "");
    for _ in 1..DEPTH_MAX {
        built = Built::new().nested(built);
    }
    let outer = Built::new();
    let refused = status(|err| unsafe { etclite_txn_nested(outer.txn, built.txn, err) });
    assert_eq!(refused, ETCLITE_E_TOO_MANY_OPS);
    let store = Store::new();
    assert_eq!(built.commit(&store).revision(), 2, "the deepest is committed, and what was refused is whole");
}

/// A lock that is held, with its session.
fn locked(store: &Store) -> (*mut etclite_session, *mut etclite_mutex) {
    let (mut session, mut mutex, name) = (ptr::null_mut(), ptr::null_mut(), b"lock");
    ok(|err| unsafe { etclite_session_open(store.db, ptr::null(), &raw mut session, err) });
    ok(|err| unsafe { etclite_mutex_new(session, name.as_ptr(), name.len(), &raw mut mutex, err) });
    ok(|err| unsafe { etclite_mutex_lock(mutex, -1, err) });
    (session, mutex)
}

#[test]
fn a_fence_fails_the_txn_once_its_lock_is_gone_and_only_the_outermost_takes_one() {
    let store = Store::new();
    let (session, mutex) = locked(&store);
    let fenced = Built::new().put("k", "1");
    ok(|err| unsafe { etclite_txn_fenced(fenced.txn, mutex, err) });
    assert!(fenced.commit(&store).succeeded());
    ok(|err| unsafe { etclite_mutex_unlock(mutex, err) });
    assert_eq!(fenced.try_commit(&store).err(), Some(ETCLITE_E_SESSION_EXPIRED));
    let outer = Built::new();
    let late = status(|err| unsafe { etclite_txn_fenced(outer.txn, mutex, err) });
    assert_eq!(late, ETCLITE_E_LOCK_RELEASED);
    let refused = status(|err| unsafe { etclite_txn_nested(outer.txn, fenced.txn, err) });
    assert_eq!(refused, ETCLITE_E_INVALID_ARGUMENT);
    ok(|err| unsafe { etclite_txn_reset(fenced.txn, err) });
    assert!(fenced.commit(&store).succeeded(), "it was not taken over, and forgot its fence");
    assert_eq!(unsafe { etclite_mutex_free(mutex) }, ETCLITE_OK);
    ok(|err| unsafe { etclite_session_close(session, 1, err) });
}

#[test]
fn b_016_a_wait_for_a_lock_that_is_given_up_leaves_no_key_and_the_holder_writes_on() {
    let store = Store::new();
    let (_, holder) = locked(&store);
    let (mut session, mut waiter, name) = (ptr::null_mut(), ptr::null_mut(), b"lock");
    ok(|err| unsafe { etclite_session_open(store.db, ptr::null(), &raw mut session, err) });
    ok(|err| unsafe { etclite_mutex_new(session, name.as_ptr(), name.len(), &raw mut waiter, err) });
    assert_eq!(status(|err| unsafe { etclite_mutex_lock(waiter, 10, err) }), ETCLITE_TIMEOUT);
    let line = Built::new().range("lock/", "", PREFIX | ETCLITE_RANGE_COUNT_ONLY).commit(&store);
    assert_eq!(line.count(0), 1);
    let built = Built::new().put("k", "1");
    ok(|err| unsafe { etclite_txn_fenced(built.txn, holder, err) });
    assert!(built.commit(&store).succeeded());
}

#[test]
fn b_031_reads_inside_a_txn_see_its_earlier_deletes_and_puts() {
    let store = Store::new();
    store.put("a", "1");
    store.put("b", "1");
    let built = Built::new().get("a").delete("a", "", 0).get("a").range("", "", PREFIX | ETCLITE_RANGE_COUNT_ONLY);
    let built = built.put("c", "n").range("", "", PREFIX).put_with("b", "2", 0, ETCLITE_PUT_PREV_KV).get("b");
    let committed = built.commit(&store);
    assert_eq!((committed.revision(), committed.ops()), (4, 8));
    assert_eq!((committed.kvs(0), committed.count(1), committed.kvs(2)), (vec!["a=1".to_owned()], 1, vec![]));
    assert_eq!((committed.kvs(3), committed.count(3)), (vec![], 1));
    assert_eq!((committed.kvs(5), committed.count(5)), (vec!["b=1".to_owned(), "c=n".to_owned()], 2));
    assert_eq!((committed.kvs(6), committed.kvs(7)), (vec!["b=1".to_owned()], vec!["b=2".to_owned()]));
}

#[test]
fn b_033_a_nested_answer_says_which_branch_ran_and_the_key_carries_the_newest_lease() {
    let store = Store::new();
    let db = database(store.db).ok().unwrap().db.clone();
    let leases = [1, 2].map(|id| db.grant_with_id(id, std::time::Duration::from_secs(60)).unwrap().id().get());
    let renew = |lease| {
        let create = Built::new().if_int("leader", ETCLITE_TARGET_CREATE, EQUAL, 0).put_with("leader", "me", lease, 0);
        let renew = Built::new().if_value("leader", EQUAL, "me").put_with("leader", "me", lease, 0);
        renew.otherwise().nested(create).commit(&store)
    };
    let created = renew(leases[0]);
    assert!(!created.succeeded() && succeeded(created.nested(0)) && ops(created.nested(0)) == 1);
    let renewed = renew(leases[1]);
    assert!(renewed.succeeded() && renewed.ops() == 1);
    assert_eq!(db.get("leader").unwrap().unwrap().lease.get(), leases[1]);
    store.put("leader", "another");
    let lost = renew(leases[0]);
    assert!(!lost.succeeded() && !succeeded(lost.nested(0)) && ops(lost.nested(0)) == 0);
}

#[test]
fn b_055_an_end_of_one_zero_byte_is_everything_from_the_key_on_and_a_prefix_has_its_flag() {
    let store = Store::new();
    for key in ["a", "foo", "foobar", "zoo"] {
        store.put(key, "1");
    }
    let reads = Built::new().range("foo", "\0", 0).range("foo", "", PREFIX).range("\0", "\0", 0).commit(&store);
    assert_eq!(reads.kvs(0), ["foo=1", "foobar=1", "zoo=1"]);
    assert_eq!(reads.kvs(1), ["foo=1", "foobar=1"]);
    assert_eq!(reads.count(2), 4);
    let above = |end: &str, flags| {
        let greater = ETCLITE_COMPARE_GREATER;
        Built::new().if_range("foo", end, flags, ETCLITE_TARGET_CREATE, greater, 2).commit(&store).succeeded()
    };
    assert!(above("\0", 0) && above("", PREFIX) && above("", ETCLITE_RANGE_FROM_KEY));
    store.put("zoo", "2");
    let once = |end: &str, flags| {
        Built::new().if_range("foo", end, flags, ETCLITE_TARGET_VERSION, EQUAL, 1).commit(&store).succeeded()
    };
    assert!(!once("\0", 0) && once("", PREFIX), "a prefix ends before zoo");
    let deleted = Built::new().delete("foo", "\0", ETCLITE_DELETE_PREV_KV).commit(&store);
    assert_eq!((deleted.count(0), deleted.kvs(0)), (3, ["foo=1", "foobar=1", "zoo=2"].map(str::to_owned).to_vec()));
    assert_eq!(store.get("a", 0).as_deref(), Some("1"));
}

#[test]
fn b_082_each_answer_has_the_revision_that_was_reached_by_then() {
    let store = Store::new();
    store.put("k", "1");
    let built = Built::new().delete("none", "", 0).get("k").put("k", "2").delete("none", "", 0).get("k");
    let committed = built.commit(&store);
    let revisions: Vec<_> = (0..5).map(|index| revision(committed.op(index))).collect();
    assert_eq!((committed.revision(), revisions), (3, vec![2, 2, 3, 3, 3]));
}
