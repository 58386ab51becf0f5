//! CW-06: the requests of a Kubernetes API server, one txn each; and CW-08, the compares that everybody writes.

use std::thread;

use etclite::coordination::kubernetes::{GetResponse, ListOptions, ListResponse, WriteOptions, WriteResponse};
use etclite::{Compare, Error, Invalid, Put, PutOptions, Txn, from_key, prefix};

use super::rig::{Kind, Store, everywhere, ms, rev};

fn names(page: &ListResponse) -> Vec<String> {
    page.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

#[test]
fn cw_06_get_tells_the_key_and_the_revision() {
    everywhere(|store| {
        store.put("a", "1");
        store.put("a", "2");
        store.put("b", "");
        store.always(|store| {
            let kube = store.db.kubernetes();
            let value = |got: &GetResponse| got.kv.as_ref().map(|kv| (kv.value.clone(), kv.mod_revision.get()));
            let (now, then) = (kube.get("a", 0).unwrap(), kube.get("a", 2).unwrap());
            assert_eq!((value(&now), now.revision), (Some(("2".into(), 3)), rev(4)));
            assert_eq!((value(&then), then.revision), (Some(("1".into(), 2)), rev(4)));
            assert_eq!(kube.get("none", 0).unwrap(), GetResponse { kv: None, revision: rev(4) });
            assert!(matches!(kube.get("a", 5), Err(Error::FutureRevision { .. })));
            assert!(matches!(kube.get("", 0), Err(Error::InvalidArgument(Invalid::EmptyKey))));
        });
    });
}

#[test]
fn cw_06_list_goes_in_pages_of_one_revision() {
    everywhere(|store| {
        for key in ["p", "p/a", "p/b", "p/b\0", "p/c", "p0"] {
            store.put(key, key);
        }
        let first = store.db.kubernetes().list("p/", &ListOptions::new().limit(2)).unwrap();
        assert_eq!((names(&first), first.count, first.revision), (vec!["p/a".to_owned(), "p/b".into()], 4, rev(7)));
        // What happens meanwhile is of another revision.
        store.delete("p/c");
        store.put("p/bb", "");
        store.always(|store| {
            let kube = store.db.kubernetes();
            let next = first.next.clone().unwrap();
            assert_eq!(next, "p/b\0");
            let rest = ListOptions::new().limit(2).at(first.revision).continue_from(&next);
            let rest = kube.list("p/", &rest).unwrap();
            assert_eq!((names(&rest), rest.count, rest.next), (vec!["p/b\0".to_owned(), "p/c".into()], 2, None));
            let now = kube.list("p/", &ListOptions::new().continue_from(next)).unwrap();
            assert_eq!((names(&now), now.count), (vec!["p/b\0".to_owned(), "p/bb".into()], 2));
            let all = kube.list("", &ListOptions::new()).unwrap();
            assert_eq!((all.kvs.len(), all.count, all.next), (6, 6, None));
            assert_eq!((kube.count("p/").unwrap(), kube.count("").unwrap(), kube.count("q").unwrap()), (4, 6, 0));
            let outside = kube.list("p/", &ListOptions::new().continue_from("p"));
            assert!(matches!(outside, Err(Error::InvalidArgument(Invalid::Argument(_)))));
        });
    });
}

#[test]
fn cw_06_optimistic_put() {
    everywhere(|store| {
        let kube = store.db.kubernetes();
        let (plain, look) = (WriteOptions::new(), WriteOptions::new().get_on_failure());
        let made = kube.optimistic_put("a", "1", 0, &look).unwrap();
        assert_eq!(made, WriteResponse { succeeded: true, revision: rev(2), kv: None });
        let refused = WriteResponse { succeeded: false, revision: rev(2), kv: None };
        assert_eq!(kube.optimistic_put("a", "x", 0, &plain).unwrap(), refused);
        let told = kube.optimistic_put("a", "x", 9, &look).unwrap();
        assert_eq!(told, WriteResponse { kv: store.db.get("a").unwrap(), ..refused.clone() });
        assert!(told.kv.is_some());
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        assert!(kube.optimistic_put("a", "2", made.revision, &plain.lease(7)).unwrap().succeeded);
        // As a plain put, one without a lease leaves it.
        let kv = store.db.get("a").unwrap().unwrap();
        assert_eq!((&kv.value[..], kv.lease.get(), kv.mod_revision), (&b"2"[..], 7, rev(3)));
        assert!(kube.optimistic_put("a", "3", 3, &plain).unwrap().succeeded);
        assert_eq!(store.db.get("a").unwrap().unwrap().lease.get(), 0);
        // What is not there is told as such.
        let gone = kube.optimistic_put("none", "1", 3, &look).unwrap();
        assert_eq!(gone, WriteResponse { succeeded: false, revision: rev(4), kv: None });
        assert!(matches!(kube.optimistic_put("b", "", 0, &plain.lease(8)), Err(Error::LeaseNotFound)));
        store.always(|store| assert_eq!(store.contents(), ["a=3"]));
    });
}

#[test]
fn cw_06_optimistic_delete() {
    everywhere(|store| {
        let kube = store.db.kubernetes();
        let (plain, look) = (WriteOptions::new(), WriteOptions::new().get_on_failure());
        store.put("a", "1");
        store.put("a", "2");
        assert!(!kube.optimistic_delete("a", 2, &plain).unwrap().succeeded);
        let told = kube.optimistic_delete("a", 2, &look).unwrap();
        assert_eq!((told.succeeded, told.revision, told.kv), (false, rev(3), store.db.get("a").unwrap()));
        let gone = kube.optimistic_delete("a", 3, &look).unwrap();
        assert_eq!(gone, WriteResponse { succeeded: true, revision: rev(4), kv: None });
        assert!(!kube.optimistic_delete("a", 3, &look).unwrap().succeeded);
        // It is as expected: not there. Nothing is written.
        let nothing = kube.optimistic_delete("a", 0, &look).unwrap();
        assert_eq!(nothing, WriteResponse { succeeded: true, revision: rev(4), kv: None });
        store.always(|store| assert_eq!(store.events(.., 2), ["+a=1@2", "+a=2@3 was 1", "-a@4 was 2"]));
    });
}

/// One txn: what is told on failure is what the write was refused for, so that nobody needs another look.
#[test]
fn cw_06_no_update_is_lost() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 50;
    let store = Store::new(Kind::Files);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let kube = store.db.kubernetes();
            scope.spawn(move || {
                let (mut seen, look) = (None, WriteOptions::new().get_on_failure());
                for _ in 0..ROUNDS {
                    loop {
                        let (number, expected) = seen.unwrap_or((0u64, rev(0)));
                        let put = kube.optimistic_put("n", (number + 1).to_string(), expected, &look).unwrap();
                        if put.succeeded {
                            seen = Some((number + 1, put.revision));
                            break;
                        }
                        let kv = put.kv.expect("it is there from the first put on");
                        assert_ne!(kv.mod_revision, expected);
                        seen = Some((String::from_utf8_lossy(&kv.value).parse().unwrap(), kv.mod_revision));
                    }
                }
            });
        }
    });
    assert_eq!(store.contents(), [format!("n={}", THREADS * ROUNDS)]);
    assert_eq!(store.db.revision(), 1 + THREADS * ROUNDS, "nothing else was written");
}

#[test]
fn cw_08_key_exists_and_key_missing() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        store.db.put_with("a/1", "", PutOptions::new().lease(7)).unwrap();
        store.put("gone", "");
        store.delete("gone");
        let holds = |store: &Store, compare: Compare| {
            store.db.execute(Txn::new().when([compare]).then(Vec::<Put>::new())).unwrap().succeeded
        };
        store.always(|store| {
            assert!(holds(store, Compare::key_exists("a/1")) && !holds(store, Compare::key_missing("a/1")));
            for missing in ["gone", "a", "never"] {
                assert!(!holds(store, Compare::key_exists(missing)) && holds(store, Compare::key_missing(missing)));
            }
            // Any key of a range will do, none may be there.
            assert!(
                holds(store, Compare::key_exists(prefix("a/"))) && !holds(store, Compare::key_missing(prefix("a/")))
            );
            assert!(
                !holds(store, Compare::key_exists(from_key("b"))) && holds(store, Compare::key_missing(from_key("b")))
            );
        });
        // Written by one, once.
        let create =
            || store.db.txn().when([Compare::key_missing("new")]).then([Put::new("new", "")]).commit().unwrap();
        assert!(create().succeeded && !create().succeeded);
    });
}
