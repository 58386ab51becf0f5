//! Durable watch cursors.

use std::time::Duration;

use bytes::Bytes;

use crate::db::Db;
use crate::engine::cursors::{self, CursorCommand, Definition, check_name};
use crate::engine::leases::whole_millis;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::kv::{KeyRange, Revision};
use crate::op::{AdvanceResponse, Op, OpResponse, Txn};
use crate::watch::WatchBuilder;

impl Db {
    /// Describes a cursor: a place in the history of a range that is kept in the store, under a name of 1 to 255 bytes.
    /// [`CursorBuilder::create`] makes it, or finds it.
    ///
    /// A consumer reads its [watch](Cursor::watch), and moves the cursor on in the txn that writes what it made of the
    /// events ([`Op::advance`]). Killed at any point it goes on where it was: each event counts once, in order.
    ///
    /// While it is not past its budget, history that it has not consumed is not compacted. etcd has nothing like it: a
    /// consumer there keeps its own notes, and what is compacted while it is away is lost.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Op, Put, prefix};
    /// let cursor = db.cursor("totals", prefix("orders/")).create()?;
    /// db.put("orders/1", "3")?;
    /// db.put("orders/2", "4")?;
    /// db.compact(db.revision())?; // waits for the cursor
    /// let mut position = cursor.position()?;
    /// let mut watch = cursor.watch()?.start()?;
    /// let mut total = 0;
    /// while let Some(batch) = watch.try_next()? {
    ///     let values = batch.events().iter().map(|event| String::from_utf8_lossy(&event.kv.value).parse::<u64>());
    ///     total += values.sum::<Result<u64, _>>().expect("a number");
    ///     let ops = [Op::from(Put::new("total", total.to_string())), Op::advance("totals", position, batch.revision())];
    ///     db.txn().then(ops).commit()?;
    ///     position = batch.revision();
    /// }
    /// assert_eq!(db.get("total")?.expect("just put").value, "7");
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn cursor(&self, name: impl AsRef<[u8]>, range: impl Into<KeyRange>) -> CursorBuilder {
        let definition = Definition { range: range.into(), no_put: false, no_delete: false, max_lag: 0, max_age_ms: 0 };
        CursorBuilder { db: self.clone(), name: Bytes::copy_from_slice(name.as_ref()), definition, at: None }
    }

    /// A cursor that exists.
    ///
    /// # Errors
    /// [`Error::CursorNotFound`], [`Error::InvalidArgument`] for an empty or too long name, [`Error::Closed`].
    pub fn open_cursor(&self, name: impl AsRef<[u8]>) -> Result<Cursor> {
        self.engine().cursor(name.as_ref())?;
        Ok(Cursor { db: self.clone(), name: Bytes::copy_from_slice(name.as_ref()) })
    }

    /// All cursors, by name.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn cursors(&self) -> Result<Vec<CursorStatus>> {
        let listed = self.engine().list_cursors()?;
        Ok(listed.into_iter().map(|(name, cursor)| status(name, cursor)).collect())
    }
}

/// A cursor that is being described; see [`Db::cursor`].
#[must_use = "a cursor is made by create()"]
#[derive(Clone, Debug)]
pub struct CursorBuilder {
    db: Db,
    name: Bytes,
    definition: Definition,
    at: Option<u64>,
}

impl CursorBuilder {
    /// Where a new cursor begins: everything up to `position` counts as consumed, so that its first event is of the revision
    /// after it. By default the store's revision; zero is the beginning of history. A cursor that exists stays where it
    /// is.
    pub fn at(mut self, position: impl Into<Revision>) -> Self {
        self.at = Some(position.into().get());
        self
    }

    /// Leaves out puts, as [`WatchBuilder::no_put`].
    pub fn no_put(mut self) -> Self {
        self.definition.no_put = true;
        self
    }

    /// Leaves out deletes, as [`WatchBuilder::no_delete`].
    pub fn no_delete(mut self) -> Self {
        self.definition.no_delete = true;
        self
    }

    /// How many revisions it may be behind and still hold a compaction back; beyond, it lapses. Zero, the default, is no
    /// bound of its own; [`Options::cursor_hold_bytes`](crate::Options::cursor_hold_bytes) bounds all together.
    pub fn max_lag(mut self, revisions: u64) -> Self {
        self.definition.max_lag = revisions;
        self
    }

    /// How long it may stand still and still hold a compaction back; beyond, it lapses, as the clock has it, whether or not
    /// anything else happens. In whole milliseconds of the wall clock, rounded up. Zero, the default, is no bound of its own.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.definition.max_age_ms = whole_millis(age);
        self
    }

    /// Makes the cursor; one that exists with the same range, filters and bounds is returned as it is. Durable on return.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a name or range that is none, and if a cursor of that name has another definition;
    /// [`Error::TooLarge`] for a range of more than 64 KiB; [`Error::Full`] at
    /// [`Options::cursors_max`](crate::Options::cursors_max); [`Error::Compacted`] or [`Error::FutureRevision`] for its
    /// beginning; those of [`Db::put`].
    pub fn create(self) -> Result<Cursor> {
        let (db, name) = (self.db.clone(), self.name.clone());
        self.submit()?;
        Ok(Cursor { db, name })
    }

    /// As [`CursorBuilder::create`]: where the cursor stands, and the store's revision when it was made or found.
    pub(crate) fn submit(self) -> Result<AdvanceResponse> {
        let db = self.db.clone();
        db.engine().submit_cursor(self.into_command(&db)?)
    }

    /// What makes the cursor, in this store.
    pub(super) fn into_command(mut self, db: &Db) -> Result<CursorCommand> {
        check_name(&self.name)?;
        self.definition.check()?;
        let Self { name, definition, at, .. } = self;
        Ok(CursorCommand::Create { name, definition, at, max: db.engine().options.cursors_max as u64 })
    }
}

/// A handle on a durable cursor; see [`Db::cursor`]. Dropping it does nothing to the cursor.
#[derive(Clone, Debug)]
pub struct Cursor {
    db: Db,
    name: Bytes,
}

impl Cursor {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Where it stands: everything up to that revision is consumed.
    ///
    /// # Errors
    /// [`Error::CursorNotFound`] once it is dropped, [`Error::Closed`].
    pub fn position(&self) -> Result<Revision> {
        Ok(Revision::new(self.db.engine().cursor(&self.name)?.position))
    }

    /// All that is known of it.
    ///
    /// # Errors
    /// As [`Cursor::position`].
    pub fn status(&self) -> Result<CursorStatus> {
        Ok(status(self.name.clone(), self.db.engine().cursor(&self.name)?))
    }

    /// A watch of what it has not consumed: of its range, with its filters, from the revision after its position on. The
    /// watch does not move the cursor; advance it to the revision of each batch, or to
    /// [`Watch::progress`](crate::Watch::progress).
    ///
    /// # Errors
    /// As [`Cursor::position`]. Starting the watch is [`Error::Compacted`] if compaction has passed the cursor, which
    /// must have lapsed before.
    pub fn watch(&self) -> Result<WatchBuilder> {
        let cursor = self.db.engine().cursor(&self.name)?;
        let Definition { range, no_put, no_delete, .. } = cursor.definition;
        let mut watch = self.db.watch(range).from(cursor.position + 1);
        if no_put {
            watch = watch.no_put();
        }
        if no_delete {
            watch = watch.no_delete();
        }
        Ok(watch)
    }

    /// Moves it from `from` to `to`, alone; beside other writes use [`Op::advance`]. Durable on return, without a revision.
    ///
    /// # Errors
    /// As [`Op::advance`] says, and those of [`Db::put`].
    pub fn advance(&self, from: impl Into<Revision>, to: impl Into<Revision>) -> Result<Revision> {
        let response = self.db.execute(Txn::new().then([Op::advance(&self.name, from, to)]))?;
        match response.responses.first() {
            Some(OpResponse::Advance(advance)) => Ok(advance.position),
            other => unreachable!("an advance answers {other:?}"),
        }
    }

    /// Puts it at `to`, backward or forward, whatever its position; a lapsed one is live again. What it skips is never
    /// delivered, what it goes back over is delivered again.
    ///
    /// # Errors
    /// [`Error::CursorNotFound`]; [`Error::Compacted`] if what follows `to` is compacted; [`Error::FutureRevision`]; those
    /// of [`Db::put`].
    pub fn reset(&self, to: impl Into<Revision>) -> Result<Revision> {
        Ok(self.submit_reset(to)?.position)
    }

    /// As [`Cursor::reset`], with the store's revision then.
    pub(crate) fn submit_reset(&self, to: impl Into<Revision>) -> Result<AdvanceResponse> {
        self.db.engine().submit_cursor(CursorCommand::Reset { name: self.name.clone(), to: to.into().get() })
    }

    /// Ends it: it holds nothing any more, and its name is free. Returns where it stood.
    ///
    /// # Errors
    /// [`Error::CursorNotFound`]; those of [`Db::put`].
    pub fn drop_cursor(self) -> Result<Revision> {
        Ok(self.submit_drop()?.position)
    }

    /// As [`Cursor::drop_cursor`], with the store's revision then.
    pub(crate) fn submit_drop(self) -> Result<AdvanceResponse> {
        self.db.engine().submit_cursor(CursorCommand::Drop { name: self.name })
    }
}

/// What is known of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CursorStatus {
    /// Its name.
    pub name: Bytes,
    /// What it watches.
    pub range: KeyRange,
    /// It sees no puts.
    pub no_put: bool,
    /// It sees no deletes.
    pub no_delete: bool,
    /// Everything up to this revision is consumed.
    pub position: Revision,
    /// It was over its budget and holds no compaction any more. It goes on as before unless compaction passes it.
    pub lapsed: bool,
    /// How many revisions it may lag while it holds compaction; zero is no bound of its own.
    pub max_lag: u64,
    /// How long it may stand still while it holds compaction; zero is no bound of its own.
    pub max_age: Duration,
}

fn status(name: Bytes, cursor: cursors::Cursor) -> CursorStatus {
    let Definition { range, no_put, no_delete, max_lag, max_age_ms } = cursor.definition;
    CursorStatus {
        name,
        range,
        no_put,
        no_delete,
        position: Revision::new(cursor.position),
        lapsed: cursor.lapsed,
        max_lag,
        max_age: Duration::from_millis(max_age_ms),
    }
}
