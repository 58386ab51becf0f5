//! What a contestant must be able to do, and how it is opened.
//!
//! The trait asks for the least that every store has, so that each is called the way its own users call it: one put or
//! one get is one transaction of that store. A get hands over a copy of the value in the caller's buffer, for all alike;
//! a range folds what it saw into a [`Checksum`], so that nobody is charged for building rows that nobody wants.

use std::path::Path;

use crate::workload::{Checksum, Key, Value};

/// Anything a store may complain of: the program stops at the first complaint.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// Result of every call on a store.
pub type Result<T> = std::result::Result<T, Failure>;

/// What is promised of a write when `put` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It survives a power failure.
    Durable,
    /// It is left to the operating system, or to the store, to make it durable later.
    Relaxed,
}

/// One open store, called from many threads.
pub trait Store: Send + Sync {
    /// Writes one key in a transaction of its own, as durable as the store's mode says.
    fn put(&self, key: &Key, value: &Value) -> Result<()>;

    /// Writes many keys in whatever way is fastest; never timed.
    fn load(&self, pairs: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()>;

    /// Reads one key in a fresh snapshot into `value`, which is overwritten; false if there is no such key.
    fn get(&self, key: &Key, value: &mut Vec<u8>) -> Result<bool>;

    /// Reads up to `limit` pairs from `start` on in a fresh snapshot; the number of pairs.
    fn range(&self, start: &Key, limit: usize, seen: &mut Checksum) -> Result<usize>;

    /// Brings the files into the shape that reads like best: memtables flushed, runs merged.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Ends the store, so that its files can be copied or opened again.
    fn close(self: Box<Self>) -> Result<()>;
}

/// A store in one configuration: a row of the tables.
#[derive(Clone, Copy)]
pub struct Contestant {
    /// Its name in the tables and in `--stores`.
    pub name: &'static str,
    /// Contestants of one family have the same files, which are loaded once and copied.
    pub family: &'static str,
    /// How it is set up, for the head of the output: durable first, then relaxed.
    pub settings: &'static str,
    /// Whether several puts may share one flush, so that fewer flushes than puts are no reason for doubt.
    pub shares_syncs: bool,
    /// Whether it keeps anything on disk; one that does not is shown for orientation.
    pub on_disk: bool,
    /// Names of the only questions it answers; none means all of its kind.
    pub only: &'static [&'static str],
    /// Opens or creates it in a directory.
    pub open: fn(&Path, Mode) -> Result<Box<dyn Store>>,
}
