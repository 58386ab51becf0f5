//! The log: what was ordered, made durable one frame at a time. In a group it is raft's log.
//!
//! ```text
//! catalog:   sealed        active             spare
//! files:   [ HFFFFFFF ] [ HFFFF000000 ]   [ 0000000.. ]
//!                              ^tail ^filled
//! ```
//!
//! A commit only overwrites zeros that are durable already: [`Log::place`] gives a frame its place, [`Log::write`]
//! writes it, [`Log::sync`] makes it durable. Room is made elsewhere, by [`Log::prepare`], outside the commit mutex.
//! When the current segment is full the next frame *rolls* into the spare. That needs no edit of the catalog, which
//! knows spares by name; [`scan`] follows the frames into them.
//!
//! **Invariants.** Frames are numbered without gaps. A frame carries the highest frame number known to be synced when
//! it was written, so the log itself proves what it promised. A segment is reported as sealed or active only once its
//! frames, or its header, are durable. After a failed write or sync nothing is written any more: what the system then
//! holds cannot be known, and a later sync would lie.
//!
//! **Locks.** `preparing` and `syncing` are held during I/O, each before `state`, never both. `state` is innermost and
//! never held during I/O, so placing never waits for the disk. Fills and commits use separate open files.

mod frame;
mod prepare;
pub(crate) mod record;
mod scan;
mod segment;
mod start;
#[cfg(test)]
mod test_disk;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

pub(crate) use frame::Frame;
pub(crate) use record::{FLAG_CLOSING, HardState, Position, Record};
pub(crate) use scan::{Scan, adopted, belongs, holds_frame, scan};
pub(crate) use segment::{SegmentInfo, SegmentSpan, SegmentState, segment_path};

use crate::error::{Error, Result};
use crate::io::{Disk, IoSite};
use crate::sabotage::{Bug, is_planted};
use crate::trace;
use frame::Seal;
use prepare::Preparing;
use record::SegmentHeader;
use segment::{CLOSING_BYTES, HEADER_BYTES, Segment, SegmentFile};

/// The sizes of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOptions {
    /// How long a segment becomes, in bytes; 64 MiB as a rule, at least a header and two frame headers.
    pub segment_bytes: u64,
    /// How far to fill ahead of the tail at first, in bytes; it doubles with use.
    pub fill_bytes_min: u64,
    /// Whether to make a spare segment early, once the current one is half full.
    pub spare: bool,
}

/// Where a frame goes. It is written exactly once, before the next frame is placed.
#[derive(Debug)]
pub(crate) struct Placement {
    pub frame_index: u64,
    pub seq: u64,
    pub offset: u64,
    file: Arc<SegmentFile>,
    /// The header to write first, if this frame rolls into the segment.
    header: Option<SegmentHeader>,
    flags: u16,
}

/// An open log. See the module's text for its locks.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    store_id: u128,
    epoch: u64,
    options: LogOptions,
    /// The highest frame that is synced.
    durable: AtomicU64,
    /// A write or sync failed.
    failed: AtomicBool,
    state: Mutex<State>,
    /// Held during a sync: two in flight on one file would share one error report.
    syncing: Mutex<()>,
    preparing: Mutex<Preparing>,
}

/// What placing reads and changes.
#[derive(Debug)]
struct State {
    /// Kept from before the start, in order.
    older: Vec<SegmentSpan>,
    /// Left behind by rolling since the start, in order.
    rolled: Vec<Segment>,
    current: Segment,
    spare: Option<Segment>,
    next_frame: u64,
    /// The highest frame written; below `next_frame`.
    written: u64,
    /// The header checksum of the last frame written.
    prev_crc: u32,
    /// The last entry placed.
    last: Position,
    placed_bytes: u64,
    /// Written since the last sync, oldest first.
    unsynced: Vec<Arc<SegmentFile>>,
    /// How far the next fill goes.
    fill_bytes: u64,
}

impl Placement {
    /// Tells that a segment begins with it. Apart from placing, which is done under the commit mutex.
    pub(crate) fn trace(&self) {
        if self.header.is_some() {
            trace::segment_begun(self.seq, self.frame_index);
        }
    }
}

impl Log {
    /// Whether a frame of `len` bytes, placed after what is placed already, has room that is filled: in the current
    /// segment, else in the spare.
    pub(crate) fn fits(&self, len: usize) -> bool {
        self.state.lock().fits(len as u64)
    }

    /// The longest frame, in bytes: at most half a segment, and a segment always holds one.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        let room = self.options.segment_bytes.saturating_sub(HEADER_BYTES + CLOSING_BYTES);
        let max = room.min(self.options.segment_bytes / 2).min(u64::from(u32::MAX / 2)) & !7;
        usize::try_from(max).expect("at most 2 GiB")
    }

    /// Numbers `frame` and decides where it goes; it is as good as written then. Called under the commit mutex; no I/O.
    ///
    /// # Panics
    /// If it does not [fit](Log::fits): the caller did not ask.
    pub(crate) fn place(&self, frame: &Frame, flags: u16) -> Placement {
        let len = frame.len() as u64;
        let needed = if flags & FLAG_CLOSING == 0 { len } else { 0 };
        let mut state = self.state.lock();
        let header = if state.current.fits(needed) { None } else { Some(self.roll(&mut state, needed)) };
        let placement = Placement {
            frame_index: state.next_frame,
            seq: state.current.file.seq,
            offset: state.current.tail,
            file: Arc::clone(&state.current.file),
            header,
            flags,
        };
        state.take(frame, len);
        placement
    }

    /// Makes the spare the current segment.
    fn roll(&self, state: &mut State, needed: u64) -> SegmentHeader {
        let mut next = state.spare.take().filter(|spare| spare.fits(needed)).expect("the caller asked whether it fits");
        next.base = state.last;
        next.first_frame = state.next_frame;
        next.last_frame = state.next_frame - 1;
        let header = SegmentHeader {
            store_id: self.store_id,
            seq: next.file.seq,
            epoch: self.epoch,
            first_frame: next.first_frame,
            base: next.base,
            hard_state: HardState::default(),
        };
        let full = std::mem::replace(&mut state.current, next);
        state.rolled.push(full);
        header
    }

    /// Writes a placed frame with one write, after the header of its segment if it is the first there. Not yet durable.
    ///
    /// # Errors
    /// `Io`, and from then on `Poisoned`: whether the frame will be found at the next open is not known.
    pub(crate) fn write(&self, placement: &Placement, frame: &mut Frame) -> Result<()> {
        self.write_as(IoSite::LogAppend, placement, frame)
    }

    fn write_as(&self, site: IoSite, placement: &Placement, frame: &mut Frame) -> Result<()> {
        self.check()?;
        let prev_crc = if placement.offset == HEADER_BYTES { 0 } else { self.state.lock().prev_crc };
        let durable_index = self.durable_frame();
        let seal = Seal { frame_index: placement.frame_index, durable_index, prev_crc, flags: placement.flags };
        let (bytes, crc) = frame.seal(placement.file.seed, seal);
        if let Some(header) = &placement.header {
            self.poison_on_error(placement.file.write_header(IoSite::LogHeader, header))?;
        }
        self.poison_on_error(placement.file.write(site, bytes, placement.offset))?;
        self.state.lock().wrote(placement, crc);
        Ok(())
    }

    /// Makes every frame written before this call durable, segment by segment, oldest first.
    ///
    /// # Errors
    /// `Io`, and from then on `Poisoned`. It is never tried again: the system forgets what it could not write.
    pub(crate) fn sync(&self) -> Result<()> {
        self.sync_as(IoSite::LogSync)
    }

    fn sync_as(&self, site: IoSite) -> Result<()> {
        let _one_at_a_time = self.syncing.lock();
        self.check()?;
        let (files, written) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.unsynced), state.written)
        };
        for file in &files {
            if is_planted(Bug::LogSyncSkipped) {
                continue;
            }
            if is_planted(Bug::SyncRetried) && file.sync(site).is_err() {
                // The lie that the real one never tells: after a failed sync the next one succeeds.
                file.sync(site)?;
                continue;
            }
            self.poison_on_error(file.sync(site))?;
        }
        // Release: whoever sees this number may tell the world what those frames hold.
        self.durable.fetch_max(written, Ordering::Release);
        Ok(())
    }

    /// The highest frame that is durable, 0 if none.
    pub(crate) fn durable_frame(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The number that the next frame gets: that of the closing frame, if nothing else is placed before it.
    pub(crate) fn closing_index(&self) -> u64 {
        self.state.lock().next_frame
    }

    /// Writes and syncs the closing frame, the last act of a clean close. Everything before it must be synced already,
    /// and the catalog must hold its note by then. There is always room for it.
    pub(crate) fn write_closing(&self) -> Result<()> {
        let mut frame = Frame::new();
        let placement = self.place(&frame, FLAG_CLOSING);
        self.write_as(IoSite::LogClose, &placement, &mut frame)?;
        self.sync_as(IoSite::LogClose)
    }

    /// Bytes of frames placed since the start.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.state.lock().placed_bytes
    }

    /// All segments in order, the spare last, with the state that the catalog may note now. Only a *prefix* may be
    /// dropped, of segments that are sealed and whose last entry is at or below the checkpoint.
    pub(crate) fn segments(&self) -> Vec<SegmentSpan> {
        let durable = self.durable_frame();
        let state = self.state.lock();
        let rolled = state.rolled.iter().map(|segment| segment.span(durable, true));
        let spare = state.spare.iter().map(|segment| segment.span(0, false));
        let current = state.current.span(durable, false);
        state.older.iter().copied().chain(rolled).chain([current]).chain(spare).collect()
    }

    /// Forgets a segment that the catalog has dropped. The current one and the spare stay.
    pub(crate) fn forget(&self, seq: u64) {
        let mut state = self.state.lock();
        state.older.retain(|span| span.info.seq != seq);
        state.rolled.retain(|segment| segment.file.seq != seq);
    }

    /// Removes the file of a forgotten segment; one that is gone already is fine. The directory is not synced: a file
    /// that comes back is one that the catalog does not name.
    pub(crate) fn remove_file(&self, seq: u64) -> Result<()> {
        let path = segment_path(seq);
        match self.disk.remove(IoSite::LogRemove, &path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove log segment", path, source))
            }
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    fn poison_on_error<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }
}

impl State {
    fn fits(&self, len: u64) -> bool {
        self.current.fits(len) || self.spare.as_ref().is_some_and(|spare| spare.fits(len))
    }

    /// Gives the tail of the current segment to `frame`.
    fn take(&mut self, frame: &Frame, len: u64) {
        self.current.took(frame, self.next_frame);
        self.last = frame.last_after(self.last);
        self.next_frame += 1;
        self.placed_bytes += len;
    }

    fn wrote(&mut self, placement: &Placement, crc: u32) {
        self.prev_crc = crc;
        self.written = placement.frame_index;
        if self.unsynced.last().is_none_or(|file| file.seq != placement.seq) {
            self.unsynced.push(Arc::clone(&placement.file));
        }
    }
}
