//! Several sorted sources as one, and what a merge of runs leaves out.
//!
//! [`Merged`] serves reads (memtables and runs), merges and backups alike. There are at most about 24 sources, so a plain
//! scan of their heads beats a heap; and since neighbouring keys often come from one source, the runner-up is remembered
//! and a source goes on unasked while it stays ahead of it.
//!
//! [`Retention`] is where deletions and compacted history disappear. With C as the compact revision, of each user key:
//!
//! ```text
//!   revision     3      5      7=C    9            revision     3      5      (C = 7)
//!                put    put    put    put                       put    delete
//!                gone   gone   kept   kept                      gone   kept, unless nothing older can be below
//! ```
//!
//! Everything at or above C is kept, with all subs: a watch may start exactly at C and must see each event of it, also a
//! deletion (CP-02). If nothing is at C, the newest entry below answers a read at C, so it is kept if it is a put.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::Disk;
use crate::sabotage::{Bug, is_planted};
use crate::store::entry::{Entry, EntryRef, SPACE_LEASE};
use crate::store::run::RunInfo;
use crate::store::run_writer::RunWriter;

/// A positioned, sorted sequence of entries.
pub(crate) trait Source {
    /// The current entry; `None` past the end.
    fn entry(&self) -> Option<EntryRef<'_>>;

    /// Goes to the next entry.
    fn advance(&mut self) -> Result<()>;

    /// The current entry as its own; a source whose bytes are counted shares them.
    fn to_entry(&self) -> Option<Entry> {
        self.entry().map(EntryRef::to_entry)
    }

    /// Goes to the next key, over all other versions of this one.
    fn next_key(&mut self) -> Result<()> {
        let Some(key) = self.entry().map(|entry| entry.key.to_vec()) else { return Ok(()) };
        while self.entry().is_some_and(|entry| entry.key == key) {
            self.advance()?;
        }
        Ok(())
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn entry(&self) -> Option<EntryRef<'_>> {
        (**self).entry()
    }

    fn advance(&mut self) -> Result<()> {
        (**self).advance()
    }

    fn to_entry(&self) -> Option<Entry> {
        (**self).to_entry()
    }

    fn next_key(&mut self) -> Result<()> {
        (**self).next_key()
    }
}

/// Sources as one source. No two of them may hold the same (key, mod revision, sub).
pub(crate) struct Merged<S: Source = Box<dyn Source>> {
    sources: Vec<S>,
    reverse: bool,
    /// The source whose entry comes first; meaningless if all are at their end.
    first: usize,
    /// The source whose entry comes next after that.
    second: Option<usize>,
}

impl<S: Source> Merged<S> {
    /// Merges sources that have been positioned. With `reverse` keys descend, while the versions of a key still go from
    /// the newest to the oldest, as in the sources.
    pub(crate) fn new(sources: Vec<S>, reverse: bool) -> Self {
        let mut merged = Merged { sources, reverse, first: 0, second: None };
        merged.choose();
        merged
    }

    /// Looks at all heads.
    fn choose(&mut self) {
        let mut first: Option<(usize, EntryRef<'_>)> = None;
        let mut second: Option<(usize, EntryRef<'_>)> = None;
        for (i, source) in self.sources.iter().enumerate() {
            let Some(entry) = source.entry() else { continue };
            if first.is_none_or(|(_, best)| self.is_before(&entry, &best)) {
                second = first.replace((i, entry));
            } else if second.is_none_or(|(_, best)| self.is_before(&entry, &best)) {
                second = Some((i, entry));
            }
        }
        let (first, second) = (first.map(|(i, _)| i), second.map(|(i, _)| i));
        self.first = first.unwrap_or(0);
        self.second = second;
    }

    /// After the first source has moved.
    fn settle(&mut self) {
        let Some(second) = self.second else { return };
        let stays = match (self.sources[self.first].entry(), self.sources[second].entry()) {
            (Some(first), Some(second)) => self.is_before(&first, &second),
            _ => false,
        };
        if !stays {
            self.choose();
        }
    }

    #[inline]
    fn is_before(&self, a: &EntryRef<'_>, b: &EntryRef<'_>) -> bool {
        let keys = if self.reverse { b.key.cmp(a.key) } else { a.key.cmp(b.key) };
        keys.then_with(|| (b.mod_revision, b.sub).cmp(&(a.mod_revision, a.sub))) == Ordering::Less
    }
}

impl<S: Source> Source for Merged<S> {
    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        self.sources.get(self.first)?.entry()
    }

    #[inline]
    fn advance(&mut self) -> Result<()> {
        if let Some(first) = self.sources.get_mut(self.first) {
            first.advance()?;
            self.settle();
        }
        Ok(())
    }

    fn to_entry(&self) -> Option<Entry> {
        self.sources.get(self.first)?.to_entry()
    }

    fn next_key(&mut self) -> Result<()> {
        // Only one source has the key as a rule; the runner-up says whether others do.
        while let Some(second) = self.second {
            let key = self.entry().map(|entry| entry.key);
            if key.is_none() || key != self.sources[second].entry().map(|entry| entry.key) {
                break;
            }
            self.sources[second].next_key()?;
            self.choose();
        }
        if let Some(first) = self.sources.get_mut(self.first) {
            first.next_key()?;
            self.settle();
        }
        Ok(())
    }
}

/// What a merge or a flush keeps. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// C; 0 means that nothing was compacted.
    pub(crate) compact_revision: u64,
    /// No older run outside the merge can hold a key of the merge, so nothing is left for a tombstone to hide.
    pub(crate) bottom: bool,
}

impl Retention {
    /// A filter for the entries of one key, to be asked newest first.
    pub(crate) fn key(self, key: &[u8]) -> KeyRetention {
        KeyRetention { retention: self, lease_space: key.first() == Some(&SPACE_LEASE), settled: false }
    }
}

/// [`Retention`] on its way through one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRetention {
    retention: Retention,
    lease_space: bool,
    /// What a reader at C sees has been met: all that follows is history nobody can ask for.
    settled: bool,
}

impl KeyRetention {
    /// Whether the next entry, older than those before, is kept.
    pub(crate) fn keeps(&mut self, mod_revision: u64, tombstone: bool) -> bool {
        let compacted = self.retention.compact_revision;
        // The lease space has no history: nobody reads it in the past.
        if !self.lease_space && mod_revision >= compacted {
            self.settled |= mod_revision == compacted;
            return true;
        }
        let bottom = self.retention.bottom || is_planted(Bug::TombstoneDropped);
        let hides_nothing = tombstone && bottom;
        let settled = std::mem::replace(&mut self.settled, true);
        !settled && !hides_nothing
    }
}

/// How many entries are merged between two looks at `abort`.
pub(crate) const ENTRIES_PER_ABORT_CHECK: u64 = 1024;

/// Merges positioned forward sources into run `id`. `None` if nothing is left, and then there is no file.
///
/// # Errors
/// `Canceled` once `abort` answers true; otherwise those of the sources and of [`RunWriter`]. The file is then removed,
/// as far as that works.
pub(crate) fn merge_into<S: Source>(
    disk: &Arc<dyn Disk>,
    store_id: u128,
    id: u64,
    mut sources: Merged<S>,
    retention: Retention,
    abort: &dyn Fn() -> bool,
) -> Result<Option<RunInfo>> {
    let mut writer = None;
    let create = || RunWriter::create(disk, store_id, id);
    match write_kept(&mut sources, retention, abort, &create, &mut writer) {
        Ok(()) => {
            let info = writer.map(RunWriter::finish).transpose()?;
            Ok(info.map(|info| RunInfo { compacted: retention.compact_revision, ..info }))
        }
        Err(error) => {
            if let Some(writer) = writer {
                writer.abandon();
            }
            Err(error)
        }
    }
}

/// Pushes what is kept into the writer, which the first such entry creates.
fn write_kept<S: Source>(
    sources: &mut Merged<S>,
    retention: Retention,
    abort: &dyn Fn() -> bool,
    create: &dyn Fn() -> Result<RunWriter>,
    writer: &mut Option<RunWriter>,
) -> Result<()> {
    let (mut key, mut filter) = (Vec::new(), retention.key(&[]));
    let mut count = 0u64;
    while let Some(entry) = sources.entry() {
        if count.is_multiple_of(ENTRIES_PER_ABORT_CHECK) && abort() {
            return Err(Error::Canceled);
        }
        if count == 0 || *entry.key != *key {
            key.clear();
            key.extend_from_slice(entry.key);
            filter = retention.key(&key);
        }
        if filter.keeps(entry.mod_revision, entry.tombstone) {
            if writer.is_none() {
                *writer = Some(create()?);
            }
            if let Some(writer) = writer {
                writer.push(entry)?;
            }
        }
        count += 1;
        sources.advance()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
