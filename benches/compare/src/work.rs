//! Doing one question's work on one store, once.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::{Latencies, Sample};
use crate::question::{HOT_KEYS, RANGE_LEN, Work};
use crate::store::{Result, Store};
use crate::workload::{Checksum, Key, Random, VALUE_LEN, key, ticket_block, value};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Keys in each store.
    pub keys: u64,
    /// How long a store writes in one round.
    pub slice: Duration,
    /// Gets of a store in one round.
    pub gets: usize,
    /// Ranges of a store in one round.
    pub ranges: usize,
    /// Syncs of the floor in one round.
    pub syncs: usize,
}

/// Gets that are timed together: one alone would be near the cost of looking at the clock.
const GETS_TIMED: u32 = 16;

/// Does the work once. The same `seed` asks every store for the same keys in the same order.
pub fn work(store: &dyn Store, work: Work, amount: &Amount, seed: u64) -> Result<Sample> {
    match work {
        Work::Put { threads } => puts(store, threads, amount, seed),
        Work::Get => gets(store, &keys_below(amount.keys, amount.gets, seed)),
        Work::GetHot => gets(store, &keys_below(HOT_KEYS.min(amount.keys), amount.gets, seed)),
        Work::Range => ranges(store, &keys_below(amount.keys, amount.ranges, seed)),
    }
}

/// Fills a store: the same keys and values for all.
pub fn load(store: &dyn Store, keys: u64) -> Result<()> {
    store.load(&mut (0..keys).map(|number| (key(number), value(number))))
}

/// Writes the keys that [`Work::GetHot`] reads: the same for all, and not what is stored.
pub fn heat(store: &dyn Store, keys: u64) -> Result<()> {
    const HOT_TICKETS: u64 = 1 << 39;
    (0..HOT_KEYS.min(keys)).try_for_each(|number| store.put(&key(number), &value(HOT_TICKETS + number)))
}

fn keys_below(bound: u64, count: usize, seed: u64) -> Vec<Key> {
    let mut random = Random::new(seed);
    (0..count).map(|_| key(random.below(bound))).collect()
}

fn puts(store: &dyn Store, threads: usize, amount: &Amount, seed: u64) -> Result<Sample> {
    let ready = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..threads as u64)
            .map(|thread| {
                let (ready, random) = (&ready, Random::new(seed ^ (thread << 32)));
                scope.spawn(move || {
                    let latencies = Latencies::with_capacity(1 << 16);
                    ready.wait();
                    put_until(store, Instant::now() + amount.slice, amount.keys, random, latencies)
                })
            })
            .collect();
        ready.wait();
        let started = Instant::now();
        let mut all = Latencies::default();
        for writer in writers {
            all.append(writer.join().expect("a writer ends with a result, it does not panic")?);
        }
        let elapsed = started.elapsed();
        let ops = u64::try_from(all.count())?;
        Ok(Sample { ops, elapsed, spread: all.spread(), disk: None, checksum: Checksum::default() })
    })
}

/// One writer. Making the key and the value is within the time, about 50 ns of it and the same for all.
fn put_until(
    store: &dyn Store,
    deadline: Instant,
    keys: u64,
    mut random: Random,
    mut latencies: Latencies,
) -> Result<Latencies> {
    let mut ticket = ticket_block();
    let mut last = Instant::now();
    while last < deadline {
        store.put(&key(random.below(keys)), &value(ticket))?;
        ticket += 1;
        last = latencies.lap(last);
    }
    Ok(latencies)
}

fn gets(store: &dyn Store, keys: &[Key]) -> Result<Sample> {
    let mut latencies = Latencies::with_capacity(keys.len());
    let mut found = Vec::with_capacity(VALUE_LEN);
    let mut checksum = Checksum::default();
    let started = Instant::now();
    let mut last = started;
    for group in keys.chunks_exact(GETS_TIMED as usize) {
        for key in group {
            if !store.get(key, &mut found)? {
                return Err(format!("the key {} is gone", String::from_utf8_lossy(key)).into());
            }
            checksum.value(&found);
        }
        last = latencies.lap_of(last, GETS_TIMED);
    }
    let ops = u64::try_from(latencies.count())? * u64::from(GETS_TIMED);
    Ok(Sample { ops, elapsed: last - started, spread: latencies.spread(), disk: None, checksum })
}

fn ranges(store: &dyn Store, starts: &[Key]) -> Result<Sample> {
    let mut latencies = Latencies::with_capacity(starts.len());
    let mut checksum = Checksum::default();
    let started = Instant::now();
    let mut last = started;
    for start in starts {
        if store.range(start, RANGE_LEN, &mut checksum)? == 0 {
            return Err(format!("nothing from the key {} on", String::from_utf8_lossy(start)).into());
        }
        last = latencies.lap(last);
    }
    let ops = u64::try_from(latencies.count())?;
    Ok(Sample { ops, elapsed: last - started, spread: latencies.spread(), disk: None, checksum })
}
