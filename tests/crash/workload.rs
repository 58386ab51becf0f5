//! Random workloads on a simulated disk, and what a crash at each place of their record may leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use etclite::io::sim::{Record, SimClock, SimDisk, SplitMix64};
use etclite::io::{Clock, Disk, IoSite, Now};
use etclite::testing::{Knobs, backup_to, expire, merge_all, open_on, with_knobs};
use etclite::{BatchOp, BatchResponse, Db, Error, LeaseId, Options, Put};

use super::db::model_options;
use super::generate::{Profile, sequence};
use super::reference::{Answer, Model, Op, TxnAnswer, TxnItem, TxnOp};
use super::translate::{cursor, delete, grant, once, put_options, txn};

/// One thing that a workload does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// An operation that the model knows.
    Op(Op),
    /// Several of them by one call.
    Batch(Vec<Op>),
    /// One piece of background work.
    Background,
    /// Everything into runs.
    Flush,
    /// All runs into one.
    Merge,
    Close,
    /// Time passes while the store is closed.
    Sleep(u64),
    Open,
    /// To another disk.
    Backup,
}

/// A state that a store may be found in, from which recovery follows.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) model: Model,
    /// Leases whose remaining time is not known after a crash, as they were kept alive.
    pub(crate) renewed: BTreeSet<i64>,
    /// When the model was in it, by the wall clock, which goes on through reboots.
    pub(crate) at: Duration,
}

impl State {
    /// What a recovery at `now` makes of it.
    pub(crate) fn recovered(&self, now: Duration) -> Model {
        let mut model = self.model.clone();
        model.recover(millis(now.saturating_sub(self.at)), &self.renewed);
        model
    }
}

impl State {
    /// What an operation makes of it at `now`; false if the model refuses it.
    pub(crate) fn follow(&mut self, op: &Op, now: Duration) -> bool {
        let answer = self.model.apply(op);
        self.at = now;
        self.forget_renewals();
        let (op, answer) = match (op, &answer) {
            (Op::Once { op, .. }, Ok(Answer::Once { replayed: false, answer })) => (&**op, Some(&**answer)),
            _ => (op, answer.as_ref().ok()),
        };
        match (op, answer) {
            (Op::Grant(grant), Some(_)) => drop(self.renewed.remove(&grant.id)),
            (Op::Txn(txn), Some(Answer::Txn(answer))) => self.forget_granted(txn, answer),
            (Op::KeepAlive(id), Some(_)) => drop(self.renewed.insert(*id)),
            _ => {}
        }
        answer.is_some()
    }

    /// Of a lease that has lapsed all is known again.
    fn forget_renewals(&mut self) {
        let model = &self.model;
        self.renewed.retain(|id| !model.has_lapsed(*id));
    }

    /// An id that a txn ended and granted again is another lease.
    fn forget_granted(&mut self, txn: &TxnOp, answer: &TxnAnswer) {
        let items = if answer.succeeded { &txn.then } else { &txn.or_else };
        for (item, answer) in items.iter().zip(&answer.answers) {
            match (item, answer) {
                (TxnItem::Grant(grant), _) => drop(self.renewed.remove(&grant.id)),
                (TxnItem::Txn(nested), Answer::Txn(answer)) => self.forget_granted(nested, answer),
                _ => {}
            }
        }
    }
}

/// A step that was done, and where in the record.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) step: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// What a crash in the middle may leave beside the states before and after: indexes into `Trace::states`.
    pub(crate) between: Vec<usize>,
    pub(crate) after: usize,
    /// The clocks while it was done.
    pub(crate) now: Now,
}

/// A workload that was done.
pub(crate) struct Trace {
    pub(crate) seed: u64,
    pub(crate) knobs: Knobs,
    pub(crate) record: Record,
    pub(crate) states: Vec<State>,
    pub(crate) points: Vec<Point>,
    /// The hash by revision and compact revision.
    pub(crate) hashes: BTreeMap<(u64, u64), u32>,
    pub(crate) sites: BTreeMap<IoSite, u64>,
    /// Copies that were made, with the state that they hold.
    pub(crate) backups: Vec<(SimDisk, usize, Now)>,
}

/// What a crash at one place may leave.
pub(crate) struct Candidates {
    /// Indexes into `Trace::states`.
    pub(crate) states: Vec<usize>,
    pub(crate) now: Now,
    pub(crate) step: String,
}

impl Trace {
    /// The states that a crash at `position` may leave: the one last acknowledged or, if a step was in flight, one of
    /// its.
    pub(crate) fn candidates(&self, position: usize) -> Candidates {
        let acknowledged = self.points.partition_point(|point| point.end <= position);
        let (mut states, mut now, mut step) = (vec![0], self.points[0].now, "before the first step".to_owned());
        if let Some(point) = acknowledged.checked_sub(1).map(|last| &self.points[last]) {
            (states, now, step) = (vec![point.after], point.now, format!("after {}", point.step));
        }
        if let Some(point) = self.points.get(acknowledged).filter(|point| point.start < position) {
            states.extend(&point.between);
            states.push(point.after);
            (now, step) = (point.now, format!("during {}", point.step));
        }
        Candidates { states, now, step }
    }
}

/// The options that a seed stands for.
pub(crate) fn knobs(seed: u64) -> Knobs {
    let mut draws = SplitMix64::new(seed).split("knobs");
    Knobs {
        segment_bytes: [8 << 10, 12 << 10, 16 << 10][draws.index(3)],
        fill_bytes: 4 << 10,
        memtable_bytes: [512, 1024, 2048][draws.index(3)],
        merge_runs: [2, 3][draws.index(2)],
        use_map: false,
        manual: true,
    }
}

/// The steps that a seed stands for.
pub(crate) fn steps(seed: u64) -> Vec<Step> {
    let mut draws = SplitMix64::new(seed).split("steps");
    let profile = Profile {
        time: true,
        reopen: true,
        watchers: false,
        watch_filters: false,
        hashes: false,
        ids: true,
        cursors: true,
        lapses: false,
    };
    let length = 10 + draws.index(16);
    let changes = |op: &Op| !matches!(op, Op::Range(_) | Op::TimeToLive(_) | Op::Leases);
    let ops = sequence(seed, 4 * length, &profile).into_iter().filter(changes).take(length);
    let mut steps = vec![Step::Open];
    for mut op in ops {
        pad(&mut op, &mut draws);
        match (op, steps.last_mut()) {
            (Op::Reopen { elapsed_ms, .. }, _) => steps.extend([Step::Close, Step::Sleep(elapsed_ms), Step::Open]),
            (op, Some(Step::Batch(batch))) if batch_op(&op).is_some() && batch.len() < BATCH_MAX => batch.push(op),
            (op, _) if batch_op(&op).is_some() && draws.below(5) == 0 => steps.push(Step::Batch(vec![op])),
            (op, _) => steps.push(Step::Op(op)),
        }
        match draws.below(20) {
            0..4 => steps.push(Step::Background),
            4 => steps.push(Step::Flush),
            5 => steps.push(Step::Merge),
            6 => steps.extend([Step::Close, Step::Sleep(draws.below(3)), Step::Open]),
            7 if seed.is_multiple_of(16) => steps.push(Step::Backup),
            _ => {}
        }
    }
    steps
}

/// How many operations a batch has at most: fewer than what the smallest segment holds.
const BATCH_MAX: usize = 8;

/// An operation as part of a batch, if it can be. A renewal waits for what is before it.
fn batch_op(op: &Op) -> Option<BatchOp> {
    Some(match op {
        Op::Put(op) => Put::with(&*op.key, &*op.value, put_options(op)).into(),
        Op::Delete(op) => delete(op).into(),
        Op::Txn(op) => txn(op).into(),
        Op::Grant(op) => grant(op).into(),
        Op::Revoke(id) => etclite::Op::revoke(*id).into(),
        Op::Compact(revision) => BatchOp::Compact((*revision).into()),
        Op::KeepAlive(id) => BatchOp::KeepAlive((*id).into()),
        _ => return None,
    })
}

/// Makes some values long, so that frames span sectors, segments roll and memtables fill.
fn pad(op: &mut Op, draws: &mut SplitMix64) {
    let len = [0, 0, 100, 400, 900, 1700][draws.index(6)];
    pad_to(op, len);
}

fn pad_to(op: &mut Op, len: usize) {
    let longer = |value: &mut Vec<u8>| {
        if !value.is_empty() {
            value.resize(len.max(value.len()), b'.');
        }
    };
    match op {
        Op::Put(put) => longer(&mut put.value.0),
        Op::Txn(txn) => {
            for item in txn.then.iter_mut().chain(&mut txn.or_else) {
                if let TxnItem::Put(put) = item {
                    longer(&mut put.value.0);
                }
            }
        }
        // A repetition is the same request again.
        Op::Once { id, op, .. } => pad_to(op, [0, 100, 700][usize::try_from(*id % 3).unwrap()]),
        _ => {}
    }
}

/// Where a workload's store lives.
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) clock: SimClock,
    pub(crate) knobs: Knobs,
}

/// Opens the store on a disk.
pub(crate) fn open_store(disk: &SimDisk, clock: &SimClock, knobs: Knobs) -> etclite::Result<Db> {
    open_with(disk, clock, knobs, Options::new())
}

/// Opens the store with other options.
pub(crate) fn open_with(disk: &SimDisk, clock: &SimClock, knobs: Knobs, options: Options) -> etclite::Result<Db> {
    open_on(Arc::new(disk.clone()), Arc::new(clock.clone()), with_knobs(model_options(options), knobs))
}

/// Does the workload of a seed. `prepare` may sabotage the disk first.
pub(crate) fn run(seed: u64, prepare: impl FnOnce(&SimDisk)) -> Trace {
    let (machine, start) = new_machine(seed);
    prepare(&machine.disk);
    run_on(seed, machine, start, &steps(seed))
}

/// An empty disk, and the state of the store that will be made there.
pub(crate) fn new_machine(seed: u64) -> (Machine, State) {
    // The same store id in all workloads: what differs by nothing else must count as the same.
    let machine = Machine { disk: SimDisk::new(), clock: SimClock::new(1), knobs: knobs(seed) };
    let at = machine.clock.now().wall;
    (machine, State { model: Model::new(), renewed: BTreeSet::new(), at })
}

/// Does steps on a machine whose disk holds a state.
pub(crate) fn run_on(seed: u64, machine: Machine, start: State, steps: &[Step]) -> Trace {
    let mut runner = Runner::new(machine, start);
    for step in steps {
        runner.step(step);
    }
    let Runner { machine, states, points, hashes, backups, db, .. } = runner;
    let record = machine.disk.record();
    let sites = machine.disk.sites_hit();
    if let Some(db) = db {
        pull_the_plug(&machine.disk, db);
    }
    Trace { seed, knobs: machine.knobs, record, states, points, hashes, sites, backups }
}

/// Ends a store without a clean close.
pub(crate) fn pull_the_plug(disk: &SimDisk, db: Db) {
    use etclite::io::sim::{Fault, FaultKind};
    disk.fail(Fault { site: None, nth: 1, kind: FaultKind::Eio, forever: true });
    drop(db);
    disk.clear_faults();
}

/// A machine, its store and the model, step by step.
pub(crate) struct Runner {
    pub(crate) machine: Machine,
    pub(crate) db: Option<Db>,
    pub(crate) state: State,
    /// Where the next backup goes.
    pub(crate) copy: SimDisk,
    /// What the batch in hand went through: a crash keeps a first part of it.
    halfway: Vec<State>,
    states: Vec<State>,
    points: Vec<Point>,
    hashes: BTreeMap<(u64, u64), u32>,
    backups: Vec<(SimDisk, usize, Now)>,
}

impl Runner {
    /// A machine whose disk holds `start`.
    pub(crate) fn new(machine: Machine, start: State) -> Self {
        let (states, points, hashes, backups) = (vec![start.clone()], Vec::new(), BTreeMap::new(), Vec::new());
        let (copy, halfway) = (SimDisk::new(), Vec::new());
        Runner { machine, db: None, state: start, copy, halfway, states, points, hashes, backups }
    }

    /// Does a step, on a disk that is well.
    pub(crate) fn step(&mut self, step: &Step) {
        let start = self.machine.disk.position();
        let mut between = self.between(step);
        let done = self.attempt(step);
        // Padded values may be beyond what tiny segments hold, of which the model knows nothing.
        let accepted = match (step, &done) {
            (Step::Batch(_), _) => true,
            (_, Err(Error::TooLarge { .. })) => false,
            _ => self.follow(step),
        };
        assert_eq!(done.is_ok(), accepted, "{step:?}: {done:?}, {:?}", self.machine.knobs);
        between.append(&mut self.halfway);
        let end = self.machine.disk.position();
        let now = self.machine.clock.now();
        let first = self.states.len();
        self.states.extend(between);
        self.states.push(self.state.clone());
        let after = self.states.len() - 1;
        if let Ok(Some(copy)) = done {
            self.backups.push((copy, after, now));
        }
        self.points.push(Point {
            step: format!("{step:?}"),
            start,
            end,
            between: (first..after).collect(),
            after,
            now,
        });
        if let Some(db) = &self.db {
            let hash = db.hash(0).expect("hashes").hash;
            self.hashes.insert((self.state.model.revision(), self.state.model.compact_revision()), hash);
        }
    }

    /// What a step may have done in part.
    pub(crate) fn between(&self, step: &Step) -> Vec<State> {
        let now = self.machine.clock.now().wall;
        let mut state = self.state.clone();
        // Each lease ends, or lapses, by a command of its own.
        match step {
            Step::Op(Op::Advance { ms }) => {
                state.model.pass(*ms);
                state.at = now + Duration::from_millis(*ms);
            }
            Step::Open => {
                state.model.open(millis(now.saturating_sub(state.at)), &state.renewed);
                (state.renewed, state.at) = (BTreeSet::new(), now);
            }
            // Closing stores what is left of each lease before it does anything else.
            Step::Close => return vec![State { renewed: BTreeSet::new(), ..state }],
            _ => return Vec::new(),
        }
        let mut states = Vec::new();
        while state.model.expire_next() {
            state.forget_renewals();
            states.push(state.clone());
        }
        states
    }

    /// The store's part of a step. Of a backup, the disk that holds it.
    pub(crate) fn attempt(&mut self, step: &Step) -> etclite::Result<Option<SimDisk>> {
        let open = || self.db.as_ref().expect("open");
        match step {
            Step::Op(Op::Advance { ms }) => {
                self.machine.clock.advance(Duration::from_millis(*ms));
                expire(open())?;
            }
            Step::Op(op) => execute(open(), op)?,
            Step::Batch(ops) => {
                let answers = execute_batch(open(), ops);
                self.follow_batch(ops, &answers);
            }
            Step::Background => drop(etclite::testing::step(open())?),
            Step::Flush => open().flush()?,
            Step::Merge => drop(merge_all(open())?),
            Step::Close => self.db.take().expect("open").close()?,
            Step::Sleep(ms) => self.machine.clock.advance(Duration::from_millis(*ms)),
            Step::Open => {
                let db = open_store(&self.machine.disk, &self.machine.clock, self.machine.knobs)?;
                expire(self.db.insert(db))?;
            }
            Step::Backup => {
                let copy = std::mem::take(&mut self.copy);
                let disk: Arc<dyn Disk> = Arc::new(copy.clone());
                backup_to(self.db.as_ref().expect("open"), &disk)?;
                return Ok(Some(copy));
            }
        }
        Ok(None)
    }

    /// The model's part of a batch: each operation succeeds as it would by itself, at its place.
    fn follow_batch(&mut self, ops: &[Op], answers: &[etclite::Result<BatchResponse>]) {
        let now = self.machine.clock.now().wall;
        for (op, answer) in ops.iter().zip(answers) {
            if !matches!(answer, Err(Error::TooLarge { .. })) {
                self.halfway.push(self.state.clone());
                assert_eq!(answer.is_ok(), self.state.follow(op, now), "{op:?} of {ops:?}: {answer:?}");
            }
        }
    }

    /// The model's part; false if it refuses.
    pub(crate) fn follow(&mut self, step: &Step) -> bool {
        let now = self.machine.clock.now().wall;
        match step {
            Step::Op(op) => self.state.follow(op, now),
            Step::Open => {
                self.state = State { model: self.state.recovered(now), renewed: BTreeSet::new(), at: now };
                true
            }
            Step::Close => {
                self.state.renewed.clear();
                true
            }
            _ => true,
        }
    }
}

/// Runs writes of the model's on a store by one call.
pub(crate) fn execute_batch(db: &Db, ops: &[Op]) -> Vec<etclite::Result<BatchResponse>> {
    db.batch(ops.iter().map(|op| batch_op(op).expect("what a batch can have")))
}

/// Runs a write of the model's on a store.
fn execute(db: &Db, op: &Op) -> etclite::Result<()> {
    match op {
        Op::Put(op) => db.put_with(&*op.key, &*op.value, put_options(op)).map(drop),
        Op::Delete(op) => db.delete_with(delete(op)).map(drop),
        Op::Txn(op) => db.execute(txn(op)).map(drop),
        Op::Compact(revision) => db.compact(*revision).map(drop),
        Op::Grant(op) => db.grant_with(grant(op)).map(drop),
        Op::Revoke(id) => db.lease(LeaseId::new(*id)).revoke().map(drop),
        Op::KeepAlive(id) => db.lease(LeaseId::new(*id)).keep_alive().map(drop),
        Op::Once { id, since, op } => once(db, *id, *since, op).map(drop),
        Op::CreateCursor { name, span, no_delete, max_lag, at } => {
            cursor(db, name, span, (*no_delete, *max_lag), *at).create().map(drop)
        }
        Op::ResetCursor { name, to } => db.open_cursor(&**name)?.reset(*to).map(drop),
        Op::DropCursor(name) => db.open_cursor(&**name)?.drop_cursor().map(drop),
        other => unreachable!("no workload does {other:?}"),
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("short times")
}
