//! Group commit: whoever waits for an index that is not published, and finds no leader, becomes the leader and takes
//! everything that is ordered so far through write, sync and publication, in its own thread. The others wait and look
//! again when the batch is through.
//!
//! A log thread of its own was measured 1.7 times slower than the leader inline, and lingering for followers gained
//! nothing: while one frame is being synced, the next one fills by itself.
//!
//! A failed write or sync is never retried: Linux drops the dirty pages and lets the next sync succeed. The store is
//! poisoned; who waited for that frame is told `Indeterminate`, everyone later `Poisoned`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::engine::background::Job;
use crate::engine::command::Stamp;
use crate::engine::cursors::Cursor;
use crate::engine::state::{Changes, LeaseChange, State};
use crate::engine::{Core, Engine};
use crate::error::{Error, Result};
use crate::io::room::Room;
use crate::kv::LeaseId;
use crate::lease::Terms;
use crate::log::Frame;
use crate::options::Durability;
use crate::sabotage::{Bug, is_planted};
use crate::trace;

/// Who leads, and how far publication has come.
#[derive(Debug)]
pub(crate) struct Commit {
    /// Taken alone, for a moment.
    progress: Mutex<Progress>,
    /// Copies of what `progress` guards, to be looked at without it.
    published: AtomicU64,
    leading: AtomicBool,
    failed: AtomicBool,
    /// Where the callers of the batch in hand and of the open one wait: by the batch's number, even and odd. So the end
    /// of a batch wakes its own callers, and of the next one a single caller, who leads it.
    rooms: [Room; 2],
    /// The leader's buffer, swapped with the open frame. Held by the leader only.
    buffer: Mutex<Frame>,
}

#[derive(Debug, Default)]
struct Progress {
    leader: bool,
    /// The last log index that is published.
    published: u64,
    /// Set when the store is poisoned: the last index that a failed write may have brought to the disk.
    failed_through: Option<u64>,
}

/// What a caller waits for: a log index, and the batch that it is published with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) index: u64,
    batch: u64,
}

impl Ticket {
    /// The later of two.
    pub(crate) fn max(self, other: Ticket) -> Ticket {
        if other.index > self.index { other } else { self }
    }
}

impl Core {
    /// The ticket of everything that is ordered so far.
    pub(crate) fn ticket(&self) -> Ticket {
        // With nothing in the open batch, the last index is in the one before.
        let batch = self.batch.number - u64::from(self.batch.last_index == 0);
        Ticket { index: self.state.index, batch }
    }
}

/// What is published together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Counts batches since the open, from 1.
    number: u64,
    /// The last log index; 0 if there is nothing to publish.
    pub(crate) last_index: u64,
    pub(crate) revision: u64,
    pub(crate) compacted: u64,
    pub(crate) leases: Vec<LeaseNote>,
    pub(crate) cursors: Vec<(Bytes, Option<Cursor>)>,
    /// Cursors may hold compaction back until another time than before.
    pub(crate) holds: bool,
}

impl Batch {
    /// The empty batch with this number.
    pub(crate) fn new(number: u64) -> Self {
        let (leases, cursors) = (Vec::new(), Vec::new());
        Batch { number, last_index: 0, revision: 0, compacted: 0, leases, cursors, holds: false }
    }

    /// Adds what a command changed: it is published with the frame that holds its record.
    pub(super) fn add(&mut self, state: &State, changes: &Changes) {
        self.last_index = state.index;
        self.revision = state.revision;
        self.compacted = state.compacted();
        self.cursors.extend(changes.cursors.iter().cloned());
        let moved = changes.compact_ordered.is_some() || !changes.cursors.is_empty();
        self.holds |= moved && state.compact_ordered.is_some_and(|ordered| ordered > self.compacted);
        for (id, change) in &changes.leases {
            self.leases.push(match change {
                LeaseChange::Granted(lease) => LeaseNote::Granted(*id, Terms::of(lease)),
                LeaseChange::Stored(_) => continue,
                LeaseChange::Shared { lease, ttl_ms } => {
                    LeaseNote::Shared { id: *id, terms: Terms::of(lease), until: lease.until(), ttl_ms: *ttl_ms }
                }
                LeaseChange::Lapsed(_) => LeaseNote::Lapsed(*id),
                LeaseChange::Ended => LeaseNote::Ended(*id),
            });
        }
    }
}

/// What publication tells the lessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseNote {
    Granted(LeaseId, Terms),
    /// A key was put for a time, with a hidden lease: stored is that it ends at `until`.
    Shared {
        id: LeaseId,
        terms: Terms,
        until: Stamp,
        ttl_ms: u64,
    },
    Lapsed(LeaseId),
    Ended(LeaseId),
}

/// How far a leader takes the open frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effort {
    /// Publish only.
    Publish,
    /// Hand it to the operating system.
    Write,
    /// Make it durable.
    Sync,
}

impl Commit {
    /// A commit that stands at `published`.
    pub(crate) fn new(published: u64) -> Self {
        Commit {
            progress: Mutex::new(Progress { published, ..Progress::default() }),
            published: AtomicU64::new(published),
            leading: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            rooms: [Room::default(), Room::default()],
            buffer: Mutex::new(Frame::new()),
        }
    }

    /// Everything up to `index` is published: recovery replayed it.
    pub(crate) fn set_published(&self, index: u64) {
        self.progress.lock().published = index;
        self.published.store(index, Ordering::Release);
    }

    /// Wakes all who wait; what nobody has in hand by now will never be published. Whether a leader has.
    pub(crate) fn poison(&self) -> bool {
        let mut progress = self.progress.lock();
        // What a leader has in hand may still reach the disk; what is behind it will not.
        let leading = progress.leader;
        let unknown = if leading { u64::MAX } else { progress.published };
        progress.failed_through.get_or_insert(unknown);
        self.failed.store(true, Ordering::Release);
        drop(progress);
        self.rooms.iter().for_each(|room| room.call(true));
        leading
    }

    fn is_published(&self, index: u64) -> bool {
        self.published.load(Ordering::Acquire) >= index
    }

    /// Becomes the leader, unless somebody is, or the store is poisoned.
    fn try_lead(&self, index: u64) -> Result<bool> {
        let mut progress = self.progress.lock();
        if let Some(failed) = progress.failed_through {
            // What was in the failed frame may be on the disk; what comes behind it was never written.
            return Err(if index <= failed { Error::Indeterminate } else { Error::Poisoned });
        }
        let free = !progress.leader;
        progress.leader = true;
        self.leading.store(true, Ordering::Release);
        Ok(free)
    }

    /// Waits in the room of `batch` until it is through, or a leader is wanted.
    fn rest(&self, batch: u64, index: u64) {
        let room = &self.rooms[usize::from(!batch.is_multiple_of(2))];
        room.wait(|| {
            let leading = self.leading.load(Ordering::Acquire);
            !leading || self.is_published(index) || self.failed.load(Ordering::Acquire)
        });
    }
}

impl Engine {
    /// Waits until what the ticket names is published, leading if nobody does.
    pub(crate) fn wait(&self, ticket: Ticket) -> Result<()> {
        let effort = self.effort();
        while !self.commit.is_published(ticket.index) {
            match self.commit.try_lead(ticket.index) {
                Ok(true) => self.lead(effort),
                Ok(false) => self.commit.rest(ticket.batch, ticket.index),
                Err(_) if self.commit.is_published(ticket.index) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Runs `look` while nothing is written to the log, and everything that is ordered so far is synced.
    pub(crate) fn with_log_at_rest<T>(&self, look: impl FnOnce() -> Result<T>) -> Result<T> {
        self.write_out(true)?;
        while !self.commit.try_lead(u64::MAX).map_err(|_| Error::Poisoned)? {
            let open = self.core.lock().batch.number;
            self.commit.rest(open, u64::MAX);
        }
        // A turn that takes nothing. Its number is that of the batch before the open one.
        let batch = self.core.lock().batch.number - 1;
        let _turn = Turn { engine: self, batch, last_index: 0, published: None, failed: false };
        look()
    }

    /// How far a batch is taken before it is published.
    fn effort(&self) -> Effort {
        match self.options.durability {
            Durability::Synced => Effort::Sync,
            Durability::Written => Effort::Write,
            Durability::Buffered => Effort::Publish,
        }
    }

    /// Hands what is ordered so far to the operating system, and makes it durable if `sync`.
    pub(crate) fn write_out(&self, sync: bool) -> Result<()> {
        let effort = if sync { Effort::Sync } else { Effort::Write };
        // Leads a batch of its own: the one in hand may have been taken before the caller's record was there.
        loop {
            match self.commit.try_lead(u64::MAX) {
                Ok(true) => break self.lead(effort),
                Ok(false) => {
                    let open = self.core.lock().batch.number;
                    self.commit.rest(open, u64::MAX);
                }
                Err(_) => return Err(Error::Poisoned),
            }
        }
        if self.commit.failed.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// One batch as the leader, from taking it to handing leadership over. A panic poisons, so that nobody waits for
    /// ever.
    fn lead(&self, effort: Effort) {
        // Whoever leads, nothing is published before it is as durable as the store promises.
        let mut effort = effort.max(self.effort());
        if is_planted(Bug::ReplyBeforeSync) {
            // Each batch is synced by the one after it.
            effort = Effort::Write;
            let _ = self.writer().and_then(|writer| writer.log.sync());
        }
        let mut turn = Turn { engine: self, batch: 0, last_index: 0, published: None, failed: true };
        let result = self.write_batch(effort, &mut turn);
        turn.failed = result.is_err();
        // Both before another leads.
        let published = turn.published.map(|index| (index, self.revision().get()));
        drop(turn);
        match result {
            Ok(()) => {
                self.hub.wake();
                self.lessor.wake_lost();
                if let Some((index, revision)) = published {
                    trace::published(index, revision);
                }
            }
            Err(error) => self.set_poison(error),
        }
    }

    fn write_batch(&self, effort: Effort, turn: &mut Turn<'_>) -> Result<()> {
        let writer = self.writer()?;
        let mut buffer = self.commit.buffer.lock();
        let (batch, placement, head) = {
            let mut core = self.core.lock();
            let next = Batch::new(core.batch.number + 1);
            let batch = std::mem::replace(&mut core.batch, next);
            let write = effort >= Effort::Write && !core.frame.is_empty();
            let placement = write.then(|| {
                std::mem::swap(&mut core.frame, &mut buffer);
                writer.log.place(&buffer, 0)
            });
            (batch, placement, core.state.revision)
        };
        (turn.batch, turn.last_index) = (batch.number, batch.last_index);
        if let Some(placement) = &placement {
            writer.log.write(placement, &mut buffer)?;
            buffer.clear();
            placement.trace();
        }
        if effort == Effort::Sync {
            writer.log.sync()?;
            self.synced.store(head, Ordering::Release);
        }
        if batch.last_index != 0 {
            self.publish(&batch);
            turn.published = Some(batch.last_index);
        }
        self.follow_up(effort, batch.last_index != 0 || placement.is_some());
        Ok(())
    }

    /// What a batch leaves to be done by others.
    fn follow_up(&self, effort: Effort, any: bool) {
        let writer = self.writer.as_ref().expect("a leader has a writer");
        if any && effort < Effort::Sync {
            self.kick(Job::Sync);
        }
        if writer.log.wants_prepare() {
            self.kick(Job::Prepare);
        }
    }

    /// Makes a batch visible: first to readers, then to watchers, then to the lessor.
    pub(crate) fn publish(&self, batch: &Batch) {
        let before = self.visible.load(Ordering::Acquire);
        self.visible.store(batch.revision, Ordering::Release);
        // Before compaction follows them: who asks for a cursor's position never finds history gone that it held.
        self.publish_cursors(batch);
        let compacted_before = self.compacted.swap(batch.compacted, Ordering::AcqRel);
        if batch.revision > before {
            // Collected only if somebody watches.
            let mut changes = std::iter::once(()).flat_map(|()| self.changed_keys(before + 1, batch.revision));
            self.hub.publish(batch.revision, &mut changes);
        }
        self.publish_leases(batch);
        if batch.compacted > compacted_before {
            trace::compacted(batch.compacted, batch.revision);
            self.kick(Job::Merge);
        }
        if batch.holds {
            self.schedule_lapse();
        }
    }

    fn publish_leases(&self, batch: &Batch) {
        if batch.leases.is_empty() {
            return;
        }
        let now = self.lease_now();
        let mut granted = false;
        for note in &batch.leases {
            match *note {
                LeaseNote::Granted(id, terms) => {
                    self.lessor.start(id, terms, now.saturating_add(terms.ttl));
                    granted = true;
                }
                LeaseNote::Shared { id, terms, until, ttl_ms } => {
                    let ttl = Duration::from_millis(ttl_ms);
                    self.lessor.share(id, terms, self.lease_time(&until).max(now.saturating_add(ttl)));
                    granted = true;
                }
                LeaseNote::Lapsed(id) => self.lessor.lapse(id, now),
                LeaseNote::Ended(id) => self.lessor.end(id),
            }
        }
        if granted {
            self.kick(Job::Expire);
        }
    }

    fn publish_cursors(&self, batch: &Batch) {
        if batch.cursors.is_empty() {
            return;
        }
        let mut cursors = self.cursors.lock();
        for (name, cursor) in &batch.cursors {
            match cursor {
                Some(cursor) => cursors.insert(name.clone(), cursor.clone()),
                None => cursors.remove(name),
            };
        }
    }

    /// Waits until nobody leads; of a poisoned store nothing is published after that.
    pub(crate) fn await_last_leader(&self) {
        while self.commit.leading.load(Ordering::Acquire) {
            crate::io::thread::pause(Duration::from_millis(1));
        }
    }

    /// The user keys that changed in a span of revisions, in order. They are all in memtables: what is not published
    /// is not flushed.
    fn changed_keys(&self, from: u64, to: u64) -> Vec<(u64, Bytes)> {
        let mut changed = Vec::new();
        for memtable in self.version.load().memtables.iter().rev() {
            memtable.events(from, to, &mut |entry| {
                changed.push((entry.mod_revision, entry.key.slice(1..)));
                true
            });
        }
        changed
    }

    /// The last index that is published.
    pub(crate) fn published_index(&self) -> u64 {
        self.commit.published.load(Ordering::Acquire)
    }
}

/// A leader's turn. Dropping it hands leadership over, also when the leader panics.
struct Turn<'e> {
    engine: &'e Engine,
    /// The number of the batch in hand.
    batch: u64,
    /// Its last index.
    last_index: u64,
    published: Option<u64>,
    failed: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let commit = &self.engine.commit;
        let mut progress = commit.progress.lock();
        if let Some(published) = self.published {
            progress.published = published;
            commit.published.store(published, Ordering::Release);
        }
        if self.failed {
            let failed = self.last_index.max(progress.published);
            progress.failed_through.get_or_insert(failed);
            commit.failed.store(true, Ordering::Release);
        }
        progress.leader = false;
        commit.leading.store(false, Ordering::Release);
        let last = progress.failed_through.is_some();
        drop(progress);
        // The next leader first: its sync is what everybody waits for.
        let own = usize::from(!self.batch.is_multiple_of(2));
        commit.rooms[1 - own].call(self.failed);
        commit.rooms[own].call(true);
        if last {
            // Poisoned, by itself or by others meanwhile: this was the last publication.
            self.engine.hub.freeze(Some(Error::Poisoned));
        }
        if self.failed && std::thread::panicking() {
            self.engine.set_poison(Error::Poisoned);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::command::Kind;
    use crate::op::{Put, PutOptions};
    use crate::options::Options;

    /// Who found the open frame full published it without a sync. Here nobody waits for anything: whatever is published
    /// was published for the sake of a full frame.
    #[test]
    fn a_full_frame_is_published_as_durable_as_any() {
        let mut options = Options::new();
        options.tuning.segment_bytes = 64 << 10;
        options.request_bytes_max = 32 << 10;
        let db = options.in_memory().expect("a store in memory opens");
        let engine = db.engine();
        for _ in 0..20 {
            engine.order(Kind::Put(Put::with(b"a", [0; 10_000], PutOptions::new()))).expect("a put is ordered");
            assert!(engine.synced_revision() >= engine.revision());
        }
        assert!(engine.revision().get() > 2, "frames were full");
    }
}
