//! The door that every call comes through: panics stay inside, and errors are told in C's way.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::code::ETCLITE_OK;
use crate::error::{Failure, etclite_error};

/// Runs the body of an exported function. What it answers is the status: 0, or a harmless "no" above 0.
///
/// # Safety
/// `err` is null, or a place for an `etclite_error`.
pub(crate) unsafe fn enter(err: *mut etclite_error, body: impl FnOnce() -> Result<i32, Failure>) -> i32 {
    catch(body).unwrap_or_else(|failure| {
        if !err.is_null() {
            // SAFETY: the caller gave a place for it. It may hold anything, so it is written without a look.
            unsafe { err.write(failure.report()) };
        }
        failure.code()
    })
}

/// As `enter`, for functions without an error to write: those that free.
pub(crate) fn enter_free(body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    // SAFETY: null is allowed.
    unsafe { enter(std::ptr::null_mut(), || body().map(|()| ETCLITE_OK)) }
}

fn catch(body: impl FnOnce() -> Result<i32, Failure>) -> Result<i32, Failure> {
    if IN_CALLBACK.get() {
        return Err(Failure::misused("a call from inside the log sink"));
    }
    quiet_panics();
    let depth = DEPTH.replace(DEPTH.get() + 1);
    // Whatever a panic interrupted is not used again: the pin's drop poisons its store.
    let outcome = panic::catch_unwind(AssertUnwindSafe(body));
    DEPTH.set(depth);
    outcome.unwrap_or_else(|_| Err(Failure::Panic(MESSAGE.take())))
}

/// Runs the host's log sink. The library refuses to be called from inside it.
pub(crate) fn in_callback(sink: impl FnOnce()) {
    let before = IN_CALLBACK.replace(true);
    sink();
    IN_CALLBACK.set(before);
}

thread_local! {
    /// How many exported functions this thread is inside of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
    /// What the last panic of this thread said.
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From the first call on a panic inside of the library is noted for the caller instead of being printed, and one in a
/// thread of ours is not printed either: what becomes of it, a store that takes no more writes, is told to the log sink.
///
/// Who finds that another thread is installing this goes on without it: to wait would be for ever in a process that was
/// forked just then.
fn quiet_panics() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    // Relaxed: nothing is read that the installing thread wrote, but by std's own functions.
    if INSTALLED.load(Ordering::Relaxed) || INSTALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if DEPTH.get() > 0 {
            MESSAGE.set(told(panic));
        } else if !is_ours() {
            before(panic);
        }
    }));
}

/// What a panic said, and where.
fn told(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
    format!("{}{}", text.unwrap_or("no message"), place.unwrap_or_default())
}

/// Whether the library has started this thread. It names all of its threads so.
fn is_ours() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with("etclite-"))
}
