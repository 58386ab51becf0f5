//! Snapshot handles: read views that are counted, and ended when they grow too old.
//!
//! A handle pins the memtables and runs of its `Version` for as long as it lives. `Options::max_snapshot_age` bounds
//! what a forgotten one costs: too old a view is dropped, at its next use or when memtables and runs change, and its
//! handle answers `Compacted`.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::Engine;
use crate::engine::snapshot::View;
use crate::error::{Error, Result};
use crate::kv::Revision;

/// A pinned view.
#[derive(Debug)]
pub(crate) struct Pin {
    revision: u64,
    taken: Duration,
    /// Gone once it is too old.
    view: Mutex<Option<View>>,
}

/// The pinned views of a store.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    pins: Mutex<Vec<Weak<Pin>>>,
}

impl Pin {
    /// The revision that it was pinned at.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }
}

impl Engine {
    /// Pins the state at `at`; zero is the latest.
    pub(crate) fn pin_view(&self, at: Revision) -> Result<Arc<Pin>> {
        self.check_open()?;
        let view = self.view_at(at)?;
        let taken = self.clock.now().mono;
        let pin = Arc::new(Pin { revision: view.revision, taken, view: Mutex::new(Some(view)) });
        let mut pins = self.pins.pins.lock();
        pins.retain(|pin| pin.strong_count() > 0);
        pins.push(Arc::downgrade(&pin));
        Ok(pin)
    }

    /// The view of a handle, unless it has grown too old.
    pub(crate) fn pinned_view(&self, pin: &Pin) -> Result<View> {
        self.check_open()?;
        let mut view = pin.view.lock();
        if self.is_too_old(pin) {
            *view = None;
        }
        view.clone().ok_or_else(|| Error::Compacted { compacted: self.revision() })
    }

    /// Lets go of what is pinned by handles that have grown too old.
    pub(crate) fn drop_old_pins(&self) {
        if self.options.max_snapshot_age.is_none() {
            return;
        }
        let pins: Vec<Arc<Pin>> = self.pins.pins.lock().iter().filter_map(Weak::upgrade).collect();
        for pin in pins.iter().filter(|pin| self.is_too_old(pin)) {
            pin.view.lock().take();
        }
    }

    fn is_too_old(&self, pin: &Pin) -> bool {
        let age = || self.clock.now().mono.saturating_sub(pin.taken);
        self.options.max_snapshot_age.is_some_and(|max| age() > max)
    }

    /// How many views are pinned, and about how many bytes of memtables and runs live for their sake alone.
    pub(crate) fn pinned(&self) -> (u64, u64) {
        let current = self.version.load_full();
        let pins: Vec<Arc<Pin>> = self.pins.pins.lock().iter().filter_map(Weak::upgrade).collect();
        let views: Vec<View> = pins.iter().filter_map(|pin| pin.view.lock().clone()).collect();
        let mut memtables = Vec::new();
        let mut runs = Vec::new();
        for view in &views {
            memtables.extend(
                view.version
                    .memtables
                    .iter()
                    .filter(|memtable| !current.memtables.iter().any(|live| Arc::ptr_eq(live, memtable))),
            );
            runs.extend(view.version.runs.iter().filter(|run| !current.runs.iter().any(|live| Arc::ptr_eq(live, run))));
        }
        memtables.sort_by_key(|memtable| Arc::as_ptr(memtable));
        memtables.dedup_by(|a, b| Arc::ptr_eq(a, b));
        runs.sort_by_key(|run| run.info.id);
        runs.dedup_by_key(|run| run.info.id);
        let bytes: u64 = memtables.iter().map(|memtable| memtable.bytes() as u64).sum();
        (views.len() as u64, bytes + runs.iter().map(|run| run.info.len).sum::<u64>())
    }
}
