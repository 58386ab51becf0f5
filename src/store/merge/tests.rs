use std::sync::atomic::{AtomicU32, Ordering as Atomic};

use super::*;
use crate::store::entry::SPACE_USER;
use crate::store::run::run_path;
use crate::store::test_disk::TestDisk;
use crate::store::test_entries::{Random, STORE, open, write};

/// A sorted vector as a source.
struct Entries(std::vec::IntoIter<Entry>);

impl Source for Entries {
    fn entry(&self) -> Option<EntryRef<'_>> {
        self.0.as_slice().first().map(Entry::borrow)
    }

    fn advance(&mut self) -> Result<()> {
        self.0.next();
        Ok(())
    }
}

fn sort(entries: &mut [Entry], reverse: bool) {
    entries.sort_by(|a, b| {
        let keys = if reverse { b.key.cmp(&a.key) } else { a.key.cmp(&b.key) };
        keys.then((b.mod_revision, b.sub).cmp(&(a.mod_revision, a.sub)))
    });
}

/// Deals entries to `parts` sorted sources.
fn deal(random: &mut Random, entries: &[Entry], parts: u64, reverse: bool) -> Vec<Vec<Entry>> {
    let mut dealt = vec![Vec::new(); usize::try_from(parts).unwrap()];
    for entry in entries {
        dealt[usize::try_from(random.below(parts)).unwrap()].push(entry.clone());
    }
    dealt.iter_mut().for_each(|part| sort(part, reverse));
    dealt
}

#[test]
fn merged_sources_are_in_order() {
    let mut random = Random(31);
    for parts in [1, 2, 3, 24] {
        for reverse in [false, true] {
            let mut entries = random.entries(150, 200);
            let sources = deal(&mut random, &entries, parts, reverse);
            let sources = sources.into_iter().map(|part| Entries(part.into_iter())).collect();
            let mut merged = Merged::new(sources, reverse);
            sort(&mut entries, reverse);
            for entry in &entries {
                assert_eq!(merged.to_entry().as_ref(), Some(entry));
                merged.advance().unwrap();
            }
            assert!(merged.entry().is_none());
            merged.advance().unwrap();
            assert!(merged.entry().is_none());
        }
    }
    assert!(Merged::<Entries>::new(Vec::new(), false).entry().is_none());
}

#[test]
fn merged_sources_skip_to_the_next_key() {
    let mut random = Random(32);
    for reverse in [false, true] {
        let mut entries = random.entries(150, 200);
        let disk = TestDisk::new(true);
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        for (id, part) in (1..).zip(deal(&mut random, &entries, 4, false)) {
            let mut cursor = open(&disk, &write(&disk, id, &part)).unwrap().cursor(reverse);
            if reverse { cursor.seek_last() } else { cursor.seek_first() }.unwrap();
            sources.push(Box::new(cursor));
        }
        let mut merged = Merged::new(sources, reverse);
        sort(&mut entries, reverse);
        for newest in entries.chunk_by(|a, b| a.key == b.key).map(|versions| &versions[0]) {
            assert_eq!(merged.to_entry().as_ref(), Some(newest));
            merged.next_key().unwrap();
        }
        assert!(merged.entry().is_none());
    }
}

/// The rules as they are told, over all entries at once.
fn kept(entries: &[Entry], retention: Retention) -> Vec<Entry> {
    let compacted = retention.compact_revision;
    let keep = |entry: &&Entry| {
        let versions = || entries.iter().filter(|other| other.key == entry.key);
        let newest_of =
            |below: u64| versions().filter(|v| v.mod_revision < below).max_by_key(|v| (v.mod_revision, v.sub));
        let survives = !(entry.tombstone && retention.bottom);
        if entry.key[0] == SPACE_LEASE {
            return newest_of(u64::MAX) == Some(*entry) && survives;
        }
        if entry.mod_revision >= compacted {
            return true;
        }
        let any_at = versions().any(|v| v.mod_revision == compacted);
        !any_at && newest_of(compacted) == Some(*entry) && survives
    };
    entries.iter().filter(keep).cloned().collect()
}

#[test]
fn retention_keeps_what_the_rules_say() {
    let mut random = Random(33);
    for round in 0..300 {
        let entries = random.entries(6, 12);
        let retention = Retention { compact_revision: random.below(16), bottom: round % 2 == 0 };
        let mut filtered = Vec::new();
        for versions in entries.chunk_by(|a, b| a.key == b.key) {
            let mut filter = retention.key(&versions[0].key);
            filtered.extend(versions.iter().filter(|v| filter.keeps(v.mod_revision, v.tombstone)).cloned());
        }
        assert_eq!(filtered, kept(&entries, retention), "{retention:?}");
    }
}

#[test]
fn nothing_is_dropped_before_the_first_compaction() {
    let mut filter = Retention { compact_revision: 0, bottom: true }.key(&[SPACE_USER, b'k']);
    assert!((1..20).rev().all(|revision| filter.keeps(revision, revision % 2 == 0)));
}

#[test]
fn a_merge_of_runs_keeps_what_the_rules_say() {
    let mut random = Random(34);
    for (round, maps) in [true, false, true, false].into_iter().enumerate() {
        let disk = TestDisk::new(maps);
        let dyn_disk: Arc<dyn Disk> = disk.clone();
        let mut entries = random.entries(300, 300);
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        for (id, part) in (1..).zip(deal(&mut random, &entries, 5, false)) {
            let mut cursor = open(&disk, &write(&disk, id, &part)).unwrap().cursor(false);
            cursor.seek_first().unwrap();
            sources.push(Box::new(cursor));
        }
        sort(&mut entries, false);
        let retention = Retention { compact_revision: 100 * round as u64, bottom: round % 2 == 1 };
        let merged = Merged::new(sources, false);
        let info = merge_into(&dyn_disk, STORE, 99, merged, retention, &|| false).unwrap().unwrap();
        let run = open(&disk, &info).unwrap();
        run.verify(&mut |_| {}).unwrap();
        let mut cursor = run.cursor(false);
        cursor.seek_first().unwrap();
        for entry in kept(&entries, retention) {
            assert_eq!(Source::to_entry(&cursor), Some(entry));
            cursor.advance().unwrap();
        }
        assert!(cursor.entry().is_none());
    }
}

#[test]
fn a_merge_of_garbage_leaves_no_file() {
    let disk = TestDisk::new(true);
    let dyn_disk: Arc<dyn Disk> = disk.clone();
    let mut random = Random(35);
    let dead = Entry { tombstone: true, ..random.entry(b"\x01k", 5, 0) };
    let merged = Merged::new(vec![Entries(vec![dead].into_iter())], false);
    let retention = Retention { compact_revision: 6, bottom: true };
    assert_eq!(merge_into(&dyn_disk, STORE, 1, merged, retention, &|| false).unwrap(), None);
    assert!(disk.contents(&run_path(1)).is_none());
}

#[test]
fn an_aborted_merge_leaves_no_file() {
    let disk = TestDisk::new(true);
    let dyn_disk: Arc<dyn Disk> = disk.clone();
    let mut random = Random(36);
    let entries = random.entries(3000, 100);
    let merged = Merged::new(vec![Entries(entries.into_iter())], false);
    let (asked, retention) = (AtomicU32::new(0), Retention { compact_revision: 0, bottom: true });
    let abort = || asked.fetch_add(1, Atomic::Relaxed) == 2;
    assert!(matches!(merge_into(&dyn_disk, STORE, 1, merged, retention, &abort), Err(Error::Canceled)));
    assert!(disk.contents(&run_path(1)).is_none());
}

#[test]
fn damage_in_a_source_stops_the_merge() {
    let disk = TestDisk::new(true);
    let dyn_disk: Arc<dyn Disk> = disk.clone();
    let entries = Random(37).entries(3000, 100);
    let info = write(&disk, 1, &entries);
    let mut bytes = disk.contents(&run_path(1)).unwrap();
    bytes[100_000] ^= 1;
    disk.replace(&run_path(1), bytes);
    let mut cursor = open(&disk, &info).unwrap().cursor(false);
    cursor.seek_first().unwrap();
    let retention = Retention { compact_revision: 0, bottom: true };
    let merged = merge_into(&dyn_disk, STORE, 2, Merged::new(vec![cursor], false), retention, &|| false);
    assert!(matches!(merged, Err(Error::Corrupt { .. })));
    assert!(disk.contents(&run_path(2)).is_none());
}
