//! The lessor: what the orderer knows of leases beside their state. Deadlines, renewals, expiry.
//!
//! The state of a lease (`engine/state.rs`) is changed by commands alone. A deadline is not state: it is kept here, on
//! a clock that counts suspend, and moves without a command when a lease is kept alive. Two rules tie the two together:
//!
//! * The first keep-alive after a grant or an open is answered only once a `LeaseCheckpoint` that marks the lease as
//!   renewed is durable; from then on a restart gives the full time again, so that it never ends a lease early. Later
//!   keep-alives cost memory only.
//! * Expiry looks at the deadline and marks the lease as revoking in one critical section, which keep-alive shares: a
//!   keep-alive that comes later waits for the end and is told so. The revoke names the renewal epoch it saw.
//!
//! A lease with a lock delay does not end when it expires, it lapses: its deadline becomes the end of the delay,
//! and to its owner it is gone.
//!
//! **Never early.** While the store is open, time runs from the publication of a grant or from the last keep-alive, on
//! the boot clock, which no change of the wall clock moves. Across a restart it runs from a stamp: that of a grant is
//! read when the grant is ordered, before its sync, and rounded up; what is left is rounded up; and a clock that went
//! backward counts as no time. `engine/leases.rs` stamps grants and what is left at a close; `serve` in
//! `engine/recover.rs` makes deadlines of them again.
//!
//! **Told twice.** That a lease is lost is marked in publication, so that nobody who learned of its end in any way finds it
//! alive. Who waits for that is woken later, by [`Lessor::wake_lost`]: his code must not run inside the write path.
//!
//! **Asleep until something is due.** The thread that ends leases (`engine/leases.rs`) sleeps until the first deadline, by
//! an alarm of the boot clock. It is rung only if it would sleep too long: for a deadline before the one that it waits
//! for, and when there is nothing to wait for any more. A lease that is kept alive is no reason: when its old deadline
//! comes, the thread looks again.
//!
//! Lock order: the lessor's mutex comes after those of the engine, and nothing is taken inside it but the alarm's.

mod deadline;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::db::signal::Signal;
use crate::engine::millis;
use crate::engine::state::{Lease, Standing};
use crate::io::Alarm;
use crate::io::sync::{Condvar, Mutex, MutexGuard};
use crate::kv::LeaseId;
use crate::trace;
use deadline::Deadlines;

/// Deadlines of the published leases.
#[derive(Debug)]
pub(crate) struct Lessor {
    inner: Mutex<Inner>,
    /// Where the thread that ends leases sleeps.
    alarm: Arc<dyn Alarm>,
    /// Signalled when an expiry has been published or given up, when the store is poisoned, and at close.
    changed: Condvar,
    /// Whether somebody is to be woken: a copy of what `inner` says, to be looked at without it.
    wakes_pending: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    deadlines: Deadlines,
    leases: BTreeMap<LeaseId, Known>,
    grants_made: u64,
    /// What is given once a lease has ended or lapsed, by numbers of their listeners. So a listener is there for as long
    /// as the grant that it listened to.
    listeners: BTreeMap<LeaseId, BTreeMap<u64, Arc<Signal>>>,
    /// Until when the thread that ends leases sleeps, while it does.
    asleep_until: Option<Duration>,
    /// Marked, and nobody woken yet; and whether nobody was told before that the lease is lost to him.
    lost: Vec<(LeaseId, Arc<Signal>, bool)>,
    closed: bool,
    /// Nothing ends any more until a reopen.
    poisoned: bool,
}

/// What was agreed on when a lease was granted, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) ttl: Duration,
    pub(crate) lock_delay: Duration,
    pub(crate) standing: Standing,
}

impl Terms {
    pub(crate) fn of(lease: &Lease) -> Self {
        let of_millis = Duration::from_millis;
        Terms { ttl: of_millis(lease.ttl_ms), lock_delay: of_millis(lease.lock_delay_ms), standing: lease.standing }
    }

    /// A lease on these terms, of whose time nothing is known.
    pub(crate) fn lease(self) -> Lease {
        let Terms { ttl, lock_delay, standing } = self;
        Lease { ttl_ms: millis(ttl), lock_delay_ms: millis(lock_delay), standing, ..Lease::default() }
    }
}

/// A published lease.
#[derive(Clone, Copy, Debug)]
struct Known {
    terms: Terms,
    /// Which grant of an id this is: an id may be revoked and granted again.
    grant: u64,
    /// Its renewal is marked in the durable state.
    marked: bool,
    /// Its end, or that it lapses, is on its way.
    revoking: bool,
}

/// What a keep-alive found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Renewed; `mark` says that a `LeaseCheckpoint` must become durable before the answer.
    Renewed { ttl: Duration, mark: bool, grant: u64 },
    /// Its time is over, but nobody has ended it yet. It is never revived (LE-04).
    Overdue,
    /// There is no such lease, or it has lapsed.
    Missing,
    /// The store was closed, perhaps while it waited.
    Closed,
    /// The store is poisoned, perhaps since it waited: what ends the lease may be on its way, and is never published.
    Poisoned,
}

/// What is known of a lease's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseTime {
    pub(crate) terms: Terms,
    /// Of a lapsed lease, of its lock delay.
    pub(crate) remaining: Duration,
    pub(crate) deadline: Duration,
}

impl Inner {
    fn start(&mut self, id: LeaseId, terms: Terms, deadline: Duration) {
        self.deadlines.set(id, deadline);
        self.grants_made += 1;
        let grant = self.grants_made;
        self.leases.insert(id, Known { terms, grant, marked: false, revoking: false });
    }

    fn time(&self, (deadline, id): (Duration, LeaseId), now: Duration) -> Option<(LeaseId, LeaseTime)> {
        let terms = self.leases.get(&id)?.terms;
        Some((id, LeaseTime { terms, remaining: deadline.saturating_sub(now), deadline }))
    }

    fn is_due(&self, id: LeaseId, now: Duration) -> bool {
        self.deadlines.get(id).is_some_and(|deadline| deadline <= now)
    }

    fn is_revoking(&self, id: LeaseId) -> bool {
        self.leases.get(&id).is_some_and(|known| known.revoking)
    }

    fn is_listening(&self, id: LeaseId, number: u64) -> bool {
        self.listeners.get(&id).is_some_and(|listeners| listeners.contains_key(&number))
    }

    fn set_revoking(&mut self, id: LeaseId, revoking: bool) {
        if let Some(known) = self.leases.get_mut(&id) {
            known.revoking = revoking;
        }
    }
}

impl Lessor {
    /// Without leases, with an alarm of the boot clock.
    pub(crate) fn new(alarm: Arc<dyn Alarm>) -> Lessor {
        Lessor { inner: Mutex::default(), alarm, changed: Condvar::new(), wakes_pending: AtomicBool::new(false) }
    }

    /// A grant was published, or a store with this lease opened: it ends at `deadline`.
    pub(crate) fn start(&self, id: LeaseId, terms: Terms, deadline: Duration) {
        let mut inner = self.inner.lock();
        inner.start(id, terms, deadline);
        self.ring_before(&inner, deadline);
        // One command may have ended a lease of this id and granted it again.
        self.tell_lost(inner, id);
    }

    /// A put with a hidden lease was published: the lease, perhaps a new one, ends no sooner than `deadline`.
    pub(crate) fn share(&self, id: LeaseId, terms: Terms, deadline: Duration) {
        let mut inner = self.inner.lock();
        match inner.deadlines.get(id) {
            Some(known) if known >= deadline => {}
            Some(_) => inner.deadlines.set(id, deadline),
            None => inner.start(id, terms, deadline),
        }
        self.ring_before(&inner, deadline);
        self.changed.notify_all();
    }

    /// That a lease lapsed was published: its lock delay runs from `now`.
    pub(crate) fn lapse(&self, id: LeaseId, now: Duration) {
        let mut inner = self.inner.lock();
        let Some(known) = inner.leases.get_mut(&id) else { return };
        known.terms.standing = Standing::Lapsed;
        (known.marked, known.revoking) = (false, false);
        let deadline = now.saturating_add(known.terms.lock_delay);
        inner.deadlines.set(id, deadline);
        self.ring_before(&inner, deadline);
        self.tell_lost(inner, id);
    }

    /// A revoke was published.
    pub(crate) fn end(&self, id: LeaseId) {
        let mut inner = self.inner.lock();
        inner.deadlines.remove(id);
        inner.leases.remove(&id);
        if inner.leases.is_empty() {
            self.ring_before(&inner, Duration::ZERO);
        }
        self.tell_lost(inner, id);
    }

    /// Wakes the thread that ends leases if it would sleep beyond this time.
    fn ring_before(&self, inner: &Inner, deadline: Duration) {
        if inner.asleep_until.is_some_and(|until| deadline < until) {
            self.alarm.ring();
        }
    }

    /// Has the thread that ends leases awake at this time, if it sleeps.
    pub(crate) fn wake_by(&self, time: Duration) {
        self.ring_before(&self.inner.lock(), time);
    }

    /// Wakes who waits for a change, and marks the loss of this lease for who listens.
    fn tell_lost(&self, mut inner: MutexGuard<'_, Inner>, id: LeaseId) {
        for signal in inner.listeners.remove(&id).into_iter().flat_map(BTreeMap::into_values) {
            let first = signal.mark();
            inner.lost.push((id, signal, first));
            self.wakes_pending.store(true, Ordering::Relaxed);
        }
        self.changed.notify_all();
    }

    /// Wakes who listens to leases that were found lost. Called without a lock held, once what is published counts.
    pub(crate) fn wake_lost(&self) {
        if self.wakes_pending.load(Ordering::Relaxed) {
            let lost = {
                let mut inner = self.inner.lock();
                self.wakes_pending.store(false, Ordering::Relaxed);
                std::mem::take(&mut inner.lost)
            };
            for (id, signal, first) in lost {
                signal.give();
                if first {
                    trace::session_lost(id);
                }
            }
        }
    }

    /// Has `signal` given once the lease has ended or lapsed, or the store is poisoned or closed. False if that is so
    /// already.
    pub(crate) fn listen(&self, id: LeaseId, number: u64, signal: Arc<Signal>) -> bool {
        let mut inner = self.inner.lock();
        let alive = inner.leases.get(&id).is_some_and(|known| known.terms.standing == Standing::Alive);
        let lives = alive && !inner.closed && !inner.poisoned;
        if lives {
            inner.listeners.entry(id).or_default().insert(number, signal);
        }
        lives
    }

    /// Whether the grant that a listener has listened to neither ended nor lapsed.
    pub(crate) fn is_listening(&self, id: LeaseId, number: u64) -> bool {
        self.inner.lock().is_listening(id, number)
    }

    /// Takes back [`Lessor::listen`].
    pub(crate) fn unlisten(&self, id: LeaseId, number: u64) {
        let mut inner = self.inner.lock();
        if let Some(listeners) = inner.listeners.get_mut(&id) {
            listeners.remove(&number);
            if listeners.is_empty() {
                inner.listeners.remove(&id);
            }
        }
    }

    /// Moves the deadline to a full time to live from `now` on. Waits if the lease is being revoked. For a listener only
    /// the grant that it has listened to: another one of the same id is somebody else's.
    pub(crate) fn renew(&self, id: LeaseId, listener: Option<u64>, now: impl Fn() -> Duration) -> Renewal {
        let mut inner = self.inner.lock();
        while inner.is_revoking(id) && !inner.closed && !inner.poisoned {
            self.changed.wait(&mut inner);
        }
        if inner.closed {
            return Renewal::Closed;
        }
        if inner.poisoned {
            return Renewal::Poisoned;
        }
        let Some(Known { terms, grant, marked, .. }) = inner.leases.get(&id).copied() else { return Renewal::Missing };
        let replaced = listener.is_some_and(|number| !inner.is_listening(id, number));
        if terms.standing != Standing::Alive || replaced {
            return Renewal::Missing;
        }
        let now = now();
        if inner.is_due(id, now) {
            return Renewal::Overdue;
        }
        inner.deadlines.set(id, now.saturating_add(terms.ttl));
        Renewal::Renewed { ttl: terms.ttl, mark: !marked, grant }
    }

    /// The mark of a renewal is durable; false if the lease has ended or lapsed meanwhile.
    pub(crate) fn mark(&self, id: LeaseId, grant: u64) -> bool {
        let mut inner = self.inner.lock();
        match inner.leases.get_mut(&id) {
            Some(known) if known.grant == grant && known.terms.standing == Standing::Alive => {
                known.marked = true;
                true
            }
            _ => false,
        }
    }

    /// The leases whose deadline has passed; each is marked as revoking, and given once.
    pub(crate) fn due(&self, now: Duration) -> Vec<LeaseId> {
        let mut inner = self.inner.lock();
        let passed = inner.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, id)| id);
        let due: Vec<LeaseId> = passed.filter(|id| !inner.is_revoking(*id)).collect();
        due.iter().for_each(|id| inner.set_revoking(*id, true));
        due
    }

    /// Whether a lease's deadline has passed.
    pub(crate) fn is_due(&self, id: LeaseId, now: Duration) -> bool {
        self.inner.lock().is_due(id, now)
    }

    /// As `due`, for one lease.
    pub(crate) fn claim(&self, id: LeaseId, now: Duration) -> bool {
        let mut inner = self.inner.lock();
        let claimed = inner.is_due(id, now) && !inner.is_revoking(id);
        if claimed {
            inner.set_revoking(id, true);
        }
        claimed
    }

    /// An expiry changed nothing, or could not be ordered: the lease lives on and may expire again.
    pub(crate) fn spare(&self, id: LeaseId) {
        let mut inner = self.inner.lock();
        inner.set_revoking(id, false);
        if let Some(deadline) = inner.deadlines.get(id) {
            self.ring_before(&inner, deadline);
        }
        self.changed.notify_all();
    }

    /// Waits until nobody is about to end the lease: it was ended, or spared.
    pub(crate) fn wait_settled(&self, id: LeaseId) {
        let mut inner = self.inner.lock();
        while inner.is_revoking(id) && !inner.closed && !inner.poisoned {
            self.changed.wait(&mut inner);
        }
    }

    /// Waits until a deadline passes, or `other` comes, or perhaps for less; false once there is nothing to wait for.
    pub(crate) fn wait_due(&self, now: impl Fn() -> Duration, other: impl FnOnce() -> Option<Duration>) -> bool {
        // As if asleep for ever, so that `wake_by` rings for what comes too late for `other` to see it.
        self.inner.lock().asleep_until = Some(Duration::MAX);
        let other = other();
        let mut inner = self.inner.lock();
        inner.asleep_until = None;
        if inner.closed || inner.poisoned || (inner.leases.is_empty() && other.is_none()) {
            return false;
        }
        // What others are about to end may be spared, or lapse and be due again: then it is rung.
        let first = inner.deadlines.iter().find(|(_, id)| !inner.is_revoking(*id)).map(|(deadline, _)| deadline);
        let (until, now) = (first.into_iter().chain(other).min().unwrap_or(Duration::MAX), now());
        if until > now {
            inner.asleep_until = Some(until);
            MutexGuard::unlocked(&mut inner, || {
                let boot = |time: Duration| if time == Duration::MAX { time } else { time.saturating_sub(EPOCH) };
                self.alarm.sleep(boot(now), boot(until));
            });
            inner.asleep_until = None;
        }
        !inner.closed
    }

    /// Waits for a while, or until the store closes.
    pub(crate) fn pause(&self, time: Duration) {
        let mut inner = self.inner.lock();
        if !inner.closed {
            self.changed.wait_for(&mut inner, time);
        }
    }

    /// What is known of a lease, lapsed or not.
    pub(crate) fn time(&self, id: LeaseId, now: Duration) -> Option<LeaseTime> {
        let inner = self.inner.lock();
        let deadline = inner.deadlines.get(id)?;
        inner.time((deadline, id), now).map(|(_, time)| time)
    }

    /// All leases by deadline, then by id, lapsed ones too.
    pub(crate) fn list(&self, now: Duration) -> Vec<(LeaseId, LeaseTime)> {
        let inner = self.inner.lock();
        inner.deadlines.iter().filter_map(|entry| inner.time(entry, now)).collect()
    }

    /// Lets go of everyone who waits for an end that will not be published.
    pub(crate) fn poison(&self) {
        self.stop(|inner| inner.poisoned = true);
    }

    pub(crate) fn close(&self) {
        self.stop(|inner| inner.closed = true);
    }

    /// Wakes everybody. The leases are still there: their listeners stay.
    fn stop(&self, set: impl FnOnce(&mut Inner)) {
        let listeners: Vec<_> = {
            let mut inner = self.inner.lock();
            set(&mut inner);
            self.ring_before(&inner, Duration::ZERO);
            inner.listeners.values().flat_map(BTreeMap::values).cloned().collect()
        };
        self.changed.notify_all();
        for signal in &listeners {
            signal.give();
        }
        self.wake_lost();
    }
}

/// What deadlines add to the boot clock, so that one that passed before the host booted is a time like any other.
pub(crate) const EPOCH: Duration = Duration::from_secs(1 << 40);

/// How much of a lease is left when its store opens, and by how much its deadline has passed (CH-05, LE-08). Never
/// early: a clock that went backward counts as no time at all, and a lease whose owner died while keeping it alive gets
/// its full time again.
pub(crate) fn remaining_at_open(ttl_ms: u64, remaining_ms: u64, renewed: bool, elapsed_ms: u64) -> (u64, u64) {
    if renewed {
        (ttl_ms, 0)
    } else {
        (remaining_ms.saturating_sub(elapsed_ms), elapsed_ms.saturating_sub(remaining_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::looking;

    const S: Duration = Duration::from_secs(1);

    fn terms(ttl: Duration) -> Terms {
        Terms { ttl, lock_delay: Duration::ZERO, standing: Standing::Alive }
    }

    #[test]
    fn a_lease_is_due_once_and_a_spared_one_again() {
        let lessor = Lessor::new(looking());
        lessor.start(LeaseId::new(1), terms(S), 5 * S);
        assert!(lessor.due(4 * S).is_empty());
        assert_eq!(lessor.due(5 * S), [LeaseId::new(1)]);
        assert!(lessor.due(6 * S).is_empty());
        lessor.spare(LeaseId::new(1));
        assert_eq!(lessor.due(6 * S), [LeaseId::new(1)]);
        lessor.end(LeaseId::new(1));
        assert_eq!(lessor.renew(LeaseId::new(1), None, || 6 * S), Renewal::Missing);
    }

    #[test]
    fn the_first_renewal_asks_for_a_mark() {
        let lessor = Lessor::new(looking());
        let id = LeaseId::new(1);
        lessor.start(id, terms(3 * S), 3 * S);
        assert_eq!(lessor.renew(id, None, || S), Renewal::Renewed { ttl: 3 * S, mark: true, grant: 1 });
        assert!(!lessor.mark(id, 0) && lessor.mark(id, 1));
        assert_eq!(lessor.renew(id, None, || 2 * S), Renewal::Renewed { ttl: 3 * S, mark: false, grant: 1 });
        assert_eq!(lessor.time(id, 2 * S).map(|time| time.remaining), Some(3 * S));
        assert!(lessor.due(4 * S).is_empty());
    }

    /// A lease was kept alive, revoked, and its id granted again before the mark of the renewal was durable: the mark is
    /// not the new grant's, whose own first renewal would else never be written down.
    #[test]
    fn a_mark_is_of_one_grant() {
        let lessor = Lessor::new(looking());
        let id = LeaseId::new(1);
        lessor.start(id, terms(3 * S), 3 * S);
        let Renewal::Renewed { grant: old, .. } = lessor.renew(id, None, || S) else { panic!("it lives") };
        lessor.end(id);
        assert!(!lessor.mark(id, old));
        lessor.start(id, terms(5 * S), 6 * S);
        assert!(!lessor.mark(id, old));
        let Renewal::Renewed { ttl, mark, grant } = lessor.renew(id, None, || 2 * S) else { panic!("it lives") };
        assert!(mark && grant != old && ttl == 5 * S);
        assert!(lessor.mark(id, grant));
    }

    #[test]
    fn a_lapsed_lease_is_due_once_its_delay_is_over() {
        let lessor = Lessor::new(looking());
        let id = LeaseId::new(1);
        lessor.start(id, Terms { lock_delay: 4 * S, ..terms(3 * S) }, 3 * S);
        let Renewal::Renewed { grant, .. } = lessor.renew(id, None, || S) else { panic!("it lives") };
        assert_eq!(lessor.due(4 * S), [id]);
        lessor.lapse(id, 5 * S);
        assert_eq!(lessor.renew(id, None, || 5 * S), Renewal::Missing);
        assert!(!lessor.mark(id, grant));
        assert!(lessor.due(8 * S).is_empty());
        assert!(lessor.claim(id, 9 * S) && !lessor.claim(id, 9 * S));
    }

    /// A caller was about to end the only lease when the thread that ends leases looked for work: it found none and went,
    /// and nobody ended the lease that was spared or had lapsed.
    #[test]
    fn who_ends_leases_waits_for_those_that_others_end() {
        let lessor = Lessor::new(looking());
        let id = LeaseId::new(1);
        lessor.start(id, terms(S), S);
        assert!(lessor.claim(id, S));
        assert!(lessor.wait_due(|| S, || Some(S)));
        lessor.spare(id);
        assert_eq!(lessor.due(S), [id]);
        lessor.end(id);
        assert!(!lessor.wait_due(|| S, || None));
    }

    /// An alarm that knows whether it was rung before somebody sleeps.
    #[derive(Debug, Default)]
    struct Rung(AtomicBool);

    impl Alarm for Rung {
        fn sleep(&self, _: Duration, until: Duration) {
            assert!(self.0.load(Ordering::Relaxed), "would sleep until {until:?}");
        }

        fn ring(&self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// A cursor's age was published when the thread that ends leases had asked for the earliest one and did not sleep yet:
    /// nobody rang, and the age waited for the next lease's deadline.
    #[test]
    fn what_is_due_earlier_is_heard_of_before_the_sleep_too() {
        let lessor = Lessor::new(Arc::new(Rung::default()));
        lessor.start(LeaseId::new(1), terms(3_600 * S), EPOCH + 3_600 * S);
        let late = || {
            lessor.wake_by(EPOCH + S);
            None
        };
        assert!(lessor.wait_due(|| EPOCH, late));
    }

    #[test]
    fn a_restart_never_refreshes_and_never_ends_early() {
        assert_eq!(remaining_at_open(1000, 600, false, 100), (500, 0));
        assert_eq!(remaining_at_open(1000, 600, false, 700), (0, 100));
        assert_eq!(remaining_at_open(1000, 600, true, 700), (1000, 0));
    }
}
