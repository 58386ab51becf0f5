//! A lock that readers share: readers wait for the writers before them, writers for everybody.

use std::time::Duration;

use bytes::Bytes;

use crate::coordination::keys::unique_name;
use crate::coordination::mutex::LockGuard;
use crate::coordination::session::Session;
use crate::coordination::wait::{WaitOptions, await_turn, join, prefix_of};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::kv::KeyRange;

/// A lock for readers and writers by name, for one session; as etcd's `recipe.RWMutex`. In the order of arrival: a
/// reader waits for the writers that came before it, a writer for everybody who did. So neither starves.
///
/// Keys are `name/read/…` and `name/write/…`, with a new number for each: as in etcd, so that its clients take part.
/// Unlike those of a [`Mutex`](crate::coordination::Mutex) they belong to the guard, not to the session: one that asks
/// twice has two, and waits for itself if one of them is to write.
///
/// Differs from etcd: a waiter whose session has ended is told so at once; there it gets in.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let (one, two) = (db.session(std::time::Duration::from_secs(9))?, db.session(std::time::Duration::from_secs(9))?);
/// let reading = one.rw_lock("table").read()?;
/// let reading_too = two.rw_lock("table").read()?;
/// assert!(two.rw_lock("table").write_timeout(std::time::Duration::ZERO)?.is_none());
/// # drop((reading, reading_too));
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RwLock {
    session: Session,
    prefix: Bytes,
}

#[derive(Clone, Copy)]
enum Kind {
    Read,
    Write,
}

impl RwLock {
    pub(super) fn new(session: &Session, name: &[u8]) -> Self {
        RwLock { session: session.clone(), prefix: prefix_of(name) }
    }

    /// Waits until no writer is before us.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::coordination::Mutex::lock).
    pub fn read(&self) -> Result<LockGuard> {
        self.endless(Kind::Read)
    }

    /// As [`RwLock::read`] for at most `timeout`; `None` if that was not enough, and the key is gone again.
    ///
    /// # Errors
    /// As [`RwLock::read`].
    pub fn read_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>> {
        self.read_with(&WaitOptions::new().timeout(timeout))
    }

    /// As [`RwLock::read_timeout`], as the options say.
    ///
    /// # Errors
    /// As [`RwLock::read`]; [`Error::WaitCanceled`].
    pub fn read_with(&self, options: &WaitOptions) -> Result<Option<LockGuard>> {
        self.lock(Kind::Read, options)
    }

    /// Waits until nobody is before us.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::coordination::Mutex::lock).
    pub fn write(&self) -> Result<LockGuard> {
        self.endless(Kind::Write)
    }

    /// As [`RwLock::write`] for at most `timeout`; `None` if that was not enough, and the key is gone again.
    ///
    /// # Errors
    /// As [`RwLock::write`].
    pub fn write_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>> {
        self.write_with(&WaitOptions::new().timeout(timeout))
    }

    /// As [`RwLock::write_timeout`], as the options say.
    ///
    /// # Errors
    /// As [`RwLock::write`]; [`Error::WaitCanceled`].
    pub fn write_with(&self, options: &WaitOptions) -> Result<Option<LockGuard>> {
        self.lock(Kind::Write, options)
    }

    fn endless(&self, kind: Kind) -> Result<LockGuard> {
        loop {
            if let Some(guard) = self.lock(kind, &WaitOptions::new())? {
                return Ok(guard);
            }
        }
    }

    fn lock(&self, kind: Kind, options: &WaitOptions) -> Result<Option<LockGuard>> {
        self.session.check()?;
        let db = self.session.db();
        let of = |kind: &[u8]| [&self.prefix, kind].concat();
        let (name, blocking) = match kind {
            Kind::Read => (of(b"read"), of(b"write")),
            Kind::Write => (of(b"write"), of(b"")),
        };
        let entry = loop {
            let entry = join(&self.session, unique_name(db, &name), KeyRange::prefix(&blocking), b"")?;
            if entry.found.is_none() {
                break entry;
            }
        };
        let blocks = |key: &[u8]| key.starts_with(&blocking);
        let entry = await_turn(&self.session, &self.prefix, entry, options, &blocks)?;
        Ok(entry.map(|entry| LockGuard::new(&self.session, entry)))
    }
}
