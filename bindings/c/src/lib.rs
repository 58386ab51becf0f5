//! etclite for C, and for what calls C. What every C program must know stands in `header.txt`, once: it is the head of
//! `include/etclite.h`, which the test `header_is_current` makes from it and from the comments at the public items here.
//! So those are written for a C reader: no intra-doc links, no section on safety.
//!
//! | file | what |
//! |---|---|
//! | `guard.rs` | the door of every call: panics stay inside, errors are told in C's way |
//! | `handle.rs` | the table of handles, and their tokens |
//! | `argument.rs` | pointers and numbers from C, checked |
//! | `error.rs`, `code.rs` | `etclite_error`, and the status codes written out |
//! | `database.rs` | open, close, status |
//! | `kv.rs`, `scan.rs`, `result.rs` | keys, and what is read of them |
//! | `txn.rs`, `lease.rs` | txns; leases |
//! | `coordination.rs` | sessions, locks, elections |
//! | `watch.rs`, `poller.rs`, `flag.rs` | watches, and waiting for many of them at one descriptor |
//! | `call.rs`, `watch_raw.rs` | any request, and watches, in messages: for bindings |
//! | `library.rs`, `log.rs` | what the library says of itself; the log sink |
//! | `maintenance.rs` | figures, copies, checks |
//! | `replicate.rs` | groups, which this release does not have |
//! | `buf.rs`, `reply.rs`, `json.rs` | bytes that the library owns; answers in bytes; reports in JSON |
//! | `testing.rs` | what only the test suites call |
//!
//! The functions have no logic of their own: each checks its arguments, builds a request of crate `etclite`, calls one
//! verb of its `Db`, and copies the answer out.

mod argument;
mod buf;
mod call;
pub mod code;
mod coordination;
mod database;
mod error;
#[cfg(test)]
mod fixture;
mod flag;
#[cfg(test)]
mod fork_tests;
mod guard;
mod handle;
mod json;
mod kv;
mod lease;
mod library;
mod log;
mod maintenance;
mod poller;
mod replicate;
mod reply;
mod result;
mod scan;
#[cfg(any(test, feature = "_testing"))]
mod testing;
mod txn;
mod watch;
mod watch_raw;
