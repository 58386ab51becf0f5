//! Elections.

use super::*;
use crate::coordination::election::*;

type Election = Shared<etclite_election>;

fn election(session: Shared<etclite_session>) -> Election {
    // SAFETY: the name and the out parameters live until it returns.
    made(|election, err| unsafe { etclite_election_new(session.get(), b"e".as_ptr(), 1, election, err) })
}

fn campaign(election: Election, value: &str, timeout_ms: i64) -> i32 {
    let len = value.len();
    // SAFETY: the value lives until it returns.
    status(|err| unsafe { etclite_election_campaign(election.get(), value.as_ptr(), len, timeout_ms, err) })
}

fn proclaim(election: Election, value: &str) -> i32 {
    // SAFETY: the value lives until it returns.
    status(|err| unsafe { etclite_election_proclaim(election.get(), value.as_ptr(), value.len(), err) })
}

fn resign(election: Election) -> i32 {
    // SAFETY: a place for the error.
    status(|err| unsafe { etclite_election_resign(election.get(), err) })
}

fn cancel(election: Election) -> i32 {
    // SAFETY: a place for the error.
    status(|err| unsafe { etclite_election_cancel(election.get(), err) })
}

fn free(election: Election) -> i32 {
    // SAFETY: it takes any pointer.
    unsafe { etclite_election_free(election.get()) }
}

/// The proposal that a call answers, or its status without a result.
fn told(call: impl FnOnce(*mut *mut etclite_result, *mut etclite_error) -> i32) -> Result<String, i32> {
    let mut result = ptr::dangling_mut();
    match status(|err| call(&raw mut result, err)) {
        ETCLITE_OK => Ok(only(Shared(result)).1),
        no => {
            assert!(result.is_null(), "a result with {no}");
            Err(no)
        }
    }
}

fn leader(election: Election) -> Result<String, i32> {
    // SAFETY: the out parameters live until it returns.
    told(|result, err| unsafe { etclite_election_leader(election.get(), result, err) })
}

fn observe(election: Election, timeout_ms: i64) -> Result<String, i32> {
    // SAFETY: the out parameters live until it returns.
    told(|result, err| unsafe { etclite_election_observe(election.get(), timeout_ms, result, err) })
}

#[test]
fn co_08_the_first_leads_until_it_resigns_and_then_the_next() {
    let db = memory();
    let rust = rust(db);
    let (first, second) = (election(session(db)), election(session(db)));
    assert_eq!(leader(second), Err(ETCLITE_NOT_FOUND));
    assert_eq!(
        (proclaim(first, "x"), resign(first)),
        (ETCLITE_E_NOT_LEADER_OF_ELECTION, ETCLITE_E_NOT_LEADER_OF_ELECTION)
    );
    assert_eq!(campaign(first, "one", -1), ETCLITE_OK);
    assert_eq!(campaign(second, "two", 1), ETCLITE_TIMEOUT);
    assert_eq!(campaign(second, "two", 0), ETCLITE_TIMEOUT);
    assert_eq!(line(&rust, "e").len(), 1, "who was not elected in time stands no more");
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || campaign(second, "two", -1));
        await_line(&rust, "e", 2);
        assert_eq!(leader(second), Ok("one".to_owned()));
        assert_eq!(campaign(second, "three", -1), ETCLITE_E_MISUSE);
        assert_eq!((proclaim(second, "three"), resign(second)), (ETCLITE_E_MISUSE, ETCLITE_E_MISUSE));
        assert_eq!(resign(first), ETCLITE_OK);
        assert_eq!(waits.join().unwrap(), ETCLITE_OK);
    });
    assert_eq!(leader(first), Ok("two".to_owned()));
    assert_eq!(
        (proclaim(first, "x"), resign(first)),
        (ETCLITE_E_NOT_LEADER_OF_ELECTION, ETCLITE_E_NOT_LEADER_OF_ELECTION)
    );
    assert_eq!(leader(first), Ok("two".to_owned()), "nothing of others was given up");
    close(db);
}

#[test]
fn b_026_a_proclamation_keeps_lease_and_place_and_the_key_dies_with_the_session() {
    let db = memory();
    let rust = rust(db);
    let session = session(db);
    let election = election(session);
    assert_eq!(campaign(election, "one", -1), ETCLITE_OK);
    let before = rust.leader("e").unwrap().unwrap();
    assert_eq!(proclaim(election, "two"), ETCLITE_OK);
    // Campaigning again is a proclamation, too, and no second candidacy.
    let after = rust.leader("e").unwrap().unwrap();
    assert_eq!((after.create_revision, after.lease), (before.create_revision, before.lease));
    assert_eq!(after.lease.get(), lease(session));
    assert_eq!(campaign(election, "three", -1), ETCLITE_OK);
    assert_eq!((leader(election), line(&rust, "e").len()), (Ok("three".to_owned()), 1));
    rust.lease(lease(session)).revoke().unwrap();
    assert_eq!(leader(election), Err(ETCLITE_NOT_FOUND));
    assert_eq!(proclaim(election, "four"), ETCLITE_E_NOT_LEADER_OF_ELECTION);
    assert_eq!(campaign(election, "four", -1), ETCLITE_E_SESSION_EXPIRED);
    close(db);
}

#[test]
fn b_016_a_candidate_that_is_canceled_or_freed_stands_no_more() {
    let db = memory();
    let rust = rust(db);
    let (leading, canceled, freed) = (election(session(db)), election(session(db)), election(session(db)));
    assert_eq!(campaign(leading, "one", -1), ETCLITE_OK);
    std::thread::scope(|scope| {
        let waits = [canceled, freed].map(|election| scope.spawn(move || campaign(election, "two", -1)));
        await_line(&rust, "e", 3);
        assert_eq!((cancel(canceled), free(freed)), (ETCLITE_OK, ETCLITE_OK));
        assert_eq!(waits.map(|wait| wait.join().unwrap()), [ETCLITE_E_CANCELED; 2]);
    });
    assert_eq!(line(&rust, "e").len(), 1);
    assert_eq!((campaign(canceled, "two", -1), observe(canceled, -1)), (ETCLITE_E_CANCELED, Err(ETCLITE_E_CANCELED)));
    assert_eq!(cancel(leading), ETCLITE_OK);
    assert_eq!(proclaim(leading, "still"), ETCLITE_OK, "who leads goes on leading");
    assert_eq!(free(leading), ETCLITE_OK);
    assert_eq!(leader(canceled), Err(ETCLITE_NOT_FOUND), "freeing resigns");
    assert_eq!((free(freed), free(canceled)), (ETCLITE_E_MISUSE, ETCLITE_OK));
    close(db);
}

#[test]
fn an_observer_is_told_of_each_leader_and_each_proposal_once() {
    let db = memory();
    let rust = rust(db);
    let (first, second, observer) = (election(session(db)), election(session(db)), election(session(db)));
    assert_eq!(observe(observer, 0), Err(ETCLITE_TIMEOUT), "nobody leads");
    assert_eq!(campaign(first, "one", -1), ETCLITE_OK);
    assert_eq!(proclaim(first, "two"), ETCLITE_OK);
    assert_eq!((observe(observer, 0), observe(observer, -1)), (Ok("one".to_owned()), Ok("two".to_owned())));
    assert_eq!(observe(observer, 1), Err(ETCLITE_TIMEOUT));
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || observe(observer, -1));
        assert_eq!((resign(first), campaign(second, "three", -1)), (ETCLITE_OK, ETCLITE_OK));
        assert_eq!(waits.join().unwrap(), Ok("three".to_owned()));
    });
    // A compaction passes what was not asked for: that is skipped, and what was told is not told again.
    assert_eq!((proclaim(second, "four"), proclaim(second, "five")), (ETCLITE_OK, ETCLITE_OK));
    rust.compact(rust.revision()).unwrap();
    assert_eq!((observe(observer, 0), observe(observer, 0)), (Ok("five".to_owned()), Err(ETCLITE_TIMEOUT)));
    rust.put("e/zz", "not the first").unwrap();
    rust.put("e/zz", "nor now").unwrap();
    rust.compact(rust.revision()).unwrap();
    assert_eq!(observe(observer, 0), Err(ETCLITE_TIMEOUT));
    close(db);
}

#[test]
fn b_057_waits_of_an_election_end_with_the_store_and_when_canceled() {
    for canceled in [false, true] {
        let db = memory();
        let rust = rust(db);
        let [leading, candidate, observer] = [(); 3].map(|()| election(session(db)));
        assert_eq!(campaign(leading, "one", -1), ETCLITE_OK);
        assert_eq!(observe(observer, -1), Ok("one".to_owned()));
        std::thread::scope(|scope| {
            let stands = scope.spawn(move || campaign(candidate, "two", -1));
            let observes = scope.spawn(move || observe(observer, -1));
            await_line(&rust, "e", 2);
            if canceled {
                assert_eq!((cancel(candidate), cancel(observer)), (ETCLITE_OK, ETCLITE_OK));
            } else {
                close(db);
            }
            let expected = if canceled { ETCLITE_E_CANCELED } else { ETCLITE_E_CLOSED };
            assert_eq!(stands.join().unwrap(), expected);
            assert_eq!(observes.join().unwrap(), Err(expected));
        });
        if canceled {
            close(db);
        }
        assert_eq!((campaign(leading, "x", -1), leader(leading)), (ETCLITE_E_CLOSED, Err(ETCLITE_E_CLOSED)));
        assert_eq!([leading, candidate, observer].map(free), [ETCLITE_OK; 3]);
    }
}
