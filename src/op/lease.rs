//! Leases as part of a txn, and how they are granted (X-08).

use std::time::Duration;

use crate::error::code;
use crate::error::{Error, Invalid, Result};
use crate::kv::{LeaseId, Revision};
use crate::op::{Op, PutOptions};

/// etcd's largest time to live: 9,000,000,000 s.
const TTL_MAX: Duration = Duration::from_secs(9_000_000_000);

/// The longest lock delay.
const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);

/// How a lease is granted, as etcd's `LeaseGrantRequest`: by [`Db::grant_with`](crate::Db::grant_with), or as an
/// operation of a txn.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::GrantOptions;
/// use std::time::Duration;
/// let lease = db.grant_with(GrantOptions::new(Duration::from_secs(10)).id(7).lock_delay(Duration::from_secs(1)))?;
/// assert_eq!(lease.id(), 7.into());
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantOptions {
    pub(crate) id: LeaseId,
    pub(crate) ttl: Duration,
    pub(crate) lock_delay: Duration,
}

impl GrantOptions {
    /// A lease of `ttl`, rounded up to whole milliseconds and to [`Options::min_ttl`](crate::Options::min_ttl), with a
    /// random id and without a lock delay.
    pub fn new(ttl: Duration) -> Self {
        GrantOptions { id: LeaseId::NONE, ttl, lock_delay: Duration::ZERO }
    }

    /// The lease's id; zero, the default, draws a random positive one. As an operation of a txn it must have one, since
    /// later operations name it.
    #[must_use]
    pub fn id(mut self, id: impl Into<LeaseId>) -> Self {
        self.id = id.into();
        self
    }

    /// How long the lease's keys stay when it *expires*: zero, the default, to 60 s, rounded up to whole milliseconds.
    /// Meanwhile the lease has lapsed: nobody can use it or keep it alive, no token of its holds, and who waits for one
    /// of its locks waits on, so that what the holder had under way outside the store can settle. [`Lease::revoke`] ends
    /// it at once. etcd has no such thing; Consul calls it a lock delay.
    ///
    /// [`Lease::revoke`]: crate::Lease::revoke
    #[must_use]
    pub fn lock_delay(mut self, delay: Duration) -> Self {
        self.lock_delay = delay;
        self
    }

    /// Refuses terms that no lease has (LE-01, X-02).
    pub(crate) fn check(&self) -> Result<()> {
        check_time(code::LEASE_TTL, self.ttl, TTL_MAX)?;
        check_time("lock delay in milliseconds", self.lock_delay, LOCK_DELAY_MAX)
    }
}

/// Refuses a put with two deadlines, or with one beyond what a lease can have (X-06).
pub(super) fn check_put_ttl(options: &PutOptions) -> Result<()> {
    let Some(ttl) = options.ttl else { return Ok(()) };
    let refused = |what| Err(Error::InvalidArgument(Invalid::Argument(what)));
    if !options.lease.is_none() {
        return refused("a put takes a lease or a ttl, not both");
    }
    if options.ignore_lease {
        return refused("a put keeps its deadline or takes a ttl, not both");
    }
    check_time(code::PUT_TTL, ttl, TTL_MAX)
}

fn check_time(what: &'static str, time: Duration, max: Duration) -> Result<()> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if time > max { Err(Error::TooLarge { what, len: millis(time), max: millis(max) }) } else { Ok(()) }
}

impl Op {
    /// Grants a lease under an id that is not zero. Later operations of the txn may use it; its time starts when the txn
    /// is published. [`Error::LeaseExists`](crate::Error::LeaseExists) fails the whole txn.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Op, Put};
    /// let ttl = std::time::Duration::from_secs(10);
    /// db.txn().then([Op::grant(7, ttl), Put::new("service/a", "10.0.0.1").lease(7).into()]).commit()?;
    /// assert_eq!(db.txn().then([Op::revoke(7)]).commit()?.revision, 3);
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn grant(id: impl Into<LeaseId>, ttl: Duration) -> Op {
        Op::Grant(GrantOptions::new(ttl).id(id))
    }

    /// Ends a lease and deletes its keys, at this place and in the txn's revision.
    /// [`Error::LeaseNotFound`](crate::Error::LeaseNotFound) fails the whole txn.
    pub fn revoke(id: impl Into<LeaseId>) -> Op {
        Op::Revoke(id.into())
    }
}

impl From<GrantOptions> for Op {
    fn from(grant: GrantOptions) -> Self {
        Op::Grant(grant)
    }
}

/// The answer to a grant in a txn or a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantResponse {
    /// As that of a range: a grant changes no key.
    pub revision: Revision,
    /// The lease.
    pub id: LeaseId,
    /// The time to live that was granted.
    pub ttl: Duration,
}

/// The answer to a revoke in a txn or a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeResponse {
    /// In a txn, its revision once this or an earlier operation has changed a key, else the one before the txn. By itself,
    /// the revision that it made; if the lease held no key, the store's.
    pub revision: Revision,
    /// How many keys went with the lease.
    pub deleted: u64,
}
