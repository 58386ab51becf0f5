//! `watch`, `watch_next`, `watch_cancel`.
//!
//! A wait for events must end when the driver does, and the watch must outlive it: what the request that waited was not
//! given belongs to the next one. So a wait is a thread that parks until its watch, or the board, wakes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::{FairMutex, Mutex};
use serde_json::Value;

use super::super::answer::{Answer, Outcome, Problem};
use super::super::board::Wait;
use super::super::request::Fields;
use super::{Call, deadline};
use crate::cli::json::{Bytes, Object, Part, kv_object};
use crate::error::{Error, Invalid, Result};
use crate::{Event, EventKind, Revision, Watch, WatchBatch, WatchCanceller};

pub(super) fn watch(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (range, from) = (fields.target()?, fields.revision("rev")?);
    let (prev_kv, no_put, no_delete) = (fields.flag("prev_kv")?, fields.flag("no_put")?, fields.flag("no_delete")?);
    fields.finish()?;
    if range.start().is_empty() {
        // The library takes it for the first of all keys.
        return Err(Problem::Store(Error::InvalidArgument(Invalid::EmptyKey)));
    }
    let db = call.db();
    let mut builder = db.watch(range).from(from);
    builder = if prev_kv { builder.with_prev() } else { builder };
    builder = if no_put { builder.no_put() } else { builder };
    builder = if no_delete { builder.no_delete() } else { builder };
    let watch = builder.start()?;
    // A watch from now on begins after the revision at which it was registered.
    let revision = if from == Revision::ZERO { watch.start_revision() - 1 } else { db.revision() };
    let number = call.driver.handles.add_watch(Watching::new(watch));
    Answer::at(revision).field("watch", number).done()
}

pub(super) fn next(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (number, patience) = (fields.handle("watch")?, fields.patience()?);
    fields.finish()?;
    let watching = call.driver.handles.watch(number)?;
    let (events, progress) = match watching.next(call, patience)? {
        Next::Batch(batch, progress) => (batch.into_events(), progress),
        Next::TimedOut(progress) => return batch_answer(&[], progress, call.form()).field("timeout", true).done(),
    };
    batch_answer(&events, progress, call.form()).done()
}

pub(super) fn cancel(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let number = fields.handle("watch")?;
    fields.finish()?;
    call.driver.handles.watch(number)?.cancel();
    Answer::at(call.db().revision()).done()
}

fn batch_answer(events: &[Event], progress: Revision, form: Bytes) -> Answer {
    let events: Value = events.iter().map(|event| event_object(event, form)).collect();
    Answer::new().field("events", events).field("progress", progress.get())
}

fn event_object(event: &Event, form: Bytes) -> Value {
    let (kind, part) = match event.kind {
        EventKind::Put => ("put", Part::Whole),
        EventKind::Delete => ("delete", Part::Deleted),
    };
    let mut object = Object::new();
    object.insert("type".into(), kind.into());
    object.insert("kv".into(), kv_object(&event.kv, part, form));
    if let Some(prev) = &event.prev {
        object.insert("prev".into(), kv_object(prev, Part::Whole, form));
    }
    Value::Object(object)
}

/// A watch behind a handle.
pub(in crate::cli::exec) struct Watching {
    /// Whose turn it is: requests on one watch are served one after the other.
    turn: FairMutex<State>,
    /// Ends it, whoever's turn it is; gone once it has ended, so that of a watch that ended only how it did is kept.
    canceller: Mutex<Option<WatchCanceller>>,
    /// What was handed out, for those whose turn did not come.
    progress: AtomicU64,
}

enum State {
    Going(Watch),
    /// How it ended: the answer to all that is still asked of it.
    Ended(Error),
}

/// What a request for events comes to.
enum Next {
    Batch(WatchBatch, Revision),
    TimedOut(Revision),
}

impl Watching {
    fn new(watch: Watch) -> Watching {
        let progress = AtomicU64::new(watch.progress().get());
        Watching { canceller: Mutex::new(Some(watch.canceller())), turn: FairMutex::new(State::Going(watch)), progress }
    }

    fn cancel(&self) {
        let Some(canceller) = self.canceller.lock().take() else { return };
        canceller.cancel();
        // Whoever has the turn meets the end by itself, and notes it.
        if let Some(mut turn) = self.turn.try_lock() {
            *turn = State::Ended(Error::Canceled);
        }
    }

    fn next(&self, call: &Call<'_>, patience: Option<Duration>) -> Result<Next, Problem> {
        let until = patience.map(deadline);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let wake = waker.clone();
        let wait = call.driver.board.wait(call.client, patience.is_none(), move || wake.wake_by_ref());
        let turn = match until {
            // Those before us are interrupted whenever we are.
            None | Some(None) => Some(self.turn.lock()),
            Some(Some(until)) => self.turn.try_lock_until(until),
        };
        let Some(mut turn) = turn else {
            return Ok(Next::TimedOut(Revision::new(self.progress.load(Ordering::Acquire))));
        };
        let watch = match &mut *turn {
            State::Going(watch) => watch,
            State::Ended(error) => return Err(Problem::Store(error.clone())),
        };
        match poll_until(watch, &wait, &waker, until.flatten()) {
            Err(Problem::Store(error)) => {
                *turn = State::Ended(error.clone());
                *self.canceller.lock() = None;
                Err(Problem::Store(error))
            }
            next => {
                self.progress.store(watch.progress().get(), Ordering::Release);
                next
            }
        }
    }
}

/// Waits for a batch, a time, or the end of the driver. Events come first: what was published before the wait was
/// interrupted is handed out.
fn poll_until(watch: &mut Watch, wait: &Wait<'_>, waker: &Waker, until: Option<Instant>) -> Result<Next, Problem> {
    loop {
        // Before the watch is asked, so that it is asked once more after an interruption.
        let is_interrupted = wait.is_interrupted();
        match watch.poll(&mut Context::from_waker(waker)) {
            Poll::Ready(Some(Ok(batch))) => return Ok(Next::Batch(batch, watch.progress())),
            Poll::Ready(Some(Err(error))) => return Err(Problem::Store(error)),
            // The history of a store that is opened read-only has an end.
            Poll::Ready(None) => return Err(Problem::Store(Error::Closed)),
            Poll::Pending if is_interrupted => return Err(Problem::Canceled),
            Poll::Pending => {}
        }
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(Duration::ZERO) => return Ok(Next::TimedOut(watch.progress())),
            Some(left) => thread::park_timeout(left),
        }
    }
}

/// Wakes a thread that is parked, or is about to.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
