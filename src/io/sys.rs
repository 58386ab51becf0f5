//! The system calls that std has no safe word for, one per function.
//!
//! Everything here takes open descriptors and checked strings and returns `io::Result`; what it means is decided by the
//! callers. The unsafe code of real files is in this file and in `mmap.rs`.
#![allow(unsafe_code, reason = "system calls through libc, each block is one call")]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Opens `name` in `dir`. The last component is never followed, the descriptor never inherited by a program started
/// later.
pub(super) fn open_at(dir: BorrowedFd<'_>, name: &CStr, flags: libc::c_int, mode: libc::c_uint) -> io::Result<File> {
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    loop {
        // SAFETY: `name` ends in NUL, `dir` is open for the call, and `mode` is there whenever O_CREAT asks for it.
        let result = check(unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, mode) });
        match result {
            // SAFETY: openat has just returned this descriptor, and nobody else knows it.
            Ok(fd) => return Ok(unsafe { File::from_raw_fd(fd) }),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Makes the directory `name` in `dir`.
pub(super) fn make_dir_at(dir: BorrowedFd<'_>, name: &CStr, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: `name` ends in NUL and `dir` is open for the call.
    check(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) }).map(drop)
}

/// Renames within or between two directories, replacing the target.
pub(super) fn rename_at(from: BorrowedFd<'_>, old: &CStr, to: BorrowedFd<'_>, new: &CStr) -> io::Result<()> {
    // SAFETY: both names end in NUL and both directories are open for the call.
    check(unsafe { libc::renameat(from.as_raw_fd(), old.as_ptr(), to.as_raw_fd(), new.as_ptr()) }).map(drop)
}

/// Removes the file `name` from `dir`.
pub(super) fn unlink_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` ends in NUL and `dir` is open for the call.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

/// Whether a call failed because the process, or the system, has no descriptor left.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The user on whose behalf files are opened.
pub(super) fn effective_user() -> u32 {
    // SAFETY: geteuid takes nothing, touches nothing of ours and cannot fail.
    unsafe { libc::geteuid() }
}

/// Runs `start` while the caller's thread takes no signals, so that a thread which it starts takes none, ever. Signals
/// that a thread's own fault raises are left alone: were they blocked, the kernel would end the process without asking the
/// host's handler.
pub(super) fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    const FAULTS: [libc::c_int; 7] =
        [libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP, libc::SIGXFSZ];
    // SAFETY: a set of signals is integers, and is filled before it is read.
    let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
    let mut before = blocked;
    // SAFETY: the set outlives the call.
    unsafe { libc::sigfillset(&raw mut blocked) };
    for fault in FAULTS {
        // SAFETY: the set was filled, and outlives the call.
        unsafe { libc::sigdelset(&raw mut blocked, fault) };
    }
    // SAFETY: both sets outlive the call, which cannot fail with this first argument.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, &raw mut before) };
    let started = start();
    // SAFETY: `before` was filled by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    started
}

/// Sends a signal to a process that this one has started and not yet waited for.
#[cfg(feature = "cli")]
pub(crate) fn send_signal(child: u32, signal: libc::c_int) -> io::Result<()> {
    let child = libc::pid_t::try_from(child).map_err(io::Error::other)?;
    // SAFETY: kill takes two integers and touches nothing of ours.
    check(unsafe { libc::kill(child, signal) }).map(drop)
}

/// Waits until a child has ended, and leaves it to be waited for: until then its id stays its own.
#[cfg(feature = "cli")]
pub(crate) fn wait_for_end(child: u32) -> io::Result<()> {
    // SAFETY: all fields are integers or unions of them, and nobody reads them before they are set.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: `info` outlives the call.
        match check(unsafe { libc::waitid(libc::P_PID, child, &raw mut info, libc::WEXITED | libc::WNOWAIT) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended.map(drop),
        }
    }
}

/// Whether a key pressed at the terminal behind standard input interrupts this process and all that it has started.
#[cfg(feature = "cli")]
pub(crate) fn is_in_foreground() -> bool {
    // SAFETY: both take no memory of ours; without a terminal the former fails with -1, which is no group.
    unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) == libc::getpgrp() }
}

/// What [`lock_description`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Shared,
    Exclusive,
    Unlocked,
}

/// Locks the whole file by open file description, without waiting: true if it was obtained. It belongs to the open
/// file as `flock` does, and is also seen by programs that use `fcntl` locks. Systems without it say true.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(super) fn lock_description(file: &File, range: Range) -> io::Result<bool> {
    let kind = match range {
        Range::Shared => libc::F_RDLCK,
        Range::Exclusive => libc::F_WRLCK,
        Range::Unlocked => libc::F_UNLCK,
    };
    // SAFETY: all fields are integers, and zero means the whole file from its start.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = libc::c_short::try_from(kind).expect("lock kinds are single digits");
    request.l_whence = libc::c_short::try_from(libc::SEEK_SET).expect("SEEK_SET is zero");
    // SAFETY: the descriptor is open and `request` outlives the call.
    match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const request) }) {
        Ok(_) => Ok(true),
        Err(e) => match e.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => Ok(false),
            Some(libc::EINVAL) => Ok(true), // a kernel without it; flock holds either way
            _ => Err(e),
        },
    }
}

/// Without such locks flock alone decides.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub(super) fn lock_description(_file: &File, _range: Range) -> io::Result<bool> {
    Ok(true)
}

/// Starts write-back of a range without waiting for it. A hint: errors are met again by the sync that counts.
#[cfg(target_os = "linux")]
pub(super) fn write_back(file: &File, offset: u64, len: u64) {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { return };
    // SAFETY: the descriptor is open; the call reads and writes no memory of ours.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Nothing: there is no such hint here.
#[cfg(not(target_os = "linux"))]
pub(super) fn write_back(_file: &File, _offset: u64, _len: u64) {}

/// Time since the host booted, suspend included, where the system tells.
#[cfg(target_os = "linux")]
pub(super) fn time_since_boot() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that outlives the call.
    check(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) }).ok()?;
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

/// Not told here.
#[cfg(not(target_os = "linux"))]
pub(super) fn time_since_boot() -> Option<Duration> {
    None
}

/// A timer of the clock that [`time_since_boot`] reads. To read it is to wait until it goes off.
#[cfg(target_os = "linux")]
pub(super) fn boot_timer() -> io::Result<File> {
    // SAFETY: timerfd_create takes two integers.
    let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, libc::TFD_CLOEXEC) })?;
    // SAFETY: timerfd_create has just returned this descriptor, and nobody else knows it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Has a timer go off at this time of its clock, instead of any time that it was set to before. Zero stops it.
#[cfg(target_os = "linux")]
pub(super) fn set_boot_timer(timer: &File, at: Duration) -> io::Result<()> {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // What is too far off to be told is never.
    let at = i64::try_from(at.as_secs())
        .map_or(never, |secs| libc::timespec { tv_sec: secs, tv_nsec: at.subsec_nanos().into() });
    let times = libc::itimerspec { it_interval: never, it_value: at };
    let fd = timer.as_raw_fd();
    // SAFETY: `times` outlives the call, which is asked for no old value; the descriptor is open.
    check(unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &raw const times, std::ptr::null_mut()) })
        .map(drop)
}

/// How many forks lie between this process and the one that first asked. A look at a number in memory: the shortest reads
/// ask, and asking the system for the process id would cost them a third of their time.
pub(crate) fn forks() -> u64 {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: the handler is a plain function of the whole program's life. If it cannot be installed, for want of
        // memory, forks go unnoticed, and the process id that each write checks remains.
        unsafe { libc::pthread_atfork(None, None, Some(begin_child)) };
    });
    FORKS.load(Ordering::Relaxed)
}

static FORKS: AtomicU64 = AtomicU64::new(0);

/// Runs in each forked child, where only what is safe in a signal handler may be done.
extern "C" fn begin_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    for place in &CLOSED_IN_CHILDREN {
        let fd = place.swap(NO_DESCRIPTOR, Ordering::Relaxed);
        if fd != NO_DESCRIPTOR {
            // SAFETY: the parent had it open when it forked, and nobody here owns the number: see `ClosedInChildren`.
            unsafe { libc::close(fd) };
        }
    }
}

/// Of how many descriptors children let go. Locks of stores beyond that many last as long as a child does.
const CLOSED_IN_CHILDREN_MAX: usize = 1_024;

const NO_DESCRIPTOR: libc::c_int = -1;

/// Fixed, as a child can take no lock and no memory. Relaxed: who forks copies what his own thread sees, and others put
/// a descriptor here before they lock it and take it away before they close it.
static CLOSED_IN_CHILDREN: [AtomicI32; CLOSED_IN_CHILDREN_MAX] =
    [const { AtomicI32::new(NO_DESCRIPTOR) }; CLOSED_IN_CHILDREN_MAX];

/// A descriptor that forked children close at once: with their copy of it, they would keep its lock when this process has
/// died. It must be dropped before the file is closed.
pub(super) struct ClosedInChildren {
    place: Option<&'static AtomicI32>,
    forks: u64,
}

impl ClosedInChildren {
    pub(super) fn new(file: &File) -> Self {
        let forks = forks();
        let take = |place: &&AtomicI32| {
            let (none, fd) = (NO_DESCRIPTOR, file.as_raw_fd());
            place.compare_exchange(none, fd, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        ClosedInChildren { place: CLOSED_IN_CHILDREN.iter().find(take), forks }
    }

    /// Whether this is a child, in which it was closed: its number may be another file's by now.
    pub(super) fn is_closed(&self) -> bool {
        self.place.is_some() && self.forks != forks()
    }
}

impl Drop for ClosedInChildren {
    fn drop(&mut self) {
        if let Some(place) = self.place
            && !self.is_closed()
        {
            place.store(NO_DESCRIPTOR, Ordering::Relaxed);
        }
    }
}

/// Sleeps while `word` holds `expected`; returns at once if it does not, and may return for nothing.
#[cfg(target_os = "linux")]
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32) {
    // SAFETY: the word outlives the call; the system reads it and nothing else. Whatever it answers, the caller looks
    // again.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            std::ptr::null::<libc::timespec>(),
        )
    };
}

/// Wakes one of those who sleep on `word`, or all.
#[cfg(target_os = "linux")]
pub(crate) fn futex_wake(word: &AtomicU32, all: bool) {
    let count = if all { libc::c_int::MAX } else { 1 };
    // SAFETY: the system uses the word's address as a name and does not look at it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, count) };
}
