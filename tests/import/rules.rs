//! Snapshots that no etcd at hand makes: every shape of file, every corner of what etcd writes, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;

use etclite::import::{ImportOptions, import_etcd};
use etclite::io::sim::SplitMix64;
use etclite::{Db, Error, KeyRange, LeaseId, Put as PutRequest};

use crate::answers::{answers, events, kvs};
use crate::craft::{Craft, Put, meta, revision, seal_meta, with_hash};
use crate::{SIZES, import, import_in_all_sizes, small};

const STRICT: ImportOptions = ImportOptions { skip_hash_check: false, bump_revision: 0, mark_compacted: false };
const LENIENT: ImportOptions = ImportOptions { skip_hash_check: true, ..STRICT };

/// Keys, leases, deletions, over enough pairs for trees of several levels.
pub(crate) fn plain() -> Craft {
    let mut craft = Craft::new();
    craft.lease(5, 60).lease(-6, 120);
    for number in 0..60 {
        craft.create(2 + number, &format!("key/{number:02}"), if number % 3 == 0 { 5 } else { 0 });
    }
    craft.update(62, "key/07", 9, 2, -6).delete((63, 0), "key/09").delete((63, 1), "key/10").create(64, "key/09", 0);
    craft
}

fn refused(bytes: &[u8]) -> Error {
    let refusals = SIZES.map(|sizes| import(bytes, &STRICT, sizes).map(|imported| imported.report).unwrap_err());
    let [large, little] = refusals;
    assert_eq!(large.to_string(), little.to_string());
    large
}

#[test]
fn files_of_every_page_size_and_shape_are_read() {
    let mut seen = None;
    for page_bytes in [1, 2, 4, 8, 16, 32, 64].map(|kib: usize| kib << 10) {
        for (fanout, inline) in [(40, false), (1, false), (3, false), (1000, false), (40, true)] {
            let craft = Craft { page_bytes, fanout, inline, ..plain() };
            import_in_all_sizes(&craft.snapshot(), &STRICT, |imported| {
                let answers = answers(&imported.db, true);
                assert_eq!(*seen.get_or_insert_with(|| answers.clone()), answers, "{page_bytes} {fanout} {inline}");
            });
        }
    }
    let seen = seen.unwrap();
    assert!(seen.contains(&"lease -6 120 6b65792f3037".to_owned()), "{seen:?}");
}

/// Both metas are there for a crash in the middle of writing one: the newer sound one counts.
#[test]
fn the_newer_sound_meta_counts() {
    let sound = plain().build();
    let expected = answers(&import(&sound, &LENIENT, SIZES[0]).unwrap().db, true);
    let pages = (sound.len() / 4096) as u64;
    let root = u64::from_le_bytes(sound[32..40].try_into().unwrap());
    for page in 0..2 {
        let at = usize::try_from(page).unwrap() * 4096;
        let mut torn = sound.clone();
        torn[at + 50] ^= 1;
        let imported = import(&torn, &LENIENT, SIZES[0]).unwrap();
        assert_eq!(answers(&imported.db, true), expected, "without meta {page}");
        // An older root leads to other data, here to none: had it counted, the import would have failed.
        let mut stale = sound.clone();
        stale[at..at + 80].copy_from_slice(&meta(page, 4096, 2, pages, 3));
        assert_eq!(answers(&import(&stale, &LENIENT, SIZES[0]).unwrap().db, true), expected, "stale meta {page}");
        stale[at..at + 80].copy_from_slice(&meta(page, 4096, 2, pages, 30));
        assert!(matches!(import(&stale, &LENIENT, SIZES[0]).err(), Some(Error::Corrupt { .. })), "bad meta {page}");
    }
    assert!(root > 2);
}

/// etcd died between ordering a compaction and giving the space back: clients have seen it.
#[test]
fn cp_03_scheduled_compaction_counts() {
    let mut craft = Craft::new();
    craft.create(2, "a", 0).create(3, "gone", 0).update(4, "a", 2, 2, 0).delete((5, 0), "gone").create(6, "b", 0);
    craft.compacted(6, Some(3));
    import_in_all_sizes(&craft.snapshot(), &STRICT, |imported| {
        assert_eq!(imported.db.compact_revision(), 6);
        assert!(matches!(imported.db.get_at("a", 5), Err(Error::Compacted { compacted }) if compacted == 6));
        assert_eq!(kvs(&imported.db, 6).unwrap().len(), 2);
        assert_eq!(events(&imported.db, 6).len(), 1);
    });
}

/// A watch from exactly the compact revision gets the deletions of that revision, which later etcds keep.
#[test]
fn cp_02_deletions_at_the_compact_revision_are_kept() {
    let mut craft = Craft::new();
    craft.update(4, "a", 2, 2, 0).delete((5, 0), "gone").create(6, "b", 0).compacted(5, Some(5));
    import_in_all_sizes(&craft.snapshot(), &STRICT, |imported| {
        assert_eq!(events(&imported.db, 5)[0], "delete 5 676f6e65 prev none");
    });
}

/// All keys were deleted and compacted away: the revision stays.
#[test]
fn etcd_17780_revision_never_decreases() {
    let mut craft = Craft::new();
    craft.compacted(9, None);
    import_in_all_sizes(&craft.snapshot(), &STRICT, |imported| {
        assert_eq!((imported.db.revision().get(), imported.db.compact_revision().get()), (9, 9));
        assert_eq!(imported.db.put("a", "").unwrap().revision, 10);
    });
}

/// An etcd to which nothing happened is at revision 1, and zero can be compacted once.
#[test]
fn rv_01_empty_etcd() {
    for craft in [Craft::new(), Craft::new().without("lease").clone()] {
        import_in_all_sizes(&craft.snapshot(), &STRICT, |imported| {
            assert_eq!((imported.db.revision().get(), imported.db.compact_revision().get()), (1, 0));
            assert_eq!(imported.report.changes, 0);
            imported.db.compact(0).unwrap();
            assert_eq!(imported.db.put("a", "").unwrap().revision, 2);
        });
    }
    let mut compacted_at_zero = Craft::new();
    compacted_at_zero.compacted(0, None).create(2, "a", 0);
    import_in_all_sizes(&compacted_at_zero.snapshot(), &STRICT, |imported| {
        assert!(matches!(imported.db.compact(0), Err(Error::Compacted { .. })));
    });
}

/// What `etcdutl snapshot restore --bump-revision --mark-compacted` leaves: an empty value at the new revision.
#[test]
fn ct_05_bumped_snapshot() {
    let mut craft = plain();
    craft.pair("key", revision((1_000_064, 0)), *b"").compacted(1_000_064, None);
    import_in_all_sizes(&craft.snapshot(), &STRICT, |imported| {
        assert_eq!((imported.db.revision().get(), imported.db.compact_revision().get()), (1_000_064, 1_000_064));
        assert_eq!(imported.db.count(KeyRange::all()).unwrap(), 59);
        assert_eq!(imported.db.put("next", "").unwrap().revision, 1_000_065);
    });
}

/// Ids may be negative; a time to live below etcd's minimum is raised when etcd reads it.
#[test]
fn le_02_odd_leases() {
    let mut craft = Craft::new();
    craft.lease(i64::MIN, 9_000_000_000).lease(i64::MAX, 0).lease(-1, -5).create(2, "a", i64::MIN);
    import_in_all_sizes(&craft.snapshot(), &STRICT, |imported| {
        let granted = |id| imported.db.lease(id).time_to_live().unwrap().unwrap().granted.as_secs();
        assert_eq!([i64::MIN, i64::MAX, -1].map(granted), [9_000_000_000, 1, 1]);
        imported.db.lease(i64::MIN).revoke().unwrap();
        assert_eq!(imported.db.get("a").unwrap(), None);
    });
}

/// A key may have been held by leases that have ended since, but not now.
#[test]
fn le_09_every_lease_that_holds_a_key_is_there() {
    let mut craft = Craft::new();
    craft
        .lease(5, 60)
        .create(2, "a", 4)
        .delete((3, 0), "a")
        .create(4, "a", 5)
        .create(5, "b", 4)
        .update(6, "b", 5, 2, 5);
    import_in_all_sizes(&craft.snapshot(), &STRICT, |imported| {
        assert_eq!(imported.db.get_at("b", 5).unwrap().unwrap().lease, LeaseId::new(4));
        assert_eq!(imported.db.lease(5).time_to_live().unwrap().unwrap().keys, ["a", "b"]);
    });
    craft.create(7, "c", 4);
    let error = refused(&craft.snapshot()).to_string();
    assert!(error.contains("attached to a lease that is not there"), "{error}");
}

/// Histories that no sequence of puts and deletions makes; the place is that of the change.
#[test]
fn impossible_histories_are_refused() {
    type Make = fn(&mut Craft) -> &mut Craft;
    let cases: [(&str, Make); 13] = [
        ("version number", |craft| craft.update(3, "a", 2, 0, 0)),
        ("version number", |craft| craft.update(3, "a", 2, 9, 0)),
        ("version number", |craft| craft.update(3, "b", 3, 2, 0)),
        ("version number", |craft| craft.update(3, "b", 9, 1, 0)),
        ("version number", |craft| craft.update(3, "b", 2, 1, 0)),
        ("does not count its changes", |craft| craft.create(3, "a", 0)),
        ("does not count its changes", |craft| craft.update(4, "a", 2, 2, 0).update(6, "a", 2, 4, 0)),
        ("deleted twice", |craft| craft.delete((3, 0), "a").delete((4, 0), "a")),
        ("deleted before it was made", |craft| craft.delete((3, 0), "b")),
        ("changed before it was made", |craft| craft.delete((3, 0), "a").update(5, "a", 2, 3, 0)),
        ("changed before it was made", |craft| craft.update(3, "b", 2, 2, 0)),
        ("of the empty key", |craft| craft.delete((3, 0), "")),
        ("KeyValue of another revision", |craft| craft.pair("key", revision((9, 0)), put_message(3))),
    ];
    for (expected, make) in cases {
        let mut craft = Craft::new();
        craft.create(2, "a", 0);
        make(&mut craft);
        let error = refused(&craft.snapshot());
        let Error::Corrupt { file, offset, what } = &error else { panic!("{expected}: {error}") };
        assert!(what.contains(expected), "{expected}: {what}");
        assert!(*offset > 4096 && file == Path::new("snapshot.db"), "{expected}: {offset}");
    }
}

/// The value of a put at this revision.
fn put_message(at: u64) -> Vec<u8> {
    let mut message = vec![0x0a, 1, b'x'];
    [0x10, 0x18].iter().for_each(|tag| message.extend([*tag, u8::try_from(at).unwrap()]));
    message.extend([0x20, 1]);
    message
}

/// Up to the compact revision etcd may have kept less than there was, so there a history may have gaps.
#[test]
fn gaps_below_the_compact_revision_are_none_of_our_business() {
    let mut craft = Craft::new();
    craft.update(7, "a", 2, 4, 0).update(9, "a", 2, 5, 0).update(8, "b", 3, 3, 0).delete((10, 0), "b");
    craft.compacted(8, Some(8));
    import_in_all_sizes(&craft.snapshot(), &STRICT, |imported| {
        assert_eq!(imported.db.get_at("a", 8).unwrap().unwrap().version, 4);
    });
}

#[test]
fn what_is_not_etcds_is_refused() {
    type Make = fn(&mut Craft) -> &mut Craft;
    let cases: [(&str, Make); 9] = [
        ("a key that is no revision", |craft| craft.pair("key", *b"short", *b"x")),
        ("a key that is no revision", |craft| craft.pair("key", [&revision((3, 0))[..], b"x"].concat(), *b"x")),
        ("a key that is no revision", |craft| craft.pair("key", revision((0, 1)), *b"x")),
        ("a key that is no revision", |craft| craft.pair("key", revision((1 << 63, 0)), *b"x")),
        ("a key that is no revision", |craft| craft.pair("key", revision((3, 1 << 40)), *b"x")),
        ("a value that is no KeyValue", |craft| craft.pair("key", revision((3, 0)), *b"\x0a\xff\xff\x03")),
        ("a lease that is none", |craft| craft.pair("lease", 9i64.to_be_bytes(), *b"\x08\x08\x10\x09")),
        ("a lease that is none", |craft| craft.lease(9, 9_000_000_001)),
        ("a compact revision that is none", |craft| craft.pair("meta", *b"scheduledCompactRev", *b"9")),
    ];
    for (expected, make) in cases {
        let mut craft = plain();
        make(&mut craft);
        let error = refused(&craft.snapshot());
        assert!(matches!(error, Error::Corrupt { what, .. } if what == expected), "{expected}: {error}");
    }
    let mut twice = plain();
    twice.delete((62, 0), "key/08");
    assert!(refused(&twice.snapshot()).to_string().contains("two changes of one revision"));
    for bucket in ["key", "meta"] {
        assert!(matches!(refused(&plain().without(bucket).snapshot()), Error::NotADatabase { .. }), "{bucket}");
    }
}

#[test]
fn the_hash_at_the_end_is_compared_and_can_be_waived() {
    let bytes = plain().build();
    let expected = answers(&import(&with_hash(bytes.clone()), &STRICT, SIZES[0]).unwrap().db, true);
    let refusal = import(&bytes, &STRICT, SIZES[0]).err();
    assert!(matches!(refusal, Some(Error::InvalidArgument(_))), "a member's file: {refusal:?}");
    assert_eq!(answers(&import(&bytes, &LENIENT, SIZES[0]).unwrap().db, true), expected);
    let mut wrong = with_hash(bytes);
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    let refusal = import(&wrong, &STRICT, SIZES[0]).err().unwrap();
    assert!(matches!(refusal, Error::Corrupt { offset, .. } if offset == last as u64 - 31), "{refusal}");
    assert_eq!(answers(&import(&wrong, &LENIENT, SIZES[0]).unwrap().db, true), expected);
}

#[test]
fn other_files_are_refused() {
    for bytes in [&b""[..], b"x", &[0; 4096], &[0; 10_000], &with_hash(vec![7; 512])] {
        let refusal = import(bytes, &LENIENT, SIZES[0]).err().unwrap();
        assert!(matches!(refusal, Error::NotADatabase { .. }), "{refusal}");
        assert!(matches!(import(bytes, &STRICT, SIZES[0]).err(), Some(Error::NotADatabase { .. })));
    }
    let mut newer = plain().build();
    for at in [0, 4096] {
        let mut page = newer[at..at + 80].to_vec();
        page[20] = 3;
        seal_meta(&mut page);
        newer[at..at + 80].copy_from_slice(&page);
    }
    assert!(matches!(import(&newer, &LENIENT, SIZES[0]).err(), Some(Error::FormatTooNew { format: 3, .. })));
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("app.etcl");
    for source in [dir.path().to_owned(), dir.path().join("missing"), "/dev/null".into()] {
        let refusal = import_etcd(source, &store, &STRICT, &mut |_| {}).unwrap_err();
        assert!(matches!(refusal, Error::Io { .. }), "{refusal}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // A file may claim any length without having the bytes.
    let (source, bytes) = (dir.path().join("hole.db"), plain().build());
    std::fs::write(&source, &bytes).unwrap();
    std::fs::File::options().write(true).open(&source).unwrap().set_len(2 << 40).unwrap();
    let refusal = import_etcd(&source, &store, &LENIENT, &mut |_| {}).unwrap_err();
    assert!(matches!(refusal, Error::TooLarge { what: "etcd snapshot", .. }), "{refusal}");
    std::fs::File::options().write(true).open(&source).unwrap().set_len(8 << 30).unwrap();
    import_etcd(&source, &store, &LENIENT, &mut |_| {}).unwrap();
}

/// An etcd that runs holds the lock of its file, and writes to it.
#[test]
fn the_file_of_a_running_etcd_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (source, store) = (dir.path().join("db"), dir.path().join("app.etcl"));
    std::fs::write(&source, small()).unwrap();
    let file = std::fs::File::open(&source).unwrap();
    file.lock().unwrap();
    let refusal = import_etcd(&source, &store, &STRICT, &mut |_| {}).unwrap_err();
    assert!(matches!(refusal, Error::Locked { .. }), "{refusal}");
    file.unlock().unwrap();
    import_etcd(&source, &store, &STRICT, &mut |_| {}).unwrap();
    file.try_lock().expect("the import has let go of it");
}

/// A random history is made by a store, written down as etcd would write it, and imported: both stores answer alike.
#[test]
fn random_histories_come_back() {
    for seed in 1..=60 {
        let (db, craft) = random(seed);
        let expected = answers(&db, true);
        for sizes in SIZES {
            let imported = import(&craft.snapshot(), &STRICT, sizes).unwrap();
            assert_eq!(answers(&imported.db, true), expected, "seed {seed}, sizes {sizes:?}");
            assert!(imported.db.check().unwrap().is_clean(), "seed {seed}");
            assert_eq!(imported.db.hash(0).unwrap(), db.hash(0).unwrap(), "seed {seed}");
        }
    }
}

/// A store with a random history, and the snapshot of an etcd with that history.
fn random(seed: u64) -> (Db, Craft) {
    let mut rng = SplitMix64::new(seed);
    let db = Db::in_memory().unwrap();
    let leases: Vec<i64> = (1..=4).collect();
    for lease in &leases {
        db.grant_with_id(*lease, std::time::Duration::from_secs(1000 * lease.unsigned_abs())).unwrap();
    }
    for _ in 0..80 {
        change(&db, &mut rng);
    }
    let mut craft = Craft { fanout: 1 + rng.index(20), ..Craft::new() };
    let mut watch = db.watch(KeyRange::all()).from(1).start().unwrap();
    let compacted = rng.below(db.revision().get() + 1);
    let finished = rng.flip();
    let mut newest_below: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut place = (0, 0);
    while let Some(batch) = watch.try_next().unwrap() {
        for event in batch.events() {
            let revision = event.kv.mod_revision.get();
            place = if place.0 == revision { (revision, place.1 + 1) } else { (revision, 0) };
            record(&mut craft, place, event);
            // Once it is done, a compaction has left the newest put below it, and the revision itself.
            if finished && revision <= compacted {
                forget(&mut craft, &mut newest_below, place, event, compacted);
            }
        }
    }
    if compacted > 0 {
        db.compact(compacted).unwrap();
        craft.compacted(compacted, finished.then_some(compacted));
    }
    for lease in db.leases().unwrap() {
        craft.lease(lease.id.get(), i64::try_from(lease.granted.as_secs()).unwrap());
    }
    (db, craft)
}

fn change(db: &Db, rng: &mut SplitMix64) {
    let key = |rng: &mut SplitMix64| format!("k{}", rng.below(12));
    let put = |rng: &mut SplitMix64| {
        let alive: Vec<LeaseId> = db.leases().unwrap().iter().map(|lease| lease.id).collect();
        let lease = if rng.flip() && !alive.is_empty() { alive[rng.index(alive.len())] } else { LeaseId::NONE };
        PutRequest::new(key(rng), vec![b'v'; rng.index(40)]).lease(lease)
    };
    match rng.below(10) {
        0 => drop(db.delete(KeyRange::between(key(rng), key(rng))).unwrap()),
        1 => drop(db.delete(KeyRange::key(key(rng))).unwrap()),
        2 => {
            // From-key deletes go with puts of the same keys (TX-10).
            let ops: [etclite::Op; 2] = [etclite::Delete::new(KeyRange::from_key(key(rng))).into(), put(rng).into()];
            db.txn().then(ops).commit().unwrap();
        }
        3 if rng.one_in(4) => {
            let leases = db.leases().unwrap();
            if let Some(lease) = leases.first() {
                db.lease(lease.id).revoke().unwrap();
            }
        }
        _ => drop(db.txn().then([put(rng)]).commit().unwrap()),
    }
}

fn record(craft: &mut Craft, at: (u64, u64), event: &etclite::Event) {
    let kv = &event.kv;
    match event.kind {
        etclite::EventKind::Delete => craft.delete(at, &kv.key),
        etclite::EventKind::Put => craft.put(Put {
            at,
            key: &kv.key,
            value: &kv.value,
            create: kv.create_revision.get(),
            version: kv.version,
            lease: kv.lease.get(),
        }),
    };
}

/// Removes what a compaction would have removed once this change had been followed by it.
fn forget(
    craft: &mut Craft,
    newest: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    at: (u64, u64),
    event: &etclite::Event,
    compacted: u64,
) {
    let is_delete = event.kind == etclite::EventKind::Delete;
    let place = if is_delete { [&revision(at)[..], b"t"].concat() } else { revision(at) };
    if let Some(older) = newest.insert(event.kv.key.to_vec(), place.clone()) {
        let at_compacted = older.starts_with(&compacted.to_be_bytes());
        if !at_compacted {
            craft.remove("key", &older);
        }
    }
    if is_delete && at.0 < compacted {
        craft.remove("key", &place);
    }
}
