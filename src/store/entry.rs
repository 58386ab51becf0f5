//! One version of one key, as memtables and runs hold it.

use bytes::Bytes;

use crate::kv::{KeyValue, LeaseId, Revision};

/// The first byte of a stored key: which key space it belongs to.
pub(crate) const SPACE_USER: u8 = 1;
/// `SPACE_LEASE ‖ lease id, big-endian with the sign bit flipped ‖ user key`: the keys that a lease holds.
pub(crate) const SPACE_LEASE: u8 = 2;

/// One version of a stored key. Order: key ascending, then (mod revision, sub) descending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The stored key: a space byte, then the rest.
    pub(crate) key: Bytes,
    pub(crate) mod_revision: u64,
    /// Orders the changes inside one revision.
    pub(crate) sub: u32,
    pub(crate) create_revision: u64,
    /// Zero in a tombstone.
    pub(crate) version: u64,
    pub(crate) lease: i64,
    pub(crate) tombstone: bool,
    pub(crate) value: Bytes,
}

/// An [`Entry`] that borrows its bytes from where they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryRef<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) mod_revision: u64,
    pub(crate) sub: u32,
    pub(crate) create_revision: u64,
    pub(crate) version: u64,
    pub(crate) lease: i64,
    pub(crate) tombstone: bool,
    pub(crate) value: &'a [u8],
}

impl Entry {
    pub(crate) fn borrow(&self) -> EntryRef<'_> {
        EntryRef {
            key: &self.key,
            mod_revision: self.mod_revision,
            sub: self.sub,
            create_revision: self.create_revision,
            version: self.version,
            lease: self.lease,
            tombstone: self.tombstone,
            value: &self.value,
        }
    }

    /// The user's view of this version. The key's space byte is cut without copying.
    pub(crate) fn to_kv(&self) -> KeyValue {
        KeyValue {
            key: self.key.slice(1..),
            value: self.value.clone(),
            create_revision: Revision::new(self.create_revision),
            mod_revision: Revision::new(self.mod_revision),
            version: self.version,
            lease: LeaseId::new(self.lease),
        }
    }
}

impl EntryRef<'_> {
    pub(crate) fn to_entry(self) -> Entry {
        Entry {
            key: Bytes::copy_from_slice(self.key),
            mod_revision: self.mod_revision,
            sub: self.sub,
            create_revision: self.create_revision,
            version: self.version,
            lease: self.lease,
            tombstone: self.tombstone,
            value: Bytes::copy_from_slice(self.value),
        }
    }
}
