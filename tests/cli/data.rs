//! init, backup, restore, dump, load.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use etclite::{Db, Delete, KeyRange, KeyValue, LeaseId, Op, Put, PutOptions};
use serde_json::Value;

use super::program::{
    Run, command, copy, damage, files, filled, filled_and_closed, on, on_with, place, run, run_cramped, run_file,
};

#[test]
fn init_makes_a_store_and_leaves_one_that_exists() {
    let (_dir, store) = place();
    assert_eq!(on(&store, "init").done(), "revision: 1\n");
    Db::open(&store).unwrap().put("a", "1").unwrap();
    assert_eq!(on(&store, "init -w json").json(), serde_json::json!({ "revision": 2 }));
    let (_dir, store) = place();
    on(&store, "init --no-create").failed(6);
    assert!(!store.exists());
}

/// Revision, hash at every retained revision, leases with their keys.
fn state(store: &Path) -> (u64, Vec<u32>, Vec<(LeaseId, Duration, u64)>) {
    let db = Db::open(store).unwrap();
    let from = db.compact_revision().get().max(1);
    let hashes = (from..=db.revision().get()).map(|at| db.hash(at).unwrap().hash).collect();
    let mut leases: Vec<_> = db.leases().unwrap().iter().map(|l| (l.id, l.granted, l.key_count)).collect();
    leases.sort();
    (db.revision().get(), hashes, leases)
}

#[test]
fn backup_and_restore_bring_everything_back() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let (backup, restored) = (dir.path().join("backup"), dir.path().join("restored"));
    let made = run([store.as_os_str(), "backup".as_ref(), backup.as_os_str(), "-w".as_ref(), "json".as_ref()]).json();
    assert_eq!(made["revision"], 10);
    assert!(made["bytes"].as_u64().unwrap() > 1_000_000, "{made}");
    let done = run(["restore".as_ref(), backup.as_os_str(), restored.as_os_str()]).done();
    assert!(done.starts_with("revision: 10\nbytes: "), "{done}");
    assert_eq!(state(&backup), state(&store));
    assert_eq!(state(&restored), state(&store));
}

#[test]
fn what_exists_is_never_overwritten() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let taken = dir.path().join("taken");
    fs::write(&taken, "mine").unwrap();
    for words in [["backup", ""], ["dump", ""], ["restore", "src"]] {
        let words = words
            .iter()
            .filter(|word| !word.is_empty())
            .map(|w| if *w == "src" { store.as_os_str() } else { w.as_ref() });
        let args = std::iter::once(store.as_os_str()).chain(words).chain([taken.as_os_str()]);
        let error = run(args).failed(1);
        assert!(error.contains("taken exists already"), "{error}");
    }
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn ct_05_restore_bumps_the_revision_and_marks_it_compacted() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let path = |name: &str| dir.path().join(name);
    let restore = |name: &str, words: &[&str]| {
        let (store, target) = (store.clone().into_os_string(), path(name).into_os_string());
        let words = words.iter().map(|word| OsStr::new(word).to_owned());
        run(["restore".into(), store, target].into_iter().chain(words)).done();
        Db::open(path(name)).unwrap()
    };
    let db = restore("bumped", &["--bump-revision", "1000"]);
    assert_eq!((db.revision().get(), db.compact_revision().get()), (1010, 1010));
    assert!(matches!(db.get_at("colour", 4u64), Err(etclite::Error::Compacted { .. })));
    assert!(matches!(
        db.watch(..).from(11u64).start().and_then(|mut w| w.next().unwrap()),
        Err(etclite::Error::Compacted { .. })
    ));
    let kv = db.get("colour").unwrap().unwrap();
    assert_eq!((kv.create_revision.get(), kv.mod_revision.get(), kv.version), (2, 3, 2));
    assert_eq!(db.put("new", "1").unwrap().revision, 1011);
    assert!(db.check().unwrap().is_clean());

    let db = restore("marked", &["--mark-compacted"]);
    assert_eq!((db.revision().get(), db.compact_revision().get()), (10, 10));
    let db = restore("plain", &[]);
    assert_eq!((db.revision().get(), db.compact_revision().get()), (10, 0));
    let beyond = ["restore".as_ref(), store.as_os_str(), path("beyond").as_os_str(), "--bump-revision".as_ref()]
        .into_iter()
        .map(OsStr::to_owned)
        .chain([i64::MAX.to_string().into()])
        .collect::<Vec<_>>();
    run(&beyond).failed(1);
    assert!(!path("beyond").exists());
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let restored = dir.path().join("restored");
    damage(&run_file(&store), 10);
    let refused = run(["restore".as_ref(), store.as_os_str(), restored.as_os_str()]);
    assert_eq!(refused.code, Some(5));
    assert!(refused.out.starts_with("run/") && refused.out.contains("offset 0: "), "{}", refused.out);
    assert!(!restored.exists());
    run(["restore".as_ref(), dir.path().join("no").as_os_str(), restored.as_os_str()]).failed(6);
    run(["--no-create".as_ref(), "restore".as_ref(), store.as_os_str(), restored.as_os_str()]).failed(2);
    assert!(!restored.exists());
}

/// A dump but for what is left of leases, which the clock decides.
fn without_remaining(dump: &str) -> String {
    let line = |line: &str| match line.split_once(",\"remaining_ms\":") {
        Some((before, _)) => format!("{before}}}\n"),
        None => format!("{line}\n"),
    };
    dump.lines().map(line).collect()
}

#[test]
fn equal_stores_dump_equal_bytes() {
    let (dir, store) = place();
    let db = filled(&store);
    let backup = dir.path().join("backup");
    db.backup(&backup).unwrap();
    db.close().unwrap();
    for words in ["dump", "dump --history", "dump --rev 7", "dump --prefix service/"] {
        let (a, b) = (on(&store, words).done(), on(&backup, words).done());
        assert_eq!(without_remaining(&a), without_remaining(&b), "{words}");
    }
}

#[test]
fn the_dump_is_as_specified() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    let hash = on(&store, "hash -w json").json()["hash"].as_str().unwrap().to_owned();
    let dump = without_remaining(&on(&store, "dump").done());
    let expected = [
        r#"{"etclite_dump":1,"revision":10,"compact_revision":0,"history":false}"#,
        r#"{"key":"colour","value":"bl\"u\ne🌈","create_revision":2,"mod_revision":3,"version":2}"#,
        r#"{"key":"service/a","value":"","create_revision":5,"mod_revision":5,"version":1,"lease":"fffffffffffffffe"}"#,
        &format!(
            r#"{{"key":"service/b","value_b64":"{}gA==","create_revision":6,"mod_revision":6,"version":1,"lease":"7"}}"#,
            "gICA".repeat(33)
        ),
        r#"{"key_b64":"/wBr","value_b64":"/v0=","create_revision":4,"mod_revision":4,"version":1}"#,
        r#"{"lease":"fffffffffffffffe","granted_ms":3600000}"#,
        r#"{"lease":"7","granted_ms":3600000}"#,
        &format!(r#"{{"end":true,"kvs":4,"leases":2,"hash":"{hash}"}}"#),
    ];
    assert_eq!(dump.lines().collect::<Vec<_>>(), expected);
    let history = on(&store, "dump --history --prefix gone").done();
    let changes: Vec<&str> = history.lines().filter(|line| line.contains("\"type\"")).collect();
    let expected = [
        r#"{"type":"put","rev":7,"sub":0,"kv":{"key":"gone","value":"1","create_revision":7,"mod_revision":7,"version":1}}"#,
        r#"{"type":"delete","rev":8,"sub":0,"kv":{"key":"gone","mod_revision":8}}"#,
        r#"{"type":"put","rev":9,"sub":0,"kv":{"key":"gone","value":"2","create_revision":9,"mod_revision":9,"version":1}}"#,
        r#"{"type":"delete","rev":10,"sub":0,"kv":{"key":"gone","mod_revision":10}}"#,
    ];
    assert_eq!(changes, expected);
    let old = on(&store, "dump --rev 2").done();
    assert!(old.contains(r#""revision":2"#) && old.contains(r#""value":"red""#) && !old.contains("service"), "{old}");
    on(&store, "dump --rev 11").failed(1);
}

/// Keys, values and leases: what a dump brings back.
fn contents(db: &Db) -> Vec<(Vec<u8>, Vec<u8>, i64)> {
    let kvs = db.range(KeyRange::all()).unwrap().map(Result::unwrap);
    kvs.map(|kv: KeyValue| (kv.key.to_vec(), kv.value.to_vec(), kv.lease.get())).collect()
}

#[test]
fn a_dump_is_loaded_from_a_pipe_a_file_and_stdin() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let file = dir.path().join("dump.jsonl");
    assert_eq!(run([store.as_os_str(), "dump".as_ref(), file.as_os_str()]).done(), "");
    let dump = fs::read(&file).unwrap();
    assert_eq!(without_remaining(std::str::from_utf8(&dump).unwrap()), without_remaining(&on(&store, "dump").done()));

    let target = |name: &str| dir.path().join(name);
    let expected = serde_json::json!({ "revision": 2, "kvs": 4, "leases": 2 });
    assert_eq!(on_with(&target("piped"), "load -w json", &dump).json(), expected);
    let from_file = [target("file").into_os_string(), "load".into(), file.clone().into(), "-w".into(), "json".into()];
    assert_eq!(run(from_file).json(), expected);
    let mut redirected = command([target("stdin").as_os_str(), "load".as_ref()]);
    assert!(redirected.stdin(fs::File::open(&file).unwrap()).status().unwrap().success());

    let source = Db::open(&store).unwrap();
    for name in ["piped", "file", "stdin"] {
        let db = Db::open(target(name)).unwrap();
        assert_eq!(contents(&db), contents(&source), "{name}");
        for id in [7, -2] {
            let lease = db.lease(id).time_to_live().unwrap().unwrap();
            assert_eq!((lease.granted, lease.key_count), (Duration::from_secs(3600), 1));
        }
        assert!(db.check().unwrap().is_clean());
    }
}

#[test]
fn a_history_is_played_back() {
    let (dir, store) = place();
    let db = filled(&store);
    db.put("zz", "1").unwrap();
    // Deleted and put again in one revision, which only an endless range can do (TX-10).
    let again = [Delete::new(KeyRange::from_key("zz")).into(), Op::from(Put::new("zz", "2"))];
    assert!(db.txn().then(again).commit().unwrap().succeeded);
    db.close().unwrap();
    let dump = on(&store, "dump --history").done();
    let target = dir.path().join("target");
    on_with(&target, "load", dump.as_bytes()).done();
    let (a, b) = (Db::open(&store).unwrap(), Db::open(&target).unwrap());
    assert_eq!(contents(&a), contents(&b));
    assert_eq!(b.revision(), a.revision() + 1, "the last revision became two");
    for revision in 1..a.revision().get() {
        assert_eq!(a.get_at("colour", revision).unwrap(), b.get_at("colour", revision).unwrap(), "at {revision}");
        assert_eq!(a.get_at("gone", revision).unwrap(), b.get_at("gone", revision).unwrap(), "at {revision}");
    }
}

#[test]
fn a_dump_that_was_cut_off_loads_nothing() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let dump = on(&store, "dump").done();
    let target = dir.path().join("target");
    let line_ends = dump.match_indices('\n').map(|(at, _)| at + 1);
    let cuts = line_ends.flat_map(|end| [end - 20, end - 2, end]).filter(|cut| *cut < dump.len() - 1);
    for cut in cuts {
        on_with(&target, "load", &dump.as_bytes()[..cut]).failed(1);
        assert!(!target.exists(), "cut at {cut}");
    }
    // The newline alone is no loss.
    on_with(&target, "load", &dump.as_bytes()[..dump.len() - 1]).done();
}

#[test]
fn what_is_no_dump_loads_nothing() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let dump = on(&store, "dump").done();
    let lines: Vec<&str> = dump.lines().collect();
    let without = |left_out: usize| {
        lines
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != left_out)
            .map(|(_, line)| format!("{line}\n"))
            .collect::<String>()
    };
    let bad = [
        String::new(),
        "{}\n".into(),
        without(0),
        without(1),
        without(5),
        format!("{dump}{{\"key\":\"secret\"}}\n"),
        dump.replacen("etclite_dump\":1", "etclite_dump\":2", 1),
        dump.replacen("\"kvs\":4", "\"kvs\":5", 1),
        dump.replacen("\"value\":\"\"", "\"value\":1", 1),
        dump.replacen("/wBr", "not base64", 1),
        dump.replacen("\"history\":false", "\"history\":true", 1),
        dump.replacen("\"lease\":\"7\",\"granted", "\"lease\":\"fffffffffffffffe\",\"granted", 1),
        dump.replacen("\"key\":\"colour\"", "\"key\":\"\"", 1),
        dump.replacen("\"lease\":\"7\",\"granted_ms\":3600000", "\"lease\":\"7\",\"granted_ms\":9000000000001", 1),
        dump.replacen("\"lease\":\"7\",\"granted", "\"lease\":\"0\",\"granted", 1),
    ];
    let target = dir.path().join("target");
    for (number, dump) in bad.iter().enumerate() {
        let error = on_with(&target, "load", dump.as_bytes()).failed(1);
        assert!(!target.exists(), "bad dump {number}");
        assert!(!error.contains("colour") && !error.contains("secret"), "an error tells no data: {error}");
    }
}

/// A value of the largest size that is taken for certain, and one of a byte more, which must not fail half-way.
#[test]
fn a_value_beyond_all_requests_loads_nothing() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let dump = on(&store, "dump").done();
    let largest = (32 << 20) - 512 - "colour".len();
    let with = |len: usize| {
        let (before, after) = dump.split_once("\"value\":\"bl").unwrap();
        let (_, after) = after.split_once("\",\"create").unwrap();
        format!("{before}\"value\":\"{}\",\"create{after}", "x".repeat(len))
    };
    let target = dir.path().join("target");
    on_with(&target, "load", with(largest + 1).as_bytes()).failed(1);
    assert!(!target.exists());
    on_with(&target, "load", with(largest).as_bytes()).done();
    let loaded = Db::open(&target).unwrap().get("colour").unwrap().unwrap();
    assert_eq!(loaded.value.len(), largest);
}

#[test]
fn load_refuses_leases_that_are_there() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    let dump = on(&store, "dump").done();
    let before = state(&store);
    let error = on_with(&store, "load", dump.as_bytes()).failed(1);
    assert!(error.contains("exists in the store already"), "{error}");
    assert_eq!(state(&store), before);
}

#[test]
fn keys_whose_lease_is_not_in_the_dump_are_put_without() {
    let (dir, store) = place();
    let db = filled(&store);
    db.lease(7).revoke().unwrap();
    db.close().unwrap();
    let dump = on(&store, "dump --rev 6").done();
    let target = dir.path().join("target");
    let loaded = on_with(&target, "load", dump.as_bytes());
    assert_eq!(
        (loaded.code, loaded.err.as_str()),
        (Some(0), "put without a lease, as the dump does not hold theirs: 1 keys\n")
    );
    let for_programs = on_with(&dir.path().join("json"), "-w json load", dump.as_bytes()).json();
    assert_eq!(for_programs["without_lease"], 1);
    // Who listens to nothing does not hurt it.
    let file = dir.path().join("dump");
    fs::write(&file, &dump).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut deaf = command([dir.path().join("deaf").as_os_str(), "load".as_ref(), file.as_os_str()]);
    assert_eq!(deaf.stderr(writer).output().unwrap().status.code(), Some(0));
    let db = Db::open(&target).unwrap();
    assert_eq!(db.get("service/b").unwrap().unwrap().lease, LeaseId::NONE);
    assert_eq!(db.get("service/a").unwrap().unwrap().lease, LeaseId::new(-2));
}

#[test]
fn many_and_large_values_are_loaded_in_batches() {
    let (dir, store) = place();
    let db = Db::open(&store).unwrap();
    for i in 0..2500 {
        db.txn().then([Put::new(format!("k{i:05}"), format!("v{i}"))]).commit().unwrap();
    }
    db.put("large", vec![0xff; 20 << 20]).unwrap();
    db.put_with("leased", "", PutOptions::new().lease(db.grant_with_id(1, Duration::from_secs(600)).unwrap().id()))
        .unwrap();
    db.close().unwrap();
    let target = dir.path().join("target");
    let file = dir.path().join("dump");
    run([store.as_os_str(), "dump".as_ref(), file.as_os_str()]).done();
    let loaded = run([target.as_os_str(), "load".as_ref(), file.as_os_str(), "-w".as_ref(), "json".as_ref()]).json();
    // 1,000, 1,000 and 500 keys, the large one alone, and what is left.
    assert_eq!(loaded, serde_json::json!({ "revision": 6, "kvs": 2502, "leases": 1 }));
    assert_eq!(contents(&Db::open(&target).unwrap()), contents(&Db::open(&store).unwrap()));
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let (dir, store) = place();
    let db = filled(&store);
    db.put("large", vec![b'x'; 2 << 20]).unwrap();
    db.close().unwrap();
    let file = dir.path().join("dump");
    // 1 MiB a file: the dump does not fit, and neither does a store.
    run_cramped(2048, &[store.as_os_str(), "--readonly".as_ref(), "dump".as_ref(), file.as_os_str()]).failed(6);
    assert!(!file.exists());
    let copied = dir.path().join("copy");
    run_cramped(2048, &[store.as_os_str(), "--readonly".as_ref(), "backup".as_ref(), copied.as_os_str()]).failed(6);
    run_cramped(2048, &["restore".as_ref(), store.as_os_str(), copied.as_os_str()]).failed(6);
    assert!(!copied.exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished lies about");
    let full = run_cramped(2048, &[store.as_os_str(), "init".as_ref()]).failed(6);
    assert!(!full.contains("panic"), "{full}");
    assert_eq!(on(&store, "check").done(), "clean\n");
}

#[test]
fn a_reader_that_goes_away_ends_a_dump_quietly() {
    let (_dir, store) = place();
    let db = filled(&store);
    for i in 0..20 {
        db.put(format!("large/{i}"), vec![b'x'; 100_000]).unwrap();
    }
    db.close().unwrap();
    let mut child = command([store.as_os_str(), "dump".as_ref()]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // Half the pipe's size is read, more is waiting, then nobody reads on.
    BufReader::with_capacity(1 << 10, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(serde_json::from_str::<Value>(&line).is_ok());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn an_open_store_can_be_copied_after_it_was_left_by_a_crash() {
    let (dir, store) = place();
    let db = filled(&store);
    let crashed = dir.path().join("crashed");
    copy(&store, &crashed);
    drop(db);
    let before = files(&crashed);
    let backup = dir.path().join("backup");
    run([crashed.as_os_str(), "--readonly".as_ref(), "backup".as_ref(), backup.as_os_str()]).done();
    assert_eq!(files(&crashed), before, "--readonly writes nothing");
    assert_eq!(state(&backup), state(&store));
}

fn snapshot() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/etcd-snapshot/snapshot.db")
}

fn import(store: &Path, snapshot: &Path, words: &str) -> Run {
    let words = words.split_whitespace().map(OsStr::new);
    run([store.as_os_str(), "import-etcd".as_ref(), snapshot.as_os_str()].into_iter().chain(words))
}

#[test]
fn a_snapshot_of_etcd_becomes_a_store() {
    let (dir, store) = place();
    let report = import(&store, &snapshot(), "-w json").json();
    let db = Db::open(&store).unwrap();
    assert_eq!(report["revision"], db.revision().get());
    assert_eq!(report["compact_revision"], db.compact_revision().get());
    assert_eq!(report["leases"], db.leases().unwrap().len());
    assert!(report["changes"].as_u64().unwrap() >= db.count(..).unwrap() && db.count(..).unwrap() > 0);
    let revision = db.revision();
    db.close().unwrap();
    assert_eq!(on(&store, "check --deep").done(), "clean\n");
    let bumped = dir.path().join("bumped");
    let done = import(&bumped, &snapshot(), "--bump-revision 1000 --mark-compacted").done();
    let expected = revision + 1000;
    assert!(done.starts_with(&format!("revision: {expected}\ncompact_revision: {expected}\n")), "{done}");
    assert_eq!(on(&bumped, "check --deep").done(), "clean\n");
}

#[test]
fn an_import_takes_place_whole_or_not_at_all() {
    let (dir, store) = place();
    let bytes = fs::read(snapshot()).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut flipped = bytes.clone();
    flipped[40_000] ^= 1;
    import(&store, &file("flipped", &flipped), "").failed(5);
    let plain = file("plain", &bytes[..bytes.len() - 32]);
    import(&store, &plain, "").failed(1);
    import(&store, &file("letter", b"dear etcd"), "").failed(5);
    import(&store, &dir.path().join("missing"), "").failed(6);
    import(&store, &snapshot(), "--no-create").failed(2);
    import(&store, &snapshot(), "--readonly").failed(2);
    assert!(!store.exists());
    import(&store, &plain, "--skip-hash-check").done();
    let error = import(&store, &snapshot(), "").failed(1);
    assert!(error.contains("exists already"), "{error}");
    assert_eq!(on(&store, "check").done(), "clean\n");
}

#[test]
fn a_dump_is_as_private_as_a_store() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, store) = place();
    filled_and_closed(&store);
    let file = dir.path().join("dump");
    run([store.as_os_str(), "dump".as_ref(), file.as_os_str()]).done();
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}
