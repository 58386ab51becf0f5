//! fjall, without compression, so that all stores hold the same bytes.
//!
//! A durable put is an insert and then a `persist`: that is how fjall's users make one write durable.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::store::{Contestant, Mode, Result, Store};
use crate::workload::{Checksum, Key, Value};

pub fn contestants() -> [Contestant; 1] {
    [Contestant {
        name: "fjall",
        family: "fjall",
        settings: "insert + persist(SyncData), cache 512 MiB, no compression; relaxed: insert",
        shares_syncs: true,
        on_disk: true,
        only: &[],
        open,
    }]
}

struct Fjall {
    db: Database,
    items: Keyspace,
    mode: Mode,
}

fn open(dir: &Path, mode: Mode) -> Result<Box<dyn Store>> {
    let db = Database::builder(dir.join("bench.fjall")).cache_size(512 << 20).open()?;
    let items = db.keyspace("items", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { db, items, mode }))
}

impl Store for Fjall {
    fn put(&self, key: &Key, value: &Value) -> Result<()> {
        self.items.insert(key, value)?;
        if self.mode == Mode::Durable {
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }

    fn load(&self, pairs: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        for (key, value) in pairs {
            self.items.insert(key, value)?;
        }
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    fn get(&self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        value.clear();
        Ok(self.items.get(key)?.is_some_and(|found| {
            value.extend_from_slice(&found);
            true
        }))
    }

    fn range(&self, start: &Key, limit: usize, seen: &mut Checksum) -> Result<usize> {
        let mut count = 0;
        for pair in self.items.range(&start[..]..).take(limit) {
            let (key, value) = pair.into_inner()?;
            seen.pair(&key, &value);
            count += 1;
        }
        Ok(count)
    }

    fn settle(&self) -> Result<()> {
        self.items.rotate_memtable_and_wait()?;
        Ok(self.items.major_compact()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}
