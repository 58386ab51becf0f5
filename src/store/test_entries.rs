//! Random entries and runs for the unit tests of the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::io::Disk;
use crate::store::entry::{Entry, SPACE_LEASE, SPACE_USER};
use crate::store::run::{Run, RunInfo};
use crate::store::run_writer::RunWriter;
use crate::store::test_disk::TestDisk;

pub(crate) const STORE: u128 = 0x1234_5678_9abc_def0_1122_3344_5566_7788;

/// Xorshift: the same numbers on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Keys that share prefixes, end in zeros and 0xff, are prefixes of each other, or are long.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        let mut key = vec![if self.below(8) == 0 { SPACE_LEASE } else { SPACE_USER }];
        match self.below(6) {
            0 => key.extend_from_slice(format!("config/service/{:06}", self.below(500)).as_bytes()),
            1 => key.extend_from_slice(format!("{:04}/a/very/long/common/suffix/of/all", self.below(300)).as_bytes()),
            2 => key.extend((0..self.below(12)).map(|_| [0, 0xff, b'a'][usize::try_from(self.below(3)).unwrap()])),
            3 => key.extend(vec![b'x'; usize::try_from(self.below(60)).unwrap()]),
            4 if self.below(20) == 0 => key.extend(vec![b'k'; 5000 + usize::try_from(self.below(3)).unwrap()]),
            _ => key.extend_from_slice(&self.next().to_be_bytes()[5..]),
        }
        key
    }

    pub(crate) fn value(&mut self) -> Vec<u8> {
        let len = match self.below(200) {
            0 => 100 << 10,
            1..=5 => 4096 + self.below(9000),
            6..=40 => 0,
            _ => self.below(150),
        };
        let byte = self.next().to_le_bytes()[0];
        vec![byte; usize::try_from(len).unwrap()]
    }

    /// The versions of `keys` keys, sorted, with revisions up to `revisions`. Most keys have few, some have hundreds.
    pub(crate) fn entries(&mut self, keys: u64, revisions: u64) -> Vec<Entry> {
        let keys: BTreeSet<Vec<u8>> = (0..keys).map(|_| self.key()).collect();
        let mut entries = Vec::new();
        for key in keys {
            let versions = if self.below(50) == 0 { 300 } else { 1 + self.below(4) };
            let places: BTreeSet<(u64, u32)> =
                (0..versions).map(|_| (2 + self.below(revisions), u32::from(self.below(3) == 0))).collect();
            entries.extend(places.into_iter().rev().map(|(mod_revision, sub)| self.entry(&key, mod_revision, sub)));
        }
        entries
    }

    pub(crate) fn entry(&mut self, key: &[u8], mod_revision: u64, sub: u32) -> Entry {
        let tombstone = self.below(5) == 0;
        Entry {
            key: key.to_vec().into(),
            mod_revision,
            sub,
            create_revision: if tombstone { 0 } else { 1 + self.below(mod_revision) },
            version: if tombstone { 0 } else { 1 + self.below(1000) },
            lease: if self.below(4) == 0 { self.next().cast_signed().wrapping_mul(-3) } else { 0 },
            tombstone,
            value: if tombstone { Vec::new() } else { self.value() }.into(),
        }
    }
}

pub(crate) fn write(disk: &Arc<TestDisk>, id: u64, entries: &[Entry]) -> RunInfo {
    let disk: Arc<dyn Disk> = disk.clone();
    let mut writer = RunWriter::create(&disk, STORE, id).unwrap();
    for entry in entries {
        writer.push(entry.borrow()).unwrap();
    }
    writer.finish().unwrap()
}

pub(crate) fn open(disk: &Arc<TestDisk>, info: &RunInfo) -> crate::Result<Arc<Run>> {
    let disk: Arc<dyn Disk> = disk.clone();
    Run::open(&disk, STORE, info.clone(), true).map(Arc::new)
}

/// A run of these entries with a map, and one without.
pub(crate) fn both(entries: &[Entry]) -> [Arc<Run>; 2] {
    [true, false].map(|maps| {
        let disk = TestDisk::new(maps);
        let info = write(&disk, 7, entries);
        open(&disk, &info).unwrap()
    })
}
