//! Commands of promises that the engine does not keep yet: read strictly, answered `UNSUPPORTED`, nothing done.

use serde_json::{Value, json};

use crate::driver::{Driver, assert_fails};

/// Each command once with all its fields, and the fields that it must have.
fn commands() -> Vec<(Value, &'static [&'static str])> {
    let token = json!({"key": "n/1", "revision": 2, "lease": "1"});
    vec![
        (json!({"cmd": "put", "key": "a", "value": "1", "fence": token}), &["key", "value"]),
        (json!({"cmd": "put", "key": "a", "value": "1", "fence": [token, token]}), &["key", "value"]),
        (json!({"cmd": "put", "key": "a", "value": "1", "ttl_ms": 5}), &["key", "value"]),
        (json!({"cmd": "put", "key": "a", "value": "1", "op_id": OP_ID, "since": 1}), &["key", "value", "op_id"]),
        (json!({"cmd": "del", "key": "a", "fence": token, "op_id": OP_ID}), &["key"]),
        (json!({"cmd": "txn", "fence": token, "op_id": OP_ID}), &[]),
        (json!({"cmd": "txn", "when": [{"held": token}]}), &[]),
        (json!({"cmd": "txn", "then": [{"cmd": "lease_grant", "ttl_ms": 1, "lease": "1", "lock_delay_ms": 0}]}), &[]),
        (json!({"cmd": "txn", "else": [{"cmd": "lease_revoke", "lease": "1"}]}), &[]),
        (json!({"cmd": "txn", "then": [{"cmd": "put", "key": "a", "value": "1", "ttl_ms": 5}]}), &[]),
        (json!({"cmd": "txn", "then": [{"cmd": "cursor_advance", "name": "c", "from": 1, "to": 2}]}), &[]),
        (json!({"cmd": "lease_grant", "ttl_ms": 1, "lock_delay_ms": 1}), &["ttl_ms"]),
        (json!({"cmd": "lease_grant", "ttl_ms": 1, "op_id": OP_ID}), &["ttl_ms"]),
        (json!({"cmd": "lease_revoke", "lease": "1", "op_id": OP_ID}), &["lease"]),
        (json!({"cmd": "session", "ttl_ms": 1, "lease": "1", "lock_delay_ms": 1}), &[]),
        (json!({"cmd": "session_alive", "session": 1}), &["session"]),
        (json!({"cmd": "session_close", "session": 1, "revoke": false}), &["session"]),
        (json!({"cmd": "lock", "name": "n", "session": 1, "timeout_ms": 0}), &["name"]),
        (json!({"cmd": "unlock", "lock": 1}), &["lock"]),
        (json!({"cmd": "lock_held", "lock": 1}), &["lock"]),
        (json!({"cmd": "elect", "name": "n", "value": "v", "session": 1, "timeout_ms": -1}), &["name", "value"]),
        (json!({"cmd": "proclaim", "election": 1, "value": "v"}), &["election", "value"]),
        (json!({"cmd": "resign", "election": 1}), &["election"]),
        (json!({"cmd": "leader", "name_b64": "/w=="}), &["name_b64"]),
        (json!({"cmd": "cursor_create", "name": "c", "key": "a", "prefix": true, "rev": 1}), &["name", "key"]),
        (json!({"cmd": "cursor_advance", "name": "c", "from": 1, "to": 2, "op_id": OP_ID}), &["name", "from", "to"]),
        (json!({"cmd": "cursor_reset", "name": "c", "to": 2}), &["name", "to"]),
        (json!({"cmd": "cursor_drop", "name": "c"}), &["name"]),
        (json!({"cmd": "cursor_list"}), &[]),
        (
            json!({"cmd": "retain", "name": "r", "prefix": "p/", "keep_age_ms": 1, "keep_revisions": 1, "drop": false}),
            &["name", "prefix"],
        ),
        (json!({"cmd": "refresh"}), &[]),
    ]
}

const OP_ID: &str = "00112233445566778899aAbBcCdDeEfF";

#[test]
fn they_are_unsupported() {
    let mut driver = Driver::in_memory();
    for (request, _) in commands() {
        assert_fails(&driver.call(request), "UNSUPPORTED", -85);
    }
    assert_eq!(driver.call(json!({"cmd": "revision"}))["revision"], 1);
    assert_eq!(driver.call(json!({"cmd": "lease_list"}))["leases"], json!([]));
}

#[test]
fn they_are_read_strictly() {
    let mut driver = Driver::in_memory();
    for (request, needed) in commands() {
        let mut unknown = request.clone();
        unknown["unknown"] = 1.into();
        assert_fails(&driver.call(unknown), "INVALID_ARGUMENT", -1);
        for field in needed {
            let mut without = request.clone();
            without.as_object_mut().unwrap().shift_remove(*field);
            assert_fails(&driver.call(without), "INVALID_ARGUMENT", -1);
        }
        for field in request.as_object().unwrap().keys().filter(|field| *field != "cmd") {
            let mut ill_typed = request.clone();
            ill_typed[field] = 1.5.into();
            assert_fails(&driver.call(ill_typed), "INVALID_ARGUMENT", -1);
        }
    }
}

#[test]
fn ids_and_tokens_are_read_strictly() {
    let mut driver = Driver::in_memory();
    for op_id in [
        "",
        "0",
        "00000000000000000000000000000000",
        "00112233445566778899aabbccddeef",
        "g0112233445566778899aabbccddeeff",
    ] {
        refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "put", "key": "a", "value": "1", "op_id": op_id});
    }
    for token in [
        json!({}),
        json!({"key": "a", "revision": 2}),
        json!({"key": "a", "lease": "1"}),
        json!({"revision": 2, "lease": "1"}),
        json!({"key": "a", "revision": -1, "lease": "1"}),
        json!({"key": "a", "revision": 2, "lease": "1", "x": 1}),
        json!({"key": "a", "revision": 2, "lease": 1}),
        json!([1]),
    ] {
        refuse!(driver, "INVALID_ARGUMENT" -1:
            {"cmd": "put", "key": "a", "value": "1", "fence": token}
            {"cmd": "txn", "when": [{"held": token}]}
        );
    }
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "get", "key": "a", "op_id": OP_ID}
        {"cmd": "compact", "rev": 1, "op_id": OP_ID}
        {"cmd": "lease_keepalive", "lease": "1", "op_id": OP_ID}
        {"cmd": "lock", "name": "n", "timeout_ms": -2}
    );
    // No fence and no delay are nothing to refuse.
    expect!(driver,
        {"cmd": "put", "key": "a", "value": "1", "fence": []} => {"ok": true, "revision": 2}
        {"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "1", "lock_delay_ms": 0} =>
            {"ok": true, "revision": 2, "lease": "1", "granted_ms": 60_000}
    );
}
