//! Looking at a store: hashes, statistics, health. `Db::check` is in `verify.rs`.

use std::sync::atomic::Ordering;

use crate::codec::Write;
use crate::engine::Engine;
use crate::engine::apply::check_revision;
use crate::error::{Error, Result};
use crate::kv::Revision;
use crate::store::Version;
use crate::store::entry::EntryRef;
use crate::store::key::all_user_keys;
use crate::store::merge::{KeyRetention, Retention, Source};

/// A hash of everything that is retained up to a revision, as etcd's `HashKVResponse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashResponse {
    /// CRC-32 of the retained history in a canonical encoding. Equal stores have equal hashes, whatever space has been
    /// reclaimed.
    ///
    /// Differs from etcd: `HashKVResponse.hash` is a CRC-32C over etcd's own encoding, so the numbers never compare.
    pub hash: u32,
    /// The revision that it is of.
    pub hash_revision: Revision,
    /// The compact revision that it was computed at; hashes at different ones differ.
    pub compact_revision: Revision,
    /// The store's revision.
    pub revision: Revision,
}

/// Counters and sizes of an open store. New fields come with new releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The revision that readers see.
    pub revision: Revision,
    /// The compact revision; zero while nothing was compacted.
    pub compact_revision: Revision,
    /// The highest revision that is on the disk.
    pub synced_revision: Revision,
    /// The revision that the last open recovered. Revisions above it may have been told by a relaxed store before a
    /// crash, and are given again.
    pub recovered_revision: Revision,
    /// How often the store was opened for writing.
    pub epoch: u64,
    /// Bytes of the memtables, about.
    pub memtable_bytes: u64,
    /// How many memtables there are; more than one means that flushes wait.
    pub memtables: u64,
    /// How many runs there are.
    pub runs: u64,
    /// Bytes of the runs on disk.
    pub run_bytes: u64,
    /// Entries in the runs: versions and tombstones, attachments of leases included.
    pub run_entries: u64,
    /// Bytes of live data and retained history, about; what a quota is compared with.
    pub live_bytes: u64,
    /// How many segments the log has.
    pub log_segments: u64,
    /// Bytes of records logged since the open.
    pub logged_bytes: u64,
    /// How many leases there are.
    pub leases: u64,
    /// How many operations with an id are remembered.
    pub operation_ids: u64,
    /// How many cursors there are.
    pub cursors: u64,
    /// How many watches are open.
    pub watches: u64,
    /// How many snapshots are pinned: those that have grown too old no longer are.
    pub snapshots: u64,
    /// Bytes of memtables and runs that live for the sake of snapshots alone.
    pub pinned_bytes: u64,
    /// The cluster that this store is a member of by itself: drawn when it was created, and kept.
    pub cluster_id: u64,
    /// The store's id as a member.
    pub member_id: u64,
}

/// Whether a store can be written, and what is wrong if not.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Health {
    /// Reads and writes work.
    Ok,
    /// Opened read-only.
    ReadOnly,
    /// Background work failed and is tried again; writes may become [`Error::Full`].
    Degraded(Error),
    /// Writing has stopped until the store is reopened; reads go on.
    Poisoned(Error),
    /// The store is closed.
    Closed,
}

impl Engine {
    /// Hashes what is logically retained up to `at`; zero is the latest (CP-06).
    pub(crate) fn hash(&self, at: Revision) -> Result<HashResponse> {
        self.check_open()?;
        let view = self.view();
        let compacted = view.compacted.max(view.version.compacted);
        check_revision(at, view.revision, compacted)?;
        let revision = if at == Revision::ZERO { view.revision } else { at.get() };
        Ok(HashResponse {
            hash: hash_retained(&view.version, revision, compacted)?,
            hash_revision: Revision::new(revision),
            compact_revision: Revision::new(compacted),
            revision: Revision::new(view.revision),
        })
    }

    /// The cluster's id, and the store's as its member.
    #[cfg(feature = "proto")]
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.meta.cluster_id, self.meta.member_id)
    }

    pub(crate) fn stats(&self) -> Stats {
        let version = self.version.load_full();
        let sum = |of: fn(&crate::store::run::RunInfo) -> u64| version.runs.iter().map(|run| of(&run.info)).sum();
        let mut stats = Stats {
            revision: self.revision(),
            compact_revision: self.compact_revision(),
            synced_revision: self.synced_revision(),
            recovered_revision: Revision::new(self.recovered_revision.load(Ordering::Acquire)),
            memtable_bytes: version.memtables.iter().map(|memtable| memtable.bytes() as u64).sum(),
            memtables: version.memtables.len() as u64,
            runs: version.runs.len() as u64,
            run_bytes: sum(|info| info.len),
            run_entries: sum(|info| info.entries),
            live_bytes: live_bytes(&version, self.compacted.load(Ordering::Acquire)),
            watches: self.hub.len() as u64,
            epoch: self.meta.epoch,
            cluster_id: self.meta.cluster_id,
            member_id: self.meta.member_id,
            cursors: self.cursors.lock().len() as u64,
            ..Stats::default()
        };
        {
            let state = &self.core.lock().state;
            (stats.leases, stats.operation_ids) = (state.leases_usable(), state.operations.len() as u64);
        }
        (stats.snapshots, stats.pinned_bytes) = self.pinned();
        if let Some(writer) = &self.writer {
            stats.log_segments = writer.log.segments().len() as u64;
            stats.logged_bytes = writer.log.written_bytes();
        }
        stats
    }

    pub(crate) fn health(&self) -> Health {
        if self.check_open().is_err() {
            return Health::Closed;
        }
        if let Some(error) = self.poison() {
            return Health::Poisoned(error);
        }
        match self.background.error() {
            Some(error) => Health::Degraded(error),
            None if self.writer.is_none() => Health::ReadOnly,
            None => Health::Ok,
        }
    }
}

/// The hash of what is logically retained at or below `revision`.
pub(crate) fn hash_retained(version: &Version, revision: u64, compacted: u64) -> Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut line = Vec::new();
    visit_retained(version, revision, compacted, &mut |entry| {
        line.clear();
        encode_canonical(&entry, &mut line);
        hasher.update(&line);
        Ok(())
    })?;
    Ok(hasher.finalize())
}

/// Shows the user keys' entries that are logically retained at or below `revision`, whatever has been reclaimed.
pub(crate) fn visit_retained(
    version: &Version,
    revision: u64,
    compacted: u64,
    visit: &mut dyn FnMut(EntryRef<'_>) -> Result<()>,
) -> Result<()> {
    let bounds = all_user_keys();
    let mut merged = version.history(&bounds, revision)?;
    let retention = Retention { compact_revision: compacted, bottom: true };
    let mut of_key: Option<(Vec<u8>, KeyRetention)> = None;
    while let Some(entry) = merged.entry() {
        if *entry.key >= *bounds.end {
            break;
        }
        if of_key.as_ref().is_none_or(|(key, _)| **key != *entry.key) {
            of_key = Some((entry.key.to_vec(), retention.key(entry.key)));
        }
        let (_, keeps) = of_key.as_mut().expect("set just above");
        if entry.mod_revision <= revision && keeps.keeps(entry.mod_revision, entry.tombstone) {
            visit(entry)?;
        }
        merged.advance()?;
    }
    Ok(())
}

/// One entry in the encoding that hashes are computed over: it must never change.
fn encode_canonical(entry: &EntryRef<'_>, out: &mut Vec<u8>) {
    out.put_bytes(&entry.key[1..]);
    for number in [entry.mod_revision, u64::from(entry.sub), entry.create_revision, entry.version] {
        out.put_varint(number);
    }
    out.put_varint_signed(entry.lease);
    out.put_u8(u8::from(entry.tombstone));
    out.put_bytes(entry.value);
}

/// Live data and retained history in bytes, about: what is superseded at or below the compact revision does not count,
/// though its space may not be reclaimed yet.
pub(crate) fn live_bytes(version: &Version, compacted: u64) -> u64 {
    let of_memtables: u64 = version.memtables.iter().map(|memtable| memtable.bytes() as u64).sum();
    let of_runs: u64 = version
        .runs
        .iter()
        .map(|run| {
            let garbage = run.info.garbage.iter().rev().find(|(revision, _)| *revision <= compacted);
            let garbage = garbage.map_or(0, |(_, count)| (*count).min(run.info.entries));
            let live = u128::from(run.info.len) * u128::from(run.info.entries - garbage);
            u64::try_from(live / u128::from(run.info.entries.max(1))).unwrap_or(run.info.len)
        })
        .sum();
    of_memtables + of_runs
}
