//! `Db`: open, close and every public verb, each a few lines that build an operation and submit it.

mod batch;
mod cursor;
mod fence;
pub(crate) mod keeper;
mod lease;
#[cfg(feature = "metrics")]
mod metrics;
mod open;
mod operation;
pub(crate) mod signal;
mod snapshot;
mod txn;
mod whole;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::coordination::Lines;
use crate::db::keeper::Keeper;
use crate::engine::Engine;
use crate::engine::apply::Response;
use crate::engine::backup::BackupOptions;
use crate::engine::command::Kind;
use crate::engine::dump::DumpOptions;
use crate::engine::inspect::{HashResponse, Health, Stats};
use crate::engine::snapshot::View;
use crate::engine::verify::{CheckOptions, CheckReport};
use crate::error::{Error, Result};
use crate::kv::{KeyRange, KeyValue, LeaseId, Revision};
use crate::op::{Delete, DeleteResponse, GrantOptions, Put, PutOptions, PutResponse, Range, RangeResponse, check_key};
use crate::options::{LogEvent, Options};
use crate::trace;
use crate::watch::WatchBuilder;

pub use batch::{BatchOp, BatchResponse};
pub use cursor::{Cursor, CursorBuilder, CursorStatus};
pub use fence::Fenced;
pub use lease::{Lease, LeaseStatus};
pub use operation::Operation;
pub use snapshot::{RangeIter, Snapshot};
pub use txn::DbTxn;

/// An open store. Cheap to clone and shared between threads; the last clone closes it. A [`Lease`] and a [`DbTxn`] hold
/// a clone each.
///
/// ```
/// # fn main() -> etclite::Result<()> {
/// use etclite::{Compare, Db, Put, prefix};
/// let db = Db::in_memory()?;
/// let revision = db.put("config/a", "1")?.revision;
/// assert_eq!(db.get("config/a")?.expect("just put").value, "1");
/// let txn = db.txn().when([Compare::version("config/b").eq(0)]).then([Put::new("config/b", "2")]);
/// assert!(txn.commit()?.succeeded);
/// let keys: Vec<_> = db.range(prefix("config/"))?.map(|kv| Ok(kv?.key)).collect::<etclite::Result<_>>()?;
/// assert_eq!(keys, ["config/a", "config/b"]);
/// assert_eq!(db.range(etclite::Range::new("config/b").at(revision))?.count(), 0);
/// db.close()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Db {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    engine: Arc<Engine>,
    keeper: Arc<Keeper>,
    lines: Lines,
}

impl Handle {
    fn new(engine: Arc<Engine>) -> Self {
        let keeper = Arc::new(Keeper::new(engine.clock.alarm()));
        Handle { engine, keeper, lines: Lines::default() }
    }

    fn close(&self) -> Result<()> {
        self.engine.check_fork()?;
        // The engine first: who is told that a session is lost then finds out why.
        let closed = self.engine.close();
        self.keeper.close();
        closed
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            let event = LogEvent::Close(error);
            trace::log_event(&event);
            self.engine.options.tell(&event);
        }
    }
}

impl Db {
    /// Opens the store in the directory `path`, creating it if it does not exist, with default [`Options`]. Everything
    /// that was acknowledged before is there again, whatever ended the process that wrote it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().expect("a place for the example");
    /// # let path = dir.path().join("app.etcl");
    /// let db = etclite::Db::open(&path)?;
    /// db.put("greeting", "hello")?;
    /// db.close()?;
    /// assert!(etclite::Db::open(&path)?.get("greeting")?.is_some());
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Locked`] if it is open elsewhere, in this process too; [`Error::Corrupt`] if something that was durable
    /// is damaged or gone; [`Error::NotADatabase`] if the path holds something else; [`Error::FormatTooNew`];
    /// [`Error::Io`]; [`Error::Full`] if the disk has no room for a new log segment.
    pub fn open(path: impl AsRef<Path>) -> Result<Db> {
        Options::new().open(path)
    }

    /// Opens a new store that lives in memory only: the same engine, the same answers, nothing left after the last
    /// handle. [`Db::backup`] writes it to disk.
    ///
    /// # Errors
    /// None in practice: it opens on an empty disk in memory.
    pub fn in_memory() -> Result<Db> {
        Options::new().in_memory()
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.handle.engine
    }

    /// What keeps leases alive.
    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.handle.keeper
    }

    /// Who stands in line for what.
    pub(crate) fn lines(&self) -> &Lines {
        &self.handle.lines
    }

    /// Puts `value` at `key`, without a lease. Durable on return as [`Options::durability`] says; one revision.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// let first = db.put("a", "1")?.revision;
    /// let second = db.put("a", "2")?.revision;
    /// assert_eq!(second, first + 1);
    /// assert_eq!(db.get_at("a", first)?.expect("history is kept").value, "1");
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty key, [`Error::TooLarge`], [`Error::Full`], [`Error::Timeout`],
    /// [`Error::ReadOnly`], [`Error::Closed`], [`Error::Poisoned`]: nothing was written. [`Error::Indeterminate`]: the
    /// write failed on its way to the disk and may be there after a reopen.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<PutResponse> {
        self.put_op(key.as_ref(), value.as_ref(), PutOptions::new())
    }

    /// Puts with a lease, or keeping value or lease, or returning the previous key-value; as etcd's `Put`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::PutOptions;
    /// let lease = db.grant(std::time::Duration::from_secs(10))?;
    /// db.put_with("service/a", "10.0.0.1", PutOptions::new().lease(lease.id()))?;
    /// let prev = db.put_with("service/a", "10.0.0.2", PutOptions::new().ignore_lease().prev_kv())?.prev;
    /// assert_eq!(prev.expect("it was there").value, "10.0.0.1");
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::put`], and [`Error::LeaseNotFound`].
    pub fn put_with(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: PutOptions) -> Result<PutResponse> {
        self.put_op(key.as_ref(), value.as_ref(), options)
    }

    fn put_op(&self, key: &[u8], value: &[u8], options: PutOptions) -> Result<PutResponse> {
        let put = self.checked_put(key, value, options)?;
        Ok(self.engine().submit_put(put, None)?.0)
    }

    fn checked_put(&self, key: &[u8], value: &[u8], options: PutOptions) -> Result<Put> {
        check_key(key)?;
        // Before anything is copied (RV-08).
        self.engine().check_request_bytes(key.len().saturating_add(value.len()))?;
        let put = Put::with(key, value, options);
        put.check()?;
        Ok(put)
    }

    /// The key's latest value, or `None`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// assert_eq!(db.get("a")?, None);
    /// db.put("a", "1")?;
    /// let kv = db.get("a")?.expect("just put");
    /// assert_eq!((&kv.value[..], kv.version), (&b"1"[..], 1));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty key; [`Error::Io`] or [`Error::Corrupt`] if it cannot be read;
    /// [`Error::Closed`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<KeyValue>> {
        self.engine().get(key.as_ref())
    }

    /// The key as of `revision`, or `None`; zero is the latest.
    ///
    /// # Errors
    /// As [`Db::get`], and [`Error::Compacted`] or [`Error::FutureRevision`].
    pub fn get_at(&self, key: impl AsRef<[u8]>, revision: impl Into<Revision>) -> Result<Option<KeyValue>> {
        check_key(key.as_ref())?;
        self.engine().check_open()?;
        self.engine().view_at(revision.into())?.get(key.as_ref())
    }

    /// Walks the keys of a range as of one revision, in constant memory unless it must be sorted by something else than
    /// the key; as etcd's `Range`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Range, prefix};
    /// db.put("config/a", "1")?;
    /// db.put("config/b", "2")?;
    /// for kv in db.range(Range::new(prefix("config/")).reverse().limit(10))? {
    ///     let kv = kv?;
    ///     println!("{:?} = {:?}, changed at {}", kv.key, kv.value, kv.mod_revision);
    /// }
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::get_at`]; while walking, each item may be [`Error::Io`] or [`Error::Corrupt`].
    pub fn range(&self, range: impl Into<Range>) -> Result<RangeIter> {
        let mut range = range.into();
        let view = self.view_for(&mut range)?;
        RangeIter::new(self.engine().clone(), view, range)
    }

    /// The whole answer to a range request at once, with `more` and `count`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Range, prefix};
    /// db.put("a", "1")?;
    /// db.put("b", "2")?;
    /// let page = db.query(Range::new(prefix("")).limit(1).with_count())?;
    /// assert_eq!((page.kvs.len(), page.more, page.count), (1, true, Some(2)));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::range`].
    pub fn query(&self, range: impl Into<Range>) -> Result<RangeResponse> {
        let mut range = range.into();
        let view = self.view_for(&mut range)?;
        let mut response = view.query(&range)?;
        if range.with_count && response.count.is_none() {
            response.count = Some(view.count(&range)?);
        }
        Ok(response)
    }

    /// How many keys a range holds now.
    ///
    /// # Errors
    /// As [`Db::range`].
    pub fn count(&self, range: impl Into<Range>) -> Result<u64> {
        let mut range = range.into();
        self.view_for(&mut range)?.count(&range)
    }

    /// What a range request reads; its shape is checked before its revision.
    fn view_for(&self, range: &mut Range) -> Result<View> {
        range.check()?;
        range.blank_lease = !self.engine().options.keys_only_lease;
        self.engine().check_open()?;
        self.engine().view_at(range.at)
    }

    /// Deletes a key, or the keys of a range, in one revision; as etcd's `DeleteRange`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// db.put("tmp/a", "1")?;
    /// db.put("tmp/b", "2")?;
    /// assert_eq!(db.delete(etclite::prefix("tmp/"))?.deleted, 2);
    /// assert_eq!(db.delete("tmp/a")?.deleted, 0);
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// Differs from etcd: it deletes at most [`Options::command_changes_max`] keys.
    ///
    /// # Errors
    /// As [`Db::put`]; [`Error::TooLarge`] if more than [`Options::command_changes_max`] keys would go.
    pub fn delete(&self, range: impl Into<KeyRange>) -> Result<DeleteResponse> {
        self.delete_with(Delete::new(range))
    }

    /// Deletes and, if asked, returns what was deleted.
    ///
    /// # Errors
    /// As [`Db::delete`].
    pub fn delete_with(&self, delete: Delete) -> Result<DeleteResponse> {
        check_key(&delete.range.start)?;
        match self.engine().submit(Kind::Delete(delete))? {
            Response::Delete(response) => Ok(response),
            other => unreachable!("a delete answers {other:?}"),
        }
    }

    /// Drops history below `revision`, which itself stays readable; as etcd's `Compact`. Durable on return; space comes
    /// back lazily. As in etcd, zero is accepted once, on a store that was never compacted.
    ///
    /// History that a live [`Cursor`] has not consumed is held back: it goes as the cursors advance, without being asked for
    /// again. [`CompactResponse::compact_revision`] says how far it is by now.
    ///
    /// Differs from etcd: all changes of `CompactionRequest.revision` itself are kept, so that a watch from there gets
    /// each of its events. Of a key that was deleted and put again in that revision etcd keeps one change.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// let revision = db.put("a", "2")?.revision;
    /// db.compact(revision)?;
    /// assert!(matches!(db.get_at("a", revision - 1), Err(etclite::Error::Compacted { .. })));
    /// assert_eq!(db.get_at("a", revision)?.expect("still readable").value, "2");
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::put`]; [`Error::Compacted`] if it is not above the compact revision; [`Error::FutureRevision`].
    pub fn compact(&self, revision: impl Into<Revision>) -> Result<CompactResponse> {
        match self.engine().submit(Kind::Compact { revision: revision.into() })? {
            Response::Done(revision) => Ok(CompactResponse { revision, compact_revision: self.follow_compaction() }),
            other => unreachable!("a compaction answers {other:?}"),
        }
    }

    /// What a compaction leaves to be done; the compact revision in effect after it.
    fn follow_compaction(&self) -> Revision {
        // The compaction is done; a failure here shows with the next write.
        let _ = self.engine().lapse_in_time();
        self.engine().kick_merge();
        self.engine().compact_revision()
    }

    /// As [`Db::compact`], and returns once the space of what was dropped is given back; as etcd's
    /// `CompactionRequest.physical`.
    ///
    /// # Errors
    /// As [`Db::compact`]. [`Error::NotReclaimed`], with the cause as its source, once the compaction is in effect and
    /// giving back its space fails: the disk has no room for the runs that replace the old ones, say.
    pub fn compact_physical(&self, revision: impl Into<Revision>) -> Result<CompactResponse> {
        let response = self.compact(revision)?;
        self.engine().reclaim().map_err(|cause| Error::NotReclaimed(Arc::new(cause)))?;
        Ok(response)
    }

    /// Grants a lease of `ttl`, rounded up to whole milliseconds and to [`Options::min_ttl`], under a random id.
    /// Keys that are put with it go when it ends, unless it is kept alive.
    ///
    /// Differs from etcd: `LeaseGrantRequest.TTL` is in seconds and has a floor of 2 s by default. And what is left of
    /// a lease survives a restart, where etcd starts its time anew: the time that the store was closed counts, by the
    /// clock of the host's boot, or after a reboot by the wall clock. Only a lease that was kept alive when its process
    /// died gets its whole time again, as nobody can tell how much of it was left.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::PutOptions;
    /// let lease = db.grant(std::time::Duration::from_secs(10))?;
    /// db.put_with("alive", "", PutOptions::new().lease(lease.id()))?;
    /// lease.keep_alive()?;
    /// lease.revoke()?;
    /// assert_eq!(db.get("alive")?, None);
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::put`]; [`Error::TooLarge`] above 9,000,000,000 s.
    pub fn grant(&self, ttl: Duration) -> Result<Lease> {
        self.grant_with(GrantOptions::new(ttl))
    }

    /// Grants a lease under an id of the caller's.
    ///
    /// # Errors
    /// As [`Db::grant`]; [`Error::LeaseExists`].
    pub fn grant_with_id(&self, id: impl Into<LeaseId>, ttl: Duration) -> Result<Lease> {
        self.grant_with(GrantOptions::new(ttl).id(id))
    }

    /// A handle on a lease by id, which need not exist: using it says so.
    pub fn lease(&self, id: impl Into<LeaseId>) -> Lease {
        Lease { db: self.clone(), id: id.into(), granted: None }
    }

    /// All leases, by the time they end and then by id; as etcd's `LeaseLeases`. Waits for writes that are under way.
    ///
    /// # Errors
    /// [`Error::Poisoned`], as leases whose end is not known are not told of; [`Error::Closed`], [`Error::Io`],
    /// [`Error::Corrupt`].
    pub fn leases(&self) -> Result<Vec<LeaseStatus>> {
        let listed = self.engine().leases()?.into_iter();
        Ok(listed
            .map(|(id, time, key_count)| LeaseStatus {
                id,
                granted: time.terms.ttl,
                remaining: time.remaining,
                key_count,
                keys: Vec::new(),
            })
            .collect())
    }

    /// Begins a watch of a range, as etcd's `WatchCreateRequest`; see [`WatchBuilder`].
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// let start = db.revision() + 1;
    /// db.put("job/1", "todo")?;
    /// let mut watch = db.watch(etclite::prefix("job/")).from(start).with_prev().start()?;
    /// let batch = watch.next().expect("the store is open")?;
    /// assert_eq!((batch.revision(), batch.events().len()), (start, 1));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn watch(&self, range: impl Into<KeyRange>) -> WatchBuilder {
        WatchBuilder::new(self.engine().hub.clone(), range.into())
    }

    /// Loads a range and watches it from the next revision on, without a gap in between: the configuration centre in
    /// one call.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// db.put("config/a", "1")?;
    /// let (loaded, mut watch) = db.load_and_watch(etclite::prefix("config/"))?;
    /// assert_eq!(loaded.len(), 1);
    /// db.put("config/a", "2")?;
    /// let batch = watch.next().expect("the store is open")?;
    /// assert_eq!(batch.events()[0].kv.value, "2");
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::range`] and [`WatchBuilder::start`].
    pub fn load_and_watch(&self, range: impl Into<KeyRange>) -> Result<(Vec<KeyValue>, crate::watch::Watch)> {
        let range = range.into();
        let snapshot = self.snapshot()?;
        let watch = self.watch(range.clone()).from(snapshot.revision() + 1).start()?;
        let loaded = snapshot.range(range)?.collect::<Result<Vec<_>>>()?;
        Ok((loaded, watch))
    }

    /// Pins the latest state for reading, for as long as the handle lives.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// let snapshot = db.snapshot()?;
    /// db.put("a", "2")?;
    /// db.compact(db.revision())?;
    /// assert_eq!(snapshot.get("a")?.expect("pinned").value, "1");
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.snapshot_at(Revision::ZERO)
    }

    /// Pins the state as of `revision`; zero is the latest.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::FutureRevision`], [`Error::Closed`].
    pub fn snapshot_at(&self, revision: impl Into<Revision>) -> Result<Snapshot> {
        self.engine().check_open()?;
        let engine = self.engine().clone();
        Ok(Snapshot { pin: engine.pin_view(revision.into())?, engine })
    }

    /// The store's revision.
    pub fn revision(&self) -> Revision {
        self.engine().revision()
    }

    /// The oldest revision that can be read; zero while nothing was compacted.
    pub fn compact_revision(&self) -> Revision {
        self.engine().compact_revision()
    }

    /// Hashes what is retained up to `revision`; zero is the latest. As etcd's `HashKV`; equal stores have equal hashes.
    ///
    /// # Errors
    /// As [`Db::get_at`].
    pub fn hash(&self, revision: impl Into<Revision>) -> Result<HashResponse> {
        self.engine().hash(revision.into())
    }

    /// Makes everything that was acknowledged so far durable: of use with a relaxed [`Options::durability`] only.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::ReadOnly`], [`Error::Closed`].
    pub fn sync(&self) -> Result<()> {
        self.engine().check_open()?;
        self.engine().writer()?;
        self.engine().write_out(true)
    }

    /// Moves everything from memory into runs, so that the next open has nothing to replay. Not needed for durability.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Poisoned`], [`Error::ReadOnly`], [`Error::Closed`].
    pub fn flush(&self) -> Result<()> {
        self.engine().check_open()?;
        self.engine().flush_all()
    }

    /// Writes a copy of the store, as of now, to the new directory `path`: history, leases and all, under a store id of
    /// its own. It appears whole or not at all; writes go on meanwhile. Works on a poisoned store too.
    ///
    /// # Errors
    /// [`Error::Io`] if the path exists or cannot be written; [`Error::Full`]; [`Error::Corrupt`] if the store cannot
    /// be read.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<Revision> {
        self.backup_with(path, &BackupOptions::default(), &mut |_, _| {})
    }

    /// Verifies every checksum and order, that leases and keys agree, that the log goes on where the runs end, and that
    /// applying it again on a copy comes to the same state. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Closed`]; what is damaged is in the report.
    pub fn check(&self) -> Result<CheckReport> {
        self.check_with(&CheckOptions::default(), &mut |_, _| {})
    }

    /// Writes the store as JSON lines: one per live key, or per retained change with history; then the leases.
    ///
    /// # Errors
    /// As [`Db::get_at`]; [`Error::Io`] if `out` fails.
    pub fn dump(&self, out: &mut dyn std::io::Write, options: &DumpOptions) -> Result<()> {
        self.engine().check_open()?;
        self.engine().dump(out, options)
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        self.engine().stats()
    }

    /// Whether reads and writes work, and what is wrong if not.
    pub fn health(&self) -> Health {
        self.engine().health()
    }

    /// Closes the store for all clones and reports what went wrong; every call from now on is [`Error::Closed`].
    /// Closing again does nothing. Dropping the last clone closes too, and tells the log hook of errors.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Full`]: what was acknowledged is durable all the same, and the next open recovers it.
    pub fn close(&self) -> Result<()> {
        self.handle.close()
    }
}

/// The answer to a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactResponse {
    /// The store's revision.
    pub revision: Revision,
    /// The compact revision in effect; below the one asked for while cursors hold it back.
    pub compact_revision: Revision,
}
