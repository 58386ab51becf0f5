//! What watches read: history by revision, from the memtables' event arrays if it is recent, else from the runs.
//!
//! Nothing is queued for a watcher; it asks for a span of revisions and gets whole ones, up to a number of bytes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kv::{Event, EventKind, KeyRange, KeyValue, Revision};
use crate::sabotage::{Bug, is_planted};
use crate::store::Version;
use crate::store::entry::Entry;
use crate::store::key::bounds;
use crate::watch::{History, Page};

/// About what an event costs in memory beside its bytes.
const EVENT_OVERHEAD_BYTES: usize = 128;

impl History for Engine {
    fn check(&self) -> Result<()> {
        self.check_open()
    }

    fn compact_revision(&self) -> u64 {
        self.compacted.load(Ordering::Acquire)
    }

    fn events(&self, range: &KeyRange, from: u64, to: u64, prev_kv: bool, bytes_max: usize) -> Result<Page> {
        let version = self.version.load_full();
        // After the version: what has been dropped from it was published as compacted before.
        let compacted = self.compacted.load(Ordering::Acquire).max(version.compacted);
        if from < compacted {
            return Err(Error::Compacted { compacted: Revision::new(compacted) });
        }
        let late = u64::from(is_planted(Bug::WatchOffByOne));
        let found = collect(&version, range, from + late, to, bytes_max)?;
        let mut events = Vec::with_capacity(found.entries.len());
        for entry in found.entries {
            events.push(to_event(&version, &entry, prev_kv, compacted)?);
        }
        Ok(Page { events, examined: found.examined, next: found.next })
    }
}

struct Found {
    entries: Vec<Entry>,
    examined: u64,
    next: Option<u64>,
}

/// The changes of a range in `from..=to`, whole revisions only, oldest first, at least one and about `bytes_max`.
fn collect(version: &Version, range: &KeyRange, from: u64, to: u64, bytes_max: usize) -> Result<Found> {
    let mut page = Lowest::new(to, bytes_max);
    // Runs are older than memtables and oldest last; each holds revisions that no other member holds.
    for run in version.runs.iter().rev() {
        if run.info.max_revision < from {
            continue;
        }
        if run.info.min_revision > page.limit {
            return Ok(page.finish());
        }
        let bounds = bounds(range);
        run.history(&bounds.start, Some(&bounds.end), from, page.limit, &mut |entry| {
            if entry.mod_revision <= page.limit {
                page.add(entry.to_entry());
            }
            Ok(())
        })?;
    }
    for memtable in version.memtables.iter().rev() {
        memtable.events(from, page.limit, &mut |entry| {
            if !range.contains(&entry.key[1..]) {
                return true;
            }
            if is_planted(Bug::EventLate) && entry.mod_revision == to {
                return true;
            }
            page.add_in_order(entry).is_continue()
        });
    }
    Ok(page.finish())
}

/// Collects the changes with the lowest revisions, up to a number of bytes, cut at a whole revision.
struct Lowest {
    entries: BTreeMap<(u64, u32), Entry>,
    bytes: usize,
    bytes_max: usize,
    /// The highest revision that may still be part of the page.
    limit: u64,
    /// The lowest revision that was cut off.
    next: Option<u64>,
}

impl Lowest {
    fn new(limit: u64, bytes_max: usize) -> Self {
        Lowest { entries: BTreeMap::new(), bytes: 0, bytes_max, limit, next: None }
    }

    fn add(&mut self, entry: Entry) {
        self.bytes += entry_bytes(&entry);
        self.entries.insert((entry.mod_revision, entry.sub), entry);
        if is_planted(Bug::RevisionSplit) && self.bytes > self.bytes_max && self.entries.len() > 1 {
            let last = self.entries.pop_last().map(|((revision, _), _)| revision);
            (self.next, self.limit) = (last, self.limit.min(self.last_revision()));
        }
        while self.bytes > self.bytes_max && self.first_revision() < self.last_revision() {
            self.cut();
        }
    }

    /// As `add`, for changes that come in order: says when no later one can be part of the page.
    fn add_in_order(&mut self, entry: &Entry) -> ControlFlow<()> {
        if entry.mod_revision > self.limit {
            return ControlFlow::Break(());
        }
        self.add(entry.clone());
        if self.next.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Cuts the highest revision off.
    fn cut(&mut self) {
        let revision = self.last_revision();
        let cut = self.entries.split_off(&(revision, 0));
        self.bytes -= cut.values().map(entry_bytes).sum::<usize>();
        self.next = Some(revision);
        self.limit = revision - 1;
    }

    fn first_revision(&self) -> u64 {
        self.entries.first_key_value().map_or(0, |((revision, _), _)| *revision)
    }

    fn last_revision(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |((revision, _), _)| *revision)
    }

    fn finish(self) -> Found {
        Found { entries: self.entries.into_values().collect(), examined: self.limit, next: self.next }
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    entry.key.len() + entry.value.len() + EVENT_OVERHEAD_BYTES
}

fn to_event(version: &Arc<Version>, entry: &Entry, prev_kv: bool, compacted: u64) -> Result<Event> {
    let kind = if entry.tombstone { EventKind::Delete } else { EventKind::Put };
    let created = !entry.tombstone && entry.version == 1;
    let prev = if prev_kv && !created { previous(version, entry, compacted)? } else { None };
    Ok(Event { kind, kv: entry.to_kv(), prev })
}

/// The key at the revision before its change, unless that has been compacted (WA-07).
fn previous(version: &Version, entry: &Entry, compacted: u64) -> Result<Option<KeyValue>> {
    let before = entry.mod_revision - 1;
    if before < compacted {
        return Ok(None);
    }
    let found = version.get(&entry.key, before)?;
    Ok(found.filter(|entry| !entry.tombstone).map(|entry| entry.to_kv()))
}
