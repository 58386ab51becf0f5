//! What the hub and one watch share: which revisions are still to be read, and a place to park.
//!
//! There is no queue. A [`Window`] says where unread matches can lie; marking widens it, reading takes it away. Its
//! size does not depend on how far behind the watch is.
//!
//! ```text
//!             taken          window.low          window.high        matched
//!  -------------|----------------|--------------------|----------------|------> revisions
//!   delivered, or below start  no match   matches in here    no match    not matched yet
//! ```
//!
//! Invariants, all under the one mutex: `taken < low <= high`; every published match above `taken` is in the window;
//! without a window the watch stands at `matched`, or at `taken` if that is higher (its start lies in the future, or
//! it was quicker than the publisher's last step).

use std::task::Waker;
use std::time::Duration;

use crate::error::Error;
use crate::io::sync::{Condvar, Mutex};
use crate::kv::KeyRange;

/// Revisions from `low` to `high`, both inclusive: all that a watch has not read and that may concern it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) low: u64,
    pub(super) high: u64,
}

/// That nothing will change any more, and the error that says why, if it was not to be expected.
#[derive(Clone, Debug)]
pub(super) struct Frozen(pub(super) Option<Error>);

/// What a watch does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Read this window, which is now the caller's: deliver all of it, or [`Slot::put_back`] the rest.
    Read(Window),
    /// Nothing to read now.
    Idle,
    /// It is over, with an error or at the end of a store that does not change.
    End(Option<Error>),
}

/// One watcher, seen from the hub.
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) range: KeyRange,
    /// Innermost lock: taken by the publisher under the hub's lock, by everybody else alone.
    state: Mutex<State>,
    parking: Condvar,
}

struct State {
    window: Option<Window>,
    /// Nothing at or below it is marked again: it was taken to be read, or lies before the start.
    taken: u64,
    /// `matched` at the moment when the hub stopped marking this slot; `None` while it does.
    head: Option<u64>,
    /// Ends the watch at once.
    error: Option<Error>,
    /// Ends the watch when it has nothing to read.
    frozen: Option<Frozen>,
    /// A thread waits or a waker is registered, and nobody has promised to wake it yet.
    parked: bool,
    /// Woken instead of a thread, once.
    waker: Option<Waker>,
}

impl Slot {
    /// A watcher from `start` on in a store whose published changes are matched up to `matched`.
    pub(super) fn new(id: u64, range: KeyRange, start: u64, matched: u64, frozen: Option<Frozen>) -> Self {
        let window = (start <= matched).then_some(Window { low: start, high: matched });
        let state = State { window, taken: start - 1, head: None, error: None, frozen, parked: false, waker: None };
        Slot { id, range, state: Mutex::new(state), parking: Condvar::new() }
    }

    /// Notes that there may be matches from `low` to `high`. Whether a parked thread must now be woken: the caller
    /// then owes a [`Slot::wake`].
    #[must_use]
    pub(super) fn mark(&self, low: u64, high: u64) -> bool {
        let mut state = self.state.lock();
        // A watch that is awake may read a revision between two marks of it, one for each of its keys.
        let low = low.max(state.taken + 1);
        if low > high {
            return false;
        }
        state.widen(Window { low, high });
        std::mem::take(&mut state.parked)
    }

    /// Wakes the thread that waits, if any, or the waker that is registered.
    pub(super) fn wake(&self) {
        self.parking.notify_one();
        let waker = self.state.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has `waker` woken once there is something to do; true if there is already.
    pub(super) fn register(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if state.is_ready() {
            return true;
        }
        state.parked = true;
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        false
    }

    /// Ends the watch with an error, unless it has one, and wakes it.
    pub(super) fn end(&self, error: Error) {
        self.state.lock().error.get_or_insert(error);
        self.wake();
    }

    /// Ends the watch once it has read all that is there, and wakes it.
    pub(super) fn freeze(&self, frozen: Frozen) {
        self.state.lock().frozen.get_or_insert(frozen);
        self.wake();
    }

    /// The hub marks this slot no more; it did so up to `matched`.
    pub(super) fn detach(&self, matched: u64) {
        self.state.lock().head.get_or_insert(matched);
    }

    /// The next step of the watch; hands out the window.
    pub(super) fn step(&self) -> Step {
        let mut state = self.state.lock();
        if let Some(error) = &state.error {
            return Step::End(Some(error.clone()));
        }
        match state.window.take() {
            Some(window) => {
                state.taken = window.high;
                Step::Read(window)
            }
            None => state.frozen.clone().map_or(Step::Idle, |Frozen(error)| Step::End(error)),
        }
    }

    /// Returns the unread part of a window.
    pub(super) fn put_back(&self, unread: Window) {
        let mut state = self.state.lock();
        state.taken = unread.low - 1;
        state.widen(unread);
    }

    /// The highest revision up to which every match was read, given that all up to `matched` are marked.
    pub(super) fn progress(&self, matched: u64) -> u64 {
        let state = self.state.lock();
        match state.window {
            Some(window) => window.low - 1,
            None => state.head.unwrap_or(matched).max(state.taken),
        }
    }

    /// Waits until there is something to do, at most for `timeout`; `None` is without end.
    pub(super) fn park(&self, timeout: Option<Duration>) -> Parked {
        let mut state = self.state.lock();
        if state.is_ready() {
            return Parked::Woken;
        }
        state.parked = true;
        let timed_out = match timeout {
            None => {
                self.parking.wait(&mut state);
                false
            }
            Some(timeout) => self.parking.wait_for(&mut state, timeout).timed_out(),
        };
        // A waker that nobody took is still to be woken.
        state.parked = state.waker.is_some();
        if timed_out && !state.is_ready() { Parked::TimedOut } else { Parked::Woken }
    }

    #[cfg(test)]
    pub(super) fn is_parked(&self) -> bool {
        self.state.lock().parked
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parked {
    /// Woken, perhaps for nothing: look again.
    Woken,
    /// The time was up.
    TimedOut,
}

impl State {
    fn widen(&mut self, by: Window) {
        self.window = Some(match self.window {
            None => by,
            Some(window) => Window { low: window.low.min(by.low), high: window.high.max(by.high) },
        });
    }

    fn is_ready(&self) -> bool {
        self.window.is_some() || self.error.is_some() || self.frozen.is_some()
    }
}
