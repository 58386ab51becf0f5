//! The model's part of durable cursors: positions, what they hold back of compaction, and which of them lapse. Of
//! the budgets it knows the one in revisions. When the orderer looks is its own business: a store without threads does
//! after each compaction, and when all its work is done.

use super::{Answer, Blob, Failure, Model, Span, WatchOp};

/// How many cursors the model has room for; stores under test are opened with it.
pub(crate) const CURSORS_MAX: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) span: Span,
    pub(crate) no_delete: bool,
    pub(crate) max_lag: u64,
    pub(crate) position: u64,
    pub(crate) lapsed: bool,
}

impl Cursor {
    fn is_passed(&self, compacted: u64) -> bool {
        self.position + 1 < compacted
    }
}

/// From one position to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdvanceOp {
    pub(crate) name: Blob,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl AdvanceOp {
    pub(super) fn check_shape(&self) -> Result<(), Failure> {
        if self.to < self.from { Err(Failure::AdvanceBackward) } else { Ok(()) }
    }
}

impl Model {
    /// Name, position, and whether it has lapsed.
    pub(crate) fn cursors(&self) -> Vec<(Blob, u64, bool)> {
        self.cursors.iter().map(|(name, cursor)| (name.clone(), cursor.position, cursor.lapsed)).collect()
    }

    pub(crate) fn create_cursor(
        &mut self,
        name: &Blob,
        span: &Span,
        no_delete: bool,
        max_lag: u64,
        at: Option<u64>,
    ) -> Result<Answer, Failure> {
        let mut span = span.clone();
        if span.key.is_empty() {
            span.key = Blob::from(&[0][..]);
        }
        if !span.is_single() && !span.is_from_key() && span.key >= span.end {
            return Err(Failure::EmptyWatchRange);
        }
        if let Some(cursor) = self.cursors.get(name) {
            let same = cursor.span == span && cursor.no_delete == no_delete && cursor.max_lag == max_lag;
            return if same { Ok(Answer::Position(cursor.position)) } else { Err(Failure::CursorExists) };
        }
        if self.cursors.len() >= CURSORS_MAX {
            return Err(Failure::TooLarge);
        }
        let position = at.unwrap_or(self.revision);
        self.check_start(position)?;
        self.cursors.insert(name.clone(), Cursor { span, no_delete, max_lag, position, lapsed: false });
        Ok(Answer::Position(position))
    }

    pub(crate) fn reset_cursor(&mut self, name: &Blob, to: u64) -> Result<Answer, Failure> {
        if !self.cursors.contains_key(name) {
            return Err(Failure::CursorNotFound);
        }
        self.check_start(to)?;
        self.cursors.entry(name.clone()).and_modify(|cursor| {
            (cursor.position, cursor.lapsed) = (to, false);
        });
        self.settle_compaction();
        Ok(Answer::Position(to))
    }

    pub(crate) fn drop_cursor(&mut self, name: &Blob) -> Result<Answer, Failure> {
        let cursor = self.cursors.remove(name).ok_or(Failure::CursorNotFound)?;
        self.settle_compaction();
        Ok(Answer::Position(cursor.position))
    }

    /// A watch of what a cursor has not consumed.
    pub(crate) fn watch_cursor(&mut self, slot: u8, name: &Blob) -> Result<Answer, Failure> {
        let cursor = self.cursors.get(name).ok_or(Failure::CursorNotFound)?;
        let (span, from) = (cursor.span.clone(), cursor.position + 1);
        let watch = WatchOp { span, from, no_delete: cursor.no_delete, ..WatchOp::default() };
        self.watch(slot, &watch)?;
        Ok(Answer::Done)
    }

    pub(super) fn advance_cursor(&mut self, advance: &AdvanceOp) -> Result<(), Failure> {
        let (revision, compacted) = (self.revision, self.compact_revision());
        let cursor = self.cursors.get_mut(&advance.name).ok_or(Failure::CursorNotFound)?;
        if cursor.position != advance.from {
            return Err(Failure::CursorMoved(cursor.position));
        }
        if cursor.is_passed(compacted) {
            return Err(Failure::Compacted(compacted));
        }
        if advance.to > revision {
            return Err(Failure::FutureRevision(revision));
        }
        (cursor.position, cursor.lapsed) = (advance.to, false);
        Ok(())
    }

    fn check_start(&self, position: u64) -> Result<(), Failure> {
        if position > self.revision {
            Err(Failure::FutureRevision(self.revision))
        } else if position + 1 < self.compact_revision() {
            Err(Failure::Compacted(self.compact_revision()))
        } else {
            Ok(())
        }
    }

    /// What was ordered to be compacted takes effect as far as the cursors let it.
    pub(super) fn settle_compaction(&mut self) {
        let live = self.cursors.values().filter(|cursor| !cursor.lapsed);
        let hold = live.map(|cursor| cursor.position + 1).min();
        let effective = self.ordered.map(|ordered| hold.map_or(ordered, |hold| ordered.min(hold)));
        self.compacted = self.compacted.max(effective);
    }

    /// Cursors that hold something back and are too far behind lapse, the last one first, as long as there is one.
    pub(super) fn lapse_cursors(&mut self) {
        while let Some(ordered) = self.ordered.filter(|ordered| *ordered > self.compact_revision()) {
            let is_late = |cursor: &Cursor| {
                let lag = self.revision.saturating_sub(cursor.position);
                !cursor.lapsed && cursor.position + 1 < ordered && cursor.max_lag != 0 && lag > cursor.max_lag
            };
            let late = self.cursors.iter().filter(|(_, cursor)| is_late(cursor));
            let Some(name) = late.min_by_key(|(name, cursor)| (cursor.position, *name)).map(|(name, _)| name.clone())
            else {
                return;
            };
            self.cursors.entry(name).and_modify(|cursor| cursor.lapsed = true);
            self.settle_compaction();
        }
    }
}
