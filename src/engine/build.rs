//! A new store made from changes that come in revision order, as an etcd snapshot holds them.
//!
//! ```text
//! changes --collect--> chunk --sort--> run run run .. --merge 16 to one--> run --+--> one run, a log without entries,
//!                        '- checked against what the key was before -'           '--> the catalog
//! ```
//! A chunk ends between two revisions, so the runs cover spans of revisions that do not overlap: the invariant of
//! [`Version`] holds at every moment, and a key's past is looked up in the runs that are already written. So memory
//! holds a chunk, which is [`Sizes::chunk_bytes`] and at most one revision more, and what `RunWriter` takes: some 20
//! bytes a key. For a moment the disk holds all of the data twice.
//!
//! Histories that no sequence of puts and deletes can make are refused, with the place they came from: what is built
//! passes `check`. Attachments of leases are made from the changes, as `apply` makes them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::backup::{complete, create_directories};
use crate::engine::reorganize::{lease_row, run_row};
use crate::engine::state::Lease;
use crate::error::{Error, Result};
use crate::io::{Disk, IoSite};
use crate::kv::LeaseId;
use crate::store::Version;
use crate::store::catalog::{Checkpoint, Contents, Meta};
use crate::store::cursor::RunCursor;
use crate::store::entry::{Entry, EntryRef};
use crate::store::key::{all_attachments, attachment_key, attachment_lease};
use crate::store::merge::{Merged, Retention, Source, merge_into};
use crate::store::run::{Run, run_path};

/// How large the pieces are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes of changes, about, that are sorted in memory and become a run.
    pub(crate) chunk_bytes: u64,
    /// Bytes of changes that one revision may have.
    pub(crate) revision_bytes_max: u64,
    /// How many runs are merged into one.
    pub(crate) merge_runs: usize,
    /// The largest run that is made of others.
    pub(crate) merge_bytes_max: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes { chunk_bytes: 64 << 20, revision_bytes_max: 1 << 30, merge_runs: 16, merge_bytes_max: 16 << 30 }
    }
}

/// Told of a merge: entries merged, and of how many.
pub(crate) type OnMerge<'m> = &'m mut dyn FnMut(u64, u64);

/// Builds a store on an empty disk.
pub(crate) struct Builder {
    disk: Arc<dyn Disk>,
    /// What errors call the place that the changes come from.
    source: PathBuf,
    meta: Meta,
    sizes: Sizes,
    /// Up to here the history may have gaps; 0 if it has none.
    compacted: u64,
    chunk: Vec<Change>,
    chunk_bytes: u64,
    /// What is written, without memtables.
    version: Version,
    /// How often what is in each run was merged; in the order of the runs.
    rounds: Vec<u32>,
}

/// What the finished store is to know beside its runs.
pub(crate) struct Head {
    pub(crate) revision: u64,
    pub(crate) compact_revision: Option<u64>,
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
}

/// A change of a user key, and where it was read.
struct Change {
    entry: Entry,
    place: u64,
}

/// What a key was before a change.
struct Past {
    mod_revision: u64,
    create_revision: u64,
    version: u64,
    lease: i64,
    tombstone: bool,
}

impl Builder {
    /// Begins a store. `compacted` is the revision up to which history may have gaps, 0 if it has none.
    pub(crate) fn new(
        disk: &Arc<dyn Disk>,
        source: PathBuf,
        meta: Meta,
        compacted: u64,
        sizes: Sizes,
    ) -> Result<Builder> {
        create_directories(disk)?;
        Ok(Builder {
            disk: disk.clone(),
            source,
            meta,
            sizes,
            compacted,
            chunk: Vec::new(),
            chunk_bytes: 0,
            version: Version { memtables: Vec::new(), runs: Vec::new(), compacted: 0 },
            rounds: Vec::new(),
        })
    }

    /// Adds a change of a user key. They come in order of (mod revision, sub), each once; `place` is where in the source
    /// this one stands.
    ///
    /// # Errors
    /// `Corrupt` if some key's history cannot be; `TooLarge`; `Io`. The builder is then of no more use.
    pub(crate) fn push(&mut self, entry: Entry, place: u64, on_merge: OnMerge<'_>) -> Result<()> {
        let ends_revision = self.chunk.last().is_some_and(|last| last.entry.mod_revision != entry.mod_revision);
        if ends_revision && self.chunk_bytes >= self.sizes.chunk_bytes {
            self.write_chunk()?;
            self.merge_round(on_merge)?;
        }
        self.chunk_bytes += (entry.key.len() + entry.value.len()) as u64 + CHANGE_BYTES;
        let max = self.sizes.chunk_bytes + self.sizes.revision_bytes_max;
        if self.chunk_bytes > max {
            let max = self.sizes.revision_bytes_max;
            return Err(Error::TooLarge { what: "revision of the snapshot", len: self.chunk_bytes, max });
        }
        self.chunk.push(Change { entry, place });
        Ok(())
    }

    /// Writes what is left and makes it a store; durable on return.
    ///
    /// # Errors
    /// As [`Builder::push`]; `Corrupt` too if a live key is attached to a lease that `head` does not have.
    pub(crate) fn finish(mut self, head: Head, on_merge: OnMerge<'_>) -> Result<()> {
        self.write_chunk()?;
        self.compacted = head.compact_revision.unwrap_or(0);
        self.merge_rest(on_merge)?;
        self.check_leases(&head)?;
        let mut contents = Contents { meta: self.meta, ..Contents::default() };
        for (run, rounds) in self.version.runs.iter().zip(&self.rounds) {
            contents.runs.insert(run.info.id, run_row(&run.info, (*rounds).min(1)));
        }
        contents.checkpoint = Checkpoint {
            revision: head.revision,
            compact_revision: head.compact_revision,
            compact_ordered: head.compact_revision,
            ..Checkpoint::default()
        };
        contents.leases = head.leases.iter().map(|(id, lease)| (id.get(), lease_row(lease))).collect();
        complete(&self.disk, contents)
    }

    /// Checks and sorts what was collected, and writes it as a run.
    fn write_chunk(&mut self) -> Result<()> {
        let mut changes = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        changes.sort_unstable_by(|a, b| order(&a.entry, &b.entry));
        let mut attachments = Vec::new();
        for of_key in changes.chunk_by(|a, b| a.entry.key == b.entry.key) {
            let mut past = self.version.get(&of_key[0].entry.key, u64::MAX)?.as_ref().map(Past::of);
            for change in of_key.iter().rev() {
                if let Some(what) = contradiction(past.as_ref(), &change.entry, self.compacted) {
                    return Err(Error::corrupt(&self.source, change.place, what));
                }
                attach(past.as_ref(), &change.entry, &mut attachments);
                past = Some(Past::of(&change.entry));
            }
        }
        attachments.sort_unstable_by(order);
        let retention = Retention { compact_revision: self.compacted, bottom: self.version.runs.is_empty() };
        let (id, store_id) = (self.next_run(), self.meta.store_id);
        let sorted = Merged::new(vec![Sorted { changes, attachments, at: 0 }], false);
        if let Some(info) = merge_into(&self.disk, store_id, id, sorted, retention, &|| false)? {
            let run = Run::open(&self.disk, store_id, info, true)?;
            self.version.runs.insert(0, Arc::new(run));
            self.rounds.insert(0, 0);
        }
        Ok(())
    }

    /// Merges the newest runs while there are enough that were merged equally often: each change is then rewritten a
    /// logarithmic number of times, and few runs are open at once.
    fn merge_round(&mut self, on_merge: OnMerge<'_>) -> Result<()> {
        loop {
            let newest = self.rounds.first().copied();
            let alike = self.rounds.iter().take_while(|rounds| Some(**rounds) == newest).count();
            if alike < self.sizes.merge_runs || self.bytes(0..alike) > self.sizes.merge_bytes_max {
                return Ok(());
            }
            self.merge(0..alike, on_merge)?;
        }
    }

    /// Merges all runs into one, or into few if they are too large for that.
    fn merge_rest(&mut self, on_merge: OnMerge<'_>) -> Result<()> {
        let mut end = self.version.runs.len();
        while end > 0 {
            let mut start = end - 1;
            while start > 0 && self.bytes(start - 1..end) <= self.sizes.merge_bytes_max {
                start -= 1;
            }
            if end - start > 1 {
                self.merge(start..end, on_merge)?;
            }
            end = start;
        }
        Ok(())
    }

    fn bytes(&self, runs: std::ops::Range<usize>) -> u64 {
        self.version.runs[runs].iter().map(|run| run.info.len).sum()
    }

    fn merge(&mut self, range: std::ops::Range<usize>, on_merge: OnMerge<'_>) -> Result<()> {
        let bottom = range.end == self.version.runs.len();
        let taken: Vec<Arc<Run>> = self.version.runs[range.clone()].to_vec();
        let mut cursors = Vec::with_capacity(taken.len());
        for run in &taken {
            let mut cursor = run.cursor(false);
            cursor.seek_first()?;
            cursors.push(cursor);
        }
        let of = taken.iter().map(|run| run.info.entries).sum();
        let counted = Counted { source: Merged::new(cursors, false), count: 0, of, on_merge };
        let retention = Retention { compact_revision: self.compacted, bottom };
        let (id, store_id) = (self.next_run(), self.meta.store_id);
        let info = merge_into(&self.disk, store_id, id, Merged::new(vec![counted], false), retention, &|| false)?;
        let run = info.map(|info| Run::open(&self.disk, store_id, info, true)).transpose()?;
        let rounds = self.rounds[range.clone()].iter().max().map_or(0, |rounds| rounds + 1);
        self.rounds.splice(range.clone(), run.is_some().then_some(rounds));
        self.version.runs.splice(range, run.map(Arc::new));
        for run in taken {
            let path = run_path(run.info.id);
            self.disk.remove(IoSite::RunRemove, &path).map_err(|error| Error::io("remove", path, error))?;
        }
        Ok(())
    }

    /// Every lease that holds a key exists (LE-09).
    fn check_leases(&self, head: &Head) -> Result<()> {
        let mut attached = self.version.scan(all_attachments(), head.revision, false)?;
        while let Some(entry) = attached.next()? {
            if attachment_lease(&entry.key).is_none_or(|lease| !head.leases.contains_key(&lease)) {
                let what = "a live key is attached to a lease that is not there";
                return Err(Error::corrupt(&self.source, 0, what));
            }
        }
        Ok(())
    }

    fn next_run(&mut self) -> u64 {
        self.meta.next_run += 1;
        self.meta.next_run - 1
    }
}

impl Past {
    fn of(entry: &Entry) -> Past {
        let Entry { mod_revision, create_revision, version, lease, tombstone, .. } = *entry;
        Past { mod_revision, create_revision, version, lease, tombstone }
    }
}

/// The order of runs: by key, the newest change of a key first.
fn order(a: &Entry, b: &Entry) -> Ordering {
    a.key.cmp(&b.key).then_with(|| (b.mod_revision, b.sub).cmp(&(a.mod_revision, a.sub)))
}

/// What in a change contradicts itself or the key's past, by the rules of RV-04. Up to the compact revision changes in
/// between may be gone, so there nothing follows from the past.
fn contradiction(past: Option<&Past>, entry: &Entry, compacted: u64) -> Option<&'static str> {
    let Entry { mod_revision, create_revision, version, .. } = *entry;
    if !entry.tombstone {
        // Each change of a key takes a revision, so a key has at most one version for each since its creation.
        let versions_max = mod_revision.checked_sub(create_revision).map_or(0, |since| since + 1);
        if create_revision == 0 || version == 0 || version > versions_max || (version == 1) != (versions_max == 1) {
            return Some("a version number that does not fit the revisions");
        }
    }
    if mod_revision <= compacted {
        return None;
    }
    // What etcd kept of the compact revision itself may be less than was there (CP-02).
    let whole = past.map_or(0, |past| past.mod_revision) > compacted || compacted == 0;
    match past.map(|past| (past, past.tombstone)) {
        Some((past, false)) if !entry.tombstone => {
            let continues = version == past.version + 1 && create_revision == past.create_revision;
            (!continues).then_some("a key's version does not count its changes since its creation")
        }
        Some((_, true)) if entry.tombstone => Some("a key was deleted twice in a row"),
        Some((_, true)) | None if whole && !entry.tombstone && version != 1 => {
            Some("a key was changed before it was made")
        }
        None if whole && entry.tombstone => Some("a key was deleted before it was made"),
        _ => None,
    }
}

/// Adds the attachments that a change makes and ends; they share its revision and sub-revision.
fn attach(past: Option<&Past>, entry: &Entry, attachments: &mut Vec<Entry>) {
    let from = past.filter(|past| !past.tombstone).map_or(0, |past| past.lease);
    let to = if entry.tombstone { 0 } else { entry.lease };
    if from == to {
        return;
    }
    let mut add = |lease: i64, tombstone: bool| {
        attachments.push(Entry {
            key: attachment_key(LeaseId::new(lease), &entry.key[1..]),
            mod_revision: entry.mod_revision,
            sub: entry.sub,
            create_revision: 0,
            version: u64::from(!tombstone),
            lease: 0,
            tombstone,
            value: Bytes::new(),
        });
    };
    if from != 0 {
        add(from, true);
    }
    if to != 0 {
        add(to, false);
    }
}

/// A sorted chunk. Attachments come behind user keys, as their space does.
struct Sorted {
    changes: Vec<Change>,
    attachments: Vec<Entry>,
    at: usize,
}

impl Source for Sorted {
    fn entry(&self) -> Option<EntryRef<'_>> {
        let changed = self.changes.get(self.at).map(|change| &change.entry);
        let entry = changed.or_else(|| self.attachments.get(self.at.checked_sub(self.changes.len())?))?;
        Some(entry.borrow())
    }

    fn advance(&mut self) -> Result<()> {
        self.at += 1;
        Ok(())
    }
}

/// Runs being merged, telling how far that is.
struct Counted<'m> {
    source: Merged<RunCursor>,
    count: u64,
    of: u64,
    on_merge: OnMerge<'m>,
}

impl Source for Counted<'_> {
    fn entry(&self) -> Option<EntryRef<'_>> {
        self.source.entry()
    }

    fn advance(&mut self) -> Result<()> {
        self.count += 1;
        if self.count.is_multiple_of(ENTRIES_PER_TELL) || self.count == self.of {
            (self.on_merge)(self.count, self.of);
        }
        self.source.advance()
    }
}

/// About what a change takes in memory beside its bytes.
const CHANGE_BYTES: u64 = 160;

/// How many entries are merged between two words about it.
const ENTRIES_PER_TELL: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use crate::engine::recover::new_meta;
    use crate::io::fs::SystemClock;
    use crate::io::memory::MemoryDisk;
    use crate::options::Options;
    use crate::store::key::user_key;

    const SMALL: Sizes = Sizes { chunk_bytes: 1000, revision_bytes_max: 5000, merge_runs: 3, merge_bytes_max: 60_000 };

    fn builder(disk: &Arc<dyn Disk>, sizes: Sizes) -> Builder {
        Builder::new(disk, "source".into(), new_meta(&SystemClock::new()), 0, sizes).unwrap()
    }

    fn creation(revision: u64, sub: u32, key: &str) -> Entry {
        Entry {
            key: user_key(key.as_bytes()),
            mod_revision: revision,
            sub,
            create_revision: revision,
            version: 1,
            lease: 0,
            tombstone: false,
            value: Bytes::from(vec![b'v'; 500]),
        }
    }

    /// Runs are merged up to a size; what is larger stays apart, and the store is whole all the same.
    #[test]
    fn runs_too_large_for_one_stay_apart() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let mut builder = builder(&disk, SMALL);
        let mut told = 0;
        for revision in 2..300 {
            let entry = creation(revision, 0, &format!("{:03}", revision * 7 % 1000));
            builder.push(entry, revision, &mut |_, _| told += 1).unwrap();
        }
        assert!(told > 0 && builder.version.runs.len() < 30, "merged on the way: {}", builder.version.runs.len());
        let head = Head { revision: 299, compact_revision: None, leases: BTreeMap::new() };
        builder.finish(head, &mut |_, _| {}).unwrap();
        let db = Db::open_on(disk, Arc::new(SystemClock::new()), Options::new()).unwrap();
        assert!((2..12).contains(&db.stats().runs), "{:?}", db.stats());
        assert_eq!(db.count(crate::kv::KeyRange::all()).unwrap(), 298);
        assert!(db.check().unwrap().is_clean());
        assert_eq!(db.put("next", "").unwrap().revision, 300);
    }

    /// A revision is held in memory as a whole, so it has a largest size.
    #[test]
    fn a_revision_has_a_largest_size() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let mut builder = builder(&disk, SMALL);
        let pushed = (0..100).find_map(|sub| builder.push(creation(2, sub, &sub.to_string()), 0, &mut |_, _| {}).err());
        assert!(
            matches!(pushed, Some(Error::TooLarge { what: "revision of the snapshot", max: 5000, .. })),
            "{pushed:?}"
        );
    }
}
