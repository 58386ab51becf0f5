//! What a txn asks of the store before it chooses a branch.

use bytes::Bytes;

use crate::error::Result;
use crate::kv::{KeyRange, LeaseId, Revision};
use crate::op::check_key;

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
    /// That the key exists, or any key of the range; as etcd's `clientv3util.KeyExists`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Compare, Put, prefix};
    /// let once = || db.txn().when([Compare::key_missing("done")]).then([Put::new("done", "")]).commit();
    /// assert!(once()?.succeeded);
    /// assert!(!once()?.succeeded);
    /// assert!(db.txn().when([Compare::key_exists(prefix("do"))]).then([Put::new("a", "")]).commit()?.succeeded);
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn key_exists(range: impl Into<KeyRange>) -> Compare {
        Compare::version(range).gt(0)
    }

    /// That the key does not exist, nor any key of the range; as etcd's `clientv3util.KeyMissing`.
    pub fn key_missing(range: impl Into<KeyRange>) -> Compare {
        Compare::version(range).eq(0)
    }

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
