//! snapshot handles.

use etclite::{Error, Invalid, KeyRange, Range, Snapshot, SortOrder, SortTarget, prefix};

use super::support::{is_invalid, kv, on_each_setup, put_all, text};

fn listed(snapshot: &Snapshot, range: impl Into<Range>) -> Vec<String> {
    let show = |kv: etclite::KeyValue| format!("{}={}", text(&kv.key), text(&kv.value));
    snapshot.range(range).unwrap().map(|kv| show(kv.unwrap())).collect()
}

#[test]
fn x_10_a_snapshot_answers_as_of_its_revision() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1"), ("a", "2")]);
        db.settle();
        let snapshot = db.snapshot().unwrap();
        let past = db.snapshot_at(3).unwrap();
        assert_eq!((snapshot.revision().get(), past.revision().get()), (4, 3));
        db.delete("b").unwrap();
        put_all(db, &[("a", "3"), ("c", "1")]);
        db.settle_open();
        assert_eq!(listed(&snapshot, KeyRange::all()), ["a=2", "b=1"]);
        assert_eq!(listed(&past, KeyRange::all()), ["a=1", "b=1"]);
        assert_eq!(listed(&snapshot, Range::new(KeyRange::all()).reverse().limit(1)), ["b=1"]);
        let by_value = Range::new(KeyRange::all()).sort(SortTarget::Value, SortOrder::Descend).keys_only();
        assert_eq!(listed(&snapshot, by_value), ["a=", "b="]);
        assert_eq!(snapshot.get("a").unwrap(), Some(kv("a", "2", [2, 4, 2])));
        assert_eq!((snapshot.get("c").unwrap(), past.get("x").unwrap()), (None, None));
        assert_eq!((snapshot.count(KeyRange::all()).unwrap(), past.count(prefix("b")).unwrap()), (2, 1));
        assert_eq!(db.count(..).unwrap(), 2);
        // Another revision that it holds; not one above it.
        assert_eq!(listed(&snapshot, Range::new("a").at(2)), ["a=1"]);
        assert!(matches!(snapshot.range(Range::new("a").at(5)), Err(Error::FutureRevision { .. })));
        assert!(matches!(past.count(Range::new("a").at(4)), Err(Error::FutureRevision { .. })));
        assert!(is_invalid(&snapshot.get("").unwrap_err(), Invalid::EmptyKey));
    });
}

#[test]
fn x_10_a_snapshot_outlives_compaction() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1"), ("a", "2")]);
        let before_flush = db.snapshot_at(3).unwrap();
        db.settle_open();
        let (old, head) = (db.snapshot_at(3).unwrap(), db.snapshot().unwrap());
        db.delete("b").unwrap();
        db.put("a", "3").unwrap();
        db.compact_physical(6).unwrap();
        db.put("d", "1").unwrap();
        db.compact_physical(7).unwrap();
        // Others see the compaction at once.
        assert!(matches!(db.get_at("a", 3), Err(Error::Compacted { compacted }) if compacted == 7));
        assert!(matches!(db.snapshot_at(4), Err(Error::Compacted { .. })));
        for old in [old, before_flush] {
            assert_eq!(listed(&old, KeyRange::all()), ["a=1", "b=1"]);
            assert_eq!(old.get("b").unwrap(), Some(kv("b", "1", [3, 3, 1])));
            assert_eq!(listed(&old, Range::new("a").at(2)), ["a=1"]);
        }
        assert_eq!(listed(&head, KeyRange::all()), ["a=2", "b=1"]);
        assert_eq!(head.clone().count(KeyRange::all()).unwrap(), 2);
        assert_eq!(listed(&db.snapshot().unwrap(), KeyRange::all()), ["a=3", "d=1"]);
    });
}

/// A snapshot's own requests name revisions of its time: what was compacted before it stays compacted.
#[test]
fn x_10_a_snapshot_knows_what_was_compacted_before_it() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("a", "2"), ("a", "3")]);
        db.compact(3).unwrap();
        let snapshot = db.snapshot().unwrap();
        assert!(matches!(snapshot.range(Range::new("a").at(2)), Err(Error::Compacted { compacted }) if compacted == 3));
        assert_eq!(listed(&snapshot, Range::new("a").at(3)), ["a=2"]);
    });
}

#[test]
fn x_10_a_watch_continues_a_snapshot() {
    on_each_setup(|db| {
        put_all(db, &[("k/a", "1"), ("k/b", "1")]);
        db.settle();
        let snapshot = db.snapshot().unwrap();
        put_all(db, &[("k/a", "2"), ("x", "1"), ("k/c", "1")]);
        db.settle_open();
        let mut watch = db.watch(prefix("k/")).from(snapshot.revision() + 1).start().unwrap();
        let mut seen = Vec::new();
        while let Some(batch) = watch.try_next().unwrap() {
            seen.extend(batch.events().iter().map(|event| text(&event.kv.key)));
        }
        assert_eq!(listed(&snapshot, prefix("k/")), ["k/a=1", "k/b=1"]);
        assert_eq!(seen, ["k/a", "k/c"]);
        let (loaded, mut watch) = db.load_and_watch(prefix("k/")).unwrap();
        assert_eq!(loaded.len(), 3);
        assert!(watch.try_next().unwrap().is_none());
        let revision = db.put("k/d", "").unwrap().revision;
        assert_eq!(watch.try_next().unwrap().unwrap().revision(), revision);
    });
}

#[test]
fn x_10_a_snapshot_of_a_new_store() {
    on_each_setup(|db| {
        let snapshot = db.snapshot().unwrap();
        assert_eq!((snapshot.revision().get(), snapshot.count(KeyRange::all()).unwrap()), (1, 0));
        db.put("a", "1").unwrap();
        assert_eq!((snapshot.get("a").unwrap(), snapshot.revision().get()), (None, 1));
        assert!(matches!(db.snapshot_at(99), Err(Error::FutureRevision { current }) if current == 2));
    });
}
