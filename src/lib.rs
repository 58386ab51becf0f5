//! etcd's model as a library: revisions, ranges, transactions, watches and leases in the host process, on disk, safe
//! through any crash. No port, no daemon, no runtime.

#[allow(dead_code, unused_imports, unreachable_pub, unnameable_types, reason = "called by what comes next")]
mod codec;
pub mod error;
pub mod io;
#[allow(dead_code, unused_imports, unreachable_pub, unnameable_types, reason = "called by what comes next")]
mod kv;
#[allow(dead_code, unused_imports, unreachable_pub, unnameable_types, reason = "called by what comes next")]
mod lease;
#[allow(dead_code, unused_imports, unreachable_pub, unnameable_types, reason = "called by what comes next")]
mod log;
#[allow(dead_code, unused_imports, unreachable_pub, unnameable_types, reason = "called by what comes next")]
mod memtable;
#[allow(dead_code, unused_imports, unreachable_pub, unnameable_types, reason = "called by what comes next")]
mod op;
pub mod sabotage;
#[allow(dead_code, unused_imports, unreachable_pub, unnameable_types, reason = "called by what comes next")]
mod store;
#[allow(dead_code, unused_imports, unreachable_pub, unnameable_types, reason = "called by what comes next")]
mod watch;

pub use error::{Applied, Error, Holder, Invalid, Result};
pub use kv::{Event, EventKind, KeyRange, KeyValue, LeaseId, Revision, from_key, prefix};
