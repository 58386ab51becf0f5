//! The only door to the outside: files, directories, locks, clocks and threads.
//!
//! Everything else in the crate is deterministic given what comes through here, so that a simulated disk and clock can
//! stand in for the real ones. Every call names its [`IoSite`]: faults are injected, coverage is counted and reports
//! are written by site.
//!
//! Paths are relative to the store's directory, with `/` between parts. A port touches this folder only.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "what is banned elsewhere is done here")]

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use alarm::Alarm;
pub(crate) use alarm::looking;
pub(crate) use sys::is_out_of_descriptors;
#[cfg(feature = "cli")]
pub(crate) use sys::{is_in_foreground, send_signal, wait_for_end};

use crate::error::Holder;

mod alarm;
mod clock;
pub mod fs;
mod lock;
pub mod memory;
pub mod mmap;
pub(crate) mod room;
#[cfg(feature = "_testing")]
pub mod sim;
pub(crate) mod sync;
mod sys;
pub(crate) mod thread;

/// Where in the program an I/O call is made. One value per place whose failure or crash is a case of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum IoSite {
    StoreCreateDir,
    StoreSyncDir,
    StoreList,
    CatalogOpen,
    CatalogRead,
    CatalogWrite,
    CatalogSetLen,
    CatalogSync,
    CatalogRename,
    CatalogSyncDir,
    LogCreate,
    LogFill,
    LogFillSync,
    LogSyncDir,
    LogHeader,
    LogAppend,
    LogSync,
    LogClose,
    LogOpen,
    LogRead,
    LogRemove,
    RecoverWrite,
    RecoverSync,
    RunCreate,
    RunWrite,
    RunFooter,
    RunSync,
    RunSyncDir,
    RunOpen,
    RunRead,
    RunRemove,
    StateCreate,
    StateWrite,
    StateSync,
    StateSyncDir,
    StateRead,
    StateRemove,
    BackupCreate,
    BackupSyncDir,
    ImportRead,
    Cleanup,
}

impl IoSite {
    /// All of them.
    #[cfg(feature = "_testing")]
    pub const ALL: [IoSite; 41] = [
        IoSite::StoreCreateDir,
        IoSite::StoreSyncDir,
        IoSite::StoreList,
        IoSite::CatalogOpen,
        IoSite::CatalogRead,
        IoSite::CatalogWrite,
        IoSite::CatalogSetLen,
        IoSite::CatalogSync,
        IoSite::CatalogRename,
        IoSite::CatalogSyncDir,
        IoSite::LogCreate,
        IoSite::LogFill,
        IoSite::LogFillSync,
        IoSite::LogSyncDir,
        IoSite::LogHeader,
        IoSite::LogAppend,
        IoSite::LogSync,
        IoSite::LogClose,
        IoSite::LogOpen,
        IoSite::LogRead,
        IoSite::LogRemove,
        IoSite::RecoverWrite,
        IoSite::RecoverSync,
        IoSite::RunCreate,
        IoSite::RunWrite,
        IoSite::RunFooter,
        IoSite::RunSync,
        IoSite::RunSyncDir,
        IoSite::RunOpen,
        IoSite::RunRead,
        IoSite::RunRemove,
        IoSite::StateCreate,
        IoSite::StateWrite,
        IoSite::StateSync,
        IoSite::StateSyncDir,
        IoSite::StateRead,
        IoSite::StateRemove,
        IoSite::BackupCreate,
        IoSite::BackupSyncDir,
        IoSite::ImportRead,
        IoSite::Cleanup,
    ];
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    ReadWrite,
    /// For reading and writing; it must not exist.
    CreateNew,
    /// For reading and writing; created empty, or emptied.
    Truncate,
}

/// A directory of files. Directory changes (create, rename, remove) are durable only after [`Disk::sync_dir`].
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    fn open(&self, site: IoSite, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a directory; one that exists is fine.
    fn create_dir(&self, site: IoSite, path: &str) -> io::Result<()>;
    /// Renames a file, replacing the target atomically.
    fn rename(&self, site: IoSite, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. A file that is mapped or open stays readable to its holders.
    fn remove(&self, site: IoSite, path: &str) -> io::Result<()>;
    /// The names in a directory, sorted. `""` is the store itself.
    fn list(&self, site: IoSite, path: &str) -> io::Result<Vec<String>>;
    /// Makes the directory's entries durable. `""` is the store itself.
    fn sync_dir(&self, site: IoSite, path: &str) -> io::Result<()>;
    /// Takes the store's lock: exclusive for a writer; for a reader it only checks that no writer has it, and then
    /// writes and creates nothing.
    fn lock(&self, exclusive: bool) -> Result<DiskLock, LockError>;
}

/// An open file. Reads and writes take offsets and may be short, as the system calls are.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `buf.len()` bytes at `offset`; 0 means end of file.
    fn read_at(&self, site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes up to `buf.len()` bytes at `offset`.
    fn write_at(&self, site: IoSite, buf: &[u8], offset: u64) -> io::Result<usize>;
    /// Sets the length; growth reads as zeros.
    fn set_len(&self, site: IoSite, len: u64) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self, site: IoSite) -> io::Result<u64>;
    /// Makes data and length durable (`fdatasync`).
    fn sync_data(&self, site: IoSite) -> io::Result<()>;
    /// Makes data, length and the rest of the metadata durable (`fsync`).
    fn sync_all(&self, site: IoSite) -> io::Result<()>;
    /// Starts writing dirty pages of the range to disk without waiting. A hint.
    fn write_back(&self, _offset: u64, _len: u64) {}
    /// A read-only map of the whole file, if this disk has maps. Only for files that nobody writes any more.
    fn map(&self, _len: u64) -> io::Result<Option<Map>> {
        Ok(None)
    }
}

/// The directory that holds `path`; `""` is the store itself.
fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Reads exactly `buf.len()` bytes; a file that ends before is `UnexpectedEof`. Retries interrupted and short reads.
pub fn read_exact_at(file: &dyn DiskFile, site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let wanted = buf.len();
    if read_full_at(file, site, buf, offset)? < wanted { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Reads until `buf` is full or the file ends, and says how much. Retries interrupted and short reads.
pub fn read_full_at(file: &dyn DiskFile, site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(site, &mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Writes all of `buf`. Retries interrupted and short writes; a write of nothing is `WriteZero`.
pub fn write_all_at(file: &dyn DiskFile, site: IoSite, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.write_at(site, buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                buf = &buf[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A read-only view of a whole file.
#[derive(Clone)]
pub enum Map {
    /// A memory map of a real file.
    Mapped(mmap::FileMap),
    /// Bytes that were in memory anyway.
    Shared(Arc<[u8]>),
}

impl std::ops::Deref for Map {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Map::Mapped(map) => map,
            Map::Shared(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({} bytes)", self.len())
    }
}

/// Holds the store's lock until dropped.
pub struct DiskLock(pub Option<Box<dyn Any + Send + Sync>>);

impl fmt::Debug for DiskLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskLock")
    }
}

/// Why the lock was not obtained.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it.
    Held(Option<Holder>),
    /// The system failed.
    Io(io::Error),
}

/// What the clocks show, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Time since some point, never going back, without suspend.
    pub mono: Duration,
    /// Time since the host booted, suspend included. Only comparable within one boot.
    pub boot: Duration,
    /// Identifies the boot of the host; 0 if it cannot be told.
    pub boot_id: u128,
    /// Wall time since the Unix epoch.
    pub wall: Duration,
}

/// The clocks. Nothing else tells time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Reads the clocks.
    fn now(&self) -> Now;
    /// The clock that lease deadlines run on: time since boot, suspend included.
    fn boot(&self) -> Duration {
        self.now().boot
    }
    /// Where a thread sleeps until a time of that clock. One that nobody has made for this clock looks at it once a
    /// second.
    fn alarm(&self) -> Arc<dyn Alarm> {
        looking()
    }
    /// Random bytes for ids, not for secrets.
    fn random(&self, buf: &mut [u8]);
}
