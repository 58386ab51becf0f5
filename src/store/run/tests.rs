use std::collections::BTreeSet;

use super::*;
use crate::io::Disk;
use crate::store::merge::Source;
use crate::store::run_writer::RunWriter;
use crate::store::test_disk::TestDisk;
use crate::store::test_entries::{Random, STORE, both, open, write};

fn keys(entries: &[Entry]) -> Vec<Vec<u8>> {
    entries.iter().map(|e| e.key.to_vec()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What is in order, for cursors in reverse: keys descend, versions too.
fn reversed(entries: &[Entry]) -> Vec<Entry> {
    let mut groups: Vec<&[Entry]> = entries.chunk_by(|a, b| a.key == b.key).collect();
    groups.reverse();
    groups.concat()
}

fn rest(cursor: &mut RunCursor, max: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(entry) = cursor.entry()
        && entries.len() < max
    {
        entries.push(entry.to_entry());
        cursor.advance().unwrap();
    }
    entries
}

/// Keys to look for: those in the run, their neighbours, and what lies outside.
fn probes(random: &mut Random, entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut probes = vec![vec![], vec![0], vec![0xff; 4]];
    for key in keys(entries) {
        let mut above = key.clone();
        above.push(0);
        let below = key[..key.len() - 1].to_vec();
        probes.extend([key, above, below, random.key()]);
    }
    probes
}

#[test]
fn get_finds_the_version_at_every_revision() {
    let mut random = Random(1);
    for (key_count, revisions) in [(1, 1), (1, 40), (20, 30), (400, 500)] {
        let entries = random.entries(key_count, revisions);
        for run in both(&entries) {
            for key in probes(&mut random, &entries) {
                let versions: Vec<&Entry> = entries.iter().filter(|e| *e.key == *key).collect();
                let hash = key_hash(&key);
                let step = (revisions / 60).max(1);
                for revision in (0..revisions + 4).step_by(usize::try_from(step).unwrap()).chain([u64::MAX]) {
                    let expected = versions.iter().find(|e| e.mod_revision <= revision).copied();
                    assert_eq!(run.get(&key, hash, revision).unwrap().as_ref(), expected);
                }
            }
        }
    }
}

#[test]
fn cursors_walk_in_order_both_ways() {
    let mut random = Random(2);
    for key_count in [1, 2, 9, 300] {
        let entries = random.entries(key_count, 1000);
        for run in both(&entries) {
            let mut forward = run.cursor(false);
            assert!(forward.entry().is_none());
            forward.seek_first().unwrap();
            assert!(rest(&mut forward, usize::MAX) == entries);
            forward.advance().unwrap();
            assert!(forward.entry().is_none());
            let mut reverse = run.cursor(true);
            reverse.seek_last().unwrap();
            assert!(rest(&mut reverse, usize::MAX) == reversed(&entries));
            reverse.advance().unwrap();
            assert!(reverse.entry().is_none());
        }
    }
}

#[test]
fn seek_lands_as_the_oracle_says() {
    let mut random = Random(3);
    for key_count in [1, 10, 500] {
        let entries = random.entries(key_count, 1000);
        let backward = reversed(&entries);
        for run in both(&entries) {
            let (mut forward, mut reverse) = (run.cursor(false), run.cursor(true));
            for key in probes(&mut random, &entries) {
                forward.seek(&key).unwrap();
                let from = entries.partition_point(|e| *e.key < *key);
                assert!(rest(&mut forward, 3) == entries[from..].iter().take(3).cloned().collect::<Vec<_>>());
                reverse.seek(&key).unwrap();
                let from = backward.partition_point(|e| *e.key >= *key);
                assert!(rest(&mut reverse, 3) == backward[from..].iter().take(3).cloned().collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn next_key_skips_older_versions() {
    let mut random = Random(4);
    let entries = random.entries(200, 2000);
    for run in both(&entries) {
        for reverse in [false, true] {
            let mut cursor = run.cursor(reverse);
            if reverse { cursor.seek_last() } else { cursor.seek_first() }.unwrap();
            let mut seen = Vec::new();
            while let Some(entry) = cursor.entry() {
                seen.push(entry.key.to_vec());
                if random.below(2) == 0 {
                    cursor.advance().unwrap();
                    if cursor.entry().is_none_or(|e| *e.key != **seen.last().unwrap()) {
                        continue;
                    }
                }
                cursor.next_key().unwrap();
            }
            if reverse {
                seen.reverse();
            }
            assert_eq!(seen, keys(&entries));
        }
    }
}

#[test]
fn a_cursor_may_stand_at_either_end_in_either_mode() {
    let mut random = Random(5);
    let entries = random.entries(50, 50);
    let (lowest, highest) = (entries.first().unwrap(), &reversed(&entries)[0]);
    for run in both(&entries) {
        for reverse in [false, true] {
            let mut cursor = run.cursor(reverse);
            cursor.seek_first().unwrap();
            assert_eq!(Source::to_entry(&cursor).as_ref(), Some(lowest));
            cursor.seek_last().unwrap();
            assert_eq!(Source::to_entry(&cursor).as_ref(), Some(highest));
        }
    }
}

#[test]
fn history_shows_what_the_oracle_shows() {
    let mut random = Random(6);
    let entries = random.entries(300, 400);
    let all = keys(&entries);
    for run in both(&entries) {
        for _ in 0..150 {
            let mut pick = || all[usize::try_from(random.below(all.len() as u64)).unwrap()].clone();
            let (start, end) = (pick(), pick());
            let end = (random.below(4) > 0).then_some(end);
            let (a, b) = (random.below(420), random.below(420));
            let (min, max) = (a.min(b), if random.below(2) == 0 { a.max(b) } else { a.min(b) + 3 });
            let mut seen = Vec::new();
            run.history(&start, end.as_deref(), min, max, &mut |entry| {
                seen.push(entry.to_entry());
                Ok(())
            })
            .unwrap();
            let inside = |e: &&Entry| *e.key >= *start && end.as_ref().is_none_or(|end| *e.key < **end);
            let expected: Vec<Entry> =
                entries.iter().filter(|e| inside(e) && (min..=max).contains(&e.mod_revision)).cloned().collect();
            assert!(seen == expected);
        }
    }
}

#[test]
fn history_does_not_touch_blocks_of_other_revisions() {
    let mut random = Random(7);
    let value = vec![b'v'; 900];
    let entries: Vec<Entry> = (0..4000u64)
        .map(|i| Entry { value: value.clone().into(), ..random.entry(format!("\u{1}{i:06}").as_bytes(), 2 + i, 0) })
        .collect();
    let disk = TestDisk::new(true);
    let info = write(&disk, 1, &entries);
    // Damage a block in the middle: only who looks at it will know.
    let mut bytes = disk.contents(&run_path(1)).unwrap();
    bytes[2 << 20] ^= 1;
    disk.replace(&run_path(1), bytes);
    let run = open(&disk, &info).unwrap();
    let count = |min, max| {
        let mut count = 0;
        run.history(b"", None, min, max, &mut |_| {
            count += 1;
            Ok(())
        })
        .map(|()| count)
    };
    assert_eq!(count(2, 11).unwrap(), 10);
    assert_eq!(count(3900, 5000).unwrap(), 102);
    assert!(matches!(count(2, 5000), Err(Error::Corrupt { offset: 0x20_0000, .. })));
}

#[test]
fn a_row_may_leave_part_of_the_keys() {
    let mut random = Random(8);
    let entries = random.entries(200, 50);
    let all = keys(&entries);
    let disk = TestDisk::new(true);
    let whole = write(&disk, 7, &entries);
    for (from, to) in [(0, 10), (50, 120), (120, all.len() - 1), (77, 77)] {
        let info = RunInfo { first_key: all[from].clone(), last_key: all[to].clone(), ..whole.clone() };
        let run = open(&disk, &info).unwrap();
        let expected: Vec<Entry> =
            entries.iter().filter(|e| *all[from] <= *e.key && *e.key <= *all[to]).cloned().collect();
        let mut cursor = run.cursor(false);
        cursor.seek(b"").unwrap();
        assert!(rest(&mut cursor, usize::MAX) == expected);
        let mut cursor = run.cursor(true);
        cursor.seek(&[0xff; 3]).unwrap();
        assert!(rest(&mut cursor, usize::MAX) == reversed(&expected));
        let mut seen = 0;
        run.history(b"", None, 0, u64::MAX, &mut |_| {
            seen += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, expected.len());
        for (i, key) in all.iter().enumerate() {
            let found = run.get(key, key_hash(key), u64::MAX).unwrap();
            assert_eq!(found.is_some(), (from..=to).contains(&i));
        }
        run.verify(&mut |_| {}).unwrap();
    }
}

#[test]
fn properties_count_what_was_written() {
    let mut random = Random(9);
    let entries = random.entries(100, 80);
    let run = &both(&entries)[0];
    assert_eq!(run.info.id, 7);
    assert_eq!(*run.info.first_key, *entries[0].key);
    assert_eq!(*run.info.last_key, *entries.last().unwrap().key);
    assert_eq!(run.info.entries, entries.len() as u64);
    assert_eq!(run.info.tombstones, entries.iter().filter(|e| e.tombstone).count() as u64);
    assert_eq!(Some(run.info.min_revision), entries.iter().map(|e| e.mod_revision).min());
    assert_eq!(Some(run.info.max_revision), entries.iter().map(|e| e.mod_revision).max());
    let superseded = entries.windows(2).filter(|pair| pair[0].key == pair[1].key).count() as u64;
    assert_eq!(run.info.garbage.last().unwrap().1, superseded);
}

#[test]
fn verify_passes_and_reports_every_byte() {
    let mut random = Random(10);
    for key_count in [1, 30, 1000] {
        for run in both(&random.entries(key_count, 100)) {
            let mut bytes = 0;
            run.verify(&mut |n| bytes += n).unwrap();
            assert_eq!(bytes, run.info.len);
        }
    }
}

#[test]
fn the_writer_refuses_what_is_out_of_order() {
    let disk = TestDisk::new(true);
    let dyn_disk: Arc<dyn Disk> = disk.clone();
    let mut random = Random(11);
    let entry = random.entry(b"\x01m", 5, 1);
    for (key, mod_revision, sub) in [(b"\x01m", 5, 1), (b"\x01m", 5, 2), (b"\x01m", 6, 0), (b"\x01a", 1, 0)] {
        let mut writer = RunWriter::create(&dyn_disk, STORE, 1).unwrap();
        writer.push(entry.borrow()).unwrap();
        let bad = random.entry(key, mod_revision, sub);
        assert!(matches!(writer.push(bad.borrow()), Err(Error::InvalidArgument(_))));
        writer.abandon();
        assert!(disk.contents(&run_path(1)).is_none());
    }
}

#[test]
fn a_run_is_never_empty_and_replaces_a_crashed_one() {
    let disk = TestDisk::new(true);
    let dyn_disk: Arc<dyn Disk> = disk.clone();
    let writer = RunWriter::create(&dyn_disk, STORE, 1).unwrap();
    assert!(matches!(writer.finish(), Err(Error::InvalidArgument(_))));
    assert!(disk.contents(&run_path(1)).is_none());
    disk.replace(&run_path(1), vec![9; 100_000]);
    let entries = Random(12).entries(1, 1);
    let info = write(&disk, 1, &entries);
    open(&disk, &info).unwrap().verify(&mut |_| {}).unwrap();
}

#[test]
fn a_tall_index_leads_everywhere() {
    let mut random = Random(13);
    let small = Entry { value: Default::default(), ..random.entry(b"\x01k", 9, 0) };
    let name = |i: u32| format!("\u{1}registry/pods/{:02}/pod-{:07}", i / 7000, i * 3);
    let entries: Vec<Entry> = (0..120_000).map(|i| Entry { key: name(i).into(), ..small.clone() }).collect();
    for run in both(&entries) {
        assert_eq!(run.levels.len(), 4);
        run.verify(&mut |_| {}).unwrap();
        let (mut forward, mut reverse) = (run.cursor(false), run.cursor(true));
        for i in (1..120_000).step_by(997) {
            // Between two keys of the run.
            let between = format!("{}5", name(i - 1));
            forward.seek(between.as_bytes()).unwrap();
            assert_eq!(forward.entry().unwrap().key, name(i).as_bytes());
            reverse.seek(between.as_bytes()).unwrap();
            assert_eq!(reverse.entry().unwrap().key, name(i - 1).as_bytes());
        }
    }
}

#[test]
fn runs_are_shared_and_cursors_move_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    fn movable<T: Send>(_: &T) {}
    let run = &both(&Random(14).entries(3, 3))[0];
    shared(run);
    movable(&run.cursor(false));
}
