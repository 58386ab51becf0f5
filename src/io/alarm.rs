//! Waiting for a time of the boot clock, which counts suspend.
//!
//! A condition variable does not: its wait stands still while the host sleeps, so a deadline that passed meanwhile would
//! be noticed late, by as much as was left to wait. Looking at the clock now and then would bound that, and wake an idle
//! store for ever. On Linux an alarm is a timer of that clock, which goes off as soon as the host has woken up, and wakes
//! nobody before. It is one descriptor, made when somebody first sleeps. Where there is none to be had, the alarm looks at
//! the clock once a [`LOOK`]; on other systems the clock stands still with the wait, and nothing needs to be looked at.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::sync::{Condvar, Mutex};

/// Where one thread sleeps until a time of the boot clock.
pub trait Alarm: Send + Sync + Debug {
    /// Sleeps until the clock, which shows `now`, shows `until`; or until it is rung, which it may have been since the
    /// last sleep. May return for nothing. `Duration::MAX` is never.
    fn sleep(&self, now: Duration, until: Duration);
    /// Ends the sleep, or the next one if nobody sleeps.
    fn ring(&self);
}

/// How long a sleep lasts without a look at the clock, where the wait may stand still while the clock goes on.
const LOOK: Duration = Duration::from_secs(1);

/// The alarm of the system's clock.
pub(super) fn system() -> Arc<dyn Alarm> {
    #[cfg(target_os = "linux")]
    return Arc::new(timer::Timer::default());
    #[cfg(not(target_os = "linux"))]
    return Arc::new(Waiting { rung: Mutex::default(), changed: Condvar::new(), look: Duration::MAX });
}

/// An alarm for any clock, which looks at it now and then.
pub(crate) fn looking() -> Arc<dyn Alarm> {
    Arc::new(Waiting::default())
}

#[derive(Debug)]
struct Waiting {
    rung: Mutex<bool>,
    changed: Condvar,
    look: Duration,
}

impl Default for Waiting {
    fn default() -> Self {
        Waiting { rung: Mutex::default(), changed: Condvar::new(), look: LOOK }
    }
}

impl Alarm for Waiting {
    fn sleep(&self, now: Duration, until: Duration) {
        let mut rung = self.rung.lock();
        let wait = until.saturating_sub(now).min(self.look);
        match (*rung || wait.is_zero(), wait) {
            (true, _) => {}
            (false, Duration::MAX) => self.changed.wait(&mut rung),
            (false, wait) => drop(self.changed.wait_for(&mut rung, wait)),
        }
        *rung = false;
    }

    fn ring(&self) {
        *self.rung.lock() = true;
        self.changed.notify_one();
    }
}

#[cfg(target_os = "linux")]
mod timer {
    use std::fs::File;
    use std::io::Read;
    use std::sync::OnceLock;

    use super::{Alarm, Duration, Mutex, Waiting};
    use crate::io::sys;

    /// A timer of the system. The one who sleeps reads it, which takes until it has gone off; ringing sets it to go off
    /// at once.
    #[derive(Debug, Default)]
    pub(super) struct Timer {
        /// Made at the first sleep; none if that failed.
        file: OnceLock<Option<File>>,
        /// Whether it was rung since the last sleep. Taken alone, and held while the timer is set.
        rung: Mutex<bool>,
        /// What is slept in without a timer.
        without: Waiting,
    }

    /// Zero would stop the timer.
    const AT_ONCE: Duration = Duration::from_nanos(1);

    impl Timer {
        /// False if there is no timer, or it cannot be read.
        fn sleep_until(&self, until: Duration) -> bool {
            let Some(mut file) = self.file.get_or_init(|| sys::boot_timer().ok()).as_ref() else { return false };
            {
                let mut rung = self.rung.lock();
                if std::mem::take(&mut *rung) {
                    return true;
                }
                if sys::set_boot_timer(file, until.max(AT_ONCE)).is_err() {
                    return false;
                }
            }
            let read = file.read_exact(&mut [0; 8]);
            *self.rung.lock() = false;
            read.is_ok()
        }
    }

    impl Alarm for Timer {
        fn sleep(&self, now: Duration, until: Duration) {
            if !self.sleep_until(until) {
                self.without.sleep(now, until);
            }
        }

        fn ring(&self) {
            let mut rung = self.rung.lock();
            *rung = true;
            if let Some(Some(file)) = self.file.get() {
                // If it cannot be set, it was never slept in.
                let _ = sys::set_boot_timer(file, AT_ONCE);
            }
            self.without.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::io::Clock;
    use crate::io::fs::SystemClock;

    const FOR_EVER: Duration = Duration::MAX;

    fn each(test: impl Fn(Arc<dyn Alarm>)) {
        test(system());
        test(looking());
        test(Arc::new(Waiting { look: FOR_EVER, ..Waiting::default() }));
    }

    #[test]
    fn it_goes_off_in_time_and_not_before() {
        let clock = SystemClock::new();
        each(|alarm| {
            for wait in [0, 1, 30] {
                let until = clock.boot() + Duration::from_millis(wait);
                while clock.boot() < until {
                    alarm.sleep(clock.boot(), until);
                }
            }
            // A time that has passed, however long ago, is no wait.
            alarm.sleep(clock.boot(), Duration::ZERO);
        });
    }

    /// A ring that came before the sleep, or in it, ends it; and the next one lasts.
    #[test]
    fn no_ring_is_lost() {
        let clock = SystemClock::new();
        each(|alarm| {
            alarm.ring();
            alarm.sleep(clock.boot(), FOR_EVER);
            let (sleeper, now) = (alarm.clone(), clock.boot());
            let (done, wait) = channel();
            let thread = thread::spawn(move || {
                for _ in 0..1_000 {
                    sleeper.sleep(now, FOR_EVER);
                    done.send(()).expect("the test listens");
                }
            });
            while !thread.is_finished() {
                alarm.ring();
                let _ = wait.recv_timeout(Duration::from_secs(1));
            }
            thread.join().expect("it does not panic");
            let until = clock.boot() + Duration::from_millis(20);
            while clock.boot() < until {
                alarm.sleep(clock.boot(), until);
            }
        });
    }

    /// It sleeps through: a real timer does not look at the clock.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_timer_is_there() {
        let timer = timer::Timer::default();
        timer.ring();
        timer.sleep(Duration::ZERO, FOR_EVER);
        assert!(format!("{timer:?}").contains("file: OnceLock(Some("), "{timer:?}");
    }
}
