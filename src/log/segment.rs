//! One file of the log: creating it, filling it with zeros ahead of the tail, and what is known of it.
//!
//! Zeros are really written: a file whose blocks are only allocated still pays a journal commit at each sync, when
//! extents are converted. Filling goes through an open file of its own, because an error of a failed write-back is
//! reported once per open file: a filler must not take the one that a committer has to see.

use std::io;
use std::sync::Arc;

use super::frame::Frame;
use super::record::{FRAME_HEADER_BYTES, Position, SEGMENT_HEADER_BYTES, SegmentHeader, frame_seed};
use crate::error::{Error, Result};
use crate::io::{Disk, DiskFile, IoSite, OpenMode, write_all_at};

/// The directory of the log's segments.
pub(crate) const LOG_DIR: &str = "log";
pub(super) const HEADER_BYTES: u64 = SEGMENT_HEADER_BYTES as u64;
/// A closing frame must always find room.
pub(super) const CLOSING_BYTES: u64 = FRAME_HEADER_BYTES as u64;
const FILL_CHUNK_BYTES: u64 = 1 << 20;
/// Fills end at a page, as far as the segment's size allows.
const PAGE_BYTES: u64 = 4096;

/// What a segment is to the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentState {
    /// Made ahead of need; whether it continues the log, its header tells.
    Spare,
    /// Its header is durable; frames are appended to it.
    Active,
    /// Everything up to `sealed_len` is durable, and nothing beyond counts.
    Sealed,
    /// Being filled at open; what it holds does not count.
    Incoming,
}

/// What the catalog knows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    pub seq: u64,
    pub state: SegmentState,
    /// The last entry before this segment; zeros for a spare. Informational: a scan trusts the header.
    pub base_term: u64,
    pub base_index: u64,
    /// Where the valid part ends; 0 unless sealed.
    pub sealed_len: u64,
}

/// A segment and the entries inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentSpan {
    pub info: SegmentInfo,
    /// The first entry inside, 0 if there is none.
    pub first_index: u64,
    /// The highest entry inside, 0 if there is none.
    pub last_index: u64,
}

impl SegmentSpan {
    pub(super) fn include(&mut self, first_index: u64, last_index: u64) {
        if self.first_index == 0 {
            self.first_index = first_index;
        }
        self.last_index = self.last_index.max(last_index);
    }
}

/// The path of segment `seq`.
pub(crate) fn segment_path(seq: u64) -> String {
    format!("{LOG_DIR}/{seq:016x}.log")
}

/// An open segment file.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub seq: u64,
    pub seed: u32,
    /// Written and synced by committers.
    pub append: Arc<dyn DiskFile>,
    /// Written and synced by whoever prepares room.
    fill: Arc<dyn DiskFile>,
}

impl SegmentFile {
    /// Creates the file, with its directory entry not yet durable.
    pub(super) fn create(disk: &dyn Disk, store_id: u128, seq: u64) -> Result<Self> {
        let path = segment_path(seq);
        let fill = disk
            .open(IoSite::LogCreate, &path, OpenMode::CreateNew)
            .map_err(|source| Error::io("create log segment", &path, source))?;
        let append = disk
            .open(IoSite::LogOpen, &path, OpenMode::ReadWrite)
            .map_err(|source| Error::io("open log segment", &path, source))?;
        Ok(SegmentFile { seq, seed: frame_seed(store_id, seq), append, fill })
    }

    /// Writes zeros to `from..to`, not yet durable.
    pub(super) fn zero_fill(&self, from: u64, to: u64) -> Result<()> {
        let chunk = to.saturating_sub(from).min(FILL_CHUNK_BYTES);
        let zeros = vec![0; usize::try_from(chunk).expect("a chunk is at most 1 MiB")];
        let mut offset = from;
        while offset < to {
            let len = usize::try_from((to - offset).min(chunk)).expect("a chunk is at most 1 MiB");
            write_all_at(self.fill.as_ref(), IoSite::LogFill, &zeros[..len], offset)
                .map_err(|source| self.error("fill log segment", source))?;
            offset += len as u64;
        }
        Ok(())
    }

    /// Makes what was filled durable, length and blocks included.
    pub(super) fn sync_fill(&self, site: IoSite) -> Result<()> {
        self.fill.sync_all(site).map_err(|source| self.error("sync log segment", source))
    }

    /// Writes a header at the front.
    pub(super) fn write_header(&self, site: IoSite, header: &SegmentHeader) -> Result<()> {
        self.write(site, &header.encode(), 0)
    }

    /// One write. A short one is an error: what it left would have to be trusted to be written again.
    pub(super) fn write(&self, site: IoSite, bytes: &[u8], offset: u64) -> Result<()> {
        let written = loop {
            match self.append.write_at(site, bytes, offset) {
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        match written {
            Ok(len) if len == bytes.len() => Ok(()),
            Ok(_) => Err(self.error("append to log segment", io::ErrorKind::WriteZero.into())),
            Err(source) => Err(self.error("append to log segment", source)),
        }
    }

    pub(super) fn sync(&self, site: IoSite) -> Result<()> {
        self.append.sync_data(site).map_err(|source| self.error("sync log segment", source))
    }

    fn error(&self, what: &'static str, source: io::Error) -> Error {
        Error::io(what, segment_path(self.seq), source)
    }
}

/// A segment that is, or will be, appended to.
///
/// `HEADER_BYTES <= tail`, `tail + CLOSING_BYTES <= filled <= capacity` until it is closed.
#[derive(Debug)]
pub(super) struct Segment {
    pub file: Arc<SegmentFile>,
    /// Where the next frame goes.
    pub tail: u64,
    /// Up to here zeros are durable, so that a frame only overwrites.
    pub filled: u64,
    /// How long the file may become.
    pub capacity: u64,
    /// The last entry before it.
    pub base: Position,
    /// The index of its first and its last frame; equal to `first_frame - 1` while there is none.
    pub first_frame: u64,
    pub last_frame: u64,
    /// Whether its header was durable before its first frame.
    pub header_durable: bool,
    /// The first and the highest entry inside; zeros if there is none.
    pub entries: (u64, u64),
}

impl Segment {
    /// A segment without frames.
    pub(super) fn empty(file: SegmentFile, filled: u64, capacity: u64) -> Self {
        Segment {
            file: Arc::new(file),
            tail: HEADER_BYTES,
            filled,
            capacity,
            base: (0, 0),
            first_frame: 0,
            last_frame: 0,
            header_durable: false,
            entries: (0, 0),
        }
    }

    /// Whether `len` bytes of frame fit what is filled, with a closing frame after them.
    pub(super) fn fits(&self, len: u64) -> bool {
        self.tail + len + CLOSING_BYTES <= self.filled
    }

    /// Notes that `frame`, with this index, has its place at the tail.
    pub(super) fn took(&mut self, frame: &Frame, frame_index: u64) {
        let (first, max) = frame.index_span();
        self.tail += frame.len() as u64;
        self.last_frame = frame_index;
        if self.entries.0 == 0 {
            self.entries.0 = first;
        }
        self.entries.1 = self.entries.1.max(max);
    }

    /// How far to fill so that `len` bytes of frame fit and `ahead` bytes are ready; `None` if they can never fit.
    pub(super) fn fill_end(&self, len: u64, ahead: u64) -> Option<u64> {
        fill_end(self.tail, len, ahead, self.capacity)
    }

    /// What the catalog should know of it, once frames up to `durable` are.
    pub(super) fn span(&self, durable: u64, rolled: bool) -> SegmentSpan {
        let started = self.header_durable || (self.first_frame > 0 && durable >= self.first_frame);
        let (state, sealed_len) = match (started, rolled && durable >= self.last_frame) {
            (false, _) => (SegmentState::Spare, 0),
            (true, false) => (SegmentState::Active, 0),
            (true, true) => (SegmentState::Sealed, self.tail),
        };
        let (base_term, base_index) = self.base;
        SegmentSpan {
            info: SegmentInfo { seq: self.file.seq, state, base_term, base_index, sealed_len },
            first_index: self.entries.0,
            last_index: self.entries.1,
        }
    }
}

/// See [`Segment::fill_end`].
pub(super) fn fill_end(tail: u64, len: u64, ahead: u64, capacity: u64) -> Option<u64> {
    let needed = tail + len + CLOSING_BYTES;
    let wanted = needed.max(tail + ahead).next_multiple_of(PAGE_BYTES);
    (needed <= capacity).then_some(wanted.min(capacity))
}
