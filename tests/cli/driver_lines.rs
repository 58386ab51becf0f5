//! Lines and fields as such: what a request is, what is refused, and how answers name their request.

use serde_json::{Value, json};

use crate::driver::{Driver, assert_fails, run};

fn answers(input: &str) -> Vec<Value> {
    let (answers, code, errors) = run(&["exec", "--json", "--in-memory"], input);
    assert_eq!((code, &errors[..]), (Some(0), ""));
    answers
}

#[test]
fn ids_are_echoed_as_they_came() {
    let ids = [r#""x""#, "0", "-1", "9223372036854775807", "-9223372036854775808", r#""""#, r#""é\n""#];
    let input: String = ids.iter().map(|id| format!("{{\"id\":{id},\"cmd\":\"version\"}}\n")).collect();
    for (id, answer) in ids.iter().zip(answers(&input)) {
        assert_eq!(answer["id"], serde_json::from_str::<Value>(id).unwrap());
        assert_eq!(answer["ok"], true);
    }
    // Null is absent, and no id is no id.
    for answer in answers("{\"id\":null,\"cmd\":\"version\"}\n{\"cmd\":\"version\"}\n") {
        assert!(!answer.as_object().unwrap().contains_key("id") && answer["ok"] == true);
    }
}

#[test]
fn ids_of_another_type_are_refused() {
    for id in ["true", "1.5", "[]", "{}", "9223372036854775808", "1e3"] {
        let answer = &answers(&format!("\n{{\"id\":{id},\"cmd\":\"version\"}}\n"))[0];
        assert_fails(answer, "INVALID_ARGUMENT", -1);
        // Without an id the line says which one is meant.
        assert_eq!(answer["line"], 2, "{id}");
    }
}

#[test]
fn the_id_comes_first_then_ok_then_the_revision() {
    let (_, _, _) = run(&["exec", "--json", "--in-memory"], "");
    let mut driver = Driver::in_memory();
    driver.raw(r#"{"key":"a","cmd":"put","value":"1","id":"i"}"#);
    assert_eq!(driver.line(), r#"{"id":"i","ok":true,"revision":2}"#);
    driver.raw(r#"{"cmd":"get","key":""}"#);
    let line = r#"{"ok":false,"code":"EMPTY_KEY","number":-2,"applied":"no","message":"key is not provided"}"#;
    assert_eq!(driver.line(), line);
}

#[test]
fn lines_that_are_no_objects_are_told_by_number() {
    let lines =
        ["", "1", "  \t ", "[]", "nonsense", "{\"cmd\":\"version\"", "\"x\"", "{} {}", "null", "\r", "{'cmd':1}"];
    let told = answers(&lines.join("\n"));
    let numbers: Vec<_> = told.iter().map(|answer| answer["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 4, 5, 6, 7, 8, 9, 11]);
    told.iter().for_each(|answer| assert_fails(answer, "INVALID_ARGUMENT", -1));
}

#[test]
fn a_line_that_is_no_text_is_refused() {
    let mut driver = Driver::in_memory();
    for line in [
        &b"{\"cmd\":\"put\",\"key\":\"\xff\",\"value\":\"\"}"[..],
        b"\0",
        b"{\"cmd\":\"put\",\"key\":\"\\ud800\",\"value\":\"\"}",
    ] {
        driver.raw(line);
        assert_fails(&driver.next(), "INVALID_ARGUMENT", -1);
    }
    assert_eq!(driver.call(json!({"cmd": "revision"}))["revision"], 1);
}

/// JSON's grammar lets through what no integer or text of ours can be; the request is refused under its own id.
#[test]
fn a_request_with_what_cannot_be_kept_has_its_id() {
    let told = answers(concat!(
        r#"{"id":"x","cmd":"get","key":"a","rev":1e999}"#,
        "\n",
        r#"{"cmd":"put","key":"\ud800","value":"","id":7,"client":3}"#,
        "\n",
        r#"{"cmd":"put","key":"\ud800","value":"","id":1e999}"#,
    ));
    assert!(told.len() == 3 && told.iter().all(|answer| answer["code"] == "INVALID_ARGUMENT"), "{told:?}");
    let named = |id: Value| told.iter().any(|answer| answer["id"] == id && answer["line"].is_null());
    assert!(named("x".into()) && named(7.into()), "{told:?}");
    assert!(told.iter().any(|answer| answer["line"] == 3), "{told:?}");
}

#[test]
fn the_last_line_needs_no_end() {
    assert_eq!(answers("{\"id\":1,\"cmd\":\"version\"}").len(), 1);
    assert_eq!(answers("{\"id\":1,\"cmd\":\"version\"}\r\n").len(), 1);
    assert_eq!(answers("").len(), 0);
}

#[test]
fn fields_are_read_strictly() {
    let mut driver = Driver::in_memory();
    for line in [
        r#"{"id":1}"#,
        r#"{"id":1,"cmd":null}"#,
        r#"{"id":1,"cmd":1}"#,
        r#"{"id":1,"cmd":"nonsense"}"#,
        r#"{"id":1,"cmd":"PUT","key":"a","value":"1"}"#,
        r#"{"id":1,"cmd":"put","key":"a","value":"1","extra":1}"#,
        r#"{"id":1,"cmd":"put","key":"a","value":"1","Lease":"1"}"#,
        r#"{"id":1,"cmd":"put","key":"a","key":"a","value":"1"}"#,
        r#"{"id":1,"cmd":"put","key":"a","value":"1","prev_kv":null,"prev_kv":true}"#,
        r#"{"id":1,"cmd":"put","cmd":"put","key":"a","value":"1"}"#,
        r#"{"id":1,"id":1,"cmd":"put","key":"a","value":"1"}"#,
        r#"{"id":1,"cmd":"txn","then":[{"cmd":"put","key":"a","value":"1","value":"2"}]}"#,
        r#"{"id":1,"client":256,"cmd":"version"}"#,
        r#"{"id":1,"client":-1,"cmd":"version"}"#,
        r#"{"id":1,"client":"0","cmd":"version"}"#,
        r#"{"id":1,"client":0.0,"cmd":"version"}"#,
        r#"{"id":1,"cmd":"get","key":"a","rev":1.0}"#,
        r#"{"id":1,"cmd":"get","key":"a","rev":9223372036854775808}"#,
    ] {
        driver.raw(line);
        let mut answer = driver.next();
        assert_eq!(answer.as_object_mut().unwrap().shift_remove("id"), Some(json!(1)), "{line}");
        assert_fails(&answer, "INVALID_ARGUMENT", -1);
        assert!(answer.get("line").is_none(), "{line}");
    }
    assert_eq!(driver.call(json!({"cmd": "revision"}))["revision"], 1);
}

#[test]
fn null_counts_as_absent() {
    let mut driver = Driver::in_memory();
    expect!(driver,
        {"cmd": "put", "key": "a", "key_b64": null, "value": "1", "lease": null, "prev_kv": null, "op_id": null} =>
            {"ok": true, "revision": 2}
        {"cmd": "txn", "when": null, "then": [{"cmd": "get", "key": "b", "rev": null}], "else": null} =>
            {"ok": true, "revision": 2, "succeeded": true, "responses": [{"cmd": "get", "found": false}]}
    );
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "put", "key": "a", "value": null});
}

#[test]
fn errors_tell_no_key_and_no_value() {
    let mut driver = Driver::in_memory();
    for request in [
        json!({"cmd": "put", "key": "s3cret", "value": "s3cret", "lease": "s3cret"}),
        json!({"cmd": "put", "key": "s3cret", "value": ["s3cret"]}),
        json!({"cmd": "get", "key": "s3cret", "rev": 99}),
        json!({"cmd": "range", "key": "s3cret", "sort": "s3cret"}),
        json!({"cmd": "put", "key": "a", "s3cret value that went astray": "x"}),
        json!({"cmd": "get", "key_b64": "s3cret!"}),
        json!({"cmd": "s3cret"}),
    ] {
        let answer = driver.call(request).to_string();
        assert!(answer.contains("\"ok\":false") && !answer.contains("s3cret"), "{answer}");
    }
}

#[test]
fn lines_may_have_64_mib() {
    let mut driver = Driver::in_memory();
    let padded = |len: usize| {
        let request = br#"{"id":1,"cmd":"version"}"#;
        [&request[..], &vec![b' '; len - request.len()]].concat()
    };
    driver.raw(padded(64 << 20));
    assert_eq!(driver.next()["ok"], true);
    driver.raw(padded((64 << 20) + 1));
    let answer = driver.next();
    assert_fails(&answer, "REQUEST_TOO_LARGE", -5);
    assert_eq!((&answer["line"], &answer["detail"]), (&json!(2), &json!({"what": "request line", "max": 64 << 20})));
    // A request that is too large for the store, on a line that is not.
    let mut answer = driver.call(json!({"cmd": "put", "key": "a", "value": "x".repeat(40 << 20)}));
    assert!(answer["detail"].take()["max"].is_u64());
    assert_fails(&answer, "REQUEST_TOO_LARGE", -5);
    assert_eq!(driver.call(json!({"cmd": "revision"}))["revision"], 1);
}

#[test]
fn clients_run_beside_one_another_and_each_in_order() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "watch", "key": "go"}));
    let waits = driver.send(json!({"cmd": "watch_next", "client": 7, "watch": 1}));
    let behind = driver.send(json!({"cmd": "revision", "client": 7}));
    // What comes later on another client is answered before.
    assert_eq!(driver.call(json!({"cmd": "put", "client": 255, "key": "other", "value": ""}))["revision"], 2);
    driver.call(json!({"cmd": "put", "key": "go", "value": ""}));
    assert_eq!(driver.answer(waits)["progress"], 3);
    assert_eq!(driver.answer(behind)["revision"], 3);
}

#[test]
fn one_client_is_answered_in_order() {
    let input: String =
        (0..3000).map(|n| format!("{{\"id\":{n},\"cmd\":\"put\",\"key\":\"k\",\"value\":\"\"}}\n")).collect();
    let told = answers(&input);
    let order: Vec<_> =
        told.iter().map(|answer| (answer["id"].as_u64().unwrap(), answer["revision"].as_u64().unwrap())).collect();
    assert_eq!(order, (0..3000).map(|n| (n, n + 2)).collect::<Vec<_>>());
}

#[test]
fn a_client_that_sleeps_sleeps_alone() {
    let mut driver = Driver::in_memory();
    let began = std::time::Instant::now();
    let asleep = driver.send(json!({"cmd": "sleep", "client": 1, "ms": 200}));
    driver.call(json!({"cmd": "revision"}));
    assert_eq!(driver.answer(asleep), json!({"ok": true}));
    assert!(began.elapsed().as_millis() >= 200);
    expect!(driver, {"cmd": "sleep", "ms": 0} => {"ok": true});
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "sleep"} {"cmd": "sleep", "ms": -1} {"cmd": "sleep", "ms": 0.5});
}

/// While a client has 1,024 unanswered requests, stdin is not read on: not even for another client.
#[test]
fn a_client_has_at_most_1024_unanswered_requests() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "watch", "key": "go"}));
    let first = driver.send(json!({"cmd": "watch_next", "client": 1, "watch": 1}));
    for _ in 1..1024 {
        driver.send(json!({"cmd": "version", "client": 1}));
    }
    // The bound is reached but nothing is beyond it: others are heard.
    driver.call(json!({"cmd": "version"}));
    driver.send(json!({"cmd": "version", "client": 1}));
    let unheard = driver.send(json!({"cmd": "put", "key": "go", "value": ""}));
    assert!(driver.is_silent_for(std::time::Duration::from_millis(200)));
    driver.signal("TERM");
    let (rest, status) = driver.ended();
    assert_eq!(status.code(), Some(143));
    let canceled = |id: u64| rest.iter().filter(|answer| answer["id"] == id && answer["code"] == "CANCELED").count();
    assert_eq!((canceled(first), canceled(unheard)), (1, 0));
    assert_eq!(rest.len(), 1025);
}
