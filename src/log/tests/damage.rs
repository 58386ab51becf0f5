//! Logs that were cut, flipped, mixed and torn: what was proven is there, or the damage is named.

use super::*;
use crate::log::record::{FRAME_HEADER_BYTES, FrameHeader, frame_seed, records};

/// What is left after damage must be a prefix of what was written that holds all that the log itself proves.
fn check_damaged(fixture: &Fixture, infos: &[SegmentInfo], note: u64, proven: usize, case: &dyn Fn() -> String) {
    match scan(&fixture.dyn_disk(), STORE, infos, note, 1) {
        Err(Error::Corrupt { .. }) => {}
        Err(error) => panic!("{}: {error}", case()),
        Ok(found) => {
            let (found, written) = (entries(&found), numbered(&fixture.payloads));
            assert!(written.starts_with(&found), "{}: wrong entries", case());
            assert!(found.len() >= proven, "{}: {} entries left of {proven}", case(), found.len());
        }
    }
}

#[test]
fn every_flipped_bit_is_detected_or_torn() {
    let fixture = two_segments();
    let proven = fixture.payloads.len() - 2;
    let note = fixture.log.closing_index();
    for (infos, note, proven) in [
        (fixture.infos(), 0, proven),
        (fixture.stale_infos(), 0, proven),
        (fixture.stale_infos(), note, fixture.payloads.len()),
    ] {
        for seq in [1, 2] {
            let whole = fixture.disk.get(&segment_path(seq));
            for bit in 0..whole.len() * 8 {
                let mut damaged = whole.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                fixture.disk.set(&segment_path(seq), damaged);
                check_damaged(&fixture, &infos, note, proven, &|| format!("segment {seq}, bit {bit}"));
            }
            fixture.disk.set(&segment_path(seq), whole);
        }
    }
}

#[test]
fn every_truncation_is_detected_or_torn() {
    let fixture = two_segments();
    let note = fixture.log.closing_index();
    let first = usize::try_from(fixture.log.segments()[0].last_index).unwrap();
    for (infos, note) in [(fixture.infos(), 0), (fixture.stale_infos(), 0), (fixture.stale_infos(), note)] {
        for seq in [1, 2] {
            // A cut takes the evidence along with what it proved, but only that of its own file.
            let proven = match (note, seq) {
                (0, 1) => fixture.payloads.len(),
                (0, _) => first,
                _ => fixture.payloads.len(),
            };
            let whole = fixture.disk.get(&segment_path(seq));
            for len in 0..whole.len() {
                fixture.disk.set(&segment_path(seq), whole[..len].to_vec());
                check_damaged(&fixture, &infos, note, proven, &|| format!("segment {seq} cut at {len}"));
            }
            fixture.disk.set(&segment_path(seq), whole);
        }
    }
}

#[test]
fn missing_and_foreign_segments_are_corrupt() {
    let fixture = two_segments();
    let infos = fixture.infos();
    let corrupt = |store, infos: &[SegmentInfo], checkpoint| {
        matches!(scan(&fixture.dyn_disk(), store, infos, 0, checkpoint), Err(Error::Corrupt { .. }))
    };
    assert!(corrupt(STORE + 1, &infos, 0));
    assert!(corrupt(STORE, &infos[1..], 0), "the first segment is needed");
    assert!(!corrupt(STORE, &infos[1..], infos[1].base_index), "the checkpoint has what was in the first segment");
    let swapped = fixture.disk.get(&segment_path(1));
    fixture.disk.set(&segment_path(2), swapped);
    assert!(corrupt(STORE, &infos, 0));
    fixture.disk.remove(IoSite::LogRemove, &segment_path(2)).unwrap();
    assert!(corrupt(STORE, &infos, 0));
}

#[test]
fn a_foreign_frame_never_verifies() {
    let fixture = two_segments();
    let bytes = fixture.disk.get(&segment_path(1));
    let frame = &bytes[4096..4096 + FRAME_HEADER_BYTES];
    assert!(FrameHeader::decode(frame, frame_seed(STORE, 1)).is_some());
    for (store, seq) in [(STORE, 2), (STORE, 0), (STORE + 1, 1), (0, 1)] {
        assert_eq!(FrameHeader::decode(frame, frame_seed(store, seq)), None);
    }
}

/// Two stores with one id, as after copying a store: each verifies alone, and a mix of them is noticed.
#[test]
fn histories_do_not_mix() {
    let history = |lens: [&[usize]; 2]| {
        let mut fixture = Fixture::new(OPTIONS);
        fixture.append(lens[0]);
        fixture.append(lens[1]);
        fixture.append(&[300]);
        fixture.append(&[10]);
        fixture
    };
    let mine = history([&[50], &[60]]);
    let (shorter, longer) = (history([&[49], &[60]]), history([&[26, 0], &[60]]));
    let (first, second) = (segment_path(1), segment_path(2));
    let whole = mine.disk.get(&first);
    let at = 4096 + 128; // the second frame
    let mut mixed = whole.clone();
    mixed[at..].copy_from_slice(&shorter.disk.get(&first)[at..]);
    assert_ne!(mixed, whole);
    mine.disk.set(&first, mixed);
    let scan = || scan(&mine.dyn_disk(), STORE, &mine.stale_infos(), 0, 0);
    assert!(matches!(scan(), Err(Error::Corrupt { .. })), "the frame before is another");
    mine.disk.set(&first, whole);
    assert_eq!(entries(&scan().unwrap()), numbered(&mine.payloads));
    mine.disk.set(&second, longer.disk.get(&second));
    assert!(matches!(scan(), Err(Error::Corrupt { .. })), "the segment continues another log");
}

#[test]
fn gaps_between_entries_are_corrupt() {
    let fixture = Fixture::new(OPTIONS);
    let mut frame = Frame::new();
    frame.push_entry(0, 5, 0, |_| ());
    let placement = fixture.log.place(&frame, 0);
    fixture.log.write(&placement, &mut frame).unwrap();
    let scan = |checkpoint| scan(&fixture.dyn_disk(), STORE, &fixture.infos(), 0, checkpoint);
    assert!(matches!(scan(3), Err(Error::Corrupt { .. })));
    assert!(scan(4).is_ok() && scan(9).is_ok());
}

#[test]
fn an_unnamed_segment_of_the_chain_is_no_rubbish() {
    let mut fixture = Fixture::new(OPTIONS);
    for _ in 0..4 {
        fixture.append(&[200]);
    }
    let stale = fixture.stale_infos();
    let older = scan(&fixture.dyn_disk(), STORE, &stale[..1], 0, 0).unwrap();
    let belongs = |seq, epoch, scan: &Scan| belongs(&fixture.dyn_disk(), STORE, seq, epoch, scan).unwrap();
    assert!(belongs(2, 1, &older));
    assert!(!belongs(1, 1, &older), "its frames are known");
    assert!(!belongs(2, 2, &older), "the tail of an earlier epoch");
    fixture.prepare(0).unwrap();
    let spare = fixture.infos().last().unwrap().seq;
    assert!(!super::belongs(&fixture.dyn_disk(), STORE, spare, 1, &older).unwrap());
    // A copy of frames that are known, with the frame that proves them.
    let whole = fixture.scan();
    fixture.reopen();
    let copy = fixture.infos().last().unwrap().seq;
    assert!(super::belongs(&fixture.dyn_disk(), STORE, copy, 1, &whole).unwrap());
    assert!(!super::belongs(&fixture.dyn_disk(), STORE, copy, 3, &whole).unwrap());
}

#[test]
fn dropped_segments_are_forgotten_and_removed() {
    let mut fixture = two_segments();
    fixture.reopen();
    for seq in [1, 1] {
        fixture.log.forget(seq);
        fixture.log.remove_file(seq).unwrap();
    }
    let infos = fixture.infos();
    assert_eq!(infos[0].seq, 2);
    let found = scan(&fixture.dyn_disk(), STORE, &infos, 0, infos[0].base_index).unwrap();
    assert!(numbered(&fixture.payloads).ends_with(&entries(&found)));
}

/// A generator of numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Seeded mutations of whole files: nothing panics, nothing is invented.
#[test]
fn mutated_files_never_panic() {
    let fixture = two_segments();
    let infos = fixture.stale_infos();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..3000 {
        let seq = 1 + random.below(2) as u64;
        let whole = fixture.disk.get(&segment_path(seq));
        let mut bytes = whole.clone();
        for _ in 0..=random.below(4) {
            let (at, from) = (random.below(bytes.len()), 4096 + random.below(400));
            let len = random.below(64).min(bytes.len() - at).min(bytes.len() - from);
            match random.below(3) {
                0 => bytes[at] = random.below(256).to_le_bytes()[0],
                1 => bytes.copy_within(from..from + len, at),
                _ => bytes[at..at + len].fill(0xff),
            }
        }
        records(&bytes[4096..]).for_each(drop);
        records(&bytes[random.below(4600)..]).for_each(drop);
        fixture.disk.set(&segment_path(seq), bytes);
        check_damaged(&fixture, &infos, 0, 0, &|| format!("round {round}"));
        fixture.disk.set(&segment_path(seq), whole);
    }
}

/// A crash leaves any part of what was not synced, by sectors. That is never taken for damage, nothing synced is gone,
/// and the log goes on from there, through further crashes.
#[test]
fn any_part_of_unsynced_writes_may_be_lost() {
    const SECTOR: usize = 512;
    for seed in 0..400 {
        let mut random = Random(seed);
        let mut fixture = Fixture::new(OPTIONS);
        for _ in 0..4 {
            for _ in 0..random.below(4) {
                fixture.append(&[random.below(200)]);
            }
            let synced = fixture.payloads.len();
            let infos = fixture.infos();
            let image = |fixture: &Fixture, seq| fixture.disk.get(&segment_path(seq));
            let before: Vec<_> = infos.iter().map(|info| (info.seq, image(&fixture, info.seq))).collect();
            for _ in 0..random.below(7) {
                fixture.write(&[random.below(200), random.below(9)]);
            }
            for info in fixture.infos() {
                let mut bytes = image(&fixture, info.seq);
                let old = before.iter().find(|(seq, _)| *seq == info.seq).map(|(_, bytes)| bytes.clone());
                let old = old.unwrap_or_else(|| vec![0; bytes.len()]);
                for at in (0..bytes.len()).step_by(SECTOR).filter(|_| random.below(3) == 0) {
                    let end = (at + SECTOR).min(bytes.len());
                    bytes[at..end].copy_from_slice(&old[at..end]);
                }
                fixture.disk.set(&segment_path(info.seq), bytes);
            }
            let found = fixture.scan();
            let left = entries(&found);
            assert!(left.len() >= synced, "seed {seed}: {} entries left of {synced}", left.len());
            assert!(numbered(&fixture.payloads).starts_with(&left), "seed {seed}");
            fixture.payloads.truncate(left.len());
            fixture.next_index = left.len() as u64 + 1;
            fixture.reopen();
            assert_eq!(entries(&fixture.scan()), left, "seed {seed}");
        }
    }
}
