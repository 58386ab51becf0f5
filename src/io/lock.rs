//! The store's lock on real files: one opener at a time, or several readers.
//!
//! Three locks in one. A registry in the process, keyed by the directory's device and inode, because a process never
//! blocks itself by an advisory lock that it can drop by closing another descriptor. `flock`, which every Unix has. On
//! Linux also a lock of the open file description, which programs that use `fcntl` see. All are let go by the system
//! when the process dies, so a lock is never stale; the line in the file that names the holder is read only when the
//! lock was refused.
//!
//! **Forks.** The system's locks belong to the open file, of which a forked child has a copy: it closes that at once, or
//! it would keep the store of a parent that has died. One that is forked by another thread in the moment between the
//! opening of the file and the note of its descriptor does not know of its copy, and keeps the lock that is taken then
//! until it ends or starts a program; the parent's own end of it, by closing the store, is not affected, since that
//! unlocks for all copies. No order of the two steps avoids it, and to wait for forks that are under way would be to wait
//! for what the host does in its own fork handlers. A child has a registry of its own, which is empty: it may wait for
//! no lock that a thread of its parent held, and what its parent has open the system's locks tell.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::fd::{AsFd, IntoRawFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::{DiskLock, LockError, clock, sys};
use crate::error::Holder;

/// A directory's identity within the host: device and inode.
pub(super) type FileId = (u64, u64);

const LOCK_FILE: &CStr = c"LOCK";
/// No program's name is longer; what else is in the file is not ours.
const LOCK_LINE_BYTES_MAX: u64 = 4096;

/// Takes the lock of the store whose directory is open as `dir` and known as `id`.
pub(super) fn acquire(dir: &File, id: FileId, exclusive: bool) -> Result<DiskLock, LockError> {
    let entry = Registered::new(id, exclusive).map_err(|holder| LockError::Held(Some(holder)))?;
    let opened =
        if exclusive { super::fs::open_private(dir.as_fd(), LOCK_FILE, libc::O_CREAT) } else { open_to_read(dir) };
    let file = match opened {
        Ok(file) => file,
        // Nobody has ever written here, and a reader leaves no trace.
        Err(e) if !exclusive && e.kind() == io::ErrorKind::NotFound => {
            return Ok(DiskLock(Some(Box::new(HeldLock { file: None, _entry: entry }))));
        }
        Err(e) => return Err(LockError::Io(e)),
    };
    let in_children = sys::ClosedInChildren::new(&file);
    if !try_lock(&file, exclusive).map_err(LockError::Io)? {
        // A writer kept out by readers would find the line of the last writer, who is gone.
        let by_readers = exclusive && try_lock(&file, false).map_err(LockError::Io)?;
        return Err(LockError::Held(if by_readers { None } else { read_holder(&file) }));
    }
    if exclusive {
        // The name is for people; a full disk must not keep a store from being opened.
        let _ = write_holder(&file);
    }
    let file = Some((file, in_children, std::process::id()));
    Ok(DiskLock(Some(Box::new(HeldLock { file, _entry: entry }))))
}

fn open_to_read(dir: &File) -> io::Result<File> {
    sys::open_at(dir.as_fd(), LOCK_FILE, libc::O_RDONLY, 0)
}

/// Both system locks, or neither.
fn try_lock(file: &File, exclusive: bool) -> io::Result<bool> {
    let locked = if exclusive { file.try_lock() } else { file.try_lock_shared() };
    match locked {
        Ok(()) => sys::lock_description(file, if exclusive { sys::Range::Exclusive } else { sys::Range::Shared }),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// A lock that was obtained.
struct HeldLock {
    // Dropped in this order: the system's locks first, the registry after.
    /// With the process that has locked it.
    file: Option<(File, sys::ClosedInChildren, u32)>,
    _entry: Registered,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let Some((file, in_children, pid)) = self.file.take() else { return };
        if in_children.is_closed() {
            // Its number is no longer this file's.
            let _ = file.into_raw_fd();
            return;
        }
        drop(in_children);
        // Closing is not enough while a child between fork and exec still has a copy of the descriptor; unlocking is
        // too much in a forked child, whose parent goes on.
        if pid == std::process::id() {
            let _ = sys::lock_description(&file, sys::Range::Unlocked);
            let _ = file.unlock();
        }
    }
}

/// This process as a holder.
fn ourselves() -> Holder {
    let program = std::env::current_exe().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    Holder {
        pid: std::process::id(),
        program: program.unwrap_or_default().replace(['\n', '\r'], " "),
        since_unix: clock::wall().as_secs(),
    }
}

/// `<pid> <since> <program>\n`.
fn write_holder(file: &File) -> io::Result<()> {
    let Holder { pid, program, since_unix } = ourselves();
    file.set_len(0)?;
    file.write_all_at(format!("{pid} {since_unix} {program}\n").as_bytes(), 0)
}

fn read_holder(file: &File) -> Option<Holder> {
    let mut text = Vec::new();
    file.take(LOCK_LINE_BYTES_MAX).read_to_end(&mut text).ok()?;
    parse_holder(&String::from_utf8_lossy(&text))
}

fn parse_holder(text: &str) -> Option<Holder> {
    let mut words = text.lines().next()?.splitn(3, ' ');
    let pid = words.next()?.parse().ok()?;
    let since_unix = words.next()?.parse().ok()?;
    Some(Holder { pid, since_unix, program: words.next()?.to_owned() })
}

/// A place in the registry of stores that this process has open.
struct Registered {
    registry: Arc<Registry>,
    id: FileId,
}

struct Registry {
    /// How many forks lay before it.
    forks: u64,
    open: Mutex<BTreeMap<FileId, Open>>,
}

struct Open {
    holder: Holder,
    /// 0 for a writer.
    readers: usize,
}

static REGISTRY: ArcSwapOption<Registry> = ArcSwapOption::const_empty();

/// The registry of this process.
fn registry() -> Arc<Registry> {
    let forks = sys::forks();
    loop {
        let current = REGISTRY.load_full();
        if let Some(registry) = current.as_ref().filter(|registry| registry.forks == forks) {
            return Arc::clone(registry);
        }
        // Kept if another thread was faster.
        REGISTRY.compare_and_swap(&current, Some(Arc::new(Registry { forks, open: Mutex::default() })));
    }
}

impl Registered {
    fn new(id: FileId, exclusive: bool) -> Result<Registered, Holder> {
        let registry = registry();
        {
            let mut open = registry.open.lock();
            match open.get_mut(&id) {
                Some(other) if exclusive || other.readers == 0 => return Err(other.holder.clone()),
                Some(other) => other.readers += 1,
                None => {
                    open.insert(id, Open { holder: ourselves(), readers: usize::from(!exclusive) });
                }
            }
        }
        Ok(Registered { registry, id })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // What a child inherited is its parent's, and so are the threads that may have locked it.
        if self.registry.forks != sys::forks() {
            return;
        }
        let mut open = self.registry.open.lock();
        if let Some(entry) = open.get_mut(&self.id) {
            entry.readers = entry.readers.saturating_sub(1);
            if entry.readers == 0 {
                open.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_line_comes_back() {
        let holder = parse_holder("4711 1700000000 my app\nrest").unwrap();
        assert_eq!((holder.pid, holder.since_unix, holder.program.as_str()), (4711, 1_700_000_000, "my app"));
        for damaged in ["", "\n", "x 1 p", "1", "1 2", "99999999999 1 p"] {
            assert_eq!(parse_holder(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn the_registry_counts_readers() {
        let id = (u64::MAX, 1);
        let first = Registered::new(id, false).unwrap();
        let second = Registered::new(id, false).unwrap();
        assert!(Registered::new(id, true).is_err());
        drop(first);
        assert!(Registered::new(id, true).is_err());
        drop(second);
        let writer = Registered::new(id, true).unwrap();
        assert_eq!(Registered::new(id, false).err().unwrap().pid, std::process::id());
        drop(writer);
        assert!(Registered::new(id, false).is_ok());
    }
}
