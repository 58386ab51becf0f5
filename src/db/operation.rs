//! Writes that take effect once, however often they are sent.

use std::time::Duration;

use bytes::Bytes;

use crate::db::txn::is_read_only;
use crate::db::{CursorBuilder, Db, Lease};
use crate::engine::apply::Response;
use crate::engine::command::{Cause, Kind};
use crate::engine::cursors::{CursorCommand, check_name};
use crate::engine::leases::Granted;
use crate::engine::operations::{Answer, Replay, Request};
use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyRange, LeaseId, Revision};
use crate::op::{
    Delete, DeleteResponse, GrantOptions, OnceResponse, Op, OperationId, Put, PutOptions, PutResponse, Txn,
    TxnResponse, check_key,
};

impl Db {
    /// A write under an id of the caller's: the first one that arrives takes effect, and each further one with the same
    /// id and the same request gets its answer again, after a crash and a reopen too. So whoever does not know what
    /// became of a write may send it again.
    ///
    /// Remembered are the newest [`Options::operation_ids_max`](crate::Options::operation_ids_max) operations, none older
    /// than [`Options::operation_ids_age`](crate::Options::operation_ids_age). Give [`Operation::since`], and a repetition
    /// that comes later than that is refused instead of done again.
    ///
    /// etcd has nothing like it: there a request whose answer was lost may have taken effect or not.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// let operation = db.operation(db.draw_operation_id()).since(db.revision());
    /// let first = operation.put("greeting", "hello")?;
    /// db.put("greeting", "goodbye")?;
    /// let again = operation.put("greeting", "hello")?;
    /// assert!(again.replayed && again.revision == first.revision);
    /// assert_eq!(db.get("greeting")?.expect("just put").value, "goodbye");
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn operation(&self, id: impl Into<OperationId>) -> Operation {
        Operation { db: self.clone(), request: Request { id: id.into(), since: None } }
    }

    /// A random id for [`Db::operation`], 122 bits or more of it random.
    pub fn draw_operation_id(&self) -> OperationId {
        let mut bytes = [0; 16];
        self.engine().clock.random(&mut bytes);
        OperationId::new(u128::from_le_bytes(bytes).max(1))
    }
}

/// A write under an id; see [`Db::operation`]. It can be used again for as long as the caller does not know its outcome.
///
/// Of every write here: errors are not remembered, as nothing was written, so the id stays free. The id is looked up
/// before anything else that depends on the store, so a repetition is answered although its lease is gone or its
/// revision compacted. Besides those of the plain write, the errors are [`Error::InvalidArgument`] for an id that is zero
/// or was used for another request, and [`Error::Indeterminate`] if the operation is not remembered but one as old as
/// `since` has been forgotten: this call wrote nothing, an earlier one may have.
#[derive(Clone, Debug)]
pub struct Operation {
    db: Db,
    request: Request,
}

impl Operation {
    /// The revision that the caller knew when it sent the operation for the first time: [`Db::revision`] before it.
    /// Without, an operation that is no longer remembered is done again.
    #[must_use]
    pub fn since(mut self, revision: impl Into<Revision>) -> Self {
        self.request.since = Some(revision.into());
        self
    }

    /// Its id.
    pub fn id(&self) -> OperationId {
        self.request.id
    }

    /// As [`Db::put`], once.
    ///
    /// # Errors
    /// As [`Db::put`], and those of [`Operation`].
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<OnceResponse<PutResponse>> {
        self.put_with(key, value, PutOptions::new())
    }

    /// As [`Db::put_with`], once.
    ///
    /// # Errors
    /// As [`Db::put_with`], and those of [`Operation`].
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Result<OnceResponse<PutResponse>> {
        self.put_checked(self.db.checked_put(key.as_ref(), value.as_ref(), options)?)
    }

    /// A put that was found to be whole.
    pub(crate) fn put_checked(&self, put: Put) -> Result<OnceResponse<PutResponse>> {
        let (response, replay) = self.db.engine().submit_put(put, Some(self.request))?;
        let revision = response.revision;
        Ok(answer(response, revision, replay))
    }

    /// As [`Db::delete`], once.
    ///
    /// # Errors
    /// As [`Db::delete`], and those of [`Operation`].
    pub fn delete(&self, range: impl Into<KeyRange>) -> Result<OnceResponse<DeleteResponse>> {
        self.delete_with(Delete::new(range))
    }

    /// As [`Db::delete_with`], once.
    ///
    /// # Errors
    /// As [`Db::delete`], and those of [`Operation`].
    pub fn delete_with(&self, delete: Delete) -> Result<OnceResponse<DeleteResponse>> {
        check_key(&delete.range.start)?;
        self.submit(Kind::Delete(delete), |response| match response {
            Response::Delete(response) => Some((response.revision, response)),
            _ => None,
        })
    }

    /// As [`Db::execute`], once. That a compare failed is an answer like any other.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Compare, Put, Txn};
    /// let create = Txn::new().when([Compare::version("a").eq(0)]).then([Put::new("a", "1")]);
    /// let operation = db.operation(7u128);
    /// assert!(operation.execute(create.clone())?.succeeded);
    /// // It exists now, and still the answer is that it was created.
    /// assert!(operation.execute(create)?.succeeded);
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::execute`], and those of [`Operation`]; [`Error::InvalidArgument`] for a txn that can only read.
    pub fn execute<S>(&self, txn: Txn<S>) -> Result<OnceResponse<TxnResponse>> {
        let txn = self.db.checked_txn(txn.finish())?;
        if is_read_only(&txn) {
            return Err(Error::InvalidArgument(Invalid::Argument("a txn that can only read takes no operation id")));
        }
        let (response, replay) = self.db.engine().submit_txn(txn, Some(self.request))?;
        let revision = response.revision;
        Ok(answer(response, revision, replay))
    }

    /// As [`Db::grant`], once: a repetition gets the lease of the first call, which may have ended since.
    ///
    /// # Errors
    /// As [`Db::grant`], and those of [`Operation`].
    pub fn grant(&self, ttl: Duration) -> Result<OnceResponse<Lease>> {
        self.grant_with_id(LeaseId::NONE, ttl)
    }

    /// As [`Db::grant_with_id`], once.
    ///
    /// # Errors
    /// As [`Db::grant_with_id`], and those of [`Operation`].
    pub fn grant_with_id(&self, id: impl Into<LeaseId>, ttl: Duration) -> Result<OnceResponse<Lease>> {
        self.grant_with(GrantOptions::new(ttl).id(id))
    }

    /// As [`Db::grant_with`], once.
    ///
    /// # Errors
    /// As [`Db::grant_with`], and those of [`Operation`].
    pub fn grant_with(&self, options: GrantOptions) -> Result<OnceResponse<Lease>> {
        let granted = self.db.engine().grant_once(options, Some(self.request))?;
        let Granted { id, ttl, revision, replay } = granted;
        let response = Lease { db: self.db.clone(), id, granted: Some((ttl, revision)) };
        Ok(answer(response, revision, replay))
    }

    /// As [`Lease::revoke`], once.
    ///
    /// # Errors
    /// As [`Lease::revoke`], and those of [`Operation`].
    pub fn revoke(&self, lease: impl Into<LeaseId>) -> Result<OnceResponse<Revision>> {
        self.submit(Kind::Revoke { id: lease.into(), cause: Cause::Owner }, |response| match response {
            Response::Revoke(response) => Some((response.revision, response.revision)),
            _ => None,
        })
    }

    /// As [`Cursor::advance`](crate::Cursor::advance), once; beside other writes it is an operation of
    /// [`Operation::execute`].
    ///
    /// # Errors
    /// As [`Cursor::advance`](crate::Cursor::advance), and those of [`Operation`].
    pub fn advance(
        &self,
        cursor: impl AsRef<[u8]>,
        from: impl Into<Revision>,
        to: impl Into<Revision>,
    ) -> Result<OnceResponse<Revision>> {
        let to = to.into();
        let done = self.execute(Txn::new().then([Op::advance(cursor, from, to)]))?;
        let OnceResponse { revision, replayed, truncated, .. } = done;
        Ok(OnceResponse { response: to, revision, replayed, truncated })
    }

    /// As [`CursorBuilder::create`], once: the position of the cursor. A repetition gets the first one's, wherever the
    /// cursor is by now, or if it is dropped.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// let operation = db.operation(db.draw_operation_id()).since(db.revision());
    /// let position = operation.create_cursor(db.cursor("mailer", etclite::prefix("orders/")))?.response;
    /// db.open_cursor("mailer")?.drop_cursor()?;
    /// let again = operation.create_cursor(db.cursor("mailer", etclite::prefix("orders/")))?;
    /// assert!(again.replayed && again.response == position && db.cursors()?.is_empty());
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`CursorBuilder::create`], and those of [`Operation`].
    pub fn create_cursor(&self, cursor: CursorBuilder) -> Result<OnceResponse<Revision>> {
        self.submit_cursor(cursor.into_command(&self.db)?)
    }

    /// As [`Cursor::reset`](crate::Cursor::reset), once.
    ///
    /// # Errors
    /// As [`Cursor::reset`](crate::Cursor::reset), and those of [`Operation`].
    pub fn reset_cursor(&self, cursor: impl AsRef<[u8]>, to: impl Into<Revision>) -> Result<OnceResponse<Revision>> {
        let name = cursor_name(cursor.as_ref())?;
        self.submit_cursor(CursorCommand::Reset { name, to: to.into().get() })
    }

    /// As [`Cursor::drop_cursor`](crate::Cursor::drop_cursor), once.
    ///
    /// # Errors
    /// As [`Cursor::drop_cursor`](crate::Cursor::drop_cursor), and those of [`Operation`].
    pub fn drop_cursor(&self, cursor: impl AsRef<[u8]>) -> Result<OnceResponse<Revision>> {
        self.submit_cursor(CursorCommand::Drop { name: cursor_name(cursor.as_ref())? })
    }

    fn submit_cursor(&self, command: CursorCommand) -> Result<OnceResponse<Revision>> {
        self.submit(Kind::Cursor(command), |response| match response {
            Response::Cursor(response) => Some((response.revision, response.position)),
            _ => None,
        })
    }

    /// `pick` takes revision and answer.
    fn submit<T>(&self, kind: Kind, pick: fn(Response) -> Option<(Revision, T)>) -> Result<OnceResponse<T>> {
        let Answer { response, replay } = self.db.engine().submit_once(kind, Some(self.request))?;
        // The fingerprint matched, so the remembered answer is of the same kind.
        let picked = pick(response).ok_or_else(|| Error::corrupt("state", 0, "an answer of another kind"))?;
        Ok(answer(picked.1, picked.0, replay))
    }
}

fn answer<T>(response: T, revision: Revision, replay: Option<Replay>) -> OnceResponse<T> {
    let truncated = replay.is_some_and(|replay| replay.truncated);
    OnceResponse { response, revision, replayed: replay.is_some(), truncated }
}

fn cursor_name(name: &[u8]) -> Result<Bytes> {
    check_name(name)?;
    Ok(Bytes::copy_from_slice(name))
}
