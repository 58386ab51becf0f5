//! bench: what stands beside the figures, and that nothing is left behind.

use std::fs;

use etclite::Db;
use serde_json::Value;

use super::program::{command, filled_and_closed, on, place};
use super::store::{Running, until_listening};

const QUICK: [&str; 7] = ["bench", "--seconds", "350ms", "--keys", "50", "--threads", "3"];

#[test]
fn a_temporary_store_is_measured_and_removed() {
    let (dir, _) = place();
    let output = command(QUICK).args(["-w", "json", "--value-bytes", "64"]).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["etclite", "build", "machine", "kernel", "file_system"] {
        assert!(!report[name].as_str().unwrap().is_empty(), "{name}: {report}");
    }
    assert!(report["durability"].as_str().unwrap().starts_with("synced: "));
    assert_eq!((&report["keys"], &report["key_bytes"], &report["value_bytes"]), (&50.into(), &32.into(), &64.into()));
    let figures = report["figures"].as_array().unwrap();
    let rows: Vec<_> = figures.iter().map(|f| (f["what"].as_str().unwrap(), f["threads"].as_u64().unwrap())).collect();
    let floor = ("fdatasync (the floor)", 1);
    assert_eq!(rows, [floor, ("put", 1), ("put", 3), floor, ("get", 1), ("get", 3), ("range of 100", 1)]);
    for figure in figures {
        assert!(figure["count"].as_u64().unwrap() > 0 && figure["per_second"].as_f64().unwrap() > 0.0, "{figure}");
        assert!(figure["p50_ns"].as_u64().unwrap() <= figure["p99_ns"].as_u64().unwrap(), "{figure}");
        let compared = matches!(figure["what"].as_str(), Some("put" | "fdatasync (the floor)"));
        assert_eq!(figure["floors"].is_f64(), compared, "{figure}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_store_of_ones_own_is_left_as_it_was() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let before = Db::open(&store).unwrap().count(..).unwrap();
    let text = on(&store, &format!("{} --durability written", QUICK.join(" "))).done();
    assert!(text.contains("durability: written: ") && text.contains("| WHAT "), "{text}");
    let db = Db::open(&store).unwrap();
    assert_eq!(db.count(..).unwrap(), before);
    assert!(db.revision().get() > 10 && db.check().unwrap().is_clean());
    db.close().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(!fs::read_dir(&store).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().contains("bench")));
    on(&store, "--readonly bench").failed(2);
    on(&dir.path().join("missing"), "bench").failed(6);
    assert!(!dir.path().join("missing").exists());
}

#[test]
fn a_signal_ends_it_and_leaves_nothing() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let before = Db::open(&store).unwrap().count(..).unwrap();
    for (args, signal, code) in [(&["bench"][..], "INT", 130), (&["app.etcl", "bench"], "TERM", 143)] {
        let mut bench = command(args.iter().chain(&["--seconds", "1h"]));
        let running = Running::of(bench.current_dir(dir.path()));
        until_listening(running.pid());
        running.signal(signal);
        let ended = running.end();
        assert_eq!((ended.code, ended.stdout.len()), (Some(code), 0), "{ended:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{args:?}");
    }
    assert_eq!(Db::open(&store).unwrap().count(..).unwrap(), before);
}
