//! KV-01, RV-04: reads of the past where histories are long, values large, and keys of all lengths; from memtables, from
//! several runs, and from one run.

use std::collections::BTreeMap;

use etclite::testing::merge_all;
use etclite::{Db, Durability, KeyRange, Options, Range};

/// What the store must hold: of each key, its value after each revision that changed it; `None` is deleted.
#[derive(Default)]
struct Expected {
    keys: BTreeMap<Vec<u8>, BTreeMap<u64, Option<Vec<u8>>>>,
}

impl Expected {
    fn put(&mut self, db: &Db, key: &[u8], value: &[u8]) {
        let revision = db.put(key, value).unwrap().revision.get();
        self.keys.entry(key.to_vec()).or_default().insert(revision, Some(value.to_vec()));
    }

    fn delete(&mut self, db: &Db, key: &[u8]) {
        let revision = db.delete(key).unwrap().revision.get();
        self.keys.entry(key.to_vec()).or_default().insert(revision, None);
    }

    fn at(&self, key: &[u8], revision: u64) -> Option<&[u8]> {
        self.keys[key].range(..=revision).next_back().and_then(|(_, value)| value.as_deref())
    }

    /// The live keys with their values, in order.
    fn all_at(&self, revision: u64) -> Vec<(&[u8], &[u8])> {
        self.keys.keys().filter_map(|key| Some((&key[..], self.at(key, revision)?))).collect()
    }

    /// Compares every key at sampled revisions, and all ranges in both directions.
    fn check(&self, db: &Db, from: u64, step: usize) {
        for revision in (from..=db.revision().get()).step_by(step).chain([db.revision().get()]) {
            for key in self.keys.keys() {
                let found = db.get_at(key, revision).unwrap().map(|kv| kv.value);
                assert_eq!(found.as_deref(), self.at(key, revision), "{:?} at {revision}", &key[..key.len().min(9)]);
            }
            let mut expected = self.all_at(revision);
            assert_lists(db, Range::new(KeyRange::all()).at(revision), &expected);
            expected.reverse();
            assert_lists(db, Range::new(KeyRange::all()).at(revision).reverse(), &expected);
        }
    }
}

fn assert_lists(db: &Db, range: Range, expected: &[(&[u8], &[u8])]) {
    let mut count = 0;
    for (kv, (key, value)) in db.range(range.clone()).unwrap().zip(expected) {
        let kv = kv.unwrap();
        assert!(kv.key == *key && kv.value == *value, "{range:?}: key {count} of {}", expected.len());
        count += 1;
    }
    assert_eq!((count, db.count(range).unwrap()), (expected.len(), expected.len() as u64));
}

/// Checks what `write` wrote in three rounds: from memtables, from three runs, from one, after a reopen, and with the
/// older half compacted away.
fn check_everywhere(step: usize, write: impl Fn(&Db, &mut Expected, usize)) {
    let dir = tempfile::tempdir().unwrap();
    let open = || Options::new().durability(Durability::Buffered).open(dir.path().join("store")).unwrap();
    let (db, mut expected) = (open(), Expected::default());
    for round in 0..3 {
        write(&db, &mut expected, round);
        expected.check(&db, 1, step);
        db.flush().unwrap();
        expected.check(&db, 1, step);
    }
    while merge_all(&db).unwrap() {}
    expected.check(&db, 1, step);
    db.close().unwrap();
    let db = open();
    expected.check(&db, 1, step);
    let half = db.revision().get() / 2;
    db.compact_physical(half).unwrap();
    expected.check(&db, half, step);
    assert!(db.check().unwrap().is_clean());
}

#[test]
fn kv_01_long_histories() {
    check_everywhere(97, |db, expected, round| {
        for number in 0..600 {
            for key in ["a", "b", "bb", "c"] {
                let busy = key == "b" || number % 50 == 0;
                if busy && number % 7 == 3 {
                    expected.delete(db, key.as_bytes());
                } else if busy {
                    expected.put(db, key.as_bytes(), format!("{round}/{number}").as_bytes());
                }
            }
        }
    });
}

#[test]
fn kv_01_large_values_between_small_ones() {
    check_everywhere(11, |db, expected, round| {
        for number in 0..40_usize {
            let len = [0, 1, 100, 4095, 4096, 4097, 65_536, 300_000][(number + round) % 8];
            let key = format!("k{:02}", number % 10);
            expected.put(db, key.as_bytes(), &vec![b'a' + u8::try_from(round).unwrap(); len]);
        }
        expected.delete(db, format!("k{round:02}").as_bytes());
    });
}

#[test]
fn rv_07_keys_of_all_lengths() {
    check_everywhere(23, |db, expected, round| {
        for len in [1, 2, 3, 7, 8, 9, 127, 128, 129, 255, 256, 1000, 4096, 5000, 70_000] {
            for last in [0, b'a', 0xff] {
                let mut key = vec![0xfe; len];
                key[len - 1] = last;
                expected.put(db, &key, format!("{round}").as_bytes());
            }
        }
    });
}
