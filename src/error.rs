//! Every way a call can fail, grouped by what its caller does next.

pub(crate) mod code;

use crate::io::is_out_of_descriptors;
use crate::kv::Revision;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use code::Code;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether the write behind an error took effect: see [`Error::applied`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Applied {
    /// Nothing was written.
    No,
    /// It took effect; what was to follow it failed.
    Yes,
    /// It may or may not have taken effect; read before retrying.
    Unknown,
}

/// Why a request is not valid. Each reason has one of etcd's texts.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The key is empty (etcd: "key is not provided").
    EmptyKey,
    /// `ignore_value` or `ignore_lease` of a key that does not exist (etcd: "key not found").
    KeyNotFound,
    /// `ignore_value` together with a value (etcd: "value is provided").
    ValueProvided,
    /// `ignore_lease` together with a lease (etcd: "lease is provided").
    LeaseProvided,
    /// A sort order or target that does not exist (etcd: "invalid sort option"). Only a message from another language can
    /// hold one.
    SortOption,
    /// A watch over a range whose end is at or below its start (etcd: "watcher range is empty").
    EmptyWatchRange,
    /// The operation id was used for another request before.
    OperationIdReused,
    /// An option or argument outside its documented bounds.
    Argument(&'static str),
    /// A line of a file of options says nothing that is understood; see [`Options::from_file`](crate::Options::from_file).
    Setting {
        /// Which, from one.
        line: u32,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Who holds a store that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, as it wrote it (a pid of another namespace is shown as it stands); 0 if not known.
    pub pid: u32,
    /// The name of its program.
    pub program: String,
    /// When it opened the store, in seconds since the Unix epoch.
    pub since_unix: u64,
}

/// Every way a call can fail. [`Error::applied`] says whether a write took effect.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Error {
    // Fix the call.
    /// The request is malformed; nothing was done.
    InvalidArgument(Invalid),
    /// Something is larger than its limit; nothing was done. Sizes are bytes, counts are items, as `what` says.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// A txn changes one key twice (etcd: "duplicate key given in txn request"); nothing was done.
    DuplicateKey,
    /// The store was opened read-only; nothing was done.
    ReadOnly,
    /// This build, or this release, does not do that; nothing was done.
    Unsupported {
        /// What it is.
        what: &'static str,
    },

    // Choose another revision.
    /// The revision is below the compact revision; read or watch from `compacted` on. Nothing was done.
    Compacted {
        /// The compact revision: the oldest one that can be read.
        compacted: Revision,
    },
    /// The revision has not been reached yet; nothing was done.
    FutureRevision {
        /// The store's revision.
        current: Revision,
    },

    // It is gone, or taken.
    /// The lease does not exist (any more); nothing was done.
    LeaseNotFound,
    /// A lease of that id exists already; nothing was done.
    LeaseExists,
    /// The session has ended, or the lock behind a fence is lost; nothing was done. A token that failed never holds
    /// again: open a new session and take the lock anew. As etcd's "mutex: session is expired".
    SessionExpired,
    /// There is no cursor of that name; nothing was done.
    CursorNotFound,
    /// The store was closed; nothing was done.
    Closed,
    /// The watch was cancelled; it can be resumed by a new one.
    Canceled,
    /// The lock was released through this guard already; nothing was done. As etcd's "mutex: lock has already been
    /// released".
    LockReleased,
    /// The lead was lost or resigned; nothing was done. Campaign again, after a look at the session. As etcd's
    /// "election: not leader".
    NotLeaderOfElection,
    /// The wait was cancelled by its caller: what it had put to stand in line is gone again.
    WaitCanceled,

    /// The cursor stands elsewhere: another consumer, or an earlier try of this one, has advanced it. Nothing was done; go
    /// on from its position.
    CursorMoved {
        /// Where it stands.
        position: Revision,
    },

    // Wait, or go elsewhere.
    /// Another handle has the store open, in this process or another; wait for it, or open elsewhere.
    Locked {
        /// Who has it, as far as it could be read.
        holder: Option<Holder>,
    },
    /// The call gave up waiting before its write was ordered; nothing was done.
    Timeout,
    /// A bound was reached: quota, disk, watchers, open files of the process. Nothing was done; once there is room, the call works again.
    Full {
        /// What is full.
        what: &'static str,
        /// Its bound in the unit of `what`; 0 if there is no fixed one, as for a disk.
        max: u64,
    },

    // Read before retrying.
    /// The write may or may not take effect: it was logged, but making it durable failed. Reopen, then read. Or it was
    /// repeated under its operation id so late that the store no longer knows whether it had been there before; this time
    /// nothing was written.
    Indeterminate,

    // It is done; look at the cause.
    /// A compaction took effect, but the space of what it dropped could not be given back. That is tried again by itself.
    NotReclaimed(Arc<Error>),

    // Stop, reopen or restore.
    /// The operating system failed an operation. Of a write verb nothing was written: one that failed on its way to the
    /// disk is `Indeterminate`. [`Db::health`](crate::Db::health) says whether the store takes further writes.
    Io {
        /// What was being done.
        what: &'static str,
        /// The file, relative to the store, or the path given by the caller.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// A file of the store is damaged. What is read is never guessed, and nothing was written; restore from a backup.
    Corrupt {
        /// The file, relative to the store.
        file: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The path holds something that is not an etclite store; its files were left as they are. Open another path.
    NotADatabase {
        /// The path.
        path: PathBuf,
        /// What is in the way.
        what: &'static str,
    },
    /// A newer release wrote this store, in a format that this one does not know; nothing was changed. Open it with
    /// that release.
    FormatTooNew {
        /// The file.
        file: PathBuf,
        /// Its format number.
        format: u32,
    },
    /// An earlier write or sync failed, so nothing more is written until the store is reopened, nor was this. Reads of
    /// keys and snapshots go on; a watch ends with this once it has returned what was published; questions about leases,
    /// whose end may be under way, are answered with this.
    Poisoned,
    /// The handle was inherited through a fork; only the process that opened a store may use it. Nothing was done.
    Forked,
}

impl Error {
    /// Whether the write behind this error took effect. Reads never have an effect.
    pub fn applied(&self) -> Applied {
        match self {
            Error::Indeterminate => Applied::Unknown,
            Error::NotReclaimed(_) => Applied::Yes,
            _ => Applied::No,
        }
    }

    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Error::Io { what, path: path.into(), source: Arc::new(source) }
    }

    pub(crate) fn corrupt(file: impl Into<PathBuf>, offset: u64, what: &'static str) -> Self {
        Error::Corrupt { file: file.into(), offset, what }
    }

    /// Whether the process, or the system, has no descriptor left.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Error::Io { source, .. } if is_out_of_descriptors(source))
    }

    /// Whether the cause is a disk or quota without room.
    pub(crate) fn is_no_space(&self) -> bool {
        match self {
            Error::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Error::Full { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Invalid::EmptyKey => "key is not provided",
            Invalid::KeyNotFound => "key not found",
            Invalid::ValueProvided => "value is provided",
            Invalid::LeaseProvided => "lease is provided",
            Invalid::SortOption => "invalid sort option",
            Invalid::EmptyWatchRange => "watcher range is empty",
            Invalid::OperationIdReused => "the operation id was used for another request",
            Invalid::Argument(what) => what,
            Invalid::Setting { line, what } => return write!(f, "line {line} of the options: {what}"),
        };
        f.write_str(text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument(reason) => reason.fmt(f),
            Error::TooLarge { what, len, max } => write!(f, "{what} is too large: {len}, at most {max}"),
            Error::DuplicateKey => f.write_str("duplicate key given in txn request"),
            Error::ReadOnly => f.write_str("the store was opened read-only"),
            Error::Unsupported { what } => write!(f, "{what} is not supported"),
            Error::Compacted { compacted } => {
                write!(f, "required revision has been compacted, the compact revision is {compacted}")
            }
            Error::FutureRevision { current } => {
                write!(f, "required revision is a future revision, current is {current}")
            }
            Error::LeaseNotFound => f.write_str("requested lease not found"),
            Error::LeaseExists => f.write_str("lease already exists"),
            Error::SessionExpired => f.write_str("session is expired"),
            Error::CursorNotFound => f.write_str("requested cursor not found"),
            Error::CursorMoved { position } => write!(f, "the cursor has moved, it is at {position}"),
            Error::Closed => f.write_str("the store is closed"),
            Error::Canceled => f.write_str("watch canceled"),
            Error::LockReleased => f.write_str("lock has already been released"),
            Error::NotLeaderOfElection => f.write_str("not leader"),
            Error::WaitCanceled => f.write_str("the wait was canceled"),
            Error::Locked { holder: Some(holder) } => {
                write!(f, "the store is open in process {} ({})", holder.pid, holder.program)
            }
            Error::Locked { holder: None } => f.write_str("the store is open elsewhere"),
            Error::Timeout => f.write_str("timed out before the write was ordered"),
            Error::Full { what, max: 0 } => write!(f, "{what} is full"),
            Error::Full { what, max } => write!(f, "{what} is full, at most {max}"),
            Error::Indeterminate => f.write_str("the write may or may not take effect, read before retrying"),
            Error::Io { what, path, .. } if path.as_os_str().is_empty() => write!(f, "cannot {what}"),
            Error::Io { what, path, .. } => write!(f, "cannot {what} {}", path.display()),
            Error::Corrupt { file, offset, what } => {
                write!(f, "{} is damaged at offset {offset}: {what}", file.display())
            }
            Error::NotADatabase { path, what } => write!(f, "{} is not an etclite store: {what}", path.display()),
            Error::FormatTooNew { file, format } => {
                write!(f, "{} has format {format}, written by a newer release", file.display())
            }
            Error::NotReclaimed(_) => f.write_str("the compaction took effect, but its space could not be given back"),
            Error::Poisoned => f.write_str("an earlier write failed, reopen the store"),
            Error::Forked => f.write_str("the store was opened by another process, before a fork"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source.as_ref()),
            Error::NotReclaimed(cause) => Some(cause.as_ref()),
            _ => None,
        }
    }
}
