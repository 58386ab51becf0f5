//! Tests of the log as a whole, against a tiny disk in memory.

mod damage;

use std::sync::Arc;

use super::scan::ScannedFrame;
use super::test_disk::TestDisk;
use super::*;
use crate::codec::Write;

const STORE: u128 = 0x5704e;
const OPTIONS: LogOptions = LogOptions { segment_bytes: 4096 + 512, fill_bytes_min: 1 << 20, spare: true };

/// A log and its disk, with the catalog's part played by hand.
struct Fixture {
    disk: Arc<TestDisk>,
    log: Log,
    next_seq: u64,
    next_index: u64,
    /// Payloads of all entries appended, from index 1 on.
    payloads: Vec<Vec<u8>>,
}

impl Fixture {
    fn new(options: LogOptions) -> Self {
        let disk = Arc::new(TestDisk::default());
        let log = Log::start(disk.clone(), STORE, 1, options, 1, (0, 0), 1, &[], Vec::new()).unwrap();
        Fixture { disk, log, next_seq: 2, next_index: 1, payloads: Vec::new() }
    }

    fn dyn_disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    fn prepare(&mut self, need: usize) -> Result<()> {
        let next_seq = &mut self.next_seq;
        let mut next = || {
            *next_seq += 1;
            *next_seq - 1
        };
        self.log.prepare(need, &mut next, &mut |_| Ok(()))
    }

    fn frame(&mut self, lens: &[usize]) -> Frame {
        let mut frame = Frame::new();
        for len in lens {
            let payload: Vec<u8> =
                (0..*len).map(|at| (at as u64 * 7 + self.next_index * 31).to_le_bytes()[0]).collect();
            frame.push_entry(0, self.next_index, 0, |bytes| bytes.extend_from_slice(&payload));
            self.payloads.push(payload);
            self.next_index += 1;
        }
        frame
    }

    /// Writes a frame of entries with payloads of these lengths; not synced.
    fn write(&mut self, lens: &[usize]) -> Placement {
        let mut frame = self.frame(lens);
        if !self.log.fits(frame.len()) {
            self.prepare(frame.len()).unwrap();
        }
        let placement = self.log.place(&frame, 0);
        self.log.write(&placement, &mut frame).unwrap();
        placement
    }

    fn append(&mut self, lens: &[usize]) -> Placement {
        let placement = self.write(lens);
        self.log.sync().unwrap();
        placement
    }

    fn infos(&self) -> Vec<SegmentInfo> {
        self.log.segments().iter().map(|span| span.info).collect()
    }

    fn scan(&self) -> Scan {
        scan(&self.dyn_disk(), STORE, &self.infos(), 0, 0).unwrap()
    }

    /// The same segments as a catalog knows them that was not edited since the start.
    fn stale_infos(&self) -> Vec<SegmentInfo> {
        let stale = |mut info: SegmentInfo| {
            info.state = if info.seq == 1 { SegmentState::Active } else { SegmentState::Spare };
            info.sealed_len = 0;
            info
        };
        self.infos().into_iter().map(stale).collect()
    }

    /// Opens again as after a crash.
    fn reopen(&mut self) {
        let found = self.scan();
        let (base, first_frame) = (found.proven_last, found.proven + 1);
        let (seq, epoch) = (self.next_seq, found.epoch + 1);
        self.next_seq += 1;
        let (unproven, older) = (found.unproven(), found.kept.clone());
        self.log = Log::start(self.dyn_disk(), STORE, epoch, OPTIONS, seq, base, first_frame, unproven, older).unwrap();
    }
}

fn entries(scan: &Scan) -> Vec<(u64, Vec<u8>)> {
    let entry = |record: Record<'_>| match record {
        Record::Entry { index, payload, .. } => Some((index, payload.to_vec())),
        _ => None,
    };
    scan.frames.iter().flat_map(|frame| frame.records().filter_map(entry).collect::<Vec<_>>()).collect()
}

/// Entries with the indexes that they should have.
fn numbered(payloads: &[Vec<u8>]) -> Vec<(u64, Vec<u8>)> {
    (1..).zip(payloads.iter().cloned()).collect()
}

/// A log of two segments and a spare; each frame synced before the next.
fn two_segments() -> Fixture {
    let mut fixture = Fixture::new(OPTIONS);
    for lens in [&[30, 40][..], &[50], &[60, 1], &[33], &[70], &[20, 20]] {
        fixture.append(lens);
    }
    fixture.prepare(0).unwrap();
    let states: Vec<_> = fixture.infos().iter().map(|info| info.state).collect();
    assert_eq!(states[..2], [SegmentState::Sealed, SegmentState::Active]);
    fixture
}

#[test]
fn what_is_written_is_read() {
    let fixture = two_segments();
    for infos in [fixture.infos(), fixture.stale_infos()] {
        let found = scan(&fixture.dyn_disk(), STORE, &infos, 0, 0).unwrap();
        assert_eq!(entries(&found), numbered(&fixture.payloads));
        assert_eq!((found.proven, found.frames.len(), found.closing), (5, 6, false));
        assert_eq!(found.unproven().len(), 1);
        assert_eq!(found.proven_last, (0, found.frames[4].last_index()));
        assert_eq!(found.kept[0], fixture.log.segments()[0]);
    }
}

#[test]
fn other_records_are_kept_and_move_the_end() {
    let fixture = Fixture::new(OPTIONS);
    let records = [
        Record::Vote { term: 1, node: 2, committed: true },
        Record::Purge { term: 1, index: 7 },
        Record::Entry { term: 1, index: 8, flags: 1, payload: b"" },
        Record::Entry { term: 1, index: 9, flags: 0, payload: b"x" },
        Record::Truncate { term: 1, index: 8 },
        Record::Committed { term: 1, index: 8 },
        Record::Entry { term: 2, index: 9, flags: 2, payload: b"y" },
    ];
    let mut frame = Frame::new();
    records.iter().for_each(|record| frame.push(record));
    let placement = fixture.log.place(&frame, 0);
    fixture.log.write(&placement, &mut frame).unwrap();
    fixture.log.sync().unwrap();
    let found = scan(&fixture.dyn_disk(), STORE, &fixture.infos(), 0, 0).unwrap();
    assert_eq!(found.frames[0].records().collect::<Vec<_>>(), records);
    assert_eq!((fixture.log.segments()[0].first_index, fixture.log.segments()[0].last_index), (8, 9));
}

#[test]
fn rolling_syncs_oldest_first_and_tells_the_catalog_after() {
    let mut fixture = Fixture::new(OPTIONS);
    fixture.append(&[200]);
    assert!(!fixture.log.fits(300));
    fixture.prepare(300 & !7).unwrap();
    let state = |fixture: &Fixture, at: usize| fixture.infos()[at].state;
    assert_eq!((state(&fixture, 0), state(&fixture, 1)), (SegmentState::Active, SegmentState::Spare));
    fixture.write(&[100]);
    let second = fixture.write(&[150]);
    assert_eq!((second.seq, second.offset, second.frame_index), (2, 4096, 3));
    assert_eq!((state(&fixture, 0), state(&fixture, 1)), (SegmentState::Active, SegmentState::Spare));
    fixture.disk.take_calls();
    fixture.log.sync().unwrap();
    let calls = fixture.disk.take_calls();
    assert_eq!(calls, [(IoSite::LogSync, segment_path(1)), (IoSite::LogSync, segment_path(2))]);
    assert_eq!((state(&fixture, 0), state(&fixture, 1)), (SegmentState::Sealed, SegmentState::Active));
    assert_eq!(fixture.infos()[1].base_index, 2);
    assert_eq!(fixture.log.durable_frame(), 3);
    assert_eq!(entries(&fixture.scan()), numbered(&fixture.payloads));
}

#[test]
fn a_spare_is_registered_once_it_is_durable() {
    let mut fixture = Fixture::new(OPTIONS);
    fixture.append(&[200]);
    assert!(fixture.log.wants_prepare());
    fixture.disk.take_calls();
    let failed = fixture.log.prepare(0, &mut || 9, &mut |_| Err(Error::Poisoned));
    assert!(matches!(failed, Err(Error::Poisoned)));
    assert_eq!(fixture.infos().len(), 1);
    let sites: Vec<_> = fixture.disk.take_calls().into_iter().map(|(site, _)| site).collect();
    use IoSite::*;
    assert_eq!(sites, [LogCreate, LogOpen, LogFill, LogFillSync, LogSyncDir]);
    let mut registered = 0;
    let again = fixture.log.prepare(0, &mut || panic!("the file is there"), &mut |seq| {
        registered = seq;
        Ok(())
    });
    again.unwrap();
    assert_eq!((registered, fixture.infos().len()), (9, 2));
    assert!(fixture.disk.take_calls().is_empty());
    assert!(!fixture.log.wants_prepare());
}

#[test]
fn filling_runs_ahead_and_doubles() {
    let options = LogOptions { segment_bytes: 1 << 20, fill_bytes_min: 16 << 10, spare: true };
    let mut fixture = Fixture::new(options);
    assert!(!fixture.log.wants_prepare());
    let path = segment_path(1);
    assert_eq!(fixture.disk.get(&path).len(), 20 << 10);
    let mut lens = vec![fixture.disk.get(&path).len()];
    while fixture.infos().len() == 1 {
        fixture.append(&[1000]);
        if fixture.log.wants_prepare() {
            fixture.prepare(0).unwrap();
            lens.push(fixture.disk.get(&path).len());
        }
    }
    let gains: Vec<_> = lens.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gains[1] > gains[0] && lens.len() < 10, "{lens:?}");
    assert_eq!(fixture.disk.get(&segment_path(2)).len() % 4096, 0);
    assert_eq!(entries(&fixture.scan()), numbered(&fixture.payloads));
}

/// One thread commits, one syncs now and then, one makes room: what they share stays whole.
#[test]
fn commits_go_on_while_room_is_made() {
    const FRAMES: u64 = 3000;
    let options = LogOptions { segment_bytes: 64 << 10, fill_bytes_min: 4 << 10, spare: true };
    let fixture = Fixture::new(options);
    let (log, seq) = (&fixture.log, AtomicU64::new(2));
    let prepare = |need| log.prepare(need, &mut || seq.fetch_add(1, Ordering::Relaxed), &mut |_| Ok(())).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    prepare(0);
                    log.sync().unwrap();
                }
            });
        }
        let mut frame = Frame::new();
        for index in 1..=FRAMES {
            frame.clear();
            frame.push_entry(0, index, 0, |bytes| bytes.put_u64(index));
            while !log.fits(frame.len()) {
                prepare(frame.len());
            }
            log.write(&log.place(&frame, 0), &mut frame).unwrap();
        }
        done.store(true, Ordering::Release);
    });
    log.sync().unwrap();
    assert_eq!(log.durable_frame(), FRAMES);
    let expected: Vec<_> = (1..=FRAMES).map(|index| (index, index.to_le_bytes().to_vec())).collect();
    assert_eq!(entries(&fixture.scan()), expected);
}

#[test]
fn a_full_disk_stops_nothing_that_was_prepared() {
    let options = LogOptions { segment_bytes: 64 << 10, fill_bytes_min: 8 << 10, spare: true };
    let mut fixture = Fixture::new(options);
    fixture.disk.set_budget(fixture.disk.used() + 100);
    let full = |result| matches!(result, Err(Error::Full { what: "disk", max: 0 }));
    while fixture.log.fits(1024) {
        fixture.append(&[900]);
    }
    assert!(full(fixture.prepare(1024)));
    assert!(full(fixture.prepare(30 << 10)));
    let closing = fixture.log.closing_index();
    fixture.disk.set_budget(0);
    fixture.append(&[900]);
    fixture.append(&[30_000]);
    fixture.append(&[30_000]);
    assert!(fixture.infos().len() >= 2);
    assert_eq!(fixture.log.closing_index(), closing + 3);
    assert_eq!(entries(&fixture.scan()), numbered(&fixture.payloads));
    assert!(matches!(fixture.prepare(33 << 10), Err(Error::TooLarge { .. })));
}

#[test]
fn no_space_for_a_spare_leaves_no_file() {
    let mut fixture = Fixture::new(OPTIONS);
    fixture.append(&[200]);
    let used = fixture.disk.used();
    fixture.disk.set_budget(used + 4096);
    assert!(matches!(fixture.prepare(0), Err(Error::Full { .. })));
    assert_eq!(fixture.disk.used(), used);
    fixture.disk.set_budget(0);
    fixture.prepare(0).unwrap();
    assert_eq!(fixture.infos()[1].seq, 3);
}

#[test]
fn failed_writes_and_syncs_poison() {
    let whole = [IoSite::LogAppend, IoSite::LogSync, IoSite::LogHeader].map(|site| (site, false));
    for (site, short) in whole.into_iter().chain([(IoSite::LogAppend, true)]) {
        let mut fixture = Fixture::new(OPTIONS);
        fixture.append(&[200]);
        fixture.prepare(0).unwrap();
        let mut frame = fixture.frame(&[200]);
        let placement = fixture.log.place(&frame, 0);
        fixture.disk.fail(Some(site), short);
        let result = fixture.log.write(&placement, &mut frame).and_then(|()| fixture.log.sync());
        assert!(matches!(result, Err(Error::Io { .. })), "{site:?}");
        fixture.disk.fail(None, false);
        fixture.disk.take_calls();
        assert!(matches!(fixture.log.sync(), Err(Error::Poisoned)));
        assert!(matches!(fixture.log.write_closing(), Err(Error::Poisoned)));
        assert!(matches!(fixture.prepare(0), Err(Error::Poisoned)));
        assert_eq!(fixture.log.durable_frame(), 1);
        assert!(fixture.disk.take_calls().is_empty());
    }
}

#[test]
fn a_clean_close_proves_all() {
    let mut fixture = two_segments();
    let note = fixture.log.closing_index();
    let infos = fixture.infos();
    let scan = |note, checkpoint| scan(&fixture.dyn_disk(), STORE, &infos, note, checkpoint);
    // The note is made, the closing frame is not: all before it is proven all the same.
    let noted = scan(note, 0).unwrap();
    assert_eq!((noted.closing, noted.proven, noted.unproven().len()), (false, note - 1, 0));
    fixture.log.write_closing().unwrap();
    let closed = scan(note, 0).unwrap();
    // The closing frame itself is not: its sync may have failed, and it be there in the page cache alone.
    assert_eq!((closed.closing, closed.proven, closed.unproven().len()), (true, note - 1, 1));
    assert!(matches!(scan(note + 2, 0), Err(Error::Corrupt { .. })));
    let Scan { kept, proven, proven_last, epoch, .. } = closed;
    fixture.log =
        Log::start(fixture.dyn_disk(), STORE, epoch + 1, OPTIONS, 7, proven_last, proven + 1, &[], kept).unwrap();
    fixture.append(&[9]);
    assert_eq!(entries(&fixture.scan()), numbered(&fixture.payloads));
}

#[test]
fn the_unproven_tail_is_copied_and_then_proven() {
    let mut fixture = two_segments();
    fixture.write(&[10]);
    fixture.write(&[11, 12]);
    assert_eq!(fixture.scan().unproven().len(), 2);
    fixture.reopen();
    let found = fixture.scan();
    assert_eq!(entries(&found), numbered(&fixture.payloads));
    assert_eq!(found.unproven().iter().flat_map(ScannedFrame::records).count(), 0);
    // Nothing was written since, and still damage to what was copied is told from a tear.
    let span = fixture.log.segments().last().copied().unwrap();
    let path = segment_path(span.info.seq);
    let whole = fixture.disk.get(&path);
    let infos = fixture.infos();
    let end = usize::try_from(found.frames.last().unwrap().offset).unwrap();
    for at in 0..end {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        fixture.disk.set(&path, damaged);
        match scan(&fixture.dyn_disk(), STORE, &infos, 0, 0) {
            Err(Error::Corrupt { .. }) => {}
            Ok(found) => assert_eq!(entries(&found), numbered(&fixture.payloads), "byte {at}"),
            Err(error) => panic!("{error}"),
        }
    }
    fixture.disk.set(&path, whole);
    fixture.reopen();
    fixture.append(&[5]);
    fixture.reopen();
    assert_eq!(entries(&fixture.scan()), numbered(&fixture.payloads));
}

#[test]
fn a_copied_tail_may_be_longer_than_a_segment() {
    let mut fixture = Fixture::new(OPTIONS);
    for _ in 0..9 {
        fixture.write(&[200]);
    }
    fixture.reopen();
    assert_eq!(fixture.infos().len(), 2);
    assert_eq!(fixture.infos()[0].sealed_len, 4096);
    fixture.append(&[200]);
    assert_eq!(entries(&fixture.scan()), numbered(&fixture.payloads));
}

impl ScannedFrame {
    fn last_index(&self) -> u64 {
        self.records()
            .filter_map(|record| match record {
                Record::Entry { index, .. } => Some(index),
                _ => None,
            })
            .last()
            .unwrap_or(0)
    }
}
