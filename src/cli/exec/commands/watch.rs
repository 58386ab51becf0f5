//! `watch`, `watch_next`, `watch_cancel`.
//!
//! A wait for events must end when the driver does, and the watch must outlive it: what the request that waited was not
//! given belongs to the next one. The library can end a wait only by cancelling its watch. So that is done, and a new
//! watch goes on from where the old one was: `progress() + 1` is exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{FairMutex, FairMutexGuard, Mutex};
use serde_json::Value;

use super::super::answer::{Answer, Outcome, Problem};
use super::super::request::Fields;
use super::{Call, deadline};
use crate::cli::json::{Bytes, Object, Part, kv_object};
use crate::error::{Error, Invalid, Result};
use crate::{Db, Event, EventKind, KeyRange, Revision, Watch, WatchBatch, WatchCanceller};

pub(super) fn watch(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (range, from) = (fields.target()?, fields.revision("rev")?);
    let what = What {
        range,
        prev_kv: fields.flag("prev_kv")?,
        no_put: fields.flag("no_put")?,
        no_delete: fields.flag("no_delete")?,
    };
    fields.finish()?;
    let db = call.db();
    let watch = what.start(&db, from)?;
    // A watch from now on begins after the revision at which it was registered.
    let revision = if from == Revision::ZERO { watch.start_revision() - 1 } else { db.revision() };
    let number = call.driver.handles.add_watch(Watching::new(db, what, watch));
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

/// What is watched.
struct What {
    range: KeyRange,
    prev_kv: bool,
    no_put: bool,
    no_delete: bool,
}

impl What {
    fn start(&self, db: &Db, from: Revision) -> Result<Watch> {
        if self.range.start().is_empty() {
            return Err(Error::InvalidArgument(Invalid::EmptyKey));
        }
        let mut builder = db.watch(self.range.clone()).from(from);
        if self.prev_kv {
            builder = builder.with_prev();
        }
        if self.no_put {
            builder = builder.no_put();
        }
        if self.no_delete {
            builder = builder.no_delete();
        }
        builder.start()
    }
}

/// A watch behind a handle.
pub(in crate::cli::exec) struct Watching {
    db: Db,
    what: What,
    /// Whose turn it is: requests on one watch are served one after the other.
    turn: FairMutex<State>,
    /// For those that want to end it, whoever's turn it is. Taken under `turn`, never the other way round.
    canceller: Mutex<WatchCanceller>,
    /// Whether its user cancelled it.
    is_canceled: AtomicBool,
    /// What was handed out, for those whose turn did not come.
    progress: AtomicU64,
}

enum State {
    Going(Watch),
    Ended(Error),
}

type Turn<'a> = FairMutexGuard<'a, State>;

/// What a watch has returned.
type Found = Result<Option<WatchBatch>>;

/// What a request for events comes to.
enum Next {
    Batch(WatchBatch, Revision),
    TimedOut(Revision),
}

impl Watching {
    fn new(db: Db, what: What, watch: Watch) -> Watching {
        let canceller = Mutex::new(watch.canceller());
        let progress = AtomicU64::new(watch.progress().get());
        let turn = FairMutex::new(State::Going(watch));
        Watching { db, what, turn, canceller, is_canceled: AtomicBool::new(false), progress }
    }

    fn cancel(&self) {
        self.is_canceled.store(true, Ordering::Release);
        self.interrupt();
    }

    /// Ends a `next` that waits; it decides what that means.
    fn interrupt(&self) {
        self.canceller.lock().cancel();
    }

    fn next(self: &Arc<Self>, call: &Call<'_>, patience: Option<Duration>) -> std::result::Result<Next, Problem> {
        let until = patience.map(deadline);
        let this = self.clone();
        let board = &call.driver.board;
        let wait = board.wait(call.client, patience.is_none(), move || this.interrupt());
        let turn = match until {
            // Those before us are interrupted whenever we are.
            None | Some(None) => Some(self.turn.lock()),
            Some(Some(until)) => self.turn.try_lock_until(until),
        };
        let Some(mut turn) = turn else {
            return Ok(Next::TimedOut(Revision::new(self.progress.load(Ordering::Acquire))));
        };
        let State::Going(watch) = &mut *turn else { return self.after(turn, Ok(None)) };
        let found = match until {
            _ if wait.is_interrupted() => Ok(None),
            None | Some(None) => watch.next().transpose(),
            Some(Some(until)) => watch.next_timeout(until.saturating_duration_since(std::time::Instant::now())),
        };
        let is_interrupted = wait.is_interrupted();
        drop(wait);
        if is_interrupted && !self.is_canceled.load(Ordering::Acquire) {
            return self.woken(turn, found, board.is_canceled());
        }
        self.after(turn, found)
    }

    /// After a wait that was interrupted: the watch was cancelled only to end that, so another one takes its place.
    fn woken(&self, mut turn: Turn<'_>, found: Found, at_once: bool) -> std::result::Result<Next, Problem> {
        let State::Going(watch) = &mut *turn else { return self.after(turn, found) };
        let progress = watch.progress();
        *turn = match self.what.start(&self.db, progress + 1) {
            Ok(resumed) => {
                self.replace_canceller(resumed.canceller());
                State::Going(resumed)
            }
            Err(error) => State::Ended(error),
        };
        match found {
            Ok(Some(batch)) => {
                self.progress.store(progress.get(), Ordering::Release);
                return Ok(Next::Batch(batch, progress));
            }
            Ok(None) | Err(Error::Canceled) => {}
            Err(error) => return self.after(turn, Err(error)),
        }
        // What came in the last moment is handed out all the same, unless the whole driver is called off.
        match &mut *turn {
            _ if at_once => Err(Problem::Canceled),
            State::Going(watch) => match watch.try_next() {
                Ok(None) if !watch.is_ended() => Err(Problem::Canceled),
                last => self.after(turn, last),
            },
            State::Ended(error) => Err(Problem::Store(error.clone())),
        }
    }

    fn replace_canceller(&self, resumed: WatchCanceller) {
        let mut canceller = self.canceller.lock();
        *canceller = resumed;
        // A cancellation that met the old watch holds for the new one.
        if self.is_canceled.load(Ordering::Acquire) {
            canceller.cancel();
        }
    }

    /// Notes how far it has come or how it has ended.
    fn after(&self, mut turn: Turn<'_>, found: Found) -> std::result::Result<Next, Problem> {
        let ended = match &mut *turn {
            State::Ended(error) => return Err(Problem::Store(error.clone())),
            State::Going(watch) => match found {
                Ok(Some(batch)) => {
                    self.progress.store(watch.progress().get(), Ordering::Release);
                    return Ok(Next::Batch(batch, watch.progress()));
                }
                Ok(None) if !watch.is_ended() => {
                    self.progress.store(watch.progress().get(), Ordering::Release);
                    return Ok(Next::TimedOut(watch.progress()));
                }
                // The history of a store that is opened read-only has an end.
                Ok(None) => Error::Closed,
                Err(error) => error,
            },
        };
        *turn = State::Ended(ended.clone());
        Err(Problem::Store(ended))
    }
}
