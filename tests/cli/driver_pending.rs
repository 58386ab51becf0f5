//! Commands of promises that the engine does not keep yet: read strictly, answered `UNSUPPORTED`, nothing done.

use serde_json::{Value, json};

use crate::driver::{Driver, assert_fails};

/// Each command once with all its fields, and the fields that it must have.
fn commands() -> Vec<(Value, &'static [&'static str])> {
    vec![
        (json!({"cmd": "put", "key": "a", "value": "1", "ttl_ms": 5}), &["key", "value"]),
        (json!({"cmd": "txn", "then": [{"cmd": "put", "key": "a", "value": "1", "ttl_ms": 5}]}), &[]),
        (json!({"cmd": "txn", "then": [{"cmd": "cursor_advance", "name": "c", "from": 1, "to": 2}]}), &[]),
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
