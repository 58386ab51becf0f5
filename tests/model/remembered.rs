//! The model's part of operation ids: a list of what was asked and answered.

use super::{Answer, Failure, GrantOp, Model, Op, TxnItem, TxnOp, check_duplicates};
use std::time::Duration;

/// How many operations are remembered, and for how long: so little that much is forgotten. Stores under test are opened
/// with these.
pub(crate) const OPERATION_IDS_MAX: usize = 4;
pub(crate) const OPERATION_IDS_AGE: Duration = Duration::from_millis(60);

/// An operation that took effect, oldest first in the model's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) id: u128,
    pub(crate) op: Op,
    pub(crate) revision: u64,
    answer: Answer,
    at_ms: u64,
}

impl Model {
    pub(crate) fn remembered(&self) -> &[Remembered] {
        &self.remembered
    }

    /// Shape first, then the id, then all that depends on the store.
    pub(crate) fn once(&mut self, id: u128, since: Option<u64>, op: &Op) -> Result<Answer, Failure> {
        self.check_once(op)?;
        let age_ms = u64::try_from(OPERATION_IDS_AGE.as_millis()).expect("short");
        let is_old = |known: &Remembered| known.at_ms + age_ms < self.now_ms;
        let expired = self.remembered.iter().filter(|known| is_old(known)).count();
        if let Some(known) = self.remembered.iter().skip(expired).find(|known| known.id == id) {
            let replay = Answer::Once { replayed: true, answer: Box::new(known.answer.clone()) };
            return if same_request(&known.op, op) { Ok(replay) } else { Err(Failure::OperationIdReused) };
        }
        let forgotten = self.remembered.iter().take(expired).map(|known| known.revision).chain([self.forgotten]).max();
        if let (Some(since), Some(forgotten)) = (since, forgotten)
            && forgotten > 0
            && since <= forgotten
        {
            return Err(Failure::Indeterminate);
        }
        let answer = self.apply(op)?;
        let dropped = expired.max((self.remembered.len() + 1).saturating_sub(OPERATION_IDS_MAX));
        for known in self.remembered.drain(..dropped) {
            self.forgotten = self.forgotten.max(known.revision);
        }
        let (revision, at_ms) = (self.revision, self.now_ms);
        self.remembered.push(Remembered { id, op: op.clone(), revision, answer: answer.clone(), at_ms });
        Ok(Answer::Once { replayed: false, answer: Box::new(answer) })
    }

    /// What is wrong with a request whatever the store holds.
    fn check_once(&self, op: &Op) -> Result<(), Failure> {
        match op {
            Op::Put(put) => put.check_shape(),
            Op::Delete(delete) => delete.span.check_key(),
            Op::Txn(txn) => {
                txn.check_shape(self.max_txn_ops)?;
                check_duplicates(&txn.then)?;
                check_duplicates(&txn.or_else)?;
                if can_write(txn) { Ok(()) } else { Err(Failure::ReadWithId) }
            }
            Op::Grant(grant) => grant.check_shape(),
            _ => Ok(()),
        }
    }
}

fn can_write(txn: &TxnOp) -> bool {
    txn.then.iter().chain(&txn.or_else).any(|item| match item {
        TxnItem::Put(_) | TxnItem::Delete(_) | TxnItem::Grant(_) | TxnItem::Revoke(_) | TxnItem::Advance(_) => true,
        TxnItem::Range(_) => false,
        TxnItem::Txn(nested) => can_write(nested),
    })
}

fn same_request(one: &Op, other: &Op) -> bool {
    rounded(one) == rounded(other)
}

/// A TTL is told in whole milliseconds, so that is what was asked for; the least that is granted comes later.
fn rounded(op: &Op) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::Grant(grant) => round(grant),
        Op::Txn(txn) => round_all(txn),
        _ => {}
    }
    op
}

fn round_all(txn: &mut TxnOp) {
    for item in txn.then.iter_mut().chain(&mut txn.or_else) {
        match item {
            TxnItem::Grant(grant) => round(grant),
            TxnItem::Txn(nested) => round_all(nested),
            _ => {}
        }
    }
}

fn round(grant: &mut GrantOp) {
    let whole = u64::try_from(grant.ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    grant.ttl = Duration::from_millis(whole);
}
