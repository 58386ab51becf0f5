//! What is done and timed: each kind of work for a share of the time, or until every key was touched often enough.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::exit::Failure;
use super::measure::{Figure, Latencies};
use crate::{Db, KeyRange, Range, Result};

/// What one fdatasync is called.
pub(super) const FLOOR: &str = "fdatasync (the floor)";

/// Under which all keys are.
const PREFIX: &str = "etclite-bench/";

/// Bytes of a key: the prefix, which run it was, and its number.
pub(super) const KEY_BYTES: usize = PREFIX.len() + 8 + 1 + 9;

/// How many keys a range is asked for.
const RANGE_KEYS: u64 = 100;

/// Of reads, which are faster than a look at the clock is cheap, one in so many is timed.
const READS_PER_TIME: u64 = 16;

/// How many keys one delete takes away at the end.
const SWEEP_KEYS: u64 = 100_000;

/// Sizes.
pub(super) struct Plan {
    pub(super) keys: u64,
    pub(super) value_bytes: usize,
    pub(super) threads: usize,
    pub(super) seconds: Duration,
    /// Whether a put is durable when it returns.
    pub(super) durable: bool,
}

/// A run on one store.
pub(super) struct Bench<'b> {
    db: &'b Db,
    dir: &'b Path,
    plan: &'b Plan,
    prefix: String,
    value: Vec<u8>,
    /// How long each kind of work may take.
    share: Duration,
    /// The highest number of keys that were put, from the first on.
    put: AtomicU64,
    /// Set to end it before its time.
    stop: &'b AtomicBool,
}

/// What a thread does over and over: the number of the turn tells which key.
type Turn<'t> = &'t (dyn Fn(u64) -> Result<()> + Sync);

/// How one kind of work is done.
struct Kind {
    what: &'static str,
    threads: usize,
    durable: bool,
    turns_per_time: u64,
}

impl<'b> Bench<'b> {
    pub(super) fn new(
        db: &'b Db,
        dir: &'b Path,
        plan: &'b Plan,
        stop: &'b AtomicBool,
    ) -> std::result::Result<Self, Failure> {
        let prefix = format!("{PREFIX}{:08x}/", std::process::id());
        let value = (0..plan.value_bytes).map(|at| b'a' + u8::try_from(at % 26).expect("below 26")).collect();
        Ok(Bench { db, dir, plan, prefix, value, share: plan.seconds / KINDS, put: AtomicU64::new(0), stop })
    }

    pub(super) fn run(&mut self, progress: &mut dyn FnMut(u64, u64)) -> std::result::Result<Vec<Figure>, Failure> {
        let durable = self.plan.durable;
        let mut done = 0;
        let mut next = || {
            done += 1;
            progress(done, u64::from(KINDS));
        };
        let mut figures = vec![self.floor()?];
        next();
        let put = |threads| Kind { what: "put", threads, durable, turns_per_time: 1 };
        for threads in [1, self.plan.threads] {
            figures.push(self.work(&put(threads), &|turn| self.put_one(turn))?);
            next();
        }
        figures.push(self.floor()?);
        next();
        let read = |what, threads, turns_per_time| Kind { what, threads, durable: false, turns_per_time };
        for threads in [1, self.plan.threads] {
            figures.push(self.work(&read("get", threads, READS_PER_TIME), &|turn| self.get_one(turn))?);
            next();
        }
        figures.push(self.work(&read("range of 100", 1, 1), &|turn| self.range_one(turn))?);
        next();
        Ok(figures)
    }

    /// Takes away what was put.
    pub(super) fn sweep(&self) -> std::result::Result<(), Failure> {
        let put = self.put.load(Ordering::Relaxed).min(self.plan.keys);
        for first in (0..put).step_by(usize::try_from(SWEEP_KEYS).expect("small")) {
            let last = (first + SWEEP_KEYS).min(self.plan.keys);
            self.db.delete(KeyRange::from(self.key(first)..self.key(last)))?;
        }
        Ok(())
    }

    fn key(&self, number: u64) -> String {
        format!("{}{number:09}", self.prefix)
    }

    /// Any of the keys that exist, scattered.
    fn any(&self, turn: u64) -> u64 {
        scatter(turn) % self.put.load(Ordering::Relaxed).clamp(1, self.plan.keys)
    }

    fn put_one(&self, _: u64) -> Result<()> {
        let number = self.put.fetch_add(1, Ordering::Relaxed) % self.plan.keys;
        self.db.put(self.key(number), &self.value).map(drop)
    }

    fn get_one(&self, turn: u64) -> Result<()> {
        self.db.get(self.key(self.any(turn))).map(drop)
    }

    fn range_one(&self, turn: u64) -> Result<()> {
        let from = self.key(self.any(turn));
        for kv in self.db.range(Range::new(KeyRange::from(from..self.key(self.plan.keys))).limit(RANGE_KEYS))? {
            kv?;
        }
        Ok(())
    }

    /// Lets threads work for a share of the time.
    fn work(&self, kind: &Kind, turn: Turn<'_>) -> Result<Figure> {
        let started = Instant::now();
        let until = started + self.share;
        let worked: Vec<Result<(Latencies, u64)>> = thread::scope(|scope| {
            let worker =
                |number: usize| scope.spawn(move || self.repeat(turn, number as u64, until, kind.turns_per_time));
            let workers: Vec<_> = (0..kind.threads).map(worker).collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
        });
        let elapsed = started.elapsed();
        let (mut latencies, mut done) = (Latencies::default(), 0);
        for one in worked {
            let (times, count) = one?;
            latencies.merge(&times);
            done += count;
        }
        Ok(Figure { what: kind.what, threads: kind.threads, elapsed, latencies, done, durable: kind.durable })
    }

    /// Takes turns until the time is over; one in so many is timed.
    fn repeat(&self, turn: Turn<'_>, worker: u64, until: Instant, turns_per_time: u64) -> Result<(Latencies, u64)> {
        let (mut latencies, mut done) = (Latencies::default(), 0);
        loop {
            let started = Instant::now();
            if (started >= until || self.stop.load(Ordering::Relaxed)) && done > 0 {
                return Ok((latencies, done));
            }
            turn((worker << 40) + done)?;
            latencies.add(started.elapsed());
            done += 1;
            for _ in 1..turns_per_time {
                turn((worker << 40) + done)?;
                done += 1;
            }
        }
    }

    /// What making one record durable costs at the least: a write over zeros that are there already, and a sync.
    fn floor(&self) -> std::result::Result<Figure, Failure> {
        let path = self.dir.join(format!("bench-floor-{}", std::process::id()));
        let measured = self.sync_for_a_while(&path);
        // Best effort: it has a name of its own.
        let _ = remove_file(&path);
        measured.map_err(|error| Failure::Outside("cannot measure the floor".into(), error))
    }

    fn sync_for_a_while(&self, path: &Path) -> io::Result<Figure> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(&vec![0; FLOOR_FILE_BYTES])?;
        file.sync_all()?;
        let record = vec![1; (KEY_BYTES + self.value.len() + FRAME_OVERHEAD_BYTES).min(FLOOR_FILE_BYTES)];
        let started = Instant::now();
        let (mut latencies, mut offset, mut last) = (Latencies::default(), 0, started);
        while (last - started < self.share && !self.stop.load(Ordering::Relaxed)) || latencies.count() == 0 {
            write_and_sync(&file, &record, offset)?;
            offset = if offset + 2 * record.len() > FLOOR_FILE_BYTES { 0 } else { offset + record.len() };
            let now = Instant::now();
            latencies.add(now - last);
            last = now;
        }
        let done = latencies.count();
        Ok(Figure { what: FLOOR, threads: 1, elapsed: last - started, latencies, done, durable: true })
    }
}

/// Two floors, puts and gets by one thread and by several, ranges.
const KINDS: u32 = 7;

const FLOOR_FILE_BYTES: usize = 4 << 20;

/// What a log puts around a record, about.
const FRAME_OVERHEAD_BYTES: usize = 64;

fn write_and_sync(file: &File, record: &[u8], offset: usize) -> io::Result<()> {
    file.write_all_at(record, offset as u64)?;
    file.sync_data()
}

/// Numbers in a row, scattered: the finish of splitmix64.
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
