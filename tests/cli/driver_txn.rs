//! `txn`: each compare and each operation sent, each result compared.

use serde_json::{Value, json};

use crate::driver::{Driver, assert_fails};

#[test]
fn branches_answer_their_operations() {
    let mut driver = Driver::in_memory();
    let kv = json!({"key": "a", "value": "1", "create_revision": 2, "mod_revision": 2, "version": 1});
    expect!(driver,
        {"cmd": "txn"} => {"ok": true, "revision": 1, "succeeded": true, "responses": []}
        {"cmd": "txn", "then": [{"cmd": "put", "key": "a", "value": "1", "prev_kv": true}]} =>
            {"ok": true, "revision": 2, "succeeded": true, "responses": [{"cmd": "put"}]}
        {"cmd": "txn", "when": [{"key": "a", "target": "version", "is": "=", "number": 7}],
            "then": [{"cmd": "del", "key": "a"}],
            "else": [{"cmd": "get", "key": "a"}, {"cmd": "get", "key": "b"}, {"cmd": "range", "key": "", "prefix": true},
                {"cmd": "range", "key": "a", "count_only": true}, {"cmd": "get", "key": "a", "keys_only": true}]} =>
            {"ok": true, "revision": 2, "succeeded": false, "responses": [
                {"cmd": "get", "found": true, "kv": kv}, {"cmd": "get", "found": false},
                {"cmd": "range", "kvs": [kv], "count": 1, "more": false},
                {"cmd": "range", "kvs": [], "count": 1, "more": false},
                {"cmd": "get", "found": true,
                    "kv": {"key": "a", "create_revision": 2, "mod_revision": 2, "version": 1}}]}
        {"cmd": "txn", "then": [{"cmd": "del", "key": "a", "prev_kv": true}, {"cmd": "del", "key": "a"},
            {"cmd": "put", "key": "b", "value": "2"}, {"cmd": "txn", "when": [{"key": "b", "target": "create", "is": ">",
            "number": 0}], "then": [{"cmd": "get", "key": "a"}], "else": [{"cmd": "get", "key": "b"}]}]} =>
            {"ok": true, "revision": 3, "succeeded": true, "responses": [
                {"cmd": "del", "deleted": 1, "prevs": [kv]}, {"cmd": "del", "deleted": 0}, {"cmd": "put"},
                {"cmd": "txn", "succeeded": false, "responses": [{"cmd": "get", "found": true, "kv":
                    {"key": "b", "value": "2", "create_revision": 3, "mod_revision": 3, "version": 1}}]}]}
    );
}

#[test]
fn compares_take_their_operand() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "ffffffffffffffff"}));
    driver.call(json!({"cmd": "put", "key": "a", "value": "m"}));
    driver.call(json!({"cmd": "put", "key": "a", "value": "m", "lease": "ffffffffffffffff"}));
    let mut holds = |compare: Value| {
        let answer = driver.call(json!({"cmd": "txn", "when": [compare]}));
        assert_eq!((&answer["ok"], &answer["revision"]), (&json!(true), &json!(3)), "{answer}");
        answer["succeeded"].as_bool().unwrap()
    };
    for (target, operand, value) in [
        ("version", "number", json!(2)),
        ("create", "number", json!(2)),
        ("mod", "number", json!(3)),
        ("value", "value", json!("m")),
        ("value", "value_b64", json!("bQ==")),
        ("lease", "lease", json!("ffffffffffffffff")),
    ] {
        for (is, expected) in [("=", true), ("!=", false), ("<", false), (">", false)] {
            assert_eq!(
                holds(json!({"key": "a", "target": target, "is": is, operand: value})),
                expected,
                "{target} {is}"
            );
        }
    }
    assert!(holds(json!({"key": "a", "target": "mod", "is": "<", "number": i64::MAX})));
    assert!(holds(json!({"key": "a", "target": "mod", "is": ">", "number": i64::MIN})));
    assert!(holds(json!({"key": "a", "target": "value", "is": ">", "value": "l"})));
    assert!(holds(json!({"key": "none", "target": "lease", "is": "=", "lease": "0"})));
    assert!(!holds(json!({"key": "none", "target": "value", "is": "!=", "value": "x"})));
    assert!(holds(json!({"key": "a", "prefix": true, "target": "version", "is": "=", "number": 2})));
    assert!(holds(json!({"key": "b", "from_key": true, "target": "version", "is": "=", "number": 0})));
    assert!(holds(json!({"key": "a", "end": "b", "target": "mod", "is": "=", "number": 3})));
}

#[test]
fn compares_are_read_strictly() {
    let mut driver = Driver::in_memory();
    for compare in [
        json!({}),
        json!(1),
        json!({"key": "a", "target": "version", "is": "="}),
        json!({"key": "a", "target": "version", "is": "=", "value": "1"}),
        json!({"key": "a", "target": "version", "is": "=", "number": "1"}),
        json!({"key": "a", "target": "version", "is": "==", "number": 1}),
        json!({"key": "a", "target": "size", "is": "=", "number": 1}),
        json!({"key": "a", "target": "value", "is": "=", "number": 1}),
        json!({"key": "a", "target": "value", "is": "=", "value": "x", "number": 1}),
        json!({"key": "a", "target": "lease", "is": "=", "number": 1}),
        json!({"key": "a", "is": "=", "number": 1}),
        json!({"key": "a", "target": "version", "number": 1}),
        json!({"target": "version", "is": "=", "number": 1}),
        json!({"held": {"key": "a", "revision": 1}}),
        json!({"held": {"key": "a", "revision": 1, "lease": "1"}, "key": "a"}),
    ] {
        let answer =
            driver.call(json!({"cmd": "txn", "when": [compare], "then": [{"cmd": "put", "key": "a", "value": "1"}]}));
        assert_fails(&answer, "INVALID_ARGUMENT", -1);
    }
    refuse!(driver, "EMPTY_KEY" -2: {"cmd": "txn", "when": [{"key": "", "target": "version", "is": "=", "number": 0}]});
}

#[test]
fn operations_are_read_strictly() {
    let mut driver = Driver::in_memory();
    for op in [
        json!({"key": "a", "value": "1"}),
        json!({"cmd": "compact", "rev": 1}),
        json!({"cmd": "watch", "key": "a"}),
        json!({"cmd": "put", "key": "a", "value": "1", "id": 1}),
        json!({"cmd": "put", "key": "a", "value": "1", "client": 1}),
        json!({"cmd": "put", "key": "a", "value": "1", "fence": []}),
        json!({"cmd": "put", "key": "a", "value": "1", "op_id": "00112233445566778899aabbccddeeff"}),
        json!({"cmd": "put", "key": "a"}),
        json!({"cmd": "txn", "then": [{"cmd": "get"}]}),
        json!({"cmd": "txn", "else": {}}),
        json!("put"),
    ] {
        let good = json!({"cmd": "put", "key": "b", "value": "1"});
        assert_fails(&driver.call(json!({"cmd": "txn", "then": [good, op]})), "INVALID_ARGUMENT", -1);
        assert_fails(&driver.call(json!({"cmd": "txn", "else": [op]})), "INVALID_ARGUMENT", -1);
    }
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "txn", "then": {}} {"cmd": "txn", "when": "x"});
    expect!(driver, {"cmd": "range", "key": "", "prefix": true} =>
        {"ok": true, "revision": 1, "kvs": [], "count": 0, "more": false});
}

#[test]
fn a_failure_fails_it_whole() {
    let mut driver = Driver::in_memory();
    let put = json!({"cmd": "put", "key": "a", "value": "1"});
    refuse!(driver, "DUPLICATE_KEY" -4: {"cmd": "txn", "then": [put, put]});
    refuse!(driver, "LEASE_NOT_FOUND" -23:
        {"cmd": "txn", "then": [put, {"cmd": "put", "key": "b", "value": "1", "lease": "1"}]});
    refuse!(driver, "FUTURE_REVISION" -21: {"cmd": "txn", "then": [put, {"cmd": "get", "key": "a", "rev": 2}]});
    refuse!(driver, "EMPTY_KEY" -2: {"cmd": "txn", "then": [put, {"cmd": "get", "key": ""}]});
    refuse!(driver, "VALUE_PROVIDED" -7:
        {"cmd": "txn", "else": [{"cmd": "put", "key": "a", "value": "x", "ignore_value": true}]});
    expect!(driver, {"cmd": "get", "key": "a"} => {"ok": true, "revision": 1, "found": false});
}

#[test]
fn txns_nest_as_deep_as_the_store_takes_them() {
    let nested = |depth: usize| {
        let leaf = json!({"cmd": "put", "key": "a", "value": "1"});
        (0..depth).fold(leaf, |inner, _| json!({"cmd": "txn", "then": [inner]}))
    };
    let mut driver = Driver::in_memory();
    driver.raw(nested(128).to_string());
    // Deeper than a parser with default settings reads.
    let answer = driver.line();
    assert!(answer.starts_with(r#"{"ok":true,"revision":2,"succeeded":true,"responses":[{"cmd":"txn""#), "{answer}");
    assert_eq!(answer.matches("succeeded").count(), 128);
    assert_fails(&driver.call(nested(129)), "TOO_MANY_OPS", -3);
    // Deeper than anything that could be meant.
    driver.raw([r#"{"cmd":"txn","then":["#.repeat(10_000), "]}".repeat(10_000)].concat());
    let answer = driver.next();
    assert_fails(&answer, "INVALID_ARGUMENT", -1);
    assert_eq!(answer["line"], 3);
}
