//! The status codes, written out, since the header is made from these lines. A test compares them with the one table of
//! codes, in crate `etclite`. Numbers are never reused; gaps are for growth.

/// Done.
pub const ETCLITE_OK: i32 = 0;
/// There is no such key, or no leader. Not an error.
pub const ETCLITE_NOT_FOUND: i32 = 1;
/// The time was over before anything came. Not an error.
pub const ETCLITE_TIMEOUT: i32 = 2;
/// The scan has come to its end, or the watch of a store that was opened read-only. Not an error.
pub const ETCLITE_END: i32 = 3;
/// Somebody else has the lock. Not an error.
pub const ETCLITE_NOT_ACQUIRED: i32 = 4;

/// The request is malformed in a way that has no code of its own. Nothing was done.
pub const ETCLITE_E_INVALID_ARGUMENT: i32 = -1;
/// The key is empty. Nothing was done.
pub const ETCLITE_E_EMPTY_KEY: i32 = -2;
/// The txn has too many operations, or is nested too deep. Nothing was done.
pub const ETCLITE_E_TOO_MANY_OPS: i32 = -3;
/// The txn changes one key twice. Nothing was done.
pub const ETCLITE_E_DUPLICATE_KEY: i32 = -4;
/// The request is larger than its limit, which is in `detail`. Nothing was done.
pub const ETCLITE_E_REQUEST_TOO_LARGE: i32 = -5;
/// There is no such order to sort in. Nothing was done.
pub const ETCLITE_E_INVALID_SORT: i32 = -6;
/// `IGNORE_VALUE` together with a value. Nothing was done.
pub const ETCLITE_E_VALUE_PROVIDED: i32 = -7;
/// `IGNORE_LEASE` together with a lease. Nothing was done.
pub const ETCLITE_E_LEASE_PROVIDED: i32 = -8;
/// `IGNORE_VALUE` or `IGNORE_LEASE` of a key that is not there. Nothing was done.
pub const ETCLITE_E_KEY_NOT_FOUND: i32 = -9;
/// The revision is compacted; `detail` is the oldest that can be read. Nothing was done.
pub const ETCLITE_E_COMPACTED: i32 = -20;
/// The revision has not been reached yet; `detail` is the store's. Nothing was done.
pub const ETCLITE_E_FUTURE_REVISION: i32 = -21;
/// The disk or the quota has no room. Nothing was done; once there is room, the call works again.
pub const ETCLITE_E_NO_SPACE: i32 = -22;
/// There is no such lease (any more). Nothing was done.
pub const ETCLITE_E_LEASE_NOT_FOUND: i32 = -23;
/// There is a lease of that id. Nothing was done.
pub const ETCLITE_E_LEASE_EXISTS: i32 = -24;
/// A lease cannot last that long. Nothing was done.
pub const ETCLITE_E_LEASE_TTL_TOO_LARGE: i32 = -25;
/// The watch was cancelled.
pub const ETCLITE_E_WATCH_CANCELED: i32 = -26;
/// The session has ended, or a fenced txn's lock is lost. Nothing was done.
pub const ETCLITE_E_SESSION_EXPIRED: i32 = -27;
/// The lead was lost or resigned. Nothing was done.
pub const ETCLITE_E_NOT_LEADER_OF_ELECTION: i32 = -28;
/// The lock was released already. Nothing was done.
pub const ETCLITE_E_LOCK_RELEASED: i32 = -29;
/// There is no cursor of that name. Nothing was done.
pub const ETCLITE_E_CURSOR_NOT_FOUND: i32 = -31;
/// The cursor stands elsewhere: `detail` is where. Nothing was done.
pub const ETCLITE_E_CURSOR_MOVED: i32 = -32;
/// The group has no leader. Nothing was done.
pub const ETCLITE_E_NO_LEADER: i32 = -40;
/// Another member leads; `detail` is its id. Nothing was done.
pub const ETCLITE_E_NOT_LEADER: i32 = -41;
/// The lead changed meanwhile. The write may or may not take effect.
pub const ETCLITE_E_LEADER_CHANGED: i32 = -42;
/// The group cannot be reached. Nothing was done.
pub const ETCLITE_E_UNAVAILABLE: i32 = -43;
/// The store is open elsewhere; `detail` is the process, 0 if unknown. Nothing was done.
pub const ETCLITE_E_LOCKED: i32 = -60;
/// The operating system failed an operation: `os_error` says how. Nothing was written; a write that failed on its way
/// to the disk is `ETCLITE_E_INDETERMINATE`.
pub const ETCLITE_E_IO: i32 = -61;
/// A file of the store is damaged; `detail` is where in it, the message names it. Nothing was written.
pub const ETCLITE_E_CORRUPT: i32 = -62;
/// The path holds something that is not a store. It was left as it is.
pub const ETCLITE_E_NOT_A_DATABASE: i32 = -63;
/// A newer release wrote the store, in the format `detail`. It was left as it is.
pub const ETCLITE_E_FORMAT_TOO_NEW: i32 = -64;
/// The store was opened read-only. Nothing was done.
pub const ETCLITE_E_READ_ONLY: i32 = -65;
/// An earlier write failed. Nothing is written until the store is reopened; reads go on.
pub const ETCLITE_E_POISONED: i32 = -66;
/// The compaction took effect, but its space could not be given back. That is tried again by itself.
pub const ETCLITE_E_NOT_RECLAIMED: i32 = -67;
/// The store was closed. Nothing was done.
pub const ETCLITE_E_CLOSED: i32 = -80;
/// The wait was ended from outside.
pub const ETCLITE_E_CANCELED: i32 = -81;
/// Given up before the write was ordered. Nothing was done.
pub const ETCLITE_E_DEADLINE_EXCEEDED: i32 = -82;
/// The write may or may not take effect: read before retrying.
pub const ETCLITE_E_INDETERMINATE: i32 = -83;
/// The handle was inherited through a fork. Nothing was done.
pub const ETCLITE_E_FORKED: i32 = -84;
/// This build, or this release, does not do that. Nothing was done.
pub const ETCLITE_E_UNSUPPORTED: i32 = -85;
/// A null, stale or wrong handle, or one that another thread is using. Nothing was done.
pub const ETCLITE_E_MISUSE: i32 = -86;
/// Some other maximum is reached, which is in `detail`. Nothing was done.
pub const ETCLITE_E_FULL: i32 = -87;
/// A bug in the library, which was kept from doing more harm. The store takes no more writes until it is reopened, and
/// this one may or may not take effect.
pub const ETCLITE_E_PANIC: i32 = -99;
