//! What moves data from memory to runs and from runs to fewer runs, and the catalog edits that make it so.
//!
//! A run is written and synced first; one edit then names it together with the checkpoint that it reaches, the leases as
//! of there, and the log segments that are no longer needed; then readers get it; then files go. So a crash at any step
//! leaves either what was before or what is after, and files that nobody names, which the next open removes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::background::Job;
use crate::engine::cursors::cursor_row;
use crate::engine::state::{Lease, Standing};
use crate::engine::{Closed, Engine, Writer};
use crate::error::{Error, Result};
use crate::io::IoSite;
use crate::log::{SegmentInfo, SegmentSpan, SegmentState as LogState};
use crate::options::{Durability, LogEvent};
use crate::sabotage::{Bug, is_planted};
use crate::store::catalog::{Checkpoint, Edit, LeaseRow, LeaseState, RunRow, SegmentRow, SegmentState, Stamp};
use crate::store::flush::flush;
use crate::store::merge::{Merged, Retention, merge_into};
use crate::store::run::{Run, RunInfo, run_path};
use crate::trace::{self, Timer};

impl Engine {
    /// Closes and flushes the active memtable, so that runs hold everything.
    pub(crate) fn flush_all(&self) -> Result<()> {
        {
            let mut core = self.core.lock();
            self.check_poison()?;
            let dirty = !self.version.load().active().is_empty()
                || !core.dirty_leases.is_empty()
                || !core.dirty_cursors.is_empty()
                || !core.state.operations.above(core.rotated_index).is_empty();
            // A compaction alone moves the checkpoint, too: merges go by what that says.
            let flushed = self.writer()?.catalog.checkpoint().compact_revision;
            let flushed = core.closed.back().map_or(flushed, |closed| closed.compact_revision);
            if dirty || flushed != core.state.compact_revision {
                self.rotate(&mut core);
            }
        }
        while self.flush_one()? {}
        Ok(())
    }

    /// What a writer does for itself where no thread does: the oldest flush that waits, or else a merge.
    pub(crate) fn catch_up(&self) -> Result<()> {
        if !self.flush_one()? {
            self.merge_some(false)?;
        }
        Ok(())
    }

    /// Whether there are so many runs that writers wait for merges. Every read looks at each of them, and each takes a
    /// descriptor or a map. Runs that are too large to be merged any more hold nobody up, and nor does closing.
    pub(crate) fn merges_are_behind(&self) -> bool {
        let version = self.version.load();
        let runs = &version.runs;
        let (count, bytes_max) = (self.options.tuning.merge_runs, self.options.tuning.merge_bytes_max);
        runs.len() >= RUNS_MAX.max(count) && within_limits(&runs[..count], bytes_max) > 1 && !self.is_stopping()
    }

    /// Flushes the oldest closed memtable; false if there is none.
    pub(crate) fn flush_one(&self) -> Result<bool> {
        let flushed = self.settle(self.flush_oldest())?;
        if flushed {
            self.background.succeeded(Job::Flush);
        }
        Ok(flushed)
    }

    fn flush_oldest(&self) -> Result<bool> {
        let writer = self.writer()?;
        let _one = writer.flushing.lock();
        writer.check_open()?;
        let Some(closed) = self.core.lock().closed.front().cloned() else { return Ok(false) };
        let (_span, timer) = (trace::flush(), Timer::start(self.clock.as_ref()));
        self.wait(closed.ticket)?;
        if self.options.durability != Durability::Synced {
            // A run must never hold what the log could still lose.
            self.write_out(true)?;
        }
        let id = writer.next_run();
        let version = self.version.load_full();
        let compacted = closed.compact_revision.unwrap_or(0);
        let retention = Retention { compact_revision: compacted, bottom: version.runs.is_empty() };
        let info = out_of_files(flush(&self.disk, writer.store_id(), id, &closed.memtable, retention))?;
        let run = self.open_made(info)?;
        let state_file = out_of_files(self.flush_operations(writer, id, &closed.operations));
        if let (Err(_), Some(run)) = (&state_file, &run) {
            // It is written again, under another name.
            self.remove_run(run.info.id);
        }
        let state_file = state_file?;
        if is_planted(Bug::CheckpointApart) {
            writer.edit(|edit| drop(writer.checkpoint_edit(edit, &closed)))?;
        }
        let dropped = self.naming(run.as_deref(), state_file.written.is_some().then_some(id), || {
            writer.edit_dropping(|edit| {
                if let Some(run) = &run {
                    edit.put_run(id, run_row(&run.info, 0));
                }
                state_file.add_to(edit, id);
                writer.checkpoint_edit(edit, &closed)
            })
        })?;
        let (named, entries, bytes) = made(run.as_deref());
        self.edit_version(|version| {
            version.memtables.retain(|memtable| !Arc::ptr_eq(memtable, &closed.memtable));
            version.runs.splice(0..0, run);
            version.compacted = version.compacted.max(compacted);
        });
        self.drop_old_pins();
        self.core.lock().closed.pop_front();
        self.background.wake();
        for seq in dropped {
            trace::segment_dropped(seq);
            self.tell_failed(writer.log.remove_file(seq));
        }
        state_file.replaced.iter().for_each(|id| self.remove_state_file(*id));
        trace::flushed(named, closed.revision, entries, bytes, timer.us(self.clock.as_ref()));
        self.kick(Job::Merge);
        Ok(true)
    }

    /// Makes an edit that names a new run or state file. Without room nothing was applied, and they are given up: they
    /// are written again when there is room.
    fn naming<T>(&self, run: Option<&Run>, state_file: Option<u64>, edit: impl FnOnce() -> Result<T>) -> Result<T> {
        let result = edit();
        if let Err(error) = &result
            && error.is_no_space()
            && self.writer()?.catalog.is_settled()
        {
            run.into_iter().for_each(|run| self.remove_run(run.info.id));
            state_file.into_iter().for_each(|id| self.remove_state_file(id));
        }
        result
    }

    fn remove_run(&self, id: u64) {
        let path = run_path(id);
        let removed = self.disk.remove(IoSite::RunRemove, &path);
        self.tell_failed(removed.map_err(|error| Error::io("remove", path, error)));
    }

    /// A file that could not be removed costs space until the next open, nothing else.
    pub(crate) fn tell_failed(&self, result: Result<()>) {
        if let Err(error) = result {
            self.tell(LogEvent::Background(error));
        }
    }

    /// Opens a run that was just made. Without a descriptor for it, it is given up: it is made again later.
    fn open_made(&self, info: Option<RunInfo>) -> Result<Option<Arc<Run>>> {
        let id = info.as_ref().map(|info| info.id);
        let opened = out_of_files(self.open_run(info));
        if let (Err(Error::Full { .. }), Some(id)) = (&opened, id) {
            self.remove_run(id);
        }
        opened
    }

    fn open_run(&self, info: Option<RunInfo>) -> Result<Option<Arc<Run>>> {
        let Some(info) = info else { return Ok(None) };
        let writer = self.writer()?;
        Ok(Some(Arc::new(Run::open(&self.disk, writer.store_id(), info, self.options.tuning.use_map)?)))
    }

    /// Merges the newest runs into one if there are many, or all of them if `all`; false if there was nothing to do.
    ///
    /// History below the compact revision disappears here; only the one inside the checkpoint counts, as a command that
    /// is replayed must see what it saw.
    pub(crate) fn merge_some(&self, all: bool) -> Result<bool> {
        if !all {
            self.note_compaction()?;
        }
        let merged = self.settle(self.merge_newest(all))?;
        if merged {
            self.background.succeeded(Job::Merge);
        }
        Ok(merged)
    }

    /// Brings a compaction into the checkpoint, if it has made much of the runs garbage: merges go by what that says, and
    /// it moves by itself only with the next flush.
    fn note_compaction(&self) -> Result<()> {
        let noted = self.writer()?.catalog.checkpoint().compact_revision.unwrap_or(0);
        let compacted = self.compacted.load(Ordering::Acquire);
        let worth_it = compacted > noted && self.version.load().runs.iter().any(|run| is_garbage(run, compacted));
        if worth_it { self.flush_all() } else { Ok(()) }
    }

    fn merge_newest(&self, all: bool) -> Result<bool> {
        let writer = self.writer()?;
        let _one = writer.merging.lock();
        writer.check_open()?;
        let version = self.version.load_full();
        let compacted = writer.catalog.checkpoint().compact_revision.unwrap_or(0);
        let count = if all { version.runs.len() } else { self.merge_count(&version.runs, compacted) };
        let count = within_limits(&version.runs[..count], self.options.tuning.merge_bytes_max);
        // A run alone is worth it only if a compaction has come since it was written.
        if count == 0 || (count == 1 && version.runs[0].info.compacted >= compacted) {
            return Ok(false);
        }
        let (_span, timer) = (trace::merge(count), Timer::start(self.clock.as_ref()));
        let taken = &version.runs[..count];
        let mut sources = Vec::with_capacity(count);
        for run in taken {
            let mut cursor = run.cursor(false);
            cursor.seek_first()?;
            sources.push(cursor);
        }
        let bottom = count == version.runs.len();
        let retention = Retention { compact_revision: compacted, bottom };
        let abort = || self.is_stopping() || self.poisoned.load(Ordering::Relaxed);
        let (id, merged) = (writer.next_run(), Merged::new(sources, false));
        let info = match out_of_files(merge_into(&self.disk, writer.store_id(), id, merged, retention, &abort)) {
            Err(Error::Canceled) => return Ok(false),
            other => other?,
        };
        let run = self.open_made(info)?;
        let (named, entries, bytes) = made(run.as_deref());
        self.replace_runs(writer, taken, run, compacted)?;
        trace::merged(count, named, entries, bytes, timer.us(self.clock.as_ref()));
        Ok(true)
    }

    /// Looks whether history that was just compacted is worth a merge.
    pub(crate) fn kick_merge(&self) {
        self.kick(Job::Merge);
    }

    /// Gives back the space of everything below the compact revision, and waits for it.
    pub(crate) fn reclaim(&self) -> Result<()> {
        self.flush_all()?;
        while self.merge_some(true)? {}
        Ok(())
    }

    fn replace_runs(&self, writer: &Writer, taken: &[Arc<Run>], run: Option<Arc<Run>>, compacted: u64) -> Result<()> {
        self.naming(run.as_deref(), None, || {
            writer.edit(|edit| {
                if let Some(run) = &run {
                    edit.put_run(run.info.id, run_row(&run.info, 1));
                }
                taken.iter().for_each(|run| edit.remove_run(run.info.id));
            })
        })?;
        self.edit_version(|version| {
            let is_taken = |run: &Arc<Run>| taken.iter().any(|taken| Arc::ptr_eq(taken, run));
            let at = version.runs.iter().position(is_taken).expect("only merges remove runs, one at a time");
            version.runs.retain(|run| !is_taken(run));
            version.runs.splice(at..at, run);
            version.compacted = version.compacted.max(compacted);
        });
        self.drop_old_pins();
        taken.iter().for_each(|run| self.remove_run(run.info.id));
        Ok(())
    }

    /// How many of the newest runs to merge. Sizes grow geometrically with age, so that each byte is rewritten a
    /// logarithmic number of times; a run that is mostly garbage is taken with all that are newer.
    fn merge_count(&self, runs: &[Arc<Run>], compacted: u64) -> usize {
        if let Some(at) = runs.iter().rposition(|run| is_garbage(run, compacted)) {
            return at + 1;
        }
        if runs.len() < self.options.tuning.merge_runs {
            return 0;
        }
        let mut count = self.options.tuning.merge_runs.min(runs.len());
        let mut bytes: u64 = runs[..count].iter().map(|run| run.info.len).sum();
        while count < runs.len() && runs[count].info.len <= bytes {
            bytes += runs[count].info.len;
            count += 1;
        }
        count
    }
}

/// Name, entries and bytes of a run that was made, for who is told of it; 0 is no name.
fn made(run: Option<&Run>) -> (u64, u64, u64) {
    run.map_or((0, 0, 0), |run| (run.info.id, run.info.entries, run.info.len))
}

/// Making a file that nothing names yet can be tried again if all that was missing is a descriptor, as on a full disk.
fn out_of_files<T>(made: Result<T>) -> Result<T> {
    match made {
        Err(error) if error.is_out_of_descriptors() => Err(Error::Full { what: "table of open files", max: 0 }),
        other => other,
    }
}

/// Whether over 30 % of a run's entries are superseded at or below the compact revision, and still there.
fn is_garbage(run: &Run, compacted: u64) -> bool {
    let superseded = run.info.garbage.iter().rev().find(|(revision, _)| *revision <= compacted);
    run.info.compacted < compacted && superseded.is_some_and(|(_, count)| *count * 10 > run.info.entries * 3)
}

/// How many runs there may be before writers wait for merges: a read looks at the head of each.
const RUNS_MAX: usize = 24;

/// How many of the newest runs fit into one of so many bytes.
fn within_limits(runs: &[Arc<Run>], bytes_max: u64) -> usize {
    let mut bytes = 0;
    let fits = |run: &&Arc<Run>| {
        bytes += run.info.len;
        bytes <= bytes_max
    };
    runs.iter().take_while(fits).count()
}

impl Writer {
    /// Refuses maintenance once the files are given back.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    pub(crate) fn store_id(&self) -> u128 {
        self.names.lock().store_id
    }

    pub(crate) fn next_run(&self) -> u64 {
        let mut names = self.names.lock();
        names.next_run += 1;
        names.next_run - 1
    }

    /// Edits the catalog, as every edit of an open store is made.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Edit)) -> Result<()> {
        self.edit_dropping(|edit| {
            change(edit);
            Vec::new()
        })
        .map(drop)
    }

    /// An edit that drops the segments that `change` returns. The log forgets them before anyone else looks at what
    /// segments there are: an edit made from an older look would name them again, and their files are about to go.
    fn edit_dropping(&self, change: impl FnOnce(&mut Edit) -> Vec<u64>) -> Result<Vec<u64>> {
        let _one_at_a_time = self.editing.lock();
        let mut edit = Edit::default();
        self.add_log_rows(&mut edit);
        let dropped = change(&mut edit);
        if is_planted(Bug::SegmentRemovedEarly) {
            dropped.iter().try_for_each(|seq| self.log.remove_file(*seq))?;
        }
        self.catalog.edit(&edit)?;
        dropped.iter().for_each(|seq| self.log.forget(*seq));
        Ok(dropped)
    }

    /// What every edit brings up to date: the counters, and the segments that rolling has sealed.
    fn add_log_rows(&self, edit: &mut Edit) {
        edit.meta(self.names.lock().clone());
        for span in self.log.segments() {
            edit.put_segment(span.info.seq, segment_row(&span.info));
        }
    }

    /// Moves the checkpoint to where a memtable was closed, with all state as of there, and drops the segments that it
    /// covers; they are returned, to be removed once the edit is durable.
    fn checkpoint_edit(&self, edit: &mut Edit, closed: &Closed) -> Vec<u64> {
        edit.checkpoint(Checkpoint {
            revision: closed.revision,
            term: closed.term,
            index: closed.ticket.index,
            compact_revision: closed.compact_revision,
            compact_ordered: closed.compact_ordered,
            ..Checkpoint::default()
        });
        for (id, lease) in &closed.leases {
            match lease {
                Some(lease) => edit.put_lease(id.get(), lease_row(lease)),
                None => edit.remove_lease(id.get()),
            }
        }
        for (name, cursor) in &closed.cursors {
            match cursor {
                Some(cursor) => edit.put_cursor(name, cursor_row(cursor)),
                None => edit.remove_cursor(name),
            }
        }
        let spans = self.log.segments();
        // Only ever a prefix: frames are found by following them from the first.
        let is_covered =
            |span: &&SegmentSpan| span.info.state == LogState::Sealed && span.last_index <= closed.ticket.index;
        let dropped: Vec<u64> = spans.iter().take_while(is_covered).map(|span| span.info.seq).collect();
        dropped.iter().for_each(|seq| edit.remove_segment(*seq));
        dropped
    }
}

pub(crate) fn segment_row(info: &SegmentInfo) -> SegmentRow {
    let state = match info.state {
        LogState::Spare => SegmentState::Spare,
        LogState::Active => SegmentState::Active,
        LogState::Sealed => SegmentState::Sealed,
        LogState::Incoming => SegmentState::Incoming,
    };
    let (base_term, base_index, sealed_len) = (info.base_term, info.base_index, info.sealed_len);
    SegmentRow { state, base_term, base_index, sealed_len }
}

pub(crate) fn run_row(info: &RunInfo, level: u32) -> RunRow {
    RunRow {
        level,
        first_key: info.first_key.clone(),
        last_key: info.last_key.clone(),
        min_revision: info.min_revision,
        max_revision: info.max_revision,
        entries: info.entries,
        tombstones: info.tombstones,
        len: info.len,
        footer_crc: info.footer_crc,
        compacted: info.compacted,
        garbage: info.garbage.clone(),
    }
}

pub(crate) fn lease_row(lease: &Lease) -> LeaseRow {
    LeaseRow {
        ttl_ms: lease.ttl_ms,
        remaining_ms: lease.remaining_ms,
        stamp: Stamp { boot_id: lease.stamp.boot_id, boot_ms: lease.stamp.boot_ms, wall_ms: lease.stamp.wall_ms },
        renewed: lease.renewed,
        renewal_epoch: lease.renewal_epoch,
        grant_revision: lease.grant_revision,
        lock_delay_ms: lease.lock_delay_ms,
        state: match lease.standing {
            Standing::Alive => LeaseState::Alive,
            Standing::Lapsed => LeaseState::Lapsed,
            Standing::Hidden => LeaseState::Hidden,
        },
    }
}
