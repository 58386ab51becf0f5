//! CW-01: a part of a store as if it were all of it.

use etclite::coordination::Namespace;
use etclite::{
    Compare, Delete, Error, Invalid, KeyRange, Op, OpResponse, Put, PutOptions, Range, Txn, from_key, prefix,
};

use super::rig::{drain, everywhere, ms};

fn keys(space: &Namespace, range: impl Into<Range>) -> Vec<String> {
    let range = range.into();
    let response = space.query(range.clone()).unwrap();
    let walked: Vec<_> = space.range(range.clone()).unwrap().map(Result::unwrap).collect();
    assert_eq!(walked, response.kvs);
    // The limit is not for counting.
    assert!(space.count(range).unwrap() >= walked.len() as u64);
    walked.iter().map(|kv| kv.key.escape_ascii().to_string()).collect()
}

#[test]
fn cw_01_keys_and_ranges() {
    everywhere(|store| {
        // Around it, keys that are not its business, the bare prefix among them.
        for key in ["a", "app", "app/", "app0", "b"] {
            store.put(key, "outside");
        }
        let app = store.db.namespace("app/");
        for key in ["a", "b/1", "b/2", "c", "\u{7f}"] {
            app.put(key, key).unwrap();
        }
        store.settle();
        assert_eq!(app.get("a").unwrap().unwrap().key, "a");
        assert_eq!((app.key("a"), store.db.get("app/a").unwrap().unwrap().value), ("app/a".into(), "a".into()));
        assert_eq!(keys(&app, ..), ["a", "b/1", "b/2", "c", "\\x7f"]);
        assert_eq!((app.count(..).unwrap(), app.count(from_key("c")).unwrap()), (5, 2));
        assert_eq!(keys(&app, prefix("")), keys(&app, ..));
        assert_eq!(keys(&app, prefix("b/")), ["b/1", "b/2"]);
        assert_eq!(keys(&app, "b".."c"), ["b/1", "b/2"]);
        // Clipped: a range without an end stops where the namespace does.
        assert_eq!(keys(&app, from_key("c")), ["c", "\\x7f"]);
        assert_eq!(keys(&app, Range::new(KeyRange::from_wire("\0", "\0")).reverse().limit(1)).len(), 1);
        assert!(keys(&app, KeyRange::between("c", "a")).is_empty());
        assert_eq!(app.get("").unwrap_err().to_string(), Error::InvalidArgument(Invalid::EmptyKey).to_string());
        for refused in [app.put("", "").map(drop), app.query("").map(drop), app.delete("").map(drop)] {
            assert!(matches!(refused, Err(Error::InvalidArgument(Invalid::EmptyKey))));
        }
        assert_eq!(app.delete(from_key("b/2")).unwrap().deleted, 3);
        assert_eq!(app.delete_with(Delete::new(..).prev_kv()).unwrap().prev_kvs[1].key, "b/1");
        assert_eq!(store.contents().len(), 5);
        assert_eq!(app.put("a", "again").unwrap().revision, store.db.revision());
    });
}

#[test]
fn cw_01_history_and_single_writes() {
    everywhere(|store| {
        let app = store.db.namespace("app/");
        let first = app.put("a", "1").unwrap().revision;
        assert!(app.put_if_absent("a", "x").unwrap().is_none() && app.put_if_absent("b", "x").unwrap().is_some());
        assert!(app.compare_and_swap("a", first, "2").unwrap().is_some());
        assert_eq!(app.get_at("a", first).unwrap().unwrap().value, "1");
        let prev = app.put_with("a", "3", PutOptions::new().prev_kv()).unwrap().prev.unwrap();
        assert_eq!((prev.key, prev.value), ("a".into(), "2".into()));
        assert_eq!(store.contents(), ["app/a=3", "app/b=x"]);
        let inner = app.namespace("x/");
        inner.put("y", "").unwrap();
        assert!(store.db.get("app/x/y").unwrap().is_some());
    });
}

/// Namespaces that end in 0xff, where the end of a prefix is not the prefix with its last byte raised.
#[test]
fn cw_01_a_namespace_that_ends_in_0xff() {
    everywhere(|store| {
        let spaces = [&b"\xff"[..], b"\xff\xff", b"a\xff"].map(|prefix| store.db.namespace(prefix));
        store.put("b", "outside");
        let mut watches = spaces.clone().map(|space| space.watch(..).with_prev().start().unwrap());
        for space in &spaces {
            space.put("k", "v").unwrap();
        }
        // Of all under 0xff, those under 0xff 0xff are a part.
        assert_eq!(keys(&spaces[0], ..), ["k", "\\xffk"]);
        assert_eq!((keys(&spaces[1], ..), keys(&spaces[2], from_key("k"))), (vec!["k".into()], vec!["k".into()]));
        spaces[2].delete(from_key("a")).unwrap();
        assert_eq!(drain(&mut watches[1]).unwrap(), ["+k=v@4"]);
        assert_eq!(drain(&mut watches[2]).unwrap(), ["+k=v@5", "-k@6 was v"]);
        assert_eq!(drain(&mut watches[0]).unwrap().len(), 2);
    });
}

#[test]
fn cw_01_watches() {
    everywhere(|store| {
        let app = store.db.namespace("app/");
        let from = app.put("a", "1").unwrap().revision;
        store.put("app", "outside");
        store.put("app0", "outside");
        let (loaded, mut watch) = app.load_and_watch(from_key("a")).unwrap();
        assert_eq!(loaded[0].key, "a");
        app.put("a", "2").unwrap();
        store.put("z", "outside");
        app.delete("a").unwrap();
        assert_eq!(drain(&mut watch).unwrap(), ["+a=2@5", "-a@7"]);
        let mut all = app.watch("").from(from).with_prev().start().unwrap();
        assert!(drain(&mut all).unwrap().is_empty(), "an empty key is the lowest one");
        let mut all = app.watch(..).from(from).with_prev().start().unwrap();
        assert_eq!(drain(&mut all).unwrap(), ["+a=1@2", "+a=2@5 was 1", "-a@7 was 2"]);
        assert!(matches!(app.watch("b".."a").start(), Err(Error::InvalidArgument(Invalid::EmptyWatchRange))));
    });
}

#[test]
fn cw_01_txns() {
    everywhere(|store| {
        let app = store.db.namespace("app/");
        app.put("a", "1").unwrap();
        store.put("a", "outside");
        let nested = Txn::new().when([Compare::version(prefix("")).gt(0)]).then([Range::new(..)]);
        let ops: [Op; 4] = [
            Put::new("b", "2").prev_kv().into(),
            Range::new(from_key("a")).into(),
            nested.into(),
            Delete::new("a").prev_kv().into(),
        ];
        let response = app.execute(Txn::new().when([Compare::value("a").eq("1")]).then(ops)).unwrap();
        assert!(response.succeeded);
        let [OpResponse::Put(put), OpResponse::Range(range), OpResponse::Txn(txn), OpResponse::Delete(delete)] =
            &response.responses[..]
        else {
            panic!("{response:?}")
        };
        assert!(put.prev.is_none());
        assert_eq!((&range.kvs[0].key[..], &range.kvs[1].key[..]), (&b"a"[..], &b"b"[..]));
        let [OpResponse::Range(inner)] = &txn.responses[..] else { panic!("{txn:?}") };
        assert_eq!(inner.kvs, range.kvs);
        assert_eq!((delete.deleted, &delete.prev_kvs[0].key[..]), (1, &b"a"[..]));
        assert_eq!(store.contents(), ["a=outside", "app/b=2"]);
        let refused = app.execute(Txn::new().then([Put::new("", "")]));
        assert!(matches!(refused, Err(Error::InvalidArgument(Invalid::EmptyKey))));
    });
}

#[test]
fn cw_01_leases_and_locks() {
    everywhere(|store| {
        let app = store.db.namespace("app/");
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        let lease = || PutOptions::new().lease(7);
        app.put_with("a", "", lease()).unwrap();
        store.db.put_with("app/", "", lease()).unwrap();
        store.db.put_with("b", "", lease()).unwrap();
        let status = app.time_to_live(7).unwrap().unwrap();
        assert_eq!((status.keys, status.key_count), (vec!["a".into()], 1));
        assert_eq!(app.time_to_live(8).unwrap(), None);
        // A lock of the namespace's; its token names the whole key.
        let session = store.db.session(ms(60_000)).unwrap();
        let guard = session.mutex(app.key("lock")).lock().unwrap();
        assert_eq!(keys(&app, prefix("lock/")), [format!("lock/{}", session.lease())]);
        let held = Txn::new().fenced(&guard).when([Compare::held(&guard), Compare::lease_alive(7)]);
        assert!(app.execute(held.then([Put::new("b", "")])).unwrap().succeeded);
        assert!(store.db.get("app/b").unwrap().is_some());
    });
}
