//! How a driver begins and ends: the store that cannot be opened, the end of input, signals, a reader that goes away.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::driver::{Driver, ETCLITE, assert_fails, assert_within_a_second, run};
use crate::store::Store;

fn by_id(answers: &[Value], id: u64) -> &Value {
    answers.iter().find(|answer| answer["id"] == id).unwrap()
}

#[test]
fn a_second_opener_is_told_who_has_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let mut driver = Driver::on(&store);
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&store, &link).unwrap();
    for path in [&store, &link] {
        let (mut answers, code, errors) = run(&[path.to_str().unwrap(), "exec", "--json"], "{\"cmd\":\"revision\"}\n");
        assert_eq!((answers.len(), code, &errors[..]), (1, Some(4), ""));
        assert_eq!(answers[0]["detail"], json!({"pid": driver.pid(), "program": "etclite"}));
        assert_fails(&answers.remove(0), "LOCKED", -60);
    }
    assert_eq!(driver.call(json!({"cmd": "put", "key": "a", "value": "2"}))["revision"], 3);
    // The lock is free after SIGKILL.
    driver.kill();
    driver.ended();
    assert_eq!(Driver::on(&store).call(json!({"cmd": "revision"}))["revision"], 3);
}

#[test]
fn a_store_that_is_none_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious"), "work").unwrap();
    let store = dir.path().to_str().unwrap();
    let (answers, code, errors) = run(&[store, "exec", "--json"], "{\"cmd\":\"revision\"}\n");
    assert_eq!((answers.len(), code, &errors[..]), (1, Some(5), ""));
    assert_fails(&answers[0], "NOT_A_DATABASE", -63);
    let none = dir.path().join("none");
    let (answers, code, _) = run(&[none.to_str().unwrap(), "--no-create", "exec", "--json"], "");
    assert_eq!((answers.len(), answers[0]["ok"].clone(), none.exists()), (1, json!(false), false));
    assert!(matches!(code, Some(5 | 6)), "{answers:?} {code:?}");
}

#[test]
fn words_that_make_no_sense_are_usage_errors() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let store = store.to_str().unwrap();
    for args in [
        &["exec", "--json"][..],
        &[store, "exec"],
        &[store, "exec", "--json", "--in-memory"],
        &["exec", "--json", "--in-memory", "--db", store],
        &[store, "exec", "--json", "more"],
        &[store, "exec", "--jsonl"],
    ] {
        let (answers, code, errors) = run(args, "{\"cmd\":\"version\"}\n");
        assert_eq!((answers.len(), code), (0, Some(2)), "{args:?}");
        assert!(errors.contains("error:"), "{args:?} {errors}");
    }
    // A variable that is set for other commands is no STORE.
    let mut command = Command::new(ETCLITE);
    command.args(["exec", "--json", "--in-memory"]).env("ETCLITE_DB", store);
    assert_eq!(Driver::of(command).call(json!({"cmd": "put", "key": "a", "value": "1"}))["revision"], 2);
    assert!(!fs::exists(store).unwrap());
    let mut command = Command::new(ETCLITE);
    command.args(["exec", "--json"]).env("ETCLITE_DB", store);
    Driver::of(command).call(json!({"cmd": "version"}));
    assert!(fs::exists(store).unwrap());
}

#[test]
fn at_the_end_of_input_what_is_queued_still_runs() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let mut driver = Driver::on(&store);
    for n in 0..500 {
        driver.send(json!({"cmd": "put", "client": n % 7, "key": format!("k{n}"), "value": "v"}));
    }
    driver.send(json!({"cmd": "sleep", "client": 9, "ms": 100}));
    driver.send(json!({"cmd": "put", "client": 9, "key": "last", "value": "v"}));
    let (answers, status) = driver.end();
    assert_eq!((answers.len(), status.code()), (502, Some(0)));
    assert!(answers.iter().all(|answer| answer["ok"] == true));
    assert_eq!(Driver::on(&store).call(json!({"cmd": "range", "key": "", "prefix": true}))["count"], 501);
}

/// B-057: endless waits end once nobody has anything else to do, and the process with them.
#[test]
fn at_the_end_of_input_endless_waits_are_canceled() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "watch", "key": "a"}));
    driver.call(json!({"cmd": "watch", "key": "b"}));
    let never = driver.send(json!({"cmd": "watch_next", "client": 1, "watch": 1}));
    let behind = driver.send(json!({"cmd": "watch_next", "client": 1, "watch": 1, "timeout_ms": 20}));
    let late = driver.send(json!({"cmd": "watch_next", "client": 2, "watch": 2}));
    // A wait with a timeout keeps it, and so does what comes of it.
    driver.send(json!({"cmd": "sleep", "ms": 150}));
    driver.send(json!({"cmd": "put", "key": "b", "value": "1"}));
    let (answers, status) = driver.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(by_id(&answers, late)["progress"], 2);
    assert_eq!(by_id(&answers, never)["code"], "CANCELED");
    assert_eq!(by_id(&answers, never)["number"], -81);
    // The watch outlives the wait.
    assert_eq!(
        by_id(&answers, behind),
        &json!({"id": behind, "ok": true, "events": [], "progress": 2, "timeout": true})
    );
}

/// The event that nobody was woken for yet is handed out although the input has ended.
#[test]
fn at_the_end_of_input_no_event_is_lost() {
    for _ in 0..30 {
        let mut driver = Driver::in_memory();
        driver.call(json!({"cmd": "watch", "key": "a"}));
        let waits = driver.send(json!({"cmd": "watch_next", "client": 1, "watch": 1}));
        driver.send(json!({"cmd": "put", "key": "a", "value": "1"}));
        let (answers, _) = driver.end();
        assert_eq!(by_id(&answers, waits)["progress"], 2, "{answers:?}");
    }
}

#[test]
fn signals_cancel_what_waits_and_what_is_queued() {
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("s");
        let mut driver = Driver::on(&store);
        driver.call(json!({"cmd": "watch", "key": "a"}));
        for wait in [
            json!({"cmd": "sleep", "client": 1, "ms": 3_600_000}),
            json!({"cmd": "watch_next", "client": 2, "watch": 1}),
            json!({"cmd": "watch_next", "client": 3, "watch": 1, "timeout_ms": 3_600_000}),
        ] {
            let client = wait["client"].clone();
            driver.send(wait);
            driver.send(json!({"cmd": "put", "client": client, "key": "a", "value": "1"}));
        }
        driver.call(json!({"cmd": "put", "key": "b", "value": "1"}));
        let began = Instant::now();
        driver.signal(name);
        let (answers, status) = driver.ended();
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        assert_eq!((answers.len(), status.code()), (6, Some(code)));
        assert!(answers.iter().all(|answer| answer["code"] == "CANCELED" && answer["applied"] == "no"), "{answers:?}");
        assert_eq!(Driver::on(&store).call(json!({"cmd": "revision"}))["revision"], 2);
    }
}

/// 256 clients with waits in flight and SIGTERM: the process ends within a second and the store is clean.
#[test]
fn a_signal_ends_256_waiting_clients_within_a_second() {
    assert_within_a_second(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("s");
        let mut driver = Driver::on(&store);
        for client in 0..256 {
            driver.call(json!({"cmd": "put", "client": client, "key": "k", "value": "v"}));
            driver.call(json!({"cmd": "watch", "client": client, "key": "a", "rev": 0}));
        }
        for client in 1..256 {
            let timeout = if client % 2 == 0 { -1 } else { 600_000 };
            driver.send(json!({"cmd": "watch_next", "client": client, "watch": client + 1, "timeout_ms": timeout}));
        }
        // Once this is answered all of the above have been read.
        driver.call(json!({"cmd": "revision"}));
        driver.send(json!({"cmd": "watch_next", "watch": 1}));
        assert!(driver.is_silent_for(Duration::from_millis(100)));
        let began = Instant::now();
        driver.signal("TERM");
        let (answers, status) = driver.ended();
        let took = began.elapsed();
        assert!(matches!(answers.len(), 255 | 256) && status.code() == Some(143), "{status} {}", answers.len());
        assert!(answers.iter().all(|answer| answer["code"] == "CANCELED"));
        let mut driver = Driver::on(&store);
        expect!(driver, {"cmd": "check", "deep": true} => {"ok": true, "revision": 257, "clean": true, "problems": []});
        took
    });
}

#[test]
fn stop_on_error_starts_nothing_more() {
    let put = "{\"id\":1,\"cmd\":\"put\",\"key\":\"a\",\"value\":\"1\"}\n";
    let bad = "{\"id\":2,\"cmd\":\"get\",\"key\":\"\"}\n";
    let args = ["exec", "--json", "--in-memory", "--stop-on-error"];
    let (answers, code, errors) = run(&args, &[put, bad, put].concat());
    assert_eq!((answers.len(), code, &errors[..]), (2, Some(1), ""));
    assert_eq!(answers[1]["code"], "EMPTY_KEY");
    let (answers, code, _) = run(&args, &["nonsense\n", put].concat());
    assert_eq!((answers.len(), code), (1, Some(1)));
    let (answers, code, _) = run(&args, &[put, put].concat());
    assert_eq!((answers.len(), code), (2, Some(0)));
    // Without it the driver goes on.
    let (answers, code, _) = run(&args[..3], &[put, bad, put].concat());
    assert_eq!((answers.len(), code), (3, Some(0)));
}

/// Whether a client has begun with a line cannot be seen, so this is tried until all had.
#[test]
fn stop_on_error_lets_what_runs_finish() {
    let ended_well = (0..50).any(|_| {
        let mut driver = Driver::start(["exec", "--json", "--in-memory", "--stop-on-error"]);
        driver.call(json!({"cmd": "watch", "key": "a"}));
        let asleep = driver.send(json!({"cmd": "sleep", "client": 1, "ms": 200}));
        let dropped = driver.send(json!({"cmd": "put", "client": 1, "key": "a", "value": "1"}));
        let endless = driver.send(json!({"cmd": "watch_next", "client": 2, "watch": 1}));
        assert!(driver.is_silent_for(Duration::from_millis(20)));
        let bad = driver.send(json!({"cmd": "get", "key": ""}));
        let (answers, status) = driver.ended();
        assert_eq!((status.code(), &by_id(&answers, bad)["code"]), (Some(1), &json!("EMPTY_KEY")));
        for answer in &answers {
            assert!(answer["id"] != dropped, "{answer}");
            assert!(answer["id"] != asleep || answer["ok"] == true, "{answer}");
            assert!(answer["id"] != endless || answer["code"] == "CANCELED", "{answer}");
        }
        answers.len() == 3
    });
    assert!(ended_well, "what ran was never finished");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let mut command = Command::new(ETCLITE);
    command.args([store.as_os_str(), "exec".as_ref(), "--json".as_ref()]).env_remove("ETCLITE_DB");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    writeln!(stdin, "{{\"cmd\":\"watch\",\"key\":\"x\"}}").unwrap();
    stdout.read_line(&mut String::new()).unwrap();
    writeln!(stdin, "{{\"cmd\":\"watch_next\",\"client\":1,\"watch\":1}}").unwrap();
    drop(stdout);
    writeln!(stdin, "{{\"cmd\":\"put\",\"key\":\"a\",\"value\":\"1\"}}").unwrap();
    // The input stays open all the while.
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
    drop(stdin);
    assert_eq!(Driver::on(&store).call(json!({"cmd": "revision"}))["revision"], 2);
}

#[test]
fn an_output_that_fails_is_told() {
    let mut command = Command::new(ETCLITE);
    command.args(["exec", "--json", "--in-memory"]).env_remove("ETCLITE_DB");
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{{\"cmd\":\"version\"}}").unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(told.starts_with("error: cannot write to standard output") && told.lines().count() == 1, "{told}");
}

#[test]
fn it_waits_for_a_store_that_is_open_elsewhere_if_told_to() {
    let store = Store::with(&[("a", "1")]);
    let mut holder = store.start(["watch", "a", "--rev", "2"]);
    holder.lines(3);
    let path = store.path();
    let mut driver = Driver::start([path.to_str().unwrap(), "--wait", "exec", "--json"]);
    let id = driver.send(json!({"cmd": "revision"}));
    holder.signal("KILL");
    holder.end();
    assert_eq!(driver.answer(id)["revision"], 2);
}
