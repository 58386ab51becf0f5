//! Files that lie: an import of one ends with an error that says where, or with a store that passes `check`.

use etclite::import::{ImportOptions, import_etcd};
use etclite::io::sim::SplitMix64;
use etclite::{Error, KeyRange};

use crate::craft::{Craft, meta, revision, seal_meta, with_hash};
use crate::rules::plain;
use crate::{SIZES, import, small};

const PAGE: usize = 4096;

/// A file with trees of several levels, and where its pages are.
struct Victim {
    bytes: Vec<u8>,
}

impl Victim {
    fn new() -> Victim {
        Victim { bytes: Craft { fanout: 5, ..plain() }.build() }
    }

    fn numbers<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes[at..at + N].try_into().unwrap()
    }

    /// Where the pages of this kind begin: 1 for branches, 2 for leaves.
    fn pages(&self, flags: u16) -> Vec<usize> {
        let pages = (0..self.bytes.len()).step_by(PAGE);
        pages.filter(|at| self.numbers(at + 8) == flags.to_le_bytes()).collect()
    }

    /// The leaf that holds this.
    fn leaf(&self, text: &[u8]) -> usize {
        let holds = |at: &usize| self.bytes[*at..at + PAGE].windows(text.len()).any(|bytes| bytes == text);
        self.pages(2).into_iter().find(holds).unwrap()
    }

    /// The branch above a leaf that is its first.
    fn branch(&self, leaf: usize) -> usize {
        let leaf = (leaf / PAGE) as u64;
        self.pages(1).into_iter().find(|at| self.numbers(at + 16 + 8) == leaf.to_le_bytes()).unwrap()
    }

    fn set(mut self, at: usize, bytes: &[u8]) -> Victim {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }
}

/// What a page, a branch or a leaf may claim, each refused at its place.
#[test]
fn lies_about_the_file_are_refused_where_they_stand() {
    let victim = Victim::new;
    let leaf = victim().leaf(b"key/00");
    let branch = victim().branch(leaf);
    let (element, second) = (leaf + 16, leaf + 32);
    // The third bucket is `key`.
    let bucket = victim().leaf(b"alarm") + 16 + 2 * 16;
    let sibling: [u8; 8] = victim().numbers(branch + 32 + 8);
    let max = u32::MAX.to_le_bytes();
    let own = ((branch / PAGE) as u64).to_le_bytes();
    let cases: [(&str, usize, usize, &[u8]); 17] = [
        ("a node reaches beyond the file", leaf, leaf + 12, &max),
        ("a page is used twice", leaf + PAGE, leaf + 12, &1u32.to_le_bytes()),
        ("a page does not carry its own number", leaf, leaf, &9u64.to_le_bytes()),
        ("a page of a tree is neither branch nor leaf", leaf + 8, leaf + 8, &4u16.to_le_bytes()),
        ("a leaf counts more elements than it can hold", leaf + 10, leaf + 10, &u16::MAX.to_le_bytes()),
        ("an element reaches beyond its place", element, element + 4, &max),
        ("an element reaches beyond its place", element, element + 8, &max),
        ("an element reaches beyond its place", element, element + 12, &max),
        ("an element reaches beyond its place", element, element + 4, &0u32.to_le_bytes()),
        ("an element reaches beyond its place", second, second + 4, &64u32.to_le_bytes()),
        ("a branch is too large or empty", branch, branch + 10, &0u16.to_le_bytes()),
        ("a branch is cut off", branch + 16 + 255 * 16, branch + 10, &u16::MAX.to_le_bytes()),
        ("a page number that the file does not have", branch, branch + 24, &1u64.to_le_bytes()),
        ("a page number that the file does not have", branch, branch + 24, &u64::MAX.to_le_bytes()),
        ("a page is used twice", branch, branch + 24, &own),
        ("a page is used twice", usize::try_from(u64::from_le_bytes(sibling)).unwrap() * PAGE, branch + 24, &sibling),
        ("a value where a bucket should be", bucket, bucket, &0u32.to_le_bytes()),
    ];
    for (expected, place, at, bytes) in cases {
        let error = refusal(&victim().set(at, bytes).bytes, expected);
        let Error::Corrupt { offset, what, .. } = &error else { panic!("{expected}: {error}") };
        assert_eq!(*what, expected);
        assert_eq!(*offset, place as u64, "{expected}");
    }
}

/// Two buckets with one tree, a bucket without a page, a tree that never ends.
#[test]
fn lies_about_trees_are_refused() {
    let victim = Victim::new;
    let at = victim().leaf(b"alarm");
    let buckets: Vec<usize> = victim().bytes[at..at + PAGE]
        .windows(3)
        .enumerate()
        .filter_map(|(offset, bytes)| (bytes == b"key").then_some(at + offset + 3))
        .collect();
    let [key] = buckets[..] else { panic!("one bucket is `key`: {buckets:?}") };
    let lease: [u8; 8] = victim().numbers(key + 16 + "lease".len());
    let shared = refusal(&victim().set(key, &lease).bytes, "shared");
    assert!(shared.to_string().contains("a page is used twice"), "{shared}");
    // A root of 0 says that the page is inline, and there is none.
    let inline = refusal(&victim().set(key, &[0; 8]).bytes, "inline");
    assert!(inline.to_string().contains("a page is cut off"), "{inline}");
    let swapped = refusal(&swap_keys(victim()).bytes, "swapped");
    assert!(swapped.to_string().contains("out of order"), "{swapped}");
    let deep = |extra_levels| Craft { extra_levels, ..plain() }.build();
    assert!(import(&with_hash(deep(30)), &ImportOptions::default(), SIZES[0]).is_ok());
    let deep = refusal(&deep(40), "deep");
    assert!(deep.to_string().contains("a tree is too deep"), "{deep}");
    let mut short = victim().bytes;
    short.truncate(short.len() - PAGE);
    assert!(refusal(&short, "short").to_string().contains("ends before its last page"));
}

/// A node is read as a whole, so it has a largest size, however long the file claims to be.
#[test]
fn a_node_has_a_largest_size() {
    let victim = Victim::new();
    let leaf = victim.leaf(b"key/00");
    let root = u64::from_le_bytes(victim.numbers(32));
    let pages = (1 << 30) / PAGE as u64;
    let victim = victim.set(leaf + 12, &40_000u32.to_le_bytes());
    let victim = victim.set(0, &meta(0, PAGE, root, pages, 9)).set(PAGE, &meta(1, PAGE, root, pages, 8));
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("hole.db");
    std::fs::write(&source, victim.bytes).unwrap();
    std::fs::File::options().write(true).open(&source).unwrap().set_len(1 << 30).unwrap();
    let options = ImportOptions { skip_hash_check: true, ..ImportOptions::default() };
    let refusal = import_etcd(&source, dir.path().join("app.etcl"), &options, &mut |_| {}).unwrap_err();
    assert!(matches!(refusal, Error::TooLarge { what: "node of the snapshot", .. }), "{refusal}");
}

/// Swaps two neighbours of equal length, keys with their values.
fn swap_keys(victim: Victim) -> Victim {
    let place = |at| {
        let key = revision((at, 0));
        victim.bytes.windows(key.len()).position(|bytes| bytes == key).unwrap()
    };
    let (first, second) = (place(3), place(4));
    assert_eq!(place(5) - second, second - first, "they are neighbours of equal length");
    let swapped = [&victim.bytes[second..place(5)], &victim.bytes[first..second]].concat();
    victim.set(first, &swapped)
}

fn refusal(bytes: &[u8], case: &str) -> Error {
    let imported = import(&with_hash(bytes.to_vec()), &ImportOptions::default(), SIZES[0]);
    imported.err().unwrap_or_else(|| panic!("not refused: {case}"))
}

/// Damage under a hash that fits: what reaches the parser ends in an error, or in a store that is whole.
#[test]
fn damaged_copies_are_refused_or_whole() {
    let mut tally = [0; 2];
    for (victim, first_seed) in [(small_file(), 1), (Victim::new().bytes, 1_000_001)] {
        for seed in first_seed..first_seed + count() {
            let bytes = with_hash(damaged(&victim, seed));
            let sizes = SIZES[usize::from(seed % 2 == 0)];
            match import(&bytes, &ImportOptions::default(), sizes) {
                Ok(imported) => {
                    let report = imported.db.check().unwrap();
                    assert!(report.is_clean(), "seed {seed}: {report:?}");
                    assert!(imported.db.range(KeyRange::all()).unwrap().all(|kv| kv.is_ok()), "seed {seed}");
                    imported.db.put("after", "").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                    tally[0] += 1;
                }
                Err(Error::Corrupt { file, .. }) if file == std::path::Path::new("snapshot.db") => tally[1] += 1,
                Err(Error::NotADatabase { .. } | Error::FormatTooNew { .. } | Error::InvalidArgument(_)) => {}
                Err(error) => panic!("seed {seed}: {error:?}"),
            }
        }
    }
    let [whole, refused] = tally;
    println!("{whole} whole, {refused} refused");
    assert!(whole > count() / 20 && refused > count() / 2, "both ends are reached: {tally:?}");
}

/// Damage under the old hash never gets by it.
#[test]
fn the_hash_finds_all_damage() {
    let sound = small();
    let (file, hash) = sound.split_at(sound.len() - 32);
    for seed in 1..=200 {
        let bytes = [&damaged(file, seed)[..], hash].concat();
        let imported = import(&bytes, &ImportOptions::default(), SIZES[0]);
        assert!(imported.is_err() || bytes == sound, "seed {seed}");
    }
}

fn small_file() -> Vec<u8> {
    let mut file = small();
    file.truncate(file.len() - 32);
    file
}

/// How many copies of each file; `ETCLITE_DAMAGE`.
fn count() -> u64 {
    std::env::var("ETCLITE_DAMAGE").map_or(600, |count| count.parse().expect("ETCLITE_DAMAGE is a number"))
}

/// A copy with one to four faults.
fn damaged(sound: &[u8], seed: u64) -> Vec<u8> {
    let mut rng = SplitMix64::new(seed);
    let mut bytes = sound.to_vec();
    for _ in 0..=rng.index(4) {
        damage(&mut bytes, &mut rng);
    }
    if rng.flip() && bytes.len() >= 2 * PAGE {
        // The checksums of the metas fit as well.
        for at in [0, PAGE] {
            let mut meta = bytes[at..at + 72].to_vec();
            seal_meta(&mut meta);
            bytes[at..at + 80].copy_from_slice(&meta);
        }
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, rng: &mut SplitMix64) {
    let pages = bytes.len() / PAGE;
    if pages < 2 {
        return;
    }
    let page = rng.index(pages) * PAGE;
    match rng.below(8) {
        0 => {
            let at = rng.index(bytes.len());
            bytes[at] ^= 1 << rng.below(8);
        }
        1 => {
            // In the header or the elements, where the lengths are.
            let at = page + rng.index(128);
            bytes[at] ^= 1 << rng.below(8);
        }
        2 => {
            let len = 1 << rng.below(4);
            let at = page + rng.index(128);
            let choices = [0, 1, u64::MAX, rng.next_u64(), (page / PAGE) as u64, rng.below(pages as u64 + 1)];
            bytes[at..at + len].copy_from_slice(&choices[rng.index(choices.len())].to_le_bytes()[..len]);
        }
        3 => bytes[page..page + PAGE].fill(0),
        4 => {
            let from = rng.index(pages) * PAGE;
            bytes.copy_within(from..from + PAGE, page);
        }
        5 => {
            // A page in another's place, with the number that it should have there.
            let from = rng.index(pages) * PAGE;
            bytes.copy_within(from + 8..from + PAGE, page + 8);
        }
        6 if rng.one_in(4) => bytes.truncate(rng.index(bytes.len())),
        6 if rng.one_in(4) => bytes.truncate(page),
        _ => {
            let (at, len) = (rng.index(bytes.len() - 16), 1 + rng.index(16));
            rng.fill(&mut bytes[at..at + len]);
        }
    }
}
