//! Damage, crashes and failing disks, on a small disk in memory whose operations can be counted and failed.

use std::collections::BTreeMap;

use super::*;
use crate::io::{DiskFile, DiskLock, LockError};

#[test]
fn every_kind_of_row_comes_back() {
    let disk = TestDisk::default();
    assert!(!Catalog::exists(&disk.handle()).unwrap());
    let contents = example();
    let catalog = Catalog::create(&disk.handle(), &contents).unwrap();
    assert_eq!(catalog.contents(), contents);
    drop(catalog);
    assert!(Catalog::exists(&disk.handle()).unwrap());
    assert!(Catalog::is_catalog(&disk.handle()).unwrap());
    assert_eq!(Catalog::read(&disk.handle()).unwrap(), contents);
    let (catalog, opened) = Catalog::open(&disk.handle()).unwrap();
    assert_eq!((catalog.contents(), opened), (contents.clone(), contents));
    assert_eq!(disk.names(), [FILE]);
}

#[test]
fn edits_last() {
    let disk = TestDisk::default();
    let mut catalog = Catalog::create(&disk.handle(), &example()).unwrap();
    let mut expected = example();
    for round in 0..40 {
        let edit = some_edit(round);
        catalog.edit(&edit).unwrap();
        edit.apply_to(&mut expected);
        assert_eq!(catalog.contents(), expected);
        assert_eq!(Catalog::read(&disk.handle()).unwrap(), expected, "as after a kill");
        if round % 7 == 0 {
            drop(catalog);
            let opened;
            (catalog, opened) = Catalog::open(&disk.handle()).unwrap();
            assert_eq!(opened, expected);
        }
    }
}

#[test]
fn the_last_change_to_a_row_counts_and_nothing_is_nothing() {
    let disk = TestDisk::default();
    let catalog = Catalog::create(&disk.handle(), &example()).unwrap();
    let before = disk.operations();
    catalog.edit(&Edit::default()).unwrap();
    assert_eq!(disk.operations(), before);
    let mut edit = Edit::default();
    edit.remove_lease(7);
    edit.put_lease(7, LeaseRow { ttl_ms: 1, ..LeaseRow::default() });
    edit.put_run(99, RunRow::default());
    edit.remove_run(99);
    edit.remove_segment(12345);
    catalog.edit(&edit).unwrap();
    let contents = Catalog::read(&disk.handle()).unwrap();
    assert_eq!(contents.leases[&7].ttl_ms, 1);
    assert!(!contents.runs.contains_key(&99));
    assert_eq!(contents, catalog.contents());
}

#[test]
fn dropping_and_reading_write_nothing() {
    let disk = TestDisk::default();
    let catalog = Catalog::create(&disk.handle(), &example()).unwrap();
    catalog.edit(&some_edit(1)).unwrap();
    let (before, image) = (disk.writes(), disk.image());
    drop(catalog);
    Catalog::read(&disk.handle()).unwrap();
    assert_eq!((disk.writes(), disk.image()), (before, image));
}

#[test]
fn any_flipped_byte_is_found_or_harmless() {
    let disk = TestDisk::default();
    let catalog = Catalog::create(&disk.handle(), &example()).unwrap();
    for round in 0..3 {
        catalog.edit(&some_edit(round)).unwrap();
    }
    let (image, contents) = (disk.image(), catalog.contents());
    drop(catalog);
    let (mut harmless, mut found, mut panicked) = (0, 0, 0);
    // All of the header, which redb takes on trust for the most part, and a sample of the pages.
    let places = (0..512).chain((512..image.len()).step_by((image.len() / 3000).max(1)));
    for place in places {
        let flips: &[u8] = if place < 64 { &[1, 2, 4, 8, 16, 32, 64, 128, 0xff] } else { &[1 << (place % 8), 0xff] };
        for flip in flips {
            let mut damaged = image.clone();
            damaged[place] ^= flip;
            match Catalog::read(&TestDisk::with(damaged).handle()) {
                Ok(read) => {
                    assert_eq!(read, contents, "byte {place} ^ {flip:#x}");
                    harmless += 1;
                }
                Err(Error::Corrupt { what, .. }) => {
                    found += 1;
                    panicked += usize::from(what.contains("panicked"));
                }
                Err(other) => panic!("byte {place} ^ {flip:#x}: {other}"),
            }
        }
    }
    assert!(harmless > 0 && found > 0);
    assert!(panicked * 100 < found, "redb panicked {panicked} times of {found}: it no longer checks pages first?");
}

#[test]
fn any_cut_is_found() {
    let disk = TestDisk::default();
    let catalog = Catalog::create(&disk.handle(), &example()).unwrap();
    catalog.edit(&some_edit(1)).unwrap();
    let (image, contents) = (disk.image(), catalog.contents());
    for len in (0..600).chain((600..image.len()).step_by(509)).chain((0..image.len()).step_by(4096)) {
        let short = image[..len].to_vec();
        match Catalog::read(&TestDisk::with(short).handle()) {
            // The last pages may be free.
            Ok(read) => assert_eq!(read, contents, "cut at {len}"),
            Err(Error::Corrupt { .. }) => {}
            Err(other) => panic!("cut at {len}: {other}"),
        }
        let mut zeroed = image.clone();
        zeroed[len..].fill(0);
        match Catalog::read(&TestDisk::with(zeroed).handle()) {
            Ok(read) => assert_eq!(read, contents, "zeros from {len}"),
            Err(Error::Corrupt { .. }) => {}
            Err(other) => panic!("zeros from {len}: {other}"),
        }
    }
}

#[test]
fn pages_of_an_earlier_file_do_not_pass() {
    let disk = TestDisk::default();
    let catalog = Catalog::create(&disk.handle(), &example()).unwrap();
    let mut images = vec![(disk.image(), catalog.contents())];
    for round in 0..6 {
        catalog.edit(&some_edit(round)).unwrap();
        images.push((disk.image(), catalog.contents()));
    }
    let (newest, contents) = images.last().unwrap();
    for (older, _) in &images[..images.len() - 1] {
        for page in 1..older.len().min(newest.len()) / 4096 {
            let mut mixed = newest.clone();
            mixed[page * 4096..][..4096].copy_from_slice(&older[page * 4096..][..4096]);
            match Catalog::read(&TestDisk::with(mixed).handle()) {
                Ok(read) => assert_eq!(&read, contents, "a lost write of page {page}"),
                Err(Error::Corrupt { .. }) => {}
                Err(other) => panic!("page {page}: {other}"),
            }
        }
    }
}

#[test]
fn what_is_not_a_catalog_is_told_apart() {
    for (bytes, is_catalog) in
        [(&b""[..], false), (b"hello world, this is text", false), (&[0; 8192], false), (b"redb\x1a\n\xa9\r\x0b", true)]
    {
        let disk = TestDisk::with(bytes.to_vec());
        assert!(matches!(Catalog::open(&disk.handle()), Err(Error::Corrupt { .. })));
        assert_eq!(Catalog::is_catalog(&disk.handle()).unwrap(), is_catalog);
        assert_eq!(disk.image(), bytes, "left as it was");
    }
}

#[test]
fn a_newer_format_is_refused() {
    let disk = TestDisk::default();
    let mut contents = example();
    contents.meta.format = FORMAT + 1;
    drop(Catalog::create(&disk.handle(), &contents).unwrap());
    assert!(matches!(Catalog::open(&disk.handle()), Err(Error::FormatTooNew { format, .. }) if format == FORMAT + 1));
}

#[test]
fn a_row_that_could_not_be_read_back_is_refused() {
    let disk = TestDisk::default();
    let catalog = Catalog::create(&disk.handle(), &example()).unwrap();
    let mut edit = Edit::default();
    edit.put_run(50, RunRow { first_key: vec![7; 2 << 20], ..RunRow::default() });
    assert!(matches!(catalog.edit(&edit), Err(Error::TooLarge { .. })));
    assert_eq!(catalog.contents(), example());
    catalog.edit(&some_edit(1)).unwrap();
    assert_eq!(Catalog::read(&disk.handle()).unwrap(), catalog.contents());
}

#[test]
fn a_crash_at_any_step_of_an_open_changes_nothing() {
    for nth in 1.. {
        let disk = TestDisk::default();
        drop(Catalog::create(&disk.handle(), &example()).unwrap());
        disk.fail(nth, libc::EIO, true);
        let opened = Catalog::open(&disk.handle()).map(drop);
        let failed = disk.heal();
        // As after a kill: the temporary file may be there, whole or not.
        assert_eq!(Catalog::open(&disk.handle()).unwrap().1, example());
        assert_eq!(disk.names(), [FILE]);
        if !failed {
            opened.unwrap();
            break;
        }
        assert!(matches!(opened, Err(Error::Io { source, .. }) if source.raw_os_error() == Some(libc::EIO)));
    }
}

#[test]
fn a_stale_temporary_file_is_overwritten() {
    let disk = TestDisk::default();
    drop(Catalog::create(&disk.handle(), &example()).unwrap());
    disk.put(TEMPORARY, vec![0xa5; 300_000]);
    let (catalog, contents) = Catalog::open(&disk.handle()).unwrap();
    assert_eq!(contents, example());
    assert_eq!(disk.names(), [FILE]);
    assert!(disk.image().len() < 100_000);
    catalog.edit(&some_edit(1)).unwrap();
    assert_eq!(Catalog::read(&disk.handle()).unwrap(), catalog.contents());
}

/// Fails each operation of an edit in turn, from there on or once.
fn fail_each(code: i32, for_ever: bool, check: impl Fn(&TestDisk, Catalog, Contents, Contents, Error)) {
    for warm in [0, 5] {
        for nth in 1.. {
            let disk = TestDisk::default();
            let catalog = Catalog::create(&disk.handle(), &example()).unwrap();
            for round in 0..warm {
                catalog.edit(&some_edit(round)).unwrap();
            }
            let before = catalog.contents();
            let mut after = before.clone();
            let edit = big_edit();
            edit.apply_to(&mut after);
            disk.fail(nth, code, for_ever);
            let result = catalog.edit(&edit);
            if !disk.heal() {
                result.unwrap();
                assert!(nth > 5, "an edit has more operations than that");
                break;
            }
            let Err(error) = result else {
                // redb may retry a write that it can do later.
                assert_eq!(Catalog::read(&disk.handle()).unwrap(), after);
                continue;
            };
            assert!(matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(code)), "{error:?}");
            check(&disk, catalog, before, after, error);
        }
    }
}

#[test]
fn a_failing_disk_poisons_and_loses_nothing() {
    for for_ever in [false, true] {
        fail_each(libc::EIO, for_ever, |disk, catalog, before, after, _| {
            assert_eq!(catalog.contents(), before);
            let writes = disk.writes();
            assert!(matches!(catalog.edit(&some_edit(9)), Err(Error::Poisoned)));
            drop(catalog);
            assert_eq!(disk.writes(), writes, "a poisoned catalog writes nothing more");
            let found = Catalog::read(&disk.handle()).unwrap();
            assert!(found == before || found == after, "exactly before or after");
            assert_eq!(Catalog::open(&disk.handle()).unwrap().1, found);
        });
    }
}

#[test]
fn a_full_disk_applies_nothing_and_works_again() {
    for for_ever in [false, true] {
        fail_each(libc::ENOSPC, for_ever, |disk, catalog, before, after, error| {
            assert!(error.is_no_space());
            assert_eq!(catalog.contents(), before);
            catalog.edit(&big_edit()).unwrap();
            assert_eq!(Catalog::read(&disk.handle()).unwrap(), after);
        });
        fail_each(libc::ENOSPC, for_ever, |disk, catalog, before, after, _| {
            drop(catalog);
            let found = Catalog::read(&disk.handle()).unwrap();
            // Without room for a new file the old one stays in doubt.
            assert!(found == before || (for_ever && found == after), "not applied, even after a kill");
        });
    }
}

#[test]
fn a_disk_that_stays_full_is_asked_again_each_time() {
    let disk = TestDisk::default();
    let catalog = Catalog::create(&disk.handle(), &example()).unwrap();
    disk.fail(1, libc::ENOSPC, true);
    for _ in 0..3 {
        assert!(catalog.edit(&some_edit(1)).unwrap_err().is_no_space());
        assert_eq!(Catalog::read(&disk.handle_without_faults()).unwrap(), example());
    }
    disk.heal();
    catalog.edit(&some_edit(1)).unwrap();
    assert_eq!(Catalog::read(&disk.handle()).unwrap(), catalog.contents());
    assert_eq!(disk.names(), [FILE]);
}

#[test]
fn the_file_stays_small() {
    let disk = TestDisk::default();
    let catalog = Catalog::create(&disk.handle(), &example()).unwrap();
    assert!(disk.image().len() < 80_000, "{}", disk.image().len());
    for round in 0..1000 {
        catalog.edit(&some_edit(round)).unwrap();
    }
    assert!(disk.image().len() < 1 << 20, "{}", disk.image().len());
    drop(catalog);
    let (_catalog, _) = Catalog::open(&disk.handle()).unwrap();
    assert!(disk.image().len() < 150_000, "{}", disk.image().len());
}

fn example() -> Contents {
    let mut contents = Contents {
        meta: Meta {
            format: FORMAT,
            store_id: 0x1234_5678_9abc_def0_1122_3344_5566_7788,
            cluster_id: 5,
            member_id: 6,
            epoch: 7,
            next_run: 8,
            next_segment: u64::MAX,
        },
        checkpoint: Checkpoint {
            revision: 1,
            term: 2,
            index: 3,
            compact_revision: Some(4),
            compact_ordered: Some(5),
            state_hash: u64::MAX,
            closing_frame: 6,
        },
        ..Contents::default()
    };
    for id in 0..4 {
        contents.runs.insert(id, run(id));
    }
    for (seq, state) in [SegmentState::Spare, SegmentState::Active, SegmentState::Sealed, SegmentState::Incoming]
        .into_iter()
        .enumerate()
    {
        let row = SegmentRow { state, base_term: 1, base_index: 2, sealed_len: 3 };
        contents.segments.insert(seq as u64, row);
    }
    for id in [i64::MIN, -1, 0, 7, i64::MAX] {
        contents.leases.insert(id, lease(id));
    }
    contents
}

fn run(id: u64) -> RunRow {
    RunRow {
        level: 1,
        first_key: vec![0, id.to_le_bytes()[0]],
        last_key: b"some last key".to_vec(),
        min_revision: id,
        max_revision: id + 1000,
        entries: 10,
        tombstones: 3,
        len: 1 << 30,
        footer_crc: u32::MAX,
        compacted: 9,
        garbage: vec![(1, 2), (3, 400)],
    }
}

fn lease(id: i64) -> LeaseRow {
    LeaseRow {
        ttl_ms: 5000,
        remaining_ms: 4999,
        stamp: Stamp { boot_id: u128::MAX, boot_ms: 1, wall_ms: 2 },
        renewed: id % 2 == 0,
        renewal_epoch: 3,
        grant_revision: 4,
        lock_delay_ms: 5,
        state: if id % 3 == 0 { LeaseState::Lapsed } else { LeaseState::Alive },
    }
}

/// What a flush does, more or less.
fn some_edit(round: u64) -> Edit {
    let mut edit = Edit::default();
    edit.meta(Meta { next_run: round, ..example().meta });
    edit.checkpoint(Checkpoint { revision: round, ..Checkpoint::default() });
    edit.put_run(100 + round, run(round));
    edit.remove_run((100 + round).wrapping_sub(20));
    edit.put_segment(round % 9, SegmentRow::default());
    edit.remove_segment((round + 5) % 9);
    edit.put_lease(round.cast_signed() % 50, lease(9));
    edit.remove_lease((round + 3).cast_signed() % 50);
    edit
}

/// One that makes the file grow.
fn big_edit() -> Edit {
    let mut edit = some_edit(3);
    for id in 0..800 {
        edit.put_lease(id, lease(id));
    }
    edit
}

/// Files in memory. What is written is there at once: a kill, not a loss of power.
#[derive(Clone, Debug, Default)]
struct TestDisk(Arc<Mutex<TestState>>);

#[derive(Debug, Default)]
struct TestState {
    files: BTreeMap<String, Arc<Mutex<Vec<u8>>>>,
    operations: u64,
    writes: u64,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Fault {
    countdown: u64,
    code: i32,
    for_ever: bool,
    hit: bool,
}

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl TestDisk {
    fn with(bytes: Vec<u8>) -> TestDisk {
        let disk = TestDisk::default();
        disk.put(FILE, bytes);
        disk
    }

    fn handle(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    fn handle_without_faults(&self) -> Arc<dyn Disk> {
        TestDisk::with(self.image()).handle()
    }

    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.0.lock().files.insert(name.to_owned(), Arc::new(Mutex::new(bytes)));
    }

    fn image(&self) -> Vec<u8> {
        self.0.lock().files[FILE].lock().clone()
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().files.keys().cloned().collect()
    }

    fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    fn writes(&self) -> u64 {
        self.0.lock().writes
    }

    /// Fails the nth operation from now on; with `for_ever`, all later ones too.
    fn fail(&self, nth: u64, code: i32, for_ever: bool) {
        self.0.lock().fault = Some(Fault { countdown: nth, code, for_ever, hit: false });
    }

    /// Takes the fault back; whether it was met.
    fn heal(&self) -> bool {
        self.0.lock().fault.take().is_some_and(|fault| fault.hit)
    }

    fn step(&self, writes: bool) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operations += 1;
        state.writes += u64::from(writes);
        if let Some(fault) = &mut state.fault {
            fault.countdown = fault.countdown.saturating_sub(1);
            if fault.countdown == 0 && (fault.for_ever || !fault.hit) {
                fault.hit = true;
                return Err(io::Error::from_raw_os_error(fault.code));
            }
        }
        Ok(())
    }
}

impl Disk for TestDisk {
    fn open(&self, _: IoSite, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.step(mode == OpenMode::Truncate)?;
        let mut state = self.0.lock();
        if mode == OpenMode::Truncate {
            state.files.insert(path.to_owned(), Arc::default());
        }
        let bytes = state.files.get(path).ok_or(io::ErrorKind::NotFound)?.clone();
        Ok(Arc::new(TestFile { disk: self.clone(), bytes }))
    }

    fn create_dir(&self, _: IoSite, _: &str) -> io::Result<()> {
        unreachable!("the catalog creates no directory")
    }

    fn rename(&self, _: IoSite, from: &str, to: &str) -> io::Result<()> {
        self.step(true)?;
        let mut state = self.0.lock();
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, _: IoSite, path: &str) -> io::Result<()> {
        self.step(true)?;
        self.0.lock().files.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, _: IoSite, _: &str) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn sync_dir(&self, _: IoSite, _: &str) -> io::Result<()> {
        self.step(true)
    }

    fn lock(&self, _: bool) -> Result<DiskLock, LockError> {
        Ok(DiskLock(None))
    }
}

impl DiskFile for TestFile {
    fn read_at(&self, _: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.step(false)?;
        let bytes = self.bytes.lock();
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let len = buf.len().min(rest.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    /// Writes at most 1,000 bytes at a time, so that a failure tears what is larger.
    fn write_at(&self, _: IoSite, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.step(true)?;
        let buf = &buf[..buf.len().min(1000)];
        let start = usize::try_from(offset).unwrap();
        let mut bytes = self.bytes.lock();
        if bytes.len() < start + buf.len() {
            bytes.resize(start + buf.len(), 0);
        }
        bytes[start..start + buf.len()].copy_from_slice(buf);
        Ok(buf.len())
    }

    fn set_len(&self, _: IoSite, len: u64) -> io::Result<()> {
        self.disk.step(true)?;
        self.bytes.lock().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn len(&self, _: IoSite) -> io::Result<u64> {
        self.disk.step(false)?;
        Ok(self.bytes.lock().len() as u64)
    }

    fn sync_data(&self, _: IoSite) -> io::Result<()> {
        self.disk.step(true)
    }

    fn sync_all(&self, _: IoSite) -> io::Result<()> {
        self.disk.step(true)
    }
}
