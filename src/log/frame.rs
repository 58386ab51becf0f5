//! The open frame: records that wait for the next write.
//!
//! Callers encode straight into its buffer under the commit mutex, so that the leader only has to fill in the header
//! and write. The buffer is reused from frame to frame.

use super::record::{
    ENTRY_OVERHEAD_BYTES, FRAME_HEADER_BYTES, FRAME_RECORDS_MAX, FrameHeader, Position, Record, encode_entry,
};
use crate::codec::crc32;

/// The buffer that a cleared frame keeps, at most, in bytes.
const CAPACITY_KEPT_MAX: usize = 1 << 20;
const ALIGNMENT: usize = 8;

/// Records that the next write makes durable together. Whether one more may join is [`Frame::has_room`]'s to say.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    /// At most [`FRAME_RECORDS_MAX`].
    records: usize,
    /// Index of the first entry pushed, 0 if none.
    first_index: u64,
    /// The highest index pushed, 0 if none.
    max_index: u64,
    /// What the records do to the end of the log: where an entry or truncation put it ..
    end: Option<Position>,
    /// .. or, before any of those, how far a truncation or purge bounds it.
    bounds: Vec<Record<'static>>,
}

impl Frame {
    pub(crate) fn new() -> Self {
        Frame {
            bytes: vec![0; FRAME_HEADER_BYTES],
            records: 0,
            first_index: 0,
            max_index: 0,
            end: None,
            bounds: Vec::new(),
        }
    }

    /// Appends an entry; `encode` writes its payload, which must be as long as [`Frame::has_room`] was told, or less.
    #[inline]
    pub(crate) fn push_entry(&mut self, term: u64, index: u64, flags: u8, encode: impl FnOnce(&mut Vec<u8>)) {
        encode_entry(&mut self.bytes, flags, (term, index), encode);
        self.records += 1;
        if self.first_index == 0 {
            self.first_index = index;
        }
        self.max_index = self.max_index.max(index);
        self.end = Some((term, index));
    }

    /// Appends any record.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        match *record {
            Record::Entry { term, index, flags, payload } => {
                self.push_entry(term, index, flags, |bytes| bytes.extend_from_slice(payload));
            }
            Record::Vote { .. } | Record::Committed { .. } => self.push_plain(record),
            Record::Truncate { term, index } => self.push_bound(record, Record::Truncate { term, index }),
            Record::Purge { term, index } => self.push_bound(record, Record::Purge { term, index }),
        }
    }

    fn push_plain(&mut self, record: &Record<'_>) {
        record.encode(&mut self.bytes);
        self.records += 1;
    }

    fn push_bound(&mut self, record: &Record<'_>, bound: Record<'static>) {
        self.push_plain(record);
        match self.end {
            Some(end) => self.end = Some(bound.last_after(end)),
            None => self.bounds.push(bound),
        }
    }

    /// Whether an entry with a payload of `payload_len` bytes may join, if frames are at most `max` bytes.
    pub(crate) fn has_room(&self, payload_len: usize, max: usize) -> bool {
        let len = self.bytes.len().saturating_add(ENTRY_OVERHEAD_BYTES).saturating_add(payload_len);
        self.records < FRAME_RECORDS_MAX && len.checked_next_multiple_of(ALIGNMENT).is_some_and(|len| len <= max)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes as written: header, records, padding.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len().next_multiple_of(ALIGNMENT)
    }

    /// The lowest and highest entry index inside that a segment has to be kept for; zeros if there is none.
    pub(super) fn index_span(&self) -> (u64, u64) {
        (self.first_index, self.max_index)
    }

    /// The last entry of the log after this frame, if it was `last` before.
    pub(super) fn last_after(&self, last: Position) -> Position {
        self.end.unwrap_or_else(|| self.bounds.iter().fold(last, |last, bound| bound.last_after(last)))
    }

    /// Fills in header and padding and returns the bytes to write and the header's checksum.
    pub(super) fn seal(&mut self, seed: u32, place: Seal) -> (&[u8], u32) {
        let payload = &self.bytes[FRAME_HEADER_BYTES..];
        let header = FrameHeader {
            header_crc: 0,
            payload_crc: crc32(seed, payload),
            payload_len: u32::try_from(payload.len()).expect("a frame is at most half a segment"),
            records: u16::try_from(self.records).expect("has_room bounds the records"),
            flags: place.flags,
            frame_index: place.frame_index,
            durable_index: place.durable_index,
            first_index: self.first_index,
            prev_crc: place.prev_crc,
            reserved: 0,
        }
        .encode(seed);
        self.bytes[..FRAME_HEADER_BYTES].copy_from_slice(&header);
        self.bytes.resize(self.len(), 0);
        let [a, b, c, d, ..] = header;
        (&self.bytes, u32::from_le_bytes([a, b, c, d]))
    }

    /// Empties it for the next records.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(FRAME_HEADER_BYTES);
        self.bytes.shrink_to(CAPACITY_KEPT_MAX);
        self.records = 0;
        self.first_index = 0;
        self.max_index = 0;
        self.end = None;
        self.bounds.clear();
    }
}

/// What a frame's header says of its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal {
    pub frame_index: u64,
    pub durable_index: u64,
    pub prev_crc: u32,
    pub flags: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::records;

    fn seal(frame: &mut Frame) -> Vec<u8> {
        frame.seal(0xabcd, Seal { frame_index: 5, durable_index: 4, prev_crc: 0x0102_0304, flags: 0 }).0.to_vec()
    }

    #[test]
    fn golden_frame() {
        let mut frame = Frame::new();
        frame.push_entry(1, 9, 0, |bytes| bytes.extend_from_slice(b"abc"));
        frame.push(&Record::Vote { term: 2, node: 3, committed: true });
        let bytes = seal(&mut frame);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN_FRAME);
        assert_eq!(bytes.len(), frame.len());
        let header = FrameHeader::decode(&bytes, 0xabcd).unwrap();
        assert_eq!((header.frame_index, header.first_index, header.records), (5, 9, 2));
        assert_eq!(FrameHeader::decode(&bytes, 0xabce), None);
    }

    #[test]
    fn every_bit_of_a_frame_header_counts() {
        let mut frame = Frame::new();
        frame.push_entry(1, 9, 0, |bytes| bytes.push(7));
        let mut bytes = seal(&mut frame);
        for bit in 0..FRAME_HEADER_BYTES * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&bytes, 0xabcd), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(FrameHeader::decode(&[0; 48], 0), None);
    }

    #[test]
    fn room_is_bounded_by_bytes_and_records() {
        let mut frame = Frame::new();
        assert!(frame.has_room(8, 80));
        assert!(!frame.has_room(9, 80));
        assert!(!frame.has_room(usize::MAX, usize::MAX));
        for index in 1..=65_535 {
            assert!(frame.has_room(0, usize::MAX));
            frame.push_entry(0, index, 0, |_| ());
        }
        assert!(!frame.has_room(0, usize::MAX));
        assert_eq!((frame.records, frame.max_index), (65_535, 65_535));
        let bytes = seal(&mut frame);
        assert_eq!(records(&bytes[FRAME_HEADER_BYTES..]).take(65_535).filter(Result::is_ok).count(), 65_535);
        frame.clear();
        assert!(frame.is_empty() && frame.len() == FRAME_HEADER_BYTES && frame.bytes.capacity() <= CAPACITY_KEPT_MAX);
    }

    #[test]
    fn the_end_of_the_log_follows_the_records() {
        let mut frame = Frame::new();
        assert_eq!(frame.last_after((1, 5)), (1, 5));
        frame.push(&Record::Truncate { term: 1, index: 3 });
        assert_eq!(frame.last_after((1, 5)), (1, 3));
        assert_eq!(frame.last_after((1, 2)), (1, 2));
        frame.push(&Record::Purge { term: 2, index: 9 });
        assert_eq!(frame.last_after((1, 5)), (2, 9));
        frame.push_entry(3, 10, 0, |_| ());
        frame.push(&Record::Vote { term: 4, node: 1, committed: false });
        assert_eq!(frame.last_after((1, 5)), (3, 10));
    }

    const GOLDEN_FRAME: &str = concat!(
        "d391139c7d58529133000000020000000500000000000000040000000000000009000000000000000403020100000000",
        "010000001300000001000000000000000900000000000000616263020100001000000002000000000000000300000000",
        "0000000000000000",
    );
}
