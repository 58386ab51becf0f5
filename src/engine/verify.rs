//! `check`: every checksum, every order, and that the parts agree with one another. Changes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::recover::segment_info;
use crate::error::{Error, Result};
use crate::kv::LeaseId;
use crate::log::scan;
use crate::store::Version;
use crate::store::catalog::{self, Catalog};
use crate::store::entry::{Entry, SPACE_USER};
use crate::store::key::{all_attachments, all_user_keys, attached_key, attachment_key, attachment_lease};
use crate::store::merge::Source;
use crate::store::run::run_path;
use crate::store::state_file;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What is wrong, and where; empty if nothing is.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the store; empty if it is not in one file.
    pub file: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, file: impl Into<PathBuf>, what: impl Into<String>) {
        self.problems.push(Problem { file: file.into(), offset: 0, what: what.into() });
    }

    /// Notes damage; any other error ends the check.
    fn note(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(Error::Corrupt { file, offset, what }) => {
                self.problems.push(Problem { file, offset, what: what.to_owned() });
                Ok(())
            }
            other => other,
        }
    }
}

impl Engine {
    pub(crate) fn check(&self) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let (version, leases, revision, compacted) = {
            let core = self.core.lock();
            if !core.state.cursors_hold() {
                report.add("", "a live cursor was passed by compaction, or is ahead of the store");
            }
            if !core.state.operations.is_sound(core.state.index) {
                report.add("", "remembered operations are out of order, or an id is there twice");
            }
            let leases: BTreeSet<LeaseId> = core.state.leases.keys().copied().collect();
            (self.version.load_full(), leases, core.state.revision, core.state.compacted())
        };
        self.check_files(&version, &mut report)?;
        if report.is_clean() {
            let histories = check_histories(&version, revision, compacted, &mut report);
            report.note(histories)?;
            let attached = check_attachments(&version, revision, &leases, &mut report);
            report.note(attached)?;
        }
        Ok(report)
    }

    fn check_files(&self, version: &Version, report: &mut CheckReport) -> Result<()> {
        for run in &version.runs {
            report.note(run.verify(&mut |_| {}))?;
        }
        for pair in version.runs.windows(2) {
            if pair[0].info.min_revision <= pair[1].info.max_revision {
                report.add(run_path(pair[0].info.id), "its revisions overlap those of an older run");
            }
        }
        let Some(writer) = &self.writer else { return Ok(()) };
        // Neither may change while it is read.
        let _flushing = writer.flushing.lock();
        let _merging = writer.merging.lock();
        let _editing = writer.editing.lock();
        let contents = match Catalog::read(&self.disk) {
            Ok(contents) => contents,
            Err(error) => return report.note(Err(error)),
        };
        if contents != writer.catalog.contents() {
            report.add(catalog::FILE, "it differs from what was written to it");
        }
        for (id, row) in &contents.state_files {
            report.note(state_file::read(&self.disk, contents.meta.store_id, *id, row).map(drop))?;
        }
        let segments: Vec<_> = contents.segments.iter().map(|(seq, row)| segment_info(*seq, row)).collect();
        report.note(self.with_log_at_rest(|| {
            scan(&self.disk, contents.meta.store_id, &segments, 0, contents.checkpoint.index).map(drop)
        }))
    }
}

/// The rules of revisions and versions, key by key. What was superseded at or below the compact revision may be gone
/// from one run and still be in an older one, so there versions have gaps.
fn check_histories(version: &Arc<Version>, revision: u64, compacted: u64, report: &mut CheckReport) -> Result<()> {
    let bounds = all_user_keys();
    // Memtables take writes meanwhile, which are beside the point; what runs hold is shown whole.
    let mut merged = version.history(&bounds, revision)?;
    let mut newer: Option<Entry> = None;
    while let Some(entry) = merged.to_entry() {
        if entry.key[0] != SPACE_USER {
            break;
        }
        if entry.mod_revision > revision {
            report.add("", "a key was changed at a revision that the store has not reached");
        }
        if !entry.tombstone && (entry.create_revision > entry.mod_revision || entry.version == 0) {
            report.add("", "a key was created after its last change, or has version 0");
        }
        if let Some(newer) = newer.filter(|newer| newer.key == entry.key) {
            check_successor(&entry, &newer, newer.mod_revision > compacted, report);
        }
        newer = Some(entry);
        merged.advance()?;
    }
    Ok(())
}

fn check_successor(older: &Entry, newer: &Entry, is_next: bool, report: &mut CheckReport) {
    if (older.mod_revision, older.sub) >= (newer.mod_revision, newer.sub) {
        report.add("", "the versions of a key are out of order");
    }
    if !is_next {
        return;
    }
    let continues = !older.tombstone && !newer.tombstone && newer.version > 1;
    if continues && (newer.version != older.version + 1 || newer.create_revision != older.create_revision) {
        report.add("", "a key's version does not count its changes since its creation");
    }
    if older.tombstone && newer.tombstone {
        report.add("", "a key was deleted twice in a row");
    }
}

/// Attachments and the lease fields of live keys say the same, and every lease exists.
fn check_attachments(
    version: &Version,
    revision: u64,
    leases: &BTreeSet<LeaseId>,
    report: &mut CheckReport,
) -> Result<()> {
    let mut attached = version.scan(all_attachments(), revision, false)?;
    while let Some(entry) = attached.next()? {
        let (key, lease) = (attached_key(&entry.key), attachment_lease(&entry.key));
        let holder = version.get(&crate::store::key::user_key(&key), revision)?.filter(|entry| !entry.tombstone);
        if holder.map(|entry| LeaseId::new(entry.lease)) != lease {
            report.add("", "a lease holds a key that does not carry it");
        }
        if lease.is_none_or(|lease| !leases.contains(&lease)) {
            report.add("", "a key is attached to a lease that does not exist");
        }
    }
    let mut keys = version.scan(all_user_keys(), revision, false)?;
    while let Some(entry) = keys.next()? {
        let lease = LeaseId::new(entry.lease);
        if lease.is_none() {
            continue;
        }
        let attachment = version.get(&attachment_key(lease, &entry.key[1..]), revision)?;
        if attachment.is_none_or(|attachment| attachment.tombstone) {
            report.add("", "a key carries a lease that does not hold it");
        }
    }
    Ok(())
}
