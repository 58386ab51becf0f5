//! How much to do, from where on, and on how many threads: from the environment, else as CI does it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::verify::message;

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => default,
    }
}

/// The first seed; `ETCLITE_SEED`. With `ETCLITE_ONLY=1` it is the only one.
pub(crate) fn first_seed() -> u64 {
    number("ETCLITE_SEED", 1)
}

/// Runs `work` on one seed after the other, on all cores, until it says that the bar is reached or finds a failure,
/// which ends the test.
pub(crate) fn over_seeds(work: impl Fn(u64) -> Result<Progress, String> + Sync) -> u64 {
    let (next, stop) = (AtomicU64::new(first_seed()), AtomicBool::new(false));
    let failures = Mutex::new(Vec::new());
    let only = number("ETCLITE_ONLY", 0) == 1;
    let threads = if only { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let result = catch_unwind(AssertUnwindSafe(|| work(seed)));
                    let result = result.unwrap_or_else(|panic| Err(format!("a panic: {}", message(&*panic))));
                    if only || !matches!(result, Ok(Progress::More)) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    failures.lock().extend(result.err().map(|text| (seed, text)));
                }
            });
        }
    });
    let failures = failures.into_inner();
    if let Some((seed, text)) = failures.into_iter().min_by_key(|(seed, _)| *seed) {
        panic!("replay with ETCLITE_SEED={seed} ETCLITE_ONLY=1\n{text}");
    }
    next.load(Ordering::Relaxed) - first_seed()
}

/// Whether a test goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Enough,
}
