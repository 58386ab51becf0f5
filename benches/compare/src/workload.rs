//! Keys, values, and the order in which they come.
//!
//! Key number `i` is a prefix, as etcd's users have it, and the 16 hex digits of a mixed `i`: loading 0, 1, 2, .. puts
//! keys all over the key space. A value begins with its ticket, a number that no other write of this process uses, so it
//! always differs from what is stored: some stores skip a write that changes nothing, which looks like a fast sync.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in a key.
pub const KEY_LEN: usize = 32;
/// Bytes in a value.
pub const VALUE_LEN: usize = 100;
/// What all keys begin with.
pub const PREFIX: &[u8; 16] = b"/registry/items/";

/// A key as every store gets it.
pub type Key = [u8; KEY_LEN];
/// A value as every store gets it.
pub type Value = [u8; VALUE_LEN];

/// The key with this number.
pub fn key(number: u64) -> Key {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut key = [0; KEY_LEN];
    key[..PREFIX.len()].copy_from_slice(PREFIX);
    for (pair, byte) in key[PREFIX.len()..].chunks_exact_mut(2).zip(mix(number).to_be_bytes()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    key
}

/// The value with this ticket: the ticket, then bytes that no compressor can shrink.
pub fn value(ticket: u64) -> Value {
    let mut value = [0; VALUE_LEN];
    let mut state = ticket;
    for chunk in value.chunks_mut(8) {
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
        state = mix(state);
    }
    value
}

/// The first of 2^32 tickets that nobody else has. Tickets below 2^40 are those of the loading.
pub fn ticket_block() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
    NEXT.fetch_add(1 << 32, Ordering::Relaxed)
}

/// The finalizer of splitmix64: a bijection, so different numbers make different keys.
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A splitmix64 generator: enough for picking keys, and the same on every machine.
pub struct Random(u64);

impl Random {
    /// A generator with its own sequence for each seed.
    pub fn new(seed: u64) -> Self {
        Random(mix(seed))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let wide = u128::from(mix(self.0)) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the product of two 64-bit numbers, shifted by 64 bits, fits in 64 bits")
    }
}

/// A cheap sum over what was read: equal sums mean that two stores read the same bytes in the same order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum(u64);

impl Checksum {
    /// Takes one value in.
    #[inline]
    pub fn value(&mut self, value: &[u8]) {
        let end = value.len().saturating_sub(8);
        let len = u64::try_from(value.len()).unwrap_or(u64::MAX);
        self.0 = self.0.rotate_left(5) ^ word(value) ^ word(&value[end..]) ^ len;
    }

    /// Takes one key and its value in.
    #[inline]
    pub fn pair(&mut self, key: &[u8], value: &[u8]) {
        let end = key.len().saturating_sub(8);
        self.0 = self.0.rotate_left(5) ^ word(&key[end..]);
        self.value(value);
    }
}

/// The first 8 bytes as a number; a shorter slice counts as 0, and its length tells.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_text_of_the_stated_length() {
        let mut keys: Vec<Key> = (0..10_000).map(key).collect();
        assert!(keys.iter().all(|k| k.starts_with(PREFIX) && k.is_ascii()));
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 10_000);
    }

    #[test]
    fn values_differ_by_ticket_and_blocks_do_not_meet() {
        assert_ne!(value(1), value(2));
        assert_eq!(value(7)[..8], 7u64.to_le_bytes());
        assert!(ticket_block().abs_diff(ticket_block()) >= 1 << 32);
    }

    #[test]
    fn random_stays_below_its_bound_and_repeats_by_seed() {
        let draw = |seed| -> Vec<u64> {
            let mut random = Random::new(seed);
            (0..1000).map(|_| random.below(7)).collect()
        };
        assert!(draw(1).iter().all(|n| *n < 7) && draw(1).contains(&6) && draw(1).contains(&0));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn checksum_sees_order_and_both_ends() {
        let sum = |values: &[&[u8]]| {
            let mut sum = Checksum::default();
            values.iter().for_each(|v| sum.value(v));
            sum
        };
        assert_ne!(sum(&[b"0123456789", b"abcdefghij"]), sum(&[b"abcdefghij", b"0123456789"]));
        assert_ne!(sum(&[b"0123456789"]), sum(&[b"012345678x"]));
        assert_ne!(sum(&[b"short"]), sum(&[b"shorter"]));
    }
}
