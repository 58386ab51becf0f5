//! What redb stands on: bytes in memory that can be moved to a file of the [`Disk`](crate::io::Disk) without redb
//! noticing, and cut off, so that dropping redb's handle writes nothing.
//!
//! redb's lock methods keep their answer "unsupported": the store's own lock covers the catalog, and a disk has no
//! others.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::io::{DiskFile, IoSite, read_exact_at, write_all_at};

/// Shared between redb's handle and ours.
#[derive(Clone)]
pub(super) struct Backend {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    storage: Storage,
    /// Syncs that succeeded since [`Backend::begin`].
    syncs: u64,
    failure: Option<BackendFailure>,
    last_read: u64,
}

enum Storage {
    Memory(Vec<u8>),
    File(Arc<dyn DiskFile>),
    /// Nothing reaches the disk any more.
    Cut,
}

/// The first operation that failed since [`Backend::begin`].
pub(super) struct BackendFailure {
    pub(super) what: &'static str,
    pub(super) source: io::Error,
    /// The commit lacks a write, so that it cannot be what a later open finds. With all writes made and a sync failed,
    /// or with only the last step missing, nobody knows.
    pub(super) settled: bool,
}

impl Backend {
    pub(super) fn memory(bytes: Vec<u8>) -> Self {
        let shared = Shared { storage: Storage::Memory(bytes), syncs: 0, failure: None, last_read: 0 };
        Backend { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Takes the bytes out of memory; from here on it is cut.
    pub(super) fn take_memory(&self) -> Vec<u8> {
        match std::mem::replace(&mut self.shared.lock().storage, Storage::Cut) {
            Storage::Memory(bytes) => bytes,
            Storage::File(_) | Storage::Cut => Vec::new(),
        }
    }

    /// Goes on in a file, which holds what [`Backend::take_memory`] gave.
    pub(super) fn move_to(&self, file: Arc<dyn DiskFile>) {
        self.shared.lock().storage = Storage::File(file);
    }

    /// Every operation from here on fails and does nothing; memory is freed.
    pub(super) fn cut(&self) {
        self.shared.lock().storage = Storage::Cut;
    }

    /// Starts to watch a commit.
    pub(super) fn begin(&self) {
        let mut shared = self.shared.lock();
        shared.syncs = 0;
        shared.failure = None;
    }

    /// What failed since [`Backend::begin`]. redb's own error may only say that something did.
    pub(super) fn take_failure(&self) -> Option<BackendFailure> {
        self.shared.lock().failure.take()
    }

    /// Where the last read began: the best guess for where damage is.
    pub(super) fn last_read(&self) -> u64 {
        self.shared.lock().last_read
    }

    /// Runs an operation and remembers the first failure.
    fn run<T>(&self, what: &'static str, operation: impl FnOnce(&mut Storage) -> io::Result<T>) -> io::Result<T> {
        let mut shared = self.shared.lock();
        let result = operation(&mut shared.storage);
        match &result {
            Ok(_) => shared.syncs += u64::from(what == SYNC),
            Err(error) => {
                let settled = shared.syncs == 0 && what != SYNC;
                shared.failure.get_or_insert(BackendFailure { what, source: copy_of(error), settled });
            }
        }
        result
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.run("measure", |storage| match storage {
            Storage::Memory(bytes) => Ok(bytes.len() as u64),
            Storage::File(file) => file.len(IoSite::CatalogRead),
            Storage::Cut => Err(cut()),
        })
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.shared.lock().last_read = offset;
        self.run("read", |storage| match storage {
            Storage::Memory(bytes) => {
                out.copy_from_slice(&bytes[part(bytes.len(), offset, out.len())?]);
                Ok(())
            }
            Storage::File(file) => read_exact_at(file.as_ref(), IoSite::CatalogRead, out, offset),
            Storage::Cut => Err(cut()),
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.run("resize", |storage| match storage {
            Storage::Memory(bytes) => resize(bytes, len),
            Storage::File(file) => file.set_len(IoSite::CatalogSetLen, len),
            Storage::Cut => Err(cut()),
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.run(SYNC, |storage| match storage {
            Storage::Memory(_) => Ok(()),
            Storage::File(file) => file.sync_data(IoSite::CatalogSync),
            Storage::Cut => Err(cut()),
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.run("write", |storage| match storage {
            Storage::Memory(bytes) => {
                let place = part(bytes.len(), offset, data.len())?;
                bytes[place].copy_from_slice(data);
                Ok(())
            }
            Storage::File(file) => write_all_at(file.as_ref(), IoSite::CatalogWrite, data, offset),
            Storage::Cut => Err(cut()),
        })
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

/// The place of `len` bytes at `offset` in memory, if they are there: offsets may come from a damaged file.
fn part(total: usize, offset: u64, len: usize) -> io::Result<Range<usize>> {
    let start = usize::try_from(offset).ok();
    let end = start.and_then(|start| start.checked_add(len));
    match (start, end) {
        (Some(start), Some(end)) if end <= total => Ok(start..end),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A length may come from a damaged file, too: more than there is memory is an error, not an abort.
fn resize(bytes: &mut Vec<u8>, len: u64) -> io::Result<()> {
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve_exact(len.saturating_sub(bytes.len())).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(len, 0);
    Ok(())
}

/// The same error once more; an `io::Error` cannot be cloned. What the system said is a number and survives.
fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn cut() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

const SYNC: &str = "sync";
