//! The store as a whole: `compact`, `revision`, `check`, `dump`, `backup`, `hash`, `status`, `stats`, `version`, `flush`,
//! `sync`, `reopen`.

use std::fs;

use serde_json::{Value, json};

use crate::driver::{Driver, assert_fails, run};

#[test]
fn compact_answers_what_is_in_effect() {
    let mut driver = Driver::in_memory();
    for value in ["1", "2", "3"] {
        driver.call(json!({"cmd": "put", "key": "a", "value": value}));
    }
    expect!(driver,
        {"cmd": "compact", "rev": 2} => {"ok": true, "revision": 4, "compact_revision": 2}
        {"cmd": "compact", "rev": 3, "physical": true} => {"ok": true, "revision": 4, "compact_revision": 3}
        {"cmd": "compact", "rev": 3} => {"ok": false, "code": "COMPACTED", "number": -20, "applied": "no",
            "message": "required revision has been compacted, the compact revision is 3",
            "detail": {"compact_revision": 3}}
        {"cmd": "compact", "rev": 5} => {"ok": false, "code": "FUTURE_REVISION", "number": -21, "applied": "no",
            "message": "revision 5 is in the future, current is 4", "detail": {"revision": 4}}
        {"cmd": "revision"} => {"ok": true, "revision": 4, "compact_revision": 3, "synced_revision": 4}
    );
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "compact"}
        {"cmd": "compact", "rev": -1}
        {"cmd": "compact", "rev": "2"}
        {"cmd": "compact", "rev": 2, "physical": 1}
    );
}

#[test]
fn hash_is_equal_on_equal_stores() {
    let hash = |value: &str| {
        let mut driver = Driver::in_memory();
        driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
        driver.call(json!({"cmd": "put", "key": "a", "value": value}));
        let latest = driver.call(json!({"cmd": "hash"}));
        let text = latest["hash"].as_str().unwrap().to_owned();
        assert!(text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{text}");
        assert_eq!(latest, json!({"ok": true, "revision": 3, "hash": text, "hash_revision": 3, "compact_revision": 0}));
        assert_eq!(driver.call(json!({"cmd": "hash", "rev": 0})), latest);
        let earlier = driver.call(json!({"cmd": "hash", "rev": 2}));
        assert_eq!((&earlier["hash_revision"], &earlier["revision"]), (&json!(2), &json!(3)));
        refuse!(driver, "FUTURE_REVISION" -21: {"cmd": "hash", "rev": 4});
        (text, earlier["hash"].clone())
    };
    let (one, same, other) = (hash("2"), hash("2"), hash("3"));
    assert_eq!(one, same);
    assert!(one.0 != other.0 && one.1 == other.1);
}

#[test]
fn dump_writes_lines_and_tells_of_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut dumps) = (dir.path().join("dump"), 0);
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "put", "key": "a/1", "value": "1"}));
    driver.call(json!({"cmd": "put", "key": "b", "value": "2"}));
    let hash = driver.call(json!({"cmd": "hash"}))["hash"].clone();
    let mut dump = |options: Value| {
        dumps += 1;
        let path = dir.path().join(format!("dump {dumps}"));
        let mut request = json!({"cmd": "dump", "path": path});
        request.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let answer = driver.call(request);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(text.ends_with('\n') && lines.last().unwrap()["hash"] == answer["hash"], "{answer}");
        (answer, lines)
    };
    let (answer, lines) = dump(json!({}));
    assert_eq!(answer, json!({"ok": true, "revision": 3, "kvs": 2, "hash": hash}));
    assert_eq!(
        lines,
        [
            json!({"etclite_dump": 1, "revision": 3, "compact_revision": 0, "history": false}),
            json!({"key": "a/1", "value": "1", "create_revision": 2, "mod_revision": 2, "version": 1}),
            json!({"key": "b", "value": "2", "create_revision": 3, "mod_revision": 3, "version": 1}),
            json!({"end": true, "kvs": 2, "leases": 0, "hash": hash}),
        ]
    );
    let (answer, lines) = dump(json!({"rev": 2, "prefix": "a/"}));
    assert_eq!((&answer["revision"], &answer["kvs"], lines.len()), (&json!(3), &json!(1), 3));
    let (answer, lines) = dump(json!({"history": true}));
    assert_eq!((&answer["kvs"], &lines[1]["type"]), (&json!(2), &json!("put")));
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "dump"} {"cmd": "dump", "path": 1} {"cmd": "dump", "path": "x", "rev": -1});
    refuse!(driver, "FUTURE_REVISION" -21: {"cmd": "dump", "path": path, "rev": 9});
    let answer = driver.call(json!({"cmd": "dump", "path": dir.path().join("none/dump")}));
    assert_fails(&answer, "IO", -61);
    assert_eq!(answer["detail"]["os_error"], 2);
}

/// Neither somebody's file nor one of the open store itself.
#[test]
fn dump_leaves_what_exists() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = (dir.path().join("s"), dir.path().join("notes"));
    fs::write(&notes, "mine").unwrap();
    let mut driver = Driver::on(&store);
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    for path in [&notes, &store.join("catalog.redb"), &store] {
        refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "dump", "path": path} {"cmd": "dump", "path": path, "rev": 9});
    }
    assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
    assert_eq!(driver.call(json!({"cmd": "check"}))["clean"], true);
    // One that fails leaves nothing that was not there.
    let fresh = dir.path().join("fresh");
    refuse!(driver, "FUTURE_REVISION" -21: {"cmd": "dump", "path": fresh, "rev": 9});
    assert!(!fresh.exists());
}

#[test]
fn backup_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy");
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    let mut answer = driver.call(json!({"cmd": "backup", "path": path}));
    let bytes = answer.as_object_mut().unwrap().shift_remove("bytes").unwrap();
    let is = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    let files: u64 = is.filter(|meta| meta.is_file()).map(|meta| meta.len()).sum();
    assert!(bytes.as_u64().unwrap() >= files && files > 0);
    assert_eq!(answer, json!({"ok": true, "revision": 2}));
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "backup", "path": path});
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "backup"});
    let mut copy = Driver::on(&path);
    assert_eq!(copy.call(json!({"cmd": "get", "key": "a"}))["kv"]["value"], "1");
}

#[test]
fn check_finds_nothing_in_a_sound_store() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    expect!(driver,
        {"cmd": "check"} => {"ok": true, "revision": 2, "clean": true, "problems": []}
        {"cmd": "check", "deep": true} => {"ok": true, "revision": 2, "clean": true, "problems": []}
        {"cmd": "flush"} => {"ok": true, "revision": 2}
        {"cmd": "check", "deep": false} => {"ok": true, "revision": 2, "clean": true, "problems": []}
    );
}

#[test]
fn check_names_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let mut driver = Driver::on(&store);
    driver.call(json!({"cmd": "put", "key": "a", "value": "x".repeat(10_000)}));
    driver.call(json!({"cmd": "flush"}));
    let run = fs::read_dir(store.join("run")).unwrap().next().expect("a run was flushed").unwrap().path();
    let mut bytes = fs::read(&run).unwrap();
    bytes[100] ^= 1;
    fs::write(&run, bytes).unwrap();
    let answer = driver.call(json!({"cmd": "check"}));
    let problem = &answer["problems"][0];
    assert_eq!((&answer["ok"], &answer["clean"]), (&json!(true), &json!(false)), "{answer}");
    assert!(problem["file"].as_str().unwrap().ends_with(run.file_name().unwrap().to_str().unwrap()), "{answer}");
    let problems = answer["problems"].as_array().unwrap();
    let mut places: Vec<_> =
        problems.iter().map(|problem| format!("{} {}", problem["file"], problem["offset"])).collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), problems.len(), "each block is told once: {answer}");
    assert!(problem["offset"].is_u64() && !problem["what"].as_str().unwrap().is_empty(), "{answer}");
}

#[test]
fn status_and_stats_tell_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::on(&dir.path().join("s"));
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    driver.call(json!({"cmd": "put", "key": "a", "value": "2"}));
    driver.call(json!({"cmd": "compact", "rev": 2}));
    driver.call(json!({"cmd": "lease_grant", "ttl_ms": 60_000}));
    driver.call(json!({"cmd": "watch", "key": "a"}));
    let mut status = driver.call(json!({"cmd": "status"}));
    for field in ["disk_bytes", "live_bytes", "member_id", "leader_id"] {
        assert!(status.as_object_mut().unwrap().shift_remove(field).unwrap().as_u64().unwrap() > 0, "{field}");
    }
    assert_eq!(
        status,
        json!({"ok": true, "revision": 3, "compact_revision": 2, "keys": 1, "leases": 1, "watches": 1,
        "raft_term": 1, "raft_applied": 3})
    );
    let stats = driver.call(json!({"cmd": "stats"}));
    let fields: Vec<&str> = stats.as_object().unwrap().keys().map(|name| &name[..]).collect();
    assert_eq!(
        fields,
        [
            "ok",
            "revision",
            "compact_revision",
            "synced_revision",
            "recovered_revision",
            "epoch",
            "memtable_bytes",
            "memtables",
            "runs",
            "run_bytes",
            "run_entries",
            "live_bytes",
            "log_segments",
            "logged_bytes",
            "leases",
            "operation_ids",
            "cursors",
            "watches",
            "snapshots",
            "pinned_bytes",
            "cluster_id",
            "member_id"
        ]
    );
    assert!(stats.as_object().unwrap().values().skip(1).all(Value::is_u64));
    assert_eq!(
        [&stats["revision"], &stats["compact_revision"], &stats["synced_revision"], &stats["leases"]],
        [3, 2, 3, 1]
    );
}

#[test]
fn version_tells_of_the_program() {
    let mut driver = Driver::in_memory();
    expect!(driver,
        {"cmd": "version"} => {"ok": true, "version": env!("CARGO_PKG_VERSION"), "protocol": 1, "format": 1});
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "version", "v": 1});
}

#[test]
fn flush_sync_and_reopen_answer_the_revision() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let mut driver = Driver::start([store.to_str().unwrap(), "--durability", "written", "exec", "--json"]);
    expect!(driver,
        {"cmd": "put", "key": "a", "value": "1"} => {"ok": true, "revision": 2}
        {"cmd": "sync"} => {"ok": true, "revision": 2}
        {"cmd": "revision"} => {"ok": true, "revision": 2, "compact_revision": 0, "synced_revision": 2}
        {"cmd": "flush"} => {"ok": true, "revision": 2}
        {"cmd": "reopen"} => {"ok": true, "revision": 2}
        {"cmd": "put", "key": "b", "value": "1"} => {"ok": true, "revision": 3}
    );
    assert_eq!(driver.call(json!({"cmd": "stats"}))["epoch"], 2);
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "sync", "x": 1} {"cmd": "flush", "x": 1} {"cmd": "reopen", "x": 1});
    refuse!(Driver::in_memory(), "UNSUPPORTED" -85: {"cmd": "reopen"});
}

/// An empty store would pass for the one that is gone.
#[test]
fn reopen_makes_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = (dir.path().join("s"), dir.path().join("away"));
    let mut driver = Driver::on(&store);
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    fs::rename(&store, &away).unwrap();
    assert_fails(&driver.call(json!({"cmd": "reopen"})), "IO", -61);
    assert!(!store.exists());
    fs::rename(&away, &store).unwrap();
    assert_eq!(driver.call(json!({"cmd": "reopen"})), json!({"ok": true, "revision": 2}));
}

#[test]
fn a_read_only_store_refuses_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    Driver::on(&store).call(json!({"cmd": "put", "key": "a", "value": "1"}));
    let mut driver = Driver::start([store.to_str().unwrap(), "--readonly", "exec", "--json"]);
    expect!(driver, {"cmd": "get", "key": "a"} => {"ok": true, "revision": 2, "found": true,
        "kv": {"key": "a", "value": "1", "create_revision": 2, "mod_revision": 2, "version": 1}});
    refuse!(driver, "READ_ONLY" -65:
        {"cmd": "put", "key": "a", "value": "2"}
        {"cmd": "del", "key": "a"}
        {"cmd": "txn", "then": [{"cmd": "put", "key": "a", "value": "2"}]}
        {"cmd": "compact", "rev": 2}
        {"cmd": "lease_grant", "ttl_ms": 1000}
        {"cmd": "flush"}
        {"cmd": "sync"}
    );
    expect!(driver,
        {"cmd": "watch", "key": "a", "rev": 2} => {"ok": true, "revision": 2, "watch": 1}
        {"cmd": "watch_next", "watch": 1} => {"ok": true, "progress": 2, "events": [{"type": "put",
            "kv": {"key": "a", "value": "1", "create_revision": 2, "mod_revision": 2, "version": 1}}]}
    );
    // Its history has an end.
    refuse!(driver, "CLOSED" -80: {"cmd": "watch_next", "watch": 1} {"cmd": "watch_next", "watch": 1});
    assert_eq!(driver.end().1.code(), Some(0));
    let (answers, code, _) = run(&[store.to_str().unwrap(), "exec", "--json"], "{\"cmd\":\"revision\"}\n");
    assert_eq!((&answers[0]["revision"], code), (&json!(2), Some(0)));
}
