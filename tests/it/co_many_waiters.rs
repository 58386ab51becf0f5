//! Ten thousand waiters on one lock: served in order, each release wakes one, and handing over costs no walk over them.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::{Duration, Instant};

use etclite::testing::waiter_wakes;
use etclite::{Db, Session, prefix};

use super::co_mutex::session;
use super::gate::LONG;

const WAITERS: usize = 10_000;

/// Enough for a lock, and not more than a machine has for ten thousand.
const STACK_BYTES: usize = 256 << 10;

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// How long it takes on this machine, now, until a thread runs that waits for another.
fn wake_up() -> Duration {
    let ((there, comes), (back, returns)) = (channel::<Instant>(), channel());
    let other = std::thread::spawn(move || comes.iter().for_each(|sent| back.send(sent.elapsed()).unwrap()));
    let mut times: Vec<Duration> = (0..1_000)
        .map(|_| {
            there.send(Instant::now()).unwrap();
            returns.recv().unwrap()
        })
        .collect();
    drop(there);
    other.join().unwrap();
    median(&mut times)
}

#[test]
fn co_03_ten_thousand_waiters_are_woken_one_by_one() {
    let db = Db::in_memory().unwrap();
    let first = session(&db).mutex("n").lock().unwrap();
    let mut standing = db.watch(prefix("n/")).start().unwrap();
    let served = Arc::new(Mutex::new(Vec::with_capacity(WAITERS)));
    // Closed at the end: ending a session is a write of its own, in the way of the next hand-over.
    let sessions: Vec<Session> = (0..WAITERS).map(|_| session(&db)).collect();
    let threads: Vec<_> = (0..WAITERS)
        .map(|number| {
            let (session, served) = (sessions[number].clone(), served.clone());
            let wait = move || {
                let guard = session.mutex("n").lock().unwrap();
                let taken = Instant::now();
                // With the lock held, so in the order of its holders.
                served.lock().unwrap().push((number, taken, Instant::now()));
                guard.unlock().unwrap();
            };
            let thread = Builder::new().stack_size(STACK_BYTES).spawn(wait).unwrap();
            // It stands in line before the next one comes.
            assert!(standing.next_timeout(LONG).unwrap().is_some());
            thread
        })
        .collect();
    let wakes = waiter_wakes(&db);
    let mut released = Instant::now();
    first.unlock().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // A waiter that was about to park when its turn came was not asleep.
    assert!(waiter_wakes(&db) - wakes <= WAITERS as u64, "each release wakes one");
    let mut handed_over = Vec::new();
    for (expected, (number, taken, release)) in served.lock().unwrap().iter().enumerate() {
        assert_eq!(*number, expected, "in the order of arrival");
        handed_over.push(*taken - released);
        released = *release;
    }
    assert_eq!(handed_over.len(), WAITERS);
    let mut puts: Vec<Duration> = (0..1_000)
        .map(|_| {
            let started = Instant::now();
            db.put("a", "").unwrap();
            started.elapsed()
        })
        .collect();
    let (put, handed_over, wake) = (median(&mut puts), median(&mut handed_over), wake_up());
    println!("a put takes {put:?}, waking a thread {wake:?}, a hand-over {handed_over:?}");
    assert_eq!(db.count(prefix("n/")).unwrap(), 0);
}
