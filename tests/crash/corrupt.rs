//! Damaged files (G5): what a store then answers is what it held, or a typed error; never something else.
//!
//! **The one exception.** After a crash, what was synced last is proven by nothing but itself: no later frame, no sealed
//! segment. Damage that takes these last frames, and with them all evidence, looks like a tear and is cut off like one,
//! and a truncation of the segment in use is the plainest case of it. `Tail` says exactly when: no frame behind the
//! first damaged one still has a header that vouches for it. The store must then be as it would be with a true tear at
//! that place. A store that was closed has no such tail.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use etclite::io::Now;
use etclite::io::sim::{Image, SimDisk, SplitMix64};
use etclite::sabotage::{Bug, plant};
use etclite::testing::{Knobs, expire};
use etclite::{Db, Error, from_key};

use super::budget::{Progress, number, over_seeds};
use super::verify::{Closely, Expected, check, clock_at, compare, message, recover};
use super::workload::{Runner, State, Step, Trace, new_machine, open_store, pull_the_plug, run, steps};

#[test]
fn damage_is_detected_never_served() {
    let wanted = number("ETCLITE_MUTATIONS", 50_000);
    let (count, detected, started) = (AtomicU64::new(0), AtomicU64::new(0), Instant::now());
    over_seeds(|seed| {
        let seed = seed + 2_000_000;
        let mut rng = SplitMix64::new(seed).split("corrupt");
        let mut stores = vec![closed_store(seed)];
        stores.extend(crashed_stores(seed, &mut rng)?);
        for store in stores {
            for _ in 0..MUTATIONS_PER_STORE {
                detected.fetch_add(u64::from(store.damage(&mut rng)?), Ordering::Relaxed);
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(if count.load(Ordering::Relaxed) >= wanted { Progress::Enough } else { Progress::More })
    });
    let (count, detected) = (count.into_inner(), detected.into_inner());
    println!("corrupt: {count} mutations, {detected} detected, {:.1} s", started.elapsed().as_secs_f64());
}

/// Damages the stores of one seed, under a bug that is planted for it, until something is wrong.
pub(crate) fn search(seed: u64, bug: Bug) -> Result<(), String> {
    let mut rng = SplitMix64::new(seed).split("corrupt");
    for store in crashed_stores(seed, &mut rng)? {
        for _ in 0..MUTATIONS_PER_STORE {
            plant(Some(bug));
            let damaged = store.damage(&mut rng);
            plant(None);
            damaged?;
        }
    }
    Ok(())
}

const MUTATIONS_PER_STORE: u64 = 300;
const CRASHES_PER_WORKLOAD: usize = 3;

/// A store at rest, what it holds, and what its files were earlier.
struct Store {
    seed: u64,
    image: Image,
    earlier: Vec<Image>,
    knobs: Knobs,
    now: Now,
    expected: Expected,
    /// After a crash: what a shorter log would hold.
    shorter: Vec<Expected>,
}

fn closed_store(seed: u64) -> Store {
    use etclite::io::Clock;
    let (machine, start) = new_machine(seed);
    let mut runner = Runner::new(machine, start);
    let mut earlier = Vec::new();
    for step in steps(seed).iter().chain([&Step::Close]) {
        runner.step(step);
        earlier.push(runner.machine.disk.image());
    }
    let now = runner.machine.clock.now();
    let expected = expected(&runner.state, now);
    let (image, knobs) = (runner.machine.disk.image(), runner.machine.knobs);
    Store { seed, image, earlier, knobs, now, expected, shorter: Vec::new() }
}

fn crashed_stores(seed: u64, rng: &mut SplitMix64) -> Result<Vec<Store>, String> {
    let trace = run(seed, |_| {});
    let first = trace.points[0].end;
    let count = trace.record.ops().len() - first;
    (0..CRASHES_PER_WORKLOAD).map(|_| crashed_store(&trace, first + rng.index(count + 1))).collect()
}

fn crashed_store(trace: &Trace, position: usize) -> Result<Store, String> {
    let image = trace.record.complete_at(position);
    let candidates = trace.candidates(position);
    let all: Vec<Expected> = candidates.states.iter().map(|&s| expected(&trace.states[s], candidates.now)).collect();
    let found = recover(
        &image,
        trace.knobs,
        candidates.now,
        &all.iter().collect::<Vec<_>>(),
        &trace.hashes,
        Closely::default(),
    )?;
    let state = candidates.states[found.state];
    Ok(Store {
        seed: trace.seed,
        image,
        earlier: (0..position).step_by(7).map(|at| trace.record.complete_at(at)).collect(),
        knobs: trace.knobs,
        now: candidates.now,
        expected: all[found.state].clone(),
        shorter: trace.states[..state].iter().map(|state| expected(state, candidates.now)).collect(),
    })
}

fn expected(state: &State, now: Now) -> Expected {
    Expected::new(state.model.revision(), state.recovered(now.wall))
}

impl Store {
    /// Damages a file and looks; whether it was detected.
    fn damage(&self, rng: &mut SplitMix64) -> Result<bool, String> {
        let mut image = self.image.clone();
        let what = mutate(&mut image, &self.earlier, rng);
        let started = Instant::now();
        let verdict = catch_unwind(AssertUnwindSafe(|| self.look(&image)));
        let verdict = verdict.unwrap_or_else(|panic| Err(format!("a panic: {}", message(&*panic))));
        let slow = started.elapsed() > Duration::from_secs(5);
        match verdict {
            Ok(detected) if !slow => Ok(detected),
            Ok(_) => Err(format!("seed {}, {what}: it took {:?}", self.seed, started.elapsed())),
            Err(text) => {
                let kind = if self.shorter.is_empty() { "closed" } else { "crashed" };
                Err(format!("seed {}, {kind}, {what}\n{:?}\n{text}", self.seed, self.image))
            }
        }
    }

    fn look(&self, image: &Image) -> Result<bool, String> {
        let disk = SimDisk::from_image(image.clone());
        let db = match open_store(&disk, &clock_at(self.now), self.knobs) {
            Ok(db) => db,
            Err(error) => return typed(&error).map(|()| true),
        };
        let result = self.read(&db, image);
        pull_the_plug(&disk, db);
        result
    }

    /// The same as before, or an error of one of the reads.
    fn read(&self, db: &Db, image: &Image) -> Result<bool, String> {
        if let Err(error) = expire(db) {
            return typed(&error).map(|()| true);
        }
        // Leases that are due have ended by now.
        let here = |expected: &Expected| Expected::new(db.revision().get(), expected.model.clone());
        let Err(text) = compare(db, &[&here(&self.expected)], &none(), Closely::default()) else {
            return Ok(check(db).is_err());
        };
        if let Err(error) = read_everything(db) {
            return typed(&error).map(|()| true);
        }
        let cut = if self.shorter.is_empty() { None } else { Tail::of(&self.image).cut(image) };
        let shorter: Vec<&Expected> = self.shorter.iter().chain([&self.expected]).collect();
        let Some(torn) = cut else {
            return Err(format!("it answers something else: {text}"));
        };
        let as_torn = recover(&torn, self.knobs, self.now, &shorter, &none(), Closely::default())
            .map_err(|text| format!("with a true tear: {text}"))?;
        compare(db, &[&here(shorter[as_torn.state])], &none(), Closely::default())
            .map(|_| false)
            .map_err(|text| format!("not what a tear there would leave: {text}"))
    }
}

fn none() -> BTreeMap<(u64, u64), u32> {
    BTreeMap::new()
}

fn typed(error: &Error) -> Result<(), String> {
    match error {
        Error::Corrupt { .. } | Error::FormatTooNew { .. } | Error::NotADatabase { .. } => Ok(()),
        other => Err(format!("damage is called {other:?}")),
    }
}

fn read_everything(db: &Db) -> Result<(), Error> {
    db.query(from_key("\0"))?;
    let mut watch = db.watch(from_key("\0")).from(db.compact_revision().get().max(1)).with_prev().start()?;
    while watch.try_next()?.is_some() {}
    for lease in db.leases()? {
        db.lease(lease.id).time_to_live()?;
    }
    db.hash(0).map(drop)
}

/// Does one damage, and says which.
fn mutate(image: &mut Image, earlier: &[Image], rng: &mut SplitMix64) -> String {
    let files: Vec<(String, u64)> =
        image.files().map(|(path, content)| (path.to_owned(), content.len())).filter(|(_, len)| *len > 0).collect();
    let (path, len) = files[rng.index(files.len())].clone();
    let at = rng.below(len);
    let block = if rng.flip() { 512 } else { 4096 };
    let length = usize::try_from(len).unwrap();
    let place = |rng: &mut SplitMix64| usize::try_from(rng.below(len.div_ceil(block)) * block).unwrap();
    let whole = |start: usize| start..(start + usize::try_from(block).unwrap()).min(length);
    match rng.below(8) {
        0..3 => {
            let bit = u8::try_from(rng.below(8)).unwrap();
            image.flip_bit(&path, at, bit);
            format!("bit {bit} of byte {at} of {path} flipped")
        }
        3 => {
            let area = whole(place(rng));
            image.mutate(&path, |bytes| bytes[area.clone()].fill(0));
            format!("{area:?} of {path} zeroed")
        }
        4 => {
            image.mutate(&path, |bytes| bytes.truncate(usize::try_from(at).unwrap()));
            format!("{path} truncated at {at} of {len}")
        }
        5 => {
            let (a, b) = (place(rng) as u64, place(rng) as u64);
            image.swap_blocks(&path, a, b, usize::try_from(block).unwrap());
            format!("blocks of {block} at {a} and {b} of {path} swapped")
        }
        6 => {
            let old = earlier.get(rng.index(earlier.len())).and_then(|image| image.read(&path));
            if let Some(old) = &old {
                image.insert(&path, old);
            }
            format!("{path} as it was earlier, {:?} bytes", old.map(|old| old.len()))
        }
        _ => {
            let (from, _) = files[rng.index(files.len())].clone();
            let (target, source) = (whole(place(rng)), image.read(&from).unwrap());
            let start = usize::try_from(rng.below((source.len() as u64).div_ceil(block)) * block).unwrap();
            let data = source[start..source.len().min(start + target.len())].to_vec();
            image.mutate(&path, |bytes| bytes[target.start..target.start + data.len()].copy_from_slice(&data));
            format!("{} bytes at {start} of {from} written to {} of {path}", data.len(), target.start)
        }
    }
}

/// The frames of the log segment in use, which nothing but later frames proves.
struct Tail {
    path: String,
    bytes: Vec<u8>,
    /// Offset, length, number and highest durable number of each.
    frames: Vec<(usize, usize, u64, u64)>,
}

const SEGMENT_HEADER: usize = 4096;
const FRAME_HEADER: usize = 48;

impl Tail {
    /// Of an image that is well. The last segment with a header is the one in use: spares have none, and all before it
    /// are sealed.
    fn of(image: &Image) -> Tail {
        let begun = image.files().filter(|(path, _)| path.starts_with("log/"));
        let begun = begun.map(|(path, content)| (path.to_owned(), content.to_vec()));
        let (path, bytes) = begun.filter(|(_, bytes)| bytes.starts_with(b"etcl-log")).last().unwrap_or_default();
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let (mut at, mut frames) = (SEGMENT_HEADER, Vec::new());
        while at + FRAME_HEADER <= bytes.len() {
            let payload = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap());
            let len = FRAME_HEADER + usize::try_from(payload).unwrap();
            let (index, durable) = (number(at + 16), number(at + 24));
            let follows = frames.last().is_none_or(|(_, _, last, _)| index == last + 1);
            if index == 0 || !follows || at + len > bytes.len() {
                break;
            }
            frames.push((at, len, index, durable));
            at += len.next_multiple_of(8);
        }
        Tail { path, bytes, frames }
    }

    /// The image with a true tear where damage begins, if nothing that is left tells that more was promised.
    fn cut(&self, damaged: &Image) -> Option<Image> {
        let now = damaged.read(&self.path)?;
        let same = |start: usize, len: usize| now.get(start..start + len) == self.bytes.get(start..start + len);
        // The header came with the first frame: without it the segment was not begun.
        let headless = !same(0, SEGMENT_HEADER);
        let first = self.frames.iter().position(|&(at, len, ..)| headless || !same(at, len))?;
        let (at, _, lost, _) = self.frames[first];
        let start = if headless { 0 } else { at };
        let vouches = |&(at, _, _, durable): &(usize, usize, u64, u64)| durable >= lost && same(at, FRAME_HEADER);
        if self.frames[first..].iter().any(vouches) {
            return None;
        }
        let mut torn = damaged.clone();
        let len = self.bytes.len();
        torn.insert(&self.path, &self.bytes[..start]);
        torn.mutate(&self.path, |bytes| bytes.resize(len, 0));
        Some(torn)
    }
}
