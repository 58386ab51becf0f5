//! What std has no safe word for: fork, users, limits. One call per block; used in workers that have one thread.
#![allow(unsafe_code, reason = "system calls of tests, each block is one call")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;

/// Runs `body` in a forked child of this process, which has one thread, and returns what it came to; then the child
/// exits without running anything else.
pub(crate) fn in_forked_child(body: impl FnOnce() -> String) -> String {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: pipe has just returned this descriptor, and nobody else knows it.
    let mut read = unsafe { File::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let mut write = unsafe { File::from_raw_fd(ends[1]) };
    // SAFETY: the child only runs `body`, writes its result and exits; no other thread holds a lock it could need.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        let _ = write.write_all(body().as_bytes());
        // SAFETY: ends this process without running what the parent would run at its end.
        unsafe { libc::_exit(0) };
    }
    drop(write);
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    format!("{text} exit={status}")
}

/// Goes on as a forked child, and returns its process id. The parent, which has one thread, stands still until it is
/// killed.
pub(crate) fn become_child() -> u32 {
    // SAFETY: no other thread holds a lock that the child could need.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        return std::process::id();
    }
    loop {
        // SAFETY: takes nothing, and returns after a signal that does not kill.
        unsafe { libc::pause() };
    }
}

/// Gives up root for good.
pub(crate) fn become_user(user: u32) -> String {
    // SAFETY: takes a number, touches no memory of ours.
    let result = unsafe { libc::setuid(user) };
    if result == 0 { String::new() } else { std::io::Error::last_os_error().to_string() }
}

/// Whether this process may do what only root may.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// At most so many descriptors from now on.
pub(crate) fn limit_descriptors(count: u64) -> String {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: 1024 };
    // SAFETY: `limit` outlives the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    if result == 0 { String::new() } else { std::io::Error::last_os_error().to_string() }
}

/// Resident memory in KiB.
pub(crate) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
