//! One immutable sorted file: open, get, find a place, read history, verify.
//!
//! A run is written once, front to back, by [`crate::store::run_writer`], and is never changed. It is found through the
//! catalog, whose [`RunInfo`] also says which part of its keys is to be read from it; merges take whole runs, so that is
//! all of them as yet. Three ways lead into it:
//!
//! ```text
//!   get(key)       hash -> newest entry -> older versions follow it         one miss for the bucket, one for the entry
//!   cursor, range  index -> group of eight entries -> entries in order      about two misses, then a sequential read
//!   history        block bounds -> only blocks with such revisions          24 bytes looked at per skipped block
//! ```
//!
//! # The file
//!
//! | section    | begins at             | contents                                              | checked by               |
//! |------------|-----------------------|-------------------------------------------------------|--------------------------|
//! | entries    | 0                     | `store/block.rs`                                      | block checksums          |
//! | nodes      | next multiple of 64   | separators, `run/index.rs`, levels lowest first       | block checksums          |
//! | bounds     | behind                | block bounds, `run/index.rs`                          | block checksums          |
//! | hash       | next multiple of 64   | buckets, `run/hash.rs`                                | block checksums          |
//! | checksums  | next multiple of 4096 | CRC-32 of each block before, u32                      | `checksums crc`          |
//! | properties | behind                | see below                                             | `properties crc`         |
//! | footer     | next multiple of 4096 | see below; ends the file                              | its own crc, the catalog |
//!
//! Gaps are zeros. Integers are little-endian. Entries are named by offset / 8 in a `u32`: the entries section ends at
//! 32 GiB, and [`Error::TooLarge`] tells the writer of more.
//!
//! Properties: first and last key (varint length, bytes), then varints: lowest and highest mod revision, entries, keys,
//! tombstones, number of garbage points, and of each point its revision and the entries superseded at or below it.
//!
//! | offset | bytes | footer field                     | offset | bytes | footer field                             |
//! |--------|-------|----------------------------------|--------|-------|------------------------------------------|
//! | 0      | 8     | magic, `etclrun\n`               | 72     | 8     | offset of bounds                         |
//! | 8      | 4     | format, 1                        | 80     | 8     | offset of hash                           |
//! | 12     | 4     | zeros                            | 88     | 8     | offset of checksums                      |
//! | 16     | 16    | store id                         | 96     | 8     | offset of properties                     |
//! | 32     | 8     | run id                           | 104    | 8     | bytes of properties                      |
//! | 40     | 8     | bytes of entries                 | 112    | 4     | crc of checksums                         |
//! | 48     | 8     | entries                          | 116    | 4     | crc of properties                        |
//! | 56     | 8     | keys                             | 120    | 3972  | zeros                                    |
//! | 64     | 8     | offset of nodes                  | 4092   | 4     | crc of the footer's bytes before         |
//!
//! Magic, format and the footer's crc keep their places in every format, so that an old release can tell a newer run
//! from a damaged one. Offsets follow from the counts; a footer whose offsets differ is refused.
//!
//! # What is checked when
//!
//! Opening checks the length, the footer (also against the catalog: a stale or foreign file has another crc), checksums
//! and properties. Everything else is checked block by block when it is touched (`run/data.rs`). Damage is
//! [`Error::Corrupt`] for the call that met it. What verifies may still be nonsense if somebody made it so on purpose:
//! each offset is checked against its section before use, so that nonsense cannot become a panic or an endless loop.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::{Error, Result};
use crate::io::{Disk, DiskFile, IoSite, Map, OpenMode, read_exact_at};
use crate::store::block::{self, BLOCK_BYTES, HEADER_BYTES_MAX, Header};
use crate::store::cursor::RunCursor;
use crate::store::entry::{Entry, EntryRef};

pub(super) mod data;
pub(super) mod footer;
pub(super) mod hash;
pub(super) mod index;
mod verify;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;

pub(crate) use hash::key_hash;

use data::{Data, Hold, size};
use footer::{FOOTER_BYTES, Footer, Layout, Properties};
use hash::{BUCKET_BYTES, Bucket};
use index::{BOUNDS_BYTES, Bounds, FANOUT, NODE_BYTES, Node, Target};

/// The entries of a run take at most 32 GiB, since a `u32` counts them in units of 8 bytes.
pub(crate) const ENTRIES_BYTES_MAX: u64 = 8 * (u32::MAX as u64);

/// Versions that are walked over one by one before the index is asked.
pub(super) const VERSIONS_WALKED_MAX: usize = 16;

/// What the catalog knows of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunInfo {
    pub(crate) id: u64,
    /// The lowest key that is to be read from the run: its own first, or above where a part was taken out.
    pub(crate) first_key: Vec<u8>,
    /// The highest key that is to be read from the run.
    pub(crate) last_key: Vec<u8>,
    pub(crate) min_revision: u64,
    pub(crate) max_revision: u64,
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    /// Bytes of the file.
    pub(crate) len: u64,
    pub(crate) footer_crc: u32,
    /// History below this revision was left out when it was written.
    pub(crate) compacted: u64,
    /// Revision, entries superseded at or below it; at most 64 points.
    pub(crate) garbage: Vec<(u64, u64)>,
}

/// The file of a run.
pub(crate) fn run_path(id: u64) -> String {
    format!("run/{id:016x}.run")
}

/// An open run. Invariant: `begin <= end <= layout.entries_len`, both at the newest version of a key or at the end.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) info: RunInfo,
    pub(super) data: Data,
    layout: Layout,
    /// Offset and number of nodes of each level, lowest first.
    levels: Vec<(u64, u64)>,
    /// What the file says of all its entries, whatever part of them `info` leaves.
    properties: Properties,
    /// The entries between `info.first_key` and `info.last_key`.
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// Where [`Run::find`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// All entries of the groups before this one come before the target.
    pub(super) group: u64,
    /// The first entry at or behind the target, or the end of the entries.
    pub(super) offset: u64,
}

impl Run {
    /// Opens a run that the catalog names. With `use_map` it is mapped, if the disk has maps.
    ///
    /// # Errors
    /// `Corrupt`: missing, cut, damaged at its end, or another file than the catalog means. `FormatTooNew`. `Io`.
    pub(crate) fn open(disk: &Arc<dyn Disk>, store_id: u128, info: RunInfo, use_map: bool) -> Result<Run> {
        let path = run_path(info.id);
        let io = |e| Error::io("open", &path, e);
        let file = disk.open(IoSite::RunOpen, &path, OpenMode::Read).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::corrupt(&path, 0, "the catalog names a run that is missing"),
            _ => io(e),
        })?;
        if file.len(IoSite::RunOpen).map_err(io)? != info.len {
            return Err(Error::corrupt(&path, info.len, "length is not the one in the catalog"));
        }
        let map = if use_map { file.map(info.len).map_err(io)? } else { None };
        if map.as_ref().is_some_and(|map| map.len() as u64 != info.len) {
            return Err(Error::corrupt(&path, info.len, "length is not the one in the catalog"));
        }
        let footer_at = info.len.checked_sub(FOOTER_BYTES as u64);
        let footer_at = footer_at.ok_or_else(|| Error::corrupt(&path, 0, "shorter than a footer"))?;
        let footer = open_bytes(&path, &*file, map.as_ref(), footer_at, FOOTER_BYTES as u64)?;
        let footer = Footer::decode(&footer, store_id, &info)?;
        let (checksums, properties) = open_tail(&path, &*file, map.as_ref(), &footer)?;
        let seed = block::checksum_seed(store_id, info.id);
        let data = Data::new(path, file, map, footer.layout.checksums, seed, checksums);
        Run::with_properties(info, data, footer.layout, properties)
    }

    fn with_properties(info: RunInfo, data: Data, layout: Layout, properties: Properties) -> Result<Run> {
        let mut offset = layout.nodes;
        let mut levels = Vec::with_capacity(index::LEVELS_MAX);
        for nodes in index::level_counts(layout.entries) {
            levels.push((offset, nodes));
            offset += nodes * NODE_BYTES as u64;
        }
        let mut run = Run { info, data, layout, levels, properties, begin: 0, end: layout.entries_len };
        // A whole run needs no look at its entries here, and opening does not touch them.
        if run.info.first_key > run.properties.first_key {
            run.begin = run.find(Target::key(&run.info.first_key))?.offset;
        }
        if run.info.last_key < run.properties.last_key {
            run.end = run.find(Target::after(&run.info.last_key))?.offset.max(run.begin);
        }
        Ok(run)
    }

    /// The newest version of `key` at or below `revision`, a tombstone too. `hash` is [`key_hash`] of the key.
    pub(crate) fn get(&self, key: &[u8], hash: u64, revision: u64) -> Result<Option<Entry>> {
        if !self.may_contain(key) {
            return Ok(None);
        }
        let mut hold = Hold::default();
        match self.newest(key, hash, &mut hold)? {
            Some(offset) => self.version_at(key, offset, revision, &mut hold),
            None => Ok(None),
        }
    }

    /// Whether `key` is within the bounds in which this run is to be read.
    #[inline]
    pub(crate) fn may_contain(&self, key: &[u8]) -> bool {
        *self.info.first_key <= *key && *key <= *self.info.last_key
    }

    /// A cursor over the entries within the run's bounds, not yet positioned.
    pub(crate) fn cursor(self: &Arc<Self>, reverse: bool) -> RunCursor {
        RunCursor::new(self.clone(), reverse)
    }

    /// Visits all entries of `[start, end)` with `min_revision <= mod revision <= max_revision`, in sorted order. No end
    /// is `None`. Blocks without such revisions are not looked at.
    pub(crate) fn history(
        self: &Arc<Self>,
        start: &[u8],
        end: Option<&[u8]>,
        min_revision: u64,
        max_revision: u64,
        visit: &mut dyn FnMut(EntryRef<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut offset = self.find(Target::key(start))?.offset.max(self.begin);
        let end = match end {
            Some(end) => self.find(Target::key(end))?.offset.min(self.end),
            None => self.end,
        };
        let (mut block, mut hold) = (None, Hold::default());
        while offset < end {
            if block != Some(offset / BLOCK_BYTES as u64) {
                block = Some(offset / BLOCK_BYTES as u64);
                if let Some(next) = self.skip_blocks(offset, min_revision, max_revision)? {
                    (offset, block) = (next, None);
                    continue;
                }
            }
            let header = self.header(offset, &mut hold)?;
            if (min_revision..=max_revision).contains(&header.mod_revision) {
                visit(self.entry(offset, &header, &mut hold)?)?;
            }
            offset = header.next(offset);
        }
        Ok(())
    }

    /// Reads the whole file once and compares all of it with all of it: each checksum, the order, every count and
    /// property, the bounds of blocks, and that index and hash lead to the newest version of each key. `progress` is
    /// called with the number of bytes verified since the last call.
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<()> {
        verify::verify(self, progress)
    }

    /// If the block of `offset` holds none of the revisions, where the next block's first entry begins.
    fn skip_blocks(&self, offset: u64, min_revision: u64, max_revision: u64) -> Result<Option<u64>> {
        let (block, mut hold) = (offset / BLOCK_BYTES as u64, Hold::default());
        let here = self.bounds(block, &mut hold)?;
        if here.max >= min_revision && here.min <= max_revision {
            return Ok(None);
        }
        for next in block + 1..self.layout.entries_len.div_ceil(BLOCK_BYTES as u64) {
            match self.bounds(next, &mut hold)?.first() {
                Some(first) if first / BLOCK_BYTES as u64 == next => return Ok(Some(first)),
                Some(_) => return Err(self.data.corrupt(offset, "bounds of a block name another block")),
                None => {}
            }
        }
        Ok(Some(self.layout.entries_len))
    }

    fn bounds(&self, block: u64, hold: &mut Hold) -> Result<Bounds> {
        let offset = self.layout.bounds + block * BOUNDS_BYTES as u64;
        let bytes = self.data.read(offset, BOUNDS_BYTES, hold)?;
        Bounds::decode(bytes).ok_or_else(|| self.data.corrupt(offset, "bounds of a block are cut"))
    }

    /// Asks the hash where the newest version of `key` is.
    #[inline]
    fn newest(&self, key: &[u8], hash: u64, hold: &mut Hold) -> Result<Option<u64>> {
        let buckets = hash::bucket_count(self.layout.keys);
        let high = hash::high_half(hash);
        let mut number = hash::home(high, buckets);
        for _ in 0..buckets {
            let bucket = self.bucket(number, hold)?;
            for entry in bucket.matches(hash::tag(high)) {
                let offset = u64::from(entry) * 8;
                let header = self.header(offset, hold)?;
                if self.entry(offset, &header, hold)?.key == key {
                    return Ok(Some(offset));
                }
            }
            if !bucket.overflows() {
                return Ok(None);
            }
            number = (number + 1) % buckets;
        }
        Ok(None)
    }

    fn bucket(&self, number: u64, hold: &mut Hold) -> Result<Bucket> {
        let offset = self.layout.hash + number * BUCKET_BYTES as u64;
        let bytes = self.data.read(offset, BUCKET_BYTES, hold)?;
        Ok(Bucket(*bytes.first_chunk().ok_or_else(|| self.data.corrupt(offset, "a bucket is cut"))?))
    }

    /// The version of `key` at `revision`, given where its newest one is.
    fn version_at(&self, key: &[u8], newest: u64, revision: u64, hold: &mut Hold) -> Result<Option<Entry>> {
        let mut offset = newest;
        for _ in 0..VERSIONS_WALKED_MAX {
            let header = self.header(offset, hold)?;
            if offset != newest && header.newest {
                return Ok(None);
            }
            if header.mod_revision <= revision {
                return Ok(Some(self.entry(offset, &header, hold)?.to_entry()));
            }
            offset = header.next(offset);
            if offset >= self.layout.entries_len {
                return Ok(None);
            }
        }
        let offset = self.find(Target { key, revision: Some(revision) })?.offset;
        if offset >= self.layout.entries_len {
            return Ok(None);
        }
        let header = self.header(offset, hold)?;
        let entry = self.entry(offset, &header, hold)?;
        Ok((entry.key == key).then(|| entry.to_entry()))
    }

    /// The first entry of the file that does not come before `target`.
    pub(super) fn find(&self, target: Target<'_>) -> Result<Found> {
        if *target.key < *self.properties.first_key {
            return Ok(Found { group: 0, offset: 0 });
        }
        if *target.key > *self.properties.last_key {
            return Ok(Found { group: self.groups() - 1, offset: self.layout.entries_len });
        }
        let mut number = 0;
        for level in (0..self.levels.len()).rev() {
            number = number * FANOUT + self.slot(level, number, &target)?;
        }
        let mut offset = self.group_start(number)?;
        let mut hold = Hold::default();
        while offset < self.layout.entries_len {
            let header = self.header(offset, &mut hold)?;
            if !target.is_after(self.entry(offset, &header, &mut hold)?.key, header.mod_revision) {
                break;
            }
            offset = header.next(offset);
        }
        Ok(Found { group: number, offset })
    }

    /// The last separator of a node that comes before the target; 0 if none does.
    #[inline]
    fn slot(&self, level: usize, number: u64, target: &Target<'_>) -> Result<u64> {
        let mut hold = Hold::default();
        let node = self.node(level, number, &mut hold)?;
        let (mut below, mut at_or_below) = node.rank(index::head(target.key, node.skip()));
        // Between the two, eight bytes did not tell: ask the entries.
        let mut entry_hold = Hold::default();
        while below < at_or_below {
            let middle = below.midpoint(at_or_below);
            let offset = node.entry(middle);
            let header = self.header(offset, &mut entry_hold)?;
            let entry = self.entry(offset, &header, &mut entry_hold)?;
            if target.is_after(entry.key, entry.mod_revision) {
                below = middle + 1;
            } else {
                at_or_below = middle;
            }
        }
        Ok(below.saturating_sub(1) as u64)
    }

    fn node<'a>(&'a self, level: usize, number: u64, hold: &'a mut Hold) -> Result<Node<'a>> {
        let (start, count) = self.levels[level];
        if number >= count {
            return Err(self.data.corrupt(start, "the index names a node that is not there"));
        }
        let offset = start + number * NODE_BYTES as u64;
        let bytes = self.data.read(offset, NODE_BYTES, hold)?;
        Ok(Node(bytes.first_chunk().ok_or_else(|| self.data.corrupt(offset, "a node is cut"))?))
    }

    /// How many groups of eight entries there are; at least one.
    pub(super) fn groups(&self) -> u64 {
        self.layout.entries.div_ceil(index::GROUP)
    }

    /// Where a group begins. Groups behind the last begin at the end of the entries.
    pub(super) fn group_start(&self, group: u64) -> Result<u64> {
        if group >= self.groups() {
            return Ok(self.layout.entries_len);
        }
        let mut hold = Hold::default();
        let node = self.node(0, group / FANOUT, &mut hold)?;
        let slot = size(group % FANOUT);
        if slot >= node.count() {
            return Err(self.data.corrupt(self.levels[0].0, "a node holds too few separators"));
        }
        Ok(node.entry(slot))
    }

    /// The head of the entry at `offset`.
    #[inline]
    pub(super) fn header(&self, offset: u64, hold: &mut Hold) -> Result<Header> {
        let room = self.layout.entries_len.saturating_sub(offset);
        if room == 0 {
            return Err(self.data.corrupt(offset, "an offset points behind the entries"));
        }
        let bytes = self.data.read(offset, size(room).min(HEADER_BYTES_MAX), hold)?;
        let header = Header::decode(bytes).ok_or_else(|| self.data.corrupt(offset, "not an entry"))?;
        if header.len as u64 > room {
            return Err(self.data.corrupt(offset, "an entry is longer than its section"));
        }
        Ok(header)
    }

    /// The entry at `offset`, whose head is `header`.
    #[inline]
    pub(super) fn entry<'a>(&'a self, offset: u64, header: &Header, hold: &'a mut Hold) -> Result<EntryRef<'a>> {
        let bytes = self.data.read(offset, header.len, hold)?;
        header.entry(bytes).ok_or_else(|| self.data.corrupt(offset, "an entry is cut"))
    }
}

/// Part of the file, not checked, for what has its own checksum.
fn open_bytes<'a>(
    path: &str,
    file: &dyn DiskFile,
    map: Option<&'a Map>,
    offset: u64,
    len: u64,
) -> Result<Cow<'a, [u8]>> {
    if let Some(map) = map {
        let bytes = map.get(size(offset)..size(offset.saturating_add(len)));
        return bytes.map(Cow::Borrowed).ok_or_else(|| Error::corrupt(path, offset, "the map is too short"));
    }
    let mut bytes = vec![0; size(len)];
    read_exact_at(file, IoSite::RunOpen, &mut bytes, offset).map_err(|e| Error::io("read", path, e))?;
    Ok(Cow::Owned(bytes))
}

/// Checksums (empty with a map, which has them) and properties of a run whose footer is good.
fn open_tail(path: &str, file: &dyn DiskFile, map: Option<&Map>, footer: &Footer) -> Result<(Vec<u8>, Properties)> {
    let layout = &footer.layout;
    let tail = open_bytes(path, file, map, layout.checksums, layout.footer - layout.checksums)?;
    let (checksums, properties) = tail.split_at(size(layout.properties - layout.checksums).min(tail.len()));
    let properties = properties.get(..size(layout.properties_len)).unwrap_or_default();
    if codec::crc32(0, checksums) != footer.checksums_crc {
        return Err(Error::corrupt(path, layout.checksums, "checksum of the checksums does not match"));
    }
    if codec::crc32(0, properties) != footer.properties_crc {
        return Err(Error::corrupt(path, layout.properties, "checksum of the properties does not match"));
    }
    let properties = Properties::decode(properties).filter(|properties| {
        properties.first_key <= properties.last_key
            && (properties.entries, properties.keys) == (layout.entries, layout.keys)
    });
    let properties = properties.ok_or_else(|| Error::corrupt(path, layout.properties, "properties make no sense"))?;
    Ok((if map.is_some() { Vec::new() } else { checksums.to_vec() }, properties))
}
