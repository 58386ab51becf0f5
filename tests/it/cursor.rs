//! Durable watch cursors: where they stand, what moves them, and what they hold back.

use std::sync::Arc;

use etclite::error::Invalid;
use etclite::io::Disk;
use etclite::io::sim::{Fault, FaultKind, SimDisk};
use etclite::testing::backup_to;
use etclite::{
    Compare, Cursor, CursorStatus, Db, Error, KeyRange, Op, OpResponse, Options, Put, Range, Result, Txn, prefix,
};

use super::rig::{Kind, Store, TINY, contents, drain, everywhere, ms, open_image, rev};

fn create(db: &Db, name: &str) -> Cursor {
    db.cursor(name, prefix("a")).create().unwrap()
}

fn at(cursor: &Cursor) -> u64 {
    cursor.position().unwrap().get()
}

/// What a consumer of the cursor has before it.
fn pending(cursor: &Cursor) -> Result<Vec<String>> {
    drain(&mut cursor.watch()?.start()?)
}

fn compacted(db: &Db) -> u64 {
    db.compact_revision().get()
}

fn is_argument(error: &Error) -> bool {
    matches!(error, Error::InvalidArgument(_))
}

#[test]
fn x_04_a_cursor_begins_where_it_is_told() {
    everywhere(|store| {
        for value in ["1", "2", "3"] {
            store.put("a", value);
        }
        let now = create(&store.db, "now");
        let (first, second) = (store.db.cursor("first", prefix("a")).at(0), store.db.cursor("second", "a").at(2));
        let (first, second) = (first.create().unwrap(), second.create().unwrap());
        store.put("a", "4");
        store.put("b", "1");
        store.always(|store| {
            let open = |cursor: &Cursor| store.db.open_cursor(cursor.name()).unwrap();
            assert_eq!([&now, &first, &second].map(|cursor| at(&open(cursor))), [4, 0, 2]);
            assert_eq!(pending(&open(&now)).unwrap(), ["+a=4@5"]);
            assert_eq!(pending(&open(&second)).unwrap(), ["+a=2@3", "+a=3@4", "+a=4@5"]);
            assert_eq!(pending(&open(&first)).unwrap().len(), 4);
            assert_eq!((store.db.revision(), store.db.stats().cursors), (rev(6), 3), "cursors take no revision");
        });
    });
}

/// Arithmetic on what callers and files say must not overflow.
#[test]
fn x_04_positions_and_bounds_may_be_as_large_as_they_like() {
    let db = Db::in_memory().unwrap();
    let ahead = db.cursor("c", prefix("a")).at(u64::MAX).create();
    assert!(matches!(ahead, Err(Error::FutureRevision { .. })), "{ahead:?}");
    let patient = db.cursor("c", prefix("a")).max_age(std::time::Duration::MAX).max_lag(u64::MAX).create().unwrap();
    db.put("a", "1").unwrap();
    db.compact(2).unwrap();
    assert_eq!(pending(&patient).unwrap(), ["+a=1@2"]);
}

#[test]
fn x_04_creating_again_finds_it() {
    everywhere(|store| {
        let define = |db: &Db| db.cursor("c", prefix("a")).no_delete().max_lag(5).max_age(ms(7));
        let cursor = define(&store.db).create().unwrap();
        store.put("a", "1");
        cursor.advance(1, 2).unwrap();
        store.always(|store| {
            let db = &store.db;
            // Wherever it would begin now, it stands where it stood.
            assert_eq!(at(&define(db).create().unwrap()), 2);
            assert_eq!(at(&define(db).at(1).create().unwrap()), 2);
            let others = [
                db.cursor("c", prefix("b")).no_delete().max_lag(5).max_age(ms(7)),
                define(db).no_put(),
                define(db).max_lag(6),
                define(db).max_age(ms(8)),
            ];
            for other in others {
                assert!(is_argument(&other.create().unwrap_err()));
            }
            let CursorStatus { name, range, no_put, no_delete, position, lapsed, max_lag, max_age, .. } =
                db.cursors().unwrap().remove(0);
            assert_eq!((&name[..], range), (&b"c"[..], prefix("a")));
            assert_eq!((no_put, no_delete, position, lapsed, max_lag, max_age), (false, true, rev(2), false, 5, ms(7)));
        });
    });
}

#[test]
fn x_04_what_no_cursor_can_be() {
    let store = Store::with(Kind::Memory, Options::new().cursors_max(2));
    let db = &store.db;
    for name in ["", &"x".repeat(256)] {
        assert!(is_argument(&db.cursor(name, "a").create().unwrap_err()));
        assert!(is_argument(&db.open_cursor(name).unwrap_err()));
        assert!(is_argument(&db.txn().then([Op::advance(name, 1, 1)]).commit().unwrap_err()));
    }
    let empty = db.cursor("c", KeyRange::between("b", "a")).create().unwrap_err();
    assert!(matches!(empty, Error::InvalidArgument(Invalid::EmptyWatchRange)));
    let long = db.cursor("c", "x".repeat(64 << 10)).create();
    assert!(long.is_ok(), "{long:?}");
    assert!(matches!(db.cursor("d", "x".repeat((64 << 10) + 1)).create(), Err(Error::TooLarge { .. })));
    assert!(matches!(db.cursor("d", "a").at(2).create(), Err(Error::FutureRevision { current }) if current == 1));
    create(db, &"x".repeat(255));
    assert!(matches!(db.cursor("d", "a").create(), Err(Error::Full { what: "cursors", max: 2 })));
    db.open_cursor("c").unwrap().drop_cursor().unwrap();
    create(db, "d");
    assert!(matches!(db.open_cursor("c"), Err(Error::CursorNotFound)));
}

#[test]
fn x_04_an_advance_is_part_of_its_txn() {
    everywhere(|store| {
        let cursor = create(&store.db, "c");
        store.put("a", "1");
        let done = store.txn(vec![Put::new("done", "1").into(), Op::advance("c", 1, 2), Range::new("done").into()]);
        let OpResponse::Advance(advance) = done.responses[1] else { panic!("{done:?}") };
        assert_eq!((advance.revision, advance.position, done.revision), (rev(3), rev(2), rev(3)));
        // Alone it takes no revision, and no event tells of it.
        let alone = store.txn(vec![Op::advance("c", 2, 3)]);
        assert_eq!((alone.revision, store.events(.., 1).len()), (rev(3), 2));
        // With what fails, nothing is done.
        let txn = |ops: Vec<Op>| store.db.txn().then(ops).commit();
        let put = || Op::from(Put::new("lost", "1"));
        let moved = txn(vec![put(), Op::advance("c", 2, 3)]).unwrap_err();
        assert!(matches!(moved, Error::CursorMoved { position } if position == 3), "{moved}");
        assert!(matches!(txn(vec![put(), Op::advance("d", 2, 3)]), Err(Error::CursorNotFound)));
        assert!(
            matches!(txn(vec![put(), Op::advance("c", 3, 4)]), Err(Error::FutureRevision { current }) if current == 3)
        );
        assert!(is_argument(&txn(vec![put(), Op::advance("c", 3, 2)]).unwrap_err()));
        let late = txn(vec![Op::advance("c", 3, 3), Put::new("lost", "1").lease(9).into()]);
        assert!(matches!(late, Err(Error::LeaseNotFound)));
        // On a branch that is not taken it does nothing.
        let other = Txn::new().when([Compare::version("a").eq(7)]).then([Op::advance("c", 9, 9)]).or_else([put()]);
        assert!(store.db.execute(other).unwrap().responses.len() == 1 && store.delete("lost") == 5);
        // Steps of one txn follow each other, in nested ones too.
        let nested = Txn::new().then([Op::advance("c", 4, 4)]);
        txn(vec![Op::advance("c", 3, 4), nested.into(), Op::advance("c", 4, 5)]).unwrap();
        store.always(|store| {
            assert_eq!(at(&store.db.open_cursor("c").unwrap()), 5);
            assert_eq!((store.contents(), store.db.revision()), (vec!["a=1".to_owned(), "done=1".to_owned()], rev(5)));
        });
        assert_eq!(cursor.name(), b"c");
    });
}

/// The check looks at the state before the txn: it cannot be done with what it writes itself.
#[test]
fn x_04_an_advance_ends_before_its_own_txn() {
    let store = Store::new(Kind::Memory);
    create(&store.db, "c");
    let own = store.db.txn().then([Op::from(Put::new("a", "1")), Op::advance("c", 1, 2)]).commit();
    assert!(matches!(own, Err(Error::FutureRevision { current }) if current == 1));
}

#[test]
fn x_04_of_two_consumers_one_works() {
    let store = Store::new(Kind::Memory);
    let cursor = create(&store.db, "c");
    store.put("a", "1");
    store.put("a", "2");
    let (one, other) = (cursor.clone(), store.db.open_cursor("c").unwrap());
    assert_eq!(one.advance(1, 2).unwrap(), 2);
    let error = other.advance(1, 3).unwrap_err();
    assert!(matches!(error, Error::CursorMoved { position } if position == 2));
    assert_eq!(error.to_string(), "the cursor has moved, it is at 2");
    assert_eq!(other.advance(2, 3).unwrap(), 3);
    assert_eq!(pending(&one).unwrap(), Vec::<String>::new());
}

#[test]
fn x_04_filters_are_the_watchs() {
    let store = Store::new(Kind::Tiny);
    let (puts, deletes) = (store.db.cursor("p", "a").no_delete(), store.db.cursor("d", "a").no_put());
    let (puts, deletes) = (puts.create().unwrap(), deletes.create().unwrap());
    store.put("a", "1");
    store.delete("a");
    assert_eq!(pending(&puts).unwrap(), ["+a=1@2"]);
    assert_eq!(pending(&deletes).unwrap(), ["-a@3"]);
    // It may be advanced to all that its watch has been through, matches or not.
    let mut watch = puts.watch().unwrap().start().unwrap();
    assert_eq!(drain(&mut watch).unwrap().len(), 1);
    assert_eq!(puts.advance(1, watch.progress()).unwrap(), 3);
}

#[test]
fn x_04_reset_and_drop() {
    everywhere(|store| {
        let cursor = create(&store.db, "c");
        for value in ["1", "2", "3"] {
            store.put("a", value);
        }
        cursor.advance(1, 4).unwrap();
        assert_eq!(cursor.reset(2).unwrap(), 2);
        store.always(|store| {
            let cursor = store.db.open_cursor("c").unwrap();
            assert_eq!(pending(&cursor).unwrap(), ["+a=2@3 was 1", "+a=3@4 was 2"].map(|text| text[..6].to_owned()));
        });
        let cursor = store.db.open_cursor("c").unwrap();
        assert!(matches!(cursor.reset(5), Err(Error::FutureRevision { .. })));
        store.db.compact(3).unwrap();
        assert!(matches!(cursor.reset(1), Err(Error::Compacted { compacted }) if compacted == 3));
        assert_eq!(cursor.clone().drop_cursor().unwrap(), 2);
        store.always(|store| {
            assert!(matches!(store.db.open_cursor("c"), Err(Error::CursorNotFound)));
            assert!(store.db.cursors().unwrap().is_empty());
        });
        assert!(matches!(store.db.txn().then([Op::advance("c", 2, 3)]).commit(), Err(Error::CursorNotFound)));
    });
}

#[test]
fn x_04_live_cursors_hold_compaction() {
    everywhere(|store| {
        let (slow, fast) = (create(&store.db, "slow"), create(&store.db, "fast"));
        for value in 0..8 {
            store.put("a", &value.to_string());
        }
        fast.advance(1, 6).unwrap();
        slow.advance(1, 3).unwrap();
        let response = store.db.compact(8).unwrap();
        assert_eq!((response.compact_revision, compacted(&store.db)), (rev(4), 4), "held at the slow one");
        // Asked for again, or for less, it is on its way already; below what is gone it is refused.
        assert_eq!(store.db.compact(8).unwrap().compact_revision, 4);
        assert_eq!(store.db.compact(5).unwrap().compact_revision, 4);
        assert!(matches!(store.db.compact(4), Err(Error::Compacted { compacted }) if compacted == 4));
        store.always(|store| {
            let open = |name| store.db.open_cursor(name).unwrap();
            assert_eq!(compacted(&store.db), 4);
            assert_eq!((pending(&open("slow")).unwrap().len(), pending(&open("fast")).unwrap().len()), (6, 3));
        });
        let open = |name| store.db.open_cursor(name).unwrap();
        // What was ordered takes effect as they go on, after a reopen too.
        open("slow").advance(3, 5).unwrap();
        assert_eq!(compacted(&store.db), 6);
        open("slow").advance(5, 9).unwrap();
        assert_eq!(compacted(&store.db), 7, "now the other one holds it");
        open("fast").drop_cursor().unwrap();
        assert_eq!(compacted(&store.db), 8, "all that was ordered");
        open("slow").reset(8).unwrap();
        store.db.compact(9).unwrap();
        store.always(|store| {
            assert_eq!(compacted(&store.db), 9);
            assert_eq!(pending(&store.db.open_cursor("slow").unwrap()).unwrap(), ["+a=7@9"]);
        });
    });
}

#[test]
fn x_04_max_lag_lets_a_cursor_lapse() {
    everywhere(|store| {
        let cursor = store.db.cursor("c", "a").max_lag(3).create().unwrap();
        let strict = store.db.cursor("strict", "a").create().unwrap();
        for value in 0..5 {
            store.put("a", &value.to_string());
        }
        // As far behind as it likes, while it holds nothing back.
        store.work();
        assert!(!cursor.status().unwrap().lapsed);
        assert_eq!(store.db.compact(5).unwrap().compact_revision, 2);
        assert!(cursor.status().unwrap().lapsed && !strict.status().unwrap().lapsed);
        // It goes on as before as long as nothing has passed it, and is live again.
        assert_eq!((cursor.advance(1, 2).unwrap(), cursor.status().unwrap().lapsed), (rev(2), false));
        strict.advance(1, 6).unwrap();
        assert_eq!(compacted(&store.db), 3, "held by it alone");
        store.put("a", "5");
        store.db.compact(6).unwrap();
        assert_eq!((compacted(&store.db), cursor.status().unwrap().lapsed), (6, true));
        store.always(|store| {
            let cursor = store.db.open_cursor("c").unwrap();
            assert!(cursor.status().unwrap().lapsed && at(&cursor) == 2);
            assert!(matches!(pending(&cursor), Err(Error::Compacted { compacted }) if compacted == 6));
            assert!(matches!(cursor.advance(2, 5), Err(Error::Compacted { compacted }) if compacted == 6));
            assert!(matches!(cursor.advance(1, 5), Err(Error::CursorMoved { .. })));
            assert!(matches!(cursor.reset(3), Err(Error::Compacted { .. })));
        });
        let cursor = store.db.open_cursor("c").unwrap();
        cursor.reset(5).unwrap();
        assert_eq!((pending(&cursor).unwrap().len(), cursor.status().unwrap().lapsed), (2, false));
    });
}

#[test]
fn x_04_max_age_lets_a_cursor_lapse() {
    everywhere(|store| {
        let cursor = store.db.cursor("c", "a").max_age(ms(100)).create().unwrap();
        store.put("a", "1");
        store.put("a", "2");
        store.clock.advance(ms(100));
        assert_eq!(store.db.compact(3).unwrap().compact_revision, 2, "as old as it may be");
        // An advance, be it to where it stands, starts its time anew.
        cursor.advance(1, 1).unwrap();
        store.clock.advance(ms(100));
        store.work();
        assert!(!cursor.status().unwrap().lapsed);
        let clock = store.clock.clone();
        store.reopen_with(|| clock.advance(ms(1)));
        store.work();
        let cursor = store.db.open_cursor("c").unwrap();
        assert_eq!((cursor.status().unwrap().lapsed, compacted(&store.db)), (true, 3));
    });
}

#[test]
fn x_04_what_cursors_hold_has_a_budget() {
    let budget = 40 << 10;
    let store = Store::with(Kind::Tiny, Options::new().cursor_hold_bytes(budget));
    let (slow, fast) = (create(&store.db, "slow"), create(&store.db, "fast"));
    let mut lapsed_at = None;
    for round in 0..400u64 {
        let revision = store.put("a", &format!("{round} {}", "x".repeat(400)));
        let from = fast.position().unwrap();
        fast.advance(from, revision).unwrap();
        store.db.compact(revision).unwrap();
        store.work();
        // What is held is within the budget, up to what is not weighed yet: a memtable, and runs not yet merged.
        let bytes = store.db.stats().run_bytes + store.db.stats().memtable_bytes;
        assert!(bytes < 3 * budget, "{bytes} bytes in round {round}");
        if lapsed_at.is_none() && slow.status().unwrap().lapsed {
            lapsed_at = Some((round, compacted(&store.db)));
        }
        assert!(!fast.status().unwrap().lapsed, "only the one furthest behind");
    }
    let (round, compacted) = lapsed_at.expect("it lapses");
    assert!(round > 40 && compacted > round, "{round} {compacted}");
    assert!(matches!(pending(&slow), Err(Error::Compacted { .. })));
    assert_eq!(pending(&fast).unwrap(), Vec::<String>::new());
}

#[test]
fn x_04_a_watch_of_a_cursor_is_not_passed() {
    let store = Store::new(Kind::Tiny);
    let cursor = create(&store.db, "c");
    let mut watch = cursor.watch().unwrap().start().unwrap();
    for value in 0..50 {
        let revision = store.put("a", &format!("{value} {}", "x".repeat(200)));
        store.db.compact(revision).unwrap();
        store.work();
    }
    assert_eq!(drain(&mut watch).unwrap().len(), 50);
    // Nor is one that begins later.
    assert_eq!(pending(&cursor).unwrap().len(), 50);
    cursor.advance(1, 51).unwrap();
    store.work();
    assert_eq!((compacted(&store.db), store.db.stats().run_entries < 10), (51, true), "and then all of it goes");
}

#[test]
fn x_04_an_advance_takes_effect_once() {
    everywhere(|store| {
        let cursor = create(&store.db, "c");
        store.put("a", "1");
        let txn = Txn::new().then([Op::from(Put::new("done", "1")), Op::advance("c", 1, 2)]);
        let first = store.db.operation(1u128).execute(txn.clone()).unwrap();
        assert_eq!(store.db.operation(2u128).advance("c", 2, 3).unwrap().response, 3);
        assert!(matches!(store.db.execute(txn.clone()), Err(Error::CursorMoved { .. })));
        store.always(|store| {
            let again = store.db.operation(1u128).execute(txn.clone()).unwrap();
            assert!(again.replayed && again.response == first.response);
            let again = store.db.operation(2u128).advance("c", 2, 3).unwrap();
            assert!(again.replayed && again.response == 3);
        });
        assert_eq!(cursor.name(), b"c");
    });
}

#[test]
fn x_04_a_backup_has_the_cursors() {
    let store = Store::new(Kind::Tiny);
    let cursor = create(&store.db, "c");
    for value in ["1", "2", "3"] {
        store.put("a", value);
    }
    cursor.advance(1, 2).unwrap();
    store.db.compact(4).unwrap();
    let back_up = |store: &Store| {
        let copy = SimDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(copy.clone());
        backup_to(&store.db, &disk).unwrap();
        open_image(copy.image(), &store.clock, TINY).unwrap()
    };
    let check = |db: &Db| {
        let cursor = db.open_cursor("c").unwrap();
        assert_eq!((at(&cursor), compacted(db), pending(&cursor).unwrap().len()), (2, 3, 2));
        assert_eq!(contents(db), ["a=3"]);
    };
    check(&back_up(&store));
    // Of a poisoned store, too: an advance that was never published is in no copy.
    let disk = store.sim.clone().unwrap();
    disk.fail(Fault { site: None, nth: 1, kind: FaultKind::Eio, forever: true });
    let lost = store.db.txn().then([Op::from(Put::new("a", "4")), Op::advance("c", 2, 4)]).commit();
    assert!(matches!(lost, Err(Error::Indeterminate)), "{lost:?}");
    disk.clear_faults();
    assert_eq!(at(&cursor), 2);
    let db = back_up(&store);
    check(&db);
    // What was ordered takes effect there as here.
    db.open_cursor("c").unwrap().advance(2, 4).unwrap();
    assert_eq!(compacted(&db), 4);
}

#[test]
fn x_04_a_read_only_store_shows_its_cursors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let db = Db::open(&path).unwrap();
    let cursor = create(&db, "c");
    db.put("a", "1").unwrap();
    db.close().unwrap();
    assert!(matches!(cursor.position(), Err(Error::Closed)));
    let db = Options::new().read_only(true).open(&path).unwrap();
    let cursor = db.open_cursor("c").unwrap();
    assert_eq!((at(&cursor), pending(&cursor).unwrap()), (1, vec!["+a=1@2".to_owned()]));
    for refused in [cursor.advance(1, 2).err(), cursor.reset(2).err(), db.cursor("d", "a").create().err()] {
        assert!(matches!(refused, Some(Error::ReadOnly)));
    }
}
