//! Writing a run: one pass, front to back, through a plain file.
//!
//! Memory does not follow the entries but their number: 8 bytes a key for the hash (15 while its table is laid out), 1.6
//! an entry for the index, 7 a block for bounds and checksums. Bytes go out a megabyte at a time, and the system is asked
//! to start writing each one back, so that the sync at the end has little left to do and disturbs the log's syncs little.
//!
//! What must be durable before what: contents, then the directory entry, then (by the caller) the catalog's row. Until
//! that row exists the file is rubbish that the next open removes.

use std::sync::Arc;

use crate::codec::{self, Write};
use crate::error::{Error, Invalid, Result};
use crate::io::{Disk, DiskFile, IoSite, OpenMode, write_all_at};
use crate::sabotage::{Bug, is_planted};
use crate::store::block::{self, BLOCK_BYTES};
use crate::store::entry::EntryRef;
use crate::store::run::footer::{Footer, Layout, Properties, Tally, footer_crc};
use crate::store::run::hash::HashBuilder;
use crate::store::run::index::{BoundsBuilder, IndexBuilder};
use crate::store::run::{ENTRIES_BYTES_MAX, RunInfo, run_path};

/// The directory of the runs; it must exist.
const DIRECTORY: &str = "run";

/// Bytes collected before they are written and written back.
const WRITE_BYTES: usize = 1 << 20;

/// A run being written. After an error only [`RunWriter::abandon`] is of use.
#[derive(Debug)]
pub(crate) struct RunWriter {
    disk: Arc<dyn Disk>,
    store_id: u128,
    id: u64,
    out: Output,
    parts: Parts,
}

/// What the sections behind the entries are made of.
#[derive(Default)]
struct Parts {
    tally: Tally,
    index: IndexBuilder,
    bounds: BoundsBuilder,
    hash: HashBuilder,
}

impl RunWriter {
    /// Creates the file of run `id`. One that is there already is what a crash left, and is removed.
    pub(crate) fn create(disk: &Arc<dyn Disk>, store_id: u128, id: u64) -> Result<RunWriter> {
        let path = run_path(id);
        let create = || disk.open(IoSite::RunCreate, &path, OpenMode::CreateNew);
        let file = create().or_else(|e| match e.kind() {
            // Not emptied in place: somebody may still have a map of it.
            std::io::ErrorKind::AlreadyExists => disk.remove(IoSite::RunRemove, &path).and_then(|()| create()),
            _ => Err(e),
        });
        let file = file.map_err(|e| Error::io("create", &path, e))?;
        let out = Output::new(path, file, block::checksum_seed(store_id, id));
        Ok(RunWriter { disk: disk.clone(), store_id, id, out, parts: Parts::default() })
    }

    /// Appends an entry, which must follow the one before in sorted order.
    ///
    /// # Errors
    /// `InvalidArgument` if it does not follow; `TooLarge` if the entries do not fit one run; `Io`.
    pub(crate) fn push(&mut self, entry: EntryRef<'_>) -> Result<()> {
        let offset = self.out.len();
        let number = u32::try_from(offset / 8).ok().filter(|_| offset < ENTRIES_BYTES_MAX);
        let number = number.ok_or(too_large(offset))?;
        let newest = self
            .parts
            .tally
            .push(entry)
            .ok_or(Error::InvalidArgument(Invalid::Argument("entries of a run must come in order, each once")))?;
        if newest {
            self.parts.hash.push(entry.key, number);
        }
        self.parts.index.push(entry.key, number);
        self.parts.bounds.push(offset, number, entry.mod_revision);
        block::encode(entry, newest, &mut self.out.buffer);
        self.out.spill()
    }

    /// Writes the rest and makes file and directory entry durable. On return the run may be named in the catalog. After
    /// an error the file is gone, as far as it could be removed.
    ///
    /// # Errors
    /// As [`RunWriter::push`]; `InvalidArgument` for a run without entries.
    pub(crate) fn finish(self) -> Result<RunInfo> {
        let RunWriter { disk, store_id, id, out, parts } = self;
        let path = out.path.clone();
        let info = sections(store_id, id, out, parts).and_then(|info| {
            disk.sync_dir(IoSite::RunSyncDir, DIRECTORY).map_err(|e| Error::io("sync directory", DIRECTORY, e))?;
            Ok(info)
        });
        if info.is_err() {
            // The error is what counts; what stays is removed by the next open.
            let _ = disk.remove(IoSite::RunRemove, &path);
        }
        info
    }

    /// Gives up: removes the file, or leaves it to the next open.
    pub(crate) fn abandon(self) {
        let _ = self.disk.remove(IoSite::RunRemove, &self.out.path);
    }
}

/// Everything behind the entries, and the sync.
fn sections(store_id: u128, id: u64, mut out: Output, parts: Parts) -> Result<RunInfo> {
    let entries_len = out.len();
    let properties = parts.tally.finish();
    let tail = properties.encode();
    if properties.entries == 0 {
        return Err(Error::InvalidArgument(Invalid::Argument("a run holds at least one entry")));
    }
    let layout = Layout::new(entries_len, properties.entries, properties.keys, tail.len() as u64)
        .ok_or(too_large(entries_len))?;
    out.pad_to(layout.nodes);
    out.append(&parts.index.build(&properties.last_key))?;
    out.append(&parts.bounds.build(entries_len))?;
    out.pad_to(layout.hash);
    out.append(&parts.hash.build())?;
    out.pad_to(layout.checksums);
    out.write_checked()?;
    let checksums = std::mem::take(&mut out.checksums);
    let crcs = (codec::crc32(0, &checksums), codec::crc32(0, &tail));
    out.buffer.put_slice(&checksums);
    out.buffer.put_slice(&tail);
    out.pad_to(layout.footer);
    out.write(IoSite::RunWrite, out.buffer.len())?;
    let footer = Footer { store_id, run_id: id, layout, checksums_crc: crcs.0, properties_crc: crcs.1 }.encode();
    out.buffer.put_slice(&footer);
    out.write(IoSite::RunFooter, footer.len())?;
    if !is_planted(Bug::EditBeforeRunSync) {
        out.file.sync_data(IoSite::RunSync).map_err(|e| Error::io("sync", &out.path, e))?;
    }
    Ok(info(id, properties, layout.file_len(), footer_crc(&footer).unwrap_or_default()))
}

fn info(id: u64, properties: Properties, len: u64, footer_crc: u32) -> RunInfo {
    RunInfo {
        id,
        first_key: properties.first_key,
        last_key: properties.last_key,
        min_revision: properties.min_revision,
        max_revision: properties.max_revision,
        entries: properties.entries,
        tombstones: properties.tombstones,
        len,
        footer_crc,
        compacted: 0,
        garbage: properties.garbage,
    }
}

fn too_large(len: u64) -> Error {
    Error::TooLarge { what: "run", len, max: ENTRIES_BYTES_MAX }
}

/// The file, written front to back; whole blocks get their checksums on the way out.
struct Output {
    path: String,
    file: Arc<dyn DiskFile>,
    seed: u32,
    /// Bytes written, a multiple of the block while `checksums` grows.
    written: u64,
    /// What follows them.
    buffer: Vec<u8>,
    /// A little-endian `u32` per written block.
    checksums: Vec<u8>,
}

impl Output {
    fn new(path: String, file: Arc<dyn DiskFile>, seed: u32) -> Output {
        let buffer = Vec::with_capacity(WRITE_BYTES + 2 * BLOCK_BYTES);
        Output { path, file, seed, written: 0, buffer, checksums: Vec::new() }
    }

    fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        for part in bytes.chunks(WRITE_BYTES) {
            self.buffer.put_slice(part);
            self.spill()?;
        }
        Ok(())
    }

    /// Fills with zeros up to `offset`, which is at most a block ahead.
    fn pad_to(&mut self, offset: u64) {
        let zeros = usize::try_from(offset.saturating_sub(self.len())).unwrap_or(0).min(BLOCK_BYTES);
        self.buffer.resize(self.buffer.len() + zeros, 0);
    }

    fn spill(&mut self) -> Result<()> {
        if self.buffer.len() >= WRITE_BYTES { self.write_checked() } else { Ok(()) }
    }

    /// Writes the whole blocks of the buffer.
    fn write_checked(&mut self) -> Result<()> {
        let first = self.written / BLOCK_BYTES as u64;
        for (block, bytes) in (first..).zip(self.buffer.as_chunks::<BLOCK_BYTES>().0) {
            self.checksums.put_u32(block::block_checksum(self.seed, block, bytes));
        }
        let whole = self.buffer.len() - self.buffer.len() % BLOCK_BYTES;
        self.write(IoSite::RunWrite, whole)
    }

    /// Writes the first `len` bytes of the buffer.
    fn write(&mut self, site: IoSite, len: usize) -> Result<()> {
        write_all_at(&*self.file, site, &self.buffer[..len], self.written)
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.file.write_back(self.written, len as u64);
        self.written += len as u64;
        self.buffer.drain(..len);
        Ok(())
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Output({}, {} bytes)", self.path, self.len())
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parts({} entries)", self.tally.entries())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::test_disk::TestDisk;
    use crate::store::test_entries::{Random, STORE};

    #[test]
    fn entries_end_where_their_numbers_do() {
        let disk: Arc<dyn Disk> = TestDisk::new(true);
        let mut writer = RunWriter::create(&disk, STORE, 1).unwrap();
        writer.push(Random(1).entry(b"\x01a", 2, 0).borrow()).unwrap();
        writer.out.written = ENTRIES_BYTES_MAX;
        let refused = writer.push(Random(1).entry(b"\x01b", 2, 0).borrow());
        assert!(matches!(refused, Err(Error::TooLarge { what: "run", .. })));
        writer.abandon();
    }
}
