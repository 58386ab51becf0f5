//! etclite for C, and for what calls C. **This page is the head of `etclite.h`**, where a test puts it: between the
//! lines of equal signs stands what a C program must know.
//!
//! | file | what |
//! |---|---|
//! | `guard.rs` | the door of every call: panics stay inside, errors are told in C's way |
//! | `handle.rs` | the table of handles, and their tokens |
//! | `argument.rs` | pointers and numbers from C, checked |
//! | `error.rs`, `code.rs` | `etclite_error`, and the status codes written out |
//! | `database.rs` | open, close, status |
//! | `kv.rs`, `result.rs` | keys, and what is read of them |
//! | `coordination.rs` | sessions, locks, elections |
//! | `library.rs`, `log.rs` | what the library says of itself; the log sink |
//! | `maintenance.rs` | figures, copies, checks |
//! | `replicate.rs` | groups, which this release does not have |
//! | `buf.rs`, `json.rs` | bytes that the library owns; reports in JSON |
//! | `testing.rs` | what only the test suites call |
//!
//! The functions have no logic of their own: each checks its arguments, builds a request of crate `etclite`, calls one
//! verb of its `Db`, and copies the answer out.

mod argument;
mod buf;
pub mod code;
mod coordination;
mod database;
mod error;
#[cfg(test)]
mod fork_tests;
mod guard;
mod handle;
mod json;
mod kv;
mod library;
mod log;
mod maintenance;
mod replicate;
mod result;
#[cfg(any(test, feature = "_testing"))]
mod testing;
