//! The log sink: the one function of the host that the library calls.
//!
//! One sink for the whole process, which every store tells what background work and recovery met. No lock is taken for
//! that, so that it goes on in a forked child. A sink is kept in memory when another replaces it, since a thread may be
//! about to look at it; `etclite_set_log` waits until nobody is inside of it, so that the host may let go of what its
//! `context` points to. Invariant: a thread counts itself in a sink before it looks whether that is still the one, and
//! is counted out after the sink has returned.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

use etclite::{LogEvent, Options};

use crate::code::ETCLITE_OK;
use crate::error::{Failure, chain, etclite_error};
use crate::guard::{enter, in_callback};

/// Nothing is logged.
pub const ETCLITE_LOG_OFF: u32 = 0;
/// What ends something: a store that takes no more writes, a close that failed.
pub const ETCLITE_LOG_ERROR: u32 = 1;
/// And what is tried again: background work that failed.
pub const ETCLITE_LOG_WARN: u32 = 2;
/// And what is worth knowing: what recovery has found.
pub const ETCLITE_LOG_INFO: u32 = 3;

/// Receives a line of the log: `message_len` bytes of UTF-8, without an end of line, which are gone when it returns. It
/// may be called from any thread, by several at a time, and must not unwind. Calling the library from inside it is
/// `MISUSE`.
pub type etclite_log_sink =
    Option<unsafe extern "C" fn(context: *mut c_void, level: u32, message: *const u8, message_len: usize)>;

/// Has `sink` told what happens in the background of all stores of this process, up to `level`, one of
/// `ETCLITE_LOG_..`, with `context` as it is. It replaces the sink before, which nobody is inside of any more on return;
/// so do not call this while holding what the sink waits for. `ETCLITE_LOG_OFF` and null end the log. Of stores that are
/// open already as well as of later ones; by default there is no log.
///
/// Errors: `INVALID_ARGUMENT` for an unknown level; `MISUSE` for a level without a sink, and from inside a sink.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_set_log(
    level: u32,
    sink: etclite_log_sink,
    context: *mut c_void,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            if level > ETCLITE_LOG_INFO {
                return Err(Failure::invalid("an unknown level"));
            }
            let Some(call) = sink.filter(|_| level != ETCLITE_LOG_OFF) else {
                return if level == ETCLITE_LOG_OFF { replace(None) } else { Err(Failure::null()) };
            };
            replace(Some((level, call, context)))
        })
    }
}

type Call = unsafe extern "C" fn(*mut c_void, u32, *const u8, usize);

/// A sink that was set.
struct Sink {
    level: u32,
    /// `None` ends the log.
    call: Option<Call>,
    context: *mut c_void,
    /// How many threads are inside, or about to look whether it is still the one.
    running: AtomicUsize,
    /// How many forks lay before it: threads that were inside of an older one are in another process.
    forks: u64,
    /// The one before it, for ever: so tools that look for lost memory see that it is not.
    _before: *const Sink,
}

// SAFETY: what the context points to is the host's, who promises that any thread may come with it.
unsafe impl Sync for Sink {}

/// Release and acquire, and sequentially consistent with the counters: see the invariant above.
static SINK: AtomicPtr<Sink> = AtomicPtr::new(ptr::null_mut());

fn replace(new: Option<(u32, Call, *mut c_void)>) -> Result<i32, Failure> {
    let (level, call, context) = match new {
        Some((level, call, context)) => (level, Some(call), context),
        None => (ETCLITE_LOG_OFF, None, ptr::null_mut()),
    };
    let mut before = SINK.load(Ordering::SeqCst);
    loop {
        let forks = etclite::host::forks();
        let sink = Box::new(Sink { level, call, context, running: AtomicUsize::new(0), forks, _before: before });
        let sink = Box::into_raw(sink);
        match SINK.compare_exchange(before, sink, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => break,
            Err(other) => {
                // SAFETY: it came from the box above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(sink) });
                before = other;
            }
        }
    }
    // SAFETY: null, or a sink, which is never freed.
    if let Some(before) = unsafe { before.as_ref() } {
        before.await_end();
    }
    Ok(ETCLITE_OK)
}

impl Sink {
    /// Waits until nobody is inside. Looks once a millisecond: who tells of it would need a lock, and a sink is seldom
    /// replaced.
    fn await_end(&self) {
        while self.forks == etclite::host::forks() && self.running.load(Ordering::SeqCst) > 0 {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// The current sink, which is not replaced as long as this lives.
struct Running(&'static Sink);

impl Running {
    fn enter() -> Option<Running> {
        loop {
            let current = SINK.load(Ordering::SeqCst);
            // SAFETY: null, or a sink, which is never freed.
            let sink = unsafe { current.as_ref() }?;
            sink.running.fetch_add(1, Ordering::SeqCst);
            let running = Running(sink);
            if SINK.load(Ordering::SeqCst) == current {
                return Some(running);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A store whose events go to the sink, whichever there is by then, with its path.
///
/// # Safety
/// As [`crate::argument::bytes`].
pub(crate) unsafe fn hook(options: Options, path: *const u8, len: usize) -> Options {
    // SAFETY: as the caller promises. A path that cannot be is refused by who opens it.
    let path = unsafe { crate::argument::bytes(path, len) }.unwrap_or_default();
    let store = if path.is_empty() { "in memory".into() } else { String::from_utf8_lossy(path).into_owned() };
    options.log_hook(move |event| tell(&store, event))
}

fn tell(store: &str, event: &LogEvent) {
    let Some(running) = Running::enter() else { return };
    let (level, what) = line(event);
    let Some(call) = running.0.call.filter(|_| level <= running.0.level) else { return };
    let line = format!("{store}: {what}");
    // SAFETY: the host's function, with its context and bytes that live until it returns.
    in_callback(|| unsafe { call(running.0.context, level, line.as_ptr(), line.len()) });
}

/// How bad an event is, and what it says.
fn line(event: &LogEvent) -> (u32, String) {
    match event {
        LogEvent::TornTail { file, offset } => {
            (ETCLITE_LOG_INFO, format!("{file}: an unfinished write at {offset} was left out, as after any crash"))
        }
        LogEvent::Poisoned(error) => {
            (ETCLITE_LOG_ERROR, format!("takes no more writes until it is reopened: {}", chain(error)))
        }
        LogEvent::Background(error) => {
            (ETCLITE_LOG_WARN, format!("background work failed, and is tried again: {}", chain(error)))
        }
        LogEvent::Close(error) => (ETCLITE_LOG_ERROR, format!("closing failed: {}", chain(error))),
        other => (ETCLITE_LOG_INFO, format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests;
