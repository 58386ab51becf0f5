//! Every crash of many workloads (G1, G3, G9): what is left opens, and is what was acknowledged or in flight.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use etclite::io::sim::{Image, Limits, OpKind, SplitMix64};
use etclite::io::{IoSite, Now};
use parking_lot::Mutex;

use super::budget::{Progress, number, over_seeds};
use super::verify::{Closely, Expected, Recovery, rebooted, recover};
use super::workload::{Candidates, State, Trace, run};

/// Distinct images, and what else the run counts.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) images: Mutex<HashSet<u128>>,
    pub(crate) visited: AtomicU64,
    pub(crate) sites: Mutex<BTreeMap<IoSite, u64>>,
    pub(crate) sometimes: Mutex<BTreeMap<&'static str, u64>>,
}

/// Images of one workload at most; the rest of the budget goes to other seeds.
const IMAGES_PER_WORKLOAD: usize = 2500;

#[test]
fn every_crash_leaves_what_was_acknowledged() {
    let wanted = usize::try_from(number("ETCLITE_IMAGES", 250_000)).unwrap();
    let tally = Tally::default();
    let started = Instant::now();
    let seeds = over_seeds(|seed| {
        let trace = run(seed, |_| {});
        enumerate(&trace, &tally, IMAGES_PER_WORKLOAD, &mut |_| {})?;
        let count = tally.images.lock().len();
        Ok(if count >= wanted { Progress::Enough } else { Progress::More })
    });
    let count = tally.images.lock().len();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "crash: {count} distinct images of {} visited, {seeds} workloads, {seconds:.1} s, {:.0} images/s",
        tally.visited.load(Ordering::Relaxed),
        count as f64 / seconds
    );
    let (sites, sometimes) = (tally.sites.lock(), tally.sometimes.lock());
    println!("crash: {sites:?}\ncrash: {sometimes:?}");
    if count >= ENOUGH_FOR_ALL {
        // A snapshot of etcd is read from another disk than the store's; the suite `import` fails each such call.
        let expected = IoSite::ALL.into_iter().filter(|site| *site != IoSite::ImportRead);
        let unseen: Vec<IoSite> = expected.filter(|site| !sites.contains_key(site)).collect();
        assert!(unseen.is_empty(), "no workload called at {unseen:?}");
        let never: Vec<&str> =
            PLACES.into_iter().chain(RECOVERIES).filter(|name| !sometimes.contains_key(name)).collect();
        assert!(never.is_empty(), "it never came to {never:?}");
    }
}

/// So many images come to every site and every situation.
const ENOUGH_FOR_ALL: usize = 200_000;

impl Tally {
    fn add_sites(&self, hit: &BTreeMap<IoSite, u64>) {
        let mut sites = self.sites.lock();
        hit.iter().for_each(|(site, count)| *sites.entry(*site).or_insert(0) += count);
    }

    /// Counts the situations that a place of the record stands for.
    fn note_place(&self, trace: &Trace, position: usize) {
        let ops = trace.record.ops();
        let site = |at: Option<usize>| at.and_then(|at| ops.get(at)).map(|op| op.site);
        let (last, next) = (site(position.checked_sub(1)), site(Some(position)));
        let holds = [
            last == Some(IoSite::RunSyncDir),
            next == Some(IoSite::LogRemove),
            next == Some(IoSite::RunRemove),
            last == Some(IoSite::LogHeader),
            last == Some(IoSite::CatalogRename),
            last == Some(IoSite::LogClose),
            position < trace.points[0].end,
        ];
        self.count(PLACES.into_iter().zip(holds));
    }

    /// Counts the situations that an image stands for.
    fn note(&self, trace: &Trace, candidates: &Candidates, recovery: &Recovery) {
        self.add_sites(&recovery.sites);
        let called = |site| recovery.sites.contains_key(&site);
        let in_flight = candidates.states.len() > 1;
        let state = &trace.states[candidates.states[recovery.state]];
        let recovered = state.recovered(candidates.now.wall);
        let holds = [
            recovery.torn,
            called(IoSite::RunSync),
            called(IoSite::RecoverSync),
            called(IoSite::Cleanup),
            recovered.leases().len() < state.model.leases().len(),
            recovered.leases().iter().any(|lease| state.renewed.contains(&lease.id)),
            state.model.leases_lapsed() > 0 && recovered.leases_lapsed() > 0,
            recovered.leases_lapsed() > state.model.leases_lapsed(),
            in_flight && recovery.state > 0,
            in_flight && recovery.state == 0,
        ];
        self.count(RECOVERIES.into_iter().zip(holds));
    }

    fn count(&self, situations: impl Iterator<Item = (&'static str, bool)>) {
        let mut sometimes = self.sometimes.lock();
        for (name, _) in situations.filter(|(_, holds)| *holds) {
            *sometimes.entry(name).or_insert(0) += 1;
        }
    }
}

/// What must happen now and then, or the workloads are not what they should be (testing.md 2.5).
const PLACES: [&str; 7] = [
    "a crash between a run and the edit that names it",
    "a crash between an edit and the removal of a segment",
    "a crash between a merge's edit and the removal of its runs",
    "a crash while rolling into a spare",
    "a crash between the catalog's rename and its directory's sync",
    "a crash at the closing frame",
    "a crash while the store is created",
];
const RECOVERIES: [&str; 10] = [
    "a torn tail at recovery",
    "a flush during recovery",
    "unproven frames at recovery",
    "files that the catalog does not name",
    "a lease that is due at recovery",
    "a renewed lease at recovery",
    "a lock delay that goes on",
    "a lease that lapses at recovery",
    "a write in flight that survived",
    "a write in flight that did not",
];

/// A copy is the store as of its making, whatever the power does once it is made.
fn check_backups(trace: &Trace, tally: &Tally) -> Result<(), String> {
    for (disk, state, now) in &trace.backups {
        tally.add_sites(&disk.sites_hit());
        let state = State { renewed: BTreeSet::new(), ..trace.states[*state].clone() };
        let expected = Expected::new(state.model.revision(), state.recovered(now.wall));
        let copy = disk.record().durable_at(disk.position());
        let closely = Closely { all: true, check: true };
        recover(&copy, trace.knobs, *now, &[&expected], &trace.hashes, closely)
            .map_err(|text| format!("seed {}, a backup: {text}", trace.seed))?;
    }
    Ok(())
}

/// Visits the crashes of a workload, about `most` images; an error tells of the first that left something wrong. `sample`
/// sees what each distinct image was found to hold.
pub(crate) fn enumerate(
    trace: &Trace,
    tally: &Tally,
    most: usize,
    sample: &mut dyn FnMut(Found<'_>),
) -> Result<(), String> {
    let mut visit =
        Visit { trace, tally, expected: HashMap::new(), seen: HashMap::new(), distinct: 0, failure: None, sample };
    tally.add_sites(&trace.sites);
    check_backups(trace, tally)?;
    let mut positions: Vec<usize> = trace.record.crash_points().collect();
    if !trace.seed.is_multiple_of(8) && trace.record.initial().files().next().is_none() {
        // Every store begins alike.
        positions.drain(..trace.points[0].end);
    }
    let share = most.div_ceil(positions.len()).max(1);
    let mut rng = SplitMix64::new(trace.seed).split("crash");
    for position in positions {
        let window = follows_append(trace, position);
        let budget = if window { most.max(4096) } else { 3 * share };
        tally.note_place(trace, position);
        let mut images = Vec::new();
        trace.record.images_within(&limits(budget), position, &mut rng, &mut |image| images.push(image));
        thin(&mut images, budget, &mut rng);
        for image in images {
            visit.image(position, &image);
        }
        if let Some(failure) = visit.failure.take() {
            return Err(failure);
        }
    }
    Ok(())
}

/// An image that recovered.
pub(crate) struct Found<'a> {
    pub(crate) image: &'a Image,
    /// Which of the trace's states it holds.
    pub(crate) state: usize,
    /// When it was opened.
    pub(crate) now: Now,
}

/// How far to go at a place of which about so many images are wanted.
fn limits(budget: usize) -> Limits {
    let exhaustive = usize::try_from(budget.ilog2()).unwrap().clamp(3, 12);
    let some = (budget / 4).clamp(2, 64);
    Limits { exhaustive, each: some, pairs: some, random: some, variations: some, ..Limits::default() }
}

fn follows_append(trace: &Trace, position: usize) -> bool {
    position.checked_sub(1).is_some_and(|at| {
        let op = &trace.record.ops()[at];
        op.site == IoSite::LogAppend && matches!(op.kind, OpKind::Write { .. })
    })
}

/// Leaves a random part.
fn thin(images: &mut Vec<Image>, most: usize, rng: &mut SplitMix64) {
    while images.len() > most {
        images.swap_remove(rng.index(images.len()));
    }
}

struct Visit<'a> {
    trace: &'a Trace,
    tally: &'a Tally,
    /// By state and time of recovery.
    expected: HashMap<(usize, u128), Expected>,
    /// The states that each image was found to hold.
    seen: HashMap<u128, BTreeSet<usize>>,
    distinct: usize,
    failure: Option<String>,
    sample: &'a mut dyn FnMut(Found<'_>),
}

impl Visit<'_> {
    fn image(&mut self, position: usize, image: &Image) {
        if self.failure.is_some() {
            return;
        }
        self.tally.visited.fetch_add(1, Ordering::Relaxed);
        let candidates = self.trace.candidates(position);
        let hash = image.hash();
        let found = self.seen.entry(hash).or_default();
        if candidates.states.iter().any(|state| found.contains(state)) {
            return;
        }
        let now = if hash & 1 == 0 { candidates.now } else { rebooted(candidates.now) };
        for &state in &candidates.states {
            self.expected.entry((state, candidates.now.wall.as_nanos())).or_insert_with(|| {
                let state = &self.trace.states[state];
                Expected::new(state.model.revision(), state.recovered(candidates.now.wall))
            });
        }
        let expected: Vec<&Expected> =
            candidates.states.iter().map(|&state| &self.expected[&(state, candidates.now.wall.as_nanos())]).collect();
        let closely = Closely { all: hash >> 1 & 31 == 0, check: true };
        match recover(image, self.trace.knobs, now, &expected, &self.trace.hashes, closely) {
            Ok(recovery) => {
                let state = candidates.states[recovery.state];
                found.insert(state);
                self.tally.note(self.trace, &candidates, &recovery);
                if self.tally.images.lock().insert(hash) {
                    self.distinct += 1;
                    (self.sample)(Found { image, state, now });
                }
            }
            Err(text) => self.failure = Some(self.describe(position, image, &candidates.step, &text)),
        }
    }

    fn describe(&self, position: usize, image: &Image, step: &str, text: &str) -> String {
        let trace = self.trace;
        let from = position.saturating_sub(6);
        let last: Vec<String> = trace.record.ops()[from..position].iter().map(brief).collect();
        format!(
            "seed {}, crash at {position} of {}, {step}\n{:?}\nlast I/O: {}\nimage {image:?}\n{text}",
            trace.seed,
            trace.record.ops().len(),
            trace.knobs,
            last.join(", ")
        )
    }
}

fn brief(op: &etclite::io::sim::Op) -> String {
    match &op.kind {
        OpKind::Write { file, offset, data } => format!("{:?} write #{file} {offset}+{}", op.site, data.len()),
        other => format!("{:?} {other:?}", op.site),
    }
}
