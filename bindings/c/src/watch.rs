//! Watches: pulled by C, one batch after another, each of whole revisions.
//!
//! A watch is read by one thread at a time, which may wait inside. What other threads may do meanwhile (ask how far it
//! is, cancel, free, put it into a poller) goes around the reading: see [`WatchObject`].

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use etclite::{Db, Error, Event, EventKind, Revision, Watch, WatchBatch, WatchBuilder, WatchCanceller};
use parking_lot::{Mutex, MutexGuard};

use crate::argument::{Plain, SizedStruct, check_flags, check_reserved, out, out_pointer, signed, timeout, unsigned};
use crate::code::{ETCLITE_END, ETCLITE_OK, ETCLITE_TIMEOUT};
use crate::database::{database, etclite_db};
use crate::error::{Failure, etclite_error};
use crate::guard::{enter, enter_free};
use crate::handle::{self, Object, Pinned};
use crate::kv::{ETCLITE_RANGE_FROM_KEY, ETCLITE_RANGE_PREFIX, keys};
use crate::poller::{Line, Member};
use crate::result::{Kvs, etclite_header, etclite_kv, header, out_view};

/// A watch: a place in the history of a store, from which events are read.
pub struct etclite_watch {
    _opaque: (),
}

/// Events that a watch returned together. They never change, and any number of threads may read them.
pub struct etclite_events {
    _opaque: (),
}

/// Each event comes with the key as it was before.
pub const ETCLITE_WATCH_PREV_KV: u32 = 4;
/// Puts are left out.
pub const ETCLITE_WATCH_NO_PUT: u32 = 8;
/// Deletes are left out.
pub const ETCLITE_WATCH_NO_DELETE: u32 = 16;

/// The key was put.
pub const ETCLITE_EVENT_PUT: u32 = 0;
/// The key was deleted: by a delete, a txn, or the end of its lease.
pub const ETCLITE_EVENT_DELETE: u32 = 1;

/// The put created the key.
pub const ETCLITE_EVENT_CREATED: u32 = 1;

/// How to watch. Zero is the default of each field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_watch_options {
    /// `sizeof(etclite_watch_options)`.
    pub struct_size: usize,
    /// The first revision to deliver; 0 is the next one. One in the future is waited for.
    pub start_revision: i64,
    /// `ETCLITE_RANGE_PREFIX` or `ETCLITE_RANGE_FROM_KEY`, and `ETCLITE_WATCH_..`, added up.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
    /// About how many bytes of events are returned together, at most; 0 is 1 MiB. A revision is never split, however
    /// large it is.
    pub batch_bytes_max: usize,
}

// SAFETY: integers.
unsafe impl Plain for etclite_watch_options {}
// SAFETY: `repr(C)`, the size first, no padding, and zero is the default.
unsafe impl SizedStruct for etclite_watch_options {
    const SIZE_MIN: usize = 32;
}

/// One change of one key. A view: its pointers are valid until the events are freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_event {
    /// `ETCLITE_EVENT_PUT` or `ETCLITE_EVENT_DELETE`.
    pub r#type: u32,
    /// `ETCLITE_EVENT_CREATED`, or 0.
    pub flags: u32,
    /// The key after the change. In a delete only the key and its `mod_revision` are set.
    pub kv: etclite_kv,
    /// The key before the change, if that was asked for: null for a creation, and if the revision before the change is
    /// compacted.
    pub prev: *const etclite_kv,
}

/// What stands behind an `etclite_watch`.
pub(crate) struct WatchObject {
    pub(crate) db: Db,
    /// Held by the one thread that reads, for as long as it waits; nobody else takes it. Another reader is refused.
    watch: Mutex<Watch>,
    /// Reaches the watch while somebody reads it.
    canceller: WatchCanceller,
    /// What was read and could not be handed out, there being no handle left. It comes again.
    unread: Mutex<Option<WatchBatch>>,
    /// Locked for a moment.
    progress: Mutex<Progress>,
    /// How the watch ended, once reading has found out. It is the answer to each read that follows.
    ended: OnceLock<Ended>,
    /// Where it is polled. Taken before the lock of a poller.
    place: Mutex<Place>,
}

/// How far a watch has been returned.
struct Progress {
    /// All up to here was. It never falls.
    known: u64,
    /// Somebody is reading: what he has taken from the watch is not returned yet, so the watch itself is not asked.
    is_read: bool,
}

/// The right to read a watch.
pub(crate) struct Reading<'w> {
    object: &'w WatchObject,
    watch: MutexGuard<'w, Watch>,
}

/// Where a watch is polled.
enum Place {
    Nowhere,
    In(Arc<Member>),
    /// It was freed.
    Gone,
}

enum Ended {
    /// With this error.
    Failed(Error),
    /// Nothing more can come: the store was opened read-only.
    Through,
}

/// What a read found.
pub(crate) enum Found {
    Batch(WatchBatch),
    /// No batch: the status to return.
    Nothing(i32),
}

impl Object for WatchObject {
    type Opaque = etclite_watch;
    const KIND: u64 = 6;

    fn database(&self) -> Option<&Db> {
        Some(&self.db)
    }
}

impl WatchObject {
    pub(crate) fn new(db: Db, watch: Watch) -> Self {
        WatchObject {
            db,
            canceller: watch.canceller(),
            unread: Mutex::default(),
            progress: Mutex::new(Progress { known: watch.progress().get(), is_read: false }),
            watch: Mutex::new(watch),
            ended: OnceLock::new(),
            place: Mutex::new(Place::Nowhere),
        }
    }

    /// The watch, for one thread at a time.
    pub(crate) fn read(&self) -> Result<Reading<'_>, Failure> {
        let watch = self.watch.try_lock().ok_or(Failure::misuse())?;
        let mut progress = self.progress.lock();
        self.ask(&mut progress);
        progress.is_read = true;
        drop(progress);
        Ok(Reading { object: self, watch })
    }

    /// The next batch. `None` waits for ever.
    pub(crate) fn next(&self, watch: &mut Watch, wait: Option<Duration>) -> Result<Found, Failure> {
        if let Some(batch) = self.unread.lock().take() {
            return Ok(Found::Batch(batch));
        }
        if let Some(ended) = self.ended.get() {
            return ended.answer();
        }
        let found = match wait {
            None => watch.next().transpose(),
            Some(Duration::ZERO) => watch.try_next(),
            Some(wait) => watch.next_timeout(wait),
        };
        let ended = match found {
            Ok(Some(batch)) => return Ok(Found::Batch(batch)),
            Ok(None) if !watch.is_ended() => {
                self.arm();
                return Ok(Found::Nothing(ETCLITE_TIMEOUT));
            }
            Ok(None) => Ended::Through,
            Err(error) => Ended::Failed(error),
        };
        self.ended.get_or_init(|| ended).answer()
    }

    /// Takes back what could not be handed out.
    pub(crate) fn put_back(&self, batch: WatchBatch) {
        *self.unread.lock() = Some(batch);
    }

    fn progress(&self) -> u64 {
        let mut progress = self.progress.lock();
        if !progress.is_read {
            self.ask(&mut progress);
        }
        progress.known
    }

    /// Asks the watch, which nobody is reading.
    fn ask(&self, progress: &mut Progress) {
        if self.unread.lock().is_none() {
            progress.known = progress.known.max(etclite::host::watch_progress(&self.canceller).get());
        }
    }

    /// Has the poller, if there is one, report the watch once there is something to read.
    fn arm(&self) {
        if let Place::In(member) = &*self.place.lock() {
            self.arm_at(member);
        }
    }

    fn arm_at(&self, member: &Arc<Member>) {
        let waker = Waker::from(Arc::clone(member));
        // Registered first, so that an end or an event that comes now is seen by one of the two.
        let is_ready = etclite::host::wake_when_ready(&self.canceller, &waker);
        if is_ready || self.ended.get().is_some() || self.unread.lock().is_some() {
            member.queue();
        }
    }

    /// Puts the watch into a poller.
    pub(crate) fn join(&self, member: impl FnOnce() -> Arc<Member>) -> Result<(), Failure> {
        let mut place = self.place.lock();
        match &*place {
            Place::Gone => return Err(Failure::misuse()),
            Place::In(member) if member.is_live() => return Err(Failure::invalid("the watch is in a poller already")),
            Place::In(_) | Place::Nowhere => {}
        }
        let member = member();
        self.arm_at(&member);
        *place = Place::In(member);
        Ok(())
    }

    /// Takes the watch out of a poller. Whether it was there.
    pub(crate) fn leave(&self, line: &Arc<Line>) -> bool {
        let mut place = self.place.lock();
        let is_there = matches!(&*place, Place::In(member) if member.is_in(line));
        if is_there {
            place.change(Place::Nowhere);
        }
        is_there
    }
}

impl Deref for Reading<'_> {
    type Target = Watch;

    fn deref(&self) -> &Watch {
        &self.watch
    }
}

impl DerefMut for Reading<'_> {
    fn deref_mut(&mut self) -> &mut Watch {
        &mut self.watch
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // Before the next one may read.
        self.object.progress.lock().is_read = false;
    }
}

impl Place {
    fn change(&mut self, then: Place) {
        if let Place::In(member) = std::mem::replace(self, then) {
            member.remove();
        }
    }
}

impl Ended {
    fn answer(&self) -> Result<Found, Failure> {
        match self {
            Ended::Failed(error) => Err(error.clone().into()),
            Ended::Through => Ok(Found::Nothing(ETCLITE_END)),
        }
    }
}

/// What stands behind an `etclite_events`.
struct Events {
    header: etclite_header,
    views: Vec<etclite_event>,
    /// What the views point into.
    _kvs: Kvs,
}

// SAFETY: the views point into `_kvs`, which nobody changes.
unsafe impl Send for Events {}
// SAFETY: as above.
unsafe impl Sync for Events {}

impl Object for Events {
    type Opaque = etclite_events;
    const KIND: u64 = 7;
}

impl Events {
    fn new(db: &Db, revision: Revision, events: &[Event]) -> Self {
        let kvs = Kvs::new(events.iter().flat_map(|event| std::iter::once(&event.kv).chain(&event.prev)));
        let mut views = kvs.views().iter();
        let mut next = || views.next().expect("one view of each key that was shown");
        let views = events
            .iter()
            .map(|event| etclite_event {
                r#type: match event.kind {
                    EventKind::Put => ETCLITE_EVENT_PUT,
                    EventKind::Delete => ETCLITE_EVENT_DELETE,
                },
                flags: if event.is_create() { ETCLITE_EVENT_CREATED } else { 0 },
                kv: *next(),
                prev: event.prev.as_ref().map_or(std::ptr::null(), |_| std::ptr::from_ref(next())),
            })
            .collect();
        Events { header: header(db, revision), views, _kvs: kvs }
    }
}

/// Begins a watch of a key, or of the keys of a range, as `etclite_range` names them. It is registered when the call
/// returns: every put that is made afterwards is seen. `options` may be null. The watch must be freed by
/// `etclite_watch_free`.
///
/// A watch holds no events, so it may be read slowly, or not at all, at no cost; only a compaction that passes the next
/// event unread ends it.
///
/// Errors: `COMPACTED` if the start is below the compact revision (`detail`); `INVALID_ARGUMENT` for an empty range;
/// `FULL`; `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_watch_open(
    db: *const etclite_db,
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    options: *const etclite_watch_options,
    watch: *mut *mut etclite_watch,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes, the options and the out parameter.
    unsafe {
        enter(err, || {
            let watch = out_pointer(watch)?;
            let given = crate::argument::options(options)?;
            let range = keys(key, key_len, end, end_len, check_watch(&given)?)?;
            let database = database(db)?;
            let started = described(database.db.watch(range), &given)?.start()?;
            *watch = handle::publish(WatchObject::new(database.db.clone(), started))?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Refuses what there is not; the flags that say which keys.
fn check_watch(options: &etclite_watch_options) -> Result<u32, Failure> {
    let form = ETCLITE_RANGE_PREFIX | ETCLITE_RANGE_FROM_KEY;
    check_flags(options.flags, form | ETCLITE_WATCH_PREV_KV | ETCLITE_WATCH_NO_PUT | ETCLITE_WATCH_NO_DELETE)?;
    check_reserved(options.reserved)?;
    Ok(options.flags & form)
}

fn described(mut watch: WatchBuilder, options: &etclite_watch_options) -> Result<WatchBuilder, Failure> {
    watch = watch.from(unsigned(options.start_revision)?);
    if options.flags & ETCLITE_WATCH_PREV_KV != 0 {
        watch = watch.with_prev();
    }
    if options.flags & ETCLITE_WATCH_NO_PUT != 0 {
        watch = watch.no_put();
    }
    if options.flags & ETCLITE_WATCH_NO_DELETE != 0 {
        watch = watch.no_delete();
    }
    if options.batch_bytes_max != 0 {
        watch = watch.batch_bytes(options.batch_bytes_max);
    }
    Ok(watch)
}

/// The watch's next events, in the order of their revisions; those of one revision always come together. Waits for them,
/// at most `timeout_ms` (-1: for ever; 0: not at all), and returns `ETCLITE_TIMEOUT` if there were none. The events must
/// be freed by `etclite_events_free`.
///
/// Returns `ETCLITE_END`, each time, once a store that was opened read-only has nothing more to tell.
///
/// Errors, each of which ends the watch and is returned each time from then on: `COMPACTED` if the next event is gone
/// (`detail`: the compact revision); `WATCH_CANCELED`; `CLOSED`; `IO`, `CORRUPT`. To go on, open another watch from
/// `etclite_watch_progress` + 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_watch_next(
    watch: *mut etclite_watch,
    timeout_ms: i64,
    events: *mut *mut etclite_events,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let events = out_pointer(events)?;
            let wait = timeout(timeout_ms)?;
            let object = pin(watch)?;
            let mut watch = object.read()?;
            let batch = match object.next(&mut watch, wait)? {
                Found::Batch(batch) => batch,
                Found::Nothing(status) => return Ok(status),
            };
            match handle::publish(Events::new(&object.db, batch.revision(), batch.events())) {
                Ok(published) => *events = published,
                Err(failure) => {
                    object.put_back(batch);
                    return Err(failure);
                }
            }
            Ok(ETCLITE_OK)
        })
    }
}

/// The watch behind a handle, for the length of a call.
pub(crate) fn pin(watch: *const etclite_watch) -> Result<Pinned<WatchObject>, Failure> {
    handle::pin(watch)
}

/// The revision up to which everything that matches was returned by the watch: another one from this + 1 continues here.
/// Answers at once, also on a watch that has ended and while other threads use it, and never less than before. While
/// another thread is inside `etclite_watch_next` it is what was so when that began.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_watch_progress(
    watch: *const etclite_watch,
    revision: *mut i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let revision = out(revision)?;
            *revision = signed(pin(watch)?.progress());
            Ok(ETCLITE_OK)
        })
    }
}

/// Ends a watch: `etclite_watch_next`, also one that is waiting in another thread, returns `WATCH_CANCELED` from now on,
/// and a poller reports the watch. It must still be freed. May be called by any thread at any time, and again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_watch_cancel(watch: *const etclite_watch, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            pin(watch)?.canceller.cancel();
            Ok(ETCLITE_OK)
        })
    }
}

/// Frees a watch, and takes it out of its poller. Events that it returned go on. A call that waits for it in another
/// thread returns `WATCH_CANCELED`. Null is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_watch_free(watch: *mut etclite_watch) -> i32 {
    enter_free(|| {
        if watch.is_null() {
            return Ok(());
        }
        let pinned = pin(watch)?;
        handle::free::<WatchObject>(watch)?;
        // In this order, or its end would be reported.
        pinned.place.lock().change(Place::Gone);
        pinned.canceller.cancel();
        Ok(())
    })
}

/// The events, in the order of their revisions, and within a revision in the order of its changes: `*count` of them, at
/// least one, from `*events` on. Views: valid until the events are freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_events_get(
    events: *const etclite_events,
    views: *mut *const etclite_event,
    count: *mut usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let views = out_view(views)?;
            let count = out(count)?;
            let pinned = handle::pin::<Events>(events)?;
            *views = pinned.views.as_ptr();
            *count = pinned.views.len();
            Ok(ETCLITE_OK)
        })
    }
}

/// Where the events come from. The revision is that of the last event: a watch from the next one continues there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_events_header(
    events: *const etclite_events,
    header: *mut etclite_header,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let header = out(header)?;
            *header = handle::pin::<Events>(events)?.header;
            Ok(ETCLITE_OK)
        })
    }
}

/// Frees events and all their views. Null is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_events_free(events: *mut etclite_events) -> i32 {
    enter_free(|| if events.is_null() { Ok(()) } else { handle::free::<Events>(events) })
}

#[cfg(test)]
pub(crate) mod tests;
