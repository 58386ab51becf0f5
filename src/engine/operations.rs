//! Operation ids: a write that carries one takes effect once, however often it is sent (X-03).
//!
//! The id is part of the command, so its effect and what is remembered of it stand in one log record. What is remembered
//! is the first answer, with a fingerprint of the request. Looking an id up comes before everything else that could
//! refuse or change the command: a repetition gets the first answer whatever has happened since.
//!
//! ```text
//!   dropped            | the window: newest `count`, none older than `age`           | new
//!   .. up to revision D| (index, id, fingerprint, time, revision, answer) ..         | id unknown, since > D: applied
//!                      |                                                             | id unknown, since <= D: Indeterminate
//! ```
//!
//! **The window moves in `apply`**, by what stands in the commands: the orderer's time, never running backwards, and its
//! limits. So replay drops what was dropped, and no more, whatever the options of a later open are. Only a command that
//! is remembered moves it; who asks for an id sees it as if it had been moved up to his own time.
//!
//! Times and revisions do not fall along the window, and what leaves it is the oldest. So one number, the revision of
//! the last record that left, tells whether a record at or above some revision was dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::{Reader, Write};
use crate::engine::apply::{Outcome, Response};
use crate::engine::command::{Command, Kind, Stamp};
use crate::engine::cursors::CursorCommand;
use crate::engine::results::{Keep, Stored};
use crate::engine::state::State;
use crate::engine::{Engine, Writer, results};
use crate::error::{Error, Invalid, Result};
use crate::io::IoSite;
use crate::kv::{LeaseId, Revision};
use crate::op::OperationId;
use crate::options::Options;
use crate::sabotage::{Bug, is_planted};
use crate::store::catalog::{Edit, OperationsRow, StateFileRow};
use crate::store::run::key_hash;
use crate::store::state_file::{self, FILES_MAX, Remembered, state_path};

/// What the answers in the window may take together; beyond, keys and values are left out of further ones.
const RESULTS_BYTES_MAX: u64 = 16 << 20;

/// What the counts alone may take in any case.
const COUNTS_BYTES: u64 = 256;

/// What a caller gives with a write so that it takes effect once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) id: OperationId,
    /// The revision that the caller knew when it first sent it.
    pub(crate) since: Option<Revision>,
}

/// The part of a command that makes it take effect once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) id: u128,
    pub(crate) since: Option<u64>,
    pub(crate) fingerprint: u64,
    pub(crate) limits: Limits,
}

/// The orderer's limits of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) count: u64,
    pub(crate) age_ms: u64,
    pub(crate) result_bytes: u64,
}

/// That a command was a repetition: its answer is the first one, and nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    pub(crate) truncated: bool,
    /// Of a grant: the lease and its time to live in milliseconds.
    pub(crate) granted: Option<(LeaseId, u64)>,
}

impl Operation {
    fn new(request: Request, kind: &Kind, drawn: bool, options: &Options) -> Result<Operation> {
        if request.id.get() == 0 {
            return Err(Error::InvalidArgument(Invalid::Argument("an operation id is not zero")));
        }
        Ok(Operation {
            id: request.id.get(),
            since: request.since.map(Revision::get),
            fingerprint: fingerprint(kind, drawn),
            limits: Limits {
                count: options.operation_ids_max as u64,
                age_ms: crate::engine::millis(options.operation_ids_age),
                result_bytes: options.operation_result_bytes_max as u64,
            },
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u128(self.id);
        out.put_u64(self.fingerprint);
        match self.since {
            None => out.put_u8(0),
            Some(since) => {
                out.put_u8(1);
                out.put_varint(since);
            }
        }
        for limit in [self.limits.count, self.limits.age_ms, self.limits.result_bytes] {
            out.put_varint(limit);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Operation> {
        let id = reader.u128().filter(|id| *id != 0)?;
        let fingerprint = reader.u64()?;
        let since = match reader.u8()? {
            0 => None,
            1 => Some(reader.varint()?),
            _ => return None,
        };
        let limits = Limits { count: reader.varint()?, age_ms: reader.varint()?, result_bytes: reader.varint()? };
        Some(Operation { id, since, fingerprint, limits })
    }
}

/// Tells a request from others: a hash of its encoding as the caller gave it, without what the orderer puts into it or
/// makes of it afterwards. With other options it is the same request.
fn fingerprint(kind: &Kind, drawn: bool) -> u64 {
    let mut request = kind.clone();
    match &mut request {
        Kind::Grant { id, stamp, .. } => {
            *stamp = Stamp::default();
            if drawn {
                *id = LeaseId::NONE;
            }
        }
        Kind::Cursor(CursorCommand::Create { max, .. }) => *max = 0,
        _ => {}
    }
    let mut bytes = Vec::new();
    bytes.put_u8(request.tag());
    request.encode(&mut bytes);
    key_hash(&bytes)
}

/// The operations that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    by_id: BTreeMap<u128, Arc<Remembered>>,
    /// Oldest first.
    in_order: VecDeque<Arc<Remembered>>,
    /// The bytes of all answers.
    result_bytes: u64,
    dropped_revision: u64,
    time_ms: u64,
}

/// How a command changes the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remember {
    /// How many of the oldest leave.
    dropped: usize,
    record: Arc<Remembered>,
}

impl Window {
    /// What state files hold, in order of their indexes, as far as it still counts.
    pub(crate) fn load(row: &OperationsRow, mut records: Vec<Arc<Remembered>>) -> Window {
        records.retain(|record| record.index >= row.first_index);
        records.sort_by_key(|record| record.index);
        let mut window = Window { dropped_revision: row.dropped_revision, time_ms: row.time_ms, ..Window::default() };
        records.into_iter().for_each(|record| window.push(record));
        window
    }

    pub(crate) fn len(&self) -> usize {
        self.in_order.len()
    }

    /// What the catalog keeps beside the records, as of log index `index`.
    pub(crate) fn row(&self, index: u64) -> OperationsRow {
        let first_index = self.in_order.front().map_or(index + 1, |oldest| oldest.index);
        OperationsRow { first_index, dropped_revision: self.dropped_revision, time_ms: self.time_ms }
    }

    /// The records above a log index.
    pub(crate) fn above(&self, index: u64) -> Vec<Arc<Remembered>> {
        let from = self.in_order.partition_point(|record| record.index <= index);
        self.in_order.range(from..).cloned().collect()
    }

    /// Whether the records are in order, none twice, none above a log index.
    pub(crate) fn is_sound(&self, index: u64) -> bool {
        let mut pairs = self.in_order.iter().zip(self.in_order.iter().skip(1));
        let ordered = |(a, b): (&Arc<Remembered>, &Arc<Remembered>)| {
            a.index < b.index && a.time_ms <= b.time_ms && a.revision <= b.revision
        };
        self.by_id.len() == self.len()
            && pairs.all(ordered)
            && self.in_order.back().is_none_or(|newest| newest.index <= index)
    }

    pub(crate) fn install(&mut self, remember: &Remember) {
        for _ in 0..remember.dropped {
            let Some(oldest) = self.in_order.pop_front() else { break };
            self.by_id.remove(&oldest.id);
            self.result_bytes -= oldest.result.len() as u64;
            self.dropped_revision = self.dropped_revision.max(oldest.revision);
        }
        self.time_ms = self.time_ms.max(remember.record.time_ms);
        self.push(remember.record.clone());
    }

    fn push(&mut self, record: Arc<Remembered>) {
        self.result_bytes += record.result.len() as u64;
        self.by_id.insert(record.id, record.clone());
        self.in_order.push_back(record);
    }

    /// How many of the oldest are too old at a time.
    fn expired(&self, time_ms: u64, age_ms: u64) -> usize {
        self.in_order.partition_point(|record| record.time_ms.saturating_add(age_ms) < time_ms)
    }

    /// The revision up to which records are dropped once so many of the oldest are.
    fn dropped_revision(&self, dropped: usize) -> Option<u64> {
        let last = dropped.checked_sub(1).and_then(|at| self.in_order.get(at)).map(|record| record.revision);
        let before = (self.dropped_revision > 0).then_some(self.dropped_revision);
        last.max(before)
    }

    /// How remembering one more changes the window; `expired` of the oldest leave in any case.
    fn remember(&self, mut record: Remembered, stored: &Stored<'_>, expired: usize, limits: &Limits) -> Remember {
        let others = usize::try_from(limits.count.max(1) - 1).unwrap_or(usize::MAX);
        let dropped = expired.max(self.len().saturating_sub(others));
        let leaving: u64 = self.in_order.range(..dropped).map(|record| record.result.len() as u64).sum();
        let room = RESULTS_BYTES_MAX.saturating_sub(self.result_bytes - leaving).min(limits.result_bytes);
        let whole = results::encode(stored, Keep::All);
        let mut kept = whole.clone();
        let mut allowed = room;
        for keep in [Keep::Counts, Keep::Head] {
            if kept.len() as u64 <= allowed {
                break;
            }
            kept = results::encode(stored, keep);
            // Counts of a few operations are kept however full it is.
            allowed = room.max(COUNTS_BYTES.min(limits.result_bytes));
        }
        record.truncated = kept.len() < whole.len();
        record.result = Bytes::from(kept);
        Remember { dropped, record: Arc::new(record) }
    }
}

/// Evaluates a command that carries an operation id: `run` is how it is evaluated without.
pub(crate) fn once(
    state: &State,
    command: &Command,
    operation: &Operation,
    run: impl FnOnce() -> Result<Outcome>,
) -> Result<Outcome> {
    let window = &state.operations;
    let time_ms = window.time_ms.max(command.time_ms);
    let expired = window.expired(time_ms, operation.limits.age_ms);
    let first_index = window.in_order.get(expired).map(|record| record.index);
    let known = window.by_id.get(&operation.id).filter(|record| first_index.is_some_and(|first| record.index >= first));
    if let Some(record) = known {
        return replay(state, record, operation);
    }
    let dropped = window.dropped_revision(expired);
    if let (Some(since), Some(dropped)) = (operation.since, dropped)
        && since <= dropped
    {
        // It may be one of those that were forgotten.
        return Err(Error::Indeterminate);
    }
    let mut outcome = run()?;
    let revision = outcome.changes.revision;
    let record = Remembered {
        index: state.index + 1,
        id: operation.id,
        fingerprint: operation.fingerprint,
        time_ms,
        revision,
        truncated: false,
        result: Bytes::new(),
    };
    let granted = match &command.kind {
        Kind::Grant { id, ttl_ms, .. } => Some((*id, *ttl_ms)),
        _ => None,
    };
    let stored = Stored { response: &outcome.response, granted };
    let remember = window.remember(record, &stored, expired, &operation.limits);
    outcome.changes.operation = Some(remember);
    Ok(outcome)
}

fn replay(state: &State, record: &Remembered, operation: &Operation) -> Result<Outcome> {
    if record.fingerprint != operation.fingerprint {
        return Err(Error::InvalidArgument(Invalid::OperationIdReused));
    }
    let found = results::decode(&record.result);
    let (response, granted) =
        found.ok_or_else(|| Error::corrupt("state", 0, "a remembered answer cannot be decoded"))?;
    let mut outcome = Outcome { response, ..Outcome::unchanged(state) };
    outcome.replay = Some(Replay { truncated: record.truncated, granted });
    Ok(outcome)
}

/// What a command answered, and whether that was a repetition.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) replay: Option<Replay>,
}

impl Engine {
    /// Takes a command through the whole write path, unless it has been through it before under this id.
    pub(crate) fn submit_once(&self, kind: Kind, request: Option<Request>) -> Result<Answer> {
        let operation = self.operation(request, &kind, false)?;
        let (answer, ticket) = self.order_command(kind, operation)?;
        self.wait(ticket)?;
        Ok(answer)
    }

    #[cfg(feature = "_testing")]
    pub(crate) fn remembered(&self) -> Vec<(u128, u64)> {
        let records = self.core.lock().state.operations.above(0);
        records.iter().map(|record| (record.id, record.revision)).collect()
    }

    /// What makes a request take effect once, if it is to; `drawn` says that a grant's id was not asked for.
    pub(crate) fn operation(&self, request: Option<Request>, kind: &Kind, drawn: bool) -> Result<Option<Operation>> {
        request.map(|request| Operation::new(request, kind, drawn, &self.options)).transpose()
    }
}

/// What a flush makes of the state files.
#[derive(Debug, Default)]
pub(crate) struct StateFiles {
    pub(crate) row: OperationsRow,
    pub(crate) written: Option<StateFileRow>,
    /// Files of which no record counts any more, or that were written into the new one.
    pub(crate) replaced: Vec<u64>,
}

impl StateFiles {
    /// Adds it to the flush's edit.
    pub(crate) fn add_to(&self, edit: &mut Edit, id: u64) {
        edit.operations(self.row);
        self.replaced.iter().for_each(|id| edit.remove_state_file(*id));
        if let Some(row) = &self.written {
            edit.put_state_file(id, row.clone());
        }
    }
}

impl Engine {
    /// Writes what was remembered while a memtable was active as state file `id`, if there is any. The caller's edit
    /// makes it count.
    pub(crate) fn flush_operations(
        &self,
        writer: &Writer,
        id: u64,
        (row, records): &(OperationsRow, Vec<Arc<Remembered>>),
    ) -> Result<StateFiles> {
        let files = writer.catalog.contents().state_files;
        let store_id = writer.store_id();
        let is_over = |file: &StateFileRow| file.last_index < row.first_index;
        let many = !records.is_empty() && files.values().filter(|file| !is_over(file)).count() + 1 >= FILES_MAX;
        let mut changed = StateFiles { row: *row, ..StateFiles::default() };
        let mut kept = Vec::new();
        for (old, file) in files {
            if many && !is_over(&file) {
                kept.extend(state_file::read(&self.disk, store_id, old, &file)?);
            }
            if many || is_over(&file) {
                changed.replaced.push(old);
            }
        }
        kept.retain(|record| record.index >= row.first_index);
        kept.extend(records.iter().cloned());
        if !kept.is_empty() && !is_planted(Bug::OperationForgotten) {
            changed.written = Some(state_file::write(&self.disk, store_id, id, &kept)?);
        }
        Ok(changed)
    }

    pub(crate) fn remove_state_file(&self, id: u64) {
        let path = state_path(id);
        let removed = self.disk.remove(IoSite::StateRemove, &path);
        self.tell_failed(removed.map_err(|error| Error::io("remove", path, error)));
    }
}
