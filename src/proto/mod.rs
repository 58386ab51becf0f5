//! etcd's messages, to and from the verbs of [`Db`]: bytes in, bytes out, for other languages and for servers.
//!
//! ```
//! use etclite::proto::{self, etcdserverpb::{PutRequest, RangeRequest, RangeResponse}};
//! use prost::Message;
//! # let db = etclite::Db::in_memory()?;
//! let put = PutRequest { key: "q1mi".into(), value: "dsb".into(), ..Default::default() };
//! proto::execute(&db, proto::PUT, &put.encode_to_vec())?;
//! let get = RangeRequest { key: "q1mi".into(), ..Default::default() };
//! let reply = proto::execute(&db, proto::RANGE, &get.encode_to_vec())?;
//! let range = RangeResponse::decode(&reply.to_vec()[..]).expect("a reply is of the request's kind");
//! assert_eq!(range.kvs[0].value, "dsb");
//! # Ok::<(), etclite::Error>(())
//! ```
//!
//! An **operation number** says what the bytes are. Below 1000 request and reply are etcd's messages, under its package
//! names and field numbers ([`etcdserverpb`], [`mvccpb`]); from 1000 on they are our own ([`etclitepb`]), for what etcd
//! lacks. Numbers are never used twice, and an unknown one is [`Error::Unsupported`]. Unknown fields are skipped.
//!
//! Nothing is decided here: a request becomes a value of `op.rs`, one verb runs it, and its answer becomes a [`Reply`],
//! written where the caller wants it. What etcd's server does to a request before its store sees it is done here as well,
//! as the accidents of etcd that its clients can see are copied: signs, unset operands, unknown numbers of enums, the
//! order of checks, and a limit that comes before an unnamed sort (`request.rs` names the rules).
//!
//! **Bounds.** A request is measured before it is decoded: [`Options::request_bytes_max`](crate::Options::request_bytes_max)
//! and 512 bytes for the clothes of a message. Messages nest as deep as prost decodes, 100 levels, which is 49 txns in one
//! another; deeper is [`Error::InvalidArgument`]. No bytes cause a panic.
//!
//! **Generated code.** `definitions/` holds the messages in our own words, `generated/` what prost-build makes of them. A
//! test compiles the one and compares it with the other, so that a build needs neither protoc nor a build script.

mod batch;
mod call;
mod cursors;
mod identity;
mod ours;
mod renewal;
mod reply;
mod request;
mod response;
mod txn;
mod upkeep;
mod wire;
mod write;

use crate::db::Db;
use crate::error::{Error, Invalid, Result};
#[cfg(doc)]
use crate::options::Options;

pub use identity::{Identity, RAFT_TERM};
pub use reply::Reply;
pub use request::watch_builder;
pub use response::watch_response;

/// etcd's keys and events.
#[allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications, reason = "generated")]
pub mod mvccpb {
    include!("generated/mvccpb.rs");
}

/// etcd's requests and responses.
#[allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications, reason = "generated")]
pub mod etcdserverpb {
    include!("generated/etcdserverpb.rs");
}

/// What etcd has no messages for.
#[allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications, reason = "generated")]
pub mod etclitepb {
    include!("generated/etclitepb.rs");
}

/// An operation per number, and the list of all.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        $($(#[$doc])* pub const $name: u32 = $number;)*

        /// Every operation by name and number, for other languages to compare with.
        pub const OPERATIONS: &[(&str, u32)] = &[$((stringify!($name), $number)),*];
    };
}

operations! {
    /// [`etcdserverpb::RangeRequest`].
    RANGE = 1;
    /// [`etcdserverpb::PutRequest`].
    PUT = 2;
    /// [`etcdserverpb::DeleteRangeRequest`].
    DELETE_RANGE = 3;
    /// [`etcdserverpb::TxnRequest`].
    TXN = 4;
    /// [`etcdserverpb::CompactionRequest`].
    COMPACT = 5;
    /// [`etcdserverpb::LeaseGrantRequest`]. Whole seconds; less than one is one.
    LEASE_GRANT = 10;
    /// [`etcdserverpb::LeaseRevokeRequest`].
    LEASE_REVOKE = 11;
    /// [`etcdserverpb::LeaseKeepAliveRequest`], once.
    LEASE_KEEPALIVE = 12;
    /// [`etcdserverpb::LeaseTimeToLiveRequest`].
    LEASE_TIME_TO_LIVE = 13;
    /// [`etcdserverpb::LeaseLeasesRequest`].
    LEASE_LEASES = 14;
    /// [`etcdserverpb::StatusRequest`].
    STATUS = 20;
    /// [`etcdserverpb::HashKvRequest`].
    HASH_KV = 21;
    /// [`etcdserverpb::HashRequest`].
    HASH = 22;
    /// [`etcdserverpb::AlarmRequest`].
    ALARM = 23;
    /// [`etcdserverpb::DefragmentRequest`].
    DEFRAGMENT = 24;
    /// [`etcdserverpb::MemberAddRequest`]: unsupported without a group, as those up to 34.
    MEMBER_ADD = 30;
    /// [`etcdserverpb::MemberRemoveRequest`].
    MEMBER_REMOVE = 31;
    /// [`etcdserverpb::MemberUpdateRequest`].
    MEMBER_UPDATE = 32;
    /// [`etcdserverpb::MemberListRequest`].
    MEMBER_LIST = 33;
    /// [`etcdserverpb::MemberPromoteRequest`].
    MEMBER_PROMOTE = 34;
    /// [`etclitepb::PutRequest`]: with a ttl, fences, an operation id.
    PUT_WITH = 1000;
    /// [`etclitepb::DeleteRangeRequest`]: with fences, an operation id.
    DELETE_RANGE_WITH = 1001;
    /// [`etclitepb::TxnRequest`]: with fences, leases, cursors, an operation id.
    TXN_WITH = 1002;
    /// [`etclitepb::CompactRequest`]: tells what cursors hold back.
    COMPACT_WITH = 1003;
    /// [`etclitepb::LeaseGrantRequest`]: in milliseconds, with a lock delay, an operation id.
    LEASE_GRANT_MS = 1010;
    /// [`etclitepb::LeaseRevokeRequest`]: with an operation id.
    LEASE_REVOKE_WITH = 1011;
    /// [`etclitepb::LeaseKeepAliveRequest`]: in milliseconds; a lease that is gone is an error.
    LEASE_KEEPALIVE_MS = 1012;
    /// [`etclitepb::LeaseTimeToLiveRequest`]: in milliseconds; a lease that is gone is an error.
    LEASE_TIME_TO_LIVE_MS = 1013;
    /// [`etclitepb::LeaseListRequest`]: in milliseconds.
    LEASE_LIST_MS = 1014;
    /// [`etclitepb::CursorCreateRequest`]; the reply is a [`etclitepb::CursorResponse`].
    CURSOR_CREATE = 1020;
    /// [`etclitepb::CursorAdvanceRequest`].
    CURSOR_ADVANCE = 1021;
    /// [`etclitepb::CursorResetRequest`]; the reply is a [`etclitepb::CursorPositionResponse`].
    CURSOR_RESET = 1022;
    /// [`etclitepb::CursorStatusRequest`]; the reply is a [`etclitepb::CursorResponse`].
    CURSOR_STATUS = 1023;
    /// [`etclitepb::CursorDropRequest`]; the reply is a [`etclitepb::CursorPositionResponse`].
    CURSOR_DROP = 1024;
    /// [`etclitepb::CursorListRequest`].
    CURSOR_LIST = 1025;
    /// [`etclitepb::SyncRequest`].
    SYNC = 1030;
    /// [`etclitepb::StatsRequest`].
    STATS = 1031;
}

/// Runs the request that `request` encodes and returns its reply, which is of the request's kind. Durable on return as the
/// verb is.
///
/// # Errors
/// Those of the verb; [`Error::InvalidArgument`] if the bytes are no such message, [`Error::TooLarge`] if they are too many,
/// [`Error::Unsupported`] for an operation that does not exist. [`Error::code`] has number, gRPC code and etcd's text.
pub fn execute(db: &Db, operation: u32, request: &[u8]) -> Result<Reply> {
    check_len(db, request)?;
    call::dispatch(db, operation, request)
}

/// Runs several requests in order. Each has a reply or an error of its own, and one that fails does not stop the next; each
/// sees the writes before it. Writes in a row share one durable commit, as [`Db::batch`] says, but not those with an
/// operation id.
pub fn batch(db: &Db, requests: &[(u32, &[u8])]) -> Vec<Result<Reply>> {
    batch::run(db, requests)
}

/// The exact message that etcd's server has for an error, by which its clients know it; where it has none, ours. With
/// [`Code::grpc`](crate::Code::grpc) it is what a client of gRPC is answered.
pub fn message(error: &Error) -> String {
    let code = error.code();
    match error {
        Error::InvalidArgument(Invalid::EmptyWatchRange) => EMPTY_WATCH_RANGE.to_owned(),
        _ if code.etcd.is_empty() => error.to_string(),
        _ => code.etcd.to_owned(),
    }
}

/// Refuses what is too large before it is decoded.
fn check_len(db: &Db, request: &[u8]) -> Result<()> {
    let max = db.engine().options.request_bytes_max.saturating_add(MESSAGE_OVERHEAD_BYTES);
    if request.len() > max {
        return Err(Error::TooLarge { what: "request", len: request.len() as u64, max: max as u64 });
    }
    Ok(())
}

/// How much longer than its command a message may be, as etcd's server allows (`grpcOverheadBytes`).
const MESSAGE_OVERHEAD_BYTES: usize = 512;

/// What etcd's server says of an empty range that is to be watched. Its code is shared, so it is not in the table.
const EMPTY_WATCH_RANGE: &str = "mvcc: watcher range is empty";
