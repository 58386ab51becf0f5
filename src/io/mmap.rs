//! Read-only maps of runs.
//!
//! A map reads files that nobody writes any more. A page beyond the end of a file that was cut short is a SIGBUS, so no
//! file that may be mapped is ever shortened: a run that is no longer needed loses its name, and its pages go with the
//! last map.
#![allow(unsafe_code, reason = "mapping a file is unsafe by nature")]

use std::fs::File;
use std::io;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};

/// A read-only map of a file's first bytes. Clones share it; the last one to go unmaps it.
#[derive(Clone, Debug)]
pub struct FileMap(Arc<Mmap>);

impl FileMap {
    /// Maps the first `len` bytes (not zero) of a file that is at least that long and is never written or shortened
    /// while mapped.
    pub(super) fn new(file: &File, len: usize) -> io::Result<FileMap> {
        // SAFETY: only files that are finished are mapped; the store's lock keeps other processes out, and this one
        // removes such files but never shortens them. Against a foreign program that cuts it nothing here helps: files
        // are private to their owner, and the README says that they are nobody else's to write.
        let map = unsafe { MmapOptions::new().len(len).map(file) }?;
        Ok(FileMap(Arc::new(map)))
    }
}

impl std::ops::Deref for FileMap {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
