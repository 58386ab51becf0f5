//! Which keys are read, as of when, and in which order.

use crate::error::Result;
use crate::kv::{KeyRange, Revision};
use crate::op::check_key;

/// What a range is sorted by, as etcd's `RangeRequest.sort_target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortTarget {
    /// The key, bytewise.
    Key,
    /// The key's version.
    Version,
    /// The create revision.
    CreateRevision,
    /// The mod revision.
    ModRevision,
    /// The value, bytewise.
    Value,
}

/// The direction of a sort, as etcd's `RangeRequest.sort_order`; ties ascend by key in either, which etcd leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortOrder {
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// Reads the keys of a range, as etcd's `RangeRequest`.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::{Range, SortOrder, SortTarget, prefix};
/// let revision = db.put("job/1", "old")?.revision;
/// db.put("job/2", "new")?;
/// let newest = Range::new(prefix("job/")).sort(SortTarget::CreateRevision, SortOrder::Descend).limit(1);
/// assert_eq!(db.query(newest.clone())?.kvs[0].key, "job/2");
/// assert_eq!(db.query(newest.at(revision))?.kvs[0].key, "job/1");
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub(crate) range: KeyRange,
    pub(crate) at: Revision,
    pub(crate) limit: u64,
    pub(crate) sort: (SortTarget, SortOrder),
    pub(crate) keys_only: bool,
    pub(crate) count_only: bool,
    pub(crate) with_count: bool,
    /// The store leaves leases out of keys-only answers (CH-02). Set by the store, not by requests.
    pub(crate) blank_lease: bool,
    pub(crate) min_mod: Revision,
    pub(crate) max_mod: Revision,
    pub(crate) min_create: Revision,
    pub(crate) max_create: Revision,
}

impl Range {
    /// Reads a key, or the keys of a range, in key order.
    pub fn new(range: impl Into<KeyRange>) -> Self {
        Range {
            range: range.into(),
            at: Revision::ZERO,
            limit: 0,
            sort: (SortTarget::Key, SortOrder::Ascend),
            keys_only: false,
            count_only: false,
            with_count: false,
            blank_lease: false,
            min_mod: Revision::ZERO,
            max_mod: Revision::ZERO,
            min_create: Revision::ZERO,
            max_create: Revision::ZERO,
        }
    }

    /// Reads as of `revision`; zero, the default, is the latest. As etcd's `RangeRequest.revision`.
    #[must_use]
    pub fn at(mut self, revision: impl Into<Revision>) -> Self {
        self.at = revision.into();
        self
    }

    /// Returns at most `limit` keys; zero, the default, is no limit. The limit comes last, after filters and sort. As
    /// etcd's `RangeRequest.limit`.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// Sorts by `target`. Anything but the key reads the whole range into memory first.
    #[must_use]
    pub fn sort(mut self, target: SortTarget, order: SortOrder) -> Self {
        self.sort = (target, order);
        self
    }

    /// Descends by key: short for a sort by key, descending. A true reverse scan.
    #[must_use]
    pub fn reverse(self) -> Self {
        self.sort(SortTarget::Key, SortOrder::Descend)
    }

    /// Leaves the values empty. As etcd's `RangeRequest.keys_only`.
    ///
    /// Differs from etcd: the lease of each key is told, as 3.6 did and 3.7 does not; see
    /// [`Options::keys_only_lease`](crate::Options::keys_only_lease).
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }

    /// Returns no keys, only the count; the limit is ignored. As etcd's `RangeRequest.count_only`.
    #[must_use]
    pub fn count_only(mut self) -> Self {
        self.count_only = true;
        self
    }

    /// Counts the whole range although a limit may cut the answer: then
    /// [`RangeResponse::count`](crate::RangeResponse::count) is never `None`. For
    /// txns and [`Db::query`](crate::Db::query); while walking, ask [`RangeIter::total`](crate::RangeIter::total).
    #[must_use]
    pub fn with_count(mut self) -> Self {
        self.with_count = true;
        self
    }

    /// Only keys whose mod revision is at least this; zero is off. As etcd's `RangeRequest.min_mod_revision`, and so
    /// the three below.
    #[must_use]
    pub fn min_mod_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.min_mod = revision.into();
        self
    }

    /// Only keys whose mod revision is at most this; zero is off.
    #[must_use]
    pub fn max_mod_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.max_mod = revision.into();
        self
    }

    /// Only keys whose create revision is at least this; zero is off.
    #[must_use]
    pub fn min_create_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.min_create = revision.into();
        self
    }

    /// Only keys whose create revision is at most this; zero is off.
    #[must_use]
    pub fn max_create_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.max_create = revision.into();
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_key(&self.range.start)
    }

    pub(crate) fn passes_filters(&self, create_revision: u64, mod_revision: u64) -> bool {
        let within = |min: Revision, max: Revision, revision: u64| {
            (min == Revision::ZERO || revision >= min.get()) && (max == Revision::ZERO || revision <= max.get())
        };
        within(self.min_mod, self.max_mod, mod_revision) && within(self.min_create, self.max_create, create_revision)
    }
}

impl<T: Into<KeyRange>> From<T> for Range {
    fn from(range: T) -> Self {
        Range::new(range)
    }
}
