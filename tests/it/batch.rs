//! What `Db::batch` promises: order, a revision and an answer each, one durable commit, and nothing seen before that.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, Limits, SimClock, SimDisk, SplitMix64};
use etclite::testing::{open_on, with_knobs};
use etclite::{
    Applied, BatchOp, BatchResponse, Compare, Db, Delete, Error, GrantOptions, GrantResponse, Invalid, LeaseId, Op,
    OpResponse, Options, Put, Range, Result, RevokeResponse, Txn, TxnResponse, prefix,
};

use super::gate::GateDisk;
use super::rig::{ROOMY, Store, contents, everywhere, left_ms, ms, open_image, open_sim, rev};

fn put(key: &str, value: &str) -> BatchOp {
    Put::new(key, value).into()
}

fn read(key: &str) -> BatchOp {
    Range::new(key).into()
}

/// The answer to an operation that did not fail.
fn of(answer: &Result<BatchResponse>) -> &OpResponse {
    match answer {
        Ok(BatchResponse::Op(response)) => response,
        other => panic!("{other:?}"),
    }
}

/// The values that a range answered.
fn values(answer: &Result<BatchResponse>) -> Vec<String> {
    let OpResponse::Range(range) = of(answer) else { panic!("not a range: {answer:?}") };
    range.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()).collect()
}

fn revisions(answers: &[Result<BatchResponse>]) -> Vec<u64> {
    answers.iter().map(|answer| answer.as_ref().unwrap().revision().get()).collect()
}

fn log_syncs(disk: &SimDisk) -> u64 {
    disk.sites_hit().get(&IoSite::LogSync).copied().unwrap_or(0)
}

#[test]
fn batch_each_operation_has_its_own_revision_and_answer() {
    everywhere(|store| {
        let create = Txn::new().when([Compare::version("a").eq(0)]).then([Put::new("a", "9")]);
        let ops = [
            put("a", "1"),
            Put::new("a", "2").prev_kv().into(),
            put("b", "3"),
            Delete::new(prefix("")).into(),
            Delete::new("missing").into(),
            create.clone().into(),
            create.into(),
        ];
        let answers = store.db.batch(ops);
        assert_eq!(revisions(&answers), [2, 3, 4, 5, 5, 6, 6]);
        let OpResponse::Put(second) = of(&answers[1]) else { panic!() };
        assert_eq!(second.prev.as_ref().unwrap().value, "1");
        let OpResponse::Delete(both) = of(&answers[3]) else { panic!() };
        assert_eq!(both.deleted, 2);
        let [OpResponse::Txn(made), OpResponse::Txn(there)] = [of(&answers[5]), of(&answers[6])] else { panic!() };
        assert!(made.succeeded && !there.succeeded);
        store.always(|store| {
            assert_eq!((store.contents(), store.db.revision()), (vec!["a=9".to_owned()], rev(6)));
        });
        let expected = ["+a=1@2", "+a=2@3 was 1", "+b=3@4", "-a@5 was 2", "-b@5 was 3", "+a=9@6"];
        assert_eq!(store.events(prefix(""), 2), expected);
    });
}

#[test]
fn batch_a_failure_in_the_middle_stops_nobody() {
    everywhere(|store| {
        let twice = Txn::new().then([Put::new("x", "1"), Put::new("x", "2")]);
        let answers = store.db.batch([
            put("a", "1"),
            put("", "2"),
            Put::new("b", "3").lease(77).into(),
            twice.into(),
            Op::revoke(77).into(),
            BatchOp::Compact(rev(99)),
            BatchOp::KeepAlive(LeaseId::new(77)),
            Range::new("a").at(99).into(),
            put("c", "4"),
        ]);
        let failed: Vec<&Error> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(failed.iter().all(|error| error.applied() == Applied::No));
        assert!(matches!(
            failed[..],
            [
                Error::InvalidArgument(Invalid::EmptyKey),
                Error::LeaseNotFound,
                Error::DuplicateKey,
                Error::LeaseNotFound,
                Error::FutureRevision { .. },
                Error::LeaseNotFound,
                Error::FutureRevision { .. },
            ]
        ));
        assert_eq!([revisions(&answers[..1]), revisions(&answers[8..])], [[2], [3]]);
        store.always(|store| assert_eq!(store.contents(), ["a=1", "c=4"]));
    });
}

#[test]
fn batch_one_sync_covers_all() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.put("warm", "").unwrap();
    let before = log_syncs(&disk);
    let ops = (0..1000).map(|i| match i {
        // What fails must not make the others wait, be it by its shape or by what the store holds.
        500 => put("", ""),
        501 => Put::new("k", "").lease(77).into(),
        502 => Op::grant(5, ms(5_000)).into(),
        503 => Put::new("leased", "").lease(5).into(),
        504 => BatchOp::Compact(rev(3)),
        _ => put(&format!("k{i:03}"), "v"),
    });
    let answers = db.batch(ops);
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 2);
    assert_eq!((db.revision(), log_syncs(&disk) - before), (rev(998), 1));
    // Reads alone cost nothing, nor does nothing.
    db.batch([read("k001"), read("k002")]);
    assert!(db.batch(Vec::<Op>::new()).is_empty());
    assert_eq!(log_syncs(&disk) - before, 1);
    // One for the writes before a read, one for those behind.
    let answers = db.batch([put("a", "1"), put("a", "2"), read("a"), read("a"), put("a", "3")]);
    assert_eq!((values(&answers[2]), log_syncs(&disk) - before), (vec!["2".to_owned()], 3));
}

/// The first renewal after a grant is durable before it is answered. In a row all are by one sync, and later ones by none.
#[test]
fn batch_renewals_in_a_row_share_one_sync() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let grants = |ids: std::ops::RangeInclusive<i64>| ids.map(|id| BatchOp::from(Op::grant(id, ms(60_000))));
    assert!(db.batch(grants(1..=500)).iter().all(Result::is_ok));
    clock.advance(ms(1_000));
    let renew = |ids: std::ops::RangeInclusive<i64>| ids.map(|id| BatchOp::KeepAlive(LeaseId::new(id)));
    let before = log_syncs(&disk);
    // One that is gone and one that is named twice are no hindrance.
    let answers = db.batch(renew(1..=500).chain(renew(77..=77)).chain(renew(501..=501)));
    assert_eq!(log_syncs(&disk) - before, 1);
    for (id, answer) in (1..=500).chain([77]).zip(&answers) {
        let renewed = BatchResponse::KeepAlive { revision: rev(1), id: LeaseId::new(id), ttl: ms(60_000) };
        assert_eq!(answer.as_ref().unwrap(), &renewed);
    }
    assert!(matches!(answers[501], Err(Error::LeaseNotFound)));
    assert!(db.batch(renew(1..=500)).iter().all(Result::is_ok));
    assert_eq!(log_syncs(&disk) - before, 1);
    // They see the grants before them, so there is a commit in between.
    let answers = db.batch(grants(600..=700).chain(renew(600..=700)).chain([put("a", "")]).chain(renew(600..=700)));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(log_syncs(&disk) - before, 4);
    let crashed = open_image(disk.record().durable_at(disk.position()), &clock, ROOMY).unwrap();
    assert_eq!((left_ms(&crashed, 1), left_ms(&crashed, 700)), (Some(60_000), Some(60_000)));
}

/// A renewal is answered by what is before it alone: a revoke behind it finds the lease, and takes nothing back.
#[test]
fn batch_renewals_have_their_place() {
    everywhere(|store| {
        let renew = || BatchOp::KeepAlive(LeaseId::new(7));
        let answers = store.db.batch([
            renew(),
            Op::grant(7, ms(500)).into(),
            renew(),
            renew(),
            Op::revoke(7).into(),
            renew(),
            Op::grant(7, ms(900)).into(),
            renew(),
        ]);
        let ttls = [0, 2, 3, 5, 7].map(|at| match &answers[at] {
            Ok(BatchResponse::KeepAlive { ttl, .. }) => Some(*ttl),
            Err(Error::LeaseNotFound) => None,
            other => panic!("{other:?}"),
        });
        assert_eq!(ttls, [None, Some(ms(500)), Some(ms(500)), None, Some(ms(900))]);
        assert!([1, 4, 6].iter().all(|at| answers[*at].is_ok()), "{answers:?}");
    });
}

/// Of renewals whose sync fails it is unknown whether they outlast a crash.
#[test]
fn batch_a_failed_sync_is_told_to_every_renewal_of_it() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    assert!(db.batch([1, 2, 3].map(|id| Op::grant(id, ms(5_000)))).iter().all(Result::is_ok));
    let renew = |id| BatchOp::KeepAlive(LeaseId::new(id));
    assert!(db.batch([renew(1)])[0].is_ok());
    disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1, kind: FaultKind::Eio, forever: false });
    let answers = db.batch([renew(1), renew(2), renew(3), renew(4)]);
    assert!(answers[0].is_ok(), "it needs no disk");
    assert!(matches!(answers[1..3], [Err(Error::Indeterminate), Err(Error::Indeterminate)]), "{answers:?}");
    assert!(matches!(answers[3], Err(Error::LeaseNotFound)), "{answers:?}");
}

#[test]
fn batch_a_read_sees_the_writes_before_it_and_none_behind() {
    everywhere(|store| {
        let look = || Txn::new().when([Compare::value("a").eq("2")]).then([Range::new("a")]).or_else([Range::new("b")]);
        let answers = store.db.batch([
            read("a"),
            put("a", "1"),
            read("a"),
            put("a", "2"),
            BatchOp::from(Put::new("b", "x")),
            look().into(),
            Delete::new("a").into(),
            look().into(),
            Range::new(prefix("")).at(2).into(),
        ]);
        assert!(values(&answers[0]).is_empty());
        assert_eq!([values(&answers[2]), values(&answers[8])], [["1"], ["1"]]);
        let looked = |at: usize| {
            let OpResponse::Txn(TxnResponse { succeeded, responses, .. }) = of(&answers[at]) else { panic!() };
            let OpResponse::Range(range) = &responses[0] else { panic!() };
            (*succeeded, range.kvs[0].value.clone())
        };
        assert_eq!([looked(5), looked(7)], [(true, "2".into()), (false, "x".into())]);
        assert_eq!(revisions(&answers), [1, 2, 2, 3, 4, 4, 5, 5, 5]);
    });
}

/// CH-11 for batches: neither another reader nor the batch's own reads see what is not on the disk.
#[test]
fn batch_nothing_is_seen_before_it_is_durable() {
    let (sim, clock) = (SimDisk::new(), SimClock::new(1));
    let gated = GateDisk::new(&sim, IoSite::LogSync);
    let gate = gated.gate();
    let db = open_on(Arc::new(gated), Arc::new(clock.clone()), with_knobs(Options::new(), ROOMY)).unwrap();
    gate.shut();
    thread::scope(|scope| {
        let batch = scope.spawn(|| {
            let answers = db.batch([put("a", "1"), put("b", "2"), read("a")]);
            (values(&answers[2]), sim.position())
        });
        gate.await_call();
        assert_eq!((db.get("a").unwrap(), db.revision()), (None, rev(1)));
        gate.open();
        let (seen, position) = batch.join().unwrap();
        assert_eq!(seen, ["1"]);
        let crashed = open_image(sim.record().durable_at(position), &clock, ROOMY).unwrap();
        assert_eq!(contents(&crashed), ["a=1", "b=2"]);
    });
}

#[test]
fn batch_leases_are_granted_used_renewed_and_revoked() {
    everywhere(|store| {
        let answers = store.db.batch([
            GrantOptions::new(ms(500)).id(7).into(),
            Put::new("a", "").lease(7).into(),
            Put::new("b", "").lease(7).into(),
            BatchOp::KeepAlive(LeaseId::new(7)),
            GrantOptions::new(ms(900)).into(),
            GrantOptions::new(ms(900)).id(7).into(),
            Op::revoke(7).into(),
        ]);
        let granted = GrantResponse { revision: rev(1), id: LeaseId::new(7), ttl: ms(500) };
        assert_eq!(of(&answers[0]), &OpResponse::Grant(granted));
        let renewed = BatchResponse::KeepAlive { revision: rev(3), id: LeaseId::new(7), ttl: ms(500) };
        assert_eq!(answers[3].as_ref().unwrap(), &renewed);
        let OpResponse::Grant(drawn) = of(&answers[4]) else { panic!() };
        assert!(drawn.id.get() > 0 && drawn.ttl == ms(900) && drawn.revision == 3);
        assert!(matches!(answers[5], Err(Error::LeaseExists)));
        assert_eq!(of(&answers[6]), &OpResponse::Revoke(RevokeResponse { revision: rev(4), deleted: 2 }));
        let id = drawn.id.get();
        store.always(|store| assert_eq!((left_ms(&store.db, id), left_ms(&store.db, 7)), (Some(900), None)));
        assert!(store.contents().is_empty());
    });
}

#[test]
fn batch_compactions_and_cursors_have_their_place() {
    everywhere(|store| {
        store.db.cursor("c", prefix("")).at(1).create().unwrap();
        let answers = store.db.batch([
            put("a", "1"),
            put("a", "2"),
            BatchOp::Compact(rev(3)),
            Op::advance("c", 1, 2).into(),
            BatchOp::Compact(rev(3)),
            Op::advance("c", 1, 3).into(),
        ]);
        // Compactions report how far they had come at the end of the commit that they share.
        let Ok(BatchResponse::Compact(first)) = &answers[2] else { panic!("{answers:?}") };
        assert_eq!((first.revision, first.compact_revision), (rev(3), rev(3)));
        let OpResponse::Advance(advanced) = of(&answers[3]) else { panic!("{answers:?}") };
        assert_eq!((advanced.revision, advanced.position), (rev(3), rev(2)));
        assert!(matches!(answers[4], Err(Error::Compacted { compacted }) if compacted == 3), "{:?}", answers[4]);
        assert!(matches!(answers[5], Err(Error::CursorMoved { position }) if position == 2), "{:?}", answers[5]);
        store.always(|store| assert!(matches!(store.db.get_at("a", 2), Err(Error::Compacted { .. }))));
    });
}

/// Also where memtables rotate and frames are full all the time.
#[test]
fn batch_any_length_goes_through_in_order() {
    everywhere(|store| {
        let ops = (0..5_000u64).map(|i| Put::new(format!("k{:04}", i % 600), [b'x'; 40]));
        let answers = store.db.batch(ops);
        let expected: Vec<u64> = (2..5_002).collect();
        assert_eq!(revisions(&answers), expected);
        store.always(|store| {
            assert_eq!((store.db.count(..).unwrap(), store.db.revision()), (600, rev(5_001)));
            assert_eq!(store.db.get("k0000").unwrap().unwrap().version, 9);
        });
        assert!(store.db.check().unwrap().is_clean());
    });
}

/// What is asked in one call is answered as if it had been asked one by one.
#[test]
fn batch_answers_as_operations_by_themselves_do() {
    for seed in 0..60 {
        let mut draws = SplitMix64::new(seed);
        let ops: Vec<Op> = (0..40).map(|_| operation(&mut draws)).collect();
        let (together, apart) = (Store::new(super::rig::Kind::Memory), Store::new(super::rig::Kind::Memory));
        let answers = together.db.batch(ops.clone());
        let alone: Vec<_> = ops.into_iter().map(|op| alone(&apart.db, op)).collect();
        let show = |answer: Result<OpResponse>| answer.map_err(|error| error.to_string());
        let answers: Vec<_> =
            answers.into_iter().map(|answer| show(answer.map(|answer| of(&Ok(answer)).clone()))).collect();
        let alone: Vec<_> = alone.into_iter().map(show).collect();
        assert_eq!(answers, alone, "seed {seed}");
        assert_eq!(together.db.hash(0).unwrap(), apart.db.hash(0).unwrap(), "seed {seed}");
    }
}

/// The operation by the verb for it.
fn alone(db: &Db, op: Op) -> Result<OpResponse> {
    Ok(match op {
        Op::Txn(txn) => OpResponse::Txn(db.execute(txn)?),
        Op::Range(range) => OpResponse::Range(db.query(range)?),
        Op::Delete(delete) => OpResponse::Delete(db.delete_with(delete)?),
        Op::Revoke(id) => {
            let held = db.lease(id).time_to_live()?.map_or(0, |status| status.key_count);
            OpResponse::Revoke(RevokeResponse { revision: db.lease(id).revoke()?, deleted: held })
        }
        Op::Grant(options) => {
            let revision = db.revision();
            let lease = db.grant_with(options)?;
            OpResponse::Grant(GrantResponse { revision, id: lease.id(), ttl: lease.granted().unwrap() })
        }
        // Its fields are its own.
        op => db.txn().then([op]).commit()?.responses.remove(0),
    })
}

fn operation(draws: &mut SplitMix64) -> Op {
    let key = ["a", "b", "c", "d"][draws.index(4)];
    let id = i64::try_from(draws.below(3)).unwrap();
    match draws.below(12) {
        0..4 => Put::new(key, draws.below(9).to_string()).lease(id).prev_kv().into(),
        4 => Put::new(key, "").into(),
        5 => Delete::new(key..).prev_kv().into(),
        6 => Range::new(prefix("")).with_count().into(),
        7 => Range::new(key).at(draws.below(20)).into(),
        8 => Op::grant(id.max(1), ms(5_000)),
        9 => Op::revoke(id),
        10 => Txn::new().when([Compare::version(key).gt(1)]).then([Delete::new(key)]).into(),
        _ => {
            let branch = [Op::from(Put::new(key, "txn")), Range::new(prefix("")).into()];
            Txn::new().when([Compare::lease(key).eq(id)]).then(branch).or_else([Range::new(key)]).into()
        }
    }
}

/// A crash anywhere keeps a first part of the list; one that comes after the answer keeps all.
#[test]
fn batch_a_crash_keeps_a_first_part_in_order() {
    for knobs in [ROOMY, super::rig::TINY] {
        let (disk, clock) = (SimDisk::new(), SimClock::new(1));
        let db = open_sim(&disk, &clock, knobs);
        let start = disk.position();
        // Longer than a frame may be where parts are tiny.
        let ops = (0..24).map(|i| Put::new(format!("k{i:02}"), [b'x'; 700]));
        assert!(db.batch(ops).iter().all(Result::is_ok));
        let end = disk.position();
        let record = disk.record();
        let mut lengths = BTreeSet::new();
        let mut draws = SplitMix64::new(1);
        let limits = Limits { exhaustive: 3, each: 6, pairs: 2, random: 2, variations: 4, ..Limits::default() };
        for position in start..=end {
            record.images_within(&limits, position, &mut draws, &mut |image| {
                let left = open_image(image, &clock, knobs).unwrap();
                let keys: Vec<String> = left.range(..).unwrap().map(|kv| format!("{:?}", kv.unwrap().key)).collect();
                let expected: Vec<String> = (0..keys.len()).map(|i| format!("b\"k{i:02}\"")).collect();
                assert_eq!(keys, expected);
                assert_eq!(left.revision(), rev(1 + keys.len() as u64));
                assert!(position < end || keys.len() == 24);
                lengths.insert(keys.len());
            });
        }
        assert!(lengths.contains(&0) && lengths.contains(&24), "{lengths:?}");
        // One frame stays or goes as a whole, several do not.
        assert_eq!(lengths.len() > 2, knobs.segment_bytes == super::rig::TINY.segment_bytes, "{lengths:?}");
    }
}

#[test]
fn batch_of_a_closed_store_is_closed() {
    let db = Db::in_memory().unwrap();
    db.close().unwrap();
    let answers = db.batch([put("a", "1"), read("a"), BatchOp::Compact(rev(1)), BatchOp::KeepAlive(LeaseId::new(1))]);
    assert_eq!(answers.len(), 4);
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Closed))), "{answers:?}");
}

#[test]
fn batch_of_a_read_only_store_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let db = Db::open(&path).unwrap();
    db.put("a", "1").unwrap();
    db.close().unwrap();
    let db = Options::new().read_only(true).open(&path).unwrap();
    let answers = db.batch([put("a", "2"), read("a"), Op::grant(1, ms(5)).into()]);
    assert!(matches!(answers[..], [Err(Error::ReadOnly), Ok(_), Err(Error::ReadOnly)]), "{answers:?}");
    assert_eq!(values(&answers[1]), ["1"]);
}

/// The sync fails that all writes wait for: of each it is unknown, and what would read them cannot.
#[test]
fn batch_a_failed_sync_is_told_to_every_write_of_it() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    disk.fail(Fault { site: Some(IoSite::LogSync), nth: 2, kind: FaultKind::Eio, forever: false });
    let answers = db.batch([
        put("a", "1"),
        read("a"),
        put("a", "2"),
        put("", "3"),
        Op::grant(7, ms(5_000)).into(),
        Put::new("b", "").lease(77).into(),
        read("a"),
        put("a", "4"),
    ]);
    assert!(answers[0].is_ok() && values(&answers[1]) == ["1"], "what was durable is told");
    assert!(matches!(answers[3], Err(Error::InvalidArgument(Invalid::EmptyKey))));
    for lost in [2, 4, 5] {
        assert!(matches!(answers[lost], Err(Error::Indeterminate)), "{lost}: {:?}", answers[lost]);
    }
    assert!(matches!(answers[6..], [Err(Error::Poisoned), Err(Error::Poisoned)]), "{answers:?}");
    // Later ones write nothing, and read what was durable.
    let later = db.batch([put("a", "5"), read("a")]);
    assert!(matches!(later[0], Err(Error::Poisoned)));
    assert_eq!(values(&later[1]), ["1"]);
}

/// The times of a batch run from its publication, as those of single writes do.
#[test]
fn batch_times_run_from_publication() {
    let (sim, clock) = (SimDisk::new(), SimClock::new(1));
    let gated = GateDisk::new(&sim, IoSite::LogSync);
    let gate = gated.gate();
    let db = open_on(Arc::new(gated), Arc::new(clock.clone()), with_knobs(Options::new(), ROOMY)).unwrap();
    gate.shut();
    thread::scope(|scope| {
        let batch = scope.spawn(|| {
            db.batch([
                Op::grant(7, ms(1_600)).into(),
                BatchOp::from(Put::new("a", "").ttl(ms(1_600))),
                Txn::new().then([Op::grant(8, ms(1_600))]).into(),
            ])
        });
        gate.await_call();
        clock.advance(ms(300));
        gate.open();
        assert!(batch.join().unwrap().iter().all(Result::is_ok));
    });
    let hidden = db.get("a").unwrap().unwrap().lease.get();
    let crashed = open_image(sim.record().durable_at(sim.position()), &clock, ROOMY).unwrap();
    for id in [7, 8, hidden] {
        assert_eq!((left_ms(&db, id), left_ms(&crashed, id)), (Some(1_600), Some(1_600)), "{id}");
    }
}

#[test]
fn batch_of_many_threads_keep_their_orders() {
    let store = Store::new(super::rig::Kind::Files);
    thread::scope(|scope| {
        for thread in 0..4 {
            let db = &store.db;
            scope.spawn(move || {
                for round in 0..20 {
                    let ops = (0..10).map(|i| Put::new(format!("t{thread}"), format!("{round}.{i}")));
                    let answers = db.batch(ops.map(BatchOp::from).chain([read(&format!("t{thread}"))]));
                    let seen = revisions(&answers[..10]);
                    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
                    assert_eq!(values(&answers[10]), [format!("{round}.9")]);
                }
            });
        }
    });
    assert_eq!(store.db.revision(), 801);
}
