//! The index section of a run: from a key to its place in sorted order, and from a block to the revisions in it.
//!
//! # Separators
//!
//! Every eighth entry is a **separator**; the eight entries from one on are a **group**. Separators are the leaves of a
//! tree with fanout 15: node `n` of level 0 holds separators `15 n ..`, node `n` of level `l` the first separators of the
//! nodes `15 n ..` of level `l - 1`. Children are found by counting, so a node holds no pointers to them; it is three
//! cache lines:
//!
//! | offset | bytes | field   | meaning                                                                               |
//! |--------|-------|---------|---------------------------------------------------------------------------------------|
//! | 0      | 120   | heads   | of each separator: 8 bytes of its key from `skip` on, big-endian value, zero-filled   |
//! | 120    | 60    | entries | of each separator: the offset of its entry / 8, u32                                   |
//! | 180    | 4     | skip    | length of what all keys of the node have in common                                    |
//! | 184    | 4     | count   | separators used; the heads of the others are all ones                                 |
//! | 188    | 4     | zeros   |                                                                                       |
//!
//! ```text
//!   config/a .. config/b | config/m .. job/17 |          root: skip 0, since "config/a" and "job/.." share nothing
//!   ^skip 7, heads "a", "aa", ..                         below: 7 bytes that all keys of the node share are not stored
//! ```
//!
//! A node keeps heads, not keys: `skip` is what its first key shares with the first key of the next node (or with the
//! last key of the run). A key that the search brings to this node lies between the two, so it shares these bytes as
//! well and only its next eight are compared: fifteen integers, no branch. Only where heads are equal, the keys of the
//! entries themselves are asked. A seek in a million entries looks at five nodes, three of them always cached.
//!
//! # Block bounds
//!
//! After the nodes, for each block of the entries section:
//!
//! | offset | bytes | field | meaning                                                                             |
//! |--------|-------|-------|-------------------------------------------------------------------------------------|
//! | 0      | 8     | min   | lowest mod revision of the entries that begin in the block; all ones if none does    |
//! | 8      | 8     | max   | highest; 0 if none does                                                             |
//! | 16     | 4     | first | offset of the first entry that begins in the block, / 8; all ones if none does      |
//! | 20     | 4     | zeros |                                                                                     |

use crate::codec::{Reader, Write};
use crate::store::block::BLOCK_BYTES;
use crate::store::run::data::size;

/// Bytes of a node.
pub(crate) const NODE_BYTES: usize = 192;

/// Separators of a node.
pub(crate) const FANOUT: u64 = 15;

/// Entries of a group.
pub(crate) const GROUP: u64 = 8;

/// More levels than the largest run has: 8 × 15^9 entries.
pub(crate) const LEVELS_MAX: usize = 10;

/// Bytes of the bounds of one block.
pub(crate) const BOUNDS_BYTES: usize = 24;

const SLOTS: usize = 15;
const ENTRIES: usize = 120;
const SKIP: usize = 180;
const COUNT: usize = 184;

/// A place in sorted order to look for: the first entry that does not come before it.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) key: &'a [u8],
    /// The newest version at or below this revision; `None` is behind all versions of the key.
    pub(crate) revision: Option<u64>,
}

impl<'a> Target<'a> {
    /// The newest version of `key`, or what follows where it would be.
    pub(crate) fn key(key: &'a [u8]) -> Self {
        Target { key, revision: Some(u64::MAX) }
    }

    /// What follows the oldest version of `key`.
    pub(crate) fn after(key: &'a [u8]) -> Self {
        Target { key, revision: None }
    }

    /// Whether an entry comes before this place.
    #[inline]
    pub(crate) fn is_after(&self, key: &[u8], mod_revision: u64) -> bool {
        match key.cmp(self.key) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => self.revision.is_none_or(|revision| mod_revision > revision),
            std::cmp::Ordering::Greater => false,
        }
    }
}

/// A node as it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a>(pub(crate) &'a [u8; NODE_BYTES]);

impl Node<'_> {
    /// Bytes that all keys of the node share.
    #[inline]
    pub(crate) fn skip(&self) -> usize {
        size(self.number(SKIP).into())
    }

    /// Separators used.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        size(self.number(COUNT).into()).min(SLOTS)
    }

    /// How many heads are below `head`, and how many at or below it.
    #[inline]
    pub(crate) fn rank(&self, head: u64) -> (usize, usize) {
        let (mut below, mut at_or_below) = (0, 0);
        for stored in self.0[..ENTRIES].as_chunks::<8>().0 {
            let stored = u64::from_le_bytes(*stored);
            below += usize::from(stored < head);
            at_or_below += usize::from(stored <= head);
        }
        (below.min(self.count()), at_or_below.min(self.count()))
    }

    /// Where the entry of a separator begins, in bytes.
    #[inline]
    pub(crate) fn entry(&self, slot: usize) -> u64 {
        u64::from(self.number(ENTRIES + slot.min(SLOTS - 1) * 4)) * 8
    }

    #[inline]
    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
}

/// The eight bytes of `key` from `skip` on, as a number that sorts as they do.
#[inline]
pub(crate) fn head(key: &[u8], skip: usize) -> u64 {
    let rest = key.get(skip..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            eight[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(eight)
        }
    }
}

/// How many nodes each level has, lowest first, for so many entries.
pub(crate) fn level_counts(entries: u64) -> Vec<u64> {
    let mut counts = vec![entries.div_ceil(GROUP).div_ceil(FANOUT)];
    while let Some(&last) = counts.last()
        && last > 1
    {
        counts.push(last.div_ceil(FANOUT));
    }
    counts
}

/// Builds the nodes while the entries are written; of each level it remembers the keys of one node.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    levels: Vec<Level>,
    entries: u64,
}

#[derive(Default)]
struct Level {
    nodes: Vec<u8>,
    /// The separators of the node being filled: key, entry offset / 8.
    open: Vec<(Vec<u8>, u32)>,
}

impl IndexBuilder {
    pub(crate) fn push(&mut self, key: &[u8], entry: u32) {
        if self.entries.is_multiple_of(GROUP) {
            self.separator(0, key.to_vec(), entry);
        }
        self.entries += 1;
    }

    /// The nodes of all levels, lowest first.
    pub(crate) fn build(mut self, last_key: &[u8]) -> Vec<u8> {
        let mut section = Vec::new();
        for level in 0..level_counts(self.entries).len() {
            self.close(level, last_key);
            section.append(&mut self.levels[level].nodes);
        }
        section
    }

    fn separator(&mut self, level: usize, key: Vec<u8>, entry: u32) {
        if self.levels.len() == level {
            self.levels.push(Level::default());
        }
        if self.levels[level].open.len() == SLOTS {
            self.close(level, &key);
        }
        self.levels[level].open.push((key, entry));
    }

    /// Writes the open node, all of whose keys are at or below `next`.
    fn close(&mut self, level: usize, next: &[u8]) {
        let Level { nodes, open } = &mut self.levels[level];
        let separators = std::mem::take(open);
        let Some((first, first_entry)) = separators.first() else { return };
        let skip = first.iter().zip(next).take_while(|(a, b)| a == b).count();
        for slot in 0..SLOTS {
            nodes.put_u64(separators.get(slot).map_or(u64::MAX, |(key, _)| head(key, skip)));
        }
        for slot in 0..SLOTS {
            nodes.put_u32(separators.get(slot).map_or(u32::MAX, |(_, entry)| *entry));
        }
        // A key longer than a u32 cannot be: its entry would not fit the run.
        nodes.put_u32(u32::try_from(skip).unwrap_or(u32::MAX));
        nodes.put_u32(u32::try_from(separators.len()).unwrap_or(0));
        nodes.put_u32(0);
        let (first, first_entry) = (first.clone(), *first_entry);
        self.separator(level + 1, first, first_entry);
    }
}

/// The revisions in one block of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) min: u64,
    pub(crate) max: u64,
    /// Offset of the first entry that begins here, / 8.
    pub(crate) first: u32,
}

impl Bounds {
    const NONE: Bounds = Bounds { min: u64::MAX, max: 0, first: u32::MAX };

    /// Where the first entry of the block begins, if one begins here.
    pub(crate) fn first(&self) -> Option<u64> {
        (self.first != u32::MAX).then_some(u64::from(self.first) * 8)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Bounds> {
        let mut reader = Reader::new(bytes);
        Some(Bounds { min: reader.u64()?, max: reader.u64()?, first: reader.u32()? })
    }
}

/// Collects the bounds of all blocks.
#[derive(Default)]
pub(crate) struct BoundsBuilder {
    blocks: Vec<Bounds>,
}

impl BoundsBuilder {
    pub(crate) fn push(&mut self, offset: u64, entry: u32, mod_revision: u64) {
        let block = size(offset / BLOCK_BYTES as u64);
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, Bounds::NONE);
        }
        let bounds = &mut self.blocks[block];
        bounds.min = bounds.min.min(mod_revision);
        bounds.max = bounds.max.max(mod_revision);
        bounds.first = bounds.first.min(entry);
    }

    /// The bounds of the blocks of `entries_len` bytes.
    pub(crate) fn build(mut self, entries_len: u64) -> Vec<u8> {
        self.blocks.resize(size(entries_len.div_ceil(BLOCK_BYTES as u64)), Bounds::NONE);
        let mut section = Vec::with_capacity(self.blocks.len() * BOUNDS_BYTES);
        for bounds in self.blocks {
            section.put_u64(bounds.min);
            section.put_u64(bounds.max);
            section.put_u32(bounds.first);
            section.put_u32(0);
        }
        section
    }
}
