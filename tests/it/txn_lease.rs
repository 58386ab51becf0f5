//! Lease operations in a txn: granting, revoking and asking for leases together with what is written.

use etclite::io::sim::{SimClock, SimDisk};
use etclite::{Applied, Compare, Db, Error, GrantOptions, GrantResponse, Invalid, LeaseId, Op, OpResponse, Options};
use etclite::{Put, PutOptions, RevokeResponse, Txn, TxnResponse};

use super::rig::{ROOMY, delete, everywhere, ids, left_ms, ms, nested, open_image, open_sim, put, rev};

fn leased(key: &str, lease: i64) -> Op {
    Put::new(key, "").lease(lease).into()
}

fn grant(id: i64) -> Op {
    Op::grant(id, ms(100))
}

fn run(db: &Db, ops: Vec<Op>) -> etclite::Result<TxnResponse> {
    db.txn().then(ops).commit()
}

#[test]
fn x_08_a_granted_lease_is_used_by_later_puts() {
    everywhere(|store| {
        let done = run(&store.db, vec![grant(7), leased("a", 7), nested(vec![leased("b", 7)])]).unwrap();
        assert_eq!(done.revision, 2);
        assert_eq!(
            done.responses[0],
            OpResponse::Grant(GrantResponse { revision: rev(1), id: LeaseId::new(7), ttl: ms(100) })
        );
        store.always(|store| {
            let status = store.db.lease(7).time_to_live().unwrap().unwrap();
            assert_eq!(
                (status.granted, status.remaining, status.keys),
                (ms(100), ms(100), vec!["a".into(), "b".into()])
            );
        });
        store.advance_ms(99);
        assert_eq!(store.contents(), ["a=", "b="]);
        store.advance_ms(1);
        assert!(store.contents().is_empty() && store.db.revision() == 3);
    });
}

#[test]
fn x_08_grants_alone_take_no_revision() {
    everywhere(|store| {
        let done = run(&store.db, vec![grant(7), Op::grant(-8, ms(5_000)), nested(vec![grant(9)])]).unwrap();
        assert_eq!((done.revision, store.db.revision()), (rev(1), rev(1)));
        store.always(|store| assert_eq!((ids(&store.db), store.db.revision()), (vec![7, 9, -8], rev(1))));
        let done = run(&store.db, vec![Op::revoke(7), Op::revoke(9)]).unwrap();
        assert_eq!(done.revision, 1, "nor do revokes of leases without keys");
        let nothing = RevokeResponse { revision: rev(1), deleted: 0 };
        assert_eq!(done.responses, vec![OpResponse::Revoke(nothing); 2]);
        store.always(|store| assert_eq!(ids(&store.db), [-8]));
    });
}

#[test]
fn x_08_a_ttl_is_granted_as_by_itself() {
    let db = Options::new().min_ttl(ms(2)).in_memory().unwrap();
    let micros = std::time::Duration::from_micros;
    let done = run(&db, vec![Op::grant(7, micros(1)), nested(vec![Op::grant(8, micros(5_001))])]).unwrap();
    let OpResponse::Grant(first) = &done.responses[0] else { panic!("{done:?}") };
    assert_eq!(first.ttl, ms(2));
    let OpResponse::Txn(inner) = &done.responses[1] else { panic!("{done:?}") };
    assert_eq!(
        inner.responses,
        [OpResponse::Grant(GrantResponse { revision: rev(1), id: LeaseId::new(8), ttl: ms(6) })]
    );
    assert_eq!(db.lease(7).time_to_live().unwrap().unwrap().granted, ms(2));
    let too_long = std::time::Duration::from_secs(9_000_000_001);
    assert!(matches!(run(&db, vec![Op::grant(9, too_long)]), Err(Error::TooLarge { .. })));
    let no_id = run(&db, vec![Op::from(GrantOptions::new(ms(5)))]);
    assert!(matches!(no_id, Err(Error::InvalidArgument(Invalid::Argument(_)))));
}

#[test]
fn x_08_revoke_deletes_its_keys_in_the_txns_revision() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        for key in ["c", "a", "b"] {
            store.put_leased(key, key, 7);
        }
        let ops = vec![put("0", ""), Op::revoke(7), put("b", "again"), put("d", "")];
        let done = run(&store.db, ops).unwrap();
        let revoke = OpResponse::Revoke(RevokeResponse { revision: rev(5), deleted: 3 });
        assert_eq!((done.revision, &done.responses[1]), (rev(5), &revoke));
        store.always(|store| {
            let events = ["+0=@5", "-a@5 was a", "-b@5 was b", "-c@5 was c", "+b=again@5", "+d=@5"];
            assert_eq!(store.events(.., 5), events);
            let kv = store.db.get("b").unwrap().unwrap();
            assert_eq!((kv.create_revision, kv.version, kv.lease), (rev(5), 1, LeaseId::NONE), "a re-creation");
            assert!(ids(&store.db).is_empty());
        });
    });
}

#[test]
fn x_08_a_revoke_takes_what_the_txn_put_before() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        store.db.grant_with_id(8, ms(60_000)).unwrap();
        store.put_leased("moved", "", 7);
        let ops = vec![leased("a", 7), leased("moved", 8), Op::revoke(7), put("z", "")];
        run(&store.db, ops).unwrap();
        store.always(|store| {
            assert_eq!(store.events(.., 3), ["+a=@3", "+moved=@3 was ", "-a@3", "+z=@3"]);
            assert_eq!(store.contents(), ["moved=", "z="]);
        });
    });
}

#[test]
fn x_08_an_id_ends_and_is_granted_again_in_one_txn() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(100)).unwrap();
        store.put_leased("old", "", 7);
        store.advance_ms(99);
        run(&store.db, vec![Op::revoke(7), Op::grant(7, ms(50)), leased("new", 7)]).unwrap();
        store.always(|store| assert_eq!((store.contents(), left_ms(&store.db, 7)), (vec!["new=".into()], Some(50))));
        store.advance_ms(49);
        assert_eq!(store.contents(), ["new="], "the deadline of the old grant means nothing");
        store.advance_ms(1);
        assert!(store.contents().is_empty());
    });
}

#[test]
fn x_08_what_is_checked_before_anything_runs() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        store.put_leased("a", "", 7);
        let fails = |ops: Vec<Op>| {
            let error = run(&store.db, ops).unwrap_err();
            assert_eq!(error.applied(), Applied::No);
            error
        };
        let taken = |ops| assert!(matches!(fails(ops), Error::LeaseExists));
        let missing = |ops| assert!(matches!(fails(ops), Error::LeaseNotFound));
        taken(vec![put("x", ""), grant(7)]);
        taken(vec![grant(8), nested(vec![grant(8)])]);
        missing(vec![put("x", ""), Op::revoke(8)]);
        missing(vec![Op::revoke(0)]);
        missing(vec![leased("x", 8), grant(8)]);
        missing(vec![Op::revoke(7), leased("x", 7)]);
        missing(vec![Op::revoke(7), nested(vec![Op::revoke(7)])]);
        missing(vec![grant(8), Op::revoke(8), leased("x", 8)]);
        // The first failing operation in order decides.
        missing(vec![Op::revoke(8), grant(7)]);
        taken(vec![grant(7), Op::revoke(8)]);
        store.always(|store| {
            assert_eq!((store.contents(), ids(&store.db)), (vec!["a=".into()], vec![7]));
            assert_eq!(store.db.revision(), 2);
        });
        // On the branch that is not taken nothing is checked.
        let never = Compare::version("a").eq(0);
        store.db.txn().when([never]).then([grant(7)]).or_else([put("x", "")]).commit().unwrap();
    });
}

#[test]
fn x_08_a_txn_that_fails_while_it_runs_leaves_no_lease() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        store.put_leased("a", "1", 7);
        // It passes the checks; then the revoke has deleted the key whose value is to be kept (as TX-12).
        let keep = Op::from(Put::with("a", "", PutOptions::new().ignore_value()));
        let failed = run(&store.db, vec![grant(8), Op::revoke(7), keep]);
        assert!(matches!(failed, Err(Error::InvalidArgument(Invalid::KeyNotFound))));
        store.always(|store| assert_eq!((ids(&store.db), store.contents()), (vec![7], vec!["a=1".into()])));
    });
}

#[test]
fn x_08_lease_alive() {
    everywhere(|store| {
        let alive = |db: &Db, id: i64| {
            let txn = db.txn().when([Compare::lease_alive(id)]).then([put("probe", "yes")]);
            txn.or_else([put("probe", "no")]).commit().unwrap().succeeded
        };
        store.db.grant_with_id(7, ms(100)).unwrap();
        store.db.grant_with_id(8, ms(100)).unwrap();
        assert!(alive(&store.db, 7) && !alive(&store.db, 9) && !alive(&store.db, 0));
        store.db.lease(8).revoke().unwrap();
        store.always(|store| assert!(!alive(&store.db, 8)));
        // Past its deadline it is not, although nobody has ended it.
        store.clock.advance(ms(100));
        assert!(!alive(&store.db, 7));
        assert!(ids(&store.db).is_empty());
        // As before the txn, whatever its operations do.
        let inner = Txn::new().when([Compare::lease_alive(5)]).then([put("x", "")]).or_else([put("y", "")]);
        run(&store.db, vec![grant(5), inner.into(), delete("probe")]).unwrap();
        assert_eq!(store.contents(), ["y="]);
    });
}

/// What is left of a lease that a txn granted is known after a crash, as of any other: a restart never refreshes it.
#[test]
fn x_08_a_crash_does_not_refresh_a_granted_lease() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    run(&db, vec![grant(7), leased("a", 7)]).unwrap();
    clock.advance(ms(60));
    let image = disk.record().durable_at(disk.position());
    let db = open_image(image, &clock, ROOMY).unwrap();
    assert_eq!(left_ms(&db, 7), Some(40));
}

#[test]
fn x_08_a_quota_refuses_grants_and_lets_leases_end() {
    let db = Options::new().quota_bytes(1 << 20).in_memory().unwrap();
    db.grant_with_id(7, ms(60_000)).unwrap();
    db.put_with("a", vec![0; 800 << 10], PutOptions::new().lease(7)).unwrap();
    for len in [50 << 10, 1 << 10, 0] {
        while db.put(format!("fill/{}", db.revision()), vec![0; len]).is_ok() {}
    }
    assert!(matches!(run(&db, vec![delete("fill"), grant(8)]), Err(Error::Full { .. })));
    run(&db, vec![Op::revoke(7)]).unwrap();
    assert!(db.get("a").unwrap().is_none());
}
