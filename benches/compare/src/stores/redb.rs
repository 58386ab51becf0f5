//! redb with its default cache of 1 GiB.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use crate::store::{Contestant, Mode, Result, Store};
use crate::workload::{Checksum, Key, Value};

pub fn contestants() -> [Contestant; 1] {
    [Contestant {
        name: "redb",
        family: "redb",
        settings: "Durability::Immediate, cache 1 GiB; relaxed: Durability::None",
        shares_syncs: false,
        on_disk: true,
        only: &[],
        open,
    }]
}

const ITEMS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("items");

struct Redb {
    db: Database,
    durability: Durability,
}

fn open(dir: &Path, mode: Mode) -> Result<Box<dyn Store>> {
    let db = Database::create(dir.join("bench.redb"))?;
    let durability = if mode == Mode::Durable { Durability::Immediate } else { Durability::None };
    Ok(Box::new(Redb { db, durability }))
}

impl Redb {
    fn write(&self, durability: Durability, pairs: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(durability)?;
        {
            let mut items = txn.open_table(ITEMS)?;
            for (key, value) in pairs {
                items.insert(&key[..], &value[..])?;
            }
        }
        Ok(txn.commit()?)
    }
}

impl Store for Redb {
    fn put(&self, key: &Key, value: &Value) -> Result<()> {
        self.write(self.durability, &mut std::iter::once((*key, *value)))
    }

    fn load(&self, pairs: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        self.write(Durability::Immediate, pairs)
    }

    fn get(&self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        let items = self.db.begin_read()?.open_table(ITEMS)?;
        value.clear();
        Ok(items.get(&key[..])?.is_some_and(|found| {
            value.extend_from_slice(found.value());
            true
        }))
    }

    fn range(&self, start: &Key, limit: usize, seen: &mut Checksum) -> Result<usize> {
        let items = self.db.begin_read()?.open_table(ITEMS)?;
        let mut count = 0;
        for pair in items.range(&start[..]..)?.take(limit) {
            let (key, value) = pair?;
            seen.pair(key.value(), value.value());
            count += 1;
        }
        Ok(count)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.db.close()?)
    }
}
