//! Puts for a time: which hidden lease a key goes with.
//!
//! A lease for each key would be a log record and a revision for each end. So a key may be late by a sixteenth of its time,
//! at most a second, and takes any hidden lease that ends within that; else it makes one that ends as late as it may
//! itself, so that as many as possible can follow. A lease that ends too soon after the key is due is not taken either: the
//! time of a put runs from its publication, and what lies between is to fit in before the lease must be moved.

use super::Draft;
use crate::engine::command::Seen;
use crate::engine::state::{Lease, LeaseChange, Standing};
use crate::kv::LeaseId;

impl Draft<'_> {
    /// The hidden lease for a key that is put now, for so long.
    pub(super) fn share_lease(&mut self, ttl_ms: u64) -> LeaseId {
        let Seen { stamp, draw } = self.seen.unwrap_or_default();
        let slack = (ttl_ms / LATE_PART).min(LATE_MS_MAX);
        let due = stamp.boot_ms.saturating_add(ttl_ms);
        let (first, last) = (due.saturating_add(slack / 4), due.saturating_add(slack));
        let id = match self.shared_lease(stamp.boot_id, first, last) {
            Some(id) => id,
            None => {
                let id = self.free_id(draw);
                self.shared.insert(last, id);
                id
            }
        };
        let whole_ms = ttl_ms.saturating_add(slack);
        let new = Lease {
            ttl_ms: whole_ms,
            remaining_ms: whole_ms,
            stamp,
            grant_revision: self.state.revision,
            standing: Standing::Hidden,
            ..Lease::default()
        };
        let lease = Lease { renewal_epoch: self.epoch(), ..self.lease(id).cloned().unwrap_or(new) };
        self.change(id, LeaseChange::Shared { lease, ttl_ms });
        id
    }

    /// The first hidden lease that ends within a span of a boot's time: of this command, or from before.
    fn shared_lease(&self, boot_id: u128, first: u64, last: u64) -> Option<LeaseId> {
        let made = self.shared.range(first..=last).map(|(until, id)| (*until, *id)).next();
        let (low, high) = ((boot_id, first, LeaseId::new(i64::MIN)), (boot_id, last, LeaseId::new(i64::MAX)));
        let found = self.state.shared.range(low..=high).map(|(_, until, id)| (*until, *id)).next();
        made.into_iter().chain(found).min().map(|(_, id)| id)
    }

    /// The first id from a drawn one on that no lease has.
    fn free_id(&self, draw: LeaseId) -> LeaseId {
        let mut id = draw.get().max(1);
        while self.lease(LeaseId::new(id)).is_some() {
            id = id.checked_add(1).unwrap_or(1);
        }
        LeaseId::new(id)
    }
}

/// A key may be late by this part of its time.
const LATE_PART: u64 = 16;

/// And never by more.
const LATE_MS_MAX: u64 = 1_000;
