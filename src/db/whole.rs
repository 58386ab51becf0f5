//! Copying and checking a store as a whole, with more to say than [`Db::backup`] and [`Db::check`] take.

use std::path::Path;

use crate::db::Db;
use crate::engine::backup::BackupOptions;
use crate::engine::verify::{CheckOptions, CheckReport};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::kv::Revision;

impl Db {
    /// As [`Db::backup`], and a copy may be given a higher revision: this is how a backup is restored, into a store that
    /// nobody takes for the one that was lost. The revision returned is the copy's.
    ///
    /// `progress` is called now and then, from this thread, with the number of entries that are done and about how many
    /// there are.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().expect("a place for the example");
    /// # let (backup, restored) = (dir.path().join("backup"), dir.path().join("restored"));
    /// use etclite::{BackupOptions, Db, Options};
    /// let db = Db::in_memory()?;
    /// let revision = db.put("a", "1")?.revision;
    /// db.backup(&backup)?;
    /// let lost = db.put("a", "2")?.revision;
    ///
    /// let options = BackupOptions { bump_revision: 1_000, ..BackupOptions::default() };
    /// Options::new().read_only(true).open(&backup)?.backup_with(&restored, &options, &mut |_, _| {})?;
    /// let db = Db::open(&restored)?;
    /// assert!(db.revision() == revision + 1_000 && db.revision() > lost);
    /// assert!(matches!(db.get_at("a", revision), Err(etclite::Error::Compacted { .. })));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::backup`]; [`Error::InvalidArgument`] for a bump beyond the highest revision.
    pub fn backup_with(
        &self,
        path: impl AsRef<Path>,
        options: &BackupOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Revision> {
        self.engine().check_open()?;
        self.engine().backup(path.as_ref(), options, progress)
    }

    /// As [`Db::check`], and with [`CheckOptions::deep`] more of it.
    ///
    /// `progress` is called now and then, from this thread, with how much is done and about how much there is.
    ///
    /// # Errors
    /// As [`Db::check`].
    pub fn check_with(&self, options: &CheckOptions, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport> {
        self.engine().check_open()?;
        self.engine().check(options, progress)
    }
}
