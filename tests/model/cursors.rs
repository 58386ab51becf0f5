//! The model's part of durable cursors: positions, and what they hold back of compaction. Nothing lapses here: the
//! budgets are the orderer's business.

use super::{Answer, Blob, Failure, Model, Span, WatchOp};

/// How many cursors the model has room for; stores under test are opened with it.
pub(crate) const CURSORS_MAX: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) span: Span,
    pub(crate) no_delete: bool,
    pub(crate) position: u64,
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
    pub(crate) fn cursors(&self) -> Vec<(Blob, u64)> {
        self.cursors.iter().map(|(name, cursor)| (name.clone(), cursor.position)).collect()
    }

    pub(crate) fn create_cursor(
        &mut self,
        name: &Blob,
        span: &Span,
        no_delete: bool,
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
            let same = cursor.span == span && cursor.no_delete == no_delete;
            return if same { Ok(Answer::Position(cursor.position)) } else { Err(Failure::CursorExists) };
        }
        if self.cursors.len() >= CURSORS_MAX {
            return Err(Failure::TooLarge);
        }
        let position = at.unwrap_or(self.revision);
        self.check_start(position)?;
        self.cursors.insert(name.clone(), Cursor { span, no_delete, position });
        Ok(Answer::Position(position))
    }

    pub(crate) fn reset_cursor(&mut self, name: &Blob, to: u64) -> Result<Answer, Failure> {
        if !self.cursors.contains_key(name) {
            return Err(Failure::CursorNotFound);
        }
        self.check_start(to)?;
        self.cursors.entry(name.clone()).and_modify(|cursor| cursor.position = to);
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
        let revision = self.revision;
        let cursor = self.cursors.get_mut(&advance.name).ok_or(Failure::CursorNotFound)?;
        if cursor.position != advance.from {
            return Err(Failure::CursorMoved(cursor.position));
        }
        if advance.to > revision {
            return Err(Failure::FutureRevision(revision));
        }
        cursor.position = advance.to;
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
        let hold = self.cursors.values().map(|cursor| cursor.position + 1).min();
        let effective = self.ordered.map(|ordered| hold.map_or(ordered, |hold| ordered.min(hold)));
        self.compacted = self.compacted.max(effective);
    }
}
