//! Backup: a copy of the store as of one published log index, written as a store of its own. A restore is a backup of a
//! backup, whose revision may be raised on the way.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Engine;
use crate::engine::cursors::{Cursors, cursor_row};
use crate::engine::leases::whole_millis;
use crate::engine::reorganize::{lease_row, run_row, segment_row};
use crate::engine::state::Lease;
use crate::error::{Error, Invalid, Result};
use crate::io::fs::{FsDisk, FsOptions, publish_directory, remove_directory};
use crate::io::{Disk, IoSite};
use crate::kv::{LeaseId, Revision};
use crate::log::{Log, LogOptions};
use crate::store::Version;
use crate::store::catalog::{Catalog, Checkpoint, Contents, Meta, OperationsRow};
use crate::store::key::everything;
use crate::store::merge::{ENTRIES_PER_ABORT_CHECK, Merged, Retention, merge_into};
use crate::store::state_file::{self, Remembered};

/// How many backups and imports this process has begun.
static BACKUPS: AtomicU64 = AtomicU64::new(0);

/// How a copy differs from its original; see [`Db::backup_with`](crate::Db::backup_with).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// By how much the copy's revision is above the original's; zero, the default, keeps it. More than what was written
    /// since the original was made, and no revision that somebody has seen is given a second time. As `etcdutl snapshot
    /// restore --bump-revision`.
    ///
    /// Differs from etcd: any bump marks the copy as compacted, so that no watch that goes on from an older revision
    /// is told that nothing happened in between.
    pub bump_revision: u64,
    /// Whether the copy is compacted at its revision, history being left out: whoever goes on from before is told so.
    /// As `etcdutl snapshot restore --mark-compacted`.
    pub mark_compacted: bool,
}

/// The highest revision there can be: etcd's are signed.
const REVISION_MAX: u64 = i64::MAX as u64;

/// What a backup copies: the state at one log index, all of it published.
struct Pinned {
    version: Arc<Version>,
    revision: u64,
    term: u64,
    index: u64,
    compact_revision: Option<u64>,
    compact_ordered: Option<u64>,
    cursors: Cursors,
    leases: Vec<(LeaseId, Lease)>,
    operations: (OperationsRow, Vec<Arc<Remembered>>),
}

impl Engine {
    /// Writes a backup to the new directory `path`, under a temporary name beside it until it is whole.
    pub(crate) fn backup(
        &self,
        path: &Path,
        options: &BackupOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Revision> {
        write_whole(path, "back up to", |disk| self.backup_to(disk, options, progress))
    }

    /// Writes a backup to an empty disk; durable on return.
    pub(crate) fn backup_to(
        &self,
        disk: &Arc<dyn Disk>,
        options: &BackupOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Revision> {
        let mut pinned = self.pin()?;
        let sources = pinned.version.history(&everything(), pinned.revision)?;
        pinned.raise(options)?;
        create_directories(disk)?;
        let mut contents = Contents { meta: self.backup_meta(), ..Contents::default() };
        let store_id = contents.meta.store_id;
        let retention = Retention { compact_revision: pinned.compact_revision.unwrap_or(0), bottom: true };
        let (total, done, progress) = (pinned.version.entry_count(), Cell::new(0), RefCell::new(progress));
        let tick = || {
            (progress.borrow_mut())(done.get(), total);
            done.set(done.get() + ENTRIES_PER_ABORT_CHECK);
            false
        };
        let run = merge_into(disk, store_id, 1, Merged::new(vec![sources], false), retention, &tick)?;
        if let Some(info) = run {
            contents.runs.insert(info.id, run_row(&info, 1));
        }
        let (row, remembered) = &pinned.operations;
        contents.operations = *row;
        if !remembered.is_empty() {
            contents.state_files.insert(1, state_file::write(disk, store_id, 1, remembered)?);
        }
        contents.checkpoint = Checkpoint {
            revision: pinned.revision,
            term: pinned.term,
            index: pinned.index,
            compact_revision: pinned.compact_revision,
            compact_ordered: pinned.compact_ordered,
            ..Checkpoint::default()
        };
        contents.cursors = pinned.cursors.iter().map(|(name, cursor)| (name.to_vec(), cursor_row(cursor))).collect();
        contents.leases = pinned.leases.iter().map(|(id, lease)| (id.get(), lease_row(lease))).collect();
        complete(disk, contents)?;
        Ok(Revision::new(pinned.revision))
    }

    /// A new store's identity: a copy must never be taken for its original.
    fn backup_meta(&self) -> Meta {
        let mut meta = crate::engine::recover::new_meta(self.clock.as_ref());
        meta.epoch = 0;
        meta.next_run = 2;
        meta
    }

    /// Pins the head once it is published; of a poisoned store, whose head never will be, what is published.
    fn pin(&self) -> Result<Pinned> {
        let (pinned, ticket) = {
            let core = self.core.lock();
            let state = &core.state;
            let pinned = Pinned {
                version: self.version.load_full(),
                revision: state.revision,
                term: state.term,
                index: state.index,
                compact_revision: state.compact_revision,
                compact_ordered: state.compact_ordered,
                cursors: state.cursors.clone(),
                leases: state.leases.iter().map(|(id, lease)| (*id, lease.clone())).collect(),
                operations: (state.operations.row(state.index), state.operations.above(0)),
            };
            (pinned, core.ticket())
        };
        let mut pinned = match self.writer.is_some().then(|| self.wait(ticket)) {
            None | Some(Ok(())) => pinned,
            Some(Err(Error::Poisoned | Error::Indeterminate)) => self.pin_published(pinned),
            Some(Err(error)) => return Err(error),
        };
        self.stamp_leases(&mut pinned);
        Ok(pinned)
    }

    /// What is published of a pinned head: the visible revision, and the leases that the lessor knows.
    fn pin_published(&self, mut pinned: Pinned) -> Pinned {
        // Who leads now may still publish; after him nothing moves, and revision, index and cursors belong together.
        self.await_last_leader();
        // A flush between looking at the revision and at the runs would put more into them than the revision says.
        let view = loop {
            let view = self.view();
            if view.version.runs.first().is_none_or(|run| run.info.max_revision <= view.revision) {
                break view;
            }
        };
        pinned.version = view.version;
        pinned.revision = view.revision;
        pinned.index = self.published_index();
        pinned.cursors = self.cursors.lock().clone();
        pinned.compact_revision = pinned.compact_revision.map(|_| view.compacted);
        // What a command that is not published dropped counts as dropped: who asks for it is told that it is not known.
        pinned.operations.1.retain(|record| record.index <= pinned.index);
        let published = self.lessor.list(self.lease_now()).into_iter();
        pinned.leases = published.map(|(id, time)| (id, time.terms.lease())).collect();
        pinned
    }

    /// Writes down what is left of each lease now.
    fn stamp_leases(&self, pinned: &mut Pinned) {
        let stamp = self.stamp();
        let now = self.lease_time(&stamp);
        for (id, lease) in &mut pinned.leases {
            if let Some(time) = self.lessor.time(*id, now) {
                lease.remaining_ms = whole_millis(time.remaining);
                lease.stamp = stamp;
                lease.renewed = false;
            }
        }
    }
}

impl Pinned {
    /// Raises the revision as asked, and lets history end there.
    fn raise(&mut self, options: &BackupOptions) -> Result<()> {
        let bump = options.bump_revision;
        self.revision = self
            .revision
            .checked_add(bump)
            .filter(|revision| *revision <= REVISION_MAX)
            .ok_or(Error::InvalidArgument(Invalid::Argument("bump_revision goes beyond the highest revision")))?;
        if options.mark_compacted || bump > 0 {
            self.compact_revision = Some(self.revision);
        }
        Ok(())
    }
}

/// Makes a store in the new directory `path`, which appears whole or not at all: until `write` is through with it, it has
/// a temporary name beside that. `what` is what errors say was being done.
pub(crate) fn write_whole<T>(
    path: &Path,
    what: &'static str,
    write: impl FnOnce(&Arc<dyn Disk>) -> Result<T>,
) -> Result<T> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // A number of its own, so that two that write to one path do not write into each other's.
    let number = BACKUPS.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".incomplete-{}-{number}", crate::io::thread::process_id()));
    let temporary = path.with_file_name(name);
    if path.symlink_metadata().is_ok() {
        let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::io(what, path, exists));
    }
    remove_directory(&temporary)?;
    let disk: Arc<dyn Disk> = Arc::new(FsDisk::open(&temporary, FsOptions { create: true, ..FsOptions::default() })?);
    let written = write(&disk).and_then(|answer| {
        publish_directory(&temporary, path)?;
        Ok(answer)
    });
    if written.is_err() {
        // Best effort: what is left has a name of its own and is no store.
        let _ = remove_directory(&temporary);
    }
    written
}

/// Makes the directories of a new store on an empty disk.
pub(crate) fn create_directories(disk: &Arc<dyn Disk>) -> Result<()> {
    for dir in ["log", "run", state_file::DIRECTORY] {
        disk.create_dir(IoSite::BackupCreate, dir).map_err(|error| Error::io("create directory", dir, error))?;
    }
    Ok(())
}

/// Completes a new store whose runs are written: an empty log that goes on behind the checkpoint, then the catalog that
/// names everything. Durable on return.
pub(crate) fn complete(disk: &Arc<dyn Disk>, mut contents: Contents) -> Result<()> {
    let store_id = contents.meta.store_id;
    let options = LogOptions { segment_bytes: 64 << 20, fill_bytes_min: 1 << 20, spare: false };
    let base = (contents.checkpoint.term, contents.checkpoint.index);
    let log = Log::start(disk.clone(), store_id, 1, options, 1, base, 1, &[], Vec::new())?;
    for span in log.segments() {
        contents.segments.insert(span.info.seq, segment_row(&span.info));
    }
    disk.sync_dir(IoSite::BackupSyncDir, "").map_err(|error| Error::io("sync directory", "", error))?;
    Catalog::create(disk, &contents)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use std::sync::mpsc;
    use std::time::Duration;

    /// The revision of a poisoned store was looked at, then a flush put a newer one into a run, then the runs were looked
    /// at: the backup held more than its revision said.
    #[test]
    fn a_backup_of_a_poisoned_store_holds_nothing_above_its_revision() {
        let db = Options::new().in_memory().expect("a store in memory opens");
        for key in ["a", "b"] {
            db.put(key, "1").expect("a put in memory");
        }
        db.flush().expect("a flush in memory");
        let engine = db.engine().clone();
        // As the moment looks in which the leader has not moved the revision yet, and what it wrote is in a run.
        engine.commit.set_published(engine.published_index() - 1);
        engine.visible.store(2, Ordering::Release);
        engine.set_poison(Error::Poisoned);
        let (pinned, taken) = mpsc::channel();
        let pinning = engine.clone();
        std::thread::spawn(move || pinned.send(pinning.pin().map(|pinned| pinned.revision)));
        let early = taken.recv_timeout(Duration::from_millis(100));
        assert!(early.is_err(), "revision 2, and runs up to 3: {early:?}");
        engine.visible.store(3, Ordering::Release);
        assert!(matches!(taken.recv(), Ok(Ok(3))));
    }
}
