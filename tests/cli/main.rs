//! The suite `cli`: the command line as a program, from outside. `cargo test --features cli --test cli`.

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

mod bench;
mod data;
#[macro_use]
mod driver;
mod driver_cursor;
mod driver_ends;
mod driver_fuzz;
mod driver_guard;
mod driver_kill;
mod driver_kv;
mod driver_lease;
mod driver_lines;
mod driver_lock;
mod driver_pending;
mod driver_script;
mod driver_store;
mod driver_txn;
mod driver_watch;
mod exits;
mod golden;
mod health;
mod help;
mod kv;
mod lease;
mod lock;
mod program;
mod readme;
mod script;
mod store;
mod terminal;
mod txn;
mod usage;
mod watch;
