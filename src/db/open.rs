//! The doors to a store: a directory, memory, or any disk and clock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::db::{Db, Handle};
use crate::engine::recover::{Opening, refuse_foreign};
use crate::error::{Error, Result};
use crate::io::fs::{FsDisk, FsOptions, SystemClock};
use crate::io::memory::MemoryDisk;
use crate::io::{Clock, Disk, DiskLock, LockError};
use crate::options::Options;
use crate::trace::{self, Timer};

impl Db {
    pub(crate) fn open_with(path: &Path, options: Options) -> Result<Db> {
        options.check()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let fs = FsOptions {
            create: options.create && !options.read_only,
            read_only: options.read_only,
            allow_other_owner: options.allow_other_owner,
        };
        let disk: Arc<dyn Disk> = Arc::new(FsDisk::open(path, fs)?);
        Db::open_at(path, disk, clock, options).map_err(|error| match error {
            Error::NotADatabase { what, .. } => Error::NotADatabase { path: path.into(), what },
            other => other,
        })
    }

    pub(crate) fn in_memory_with(mut options: Options) -> Result<Db> {
        // Memory is not a disk to fill far ahead of need. The size of a segment stays what it is on disk, since it
        // bounds a request, and a store in memory refuses nothing that one on disk takes.
        options.tuning.fill_bytes = options.tuning.fill_bytes.min(IN_MEMORY_FILL_BYTES);
        options.tuning.spare = false;
        options.check()?;
        let clock: Arc<dyn Clock> = options.tuning.clock.clone().unwrap_or_else(|| Arc::new(SystemClock::new()));
        Db::open_on(Arc::new(MemoryDisk::new()), clock, options)
    }

    /// Opens on any disk and clock.
    pub(crate) fn open_on(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, options: Options) -> Result<Db> {
        Db::open_at(Path::new(""), disk, clock, options)
    }

    fn open_at(path: &Path, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, options: Options) -> Result<Db> {
        let _span = trace::open(&path.display());
        let timer = Timer::start(clock.as_ref());
        refuse_foreign(&disk)?;
        let lock = take_lock(&disk, &clock, &options)?;
        let engine = Opening { disk, clock, options, lock }.open()?;
        let (revision, read_only) = (engine.revision().get(), engine.options.read_only);
        trace::opened(revision, read_only, timer.us(engine.clock.as_ref()));
        Ok(Db { handle: Arc::new(Handle::new(engine)) })
    }
}

/// How far the log of a store in memory is filled ahead at first; as on disk, it doubles with use.
const IN_MEMORY_FILL_BYTES: u64 = 64 << 10;

fn take_lock(disk: &Arc<dyn Disk>, clock: &Arc<dyn Clock>, options: &Options) -> Result<DiskLock> {
    let started = clock.now().mono;
    loop {
        match disk.lock(!options.read_only) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Io(error)) => return Err(Error::io("lock", "LOCK", error)),
            Err(LockError::Held(holder)) => {
                if clock.now().mono.saturating_sub(started) >= options.lock_wait {
                    return Err(Error::Locked { holder });
                }
                crate::io::thread::pause(LOCK_RETRY);
            }
        }
    }
}

/// How often a lock that is waited for is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(50);
