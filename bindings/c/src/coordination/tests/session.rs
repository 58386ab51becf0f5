//! Sessions.

use super::*;

fn expired(session: Shared<etclite_session>) -> bool {
    let mut expired = -1;
    // SAFETY: out parameters that live until it returns.
    assert_eq!(status(|err| unsafe { etclite_session_expired(session.get(), &raw mut expired, err) }), ETCLITE_OK);
    assert!(matches!(expired, 0 | 1));
    expired == 1
}

#[test]
fn a_session_has_a_lease_of_a_minute_that_goes_with_it_if_it_is_revoked() {
    let db = memory();
    let rust = rust(db);
    // SAFETY: null options are all defaults.
    let by_default = made(|session, err| unsafe { etclite_session_open(db.get(), ptr::null(), session, err) });
    for (session, granted) in [(by_default, 60_000), (session_with(db, session_options(1_234, 0, 0)), 1_234)] {
        let id = lease(session);
        let status = rust.lease(id).time_to_live().unwrap().unwrap();
        assert_eq!(status.granted, Duration::from_millis(granted));
        assert!(!expired(session));
        assert_eq!(end_session(session, 1), ETCLITE_OK);
        assert!(rust.lease(id).time_to_live().unwrap().is_none(), "the lease outlives its session");
        assert_eq!(end_session(session, 1), ETCLITE_E_MISUSE);
    }
    close(db);
}

#[test]
fn a_session_takes_over_a_lease_and_leaves_it_behind() {
    let db = memory();
    let rust = rust(db);
    rust.grant_with_id(7, LONG).unwrap();
    let taken = session_with(db, session_options(0, 7, 0));
    assert_eq!(lease(taken), 7);
    assert_eq!(end_session(taken, 0), ETCLITE_OK);
    assert!(rust.lease(7).time_to_live().unwrap().is_some(), "orphaned, not revoked");
    let mut session = ptr::dangling_mut();
    let options = session_options(0, 8, 0);
    // SAFETY: options and out parameters live until it returns.
    let open = |err| unsafe { etclite_session_open(db.get(), &raw const options, &raw mut session, err) };
    assert_eq!(status(open), ETCLITE_E_LEASE_NOT_FOUND);
    assert!(session.is_null());
    close(db);
}

#[test]
fn a_session_whose_lease_is_gone_has_expired() {
    let db = memory();
    let session = session(db);
    rust(db).lease(lease(session)).revoke().unwrap();
    assert!(expired(session));
    assert_eq!(end_session(session, 1), ETCLITE_OK, "there is nothing to revoke");
    close(db);
}

#[test]
fn a_session_of_a_closed_store_answers_closed_and_can_be_closed() {
    for revoke in [0, 1] {
        let db = memory();
        let session = session(db);
        close(db);
        let (mut id, mut expired) = (0, 0);
        // SAFETY: out parameters that live until they return.
        let answers = unsafe {
            [
                status(|err| etclite_session_lease(session.get(), &raw mut id, err)),
                status(|err| etclite_session_expired(session.get(), &raw mut expired, err)),
            ]
        };
        assert_eq!(answers, [ETCLITE_E_CLOSED; 2]);
        assert_eq!(end_session(session, revoke), ETCLITE_OK);
    }
}

#[test]
fn arguments_of_a_session_are_checked_before_anything_is_done() {
    let db = memory();
    let mut session = ptr::dangling_mut();
    let mut open = |options: etclite_session_options| {
        // SAFETY: options and out parameters live until it returns.
        status(|err| unsafe { etclite_session_open(db.get(), &raw const options, &raw mut session, err) })
    };
    assert_eq!(open(session_options(-1, 0, 0)), ETCLITE_E_INVALID_ARGUMENT);
    assert_eq!(open(session_options(0, 0, -1)), ETCLITE_E_INVALID_ARGUMENT);
    assert_eq!(open(session_options(0, 0, 60_001)), ETCLITE_E_REQUEST_TOO_LARGE);
    assert_eq!(open(session_options(i64::MAX, 0, 0)), ETCLITE_E_LEASE_TTL_TOO_LARGE);
    assert_eq!(
        open(etclite_session_options { struct_size: 8, ..session_options(0, 0, 0) }),
        ETCLITE_E_INVALID_ARGUMENT
    );
    assert!(session.is_null());
    assert_eq!(rust(db).stats().leases, 0);
    let session = super::session(db);
    assert_eq!(end_session(session, 2), ETCLITE_E_INVALID_ARGUMENT);
    assert_eq!(end_session(session, 1), ETCLITE_OK, "a call that was refused did not end it");
    assert_eq!(end_session(Shared(ptr::null_mut()), 1), ETCLITE_OK);
    // SAFETY: null is refused.
    assert_eq!(unsafe { etclite_session_lease(session.get(), ptr::null_mut(), ptr::null_mut()) }, ETCLITE_E_MISUSE);
    close(db);
}
