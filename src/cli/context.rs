//! What a command is given: the flags that all commands share, the store opened as it asks, the output.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::args::{Global, Wait};
use super::exit::{Exit, Failure};
use super::out::Out;
use crate::error::Applied;
use crate::{Db, Options};

/// The surroundings of one command.
pub(super) struct Context {
    pub(super) global: Global,
    pub(super) out: Out,
    /// Whether the command has changed something for good.
    changed: AtomicBool,
}

/// Whether a command may create its store: a mistyped `get` never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Create {
    /// `init`, `put`, `load`, `exec`, `import-etcd` and `restore`, unless `--no-create` is given.
    Allowed,
    /// All other commands.
    Never,
}

impl Context {
    pub(super) fn new(global: Global) -> Context {
        Context { global, out: Out::new(), changed: AtomicBool::new(false) }
    }

    /// The store's directory, as STORE, `--db` or `ETCLITE_DB` name it.
    pub(super) fn store(&self) -> Result<PathBuf, Failure> {
        self.global
            .db
            .clone()
            .ok_or_else(|| Failure::Usage("no store is named: write `etclite STORE COMMAND`, or set ETCLITE_DB".into()))
    }

    /// Opens the store with what the flags ask for.
    pub(super) fn open(&self, create: Create) -> Result<Db, Failure> {
        Ok(self.options(create).open(self.store()?)?)
    }

    /// To be called once a write has taken effect: whatever fails then, such as telling of it, does not undo it.
    pub(super) fn changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether a failure now leaves something changed (B-056).
    pub(super) fn applied(&self) -> Applied {
        if self.changed.load(Ordering::Relaxed) { Applied::Yes } else { Applied::No }
    }

    /// How a request that can be answered with no ends: by default a no is as good as a yes.
    pub(super) fn yes_or_no(&self, yes: bool) -> Exit {
        if yes || !self.global.exit_code { Exit::Done } else { Exit::No }
    }

    /// The options that the flags stand for.
    pub(super) fn options(&self, create: Create) -> Options {
        let global = &self.global;
        let wait = match global.wait {
            None => Duration::ZERO,
            Some(Wait::ForEver) => FOR_EVER,
            Some(Wait::AtMost(limit)) => limit,
        };
        Options::new()
            .create(create == Create::Allowed && !global.no_create)
            .read_only(global.readonly)
            .allow_other_owner(global.allow_other_owner)
            .durability(global.durability.into())
            .lock_wait(wait)
    }
}

/// Longer than any process lives.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
