//! A place where threads wait to be called, one of them or all.
//!
//! On Linux it is a futex: all are woken by one system call and touch no lock on their way out, which with 64 callers on a
//! few cores is most of the cost of a batch. parking_lot's condition variable hands its lock from one to the next, and so
//! does the standard library's, once woken. Elsewhere it is the latter.

#[cfg(target_os = "linux")]
pub(crate) use futex::Room;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Room;

#[cfg(target_os = "linux")]
mod futex {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::sys;

    /// See the module.
    #[derive(Debug, Default)]
    pub(crate) struct Room {
        /// Counts calls; who waits, waits for it to change.
        calls: AtomicU32,
        /// How many wait, or are about to.
        waiting: AtomicU32,
    }

    impl Room {
        /// Waits for a call, unless `ready` by the time that a call could be missed no more. May return for nothing.
        pub(crate) fn wait(&self, ready: impl Fn() -> bool) {
            let calls = self.calls.load(Ordering::SeqCst);
            if ready() {
                return;
            }
            // In this order, as `call` has it the other way round: either it sees that somebody waits, or the system
            // sees that a call has come since, and does not let him sleep.
            self.waiting.fetch_add(1, Ordering::SeqCst);
            sys::futex_wait(&self.calls, calls);
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }

        /// Wakes one of those who wait, or all.
        pub(crate) fn call(&self, all: bool) {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if self.waiting.load(Ordering::SeqCst) > 0 {
                sys::futex_wake(&self.calls, all);
            }
        }
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod portable {
    use std::sync::{Condvar, Mutex, PoisonError};

    /// See the module.
    #[derive(Debug, Default)]
    pub(crate) struct Room {
        waiting: Mutex<usize>,
        called: Condvar,
    }

    impl Room {
        /// Waits for a call, unless `ready` by the time that a call could be missed no more. May return for nothing.
        pub(crate) fn wait(&self, ready: impl Fn() -> bool) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if ready() {
                return;
            }
            *waiting += 1;
            waiting = self.called.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            *waiting -= 1;
        }

        /// Wakes one of those who wait, or all.
        pub(crate) fn call(&self, all: bool) {
            let waiting = *self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            match (waiting, all) {
                (0, _) => {}
                (_, true) => self.called.notify_all(),
                (_, false) => self.called.notify_one(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Each of many threads waits for its turn, which the one before gives it: a call that is lost hangs the test.
    macro_rules! no_call_is_lost {
        ($name:ident, $room:ty) => {
            #[test]
            fn $name() {
                const THREADS: u64 = 8;
                let (room, turn) = (<$room>::default(), AtomicU64::new(0));
                std::thread::scope(|scope| {
                    for own in 0..THREADS {
                        let (room, turn) = (&room, &turn);
                        scope.spawn(move || {
                            for round in 0..2_000 {
                                let mine = round * THREADS + own;
                                while turn.load(Ordering::SeqCst) != mine {
                                    room.wait(|| turn.load(Ordering::SeqCst) == mine);
                                }
                                turn.store(mine + 1, Ordering::SeqCst);
                                room.call(true);
                            }
                        });
                    }
                });
                assert_eq!(turn.into_inner(), 2_000 * THREADS);
            }
        };
    }

    #[cfg(target_os = "linux")]
    no_call_is_lost!(no_call_is_lost_by_a_futex, super::futex::Room);
    no_call_is_lost!(no_call_is_lost_by_a_condition_variable, super::portable::Room);
}
