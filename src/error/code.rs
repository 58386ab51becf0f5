//! One table of status codes: what C, Go, the command line, the JSON driver and etcd's clients call each outcome.
//!
//! Numbers are never reused or changed; gaps are for growth. Codes are finer than the variants where a variant names its
//! reason. Other languages are generated from [`Code::ALL`], or compared with it.

use super::{Applied, Error, Invalid};

// What `Error::TooLarge` names where the code depends on it.
pub(crate) const TXN_OPS: &str = "number of operations in txn request";
pub(crate) const TXN_DEPTH: &str = "depth of nested txns";
pub(crate) const LEASE_TTL: &str = "lease TTL in milliseconds";
pub(crate) const PUT_TTL: &str = "ttl of a put in milliseconds";

/// An outcome's name and number, the same in every language, and what there is to know of it without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code {
    /// Its name, such as `COMPACTED`.
    pub name: &'static str,
    /// Its number: negative for every error, above zero for a harmless "no", zero for success.
    pub number: i32,
    /// What it says, in a few words; an [`Error`] says more.
    pub text: &'static str,
    /// gRPC's status code, by number.
    pub grpc: u32,
    /// etcd's message, letter by letter, by which its clients know the error. Empty where etcd has no such outcome.
    pub etcd: &'static str,
    /// Whether a write that ends with it took effect.
    pub applied: Applied,
}

// gRPC's status codes that are in use.
const GRPC_OK: u32 = 0;
const GRPC_CANCELED: u32 = 1;
const GRPC_UNKNOWN: u32 = 2;
const GRPC_INVALID_ARGUMENT: u32 = 3;
const GRPC_NOT_FOUND: u32 = 5;
const GRPC_RESOURCE_EXHAUSTED: u32 = 8;
const GRPC_FAILED_PRECONDITION: u32 = 9;
const GRPC_OUT_OF_RANGE: u32 = 11;
const GRPC_INTERNAL: u32 = 13;
const GRPC_UNAVAILABLE: u32 = 14;
const GRPC_DATA_LOSS: u32 = 15;

/// A constant per code, and the list of all.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $applied:ident, $text:literal, $grpc:ident, $etcd:expr;)*) => {
        #[allow(missing_docs, reason = "the text says it")]
        impl Code {
            $(
                $(#[$doc])*
                pub const $name: Code = Code {
                    name: stringify!($name),
                    number: $number,
                    text: $text,
                    grpc: $grpc,
                    etcd: $etcd,
                    applied: Applied::$applied,
                };
            )*

            /// Every code: success and the harmless ones, then errors by their numbers.
            pub const ALL: &[Code] = &[$(Code::$name),*];
        }
    };
}

codes! {
    OK = 0, Yes, "ok", GRPC_OK, "";
    NOT_FOUND = 1, No, "not found", GRPC_OK, "";
    TIMEOUT = 2, No, "the wait has ended", GRPC_OK, "";
    END = 3, No, "the end", GRPC_OK, "";
    /// Another session has the lock that was tried.
    NOT_ACQUIRED = 4, No, "locked by another session", GRPC_UNKNOWN, "mutex: Locked by another session";

    /// A request that is malformed in a way that has no code of its own.
    INVALID_ARGUMENT = -1, No, "invalid argument", GRPC_INVALID_ARGUMENT, "";
    EMPTY_KEY = -2, No, "key is not provided", GRPC_INVALID_ARGUMENT, "etcdserver: key is not provided";
    TOO_MANY_OPS = -3, No, "too many operations in txn request", GRPC_INVALID_ARGUMENT,
        "etcdserver: too many operations in txn request";
    DUPLICATE_KEY = -4, No, "duplicate key given in txn request", GRPC_INVALID_ARGUMENT,
        "etcdserver: duplicate key given in txn request";
    REQUEST_TOO_LARGE = -5, No, "request is too large", GRPC_INVALID_ARGUMENT, "etcdserver: request is too large";
    INVALID_SORT = -6, No, "invalid sort option", GRPC_INVALID_ARGUMENT, "etcdserver: invalid sort option";
    VALUE_PROVIDED = -7, No, "value is provided", GRPC_INVALID_ARGUMENT, "etcdserver: value is provided";
    LEASE_PROVIDED = -8, No, "lease is provided", GRPC_INVALID_ARGUMENT, "etcdserver: lease is provided";
    KEY_NOT_FOUND = -9, No, "key not found", GRPC_INVALID_ARGUMENT, "etcdserver: key not found";

    COMPACTED = -20, No, "required revision has been compacted", GRPC_OUT_OF_RANGE,
        "etcdserver: mvcc: required revision has been compacted";
    FUTURE_REVISION = -21, No, "required revision is a future revision", GRPC_OUT_OF_RANGE,
        "etcdserver: mvcc: required revision is a future revision";
    NO_SPACE = -22, No, "no space left on the disk or in the quota", GRPC_RESOURCE_EXHAUSTED,
        "etcdserver: mvcc: database space exceeded";
    LEASE_NOT_FOUND = -23, No, "requested lease not found", GRPC_NOT_FOUND, "etcdserver: requested lease not found";
    LEASE_EXISTS = -24, No, "lease already exists", GRPC_FAILED_PRECONDITION, "etcdserver: lease already exists";
    LEASE_TTL_TOO_LARGE = -25, No, "too large lease TTL", GRPC_OUT_OF_RANGE, "etcdserver: too large lease TTL";
    WATCH_CANCELED = -26, No, "watch canceled", GRPC_CANCELED, "etcdserver: watch canceled";
    SESSION_EXPIRED = -27, No, "session is expired", GRPC_UNKNOWN, "mutex: session is expired";
    NOT_LEADER_OF_ELECTION = -28, No, "not leader", GRPC_UNKNOWN, "election: not leader";
    LOCK_RELEASED = -29, No, "lock has already been released", GRPC_UNKNOWN, "mutex: lock has already been released";
    CURSOR_NOT_FOUND = -31, No, "requested cursor not found", GRPC_NOT_FOUND, "";
    CURSOR_MOVED = -32, No, "the cursor has moved", GRPC_FAILED_PRECONDITION, "";

    NO_LEADER = -40, No, "no leader", GRPC_UNAVAILABLE, "etcdserver: no leader";
    NOT_LEADER = -41, No, "another member leads", GRPC_FAILED_PRECONDITION, "etcdserver: not leader";
    LEADER_CHANGED = -42, Unknown, "leader changed", GRPC_UNAVAILABLE, "etcdserver: leader changed";
    UNAVAILABLE = -43, No, "the group has no quorum", GRPC_UNAVAILABLE, "etcdserver: unhealthy cluster";

    LOCKED = -60, No, "the store is open elsewhere", GRPC_UNAVAILABLE, "";
    /// The operating system failed an operation.
    IO = -61, No, "the operating system failed", GRPC_UNAVAILABLE, "etcdserver: server stopped";
    CORRUPT = -62, No, "a file is damaged", GRPC_DATA_LOSS, "etcdserver: corrupt cluster";
    NOT_A_DATABASE = -63, No, "not an etclite store", GRPC_FAILED_PRECONDITION, "";
    FORMAT_TOO_NEW = -64, No, "written by a newer release", GRPC_FAILED_PRECONDITION, "";
    READ_ONLY = -65, No, "the store was opened read-only", GRPC_FAILED_PRECONDITION, "etcdserver: not capable";
    POISONED = -66, No, "an earlier write failed, reopen the store", GRPC_UNAVAILABLE, "etcdserver: server stopped";
    NOT_RECLAIMED = -67, Yes, "compacted, but the space could not be given back", GRPC_INTERNAL, "";

    CLOSED = -80, No, "the store is closed", GRPC_UNAVAILABLE, "etcdserver: server stopped";
    /// A wait that was ended from outside.
    CANCELED = -81, No, "canceled", GRPC_CANCELED, "etcdserver: request canceled";
    DEADLINE_EXCEEDED = -82, No, "timed out before the write was ordered", GRPC_UNAVAILABLE,
        "etcdserver: request timed out";
    INDETERMINATE = -83, Unknown, "the write may or may not take effect", GRPC_UNAVAILABLE,
        "etcdserver: request timed out";
    FORKED = -84, No, "opened by another process, before a fork", GRPC_FAILED_PRECONDITION, "";
    /// What this build, or this release, does not do.
    UNSUPPORTED = -85, No, "not supported", GRPC_FAILED_PRECONDITION, "etcdserver: not capable";
    /// A call that no correct program makes, such as one on a handle that was freed.
    MISUSE = -86, No, "misuse", GRPC_INTERNAL, "";
    FULL = -87, No, "a maximum is reached", GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests";
    /// A bug of ours, which was kept from doing more harm.
    PANIC = -99, Unknown, "a bug in etclite", GRPC_INTERNAL, "";
}

impl Code {
    /// The code of that number.
    pub fn of(number: i32) -> Option<Code> {
        Code::ALL.iter().find(|code| code.number == number).copied()
    }
}

impl Error {
    /// Its code: stable across releases, for programs that compare and for other languages.
    ///
    /// ```
    /// let error = etclite::Db::in_memory()?.put("", "v").expect_err("an empty key");
    /// assert_eq!((error.code().name, error.code().number), ("EMPTY_KEY", -2));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn code(&self) -> Code {
        match self {
            Error::InvalidArgument(reason) => reason.code(),
            Error::TooLarge { what, .. } => too_large(what),
            Error::DuplicateKey => Code::DUPLICATE_KEY,
            Error::Compacted { .. } => Code::COMPACTED,
            Error::FutureRevision { .. } => Code::FUTURE_REVISION,
            Error::LeaseNotFound => Code::LEASE_NOT_FOUND,
            Error::LeaseExists => Code::LEASE_EXISTS,
            Error::SessionExpired => Code::SESSION_EXPIRED,
            Error::NotLeaderOfElection => Code::NOT_LEADER_OF_ELECTION,
            Error::WaitCanceled => Code::CANCELED,
            Error::CursorNotFound => Code::CURSOR_NOT_FOUND,
            Error::CursorMoved { .. } => Code::CURSOR_MOVED,
            Error::LockReleased => Code::LOCK_RELEASED,
            Error::Canceled => Code::WATCH_CANCELED,
            Error::Locked { .. } => Code::LOCKED,
            Error::Io { .. } => Code::IO,
            Error::Corrupt { .. } => Code::CORRUPT,
            Error::NotADatabase { .. } => Code::NOT_A_DATABASE,
            Error::FormatTooNew { .. } => Code::FORMAT_TOO_NEW,
            Error::ReadOnly => Code::READ_ONLY,
            Error::Poisoned => Code::POISONED,
            Error::NotReclaimed(_) => Code::NOT_RECLAIMED,
            Error::Closed => Code::CLOSED,
            Error::Timeout => Code::DEADLINE_EXCEEDED,
            Error::Indeterminate => Code::INDETERMINATE,
            Error::Forked => Code::FORKED,
            Error::Full { what: "disk" | "quota", .. } => Code::NO_SPACE,
            Error::Full { .. } => Code::FULL,
            Error::Unsupported { .. } => Code::UNSUPPORTED,
        }
    }

    /// The number that belongs to the code, for languages whose errors are numbers and a text: the limit that was passed
    /// (`REQUEST_TOO_LARGE`, `TOO_MANY_OPS`, `LEASE_TTL_TOO_LARGE`, `NO_SPACE`, `FULL`), the compact revision
    /// (`COMPACTED`), the store's revision (`FUTURE_REVISION`), the cursor's position (`CURSOR_MOVED`), the holder's
    /// process id (`LOCKED`), the offset in the file (`CORRUPT`), the format (`FORMAT_TOO_NEW`). Zero for all others,
    /// and if it is not known.
    pub fn detail(&self) -> i64 {
        let number = match self {
            Error::TooLarge { max, .. } | Error::Full { max, .. } => *max,
            Error::Compacted { compacted } => compacted.get(),
            Error::FutureRevision { current } => current.get(),
            Error::CursorMoved { position } => position.get(),
            Error::Locked { holder: Some(holder) } => u64::from(holder.pid),
            Error::Corrupt { offset, .. } => *offset,
            Error::FormatTooNew { format, .. } => u64::from(*format),
            _ => 0,
        };
        i64::try_from(number).unwrap_or(i64::MAX)
    }
}

/// What is too large decides: etcd has a text of its own for some.
fn too_large(what: &str) -> Code {
    match what {
        TXN_OPS | TXN_DEPTH => Code::TOO_MANY_OPS,
        LEASE_TTL | PUT_TTL => Code::LEASE_TTL_TOO_LARGE,
        _ => Code::REQUEST_TOO_LARGE,
    }
}

impl Invalid {
    fn code(self) -> Code {
        match self {
            Invalid::EmptyKey => Code::EMPTY_KEY,
            Invalid::ValueProvided => Code::VALUE_PROVIDED,
            Invalid::LeaseProvided => Code::LEASE_PROVIDED,
            Invalid::KeyNotFound => Code::KEY_NOT_FOUND,
            Invalid::SortOption => Code::INVALID_SORT,
            Invalid::EmptyWatchRange | Invalid::OperationIdReused | Invalid::Argument(_) | Invalid::Setting { .. } => {
                Code::INVALID_ARGUMENT
            }
        }
    }
}
