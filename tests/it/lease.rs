//! Leases: the rows LE, CH-03, CH-05 and X-07, with values by hand, on a clock that stands still until it is moved.
//! `lease_random` has never-early-and-always-ends for any schedule.

use std::sync::Arc;
use std::time::Duration;

use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk};
use etclite::testing::{expire, open_on, with_knobs};
use etclite::{Compare, Db, Error, LeaseId, Options, PutOptions};

use super::rig::{
    Kind, ROOMY, Store, TINY, contents, delete, drain, everywhere, ids, left_ms, ms, open_image, open_sim, put, rev,
};

#[test]
fn le_01_grant() {
    everywhere(|store| {
        let lease = store.db.grant_with_id(7, ms(5_000)).unwrap();
        assert_eq!((lease.id().get(), lease.granted(), store.db.revision()), (7, Some(ms(5_000)), rev(1)));
        assert!(matches!(store.db.grant_with_id(7, ms(1)), Err(Error::LeaseExists)));
        let drawn = store.db.grant(ms(5_000)).unwrap();
        assert!(drawn.id().get() > 0 && drawn.id().get() != 7);
        assert_eq!(store.db.revision(), 1);
        store.reopen();
        assert!(matches!(store.db.grant_with_id(7, ms(1)), Err(Error::LeaseExists)));
    });
}

#[test]
fn le_01_random_ids_are_positive_and_differ() {
    let store = Store::new(Kind::Memory);
    let mut drawn: Vec<_> = (0..200).map(|_| store.db.grant(ms(5_000)).unwrap().id().get()).collect();
    assert!(drawn.iter().all(|id| *id > 0));
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 200);
}

#[test]
fn le_01_too_large_a_ttl() {
    everywhere(|store| {
        let largest = Duration::from_secs(9_000_000_000);
        for ttl in [largest + Duration::from_nanos(1), Duration::MAX] {
            assert!(matches!(store.db.grant_with_id(1, ttl), Err(Error::TooLarge { .. })));
        }
        assert_eq!(store.db.grant_with_id(1, largest).unwrap().granted(), Some(largest));
        store.reopen();
        assert_eq!(left_ms(&store.db, 1), Some(9_000_000_000_000));
    });
}

#[test]
fn le_02_negative_ids_and_zero_ttls_are_accepted() {
    everywhere(|store| {
        let lease = store.db.grant_with_id(-7, Duration::ZERO).unwrap();
        assert_eq!((lease.id().get(), lease.granted()), (-7, Some(ms(1))));
        store.put_leased("a", "1", -7);
        assert_eq!(store.db.get("a").unwrap().unwrap().lease.get(), -7);
        assert_eq!(store.db.lease(i64::MIN).time_to_live().unwrap(), None);
        store.db.grant_with_id(i64::MIN, ms(50)).unwrap();
        store.reopen();
        assert_eq!(store.db.lease(-7).revoke().unwrap(), 3);
        assert_eq!(ids(&store.db), [i64::MIN]);
    });
}

#[test]
fn ch_03_whole_milliseconds_rounded_up_and_no_floor() {
    everywhere(|store| {
        let granted = |ttl: Duration| store.db.grant(ttl).unwrap().granted().unwrap();
        assert_eq!(granted(Duration::ZERO), ms(1));
        assert_eq!(granted(Duration::from_nanos(1)), ms(1));
        assert_eq!(granted(Duration::from_micros(1_001)), ms(2));
        assert_eq!(granted(ms(1)), ms(1));
    });
}

#[test]
fn ch_03_min_ttl() {
    let store = Store::with(Kind::Memory, Options::new().min_ttl(ms(2_000)));
    assert_eq!(store.db.grant(ms(5)).unwrap().granted(), Some(ms(2_000)));
    assert_eq!(store.db.grant(ms(2_001)).unwrap().granted(), Some(ms(2_001)));
    let below = Options::new().min_ttl(Duration::from_micros(999)).in_memory();
    assert!(matches!(below, Err(Error::InvalidArgument(_))));
}

#[test]
fn le_03_revoke_in_key_order_in_one_revision() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        for key in ["c", "a", "b"] {
            store.put_leased(key, key, 7);
        }
        store.put("a", "free again");
        store.settle();
        assert_eq!(store.db.lease(7).revoke().unwrap(), 6);
        store.always(|store| {
            assert_eq!(store.events(.., 6), ["-b@6 was b", "-c@6 was c"]);
            assert_eq!(store.contents(), ["a=free again"]);
            assert!(matches!(store.db.lease(7).revoke(), Err(Error::LeaseNotFound)));
            assert!(matches!(store.db.lease(0).revoke(), Err(Error::LeaseNotFound)));
            let put = store.db.put_with("x", "", PutOptions::new().lease(7));
            assert!(matches!(put, Err(Error::LeaseNotFound)));
        });
    });
}

#[test]
fn le_03_a_lease_without_keys_takes_no_revision() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        assert_eq!(store.db.lease(7).revoke().unwrap(), 1);
        store.always(|store| assert!(ids(&store.db).is_empty()));
    });
}

#[test]
fn le_04_keep_alive() {
    everywhere(|store| {
        let lease = store.db.grant_with_id(7, ms(100)).unwrap();
        store.advance_ms(99);
        assert_eq!(lease.keep_alive().unwrap(), ms(100));
        store.advance_ms(99);
        assert_eq!(left_ms(&store.db, 7), Some(1));
        assert_eq!(lease.keep_alive().unwrap(), ms(100));
        assert_eq!(left_ms(&store.db, 7), Some(100));
        assert!(matches!(store.db.lease(8).keep_alive(), Err(Error::LeaseNotFound)));
        assert_eq!(store.db.revision(), 1);
    });
}

#[test]
fn le_04_an_expired_lease_is_never_revived() {
    // Its time is over, and nobody has come round to revoke it yet: the keep-alive must not be quicker.
    everywhere(|store| {
        let lease = store.db.grant_with_id(7, ms(100)).unwrap();
        store.put_leased("a", "1", 7);
        lease.keep_alive().unwrap();
        store.clock.advance(ms(100));
        assert!(matches!(lease.keep_alive(), Err(Error::LeaseNotFound)));
        assert_eq!((ids(&store.db), store.db.revision()), (vec![], rev(3)));
        expire(&store.db).unwrap();
        store.always(|store| assert_eq!(store.events(.., 3), ["-a@3 was 1"]));
    });
}

#[test]
fn le_04_first_keep_alive_is_durable_and_later_ones_write_nothing() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let lease = db.grant_with_id(7, ms(1_000)).unwrap();
    let before = disk.position();
    lease.keep_alive().unwrap();
    let first = disk.position();
    assert!(first > before);
    clock.advance(ms(900));
    lease.keep_alive().unwrap();
    assert_eq!(disk.position(), first);
    // Once it is answered, a power cut gives the full time again: never early.
    let after = open_image(disk.record().durable_at(first), &clock, ROOMY).unwrap();
    assert_eq!(left_ms(&after, 7), Some(1_000));
}

#[test]
fn le_05_time_to_live() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(10_000)).unwrap();
        store.put_leased("b", "1", 7);
        store.put_leased("a", "1", 7);
        store.advance_ms(1_500);
        store.settle();
        let status = store.db.lease(7).time_to_live().unwrap().unwrap();
        assert_eq!((status.granted, status.remaining, status.key_count), (ms(10_000), ms(8_500), 2));
        assert_eq!(status.keys, ["a", "b"]);
        assert_eq!(store.db.lease(8).time_to_live().unwrap(), None);
        // Never negative while it exists.
        store.clock.advance(ms(60_000));
        assert_eq!(left_ms(&store.db, 7), Some(0));
        expire(&store.db).unwrap();
        assert_eq!(store.db.lease(7).time_to_live().unwrap(), None);
    });
}

#[test]
fn le_06_leases_by_deadline_then_id() {
    everywhere(|store| {
        for (id, ttl) in [(4, 20_000), (3, 10_000), (-7, 20_000), (1, 30_000)] {
            store.db.grant_with_id(id, ms(ttl)).unwrap();
        }
        store.put_leased("a", "1", 1);
        assert_eq!(ids(&store.db), [3, -7, 4, 1]);
        store.advance_ms(9_000);
        store.db.lease(4).keep_alive().unwrap();
        store.always(|store| {
            assert_eq!(ids(&store.db), [3, -7, 4, 1]);
            let listed = store.db.leases().unwrap();
            let shown: Vec<_> =
                listed.iter().map(|l| (l.granted.as_secs(), l.remaining.as_secs(), l.key_count)).collect();
            assert_eq!(shown, [(10, 1, 0), (20, 11, 0), (20, 20, 0), (30, 21, 1)]);
        });
    });
}

#[test]
fn le_07_expiry_at_the_deadline_one_revision_a_lease_in_order() {
    everywhere(|store| {
        for (id, ttl, key) in [(1, 20, "a"), (2, 10, "b"), (3, 15, "c")] {
            store.db.grant_with_id(id, ms(ttl)).unwrap();
            store.put_leased(key, "1", id);
        }
        store.db.grant_with_id(4, ms(5)).unwrap();
        let mut watch = store.db.watch(..).start().unwrap();
        store.advance_ms(9);
        assert_eq!((ids(&store.db), store.db.revision()), (vec![2, 3, 1], rev(4)));
        store.advance_ms(1);
        assert_eq!((ids(&store.db), store.db.revision()), (vec![3, 1], rev(5)));
        store.advance_ms(1_000);
        assert_eq!(drain(&mut watch).unwrap(), ["-b@5", "-c@6", "-a@7"]);
        store.always(|store| assert_eq!((ids(&store.db), store.contents().len()), (vec![], 0)));
    });
}

#[test]
fn le_07_time_includes_suspend_and_ignores_the_wall_clock() {
    everywhere(|store| {
        store.db.grant_with_id(1, ms(1_000)).unwrap();
        store.clock.suspend(ms(600));
        store.clock.set_wall(Duration::from_secs(4_000_000_000));
        store.advance_ms(0);
        assert_eq!(left_ms(&store.db, 1), Some(400));
        store.clock.set_wall(Duration::from_secs(1));
        store.advance_ms(399);
        assert_eq!(left_ms(&store.db, 1), Some(1));
        store.advance_ms(1);
        assert_eq!(left_ms(&store.db, 1), None);
    });
}

#[test]
fn le_07_many_leases_end_in_few_syncs() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    for id in 1..=100 {
        db.grant_with_id(id, ms(100)).unwrap();
        db.put_with(format!("k{id:03}"), "", PutOptions::new().lease(id)).unwrap();
    }
    let syncs = || disk.sites_hit()[&IoSite::LogSync];
    let before = syncs();
    clock.advance(ms(100));
    expire(&db).unwrap();
    assert_eq!((db.revision(), ids(&db).len()), (rev(201), 0));
    assert!(syncs() - before <= 3, "{}", syncs() - before);
}

#[test]
fn le_07_a_put_moves_a_key_between_leases() {
    everywhere(|store| {
        for id in [1, 2] {
            store.db.grant_with_id(id, ms(100 * id.unsigned_abs())).unwrap();
        }
        store.put_leased("moved", "1", 1);
        store.put_leased("freed", "1", 1);
        store.put_leased("kept", "1", 1);
        store.put_leased("gone", "1", 1);
        store.put_leased("moved", "2", 2);
        store.put("freed", "2");
        store.db.put_with("kept", "2", PutOptions::new().ignore_lease()).unwrap();
        store.delete("gone");
        store.put("gone", "came back");
        store.always(|store| {
            let keys = |id| store.db.lease(LeaseId::new(id)).time_to_live().unwrap().unwrap().keys;
            assert_eq!((keys(1), keys(2)), (vec!["kept".into()], vec!["moved".into()]));
        });
        store.advance_ms(100);
        assert_eq!(store.contents(), ["freed=2", "gone=came back", "moved=2"]);
        store.advance_ms(100);
        assert_eq!(store.contents(), ["freed=2", "gone=came back"]);
    });
}

#[test]
fn le_07_a_lease_in_a_txn() {
    everywhere(|store| {
        store.db.grant_with_id(1, ms(100)).unwrap();
        store
            .db
            .txn()
            .then([etclite::Put::new("a", "1").lease(1), etclite::Put::new("b", "1").lease(1)])
            .commit()
            .unwrap();
        store.txn(vec![delete("a"), put("c", "1")]);
        let held = store.db.txn().when([Compare::lease("b").eq(1)]).then([put("d", "1")]).commit().unwrap();
        assert!(held.succeeded);
        store.advance_ms(100);
        store.always(|store| {
            assert_eq!(store.contents(), ["c=1", "d=1"]);
            assert_eq!(store.events(.., 5), ["-b@5 was 1"]);
        });
    });
}

#[test]
fn le_08_time_runs_on_while_closed() {
    everywhere(|store| {
        let clock = store.clock.clone();
        store.db.grant_with_id(1, ms(1_000)).unwrap();
        store.put_leased("a", "1", 1);
        store.advance_ms(500);
        store.reopen_with(|| clock.advance(ms(400)));
        assert_eq!(left_ms(&store.db, 1), Some(100));
        store.reopen_with(|| clock.advance(ms(100)));
        expire(&store.db).unwrap();
        assert_eq!((store.contents().len(), store.db.revision()), (0, rev(3)));
    });
}

#[test]
fn le_08_a_crash_without_renewal_refreshes_nothing() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.grant_with_id(1, ms(1_000)).unwrap();
    clock.advance(ms(900));
    let killed = open_image(disk.image(), &clock, ROOMY).unwrap();
    let cut_off = open_image(disk.record().durable_at(disk.position()), &clock, ROOMY).unwrap();
    assert_eq!((left_ms(&killed, 1), left_ms(&cut_off, 1)), (Some(100), Some(100)));
}

#[test]
fn le_08_short_openings_and_crash_loops_refresh_nothing() {
    let clock = SimClock::new(1);
    let disk = SimDisk::new();
    let db = open_sim(&disk, &clock, TINY);
    db.grant_with_id(1, ms(100)).unwrap();
    db.lease(1).keep_alive().unwrap();
    // The first crash after a renewal gives the full time, all that follow give what is left.
    let mut image = disk.image();
    for left in (0..100).rev() {
        let disk = SimDisk::from_image(image);
        let db = open_sim(&disk, &clock, TINY);
        clock.advance(ms(1));
        assert_eq!(left_ms(&db, 1), Some(left));
        image = disk.image();
    }
    let db = open_image(image, &clock, TINY).unwrap();
    expire(&db).unwrap();
    assert!(ids(&db).is_empty());
}

#[test]
fn le_08_reopening_within_a_millisecond_neither_ends_early_nor_refreshes() {
    // Stamps are whole milliseconds and the clock is not: rounding must lose nothing, and gain nothing in a loop.
    for (grant_at, step) in [(900, 300), (100, 999), (999, 501), (0, 1), (500, 1_700)] {
        let mut store = Store::new(Kind::Memory);
        let clock = store.clock.clone();
        clock.advance(Duration::from_micros(grant_at));
        let lease = store.db.grant_with_id(1, ms(10)).unwrap();
        lease.keep_alive().unwrap();
        let (deadline, mut elapsed) = (10_000, 0);
        while elapsed < deadline {
            assert_eq!(ids(&store.db), [1], "ended {} µs early", deadline - elapsed);
            let step = if deadline - elapsed > 500 { step } else { 100 };
            store.reopen_with(|| clock.advance(Duration::from_micros(step)));
            expire(&store.db).unwrap();
            elapsed += step;
            if step == 1 && elapsed > 200 {
                store.clock.advance(Duration::from_micros(deadline - elapsed - 1));
                elapsed = deadline - 1;
            }
        }
        store.clock.advance(ms(1));
        expire(&store.db).unwrap();
        assert!(ids(&store.db).is_empty(), "{:?} too late", left_ms(&store.db, 1));
    }
}

#[test]
fn ch_05_a_reboot_counts_wall_time() {
    everywhere(|store| {
        let clock = store.clock.clone();
        store.db.grant_with_id(1, ms(10_000)).unwrap();
        store.advance_ms(1_000);
        store.reopen_with(|| {
            clock.advance(ms(2_000));
            clock.reboot();
            clock.advance(ms(3_000));
        });
        let left = left_ms(&store.db, 1).unwrap();
        assert!((4_000..=4_001).contains(&left), "{left}");
    });
}

#[test]
fn ch_05_wall_clock_set_back_is_late_and_set_forward_counts() {
    everywhere(|store| {
        let clock = store.clock.clone();
        store.db.grant_with_id(1, ms(10_000)).unwrap();
        store.reopen_with(|| {
            clock.set_wall(Duration::from_secs(1_000_000_000));
            clock.reboot();
        });
        assert_eq!(left_ms(&store.db, 1), Some(10_000));
        store.reopen_with(|| {
            clock.set_wall(Duration::from_secs(1_000_000_004));
            clock.reboot();
        });
        let left = left_ms(&store.db, 1).unwrap();
        assert!((6_000..=6_001).contains(&left), "{left}");
        // Within one boot the wall clock does not matter.
        store.reopen_with(|| clock.set_wall(Duration::from_secs(3_000_000_000)));
        assert_eq!(left_ms(&store.db, 1).unwrap(), left);
    });
}

#[test]
fn ch_05_only_a_renewal_refreshes_after_a_crash() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.grant_with_id(1, ms(100)).unwrap();
    db.grant_with_id(2, ms(30)).unwrap();
    db.lease(1).keep_alive().unwrap();
    clock.advance(ms(40));
    let db = open_image(disk.image(), &clock, ROOMY).unwrap();
    expire(&db).unwrap();
    assert_eq!((ids(&db), left_ms(&db, 1)), (vec![1], Some(100)));
}

#[test]
fn ch_05_a_clean_close_keeps_what_is_left_of_a_renewed_lease() {
    everywhere(|store| {
        store.db.grant_with_id(1, ms(100)).unwrap();
        store.db.lease(1).keep_alive().unwrap();
        store.advance_ms(60);
        store.reopen();
        assert_eq!(left_ms(&store.db, 1), Some(40));
    });
}

#[test]
fn le_09_attachments_are_those_of_the_live_keys() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        for i in 0..30 {
            store.put_leased(&format!("k{i:02}"), "1", 7);
        }
        store.delete("k05".."k25");
        store.put("k00", "free");
        let crashed = store.sim.as_ref().map(SimDisk::image);
        let check = |db: &Db| {
            let keys = db.lease(7).time_to_live().unwrap().unwrap().keys;
            let of_keys: Vec<_> =
                db.range(..).unwrap().map(|kv| kv.unwrap()).filter(|kv| kv.lease.get() == 7).collect();
            assert_eq!(keys, of_keys.iter().map(|kv| kv.key.clone()).collect::<Vec<_>>());
            assert_eq!(keys.len(), 9);
            assert!(db.check().unwrap().is_clean());
        };
        store.always(|store| check(&store.db));
        if let Some(image) = crashed {
            check(&open_image(image, &store.clock, TINY).unwrap());
        }
    });
}

#[test]
fn x_07_millisecond_leases_on_the_real_clock() {
    let db = Db::in_memory().unwrap();
    let mut gone = db.watch("a").no_put().start().unwrap();
    let before = std::time::Instant::now();
    let lease = db.grant(ms(30)).unwrap();
    db.put_with("a", "1", PutOptions::new().lease(lease.id())).unwrap();
    assert_eq!(gone.next().unwrap().unwrap().revision(), 3);
    assert!(before.elapsed() >= ms(30), "{:?}", before.elapsed());
    assert!(matches!(lease.keep_alive(), Err(Error::LeaseNotFound)));
}

#[test]
fn x_07_keep_alives_hold_a_lease_on_the_real_clock() {
    let db = Db::in_memory().unwrap();
    let mut gone = db.watch("held").no_put().start().unwrap();
    let lease = db.grant(ms(400)).unwrap();
    db.put_with("held", "1", PutOptions::new().lease(lease.id())).unwrap();
    for _ in 0..12 {
        assert_eq!(gone.next_timeout(ms(50)).unwrap(), None);
        lease.keep_alive().unwrap();
    }
    assert_eq!(gone.next().unwrap().unwrap().revision(), 3);
}

#[test]
fn x_07_keep_alive_races_expiry_on_real_threads() {
    // Whatever the race does: an answered keep-alive holds the key for its time, and each lease ends in one revision.
    let db = Db::in_memory().unwrap();
    for round in 0..20u64 {
        let mut gone = db.watch("a").no_put().start().unwrap();
        let lease = db.grant(ms(4)).unwrap();
        db.put_with("a", "1", PutOptions::new().lease(lease.id())).ok();
        let mut renewed = None;
        let mut tries = 0;
        let stop = loop {
            tries += 1;
            if tries > 50 {
                // On a quiet machine renewals win every race; then the lease is left to its end.
                gone.next().unwrap().unwrap();
                break lease.keep_alive().unwrap_err();
            }
            let asked = std::time::Instant::now();
            match lease.keep_alive() {
                Ok(ttl) => renewed = Some((asked, ttl)),
                Err(error) => break error,
            }
            if gone.next_timeout(ms(round % 5)).unwrap().is_some() {
                break lease.keep_alive().unwrap_err();
            }
        };
        assert!(matches!(stop, Error::LeaseNotFound));
        if let Some((asked, ttl)) = renewed {
            assert!(asked.elapsed() >= ttl);
        }
        assert_eq!(db.get("a").unwrap(), None);
    }
    assert!(db.leases().unwrap().is_empty() && db.check().unwrap().is_clean());
}

#[test]
fn a_lease_that_could_not_be_ended_never_hangs_a_keep_alive() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let lease = db.grant_with_id(1, ms(10)).unwrap();
    lease.keep_alive().unwrap();
    clock.advance(ms(10));
    disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1, kind: FaultKind::Eio, forever: false });
    assert!(expire(&db).is_err());
    assert!(matches!(lease.keep_alive(), Err(Error::Poisoned)));
    db.close().unwrap();
    let db = open_image(disk.image(), &clock, ROOMY).unwrap();
    expire(&db).unwrap();
    assert!(ids(&db).is_empty());
}

#[test]
fn many_leases_close_and_open_within_any_request_limit() {
    // Storing what is left of leases is the store's own doing: no limit of the caller's may make it fail.
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let options = with_knobs(Options::new(), TINY).request_bytes_max(200);
    let open = || open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), options.clone()).unwrap();
    let db = open();
    for id in 1..=2_000 {
        db.grant_with_id(id, ms(60_000)).unwrap();
    }
    db.close().unwrap();
    clock.advance(ms(100));
    let db = open();
    assert_eq!(db.leases().unwrap().len(), 2_000);
    assert_eq!((left_ms(&db, 1), left_ms(&db, 2_000)), (Some(59_900), Some(59_900)));
    let db = open_image(disk.image(), &clock, TINY).unwrap();
    assert_eq!(db.leases().unwrap().len(), 2_000);
}

#[test]
fn an_in_memory_store_with_many_leases_closes() {
    let db = Db::in_memory().unwrap();
    for id in 1..=70_000 {
        db.grant_with_id(id, Duration::from_secs(9_000_000_000)).unwrap();
    }
    assert_eq!(contents(&db).len(), 0);
    db.close().unwrap();
}
