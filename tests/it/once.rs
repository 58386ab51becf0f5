//! Operation ids: a write that is sent again takes effect once, and gets its first answer.

use std::sync::Barrier;
use std::thread;

use etclite::error::Invalid;
use etclite::testing::{backup_to, expire};
use etclite::{
    Applied, Compare, Db, Delete, Error, KeyRange, LeaseId, OnceResponse, Op, OpResponse, Options, Put, PutOptions,
    PutResponse, Range, Result, Txn, TxnResponse,
};

use super::rig::{Kind, Store, everywhere, ids, ms, open_image, rev};

/// What a repetition answers: the same again.
fn again<T: Clone + PartialEq + std::fmt::Debug>(first: &OnceResponse<T>, again: &OnceResponse<T>) {
    assert!(!first.replayed && again.replayed, "{first:?} {again:?}");
    assert_eq!(first.response, again.response);
}

fn put(db: &Db, id: u128, key: &str, value: &str) -> Result<OnceResponse<PutResponse>> {
    db.operation(id).put(key, value)
}

fn create(key: &str) -> Txn {
    Txn::new().when([Compare::version(key).eq(0)]).then([Put::new(key, "1")]).or_else([Range::new(key)])
}

/// Everything that a repetition must not do again.
fn snapshot(db: &Db) -> (u64, u32, Vec<i64>, u64) {
    (db.revision().get(), db.hash(0).unwrap().hash, ids(db), db.stats().operation_ids)
}

#[test]
fn x_03_every_verb_takes_effect_once() {
    everywhere(|store| {
        let db = &store.db;
        db.put("a", "0").unwrap();
        let first_put = db.operation(1u128).put_with("a", "1", PutOptions::new().prev_kv()).unwrap();
        assert_eq!((first_put.revision, first_put.prev.as_ref().unwrap().value.as_ref()), (rev(3), &b"0"[..]));
        let delete = Delete::new("a".."c").prev_kv();
        let first_delete = db.operation(2u128).delete_with(delete.clone()).unwrap();
        assert_eq!((first_delete.deleted, first_delete.prev_kvs.len()), (1, 1));
        let first_txn = db.operation(3u128).execute(create("b")).unwrap();
        assert!(first_txn.succeeded);
        let first_grant = db.operation(4u128).grant(ms(60_000)).unwrap();
        let named = db.operation(5u128).grant_with_id(7, ms(60_000)).unwrap();
        db.put_with("leased", "1", PutOptions::new().lease(7)).unwrap();
        let first_revoke = db.operation(6u128).revoke(7).unwrap();
        let nothing = db.operation(8u128).delete("missing").unwrap();
        assert_eq!((nothing.revision, nothing.deleted), (rev(7), 0));
        let before = snapshot(db);
        assert_eq!(before.3, 7);
        store.always(|store| {
            let db = &store.db;
            again(&first_put, &db.operation(1u128).put_with("a", "1", PutOptions::new().prev_kv()).unwrap());
            again(&first_delete, &db.operation(2u128).delete_with(delete.clone()).unwrap());
            again(&first_txn, &db.operation(3u128).execute(create("b")).unwrap());
            let granted = db.operation(4u128).grant(ms(60_000)).unwrap();
            assert!(granted.replayed && granted.id() == first_grant.id());
            assert_eq!(granted.granted(), first_grant.granted());
            assert!(
                db.operation(5u128).grant_with_id(7, ms(60_000)).unwrap().replayed && named.id() == LeaseId::new(7)
            );
            again(&first_revoke, &db.operation(6u128).revoke(7).unwrap());
            again(&nothing, &db.operation(8u128).delete("missing").unwrap());
            assert_eq!(snapshot(db), before);
        });
    });
}

/// Whatever a repetition is of, it tells the revision of then.
#[test]
fn x_03_a_repetition_tells_the_first_revision() {
    everywhere(|store| {
        let db = &store.db;
        let granted = db.operation(1u128).grant(ms(60_000)).unwrap();
        assert_eq!((granted.revision, granted.grant_revision()), (rev(1), Some(rev(1))));
        db.grant_with_id(7, ms(60_000)).unwrap();
        store.put_leased("a", "", 7);
        assert_eq!(db.operation(2u128).revoke(7).unwrap().revision, 3);
        db.cursor("c", ..).at(1).create().unwrap();
        assert_eq!(db.operation(3u128).advance("c", 1, 2).unwrap().revision, 3);
        assert_eq!(db.operation(4u128).execute(create("b")).unwrap().revision, 4);
        assert_eq!(db.operation(5u128).delete("none").unwrap().revision, 4);
        store.put("later", "");
        store.always(|store| {
            let db = &store.db;
            let lease = db.operation(1u128).grant(ms(60_000)).unwrap();
            assert_eq!((lease.revision, lease.grant_revision()), (rev(1), Some(rev(1))));
            assert_eq!(db.operation(2u128).revoke(7).unwrap().revision, 3);
            assert_eq!(db.operation(3u128).advance("c", 1, 2).unwrap().revision, 3);
            assert_eq!(db.operation(4u128).execute(create("b")).unwrap().revision, 4);
            assert_eq!(db.operation(5u128).delete("none").unwrap().revision, 4);
            assert_eq!(db.revision(), 5);
        });
    });
}

#[test]
fn x_03_cursors_are_made_reset_and_dropped_once() {
    everywhere(|store| {
        let cursor = |db: &Db| db.cursor("c", etclite::prefix("a/")).at(2);
        store.put("a/1", "");
        store.put("a/2", "");
        let op = |store: &Store, id: u128| store.db.operation(id).since(1);
        let made = op(store, 1).create_cursor(cursor(&store.db)).unwrap();
        assert_eq!((made.response, made.revision, made.replayed), (rev(2), rev(3), false));
        store.always(|store| again(&made, &op(store, 1).create_cursor(cursor(&store.db)).unwrap()));
        let reset = op(store, 2).reset_cursor("c", 3).unwrap();
        store.put("b", "");
        // Its position is another by now, and a second reset would take it back.
        store.db.open_cursor("c").unwrap().advance(3, 4).unwrap();
        store.always(|store| {
            again(&reset, &op(store, 2).reset_cursor("c", 3).unwrap());
            assert_eq!(store.db.open_cursor("c").unwrap().position().unwrap(), 4);
        });
        let dropped = op(store, 3).drop_cursor("c").unwrap();
        assert_eq!((dropped.response, dropped.revision), (rev(4), rev(4)));
        store.always(|store| {
            again(&dropped, &op(store, 3).drop_cursor("c").unwrap());
            again(&made, &op(store, 1).create_cursor(cursor(&store.db)).unwrap());
            again(&reset, &op(store, 2).reset_cursor("c", 3).unwrap());
            assert!(store.db.cursors().unwrap().is_empty());
        });
        // Errors leave the id free, another request does not get it.
        assert!(matches!(op(store, 4).drop_cursor("c"), Err(Error::CursorNotFound)));
        assert!(matches!(op(store, 4).create_cursor(store.db.cursor("", "a")), Err(Error::InvalidArgument(_))));
        for other in [op(store, 1).create_cursor(cursor(&store.db).no_put()), op(store, 3).reset_cursor("c", 4)] {
            assert!(matches!(other, Err(Error::InvalidArgument(Invalid::OperationIdReused))), "{other:?}");
        }
        op(store, 4).create_cursor(cursor(&store.db)).unwrap();
        assert_eq!(store.db.cursors().unwrap().len(), 1);
    });
}

/// What an id was used for is the request as its caller gave it: not what the options of the store made of it, which may
/// be others when it is sent again.
#[test]
fn x_03_a_request_is_what_its_caller_gave() {
    let (disk, clock) = (etclite::io::sim::SimDisk::new(), etclite::io::sim::SimClock::new(1));
    let open = |options: Options| {
        let options = etclite::testing::with_knobs(options, super::rig::ROOMY);
        let disk = std::sync::Arc::new(disk.clone());
        etclite::testing::open_on(disk, std::sync::Arc::new(clock.clone()), options).unwrap()
    };
    let leased = |ttl: u64| Txn::new().then([Op::grant(9, ms(ttl))]);
    let read = || {
        let keys = Op::from(Range::new("a").keys_only());
        Txn::new().then([Op::from(Put::new("b", "")), keys])
    };
    let send = |db: &Db, ttl: u64| {
        let timed = PutOptions::new().ttl(ms(ttl));
        let granted = db.operation(1u128).grant(ms(ttl)).map(|once| once.replayed);
        let named = db.operation(2u128).grant_with_id(8, ms(ttl)).map(|once| once.replayed);
        let put = db.operation(3u128).put_with("a", "", timed).map(|once| once.replayed);
        let txn = db.operation(4u128).execute(leased(ttl)).map(|once| once.replayed);
        [granted, named, put, txn]
    };
    let db = open(Options::new().min_ttl(ms(50)).cursors_max(3));
    assert!(send(&db, 10).into_iter().all(|sent| !sent.unwrap()));
    assert!(!db.operation(5u128).execute(read()).unwrap().replayed);
    assert!(!db.operation(6u128).create_cursor(db.cursor("c", "a")).unwrap().replayed);
    // All of them were raised to 50 ms, and yet these are others.
    for other in send(&db, 20) {
        assert!(matches!(other, Err(Error::InvalidArgument(Invalid::OperationIdReused))), "{other:?}");
    }
    db.close().unwrap();
    let db = open(Options::new().min_ttl(ms(5_000)).cursors_max(7).keys_only_lease(false));
    assert!(send(&db, 10).into_iter().all(|sent| sent.unwrap()));
    assert!(db.operation(5u128).execute(read()).unwrap().replayed);
    assert!(db.operation(6u128).create_cursor(db.cursor("c", "a")).unwrap().replayed);
    // And what is new is raised, and has no lease to tell.
    assert_eq!(db.operation(7u128).grant(ms(10)).unwrap().granted(), Some(ms(5_000)));
    db.put_with_ttl("a", "", ms(10)).unwrap();
    let OpResponse::Range(range) = db.operation(8u128).execute(read()).unwrap().responses[1].clone() else { panic!() };
    assert_eq!((range.kvs.len(), range.kvs[0].lease), (1, LeaseId::NONE));
}

#[test]
fn x_03_a_failed_compare_is_an_answer() {
    everywhere(|store| {
        store.put("a", "1");
        let first = store.db.operation(1u128).execute(create("a")).unwrap();
        assert!(!first.succeeded && first.revision == 2 && store.db.revision() == 2);
        store.delete("a");
        // It would succeed now.
        store.always(|store| again(&first, &store.db.operation(1u128).execute(create("a")).unwrap()));
        assert!(store.db.get("a").unwrap().is_none());
    });
}

#[test]
fn x_03_an_error_leaves_the_id_free() {
    everywhere(|store| {
        let leased = PutOptions::new().lease(9);
        let refused = store.db.operation(1u128).put_with("a", "1", leased);
        assert!(matches!(refused, Err(Error::LeaseNotFound)));
        assert!(matches!(store.db.operation(1u128).revoke(9), Err(Error::LeaseNotFound)));
        assert_eq!(store.db.stats().operation_ids, 0);
        let first = put(&store.db, 1, "a", "2").unwrap();
        again(&first, &put(&store.db, 1, "a", "2").unwrap());
    });
}

#[test]
fn x_03_an_id_is_of_one_request() {
    everywhere(|store| {
        put(&store.db, 1, "a", "1").unwrap();
        store.always(|store| {
            let op = store.db.operation(1u128);
            let refused: [Option<Error>; 6] = [
                op.put("a", "2").err(),
                op.put("b", "1").err(),
                op.put_with("a", "1", PutOptions::new().prev_kv()).err(),
                op.delete("a").err(),
                op.execute(create("a")).err(),
                op.grant(ms(5)).err(),
            ];
            for error in refused {
                let error = error.expect("another request");
                assert!(matches!(error, Error::InvalidArgument(Invalid::OperationIdReused)), "{error}");
                assert_eq!(error.applied(), Applied::No);
            }
        });
        assert_eq!((store.contents(), store.db.revision()), (vec!["a=1".to_owned()], rev(2)));
    });
}

#[test]
fn x_03_reads_take_no_id() {
    let store = Store::new(Kind::Memory);
    let op = store.db.operation(1u128);
    let reads = [
        Txn::new().then([Range::new("a")]).finish(),
        Txn::new().when([Compare::version("a").eq(0)]).then(Vec::<Op>::new()).or_else([Range::new("a")]),
        Txn::new().then([Op::from(Txn::new().then([Range::new("a")]))]).finish(),
    ];
    for read in reads {
        assert!(matches!(op.execute(read), Err(Error::InvalidArgument(Invalid::Argument(_)))));
    }
    for refused in [store.db.operation(0u128).put("a", "1").err(), store.db.operation(0u128).grant(ms(1)).err()] {
        assert!(matches!(refused, Some(Error::InvalidArgument(Invalid::Argument(_)))));
    }
    // Malformed is malformed, whatever the id.
    assert!(matches!(op.put("", "1"), Err(Error::InvalidArgument(Invalid::EmptyKey))));
    assert!(matches!(op.delete(""), Err(Error::InvalidArgument(Invalid::EmptyKey))));
    assert_eq!(store.db.stats().operation_ids, 0);
}

/// The answer is the first one although by now the request would be refused, or could not be answered.
#[test]
fn x_03_the_id_is_looked_up_before_anything_else() {
    everywhere(|store| {
        let options = || PutOptions::new().lease(7);
        let old = Txn::new().then([Op::from(Put::new("a", "2")), Range::new("a").at(2).into()]);
        store.put("a", "1");
        store.db.grant_with_id(7, ms(50)).unwrap();
        let leased = store.db.operation(1u128).put_with("b", "1", options()).unwrap();
        let read = store.db.operation(2u128).execute(old.clone()).unwrap();
        let revoked = store.db.operation(3u128).grant_with_id(8, ms(50)).unwrap();
        store.advance_ms(50);
        store.db.compact(store.db.revision()).unwrap();
        store.always(|store| {
            let db = &store.db;
            assert!(matches!(db.put_with("b", "1", options()), Err(Error::LeaseNotFound)));
            assert!(matches!(db.execute(old.clone()), Err(Error::Compacted { .. })));
            again(&leased, &db.operation(1u128).put_with("b", "1", options()).unwrap());
            again(&read, &db.operation(2u128).execute(old.clone()).unwrap());
            let granted = db.operation(3u128).grant_with_id(8, ms(50)).unwrap();
            assert!(granted.replayed && granted.id() == revoked.id() && ids(db).is_empty());
        });
    });
}

#[test]
fn x_03_a_full_store_answers_repetitions() {
    let mut store = Store::with(Kind::Tiny, Options::new().quota_bytes(20_000));
    let first = put(&store.db, 1, "a", "1").unwrap();
    let full = (0..100).find_map(|i| store.db.put(format!("k{i}"), [b'x'; 500]).err());
    assert!(matches!(full, Some(Error::Full { what: "quota", .. })));
    assert!(matches!(store.db.operation(2u128).put("b", [b'x'; 500]), Err(Error::Full { .. })));
    store.always(|store| again(&first, &put(&store.db, 1, "a", "1").unwrap()));
}

#[test]
fn x_03_the_window_has_a_count() {
    let mut store = Store::with(Kind::Tiny, Options::new().operation_ids_max(3));
    for id in 1..=4 {
        put(&store.db, id, "a", &id.to_string()).unwrap();
    }
    store.always(|store| {
        assert_eq!(store.db.stats().operation_ids, 3);
        for id in 2..=4 {
            assert!(put(&store.db, id, "a", &id.to_string()).unwrap().replayed);
        }
    });
    // Number 1 is forgotten, and so new.
    assert!(!put(&store.db, 1, "a", "1").unwrap().replayed);
    assert_eq!((store.contents(), store.db.stats().operation_ids), (vec!["a=1".to_owned()], 3));
    assert!(!put(&store.db, 2, "a", "2").unwrap().replayed);
}

#[test]
fn x_03_the_window_has_an_age() {
    let mut store = Store::with(Kind::Tiny, Options::new().operation_ids_age(ms(100)));
    put(&store.db, 1, "a", "1").unwrap();
    store.clock.advance(ms(60));
    put(&store.db, 2, "a", "2").unwrap();
    store.clock.advance(ms(40));
    assert!(put(&store.db, 1, "a", "1").unwrap().replayed, "as old as it may be");
    store.clock.advance(ms(1));
    // Nothing was written since, and yet it is too old.
    let clock = store.clock.clone();
    store.always(|store| assert!(put(&store.db, 2, "a", "2").unwrap().replayed));
    assert!(!put(&store.db, 1, "a", "1").unwrap().replayed);
    assert_eq!(store.db.stats().operation_ids, 2);
    // A wall clock that goes back stands still, for the window.
    let now = etclite::io::Clock::now(&clock);
    clock.set(etclite::io::Now { wall: now.wall - ms(80), ..now });
    put(&store.db, 3, "a", "3").unwrap();
    clock.advance(ms(139));
    store.always(|store| assert!(put(&store.db, 2, "a", "2").unwrap().replayed));
    clock.advance(ms(2));
    assert!(!put(&store.db, 2, "a", "2").unwrap().replayed);
}

#[test]
fn x_03_since_tells_what_may_be_forgotten() {
    let mut store = Store::with(Kind::Tiny, Options::new().operation_ids_max(2));
    let send = |db: &Db, id: u128, since: u64| db.operation(id).since(since).put("a", id.to_string());
    for id in 1..=4 {
        // Operation `id` makes revision `id + 1`.
        assert!(!send(&store.db, id, u64::try_from(id).unwrap()).unwrap().replayed);
    }
    let before = snapshot(&store.db);
    store.always(|store| {
        // Of the first two the store no longer knows anything; they made revisions 2 and 3.
        for (id, since) in [(1, 1), (2, 2), (9, 3), (9, 0)] {
            let error = send(&store.db, id, since).unwrap_err();
            assert!(matches!(error, Error::Indeterminate), "{error}");
            assert_eq!(error.applied(), Applied::Unknown);
        }
        assert!(send(&store.db, 3, 3).unwrap().replayed);
        assert_eq!(snapshot(&store.db), before);
    });
    // Sent for the first time after what was forgotten: new.
    assert!(!send(&store.db, 9, 4).unwrap().replayed);
    assert!(!store.db.operation(1u128).put("a", "1").unwrap().replayed, "without since it is new, too");
}

/// An id that has grown too old is as unknown as one that the window has dropped, though nothing has moved it yet.
#[test]
fn x_03_since_counts_what_is_too_old() {
    let mut store = Store::with(Kind::Tiny, Options::new().operation_ids_age(ms(100)));
    let op = |db: &Db| db.operation(1u128).since(1);
    op(&store.db).put("a", "1").unwrap();
    store.clock.advance(ms(101));
    store.always(|store| assert!(matches!(op(&store.db).put("a", "1"), Err(Error::Indeterminate))));
    store.put("b", "1");
    assert!(!store.db.operation(1u128).since(3).put("a", "1").unwrap().replayed);
}

/// What was dropped is decided by what the commands say: with other limits a replay of the log would have found an id
/// that had been forgotten, and used again.
#[test]
fn x_03_replay_keeps_to_the_limits_of_then() {
    let clock = etclite::io::sim::SimClock::new(1);
    let disk = etclite::io::sim::SimDisk::new();
    let open = |max: usize| {
        let options = etclite::testing::with_knobs(Options::new().operation_ids_max(max), super::rig::ROOMY);
        etclite::testing::open_on(std::sync::Arc::new(disk.clone()), std::sync::Arc::new(clock.clone()), options)
            .unwrap()
    };
    let db = open(1);
    for id in [1, 2, 1, 2] {
        assert!(!put(&db, id, "a", &id.to_string()).unwrap().replayed);
    }
    // As a kill leaves it: all is in the log.
    let db = open_image(disk.image(), &clock, super::rig::ROOMY).unwrap();
    assert_eq!((db.revision(), db.stats().operation_ids), (rev(5), 1));
    assert!(put(&db, 2, "a", "2").unwrap().replayed);
    assert!(!put(&db, 1, "a", "1").unwrap().replayed);
    assert_eq!(db.stats().operation_ids, 2, "the limit of this open");
}

#[test]
fn x_03_a_long_answer_keeps_its_counts() {
    let mut store = Store::with(Kind::Tiny, Options::new().operation_result_bytes_max(300));
    for i in 0..4 {
        store.put(&format!("k{i}"), &"x".repeat(100));
    }
    let txn = Txn::new().then([Op::from(Range::new(KeyRange::prefix("k"))), Delete::new("k0".."k2").prev_kv().into()]);
    let many = Txn::new().then((0..200).map(|_| Delete::new("missing")));
    let first = store.db.operation(1u128).execute(txn.clone()).unwrap();
    let short = store.db.operation(2u128).delete_with(Delete::new("k2").prev_kv()).unwrap();
    let listed = store.db.operation(3u128).execute(many.clone()).unwrap();
    assert!(!first.truncated && first.responses.len() == 2 && listed.responses.len() == 200);
    store.always(|store| {
        let cut = store.db.operation(1u128).execute(txn.clone()).unwrap();
        assert!(cut.replayed && cut.truncated && cut.succeeded && cut.revision == first.revision);
        let TxnResponse { responses, .. } = &cut.response;
        let (OpResponse::Range(range), OpResponse::Delete(delete)) = (&responses[0], &responses[1]) else { panic!() };
        assert_eq!((range.kvs.len(), range.count, delete.deleted, delete.prev_kvs.len()), (0, Some(4), 2, 0));
        let whole = store.db.operation(2u128).delete_with(Delete::new("k2").prev_kv()).unwrap();
        assert!(!whole.truncated && whole.prev_kvs == short.prev_kvs);
        let cut = store.db.operation(3u128).execute(many.clone()).unwrap();
        assert!(cut.truncated && cut.succeeded && cut.responses.is_empty() && cut.revision == listed.revision);
    });
}

#[test]
fn x_03_of_two_in_flight_one_takes_effect() {
    let store = Store::new(Kind::Files);
    const THREADS: usize = 8;
    for round in 1..=20u128 {
        let barrier = Barrier::new(THREADS);
        let answers: Vec<_> = thread::scope(|scope| {
            let send = || {
                barrier.wait();
                put(&store.db, round, "a", &round.to_string()).unwrap()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(send)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(answers.iter().all(|answer| u128::from(answer.revision.get()) == round + 1), "{answers:?}");
    }
    assert_eq!(store.db.revision(), 21);
}

/// State files come with flushes, are made into one now and then, and go once nothing in them counts any more.
#[test]
fn x_03_ids_survive_many_flushes() {
    let mut store = Store::with(Kind::Tiny, Options::new().operation_ids_max(40));
    for id in 1..=100u128 {
        put(&store.db, id, "a", &id.to_string()).unwrap();
        store.db.flush().unwrap();
        let files = state_files(&store);
        assert!((1..8).contains(&files), "{files} state files");
        if id % 25 == 0 {
            store.reopen();
        }
    }
    store.always(|store| {
        for id in 61..=100u128 {
            assert!(put(&store.db, id, "a", &id.to_string()).unwrap().replayed, "id {id}");
        }
        assert!(store.db.check().unwrap().is_clean());
    });
    // Without further ids the files stay, without a new one at each flush.
    store.put("b", "1");
    store.db.flush().unwrap();
    let before = state_files(&store);
    store.put("b", "2");
    store.db.flush().unwrap();
    assert_eq!(state_files(&store), before);
}

fn state_files(store: &Store) -> usize {
    store.sim.as_ref().unwrap().image().files().filter(|(path, _)| path.starts_with("state/")).count()
}

#[test]
fn x_03_a_backup_remembers() {
    let store = Store::with(Kind::Tiny, Options::new().operation_ids_max(2));
    for id in 1..=3 {
        put(&store.db, id, "a", &id.to_string()).unwrap();
        if id == 2 {
            store.db.flush().unwrap();
        }
    }
    let copy = etclite::io::sim::SimDisk::new();
    let disk: std::sync::Arc<dyn etclite::io::Disk> = std::sync::Arc::new(copy.clone());
    backup_to(&store.db, &disk).unwrap();
    put(&store.db, 4, "a", "4").unwrap();
    let db = open_image(copy.image(), &store.clock, super::rig::TINY).unwrap();
    for id in 2..=3 {
        assert!(put(&db, id, "a", &id.to_string()).unwrap().replayed);
    }
    assert!(matches!(db.operation(1u128).since(1).put("a", "1"), Err(Error::Indeterminate)));
    assert!(!put(&db, 4, "a", "4").unwrap().replayed, "it came after the backup");
    assert!(db.check().unwrap().is_clean());
}

/// A grant under an id begins its time once.
#[test]
fn x_03_a_repeated_grant_renews_nothing() {
    let store = Store::new(Kind::Tiny);
    let op = store.db.operation(1u128);
    let lease = op.grant(ms(100)).unwrap();
    store.clock.advance(ms(60));
    assert_eq!(op.grant(ms(100)).unwrap().id(), lease.id());
    assert_eq!(lease.time_to_live().unwrap().unwrap().remaining, ms(40));
    store.clock.advance(ms(40));
    expire(&store.db).unwrap();
    assert!(ids(&store.db).is_empty());
    assert_eq!(op.grant(ms(100)).unwrap().id(), lease.id());
    assert!(matches!(lease.keep_alive(), Err(Error::LeaseNotFound)));
}
