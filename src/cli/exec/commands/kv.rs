//! `put`, `get`, `range`, `del`; their fields and results are those of the operations of a txn, too.

use std::time::Duration;

use serde_json::Value;

use super::super::answer::{Answer, Outcome, Problem};
use super::super::request::{Fields, missing};
use super::{Call, pending};
use crate::cli::json::{Bytes, Part, kv_object};
use crate::{
    Delete, DeleteResponse, KeyRange, KeyValue, PutOptions, PutResponse, Range, RangeResponse, Revision, SortOrder,
    SortTarget,
};

pub(super) fn put(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = pending::Guards::take(fields)?;
    let put = PutFields::take(fields)?;
    fields.finish()?;
    guards.refuse()?;
    pending::refuse(put.unsupported())?;
    let response = call.db().put_with(put.key, put.value, put.options)?;
    put_answer(Answer::at(response.revision), &response, call.form()).done()
}

pub(super) fn get(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (range, shape) = take_get(fields)?;
    fields.finish()?;
    query(call, range, shape)
}

pub(super) fn range(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (range, shape) = take_range(fields)?;
    fields.finish()?;
    query(call, range, shape)
}

fn query(call: &Call<'_>, range: Range, shape: RangeShape) -> Outcome {
    let response = call.db().query(range).map_err(Problem::of_revision(shape.asked))?;
    range_answer(Answer::at(response.revision), &response, shape, call.form()).done()
}

pub(super) fn del(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = pending::Guards::take(fields)?;
    let (delete, prev_kv) = take_del(fields)?;
    fields.finish()?;
    guards.refuse()?;
    let response = call.db().delete_with(delete)?;
    del_answer(Answer::at(response.revision), &response, prev_kv, call.form()).done()
}

/// The fields of a put.
pub(super) struct PutFields {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) options: PutOptions,
    ttl: Option<Duration>,
}

impl PutFields {
    pub(super) fn take(fields: &mut Fields) -> Result<PutFields, Problem> {
        let (key, value) = (fields.need_bytes("key")?, fields.bytes("value")?);
        let mut options = PutOptions::new().lease(fields.lease("lease")?);
        if fields.flag("prev_kv")? {
            options = options.prev_kv();
        }
        if fields.flag("ignore_lease")? {
            options = options.ignore_lease();
        }
        let ignore_value = fields.flag("ignore_value")?;
        if ignore_value {
            options = options.ignore_value();
        }
        let value = match value {
            None if !ignore_value => return Err(missing("value")),
            value => value.unwrap_or_default(),
        };
        Ok(PutFields { key, value, options, ttl: fields.duration("ttl_ms")? })
    }

    /// What the store does not do yet.
    pub(super) fn unsupported(&self) -> Option<&'static str> {
        self.ttl.map(|_| "a put with `ttl_ms` is not supported yet")
    }
}

/// How the answer to a range is told.
#[derive(Clone, Copy)]
pub(super) struct RangeShape {
    /// As the one key that there is, or is not.
    is_get: bool,
    part: Part,
    /// The revision asked for.
    asked: Revision,
}

impl RangeShape {
    fn new(is_get: bool, keys_only: bool, asked: Revision) -> RangeShape {
        RangeShape { is_get, part: if keys_only { Part::NoValue } else { Part::Whole }, asked }
    }
}

pub(super) fn take_get(fields: &mut Fields) -> Result<(Range, RangeShape), Problem> {
    let (key, asked) = (fields.need_bytes("key")?, fields.revision("rev")?);
    let (range, keys_only) = (Range::new(KeyRange::key(key)).at(asked), fields.flag("keys_only")?);
    Ok((if keys_only { range.keys_only() } else { range }, RangeShape::new(true, keys_only, asked)))
}

pub(super) fn take_range(fields: &mut Fields) -> Result<(Range, RangeShape), Problem> {
    let (target, asked) = (fields.target()?, fields.revision("rev")?);
    let mut range = Range::new(target)
        .at(asked)
        .limit(fields.count("limit")?.unwrap_or(0))
        .min_mod_revision(fields.revision("min_mod")?)
        .max_mod_revision(fields.revision("max_mod")?)
        .min_create_revision(fields.revision("min_create")?)
        .max_create_revision(fields.revision("max_create")?)
        .with_count();
    let (by, order) = (fields.word("sort", SORT_TARGETS)?, fields.word("order", SORT_ORDERS)?);
    range = range.sort(by.unwrap_or(SortTarget::Key), order.unwrap_or(SortOrder::Ascend));
    let keys_only = fields.flag("keys_only")?;
    if keys_only {
        range = range.keys_only();
    }
    if fields.flag("count_only")? {
        range = range.count_only();
    }
    Ok((range, RangeShape::new(false, keys_only, asked)))
}

const SORT_TARGETS: &[(&str, SortTarget)] = &[
    ("key", SortTarget::Key),
    ("version", SortTarget::Version),
    ("create", SortTarget::CreateRevision),
    ("mod", SortTarget::ModRevision),
    ("value", SortTarget::Value),
];

const SORT_ORDERS: &[(&str, SortOrder)] = &[("ascend", SortOrder::Ascend), ("descend", SortOrder::Descend)];

/// The fields of a delete, and whether the previous key-values are asked for.
pub(super) fn take_del(fields: &mut Fields) -> Result<(Delete, bool), Problem> {
    let delete = Delete::new(fields.target()?);
    let prev_kv = fields.flag("prev_kv")?;
    Ok((if prev_kv { delete.prev_kv() } else { delete }, prev_kv))
}

pub(super) fn put_answer(answer: Answer, response: &PutResponse, form: Bytes) -> Answer {
    answer.maybe("prev", response.prev.as_ref().map(|kv| kv_object(kv, Part::Whole, form)))
}

pub(super) fn range_answer(answer: Answer, response: &RangeResponse, shape: RangeShape, form: Bytes) -> Answer {
    if shape.is_get {
        let kv = response.kvs.first();
        return answer.field("found", kv.is_some()).maybe("kv", kv.map(|kv| kv_object(kv, shape.part, form)));
    }
    let count = response.count.unwrap_or(response.kvs.len() as u64);
    answer.field("kvs", kv_list(&response.kvs, shape.part, form)).field("count", count).field("more", response.more)
}

pub(super) fn del_answer(answer: Answer, response: &DeleteResponse, prev_kv: bool, form: Bytes) -> Answer {
    let prevs = prev_kv.then(|| kv_list(&response.prev_kvs, Part::Whole, form));
    answer.field("deleted", response.deleted).maybe("prevs", prevs)
}

fn kv_list(kvs: &[KeyValue], part: Part, form: Bytes) -> Value {
    kvs.iter().map(|kv| kv_object(kv, part, form)).collect()
}
