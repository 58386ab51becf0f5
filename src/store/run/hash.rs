//! The hash section of a run: from a key to its newest entry with one cache miss.
//!
//! A bucket is one cache line with room for twelve keys; the table is filled to three quarters.
//!
//! | offset | bytes | field    | meaning                                                                           |
//! |--------|-------|----------|-----------------------------------------------------------------------------------|
//! | 0      | 12    | tags     | of each slot: 0 is empty, else one byte of the key's hash                         |
//! | 12     | 1     | overflow | 1 if a key that wanted this bucket or an earlier one stands in a later one        |
//! | 13     | 3     | zeros    |                                                                                   |
//! | 16     | 48    | entries  | of each slot: offset of the newest entry of the key, / 8, u32                     |
//!
//! A key wants the bucket `high * buckets >> 32`, where `high` is the upper half of its hash; its tag is the lowest byte
//! of `high`. A full bucket passes it on to the next one, the last to the first. A key that is not in the run costs one
//! miss and, one time in thirty, a look at a wrong entry; a separate bloom filter would not be cheaper.

use crate::store::run::data::size;

/// Bytes of a bucket.
pub(crate) const BUCKET_BYTES: usize = 64;

const SLOTS: usize = 12;
const OVERFLOW: usize = 12;
const ENTRIES: usize = 16;

/// Keys per bucket that the table is laid out for: three quarters of its slots.
const KEYS_PER_BUCKET: u64 = 9;

/// Odd constants without structure (from the digits of pi), as multipliers and starting state.
const MIX: [u64; 4] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1, 0x082e_fa98_ec4e_6c89];

/// The hash of a stored key. It is part of the format of runs and never changes: no seed, no word order of the machine.
///
/// Sixteen bytes a step are folded by a 64 × 64 → 128 bit multiplication whose halves are xored, as wyhash does. The last
/// step reads the final sixteen bytes even where they overlap the step before; the length, mixed in at the end, keeps
/// short keys with zeros apart.
#[inline]
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    let mut state = MIX[0];
    let mut rest = key;
    while let Some((step, after)) = rest.split_first_chunk::<16>() {
        if after.is_empty() {
            break;
        }
        state = fold_bytes(state, step);
        rest = after;
    }
    state = match key.last_chunk::<16>() {
        Some(last) => fold_bytes(state, last),
        None => {
            let mut last = [0; 16];
            last[..key.len()].copy_from_slice(key);
            fold_bytes(state, &last)
        }
    };
    fold(state ^ MIX[2], key.len() as u64 ^ MIX[3])
}

#[inline]
fn fold_bytes(state: u64, bytes: &[u8; 16]) -> u64 {
    let both = u128::from_le_bytes(*bytes);
    fold(low(both) ^ state, low(both >> 64) ^ MIX[1])
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    low(product) ^ low(product >> 64)
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
fn low(value: u128) -> u64 {
    value as u64
}

/// The half of a hash that the table uses.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the shift leaves 32 bits")]
pub(crate) fn high_half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The tag of a key; never zero.
#[inline]
pub(crate) fn tag(high: u32) -> u8 {
    high.to_le_bytes()[0].max(1)
}

/// The bucket that a key wants.
#[inline]
pub(crate) fn home(high: u32, buckets: u64) -> u64 {
    (u64::from(high) * buckets) >> 32
}

/// How many buckets a run with so many keys has.
pub(crate) fn bucket_count(keys: u64) -> u64 {
    keys.div_ceil(KEYS_PER_BUCKET).max(1)
}

/// A bucket as it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Bucket(pub(crate) [u8; BUCKET_BYTES]);

impl Bucket {
    /// The entries in this bucket whose tag is `tag`, by offset / 8.
    #[inline]
    pub(crate) fn matches(&self, tag: u8) -> impl Iterator<Item = u32> + '_ {
        let tags = self.0[..SLOTS].iter().enumerate().filter(move |(_, t)| **t == tag);
        tags.map(|(slot, _)| self.entry(slot))
    }

    /// Whether the search goes on in the next bucket.
    #[inline]
    pub(crate) fn overflows(&self) -> bool {
        self.0[OVERFLOW] != 0
    }

    /// How many slots are taken.
    pub(crate) fn used(&self) -> u64 {
        self.0[..SLOTS].iter().map(|tag| u64::from(*tag != 0)).sum()
    }

    fn entry(&self, slot: usize) -> u32 {
        let at = ENTRIES + slot * 4;
        u32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
}

/// Collects the keys of a run, 8 bytes each, and lays out the table once their number is known.
#[derive(Default)]
pub(crate) struct HashBuilder {
    /// Upper half of the hash, entry offset / 8.
    keys: Vec<(u32, u32)>,
}

impl HashBuilder {
    pub(crate) fn push(&mut self, key: &[u8], entry: u32) {
        self.keys.push((high_half(key_hash(key)), entry));
    }

    /// The section: as many buckets as [`bucket_count`] says.
    pub(crate) fn build(self) -> Vec<u8> {
        let buckets = bucket_count(self.keys.len() as u64);
        let mut table = vec![0; size(buckets) * BUCKET_BYTES];
        for (high, entry) in self.keys {
            let mut bucket = size(home(high, buckets));
            while !insert(&mut table[bucket * BUCKET_BYTES..][..BUCKET_BYTES], tag(high), entry) {
                bucket = (bucket + 1) % size(buckets);
            }
        }
        table
    }
}

/// Takes a free slot of the bucket, or marks that it overflows.
fn insert(bucket: &mut [u8], tag: u8, entry: u32) -> bool {
    let Some(slot) = bucket[..SLOTS].iter().position(|t| *t == 0) else {
        bucket[OVERFLOW] = 1;
        return false;
    };
    bucket[slot] = tag;
    bucket[ENTRIES + slot * 4..][..4].copy_from_slice(&entry.to_le_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On disk: these values never change.
    #[test]
    fn the_hash_is_frozen() {
        let hashes: Vec<u64> =
            [&b""[..], b"\x01a", b"\x01config/name", b"\x01sixteen bytes!!", &[7; 33]].map(key_hash).to_vec();
        assert_eq!(hashes, FROZEN);
    }

    const FROZEN: [u64; 5] = [
        0xb3bf_c73d_bda2_207a,
        0xbc9d_f0e6_955a_9bd8,
        0xa6c4_ba7c_9bf4_096e,
        0x12ec_5307_93d6_e472,
        0xafa5_79d9_a1fe_c258,
    ];

    #[test]
    fn lengths_and_zeros_are_told_apart() {
        let mut hashes: Vec<u64> = (0..100).map(|len| key_hash(&vec![0; len])).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 100);
    }

    #[test]
    fn numbered_keys_spread_evenly() {
        let buckets = 1000u64;
        let mut counts = vec![0u32; size(buckets)];
        for i in 0..9000 {
            let key = format!("\u{1}registry/pods/default/pod-{i:08}");
            counts[size(home(high_half(key_hash(key.as_bytes())), buckets))] += 1;
        }
        assert!(counts.iter().all(|c| (0..=25).contains(c)), "{:?}", counts.iter().max());
        let variance: f64 = counts.iter().map(|c| (f64::from(*c) - 9.0).powi(2)).sum::<f64>() / 1000.0;
        assert!((7.0..11.5).contains(&variance), "{variance}");
    }

    #[test]
    fn every_key_is_found() {
        for keys in [1u32, 8, 9, 10, 100, 5000] {
            let mut builder = HashBuilder::default();
            (0..keys).for_each(|i| builder.push(&i.to_le_bytes(), i));
            let table = builder.build();
            let buckets = bucket_count(u64::from(keys));
            for i in 0..keys {
                let high = high_half(key_hash(&i.to_le_bytes()));
                let mut at = home(high, buckets);
                loop {
                    let bucket = Bucket(table[size(at) * BUCKET_BYTES..][..BUCKET_BYTES].try_into().unwrap());
                    if bucket.matches(tag(high)).any(|entry| entry == i) {
                        break;
                    }
                    assert!(bucket.overflows(), "key {i} of {keys} is lost");
                    at = (at + 1) % buckets;
                }
            }
        }
    }
}
