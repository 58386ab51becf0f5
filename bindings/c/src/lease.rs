//! Leases: granted, kept alive, looked at, ended.

use std::time::Duration;

use etclite::{Error, GrantOptions, KeyValue, LeaseStatus};

use crate::argument::{Plain, duration, out, out_array, out_pointer_or_null};
use crate::code::ETCLITE_OK;
use crate::database::{database, etclite_db};
use crate::error::{Failure, etclite_error};
use crate::guard::enter;
use crate::handle;
use crate::result::{ResultObject, etclite_result};

/// What is known of a lease.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_lease_info {
    /// Its id.
    pub id: i64,
    /// What is left of its time, in milliseconds; 0 if it is about to end.
    pub remaining_ms: i64,
    /// The time that was granted, in milliseconds.
    pub granted_ms: i64,
}

// SAFETY: integers.
unsafe impl Plain for etclite_lease_info {}

fn info(id: i64, remaining: Duration, granted: Duration) -> etclite_lease_info {
    etclite_lease_info { id, remaining_ms: millis(remaining), granted_ms: millis(granted) }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Grants a lease of `ttl_ms`, at least the store's smallest: keys that are put with it go when it ends, all in one
/// revision, unless it is kept alive. With `id` 0 the store draws one. `info` may be null; its `remaining_ms` is what was
/// granted. Durable on return as the store was opened.
///
/// Differs from etcd: milliseconds, and what is left of a lease survives a restart.
///
/// Errors: `LEASE_EXISTS`; `LEASE_TTL_TOO_LARGE` above 9,000,000,000 s; as `etclite_put`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_lease_grant(
    db: *const etclite_db,
    ttl_ms: i64,
    id: i64,
    info: *mut etclite_lease_info,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let ttl = duration(ttl_ms)?;
            let database = database(db)?;
            let lease = database.db.grant_with(GrantOptions::new(ttl).id(id))?;
            let granted = lease.granted().unwrap_or(ttl);
            write(info, self::info(lease.id().get(), granted, granted))
        })
    }
}

/// Where it is wanted.
///
/// # Safety
/// As [`out`].
unsafe fn write(place: *mut etclite_lease_info, info: etclite_lease_info) -> Result<i32, Failure> {
    if !place.is_null() {
        // SAFETY: as the caller promises.
        *unsafe { out(place) }? = info;
    }
    Ok(ETCLITE_OK)
}

/// Ends a lease and deletes its keys, in one revision. Durable on return as the store was opened.
///
/// Errors: `LEASE_NOT_FOUND`; as `etclite_put`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_lease_revoke(db: *const etclite_db, id: i64, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            database(db)?.db.lease(id).revoke()?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Starts a lease's time anew. `info` may be null; its `remaining_ms` is the time that begins. The first renewal after a
/// grant or an open is durable on return; later ones write nothing.
///
/// Differs from etcd: a lease that is gone is an error, where its answer is a TTL of 0.
///
/// Errors: `LEASE_NOT_FOUND` once it is gone; as `etclite_put`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_lease_keepalive(
    db: *const etclite_db,
    id: i64,
    info: *mut etclite_lease_info,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let granted = database(db)?.db.lease(id).keep_alive()?;
            write(info, self::info(id, granted, granted))
        })
    }
}

/// What is left of a lease, and which keys it holds: `keys` gets a result, in the order of keys, in which of each its key
/// and its lease alone are set. `info` and `keys` may be null. Waits for writes that are under way.
///
/// Errors: `LEASE_NOT_FOUND`; `POISONED`, since the end of a lease may then be unknown; `CLOSED`, `IO`, `CORRUPT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_lease_info_get(
    db: *const etclite_db,
    id: i64,
    info: *mut etclite_lease_info,
    keys: *mut *mut etclite_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let keys = out_pointer_or_null(keys);
            let database = database(db)?;
            // Before: what is told of is no older.
            let revision = database.db.revision();
            let Some(keys) = keys else {
                let time = etclite::host::lease_time(&database.db, id.into())?;
                let (remaining, granted) = time.ok_or(Error::LeaseNotFound)?;
                return write(info, self::info(id, remaining, granted));
            };
            let found = database.db.lease(id).time_to_live()?.ok_or(Error::LeaseNotFound)?;
            let (kvs, count) = (keys_of(&found), found.key_count);
            *keys = handle::publish(ResultObject::read(&database.db, revision, &kvs, count, false))?;
            write(info, self::info(id, found.remaining, found.granted))
        })
    }
}

fn keys_of(lease: &LeaseStatus) -> Vec<KeyValue> {
    lease.keys.iter().map(|key| KeyValue { key: key.clone(), lease: lease.id, ..KeyValue::default() }).collect()
}

/// The ids of all leases, by the time they end. Up to `cap` of them are written to `ids`, which may be null if `cap` is 0;
/// `*count` is how many leases there are, and may be more. Waits for writes that are under way.
///
/// Errors: `POISONED`, since the end of a lease may then be unknown; `CLOSED`, `IO`, `CORRUPT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_lease_list(
    db: *const etclite_db,
    ids: *mut i64,
    cap: usize,
    count: *mut usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let count = out(count)?;
            let ids = out_array(ids, cap)?;
            let leases = database(db)?.db.leases()?;
            for (to, lease) in ids.iter_mut().zip(&leases) {
                *to = lease.id.get();
            }
            *count = leases.len();
            Ok(ETCLITE_OK)
        })
    }
}

#[cfg(test)]
mod tests;
