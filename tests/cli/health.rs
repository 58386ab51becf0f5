//! check, hash, status, stats, endpoint, member, move-leader, completion; and the exit codes that all commands share.

use std::fs;
use std::path::Path;

use etclite::Db;
use serde_json::json;

use super::store::{copy, damage, files, filled, filled_and_closed, on, on_with, place, run, run_file};

#[test]
fn a_whole_store_is_clean() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    for words in ["check", "check --deep", "check -w fields", "check -w table"] {
        assert_eq!(on(&store, words).done(), "clean\n");
    }
    for words in ["check -w json", "check --deep -w jsonl"] {
        assert_eq!(on(&store, words).json(), json!({ "clean": true, "problems": [] }));
    }
}

#[test]
fn check_changes_nothing_in_a_store_that_a_crash_has_left() {
    let (dir, store) = place();
    let db = filled(&store);
    let crashed = dir.path().join("crashed");
    copy(&store, &crashed);
    let before = files(&crashed);
    assert_eq!(on(&crashed, "check --deep").done(), "clean\n");
    assert_eq!(files(&crashed), before);
    drop(db);
}

#[test]
fn check_names_file_and_offset_of_each_problem() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    let run = run_file(&store);
    let name = format!("run/{}", run.file_name().unwrap().to_string_lossy());
    damage(&run, 10);
    let simple = on(&store, "check");
    assert_eq!((simple.code, simple.err.as_str()), (Some(5), ""));
    assert!(simple.out.starts_with(&format!("{name}: offset 0: ")), "{}", simple.out);
    let found = on(&store, "check -w json");
    assert_eq!(found.code, Some(5));
    let found: serde_json::Value = serde_json::from_str(&found.out).unwrap();
    let problem = &found["problems"][0];
    assert_eq!((&found["clean"], &problem["file"], &problem["offset"]), (&json!(false), &json!(name), &json!(0)));
    let table = on(&store, "check -w table");
    assert!(table.out.contains("| FILE ") && table.out.contains(&name), "{}", table.out);
}

/// What keeps the store from opening is a problem like any other.
#[test]
fn check_tells_of_damage_that_keeps_the_store_from_opening() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    let catalog = store.join("catalog.redb");
    let len = fs::metadata(&catalog).unwrap().len();
    fs::OpenOptions::new().write(true).open(&catalog).unwrap().set_len(len / 2).unwrap();
    let found = on(&store, "check");
    assert_eq!(found.code, Some(5));
    assert!(found.out.starts_with("catalog.redb: offset "), "{}", found.out);
    let error = on(&store, "status").failed(5);
    assert!(error.contains("catalog.redb is damaged") && error.contains("hint: "), "{error}");
    let error = on(&store, "status -w json").failed(5);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&error).unwrap()["code"], "CORRUPT");
}

#[test]
fn hashes_are_of_what_is_retained() {
    let (_dir, store) = place();
    let db = filled(&store);
    db.compact(5).unwrap();
    let (latest, old) = (db.hash(0).unwrap().hash, db.hash(7).unwrap().hash);
    db.close().unwrap();
    assert_eq!(on(&store, "hash").done(), format!("hash: {latest:08x}\nhash_revision: 10\ncompact_revision: 5\n"));
    let expected = json!({ "hash": format!("{old:08x}"), "hash_revision": 7, "compact_revision": 5 });
    assert_eq!(on(&store, "hash --rev 7 -w json").json(), expected);
    let error = on(&store, "hash --rev 4").failed(1);
    assert!(error.contains("compacted"), "{error}");
    on(&store, "hash --rev 11").failed(1);
}

#[test]
fn status_is_the_store_in_numbers() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    let status = on(&store, "status -w json").json();
    for (name, value) in [("revision", 10), ("compact_revision", 0), ("keys", 4), ("leases", 2), ("watches", 0)] {
        assert_eq!(status[name], value, "{name}");
    }
    assert!(status["disk_bytes"].as_u64().unwrap() > status["live_bytes"].as_u64().unwrap());
    assert!(status["member_id"].as_u64().unwrap() != 0 && status["member_id"] == status["leader_id"]);
    let simple = on(&store, "status").done();
    assert!(simple.starts_with("revision: 10\ncompact_revision: 0\ndisk_bytes: "), "{simple}");
    assert!(on(&store, "status -w fields").done().starts_with("\"revision\" : 10\n"));
    let table = on(&store, "status -w table").done();
    assert!(table.contains("\n| revision         | 10 "), "{table}");
}

#[test]
fn stats_are_counters_and_metrics() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    let stats = on(&store, "stats -w json").json();
    assert_eq!((&stats["revision"], &stats["synced_revision"], &stats["runs"]), (&json!(10), &json!(10), &json!(1)));
    let metrics = on(&store, "stats --prometheus").done();
    for line in ["etcd_debugging_mvcc_current_revision 10", "etcd_debugging_mvcc_keys_total 4", "etclite_runs 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    for pair in metrics.lines().collect::<Vec<_>>().chunks(2) {
        let name = pair[1].split(' ').next().unwrap();
        assert_eq!(pair[0], format!("# TYPE {name} gauge"));
    }
}

#[test]
fn cl_05_endpoint_status_as_etcdctl_prints_it() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    let path = store.display().to_string();
    let simple = on(&store, "endpoint status").done();
    let row: Vec<&str> = simple.trim_end().split(", ").collect();
    assert_eq!((row.len(), row[0], row[2]), (16, path.as_str(), env!("CARGO_PKG_VERSION")));
    assert_eq!(row[8..13], ["true", "false", "1", "10", "10"]);
    let found = &on(&store, "endpoint status --cluster -w json").json()[0];
    let status = &found["Status"];
    assert_eq!(found["Endpoint"], path);
    assert_eq!((&status["raftIndex"], &status["raftTerm"]), (&json!(10), &json!(1)));
    assert!(status["leader"] == status["header"]["member_id"] && status["leader"].as_u64().unwrap() != 0);
    assert_eq!(row[1], format!("{:x}", status["leader"].as_u64().unwrap()));
    let fields = on(&store, "endpoint status -w fields").done();
    assert!(fields.starts_with("\"ClusterID\" : ") && fields.contains("\n\"RaftIndex\" : 10\n"), "{fields}");
    assert!(on(&store, "endpoint status -w table").done().contains("| IS LEADER | IS LEARNER |"));
}

#[test]
fn endpoint_health_and_hashkv_as_etcdctl_prints_them() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    let path = store.display().to_string();
    let hash = Db::open(&store).unwrap().hash(0).unwrap().hash;
    let health = on(&store, "endpoint health").done();
    assert!(health.starts_with(&format!("{path} is healthy: successfully committed proposal: took = ")), "{health}");
    assert_eq!(on(&store, "endpoint health -w json").json()[0]["health"], true);
    assert!(on(&store, "endpoint health -w fields").done().contains("\"Health\" : true\n"));
    assert!(on(&store, "endpoint health -w table").done().contains("| ENDPOINT "));
    assert_eq!(on(&store, "endpoint hashkv").done(), format!("{path}, {hash}, 10\n"));
    let found = &on(&store, "endpoint hashkv --rev 10 -w json").json()[0]["HashKV"];
    assert_eq!((&found["hash"], &found["hash_revision"]), (&json!(hash), &json!(10)));
    assert!(on(&store, "endpoint hashkv -w fields").done().contains(&format!("\"Hash\" : {hash}\n")));
    assert!(on(&store, "endpoint hashkv -w table").done().contains("| HASH_REVISION |"));
    on(&store, "endpoint hashkv --rev 99").failed(1);
}

#[test]
fn cl_01_members_need_a_group() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    for words in ["member list", "member add n2 --peer-urls=http://n2:2380", "member", "move-leader 8e9e05c52164694d"] {
        let error = on(&store, words).failed(2);
        assert!(error.contains("needs the feature `replicate`"), "{error}");
    }
}

#[test]
fn completion_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completion", shell]).done();
        assert!(script.contains("restore") && script.contains("bump-revision"), "{shell}");
    }
    assert_eq!(run(["completion", "dos"]).code, Some(2));
}

const READING: [&str; 10] = [
    "check --deep",
    "hash",
    "status",
    "stats",
    "stats --prometheus",
    "endpoint status",
    "endpoint health",
    "endpoint hashkv",
    "dump",
    "dump --history",
];

#[test]
fn reading_works_read_only_and_writes_nothing() {
    let (dir, store) = place();
    let db = filled(&store);
    let crashed = dir.path().join("crashed");
    copy(&store, &crashed);
    drop(db);
    for store in [&store, &crashed] {
        let before = files(store);
        for words in READING {
            on(store, &format!("--readonly {words}")).done();
        }
        assert_eq!(files(store), before);
    }
    assert!(on(&crashed, "init --readonly").done().contains("revision: 10"));
    let dump = "{\"etclite_dump\":1,\"history\":false}\n{\"key\":\"a\",\"value\":\"1\"}\n{\"end\":true,\"kvs\":1,\"leases\":0}\n";
    let error = on_with(&store, "--readonly load", dump.as_bytes()).failed(1);
    assert!(error.contains("opened read-only"), "{error}");
}

#[test]
fn each_command_tells_of_a_store_that_cannot_be_opened() {
    let (dir, store) = place();
    let holder = filled(&store);
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter.txt"), "dear").unwrap();
    let missing = dir.path().join("missing");
    let copied = dir.path().join("copied");
    let backup = format!("backup {}", copied.display());
    let commands = READING.into_iter().chain([backup.as_str()]);
    for words in commands {
        let error = on(&store, words).failed(4);
        assert!(error.contains(&format!("open in process {}", std::process::id())), "{words}: {error}");
        on(&foreign, words).failed(5);
        on(&missing, words).failed(6);
        assert!(!missing.exists() && !copied.exists(), "{words}");
        assert_eq!(run(words.split(' ')).failed(2).lines().count(), 2, "{words} without a store");
    }
    on(&store, "init").failed(4);
    on(&foreign, "init").failed(5);
    assert_eq!(files(&foreign).len(), 1);
    holder.put("still", "works").unwrap();
}

#[test]
fn a_store_that_is_waited_for() {
    let (_dir, store) = place();
    let holder = filled(&store);
    let error = on(&store, "--wait=200ms status").failed(4);
    assert!(error.contains("hint: "), "{error}");
    let waiting = std::thread::spawn({
        let store: Box<Path> = store.clone().into();
        move || on(&store, "--wait status")
    });
    holder.close().unwrap();
    waiting.join().unwrap().done();
}
