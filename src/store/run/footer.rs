//! The end of a run: layout, properties and footer. Their byte tables are in the documentation of [`crate::store::run`].

use crate::codec::{self, Reader, Write};
use crate::error::{Error, Result};
use crate::store::block::BLOCK_BYTES;
use crate::store::entry::EntryRef;
use crate::store::run::hash::{BUCKET_BYTES, bucket_count};
use crate::store::run::index::{BOUNDS_BYTES, NODE_BYTES, level_counts};
use crate::store::run::{ENTRIES_BYTES_MAX, RunInfo};

/// Bytes of the footer.
pub(crate) const FOOTER_BYTES: usize = BLOCK_BYTES;

/// The format that this release writes, and the newest that it reads.
const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"etclrun\n";

/// The footer's own checksum is its last field.
const CRC_AT: usize = FOOTER_BYTES - 4;

/// Points of a garbage sketch.
pub(crate) const GARBAGE_POINTS_MAX: usize = 64;

/// Where the sections of a run begin. All of it follows from three counts and the length of the properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) entries_len: u64,
    pub(crate) entries: u64,
    pub(crate) keys: u64,
    pub(crate) nodes: u64,
    pub(crate) bounds: u64,
    pub(crate) hash: u64,
    /// The checksums; everything before is what they cover.
    pub(crate) checksums: u64,
    pub(crate) properties: u64,
    pub(crate) properties_len: u64,
    pub(crate) footer: u64,
}

impl Layout {
    /// `None` if no run has such counts.
    pub(crate) fn new(entries_len: u64, entries: u64, keys: u64, properties_len: u64) -> Option<Layout> {
        let plausible = entries_len <= ENTRIES_BYTES_MAX
            && entries_len.is_multiple_of(8)
            && (1..=entries_len / 8).contains(&entries)
            && (1..=entries).contains(&keys)
            && properties_len <= ENTRIES_BYTES_MAX;
        if !plausible {
            return None;
        }
        let block = BLOCK_BYTES as u64;
        let nodes = entries_len.next_multiple_of(64);
        let bounds = nodes + level_counts(entries).iter().sum::<u64>() * NODE_BYTES as u64;
        let hash = (bounds + entries_len.div_ceil(block) * BOUNDS_BYTES as u64).next_multiple_of(64);
        let checksums = (hash + bucket_count(keys) * BUCKET_BYTES as u64).next_multiple_of(block);
        let properties = checksums + checksums / block * 4;
        let footer = (properties + properties_len).next_multiple_of(block);
        Some(Layout { entries_len, entries, keys, nodes, bounds, hash, checksums, properties, properties_len, footer })
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.footer + FOOTER_BYTES as u64
    }
}

/// The last block of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) store_id: u128,
    pub(crate) run_id: u64,
    pub(crate) layout: Layout,
    pub(crate) checksums_crc: u32,
    pub(crate) properties_crc: u32,
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u32(FORMAT);
        bytes.put_u32(0);
        bytes.put_u128(self.store_id);
        bytes.put_u64(self.run_id);
        let layout = &self.layout;
        for number in [layout.entries_len, layout.entries, layout.keys, layout.nodes, layout.bounds] {
            bytes.put_u64(number);
        }
        for number in [layout.hash, layout.checksums, layout.properties, layout.properties_len] {
            bytes.put_u64(number);
        }
        bytes.put_u32(self.checksums_crc);
        bytes.put_u32(self.properties_crc);
        bytes.resize(CRC_AT, 0);
        bytes.put_u32(codec::crc32(0, &bytes));
        bytes
    }

    /// Decodes and checks a footer against what the catalog says of the run.
    pub(crate) fn decode(bytes: &[u8], store_id: u128, info: &RunInfo) -> Result<Footer> {
        let at = info.len.saturating_sub(FOOTER_BYTES as u64);
        let path = || super::run_path(info.id);
        let corrupt = |what| Error::corrupt(path(), at, what);
        let crc = footer_crc(bytes).ok_or_else(|| corrupt("footer is too short"))?;
        if codec::crc32(0, &bytes[..CRC_AT]) != crc {
            return Err(corrupt("checksum of the footer does not match"));
        }
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len()) != Some(MAGIC) {
            return Err(corrupt("not the footer of a run"));
        }
        match reader.u32() {
            Some(FORMAT) => {}
            Some(format) if format > FORMAT => return Err(Error::FormatTooNew { file: path().into(), format }),
            _ => return Err(corrupt("format that never was")),
        }
        let footer = Footer::fields(&mut reader).ok_or_else(|| corrupt("sections do not fit together"))?;
        if footer.store_id != store_id {
            return Err(corrupt("run of another store"));
        }
        if footer.run_id != info.id {
            return Err(corrupt("another run under this name"));
        }
        if crc != info.footer_crc {
            return Err(corrupt("not the run that the catalog names"));
        }
        if footer.layout.file_len() != info.len {
            return Err(corrupt("sections do not fit the file"));
        }
        Ok(footer)
    }

    /// What follows the format number; `None` unless the sections are where the counts put them.
    fn fields(reader: &mut Reader<'_>) -> Option<Footer> {
        reader.u32()?;
        let (store_id, run_id) = (reader.u128()?, reader.u64()?);
        let (entries_len, entries, keys) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let stored = [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?];
        let layout = Layout::new(entries_len, entries, keys, reader.u64()?)?;
        let expected = [layout.nodes, layout.bounds, layout.hash, layout.checksums, layout.properties];
        let (checksums_crc, properties_crc) = (reader.u32()?, reader.u32()?);
        (stored == expected).then_some(Footer { store_id, run_id, layout, checksums_crc, properties_crc })
    }
}

/// The checksum that a footer carries: it identifies the run's whole contents.
pub(crate) fn footer_crc(footer: &[u8]) -> Option<u32> {
    footer.get(CRC_AT..FOOTER_BYTES).and_then(|crc| Some(u32::from_le_bytes(crc.try_into().ok()?)))
}

/// What a run says of its own entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) first_key: Vec<u8>,
    pub(crate) last_key: Vec<u8>,
    pub(crate) min_revision: u64,
    pub(crate) max_revision: u64,
    pub(crate) entries: u64,
    pub(crate) keys: u64,
    pub(crate) tombstones: u64,
    pub(crate) garbage: Vec<(u64, u64)>,
}

impl Properties {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_bytes(&self.first_key);
        bytes.put_bytes(&self.last_key);
        for number in [self.min_revision, self.max_revision, self.entries, self.keys, self.tombstones] {
            bytes.put_varint(number);
        }
        bytes.put_varint(self.garbage.len() as u64);
        for (revision, count) in &self.garbage {
            bytes.put_varint(*revision);
            bytes.put_varint(*count);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Properties> {
        let mut reader = Reader::new(bytes);
        let mut properties = Properties {
            first_key: reader.bytes()?.to_vec(),
            last_key: reader.bytes()?.to_vec(),
            min_revision: reader.varint()?,
            max_revision: reader.varint()?,
            entries: reader.varint()?,
            keys: reader.varint()?,
            tombstones: reader.varint()?,
            garbage: Vec::new(),
        };
        let points = reader.varint()?;
        if points > GARBAGE_POINTS_MAX as u64 {
            return None;
        }
        for _ in 0..points {
            properties.garbage.push((reader.varint()?, reader.varint()?));
        }
        reader.is_empty().then_some(properties)
    }
}

/// Counts entries in sorted order into [`Properties`]: while writing, and again when a run is verified.
#[derive(Default)]
pub(crate) struct Tally {
    properties: Properties,
    garbage: GarbageSketch,
    /// The entry before: its key is `properties.last_key`.
    last: (u64, u32),
}

impl Tally {
    /// Counts one more entry and says whether it is the newest of its key; `None` if it is out of order.
    pub(crate) fn push(&mut self, entry: EntryRef<'_>) -> Option<bool> {
        let properties = &mut self.properties;
        let place = (entry.mod_revision, entry.sub);
        let newest = properties.entries == 0 || *entry.key != *properties.last_key;
        if properties.entries == 0 {
            properties.first_key = entry.key.to_vec();
            properties.min_revision = u64::MAX;
        } else if !newest {
            if place >= self.last {
                return None;
            }
            // Two changes in one revision: the older one is needed at it, and no more above it.
            let superseded = self.last.0 + u64::from(self.last.0 == entry.mod_revision);
            self.garbage.push(superseded);
        } else if *entry.key < *properties.last_key {
            return None;
        }
        if newest {
            properties.last_key.clear();
            properties.last_key.extend_from_slice(entry.key);
            properties.keys += 1;
        }
        properties.entries += 1;
        properties.tombstones += u64::from(entry.tombstone);
        properties.min_revision = properties.min_revision.min(entry.mod_revision);
        properties.max_revision = properties.max_revision.max(entry.mod_revision);
        self.last = place;
        Some(newest)
    }

    pub(crate) fn entries(&self) -> u64 {
        self.properties.entries
    }

    pub(crate) fn finish(mut self) -> Properties {
        self.properties.garbage = self.garbage.finish();
        self.properties
    }
}

/// How many entries are superseded at or below a revision, in bounded memory.
///
/// Where points are joined, counts move up to the higher revision: between two points the sketch says less than the
/// truth, never more.
#[derive(Default)]
struct GarbageSketch {
    /// Revision, entries superseded there.
    points: Vec<(u64, u64)>,
}

impl GarbageSketch {
    const POINTS_OPEN_MAX: usize = 8192;

    fn push(&mut self, revision: u64) {
        if self.points.len() == Self::POINTS_OPEN_MAX {
            self.shrink(Self::POINTS_OPEN_MAX / 4);
        }
        self.points.push((revision, 1));
    }

    /// Joins points until at most `max` are left, each with about as many entries as the others.
    fn shrink(&mut self, max: usize) {
        self.points.sort_unstable();
        let total: u64 = self.points.iter().map(|(_, count)| count).sum();
        let (distinct, per_point) = (self.points.chunk_by(|a, b| a.0 == b.0).count(), total.div_ceil(max as u64));
        let per_point = if distinct <= max { 1 } else { per_point };
        let mut joined = Vec::with_capacity(max);
        let mut count = 0;
        for same in self.points.chunk_by(|a, b| a.0 == b.0) {
            count += same.iter().map(|(_, count)| count).sum::<u64>();
            if count >= per_point {
                joined.push((same[0].0, std::mem::take(&mut count)));
            }
        }
        if let (true, Some(last)) = (count > 0, self.points.last()) {
            joined.push((last.0, count));
        }
        self.points = joined;
    }

    fn finish(mut self) -> Vec<(u64, u64)> {
        self.shrink(GARBAGE_POINTS_MAX);
        let mut below = 0;
        self.points.iter_mut().for_each(|(_, count)| {
            below += *count;
            *count = below;
        });
        self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_is_exact_while_it_has_room() {
        let mut sketch = GarbageSketch::default();
        [5, 3, 5, 9].into_iter().for_each(|revision| sketch.push(revision));
        assert_eq!(sketch.finish(), [(3, 1), (5, 3), (9, 4)]);
    }

    #[test]
    fn a_sketch_never_says_too_much() {
        let mut sketch = GarbageSketch::default();
        let mut all = Vec::new();
        for i in 0..50_000u64 {
            let revision = (i * i) % 10_007;
            sketch.push(revision);
            all.push(revision);
        }
        all.sort_unstable();
        let points = sketch.finish();
        assert!(points.len() <= GARBAGE_POINTS_MAX && points.len() > GARBAGE_POINTS_MAX / 2);
        assert_eq!(points.last(), Some(&(*all.last().unwrap(), 50_000)));
        for (revision, count) in points {
            let truth = all.partition_point(|r| *r <= revision) as u64;
            assert!(count <= truth && count + 5_000 > truth, "{revision}: {count} of {truth}");
        }
    }

    #[test]
    fn counts_that_cannot_be_have_no_layout() {
        assert!(Layout::new(8, 1, 1, 10).is_some());
        for (len, entries, keys) in [(0, 0, 0), (8, 2, 1), (8, 1, 2), (12, 1, 1), (8, 1, 0), (u64::MAX, 1, 1)] {
            assert_eq!(Layout::new(len, entries, keys, 10), None);
        }
        assert!(Layout::new(ENTRIES_BYTES_MAX, ENTRIES_BYTES_MAX / 8, ENTRIES_BYTES_MAX / 8, 0).is_some());
    }
}
