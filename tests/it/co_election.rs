//! CO-08: elections, and what observers see of them.

use std::sync::mpsc::channel;
use std::time::Duration;

use etclite::coordination::{Cancel, LeaderObserver, WaitOptions};
use etclite::testing::renew;
use etclite::{Db, Error, Put};

use super::co_mutex::{await_line, await_waiters, session};
use super::gate::LONG;
use super::rig::{Kind, Store, everywhere, ms};

fn leader(db: &Db) -> Option<String> {
    db.leader("e").unwrap().map(|kv| String::from_utf8(kv.value.to_vec()).unwrap())
}

/// All that an observer has now.
fn seen(observer: &mut LeaderObserver) -> Vec<String> {
    let next = std::iter::from_fn(|| observer.try_next().unwrap());
    next.map(|kv| String::from_utf8(kv.value.to_vec()).unwrap()).collect()
}

#[test]
fn co_08_campaign_proclaim_resign() {
    everywhere(|store| {
        let db = &store.db;
        let one = session(db);
        let election = one.election("e");
        assert_eq!(election.leader().unwrap(), None);
        let lead = election.campaign("v1").unwrap();
        let kv = election.leader().unwrap().unwrap();
        assert_eq!((&kv.key, kv.create_revision, kv.lease), (lead.key(), lead.revision(), one.lease()));
        assert_eq!((kv.key, kv.value), (format!("e/{}", one.lease()).into(), "v1".into()));
        lead.proclaim("v2").unwrap();
        // B-026: lease, place and creation stay.
        let kv = election.leader().unwrap().unwrap();
        assert_eq!((kv.create_revision, kv.version, kv.lease), (lead.revision(), 2, one.lease()));
        assert_eq!(db.lease(one.lease()).time_to_live().unwrap().unwrap().keys, [lead.key()]);
        lead.resign().unwrap();
        assert_eq!(leader(db), None);
        assert!(matches!(lead.resign(), Err(Error::NotLeaderOfElection)));
        assert!(matches!(lead.proclaim("v3"), Err(Error::NotLeaderOfElection)));
        let lead = election.campaign("v4").unwrap();
        one.close().unwrap();
        assert_eq!(leader(db), None);
        assert!(matches!(lead.proclaim("v5"), Err(Error::NotLeaderOfElection)));
        assert!(matches!(lead.resign(), Err(Error::NotLeaderOfElection)));
        assert!(matches!(election.campaign("v6"), Err(Error::SessionExpired)));
    });
}

#[test]
fn co_08_campaigning_again_proclaims() {
    everywhere(|store| {
        let one = session(&store.db);
        let first = one.election("e").campaign("a").unwrap();
        let revision = store.db.revision();
        let second = one.election("e").campaign("a").unwrap();
        assert_eq!(store.db.revision(), revision);
        assert_eq!((first.key(), first.revision()), (second.key(), second.revision()));
        let third = one.election("e").campaign("b").unwrap();
        assert_eq!((leader(&store.db), third.revision()), (Some("b".into()), first.revision()));
        first.resign().unwrap();
        assert!(matches!(third.proclaim("c"), Err(Error::NotLeaderOfElection)));
    });
}

#[test]
fn co_08_resume() {
    everywhere(|store| {
        let one = session(&store.db);
        let lead = one.election("e").campaign("a").unwrap();
        let (key, revision) = (lead.key().clone(), lead.revision());
        lead.leave();
        let resumed = one.election("e").resume(&key, revision);
        resumed.proclaim("b").unwrap();
        assert_eq!(leader(&store.db), Some("b".into()));
        let stale = one.election("e").resume(&key, revision - 1);
        assert!(matches!(stale.proclaim("c"), Err(Error::NotLeaderOfElection)));
        drop(stale);
        assert_eq!(leader(&store.db), Some("b".into()));
        resumed.resign().unwrap();
        assert_eq!(leader(&store.db), None);
    });
}

#[test]
fn co_08_candidate_learns_that_its_session_ended() {
    let store = Store::new(Kind::Memory);
    let lead = session(&store.db).election("e").campaign("a").unwrap();
    let candidate = store.db.session(ms(5_000)).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| candidate.election("e").campaign("b").map(drop));
        await_line(&store.db, "e", 2);
        store.advance_ms(5_000);
        assert!(matches!(waiter.join().unwrap(), Err(Error::SessionExpired)));
        lead.proclaim("still").unwrap();
    });
}

#[test]
fn co_08_who_gives_up_stands_no_more() {
    let store = Store::new(Kind::Memory);
    let lead = session(&store.db).election("e").campaign("a").unwrap();
    let (candidate, cancel) = (session(&store.db), Cancel::new());
    assert!(candidate.election("e").campaign_timeout("b", ms(5)).unwrap().is_none());
    await_line(&store.db, "e", 1);
    let options = WaitOptions::new().cancel(&cancel);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| candidate.election("e").campaign_with("b", &options).map(drop));
        await_line(&store.db, "e", 2);
        cancel.cancel();
        assert!(matches!(waiter.join().unwrap(), Err(Error::WaitCanceled)));
        await_line(&store.db, "e", 1);
    });
    drop(lead);
    assert_eq!(leader(&store.db), None);
}

/// CO-05 of elections: two threads stand with one key, and the one that goes leaves it to the other.
#[test]
fn co_08_a_thread_that_gives_up_leaves_the_candidacy_to_the_other() {
    let store = Store::new(Kind::Memory);
    let lead = session(&store.db).election("e").campaign("a").unwrap();
    let (candidate, cancel) = (session(&store.db), Cancel::new());
    let options = WaitOptions::new().cancel(&cancel);
    std::thread::scope(|scope| {
        let gone = scope.spawn(|| candidate.election("e").campaign_with("b", &options).map(drop));
        await_waiters(&store.db, 1);
        let patient = scope.spawn(|| candidate.election("e").campaign("c"));
        await_waiters(&store.db, 2);
        // A proposal that cannot be made is no reason to stand no more.
        assert!(candidate.election("e").campaign(vec![0; 40 << 20]).is_err());
        cancel.cancel();
        assert!(matches!(gone.join().unwrap(), Err(Error::WaitCanceled)));
        await_line(&store.db, "e", 2);
        lead.resign().unwrap();
        let lead = patient.join().unwrap().unwrap();
        assert_eq!(leader(&store.db), Some("c".into()));
        lead.resign().unwrap();
    });
    assert_eq!(leader(&store.db), None);
}

#[test]
fn co_08_observers_see_every_leader_and_proposal_in_order() {
    everywhere(|store| {
        let db = &store.db;
        let mut early = db.observe_leader("e").unwrap();
        let [one, two, three] = [session(db), session(db), session(db)];
        let put = |session: &etclite::Session, value: &str| {
            db.txn().then([Put::new(format!("e/{}", session.lease()), value).lease(session.lease())]).commit().unwrap();
        };
        put(&one, "1");
        put(&two, "2");
        put(&three, "3");
        let mut late = db.observe_leader("e").unwrap();
        put(&one, "1a");
        // What candidates say is nobody's business yet.
        put(&three, "3a");
        put(&one, "1b");
        store.settle();
        db.compact(db.revision() - 2).unwrap();
        assert_eq!(late.try_next().unwrap().unwrap().value, "1");
        two.close().unwrap();
        put(&one, "1b");
        one.close().unwrap();
        put(&two_again(db), "2 again");
        three.close().unwrap();
        assert_eq!(seen(&mut late), ["1a", "1b", "1b", "3a", "2 again"]);
        // Passed by the compaction: told, instead of a gap.
        assert!(matches!(early.try_next(), Err(Error::Compacted { .. })));
        assert!(early.next().is_none());
    });
}

/// A session that nobody closes during the test.
fn two_again(db: &Db) -> etclite::Session {
    let session = session(db);
    session.orphan();
    session
}

#[test]
fn co_08_observing_ends_as_a_watch_does() {
    let store = Store::new(Kind::Memory);
    let mut observer = store.db.observe_leader("e").unwrap();
    assert_eq!(observer.next_timeout(ms(1)).unwrap(), None);
    let lead = session(&store.db).election("e").campaign("a").unwrap();
    assert_eq!(observer.next_timeout(LONG).unwrap().unwrap().key, lead.key());
    observer.canceller().cancel();
    assert!(matches!(observer.next(), Some(Err(Error::Canceled))));
    assert!(observer.next().is_none());
    let mut observer = store.db.observe_leader("e").unwrap();
    assert_eq!(seen(&mut observer), ["a"]);
    store.db.close().unwrap();
    assert!(matches!(observer.next(), Some(Err(Error::Closed))));
}

/// Three candidates, each of which leads once, and observers that see all three, in the order in which they led.
#[test]
fn co_08_three_candidates() {
    let db = Db::in_memory().unwrap();
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        let observers: Vec<_> = (0..3)
            .map(|_| {
                let observer = db.observe_leader("e").unwrap();
                scope.spawn(move || observer.take(3).map(|kv| kv.unwrap().value).collect::<Vec<_>>())
            })
            .collect();
        for number in 0..3 {
            let (sender, db) = (sender.clone(), &db);
            scope.spawn(move || {
                let session = session(db);
                let lead = session.election("e").campaign(format!("candidate {number}")).unwrap();
                sender.send((lead.revision(), format!("candidate {number}"))).unwrap();
                lead.resign().unwrap();
            });
        }
        let led: Vec<_> = (0..3).map(|_| receiver.recv_timeout(LONG).unwrap()).collect();
        assert!(led.is_sorted());
        for observer in observers {
            assert_eq!(observer.join().unwrap(), led.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>());
        }
    });
}

#[test]
fn co_08_a_lead_lasts_as_long_as_its_session() {
    let store = Store::new(Kind::Memory);
    let lead = store.db.session(ms(3_000)).unwrap().election("e").campaign("a").unwrap();
    for _ in 0..5 {
        store.clock.advance(ms(1_000));
        renew(&store.db);
    }
    lead.proclaim("b").unwrap();
    store.advance_ms(3_000);
    assert_eq!(leader(&store.db), None);
    assert!(lead.proclaim("c").is_err());
    assert!(Duration::from_millis(3_000) == lead.session().ttl());
}
