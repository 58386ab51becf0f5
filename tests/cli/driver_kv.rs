//! `put`, `get`, `range`, `del`: each field sent, each result compared.

use serde_json::json;

use crate::driver::Driver;

#[test]
fn put_answers_its_revision() {
    let mut driver = Driver::in_memory();
    expect!(driver,
        {"cmd": "put", "key": "a", "value": "1"} => {"ok": true, "revision": 2}
        {"cmd": "put", "key": "a", "value": "2", "prev_kv": true} => {"ok": true, "revision": 3,
            "prev": {"key": "a", "value": "1", "create_revision": 2, "mod_revision": 2, "version": 1}}
        {"cmd": "put", "key": "b", "value": "", "prev_kv": true} => {"ok": true, "revision": 4}
        {"cmd": "put", "key": "a", "ignore_value": true} => {"ok": true, "revision": 5}
        {"cmd": "put", "key": "a", "value": "", "ignore_value": true} => {"ok": true, "revision": 6}
        {"cmd": "get", "key": "a"} => {"ok": true, "revision": 6, "found": true,
            "kv": {"key": "a", "value": "2", "create_revision": 2, "mod_revision": 6, "version": 4}}
    );
    refuse!(driver, "VALUE_PROVIDED" -7: {"cmd": "put", "key": "a", "value": "x", "ignore_value": true});
    refuse!(driver, "KEY_NOT_FOUND" -9: {"cmd": "put", "key": "none", "ignore_value": true});
    refuse!(driver, "EMPTY_KEY" -2: {"cmd": "put", "key": "", "value": "x"});
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "put", "key": "a"}
        {"cmd": "put", "value": "x"}
        {"cmd": "put", "key": "a", "value": 1}
        {"cmd": "put", "key": "a", "value": "x", "prev_kv": 1}
        {"cmd": "put", "key": "a", "value": "x", "ttl_ms": -1}
        {"cmd": "put", "key": "a", "value": "x", "lease": 1}
    );
    expect!(driver, {"cmd": "revision"} =>
        {"ok": true, "revision": 6, "compact_revision": 0, "synced_revision": 6});
}

#[test]
fn put_attaches_keeps_and_detaches_a_lease() {
    let mut driver = Driver::in_memory();
    expect!(driver,
        {"cmd": "lease_grant", "ttl_ms": 60_000, "lease": "0000ab"} =>
            {"ok": true, "revision": 1, "lease": "ab", "granted_ms": 60_000}
        {"cmd": "put", "key": "a", "value": "1", "lease": "ab"} => {"ok": true, "revision": 2}
        {"cmd": "put", "key": "a", "value": "2", "ignore_lease": true} => {"ok": true, "revision": 3}
        {"cmd": "get", "key": "a"} => {"ok": true, "revision": 3, "found": true,
            "kv": {"key": "a", "value": "2", "create_revision": 2, "mod_revision": 3, "version": 2, "lease": "ab"}}
        {"cmd": "put", "key": "a", "value": "3", "lease": "0"} => {"ok": true, "revision": 4}
        {"cmd": "get", "key": "a", "keys_only": true} => {"ok": true, "revision": 4, "found": true,
            "kv": {"key": "a", "create_revision": 2, "mod_revision": 4, "version": 3}}
    );
    refuse!(driver, "LEASE_PROVIDED" -8:
        {"cmd": "put", "key": "a", "value": "x", "lease": "ab", "ignore_lease": true});
    refuse!(driver, "LEASE_NOT_FOUND" -23: {"cmd": "put", "key": "a", "value": "x", "lease": "ac"});
    refuse!(driver, "KEY_NOT_FOUND" -9: {"cmd": "put", "key": "none", "value": "x", "ignore_lease": true});
}

#[test]
fn get_finds_a_key_now_and_then() {
    let mut driver = Driver::in_memory();
    driver.call(json!({"cmd": "put", "key": "a", "value": "1"}));
    driver.call(json!({"cmd": "put", "key": "a", "value": "2"}));
    expect!(driver,
        {"cmd": "get", "key": "a", "rev": 2} => {"ok": true, "revision": 3, "found": true,
            "kv": {"key": "a", "value": "1", "create_revision": 2, "mod_revision": 2, "version": 1}}
        {"cmd": "get", "key": "none"} => {"ok": true, "revision": 3, "found": false}
        {"cmd": "get", "key": "a", "rev": 4} => {"ok": false, "code": "FUTURE_REVISION", "number": -21,
            "applied": "no", "message": "revision 4 is in the future, current is 3", "detail": {"revision": 3}}
        {"cmd": "compact", "rev": 3} => {"ok": true, "revision": 3, "compact_revision": 3}
        {"cmd": "get", "key": "a", "rev": 2} => {"ok": false, "code": "COMPACTED", "number": -20, "applied": "no",
            "message": "required revision has been compacted, the compact revision is 3",
            "detail": {"compact_revision": 3}}
    );
    refuse!(driver, "EMPTY_KEY" -2: {"cmd": "get", "key": ""});
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "get"}
        {"cmd": "get", "key": "a", "rev": -1}
        {"cmd": "get", "key": "a", "end": "b"}
        {"cmd": "get", "key": "a", "prefix": true}
    );
}

/// Three keys: a (2, put again at 5), b (3), c (4).
fn three_keys() -> Driver {
    let mut driver = Driver::in_memory();
    for (key, value) in [("a", "z"), ("b", "y"), ("c", "x"), ("a", "z")] {
        driver.call(json!({"cmd": "put", "key": key, "value": value}));
    }
    driver
}

#[test]
fn range_takes_each_form_of_target() {
    let mut driver = three_keys();
    let a = json!({"key": "a", "value": "z", "create_revision": 2, "mod_revision": 5, "version": 2});
    let b = json!({"key": "b", "value": "y", "create_revision": 3, "mod_revision": 3, "version": 1});
    let c = json!({"key": "c", "value": "x", "create_revision": 4, "mod_revision": 4, "version": 1});
    expect!(driver,
        {"cmd": "range", "key": "b"} => {"ok": true, "revision": 5, "kvs": [b], "count": 1, "more": false}
        {"cmd": "range", "key": "a", "end": "c"} => {"ok": true, "revision": 5, "kvs": [a, b], "count": 2, "more": false}
        {"cmd": "range", "key": "a", "prefix": true} => {"ok": true, "revision": 5, "kvs": [a], "count": 1, "more": false}
        {"cmd": "range", "key": "b", "from_key": true} =>
            {"ok": true, "revision": 5, "kvs": [b, c], "count": 2, "more": false}
        {"cmd": "range", "key": "", "prefix": true} =>
            {"ok": true, "revision": 5, "kvs": [a, b, c], "count": 3, "more": false}
        {"cmd": "range", "key": "", "from_key": true, "prefix": false} =>
            {"ok": true, "revision": 5, "kvs": [a, b, c], "count": 3, "more": false}
        {"cmd": "range", "key": "b", "end": "\u{0}"} =>
            {"ok": true, "revision": 5, "kvs": [b, c], "count": 2, "more": false}
        {"cmd": "range", "key": "c", "end": "a"} => {"ok": true, "revision": 5, "kvs": [], "count": 0, "more": false}
        {"cmd": "range", "key": "", "prefix": true, "rev": 1} =>
            {"ok": true, "revision": 5, "kvs": [], "count": 0, "more": false}
    );
    refuse!(driver, "EMPTY_KEY" -2:
        {"cmd": "range", "key": ""}
        {"cmd": "range", "key": "", "end": "b"}
    );
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "range"}
        {"cmd": "range", "key": "a", "end": ""}
        {"cmd": "range", "key": "a", "end": "b", "prefix": true}
        {"cmd": "range", "key": "a", "prefix": true, "from_key": true}
    );
}

#[test]
fn range_sorts_filters_and_cuts() {
    let mut driver = three_keys();
    let mut keys = |options: serde_json::Value| {
        let mut request = json!({"cmd": "range", "key": "", "prefix": true});
        request.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let answer = driver.call(request);
        let keys: String = answer["kvs"].as_array().unwrap().iter().map(|kv| kv["key"].as_str().unwrap()).collect();
        assert_eq!(answer["count"], 3);
        (keys, answer["more"].as_bool().unwrap())
    };
    let all = |keys: &str| (keys.to_owned(), false);
    assert_eq!(keys(json!({"sort": "key"})), all("abc"));
    assert_eq!(keys(json!({"order": "descend"})), all("cba"));
    assert_eq!(keys(json!({"sort": "version"})), all("bca"));
    assert_eq!(keys(json!({"sort": "create", "order": "descend"})), all("cba"));
    assert_eq!(keys(json!({"sort": "mod"})), all("bca"));
    assert_eq!(keys(json!({"sort": "value", "order": "ascend"})), all("cba"));
    assert_eq!(keys(json!({"limit": 2})), ("ab".to_owned(), true));
    assert_eq!(keys(json!({"limit": 3})), all("abc"));
    assert_eq!(keys(json!({"limit": 0})), all("abc"));
    assert_eq!(keys(json!({"sort": "mod", "order": "descend", "limit": 1})), ("a".to_owned(), true));
    assert_eq!(keys(json!({"min_mod": 4})), all("ac"));
    assert_eq!(keys(json!({"max_mod": 4})), all("bc"));
    assert_eq!(keys(json!({"min_create": 3, "max_create": 3})), all("b"));
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "range", "key": "a", "sort": "lease"}
        {"cmd": "range", "key": "a", "order": "up"}
        {"cmd": "range", "key": "a", "limit": -1}
        {"cmd": "range", "key": "a", "min_mod": -1}
        {"cmd": "range", "key": "a", "max_mod": -1}
        {"cmd": "range", "key": "a", "min_create": -1}
        {"cmd": "range", "key": "a", "max_create": -1}
    );
}

#[test]
fn range_tells_keys_or_the_count_only() {
    let mut driver = three_keys();
    expect!(driver,
        {"cmd": "range", "key": "b", "from_key": true, "keys_only": true, "limit": 1} => {"ok": true, "revision": 5,
            "kvs": [{"key": "b", "create_revision": 3, "mod_revision": 3, "version": 1}], "count": 2, "more": true}
        {"cmd": "range", "key": "b", "from_key": true, "count_only": true, "limit": 1} =>
            {"ok": true, "revision": 5, "kvs": [], "count": 2, "more": false}
    );
}

#[test]
fn del_answers_what_it_deleted() {
    let mut driver = three_keys();
    expect!(driver,
        {"cmd": "del", "key": "none"} => {"ok": true, "revision": 5, "deleted": 0}
        {"cmd": "del", "key": "none", "prev_kv": true} => {"ok": true, "revision": 5, "deleted": 0, "prevs": []}
        {"cmd": "del", "key": "a"} => {"ok": true, "revision": 6, "deleted": 1}
        {"cmd": "del", "key": "", "prefix": true, "prev_kv": true} => {"ok": true, "revision": 7, "deleted": 2, "prevs": [
            {"key": "b", "value": "y", "create_revision": 3, "mod_revision": 3, "version": 1},
            {"key": "c", "value": "x", "create_revision": 4, "mod_revision": 4, "version": 1}]}
    );
    refuse!(driver, "EMPTY_KEY" -2: {"cmd": "del", "key": ""});
    refuse!(driver, "INVALID_ARGUMENT" -1: {"cmd": "del"} {"cmd": "del", "key": "a", "limit": 1});
}

#[test]
fn bytes_are_text_where_they_are_text() {
    let mut driver = Driver::in_memory();
    expect!(driver,
        {"cmd": "put", "key_b64": "/w==", "value_b64": "AAE="} => {"ok": true, "revision": 2}
        {"cmd": "get", "key_b64": "/w=="} => {"ok": true, "revision": 2, "found": true, "kv": {"key_b64": "/w==",
            "value": "\u{0}\u{1}", "create_revision": 2, "mod_revision": 2, "version": 1}}
        {"cmd": "range", "key": "\u{0}", "end_b64": "AA=="} => {"ok": true, "revision": 2, "count": 1, "more": false,
            "kvs": [{"key_b64": "/w==", "value": "\u{0}\u{1}", "create_revision": 2, "mod_revision": 2, "version": 1}]}
        {"cmd": "put", "key": "é", "value_b64": ""} => {"ok": true, "revision": 3}
        {"cmd": "get", "key_b64": "w6k="} => {"ok": true, "revision": 3, "found": true, "kv": {"key": "é",
            "value": "", "create_revision": 3, "mod_revision": 3, "version": 1}}
    );
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "get", "key": "a", "key_b64": "YQ=="}
        {"cmd": "get", "key_b64": "YQ"}
        {"cmd": "get", "key_b64": "_w=="}
        {"cmd": "get", "key_b64": 1}
    );
}

#[test]
fn b64_moves_all_bytes() {
    let mut driver = Driver::start(["exec", "--json", "--in-memory", "--b64"]);
    expect!(driver,
        {"cmd": "put", "key": "a", "value": "1"} => {"ok": true, "revision": 2}
        {"cmd": "get", "key": "a"} => {"ok": true, "revision": 2, "found": true, "kv": {"key_b64": "YQ==",
            "value_b64": "MQ==", "create_revision": 2, "mod_revision": 2, "version": 1}}
    );
}
