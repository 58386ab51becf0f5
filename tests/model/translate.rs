//! From the model's words to etclite's and back: requests one way, responses and errors the other.
//!
//! Ranges go through the wire form of key and end, which both sides share; everything else through the public
//! builders, so that what a caller can say is what is tested.

#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use super::reference::{
    Answer, Blob, CALLERS_MAX, CompareOp, DeleteAnswer, DeleteOp, Event, Failure, GrantOp, HIDDEN, Kv, Op as ModelOp,
    Operand, PutAnswer, PutOp, RangeAnswer, RangeOp, Relation, SortBy, Span, TokenOp, TxnAnswer, TxnItem, TxnOp,
};
use etclite::EventKind;
use etclite::error::Invalid;
use etclite::{Compare, CursorBuilder, Db, Error, KeyRange, KeyValue, Op, Put, Range, Txn};
use etclite::{
    CompareOn, Delete, DeleteResponse, GrantOptions, OpResponse, PutOptions, PutResponse, RangeResponse, SortOrder,
    SortTarget, Token, TxnResponse,
};
use std::time::Duration;

// Requests.

pub(crate) fn key_range(span: &Span) -> KeyRange {
    KeyRange::from_wire(&*span.key, &*span.end)
}

pub(crate) fn put_options(put: &PutOp) -> PutOptions {
    let mut options = PutOptions::new().lease(put.lease);
    if let Some(ttl_ms) = put.ttl_ms {
        options = options.ttl(Duration::from_millis(ttl_ms));
    }
    if put.prev_kv {
        options = options.prev_kv();
    }
    if put.ignore_value {
        options = options.ignore_value();
    }
    if put.ignore_lease {
        options = options.ignore_lease();
    }
    options
}

pub(crate) fn delete(delete: &DeleteOp) -> Delete {
    let request = Delete::new(key_range(&delete.span));
    if delete.prev_kv { request.prev_kv() } else { request }
}

pub(crate) fn range(range: &RangeOp) -> Range {
    let target = match range.target {
        SortBy::Key => SortTarget::Key,
        SortBy::Version => SortTarget::Version,
        SortBy::Create => SortTarget::CreateRevision,
        SortBy::Mod => SortTarget::ModRevision,
        SortBy::Value => SortTarget::Value,
    };
    let order = if range.descend { SortOrder::Descend } else { SortOrder::Ascend };
    let mut request = Range::new(key_range(&range.span))
        .at(range.revision)
        .limit(range.limit)
        .sort(target, order)
        .min_mod_revision(range.min_mod)
        .max_mod_revision(range.max_mod)
        .min_create_revision(range.min_create)
        .max_create_revision(range.max_create);
    if range.keys_only {
        request = request.keys_only();
    }
    if range.count_only {
        request = request.count_only();
    }
    if range.with_count { request.with_count() } else { request }
}

pub(crate) fn txn(txn: &TxnOp) -> Txn {
    let branch = |items: &[TxnItem]| items.iter().map(item).collect::<Vec<Op>>();
    let fenced = txn.fences.iter().map(token).fold(Txn::new(), Txn::fenced);
    fenced.when(txn.compares.iter().map(compare)).then(branch(&txn.then)).or_else(branch(&txn.or_else))
}

fn item(item: &TxnItem) -> Op {
    match item {
        TxnItem::Put(put) => Put::with(&*put.key, &*put.value, put_options(put)).into(),
        TxnItem::Range(op) => range(op).into(),
        TxnItem::Delete(op) => delete(op).into(),
        TxnItem::Txn(op) => txn(op).into(),
        TxnItem::Grant(op) => grant(op).into(),
        TxnItem::Revoke(id) => Op::revoke(*id),
        TxnItem::Advance(op) => Op::advance(&*op.name, op.from, op.to),
    }
}

pub(crate) fn grant(grant: &GrantOp) -> GrantOptions {
    GrantOptions::new(grant.ttl).id(grant.id).lock_delay(Duration::from_millis(grant.delay_ms))
}

fn token(token: &TokenOp) -> Token {
    Token::new(&*token.key, token.create, token.lease)
}

fn compare(compare: &CompareOp) -> Compare {
    let range = key_range(&compare.span);
    let number = |on: CompareOn<i64>, number: i64| match compare.relation {
        Relation::Equal => on.eq(number),
        Relation::NotEqual => on.ne(number),
        Relation::Greater => on.gt(number),
        Relation::Less => on.lt(number),
    };
    match &compare.operand {
        Operand::Version(operand) => number(Compare::version(range), *operand),
        Operand::Create(operand) => number(Compare::create_revision(range), *operand),
        Operand::Mod(operand) => number(Compare::mod_revision(range), *operand),
        Operand::Lease(operand) => number(Compare::lease(range), *operand),
        Operand::Value(operand) => {
            let on = Compare::value(range);
            match compare.relation {
                Relation::Equal => on.eq(&**operand),
                Relation::NotEqual => on.ne(&**operand),
                Relation::Greater => on.gt(&**operand),
                Relation::Less => on.lt(&**operand),
            }
        }
        Operand::Held { create, lease } => Compare::held(Token::new(&*compare.span.key, *create, *lease)),
        Operand::Alive(id) => Compare::lease_alive(*id),
    }
}

/// What makes a cursor, or finds it.
pub(crate) fn cursor(
    db: &Db,
    name: &Blob,
    span: &Span,
    (no_delete, max_lag): (bool, u64),
    at: Option<u64>,
) -> CursorBuilder {
    let mut builder = db.cursor(&**name, key_range(span)).max_lag(max_lag);
    if no_delete {
        builder = builder.no_delete();
    }
    if let Some(at) = at {
        builder = builder.at(at);
    }
    builder
}

/// Sends a write under an operation id; whether it was a repetition, and its answer.
pub(crate) fn once(db: &Db, id: u128, since: Option<u64>, op: &ModelOp) -> etclite::Result<(bool, Answer)> {
    let mut operation = db.operation(id);
    if let Some(since) = since {
        operation = operation.since(since);
    }
    Ok(match op {
        ModelOp::Put(op) => {
            let answer = operation.put_with(&*op.key, &*op.value, put_options(op))?;
            (answer.replayed, Answer::Put(put_answer(&answer)))
        }
        ModelOp::Delete(op) => {
            let answer = operation.delete_with(delete(op))?;
            (answer.replayed, Answer::Delete(delete_answer(&answer)))
        }
        ModelOp::Txn(op) => {
            let answer = operation.execute(txn(op))?;
            (answer.replayed, Answer::Txn(txn_answer(&answer)))
        }
        ModelOp::Grant(op) => {
            let answer = operation.grant_with(grant(op))?;
            let granted = answer.granted().expect("a grant tells it").as_millis();
            assert_eq!(answer.id().get(), op.id);
            (answer.replayed, Answer::Millis(u64::try_from(granted).expect("the model's times fit")))
        }
        ModelOp::Revoke(id) => {
            let answer = operation.revoke(*id)?;
            (answer.replayed, Answer::Revision(answer.get()))
        }
        ModelOp::CreateCursor { name, span, no_delete, max_lag, at } => {
            let answer = operation.create_cursor(cursor(db, name, span, (*no_delete, *max_lag), *at))?;
            (answer.replayed, Answer::Position(answer.get()))
        }
        ModelOp::ResetCursor { name, to } => {
            let answer = operation.reset_cursor(&**name, *to)?;
            (answer.replayed, Answer::Position(answer.get()))
        }
        ModelOp::DropCursor(name) => {
            let answer = operation.drop_cursor(&**name)?;
            (answer.replayed, Answer::Position(answer.get()))
        }
        other => unreachable!("no operation id goes with {other:?}"),
    })
}

// Responses.

pub(crate) fn kv(kv: &KeyValue) -> Kv {
    Kv {
        key: Blob(kv.key.to_vec()),
        value: Blob(kv.value.to_vec()),
        create: kv.create_revision.get(),
        modified: kv.mod_revision.get(),
        version: kv.version,
        lease: if kv.lease.get() > CALLERS_MAX { HIDDEN } else { kv.lease.get() },
    }
}

pub(crate) fn event(event: &etclite::Event) -> Event {
    Event { delete: event.kind == EventKind::Delete, kv: kv(&event.kv), prev: event.prev.as_ref().map(kv) }
}

pub(crate) fn put_answer(response: &PutResponse) -> PutAnswer {
    PutAnswer { revision: response.revision.get(), prev: response.prev.as_ref().map(kv) }
}

pub(crate) fn delete_answer(response: &DeleteResponse) -> DeleteAnswer {
    let prev_kvs = response.prev_kvs.iter().map(kv).collect();
    DeleteAnswer { revision: response.revision.get(), deleted: response.deleted, prev_kvs }
}

pub(crate) fn range_answer(response: &RangeResponse) -> RangeAnswer {
    let kvs = response.kvs.iter().map(kv).collect();
    RangeAnswer { revision: response.revision.get(), kvs, more: response.more, count: response.count }
}

pub(crate) fn txn_answer(response: &TxnResponse) -> TxnAnswer {
    let answers = response.responses.iter().map(|response| match response {
        OpResponse::Put(response) => Answer::Put(put_answer(response)),
        OpResponse::Delete(response) => Answer::Delete(delete_answer(response)),
        OpResponse::Range(response) => Answer::Range(range_answer(response)),
        OpResponse::Txn(response) => Answer::Txn(txn_answer(response)),
        OpResponse::Grant(response) => {
            Answer::Granted(u64::try_from(response.ttl.as_millis()).expect("the model's times fit"))
        }
        OpResponse::Revoke(response) => {
            Answer::Revoked { revision: response.revision.get(), deleted: response.deleted }
        }
        OpResponse::Advance(response) => {
            Answer::Advance { revision: response.revision.get(), position: response.position.get() }
        }
        other => panic!("a response that the model does not know: {other:?}"),
    });
    TxnAnswer { revision: response.revision.get(), succeeded: response.succeeded, answers: answers.collect() }
}

pub(crate) fn failure(error: &Error) -> Failure {
    match error {
        Error::InvalidArgument(Invalid::EmptyKey) => Failure::EmptyKey,
        Error::InvalidArgument(Invalid::KeyNotFound) => Failure::KeyNotFound,
        Error::InvalidArgument(Invalid::ValueProvided) => Failure::ValueProvided,
        Error::InvalidArgument(Invalid::LeaseProvided) => Failure::LeaseProvided,
        Error::InvalidArgument(Invalid::Argument(what)) if what.contains("ttl") => Failure::TwoDeadlines,
        Error::InvalidArgument(Invalid::EmptyWatchRange) => Failure::EmptyWatchRange,
        Error::TooLarge { .. } => Failure::TooLarge,
        Error::DuplicateKey => Failure::DuplicateKey,
        Error::Compacted { compacted } => Failure::Compacted(compacted.get()),
        Error::FutureRevision { current } => Failure::FutureRevision(current.get()),
        Error::LeaseNotFound => Failure::LeaseNotFound,
        Error::LeaseExists => Failure::LeaseExists,
        Error::SessionExpired => Failure::SessionExpired,
        Error::CursorNotFound => Failure::CursorNotFound,
        Error::CursorMoved { position } => Failure::CursorMoved(position.get()),
        Error::Full { what: "cursors", .. } => Failure::TooLarge,
        Error::InvalidArgument(Invalid::Argument(what)) if what.contains("another definition") => Failure::CursorExists,
        Error::InvalidArgument(Invalid::Argument(what)) if what.contains("backward") => Failure::AdvanceBackward,
        Error::InvalidArgument(Invalid::OperationIdReused) => Failure::OperationIdReused,
        Error::InvalidArgument(Invalid::Argument(what)) if what.contains("can only read") => Failure::ReadWithId,
        Error::Indeterminate => Failure::Indeterminate,
        other => Failure::Other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate::{KEYS, Profile, sequence};
    use super::*;

    #[test]
    fn key_ranges_mean_the_same_on_both_sides() {
        let ends = KEYS.iter().copied().chain([&b""[..]]);
        for (key, end) in KEYS.iter().flat_map(|key| ends.clone().map(move |end| (*key, end))) {
            let span = Span { key: key.into(), end: end.into() };
            let range = key_range(&span);
            for probe in KEYS {
                assert_eq!(range.contains(probe), span.contains(probe), "{span:?} and {:?}", Blob::from(probe));
            }
        }
    }

    #[test]
    fn every_request_of_a_sequence_can_be_said_to_etclite() {
        for seed in 1..=50 {
            for op in sequence(seed, 80, &Profile::ALL) {
                match &op {
                    ModelOp::Put(put) => drop(put_options(put)),
                    ModelOp::Range(op) => drop(range(op)),
                    ModelOp::Delete(op) => drop(delete(op)),
                    ModelOp::Txn(op) => drop(txn(op)),
                    _ => {}
                }
            }
        }
    }
}
