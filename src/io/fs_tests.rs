//! Real files in a directory below the system's temporary one.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::io::{read_exact_at, write_all_at};

const SITE: IoSite = IoSite::LogAppend;

/// A directory that goes with the test.
struct Temp(PathBuf);

impl Temp {
    fn new() -> Temp {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("etclite-io-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        Temp(path.canonicalize().unwrap())
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn open(&self) -> FsDisk {
        FsDisk::open(&self.store(), FsOptions { create: true, ..FsOptions::default() }).unwrap()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

fn io_kind(result: Result<FsDisk>) -> io::ErrorKind {
    match result {
        Err(Error::Io { source, .. }) => source.kind(),
        other => panic!("expected an I/O error, got {other:?}"),
    }
}

#[test]
fn only_a_directory_of_ours_is_opened() {
    let temp = Temp::new();
    let plain = FsOptions::default();
    assert_eq!(io_kind(FsDisk::open(&temp.store(), plain)), io::ErrorKind::NotFound);
    let deep = temp.0.join("no/store");
    assert_eq!(io_kind(FsDisk::open(&deep, FsOptions { create: true, ..plain })), io::ErrorKind::NotFound);
    assert_eq!(
        io_kind(FsDisk::open(&temp.store(), FsOptions { create: true, read_only: true, ..plain })),
        io::ErrorKind::NotFound
    );
    let file = temp.0.join("file");
    fs::write(&file, b"x").unwrap();
    assert!(matches!(FsDisk::open(&file, plain), Err(Error::NotADatabase { .. })));
    assert!(matches!(FsDisk::open(&file.join("store"), plain), Err(Error::NotADatabase { .. })));
    drop(temp.open());
    fs::set_permissions(temp.store(), Permissions::from_mode(0o777)).unwrap();
    assert_eq!(io_kind(FsDisk::open(&temp.store(), plain)), io::ErrorKind::PermissionDenied);
    fs::set_permissions(temp.store(), Permissions::from_mode(0o770)).unwrap();
}

#[test]
fn another_owner_needs_leave() {
    let temp = Temp::new();
    let meta = fs::metadata(&temp.0).unwrap();
    let (plain, stranger) = (FsOptions::default(), meta.uid() + 1);
    assert!(check_owner(&meta, meta.uid(), plain).is_ok());
    assert!(check_owner(&meta, 0, plain).is_ok());
    assert_eq!(check_owner(&meta, stranger, plain).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert!(check_owner(&meta, stranger, FsOptions { allow_other_owner: true, ..plain }).is_ok());
}

#[test]
fn files_are_private_and_behave() {
    let temp = Temp::new();
    let disk = temp.open();
    disk.create_dir(SITE, "log").unwrap();
    disk.create_dir(SITE, "log").unwrap();
    let file = disk.open(SITE, "log/1", OpenMode::CreateNew).unwrap();
    assert_eq!(disk.open(SITE, "log/1", OpenMode::CreateNew).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    for (path, mode) in [("", 0o700), ("log", 0o700), ("log/1", 0o600)] {
        assert_eq!(mode_of(&temp.store().join(path)), mode);
    }
    write_all_at(&*file, SITE, b"hello", 3).unwrap();
    file.write_back(0, 8);
    file.sync_data(SITE).unwrap();
    file.sync_all(SITE).unwrap();
    file.set_len(SITE, 6).unwrap();
    disk.rename(SITE, "log/1", "2").unwrap();
    disk.sync_dir(SITE, "log").unwrap();
    disk.sync_dir(SITE, "").unwrap();
    assert_eq!(disk.list(SITE, "").unwrap(), ["2", "log"]);
    assert!(disk.list(SITE, "log").unwrap().is_empty());
    let reader = disk.open(SITE, "2", OpenMode::Read).unwrap();
    assert!(reader.write_at(SITE, b"x", 0).is_err());
    disk.remove(SITE, "2").unwrap();
    let mut bytes = [1; 6];
    read_exact_at(&*reader, SITE, &mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"\0\0\0hel");
    assert_eq!((file.len(SITE).unwrap(), reader.read_at(SITE, &mut bytes, 6).unwrap()), (6, 0));
    assert_eq!(disk.remove(SITE, "2").unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn no_path_leads_out() {
    let temp = Temp::new();
    let disk = temp.open();
    fs::create_dir(temp.0.join("outside")).unwrap();
    fs::write(temp.0.join("outside/file"), b"secret").unwrap();
    symlink(temp.0.join("outside"), temp.store().join("run")).unwrap();
    symlink(temp.0.join("outside/file"), temp.store().join("LINK")).unwrap();
    for path in ["run/file", "LINK", "../outside/file", "", "/etc/passwd", "./LINK", "a//b"] {
        assert!(disk.open(SITE, path, OpenMode::Read).is_err(), "{path}");
        assert!(disk.open(SITE, path, OpenMode::Truncate).is_err(), "{path}");
    }
    assert!(
        disk.list(SITE, "run").is_err() && disk.sync_dir(SITE, "run").is_err() && disk.create_dir(SITE, "run").is_err()
    );
    assert_eq!(fs::read(temp.0.join("outside/file")).unwrap(), b"secret");
}

#[test]
fn the_directory_may_move_while_open() {
    let temp = Temp::new();
    let disk = temp.open();
    fs::rename(temp.store(), temp.0.join("elsewhere")).unwrap();
    disk.open(SITE, "a", OpenMode::CreateNew).unwrap();
    assert!(temp.0.join("elsewhere/a").exists());
}

#[test]
fn a_read_only_disk_changes_nothing() {
    let temp = Temp::new();
    drop(temp.open().open(SITE, "a", OpenMode::CreateNew).unwrap());
    let disk = FsDisk::open(&temp.store(), FsOptions { read_only: true, ..FsOptions::default() }).unwrap();
    let refused = io::ErrorKind::ReadOnlyFilesystem;
    assert_eq!(disk.open(SITE, "b", OpenMode::Truncate).unwrap_err().kind(), refused);
    assert_eq!(disk.open(SITE, "a", OpenMode::ReadWrite).unwrap_err().kind(), refused);
    assert_eq!(disk.remove(SITE, "a").unwrap_err().kind(), refused);
    assert_eq!(disk.rename(SITE, "a", "b").unwrap_err().kind(), refused);
    assert_eq!(disk.create_dir(SITE, "d").unwrap_err().kind(), refused);
    assert!(matches!(disk.lock(true), Err(LockError::Io(_))));
    let lock = disk.lock(false).unwrap();
    assert_eq!(disk.list(SITE, "").unwrap(), ["a"]);
    drop(lock);
}

#[test]
fn maps_outlive_files_and_names() {
    let temp = Temp::new();
    let disk = temp.open();
    let file = disk.open(SITE, "run", OpenMode::CreateNew).unwrap();
    write_all_at(&*file, SITE, b"sorted", 0).unwrap();
    assert_eq!(file.map(7).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(file.map(0).unwrap().unwrap().is_empty());
    let map = file.map(6).unwrap().unwrap();
    let other = temp.open().open(SITE, "run", OpenMode::Read).unwrap();
    let (second, third) = (other.map(4).unwrap().unwrap(), map.clone());
    disk.remove(SITE, "run").unwrap();
    drop((file, other, map));
    assert_eq!((&third[..], &second[..]), (&b"sorted"[..], &b"sort"[..]));
}

fn holder(result: std::result::Result<DiskLock, LockError>) -> Option<crate::error::Holder> {
    match result {
        Err(LockError::Held(holder)) => holder,
        other => panic!("expected to be refused, got {other:?}"),
    }
}

#[test]
fn one_process_opens_a_store_once() {
    let temp = Temp::new();
    let disk = temp.open();
    symlink(temp.store(), temp.0.join("alias")).unwrap();
    let alias = FsDisk::open(&temp.0.join("alias"), FsOptions::default()).unwrap();
    assert_eq!(alias.path(), temp.store());
    let lock = disk.lock(true).unwrap();
    assert_eq!(mode_of(&temp.store().join("LOCK")), 0o600);
    for exclusive in [true, false] {
        let holder = holder(alias.lock(exclusive)).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(!holder.program.is_empty() && holder.since_unix > 0);
    }
    drop(lock);
    drop(alias.lock(true).unwrap());
}

#[test]
fn readers_leave_no_trace_and_keep_writers_out() {
    let temp = Temp::new();
    let disk = temp.open();
    let without_file = disk.lock(false).unwrap();
    assert!(disk.list(SITE, "").unwrap().is_empty());
    drop(without_file);
    drop(disk.lock(true).unwrap());
    let before = fs::read(temp.store().join("LOCK")).unwrap();
    let readers = (disk.lock(false).unwrap(), disk.lock(false).unwrap());
    assert!(disk.lock(true).is_err());
    drop(readers);
    assert_eq!(fs::read(temp.store().join("LOCK")).unwrap(), before);
    drop(disk.lock(true).unwrap());
}

/// What `flock` says from another process, which knows nothing of our registry.
fn flock_from_outside(temp: &Temp, kind: &str) -> bool {
    let script = "exec flock -n \"$1\" \"$2\" true";
    let lock_file = temp.store().join("LOCK");
    Command::new("/bin/sh").args(["-c", script, "sh", kind]).arg(lock_file).status().unwrap().success()
}

#[test]
fn other_processes_see_the_lock() {
    let temp = Temp::new();
    let disk = temp.open();
    if Command::new("flock").arg("--version").output().is_err() {
        return; // not a util-linux system
    }
    let lock = disk.lock(true).unwrap();
    assert!(!flock_from_outside(&temp, "-s"));
    drop(lock);
    assert!(flock_from_outside(&temp, "-x"));
    let reader = disk.lock(false).unwrap();
    assert!(flock_from_outside(&temp, "-s") && !flock_from_outside(&temp, "-x"));
    drop(reader);
}

/// Another process's lock, taken by an open file that our registry does not know.
#[test]
fn a_foreign_holder_is_named() {
    let temp = Temp::new();
    let disk = temp.open();
    fs::write(temp.store().join("LOCK"), "4711 1700000000 my app\n").unwrap();
    let foreign = File::options().read(true).write(true).open(temp.store().join("LOCK")).unwrap();
    foreign.lock().unwrap();
    for exclusive in [true, false] {
        let holder = holder(disk.lock(exclusive)).unwrap();
        assert_eq!((holder.pid, holder.program.as_str(), holder.since_unix), (4711, "my app", 1_700_000_000));
    }
    foreign.unlock().unwrap();
    foreign.lock_shared().unwrap();
    assert_eq!(holder(disk.lock(true)), None, "the line is of a writer who is gone");
    drop(disk.lock(false).unwrap());
    foreign.unlock().unwrap();
    drop(disk.lock(true).unwrap());
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn a_record_lock_keeps_us_out_as_well() {
    let temp = Temp::new();
    let disk = temp.open();
    drop(disk.lock(true).unwrap());
    let foreign = File::options().read(true).write(true).open(temp.store().join("LOCK")).unwrap();
    assert!(sys::lock_description(&foreign, sys::Range::Exclusive).unwrap());
    assert!(matches!(disk.lock(true), Err(LockError::Held(_))));
    assert!(sys::lock_description(&foreign, sys::Range::Unlocked).unwrap());
    drop(disk.lock(true).unwrap());
}
