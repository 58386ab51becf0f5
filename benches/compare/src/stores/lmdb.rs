//! LMDB through heed. One `lmdb` with its durable defaults, and for relaxed writes a second with a writable map.

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};

use crate::store::{Contestant, Mode, Result, Store};
use crate::workload::{Checksum, Key, Value};

pub fn contestants() -> [Contestant; 2] {
    let plain = Contestant {
        name: "lmdb",
        family: "lmdb",
        settings: "defaults; relaxed: NOSYNC",
        shares_syncs: false,
        on_disk: true,
        only: &[],
        open: |dir, mode| open(dir, if mode == Mode::Durable { EnvFlags::empty() } else { EnvFlags::NO_SYNC }),
    };
    let mapped = Contestant {
        name: "lmdb-writemap",
        settings: "relaxed: WRITEMAP and NOSYNC",
        only: &["relaxed"],
        open: |dir, mode| {
            let relaxed = EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP;
            open(dir, if mode == Mode::Durable { EnvFlags::empty() } else { relaxed })
        },
        ..plain
    };
    [plain, mapped]
}

const MAP_BYTES: usize = 16 << 30;

struct Lmdb {
    env: Env,
    items: Database<Bytes, Bytes>,
}

fn open(dir: &Path, flags: EnvFlags) -> Result<Box<dyn Store>> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES);
    // SAFETY: the flags drop durability or write through the map; nothing here writes through a stray pointer.
    unsafe { options.flags(flags) };
    // SAFETY: the directory is this process's own, and it opens each environment once at a time.
    let env = unsafe { options.open(dir)? };
    let mut txn = env.write_txn()?;
    let items = env.create_database(&mut txn, None)?;
    txn.commit()?;
    Ok(Box::new(Lmdb { env, items }))
}

impl Store for Lmdb {
    fn put(&self, key: &Key, value: &Value) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        self.items.put(&mut txn, key, value)?;
        Ok(txn.commit()?)
    }

    fn load(&self, pairs: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in pairs {
            self.items.put(&mut txn, &key, &value)?;
        }
        Ok(txn.commit()?)
    }

    fn get(&self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        let txn = self.env.read_txn()?;
        value.clear();
        Ok(self.items.get(&txn, key)?.is_some_and(|found| {
            value.extend_from_slice(found);
            true
        }))
    }

    fn range(&self, start: &Key, limit: usize, seen: &mut Checksum) -> Result<usize> {
        let txn = self.env.read_txn()?;
        let bounds = (Bound::Included(&start[..]), Bound::Unbounded);
        let mut count = 0;
        for pair in self.items.range(&txn, &bounds)?.take(limit) {
            let (key, value) = pair?;
            seen.pair(key, value);
            count += 1;
        }
        Ok(count)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}
