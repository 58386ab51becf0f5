//! Between recorded JSON and the public verbs: requests into calls, responses and errors back into etcd's words.
//!
//! The shape is that of `tests/fixtures/etcd/record.py`: etcd's field names, bytes as strings of the characters U+0000 to
//! U+00FF, and nothing that is zero, false or empty. So equal answers are equal values.

use etclite::{
    Compare, Delete, Error, Event, EventKind, Invalid, KeyRange, KeyValue, LeaseId, Op, OpResponse, Put, PutOptions,
    Range, RangeResponse, Revision, SortOrder, SortTarget, Txn, TxnResponse,
};
use serde_json::{Map, Value, json};

/// The bytes of a field; empty if it is absent.
pub(super) fn bytes(request: &Value, field: &str) -> Vec<u8> {
    let text = request.get(field).map_or("", |text| text.as_str().expect("a string"));
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect()
}

/// The number in a field; zero if it is absent.
pub(super) fn number(request: &Value, field: &str) -> i64 {
    request.get(field).map_or(0, |number| number.as_i64().expect("an integer"))
}

/// A number that cannot be negative.
pub(super) fn positive(request: &Value, field: &str) -> u64 {
    u64::try_from(number(request, field)).expect("not negative")
}

/// Whether a flag is set.
pub(super) fn flag(request: &Value, field: &str) -> bool {
    request.get(field).is_some_and(|flag| flag.as_bool().expect("a boolean"))
}

fn list<'a>(request: &'a Value, field: &str) -> &'a [Value] {
    request.get(field).map_or(&[], |list| list.as_array().expect("a list"))
}

fn text<'a>(request: &'a Value, field: &str) -> &'a str {
    request.get(field).map_or("", |text| text.as_str().expect("a string"))
}

pub(super) fn key_range(request: &Value) -> KeyRange {
    KeyRange::from_wire(bytes(request, "key"), bytes(request, "range_end"))
}

pub(super) fn put_options(request: &Value) -> PutOptions {
    let mut options = PutOptions::new().lease(number(request, "lease"));
    if flag(request, "prev_kv") {
        options = options.prev_kv();
    }
    if flag(request, "ignore_value") {
        options = options.ignore_value();
    }
    if flag(request, "ignore_lease") {
        options = options.ignore_lease();
    }
    options
}

fn put(request: &Value) -> Put {
    Put::with(bytes(request, "key"), bytes(request, "value"), put_options(request))
}

pub(super) fn delete(request: &Value) -> Delete {
    let delete = Delete::new(key_range(request));
    if flag(request, "prev_kv") { delete.prev_kv() } else { delete }
}

/// A range; its count is always asked for, as etcd always gives it.
pub(super) fn range(request: &Value) -> Range {
    let target = match text(request, "sort_target") {
        "" | "KEY" => SortTarget::Key,
        "VERSION" => SortTarget::Version,
        "CREATE" => SortTarget::CreateRevision,
        "MOD" => SortTarget::ModRevision,
        "VALUE" => SortTarget::Value,
        other => panic!("{other}"),
    };
    let order = match text(request, "sort_order") {
        "" | "NONE" | "ASCEND" => SortOrder::Ascend,
        "DESCEND" => SortOrder::Descend,
        other => panic!("{other}"),
    };
    let mut range = Range::new(key_range(request)).with_count().sort(target, order);
    range = range.at(positive(request, "revision")).limit(positive(request, "limit"));
    range = range.min_mod_revision(positive(request, "min_mod_revision"));
    range = range.max_mod_revision(positive(request, "max_mod_revision"));
    range = range.min_create_revision(positive(request, "min_create_revision"));
    range = range.max_create_revision(positive(request, "max_create_revision"));
    if flag(request, "keys_only") {
        range = range.keys_only();
    }
    if flag(request, "count_only") {
        range = range.count_only();
    }
    range
}

pub(super) fn txn(request: &Value) -> Txn {
    let compares: Vec<Compare> = list(request, "compare").iter().map(compare).collect();
    Txn::new().when(compares).then(ops(list(request, "success"))).or_else(ops(list(request, "failure")))
}

fn ops(requests: &[Value]) -> Vec<Op> {
    let op = |request: &Value| -> Op {
        let (kind, request) = request.as_object().and_then(|op| op.iter().find(|(k, _)| *k != "times")).expect("an op");
        match kind.as_str() {
            "request_put" => put(request).into(),
            "request_range" => range(request).into(),
            "request_delete_range" => delete(request).into(),
            "request_txn" => txn(request).into(),
            other => panic!("{other}"),
        }
    };
    let times = |request: &Value| usize::try_from(positive(request, "times").max(1)).expect("a small number");
    requests.iter().flat_map(|request| vec![op(request); times(request)]).collect()
}

fn compare(request: &Value) -> Compare {
    let range = key_range(request);
    let (target, field) = match text(request, "target") {
        "VALUE" => return compare_value(request, range),
        "VERSION" => (Compare::version(range), "version"),
        "CREATE" => (Compare::create_revision(range), "create_revision"),
        "MOD" => (Compare::mod_revision(range), "mod_revision"),
        "LEASE" => (Compare::lease(range), "lease"),
        other => panic!("{other}"),
    };
    let number = number(request, field);
    match text(request, "result") {
        "EQUAL" => target.eq(number),
        "NOT_EQUAL" => target.ne(number),
        "GREATER" => target.gt(number),
        "LESS" => target.lt(number),
        other => panic!("{other}"),
    }
}

fn compare_value(request: &Value, range: KeyRange) -> Compare {
    let (target, value) = (Compare::value(range), bytes(request, "value"));
    match text(request, "result") {
        "EQUAL" => target.eq(value),
        "NOT_EQUAL" => target.ne(value),
        "GREATER" => target.gt(value),
        "LESS" => target.lt(value),
        other => panic!("{other}"),
    }
}

/// An object without what is zero, false or empty.
pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let is_default = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(_) => false,
    };
    let said = fields.into_iter().filter(|(_, value)| !is_default(value));
    Value::Object(said.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn characters(bytes: &[u8]) -> Value {
    bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into()
}

pub(super) fn of_revision(revision: Revision) -> Value {
    revision.get().into()
}

pub(super) fn of_keys(keys: &[impl AsRef<[u8]>]) -> Value {
    keys.iter().map(|key| characters(key.as_ref())).collect()
}

pub(super) fn of_lease(lease: LeaseId) -> Value {
    lease.get().into()
}

fn of_kv(kv: &KeyValue) -> Value {
    object([
        ("key", characters(&kv.key)),
        ("create_revision", of_revision(kv.create_revision)),
        ("mod_revision", of_revision(kv.mod_revision)),
        ("version", kv.version.into()),
        ("value", characters(&kv.value)),
        ("lease", of_lease(kv.lease)),
    ])
}

fn of_kvs(kvs: &[KeyValue]) -> Value {
    kvs.iter().map(of_kv).collect()
}

pub(super) fn of_event(event: &Event) -> Value {
    let kind = if event.kind == EventKind::Delete { "DELETE" } else { "" };
    let prev = event.prev.as_ref().map_or(Value::Null, of_kv);
    object([("type", kind.into()), ("kv", of_kv(&event.kv)), ("prev_kv", prev)])
}

pub(super) fn of_put(response: &etclite::PutResponse) -> Value {
    let prev = response.prev.as_ref().map_or(Value::Null, of_kv);
    object([("revision", of_revision(response.revision)), ("prev_kv", prev)])
}

pub(super) fn of_delete(response: &etclite::DeleteResponse) -> Value {
    object([
        ("revision", of_revision(response.revision)),
        ("deleted", response.deleted.into()),
        ("prev_kvs", of_kvs(&response.prev_kvs)),
    ])
}

pub(super) fn of_range(response: &RangeResponse) -> Value {
    object([
        ("revision", of_revision(response.revision)),
        ("kvs", of_kvs(&response.kvs)),
        ("more", response.more.into()),
        ("count", response.count.expect("it was asked for").into()),
    ])
}

pub(super) fn of_txn(response: &TxnResponse) -> Value {
    let of_op = |op: &OpResponse| match op {
        OpResponse::Put(put) => json!({ "response_put": of_put(put) }),
        OpResponse::Delete(delete) => json!({ "response_delete_range": of_delete(delete) }),
        OpResponse::Range(range) => json!({ "response_range": of_range(range) }),
        OpResponse::Txn(txn) => json!({ "response_txn": of_txn(txn) }),
        other => panic!("an answer that etcd does not have: {other:?}"),
    };
    object([
        ("revision", of_revision(response.revision)),
        ("succeeded", response.succeeded.into()),
        ("responses", response.responses.iter().map(of_op).collect()),
    ])
}

/// The text by which etcd's clients know an error.
pub(super) fn of_error(error: &Error) -> Value {
    let text = match error {
        Error::InvalidArgument(Invalid::EmptyKey) => "key is not provided",
        Error::InvalidArgument(Invalid::KeyNotFound) => "key not found",
        Error::InvalidArgument(Invalid::ValueProvided) => "value is provided",
        Error::InvalidArgument(Invalid::LeaseProvided) => "lease is provided",
        Error::DuplicateKey => "duplicate key given in txn request",
        Error::Compacted { .. } => "mvcc: required revision has been compacted",
        Error::FutureRevision { .. } => "mvcc: required revision is a future revision",
        Error::LeaseNotFound => "requested lease not found",
        Error::LeaseExists => "lease already exists",
        Error::TooLarge { what, .. } if what.starts_with("lease TTL") => "too large lease TTL",
        Error::TooLarge { what, .. } if what.contains("operations") => "too many operations in txn request",
        other => panic!("an error that etcd does not have: {other:?}"),
    };
    json!({ "error": format!("etcdserver: {text}") })
}
