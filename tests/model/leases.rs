//! The model's part of leases (LE, X-02, X-06): what is granted, kept alive and ended, and what the time that passes does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Blob, CALLERS_MAX, Failure, GrantOp, HIDDEN, Lease, LeaseInfo, Model};

impl Model {
    /// Returns the granted TTL. Without a lock delay.
    pub(crate) fn grant(&mut self, id: i64, ttl: Duration) -> Result<u64, Failure> {
        self.grant_with(&GrantOp { id, ttl, delay_ms: 0 })
    }

    pub(crate) fn grant_with(&mut self, grant: &GrantOp) -> Result<u64, Failure> {
        grant.check_shape()?;
        if self.leases.contains_key(&grant.id) {
            return Err(Failure::LeaseExists);
        }
        let ttl_ms = grant.ttl_ms();
        let deadline_ms = self.now_ms + ttl_ms;
        let lease = Lease { ttl_ms, deadline_ms, delay_ms: grant.delay_ms, lapsed: false, hidden: false };
        self.leases.insert(grant.id, lease);
        Ok(ttl_ms)
    }

    pub(crate) fn revoke(&mut self, id: i64) -> Result<u64, Failure> {
        self.check_revocable(id)?;
        self.write(|model| model.end(id))?;
        Ok(self.revision)
    }

    pub(super) fn check_revocable(&self, id: i64) -> Result<(), Failure> {
        let lease = self.leases.get(&id).filter(|lease| !lease.hidden);
        lease.map(drop).ok_or(Failure::LeaseNotFound)
    }

    /// The lease of a key that is put for a time. It may go late by a sixteenth of that, at most a second, and takes the
    /// first hidden lease that ends in the last three quarters of this; else it makes one that ends with it.
    pub(super) fn hidden_lease(&mut self, ttl_ms: u64) -> i64 {
        let (due_ms, slack_ms) = (self.now_ms + ttl_ms, (ttl_ms / 16).min(1_000));
        let fits =
            |lease: &Lease| lease.hidden && (due_ms + slack_ms / 4..=due_ms + slack_ms).contains(&lease.deadline_ms);
        let shared = self.by_deadline().into_iter().map(|(_, id)| id).find(|id| fits(&self.leases[id]));
        shared.unwrap_or_else(|| {
            let lowest = self.leases.keys().copied().filter(|id| *id > CALLERS_MAX).min();
            let id = lowest.unwrap_or(HIDDEN) - 1;
            let (ttl_ms, deadline_ms) = (ttl_ms + slack_ms, due_ms + slack_ms);
            self.leases.insert(id, Lease { ttl_ms, deadline_ms, delay_ms: 0, lapsed: false, hidden: true });
            id
        })
    }

    /// Ends a lease, in the running txn; says how many keys went with it.
    pub(super) fn end(&mut self, id: i64) -> Result<u64, Failure> {
        let keys = self.lease_keys(id);
        self.leases.remove(&id).ok_or(Failure::LeaseNotFound)?;
        keys.iter().for_each(|key| self.record(key, None));
        Ok(keys.len() as u64)
    }

    pub(crate) fn keep_alive(&mut self, id: i64) -> Result<u64, Failure> {
        let now_ms = self.now_ms;
        let lease = self.leases.get_mut(&id).filter(|lease| !lease.lapsed && !lease.hidden);
        let lease = lease.ok_or(Failure::LeaseNotFound)?;
        lease.deadline_ms = now_ms + lease.ttl_ms;
        Ok(lease.ttl_ms)
    }

    pub(crate) fn time_to_live(&self, id: i64) -> Option<LeaseInfo> {
        let Lease { ttl_ms, deadline_ms, .. } = self.leases.get(&id).filter(|lease| !lease.lapsed)?;
        let remaining_ms = deadline_ms.saturating_sub(self.now_ms);
        Some(LeaseInfo { id, granted_ms: *ttl_ms, remaining_ms, keys: self.lease_keys(id) })
    }

    /// All leases by deadline, then id (CH-14).
    pub(crate) fn leases(&self) -> Vec<LeaseInfo> {
        let listed = self.by_deadline().into_iter().filter(|(_, id)| !self.leases[id].hidden);
        listed.filter_map(|(_, id)| self.time_to_live(id)).collect()
    }

    fn by_deadline(&self) -> BTreeSet<(u64, i64)> {
        self.leases.iter().map(|(&id, lease)| (lease.deadline_ms, id)).collect()
    }

    fn lease_keys(&self, id: i64) -> Vec<Blob> {
        self.state(u64::MAX).into_values().filter(|kv| kv.lease == id).map(|kv| kv.key.clone()).collect()
    }

    /// Lets time pass: what ends goes in order of deadline and id, one revision a lease (LE-07). Then all other work is done.
    pub(crate) fn advance(&mut self, ms: u64) {
        self.pass(ms);
        while self.expire_next() {}
        self.lapse_cursors();
    }

    /// As [`Model::advance`], with nobody there to end what is due.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    /// Ends the first lease that is due, or has it lapse: its keys stay for its lock delay, from now on. False if
    /// none is due.
    pub(crate) fn expire_next(&mut self) -> bool {
        let now_ms = self.now_ms;
        let first = self.by_deadline().pop_first().filter(|(deadline_ms, _)| *deadline_ms <= now_ms);
        let Some((_, id)) = first else { return false };
        match self.leases.get_mut(&id) {
            Some(lease) if lease.delay_ms > 0 && !lease.lapsed => {
                lease.deadline_ms = now_ms + lease.delay_ms;
                lease.lapsed = true;
            }
            _ => assert!(self.write(|model| model.end(id)).is_ok(), "a lease with a deadline exists"),
        }
        true
    }

    /// Closes cleanly and opens again `elapsed_ms` later. Nothing changes but the time: leases ran on meanwhile (CH-05)
    /// and what ended goes. With `renewed` the owners of the rest keep their leases alive at once. Watchers are gone.
    pub(crate) fn reopen(&mut self, elapsed_ms: u64, renewed: bool) {
        self.watchers.clear();
        self.advance(elapsed_ms);
        if renewed {
            let now_ms = self.now_ms;
            let alive = self.leases.values_mut().filter(|lease| !lease.lapsed && !lease.hidden);
            alive.for_each(|lease| lease.deadline_ms = now_ms + lease.ttl_ms);
        }
    }

    /// Opens after a crash, `elapsed_ms` later. What is left of a lease is known, unless it was kept alive since its time
    /// was last stored (`renewed`): such a lease gets its whole TTL again (CH-05). What ended meanwhile goes.
    pub(crate) fn recover(&mut self, elapsed_ms: u64, renewed: &BTreeSet<i64>) {
        self.open(elapsed_ms, renewed);
        self.advance(0);
    }

    /// As [`Model::recover`], before anything has ended.
    pub(crate) fn open(&mut self, elapsed_ms: u64, renewed: &BTreeSet<i64>) {
        self.watchers.clear();
        self.now_ms += elapsed_ms;
        let now_ms = self.now_ms;
        let full = |(id, lease): &(&i64, &mut Lease)| renewed.contains(id) && !lease.lapsed;
        for (_, lease) in self.leases.iter_mut().filter(full) {
            lease.deadline_ms = now_ms + lease.ttl_ms;
        }
    }
}
