//! Fenced txns: a write by the holder of a lock takes effect only while the lock is held, and that is decided in
//! the order of all writes, by the engine.

use etclite::io::sim::{SimClock, SimDisk};
use etclite::sabotage::{Bug, plant};
use etclite::{
    Applied, Compare, Db, Delete, Error, Invalid, LeaseId, Op, Options, Put, PutOptions, Range, Token, Txn, prefix,
};

use super::rig::{ROOMY, Store, everywhere, ids, ms, nested, open_image, open_sim, put, rev};

/// Takes the lock `key` under a lease that exists.
fn lock(db: &Db, key: &str, lease: i64) -> Token {
    let absent = Compare::create_revision(key).eq(0);
    let taken = db.txn().when([absent]).then([Put::new(key, "").lease(lease)]).commit().unwrap();
    assert!(taken.succeeded, "the lock is free");
    Token::of(&db.get(key).unwrap().unwrap())
}

/// A store where lease 7 of 100 ms holds the lock `lock`, at revision 2.
fn locked(store: &Store) -> Token {
    store.db.grant_with_id(7, ms(100)).unwrap();
    lock(&store.db, "lock", 7)
}

fn fenced_put(db: &Db, token: &Token) -> etclite::Result<u64> {
    Ok(db.txn().fenced(token).then([Put::new("a", "fenced")]).commit()?.revision.get())
}

fn is_lost(db: &Db, token: &Token) -> bool {
    let before = db.revision();
    let lost = matches!(fenced_put(db, token), Err(Error::SessionExpired));
    assert!(!lost || db.revision() == before, "a refused txn takes no revision");
    lost
}

#[test]
fn x_01_a_fenced_txn_runs_while_the_token_holds() {
    everywhere(|store| {
        let token = locked(store);
        assert_eq!(token, Token::new("lock", 2, 7));
        let txn = store.db.txn().fenced(&token).when([Compare::version("a").eq(0)]);
        let done = txn.then([Put::new("a", "1")]).or_else([Put::new("a", "2")]).commit().unwrap();
        assert!(done.succeeded && done.revision == 3);
        store.always(|store| {
            assert_eq!(store.contents(), ["a=1", "lock="]);
            let read = store.db.txn().fenced(&token).then([Range::new("a")]).commit().unwrap();
            assert_eq!((read.revision, read.responses.len()), (rev(3), 1), "reading takes no revision");
        });
        store.advance_ms(99);
        assert_eq!(fenced_put(&store.db, &token).unwrap(), 4);
    });
}

#[test]
fn x_01_fence_fails_once_lock_key_is_gone() {
    everywhere(|store| {
        let token = locked(store);
        store.delete("lock");
        assert!(is_lost(&store.db, &token));
        // The same key with the same lease again is another holding of the lock.
        let later = lock(&store.db, "lock", 7);
        assert!(later.revision > token.revision);
        store.always(|store| assert!(is_lost(&store.db, &token)));
        fenced_put(&store.db, &later).unwrap();
    });
}

#[test]
fn x_01_fence_fails_once_the_key_has_another_lease() {
    everywhere(|store| {
        let token = locked(store);
        store.db.grant_with_id(8, ms(60_000)).unwrap();
        // Putting it again with its own lease changes neither create revision nor lease.
        store.put_leased("lock", "still mine", 7);
        fenced_put(&store.db, &token).unwrap();
        store.put_leased("lock", "", 8);
        assert!(is_lost(&store.db, &token));
        fenced_put(&store.db, &Token::new("lock", token.revision, 8)).unwrap();
        store.put("lock", "without a lease");
        assert!(is_lost(&store.db, &token));
        assert!(is_lost(&store.db, &Token::new("lock", token.revision, LeaseId::NONE)), "nobody holds it");
    });
}

#[test]
fn x_01_fence_fails_once_the_lease_is_revoked() {
    everywhere(|store| {
        let token = locked(store);
        store.db.lease(7).revoke().unwrap();
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        store.always(|store| assert!(is_lost(&store.db, &token)));
    });
}

/// Nobody has come round to revoke the lease yet: the clock alone decides, and what it decided stands in the log.
#[test]
fn x_01_fence_fails_past_the_deadline_before_anyone_ends_the_lease() {
    everywhere(|store| {
        let token = locked(store);
        store.clock.advance(ms(100));
        assert_eq!(ids(&store.db), [7], "its end is not ordered yet");
        assert!(matches!(fenced_put(&store.db, &token), Err(Error::SessionExpired)));
        assert_eq!((ids(&store.db), store.db.revision()), (vec![], rev(3)), "the refusal has ended the lease");
        store.always(|store| {
            assert!(is_lost(&store.db, &token));
            assert_eq!(store.events(.., 3), ["-lock@3 was "]);
        });
    });
}

/// A lease that was kept alive has its whole time again after a crash. A token that was refused must not.
#[test]
fn x_01_a_refused_token_never_holds_again() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let lease = db.grant_with_id(7, ms(100)).unwrap();
    let token = lock(&db, "lock", 7);
    lease.keep_alive().unwrap();
    clock.advance(ms(100));
    let before = disk.record().durable_at(disk.position());
    assert!(matches!(fenced_put(&db, &token), Err(Error::SessionExpired)));
    let after = disk.record().durable_at(disk.position());
    assert!(is_lost(&open_image(after, &clock, ROOMY).unwrap(), &token));
    // Not because a crash would lose the lock in any case.
    fenced_put(&open_image(before, &clock, ROOMY).unwrap(), &token).unwrap();
}

#[test]
fn x_01_a_lost_fence_comes_before_everything_else() {
    everywhere(|store| {
        let token = locked(store);
        store.delete("lock");
        let fails = store.db.txn().fenced(&token).when([Compare::version("a").eq(0)]);
        let fails = fails.then([Put::new("a", "").lease(99)]).or_else([Put::new("b", "")]).commit().unwrap_err();
        assert!(matches!(fails, Error::SessionExpired), "{fails}");
        assert_eq!((fails.applied(), fails.to_string()), (Applied::No, "session is expired".to_owned()));
        // Only a request that is wrong by its shape is told so first.
        let malformed = store.db.txn().fenced(&token).then([Put::new("", "")]).commit();
        assert!(matches!(malformed, Err(Error::InvalidArgument(Invalid::EmptyKey))));
        store.always(|store| assert!(store.contents().is_empty()));
    });
}

#[test]
fn x_01_several_fences_must_all_hold() {
    everywhere(|store| {
        let first = locked(store);
        store.db.grant_with_id(8, ms(60_000)).unwrap();
        let second = lock(&store.db, "other", 8);
        let both = |db: &Db| db.txn().fenced(&first).fenced(&second).then([Put::new("a", "1")]).commit();
        both(&store.db).unwrap();
        store.delete("other");
        assert!(matches!(both(&store.db), Err(Error::SessionExpired)));
        let second = lock(&store.db, "other", 8);
        store.clock.advance(ms(100));
        let both = store.db.txn().fenced(&second).fenced(&first).then([Put::new("a", "1")]).commit();
        assert!(matches!(both, Err(Error::SessionExpired)));
        fenced_put(&store.db, &second).unwrap();
    });
}

#[test]
fn x_01_write_and_release_in_one_revision() {
    everywhere(|store| {
        let token = locked(store);
        let ops = [Op::from(Put::new("a", "1")), Delete::new("lock").into()];
        assert_eq!(store.db.txn().fenced(&token).then(ops).commit().unwrap().revision, 3);
        store.always(|store| {
            assert_eq!(store.events(.., 3), ["+a=1@3", "-lock@3 was "]);
            assert!(is_lost(&store.db, &token));
        });
    });
}

#[test]
fn x_01_short_forms_of_put_and_delete() {
    everywhere(|store| {
        let token = locked(store);
        let holder = store.db.fenced(&token);
        assert_eq!(holder.put("a", "1").unwrap().revision, 3);
        let put = holder.put_with("a", "2", PutOptions::new().prev_kv()).unwrap();
        assert_eq!(put.prev.unwrap().value, "1");
        let gone = holder.delete_with(Delete::new(prefix("a")).prev_kv()).unwrap();
        assert_eq!((gone.revision, gone.deleted, &gone.prev_kvs[0].value[..]), (rev(5), 1, &b"2"[..]));
        assert_eq!((holder.delete("a").unwrap().revision, holder.delete("a").unwrap().deleted), (rev(5), 0));
        assert!(matches!(holder.put("", ""), Err(Error::InvalidArgument(Invalid::EmptyKey))));
        let stale = holder.fenced(Token::new("lock", 1, 7));
        assert!(matches!(stale.put("a", "3"), Err(Error::SessionExpired)));
        assert!(matches!(stale.delete("lock"), Err(Error::SessionExpired)));
        store.always(|store| assert_eq!(store.contents(), ["lock="]));
    });
}

#[test]
fn x_01_compare_held_takes_the_else_branch() {
    everywhere(|store| {
        let token = locked(store);
        let run = |db: &Db| {
            let txn = db.txn().when([Compare::held(&token)]).then([Put::new("a", "held")]);
            txn.or_else([Put::new("a", "lost")]).commit().unwrap().succeeded
        };
        let nested = |db: &Db| {
            let inner = Txn::new().when([Compare::held(&token)]).then([Put::new("b", "held")]);
            db.txn().then([Op::from(inner.or_else([Put::new("b", "lost")]))]).commit().unwrap();
            db.get("b").unwrap().unwrap().value
        };
        assert!(run(&store.db) && nested(&store.db) == "held");
        let other = [Token::new("lock", 3, 7), Token::new("lock", 2, 8), Token::new("key", 2, 7)];
        for token in other {
            assert!(!store.db.txn().when([Compare::held(token)]).then([put("c", "")]).commit().unwrap().succeeded);
        }
        // Past its deadline, with nobody having ended it; asked for by the nested txn alone.
        store.clock.advance(ms(100));
        assert_eq!(nested(&store.db), "lost");
        store.always(|store| assert!(!run(&store.db)));
    });
}

#[test]
fn x_01_a_held_lock_is_seen_as_it_was_before_the_txn() {
    everywhere(|store| {
        let token = locked(store);
        let held = Txn::new().when([Compare::held(&token)]).then([put("a", "held")]);
        store.txn(vec![Delete::new("lock").into(), held.into()]);
        assert_eq!(store.contents(), ["a=held"]);
    });
}

#[test]
fn x_01_what_is_nonsense_is_refused() {
    everywhere(|store| {
        let token = locked(store);
        let inner = Txn::new().fenced(&token).then([put("a", "")]);
        let argument = |result: etclite::Result<etclite::TxnResponse>| match result {
            Err(Error::InvalidArgument(reason)) => reason,
            other => panic!("{other:?}"),
        };
        let in_nested = argument(store.db.txn().then([Op::from(inner.clone())]).commit());
        assert_eq!(in_nested, Invalid::Argument("a nested txn takes no fences"));
        let deep = store.db.txn().then([nested(vec![inner.into()])]).commit();
        assert_eq!(argument(deep), in_nested);
        let empty = Token::new("", 1, 7);
        assert_eq!(argument(store.db.txn().fenced(&empty).then([put("a", "")]).commit()), Invalid::EmptyKey);
        let compare = store.db.txn().when([Compare::held(&empty)]).then([put("a", "")]).commit();
        assert_eq!(argument(compare), Invalid::EmptyKey);
        assert!(is_lost(&store.db, &Token::new("lock", 0, 7)));
    });
}

#[test]
fn x_01_a_read_only_store_knows_who_holds_a_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let db = Db::open(&path).unwrap();
    db.grant_with_id(7, ms(3_600_000)).unwrap();
    db.grant_with_id(8, ms(1)).unwrap();
    let token = lock(&db, "lock", 7);
    db.close().unwrap();
    drop(db);
    let db = Options::new().read_only(true).open(&path).unwrap();
    let read = |token: &Token| db.txn().fenced(token).then([Range::new("lock")]).commit();
    assert_eq!(read(&token).unwrap().responses.len(), 1);
    assert!(matches!(read(&Token::new("lock", 3, 7)), Err(Error::SessionExpired)));
    let alive = |id: i64| db.txn().when([Compare::lease_alive(id)]).then([Range::new("a")]).commit().unwrap().succeeded;
    assert!(alive(7) && !alive(8), "what was over at the open is over, though nothing can end it");
    assert!(matches!(fenced_put(&db, &token), Err(Error::ReadOnly)));
}

/// The tests above can fail: an engine that does not look at the clock lets a paused holder write.
#[test]
fn s28_deadline_not_seen() {
    let store = Store::new(super::rig::Kind::Memory);
    let token = locked(&store);
    store.clock.advance(ms(100));
    plant(Some(Bug::DeadlineNotSeen));
    let written = fenced_put(&store.db, &token);
    plant(None);
    assert!(written.is_ok(), "x_01_fence_fails_past_the_deadline_before_anyone_ends_the_lease would fail");
}

/// etcd issue 11457: a client holds a lock and is paused, for a long collection of garbage or by its hypervisor, until its
/// lease has ended and another client has the lock. It wakes up between its last look at the lock and its write, which
/// etcd lets through: the lock protects nothing. Through a fence none of its writes takes effect, whether anybody has
/// noticed the end of the lease yet or not.
#[test]
fn etcd_11457_paused_lock_holder() {
    everywhere(|store| {
        let db = &store.db;
        let owner = db.grant_with_id(7, ms(100)).unwrap();
        let token = lock(db, "lock", 7);
        let holder = db.fenced(&token);
        holder.put("counter", "1").unwrap();
        store.advance_ms(60);
        owner.keep_alive().unwrap();
        store.clock.suspend(ms(100));
        // Unguarded it would go through: the lock still seems to be held.
        assert!(db.get("lock").unwrap().is_some());
        assert!(matches!(holder.put("counter", "2"), Err(Error::SessionExpired)));
        db.grant_with_id(8, ms(60_000)).unwrap();
        let next = lock(db, "lock", 8);
        assert!(next.revision > token.revision, "an outside resource tells the two apart");
        db.fenced(&next).put("counter", "3").unwrap();
        for late in [holder.put("counter", "2").map(drop), holder.delete("counter").map(drop)] {
            assert!(matches!(late, Err(Error::SessionExpired)));
        }
        let txn = db.txn().fenced(&token).when([Compare::value("counter").eq("3")]);
        assert!(matches!(txn.then([put("counter", "2")]).commit(), Err(Error::SessionExpired)));
        store.always(|store| assert_eq!(store.contents(), ["counter=3", "lock="]));
    });
}
