//! SQLite in WAL mode.
//!
//! Two durable forms, since they differ by a factor: `sqlite` in its steady state, where the log has been as long as it
//! gets, starts over at its beginning after each checkpoint, and a commit overwrites blocks that exist; `sqlite-growing`
//! with checkpoints off, where each commit makes the log longer and pays for the file's new size as well.
//!
//! One connection writes, under a mutex: SQLite lets in one writer anyway, and its own waiting is by sleeping.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{Contestant, Mode, Result, Store};
use crate::workload::{Checksum, Key, Value};

pub fn contestants() -> [Contestant; 2] {
    let steady = Contestant {
        name: "sqlite",
        family: "sqlite",
        settings: "WAL, synchronous=FULL, wrapped log, mmap 4 GiB; relaxed: synchronous=NORMAL",
        shares_syncs: false,
        on_disk: true,
        only: &[],
        open: |dir, mode| open(dir, mode, Log::Wrapped),
    };
    let growing = Contestant {
        name: "sqlite-growing",
        settings: "the same, wal_autocheckpoint=0",
        only: &["put-1"],
        open: |dir, mode| open(dir, mode, Log::Growing),
        ..steady
    };
    [steady, growing]
}

#[derive(PartialEq, Eq)]
enum Log {
    Wrapped,
    Growing,
}

struct Sqlite {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

const PUT: &str = "INSERT INTO items(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value";
const GET: &str = "SELECT value FROM items WHERE key = ?1";
const RANGE: &str = "SELECT key, value FROM items WHERE key >= ?1 ORDER BY key LIMIT ?2";

fn open(dir: &Path, mode: Mode, log: Log) -> Result<Box<dyn Store>> {
    let writer = connect(dir)?;
    writer
        .execute_batch("CREATE TABLE IF NOT EXISTS items(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")?;
    if mode == Mode::Durable {
        wrap_log(&writer)?;
    }
    writer.pragma_update(None, "synchronous", if mode == Mode::Durable { "FULL" } else { "NORMAL" })?;
    if mode == Mode::Durable && log == Log::Growing {
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        writer.pragma_update(None, "wal_autocheckpoint", 0)?;
    }
    Ok(Box::new(Sqlite { writer: Mutex::new(writer), reader: Mutex::new(connect(dir)?) }))
}

fn connect(dir: &Path) -> Result<Connection> {
    let connection = Connection::open(dir.join("bench.sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "mmap_size", 4i64 << 30)?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    Ok(connection)
}

/// Makes the log longer than it gets between two checkpoints, and lets the next commit start at its beginning.
fn wrap_log(writer: &Connection) -> Result<()> {
    writer.execute_batch(
        "CREATE TABLE IF NOT EXISTS ballast(bytes BLOB);
         INSERT INTO ballast VALUES(randomblob(16777216));
         DROP TABLE ballast;",
    )?;
    writer.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))?;
    Ok(())
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic elsewhere leaves no half transaction behind: each call is one statement.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for Sqlite {
    fn put(&self, key: &Key, value: &Value) -> Result<()> {
        lock(&self.writer).prepare_cached(PUT)?.execute(params![&key[..], &value[..]])?;
        Ok(())
    }

    fn load(&self, pairs: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction()?;
        {
            let mut put = transaction.prepare(PUT)?;
            for (key, value) in pairs {
                put.execute(params![&key[..], &value[..]])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn get(&self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        let reader = lock(&self.reader);
        let mut get = reader.prepare_cached(GET)?;
        value.clear();
        let found = get.query_row(params![&key[..]], |row| {
            value.extend_from_slice(row.get_ref(0)?.as_blob()?);
            Ok(())
        });
        Ok(found.optional()?.is_some())
    }

    fn range(&self, start: &Key, limit: usize, seen: &mut Checksum) -> Result<usize> {
        let reader = lock(&self.reader);
        let mut range = reader.prepare_cached(RANGE)?;
        let mut rows = range.query(params![&start[..], i64::try_from(limit)?])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            seen.pair(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
            count += 1;
        }
        Ok(count)
    }

    fn settle(&self) -> Result<()> {
        lock(&self.writer).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        for connection in [self.reader, self.writer] {
            let connection = connection.into_inner().unwrap_or_else(PoisonError::into_inner);
            connection.close().map_err(|(_, error)| error)?;
        }
        Ok(())
    }
}
