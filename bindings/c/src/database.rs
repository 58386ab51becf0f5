//! Opening and closing a store, and what it says of itself.

use std::time::Duration;

use etclite::{Db, Durability, Options, Stats};

use crate::argument::{
    Plain, SizedStruct, check_flags, check_reserved, out, out_pointer, path, signed, sized_out, timeout, unsigned,
};
use crate::code::ETCLITE_OK;
use crate::error::{Failure, etclite_error};
use crate::guard::enter;
use crate::handle::{self, Object, Pinned};
use crate::poller::Pollers;

/// An open store.
pub struct etclite_db {
    _opaque: (),
}

/// The store must exist.
pub const ETCLITE_OPEN_NO_CREATE: u32 = 1;
/// Nothing is written, and other readers may have the store open too.
pub const ETCLITE_OPEN_READ_ONLY: u32 = 2;
/// A new store that lives in memory only; the path must be empty.
pub const ETCLITE_OPEN_IN_MEMORY: u32 = 4;

/// What is acknowledged is on the disk.
pub const ETCLITE_DURABILITY_SYNCED: u32 = 0;
/// What is acknowledged is with the operating system: it survives the process, and reaches the disk within 50 ms.
pub const ETCLITE_DURABILITY_WRITTEN: u32 = 1;
/// What is acknowledged is in memory, and reaches the disk within 50 ms.
pub const ETCLITE_DURABILITY_BUFFERED: u32 = 2;

/// How to open a store. Zero is the default of each field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_open_options {
    /// `sizeof(etclite_open_options)`.
    pub struct_size: usize,
    /// `ETCLITE_OPEN_..`, added up.
    pub flags: u32,
    /// `ETCLITE_DURABILITY_..`.
    pub durability: u32,
    /// How long to wait for a store that is open elsewhere, in milliseconds: 0 not at all, -1 for ever.
    pub lock_wait_ms: i64,
    /// The largest request in bytes; 0 is 1.5 MiB.
    pub request_bytes_max: i64,
    /// How much live data and retained history a store may hold, in bytes; 0 is no limit.
    pub store_bytes_max: i64,
    /// How many bytes of changes are kept in memory before they become a sorted file; 0 is the default.
    pub memtable_bytes: i64,
    /// How many operations a txn may have; 0 is the default.
    pub txn_ops_max: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: integers.
unsafe impl Plain for etclite_open_options {}
// SAFETY: `repr(C)`, the size first, no padding, and zero is the default.
unsafe impl SizedStruct for etclite_open_options {
    const SIZE_MIN: usize = 56;
}

/// What stands behind an `etclite_db`.
pub(crate) struct Database {
    pub(crate) db: Db,
    pub(crate) pollers: Pollers,
}

impl Object for Database {
    type Opaque = etclite_db;
    const KIND: u64 = 1;
    const STRIPED: bool = true;

    fn database(&self) -> Option<&Db> {
        Some(&self.db)
    }
}

/// The store behind a handle, for the length of a call.
pub(crate) fn database(db: *const etclite_db) -> Result<Pinned<Database>, Failure> {
    handle::pin(db)
}

/// Opens the store in the directory `path`, creating it if it is not there. Everything that was acknowledged before is
/// there again, whatever ended the process that wrote it.
///
/// `options` may be null: all defaults. The handle must be closed by `etclite_close`. Blocks while it reads the log, and
/// for a store that is open elsewhere as long as `lock_wait_ms` says.
///
/// Errors: `LOCKED` if it is open elsewhere, in this process too (`detail`: the process); `NO_SPACE`, `IO`, `CORRUPT`,
/// `NOT_A_DATABASE`, `FORMAT_TOO_NEW`; `FULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_open(
    path: *const u8,
    path_len: usize,
    options: *const etclite_open_options,
    db: *mut *mut etclite_db,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the options and the out parameter.
    unsafe {
        enter(err, || {
            let db = out_pointer(db)?;
            let options = crate::argument::options(options)?;
            *db = handle::publish(Database { db: open(&options, path, path_len)?, pollers: Pollers::default() })?;
            Ok(ETCLITE_OK)
        })
    }
}

/// # Safety
/// As [`crate::argument::bytes`].
unsafe fn open(options: &etclite_open_options, place: *const u8, len: usize) -> Result<Db, Failure> {
    let known = ETCLITE_OPEN_NO_CREATE | ETCLITE_OPEN_READ_ONLY | ETCLITE_OPEN_IN_MEMORY;
    check_flags(options.flags, known)?;
    // SAFETY: as the caller promises.
    let store = unsafe { crate::log::hook(store_options(options)?, place, len) };
    if options.flags & ETCLITE_OPEN_IN_MEMORY != 0 {
        // SAFETY: as the caller promises.
        if !unsafe { crate::argument::bytes(place, len) }?.is_empty() {
            return Err(Failure::invalid("a store in memory has no path"));
        }
        return Ok(store.in_memory()?);
    }
    // SAFETY: as the caller promises.
    Ok(store.open(unsafe { path(place, len) }?)?)
}

fn store_options(options: &etclite_open_options) -> Result<Options, Failure> {
    check_reserved(options.reserved)?;
    let mut store = Options::new()
        .create(options.flags & ETCLITE_OPEN_NO_CREATE == 0)
        .read_only(options.flags & ETCLITE_OPEN_READ_ONLY != 0)
        .durability(match options.durability {
            ETCLITE_DURABILITY_SYNCED => Durability::Synced,
            ETCLITE_DURABILITY_WRITTEN => Durability::Written,
            ETCLITE_DURABILITY_BUFFERED => Durability::Buffered,
            _ => return Err(Failure::invalid("an unknown durability")),
        })
        .lock_wait(timeout(options.lock_wait_ms)?.unwrap_or(Duration::MAX));
    if options.request_bytes_max != 0 {
        store = store.request_bytes_max(size(options.request_bytes_max)?);
    }
    if options.store_bytes_max != 0 {
        store = store.quota_bytes(unsigned(options.store_bytes_max)?);
    }
    if options.memtable_bytes != 0 {
        store = store.memtable_bytes(size(options.memtable_bytes)?);
    }
    if options.txn_ops_max != 0 {
        store = store.txn_ops_max(options.txn_ops_max as usize);
    }
    Ok(store)
}

fn size(bytes: i64) -> Result<usize, Failure> {
    usize::try_from(bytes).map_err(|_| Failure::invalid("a negative size"))
}

/// Closes a store for everybody. The handle is invalid from here on, whatever is returned; all who wait in another call
/// are woken with `CLOSED`; what is in memory is written, and the store can be opened again. Other calls with this handle
/// have left when it returns. Handles that came from it answer `CLOSED`, a call that is inside maybe a moment after this
/// has returned, and must still be freed, in any order. Null is allowed and does nothing.
///
/// Errors: what could not be written (`IO`, `NO_SPACE`). Nothing that was acknowledged as synced is lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_close(db: *mut etclite_db, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            if db.is_null() {
                return Ok(ETCLITE_OK);
            }
            let pinned = database(db)?;
            if !handle::end(&pinned) {
                return Err(Failure::misuse());
            }
            let closed = pinned.db.close();
            pinned.pollers.close();
            pinned.await_others();
            closed?;
            Ok(ETCLITE_OK)
        })
    }
}

/// What a store says of itself.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_status_info {
    /// `sizeof(etclite_status_info)`, set by the caller.
    pub struct_size: usize,
    /// The revision that readers see.
    pub revision: i64,
    /// The oldest revision that can be read; 0 if nothing was compacted.
    pub compact_revision: i64,
    /// Bytes of the store's files: the sorted ones and the log.
    pub disk_bytes: i64,
    /// Bytes of live data and retained history, about.
    pub live_bytes: i64,
    /// How many keys there are.
    pub keys: i64,
    /// How many leases there are.
    pub leases: i64,
    /// How many watches are open.
    pub watches: i64,
    /// This store's id as a member.
    pub member_id: u64,
    /// The leader's id; this store's own, if it is by itself.
    pub leader_id: u64,
    /// The raft term; 1 for a store by itself.
    pub raft_term: u64,
    /// How far the raft log is applied; 0 for a store by itself.
    pub raft_applied: u64,
}

// SAFETY: integers.
unsafe impl Plain for etclite_status_info {}
// SAFETY: `repr(C)`, the size first, no padding, and zero is the default.
unsafe impl SizedStruct for etclite_status_info {
    const SIZE_MIN: usize = 96;
}

/// Tells how large a store is, where it stands, and what is open in it. `info->struct_size` must be set. Counts the
/// keys, which takes as long as walking over them.
///
/// Errors: `CLOSED`, `IO`, `CORRUPT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_status(
    db: *const etclite_db,
    info: *mut etclite_status_info,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let info = sized_out(info)?;
            let database = database(db)?;
            let keys = database.db.count(..)?;
            info.write(&status(&database.db.stats(), keys));
            Ok(ETCLITE_OK)
        })
    }
}

fn status(stats: &Stats, keys: u64) -> etclite_status_info {
    etclite_status_info {
        struct_size: 0,
        revision: signed(stats.revision.get()),
        compact_revision: signed(stats.compact_revision.get()),
        disk_bytes: signed(stats.run_bytes.saturating_add(stats.logged_bytes)),
        live_bytes: signed(stats.live_bytes),
        keys: signed(keys),
        leases: signed(stats.leases),
        watches: signed(stats.watches),
        member_id: stats.member_id,
        leader_id: stats.member_id,
        raft_term: etclite::proto::RAFT_TERM,
        raft_applied: 0,
    }
}

/// Makes everything that was acknowledged so far durable, what a relaxed store acknowledged included.
///
/// Errors: `CLOSED`, `READ_ONLY`, `POISONED`; `INDETERMINATE` if the disk failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_sync(db: *const etclite_db, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            database(db)?.db.sync()?;
            Ok(ETCLITE_OK)
        })
    }
}

/// The store's revision and its compact revision, at the cost of two loads.
///
/// Errors: `MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_revision(
    db: *const etclite_db,
    revision: *mut i64,
    compact_revision: *mut i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let revision = out(revision)?;
            let compact_revision = out(compact_revision)?;
            let database = database(db)?;
            *revision = signed(database.db.revision().get());
            *compact_revision = signed(database.db.compact_revision().get());
            Ok(ETCLITE_OK)
        })
    }
}
