//! What the bindings for other languages need of a store beyond its verbs. Hidden: Rust programs have no use for it.

use crate::db::Db;

/// How many forks lie between this process and the one that first asked. A load, once that is done.
pub fn forks() -> u64 {
    crate::io::thread::forks()
}

/// The cluster and member ids of the store. Two loads.
pub fn ids(db: &Db) -> (u64, u64) {
    db.engine().ids()
}

/// Takes no more writes until the store is reopened: a call on it panicked, and nobody knows what it left half done.
pub fn poison(db: &Db) {
    db.engine().poison_by_panic();
}
