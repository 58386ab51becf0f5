//! `check`: every checksum, every order, and that the parts agree with one another. Changes nothing.
//!
//! What is on the disk is opened a second time, read-only, by the code that opens stores: so the log is not only whole,
//! applying it on top of the runs comes to what the open store shows. What `deep` adds is in `verify/deep.rs`.

mod deep;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::inspect::hash_retained;
use crate::engine::recover::Opening;
use crate::engine::state::Lease;
use crate::error::{Error, Result};
use crate::io::DiskLock;
use crate::kv::LeaseId;
use crate::store::Version;
use crate::store::catalog::{self, Catalog, Contents};
use crate::store::entry::{Entry, SPACE_USER};
use crate::store::key::{all_attachments, all_user_keys, attached_key, attachment_key, attachment_lease};
use crate::store::merge::Source;
use crate::store::run::run_path;
use crate::store::state_file;

/// How far a check goes; see [`Db::check_with`](crate::Db::check_with).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Whether every key is also read as of every revision at which it changed, and the changes of each retained
    /// revision are counted, from the oldest on: what was left out or read wrongly shows, though every file is whole.
    /// Takes 16 bytes of memory for each change that is retained.
    pub deep: bool,
}

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

    /// Leaves one problem of each place: a damaged block is met by whoever reads it. What has no place in a file counts by
    /// what it is.
    fn name_each_place_once(&mut self) {
        let mut known = BTreeSet::new();
        self.problems.retain(|problem| {
            let what = if problem.offset == 0 { problem.what.as_str() } else { "" };
            known.insert((problem.file.clone(), problem.offset, what.to_owned()))
        });
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

/// How far a check has come, in bytes read, about.
struct Ticks<'p> {
    done: u64,
    told: u64,
    total: u64,
    progress: &'p mut dyn FnMut(u64, u64),
}

impl<'p> Ticks<'p> {
    /// Everything is read twice: file by file, then key by key; deeply, once more.
    fn new(version: &Version, options: &CheckOptions, progress: &'p mut dyn FnMut(u64, u64)) -> Self {
        let memtables: u64 = version.memtables.iter().map(|memtable| memtable.bytes() as u64).sum();
        let runs: u64 = version.runs.iter().map(|run| run.info.len).sum();
        let walks = if options.deep { 2 } else { 1 };
        Ticks { done: 0, told: 0, total: runs + walks * (runs + memtables), progress }
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done >= self.told + TELL_BYTES {
            self.told = self.done;
            (self.progress)(self.done.min(self.total), self.total);
        }
    }
}

/// How much is read between two calls of a progress callback.
const TELL_BYTES: u64 = 256 << 10;

/// What an entry takes beside its key and value, about.
const ENTRY_OVERHEAD_BYTES: usize = 48;

fn entry_bytes(entry: &Entry) -> u64 {
    (entry.key.len() + entry.value.len() + ENTRY_OVERHEAD_BYTES) as u64
}

/// What the open store shows at the moment at which its log is looked at.
struct Head {
    version: Arc<Version>,
    index: u64,
    compacted: u64,
    leases: BTreeMap<LeaseId, Lease>,
}

impl Engine {
    pub(crate) fn check(&self, options: &CheckOptions, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport> {
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
        let mut ticks = Ticks::new(&version, options, progress);
        check_runs(&version, &mut ticks, &mut report)?;
        self.check_catalog_and_log(&mut report)?;
        if report.is_clean() {
            let histories = check_histories(&version, revision, compacted, &mut ticks, &mut report);
            report.note(histories)?;
            let attached = check_attachments(&version, revision, &leases, &mut report);
            report.note(attached)?;
        }
        if options.deep && report.is_clean() {
            let deeply = deep::check(&version, revision, compacted, &mut ticks, &mut report);
            report.note(deeply)?;
        }
        report.name_each_place_once();
        Ok(report)
    }

    fn check_catalog_and_log(&self, report: &mut CheckReport) -> Result<()> {
        let Some(writer) = &self.writer else {
            return match Catalog::read(&self.disk) {
                Ok(contents) => self.check_log(&contents, report),
                Err(error) => report.note(Err(error)),
            };
        };
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
        self.check_log(&contents, report)
    }

    /// Reads the log, applies what the runs do not hold on a copy, and compares.
    fn check_log(&self, contents: &Contents, report: &mut CheckReport) -> Result<()> {
        let mut options = self.options.clone().read_only(true);
        options.log_hook = None;
        let (disk, clock) = (self.disk.clone(), self.clock.clone());
        let opening = Opening { disk, clock, options, lock: DiskLock(None) };
        let look = || Ok((opening.scan(contents)?, self.head()));
        let found = if self.writer.is_some() { self.with_log_at_rest(look) } else { look() };
        let compared = found.and_then(|(scan, head)| {
            let copy = opening.replayed(contents, &scan)?;
            self.compare(&copy, &head, report)
        });
        report.note(compared)
    }

    fn head(&self) -> Head {
        let core = self.core.lock();
        let state = &core.state;
        Head {
            version: self.version.load_full(),
            index: state.index,
            compacted: state.compacted(),
            leases: state.leases.clone(),
        }
    }

    /// The copy is what the disk holds; the head may be ahead of it by what is being written.
    fn compare(&self, copy: &Engine, head: &Head, report: &mut CheckReport) -> Result<()> {
        let ours = copy.head();
        let revision = copy.revision().get();
        if ours.index > head.index {
            report.add("", "the log holds commands that the store has not applied");
        }
        // Leases of a store that cannot be written are as they were recovered, in both.
        if ours.index == head.index && (ours.leases != head.leases || ours.compacted != head.compacted) {
            report.add("", "leases or compact revision differ from what runs and log come to");
        }
        let compacted = head.compacted.max(ours.compacted);
        if revision >= compacted {
            let hash = |version: &Version| hash_retained(version, revision, compacted);
            if hash(&ours.version)? != hash(&head.version)? {
                report.add("", "keys differ from what runs and log come to");
            }
        }
        Ok(())
    }
}

fn check_runs(version: &Version, ticks: &mut Ticks<'_>, report: &mut CheckReport) -> Result<()> {
    for run in &version.runs {
        report.note(run.verify(&mut |bytes| ticks.add(bytes)))?;
    }
    for pair in version.runs.windows(2) {
        if pair[0].info.min_revision <= pair[1].info.max_revision {
            report.add(run_path(pair[0].info.id), "its revisions overlap those of an older run");
        }
    }
    Ok(())
}

/// The rules of revisions and versions, key by key. What was superseded at or below the compact revision may be gone
/// from one run and still be in an older one, so there versions have gaps.
fn check_histories(
    version: &Version,
    revision: u64,
    compacted: u64,
    ticks: &mut Ticks<'_>,
    report: &mut CheckReport,
) -> Result<()> {
    let bounds = all_user_keys();
    // Memtables take writes meanwhile, which are beside the point; what runs hold is shown whole.
    let mut merged = version.history(&bounds, revision)?;
    let mut newer: Option<Entry> = None;
    while let Some(entry) = merged.to_entry() {
        if entry.key[0] != SPACE_USER {
            break;
        }
        ticks.add(entry_bytes(&entry));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use crate::store::entry::SPACE_USER;

    fn problems(db: &Db) -> Vec<String> {
        db.check().expect("a store in memory can be read").problems.into_iter().map(|problem| problem.what).collect()
    }

    /// A check read the log, but did not ask what applying it comes to.
    #[test]
    fn g3_the_log_comes_to_what_the_store_shows() {
        let db = Db::in_memory().expect("a store in memory opens");
        db.put("a", "1").expect("a put in memory");
        let lease = db.grant_with_id(7, std::time::Duration::from_secs(3600)).expect("a grant in memory");
        assert_eq!(problems(&db), [""; 0]);
        let engine = db.engine().clone();
        let forgotten = engine.core.lock().state.leases.remove(&lease.id()).expect("granted");
        assert_eq!(problems(&db), ["leases or compact revision differ from what runs and log come to"]);
        engine.core.lock().state.leases.insert(lease.id(), forgotten);
        assert_eq!(problems(&db), [""; 0]);
        let key = bytes::Bytes::from_static(&[SPACE_USER, b'b']);
        let (value, version) = (key.clone(), 1);
        let stray =
            Entry { key, mod_revision: 2, sub: 1, create_revision: 2, version, lease: 0, tombstone: false, value };
        engine.version.load().active().insert(&[stray]);
        assert_eq!(problems(&db), ["keys differ from what runs and log come to"]);
    }

    #[test]
    fn a_damaged_place_is_named_once() {
        let mut report = CheckReport::default();
        for (file, offset, what) in [
            ("run", 4096, "checksum"),
            ("log", 0, "torn"),
            ("run", 4096, "order"),
            ("log", 0, "torn"),
            ("log", 0, "gap"),
        ] {
            report.note(Err(Error::corrupt(file, offset, what))).expect("damage ends no check");
        }
        report.name_each_place_once();
        let told: Vec<_> = report.problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(told, ["checksum", "torn", "gap"]);
    }

    #[test]
    fn progress_rises_to_about_the_whole() {
        let db = Db::in_memory().expect("a store in memory opens");
        for i in 0..200 {
            db.put(format!("k{i}"), vec![b'v'; 20_000]).expect("a put in memory");
        }
        db.flush().expect("a flush in memory");
        let mut told = Vec::new();
        let options = CheckOptions { deep: true };
        assert!(
            db.check_with(&options, &mut |done, total| told.push((done, total))).expect("it can be read").is_clean()
        );
        assert!(told.is_sorted() && told.len() > 10, "{told:?}");
        let (done, total) = told[told.len() - 1];
        assert!(done <= total && done > total * 8 / 10, "{done} of {total}");
    }
}
