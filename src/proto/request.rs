//! etcd's requests as the values that the verbs take.
//!
//! What `op.rs` cannot hold a message can: negative revisions, operands that are not set, numbers of enums that do not
//! exist. Here each becomes what etcd's server makes of it, with the order of its checks (`checkRangeRequest` and its kin
//! in etcd's `api/v3rpc/key.go`).

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::etcdserverpb as pb;
use super::etcdserverpb::compare::{CompareResult as Relation, CompareTarget as Target, TargetUnion};
use super::etcdserverpb::range_request::{SortOrder as Order, SortTarget as By};
use super::etcdserverpb::watch_create_request::FilterType;
use crate::db::Db;
use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyRange, KeyValue, RangeEnd, Revision};
use crate::op::check_key;
use crate::op::{
    Compare, CompareResult, CompareTarget, Delete, Put, PutOptions, Range, RangeResponse, SortOrder, SortTarget,
};
use crate::watch::WatchBuilder;

/// A message of that kind. What is wrong with the bytes is not told: it names no field, and prost words it as it likes.
pub(super) fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|_| argument("the bytes are no message of that kind"))
}

pub(super) fn argument(what: &'static str) -> Error {
    Error::InvalidArgument(Invalid::Argument(what))
}

/// The key of a range request that asks for one key and nothing else, which most do: its only field is the key, or
/// `serializable` is beside it, which is of no effect. Found without decoding, as the key need not be owned.
pub(super) fn single_key(request: &[u8]) -> Option<&[u8]> {
    let [KEY_TAG, len @ ..0x80, rest @ ..] = request else { return None };
    let (key, others) = rest.split_at_checked(usize::from(*len))?;
    matches!(others, [] | [SERIALIZABLE_TAG, 1]).then_some(key)
}

/// Field 1, of bytes.
const KEY_TAG: u8 = 1 << 3 | 2;

/// Field 7, a number.
const SERIALIZABLE_TAG: u8 = 7 << 3;

/// The range of `key` and `range_end`, which takes both over.
pub(super) fn key_range(key: Bytes, range_end: Bytes) -> KeyRange {
    let end = match &range_end[..] {
        [] => RangeEnd::Key,
        [0] => RangeEnd::Unbounded,
        _ => RangeEnd::Before(range_end),
    };
    KeyRange { start: key, end }
}

/// Zero and below is zero: no limit, the latest, off.
pub(super) fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Milliseconds; none if it is below zero.
pub(super) fn millis(number: i64) -> Duration {
    Duration::from_millis(positive(number))
}

/// A range, and what is left to do with its answer.
#[derive(Clone, Debug)]
pub(super) struct RangePlan {
    pub(super) range: Range,
    pub(super) late_sort: Option<LateSort>,
}

/// An accident of etcd that its clients can see (KV-06): with a limit, a target other than the key, no order and no filter,
/// the limit comes first, and what it leaves is sorted.
#[derive(Clone, Copy, Debug)]
pub(super) struct LateSort {
    target: SortTarget,
    limit: usize,
    keys_only: bool,
}

/// A range request at its own revision, whatever its sign; the caller looks at that.
pub(super) fn range(request: pb::RangeRequest) -> Result<RangePlan> {
    check_key(&request.key)?;
    let (order, target) = sort(&request)?;
    let mut range = Range::new(key_range(request.key, request.range_end)).with_count().at(positive(request.revision));
    range.limit = positive(request.limit);
    range.keys_only = request.keys_only;
    range.count_only = request.count_only;
    let min_and_max = |min: i64, max: i64| match max {
        // Every revision is above it: nothing passes.
        ..0 => (Revision::new(u64::MAX), Revision::ZERO),
        _ => (Revision::new(positive(min)), Revision::new(positive(max))),
    };
    (range.min_mod, range.max_mod) = min_and_max(request.min_mod_revision, request.max_mod_revision);
    (range.min_create, range.max_create) = min_and_max(request.min_create_revision, request.max_create_revision);
    let filters =
        [request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision];
    let is_late = order == Order::None && target != SortTarget::Key && range.limit != 0 && filters == [0; 4];
    if !is_late || range.count_only {
        range.sort = (target, if order == Order::Descend { SortOrder::Descend } else { SortOrder::Ascend });
        return Ok(RangePlan { range, late_sort: None });
    }
    let limit = usize::try_from(range.limit).unwrap_or(usize::MAX);
    let late_sort = LateSort { target, limit, keys_only: range.keys_only };
    range.limit = range.limit.saturating_add(1);
    // A sort by value needs the values.
    range.keys_only &= target != SortTarget::Value;
    Ok(RangePlan { range, late_sort: Some(late_sort) })
}

fn sort(request: &pb::RangeRequest) -> Result<(Order, SortTarget)> {
    let unknown = |_| Error::InvalidArgument(Invalid::SortOption);
    let order = Order::try_from(request.sort_order).map_err(unknown)?;
    let target = match By::try_from(request.sort_target).map_err(unknown)? {
        By::Key => SortTarget::Key,
        By::Version => SortTarget::Version,
        By::Create => SortTarget::CreateRevision,
        By::Mod => SortTarget::ModRevision,
        By::Value => SortTarget::Value,
    };
    Ok((order, target))
}

impl LateSort {
    /// Sorts what the limit and one more have left, and cuts.
    pub(super) fn finish(self, response: &mut RangeResponse) {
        let kvs = &mut response.kvs;
        match self.target {
            SortTarget::Key => {}
            SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
            SortTarget::CreateRevision => kvs.sort_by_key(|kv| kv.create_revision),
            SortTarget::ModRevision => kvs.sort_by_key(|kv| kv.mod_revision),
            SortTarget::Value => kvs.sort_by(|a: &KeyValue, b| a.value.cmp(&b.value)),
        }
        response.more = kvs.len() > self.limit;
        kvs.truncate(self.limit);
        if self.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
    }
}

/// A put, with its flags checked against its values.
pub(super) fn put(request: pb::PutRequest) -> Result<Put> {
    let options = PutOptions {
        lease: request.lease.into(),
        ttl: None,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    };
    let put = Put { key: request.key, value: request.value, options };
    put.check()?;
    Ok(put)
}

pub(super) fn delete(request: pb::DeleteRangeRequest) -> Result<Delete> {
    check_key(&request.key)?;
    Ok(Delete { range: key_range(request.key, request.range_end), prev_kv: request.prev_kv })
}

/// A compare. What etcd has no operator or target for is true or false whatever is stored (TX-02), which is said here by
/// asking for a version above -1, or below 0.
pub(super) fn compare(request: pb::Compare) -> Result<Compare> {
    check_key(&request.key)?;
    let range = key_range(request.key, request.range_end);
    let version_above = |range, number| Ok(Compare::version(range).gt(number));
    let target = Target::try_from(request.target);
    let result = match (Relation::try_from(request.result), target) {
        (Ok(Relation::Equal), _) => CompareResult::Equal,
        (Ok(Relation::Greater), Ok(_)) => CompareResult::Greater,
        (Ok(Relation::Less), Ok(_)) => CompareResult::Less,
        (Ok(Relation::NotEqual), Ok(_)) => CompareResult::NotEqual,
        // Equal is what etcd finds for an unknown target, so no other operator holds.
        (Ok(_), Err(_)) => return Ok(Compare::version(range).lt(0)),
        // A value compare is false for a missing key (TX-03), with an unknown operator too.
        (Err(_), Ok(Target::Value)) => return version_above(range, 0),
        (Err(_), _) => return version_above(range, -1),
    };
    let Ok(target) = target else { return version_above(range, -1) };
    Ok(Compare { range, target: operand(target, request.target_union), result })
}

/// The target with its operand; one that is not set, or belongs to another target, is zero or empty.
fn operand(target: Target, union: Option<TargetUnion>) -> CompareTarget {
    match (target, union) {
        (Target::Version, Some(TargetUnion::Version(number))) => CompareTarget::Version(number),
        (Target::Version, _) => CompareTarget::Version(0),
        (Target::Create, Some(TargetUnion::CreateRevision(number))) => CompareTarget::CreateRevision(number),
        (Target::Create, _) => CompareTarget::CreateRevision(0),
        (Target::Mod, Some(TargetUnion::ModRevision(number))) => CompareTarget::ModRevision(number),
        (Target::Mod, _) => CompareTarget::ModRevision(0),
        (Target::Value, Some(TargetUnion::Value(value))) => CompareTarget::Value(value),
        (Target::Value, _) => CompareTarget::Value(Bytes::new()),
        (Target::Lease, Some(TargetUnion::Lease(number))) => CompareTarget::Lease(number),
        (Target::Lease, _) => CompareTarget::Lease(0),
    }
}

/// What a [`WatchCreateRequest`](pb::WatchCreateRequest) asks for; its `watch_id` is the stream's affair, and nothing is
/// sent in fragments.
///
/// ```
/// use etclite::proto::{self, etcdserverpb::WatchCreateRequest};
/// use prost::Message;
/// # let db = etclite::Db::in_memory()?;
/// let request = WatchCreateRequest { key: "q1mi".into(), start_revision: 2, ..Default::default() };
/// let mut watch = proto::watch_builder(&db, &request.encode_to_vec())?.start()?;
/// db.put("q1mi", "dsb")?;
/// let response = proto::watch_response(proto::Identity::of(&db), 0, watch.try_next()?.expect("just put"));
/// assert_eq!(response.events[0].kv.as_ref().expect("of the change").value, "dsb");
/// # Ok::<(), etclite::Error>(())
/// ```
///
/// # Errors
/// [`Error::Compacted`] for a negative start, as etcd answers; [`Error::InvalidArgument`] if the bytes are no such message,
/// [`Error::TooLarge`] if they are too many. [`WatchBuilder::start`] has those of the watch.
pub fn watch_builder(db: &Db, request: &[u8]) -> Result<WatchBuilder> {
    super::check_len(db, request)?;
    let request: pb::WatchCreateRequest = decode(request)?;
    if request.start_revision < 0 {
        return Err(Error::Compacted { compacted: db.compact_revision() });
    }
    let has = |filter: FilterType| request.filters.contains(&filter.into());
    let (no_put, no_delete) = (has(FilterType::Noput), has(FilterType::Nodelete));
    // An empty key is the first one (WA-03).
    let key = if request.key.is_empty() { Bytes::from_static(b"\0") } else { request.key };
    let mut watch = db.watch(key_range(key, request.range_end)).from(positive(request.start_revision));
    if no_put {
        watch = watch.no_put();
    }
    if no_delete {
        watch = watch.no_delete();
    }
    if request.prev_kv {
        watch = watch.with_prev();
    }
    if request.progress_notify {
        watch = watch.progress_every(PROGRESS_NOTIFY);
    }
    Ok(watch)
}

/// How often a watch that asks for it is told its progress, as in etcd (WA-10).
const PROGRESS_NOTIFY: Duration = Duration::from_secs(600);
