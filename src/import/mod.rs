//! Coming over from etcd: [`import_etcd`] makes a store from an etcd snapshot.
//!
//! ```no_run
//! use etclite::import::{ImportOptions, import_etcd};
//! # fn main() -> etclite::Result<()> {
//! // etcdctl snapshot save snapshot.db
//! let report = import_etcd("snapshot.db", "app.etcl", &ImportOptions::default(), &mut |_| {})?;
//! println!("{} changes up to revision {}", report.changes, report.revision);
//! let db = etclite::Db::open("app.etcl")?;
//! assert_eq!(db.revision(), report.revision);
//! # Ok(())
//! # }
//! ```
//!
//! What comes along: every retained revision of every key with its metadata, deletions, leases and which keys they hold,
//! the revision and the compact revision. So a range at a revision, a watch from one, a compare of a version answer as
//! that etcd would have; revisions go on from there and are never given twice.
//!
//! What stays behind: users and roles, members, alarms. A lease begins its whole granted time anew with the first
//! writable open of the store, as a restored etcd begins it when it has a leader.
//!
//! ```text
//! bolt.rs      the file: metas, pages, buckets         nothing in it is trusted
//! message.rs   the two protobuf messages in it
//! snapshot.rs  changes in revision order, compact revision, leases
//!    '----> engine/build.rs: runs, log, catalog
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::backup::write_whole;
use crate::engine::build::{Builder, Head, Sizes};
use crate::engine::recover::new_meta;
use crate::engine::stamp_of;
use crate::engine::state::Lease;
use crate::error::{Error, Invalid, Result};
use crate::io::fs::{SystemClock, open_file};
use crate::io::{Clock, Disk, DiskFile};
use crate::kv::{LeaseId, Revision};
use crate::store::entry::Entry;
use crate::store::key::user_key;

mod bolt;
mod message;
mod snapshot;

use snapshot::{Change, REVISION_MAX, Snapshot};

/// How a snapshot is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Accept a file without the SHA-256 that `etcdctl snapshot save` puts at its end, such as a member's `snap/db`, and
    /// do not compare one that is there (etcdutl's `--skip-hash-check`). Without it damage to a value is not noticed.
    pub skip_hash_check: bool,
    /// How much to add to the snapshot's revision (etcdutl's `--bump-revision`): above what clients may have seen since
    /// the snapshot was made, so that no revision means two things. Zero adds nothing. At most 2^62 with the revision.
    pub bump_revision: u64,
    /// Compact at the revision that results (etcdutl's `--mark-compacted`): history is dropped, and who asks for it is
    /// told so, watches that resume from before included.
    pub mark_compacted: bool,
}

/// What an import does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportStep {
    /// Comparing the SHA-256. In bytes.
    Verify,
    /// Reading changes and writing them sorted. In bytes of the file, of which not all may be in use.
    Read,
    /// Merging what was written: now and then while reading, and at the end. In versions of keys.
    Merge,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportProgress {
    /// What is being done.
    pub step: ImportStep,
    /// How much of this step is done, in its unit.
    pub done: u64,
    /// How much there is to do in it.
    pub total: u64,
    /// How many changes of keys have been read so far.
    pub changes: u64,
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// The revision of the new store.
    pub revision: Revision,
    /// Its compact revision; zero if nothing was ever compacted.
    pub compact_revision: Revision,
    /// How many changes were read: puts and deletions.
    pub changes: u64,
    /// How many leases there are.
    pub leases: u64,
}

/// Makes the new store `store` from an etcd snapshot: a file written by `etcdctl snapshot save`, or a member's
/// `member/snap/db`. The store appears whole and durable, or not at all; a crash may leave a directory beside it whose
/// name ends in `.incomplete-` and numbers. It gets an id of its own. The snapshot is not changed.
///
/// A member's file holds what the member had committed to it, which after a kill may be a little less than what it had
/// answered; where there is a choice, make a snapshot.
///
/// `progress` is called now and then, from this thread. Memory holds about 64 MiB of changes, and at most one revision
/// more, at most 1 GiB; beside them some 20 bytes a key. The disk needs room for twice the store.
///
/// # Errors
/// - [`Error::Io`] if `store` exists, or a file cannot be read or written; of a full disk, [`Error::Io`] or
///   [`Error::Full`]
/// - [`Error::NotADatabase`] if `snapshot` is no etcd snapshot at all
/// - [`Error::Corrupt`] if it is damaged: its hash differs, a page or message cannot be, or a key's history
/// - [`Error::InvalidArgument`] if it has no hash and the options do not allow that, or the revision would be too large
/// - [`Error::Locked`] if an etcd has the file open
/// - [`Error::FormatTooNew`] if it is a bbolt file of another version
/// - [`Error::TooLarge`] if a key, a revision or the number of leases is beyond what a store can hold, or the file is
///   above 1 TiB
pub fn import_etcd(
    snapshot: impl AsRef<Path>,
    store: impl AsRef<Path>,
    options: &ImportOptions,
    progress: &mut dyn FnMut(&ImportProgress),
) -> Result<ImportReport> {
    let path = snapshot.as_ref();
    let file = open_file(path)?;
    let clock = SystemClock::new();
    write_whole(store.as_ref(), "import to", |disk| {
        import_to(file, path, disk, &clock, options, Sizes::default(), progress)
    })
}

/// Imports to an empty disk; durable on return. `path` is what errors call the file.
pub(crate) fn import_to(
    file: Arc<dyn DiskFile>,
    path: &Path,
    disk: &Arc<dyn Disk>,
    clock: &dyn Clock,
    options: &ImportOptions,
    sizes: Sizes,
    progress: &mut dyn FnMut(&ImportProgress),
) -> Result<ImportReport> {
    let mut teller = Teller { progress, changes: 0 };
    let total = file.len(crate::io::IoSite::ImportRead).map_err(|error| Error::io("read", path, error))?;
    let mut snapshot =
        Snapshot::open(file, path, options.skip_hash_check, &mut |done, of| teller.tell(ImportStep::Verify, done, of))?;
    let compacted = snapshot.compact_revision.unwrap_or(0);
    let mut revision = compacted.max(1);
    let mut builder = Builder::new(disk, path.to_owned(), new_meta_of(clock), compacted, sizes)?;
    while let Some(change) = snapshot.next()? {
        revision = revision.max(change.revision);
        let Some(entry) = entry_of(&change) else { continue };
        builder.push(entry, change.offset, &mut |done, of| teller.tell(ImportStep::Merge, done, of))?;
        teller.changes += 1;
        if teller.changes.is_multiple_of(CHANGES_PER_TELL) {
            teller.tell(ImportStep::Read, snapshot.read_bytes().min(total), total);
        }
    }
    teller.tell(ImportStep::Read, total, total);
    let revision = bumped(revision, options.bump_revision)?;
    let compact_revision = if options.mark_compacted { Some(revision) } else { snapshot.compact_revision };
    let leases = leases_of(&snapshot.leases, clock, revision);
    let report = ImportReport {
        revision: Revision::new(revision),
        compact_revision: Revision::new(compact_revision.unwrap_or(0)),
        changes: teller.changes,
        leases: leases.len() as u64,
    };
    let head = Head { revision, compact_revision, leases };
    builder.finish(head, &mut |done, of| teller.tell(ImportStep::Merge, done, of))?;
    Ok(report)
}

/// Tells of progress.
struct Teller<'p> {
    progress: &'p mut dyn FnMut(&ImportProgress),
    changes: u64,
}

impl Teller<'_> {
    fn tell(&mut self, step: ImportStep, done: u64, total: u64) {
        (self.progress)(&ImportProgress { step, done, total, changes: self.changes });
    }
}

/// The identity of the new store: as for a copy, its first open begins its first epoch.
fn new_meta_of(clock: &dyn Clock) -> crate::store::catalog::Meta {
    crate::store::catalog::Meta { epoch: 0, ..new_meta(clock) }
}

fn entry_of(change: &Change<'_>) -> Option<Entry> {
    let kv = change.kv?;
    let (create_revision, version) = (kv.create_revision.cast_unsigned(), kv.version.cast_unsigned());
    Some(Entry {
        key: user_key(kv.key),
        mod_revision: change.revision,
        sub: change.sub,
        create_revision,
        version,
        lease: kv.lease,
        tombstone: change.tombstone,
        value: Bytes::copy_from_slice(kv.value),
    })
}

fn bumped(revision: u64, by: u64) -> Result<u64> {
    revision
        .checked_add(by)
        .filter(|revision| *revision <= REVISION_MAX)
        .ok_or(Error::InvalidArgument(Invalid::Argument("the revision would be above 2^62")))
}

/// The leases, each with its whole time before it. They count as kept alive by their owners, whom a restart does not end:
/// so their time begins when the store is first opened to be written.
fn leases_of(ttls: &BTreeMap<LeaseId, u64>, clock: &dyn Clock, revision: u64) -> BTreeMap<LeaseId, Lease> {
    let stamp = stamp_of(&clock.now());
    let lease = |ttl_ms: u64| Lease {
        ttl_ms,
        remaining_ms: ttl_ms,
        stamp,
        renewed: true,
        grant_revision: revision,
        ..Lease::default()
    };
    ttls.iter().map(|(id, ttl_ms)| (*id, lease(*ttl_ms))).collect()
}

/// How many changes are read between two words about it.
const CHANGES_PER_TELL: u64 = 1024;
