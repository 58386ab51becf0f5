//! Calls that fail as planned: the Nth at a site, once or from then on.

use std::io;

use crate::io::IoSite;

/// A planned failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where; anywhere if not given.
    pub site: Option<IoSite>,
    /// Which of the calls from now on, counted from 1, among those that can fail in this way.
    pub nth: u64,
    /// How.
    pub kind: FaultKind,
    /// Whether all later calls fail as well. `Eintr` strikes once in any case: who retries would never end.
    pub forever: bool,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The disk fails; nothing was done. Any call.
    Eio,
    /// No space. Writes, lengths, new names, syncs.
    Enospc,
    /// No quota. As `Enospc`.
    Edquot,
    /// No descriptor left. Opening and creating.
    Emfile,
    /// Interrupted, nothing done. Reads and writes.
    Eintr,
    /// Half of the bytes are written.
    ShortWrite,
    /// Half of the bytes are read.
    ShortRead,
    /// A file's sync fails with EIO and drops what was pending: readable still, durable never, and the next sync
    /// succeeds. That is what Linux does.
    SyncLosesData,
    /// A read returns with one bit flipped.
    BitRot,
    /// A write lands 4 KiB further on, and says nothing.
    Misdirect,
}

/// What kind of call is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Opening what exists, listing, asking for a length.
    Look,
    Read,
    Write,
    SetLen,
    Sync,
    SyncDir,
    /// Creating, renaming.
    Name,
    Remove,
}

impl FaultKind {
    fn applies_to(self, call: Call) -> bool {
        match self {
            FaultKind::Eio => true,
            FaultKind::Enospc | FaultKind::Edquot => {
                matches!(call, Call::Write | Call::SetLen | Call::Sync | Call::SyncDir | Call::Name)
            }
            FaultKind::Emfile => matches!(call, Call::Look | Call::Name),
            FaultKind::Eintr => matches!(call, Call::Read | Call::Write),
            FaultKind::ShortWrite | FaultKind::Misdirect => call == Call::Write,
            FaultKind::ShortRead | FaultKind::BitRot => call == Call::Read,
            FaultKind::SyncLosesData => call == Call::Sync,
        }
    }

    /// The error, for kinds that are just one.
    pub(super) fn error(self) -> Option<io::Error> {
        match self {
            FaultKind::Eio => Some(eio()),
            FaultKind::Enospc => Some(io::ErrorKind::StorageFull.into()),
            FaultKind::Edquot => Some(io::ErrorKind::QuotaExceeded.into()),
            FaultKind::Eintr => Some(io::ErrorKind::Interrupted.into()),
            FaultKind::Emfile => Some(io::Error::from_raw_os_error(libc::EMFILE)),
            _ => None,
        }
    }
}

/// Input/output error, in the system's own words where it has them.
pub(super) fn eio() -> io::Error {
    #[cfg(unix)]
    return io::Error::from_raw_os_error(libc::EIO);
    #[cfg(not(unix))]
    return io::Error::other("input/output error");
}

/// The planned failures of a disk.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<(Fault, u64)>,
    pub(super) fired: u64,
}

impl Faults {
    pub(super) fn arm(&mut self, fault: Fault) {
        self.armed.push((fault, 0));
    }

    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// Counts a call, and says how it is to fail.
    pub(super) fn strike(&mut self, site: IoSite, call: Call) -> Option<FaultKind> {
        let mut struck = None;
        for (fault, seen) in &mut self.armed {
            if fault.site.is_some_and(|at| at != site) || !fault.kind.applies_to(call) {
                continue;
            }
            *seen += 1;
            let nth = fault.nth.max(1);
            let due = *seen == nth || (fault.forever && *seen > nth && fault.kind != FaultKind::Eintr);
            if due && struck.is_none() {
                struck = Some(fault.kind);
            }
        }
        self.fired += u64::from(struck.is_some());
        struck
    }
}
