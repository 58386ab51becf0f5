//! A `BTreeMap` behind a lock: no file, no promise, shown for orientation where nothing is to be durable.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::store::{Contestant, Mode, Result, Store};
use crate::workload::{Checksum, Key, Value};

pub fn contestants() -> [Contestant; 1] {
    [Contestant {
        name: "locked-map",
        family: "locked-map",
        settings: "RwLock<BTreeMap>, nothing on disk, for orientation",
        shares_syncs: false,
        on_disk: false,
        only: &["get-run", "get-hot", "range", "relaxed"],
        open,
    }]
}

#[derive(Default)]
struct Map {
    items: RwLock<BTreeMap<Key, Value>>,
}

fn open(_dir: &Path, _mode: Mode) -> Result<Box<dyn Store>> {
    Ok(Box::new(Map::default()))
}

impl Map {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Value>> {
        self.items.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Map {
    fn put(&self, key: &Key, value: &Value) -> Result<()> {
        self.items.write().unwrap_or_else(PoisonError::into_inner).insert(*key, *value);
        Ok(())
    }

    fn load(&self, pairs: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        self.items.write().unwrap_or_else(PoisonError::into_inner).extend(pairs);
        Ok(())
    }

    fn get(&self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        value.clear();
        Ok(self.read().get(key).is_some_and(|found| {
            value.extend_from_slice(found);
            true
        }))
    }

    fn range(&self, start: &Key, limit: usize, seen: &mut Checksum) -> Result<usize> {
        let items = self.read();
        let mut count = 0;
        for (key, value) in items.range(*start..).take(limit) {
            seen.pair(key, value);
            count += 1;
        }
        Ok(count)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
