//! `session`, `session_alive`, `session_close`, `lock`, `unlock`, `lock_held`, `elect`, `proclaim`, `resign`, `leader`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::driver::{Driver, assert_fails, assert_within_a_second};

/// Takes a lease id that was drawn out of an answer.
#[track_caller]
fn lease_of(answer: &Value) -> String {
    let lease = answer.pointer("/token/lease").or_else(|| answer.get("lease")).and_then(Value::as_str);
    lease.unwrap_or_else(|| panic!("no lease in {answer}")).to_owned()
}

#[test]
fn a_session_lives_until_it_is_closed() {
    let mut driver = Driver::in_memory();
    let opened = driver.call(json!({"cmd": "session"}));
    let lease = lease_of(&opened);
    assert_eq!(opened, json!({"ok": true, "revision": 1, "session": 1, "lease": lease}));
    let told = driver.call(json!({"cmd": "lease_ttl", "lease": lease}));
    assert_eq!((&told["alive"], &told["granted_ms"]), (&json!(true), &json!(60_000)));
    expect!(driver,
        {"cmd": "session_alive", "session": 1} => {"ok": true, "revision": 1, "alive": true}
        {"cmd": "put", "key": "a", "value": "1", "lease": lease} => {"ok": true, "revision": 2}
        {"cmd": "session_close", "session": 1} => {"ok": true, "revision": 3}
        {"cmd": "session_alive", "session": 1} => {"ok": true, "revision": 3, "alive": false}
        {"cmd": "session_close", "session": 1} => {"ok": true, "revision": 3}
        {"cmd": "get", "key": "a"} => {"ok": true, "revision": 3, "found": false}
    );
}

#[test]
fn a_session_takes_a_ttl_or_a_lease() {
    let mut driver = Driver::in_memory();
    let lease = lease_of(&driver.call(json!({"cmd": "session", "ttl_ms": 5000})));
    assert_eq!(driver.call(json!({"cmd": "lease_ttl", "lease": lease}))["granted_ms"], 5000);
    driver.call(json!({"cmd": "lease_grant", "ttl_ms": 7000, "lease": "ab"}));
    expect!(driver,
        {"cmd": "session", "lease": "ab"} => {"ok": true, "revision": 1, "session": 2, "lease": "ab"}
        {"cmd": "session_close", "session": 2, "revoke": false} => {"ok": true, "revision": 1}
        {"cmd": "session_alive", "session": 2} => {"ok": true, "revision": 1, "alive": false}
    );
    // Left to itself, it ends by itself.
    assert_eq!(driver.call(json!({"cmd": "lease_ttl", "lease": "ab"}))["alive"], true);
    refuse!(driver, "LEASE_NOT_FOUND" -23: {"cmd": "session", "lease": "dead"});
    refuse!(driver, "REQUEST_TOO_LARGE" -5: {"cmd": "session", "lock_delay_ms": 60_001});
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "session", "ttl_ms": -1}
        {"cmd": "session", "lock_delay_ms": -1}
        {"cmd": "session", "name": "n"}
        {"cmd": "session_alive"}
        {"cmd": "session_alive", "session": 9}
        {"cmd": "session_close", "session": 1, "revoke": 1}
        {"cmd": "lock_held", "lock": 1}
        {"cmd": "watch_next", "watch": 1}
    );
}

#[test]
fn a_lock_is_held_by_one_and_handed_over() {
    let mut driver = Driver::in_memory();
    let first = driver.call(json!({"cmd": "lock", "client": 1, "name": "n"}));
    let lease = lease_of(&first);
    let token = json!({"key": format!("n/{lease}"), "revision": 2, "lease": lease});
    assert_eq!(first, json!({"ok": true, "revision": 2, "acquired": true, "lock": 1, "token": token}));
    // Who does not wait writes nothing; who waits in vain leaves nothing behind (B-016).
    expect!(driver,
        {"cmd": "lock", "client": 2, "name": "n", "timeout_ms": 0} => {"ok": true, "revision": 2, "acquired": false}
        {"cmd": "lock", "client": 2, "name": "n", "timeout_ms": 20} => {"ok": true, "revision": 4, "acquired": false}
        {"cmd": "lock_held", "client": 3, "lock": 1} => {"ok": true, "revision": 4, "held": true}
    );
    let waits = driver.send(json!({"cmd": "lock", "client": 2, "name": "n"}));
    assert!(driver.is_silent_for(Duration::from_millis(50)));
    expect!(driver, {"cmd": "unlock", "client": 3, "lock": 1} => {"ok": true, "revision": 6});
    let second = driver.answer(waits);
    let lease = lease_of(&second);
    let token = json!({"key": format!("n/{lease}"), "revision": 5, "lease": lease});
    assert_eq!(second, json!({"ok": true, "revision": 6, "acquired": true, "lock": 2, "token": token}));
    expect!(driver, {"cmd": "lock_held", "lock": 1} => {"ok": true, "revision": 6, "held": false});
    refuse!(driver, "LOCK_RELEASED" -29: {"cmd": "unlock", "lock": 1});
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "lock"}
        {"cmd": "lock", "name": "n", "session": 1}
        {"cmd": "lock", "name": "n", "timeout_ms": -2}
        {"cmd": "unlock"}
        {"cmd": "unlock", "lock": 3}
        {"cmd": "proclaim", "election": 1, "value": "v"}
    );
}

/// B-015: one session locking twice holds one lock; the first unlock frees both.
#[test]
fn one_session_holds_one_lock() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "session"}));
    let first = driver.call(json!({"cmd": "lock", "name": "n", "session": 1}));
    let second = driver.call(json!({"cmd": "lock", "client": 1, "name": "n", "session": 1, "timeout_ms": 1000}));
    assert_eq!((&first["token"], &second["lock"]), (&second["token"], &json!(3)));
    driver.call(json!({"cmd": "unlock", "lock": 2}));
    expect!(driver, {"cmd": "lock_held", "lock": 3} => {"ok": true, "revision": 3, "held": false});
    refuse!(driver, "SESSION_EXPIRED" -27: {"cmd": "unlock", "lock": 3});
}

/// B-018: a waiter whose session ends is told at once, while the holder holds.
#[test]
fn a_waiter_learns_at_once_that_its_session_ended() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "lock", "name": "n"}));
    let lease = lease_of(&driver.call(json!({"cmd": "session"})));
    let waits = driver.send(json!({"cmd": "lock", "client": 1, "name": "n", "session": 2}));
    assert!(driver.is_silent_for(Duration::from_millis(50)));
    driver.call(json!({"cmd": "lease_revoke", "lease": lease}));
    assert_fails(&driver.answer(waits), "SESSION_EXPIRED", -27);
    assert_eq!(driver.call(json!({"cmd": "lock_held", "lock": 1}))["held"], true);
    refuse!(driver, "SESSION_EXPIRED" -27: {"cmd": "lock", "client": 1, "name": "m", "session": 2});
}

/// B-025: hand-over in the order of arrival.
#[test]
fn waiters_are_served_in_order() {
    let mut driver = Driver::in_memory();
    let mut lock = driver.call(json!({"cmd": "lock", "name": "n"}))["lock"].clone();
    let waiting: Vec<u64> = (1..=4)
        .map(|client| {
            let id = driver.send(json!({"cmd": "lock", "client": client, "name": "n"}));
            // Its key says that it stands in line.
            let line = json!({"cmd": "range", "key": "n/", "prefix": true});
            driver.call_until(&line, |answer| answer["count"] == client + 1);
            id
        })
        .collect();
    for id in waiting {
        driver.call(json!({"cmd": "unlock", "lock": lock}));
        let next = driver.answer(id);
        assert_eq!(next["acquired"], true);
        lock = next["lock"].clone();
    }
}

#[test]
fn the_session_of_a_client_is_replaced_once_it_is_lost() {
    let mut driver = Driver::in_memory();
    let first = lease_of(&driver.call(json!({"cmd": "lock", "name": "n"})));
    let same = lease_of(&driver.call(json!({"cmd": "lock", "name": "m"})));
    let other = lease_of(&driver.call(json!({"cmd": "lock", "client": 1, "name": "o"})));
    assert!(first == same && first != other);
    assert_eq!(driver.call(json!({"cmd": "lease_ttl", "lease": first}))["granted_ms"], 60_000);
    driver.call(json!({"cmd": "lease_revoke", "lease": first}));
    assert_eq!(driver.call(json!({"cmd": "lock_held", "lock": 1}))["held"], false);
    refuse!(driver, "SESSION_EXPIRED" -27: {"cmd": "unlock", "lock": 1});
    let replaced = driver.call(json!({"cmd": "elect", "name": "e", "value": "v"}));
    assert_eq!(replaced["elected"], true);
    assert_ne!(lease_of(&replaced), first);
}

/// B-023: a lock delay is for sessions that expire, not for those that let go.
#[test]
fn a_lock_delay_holds_only_what_expires() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "session", "lock_delay_ms": 60_000}));
    let second = json!({"cmd": "lock", "client": 1, "name": "n", "timeout_ms": 0});
    driver.call(json!({"cmd": "lock", "name": "n", "session": 1}));
    driver.call(json!({"cmd": "lock", "name": "m", "session": 1}));
    driver.call(json!({"cmd": "unlock", "lock": 2}));
    assert_eq!(driver.call(second.clone())["acquired"], true);
    driver.call(json!({"cmd": "session_close", "session": 1}));
    assert_eq!(driver.call(json!({"cmd": "lock", "client": 2, "name": "m", "timeout_ms": 0}))["acquired"], true);
    // A lease that nobody renews, with keys: they stay though it has lapsed.
    driver.call(json!({"cmd": "lease_grant", "ttl_ms": 50, "lease": "7", "lock_delay_ms": 60_000}));
    driver.call(json!({"cmd": "put", "key": "k", "value": "1", "lease": "7"}));
    driver.call_until(&json!({"cmd": "lease_ttl", "lease": "7"}), |answer| answer["alive"] == false);
    assert_eq!(driver.call(json!({"cmd": "get", "key": "k"}))["found"], true);
}

#[test]
fn one_is_elected_and_proclaims() {
    let mut driver = Driver::in_memory();
    expect!(driver, {"cmd": "leader", "name": "e"} => {"ok": true, "revision": 1, "found": false});
    let elected = driver.call(json!({"cmd": "elect", "name": "e", "value": "v1"}));
    let lease = lease_of(&elected);
    let key = format!("e/{lease}");
    let token = json!({"key": key, "revision": 2, "lease": lease});
    assert_eq!(elected, json!({"ok": true, "revision": 2, "elected": true, "election": 1, "token": token}));
    let kv = |value: &str, modified: u64, version: u64| {
        json!({"key": key, "value": value, "create_revision": 2, "mod_revision": modified, "version": version,
            "lease": lease})
    };
    // B-026: a proclamation keeps lease and place.
    expect!(driver,
        {"cmd": "leader", "name": "e"} => {"ok": true, "revision": 2, "found": true, "kv": kv("v1", 2, 1)}
        {"cmd": "proclaim", "election": 1, "value": "v2"} => {"ok": true, "revision": 3}
        {"cmd": "leader", "name_b64": "ZQ=="} => {"ok": true, "revision": 3, "found": true, "kv": kv("v2", 3, 2)}
        {"cmd": "elect", "client": 1, "name": "e", "value": "w", "timeout_ms": 10} =>
            {"ok": true, "revision": 5, "elected": false}
    );
    let stands = driver.send(json!({"cmd": "elect", "client": 1, "name": "e", "value": "w"}));
    assert!(driver.is_silent_for(Duration::from_millis(50)));
    expect!(driver, {"cmd": "resign", "election": 1} => {"ok": true, "revision": 7});
    assert_eq!(driver.answer(stands)["election"], 2);
    assert_eq!(driver.call(json!({"cmd": "leader", "name": "e"}))["kv"]["value"], "w");
    refuse!(driver, "NOT_LEADER_OF_ELECTION" -28:
        {"cmd": "proclaim", "election": 1, "value": "v3"}
        {"cmd": "resign", "election": 1}
    );
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "elect", "name": "e"}
        {"cmd": "elect", "value": "v"}
        {"cmd": "proclaim", "election": 2}
        {"cmd": "proclaim", "value": "v"}
        {"cmd": "resign"}
        {"cmd": "resign", "election": 3}
        {"cmd": "leader"}
        {"cmd": "leader", "name": "e", "session": 1}
        {"cmd": "unlock", "lock": 1}
    );
}

#[test]
fn a_reopen_ends_sessions_locks_and_elections() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::on(&dir.path().join("s"));
    driver.call(json!({"cmd": "session"}));
    driver.call(json!({"cmd": "lock", "name": "n", "session": 1}));
    driver.call(json!({"cmd": "elect", "name": "e", "value": "v", "session": 1}));
    driver.call(json!({"cmd": "lock", "name": "own"}));
    let waits = driver.send(json!({"cmd": "lock", "client": 1, "name": "n"}));
    assert!(driver.is_silent_for(Duration::from_millis(50)));
    driver.call(json!({"cmd": "reopen"}));
    assert_fails(&driver.answer(waits), "CLOSED", -80);
    refuse!(driver, "CLOSED" -80:
        {"cmd": "session_alive", "session": 1}
        {"cmd": "session_close", "session": 1}
        {"cmd": "lock", "name": "n", "session": 1}
        {"cmd": "lock_held", "lock": 2}
        {"cmd": "unlock", "lock": 2}
        {"cmd": "proclaim", "election": 3, "value": "w"}
        {"cmd": "resign", "election": 3}
        {"cmd": "unlock", "lock": 4}
    );
    // A client that asked for none has a new session.
    assert_eq!(driver.call(json!({"cmd": "lock", "name": "other"}))["acquired"], true);
}

/// B-057: the waits for a lock end, the sessions are closed, and nobody is handed what was held.
#[test]
fn at_the_end_sessions_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let mut driver = Driver::on(&store);
    driver.call(json!({"cmd": "lock", "name": "n"}));
    driver.call(json!({"cmd": "session"}));
    driver.call(json!({"cmd": "elect", "name": "e", "value": "v", "session": 2}));
    let kept = lease_of(&driver.call(json!({"cmd": "session"})));
    driver.call(json!({"cmd": "lock", "name": "kept", "session": 4}));
    driver.call(json!({"cmd": "session_close", "session": 4, "revoke": false}));
    let waits = driver.send(json!({"cmd": "lock", "client": 1, "name": "n"}));
    let (answers, status) = driver.end();
    assert_eq!((status.code(), answers.len()), (Some(0), 1));
    assert_eq!((&answers[0]["id"], &answers[0]["code"]), (&json!(waits), &json!("CANCELED")));
    let mut driver = Driver::on(&store);
    let left = driver.call(json!({"cmd": "range", "key": "", "prefix": true, "keys_only": true}));
    // What was left to itself outlives the driver.
    assert_eq!((&left["count"], &left["kvs"][0]["key"]), (&json!(1), &json!(format!("kept/{kept}"))), "{left}");
    assert_eq!(driver.call(json!({"cmd": "lease_list"}))["leases"].as_array().unwrap().len(), 1);
}

/// The last thing that happens is that the lock is let go: who waits for it gets it although the input has ended.
#[test]
fn at_the_end_of_input_no_hand_over_is_lost() {
    for _ in 0..20 {
        let mut driver = Driver::in_memory();
        driver.call(json!({"cmd": "lock", "name": "n"}));
        let waits = driver.send(json!({"cmd": "lock", "client": 1, "name": "n"}));
        let line = json!({"cmd": "range", "key": "n/", "prefix": true});
        driver.call_until(&line, |answer| answer["count"] == 2);
        driver.send(json!({"cmd": "unlock", "lock": 1}));
        let (answers, _) = driver.end();
        let answer = answers.iter().find(|answer| answer["id"] == waits).unwrap();
        assert_eq!(answer["acquired"], true, "{answers:?}");
    }
}

/// 256 clients that wait for one lock, and SIGTERM. Each of them has a key to remove and a session to close.
#[test]
fn a_signal_ends_256_waits_for_a_lock() {
    assert_within_a_second(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("s");
        let mut driver = Driver::on(&store);
        driver.call(json!({"cmd": "lock", "name": "n"}));
        for client in 1..256 {
            driver.send(json!({"cmd": "lock", "client": client, "name": "n"}));
        }
        let line = json!({"cmd": "range", "key": "n/", "prefix": true, "count_only": true});
        driver.call_until(&line, |answer| answer["count"] == 256);
        let began = Instant::now();
        driver.signal("TERM");
        let (answers, status) = driver.ended();
        let took = began.elapsed();
        assert_eq!((answers.len(), status.code()), (255, Some(143)));
        assert!(answers.iter().all(|answer| answer["code"] == "CANCELED"));
        let mut driver = Driver::on(&store);
        assert_eq!(driver.call(json!({"cmd": "range", "key": "", "prefix": true}))["count"], 0);
        assert_eq!(driver.call(json!({"cmd": "check"}))["clean"], true);
        took
    });
}
