//! A descriptor that is readable while a flag is up: how a program that sleeps in `poll`, `epoll` or `kqueue` learns of
//! something. An eventfd on Linux, a pipe elsewhere.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

/// The flag. Raising it again changes nothing, nor does lowering it again: whoever has the descriptor may have read from
/// it, as some event loops do.
#[derive(Debug)]
pub(crate) struct Flag {
    read: File,
    #[cfg(not(target_os = "linux"))]
    write: File,
}

impl Flag {
    /// A flag that is down. Its descriptors do not block, and are closed by `exec`.
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> io::Result<Flag> {
        use std::os::fd::{FromRawFd, OwnedFd};
        // SAFETY: it takes numbers only.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else's.
        Ok(Flag { read: File::from(unsafe { OwnedFd::from_raw_fd(fd) }) })
    }

    /// A flag that is down. Its descriptors do not block, and are closed by `exec`.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> io::Result<Flag> {
        use std::os::fd::OwnedFd;
        let (read, write) = io::pipe()?;
        for end in [read.as_raw_fd(), write.as_raw_fd()] {
            // SAFETY: it takes numbers only, and the descriptor is open.
            if unsafe { libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Flag { read: File::from(OwnedFd::from(read)), write: File::from(OwnedFd::from(write)) })
    }

    /// The descriptor to poll.
    pub(crate) fn fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    pub(crate) fn raise(&self) {
        #[cfg(target_os = "linux")]
        let mut end = &self.read;
        #[cfg(not(target_os = "linux"))]
        let mut end = &self.write;
        // It fails if there is no room, and then the flag is up already.
        let _ = end.write(&1u64.to_ne_bytes());
    }

    pub(crate) fn lower(&self) {
        // An eventfd gives all that was written at once; a pipe may need more, and both end with "would block".
        while matches!((&self.read).read(&mut [0; 64]), Ok(64)) {}
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Whether a descriptor is readable now.
    pub(crate) fn is_readable(fd: RawFd) -> bool {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which is writable.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        assert!(ready >= 0);
        ready == 1
    }

    #[test]
    fn it_is_readable_while_it_is_up() {
        let flag = Flag::new().expect("there are descriptors left");
        for _ in 0..3 {
            assert!(!is_readable(flag.fd()));
            flag.raise();
            flag.raise();
            assert!(is_readable(flag.fd()));
            flag.lower();
            flag.lower();
        }
        // SAFETY: it takes numbers only.
        let (fd, status) = unsafe { (libc::fcntl(flag.fd(), libc::F_GETFD), libc::fcntl(flag.fd(), libc::F_GETFL)) };
        assert!(fd & libc::FD_CLOEXEC != 0 && status & libc::O_NONBLOCK != 0);
    }
}
