//! How many durable writes a second get through when many threads write at once.
//!
//! Each thread puts keys of its own, one after another, each synced when the call returns; the store is fresh. What a warm-up
//! does is not counted. The answer is one line of JSON. `make -C bindings/go bench` runs this in turns with as many
//! goroutines, on the same disk; the crate is built with the features that the library for C and Go has, so that both write
//! through the same code. Hence it is a target of that package:
//!
//! ```text
//! cargo bench --package etclite-ffi --bench writers [-- --threads N] [--seconds S] [--value BYTES] [--dir PATH]
//! ```

#![allow(clippy::unwrap_used, reason = "a measurement that fails is no measurement")]
#![allow(clippy::disallowed_methods, reason = "it measures real files and real time")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use etclite::Db;

/// Enough for a put; a machine has it for ten thousand threads.
const STACK_BYTES: usize = 256 << 10;
/// Until every thread runs and the log has its first segments.
const WARM_UP: Duration = Duration::from_millis(500);
/// How many keys each thread writes to, again and again.
const KEYS: usize = 100;

struct Settings {
    threads: usize,
    seconds: f64,
    value_len: usize,
    dir: PathBuf,
}

fn settings() -> Settings {
    let mut settings =
        Settings { threads: 1000, seconds: 3.0, value_len: 100, dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")) };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value behind the name");
        match &*argument {
            "--bench" => {}
            "--threads" => settings.threads = value().parse().expect("a number of threads"),
            "--seconds" => settings.seconds = value().parse().expect("a number of seconds"),
            "--value" => settings.value_len = value().parse().expect("a number of bytes"),
            "--dir" => settings.dir = value().into(),
            other => panic!("{other} is no option"),
        }
    }
    settings
}

/// Writes per second of as many threads, and what the process had of threads in all.
fn measure(settings: &Settings, store: &Path) -> (f64, u64) {
    let db = Db::open(store).unwrap();
    let (written, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let value = vec![b'v'; settings.value_len];
    let write = |writer: usize| {
        for round in 0.. {
            // Both are looked at by nobody but for their value.
            if stop.load(Ordering::Relaxed) {
                break;
            }
            db.put(format!("writer{writer:04}/{:02}", round % KEYS), value.as_slice()).unwrap();
            written.fetch_add(1, Ordering::Relaxed);
        }
    };
    let figures = std::thread::scope(|scope| {
        for writer in 0..settings.threads {
            Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || write(writer)).unwrap();
        }
        sleep(WARM_UP);
        let (started, before) = (Instant::now(), written.load(Ordering::Relaxed));
        sleep(Duration::from_secs_f64(settings.seconds));
        let (took, after) = (started.elapsed(), written.load(Ordering::Relaxed));
        let threads = threads();
        stop.store(true, Ordering::Relaxed);
        ((after - before) as f64 / took.as_secs_f64(), threads)
    });
    db.close().unwrap();
    figures
}

/// Of this process; 0 where the system does not tell.
fn threads() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok());
    count.unwrap_or(0)
}

fn main() {
    let settings = settings();
    std::fs::create_dir_all(&settings.dir).unwrap();
    let dir = tempfile::tempdir_in(&settings.dir).unwrap();
    let (per_second, threads) = measure(&settings, &dir.path().join("store"));
    println!("{{\"writes_per_second\": {per_second:.1}, \"threads\": {threads}}}");
}
