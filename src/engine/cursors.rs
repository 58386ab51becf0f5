//! Durable watch cursors: how far a consumer has come, kept in the store and moved together with the consumer's own
//! writes (X-04).
//!
//! A cursor is a name, a definition (what is watched) and a position: everything up to it is consumed. To advance is an
//! operation of a txn, so what the consumer wrote and that it is done with an event stand in one log record: a crash
//! keeps both or neither. It names the position that it moves from, so of two consumers one fails and learns of the
//! other.
//!
//! ```text
//!   compact revision        position of the one furthest behind          ordered
//!        |-- gone below --|      |........ held back for cursors ........|
//! ```
//! **Live cursors hold compaction.** What was ordered is remembered, and what takes effect is the lower of it and the
//! lowest position + 1: with each command that changes either, in `Draft::finish`. A live cursor is never passed.
//!
//! **Within a budget.** What is held has a price, and a cursor that is over it **lapses**: it holds nothing any more.
//! The orderer decides that (`Engine::lapse_cursors`), and a command carries it out: in the state there is no clock and
//! no weight. It names the position that was seen, so that one which has moved since is left alone. A lapsed cursor that
//! advances before compaction has passed it is live again; one that was passed stays where it is until it is reset.
//! Budgets are looked at when something is ordered to be compacted and when flushes and merges have changed what is held;
//! for an age the thread that ends leases wakes up, too (`Engine::next_lapse`).
//!
//! Readers of cursors see a copy that moves with publication, in the order of the log.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::{Reader, Write};
use crate::engine::apply::Response;
use crate::engine::background::Job;
use crate::engine::command::{Kind, read_range, write_range};
use crate::engine::state::State;
use crate::engine::{Engine, inspect, millis};
use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyRange, RangeEnd, Revision};
use crate::op::{AdvanceResponse, Op, OpResponse, Txn, TxnResponse};
use crate::store::catalog::{CursorRow, RangeRow};

/// The longest name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// The longest range, start and end together, in bytes: a cursor is a row of the catalog.
const RANGE_BYTES_MAX: usize = 64 << 10;

/// What a cursor watches, and how long it may hold compaction back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) range: KeyRange,
    pub(crate) no_put: bool,
    pub(crate) no_delete: bool,
    /// In revisions; 0 is no bound.
    pub(crate) max_lag: u64,
    /// In milliseconds; 0 is no bound.
    pub(crate) max_age_ms: u64,
}

/// A cursor as commands see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) definition: Definition,
    /// Everything up to this revision is consumed.
    pub(crate) position: u64,
    /// It holds no compaction.
    pub(crate) lapsed: bool,
    /// When it was last moved or created, by the orderer's clock.
    pub(crate) moved_ms: u64,
}

pub(crate) type Cursors = BTreeMap<Bytes, Cursor>;

/// What changes cursors beside the advances in txns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CursorCommand {
    /// `max` is how many there may be, as the orderer has it.
    Create {
        name: Bytes,
        definition: Definition,
        at: Option<u64>,
        max: u64,
    },
    Reset {
        name: Bytes,
        to: u64,
    },
    Drop {
        name: Bytes,
    },
    /// The orderer found it over its budget at this position.
    Lapse {
        name: Bytes,
        position: u64,
    },
}

impl Cursor {
    /// The compact revision up to which it lets compaction go.
    fn hold(&self) -> Option<u64> {
        (!self.lapsed).then_some(self.position.saturating_add(1))
    }

    /// From when on it is older than it may be, by the orderer's clock, if there is such a bound.
    fn too_old_ms(&self) -> Option<u64> {
        let max_age_ms = self.definition.max_age_ms;
        (max_age_ms != 0).then(|| self.moved_ms.saturating_add(max_age_ms).saturating_add(1))
    }

    /// Whether history that it has not consumed is gone.
    pub(crate) fn is_passed(&self, compacted: u64) -> bool {
        self.position.saturating_add(1) < compacted
    }
}

/// The compact revision that takes effect: what was ordered, held back by live cursors.
pub(crate) fn effective<'c>(ordered: Option<u64>, cursors: impl Iterator<Item = &'c Cursor>) -> Option<u64> {
    let hold = cursors.filter_map(Cursor::hold).min();
    ordered.map(|ordered| hold.map_or(ordered, |hold| ordered.min(hold)))
}

impl State {
    /// The cursors that hold back what was ordered to be compacted, and up to where that was; if it is held back at all.
    fn holding(&self) -> Option<(u64, Vec<(&Bytes, &Cursor)>)> {
        let ordered = self.compact_ordered.filter(|ordered| *ordered > self.compacted())?;
        let holds = |(_, cursor): &(&Bytes, &Cursor)| cursor.hold().is_some_and(|hold| hold < ordered);
        Some((ordered, self.cursors.iter().filter(holds).collect()))
    }

    /// Whether every cursor is within the history, and no live one was passed by compaction.
    pub(crate) fn cursors_hold(&self) -> bool {
        let is_sound = |cursor: &Cursor| {
            cursor.position <= self.revision && (cursor.lapsed || !cursor.is_passed(self.compacted()))
        };
        self.cursors.values().all(is_sound) && self.compact_ordered >= self.compact_revision
    }
}

/// The cursors as a command sees them, with what it has changed so far.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    changed: BTreeMap<Bytes, Option<Cursor>>,
}

impl Moves {
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    pub(crate) fn into_changes(self) -> Vec<(Bytes, Option<Cursor>)> {
        self.changed.into_iter().collect()
    }

    /// All cursors after the command.
    pub(crate) fn all<'c>(&'c self, state: &'c State) -> impl Iterator<Item = &'c Cursor> {
        let kept = state.cursors.iter().filter(|(name, _)| !self.changed.contains_key(*name));
        kept.map(|(_, cursor)| cursor).chain(self.changed.values().flatten())
    }

    fn get<'c>(&'c self, state: &'c State, name: &[u8]) -> Result<&'c Cursor> {
        let found = match self.changed.get(name) {
            Some(changed) => changed.as_ref(),
            None => state.cursors.get(name),
        };
        found.ok_or(Error::CursorNotFound)
    }

    /// Moves a cursor that stands at `from`; the position is the state's before the txn, or that of an earlier advance.
    pub(crate) fn advance(&mut self, state: &State, time_ms: u64, (name, from, to): (&Bytes, u64, u64)) -> Result<()> {
        let cursor = self.get(state, name)?;
        if cursor.position != from {
            return Err(Error::CursorMoved { position: Revision::new(cursor.position) });
        }
        if cursor.is_passed(state.compacted()) {
            return Err(Error::Compacted { compacted: Revision::new(state.compacted()) });
        }
        check_not_future(state, to)?;
        let moved = Cursor { position: to, lapsed: false, moved_ms: time_ms, ..cursor.clone() };
        self.changed.insert(name.clone(), Some(moved));
        Ok(())
    }

    /// Runs a command; its answer is the cursor's position.
    pub(crate) fn run(&mut self, state: &State, time_ms: u64, command: &CursorCommand) -> Result<u64> {
        match command {
            CursorCommand::Create { name, definition, at, max } => {
                self.create(state, time_ms, name, definition, *at, *max)
            }
            CursorCommand::Reset { name, to } => {
                let cursor = self.get(state, name)?;
                check_start(state, *to)?;
                let reset = Cursor { position: *to, lapsed: false, moved_ms: time_ms, ..cursor.clone() };
                self.changed.insert(name.clone(), Some(reset));
                Ok(*to)
            }
            CursorCommand::Drop { name } => {
                let position = self.get(state, name)?.position;
                self.changed.insert(name.clone(), None);
                Ok(position)
            }
            CursorCommand::Lapse { name, position } => {
                if let Ok(cursor) = self.get(state, name)
                    && cursor.position == *position
                    && !cursor.lapsed
                {
                    let lapsed = Cursor { lapsed: true, ..cursor.clone() };
                    self.changed.insert(name.clone(), Some(lapsed));
                }
                Ok(*position)
            }
        }
    }

    fn create(
        &mut self,
        state: &State,
        moved_ms: u64,
        name: &Bytes,
        definition: &Definition,
        at: Option<u64>,
        max: u64,
    ) -> Result<u64> {
        if let Some(cursor) = state.cursors.get(name) {
            let same = cursor.definition == *definition;
            let other = Invalid::Argument("a cursor of that name has another definition");
            return if same { Ok(cursor.position) } else { Err(Error::InvalidArgument(other)) };
        }
        if state.cursors.len() as u64 >= max {
            return Err(Error::Full { what: "cursors", max });
        }
        let position = at.unwrap_or(state.revision);
        check_start(state, position)?;
        let cursor = Cursor { definition: definition.clone(), position, lapsed: false, moved_ms };
        self.changed.insert(name.clone(), Some(cursor));
        Ok(position)
    }
}

fn check_not_future(state: &State, position: u64) -> Result<()> {
    if position > state.revision {
        return Err(Error::FutureRevision { current: Revision::new(state.revision) });
    }
    Ok(())
}

/// A watch from behind `position` must be complete.
fn check_start(state: &State, position: u64) -> Result<()> {
    check_not_future(state, position)?;
    if position.saturating_add(1) < state.compacted() {
        return Err(Error::Compacted { compacted: Revision::new(state.compacted()) });
    }
    Ok(())
}

pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Error::InvalidArgument(Invalid::Argument("the name of a cursor has from 1 to 255 bytes")));
    }
    Ok(())
}

impl Definition {
    /// Checks what needs no store, and spells an empty key as a watch takes it.
    pub(crate) fn check(&mut self) -> Result<()> {
        if self.range.start.is_empty() {
            self.range.start = Bytes::from_static(b"\0");
        }
        if self.range.is_empty() {
            return Err(Error::InvalidArgument(Invalid::EmptyWatchRange));
        }
        let end = if let RangeEnd::Before(end) = &self.range.end { end.len() } else { 0 };
        let len = self.range.start.len() + end;
        if len > RANGE_BYTES_MAX {
            return Err(Error::TooLarge { what: "range of a cursor", len: len as u64, max: RANGE_BYTES_MAX as u64 });
        }
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_range(out, &self.range);
        out.put_u8(u8::from(self.no_put) | u8::from(self.no_delete) << 1);
        out.put_varint(self.max_lag);
        out.put_varint(self.max_age_ms);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Definition> {
        let range = read_range(reader)?;
        let flags = reader.u8().filter(|flags| *flags < 4)?;
        let (no_put, no_delete) = (flags & 1 != 0, flags & 2 != 0);
        Some(Definition { range, no_put, no_delete, max_lag: reader.varint()?, max_age_ms: reader.varint()? })
    }
}

impl CursorCommand {
    pub(crate) fn tag(&self) -> u8 {
        match self {
            CursorCommand::Create { .. } => CREATE,
            CursorCommand::Reset { .. } => RESET,
            CursorCommand::Drop { .. } => DROP,
            CursorCommand::Lapse { .. } => LAPSE,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            CursorCommand::Create { name, definition, at, max } => {
                out.put_bytes(name);
                definition.write(out);
                // Zero is a position, so one more than it.
                out.put_varint(at.map_or(0, |at| at.saturating_add(1)));
                out.put_varint(*max);
            }
            CursorCommand::Reset { name, to } => {
                out.put_bytes(name);
                out.put_varint(*to);
            }
            CursorCommand::Drop { name } => out.put_bytes(name),
            CursorCommand::Lapse { name, position } => {
                out.put_bytes(name);
                out.put_varint(*position);
            }
        }
    }

    /// The command of this kind, if it is one of cursors.
    pub(crate) fn read(reader: &mut Reader<'_>, tag: u8) -> Option<CursorCommand> {
        let name = Bytes::copy_from_slice(reader.bytes()?);
        Some(match tag {
            CREATE => {
                let definition = Definition::read(reader)?;
                CursorCommand::Create { name, definition, at: reader.varint()?.checked_sub(1), max: reader.varint()? }
            }
            RESET => CursorCommand::Reset { name, to: reader.varint()? },
            DROP => CursorCommand::Drop { name },
            LAPSE => CursorCommand::Lapse { name, position: reader.varint()? },
            _ => return None,
        })
    }
}

const CREATE: u8 = 33;
const RESET: u8 = 35;
const DROP: u8 = 37;
const LAPSE: u8 = 39;

pub(crate) fn cursor_row(cursor: &Cursor) -> CursorRow {
    let Definition { range, no_put, no_delete, max_lag, max_age_ms } = cursor.definition.clone();
    let end = match range.end {
        RangeEnd::Key => RangeRow::Key,
        RangeEnd::Before(end) => RangeRow::Before(end.to_vec()),
        RangeEnd::Unbounded => RangeRow::Unbounded,
    };
    CursorRow {
        start: range.start.to_vec(),
        end,
        no_put,
        no_delete,
        max_lag,
        max_age_ms,
        position: cursor.position,
        lapsed: cursor.lapsed,
        moved_ms: cursor.moved_ms,
    }
}

pub(crate) fn cursor(row: &CursorRow) -> Cursor {
    let end = match &row.end {
        RangeRow::Key => RangeEnd::Key,
        RangeRow::Before(end) => RangeEnd::Before(end.clone().into()),
        RangeRow::Unbounded => RangeEnd::Unbounded,
    };
    let CursorRow { no_put, no_delete, max_lag, max_age_ms, position, lapsed, moved_ms, .. } = *row;
    let range = KeyRange { start: row.start.clone().into(), end };
    let definition = Definition { range, no_put, no_delete, max_lag, max_age_ms };
    Cursor { definition, position, lapsed, moved_ms }
}

impl Engine {
    /// Runs a command of cursors; the cursor's position afterwards, and the revision that the command met.
    pub(crate) fn submit_cursor(&self, command: CursorCommand) -> Result<AdvanceResponse> {
        match self.submit(Kind::Cursor(command))? {
            Response::Cursor(response) => Ok(response),
            other => unreachable!("a command of cursors answers {other:?}"),
        }
    }

    /// A published cursor.
    pub(crate) fn cursor(&self, name: &[u8]) -> Result<Cursor> {
        check_name(name)?;
        self.check_open()?;
        self.cursors.lock().get(name).cloned().ok_or(Error::CursorNotFound)
    }

    /// The published cursors, by name.
    pub(crate) fn list_cursors(&self) -> Result<Cursors> {
        self.check_open()?;
        Ok(self.cursors.lock().clone())
    }

    /// Lets cursors lapse until what they hold is within its budgets.
    pub(crate) fn lapse_cursors(&self) -> Result<()> {
        while let Some((name, position)) = self.over_budget() {
            self.submit_cursor(CursorCommand::Lapse { name, position })?;
        }
        Ok(())
    }

    /// When the next cursor lapses by its age, on the clock of leases, if one holds something back. Ages are by the wall
    /// clock: if somebody sets it forward meanwhile, the cursor lapses later than it could; if back, this is only a look.
    pub(crate) fn next_lapse(&self) -> Option<Duration> {
        let core = self.core.lock();
        let (_, holding) = core.state.holding()?;
        let too_old_ms = holding.iter().filter_map(|(_, cursor)| cursor.too_old_ms()).min()?;
        drop(core);
        let wait = Duration::from_millis(too_old_ms).saturating_sub(self.clock.now().wall);
        Some(self.lease_now().saturating_add(wait))
    }

    /// Has a thread awake once the next cursor lapses by its age. Called when a compaction was ordered that is held back,
    /// and when cursors have changed that may hold it.
    pub(crate) fn schedule_lapse(&self) {
        if let Some(time) = self.next_lapse() {
            self.lessor.wake_by(time);
            self.kick(Job::Expire);
        }
    }

    /// The live cursor that must lapse next, if any. One that holds nothing back may be as far behind as it likes.
    fn over_budget(&self) -> Option<(Bytes, u64)> {
        let now_ms = millis(self.clock.now().wall);
        let core = self.core.lock();
        let state = &core.state;
        let (ordered, mut holding) = state.holding()?;
        holding.sort_by_key(|(name, cursor)| (cursor.position, *name));
        let is_late = |cursor: &Cursor| {
            let max_lag = cursor.definition.max_lag;
            (max_lag != 0 && state.revision.saturating_sub(cursor.position) > max_lag)
                || cursor.too_old_ms().is_some_and(|too_old_ms| now_ms >= too_old_ms)
        };
        let (late, furthest) = (holding.iter().find(|(_, cursor)| is_late(cursor)), holding.first());
        let version = self.version.load();
        let held = || {
            let live = |compacted| inspect::live_bytes(&version, compacted);
            live(state.compacted()).saturating_sub(live(ordered))
        };
        let victim = late.or_else(|| furthest.filter(|_| held() > self.options.cursor_hold_bytes));
        victim.map(|(name, cursor)| ((*name).clone(), cursor.position))
    }

    /// S31: the advances of a txn in a record of their own.
    pub(crate) fn advance_apart(&self, mut txn: Txn) -> Result<TxnResponse> {
        let is_advance = |op: &Op| matches!(op, Op::Advance(_));
        let apart: Vec<Op> = txn.then.iter().filter(|op| is_advance(op)).cloned().collect();
        txn.then.retain(|op| !is_advance(op));
        let mut response = self.submit_txn(txn, None)?.0;
        if response.succeeded {
            let advanced = self.submit_txn(Txn::new().then(apart).finish(), None)?.0;
            let (others, ends): (Vec<_>, Vec<OpResponse>) = (response.responses, advanced.responses);
            response.responses = others.into_iter().chain(ends).collect();
        }
        Ok(response)
    }
}
