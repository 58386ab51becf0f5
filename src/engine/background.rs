//! Background work: preparing the log, flushing memtables, merging runs, ending leases, syncing a relaxed store.
//!
//! Each job has a thread of its own, which exists only while the job has work, so that none waits for another and an
//! idle store wakes nobody. With `Tuning::manual` there are no threads: `step` does one piece of work at a time, in the
//! caller's thread, in a fixed order.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::{CLOSED_MAX, Engine, Writer};
use crate::error::{Error, Result};
use crate::io::sync::{Condvar, Mutex, MutexGuard};
use crate::io::thread::{self, JoinHandle, ThreadId};
use crate::options::{Durability, LogEvent};
use crate::store::catalog::{SegmentRow, SegmentState};
use crate::trace;

/// A kind of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Prepare,
    Flush,
    Merge,
    Expire,
    Sync,
    Tell,
}

const JOBS: [Job; 6] = [Job::Prepare, Job::Flush, Job::Merge, Job::Expire, Job::Sync, Job::Tell];

/// Which jobs have a thread.
#[derive(Debug, Default)]
pub(crate) struct Background {
    jobs: Mutex<Jobs>,
    /// Signalled when a flush is through or has failed, when a job ends, and at close.
    changed: Condvar,
    /// One preparation of the log at a time.
    preparing: Mutex<()>,
    /// What the log hook is still to be told; taken alone.
    events: Mutex<VecDeque<LogEvent>>,
}

#[derive(Debug, Default)]
struct Jobs {
    /// The threads; a job that is about to get one has none yet.
    running: [Option<Option<ThreadId>>; JOBS.len()],
    again: [bool; JOBS.len()],
    /// Recovery is over. Until then there are no threads: they would order and publish in the middle of it.
    serving: bool,
    stopping: bool,
    /// Threads that may still run, to be joined at close.
    threads: Vec<JoinHandle<()>>,
    /// Why each job failed when it was last tried; cleared once it succeeds. One job says nothing about another.
    errors: [Option<Error>; JOBS.len()],
    /// How many found no room so far.
    failures: u64,
}

/// How often a relaxed store is synced.
const SYNC_INTERVAL: Duration = Duration::from_millis(50);
/// How long a buffered write stays out of the operating system's hands, about.
const WRITE_INTERVAL: Duration = Duration::from_millis(1);

impl Background {
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Why a job failed that has not succeeded since; of several the first in order.
    pub(crate) fn error(&self) -> Option<Error> {
        self.jobs.lock().errors.iter().flatten().next().cloned()
    }

    /// Keeps the log from being prepared.
    pub(crate) fn preparing(&self) -> MutexGuard<'_, ()> {
        self.preparing.lock()
    }

    fn failed(&self, job: Job, error: Error) {
        let mut jobs = self.jobs.lock();
        jobs.errors[job as usize] = Some(error);
        jobs.failures += 1;
        self.changed.notify_all();
    }

    fn end(&self, jobs: &mut Jobs, job: Job) {
        jobs.running[job as usize] = None;
        jobs.again[job as usize] = false;
        self.changed.notify_all();
    }

    pub(crate) fn succeeded(&self, job: Job) {
        self.jobs.lock().errors[job as usize] = None;
        self.changed.notify_all();
    }
}

impl Jobs {
    /// Keeps the list of threads short. One that has finished is joined, not forgotten: until then the system may still
    /// show it, and closing promises that none is left.
    fn join_finished(&mut self) {
        if self.threads.len() >= THREADS_KEPT {
            let finished = self.threads.extract_if(.., |thread| thread.is_finished());
            finished.for_each(|thread| drop(thread.join()));
        }
    }
}

/// How many threads are kept to be joined before finished ones are.
const THREADS_KEPT: usize = 64;

impl Engine {
    /// Makes sure that `job` looks for work. All of it writes, so a read-only store has none.
    pub(crate) fn kick(&self, job: Job) {
        if self.options.tuning.manual || self.writer.is_none() {
            return;
        }
        let mut jobs = self.background.jobs.lock();
        if jobs.stopping || !jobs.serving {
            return;
        }
        if jobs.running[job as usize].is_some() {
            jobs.again[job as usize] = true;
            return;
        }
        let Some(engine) = self.arc() else { return };
        jobs.running[job as usize] = Some(None);
        jobs.join_finished();
        let name = format!("{job:?}").to_lowercase();
        match thread::spawn(&name, move || engine.run_job(job)) {
            Ok(thread) => jobs.threads.push(thread),
            Err(error) => {
                drop(jobs);
                // Told by `health` alone: the commit mutex may be held.
                self.background.failed(job, Error::io("start a thread", "", error));
                self.background.end(&mut self.background.jobs.lock(), job);
            }
        }
    }

    /// Lets background work begin, and looks for what recovery has left to it.
    pub(crate) fn start_background(&self) {
        self.background.jobs.lock().serving = true;
        let Some(writer) = &self.writer else { return };
        let (flush, leases) = {
            let core = self.core.lock();
            (!core.closed.is_empty(), !core.state.leases.is_empty())
        };
        let merge = self.version.load().runs.len() > 1;
        let wanted = [
            (Job::Prepare, writer.log.wants_prepare()),
            (Job::Flush, flush),
            (Job::Merge, merge),
            (Job::Expire, leases || self.next_lapse().is_some()),
            (Job::Tell, !self.background.events.lock().is_empty()),
        ];
        wanted.into_iter().filter(|(_, wanted)| *wanted).for_each(|(job, _)| self.kick(job));
    }

    fn run_job(&self, job: Job) {
        self.background.jobs.lock().running[job as usize] = Some(Some(thread::current()));
        loop {
            let guard = JobGuard { engine: self, job };
            self.work(job);
            std::mem::forget(guard);
            // Looking whether there is more and ending are one step: a kick in between would be lost.
            let mut jobs = self.background.jobs.lock();
            if !jobs.again[job as usize] || jobs.stopping {
                return self.background.end(&mut jobs, job);
            }
            jobs.again[job as usize] = false;
        }
    }

    /// Does a job until it has no more work, or fails.
    fn work(&self, job: Job) {
        let result = match job {
            Job::Prepare => self.prepare_ahead(),
            Job::Flush => self.repeat(Engine::flush_one),
            Job::Merge => self.repeat(|engine| engine.merge_some(false)).and_then(|()| self.lapse_in_time()),
            Job::Expire => self.expire_until_idle(),
            Job::Sync => self.sync_until_idle(),
            Job::Tell => {
                self.tell_all();
                Ok(())
            }
        };
        let Err(error) = result else { return self.background.succeeded(job) };
        match error {
            Error::Poisoned | Error::Closed | Error::Indeterminate => {}
            error if error.is_no_space() => {
                self.background.failed(job, error.clone());
                self.tell(LogEvent::Background(error));
            }
            // A run has its limits; what is there stays as it is.
            error @ Error::TooLarge { .. } => self.tell(LogEvent::Background(error)),
            // Room ahead is only a comfort: a writer that needs it meets the error itself.
            error if job == Job::Prepare => self.tell(LogEvent::Background(error)),
            error => self.set_poison(error),
        }
    }

    /// Tells the log hook, soon and from a thread that holds no lock: the hook may do what it likes, close the store too.
    /// Without threads it is told at once.
    pub(crate) fn tell(&self, event: LogEvent) {
        trace::log_event(&event);
        if self.options.log_hook.is_none() {
            return;
        }
        self.background.events.lock().push_back(event);
        if self.options.tuning.manual {
            self.tell_all();
        } else {
            self.kick(Job::Tell);
        }
    }

    /// Tells what is waiting to be told.
    pub(crate) fn tell_all(&self) {
        loop {
            let Some(event) = self.background.events.lock().pop_front() else { return };
            self.options.tell(&event);
        }
    }

    fn repeat(&self, one: impl Fn(&Engine) -> Result<bool>) -> Result<()> {
        while !self.is_stopping() && one(self)? {}
        Ok(())
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.background.jobs.lock().stopping
    }

    /// Ends all threads and waits for them, but for the caller's own: the log hook may close the store.
    pub(crate) fn stop_background(&self) {
        self.background.jobs.lock().stopping = true;
        self.background.changed.notify_all();
        // With no lock held: it wakes who listens to leases, and what they do is not known here.
        self.lessor.close();
        let mut jobs = self.background.jobs.lock();
        let own_id = thread::current();
        let own = Some(own_id);
        while jobs.running.iter().flatten().any(|thread| *thread != own) {
            self.background.changed.wait(&mut jobs);
        }
        let threads = std::mem::take(&mut jobs.threads);
        drop(jobs);
        // One that panicked has poisoned the store already.
        threads.into_iter().filter(|thread| thread.thread().id() != own_id).for_each(|thread| drop(thread.join()));
    }

    /// Waits for a flush or a merge to make room, at most for what is left of `patience`.
    pub(crate) fn wait_for_flush(&self, patience: &mut Duration) -> Result<()> {
        // Once the threads are ended, whoever needs room flushes by himself: closing, to write down what is left of leases.
        if self.options.tuning.manual || self.is_stopping() {
            return self.catch_up();
        }
        let stalled = || self.core.lock().closed.len() >= CLOSED_MAX || self.merges_are_behind();
        let started = self.clock.now().mono;
        let patient_for = *patience;
        let failures = self.background.jobs.lock().failures;
        self.kick(Job::Flush);
        self.kick(Job::Merge);
        let mut jobs = self.background.jobs.lock();
        loop {
            self.check_poison()?;
            if jobs.stopping {
                return Err(Error::Closed);
            }
            if jobs.failures != failures {
                let full = jobs.errors.iter().flatten().find(|error| matches!(error, Error::Full { .. }));
                return Err(full.cloned().unwrap_or(Error::Full { what: "disk", max: 0 }));
            }
            // The commit mutex comes first in the lock order.
            let still = MutexGuard::unlocked(&mut jobs, stalled);
            *patience = patient_for.saturating_sub(self.clock.now().mono.saturating_sub(started));
            if !still {
                return Ok(());
            }
            if patience.is_zero() {
                return Err(Error::Timeout);
            }
            self.background.changed.wait_for(&mut jobs, (*patience).min(SYNC_INTERVAL));
        }
    }

    /// One piece of background work in the caller's thread, for stores without threads; false if there is none.
    #[cfg(feature = "_testing")]
    pub(crate) fn step(&self) -> Result<bool> {
        let Ok(writer) = self.writer() else { return Ok(false) };
        self.check_poison()?;
        let before = self.published_index();
        self.expire_due()?;
        if self.published_index() != before {
            return Ok(true);
        }
        if writer.log.wants_prepare() {
            return self.settle(self.prepare_log(0)).map(|()| true);
        }
        if self.flush_one()? || self.merge_some(false)? {
            return Ok(true);
        }
        self.lapse_cursors()?;
        Ok(self.published_index() != before)
    }

    /// What background work came to, whoever asked for it: without room it can be tried again, after any other failure
    /// nobody knows what is on the disk.
    pub(crate) fn settle<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(error @ Error::Full { .. }) => Err(error),
            Err(error) if error.is_no_space() => Err(Error::Full { what: "disk", max: 0 }),
            Err(error @ (Error::Io { .. } | Error::Corrupt { .. })) => {
                self.set_poison(error.clone());
                Err(error)
            }
            other => other,
        }
    }

    /// Makes room in the log for a frame of `need` bytes, and ahead of it.
    pub(crate) fn prepare_log(&self, need: usize) -> Result<()> {
        let writer = self.writer()?;
        let mut edited = Ok(());
        let prepared = self.prepare_room(writer, need, &mut |seq| {
            let row = SegmentRow { state: SegmentState::Spare, ..SegmentRow::default() };
            edited = writer.edit(|edit| edit.put_segment(seq, row));
            edited.clone()
        });
        self.settle(edited)?;
        prepared
    }

    fn prepare_room(&self, writer: &Writer, need: usize, register: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        let _one = self.background.preparing.lock();
        writer.check_open()?;
        if (need != 0 && writer.log.fits(need)) || (need == 0 && !writer.log.wants_prepare()) {
            return Ok(());
        }
        let mut next_seq = || {
            let mut names = writer.names.lock();
            names.next_segment += 1;
            names.next_segment - 1
        };
        writer.log.prepare(need, &mut next_seq, register)
    }

    /// Lets cursors lapse that are over their budget. If that cannot be ordered now, the next flush brings another look.
    pub(crate) fn lapse_in_time(&self) -> Result<()> {
        match self.lapse_cursors() {
            Err(Error::Full { .. } | Error::Timeout) => Ok(()),
            other => other,
        }
    }

    fn prepare_ahead(&self) -> Result<()> {
        match self.prepare_log(0) {
            // Writers go on to the end of what is there, then meet `Full` themselves.
            Err(Error::Full { .. }) => Ok(()),
            other => other,
        }
    }

    /// Writes and syncs what a relaxed store has published, for as long as something is not synced.
    fn sync_until_idle(&self) -> Result<()> {
        let buffered = self.options.durability == Durability::Buffered;
        let interval = if buffered { WRITE_INTERVAL } else { SYNC_INTERVAL };
        let mut since_sync = Duration::ZERO;
        loop {
            let stopping = {
                let mut jobs = self.background.jobs.lock();
                if !jobs.stopping {
                    self.background.changed.wait_for(&mut jobs, interval);
                }
                jobs.stopping
            };
            if stopping {
                return Ok(());
            }
            self.check_poison()?;
            since_sync += interval;
            let sync = since_sync >= SYNC_INTERVAL;
            self.write_out(sync)?;
            if sync {
                since_sync = Duration::ZERO;
                if self.synced.load(Ordering::Acquire) >= self.visible.load(Ordering::Acquire) {
                    return Ok(());
                }
            }
        }
    }
}

/// Marks a job as ended when its thread panics, so that closing does not wait for ever; the store is then poisoned.
struct JobGuard<'e> {
    engine: &'e Engine,
    job: Job,
}

impl Drop for JobGuard<'_> {
    fn drop(&mut self) {
        self.engine.poison_by_panic("background work");
        let background = &self.engine.background;
        background.end(&mut background.jobs.lock(), self.job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_panics_ends_and_poisons_the_store_and_the_hook_is_told_why() {
        let (told, events) = std::sync::mpsc::channel();
        let told = std::sync::Mutex::new(told);
        let hook = move |event: &LogEvent| {
            let told = told.lock().expect("nobody panics with it");
            told.send(event.clone()).expect("the test listens");
        };
        let db = crate::Options::new().log_hook(hook).in_memory().expect("opens");
        let guard = JobGuard { engine: db.engine(), job: Job::Flush };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = guard;
            panic!("a bug that a test has planted");
        }));
        assert!(panicked.is_err());
        let event = events.recv().expect("the hook is told");
        let LogEvent::Poisoned(error) = event else { panic!("{event:?}") };
        assert_eq!(error.to_string(), "cannot finish background work");
        assert!(matches!(db.put("k", "v"), Err(Error::Poisoned)));
        db.close().expect("it waits for no job that is gone");
    }

    /// A merge that succeeded cleared what was told of a flush that had failed.
    #[test]
    fn one_job_says_nothing_about_another() {
        let background = Background::default();
        let full = || Error::Full { what: "disk", max: 0 };
        background.failed(Job::Flush, full());
        background.succeeded(Job::Merge);
        assert!(matches!(background.error(), Some(Error::Full { .. })));
        background.failed(Job::Merge, full());
        background.succeeded(Job::Flush);
        assert!(background.error().is_some());
        background.succeeded(Job::Merge);
        assert!(background.error().is_none());
    }
}
