//! Keeping leases alive: what renews them while somebody wants them, and tells when one is lost.
//!
//! One thread renews all kept leases of a store, each a third of its time after the last renewal, as etcd's client
//! does. It exists only while a lease is kept and wakes only when a renewal is due; a renewal costs memory alone, but
//! for the first one after a grant or an open (see `lease/mod.rs`). A process that is gone renews nothing, so its
//! leases end; one that was paused for longer than a lease finds it ended, and never revives it.
//!
//! A lease is **lost** when it ends, whoever ended it; when the store is closed or poisoned; and for its owner at the
//! latest one time to live after the *sending* of the last renewal that was answered, by the clock that the deadline
//! runs on. It is told at once: the lessor gives [`Kept::lost`] after publication, without waiting for the next renewal.
//! Once lost it stays so: a renewal that is answered too late counts for nothing, and none is asked for any more.
//!
//! All renewals that are due at a time are one batch: their leases live on in memory first, then the marks of those that
//! are renewed for the first time become durable with one sync, in a thread of their own. So neither the number of sessions
//! nor the time of a sync makes one of them wait for another, or for being told that it is lost.
//!
//! What is due is waited for on the boot clock, which counts suspend, as deadlines do: a host that slept past the time of a
//! renewal, but not past the lease, renews as soon as it has woken up.
//!
//! Locks: inside the keeper's own nothing is taken but the alarm's. The thread holds the engine, not a `Db`, so that it
//! never drops the last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::db::Db;
use crate::db::signal::Signal;
use crate::engine::Engine;
use crate::engine::leases::Renewed;
use crate::error::{Error, Result};
use crate::io::Alarm;
use crate::io::sync::{Mutex, MutexGuard};
use crate::io::thread::{self, JoinHandle};
use crate::kv::LeaseId;
use crate::trace;

/// A lease is renewed once this part of its time has passed.
const RENEW_PART: u32 = 3;

/// How long a renewal waits, at most, that failed for want of room or time.
const RETRY_MAX: Duration = Duration::from_millis(500);

/// Renews the kept leases of one store.
#[derive(Debug)]
pub(crate) struct Keeper {
    state: Mutex<State>,
    /// What the thread sleeps in; rung when a renewal is due before the one that it waits for, when nothing is kept any
    /// more, and at close.
    alarm: Arc<dyn Alarm>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// With the time when each is to be renewed, on the boot clock, or counts as lost while it is being marked; none while
    /// it is being renewed.
    kept: BTreeMap<u64, (Arc<Kept>, Option<Duration>)>,
    /// The same by time.
    due: BTreeSet<(Duration, u64)>,
    /// Until when the thread sleeps, if it does.
    asleep_until: Option<Duration>,
    running: bool,
    closed: bool,
    thread: Option<JoinHandle<()>>,
    /// Threads that wait for marks to become durable: one at a time, unless the disk stands still.
    markers: Vec<JoinHandle<()>>,
}

/// A lease that is kept alive.
#[derive(Debug)]
pub(crate) struct Kept {
    id: LeaseId,
    /// Until when the last answered renewal holds, in nanoseconds of the boot clock; zero once that was found to be over,
    /// for good. Acquire and Release: each is changed from what was seen.
    valid_until: AtomicU64,
    /// Given when the lease is lost.
    pub(crate) lost: Arc<Signal>,
}

/// Keeps a lease alive until it is dropped.
#[derive(Debug)]
pub(crate) struct Keeping {
    engine: Arc<Engine>,
    keeper: Arc<Keeper>,
    kept: Arc<Kept>,
    number: u64,
}

impl Db {
    /// Keeps a lease alive that was granted, or renewed, for `ttl` by a call that began at `sent` on the boot clock.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`] if it has ended already; [`Error::Closed`]; [`Error::Io`] without a thread.
    pub(crate) fn keep(&self, id: LeaseId, ttl: Duration, sent: Duration) -> Result<Keeping> {
        let engine = self.engine().clone();
        let keeper = self.keeper().clone();
        let kept = Arc::new(Kept { id, valid_until: AtomicU64::new(nanos(sent + ttl)), lost: Arc::default() });
        let number = keeper.next_number();
        let keeping = Keeping { engine, keeper, kept, number };
        // From now on the end of the lease is told. One that came before is found out here.
        if !keeping.engine.lessor.listen(id, number, keeping.kept.lost.clone()) {
            self.engine().check_open()?;
            self.engine().check_poison()?;
            return Err(Error::LeaseNotFound);
        }
        keeping.keeper.add(&keeping.engine, number, &keeping.kept, sent + ttl / RENEW_PART)?;
        Ok(keeping)
    }

    /// The time on the clock that leases run on.
    pub(crate) fn boot_time(&self) -> Duration {
        self.engine().clock.boot()
    }
}

impl Keeping {
    /// What is known of the lease.
    pub(crate) fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// Whether the lease is not lost, by what its owner can know: also when nobody has come to end it yet.
    pub(crate) fn is_valid(&self) -> bool {
        self.kept.is_valid(|| self.engine.clock.boot())
    }

    /// Whether the lease itself neither ended nor lapsed, as far as is published, though it may count as lost here. Its
    /// id may have been granted again: that is another lease.
    pub(crate) fn exists(&self) -> bool {
        self.engine.lessor.is_listening(self.kept.id, self.number)
    }

    /// Ends the renewals. The lease counts as lost from here on, whatever becomes of it.
    pub(crate) fn stop(&self) {
        self.keeper.remove(self.number);
        self.kept.lost.give();
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.stop();
        self.engine.lessor.unlisten(self.kept.id, self.number);
    }
}

impl Keeper {
    /// Keeps nothing yet. The alarm is one of the clock that leases run on.
    pub(crate) fn new(alarm: Arc<dyn Alarm>) -> Keeper {
        Keeper { state: Mutex::default(), alarm }
    }

    fn next_number(&self) -> u64 {
        let mut state = self.state.lock();
        state.next += 1;
        state.next
    }

    fn add(self: &Arc<Self>, engine: &Arc<Engine>, number: u64, kept: &Arc<Kept>, due: Duration) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.kept.insert(number, (kept.clone(), None));
        self.put_back(&mut state, number, due);
        if state.running || engine.options.tuning.manual {
            return Ok(());
        }
        // The one before has done its last step.
        state.thread.take().map(JoinHandle::join);
        let (keeper, engine) = (self.clone(), engine.clone());
        match thread::spawn("keep", move || keeper.run(&engine)) {
            Ok(thread) => {
                state.running = true;
                state.thread = Some(thread);
                Ok(())
            }
            Err(error) => {
                state.remove(number);
                Err(Error::io("start a thread", "", error))
            }
        }
    }

    fn remove(&self, number: u64) {
        let mut state = self.state.lock();
        state.remove(number);
        if state.kept.is_empty() {
            self.alarm.ring();
        }
    }

    /// Has a lease looked at when it is due, unless nobody wants it any more.
    fn put_back(&self, state: &mut State, number: u64, due: Duration) {
        state.put_back(number, due);
        if state.asleep_until.is_some_and(|until| due < until) {
            self.alarm.ring();
        }
    }

    fn run(self: &Arc<Self>, engine: &Arc<Engine>) {
        while self.wait_due(engine) {
            self.renew_due(engine);
        }
    }

    /// Waits until a renewal is due; false once there is nothing to keep.
    fn wait_due(&self, engine: &Engine) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.closed || state.kept.is_empty() {
                state.running = false;
                return false;
            }
            // Nothing is due while all that is kept is being renewed, by a test.
            let due = state.due.first().map_or(Duration::MAX, |(due, _)| *due);
            let now = engine.clock.boot();
            if due <= now {
                return true;
            }
            state.asleep_until = Some(due);
            // A ring in between is not lost: it ends the sleep that comes.
            MutexGuard::unlocked(&mut state, || self.alarm.sleep(now, due));
            state.asleep_until = None;
        }
    }

    /// Renews what is due by now, all of it together.
    pub(crate) fn renew_due(self: &Arc<Self>, engine: &Arc<Engine>) {
        let boot = || engine.clock.boot();
        // Not held while leases are renewed.
        let due = self.state.lock().take_due(boot());
        // Whoever lost his lease has nothing to be renewed: what has its id now is not his.
        let (held, lost): (Vec<_>, Vec<_>) = due.into_iter().partition(|(_, kept)| kept.is_valid(boot));
        lost.iter().for_each(|(number, kept)| self.lose(*number, kept));
        // The time is read before the renewals are asked for, so that none is taken for longer than it is.
        let sent = boot();
        let asked: Vec<_> = held.iter().map(|(number, kept)| (kept.id, *number)).collect();
        let mut to_mark = Vec::new();
        for ((number, kept), answer) in held.into_iter().zip(engine.renew_all(&asked)) {
            match answer {
                Ok(renewed) if renewed.mark => to_mark.push((number, kept, renewed)),
                answer => self.settle(engine, number, &kept, sent, answer.map(|renewed| renewed.ttl)),
            }
        }
        if !to_mark.is_empty() {
            self.mark(engine, sent, to_mark);
        }
    }

    /// Marks renewals, without keeping the others waiting for the disk.
    fn mark(self: &Arc<Self>, engine: &Arc<Engine>, sent: Duration, to_mark: Vec<(u64, Arc<Kept>, Renewed)>) {
        let mut state = self.state.lock();
        for (number, kept, _) in &to_mark {
            self.put_back(&mut state, *number, kept.valid_until());
        }
        if engine.options.tuning.manual || state.closed {
            drop(state);
            return self.mark_now(engine, sent, &to_mark);
        }
        state.markers.extract_if(.., |marker| marker.is_finished()).for_each(|marker| drop(marker.join()));
        let to_mark = Arc::new(to_mark);
        let marking = (self.clone(), engine.clone(), to_mark.clone());
        match thread::spawn("mark", move || marking.0.mark_now(&marking.1, sent, &marking.2)) {
            Ok(marker) => state.markers.push(marker),
            Err(_) => {
                drop(state);
                self.mark_now(engine, sent, &to_mark);
            }
        }
    }

    fn mark_now(&self, engine: &Engine, sent: Duration, to_mark: &[(u64, Arc<Kept>, Renewed)]) {
        let renewals: Vec<_> = to_mark.iter().map(|(_, _, renewed)| *renewed).collect();
        for ((number, kept, renewed), marked) in to_mark.iter().zip(engine.mark_all_renewed(&renewals)) {
            self.settle(engine, *number, kept, sent, marked.map(|()| renewed.ttl));
        }
    }

    /// What the answer to a renewal that was sent then means.
    fn settle(&self, engine: &Engine, number: u64, kept: &Kept, sent: Duration, answer: Result<Duration>) {
        let boot = || engine.clock.boot();
        let next = match answer {
            Ok(ttl) => kept.extend(sent + ttl, boot).then(|| sent + ttl / RENEW_PART),
            Err(Error::Timeout | Error::Full { .. }) => kept.retry_at(boot()),
            Err(_) => None,
        };
        match next {
            Some(due) => self.put_back(&mut self.state.lock(), number, due),
            None => self.lose(number, kept),
        }
    }

    fn lose(&self, number: u64, kept: &Kept) {
        self.remove(number);
        if kept.lost.give() {
            trace::session_lost(kept.id);
        }
    }

    /// Ends all renewals and the thread, and tells everyone. A thread that is under way here does not wait for itself.
    pub(crate) fn close(&self) {
        let (kept, threads) = {
            let mut state = self.state.lock();
            state.closed = true;
            state.due.clear();
            self.alarm.ring();
            let threads = state.thread.take().into_iter().chain(std::mem::take(&mut state.markers));
            (std::mem::take(&mut state.kept), threads.collect::<Vec<_>>())
        };
        for (kept, _) in kept.into_values() {
            kept.lost.give();
        }
        let others = threads.into_iter().filter(|thread| thread.thread().id() != thread::current());
        others.for_each(|thread| drop(thread.join()));
    }
}

impl State {
    fn remove(&mut self, number: u64) {
        if let Some((_, Some(due))) = self.kept.remove(&number) {
            self.due.remove(&(due, number));
        }
    }

    /// What is due by now, in the order of time.
    fn take_due(&mut self, now: Duration) -> Vec<(u64, Arc<Kept>)> {
        let later = self.due.split_off(&(now + Duration::from_nanos(1), 0));
        let due = std::mem::replace(&mut self.due, later);
        let mut taken = Vec::with_capacity(due.len());
        for (_, number) in due {
            if let Some((kept, at)) = self.kept.get_mut(&number) {
                *at = None;
                taken.push((number, kept.clone()));
            }
        }
        taken
    }

    /// Unless nobody wants it any more.
    fn put_back(&mut self, number: u64, due: Duration) {
        if let Some((_, at)) = self.kept.get_mut(&number) {
            if let Some(before) = at.replace(due) {
                self.due.remove(&(before, number));
            }
            self.due.insert((due, number));
        }
    }
}

impl Kept {
    /// Whether the last answered renewal holds. Once it was found not to, it never does again.
    fn is_valid(&self, now: impl Fn() -> Duration) -> bool {
        loop {
            let until = self.valid_until.load(Ordering::Acquire);
            if self.lost.is_given() || until == 0 {
                return false;
            }
            if nanos(now()) < until {
                return true;
            }
            // Unless a renewal was answered in between, which was in time then.
            if self.valid_until.compare_exchange(until, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return false;
            }
        }
    }

    /// A renewal was answered that holds until then; false if the answer came too late.
    fn extend(&self, until: Duration, now: impl Fn() -> Duration) -> bool {
        let before = self.valid_until.load(Ordering::Acquire);
        let change = || self.valid_until.compare_exchange(before, nanos(until), Ordering::AcqRel, Ordering::Acquire);
        nanos(now()) < before && change().is_ok()
    }

    fn valid_until(&self) -> Duration {
        Duration::from_nanos(self.valid_until.load(Ordering::Acquire))
    }

    /// When to try again, as long as the last renewal holds.
    fn retry_at(&self, now: Duration) -> Option<Duration> {
        let left = self.valid_until().saturating_sub(now);
        (!left.is_zero()).then(|| now + (left / 2).min(RETRY_MAX))
    }
}

/// Saturating after five centuries.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
