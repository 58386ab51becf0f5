//! Snapshots, and walking the keys of a range.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::pin::Pin;
use crate::engine::query::project;
use crate::engine::snapshot::View;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::kv::{KeyValue, Revision};
use crate::op::{Range, SortTarget};
use crate::store::Scan;

/// A read view pinned at a revision; see [`Db::snapshot`](crate::Db::snapshot). It costs the memtable and the files
/// that it pins. etcd has nothing like it: a past revision can be read there until it is compacted.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) engine: Arc<Engine>,
    pub(super) pin: Arc<Pin>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({})", self.pin.revision())
    }
}

impl Snapshot {
    /// The revision that it reads at; a watch from the next one continues it without a gap.
    pub fn revision(&self) -> Revision {
        Revision::new(self.pin.revision())
    }

    fn view(&self) -> Result<View> {
        self.engine.pinned_view(&self.pin)
    }

    /// As [`Db::get_at`](crate::Db::get_at).
    ///
    /// # Errors
    /// As [`Db::get`](crate::Db::get).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<KeyValue>> {
        self.view()?.get(key.as_ref())
    }

    /// As [`Db::range`](crate::Db::range); a request at another revision is answered as of that one, if this snapshot
    /// holds it.
    ///
    /// # Errors
    /// As [`Db::range`](crate::Db::range).
    pub fn range(&self, range: impl Into<Range>) -> Result<RangeIter> {
        let mut range = range.into();
        range.check()?;
        range.blank_lease = !self.engine.options.keys_only_lease;
        RangeIter::new(self.engine.clone(), self.view()?.at(range.at)?, range)
    }

    /// How many keys a range holds.
    ///
    /// # Errors
    /// As [`Db::range`](crate::Db::range).
    pub fn count(&self, range: impl Into<Range>) -> Result<u64> {
        let range = range.into();
        range.check()?;
        self.view()?.at(range.at)?.count(&range)
    }
}

/// Walks the keys of a range; see [`Db::range`](crate::Db::range). Pins what it reads from until dropped.
pub struct RangeIter {
    engine: Arc<Engine>,
    view: View,
    range: Range,
    source: Keys,
    given: u64,
    more: bool,
    /// How many bytes at the beginning of each key are not told.
    hidden_len: usize,
}

enum Keys {
    /// In key order, straight from the store.
    Scan(Box<Scan>),
    /// Sorted in memory.
    Sorted(std::vec::IntoIter<KeyValue>),
    Done,
}

impl RangeIter {
    pub(super) fn new(engine: Arc<Engine>, view: View, range: Range) -> Result<Self> {
        let mut iter = RangeIter { engine, view, range, source: Keys::Done, given: 0, more: false, hidden_len: 0 };
        if iter.range.count_only {
            return Ok(iter);
        }
        if iter.range.sort.0 == SortTarget::Key {
            iter.source = Keys::Scan(Box::new(iter.view.scan(&iter.range)?));
        } else {
            let response = iter.view.query(&iter.range)?;
            iter.more = response.more;
            iter.source = Keys::Sorted(response.kvs.into_iter());
        }
        Ok(iter)
    }

    /// Leaves out so many bytes at the beginning of each key, which all keys of the range have.
    pub(crate) fn hide(mut self, len: usize) -> Self {
        self.hidden_len = len;
        self
    }

    /// The store's revision when the range was read.
    pub fn revision(&self) -> Revision {
        Revision::new(self.view.current)
    }

    /// How many keys the range holds, whatever limit and filters say. Computed now, on the same view.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`].
    pub fn total(&self) -> Result<u64> {
        self.view.count(&self.range)
    }

    /// After the last key: whether the limit cut something off.
    pub fn more(&self) -> bool {
        self.more
    }

    fn step(&mut self) -> Result<Option<KeyValue>> {
        self.engine.check_open()?;
        let scan = match &mut self.source {
            Keys::Done => return Ok(None),
            Keys::Sorted(sorted) => return Ok(sorted.next()),
            Keys::Scan(scan) => scan,
        };
        while let Some(entry) = scan.next()? {
            if !self.range.passes_filters(entry.create_revision, entry.mod_revision) {
                continue;
            }
            if self.range.limit != 0 && self.given == self.range.limit {
                self.more = true;
                break;
            }
            self.given += 1;
            return Ok(Some(project(&self.range, &entry)));
        }
        self.source = Keys::Done;
        Ok(None)
    }
}

impl std::fmt::Debug for RangeIter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RangeIter(at {})", self.view.revision)
    }
}

impl Iterator for RangeIter {
    type Item = Result<KeyValue>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Ok(found) => found.map(|mut kv| {
                kv.hide(self.hidden_len);
                Ok(kv)
            }),
            Err(error) => {
                self.source = Keys::Done;
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for RangeIter {}
