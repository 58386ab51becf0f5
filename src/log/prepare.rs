//! Making room ahead of the tail: zeros in the current segment, and the spare.
//!
//! Commits go on meanwhile. Only one thread prepares at a time; what it made counts once it is durable, and a spare
//! once the catalog names it.

use std::sync::Arc;

use super::segment::{CLOSING_BYTES, HEADER_BYTES, LOG_DIR, Segment, SegmentFile, fill_end, segment_path};
use super::{Log, State};
use crate::error::{Error, Result};
use crate::io::{Disk, IoSite};
use crate::sabotage::{Bug, is_planted};
use crate::trace;

/// How far filling runs ahead, at most, in bytes.
const FILL_BYTES_MAX: u64 = 16 << 20;
/// Without early spares, one is made when this part of the segment is left.
const LATE_SPARE_PART: u64 = 8;

/// What the one that prepares keeps between calls.
#[derive(Debug, Default)]
pub(super) struct Preparing {
    /// A spare that is made and durable, but that the catalog may not know yet.
    unregistered: Option<Segment>,
}

/// One piece of work.
enum Job {
    /// Fill this segment from and to these offsets.
    Fill { file: Arc<SegmentFile>, from: u64, to: u64, current: bool },
    /// Make a spare, filled up to here.
    Spare { to: u64 },
}

/// Fills do not shrink below this on a full disk.
const FILL_BYTES_LEAST: u64 = 4096;

impl Log {
    /// Whether [`Log::prepare`] has useful work: less than half a fill is left ahead of the tail, or a spare is wanted.
    /// A fresh segment with its first fill wants nothing yet, so that a small store stays small.
    pub(crate) fn wants_prepare(&self) -> bool {
        let state = self.state.lock();
        self.wants_fill(&state) || self.wants_spare(&state)
    }

    /// Makes room outside the commit mutex: on success a frame of `need` bytes fits, if nobody took the room already.
    ///
    /// A spare is filled, synced with its directory, registered by `register` under the number that `next_seq` gave,
    /// and then offered. If `register` fails, the next call tries it again with the same file.
    ///
    /// # Errors
    /// `Full` if the disk has no space, with nothing changed but zeros; `TooLarge` if no segment can hold `need`.
    pub(crate) fn prepare(
        &self,
        need: usize,
        next_seq: &mut dyn FnMut() -> u64,
        register: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let (need_len, max) = (need as u64, self.frame_bytes_max());
        if need > max {
            return Err(Error::TooLarge { what: "log frame", len: need_len, max: max as u64 });
        }
        let mut preparing = self.preparing.lock();
        self.check()?;
        // What is needed is done as often as it takes, since commits go on; what is only useful, once.
        while let Some(job) = self.needed_job(need_len) {
            match self.run(job, &mut preparing, next_seq, register) {
                Err(error) if error.is_no_space() && self.fill_less() => {}
                other => other.map_err(full)?,
            }
        }
        for useful in [Log::useful_fill, Log::useful_spare] {
            if let Some(job) = useful(self) {
                self.run(job, &mut preparing, next_seq, register).map_err(full)?;
            }
        }
        Ok(())
    }

    fn needed_job(&self, need: u64) -> Option<Job> {
        let state = self.state.lock();
        if state.fits(need) {
            return None;
        }
        if let Some(to) = state.current.fill_end(need, state.fill_bytes) {
            return Some(fill(&state.current, to, true));
        }
        match &state.spare {
            Some(spare) => spare.fill_end(need, 0).map(|to| fill(spare, to, false)),
            None => Some(self.spare_job(&state, need)),
        }
    }

    /// A disk without room for a large fill may have some for what is needed. False once fills are as small as they get.
    fn fill_less(&self) -> bool {
        let mut state = self.state.lock();
        let smaller = state.fill_bytes / 2;
        if smaller >= FILL_BYTES_LEAST {
            state.fill_bytes = smaller;
        }
        smaller >= FILL_BYTES_LEAST
    }

    fn useful_fill(&self) -> Option<Job> {
        let state = self.state.lock();
        if !self.wants_fill(&state) {
            return None;
        }
        state.current.fill_end(0, state.fill_bytes).map(|to| fill(&state.current, to, true))
    }

    fn useful_spare(&self) -> Option<Job> {
        let state = self.state.lock();
        self.wants_spare(&state).then(|| self.spare_job(&state, 0))
    }

    fn spare_job(&self, state: &State, need: u64) -> Job {
        let to = fill_end(HEADER_BYTES, need, state.fill_bytes, self.options.segment_bytes);
        Job::Spare { to: to.unwrap_or(self.options.segment_bytes) }
    }

    fn wants_fill(&self, state: &State) -> bool {
        let current = &state.current;
        current.filled < current.capacity && current.filled - current.tail < state.fill_bytes / 2
    }

    fn wants_spare(&self, state: &State) -> bool {
        let current = &state.current;
        let left = current.capacity - current.tail;
        let part = if self.options.spare { 2 } else { LATE_SPARE_PART };
        state.spare.is_none() && (left <= current.capacity / part || left < 2 * CLOSING_BYTES)
    }

    fn run(
        &self,
        job: Job,
        preparing: &mut Preparing,
        next_seq: &mut dyn FnMut() -> u64,
        register: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        match job {
            Job::Fill { file, from, to, current } => {
                file.zero_fill(from, to)?;
                file.sync_fill(IoSite::LogFillSync)?;
                self.state.lock().filled(file.seq, to, current);
                Ok(())
            }
            Job::Spare { to } => {
                if preparing.unregistered.is_none() {
                    preparing.unregistered = Some(self.create_spare(next_seq(), to)?);
                }
                if let Some(spare) = &preparing.unregistered {
                    register(spare.file.seq)?;
                }
                if let Some(spare) = preparing.unregistered.take() {
                    trace::spare_made(spare.file.seq, spare.filled);
                    self.state.lock().spare = Some(spare);
                }
                Ok(())
            }
        }
    }

    fn create_spare(&self, seq: u64, filled: u64) -> Result<Segment> {
        let created = SegmentFile::create(self.disk.as_ref(), self.store_id, seq).and_then(|file| {
            file.zero_fill(0, filled)?;
            file.sync_fill(IoSite::LogFillSync)?;
            sync_log_dir(self.disk.as_ref())?;
            Ok(Segment::empty(file, filled, self.options.segment_bytes))
        });
        if created.is_err() {
            // Best effort, to give the space back: the catalog does not name the file, so the next open deletes it.
            let _ = self.disk.remove(IoSite::LogRemove, &segment_path(seq));
        }
        created
    }
}

impl State {
    /// Notes that zeros up to `to` are durable, wherever the segment is by now.
    fn filled(&mut self, seq: u64, to: u64, grow: bool) {
        let spare = self.spare.iter_mut();
        for segment in std::iter::once(&mut self.current).chain(spare).filter(|segment| segment.file.seq == seq) {
            segment.filled = segment.filled.max(to);
        }
        if grow {
            self.fill_bytes = (self.fill_bytes * 2).min(FILL_BYTES_MAX.max(self.fill_bytes));
        }
    }
}

pub(super) fn sync_log_dir(disk: &dyn Disk) -> Result<()> {
    if is_planted(Bug::DirectorySyncSkipped) {
        return Ok(());
    }
    disk.sync_dir(IoSite::LogSyncDir, LOG_DIR).map_err(|source| Error::io("sync directory", LOG_DIR, source))
}

/// A disk without space is a bound that was reached, not a failure.
pub(super) fn full(error: Error) -> Error {
    if error.is_no_space() { Error::Full { what: "disk", max: 0 } } else { error }
}

fn fill(segment: &Segment, to: u64, current: bool) -> Job {
    Job::Fill { file: Arc::clone(&segment.file), from: segment.filled, to, current }
}
