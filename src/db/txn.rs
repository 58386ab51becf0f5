//! The txns: written out, built elsewhere, or the two that everybody writes; and a txn that knows its store.

use crate::db::Db;
use crate::engine::fence::asks_for_leases;
use crate::engine::shape::{TxnLimits, check_txn};
use crate::error::Result;
use crate::kv::{KeyRange, Revision};
use crate::op::{Compare, Op, Put, Token, Txn, TxnResponse, stage};
use crate::sabotage::{Bug, is_planted};

impl Db {
    /// Begins a txn: `when`, `then`, `or_else`, [`commit`](DbTxn::commit).
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Compare, Delete, Put};
    /// db.put("from", "data")?;
    /// let unmoved = Compare::value("from").eq("data");
    /// let moved = db.txn().when([unmoved]).then([etclite::Op::from(Delete::new("from")), Put::new("to", "data").into()]);
    /// assert!(moved.commit()?.succeeded);
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn txn(&self) -> DbTxn {
        DbTxn { db: self.clone(), txn: Txn::new() }
    }

    /// Runs a txn that was built elsewhere; as etcd's `Txn`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Compare, Put, Range, Txn};
    /// let lock = Txn::new().when([Compare::version("lock").eq(0)]).then([Put::new("lock", "me")]);
    /// let txn = lock.or_else([Range::new("lock")]);
    /// assert!(db.execute(txn.clone())?.succeeded);
    /// assert!(!db.execute(txn)?.succeeded);
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::put`]; [`Error::SessionExpired`](crate::Error::SessionExpired) if a fence does not hold;
    /// [`Error::DuplicateKey`](crate::Error::DuplicateKey); those of its reads;
    /// [`Error::LeaseExists`](crate::Error::LeaseExists) and [`Error::LeaseNotFound`](crate::Error::LeaseNotFound). Any
    /// failure fails the whole txn.
    pub fn execute<S>(&self, txn: Txn<S>) -> Result<TxnResponse> {
        let mut txn = self.checked_txn(txn.finish())?;
        if self.reads(&txn) {
            txn.blank_leases(!self.engine().options.keys_only_lease);
            return self.engine().read_txn(&txn);
        }
        if is_planted(Bug::AdvanceApart) {
            return self.engine().advance_apart(txn);
        }
        Ok(self.engine().submit_txn(txn, None)?.0)
    }

    /// Whether a txn is answered from what is visible, without being ordered. What asks for leases is decided among the
    /// writes, on the head; a store without writes has no head.
    fn reads(&self, txn: &Txn) -> bool {
        is_read_only(txn) && (self.engine().options.read_only || !asks_for_leases(txn))
    }

    /// The same of any operation by itself.
    pub(super) fn only_reads(&self, op: &Op) -> bool {
        match op {
            Op::Range(_) => true,
            Op::Txn(txn) => self.reads(txn),
            _ => false,
        }
    }

    pub(super) fn checked_txn(&self, txn: Txn) -> Result<Txn> {
        let options = &self.engine().options;
        check_txn(&txn, TxnLimits { ops_max: options.txn_ops_max, depth_max: options.txn_depth_max })?;
        Ok(txn)
    }

    /// Puts `value` at `key` if the key does not exist. `None` if it does.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// assert!(db.put_if_absent("owner", "me")?.is_some());
    /// assert!(db.put_if_absent("owner", "you")?.is_none());
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn put_if_absent(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Revision>> {
        let key = key.as_ref();
        let absent = Compare::create_revision(KeyRange::key(key)).eq(0u64);
        let response = self.txn().when([absent]).then([Put::new(key, value)]).commit()?;
        Ok(response.succeeded.then_some(response.revision))
    }

    /// Puts `value` at `key` if its mod revision still is `mod_revision`; zero means that it must not exist. `None` if
    /// somebody else was faster.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// db.put("counter", "1")?;
    /// let seen = db.get("counter")?.expect("just put");
    /// assert!(db.compare_and_swap("counter", seen.mod_revision, "2")?.is_some());
    /// assert!(db.compare_and_swap("counter", seen.mod_revision, "3")?.is_none());
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        mod_revision: impl Into<Revision>,
        value: impl AsRef<[u8]>,
    ) -> Result<Option<Revision>> {
        let key = key.as_ref();
        let unchanged = Compare::mod_revision(KeyRange::key(key)).eq(mod_revision.into());
        let response = self.txn().when([unchanged]).then([Put::new(key, value)]).commit()?;
        Ok(response.succeeded.then_some(response.revision))
    }
}

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
