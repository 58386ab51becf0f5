//! The lease verbs: grant, keep alive, revoke, time to live, list.

use std::time::Duration;

use bytes::Bytes;

use crate::engine::apply::Response;
use crate::engine::command::{Cause, Kind, Stamp};
use crate::engine::commit::Ticket;
use crate::engine::operations::{Answer, Replay, Request};
use crate::engine::{Engine, millis};
use crate::error::{Error, Result};
use crate::kv::{LeaseId, Revision};
use crate::lease::{LeaseTime, Renewal};
use crate::store::key::{attached_key, attachment_bounds};

/// etcd's largest time to live: 9,000,000,000 s.
const TTL_MAX: Duration = Duration::from_secs(9_000_000_000);

/// How long the expiry thread waits without looking at the clock, which counts suspend while its wait does not.
const EXPIRE_LOOK: Duration = Duration::from_secs(1);

/// How long it waits after an end that could not be ordered.
const EXPIRE_RETRY: Duration = Duration::from_millis(100);

/// How many leases one checkpoint command holds: small enough for the smallest log segment.
const LEASES_PER_CHECKPOINT: usize = 64;

/// How often a random id that is taken is drawn again.
const DRAWS_MAX: u32 = 100;

/// What deadlines add to the boot clock, so that one that passed before the host booted is a time like any other.
const EPOCH: Duration = Duration::from_secs(1 << 40);

impl Engine {
    /// Grants a lease; id 0 draws a random positive one (LE-01).
    pub(crate) fn grant(&self, id: LeaseId, ttl: Duration) -> Result<(LeaseId, Duration, Revision)> {
        let granted = self.grant_once(id, ttl, None)?;
        Ok((granted.id, granted.ttl, granted.revision))
    }

    /// The same, under an operation id if there is one.
    pub(crate) fn grant_once(&self, id: LeaseId, ttl: Duration, operation: Option<Request>) -> Result<Granted> {
        if ttl > TTL_MAX {
            let (len, max) = (millis(ttl), millis(TTL_MAX));
            return Err(Error::TooLarge { what: "lease TTL in milliseconds", len, max });
        }
        let ttl_ms = whole_millis(ttl.max(self.options.min_ttl));
        let mut draws = 0;
        loop {
            let drawn = if id.is_none() { self.draw_lease_id() } else { id };
            let stamp = self.stamp_rounded_up();
            match self.submit_grant(Kind::Grant { id: drawn, ttl_ms, stamp }, operation, id.is_none()) {
                Ok(Answer { response, replay }) => {
                    let revision = done(response);
                    if let Some((id, ttl_ms)) = replay.and_then(|replay| replay.granted) {
                        return Ok(Granted { id, ttl: Duration::from_millis(ttl_ms), revision, replay });
                    }
                    self.note_late_grant(drawn)?;
                    return Ok(Granted { id: drawn, ttl: Duration::from_millis(ttl_ms), revision, replay });
                }
                Err(Error::LeaseExists) if id.is_none() && draws < DRAWS_MAX => draws += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn submit_grant(&self, kind: Kind, operation: Option<Request>, drawn: bool) -> Result<Answer> {
        let (answer, ticket) = self.order_once(kind, operation, drawn)?;
        self.wait(ticket)?;
        Ok(answer)
    }

    /// The stamp of a grant, from which its whole time is left: rounded up, so that a restart never ends it early.
    pub(crate) fn stamp_rounded_up(&self) -> Stamp {
        let now = self.clock.now();
        Stamp { boot_id: now.boot_id, boot_ms: whole_millis(now.boot), wall_ms: whole_millis(now.wall) }
    }

    /// A lease's time runs from publication, which comes a sync later than the stamp in its grant. If that took long, what
    /// is left is stored once more, so that a crash cannot end the lease early.
    fn note_late_grant(&self, id: LeaseId) -> Result<()> {
        let stored = self.core.lock().state.leases.get(&id).map(|lease| (lease.stamp, lease.ttl_ms));
        let Some((stamp, ttl_ms)) = stored else { return Ok(()) };
        let until = self.lease_time(&stamp) + Duration::from_millis(ttl_ms);
        let now = self.stamp();
        match self.lessor.time(id, self.lease_time(&now)) {
            Some(time) if time.deadline > until => self.checkpoint_leases(now, &[(id, whole_millis(time.remaining))]),
            _ => Ok(()),
        }
    }

    /// A random positive 63-bit id.
    fn draw_lease_id(&self) -> LeaseId {
        let mut bytes = [0; 8];
        self.clock.random(&mut bytes);
        let id = (u64::from_le_bytes(bytes) >> 1).max(1);
        LeaseId::new(id.cast_signed())
    }

    /// Starts a lease's time anew and returns what was granted. The first renewal after a grant or an open is durable
    /// before the answer, so that a restart cannot end the lease early.
    pub(crate) fn keep_alive(&self, id: LeaseId) -> Result<Duration> {
        self.writer()?;
        loop {
            self.check_open()?;
            match self.lessor.renew(id, || self.lease_now()) {
                Renewal::Missing => return Err(Error::LeaseNotFound),
                Renewal::Closed => return Err(Error::Closed),
                Renewal::Poisoned => return Err(Error::Poisoned),
                // Nobody has ended it yet.
                Renewal::Lapsed => self.expire_due()?,
                Renewal::Renewed { ttl, mark: false, .. } => return Ok(ttl),
                Renewal::Renewed { ttl, mark: true, grant } => return self.mark_renewed(id, ttl, grant).map(|()| ttl),
            }
        }
    }

    fn mark_renewed(&self, id: LeaseId, ttl: Duration, grant: u64) -> Result<()> {
        let remaining = vec![(id, millis(ttl))];
        self.submit(Kind::LeaseCheckpoint { renewed: true, stamp: self.stamp(), remaining })?;
        // The mark is visible already; whether it got to the disk is not known.
        self.write_out_relaxed().map_err(|_| Error::Indeterminate)?;
        if self.lessor.mark(id, grant) { Ok(()) } else { Err(Error::LeaseNotFound) }
    }

    /// Stores what is left of leases, durably, whatever the store's level: in commands of a bounded size.
    ///
    /// A stamp has whole milliseconds and the clock has not. So what is stored is the deadline: the time of the stamp is
    /// rounded down, what is left from then on is rounded up, once. Storing it again, however often, moves no deadline.
    pub(crate) fn checkpoint_leases(&self, stamp: Stamp, remaining: &[(LeaseId, u64)]) -> Result<()> {
        let mut last = Ticket::default();
        for chunk in remaining.chunks(LEASES_PER_CHECKPOINT) {
            let kind = Kind::LeaseCheckpoint { renewed: false, stamp, remaining: chunk.to_vec() };
            last = last.max(self.order(kind)?.1);
        }
        self.wait(last)?;
        if remaining.is_empty() { Ok(()) } else { self.write_out_relaxed() }
    }

    /// Syncs what a relaxed store has not: a renewal's mark must be on the disk whatever the level.
    fn write_out_relaxed(&self) -> Result<()> {
        if self.options.durability == crate::options::Durability::Synced { Ok(()) } else { self.write_out(true) }
    }

    /// Ends the leases whose deadline has passed: one revision a lease, many in one sync.
    pub(crate) fn expire_due(&self) -> Result<()> {
        let due = self.lessor.due(self.lease_now());
        let mut last = Ticket::default();
        let mut failure = None;
        for id in due {
            match self.order_expiry(id) {
                Ok(ticket) => last = last.max(ticket),
                Err(error) => {
                    self.lessor.spare(id);
                    failure = Some(error);
                }
            }
        }
        self.wait(last)?;
        failure.map_or(Ok(()), Err)
    }

    fn order_expiry(&self, id: LeaseId) -> Result<Ticket> {
        let renewal_epoch = self.core.lock().state.leases.get(&id).map(|lease| lease.renewal_epoch);
        let Some(renewal_epoch) = renewal_epoch else { return Ok(Ticket::default()) };
        let (_, ticket) = self.order(Kind::Revoke { id, cause: Cause::Expired { renewal_epoch } })?;
        let lives = self.core.lock().state.leases.contains_key(&id);
        if lives {
            // A checkpoint came in between: the revoke was stale and changed nothing.
            self.lessor.spare(id);
        }
        Ok(ticket)
    }

    /// Ends leases for as long as there are any.
    pub(crate) fn expire_until_idle(&self) -> Result<()> {
        while self.lessor.wait_due(|| self.lease_now(), EXPIRE_LOOK) {
            match self.expire_due() {
                // A lease that cannot end now is tried again, without a hurry.
                Err(Error::Full { .. } | Error::Timeout) => self.lessor.pause(EXPIRE_RETRY),
                other => other?,
            }
        }
        Ok(())
    }

    /// Ends a lease and deletes its keys, in one revision.
    pub(crate) fn revoke(&self, id: LeaseId) -> Result<Revision> {
        self.submit(Kind::Revoke { id, cause: Cause::Owner }).map(done)
    }

    /// A lease's times, and its keys in key order if asked for; `None` if there is no such lease.
    pub(crate) fn time_to_live(&self, id: LeaseId, with_keys: bool) -> Result<Option<(LeaseTime, Vec<Bytes>)>> {
        self.check_poison()?;
        self.check_open()?;
        let (exists, seen, revision, version) = {
            let core = self.core.lock();
            let exists = core.state.leases.contains_key(&id);
            (exists, core.ticket(), core.state.revision, self.version.load_full())
        };
        self.wait_if_writable(seen)?;
        let Some(time) = self.lessor.time(id, self.lease_now()).filter(|_| exists) else { return Ok(None) };
        let mut keys = Vec::new();
        if with_keys {
            let mut scan = version.scan(attachment_bounds(id), revision, false)?;
            while let Some(entry) = scan.next()? {
                keys.push(attached_key(&entry.key));
            }
        }
        Ok(Some((time, keys)))
    }

    /// All leases by deadline, then by id (LE-06).
    pub(crate) fn leases(&self) -> Result<Vec<(LeaseId, LeaseTime, u64)>> {
        self.check_poison()?;
        self.check_open()?;
        let (seen, revision, version) = {
            let core = self.core.lock();
            (core.ticket(), core.state.revision, self.version.load_full())
        };
        self.wait_if_writable(seen)?;
        let mut listed = Vec::new();
        for (id, time) in self.lessor.list(self.lease_now()) {
            let mut scan = version.scan(attachment_bounds(id), revision, false)?;
            let mut count = 0;
            while scan.next()?.is_some() {
                count += 1;
            }
            listed.push((id, time, count));
        }
        Ok(listed)
    }

    /// A read-only store publishes nothing: it stands at what it recovered.
    fn wait_if_writable(&self, ticket: Ticket) -> Result<()> {
        if self.writer.is_some() { self.wait(ticket) } else { Ok(()) }
    }

    /// The time that leases see: in a read-only store it stands still.
    pub(crate) fn lease_now(&self) -> Duration {
        if self.writer.is_some() { EPOCH + self.clock.boot() } else { EPOCH }
    }

    /// The time of a stamp of this open, as leases see it.
    pub(crate) fn lease_time(&self, stamp: &Stamp) -> Duration {
        if self.writer.is_some() { EPOCH + Duration::from_millis(stamp.boot_ms) } else { EPOCH }
    }
}

/// What a grant came to.
pub(crate) struct Granted {
    pub(crate) id: LeaseId,
    pub(crate) ttl: Duration,
    /// The store's revision then.
    pub(crate) revision: Revision,
    /// Set if it was granted before.
    pub(crate) replay: Option<Replay>,
}

fn done(response: Response) -> Revision {
    match response {
        Response::Done(revision) => revision,
        Response::Put(_) | Response::Delete(_) | Response::Txn(_) | Response::Cursor(_) => {
            unreachable!("lease commands answer Done")
        }
    }
}

/// A time in whole milliseconds, rounded up (CH-03).
pub(crate) fn whole_millis(time: Duration) -> u64 {
    let millis = millis(time);
    if Duration::from_millis(millis) < time { millis + 1 } else { millis }
}
