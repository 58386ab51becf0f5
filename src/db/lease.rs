//! A handle on a lease.

use std::time::Duration;

use bytes::Bytes;

use crate::db::Db;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::kv::{LeaseId, Revision};

/// A handle on a lease. Dropping it does nothing to the lease; until then it keeps the store open, as a clone of [`Db`]
/// does.
#[derive(Clone, Debug)]
pub struct Lease {
    pub(super) db: Db,
    pub(super) id: LeaseId,
    pub(super) granted: Option<Duration>,
}

impl Lease {
    /// Its id, for [`PutOptions::lease`](crate::PutOptions::lease).
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// The time to live that was granted, if this handle is the grant's.
    pub fn granted(&self) -> Option<Duration> {
        self.granted
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
