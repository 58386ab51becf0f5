//! The floor: the least that a durable write can cost here, and the judge of whether a run is worth anything.
//!
//! One record is written into a file that is already full of zeros, and `fdatasync` makes it durable: no size to update,
//! no block to allocate, so one flush of the device. Nothing durable is faster, so a store's time divided by this one
//! says how much of it is the store's own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::measure::Latencies;
use crate::workload::{KEY_LEN, VALUE_LEN};

/// A run in which the floor's median is above this is void: something else was using the disk or the processors.
pub const FLOOR_MAX: Duration = Duration::from_micros(300);

/// A log that takes frames of one put each.
pub struct Floor {
    file: File,
    offset: u64,
    written: u8,
}

const FILE_BYTES: u64 = 16 << 20;
/// Key, value, and 60 bytes around them: what a log needs for headers and checksums, rounded up to 8.
const FRAME_BYTES: usize = (KEY_LEN + VALUE_LEN + 60).next_multiple_of(8);

impl Floor {
    /// Creates the file, zero-filled and synced.
    pub fn create(dir: &Path) -> io::Result<Floor> {
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(dir.join("floor"))?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..FILE_BYTES >> 20 {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        Ok(Floor { file, offset: 0, written: 0 })
    }

    /// Writes and syncs `count` frames one after another.
    pub fn burst(&mut self, count: usize, latencies: &mut Latencies) -> io::Result<()> {
        let mut last = Instant::now();
        for _ in 0..count {
            self.written = self.written.wrapping_add(1);
            self.file.write_all_at(&[self.written; FRAME_BYTES], self.offset)?;
            self.file.sync_data()?;
            self.offset += FRAME_BYTES as u64;
            if self.offset + FRAME_BYTES as u64 > FILE_BYTES {
                self.offset = 0;
            }
            last = latencies.lap(last);
        }
        Ok(())
    }
}
