//! Bugs of ours that a review found, one small test each, on a simulated disk and a clock that stands still. Those that
//! take real threads are in `threads`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use etclite::io::sim::{Fault, FaultKind, Image, SimClock, SimDisk};
use etclite::io::{Disk, IoSite};
use etclite::testing::{Knobs, expire, merge_all, open_on, step, with_knobs, with_merge_bytes_max};
use etclite::{Db, Error, Health, KeyValue, OpResponse, Options, PutOptions, Range, SortOrder, SortTarget};

use super::gate::ActingClock;
use super::rig::{Kind, ROOMY, Store, TINY, contents, ids, left_ms, ms, open_sim, rev};

/// Small segments, and memtables that take everything: what was written stays in the log.
const ALL_IN_LOG: Knobs = Knobs { memtable_bytes: 4 << 20, ..TINY };

fn fill_log(db: &Db, puts: u64) {
    for i in 0..puts {
        db.put(format!("k{i}"), "x".repeat(300)).unwrap();
        while step(db).unwrap() {}
    }
}

/// Every catalog that was ever durable on this disk, oldest first.
fn catalogs(disk: &SimDisk) -> Vec<Vec<u8>> {
    let record = disk.record();
    let synced = record.ops().iter().enumerate().filter(|(_, op)| op.site == IoSite::CatalogSync);
    let mut catalogs: Vec<_> =
        synced.filter_map(|(position, _)| record.durable_at(position + 1).read("catalog.redb")).collect();
    catalogs.dedup();
    catalogs
}

/// The log and the runs, by name.
fn data(image: &Image) -> Vec<(String, Vec<u8>)> {
    let files = image.files().map(|(path, _)| path).filter(|path| *path != "catalog.redb");
    files.map(|path| (path.to_owned(), image.read(path).unwrap())).collect()
}

/// An older copy of the catalog was put back: it did not name the log's newest segments, or still called one of them an
/// unfinished copy. The first open said so, but had counted itself already; the second took the segments for rubbish of
/// an earlier open and deleted them. And a single frame behind an open that had nothing to copy was taken for its copy.
#[test]
fn an_older_catalog_is_refused_and_costs_nothing() {
    let clock = SimClock::new(1);
    let before = SimDisk::new();
    let killed = open_sim(&before, &clock, ALL_IN_LOG);
    // So little that there is no spare segment yet, whose absence alone would be a reason to refuse.
    fill_log(&killed, 3);
    let disk = SimDisk::from_image(before.image());
    let db = open_sim(&disk, &clock, ALL_IN_LOG);
    for puts in [1, 5, 150] {
        fill_log(&db, puts);
        let older = catalogs(&before).into_iter().chain(catalogs(&disk));
        let blamed: BTreeSet<_> =
            older.filter_map(|catalog| refused(disk.image(), catalog, &clock, db.revision().get())).collect();
        // With few puts it is the segment that the open began, which the catalog does not name, or calls incoming.
        assert!(if puts <= 5 { blamed.len() == 1 } else { blamed.len() > 3 }, "{blamed:?}");
    }
}

/// Opens an image under an older catalog: all is there, or it is refused, twice, and nothing is lost by that. Returns
/// the file that is to blame.
fn refused(mut image: Image, catalog: Vec<u8>, clock: &SimClock, revision: u64) -> Option<PathBuf> {
    assert!(image.mutate("catalog.redb", |bytes| *bytes = catalog));
    let disk = SimDisk::from_image(image.clone());
    let mut blamed = None;
    for _ in 0..2 {
        let options = with_knobs(Options::new(), ALL_IN_LOG);
        match open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), options) {
            Ok(db) => assert_eq!((db.revision(), &blamed), (rev(revision), &None)),
            Err(Error::Corrupt { file, .. }) => {
                assert!(data(&disk.image()) == data(&image), "a refused open changed files");
                blamed = Some(file);
            }
            Err(error) => panic!("{error}"),
        }
    }
    blamed
}

/// A keep-alive on a poisoned store went on as if nothing had happened: its lease was renewed in memory, and ended by the
/// next open.
#[test]
fn no_lease_of_a_poisoned_store_is_kept_alive() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    for id in 1..=3 {
        db.grant_with_id(id, ms(1_000)).unwrap();
    }
    db.lease(1).keep_alive().unwrap();
    disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1, kind: FaultKind::Eio, forever: false });
    assert!(matches!(db.put("a", "1"), Err(Error::Indeterminate)));
    // Renewed before, never renewed, and over.
    for id in [1, 2] {
        assert!(matches!(db.lease(id).keep_alive(), Err(Error::Poisoned)), "lease {id}");
    }
    clock.advance(ms(1_000));
    assert!(matches!(db.lease(3).keep_alive(), Err(Error::Poisoned)));
    assert!(matches!(expire(&db), Err(Error::Poisoned)));
}

/// What is left of all leases was one command at close and at open, larger than a request may be: such a store could be
/// neither closed nor opened.
#[test]
fn three_thousand_leases_within_small_requests() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let options = with_knobs(Options::new(), ROOMY).request_bytes_max(16 << 10);
    let open = |disk: &SimDisk| open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), options.clone()).unwrap();
    let mut db = open(&disk);
    for id in 1..=3_000u64 {
        db.grant_with_id(i64::try_from(id).unwrap(), ms(10_000 + id)).unwrap();
    }
    for closes in 1..=3u64 {
        db.close().unwrap();
        clock.advance(ms(100));
        db = open(&disk);
        for id in 1..=3_000u64 {
            let left = u128::from(10_000 + id - 100 * closes);
            assert_eq!(left_ms(&db, i64::try_from(id).unwrap()), Some(left));
        }
    }
    let db = open(&SimDisk::from_image(disk.image()));
    assert_eq!(left_ms(&db, 3_000), Some(12_700));
}

/// A keep-alive looked at the lease, the lease was revoked, the mark of its renewal changed nothing, and the keep-alive
/// said that the lease lives.
#[test]
fn a_keep_alive_that_is_overtaken_by_a_revoke_says_so() {
    overtaken_keep_alive(|db| {
        db.lease(7).revoke().unwrap();
    });
}

/// The same with a new lease of that id granted at once: it is another one, and its own first renewal still has to be
/// made durable.
#[test]
fn a_keep_alive_does_not_renew_a_later_grant_of_its_id() {
    let (disk, db) = overtaken_keep_alive(|db| {
        db.lease(7).revoke().unwrap();
        db.grant_with_id(7, ms(500)).unwrap();
    });
    assert_eq!(left_ms(&db, 7), Some(500));
    let before = disk.position();
    db.lease(7).keep_alive().unwrap();
    assert!(disk.position() > before, "the first renewal of a grant is written down");
}

/// Keeps a lease alive while `act` happens between looking at the lease and writing the renewal down.
fn overtaken_keep_alive(act: impl FnOnce(&Db) + Send + 'static) -> (SimDisk, Db) {
    let (disk, clock) = (SimDisk::new(), ActingClock::new(&SimClock::new(1)));
    let options = with_knobs(Options::new(), ROOMY);
    let db = open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), options).unwrap();
    let lease = db.grant_with_id(7, ms(1_000)).unwrap();
    let other = db.clone();
    clock.at_next_reading(move || act(&other));
    let kept = lease.keep_alive();
    assert!(clock.has_acted() && matches!(kept, Err(Error::LeaseNotFound)), "{kept:?}");
    (disk, db)
}

/// A lease whose time was over could be renewed as long as nobody had come to end it; and the answer must not come before
/// what ends it is published.
#[test]
fn a_keep_alive_after_the_deadline_ends_the_lease() {
    for marked in [false, true] {
        let store = Store::new(Kind::Tiny);
        let lease = store.db.grant_with_id(7, ms(100)).unwrap();
        store.put_leased("a", "1", 7);
        if marked {
            lease.keep_alive().unwrap();
        }
        store.clock.advance(ms(100));
        let kept = lease.keep_alive();
        assert!(matches!(kept, Err(Error::LeaseNotFound)), "{kept:?}");
        assert_eq!((ids(&store.db), store.contents().len(), store.db.revision()), (vec![], 0, rev(3)));
    }
}

/// All data in one run and nothing in memory: the compaction was in no checkpoint, a run alone was never rewritten, and
/// what had been asked back at once never came.
#[test]
fn one_run_is_compacted_physically() {
    for reopened in [false, true] {
        let mut store = Store::new(Kind::Tiny);
        for i in 0..200 {
            store.put("a", &i.to_string());
        }
        store.settle();
        assert_eq!((store.db.stats().runs, store.db.stats().run_entries), (1, 200));
        if reopened {
            store.reopen();
        }
        store.db.compact_physical(201).unwrap();
        assert_eq!((store.db.stats().runs, store.db.stats().run_entries), (1, 1));
        store.reopen();
        assert_eq!((store.db.stats().run_entries, store.contents()), (1, vec!["a=199".to_owned()]));
    }
}

/// The same without being asked for: a compaction moved into the checkpoint only with the next flush, so a store that
/// nobody wrote to any more kept its garbage for ever.
#[test]
fn a_compaction_of_an_idle_store_gives_its_space_back() {
    for reopened in [false, true] {
        let mut store = Store::new(Kind::Tiny);
        for i in 0..200 {
            store.put("a", &format!("{i} {}", "x".repeat(200)));
        }
        store.settle();
        let before = store.db.stats().run_bytes;
        store.db.compact(201).unwrap();
        if reopened {
            store.reopen();
        }
        store.work();
        let stats = store.db.stats();
        assert!(stats.run_entries == 1 && stats.run_bytes < before, "{stats:?}");
    }
}

/// A forgotten snapshot pinned its memtables and runs for ever, whatever `max_snapshot_age` said.
#[test]
fn an_old_snapshot_ends_and_lets_go() {
    let options = || Options::new().max_snapshot_age(ms(1_000));
    for used in [true, false] {
        let store = Store::with(Kind::Tiny, options());
        store.put("a", "1");
        let pinned = || (store.db.stats().snapshots, store.db.stats().pinned_bytes > 0);
        let old = store.db.snapshot().unwrap();
        assert_eq!(pinned(), (1, false));
        store.put("a", "2");
        store.settle();
        assert_eq!(pinned(), (1, true));
        store.clock.advance(ms(600));
        let young = store.db.snapshot().unwrap();
        store.clock.advance(ms(400));
        assert_eq!((old.get("a").unwrap().unwrap().value, pinned()), ("1".into(), (2, true)));
        store.clock.advance(ms(1));
        if used {
            for _ in 0..2 {
                assert!(matches!(old.get("a"), Err(Error::Compacted { compacted }) if compacted == 3));
                assert!(matches!(old.range(..).map(drop), Err(Error::Compacted { .. })));
                assert!(matches!(old.count(..), Err(Error::Compacted { .. })));
            }
            assert_eq!(pinned(), (1, false));
        } else {
            // Nobody asks it for anything: it lets go when memtables and runs change.
            store.put("b", "1");
            store.db.flush().unwrap();
            assert_eq!(store.db.stats().snapshots, 1);
        }
        assert_eq!((young.get("a").unwrap().unwrap().value, young.count(..).unwrap()), ("2".into(), 1));
        assert_eq!(old.revision(), 2);
        drop((old, young));
        assert_eq!(pinned(), (0, false));
    }
}

/// `keys_only_lease(false)` left leases out of some answers and not of others.
#[test]
fn keys_only_without_leases_in_every_verb() {
    for told in [true, false] {
        let store = Store::with(Kind::Tiny, Options::new().keys_only_lease(told));
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        store.db.put_with("a", "1", PutOptions::new().lease(7)).unwrap();
        for settled in [false, true] {
            if settled {
                store.settle();
            }
            let keys_only = Range::new("a").keys_only();
            let by_value = keys_only.clone().sort(SortTarget::Value, SortOrder::Ascend);
            let by_version = keys_only.clone().sort(SortTarget::Version, SortOrder::Descend);
            let wanted = if told { 7 } else { 0 };
            for (range, wanted) in [(keys_only, wanted), (by_version, wanted), (by_value, 7), (Range::new("a"), 7)] {
                for kv in in_every_verb(&store.db, &range) {
                    assert_eq!((kv.lease.get(), kv.value.is_empty()), (wanted, range != Range::new("a")), "{range:?}");
                }
            }
        }
    }
}

/// The one key of a range, asked for in all ways that there are.
fn in_every_verb(db: &Db, range: &Range) -> Vec<KeyValue> {
    let mut found = db.query(range.clone()).unwrap().kvs;
    found.extend(db.range(range.clone()).unwrap().map(Result::unwrap));
    found.extend(db.snapshot().unwrap().range(range.clone()).unwrap().map(Result::unwrap));
    let mut responses = db.txn().then([range.clone()]).commit().unwrap().responses;
    // Beside a put, a txn takes the write path.
    let writes = db.txn().then([etclite::Op::from(range.clone()), etclite::Put::new("b", "").into()]);
    responses.extend(writes.commit().unwrap().responses.into_iter().take(1));
    for response in responses {
        let OpResponse::Range(response) = response else { panic!("{response:?}") };
        found.extend(response.kvs);
    }
    assert_eq!(found.len(), 5);
    found
}

/// Runs that together are larger than a run may be were merged all the same: the merge failed and poisoned the store.
#[test]
fn runs_beyond_the_limit_stay_apart() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let limit = 16 << 10;
    let options = with_merge_bytes_max(with_knobs(Options::new(), TINY), limit);
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let open = || open_on(disk.clone(), Arc::new(clock.clone()), options.clone()).unwrap();
    let db = open();
    for i in 0..100 {
        db.put(format!("k{i:02}"), "x".repeat(500)).unwrap();
        while step(&db).unwrap() {}
    }
    for merged in 0..100 {
        if !merge_all(&db).unwrap() {
            break;
        }
        assert!(merged < 99, "merging never ends");
    }
    db.compact_physical(50).unwrap();
    let stats = db.stats();
    assert!(stats.run_bytes > 3 * limit && stats.runs > 3, "{stats:?}");
    assert!(stats.run_bytes / stats.runs <= limit, "{stats:?}");
    assert!(matches!(db.health(), Health::Ok) && db.check().unwrap().is_clean());
    let before = contents(&db);
    db.close().unwrap();
    let db = open();
    assert_eq!((contents(&db), before.len(), db.revision()), (before, 100, rev(101)));
}

/// Flushes outran merges, and runs piled up without a bound: each costs every read a look, and a descriptor. Writers now wait
/// for a merge, or do it themselves where there is no thread for it.
#[test]
fn writers_wait_for_merges_that_have_fallen_behind() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, TINY);
    let mut most = 0;
    for i in 0..1_500 {
        db.put(format!("k{}", i % 50), [b'x'; 200]).unwrap();
        most = most.max(db.stats().runs);
    }
    assert!((20..=26).contains(&most), "{most} runs");
    assert!(db.check().unwrap().is_clean());
    assert_eq!(db.count(..).unwrap(), 50);
}
