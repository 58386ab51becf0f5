//! The suite `it`: what the specification promises, row by row, through the public API of [`etclite::Db`] alone.
//!
//! A module per promise. A test carries the id of its row (`tx_10_from_key_delete_then_put`), and its expected values
//! are written by hand from the row's text. Most tests run on every setup of `support`: in memory, on disk, and on a
//! store so small that everything asserted is read back from runs.

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

mod asleep;
mod batch;
mod co_election;
mod co_lock_delay;
mod co_many_waiters;
mod co_mutex;
mod co_recipes;
mod co_session;
mod co_shared;
mod co_stm;
mod compaction;
mod concurrency;
mod cursor;
mod cursor_kill;
mod cw_helpers;
mod cw_kubernetes;
mod cw_mirror;
mod cw_namespace;
mod cw_services;
mod embedding;
mod errors;
mod etcd_rows;
mod fence;
mod files;
mod gate;
mod guarded;
mod held_syncs;
mod histories;
mod in_memory;
mod iteration;
mod lapse;
mod lease;
mod lease_random;
mod limits;
mod once;
mod once_crash;
mod put_delete;
mod put_ttl;
mod range;
mod recovery;
mod regressions;
mod revisions;
mod rig;
mod room;
mod snapshot;
mod support;
mod threads;
mod traced;
mod txn;
mod txn_lease;
mod watch;
mod watch_poison;
mod watch_random;
