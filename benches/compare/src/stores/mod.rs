//! The contestants. To add one, write a module with a `Store` and name it in [`all`].

#[cfg(feature = "etclite")]
mod etclite;
mod fjall;
mod lmdb;
mod map;
mod redb;
mod sqlite;

use crate::store::Contestant;

/// Everybody, in the order of the tables. etclite, where it is compiled in, comes first: it is what ratios refer to.
pub fn all() -> Vec<Contestant> {
    let mut all = Vec::new();
    #[cfg(feature = "etclite")]
    all.extend(etclite::contestants());
    all.extend(sqlite::contestants());
    all.extend(lmdb::contestants());
    all.extend(redb::contestants());
    all.extend(fjall::contestants());
    all.extend(map::contestants());
    all
}

/// Who is missing, and why; printed with every run.
pub const LEFT_OUT: &str =
    "RocksDB (a C++ build of many minutes that needs libclang) and surrealkv (needs an async runtime)";
