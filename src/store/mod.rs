//! The store below the write path.

pub(crate) mod block;
pub(crate) mod catalog;
pub(crate) mod cursor;
pub(crate) mod entry;
pub(crate) mod merge;
pub(crate) mod run;
pub(crate) mod run_writer;
#[cfg(test)]
pub(crate) mod test_disk;
#[cfg(test)]
pub(crate) mod test_entries;
