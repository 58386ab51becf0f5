//! The bytes of a log file: segment header, frames, records. This comment is the format specification (format 1).
//!
//! ```text
//! segment:  | header, 4096 bytes | frame | frame | .. | zeros, written ahead |
//! frame:    | header, 48 bytes | record | record | .. | zeros up to a multiple of 8 |
//! record:   | kind, flags, length | body |
//! ```
//!
//! All integers are little-endian. Every checksum is CRC-32 (IEEE). Those of frames are seeded with
//! `crc(store id as u128, seq as u64)`, so that a frame copied from another store or segment, or left behind in a file
//! that is used again, never verifies.
//!
//! **Segment header.** Written with the segment's first frame (or alone, when a log starts).
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | 8 bytes | `"etcl-log"` |
//! | 8 | u32 | format, 1 |
//! | 12 | u32 | crc, unseeded, over bytes 0..12 and 16..4096. The first 16 bytes stay as they are in any later format |
//! | 16 | u128 | store id |
//! | 32 | u64 | seq, which names the file |
//! | 40 | u64 | epoch: how often the store had been opened |
//! | 48 | u64 | index of the first frame |
//! | 56 | u64, u64 | base: term and index of the last entry before this segment |
//! | 72 | u64, u64, u64 | hard state: vote's term, vote's node, 1 if that vote is committed |
//! | 96 | u64, u64 | hard state: term and index of the last entry purged |
//! | 112 | u64, u64 | hard state: term and index of the last entry known to be committed |
//! | 128 | | zeros |
//!
//! **Frame header.** A frame is what one write makes; the sync after it makes it durable as a whole. It starts at a
//! multiple of 8 and never spans segments.
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | u32 | header crc, seeded, over bytes 4..48 |
//! | 4 | u32 | payload crc, seeded, over the records without padding |
//! | 8 | u32 | length of the records in bytes, without padding |
//! | 12 | u16 | number of records |
//! | 14 | u16 | flags: 1 closes the log (no records) |
//! | 16 | u64 | frame index: 1, 2, 3 .. without gaps, through all segments |
//! | 24 | u64 | durable index: the highest frame known to be synced when this one was written; below the frame index |
//! | 32 | u64 | log index of the first entry inside, 0 if none |
//! | 40 | u32 | header crc of the frame before, 0 for the first of a segment |
//! | 44 | u32 | zero |
//!
//! The durable index counts frames, not entries: a vote or a truncation is a promise too and has no index. The header
//! has a checksum of its own so that recovery can look for later frames without trusting a length.
//!
//! **Record.** u8 kind, u8 flags, u16 zero, u32 length of the body, body. Records are packed without padding.
//!
//! | kind | body | flags |
//! |---|---|---|
//! | 1 Entry | u64 term, u64 index, payload | 0 command, 1 blank, 2 membership |
//! | 2 Vote | u64 term, u64 node | 1 committed |
//! | 3 Committed | u64 term, u64 index | 0 |
//! | 4 Truncate | u64 term, u64 index of the last entry kept | 0 |
//! | 5 Purge | u64 term, u64 index of the last entry dropped | 0 |
//!
//! An entry whose index the log holds already replaces that entry and all after it. A kind, flag or reserved field that
//! is not in this table was written by a newer release: such a log is refused, not guessed at.

use crate::codec::{Reader, Write, crc32};

pub(crate) const SEGMENT_HEADER_BYTES: usize = 4096;
pub(crate) const FRAME_HEADER_BYTES: usize = 48;
/// What an entry adds to its payload.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = RECORD_HEADER_BYTES + ID_BYTES;
pub(crate) const FRAME_RECORDS_MAX: usize = u16::MAX as usize;
pub(crate) const FORMAT: u32 = 1;
/// Frame flag: the log was closed; nothing follows in its segment.
pub(crate) const FLAG_CLOSING: u16 = 1;

const MAGIC: &[u8; 8] = b"etcl-log";
const RECORD_HEADER_BYTES: usize = 8;
const ID_BYTES: usize = 16;
const ENTRY_FLAG_MAX: u8 = 2;

const KIND_ENTRY: u8 = 1;
const KIND_VOTE: u8 = 2;
const KIND_COMMITTED: u8 = 3;
const KIND_TRUNCATE: u8 = 4;
const KIND_PURGE: u8 = 5;

/// A place in the log: term and index of an entry.
pub(crate) type Position = (u64, u64);

/// One record, as it stands in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Entry { term: u64, index: u64, flags: u8, payload: &'a [u8] },
    Vote { term: u64, node: u64, committed: bool },
    Committed { term: u64, index: u64 },
    Truncate { term: u64, index: u64 },
    Purge { term: u64, index: u64 },
}

/// Why a record of a verified frame could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordError {
    /// A newer release wrote it.
    TooNew,
    /// It contradicts the format.
    Malformed,
}

impl Record<'_> {
    pub(crate) fn encode(&self, buf: &mut Vec<u8>) {
        let (kind, flags, a, b, payload) = match *self {
            Record::Entry { term, index, flags, payload } => (KIND_ENTRY, flags, term, index, payload),
            Record::Vote { term, node, committed } => (KIND_VOTE, u8::from(committed), term, node, &[][..]),
            Record::Committed { term, index } => (KIND_COMMITTED, 0, term, index, &[][..]),
            Record::Truncate { term, index } => (KIND_TRUNCATE, 0, term, index, &[][..]),
            Record::Purge { term, index } => (KIND_PURGE, 0, term, index, &[][..]),
        };
        encode_record(buf, kind, flags, (a, b), |buf| buf.put_slice(payload));
    }

    /// The last entry of the log once this record was applied to a log that ended at `last`.
    pub(crate) fn last_after(&self, last: Position) -> Position {
        match *self {
            Record::Entry { term, index, .. } => (term, index),
            Record::Truncate { term, index } if index < last.1 => (term, index),
            Record::Purge { term, index } if index > last.1 => (term, index),
            _ => last,
        }
    }
}

/// Appends an entry whose payload `encode` writes in place.
#[inline]
pub(crate) fn encode_entry(buf: &mut Vec<u8>, flags: u8, id: Position, encode: impl FnOnce(&mut Vec<u8>)) {
    encode_record(buf, KIND_ENTRY, flags, id, encode);
}

#[inline]
fn encode_record(buf: &mut Vec<u8>, kind: u8, flags: u8, id: Position, body: impl FnOnce(&mut Vec<u8>)) {
    let start = buf.len();
    let mut head = [0; RECORD_HEADER_BYTES + ID_BYTES];
    head[0] = kind;
    head[1] = flags;
    head[8..16].copy_from_slice(&id.0.to_le_bytes());
    head[16..24].copy_from_slice(&id.1.to_le_bytes());
    buf.put_slice(&head);
    body(buf);
    let len = u32::try_from(buf.len() - start - RECORD_HEADER_BYTES).expect("a request is far below 4 GiB");
    buf[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
}

/// Reads the records of a frame's payload in order; after an error it ends.
pub(crate) fn records(payload: &[u8]) -> Records<'_> {
    Records { reader: Reader::new(payload) }
}

/// See [`records`].
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let record = decode_record(&mut self.reader);
        if record.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(record)
    }
}

fn decode_record<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, RecordError> {
    let (kind, flags, zero, body) = record_parts(reader).ok_or(RecordError::Malformed)?;
    let flags_max = match kind {
        KIND_ENTRY => ENTRY_FLAG_MAX,
        KIND_VOTE => 1,
        KIND_COMMITTED | KIND_TRUNCATE | KIND_PURGE => 0,
        _ => return Err(RecordError::TooNew),
    };
    if zero != 0 || flags > flags_max {
        return Err(RecordError::TooNew);
    }
    decode_body(kind, flags, body).ok_or(RecordError::Malformed)
}

fn record_parts<'a>(reader: &mut Reader<'a>) -> Option<(u8, u8, u16, &'a [u8])> {
    let (kind, flags, zero) = (reader.u8()?, reader.u8()?, reader.u16()?);
    let len = usize::try_from(reader.u32()?).ok()?;
    Some((kind, flags, zero, reader.take(len)?))
}

fn decode_body(kind: u8, flags: u8, body: &[u8]) -> Option<Record<'_>> {
    let mut reader = Reader::new(body);
    let (term, index) = (reader.u64()?, reader.u64()?);
    if kind == KIND_ENTRY {
        let payload = reader.take(reader.remaining())?;
        return Some(Record::Entry { term, index, flags, payload });
    }
    let record = match kind {
        KIND_VOTE => Record::Vote { term, node: index, committed: flags == 1 },
        KIND_COMMITTED => Record::Committed { term, index },
        KIND_TRUNCATE => Record::Truncate { term, index },
        _ => Record::Purge { term, index },
    };
    reader.is_empty().then_some(record)
}

/// The seed of all checksums in the frames of one segment.
pub(crate) fn frame_seed(store_id: u128, seq: u64) -> u32 {
    let mut name = Vec::with_capacity(24);
    name.put_u128(store_id);
    name.put_u64(seq);
    crc32(0, &name)
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub header_crc: u32,
    pub payload_crc: u32,
    pub payload_len: u32,
    pub records: u16,
    pub flags: u16,
    pub frame_index: u64,
    pub durable_index: u64,
    pub first_index: u64,
    pub prev_crc: u32,
    pub reserved: u32,
}

impl FrameHeader {
    /// The header's bytes; its own checksum is computed here, whatever `header_crc` says.
    pub(crate) fn encode(&self, seed: u32) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.records.to_le_bytes());
        bytes[14..16].copy_from_slice(&self.flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.frame_index.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable_index.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_index.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.prev_crc.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.reserved.to_le_bytes());
        let crc = crc32(seed, &bytes[4..]);
        bytes[0..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, if it verifies. Zeros never do, as frame indexes start at 1.
    pub(crate) fn decode(bytes: &[u8], seed: u32) -> Option<FrameHeader> {
        let bytes = bytes.get(..FRAME_HEADER_BYTES)?;
        let mut reader = Reader::new(bytes);
        let header = FrameHeader {
            header_crc: reader.u32()?,
            payload_crc: reader.u32()?,
            payload_len: reader.u32()?,
            records: reader.u16()?,
            flags: reader.u16()?,
            frame_index: reader.u64()?,
            durable_index: reader.u64()?,
            first_index: reader.u64()?,
            prev_crc: reader.u32()?,
            reserved: reader.u32()?,
        };
        let verifies = header.durable_index < header.frame_index && header.header_crc == crc32(seed, &bytes[4..]);
        verifies.then_some(header)
    }
}

/// What raft must not forget, repeated in every segment header so that dropping old segments loses nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HardState {
    pub vote_term: u64,
    pub vote_node: u64,
    pub vote_committed: bool,
    pub purged: Position,
    pub committed: Position,
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub store_id: u128,
    pub seq: u64,
    pub epoch: u64,
    pub first_frame: u64,
    pub base: Position,
    pub hard_state: HardState,
}

/// Why the first bytes of a file are not a header that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// It was never written, or it is damaged.
    Invalid,
    /// It is a newer release's.
    TooNew(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u32(FORMAT);
        bytes.put_u32(0);
        bytes.put_u128(self.store_id);
        let hard = &self.hard_state;
        let vote = [hard.vote_term, hard.vote_node, u64::from(hard.vote_committed)];
        for value in [self.seq, self.epoch, self.first_frame, self.base.0, self.base.1].into_iter().chain(vote) {
            bytes.put_u64(value);
        }
        for value in [hard.purged.0, hard.purged.1, hard.committed.0, hard.committed.1] {
            bytes.put_u64(value);
        }
        bytes.resize(SEGMENT_HEADER_BYTES, 0);
        let crc = header_crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.take(MAGIC.len()).filter(|magic| *magic == MAGIC);
        let (Some(_), Some(format), Some(crc)) = (magic, reader.u32(), reader.u32()) else {
            return Err(HeaderError::Invalid);
        };
        if bytes.len() != SEGMENT_HEADER_BYTES || crc != header_crc(bytes) {
            return Err(HeaderError::Invalid);
        }
        if format != FORMAT {
            return Err(HeaderError::TooNew(format));
        }
        decode_header_fields(&mut reader).ok_or(HeaderError::Invalid)
    }
}

fn decode_header_fields(reader: &mut Reader<'_>) -> Option<SegmentHeader> {
    Some(SegmentHeader {
        store_id: reader.u128()?,
        seq: reader.u64()?,
        epoch: reader.u64()?,
        first_frame: reader.u64()?,
        base: (reader.u64()?, reader.u64()?),
        hard_state: HardState {
            vote_term: reader.u64()?,
            vote_node: reader.u64()?,
            vote_committed: reader.u64()? != 0,
            purged: (reader.u64()?, reader.u64()?),
            committed: (reader.u64()?, reader.u64()?),
        },
    })
}

fn header_crc(bytes: &[u8]) -> u32 {
    crc32(crc32(0, &bytes[..12]), &bytes[16..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: [Record<'_>; 6] = [
        Record::Entry { term: 1, index: 2, flags: 0, payload: b"payload" },
        Record::Entry { term: 1, index: 3, flags: 1, payload: b"" },
        Record::Vote { term: 4, node: 5, committed: true },
        Record::Committed { term: 1, index: 2 },
        Record::Truncate { term: 1, index: 2 },
        Record::Purge { term: 0, index: u64::MAX },
    ];

    fn encoded() -> Vec<u8> {
        let mut bytes = Vec::new();
        RECORDS.iter().for_each(|record| record.encode(&mut bytes));
        bytes
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn records_come_back() {
        let bytes = encoded();
        assert_eq!(records(&bytes).collect::<Result<Vec<_>, _>>().unwrap(), RECORDS);
    }

    #[test]
    fn a_newer_release_is_recognized() {
        for (place, value) in [(0, 6), (0, 0), (1, 3), (2, 1), (3, 0x80)] {
            let mut bytes = encoded();
            bytes[place] = value;
            assert_eq!(records(&bytes).next(), Some(Err(RecordError::TooNew)), "byte {place}");
        }
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let mut bytes = encoded();
        bytes.truncate(20);
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut records = records(&bytes);
        assert_eq!(records.next(), Some(Err(RecordError::Malformed)));
        assert_eq!(records.next(), None);
    }

    #[test]
    fn a_body_has_exactly_its_length() {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, KIND_VOTE, 0, (1, 2), |body| body.push(0));
        assert_eq!(records(&bytes).next(), Some(Err(RecordError::Malformed)));
        let short = [KIND_ENTRY, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3];
        assert_eq!(records(&short).next(), Some(Err(RecordError::Malformed)));
    }

    #[test]
    fn golden_segment_header() {
        let header = SegmentHeader {
            store_id: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
            seq: 7,
            epoch: 3,
            first_frame: 42,
            base: (2, 99),
            hard_state: HardState {
                vote_term: 5,
                vote_node: 6,
                vote_committed: true,
                purged: (1, 8),
                committed: (2, 9),
            },
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES);
        assert_eq!(hex(&bytes[..128]), GOLDEN_HEADER);
        assert!(bytes[128..].iter().all(|byte| *byte == 0));
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
    }

    #[test]
    fn every_bit_of_a_segment_header_counts() {
        let header = SegmentHeader {
            store_id: 1,
            seq: 1,
            epoch: 1,
            first_frame: 1,
            base: (0, 0),
            hard_state: HardState::default(),
        };
        let mut bytes = header.encode();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Invalid), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        bytes[8] = 2;
        let crc = header_crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::TooNew(2)));
        assert_eq!(SegmentHeader::decode(&bytes[..20]), Err(HeaderError::Invalid));
    }

    const GOLDEN_HEADER: &str = concat!(
        "6574636c2d6c6f6701000000b04e948e100f0e0d0c0b0a09080706050403020107000000000000000300000000000000",
        "2a0000000000000002000000000000006300000000000000050000000000000006000000000000000100000000000000",
        "0100000000000000080000000000000002000000000000000900000000000000",
    );
}
