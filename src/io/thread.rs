//! Threads, which exist only while there is work for them.

use std::io;
use std::thread::Builder;
pub(crate) use std::thread::{JoinHandle, ThreadId};

/// Starts a named thread. It takes no signals: a host's handlers run in the host's threads.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    super::sys::without_signals(|| Builder::new().name(format!("etclite-{name}")).spawn(body))
}

/// Lets the caller's thread rest before it tries something again that nobody would signal.
pub(crate) fn pause(time: std::time::Duration) {
    std::thread::sleep(time);
}

pub(crate) use super::sys::forks;

/// The id of this process.
pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// The caller's thread.
pub(crate) fn current() -> ThreadId {
    std::thread::current().id()
}
