//! Golden vectors: what every codec of these messages must read and write byte for byte.
//!
//! `bindings/go/internal/wire/testdata/golden/` has a folder per writer. `rust` is written from here (`ETCLITE_BLESS=1`),
//! from [`ROWS`] through generated code; the others, such as etcd's own, are read only. The Go codec is held to all of them,
//! and so is ours. The format is told in that folder.

use std::fs;
use std::path::{Path, PathBuf};

use etclite::proto::etcdserverpb as pb;
use prost::Message;
use serde_json::{Value, json};

use crate::dynamic::{Style, decode, encode, hex};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bindings/go/internal/wire/testdata/golden")
}

/// What generated code makes of a message.
fn again(name: &str, bytes: &[u8]) -> Vec<u8> {
    fn through<M: Message + Default>(bytes: &[u8]) -> Vec<u8> {
        M::decode(bytes).expect("a message of that kind").encode_to_vec()
    }
    macro_rules! by_name {
        ($($name:literal $kind:ident,)*) => {
            match name {
                $($name => through::<pb::$kind>(bytes),)*
                other => panic!("no message {other}"),
            }
        };
    }
    by_name! {
        "RangeRequest" RangeRequest, "RangeResponse" RangeResponse, "PutRequest" PutRequest, "PutResponse" PutResponse,
        "DeleteRangeRequest" DeleteRangeRequest, "DeleteRangeResponse" DeleteRangeResponse,
        "TxnRequest" TxnRequest, "TxnResponse" TxnResponse,
        "CompactionRequest" CompactionRequest, "CompactionResponse" CompactionResponse,
        "LeaseGrantRequest" LeaseGrantRequest, "LeaseGrantResponse" LeaseGrantResponse,
        "LeaseRevokeRequest" LeaseRevokeRequest, "LeaseRevokeResponse" LeaseRevokeResponse,
        "LeaseKeepAliveRequest" LeaseKeepAliveRequest, "LeaseKeepAliveResponse" LeaseKeepAliveResponse,
        "LeaseTimeToLiveRequest" LeaseTimeToLiveRequest, "LeaseTimeToLiveResponse" LeaseTimeToLiveResponse,
        "LeaseLeasesResponse" LeaseLeasesResponse, "StatusResponse" StatusResponse,
        "HashKVRequest" HashKvRequest, "HashKVResponse" HashKvResponse,
        "WatchCreateRequest" WatchCreateRequest, "WatchResponse" WatchResponse,
    }
}

#[test]
fn every_golden_vector_is_read_and_written_alike() {
    bless();
    let mut folders = 0;
    for folder in fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()) {
        if !folder.is_dir() {
            continue;
        }
        folders += 1;
        let index: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
        for row in &index {
            let (name, message) = (row["name"].as_str().unwrap(), row["message"].as_str().unwrap());
            let bytes = fs::read(folder.join(format!("{name}.bin"))).unwrap();
            let full = format!("etcdserverpb.{message}");
            assert_eq!(decode(&full, &bytes, Style::Golden), row["fields"], "{name}");
            assert_eq!(hex(&encode(&full, &row["fields"], Style::Golden)), hex(&bytes), "{name}");
            assert_eq!(hex(&again(message, &bytes)), hex(&bytes), "{name}");
        }
        // A file too many would be one that nobody reads.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), index.len() + 1, "{}", folder.display());
    }
    assert!(folders > 0);
}

#[test]
fn golden_vectors_of_rust_are_those_of_the_table() {
    bless();
    let folder = directory().join("rust");
    assert_eq!(fs::read_to_string(folder.join("index.json")).unwrap_or_default(), index(), "ETCLITE_BLESS=1 writes it");
    for (name, message, fields) in rows() {
        let bytes = fs::read(folder.join(format!("{name}.bin"))).unwrap_or_default();
        assert_eq!(hex(&bytes), hex(&written(message, &fields)), "{name}");
    }
}

fn written(message: &str, fields: &Value) -> Vec<u8> {
    again(message, &encode(&format!("etcdserverpb.{message}"), fields, Style::Golden))
}

fn index() -> String {
    let line = |(name, message, fields): (&str, &str, Value)| {
        format!("{{\"name\":\"{name}\",\"message\":\"{message}\",\"fields\":{fields}}}")
    };
    format!("[\n{}\n]\n", rows().into_iter().map(line).collect::<Vec<_>>().join(",\n"))
}

fn bless() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("ETCLITE_BLESS").is_none() {
            return;
        }
        let folder = directory().join("rust");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("index.json"), index()).unwrap();
        for (name, message, fields) in rows() {
            fs::write(folder.join(format!("{name}.bin")), written(message, &fields)).unwrap();
        }
    });
}

/// Name, kind and fields of each vector: the edges of every type of field, and answers as this store gives them.
fn rows() -> Vec<(&'static str, &'static str, Value)> {
    let header = |revision: &str| json!({"cluster_id": "9223372036854775809", "member_id": "1", "revision": revision, "raft_term": "1"});
    let kv = json!({"key": "71316d69", "create_revision": "2", "mod_revision": "3", "version": "2", "value": "647362"});
    let long = hex(&[0xa5; 300]);
    let put = |key: &str| json!({"request_put": {"key": key, "value": "31"}});
    let nested = json!({"request_txn": {"compare": [{"key": "61", "version": "0"}],
        "success": [{"request_txn": {"failure": [{"request_range": {}}]}}], "failure": [{}]}});
    vec![
        ("range_prefix_ff", "RangeRequest", json!({"key": "ffff", "range_end": "00"})),
        ("range_least", "RangeRequest", json!({"key": "00", "range_end": "00", "limit": "-9223372036854775808"})),
        ("range_unknown_sort", "RangeRequest", json!({"key": "61", "sort_order": "3", "sort_target": "-1"})),
        (
            "range_answer_page",
            "RangeResponse",
            json!({"header": header("7"), "kvs": [kv, kv], "more": true, "count": "3"}),
        ),
        (
            "range_answer_keys_only",
            "RangeResponse",
            json!({"header": header("7"), "count": "1",
            "kvs": [{"key": "61", "create_revision": "2", "mod_revision": "2", "version": "1", "lease": "-9223372036854775808"}]}),
        ),
        ("range_answer_count", "RangeResponse", json!({"header": header("1099511627776"), "count": "128"})),
        ("put_without_value", "PutRequest", json!({"key": "6b"})),
        ("put_of_nothing", "PutRequest", json!({})),
        ("put_long_key", "PutRequest", json!({"key": long, "value": "00"})),
        ("put_answer_prev", "PutResponse", json!({"header": header("3"), "prev_kv": kv})),
        ("put_answer_prev_empty", "PutResponse", json!({"header": header("3"), "prev_kv": {}})),
        ("delete_prefix", "DeleteRangeRequest", json!({"key": "61", "range_end": "62"})),
        (
            "delete_answer_prev",
            "DeleteRangeResponse",
            json!({"header": header("4"), "deleted": "2", "prev_kvs": [kv, {}]}),
        ),
        ("txn_nested", "TxnRequest", json!({"success": [nested, put("61")], "failure": [put("62")]})),
        (
            "txn_operands",
            "TxnRequest",
            json!({"compare": [
            {"key": "61"},
            {"key": "61", "version": "-1"},
            {"key": "61", "target": "1", "result": "1", "create_revision": "0"},
            {"key": "61", "target": "2", "result": "2", "mod_revision": "9223372036854775807"},
            {"key": "61", "target": "3", "result": "3", "value": ""},
            {"key": "61", "target": "4", "lease": "7", "range_end": "62"},
            {"key": "61", "target": "3", "version": "5"},
            {"target": "9", "result": "9"}]}),
        ),
        (
            "txn_answer_nested",
            "TxnResponse",
            json!({"header": header("9"), "succeeded": true, "responses": [
            {"response_put": {"header": {"revision": "9"}}},
            {"response_delete_range": {"header": {"revision": "9"}, "deleted": "1", "prev_kvs": [kv]}},
            {"response_range": {"header": {"revision": "9"}, "kvs": [kv], "count": "1"}},
            {"response_txn": {"header": {}, "responses": [{"response_put": {}}, {}]}}]}),
        ),
        ("compact_negative", "CompactionRequest", json!({"revision": "-1", "physical": true})),
        ("compact_answer_head", "CompactionResponse", json!({"header": header("300")})),
        ("grant_drawn", "LeaseGrantRequest", json!({"TTL": "5"})),
        ("grant_negative", "LeaseGrantRequest", json!({"TTL": "-1", "ID": "-7"})),
        (
            "grant_answer_drawn",
            "LeaseGrantResponse",
            json!({"header": header("1"), "ID": "7587861684677509104", "TTL": "5"}),
        ),
        ("revoke_negative", "LeaseRevokeRequest", json!({"ID": "-1"})),
        ("revoke_answer_head", "LeaseRevokeResponse", json!({"header": header("2")})),
        ("keepalive_negative", "LeaseKeepAliveRequest", json!({"ID": "-1"})),
        ("keepalive_answer_gone", "LeaseKeepAliveResponse", json!({"header": header("2"), "ID": "7"})),
        ("ttl_without_keys", "LeaseTimeToLiveRequest", json!({"ID": "7"})),
        (
            "ttl_answer_keys",
            "LeaseTimeToLiveResponse",
            json!({"header": header("2"), "ID": "7", "TTL": "4", "grantedTTL": "5",
            "keys": ["61", "", long]}),
        ),
        ("ttl_answer_missing", "LeaseTimeToLiveResponse", json!({"header": header("2"), "ID": "7", "TTL": "-1"})),
        ("leases_answer_two", "LeaseLeasesResponse", json!({"header": header("2"), "leases": [{"ID": "-7"}, {}]})),
        (
            "status_answer_alone",
            "StatusResponse",
            json!({"header": header("7"), "version": "3.7.1", "dbSize": "65536",
            "leader": "1", "raftIndex": "7", "raftTerm": "1", "raftAppliedIndex": "7", "dbSizeInUse": "4096",
            "storageVersion": "3.7.0", "errors": ["an earlier write failed"], "dbSizeQuota": "2147483648"}),
        ),
        ("hashkv_at", "HashKVRequest", json!({"revision": "300"})),
        (
            "hashkv_answer_greatest",
            "HashKVResponse",
            json!({"header": header("300"), "hash": "4294967295",
            "compact_revision": "2", "hash_revision": "300"}),
        ),
        (
            "watch_create_filters",
            "WatchCreateRequest",
            json!({"key": "00", "range_end": "00", "filters": ["0", "1", "5"]}),
        ),
        ("watch_create_negative", "WatchCreateRequest", json!({"key": "61", "start_revision": "-1", "watch_id": "-1"})),
        (
            "watch_answer_batch",
            "WatchResponse",
            json!({"header": header("9"), "watch_id": "3", "events": [
            {"kv": kv}, {"type": "1", "kv": {"key": "61", "mod_revision": "9"}, "prev_kv": kv}]}),
        ),
        ("watch_answer_progress", "WatchResponse", json!({"header": header("9"), "watch_id": "-1"})),
        (
            "watch_answer_compacted",
            "WatchResponse",
            json!({"watch_id": "3", "canceled": true, "compact_revision": "7",
            "cancel_reason": "etcdserver: mvcc: required revision has been compacted"}),
        ),
    ]
}
