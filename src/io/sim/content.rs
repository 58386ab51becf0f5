//! A file's bytes as pages that are shared until they are written.
//!
//! Crash tests build thousands of images a second that differ in a few sectors. Copying a file is cloning one `Arc`;
//! the first change of a copy clones its table of pages and the page in question. Each page remembers its hash, so
//! hashing an image touches only pages that are new.

use std::sync::{Arc, LazyLock, OnceLock};

/// The bytes of one file. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Content {
    len: u64,
    /// Bytes at and beyond `len` are zero; a missing page is all zero and takes no room.
    pages: Arc<Vec<Option<Arc<Page>>>>,
}

#[derive(Debug)]
struct Page {
    bytes: [u8; PAGE],
    hash: OnceLock<u128>,
}

impl Clone for Page {
    /// A page is cloned to be changed, so the hash stays behind.
    fn clone(&self) -> Self {
        Page { bytes: self.bytes, hash: OnceLock::new() }
    }
}

const PAGE: usize = 4096;

static ZERO_PAGE: LazyLock<Arc<Page>> =
    LazyLock::new(|| Arc::new(Page { bytes: [0; PAGE], hash: OnceLock::from(hash_page(&[0; PAGE])) }));

impl Content {
    /// The length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Reads up to `buf.len()` bytes.
    pub fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = rest.min(buf.len());
        for (index, within, range) in pieces(offset, len) {
            match &self.pages[index] {
                Some(page) => buf[range.clone()].copy_from_slice(&page.bytes[within..within + range.len()]),
                None => buf[range].fill(0),
            }
        }
        len
    }

    /// All bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).expect("a simulated file fits into memory")];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Writes, growing the file if need be.
    pub fn write(&mut self, data: &[u8], offset: u64) {
        if data.is_empty() {
            return;
        }
        let end = offset + data.len() as u64;
        if end > self.len {
            self.set_len(end);
        }
        let pages = Arc::make_mut(&mut self.pages);
        for (index, within, range) in pieces(offset, data.len()) {
            let part = &data[range];
            if part.len() == PAGE && part == ZERO_PAGE.bytes {
                pages[index] = Some(ZERO_PAGE.clone());
                continue;
            }
            let page = Arc::make_mut(pages[index].get_or_insert_with(|| ZERO_PAGE.clone()));
            page.hash = OnceLock::new();
            page.bytes[within..within + part.len()].copy_from_slice(part);
        }
    }

    /// Cuts or grows the file; growth reads as zeros.
    pub fn set_len(&mut self, len: u64) {
        let count = usize::try_from(len.div_ceil(PAGE as u64)).expect("a simulated file fits into memory");
        if count != self.pages.len() {
            Arc::make_mut(&mut self.pages).resize(count, None);
        }
        let tail = usize::try_from(len % PAGE as u64).expect("it is below a page");
        if len < self.len && tail > 0 {
            let last = Arc::make_mut(&mut self.pages).last_mut().and_then(Option::as_mut);
            if let Some(page) = last.map(Arc::make_mut) {
                page.hash = OnceLock::new();
                page.bytes[tail..].fill(0);
            }
        }
        self.len = len;
    }

    /// How many bytes of disk it takes, in whole pages.
    pub fn allocated(&self) -> u64 {
        (self.pages.iter().flatten().count() * PAGE) as u64
    }

    /// How many bytes a write of `len` bytes would take in addition.
    pub(super) fn growth(&self, len: usize, offset: u64) -> u64 {
        let missing = pieces(offset, len).filter(|(index, ..)| !matches!(self.pages.get(*index), Some(Some(_))));
        (missing.count() * PAGE) as u64
    }

    /// A hash of length and bytes; how they came about does not matter.
    pub fn hash(&self) -> u128 {
        let zero = *ZERO_PAGE.hash.get().expect("it was made with its hash");
        let mut sum = combine(u128::from(self.len), 1);
        for (index, page) in self.pages.iter().enumerate() {
            let Some(page) = page else { continue };
            let hash = *page.hash.get_or_init(|| hash_page(&page.bytes));
            if hash != zero {
                sum = sum.wrapping_add(combine(hash, index as u64));
            }
        }
        sum
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        let mut content = Content::default();
        content.write(bytes, 0);
        content
    }
}

/// The pages that a range of the file touches: page, offset within it, and which bytes of the caller's buffer.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let start = usize::try_from(offset).expect("a simulated file fits into memory");
    let mut done = 0;
    std::iter::from_fn(move || {
        let (at, from) = (start + done, done);
        (from < len).then(|| {
            done += (len - from).min(PAGE - at % PAGE);
            (at / PAGE, at % PAGE, from..done)
        })
    })
}

fn hash_page(bytes: &[u8; PAGE]) -> u128 {
    hash_bytes(bytes)
}

/// Two multiply-and-fold chains with different constants: fast, and 128 bits are plenty to count distinct images.
pub(super) fn hash_bytes(bytes: &[u8]) -> u128 {
    let (mut a, mut b) = (0x243f_6a88_85a3_08d3_u64, 0x1319_8a2e_0370_7344_u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        a = fold(a ^ word, 0xa076_1d64_78bd_642f);
        b = fold(b.rotate_left(23) ^ word, 0xe703_7ed1_a0b4_28db);
    }
    combine((u128::from(a) << 64) | u128::from(b), bytes.len() as u64)
}

/// A hash at a place: the sum over places is a hash of the whole that does not depend on the order of adding.
pub(super) fn combine(hash: u128, place: u64) -> u128 {
    let (high, low) = (hash >> 64, hash & u128::from(u64::MAX));
    let high = u64::try_from(high).expect("64 bits are left");
    let low = u64::try_from(low).expect("64 bits are left");
    let salt = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x4528_21e6_38d0_1377;
    let a = fold(high ^ salt, low ^ 0x8ebc_6af0_9c88_c6e3);
    let b = fold(low ^ salt.rotate_left(32), high ^ 0x5899_65cc_7537_4cc3);
    (u128::from(fold(a ^ low, b ^ 0x1d8e_4e27_c47d_124f)) << 64) | u128::from(fold(b ^ high, a ^ 0xeb44_acca_b455_d165))
}

#[allow(clippy::cast_possible_truncation, reason = "folding the halves together is the point")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::SplitMix64;

    #[test]
    fn content_is_a_vector_of_bytes() {
        let mut seed = SplitMix64::new(5);
        let (mut content, mut model) = (Content::default(), Vec::new());
        for _ in 0..500 {
            let at = seed.index(20_000);
            if seed.one_in(5) {
                content.set_len(at as u64);
                model.resize(at, 0);
            } else {
                let mut data = vec![0; seed.index(9000)];
                if seed.flip() {
                    seed.fill(&mut data);
                }
                content.write(&data, at as u64);
                if !data.is_empty() {
                    model.resize(model.len().max(at + data.len()), 0);
                    model[at..at + data.len()].copy_from_slice(&data);
                }
            }
            assert_eq!(content.to_vec(), model);
            assert_eq!(content.hash(), Content::from(&model[..]).hash());
        }
    }

    #[test]
    fn copies_do_not_share_changes() {
        let mut one = Content::from(&[7; 5000][..]);
        let two = one.clone();
        let hash = two.hash();
        one.write(b"x", 4999);
        assert_eq!((two.to_vec(), two.hash()), (vec![7; 5000], hash));
        assert_ne!(one.hash(), hash);
    }

    #[test]
    fn length_place_and_bytes_all_count() {
        let mut seen = std::collections::BTreeSet::new();
        for bytes in [&b""[..], &[0], &[0; 2], &[1], &[0, 1], &[1, 0], &[0; 4096], &[0; 8192]] {
            assert!(seen.insert(Content::from(bytes).hash()), "{bytes:?}");
        }
        let mut far = vec![0; 8192];
        far[0] = 1;
        assert!(seen.insert(Content::from(&far[..]).hash()));
        far.rotate_right(4096);
        assert!(seen.insert(Content::from(&far[..]).hash()));
    }

    #[test]
    fn only_written_pages_take_room() {
        let mut content = Content::default();
        content.set_len(1 << 20);
        assert_eq!((content.allocated(), content.growth(4097, 4095)), (0, 3 * 4096 - 4096));
        content.write(&[0; 8192], 0);
        assert_eq!((content.allocated(), content.growth(8193, 0)), (8192, 4096));
    }
}
