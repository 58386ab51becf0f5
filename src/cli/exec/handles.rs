//! What requests name by a number: watches, sessions, locks, leaderships.
//!
//! Numbers are positive, valid for all clients and never given twice, whatever the kind. What has ended stays known, so
//! that it can say how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::answer::Problem;
use super::commands::watch::Watching;

/// One of the things that requests name.
#[derive(Clone)]
enum Handle {
    Watch(Arc<Watching>),
}

/// All of them.
pub(super) struct Handles {
    table: Mutex<Table>,
}

struct Table {
    last: u64,
    handles: BTreeMap<u64, Handle>,
}

impl Handles {
    pub(super) fn new() -> Handles {
        Handles { table: Mutex::new(Table { last: 0, handles: BTreeMap::new() }) }
    }

    fn add(&self, handle: Handle) -> u64 {
        let mut table = self.table.lock();
        table.last += 1;
        let number = table.last;
        table.handles.insert(number, handle);
        number
    }

    fn find<T>(&self, number: u64, kind: &str, of_kind: impl FnOnce(Handle) -> Option<T>) -> Result<T, Problem> {
        let found = self.table.lock().handles.get(&number).cloned();
        found.and_then(of_kind).ok_or_else(|| Problem::Invalid(format!("{number} is no {kind}")))
    }

    pub(super) fn add_watch(&self, watch: Watching) -> u64 {
        self.add(Handle::Watch(Arc::new(watch)))
    }

    pub(super) fn watch(&self, number: u64) -> Result<Arc<Watching>, Problem> {
        self.find(number, "watch", |handle| match handle {
            Handle::Watch(watch) => Some(watch),
        })
    }

    /// Lets go of everything, at the end of the driver.
    pub(super) fn close(&self) {
        let handles = std::mem::take(&mut self.table.lock().handles);
        drop(handles);
    }
}
