//! Bugs that the suite found, each as a small test.

use std::time::Duration;

use etclite::io::sim::{Fault, FaultKind, Image, SimClock, SimDisk};
use etclite::io::{Clock, IoSite};

use etclite::testing::expire;
use etclite::{Health, PutOptions, prefix};

use super::verify::{clock_at, rebooted};
use super::workload::{knobs, open_store, pull_the_plug};

/// A flush moves the checkpoint to a frame that no later frame proves. Recovery copied that frame into a segment which
/// claimed to begin after the checkpoint, so that the next open found it not to continue the log.
#[test]
fn a_flush_and_two_kills_leave_a_store_that_opens() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_store(&disk, &clock, knobs(1)).unwrap();
    db.put("key", "value").unwrap();
    db.flush().unwrap();
    pull_the_plug(&disk, db);
    for _ in 0..2 {
        let db = open_store(&disk, &clock, knobs(1)).unwrap();
        assert!(db.check().unwrap().is_clean());
        assert_eq!(db.get("key").unwrap().unwrap().value, "value");
        pull_the_plug(&disk, db);
    }
}

/// A crash during creation may leave garbage where the first segment was being filled. That is not a log.
#[test]
fn a_store_that_died_in_the_making_is_made_again() {
    let mut image = Image::new();
    image.insert("run/x", b"");
    image.remove("run/x");
    image.insert("log/0000000000000001.log", &[0xa5; 8192]);
    let disk = SimDisk::from_image(image);
    let db = open_store(&disk, &SimClock::new(1), knobs(1)).unwrap();
    assert_eq!(db.revision().get(), 1);
}

/// Leases that ended before the host booted have deadlines that its clock cannot show. They ended in the order of their
/// ids instead of that of their deadlines.
#[test]
fn leases_that_ended_before_a_boot_end_in_order() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_store(&disk, &clock, knobs(1)).unwrap();
    for (id, seconds) in [(1, 3), (2, 1), (3, 2)] {
        db.grant_with_id(id, Duration::from_secs(seconds)).unwrap();
        db.put_with(format!("{id}"), "", PutOptions::new().lease(id)).unwrap();
    }
    pull_the_plug(&disk, db);
    clock.advance(Duration::from_secs(60));
    // Nor does another kill in between change it.
    pull_the_plug(&disk, open_store(&disk, &clock_at(rebooted(clock.now())), knobs(1)).unwrap());
    let db = open_store(&disk, &clock_at(rebooted(clock.now())), knobs(1)).unwrap();
    let mut watch = db.watch(prefix("")).start().unwrap();
    expire(&db).unwrap();
    let mut ended = Vec::new();
    while let Some(batch) = watch.try_next().unwrap() {
        ended.extend(batch.events().iter().map(|event| event.kv.key.clone()));
    }
    assert_eq!(ended, ["2", "3", "1"]);
}

/// A closing frame whose sync failed is in the page cache alone. The next open took it for durable and sealed it in; once
/// the power went the store was refused.
#[test]
fn a_closing_frame_that_was_not_synced_proves_nothing_of_itself() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_store(&disk, &clock, knobs(1)).unwrap();
    db.put("key", "value").unwrap();
    disk.fail(Fault { site: Some(IoSite::LogClose), nth: 1, kind: FaultKind::SyncLosesData, forever: false });
    db.close().unwrap_err();
    drop(db);
    pull_the_plug(&disk, open_store(&disk, &clock, knobs(1)).unwrap());
    let disk = SimDisk::from_image(disk.record().durable_at(disk.position()));
    let db = open_store(&disk, &clock, knobs(1)).unwrap();
    assert_eq!(db.get("key").unwrap().unwrap().value, "value");
}

/// A flush that failed for another reason than a full disk left a store that called itself well and refused all later
/// flushes.
#[test]
fn a_failed_flush_poisons() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_store(&disk, &clock, knobs(1)).unwrap();
    db.put("key", "value").unwrap();
    disk.fail(Fault { site: Some(IoSite::CatalogWrite), nth: 1, kind: FaultKind::Eio, forever: false });
    db.flush().unwrap_err();
    assert!(matches!(db.health(), Health::Poisoned(_)));
}
