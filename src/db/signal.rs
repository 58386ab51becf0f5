//! What a thread waits on that is no change of a key: signals that are given once, and a place to park until any of
//! several things happens.
//!
//! Everything that can wake somebody does it through a [`Waker`]: a watch, the end of a lease, a signal. So one thread
//! waits for many things at once, and a future does so just as well. Wakers are called without a lock held; they may
//! not call the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::io::sync::{Condvar, Mutex};

/// Something that happens at most once, and who is to be told.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// Release and Acquire: who sees it sees what was done before it was given.
    given: AtomicBool,
    /// Taken alone, for a moment.
    listeners: Mutex<Listeners>,
}

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Signal {
    /// Has the signal given as of now, for who asks. Who listens is woken by `give` alone, which may come when no lock is
    /// held any more. Whether it was the first to do so.
    pub(crate) fn mark(&self) -> bool {
        !self.given.swap(true, Ordering::AcqRel)
    }

    /// Gives the signal and wakes who listens. Again does nothing. Whether nobody had given or marked it before.
    pub(crate) fn give(&self) -> bool {
        let first = self.mark();
        let wakers = std::mem::take(&mut self.listeners.lock().wakers);
        wakers.into_values().for_each(Waker::wake);
        first
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    /// Has `waker` woken when the signal is given, until the listening is dropped; at once if it was given already.
    pub(crate) fn listen(&self, waker: &Waker) -> Listening<'_> {
        let number = self.add(waker);
        Listening { signal: self, number }
    }

    /// As [`Signal::listen`], for who removes the number by himself.
    pub(crate) fn add(&self, waker: &Waker) -> u64 {
        let number = {
            let mut listeners = self.listeners.lock();
            listeners.next += 1;
            let number = listeners.next;
            listeners.wakers.insert(number, waker.clone());
            number
        };
        // Looked at after: either `give` finds the waker, or it is found here that the signal was given.
        if self.is_given() {
            waker.wake_by_ref();
        }
        number
    }

    pub(crate) fn remove(&self, number: u64) {
        self.listeners.lock().wakers.remove(&number);
    }
}

/// Somebody listens to a signal.
pub(crate) struct Listening<'s> {
    signal: &'s Signal,
    number: u64,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.signal.remove(self.number);
    }
}

/// Where one thread waits for its waker to be called. A call before the wait is not lost.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    pub(crate) fn new() -> Arc<Parker> {
        Arc::default()
    }

    /// Waits until woken, or for `timeout`; `None` is for ever. False if the time was up.
    ///
    /// What the system timed counts, not what a clock shows afterwards: it may be a simulated one.
    pub(crate) fn park(&self, timeout: Option<Duration>) -> bool {
        let mut woken = self.woken.lock();
        while !*woken {
            match timeout {
                None => self.changed.wait(&mut woken),
                Some(timeout) => {
                    if self.changed.wait_for(&mut woken, timeout).timed_out() && !*woken {
                        return false;
                    }
                }
            }
        }
        *woken = false;
        true
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_heard_before_and_after_it_is_given() {
        let (signal, parker) = (Signal::default(), Parker::new());
        let waker = Waker::from(parker.clone());
        let listening = signal.listen(&waker);
        assert!(!parker.park(Some(Duration::ZERO)));
        signal.give();
        assert!(signal.is_given() && parker.park(Some(Duration::ZERO)));
        drop(listening);
        let _late = signal.listen(&waker);
        assert!(parker.park(None));
    }

    #[test]
    fn who_listens_no_more_is_not_woken() {
        let (signal, parker) = (Signal::default(), Parker::new());
        drop(signal.listen(&Waker::from(parker.clone())));
        signal.give();
        assert!(!parker.park(Some(Duration::ZERO)));
    }
}
