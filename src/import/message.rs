//! The two protobuf messages that etcd's buckets hold, decoded by hand: `mvccpb.KeyValue` and `leasepb.Lease`.
//!
//! A field is a varint tag (number and wire type), then a varint, 8 or 4 bytes, or bytes behind their varint length. Of
//! a field that stands twice the last counts, and unknown ones are passed over, as the protobuf rules say. Nothing is
//! allocated: bytes are borrowed from the input.

use crate::codec::Reader;

/// `mvccpb.KeyValue`. Of a deletion only the key is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyValue<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) create_revision: i64,
    pub(super) mod_revision: i64,
    pub(super) version: i64,
    pub(super) lease: i64,
}

/// `leasepb.Lease`. The remaining time that etcd may have noted is not read: etcd starts leases anew, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) id: i64,
    /// In seconds.
    pub(super) ttl: i64,
}

impl<'a> KeyValue<'a> {
    /// `None` if it is no such message.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<KeyValue<'a>> {
        let mut kv = KeyValue::default();
        each_field(bytes, &mut |number, field| {
            match (number, field) {
                (1, Field::Bytes(key)) => kv.key = key,
                (2, Field::Number(revision)) => kv.create_revision = revision,
                (3, Field::Number(revision)) => kv.mod_revision = revision,
                (4, Field::Number(version)) => kv.version = version,
                (5, Field::Bytes(value)) => kv.value = value,
                (6, Field::Number(lease)) => kv.lease = lease,
                (1..=6, _) => return false,
                _ => {}
            }
            true
        })?;
        Some(kv)
    }
}

impl Lease {
    /// `None` if it is no such message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Lease> {
        let mut lease = Lease::default();
        each_field(bytes, &mut |number, field| {
            match (number, field) {
                (1, Field::Number(id)) => lease.id = id,
                (2, Field::Number(ttl)) => lease.ttl = ttl,
                (1..=2, _) => return false,
                _ => {}
            }
            true
        })?;
        Some(lease)
    }
}

enum Field<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    Other,
}

/// Shows each field; `None` if the bytes are no message or `visit` finds a field of the wrong type.
fn each_field<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(u64, Field<'a>) -> bool) -> Option<()> {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let tag = reader.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(reader.varint()?.cast_signed()),
            1 => reader.take(8).map(|_| Field::Other)?,
            2 => Field::Bytes(reader.bytes()?),
            5 => reader.take(4).map(|_| Field::Other)?,
            _ => return None,
        };
        if tag >> 3 == 0 || !visit(tag >> 3, field) {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_value_as_etcd_writes_it() {
        let bytes = b"\x0a\x03key\x10\x02\x18\x05\x20\x03\x2a\x01v\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        let expected =
            KeyValue { key: b"key", value: b"v", create_revision: 2, mod_revision: 5, version: 3, lease: -1 };
        assert_eq!(KeyValue::decode(bytes), Some(expected));
        assert_eq!(KeyValue::decode(b""), Some(KeyValue::default()));
    }

    #[test]
    fn a_lease_as_etcd_writes_it() {
        assert_eq!(Lease::decode(b"\x08\x07\x10\x3c\x18\x09"), Some(Lease { id: 7, ttl: 60 }));
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        let bytes = b"\x39\0\0\0\0\0\0\0\0\x42\x01x\x4d\0\0\0\0\x50\x01\x0a\x01k";
        assert_eq!(KeyValue::decode(bytes).map(|kv| kv.key), Some(&b"k"[..]));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        // A length beyond the end, a number where bytes belong, a group, field 0, a tag without its field.
        for bytes in [&b"\x0a\x05key"[..], b"\x08\x01", b"\x0b\x0c", b"\x02\x00", b"\x18", b"\x0a\xff\xff\xff\xff\xff"]
        {
            assert_eq!(KeyValue::decode(bytes), None, "{bytes:?}");
        }
        assert_eq!(Lease::decode(b"\x0a\x01k"), None);
    }
}
