//! The live disk: behaves like files, remembers everything, fails on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::content::Content;
use super::faults::{Call, Faults, eio};
use super::record::{Change, Names, Node, Op, OpKind};
use super::{Fault, FaultKind, Image, Record};
use crate::error::Holder;
use crate::io::{Disk, DiskFile, DiskLock, IoSite, LockError, OpenMode, parent_of};

/// A simulated disk. Clones are handles to the same one.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    initial: Image,
    ops: Vec<Op>,
    names: Names,
    /// By number; what is not named any more stays readable.
    files: Vec<Content>,
    faults: Faults,
    sites: BTreeMap<IoSite, u64>,
    skipped_syncs: BTreeSet<IoSite>,
    capacity: Option<u64>,
    writer: bool,
    readers: usize,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::from_image(Image::new())
    }

    /// A disk as a crash left it: unlocked, without faults, its record empty.
    pub fn from_image(image: Image) -> Self {
        let (names, files) = image.to_parts();
        SimDisk(Arc::new(Mutex::new(State { initial: image, names, files, ..State::default() })))
    }

    /// How many operations were recorded so far: a place in the record.
    pub fn position(&self) -> usize {
        self.0.lock().ops.len()
    }

    /// The record so far.
    pub fn record(&self) -> Record {
        let state = self.0.lock();
        Record::new(state.initial.clone(), state.ops.clone())
    }

    /// What can be read now, synced or not: what a killed process leaves on a host that lives on.
    pub fn image(&self) -> Image {
        let state = self.0.lock();
        Image::from_parts(&state.names, |file| state.files[file].clone())
    }

    /// Plans a failure.
    pub fn fail(&self, fault: Fault) {
        self.0.lock().faults.arm(fault);
    }

    /// Forgets all planned failures.
    pub fn clear_faults(&self) {
        self.0.lock().faults.clear();
    }

    /// How many calls failed as planned.
    pub fn faults_fired(&self) -> u64 {
        self.0.lock().faults.fired
    }

    /// Sets the size of the disk: writes that need more are refused. Files take whole pages of 4 KiB, holes nothing.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// How much of it is in use.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// How often each site called, failures included.
    pub fn sites_hit(&self) -> BTreeMap<IoSite, u64> {
        self.0.lock().sites.clone()
    }

    /// Sabotage: syncs of this site do nothing from now on, and say that all is well.
    pub fn skip_syncs(&self, site: IoSite) {
        self.0.lock().skipped_syncs.insert(site);
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk(at {})", self.position())
    }
}

impl State {
    /// Every call passes here first: it is counted, and fails if that is planned.
    fn enter(&mut self, site: IoSite, call: Call) -> io::Result<Option<FaultKind>> {
        *self.sites.entry(site).or_insert(0) += 1;
        let struck = self.faults.strike(site, call);
        match struck.and_then(FaultKind::error) {
            Some(error) => Err(error),
            None => Ok(struck),
        }
    }

    fn push(&mut self, site: IoSite, kind: OpKind) {
        self.ops.push(Op { site, kind });
    }

    fn change(&mut self, site: IoSite, change: Change) {
        self.names.apply(&change);
        self.push(site, OpKind::Name(change));
    }

    fn check_dir(&self, path: &str) -> io::Result<()> {
        match self.names.0.get(path) {
            _ if path.is_empty() => Ok(()),
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn used(&self) -> u64 {
        let named = self.names.0.values();
        named.map(|node| if let Node::File(file) = node { self.files[*file].allocated() } else { 0 }).sum()
    }

    fn open(&mut self, site: IoSite, path: &str, mode: OpenMode) -> io::Result<usize> {
        let found = self.names.0.get(path).copied();
        let creates = found.is_none() && matches!(mode, OpenMode::CreateNew | OpenMode::Truncate);
        self.enter(site, if creates { Call::Name } else { Call::Look })?;
        match (found, mode) {
            (Some(Node::Dir), _) => Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(file)), OpenMode::Truncate) => {
                self.set_len(site, file, 0);
                Ok(file)
            }
            (Some(Node::File(file)), _) => Ok(file),
            (None, OpenMode::Read | OpenMode::ReadWrite) => Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::CreateNew | OpenMode::Truncate) => {
                self.check_dir(parent_of(path))?;
                self.files.push(Content::default());
                let file = self.files.len() - 1;
                self.change(site, Change::Create { path: path.into(), file });
                Ok(file)
            }
        }
    }

    fn set_len(&mut self, site: IoSite, file: usize, len: u64) {
        if self.files[file].len() != len {
            self.files[file].set_len(len);
            self.push(site, OpKind::SetLen { file, len });
        }
    }

    fn write(&mut self, site: IoSite, file: usize, buf: &[u8], offset: u64) -> io::Result<usize> {
        let struck = self.enter(site, Call::Write)?;
        let len = if struck == Some(FaultKind::ShortWrite) { buf.len().div_ceil(2) } else { buf.len() };
        let at = if struck == Some(FaultKind::Misdirect) { offset.saturating_add(4096) } else { offset };
        if at > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if self.capacity.is_some_and(|bytes| self.used() + self.files[file].growth(len, at) > bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let data = &buf[..len];
        self.files[file].write(data, at);
        self.push(site, OpKind::Write { file, offset: at, data: data.into() });
        Ok(len)
    }

    fn read(&mut self, site: IoSite, file: usize, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let struck = self.enter(site, Call::Read)?;
        let wanted = if struck == Some(FaultKind::ShortRead) { buf.len().div_ceil(2) } else { buf.len() };
        let len = self.files[file].read(&mut buf[..wanted], offset);
        if let (Some(FaultKind::BitRot), Some(byte)) = (struck, buf[..len].get_mut(len / 2)) {
            *byte ^= 0x10;
        }
        Ok(len)
    }

    fn sync(&mut self, site: IoSite, file: usize) -> io::Result<()> {
        let struck = self.enter(site, Call::Sync)?;
        if struck == Some(FaultKind::SyncLosesData) {
            self.push(site, OpKind::Lose { file });
            return Err(eio());
        }
        if !self.skipped_syncs.contains(&site) {
            self.push(site, OpKind::Sync { file });
        }
        Ok(())
    }
}

impl Disk for SimDisk {
    fn open(&self, site: IoSite, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.0.lock().open(site, path, mode)?;
        Ok(Arc::new(SimFile { state: self.0.clone(), file, writable: mode != OpenMode::Read }))
    }

    fn create_dir(&self, site: IoSite, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.enter(site, Call::Name)?;
        state.check_dir(parent_of(path))?;
        match state.names.0.get(path) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                state.change(site, Change::CreateDir { path: path.into() });
                Ok(())
            }
        }
    }

    fn rename(&self, site: IoSite, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.enter(site, Call::Name)?;
        state.check_dir(parent_of(to))?;
        let node = *state.names.0.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change(site, Change::Rename { from: from.into(), to: to.into(), node });
        Ok(())
    }

    fn remove(&self, site: IoSite, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.enter(site, Call::Remove)?;
        match state.names.0.get(path).copied() {
            Some(Node::File(file)) => {
                state.change(site, Change::Remove { path: path.into(), file });
                Ok(())
            }
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, site: IoSite, path: &str) -> io::Result<Vec<String>> {
        let mut state = self.0.lock();
        state.enter(site, Call::Look)?;
        state.check_dir(path)?;
        let children = state.names.0.keys().filter(|name| parent_of(name) == path);
        Ok(children.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    fn sync_dir(&self, site: IoSite, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.enter(site, Call::SyncDir)?;
        state.check_dir(path)?;
        if !state.skipped_syncs.contains(&site) {
            state.push(site, OpKind::SyncDir { path: path.into() });
        }
        Ok(())
    }

    fn lock(&self, exclusive: bool) -> Result<DiskLock, LockError> {
        let mut state = self.0.lock();
        if state.writer || (exclusive && state.readers > 0) {
            let holder = Holder { pid: std::process::id(), program: "simulation".to_owned(), since_unix: 0 };
            return Err(LockError::Held(Some(holder)));
        }
        state.writer = exclusive;
        state.readers += usize::from(!exclusive);
        Ok(DiskLock(Some(Box::new(Unlock { state: self.0.clone(), exclusive }))))
    }
}

struct Unlock {
    state: Arc<Mutex<State>>,
    exclusive: bool,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if self.exclusive {
            state.writer = false;
        } else {
            state.readers -= 1;
        }
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    file: usize,
    writable: bool,
}

impl SimFile {
    fn writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.file)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.state.lock().read(site, self.file, buf, offset)
    }

    fn write_at(&self, site: IoSite, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.writable()?;
        self.state.lock().write(site, self.file, buf, offset)
    }

    fn set_len(&self, site: IoSite, len: u64) -> io::Result<()> {
        self.writable()?;
        let mut state = self.state.lock();
        state.enter(site, Call::SetLen)?;
        if len > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        state.set_len(site, self.file, len);
        Ok(())
    }

    fn len(&self, site: IoSite) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.enter(site, Call::Look)?;
        Ok(state.files[self.file].len())
    }

    fn sync_data(&self, site: IoSite) -> io::Result<()> {
        self.state.lock().sync(site, self.file)
    }

    fn sync_all(&self, site: IoSite) -> io::Result<()> {
        self.state.lock().sync(site, self.file)
    }
}

/// No simulated file is larger; a mad offset is an error, as it is on a real disk.
const FILE_BYTES_MAX: u64 = 1 << 32;
