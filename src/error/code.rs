//! One table of status codes: what C, Go, the command line and the JSON driver call each error.
//!
//! Numbers are never reused or changed; gaps are for growth. Codes are finer than the variants where a variant names its
//! reason.

use super::{Error, Invalid};

// What `Error::TooLarge` names where the code depends on it.
pub(crate) const TXN_OPS: &str = "number of operations in txn request";
pub(crate) const TXN_DEPTH: &str = "depth of nested txns";
pub(crate) const LEASE_TTL: &str = "lease TTL in milliseconds";
pub(crate) const PUT_TTL: &str = "ttl of a put in milliseconds";

/// An error's name and number, the same in every language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code {
    /// Its name, such as `COMPACTED`.
    pub name: &'static str,
    /// Its number: negative for every error.
    pub number: i32,
}

const fn code(name: &'static str, number: i32) -> Code {
    Code { name, number }
}

impl Code {
    /// A request that is malformed in a way that has no code of its own.
    pub const INVALID_ARGUMENT: Code = code("INVALID_ARGUMENT", -1);
    /// The operating system failed an operation.
    pub const IO: Code = code("IO", -61);
    /// A wait that was ended from outside.
    pub const CANCELED: Code = code("CANCELED", -81);
    /// What this build, or this release, does not do.
    pub const UNSUPPORTED: Code = code("UNSUPPORTED", -85);
    /// A bug of ours, which was kept from doing more harm.
    pub const PANIC: Code = code("PANIC", -99);
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
            Error::DuplicateKey => code("DUPLICATE_KEY", -4),
            Error::Compacted { .. } => code("COMPACTED", -20),
            Error::FutureRevision { .. } => code("FUTURE_REVISION", -21),
            Error::LeaseNotFound => code("LEASE_NOT_FOUND", -23),
            Error::LeaseExists => code("LEASE_EXISTS", -24),
            Error::SessionExpired => code("SESSION_EXPIRED", -27),
            Error::NotLeaderOfElection => code("NOT_LEADER_OF_ELECTION", -28),
            Error::WaitCanceled => Code::CANCELED,
            Error::CursorNotFound => code("CURSOR_NOT_FOUND", -31),
            Error::CursorMoved { .. } => code("CURSOR_MOVED", -32),
            Error::LockReleased => code("LOCK_RELEASED", -29),
            Error::Canceled => code("WATCH_CANCELED", -26),
            Error::Locked { .. } => code("LOCKED", -60),
            Error::Io { .. } => Code::IO,
            Error::Corrupt { .. } => code("CORRUPT", -62),
            Error::NotADatabase { .. } => code("NOT_A_DATABASE", -63),
            Error::FormatTooNew { .. } => code("FORMAT_TOO_NEW", -64),
            Error::ReadOnly => code("READ_ONLY", -65),
            Error::Poisoned => code("POISONED", -66),
            Error::NotReclaimed(_) => code("NOT_RECLAIMED", -67),
            Error::Closed => code("CLOSED", -80),
            Error::Timeout => code("DEADLINE_EXCEEDED", -82),
            Error::Indeterminate => code("INDETERMINATE", -83),
            Error::Forked => code("FORKED", -84),
            Error::Full { what: "disk" | "quota", .. } => code("NO_SPACE", -22),
            Error::Full { .. } => code("FULL", -87),
        }
    }
}

/// What is too large decides: etcd has a text of its own for some.
fn too_large(what: &str) -> Code {
    match what {
        TXN_OPS | TXN_DEPTH => code("TOO_MANY_OPS", -3),
        LEASE_TTL | PUT_TTL => code("LEASE_TTL_TOO_LARGE", -25),
        _ => code("REQUEST_TOO_LARGE", -5),
    }
}

impl Invalid {
    fn code(self) -> Code {
        match self {
            Invalid::EmptyKey => code("EMPTY_KEY", -2),
            Invalid::ValueProvided => code("VALUE_PROVIDED", -7),
            Invalid::LeaseProvided => code("LEASE_PROVIDED", -8),
            Invalid::KeyNotFound => code("KEY_NOT_FOUND", -9),
            Invalid::EmptyWatchRange | Invalid::OperationIdReused | Invalid::Argument(_) => Code::INVALID_ARGUMENT,
        }
    }
}
