//! Handles: the table of all objects that C holds, and the tokens that name them.
//!
//! What C gets is a token in the shape of a pointer, which nobody dereferences:
//!
//! ```text
//! bit  63   62   61..56   55 .. 24          23 .. 0
//!      1    0    kind     generation        index of a slot
//! ```
//!
//! Bit 63 set with bit 62 clear is no address on a 64-bit machine, so a host that dereferences a token faults at once.
//! Freeing a handle ends its generation. So closing twice, using after closing and using as another type are found out
//! with no memory of the object touched; a forged value is found out unless it equals a live token.
//!
//! **A slot.** Its word holds `generation, kind, live?, pins`, all compared and changed at once. To use an object is to
//! pin its slot: the word is compared with the token, and one pin is added. Freeing clears the live bit; who takes the
//! last pin away then destroys the object. Invariants: an object is in a slot from before its word becomes live until
//! after it is dead and without pins; the object changes hands only through the word; a generation begins where the one
//! before it ended, and a slot whose generations are used up rests for ever.
//!
//! **Databases** are what all threads call, and one word for all of them would travel between the processors with each
//! call. Their pins are counted in [`STRIPES`] cells, each thread in its own; the word of such a slot counts none. A
//! pin is added first and the word looked at after; freeing clears the live bit first and looks at the cells after. All
//! four are sequentially consistent, so of a call and a close that meet at least one sees the other. The cells belong
//! to the slot, not to the object, and are never freed. So the pin of a call that comes too late may be counted for
//! whatever is in the slot by then. If that is another database, and it ends meanwhile, then the late call may be the
//! one that is left to destroy it; if it is an object of another kind, its own word alone counts, and the late call lets
//! it be.
//!
//! **No lock is taken**, neither for allocating a slot nor for waiting until a database is left: in a process that was
//! forked while another thread stood in the middle of something, everything still answers. A slot notes how many forks
//! lay before it, and a handle from before a fork is `FORKED`.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use etclite::Db;

use crate::error::Failure;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a handle is a token of 64 bits, and what it promises does not fit into fewer");

/// How many handles can be live at once.
pub(crate) const HANDLES_MAX: u32 = 1 << 20;

/// What can stand behind a handle.
pub(crate) trait Object: Any + Send + Sync {
    /// C's name for it.
    type Opaque;
    /// Its number in tokens: 1 to 63, one for each type.
    const KIND: u64;
    /// Whether each thread counts its pins by itself.
    const STRIPED: bool = false;

    /// The store that it belongs to, which is poisoned if a call on it panics.
    fn database(&self) -> Option<&Db> {
        None
    }
}

/// Gives `object` a handle.
pub(crate) fn publish<T: Object>(object: T) -> Result<*mut T::Opaque, Failure> {
    let count = TABLE.live.fetch_add(1, Ordering::Relaxed);
    let index = if count < HANDLES_MAX { TABLE.take() } else { None };
    let Some(index) = index else {
        TABLE.live.fetch_sub(1, Ordering::Relaxed);
        return Err(Failure::full("handles", HANDLES_MAX.into()));
    };
    let slot = TABLE.slot(index).ok_or(Failure::full("handles", HANDLES_MAX.into()))?;
    let forks = etclite::host::forks();
    if T::STRIPED {
        slot.give_stripes(forks);
    }
    slot.forks.store(forks, Ordering::Relaxed);
    // SAFETY: the slot was taken from the free ones, is dead and has no pins, so nobody else reads or writes its object.
    unsafe { *slot.object.get() = Some(Box::new(object)) };
    let generation = slot.word.load(Ordering::Relaxed) >> GENERATION_SHIFT;
    // Publishes the object to whoever finds the word equal to the token.
    slot.word.store(word_of(generation, T::KIND) | LIVE, Ordering::SeqCst);
    Ok(ptr::without_provenance_mut(Token { kind: T::KIND, generation, index }.address()))
}

/// Keeps the object behind `handle` from being destroyed for as long as the answer lives.
pub(crate) fn pin<T: Object>(handle: *const T::Opaque) -> Result<Pinned<T>, Failure> {
    let token = Token::of(handle.addr(), T::KIND)?;
    let slot = TABLE.slot(token.index).ok_or(Failure::misuse())?;
    let expected = word_of(token.generation, T::KIND) | LIVE;
    check_fork(slot, expected)?;
    if T::STRIPED {
        return pin_striped(slot, token.index, expected);
    }
    // Acquires the object that the word's publication released.
    let pinned = slot.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
        (word & !PINS == expected && word & PINS < PINS).then_some(word + 1)
    });
    pinned.map_err(|_| Failure::misuse())?;
    Ok(Pinned { slot, index: token.index, stripe: None, object: PhantomData })
}

fn pin_striped<T: Object>(slot: &'static Slot, index: u32, expected: u64) -> Result<Pinned<T>, Failure> {
    let stripe = slot.stripe().ok_or(Failure::misuse())?;
    stripe.fetch_add(1, Ordering::SeqCst);
    if slot.word.load(Ordering::SeqCst) != expected {
        slot.unpin_striped(index, stripe, T::KIND);
        return Err(Failure::misuse());
    }
    Ok(Pinned { slot, index, stripe: Some(stripe), object: PhantomData })
}

/// Ends the handle. The object is destroyed as soon as no call is inside: here, or when the last one leaves.
pub(crate) fn free<T: Object>(handle: *const T::Opaque) -> Result<(), Failure> {
    let token = Token::of(handle.addr(), T::KIND)?;
    let slot = TABLE.slot(token.index).ok_or(Failure::misuse())?;
    let expected = word_of(token.generation, T::KIND) | LIVE;
    check_fork(slot, expected)?;
    let ended = slot
        .word
        .fetch_update(Ordering::SeqCst, Ordering::Acquire, |word| (word & !PINS == expected).then_some(word & !LIVE));
    let word = ended.map_err(|_| Failure::misuse())?;
    if T::STRIPED {
        slot.destroy_if_unpinned(token.index, T::KIND);
    } else if word & PINS == 0 {
        slot.destroy(token.index);
    }
    Ok(())
}

/// Ends the handle that this thread has pinned, if it is still live. Whether it was.
pub(crate) fn end<T: Object>(pinned: &Pinned<T>) -> bool {
    let ended = pinned
        .slot
        .word
        .fetch_update(Ordering::SeqCst, Ordering::Acquire, |word| (word & LIVE != 0).then_some(word & !LIVE));
    ended.is_ok()
}

/// A handle from before a fork is refused for that, as long as it would be good otherwise.
fn check_fork(slot: &Slot, expected: u64) -> Result<(), Failure> {
    let word = slot.word.load(Ordering::Acquire);
    if word & !PINS != expected {
        return Err(Failure::misuse());
    }
    if slot.forks.load(Ordering::Relaxed) == etclite::host::forks() { Ok(()) } else { Err(Failure::forked()) }
}

/// An object that is in use. It is destroyed no earlier than when this goes.
pub(crate) struct Pinned<T: Object> {
    slot: &'static Slot,
    index: u32,
    stripe: Option<&'static AtomicU64>,
    object: PhantomData<fn() -> T>,
}

impl<T: Object> Deref for Pinned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the slot is pinned, so its object stays where it is and is only read.
        let object = unsafe { &*self.slot.object.get() };
        let object: Option<&T> = object.as_deref().and_then(|object| (object as &dyn Any).downcast_ref());
        object.expect("a live word of this kind has an object of this type in its slot")
    }
}

impl<T: Object> Pinned<T> {
    /// Waits until no other call is inside. The handle must have ended, or it waits for who comes next, too.
    ///
    /// It looks again and again, for a while at each turn of this thread and then once a millisecond. To be told instead
    /// would take a lock, which a process forked at the wrong moment would find held for ever; and who is inside of a
    /// store that is closed is soon gone.
    pub(crate) fn await_others(&self) {
        let mine = u64::from(self.stripe.is_some());
        let mut turns = 0;
        while self.slot.striped_pins() > mine {
            if turns < AWAIT_TURNS {
                turns += 1;
                std::thread::yield_now();
            } else {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }
}

impl<T: Object> Drop for Pinned<T> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(db) = self.database()
        {
            etclite::host::poison(db);
        }
        match self.stripe {
            Some(stripe) => self.slot.unpin_striped(self.index, stripe, T::KIND),
            None => self.slot.unpin(self.index),
        }
    }
}

const GENERATION_SHIFT: u32 = 32;
const GENERATION_MAX: u64 = (1 << 32) - 1;
const WORD_KIND_SHIFT: u32 = 26;
const LIVE: u64 = 1 << 25;
const PINS: u64 = LIVE - 1;

const fn word_of(generation: u64, kind: u64) -> u64 {
    generation << GENERATION_SHIFT | kind << WORD_KIND_SHIFT
}

/// The parts of a handle.
#[derive(Clone, Copy)]
struct Token {
    kind: u64,
    generation: u64,
    index: u32,
}

impl Token {
    const MARK: usize = 0b10 << 62;
    const KIND_SHIFT: u32 = 56;
    const GENERATION_SHIFT: u32 = 24;

    #[allow(clippy::cast_possible_truncation, reason = "a usize has 64 bits here")]
    fn address(self) -> usize {
        let index = u64::from(self.index);
        let bits = self.kind << Self::KIND_SHIFT | self.generation << Self::GENERATION_SHIFT | index;
        Self::MARK | bits as usize
    }

    #[allow(clippy::cast_possible_truncation, reason = "the index is cut to 24 bits")]
    fn of(address: usize, kind: u64) -> Result<Self, Failure> {
        let bits = address as u64;
        let token = Token {
            kind: bits >> Self::KIND_SHIFT & 0x3f,
            generation: bits >> Self::GENERATION_SHIFT & GENERATION_MAX,
            index: (bits & 0xff_ffff) as u32,
        };
        if address >> 62 == 0b10 && token.kind == kind { Ok(token) } else { Err(Failure::misuse()) }
    }
}

/// One place for an object.
struct Slot {
    word: AtomicU64,
    /// How many forks lay before the object that is in it; written before the word becomes live.
    forks: AtomicU64,
    object: UnsafeCell<Option<Box<dyn Any + Send + Sync>>>,
    /// Null until a database is in it; never freed.
    stripes: AtomicPtr<[Stripe; STRIPES]>,
    /// The free slot after this one, counted from 1; meaningful while it is free.
    next_free: AtomicU32,
}

// SAFETY: all fields but the object are atomic, and the object, which is `Send` and `Sync`, is written only by who has
// the slot to himself, as the word says.
unsafe impl Sync for Slot {}

/// How often who waits for others gives way before he rests.
const AWAIT_TURNS: u32 = 100;

/// How many cells share the pins of a database.
const STRIPES: usize = 16;

/// A cell of its own cache lines: two, since processors fetch them in pairs.
#[repr(align(128))]
#[derive(Default)]
struct Stripe(AtomicU64);

impl Slot {
    #[allow(clippy::declare_interior_mutable_const, reason = "what new slots are made of; nobody changes this one")]
    const EMPTY: Slot = Slot {
        word: AtomicU64::new(0),
        forks: AtomicU64::new(0),
        object: UnsafeCell::new(None),
        stripes: AtomicPtr::new(ptr::null_mut()),
        next_free: AtomicU32::new(0),
    };

    fn unpin(&self, index: u32) {
        let before = self.word.fetch_sub(1, Ordering::AcqRel);
        if before & LIVE == 0 && before & PINS == 1 {
            self.destroy(index);
        }
    }

    /// Takes away a pin that was counted in a cell for an object of a striped kind, whether or not it was in time.
    fn unpin_striped(&self, index: u32, stripe: &AtomicU64, kind: u64) {
        stripe.fetch_sub(1, Ordering::SeqCst);
        self.destroy_if_unpinned(index, kind);
    }

    /// Destroys the object of this striped kind whose handle has ended, unless a call is inside, which will then do it.
    /// An object of any other kind, which the slot may have by now, is let be: who ends it destroys it.
    fn destroy_if_unpinned(&self, index: u32, kind: u64) {
        let word = self.word.load(Ordering::SeqCst);
        // The one pin that such a word may have is the mark of who destroys the object.
        if word & LIVE != 0 || word >> WORD_KIND_SHIFT & 0x3f != kind || word & PINS != 0 {
            return;
        }
        // The word has the generation, so what is claimed is what was looked at.
        let claim = || self.word.compare_exchange(word, word + 1, Ordering::SeqCst, Ordering::Relaxed);
        if self.striped_pins() == 0 && claim().is_ok() {
            self.destroy(index);
        }
    }

    fn striped_pins(&self) -> u64 {
        self.stripes().map_or(0, |stripes| stripes.iter().map(|stripe| stripe.0.load(Ordering::SeqCst)).sum())
    }

    /// Called by the one who made the slot dead and without pins.
    fn destroy(&self, index: u32) {
        // SAFETY: the slot is dead and without pins, and only one caller sees it become so.
        let object = unsafe { (*self.object.get()).take() };
        let generation = (self.word.load(Ordering::Relaxed) >> GENERATION_SHIFT) + 1;
        if generation <= GENERATION_MAX {
            self.word.store(word_of(generation, 0), Ordering::SeqCst);
            TABLE.give_back(index, self);
        } else {
            self.word.store(word_of(GENERATION_MAX, 0), Ordering::SeqCst);
        }
        TABLE.live.fetch_sub(1, Ordering::Relaxed);
        // Last: it may take time, and may itself free handles.
        drop(object);
    }

    /// Gives a slot that was free, so that nobody else is here, its cells.
    fn give_stripes(&self, forks: u64) {
        match self.stripes() {
            None => self.stripes.store(Box::into_raw(Box::default()), Ordering::Release),
            // A thread of the parent that came too late may have been counted just then, and leaves in the parent alone.
            // No thread of this process was: it is refused before, since the slot is from before the fork.
            Some(stripes) if self.forks.load(Ordering::Relaxed) != forks => {
                stripes.iter().for_each(|stripe| stripe.0.store(0, Ordering::SeqCst));
            }
            Some(_) => {}
        }
    }

    fn stripes(&self) -> Option<&'static [Stripe; STRIPES]> {
        // SAFETY: it is null or came from a box that is never freed.
        unsafe { self.stripes.load(Ordering::Acquire).as_ref() }
    }

    fn stripe(&self) -> Option<&'static AtomicU64> {
        Some(&self.stripes()?[own_stripe()].0)
    }
}

/// The cell of this thread.
fn own_stripe() -> usize {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static OWN: Cell<Option<usize>> = const { Cell::new(None) });
    OWN.get().unwrap_or_else(|| {
        #[allow(clippy::cast_possible_truncation, reason = "a usize has 64 bits here")]
        let own = NEXT.fetch_add(1, Ordering::Relaxed) as usize % STRIPES;
        OWN.set(Some(own));
        own
    })
}

const CHUNK: usize = 1024;
/// As many slots as a token can name. More than can be live, since some rest for ever.
const CHUNKS: usize = (1 << 24) / CHUNK;

/// All slots. They are made in chunks, which are never freed.
struct Table {
    chunks: [AtomicPtr<[Slot; CHUNK]>; CHUNKS],
    /// How many slots were ever handed out.
    used: AtomicU32,
    /// The free slots as a stack: a count of changes in the upper half, against a slot that came back in between, and
    /// in the lower half the first one, counted from 1.
    free: AtomicU64,
    live: AtomicU32,
}

static TABLE: Table = Table {
    chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
    used: AtomicU32::new(0),
    free: AtomicU64::new(0),
    live: AtomicU32::new(0),
};

impl Table {
    fn slot(&self, index: u32) -> Option<&'static Slot> {
        let chunk = self.chunks.get(index as usize / CHUNK)?.load(Ordering::Acquire);
        // SAFETY: it is null or came from a box that is never freed.
        let chunk = unsafe { chunk.as_ref() }?;
        Some(&chunk[index as usize % CHUNK])
    }

    /// A slot that is nobody's.
    fn take(&self) -> Option<u32> {
        self.pop().or_else(|| self.extend())
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    fn pop(&self) -> Option<u32> {
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |head| {
            let first = self.slot((head as u32).checked_sub(1)?)?;
            Some(changed(head, first.next_free.load(Ordering::Acquire)))
        });
        taken.ok().map(|head| head as u32 - 1)
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    fn give_back(&self, index: u32, slot: &Slot) {
        let pushed = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |head| {
            slot.next_free.store(head as u32, Ordering::Release);
            Some(changed(head, index + 1))
        });
        debug_assert!(pushed.is_ok(), "a push always goes on");
    }

    /// A slot that nobody had before.
    fn extend(&self) -> Option<u32> {
        let index = self.used.fetch_add(1, Ordering::Relaxed);
        let Some(chunk) = self.chunks.get(index as usize / CHUNK) else {
            self.used.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        if chunk.load(Ordering::Acquire).is_null() {
            let made = Box::into_raw(Box::new([Slot::EMPTY; CHUNK]));
            let placed = chunk.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
            if placed.is_err() {
                // SAFETY: it came from the box above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
            }
        }
        Some(index)
    }
}

/// The stack's head after a change.
const fn changed(head: u64, first: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | first as u64
}

#[cfg(test)]
mod tests;
