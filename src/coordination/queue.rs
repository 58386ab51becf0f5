//! Queues of many writers and many readers: each item is taken by one of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::coordination::keys::NewKey;
use crate::coordination::line::Line;
use crate::coordination::wait::{WaitOptions, Waited, Waiter, prefix_of};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::kv::{KeyRange, KeyValue, Revision};
use crate::op::{Compare, Delete, PutOptions, Range};

/// A queue, first in, first out, in the order of the items' revisions; as etcd's `recipe.Queue`, with its keys:
/// `name/…`, a new number for each item. An item is taken by deleting its key: by one taker, once.
///
/// Who has taken an item once holds the names of all items, some 170 bytes each, for as long as a handle of the queue
/// lives: its keys are not in the order of arrival. A [`PriorityQueue`] with one priority needs no such memory.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let queue = db.queue("jobs");
/// queue.enqueue("first")?;
/// queue.enqueue("second")?;
/// assert_eq!(queue.dequeue()?.value, "first");
/// assert_eq!(queue.try_dequeue()?.expect("one is left").value, "second");
/// assert_eq!(queue.try_dequeue()?, None);
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Queue {
    db: Db,
    name: Bytes,
    /// Knows the oldest item without looking at all others.
    line: Arc<Line>,
}

/// A queue by priority, lowest number first, and first in, first out among equals; as etcd's `recipe.PriorityQueue`,
/// with its keys: `name/`, five digits of priority, `/` and sixteen digits of sequence; and for each priority that was
/// ever used a key `__name/` and its digits.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let queue = db.priority_queue("jobs");
/// queue.enqueue("later", 10)?;
/// queue.enqueue("now", 1)?;
/// assert_eq!(queue.dequeue()?.value, "now");
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PriorityQueue {
    db: Db,
    prefix: Bytes,
}

impl Db {
    /// A queue by this name. Nothing is done yet.
    pub fn queue(&self, name: impl AsRef<[u8]>) -> Queue {
        // etcd looks for items under the bare name, which would take those of other names that begin so.
        let line = self.lines().line(&prefix_of(name.as_ref()));
        Queue { db: self.clone(), name: Bytes::copy_from_slice(name.as_ref()), line }
    }

    /// A queue by priority by this name. Nothing is done yet.
    pub fn priority_queue(&self, name: impl AsRef<[u8]>) -> PriorityQueue {
        PriorityQueue { db: self.clone(), prefix: prefix_of(name.as_ref()) }
    }

    /// Takes an item if it is still as it was read. Whether it was.
    fn claim(&self, item: &KeyValue) -> Result<bool> {
        let unchanged = Compare::mod_revision(&item.key).eq(item.mod_revision);
        Ok(self.txn().when([unchanged]).then([Delete::new(&item.key)]).commit()?.succeeded)
    }
}

/// What the two kinds of queue have in common.
trait Items {
    fn db(&self) -> &Db;

    fn range(&self) -> KeyRange;

    /// The item whose turn it is, and the revision as of which that is.
    fn first(&self) -> Result<(Option<KeyValue>, Revision)>;

    fn take_now(&self) -> Result<(Option<KeyValue>, Revision)> {
        loop {
            let (first, seen) = self.first()?;
            match first {
                Some(item) if self.db().claim(&item)? => return Ok((Some(item), seen)),
                // Somebody was faster.
                Some(_) => {}
                None => return Ok((None, seen)),
            }
        }
    }

    fn take(&self, options: &WaitOptions) -> Result<Option<KeyValue>> {
        let waiter = Waiter::new(self.db(), None, options);
        loop {
            let (item, seen) = self.take_now()?;
            if item.is_some() {
                return Ok(item);
            }
            match self.db().watch(self.range()).no_delete().from(seen + 1).start() {
                Ok(watch) => {
                    if waiter.wait(&mut [watch])? == Waited::TimedOut {
                        return Ok(None);
                    }
                }
                Err(Error::Compacted { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Items for Queue {
    fn db(&self) -> &Db {
        &self.db
    }

    fn range(&self) -> KeyRange {
        KeyRange::prefix(prefix_of(&self.name))
    }

    fn first(&self) -> Result<(Option<KeyValue>, Revision)> {
        loop {
            let (key, seen) = self.line.first(&self.db)?;
            let Some(key) = key else { return Ok((None, seen)) };
            // One that was taken since: the line knows it the next time.
            if let Some(item) = self.db.get(&key)? {
                return Ok((Some(item), seen));
            }
        }
    }
}

impl Items for PriorityQueue {
    fn db(&self) -> &Db {
        &self.db
    }

    fn range(&self) -> KeyRange {
        KeyRange::prefix(&self.prefix)
    }

    fn first(&self) -> Result<(Option<KeyValue>, Revision)> {
        let first = self.db.query(Range::new(self.range()).limit(1))?;
        Ok((first.kvs.into_iter().next(), first.revision))
    }
}

impl Queue {
    /// Appends an item. Durable on return.
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn enqueue(&self, value: impl AsRef<[u8]>) -> Result<NewKey> {
        self.db.put_unique(&self.name, value, PutOptions::new())
    }

    /// Takes the oldest item, waiting for one if need be. Durable on return: whoever dies before it has done what the
    /// item asks for has lost it.
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn dequeue(&self) -> Result<KeyValue> {
        loop {
            if let Some(item) = self.take(&WaitOptions::new())? {
                return Ok(item);
            }
        }
    }

    /// Takes the oldest item, if there is one now.
    ///
    /// # Errors
    /// As [`Queue::dequeue`].
    pub fn try_dequeue(&self) -> Result<Option<KeyValue>> {
        self.take_now().map(|(item, _)| item)
    }

    /// Takes the oldest item, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`Queue::dequeue`].
    pub fn dequeue_timeout(&self, timeout: Duration) -> Result<Option<KeyValue>> {
        self.take(&WaitOptions::new().timeout(timeout))
    }

    /// Takes the oldest item, waiting as the options say.
    ///
    /// # Errors
    /// As [`Queue::dequeue`]; [`Error::WaitCanceled`].
    pub fn dequeue_with(&self, options: &WaitOptions) -> Result<Option<KeyValue>> {
        self.take(options)
    }
}

impl PriorityQueue {
    /// Appends an item to those of its priority. Durable on return.
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn enqueue(&self, value: impl AsRef<[u8]>, priority: u16) -> Result<NewKey> {
        let prefix = [&self.prefix, format!("{priority:05}").as_bytes()].concat();
        self.db.put_sequential(prefix, value)
    }

    /// Takes the first item, waiting for one if need be; see [`Queue::dequeue`].
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn dequeue(&self) -> Result<KeyValue> {
        loop {
            if let Some(item) = self.take(&WaitOptions::new())? {
                return Ok(item);
            }
        }
    }

    /// Takes the first item, if there is one now.
    ///
    /// # Errors
    /// As [`PriorityQueue::dequeue`].
    pub fn try_dequeue(&self) -> Result<Option<KeyValue>> {
        self.take_now().map(|(item, _)| item)
    }

    /// Takes the first item, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`PriorityQueue::dequeue`].
    pub fn dequeue_timeout(&self, timeout: Duration) -> Result<Option<KeyValue>> {
        self.take(&WaitOptions::new().timeout(timeout))
    }

    /// Takes the first item, waiting as the options say.
    ///
    /// # Errors
    /// As [`PriorityQueue::dequeue`]; [`Error::WaitCanceled`].
    pub fn dequeue_with(&self, options: &WaitOptions) -> Result<Option<KeyValue>> {
        self.take(options)
    }
}
