//! A prefix as a map that follows the store: loaded once, then kept up to date by a watch, and loaded anew when a
//! compaction was faster. What came of that is told as changes, so nobody who follows a state ever has a gap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::kv::{Event, EventKind, KeyRange, KeyValue, Revision};
use crate::watch::{Watch, WatchBatch, WatchCanceller};

/// What has become of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Put(KeyValue),
    Removed(Bytes),
}

/// The keys of a prefix as of a revision.
#[derive(Debug)]
pub(super) struct Follower {
    db: Db,
    range: KeyRange,
    watch: Watch,
    entries: BTreeMap<Bytes, KeyValue>,
    revision: Revision,
    canceller: FollowCanceller,
}

/// Cancels what follows a prefix, from another thread, whatever watch it reads by then.
#[derive(Clone, Debug)]
pub struct FollowCanceller {
    /// Taken alone, for a moment.
    current: Arc<Mutex<Current>>,
}

#[derive(Debug)]
struct Current {
    watch: Arc<WatchCanceller>,
    canceled: bool,
}

impl FollowCanceller {
    fn new(watch: &Watch) -> Self {
        let current = Current { watch: Arc::new(watch.canceller()), canceled: false };
        FollowCanceller { current: Arc::new(Mutex::new(current)) }
    }

    /// Ends it: who waits for a change, or asks next, gets [`Error::Canceled`]. Does not wait for that.
    pub fn cancel(&self) {
        let watch = {
            let mut current = self.current.lock();
            current.canceled = true;
            current.watch.clone()
        };
        watch.cancel();
    }

    /// Another watch is read from now on.
    fn replace(&self, watch: &Watch) {
        let canceled = {
            let mut current = self.current.lock();
            current.watch = Arc::new(watch.canceller());
            current.canceled
        };
        if canceled {
            watch.canceller().cancel();
        }
    }
}

impl Follower {
    pub(super) fn new(db: &Db, prefix: &[u8]) -> Result<Self> {
        let range = KeyRange::prefix(prefix);
        let (entries, watch) = load(db, &range)?;
        let revision = watch.start_revision() - 1;
        let canceller = FollowCanceller::new(&watch);
        Ok(Follower { db: db.clone(), range, watch, entries, revision, canceller })
    }

    /// The keys now, as far as this has come.
    pub(super) fn entries(&self) -> &BTreeMap<Bytes, KeyValue> {
        &self.entries
    }

    /// As of when the entries are.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn canceller(&self) -> FollowCanceller {
        self.canceller.clone()
    }

    /// The next changes by this way of asking the watch; `None` if it has none.
    pub(super) fn step(
        &mut self,
        next: impl Fn(&mut Watch) -> Result<Option<WatchBatch>>,
    ) -> Result<Option<Vec<Change>>> {
        loop {
            match next(&mut self.watch) {
                Ok(Some(batch)) => return Ok(Some(self.apply(batch))),
                Ok(None) => return Ok(None),
                Err(Error::Compacted { .. }) => {
                    let changes = self.reload()?;
                    if !changes.is_empty() {
                        return Ok(Some(changes));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// As [`Follower::step`], for who waits for several things.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Vec<Change>>>> {
        loop {
            match self.watch.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Ok(batch))) => return Poll::Ready(Some(Ok(self.apply(batch)))),
                Poll::Ready(Some(Err(Error::Compacted { .. }))) => match self.reload() {
                    Ok(changes) if changes.is_empty() => {}
                    changes => return Poll::Ready(Some(changes)),
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn apply(&mut self, batch: WatchBatch) -> Vec<Change> {
        self.revision = batch.revision();
        batch.into_events().into_iter().map(|event| self.note(event)).collect()
    }

    fn note(&mut self, event: Event) -> Change {
        match event.kind {
            EventKind::Put => {
                self.entries.insert(event.kv.key.clone(), event.kv.clone());
                Change::Put(event.kv)
            }
            EventKind::Delete => {
                self.entries.remove(&event.kv.key);
                Change::Removed(event.kv.key)
            }
        }
    }

    /// Loads anew and tells what is different.
    fn reload(&mut self) -> Result<Vec<Change>> {
        let (entries, watch) = load(&self.db, &self.range)?;
        let removed = self.entries.keys().filter(|key| !entries.contains_key(*key)).cloned().map(Change::Removed);
        let put = entries.values().filter(|kv| self.entries.get(&kv.key) != Some(kv)).cloned().map(Change::Put);
        let changes = removed.chain(put).collect();
        self.revision = watch.start_revision() - 1;
        self.canceller.replace(&watch);
        (self.entries, self.watch) = (entries, watch);
        Ok(changes)
    }
}

fn load(db: &Db, range: &KeyRange) -> Result<(BTreeMap<Bytes, KeyValue>, Watch)> {
    let (loaded, watch) = db.load_and_watch(range.clone())?;
    Ok((loaded.into_iter().map(|kv| (kv.key.clone(), kv)).collect(), watch))
}
