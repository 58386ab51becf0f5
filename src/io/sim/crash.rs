//! Which of the pending operations survive a crash: the enumeration of `images_at`.
//!
//! Every pending operation is a unit that is there or not; a write at one of [`Limits::sector_sites`] is as many units
//! as it has sectors. Up to [`Limits::exhaustive`] units all subsets are built, so a log append of up to twelve sectors
//! is covered in full; beyond that operations are taken whole: all subsets if they are few, else chosen ones. To a
//! bounded number of subsets come two variations: one of their writes torn, and lengths that arrived without data.

use super::content::Content;
use super::record::{Change, Names, Node, Op, OpKind, Replay};
use super::{Image, SplitMix64};
use crate::io::IoSite;

/// How far the enumeration goes at one place of a record.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Up to so many units all subsets are built: 2 to that power. At most 20.
    pub exhaustive: usize,
    /// The most prefixes, single operations and all-but-ones, each.
    pub each: usize,
    /// The most pairs.
    pub pairs: usize,
    /// Random subsets beyond that.
    pub random: usize,
    /// About so many subsets are varied by a torn write, and so many by lengths without data.
    pub variations: usize,
    /// Where writes are enumerated sector by sector.
    pub sector_sites: Vec<IoSite>,
}

impl Default for Limits {
    fn default() -> Self {
        let sector_sites = vec![IoSite::LogAppend, IoSite::LogHeader, IoSite::LogClose, IoSite::RecoverWrite];
        Limits { exhaustive: 12, each: 256, pairs: 256, random: 64, variations: 256, sector_sites }
    }
}

/// Nothing or everything of what is pending.
pub(super) fn extreme(replay: &Replay, ops: &[Op], all: bool) -> Image {
    let crash = Crash::new(replay, ops);
    let takes = vec![if all { Take::Whole } else { Take::Skip }; crash.pending.len()];
    crash.build(&takes, Fill::Nothing, &mut SplitMix64::new(0))
}

/// Builds the images of one place.
pub(super) fn enumerate(
    replay: &Replay,
    ops: &[Op],
    limits: &Limits,
    rng: &mut SplitMix64,
    visit: &mut dyn FnMut(Image),
) {
    let crash = Crash::new(replay, ops);
    let exhaustive = limits.exhaustive.min(20);
    let units = crash.units(limits);
    if units.len() <= exhaustive {
        return crash.all_subsets(&units, limits, rng, visit);
    }
    let whole: Vec<Unit> = (0..crash.pending.len()).map(|op| Unit { op, sector: None }).collect();
    if whole.len() <= exhaustive {
        crash.all_subsets(&whole, limits, rng, visit);
    } else {
        crash.chosen_subsets(limits, rng, visit);
    }
    // The write that the crash interrupts, in every way; once only, as later places come to it as a whole.
    if let Some(last) = crash.pending.last().filter(|&&at| at + 1 == replay.position()) {
        let sectors: Vec<Unit> =
            units.into_iter().filter(|u| crash.pending[u.op] == *last && u.sector.is_some()).collect();
        if (2..=exhaustive).contains(&sectors.len()) {
            let rest = vec![Take::Whole; crash.pending.len()];
            crash.subsets_of(&sectors, &rest, limits, rng, visit);
        }
    }
}

/// What becomes of one pending operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Take {
    Skip,
    Whole,
    /// Of a write: the sectors whose bit is set (bits are used again from the 65th sector on).
    Sectors {
        size: u64,
        bits: u64,
    },
    /// Of a write: its first sectors.
    Prefix {
        size: u64,
        sectors: u64,
    },
}

/// What is in an area whose length is durable and whose data is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    /// There is no such area: the length was not durable either.
    Nothing,
    Zeros,
    Garbage,
}

/// Something that is there or not after a crash: a pending operation, or one of its sectors.
#[derive(Clone, Copy, Debug)]
struct Unit {
    op: usize,
    sector: Option<u32>,
}

struct Crash<'a> {
    replay: &'a Replay,
    ops: &'a [Op],
    /// The places of the operations that may be there or not, in order. What cannot be reached is left out.
    pending: Vec<usize>,
}

impl<'a> Crash<'a> {
    fn new(replay: &'a Replay, ops: &'a [Op]) -> Self {
        let mut named = vec![false; replay.files.len()];
        let created = replay.changes.iter().filter_map(|change| match &ops[change.op].kind {
            OpKind::Name(Change::Create { file, .. } | Change::Rename { node: Node::File(file), .. }) => Some(*file),
            _ => None,
        });
        let durable =
            replay.names.0.values().filter_map(|node| if let Node::File(file) = node { Some(*file) } else { None });
        created.chain(durable).for_each(|file| named[file] = true);
        let reachable = replay.files.iter().zip(named).filter(|(_, named)| *named);
        let changes = replay.changes.iter().filter(|change| !change.unsynced.is_empty()).map(|change| change.op);
        let mut pending: Vec<usize> =
            reachable.flat_map(|(file, _)| file.pending.iter().copied()).chain(changes).collect();
        pending.sort_unstable();
        Crash { replay, ops, pending }
    }

    fn write(&self, op: usize) -> Option<(usize, u64, &'a [u8])> {
        match &self.ops[self.pending[op]].kind {
            OpKind::Write { file, offset, data } => Some((*file, *offset, data)),
            _ => None,
        }
    }

    fn units(&self, limits: &Limits) -> Vec<Unit> {
        let mut units = Vec::new();
        for op in 0..self.pending.len() {
            let by_sector = limits.sector_sites.contains(&self.ops[self.pending[op]].site);
            match self.write(op).filter(|_| by_sector) {
                Some((_, offset, data)) if sector_count(offset, data.len(), SECTOR) <= 64 => {
                    let count = u32::try_from(sector_count(offset, data.len(), SECTOR)).unwrap_or(0);
                    units.extend((0..count).map(|sector| Unit { op, sector: Some(sector) }));
                }
                _ => units.push(Unit { op, sector: None }),
            }
        }
        units
    }

    fn all_subsets(&self, units: &[Unit], limits: &Limits, rng: &mut SplitMix64, visit: &mut dyn FnMut(Image)) {
        self.subsets_of(units, &vec![Take::Skip; self.pending.len()], limits, rng, visit);
    }

    /// All subsets of some units; what becomes of the other operations is in `rest`.
    fn subsets_of(
        &self,
        units: &[Unit],
        rest: &[Take],
        limits: &Limits,
        rng: &mut SplitMix64,
        visit: &mut dyn FnMut(Image),
    ) {
        let subsets = 1u64 << units.len();
        let every = subsets / limits.variations.max(1) as u64;
        let mut takes = rest.to_vec();
        for subset in 0..subsets {
            for unit in units {
                takes[unit.op] = Take::Skip;
            }
            for unit in (0..units.len()).filter(|i| subset >> i & 1 == 1).map(|i| units[i]) {
                let bit = unit.sector.map_or(0, |sector| 1u64 << sector);
                takes[unit.op] = match (unit.sector, takes[unit.op]) {
                    (None, _) => Take::Whole,
                    (Some(_), Take::Sectors { size, bits }) => Take::Sectors { size, bits: bits | bit },
                    (Some(_), _) => Take::Sectors { size: SECTOR, bits: bit },
                };
            }
            self.emit(&takes, rng.one_in(every) && limits.variations > 0, rng, visit);
        }
    }

    fn chosen_subsets(&self, limits: &Limits, rng: &mut SplitMix64, visit: &mut dyn FnMut(Image)) {
        let count = self.pending.len();
        let total = 2 + 3 * count.min(limits.each) + limits.pairs + limits.random;
        let every = (total / limits.variations.max(1)) as u64;
        let mut emit = |chosen: &dyn Fn(usize) -> bool, rng: &mut SplitMix64| {
            let takes: Vec<Take> = (0..count).map(|op| if chosen(op) { Take::Whole } else { Take::Skip }).collect();
            self.emit(&takes, rng.one_in(every) && limits.variations > 0, rng, visit);
        };
        emit(&|_| false, rng);
        emit(&|_| true, rng);
        let step = count.div_ceil(limits.each.max(1));
        for i in (0..count).step_by(step) {
            emit(&|op| op < i, rng);
            emit(&|op| op == i, rng);
            emit(&|op| op != i, rng);
        }
        for (a, b) in pairs(count, limits.pairs, rng) {
            emit(&|op| op == a || op == b, rng);
        }
        for _ in 0..limits.random {
            let bits: Vec<u64> = (0..count.div_ceil(64)).map(|_| rng.next_u64()).collect();
            emit(&|op| bits[op / 64] >> (op % 64) & 1 == 1, rng);
        }
    }

    /// Builds one subset, and its variations if wanted.
    fn emit(&self, takes: &[Take], vary: bool, rng: &mut SplitMix64, visit: &mut dyn FnMut(Image)) {
        visit(self.build(takes, Fill::Nothing, rng));
        if !vary {
            return;
        }
        if let Some(torn) = self.tear(takes, rng) {
            visit(self.build(&torn, Fill::Nothing, rng));
        }
        if self.has_hollow(takes) {
            let fill = if rng.flip() { Fill::Zeros } else { Fill::Garbage };
            visit(self.build(takes, fill, rng));
        }
    }

    /// The same subset with one of its writes torn.
    fn tear(&self, takes: &[Take], rng: &mut SplitMix64) -> Option<Vec<Take>> {
        let spans =
            |op: usize, size| self.write(op).map_or(0, |(_, offset, data)| sector_count(offset, data.len(), size));
        let long: Vec<usize> =
            (0..takes.len()).filter(|&op| takes[op] == Take::Whole && spans(op, SECTOR) > 1).collect();
        let op = *long.get(rng.index(long.len()))?;
        let size = if spans(op, BLOCK) > 1 && rng.flip() { BLOCK } else { SECTOR };
        let mut torn = takes.to_vec();
        torn[op] = if rng.flip() {
            Take::Prefix { size, sectors: 1 + rng.below(spans(op, size) - 1) }
        } else {
            Take::Sectors { size, bits: rng.next_u64() }
        };
        Some(torn)
    }

    /// Whether some write that grows its file is not there in full.
    fn has_hollow(&self, takes: &[Take]) -> bool {
        (0..takes.len()).any(|op| takes[op] != Take::Whole && self.hollow(op).is_some())
    }

    /// The part of a write that lies beyond what is durable of its file.
    fn hollow(&self, op: usize) -> Option<(usize, u64, u64)> {
        let (file, offset, data) = self.write(op)?;
        let (start, end) = (offset.max(self.replay.files[file].durable.len()), offset + data.len() as u64);
        (start < end).then_some((file, start, end))
    }

    fn build(&self, takes: &[Take], fill: Fill, rng: &mut SplitMix64) -> Image {
        let mut contents: Vec<Option<Content>> = vec![None; self.replay.files.len()];
        let durable = |file: usize| self.replay.files[file].durable.clone();
        if fill != Fill::Nothing {
            for (file, start, end) in
                (0..takes.len()).filter(|&op| takes[op] != Take::Whole).filter_map(|op| self.hollow(op))
            {
                fill_area(contents[file].get_or_insert_with(|| durable(file)), start, end, fill, rng);
            }
        }
        for (op, take) in takes.iter().enumerate().filter(|(_, take)| **take != Take::Skip) {
            match &self.ops[self.pending[op]].kind {
                OpKind::Write { file, offset, data } => {
                    take.write(contents[*file].get_or_insert_with(|| durable(*file)), *offset, data);
                }
                OpKind::SetLen { file, len } => contents[*file].get_or_insert_with(|| durable(*file)).set_len(*len),
                _ => {}
            }
        }
        Image::from_parts(&self.names(takes), |file| contents[file].clone().unwrap_or_else(|| durable(file)))
    }

    fn names(&self, takes: &[Take]) -> Names {
        let mut names = self.replay.names.clone();
        for change in &self.replay.changes {
            let taken = change.unsynced.is_empty()
                || self.pending.binary_search(&change.op).is_ok_and(|op| takes[op] != Take::Skip);
            if let (true, OpKind::Name(change)) = (taken, &self.ops[change.op].kind) {
                names.apply(change);
            }
        }
        names
    }
}

impl Take {
    /// Does what is left of a write.
    fn write(self, content: &mut Content, offset: u64, data: &[u8]) {
        match self {
            Take::Skip => {}
            Take::Whole => content.write(data, offset),
            Take::Sectors { size, bits } => {
                for sector in (0..sector_count(offset, data.len(), size)).filter(|s| bits >> (s % 64) & 1 == 1) {
                    let (start, end) = (sector_start(offset, sector, size), sector_start(offset, sector + 1, size));
                    content.write(&data[start.min(data.len())..end.min(data.len())], offset + start as u64);
                }
            }
            Take::Prefix { size, sectors } => {
                let end = sector_start(offset, sectors, size).min(data.len());
                content.write(&data[..end], offset);
            }
        }
    }
}

fn fill_area(content: &mut Content, start: u64, end: u64, fill: Fill, rng: &mut SplitMix64) {
    if content.len() < end {
        content.set_len(end);
    }
    if fill == Fill::Garbage {
        let len = usize::try_from((end - start).min(GARBAGE_BYTES_MAX)).unwrap_or(0);
        let mut garbage = vec![0; len];
        rng.fill(&mut garbage);
        content.write(&garbage, start);
    }
}

/// How many sectors of the disk a write touches.
fn sector_count(offset: u64, len: usize, size: u64) -> u64 {
    if len == 0 { 0 } else { (offset + len as u64 - 1) / size - offset / size + 1 }
}

/// Where in a write's data its n-th sector starts.
fn sector_start(offset: u64, sector: u64, size: u64) -> usize {
    let start = (offset / size + sector) * size;
    usize::try_from(start.saturating_sub(offset)).unwrap_or(usize::MAX)
}

/// All pairs if they are few, else random ones.
fn pairs(count: usize, most: usize, rng: &mut SplitMix64) -> Vec<(usize, usize)> {
    if count * count.saturating_sub(1) / 2 <= most {
        return (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect();
    }
    (0..most).map(|_| (rng.index(count), rng.index(count))).collect()
}

/// What a disk writes at once, at the least.
const SECTOR: u64 = 512;
/// What most disks and file systems write at once.
const BLOCK: u64 = 4096;
/// So much of an area is garbage; the rest is zero, as making garbage takes time.
const GARBAGE_BYTES_MAX: u64 = 16 << 10;
