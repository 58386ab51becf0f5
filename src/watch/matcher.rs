//! Which watchers a changed key concerns.
//!
//! Nearly all watches are of one key or of a prefix, so these two are found by hashing, whatever their number: one
//! lookup for the key, and one for each *length* of prefix that anybody watches. Only intervals that are not a prefix
//! are compared one by one.
//!
//! The maps are never iterated and their hasher has a fixed seed; within a list, watchers stand in the order of their
//! ids, so the order of visits is the same in every run.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use bytes::Bytes;

use crate::kv::{KeyRange, RangeEnd};

/// Values by the range of keys that they are interested in; an id names a value for removal.
pub(super) struct Matcher<T> {
    keys: Table<T>,
    /// By length of the prefix; length 0 is every key.
    prefixes: BTreeMap<usize, Table<T>>,
    intervals: Vec<(u64, (KeyRange, T))>,
}

/// Nobody walks over it, so its order cannot be seen; and its hasher has no seed.
#[allow(clippy::disallowed_types, reason = "a fixed hasher, and no order that could be seen")]
type Table<T> = std::collections::HashMap<Bytes, Vec<(u64, T)>, BuildHasherDefault<DefaultHasher>>;

impl<T> Matcher<T> {
    pub(super) fn new() -> Self {
        Matcher { keys: Table::default(), prefixes: BTreeMap::new(), intervals: Vec::new() }
    }

    /// Adds a value. Ids rise from call to call.
    pub(super) fn insert(&mut self, id: u64, range: &KeyRange, value: T) {
        match shape(range) {
            Shape::Key => self.keys.entry(range.start.clone()).or_default().push((id, value)),
            Shape::Prefix(prefix) => {
                self.prefixes.entry(prefix.len()).or_default().entry(prefix).or_default().push((id, value));
            }
            Shape::Interval => self.intervals.push((id, (range.clone(), value))),
        }
    }

    /// Removes what was inserted under `id` with this range. One that is not there is fine.
    pub(super) fn remove(&mut self, id: u64, range: &KeyRange) {
        match shape(range) {
            Shape::Key => remove_from_table(&mut self.keys, id, &range.start),
            Shape::Prefix(prefix) => {
                if let Some(table) = self.prefixes.get_mut(&prefix.len()) {
                    remove_from_table(table, id, &prefix);
                    // Each length costs a lookup per event, so one that nobody watches must go.
                    if table.is_empty() {
                        self.prefixes.remove(&prefix.len());
                    }
                }
            }
            Shape::Interval => remove_from_list(&mut self.intervals, id),
        }
    }

    /// Calls `visit` with every value whose range holds `key`, once each.
    pub(super) fn matches(&self, key: &[u8], mut visit: impl FnMut(&T)) {
        let prefixes = self.prefixes.range(..=key.len()).filter_map(|(&len, table)| table.get(&key[..len]));
        for (_, value) in self.keys.get(key).into_iter().chain(prefixes).flatten() {
            visit(value);
        }
        for (_, (range, value)) in &self.intervals {
            if range.contains(key) {
                visit(value);
            }
        }
    }
}

enum Shape {
    Key,
    Prefix(Bytes),
    Interval,
}

fn shape(range: &KeyRange) -> Shape {
    if range.end == RangeEnd::Key {
        Shape::Key
    } else if *range == KeyRange::all() {
        Shape::Prefix(Bytes::new())
    } else if *range == KeyRange::prefix(&range.start) {
        Shape::Prefix(range.start.clone())
    } else {
        Shape::Interval
    }
}

fn remove_from_table<T>(table: &mut Table<T>, id: u64, key: &Bytes) {
    if let Some(list) = table.get_mut(key) {
        remove_from_list(list, id);
        if list.is_empty() {
            table.remove(key);
        }
    }
}

/// Lists are sorted by id because ids only rise; removal keeps the order.
fn remove_from_list<T>(list: &mut Vec<(u64, T)>, id: u64) {
    if let Ok(at) = list.binary_search_by_key(&id, |entry| entry.0) {
        list.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::tests::Random;

    fn random_range(random: &mut Random) -> KeyRange {
        let (key, other) = (random_key(random), random_key(random));
        match random.below(6) {
            0 => KeyRange::key(key),
            1 => KeyRange::prefix(key),
            2 => KeyRange::prefix(&key[..1]),
            3 => KeyRange::from_key(key),
            4 => KeyRange::all(),
            _ => KeyRange::between(key, other),
        }
    }

    fn random_key(random: &mut Random) -> Vec<u8> {
        (0..=random.below(3)).map(|_| [0, b'a', b'b', 0xff][random.index(4)]).collect()
    }

    #[test]
    fn matches_are_those_of_a_naive_search() {
        for seed in 0..50 {
            let mut random = Random(seed);
            let mut matcher = Matcher::new();
            let mut naive: Vec<(u64, KeyRange)> = Vec::new();
            for id in 0..200 {
                if random.below(4) == 0 && !naive.is_empty() {
                    let (id, range) = naive.remove(random.index(naive.len()));
                    matcher.remove(id, &range);
                    matcher.remove(id, &range);
                }
                let range = random_range(&mut random);
                matcher.insert(id, &range, id);
                naive.push((id, range));
                let key = random_key(&mut random);
                let mut found = Vec::new();
                matcher.matches(&key, |&id| found.push(id));
                found.sort_unstable();
                let expected: Vec<u64> = naive.iter().filter(|(_, r)| r.contains(&key)).map(|(id, _)| *id).collect();
                assert_eq!(found, expected, "seed {seed}, key {key:?}");
            }
            for (id, range) in &naive {
                matcher.remove(*id, range);
            }
            assert!(matcher.keys.is_empty() && matcher.prefixes.is_empty() && matcher.intervals.is_empty());
        }
    }

    #[test]
    fn prefixes_are_found_by_hash() {
        let mut matcher = Matcher::new();
        for (id, range) in [KeyRange::all(), KeyRange::prefix("a/"), KeyRange::prefix([0xff, 0xff])].iter().enumerate()
        {
            matcher.insert(id as u64, range, ());
        }
        assert!(matcher.intervals.is_empty());
        matcher.insert(9, &KeyRange::between("a", "c"), ());
        assert_eq!(matcher.intervals.len(), 1);
    }
}
