//! A lock by name.

use std::time::Duration;

use etclite::coordination::{LockGuard, Mutex};
use etclite::{Db, Error, Session, Token};

use crate::argument::{bytes, out, out_pointer, signed, timeout};
use crate::code::{ETCLITE_NOT_ACQUIRED, ETCLITE_OK, ETCLITE_TIMEOUT};
use crate::coordination::session::{SessionObject, etclite_session};
use crate::coordination::{Guard, Holding, open};
use crate::error::{Failure, etclite_error};
use crate::guard::{enter, enter_free};
use crate::handle::{self, Object};
use crate::result::out_view;

/// A lock by name, for one session. Whoever came first has it, then the next. The key of a session is the name, `/` and
/// its lease in hexadecimal, as etcd's clients have it, who can take part: so the keys below `name/` belong to the lock.
///
/// With one session a second lock of the name, by this handle or another, is the first one again, and one unlock frees
/// both.
pub struct etclite_mutex {
    _opaque: (),
}

/// What stands behind an `etclite_mutex`.
struct MutexObject {
    session: Session,
    mutex: Mutex,
    /// What a view of the key points into; never changed.
    key: Box<[u8]>,
    holding: Holding<LockGuard>,
}

impl Object for MutexObject {
    type Opaque = etclite_mutex;
    const KIND: u64 = 10;

    fn database(&self) -> Option<&Db> {
        Some(self.session.db())
    }
}

impl Guard for LockGuard {
    const MISSING: Error = Error::LockReleased;

    fn token(&self) -> &Token {
        LockGuard::token(self)
    }

    fn leave(self) {
        LockGuard::leave(self);
    }

    fn release(&self) -> Result<(), Error> {
        self.unlock().map(drop)
    }
}

/// The fencing token of what a mutex holds, as far as it knows: whether that is so the store says, when a fenced txn
/// commits.
pub(crate) fn token_of(mutex: *const etclite_mutex) -> Result<Token, Failure> {
    Ok(open::<MutexObject>(mutex)?.holding.held()?.token().clone())
}

/// A lock by this name. Nothing is done yet. The handle must be freed by `etclite_mutex_free`; it holds the session,
/// which must still be closed.
///
/// Errors: `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_mutex_new(
    session: *const etclite_session,
    name: *const u8,
    name_len: usize,
    mutex: *mut *mut etclite_mutex,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the out parameter.
    unsafe {
        enter(err, || {
            let mutex = out_pointer(mutex)?;
            let name = bytes(name, name_len)?;
            let session = open::<SessionObject>(session)?.session.clone();
            let key = [name, b"/", session.lease().to_string().as_bytes()].concat().into();
            let made = MutexObject { mutex: session.mutex(name), session, key, holding: Holding::new() };
            *mutex = handle::publish(made)?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Takes the lock, waiting for it for at most `timeout_ms`: -1 for ever, 0 not at all. Returns `ETCLITE_TIMEOUT` if it
/// did not come in time: then nothing of this attempt is left, and whoever came later moves up. It is durable on return
/// that the lock is held.
///
/// Errors: `SESSION_EXPIRED` as soon as the session is over, while somebody else may still hold the lock; `CANCELED`;
/// `CLOSED` as soon as the store is closed; `MISUSE` while another thread is locking or unlocking with this handle; as
/// `etclite_put`. After an error nothing is held, and what could not be removed goes with the session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_mutex_lock(
    mutex: *mut etclite_mutex,
    timeout_ms: i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            let timeout = timeout(timeout_ms)?;
            let object = open::<MutexObject>(mutex)?;
            let _turn = object.holding.turn()?;
            object.holding.check_canceled()?;
            Ok(if object.lock(timeout)? { ETCLITE_OK } else { ETCLITE_TIMEOUT })
        })
    }
}

/// Takes the lock if nobody has it. Returns `ETCLITE_NOT_ACQUIRED` if somebody has, or is before us; then nothing was
/// written.
///
/// Errors: as `etclite_mutex_lock`, but for `CANCELED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_mutex_try_lock(mutex: *mut etclite_mutex, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            let object = open::<MutexObject>(mutex)?;
            let _turn = object.holding.turn()?;
            Ok(if object.try_lock()? { ETCLITE_OK } else { ETCLITE_NOT_ACQUIRED })
        })
    }
}

impl MutexObject {
    fn lock(&self, timeout: Option<Duration>) -> Result<bool, Failure> {
        // Who does not wait need not stand in line, which would be written and removed again.
        if timeout == Some(Duration::ZERO) {
            return self.try_lock();
        }
        let options = self.holding.wait_options(timeout);
        loop {
            match self.mutex.lock_with(&options)? {
                Some(guard) => return self.holding.keep(guard).map(|()| true),
                None if timeout.is_some() => return Ok(false),
                None => {}
            }
        }
    }

    fn try_lock(&self) -> Result<bool, Failure> {
        match self.mutex.try_lock()? {
            Some(guard) => self.holding.keep(guard).map(|()| true),
            None => Ok(false),
        }
    }
}

/// Releases the lock: its key is gone on return, durably, and the next in line goes on. After an error other than those
/// named first the lock is as it was, and this can be called again.
///
/// Errors: `LOCK_RELEASED` the second time, or if it was never locked; `SESSION_EXPIRED` if the lock was lost before, or
/// released through another handle of the same session: nothing of others is freed. `MISUSE` while another thread is
/// locking or unlocking with this handle; as `etclite_put`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_mutex_unlock(mutex: *mut etclite_mutex, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            let object = open::<MutexObject>(mutex)?;
            let _turn = object.holding.turn()?;
            object.holding.release()?;
            Ok(ETCLITE_OK)
        })
    }
}

/// The fencing number of the lock that is held: the revision that created its key, which rises from owner to owner. What
/// must not happen without the lock is done by a txn with `etclite_txn_fenced`, or compares the number where it is done.
///
/// That there is a number does not prove that the lock is held: a session can be lost.
///
/// Errors: `LOCK_RELEASED` if it is not locked; `SESSION_EXPIRED` once an unlock has found that it was lost; `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_mutex_revision(
    mutex: *const etclite_mutex,
    create_revision: *mut i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let create_revision = out(create_revision)?;
            *create_revision = signed(token_of(mutex)?.revision.get());
            Ok(ETCLITE_OK)
        })
    }
}

/// The key of the lock for this session, whether it is locked or not. A view: valid until the mutex is freed.
///
/// Errors: `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_mutex_key(
    mutex: *const etclite_mutex,
    key: *mut *const u8,
    key_len: *mut usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let key = out_view(key)?;
            let key_len = out(key_len)?;
            let object = open::<MutexObject>(mutex)?;
            *key = object.key.as_ptr();
            *key_len = object.key.len();
            Ok(ETCLITE_OK)
        })
    }
}

/// Ends a wait for the lock from any thread: `etclite_mutex_lock` with this handle answers `CANCELED`, the one that waits
/// and all later ones, and its place in the line is given up. Does not wait for that. A lock that is held stays held.
///
/// Errors: `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_mutex_cancel(mutex: *const etclite_mutex, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            open::<MutexObject>(mutex)?.holding.cancel.cancel();
            Ok(ETCLITE_OK)
        })
    }
}

/// Frees a mutex, from any thread. A lock that it holds is released; one that cannot be released goes with the session,
/// which is renewed no more. A wait in progress ends with `CANCELED`. Null is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_mutex_free(mutex: *mut etclite_mutex) -> i32 {
    enter_free(|| {
        if mutex.is_null() {
            return Ok(());
        }
        let object = handle::pin::<MutexObject>(mutex)?;
        if !handle::end(&object) {
            return Err(Failure::misuse());
        }
        object.holding.free();
        Ok(())
    })
}
