//! What only the orderer can say of a token: whether the time of its lease is over although nobody has ended it yet.
//!
//! `apply` may not look at a clock. So a command that asks for a lease, by a fence or a compare, is ordered only while the
//! deadline of that lease lies ahead, which is looked at under the commit mutex. One that has passed becomes a command of
//! its own first: the lease ends, or lapses, and then the fence fails by what stands in the log. Hence what was refused
//! once is refused after any crash, too: the answer waits for the publication of what it saw.

use crate::engine::Engine;
use crate::engine::command::{Command, Kind};
use crate::error::Result;
use crate::kv::LeaseId;
use crate::op::{CompareTarget, Op, Txn};
use crate::sabotage::{Bug, is_planted};

impl Engine {
    /// A lease that the command asks for and whose deadline has passed. The commit mutex is held.
    pub(super) fn overdue_lease(&self, command: &Command) -> Option<LeaseId> {
        let Kind::Txn(txn) = &command.kind else { return None };
        if is_planted(Bug::DeadlineNotSeen) {
            return None;
        }
        find_lease(txn, &|id| self.lessor.is_due(id, self.lease_now()))
    }

    /// Ends a lease whose deadline has passed, or waits until somebody else has.
    pub(super) fn end_overdue(&self, id: LeaseId) -> Result<()> {
        if self.lessor.claim(id, self.lease_now()) {
            let ordered = self.order_expiry(id);
            if ordered.is_err() {
                self.lessor.spare(id);
            }
            self.wait(ordered?)?;
        }
        // Its end may be on its way without having been an expiry.
        let seen = self.core.lock().ticket();
        self.wait(seen)?;
        self.lessor.wait_settled(id);
        Ok(())
    }
}

/// Whether what a txn does depends on leases, beside those of the keys that it reads.
pub(crate) fn asks_for_leases(txn: &Txn) -> bool {
    !txn.fences.is_empty() || find_lease(txn, &|_| true).is_some()
}

/// The first of the leases that a txn asks for which is as wanted.
fn find_lease(txn: &Txn, wanted: &dyn Fn(LeaseId) -> bool) -> Option<LeaseId> {
    let compared = txn.compares.iter().filter_map(|compare| match compare.target {
        CompareTarget::Held { lease, .. } | CompareTarget::LeaseAlive(lease) => Some(lease),
        _ => None,
    });
    let fences = txn.fences.iter().map(|token| token.lease);
    fences.chain(compared).find(|id| wanted(*id)).or_else(|| {
        txn.then.iter().chain(&txn.or_else).find_map(|op| match op {
            Op::Txn(nested) => find_lease(nested, wanted),
            Op::Put(_) | Op::Delete(_) | Op::Range(_) | Op::Grant(_) | Op::Revoke(_) | Op::Advance(_) => None,
        })
    })
}
