//! Starting a log in a segment of its own: for a new store, and at every open.
//!
//! An open never writes behind what it found. After a crash the frames of the tail that nothing proves durable are
//! copied into the new segment and synced there; syncing them where they are would prove nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;

use super::frame::{Frame, Seal};
use super::prepare::{Preparing, full, sync_log_dir};
use super::record::{HardState, Position, SegmentHeader};
use super::scan::ScannedFrame;
use super::segment::{CLOSING_BYTES, HEADER_BYTES, Segment, SegmentFile, SegmentSpan, fill_end};
use super::{Log, LogOptions, State};
use crate::error::Result;
use crate::io::{Disk, IoSite};

impl Log {
    /// Starts a log in the new segment `seq`, after the last entry `base` and with `first_frame` as its next frame.
    ///
    /// The records of `records` become the first frames. An empty frame follows them, the *anchor*, which carries the
    /// number of the last of them as durable: so the log itself proves what was copied, and damage to it is never taken
    /// for a tear. Without records the anchor stands alone: the first frame behind it then tells by its place that it is
    /// no copy, whatever an older catalog says of the segment ([`adopted`](super::adopted)). Only the segment that a store
    /// is made with has none: no catalog is older than it, and a frame in it would mean that it was written to. The
    /// segment may become longer than `options` say to hold them all. On return everything is durable, the directory
    /// entry included. `older` are the segments that go before.
    ///
    /// # Errors
    /// `Full` if the disk has no space, `Io`. The file is left behind, as one that does not count.
    #[allow(clippy::too_many_arguments, reason = "each is a fact of its own, and there are two callers")]
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        store_id: u128,
        epoch: u64,
        options: LogOptions,
        seq: u64,
        base: Position,
        first_frame: u64,
        records: &[ScannedFrame],
        older: Vec<SegmentSpan>,
    ) -> Result<Log> {
        let header = SegmentHeader { store_id, seq, epoch, first_frame, base, hard_state: HardState::default() };
        let mut copies = copied_frames(records);
        let (segment, copied) = create(disk.as_ref(), &header, &options, &mut copies).map_err(full)?;
        let last = copies.iter().fold(base, |last, frame| frame.last_after(last));
        let state = State {
            older,
            rolled: Vec::new(),
            next_frame: copied.next_frame,
            written: copied.next_frame - 1,
            prev_crc: copied.prev_crc,
            last,
            placed_bytes: segment.tail - HEADER_BYTES,
            current: segment,
            spare: None,
            unsynced: Vec::new(),
            fill_bytes: options.fill_bytes_min,
        };
        Ok(Log {
            disk,
            store_id,
            epoch,
            options,
            durable: AtomicU64::new(state.written),
            failed: AtomicBool::new(false),
            state: Mutex::new(state),
            syncing: Mutex::new(()),
            preparing: Mutex::new(Preparing::default()),
        })
    }
}

/// The number of the segment that a store is made with.
const FIRST_SEQ: u64 = 1;

/// Where copying got to.
struct Copied {
    next_frame: u64,
    prev_crc: u32,
}

fn copied_frames(records: &[ScannedFrame]) -> Vec<Frame> {
    let copy = |scanned: &ScannedFrame| {
        let mut frame = Frame::new();
        scanned.records().for_each(|record| frame.push(&record));
        frame
    };
    records.iter().map(copy).filter(|frame| !frame.is_empty()).collect()
}

fn create(
    disk: &dyn Disk,
    header: &SegmentHeader,
    options: &LogOptions,
    copies: &mut [Frame],
) -> Result<(Segment, Copied)> {
    let anchored = !copies.is_empty() || header.seq > FIRST_SEQ;
    let anchor = if anchored { Frame::new().len() } else { 0 };
    let bytes = copies.iter().map(Frame::len).sum::<usize>() + anchor;
    let tail = HEADER_BYTES + bytes as u64;
    let capacity = options.segment_bytes.max(tail + CLOSING_BYTES);
    let filled = fill_end(tail, 0, options.fill_bytes_min, capacity).unwrap_or(capacity);

    let file = SegmentFile::create(disk, header.store_id, header.seq)?;
    file.zero_fill(0, filled)?;
    let mut segment = Segment::empty(file, filled, capacity);
    segment.base = header.base;
    segment.first_frame = header.first_frame;
    segment.last_frame = header.first_frame - 1;
    segment.header_durable = true;
    let mut copied = Copied { next_frame: header.first_frame, prev_crc: 0 };
    if copies.is_empty() {
        segment.file.write_header(IoSite::LogHeader, header)?;
        if anchored {
            append(&mut segment, &mut copied, &mut Frame::new(), header.first_frame - 1)?;
        }
        segment.file.sync_fill(IoSite::LogFillSync)?;
    } else {
        segment.file.write_header(IoSite::RecoverWrite, header)?;
        copy(&mut segment, &mut copied, copies)?;
    }
    sync_log_dir(disk)?;
    Ok((segment, copied))
}

/// Copies, syncs, and then writes the frame that proves it.
fn copy(segment: &mut Segment, copied: &mut Copied, copies: &mut [Frame]) -> Result<()> {
    let proven = copied.next_frame - 1;
    for frame in copies {
        append(segment, copied, frame, proven)?;
    }
    segment.file.sync_fill(IoSite::RecoverSync)?;
    append(segment, copied, &mut Frame::new(), copied.next_frame - 1)?;
    segment.file.sync(IoSite::RecoverSync)
}

fn append(segment: &mut Segment, copied: &mut Copied, frame: &mut Frame, durable_index: u64) -> Result<()> {
    let seal = Seal { frame_index: copied.next_frame, durable_index, prev_crc: copied.prev_crc, flags: 0 };
    let (bytes, crc) = frame.seal(segment.file.seed, seal);
    segment.file.write(IoSite::RecoverWrite, bytes, segment.tail)?;
    segment.took(frame, copied.next_frame);
    copied.prev_crc = crc;
    copied.next_frame += 1;
    Ok(())
}
