//! watch: retained history, and what the process itself sees.

use serde_json::{Value, json};

use crate::store::{Running, Store};

/// The tutorial's history, at revisions 2 to 5.
fn q1mi() -> Store {
    let store = Store::with(&[("q1mi", "dsb2")]);
    store.out(["del", "q1mi"]);
    store.out(["put", "q1mi", "dsb3"]);
    store.out(["put", "q1na", "x"]);
    store
}

#[test]
fn history_is_printed_and_count_ends_it() {
    let store = q1mi();
    assert_eq!(
        store.out(["watch", "q1mi", "--rev", "2", "--count", "3"]),
        "PUT\nq1mi\ndsb2\nDELETE\nq1mi\n\nPUT\nq1mi\ndsb3\n"
    );
    assert_eq!(store.out(["watch", "q1mi", "--rev", "2", "--count", "1"]), "PUT\nq1mi\ndsb2\n");
    assert_eq!(store.out(["watch", "q1", "--prefix", "--rev", "4", "--count", "2"]), "PUT\nq1mi\ndsb3\nPUT\nq1na\nx\n");
    assert_eq!(store.out(["watch", "q1mi", "q1n", "--rev", "4", "--count", "1"]), "PUT\nq1mi\ndsb3\n");
    let prev = store.out(["watch", "q1mi", "--rev", "3", "--count", "1", "--prev-kv"]);
    assert_eq!(prev, "DELETE\nq1mi\ndsb2\nq1mi\n\n");
}

#[test]
fn timeout_ends_it() {
    let store = q1mi();
    assert_eq!(store.out(["watch", "q1mi", "--timeout", "10ms"]), "");
    assert_eq!(store.out(["watch", "q1mi", "--rev", "4", "--timeout", "1"]), "PUT\nq1mi\ndsb3\n");
}

#[test]
fn signals_end_it_with_their_code() {
    let store = q1mi();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut watch = store.start(["watch", "q1mi", "--rev", "4"]);
        assert_eq!(watch.lines(3), ["PUT", "q1mi", "dsb3"]);
        watch.signal(signal);
        let ended = watch.end();
        assert_eq!((ended.code, ended.stderr.as_str(), ended.stdout.len()), (Some(code), "", 0), "{signal}");
    }
    assert_eq!(store.out(["get", "q1mi"]), "q1mi\ndsb3\n", "and the store is free");
}

#[test]
fn json_is_etcdctls() {
    let store = q1mi();
    let watched = store.json(["watch", "q1mi", "--rev", "2", "--count", "3", "--prev-kv", "-w", "json"]);
    assert_eq!(watched["Header"]["revision"], 5);
    let first = json!({"key": "cTFtaQ==", "create_revision": 2, "mod_revision": 2, "version": 1, "value": "ZHNiMg=="});
    assert_eq!(watched["Events"][0], json!({"kv": first}));
    assert_eq!(
        watched["Events"][1],
        json!({"type": 1, "kv": {"key": "cTFtaQ==", "mod_revision": 3}, "prev_kv": first})
    );
    assert_eq!(watched["Canceled"], false);
}

#[test]
fn jsonl_has_a_line_for_each_event() {
    let store = q1mi();
    let out = store.out(["watch", "q1mi", "--rev", "2", "--count", "2", "--prev-kv", "-w", "jsonl"]);
    let kv = r#"{"key":"q1mi","value":"dsb2","create_revision":2,"mod_revision":2,"version":1}"#;
    assert_eq!(
        out,
        format!(
            "{{\"type\":\"put\",\"kv\":{kv}}}\n{{\"type\":\"delete\",\"kv\":{{\"key\":\"q1mi\",\"mod_revision\":3}},\"prev\":{kv}}}\n"
        )
    );
}

#[test]
fn fields_and_table_have_the_types() {
    let store = q1mi();
    let fields = store.out(["watch", "q1mi", "--rev", "3", "--count", "1", "-w", "fields"]);
    assert!(fields.contains("\"Type\" : DELETE\n\"Key\" : \"q1mi\"\n\"CreateRevision\" : 0\n\"ModRevision\" : 3\n"));
    let table = store.out(["watch", "q1mi", "--rev", "3", "--count", "1", "-w", "table"]);
    assert!(table.contains("| DELETE | q1mi |"), "{table}");
}

#[test]
fn a_command_runs_for_each_event_with_etcdctls_environment() {
    let store = q1mi();
    let shown = "echo $ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE";
    let out = store.out(["watch", "q1mi", "--rev", "2", "--count", "2", "--", "sh", "-c", shown]);
    let told = "PUT\nq1mi\ndsb2\nDELETE\nq1mi\n\n";
    assert_eq!(out, format!("{told}5 \"PUT\" \"q1mi\" \"dsb2\"\n5 \"DELETE\" \"q1mi\" \"\"\n"));
}

#[test]
fn the_exit_code_of_a_command_that_fails_is_passed_on() {
    let store = q1mi();
    let fails = |command: &[&str]| {
        let args = ["watch", "q1mi", "--rev", "2", "-w", "jsonl", "--"];
        let ran = store.run(args.iter().chain(command));
        assert_eq!(ran.stdout.iter().filter(|&&byte| byte == b'\n').count(), 3, "the batch, then the command");
        ran.code
    };
    assert_eq!(fails(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(fails(&["sh", "-c", "kill -9 $$"]), Some(137));
    assert_eq!(fails(&["/nonexistent/command"]), Some(127));
}

#[test]
fn the_key_may_come_from_the_environment() {
    let store = q1mi();
    let with = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = store.command(args);
        command.envs(variables.iter().copied());
        crate::store::Ran::of(&mut command)
    };
    let key = ("ETCDCTL_WATCH_KEY", "q1mi");
    assert_eq!(with(&["watch", "--rev", "2", "--count", "1"], &[key]).out(), "PUT\nq1mi\ndsb2\n");
    let end = ("ETCDCTL_WATCH_RANGE_END", "q1z");
    let out = with(&["watch", "--rev", "4", "--count", "2", "--", "true"], &[key, end]).out();
    assert_eq!(out, "PUT\nq1mi\ndsb3\nPUT\nq1na\nx\n");
    with(&["watch", "q1mi"], &[key]).fails(2);
    with(&["watch"], &[end]).fails(2);
    with(&["watch"], &[]).fails(2);
}

#[test]
fn what_was_compacted_cannot_be_watched() {
    let store = q1mi();
    store.out(["compaction", "4"]);
    let compacted = "error: required revision has been compacted, the compact revision is 4";
    assert_eq!(store.run(["watch", "q1mi", "--rev", "3"]).fails(1), compacted);
    assert_eq!(store.run(["watch", "b", "a"]).fails(1), "error: watcher range is empty");
}

#[test]
fn a_readonly_watch_ends_after_the_history() {
    let store = q1mi();
    assert_eq!(store.out(["--readonly", "watch", "q1mi", "--rev", "4"]), "PUT\nq1mi\ndsb3\n");
}

#[test]
fn a_lease_that_ends_meanwhile_is_seen() {
    let store = q1mi();
    // By the revision, so that it is seen whether it ends before the watch or during it.
    let lease = store.out(["lease", "grant", "1500ms"]).split(' ').nth(1).unwrap().to_owned();
    store.out(["put", "short", "life", "--lease", &lease]);
    let out = store.out(["watch", "short", "--rev", "6", "--count", "2"]);
    assert_eq!(out, "PUT\nshort\nlife\nDELETE\nshort\n\n");
}

#[test]
fn interactive_watches_print_side_by_side() {
    let store = q1mi();
    let mut watch = store.start(["watch", "-i"]);
    watch.say("watch q1mi --rev 4");
    assert_eq!(watch.lines(3), ["PUT", "q1mi", "dsb3"]);
    watch.say("watch \"q1\\x6ea\" --rev=2 -- echo hello");
    assert_eq!(watch.lines(4), ["PUT", "q1na", "x", "hello"]);
    watch.say("progress");
    assert_eq!(watch.line(), "progress notify: 5");
    watch.say("nonsense");
    watch.say("watch q1mi --rev 2 --count 1");
    watch.say("watch q1mi --rev 3 --prev-kv");
    assert_eq!(watch.lines(5), ["DELETE", "q1mi", "dsb2", "q1mi", ""]);
    assert_eq!(watch.lines(3), ["PUT", "q1mi", "dsb3"]);
    watch.hush();
    let ended = watch.end();
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), 0));
    assert_eq!(ended.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 2, "{}", ended.stderr);
}

#[test]
fn an_interactive_watch_sees_a_lease_end() {
    let store = q1mi();
    let lease = store.out(["lease", "grant", "1500ms"]).split(' ').nth(1).unwrap().to_owned();
    store.out(["put", "short", "life", "--lease", &lease]);
    let mut watch = store.start(["watch", "-i", "-w", "jsonl"]);
    watch.say("watch short --rev 6");
    let kind = |line: String| serde_json::from_str::<Value>(&line).unwrap()["type"].clone();
    assert_eq!(kind(watch.line()), "put");
    assert_eq!(kind(watch.line()), "delete");
    watch.say("progress");
    assert_eq!(watch.line(), "{\"progress\":7}");
}

#[test]
fn signals_end_interactive_watches_too() {
    let store = q1mi();
    let mut watch: Running = store.start(["watch", "-i"]);
    watch.say("watch q1mi --rev 4");
    assert_eq!(watch.lines(3), ["PUT", "q1mi", "dsb3"]);
    watch.signal("INT");
    assert_eq!(watch.end().code, Some(130));
}

#[test]
fn a_command_that_cannot_read_its_stdin_does_not_eat_ours() {
    let store = q1mi();
    let mut watch = store.start(["watch", "-i"]);
    watch.say("watch q1mi --rev 4 -- cat");
    assert_eq!(watch.lines(3), ["PUT", "q1mi", "dsb3"]);
    watch.say("progress");
    assert_eq!(watch.line(), "progress notify: 5");
}

#[test]
fn signals_are_the_commands_to_answer() {
    let store = Store::with(&[("k", "1"), ("k", "2")]);
    let exits = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let ends_well = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    for (script, code) in [(exits, 7), (ends_well, 143)] {
        let mut watch = store.start(["watch", "k", "--rev", "2", "--", "sh", "-c", script]);
        while watch.line() != "ready" {}
        watch.signal("TERM");
        let ended = watch.end();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(!ended.stdout.ends_with(b"ready\n"), "no command starts after the signal");
    }
}
