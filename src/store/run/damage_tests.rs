//! Damage gives `Corrupt` or the right answer; nonsense with good checksums gives anything but a panic or a hang.

use std::collections::BTreeSet;

use super::*;
use crate::store::block::block_checksum;
use crate::store::run_writer::RunWriter;
use crate::store::test_disk::TestDisk;
use crate::store::test_entries::{Random, STORE, open, write};

/// A run of four blocks or less, with history, and what its entries are.
fn small(maps: bool) -> (Arc<TestDisk>, RunInfo, Vec<Entry>) {
    let mut random = Random(21);
    let mut entries = Vec::new();
    for i in 0..12u64 {
        for mod_revision in (2..2 + 1 + i % 3).rev() {
            let key = format!("\u{1}key/{i:02}");
            let value = format!("value {i} at {mod_revision}");
            entries.push(Entry { value: value.into(), ..random.entry(key.as_bytes(), mod_revision, 0) });
        }
    }
    let disk = TestDisk::new(maps);
    let info = write(&disk, 3, &entries);
    assert!(info.len <= 16 << 10);
    (disk, info, entries)
}

/// Every way of reading; an error of any but the kind allowed panics. Each answer that comes must be right.
fn read_all(disk: &Arc<TestDisk>, info: &RunInfo, entries: &[Entry]) -> Result<()> {
    let run = open(disk, info)?;
    let mut failed = Ok(());
    let mut keep = |result: Result<()>| failed = std::mem::replace(&mut failed, Ok(())).and(result);
    for entry in entries {
        let answer = run.get(&entry.key, key_hash(&entry.key), entry.mod_revision);
        keep(answer.map(|answer| assert_eq!(answer.as_ref(), Some(entry))));
        keep(run.get(b"\x01key/zz", key_hash(b"\x01key/zz"), 9).map(|answer| assert_eq!(answer, None)));
    }
    let mut backward: Vec<&[Entry]> = entries.chunk_by(|a, b| a.key == b.key).collect();
    backward.reverse();
    keep(scan(&run, false).map(|seen| assert_eq!(seen, entries)));
    keep(scan(&run, true).map(|seen| assert_eq!(seen, backward.concat())));
    let mut seen = Vec::new();
    let history = run.history(b"", None, 0, u64::MAX, &mut |entry| {
        seen.push(entry.to_entry());
        Ok(())
    });
    keep(history.map(|()| assert_eq!(seen, entries)));
    keep(run.verify(&mut |_| {}));
    failed
}

fn scan(run: &Arc<Run>, reverse: bool) -> Result<Vec<Entry>> {
    let mut cursor = run.cursor(reverse);
    if reverse {
        cursor.seek_last()?
    } else {
        cursor.seek_first()?
    }
    let mut seen = Vec::new();
    while let Some(entry) = cursor.entry() {
        seen.push(entry.to_entry());
        cursor.advance()?;
    }
    Ok(seen)
}

fn assert_corrupt(result: Result<()>, what: &str) {
    match result {
        Ok(()) | Err(Error::Corrupt { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn no_flipped_byte_changes_an_answer() {
    for maps in [true, false] {
        let (disk, info, entries) = small(maps);
        let good = disk.contents(&run_path(3)).unwrap();
        read_all(&disk, &info, &entries).unwrap();
        let mut noticed = 0;
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            disk.replace(&run_path(3), bytes);
            let result = read_all(&disk, &info, &entries);
            noticed += usize::from(result.is_err());
            assert_corrupt(result, &format!("byte {at}"));
        }
        // Only the zeros between properties and footer are nobody's.
        assert!(noticed > 8192);
    }
}

#[test]
fn a_cut_or_missing_file_is_refused() {
    let (disk, info, entries) = small(true);
    let good = disk.contents(&run_path(3)).unwrap();
    for len in (0..good.len()).step_by(97).chain([good.len() - 1]) {
        disk.replace(&run_path(3), good[..len].to_vec());
        assert!(matches!(read_all(&disk, &info, &entries), Err(Error::Corrupt { .. })));
        // A catalog that agrees with the cut does not help.
        let cut = RunInfo { len: len as u64, ..info.clone() };
        assert!(matches!(read_all(&disk, &cut, &entries), Err(Error::Corrupt { .. })));
    }
    disk.replace(&run_path(3), [&good[..], &[0]].concat());
    assert!(matches!(read_all(&disk, &info, &entries), Err(Error::Corrupt { .. })));
    let missing = RunInfo { id: 4, ..info };
    assert!(matches!(open(&disk, &missing), Err(Error::Corrupt { .. })));
}

#[test]
fn a_stale_or_foreign_file_is_refused() {
    let (disk, info, entries) = small(true);
    let good = disk.contents(&run_path(3)).unwrap();
    // Another run under this name.
    disk.replace(&run_path(5), good.clone());
    assert!(matches!(open(&disk, &RunInfo { id: 5, ..info.clone() }), Err(Error::Corrupt { .. })));
    // Another store.
    let foreign = Run::open(&(disk.clone() as Arc<dyn Disk>), STORE + 1, info.clone(), true);
    assert!(matches!(foreign, Err(Error::Corrupt { .. })));
    // The same id written twice, as after a crash, with other contents of the same length.
    let mut other = entries.clone();
    other[0].lease = if other[0].lease == 0 { 0 } else { other[0].lease + 1 };
    other[0].version += 1;
    let newer = write(&disk, 3, &other);
    assert_eq!(newer.len, info.len);
    assert!(matches!(open(&disk, &info), Err(Error::Corrupt { .. })));
    open(&disk, &newer).unwrap();
}

#[test]
fn a_block_of_another_place_does_not_verify() {
    let mut random = Random(22);
    let disk = TestDisk::new(true);
    let entries: Vec<Entry> = (0..400u64).map(|i| random.entry(format!("\u{1}{i:09}").as_bytes(), 2 + i, 0)).collect();
    let info = write(&disk, 3, &entries);
    let mut bytes = disk.contents(&run_path(3)).unwrap();
    let (first, rest) = bytes.split_at_mut(BLOCK_BYTES);
    first.swap_with_slice(&mut rest[..BLOCK_BYTES]);
    disk.replace(&run_path(3), bytes);
    assert!(matches!(scan(&open(&disk, &info).unwrap(), false), Err(Error::Corrupt { offset: 0, .. })));
}

#[test]
fn a_newer_format_says_so() {
    let (disk, mut info, _) = small(true);
    let mut bytes = disk.contents(&run_path(3)).unwrap();
    let footer = bytes.len() - FOOTER_BYTES;
    bytes[footer + 8] = 2;
    let crc = codec::crc32(0, &bytes[footer..footer + FOOTER_BYTES - 4]);
    bytes[footer + FOOTER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    disk.replace(&run_path(3), bytes);
    info.footer_crc = crc;
    assert!(matches!(open(&disk, &info), Err(Error::FormatTooNew { format: 2, .. })));
}

/// Recomputes all checksums, as somebody who wants to do harm would.
fn resign(bytes: &mut [u8], info: &mut RunInfo) {
    let footer = bytes.len() - FOOTER_BYTES;
    let number = |bytes: &[u8], at: usize| size(u64::from_le_bytes(bytes[footer + at..][..8].try_into().unwrap()));
    let (checked, properties, len) = (number(bytes, 88), number(bytes, 96), number(bytes, 104));
    let seed = block::checksum_seed(STORE, info.id);
    for block in 0..checked / BLOCK_BYTES {
        let sum = block_checksum(seed, block as u64, &bytes[block * BLOCK_BYTES..][..BLOCK_BYTES]);
        bytes[checked + block * 4..][..4].copy_from_slice(&sum.to_le_bytes());
    }
    let sums = [(112, checked..properties), (116, properties..properties + len)];
    for (at, range) in sums {
        let crc = codec::crc32(0, &bytes[range]);
        bytes[footer + at..][..4].copy_from_slice(&crc.to_le_bytes());
    }
    let crc = codec::crc32(0, &bytes[footer..footer + FOOTER_BYTES - 4]);
    bytes[footer + FOOTER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    info.footer_crc = crc;
}

/// Reads in every way and lets answers be wrong; verify must not be fooled about entries.
fn provoke(disk: &Arc<TestDisk>, info: &RunInfo, keys: &BTreeSet<Vec<u8>>) {
    let Ok(run) = open(disk, info) else { return };
    for key in keys {
        for revision in [0, 2, 3, u64::MAX] {
            let _ = run.get(key, key_hash(key), revision);
        }
        for reverse in [false, true] {
            let mut cursor = run.cursor(reverse);
            let _ = cursor.seek(key);
            for _ in 0..20 {
                let _ = cursor.next_key();
            }
        }
        let _ = run.history(key, None, 3, 3, &mut |_| Ok(()));
    }
    let _ = (scan(&run, false), scan(&run, true));
    let _ = run.verify(&mut |_| {});
}

#[test]
fn nonsense_with_good_checksums_does_no_harm() {
    for maps in [true, false] {
        let (disk, info, entries) = small(maps);
        let good = disk.contents(&run_path(3)).unwrap();
        let keys: BTreeSet<Vec<u8>> = entries.iter().map(|e| e.key.to_vec()).collect();
        let mut random = Random(23);
        for at in 0..good.len() - 4 {
            if at < good.len() - FOOTER_BYTES && good[at..at + 4] == [0; 4] {
                continue;
            }
            let (mut bytes, mut info) = (good.clone(), info.clone());
            match random.below(3) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = 0xff,
                _ => bytes[at..at + 4].copy_from_slice(&random.next().to_le_bytes()[..4]),
            }
            // A footer that leads nowhere cannot be signed by the offsets in it.
            if at < good.len() - FOOTER_BYTES {
                resign(&mut bytes, &mut info);
            } else {
                let crc = codec::crc32(0, &bytes[good.len() - FOOTER_BYTES..good.len() - 4]);
                bytes[good.len() - 4..].copy_from_slice(&crc.to_le_bytes());
                info.footer_crc = crc;
            }
            disk.replace(&run_path(3), bytes);
            provoke(&disk, &info, &keys);
        }
    }
}

#[test]
fn a_failed_write_or_sync_leaves_no_file() {
    let entries = Random(24).entries(50, 50);
    let disk = TestDisk::new(true);
    let dyn_disk: Arc<dyn Disk> = disk.clone();
    for site in [IoSite::RunWrite, IoSite::RunFooter, IoSite::RunSync, IoSite::RunSyncDir] {
        let mut writer = RunWriter::create(&dyn_disk, STORE, 1).unwrap();
        entries.iter().for_each(|entry| writer.push(entry.borrow()).unwrap());
        disk.fail(Some(site));
        assert!(writer.finish().is_err_and(|error| error.is_no_space()));
        disk.fail(None);
        assert!(disk.contents(&run_path(1)).is_none());
    }
}

#[test]
fn a_failed_read_fails_one_call() {
    let (disk, info, entries) = small(false);
    let run = open(&disk, &info).unwrap();
    let get = || run.get(&entries[0].key, key_hash(&entries[0].key), u64::MAX);
    disk.fail(Some(IoSite::RunRead));
    assert!(matches!(get(), Err(Error::Io { .. })));
    let mut cursor = run.cursor(false);
    assert!(cursor.seek_first().is_err() && cursor.entry().is_none());
    disk.fail(None);
    assert_eq!(get().unwrap().as_ref(), Some(&entries[0]));
}
