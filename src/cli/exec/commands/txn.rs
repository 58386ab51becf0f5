//! `txn`: compares, and operations that look like the commands of their names.

use serde_json::Value;

use super::super::answer::{Answer, Outcome, Problem};
use super::super::request::{Fields, missing};
use super::kv::{self, PutFields, RangeShape};
use super::{Call, pending};
use crate::cli::json::Bytes;
use crate::{Compare, CompareOn, CompareResult, KeyRange, Op, OpResponse, Put, Txn, TxnResponse};

pub(super) fn txn(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = pending::Guards::take(fields)?;
    let mut unsupported = None;
    let (txn, shapes) = take_txn(fields, &mut unsupported)?;
    fields.finish()?;
    guards.refuse()?;
    pending::refuse(unsupported)?;
    let response = call.db().execute(txn)?;
    txn_answer(Answer::at(response.revision), &response, &shapes, call.form()).done()
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
}

/// What a txn is made of. What the store does not do yet is noted, and refused once all of the request was understood.
type Noted = Option<&'static str>;

fn take_txn(fields: &mut Fields, unsupported: &mut Noted) -> Result<(Txn, Branches), Problem> {
    let mut compares = Vec::new();
    for mut compare in fields.objects("when")? {
        compares.extend(take_compare(&mut compare, unsupported)?);
    }
    let (then_ops, then) = take_ops(fields, "then", unsupported)?;
    let (else_ops, or_else) = take_ops(fields, "else", unsupported)?;
    let txn = Txn::new().when(compares).then(then_ops).or_else(else_ops);
    Ok((txn, Branches { then, or_else }))
}

fn take_ops(fields: &mut Fields, branch: &str, unsupported: &mut Noted) -> Result<(Vec<Op>, Vec<Shape>), Problem> {
    let (mut ops, mut shapes) = (Vec::new(), Vec::new());
    for mut op in fields.objects(branch)? {
        if let Some((op, shape)) = take_op(&mut op, unsupported)? {
            ops.push(op);
            shapes.push(shape);
        }
    }
    Ok((ops, shapes))
}

fn take_op(fields: &mut Fields, unsupported: &mut Noted) -> Result<Option<(Op, Shape)>, Problem> {
    let cmd = fields.text("cmd")?.ok_or_else(|| missing("cmd"))?;
    let taken = match &cmd[..] {
        "put" => {
            let put = PutFields::take(fields)?;
            *unsupported = unsupported.or(put.unsupported());
            Some((Put::with(put.key, put.value, put.options).into(), Shape::Put))
        }
        "get" => {
            let (range, shape) = kv::take_get(fields)?;
            Some((range.into(), Shape::Range { cmd: "get", shape }))
        }
        "range" => {
            let (range, shape) = kv::take_range(fields)?;
            Some((range.into(), Shape::Range { cmd: "range", shape }))
        }
        "del" => {
            let (delete, prev_kv) = kv::take_del(fields)?;
            Some((delete.into(), Shape::Del { prev_kv }))
        }
        "txn" => {
            let (txn, branches) = take_txn(fields, unsupported)?;
            Some((txn.into(), Shape::Txn(branches)))
        }
        other => {
            *unsupported = unsupported.or(Some(pending::take_op(other, fields)?));
            None
        }
    };
    fields.finish()?;
    Ok(taken)
}

fn take_compare(fields: &mut Fields, unsupported: &mut Noted) -> Result<Option<Compare>, Problem> {
    if let Some(mut token) = fields.object("held")? {
        pending::Token::take(&mut token)?;
        fields.finish()?;
        *unsupported = unsupported.or(Some(pending::HELD));
        return Ok(None);
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
    Ok(Some(compare))
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
        _ => unreachable!("the responses of a txn are those of its operations"),
    };
    Value::Object(answer.into_object())
}
