//! Sessions, locks and elections. What belongs to one handle and what to another:
//!
//! ```text
//! etclite_session    a lease that is kept alive; ends for all that came from it
//!   etclite_mutex    one name; what it holds, and the thread that is inside
//!   etclite_election one name; its lead, what it has observed, and the thread that is inside
//! ```
//!
//! Several handles of one session and one name stand for one and the same key: the second lock is the first one again, as
//! with etcd's clients. Locks of the Rust program around are the same locks, since the keys are the same.
//!
//! **Who is inside.** A call that locks, waits or lets go takes the handle's turn, without waiting for it: a second one
//! is refused. Calls that only look, cancel or free take no turn, and what they look at is behind a lock that is held
//! for a moment.

pub(crate) mod election;
pub(crate) mod mutex;
pub(crate) mod session;

use std::sync::Arc;
use std::time::Duration;

use etclite::coordination::{Cancel, WaitOptions};
use etclite::{Error, Token};
use parking_lot::{Mutex, MutexGuard};

use crate::error::Failure;
use crate::handle::{self, Object, Pinned};

/// What is behind a handle, for the length of a call, if its store is open.
fn open<T: Object>(handle: *const T::Opaque) -> Result<Pinned<T>, Failure> {
    let pinned = handle::pin::<T>(handle)?;
    if let Some(db) = pinned.database() {
        etclite::host::check_open(db)?;
    }
    Ok(pinned)
}

/// A lock or a lead, as crate `etclite` hands it out: let go when dropped.
trait Guard: Send + Sync + 'static {
    /// What calls answer that need one, before there is one or after it was let go.
    const MISSING: Error;

    fn token(&self) -> &Token;

    /// Forgets it without letting it go.
    fn leave(self);

    /// Lets it go.
    fn release(&self) -> Result<(), Error>;
}

/// What a handle holds, and who waits for it.
struct Holding<G: Guard> {
    /// Had by the call that is inside; never waited for.
    turn: Mutex<()>,
    /// Taken for a moment, with or without the turn; nothing is let go under it.
    held: Mutex<Held<G>>,
    cancel: Cancel,
}

enum Held<G> {
    No,
    Yes(Arc<G>),
    /// It was found to be lost when it was to be let go.
    Lost,
    /// The handle is freed, and holds nothing any more.
    Freed,
}

impl<G: Guard> Holding<G> {
    fn new() -> Self {
        Holding { turn: Mutex::new(()), held: Mutex::new(Held::No), cancel: Cancel::new() }
    }

    /// For calls of which there may be one at a time.
    fn turn(&self) -> Result<MutexGuard<'_, ()>, Failure> {
        self.turn.try_lock().ok_or(Failure::misuse())
    }

    /// How long to wait, and what ends it.
    fn wait_options(&self, timeout: Option<Duration>) -> WaitOptions {
        let options = WaitOptions::new().cancel(&self.cancel);
        match timeout {
            Some(timeout) => options.timeout(timeout),
            None => options,
        }
    }

    fn check_canceled(&self) -> Result<(), Failure> {
        if self.cancel.is_canceled() { Err(Error::WaitCanceled.into()) } else { Ok(()) }
    }

    /// What is held, as far as is known.
    fn held(&self) -> Result<Arc<G>, Failure> {
        match &*self.held.lock() {
            Held::Yes(guard) => Ok(Arc::clone(guard)),
            Held::No => Err(G::MISSING.into()),
            Held::Lost => Err(Error::SessionExpired.into()),
            Held::Freed => Err(Failure::misuse()),
        }
    }

    /// Holds what was taken by the call that has the turn.
    fn keep(&self, taken: G) -> Result<(), Failure> {
        let mut held = self.held.lock();
        match &*held {
            // Nobody is there any more who would let it go.
            Held::Freed => {
                drop(held);
                drop(taken);
                return Err(Error::WaitCanceled.into());
            }
            // The same lock once more. Dropping the second guard would let it go.
            Held::Yes(before) if before.token() == taken.token() => taken.leave(),
            _ => {
                let before = std::mem::replace(&mut *held, Held::Yes(Arc::new(taken)));
                drop(held);
                // Lost long since, or there would be no other: nothing is let go by this.
                drop(before);
            }
        }
        Ok(())
    }

    /// Lets go of what is held. After an error that is not about its loss it is still held.
    fn release(&self) -> Result<(), Failure> {
        let guard = self.held()?;
        let released = guard.release();
        let after = match &released {
            Ok(()) => Held::No,
            Err(Error::SessionExpired) => Held::Lost,
            Err(Error::LockReleased | Error::NotLeaderOfElection) => Held::No,
            Err(_) => return Ok(released?),
        };
        self.settle(after);
        Ok(released?)
    }

    /// Nothing is held from here on.
    fn settle(&self, after: Held<G>) {
        let mut held = self.held.lock();
        let before = match &*held {
            Held::Freed => return,
            _ => std::mem::replace(&mut *held, after),
        };
        drop(held);
        drop(before);
    }

    /// Ends the waits, and lets go.
    fn free(&self) {
        self.cancel.cancel();
        let before = std::mem::replace(&mut *self.held.lock(), Held::Freed);
        drop(before);
    }
}

#[cfg(test)]
mod tests;
