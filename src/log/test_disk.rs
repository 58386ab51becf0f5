//! A tiny disk in memory for the tests of the log: files, a byte budget, a site that fails, and a record of the calls.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::io::{Disk, DiskFile, DiskLock, IoSite, LockError, OpenMode};

#[derive(Debug, Default)]
pub(super) struct TestDisk {
    files: Mutex<BTreeMap<String, Arc<TestFile>>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes that all files together may have, 0 for no bound.
    budget: Mutex<usize>,
    used: Mutex<usize>,
    /// The site whose next calls fail.
    failing: Mutex<Option<IoSite>>,
    /// The site whose next writes are short.
    short: Mutex<Option<IoSite>>,
    calls: Mutex<Vec<(IoSite, String)>>,
}

#[derive(Debug)]
struct TestFile {
    path: String,
    bytes: Mutex<Vec<u8>>,
    shared: Arc<Shared>,
}

impl TestDisk {
    pub(super) fn set_budget(&self, bytes: usize) {
        *self.shared.budget.lock() = bytes;
    }

    pub(super) fn used(&self) -> usize {
        *self.shared.used.lock()
    }

    /// Makes all calls of a site fail, or its writes fall short.
    pub(super) fn fail(&self, site: Option<IoSite>, short: bool) {
        *self.shared.failing.lock() = site.filter(|_| !short);
        *self.shared.short.lock() = site.filter(|_| short);
    }

    pub(super) fn take_calls(&self) -> Vec<(IoSite, String)> {
        std::mem::take(&mut self.shared.calls.lock())
    }

    pub(super) fn get(&self, path: &str) -> Vec<u8> {
        self.files.lock()[path].bytes.lock().clone()
    }

    pub(super) fn set(&self, path: &str, bytes: Vec<u8>) {
        let file = TestFile { path: path.into(), bytes: Mutex::new(bytes), shared: Arc::clone(&self.shared) };
        self.files.lock().insert(path.into(), Arc::new(file));
    }
}

impl Shared {
    fn call(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.calls.lock().push((site, path.into()));
        if *self.failing.lock() == Some(site) { Err(io::Error::other("injected")) } else { Ok(()) }
    }

    fn grow(&self, by: usize) -> io::Result<()> {
        let (budget, mut used) = (*self.budget.lock(), self.used.lock());
        if budget > 0 && *used + by > budget {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *used += by;
        Ok(())
    }
}

impl Disk for TestDisk {
    fn open(&self, site: IoSite, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.shared.call(site, path)?;
        let exists = self.files.lock().contains_key(path);
        match mode {
            OpenMode::Read | OpenMode::ReadWrite if !exists => return Err(io::ErrorKind::NotFound.into()),
            OpenMode::CreateNew if exists => return Err(io::ErrorKind::AlreadyExists.into()),
            OpenMode::CreateNew | OpenMode::Truncate => self.set(path, Vec::new()),
            OpenMode::Read | OpenMode::ReadWrite => {}
        }
        let file: Arc<TestFile> = Arc::clone(&self.files.lock()[path]);
        Ok(file)
    }

    fn create_dir(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.shared.call(site, path)
    }

    fn rename(&self, _: IoSite, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.shared.call(site, path)?;
        let file = self.files.lock().remove(path).ok_or(io::ErrorKind::NotFound)?;
        *self.shared.used.lock() -= file.bytes.lock().len();
        Ok(())
    }

    fn list(&self, _: IoSite, _: &str) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn sync_dir(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.shared.call(site, path)
    }

    fn lock(&self, _: bool) -> Result<DiskLock, LockError> {
        Ok(DiskLock(None))
    }
}

impl DiskFile for TestFile {
    fn read_at(&self, site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.shared.call(site, &self.path)?;
        let bytes = self.bytes.lock();
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let len = buf.len().min(bytes.len() - from);
        buf[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, site: IoSite, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.shared.call(site, &self.path)?;
        let short = *self.shared.short.lock() == Some(site);
        let buf = if short { &buf[..buf.len() / 2] } else { buf };
        let mut bytes = self.bytes.lock();
        let from = usize::try_from(offset).unwrap();
        let end = bytes.len().max(from + buf.len());
        self.shared.grow(end - bytes.len())?;
        bytes.resize(end, 0);
        bytes[from..from + buf.len()].copy_from_slice(buf);
        Ok(buf.len())
    }

    fn set_len(&self, site: IoSite, len: u64) -> io::Result<()> {
        self.shared.call(site, &self.path)?;
        self.bytes.lock().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn len(&self, _: IoSite) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn sync_data(&self, site: IoSite) -> io::Result<()> {
        self.shared.call(site, &self.path)
    }

    fn sync_all(&self, site: IoSite) -> io::Result<()> {
        self.shared.call(site, &self.path)
    }
}
