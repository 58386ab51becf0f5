//! One redb database: built in memory and published as the catalog's file, edited there, and read back from a copy.

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Builder, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::backend::Backend;
use super::contents::{Contents, Edit};
use super::rows::{self, Change, Collector, Digest, Unreadable};
use super::{FILE, TEMPORARY};
use crate::error::{Error, Result};
use crate::io::{Disk, IoSite, OpenMode, read_exact_at, write_all_at};

/// An open database whose file is the catalog.
pub(super) struct Database {
    redb: Handle,
    digest: Digest,
}

/// Why a change was not made.
pub(super) struct Failure {
    pub(super) error: Error,
    /// The file certainly does not hold the change, nor will after a crash.
    pub(super) settled: bool,
}

impl Failure {
    fn settled(error: Error) -> Self {
        Failure { error, settled: true }
    }
}

impl Database {
    /// Builds a database of these contents and renames it over the catalog's file. Durable on return.
    pub(super) fn create(disk: &Arc<dyn Disk>, contents: &Contents) -> Result<Database, Failure> {
        let backend = Backend::memory(Vec::new());
        let redb = Handle::open(&backend, false).map_err(Failure::settled)?;
        let mut database = Database { redb, digest: Digest::default() };
        database.apply(&Edit::all_of(contents)).map_err(|failure| Failure::settled(failure.error))?;
        publish(disk, &backend)?;
        Ok(database)
    }

    /// Makes a change in one transaction. After a failure other than `TooLarge` this database is of no more use.
    pub(super) fn apply(&mut self, edit: &Edit) -> Result<(), Failure> {
        let changes = rows::changes(edit).map_err(Failure::settled)?;
        self.redb.backend.begin();
        let outcome = self.redb.run(|redb| commit(redb, &changes, self.digest));
        match outcome {
            Ok(Ok(digest)) => {
                self.digest = digest;
                Ok(())
            }
            Ok(Err(error)) => Err(self.failure(&error)),
            Err(Panicked) => Err(Failure { error: Error::Poisoned, settled: false }),
        }
    }

    /// What the backend saw, as redb passes only some errors on, else what redb says.
    fn failure(&self, error: &redb::Error) -> Failure {
        match self.redb.backend.take_failure() {
            Some(failure) => Failure { error: Error::io(failure.what, FILE, failure.source), settled: failure.settled },
            None => Failure { error: corrupt(&self.redb.backend, reason(error)), settled: false },
        }
    }
}

/// Reads and verifies the catalog's file.
pub(super) fn read(disk: &Arc<dyn Disk>) -> Result<Contents> {
    let mut bytes = load(disk)?;
    if !bytes.starts_with(&MAGIC) {
        return Err(Error::corrupt(FILE, 0, "it does not begin as a redb file does"));
    }
    let Some(header) = Header::of(&bytes) else {
        return Err(Error::corrupt(FILE, 0, "it is cut short"));
    };
    // Every commit is in two phases. Were this bit lost, redb would fall back to an older commit in silence.
    bytes[GOD_BYTE] |= TWO_PHASE;
    if header.secondary_is_newer() {
        let mut other = bytes.clone();
        other[GOD_BYTE] ^= PRIMARY;
        if let Ok(contents) = verify(other) {
            return Ok(contents);
        }
    }
    verify(bytes)
}

/// Whether the file begins as one of redb, give or take damage.
pub(super) fn is_redb(disk: &Arc<dyn Disk>) -> Result<bool> {
    let file = disk.open(IoSite::CatalogOpen, FILE, OpenMode::Read).map_err(|e| Error::io("open", FILE, e))?;
    let mut found = [0; MAGIC.len()];
    match read_exact_at(file.as_ref(), IoSite::CatalogRead, &mut found, 0) {
        Ok(()) => Ok(found.iter().zip(MAGIC).filter(|(found, wanted)| *found == wanted).count() > MAGIC.len() / 2),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(Error::io("read", FILE, e)),
    }
}

/// Opens a copy of the file in memory, lets redb check all its pages, then checks every row.
fn verify(bytes: Vec<u8>) -> Result<Contents> {
    let backend = Backend::memory(bytes);
    let mut handle = Handle::open(&backend, true)?;
    match handle.run(collect) {
        Ok(Ok(Ok(contents))) => Ok(contents),
        Ok(Ok(Err(Unreadable::Damaged(what)))) => Err(corrupt(&backend, what)),
        Ok(Ok(Err(Unreadable::TooNew(format)))) => Err(Error::FormatTooNew { file: FILE.into(), format }),
        Ok(Err(error)) => Err(corrupt(&backend, reason(&error))),
        Err(Panicked) => Err(corrupt(&backend, PANICKED)),
    }
}

fn load(disk: &Arc<dyn Disk>) -> Result<Vec<u8>> {
    let failed = |what| move |e| Error::io(what, FILE, e);
    let file = disk.open(IoSite::CatalogOpen, FILE, OpenMode::Read).map_err(failed("open"))?;
    let len = file.len(IoSite::CatalogRead).map_err(failed("measure"))?;
    let len = usize::try_from(len).map_err(|_| failed("read")(io::ErrorKind::OutOfMemory.into()))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| failed("read")(io::ErrorKind::OutOfMemory.into()))?;
    bytes.resize(len, 0);
    read_exact_at(file.as_ref(), IoSite::CatalogRead, &mut bytes, 0).map_err(failed("read"))?;
    Ok(bytes)
}

/// Writes what the backend has in memory to a new file, makes that the catalog's, and moves the backend there.
fn publish(disk: &Arc<dyn Disk>, backend: &Backend) -> Result<(), Failure> {
    let bytes = backend.take_memory();
    let written = || -> Result<_> {
        let failed = |what| move |e| Error::io(what, TEMPORARY, e);
        let file = disk.open(IoSite::CatalogOpen, TEMPORARY, OpenMode::Truncate).map_err(failed("create"))?;
        write_all_at(file.as_ref(), IoSite::CatalogWrite, &bytes, 0).map_err(failed("write"))?;
        file.sync_data(IoSite::CatalogSync).map_err(failed("sync"))?;
        disk.rename(IoSite::CatalogRename, TEMPORARY, FILE).map_err(failed("rename"))?;
        Ok(file)
    };
    let file = written().map_err(|error| {
        // Give back what room it took. If that fails, too, the next one overwrites it.
        let _ = disk.remove(IoSite::Cleanup, TEMPORARY);
        Failure::settled(error)
    })?;
    disk.sync_dir(IoSite::CatalogSyncDir, "")
        .map_err(|e| Failure { error: Error::io("sync directory of", FILE, e), settled: false })?;
    backend.move_to(file);
    Ok(())
}

/// The transaction behind an edit. Quick-repair implies two phases: once the last step is on its way, all else is
/// durable. Returns the digest of all rows with the changes made.
fn commit(redb: &redb::Database, changes: &[Change], mut digest: Digest) -> Result<Digest, redb::Error> {
    let mut transaction = redb.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_quick_repair(true);
    {
        let mut table = transaction.open_table(ROWS)?;
        for (key, value) in changes {
            let old = match value {
                Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                None => table.remove(key.as_slice())?,
            };
            if let Some(old) = old {
                digest.remove(key, old.value());
            }
            if let Some(value) = value {
                digest.add(key, value);
            }
        }
        let (key, value) = digest.row();
        table.insert(key.as_slice(), value.as_slice())?;
    }
    transaction.commit()?;
    Ok(digest)
}

fn collect(redb: &redb::Database) -> Result<Result<Contents, Unreadable>, redb::Error> {
    let mut collector = Collector::default();
    let table = redb.begin_read()?.open_table(ROWS)?;
    for row in table.iter()? {
        let (key, value) = row?;
        if let Err(unreadable) = collector.row(key.value(), value.value()) {
            return Ok(Err(unreadable));
        }
    }
    Ok(collector.finish())
}

fn corrupt(backend: &Backend, what: &'static str) -> Error {
    Error::corrupt(FILE, backend.last_read(), what)
}

fn reason(error: &redb::Error) -> &'static str {
    match error {
        redb::Error::Io(_) => "it points beyond its end",
        redb::Error::TableDoesNotExist(_) => "it has no rows",
        _ => "redb finds it damaged",
    }
}

/// redb's handle over our backend. It never writes when it is dropped, and is not dropped after a panic: redb's own
/// drop could then panic a second time, which aborts.
struct Handle {
    /// `None` after a panic.
    redb: Option<redb::Database>,
    backend: Backend,
}

struct Panicked;

impl Handle {
    /// `check` verifies the checksum of every page first. That may write, so it is for copies in memory.
    fn open(backend: &Backend, check: bool) -> Result<Handle> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Builder::new()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(check)
                .create_with_backend(backend.clone())
        }));
        match opened {
            Ok(Ok(redb)) => Ok(Handle { redb: Some(redb), backend: backend.clone() }),
            Ok(Err(error)) => Err(corrupt(backend, reason(&error.into()))),
            Err(_) => Err(corrupt(backend, PANICKED)),
        }
    }

    /// Runs a piece of work with redb, whose panics end here.
    fn run<T>(&mut self, work: impl FnOnce(&redb::Database) -> T) -> Result<T, Panicked> {
        let redb = self.redb.as_ref().ok_or(Panicked)?;
        catch_unwind(AssertUnwindSafe(|| work(redb))).map_err(|_| {
            mem::forget(self.redb.take());
            Panicked
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.backend.cut();
        let redb = self.redb.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(redb)));
    }
}

/// The little of redb's file header that its open takes on trust: the flags have no checksum.
struct Header {
    primary_id: u64,
    secondary_id: u64,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Header> {
        let id = |slot: usize| {
            let at = SLOTS + slot * SLOT_LEN + TRANSACTION_ID;
            bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
        };
        let primary = usize::from(bytes.get(GOD_BYTE)? & PRIMARY);
        Some(Header { primary_id: id(primary)?, secondary_id: id(primary ^ 1)? })
    }

    /// The flag that chooses the slot was flipped by damage, or a crash fell between a commit and its last step. In
    /// both cases the secondary is the commit to take, if all of it verifies.
    fn secondary_is_newer(&self) -> bool {
        self.secondary_id > self.primary_id
    }
}

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
/// The cache of the live database. A catalog is small, so this is nearly all of it.
const CACHE_BYTES: usize = 1 << 20;
const PANICKED: &str = "redb panicked on it";

// redb's file header, as its design document gives it for file format 3.
const MAGIC: [u8; 9] = *b"redb\x1a\n\xa9\r\n";
const GOD_BYTE: usize = MAGIC.len();
const PRIMARY: u8 = 1;
const TWO_PHASE: u8 = 4;
const SLOTS: usize = 64;
const SLOT_LEN: usize = 128;
const TRANSACTION_ID: usize = 104;
