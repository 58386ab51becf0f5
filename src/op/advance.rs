//! Advancing a cursor, as an operation of a txn.

use bytes::Bytes;

use crate::error::{Error, Invalid, Result};
use crate::kv::Revision;
use crate::op::Op;

/// Moves a cursor on; see [`Op::advance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    pub(crate) name: Bytes,
    pub(crate) from: Revision,
    pub(crate) to: Revision,
}

impl Op {
    /// Moves the cursor `name`, which must stand at `from`, to `to`: everything up to there is consumed. In a txn with what
    /// the consumer writes for it, both happen or neither.
    ///
    /// It takes no revision by itself and no event tells of it. If it fails, the whole txn does, with `CursorNotFound`,
    /// `CursorMoved`, `Compacted` if compaction has passed a lapsed cursor, `FutureRevision` if `to` is above the store's
    /// revision before the txn, or `InvalidArgument` if it is below `from`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Op, Put, prefix};
    /// let cursor = db.cursor("mailer", prefix("orders/")).create()?;
    /// db.put("orders/1", "a book")?;
    /// let mut watch = cursor.watch()?.start()?;
    /// let batch = watch.next().expect("the store is open")?;
    /// let position = cursor.position()?;
    /// // What is done for the event, and that it is done, in one step.
    /// let done = [Op::from(Put::new("sent/1", "")), Op::advance("mailer", position, batch.revision())];
    /// db.txn().then(done).commit()?;
    /// assert_eq!(cursor.position()?, batch.revision());
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn advance(name: impl AsRef<[u8]>, from: impl Into<Revision>, to: impl Into<Revision>) -> Op {
        Op::Advance(Advance { name: Bytes::copy_from_slice(name.as_ref()), from: from.into(), to: to.into() })
    }
}

impl Advance {
    pub(crate) fn check(&self) -> Result<()> {
        crate::engine::cursors::check_name(&self.name)?;
        if self.to < self.from {
            return Err(Error::InvalidArgument(Invalid::Argument("a cursor is not advanced backward")));
        }
        Ok(())
    }

    /// Name, from and to.
    pub(crate) fn step(&self) -> (&Bytes, u64, u64) {
        (&self.name, self.from.get(), self.to.get())
    }
}
