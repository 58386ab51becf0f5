//! `cursor_create`, `cursor_advance`, `cursor_reset`, `cursor_drop`, `cursor_list`; a put with a time to live.

use serde_json::json;

use crate::driver::{Driver, assert_fails};

#[test]
fn x_04_a_cursor_keeps_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let mut driver = Driver::on(&store);
    for value in ["1", "2", "3"] {
        driver.call(json!({"cmd": "put", "key": "a/x", "value": value}));
    }
    expect!(driver,
        {"cmd": "cursor_list"} => {"ok": true, "revision": 4, "cursors": []}
        {"cmd": "cursor_create", "name": "c", "key": "a/", "prefix": true} => {"ok": true, "revision": 4, "position": 4}
        {"cmd": "cursor_create", "name": "d", "key": "a/x", "rev": 2} => {"ok": true, "revision": 4, "position": 2}
        {"cmd": "cursor_create", "name_b64": "/w==", "key": "a", "from_key": true, "rev": 0} =>
            {"ok": true, "revision": 4, "position": 4}
        // Again: it is where it was.
        {"cmd": "cursor_create", "name": "d", "key": "a/x"} => {"ok": true, "revision": 4, "position": 2}
        {"cmd": "cursor_advance", "name": "d", "from": 2, "to": 3} => {"ok": true, "revision": 4, "position": 3}
        {"cmd": "cursor_list"} => {"ok": true, "revision": 4, "cursors": [
            {"name": "c", "key": "a/", "end": "a0", "position": 4, "lapsed": false},
            {"name": "d", "key": "a/x", "position": 3, "lapsed": false},
            {"name_b64": "/w==", "key": "a", "end": "\u{0}", "position": 4, "lapsed": false}]}
        {"cmd": "cursor_reset", "name": "d", "to": 2} => {"ok": true, "revision": 4, "position": 2}
        {"cmd": "cursor_drop", "name_b64": "/w=="} => {"ok": true, "revision": 4}
        // It holds the compaction at what it has not consumed.
        {"cmd": "compact", "rev": 4} => {"ok": true, "revision": 4, "compact_revision": 3}
    );
    driver.kill();
    driver.ended();
    let mut driver = Driver::on(&store);
    expect!(driver,
        {"cmd": "cursor_create", "name": "d", "key": "a/x"} => {"ok": true, "revision": 4, "position": 2}
    );
}

/// What a command that has no id tells is the revision it met, as if it had one, and not the store's once it is over: a
/// cursor that begins at the store's revision stands there.
#[test]
fn x_04_a_cursor_tells_of_the_revision_it_met() {
    // On a disk, where one sync is for many.
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::on(&dir.path().join("s"));
    let mut asked = Vec::new();
    for n in 0..300 {
        for client in 1..4 {
            driver.send(json!({"cmd": "put", "client": client, "key": "a", "value": "v"}));
        }
        asked.push(driver.send(json!({"cmd": "cursor_create", "client": 4, "name": format!("c{n}"), "key": "b"})));
    }
    for id in asked {
        let answer = driver.answer(id);
        assert_eq!(answer["revision"], answer["position"], "{answer}");
        assert_eq!(answer["ok"], true);
    }
}

#[test]
fn x_03_cursors_take_an_id() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    let ids = ["01", "02", "03"].map(|end| format!("000000000000000000000000000000{end}"));
    let create = json!({"cmd": "cursor_create", "name": "c", "key": "a", "rev": 1, "op_id": ids[0], "since": 1});
    let reset = json!({"cmd": "cursor_reset", "name": "c", "to": 2, "op_id": ids[1]});
    let drop = json!({"cmd": "cursor_drop", "name": "c", "op_id": ids[2]});
    let put = json!({"cmd": "put", "key": "a", "value": "2"});
    let advance = json!({"cmd": "cursor_advance", "name": "c", "from": 2, "to": 3});
    let steps = [
        (&create, json!({"ok": true, "revision": 2, "position": 1})),
        (&put, json!({"ok": true, "revision": 3})),
        (&create, json!({"ok": true, "revision": 2, "position": 1, "replayed": true})),
        (&reset, json!({"ok": true, "revision": 3, "position": 2})),
        (&advance, json!({"ok": true, "revision": 3, "position": 3})),
        (&reset, json!({"ok": true, "revision": 3, "position": 2, "replayed": true})),
        (&drop, json!({"ok": true, "revision": 3})),
        (&put, json!({"ok": true, "revision": 4})),
        (&drop, json!({"ok": true, "revision": 3, "replayed": true})),
    ];
    for (request, answer) in steps {
        assert_eq!(driver.call(request.clone()), answer, "to {request}");
    }
    expect!(driver, {"cmd": "cursor_list"} => {"ok": true, "revision": 4, "cursors": []});
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "cursor_drop", "name": "d", "op_id": ids[2]});
}

#[test]
fn x_04_a_cursor_moves_with_the_consumers_writes() {
    let mut driver = Driver::in_memory();
    let id = "00000000000000000000000000000007";
    driver.call(json!({"cmd": "cursor_create", "name": "c", "key": "a"}));
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    let step = json!([{"cmd": "put", "key": "done", "value": "1"}, {"cmd": "cursor_advance", "name": "c", "from": 1, "to": 2}]);
    expect!(driver,
        {"cmd": "txn", "then": step} => {"ok": true, "revision": 3, "succeeded": true,
            "responses": [{"cmd": "put"}, {"cmd": "cursor_advance", "position": 2}]}
        {"cmd": "cursor_advance", "name": "c", "from": 2, "to": 3, "op_id": id} =>
            {"ok": true, "revision": 3, "position": 3}
        {"cmd": "cursor_advance", "name": "c", "from": 2, "to": 3, "op_id": id} =>
            {"ok": true, "revision": 3, "position": 3, "replayed": true}
    );
    // The second consumer is told where it stands, and wrote nothing.
    for request in
        [json!({"cmd": "txn", "then": step}), json!({"cmd": "cursor_advance", "name": "c", "from": 1, "to": 2})]
    {
        let answer = driver.call(request);
        assert_eq!(answer["detail"], json!({"position": 3}));
        assert_fails(&answer, "CURSOR_MOVED", -32);
    }
    assert_eq!(driver.call(json!({"cmd": "revision"}))["revision"], 3);
}

#[test]
fn cursors_are_read_strictly() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "cursor_create", "name": "c", "key": "a"}));
    refuse!(driver, "CURSOR_NOT_FOUND" -31:
        {"cmd": "cursor_advance", "name": "none", "from": 1, "to": 1}
        {"cmd": "cursor_reset", "name": "none", "to": 1}
        {"cmd": "cursor_drop", "name": "none"}
    );
    refuse!(driver, "FUTURE_REVISION" -21:
        {"cmd": "cursor_create", "name": "d", "key": "a", "rev": 9}
        {"cmd": "cursor_advance", "name": "c", "from": 1, "to": 9}
        {"cmd": "cursor_reset", "name": "c", "to": 9}
    );
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "cursor_create", "name": "c", "key": "b"}
        {"cmd": "cursor_create", "name": "", "key": "b"}
        {"cmd": "cursor_create", "name": "d"}
        {"cmd": "cursor_create", "key": "a"}
        {"cmd": "cursor_create", "name": "d", "key": "a", "rev": -1}
        {"cmd": "cursor_create", "name": "d", "key": "a", "op_id": "1"}
        {"cmd": "cursor_advance", "name": "c", "from": 1}
        {"cmd": "cursor_advance", "name": "c", "to": 1}
        {"cmd": "cursor_advance", "name": "c", "from": 1, "to": 0}
        {"cmd": "cursor_reset", "name": "c"}
        {"cmd": "cursor_drop"}
        {"cmd": "cursor_list", "name": "c"}
    );
}

#[test]
fn x_06_a_put_may_have_a_time_to_live() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "watch", "key": "a"}));
    expect!(driver, {"cmd": "put", "key": "a", "value": "1", "ttl_ms": 100} => {"ok": true, "revision": 2});
    let kv = driver.call(json!({"cmd": "get", "key": "a"}))["kv"].clone();
    assert!(kv["lease"].is_string(), "{kv}");
    assert_eq!(driver.call(json!({"cmd": "lease_list"}))["leases"], json!([]));
    expect!(driver,
        {"cmd": "watch_next", "watch": 1} => {"ok": true, "progress": 2, "events": [{"type": "put", "kv": kv}]}
        {"cmd": "watch_next", "watch": 1} =>
            {"ok": true, "progress": 3, "events": [{"type": "delete", "kv": {"key": "a", "mod_revision": 3}}]}
        // Zero is the shortest.
        {"cmd": "txn", "then": [{"cmd": "put", "key": "a", "value": "2", "ttl_ms": 0}]} =>
            {"ok": true, "revision": 4, "succeeded": true, "responses": [{"cmd": "put"}]}
    );
    let waits = json!({"cmd": "watch_next", "watch": 1});
    let mut events = Vec::new();
    while events.len() < 2 {
        events.extend(driver.call(waits.clone())["events"].as_array().unwrap().clone());
    }
    assert_eq!(events[1], json!({"type": "delete", "kv": {"key": "a", "mod_revision": 5}}));
    driver.call(json!({"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "7"}));
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "put", "key": "a", "value": "1", "ttl_ms": 5, "lease": "7"});
}
