//! The plain values of the model: revisions, keys with their metadata, events, key ranges, lease ids.
//!
//! Nothing here knows about storage. Field names are etcd's (`mvccpb.KeyValue`, `mvccpb.Event`).

use bytes::Bytes;
use std::fmt;
use std::ops::{Add, Bound, RangeBounds, Sub};

/// A store-wide revision: it rises by one with each write that changes at least one key.
///
/// A new store is at revision 1; the first change makes revision 2. Zero is never the revision of a store; where a
/// call takes a revision, zero means "latest" or "from now", as in etcd.
///
/// ```
/// use etclite::Revision;
/// let revision = Revision::new(7);
/// assert_eq!(revision + 1, Revision::from(8));
/// assert!(revision > Revision::ZERO && revision == 7);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// Zero: "latest" in a read, "from the next revision" in a watch, "off" in a filter.
    pub const ZERO: Revision = Revision(0);

    /// A revision by number.
    pub const fn new(number: u64) -> Self {
        Revision(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Revision {
    fn from(number: u64) -> Self {
        Revision(number)
    }
}

impl From<Revision> for u64 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl Add<u64> for Revision {
    type Output = Revision;
    fn add(self, rhs: u64) -> Revision {
        Revision(self.0.saturating_add(rhs))
    }
}

impl Sub<u64> for Revision {
    type Output = Revision;
    fn sub(self, rhs: u64) -> Revision {
        Revision(self.0.saturating_sub(rhs))
    }
}

impl PartialEq<u64> for Revision {
    fn eq(&self, other: &u64) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a lease: 64 bits, as etcd's; zero means "no lease".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(i64);

impl LeaseId {
    /// No lease.
    pub const NONE: LeaseId = LeaseId(0);

    /// A lease id by number; zero is [`LeaseId::NONE`].
    pub const fn new(id: i64) -> Self {
        LeaseId(id)
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether this is no lease at all.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl From<i64> for LeaseId {
    fn from(id: i64) -> Self {
        LeaseId(id)
    }
}

impl fmt::Display for LeaseId {
    /// Lowercase hexadecimal without padding; a negative id keeps its sign, as in etcd's lock keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 { write!(f, "-{:x}", self.0.unsigned_abs()) } else { write!(f, "{:x}", self.0) }
    }
}

/// A key with its value and metadata, as etcd's `mvccpb.KeyValue`. It owns its bytes and pins no part of the store.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty with `keys_only`, and in a delete event.
    pub value: Bytes,
    /// The revision of the key's latest creation.
    pub create_revision: Revision,
    /// The revision of the key's latest change.
    pub mod_revision: Revision,
    /// Counts puts since creation, from 1; zero only in a delete event.
    pub version: u64,
    /// The lease that the key is attached to, or [`LeaseId::NONE`].
    pub lease: LeaseId,
}

impl KeyValue {
    /// Leaves out so many bytes at the beginning of the key, which has them: those of a namespace.
    pub(crate) fn hide(&mut self, len: usize) {
        self.key = self.key.slice(len..);
    }
}

impl fmt::Debug for KeyValue {
    /// Lengths only: keys and values never reach a log through `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue")
            .field("key_len", &self.key.len())
            .field("value_len", &self.value.len())
            .field("create_revision", &self.create_revision.0)
            .field("mod_revision", &self.mod_revision.0)
            .field("version", &self.version)
            .field("lease", &self.lease.0)
            .finish()
    }
}

/// What an [`Event`] says happened to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The key was put: created or changed.
    Put,
    /// The key was deleted, by a delete, a txn, or the end of its lease.
    Delete,
}

/// One change of one key, as etcd's `mvccpb.Event`.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let mut watch = db.watch("a").start()?;
/// db.put("a", "1")?;
/// let batch = watch.next().expect("the store is open")?;
/// let event = &batch.events()[0];
/// assert!(event.kind == etclite::EventKind::Put && event.is_create());
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Put or delete.
    pub kind: EventKind,
    /// The key after the change. In a delete only `key` and `mod_revision` are set.
    pub kv: KeyValue,
    /// The key before the change, if the watch asked for it: `None` for a creation, and if the revision before the
    /// change is compacted.
    pub prev: Option<KeyValue>,
}

impl Event {
    /// Whether this put created its key: `create_revision` equals `mod_revision`, as etcd's `Event.IsCreate`.
    pub fn is_create(&self) -> bool {
        self.kind == EventKind::Put && self.kv.create_revision == self.kv.mod_revision && self.kv.version == 1
    }

    /// Whether this put changed a key that existed, as etcd's `Event.IsModify`.
    pub fn is_modify(&self) -> bool {
        self.kind == EventKind::Put && !self.is_create()
    }
}

/// Where a [`KeyRange`] ends.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum RangeEnd {
    /// The range is the one key.
    Key,
    /// All keys below this one.
    Before(Bytes),
    /// No end.
    Unbounded,
}

/// A set of keys: one key, a half-open interval `[key, range_end)`, a prefix, or everything from a key on.
///
/// Keys are compared bytewise. The rules for the end are etcd's (`RangeRequest.range_end`).
///
/// ```
/// use etclite::KeyRange;
/// assert!(KeyRange::prefix("config/").contains(b"config/a"));
/// assert!(KeyRange::from("a".."c").contains(b"b"));
/// assert!(!KeyRange::key("a").contains(b"ab"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    pub(crate) start: Bytes,
    pub(crate) end: RangeEnd,
}

impl KeyRange {
    /// The one key.
    pub fn key(key: impl AsRef<[u8]>) -> Self {
        KeyRange { start: Bytes::copy_from_slice(key.as_ref()), end: RangeEnd::Key }
    }

    /// All keys that begin with `prefix`; the empty prefix is every key.
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Self {
        let prefix = prefix.as_ref();
        if prefix.is_empty() {
            return KeyRange::all();
        }
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if last < 0xff {
                end.push(last + 1);
                return KeyRange { start: Bytes::copy_from_slice(prefix), end: RangeEnd::Before(end.into()) };
            }
        }
        KeyRange { start: Bytes::copy_from_slice(prefix), end: RangeEnd::Unbounded }
    }

    /// All keys at or above `key`; the empty key means every key.
    pub fn from_key(key: impl AsRef<[u8]>) -> Self {
        let key = key.as_ref();
        if key.is_empty() {
            return KeyRange::all();
        }
        KeyRange { start: Bytes::copy_from_slice(key), end: RangeEnd::Unbounded }
    }

    /// Every key.
    pub fn all() -> Self {
        KeyRange { start: Bytes::from_static(b"\0"), end: RangeEnd::Unbounded }
    }

    /// The keys `start <= key < end`. An end at or below the start is an empty range, which a watch refuses.
    pub fn between(start: impl AsRef<[u8]>, end: impl AsRef<[u8]>) -> Self {
        KeyRange {
            start: Bytes::copy_from_slice(start.as_ref()),
            end: RangeEnd::Before(Bytes::copy_from_slice(end.as_ref())),
        }
    }

    /// A range as etcd's `key` and `range_end` fields spell it: an empty end is the one key, an end of one zero byte
    /// is everything from `key` on.
    pub fn from_wire(key: impl AsRef<[u8]>, range_end: impl AsRef<[u8]>) -> Self {
        match range_end.as_ref() {
            [] => KeyRange::key(key),
            [0] => KeyRange { start: Bytes::copy_from_slice(key.as_ref()), end: RangeEnd::Unbounded },
            end => KeyRange::between(key, end),
        }
    }

    /// Its start and its end as [`KeyRange::from_wire`] takes them.
    pub(crate) fn into_wire(self) -> (Bytes, Bytes) {
        let end = match self.end {
            RangeEnd::Key => Bytes::new(),
            RangeEnd::Before(end) => end,
            RangeEnd::Unbounded => Bytes::from_static(b"\0"),
        };
        (self.start, end)
    }

    /// The first key that the range may hold.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// Whether this is a range of one key, by its form.
    pub fn is_single(&self) -> bool {
        self.end == RangeEnd::Key
    }

    /// Whether no key can be in the range: its end is at or below its start.
    pub fn is_empty(&self) -> bool {
        matches!(&self.end, RangeEnd::Before(end) if *end <= self.start)
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            RangeEnd::Key => self.start == key,
            RangeEnd::Before(end) => *self.start <= *key && *key < **end,
            RangeEnd::Unbounded => *self.start <= *key,
        }
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.end {
            RangeEnd::Key => "key",
            RangeEnd::Before(_) => "interval",
            RangeEnd::Unbounded => "from key",
        };
        write!(f, "KeyRange({form}, start_len {})", self.start.len())
    }
}

/// All keys that begin with `prefix`: short for [`KeyRange::prefix`].
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// db.put("config/a", "1")?;
/// assert_eq!(db.count(etclite::prefix("config/"))?, 1);
/// # Ok::<(), etclite::Error>(())
/// ```
pub fn prefix(prefix: impl AsRef<[u8]>) -> KeyRange {
    KeyRange::prefix(prefix)
}

/// All keys at or above `key`: short for [`KeyRange::from_key`].
///
/// ```
/// assert!(etclite::from_key("b").contains(b"bb") && !etclite::from_key("b").contains(b"a"));
/// ```
pub fn from_key(key: impl AsRef<[u8]>) -> KeyRange {
    KeyRange::from_key(key)
}

macro_rules! single_key_from {
    ($($t:ty),*) => {$(
        impl From<$t> for KeyRange {
            /// The one key.
            fn from(key: $t) -> Self {
                KeyRange::key(key)
            }
        }
    )*};
}
single_key_from!(&str, &String, String, &[u8], &Vec<u8>, Vec<u8>, &Bytes);

impl From<Bytes> for KeyRange {
    fn from(key: Bytes) -> Self {
        KeyRange { start: key, end: RangeEnd::Key }
    }
}

impl<const N: usize> From<&[u8; N]> for KeyRange {
    fn from(key: &[u8; N]) -> Self {
        KeyRange::key(key)
    }
}

impl<T: AsRef<[u8]>> From<std::ops::Range<T>> for KeyRange {
    fn from(range: std::ops::Range<T>) -> Self {
        from_bounds(&range)
    }
}

impl<T: AsRef<[u8]>> From<std::ops::RangeFrom<T>> for KeyRange {
    fn from(range: std::ops::RangeFrom<T>) -> Self {
        KeyRange::from_key(range.start)
    }
}

impl From<std::ops::RangeFull> for KeyRange {
    fn from(_: std::ops::RangeFull) -> Self {
        KeyRange::all()
    }
}

fn from_bounds<T: AsRef<[u8]>>(range: &impl RangeBounds<T>) -> KeyRange {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(start), Bound::Excluded(end)) => KeyRange::between(start, end),
        _ => KeyRange::all(),
    }
}
