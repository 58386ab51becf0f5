//! Stored keys: a space byte in front of what a space holds.
//!
//! ```text
//! SPACE_USER  | user key
//! SPACE_LEASE | lease id, 8 bytes big-endian with the sign bit flipped | user key      which keys a lease holds
//! ```

use bytes::Bytes;

use crate::kv::{KeyRange, LeaseId, RangeEnd};
use crate::memtable::Bounds;
use crate::store::entry::{SPACE_LEASE, SPACE_USER};

/// The stored key of a user key.
pub(crate) fn user_key(key: &[u8]) -> Bytes {
    let mut stored = Vec::with_capacity(1 + key.len());
    stored.push(SPACE_USER);
    stored.extend_from_slice(key);
    stored.into()
}

/// The stored bounds of a range of user keys.
pub(crate) fn bounds(range: &KeyRange) -> Bounds {
    let start = user_key(&range.start);
    let end = match &range.end {
        RangeEnd::Key => [&start[..], &[0]].concat().into(),
        RangeEnd::Before(end) => user_key(end),
        RangeEnd::Unbounded => Bytes::from_static(&[SPACE_USER + 1]),
    };
    Bounds { start, end }
}

/// Everything that is stored, of every space.
pub(crate) fn everything() -> Bounds {
    Bounds { start: Bytes::new(), end: Bytes::from_static(&[0xff]) }
}

/// All user keys.
pub(crate) fn all_user_keys() -> Bounds {
    Bounds { start: Bytes::from_static(&[SPACE_USER]), end: Bytes::from_static(&[SPACE_USER + 1]) }
}

/// All attachments of all leases.
pub(crate) fn all_attachments() -> Bounds {
    Bounds { start: Bytes::from_static(&[SPACE_LEASE]), end: Bytes::from_static(&[SPACE_LEASE + 1]) }
}

const ATTACHMENT_PREFIX_LEN: usize = 9;

fn attachment_prefix(id: LeaseId) -> [u8; ATTACHMENT_PREFIX_LEN] {
    let ordered = id.get().cast_unsigned() ^ (1 << 63);
    let mut prefix = [SPACE_LEASE; ATTACHMENT_PREFIX_LEN];
    prefix[1..].copy_from_slice(&ordered.to_be_bytes());
    prefix
}

/// Where it stands that `id` holds the user key `key`.
pub(crate) fn attachment_key(id: LeaseId, key: &[u8]) -> Bytes {
    [&attachment_prefix(id), key].concat().into()
}

/// The user key in an attachment's stored key.
pub(crate) fn attached_key(stored: &Bytes) -> Bytes {
    stored.slice(ATTACHMENT_PREFIX_LEN..)
}

/// The lease in an attachment's stored key.
pub(crate) fn attachment_lease(stored: &[u8]) -> Option<LeaseId> {
    let id = stored.get(1..ATTACHMENT_PREFIX_LEN)?.try_into().ok()?;
    Some(LeaseId::new((u64::from_be_bytes(id) ^ (1 << 63)).cast_signed()))
}

/// The bounds of all attachments of a lease.
pub(crate) fn attachment_bounds(id: LeaseId) -> Bounds {
    let start = attachment_prefix(id);
    let mut end = start;
    // Add one to the number behind the space byte; past the last id lies the next space.
    for byte in end.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    Bounds { start: Bytes::copy_from_slice(&start), end: Bytes::copy_from_slice(&end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_of_a_lease_stand_together() {
        for id in [i64::MIN, -1, 0, 1, i64::MAX] {
            let bounds = attachment_bounds(LeaseId::new(id));
            let key = attachment_key(LeaseId::new(id), &[0xff; 40]);
            assert!(bounds.start <= key && key < bounds.end, "{id}");
            assert_eq!(attachment_lease(&key), Some(LeaseId::new(id)));
            assert_eq!(attached_key(&key), Bytes::from_static(&[0xff; 40]));
        }
    }
}
