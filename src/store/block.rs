//! What the first section of a run is made of: encoded entries, and the 4 KiB blocks that are checked as a whole.
//!
//! # An entry
//!
//! Entries follow each other in sorted order: stored key ascending, then (mod revision, sub) descending, so the newest
//! version of a key comes first. Each begins at a multiple of 8, which lets the index and the hash name it by a `u32`.
//!
//! | bytes  | field         | meaning                                                                       |
//! |--------|---------------|-------------------------------------------------------------------------------|
//! | 1      | flags         | 1 tombstone, 2 newest of its key in this run, 4 lease present, 8 sub present  |
//! | varint | mod revision  |                                                                               |
//! | varint | create delta  | mod revision - create revision, modulo 2^64                                   |
//! | varint | version       |                                                                               |
//! | varint | key length    | of the stored key, space byte included                                        |
//! | varint | value length  |                                                                               |
//! | 0 or 8 | lease         | signed, little-endian; absent means 0                                         |
//! | varint | sub           | absent means 0                                                                |
//! |        | key           |                                                                               |
//! |        | value         |                                                                               |
//! | 0..7   | zeros         | up to a multiple of 8                                                         |
//!
//! Unknown flags are damage: a release that adds one raises the format number of the run.
//!
//! # A block
//!
//! A block is 4 KiB of the file wherever it falls; entries, index nodes and hash buckets cross blocks freely. What is
//! checked is the block, so a read verifies the blocks that it touches and nothing else. The checksum is CRC-32 with a
//! seed made of store id, run id and block number: a block of another store, of another run or of another place never
//! verifies, however intact it is.

use crate::codec::{self, Reader, Write};
use crate::store::entry::EntryRef;

/// The unit of checking, in bytes.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// Entries begin at multiples of this many bytes.
pub(crate) const ENTRY_ALIGN: u64 = 8;

/// No header is longer than this: a flag byte, five varints of ten bytes, the lease, a varint of five.
pub(crate) const HEADER_BYTES_MAX: usize = 64;

const TOMBSTONE: u8 = 1;
const NEWEST: u8 = 2;
const LEASE: u8 = 4;
const SUB: u8 = 8;

/// The decoded head of an entry: everything but the bytes of key and value, and where those are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) mod_revision: u64,
    pub(crate) create_revision: u64,
    pub(crate) version: u64,
    pub(crate) lease: i64,
    pub(crate) sub: u32,
    pub(crate) tombstone: bool,
    /// No newer version of this key precedes it in the run.
    pub(crate) newest: bool,
    header_len: usize,
    key_len: usize,
    /// Bytes of the entry without its padding.
    pub(crate) len: usize,
}

impl Header {
    /// Decodes the front of `bytes`, which need not hold key and value. `None` if it is no header.
    #[inline]
    pub(crate) fn decode(bytes: &[u8]) -> Option<Header> {
        let (&flags, mut rest) = bytes.split_first()?;
        let mod_revision = varint(&mut rest)?;
        let create_delta = varint(&mut rest)?;
        let version = varint(&mut rest)?;
        let key_len = usize::try_from(varint(&mut rest)?).ok()?;
        let value_len = usize::try_from(varint(&mut rest)?).ok()?;
        let mut lease = 0;
        if flags & LEASE != 0 {
            let (bytes, tail) = rest.split_first_chunk()?;
            (lease, rest) = (i64::from_le_bytes(*bytes), tail);
        }
        let sub = if flags & SUB == 0 { 0 } else { u32::try_from(varint(&mut rest)?).ok()? };
        if flags & !(TOMBSTONE | NEWEST | LEASE | SUB) != 0 {
            return None;
        }
        let header_len = bytes.len() - rest.len();
        let len = header_len.checked_add(key_len)?.checked_add(value_len)?;
        Some(Header {
            mod_revision,
            create_revision: mod_revision.wrapping_sub(create_delta),
            version,
            lease,
            sub,
            tombstone: flags & TOMBSTONE != 0,
            newest: flags & NEWEST != 0,
            header_len,
            key_len,
            len,
        })
    }

    /// The entry whose `len` bytes are `bytes`; `None` if they are fewer.
    #[inline]
    pub(crate) fn entry<'a>(&self, bytes: &'a [u8]) -> Option<EntryRef<'a>> {
        let key_end = self.header_len + self.key_len;
        Some(EntryRef {
            key: bytes.get(self.header_len..key_end)?,
            value: bytes.get(key_end..self.len)?,
            mod_revision: self.mod_revision,
            sub: self.sub,
            create_revision: self.create_revision,
            version: self.version,
            lease: self.lease,
            tombstone: self.tombstone,
        })
    }

    /// Where the entry after this one begins, if this one begins at `offset`.
    #[inline]
    pub(crate) fn next(&self, offset: u64) -> u64 {
        (offset.saturating_add(self.len as u64)).saturating_add(ENTRY_ALIGN - 1) & !(ENTRY_ALIGN - 1)
    }
}

/// As [`Reader::varint`], but straight for short ones, which nearly all are.
#[inline]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let (value, tail) = match **rest {
        [a, ref tail @ ..] if a < 0x80 => (u64::from(a), tail),
        [a, b, ref tail @ ..] if b < 0x80 => (join([a, b, 0, 0]), tail),
        [a, b, c, ref tail @ ..] if c < 0x80 => (join([a, b, c, 0]), tail),
        [a, b, c, d, ref tail @ ..] if d < 0x80 => (join([a, b, c, d]), tail),
        _ => return long_varint(rest),
    };
    *rest = tail;
    Some(value)
}

#[inline(never)]
fn long_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut reader = Reader::new(rest);
    let value = reader.varint()?;
    *rest = &rest[rest.len() - reader.remaining()..];
    Some(value)
}

/// Seven bits of each byte, lowest first.
#[inline]
fn join(bytes: [u8; 4]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

/// Appends an entry to `out`, whose length is a multiple of 8 before and after.
pub(crate) fn encode(entry: EntryRef<'_>, newest: bool, out: &mut Vec<u8>) {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.put_u8(
        flag(entry.tombstone, TOMBSTONE)
            | flag(newest, NEWEST)
            | flag(entry.lease != 0, LEASE)
            | flag(entry.sub != 0, SUB),
    );
    out.put_varint(entry.mod_revision);
    out.put_varint(entry.mod_revision.wrapping_sub(entry.create_revision));
    out.put_varint(entry.version);
    out.put_varint(entry.key.len() as u64);
    out.put_varint(entry.value.len() as u64);
    if entry.lease != 0 {
        out.put_u64(entry.lease.cast_unsigned());
    }
    if entry.sub != 0 {
        out.put_varint(u64::from(entry.sub));
    }
    out.put_slice(entry.key);
    out.put_slice(entry.value);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// The seed of a run's block checksums.
pub(crate) fn checksum_seed(store_id: u128, run_id: u64) -> u32 {
    codec::crc32(codec::crc32(0, &store_id.to_le_bytes()), &run_id.to_le_bytes())
}

/// The checksum of the block with this number.
#[allow(clippy::cast_possible_truncation, reason = "a seed; 2^32 blocks of one file do not exist")]
pub(crate) fn block_checksum(seed: u32, block: u64, bytes: &[u8]) -> u32 {
    codec::crc32(seed.wrapping_add(block as u32), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> EntryRef<'static> {
        EntryRef {
            key: b"\x01key",
            mod_revision: 300,
            sub: 7,
            create_revision: 299,
            version: 2,
            lease: -5,
            tombstone: false,
            value: b"value",
        }
    }

    #[test]
    fn entries_come_back() {
        let plain = EntryRef { sub: 0, lease: 0, create_revision: 0, tombstone: true, value: b"", ..sample() };
        let wide = EntryRef {
            mod_revision: u64::MAX,
            create_revision: 1,
            version: u64::MAX,
            lease: i64::MIN,
            sub: u32::MAX,
            ..sample()
        };
        for (entry, newest) in [(sample(), true), (plain, false), (wide, true)] {
            let mut bytes = Vec::new();
            encode(entry, newest, &mut bytes);
            assert_eq!(bytes.len() % 8, 0);
            let header = Header::decode(&bytes).unwrap();
            assert!(header.header_len <= HEADER_BYTES_MAX);
            assert_eq!(header.newest, newest);
            assert_eq!(header.entry(&bytes), Some(entry));
            assert_eq!(header.next(16), 16 + bytes.len() as u64);
        }
    }

    #[test]
    fn a_header_is_not_trusted() {
        let mut bytes = Vec::new();
        encode(sample(), true, &mut bytes);
        for len in 0..10 {
            assert_eq!(Header::decode(&bytes[..len]).and_then(|h| h.entry(&bytes[..len])), None);
        }
        bytes[0] |= 0x80;
        assert_eq!(Header::decode(&bytes), None);
        let mut huge = vec![0, 1, 0, 1];
        huge.put_varint(u64::MAX);
        huge.put_varint(u64::MAX);
        assert_eq!(Header::decode(&huge), None);
    }

    #[test]
    fn a_checksum_names_its_place() {
        let (block, ours) = ([7u8; BLOCK_BYTES], checksum_seed(1, 2));
        let sum = block_checksum(ours, 0, &block);
        assert_ne!(sum, block_checksum(ours, 1, &block));
        assert_ne!(sum, block_checksum(checksum_seed(1, 3), 0, &block));
        assert_ne!(sum, block_checksum(checksum_seed(2, 2), 0, &block));
    }
}
