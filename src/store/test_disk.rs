//! A disk in memory for unit tests of the store, with or without maps. It forgets nothing and tears nothing; one place
//! may be told to fail.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::io::{Disk, DiskFile, DiskLock, IoSite, LockError, Map, OpenMode};

#[derive(Debug, Default)]
pub(crate) struct TestDisk {
    maps: bool,
    failing: Arc<Mutex<Option<IoSite>>>,
    files: Mutex<BTreeMap<String, Arc<TestFile>>>,
}

#[derive(Debug, Default)]
struct TestFile {
    maps: bool,
    failing: Arc<Mutex<Option<IoSite>>>,
    bytes: Mutex<Vec<u8>>,
}

impl TestDisk {
    pub(crate) fn new(maps: bool) -> Arc<TestDisk> {
        Arc::new(TestDisk { maps, ..TestDisk::default() })
    }

    /// From now on calls at this site fail; `None` heals the disk.
    pub(crate) fn fail(&self, site: Option<IoSite>) {
        *self.failing.lock() = site;
    }

    pub(crate) fn contents(&self, path: &str) -> Option<Vec<u8>> {
        self.files.lock().get(path).map(|file| file.bytes.lock().clone())
    }

    pub(crate) fn replace(&self, path: &str, bytes: Vec<u8>) {
        let failing = self.failing.clone();
        let file = Arc::new(TestFile { maps: self.maps, failing, bytes: Mutex::new(bytes) });
        self.files.lock().insert(path.to_owned(), file);
    }
}

fn check(failing: &Mutex<Option<IoSite>>, site: IoSite) -> io::Result<()> {
    if *failing.lock() == Some(site) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

impl Disk for TestDisk {
    fn open(&self, site: IoSite, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        check(&self.failing, site)?;
        let found = self.files.lock().get(path).cloned();
        match (mode, found) {
            (OpenMode::Read | OpenMode::ReadWrite, Some(file)) => return Ok(file),
            (OpenMode::Read | OpenMode::ReadWrite, None) => return Err(io::ErrorKind::NotFound.into()),
            (OpenMode::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::CreateNew | OpenMode::Truncate, _) => {}
        }
        self.replace(path, Vec::new());
        self.open(IoSite::RunOpen, path, OpenMode::Read)
    }

    fn create_dir(&self, _site: IoSite, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _site: IoSite, from: &str, to: &str) -> io::Result<()> {
        let file = self.files.lock().remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.files.lock().insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, _site: IoSite, path: &str) -> io::Result<()> {
        self.files.lock().remove(path).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, _site: IoSite, path: &str) -> io::Result<Vec<String>> {
        let files = self.files.lock();
        Ok(files.keys().filter_map(|name| name.strip_prefix(path)?.strip_prefix('/')).map(str::to_owned).collect())
    }

    fn sync_dir(&self, site: IoSite, _path: &str) -> io::Result<()> {
        check(&self.failing, site)
    }

    fn lock(&self, _exclusive: bool) -> Result<DiskLock, LockError> {
        Ok(DiskLock(None))
    }
}

impl DiskFile for TestFile {
    /// Short on purpose: at most 5,000 bytes a call.
    fn read_at(&self, site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        check(&self.failing, site)?;
        let bytes = self.bytes.lock();
        let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let len = rest.len().min(buf.len()).min(5000);
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, site: IoSite, buf: &[u8], offset: u64) -> io::Result<usize> {
        check(&self.failing, site)?;
        let (mut bytes, at) = (self.bytes.lock(), usize::try_from(offset).unwrap());
        let end = at + buf.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[at..end].copy_from_slice(buf);
        Ok(buf.len())
    }

    fn set_len(&self, _site: IoSite, len: u64) -> io::Result<()> {
        self.bytes.lock().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn len(&self, _site: IoSite) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn sync_data(&self, site: IoSite) -> io::Result<()> {
        check(&self.failing, site)
    }

    fn sync_all(&self, _site: IoSite) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, _len: u64) -> io::Result<Option<Map>> {
        Ok(self.maps.then(|| Map::Shared(self.bytes.lock().as_slice().into())))
    }
}
