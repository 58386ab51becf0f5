//! Requests and responses: the one vocabulary that callers and the log share.
//!
//! Constructors take what the caller has; checks that need no store ([`Put::check`] and its kin) run before anything
//! is logged. Names are etcd's (`PutRequest`, `RangeRequest`, `Compare`, `TxnRequest`).

use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyRange, LeaseId};
use bytes::Bytes;
use std::marker::PhantomData;
use std::time::Duration;

mod advance;
mod compare;
mod fence;
mod lease;
mod once;
mod range;
mod response;
pub use advance::Advance;
pub(crate) use compare::CompareTarget;
pub use compare::{Compare, CompareNumber, CompareOn, CompareResult};
pub use fence::Token;
pub use lease::{GrantOptions, GrantResponse, RevokeResponse};
pub use once::{OnceResponse, OperationId};
pub use range::{Range, SortOrder, SortTarget};
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

/// One operation of a txn, as etcd's `RequestOp`, or of a [batch](crate::Db::batch).
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

    /// Whether ranges leave leases out of keys-only answers.
    pub(crate) fn blank_leases(&mut self, blank: bool) {
        self.each_op(&mut |op| {
            if let Op::Range(range) = op {
                range.blank_lease = blank;
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
