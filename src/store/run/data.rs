//! The checked part of a run, by offset: bytes come out verified or not at all.
//!
//! With a map, a block is verified at its first touch and a bit remembers it; the bytes are then used in place. Without
//! one, the file is read in chunks of 32 KiB, every block of a chunk is verified each time it comes from the disk, and a
//! few chunks are kept for the next reader. A [`Hold`] is what a reader brings along: it owns the bytes in the second
//! case, so that the same code can borrow them in both.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::io::{DiskFile, IoSite, Map, read_exact_at};
use crate::store::block::{BLOCK_BYTES, block_checksum};

/// Bytes read at once where there is no map: a multiple of the block.
const CHUNK_BYTES: u64 = 32 << 10;

/// Chunks kept per run where there is no map.
const CHUNKS_MAX: usize = 16;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// The blocks of one run that have checksums: everything before the checksums themselves.
pub(crate) struct Data {
    path: String,
    file: Arc<dyn DiskFile>,
    map: Option<Map>,
    /// Bytes, a multiple of the block.
    len: u64,
    seed: u32,
    /// A little-endian `u32` per block. Empty with a map, where they follow the data.
    checksums: Vec<u8>,
    /// With a map: a bit per block that has been verified. Relaxed throughout, since the bytes never change and two
    /// readers that verify the same block do no harm.
    verified: Box<[AtomicU64]>,
    /// The chunks used last, newest at the end. Taken alone and never across I/O.
    chunks: Mutex<Vec<(u64, Arc<[u8]>)>>,
}

/// What a reader without a map keeps of the run while it looks at it.
#[derive(Default)]
pub(crate) struct Hold {
    /// The chunk read last, by number.
    chunk: Option<(u64, Arc<[u8]>)>,
    /// A copy of what was read last, if it crossed chunks.
    joined: Option<Vec<u8>>,
}

impl Data {
    /// Checksums, a `u32` for each block of the first `len` bytes, must have been verified: with a map those that follow
    /// the data in it, without one `checksums`.
    pub(crate) fn new(
        path: String,
        file: Arc<dyn DiskFile>,
        map: Option<Map>,
        len: u64,
        seed: u32,
        checksums: Vec<u8>,
    ) -> Data {
        let words = if map.is_some() { (len / BLOCK).div_ceil(64) } else { 0 };
        Data {
            path,
            file,
            len,
            seed,
            checksums,
            map,
            verified: (0..words).map(|_| AtomicU64::new(0)).collect(),
            chunks: Mutex::new(Vec::new()),
        }
    }

    /// The `len` bytes at `offset`, verified.
    #[inline]
    pub(crate) fn read<'a>(&'a self, offset: u64, len: usize, hold: &'a mut Hold) -> Result<&'a [u8]> {
        let end = offset.saturating_add(len as u64);
        if end > self.len {
            return Err(self.corrupt(offset, "an offset points outside its section"));
        }
        match &self.map {
            Some(map) => {
                self.touch(offset, end)?;
                map.get(size(offset)..size(end)).ok_or_else(|| self.corrupt(offset, "the map is too short"))
            }
            None => {
                self.hold(offset, len, hold)?;
                self.held(offset, len, hold).ok_or_else(|| self.corrupt(offset, "the chunk is too short"))
            }
        }
    }

    /// What the last `read` of the same range with the same hold gave, without asking again.
    #[inline]
    pub(crate) fn held<'a>(&'a self, offset: u64, len: usize, hold: &'a Hold) -> Option<&'a [u8]> {
        if let Some(map) = &self.map {
            return map.get(size(offset)..size(offset).checked_add(len)?);
        }
        if let Some(joined) = &hold.joined {
            return joined.get(..len);
        }
        let (number, chunk) = hold.chunk.as_ref()?;
        let start = size(offset.checked_sub(number * CHUNK_BYTES)?);
        chunk.get(start..start.checked_add(len)?)
    }

    /// Reads and verifies one block anew, whatever was verified before.
    pub(crate) fn verify_block(&self, block: u64) -> Result<()> {
        match &self.map {
            Some(map) => {
                let start = size(block * BLOCK);
                let bytes = map.get(start..start + BLOCK_BYTES).unwrap_or_default();
                self.check(block, bytes)
            }
            None => {
                let mut bytes = [0; BLOCK_BYTES];
                read_exact_at(&*self.file, IoSite::RunRead, &mut bytes, block * BLOCK)
                    .map_err(|e| Error::io("read", &self.path, e))?;
                self.check(block, &bytes)
            }
        }
    }

    /// Bytes with checksums, a multiple of the block.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn corrupt(&self, offset: u64, what: &'static str) -> Error {
        Error::corrupt(&self.path, offset, what)
    }

    /// Verifies what has not been verified of the blocks that `offset..end` touches.
    #[inline]
    fn touch(&self, offset: u64, end: u64) -> Result<()> {
        for block in offset / BLOCK..end.div_ceil(BLOCK) {
            if self.verified[size(block / 64)].load(Ordering::Relaxed) & 1 << (block % 64) == 0 {
                self.first_touch(block)?;
            }
        }
        Ok(())
    }

    #[cold]
    fn first_touch(&self, block: u64) -> Result<()> {
        self.verify_block(block)?;
        self.verified[size(block / 64)].fetch_or(1 << (block % 64), Ordering::Relaxed);
        Ok(())
    }

    fn check(&self, block: u64, bytes: &[u8]) -> Result<()> {
        let checksums = match &self.map {
            Some(map) => map.get(size(self.len)..).unwrap_or_default(),
            None => &self.checksums,
        };
        let at = size(block).saturating_mul(4);
        let stored = checksums.get(at..at.saturating_add(4));
        if stored == Some(&block_checksum(self.seed, block, bytes).to_le_bytes()[..]) {
            return Ok(());
        }
        Err(self.corrupt(block * BLOCK, "checksum of a block does not match"))
    }

    /// Puts the range into `hold`: its chunk, or a copy if it crosses chunks.
    fn hold(&self, offset: u64, len: usize, hold: &mut Hold) -> Result<()> {
        let end = offset + len as u64;
        let (first, last) = (offset / CHUNK_BYTES, end.saturating_sub(1).max(offset) / CHUNK_BYTES);
        hold.joined = None;
        if first == last {
            return self.hold_chunk(first, hold);
        }
        let mut joined = Vec::with_capacity(len);
        for number in first..=last {
            self.hold_chunk(number, hold)?;
            let base = number * CHUNK_BYTES;
            let part = size(offset.max(base) - base)..size(end.min(base + CHUNK_BYTES) - base);
            let chunk = hold.chunk.as_ref().and_then(|(_, chunk)| chunk.get(part));
            joined.extend_from_slice(chunk.ok_or_else(|| self.corrupt(base, "the chunk is too short"))?);
        }
        hold.joined = Some(joined);
        Ok(())
    }

    fn hold_chunk(&self, number: u64, hold: &mut Hold) -> Result<()> {
        if hold.chunk.as_ref().is_none_or(|(held, _)| *held != number) {
            hold.chunk = Some((number, self.chunk(number)?));
        }
        Ok(())
    }

    fn chunk(&self, number: u64) -> Result<Arc<[u8]>> {
        if let Some(chunk) = self.cached(number) {
            return Ok(chunk);
        }
        let offset = number * CHUNK_BYTES;
        let mut bytes = vec![0; size(CHUNK_BYTES.min(self.len.saturating_sub(offset)))];
        read_exact_at(&*self.file, IoSite::RunRead, &mut bytes, offset)
            .map_err(|e| Error::io("read", &self.path, e))?;
        for (block, bytes) in (offset / BLOCK..).zip(bytes.chunks_exact(BLOCK_BYTES)) {
            self.check(block, bytes)?;
        }
        let chunk: Arc<[u8]> = bytes.into();
        let mut chunks = self.chunks.lock();
        if chunks.len() == CHUNKS_MAX {
            chunks.remove(0);
        }
        chunks.push((number, chunk.clone()));
        Ok(chunk)
    }

    fn cached(&self, number: u64) -> Option<Arc<[u8]>> {
        let mut chunks = self.chunks.lock();
        let found = chunks.iter().position(|(held, _)| *held == number)?;
        chunks[found..].rotate_left(1);
        chunks.last().map(|(_, chunk)| chunk.clone())
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({}, {} bytes, map {})", self.path, self.len, self.map.is_some())
    }
}

/// A length or offset as an index; one that this machine cannot address is beyond every slice.
#[inline]
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
