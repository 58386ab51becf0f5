//! A session: a lease that the library keeps alive, for locks and elections.

use etclite::{Db, Session, SessionOptions};

use crate::argument::{Plain, SizedStruct, duration, options, out, out_pointer};
use crate::code::ETCLITE_OK;
use crate::coordination::open;
use crate::database::{database, etclite_db};
use crate::error::{Failure, etclite_error};
use crate::guard::enter;
use crate::handle::{self, Object};

/// A lease that the library keeps alive, and what locks and elections belong to. Locks exclude sessions from one another,
/// not threads: threads that must exclude each other open a session each.
pub struct etclite_session {
    _opaque: (),
}

/// How to open a session. Zero is the default of each field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_session_options {
    /// `sizeof(etclite_session_options)`.
    pub struct_size: usize,
    /// How long what the session holds outlives its process, in milliseconds; 0 is 60 s. Of no meaning with a `lease`.
    pub ttl_ms: i64,
    /// A lease that exists and is taken over; 0 grants one.
    pub lease: i64,
    /// How long the locks of a session that *expires* stay locked, in milliseconds, up to 60 s: for what its process had
    /// under way elsewhere. One that is closed hands over at once. Of no meaning with a `lease`.
    pub lock_delay_ms: i64,
}

// SAFETY: integers.
unsafe impl Plain for etclite_session_options {}
// SAFETY: `repr(C)`, the size first, no padding, and zero is the default.
unsafe impl SizedStruct for etclite_session_options {
    const SIZE_MIN: usize = 32;
}

/// What stands behind an `etclite_session`.
pub(super) struct SessionObject {
    pub(super) session: Session,
}

impl Object for SessionObject {
    type Opaque = etclite_session;
    const KIND: u64 = 9;

    fn database(&self) -> Option<&Db> {
        Some(self.session.db())
    }
}

/// Opens a session: grants a lease, durably, and renews it in the background until the session is closed, the lease is
/// gone, or the process stood still for longer than it lasts. `options` may be null: all defaults. The handle must be
/// closed by `etclite_session_close`.
///
/// Errors: `LEASE_NOT_FOUND` if the lease to take over does not exist; `LEASE_TTL_TOO_LARGE`; `REQUEST_TOO_LARGE` for a
/// lock delay above 60 s; as `etclite_put`; `IO` if the system has no thread to renew it by.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_session_open(
    db: *const etclite_db,
    options: *const etclite_session_options,
    session: *mut *mut etclite_session,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the options and the out parameter.
    unsafe {
        enter(err, || {
            let session = out_pointer(session)?;
            let options = session_options(options)?;
            let database = database(db)?;
            let opened = database.db.session_with(options)?;
            *session = handle::publish(SessionObject { session: opened })?;
            Ok(ETCLITE_OK)
        })
    }
}

/// # Safety
/// As [`options`].
unsafe fn session_options(place: *const etclite_session_options) -> Result<SessionOptions, Failure> {
    // SAFETY: as the caller promises.
    let given = unsafe { options(place) }?;
    let mut session = SessionOptions::new().lease(given.lease).lock_delay(duration(given.lock_delay_ms)?);
    if given.ttl_ms != 0 {
        session = session.ttl(duration(given.ttl_ms)?);
    }
    Ok(session)
}

/// Closes a session. The handle is invalid from here on, whatever is returned, but for `INVALID_ARGUMENT`; who waits for
/// a lock with this session gets `SESSION_EXPIRED`. With `revoke` 1 its lease is revoked and its keys are gone on return,
/// so that the next in each line goes on at once; with 0 they are left to end when the lease does, or to whoever keeps it
/// alive. Its mutexes and elections must still be freed. Null is allowed and does nothing.
///
/// Errors: as `etclite_put`, if the lease could not be revoked: then it ends by itself. A store that is closed, and a
/// lease that is gone, are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_session_close(
    session: *mut etclite_session,
    revoke: i32,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            if !matches!(revoke, 0 | 1) {
                return Err(Failure::invalid("revoke is neither 0 nor 1"));
            }
            if session.is_null() {
                return Ok(ETCLITE_OK);
            }
            let pinned = handle::pin::<SessionObject>(session)?;
            if !handle::end(&pinned) {
                return Err(Failure::misuse());
            }
            if revoke == 1 {
                pinned.session.close()?;
            } else {
                pinned.session.orphan();
            }
            Ok(ETCLITE_OK)
        })
    }
}

/// The session's lease, for keys that are to go with it.
///
/// Errors: `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_session_lease(
    session: *const etclite_session,
    lease: *mut i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let lease = out(lease)?;
            *lease = open::<SessionObject>(session)?.session.lease().get();
            Ok(ETCLITE_OK)
        })
    }
}

/// Whether the session is over, as far as its owner can know: 1 or 0. Once 1 it stays so. It is 1 at the latest one time
/// to live after the last renewal, though nobody may have ended the lease yet.
///
/// Errors: `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_session_expired(
    session: *const etclite_session,
    expired: *mut i32,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let expired = out(expired)?;
            *expired = (!open::<SessionObject>(session)?.session.is_alive()).into();
            Ok(ETCLITE_OK)
        })
    }
}
