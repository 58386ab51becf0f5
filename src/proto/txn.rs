//! Txns of both kinds: etcd's, and ours with fences, leases and cursors.
//!
//! The order of checks is etcd's (`checkTxnRequest`): of each level the budget, then the compares, then each operation of
//! the one branch and the other, into nested txns at their place. What involves several operations is found by the verb.

use bytes::Bytes;

use super::etcdserverpb as pb;
use super::etcdserverpb::request_op::Request;
use super::etclitepb as our;
use super::request::{self, LateSort, argument, millis, positive};
use crate::db::Db;
use crate::error::code::TXN_OPS;
use crate::error::{Error, Invalid, Result};
use crate::kv::{LeaseId, Revision};
use crate::op::{Advance, Compare, GrantOptions, Op, OpResponse, Put, Range, Token, Txn, TxnResponse};

/// A txn, and what is left to do with its answer.
pub(super) struct Plan {
    pub(super) txn: Txn,
    pub(super) afterwards: Afterwards,
}

/// What messages can ask for and an operation cannot say.
#[derive(Default)]
pub(super) struct Afterwards {
    /// Where a range is that is sorted late: for each level the branch and the place in it.
    late_sorts: Vec<(Vec<Place>, LateSort)>,
    /// The revisions that ranges name, in order; none that is zero.
    revisions: Vec<i64>,
}

/// An operation of the one branch (true: the compares held) or the other, by its place.
type Place = (bool, usize);

/// Reads a txn request, level by level.
struct Reader<'d> {
    db: &'d Db,
    path: Vec<Place>,
    afterwards: Afterwards,
}

/// A txn request of etcd's.
pub(super) fn plan(db: &Db, request: pb::TxnRequest) -> Result<Plan> {
    let mut reader = Reader { db, path: Vec::new(), afterwards: Afterwards::default() };
    let txn = reader.txn(request, db.engine().options.txn_ops_max)?;
    Ok(Plan { txn, afterwards: reader.afterwards })
}

/// A txn request of ours; the operation id of the outermost one is the caller's affair.
pub(super) fn plan_ours(db: &Db, request: our::TxnRequest) -> Result<Plan> {
    let mut reader = Reader { db, path: Vec::new(), afterwards: Afterwards::default() };
    let txn = reader.our_txn(request, db.engine().options.txn_ops_max)?;
    Ok(Plan { txn, afterwards: reader.afterwards })
}

impl Afterwards {
    /// Gives an answer what the operations could not ask for.
    pub(super) fn finish(&self, response: &mut TxnResponse) {
        for (path, late_sort) in &self.late_sorts {
            if let Some(range) = range_at(response, path) {
                late_sort.finish(range);
            }
        }
    }

    /// A negative revision was passed on as one far in the future; etcd calls it compacted (TX-11). The first operation
    /// that fails decides. Of the ranges of a branch that was not taken nothing is known here: should one of those come
    /// first, its kind of error is told.
    pub(super) fn error(&self, db: &Db, error: Error) -> Error {
        let Error::FutureRevision { current } = error else { return error };
        let is_future = |revision: i64| revision < 0 || positive(revision) > current.get();
        match self.revisions.iter().find(|revision| is_future(**revision)) {
            Some(..0) => Error::Compacted { compacted: db.compact_revision() },
            _ => error,
        }
    }
}

/// The answer of the range at that place, if it was run.
fn range_at<'r>(response: &'r mut TxnResponse, path: &[Place]) -> Option<&'r mut crate::op::RangeResponse> {
    let (&(branch, index), rest) = path.split_first()?;
    if response.succeeded != branch {
        return None;
    }
    match response.responses.get_mut(index)? {
        OpResponse::Range(range) => Some(range),
        OpResponse::Txn(nested) => range_at(nested, rest),
        _ => None,
    }
}

impl Reader<'_> {
    fn txn(&mut self, request: pb::TxnRequest, budget: usize) -> Result<Txn> {
        let pb::TxnRequest { compare, success, failure } = request;
        let left = self.spend(budget, [compare.len(), success.len(), failure.len()])?;
        let compares = compare.into_iter().map(request::compare).collect::<Result<_>>()?;
        let then = self.branch(success, true, |reader, op| reader.op(op, left))?;
        let or_else = self.branch(failure, false, |reader, op| reader.op(op, left))?;
        Ok(Txn::from_parts(compares, then, or_else))
    }

    fn our_txn(&mut self, request: our::TxnRequest, budget: usize) -> Result<Txn> {
        let our::TxnRequest { fences, compare, success, failure, operation: _ } = request;
        let left = self.spend(budget, [compare.len(), success.len(), failure.len()])?;
        let compares = compare.into_iter().map(our_compare).collect::<Result<_>>()?;
        let then = self.branch(success, true, |reader, op| reader.our_op(op, left))?;
        let or_else = self.branch(failure, false, |reader, op| reader.our_op(op, left))?;
        let mut txn = Txn::from_parts(compares, then, or_else);
        txn.fences = fences.into_iter().map(token).collect();
        Ok(txn)
    }

    /// Takes a level's longest list off the budget (TX-08); the verb does it again, but this bounds what is read.
    fn spend(&self, budget: usize, lens: [usize; 3]) -> Result<usize> {
        let count = lens.into_iter().max().unwrap_or(0);
        budget.checked_sub(count).ok_or_else(|| {
            let max = self.db.engine().options.txn_ops_max;
            Error::TooLarge { what: TXN_OPS, len: (max - budget + count) as u64, max: max as u64 }
        })
    }

    fn branch<T>(&mut self, ops: Vec<T>, branch: bool, read: impl Fn(&mut Self, T) -> Result<Op>) -> Result<Vec<Op>> {
        let mut read_one = |(index, op)| {
            self.path.push((branch, index));
            let read = read(self, op);
            self.path.pop();
            read
        };
        ops.into_iter().enumerate().map(&mut read_one).collect()
    }

    fn op(&mut self, op: pb::RequestOp, budget: usize) -> Result<Op> {
        match op.request.ok_or(Error::InvalidArgument(Invalid::KeyNotFound))? {
            Request::RequestRange(range) => Ok(Op::Range(self.range(range)?)),
            Request::RequestPut(put) => Ok(Op::Put(request::put(put)?)),
            Request::RequestDeleteRange(delete) => Ok(Op::Delete(request::delete(delete)?)),
            Request::RequestTxn(nested) => Ok(Op::Txn(self.txn(nested, budget)?)),
        }
    }

    fn our_op(&mut self, op: our::RequestOp, budget: usize) -> Result<Op> {
        use our::request_op::Request;
        match op.request.ok_or(Error::InvalidArgument(Invalid::KeyNotFound))? {
            Request::Range(range) => Ok(Op::Range(self.range(range)?)),
            Request::Put(put) => {
                check_inner(&put.fences, put.operation)?;
                Ok(Op::Put(our_put(put.put, put.ttl_ms)?))
            }
            Request::DeleteRange(delete) => Ok(Op::Delete(request::delete(delete)?)),
            Request::Txn(nested) => {
                check_inner(&nested.fences, nested.operation)?;
                Ok(Op::Txn(self.our_txn(nested, budget)?))
            }
            Request::Grant(grant) => {
                check_inner(&[], grant.operation)?;
                Ok(Op::Grant(our_grant(&grant)))
            }
            Request::Revoke(id) => Ok(Op::Revoke(LeaseId::new(id))),
            Request::Advance(advance) => {
                check_inner(&[], advance.operation)?;
                Ok(Op::Advance(our_advance(advance.name, advance.from, advance.to)))
            }
        }
    }

    /// A range inside a txn. Of negative revisions only -1 is the latest, while nothing was compacted (TX-11).
    fn range(&mut self, request: pb::RangeRequest) -> Result<Range> {
        let revision = request.revision;
        let mut plan = request::range(request)?;
        if revision < 0 && !(revision == -1 && self.db.compact_revision() == Revision::ZERO) {
            plan.range.at = Revision::new(u64::MAX);
        }
        if revision != 0 && (revision > 0 || plan.range.at != Revision::ZERO) {
            self.afterwards.revisions.push(revision);
        }
        if let Some(late_sort) = plan.late_sort {
            self.afterwards.late_sorts.push((self.path.clone(), late_sort));
        }
        Ok(plan.range)
    }
}

/// Refuses inside a txn what only a whole request has.
fn check_inner(fences: &[our::Token], operation: Option<our::Operation>) -> Result<()> {
    if !fences.is_empty() {
        return Err(argument("only the outermost txn takes fences"));
    }
    if operation.is_some() {
        return Err(argument("only the outermost txn takes an operation id"));
    }
    Ok(())
}

pub(super) fn token(token: our::Token) -> Token {
    let our::Token { key, revision, lease } = token;
    Token { key, revision: Revision::new(positive(revision)), lease: LeaseId::new(lease) }
}

pub(super) fn our_put(put: Option<pb::PutRequest>, ttl_ms: Option<i64>) -> Result<Put> {
    let mut put = request::put(put.unwrap_or_default())?;
    put.options.ttl = ttl_ms.map(millis);
    put.check()?;
    Ok(put)
}

pub(super) fn our_grant(grant: &our::LeaseGrantRequest) -> GrantOptions {
    GrantOptions::new(millis(grant.ttl_ms)).id(grant.id).lock_delay(millis(grant.lock_delay_ms))
}

pub(super) fn our_advance(name: Bytes, from: i64, to: i64) -> Advance {
    Advance { name, from: Revision::new(positive(from)), to: Revision::new(positive(to)) }
}

fn our_compare(compare: our::Compare) -> Result<Compare> {
    use our::compare::Compare as Kind;
    match compare.compare.ok_or_else(|| argument("a compare asks for something"))? {
        Kind::Etcd(compare) => request::compare(compare),
        Kind::Held(held) => {
            let held = token(held);
            crate::op::check_key(&held.key)?;
            Ok(Compare::held(held))
        }
        Kind::LeaseAlive(id) => Ok(Compare::lease_alive(id)),
    }
}
