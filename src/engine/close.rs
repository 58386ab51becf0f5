//! Closing: leases keep what is left of their time, runs take over what the log holds, and a closing frame says last
//! that nothing is missing. A poisoned store does none of this: its next open recovers from what is on the disk.

use std::sync::atomic::Ordering;

use crate::engine::leases::whole_millis;
use crate::engine::{Engine, Phase};
use crate::error::{Error, Result};
use crate::kv::LeaseId;
use crate::store::catalog::Checkpoint;
use crate::trace::{self, Timer};

impl Engine {
    /// Ends the store for every handle. Waiters wake with `Closed`; threads end; the lock is given back whatever
    /// happens. A second call does nothing.
    pub(crate) fn close(&self) -> Result<()> {
        self.check_fork()?;
        {
            let mut core = self.core.lock();
            if core.phase != Phase::Open {
                return Ok(());
            }
            core.phase = Phase::Closing;
            self.closed.store(true, Ordering::Release);
        }
        let (_span, timer) = (trace::close(), Timer::start(self.clock.as_ref()));
        self.hub.close(Error::Closed);
        self.stop_background();
        let result = if self.writer.is_some() { self.close_files() } else { Ok(()) };
        self.core.lock().phase = Phase::Closed;
        self.end_maintenance();
        self.lock.lock().take();
        // What no thread was there to tell.
        self.tell_all();
        trace::closed(self.revision().get(), timer.us(self.clock.as_ref()));
        match result {
            // It was told when it happened, and nothing was acknowledged since.
            Err(Error::Poisoned) => Ok(()),
            other => other,
        }
    }

    /// Waits for flushes and merges in callers' threads: once the lock is given back, the files may be another's.
    fn end_maintenance(&self) {
        let Some(writer) = &self.writer else { return };
        let _flushing = writer.flushing.lock();
        let _merging = writer.merging.lock();
        let _preparing = self.background.preparing();
        writer.closed.store(true, Ordering::Release);
    }

    fn close_files(&self) -> Result<()> {
        self.check_poison()?;
        let closed = self.settle_files();
        if let Err(error) = &closed {
            self.set_poison(error.clone());
        }
        closed
    }

    fn settle_files(&self) -> Result<()> {
        let writer = self.writer()?;
        let stamp = self.stamp();
        let leases = self.lessor.list(self.lease_time(&stamp)).into_iter();
        let remaining: Vec<(LeaseId, u64)> = leases.map(|(id, time)| (id, whole_millis(time.remaining))).collect();
        self.checkpoint_leases(stamp, &remaining)?;
        self.write_out(true)?;
        self.flush_all()?;
        let closing_frame = writer.log.closing_index();
        let note = Checkpoint { closing_frame, ..writer.catalog.checkpoint() };
        writer.edit(|edit| edit.checkpoint(note))?;
        writer.log.write_closing()
    }
}
