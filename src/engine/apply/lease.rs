//! What commands do to leases, and what they ask of them: grants, ends, lapsing, fences.

use bytes::Bytes;

use super::{Draft, Response};
use crate::engine::command::{Cause, Stamp};
use crate::engine::leases::whole_millis;
use crate::engine::state::{Lease, LeaseChange, Standing};
use crate::error::{Error, Result};
use crate::kv::{LeaseId, Revision};
use crate::op::{GrantOptions, GrantResponse, RevokeResponse, Token};
use crate::sabotage::{Bug, is_planted};
use crate::store::key::{attached_key, attachment_bounds, user_key};

impl Draft<'_> {
    /// A lease in any standing, earlier changes of this command included.
    pub(super) fn lease(&self, id: LeaseId) -> Option<&Lease> {
        match self.latest.get(&id) {
            Some(&at) => self.leases[at].1.lease(),
            None => self.state.leases.get(&id),
        }
    }

    pub(super) fn change(&mut self, id: LeaseId, change: LeaseChange) {
        self.latest.insert(id, self.leases.len());
        self.leases.push((id, change));
    }

    /// The epoch that this command begins: its log index.
    pub(super) fn epoch(&self) -> u64 {
        self.state.index + 1
    }

    /// Whether keys can be put with a lease.
    pub(super) fn is_usable(&self, id: LeaseId) -> bool {
        self.lease(id).is_some_and(|lease| lease.standing == Standing::Alive)
    }

    /// Whether its owner can end a lease: one that has lapsed, too.
    pub(super) fn is_revocable(&self, id: LeaseId) -> bool {
        self.lease(id).is_some_and(|lease| lease.standing != Standing::Hidden)
    }

    pub(super) fn check_lease(&self, id: LeaseId) -> Result<()> {
        found(id.is_none() || self.is_usable(id))
    }

    /// All fences must hold on the state before the command.
    pub(super) fn check_fences(&self, fences: &[Token]) -> Result<()> {
        for Token { key, revision, lease } in fences {
            if !self.is_held(key, revision.get(), *lease)? {
                return Err(Error::SessionExpired);
            }
        }
        Ok(())
    }

    /// Whether a token holds. That the lease is not past its deadline is seen to by the orderer, who ends it first.
    pub(super) fn is_held(&self, key: &[u8], create_revision: u64, lease: LeaseId) -> Result<bool> {
        if is_planted(Bug::FenceNotChecked) {
            return Ok(true);
        }
        if self.lease(lease).is_none_or(|lease| lease.standing == Standing::Lapsed) {
            return Ok(false);
        }
        let entry = self.get(&user_key(key))?;
        Ok(entry.is_some_and(|entry| entry.create_revision == create_revision && entry.lease == lease.get()))
    }

    pub(super) fn grant(&mut self, id: LeaseId, (ttl_ms, lock_delay_ms): (u64, u64), stamp: Stamp) -> Result<()> {
        if self.lease(id).is_some() {
            return Err(Error::LeaseExists);
        }
        let lease = Lease {
            ttl_ms,
            remaining_ms: ttl_ms,
            stamp,
            renewed: false,
            renewal_epoch: self.epoch(),
            grant_revision: self.state.revision,
            lock_delay_ms,
            standing: Standing::Alive,
        };
        self.change(id, LeaseChange::Granted(lease));
        Ok(())
    }

    /// A grant as an operation of a txn.
    pub(super) fn grant_now(&mut self, grant: &GrantOptions) -> Result<GrantResponse> {
        let stamp = self.seen.unwrap_or_default().stamp;
        self.grant(grant.id, (whole_millis(grant.ttl), whole_millis(grant.lock_delay)), stamp)?;
        Ok(GrantResponse { revision: Revision::new(self.revision()), id: grant.id, ttl: grant.ttl })
    }

    /// Ends a lease. An expiry that was ordered before something else reached the lease is stale and changes nothing
    /// (LE-07); so is one of a lease that lapses first.
    pub(super) fn revoke(&mut self, id: LeaseId, cause: Cause) -> Result<Response> {
        match (self.lease(id), cause) {
            (None, Cause::Expired { .. }) => return Ok(self.done()),
            (Some(lease), Cause::Expired { renewal_epoch }) if is_stale(lease, renewal_epoch) || lease.lapses() => {
                return Ok(self.done());
            }
            (_, Cause::Owner) => found(self.is_revocable(id))?,
            (Some(_), Cause::Expired { .. }) => {}
        }
        self.bounded = false;
        Ok(Response::Revoke(self.end(id)?))
    }

    /// Deletes a lease and its keys, in key order (LE-03).
    pub(super) fn end(&mut self, id: LeaseId) -> Result<RevokeResponse> {
        let keys = self.attached_keys(id)?;
        let deleted = keys.len() as u64;
        for key in keys {
            let key = user_key(&key);
            let victim = self.get(&key)?.filter(|entry| entry.lease == id.get());
            let victim = victim.ok_or_else(|| Error::corrupt("run", 0, "a lease holds a key that is not attached"))?;
            self.remove(victim)?;
        }
        self.change(id, LeaseChange::Ended);
        Ok(RevokeResponse { revision: Revision::new(self.revision()), deleted })
    }

    fn attached_keys(&self, id: LeaseId) -> Result<Vec<Bytes>> {
        let mut keys = Vec::new();
        self.scan(attachment_bounds(id), false, &mut |entry| {
            keys.push(attached_key(&entry.key));
            Ok(true)
        })?;
        Ok(keys)
    }

    /// Has a lease lapse: from now on only its keys are left, for its lock delay. Stale as an expiry may be.
    pub(super) fn lapse(&mut self, id: LeaseId, renewal_epoch: u64, stamp: Stamp) -> Response {
        let lease = self.lease(id).filter(|lease| !is_stale(lease, renewal_epoch) && lease.lapses()).cloned();
        if let Some(lease) = lease {
            let lapsed = Lease {
                remaining_ms: lease.lock_delay_ms,
                stamp,
                renewed: false,
                renewal_epoch: self.epoch(),
                standing: Standing::Lapsed,
                ..lease
            };
            self.change(id, LeaseChange::Lapsed(lapsed));
        }
        self.done()
    }

    /// Stores what is left of leases; one that has ended meanwhile is passed over, and so is the renewal of one that has
    /// lapsed.
    /// Whoever changed the lease since then knew better what is left of it: a renewal's mark above all stays.
    pub(super) fn late_grant(&mut self, id: LeaseId, renewal_epoch: u64, stamp: Stamp, remaining_ms: u64) -> Response {
        let seen = |lease: &&Lease| lease.renewal_epoch == renewal_epoch;
        if let Some(lease) = self.lease(id).filter(seen).cloned() {
            let renewal_epoch = self.epoch();
            self.change(id, LeaseChange::Stored(Lease { remaining_ms, stamp, renewed: false, renewal_epoch, ..lease }));
        }
        self.done()
    }

    pub(super) fn lease_checkpoint(&mut self, renewed: bool, stamp: Stamp, remaining: &[(LeaseId, u64)]) -> Response {
        for (id, remaining_ms) in remaining {
            let renewable = |lease: &&Lease| !renewed || lease.standing == Standing::Alive;
            if let Some(lease) = self.lease(*id).filter(renewable).cloned() {
                let (renewal_epoch, remaining_ms) = (self.epoch(), *remaining_ms);
                self.change(*id, LeaseChange::Stored(Lease { remaining_ms, stamp, renewed, renewal_epoch, ..lease }));
            }
        }
        self.done()
    }
}

/// Whether an expiry saw another epoch of a lease than the one it is in.
fn is_stale(lease: &Lease, renewal_epoch: u64) -> bool {
    lease.renewal_epoch != renewal_epoch && !is_planted(Bug::ExpiryWithoutEpoch)
}

pub(super) fn found(found: bool) -> Result<()> {
    if found { Ok(()) } else { Err(Error::LeaseNotFound) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::engine::apply::evaluate;
    use crate::engine::command::{Command, Kind};
    use crate::engine::state::{Changes, State};
    use crate::memtable::Memtable;
    use crate::sabotage::plant;
    use crate::store::Version;

    const ID: LeaseId = LeaseId::new(7);

    /// What a command does to a lease that was last changed, by a renewal's mark, at log index 2.
    fn changes(kind: Kind) -> Changes {
        let mut state = State::new(10);
        state.leases.insert(ID, Lease { renewal_epoch: 2, renewed: true, ..Lease::default() });
        let version = Version { memtables: vec![Arc::new(Memtable::default())], runs: Vec::new(), compacted: 0 };
        let command = Command { time_ms: 0, seen: None, operation: None, kind };
        evaluate(&state, &version, &command).expect("it never fails").changes
    }

    fn expiry(renewal_epoch: u64) -> Changes {
        changes(Kind::Revoke { id: ID, cause: Cause::Expired { renewal_epoch } })
    }

    /// Two threads sent one grant under an operation id. The second got the first's answer and kept the lease alive; then
    /// the first stored what had been left of it, and took the mark back: after a crash the lease was over, just renewed.
    #[test]
    fn le_08_a_late_grant_takes_back_no_renewal() {
        let late = |renewal_epoch| Kind::LateGrant { id: ID, renewal_epoch, stamp: Stamp::default(), remaining_ms: 5 };
        assert!(changes(late(1)).is_empty());
        let [(ID, LeaseChange::Stored(lease))] = &changes(late(2)).leases[..] else { panic!("it is what was seen") };
        assert_eq!((lease.remaining_ms, lease.renewed), (5, false));
    }

    #[test]
    fn le_07_stale_expiry_changes_nothing() {
        assert!(expiry(1).is_empty());
        assert_eq!(expiry(2).leases, [(ID, LeaseChange::Ended)]);
    }

    #[test]
    fn s18_expiry_without_epoch() {
        plant(Some(Bug::ExpiryWithoutEpoch));
        let changes = expiry(1);
        plant(None);
        assert!(!changes.is_empty(), "le_07_stale_expiry_changes_nothing would fail");
    }
}
