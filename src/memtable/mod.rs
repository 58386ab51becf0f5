//! The memtable: recent versions of keys, and the event array that recent watches read.
//!
//! ```text
//! newest: key -> slot of the key's newest version        slots: every version, in order of (revision, sub)
//!   "a" ----------------------------------------------+    0: a@2   previous: none
//!   "b" ------------------------------+               |    1: b@3   previous: none   <-+
//!                                     |               +--> 2: a@4   previous: 0        |
//!                                     +------------------> 3: b@5   previous: 1   -----+
//! ```
//! One writer at a time (who holds the commit mutex), any number of readers; a lock guards both structures and is held
//! for one lookup or one batch of a scan, never during I/O. A reader names the revision that it reads at, so versions
//! that are not published yet are simply above it. Nothing is freed before the whole memtable; it is closed when it is
//! large, flushed as a run, and dropped with the last reader.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::error::Result;
use crate::store::entry::{Entry, EntryRef, SPACE_USER};
use crate::store::merge::Source;

/// Recent versions of keys.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    /// Guards both structures; last in the lock order.
    table: RwLock<Table>,
    /// About how much memory the versions take.
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    newest: BTreeMap<Bytes, u32>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    previous: Option<u32>,
}

/// What a version costs beside its key and value, about.
const ENTRY_OVERHEAD_BYTES: usize = size_of::<Slot>() + 48;

/// How many versions a memtable may hold: slots are numbered by 32 bits.
const ENTRIES_MAX: usize = u32::MAX as usize;

impl Memtable {
    /// Adds the versions of one command, in order of (revision, sub), above all that are there.
    pub(crate) fn insert(&self, entries: &[Entry]) {
        let mut table = self.table.write();
        let mut added = 0;
        for entry in entries {
            debug_assert!(table.slots.last().is_none_or(|last| last.entry.mod_revision <= entry.mod_revision));
            let slot = u32::try_from(table.slots.len()).expect("room was checked before the command was logged");
            let previous = table.newest.insert(entry.key.clone(), slot);
            table.slots.push(Slot { entry: entry.clone(), previous });
            added += entry_bytes(entry);
        }
        self.bytes.fetch_add(added, Ordering::Relaxed);
    }

    /// Whether `entries` may still be added without passing `bytes_max`. An empty memtable takes any command.
    pub(crate) fn has_room(&self, entries: &[Entry], bytes_max: usize) -> bool {
        let count = self.table.read().slots.len();
        let added: usize = entries.iter().map(entry_bytes).sum();
        count == 0 || (self.bytes() + added <= bytes_max && count + entries.len() <= ENTRIES_MAX)
    }

    /// How many versions there are.
    pub(crate) fn count(&self) -> u64 {
        self.table.read().slots.len() as u64
    }

    /// About how much memory the versions take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.read().slots.is_empty()
    }

    /// The newest version of `key` at or below `revision`, tombstones included.
    pub(crate) fn get(&self, key: &[u8], revision: u64) -> Option<Entry> {
        let table = self.table.read();
        let newest = *table.newest.get(key)?;
        table.at(newest, revision).map(|slot| slot.entry.clone())
    }

    /// Shows the user keys' versions of the revisions `from..=to`, in order, until `visit` says stop.
    pub(crate) fn events(&self, from: u64, to: u64, visit: &mut dyn FnMut(&Entry) -> bool) -> bool {
        let mut next = {
            let table = self.table.read();
            table.slots.partition_point(|slot| slot.entry.mod_revision < from)
        };
        loop {
            // In batches, so that a slow visitor never keeps a writer waiting for long.
            let batch: Vec<Entry> = {
                let table = self.table.read();
                let slots = table.slots.get(next..).unwrap_or_default();
                slots.iter().take(EVENT_BATCH).map(|slot| slot.entry.clone()).collect()
            };
            next += batch.len();
            let complete = batch.len() < EVENT_BATCH;
            for entry in batch {
                if entry.mod_revision > to {
                    return true;
                }
                if entry.key[0] == SPACE_USER && !visit(&entry) {
                    return false;
                }
            }
            if complete {
                return true;
            }
        }
    }

    /// Keys in order with, of each, its newest version at or below `revision`.
    pub(crate) fn cursor(self: &Arc<Self>, range: Bounds, revision: u64, reverse: bool) -> MemtableCursor {
        MemtableCursor::new(self.clone(), range, revision, reverse, false)
    }

    /// Keys in order with, of each, all versions at or below `revision`, newest first.
    pub(crate) fn history_cursor(self: &Arc<Self>, range: Bounds, revision: u64) -> MemtableCursor {
        MemtableCursor::new(self.clone(), range, revision, false, true)
    }
}

impl Table {
    /// The newest version at or below `revision`, starting at the key's slot `newest`.
    fn at(&self, newest: u32, revision: u64) -> Option<&Slot> {
        let mut slot = &self.slots[newest as usize];
        while slot.entry.mod_revision > revision {
            slot = &self.slots[slot.previous? as usize];
        }
        Some(slot)
    }

    fn collect(&self, newest: u32, revision: u64, all: bool, into: &mut Vec<Entry>) {
        let mut slot = self.at(newest, revision);
        while let Some(found) = slot {
            into.push(found.entry.clone());
            slot = if all { found.previous.map(|previous| &self.slots[previous as usize]) } else { None };
        }
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    entry.key.len() + entry.value.len() + ENTRY_OVERHEAD_BYTES
}

const EVENT_BATCH: usize = 64;

/// Bounds of stored keys: from `start`, below `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: Bytes,
    pub(crate) end: Bytes,
}

/// Walks a memtable's keys in either direction. Versions are copied out in batches, so the lock is not held between.
#[derive(Debug)]
pub(crate) struct MemtableCursor {
    memtable: Arc<Memtable>,
    /// What is still to be read.
    rest: Bounds,
    revision: u64,
    reverse: bool,
    all_versions: bool,
    /// The batch, in the order to be given.
    batch: std::vec::IntoIter<Entry>,
    current: Option<Entry>,
    next_batch: usize,
}

/// A first batch that serves short scans cheaply, then larger ones.
const FIRST_BATCH: usize = 12;
const NEXT_BATCH: usize = 32;

impl MemtableCursor {
    fn new(memtable: Arc<Memtable>, rest: Bounds, revision: u64, reverse: bool, all_versions: bool) -> Self {
        let batch = Vec::new().into_iter();
        let mut cursor = MemtableCursor {
            memtable,
            rest,
            revision,
            reverse,
            all_versions,
            batch,
            current: None,
            next_batch: FIRST_BATCH,
        };
        cursor.step();
        cursor
    }

    fn step(&mut self) {
        self.current = self.batch.next();
        if self.current.is_none() && self.rest.start < self.rest.end {
            self.fill();
            self.current = self.batch.next();
        }
    }

    /// Reads the next batch of keys; on return either the batch has versions or nothing is left.
    fn fill(&mut self) {
        let mut entries = Vec::with_capacity(self.next_batch);
        let table = self.memtable.table.read();
        let bounds = (Bound::Included(&self.rest.start[..]), Bound::Excluded(&self.rest.end[..]));
        let keys = table.newest.range::<[u8], _>(bounds);
        let last = if self.reverse {
            take_keys(&table, keys.rev(), self.next_batch, self.revision, self.all_versions, &mut entries)
        } else {
            take_keys(&table, keys, self.next_batch, self.revision, self.all_versions, &mut entries)
        };
        match last {
            None => self.rest.start = self.rest.end.clone(),
            Some(key) if self.reverse => self.rest.end = key,
            Some(key) => self.rest.start = successor(&key),
        }
        self.next_batch = NEXT_BATCH;
        self.batch = entries.into_iter();
    }
}

/// Copies the versions of keys until there are `count` entries; the last key looked at if there may be more.
fn take_keys<'a>(
    table: &Table,
    keys: impl Iterator<Item = (&'a Bytes, &'a u32)>,
    count: usize,
    revision: u64,
    all_versions: bool,
    into: &mut Vec<Entry>,
) -> Option<Bytes> {
    for (key, newest) in keys {
        table.collect(*newest, revision, all_versions, into);
        if into.len() >= count {
            return Some(key.clone());
        }
    }
    None
}

/// The smallest key above `key`.
fn successor(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

impl Source for MemtableCursor {
    fn entry(&self) -> Option<EntryRef<'_>> {
        self.current.as_ref().map(Entry::borrow)
    }

    fn advance(&mut self) -> Result<()> {
        self.step();
        Ok(())
    }

    fn to_entry(&self) -> Option<Entry> {
        self.current.clone()
    }

    fn next_key(&mut self) -> Result<()> {
        if !self.all_versions {
            // It gives one version of each key as it is.
            return self.advance();
        }
        let key = self.current.take().map(|entry| entry.key);
        loop {
            self.step();
            if self.current.as_ref().map(|entry| &entry.key) != key.as_ref() || key.is_none() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, mod_revision: u64, value: &str) -> Entry {
        let key = [&[SPACE_USER], key.as_bytes()].concat();
        Entry {
            key: key.into(),
            mod_revision,
            sub: 0,
            create_revision: mod_revision,
            version: 1,
            lease: 0,
            tombstone: false,
            value: Bytes::copy_from_slice(value.as_bytes()),
        }
    }

    fn all() -> Bounds {
        Bounds { start: Bytes::from_static(&[SPACE_USER]), end: Bytes::from_static(&[SPACE_USER + 1]) }
    }

    fn walk(mut cursor: MemtableCursor) -> Vec<(Bytes, u64)> {
        let mut seen = Vec::new();
        while let Some(entry) = cursor.to_entry() {
            seen.push((entry.key.slice(1..), entry.mod_revision));
            cursor.advance().expect("memory does not fail");
        }
        seen
    }

    #[test]
    fn reads_at_a_revision_see_no_later_version() {
        let table = Arc::new(Memtable::default());
        table.insert(&[entry("a", 2, "1")]);
        table.insert(&[entry("b", 3, "1")]);
        table.insert(&[entry("a", 4, "2")]);
        let key = [&[SPACE_USER], b"a".as_slice()].concat();
        assert_eq!(table.get(&key, 1), None);
        assert_eq!(table.get(&key, 3).map(|e| e.mod_revision), Some(2));
        assert_eq!(table.get(&key, u64::MAX).map(|e| e.mod_revision), Some(4));
        let seen = walk(table.cursor(all(), 3, false));
        assert_eq!(seen, [(Bytes::from("a"), 2), (Bytes::from("b"), 3)]);
        let seen = walk(table.history_cursor(all(), 4));
        assert_eq!(seen, [(Bytes::from("a"), 4), (Bytes::from("a"), 2), (Bytes::from("b"), 3)]);
    }

    #[test]
    fn scans_of_many_batches_are_whole_in_both_directions() {
        let table = Arc::new(Memtable::default());
        let count = 10 * NEXT_BATCH as u64;
        for i in 0..count {
            table.insert(&[entry(&format!("{i:05}"), i + 2, "v")]);
        }
        let forward = walk(table.cursor(all(), u64::MAX, false));
        let mut backward = walk(table.cursor(all(), u64::MAX, true));
        backward.reverse();
        assert_eq!(forward.len() as u64, count);
        assert_eq!(forward, backward);
    }

    #[test]
    fn events_come_in_order_and_stop_when_told() {
        let table = Arc::new(Memtable::default());
        let count = 3 * EVENT_BATCH as u64;
        for i in 0..count {
            table.insert(&[entry("k", i + 2, "v")]);
        }
        let mut seen = Vec::new();
        assert!(table.events(5, count, &mut |e| {
            seen.push(e.mod_revision);
            true
        }));
        assert_eq!(seen, (5..=count).collect::<Vec<_>>());
        assert!(!table.events(5, count, &mut |_| false));
    }
}
