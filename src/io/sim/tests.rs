//! What a crash may leave and what it may not, and calls that fail as planned.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::*;
use crate::io::memory::MemoryDisk;
use crate::io::{Disk, DiskFile, IoSite, LockError, OpenMode, read_exact_at, write_all_at};

/// A site whose writes are taken whole or torn at random.
const SITE: IoSite = IoSite::RunWrite;
/// A site whose writes are enumerated sector by sector.
const LOG: IoSite = IoSite::LogAppend;

fn images(disk: &SimDisk) -> Vec<Image> {
    let mut images = Vec::new();
    disk.record().images_at(disk.position(), &mut SplitMix64::new(1), &mut |image| images.push(image));
    images
}

fn distinct(images: &[Image]) -> usize {
    images.iter().map(Image::hash).collect::<BTreeSet<_>>().len()
}

/// A disk with one durable file of `len` bytes of `a`.
fn disk_with(path: &str, len: usize) -> (SimDisk, std::sync::Arc<dyn DiskFile>) {
    let mut image = Image::new();
    image.insert(path, &vec![b'a'; len]);
    let disk = SimDisk::from_image(image);
    let file = disk.open(SITE, path, OpenMode::ReadWrite).unwrap();
    (disk, file)
}

fn create(disk: &SimDisk, path: &str, bytes: &[u8]) -> std::sync::Arc<dyn DiskFile> {
    let file = disk.open(SITE, path, OpenMode::CreateNew).unwrap();
    write_all_at(&*file, SITE, bytes, 0).unwrap();
    file
}

fn contents(images: &[Image], path: &str) -> BTreeSet<Option<Vec<u8>>> {
    images.iter().map(|image| image.read(path)).collect()
}

fn some(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.to_vec())
}

#[test]
fn it_behaves_like_files_in_memory() {
    let (sim, memory) = (SimDisk::new(), MemoryDisk::new());
    let disks: [&dyn Disk; 2] = [&sim, &memory];
    let mut seed = SplitMix64::new(11);
    for _ in 0..2000 {
        let path = ["a", "b", "d/a", "d/b", "e/a"][seed.index(5)];
        let other = ["a", "d/c", "d/b"][seed.index(3)];
        let mode = [OpenMode::Read, OpenMode::ReadWrite, OpenMode::CreateNew, OpenMode::Truncate][seed.index(4)];
        let (choice, at, len) = (seed.below(8), seed.below(9000), seed.index(5000));
        let outcome = |disk: &dyn Disk| -> Result<Vec<u8>, io::ErrorKind> {
            let done = match choice {
                0 => disk.create_dir(SITE, "d").map(|()| Vec::new()),
                1 => disk.rename(SITE, path, other).map(|()| Vec::new()),
                2 => disk.remove(SITE, path).map(|()| Vec::new()),
                3 => disk.list(SITE, "d").map(|names| names.concat().into_bytes()),
                _ => disk.open(SITE, path, mode).and_then(|file| {
                    if mode != OpenMode::Read {
                        write_all_at(&*file, SITE, &vec![7; len], at)?;
                        file.set_len(SITE, at + 100)?;
                    }
                    let mut bytes = vec![0; usize::try_from(file.len(SITE)?).unwrap()];
                    read_exact_at(&*file, SITE, &mut bytes, 0).map(|()| bytes)
                }),
            };
            done.map_err(|e| e.kind())
        };
        let [simulated, real] = disks.map(outcome);
        assert_eq!(simulated, real);
    }
}

#[test]
fn what_is_synced_stays_and_any_part_of_the_rest() {
    let (disk, file) = disk_with("f", 3 * 512);
    file.write_at(SITE, b"1", 0).unwrap();
    file.sync_data(SITE).unwrap();
    assert_eq!(distinct(&images(&disk)), 1);
    file.write_at(SITE, b"2", 512).unwrap();
    file.write_at(SITE, b"3", 1024).unwrap();
    file.write_at(SITE, b"4", 0).unwrap();
    let left = images(&disk);
    assert_eq!(distinct(&left), 8);
    for image in &left {
        let bytes = image.read("f").unwrap();
        assert!(b"14".contains(&bytes[0]) && b"a2".contains(&bytes[512]) && b"a3".contains(&bytes[1024]));
    }
    let record = disk.record();
    assert_eq!(record.crash_points(), 0..=5);
    assert_eq!(record.durable_at(5).read("f").unwrap()[0], b'1');
    assert_eq!(record.complete_at(5), disk.image());
    assert_eq!(record.durable_at(0), *record.initial());
}

#[test]
fn a_sync_covers_one_file() {
    let disk = SimDisk::new();
    let (a, _b) = (create(&disk, "a", b"1"), create(&disk, "b", b"2"));
    a.sync_all(SITE).unwrap();
    disk.sync_dir(SITE, "").unwrap();
    let left = images(&disk);
    assert_eq!(contents(&left, "a"), [some(b"1")].into());
    assert!(contents(&left, "b").is_superset(&[some(b""), some(b"2")].into()));
}

#[test]
fn a_name_needs_its_directory() {
    let disk = SimDisk::new();
    disk.create_dir(SITE, "d").unwrap();
    create(&disk, "d/f", b"x").sync_all(SITE).unwrap();
    disk.sync_dir(SITE, "d").unwrap();
    // The directory's own entry may be lost, and all in it with it.
    assert_eq!(contents(&images(&disk), "d/f"), [None, some(b"x")].into());
    disk.sync_dir(SITE, "").unwrap();
    assert_eq!(contents(&images(&disk), "d/f"), [some(b"x")].into());
}

#[test]
fn a_rename_is_atomic_and_may_be_undone() {
    let (disk, old) = disk_with("f", 3);
    create(&disk, "f.tmp", b"new").sync_all(SITE).unwrap();
    disk.rename(SITE, "f.tmp", "f").unwrap();
    let left = images(&disk);
    let pairs: BTreeSet<_> = left.iter().map(|image| (image.read("f.tmp"), image.read("f"))).collect();
    let (new, aaa) = (some(b"new"), some(b"aaa"));
    assert_eq!(pairs, [(None, aaa.clone()), (None, new.clone()), (new.clone(), aaa)].into());
    disk.sync_dir(SITE, "").unwrap();
    assert_eq!(contents(&images(&disk), "f"), [new].into());
    let mut byte = [0];
    old.read_at(SITE, &mut byte, 0).unwrap();
    assert_eq!(&byte, b"a", "who has the replaced file open still reads it");
}

#[test]
fn a_rename_between_directories_needs_both() {
    let mut image = Image::new();
    image.insert("in/f", b"x");
    image.insert("out/g", b"y");
    let disk = SimDisk::from_image(image);
    disk.rename(SITE, "in/f", "out/f").unwrap();
    disk.sync_dir(SITE, "out").unwrap();
    let both: BTreeSet<_> = images(&disk).iter().map(|i| (i.read("in/f"), i.read("out/f"))).collect();
    assert_eq!(both, [(some(b"x"), None), (None, some(b"x"))].into());
    disk.sync_dir(SITE, "in").unwrap();
    assert_eq!(contents(&images(&disk), "out/f"), [some(b"x")].into());
}

#[test]
fn a_renamed_directory_takes_its_files_along() {
    let disk = SimDisk::new();
    disk.create_dir(SITE, "new.tmp").unwrap();
    create(&disk, "new.tmp/f", b"x").sync_all(SITE).unwrap();
    disk.rename(SITE, "new.tmp", "new").unwrap();
    disk.sync_dir(SITE, "").unwrap();
    assert_eq!(contents(&images(&disk), "new/f"), [None, some(b"x")].into());
    disk.sync_dir(SITE, "new").unwrap();
    assert_eq!(contents(&images(&disk), "new/f"), [some(b"x")].into());
    assert_eq!(disk.image().dirs().collect::<Vec<_>>(), ["new"]);
}

#[test]
fn a_removal_may_be_undone() {
    let (disk, file) = disk_with("f", 1);
    file.write_at(SITE, b"z", 0).unwrap();
    disk.remove(SITE, "f").unwrap();
    assert_eq!(contents(&images(&disk), "f"), [None, some(b"a"), some(b"z")].into());
    disk.sync_dir(SITE, "").unwrap();
    assert_eq!(distinct(&images(&disk)), 1, "what nobody can reach makes no difference");
}

#[test]
fn an_append_of_twelve_sectors_is_torn_in_every_way() {
    let (disk, file) = disk_with("log", 8192);
    file.write_at(LOG, &[b'b'; 12 * 512], 512).unwrap();
    assert_eq!(distinct(&images(&disk)), 1 << 12);
    // With more pending than can be combined, still every way for the write in flight.
    for at in 0..13 {
        file.write_at(SITE, b"c", at * 512).unwrap();
    }
    file.write_at(LOG, &[b'd'; 3000], 500).unwrap();
    let record = disk.record();
    let mut torn = BTreeSet::new();
    record.images_at(record.ops().len(), &mut SplitMix64::new(2), &mut |image| {
        let bytes = image.read("log").unwrap();
        torn.insert([500, 512, 1024, 1536, 2048, 2560, 3072].map(|at| bytes[at + 1] == b'd'));
    });
    assert_eq!(torn.len(), 1 << 7);
}

#[test]
fn a_sector_is_old_or_new_but_never_mixed() {
    // Twenty writes of nine sectors, each two sectors further on.
    let (disk, file) = disk_with("f", 60 * 512);
    for round in 0..20_u8 {
        file.write_at(SITE, &[round; 9 * 512], u64::from(round) * 2 * 512).unwrap();
    }
    let may_be = |sector: usize, byte: u8| match byte {
        b'a' => true,
        round => round < 20 && (0..9).any(|i| usize::from(round) * 2 + i == sector),
    };
    let mut torn = 0;
    for image in images(&disk) {
        let bytes = image.read("f").unwrap();
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).zip(&sectors).all(|(sector, first)| sector.iter().all(|byte| byte == first)));
        assert!(sectors.iter().enumerate().all(|(sector, byte)| may_be(sector, *byte)));
        // Nothing lies over the last write, so only a tear explains a part of it.
        let of_last = sectors[38..47].iter().filter(|byte| **byte == 19).count();
        torn += usize::from((1..9).contains(&of_last));
    }
    assert!(torn > 5, "some writes were torn: {torn}");
}

#[test]
fn a_length_may_arrive_before_the_data() {
    let (disk, file) = disk_with("f", 4);
    file.write_at(SITE, b"data", 4).unwrap();
    let (mut zeros, mut garbage) = (false, false);
    for seed in 0..20 {
        disk.record().images_at(1, &mut SplitMix64::new(seed), &mut |image| {
            let bytes = image.read("f").unwrap();
            assert_eq!(&bytes[..4], b"aaaa");
            zeros |= bytes[4..] == [0; 4];
            garbage |= bytes.len() == 8 && bytes[4..] != [0; 4] && &bytes[4..] != b"data";
        });
    }
    assert!(zeros && garbage);
    // A length that was asked for reads as zeros.
    let (disk, file) = disk_with("f", 4);
    file.set_len(SITE, 8).unwrap();
    file.set_len(SITE, 2).unwrap();
    let lens: BTreeSet<_> = contents(&images(&disk), "f");
    assert_eq!(lens, [some(b"aaaa"), some(b"aaaa\0\0\0\0"), some(b"aa")].into());
}

#[test]
fn too_much_for_all_subsets_gets_the_telling_ones() {
    let (disk, file) = disk_with("f", 20 * 512);
    for at in 0..20 {
        file.write_at(SITE, b"b", at * 512).unwrap();
    }
    let left = images(&disk);
    let seen: BTreeSet<Vec<bool>> = left
        .iter()
        .map(|image| image.read("f").unwrap().chunks(512).map(|sector| sector[0] == b'b').collect())
        .collect();
    for i in 0..20 {
        for want in [
            (0..20).map(|at| at < i).collect::<Vec<_>>(),
            (0..20).map(|at| at == i).collect(),
            (0..20).map(|at| at != i).collect(),
            (0..20).map(|at| at == i || at == 7).collect(),
        ] {
            assert!(seen.contains(&want));
        }
    }
    assert!(seen.contains(&vec![true; 20]) && seen.len() >= 2 + 19 + 20 + 20 + 170 + 50);
}

#[test]
fn places_may_be_visited_in_any_order() {
    let disk = SimDisk::new();
    let file = create(&disk, "f", b"one");
    file.sync_data(SITE).unwrap();
    disk.sync_dir(SITE, "").unwrap();
    file.write_at(LOG, &[1; 2000], 3).unwrap();
    let record = disk.record();
    let at = |position: usize| {
        let mut hashes = Vec::new();
        record.images_at(position, &mut SplitMix64::new(9), &mut |image| hashes.push(image.hash()));
        hashes
    };
    let forward: Vec<_> = record.crash_points().map(at).collect();
    let backward: Vec<_> = record.crash_points().rev().map(at).collect();
    assert!(forward.iter().eq(backward.iter().rev()));
    // A visitor may ask the record itself.
    record.images_at(3, &mut SplitMix64::new(1), &mut |_| drop(record.durable_at(1)));
}

#[test]
fn a_crash_can_crash_again() {
    let (disk, file) = disk_with("f", 1024);
    file.write_at(SITE, b"b", 0).unwrap();
    let nested: BTreeSet<_> = images(&disk)
        .into_iter()
        .flat_map(|image| {
            let disk = SimDisk::from_image(image);
            let file = disk.open(SITE, "f", OpenMode::ReadWrite).unwrap();
            file.write_at(SITE, b"c", 512).unwrap();
            images(&disk).iter().map(Image::hash).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(nested.len(), 4);
}

#[test]
fn a_skipped_sync_loses_data() {
    let (disk, file) = disk_with("f", 1);
    disk.skip_syncs(IoSite::LogSync);
    disk.skip_syncs(IoSite::LogSyncDir);
    file.write_at(SITE, b"b", 0).unwrap();
    file.sync_data(IoSite::LogSync).unwrap();
    create(&disk, "g", b"");
    disk.sync_dir(IoSite::LogSyncDir, "").unwrap();
    assert_eq!(contents(&images(&disk), "f").len(), 2);
    assert!(contents(&images(&disk), "g").contains(&None));
    assert_eq!(disk.sites_hit()[&IoSite::LogSync], 1);
    file.sync_data(SITE).unwrap();
    assert_eq!(contents(&images(&disk), "f"), [some(b"b")].into());
}

#[test]
fn calls_fail_as_planned() {
    let plan = |kind, nth, forever| {
        let (disk, file) = disk_with("f", 8);
        disk.fail(Fault { site: Some(SITE), nth, kind, forever });
        let mut results = Vec::new();
        for _ in 0..4 {
            results.push(file.write_at(SITE, b"bb", 0).map_err(|e| e.kind()));
            file.write_at(LOG, b"c", 4).unwrap();
        }
        (disk.faults_fired(), results)
    };
    let full = Err(io::ErrorKind::StorageFull);
    assert_eq!(plan(FaultKind::Enospc, 2, false), (1, vec![Ok(2), full, Ok(2), Ok(2)]));
    assert_eq!(plan(FaultKind::Enospc, 2, true), (3, vec![Ok(2), full, full, full]));
    assert_eq!(plan(FaultKind::Edquot, 1, false).1[0], Err(io::ErrorKind::QuotaExceeded));
    assert_eq!(plan(FaultKind::ShortWrite, 4, false), (1, vec![Ok(2), Ok(2), Ok(2), Ok(1)]));
    let interrupted = Err(io::ErrorKind::Interrupted);
    assert_eq!(plan(FaultKind::Eintr, 1, true), (1, vec![interrupted, Ok(2), Ok(2), Ok(2)]));
    assert_eq!(plan(FaultKind::ShortRead, 1, true).0, 0, "only reads can be short");
    assert_eq!(plan(FaultKind::Eio, 9, true).0, 0, "it was not called so often");
}

#[test]
fn any_call_can_meet_a_broken_disk() {
    let (disk, file) = disk_with("f", 8);
    disk.fail(Fault { site: None, nth: 1, kind: FaultKind::Eio, forever: true });
    let mut byte = [0];
    assert!(file.read_at(SITE, &mut byte, 0).is_err() && file.write_at(SITE, &byte, 0).is_err());
    assert!(file.set_len(SITE, 0).is_err() && file.len(SITE).is_err());
    assert!(file.sync_data(SITE).is_err() && file.sync_all(SITE).is_err());
    assert!(disk.open(SITE, "f", OpenMode::Read).is_err() && disk.create_dir(SITE, "d").is_err());
    assert!(disk.rename(SITE, "f", "g").is_err() && disk.remove(SITE, "f").is_err());
    assert!(disk.list(SITE, "").is_err() && disk.sync_dir(SITE, "").is_err());
    assert_eq!((disk.position(), disk.faults_fired()), (0, 12));
    disk.clear_faults();
    assert_eq!(disk.list(SITE, "").unwrap(), ["f"]);
}

#[test]
fn a_failed_sync_drops_what_was_pending() {
    let (disk, file) = disk_with("f", 1);
    disk.fail(Fault { site: None, nth: 1, kind: FaultKind::SyncLosesData, forever: false });
    file.write_at(SITE, b"b", 0).unwrap();
    assert!(file.sync_data(SITE).is_err());
    file.sync_data(SITE).unwrap();
    let mut byte = [0];
    file.read_at(SITE, &mut byte, 0).unwrap();
    assert_eq!(&byte, b"b");
    assert_eq!(contents(&images(&disk), "f"), [some(b"a")].into());
    assert_eq!(disk.image().read("f"), some(b"b"));
}

#[test]
fn disks_rot_and_misdirect() {
    let (disk, file) = disk_with("f", 8192);
    disk.fail(Fault { site: None, nth: 1, kind: FaultKind::BitRot, forever: false });
    disk.fail(Fault { site: None, nth: 1, kind: FaultKind::Misdirect, forever: false });
    let mut four = [0; 4];
    file.read_at(SITE, &mut four, 0).unwrap();
    assert_ne!(&four, b"aaaa");
    file.write_at(SITE, b"b", 1).unwrap();
    let mut image = disk.image();
    assert_eq!(image.read("f").unwrap()[4097], b'b');
    assert!(image.swap_blocks("f", 0, 4096, 512) && !image.swap_blocks("f", 8000, 0, 512));
    assert_eq!(image.read("f").unwrap()[1], b'b');
    assert!(image.flip_bit("f", 0, 1) && !image.flip_bit("f", 8192, 1) && !image.flip_bit("g", 0, 1));
    assert!(image.mutate("f", |bytes| bytes.truncate(1)));
    assert_eq!(image.read("f"), some(b"c"));
    assert_eq!(disk.image().read("f").unwrap().len(), 8192, "images do not share changes");
    assert!(image.remove("f") && !image.remove("f"));
}

#[test]
fn a_disk_runs_full() {
    let disk = SimDisk::new();
    let file = create(&disk, "f", &[1; 5000]);
    disk.set_capacity(Some(3 * 4096));
    file.set_len(SITE, 1 << 20).unwrap();
    file.write_at(SITE, b"x", 100_000).unwrap();
    assert_eq!(file.write_at(SITE, b"x", 200_000).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_at(SITE, b"y", 0).unwrap();
    assert_eq!(disk.used(), 3 * 4096);
    file.set_len(SITE, 4096).unwrap();
    file.write_at(SITE, b"x", 20_000).unwrap();
    assert_eq!(file.write_at(SITE, b"x", u64::MAX).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn one_writer_or_many_readers() {
    let disk = SimDisk::new();
    let writer = disk.lock(true).unwrap();
    assert!(matches!(disk.lock(false), Err(LockError::Held(Some(_)))) && disk.lock(true).is_err());
    assert!(SimDisk::from_image(disk.image()).lock(true).is_ok(), "a crash releases it");
    drop(writer);
    let readers = (disk.lock(false).unwrap(), disk.lock(false).unwrap());
    assert!(disk.lock(true).is_err());
    drop(readers);
    assert!(disk.lock(true).is_ok());
}

#[test]
fn an_image_is_what_it_holds() {
    let mut hashes = BTreeMap::new();
    for (path, bytes) in [("a", "x"), ("b", "x"), ("a", ""), ("d/a", "x"), ("a", "y")] {
        let mut image = Image::new();
        image.insert(path, bytes.as_bytes());
        assert_eq!(hashes.insert(image.hash(), (path, bytes)), None);
    }
    let mut image = Image::new();
    image.insert("d/e/f", b"123");
    assert_eq!(format!("{image:?}"), r#"{"d": None, "d/e": None, "d/e/f": Some(3)}"#);
    assert_eq!(image.files().map(|(path, content)| (path, content.len())).collect::<Vec<_>>(), [("d/e/f", 3)]);
    let dir = std::env::temp_dir().join(format!("etclite-image-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    image.write_to(&dir).unwrap();
    let back = Image::read_from(&dir);
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(back.unwrap(), image);
}
