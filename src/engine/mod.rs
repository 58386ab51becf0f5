//! The engine: one write path and one read path.
//!
//! ```text
//! order    order()              the caller, under the commit mutex: evaluate on the head, number, append to the open
//!                               frame, insert into the memtable above the visible revision
//! sync     commit.rs, lead()    one leader at a time, in its caller's thread: write the frame, sync it
//! publish  commit.rs, publish() the visible revision moves; watchers, lease deadlines and waiting callers learn of it
//! reply    submit()
//! ```
//! Everything is durable before it is visible. A command that changes nothing is not logged; its answer waits until
//! what it saw is published.
//!
//! | file | what |
//! |---|---|
//! | `shape.rs`, `command.rs`, `apply.rs`, `state.rs`, `query.rs` | a request on its way: its shape, its encoding, what it changes, and what a range answers |
//! | `commit.rs` | group commit and publication |
//! | `recover.rs` | opening: what the catalog names, and what a torn tail of the log means |
//! | `replay.rs` | the end of opening: the tail of the log by the same `apply.rs`, then leases |
//! | `snapshot.rs`, `pin.rs`, `history.rs` | what readers, snapshot handles and watches read |
//! | `leases.rs`, `fence.rs` | the lease verbs, and expiry; what a fenced txn asks of the clock |
//! | `cursors.rs` | durable watch cursors, and what they hold back of compaction |
//! | `operations.rs`, `results.rs` | operation ids: writes that take effect once, and the answers that are kept for them |
//! | `background.rs`, `reorganize.rs`, `close.rs` | the threads; flush, merge, and the catalog edits that move the checkpoint; the clean close |
//! | `inspect.rs`, `verify.rs`, `dump.rs`, `backup.rs`, `build.rs` | hash, stats and health; `Db::check`; dumps; copies; stores made from history |
//!
//! **Locks**, in order. Of maintenance, held across I/O: `flushing`, `merging`, the preparing lock of `background.rs`,
//! `editing`. Of a leader, held across its write and sync: the buffer of `commit.rs`. Then the commit mutex (`core`),
//! under which evaluation may read runs but nothing is written, and inside it: the version edit lock, the jobs of
//! `background.rs`, the catalog's contents, the log's state, the hub's, the lessor's, a memtable's. The lock under
//! which the catalog edits its file comes after `editing`.

pub(crate) mod apply;
mod background;
pub(crate) mod backup;
#[cfg(feature = "import-etcd")]
pub(crate) mod build;
mod close;
pub(crate) mod command;
pub(crate) mod commit;
pub(crate) mod cursors;
pub(crate) mod dump;
pub(crate) mod fence;
mod history;
pub(crate) mod inspect;
pub(crate) mod leases;
pub(crate) mod operations;
pub(crate) mod pin;
pub(crate) mod query;
pub(crate) mod recover;
mod reorganize;
mod replay;
mod results;
pub(crate) mod shape;
pub(crate) mod snapshot;
pub(crate) mod state;
pub(crate) mod verify;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::db::signal::Signal;
use crate::engine::apply::Response;
use crate::engine::background::Background;
use crate::engine::command::{Command, Kind, Seen, Stamp};
use crate::engine::commit::{Batch, Commit, Ticket};
use crate::engine::cursors::{Cursor, Cursors};
use crate::engine::operations::{Answer, Operation};
use crate::engine::state::{Changes, Lease, State};
use crate::error::{Error, Result};
use crate::io::sync;
use crate::io::thread::{forks, process_id};
use crate::io::{Clock, Disk, DiskLock, Now};
use crate::kv::{LeaseId, Revision};
use crate::lease::Lessor;
use crate::log::{Frame, Log};
use crate::memtable::Memtable;
use crate::op::{Op, Txn};
use crate::options::{Durability, LogEvent, Options};
use crate::sabotage::{Bug, is_planted};
use crate::store::Version;
use crate::store::catalog::{Catalog, Meta, OperationsRow};
use crate::store::state_file::Remembered;
use crate::watch::Hub;

/// An open store.
pub(crate) struct Engine {
    /// Itself, for the threads it starts.
    this: Weak<Engine>,
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    /// The commit mutex: who holds it orders commands. Never held during I/O of the log; its place in the lock order is
    /// in the module's text.
    core: Mutex<Core>,
    commit: Commit,
    version: ArcSwap<Version>,
    /// Serialises changes of `version`; taken inside the commit mutex, never the other way round.
    version_edit: Mutex<()>,
    /// The revision that readers see.
    visible: AtomicU64,
    /// The compact revision that readers see; 0 while nothing was compacted.
    compacted: AtomicU64,
    /// The highest revision known to be on the disk.
    synced: AtomicU64,
    /// The compact revision up to which runs and memtables were freed of what it dropped, for the quota's sake.
    weighed: AtomicU64,
    /// What writing needs; absent in a read-only store.
    writer: Option<Writer>,
    /// The store's identity and epoch; its counters are those of the open, and the writer's go on from there.
    meta: Meta,
    pub(crate) hub: Arc<Hub>,
    pub(crate) lessor: Lessor,
    /// The cursors as published; taken alone.
    cursors: Mutex<Cursors>,
    pins: pin::Pins,
    background: Background,
    poison: Mutex<Option<Error>>,
    poisoned: AtomicBool,
    /// Given when the store is poisoned, for who waits for a change that will not come.
    pub(crate) broken: Signal,
    closed: AtomicBool,
    /// The process that opened the store, and how many forks it had behind it.
    pid: u32,
    forks: u64,
    lock: Mutex<Option<DiskLock>>,
    /// The revision that the last open recovered.
    pub(crate) recovered_revision: AtomicU64,
    /// The first names of runs and segments that are given in this open.
    first_run: u64,
    first_segment: u64,
}

/// The files that a writable store writes.
pub(crate) struct Writer {
    pub(crate) log: Log,
    pub(crate) catalog: Catalog,
    /// Counters that name files; every catalog edit stores them, so that no name is used twice.
    pub(crate) names: Mutex<Meta>,
    /// One flush, and one merge, at a time. Taken before any other lock, and waited for as long as one takes.
    pub(crate) flushing: sync::Mutex<()>,
    pub(crate) merging: sync::Mutex<()>,
    /// From looking at the log's segments to the edit that names them, which is synced. Taken after those, before the
    /// catalog's lock.
    pub(crate) editing: sync::Mutex<()>,
    /// The files are no longer ours. Set with the locks of all maintenance held, looked at under each.
    pub(crate) closed: AtomicBool,
}

/// What the commit mutex guards.
pub(crate) struct Core {
    pub(crate) state: State,
    /// Records that the next leader writes.
    frame: Frame,
    /// What is published once they are durable.
    batch: Batch,
    /// Closed memtables that wait for their flush, oldest first.
    closed: VecDeque<Closed>,
    /// Leases changed since the active memtable became active.
    dirty_leases: BTreeSet<LeaseId>,
    /// Cursors changed since then.
    dirty_cursors: BTreeSet<Bytes>,
    /// The last command that the memtables before the active one hold.
    rotated_index: u64,
    /// Bytes logged since then.
    log_bytes: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    Closed,
}

/// A closed memtable with the state as it was when it was closed.
#[derive(Clone)]
struct Closed {
    memtable: Arc<Memtable>,
    revision: u64,
    term: u64,
    /// The last command that is in it, and when it is published.
    ticket: Ticket,
    compact_revision: Option<u64>,
    compact_ordered: Option<u64>,
    leases: Vec<(LeaseId, Option<Lease>)>,
    cursors: Vec<(Bytes, Option<Cursor>)>,
    /// What was remembered of operations meanwhile, as far as it still counted when it was closed.
    operations: (OperationsRow, Vec<Arc<Remembered>>),
}

/// How many closed memtables may wait for their flush before writers wait for it.
const CLOSED_MAX: usize = 2;

/// What a record costs in the log beside its payload: its own header and the frame's, about.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// What a write is estimated to take beside its bytes, as in etcd.
const GROWTH_BYTES: u64 = 256;

/// Why a command that was evaluated cannot be logged yet.
enum Obstacle {
    /// The open frame is full.
    Frame,
    /// No zero-filled room for it, of so many bytes.
    LogRoom(usize),
    /// Flushes or merges have fallen behind.
    Flush,
    /// The quota seems reached, but not all that compaction has freed is known yet.
    Weight,
    /// The command's fences or compares ask for this lease, whose deadline has passed.
    Overdue(LeaseId),
}

/// What one try to order a command came to.
enum Ordered {
    /// An answer, or a refusal by what the store holds: either may be told once what the ticket names is published.
    Done(Result<Answer>, Ticket),
    Obstacle(Obstacle),
}

impl Engine {
    /// Takes a command through the whole write path: ordered, durable as the store's level says, published.
    pub(crate) fn submit(&self, kind: Kind) -> Result<Response> {
        let (response, ticket) = self.order(kind)?;
        self.wait(ticket)?;
        Ok(response)
    }

    /// Orders a command. It is visible, and its answer may be told, once what the ticket names is published.
    pub(crate) fn order(&self, kind: Kind) -> Result<(Response, Ticket)> {
        let (answer, ticket) = self.order_command(kind, None)?;
        Ok((answer.response, ticket))
    }

    /// As `order`, for a command that may be a repetition.
    fn order_command(&self, kind: Kind, operation: Option<Operation>) -> Result<(Answer, Ticket)> {
        let mut patience = self.options.write_timeout;
        match self.place(kind, operation, &mut patience)? {
            (Ok(answer), ticket) => Ok((answer, ticket)),
            (Err(error), seen) => {
                self.wait(seen)?;
                Err(error)
            }
        }
    }

    /// Gives a command its place. What it answers, be it a refusal, may be told once what the ticket names is published:
    /// a refusal, too, must not tell of what a crash could take back. `patience` is what waiting for room may still take.
    pub(crate) fn place(
        &self,
        mut kind: Kind,
        operation: Option<Operation>,
        patience: &mut Duration,
    ) -> Result<(Result<Answer>, Ticket)> {
        self.writer()?;
        self.check_fork()?;
        let bounded = !matches!(kind, Kind::LeaseCheckpoint { .. });
        if bounded {
            self.check_request_bytes(kind.bytes_min())?;
        }
        self.adjust(&mut kind);
        let seen = kind.needs_clocks().then(|| self.see());
        let mut command = Command { time_ms: millis(self.clock.now().wall), seen, operation, kind };
        let mut payload = Vec::with_capacity(256);
        loop {
            payload.clear();
            command.encode(&mut payload);
            if bounded {
                self.check_request_bytes(payload.len())?;
            }
            match self.try_order(&command, &payload)? {
                Ordered::Done(answer, ticket) => return Ok((answer, ticket)),
                Ordered::Obstacle(obstacle) => self.clear(obstacle, patience)?,
            }
            // A lease's time begins when it is granted, not when somebody first tried.
            if let Kind::Grant { stamp, .. } | Kind::Lapse { stamp, .. } = &mut command.kind {
                *stamp = self.stamp_rounded_up();
            }
            command.seen = command.seen.map(|_| self.see());
        }
    }

    fn try_order(&self, command: &Command, payload: &[u8]) -> Result<Ordered> {
        let mut core = self.core.lock();
        self.check_writable(&core, command)?;
        if let Some(id) = self.overdue_lease(command) {
            return Ok(Ordered::Obstacle(Obstacle::Overdue(id)));
        }
        let version = self.version.load();
        let outcome = match apply::evaluate(&core.state, &version, command) {
            Ok(outcome) => outcome,
            Err(error) => return Ok(Ordered::Done(Err(error), core.ticket())),
        };
        // Before it is known to change nothing: a txn that could put is refused, whichever branch it takes (CP-09). What
        // was done before is answered all the same.
        if outcome.replay.is_none()
            && grows(command)
            && let Err(full) = self.check_quota(&version, payload.len())
        {
            let weighed = self.compact_revision().get() <= self.weighed.load(Ordering::Acquire);
            return if weighed { Err(full) } else { Ok(Ordered::Obstacle(Obstacle::Weight)) };
        }
        if outcome.changes.is_empty() {
            // Not logged: its answer waits for the last index that it saw.
            let answer = Answer { response: outcome.response, replay: outcome.replay };
            return Ok(Ordered::Done(Ok(answer), core.ticket()));
        }
        if let Err(obstacle) = self.reserve(&mut core, &outcome.changes, payload.len()) {
            return Ok(Ordered::Obstacle(obstacle));
        }
        self.install(&mut core, &outcome.changes, payload);
        Ok(Ordered::Done(Ok(Answer { response: outcome.response, replay: None }), core.ticket()))
    }

    /// Makes sure that nothing behind it can fail: room in the frame, in the log and in the memtable.
    fn reserve(&self, core: &mut Core, changes: &Changes, payload_len: usize) -> Result<(), Obstacle> {
        let log = &self.writer.as_ref().expect("only a writable store orders").log;
        if !core.frame.has_room(payload_len, log.frame_bytes_max()) && !core.frame.is_empty() {
            return Err(Obstacle::Frame);
        }
        let frame_len = core.frame.len() + payload_len + RECORD_OVERHEAD_BYTES;
        if frame_len > log.frame_bytes_max() && !core.frame.is_empty() {
            return Err(Obstacle::Frame);
        }
        if !log.fits(frame_len) {
            return Err(Obstacle::LogRoom(frame_len));
        }
        self.reserve_memtable(core, changes)
    }

    /// Closes the active memtable if the changes do not fit.
    fn reserve_memtable(&self, core: &mut Core, changes: &Changes) -> Result<(), Obstacle> {
        let bytes_max = self.options.tuning.memtable_bytes;
        let full = !self.version.load().active().has_room(&changes.entries, bytes_max);
        if full || core.log_bytes > bytes_max as u64 {
            if core.closed.len() >= CLOSED_MAX || self.merges_are_behind() {
                return Err(Obstacle::Flush);
            }
            self.rotate(core);
        }
        Ok(())
    }

    /// Numbers the command and applies its changes, above the visible revision. Cannot fail.
    fn install(&self, core: &mut Core, changes: &Changes, payload: &[u8]) {
        core.state.install(changes);
        let (term, index) = (core.state.term, core.state.index);
        core.frame.push_entry(term, index, 0, |out| out.extend_from_slice(payload));
        core.log_bytes += (payload.len() + RECORD_OVERHEAD_BYTES) as u64;
        self.apply_changes(core, changes);
    }

    /// What ordering and replay share: the memtable, and what is to be published.
    fn apply_changes(&self, core: &mut Core, changes: &Changes) {
        if !changes.entries.is_empty() {
            self.version.load().active().insert(&changes.entries);
        }
        core.dirty_leases.extend(changes.leases.iter().map(|(id, _)| *id));
        core.dirty_cursors.extend(changes.cursors.iter().map(|(name, _)| name.clone()));
        core.batch.add(&core.state, changes);
        if is_planted(Bug::VisibleBeforeSync) {
            self.visible.store(core.state.revision, Ordering::Release);
        }
    }

    /// Closes the active memtable and puts an empty one in its place.
    fn rotate(&self, core: &mut Core) {
        let dirty = std::mem::take(&mut core.dirty_leases);
        let leases = dirty.into_iter().map(|id| (id, core.state.leases.get(&id).cloned())).collect();
        let dirty = std::mem::take(&mut core.dirty_cursors);
        let cursor = |name: Bytes| (name.clone(), core.state.cursors.get(&name).cloned());
        let cursors = dirty.into_iter().map(cursor).collect();
        let ticket = core.ticket();
        let State { revision, term, compact_revision, compact_ordered, .. } = core.state;
        let memtable = self.version.load().active().clone();
        let window = &core.state.operations;
        let operations = (window.row(ticket.index), window.above(core.rotated_index));
        core.rotated_index = ticket.index;
        core.closed.push_back(Closed {
            memtable,
            revision,
            term,
            ticket,
            compact_revision,
            compact_ordered,
            leases,
            cursors,
            operations,
        });
        core.log_bytes = 0;
        self.edit_version(|version| version.memtables.insert(0, Arc::default()));
        self.kick(background::Job::Flush);
    }

    /// Removes what stood in a command's way, without any lock held.
    fn clear(&self, obstacle: Obstacle, patience: &mut Duration) -> Result<()> {
        match obstacle {
            Obstacle::Frame => self.write_out(self.options.durability == Durability::Synced),
            Obstacle::LogRoom(len) => self.prepare_log(len),
            Obstacle::Flush => self.wait_for_flush(patience),
            Obstacle::Weight => self.weigh(),
            Obstacle::Overdue(id) => self.end_overdue(id),
        }
    }

    /// Refuses a request of so many bytes, encoded, or of at least so many.
    pub(crate) fn check_request_bytes(&self, len: usize) -> Result<()> {
        let frame_max = self.writer()?.log.frame_bytes_max();
        let max = self.options.request_bytes_max.min(frame_max - 2 * RECORD_OVERHEAD_BYTES);
        if len > max {
            return Err(Error::TooLarge { what: "request", len: len as u64, max: max as u64 });
        }
        Ok(())
    }

    /// Refuses a growing write over the quota (CH-06). What compaction has freed counts as free already.
    fn check_quota(&self, version: &Version, len: usize) -> Result<()> {
        let max = self.options.quota_bytes;
        let growth = len as u64 + GROWTH_BYTES;
        if max != 0 && inspect::live_bytes(version, self.compacted.load(Ordering::Acquire)) + growth >= max {
            return Err(Error::Full { what: "quota", max });
        }
        Ok(())
    }

    /// Finds out what the store weighs without what compaction has dropped: memtables count whole, and runs do not know
    /// what others supersede in them, until all are merged. At most once a compaction, and only at the quota; no answer
    /// may depend on how far background work has come (CP-05).
    fn weigh(&self) -> Result<()> {
        let compacted = self.compact_revision().get();
        self.reclaim()?;
        self.weighed.fetch_max(compacted, Ordering::AcqRel);
        Ok(())
    }

    fn check_writable(&self, core: &Core, command: &Command) -> Result<()> {
        // Closing writes down what is left of leases; nobody else orders that once the lessor is closed.
        let last = core.phase == Phase::Closing && matches!(command.kind, Kind::LeaseCheckpoint { renewed: false, .. });
        if core.phase == Phase::Open || last { self.check_poison() } else { Err(Error::Closed) }
    }

    /// The writer, or why there is none.
    pub(crate) fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().ok_or(Error::ReadOnly)
    }

    pub(crate) fn check_poison(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Stops all writing for good; reads go on.
    pub(crate) fn set_poison(&self, error: Error) {
        let first = {
            let mut poison = self.poison.lock();
            let first = poison.is_none();
            if first {
                *poison = Some(error.clone());
            }
            first
        };
        self.poisoned.store(true, Ordering::Release);
        let publishing = self.commit.poison();
        if !publishing {
            self.hub.freeze(Some(Error::Poisoned));
        }
        self.lessor.poison();
        self.broken.give();
        self.background.wake();
        if first {
            self.tell(LogEvent::Poisoned(error));
        }
    }

    /// A call, or a piece of background work, panicked inside, and what it left half done nobody knows.
    pub(crate) fn poison_by_panic(&self, what: &'static str) {
        self.set_poison(Error::io("finish", what, std::io::Error::other("it panicked")));
    }

    /// What poisoned the store.
    pub(crate) fn poison(&self) -> Option<Error> {
        self.poison.lock().clone()
    }

    /// Replaces the `Version` by an edited copy.
    fn edit_version(&self, edit: impl FnOnce(&mut Version)) {
        let _guard = self.version_edit.lock();
        let current = self.version.load();
        let mut next =
            Version { memtables: current.memtables.clone(), runs: current.runs.clone(), compacted: current.compacted };
        edit(&mut next);
        self.version.store(Arc::new(next));
    }

    /// The revision that readers see.
    pub(crate) fn revision(&self) -> Revision {
        Revision::new(self.visible.load(Ordering::Acquire))
    }

    /// The compact revision that readers see; zero while nothing was compacted.
    pub(crate) fn compact_revision(&self) -> Revision {
        Revision::new(self.compacted.load(Ordering::Acquire))
    }

    /// The highest revision that is known to be on the disk.
    pub(crate) fn synced_revision(&self) -> Revision {
        Revision::new(self.synced.load(Ordering::Acquire))
    }

    /// What a command that begins somebody's time is told.
    fn see(&self) -> Seen {
        Seen { stamp: self.stamp_rounded_up(), draw: self.draw_lease_id() }
    }

    /// The clocks as they are written down: the boot clock rounded down, since what is left of a lease is counted from
    /// there, the wall clock up, so that less time seems to have passed by it, never more.
    pub(crate) fn stamp(&self) -> Stamp {
        stamp_of(&self.clock.now())
    }

    /// Refuses calls on a closed store, and through a handle that was inherited by a fork.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.forks != forks() {
            return Err(Error::Forked);
        }
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// As `check_open`, for what touches files or locks: whatever made the process what it is.
    pub(crate) fn check_fork(&self) -> Result<()> {
        if self.forks == forks() && self.pid == process_id() { Ok(()) } else { Err(Error::Forked) }
    }

    fn arc(&self) -> Option<Arc<Engine>> {
        self.this.upgrade()
    }
}

/// Whether a command can make the store grow, so that a quota may refuse it (CP-09).
fn grows(command: &Command) -> bool {
    match &command.kind {
        Kind::Put(_) | Kind::Grant { .. } => true,
        Kind::Txn(txn) => has_growth(txn),
        Kind::Delete(_)
        | Kind::Revoke { .. }
        | Kind::Lapse { .. }
        | Kind::LeaseCheckpoint { .. }
        | Kind::LateGrant { .. }
        | Kind::Compact { .. }
        | Kind::Cursor(_) => false,
    }
}

fn has_growth(txn: &Txn) -> bool {
    txn.then.iter().chain(&txn.or_else).any(|op| match op {
        Op::Put(_) | Op::Grant(_) => true,
        Op::Txn(nested) => has_growth(nested),
        Op::Delete(_) | Op::Range(_) | Op::Revoke(_) | Op::Advance(_) => false,
    })
}

/// See [`Engine::stamp`].
pub(crate) fn stamp_of(now: &Now) -> Stamp {
    Stamp { boot_id: now.boot_id, boot_ms: millis(now.boot), wall_ms: leases::whole_millis(now.wall) }
}

/// Whole milliseconds of a time.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine(at {})", self.revision())
    }
}
