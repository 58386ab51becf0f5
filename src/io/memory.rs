//! Files in memory, for `Db::in_memory()`: the whole engine on top, nothing below.
//!
//! Nothing is durable and nothing fails but memory itself. A file that is removed stays readable to who has it open.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{Disk, DiskFile, DiskLock, IoSite, LockError, Map, OpenMode, parent_of};
use crate::error::Holder;

/// A directory of files in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    nodes: Arc<Mutex<BTreeMap<String, Node>>>,
    locked: Arc<Mutex<bool>>,
}

#[derive(Clone, Debug)]
enum Node {
    Dir,
    File(Arc<MemoryFile>),
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Disk for MemoryDisk {
    fn open(&self, _site: IoSite, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut nodes = self.nodes.lock();
        match (nodes.get(path), mode) {
            (Some(Node::Dir), _) => Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(file)), _) => {
                if mode == OpenMode::Truncate {
                    *file.0.write() = Bytes::default();
                }
                Ok(file.clone())
            }
            (None, OpenMode::Read | OpenMode::ReadWrite) => Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::CreateNew | OpenMode::Truncate) => {
                check_dir(&nodes, parent_of(path))?;
                let file = Arc::new(MemoryFile::default());
                nodes.insert(path.to_owned(), Node::File(file.clone()));
                Ok(file)
            }
        }
    }

    fn create_dir(&self, _site: IoSite, path: &str) -> io::Result<()> {
        let mut nodes = self.nodes.lock();
        check_dir(&nodes, parent_of(path))?;
        match nodes.entry(path.to_owned()).or_insert(Node::Dir) {
            Node::Dir => Ok(()),
            Node::File(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn rename(&self, _site: IoSite, from: &str, to: &str) -> io::Result<()> {
        let mut nodes = self.nodes.lock();
        check_dir(&nodes, parent_of(to))?;
        let node = nodes.remove(from).ok_or(io::ErrorKind::NotFound)?;
        if matches!(node, Node::Dir) {
            let below: Vec<String> = nodes.keys().filter(|name| is_below(name, from)).cloned().collect();
            for name in below {
                let child = nodes.remove(&name).expect("the name was just listed");
                nodes.insert(format!("{to}{}", &name[from.len()..]), child);
            }
        }
        nodes.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, _site: IoSite, path: &str) -> io::Result<()> {
        let mut nodes = self.nodes.lock();
        match nodes.get(path) {
            Some(Node::File(_)) => {
                nodes.remove(path);
                Ok(())
            }
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, _site: IoSite, path: &str) -> io::Result<Vec<String>> {
        let nodes = self.nodes.lock();
        check_dir(&nodes, path)?;
        let children = nodes.keys().filter(|name| parent_of(name) == path);
        Ok(children.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    fn sync_dir(&self, _site: IoSite, path: &str) -> io::Result<()> {
        check_dir(&self.nodes.lock(), path)
    }

    fn lock(&self, exclusive: bool) -> Result<DiskLock, LockError> {
        let mut locked = self.locked.lock();
        if *locked {
            let holder = Holder { pid: std::process::id(), program: String::new(), since_unix: 0 };
            return Err(LockError::Held(Some(holder)));
        }
        *locked = exclusive;
        Ok(DiskLock(exclusive.then(|| Box::new(Unlock(self.locked.clone())) as _)))
    }
}

fn check_dir(nodes: &BTreeMap<String, Node>, path: &str) -> io::Result<()> {
    match nodes.get(path) {
        _ if path.is_empty() => Ok(()),
        Some(Node::Dir) => Ok(()),
        Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

fn is_below(name: &str, dir: &str) -> bool {
    name.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

struct Unlock(Arc<Mutex<bool>>);

impl Drop for Unlock {
    fn drop(&mut self) {
        *self.0.lock() = false;
    }
}

#[derive(Debug, Default)]
struct MemoryFile(RwLock<Bytes>);

/// A file grows in a vector; once it is finished and mapped, the map's bytes are the file.
#[derive(Debug)]
enum Bytes {
    Growing(Vec<u8>),
    Mapped(Arc<[u8]>),
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes::Growing(Vec::new())
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Growing(bytes) => bytes,
            Bytes::Mapped(bytes) => bytes,
        }
    }

    /// The bytes to change, with room for `len` in all. Who has them mapped keeps the old ones.
    fn to_mut(&mut self, len: usize) -> io::Result<&mut Vec<u8>> {
        if let Bytes::Mapped(bytes) = self {
            *self = Bytes::Growing(bytes.to_vec());
        }
        match self {
            Bytes::Growing(bytes) => {
                bytes.try_reserve(len.saturating_sub(bytes.len())).map_err(|_| io::ErrorKind::OutOfMemory)?;
                Ok(bytes)
            }
            Bytes::Mapped(_) => unreachable!("it was replaced above"),
        }
    }

    fn share(&mut self) -> Arc<[u8]> {
        match self {
            Bytes::Mapped(bytes) => bytes.clone(),
            Bytes::Growing(bytes) => {
                let shared: Arc<[u8]> = std::mem::take(bytes).into();
                *self = Bytes::Mapped(shared.clone());
                shared
            }
        }
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, _site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = self.0.read();
        let rest = usize::try_from(offset).ok().and_then(|at| file.as_slice().get(at..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, _site: IoSite, buf: &[u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut file = self.0.write();
        let bytes = file.to_mut(end)?;
        if bytes.len() < start {
            bytes.resize(start, 0);
        }
        let inside = buf.len().min(bytes.len() - start);
        bytes[start..start + inside].copy_from_slice(&buf[..inside]);
        bytes.extend_from_slice(&buf[inside..]);
        Ok(buf.len())
    }

    fn set_len(&self, _site: IoSite, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut file = self.0.write();
        let bytes = file.to_mut(len)?;
        bytes.resize(len, 0);
        bytes.shrink_to(len.saturating_mul(2));
        Ok(())
    }

    fn len(&self, _site: IoSite) -> io::Result<u64> {
        Ok(self.0.read().as_slice().len() as u64)
    }

    fn sync_data(&self, _site: IoSite) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self, _site: IoSite) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, len: u64) -> io::Result<Option<Map>> {
        let mut file = self.0.write();
        let bytes = file.as_slice();
        let wanted = usize::try_from(len).ok().and_then(|len| bytes.get(..len)).ok_or(io::ErrorKind::UnexpectedEof)?;
        let map = if wanted.len() < bytes.len() { wanted.into() } else { file.share() };
        Ok(Some(Map::Shared(map)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{read_exact_at, write_all_at};

    const SITE: IoSite = IoSite::RunWrite;

    fn names(disk: &MemoryDisk, path: &str) -> Vec<String> {
        disk.list(IoSite::StoreList, path).unwrap()
    }

    #[test]
    fn files_live_in_directories() {
        let disk = MemoryDisk::new();
        assert_eq!(disk.open(SITE, "run/1", OpenMode::CreateNew).unwrap_err().kind(), io::ErrorKind::NotFound);
        disk.create_dir(SITE, "run").unwrap();
        disk.create_dir(SITE, "run").unwrap();
        disk.open(SITE, "run/1", OpenMode::CreateNew).unwrap();
        assert_eq!(disk.open(SITE, "run/1", OpenMode::CreateNew).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        disk.rename(SITE, "run", "old").unwrap();
        assert_eq!((names(&disk, ""), names(&disk, "old")), (vec!["old".to_owned()], vec!["1".to_owned()]));
        assert!(disk.sync_dir(SITE, "run").is_err());
        disk.remove(SITE, "old/1").unwrap();
        assert_eq!(disk.remove(SITE, "old/1").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.remove(SITE, "old").unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn what_is_mapped_stays_as_it_was() {
        let disk = MemoryDisk::new();
        let file = disk.open(SITE, "a", OpenMode::Truncate).unwrap();
        write_all_at(&*file, SITE, b"world", 6).unwrap();
        write_all_at(&*file, SITE, b"hello ", 0).unwrap();
        assert_eq!(file.map(12).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let map = file.map(11).unwrap().unwrap();
        disk.remove(SITE, "a").unwrap();
        file.set_len(SITE, 5).unwrap();
        write_all_at(&*file, SITE, b"HELLO", 0).unwrap();
        assert_eq!(&map[..], b"hello world");
        let mut five = [0; 5];
        read_exact_at(&*file, SITE, &mut five, 0).unwrap();
        assert_eq!((&five, file.len(SITE).unwrap()), (b"HELLO", 5));
        assert_eq!(file.read_at(SITE, &mut five, u64::MAX).unwrap(), 0);
    }

    #[test]
    fn one_writer_at_a_time() {
        let disk = MemoryDisk::new();
        let lock = disk.lock(true).unwrap();
        assert!(matches!(disk.clone().lock(true), Err(LockError::Held(Some(_)))));
        assert!(disk.lock(false).is_err());
        drop(lock);
        drop(disk.lock(false).unwrap());
        assert!(disk.lock(true).is_ok());
    }
}
