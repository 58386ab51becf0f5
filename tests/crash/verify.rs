//! Opens what a crash left and compares everything that can be read with the model.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etclite::io::sim::{Image, SimClock, SimDisk};
use etclite::io::{Clock, IoSite, Now};
use etclite::testing::{Knobs, expire};
use etclite::{Db, Health, LogEvent, Options};

use super::db::{DbTarget, Host};
use super::harness::{Target, compare_everything};
use super::reference::{Answer, Blob, Failure, Model, Op, RangeOp, Span, WatchOp};
use super::workload::{open_store, open_with, pull_the_plug};

/// Hands out a store that is open already.
struct Opened(Db);

impl Host for Opened {
    fn open(&mut self) -> Db {
        self.0.clone()
    }

    fn advance(&mut self, _: u64, _: Option<&Db>) {
        unreachable!("a comparison changes nothing");
    }
}

/// One state that an image may hold, as it is once recovered.
#[derive(Clone)]
pub(crate) struct Expected {
    /// The revision right after the open, before leases that are due end.
    pub(crate) revision: u64,
    pub(crate) model: Model,
    questions: Vec<Op>,
    answers: Vec<Result<Answer, Failure>>,
}

impl Expected {
    pub(crate) fn new(revision: u64, model: Model) -> Self {
        let questions = questions(&model);
        Self::with(questions, revision, model)
    }

    /// What a poisoned store still answers: leases are not part of it.
    pub(crate) fn of_reads(revision: u64, model: Model) -> Self {
        let questions = questions(&model).into_iter().filter(|op| *op != Op::Leases && *op != Op::Remembered).collect();
        Self::with(questions, revision, model)
    }

    fn with(questions: Vec<Op>, revision: u64, model: Model) -> Self {
        let mut copy = model.clone();
        let answers = questions.iter().map(|op| flat(copy.apply(op))).collect();
        Expected { revision, model, questions, answers }
    }
}

/// What determines everything else: all keys now and at the compact revision, every event in between with what was
/// before it, all leases with their times and keys, which operations are remembered, the cursors.
fn questions(model: &Model) -> Vec<Op> {
    let all = Span { key: Blob(vec![0]), end: Blob(vec![0]) };
    let from = model.compact_revision().max(1);
    let at = |revision| Op::Range(RangeOp { span: all.clone(), revision, ..RangeOp::default() });
    let watch = WatchOp { span: all.clone(), from, prev_kv: true, ..WatchOp::default() };
    let slot = u8::MAX;
    vec![Op::Leases, Op::Remembered, Op::Cursors, at(0), at(from), Op::Watch { slot, watch }, Op::Drain(slot)]
}

/// A store may put several revisions in a batch.
fn flat(answer: Result<Answer, Failure>) -> Result<Answer, Failure> {
    match answer {
        Ok(Answer::Batches(batches)) => Ok(Answer::Batches(vec![batches.into_iter().flatten().collect()])),
        other => other,
    }
}

/// How closely to look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Closely {
    /// Read each revision, key and watch one by one.
    pub(crate) all: bool,
    /// Verify all files.
    pub(crate) check: bool,
}

/// How an image recovered.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// Which of the expected states it holds.
    pub(crate) state: usize,
    /// Whether a torn tail was cut off.
    pub(crate) torn: bool,
    /// Where the open called.
    pub(crate) sites: BTreeMap<IoSite, u64>,
}

/// Opens an image, compares it with the expected states, and writes on.
pub(crate) fn recover(
    image: &Image,
    knobs: Knobs,
    now: Now,
    expected: &[&Expected],
    hashes: &BTreeMap<(u64, u64), u32>,
    closely: Closely,
) -> Result<Recovery, String> {
    let disk = SimDisk::from_image(image.clone());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let torn = Arc::new(AtomicBool::new(false));
        let tell = torn.clone();
        let options = Options::new().log_hook(move |event| {
            tell.fetch_or(matches!(event, LogEvent::TornTail { .. }), Ordering::Relaxed);
        });
        let db = open_with(&disk, &clock_at(now), knobs, options).map_err(|e| format!("it does not open: {e}"))?;
        let sites = disk.sites_hit();
        let state = compare(&db, expected, hashes, closely)?;
        write_on(&db)?;
        if closely.all {
            let (before, hash) = (db.revision(), db.hash(0).map_err(|e| e.to_string())?.hash);
            pull_the_plug(&disk, db);
            let db = open_store(&disk, &clock_at(now), knobs).map_err(|e| format!("it does not open again: {e}"))?;
            let again = (db.revision(), db.hash(0).map_err(|e| e.to_string())?.hash);
            pull_the_plug(&disk, db);
            if again != (before, hash) {
                return Err(format!("recovered again it is at {again:?}, not {:?}", (before, hash)));
            }
        } else {
            pull_the_plug(&disk, db);
        }
        Ok(Recovery { state, torn: torn.load(Ordering::Relaxed), sites })
    }));
    outcome.unwrap_or_else(|panic| Err(format!("the store panicked: {}", message(&*panic))))
}

pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

pub(crate) fn clock_at(now: Now) -> SimClock {
    let clock = SimClock::new(7);
    clock.set(now);
    clock
}

/// Which of the expected states an open store is in.
pub(crate) fn compare(
    db: &Db,
    expected: &[&Expected],
    hashes: &BTreeMap<(u64, u64), u32>,
    closely: Closely,
) -> Result<usize, String> {
    let revision = db.revision().get();
    if !matches!(db.health(), Health::Poisoned(_)) {
        expire(db).map_err(|error| format!("leases cannot end: {error}"))?;
    }
    let mut target = DbTarget::open(Opened(db.clone()));
    let mut differences = String::new();
    for (index, expected) in expected.iter().enumerate() {
        let Some(difference) = difference(revision, &mut target, expected) else {
            if closely.all
                && let Some(text) = compare_everything(&expected.model, &mut target)
            {
                return Err(text);
            }
            check_hash(db, &expected.model, hashes)?;
            if closely.check {
                check(db)?;
            }
            return Ok(index);
        };
        differences += &format!("state {index}: {difference}\n");
    }
    Err(differences)
}

fn difference(revision: u64, target: &mut DbTarget<Opened>, expected: &Expected) -> Option<String> {
    if revision != expected.revision {
        return Some(format!("recovered revision {revision}, expected {}", expected.revision));
    }
    let now = (target.revision(), target.compact_revision());
    let wanted = (expected.model.revision(), expected.model.compact_revision());
    if now != wanted {
        return Some(format!("revision and compact revision {now:?}, expected {wanted:?}"));
    }
    expected.questions.iter().zip(&expected.answers).find_map(|(op, wanted)| {
        let actual = flat(target.apply(op));
        (actual != *wanted).then(|| format!("{op:?}\n{}", first_difference(wanted, &actual)))
    })
}

/// Where two answers begin to differ, without the long values that they have in common.
fn first_difference(wanted: &Result<Answer, Failure>, actual: &Result<Answer, Failure>) -> String {
    if let (Ok(Answer::Batches(wanted)), Ok(Answer::Batches(actual))) = (wanted, actual) {
        let (wanted, actual): (Vec<_>, Vec<_>) = (wanted.iter().flatten().collect(), actual.iter().flatten().collect());
        let same = wanted.iter().zip(&actual).take_while(|(wanted, actual)| wanted == actual).count();
        return format!("  after {same} equal events\n  model: {:?}\n  store: {:?}", &wanted[same..], &actual[same..]);
    }
    format!("  model: {wanted:?}\n  store: {actual:?}")
}

fn check_hash(db: &Db, model: &Model, hashes: &BTreeMap<(u64, u64), u32>) -> Result<(), String> {
    let Some(wanted) = hashes.get(&(model.revision(), model.compact_revision())) else { return Ok(()) };
    let hash = db.hash(0).map_err(|error| format!("it cannot be hashed: {error}"))?.hash;
    if hash == *wanted { Ok(()) } else { Err(format!("its hash is {hash:x} and was {wanted:x}")) }
}

pub(crate) fn check(db: &Db) -> Result<(), String> {
    let report = db.check().map_err(|error| format!("it cannot be checked: {error}"))?;
    if report.is_clean() { Ok(()) } else { Err(format!("check finds {:?}", report.problems)) }
}

/// One more write, which must work and be the next revision.
pub(crate) fn write_on(db: &Db) -> Result<(), String> {
    let before = db.revision();
    let put = db.put("after", "the crash").map_err(|error| format!("it cannot be written on: {error}"))?;
    if put.revision.get() == before.get() + 1 { Ok(()) } else { Err(format!("{} after {before}", put.revision)) }
}

/// A boot later, and a short one: other boot clock, the wall clock went on.
pub(crate) fn rebooted(now: Now) -> Now {
    let clock = SimClock::new(99);
    clock.reboot();
    clock.advance(Duration::from_millis(1));
    Now { wall: now.wall, ..clock.now() }
}
