//! What becomes of watches once the store is poisoned: they tell of all that was published, and then that nothing more
//! can come. They waited for ever.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk};
use etclite::testing::{merge_all, open_on, with_knobs};
use etclite::{Db, Error, Health, Options, Watch};

use super::gate::{GateDisk, LONG};
use super::rig::{ROOMY, open_sim, rev, show};

fn fail(disk: &SimDisk, site: IoSite) {
    disk.fail(Fault { site: Some(site), nth: 1, kind: FaultKind::Eio, forever: false });
}

/// What a watch delivers until it ends, which it must do with `Poisoned`, told once.
fn read_to_the_end(watch: &mut Watch) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match watch.next_timeout(LONG) {
            Ok(Some(batch)) => seen.extend(batch.events().iter().map(show)),
            Ok(None) => panic!("it waits for what cannot come, after {seen:?}"),
            Err(error) => {
                assert!(matches!(error, Error::Poisoned), "{error}");
                assert!(watch.is_ended() && watch.try_next().unwrap().is_none());
                return seen;
            }
        }
    }
}

#[test]
fn x_05_a_watch_of_a_poisoned_store_ends_once_all_is_delivered() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let mut unread = db.watch(..).start().unwrap();
    let mut polled = db.watch("other").start().unwrap();
    db.put("a", "1").unwrap();
    thread::scope(|scope| {
        let mut waiting = db.watch(..).start().unwrap();
        let waiter = scope.spawn(move || (read_to_the_end(&mut waiting), waiting.progress()));
        db.put("a", "2").unwrap();
        assert!(matches!(polled.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        fail(&disk, IoSite::LogSync);
        assert!(matches!(db.put("a", "3"), Err(Error::Indeterminate)));
        assert_eq!(waiter.join().unwrap(), (vec!["+a=2@3".to_owned()], rev(3)));
    });
    assert_eq!(read_to_the_end(&mut unread), ["+a=1@2", "+a=2@3"]);
    assert!(matches!(polled.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Some(Err(Error::Poisoned)))));
    // One that begins now has the history, and resumes exactly after the reopen.
    let mut late = db.watch(..).from(1).start().unwrap();
    assert_eq!(read_to_the_end(&mut late), ["+a=1@2", "+a=2@3"]);
    assert_eq!(late.progress(), 3);
    let mut from_now = db.watch(..).start().unwrap();
    assert!(read_to_the_end(&mut from_now).is_empty());
}

/// Something else poisons the store while a write is being synced, which then succeeds: it is told of before the end.
#[test]
fn x_05_what_was_under_way_is_delivered_before_the_end() {
    let (sim, clock) = (SimDisk::new(), SimClock::new(1));
    let gated = GateDisk::new(&sim, IoSite::LogSync);
    let gate = gated.gate();
    let db: Db = open_on(Arc::new(gated), Arc::new(clock), with_knobs(Options::new(), ROOMY)).unwrap();
    for key in ["a", "b"] {
        db.put(key, "").unwrap();
        db.flush().unwrap();
    }
    let mut watch = db.watch(..).start().unwrap();
    gate.shut();
    thread::scope(|scope| {
        let put = scope.spawn(|| db.put("c", ""));
        gate.await_call();
        fail(&sim, IoSite::CatalogWrite);
        merge_all(&db).unwrap_err();
        assert!(matches!(db.health(), Health::Poisoned(_)));
        assert!(watch.try_next().unwrap().is_none() && !watch.is_ended());
        gate.open();
        assert_eq!(put.join().unwrap().unwrap().revision, 4);
    });
    assert_eq!(read_to_the_end(&mut watch), ["+c=@4"]);
}
