//! txn: etcdctl's three blocks.

use crate::store::Store;

fn ab() -> Store {
    Store::with(&[("a", "1"), ("b", "2")])
}

#[test]
fn the_branch_that_holds_runs() {
    let store = ab();
    let txn =
        "value(\"a\") = \"1\"\nmod(\"b\") > \"0\"\n\nput a \"over written\"\nget a\ndel b --prev-kv\n\nput a no\n\n";
    let out = store.run_with(["txn"], txn.as_bytes()).out();
    assert_eq!(out, "SUCCESS\n\nOK\n\na\nover written\n\n1\nb\n2\n");
    let out = store.run_with(["txn"], txn.as_bytes()).out();
    assert_eq!(out, "FAILURE\n\nOK\n");
    assert_eq!(store.out(["get", "a"]), "a\nno\n");
}

#[test]
fn each_comparison_of_etcdctl_is_there() {
    let store = ab();
    let lease = store.out(["lease", "grant", "1000"]).split(' ').nth(1).unwrap().to_owned();
    store.out(["put", "l", "x", "--lease", &lease]);
    let holds = |compare: &str| {
        let out = store.run_with(["txn"], format!("{compare}\n\nget a\n\n\n").as_bytes()).out();
        out.starts_with("SUCCESS\n")
    };
    for yes in [
        "ver(\"a\") = \"1\"",
        "version(\"a\") < \"2\"",
        "version(\"none\") = \"0\"",
        "c(\"a\") = \"2\"",
        "create(\"a\") != \"3\"",
        "m(\"b\") = \"3\"",
        "mod(\"b\") > \"2\"",
        "val(\"a\") > \"0\"",
        "value(\"a\") < \"2\"",
        "value(\"a\") != \"2\"",
        "lease(\"a\") = \"0\"",
        "value(`a`) = `1`",
        "value(\"\\x61\") = \"\\061\"",
    ] {
        assert!(holds(yes), "{yes}");
    }
    for no in ["ver(\"a\") > \"1\"", "value(\"none\") != \"2\"", "lease(\"l\") = \"0\"", "create(\"a\") < \"2\""] {
        assert!(!holds(no), "{no}");
    }
    assert!(holds(&format!("lease(\"l\") = \"{lease}\"")), "an id as it was printed");
}

#[test]
fn requests_have_their_flags() {
    let store = ab();
    let txn = "\nget \"\" --prefix --keys-only --limit=1\nput c 'it is' --prev-kv\nput a --ignore-value\ndel a c\nget c --rev 2\n\n\n";
    let refused = store.run_with(["txn"], txn.as_bytes()).fails(1);
    assert_eq!(refused, "error: duplicate key given in txn request");
    let txn = "\nget \"\" --prefix --keys-only --limit=1\nput c 'it is' --prev-kv\nput b --ignore-value --prev-kv\nget c\nget \"\" --from-key --count-only\n\n\n";
    let out = store.run_with(["txn"], txn.as_bytes()).out();
    assert_eq!(out, "SUCCESS\n\na\n\n\nOK\n\nOK\nb\n2\n\nc\nit is\n\n3\n");
}

#[test]
fn jsonl_answers_as_the_driver() {
    let store = ab();
    let txn = "\nput a 2\nget a\nget a --keys-only\ndel b --prev-kv\ndel none\n\n\n";
    let out = store.run_with(["txn", "-w", "jsonl"], txn.as_bytes()).out();
    let a = r#""key":"a","value":"2","create_revision":2,"mod_revision":4,"version":2"#;
    assert_eq!(
        out,
        format!(
            "{{\"ok\":true,\"revision\":4,\"succeeded\":true,\"responses\":[{{\"cmd\":\"put\"}},{{\"cmd\":\"range\",\"kvs\":[{{{a}}}],\
             \"count\":1,\"more\":false}},{{\"cmd\":\"range\",\"kvs\":[{{{}}}],\"count\":1,\"more\":false}},{{\"cmd\":\"del\",\
             \"deleted\":1,\"prevs\":[{{\"key\":\"b\",\"value\":\"2\",\"create_revision\":3,\"mod_revision\":3,\"version\":1}}]}},\
             {{\"cmd\":\"del\",\"deleted\":0}}]}}\n",
            a.replace("\"value\":\"2\",", "")
        )
    );
}

#[test]
fn interactive_prompts() {
    let store = ab();
    let out = store.run_with(["txn", "-i"], b"\nget a\n\n\n").out();
    assert_eq!(
        out,
        "compares:\nsuccess requests (get, put, del):\nfailure requests (get, put, del):\nSUCCESS\n\na\n1\n"
    );
}

#[test]
fn prompts_come_before_what_they_ask_for() {
    let store = ab();
    let mut txn = store.start(["txn", "--interactive"]);
    assert_eq!(txn.line(), "compares:");
    txn.say("");
    assert_eq!(txn.line(), "success requests (get, put, del):");
    txn.say("");
    assert_eq!(txn.line(), "failure requests (get, put, del):");
    txn.say("");
    assert_eq!(txn.end().out(), "SUCCESS\n");
}

#[test]
fn a_block_that_was_cut_off_does_not_run() {
    let store = ab();
    for cut in ["", "\n", "\nput a 2\n", "\nput a 2\n\n", "\nput a 2\n\nput a 3", "\nput a 2"] {
        let refused = store.run_with(["txn"], cut.as_bytes()).fails(2);
        assert!(refused.contains("ended inside a block"), "{refused}");
    }
    assert_eq!(store.out(["get", "a"]), "a\n1\n");
}

#[test]
fn what_makes_no_sense_is_named_by_its_line_and_never_repeated() {
    let store = ab();
    for (line, txn) in [
        (1, "secret\n"),
        (1, "mod(\"secret\") >= \"0\"\n"),
        (1, "size(\"secret\") > \"0\"\n"),
        (2, "mod(\"a\") > \"0\"\nmod(\"a\") > \"secret\"\n"),
        (2, "\nput secret\n"),
        (2, "\nput secret \"open\n"),
        (3, "\nget a\nget secret --nonsense\n"),
        (3, "\n\ntxn secret\n"),
        (2, "\nput secret x --lease xyz\n"),
        (2, "\nget secret --min-mod-rev 3 --max-mod-rev 2\n"),
    ] {
        let refused = store.run_with(["txn"], txn.as_bytes()).fails(2);
        assert!(refused.starts_with(&format!("error: line {line}: ")), "{txn}: {refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}

#[test]
fn a_failed_compare_is_an_answer() {
    let store = ab();
    let failed = b"mod(\"a\") = \"7\"\n\nput a 2\n\n\n";
    assert_eq!(store.run_with(["txn"], failed).out(), "FAILURE\n");
    assert_eq!(store.run_with(["txn", "-e"], failed).code, Some(3));
    assert_eq!(store.run_with(["txn", "-e"], b"\nget a\n\n\n").code, Some(0));
}

#[test]
fn every_format_has_the_answers_in_order() {
    let store = ab();
    let txn = b"\nput a 2\nget a\ndel b\n\n\n";
    let fields = store.run_with(["txn", "-w", "fields"], txn).out();
    let positions: Vec<_> = ["\"Succeeded\" : true", "\"Key\" : \"a\"", "\"Count\" : 1", "\"Deleted\" : 1"]
        .map(|text| fields.find(text))
        .into();
    assert!(positions.is_sorted() && positions.iter().all(Option::is_some), "{fields}");
    let table = store.run_with(["txn", "-w", "table"], txn).out();
    assert!(table.contains("| REVISION | SUCCEEDED |") && table.contains("| a   | 2     |"), "{table}");
}
