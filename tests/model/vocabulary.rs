//! What the model, its generator and its harness talk about: operations. `answers.rs` has answers and failures.
//!
//! The types mirror etclite's requests and responses but share no code with them. Keys print as text, so that a failing
//! sequence can be read.

use super::{AdvanceOp, Change, Failure, Kv};
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// Bytes that print as text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Deref for Blob {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Blob {
    fn from(text: &str) -> Self {
        Blob(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Blob(bytes.to_vec())
    }
}

/// Keys as etcd's `key` and `range_end` spell them (RV-09).
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) key: Blob,
    pub(crate) end: Blob,
}

impl Span {
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let start: &[u8] = &self.key;
        match &*self.end {
            [] => key == start,
            [0] => key >= start,
            end => key >= start && key < end,
        }
    }

    pub(crate) fn is_single(&self) -> bool {
        self.end.is_empty()
    }

    pub(crate) fn is_from_key(&self) -> bool {
        *self.end == [0]
    }

    /// etcd takes the end `\0` for what it says, an interval that ends below any key, and so finds no put in it.
    pub(super) fn hides_put(&self) -> bool {
        self.is_from_key()
    }

    pub(super) fn check_key(&self) -> Result<(), Failure> {
        if self.key.is_empty() { Err(Failure::EmptyKey) } else { Ok(()) }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.end {
            [] => write!(f, "{:?}", self.key),
            [0] => write!(f, "{:?}..", self.key),
            _ => write!(f, "{:?}..{:?}", self.key, self.end),
        }
    }
}

/// One operation of a sequence. A revision of 0 is "latest", in a watch "from now".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Put(PutOp),
    Range(RangeOp),
    Delete(DeleteOp),
    Txn(TxnOp),
    Compact(u64),
    Hash(u64),
    Grant(GrantOp),
    Revoke(i64),
    KeepAlive(i64),
    TimeToLive(i64),
    Leases,
    Watch {
        slot: u8,
        watch: WatchOp,
    },
    Drain(u8),
    Progress(u8),
    Advance {
        ms: u64,
    },
    Reopen {
        elapsed_ms: u64,
        renewed: bool,
    },
    /// A put, delete, txn, grant, revoke, or command of cursors, with an operation id.
    Once {
        id: u128,
        since: Option<u64>,
        op: Box<Op>,
    },
    /// Which operations with an id are remembered.
    Remembered,
    CreateCursor {
        name: Blob,
        span: Span,
        no_delete: bool,
        /// How many revisions it may be behind and hold compaction; 0 is no bound.
        max_lag: u64,
        at: Option<u64>,
    },
    ResetCursor {
        name: Blob,
        to: u64,
    },
    DropCursor(Blob),
    /// A watch of what a cursor has not consumed.
    WatchCursor {
        slot: u8,
        name: Blob,
    },
    Cursors,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct PutOp {
    pub(crate) key: Blob,
    pub(crate) value: Blob,
    pub(crate) lease: i64,
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) prev_kv: bool,
    pub(crate) ignore_value: bool,
    pub(crate) ignore_lease: bool,
}

impl PutOp {
    pub(super) fn check_shape(&self) -> Result<(), Failure> {
        if self.key.is_empty() {
            Err(Failure::EmptyKey)
        } else if self.ignore_value && !self.value.is_empty() {
            Err(Failure::ValueProvided)
        } else if self.ignore_lease && self.lease != 0 {
            Err(Failure::LeaseProvided)
        } else if self.ttl_ms.is_some() && (self.lease != 0 || self.ignore_lease) {
            Err(Failure::TwoDeadlines)
        } else {
            Ok(())
        }
    }
}

/// A grant, with what X-02 adds to it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct GrantOp {
    pub(crate) id: i64,
    pub(crate) ttl: Duration,
    pub(crate) delay_ms: u64,
}

impl GrantOp {
    pub(super) fn check_shape(&self) -> Result<(), Failure> {
        let too_large = self.ttl > Duration::from_secs(9_000_000_000) || self.delay_ms > 60_000;
        if too_large { Err(Failure::TooLarge) } else { Ok(()) }
    }

    /// The granted TTL: whole milliseconds, rounded up, at least one (CH-03).
    pub(super) fn ttl_ms(&self) -> u64 {
        u64::try_from(self.ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
    }
}

/// The proof of a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenOp {
    pub(crate) key: Blob,
    pub(crate) create: u64,
    pub(crate) lease: i64,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct DeleteOp {
    pub(crate) span: Span,
    pub(crate) prev_kv: bool,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeOp {
    pub(crate) span: Span,
    pub(crate) revision: u64,
    pub(crate) limit: u64,
    pub(crate) target: SortBy,
    pub(crate) descend: bool,
    pub(crate) keys_only: bool,
    pub(crate) count_only: bool,
    pub(crate) with_count: bool,
    pub(crate) min_mod: u64,
    pub(crate) max_mod: u64,
    pub(crate) min_create: u64,
    pub(crate) max_create: u64,
}

impl RangeOp {
    /// The revision filters: inclusive, 0 is off (KV-07).
    pub(super) fn passes(&self, kv: &Kv) -> bool {
        (self.min_mod == 0 || kv.modified >= self.min_mod)
            && (self.max_mod == 0 || kv.modified <= self.max_mod)
            && (self.min_create == 0 || kv.create >= self.min_create)
            && (self.max_create == 0 || kv.create <= self.max_create)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SortBy {
    #[default]
    Key,
    Version,
    Create,
    Mod,
    Value,
}

impl SortBy {
    pub(super) fn compare(self, a: &Kv, b: &Kv) -> std::cmp::Ordering {
        match self {
            SortBy::Key => a.key.cmp(&b.key),
            SortBy::Version => a.version.cmp(&b.version),
            SortBy::Create => a.create.cmp(&b.create),
            SortBy::Mod => a.modified.cmp(&b.modified),
            SortBy::Value => a.value.cmp(&b.value),
        }
    }
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct TxnOp {
    /// Of the outermost txn only.
    pub(crate) fences: Vec<TokenOp>,
    pub(crate) compares: Vec<CompareOp>,
    pub(crate) then: Vec<TxnItem>,
    pub(crate) or_else: Vec<TxnItem>,
}

impl TxnOp {
    /// Budget, compares, then the operations of both branches in order, nested ones within (TX-08, TX-11).
    pub(super) fn check_shape(&self, budget: usize) -> Result<(), Failure> {
        let count = self.compares.len().max(self.then.len()).max(self.or_else.len());
        let left = budget.checked_sub(count).ok_or(Failure::TooLarge)?;
        for token in &self.fences {
            Span { key: token.key.clone(), end: Blob::default() }.check_key()?;
        }
        for compare in self.compares.iter().filter(|compare| !matches!(compare.operand, Operand::Alive(_))) {
            compare.span.check_key()?;
        }
        for item in self.then.iter().chain(&self.or_else) {
            match item {
                TxnItem::Put(put) => put.check_shape()?,
                TxnItem::Range(range) => range.span.check_key()?,
                TxnItem::Delete(delete) => delete.span.check_key()?,
                TxnItem::Txn(nested) => nested.check_shape(left)?,
                TxnItem::Grant(grant) => grant.check_shape()?,
                TxnItem::Revoke(_) => {}
                TxnItem::Advance(advance) => advance.check_shape()?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TxnItem {
    Put(PutOp),
    Range(RangeOp),
    Delete(DeleteOp),
    Txn(TxnOp),
    Grant(GrantOp),
    Revoke(i64),
    Advance(AdvanceOp),
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CompareOp {
    pub(crate) span: Span,
    pub(crate) operand: Operand,
    pub(crate) relation: Relation,
}

impl CompareOp {
    pub(super) fn holds(&self, kv: &Kv) -> bool {
        let number = |stored: u64, operand: i64| i128::from(stored).cmp(&i128::from(operand));
        let order = match &self.operand {
            Operand::Version(operand) => number(kv.version, *operand),
            Operand::Create(operand) => number(kv.create, *operand),
            Operand::Mod(operand) => number(kv.modified, *operand),
            Operand::Lease(operand) => kv.lease.cmp(operand),
            Operand::Value(operand) => kv.value.cmp(operand),
            Operand::Held { .. } | Operand::Alive(_) => unreachable!("not a compare of what a key has"),
        };
        match self.relation {
            Relation::Equal => order.is_eq(),
            Relation::NotEqual => order.is_ne(),
            Relation::Greater => order.is_gt(),
            Relation::Less => order.is_lt(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Version(i64),
    Create(i64),
    Mod(i64),
    Lease(i64),
    Value(Blob),
    /// The key is the lock of a token that holds.
    Held {
        create: u64,
        lease: i64,
    },
    /// The lease is there, whatever the span says.
    Alive(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Greater,
    Less,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct WatchOp {
    pub(crate) span: Span,
    pub(crate) from: u64,
    pub(crate) prev_kv: bool,
    pub(crate) no_put: bool,
    pub(crate) no_delete: bool,
}

impl WatchOp {
    pub(super) fn matches(&self, change: &Change) -> bool {
        let filtered = if change.kv.is_some() { self.no_put } else { self.no_delete };
        self.span.contains(&change.key) && !filtered
    }
}

impl fmt::Debug for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.span, self.relation, self.operand)
    }
}

/// Prints an operation with those of its options that were given.
struct Brief<'a>(&'a str, Vec<(&'a str, Option<String>)>);

impl fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        self.1.iter().try_for_each(|(name, given)| match given {
            Some(given) => write!(f, " {name}{given}"),
            None => Ok(()),
        })
    }
}

fn flag(given: bool) -> Option<String> {
    given.then(String::new)
}

fn number<T: Default + PartialEq + fmt::Display>(number: T) -> Option<String> {
    (number != T::default()).then(|| format!("={number}"))
}

fn list<T: fmt::Debug>(items: &[T]) -> Option<String> {
    (!items.is_empty()).then(|| format!(" {items:?}"))
}

impl fmt::Debug for PutOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = vec![
            ("lease", number(self.lease)),
            ("ttl_ms", self.ttl_ms.map(|ttl_ms| format!("={ttl_ms}"))),
            ("prev_kv", flag(self.prev_kv)),
            ("ignore_value", flag(self.ignore_value)),
            ("ignore_lease", flag(self.ignore_lease)),
        ];
        Brief(&format!("{:?} = {:?}", self.key, self.value), options).fmt(f)
    }
}

impl fmt::Debug for GrantOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Brief(&format!("{} for {:?}", self.id, self.ttl), vec![("delay_ms", number(self.delay_ms))]).fmt(f)
    }
}

impl fmt::Debug for DeleteOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Brief(&format!("{:?}", self.span), vec![("prev_kv", flag(self.prev_kv))]).fmt(f)
    }
}

impl fmt::Debug for RangeOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = self.target != SortBy::Key || self.descend;
        let options = vec![
            ("at", number(self.revision)),
            ("limit", number(self.limit)),
            ("sort", sorted.then(|| format!("={:?}{}", self.target, if self.descend { "-" } else { "+" }))),
            ("keys_only", flag(self.keys_only)),
            ("count_only", flag(self.count_only)),
            ("with_count", flag(self.with_count)),
            ("min_mod", number(self.min_mod)),
            ("max_mod", number(self.max_mod)),
            ("min_create", number(self.min_create)),
            ("max_create", number(self.max_create)),
        ];
        Brief(&format!("{:?}", self.span), options).fmt(f)
    }
}

impl fmt::Debug for TxnOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = vec![
            ("fenced", list(&self.fences)),
            ("when", list(&self.compares)),
            ("then", list(&self.then)),
            ("else", list(&self.or_else)),
        ];
        Brief("", parts).fmt(f)
    }
}

impl fmt::Debug for WatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = vec![
            ("from", number(self.from)),
            ("prev_kv", flag(self.prev_kv)),
            ("no_put", flag(self.no_put)),
            ("no_delete", flag(self.no_delete)),
        ];
        Brief(&format!("{:?}", self.span), options).fmt(f)
    }
}
