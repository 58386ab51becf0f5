//! A lock: the session whose key was created first under its name has it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::coordination::session::Session;
use crate::coordination::stand::Standing;
use crate::coordination::wait::{
    Entry, WaitOptions, await_turn, enter, own_key, prefix_of, release, settled, without_lease,
};
use crate::error::{Error, Result};
use crate::kv::{KeyRange, LeaseId, Revision};
use crate::op::{Compare, Op, OpResponse, Put, Range, SortOrder, SortTarget, Token};

/// A lock by name, for one session; as etcd's `concurrency.Mutex`. Whoever came first has it, then the next: the order
/// is that of the keys' create revisions, which everybody can see.
///
/// The key of a session is `name`, `/` and its lease in hexadecimal, byte for byte as etcd's clients have it. So the
/// keys below `name/` belong to the lock: no other lock may have a name that begins so, nor other keys be put there.
///
/// **Sessions exclude one another, threads do not**: with the same session a second lock of the name succeeds, and one
/// unlock frees both. Threads that must exclude each other use a session each. Threads of a session that wait stand in
/// line together, at the place of the first; one that gives up leaves the place to the others.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// # use std::time::Duration;
/// let session = db.session(Duration::from_secs(10))?;
/// let guard = session.mutex("jobs/nightly").lock()?;
/// let other = db.session(Duration::from_secs(10))?;
/// assert!(other.mutex("jobs/nightly").try_lock()?.is_none());
/// drop(guard); // or `guard.unlock()?`, which tells whether the lock was held until then
/// assert!(other.mutex("jobs/nightly").lock_timeout(Duration::from_secs(1))?.is_some());
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mutex {
    session: Session,
    prefix: Bytes,
}

impl Mutex {
    pub(super) fn new(session: &Session, name: &[u8]) -> Self {
        Mutex { session: session.clone(), prefix: prefix_of(name) }
    }

    /// Waits for the lock without a time limit.
    ///
    /// # Errors
    /// [`Error::SessionExpired`] as soon as the session is lost, while somebody else may still hold the lock;
    /// [`Error::Closed`], [`Error::Poisoned`] and the others of [`Db::put`](crate::Db::put).
    pub fn lock(&self) -> Result<LockGuard> {
        loop {
            if let Some(guard) = self.lock_with(&WaitOptions::new())? {
                return Ok(guard);
            }
        }
    }

    /// Waits for the lock for at most `timeout`. `None` if it did not come in time: the key of this attempt is gone
    /// again on return, and whoever came later moves up, unless another thread still waits with the same session.
    ///
    /// # Errors
    /// As [`Mutex::lock`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>> {
        self.lock_with(&WaitOptions::new().timeout(timeout))
    }

    /// Waits for the lock as the options say; see [`Mutex::lock_timeout`].
    ///
    /// # Errors
    /// As [`Mutex::lock`]; [`Error::WaitCanceled`], with the key of this attempt gone again. If it could not be removed
    /// the error says why, and it goes with the session.
    pub fn lock_with(&self, options: &WaitOptions) -> Result<Option<LockGuard>> {
        self.session.check()?;
        let entry = enter(&self.session, &self.prefix, b"")?;
        let entry = await_turn(&self.session, &self.prefix, entry, options, &|_| true)?;
        Ok(entry.map(|entry| LockGuard::new(&self.session, entry)))
    }

    /// Takes the lock if nobody has it. `None` if somebody has, or is before us; then nothing was written.
    ///
    /// Differs from etcd: its `TryLock` puts a key and deletes it again, and "mutex: Locked by another session" is an
    /// error.
    ///
    /// # Errors
    /// As [`Mutex::lock`].
    pub fn try_lock(&self) -> Result<Option<LockGuard>> {
        self.session.check()?;
        let key = own_key(&self.prefix, self.session.lease());
        // So that a thread that gives up leaves the key, should it be found to have the lock.
        let standing = Standing::new(&self.session, &key);
        let taken = self.take(&key, &standing).and_then(|taken| self.session.check().map(|()| taken));
        match taken {
            Ok(Some((revision, seen))) => {
                let own = Token { key, revision, lease: self.session.lease() };
                let entry = Entry { own, standing: Some(standing), found: None, alone: true, seen };
                Ok(Some(LockGuard::new(&self.session, entry)))
            }
            other => settled(standing.give_up()).and(other.map(|_| None)),
        }
    }

    /// Puts the key if no other is there. The creation of the one that has the lock now, if that is it, and the store's
    /// revision then.
    fn take(&self, key: &Bytes, standing: &Standing) -> Result<Option<(Revision, Revision)>> {
        let all = KeyRange::prefix(&self.prefix);
        let oldest = Range::new(all.clone()).sort(SortTarget::CreateRevision, SortOrder::Ascend).limit(1).keys_only();
        let alive = Compare::lease_alive(self.session.lease());
        let txn = self.session.db().txn().when([alive, Compare::create_revision(all).eq(0)]);
        let txn = txn.then([Put::new(key, "").lease(self.session.lease())]).or_else([oldest]);
        let response = txn.commit().map_err(without_lease)?;
        if response.succeeded {
            standing.note_put(response.revision);
            return Ok(Some((response.revision, response.revision)));
        }
        let [OpResponse::Range(range)] = &response.responses[..] else { return Ok(None) };
        let own = range.kvs.first().filter(|kv| kv.key == *key);
        Ok(own.map(|kv| (kv.create_revision, response.revision)))
    }
}

/// A lock that is held. Dropping it releases the lock, as [`LockGuard::unlock`] does without telling of errors; if that
/// fails, its session is renewed no more, so that the lock ends with the lease. It holds its session, which stays open.
///
/// That the guard exists does not prove that the lock is held: a session can be lost. What must not happen without the
/// lock is fenced with it, so that the store itself refuses what comes too late.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::Put;
/// let session = db.session(std::time::Duration::from_secs(10))?;
/// let guard = session.mutex("jobs/nightly").lock()?;
/// db.txn().fenced(&guard).then([Put::new("last-run", "today")]).commit()?;
/// db.lease(session.lease()).revoke()?; // as if this process had been paused for too long
/// let late = db.fenced(&guard).put("last-run", "tomorrow");
/// assert!(matches!(late, Err(etclite::Error::SessionExpired)));
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Debug)]
pub struct LockGuard {
    session: Session,
    token: Token,
    /// One of the three below.
    state: AtomicU8,
    /// Of a key that other threads of the session may stand with.
    standing: Option<Standing>,
    acquired: Revision,
}

const HELD: u8 = 0;
const RELEASED: u8 = 1;
const LOST: u8 = 2;

impl LockGuard {
    pub(super) fn new(session: &Session, entry: Entry) -> Self {
        let Entry { own, standing, seen, .. } = entry;
        LockGuard { session: session.clone(), token: own, state: AtomicU8::new(HELD), standing, acquired: seen }
    }

    /// The key of the lock: as etcd's `Mutex.Key`.
    pub fn key(&self) -> &Bytes {
        &self.token.key
    }

    /// The revision at which the key was created: the fencing number, which rises from owner to owner of a name.
    pub fn revision(&self) -> Revision {
        self.token.revision
    }

    /// The store's revision as of which the lock was ours: if nobody else had it, that of its own put, and else of what has
    /// made it ours or later. As etcd's `Mutex.Header`.
    pub fn acquired_revision(&self) -> Revision {
        self.acquired
    }

    /// The fencing token, which can be stored and used by another process.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The lease of the key.
    pub fn lease(&self) -> LeaseId {
        self.session.lease()
    }

    /// The session that holds the lock.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The compare that holds while the key is there, for txns of any client; as etcd's `Mutex.IsOwner`. A fence, or
    /// [`Compare::held`], looks at the lease as well.
    pub fn is_owner(&self) -> Compare {
        Compare::create_revision(&self.token.key).eq(self.token.revision)
    }

    /// Whether the lock is held now, as a fence would find. It may be lost the moment after.
    ///
    /// # Errors
    /// As [`Db::execute`](crate::Db::execute).
    pub fn is_held(&self) -> Result<bool> {
        is_held(&self.session, &self.token)
    }

    /// Releases the lock: its key is gone on return, durably, as of the revision that is returned, and the next in line
    /// goes on. If it fails for another reason than these, the lock is as it was and this can be called again.
    ///
    /// Differs from etcd: its `Unlock` deletes the key whoever has put it. This one frees nothing once the lock was lost:
    /// not what is somebody else's by now, and not before the lock delay is over, if its session has one.
    ///
    /// # Errors
    /// [`Error::LockReleased`] the second time; [`Error::SessionExpired`] if the lock was lost before, or released
    /// through another guard of the same session; those of [`Db::put`](crate::Db::put).
    pub fn unlock(&self) -> Result<Revision> {
        match self.state.load(Ordering::Acquire) {
            RELEASED => return Err(Error::LockReleased),
            LOST => return Err(Error::SessionExpired),
            _ => {}
        }
        let released = match &self.standing {
            Some(standing) => standing.release(&self.token),
            None => release(self.session.db(), &self.token),
        };
        match &released {
            Ok(_) => self.state.store(RELEASED, Ordering::Release),
            Err(Error::SessionExpired) => self.state.store(LOST, Ordering::Release),
            Err(_) => {}
        }
        released
    }

    /// Lets the lock outlive the guard: it goes with its lease, or when somebody deletes its key.
    pub fn leave(self) {
        self.state.store(LOST, Ordering::Release);
        self.standing.iter().for_each(Standing::keep_key);
    }
}

impl AsRef<Token> for LockGuard {
    fn as_ref(&self) -> &Token {
        &self.token
    }
}

/// Whether a token of this session holds.
pub(super) fn is_held(session: &Session, token: &Token) -> Result<bool> {
    let ask = session.db().txn().when([Compare::held(token)]).then(std::iter::empty::<Op>());
    Ok(ask.commit()?.succeeded)
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if *self.state.get_mut() == HELD && self.unlock().is_err_and(|error| !matches!(error, Error::SessionExpired)) {
            // A lock that cannot be given back must not be kept alive: it goes with its lease.
            self.session.orphan();
        }
    }
}
