//! The end of opening: the tail of the log is applied, and what runs beside reads and writes begins.
//!
//! Each entry above the checkpoint is a command that was once applied, so applying it again, by the same `evaluate`, must
//! come to the same; one that cannot be applied is damage. Nothing is served meanwhile. Memtables fill as they did then, and
//! flush on the way, as their entries are proven by now.
//!
//! Leases come last. Of each the deadline is known, not what is left of it: the clocks have gone on while the store was
//! closed. What is left becomes durable under a stamp of now before anybody is answered, so that no number of opens keeps
//! a lease alive or ends it early.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::command::{Command, Stamp, newer_version};
use crate::engine::commit::Batch;
use crate::engine::{Engine, Obstacle, apply, millis, stamp_of};
use crate::error::{Error, Result};
use crate::io::Now;
use crate::lease::{Terms, remaining_at_open};
use crate::log::{Record, Scan, segment_path};
use crate::sabotage::{Bug, is_planted};
use crate::trace::{self, Timer};

impl Engine {
    /// Applies the entries above the checkpoint. Memtables rotate and flush on the way as usual, now that what they
    /// hold is proven.
    pub(super) fn replay(&self, scan: &Scan) -> Result<()> {
        // What the checkpoint covers is passed over; from there on every entry must be the next one.
        let (checkpoint, checkpoint_revision) = {
            let core = self.core.lock();
            (core.state.index, core.state.revision)
        };
        let mut proven = checkpoint_revision;
        let timer = Timer::start(self.clock.as_ref());
        for frame in &scan.frames {
            for record in frame.records() {
                if let Record::Entry { index, payload, .. } = record
                    && index > checkpoint
                {
                    let place = |what| Error::corrupt(segment_path(frame.seq), frame.offset, what);
                    self.replay_entry(index, payload).map_err(|error| match error {
                        Error::Canceled => place("a logged command cannot be applied"),
                        Error::FormatTooNew { format, .. } => {
                            Error::FormatTooNew { file: segment_path(frame.seq).into(), format }
                        }
                        other => other,
                    })?;
                }
            }
            if frame.frame_index <= scan.proven {
                proven = self.core.lock().state.revision;
            }
        }
        self.publish_replayed();
        let (commands, revision) = (self.published_index() - checkpoint, self.revision().get());
        let took_us = timer.us(self.clock.as_ref());
        trace::replayed(scan.frames.len(), commands, checkpoint_revision, revision, took_us);
        if self.writer.is_none() {
            // Nothing was copied and synced again, so only this is known to be on the disk.
            self.synced.store(proven, Ordering::Release);
        }
        Ok(())
    }

    /// Applies one logged command; `Canceled` if it cannot be what was once applied.
    fn replay_entry(&self, index: u64, payload: &[u8]) -> Result<()> {
        let Some(command) = Command::decode(payload) else {
            return Err(match newer_version(payload) {
                Some(format) => Error::FormatTooNew { file: "log".into(), format: u32::from(format) },
                None => Error::Canceled,
            });
        };
        loop {
            let mut core = self.core.lock();
            if index != core.state.index + 1 {
                return Err(Error::Canceled);
            }
            // What was within bounds when it was logged is applied whatever the bounds are now.
            let bound = std::mem::replace(&mut core.state.command_changes_max, usize::MAX);
            let outcome = apply::evaluate(&core.state, &self.version.load(), &command);
            core.state.command_changes_max = bound;
            let changes = match outcome {
                Ok(outcome) => outcome.changes,
                Err(error @ (Error::Io { .. } | Error::Corrupt { .. })) => return Err(error),
                Err(_) => return Err(Error::Canceled),
            };
            if self.writer.is_some()
                && let Err(Obstacle::Flush) = self.reserve_memtable(&mut core, &changes)
            {
                drop(core);
                self.publish_replayed();
                self.catch_up()?;
                continue;
            }
            core.state.install(&changes);
            core.log_bytes += payload.len() as u64;
            self.apply_changes(&mut core, &changes);
            return Ok(());
        }
    }

    /// Makes what was replayed visible. Watches and lease deadlines come later.
    fn publish_replayed(&self) {
        let mut core = self.core.lock();
        core.batch = Batch::new(1);
        self.visible.store(core.state.revision, Ordering::Release);
        self.compacted.store(core.state.compacted(), Ordering::Release);
        self.synced.store(core.state.revision, Ordering::Release);
        self.recovered_revision.store(core.state.revision, Ordering::Release);
        self.cursors.lock().clone_from(&core.state.cursors);
        self.commit.set_published(core.state.index);
    }

    /// Starts what runs beside reads and writes: watches stand at the recovered revision, leases go on with what is
    /// left of their time, which becomes durable under a new stamp.
    pub(super) fn serve(&self) -> Result<()> {
        self.hub.publish(self.visible.load(Ordering::Acquire), &mut std::iter::empty());
        let clocks = self.clock.now();
        let stamp = stamp_of(&clocks);
        // The stamp's own time, not one a little later: what is stored is the deadline, which must not drift.
        let now = self.lease_time(&stamp);
        let mut remaining = Vec::new();
        for (id, lease) in &self.core.lock().state.leases {
            let elapsed = elapsed_ms(&lease.stamp, &clocks);
            if is_planted(Bug::LeaseRefreshed) {
                let ttl = Duration::from_millis(lease.ttl_ms);
                self.lessor.start(*id, Terms::of(lease), now.saturating_add(ttl));
                remaining.push((*id, lease.ttl_ms));
                continue;
            }
            let (left, overdue) = remaining_at_open(lease.ttl_ms, lease.remaining_ms, lease.renewed, elapsed);
            let of_millis = Duration::from_millis;
            // What ended while the store was closed ends in the order of its deadlines, and is not stamped anew, so that it
            // does so after another crash, too.
            let deadline = now.saturating_add(of_millis(left)).saturating_sub(of_millis(overdue));
            self.lessor.start(*id, Terms::of(lease), deadline);
            if overdue == 0 {
                remaining.push((*id, left));
            }
        }
        if self.writer.is_some() {
            self.checkpoint_leases(stamp, &remaining)?;
        }
        Ok(())
    }
}

/// How much time has passed since a stamp: by the boot clock within one boot of the host, else by the wall clock, and
/// never less than none (CH-05).
fn elapsed_ms(then: &Stamp, now: &Now) -> u64 {
    if then.boot_id == now.boot_id && then.boot_id != 0 {
        millis(now.boot).saturating_sub(then.boot_ms)
    } else {
        millis(now.wall).saturating_sub(then.wall_ms)
    }
}
