//! Read-only maps of runs, and the count of who maps what.
//!
//! A map reads files that nobody writes any more. A page beyond the end of a file that was cut short is a SIGBUS, so
//! whoever shortens a file asks first whether this process maps it: `is_mapped` knows by device and inode, whichever
//! handle or path the map was made through.
#![allow(unsafe_code, reason = "mapping a file is unsafe by nature")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};
use parking_lot::Mutex;

/// A file's identity within the host: device and inode.
pub(crate) type FileId = (u64, u64);

/// A read-only map of a file's first bytes. Clones share it; the last one to go unmaps it.
#[derive(Clone, Debug)]
pub struct FileMap(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    // Dropped in this order: unmapped first, uncounted after.
    map: Mmap,
    _entry: Entry,
}

impl FileMap {
    /// Maps the first `len` bytes (not zero) of a file that is at least that long and is never written or shortened
    /// while mapped.
    pub(super) fn new(file: &File, id: FileId, len: usize) -> io::Result<FileMap> {
        let entry = Entry::new(id);
        // SAFETY: only files that are finished are mapped; the store's lock keeps other processes out, and `Entry`
        // keeps this one from shortening the file. Against a foreign program that cuts it nothing here helps: files are
        // private to their owner, and the README says that they are nobody else's to write.
        let map = unsafe { MmapOptions::new().len(len).map(file) }?;
        Ok(FileMap(Arc::new(Counted { map, _entry: entry })))
    }
}

impl std::ops::Deref for FileMap {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0.map
    }
}

/// Whether this process holds a map of the file.
pub(crate) fn is_mapped(id: FileId) -> bool {
    MAPPED.lock().contains_key(&id)
}

/// One map in the count.
#[derive(Debug)]
struct Entry(FileId);

impl Entry {
    fn new(id: FileId) -> Entry {
        *MAPPED.lock().entry(id).or_insert(0) += 1;
        Entry(id)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut mapped = MAPPED.lock();
        if let Some(count) = mapped.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                mapped.remove(&self.0);
            }
        }
    }
}

/// How many maps of each file this process has.
static MAPPED: Mutex<BTreeMap<FileId, usize>> = Mutex::new(BTreeMap::new());
