//! What the bindings for other languages need of a store beyond its verbs. Hidden: Rust programs have no use for it.

use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use crate::db::Db;
use crate::error::Result;
use crate::kv::{KeyRange, KeyValue, LeaseId, Revision};
use crate::op::{OpResponse, Range, RangeResponse, TxnResponse};
use crate::watch::{Watch, WatchCanceller};

/// How many forks lie between this process and the one that first asked. A load, once that is done.
pub fn forks() -> u64 {
    crate::io::thread::forks()
}

/// Takes no more writes until the store is reopened: a call on it panicked, and nobody knows what it left half done.
pub fn poison(db: &Db) {
    db.engine().poison_by_panic("a call");
}

/// Has `waker` woken, once, as soon as `next` of the watch may have something to return; true if that is so already. A
/// watch knows one waker: the one that was given last, here or by [`Watch::poll`]. For who waits for a watch that another
/// thread may be reading.
pub fn wake_when_ready(watch: &WatchCanceller, waker: &Waker) -> bool {
    watch.register(waker)
}

/// [`Watch::progress`], for who asks while another thread may be reading the watch. What that one has taken counts,
/// whether or not it has been told of.
pub fn watch_progress(watch: &WatchCanceller) -> Revision {
    watch.progress()
}

/// About how many bytes a watch's batches have at most from now on: see
/// [`WatchBuilder::batch_bytes`](crate::WatchBuilder::batch_bytes). Returns what it was before.
pub fn set_batch_bytes(watch: &mut Watch, bytes: usize) -> usize {
    watch.set_batch_bytes(bytes)
}

/// The key as of `at`, zero being the latest, and the store's revision when it was read.
///
/// # Errors
/// As [`Db::get_at`].
pub fn get(db: &Db, key: &[u8], at: Revision) -> Result<(Option<KeyValue>, Revision)> {
    if at == Revision::ZERO {
        return db.engine().get_visible(key);
    }
    let found = db.query(Range::new(key).at(at))?;
    Ok((found.kvs.into_iter().next(), found.revision))
}

/// The end of the range of all keys that begin with `prefix`, as etcd's `range_end` spells it.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    KeyRange::prefix(prefix).into_wire().1
}

/// What is left of a lease, and what was granted; reads no keys.
///
/// # Errors
/// As [`Lease::time_to_live`](crate::Lease::time_to_live).
pub fn lease_time(db: &Db, id: LeaseId) -> Result<Option<(Duration, Duration)>> {
    Ok(db.engine().time_to_live(id, false)?.map(|(time, _)| (time.remaining, time.terms.ttl)))
}

/// Whether the store is open. A load.
///
/// # Errors
/// [`Error::Closed`](crate::Error::Closed).
pub fn check_open(db: &Db) -> Result<()> {
    db.engine().check_open()
}

/// [`Db::leader`], with the revision at which that was so.
///
/// # Errors
/// As [`Db::query`].
pub fn leader(db: &Db, name: &[u8]) -> Result<RangeResponse> {
    db.query(crate::coordination::leader_of(name))
}

/// Whether a txn may have changed something.
pub fn may_have_written(txn: &TxnResponse) -> bool {
    txn.responses.iter().any(OpResponse::may_have_written)
}

/// Merges all that is in memory and in runs into one run, as far as the limit of a run's size allows; history below the
/// compact revision goes. Nobody needs it: it is done in the background as far as it is worth it.
///
/// # Errors
/// As [`Db::flush`]; [`Error::Corrupt`](crate::Error::Corrupt).
pub fn defragment(db: &Db) -> Result<()> {
    db.engine().check_open()?;
    db.engine().reclaim()
}
