//! etclite: nothing set but the durability.

use std::path::Path;

use etclite::{Db, Durability, Options, Range};

use crate::store::{Contestant, Mode, Result, Store};
use crate::workload::{Checksum, Key, PREFIX, Value};

pub fn contestants() -> [Contestant; 2] {
    let written = Contestant {
        name: "etclite",
        family: "etclite",
        settings: "Synced; relaxed: Written, in the system's hands before the reply",
        shares_syncs: true,
        on_disk: true,
        only: &[],
        open: |dir, mode| open(dir, if mode == Mode::Durable { Durability::Synced } else { Durability::Written }),
    };
    let buffered = Contestant {
        name: "etclite-buffered",
        settings: "relaxed: Buffered, in the system's hands within 1 ms",
        only: &["relaxed"],
        open: |dir, mode| open(dir, if mode == Mode::Durable { Durability::Synced } else { Durability::Buffered }),
        ..written
    };
    [written, buffered]
}

struct Etclite {
    db: Db,
}

fn open(dir: &Path, durability: Durability) -> Result<Box<dyn Store>> {
    let db = Options::new().durability(durability).open(dir.join("bench.etcl"))?;
    Ok(Box::new(Etclite { db }))
}

impl Store for Etclite {
    fn put(&self, key: &Key, value: &Value) -> Result<()> {
        self.db.put(key, value)?;
        Ok(())
    }

    fn load(&self, pairs: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        for (key, value) in pairs {
            self.db.put(key, value)?;
        }
        Ok(())
    }

    fn get(&self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        let found = self.db.get(key)?;
        value.clear();
        Ok(found.is_some_and(|kv| {
            value.extend_from_slice(&kv.value);
            true
        }))
    }

    fn range(&self, start: &Key, limit: usize, seen: &mut Checksum) -> Result<usize> {
        let mut count = 0;
        let limit = u64::try_from(limit)?;
        // '0' follows '/', so this is the end of the prefix; it also keeps the marker of `settle` out.
        let mut end = *PREFIX;
        end[PREFIX.len() - 1] = b'0';
        for kv in self.db.range(Range::new(&start[..]..&end[..]).limit(limit))? {
            let kv = kv?;
            seen.pair(&kv.key, &kv.value);
            count += 1;
        }
        Ok(count)
    }

    fn settle(&self) -> Result<()> {
        // The marker is written for its revision: below it only the newest version of each key is worth keeping.
        let revision = self.db.put("settled", "")?.revision;
        self.db.flush()?;
        self.db.compact_physical(revision)?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.db.close()?;
        Ok(())
    }
}
