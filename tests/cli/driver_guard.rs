//! What guards writes: `fence`, `held`, operation ids; and lease operations in a txn.

use serde_json::{Value, json};

use crate::driver::{Driver, assert_fails};

const OP_ID: &str = "00112233445566778899aAbBcCdDeEfF";

fn locked(driver: &mut Driver, name: &str) -> Value {
    driver.call(json!({"cmd": "lock", "name": name}))["token"].clone()
}

#[test]
fn x_01_a_fence_lets_through_while_the_lock_is_held() {
    let mut driver = Driver::in_memory();
    let (n, m) = (locked(&mut driver, "n"), locked(&mut driver, "m"));
    let kv = json!({"key": "a", "value": "1", "create_revision": 4, "mod_revision": 4, "version": 1});
    expect!(driver,
        {"cmd": "put", "key": "a", "value": "1", "fence": n} => {"ok": true, "revision": 4}
        {"cmd": "put", "key": "a", "value": "2", "prev_kv": true, "fence": [n, m]} =>
            {"ok": true, "revision": 5, "prev": kv}
        {"cmd": "del", "key": "a", "fence": [m]} => {"ok": true, "revision": 6, "deleted": 1}
        {"cmd": "txn", "fence": n, "then": [{"cmd": "put", "key": "a", "value": "3"}]} =>
            {"ok": true, "revision": 7, "succeeded": true, "responses": [{"cmd": "put"}]}
        {"cmd": "txn", "when": [{"held": n}, {"held": m}], "then": [{"cmd": "get", "key": "b"}]} =>
            {"ok": true, "revision": 7, "succeeded": true, "responses": [{"cmd": "get", "found": false}]}
        {"cmd": "unlock", "lock": 2} => {"ok": true, "revision": 8}
        {"cmd": "txn", "when": [{"held": n}, {"held": m}], "else": [{"cmd": "put", "key": "b", "value": "1"}]} =>
            {"ok": true, "revision": 9, "succeeded": false, "responses": [{"cmd": "put"}]}
    );
    refuse!(driver, "SESSION_EXPIRED" -27:
        {"cmd": "put", "key": "a", "value": "x", "fence": m}
        {"cmd": "put", "key": "a", "value": "x", "fence": [n, m]}
        {"cmd": "del", "key": "a", "fence": m}
        {"cmd": "txn", "fence": m}
        {"cmd": "txn", "fence": {"key": "none", "revision": 2, "lease": "1"}, "else": [{"cmd": "put", "key": "a", "value": "x"}]}
    );
    expect!(driver, {"cmd": "put", "key": "a", "value": "4", "fence": []} => {"ok": true, "revision": 10});
}

#[test]
fn x_03_a_repetition_gets_the_first_answer() {
    let mut driver = Driver::in_memory();
    let put = json!({"cmd": "put", "key": "a", "value": "1", "op_id": OP_ID, "since": 1, "prev_kv": true});
    let lower = json!({"cmd": "put", "key": "a", "value": "1", "op_id": OP_ID.to_lowercase(), "prev_kv": true});
    assert_eq!(driver.call(put.clone()), json!({"ok": true, "revision": 2}));
    driver.call(json!({"cmd": "put", "key": "a", "value": "2"}));
    assert_eq!(driver.call(put), json!({"ok": true, "revision": 2, "replayed": true}));
    assert_eq!(driver.call(lower), json!({"ok": true, "revision": 2, "replayed": true}));
    // The same id for something else is a mistake.
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "put", "key": "a", "value": "x", "op_id": OP_ID});
    expect!(driver, {"cmd": "get", "key": "a", "keys_only": true} => {"ok": true, "revision": 3, "found": true,
        "kv": {"key": "a", "create_revision": 2, "mod_revision": 3, "version": 2}});
}

/// A grant makes no revision, so the store's is told: of then, not of when it is asked again.
#[test]
fn x_03_a_repeated_grant_tells_the_first_revision() {
    let mut driver = Driver::in_memory();
    let grant = json!({"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "ab", "op_id": OP_ID});
    let first = json!({"ok": true, "revision": 1, "lease": "ab", "granted_ms": 60_000});
    assert_eq!(driver.call(grant.clone()), first);
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    let again = json!({"ok": true, "revision": 1, "lease": "ab", "granted_ms": 60_000, "replayed": true});
    assert_eq!(driver.call(grant), again);
}

#[test]
fn x_03_each_write_takes_an_id() {
    let mut driver = Driver::in_memory();
    let token = locked(&mut driver, "n");
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    let twice = |driver: &mut Driver, number: u64, mut request: Value, answer: Value| {
        request["op_id"] = format!("{number:032x}").into();
        assert_eq!(driver.call(request.clone()), answer);
        let mut replayed = answer;
        replayed["replayed"] = true.into();
        assert_eq!(driver.call(request), replayed);
    };
    let kv = json!({"key": "a", "value": "1", "create_revision": 3, "mod_revision": 3, "version": 1});
    twice(
        &mut driver,
        1,
        json!({"cmd": "del", "key": "a", "prev_kv": true}),
        json!({"ok": true, "revision": 4, "deleted": 1, "prevs": [kv]}),
    );
    twice(
        &mut driver,
        2,
        json!({"cmd": "txn", "when": [{"key": "a", "target": "version", "is": "=", "number": 0}],
        "then": [{"cmd": "put", "key": "a", "value": "2"}, {"cmd": "get", "key": "a", "keys_only": true}]}),
        json!({"ok": true, "revision": 5, "succeeded": true, "responses": [{"cmd": "put"}, {"cmd": "get", "found": true,
            "kv": {"key": "a", "create_revision": 5, "mod_revision": 5, "version": 1}}]}),
    );
    // A failed compare is an answer, too.
    twice(
        &mut driver,
        3,
        json!({"cmd": "txn", "when": [{"key": "a", "target": "version", "is": "=", "number": 0}],
        "then": [{"cmd": "put", "key": "a", "value": "3"}]}),
        json!({"ok": true, "revision": 5, "succeeded": false, "responses": []}),
    );
    twice(
        &mut driver,
        4,
        json!({"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "ab"}),
        json!({"ok": true, "revision": 5, "lease": "ab", "granted_ms": 60_000}),
    );
    twice(&mut driver, 5, json!({"cmd": "lease_revoke", "lease": "ab"}), json!({"ok": true, "revision": 5}));
    twice(
        &mut driver,
        6,
        json!({"cmd": "put", "key": "f", "value": "1", "fence": token}),
        json!({"ok": true, "revision": 6}),
    );
    twice(
        &mut driver,
        7,
        json!({"cmd": "del", "key": "f", "fence": [token]}),
        json!({"ok": true, "revision": 7, "deleted": 1}),
    );
    // The id is looked up before the fence.
    driver.call(json!({"cmd": "unlock", "lock": 1}));
    let again = json!({"cmd": "put", "key": "f", "value": "1", "fence": token, "op_id": format!("{:032x}", 6)});
    assert_eq!(driver.call(again), json!({"ok": true, "revision": 6, "replayed": true}));
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "txn", "then": [{"cmd": "get", "key": "a"}], "op_id": OP_ID});
    // An error leaves the id free.
    let lost = json!({"cmd": "put", "key": "g", "value": "1", "lease": "dead", "op_id": OP_ID});
    assert_fails(&driver.call(lost), "LEASE_NOT_FOUND", -23);
    expect!(driver, {"cmd": "put", "key": "g", "value": "1", "op_id": OP_ID} => {"ok": true, "revision": 9});
}

#[test]
fn x_03_ids_survive_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let put = json!({"cmd": "put", "key": "a", "value": "1", "op_id": OP_ID, "since": 1});
    let mut driver = Driver::on(&store);
    driver.call(put.clone());
    driver.kill();
    driver.ended();
    assert_eq!(Driver::on(&store).call(put), json!({"ok": true, "revision": 2, "replayed": true}));
}

#[test]
fn x_08_leases_are_granted_and_revoked_in_a_txn() {
    let mut driver = Driver::in_memory();
    expect!(driver,
        {"cmd": "txn", "then": [{"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "7", "lock_delay_ms": 10},
            {"cmd": "put", "key": "a", "value": "1", "lease": "7"}]} =>
            {"ok": true, "revision": 2, "succeeded": true, "responses": [
                {"cmd": "lease_grant", "lease": "7", "granted_ms": 60_000}, {"cmd": "put"}]}
        {"cmd": "txn", "then": [{"cmd": "lease_revoke", "lease": "7"}, {"cmd": "get", "key": "a"}]} =>
            {"ok": true, "revision": 3, "succeeded": true, "responses": [
                {"cmd": "lease_revoke"}, {"cmd": "get", "found": false}]}
    );
    refuse!(driver, "LEASE_NOT_FOUND" -23: {"cmd": "txn", "then": [{"cmd": "lease_revoke", "lease": "7"}]});
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "txn", "then": [{"cmd": "lease_grant", "ttl_ms": 1}]}
        {"cmd": "txn", "then": [{"cmd": "lease_grant", "lease": "7"}]}
        {"cmd": "txn", "then": [{"cmd": "lease_revoke"}]}
        {"cmd": "txn", "then": [{"cmd": "lease_revoke", "lease": "7", "op_id": OP_ID}]}
    );
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
        "+0112233445566778899aabbccddeeff",
        "000112233445566778899aabbccddeeff",
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
        {"cmd": "put", "key": "a", "value": "1", "since": 1}
        {"cmd": "put", "key": "a", "value": "1", "op_id": OP_ID, "since": -1}
        {"cmd": "get", "key": "a", "op_id": OP_ID}
        {"cmd": "compact", "rev": 1, "op_id": OP_ID}
        {"cmd": "lease_keepalive", "lease": "1", "op_id": OP_ID}
        {"cmd": "lease_grant", "ttl_ms": 1, "fence": []}
        {"cmd": "lock", "name": "n", "op_id": OP_ID}
    );
    assert_eq!(driver.call(json!({"cmd": "revision"}))["revision"], 1);
}
