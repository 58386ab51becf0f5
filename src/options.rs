//! Every knob, with its unit, default and bounds.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::db::Db;
use crate::error::{Error, Invalid, Result};
use crate::io::Clock;

pub(crate) mod file;

/// How durable a write is when its call returns. It belongs to the open store, not to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Synced to the disk: survives power loss. The default.
    #[default]
    Synced,
    /// Written to the operating system: survives the end of the process, not a power loss. Synced every 50 ms.
    Written,
    /// Visible, and written within about a millisecond: a killed process loses that much. Synced every 50 ms.
    Buffered,
}

/// What the log hook is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LogEvent {
    /// Recovery ignored an unfinished write at the end of the log, as after any crash.
    TornTail {
        /// The segment's file, relative to the store.
        file: String,
        /// Where the valid part ends, in bytes.
        offset: u64,
    },
    /// A write or sync failed; nothing more is written until the store is reopened.
    Poisoned(Error),
    /// Background work failed and is tried again.
    Background(Error),
    /// Closing the store failed when its last handle was dropped.
    Close(Error),
}

/// Receives [`LogEvent`]s. Called without any lock held, from the thread that met the event.
pub type LogHook = Arc<dyn Fn(&LogEvent) + Send + Sync>;

/// How to open a store.
///
/// ```
/// # fn main() -> etclite::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("app.etcl");
/// let db = etclite::Options::new().durability(etclite::Durability::Written).open(&path)?;
/// # db.close()
/// # }
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) allow_other_owner: bool,
    pub(crate) durability: Durability,
    pub(crate) lock_wait: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) request_bytes_max: usize,
    pub(crate) txn_ops_max: usize,
    pub(crate) txn_depth_max: usize,
    pub(crate) command_changes_max: usize,
    pub(crate) watches_max: usize,
    pub(crate) quota_bytes: u64,
    pub(crate) min_ttl: Duration,
    pub(crate) max_snapshot_age: Option<Duration>,
    pub(crate) keys_only_lease: bool,
    pub(crate) operation_ids_max: usize,
    pub(crate) operation_ids_age: Duration,
    pub(crate) operation_result_bytes_max: usize,
    pub(crate) cursors_max: usize,
    pub(crate) cursor_hold_bytes: u64,
    pub(crate) log_hook: Option<LogHook>,
    pub(crate) tuning: Tuning,
}

/// Sizes that tests shrink so that rare paths become common, and the doors they replace.
#[derive(Clone)]
pub(crate) struct Tuning {
    pub(crate) segment_bytes: u64,
    pub(crate) fill_bytes: u64,
    /// Whether a spare segment is made once the current one is half full.
    pub(crate) spare: bool,
    pub(crate) memtable_bytes: usize,
    pub(crate) merge_runs: usize,
    /// The largest run that is made of others; a run has a limit of its own at twice the default.
    pub(crate) merge_bytes_max: u64,
    pub(crate) use_map: bool,
    /// Flush, merge, expiry and the like are done by `Db::step`, not by threads.
    pub(crate) manual: bool,
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            create: true,
            read_only: false,
            allow_other_owner: false,
            durability: Durability::Synced,
            lock_wait: Duration::ZERO,
            write_timeout: Duration::from_secs(30),
            request_bytes_max: 32 << 20,
            txn_ops_max: usize::MAX,
            txn_depth_max: 128,
            command_changes_max: 1_000_000,
            watches_max: 1_000_000,
            quota_bytes: 0,
            min_ttl: Duration::from_millis(1),
            max_snapshot_age: None,
            keys_only_lease: true,
            operation_ids_max: 100_000,
            operation_ids_age: Duration::from_secs(600),
            operation_result_bytes_max: 64 << 10,
            cursors_max: 1_024,
            cursor_hold_bytes: 1 << 30,
            log_hook: None,
            tuning: Tuning {
                segment_bytes: 64 << 20,
                fill_bytes: 1 << 20,
                spare: true,
                memtable_bytes: 32 << 20,
                merge_runs: 4,
                merge_bytes_max: 16 << 30,
                use_map: true,
                manual: false,
                clock: None,
            },
        }
    }
}

impl Options {
    /// The defaults: create if missing, durable writes, no quota.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the store at `path`, a directory. See [`Db::open`].
    ///
    /// # Errors
    /// As [`Db::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Db> {
        Db::open_with(path.as_ref(), self)
    }

    /// Opens a store that lives in memory only. See [`Db::in_memory`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an option out of bounds.
    pub fn in_memory(self) -> Result<Db> {
        Db::in_memory_with(self)
    }

    /// Whether a missing store is created. Default: true.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens for reading only: not a byte is written, and it works on read-only media. Default: false. Several may have
    /// a store open so at once; beside a writer it is [`Error::Locked`], as is a writer beside them.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Opens a directory that belongs to another user. Default: false; root may always.
    #[must_use]
    pub fn allow_other_owner(mut self, allow: bool) -> Self {
        self.allow_other_owner = allow;
        self
    }

    /// How durable a write is when it returns. Default: [`Durability::Synced`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long opening waits for a store that is open elsewhere. Default: zero, fail at once with [`Error::Locked`].
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How long a write waits for flushes that have fallen behind, before [`Error::Timeout`]. Default: 30 s.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// The largest encoded request in bytes. Default and maximum: 32 MiB, half a log segment, of which the log itself
    /// takes 256 bytes.
    ///
    /// Differs from etcd: its `--max-request-bytes` is 1.5 MiB by default.
    #[must_use]
    pub fn request_bytes_max(mut self, bytes: usize) -> Self {
        self.request_bytes_max = bytes;
        self
    }

    /// How many operations a txn may have, counted as etcd counts them: of each level its longest list of compares or
    /// operations, and what a level leaves over bounds those nested in it. Default: no limit.
    ///
    /// Differs from etcd: its `--max-txn-ops` is 128 by default.
    #[must_use]
    pub fn txn_ops_max(mut self, count: usize) -> Self {
        self.txn_ops_max = count;
        self
    }

    /// How deep txns may nest. Default and maximum: 128, the most that etcd's limit of operations lets through.
    #[must_use]
    pub fn txn_depth_max(mut self, depth: usize) -> Self {
        self.txn_depth_max = depth;
        self
    }

    /// How many keys one delete or txn may change; beyond, it is [`Error::TooLarge`] and nothing is done. A lease ends
    /// however many keys it holds. Default: a million.
    ///
    /// Differs from etcd: it has no such bound for `DeleteRangeRequest` and `TxnRequest`, and stalls meanwhile.
    #[must_use]
    pub fn command_changes_max(mut self, count: usize) -> Self {
        self.command_changes_max = count;
        self
    }

    /// How many watches may be open at once. Default: a million.
    #[must_use]
    pub fn watches_max(mut self, count: usize) -> Self {
        self.watches_max = count;
        self
    }

    /// How many bytes live data and history may take before growing writes (puts, grants, txns with a put) are
    /// [`Error::Full`]. Zero, the default, is no quota. [`Stats::live_bytes`](crate::Stats::live_bytes) is what counts.
    ///
    /// Differs from etcd: unlike `--quota-backend-bytes` it raises no alarm. What is over the quota fails, deletes and
    /// compaction go on, and once they have made room writes work again; nobody disarms anything. Space that compaction
    /// has freed counts as free at once.
    #[must_use]
    pub fn quota_bytes(mut self, bytes: u64) -> Self {
        self.quota_bytes = bytes;
        self
    }

    /// The shortest lease: what is granted when less is asked for. Default and minimum: 1 ms.
    ///
    /// Differs from etcd: it grants no `LeaseGrantRequest.TTL` below one and a half election timeouts, 2 s by default.
    #[must_use]
    pub fn min_ttl(mut self, ttl: Duration) -> Self {
        self.min_ttl = ttl;
        self
    }

    /// Whether a range with `keys_only` tells the lease of each key. Default: true, as etcd 3.6 did.
    ///
    /// Differs from etcd: 3.7 leaves `KeyValue.lease` zero in the answer to `RangeRequest.keys_only`, unless the range
    /// is sorted by value; false gives that.
    #[must_use]
    pub fn keys_only_lease(mut self, tell: bool) -> Self {
        self.keys_only_lease = tell;
        self
    }

    /// How long a snapshot handle may be used before it ends with [`Error::Compacted`] and lets go of the memory and
    /// files that it pins. Default: for ever.
    #[must_use]
    pub fn max_snapshot_age(mut self, age: Duration) -> Self {
        self.max_snapshot_age = Some(age);
        self
    }

    /// How many operations with an id are remembered; the oldest are forgotten first. Default: 100,000, which take about
    /// 200 bytes each in memory, and their answers 16 MiB at most together. At least 1.
    #[must_use]
    pub fn operation_ids_max(mut self, count: usize) -> Self {
        self.operation_ids_max = count;
        self
    }

    /// How long an operation with an id is remembered, by the times at which operations were ordered; a clock that goes
    /// backward counts as one that stands still. Default: 10 minutes.
    #[must_use]
    pub fn operation_ids_age(mut self, age: Duration) -> Self {
        self.operation_ids_age = age;
        self
    }

    /// How many bytes of an operation's answer are remembered. Of a longer one keys and values are left out, and if that
    /// does not do, the answers inside a txn. Default: 64 KiB.
    #[must_use]
    pub fn operation_result_bytes_max(mut self, bytes: usize) -> Self {
        self.operation_result_bytes_max = bytes;
        self
    }

    /// How many cursors there may be; one more is [`Error::Full`]. Default: 1,024.
    #[must_use]
    pub fn cursors_max(mut self, count: usize) -> Self {
        self.cursors_max = count;
        self
    }

    /// How many bytes of history cursors may keep from being compacted, all together and about: beyond, the one furthest
    /// behind lapses. Looked at when a compaction is ordered, and after flushes and merges. Default: 1 GiB.
    #[must_use]
    pub fn cursor_hold_bytes(mut self, bytes: u64) -> Self {
        self.cursor_hold_bytes = bytes;
        self
    }

    /// How many bytes of changes are kept in memory before they become a run: more makes fewer and larger runs, and a
    /// longer replay after a crash. From 1 MiB to 1 GiB, the nearest of which is taken. Default: 32 MiB.
    #[must_use]
    pub fn memtable_bytes(mut self, bytes: usize) -> Self {
        self.tuning.memtable_bytes = bytes.clamp(1 << 20, 1 << 30);
        self
    }

    /// Is told what background work and recovery met.
    #[must_use]
    pub fn log_hook(mut self, hook: impl Fn(&LogEvent) + Send + Sync + 'static) -> Self {
        self.log_hook = Some(Arc::new(hook));
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let bad = |what| Err(Error::InvalidArgument(Invalid::Argument(what)));
        let frame_max = usize::try_from(self.tuning.segment_bytes / 2).unwrap_or(usize::MAX);
        if self.request_bytes_max == 0 || self.request_bytes_max > frame_max {
            return bad("request_bytes_max must be from 1 byte to half a log segment");
        }
        if self.txn_depth_max > 128 {
            return bad("txn_depth_max must be at most 128");
        }
        if self.min_ttl < Duration::from_millis(1) {
            return bad("min_ttl must be at least 1 ms");
        }
        if self.operation_ids_max == 0 {
            return bad("operation_ids_max must be at least 1");
        }
        if self.command_changes_max == 0 || self.txn_ops_max == 0 || self.watches_max == 0 {
            return bad("command_changes_max, txn_ops_max and watches_max must be at least 1");
        }
        Ok(())
    }

    /// Tells the hook. Who meets an event tells [`trace::log_event`](crate::trace::log_event), too: the hook may have to
    /// wait until no lock is held.
    pub(crate) fn tell(&self, event: &LogEvent) {
        if let Some(hook) = &self.log_hook {
            hook(event);
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("create", &self.create)
            .field("read_only", &self.read_only)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
