//! What was read: keys with their values, in one piece of memory that views point into.

use etclite::proto::{Identity, etcdserverpb::ResponseHeader};
use etclite::{Db, KeyValue, OpResponse, Revision};

use crate::argument::{Plain, out, signed};
use crate::code::ETCLITE_OK;
use crate::error::{Failure, etclite_error};
use crate::guard::{enter, enter_free};
use crate::handle::{self, Object};

/// Keys that were read, with where they were read. It never changes, and any number of threads may read it.
pub struct etclite_result {
    _opaque: (),
}

/// A key with its value and what is known of it. A view: its pointers are valid until what it was got from is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_kv {
    /// The key.
    pub key: *const u8,
    /// Its length in bytes.
    pub key_len: usize,
    /// The value. Not null, and not to be read, if its length is 0.
    pub value: *const u8,
    /// Its length in bytes.
    pub value_len: usize,
    /// The revision of the key's latest creation.
    pub create_revision: i64,
    /// The revision of the key's latest change.
    pub mod_revision: i64,
    /// Counts puts since creation, from 1; 0 only in a delete event.
    pub version: i64,
    /// The lease that the key is attached to; 0 if none.
    pub lease: i64,
}

/// Where an answer comes from.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_header {
    /// The cluster that the store is a member of: by itself, unless it is one of a group.
    pub cluster_id: u64,
    /// The member that answered.
    pub member_id: u64,
    /// Its raft term; 1 for a store by itself.
    pub raft_term: u64,
    /// The store's revision when the request was applied.
    pub revision: i64,
}

// SAFETY: integers.
unsafe impl Plain for etclite_header {}

/// What stands behind an `etclite_result`.
pub(crate) struct ResultObject {
    header: etclite_header,
    kvs: Kvs,
    /// Whether the one key is the previous one of a put rather than one that was read.
    is_prev: bool,
    count: u64,
    more: bool,
    /// Whether it belongs to a txn's answer, and is freed with that.
    is_borrowed: bool,
}

impl Object for ResultObject {
    type Opaque = etclite_result;
    const KIND: u64 = 2;
}

impl ResultObject {
    /// Keys that were read.
    pub(crate) fn read(db: &Db, revision: Revision, kvs: &[KeyValue], count: u64, more: bool) -> Self {
        ResultObject::new(header(db, revision), kvs, count, more)
    }

    /// The answer to a put, or to a delete whose keys are wanted.
    pub(crate) fn written(db: &Db, revision: Revision, prev: &[KeyValue], count: u64) -> Self {
        ResultObject { is_prev: true, ..ResultObject::read(db, revision, prev, count, false) }
    }

    /// The answer to an operation of a txn, which owns it.
    pub(crate) fn of_txn(header: etclite_header, response: &OpResponse) -> Option<Self> {
        let at = |revision: Revision| etclite_header { revision: signed(revision.get()), ..header };
        let result = match response {
            OpResponse::Put(put) => {
                let result = ResultObject::new(at(put.revision), put.prev.as_slice(), 0, false);
                ResultObject { is_prev: true, ..result }
            }
            OpResponse::Delete(delete) => {
                let result = ResultObject::new(at(delete.revision), &delete.prev_kvs, delete.deleted, false);
                ResultObject { is_prev: true, ..result }
            }
            OpResponse::Range(range) => {
                let count = range.count.unwrap_or(range.kvs.len() as u64);
                ResultObject::new(at(range.revision), &range.kvs, count, range.more)
            }
            _ => return None,
        };
        Some(ResultObject { is_borrowed: true, ..result })
    }

    fn new(header: etclite_header, kvs: &[KeyValue], count: u64, more: bool) -> Self {
        ResultObject { header, kvs: Kvs::new(kvs), is_prev: false, count, more, is_borrowed: false }
    }
}

/// The header of an answer of this store.
pub(crate) fn header(db: &Db, revision: Revision) -> etclite_header {
    let ResponseHeader { cluster_id, member_id, revision, raft_term } = Identity::of(db).header(revision);
    etclite_header { cluster_id, member_id, raft_term, revision }
}

/// Keys and values as C sees them, and the memory in which they stand.
pub(crate) struct Kvs {
    views: Vec<etclite_kv>,
    /// What the views point into; neither moved nor changed.
    _arena: Box<[u8]>,
}

// SAFETY: the views point into the arena, which nobody changes.
unsafe impl Send for Kvs {}
// SAFETY: as above.
unsafe impl Sync for Kvs {}

impl Kvs {
    pub(crate) fn new<'a>(kvs: impl IntoIterator<Item = &'a KeyValue> + Clone) -> Self {
        let len = kvs.clone().into_iter().map(|kv| kv.key.len() + kv.value.len()).sum();
        let mut arena = Vec::with_capacity(len);
        for kv in kvs.clone() {
            arena.extend_from_slice(&kv.key);
            arena.extend_from_slice(&kv.value);
        }
        let arena = arena.into_boxed_slice();
        let mut at = arena.as_ptr();
        let mut step = |len: usize| {
            let start = at;
            // The sum of all steps is the arena's length, so each ends in it or at its end.
            at = at.wrapping_add(len);
            start
        };
        let views = kvs.into_iter().map(|kv| view(kv, step(kv.key.len()), step(kv.value.len()))).collect();
        Kvs { views, _arena: arena }
    }

    pub(crate) fn views(&self) -> &[etclite_kv] {
        &self.views
    }
}

fn view(kv: &KeyValue, key: *const u8, value: *const u8) -> etclite_kv {
    etclite_kv {
        key,
        key_len: kv.key.len(),
        value,
        value_len: kv.value.len(),
        create_revision: signed(kv.create_revision.get()),
        mod_revision: signed(kv.mod_revision.get()),
        version: signed(kv.version),
        lease: kv.lease.get(),
    }
}

/// Where the result comes from, and at which revision: that of the store when it was read, or the one that a write made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_result_header(
    result: *const etclite_result,
    header: *mut etclite_header,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let header = out(header)?;
            *header = handle::pin::<ResultObject>(result)?.header;
            Ok(ETCLITE_OK)
        })
    }
}

/// The keys of the result, in the order asked for: `*count` of them from `*kvs` on. Views: valid until the result is
/// freed. A put's or delete's result has the keys as they were before, if they were asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_result_kvs(
    result: *const etclite_result,
    kvs: *mut *const etclite_kv,
    count: *mut usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let kvs = out_view(kvs)?;
            let count = out(count)?;
            let pinned = handle::pin::<ResultObject>(result)?;
            let views = pinned.kvs.views();
            *kvs = views.as_ptr();
            *count = views.len();
            Ok(ETCLITE_OK)
        })
    }
}

/// How many keys the range holds, whatever the limit; of a delete, how many it deleted; of a put, 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_result_count(
    result: *const etclite_result,
    count: *mut i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let count = out(count)?;
            *count = signed(handle::pin::<ResultObject>(result)?.count);
            Ok(ETCLITE_OK)
        })
    }
}

/// The key as it was before a put: null if there was none, or if it was not asked for. A view: valid until the result
/// is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_result_prev(
    result: *const etclite_result,
    prev: *mut *const etclite_kv,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let prev = out_view(prev)?;
            let pinned = handle::pin::<ResultObject>(result)?;
            if pinned.is_prev
                && let Some(first) = pinned.kvs.views().first()
            {
                *prev = first;
            }
            Ok(ETCLITE_OK)
        })
    }
}

/// Whether the limit cut something off: 1 or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_result_more(
    result: *const etclite_result,
    more: *mut i32,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let more = out(more)?;
            *more = handle::pin::<ResultObject>(result)?.more.into();
            Ok(ETCLITE_OK)
        })
    }
}

/// Frees a result and all its views. Null is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_result_free(result: *mut etclite_result) -> i32 {
    enter_free(|| {
        if result.is_null() {
            return Ok(());
        }
        if handle::pin::<ResultObject>(result)?.is_borrowed {
            return Err(Failure::misused("the result belongs to a txn's answer, and is freed with that"));
        }
        handle::free::<ResultObject>(result)
    })
}

/// A place for a view, set to null at once.
///
/// # Safety
/// As [`out`].
pub(crate) unsafe fn out_view<'a, T>(place: *mut *const T) -> Result<&'a mut *const T, Failure> {
    // SAFETY: as the caller promises.
    let place = unsafe { out(place) }?;
    *place = std::ptr::null();
    Ok(place)
}
