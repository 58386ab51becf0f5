//! Tokens, pins and their ends.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use super::*;
use crate::code::ETCLITE_E_MISUSE;
use crate::error::Failure;

struct Opaque;
struct OtherOpaque;

/// Counts how often it is destroyed.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Object for Counted {
    type Opaque = Opaque;
    const KIND: u64 = 61;
}

struct Striped(Counted);

impl Object for Striped {
    type Opaque = OtherOpaque;
    const KIND: u64 = 62;
    const STRIPED: bool = true;
}

fn is_misuse<T>(result: Result<T, Failure>) -> bool {
    result.is_err_and(|failure| failure.code() == ETCLITE_E_MISUSE)
}

#[test]
fn a_token_is_no_address_and_is_good_for_its_kind_and_generation_alone() {
    let destroyed = Arc::default();
    let handle = publish(Counted(Arc::clone(&destroyed))).unwrap();
    assert_eq!(handle.addr() >> 62, 0b10);
    assert!(pin::<Counted>(handle).is_ok());
    assert!(is_misuse(pin::<Striped>(handle.cast())));
    assert!(is_misuse(pin::<Counted>(handle.map_addr(|token| token ^ 1 << 30))));
    assert!(is_misuse(pin::<Counted>(handle.map_addr(|token| token ^ 0xff_ffff))));
    assert!(is_misuse(pin::<Counted>(ptr::null())));
    free::<Counted>(handle).ok().unwrap();
    assert_eq!(destroyed.load(Ordering::SeqCst), 1);
    assert!(is_misuse(pin::<Counted>(handle)) && is_misuse(free::<Counted>(handle)));
}

#[test]
fn freeing_while_a_call_is_inside_destroys_the_object_when_it_leaves() {
    let destroyed = Arc::default();
    let handle = publish(Counted(Arc::clone(&destroyed))).unwrap();
    let striped = publish(Striped(Counted(Arc::clone(&destroyed)))).unwrap();
    let inside = (pin::<Counted>(handle).ok().unwrap(), pin::<Striped>(striped).ok().unwrap());
    free::<Counted>(handle).ok().unwrap();
    free::<Striped>(striped).ok().unwrap();
    assert!(is_misuse(pin::<Counted>(handle)) && is_misuse(pin::<Striped>(striped)));
    assert_eq!((destroyed.load(Ordering::SeqCst), Arc::strong_count(&inside.1.0.0)), (0, 3));
    drop(inside);
    assert_eq!(destroyed.load(Ordering::SeqCst), 2);
}

#[test]
fn a_slot_comes_back_under_another_token() {
    let destroyed = Arc::default();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let handle = publish(Striped(Counted(Arc::clone(&destroyed)))).unwrap();
        assert!(seen.insert(handle.addr()), "a token came twice");
        free::<Striped>(handle).ok().unwrap();
    }
    assert_eq!(destroyed.load(Ordering::SeqCst), 1000);
}

#[test]
fn threads_that_pin_while_one_frees_find_the_object_or_misuse_and_it_goes_once() {
    for round in 0..200 {
        let destroyed = Arc::default();
        let handle = publish(Striped(Counted(Arc::clone(&destroyed)))).unwrap().expose_provenance();
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    while let Ok(pinned) = pin::<Striped>(ptr::without_provenance(handle)) {
                        assert_eq!(pinned.0.0.load(Ordering::SeqCst), 0, "round {round}: destroyed under a pin");
                    }
                });
            }
            start.wait();
            free::<Striped>(ptr::without_provenance(handle)).ok().unwrap();
        });
        assert_eq!(destroyed.load(Ordering::SeqCst), 1, "round {round}");
    }
}

#[test]
fn who_closes_a_database_waits_for_the_calls_inside() {
    let destroyed = Arc::default();
    let handle = publish(Striped(Counted(Arc::clone(&destroyed)))).unwrap().expose_provenance();
    let inside = pin::<Striped>(ptr::without_provenance(handle)).ok().unwrap();
    let (ended, left) = (Barrier::new(2), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pinned = pin::<Striped>(ptr::without_provenance(handle)).ok().unwrap();
            assert!(end(&pinned) && !end(&pinned));
            ended.wait();
            pinned.await_others();
            assert_eq!(left.load(Ordering::SeqCst), 1);
        });
        ended.wait();
        left.store(1, Ordering::SeqCst);
        drop(inside);
    });
    assert_eq!(destroyed.load(Ordering::SeqCst), 1);
}
