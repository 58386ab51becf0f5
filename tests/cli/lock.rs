//! lock and elect: held while a command runs or until a signal.

use serde_json::json;

use crate::store::{ETCLITE, Store};

fn some() -> Store {
    Store::with(&[("k", "v")])
}

#[test]
fn b_072_the_commands_exit_code_and_environment() {
    let store = some();
    for code in [0, 1, 3, 7, 255] {
        let ran = store.run(["lock", "n", "--", "sh", "-c", &format!("exit {code}")]);
        assert_eq!((ran.code, ran.stdout.len(), ran.stderr.as_str()), (Some(code), 0, ""));
    }
    assert_eq!(store.run(["lock", "n", "--", "sh", "-c", "kill -TERM $$"]).code, Some(143));
    assert_eq!(store.run(["lock", "n", "--", "/nonexistent/command"]).fails(127).find("cannot run"), Some(7));

    let variables = |args: &[&str]| {
        let mut command = store.command(args);
        command.env("MINE", "a b=c").env("ETCD_OTHER", "x");
        let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let mut lines: Vec<String> = out.lines().map(str::to_owned).filter(|line| !line.starts_with("_=")).collect();
        lines.sort();
        lines
    };
    let with = variables(&["lock", "n", "--", "env"]);
    let (added, kept): (Vec<_>, Vec<_>) = with.into_iter().partition(|line| line.starts_with("ETCD_LOCK_"));
    assert_eq!(added.len(), 2);
    assert!(added[0].starts_with("ETCD_LOCK_KEY=n/"), "{added:?}");
    let revision: u64 = added[1].strip_prefix("ETCD_LOCK_REV=").unwrap().parse().unwrap();
    assert!(revision > 2);
    let mut ours: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    ours.extend([format!("ETCLITE_DB={}", store.path().display()), "MINE=a b=c".into(), "ETCD_OTHER=x".into()]);
    ours.retain(|line| !line.starts_with("_=") && !line.contains('\n'));
    assert!(ours.iter().all(|line| kept.contains(line)), "{ours:?} in {kept:?}");
}

#[test]
fn a_command_reads_what_we_are_given() {
    assert_eq!(some().run_with(["lock", "n", "cat"], b"through").out(), "through");
}

#[test]
fn ct_02_words_after_the_name_are_the_commands_own() {
    let store = some();
    assert_eq!(store.out(["lock", "n", "echo", "locked"]), "locked\n");
    assert_eq!(store.out(["lock", "--ttl", "5", "n", "--", "echo", "--ttl", "-w"]), "--ttl -w\n");
    assert_eq!(store.out(["lock", "n", "echo", "--try", "-e"]), "--try -e\n");
}

#[test]
fn nothing_is_left_of_a_lock_that_ended_well() {
    let store = some();
    store.out(["lock", "n", "true"]);
    assert_eq!(store.out(["get", "n/", "--prefix"]), "");
    assert_eq!(store.out(["lease", "list"]), "found 0 leases\n");
}

#[test]
fn a_lock_without_a_command_is_held_until_a_signal() {
    let store = some();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut lock = store.start(["lock", "n"]);
        assert!(lock.line().starts_with("n/"));
        assert_eq!(lock.line(), "");
        lock.signal(signal);
        let ended = lock.end();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(code), ""));
        assert_eq!(store.out(["get", "n/", "--prefix"]), "", "and is free then");
        assert_eq!(store.out(["lease", "list"]), "found 0 leases\n");
    }
}

#[test]
fn a_child_that_opens_the_store_is_told_who_has_it() {
    let store = some();
    let mut lock = store.start(["lock", "n", "--", "sh", "-c", &format!("{ETCLITE} get k 2>&1; echo $?")]);
    let pid = lock.pid();
    assert!(lock.line().contains(&format!(" is open in process {pid} (etclite, since ")));
    assert!(lock.line().starts_with("hint: "));
    assert_eq!(lock.line(), "4");
}

#[test]
fn what_a_dead_process_held_is_held_until_its_lease_ends() {
    let store = some();
    let mut dead = store.start(["lock", "n", "--ttl", "1"]);
    let key = dead.line();
    dead.signal("KILL");
    assert_eq!(dead.end().code, None);
    // While the lease runs `--try` finds the lock held; how long that is, is measured in the boot clock of the host.
    let tried = store.run(["lock", "n", "--try", "-e", "-w", "jsonl"]);
    assert!(matches!(tried.code, Some(0 | 3)), "{tried:?}");
    let mut next = store.start(["lock", "n", "-w", "jsonl"]);
    let held: serde_json::Value = serde_json::from_str(&next.line()).unwrap();
    assert_eq!(held["acquired"], true);
    assert_ne!(held["token"]["key"], json!(key));
    next.signal("TERM");
    assert_eq!(next.end().code, Some(143));
}

#[test]
fn a_lock_that_is_held_is_not_tried_for() {
    let store = some();
    let mut dead = store.start(["lock", "n", "--ttl", "1000"]);
    dead.line();
    dead.signal("KILL");
    dead.end();
    assert_eq!(store.out(["lock", "n", "--try", "--", "echo", "never"]), "");
    assert_eq!(store.run(["lock", "n", "--try", "-e", "--", "echo", "never"]).code, Some(3));
    let answer = store.json(["lock", "n", "--try", "-w", "jsonl"]);
    assert_eq!(answer["acquired"], false);
    assert_eq!(store.json(["lock", "n", "--try", "-w", "json"])["kvs"], json!([]));
    // And a wait for it ends with a signal, leaving nothing but what was there.
    let waiting = store.start(["lock", "n"]);
    crate::store::until_listening(waiting.pid());
    waiting.signal("INT");
    assert_eq!(waiting.end().code, Some(130));
    assert_eq!(store.out(["get", "n/", "--prefix", "--count-only"]), "1\n");
}

#[test]
fn the_formats_of_a_lock() {
    let store = some();
    for (format, expect) in [
        ("json", "\"kvs\":[{\"key\":\"bi"),
        ("jsonl", "\"acquired\":true,\"token\":{\"key\":\"n/"),
        ("fields", ""),
        ("table", ""),
    ] {
        let mut lock = store.start(["lock", "n", "-w", format]);
        let line = lock.line();
        assert!(line.contains(expect), "{line}");
        lock.signal("TERM");
        assert_eq!(lock.end().code, Some(143));
    }
}

#[test]
fn a_leader_leads_until_a_signal() {
    let store = some();
    let mut leader = store.start(["elect", "e", "me"]);
    assert!(leader.line().starts_with("e/"));
    assert_eq!(leader.line(), "me");
    leader.signal("INT");
    assert_eq!(leader.end().code, Some(130));
    assert_eq!(store.out(["get", "e/", "--prefix"]), "", "it has resigned");
    store.run(["elect", "e"]).fails(2);
    store.run(["elect", "e", "me", "--listen"]).fails(2);
}

#[test]
fn listeners_are_told_who_leads() {
    let store = some();
    let mut dead = store.start(["elect", "e", "me"]);
    let key = dead.line();
    dead.signal("KILL");
    dead.end();
    let mut listener = store.start(["elect", "e", "--listen"]);
    assert_eq!(listener.lines(2), [key.as_str(), "me"], "as its lease still runs");
    listener.signal("TERM");
    assert_eq!(listener.end().code, Some(143));
}

/// A service manager ends us, not the command: it must learn of that, and its answer is ours.
#[test]
fn signals_are_the_commands_to_answer() {
    let store = some();
    for (signal, code) in [("TERM", 7), ("INT", 9)] {
        let script =
            "trap 'echo term; exit 7' TERM; trap 'echo int; exit 9' INT; echo ready; while :; do sleep 0.05; done";
        let mut lock = store.start(["lock", "n", "--", "sh", "-c", script]);
        assert_eq!(lock.line(), "ready");
        lock.signal(signal);
        assert_eq!(lock.line(), signal.to_lowercase());
        assert_eq!(lock.end().code, Some(code));
    }
    let mut lock = store.start(["lock", "n", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    assert_eq!(lock.line(), "ready");
    lock.signal("TERM");
    assert_eq!(lock.end().code, Some(143));
    assert_eq!(store.out(["get", "n/", "--prefix"]), "", "and the lock is free");
}
