//! Encodings shared by the formats: fixed-width and varint integers, length-prefixed bytes, checksums; and bincode for
//! the catalog's values, which nobody else in the crate sees.
//!
//! Decoding never panics and never trusts a claimed length: what is not there is `None`.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads an encoded buffer from front to back.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// A LEB128 integer of at most ten bytes; a longer or overflowing one is `None`.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (i, &byte) in self.bytes.iter().enumerate().take(10) {
            let part = u64::from(byte & 0x7f);
            if i == 9 && part > 1 {
                return None;
            }
            value |= part << (7 * i);
            if byte < 0x80 {
                self.bytes = &self.bytes[i + 1..];
                return Some(value);
            }
        }
        None
    }

    /// A signed integer, zigzag.
    pub(crate) fn varint_signed(&mut self) -> Option<i64> {
        let raw = self.varint()?;
        Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    /// Bytes behind their varint length.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.varint()?;
        self.take(usize::try_from(len).ok()?)
    }
}

/// Appends encoded values to a buffer.
pub(crate) trait Write {
    fn put_u8(&mut self, value: u8);
    fn put_slice(&mut self, value: &[u8]);

    fn put_u32(&mut self, value: u32) {
        self.put_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put_slice(&value.to_le_bytes());
    }

    fn put_u128(&mut self, value: u128) {
        self.put_slice(&value.to_le_bytes());
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the low seven bits are what is meant")]
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    fn put_varint_signed(&mut self, value: i64) {
        self.put_varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn put_bytes(&mut self, value: &[u8]) {
        self.put_varint(value.len() as u64);
        self.put_slice(value);
    }
}

impl Write for Vec<u8> {
    #[inline]
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    #[inline]
    fn put_slice(&mut self, value: &[u8]) {
        self.extend_from_slice(value);
    }
}

/// CRC-32 (IEEE) of `bytes`, continuing from `seed`: two buffers under different seeds never share a checksum's proof.
pub(crate) fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// The largest value that the catalog holds, in bytes.
const CATALOG_VALUE_BYTES_MAX: usize = 1 << 20;

fn bincode_config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<CATALOG_VALUE_BYTES_MAX>()
}

/// Encodes a catalog value: a format byte, then bincode.
pub(crate) fn encode_value<T: Serialize>(format: u8, value: &T) -> Vec<u8> {
    let mut bytes = vec![format];
    bincode::serde::encode_into_std_write(value, &mut bytes, bincode_config())
        .expect("catalog values are plain data below the size limit");
    bytes
}

/// Decodes a catalog value: its format byte and the value, or `None` if it is damaged or of another format.
pub(crate) fn decode_value<T: DeserializeOwned>(format: u8, bytes: &[u8]) -> Option<T> {
    let (first, rest) = bytes.split_first()?;
    if *first != format {
        return None;
    }
    let (value, len) = bincode::serde::decode_from_slice(rest, bincode_config()).ok()?;
    (len == rest.len()).then_some(value)
}

/// How many bytes a typed value may claim to have; a request has fewer.
#[cfg(feature = "serde")]
const TYPED_VALUE_BYTES_MAX: usize = 64 << 20;

/// Encodes a caller's value, if it can be.
#[cfg(feature = "serde")]
pub(crate) fn encode_typed<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).ok()
}

/// Decodes a caller's value, of all the bytes.
#[cfg(feature = "serde")]
pub(crate) fn decode_typed<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let config = bincode::config::standard().with_limit::<TYPED_VALUE_BYTES_MAX>();
    let (value, len) = bincode::serde::decode_from_slice(bytes, config).ok()?;
    (len == bytes.len()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        for value in [0u64, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            bytes.put_varint(value);
            bytes.put_varint_signed(value.cast_signed());
            bytes.put_varint_signed(value.cast_signed().wrapping_neg());
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint(), Some(value));
            assert_eq!(reader.varint_signed(), Some(value.cast_signed()));
            assert_eq!(reader.varint_signed(), Some(value.cast_signed().wrapping_neg()));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_claimed_length_is_not_trusted() {
        let mut bytes = Vec::new();
        bytes.put_varint(u64::MAX);
        bytes.put_slice(b"short");
        assert_eq!(Reader::new(&bytes).bytes(), None);
        assert_eq!(Reader::new(&[0xff; 11]).varint(), None);
        assert_eq!(Reader::new(&[0x80]).varint(), None);
    }

    #[test]
    fn catalog_values_name_their_format() {
        let bytes = encode_value(3, &(7u64, "name".to_owned()));
        assert_eq!(decode_value::<(u64, String)>(3, &bytes), Some((7, "name".to_owned())));
        assert_eq!(decode_value::<(u64, String)>(4, &bytes), None);
        assert_eq!(decode_value::<(u64, String)>(3, &bytes[..bytes.len() - 1]), None);
        assert_eq!(decode_value::<(u64, String)>(3, &[]), None);
    }
}
