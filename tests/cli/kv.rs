//! put, get, del, create, cas, compaction, revision: each format, each flag.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use crate::store::{Ran, Store};

/// Three keys of which the last one created is the first changed.
fn three() -> Store {
    Store::with(&[("a", "3"), ("b", "2"), ("c", "1"), ("b", "22"), ("a", "33"), ("a", "333")])
}

#[test]
fn simple_prints_keys_and_values() {
    let store = three();
    assert_eq!(store.out(["get", "a"]), "a\n333\n");
    assert_eq!(store.out(["get", "none"]), "");
    assert_eq!(store.out(["get", "--prefix", ""]), "a\n333\nb\n22\nc\n1\n");
    assert_eq!(store.out(["put", "a", "4", "--prev-kv"]), "OK\na\n333\n");
    assert_eq!(store.out(["del", "--prev-kv", "--prefix", ""]), "3\na\n4\nb\n22\nc\n1\n");
    assert_eq!(store.out(["del", "a"]), "0\n");
}

#[test]
fn ranges_are_named_as_etcdctl_names_them() {
    let store = three();
    assert_eq!(store.out(["get", "a", "c", "--keys-only", "-w", "jsonl"]).lines().count(), 2);
    assert_eq!(store.out(["get", "b", "--from-key"]), "b\n22\nc\n1\n");
    assert_eq!(store.out(["get", "b", "--prefix"]), "b\n22\n");
    assert_eq!(store.out(["get", "", "--from-key", "--keys-only"]), "a\n\nb\n\nc\n\n");
    assert_eq!(store.out(["get", "b", ""]), "b\n22\n", "an empty end is none");
    store.run(["get", "a", "c", "--prefix"]).fails_as_usage();
    store.run(["get", "a", "--from-key", "--prefix"]).fails_as_usage();
    assert_eq!(store.run(["get", ""]).fails(1), "error: key is not provided");
    assert_eq!(store.out(["del", "a", "c"]), "2\n");
    assert_eq!(store.out(["del", "a", "--from-key"]), "1\n");
}

#[test]
fn b_003_the_empty_prefix_is_every_key() {
    let store = three();
    // No argument of a process holds a zero byte, but a txn's line may.
    assert_eq!(
        store.run_with(["txn"], b"\nput \"\\x00\" zero\nput \"\\xff\\xff\" high\n\n\n").out(),
        "SUCCESS\n\nOK\n\nOK\n"
    );
    assert_eq!(store.json(["get", "", "--prefix", "-w", "json"])["count"], 5);
    let watched = store.run(["watch", "", "--prefix", "--rev", "8", "--count", "2"]);
    assert_eq!(watched.stdout, b"PUT\n\0\nzero\nPUT\n\xff\xff\nhigh\n");
    assert_eq!(store.out(["del", "", "--prefix"]), "5\n");
}

#[test]
fn b_043_a_target_alone_ascends_and_the_limit_comes_last() {
    let store = three();
    let keys = |args: &[&str]| {
        let mut all = vec!["get", "--prefix", "", "--keys-only", "-w", "jsonl"];
        all.extend(args);
        let out = store.out(all);
        let key =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["key"].as_str().unwrap().to_owned();
        out.lines().map(key).collect::<String>()
    };
    assert_eq!(keys(&["--sort-by", "MODIFY"]), "cba");
    assert_eq!(keys(&["--sort-by", "modify", "--limit", "1"]), "c");
    assert_eq!(keys(&["--sort-by", "CREATE"]), "abc");
    assert_eq!(keys(&["--sort-by", "VERSION"]), "cba");
    assert_eq!(keys(&["--sort-by", "VALUE", "--order", "DESCEND"]), "abc");
    assert_eq!(keys(&["--sort-by", "KEY", "--order", "descend", "--limit", "2"]), "cb");
    assert_eq!(keys(&["--order", "DESCEND"]), "cba");
    store.run(["get", "a", "--order", "SIDEWAYS"]).fails_as_usage();
    store.run(["get", "a", "--sort-by", "SIZE"]).fails_as_usage();
}

#[test]
fn b_055_from_key_is_not_a_prefix() {
    let store = Store::with(&[("dir/a", "1"), ("dir/b", "2"), ("etc", "3")]);
    assert_eq!(store.out(["del", "dir/", "--from-key"]), "3\n");
    let store = Store::with(&[("dir/a", "1"), ("dir/b", "2"), ("etc", "3")]);
    assert_eq!(store.out(["del", "dir/", "--prefix"]), "2\n");
}

#[test]
fn filters_limits_and_the_past() {
    let store = three();
    let get = |args: &[&str]| store.out(["get", "--prefix", "", "--print-value-only"].iter().chain(args));
    assert_eq!(get(&["--min-create-rev", "3"]), "22\n1\n");
    assert_eq!(get(&["--max-create-rev", "3"]), "333\n22\n");
    assert_eq!(get(&["--min-mod-rev", "5", "--max-mod-rev", "6"]), "22\n");
    assert_eq!(get(&["--rev", "4"]), "3\n2\n1\n");
    assert_eq!(get(&["--rev", "-1", "--limit", "-1"]), "333\n22\n1\n", "below zero is none, as etcdctl has it");
    assert_eq!(
        store.run(["get", "a", "--rev", "99"]).fails(1),
        "error: required revision is a future revision, current is 7"
    );
    store.run(["get", "a", "--min-mod-rev", "5", "--max-mod-rev", "4"]).fails(2);
    store.run(["get", "a", "--keys-only", "--count-only"]).fails_as_usage();
}

#[test]
fn count_only_prints_how_many() {
    let store = three();
    let count = |format: &str| store.out(["get", "", "--prefix", "--count-only", "--limit", "1", "-w", format]);
    assert_eq!(count("simple"), "3\n");
    assert!(count("fields").ends_with("\"More\" : false\n\"Count\" : 3\n"));
    assert_eq!(count("jsonl"), "{\"ok\":true,\"revision\":7,\"count\":3}\n");
    assert!(count("json").ends_with("\"kvs\":[],\"more\":false,\"count\":3}\n"));
    assert!(count("table").contains("| COUNT |\n"));
    assert_eq!(store.run(["get", "none", "--count-only", "-e"]).code, Some(3));
}

#[test]
fn print_value_only_is_for_simple() {
    let store = three();
    assert_eq!(store.out(["get", "a", "b", "--print-value-only"]), "333\n");
    store.run(["get", "a", "--print-value-only", "-w", "fields"]).fails(2);
}

#[test]
fn a_limit_says_more_and_counts_all() {
    let store = three();
    let page = store.json(["get", "", "--prefix", "--limit", "2", "-w", "json"]);
    assert_eq!((&page["more"], &page["count"], page["kvs"].as_array().unwrap().len()), (&json!(true), &json!(3), 2));
    let whole = store.json(["get", "", "--prefix", "--limit", "3", "-w", "json"]);
    assert_eq!((&whole["more"], &whole["count"]), (&json!(false), &json!(3)));
}

#[test]
fn b_048_false_zero_and_empty_are_printed() {
    let store = three();
    let json = |args: &[&str]| {
        let mut answer = store.json(args.iter().chain(&["-w", "json"]));
        let header = answer.as_object_mut().unwrap().shift_remove("header").unwrap();
        assert_eq!(header["raft_term"], 1);
        answer
    };
    assert_eq!(json(&["get", "none"]), json!({"kvs": [], "more": false, "count": 0}));
    assert_eq!(json(&["del", "none"]), json!({"deleted": 0}));
    assert_eq!(json(&["del", "none", "--prev-kv"]), json!({"deleted": 0, "prev_kvs": []}));
    assert_eq!(json(&["create", "a", "x"]), json!({"succeeded": false}));
    let failed = store.run_with(["txn", "-w", "json"], b"ver(\"none\") > \"0\"\n\nput a 1\n\n\n").out();
    assert!(failed.ends_with("\"succeeded\":false,\"responses\":[]}\n"), "{failed}");
    let failed = store.run_with(["txn", "-w", "jsonl"], b"ver(\"none\") > \"0\"\n\nput a 1\n\n\n").out();
    assert_eq!(failed, "{\"ok\":true,\"revision\":7,\"succeeded\":false,\"responses\":[]}\n");
    assert_eq!(store.json(["revision", "-w", "json"])["compact_revision"], 0);
}

#[test]
fn json_is_etcdctls() {
    let store = three();
    let header = |revision: u64| {
        let ids = store.json(["revision", "-w", "json"])["header"].clone();
        format!(
            "{{\"header\":{{\"cluster_id\":{},\"member_id\":{},\"revision\":{revision},\"raft_term\":1}}",
            ids["cluster_id"], ids["member_id"]
        )
    };
    let a = r#"{"key":"YQ==","create_revision":2,"mod_revision":7,"version":3,"value":"MzMz"}"#;
    assert_eq!(
        store.out(["get", "a", "-w", "json"]),
        format!("{},\"kvs\":[{a}],\"more\":false,\"count\":1}}\n", header(7))
    );
    assert_eq!(store.out(["put", "n", "", "-w", "json"]), format!("{}}}\n", header(8)));
    assert_eq!(
        store.out(["get", "n", "-w", "json"]),
        format!(
            "{},\"kvs\":[{{\"key\":\"bg==\",\"create_revision\":8,\"mod_revision\":8,\"version\":1}}],\"more\":false,\"count\":1}}\n",
            header(8)
        )
    );
    assert_eq!(store.out(["put", "a", "4", "--prev-kv", "-w", "json"]), format!("{},\"prev_kv\":{a}}}\n", header(9)));
}

#[test]
fn jsonl_is_the_drivers() {
    let store = Store::with(&[("a", "1")]);
    store.run_with(["put", "b"], b"\xff\xc3\xa9").out();
    assert_eq!(
        store.out(["get", "a", "--from-key", "-w", "jsonl"]),
        "{\"key\":\"a\",\"value\":\"1\",\"create_revision\":2,\"mod_revision\":2,\"version\":1}\n\
         {\"key\":\"b\",\"value_b64\":\"/8Op\",\"create_revision\":3,\"mod_revision\":3,\"version\":1}\n"
    );
    assert_eq!(
        store.out(["get", "a", "--keys-only", "-w", "jsonl"]),
        "{\"key\":\"a\",\"create_revision\":2,\"mod_revision\":2,\"version\":1}\n"
    );
    assert_eq!(
        store.out(["del", "a", "--prev-kv", "-w", "jsonl"]),
        "{\"ok\":true,\"revision\":4,\"deleted\":1,\"prevs\":[{\"key\":\"a\",\"value\":\"1\",\"create_revision\":2,\
         \"mod_revision\":2,\"version\":1}]}\n"
    );
    assert_eq!(store.out(["put", "a", "1", "-w", "jsonl"]), "{\"ok\":true,\"revision\":5}\n");
}

#[test]
fn fields_is_etcdctls() {
    let store = Store::with(&[("k\t\"", "v\n")]);
    let out = store.out(["get", "k", "--prefix", "-w", "fields"]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("\"ClusterID\" : ") && lines[1].starts_with("\"MemberID\" : "));
    let rest = [
        "\"Revision\" : 2",
        "\"RaftTerm\" : 1",
        "\"Key\" : \"k\\t\\\"\"",
        "\"CreateRevision\" : 2",
        "\"ModRevision\" : 2",
        "\"Version\" : 1",
        "\"Value\" : \"v\\n\"",
        "\"Lease\" : 0",
        "\"More\" : false",
        "\"Count\" : 1",
    ];
    assert_eq!(lines[2..], rest);
}

#[test]
fn a_table_has_a_line_for_each_key() {
    let store = Store::with(&[("k\n", "v|\x1b[2J"), ("long", &"x".repeat(300))]);
    let table = store.out(["get", "", "--prefix", "-w", "table"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert!(lines[1].starts_with("| KEY  | VALUE "), "{table}");
    assert!(lines[2].starts_with("+---"), "as etcdctl draws them: {table}");
    assert!(lines[3].starts_with("| k\\n  | v|\\x1b[2J "), "{table}");
    assert!(lines[4].contains(&"x".repeat(300)), "nothing is cut in a pipe");
}

#[test]
fn hex_shows_every_byte() {
    let store = Store::new();
    store.run_with(["put", "k"], b"\x00\xff").out();
    assert_eq!(store.out(["get", "k", "--hex"]), "\\x6b\n\\x00\\xff\n");
    let kv = store.json(["get", "k", "--hex", "-w", "json"]);
    assert_eq!(kv["kvs"][0]["value"], "AP8=", "bytes in json are base64 always");
    assert!(u64::from_str_radix(kv["header"]["cluster_id"].as_str().unwrap(), 16).unwrap() > 0);
    assert!(store.out(["get", "k", "--hex", "-w", "table"]).contains("| \\x6b | \\x00\\xff |"));
}

#[test]
fn bytes_come_back_as_they_were() {
    let store = Store::new();
    let all: Vec<u8> = (0..=255).collect();
    let key = OsStr::from_bytes(b"k\xff\xfe\n");
    store.run_with([OsStr::new("put"), key], &all).out();
    let Ran { code, stdout, .. } = store.run([OsStr::new("get"), key]);
    assert_eq!(code, Some(0));
    assert_eq!(stdout, [b"k\xff\xfe\n\n", &all[..], b"\n"].concat());
}

#[test]
fn a_terminal_gets_no_control_bytes() {
    let store = Store::with(&[("k", "red\x1b[31m\tand\nmore")]);
    let script = format!("script -qec \"'{}' get k\" /dev/null", crate::store::ETCLITE);
    let ran = Ran::of(std::process::Command::new("bash").args(["-c", &script]).env("ETCLITE_DB", store.path()));
    assert_eq!(ran.out(), "k\r\nred\\x1b[31m\tand\r\nmore\r\n");
}

#[test]
fn values_come_from_standard_input() {
    let store = Store::new();
    assert_eq!(store.run_with(["put", "k"], b"line\nline\n").out(), "OK\n");
    assert_eq!(store.out(["get", "k", "--print-value-only"]), "line\nline\n\n");
    let refused = store.run_with(["put", "k"], b"").fails(2);
    assert_eq!(refused, "error: put needs a value, as an argument or on standard input");
    assert_eq!(store.out(["put", "k", "--", "-v"]), "OK\n");
    assert_eq!(store.out(["get", "--print-value-only", "k"]), "-v\n");
    assert_eq!(store.out(["put", "--", "-k", "-v"]), "OK\n");
    assert_eq!(store.out(["put", "empty", ""]), "OK\n");
}

#[test]
fn puts_keep_what_they_are_told_to_keep() {
    let store = Store::with(&[("k", "v")]);
    let lease = store.out(["lease", "grant", "1000"]).split(' ').nth(1).unwrap().to_owned();
    assert_eq!(store.out(["put", "k", "w", "--lease", &lease]), "OK\n");
    assert_eq!(store.out(["put", "k", "x", "--ignore-lease"]), "OK\n");
    let kv = store.json(["get", "k", "-w", "jsonl"]);
    assert_eq!((kv["lease"].as_str().unwrap(), &kv["value"]), (lease.trim_start_matches('0'), &json!("x")));
    assert_eq!(store.out(["put", "k", "--ignore-value"]), "OK\n");
    let kv = store.json(["get", "k", "-w", "jsonl"]);
    assert_eq!((kv.get("lease"), &kv["value"], &kv["version"]), (None, &json!("x"), &json!(4)));
    assert_eq!(store.run(["put", "none", "--ignore-value"]).fails(1), "error: key not found");
    let both = store.run(["put", "k", "y", "--ignore-lease", "--lease", &lease]).fails(1);
    assert_eq!(both, "error: lease is provided");
    store.run(["put", "k", "y", "--ignore-value"]).fails_as_usage();
    assert_eq!(store.run(["put", "k", "y", "--lease", "77"]).fails(1), "error: requested lease not found");
    assert_eq!(store.run(["put", "k", "y", "--lease", "x"]).fails(2), "error: `x` is no lease id in hex");
}

#[test]
fn create_and_cas_do_nothing_if_someone_was_faster() {
    let store = Store::with(&[("a", "1")]);
    assert_eq!(store.out(["create", "a", "2"]), "FAILURE\n");
    assert_eq!(store.run(["create", "a", "2", "-e"]).code, Some(3));
    assert_eq!(store.out(["create", "b", "2"]), "SUCCESS\n");
    assert_eq!(store.run_with(["create", "c"], b"from stdin").out(), "SUCCESS\n");
    assert_eq!(
        store.out(["cas", "a", "--mod-rev", "2", "3", "-w", "jsonl"]),
        "{\"ok\":true,\"revision\":5,\"succeeded\":true}\n"
    );
    assert_eq!(store.out(["cas", "a", "--mod-rev", "2", "4"]), "FAILURE\n");
    assert_eq!(store.run(["cas", "a", "--mod-rev", "2", "4", "-e"]).code, Some(3));
    assert_eq!(store.out(["cas", "new", "--mod-rev", "0", "4"]), "SUCCESS\n");
    assert_eq!(store.out(["get", "", "--prefix"]), "a\n3\nb\n2\nc\nfrom stdin\nnew\n4\n");
    store.run(["cas", "a", "4"]).fails_as_usage();
}

#[test]
fn compaction_drops_history() {
    let store = three();
    assert_eq!(store.out(["compaction", "4"]), "compacted revision 4\n");
    assert_eq!(store.out(["compaction", "5", "--physical"]), "compacted revision 5\n");
    let compacted = "error: required revision has been compacted, the compact revision is 5";
    assert_eq!(store.run(["get", "a", "--rev", "4"]).fails(1), compacted);
    assert_eq!(store.run(["compaction", "5"]).fails(1), compacted);
    assert_eq!(store.json(["compaction", "6", "-w", "json"])["compact_revision"], 6);
    assert_eq!(store.out(["compaction", "7", "-w", "jsonl"]), "{\"ok\":true,\"revision\":7,\"compact_revision\":7}\n");
    store.run(["compaction", "8"]).fails(1);
    store.run(["compaction", "x"]).fails_as_usage();
}

#[test]
fn revision_is_a_number() {
    let store = three();
    assert_eq!(store.out(["revision"]), "7\n");
    store.out(["compaction", "4"]);
    assert_eq!(
        store.out(["revision", "-w", "jsonl"]),
        "{\"ok\":true,\"revision\":7,\"compact_revision\":4,\"synced_revision\":7}\n"
    );
}

impl Ran {
    /// What clap refuses: exit 2, words on stderr, nothing on stdout.
    #[track_caller]
    pub(crate) fn fails_as_usage(self) {
        self.fails(2);
    }
}
