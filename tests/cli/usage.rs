//! Words that make no sense are told on one line, as an object where output is one, and never repeated: any of them may be
//! a value in the wrong place.

use std::process::Command;

use serde_json::Value;

use crate::store::{ETCLITE, Ran, Store};

fn some() -> Store {
    Store::with(&[("a", "1")])
}

/// Without a store in the environment.
fn homeless(store: &Store, args: &[&str]) -> Command {
    let mut command = Command::new(ETCLITE);
    command.args(args).env_remove("ETCLITE_DB").current_dir(store.beside(""));
    command
}

#[test]
fn a_usage_error_is_one_line_without_the_users_words() {
    let store = some();
    for args in [
        &["put", "a", "b", "SECRET"][..],
        &["put", "a", "--SECRET"],
        &["put", "a", "-SECRET"],
        &["SECRET"],
        &["lease", "SECRET"],
        &["get", "a", "--order", "SECRET"],
        &["get", "a", "--limit", "SECRET"],
        &["get", "a", "--wait=SECRET"],
        &["compaction", "SECRET"],
        &["watch", "a", "--timeout", "7SECRET"],
    ] {
        let ran = store.run(args);
        let lines: Vec<&str> = ran.stderr.lines().collect();
        assert!(
            lines.len() == 2 && lines[0].starts_with("error: ") && lines[1].starts_with("hint: "),
            "{args:?}: {ran:?}"
        );
        assert!(!ran.stderr.contains("SECRET"), "{args:?}: {ran:?}");
        assert_eq!(ran.code, Some(2), "{args:?}");

        let ran = store.run([&["-w", "json"], args].concat());
        let object: Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!((&object["code"], &object["applied"]), (&"INVALID_ARGUMENT".into(), &"no".into()), "{args:?}");
        assert!(!ran.stderr.contains("SECRET") && ran.code == Some(2), "{args:?}: {ran:?}");
    }
}

#[test]
fn a_usage_error_says_what_is_missing_or_wrong() {
    let store = some();
    for (args, part) in [
        (&["get"][..], "get: missing <KEY>"),
        (&["get", "a", "--order", "up"], "ASCEND, DESCEND"),
        (&["get", "a", "--prefix", "--from-key"], "cannot be used with"),
        (&["watch", "a", "--timeout", "7x"], "no unit of time"),
        (&["gett", "a"], "did you mean get?"),
        (&["get", "a", "--prefx"], "did you mean --prefix?"),
    ] {
        let line = store.run(args).fails(2);
        assert!(line.contains(part), "{args:?}: {line}");
    }
}

#[test]
fn control_bytes_of_a_path_are_escaped() {
    let store = Store::new();
    let ran = Ran::of(&mut homeless(&store, &["./none\n\x1b[2J", "get", "a"]));
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(ran.stderr.contains("none\\n\\u{1b}[2J"), "{ran:?}");
}

#[test]
fn flags_that_only_reach_a_server_are_taken() {
    let store = some();
    for flag in ["discovery-srv", "discovery-srv-name", "auth-jwt-token", "max-request-bytes", "max-recv-bytes"] {
        assert_eq!(store.out([&format!("--{flag}"), "x", "get", "a"]), "a\n1\n", "{flag}");
        assert_eq!(store.out(["get", "a", &format!("--{flag}=x")]), "a\n1\n", "{flag}");
    }
    assert_eq!(store.out(["--insecure-discovery", "get", "a"]), "a\n1\n");
}

#[test]
fn a_mistyped_command_makes_no_store() {
    let store = some();
    let run = |command: &mut Command| Ran::of(command.current_dir(store.beside("")));
    assert!(run(&mut store.command(["usr", "put", "k", "v"])).fails(2).contains("unknown command"));
    let named = store.path();
    assert!(run(homeless(&store, &["usr", "put", "k", "v"]).arg("--db").arg(&named)).fails(2).len() > 7);
    assert!(run(homeless(&store, &["-d", "app.etcl", "usr", "put", "k", "v"]).arg("-q")).fails(2).contains("unknown"));
    assert!(!store.beside("usr").exists());
    let path = store.path();
    let lock = [path.to_str().unwrap(), "lock", "n", "echo", "-d", "x"];
    assert_eq!(run(&mut homeless(&store, &lock)).out(), "-d x\n", "words of another command");
    // What must be a path still goes before the variable.
    assert_eq!(run(&mut store.command(["./other", "put", "k", "v"])).out(), "OK\n");
    assert_eq!(run(&mut store.command(["other", "get", "k"])).out(), "k\nv\n");
}

#[test]
fn commands_of_a_server_name_ours() {
    let store = some();
    for (args, part) in [
        (&["user", "put", "k", "v"][..], "no users"),
        (&["role", "add", "x"], "no users"),
        (&["auth", "enable"], "no users"),
        (&["alarm", "list"], "`status`"),
        (&["defrag", "--cluster"], "`compaction --physical`"),
        (&["snapshot", "save", "x.db"], "`backup`"),
        (&["make-mirror", "--prefix", "x"], "`dump`"),
        (&["downgrade", "enable", "3.5"], "no cluster"),
        (&["member", "add", "x", "--peer-urls=y"], "`replicate`"),
        (&["move-leader", "x"], "`replicate`"),
    ] {
        let line = store.run(args).fails(2);
        assert!(line.contains(part), "{args:?}: {line}");
        let object: Value = serde_json::from_str(&store.run([args, &["-w", "json"]].concat()).fails(2)).unwrap();
        assert_eq!((&object["code"], &object["number"]), (&"UNSUPPORTED".into(), &(-85).into()), "{args:?}");
    }
}

#[test]
fn the_time_of_a_wait_stands_behind_an_equals_sign() {
    let store = some();
    for args in [&["get", "a", "--wait", "5s"][..], &["--wait", "1500ms", "get", "a"], &["get", "--wait", "5", "a"]] {
        assert!(store.run(args).fails(2).contains("--wait=5s"), "{args:?}");
    }
    assert_eq!(store.out(["get", "a", "--wait"]), "a\n1\n");
    assert_eq!(store.out(["lock", "n", "echo", "--wait", "5s"]), "--wait 5s\n", "words of another command");
    assert_eq!(store.out(["--wait", "get", "a"]), "a\n1\n");
}

#[test]
fn an_empty_variable_is_as_none() {
    let store = some();
    let with = |name: &str, value: &str| Ran::of(store.command(["get", "a"]).env(name, value));
    for name in ["WRITE_OUT", "HEX", "READONLY", "WAIT", "NO_CREATE", "DURABILITY", "QUIET", "COLOR", "EXIT_CODE"] {
        assert_eq!(with(&format!("ETCLITE_{name}"), "").out(), "a\n1\n", "{name}");
    }
    for wait in ["true", "1", "false", "5s", "forever"] {
        assert_eq!(with("ETCLITE_WAIT", wait).out(), "a\n1\n", "{wait}");
    }
    assert!(with("ETCLITE_DB", "").fails(2).contains("no store is named"));
}

#[test]
fn what_is_printed_as_json_is_json() {
    let store = some();
    assert_eq!(store.json(["version", "-w", "json"])["version"], env!("CARGO_PKG_VERSION"));
    let txn = store.run_with(["txn", "-i", "-w", "jsonl"], b"\nget a\n\n\n");
    let lines = txn.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    assert!(
        lines.clone().count() > 0 && lines.clone().all(|line| serde_json::from_slice::<Value>(line).is_ok()),
        "{txn:?}"
    );
    assert!(txn.stderr.starts_with("compares:\n"), "{txn:?}");
    let watch = store.run_with(["watch", "-i", "-w", "json"], b"nonsense\nwatch b a\nwatch a --count 1\n");
    let errors: Vec<Value> = watch.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((errors.len(), &errors[0]["ok"]), (3, &false.into()), "{watch:?}");
}

#[test]
fn short_flags_may_share_a_dash() {
    let store = some();
    let path = store.path();
    let path = path.to_str().unwrap();
    let json = |args: &[&str]| -> Value { serde_json::from_str(&Ran::of(&mut homeless(&store, args)).out()).unwrap() };
    assert_eq!(json(&["-qw", "json", path, "get", "a"])["count"], 1);
    assert_eq!(json(&["-qwjson", path, "get", "a"])["count"], 1);
    assert_eq!(json(&["-qd", path, "get", "a", "-ew", "json"])["count"], 1);
}

#[test]
fn a_format_of_one_command() {
    let store = some();
    for args in [&["stats", "-w", "prometheus"][..], &["--write-out=prometheus", "stats"], &["stats", "--prometheus"]] {
        assert!(store.out(args).contains("\netcd_debugging_mvcc_keys_total 1\n"), "{args:?}");
    }
    store.run(["get", "a", "-w", "prometheus"]).fails(2);
}

#[test]
fn errors_are_coloured_if_asked_for() {
    let store = some();
    assert!(store.run(["get", "", "--color", "always"]).stderr.starts_with("\x1b[1merror:\x1b[0m "));
    for color in ["auto", "never"] {
        store.run(["get", "", "--color", color]).fails(1);
    }
}

#[test]
fn the_cause_of_an_error_is_in_its_object() {
    let store = Store::new();
    let object: Value = serde_json::from_str(&store.run(["get", "a", "-w", "json"]).fails(6)).unwrap();
    assert!(object["message"].as_str().unwrap().contains("No such file"), "{object}");
    assert_eq!(object["detail"]["os_error"], 2);
}
