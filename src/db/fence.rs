//! Single writes on behalf of the holder of a lock.

use crate::db::Db;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::kv::KeyRange;
use crate::op::{Delete, DeleteResponse, Op, OpResponse, Put, PutOptions, PutResponse, Token, Txn};

impl Db {
    /// Writes on behalf of the holder of a lock: the short form of [`DbTxn::fenced`](crate::DbTxn::fenced) for single puts and deletes.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{PutOptions, Token};
    /// let lease = db.grant(std::time::Duration::from_secs(10))?;
    /// let revision = db.put_with("lock", "", PutOptions::new().lease(lease.id()))?.revision;
    /// let token = Token::new("lock", revision, lease.id());
    /// db.fenced(&token).put("counter", "1")?;
    /// db.delete("lock")?;
    /// assert!(matches!(db.fenced(&token).put("counter", "2"), Err(etclite::Error::SessionExpired)));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn fenced(&self, token: impl AsRef<Token>) -> Fenced {
        Fenced::new(self, token.as_ref())
    }
}

/// A store seen through fences: its puts and deletes take effect only while all of them hold. See [`Db::fenced`].
#[derive(Clone, Debug)]
pub struct Fenced {
    db: Db,
    tokens: Vec<Token>,
}

impl Fenced {
    pub(super) fn new(db: &Db, token: &Token) -> Self {
        Fenced { db: db.clone(), tokens: vec![token.clone()] }
    }

    /// Adds a fence.
    #[must_use]
    pub fn fenced(mut self, token: impl AsRef<Token>) -> Self {
        self.tokens.push(token.as_ref().clone());
        self
    }

    /// As [`Db::put`].
    ///
    /// # Errors
    /// [`Error::SessionExpired`] if a fence does not hold; those of [`Db::put`].
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<PutResponse> {
        self.put_with(key, value, PutOptions::new())
    }

    /// As [`Db::put_with`].
    ///
    /// # Errors
    /// [`Error::SessionExpired`] if a fence does not hold; those of [`Db::put_with`].
    pub fn put_with(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: PutOptions) -> Result<PutResponse> {
        let (key, value) = (key.as_ref(), value.as_ref());
        // Before anything is copied (RV-08).
        self.db.engine().check_request_bytes(key.len().saturating_add(value.len()))?;
        match self.run(Put::with(key, value, options).into())? {
            OpResponse::Put(response) => Ok(response),
            other => unreachable!("a put answers {other:?}"),
        }
    }

    /// As [`Db::delete`].
    ///
    /// # Errors
    /// [`Error::SessionExpired`] if a fence does not hold; those of [`Db::delete`].
    pub fn delete(&self, range: impl Into<KeyRange>) -> Result<DeleteResponse> {
        self.delete_with(Delete::new(range))
    }

    /// As [`Db::delete_with`].
    ///
    /// # Errors
    /// As [`Fenced::delete`].
    pub fn delete_with(&self, delete: Delete) -> Result<DeleteResponse> {
        match self.run(delete.into())? {
            OpResponse::Delete(response) => Ok(response),
            other => unreachable!("a delete answers {other:?}"),
        }
    }

    fn run(&self, op: Op) -> Result<OpResponse> {
        let fenced = self.tokens.iter().fold(Txn::new(), Txn::fenced);
        let mut response = self.db.execute(fenced.then([op]))?;
        Ok(response.responses.pop().expect("one answer for the one operation"))
    }
}
