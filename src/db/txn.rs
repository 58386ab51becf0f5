//! A txn that knows its store.

use crate::db::Db;
use crate::error::Result;
use crate::op::{Compare, Op, Token, Txn, TxnResponse, stage};

/// Whether a txn can only read, whichever branch it takes.
pub(super) fn is_read_only(txn: &Txn) -> bool {
    txn.then.iter().chain(&txn.or_else).all(|op| match op {
        Op::Range(_) => true,
        Op::Txn(nested) => is_read_only(nested),
        Op::Put(_) | Op::Delete(_) | Op::Grant(_) | Op::Revoke(_) | Op::Advance(_) => false,
    })
}

/// A txn that knows its store; see [`Db::txn`].
#[derive(Clone, Debug)]
pub struct DbTxn<Stage = stage::Start> {
    pub(super) db: Db,
    pub(super) txn: Txn<Stage>,
}

impl DbTxn<stage::Start> {
    /// Runs the txn only if the token holds, else [`Error::SessionExpired`](crate::Error::SessionExpired); see
    /// [`Txn::fenced`].
    #[must_use]
    pub fn fenced(self, token: impl AsRef<Token>) -> Self {
        DbTxn { db: self.db, txn: self.txn.fenced(token) }
    }

    /// The conditions, all of which must hold.
    #[must_use]
    pub fn when(self, compares: impl IntoIterator<Item = Compare>) -> DbTxn<stage::When> {
        DbTxn { db: self.db, txn: self.txn.when(compares) }
    }

    /// What runs, there being no conditions.
    #[must_use]
    pub fn then(self, ops: impl IntoIterator<Item = impl Into<Op>>) -> DbTxn<stage::Then> {
        DbTxn { db: self.db, txn: self.txn.then(ops) }
    }
}

impl DbTxn<stage::When> {
    /// What runs if all conditions hold.
    #[must_use]
    pub fn then(self, ops: impl IntoIterator<Item = impl Into<Op>>) -> DbTxn<stage::Then> {
        DbTxn { db: self.db, txn: self.txn.then(ops) }
    }

    /// What runs if a condition fails.
    #[must_use]
    pub fn or_else(self, ops: impl IntoIterator<Item = impl Into<Op>>) -> DbTxn<stage::Complete> {
        DbTxn { db: self.db, txn: self.txn.or_else(ops) }
    }
}

impl DbTxn<stage::Then> {
    /// What runs if a condition fails.
    #[must_use]
    pub fn or_else(self, ops: impl IntoIterator<Item = impl Into<Op>>) -> DbTxn<stage::Complete> {
        DbTxn { db: self.db, txn: self.txn.or_else(ops) }
    }
}

impl<Stage> DbTxn<Stage> {
    /// Runs the txn. Durable on return; one revision if it changes a key.
    ///
    /// # Errors
    /// As [`Db::execute`].
    pub fn commit(self) -> Result<TxnResponse> {
        self.db.execute(self.txn)
    }
}
