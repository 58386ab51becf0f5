//! Deadlines in order of time. They run on a clock that counts suspend and live in memory only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::kv::LeaseId;

/// When each lease ends, on the boot clock.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_lease: BTreeMap<LeaseId, Duration>,
    by_time: BTreeSet<(Duration, LeaseId)>,
}

impl Deadlines {
    /// Sets or moves a lease's deadline.
    pub(crate) fn set(&mut self, id: LeaseId, deadline: Duration) {
        self.remove(id);
        self.by_lease.insert(id, deadline);
        self.by_time.insert((deadline, id));
    }

    pub(crate) fn remove(&mut self, id: LeaseId) {
        if let Some(deadline) = self.by_lease.remove(&id) {
            self.by_time.remove(&(deadline, id));
        }
    }

    pub(crate) fn get(&self, id: LeaseId) -> Option<Duration> {
        self.by_lease.get(&id).copied()
    }

    /// All deadlines, by time and then by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Duration, LeaseId)> + '_ {
        self.by_time.iter().copied()
    }
}
