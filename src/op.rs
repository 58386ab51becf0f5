//! Requests and responses: the one vocabulary that callers and the log share.
//!
//! Constructors take what the caller has; checks that need no store ([`Put::check`] and its kin) run before anything
//! is logged. Names are etcd's (`PutRequest`, `RangeRequest`, `Compare`, `TxnRequest`).

use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyRange, LeaseId, Revision};
use bytes::Bytes;
use std::marker::PhantomData;
use std::time::Duration;

mod advance;
mod fence;
mod lease;
mod once;
mod response;
pub use advance::Advance;
pub use fence::Token;
pub use lease::{GrantOptions, GrantResponse, RevokeResponse};
pub use once::{OnceResponse, OperationId};
pub use response::{AdvanceResponse, DeleteResponse, OpResponse, PutResponse, RangeResponse, TxnResponse};

/// Writes one key, as etcd's `PutRequest`.
///
/// Differs from etcd: an unknown lease is reported before a key that is missing, in a txn too, where etcd looks at the
/// key first.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::{Op, Put, Range};
/// // Both keys change in one revision, and the read sees them.
/// let ops = [Op::from(Put::new("a", "1")), Put::new("b", "2").prev_kv().into(), Range::new("a").into()];
/// assert_eq!(db.txn().then(ops).commit()?.responses.len(), 3);
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) options: PutOptions,
}

/// What a put does besides writing its value.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::PutOptions;
/// db.put("a", "1")?;
/// // A put that keeps the value: a touch, which watchers see.
/// db.put_with("a", "", PutOptions::new().ignore_value())?;
/// assert_eq!(db.get("a")?.map(|kv| (kv.value, kv.version)), Some(("1".into(), 2)));
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    pub(crate) lease: LeaseId,
    pub(crate) ttl: Option<Duration>,
    pub(crate) prev_kv: bool,
    pub(crate) ignore_value: bool,
    pub(crate) ignore_lease: bool,
}

impl PutOptions {
    /// No lease, no previous value: what a plain put does.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attaches the key to `lease`. [`LeaseId::NONE`], the default, detaches it from the one it had. As etcd's
    /// `PutRequest.lease`.
    #[must_use]
    pub fn lease(mut self, lease: impl Into<LeaseId>) -> Self {
        self.lease = lease.into();
        self
    }

    /// Has the key go `ttl` after the put is published, unless it is put again; see
    /// [`Db::put_with_ttl`](crate::Db::put_with_ttl). Not together with a lease.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Returns the key as it was just before.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.prev_kv = true;
        self
    }

    /// Keeps the value that the key has; the key must exist, and the put's own value must be empty. As etcd's
    /// `PutRequest.ignore_value`.
    #[must_use]
    pub fn ignore_value(mut self) -> Self {
        self.ignore_value = true;
        self
    }

    /// Keeps the lease that the key has, or the deadline that a ttl gave it; the key must exist, and the put must name
    /// neither. As etcd's `PutRequest.ignore_lease`.
    #[must_use]
    pub fn ignore_lease(mut self) -> Self {
        self.ignore_lease = true;
        self
    }
}

impl Put {
    /// Puts `value` at `key`.
    pub fn new(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Put::with(key, value, PutOptions::new())
    }

    /// Puts `value` at `key`, with options.
    pub fn with(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: PutOptions) -> Self {
        Put { key: Bytes::copy_from_slice(key.as_ref()), value: Bytes::copy_from_slice(value.as_ref()), options }
    }

    /// As [`PutOptions::lease`].
    #[must_use]
    pub fn lease(mut self, lease: impl Into<LeaseId>) -> Self {
        self.options.lease = lease.into();
        self
    }

    /// As [`PutOptions::ttl`].
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Returns the key as it was just before.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.options.prev_kv = true;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let options = &self.options;
        check_key(&self.key)?;
        if options.ignore_value && !self.value.is_empty() {
            return Err(Error::InvalidArgument(Invalid::ValueProvided));
        }
        if options.ignore_lease && !options.lease.is_none() {
            return Err(Error::InvalidArgument(Invalid::LeaseProvided));
        }
        lease::check_put_ttl(options)
    }
}

/// Deletes the keys of a range, as etcd's `DeleteRangeRequest`.
///
/// Differs from etcd: it deletes at most [`Options::command_changes_max`](crate::Options::command_changes_max) keys, by
/// default a million. etcd has no bound and stalls meanwhile.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::{Delete, prefix};
/// db.put("tmp/a", "1")?;
/// let gone = db.delete_with(Delete::new(prefix("tmp/")).prev_kv())?;
/// assert_eq!(gone.prev_kvs[0].value, "1");
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    pub(crate) range: KeyRange,
    pub(crate) prev_kv: bool,
}

impl Delete {
    /// Deletes a key, or the keys of a range.
    pub fn new(range: impl Into<KeyRange>) -> Self {
        Delete { range: range.into(), prev_kv: false }
    }

    /// Returns the deleted keys as they were, in key order, which etcd leaves open. As etcd's
    /// `DeleteRangeRequest.prev_kv`.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.prev_kv = true;
        self
    }
}

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

    /// Counts the whole range although a limit may cut the answer: then [`RangeResponse::count`] is never `None`. For
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

/// How a [`Compare`] relates what is stored to its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareResult {
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// What is stored is greater.
    Greater,
    /// What is stored is less.
    Less,
}

/// What a [`Compare`] looks at, with the operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CompareTarget {
    Version(i64),
    CreateRevision(i64),
    ModRevision(i64),
    Lease(i64),
    Value(Bytes),
    /// The key is the lock of a token that holds.
    Held {
        create_revision: u64,
        lease: LeaseId,
    },
    /// A lease is there; the key means nothing.
    LeaseAlive(LeaseId),
}

/// A condition of a txn, as etcd's `Compare` with its `range_end`. It must hold for every key of its range; an empty
/// range is judged as a missing key: its numbers are 0, and a value compare is false whatever it asks.
///
/// ```
/// use etclite::Compare;
/// let absent = Compare::version("k").eq(0);
/// let unchanged = Compare::mod_revision("k").eq(7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    pub(crate) range: KeyRange,
    pub(crate) target: CompareTarget,
    pub(crate) result: CompareResult,
}

/// A [`Compare`] that still lacks its operator and operand.
#[derive(Clone, Debug)]
pub struct CompareOn<T> {
    range: KeyRange,
    target: fn(T) -> CompareTarget,
}

impl Compare {
    /// Compares the number of puts since the key's creation.
    pub fn version(range: impl Into<KeyRange>) -> CompareOn<i64> {
        CompareOn { range: range.into(), target: CompareTarget::Version }
    }

    /// Compares the revision of the key's creation.
    pub fn create_revision(range: impl Into<KeyRange>) -> CompareOn<i64> {
        CompareOn { range: range.into(), target: CompareTarget::CreateRevision }
    }

    /// Compares the revision of the key's last change.
    pub fn mod_revision(range: impl Into<KeyRange>) -> CompareOn<i64> {
        CompareOn { range: range.into(), target: CompareTarget::ModRevision }
    }

    /// Compares the id of the key's lease.
    pub fn lease(range: impl Into<KeyRange>) -> CompareOn<i64> {
        CompareOn { range: range.into(), target: CompareTarget::Lease }
    }

    /// Compares the value, bytewise. False for a missing key, whatever the operator.
    pub fn value(range: impl Into<KeyRange>) -> CompareOn<Bytes> {
        CompareOn { range: range.into(), target: CompareTarget::Value }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if matches!(self.target, CompareTarget::LeaseAlive(_)) { Ok(()) } else { check_key(&self.range.start) }
    }
}

/// A number that a [`Compare`] takes: an integer, a revision, or a lease id.
pub trait CompareNumber {
    /// The number as etcd carries it; what does not fit saturates.
    fn number(self) -> i64;
}

macro_rules! compare_number {
    ($($t:ty),*) => {$(
        impl CompareNumber for $t {
            fn number(self) -> i64 {
                i64::try_from(self).unwrap_or(i64::MAX)
            }
        }
    )*};
}
compare_number!(i64, i32, u64, u32);

impl CompareNumber for Revision {
    fn number(self) -> i64 {
        self.get().number()
    }
}

impl CompareNumber for LeaseId {
    fn number(self) -> i64 {
        self.get()
    }
}

#[allow(clippy::should_implement_trait, reason = "eq and ne build a compare, as etcd's clients spell it")]
impl CompareOn<i64> {
    fn is(self, result: CompareResult, number: impl CompareNumber) -> Compare {
        Compare { range: self.range, target: (self.target)(number.number()), result }
    }

    /// Holds if the stored number equals `number`.
    pub fn eq(self, number: impl CompareNumber) -> Compare {
        self.is(CompareResult::Equal, number)
    }

    /// Holds if the stored number differs from `number`.
    pub fn ne(self, number: impl CompareNumber) -> Compare {
        self.is(CompareResult::NotEqual, number)
    }

    /// Holds if the stored number is greater than `number`.
    pub fn gt(self, number: impl CompareNumber) -> Compare {
        self.is(CompareResult::Greater, number)
    }

    /// Holds if the stored number is less than `number`.
    pub fn lt(self, number: impl CompareNumber) -> Compare {
        self.is(CompareResult::Less, number)
    }
}

#[allow(clippy::should_implement_trait, reason = "eq and ne build a compare, as etcd's clients spell it")]
impl CompareOn<Bytes> {
    fn is(self, result: CompareResult, value: impl AsRef<[u8]>) -> Compare {
        Compare { range: self.range, target: (self.target)(Bytes::copy_from_slice(value.as_ref())), result }
    }

    /// Holds if the stored value equals `value`.
    pub fn eq(self, value: impl AsRef<[u8]>) -> Compare {
        self.is(CompareResult::Equal, value)
    }

    /// Holds if the key exists and its value differs from `value`.
    pub fn ne(self, value: impl AsRef<[u8]>) -> Compare {
        self.is(CompareResult::NotEqual, value)
    }

    /// Holds if the stored value sorts above `value`.
    pub fn gt(self, value: impl AsRef<[u8]>) -> Compare {
        self.is(CompareResult::Greater, value)
    }

    /// Holds if the stored value sorts below `value`.
    pub fn lt(self, value: impl AsRef<[u8]>) -> Compare {
        self.is(CompareResult::Less, value)
    }
}

/// One operation of a txn, as etcd's `RequestOp`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Write one key.
    Put(Put),
    /// Delete a range.
    Delete(Delete),
    /// Read a range.
    Range(Range),
    /// A nested txn.
    Txn(Txn),
    /// Grant a lease.
    Grant(GrantOptions),
    /// End a lease.
    Revoke(LeaseId),
    /// Advance a cursor.
    Advance(Advance),
}

impl From<Put> for Op {
    fn from(put: Put) -> Self {
        Op::Put(put)
    }
}

impl From<Delete> for Op {
    fn from(delete: Delete) -> Self {
        Op::Delete(delete)
    }
}

impl From<Range> for Op {
    fn from(range: Range) -> Self {
        Op::Range(range)
    }
}

impl<S> From<Txn<S>> for Op {
    fn from(txn: Txn<S>) -> Self {
        Op::Txn(txn.finish())
    }
}

/// The stages of a [`Txn`] under construction; each part is given at most once, in order.
pub mod stage {
    /// `when`, `then` and `or_else` may follow.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Start {}
    /// `then` and `or_else` may follow.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum When {}
    /// `or_else` may follow.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Then {}
    /// Complete.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Complete {}
}

/// A txn: if all compares hold, the then-branch runs, otherwise the else-branch; as etcd's `TxnRequest` with `compare`,
/// `success` and `failure`.
///
/// No compares is true. All compares, nested ones too, are evaluated against the state before the txn; the operations
/// of the branch run in order and see one another's effects; all changes share one revision.
///
/// Differs from etcd: there is no limit of 128 operations, but one of
/// [changed keys](crate::Options::command_changes_max). And a put with `ignore_value` of a key that the same txn has
/// deleted by an unbounded range fails the whole txn with "key not found", and nothing is written; it passes etcd's
/// checks and then stops the server.
///
/// ```
/// use etclite::{Compare, Op, Put, Range, Txn};
/// let nested = Txn::new().when([Compare::version("a").eq(0)]).then([Put::new("a", "1")]);
/// let txn = Txn::new().then([Op::from(nested), Op::from(Range::new("a"))]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn<Stage = stage::Complete> {
    pub(crate) fences: Vec<Token>,
    pub(crate) compares: Vec<Compare>,
    pub(crate) then: Vec<Op>,
    pub(crate) or_else: Vec<Op>,
    stage: PhantomData<Stage>,
}

impl Txn<stage::Start> {
    /// An empty txn.
    #[allow(clippy::new_without_default, reason = "a default would name a stage")]
    pub fn new() -> Self {
        Txn { fences: Vec::new(), compares: Vec::new(), then: Vec::new(), or_else: Vec::new(), stage: PhantomData }
    }

    /// The conditions, all of which must hold.
    #[must_use]
    pub fn when(mut self, compares: impl IntoIterator<Item = Compare>) -> Txn<stage::When> {
        self.compares.extend(compares);
        self.into_stage()
    }

    /// What runs if all conditions hold; there are none yet, so this always runs.
    #[must_use]
    pub fn then(self, ops: impl IntoIterator<Item = impl Into<Op>>) -> Txn<stage::Then> {
        self.into_stage::<stage::When>().then(ops)
    }
}

impl Txn<stage::When> {
    /// What runs if all conditions hold.
    #[must_use]
    pub fn then(mut self, ops: impl IntoIterator<Item = impl Into<Op>>) -> Txn<stage::Then> {
        self.then.extend(ops.into_iter().map(Into::into));
        self.into_stage()
    }

    /// What runs if a condition fails; nothing runs if all hold.
    #[must_use]
    pub fn or_else(self, ops: impl IntoIterator<Item = impl Into<Op>>) -> Txn<stage::Complete> {
        self.into_stage::<stage::Then>().or_else(ops)
    }
}

impl Txn<stage::Then> {
    /// What runs if a condition fails.
    #[must_use]
    pub fn or_else(mut self, ops: impl IntoIterator<Item = impl Into<Op>>) -> Txn<stage::Complete> {
        self.or_else.extend(ops.into_iter().map(Into::into));
        self.into_stage()
    }
}

impl<S> Txn<S> {
    fn into_stage<T>(self) -> Txn<T> {
        let Txn { fences, compares, then, or_else, .. } = self;
        Txn { fences, compares, then, or_else, stage: PhantomData }
    }

    /// The txn, whatever stage it is in.
    pub fn finish(self) -> Txn {
        self.into_stage()
    }
}

impl Txn {
    /// Shows every operation, nested ones too, of both branches.
    pub(crate) fn each_op(&mut self, visit: &mut dyn FnMut(&mut Op)) {
        for op in self.then.iter_mut().chain(&mut self.or_else) {
            if let Op::Txn(nested) = op {
                nested.each_op(visit);
            } else {
                visit(op);
            }
        }
    }

    /// Has every range leave leases out of keys-only answers.
    pub(crate) fn blank_leases(&mut self) {
        self.each_op(&mut |op| {
            if let Op::Range(range) = op {
                range.blank_lease = true;
            }
        });
    }

    pub(crate) fn from_parts(compares: Vec<Compare>, then: Vec<Op>, or_else: Vec<Op>) -> Self {
        Txn { fences: Vec::new(), compares, then, or_else, stage: PhantomData }
    }
}

pub(crate) fn check_key(key: &[u8]) -> Result<()> {
    if key.is_empty() { Err(Error::InvalidArgument(Invalid::EmptyKey)) } else { Ok(()) }
}
