//! Watches for bindings: the request that begins one and what it returns are etcd's messages.

use std::time::Duration;

use etclite::BATCH_BYTES_DEFAULT;
use etclite::proto::{Identity, Reply, watch_builder};

use crate::argument::{bytes, out_pointer};
use crate::buf::etclite_buf;
use crate::code::ETCLITE_OK;
use crate::database::{database, etclite_db};
use crate::error::etclite_error;
use crate::guard::enter;
use crate::handle;
use crate::reply::place;
use crate::watch::{Found, WatchObject, etclite_watch, pin};

/// As `etclite_watch_open`, by an `etcdserverpb.WatchCreateRequest`. The watch is one like any other.
///
/// Errors: as `etclite_watch_open`; `REQUEST_TOO_LARGE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_watch_create_raw(
    db: *const etclite_db,
    request: *const u8,
    len: usize,
    watch: *mut *mut etclite_watch,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the out parameter.
    unsafe {
        enter(err, || {
            let watch = out_pointer(watch)?;
            let request = bytes(request, len)?;
            let database = database(db)?;
            let started = watch_builder(&database.db, request)?.start()?;
            *watch = handle::publish(WatchObject::new(database.db.clone(), started))?;
            Ok(ETCLITE_OK)
        })
    }
}

/// As `etclite_watch_next`, without waiting, and with the events in an `etcdserverpb.WatchResponse`: header and events,
/// or a header alone if progress is due that the request has asked for. `bytes_max` is about how many bytes of events are
/// returned together by this call, at most; 0 is 1 MiB. The response goes to `out`, as in `etclite_call`.
///
/// Returns `ETCLITE_TIMEOUT` if there is nothing now: the poller reports the watch once there are events. That progress is
/// due wakes nobody: it comes if it is due when this is called, so who wants it in time calls now and then.
///
/// Errors: as `etclite_watch_next`. The response's own fields for them, `canceled` and `compact_revision`, are not set:
/// status and `detail` say it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_watch_next_raw(
    watch: *mut etclite_watch,
    bytes_max: usize,
    out: *mut u8,
    cap: usize,
    out_len: *mut usize,
    spill: *mut etclite_buf,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let place = place(out, cap, out_len, spill)?;
            let object = pin(watch)?;
            let mut watch = object.read()?;
            let bytes_max = if bytes_max == 0 { BATCH_BYTES_DEFAULT } else { bytes_max };
            let before = etclite::host::set_batch_bytes(&mut watch, bytes_max);
            let found = object.next(&mut watch, Some(Duration::ZERO));
            etclite::host::set_batch_bytes(&mut watch, before);
            let batch = match found? {
                Found::Batch(batch) => batch,
                Found::Nothing(status) => return Ok(status),
            };
            // A copy of references: if there is no room for the response, its events come again.
            let reply = Reply::watch(Identity::of(&object.db), 0, batch.clone());
            place.put_reply(&reply).inspect_err(|_| object.put_back(batch))?;
            Ok(ETCLITE_OK)
        })
    }
}

#[cfg(test)]
mod tests;
