//! What a store does beside answering calls, told to `tracing`: the only place that sees that crate. Without the feature
//! of its name everything here is empty.
//!
//! One function for each thing that can happen, so that its name, level and fields stand in one place; the front page of
//! the crate lists them for those who filter by them. None is sent for a put or a get. The one that is sent for a batch of
//! writes has level TRACE, and until somebody asks for that level it costs a look at a number in memory.
//!
//! A subscriber's code runs in here, in the thread that does the work, and some of that holds locks of maintenance. It
//! may write down what it is told, but not call the store: who wants to do that has the log hook.

use std::fmt::Display;
use std::time::Duration;

use crate::error::Error;
use crate::io::Clock;
use crate::kv::LeaseId;
use crate::options::LogEvent;

/// Declares the events: `LEVEL "target" "message" name(field: type as what is recorded, ..)`. What is recorded must cost
/// nothing to compute.
macro_rules! events {
    ($($(#[$doc:meta])*
    $level:ident $target:literal $message:literal $name:ident($($field:ident: $type:ty $(as $record:expr)?),*);)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name($($field: $type),*) {
            #[cfg(feature = "tracing")]
            {
                $($(let $field = $record;)?)*
                tracing::event!(target: $target, tracing::Level::$level, $($field,)* $message);
            }
            #[cfg(not(feature = "tracing"))]
            let _ = ($($field,)*);
        }
    )*};
}

/// Declares the spans, in the same way.
macro_rules! spans {
    ($($(#[$doc:meta])*
    $level:ident $target:literal $span:literal $name:ident($($field:ident: $type:ty $(as $record:expr)?),*);)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name($($field: $type),*) -> Span {
            #[cfg(feature = "tracing")]
            {
                $($(let $field = $record;)?)*
                Span { _entered: tracing::span!(target: $target, tracing::Level::$level, $span, $($field),*).entered() }
            }
            #[cfg(not(feature = "tracing"))]
            {
                let _ = ($($field,)*);
                Span {}
            }
        }
    )*};
}

/// Something is under way until this is dropped.
#[must_use = "it lasts until it is dropped"]
pub(crate) struct Span {
    #[cfg(feature = "tracing")]
    _entered: tracing::span::EnteredSpan,
}

spans! {
    /// A store is opened; the path is empty if it is not a directory of the system's.
    INFO "etclite::engine" "open" open(path: &dyn Display as tracing::field::display(path));
    /// A store is closed.
    INFO "etclite::engine" "close" close();
    /// A memtable becomes a run.
    DEBUG "etclite::store" "flush" flush();
    /// Runs become fewer.
    DEBUG "etclite::store" "merge" merge(runs: usize);
}

events! {
    /// A store is open, at this revision.
    INFO "etclite::engine" "store opened" opened(revision: u64, read_only: bool, took_us: u64);
    /// Recovery has applied what the log held beyond the checkpoint.
    INFO "etclite::engine" "log replayed"
        replayed(frames: usize, commands: u64, checkpoint_revision: u64, revision: u64, took_us: u64);
    /// A store is closed.
    INFO "etclite::engine" "store closed" closed(revision: u64, took_us: u64);
    /// A batch of writes became visible, and durable as the store's level says.
    TRACE "etclite::engine" "batch published" published(index: u64, revision: u64);
    /// A compaction is in effect.
    DEBUG "etclite::engine" "history compacted" compacted(compact_revision: u64, revision: u64);
    /// A memtable was written as a run; run 0 if nothing of it was left.
    DEBUG "etclite::store" "memtable flushed" flushed(run: u64, revision: u64, entries: u64, bytes: u64, took_us: u64);
    /// Runs were merged into one; run 0 if nothing of them was left.
    DEBUG "etclite::store" "runs merged" merged(runs: usize, run: u64, entries: u64, bytes: u64, took_us: u64);
    /// The log goes on in its spare segment.
    DEBUG "etclite::log" "segment begun" segment_begun(segment: u64, frame: u64);
    /// A spare segment was made.
    DEBUG "etclite::log" "spare segment made" spare_made(segment: u64, filled_bytes: u64);
    /// A segment whose commands are all in runs was dropped.
    DEBUG "etclite::log" "segment dropped" segment_dropped(segment: u64);
    /// The end of a lease whose time was over is ordered.
    DEBUG "etclite::lease" "lease expired" lease_expired(lease: LeaseId as tracing::field::display(lease), lapses: bool);
    /// A session lost its lease, by other means than its own close.
    WARN "etclite::session" "session lost" session_lost(lease: LeaseId as tracing::field::display(lease));
    /// A compaction passed what a watch had not read.
    WARN "etclite::watch" "watch ended by compaction" watch_compacted(progress: u64, compact_revision: u64);
    /// See [`log_event`].
    INFO "etclite::log" "torn tail ignored" torn_tail(file: &str, offset: u64);
    /// See [`log_event`].
    ERROR "etclite::engine" "store poisoned" poisoned(error: &Error as error_value(error));
    /// See [`log_event`].
    WARN "etclite::engine" "background work failed" background_failed(error: &Error as error_value(error));
    /// See [`log_event`].
    ERROR "etclite::engine" "closing failed" close_failed(error: &Error as error_value(error));
}

/// What the log hook is told.
pub(crate) fn log_event(event: &LogEvent) {
    match event {
        LogEvent::TornTail { file, offset } => torn_tail(file, *offset),
        LogEvent::Poisoned(error) => poisoned(error),
        LogEvent::Background(error) => background_failed(error),
        LogEvent::Close(error) => close_failed(error),
    }
}

#[cfg(feature = "tracing")]
fn error_value(error: &Error) -> &(dyn std::error::Error + 'static) {
    error
}

/// Measures how long something takes, if anybody can be told.
pub(crate) struct Timer {
    started: Duration,
}

impl Timer {
    pub(crate) fn start(clock: &dyn Clock) -> Timer {
        Timer { started: time(clock) }
    }

    /// Microseconds since the start.
    pub(crate) fn us(&self, clock: &dyn Clock) -> u64 {
        u64::try_from(time(clock).saturating_sub(self.started).as_micros()).unwrap_or(u64::MAX)
    }
}

/// By the clock that does not count suspend.
fn time(clock: &dyn Clock) -> Duration {
    if cfg!(feature = "tracing") { clock.now().mono } else { Duration::ZERO }
}
