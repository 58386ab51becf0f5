//! Puts for a time: a key goes by itself, never early, and late by a sixteenth of its time at most.

use std::time::Duration;

use etclite::io::sim::{SimClock, SimDisk};
use etclite::{Compare, Db, Error, Invalid, LeaseId, Op, Options, Put, PutOptions, Token};

use super::rig::{ROOMY, everywhere, ids, left_ms, ms, nested, open_image, open_sim, put, rev};

fn lease_of(db: &Db, key: &str) -> i64 {
    db.get(key).unwrap().unwrap().lease.get()
}

fn put_for(db: &Db, key: &str, ttl_ms: u64) -> u64 {
    db.put_with_ttl(key, "", ms(ttl_ms)).unwrap().revision.get()
}

#[test]
fn x_06_a_key_goes_after_its_time() {
    everywhere(|store| {
        assert_eq!(put_for(&store.db, "a", 160), 2);
        store.advance_ms(160);
        store.always(|store| assert_eq!(store.contents(), ["a="], "never early"));
        store.advance_ms(10);
        store.always(|store| assert_eq!(store.events(.., 3), ["-a@3 was "], "late by a sixteenth at most"));
        assert!(store.contents().is_empty());
    });
}

#[test]
fn x_06_never_later_than_a_second() {
    everywhere(|store| {
        put_for(&store.db, "a", 3_600_000);
        store.advance_ms(3_600_000);
        assert_eq!(store.contents(), ["a="]);
        store.advance_ms(1_000);
        assert!(store.contents().is_empty());
        // And a short time has no room to be late at all.
        put_for(&store.db, "b", 15);
        store.advance_ms(14);
        assert_eq!(store.contents(), ["b="]);
        store.advance_ms(1);
        assert!(store.contents().is_empty());
        put_for(&store.db, "c", 0);
        store.advance_ms(1);
        assert!(store.contents().is_empty(), "a millisecond is the least there is");
    });
}

#[test]
fn x_06_a_put_with_a_ttl_starts_anew() {
    everywhere(|store| {
        for _ in 0..5 {
            put_for(&store.db, "a", 160);
            store.advance_ms(150);
        }
        assert_eq!(store.contents(), ["a="]);
        store.advance_ms(20);
        assert!(store.contents().is_empty());
        // A shorter one counts from now, too.
        put_for(&store.db, "a", 160_000);
        put_for(&store.db, "a", 16);
        store.advance_ms(17);
        assert!(store.contents().is_empty());
    });
}

#[test]
fn x_06_a_put_without_a_ttl_forgets_it() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        put_for(&store.db, "plain", 160);
        put_for(&store.db, "leased", 160);
        put_for(&store.db, "gone", 160);
        store.put("plain", "stays");
        store.put_leased("leased", "stays", 7);
        store.delete("gone");
        store.put("gone", "again");
        store.advance_ms(1_000);
        store.always(|store| {
            assert_eq!(store.contents(), ["gone=again", "leased=stays", "plain=stays"]);
            assert_eq!(store.db.revision(), 8, "the end of a lease without keys takes no revision");
        });
    });
}

#[test]
fn x_06_close_deadlines_share_a_lease_and_a_revision() {
    everywhere(|store| {
        put_for(&store.db, "a", 1_600);
        store.advance_ms(50);
        put_for(&store.db, "b", 1_600);
        put_for(&store.db, "c", 1_560);
        let shared = lease_of(&store.db, "a");
        store.always(|store| {
            assert_eq!([lease_of(&store.db, "b"), lease_of(&store.db, "c")], [shared; 2]);
        });
        // Beyond what may be late, or too soon after what is due.
        put_for(&store.db, "d", 1_500);
        put_for(&store.db, "e", 1_651);
        assert!(lease_of(&store.db, "d") != shared && lease_of(&store.db, "e") != shared);
        store.delete("d");
        store.delete("e");
        store.advance_ms(1_649);
        assert_eq!(store.contents(), ["a=", "b=", "c="]);
        store.advance_ms(1);
        store.always(|store| assert_eq!(store.events(.., 9), ["-a@9 was ", "-b@9 was ", "-c@9 was "]));
    });
}

#[test]
fn x_06_what_is_shown_of_the_hidden_lease() {
    everywhere(|store| {
        put_for(&store.db, "a", 160);
        let id = lease_of(&store.db, "a");
        assert!(id > 0);
        store.advance_ms(50);
        store.always(|store| {
            let status = store.db.lease(id).time_to_live().unwrap().unwrap();
            assert_eq!((status.granted, status.remaining, status.keys), (ms(170), ms(120), vec!["a".into()]));
            assert_eq!((ids(&store.db), store.db.stats().leases), (vec![], 0), "lists omit it");
        });
        let lease = store.db.lease(id);
        assert!(matches!(lease.keep_alive(), Err(Error::LeaseNotFound)));
        assert!(matches!(lease.revoke(), Err(Error::LeaseNotFound)));
        assert!(matches!(store.db.txn().then([Op::revoke(id)]).commit(), Err(Error::LeaseNotFound)));
        assert!(matches!(store.db.put_with("b", "", PutOptions::new().lease(id)), Err(Error::LeaseNotFound)));
        assert!(matches!(store.db.grant_with_id(id, ms(5)), Err(Error::LeaseExists)));
        let alive = store.db.txn().when([Compare::lease_alive(id)]).then([put("b", "")]).commit().unwrap();
        assert!(!alive.succeeded);
        // The key itself is as good a lock as any.
        let token = Token::of(&store.db.get("a").unwrap().unwrap());
        store.db.fenced(&token).put("guarded", "1").unwrap();
        store.clock.advance(ms(120));
        assert!(matches!(store.db.fenced(&token).put("guarded", "2"), Err(Error::SessionExpired)));
        assert_eq!(store.contents(), ["guarded=1"]);
        assert_eq!(left_ms(&store.db, id), None);
    });
}

#[test]
fn x_06_ignore_lease_keeps_the_deadline() {
    everywhere(|store| {
        put_for(&store.db, "a", 160);
        store.advance_ms(100);
        store.db.put_with("a", "new", PutOptions::new().ignore_lease()).unwrap();
        store.advance_ms(69);
        assert_eq!(store.contents(), ["a=new"]);
        store.advance_ms(1);
        assert!(store.contents().is_empty());
    });
}

#[test]
fn x_06_at_most_one_of_ttl_and_lease() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        store.put("a", "1");
        let refused = |options: PutOptions| {
            let alone = store.db.put_with("a", "2", options);
            assert!(matches!(alone, Err(Error::InvalidArgument(Invalid::Argument(_)))), "{alone:?}");
            let in_txn = store.db.txn().then([Op::from(Put::with("a", "2", options))]).commit();
            assert!(matches!(in_txn, Err(Error::InvalidArgument(Invalid::Argument(_)))), "{in_txn:?}");
        };
        refused(PutOptions::new().ttl(ms(5)).lease(7));
        refused(PutOptions::new().ttl(ms(5)).ignore_lease());
        let long = store.db.put_with_ttl("a", "2", Duration::from_secs(9_000_000_001));
        assert!(matches!(long, Err(Error::TooLarge { .. })));
        store.always(|store| assert_eq!(store.contents(), ["a=1"]));
        store.db.put_with_ttl("a", "2", Duration::from_secs(9_000_000_000)).unwrap();
        let keep = PutOptions::new().ttl(ms(16)).ignore_value().prev_kv();
        assert_eq!(store.db.put_with("a", "", keep).unwrap().prev.unwrap().value, "2");
        store.advance_ms(17);
        assert!(store.contents().is_empty());
    });
}

#[test]
fn x_06_in_a_txn() {
    everywhere(|store| {
        let timed = |key: &str, ttl_ms| Op::from(Put::new(key, "").ttl(ms(ttl_ms)));
        let ops = vec![timed("a", 160), nested(vec![timed("b", 160)]), timed("c", 16_000), Op::grant(7, ms(60_000))];
        store.txn(ops);
        assert_eq!(lease_of(&store.db, "a"), lease_of(&store.db, "b"));
        assert_ne!(lease_of(&store.db, "a"), lease_of(&store.db, "c"));
        store.advance_ms(170);
        store.always(|store| {
            assert_eq!(store.events(.., 3), ["-a@3 was ", "-b@3 was "]);
            assert_eq!(ids(&store.db), [7]);
        });
        // A txn that fails leaves no lease behind.
        let failed = store.db.txn().then([timed("x", 160), Op::revoke(8)]).commit();
        assert!(matches!(failed, Err(Error::LeaseNotFound)));
        store.advance_ms(20_000);
        assert_eq!((store.contents(), store.db.revision()), (vec![], rev(4)));
    });
}

#[test]
fn x_06_min_ttl_is_a_floor() {
    let db = Options::new().min_ttl(ms(3_200)).in_memory().unwrap();
    put_for(&db, "a", 5);
    let status = db.lease(lease_of(&db, "a")).time_to_live().unwrap().unwrap();
    assert_eq!(status.granted, ms(3_400));
}

#[test]
fn x_06_what_is_left_survives_a_close() {
    everywhere(|store| {
        put_for(&store.db, "a", 1_600);
        store.advance_ms(300);
        let clock = store.clock.clone();
        store.reopen_with(|| clock.advance(ms(1_300)));
        store.advance_ms(0);
        assert_eq!(store.contents(), ["a="]);
        store.advance_ms(99);
        assert_eq!(store.contents(), ["a="]);
        // After a reopen keys find the leases of before.
        put_for(&store.db, "b", 16);
        assert_eq!(left_ms(&store.db, lease_of(&store.db, "b")), Some(17));
        store.advance_ms(1);
        assert_eq!(store.contents(), ["b="]);
        store.advance_ms(16);
        assert!(store.contents().is_empty());
    });
}

#[test]
fn x_06_what_is_left_survives_a_crash() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    put_for(&db, "a", 1_600);
    for (later, there) in [(0, true), (1_000, true), (699, true), (1, false)] {
        clock.advance(ms(later));
        let image = disk.record().durable_at(disk.position());
        let db = open_image(image, &clock, ROOMY).unwrap();
        etclite::testing::expire(&db).unwrap();
        assert_eq!(db.get("a").unwrap().is_some(), there, "{later} ms later");
    }
}

/// An id that was drawn for a hidden lease may be a caller's.
#[test]
fn x_06_a_hidden_lease_takes_no_callers_id() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let twin = open_sim(&SimDisk::new(), &SimClock::new(1), ROOMY);
    put_for(&twin, "a", 160);
    let drawn = lease_of(&twin, "a");
    let db = open_sim(&disk, &clock, ROOMY);
    db.grant_with_id(drawn, ms(60_000)).unwrap();
    put_for(&db, "a", 160);
    assert_eq!(lease_of(&db, "a"), drawn + 1, "the next that is free");
    assert_eq!(db.lease(LeaseId::new(drawn)).time_to_live().unwrap().unwrap().key_count, 0);
}
