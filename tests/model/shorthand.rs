//! Short names for what the tests of the model write over and over.

use super::reference::{
    Answer, Blob, CompareOp, DeleteAnswer, DeleteOp, Event, Kv, Model, Operand, PutOp, RangeAnswer, RangeOp, Relation,
    Span, TxnAnswer, TxnItem, TxnOp, WatchOp,
};

pub(crate) fn one(key: &str) -> Span {
    Span { key: key.into(), end: Blob::default() }
}

pub(crate) fn between(key: &str, end: &str) -> Span {
    Span { key: key.into(), end: end.into() }
}

pub(crate) fn from_key(key: &str) -> Span {
    between(key, "\0")
}

pub(crate) fn all() -> Span {
    from_key("\0")
}

pub(crate) fn put(key: &str, value: &str) -> PutOp {
    PutOp { key: key.into(), value: value.into(), ..PutOp::default() }
}

pub(crate) fn delete(span: Span) -> DeleteOp {
    DeleteOp { span, prev_kv: false }
}

pub(crate) fn range(span: Span) -> RangeOp {
    RangeOp { span, ..RangeOp::default() }
}

pub(crate) fn at(span: Span, revision: u64) -> RangeOp {
    RangeOp { span, revision, ..RangeOp::default() }
}

pub(crate) fn watch(span: Span, from: u64) -> WatchOp {
    WatchOp { span, from, prev_kv: true, ..WatchOp::default() }
}

pub(crate) fn compare(span: Span, relation: Relation, operand: Operand) -> CompareOp {
    CompareOp { span, operand, relation }
}

pub(crate) fn txn(compares: Vec<CompareOp>, then: Vec<TxnItem>, or_else: Vec<TxnItem>) -> TxnOp {
    TxnOp { compares, then, or_else, ..TxnOp::default() }
}

/// A txn without compares.
pub(crate) fn batch(then: Vec<TxnItem>) -> TxnOp {
    txn(vec![], then, vec![])
}

impl From<PutOp> for TxnItem {
    fn from(put: PutOp) -> Self {
        TxnItem::Put(put)
    }
}

impl From<RangeOp> for TxnItem {
    fn from(range: RangeOp) -> Self {
        TxnItem::Range(range)
    }
}

impl From<DeleteOp> for TxnItem {
    fn from(delete: DeleteOp) -> Self {
        TxnItem::Delete(delete)
    }
}

impl From<TxnOp> for TxnItem {
    fn from(txn: TxnOp) -> Self {
        TxnItem::Txn(txn)
    }
}

pub(crate) fn kv(key: &str, value: &str, [create, modified, version]: [u64; 3]) -> Kv {
    Kv { key: key.into(), value: value.into(), create, modified, version, lease: 0 }
}

/// A model with puts, one revision each, from revision 2 on.
pub(crate) fn store(puts: &[(&str, &str)]) -> Model {
    let mut model = Model::new();
    for (key, value) in puts {
        model.put(&put(key, value)).unwrap();
    }
    model
}

/// A model that holds `key` alone, at revision 2, attached to a lease with an hour to go.
pub(crate) fn store_with_lease(id: i64, key: &str) -> Model {
    let mut model = Model::new();
    model.grant(id, std::time::Duration::from_secs(3600)).unwrap();
    model.put(&PutOp { lease: id, ..put(key, "v") }).unwrap();
    model
}

/// The key now, which must exist.
pub(crate) fn get(model: &Model, key: &str) -> Kv {
    find(model, key).unwrap()
}

pub(crate) fn find(model: &Model, key: &str) -> Option<Kv> {
    model.range(&range(one(key))).unwrap().kvs.pop()
}

pub(crate) fn keys(answer: &RangeAnswer) -> Vec<String> {
    answer.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

/// Events as text: `+key=value` for a put, `-key` for a delete, then the revision and what was there before.
pub(crate) fn events(model: &Model, watch: &WatchOp) -> Vec<String> {
    model.events(watch, watch.from).iter().flatten().map(text).collect()
}

pub(crate) fn text(event: &Event) -> String {
    let lossy = |blob: &Blob| String::from_utf8_lossy(blob).into_owned();
    let prev = event.prev.as_ref().map_or(String::new(), |prev| format!(" was {}", lossy(&prev.value)));
    match event.delete {
        true => format!("-{}@{}{prev}", lossy(&event.kv.key), event.kv.modified),
        false => format!("+{}={}@{}{prev}", lossy(&event.kv.key), lossy(&event.kv.value), event.kv.modified),
    }
}

pub(crate) fn range_of(answer: &Answer) -> &RangeAnswer {
    let Answer::Range(range) = answer else { panic!("not a range: {answer:?}") };
    range
}

pub(crate) fn delete_of(answer: &Answer) -> &DeleteAnswer {
    let Answer::Delete(delete) = answer else { panic!("not a delete: {answer:?}") };
    delete
}

pub(crate) fn txn_of(answer: &Answer) -> &TxnAnswer {
    let Answer::Txn(txn) = answer else { panic!("not a txn: {answer:?}") };
    txn
}

pub(crate) fn put_revision(answer: &Answer) -> u64 {
    let Answer::Put(put) = answer else { panic!("not a put: {answer:?}") };
    put.revision
}
