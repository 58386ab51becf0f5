//! Mutexes and condition variables for threads that wait long, with parking_lot's words over std's.
//!
//! parking_lot has all threads that wait in one table of the process, linked through their thread-local storage. A
//! forked child inherits the table without the threads. Their stacks, where that storage is, the C library gives to the
//! child's new threads: the first of these that waits links itself into a list that it is in already, and whoever wakes
//! somebody next goes round in it for ever. What std's locks know is in themselves. So whoever may be waiting at the
//! moment when a host forks, which is every idle thread of ours and everybody who waits for a change, waits by these;
//! what is locked for a moment stays parking_lot's.
//!
//! A condition variable counts who waits, since std's asks the system with each signal, whether somebody waits or not. The
//! count rises under the mutex: who has changed under it what is waited for, and signals then, sees the waiter, or the
//! waiter sees the change.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, WaitTimeoutResult};
use std::time::Duration;

/// A mutex without poison: what a panic leaves half done is dealt with elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

/// The right to what is in a [`Mutex`].
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// None only inside of a wait and of [`MutexGuard::unlocked`], which have the guard for themselves.
    guard: Option<std::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Mutex(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, guard: Some(self.lock_now()) }
    }

    fn lock_now(&self) -> std::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// Runs `body` without the lock.
    pub(crate) fn unlocked<R>(guard: &mut Self, body: impl FnOnce() -> R) -> R {
        guard.guard = None;
        let result = body();
        guard.guard = Some(guard.mutex.lock_now());
        result
    }

    fn take(&mut self) -> std::sync::MutexGuard<'a, T> {
        self.guard.take().expect("locked unless it waits")
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("locked unless it waits")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("locked unless it waits")
    }
}

/// A condition variable, always with the same [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    inner: std::sync::Condvar,
    /// Sequentially consistent: see above.
    waiting: AtomicUsize,
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Condvar { inner: std::sync::Condvar::new(), waiting: AtomicUsize::new(0) }
    }

    /// Waits for a signal; may return for nothing.
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let locked = self.inner.wait(guard.take()).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        guard.guard = Some(locked);
    }

    /// Waits for a signal at most that long; may return for nothing.
    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) -> WaitTimeoutResult {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let (locked, result) = self.inner.wait_timeout(guard.take(), time).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        guard.guard = Some(locked);
        result
    }

    pub(crate) fn notify_one(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.inner.notify_one();
        }
    }

    pub(crate) fn notify_all(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.inner.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_reach_who_waits_and_a_time_ends() {
        let (turn, changed) = (Mutex::new(0), Condvar::new());
        let take_turns = |odd: bool| {
            let mut turn = turn.lock();
            while *turn < 1_000 {
                if (*turn % 2 == 1) == odd {
                    *turn += 1;
                    changed.notify_one();
                } else {
                    changed.wait(&mut turn);
                }
            }
            changed.notify_all();
        };
        std::thread::scope(|scope| {
            scope.spawn(|| take_turns(true));
            scope.spawn(|| take_turns(false));
        });
        let mut turn = turn.lock();
        assert!(changed.wait_for(&mut turn, Duration::from_millis(1)).timed_out());
        assert_eq!((*turn, changed.waiting.load(Ordering::SeqCst)), (1_000, 0));
    }

    #[test]
    fn it_is_free_while_unlocked_and_after_a_panic() {
        let mutex = Mutex::new(1);
        let mut guard = mutex.lock();
        let inside = MutexGuard::unlocked(&mut guard, || std::mem::replace(&mut *mutex.lock(), 2));
        assert_eq!((inside, *guard), (1, 2));
        drop(guard);
        let panicked = std::panic::catch_unwind(|| {
            let _guard = mutex.lock();
            panic!("with the lock held");
        });
        assert!(panicked.is_err());
        assert_eq!(*mutex.lock(), 2);
    }
}
