//! The store below the write path: `Version`, the set of memtables and runs that a reader pins, and reads over it.
//!
//! ```text
//! memtables  newest first; [0] takes writes, the others wait for their flush
//! runs       newest first; each holds older revisions than the one before
//! ```
//! Revisions of different members never overlap, so the first one that holds a version of a key at or below the
//! revision asked for holds the newest such version. A `Version` is immutable but for inserts into its first memtable,
//! which all lie above any revision that a reader may ask for.

use std::sync::Arc;

use crate::error::Result;
use crate::memtable::{Bounds, Memtable, MemtableCursor};

pub(crate) mod block;
pub(crate) mod catalog;
pub(crate) mod cursor;
pub(crate) mod entry;
pub(crate) mod flush;
pub(crate) mod key;
pub(crate) mod merge;
pub(crate) mod run;
pub(crate) mod run_writer;
pub(crate) mod state_file;
#[cfg(test)]
pub(crate) mod test_disk;
#[cfg(test)]
pub(crate) mod test_entries;

use cursor::RunCursor;
use entry::{Entry, EntryRef};
use merge::{Merged, Source};
use run::{Run, key_hash};

/// What a reader pins.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) memtables: Vec<Arc<Memtable>>,
    pub(crate) runs: Vec<Arc<Run>>,
    /// History below this revision may be gone from these runs; 0 if none is.
    pub(crate) compacted: u64,
}

impl Version {
    /// The memtable that takes writes.
    pub(crate) fn active(&self) -> &Arc<Memtable> {
        &self.memtables[0]
    }

    /// How many entries there are, of all revisions.
    pub(crate) fn entry_count(&self) -> u64 {
        let of_memtables: u64 = self.memtables.iter().map(|memtable| memtable.count()).sum();
        of_memtables + self.runs.iter().map(|run| run.info.entries).sum::<u64>()
    }

    /// The newest version of a stored key at or below `revision`, tombstones included.
    pub(crate) fn get(&self, key: &[u8], revision: u64) -> Result<Option<Entry>> {
        for memtable in &self.memtables {
            if let Some(entry) = memtable.get(key, revision) {
                return Ok(Some(entry));
            }
        }
        if self.runs.is_empty() {
            return Ok(None);
        }
        let hash = key_hash(key);
        for run in &self.runs {
            if run.info.min_revision > revision || !covers(run, key) {
                continue;
            }
            if let Some(entry) = run.get(key, hash, revision)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The live keys of a range at `revision`, in order or in reverse.
    pub(crate) fn scan(&self, bounds: Bounds, revision: u64, reverse: bool) -> Result<Scan> {
        let mut sources = Vec::with_capacity(self.memtables.len() + self.runs.len());
        if bounds.start < bounds.end {
            for memtable in self.memtables.iter().filter(|memtable| !memtable.is_empty()) {
                sources.push(Member::Memtable(memtable.cursor(bounds.clone(), revision, reverse)));
            }
            for run in self.runs.iter().filter(|run| run.info.min_revision <= revision && overlaps(run, &bounds)) {
                let mut cursor = run.cursor(reverse);
                cursor.seek(if reverse { &bounds.end } else { &bounds.start })?;
                sources.push(Member::Run(cursor));
            }
        }
        Ok(Scan { merged: Merged::new(sources, reverse), bounds, revision, reverse })
    }

    /// All that is stored of a key range at or below `revision`: every version, newest of a key first.
    pub(crate) fn history(&self, bounds: &Bounds, revision: u64) -> Result<Merged<Member>> {
        let mut sources = Vec::new();
        for memtable in &self.memtables {
            sources.push(Member::Memtable(memtable.history_cursor(bounds.clone(), revision)));
        }
        for run in self.runs.iter().filter(|run| overlaps(run, bounds)) {
            let mut cursor = run.cursor(false);
            cursor.seek(&bounds.start)?;
            sources.push(Member::Run(cursor));
        }
        Ok(Merged::new(sources, false))
    }
}

/// A cursor of one member of a `Version`.
pub(crate) enum Member {
    Memtable(MemtableCursor),
    Run(RunCursor),
}

impl Source for Member {
    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        match self {
            Member::Memtable(cursor) => cursor.entry(),
            Member::Run(cursor) => cursor.entry(),
        }
    }

    #[inline]
    fn advance(&mut self) -> Result<()> {
        match self {
            Member::Memtable(cursor) => cursor.advance(),
            Member::Run(cursor) => cursor.advance(),
        }
    }

    fn to_entry(&self) -> Option<Entry> {
        match self {
            Member::Memtable(cursor) => cursor.to_entry(),
            Member::Run(cursor) => cursor.to_entry(),
        }
    }

    fn next_key(&mut self) -> Result<()> {
        match self {
            Member::Memtable(cursor) => cursor.next_key(),
            Member::Run(cursor) => Source::next_key(cursor),
        }
    }
}

fn covers(run: &Run, key: &[u8]) -> bool {
    *run.info.first_key <= *key && *key <= *run.info.last_key
}

fn overlaps(run: &Run, bounds: &Bounds) -> bool {
    *run.info.first_key < *bounds.end && *bounds.start <= *run.info.last_key
}

/// Walks the live keys of a range at one revision. Owns what it reads from, so it outlives its `Version`.
pub(crate) struct Scan {
    merged: Merged<Member>,
    bounds: Bounds,
    revision: u64,
    reverse: bool,
}

impl Scan {
    /// The next live key.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            let Some(entry) = self.merged.entry() else { return Ok(None) };
            let ended = if self.reverse { *entry.key < *self.bounds.start } else { *entry.key >= *self.bounds.end };
            if ended {
                return Ok(None);
            }
            if entry.mod_revision > self.revision {
                self.merged.advance()?;
                continue;
            }
            let live = if entry.tombstone { None } else { self.merged.to_entry() };
            self.merged.next_key()?;
            if live.is_some() {
                return Ok(live);
            }
        }
    }
}
