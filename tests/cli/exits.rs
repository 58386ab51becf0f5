//! Each exit code, and one clear line for whatever stands in the way.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::store::{ETCLITE, Ran, Store, bash, until_held};

fn one() -> Store {
    Store::with(&[("a", "1")])
}

#[test]
fn zero_for_what_is_missing_three_if_asked_for() {
    let store = one();
    let failed_compare: &[u8] = b"ver(\"a\") = \"7\"\n\n\n\n";
    for args in [&["get", "none"][..], &["del", "none"], &["get", "none", "--count-only"], &["create", "a", "x"]] {
        assert_eq!(store.run(args).code, Some(0), "{args:?}");
        assert_eq!(store.run(args.iter().chain(&["-e"])).code, Some(3), "{args:?}");
        let mut by_variable = store.command(args);
        assert_eq!(Ran::of(by_variable.env("ETCLITE_EXIT_CODE", "1")).code, Some(3), "{args:?}");
    }
    assert_eq!(store.run_with(["txn"], failed_compare).code, Some(0));
    assert_eq!(store.run_with(["txn", "--exit-code"], failed_compare).code, Some(3));
    assert_eq!(store.run(["get", "a", "-e"]).code, Some(0));
}

#[test]
fn one_for_a_request_that_failed() {
    let store = one();
    assert_eq!(
        store.run(["get", "a", "--rev", "9"]).fails(1),
        "error: required revision is a future revision, current is 2"
    );
    assert_eq!(store.run(["--readonly", "put", "a", "2"]).fails(1), "error: the store was opened read-only");
    assert_eq!(store.run(["--readonly", "get", "a"]).out(), "a\n1\n");
}

#[test]
fn two_for_words_that_make_no_sense() {
    let store = one();
    for args in [
        &["frobnicate"][..],
        &["get"],
        &["get", "a", "b", "c"],
        &["put", "a", "--nonsense"],
        &["-w", "yaml", "get", "a"],
    ] {
        assert_eq!(store.run(args).fails_with_code(), 2, "{args:?}");
    }
    let mut homeless = Command::new(ETCLITE);
    homeless.args(["get", "a"]).env_remove("ETCLITE_DB");
    assert!(Ran::of(&mut homeless).fails(2).starts_with("error: no store is named"));
}

#[test]
fn four_for_a_store_that_is_open_elsewhere() {
    let store = one();
    let mut holder = store.start(["watch", "a", "--rev", "2"]);
    holder.lines(3);
    let pid = holder.pid();
    let locked = store.run(["get", "a"]);
    let store_path = store.path();
    let (line, hint) = locked.stderr.split_once('\n').unwrap();
    let since =
        line.strip_prefix(&format!("error: {} is open in process {pid} (etclite, since ", store_path.display()));
    assert!(since.is_some_and(|since| since.len() == "10:04 UTC)".len()), "{line}");
    assert_eq!(hint, "hint: stop it, or use --wait\n");
    assert_eq!(locked.fails_with_code(), 4);

    let locked = store.run(["get", "a", "-w", "json"]);
    let object: Value = serde_json::from_str(&locked.stderr).unwrap();
    assert_eq!((&object["code"], &object["detail"]["pid"]), (&"LOCKED".into(), &pid.into()));
    assert_eq!(store.run(["get", "a", "--wait=50ms"]).code, Some(4));

    let link = store.beside("link");
    std::os::unix::fs::symlink(store.path(), &link).unwrap();
    assert_eq!(Ran::of(Command::new(ETCLITE).arg(&link).args(["get", "a"])).code, Some(4));

    // The first one is unharmed, and the lock goes with it, however it ends.
    let waiting = store.start(["get", "a", "--wait"]);
    holder.signal("KILL");
    holder.end();
    assert_eq!(waiting.end().out(), "a\n1\n");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_store() {
    let store = one();
    let mut holder = store.start(["watch", "a", "--rev", "2"]);
    holder.lines(3);
    let waiting = store.start(["get", "a", "--wait=1h"]);
    waiting.signal("INT");
    assert_eq!(waiting.end().code, None, "by the signal itself, which a shell tells as 130");
}

#[test]
fn five_for_what_is_damaged_newer_or_no_store() {
    let store = one();
    let file = store.beside("file");
    fs::write(&file, "text").unwrap();
    let not_a_store = Ran::of(Command::new(ETCLITE).arg("--db").arg(&file).args(["put", "a", "1"])).fails(5);
    assert!(not_a_store.contains("is not an etclite store"), "{not_a_store}");

    let stranger = store.beside("stranger");
    fs::create_dir(&stranger).unwrap();
    fs::write(stranger.join("notes.txt"), "text").unwrap();
    assert_eq!(Ran::of(Command::new(ETCLITE).arg("--db").arg(&stranger).args(["put", "a", "1"])).fails_with_code(), 5);
    assert_eq!(fs::read_dir(&stranger).unwrap().count(), 1, "left as it was");

    let newer = one();
    claim_a_newer_format(&newer.path());
    let refused = newer.run(["get", "a"]);
    assert!(refused.stderr.contains("has format 2, written by a newer release\nhint: "), "{}", refused.stderr);
    assert_eq!(refused.fails_with_code(), 5);

    let damaged = one();
    let catalog = damaged.path().join("catalog.redb");
    let mut bytes = fs::read(&catalog).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle].fill(0x5a);
    fs::write(&catalog, bytes).unwrap();
    let corrupt = damaged.run(["get", "a"]);
    assert!(corrupt.stderr.contains("catalog.redb"), "{}", corrupt.stderr);
    assert_eq!(corrupt.fails_with_code(), 5);
}

#[test]
fn six_for_a_store_that_is_missing_and_for_a_disk_that_fails() {
    let store = Store::new();
    for args in
        [&["get", "a"][..], &["del", "a"], &["revision"], &["lease", "grant", "5"], &["put", "a", "1", "--no-create"]]
    {
        assert_eq!(store.run(args).fails_with_code(), 6, "{args:?}");
        assert!(!store.path().exists(), "{args:?}");
    }
    // No file may grow, as on a disk without room.
    let full = bash("ulimit -f 0; ETCLITE_DB=app.etcl exec etclite put a 1", &store.beside(""));
    assert_eq!(full.fails_with_code(), 6);
}

/// As nobody, which only root can become.
#[test]
fn six_for_a_store_of_somebody_else() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let store = one();
    if fs::metadata(store.path()).unwrap().uid() != 0 {
        println!("skipped: this is not root");
        return;
    }
    // The build's directory need not be open to all. Copied by another process: a child that is forked meanwhile would
    // inherit the open copy, and what is open to be written cannot be run.
    let program = store.beside("etclite");
    assert!(Command::new("cp").arg(ETCLITE).arg(&program).status().unwrap().success());
    let open_to_all = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open_to_all(&store.beside(""), 0o755);
    let as_nobody = |args: &[&str]| {
        let mut nobody = Command::new("setpriv");
        nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).env("ETCLITE_DB", store.path());
        nobody.args(args).stdin(Stdio::null()).output()
    };
    if let Err(error) = as_nobody(&["version"]) {
        assert!(std::env::var_os("ETCLITE_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "setpriv: {error}");
        println!("skipped: setpriv is not there");
        return;
    }
    let told = |args: &[&str]| {
        let output = as_nobody(args).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, _, error) = told(&["get", "a"]);
    assert!(code == Some(6) && error.contains("Permission denied"), "{code:?} {error}");
    let all = Command::new("chmod").args(["-R", "a+rX"]).arg(store.path()).status().unwrap();
    assert!(all.success());
    let (code, _, error) = told(&["--readonly", "get", "a"]);
    assert!(code == Some(6) && error.starts_with("error: "), "{code:?} {error}");
    let (code, out, error) = told(&["--readonly", "--allow-other-owner", "get", "a"]);
    assert_eq!((code, out.as_str()), (Some(0), "a\n1\n"), "{error}");
}

#[test]
fn six_for_a_write_beyond_the_file_size_limit() {
    let store = one();
    let big = store.beside("big");
    fs::write(&big, vec![b'x'; 8 << 20]).unwrap();
    // In blocks of 1,024 bytes: the store is there, the value is not.
    let script = format!("ulimit -f 4096; ETCLITE_DB={} exec etclite put b < big", store.path().display());
    let full = bash(&script, &store.beside(""));
    assert_eq!(full.code, Some(6), "{full:?}");
    assert!(full.stderr.starts_with("error: ") && full.stdout.is_empty(), "{full:?}");
    assert_eq!(store.out(["get", "a"]), "a\n1\n", "and the store is whole");
    assert_eq!(store.out(["get", "b"]), "");
    assert_eq!(store.out(["put", "b", "2"]), "OK\n");
}

#[test]
fn a_value_of_a_hundred_mebibytes_is_refused_with_the_limit() {
    let store = one();
    let refused = store.run_with(["put", "big"], &vec![b'x'; 100 << 20]).fails(1);
    assert_eq!(refused, format!("error: value from standard input is too large: {}, at most {}", 100 << 20, 32 << 20));
    let most = (32 << 20) - 4096;
    assert_eq!(store.run_with(["put", "big"], &vec![b'x'; most]).out(), "OK\n");
    assert_eq!(store.run(["get", "big", "--print-value-only"]).stdout.len(), most + 1);
    let object = store.run_with(["put", "big", "-w", "json"], &vec![b'x'; 33 << 20]);
    let object: Value = serde_json::from_str(&object.stderr).unwrap();
    assert_eq!((&object["code"], &object["detail"]["max"]), (&"REQUEST_TOO_LARGE".into(), &(32 << 20).into()));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let store = one();
    for key in 0..40 {
        store.run_with(["put", &format!("k{key:02}")], &[b'v'; 64 << 10]).out();
    }
    for format in ["simple", "jsonl", "json", "fields", "table"] {
        let script = format!(
            "set -o pipefail; ETCLITE_DB={} etclite get --prefix k -w {format} | head -c 100 >/dev/null; echo ${{PIPESTATUS[0]}}",
            store.path().display()
        );
        assert_eq!(bash(&script, &store.beside("")).out(), "0\n", "{format}");
    }
    // Nor does it matter that nobody reads the errors.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut deaf = store.command(["get", "a", "--rev", "99"]);
    assert_eq!(deaf.stderr(Stdio::from(writer)).status().unwrap().code(), Some(1));
}

#[test]
fn a_full_pipe_is_waited_for() {
    let store = one();
    store.run_with(["put", "long"], &vec![b'v'; 1 << 20]).out();
    let script = format!("ETCLITE_DB={} etclite get long | (read -r key; wc -c)", store.path().display());
    assert_eq!(bash(&script, &store.beside("")).out().trim(), ((1 << 20) + 1).to_string());
}

#[test]
fn a_disk_that_takes_no_output_is_told() {
    let store = one();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = store.command(["get", "a"]);
    let output = command.stdout(Stdio::from(full)).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: cannot write to standard output: "));
}

/// A write whose answer cannot be told has happened all the same.
#[test]
fn b_056_a_write_that_took_effect_says_so() {
    let store = one();
    let lease = store.out(["lease", "grant", "1000"]).split(' ').nth(1).unwrap().to_owned();
    let applied = |args: &[&str], stdin: &[u8]| {
        let input = store.beside("input");
        fs::write(&input, stdin).unwrap();
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = store.command(args.iter().chain(&["-w", "json"]));
        let output =
            command.stdin(fs::File::open(input).unwrap()).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{args:?}");
        let object: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(object["code"], "IO");
        object["applied"].as_str().unwrap().to_owned()
    };
    for (args, stdin) in [
        (&["put", "k", "v"][..], &b""[..]),
        (&["create", "c", "v"], b""),
        (&["txn"], b"\nput t v\n\n\n"),
        (&["del", "c"], b""),
        (&["lease", "grant", "100"], b""),
        (&["lease", "keep-alive", &lease, "--once"], b""),
        (&["lease", "revoke", &lease], b""),
        (&["compaction", "2"], b""),
    ] {
        assert_eq!(applied(args, stdin), "yes", "{args:?}");
    }
    assert_eq!(store.out(["get", "", "--from-key", "--keys-only"]), "a\n\nk\n\nt\n\n");
    for (args, stdin) in [
        (&["get", "a"][..], &b""[..]),
        (&["del", "none"], b""),
        (&["create", "a", "v"], b""),
        (&["txn"], b"\nget a\n\n\n"),
    ] {
        assert_eq!(applied(args, stdin), "no", "{args:?}");
    }
}

#[test]
fn b_056_errors_are_objects_where_output_is() {
    let store = one();
    let error = |args: &[&str]| -> Value {
        let ran = store.run(args.iter().chain(&["-w", "json"]));
        assert_ne!(ran.code, Some(0));
        serde_json::from_str(&ran.stderr).unwrap()
    };
    let future = error(&["get", "a", "--rev", "99"]);
    assert_eq!(future["code"], "FUTURE_REVISION");
    assert_eq!((&future["number"], &future["applied"], &future["ok"]), (&(-21).into(), &"no".into(), &false.into()));
    assert_eq!(future["detail"]["revision"], 2);
    assert_eq!(error(&["lease", "revoke", "77"])["code"], "LEASE_NOT_FOUND");
    assert_eq!(error(&["get", ""])["code"], "EMPTY_KEY");
    assert_eq!(error(&["lease", "revoke", "xyz"])["code"], "INVALID_ARGUMENT");
    assert_eq!(store.out(["revision"]), "2\n", "and nothing was written");
}

#[test]
fn no_key_and_no_value_is_in_an_error() {
    let store = one();
    for args in [
        &["get", "secret", "--rev", "99"][..],
        &["put", "secret", "secret", "--lease", "77"],
        &["put", "secret", "--ignore-value"],
        &["watch", "secret", "secres", "--rev", "1", "--", "false"],
    ] {
        assert!(!store.run(args).stderr.contains("secret"), "{args:?}");
    }
}

#[test]
fn interrupted_commands_leave_the_store_free() {
    let store = one();
    for signal in ["INT", "TERM", "KILL"] {
        let watch = store.start(["watch", "a", "--wait"]);
        until_held(&store.path(), watch.pid());
        watch.signal(signal);
        watch.end();
        assert_eq!(store.out(["get", "a"]), "a\n1\n", "{signal}");
    }
}

/// Makes the store's log one of the format after ours: 4 bytes behind the magic, and the checksum of the header.
fn claim_a_newer_format(store: &Path) {
    for entry in fs::read_dir(store.join("log")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes[8..12].copy_from_slice(&2u32.to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[..12]);
        crc.update(&bytes[16..4096]);
        bytes[12..16].copy_from_slice(&crc.finalize().to_le_bytes());
        fs::write(&path, bytes).unwrap();
    }
}

impl Ran {
    /// The exit code of a command that must fail with words on stderr and nothing on stdout.
    #[track_caller]
    pub(crate) fn fails_with_code(self) -> i32 {
        assert!(self.stdout.is_empty() && self.stderr.starts_with("error: "), "{self:?}");
        self.code.unwrap()
    }
}
