//! A handle on a lease, and puts for a time.

use std::time::Duration;

use bytes::Bytes;

use crate::db::Db;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::kv::{LeaseId, Revision};
use crate::op::{GrantOptions, PutOptions, PutResponse};

impl Db {
    /// Grants a lease with an id or a lock delay.
    ///
    /// # Errors
    /// As [`Db::grant`]; [`Error::LeaseExists`], also while a lease of that id has lapsed and its keys are still there;
    /// [`Error::TooLarge`] for a lock delay above 60 s.
    pub fn grant_with(&self, options: GrantOptions) -> Result<Lease> {
        let (id, ttl, revision) = self.engine().grant(options)?;
        Ok(Lease { db: self.clone(), id, granted: Some((ttl, revision)) })
    }

    /// Puts `value` at `key` for a time: the key goes `ttl` after the put is published, unless it is put again. With a ttl
    /// that starts anew; without, or with a lease, the old one is forgotten.
    ///
    /// The time is rounded up to whole milliseconds and to [`Options::min_ttl`](crate::Options::min_ttl), and survives a restart as that of a lease
    /// does. The key is never early, and late by at most a sixteenth of the time and never more than a second: keys whose
    /// deadlines are that close share a hidden lease, and may go in one revision. [`KeyValue::lease`](crate::KeyValue::lease) shows its id, of
    /// which [`Lease::time_to_live`] tells; to everything else there is no such lease. etcd has no such call; there one
    /// grants a lease for each key.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use std::time::Duration;
    /// db.put_with_ttl("cache/a", "1", Duration::from_secs(60))?;
    /// let left = db.lease(db.get("cache/a")?.expect("just put").lease).time_to_live()?.expect("it runs").remaining;
    /// assert!(left > Duration::from_secs(50) && left < Duration::from_secs(62));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::put`]; [`Error::TooLarge`] above 9,000,000,000 s.
    pub fn put_with_ttl(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Duration) -> Result<PutResponse> {
        self.put_op(key.as_ref(), value.as_ref(), PutOptions::new().ttl(ttl))
    }
}

/// A handle on a lease. Dropping it does nothing to the lease; until then it keeps the store open, as a clone of [`Db`]
/// does.
#[derive(Clone, Debug)]
pub struct Lease {
    pub(super) db: Db,
    pub(super) id: LeaseId,
    /// What was granted, and the store's revision then.
    pub(super) granted: Option<(Duration, Revision)>,
}

impl Lease {
    /// Its id, for [`PutOptions::lease`](crate::PutOptions::lease).
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// The time to live that was granted, if this handle is the grant's.
    pub fn granted(&self) -> Option<Duration> {
        self.granted.map(|(ttl, _)| ttl)
    }

    /// The store's revision when it was granted, if this handle is the grant's; as etcd's `LeaseGrantResponse.header`.
    /// A grant makes none by itself.
    pub fn grant_revision(&self) -> Option<Revision> {
        self.granted.map(|(_, revision)| revision)
    }

    /// Starts its time anew and returns what was granted; as etcd's `LeaseKeepAlive`. The first one after a grant or an
    /// open is durable on return, later ones write nothing.
    ///
    /// Differs from etcd: it answers for a lease that is gone with `LeaseKeepAliveResponse.TTL` zero and no error.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`] once it has ended or lapsed, never before that is published; those of [`Db::put`].
    pub fn keep_alive(&self) -> Result<Duration> {
        self.db.engine().keep_alive(self.id)
    }

    /// Ends it and deletes its keys in one revision; as etcd's `LeaseRevoke`. At once also if it has a lock delay, even
    /// one that is running.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`]; those of [`Db::put`].
    pub fn revoke(&self) -> Result<Revision> {
        self.db.engine().revoke(self.id)
    }

    /// What is left of it and the keys it holds, in key order; `None` if it does not exist. As etcd's
    /// `LeaseTimeToLive`, which answers -1 then. Waits for writes that are under way.
    ///
    /// # Errors
    /// As [`Db::leases`].
    pub fn time_to_live(&self) -> Result<Option<LeaseStatus>> {
        let found = self.db.engine().time_to_live(self.id, true)?;
        Ok(found.map(|(time, keys)| LeaseStatus {
            id: self.id,
            granted: time.terms.ttl,
            remaining: time.remaining,
            key_count: keys.len() as u64,
            keys,
        }))
    }
}

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Its id.
    pub id: LeaseId,
    /// The time to live that was granted.
    pub granted: Duration,
    /// What is left of it; zero if it is about to end. etcd tells whole seconds.
    pub remaining: Duration,
    /// How many keys it holds.
    pub key_count: u64,
    /// The keys, in order; empty in a list of leases.
    pub keys: Vec<Bytes>,
}
