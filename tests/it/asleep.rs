//! An idle store wakes nobody: the thread that ends leases, and lets cursors lapse by their age, sleeps until the time has
//! come, on a clock that counts suspend; and so does the one that keeps sessions alive. Here it is a test's, which counts
//! those who wake up.

use std::sync::Arc;
use std::time::Duration;

use etclite::io::Clock;
use etclite::io::sim::{SimClock, SimDisk};
use etclite::testing::{Knobs, open_on, with_knobs};
use etclite::{Cursor, Db, Options, PutOptions, Watch, prefix};

use super::gate::LONG;
use super::rig::{ROOMY, ms};

const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn open(disk: &SimDisk, clock: &SimClock) -> Db {
    let options = with_knobs(Options::new(), Knobs { manual: false, ..ROOMY });
    open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), options).unwrap()
}

/// A lease with a key of its own, and what tells of its end.
fn leased(db: &Db, id: i64, ttl: Duration) -> Watch {
    db.grant_with_id(id, ttl).unwrap();
    let key = format!("lease/{id}");
    db.put_with(&key, "", PutOptions::new().lease(id)).unwrap();
    db.watch(&*key).start().unwrap()
}

fn await_end(watch: &mut Watch) {
    let batch = watch.next_timeout(LONG).unwrap().expect("the lease ends");
    assert_eq!(batch.events().len(), 1);
}

#[test]
fn le_07_an_hour_with_a_lease_wakes_nobody() {
    let clock = SimClock::new(1);
    let db = open(&SimDisk::new(), &clock);
    let end = clock.boot() + HOUR;
    let mut watch = leased(&db, 7, HOUR);
    let wakes = clock.await_sleep(end);
    (0..3_599).for_each(|_| clock.advance(S));
    clock.advance(ms(999));
    assert_eq!(clock.wakes(), wakes);
    assert!(watch.try_next().unwrap().is_none());
    clock.advance(ms(1));
    await_end(&mut watch);
    assert_eq!(clock.wakes(), wakes + 1, "woken once, to end it");
}

/// The host sleeps longer than the lease lasts: it has ended when the host wakes up, whatever the other clocks show.
#[test]
fn le_07_a_lease_that_ended_in_suspend() {
    let clock = SimClock::new(1);
    let db = open(&SimDisk::new(), &clock);
    let end = clock.boot() + HOUR;
    let mut watch = leased(&db, 7, HOUR);
    let wakes = clock.await_sleep(end);
    clock.suspend(2 * HOUR);
    await_end(&mut watch);
    assert_eq!(clock.wakes(), wakes + 1);
}

/// Only a deadline before the one that is waited for is a reason to look again.
#[test]
fn le_07_an_earlier_lease_is_waited_for_instead() {
    let clock = SimClock::new(1);
    let db = open(&SimDisk::new(), &clock);
    let start = clock.boot();
    let mut hour = leased(&db, 7, HOUR);
    let wakes = clock.await_sleep(start + HOUR);
    let mut longer = leased(&db, 8, 2 * HOUR);
    db.lease(7).keep_alive().unwrap();
    assert_eq!(clock.wakes(), wakes, "neither changes what comes first");
    let mut second = leased(&db, 9, S);
    assert_eq!(clock.await_sleep(start + S), wakes + 1);
    clock.advance(S);
    await_end(&mut second);
    assert_eq!(clock.await_sleep(start + HOUR), wakes + 2);
    // Kept alive, it ends an hour from now, which is found out when it would have ended.
    db.lease(7).keep_alive().unwrap();
    clock.advance(HOUR - S);
    assert_eq!(clock.await_sleep(start + HOUR + S), wakes + 3);
    clock.advance(S);
    await_end(&mut hour);
    assert_eq!(clock.await_sleep(start + 2 * HOUR), wakes + 4);
    // The last one is revoked: nobody waits any more.
    db.lease(8).revoke().unwrap();
    await_end(&mut longer);
    db.close().unwrap();
    assert_eq!(clock.wakes(), wakes + 5);
}

/// Closing wakes who sleeps, and so does a store that fails.
#[test]
fn closing_ends_the_sleep() {
    let clock = SimClock::new(1);
    let db = open(&SimDisk::new(), &clock);
    let end = clock.boot() + HOUR;
    drop(leased(&db, 7, HOUR));
    let wakes = clock.await_sleep(end);
    db.close().unwrap();
    assert_eq!(clock.wakes(), wakes + 1);
}

/// Waits until the thread that keeps the session alive, which was granted or renewed then, sleeps until it is due again.
fn await_renewal(clock: &SimClock, renewed: Duration) -> u64 {
    clock.await_sleep(renewed + HOUR / 3)
}

/// The wait for a renewal stood still while the host slept. So the session ended, though the host slept for less than
/// it lasts and there was time enough to renew it.
#[test]
fn co_01_renewed_after_a_suspend_that_is_shorter_than_it() {
    let clock = SimClock::new(1);
    let db = open(&SimDisk::new(), &clock);
    let session = db.session(HOUR).unwrap();
    let mut renewed = clock.boot();
    await_renewal(&clock, renewed);
    // The first renewal waits for the disk, and is looked after meanwhile.
    clock.advance(HOUR / 3);
    renewed += HOUR / 3;
    await_renewal(&clock, renewed);
    for _ in 0..3 {
        clock.suspend(HOUR - S);
        renewed += HOUR - S;
        await_renewal(&clock, renewed);
        assert!(session.is_alive());
    }
    assert_eq!(db.lease(session.lease()).time_to_live().unwrap().unwrap().remaining, HOUR);
    // One that is longer ends it, and its owner finds out.
    clock.suspend(HOUR);
    assert!(session.done().wait_timeout(LONG), "it is told");
    assert!(!session.is_alive());
    db.close().unwrap();
}

/// A session wakes nobody until it is to be renewed, and one that is due before it is not kept waiting.
#[test]
fn co_01_a_session_wakes_nobody_before_its_renewal() {
    let clock = SimClock::new(1);
    let db = open(&SimDisk::new(), &clock);
    let start = clock.boot();
    let hour = db.session(HOUR).unwrap();
    // The lease's end is waited for, too, by the thread that ends leases.
    clock.await_sleep(start + HOUR);
    let wakes = await_renewal(&clock, start);
    clock.advance(HOUR / 3 - 2 * S);
    assert_eq!(clock.wakes(), wakes);
    let brief = db.session(3 * S).unwrap();
    clock.await_sleep(clock.boot() + S);
    brief.close().unwrap();
    clock.advance(2 * S - ms(1));
    await_renewal(&clock, start);
    assert!(hour.is_alive());
    clock.advance(ms(1));
    await_renewal(&clock, start + HOUR / 3);
    hour.close().unwrap();
    db.close().unwrap();
}

fn aged(db: &Db, name: &str, age: Duration) -> Cursor {
    db.cursor(name, prefix("a")).max_age(age).at(1).create().unwrap()
}

fn is_lapsed(cursor: &Cursor) -> bool {
    cursor.status().unwrap().lapsed
}

/// A cursor that was over its age held compaction on until somebody ordered another one, or a flush or merge came.
#[test]
fn x_04_max_age_passes_by_the_clock() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open(&disk, &clock);
    let start = clock.boot();
    let (slow, slower) = (aged(&db, "slow", ms(100)), aged(&db, "slower", 10 * S));
    let ageless = db.cursor("ageless", prefix("b")).at(1).create().unwrap();
    for value in ["1", "2", "3"] {
        db.put("a", value).unwrap();
    }
    ageless.advance(1, 4).unwrap();
    assert_eq!(db.compact(4).unwrap().compact_revision, 2);
    // The last millisecond is the cursor's.
    let wakes = clock.await_sleep(start + ms(101));
    clock.advance(ms(100));
    assert_eq!((clock.wakes(), is_lapsed(&slow)), (wakes, false));
    clock.advance(ms(1));
    assert_eq!(clock.await_sleep(start + 10 * S + ms(1)), wakes + 1);
    assert_eq!((is_lapsed(&slow), is_lapsed(&slower)), (true, false));
    assert_eq!(db.compact_revision(), 2, "the other one holds it");
    // To move, be it to where it stands, starts its time anew; what is waited for is looked at again, not sooner.
    slower.advance(1, 1).unwrap();
    clock.advance(10 * S - ms(100));
    assert_eq!(clock.await_sleep(start + 10 * S + ms(102)), wakes + 2);
    // So does an open.
    db.close().unwrap();
    let db = open(&disk, &clock);
    let slower = db.open_cursor("slower").unwrap();
    clock.await_sleep(start + 10 * S + ms(102));
    assert!(!is_lapsed(&slower));
    db.grant_with_id(7, HOUR).unwrap();
    let lease_ends = clock.boot() + HOUR;
    clock.suspend(S);
    clock.await_sleep(lease_ends);
    assert_eq!((is_lapsed(&slower), db.compact_revision().get()), (true, 4));
}

/// One that holds nothing is not waited for, whatever its age, and neither is one without.
#[test]
fn x_04_who_holds_nothing_is_not_waited_for() {
    let clock = SimClock::new(1);
    let db = open(&SimDisk::new(), &clock);
    let (aged, ageless) = (aged(&db, "aged", S), db.cursor("ageless", prefix("b")).at(1).create().unwrap());
    for value in ["1", "2", "3"] {
        db.put("a", value).unwrap();
    }
    aged.advance(1, 4).unwrap();
    assert_eq!(db.compact(3).unwrap().compact_revision, 2, "the ageless one holds it");
    let wakes = clock.wakes();
    clock.advance(HOUR);
    ageless.advance(1, 4).unwrap();
    assert_eq!((db.compact_revision().get(), is_lapsed(&aged), clock.wakes()), (3, false, wakes));
    db.close().unwrap();
}
