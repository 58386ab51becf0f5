//! What is asked for most costs no allocation more by message than by the verb.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use etclite::proto::etcdserverpb as pb;
use etclite::{Db, proto};
use prost::Message;

/// The system's, and how often each thread asked it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends has no counter any more.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those asked for.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those asked for.
        unsafe { System.realloc(at, layout, len) }
    }
}

/// The least that it takes; now and then a write pays for others, as when a block of memory is full.
fn allocations(mut call: impl FnMut()) -> usize {
    let once = |call: &mut dyn FnMut()| {
        let before = COUNT.get();
        call();
        COUNT.get() - before
    };
    (0..200).map(|_| once(&mut call)).min().expect("it was called")
}

#[test]
fn a_get_and_a_put_cost_what_the_verbs_do() {
    let db = Db::in_memory().unwrap();
    let (key, value) = (vec![b'k'; 40], vec![b'v'; 400]);
    let put =
        pb::PutRequest { key: key.clone().into(), value: value.clone().into(), ..Default::default() }.encode_to_vec();
    let get = pb::RangeRequest { key: key.clone().into(), ..Default::default() }.encode_to_vec();
    let mut out = [0; 1024];
    let mut call = |operation, request: &[u8]| {
        let reply = proto::execute(&db, operation, request).expect("it succeeds");
        reply.write(&mut &mut out[..]);
    };
    let by_message = allocations(|| call(proto::PUT, &put));
    let by_verb = allocations(|| drop(db.put(&key, &value).expect("it succeeds")));
    assert!(by_message <= by_verb && by_verb > 0, "a put: {by_message} by message, {by_verb} by the verb");
    // Read from memory, keys and values are shared.
    assert_eq!(allocations(|| call(proto::RANGE, &get)), 0);
}
