//! `txn`: compares, and operations that look like the commands of their names.

use serde_json::Value;

use super::super::answer::{Answer, Outcome, Problem};
use super::super::request::{Fields, missing};
use super::guard::{Guards, take_token};
use super::kv::{self, PutFields, RangeShape};
use super::{Call, cursor, lease};
use crate::cli::json::Bytes;
use crate::{Compare, CompareOn, CompareResult, KeyRange, Op, OpResponse, Put, Txn, TxnResponse, stage};

pub(super) fn txn(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = Guards::take(fields)?;
    let (parts, branches) = Parts::take(fields)?;
    fields.finish()?;
    let once = guards.execute(call, |txn| parts.build(txn))?;
    let answer = txn_answer(Answer::at(once.response.revision), &once.response, &branches, call.form());
    once.mark(answer).done()
}

/// What a txn is made of.
struct Parts {
    compares: Vec<Compare>,
    then: Vec<Op>,
    or_else: Vec<Op>,
}

/// How the operations of a txn are told.
struct Branches {
    then: Vec<Shape>,
    or_else: Vec<Shape>,
}

enum Shape {
    Put,
    Range { cmd: &'static str, shape: RangeShape },
    Del { prev_kv: bool },
    Txn(Branches),
    Grant,
    Revoke,
    Advance,
}

impl Parts {
    fn take(fields: &mut Fields) -> Result<(Parts, Branches), Problem> {
        let compares = fields.objects("when")?.iter_mut().map(take_compare).collect::<Result<_, _>>()?;
        let (then, then_shapes) = take_ops(fields, "then")?;
        let (or_else, else_shapes) = take_ops(fields, "else")?;
        Ok((Parts { compares, then, or_else }, Branches { then: then_shapes, or_else: else_shapes }))
    }

    fn build(self, txn: Txn<stage::Start>) -> Txn {
        txn.when(self.compares).then(self.then).or_else(self.or_else)
    }
}

fn take_ops(fields: &mut Fields, branch: &str) -> Result<(Vec<Op>, Vec<Shape>), Problem> {
    Ok(fields.objects(branch)?.iter_mut().map(take_op).collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
}

fn take_op(fields: &mut Fields) -> Result<(Op, Shape), Problem> {
    let cmd = fields.text("cmd")?.ok_or_else(|| missing("cmd"))?;
    let taken = match &cmd[..] {
        "put" => {
            let put = PutFields::take(fields)?;
            (Put::with(put.key, put.value, put.options).into(), Shape::Put)
        }
        "get" => {
            let (range, shape) = kv::take_get(fields)?;
            (range.into(), Shape::Range { cmd: "get", shape })
        }
        "range" => {
            let (range, shape) = kv::take_range(fields)?;
            (range.into(), Shape::Range { cmd: "range", shape })
        }
        "del" => {
            let (delete, prev_kv) = kv::take_del(fields)?;
            (delete.into(), Shape::Del { prev_kv })
        }
        "txn" => {
            let (parts, branches) = Parts::take(fields)?;
            (parts.build(Txn::new()).into(), Shape::Txn(branches))
        }
        "lease_grant" => (lease::take_grant(fields)?.into(), Shape::Grant),
        "lease_revoke" => (Op::revoke(fields.need_lease("lease")?), Shape::Revoke),
        "cursor_advance" => (cursor::take_advance(fields)?, Shape::Advance),
        _ => return Err(Problem::invalid("unknown cmd in a txn")),
    };
    fields.finish()?;
    Ok(taken)
}

fn take_compare(fields: &mut Fields) -> Result<Compare, Problem> {
    if let Some(mut token) = fields.object("held")? {
        fields.finish()?;
        return Ok(Compare::held(take_token(&mut token)?));
    }
    let range = fields.target()?;
    let target = fields.word("target", TARGETS)?.ok_or_else(|| missing("target"))?;
    let is = fields.word("is", OPERATORS)?.ok_or_else(|| missing("is"))?;
    let compare = match target {
        Target::Value => {
            let (on, value) = (Compare::value(range), fields.need_bytes("value")?);
            match is {
                CompareResult::Equal => on.eq(value),
                CompareResult::NotEqual => on.ne(value),
                CompareResult::Greater => on.gt(value),
                CompareResult::Less => on.lt(value),
            }
        }
        Target::Number(on) => by_number(on(range), is, fields.integer("number")?.ok_or_else(|| missing("number"))?),
        Target::Lease => by_number(Compare::lease(range), is, fields.need_lease("lease")?.get()),
    };
    fields.finish()?;
    Ok(compare)
}

fn by_number(on: CompareOn<i64>, is: CompareResult, number: i64) -> Compare {
    match is {
        CompareResult::Equal => on.eq(number),
        CompareResult::NotEqual => on.ne(number),
        CompareResult::Greater => on.gt(number),
        CompareResult::Less => on.lt(number),
    }
}

#[derive(Clone, Copy)]
enum Target {
    Value,
    Number(fn(KeyRange) -> CompareOn<i64>),
    Lease,
}

const TARGETS: &[(&str, Target)] = &[
    ("value", Target::Value),
    ("version", Target::Number(Compare::version)),
    ("create", Target::Number(Compare::create_revision)),
    ("mod", Target::Number(Compare::mod_revision)),
    ("lease", Target::Lease),
];

const OPERATORS: &[(&str, CompareResult)] = &[
    ("=", CompareResult::Equal),
    ("!=", CompareResult::NotEqual),
    ("<", CompareResult::Less),
    (">", CompareResult::Greater),
];

fn txn_answer(answer: Answer, response: &TxnResponse, branches: &Branches, form: Bytes) -> Answer {
    let shapes = if response.succeeded { &branches.then } else { &branches.or_else };
    let responses = response.responses.iter().zip(shapes).map(|(response, shape)| op_answer(response, shape, form));
    answer.field("succeeded", response.succeeded).field("responses", responses.collect::<Value>())
}

fn op_answer(response: &OpResponse, shape: &Shape, form: Bytes) -> Value {
    let named = |cmd: &str| Answer::new().field("cmd", cmd);
    let answer = match (response, shape) {
        (OpResponse::Put(response), _) => kv::put_answer(named("put"), response, form),
        (OpResponse::Range(response), Shape::Range { cmd, shape }) => {
            kv::range_answer(named(cmd), response, *shape, form)
        }
        (OpResponse::Delete(response), Shape::Del { prev_kv }) => {
            kv::del_answer(named("del"), response, *prev_kv, form)
        }
        (OpResponse::Txn(response), Shape::Txn(branches)) => txn_answer(named("txn"), response, branches, form),
        (OpResponse::Grant(granted), _) => {
            named("lease_grant").lease("lease", granted.id).millis("granted_ms", granted.ttl)
        }
        (OpResponse::Revoke(_), _) => named("lease_revoke"),
        (OpResponse::Advance(advance), _) => named("cursor_advance").field("position", advance.position.get()),
        _ => unreachable!("the responses of a txn are those of its operations"),
    };
    Value::Object(answer.into_object())
}
