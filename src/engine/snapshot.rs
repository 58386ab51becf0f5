//! Reads: at the visible revision, at a past one, and over a view that pins what it reads. Handles that hold such a view
//! for long are in `pin.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::Engine;
use crate::engine::apply::{self, check_revision};
use crate::engine::fence::asks_for_leases;
use crate::engine::query::{Answer, scans_backward};
use crate::engine::state::State;
use crate::error::{Error, Result};
use crate::kv::{KeyValue, Revision};
use crate::op::{Range, RangeResponse, Txn, TxnResponse, check_key};
use crate::store::entry::SPACE_USER;
use crate::store::key::bounds;
use crate::store::{Scan, Version};

/// A read view pinned at a revision: it answers as of then for as long as it lives, also after compaction passed it.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) version: Arc<Version>,
    /// The revision that it reads at.
    pub(crate) revision: u64,
    /// The compact revision when it was taken.
    pub(crate) compacted: u64,
    /// The store's revision when it was taken, which responses report.
    pub(crate) current: u64,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View(at {})", self.revision)
    }
}

impl Engine {
    /// Pins the latest visible state.
    ///
    /// The revision is read first: the other order could miss a memtable that was rotated in between. If a compaction
    /// beyond it has been carried out meanwhile, a newer revision is visible, and one begins again.
    pub(crate) fn view(&self) -> View {
        loop {
            let revision = self.visible.load(Ordering::Acquire);
            let version = self.version.load_full();
            if version.compacted <= revision {
                let compacted = self.compacted.load(Ordering::Acquire);
                return View { version, revision, compacted, current: revision };
            }
        }
    }

    /// Pins the state at `at`; zero is the latest.
    pub(crate) fn view_at(&self, at: Revision) -> Result<View> {
        let view = self.view();
        view.at(at)
    }

    /// The key's live version at the visible revision: the shortest way through the read path.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<KeyValue>> {
        self.get_visible(key).map(|(found, _)| found)
    }

    /// The same, and the revision that it is as of.
    pub(crate) fn get_visible(&self, key: &[u8]) -> Result<(Option<KeyValue>, Revision)> {
        check_key(key)?;
        self.check_open()?;
        let mut stored = smallvec::SmallVec::<[u8; 128]>::with_capacity(key.len() + 1);
        stored.push(SPACE_USER);
        stored.extend_from_slice(key);
        loop {
            let revision = self.visible.load(Ordering::Acquire);
            let version = self.version.load();
            if version.compacted <= revision {
                let found = version.get(&stored, revision)?;
                let live = found.filter(|entry| !entry.tombstone).map(|entry| entry.to_kv());
                return Ok((live, Revision::new(revision)));
            }
        }
    }
}

impl Engine {
    /// Runs a txn that can only read, on the latest visible state.
    pub(crate) fn read_txn(&self, txn: &Txn) -> Result<TxnResponse> {
        self.check_open()?;
        if asks_for_leases(txn) {
            return self.read_frozen(txn);
        }
        let view = self.view();
        let mut state = State::new(0);
        state.revision = view.revision;
        state.compact_revision = Some(view.compacted);
        apply::read(&state, &view.version, txn)
    }

    /// Runs a txn that asks for leases on a read-only store, whose time stands still: what was overdue at the open, and
    /// cannot end, counts as ended.
    fn read_frozen(&self, txn: &Txn) -> Result<TxnResponse> {
        let mut state = self.core.lock().state.clone();
        let now = self.lease_now();
        state.leases.retain(|id, _| !self.lessor.is_due(*id, now));
        apply::read(&state, &self.version.load(), txn)
    }
}

impl View {
    /// The same pinned state at another revision that it holds.
    pub(crate) fn at(&self, at: Revision) -> Result<View> {
        check_revision(at, self.revision, self.compacted.max(self.version.compacted))?;
        let mut view = self.clone();
        if at != Revision::ZERO {
            view.revision = at.get();
        }
        Ok(view)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<KeyValue>> {
        check_key(key)?;
        let stored = crate::store::key::user_key(key);
        let found = self.version.get(&stored, self.revision)?;
        Ok(found.filter(|entry| !entry.tombstone).map(|entry| entry.to_kv()))
    }

    /// The live keys of a range request, unfiltered, in the direction that it wants.
    pub(crate) fn scan(&self, query: &Range) -> Result<Scan> {
        self.version.scan(bounds(&query.range), self.revision, scans_backward(query))
    }

    /// The whole answer to a range request whose revision this view is pinned at.
    pub(crate) fn query(&self, query: &Range) -> Result<RangeResponse> {
        let mut scan = self.scan(query)?;
        let mut answer = Answer::new(query);
        while let Some(entry) = scan.next()? {
            if !answer.add(&entry) {
                break;
            }
        }
        Ok(answer.finish(self.current))
    }

    /// How many live keys a range request's range holds, whatever its limit and filters say.
    pub(crate) fn count(&self, query: &Range) -> Result<u64> {
        let counting = query.clone().count_only();
        self.query(&counting)?.count.ok_or(Error::Canceled)
    }
}
