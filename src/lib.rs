//! etcd's model as a library: revisions, ranges, transactions, watches, leases, locks and elections in the host process,
//! on disk, safe through any crash. No port, no daemon, no runtime.
//!
//! ```
//! # fn main() -> etclite::Result<()> {
//! use etclite::{Db, prefix};
//! let db = Db::in_memory()?; // Db::open("app.etcl")? for a store on disk
//! let mut watch = db.watch(prefix("config/")).start()?;
//! let revision = db.put("config/colour", "blue")?.revision;
//! db.delete("config/colour")?;
//! assert_eq!(db.get_at("config/colour", revision)?.expect("still held").value, "blue");
//! let batch = watch.next().expect("the store is open")?;
//! assert_eq!(batch.events()[0].kv.key, "config/colour");
//! db.close()
//! # }
//! ```
//!
//! # Modules, in reading order
//!
//! | module | what |
//! |---|---|
//! | `db` | [`Db`]: every public verb, each a few lines |
//! | `kv`, `op`, [`error`], `options` | the vocabulary: values, requests, errors, knobs |
//! | `engine` | the write path, from order to reply; `engine/apply.rs` is the state machine, `engine/commit.rs` the group commit, `engine/recover.rs` the opening, `engine/history.rs` what watches read, `engine/operations.rs` writes that take effect once, `engine/cursors.rs` durable watch cursors, `engine/reorganize.rs` flush and merge |
//! | `memtable`, `store` | where versions of keys live: recent ones in memory, older ones in sorted runs; `store/merge.rs` is where deleted and compacted history disappears, `store/catalog.rs` names what is live, `store/state_file.rs` holds what is remembered of operations |
//! | `log` | what was ordered, made durable frame by frame; `log/record.rs` is the format, `log/scan.rs` tells a torn tail from lost data |
//! | `watch`, `lease` | who is told of changes, and from where; when leases end, and why never early |
//! | [`coordination`] | sessions, locks, elections and the rest of what etcd's clients bring along, made of the verbs of [`Db`]; `db/keeper.rs` keeps their leases alive |
//! | `codec` | integers, lengths and checksums, as all formats spell them |
//! | `io` | the only door to files, clocks and threads |
//! | `cli` | the command line, over the public verbs of [`Db`] alone (feature `cli`) |
//! | `proto` | etcd's messages: bytes in, bytes out, for other languages and for servers (feature `proto`) |
//! | `import` | coming over from etcd: a store made from a snapshot (feature `import-etcd`) |
//! | `host` | what the bindings for other languages need beyond the verbs; hidden |
//! | `trace` | what is told to `tracing` (feature `tracing`) |
//! | `testing`, `sabotage` | the doors of the test suites, and the bugs that they must catch |
//!
//! Ids such as TX-10 in comments and in the names of tests are rules of behaviour, one each: the tests named `tx_10_..`
//! say what it demands. "Differs from etcd:" marks each place where a program that knows etcd may be surprised.
//!
//! # Features
//!
//! None is on by default, and none changes what the others do.
//!
//! | feature | adds |
//! |---|---|
//! | `cli` | the command `etclite` |
//! | `import-etcd` | `etclite::import`: a store made from a snapshot of etcd |
//! | `futures` | [`Watch`] as a `Stream` of `futures-core` |
//! | `serde` | `Db::typed`: values of a program's own types |
//! | `metrics` | `Db::metrics`: a Prometheus text with the names of etcd's metrics |
//! | `proto` | `etclite::proto`: etcd's messages, to and from the verbs of [`Db`] |
//! | `tracing` | the spans and events below, through the crate `tracing` |
//!
//! ## What is traced
//!
//! | target | level | message | fields |
//! |---|---|---|---|
//! | `etclite::engine` | INFO | `store opened`, in span `open` (`path`) | `revision`, `read_only`, `took_us` |
//! | | INFO | `log replayed`: recovery, in span `open` | `frames`, `commands`, `checkpoint_revision`, `revision`, `took_us` |
//! | | INFO | `store closed`, in span `close` | `revision`, `took_us` |
//! | | DEBUG | `history compacted` | `compact_revision`, `revision` |
//! | | TRACE | `batch published`: one or more writes, with one sync | `index`, `revision` |
//! | | WARN | `background work failed`: it is tried again | `error` |
//! | | ERROR | `store poisoned`: nothing more is written; `closing failed` | `error` |
//! | `etclite::store` | DEBUG | `memtable flushed`, in span `flush` | `run`, `revision`, `entries`, `bytes`, `took_us` |
//! | | DEBUG | `runs merged`, in span `merge` (`runs`) | `runs`, `run`, `entries`, `bytes`, `took_us` |
//! | `etclite::log` | INFO | `torn tail ignored`: as after any crash | `file`, `offset` |
//! | | DEBUG | `segment begun` | `segment`, `frame` |
//! | | DEBUG | `spare segment made` | `segment`, `filled_bytes` |
//! | | DEBUG | `segment dropped` | `segment` |
//! | `etclite::lease` | DEBUG | `lease expired`: its end is ordered, or that it lapses | `lease`, `lapses` |
//! | `etclite::session` | WARN | `session lost`, but not by its own close nor the store's | `lease` |
//! | `etclite::watch` | WARN | `watch ended by compaction` | `progress`, `compact_revision` |
//!
//! Times are in microseconds and do not count suspend; run 0 is none, since nothing was left to be written. Puts and gets
//! have no span and no event of their own, at any level. Some events are sent with locks held, so a subscriber must not
//! call the store; [`LogHook`] may.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types))]

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub(crate) mod codec;
pub mod coordination;
mod db;
mod engine;
pub mod error;
#[doc(hidden)]
pub mod host;
#[cfg(feature = "import-etcd")]
pub mod import;
#[cfg(feature = "_testing")]
#[doc(hidden)]
pub mod io;
#[cfg(not(feature = "_testing"))]
#[allow(unreachable_pub, dead_code, reason = "public to the test suites, under `_testing`")]
mod io;
mod kv;
mod lease;
mod log;
mod memtable;
mod op;
mod options;
#[cfg(feature = "proto")]
pub mod proto;
#[cfg(feature = "_testing")]
#[doc(hidden)]
pub mod sabotage;
#[cfg(not(feature = "_testing"))]
#[allow(unreachable_pub, dead_code, reason = "public to the test suites, under `_testing`")]
mod sabotage;
mod store;
#[cfg(feature = "_testing")]
#[doc(hidden)]
pub mod testing;
mod trace;
#[cfg(feature = "serde")]
mod typed;
mod watch;

pub use coordination::{Session, SessionOptions};
pub use db::{
    BatchOp, BatchResponse, CompactResponse, Cursor, CursorBuilder, CursorStatus, Db, DbTxn, Fenced, Lease,
    LeaseStatus, Operation, RangeIter, Snapshot,
};
pub use engine::backup::BackupOptions;
pub use engine::dump::DumpOptions;
pub use engine::inspect::{HashResponse, Health, Stats};
pub use engine::verify::{CheckOptions, CheckReport, Problem};
pub use error::{Applied, Code, Error, Holder, Invalid, Result};
pub use kv::{Event, EventKind, KeyRange, KeyValue, LeaseId, Revision, from_key, prefix};
pub use op::{
    Advance, AdvanceResponse, Compare, CompareNumber, CompareOn, CompareResult, Delete, DeleteResponse, GrantOptions,
    GrantResponse, OnceResponse, Op, OpResponse, OperationId, Put, PutOptions, PutResponse, Range, RangeResponse,
    RevokeResponse, SortOrder, SortTarget, Token, Txn, TxnResponse, stage,
};
pub use options::{Durability, LogEvent, LogHook, Options};
#[cfg(feature = "serde")]
pub use typed::{Bincode, Encoding, Typed, TypedValue};
pub use watch::{
    BATCH_BYTES_DEFAULT, BATCH_BYTES_MAX, PROGRESS_EVERY_MIN, RECEIVER_CAPACITY_MAX, Watch, WatchBatch, WatchBuilder,
    WatchCanceller, WatchReceiver,
};

/// The README's example is compiled and run with the other examples of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
