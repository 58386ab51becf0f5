//! Several operations by one call and one durable commit.
//!
//! Writes are only ordered one after another, which costs no I/O; then the last one's publication is waited for, which
//! takes all of them along. What reads waits for the writes before it first: what is not durable is shown to nobody, not
//! to its writer either.
//!
//! ```text
//! put  put  delete  range  put  txn
//! |-- ordered --|          |ordered|
//!        one sync, then it reads   one sync
//! ```
//!
//! A renewal reads: it is answered by the leases that there are, at a revision that is visible. So it waits for the writes
//! before it, as a range does, and a write behind it, which may end the lease, for its mark. Renewals in a row are marked
//! together: by one sync, or by none if all were marked before.

use std::time::Duration;

use crate::db::{CompactResponse, Db};
use crate::engine::apply::Response;
use crate::engine::command::{Cause, Kind};
use crate::engine::commit::Ticket;
use crate::engine::leases::Started;
use crate::error::{Error, Result};
use crate::kv::{LeaseId, Revision};
use crate::op::{GrantOptions, GrantResponse, Op, OpResponse, Txn, check_key};

/// One operation of a [batch](Db::batch). Whatever is an [`Op`] is one, too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchOp {
    /// What a txn can do, here by itself: with its own revision.
    Op(Op),
    /// As [`Db::compact`].
    Compact(Revision),
    /// As [`Lease::keep_alive`](crate::Lease::keep_alive).
    KeepAlive(LeaseId),
}

impl<T: Into<Op>> From<T> for BatchOp {
    fn from(op: T) -> Self {
        BatchOp::Op(op.into())
    }
}

/// The answer to one operation of a [batch](Db::batch).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchResponse {
    /// Of an [`Op`].
    Op(OpResponse),
    /// Of a compaction.
    Compact(CompactResponse),
    /// Of a renewal.
    KeepAlive {
        /// The store's revision before it.
        revision: Revision,
        /// The lease.
        id: LeaseId,
        /// The time to live that was granted, and has begun anew.
        ttl: Duration,
    },
}

impl BatchResponse {
    /// The revision of the header, as etcd calls it: the one that the operation made, or if it changed no key the store's
    /// when it was done.
    pub fn revision(&self) -> Revision {
        match self {
            BatchResponse::Op(response) => response.revision(),
            BatchResponse::Compact(response) => response.revision,
            BatchResponse::KeepAlive { revision, .. } => *revision,
        }
    }
}

impl Db {
    /// Does several operations in order, each by itself: with its own revision and its own answer, at its place in the
    /// list. One that fails does not stop the next. All are durable on return, by one commit: as fast as a txn, and yet
    /// not one.
    ///
    /// What reads sees everything before it in the list, so it waits for that to be durable: the writes up to it have one
    /// commit, those behind it another. Reading are a range, a txn that can only read, and a renewal; of renewals in a row
    /// those that must be durable share a commit. Other threads' writes may come in between any two operations.
    ///
    /// The list may be of any length. After 4096 writes, and when they fill a frame of the log, there is a commit in
    /// between; a crash keeps some first part of the list, in order. [`Options::write_timeout`](crate::Options::write_timeout)
    /// is for all of it.
    ///
    /// etcd has nothing like it; its clients send many requests at a time, whose order is open.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{BatchOp, Delete, Put, Range};
    /// let ops = [BatchOp::from(Put::new("a", "1")), Put::new("", "2").into(), Delete::new("a").into(), Range::new("a").into()];
    /// let answers = db.batch(ops);
    /// assert_eq!(answers[0].as_ref().map(|put| put.revision().get()).ok(), Some(2));
    /// assert!(answers[1].is_err(), "an empty key, which stops nobody");
    /// assert_eq!(answers[2].as_ref().map(|delete| delete.revision().get()).ok(), Some(3));
    /// assert!(answers[3].is_ok());
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of each operation those that it has by itself. If making the writes durable fails, each that was not durable by
    /// then answers [`Error::Indeterminate`], or [`Error::Poisoned`] if it surely was not written, and what reads behind
    /// them [`Error::Poisoned`], as it cannot see them.
    pub fn batch(&self, ops: impl IntoIterator<Item = impl Into<BatchOp>>) -> Vec<Result<BatchResponse>> {
        // All of them first: whatever the iterator does, nobody waits for it with writes under way.
        let ops: Vec<BatchOp> = ops.into_iter().map(Into::into).collect();
        let mut run = Run::new(self, ops.len());
        ops.into_iter().for_each(|op| run.add(op));
        run.renew();
        run.settle();
        run.answers
    }
}

/// A batch on its way.
struct Run<'d> {
    db: &'d Db,
    /// In order; those of writes that are not waited for yet may not be told.
    answers: Vec<Result<BatchResponse>>,
    /// The places of those, each with what must be published first.
    ordered: Vec<(usize, Ticket)>,
    /// The places of renewals in a row that are not done yet. There are none while writes are ordered and not waited for.
    renewals: Vec<(usize, LeaseId)>,
    /// What the ordered writes began.
    started: Started,
    /// What waiting for room may still take.
    patience: Duration,
    /// Writes of the batch were lost on their way to the disk.
    lost: bool,
}

/// How many writes are ordered before they are waited for: what is not published is held in memory. So many renewals are
/// done together, too.
const ORDERED_MAX: usize = 4096;

/// What a write answers once what the ticket names is published.
type Ordered<T> = (Result<T>, Ticket);

impl<'d> Run<'d> {
    fn new(db: &'d Db, count: usize) -> Self {
        let patience = db.engine().options.write_timeout;
        let answers = Vec::with_capacity(count);
        let (ordered, renewals) = (Vec::new(), Vec::new());
        Run { db, answers, ordered, renewals, started: Started::default(), patience, lost: false }
    }

    fn add(&mut self, op: BatchOp) {
        if let BatchOp::KeepAlive(id) = op {
            return self.add_renewal(id);
        }
        self.renew();
        if matches!(&op, BatchOp::Op(op) if self.db.only_reads(op)) {
            self.settle();
            let answer = if self.lost { Err(Error::Poisoned) } else { self.read(op) };
            return self.answers.push(answer);
        }
        match self.write(op) {
            Ok((answer, ticket)) => {
                self.ordered.push((self.answers.len(), ticket));
                self.answers.push(answer);
            }
            Err(error) => self.answers.push(Err(error)),
        }
        if self.ordered.len() >= ORDERED_MAX {
            self.settle();
        }
    }

    fn add_renewal(&mut self, id: LeaseId) {
        self.settle();
        self.renewals.push((self.answers.len(), id));
        // Until it is done.
        self.answers.push(Err(Error::Poisoned));
        if self.renewals.len() >= ORDERED_MAX {
            self.renew();
        }
    }

    /// Does the renewals of a row. The revision is read first, so that no lease is seen alive at a revision after its end.
    fn renew(&mut self) {
        if self.renewals.is_empty() || self.lost {
            return self.renewals.clear();
        }
        let revision = self.db.revision();
        let ids: Vec<LeaseId> = self.renewals.iter().map(|(_, id)| *id).collect();
        for ((at, id), renewed) in self.renewals.drain(..).zip(self.db.engine().keep_all_alive(&ids)) {
            self.answers[at] = renewed.map(|ttl| BatchResponse::KeepAlive { revision, id, ttl });
        }
    }

    fn read(&self, op: BatchOp) -> Result<BatchResponse> {
        let response = match op {
            BatchOp::Op(Op::Range(range)) => OpResponse::Range(self.db.query(range)?),
            BatchOp::Op(Op::Txn(txn)) => OpResponse::Txn(self.db.execute(txn)?),
            other => unreachable!("not a read: {other:?}"),
        };
        Ok(BatchResponse::Op(response))
    }

    fn write(&mut self, op: BatchOp) -> Result<Ordered<BatchResponse>> {
        let (answer, ticket) = match op {
            BatchOp::Op(op) => self.write_op(op)?,
            BatchOp::Compact(revision) => {
                let (answer, ticket) = self.order(Kind::Compact { revision })?;
                let compacted = |response| match response {
                    // How far it has come by then is seen then.
                    Response::Done(revision) => CompactResponse { revision, compact_revision: Revision::ZERO },
                    other => unreachable!("a compaction answers {other:?}"),
                };
                return Ok((answer.map(compacted).map(BatchResponse::Compact), ticket));
            }
            BatchOp::KeepAlive(_) => unreachable!("a renewal is not ordered here"),
        };
        Ok((answer.map(BatchResponse::Op), ticket))
    }

    fn write_op(&mut self, op: Op) -> Result<Ordered<OpResponse>> {
        let is_advance = matches!(op, Op::Advance(_));
        let kind = match op {
            Op::Put(put) => {
                put.check()?;
                Kind::Put(put)
            }
            Op::Delete(delete) => {
                check_key(&delete.range.start)?;
                Kind::Delete(delete)
            }
            Op::Revoke(id) => Kind::Revoke { id, cause: Cause::Owner },
            Op::Grant(grant) => return self.grant(grant),
            Op::Txn(txn) => Kind::Txn(self.db.checked_txn(txn)?),
            // Advances are operations of a txn only.
            Op::Advance(_) => Kind::Txn(self.db.checked_txn(Txn::new().then([op]).finish())?),
            Op::Range(_) => unreachable!("a range is not ordered"),
        };
        let (answer, ticket) = self.order(kind)?;
        let response = |response| match response {
            Response::Put(response) => OpResponse::Put(response),
            Response::Delete(response) => OpResponse::Delete(response),
            Response::Revoke(response) => OpResponse::Revoke(response),
            Response::Txn(mut response) if is_advance => {
                response.responses.pop().expect("one answer for one operation")
            }
            Response::Txn(response) => OpResponse::Txn(response),
            other => unreachable!("an operation answers {other:?}"),
        };
        Ok((answer.map(response), ticket))
    }

    fn grant(&mut self, options: GrantOptions) -> Result<Ordered<OpResponse>> {
        let (answer, ticket) = self.db.engine().place_grant(options, None, &mut self.patience)?;
        let answer = answer.map(|granted| {
            self.started.add_grant(granted.id);
            OpResponse::Grant(GrantResponse { revision: granted.revision, id: granted.id, ttl: granted.ttl })
        });
        Ok((answer, ticket))
    }

    fn order(&mut self, kind: Kind) -> Result<Ordered<Response>> {
        let started = Started::of(&kind);
        let (answer, ticket) = self.db.engine().place(kind, None, &mut self.patience)?;
        let answer = answer.map(|answer| answer.response);
        if let Ok(response) = &answer {
            self.started.append(started.with(response));
        }
        Ok((answer, ticket))
    }

    /// Waits for all that is ordered, by one commit unless a full frame was written before.
    fn settle(&mut self) {
        let engine = self.db.engine();
        let last = self.ordered.iter().fold(Ticket::default(), |last, (_, ticket)| last.max(*ticket));
        let published = engine.wait(last).is_ok();
        let mut compacted = Vec::new();
        for (at, ticket) in self.ordered.drain(..) {
            let answer = &mut self.answers[at];
            // Of writes that went through in part, each says what became of itself.
            if let Err(error) = engine.wait(ticket) {
                *answer = Err(error);
                self.lost = true;
            } else if matches!(answer, Ok(BatchResponse::Compact(_))) {
                compacted.push(at);
            }
        }
        let started = std::mem::take(&mut self.started);
        if published {
            engine.note_late(&started);
        }
        if !compacted.is_empty() {
            let compact_revision = self.db.follow_compaction();
            for at in compacted {
                if let Ok(BatchResponse::Compact(response)) = &mut self.answers[at] {
                    response.compact_revision = compact_revision;
                }
            }
        }
    }
}
