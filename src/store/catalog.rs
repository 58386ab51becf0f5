//! The catalog: the small redb file that names what is live, and the only place that sees redb.
//!
//! It holds which runs and log segments exist, up to where the runs hold everything (the checkpoint), and state that is
//! small: leases, cursors, and where remembered operations are. An [`Edit`] changes several rows in one durable step, made once the files that it names are synced.
//!
//! ```text
//!            read               verify                    build                     publish
//! catalog.redb --> copy in memory --> Contents --> fresh database in memory --> catalog.redb.new --rename--> catalog.redb
//!                                                   '------- one handle, goes on in the new file -------'
//! ```
//!
//! **Why the rewrite at every writable open.** redb checks no page on an ordinary open, so damage would show as missing
//! rows or a panic. Here the old file is only ever read: a copy in memory is given to redb, which verifies the checksums
//! of all pages, and then every row proves its own crc and all rows together a digest. What was verified is written to a
//! new file. So nothing is built on pages that a failed sync left in the page cache alone, and growth ends at each open.
//! Building in memory and then moving the open handle onto the file makes all of that one write and one sync.
//!
//! **What a failure means.** Without room, nothing has been applied and later edits work again once there is some: redb
//! refuses further work on a handle whose backend failed, so the next edit builds a new file from what is known. Any
//! other failure leaves open whether the edit took effect, and the catalog takes no more edits until it is reopened.
//! Dropping a catalog writes nothing: every edit was durable when it returned, and redb's own clean close would only
//! save a check that every open makes anyway.
//!
//! Locks: `live` is held across I/O, `contents` only to copy; `live` before `contents`. No threads.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::io::{Disk, IoSite, OpenMode};

mod backend;
mod contents;
mod database;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use contents::{
    Checkpoint, Contents, CursorRow, Edit, LeaseRow, LeaseState, Meta, OperationsRow, RangeRow, RunRow, SegmentRow,
    SegmentState, Stamp, StateFileRow,
};
use database::{Database, Failure};

/// The format that this release writes into [`Meta::format`], and the highest that it reads.
pub(crate) const FORMAT: u32 = 1;

/// The open catalog of a store. Edits are serialised inside.
pub(crate) struct Catalog {
    disk: Arc<dyn Disk>,
    live: Mutex<Live>,
    /// What the file holds, as of the last edit that is durable.
    contents: Mutex<Contents>,
}

/// Whether edits can be made, and on what.
enum Live {
    Open(Database),
    /// The last edit found no room and was not applied; the next one starts from a new file. In doubt, a crash before
    /// that may bring the edit back.
    NoRoom {
        in_doubt: bool,
    },
    Poisoned,
}

impl Catalog {
    /// Whether the store has a catalog.
    pub(crate) fn exists(disk: &Arc<dyn Disk>) -> Result<bool> {
        match disk.open(IoSite::CatalogOpen, FILE, OpenMode::Read) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("open", FILE, e)),
        }
    }

    /// Whether the catalog's file, which must exist, is one of redb at all, damaged or not. If it is not, and a read
    /// says `Corrupt`, the directory probably belongs to somebody else.
    pub(crate) fn is_catalog(disk: &Arc<dyn Disk>) -> Result<bool> {
        database::is_redb(disk)
    }

    /// Makes the catalog of a new store, holding `contents`. Durable on return; a catalog that exists is replaced.
    pub(crate) fn create(disk: &Arc<dyn Disk>, contents: &Contents) -> Result<Catalog> {
        let database = Database::create(disk, contents).map_err(|failure| failure.error)?;
        Ok(Catalog {
            disk: disk.clone(),
            live: Mutex::new(Live::Open(database)),
            contents: Mutex::new(contents.clone()),
        })
    }

    /// Opens the catalog for writing: verifies all of it and goes on in a fresh file.
    ///
    /// # Errors
    /// `Corrupt` if anything in it fails its check, `FormatTooNew` if a newer release wrote it, `Io`. The file is then
    /// as it was, unless syncing the directory failed: then it holds the same rows.
    pub(crate) fn open(disk: &Arc<dyn Disk>) -> Result<(Catalog, Contents)> {
        let contents = Self::read(disk)?;
        let catalog = Self::create(disk, &contents)?;
        Ok((catalog, contents))
    }

    /// Reads and verifies the catalog without writing or creating anything. Errors as for [`Catalog::open`].
    pub(crate) fn read(disk: &Arc<dyn Disk>) -> Result<Contents> {
        database::read(disk)
    }

    /// Applies an edit: all of it or nothing, durable on return. An empty edit does nothing.
    ///
    /// # Errors
    /// - no room ([`Error::is_no_space`]): nothing was applied, and a later edit works once there is room. If not even a
    ///   new file without the edit could be written, a crash may still bring it: the files that it names must stay, and
    ///   so must those that it no longer names
    /// - `TooLarge`: a row is beyond what could be read back; nothing was applied
    /// - anything else: it may or may not be in the file; this and every later edit leave the contents as they were,
    ///   and later ones answer `Poisoned`. Files that the edit names or no longer names must stay until a reopen.
    pub(crate) fn edit(&self, edit: &Edit) -> Result<()> {
        if edit.is_empty() {
            return Ok(());
        }
        let mut live = self.live.lock();
        // Whatever happens in between, a panic included, leaves no half-known handle behind.
        let outcome = match std::mem::replace(&mut *live, Live::Poisoned) {
            Live::Open(database) => self.edit_open(database, edit),
            Live::NoRoom { in_doubt } => self.rebuild_with(Some(edit), in_doubt),
            Live::Poisoned => return Err(Error::Poisoned),
        };
        let result;
        (*live, result) = outcome;
        if result.is_ok() {
            edit.apply_to(&mut self.contents.lock());
        }
        result
    }

    /// What the catalog holds now.
    pub(crate) fn contents(&self) -> Contents {
        self.contents.lock().clone()
    }

    /// Whether an edit that failed cannot come back after a crash: then the files that it named may go.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(*self.live.lock(), Live::Open(_) | Live::NoRoom { in_doubt: false })
    }

    /// Up to where runs and catalog hold everything.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.contents.lock().checkpoint.clone()
    }

    fn edit_open(&self, mut database: Database, edit: &Edit) -> (Live, Result<()>) {
        match database.apply(edit) {
            Ok(()) => (Live::Open(database), Ok(())),
            Err(Failure { error: error @ Error::TooLarge { .. }, .. }) => (Live::Open(database), Err(error)),
            Err(Failure { error, settled: true }) if error.is_no_space() => {
                (Live::NoRoom { in_doubt: false }, Err(error))
            }
            Err(Failure { error, settled: false }) if error.is_no_space() => {
                // The file may hold the edit. Only a new file without it makes "nothing was applied" true; until there
                // is room for one, a crash may bring the edit back.
                drop(database);
                match self.rebuild_with(None, true) {
                    (live @ (Live::Open(_) | Live::NoRoom { .. }), _) => (live, Err(error)),
                    poisoned => poisoned,
                }
            }
            Err(Failure { error, .. }) => (Live::Poisoned, Err(error)),
        }
    }

    /// Builds a new file from the contents and the edit; the rename applies it.
    fn rebuild_with(&self, edit: Option<&Edit>, in_doubt: bool) -> (Live, Result<()>) {
        let mut next = self.contents();
        if let Some(edit) = edit {
            edit.apply_to(&mut next);
        }
        match Database::create(&self.disk, &next) {
            Ok(database) => (Live::Open(database), Ok(())),
            Err(Failure { error, settled: true }) if error.is_no_space() || matches!(error, Error::TooLarge { .. }) => {
                (Live::NoRoom { in_doubt }, Err(error))
            }
            Err(Failure { error, .. }) => (Live::Poisoned, Err(error)),
        }
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Catalog")
    }
}

/// The catalog's file.
pub(crate) const FILE: &str = "catalog.redb";
/// What a new catalog is called until it is whole. A stale one, left by a crash, is overwritten by the next open.
pub(crate) const TEMPORARY: &str = "catalog.redb.new";
