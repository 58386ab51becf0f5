//! Crashes during recovery from a crash (G2), two and three deep.

use std::sync::atomic::Ordering;
use std::time::Instant;

use etclite::io::Now;
use etclite::io::sim::{Image, SimDisk, SplitMix64};
use etclite::testing::Knobs;

use super::budget::{Progress, number, over_seeds};
use super::enumerate::{Tally, enumerate};
use super::reference::{Op, PutOp};
use super::verify::clock_at;
use super::workload::{Machine, State, Step, run, run_on};

/// Crashes of one workload that are looked into.
const CRASHES_PER_WORKLOAD: usize = 8;
/// Images of one recovery, of one in a recovery.
const IMAGES_BY_DEPTH: [usize; 2] = [400, 60];

#[test]
fn every_crash_of_a_recovery_recovers() {
    let wanted = usize::try_from(number("ETCLITE_NESTED", 50_000)).unwrap();
    let (outer, nested) = (Tally::default(), Tally::default());
    let started = Instant::now();
    let seeds = over_seeds(|seed| {
        search(seed + 1_000_000, &outer, &nested, &|_| {})?;
        Ok(if nested.images.lock().len() >= wanted { Progress::Enough } else { Progress::More })
    });
    let (count, seconds) = (nested.images.lock().len(), started.elapsed().as_secs_f64());
    println!(
        "nested: {count} distinct images of {} visited, {seeds} workloads, {seconds:.1} s",
        nested.visited.load(Ordering::Relaxed)
    );
}

/// Looks into some crashes of a workload. `prepare` may sabotage the disks that recover.
pub(crate) fn search(seed: u64, outer: &Tally, nested: &Tally, prepare: &dyn Fn(&SimDisk)) -> Result<(), String> {
    let trace = run(seed, |_| {});
    let mut rng = SplitMix64::new(seed).split("nested");
    let mut crashes = Vec::new();
    let mut seen = 0;
    enumerate(&trace, outer, 150, &mut |found| {
        // A sample in which each has the same chance.
        seen += 1;
        let at = if crashes.len() < CRASHES_PER_WORKLOAD { crashes.len() } else { rng.index(seen) };
        if at >= CRASHES_PER_WORKLOAD {
            return;
        }
        let (image, state) = (found.image.clone(), trace.states[found.state].clone());
        let crash = Crash { image, knobs: trace.knobs, now: found.now, state };
        if at == crashes.len() {
            crashes.push(crash);
        } else {
            crashes[at] = crash;
        }
    })?;
    crashes.iter().try_for_each(|crash| descend(seed, crash, 0, nested, &mut rng, prepare))
}

/// What a crash left, and which state that is.
struct Crash {
    image: Image,
    knobs: Knobs,
    now: Now,
    state: State,
}

/// Recovers, writes once more, and visits the crashes of that; then of some of those.
fn descend(
    seed: u64,
    crash: &Crash,
    depth: usize,
    tally: &Tally,
    rng: &mut SplitMix64,
    prepare: &dyn Fn(&SimDisk),
) -> Result<(), String> {
    let machine =
        Machine { disk: SimDisk::from_image(crash.image.clone()), clock: clock_at(crash.now), knobs: crash.knobs };
    prepare(&machine.disk);
    let put = PutOp { key: "more".into(), value: "written".into(), ..PutOp::default() };
    let steps = [Step::Open, Step::Op(Op::Put(put)), Step::Background];
    let trace = run_on(seed, machine, crash.state.clone(), &steps);
    let mut deeper: Option<Crash> = None;
    let mut found = 0;
    enumerate(&trace, tally, IMAGES_BY_DEPTH[depth], &mut |next| {
        found += 1;
        if rng.one_in(found) {
            let state = trace.states[next.state].clone();
            deeper = Some(Crash { image: next.image.clone(), knobs: trace.knobs, now: next.now, state });
        }
    })
    .map_err(|text| format!("depth {}: {text}", depth + 2))?;
    match deeper.filter(|_| depth + 1 < IMAGES_BY_DEPTH.len()) {
        Some(crash) => descend(seed, &crash, depth + 1, tally, rng, prepare),
        None => Ok(()),
    }
}
