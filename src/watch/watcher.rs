//! One subscriber, from its builder to its batches.
//!
//! All waiting ends in [`Watch::await_batch`]: take the next step, read, or park. What the hub knows of a watch is in
//! its slot; what only the watch's own thread needs is here.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::channel::WatchReceiver;
use super::slot::{Parked, Slot, Step, Window};
use super::{Hub, WatchSpec, check_compacted};
use crate::error::{Error, Result};
use crate::kv::{Event, EventKind, KeyRange, Revision};
use crate::sabotage::{Bug, is_planted};
use crate::trace;

/// How many bytes of events a batch has at most, unless set: 1 MiB.
pub const BATCH_BYTES_DEFAULT: usize = 1 << 20;

/// The most that [`WatchBuilder::batch_bytes`] can set: 8 MiB.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// The shortest interval of [`WatchBuilder::progress_every`].
pub const PROGRESS_EVERY_MIN: Duration = Duration::from_millis(100);

/// A watch that is being described; [`WatchBuilder::start`] starts it.
#[must_use = "a watch begins with start()"]
#[derive(Clone)]
pub struct WatchBuilder {
    hub: Arc<Hub>,
    spec: WatchSpec,
}

impl WatchBuilder {
    pub(crate) fn new(hub: Arc<Hub>, range: KeyRange) -> Self {
        WatchBuilder { hub, spec: WatchSpec::new(range) }
    }

    /// The first revision to deliver, inclusive. Zero, the default, is the next revision after the start of the watch.
    /// One that lies in the future is waited for, and nothing below it is delivered. As etcd's
    /// `WatchCreateRequest.start_revision`.
    pub fn from(mut self, revision: impl Into<Revision>) -> Self {
        self.spec.start = revision.into().get();
        self
    }

    /// Gives each event the key as it was before, in [`Event::prev`]. It is absent for a creation, and if the revision
    /// before the event's is below the compact revision. As etcd's `WatchCreateRequest.prev_kv`.
    pub fn with_prev(mut self) -> Self {
        self.spec.prev_kv = true;
        self
    }

    /// Leaves out puts, as etcd's filter `NOPUT`. Progress moves past what is left out.
    pub fn no_put(mut self) -> Self {
        self.spec.no_put = true;
        self
    }

    /// Leaves out deletes, as etcd's filter `NODELETE`. Progress moves past what is left out.
    pub fn no_delete(mut self) -> Self {
        self.spec.no_delete = true;
        self
    }

    /// About how many bytes of events a batch has at most: by default [`BATCH_BYTES_DEFAULT`], never more than
    /// [`BATCH_BYTES_MAX`]. A batch has at least one revision, whole, however large; zero means just one.
    ///
    /// Each event counts at least some 100 bytes, so this also bounds the number of events and revisions.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.spec.batch_bytes = bytes;
        self
    }

    /// Delivers an empty batch with the watch's progress as its revision whenever nothing was delivered for that long,
    /// everything published was, and the start is reached, as etcd's `progress_notify`. At least
    /// [`PROGRESS_EVERY_MIN`]. By default off.
    pub fn progress_every(mut self, interval: Duration) -> Self {
        self.spec.progress_every = Some(interval);
        self
    }

    /// Leaves out so many bytes at the beginning of each key, which all keys of the range have.
    pub(crate) fn hide(mut self, len: usize) -> Self {
        self.spec.hidden_len = len;
        self
    }

    /// Starts the watch. Does not wait.
    ///
    /// Differs from etcd: there a watch from below the compact revision is created and then cancelled.
    ///
    /// # Errors
    /// `Compacted` if the first revision is below the compact revision (equal is fine), `InvalidArgument` for an empty
    /// range or too short an interval, `Full` if there are too many watches, `Closed`.
    pub fn start(self) -> Result<Watch> {
        self.hub.register(self.spec)
    }
}

impl fmt::Debug for WatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchBuilder").field("range", &self.spec.range).field("start", &self.spec.start).finish()
    }
}

/// A watch: a position in the history of the store, from which [`next`](Iterator::next) reads on.
///
/// Events come **ordered** by revision, each **once**, with no **gap**, all of a revision **together**. It can be
/// resumed by a new watch from [`progress`](Watch::progress) + 1. It holds no events, so it may be read slowly, or
/// not at all, at no cost; only a compaction that passes the next unread match ends it, with `Compacted`.
///
/// Differs from etcd: there the server queues events for each watcher, and those that are slow wait for a share of its
/// rounds of catching up. Here each reads history for itself, when it likes, and none delays another.
///
/// It ends when dropped, by [`WatchCanceller::cancel`] (`Canceled`), when the store is closed (`Closed`), by an error
/// of reading (`Io`, `Corrupt`) or by `Compacted`: the error is returned once, then the end (`None`). In a store opened
/// read-only it ends without an error after what is retained; in one that is poisoned with `Poisoned`, once it has
/// returned all that was published, as nothing more can come.
///
/// As an iterator it blocks for the next batch: `for batch in &mut watch { for event in batch?.events() { .. } }`.
pub struct Watch {
    hub: Arc<Hub>,
    slot: Arc<Slot>,
    spec: WatchSpec,
    start: u64,
    /// When a batch was last returned; kept only for timed progress.
    sent_at: Duration,
    done: bool,
}

/// How long a call waits.
#[derive(Clone, Copy)]
enum Wait {
    Not,
    /// A time of the clock; `None` is never.
    Until(Option<Duration>),
}

impl Watch {
    pub(super) fn new(hub: Arc<Hub>, slot: Arc<Slot>, spec: WatchSpec, start: u64) -> Self {
        let sent_at = if spec.progress_every.is_some() { hub.now() } else { Duration::ZERO };
        Watch { hub, slot, spec, start, sent_at, done: false }
    }

    /// The next batch, if there is one now. Reads storage but does not wait.
    ///
    /// # Errors
    /// Those that end the watch; each is returned once, afterwards `None`.
    pub fn try_next(&mut self) -> Result<Option<WatchBatch>> {
        self.await_batch(Wait::Not)
    }

    /// The next batch; `None` if none came in that time, or if the watch has ended.
    ///
    /// # Errors
    /// Those that end the watch; each is returned once, afterwards `None`.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<WatchBatch>> {
        let until = self.hub.now().checked_add(timeout);
        self.await_batch(Wait::Until(until))
    }

    /// The next batch, for who waits for several things at once: if there is none now, the waker of `context` is woken
    /// once there may be one. Reads storage but does not wait. `None` once the watch has ended.
    ///
    /// The time of [`WatchBuilder::progress_every`] wakes nobody here; a batch of progress comes if it is due when asked.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<WatchBatch>>> {
        loop {
            match self.try_next() {
                Ok(None) if !self.done => {}
                ready => return Poll::Ready(ready.transpose()),
            }
            if !self.slot.register(context.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// The largest revision R such that every match up to R was returned. A new watch from R + 1 continues exactly
    /// here. Answers at once, and on a watch that has ended too. Before a start that is in the future: start − 1.
    ///
    /// Differs from etcd: a `WatchProgressRequest` is answered only once all watchers of its stream are at the head.
    pub fn progress(&self) -> Revision {
        progress(&self.hub, &self.slot)
    }

    /// The first revision that this watch delivers: the one asked for, or the next one when it was started.
    pub fn start_revision(&self) -> Revision {
        self.start.into()
    }

    /// From now on as if [`WatchBuilder::batch_bytes`] had been given `bytes`. What it was before.
    pub(crate) fn set_batch_bytes(&mut self, bytes: usize) -> usize {
        std::mem::replace(&mut self.spec.batch_bytes, bytes)
    }

    /// Whether the watch has ended: there is nothing more to come.
    pub fn is_ended(&self) -> bool {
        self.done
    }

    /// What cancels this watch from another thread.
    pub fn canceller(&self) -> WatchCanceller {
        WatchCanceller { hub: Arc::clone(&self.hub), slot: Arc::clone(&self.slot) }
    }

    /// Puts a thread in front of the watch that reads it into a bounded channel, for programs that `select!` over
    /// several. See [`WatchReceiver`] for the bounds of `capacity`, in batches.
    pub fn receiver(self, capacity: usize) -> WatchReceiver {
        WatchReceiver::new(self, capacity)
    }

    /// `None` at the end, and if the wait was over before there was a batch.
    fn await_batch(&mut self, wait: Wait) -> Result<Option<WatchBatch>> {
        while !self.done {
            match self.slot.step() {
                Step::Read(window) => match self.pull(window) {
                    Ok(None) => continue,
                    Ok(Some(batch)) => return Ok(Some(self.sent(batch))),
                    Err(error) => return self.finish(Some(error)),
                },
                Step::End(error) => return self.finish(error),
                Step::Idle => {}
            }
            match self.idle(wait) {
                Idle::Woken => {}
                Idle::ProgressDue => {
                    if let Some(batch) = self.timed_progress() {
                        return Ok(Some(batch));
                    }
                }
                Idle::Over => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Reads the window, or as much of it as fits a batch; the rest goes back. `None`: all of what was read is
    /// filtered out, and progress has moved past it.
    fn pull(&self, window: Window) -> Result<Option<WatchBatch>> {
        let Window { low, high } = window;
        let page = self.read(window).inspect_err(|_| self.slot.put_back(window))?;
        debug_assert!((low..=high).contains(&page.examined), "history examined what it was asked for");
        if page.examined < high {
            let unread = page.next.unwrap_or(0).max(page.examined + 1);
            if unread <= high {
                self.slot.put_back(Window { low: unread, high });
            }
        }
        let mut events = page.events;
        events.retain(|event| !self.is_filtered(event.kind));
        if self.spec.hidden_len > 0 {
            let kvs = events.iter_mut().flat_map(|event| std::iter::once(&mut event.kv).chain(&mut event.prev));
            kvs.for_each(|kv| kv.hide(self.spec.hidden_len));
        }
        Ok(events.last().map(|last| last.kv.mod_revision).map(|revision| WatchBatch { revision, events }))
    }

    /// A page of history. Compaction is checked before, so as not to read in vain, and after: what it published before
    /// dropping anything shows then, if the page has a gap.
    fn read(&self, Window { low, high }: Window) -> Result<super::Page> {
        let history = self.hub.history()?;
        check_compacted(&*history, low)?;
        let bytes_max = self.spec.batch_bytes.clamp(1, BATCH_BYTES_MAX);
        let page = history.events(&self.slot.range, low, high, self.spec.prev_kv, bytes_max)?;
        check_compacted(&*history, low)?;
        Ok(page)
    }

    fn is_filtered(&self, kind: EventKind) -> bool {
        match kind {
            EventKind::Put => self.spec.no_put,
            EventKind::Delete => self.spec.no_delete,
        }
    }

    /// Waits for something to do.
    fn idle(&self, wait: Wait) -> Idle {
        let progress_at = self.spec.progress_every.and_then(|every| self.sent_at.checked_add(every));
        let until = match (wait, progress_at) {
            (Wait::Not, None) => return Idle::Over,
            (Wait::Until(None), None) => {
                self.slot.park(None);
                return Idle::Woken;
            }
            (Wait::Not, Some(_)) => Some(Duration::ZERO),
            (Wait::Until(until), _) => until,
        };
        let now = self.hub.now();
        if progress_at.is_some_and(|at| at <= now) {
            return Idle::ProgressDue;
        }
        if until.is_some_and(|until| until <= now) {
            return Idle::Over;
        }
        // What the system timed counts, not what the clock shows afterwards: it may be a simulated one.
        let progress_first = progress_at.is_some_and(|at| until.is_none_or(|until| at <= until));
        let first = if progress_first { progress_at } else { until };
        match self.slot.park(first.map(|at| at.saturating_sub(now))) {
            Parked::Woken => Idle::Woken,
            Parked::TimedOut if progress_first => Idle::ProgressDue,
            Parked::TimedOut => Idle::Over,
        }
    }

    /// The batch that only tells progress. Not while the store is below the start: no revision is reached of which
    /// this watch could say anything (etcd #20221).
    fn timed_progress(&mut self) -> Option<WatchBatch> {
        self.sent_at = self.hub.now();
        (self.hub.matched() >= self.start).then(|| WatchBatch { revision: self.progress(), events: Vec::new() })
    }

    fn sent(&mut self, batch: WatchBatch) -> WatchBatch {
        if self.spec.progress_every.is_some() {
            self.sent_at = self.hub.now();
        }
        batch
    }

    fn finish(&mut self, error: Option<Error>) -> Result<Option<WatchBatch>> {
        self.done = true;
        self.hub.remove(&self.slot);
        if let Some(Error::Compacted { compacted }) = &error {
            trace::watch_compacted(self.progress().get(), compacted.get());
        }
        // Whoever waits through a waker is to learn of the end, too.
        self.slot.wake();
        error.map_or(Ok(None), Err)
    }
}

/// How far a watch has been read.
fn progress(hub: &Hub, slot: &Slot) -> Revision {
    // In this order: all up to this `matched` are marked in the slot that is read next.
    let matched = hub.matched();
    if is_planted(Bug::ProgressAhead) {
        return matched.into();
    }
    slot.progress(matched).into()
}

/// Why [`Watch::idle`] returned.
enum Idle {
    Woken,
    ProgressDue,
    Over,
}

impl Iterator for Watch {
    type Item = Result<WatchBatch>;

    /// Waits for the next batch. `None` once the watch has ended, after the error that ended it.
    fn next(&mut self) -> Option<Self::Item> {
        self.await_batch(Wait::Until(None)).transpose()
    }
}

impl FusedIterator for Watch {}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.remove(&self.slot);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Watch { slot, start, done, .. } = self;
        f.debug_struct("Watch")
            .field("range", &slot.range)
            .field("start", start)
            .field("progress", &self.progress().get())
            .field("ended", done)
            .finish()
    }
}

/// Cancels a watch, from any thread and any number of times.
#[derive(Clone)]
pub struct WatchCanceller {
    hub: Arc<Hub>,
    slot: Arc<Slot>,
}

impl WatchCanceller {
    /// Ends the watch: a `next` that waits, or the next call, returns `Canceled`. Does not wait for it.
    pub fn cancel(&self) {
        self.hub.remove(&self.slot);
        self.slot.end(Error::Canceled);
    }

    /// [`Watch::progress`].
    pub(crate) fn progress(&self) -> Revision {
        progress(&self.hub, &self.slot)
    }

    /// Has `waker` woken once the watch has something to do; true if it has already. One waker per watch.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        self.slot.register(waker)
    }

    #[cfg(test)]
    pub(super) fn is_parked(&self) -> bool {
        self.slot.is_parked()
    }
}

impl fmt::Debug for WatchCanceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchCanceller").field("range", &self.slot.range).finish()
    }
}

/// Events that a watch returned together: one or more revisions, each whole, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    revision: Revision,
    events: Vec<Event>,
}

impl WatchBatch {
    /// The revision of the last event; in a batch of progress, the revision up to which everything was delivered.
    ///
    /// Differs from etcd: there `WatchResponse.header.revision` may be above the last event's.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The events, in the order of their revisions and within a revision in the order of its changes.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Takes the events.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Whether this batch has no events and only tells progress: see [`WatchBuilder::progress_every`].
    pub fn is_progress(&self) -> bool {
        self.events.is_empty()
    }
}

impl<'a> IntoIterator for &'a WatchBatch {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.iter()
    }
}

impl IntoIterator for WatchBatch {
    type Item = Event;
    type IntoIter = std::vec::IntoIter<Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.into_iter()
    }
}
