//! Every I/O call of every operation, failed in every way (G4).
//!
//! A case is an operation of the catalogue on a store that a random workload left. Each call that it makes is failed
//! with each kind of fault that can strike there, once and from then on. What the call answers must be true of the store
//! that is still open, of what a kill leaves, of what a power cut leaves, and of the same disk opened again with what the
//! page cache still shows.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use etclite::error::Applied;
use etclite::io::sim::{Fault, FaultKind, Image, Limits, SimDisk, SplitMix64};
use etclite::io::{Clock, IoSite, Now};
use etclite::sabotage::{Bug, plant};
use etclite::{BatchResponse, Db, Error, Health, Watch};

use super::budget::{Progress, number, over_seeds};
use super::reference::{AdvanceOp, Blob, DeleteOp, GrantOp, Op, PutOp, Span, TokenOp, TxnItem, TxnOp};
use super::verify::{Closely, Expected, check, clock_at, compare, message, recover, write_on};
use super::workload::{Runner, State, Step, execute_batch, millis, new_machine, open_store, pull_the_plug, steps};

const KINDS: [FaultKind; 7] = [
    FaultKind::Eio,
    FaultKind::Enospc,
    FaultKind::Edquot,
    FaultKind::Eintr,
    FaultKind::ShortWrite,
    FaultKind::ShortRead,
    FaultKind::SyncLosesData,
];

#[test]
fn every_failing_call_is_survived_or_stops_the_writer() {
    // One base is one store for each operation of the catalogue.
    let bases = number("ETCLITE_BASES", 1);
    let (cases, started) = (AtomicU64::new(0), Instant::now());
    let each = (CASES.len() * KINDS.len()) as u64;
    let first = number("ETCLITE_BASE", 7_000);
    over_seeds(|number| {
        // From one, so that a failure is found again by its number.
        let number = number - 1;
        let (base, part) = (first + number / each, usize::try_from(number % each).unwrap());
        // The kinds that strike most calls come last; the longest operations first among them.
        let (case, kind) = (&CASES[CASES.len() - 1 - part % CASES.len()], KINDS[part / CASES.len()]);
        cases.fetch_add(product(base, case, kind)?, Ordering::Relaxed);
        Ok(if number + 1 >= bases * each { Progress::Enough } else { Progress::More })
    });
    let seconds = started.elapsed().as_secs_f64();
    let cases = cases.load(Ordering::Relaxed);
    println!("io-errors: {cases} cases, {} operations on {bases} stores, {seconds:.1} s", CASES.len());
}

/// Fails the syncs of a put, under a bug that is planted for it.
pub(crate) fn search(seed: u64, bug: Bug) -> Result<(), String> {
    search_in(&CASES[0], FaultKind::SyncLosesData, seed, bug)
}

/// Fails the calls of a flush while a lease has lapsed, under a bug that is planted for it.
pub(crate) fn search_lapsed(seed: u64, bug: Bug) -> Result<(), String> {
    let case = CASES.iter().find(|case| case.name == FLUSH_LAPSED).unwrap();
    search_in(case, FaultKind::Enospc, seed, bug)
}

fn search_in(case: &Case, kind: FaultKind, seed: u64, bug: Bug) -> Result<(), String> {
    plant(Some(bug));
    let found = product(seed, case, kind);
    plant(None);
    found.map(drop)
}

/// An operation of the catalogue.
struct Case {
    name: &'static str,
    /// What goes before it.
    before: fn(&Runner) -> Vec<Step>,
    step: fn(&Runner) -> Step,
    /// Whether the process dies in between.
    killed: bool,
    /// Whether it is the disk of a copy that fails.
    copy: bool,
}

const FLUSH_LAPSED: &str = "flush with a lapsed lease";

const PLAIN: Case = Case { name: "", before: |_| Vec::new(), step: |_| Step::Flush, killed: false, copy: false };

const CASES: [Case; 35] = [
    Case { name: "put", step: |_| put("b", 300, 0), ..PLAIN },
    Case { name: "small put", step: |_| put("ba", 2, 0), ..PLAIN },
    Case { name: "put that rolls", before: |_| vec![put("c", 3500, 0)], step: |_| put("c", 3400, 0), ..PLAIN },
    Case { name: "txn", step: |_| txn(), ..PLAIN },
    Case { name: "fenced txn", before: |_| leased(), step: fenced, ..PLAIN },
    Case { name: "txn of leases", before: |_| leased(), step: |_| txn_of_leases(), ..PLAIN },
    Case { name: "put for a time", before: |_| vec![put_for("aa", 1_600)], step: |_| put_for("ab", 1_601), ..PLAIN },
    Case {
        name: "end of a time",
        before: |_| vec![put_for("aa", 1_600), put_for("ab", 1_601)],
        step: |_| Step::Op(Op::Advance { ms: 900_000 }),
        ..PLAIN
    },
    Case { name: "lapse", before: |_| delayed(), step: |_| Step::Op(Op::Advance { ms: 900_000 }), ..PLAIN },
    Case {
        name: "end of a lock delay",
        before: |_| lapsed(),
        step: |_| Step::Op(Op::Advance { ms: 900_000 }),
        ..PLAIN
    },
    Case { name: FLUSH_LAPSED, before: |_| lapsed(), step: |_| Step::Flush, ..PLAIN },
    Case { name: "batch", before: |_| leased(), step: |_| batch(), ..PLAIN },
    Case { name: "batch that commits twice", before: |_| leased(), step: |_| batch_with_renewal(), ..PLAIN },
    Case { name: "delete range", before: |_| vec![put("a", 9, 0)], step: |_| delete_all(), ..PLAIN },
    Case { name: "put with an id", step: |_| once(70), ..PLAIN },
    Case { name: "flush with ids", before: |_| vec![once(70)], step: |_| Step::Flush, ..PLAIN },
    Case {
        name: "flush that makes one state file",
        before: |_| (70..77).flat_map(|id| [once(id), Step::Flush]).chain([once(77)]).collect(),
        step: |_| Step::Flush,
        ..PLAIN
    },
    Case { name: "create a cursor", before: no_cursors, step: |_| create_cursor(), ..PLAIN },
    Case { name: "advance with a put", before: with_cursor, step: advance, ..PLAIN },
    Case { name: "flush with a cursor", before: with_cursor, step: |_| Step::Flush, ..PLAIN },
    Case { name: "grant", step: |_| grant(9), ..PLAIN },
    Case { name: "revoke", before: |_| leased(), step: |_| Step::Op(Op::Revoke(8)), ..PLAIN },
    Case { name: "keep alive", before: |_| leased(), step: |_| Step::Op(Op::KeepAlive(8)), ..PLAIN },
    Case { name: "expiry", before: |_| leased(), step: |_| Step::Op(Op::Advance { ms: 900_000 }), ..PLAIN },
    Case { name: "compact", before: |_| vec![put("a", 9, 0)], step: compact, ..PLAIN },
    Case { name: "flush", before: |_| leased(), step: |_| Step::Flush, ..PLAIN },
    Case {
        name: "background",
        before: |_| vec![put("a", 1500, 0), put("b", 900, 0)],
        step: |_| Step::Background,
        ..PLAIN
    },
    Case {
        name: "merge",
        before: |_| vec![put("a", 9, 0), Step::Flush, delete_all(), Step::Flush],
        step: |_| Step::Merge,
        ..PLAIN
    },
    Case { name: "backup", before: |_| leased(), step: |_| Step::Backup, ..PLAIN },
    Case { name: "backup to a bad disk", step: |_| Step::Backup, copy: true, ..PLAIN },
    Case { name: "close", before: |_| leased(), step: |_| Step::Close, ..PLAIN },
    Case { name: "open", before: |_| vec![Step::Close], step: |_| Step::Open, ..PLAIN },
    Case { name: "open after a kill", before: |_| leased(), step: |_| Step::Open, killed: true, ..PLAIN },
    Case { name: "open with leases due", before: due, step: |_| Step::Open, killed: true, ..PLAIN },
    Case { name: "create", step: |_| Step::Open, ..PLAIN },
];

fn put(key: &str, len: usize, lease: i64) -> Step {
    Step::Op(Op::Put(PutOp { key: key.into(), value: Blob(vec![b'x'; len]), lease, ..PutOp::default() }))
}

fn once(id: u128) -> Step {
    let Step::Op(op) = put("once", 30, 0) else { unreachable!() };
    Step::Op(Op::Once { id, since: None, op: Box::new(op) })
}

fn put_for(key: &str, ttl_ms: u64) -> Step {
    let put = PutOp { key: key.into(), value: Blob(vec![b'x'; 300]), ttl_ms: Some(ttl_ms), ..PutOp::default() };
    Step::Op(Op::Put(put))
}

fn no_cursors(runner: &Runner) -> Vec<Step> {
    runner.state.model.cursors().into_iter().map(|(name, ..)| Step::Op(Op::DropCursor(name))).collect()
}

fn with_cursor(runner: &Runner) -> Vec<Step> {
    no_cursors(runner).into_iter().chain([create_cursor(), put("a", 9, 0)]).collect()
}

fn create_cursor() -> Step {
    let span = Span { key: "a".into(), end: "b".into() };
    Step::Op(Op::CreateCursor { name: "fault".into(), span, no_delete: false, max_lag: 0, at: None })
}

fn advance(runner: &Runner) -> Step {
    let Step::Op(Op::Put(put)) = put("done", 20, 0) else { unreachable!() };
    let model = &runner.state.model;
    let name = Blob::from("fault");
    let (_, from, _) = model.cursors().into_iter().find(|(known, ..)| *known == name).unwrap();
    let advance = TxnItem::Advance(AdvanceOp { name, from, to: model.revision() });
    Step::Op(Op::Txn(TxnOp { then: vec![TxnItem::Put(put), advance], ..TxnOp::default() }))
}

fn grant(id: i64) -> Step {
    Step::Op(Op::Grant(GrantOp { id, ttl: Duration::from_secs(60), delay_ms: 0 }))
}

fn leased() -> Vec<Step> {
    vec![grant(8), put("leased", 20, 8), put("aa", 200, 8)]
}

fn delayed() -> Vec<Step> {
    let grant = GrantOp { id: 8, ttl: Duration::from_secs(60), delay_ms: 5_000 };
    vec![Step::Op(Op::Grant(grant)), put("leased", 20, 8), put("aa", 200, 8)]
}

fn lapsed() -> Vec<Step> {
    delayed().into_iter().chain([Step::Op(Op::Advance { ms: 900_000 })]).collect()
}

/// A write on behalf of the holder of the lock `leased`, which it releases.
fn fenced(runner: &Runner) -> Step {
    let create = runner.state.model.state(u64::MAX)[&b"leased"[..]].create;
    let fences = vec![TokenOp { key: "leased".into(), create, lease: 8 }];
    let Step::Op(Op::Put(write)) = put("t1", 500, 0) else { unreachable!() };
    let span = Span { key: "leased".into(), end: Blob::default() };
    let release = TxnItem::Delete(DeleteOp { span, prev_kv: false });
    Step::Op(Op::Txn(TxnOp { fences, then: vec![TxnItem::Put(write), release], ..TxnOp::default() }))
}

fn txn_of_leases() -> Step {
    let grant = GrantOp { id: 9, ttl: Duration::from_secs(60), delay_ms: 5_000 };
    let Step::Op(Op::Put(write)) = put("t1", 500, 9) else { unreachable!() };
    let then = vec![TxnItem::Grant(grant), TxnItem::Put(write), TxnItem::Revoke(8)];
    Step::Op(Op::Txn(TxnOp { then, ..TxnOp::default() }))
}

/// So long that a segment ends on the way.
fn batch() -> Step {
    let puts = ["b1", "b2", "b3", "b4"].map(|key| put(key, 1_500, 8)).into_iter();
    batch_of(puts.chain([txn_of_leases(), delete_all(), put("b5", 3_000, 9), put("b6", 2, 0)]))
}

/// What is before a renewal is durable before it is done.
fn batch_with_renewal() -> Step {
    let renewal = Step::Op(Op::KeepAlive(8));
    batch_of([put("b1", 300, 8), txn(), renewal, grant(9), put("b2", 300, 9), Step::Op(Op::Revoke(8))])
}

fn batch_of(steps: impl IntoIterator<Item = Step>) -> Step {
    let op = |step| if let Step::Op(op) = step { op } else { unreachable!() };
    Step::Batch(steps.into_iter().map(op).collect())
}

fn due(runner: &Runner) -> Vec<Step> {
    // Time passes only once the process is gone.
    let _ = runner;
    leased().into_iter().chain([Step::Sleep(3_600_000)]).collect()
}

fn compact(runner: &Runner) -> Step {
    Step::Op(Op::Compact(runner.state.model.revision()))
}

fn delete_all() -> Step {
    let span = Span { key: Blob(vec![0]), end: Blob(vec![0]) };
    Step::Op(Op::Delete(DeleteOp { span, prev_kv: true }))
}

fn txn() -> Step {
    let Step::Op(Op::Put(first)) = put("t1", 500, 0) else { unreachable!() };
    let Step::Op(Op::Put(second)) = put("t2", 700, 0) else { unreachable!() };
    let span = Span { key: "a".into(), end: "b".into() };
    let delete = TxnItem::Delete(DeleteOp { span, prev_kv: false });
    Step::Op(Op::Txn(TxnOp { then: vec![TxnItem::Put(first), delete, TxnItem::Put(second)], ..TxnOp::default() }))
}

/// A store that a workload left, ready for the operation.
fn prepared(seed: u64, case: &Case) -> Runner {
    let (machine, start) = new_machine(seed);
    let mut runner = Runner::new(machine, start);
    if case.name != "create" {
        steps(seed).iter().for_each(|step| runner.step(step));
    }
    for step in (case.before)(&runner) {
        if matches!(step, Step::Sleep(_)) {
            pull_the_plug(&runner.machine.disk, runner.db.take().unwrap());
        }
        runner.step(&step);
    }
    if let Some(db) = runner.db.take_if(|_| case.killed) {
        pull_the_plug(&runner.machine.disk, db);
    }
    runner
}

/// Fails every call of a case in one way, once and for ever, and says how many faults struck.
fn product(seed: u64, case: &Case, kind: FaultKind) -> Result<u64, String> {
    let mut struck = 0;
    let calls = calls(seed, case);
    let anywhere: u64 = calls.values().sum();
    let sites = calls.iter().map(|(site, count)| (Some(*site), *count)).chain([(None, anywhere)]);
    for (site, count) in sites {
        for forever in [false, true] {
            // One failure anywhere is one at some site; and an interruption strikes once in any case.
            if (site.is_none() && !forever) || (forever && kind == FaultKind::Eintr) {
                continue;
            }
            for nth in 1..=count {
                let fault = Fault { site, nth, kind, forever };
                let outcome = catch_unwind(AssertUnwindSafe(|| strike(seed, case, fault)));
                let outcome = outcome.unwrap_or_else(|panic| Err(format!("a panic: {}", message(&*panic))));
                if !outcome.map_err(|text| format!("{}, base {seed}, {fault:?}\n{text}", case.name))? {
                    break;
                }
                struck += 1;
            }
        }
    }
    Ok(struck)
}

/// How often the operation calls at each site.
fn calls(seed: u64, case: &Case) -> BTreeMap<IoSite, u64> {
    let mut runner = prepared(seed, case);
    let disk = if case.copy { runner.copy.clone() } else { runner.machine.disk.clone() };
    let before = disk.sites_hit();
    let step = (case.step)(&runner);
    runner.attempt(&step).expect("works on a healthy disk");
    let mut calls = disk.sites_hit();
    calls.iter_mut().for_each(|(site, count)| *count -= before.get(site).copied().unwrap_or(0));
    calls.retain(|_, count| *count > 0);
    if let Some(db) = runner.db.take() {
        pull_the_plug(&runner.machine.disk, db);
    }
    calls
}

/// Fails one call and judges what comes of it; false if no call was left to fail.
fn strike(seed: u64, case: &Case, fault: Fault) -> Result<bool, String> {
    let mut runner = prepared(seed, case);
    let disk = runner.machine.disk.clone();
    let failing = if case.copy { runner.copy.clone() } else { disk.clone() };
    let watch = runner.db.as_ref().map(|db| db.watch(etclite::from_key("\0")).start().unwrap());
    let step = (case.step)(&runner);
    let mut states = vec![runner.state.clone()];
    states.extend(runner.between(&step));
    failing.fail(fault);
    if let Step::Batch(ops) = &step {
        let answers = execute_batch(runner.db.as_ref().unwrap(), ops);
        let struck = failing.faults_fired() > 0;
        failing.clear_faults();
        let judge = Judge::of_batch(runner, ops, &answers, fault)?;
        return if struck { judge.all(watch).map(|()| true) } else { judge.end().map(|()| false) };
    }
    let done = runner.attempt(&step).map(drop);
    let struck = failing.faults_fired() > 0;
    failing.clear_faults();
    assert!(runner.follow(&step), "operations of the catalogue are valid");
    states.push(runner.state.clone());
    let judge = Judge { runner, disk, step, states, done, fault, now: Now::default() };
    if struck { judge.all(watch).map(|()| true) } else { judge.end().map(|()| false) }
}

struct Judge {
    runner: Runner,
    disk: SimDisk,
    step: Step,
    /// Before, in the middle, after. Of a batch: with what was acknowledged of it, then with more and more of what may be
    /// there.
    states: Vec<State>,
    done: Result<(), Error>,
    fault: Fault,
    now: Now,
}

impl Judge {
    /// Of a batch that was answered so. What is acknowledged is there, what is said not to be written is not, and of the
    /// rest some first part may be. What failed is what there is to try again.
    fn of_batch(
        mut runner: Runner,
        ops: &[Op],
        answers: &[etclite::Result<BatchResponse>],
        fault: Fault,
    ) -> Result<Judge, String> {
        let (disk, wall) = (runner.machine.disk.clone(), runner.machine.clock.now().wall);
        let mut state = runner.state.clone();
        let (mut open, mut failed, mut done) = (Vec::new(), Vec::new(), Ok(()));
        for (op, answer) in ops.iter().zip(answers) {
            match answer {
                Ok(_) if !open.is_empty() => return Err(format!("{op:?} is there, what is before it may not be")),
                Ok(_) => assert!(state.follow(op, wall), "operations of the catalogue are valid"),
                Err(error) => {
                    failed.push(op.clone());
                    if error.applied() != Applied::No {
                        open.push(op);
                    }
                    // The first that leaves anything open is told of, or else the first.
                    if done.is_ok() || (error.applied() != Applied::No && open.len() == 1) {
                        done = Err(error.clone());
                    }
                }
            }
        }
        runner.state = state.clone();
        let mut states = vec![state.clone()];
        for op in open {
            // One that builds on another which failed may not be possible any more.
            state.follow(op, wall);
            states.push(state.clone());
        }
        Ok(Judge { runner, disk, step: Step::Batch(failed), states, done, fault, now: Now::default() })
    }

    fn end(mut self) -> Result<(), String> {
        if let Some(db) = self.runner.db.take() {
            pull_the_plug(&self.disk, db);
        }
        Ok(())
    }

    fn all(mut self, watch: Option<Watch>) -> Result<(), String> {
        self.now = self.runner.machine.clock.now();
        self.check_answer()?;
        let mut allowed = self.allowed();
        if let Some(db) = self.runner.db.clone() {
            let poisoned = matches!(db.health(), Health::Poisoned(_));
            self.check_live(&db, poisoned).map_err(|text| format!("answer {:?}, still open: {text}", self.done))?;
            self.check_watch(watch, &db)?;
            if poisoned {
                self.check_poisoned(&db)?;
            } else if self.done.is_err() {
                self.retry().map_err(|text| format!("answer {:?}, tried again: {text}", self.done))?;
                allowed = vec![self.states.last().unwrap().clone()];
            }
        }
        let answer = format!("{:?}", self.done);
        self.check_reopened(&allowed).map_err(|text| format!("answer {answer}, {text}"))
    }

    fn is_write(&self) -> bool {
        match &self.step {
            Step::Op(op) => !matches!(op, Op::Advance { .. }),
            step => matches!(step, Step::Batch(_)),
        }
    }

    /// What may be seen of the store that is still open: what is not durable never.
    fn visible(&self) -> &[State] {
        let count = self.states.len();
        match (&self.done, &self.step) {
            (Ok(()), _) => &self.states[count - 1..],
            (Err(_), Step::Batch(_)) => &self.states[..1],
            (Err(_), _) => &self.states[..(count - 1).max(1)],
        }
    }

    /// What may be found after a reopen.
    fn allowed(&self) -> Vec<State> {
        match &self.done {
            Ok(()) => vec![self.states.last().unwrap().clone()],
            Err(error) if self.is_write() && error.applied() == Applied::No => vec![self.states[0].clone()],
            Err(_) => self.states.clone(),
        }
    }

    fn check_answer(&self) -> Result<(), String> {
        let log = [IoSite::LogAppend, IoSite::LogHeader, IoSite::LogClose, IoSite::RecoverWrite];
        let hidden = match self.fault.kind {
            FaultKind::Eintr | FaultKind::ShortRead => true,
            FaultKind::ShortWrite => !self.fault.site.is_none_or(|site| log.contains(&site)),
            _ => false,
        };
        match &self.done {
            Err(error) if hidden => Err(format!("an interruption or a short transfer showed: {error}")),
            _ => Ok(()),
        }
    }

    fn check_live(&self, db: &Db, poisoned: bool) -> Result<(), String> {
        let expected: Vec<Expected> = self
            .visible()
            .iter()
            .map(|state| {
                let mut model = state.model.clone();
                if !poisoned {
                    match self.step {
                        Step::Open => model = state.recovered(self.now.wall),
                        _ => model.advance(millis(self.now.wall - state.at)),
                    }
                }
                let revision = db.revision().get();
                if poisoned {
                    Expected::of_reads(state.model.revision(), model)
                } else {
                    Expected::new(revision, model)
                }
            })
            .collect();
        let expected: Vec<&Expected> = expected.iter().collect();
        compare(db, &expected, &BTreeMap::new(), Closely::default())?;
        let log_failed = matches!(self.fault.site, Some(IoSite::LogAppend | IoSite::LogSync | IoSite::LogHeader))
            && !matches!(self.fault.kind, FaultKind::Eintr | FaultKind::ShortRead);
        if log_failed && !poisoned && !matches!(self.step, Step::Open | Step::Backup) {
            return Err("a failed log write or sync did not poison the store".to_owned());
        }
        Ok(())
    }

    /// It tells of what was published, and knows nothing of the rest; that of a poisoned store then ends.
    fn check_watch(&self, watch: Option<Watch>, db: &Db) -> Result<(), String> {
        let Some(mut watch) = watch else { return Ok(()) };
        loop {
            match watch.try_next() {
                Ok(None) if matches!(db.health(), Health::Poisoned(_)) => {
                    return Err("a watch of a poisoned store goes on".to_owned());
                }
                Ok(None) => return Ok(()),
                Err(Error::Poisoned) if matches!(db.health(), Health::Poisoned(_)) => return Ok(()),
                Ok(Some(batch)) => {
                    let last = batch.events().last().map(|event| event.kv.mod_revision);
                    if last > Some(db.revision()) {
                        return Err(format!("a watch saw {last:?}, of a store at {}", db.revision()));
                    }
                }
                Err(error) => return Err(format!("a watch ended: {error}")),
            }
        }
    }

    fn check_poisoned(&self, db: &Db) -> Result<(), String> {
        match db.put("after", "it failed") {
            Err(Error::Poisoned) => Ok(()),
            other => Err(format!("a poisoned store answers a put with {other:?}")),
        }
    }

    /// With room again, a store that is not poisoned works without being opened again.
    fn retry(&mut self) -> Result<(), String> {
        let again = match &self.step {
            Step::Op(Op::Advance { .. }) => Step::Op(Op::Advance { ms: 0 }),
            Step::Open => return Ok(()),
            step => step.clone(),
        };
        let db = self.runner.db.clone().unwrap();
        self.runner.attempt(&again).map_err(|error| format!("{error:?}, {:?}", db.health()))?;
        self.done = Ok(());
        if matches!(again, Step::Batch(_)) {
            self.states = vec![self.runner.state.clone()];
        }
        let db = self.runner.db.clone().unwrap();
        self.check_live(&db, false)
    }

    fn check_reopened(mut self, allowed: &[State]) -> Result<(), String> {
        let expected: Vec<Expected> =
            allowed.iter().map(|state| Expected::new(state.model.revision(), state.recovered(self.now.wall))).collect();
        // In the middle of ending leases the revision is anywhere in between; what follows is the same.
        let expected: Vec<&Expected> = expected.iter().collect();
        let knobs = self.runner.machine.knobs;
        let closely = Closely { all: false, check: true };
        for (name, image) in self.images() {
            recover(&image, knobs, self.now, &expected, &BTreeMap::new(), closely)
                .map_err(|text| format!("after {name}: {text}"))?;
        }
        if let Some(db) = self.runner.db.take() {
            pull_the_plug(&self.disk, db);
        }
        self.check_page_cache(&expected)
    }

    /// The same disk again, with all that the page cache shows of it; then a power cut.
    fn check_page_cache(&self, expected: &[&Expected]) -> Result<(), String> {
        let (clock, knobs) = (clock_at(self.now), self.runner.machine.knobs);
        let failed = |error: Error| format!("on the same disk: {error}");
        let db = open_store(&self.disk, &clock, knobs).map_err(failed)?;
        compare(&db, expected, &BTreeMap::new(), Closely::default()).map_err(|text| format!("same disk: {text}"))?;
        write_on(&db)?;
        let (revision, hash) = (db.revision(), db.hash(0).map_err(failed)?.hash);
        let durable = self.disk.record().durable_at(self.disk.position());
        pull_the_plug(&self.disk, db);
        let disk = SimDisk::from_image(durable);
        let db = open_store(&disk, &clock, knobs).map_err(failed)?;
        let again = (db.revision(), db.hash(0).map_err(failed)?.hash);
        check(&db)?;
        pull_the_plug(&disk, db);
        if again == (revision, hash) { Ok(()) } else { Err(format!("{again:?} after {:?}", (revision, hash))) }
    }

    fn images(&self) -> Vec<(&'static str, Image)> {
        let (record, position) = (self.disk.record(), self.disk.position());
        let mut images = vec![("a kill", self.disk.image()), ("a power cut", record.durable_at(position))];
        let limits = Limits { exhaustive: 1, each: 0, pairs: 0, random: 2, variations: 0, ..Limits::default() };
        let mut rng = SplitMix64::new(self.fault.nth);
        record.images_within(&limits, position, &mut rng, &mut |image| images.push(("some power cut", image)));
        images.truncate(4);
        images
    }
}
