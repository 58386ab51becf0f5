//! Waiting: for a watch to have something, and at the same time for the caller's patience, its cancellation and the
//! end of its session.
//!
//! All of these wake one parked thread by the same waker, so nothing is polled. What wakes a waiter is looked at in this
//! order: events first, since they may mean that its wait is over, whatever else has happened.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use crate::coordination::line::{Line, Place};
use crate::coordination::session::Session;
use crate::coordination::stand::Standing;
use crate::db::Db;
use crate::db::signal::{Parker, Signal};
use crate::error::{Error, Result};
use crate::kv::{KeyRange, LeaseId, Revision};
use crate::op::{Compare, Delete, Op, OpResponse, Put, Range, Token, Txn, TxnResponse};
use crate::watch::Watch;

/// Cancels waits from another thread: of all calls that were given a clone of it, now or later. For one program that
/// ends, or one request that is given up.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::coordination::{Cancel, WaitOptions};
/// # let (one, two) = (db.session(std::time::Duration::from_secs(9))?, db.session(std::time::Duration::from_secs(9))?);
/// let held = one.mutex("lock").lock()?;
/// let cancel = Cancel::new();
/// std::thread::scope(|scope| {
///     let options = WaitOptions::new().cancel(&cancel);
///     let waiter = scope.spawn(move || two.mutex("lock").lock_with(&options).map(|guard| guard.is_some()));
///     cancel.cancel();
///     assert!(matches!(waiter.join().expect("no panic"), Err(etclite::Error::WaitCanceled)));
/// });
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    signal: Arc<Signal>,
}

impl Cancel {
    /// Nothing is cancelled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the waits with [`Error::WaitCanceled`], and those to come. Does not wait for them.
    pub fn cancel(&self) {
        self.signal.give();
    }

    /// Whether it was called.
    pub fn is_canceled(&self) -> bool {
        self.signal.is_given()
    }
}

/// How long a call waits, and what ends it.
#[derive(Clone, Debug, Default)]
pub struct WaitOptions {
    timeout: Option<Duration>,
    cancel: Option<Cancel>,
}

impl WaitOptions {
    /// Waits for ever.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for at most that long; zero does not wait.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits until that is called.
    #[must_use]
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }
}

/// What a wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// What was waited for has come, or may have.
    Come,
    /// The time was up.
    TimedOut,
}

/// One call's waits.
pub(super) struct Waiter<'a> {
    db: &'a Db,
    /// Whose end ends the wait.
    session: Option<&'a Session>,
    cancel: Option<&'a Cancel>,
    /// On the monotonic clock.
    until: Option<Duration>,
    parker: Arc<Parker>,
    waker: Waker,
}

impl<'a> Waiter<'a> {
    pub(super) fn new(db: &'a Db, session: Option<&'a Session>, options: &'a WaitOptions) -> Self {
        let until = options.timeout.and_then(|timeout| db.mono_time().checked_add(timeout));
        let parker = Parker::new();
        let waker = Waker::from(parker.clone());
        Waiter { db, session, cancel: options.cancel.as_ref(), until, parker, waker }
    }

    /// Waits until one of these watches has something, which is not returned: look at the store. Drop the watches
    /// before, so that a line is up to date.
    pub(super) fn wait(&self, watches: &mut [Watch]) -> Result<Waited> {
        let first = |context: &mut Context<'_>| {
            let mut ready = watches.iter_mut().map(|watch| watch.poll(context)).filter(Poll::is_ready);
            ready.next().unwrap_or(Poll::Pending)
        };
        match self.wait_for(first)? {
            None => Ok(Waited::TimedOut),
            // A compaction was faster than the waiter, who looks anyway.
            Some(Some(Ok(_) | Err(Error::Compacted { .. }))) => Ok(Waited::Come),
            Some(Some(Err(error))) => Err(error),
            // A store that is opened read-only never changes.
            Some(None) => Err(Error::ReadOnly),
        }
    }

    /// Waits until there is something; `None` if the time was up before.
    pub(super) fn wait_for<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<Option<T>> {
        let _lost = self.session.map(|session| session.lost().listen(&self.waker));
        // A session ends with its store; without one, what nobody can write to any more never brings what is waited for.
        let _broken = self.session.is_none().then(|| self.db.engine().broken.listen(&self.waker));
        let _canceled = self.cancel.map(|cancel| cancel.signal.listen(&self.waker));
        loop {
            if let Poll::Ready(found) = poll(&mut Context::from_waker(&self.waker)) {
                return Ok(Some(found));
            }
            if self.cancel.is_some_and(Cancel::is_canceled) {
                return Err(Error::WaitCanceled);
            }
            if let Some(session) = self.session {
                session.check()?;
            }
            if self.session.is_none() {
                self.db.engine().check_poison()?;
            }
            let left = self.until.map(|until| until.saturating_sub(self.db.mono_time()));
            if left == Some(Duration::ZERO) || !self.parker.park(left) {
                return Ok(None);
            }
            // A figure, which orders nothing.
            self.db.lines().wakes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until nothing is before this key in its line that blocks it: as of the revision that is returned; `None` if
    /// the time was up before.
    ///
    /// # Errors
    /// [`Error::SessionExpired`] once the key is gone: after each wait it is looked for again.
    pub(super) fn wait_turn(
        &self,
        line: &Line,
        own: &Token,
        blocks: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<Revision>> {
        loop {
            let (place, seen) = line.place(self.db, own, blocks)?;
            let before = match place {
                Place::Gone => return Err(self.session.map_or(Error::SessionExpired, Session::loss)),
                Place::First => return Ok(Some(seen)),
                Place::Behind(key) => key,
            };
            let gone = |key: &Bytes| self.db.watch(key).no_put().from(seen + 1).start();
            let mut watches = match (gone(&before), gone(&own.key)) {
                (Ok(before), Ok(own)) => [before, own],
                // In the meantime a compaction passed what was seen.
                (Err(Error::Compacted { .. }), _) | (_, Err(Error::Compacted { .. })) => continue,
                (Err(error), _) | (_, Err(error)) => return Err(error),
            };
            if self.wait(&mut watches)? == Waited::TimedOut {
                return Ok(None);
            }
        }
    }
}

impl Db {
    fn mono_time(&self) -> Duration {
        self.engine().clock.now().mono
    }
}

/// A key that a session has put to stand in line.
pub(super) struct Entry {
    pub(super) own: Token,
    /// Of a key that other threads of the session may stand with: that this call does.
    pub(super) standing: Option<Standing>,
    /// Whether this call has put it; otherwise the session had it already, with this value.
    pub(super) found: Option<Bytes>,
    /// Whether nobody else was there.
    pub(super) alone: bool,
    /// The store's revision when it entered, and once its turn has come, as of then.
    pub(super) seen: Revision,
}

/// Puts the session's key under the prefix, unless it is there already: the one key that all its threads stand with.
pub(super) fn enter(session: &Session, prefix: &Bytes, value: &[u8]) -> Result<Entry> {
    let key = own_key(prefix, session.lease());
    let standing = Standing::new(session, &key);
    match join(session, key, KeyRange::prefix(prefix), value) {
        Ok(entry) => {
            if entry.found.is_none() {
                standing.note_put(entry.own.revision);
            }
            Ok(Entry { standing: Some(standing), ..entry })
        }
        // Others may have given up meanwhile, and left the key to this call.
        Err(error) => settled(standing.give_up()).and(Err(error)),
    }
}

/// Puts a key of the session's, unless it is there already: one txn, which also tells whether nothing of what may block
/// the key was there before it.
///
/// Differs from etcd: there the txn reads the oldest key of the prefix, sorting all of them each time.
pub(super) fn join(session: &Session, key: Bytes, blocking: KeyRange, value: &[u8]) -> Result<Entry> {
    let put = || Put::new(&key, value).lease(session.lease());
    let absent = || Compare::create_revision(&key).eq(0);
    // A lease whose time is over takes no part any more, though nobody may have ended it yet.
    let alive = || Compare::lease_alive(session.lease());
    let behind = Txn::new().when([alive(), absent()]).then([put()]).or_else([Range::new(&key)]);
    let alone = [alive(), absent(), Compare::create_revision(blocking).eq(0)];
    let txn = session.db().txn().when(alone).then([put()]).or_else([Op::from(behind)]);
    let response = txn.commit().map_err(without_lease)?;
    let (found, revision) = match found_in(&response) {
        Some((value, created)) => (Some(value), created),
        None if has_put(&response) => (None, response.revision),
        None => return Err(Error::SessionExpired),
    };
    let own = Token { key, revision, lease: session.lease() };
    Ok(Entry { own, standing: None, found, alone: response.succeeded, seen: response.revision })
}

/// Whether the txn of [`join`] has put the key.
fn has_put(response: &TxnResponse) -> bool {
    response.succeeded || matches!(&response.responses[..], [OpResponse::Txn(behind)] if behind.succeeded)
}

/// To a session, a lease that is not there is its own end.
pub(super) fn without_lease(error: Error) -> Error {
    if matches!(error, Error::LeaseNotFound) { Error::SessionExpired } else { error }
}

/// The value and the creation of the session's own key, if it was there.
fn found_in(response: &TxnResponse) -> Option<(Bytes, Revision)> {
    let [OpResponse::Txn(join)] = &response.responses[..] else { return None };
    let [OpResponse::Range(range)] = &join.responses[..] else { return None };
    range.kvs.first().map(|kv| (kv.value.clone(), kv.create_revision))
}

/// The key of a session under a prefix: the lease in lowercase hexadecimal, as etcd's `%s%x`.
pub(super) fn own_key(prefix: &[u8], lease: LeaseId) -> Bytes {
    let mut key = prefix.to_vec();
    key.extend_from_slice(lease.to_string().as_bytes());
    key.into()
}

/// The prefix of a name: name and `/`, as etcd's `concurrency` has it.
pub(super) fn prefix_of(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// Waits until nothing that blocks a key is before it in the line of a prefix; `None` if the time was up before. The turn
/// of a session that is over does not come: who died while he waited is told so, even if the key before his went in the
/// same moment.
pub(super) fn await_turn(
    session: &Session,
    prefix: &Bytes,
    mut entry: Entry,
    options: &WaitOptions,
    blocks: &dyn Fn(&[u8]) -> bool,
) -> Result<Option<Entry>> {
    let turn = if entry.alone {
        Ok(Some(entry.seen))
    } else {
        let line = session.db().lines().line(prefix);
        Waiter::new(session.db(), Some(session), options).wait_turn(&line, &entry.own, blocks)
    };
    let turn = turn.and_then(|turn| session.check().map(|()| turn));
    let waited = turn.map(|turn| match turn {
        Some(seen) => {
            entry.seen = seen;
            Waited::Come
        }
        None => Waited::TimedOut,
    });
    give_up_unless_come(session, entry, waited)
}

/// What stands in line, if its turn has come. After a wait that did not end well, whatever the reason, the key is removed:
/// one of several threads that stand with it only goes away, the last one removes it, unless it was there before them all.
pub(super) fn give_up_unless_come(session: &Session, entry: Entry, waited: Result<Waited>) -> Result<Option<Entry>> {
    if matches!(waited, Ok(Waited::Come)) {
        return Ok(Some(entry));
    }
    settled(match entry.standing {
        Some(standing) => standing.give_up(),
        None if entry.found.is_none() => leave(session.db(), &entry.own).map(drop),
        None => Ok(()),
    })?;
    waited.map(|_| None)
}

/// With the session or the store everything is gone that could be removed, or nothing can be.
pub(super) fn settled(removed: Result<()>) -> Result<()> {
    match removed {
        Err(Error::Closed | Error::Poisoned) => Ok(()),
        removed => removed,
    }
}

/// Gives back what a token stands for: the key is gone on return, durably, as of the revision that is returned. Only while
/// the token holds as a fence does: what a session that has lapsed held stays for its lock delay (X-02), and a key that
/// was put by somebody else is his.
///
/// # Errors
/// [`Error::SessionExpired`] if it does not hold; those of [`Db::put`].
pub(super) fn release(db: &Db, own: &Token) -> Result<Revision> {
    Ok(db.txn().fenced(own).then([Delete::new(&own.key)]).commit()?.revision)
}

/// Deletes a key if it is still the one that was created then: the place of one who waits, and has held nothing. Whether
/// it was.
pub(super) fn leave(db: &Db, own: &Token) -> Result<bool> {
    let same = Compare::create_revision(&own.key).eq(own.revision);
    Ok(db.txn().when([same]).then([Delete::new(&own.key)]).commit()?.succeeded)
}
