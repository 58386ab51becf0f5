//! Writes: one operation and the form that its answer takes, whether it comes alone, in a batch, or under an operation id.
//!
//! ```text
//!   bytes --read--> Write { op, operation, form } --one verb, or Db::batch--> OpResponse --form--> Reply
//! ```

use std::time::Duration;

use super::etcdserverpb as pb;
use super::etclitepb as our;
use super::identity::{Identity, wire_count, wire_revision};
use super::reply::Reply;
use super::request::{self, argument, decode, positive};
use super::response::{self, seconds_up, wire_millis};
use super::txn::{self, Afterwards, our_advance, our_grant, our_put};
use crate::db::{BatchOp, BatchResponse, Db, Operation};
use crate::error::Result;
use crate::kv::{LeaseId, Revision};
use crate::op::{
    AdvanceResponse, DeleteResponse, GrantOptions, GrantResponse, OnceResponse, Op, OpResponse, OperationId,
    PutResponse, RevokeResponse, Token, Txn, TxnResponse,
};

/// A write that was read from a message.
pub(super) struct Write {
    pub(super) op: Op,
    pub(super) operation: Option<our::Operation>,
    pub(super) form: Form,
}

/// How a write is answered.
pub(super) struct Form {
    message: Message,
    /// Of a txn: what messages can ask for and operations cannot.
    afterwards: Option<Afterwards>,
}

/// The message that a write is answered with.
#[derive(Clone, Copy)]
enum Message {
    Put,
    DeleteRange,
    Txn,
    Grant,
    Revoke,
    OurPut,
    OurDeleteRange,
    OurTxn,
    OurGrant,
    OurRevoke,
    OurAdvance,
}

impl Write {
    fn new(op: impl Into<Op>, message: Message) -> Self {
        Write { op: op.into(), operation: None, form: Form { message, afterwards: None } }
    }

    fn txn(plan: txn::Plan, message: Message) -> Self {
        let afterwards = Some(plan.afterwards);
        Write { op: Op::Txn(plan.txn), operation: None, form: Form { message, afterwards } }
    }

    fn once(self, operation: Option<our::Operation>) -> Self {
        Write { operation, ..self }
    }

    /// A single write behind fences is a txn of its own.
    fn fenced(self, fences: Vec<our::Token>) -> Self {
        if fences.is_empty() {
            return self;
        }
        let fences: Vec<Token> = fences.into_iter().map(txn::token).collect();
        let txn = fences.iter().fold(Txn::new(), Txn::fenced).then([self.op]);
        Write { op: txn.into(), ..self }
    }

    /// The write that the bytes are; `None` if the operation is none, or one that orders others (a compaction).
    pub(super) fn read(db: &Db, operation: u32, bytes: &[u8]) -> Result<Option<Write>> {
        Ok(Some(match operation {
            super::PUT => Write::new(request::put(decode(bytes)?)?, Message::Put),
            super::DELETE_RANGE => Write::new(request::delete(decode(bytes)?)?, Message::DeleteRange),
            super::TXN => Write::txn(txn::plan(db, decode(bytes)?)?, Message::Txn),
            super::LEASE_GRANT => Write::new(grant_of_seconds(&decode(bytes)?), Message::Grant),
            super::LEASE_REVOKE => {
                let pb::LeaseRevokeRequest { id } = decode(bytes)?;
                Write::new(Op::Revoke(LeaseId::new(id)), Message::Revoke)
            }
            super::PUT_WITH..=super::TXN_WITH | super::LEASE_GRANT_MS..=super::LEASE_REVOKE_WITH => {
                Write::read_ours(db, operation, bytes)?
            }
            super::CURSOR_ADVANCE => {
                let our::CursorAdvanceRequest { name, from, to, operation } = decode(bytes)?;
                Write::new(Op::Advance(our_advance(name, from, to)), Message::OurAdvance).once(operation)
            }
            _ => return Ok(None),
        }))
    }

    fn read_ours(db: &Db, operation: u32, bytes: &[u8]) -> Result<Write> {
        Ok(match operation {
            super::PUT_WITH => {
                let our::PutRequest { put, ttl_ms, fences, operation } = decode(bytes)?;
                Write::new(our_put(put, ttl_ms)?, Message::OurPut).fenced(fences).once(operation)
            }
            super::DELETE_RANGE_WITH => {
                let our::DeleteRangeRequest { delete_range, fences, operation } = decode(bytes)?;
                let delete = request::delete(delete_range.unwrap_or_default())?;
                Write::new(delete, Message::OurDeleteRange).fenced(fences).once(operation)
            }
            super::TXN_WITH => {
                let request: our::TxnRequest = decode(bytes)?;
                let operation = request.operation;
                Write::txn(txn::plan_ours(db, request)?, Message::OurTxn).once(operation)
            }
            super::LEASE_GRANT_MS => {
                let request: our::LeaseGrantRequest = decode(bytes)?;
                Write::new(our_grant(&request), Message::OurGrant).once(request.operation)
            }
            _ => {
                let our::LeaseRevokeRequest { id, operation } = decode(bytes)?;
                Write::new(Op::Revoke(LeaseId::new(id)), Message::OurRevoke).once(operation)
            }
        })
    }

    /// Does it, by the verb of its kind.
    pub(super) fn run(self, db: &Db) -> Result<Reply> {
        let Write { op, operation, form } = self;
        match operation {
            None => form.answer(db, run(db, op), None),
            Some(operation) => match run_once(db, op, operation) {
                Ok((response, replay)) => form.answer(db, Ok(response), Some(replay)),
                Err(error) => form.answer(db, Err(error), None),
            },
        }
    }
}

/// Nobody who counts in seconds means a lease of a millisecond by none, or by fewer.
fn grant_of_seconds(request: &pb::LeaseGrantRequest) -> GrantOptions {
    GrantOptions::new(Duration::from_secs(positive(request.ttl).max(1))).id(request.id)
}

fn run(db: &Db, op: Op) -> Result<OpResponse> {
    match op {
        Op::Put(put) => Ok(OpResponse::Put(db.engine().submit_put(put, None)?.0)),
        Op::Delete(delete) => Ok(OpResponse::Delete(db.delete_with(delete)?)),
        Op::Txn(txn) => Ok(OpResponse::Txn(db.execute(txn)?)),
        Op::Grant(options) => {
            let (id, ttl, revision) = db.engine().grant(options)?;
            Ok(OpResponse::Grant(GrantResponse { revision, id, ttl }))
        }
        other => match db.batch([BatchOp::Op(other)]).pop() {
            Some(Ok(BatchResponse::Op(response))) => Ok(response),
            Some(Err(error)) => Err(error),
            other => unreachable!("an operation answers {other:?}"),
        },
    }
}

/// The same under an operation id. A revoke tells no count then.
fn run_once(db: &Db, op: Op, operation: our::Operation) -> Result<(OpResponse, our::Replay)> {
    let once = once(db, operation);
    Ok(match op {
        Op::Put(put) => told(once.put_checked(put)?, |put, _| OpResponse::Put(put)),
        Op::Delete(delete) => told(once.delete_with(delete)?, |deleted, _| OpResponse::Delete(deleted)),
        Op::Txn(txn) => told(once.execute(txn)?, |txn, _| OpResponse::Txn(txn)),
        Op::Grant(options) => told(once.grant_with(options)?, |lease, revision| {
            let ttl = lease.granted().unwrap_or(options.ttl);
            OpResponse::Grant(GrantResponse { revision, id: lease.id(), ttl })
        }),
        Op::Revoke(id) => {
            told(once.revoke(id)?, |_, revision| OpResponse::Revoke(RevokeResponse { revision, deleted: 0 }))
        }
        Op::Advance(advance) => {
            let done = once.advance(&advance.name, advance.from, advance.to)?;
            told(done, |position, revision| OpResponse::Advance(AdvanceResponse { revision, position }))
        }
        Op::Range(_) => return Err(argument("a read takes no operation id")),
    })
}

/// The write of that id.
pub(super) fn once(db: &Db, operation: our::Operation) -> Operation {
    let our::Operation { high, low, since } = operation;
    let once = db.operation(OperationId::new(u128::from(high) << 64 | u128::from(low)));
    match since {
        Some(since) => once.since(positive(since)),
        None => once,
    }
}

/// What a write under an id answers, made of its response and its revision, and whether that is a repetition.
pub(super) fn told<T, A>(done: OnceResponse<T>, answer: impl FnOnce(T, Revision) -> A) -> (A, our::Replay) {
    let OnceResponse { response, revision, replayed, truncated } = done;
    (answer(response, revision), our::Replay { replayed, truncated })
}

impl Form {
    /// The reply that tells how the write ended.
    pub(super) fn answer(self, db: &Db, ended: Result<OpResponse>, replay: Option<our::Replay>) -> Result<Reply> {
        let identity = Identity::of(db);
        let response = match (ended, &self.afterwards) {
            (Ok(OpResponse::Txn(mut txn)), Some(afterwards)) => {
                afterwards.finish(&mut txn);
                OpResponse::Txn(txn)
            }
            (Err(error), Some(afterwards)) => return Err(afterwards.error(db, error)),
            (ended, _) => ended?,
        };
        // What was answered under an operation id is itself kept.
        let may_have_written = replay.is_some() || response.may_have_written();
        let reply = match (self.message, response) {
            (Message::Put, OpResponse::Put(put)) => Ok(Reply::put(identity, put)),
            (Message::OurPut | Message::OurDeleteRange, OpResponse::Txn(fenced)) => {
                Ok(self.message.single(identity, unfenced(self.message, fenced), replay))
            }
            (Message::Txn, OpResponse::Txn(txn)) => {
                Ok(Reply::encode(&response::txn(identity.header(txn.revision), txn)?))
            }
            (Message::OurTxn, OpResponse::Txn(txn)) => {
                let txn = response::our_txn(identity.header(txn.revision), txn)?;
                Ok(Reply::encode(&our::TxnResponse { replay, ..txn }))
            }
            (message, response) => Ok(message.single(identity, response, replay)),
        };
        reply.map(|reply| reply.written(may_have_written))
    }
}

/// The one answer of a write that was fenced by a txn. A replay that was cut to its revision and counts has it, too.
fn unfenced(message: Message, txn: TxnResponse) -> OpResponse {
    let TxnResponse { revision, responses, .. } = txn;
    responses.into_iter().next().unwrap_or(match message {
        Message::OurDeleteRange => OpResponse::Delete(DeleteResponse { revision, deleted: 0, prev_kvs: Vec::new() }),
        _ => OpResponse::Put(PutResponse { revision, prev: None }),
    })
}

impl Message {
    /// The reply to a write that is no txn.
    fn single(self, identity: Identity, response: OpResponse, replay: Option<our::Replay>) -> Reply {
        let header = identity.header(response.revision());
        match (self, response) {
            (Message::DeleteRange, OpResponse::Delete(deleted)) => Reply::encode(&response::delete(header, deleted)),
            (Message::OurDeleteRange, OpResponse::Delete(deleted)) => {
                let response = Some(response::delete(header, deleted));
                Reply::encode(&our::DeleteRangeResponse { response, replay })
            }
            (Message::OurPut, OpResponse::Put(put)) => {
                let response = Some(response::put(header, put));
                Reply::encode(&our::PutResponse { response, replay })
            }
            (Message::Grant, OpResponse::Grant(granted)) => Reply::encode(&pb::LeaseGrantResponse {
                header: Some(header),
                id: granted.id.get(),
                ttl: seconds_up(granted.ttl),
                error: String::new(),
            }),
            (Message::OurGrant, OpResponse::Grant(granted)) => Reply::encode(&our::LeaseGrantResponse {
                header: Some(header),
                id: granted.id.get(),
                ttl_ms: wire_millis(granted.ttl),
                replay,
            }),
            (Message::Revoke, OpResponse::Revoke(_)) => {
                Reply::encode(&pb::LeaseRevokeResponse { header: Some(header) })
            }
            (Message::OurRevoke, OpResponse::Revoke(revoked)) => Reply::encode(&our::LeaseRevokeResponse {
                header: Some(header),
                deleted: wire_count(revoked.deleted),
                replay,
            }),
            (Message::OurAdvance, OpResponse::Advance(advanced)) => Reply::encode(&our::CursorAdvanceResponse {
                header: Some(header),
                position: wire_revision(advanced.position),
                replay,
            }),
            (_, other) => unreachable!("an operation of another kind answers {other:?}"),
        }
    }
}
