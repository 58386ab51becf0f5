//! What fences and puts for a time promise while a sync takes its time: on real threads, with the sync held at a gate.

use std::sync::Arc;
use std::thread;

use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk};
use etclite::testing::{expire, open_on, with_knobs};
use etclite::{Db, Error, Health, LeaseId, Options, PutOptions, Token};

use super::gate::{Gate, GateDisk};
use super::rig::{ROOMY, left_ms, ms, open_image};

/// A store whose syncs can be held up, on a clock that stands still.
fn gated() -> (SimDisk, SimClock, Arc<Gate>, Db) {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let gated = GateDisk::new(&disk, IoSite::LogSync);
    let gate = gated.gate();
    let db = open_on(Arc::new(gated), Arc::new(clock.clone()), with_knobs(Options::new(), ROOMY)).unwrap();
    (disk, clock, gate, db)
}

/// The time of a put runs from its publication: what a slow sync takes is not the key's loss, after a crash neither.
#[test]
fn x_06_the_time_of_a_put_runs_from_its_publication() {
    let (disk, clock, gate, db) = gated();
    gate.shut();
    thread::scope(|scope| {
        let putting = scope.spawn(|| db.put_with_ttl("a", "", ms(1_600)).unwrap());
        gate.await_call();
        clock.advance(ms(300));
        gate.open();
        putting.join().unwrap();
    });
    let lease = db.get("a").unwrap().unwrap().lease.get();
    assert_eq!(left_ms(&db, lease), Some(1_600));
    let crashed = open_image(disk.record().durable_at(disk.position()), &clock, ROOMY).unwrap();
    assert_eq!(left_ms(&crashed, lease), Some(1_600));
}

/// The sync of a put takes so long that what is left of its time must be stored once more, and that fails. The put itself
/// is durable, and must not be called undone.
#[test]
fn ch_12_a_put_that_stands_is_no_failure() {
    let (disk, clock, gate, db) = gated();
    gate.shut();
    let put = thread::scope(|scope| {
        let putting = scope.spawn(|| db.put_with_ttl("a", "", ms(1_600)));
        gate.await_call();
        clock.advance(ms(300));
        disk.fail(Fault { site: Some(IoSite::LogSync), nth: 2, kind: FaultKind::Eio, forever: false });
        gate.open();
        putting.join().unwrap()
    });
    assert_eq!(put.unwrap().revision, 2);
    assert!(matches!(db.health(), Health::Poisoned(_)));
    let crashed = open_image(disk.record().durable_at(disk.position()), &clock, ROOMY).unwrap();
    assert!(crashed.get("a").unwrap().is_some());
}

/// So it is with a grant, which came back as an error though the lease was there.
#[test]
fn ch_12_a_grant_that_stands_is_no_failure() {
    let (disk, clock, gate, db) = gated();
    gate.shut();
    let lease = thread::scope(|scope| {
        let granting = scope.spawn(|| db.grant_with_id(7, ms(1_600)));
        gate.await_call();
        clock.advance(ms(300));
        disk.fail(Fault { site: Some(IoSite::LogSync), nth: 2, kind: FaultKind::Eio, forever: false });
        gate.open();
        granting.join().unwrap()
    });
    assert_eq!(lease.unwrap().id(), LeaseId::new(7));
    assert!(matches!(db.health(), Health::Poisoned(_)));
    let crashed = open_image(disk.record().durable_at(disk.position()), &clock, ROOMY).unwrap();
    assert!(crashed.lease(7).time_to_live().unwrap().is_some());
}

/// A put shares a hidden lease whose deadline comes while the put is being synced. Ending the lease at once would take the
/// key before it was ever seen.
#[test]
fn x_06_a_put_on_its_way_holds_off_the_end_of_its_lease() {
    let (_disk, clock, gate, db) = gated();
    db.put_with_ttl("a", "", ms(160)).unwrap();
    clock.advance(ms(8));
    gate.shut();
    thread::scope(|scope| {
        let putting = scope.spawn(|| db.put_with_ttl("b", "", ms(160)).unwrap());
        gate.await_call();
        clock.advance(ms(162));
        let ending = scope.spawn(|| expire(&db).unwrap());
        // It is due, and found so now or later; whichever it is, it ends nothing.
        (0..100).for_each(|_| thread::yield_now());
        gate.open();
        putting.join().unwrap();
        ending.join().unwrap();
    });
    let lease = db.get("b").unwrap().expect("it has just been put").lease;
    assert_eq!(db.get("a").unwrap().unwrap().lease, lease, "they share it");
    clock.advance(ms(159));
    expire(&db).unwrap();
    assert_eq!(left_ms(&db, lease.get()), Some(1));
    clock.advance(ms(1));
    expire(&db).unwrap();
    assert_eq!(db.count(..).unwrap(), 0);
}

/// The end of a lease is ordered, and its sync takes its time. A fence that fails for it must not be told so before: a
/// power cut would have the token hold again.
#[test]
fn x_01_a_refusal_waits_until_what_it_saw_is_durable() {
    let (disk, clock, gate, db) = gated();
    let lease = db.grant_with_id(7, ms(10)).unwrap();
    let revision = db.put_with("lock", "", PutOptions::new().lease(7)).unwrap().revision;
    lease.keep_alive().unwrap();
    let token = Token::new("lock", revision, 7);
    clock.advance(ms(10));
    gate.shut();
    let position = thread::scope(|scope| {
        let ending = scope.spawn(|| expire(&db).unwrap());
        gate.await_call();
        let refused = scope.spawn(|| {
            let answer = db.fenced(&token).put("a", "1");
            assert!(matches!(answer, Err(Error::SessionExpired)), "{answer:?}");
            disk.position()
        });
        (0..100).for_each(|_| thread::yield_now());
        gate.open();
        ending.join().unwrap();
        refused.join().unwrap()
    });
    // A lease that was kept alive has its whole time again after a crash: only its end can make the token fail.
    let crashed = open_image(disk.record().durable_at(position), &clock, ROOMY).unwrap();
    assert!(matches!(crashed.fenced(&token).put("a", "1"), Err(Error::SessionExpired)));
}
