//! Barriers: one that somebody holds against all others, and one that so many enter and leave together.

use std::time::Duration;

use bytes::Bytes;

use crate::coordination::keys::unique_name;
use crate::coordination::session::Session;
use crate::coordination::wait::{
    Entry, WaitOptions, Waited, Waiter, give_up_unless_come, join, release, without_lease,
};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::kv::{KeyRange, KeyValue, Revision};
use crate::op::{Compare, Delete, Op, Put, Range, SortOrder, SortTarget, Token};
use crate::watch::Watch;

/// A barrier: while its key exists, whoever comes waits; as etcd's `recipe.Barrier`. It belongs to no session, and stays
/// until somebody releases it.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let barrier = db.barrier("maintenance");
/// assert!(barrier.hold()?);
/// assert!(!barrier.wait_timeout(std::time::Duration::ZERO)?);
/// barrier.release()?;
/// barrier.wait()?;
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Barrier {
    db: Db,
    key: Bytes,
}

impl Db {
    /// A barrier with this key. Nothing is done yet.
    pub fn barrier(&self, key: impl AsRef<[u8]>) -> Barrier {
        Barrier { db: self.clone(), key: Bytes::copy_from_slice(key.as_ref()) }
    }
}

impl Barrier {
    /// Puts the barrier up. False if it was up already, where etcd has the error "key already exists".
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn hold(&self) -> Result<bool> {
        Ok(self.db.put_if_absent(&self.key, "")?.is_some())
    }

    /// Takes the barrier away: all who wait go on. One that is not there is fine.
    ///
    /// # Errors
    /// As [`Db::delete`].
    pub fn release(&self) -> Result<()> {
        self.db.delete(&self.key).map(drop)
    }

    /// Waits until the barrier is not there.
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn wait(&self) -> Result<()> {
        self.wait_with(&WaitOptions::new()).map(drop)
    }

    /// As [`Barrier::wait`] for at most `timeout`; whether it came away.
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        self.wait_with(&WaitOptions::new().timeout(timeout))
    }

    /// As [`Barrier::wait_timeout`], as the options say.
    ///
    /// # Errors
    /// As [`Db::get`]; [`Error::WaitCanceled`].
    pub fn wait_with(&self, options: &WaitOptions) -> Result<bool> {
        let waiter = Waiter::new(&self.db, None, options);
        // As etcd has it, one release lets everyone go who waited before it, whether or not it is held again.
        Ok(await_gone(&self.db, &waiter, &self.key, None)? == Waited::Come)
    }
}

/// Waits until a key was deleted that is there now: at once if it is not. `own` is a key whose loss ends the wait.
fn await_gone(db: &Db, waiter: &Waiter<'_>, key: &Bytes, own: Option<&Token>) -> Result<Waited> {
    loop {
        let found = db.query(Range::new(key).keys_only())?;
        if found.kvs.is_empty() {
            return Ok(Waited::Come);
        }
        let gone = |key: &Bytes| db.watch(key).no_put().from(found.revision + 1).start();
        match await_event(waiter, [Some(gone(key)), own.map(|own| gone(&own.key))])? {
            Some(waited) => return Ok(waited),
            None => continue,
        }
    }
}

/// Waits for any of these watches. `None` if a compaction was faster than their start: look again.
fn await_event(waiter: &Waiter<'_>, watches: [Option<Result<Watch>>; 2]) -> Result<Option<Waited>> {
    match watches.into_iter().flatten().collect::<Result<Vec<_>>>() {
        Ok(mut watches) => waiter.wait(&mut watches).map(Some),
        Err(Error::Compacted { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A barrier that a number of sessions enter together and leave together; as etcd's `recipe.DoubleBarrier`.
///
/// Keys are `name/waiters/…`, a new number for each, and `name/ready`, as in etcd.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let session = db.session(std::time::Duration::from_secs(10))?;
/// let inside = session.double_barrier("phase-1", 1).enter()?;
/// inside.leave()?;
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DoubleBarrier {
    session: Session,
    name: Bytes,
    count: usize,
}

impl DoubleBarrier {
    pub(super) fn new(session: &Session, name: &[u8], count: usize) -> Self {
        DoubleBarrier { session: session.clone(), name: Bytes::copy_from_slice(name), count }
    }

    /// Waits until so many have entered.
    ///
    /// # Errors
    /// [`Error::Full`] if so many are inside already, etcd's "too many clients"; [`Error::SessionExpired`] as soon as
    /// the session is lost; those of [`Db::put`].
    pub fn enter(&self) -> Result<InsideBarrier> {
        loop {
            if let Some(inside) = self.enter_with(&WaitOptions::new())? {
                return Ok(inside);
            }
        }
    }

    /// Waits for at most `timeout` until so many have entered. `None` if that was not enough: this one is out again.
    ///
    /// # Errors
    /// As [`DoubleBarrier::enter`].
    pub fn enter_timeout(&self, timeout: Duration) -> Result<Option<InsideBarrier>> {
        self.enter_with(&WaitOptions::new().timeout(timeout))
    }

    /// As [`DoubleBarrier::enter_timeout`], as the options say.
    ///
    /// # Errors
    /// As [`DoubleBarrier::enter`]; [`Error::WaitCanceled`].
    pub fn enter_with(&self, options: &WaitOptions) -> Result<Option<InsideBarrier>> {
        self.session.check()?;
        let full = || Error::Full { what: "the double barrier", max: self.count as u64 };
        if self.waiters(Revision::ZERO)?.len() >= self.count {
            return Err(full());
        }
        let entry = self.put_waiter()?;
        let waiters = self.waiters(Revision::ZERO)?;
        let place = waiters.iter().position(|kv| kv.key == entry.own.key);
        let ready = match place {
            None => Err(self.session.loss()),
            Some(place) if place >= self.count => Err(full()),
            Some(place) if place + 1 == self.count => self.put_ready(&entry.own).map(Some),
            Some(_) => self.await_ready(&entry.own, options),
        };
        let waited = match &ready {
            Ok(Some(_)) => self.session.check().map(|()| Waited::Come),
            Ok(None) => Ok(Waited::TimedOut),
            Err(error) => Err(error.clone()),
        };
        let entry = give_up_unless_come(&self.session, entry, waited)?;
        let inside =
            |(entry, ready): (Entry, _)| InsideBarrier { barrier: self.clone(), own: entry.own, ready, left: false };
        Ok(entry.zip(ready?).map(inside))
    }

    fn put_waiter(&self) -> Result<Entry> {
        loop {
            let key = unique_name(self.session.db(), &self.below(b"/waiters"));
            // Nothing blocks it.
            let entry = join(&self.session, key.clone(), KeyRange::key(key), b"")?;
            if entry.found.is_none() {
                return Ok(entry);
            }
        }
    }

    /// The one that makes the number full lets all others go.
    fn put_ready(&self, own: &Token) -> Result<Revision> {
        let there = Compare::held(own);
        let put = Put::new(self.below(b"/ready"), "");
        let response = self.session.db().txn().when([there]).then([put]).commit().map_err(without_lease)?;
        if response.succeeded { Ok(response.revision) } else { Err(self.session.loss()) }
    }

    /// Waits until the barrier is ready, as of which revision it tells; `None` when the time was up.
    fn await_ready(&self, own: &Token, options: &WaitOptions) -> Result<Option<Revision>> {
        let db = self.session.db();
        let ready: Bytes = self.below(b"/ready").into();
        let waiter = Waiter::new(db, Some(&self.session), options);
        // Every put of it from our own on, so that none is missed that came before we began to wait.
        let mut seen = own.revision;
        loop {
            let found = db.query(Range::new(&ready).keys_only())?;
            if let Some(kv) = found.kvs.first().filter(|kv| kv.mod_revision >= own.revision) {
                return self.still_inside(own).map(|()| Some(kv.mod_revision));
            }
            self.still_inside(own)?;
            seen = seen.max(found.revision);
            let made = db.watch(&ready).no_delete().from(seen + 1).start();
            let gone = db.watch(&own.key).no_put().from(seen + 1).start();
            if await_event(&waiter, [Some(made), Some(gone)])? == Some(Waited::TimedOut) {
                return Ok(None);
            }
        }
    }

    fn still_inside(&self, own: &Token) -> Result<()> {
        let found = self.session.db().get(&own.key)?;
        let same = found.is_some_and(|kv| kv.create_revision == own.revision);
        if same { Ok(()) } else { Err(self.session.loss()) }
    }

    /// Who has entered up to a revision, in that order; zero is no bound.
    fn waiters(&self, until: Revision) -> Result<Vec<KeyValue>> {
        let waiters = Range::new(KeyRange::prefix(self.below(b"/waiters")));
        let waiters = waiters.max_create_revision(until).sort(SortTarget::CreateRevision, SortOrder::Ascend);
        Ok(self.session.db().query(waiters)?.kvs)
    }

    fn below(&self, end: &[u8]) -> Vec<u8> {
        [&self.name, end].concat()
    }
}

/// A place inside a [`DoubleBarrier`]. Dropping it gives the place up without waiting for the others.
#[derive(Debug)]
pub struct InsideBarrier {
    barrier: DoubleBarrier,
    own: Token,
    /// When all were inside: who has entered later is of the next round.
    ready: Revision,
    left: bool,
}

impl InsideBarrier {
    /// Waits until all who entered together have left, or their sessions have ended.
    ///
    /// # Errors
    /// [`Error::SessionExpired`] as soon as the session is lost; those of [`Db::put`].
    pub fn leave(self) -> Result<()> {
        self.leave_with(&WaitOptions::new()).map(drop)
    }

    /// As [`InsideBarrier::leave`], as the options say; whether all have left. The place is given up in any case.
    ///
    /// # Errors
    /// As [`InsideBarrier::leave`]; [`Error::WaitCanceled`].
    pub fn leave_with(mut self, options: &WaitOptions) -> Result<bool> {
        let session = &self.barrier.session;
        let db = session.db();
        let waiter = Waiter::new(db, Some(session), options);
        loop {
            session.check()?;
            let others = self.barrier.waiters(self.ready)?;
            let lowest = others.first().is_some_and(|kv| kv.key == self.own.key);
            if !self.left && (!lowest || others.len() == 1) {
                self.step_out(others.len() == 1 && lowest)?;
                self.left = true;
                continue;
            }
            // The first to enter is the last to go: it waits for the others, they wait for it.
            let awaited = if lowest { others.last() } else { others.first() };
            let Some(awaited) = awaited else { return Ok(true) };
            let own = (!self.left).then_some(&self.own);
            if await_gone(db, &waiter, &awaited.key, own)? == Waited::TimedOut {
                return Ok(false);
            }
        }
    }

    /// Gives the place up; the last one takes the mark away.
    fn step_out(&self, last: bool) -> Result<()> {
        let mut ops: Vec<Op> = vec![Delete::new(&self.own.key).into()];
        if last {
            ops.push(Delete::new(self.barrier.below(b"/ready")).into());
        }
        self.barrier.session.db().txn().fenced(&self.own).then(ops).commit().map(drop)
    }
}

impl Drop for InsideBarrier {
    fn drop(&mut self) {
        if !self.left {
            // If it fails, the place goes with the session.
            let _ = release(self.barrier.session.db(), &self.own);
        }
    }
}
