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

/// A slot that was a striped object's, and is another object's now, with the word by which the former was pinned.
fn reused<T: Object>(make: impl Fn() -> T) -> (&'static Slot, Token, u64) {
    let mut others = Vec::new();
    loop {
        let old = publish(Striped(Counted(Arc::default()))).unwrap();
        free::<Striped>(old).ok().unwrap();
        let (old, new) = (Token::of(old.addr(), Striped::KIND).ok().unwrap(), publish(make()).unwrap());
        let token = Token::of(new.addr(), T::KIND).ok().unwrap();
        if token.index == old.index {
            others.into_iter().for_each(|other| free::<T>(other).ok().unwrap());
            return (TABLE.slot(token.index).unwrap(), token, word_of(old.generation, Striped::KIND) | LIVE);
        }
        // Another test was faster.
        others.push(new);
    }
}

/// A call that was interrupted before it pinned its database went on in the middle of the end of another object, which
/// had got the slot since, and destroyed it, too.
#[test]
fn a_call_that_comes_too_late_does_not_destroy_what_another_thread_is_destroying() {
    let destroyed = Arc::default();
    let (slot, token, expected) = reused(|| Counted(Arc::clone(&destroyed)));
    destroyed.store(0, Ordering::SeqCst);
    // As `free`, which is interrupted in its middle.
    let word = slot.word.fetch_and(!LIVE, Ordering::SeqCst);
    assert!(word & LIVE != 0 && word & PINS == 0);
    assert!(is_misuse(pin_striped::<Striped>(slot, token.index, expected)));
    assert_eq!(destroyed.load(Ordering::SeqCst), 0, "its end is under way elsewhere");
    slot.destroy(token.index);
    assert_eq!(destroyed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_that_comes_too_late_destroys_the_database_that_ended_while_its_pin_was_counted() {
    let destroyed = Arc::default();
    let (slot, token, _) = reused(|| Striped(Counted(Arc::clone(&destroyed))));
    destroyed.store(0, Ordering::SeqCst);
    let stripe = slot.stripe().unwrap();
    stripe.fetch_add(1, Ordering::SeqCst);
    free::<Striped>(ptr::without_provenance(token.address())).ok().unwrap();
    assert_eq!(destroyed.load(Ordering::SeqCst), 0, "a call may be inside");
    slot.unpin_striped(token.index, stripe, Striped::KIND);
    assert_eq!(destroyed.load(Ordering::SeqCst), 1);
}

/// Else closing what a child has in the slot would wait for a thread of its parent.
#[test]
fn a_pin_that_was_counted_when_the_process_was_forked_is_not_counted_in_the_child() {
    let index = TABLE.take().unwrap();
    let slot = TABLE.slot(index).unwrap();
    let forks = slot.forks.load(Ordering::Relaxed);
    slot.give_stripes(forks);
    slot.stripe().unwrap().fetch_add(1, Ordering::SeqCst);
    slot.give_stripes(forks);
    assert_eq!(slot.striped_pins(), 1, "of this process");
    slot.give_stripes(forks + 1);
    assert_eq!(slot.striped_pins(), 0);
    TABLE.give_back(index, slot);
}
