//! `lease_grant`, `lease_revoke`, `lease_keepalive`, `lease_ttl`, `lease_list`.

use serde_json::{Value, json};

use crate::driver::Driver;

/// Takes a time that passes out of an answer, once it is known to be within bounds.
#[track_caller]
fn without_remaining(mut answer: Value, most: u64) -> Value {
    let remaining = answer.as_object_mut().unwrap().shift_remove("remaining_ms").unwrap().as_u64().unwrap();
    assert!(remaining <= most && remaining > most / 2, "{remaining}");
    answer
}

#[test]
fn leases_are_granted_looked_at_and_revoked() {
    let mut driver = Driver::in_memory();
    expect!(driver,
        {"cmd": "lease_list"} => {"ok": true, "revision": 1, "leases": []}
        {"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "5f1c"} =>
            {"ok": true, "revision": 1, "lease": "5f1c", "granted_ms": 60_000}
        {"cmd": "lease_keepalive", "lease": "5f1c"} => {"ok": true, "revision": 1, "alive": true, "granted_ms": 60_000}
        {"cmd": "put", "key": "b", "value": "1", "lease": "5f1c"} => {"ok": true, "revision": 2}
        {"cmd": "put", "key_b64": "/w==", "value": "1", "lease": "05f1c"} => {"ok": true, "revision": 3}
    );
    let told = driver.call(json!({"cmd": "lease_ttl", "lease": "5f1c"}));
    assert_eq!(
        without_remaining(told, 60_000),
        json!({"ok": true, "revision": 3, "alive": true, "granted_ms": 60_000})
    );
    let told = driver.call(json!({"cmd": "lease_ttl", "lease": "5f1c", "keys": true}));
    assert_eq!(
        without_remaining(told, 60_000),
        json!({"ok": true, "revision": 3, "alive": true, "granted_ms": 60_000,
        "keys": [{"key": "b"}, {"key_b64": "/w=="}]})
    );
    let mut listed = driver.call(json!({"cmd": "lease_list"}));
    let lease = without_remaining(listed["leases"][0].take(), 60_000);
    assert_eq!(lease, json!({"lease": "5f1c", "granted_ms": 60_000, "keys": 2}));
    expect!(driver,
        {"cmd": "lease_revoke", "lease": "5f1c"} => {"ok": true, "revision": 4}
        {"cmd": "lease_ttl", "lease": "5f1c", "keys": true} => {"ok": true, "revision": 4, "alive": false}
        {"cmd": "lease_keepalive", "lease": "5f1c"} => {"ok": true, "revision": 4, "alive": false}
        {"cmd": "range", "key": "", "prefix": true} => {"ok": true, "revision": 4, "kvs": [], "count": 0, "more": false}
    );
    refuse!(driver, "LEASE_NOT_FOUND" -23: {"cmd": "lease_revoke", "lease": "5f1c"});
}

#[test]
fn ids_are_64_bits_in_hex() {
    let mut driver = Driver::in_memory();
    expect!(driver,
        {"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "fffffffffffffff9"} =>
            {"ok": true, "revision": 1, "lease": "fffffffffffffff9", "granted_ms": 60_000}
        {"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "000000000000000000000000000000001"} =>
            {"ok": true, "revision": 1, "lease": "1", "granted_ms": 60_000}
        {"cmd": "lease_keepalive", "lease": "0"} => {"ok": true, "revision": 1, "alive": false}
    );
    let granted = driver.call(json!({"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "0"}));
    let id = granted["lease"].as_str().unwrap();
    assert!(id != "0" && u64::from_str_radix(id, 16).is_ok_and(|id| i64::try_from(id).is_ok()), "{granted}");
    refuse!(driver, "LEASE_EXISTS" -24: {"cmd": "lease_grant", "ttl_ms": 1, "lease": "1"});
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "lease_revoke", "lease": 1}
        {"cmd": "lease_revoke", "lease": ""}
        {"cmd": "lease_revoke", "lease": "-1"}
        {"cmd": "lease_revoke", "lease": "0x1"}
        {"cmd": "lease_revoke", "lease": "AB"}
        {"cmd": "lease_revoke", "lease": "1ffffffffffffffff"}
        {"cmd": "lease_revoke"}
        {"cmd": "lease_ttl"}
        {"cmd": "lease_keepalive"}
        {"cmd": "lease_list", "keys": true}
    );
}

#[test]
fn times_to_live_are_milliseconds() {
    let mut driver = Driver::in_memory();
    expect!(driver, {"cmd": "lease_grant", "ttl_ms": 0, "lease": "1"} =>
        {"ok": true, "revision": 1, "lease": "1", "granted_ms": 1});
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "lease_grant"}
        {"cmd": "lease_grant", "ttl_ms": -1}
        {"cmd": "lease_grant", "ttl_ms": 1.5}
        {"cmd": "lease_grant", "ttl_ms": "1"}
        {"cmd": "lease_grant", "ttl_ms": 1, "lock_delay_ms": -1}
    );
    refuse!(driver, "LEASE_TTL_TOO_LARGE" -25: {"cmd": "lease_grant", "ttl_ms": 9_000_000_000_001u64});
}

/// B-011, B-053: keys that die with their lease are seen as deletes, all in one revision and in key order.
#[test]
fn an_expired_lease_is_a_delete_event() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "lease_grant", "ttl_ms": 200, "lease": "7"}));
    for key in ["b", "a"] {
        driver.call(json!({"cmd": "put", "key": key, "value": "1", "lease": "7"}));
    }
    driver.call(json!({"cmd": "watch", "key": "", "prefix": true, "rev": 4, "prev_kv": true}));
    let prev = |key: &str, revision: u64| json!({"key": key, "value": "1", "create_revision": revision, "mod_revision": revision, "version": 1, "lease": "7"});
    expect!(driver,
        {"cmd": "watch_next", "watch": 1} => {"ok": true, "progress": 4, "events": [
            {"type": "delete", "kv": {"key": "a", "mod_revision": 4}, "prev": prev("a", 3)},
            {"type": "delete", "kv": {"key": "b", "mod_revision": 4}, "prev": prev("b", 2)}]}
        {"cmd": "lease_keepalive", "lease": "7"} => {"ok": true, "revision": 4, "alive": false}
    );
}
