//! Lock delay: a lease that expires lapses first. To its owner it is gone, while its keys stay for the delay, so that
//! whoever waits for one of its locks waits on.

use std::time::Duration;

use etclite::io::sim::{SimClock, SimDisk};
use etclite::testing::backup_to;
use etclite::{Compare, Db, Error, GrantOptions, Lease, Op, PutOptions, Token};

use super::rig::{ROOMY, Store, everywhere, ids, left_ms, ms, open_image, open_sim, put, rev};

/// Lease 7 of 100 ms with a lock delay of 40 ms; it holds `lock`, created at revision 2.
fn delayed(store: &Store) -> (Lease, Token) {
    delayed_in(&store.db)
}

fn delayed_in(db: &Db) -> (Lease, Token) {
    let lease = db.grant_with(GrantOptions::new(ms(100)).id(7).lock_delay(ms(40))).unwrap();
    db.put_with("lock", "mine", PutOptions::new().lease(7)).unwrap();
    (lease, Token::of(&db.get("lock").unwrap().unwrap()))
}

fn is_lost(db: &Db, token: &Token) -> bool {
    matches!(db.fenced(token).put("a", "fenced"), Err(Error::SessionExpired))
}

/// What a lapsed lease is to everybody: gone, but for its keys and its id.
fn check_lapsed(db: &Db, token: &Token) {
    assert!(matches!(db.lease(7).keep_alive(), Err(Error::LeaseNotFound)));
    assert_eq!((left_ms(db, 7), ids(db), db.stats().leases), (None, vec![], 0));
    assert!(matches!(db.put_with("b", "", PutOptions::new().lease(7)), Err(Error::LeaseNotFound)));
    let in_txn = db.txn().then([etclite::Put::new("b", "").lease(7)]).commit();
    assert!(matches!(in_txn, Err(Error::LeaseNotFound)));
    assert!(is_lost(db, token));
    let alive = db.txn().when([Compare::lease_alive(7)]).then([put("b", "")]).commit().unwrap();
    assert!(!alive.succeeded);
    assert!(matches!(db.grant_with_id(7, ms(5)), Err(Error::LeaseExists)));
    let in_txn = db.txn().then([Op::grant(7, ms(5))]).commit();
    assert!(matches!(in_txn, Err(Error::LeaseExists)));
    let kv = db.get("lock").unwrap().expect("it stays for the delay");
    assert_eq!((&kv.value[..], kv.lease), (&b"mine"[..], 7.into()));
}

#[test]
fn x_02_an_expired_lease_lapses_and_its_keys_stay() {
    everywhere(|store| {
        let (_, token) = delayed(store);
        store.put_leased("also", "", 7);
        store.advance_ms(99);
        store.db.fenced(&token).put("a", "in time").unwrap();
        store.advance_ms(1);
        assert_eq!(store.db.revision(), 4, "lapsing takes no revision");
        store.always(|store| check_lapsed(&store.db, &token));
        store.advance_ms(39);
        check_lapsed(&store.db, &token);
        store.advance_ms(1);
        // They go in one revision, and the id is free again.
        store.always(|store| {
            assert_eq!(store.events(.., 5), ["-also@5 was ", "-lock@5 was mine"]);
            assert!(is_lost(&store.db, &token));
        });
        store.db.grant_with_id(7, ms(5)).unwrap();
    });
}

#[test]
fn x_02_who_waits_for_the_lock_waits_the_delay_out() {
    everywhere(|store| {
        delayed(store);
        let mut watch = store.db.watch("lock").no_put().start().unwrap();
        store.db.grant_with_id(8, ms(60_000)).unwrap();
        let take = |db: &Db| {
            let free = Compare::create_revision("lock").eq(0);
            db.txn().when([free]).then([etclite::Put::new("lock", "next").lease(8)]).commit().unwrap().succeeded
        };
        store.advance_ms(100);
        assert!(!take(&store.db) && watch.try_next().unwrap().is_none());
        store.advance_ms(39);
        assert!(!take(&store.db));
        store.advance_ms(1);
        assert_eq!(watch.try_next().unwrap().unwrap().revision(), 3);
        assert!(take(&store.db));
    });
}

/// Past the deadline and not lapsed yet: the first who asks has it lapse, and its keys stay.
#[test]
fn x_02_a_fence_past_the_deadline_has_the_lease_lapse() {
    everywhere(|store| {
        let (lease, token) = delayed(store);
        store.clock.advance(ms(100));
        assert!(is_lost(&store.db, &token));
        assert!(matches!(lease.keep_alive(), Err(Error::LeaseNotFound)));
        store.always(|store| check_lapsed(&store.db, &token));
        // The delay began when it lapsed, not at the deadline.
        store.advance_ms(39);
        check_lapsed(&store.db, &token);
        store.advance_ms(1);
        assert!(store.contents().is_empty());
    });
}

#[test]
fn x_02_a_keep_alive_past_the_deadline_does_not_revive() {
    everywhere(|store| {
        let (lease, token) = delayed(store);
        store.advance_ms(60);
        lease.keep_alive().unwrap();
        store.clock.advance(ms(100));
        assert!(matches!(lease.keep_alive(), Err(Error::LeaseNotFound)));
        store.always(|store| check_lapsed(&store.db, &token));
    });
}

#[test]
fn x_02_the_owner_ends_it_at_once() {
    everywhere(|store| {
        let (lease, _) = delayed(store);
        assert_eq!(lease.revoke().unwrap(), 3);
        assert!(store.contents().is_empty());
        let (_, token) = delayed(store);
        store.db.txn().then([Op::revoke(7)]).commit().unwrap();
        assert!(store.contents().is_empty() && is_lost(&store.db, &token));
        // Also while the delay runs: the owner says that it is done.
        let (lease, _) = delayed(store);
        store.advance_ms(100);
        assert_eq!((store.contents(), ids(&store.db)), (vec!["lock=mine".to_owned()], vec![]));
        lease.revoke().unwrap();
        store.always(|store| assert!(store.contents().is_empty()));
        assert!(matches!(store.db.lease(7).revoke(), Err(Error::LeaseNotFound)));
    });
}

#[test]
fn x_02_a_put_can_take_a_key_away_from_a_lapsed_lease() {
    everywhere(|store| {
        delayed(store);
        store.put_leased("other", "", 7);
        store.advance_ms(100);
        store.put("lock", "free");
        store.delete("other");
        store.advance_ms(40);
        store.always(|store| assert_eq!((store.contents(), store.db.revision()), (vec!["lock=free".into()], rev(5))));
    });
}

#[test]
fn x_02_the_delay_left_survives_a_clean_close() {
    everywhere(|store| {
        let (_, token) = delayed(store);
        store.advance_ms(100);
        store.advance_ms(15);
        let clock = store.clock.clone();
        store.reopen_with(|| clock.advance(ms(20)));
        check_lapsed(&store.db, &token);
        store.advance_ms(4);
        check_lapsed(&store.db, &token);
        store.advance_ms(1);
        assert!(store.contents().is_empty());
    });
}

#[test]
fn x_02_the_delay_left_survives_a_crash() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let (lease, token) = delayed_in(&db);
    // Of a lease that was kept alive a crash gives the full time; of one that has lapsed what is left of its delay.
    lease.keep_alive().unwrap();
    clock.advance(ms(100));
    etclite::testing::expire(&db).unwrap();
    for (later, lapsed) in [(0, true), (25, true), (14, true), (1, false)] {
        clock.advance(ms(later));
        let image = disk.record().durable_at(disk.position());
        let db = open_image(image, &clock, ROOMY).unwrap();
        etclite::testing::expire(&db).unwrap();
        if lapsed {
            check_lapsed(&db, &token);
        } else {
            assert!(db.get("lock").unwrap().is_none(), "after {later} ms more");
        }
    }
}

/// A lease that ended while the store was closed lapses at the open: its delay begins then, late and never early.
#[test]
fn x_02_a_lease_that_ends_while_closed_lapses_at_the_open() {
    everywhere(|store| {
        let (_, token) = delayed(store);
        let clock = store.clock.clone();
        store.reopen_with(|| clock.advance(ms(5_000)));
        store.advance_ms(0);
        check_lapsed(&store.db, &token);
        store.advance_ms(39);
        check_lapsed(&store.db, &token);
        store.advance_ms(1);
        assert!(store.contents().is_empty());
    });
}

#[test]
fn x_02_a_backup_keeps_what_is_left_of_the_delay() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let (_, token) = delayed_in(&db);
    clock.advance(ms(100));
    etclite::testing::expire(&db).unwrap();
    clock.advance(ms(30));
    let copy = SimDisk::new();
    let target: std::sync::Arc<dyn etclite::io::Disk> = std::sync::Arc::new(copy.clone());
    backup_to(&db, &target).unwrap();
    let copied = open_sim(&copy, &clock, ROOMY);
    check_lapsed(&copied, &token);
    clock.advance(ms(10));
    etclite::testing::expire(&copied).unwrap();
    assert!(copied.get("lock").unwrap().is_none());
}

#[test]
fn x_02_bounds_of_a_lock_delay() {
    everywhere(|store| {
        let grant = |delay| store.db.grant_with(GrantOptions::new(ms(100)).lock_delay(delay));
        assert!(matches!(grant(Duration::from_nanos(60_000_000_001)), Err(Error::TooLarge { .. })));
        let in_txn = GrantOptions::new(ms(100)).id(9).lock_delay(ms(60_001));
        assert!(matches!(store.db.txn().then([Op::from(in_txn)]).commit(), Err(Error::TooLarge { .. })));
        assert!(ids(&store.db).is_empty());
        grant(ms(60_000)).unwrap();
        // Rounded up to whole milliseconds; in a txn, too.
        let rounded = GrantOptions::new(ms(100)).id(9).lock_delay(Duration::from_micros(1_001));
        store.db.txn().then([Op::from(rounded)]).commit().unwrap();
        store.put_leased("a", "", 9);
        store.advance_ms(100);
        store.advance_ms(1);
        assert_eq!(store.contents(), ["a="]);
        store.advance_ms(1);
        assert!(store.contents().is_empty());
    });
}
