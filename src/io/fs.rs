//! Real files in a real directory.
//!
//! The store's path is resolved once, at open; from then on everything is reached from the directory's descriptor, one
//! component at a time and never through a symbolic link, so that nobody who can swap a path can lead us elsewhere.
//! Files are 0600 and directories 0700 whatever the umask; descriptors are not inherited.

use std::ffi::{CStr, CString};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use super::clock::SystemClock;
use super::lock::{self, FileId};
use super::mmap::FileMap;
use super::{Disk, DiskFile, DiskLock, IoSite, LockError, Map, OpenMode, sys};
use crate::error::{Error, Result};

/// How a store's directory is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsOptions {
    /// Make the directory if it is not there; its parent must be.
    pub create: bool,
    /// Refuse every call that would change a file.
    pub read_only: bool,
    /// Accept a directory that belongs to another user. Root needs no permission for that.
    pub allow_other_owner: bool,
}

/// Gives a finished directory its name, durably: it appears whole or not at all.
pub(crate) fn publish_directory(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|source| Error::io("rename to", to, source))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(|source| Error::io("sync the parent of", to, source))
}

/// Removes a directory and what is in it; none is fine.
pub(crate) fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, source)),
        _ => Ok(()),
    }
}

/// Reads a text file that belongs to no store, whole.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String> {
    let failed = |what: &'static str| move |source| Error::io(what, path, source);
    // Looked at first: opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path).map_err(failed("open"))?.is_file() {
        return Err(failed("open")(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(failed("open"))?;
    let read = file.take(bytes_max + 1).read_to_string(&mut text).map_err(failed("read"))?;
    if read as u64 > bytes_max {
        return Err(Error::TooLarge { what: "file of options", len: read as u64, max: bytes_max });
    }
    Ok(text)
}

/// Opens a file that belongs to no store, to be read. Programs that take its lock, as etcd does, are kept out of it.
#[cfg(feature = "import-etcd")]
pub(crate) fn open_file(path: &Path) -> Result<Arc<dyn DiskFile>> {
    let failed = |source| Error::io("open", path, source);
    // Looked at first: opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let file = File::open(path).map_err(failed)?;
    // Where locks do not work nobody can hold one.
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock_shared() {
        return Err(Error::Locked { holder: None });
    }
    Ok(Arc::new(FsFile { file }))
}

/// A directory of real files.
#[derive(Debug)]
pub struct FsDisk {
    root: PathBuf,
    dir: File,
    id: FileId,
    read_only: bool,
}

impl FsDisk {
    /// Opens the directory at `path`. It must be a directory of this user that not everybody may write to.
    pub fn open(path: &Path, options: FsOptions) -> Result<FsDisk> {
        let root = resolve(path, options)?;
        let opening = |source| Error::io("open", path, source);
        if !fs::metadata(&root).map_err(opening)?.is_dir() {
            return Err(Error::NotADatabase { path: path.to_owned(), what: "it is not a directory" });
        }
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let dir = OpenOptions::new().read(true).custom_flags(flags).open(&root).map_err(opening)?;
        let meta = dir.metadata().map_err(opening)?;
        check_owner(&meta, sys::effective_user(), options).map_err(opening)?;
        if options.create && !options.read_only {
            sync_parent_of_new(&root).map_err(|source| Error::io("sync the parent of", path, source))?;
        }
        Ok(FsDisk { id: (meta.dev(), meta.ino()), root, dir, read_only: options.read_only })
    }

    /// The directory's path, absolute and without symbolic links, as it was at open.
    pub fn path(&self) -> &Path {
        &self.root
    }

    fn writable(&self) -> io::Result<()> {
        if self.read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    /// Calls `f` with the directory that holds `path`, and the last component.
    fn in_parent<T>(&self, path: &str, f: impl FnOnce(BorrowedFd<'_>, &CStr) -> io::Result<T>) -> io::Result<T> {
        match path.rsplit_once('/') {
            None => f(self.dir.as_fd(), &component(path)?),
            Some((parent, name)) => f(self.open_dir(parent)?.as_fd(), &component(name)?),
        }
    }

    fn open_dir(&self, path: &str) -> io::Result<File> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let mut dir = None::<File>;
        for part in path.split('/') {
            let from = dir.as_ref().unwrap_or(&self.dir).as_fd();
            dir = Some(sys::open_at(from, &component(part)?, flags, 0)?);
        }
        dir.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

impl Disk for FsDisk {
    fn open(&self, _site: IoSite, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode != OpenMode::Read {
            self.writable()?;
        }
        let file = self.in_parent(path, |dir, name| match mode {
            OpenMode::Read => sys::open_at(dir, name, libc::O_RDONLY, 0),
            OpenMode::ReadWrite => sys::open_at(dir, name, libc::O_RDWR, 0),
            OpenMode::CreateNew => open_private(dir, name, libc::O_CREAT | libc::O_EXCL),
            OpenMode::Truncate => open_private(dir, name, libc::O_CREAT | libc::O_TRUNC),
        })?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Arc::new(FsFile { file }))
    }

    fn create_dir(&self, _site: IoSite, path: &str) -> io::Result<()> {
        self.writable()?;
        let made = self.in_parent(path, |dir, name| sys::make_dir_at(dir, name, 0o700));
        match made {
            Ok(()) => set_mode(&self.open_dir(path)?, 0o700),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => self.open_dir(path).map(drop),
            Err(e) => Err(e),
        }
    }

    fn rename(&self, _site: IoSite, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        self.in_parent(from, |old_dir, old| {
            self.in_parent(to, |new_dir, new| sys::rename_at(old_dir, old, new_dir, new))
        })
    }

    fn remove(&self, _site: IoSite, path: &str) -> io::Result<()> {
        self.writable()?;
        self.in_parent(path, sys::unlink_at)
    }

    fn list(&self, _site: IoSite, path: &str) -> io::Result<Vec<String>> {
        let opened = if path.is_empty() { self.dir.try_clone()? } else { self.open_dir(path)? };
        // std lists by path only, so make sure that the path still leads to what is open.
        let full = self.root.join(path);
        let (here, there) = (opened.metadata()?, fs::symlink_metadata(&full)?);
        if (here.dev(), here.ino()) != (there.dev(), there.ino()) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the directory was moved while open"));
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&full)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, _site: IoSite, path: &str) -> io::Result<()> {
        if path.is_empty() { self.dir.sync_all() } else { self.open_dir(path)?.sync_all() }
    }

    fn lock(&self, exclusive: bool) -> std::result::Result<DiskLock, LockError> {
        if exclusive {
            self.writable().map_err(LockError::Io)?;
        }
        lock::acquire(&self.dir, self.id, exclusive)
    }
}

/// An open file.
#[derive(Debug)]
struct FsFile {
    file: File,
}

impl DiskFile for FsFile {
    fn read_at(&self, _site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.file, buf, offset)
    }

    fn write_at(&self, _site: IoSite, buf: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.file, buf, offset)
    }

    fn set_len(&self, _site: IoSite, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self, _site: IoSite) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    // On macOS std asks for F_FULLFSYNC in both: fsync there does not reach the platter.
    fn sync_data(&self, _site: IoSite) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self, _site: IoSite) -> io::Result<()> {
        self.file.sync_all()
    }

    fn write_back(&self, offset: u64, len: u64) {
        sys::write_back(&self.file, offset, len);
    }

    fn map(&self, len: u64) -> io::Result<Option<Map>> {
        if self.file.metadata()?.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match usize::try_from(len) {
            Ok(0) => Ok(Some(Map::Shared(Arc::new([])))),
            Ok(len) => Ok(Some(Map::Mapped(FileMap::new(&self.file, len)?))),
            Err(_) => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }
}

/// The real path of the directory, which is made if it is missing and may be.
fn resolve(path: &Path, options: FsOptions) -> Result<PathBuf> {
    let failed = |source| Error::io("open", path, source);
    match fs::canonicalize(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && options.create && !options.read_only => {}
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NotADatabase { path: path.to_owned(), what: "a part of the path is a file" });
        }
        resolved => return resolved.map_err(failed),
    }
    let creating = |source| Error::io("create", path, source);
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(creating)?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {} // somebody else made it just now
        Err(e) => return Err(creating(e)),
    }
    fs::canonicalize(path).map_err(failed)
}

/// Whoever may write to the directory may replace our files, so that must be us alone, or the group at most.
fn check_owner(meta: &fs::Metadata, user: u32, options: FsOptions) -> io::Result<()> {
    let refuse = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if meta.mode() & 0o002 != 0 {
        return refuse("the directory is world-writable, anybody could replace the store");
    }
    if meta.uid() != user && user != 0 && !options.allow_other_owner {
        return refuse("the directory belongs to another user");
    }
    Ok(())
}

/// A new store is lost with its directory's own entry. An empty directory counts as new: whoever made it, us in an
/// earlier life perhaps, may have died before syncing.
fn sync_parent_of_new(root: &Path) -> io::Result<()> {
    let Some(parent) = root.parent().filter(|_| fs::read_dir(root).is_ok_and(|mut names| names.next().is_none()))
    else {
        return Ok(());
    };
    match File::open(parent) {
        Ok(parent) => parent.sync_all(),
        // A directory prepared for us in a place that is not ours is durable by the care of who prepared it.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(e) => Err(e),
    }
}

/// Opens for reading and writing, and makes sure that nobody else may, whatever the umask.
pub(super) fn open_private(dir: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> io::Result<File> {
    let file = sys::open_at(dir, name, libc::O_RDWR | flags, 0o600)?;
    set_mode(&file, 0o600)?;
    Ok(file)
}

fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    if file.metadata()?.mode() & 0o777 == mode {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// One component of a path inside the store, which leads nowhere but down.
fn component(name: &str) -> io::Result<CString> {
    if matches!(name, "" | "." | "..") || name.contains('/') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(CString::new(name)?)
}

#[cfg(test)]
#[path = "fs_tests.rs"]
mod tests;
