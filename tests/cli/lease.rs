//! lease: grant, revoke, timetolive, list, keep-alive; and ids, which every output gives and every command takes.

use serde_json::{Value, json};

use crate::store::Store;

/// A store with a lease, and its id as `simple` prints it.
fn granted(ttl: &str) -> (Store, String) {
    let store = Store::with(&[("k", "v")]);
    let id = id_of(&store.out(["lease", "grant", ttl]));
    (store, id)
}

fn id_of(granted: &str) -> String {
    granted.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn simple_is_etcdctls() {
    let (store, id) = granted("1000");
    assert_eq!(id.len(), 16);
    store.out(["put", "leased", "x", "--lease", &id]);
    let ttl = store.out(["lease", "timetolive", &id]);
    assert!(ttl.starts_with(&format!("lease {id} granted with TTL(1000s), remaining(")), "{ttl}");
    let keys = store.out(["lease", "timetolive", &id, "--keys"]);
    assert!(keys.ends_with("s), attached keys([leased])\n"), "{keys}");
    assert_eq!(store.out(["lease", "list"]), format!("found 1 leases\n{id}\n"));
    assert_eq!(store.out(["lease", "keep-alive", "--once", &id]), format!("lease {id} keepalived with TTL(1000)\n"));
    assert_eq!(store.out(["lease", "revoke", &id]), format!("lease {id} revoked\n"));
    assert_eq!(store.out(["get", "leased"]), "");
    assert_eq!(store.out(["lease", "list"]), "found 0 leases\n");
    assert_eq!(store.out(["lease", "timetolive", &id]), format!("lease {id} already expired\n"));
}

#[test]
fn times_have_units() {
    let store = Store::with(&[("k", "v")]);
    assert!(store.out(["lease", "grant", "1500ms"]).ends_with(" granted with TTL(2s)\n"), "whole seconds, rounded up");
    assert_eq!(store.json(["lease", "grant", "1500ms", "-w", "jsonl"])["granted_ms"], 1500);
    assert_eq!(store.json(["lease", "grant", "2m", "-w", "jsonl"])["granted_ms"], 120_000);
    assert_eq!(store.json(["lease", "grant", "7", "-w", "jsonl"])["granted_ms"], 7000);
    for nonsense in ["", "x", "5y", "-1", "1.5"] {
        assert_eq!(store.run(["lease", "grant", "--", nonsense]).fails_with_code(), 2, "{nonsense}");
    }
    assert_eq!(store.run(["lease", "grant", "9000000001"]).fails_with_code(), 1);
}

#[test]
fn other_formats() {
    let (store, id) = granted("1000");
    store.out(["put", "leased", "x", "--lease", &id]);
    let decimal = i64::from_str_radix(&id, 16).unwrap();

    let ttl = store.json(["lease", "timetolive", &id, "--keys", "-w", "json"]);
    assert_eq!((&ttl["id"], &ttl["granted-ttl"], &ttl["keys"]), (&json!(decimal), &json!(1000), &json!(["bGVhc2Vk"])));
    let list = store.json(["lease", "list", "-w", "json"]);
    assert_eq!((&list["leases"], &list["raft_term"]), (&json!([{"id": decimal}]), &json!(1)));
    let gone = store.json(["lease", "timetolive", "77", "-w", "json"]);
    assert_eq!((&gone["ttl"], &gone["granted-ttl"], &gone["keys"]), (&json!(-1), &json!(0), &Value::Null));

    let line = store.json(["lease", "list", "-w", "jsonl"]);
    assert_eq!(
        (&line["lease"], &line["granted_ms"], &line["keys"]),
        (&json!(id.trim_start_matches('0')), &json!(1_000_000), &json!(1))
    );
    let ttl = store.json(["lease", "timetolive", &id, "--keys", "-w", "jsonl"]);
    assert_eq!((&ttl["alive"], &ttl["keys"]), (&json!(true), &json!([{"key": "leased"}])));
    assert_eq!(
        store.out(["lease", "timetolive", "77", "-w", "jsonl"]),
        "{\"ok\":true,\"revision\":3,\"alive\":false}\n"
    );

    assert!(store.out(["lease", "timetolive", &id, "-w", "fields"]).contains(&format!("\"ID\" : {decimal}\n")));
    assert!(store.out(["lease", "list", "-w", "fields", "--hex"]).contains(&format!("\"ID\" : {id}\n")));
    assert!(store.out(["lease", "list", "-w", "table"]).contains(&format!("| {id} | 1000s ")));
    let revoked = store.json(["lease", "revoke", &id, "-w", "json"]);
    assert_eq!(revoked["header"]["revision"], 4);
}

#[test]
fn b_073_an_id_of_any_output_is_taken_by_the_lease_commands() {
    let store = Store::with(&[("k", "v")]);
    // As the id of `lease grant` in each format, and the flag that says how to read it.
    let grants: [(&[&str], &str); 5] = [
        (&["-w", "json"], "/ID"),
        (&["-w", "json", "--hex"], "/ID"),
        (&["-w", "jsonl"], "/lease"),
        (&["-w", "jsonl", "--hex"], "/lease"),
        (&["-w", "simple"], ""),
    ];
    for (format, pointer) in grants {
        let out = store.out(["lease", "grant", "1000"].iter().chain(format));
        let (id, decimal) = match serde_json::from_str::<Value>(&out) {
            Ok(value) => match value.pointer(pointer).unwrap() {
                Value::String(id) => (id.clone(), false),
                id => (id.to_string(), true),
            },
            Err(_) => (id_of(&out), false),
        };
        let form: &[&str] = if decimal { &["--decimal"] } else { &[] };
        let lease = |args: &[&str]| store.run(args.iter().copied().chain([id.as_str()]).chain(form.iter().copied()));
        assert!(lease(&["lease", "timetolive"]).out().contains(" granted with TTL(1000s)"), "{format:?}");
        assert!(lease(&["lease", "keep-alive", "--once"]).out().contains(" keepalived with TTL(1000)"), "{format:?}");
        assert_eq!(lease(&["put", "k", "v", "--lease"]).out(), "OK\n", "{format:?}");
        let kv = store.json(["get", "k", "-w", "json"].iter().chain(format.iter().filter(|flag| **flag == "--hex")));
        let held = &kv["kvs"][0]["lease"];
        assert!(held.is_i64() || held.as_str().is_some_and(|text| i64::from_str_radix(text, 16).is_ok()), "{kv}");
        assert!(lease(&["lease", "revoke"]).out().ends_with(" revoked\n"), "{format:?}");
    }
}

#[test]
fn b_073_every_line_of_json_parses_with_hex_and_without() {
    for format in ["json", "jsonl"] {
        for hex in [&[][..], &["--hex"]] {
            let (store, id) = granted("1000");
            let check = |args: &[&str], stdin: &str| {
                let in_format = ["-w", format];
                let args = args.iter().chain(&in_format).chain(hex);
                let out = store.run_with(args, stdin.as_bytes()).out();
                for line in out.lines() {
                    assert!(serde_json::from_str::<Value>(line).unwrap().is_object(), "{line}");
                }
            };
            check(&["put", "k\n\x01", "v\"", "--lease", &id], "");
            check(&["put", "k\n\x01", "--prev-kv"], "\u{2028}");
            check(&["get", "", "--prefix"], "");
            check(&["get", "", "--prefix", "--count-only"], "");
            check(&["txn"], "ver(\"k\") > \"0\"\n\nput k 2 --prev-kv\nget k\ndel z --prev-kv\n\n\n");
            check(&["watch", "", "--prefix", "--rev", "1", "--count", "3", "--prev-kv"], "");
            check(&["watch", "-i"], "watch k --rev 1\nprogress\n");
            check(&["lease", "timetolive", &id, "--keys"], "");
            check(&["lease", "timetolive", "77"], "");
            check(&["lease", "list"], "");
            check(&["lease", "keep-alive", "--once", &id], "");
            check(&["lease", "keep-alive", "77"], "");
            check(&["lease", "revoke", &id], "");
            check(&["create", "k", "v"], "");
            check(&["cas", "k", "v", "--mod-rev", "0"], "");
            check(&["revision"], "");
            check(&["compaction", "2"], "");
            check(&["del", "k", "--prev-kv"], "");
        }
    }
}

#[test]
fn ct_02_ids_are_read_in_every_form() {
    let (store, id) = granted("1000");
    let short = id.trim_start_matches('0');
    let decimal = i64::from_str_radix(&id, 16).unwrap().to_string();
    for form in [id.as_str(), short, &format!("0x{short}"), &id.to_uppercase()] {
        assert!(store.out(["lease", "timetolive", form]).contains(" granted with "), "{form}");
    }
    assert!(store.out(["lease", "timetolive", "--decimal", &decimal]).contains(" granted with "));
    assert!(store.out(["lease", "time", &id]).contains(" granted with "), "a subcommand cut short, as etcdctl has it");
    assert_eq!(store.run(["lease", "timetolive", "xyz"]).fails(2), "error: `xyz` is no lease id in hex");
    assert_eq!(store.run(["lease", "revoke", "7f", "--decimal"]).fails(2), "error: `7f` is no lease id in decimal");
    assert_eq!(store.out(["lease", "timetolive", "-7"]), "lease -000000000000007 already expired\n");
    assert_eq!(store.out(["lease", "timetolive", "fffffffffffffff9"]), "lease -000000000000007 already expired\n");
}

#[test]
fn a_lease_that_is_gone() {
    let store = Store::with(&[("k", "v")]);
    assert_eq!(store.run(["lease", "revoke", "77"]).fails(1), "error: requested lease not found");
    assert_eq!(store.run(["lease", "keep-alive", "77", "--once"]).fails(1), "error: requested lease not found");
    assert_eq!(store.out(["lease", "keep-alive", "77"]), "lease 0000000000000077 expired or revoked.\n");
    assert_eq!(store.out(["lease", "keep-alive", "77", "-w", "json"]), "");
    assert_eq!(
        store.out(["lease", "keep-alive", "77", "-w", "jsonl"]),
        "{\"ok\":true,\"revision\":2,\"alive\":false}\n"
    );
}

#[test]
fn keep_alive_goes_on_until_a_signal() {
    let (store, id) = granted("3");
    let mut kept = store.start(["lease", "keep-alive", &id]);
    let line = format!("lease {id} keepalived with TTL(3)");
    assert_eq!(kept.lines(2), [line.as_str(), &line]);
    kept.signal("TERM");
    assert_eq!(kept.end().code, Some(143));
    assert!(store.out(["lease", "timetolive", &id]).contains("granted with TTL(3s)"));
}

#[test]
fn le_08_what_is_left_goes_on_between_two_commands() {
    let (store, id) = granted("1000");
    let left = || store.json(["lease", "timetolive", &id, "-w", "jsonl"])["remaining_ms"].as_u64().unwrap();
    let (first, second) = (left(), left());
    // The grant was another process.
    assert!(first < 1_000_000 && second <= first, "{first} {second}");
}
