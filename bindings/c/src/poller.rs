//! Many watches behind one descriptor: a program that has an event loop, or a runtime such as Go's, waits for all of its
//! watches in one place.
//!
//! The core knows no descriptors. It wakes a [`Waker`] once a watch has something to return; here the waker of a watch
//! puts the watch's **cookie**, a number of the caller's, in line, and raises the poller's [`Flag`].
//!
//! ```text
//!   armed --- something happened ---> in line --- reported by wait ---> quiet
//!     ^                                                                   |
//!     +------ watch_next found nothing and returned TIMEOUT --------------+
//! ```
//!
//! Arming asks first whether there is something already, and puts the cookie in line if so: a wake-up cannot be lost
//! between the two. Invariants, under the one lock: a member is in line at most once; the flag is up exactly while
//! somebody is in line, a wake-up is owed, or the poller has ended (unless the caller reads its descriptor: then from
//! the next wait on).
//!
//! **Locks.** A poller's is the innermost. Wakers are called without a lock of the core.

use std::collections::BTreeMap;
// Of std: whoever waits here while the host forks must not be in parking_lot's table of the process, which the child's
// own threads would inherit.
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::Wake;
use std::time::Duration;

use etclite::Error;

use crate::argument::{out, out_array, out_pointer, timeout};
use crate::code::{ETCLITE_E_CANCELED, ETCLITE_NOT_FOUND, ETCLITE_OK, ETCLITE_TIMEOUT};
use crate::database::{database, etclite_db};
use crate::error::{Failure, etclite_error};
use crate::flag::Flag;
use crate::guard::{enter, enter_free};
use crate::handle::{self, Object};
use crate::watch::{WatchObject, etclite_watch};

/// Waits for many watches at once.
pub struct etclite_poller {
    _opaque: (),
}

/// What stands behind an `etclite_poller`.
struct Poller {
    line: Arc<Line>,
    /// Held by the one thread that waits.
    waiting: Mutex<()>,
}

impl Object for Poller {
    type Opaque = etclite_poller;
    const KIND: u64 = 8;
}

/// Who is ready.
pub(crate) struct Line {
    flag: Flag,
    state: Mutex<State>,
    /// Told of all that raises the flag.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Counts members and places; never comes back.
    next: u64,
    members: BTreeMap<u64, Entry>,
    /// Members that are ready and not reported, by the place in the order in which they became so.
    ready: BTreeMap<u64, u64>,
    /// `etclite_poller_wake` was called since the last wait.
    woken: bool,
    ended: Option<Ended>,
    raised: bool,
}

struct Entry {
    cookie: u64,
    /// Its place in line.
    place: Option<u64>,
}

#[derive(Clone, Copy)]
enum Ended {
    /// The store was closed.
    Closed,
    /// The poller was freed while somebody waits.
    Freed,
}

impl State {
    fn is_quiet(&self) -> bool {
        self.ready.is_empty() && !self.woken && self.ended.is_none()
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the flag show the state, and wakes who waits.
    fn show(&self, state: &mut State) {
        let up = !state.is_quiet();
        if up && !state.raised {
            self.flag.raise();
            self.changed.notify_all();
        } else if !up && state.raised {
            self.flag.lower();
        }
        state.raised = up;
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        self.show(&mut state);
    }

    /// Puts a member in line, unless it is there, or was removed.
    fn queue(&self, member: u64) {
        self.change(|state| {
            let State { next, members, ready, .. } = state;
            if let Some(entry @ Entry { place: None, .. }) = members.get_mut(&member) {
                *next += 1;
                entry.place = Some(*next);
                ready.insert(*next, member);
            }
        });
    }

    /// Waits until there is something to tell, at most so long.
    fn wait(&self, timeout: Option<Duration>) -> MutexGuard<'_, State> {
        let state = self.lock();
        match timeout {
            None => self.changed.wait_while(state, |state| state.is_quiet()).unwrap_or_else(PoisonError::into_inner),
            Some(Duration::ZERO) => state,
            Some(timeout) => {
                let waited = self.changed.wait_timeout_while(state, timeout, |state| state.is_quiet());
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// The first cookies in line, as many as there is room for; `None` if there was nothing at all.
    fn take(&self, state: &mut State, cookies: &mut [u64]) -> Result<Option<usize>, Failure> {
        if state.is_quiet() {
            return Ok(None);
        }
        let mut count = 0;
        while count < cookies.len()
            && let Some((_, member)) = state.ready.pop_first()
        {
            let entry = state.members.get_mut(&member).expect("who is removed leaves the line");
            entry.place = None;
            cookies[count] = entry.cookie;
            count += 1;
        }
        let woken = std::mem::take(&mut state.woken);
        // The caller may have read from the descriptor, so it is brought to what is so now.
        self.flag.lower();
        state.raised = false;
        self.show(state);
        match state.ended {
            Some(Ended::Closed) if count == 0 && !woken => Err(Error::Closed.into()),
            Some(Ended::Freed) => Err(freed()),
            _ => Ok(Some(count)),
        }
    }

    fn end(&self, how: Ended) {
        self.change(|state| state.ended = Some(how));
    }
}

fn freed() -> Failure {
    Failure::Boundary { code: ETCLITE_E_CANCELED, message: "the poller was freed", detail: 0 }
}

/// The pollers of a store, which are told when it closes.
#[derive(Default)]
pub(crate) struct Pollers(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    lines: Vec<Weak<Line>>,
    closed: bool,
}

impl Pollers {
    fn add(&self, line: &Arc<Line>) -> Result<(), Failure> {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if registry.closed {
            return Err(Error::Closed.into());
        }
        registry.lines.retain(|line| line.strong_count() > 0);
        registry.lines.push(Arc::downgrade(line));
        Ok(())
    }

    /// Ends every wait, and refuses new pollers.
    pub(crate) fn close(&self) {
        let lines = {
            let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            registry.closed = true;
            std::mem::take(&mut registry.lines)
        };
        for line in lines.iter().filter_map(Weak::upgrade) {
            line.end(Ended::Closed);
        }
    }
}

/// A watch in a poller. It is what the core wakes.
pub(crate) struct Member {
    line: Weak<Line>,
    number: u64,
}

impl Member {
    fn new(line: &Arc<Line>, cookie: u64) -> Arc<Member> {
        let mut state = line.lock();
        state.next += 1;
        let number = state.next;
        state.members.insert(number, Entry { cookie, place: None });
        Arc::new(Member { line: Arc::downgrade(line), number })
    }

    /// Puts the watch in line.
    pub(crate) fn queue(&self) {
        if let Some(line) = self.line.upgrade() {
            line.queue(self.number);
        }
    }

    /// Takes the watch out of the poller: it is not reported any more.
    pub(crate) fn remove(&self) {
        let Some(line) = self.line.upgrade() else { return };
        line.change(|state| {
            if let Some(Entry { place: Some(place), .. }) = state.members.remove(&self.number) {
                state.ready.remove(&place);
            }
        });
    }

    /// Whether it is in this poller; none is in one that was freed.
    pub(crate) fn is_in(&self, line: &Arc<Line>) -> bool {
        self.line.upgrade().is_some_and(|own| Arc::ptr_eq(&own, line))
    }

    /// Whether its poller is there.
    pub(crate) fn is_live(&self) -> bool {
        self.line.upgrade().is_some_and(|line| !matches!(line.lock().ended, Some(Ended::Freed)))
    }
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        self.queue();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue();
    }
}

/// Makes a poller, which belongs to a store and waits for its watches. Those of another store may be added, too. It must
/// be freed by `etclite_poller_free`.
///
/// Errors: `IO` if there is no descriptor left; `CLOSED`; `FULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_poller_new(
    db: *const etclite_db,
    poller: *mut *mut etclite_poller,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let poller = out_pointer(poller)?;
            let database = database(db)?;
            let line = new_line()?;
            database.pollers.add(&line)?;
            *poller = handle::publish(Poller { line, waiting: Mutex::new(()) })?;
            Ok(ETCLITE_OK)
        })
    }
}

fn new_line() -> Result<Arc<Line>, Failure> {
    let flag = Flag::new().map_err(|error| {
        let (what, path) = ("open a descriptor for a poller", std::path::PathBuf::new());
        Error::Io { what, path, source: Arc::new(error) }
    })?;
    Ok(Arc::new(Line { flag, state: Mutex::default(), changed: Condvar::new() }))
}

/// The poller's descriptor, which can be read from exactly while `etclite_poller_wait` has something to return: one for
/// `poll`, `epoll`, `kqueue` or an event loop. It stays the poller's, and is closed with it: wait for it, or for a `dup`
/// of it, but do not close it. Whoever reads from it must call `etclite_poller_wait` afterwards until that returns
/// `ETCLITE_TIMEOUT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_poller_fd(
    poller: *const etclite_poller,
    fd: *mut i32,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let fd = out(fd)?;
            *fd = handle::pin::<Poller>(poller)?.line.flag.fd();
            Ok(ETCLITE_OK)
        })
    }
}

/// Adds a watch, under a number that is the caller's to choose: a pointer, an index, a descriptor. The watch is reported
/// as soon as `etclite_watch_next` has something to return, be it an error, and right away if that is so now. It is
/// reported once, and again only after `etclite_watch_next` or `etclite_watch_next_raw` has returned `ETCLITE_TIMEOUT`:
/// so call that until it does.
///
/// That progress is due, which an `etcdserverpb.WatchCreateRequest` can ask for, makes no watch ready: it comes with a read
/// that finds it due. A wait with a limit, and a read after it, is how to have it in time.
///
/// A watch is in one poller at most. Cancelling a watch, or closing its store, makes it ready; freeing it takes it out.
///
/// Errors: `INVALID_ARGUMENT` if the watch is in a poller already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_poller_add(
    poller: *const etclite_poller,
    watch: *const etclite_watch,
    cookie: u64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            let poller = handle::pin::<Poller>(poller)?;
            let watch = handle::pin::<WatchObject>(watch)?;
            watch.join(|| Member::new(&poller.line, cookie))?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Takes a watch out of the poller: it is not reported any more. Freeing the watch does it, too. Returns
/// `ETCLITE_NOT_FOUND` if it is not in there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_poller_remove(
    poller: *const etclite_poller,
    watch: *const etclite_watch,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            let poller = handle::pin::<Poller>(poller)?;
            let watch = handle::pin::<WatchObject>(watch)?;
            Ok(if watch.leave(&poller.line) { ETCLITE_OK } else { ETCLITE_NOT_FOUND })
        })
    }
}

/// Waits until a watch is ready, at most `timeout_ms` (-1: for ever; 0: not at all), and writes the numbers of those that
/// are to `cookies`, up to `cap` of them, in the order in which they became ready. `*count` is how many. Those that found
/// no room are told by the next call.
///
/// Returns `ETCLITE_TIMEOUT` with `*count` 0 if there was nothing, and `ETCLITE_OK` with `*count` 0 if
/// `etclite_poller_wake` was called and there was nothing else.
///
/// Errors: `CLOSED` once the store is closed and all watches that this made ready were told; `CANCELED` if the poller is
/// freed meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_poller_wait(
    poller: *mut etclite_poller,
    timeout_ms: i64,
    cookies: *mut u64,
    cap: usize,
    count: *mut usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let count = out(count)?;
            let cookies = out_array(cookies, cap)?;
            if cookies.is_empty() {
                return Err(Failure::invalid("room for no number"));
            }
            let timeout = timeout(timeout_ms)?;
            let poller = handle::pin::<Poller>(poller)?;
            let _waiting = match poller.waiting.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(Failure::misuse()),
                Ok(waiting) => waiting,
                Err(TryLockError::Poisoned(waiting)) => waiting.into_inner(),
            };
            let mut state = poller.line.wait(timeout);
            let taken = poller.line.take(&mut state, cookies)?;
            *count = taken.unwrap_or(0);
            Ok(if taken.is_some() { ETCLITE_OK } else { ETCLITE_TIMEOUT })
        })
    }
}

/// Ends the wait that is in progress, or else the next one: it returns `ETCLITE_OK`. From any thread, at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_poller_wake(poller: *const etclite_poller, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            handle::pin::<Poller>(poller)?.line.change(|state| state.woken = true);
            Ok(ETCLITE_OK)
        })
    }
}

/// Frees a poller and closes its descriptor. Its watches go on, and may be added to another. A wait in progress in
/// another thread ends with `CANCELED`. Null is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_poller_free(poller: *mut etclite_poller) -> i32 {
    enter_free(|| {
        if poller.is_null() {
            return Ok(());
        }
        let pinned = handle::pin::<Poller>(poller)?;
        handle::free::<Poller>(poller)?;
        pinned.line.end(Ended::Freed);
        Ok(())
    })
}

#[cfg(test)]
mod tests;
