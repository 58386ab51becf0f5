//! The lease verbs: grant, keep alive, revoke, time to live, list.

use std::time::Duration;

use bytes::Bytes;

use crate::engine::apply::Response;
use crate::engine::command::{Cause, Kind, Stamp};
use crate::engine::commit::Ticket;
use crate::engine::operations::{Answer, Replay, Request};
use crate::engine::state::{Lease, Standing};
use crate::engine::{Engine, millis};
use crate::error::{Error, Result};
use crate::kv::{KeyValue, LeaseId, Revision};
use crate::lease::{EPOCH, LeaseTime, Renewal};
use crate::op::{GrantOptions, Op, OpResponse, Put, PutResponse, Txn, TxnResponse};
use crate::store::key::{attached_key, attachment_bounds};
use crate::trace;

/// How long it waits after an end that could not be ordered.
const EXPIRE_RETRY: Duration = Duration::from_millis(100);

/// How many leases one checkpoint command holds: small enough for the smallest log segment.
const LEASES_PER_CHECKPOINT: usize = 64;

/// How often a random id that is taken is drawn again.
const DRAWS_MAX: u32 = 100;

impl Engine {
    /// Grants a lease; id 0 draws a random positive one (LE-01).
    pub(crate) fn grant(&self, options: GrantOptions) -> Result<(LeaseId, Duration, Revision)> {
        let granted = self.grant_once(options, None)?;
        Ok((granted.id, granted.ttl, granted.revision))
    }

    /// The same, under an operation id if there is one.
    pub(crate) fn grant_once(&self, options: GrantOptions, operation: Option<Request>) -> Result<Granted> {
        let mut patience = self.options.write_timeout;
        let (granted, ticket) = self.place_grant(options, operation, &mut patience)?;
        self.wait(ticket)?;
        let granted = granted?;
        if granted.replay.is_none() {
            // The grant stands, whatever becomes of this.
            self.tell_failed(self.note_late_grant(granted.id));
        }
        Ok(granted)
    }

    /// Gives a grant its place, as [`Engine::place`].
    pub(crate) fn place_grant(
        &self,
        options: GrantOptions,
        request: Option<Request>,
        patience: &mut Duration,
    ) -> Result<(Result<Granted>, Ticket)> {
        options.check()?;
        let (ttl_ms, lock_delay_ms) = (whole_millis(options.ttl), whole_millis(options.lock_delay));
        let drawn = options.id.is_none();
        let mut draws = 0;
        loop {
            let id = if drawn { self.draw_lease_id() } else { options.id };
            let kind = Kind::Grant { id, ttl_ms, lock_delay_ms, stamp: self.stamp_rounded_up() };
            let operation = self.operation(request, &kind, drawn)?;
            match self.place(kind, operation, patience)? {
                (Err(Error::LeaseExists), _) if drawn && draws < DRAWS_MAX => draws += 1,
                (answer, ticket) => return Ok((answer.map(|answer| self.granted_by(id, &options, answer)), ticket)),
            }
        }
    }

    /// What the answer to a grant says: if it is a repetition, what the first one was granted.
    fn granted_by(&self, id: LeaseId, options: &GrantOptions, Answer { response, replay }: Answer) -> Granted {
        let revision = done(response);
        match replay.and_then(|replay| replay.granted) {
            Some((id, ttl_ms)) => Granted { id, ttl: Duration::from_millis(ttl_ms), revision, replay },
            None => Granted { id, ttl: self.granted_ttl(options.ttl), revision, replay },
        }
    }

    /// The time to live and the lock delay that are granted: whole milliseconds, no less than the options allow (CH-03).
    fn granted(&self, options: &GrantOptions) -> (Duration, Duration) {
        (self.granted_ttl(options.ttl), Duration::from_millis(whole_millis(options.lock_delay)))
    }

    fn granted_ttl(&self, ttl: Duration) -> Duration {
        Duration::from_millis(whole_millis(ttl.max(self.options.min_ttl)))
    }

    /// Makes of a request what the options say: times in whole milliseconds, no less than the smallest (CH-03); keys alone
    /// without their leases. What an operation id is compared with is the request as it was before.
    pub(super) fn adjust(&self, kind: &mut Kind) {
        match kind {
            Kind::Grant { ttl_ms, .. } => *ttl_ms = (*ttl_ms).max(whole_millis(self.options.min_ttl)),
            Kind::Put(put) => self.adjust_put(put),
            Kind::Txn(txn) => txn.each_op(&mut |op| match op {
                Op::Grant(grant) => (grant.ttl, grant.lock_delay) = self.granted(grant),
                Op::Put(put) => self.adjust_put(put),
                Op::Range(range) => range.blank_lease = !self.options.keys_only_lease,
                Op::Delete(_) | Op::Revoke(_) | Op::Advance(_) | Op::Txn(_) => {}
            }),
            _ => {}
        }
    }

    fn adjust_put(&self, put: &mut Put) {
        put.options.ttl = put.options.ttl.map(|ttl| self.granted_ttl(ttl));
    }

    /// Runs a put, under an operation id if there is one.
    pub(crate) fn submit_put(&self, put: Put, operation: Option<Request>) -> Result<(PutResponse, Option<Replay>)> {
        let kind = Kind::Put(put);
        let started = Started::of(&kind);
        let Answer { response, replay } = self.submit_once(kind, operation)?;
        if replay.is_none() {
            self.note_late(&started.with(&response));
        }
        let Response::Put(response) = response else { return Err(other_kind()) };
        Ok((response, replay))
    }

    /// Runs a txn that may write, under an operation id if there is one. What it grants is granted as by itself.
    pub(crate) fn submit_txn(&self, txn: Txn, operation: Option<Request>) -> Result<(TxnResponse, Option<Replay>)> {
        let kind = Kind::Txn(txn);
        let started = Started::of(&kind);
        let Answer { response, replay } = self.submit_once(kind, operation)?;
        if replay.is_none() {
            self.note_late(&started.with(&response));
        }
        let Response::Txn(response) = response else { return Err(other_kind()) };
        Ok((response, replay))
    }

    /// As `note_late_grant`, of all that a write began, or several; what was written stands, whatever becomes of this.
    pub(crate) fn note_late(&self, started: &Started) {
        let granted = started.granted.iter().try_for_each(|id| self.note_late_grant(*id));
        self.tell_failed(granted);
        let timed = started.timed.iter().try_for_each(|key| self.note_late_put(key));
        self.tell_failed(timed);
    }

    /// As `note_late_grant`, of the hidden lease that a key was put with; who put it again meanwhile sees to that himself.
    fn note_late_put(&self, key: &[u8]) -> Result<()> {
        let Some(KeyValue { lease, .. }) = self.get(key)? else { return Ok(()) };
        let is_hidden = |lease: &Lease| lease.standing == Standing::Hidden;
        let hidden = self.core.lock().state.leases.get(&lease).is_some_and(is_hidden);
        if hidden { self.note_late_grant(lease) } else { Ok(()) }
    }

    /// The stamp of a grant, from which its whole time is left: rounded up, so that a restart never ends it early.
    pub(crate) fn stamp_rounded_up(&self) -> Stamp {
        let now = self.clock.now();
        Stamp { boot_id: now.boot_id, boot_ms: whole_millis(now.boot), wall_ms: whole_millis(now.wall) }
    }

    /// A lease's time runs from publication, which comes a sync later than the stamp in its grant. If that took long, what
    /// is left is stored once more, so that a crash cannot end the lease early.
    fn note_late_grant(&self, id: LeaseId) -> Result<()> {
        let Some(late) = self.late_grant(id) else { return Ok(()) };
        self.submit(late)?;
        self.write_out_relaxed()
    }

    /// What is left of a lease, if that is more than what its grant says.
    fn late_grant(&self, id: LeaseId) -> Option<Kind> {
        let (renewal_epoch, until) = {
            let core = self.core.lock();
            let lease = core.state.leases.get(&id).filter(|lease| !lease.renewed)?;
            (lease.renewal_epoch, lease.until())
        };
        let stamp = self.stamp();
        let time = self.lessor.time(id, self.lease_time(&stamp))?;
        let remaining_ms = whole_millis(time.remaining);
        (time.deadline > self.lease_time(&until)).then_some(Kind::LateGrant { id, renewal_epoch, stamp, remaining_ms })
    }

    /// A random positive 63-bit id.
    pub(super) fn draw_lease_id(&self) -> LeaseId {
        let mut bytes = [0; 8];
        self.clock.random(&mut bytes);
        let id = (u64::from_le_bytes(bytes) >> 1).max(1);
        LeaseId::new(id.cast_signed())
    }

    /// Starts a lease's time anew and returns what was granted. The first renewal after a grant or an open is durable
    /// before the answer, so that a restart cannot end the lease early.
    pub(crate) fn keep_alive(&self, id: LeaseId) -> Result<Duration> {
        let renewed = self.renew(id)?;
        let ttl = renewed.ttl;
        if renewed.mark {
            self.mark_all_renewed(&[renewed]).into_iter().collect::<Result<()>>()?;
        }
        Ok(ttl)
    }

    /// `keep_alive` of many: those that must be durable become so together.
    pub(crate) fn keep_all_alive(&self, ids: &[LeaseId]) -> Vec<Result<Duration>> {
        let renewals: Vec<Result<Renewed>> = ids.iter().map(|id| self.renew(*id)).collect();
        let to_mark: Vec<Renewed> = renewals.iter().flatten().filter(|renewed| renewed.mark).copied().collect();
        let mut marks = self.mark_all_renewed(&to_mark).into_iter();
        let mut answer = |renewed: Renewed| {
            let marked =
                if renewed.mark { marks.next().expect("an answer for each that was to be marked") } else { Ok(()) };
            marked.map(|()| renewed.ttl)
        };
        renewals.into_iter().map(|renewed| renewed.and_then(&mut answer)).collect()
    }

    /// Starts a lease's time anew in memory.
    fn renew(&self, id: LeaseId) -> Result<Renewed> {
        self.writer()?;
        loop {
            self.check_open()?;
            match self.lessor.renew(id, None, || self.lease_now()) {
                Renewal::Missing => return Err(Error::LeaseNotFound),
                Renewal::Closed => return Err(Error::Closed),
                Renewal::Poisoned => return Err(Error::Poisoned),
                // Nobody has ended it yet.
                Renewal::Overdue => self.expire_due()?,
                Renewal::Renewed { ttl, mark, grant } => return Ok(Renewed { id, ttl, grant, mark }),
            }
        }
    }

    /// Renews many leases in memory, each for a listener of its grant, so that none waits for another. Those that say so
    /// must be marked before the answer counts: see `mark_all_renewed`.
    pub(crate) fn renew_all(&self, leases: &[(LeaseId, u64)]) -> Vec<Result<Renewed>> {
        let open = self.writer().and_then(|_| self.check_open());
        let renew = |&(id, listener): &(LeaseId, u64)| {
            open.clone()?;
            match self.lessor.renew(id, Some(listener), || self.lease_now()) {
                Renewal::Renewed { ttl, mark, grant } => Ok(Renewed { id, ttl, grant, mark }),
                // Whoever ends it may be on his way: to its owner it has ended.
                Renewal::Missing | Renewal::Overdue => Err(Error::LeaseNotFound),
                Renewal::Closed => Err(Error::Closed),
                Renewal::Poisoned => Err(Error::Poisoned),
            }
        };
        leases.iter().map(renew).collect()
    }

    /// Marks renewals durably, whatever the store's level: in few commands and one sync. Once one cannot be ordered, the
    /// others are not tried.
    pub(crate) fn mark_all_renewed(&self, renewals: &[Renewed]) -> Vec<Result<()>> {
        let mut last = Ticket::default();
        let mut ordered = Ok(());
        let mut answers = Vec::with_capacity(renewals.len());
        for chunk in renewals.chunks(LEASES_PER_CHECKPOINT) {
            let remaining = chunk.iter().map(|renewed| (renewed.id, millis(renewed.ttl))).collect();
            ordered = ordered.and_then(|()| {
                let kind = Kind::LeaseCheckpoint { renewed: true, stamp: self.stamp(), remaining };
                self.order(kind).map(|(_, ticket)| last = last.max(ticket))
            });
            answers.extend(chunk.iter().map(|_| ordered.clone()));
        }
        let any = answers.iter().any(Result::is_ok);
        let durable = self.wait(last).and_then(|()| {
            // The marks are visible already; whether they got to the disk is not known.
            if any { self.write_out_relaxed().map_err(|_| Error::Indeterminate) } else { Ok(()) }
        });
        for (renewed, answer) in renewals.iter().zip(&mut answers).filter(|(_, answer)| answer.is_ok()) {
            let mark = || if self.lessor.mark(renewed.id, renewed.grant) { Ok(()) } else { Err(Error::LeaseNotFound) };
            *answer = durable.clone().and_then(|()| mark());
        }
        answers
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

    /// Orders the end of a lease that is marked as revoking, or that it lapses; spares it if its time is not over after
    /// all.
    pub(super) fn order_expiry(&self, id: LeaseId) -> Result<Ticket> {
        let Some((epoch, lapses)) = self.published_epoch(id)? else { return Ok(Ticket::default()) };
        // It may have been kept alive since it was found to be due, or be another grant of the same id.
        if !self.lessor.is_due(id, self.lease_now()) {
            self.lessor.spare(id);
            return Ok(Ticket::default());
        }
        let kind = if lapses {
            Kind::Lapse { id, renewal_epoch: epoch, stamp: self.stamp_rounded_up() }
        } else {
            Kind::Revoke { id, cause: Cause::Expired { renewal_epoch: epoch } }
        };
        let (_, ticket) = self.order(kind)?;
        let untouched = |lease: &Lease| lease.standing == Standing::Alive || !lapses;
        if self.core.lock().state.leases.get(&id).is_some_and(untouched) {
            // Something came in between: the command was stale and changed nothing.
            self.lessor.spare(id);
        } else {
            trace::lease_expired(id, lapses);
        }
        Ok(ticket)
    }

    /// The epoch of a lease, and whether it lapses before it ends; `None` if its end is on its way. Waits until the lessor
    /// knows of the command that began the epoch: before, a deadline may be of an earlier grant of the same id.
    fn published_epoch(&self, id: LeaseId) -> Result<Option<(u64, bool)>> {
        loop {
            let (found, seen) = {
                let core = self.core.lock();
                let found = core.state.leases.get(&id).map(|lease| (lease.renewal_epoch, lease.lapses()));
                (found, core.ticket())
            };
            match found {
                Some((epoch, _)) if epoch > self.published_index() => self.wait(seen)?,
                found => return Ok(found),
            }
        }
    }

    /// Ends leases, and lets cursors lapse by their age, for as long as there is one that may.
    pub(crate) fn expire_until_idle(&self) -> Result<()> {
        while self.lessor.wait_due(|| self.lease_now(), || self.next_lapse()) {
            match self.expire_due().and_then(|()| self.lapse_cursors()) {
                // What cannot be ordered now is tried again, without a hurry.
                Err(Error::Full { .. } | Error::Timeout) => self.lessor.pause(EXPIRE_RETRY),
                other => other?,
            }
        }
        Ok(())
    }

    /// Ends a lease and deletes its keys, in one revision.
    pub(crate) fn revoke(&self, id: LeaseId) -> Result<Revision> {
        match self.submit(Kind::Revoke { id, cause: Cause::Owner })? {
            Response::Revoke(response) => Ok(response.revision),
            other => unreachable!("a revoke answers {other:?}"),
        }
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
        let shown = |time: &LeaseTime| exists && time.terms.standing != Standing::Lapsed;
        let Some(time) = self.lessor.time(id, self.lease_now()).filter(shown) else { return Ok(None) };
        let mut keys = Vec::new();
        if with_keys {
            let mut scan = version.scan(attachment_bounds(id), revision, false)?;
            while let Some(entry) = scan.next()? {
                keys.push(attached_key(&entry.key));
            }
        }
        Ok(Some((time, keys)))
    }

    /// What is told of leases: those that somebody may use, by deadline and then by id.
    pub(crate) fn listed_leases(&self) -> Vec<(LeaseId, LeaseTime)> {
        let mut listed = self.lessor.list(self.lease_now());
        listed.retain(|(_, time)| time.terms.standing == Standing::Alive);
        listed
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
        for (id, time) in self.listed_leases() {
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

/// A lease that was renewed in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewed {
    id: LeaseId,
    pub(crate) ttl: Duration,
    grant: u64,
    /// It must be marked in the durable state before that is answered.
    pub(crate) mark: bool,
}

/// The times that a write began: those of the leases that it granted, and of the keys that it put for a time.
#[derive(Debug, Default)]
pub(crate) struct Started {
    granted: Vec<LeaseId>,
    timed: Vec<Bytes>,
}

impl Started {
    /// The keys that a request puts for a time, whichever branches it takes.
    pub(crate) fn of(kind: &Kind) -> Started {
        let mut started = Started::default();
        match kind {
            Kind::Put(put) => started.add_put(put),
            Kind::Txn(txn) => started.add_puts(txn),
            _ => {}
        }
        started
    }

    fn add_put(&mut self, put: &Put) {
        if put.options.ttl.is_some() {
            self.timed.push(put.key.clone());
        }
    }

    fn add_puts(&mut self, txn: &Txn) {
        for op in txn.then.iter().chain(&txn.or_else) {
            match op {
                Op::Put(put) => self.add_put(put),
                Op::Txn(nested) => self.add_puts(nested),
                Op::Delete(_) | Op::Range(_) | Op::Grant(_) | Op::Revoke(_) | Op::Advance(_) => {}
            }
        }
    }

    /// The same, with the leases that the request was answered to have granted.
    pub(crate) fn with(mut self, response: &Response) -> Started {
        if let Response::Txn(txn) = response {
            self.add_grants(txn);
        }
        self
    }

    fn add_grants(&mut self, response: &TxnResponse) {
        for response in &response.responses {
            match response {
                OpResponse::Grant(grant) => self.granted.push(grant.id),
                OpResponse::Txn(nested) => self.add_grants(nested),
                _ => {}
            }
        }
    }

    pub(crate) fn add_grant(&mut self, id: LeaseId) {
        self.granted.push(id);
    }

    /// Adds those of another write.
    pub(crate) fn append(&mut self, other: Started) {
        self.granted.extend(other.granted);
        self.timed.extend(other.timed);
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
        other => unreachable!("a grant answers {other:?}"),
    }
}

/// A remembered answer that is not of its request's kind, although the fingerprints match.
fn other_kind() -> Error {
    Error::corrupt("state", 0, "an answer of another kind")
}

/// A time in whole milliseconds, rounded up (CH-03).
pub(crate) fn whole_millis(time: Duration) -> u64 {
    let millis = millis(time);
    if Duration::from_millis(millis) < time { millis.saturating_add(1) } else { millis }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::db::Db;
    use crate::io::memory::MemoryDisk;
    use crate::io::sim::SimClock;
    use crate::options::Options;

    /// A lease was due; before its expiry was ordered its owner revoked it and granted the id again, neither of which was
    /// published yet. The expiry took the new grant for the old one and ended it, long before its time.
    #[test]
    fn an_expiry_never_ends_a_later_grant_of_the_id() {
        let (clock, mut options) = (SimClock::new(1), Options::new());
        options.tuning.manual = true;
        let db = Db::open_on(Arc::new(MemoryDisk::new()), Arc::new(clock.clone()), options).expect("opens");
        let (engine, id, ttl) = (db.engine(), LeaseId::new(7), Duration::from_millis(100));
        db.grant_with_id(id, ttl).expect("grants");
        clock.advance(ttl);
        engine.order(Kind::Revoke { id, cause: Cause::Owner }).expect("is ordered");
        let stamp = engine.stamp_rounded_up();
        engine.order(Kind::Grant { id, ttl_ms: 100, lock_delay_ms: 0, stamp }).expect("is ordered");
        engine.expire_due().expect("ends what is due");
        assert_eq!(db.lease(id).time_to_live().expect("asks").map(|status| status.remaining), Some(ttl));
    }
}
