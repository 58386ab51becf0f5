//! Software transactional memory: a function reads and writes keys as if it were alone, and is run again if it was not.
//!
//! Reads are noted, writes are kept back. At the end one txn compares what was read with what is there, and writes; if
//! that fails, somebody else has made progress, and the function runs again.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::db::{Db, Snapshot};
use crate::error::{Error, Result};
use crate::kv::{KeyRange, KeyValue, Revision};
use crate::op::{Compare, Delete, Op, Put, PutOptions};

/// How much of being alone a function gets; as etcd's `concurrency.Isolation`, from most to least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All reads are of one revision; what was read has not changed by the end, nor has what is written since then.
    #[default]
    SerializableSnapshot,
    /// All reads are of one revision, and what was read has not changed by the end.
    Serializable,
    /// Each key is read once, when it is first asked for, and has not changed by the end.
    RepeatableReads,
    /// Each key is read once. It may have changed by the end.
    ReadCommitted,
}

/// A function that is to run; see [`Db::stm`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before run()"]
pub struct StmBuilder {
    db: Db,
    isolation: Isolation,
    prefetch: Vec<Bytes>,
}

/// What a function came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StmResponse<T> {
    /// What the function returned in the run that counts.
    pub value: T,
    /// The revision that it made; if it wrote nothing, the store's.
    pub revision: Revision,
}

/// The keys as a running function sees them.
#[derive(Debug)]
pub struct Stm<'a> {
    db: &'a Db,
    isolation: Isolation,
    /// What all reads are of, once there was one.
    snapshot: Option<Snapshot>,
    read: BTreeMap<Bytes, Option<KeyValue>>,
    written: BTreeMap<Bytes, Write>,
}

#[derive(Debug)]
enum Write {
    Put(Bytes, PutOptions),
    Delete,
}

impl Db {
    /// Runs a function that reads and writes keys as if it were alone, as often as it takes; as etcd's
    /// `concurrency.NewSTM`. The function must have no effect but on its keys.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::Error;
    /// db.put("from", "10")?;
    /// let moved = db.stm().run(|stm| {
    ///     let amount = stm.get("from")?.unwrap_or_default();
    ///     stm.delete("from");
    ///     stm.put("to", &amount);
    ///     Ok::<_, Error>(amount)
    /// })?;
    /// assert_eq!(db.get("to")?.expect("it was put").value, moved.value);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn stm(&self) -> StmBuilder {
        StmBuilder { db: self.clone(), isolation: Isolation::default(), prefetch: Vec::new() }
    }
}

impl StmBuilder {
    /// Sets the isolation. Default: [`Isolation::SerializableSnapshot`], the strongest.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Reads these keys before each run, whether the function asks for them or not.
    pub fn prefetch(mut self, keys: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        self.prefetch.extend(keys.into_iter().map(|key| Bytes::copy_from_slice(key.as_ref())));
        self
    }

    /// Runs the function until what it did could be written. Durable on return, in one revision. An error of the
    /// function ends it, and nothing is written.
    ///
    /// # Errors
    /// Those of the function; as [`Db::execute`].
    pub fn run<T, E: From<Error>>(
        &self,
        mut function: impl FnMut(&mut Stm<'_>) -> Result<T, E>,
    ) -> Result<StmResponse<T>, E> {
        loop {
            let mut stm = Stm {
                db: &self.db,
                isolation: self.isolation,
                snapshot: None,
                read: BTreeMap::new(),
                written: BTreeMap::new(),
            };
            for key in &self.prefetch {
                stm.fetch(key)?;
            }
            let value = function(&mut stm)?;
            if let Some(revision) = stm.commit()? {
                return Ok(StmResponse { value, revision });
            }
        }
    }
}

impl Stm<'_> {
    /// The key's value, this function's own writes included; `None` if it does not exist, for which etcd has the empty
    /// value.
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        match self.written.get(key.as_ref()) {
            Some(Write::Put(value, _)) => Ok(Some(value.clone())),
            Some(Write::Delete) => Ok(None),
            None => Ok(self.fetch(key.as_ref())?.map(|kv| kv.value)),
        }
    }

    /// The value of the first of these keys that exists. All up to that one count as read.
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn get_first(&mut self, keys: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Option<Bytes>> {
        for key in keys {
            if let Some(value) = self.get(key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The key's mod revision as it was read, whatever this function has written; zero if it does not exist.
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn revision(&mut self, key: impl AsRef<[u8]>) -> Result<Revision> {
        Ok(self.fetch(key.as_ref())?.map_or(Revision::ZERO, |kv| kv.mod_revision))
    }

    /// Puts `value` at `key` at the end; of several writes of a key the last counts.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.put_with(key, value, PutOptions::new());
    }

    /// As [`Stm::put`], with a lease, say.
    pub fn put_with(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: PutOptions) {
        let value = Bytes::copy_from_slice(value.as_ref());
        self.written.insert(Bytes::copy_from_slice(key.as_ref()), Write::Put(value, options));
    }

    /// Deletes `key` at the end.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.written.insert(Bytes::copy_from_slice(key.as_ref()), Write::Delete);
    }

    fn fetch(&mut self, key: &[u8]) -> Result<Option<KeyValue>> {
        if let Some(known) = self.read.get(key) {
            return Ok(known.clone());
        }
        let found = match self.isolation {
            Isolation::RepeatableReads | Isolation::ReadCommitted => self.db.get(key)?,
            Isolation::SerializableSnapshot | Isolation::Serializable => {
                let snapshot = match &self.snapshot {
                    Some(snapshot) => snapshot,
                    None => self.snapshot.insert(self.db.snapshot()?),
                };
                snapshot.get(key)?
            }
        };
        self.read.insert(Bytes::copy_from_slice(key), found.clone());
        Ok(found)
    }

    /// Writes, if nothing stands against it.
    fn commit(&self) -> Result<Option<Revision>> {
        let ops = self.written.iter().map(|(key, write)| match write {
            Write::Put(value, options) => Op::from(Put::with(key, value, *options)),
            Write::Delete => Op::from(Delete::new(key)),
        });
        let response = self.db.txn().when(self.compares()).then(ops).commit()?;
        Ok(response.succeeded.then_some(response.revision))
    }

    fn compares(&self) -> Vec<Compare> {
        let unchanged = |(key, kv): (&Bytes, &Option<KeyValue>)| {
            let revision = kv.as_ref().map_or(Revision::ZERO, |kv| kv.mod_revision);
            Compare::mod_revision(KeyRange::key(key)).eq(revision)
        };
        let mut compares = Vec::new();
        if self.isolation != Isolation::ReadCommitted {
            compares.extend(self.read.iter().map(unchanged));
        }
        if self.isolation == Isolation::SerializableSnapshot
            && let Some(snapshot) = &self.snapshot
        {
            let since = snapshot.revision() + 1;
            compares.extend(self.written.keys().map(|key| Compare::mod_revision(key).lt(since)));
        }
        compares
    }
}
