//! A watch as a channel, for programs that `select!` over several.
//!
//! One thread reads the watch into a small bounded channel. The watch behind it is the same pulling one, so a consumer
//! that is slow costs at most `capacity` batches of memory and still loses nothing.
//!
//! The thread must end when the guard is dropped, whatever it does at that moment. It waits in two places: in `next`,
//! which the canceller ends, and for room in the channel, which `stop` ends. Disconnecting the channel alone would not
//! do for the latter, because the consumer may have cloned the receiver.

use std::fmt;
use std::ops::Deref;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select};

use super::watcher::{Watch, WatchBatch, WatchCanceller};
use crate::error::{Error, Result};
use crate::io::thread;

/// The most batches that the channel of a [`WatchReceiver`] holds: 1,024.
pub const RECEIVER_CAPACITY_MAX: usize = 1024;

/// A watch behind a channel: it derefs to a crossbeam `Receiver`, which can stand in a `select!`.
///
/// The channel holds up to `capacity` batches, from 1 to [`RECEIVER_CAPACITY_MAX`]; others are taken as the nearest of
/// these. It carries what [`Watch`] returns: batches, then the error that ends it; then it is disconnected.
///
/// Dropping this guard cancels the watch and waits for its thread to end, which it does at once, quiet or not, except
/// that it finishes a read of storage that it has begun. Resume from the revision of the last batch received, plus one.
pub struct WatchReceiver {
    receiver: Receiver<Result<WatchBatch>>,
    canceller: WatchCanceller,
    /// Dropped to end the thread while the channel is full.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WatchReceiver {
    pub(super) fn new(watch: Watch, capacity: usize) -> Self {
        let capacity = capacity.clamp(1, RECEIVER_CAPACITY_MAX);
        let (sender, receiver) = bounded(capacity);
        let (stop, stopped) = bounded(0);
        let canceller = watch.canceller();
        let failed = sender.clone();
        let thread = match thread::spawn("watch", move || forward(watch, &sender, &stopped)) {
            Ok(thread) => Some(thread),
            // The one place where the caller learns of errors is the channel. It is empty, so there is room.
            Err(error) => {
                let _ = failed.try_send(Err(Error::io("start a thread for", "a watch", error)));
                None
            }
        };
        WatchReceiver { receiver, canceller, stop: Some(stop), thread }
    }

    /// What cancels this watch from another thread, keeping the guard: `Canceled` comes as the last item.
    pub fn canceller(&self) -> WatchCanceller {
        self.canceller.clone()
    }
}

impl Deref for WatchReceiver {
    type Target = Receiver<Result<WatchBatch>>;

    fn deref(&self) -> &Self::Target {
        &self.receiver
    }
}

impl Drop for WatchReceiver {
    fn drop(&mut self) {
        // First, so that the thread sees that nobody wants to hear of its cancellation.
        self.stop = None;
        self.canceller.cancel();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it ever did, a panic here, in a drop, would abort the program.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for WatchReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchReceiver").field("waiting", &self.receiver.len()).finish()
    }
}

fn forward(watch: Watch, sender: &Sender<Result<WatchBatch>>, stopped: &Receiver<()>) {
    for item in watch {
        // `select!` takes any branch that is ready; a stop must win.
        if stopped.try_recv() == Err(TryRecvError::Disconnected) {
            return;
        }
        select! {
            send(sender, item) -> sent => if sent.is_err() { return },
            recv(stopped) -> _ => return,
        }
    }
}
