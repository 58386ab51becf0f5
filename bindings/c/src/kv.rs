//! Keys: put, get, range, delete, compact.

use etclite::{Delete, Error, Invalid, KeyRange, Put, PutOptions, Range, Revision, SortOrder, SortTarget};

use crate::argument::{
    Plain, SizedStruct, bytes, check_flags, check_reserved, options, out, out_pointer, out_pointer_or_null, signed,
    unsigned,
};
use crate::code::{ETCLITE_NOT_FOUND, ETCLITE_OK};
use crate::database::{database, etclite_db};
use crate::error::{Failure, etclite_error};
use crate::guard::enter;
use crate::handle;
use crate::result::{ResultObject, etclite_result};

/// The range is all keys that begin with the key; no end may be given. The empty prefix is every key.
pub const ETCLITE_RANGE_PREFIX: u32 = 1;
/// The range is all keys at or above the key; no end may be given.
pub const ETCLITE_RANGE_FROM_KEY: u32 = 2;
/// Values are left out.
pub const ETCLITE_RANGE_KEYS_ONLY: u32 = 4;
/// Keys are left out: only the count is told.
pub const ETCLITE_RANGE_COUNT_ONLY: u32 = 8;
/// A read of this member alone, as etcd's `serializable`. Of no effect on a store by itself.
pub const ETCLITE_RANGE_SERIALIZABLE: u32 = 16;
/// Of a delete: the deleted keys are wanted.
pub const ETCLITE_DELETE_PREV_KV: u32 = 32;

/// The key as it was before is wanted.
pub const ETCLITE_PUT_PREV_KV: u32 = 1;
/// The key keeps its value; the value given must be empty.
pub const ETCLITE_PUT_IGNORE_VALUE: u32 = 2;
/// The key keeps its lease; the lease given must be 0.
pub const ETCLITE_PUT_IGNORE_LEASE: u32 = 4;

/// Return once the space of what was dropped is given back.
pub const ETCLITE_COMPACT_PHYSICAL: u32 = 1;

/// By key.
pub const ETCLITE_SORT_KEY: u32 = 0;
/// By version.
pub const ETCLITE_SORT_VERSION: u32 = 1;
/// By create revision.
pub const ETCLITE_SORT_CREATE: u32 = 2;
/// By mod revision.
pub const ETCLITE_SORT_MOD: u32 = 3;
/// By value.
pub const ETCLITE_SORT_VALUE: u32 = 4;

/// None is asked for: ascending by `sort_by`, as etcd's `NONE`; so by key, if nothing is said.
pub const ETCLITE_ORDER_NONE: u32 = 0;
/// The smallest first.
pub const ETCLITE_ORDER_ASCEND: u32 = 1;
/// The largest first.
pub const ETCLITE_ORDER_DESCEND: u32 = 2;

/// How to read a range. Zero is the default of each field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_range_options {
    /// `sizeof(etclite_range_options)`.
    pub struct_size: usize,
    /// The revision to read at; 0 is the latest.
    pub revision: i64,
    /// How many keys to return at most; 0 is no limit.
    pub limit: i64,
    /// Only keys whose mod revision is at least this; 0 is off.
    pub min_mod: i64,
    /// Only keys whose mod revision is at most this; 0 is off.
    pub max_mod: i64,
    /// Only keys whose create revision is at least this; 0 is off.
    pub min_create: i64,
    /// Only keys whose create revision is at most this; 0 is off.
    pub max_create: i64,
    /// `ETCLITE_SORT_..`.
    pub sort_by: u32,
    /// `ETCLITE_ORDER_..`.
    pub sort_order: u32,
    /// `ETCLITE_RANGE_..`, added up.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: integers.
unsafe impl Plain for etclite_range_options {}
// SAFETY: `repr(C)`, the size first, no padding, and zero is the default.
unsafe impl SizedStruct for etclite_range_options {
    const SIZE_MIN: usize = 72;
}

/// What a put does besides writing its value. Zero is the default of each field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_put_options {
    /// `sizeof(etclite_put_options)`.
    pub struct_size: usize,
    /// The lease to attach the key to; 0 detaches it.
    pub lease: i64,
    /// `ETCLITE_PUT_..`, added up.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: integers.
unsafe impl Plain for etclite_put_options {}
// SAFETY: `repr(C)`, the size first, no padding, and zero is the default.
unsafe impl SizedStruct for etclite_put_options {
    const SIZE_MIN: usize = 24;
}

/// Puts a value at a key, in one revision. Durable on return as the store was opened. `options` may be null; `result`
/// may be null, or gets the header and, with `ETCLITE_PUT_PREV_KV`, the key as it was.
///
/// Errors: `EMPTY_KEY`, `REQUEST_TOO_LARGE`, `LEASE_NOT_FOUND`, `VALUE_PROVIDED`, `LEASE_PROVIDED`, `KEY_NOT_FOUND`,
/// `NO_SPACE`, `READ_ONLY`, `POISONED`, `CLOSED`, `DEADLINE_EXCEEDED`: nothing was written. `INDETERMINATE`: it may or may
/// not be there after a reopen.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_put(
    db: *const etclite_db,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    options: *const etclite_put_options,
    result: *mut *mut etclite_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes, the options and the out parameter.
    unsafe {
        enter(err, || {
            let result = out_pointer_or_null(result);
            let (key, value) = (bytes(key, key_len)?, bytes(value, value_len)?);
            let options = put_options(options)?;
            let database = database(db)?;
            let response = database.db.put_with(key, value, options)?;
            if let Some(result) = result {
                let written = ResultObject::written(&database.db, response.revision, response.prev.as_slice(), 0);
                *result = handle::publish(written).map_err(|failure| failure.after(true))?;
            }
            Ok(ETCLITE_OK)
        })
    }
}

/// Reads one key, as of a revision; 0 is the latest. Returns `ETCLITE_NOT_FOUND`, without a result, if it is not there.
///
/// Errors: `EMPTY_KEY`, `COMPACTED`, `FUTURE_REVISION`, `IO`, `CORRUPT`, `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_get(
    db: *const etclite_db,
    key: *const u8,
    key_len: usize,
    revision: i64,
    result: *mut *mut etclite_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the out parameter.
    unsafe {
        enter(err, || {
            let result = out_pointer(result)?;
            let key = bytes(key, key_len)?;
            let revision = unsigned(revision)?;
            let database = database(db)?;
            let (kv, at) = etclite::host::get(&database.db, key, Revision::new(revision))?;
            if kv.is_none() {
                return Ok(ETCLITE_NOT_FOUND);
            }
            *result = handle::publish(ResultObject::read(&database.db, at, kv.as_slice(), 1, false))?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Reads a range: one key if `end_len` is 0, else the keys from `key` on and below `end`; an end of one zero byte is
/// everything from `key` on. The flags `PREFIX` and `FROM_KEY` replace the end. All keys are in memory at once: for
/// large ranges there is `etclite_scan_open`. `options` may be null.
///
/// Errors: as `etclite_get`, and `INVALID_SORT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_range(
    db: *const etclite_db,
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    options: *const etclite_range_options,
    result: *mut *mut etclite_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes, the options and the out parameter.
    unsafe {
        enter(err, || {
            let result = out_pointer(result)?;
            let range = range_of(key, key_len, end, end_len, options)?;
            let database = database(db)?;
            let found = database.db.query(range.with_count())?;
            let count = found.count.unwrap_or(found.kvs.len() as u64);
            let read = ResultObject::read(&database.db, found.revision, &found.kvs, count, found.more);
            *result = handle::publish(read)?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Deletes a key, or the keys of a range, in one revision: none if there was nothing to delete. `flags` are
/// `ETCLITE_RANGE_PREFIX`, `ETCLITE_RANGE_FROM_KEY` and `ETCLITE_DELETE_PREV_KV`. `deleted` and `prev` may be null; `prev`
/// gets a result, with the deleted keys in key order if they were asked for.
///
/// Errors: as `etclite_put`; `REQUEST_TOO_LARGE` if more than a million keys would go.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_delete(
    db: *const etclite_db,
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    flags: u32,
    deleted: *mut i64,
    prev: *mut *mut etclite_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the out parameters.
    unsafe {
        enter(err, || {
            let prev = out_pointer_or_null(prev);
            let delete = delete_of(key, key_len, end, end_len, flags)?;
            let database = database(db)?;
            let response = database.db.delete_with(delete)?;
            if let Some(prev) = prev {
                let (kvs, count) = (&response.prev_kvs, response.deleted);
                let written = ResultObject::written(&database.db, response.revision, kvs, count);
                *prev = handle::publish(written).map_err(|failure| failure.after(count > 0))?;
            }
            if !deleted.is_null() {
                *out(deleted)? = signed(response.deleted);
            }
            Ok(ETCLITE_OK)
        })
    }
}

/// Drops history below a revision, which itself stays readable. Durable on return; space comes back by itself, or with
/// the flag `ETCLITE_COMPACT_PHYSICAL` before the call returns.
///
/// Errors: `COMPACTED` if the revision is not above the compact revision; `FUTURE_REVISION`; as `etclite_put`;
/// `NOT_RECLAIMED` once it is done and giving back its space failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_compact(
    db: *const etclite_db,
    revision: i64,
    flags: u32,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            check_flags(flags, ETCLITE_COMPACT_PHYSICAL)?;
            let revision = unsigned(revision)?;
            let database = database(db)?;
            if flags == 0 {
                database.db.compact(revision)?;
            } else {
                database.db.compact_physical(revision)?;
            }
            Ok(ETCLITE_OK)
        })
    }
}

/// The end of the range of all keys that begin with a prefix, as etcd's clients make it: of use with `etclite_call`. At
/// most `cap` bytes are written to `out`; `*len` is how long it is, which is never more than the prefix, or 1. A prefix of
/// nothing, or of bytes 0xff alone, has the end of one zero byte.
///
/// Errors: `INVALID_ARGUMENT` if `cap` is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_prefix_end(
    prefix: *const u8,
    prefix_len: usize,
    out: *mut u8,
    cap: usize,
    len: *mut usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the out parameters.
    unsafe {
        enter(err, || {
            let len = crate::argument::out(len)?;
            let end = etclite::host::prefix_end(bytes(prefix, prefix_len)?);
            if cap > isize::MAX as usize {
                return Err(Failure::invalid("a length above PTRDIFF_MAX"));
            }
            if out.is_null() && cap > 0 {
                return Err(Failure::null());
            }
            if end.len() > cap {
                return Err(Failure::invalid("the buffer is too small"));
            }
            std::ptr::copy_nonoverlapping(end.as_ptr(), out, end.len());
            *len = end.len();
            Ok(ETCLITE_OK)
        })
    }
}

/// # Safety
/// As [`options`].
pub(crate) unsafe fn put_options(place: *const etclite_put_options) -> Result<PutOptions, Failure> {
    // SAFETY: as the caller promises.
    let given = unsafe { options(place) }?;
    check_flags(given.flags, ETCLITE_PUT_PREV_KV | ETCLITE_PUT_IGNORE_VALUE | ETCLITE_PUT_IGNORE_LEASE)?;
    check_reserved(given.reserved)?;
    let mut options = PutOptions::new().lease(given.lease);
    if given.flags & ETCLITE_PUT_PREV_KV != 0 {
        options = options.prev_kv();
    }
    if given.flags & ETCLITE_PUT_IGNORE_VALUE != 0 {
        options = options.ignore_value();
    }
    if given.flags & ETCLITE_PUT_IGNORE_LEASE != 0 {
        options = options.ignore_lease();
    }
    Ok(options)
}

/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn put_of(
    (key, key_len): (*const u8, usize),
    (value, value_len): (*const u8, usize),
    options: *const etclite_put_options,
) -> Result<Put, Failure> {
    // SAFETY: as the caller promises.
    unsafe { Ok(Put::with(bytes(key, key_len)?, bytes(value, value_len)?, put_options(options)?)) }
}

/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn delete_of(
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    flags: u32,
) -> Result<Delete, Failure> {
    check_flags(flags, ETCLITE_RANGE_PREFIX | ETCLITE_RANGE_FROM_KEY | ETCLITE_DELETE_PREV_KV)?;
    // SAFETY: as the caller promises.
    let delete = Delete::new(unsafe { keys(key, key_len, end, end_len, flags) }?);
    Ok(if flags & ETCLITE_DELETE_PREV_KV == 0 { delete } else { delete.prev_kv() })
}

/// # Safety
/// As [`bytes`] and [`options`].
pub(crate) unsafe fn range_of(
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    place: *const etclite_range_options,
) -> Result<Range, Failure> {
    // SAFETY: as the caller promises.
    let given = unsafe { options(place) }?;
    let form = ETCLITE_RANGE_PREFIX | ETCLITE_RANGE_FROM_KEY;
    check_flags(given.flags, form | ETCLITE_RANGE_KEYS_ONLY | ETCLITE_RANGE_COUNT_ONLY | ETCLITE_RANGE_SERIALIZABLE)?;
    check_reserved(given.reserved)?;
    // SAFETY: as the caller promises.
    let keys = unsafe { keys(key, key_len, end, end_len, given.flags & form) }?;
    let (target, order) = sort_of(&given)?;
    let mut range = Range::new(keys)
        .at(unsigned(given.revision)?)
        .limit(unsigned(given.limit)?)
        .sort(target, order)
        .min_mod_revision(unsigned(given.min_mod)?)
        .max_mod_revision(unsigned(given.max_mod)?)
        .min_create_revision(unsigned(given.min_create)?)
        .max_create_revision(unsigned(given.max_create)?);
    if given.flags & ETCLITE_RANGE_KEYS_ONLY != 0 {
        range = range.keys_only();
    }
    if given.flags & ETCLITE_RANGE_COUNT_ONLY != 0 {
        range = range.count_only();
    }
    Ok(range)
}

fn sort_of(options: &etclite_range_options) -> Result<(SortTarget, SortOrder), Failure> {
    let invalid = || Failure::from(Error::InvalidArgument(Invalid::SortOption));
    let target = match options.sort_by {
        ETCLITE_SORT_KEY => SortTarget::Key,
        ETCLITE_SORT_VERSION => SortTarget::Version,
        ETCLITE_SORT_CREATE => SortTarget::CreateRevision,
        ETCLITE_SORT_MOD => SortTarget::ModRevision,
        ETCLITE_SORT_VALUE => SortTarget::Value,
        _ => return Err(invalid()),
    };
    match options.sort_order {
        // As etcd, which sorts by a target other than the key even if no order is asked for.
        ETCLITE_ORDER_NONE | ETCLITE_ORDER_ASCEND => Ok((target, SortOrder::Ascend)),
        ETCLITE_ORDER_DESCEND => Ok((target, SortOrder::Descend)),
        _ => Err(invalid()),
    }
}

/// The range that key, end and flags name.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn keys(
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    flags: u32,
) -> Result<KeyRange, Failure> {
    // SAFETY: as the caller promises.
    let (key, end) = unsafe { (bytes(key, key_len)?, bytes(end, end_len)?) };
    match flags & (ETCLITE_RANGE_PREFIX | ETCLITE_RANGE_FROM_KEY) {
        0 => Ok(KeyRange::from_wire(key, end)),
        _ if !end.is_empty() => Err(Failure::invalid("an end together with PREFIX or FROM_KEY")),
        ETCLITE_RANGE_PREFIX => Ok(KeyRange::prefix(key)),
        ETCLITE_RANGE_FROM_KEY => Ok(KeyRange::from_key(key)),
        _ => Err(Failure::invalid("PREFIX together with FROM_KEY")),
    }
}
