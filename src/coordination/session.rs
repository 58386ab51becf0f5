//! A session: a lease that is kept alive for as long as its owner wants.
//!
//! Whatever a process puts with the lease of its session goes when the process does. The session is renewed in process
//! (`db/keeper.rs`), and it is lost only if the lease ends, the store closes or fails, or its process stood still for
//! longer than the lease lasts. Loss is a state that one can ask for and wait on, not a message that can be missed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::coordination::barrier::DoubleBarrier;
use crate::coordination::election::Election;
use crate::coordination::mutex::Mutex;
use crate::coordination::rw_lock::RwLock;
use crate::db::Db;
use crate::db::keeper::{Keeping, Kept};
use crate::db::signal::{Parker, Signal};
use crate::error::{Error, Result};
use crate::kv::{LeaseId, Revision};
use crate::op::GrantOptions;

/// The time to live of a session that names none: 60 s, as in etcd.
pub const SESSION_TTL_DEFAULT: Duration = Duration::from_secs(60);

/// How to open a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    ttl: Duration,
    lease: LeaseId,
    lock_delay: Duration,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions { ttl: SESSION_TTL_DEFAULT, lease: LeaseId::NONE, lock_delay: Duration::ZERO }
    }
}

impl SessionOptions {
    /// A lease of its own, of [`SESSION_TTL_DEFAULT`].
    pub fn new() -> Self {
        Self::default()
    }

    /// How long what the session holds outlives its process. Rounded up to whole milliseconds; zero is the shortest
    /// that the store grants. Without meaning with [`SessionOptions::lease`]. As etcd's `WithTTL`.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Takes over a lease that exists, instead of granting one; [`LeaseId::NONE`], the default, grants. As etcd's
    /// `WithLease`.
    #[must_use]
    pub fn lease(mut self, lease: impl Into<LeaseId>) -> Self {
        self.lease = lease.into();
        self
    }

    /// How long the locks of a session that **expires** stay locked, so that what it had under way outside the store
    /// can settle: zero, the default, to 60 s. A session that is closed, and a lock that is released, hand over at once.
    /// Without meaning with [`SessionOptions::lease`], which was granted with a delay of its own. See
    /// [`GrantOptions::lock_delay`]; etcd has no such thing.
    #[must_use]
    pub fn lock_delay(mut self, delay: Duration) -> Self {
        self.lock_delay = delay;
        self
    }
}

/// A lease that is kept alive, and what locks and elections belong to; as etcd's `concurrency.Session`. Cheap to clone;
/// guards hold a clone each, and every clone keeps the store open. When the last one is dropped the session closes.
///
/// Locks exclude **sessions** from one another, not threads: threads that must exclude each other use a session each.
/// With the same session, the second lock of a name is the first one again.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let session = db.session(std::time::Duration::from_secs(10))?;
/// db.put_with("alive/me", "", etclite::PutOptions::new().lease(session.lease()))?;
/// assert!(session.is_alive());
/// session.close()?;
/// assert_eq!(db.get("alive/me")?, None);
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    lease: LeaseId,
    ttl: Duration,
    keeping: Keeping,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.keeping.is_valid() {
            // If it fails, the lease ends by itself: nobody renews it any more.
            let _ = self.close();
        }
    }
}

impl Db {
    /// Opens a session with a lease of `ttl`, which is renewed until the session is closed or dropped. The lease is
    /// durable on return; see [`SessionOptions`] for more.
    ///
    /// # Errors
    /// As [`Db::grant`].
    pub fn session(&self, ttl: Duration) -> Result<Session> {
        self.session_with(SessionOptions::new().ttl(ttl))
    }

    /// Opens a session as the options say.
    ///
    /// # Errors
    /// As [`Db::grant`]; [`Error::LeaseNotFound`] if the lease to take over does not exist; [`Error::Io`] if there is no
    /// thread to be had for the renewals.
    pub fn session_with(&self, options: SessionOptions) -> Result<Session> {
        let sent = self.boot_time();
        let (lease, ttl) = if options.lease.is_none() {
            let lease = self.grant_with(GrantOptions::new(options.ttl).lock_delay(options.lock_delay))?;
            (lease.id(), lease.granted().unwrap_or(options.ttl))
        } else {
            (options.lease, self.lease(options.lease).keep_alive()?)
        };
        let keeping = self.keep(lease, ttl, sent).inspect_err(|_| {
            if options.lease.is_none() {
                let _ = self.lease(lease).revoke();
            }
        })?;
        Ok(Session { inner: Arc::new(Inner { db: self.clone(), lease, ttl, keeping }) })
    }
}

impl Session {
    /// The lease of the session, for keys that are to go with it.
    pub fn lease(&self) -> LeaseId {
        self.inner.lease
    }

    /// For how long the lease was granted.
    pub fn ttl(&self) -> Duration {
        self.inner.ttl
    }

    /// The store.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// Whether the session lives, by what its owner can know: false at the latest one time to live after the last
    /// renewal that was answered was asked for, though nobody may have ended the lease yet. Once false, always false.
    pub fn is_alive(&self) -> bool {
        self.inner.keeping.is_valid()
    }

    /// # Errors
    /// Why the session is lost: see [`Session::loss`].
    pub(super) fn check(&self) -> Result<()> {
        if self.is_alive() { Ok(()) } else { Err(self.loss()) }
    }

    /// What those are told who need a session that is lost: that the store is closed or poisoned, if that is why, or
    /// else that it has expired.
    pub(super) fn loss(&self) -> Error {
        let engine = self.inner.db.engine();
        let broken = engine.check_open().and_then(|()| engine.check_poison());
        broken.err().unwrap_or(Error::SessionExpired)
    }

    /// Given when the session is lost or closed.
    pub(super) fn lost(&self) -> &Signal {
        &self.inner.keeping.kept().lost
    }

    /// What tells that the session is over: lost, closed or orphaned. As etcd's `Session.Done`. It does not keep the
    /// session open.
    pub fn done(&self) -> SessionDone {
        SessionDone { kept: self.inner.keeping.kept().clone(), listening: None }
    }

    /// A lock by this name. Nothing is done yet.
    pub fn mutex(&self, name: impl AsRef<[u8]>) -> Mutex {
        Mutex::new(self, name.as_ref())
    }

    /// An election by this name. Nothing is done yet.
    pub fn election(&self, name: impl AsRef<[u8]>) -> Election {
        Election::new(self, name.as_ref())
    }

    /// A lock for readers and writers by this name. Nothing is done yet.
    pub fn rw_lock(&self, name: impl AsRef<[u8]>) -> RwLock {
        RwLock::new(self, name.as_ref())
    }

    /// A barrier that `count` sessions enter together and leave together. Nothing is done yet.
    pub fn double_barrier(&self, name: impl AsRef<[u8]>, count: usize) -> DoubleBarrier {
        DoubleBarrier::new(self, name.as_ref(), count)
    }

    /// Ends the session for all clones: its lease is revoked and its keys are gone on return, as of the revision that is
    /// returned, so that the next in each line goes on at once. Who waits with this session gets
    /// [`Error::SessionExpired`]. `None` if there was nothing to revoke any more: the lease has ended or lapsed, or the
    /// store is closed. One that was orphaned, or whose revoke has failed, is revoked all the same.
    ///
    /// # Errors
    /// Those of [`Db::put`] but for closed stores. The lease then ends by itself, since it is not renewed any more; or it
    /// is revoked by another call.
    pub fn close(&self) -> Result<Option<Revision>> {
        self.inner.close()
    }

    /// Ends the session for all clones, but leaves its lease and keys to end by themselves, or to whoever keeps the
    /// lease alive. As etcd's `Session.Orphan`.
    pub fn orphan(&self) -> LeaseId {
        self.inner.keeping.stop();
        self.inner.lease
    }
}

impl Inner {
    fn close(&self) -> Result<Option<Revision>> {
        self.keeping.stop();
        // If it is gone, another lease may have its id.
        if !self.keeping.exists() {
            return Ok(None);
        }
        match self.db.lease(self.lease).revoke() {
            Ok(revision) => Ok(Some(revision)),
            Err(Error::LeaseNotFound | Error::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Waits for the end of a session; also a future.
#[derive(Debug)]
pub struct SessionDone {
    kept: Arc<Kept>,
    /// The number of the waker that was registered last.
    listening: Option<u64>,
}

impl SessionDone {
    /// Whether the session is over.
    pub fn is_done(&self) -> bool {
        self.kept.lost.is_given()
    }

    /// Waits until the session is over.
    pub fn wait(&self) {
        self.wait_for(None);
    }

    /// Waits until the session is over, at most for `timeout`. Whether it is.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_for(Some(timeout))
    }

    fn wait_for(&self, timeout: Option<Duration>) -> bool {
        let parker = Parker::new();
        let _listening = self.kept.lost.listen(&Waker::from(parker.clone()));
        self.is_done() || parker.park(timeout)
    }

    fn forget(&mut self) {
        if let Some(number) = self.listening.take() {
            self.kept.lost.remove(number);
        }
    }
}

impl Future for SessionDone {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.forget();
        if self.is_done() {
            return Poll::Ready(());
        }
        let number = self.kept.lost.add(context.waker());
        self.listening = Some(number);
        Poll::Pending
    }
}

impl Drop for SessionDone {
    fn drop(&mut self) {
        self.forget();
    }
}
