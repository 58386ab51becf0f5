//! Reading a log at open: which frames there are, what they prove, and whether something promised is gone.
//!
//! ```text
//! F1 F2 F3 F4 F5 x          the tail: F5 says that 3 was synced when it was written
//! ------proven--|           F1..F3 are proven, F4 and F5 are valid but nothing vouches for them, x is torn
//! F1 F2 x  F4               F4 says that 3 was synced: 3 is lost, not torn. Corrupt
//! ```
//!
//! Frames are read in order up to the first that fails. Whether that one was torn by a crash or lost afterwards, later
//! frames tell: one whose durable index reaches the missing frame was written after that was promised. They are looked
//! for by header alone, which has its own checksum, at every multiple of 8, as nothing behind a failed frame has a
//! length to trust. Damage to the very last synced frame cannot be told from a tear, unless a clean close vouches for
//! it.
//!
//! Nothing here writes.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{
    FLAG_CLOSING, FORMAT, FRAME_HEADER_BYTES, FrameHeader, HeaderError, Position, Record, RecordError, SegmentHeader,
    frame_seed, records,
};
use super::segment::{HEADER_BYTES, SegmentInfo, SegmentSpan, SegmentState, segment_path};
use crate::codec::crc32;
use crate::error::{Error, Result};
use crate::io::{Disk, DiskFile, IoSite, OpenMode, read_exact_at};
use crate::sabotage::{Bug, is_planted};

/// What an open found in the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    /// Every frame of the chain, in order, proven or not.
    pub frames: Vec<ScannedFrame>,
    /// The highest frame that is proven to have been durable; a log goes on with the one after it.
    pub proven: u64,
    /// Whether the last frame is the closing frame that the catalog's note names: then all before it is proven.
    pub closing: bool,
    /// Segment and offset where the chain ends.
    pub end: (u64, u64),
    /// Segment and offset where the proven part ends.
    pub proven_end: (u64, u64),
    /// The last entry of the proven part.
    pub proven_last: Position,
    /// The segments that hold the proven part, as they are to be sealed. All others are to be dropped.
    pub kept: Vec<SegmentSpan>,
    /// The highest epoch of a segment in the chain.
    pub epoch: u64,
}

impl Scan {
    /// The frames that exist but may have existed in the page cache alone: what a dirty open copies.
    pub(crate) fn unproven(&self) -> &[ScannedFrame] {
        &self.frames[self.frames.partition_point(|frame| frame.frame_index <= self.proven)..]
    }
}

/// A frame that verified.
#[derive(Clone, Debug)]
pub(crate) struct ScannedFrame {
    pub seq: u64,
    pub offset: u64,
    pub frame_index: u64,
    pub durable_index: u64,
    /// The first entry inside, 0 if there is none.
    pub first_index: u64,
    pub closing: bool,
    /// The records; those that a scan returns decode.
    pub payload: Bytes,
    /// The highest entry inside, 0 if there is none.
    max_index: u64,
    /// The last entry of the log after this frame.
    last: Position,
}

impl ScannedFrame {
    /// The records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        records(&self.payload).map_while(|record| record.ok())
    }

    fn end(&self) -> u64 {
        self.offset + frame_bytes(self.payload.len())
    }
}

/// Reads the log that `segments` name; `incoming` ones are not looked at.
///
/// `note` is the closing frame that the catalog vouches for, 0 if there was no clean close. Entries at or below
/// `checkpoint_index` may be missing; above it they are gapless.
///
/// # Errors
/// `Corrupt` if something promised is gone or contradicts itself, `FormatTooNew`, `Io`.
pub(crate) fn scan(
    disk: &Arc<dyn Disk>,
    store_id: u128,
    segments: &[SegmentInfo],
    note: u64,
    checkpoint_index: u64,
) -> Result<Scan> {
    let mut named: Vec<_> = segments.iter().filter(|info| info.state != SegmentState::Incoming).collect();
    named.sort_by_key(|info| info.seq);
    let mut files = Vec::with_capacity(named.len());
    for info in named {
        files.push(Reading::open(disk.as_ref(), store_id, *info)?);
    }
    let mut chain = Chain::new(checkpoint_index);
    for file in &mut files {
        chain.follow(file)?;
    }
    chain.finish(&mut files, note)
}

/// Whether a file that the catalog does not name holds frames that would continue the chain: then the catalog fell
/// back to an older state, and the file is no rubbish. `epoch` is the catalog's, as this open found it: what an
/// earlier epoch left behind, dropped tails and unfinished copies, does not count.
pub(crate) fn belongs(disk: &Arc<dyn Disk>, store_id: u128, seq: u64, epoch: u64, scan: &Scan) -> Result<bool> {
    let info = SegmentInfo { seq, state: SegmentState::Spare, base_term: 0, base_index: 0, sealed_len: 0 };
    let mut file = Reading::open(disk.as_ref(), store_id, info)?;
    let Some(header) = file.header()?.filter(|header| header.epoch >= epoch) else {
        return Ok(false);
    };
    let last = scan.frames.last().map_or(scan.proven, |frame| frame.frame_index);
    let (mut offset, mut next, mut prev_crc) = (HEADER_BYTES, header.first_frame, 0);
    while let Some((frame, payload)) = file.frame(offset, next, prev_crc)? {
        if frame.frame_index > last {
            return Ok(true);
        }
        (next, prev_crc) = (next + 1, frame.header_crc);
        offset += frame_bytes(payload.len());
    }
    Ok(false)
}

/// Whether an `incoming` segment has been written to since it was adopted: then the catalog that still calls it incoming
/// fell back. A copy says of none of its frames that they are synced but in the empty one that ends it, which is there
/// even if nothing was copied; what comes behind that, or says so, was written later.
pub(crate) fn adopted(disk: &Arc<dyn Disk>, store_id: u128, seq: u64) -> Result<bool> {
    let info = SegmentInfo { seq, state: SegmentState::Spare, base_term: 0, base_index: 0, sealed_len: 0 };
    let mut file = Reading::open(disk.as_ref(), store_id, info)?;
    let Some(header) = file.header()? else { return Ok(false) };
    let (mut offset, mut next, mut prev_crc, mut ended) = (HEADER_BYTES, header.first_frame, 0, false);
    while let Some((frame, payload)) = file.frame(offset, next, prev_crc)? {
        let ends = payload.is_empty() && frame.flags & FLAG_CLOSING == 0;
        if ended || (!ends && frame.durable_index >= header.first_frame) {
            return Ok(true);
        }
        ended = ends;
        (next, prev_crc) = (next + 1, frame.header_crc);
        offset += frame_bytes(payload.len());
    }
    Ok(false)
}

/// Whether segment `seq` holds a frame, of whichever store: without a catalog, all that tells a log that was written to
/// from what a crash left of a store in the making, where anything may stand behind zeros that never arrived.
pub(crate) fn holds_frame(disk: &Arc<dyn Disk>, seq: u64) -> Result<bool> {
    let info = SegmentInfo { seq, state: SegmentState::Spare, base_term: 0, base_index: 0, sealed_len: 0 };
    let mut file = Reading::open(disk.as_ref(), 0, info)?;
    let Some(bytes) = file.bytes(0, HEADER_BYTES)? else { return Ok(false) };
    let header = match SegmentHeader::decode(&file.window[bytes]) {
        Ok(header) => header,
        Err(HeaderError::Invalid) => return Ok(false),
        Err(HeaderError::TooNew(format)) => {
            return Err(Error::FormatTooNew { file: segment_path(seq).into(), format });
        }
    };
    let Some(bytes) = file.bytes(HEADER_BYTES, FRAME_HEADER_BYTES as u64)? else { return Ok(false) };
    Ok(FrameHeader::decode(&file.window[bytes], frame_seed(header.store_id, header.seq)).is_some())
}

/// The chain of frames, as far as it was followed.
struct Chain {
    checkpoint: u64,
    scan: Scan,
    /// Spans of the segments in the chain, with the index of the last frame of each.
    spans: Vec<(SegmentSpan, u64)>,
    /// The number of the next frame; 0 before the first segment.
    next_frame: u64,
    last: Position,
    base: Position,
}

impl Chain {
    fn new(checkpoint: u64) -> Self {
        Chain { checkpoint, scan: Scan::default(), spans: Vec::new(), next_frame: 0, last: (0, 0), base: (0, 0) }
    }

    /// Reads a segment if it continues the chain. One that does not is fine only if it is a spare.
    fn follow(&mut self, file: &mut Reading) -> Result<()> {
        let state = file.info.state;
        let Some(header) = file.header()?.filter(|header| self.continues(header)) else {
            let fine = state == SegmentState::Spare;
            return if fine { Ok(()) } else { Err(file.corrupt(0, "the segment does not continue the log")) };
        };
        if self.next_frame == 0 {
            self.begin(&header, file)?;
        }
        self.scan.epoch = self.scan.epoch.max(header.epoch);
        let end = self.read_frames(file)?;
        if state == SegmentState::Sealed {
            if end != file.info.sealed_len {
                return Err(file.corrupt(end, "a sealed segment ends early"));
            }
            self.scan.proven = self.next_frame - 1;
        }
        file.end = Some(end);
        self.scan.end = (file.info.seq, end);
        Ok(())
    }

    fn continues(&self, header: &SegmentHeader) -> bool {
        let first = self.next_frame == 0;
        header.first_frame > 0 && (first || (header.first_frame == self.next_frame && header.base == self.last))
    }

    /// The first segment says where the chain begins. What went before it was dropped, so it is in the checkpoint.
    fn begin(&mut self, header: &SegmentHeader, file: &Reading) -> Result<()> {
        if header.base.1 > self.checkpoint {
            return Err(file.corrupt(0, "the log begins after the checkpoint"));
        }
        self.next_frame = header.first_frame;
        self.scan.proven = header.first_frame - 1;
        self.scan.proven_end = (file.info.seq, HEADER_BYTES);
        self.base = header.base;
        self.last = header.base;
        Ok(())
    }

    /// Reads frames up to the first that fails, and returns where that is.
    fn read_frames(&mut self, file: &mut Reading) -> Result<u64> {
        let (base_term, base_index) = self.last;
        let info = SegmentInfo { state: SegmentState::Sealed, base_term, base_index, sealed_len: 0, ..file.info };
        let mut span = SegmentSpan { info, first_index: 0, last_index: 0 };
        let (mut offset, mut prev_crc) = (HEADER_BYTES, 0);
        while let Some((header, payload)) = file.frame(offset, self.next_frame, prev_crc)? {
            let frame = self.check_frame(file, offset, &header, payload)?;
            span.include(frame.first_index, frame.max_index);
            self.scan.proven = self.scan.proven.max(frame.durable_index);
            self.next_frame += 1;
            prev_crc = header.header_crc;
            offset = frame.end();
            self.scan.frames.push(frame);
        }
        span.info.sealed_len = offset;
        self.spans.push((span, self.next_frame - 1));
        Ok(offset)
    }

    /// Checks what a verified frame says. Here damage is ruled out: it is a newer release's, or wrong.
    fn check_frame(
        &mut self,
        file: &Reading,
        offset: u64,
        header: &FrameHeader,
        payload: Bytes,
    ) -> Result<ScannedFrame> {
        if header.flags & !FLAG_CLOSING != 0 || header.reserved != 0 {
            return Err(file.too_new());
        }
        let (mut count, mut first_index, mut max_index) = (0u32, 0, 0);
        for record in records(&payload) {
            let record = record.map_err(|error| file.undecodable(offset, error))?;
            if let Record::Entry { index, .. } = record {
                if index == 0 || index > self.last.1.max(self.checkpoint).saturating_add(1) {
                    return Err(file.corrupt(offset, "entries are missing before this frame"));
                }
                first_index = if first_index == 0 { index } else { first_index };
                max_index = index.max(max_index);
            }
            self.last = record.last_after(self.last);
            count += 1;
        }
        if count != u32::from(header.records) || first_index != header.first_index {
            return Err(file.corrupt(offset, "the frame's header contradicts its records"));
        }
        Ok(ScannedFrame {
            seq: file.info.seq,
            offset,
            frame_index: header.frame_index,
            durable_index: header.durable_index,
            first_index,
            closing: header.flags & FLAG_CLOSING != 0,
            payload,
            max_index,
            last: self.last,
        })
    }

    fn finish(mut self, files: &mut [Reading], note: u64) -> Result<Scan> {
        let last_frame = self.next_frame.saturating_sub(1);
        self.scan.closing =
            note > 0 && self.scan.frames.last().is_some_and(|frame| frame.closing && frame.frame_index == note);
        if self.scan.closing {
            // The closing frame itself may exist in the page cache alone, if its sync failed. It holds nothing.
            self.scan.proven = self.scan.proven.max(note - 1);
        } else {
            // The note was made when all before its frame was synced, but the closing frame itself may never have been.
            if note > last_frame + 1 {
                return Err(self.corrupt("frames that a clean close vouches for are missing"));
            }
            self.scan.proven = self.scan.proven.max(note.saturating_sub(1).min(last_frame));
            if self.lost(files, last_frame + 1)? {
                return Err(self.corrupt("a frame that was durable is missing, later ones tell"));
            }
        }
        self.keep_proven();
        Ok(self.scan)
    }

    /// Whether a frame after the end of the chain tells that `missing` was durable.
    fn lost(&self, files: &mut [Reading], missing: u64) -> Result<bool> {
        if is_planted(Bug::AnyBadFrameEnds) {
            return Ok(false);
        }
        let frames_max = files.iter().map(|file| file.limit / FRAME_HEADER_BYTES as u64).sum();
        let after_end = files.iter().rposition(|file| file.end.is_some()).unwrap_or(0);
        for file in &mut files[after_end..] {
            if file.info.state != SegmentState::Sealed && file.tells_of(missing, frames_max)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn keep_proven(&mut self) {
        let scan = &mut self.scan;
        let count = scan.frames.partition_point(|frame| frame.frame_index <= scan.proven);
        scan.proven_last = self.base;
        if let Some(last) = scan.frames[..count].last() {
            scan.proven_end = (last.seq, last.end());
            scan.proven_last = last.last;
        }
        let (seq, offset) = scan.proven_end;
        scan.kept = self.spans.iter().map(|(span, _)| *span).filter(|span| span.info.seq <= seq).collect();
        if let Some(span) = scan.kept.last_mut() {
            let frames = scan.frames[..count].iter().filter(|frame| frame.seq == seq);
            *span =
                SegmentSpan { info: SegmentInfo { sealed_len: offset, ..span.info }, first_index: 0, last_index: 0 };
            frames.for_each(|frame| span.include(frame.first_index, frame.max_index));
        }
    }

    fn corrupt(&self, what: &'static str) -> Error {
        let (seq, offset) = self.scan.end;
        Error::corrupt(segment_path(seq), offset, what)
    }
}

/// A segment being read, through a window that moves over it.
struct Reading {
    info: SegmentInfo,
    store_id: u128,
    seed: u32,
    file: Arc<dyn DiskFile>,
    /// The length of the file, or of its sealed part if that is shorter. Nothing beyond is looked at.
    limit: u64,
    /// Where the chain left it, if it is part of it.
    end: Option<u64>,
    window: Vec<u8>,
    window_start: u64,
}

impl Reading {
    fn open(disk: &dyn Disk, store_id: u128, info: SegmentInfo) -> Result<Self> {
        let path = segment_path(info.seq);
        let file = match disk.open(IoSite::LogOpen, &path, OpenMode::Read) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(Error::corrupt(path, 0, "the segment is missing"));
            }
            opened => opened.map_err(|source| Error::io("open log segment", &path, source))?,
        };
        let len = file.len(IoSite::LogRead).map_err(|source| Error::io("read log segment", &path, source))?;
        let limit = if info.state == SegmentState::Sealed { len.min(info.sealed_len) } else { len };
        let seed = frame_seed(store_id, info.seq);
        Ok(Reading { info, store_id, seed, file, limit, end: None, window: Vec::new(), window_start: 0 })
    }

    /// The header, if it was written and is this segment's.
    fn header(&mut self) -> Result<Option<SegmentHeader>> {
        let Some(bytes) = self.bytes(0, HEADER_BYTES)? else {
            return Ok(None);
        };
        match SegmentHeader::decode(&self.window[bytes]) {
            Ok(header) if header.store_id != self.store_id => Err(self.corrupt(16, "the segment is another store's")),
            Ok(header) => Ok(Some(header).filter(|header| header.seq == self.info.seq)),
            Err(HeaderError::Invalid) => Ok(None),
            Err(HeaderError::TooNew(format)) => {
                Err(Error::FormatTooNew { file: segment_path(self.info.seq).into(), format })
            }
        }
    }

    /// The frame at `offset`, if it is whole and the one expected there.
    fn frame(&mut self, offset: u64, frame_index: u64, prev_crc: u32) -> Result<Option<(FrameHeader, Bytes)>> {
        let Some(bytes) = self.bytes(offset, FRAME_HEADER_BYTES as u64)? else {
            return Ok(None);
        };
        let Some(header) = FrameHeader::decode(&self.window[bytes], self.seed)
            .filter(|header| header.frame_index == frame_index && header.prev_crc == prev_crc)
        else {
            return Ok(None);
        };
        let payload = self.bytes(offset + FRAME_HEADER_BYTES as u64, u64::from(header.payload_len))?;
        let payload = payload.map(|payload| &self.window[payload]);
        let payload = payload.filter(|payload| crc32(self.seed, payload) == header.payload_crc);
        Ok(payload.map(|payload| (header, Bytes::copy_from_slice(payload))))
    }

    /// Whether a frame after the chain's end here tells that `missing` was durable. At most `frames_max` frames can be
    /// missing: random bytes that look like a header do not pass that.
    fn tells_of(&mut self, missing: u64, frames_max: u64) -> Result<bool> {
        let mut offset = self.end.unwrap_or(HEADER_BYTES);
        let (header_len, step) = (FRAME_HEADER_BYTES as u64, 8);
        while offset + header_len <= self.limit {
            let len = (self.limit - offset).min(WINDOW_BYTES);
            let Some(bytes) = self.bytes(offset, len)? else {
                break;
            };
            let tells = |bytes: &[u8]| tells_of(bytes, self.seed, missing, frames_max);
            if self.window[bytes].windows(FRAME_HEADER_BYTES).step_by(8).any(tells) {
                return Ok(true);
            }
            offset += (len - header_len) / step * step + step;
        }
        Ok(false)
    }

    /// Where in the window `len` bytes at `offset` are, read if need be; `None` if the segment ends before. Never
    /// allocates more than the file holds.
    fn bytes(&mut self, offset: u64, len: u64) -> Result<Option<Range<usize>>> {
        if offset.checked_add(len).is_none_or(|end| end > self.limit) {
            return Ok(None);
        }
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || offset + len > window_end {
            self.fill_window(offset, len.max(WINDOW_BYTES).min(self.limit - offset))?;
        }
        let (start, len) = (offset - self.window_start, usize::try_from(len).expect("the window holds it"));
        let start = usize::try_from(start).expect("the window holds it");
        Ok(Some(start..start + len))
    }

    fn fill_window(&mut self, offset: u64, len: u64) -> Result<()> {
        let error = |source| Error::io("read log segment", segment_path(self.info.seq), source);
        let len = usize::try_from(len).map_err(|_| error(io::ErrorKind::OutOfMemory.into()))?;
        self.window.clear();
        self.window.resize(len, 0);
        self.window_start = offset;
        read_exact_at(self.file.as_ref(), IoSite::LogRead, &mut self.window, offset).map_err(error)
    }

    fn undecodable(&self, offset: u64, error: RecordError) -> Error {
        match error {
            RecordError::TooNew => self.too_new(),
            RecordError::Malformed => self.corrupt(offset, "a record cannot be read"),
        }
    }

    /// The release that wrote this did not say its format; it is at least the next one.
    fn too_new(&self) -> Error {
        Error::FormatTooNew { file: segment_path(self.info.seq).into(), format: FORMAT + 1 }
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> Error {
        Error::corrupt(segment_path(self.info.seq), offset, what)
    }
}

/// Whether these bytes are the header of a later frame, written when `missing` was known to be durable. The cheap
/// comparisons come first, as nearly all that is looked at are zeros.
fn tells_of(bytes: &[u8], seed: u32, missing: u64, frames_max: u64) -> bool {
    let number = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (frame_index, durable_index) = (number(16), number(24));
    durable_index >= missing
        && durable_index < frame_index
        && frame_index - missing <= frames_max
        && FrameHeader::decode(bytes, seed).is_some()
}

fn frame_bytes(payload_len: usize) -> u64 {
    (FRAME_HEADER_BYTES as u64 + payload_len as u64).next_multiple_of(8)
}

const WINDOW_BYTES: u64 = 256 << 10;
