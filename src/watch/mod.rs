//! Watches: subscribers that read history.
//!
//! A watcher is a position in the history of the store, not a queue (X-05). When changes are published, the `Hub`
//! finds the watchers that they concern and **marks** each: "there may be something for you from this revision on".
//! The watcher's own thread then **pulls** the events from history, as many as it wants at a time. So a slow watcher
//! costs no memory, delays nobody and loses nothing; only a compaction that passes its next unread match ends it.
//! History is the trait [`History`], which `engine/history.rs` implements over memtables and runs.
//!
//! ```text
//!   publisher                                  the watcher's thread
//!   1. makes revision r visible to readers
//!   2. publish(): marks who matches            next(): takes its window of unread revisions,
//!      and stores matched = r                     pulls their events from history,
//!   3. hands leadership over                      returns them; or parks if there is none
//!   4. wake(): those that were parked
//! ```
//!
//! **The order visible, marks, `matched`** is what makes [`Watch::progress`] exact. Who reads `matched = r` (Acquire)
//! sees every mark up to r, so an unmarked watcher has nothing unread up to r and stands at `matched`: a quiet watcher
//! has nothing to scan. It never stands at the visible revision, whose marks may still be on their way. And since
//! history is visible before a mark is set, a marked watcher may read at once.
//!
//! Registration reads `matched` under the hub's lock, in which publication happens as well, so a revision is either
//! below a new watcher's head or marked for it, never neither.
//!
//! **Locks.** The hub's, then a watcher's. History is read under neither, and whoever calls `Hub::publish` may hold
//! its own locks, except that its iterator must not call the hub.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::{Error, Invalid, Result};
use crate::io::Clock;
use crate::kv::{Event, KeyRange};

mod channel;
mod matcher;
mod slot;
#[cfg(feature = "futures")]
mod stream;
#[cfg(test)]
mod tests;
mod watcher;

pub use channel::{RECEIVER_CAPACITY_MAX, WatchReceiver};
pub use watcher::{
    BATCH_BYTES_DEFAULT, BATCH_BYTES_MAX, PROGRESS_EVERY_MIN, Watch, WatchBatch, WatchBuilder, WatchCanceller,
};

use matcher::Matcher;
use slot::{Frozen, Slot};

/// What watches read from: the store's history.
pub(crate) trait History: Send + Sync {
    /// The published compact revision; 0 if nothing is compacted. It is published before anything is dropped.
    fn compact_revision(&self) -> u64;

    /// Whether this process may read it: not one that was forked from the opener.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The events of `range` with `from <= revision <= to`, in the order of (revision, sub).
    ///
    /// Whole revisions only, at least one, stopping after about `bytes_max` bytes. An event counts its bytes and a fixed
    /// share, so that a bound in bytes also bounds the number of events and revisions. With `prev_kv` the key before
    /// each change is filled in, unless the revision before it is compacted (WA-07). `to` is visible, `from` was not
    /// compacted a moment ago; the caller checks again afterwards.
    fn events(&self, range: &KeyRange, from: u64, to: u64, prev_kv: bool, bytes_max: usize) -> Result<Page>;
}

/// A part of history.
#[derive(Debug)]
pub(crate) struct Page {
    /// The matching events, whole revisions.
    pub(crate) events: Vec<Event>,
    /// Every revision from `from` to this one was examined: `from <= examined <= to`, and `to` unless the page was cut.
    pub(crate) examined: u64,
    /// The revision of the first match above `examined`, if the page was cut and it is known. It makes progress exact.
    pub(crate) next: Option<u64>,
}

/// What to watch, and how.
#[derive(Clone, Debug)]
pub(crate) struct WatchSpec {
    pub(crate) range: KeyRange,
    /// The first revision to deliver; 0 is the next one.
    pub(crate) start: u64,
    pub(crate) prev_kv: bool,
    pub(crate) no_put: bool,
    pub(crate) no_delete: bool,
    pub(crate) batch_bytes: usize,
    pub(crate) progress_every: Option<Duration>,
    /// How many bytes at the beginning of each key are not told: those of a namespace, with which all of them begin.
    pub(crate) hidden_len: usize,
}

impl WatchSpec {
    /// All changes in `range` from the next revision on.
    pub(crate) fn new(range: KeyRange) -> Self {
        let batch_bytes = BATCH_BYTES_DEFAULT;
        WatchSpec {
            range,
            start: 0,
            prev_kv: false,
            no_put: false,
            no_delete: false,
            batch_bytes,
            progress_every: None,
            hidden_len: 0,
        }
    }
}

/// All watches of one store.
pub(crate) struct Hub {
    history: Weak<dyn History>,
    clock: Arc<dyn Clock>,
    watchers_max: usize,
    /// Every change up to this revision is marked for whom it concerns. Stored with Release under the lock, after the
    /// marks that it publishes.
    matched: AtomicU64,
    /// The number of watchers. Written under the lock; read without it as a hint, hence Relaxed.
    count: AtomicUsize,
    /// `state.wakes` may hold something. Relaxed: who filled it reads it in the same thread, and the list is locked.
    wakes_pending: AtomicBool,
    state: Mutex<State>,
}

struct State {
    next_id: u64,
    slots: BTreeMap<u64, Arc<Slot>>,
    matcher: Matcher<Arc<Slot>>,
    /// Marked while they were parked. A watcher is here once, until it parks again.
    wakes: Vec<Arc<Slot>>,
    closed: Option<Error>,
    frozen: Option<Frozen>,
}

impl Hub {
    /// The hub of a store that stands at revision `matched`. The history is weak: a watch that somebody keeps must not
    /// keep the store open.
    pub(crate) fn new(
        history: Weak<dyn History>,
        clock: Arc<dyn Clock>,
        matched: u64,
        watchers_max: usize,
    ) -> Arc<Hub> {
        Arc::new(Hub {
            history,
            clock,
            watchers_max,
            matched: AtomicU64::new(matched),
            count: AtomicUsize::new(0),
            wakes_pending: AtomicBool::new(false),
            state: Mutex::new(State {
                next_id: 0,
                slots: BTreeMap::new(),
                matcher: Matcher::new(),
                wakes: Vec::new(),
                closed: None,
                frozen: None,
            }),
        })
    }

    /// The number of watches.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The revision up to which all changes are marked: where a watcher without a mark stands.
    pub(crate) fn matched(&self) -> u64 {
        self.matched.load(Ordering::Acquire)
    }

    /// Publishes the revisions after the last published one up to `revision`, which readers see already. `changes`
    /// yields revision and user key of every change in them, in order; it is not read if nobody watches.
    ///
    /// One publisher at a time, in the order of revisions. [`Hub::wake`] must follow.
    pub(crate) fn publish(&self, revision: u64, changes: &mut dyn Iterator<Item = (u64, Bytes)>) {
        let mut state = self.state.lock();
        let State { slots, matcher, wakes, .. } = &mut *state;
        if !slots.is_empty() {
            for (changed, key) in changes {
                debug_assert!(changed <= revision, "a change above the revision that is published");
                matcher.matches(&key, |slot| {
                    if slot.mark(changed, changed) {
                        wakes.push(Arc::clone(slot));
                    }
                });
            }
        }
        self.finish_publication(&state, revision);
    }

    fn finish_publication(&self, state: &State, revision: u64) {
        debug_assert!(revision >= self.matched(), "publication in the order of revisions");
        if !state.wakes.is_empty() {
            self.wakes_pending.store(true, Ordering::Relaxed);
        }
        // Release: who sees this revision sees the marks of all changes up to it.
        self.matched.store(revision, Ordering::Release);
    }

    /// Wakes the watchers that were parked when they were marked. Called without the commit lock: a wake-up costs a
    /// system call.
    pub(crate) fn wake(&self) {
        if self.wakes_pending.load(Ordering::Relaxed) {
            let wakes = {
                let mut state = self.state.lock();
                self.wakes_pending.store(false, Ordering::Relaxed);
                std::mem::take(&mut state.wakes)
            };
            wakes.iter().for_each(|slot| slot.wake());
        }
    }

    /// Ends every watch with `error`, and refuses new ones with it.
    pub(crate) fn close(&self, error: Error) {
        let slots = {
            let mut state = self.state.lock();
            state.closed.get_or_insert_with(|| error.clone());
            state.matcher = Matcher::new();
            state.wakes = Vec::new();
            self.count.store(0, Ordering::Relaxed);
            std::mem::take(&mut state.slots)
        };
        for slot in slots.values() {
            slot.detach(self.matched());
            slot.end(error.clone());
        }
    }

    /// Nothing will be published any more: each watch delivers what is retained, then ends. With an error, as in a store
    /// that is poisoned; or without one, as in a store opened read-only.
    pub(crate) fn freeze(&self, error: Option<Error>) {
        let slots: Vec<Arc<Slot>> = {
            let mut state = self.state.lock();
            state.frozen.get_or_insert_with(|| Frozen(error.clone()));
            state.slots.values().cloned().collect()
        };
        // Without the lock, as wakers are called.
        slots.iter().for_each(|slot| slot.freeze(Frozen(error.clone())));
    }

    /// Starts a watch.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty range or too short an interval of progress, `Compacted` for a start below the
    /// compact revision, `Full` at the maximal number of watches, or what the hub was closed with.
    pub(crate) fn register(self: &Arc<Self>, mut spec: WatchSpec) -> Result<Watch> {
        check(&mut spec)?;
        // Before the lock, under which no foreign code runs. A compaction in between ends the watch at its first pull.
        self.check_start(&spec)?;
        let mut state = self.state.lock();
        if let Some(error) = &state.closed {
            return Err(error.clone());
        }
        if state.slots.len() >= self.watchers_max {
            return Err(Error::Full { what: "watches", max: u64::try_from(self.watchers_max).unwrap_or(u64::MAX) });
        }
        let matched = self.matched();
        let start = if spec.start == 0 { matched + 1 } else { spec.start };
        let id = state.next_id;
        let slot = Arc::new(Slot::new(id, spec.range.clone(), start, matched, state.frozen.clone()));
        state.next_id += 1;
        state.slots.insert(id, Arc::clone(&slot));
        state.matcher.insert(id, &slot.range, Arc::clone(&slot));
        self.count.store(state.slots.len(), Ordering::Relaxed);
        drop(state);
        Ok(Watch::new(Arc::clone(self), slot, spec, start))
    }

    fn check_start(&self, spec: &WatchSpec) -> Result<()> {
        let history = self.history()?;
        history.check()?;
        if spec.start == 0 { Ok(()) } else { check_compacted(&*history, spec.start) }
    }

    /// Marks the slot no more. Its progress stays where it is now. Doing it again is fine.
    fn remove(&self, slot: &Slot) {
        let mut state = self.state.lock();
        if state.slots.remove(&slot.id).is_some() {
            // Under the lock, so that marks and `matched` agree.
            slot.detach(self.matched());
            state.matcher.remove(slot.id, &slot.range);
            self.count.store(state.slots.len(), Ordering::Relaxed);
        }
    }

    fn history(&self) -> Result<Arc<dyn History>> {
        self.history.upgrade().ok_or(Error::Closed)
    }

    fn now(&self) -> Duration {
        self.clock.now().mono
    }
}

/// Validates a request for a watch. An empty key is taken as the lowest one, as etcd's watch does.
fn check(spec: &mut WatchSpec) -> Result<()> {
    if spec.range.start.is_empty() {
        spec.range.start = Bytes::from_static(b"\0");
    }
    if spec.range.is_empty() {
        return Err(Error::InvalidArgument(Invalid::EmptyWatchRange));
    }
    if spec.progress_every.is_some_and(|every| every < PROGRESS_EVERY_MIN) {
        return Err(Error::InvalidArgument(Invalid::Argument("the interval of watch progress is below 100 ms")));
    }
    Ok(())
}

fn check_compacted(history: &dyn History, revision: u64) -> Result<()> {
    let compacted = history.compact_revision();
    if revision < compacted { Err(Error::Compacted { compacted: compacted.into() }) } else { Ok(()) }
}
