//! What guards a write: fences, which must hold, and an operation id, which makes it happen once.

use serde_json::Value;

use super::super::answer::{Answer, Problem};
use super::super::request::{Fields, ill_typed, missing};
use super::Call;
use crate::cli::json::{Bytes, Object, lease_text, set_bytes};
use crate::error::Result;
use crate::{
    Db, Delete, DeleteResponse, OnceResponse, Op, OpResponse, Operation, Put, PutOptions, PutResponse, Revision, Token,
    Txn, TxnResponse, stage,
};

/// Takes a fencing token.
pub(super) fn take_token(fields: &mut Fields) -> Result<Token, Problem> {
    let token = Token::new(fields.need_bytes("key")?, fields.need_revision("revision")?, fields.need_lease("lease")?);
    fields.finish()?;
    Ok(token)
}

/// A token as it is told.
pub(super) fn token_object(token: &Token, form: Bytes) -> Value {
    let mut object = Object::new();
    set_bytes(&mut object, "key", &token.key, form);
    object.insert("revision".into(), token.revision.get().into());
    object.insert("lease".into(), lease_text(token.lease).into());
    Value::Object(object)
}

/// What a write is answered with, and whether that was so before.
pub(super) struct Once<T> {
    pub(super) response: T,
    replayed: bool,
    truncated: bool,
}

impl<T> Once<T> {
    fn first(response: T) -> Once<T> {
        Once { response, replayed: false, truncated: false }
    }

    /// Tells of a repetition.
    pub(super) fn mark(&self, answer: Answer) -> Answer {
        answer.maybe("replayed", self.replayed.then_some(true)).maybe("truncated", self.truncated.then_some(true))
    }

    fn map<U>(self, map: impl FnOnce(T) -> U) -> Once<U> {
        let Once { response, replayed, truncated } = self;
        Once { response: map(response), replayed, truncated }
    }
}

impl<T> From<OnceResponse<T>> for Once<T> {
    fn from(once: OnceResponse<T>) -> Self {
        let OnceResponse { response, replayed, truncated, .. } = once;
        Once { response, replayed, truncated }
    }
}

/// The guards of one write.
pub(super) struct Guards {
    fences: Vec<Token>,
    id: Option<u128>,
    since: Option<Revision>,
}

impl Guards {
    /// `fence?` and `O`.
    pub(super) fn take(fields: &mut Fields) -> Result<Guards, Problem> {
        let fences = fields.one_or_more("fence")?.iter_mut().map(take_token).collect::<Result<_, _>>()?;
        Ok(Guards { fences, ..Guards::take_id(fields)? })
    }

    /// `O`: `op_id?`, 32 hex digits and not zero, and `since?`.
    pub(super) fn take_id(fields: &mut Fields) -> Result<Guards, Problem> {
        let (text, since) = (fields.text("op_id")?, fields.count("since")?.map(Revision::new));
        let is_hex = |text: &String| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = text.as_ref().map(|text| match u128::from_str_radix(text, 16) {
            Ok(id) if id != 0 && is_hex(text) => Ok(id),
            _ => Err(ill_typed("op_id", "32 hex digits, not all of them zero")),
        });
        match id.transpose()? {
            None if since.is_some() => Err(missing("op_id")),
            id => Ok(Guards { fences: Vec::new(), id, since }),
        }
    }

    /// The operation that an id makes of a write.
    fn operation(&self, db: &Db) -> Option<Operation> {
        let operation = db.operation(self.id?);
        Some(match self.since {
            Some(since) => operation.since(since),
            None => operation,
        })
    }

    pub(super) fn put(&self, call: &Call<'_>, put: (Vec<u8>, Vec<u8>, PutOptions)) -> Result<Once<PutResponse>> {
        let (key, value, options) = put;
        let db = call.db();
        if !self.fences.is_empty() {
            let response = self.execute(call, |txn| txn.then([Put::with(key, value, options)]).finish())?;
            return Ok(response.map(|response| match only(response) {
                OpResponse::Put(put) => put,
                other => unreachable!("a put answers {other:?}"),
            }));
        }
        match self.operation(&db) {
            Some(operation) => Ok(operation.put_with(key, value, options)?.into()),
            None => Ok(Once::first(db.put_with(key, value, options)?)),
        }
    }

    pub(super) fn delete(&self, call: &Call<'_>, delete: Delete) -> Result<Once<DeleteResponse>> {
        let db = call.db();
        if !self.fences.is_empty() {
            let response = self.execute(call, |txn| txn.then([Op::from(delete)]).finish())?;
            return Ok(response.map(|response| match only(response) {
                OpResponse::Delete(delete) => delete,
                other => unreachable!("a delete answers {other:?}"),
            }));
        }
        match self.operation(&db) {
            Some(operation) => Ok(operation.delete_with(delete)?.into()),
            None => Ok(Once::first(db.delete_with(delete)?)),
        }
    }

    /// Runs the txn that `build` makes of one that has its fences.
    pub(super) fn execute(
        &self,
        call: &Call<'_>,
        build: impl FnOnce(Txn<stage::Start>) -> Txn,
    ) -> Result<Once<TxnResponse>> {
        let db = call.db();
        let txn = build(self.fences.iter().fold(Txn::new(), |txn, fence| txn.fenced(fence)));
        match self.operation(&db) {
            Some(operation) => Ok(operation.execute(txn)?.into()),
            None => Ok(Once::first(db.execute(txn)?)),
        }
    }

    /// A write that takes no fence.
    pub(super) fn once<T>(
        &self,
        db: &Db,
        with_id: impl FnOnce(&Operation) -> Result<OnceResponse<T>>,
        without: impl FnOnce(&Db) -> Result<T>,
    ) -> Result<Once<T>> {
        match self.operation(db) {
            Some(operation) => Ok(with_id(&operation)?.into()),
            None => Ok(Once::first(without(db)?)),
        }
    }
}

/// The answer of a txn's only operation.
fn only(response: TxnResponse) -> OpResponse {
    response.responses.into_iter().next().expect("the txn has no condition and one operation")
}
