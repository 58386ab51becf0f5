//! `watch`, `watch_next`, `watch_cancel`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::{Driver, assert_fails};

fn kv(key: &str, value: &str, created: u64, modified: u64, version: u64) -> Value {
    json!({"key": key, "value": value, "create_revision": created, "mod_revision": modified, "version": version})
}

#[test]
fn a_watch_hands_out_whole_revisions() {
    let mut driver = Driver::in_memory();
    let two = json!([{"cmd": "put", "key": "k/2", "value": "b"}, {"cmd": "put", "key": "k/1", "value": "a"}]);
    expect!(driver,
        {"cmd": "watch", "key": "k/", "prefix": true} => {"ok": true, "revision": 1, "watch": 1}
        {"cmd": "watch_next", "watch": 1, "timeout_ms": 0} => {"ok": true, "events": [], "progress": 1, "timeout": true}
        {"cmd": "txn", "then": two} =>
            {"ok": true, "revision": 2, "succeeded": true, "responses": [{"cmd": "put"}, {"cmd": "put"}]}
        {"cmd": "watch_next", "watch": 1} => {"ok": true, "progress": 2, "events": [
            {"type": "put", "kv": kv("k/2", "b", 2, 2, 1)}, {"type": "put", "kv": kv("k/1", "a", 2, 2, 1)}]}
        {"cmd": "put", "key": "other", "value": "x"} => {"ok": true, "revision": 3}
        {"cmd": "watch_next", "watch": 1, "timeout_ms": 20} => {"ok": true, "events": [], "progress": 3, "timeout": true}
        {"cmd": "del", "key": "k/1"} => {"ok": true, "revision": 4, "deleted": 1}
        {"cmd": "watch_next", "watch": 1, "timeout_ms": 1000} => {"ok": true, "progress": 4, "events": [
            {"type": "delete", "kv": {"key": "k/1", "mod_revision": 4}}]}
    );
}

#[test]
fn a_watch_reads_history_with_what_was_before() {
    let mut driver = Driver::in_memory();
    for value in ["1", "2"] {
        driver.call(json!({"cmd": "put", "key": "a", "value": value}));
    }
    driver.call(json!({"cmd": "del", "key": "a"}));
    expect!(driver,
        {"cmd": "watch", "key": "a", "rev": 2, "prev_kv": true} => {"ok": true, "revision": 4, "watch": 1}
        {"cmd": "watch_next", "watch": 1, "timeout_ms": 0} => {"ok": true, "progress": 4, "events": [
            {"type": "put", "kv": kv("a", "1", 2, 2, 1)},
            {"type": "put", "kv": kv("a", "2", 2, 3, 2), "prev": kv("a", "1", 2, 2, 1)},
            {"type": "delete", "kv": {"key": "a", "mod_revision": 4}, "prev": kv("a", "2", 2, 3, 2)}]}
        {"cmd": "watch", "key": "a", "rev": 2, "no_put": true} => {"ok": true, "revision": 4, "watch": 2}
        {"cmd": "watch_next", "watch": 2} => {"ok": true, "progress": 4, "events": [
            {"type": "delete", "kv": {"key": "a", "mod_revision": 4}}]}
        {"cmd": "watch", "key": "a", "rev": 3, "no_delete": true} => {"ok": true, "revision": 4, "watch": 3}
        {"cmd": "watch_next", "watch": 3} => {"ok": true, "progress": 4, "events": [
            {"type": "put", "kv": kv("a", "2", 2, 3, 2)}]}
        {"cmd": "watch", "key": "a", "rev": 9} => {"ok": true, "revision": 4, "watch": 4}
        {"cmd": "watch_next", "watch": 4, "timeout_ms": 0} => {"ok": true, "events": [], "progress": 8, "timeout": true}
    );
}

#[test]
fn a_watch_takes_each_form_of_target() {
    let mut driver = Driver::in_memory();
    for key in ["a", "b", "ba", "c"] {
        driver.call(json!({"cmd": "put", "key": key, "value": ""}));
    }
    let mut seen = |mut target: Value| {
        target["cmd"] = "watch".into();
        target["rev"] = 1.into();
        let watch = driver.call(target)["watch"].clone();
        let batch = driver.call(json!({"cmd": "watch_next", "watch": watch, "timeout_ms": 0}));
        let events = batch["events"].as_array().unwrap();
        events.iter().map(|event| event["kv"]["key"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(seen(json!({"key": "b"})), "b");
    assert_eq!(seen(json!({"key": "b", "prefix": true})), "b ba");
    assert_eq!(seen(json!({"key": "b", "from_key": true})), "b ba c");
    assert_eq!(seen(json!({"key": "a", "end": "ba"})), "a b");
    assert_eq!(seen(json!({"key": "ba", "end": "\u{0}"})), "ba c");
    assert_eq!(seen(json!({"key": "", "from_key": true})), "a b ba c");
    refuse!(driver, "EMPTY_KEY" -2: {"cmd": "watch", "key": ""} {"cmd": "watch", "key": "", "end": "b"});
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "watch"}
        {"cmd": "watch", "key": "b", "end": "b"}
        {"cmd": "watch", "key": "b", "end": "a"}
        {"cmd": "watch", "key": "b", "end": ""}
        {"cmd": "watch", "key": "b", "rev": -1}
    );
}

#[test]
fn a_cancelled_watch_says_so_each_time() {
    let mut driver = Driver::in_memory();
    let waits = json!({"cmd": "watch_next", "client": 1, "watch": 1});
    expect!(driver, {"cmd": "watch", "key": "a"} => {"ok": true, "revision": 1, "watch": 1});
    let id = driver.send(waits.clone());
    assert!(driver.is_silent_for(Duration::from_millis(50)));
    expect!(driver, {"cmd": "watch_cancel", "watch": 1} => {"ok": true, "revision": 1});
    assert_fails(&driver.answer(id), "WATCH_CANCELED", -26);
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    for timeout in [-1, 0, 10] {
        let answer = driver.call(json!({"cmd": "watch_next", "watch": 1, "timeout_ms": timeout}));
        assert_fails(&answer, "WATCH_CANCELED", -26);
    }
    expect!(driver, {"cmd": "watch_cancel", "watch": 1} => {"ok": true, "revision": 2});
}

#[test]
fn compaction_is_told_at_the_start_and_later() {
    let mut driver = Driver::in_memory();
    for value in ["1", "2", "3"] {
        driver.call(json!({"cmd": "put", "key": "a", "value": value}));
    }
    driver.call(json!({"cmd": "watch", "key": "a", "rev": 2}));
    driver.call(json!({"cmd": "compact", "rev": 3}));
    for _ in 0..2 {
        let answer = driver.call(json!({"cmd": "watch_next", "watch": 1}));
        assert_eq!((&answer["code"], &answer["detail"]), (&json!("COMPACTED"), &json!({"compact_revision": 3})));
    }
    refuse!(driver, "COMPACTED" -20: {"cmd": "watch", "key": "a", "rev": 2});
    expect!(driver,
        {"cmd": "watch", "key": "a", "rev": 3} => {"ok": true, "revision": 4, "watch": 2}
        {"cmd": "watch_next", "watch": 2} => {"ok": true, "progress": 4, "events": [
            {"type": "put", "kv": kv("a", "2", 2, 3, 2)}, {"type": "put", "kv": kv("a", "3", 2, 4, 3)}]}
    );
}

#[test]
fn a_wait_ends_with_the_event() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "watch", "key": "a"}));
    let endless = driver.send(json!({"cmd": "watch_next", "client": 1, "watch": 1}));
    // On the same watch: served after the first one, or not at all in its time.
    let brief = driver.send(json!({"cmd": "watch_next", "client": 2, "watch": 1, "timeout_ms": 50}));
    assert_eq!(driver.answer(brief), json!({"ok": true, "events": [], "progress": 1, "timeout": true}));
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    let events = json!([{"type": "put", "kv": kv("a", "1", 2, 2, 1)}]);
    assert_eq!(driver.answer(endless), json!({"ok": true, "events": events, "progress": 2}));
}

#[test]
fn two_waits_on_one_watch_take_turns() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "watch", "key": "a"}));
    let first = driver.send(json!({"cmd": "watch_next", "client": 1, "watch": 1}));
    assert!(driver.is_silent_for(Duration::from_millis(50)));
    let second = driver.send(json!({"cmd": "watch_next", "client": 2, "watch": 1}));
    assert!(driver.is_silent_for(Duration::from_millis(50)));
    for (id, revision) in [(first, 2), (second, 3)] {
        driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
        assert_eq!(driver.answer(id)["progress"], revision);
    }
}

/// B-010: after a reopen the old watch says so each time, and a new one resumes.
#[test]
fn a_reopen_ends_watches() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::on(&dir.path().join("s"));
    driver.call(json!({"cmd": "watch", "key": "a"}));
    driver.call(json!({"cmd": "watch", "key": "b"}));
    let waiting = driver.send(json!({"cmd": "watch_next", "client": 1, "watch": 1}));
    assert!(driver.is_silent_for(Duration::from_millis(50)));
    expect!(driver, {"cmd": "reopen"} => {"ok": true, "revision": 1});
    assert_fails(&driver.answer(waiting), "CLOSED", -80);
    refuse!(driver, "CLOSED" -80:
        {"cmd": "watch_next", "watch": 1}
        {"cmd": "watch_next", "watch": 2}
        {"cmd": "watch_next", "watch": 2, "timeout_ms": 10}
    );
    expect!(driver,
        {"cmd": "watch", "key": "a"} => {"ok": true, "revision": 1, "watch": 3}
        {"cmd": "put", "key": "a", "value": "1"} => {"ok": true, "revision": 2}
        {"cmd": "watch_next", "watch": 3} => {"ok": true, "progress": 2,
            "events": [{"type": "put", "kv": kv("a", "1", 2, 2, 1)}]}
    );
}

#[test]
fn handles_are_checked() {
    let mut driver = Driver::in_memory();
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "watch_next", "watch": 1, "timeout_ms": 0}
        {"cmd": "watch_cancel", "watch": 1}
        {"cmd": "watch_next", "watch": 0}
        {"cmd": "watch_next", "watch": -1}
        {"cmd": "watch_next", "watch": "1"}
        {"cmd": "watch_next"}
        {"cmd": "watch_cancel"}
    );
    driver.call(json!({"cmd": "watch", "key": "a"}));
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "watch_next", "watch": 1, "timeout_ms": -2}
        {"cmd": "watch_next", "watch": 1, "timeout_ms": "0"}
        {"cmd": "watch_cancel", "watch": 1, "timeout_ms": 1}
    );
}
