//! `cursor_create`, `cursor_advance`, `cursor_reset`, `cursor_drop`, `cursor_list`.

use serde_json::Value;

use super::super::answer::{Answer, Outcome, Problem};
use super::super::request::Fields;
use super::Call;
use super::guard::{Guards, Once};
use crate::cli::json::{Bytes, Object, set_bytes};
use crate::error::Result;
use crate::kv::RangeEnd;
use crate::{AdvanceResponse, CursorStatus, Db, OnceResponse, Op, OpResponse, Operation, Revision};

pub(super) fn create(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = Guards::take_id(fields)?;
    let (name, range, at) = (fields.need_bytes("name")?, fields.target()?, fields.revision("rev")?);
    fields.finish()?;
    let db = call.db();
    let builder = db.cursor(name, range);
    let builder = if at == Revision::ZERO { builder } else { builder.at(at) };
    let again = builder.clone();
    let once = submit(&guards, &db, |operation| operation.create_cursor(again), |_| builder.submit());
    moved(&once.map_err(Problem::of_revision(at))?)
}

/// Runs a command of cursors. Its revision is its own, with an id and without: the store's may have moved on since.
fn submit(
    guards: &Guards,
    db: &Db,
    with_id: impl FnOnce(&Operation) -> Result<OnceResponse<Revision>>,
    without: impl FnOnce(&Db) -> Result<AdvanceResponse>,
) -> Result<Once<AdvanceResponse>> {
    let with_id = |operation: &Operation| {
        let OnceResponse { response: position, revision, replayed, truncated } = with_id(operation)?;
        Ok(OnceResponse { response: AdvanceResponse { revision, position }, revision, replayed, truncated })
    };
    guards.once(db, with_id, without)
}

/// The answer of a command that says where a cursor is.
fn moved(once: &Once<AdvanceResponse>) -> Outcome {
    let AdvanceResponse { revision, position } = once.response;
    once.mark(Answer::at(revision).field("position", position.get())).done()
}

pub(super) fn advance(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = Guards::take_id(fields)?;
    let advance = take_advance(fields)?;
    fields.finish()?;
    let once = guards.execute(call, |txn| txn.then([advance]).finish())?;
    let Some(OpResponse::Advance(advanced)) = once.response.responses.first() else {
        unreachable!("the txn has no condition and one operation")
    };
    once.mark(Answer::at(once.response.revision).field("position", advanced.position.get())).done()
}

/// The fields of an advance, here and in a txn.
pub(super) fn take_advance(fields: &mut Fields) -> Result<Op, Problem> {
    Ok(Op::advance(fields.need_bytes("name")?, fields.need_revision("from")?, fields.need_revision("to")?))
}

pub(super) fn reset(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = Guards::take_id(fields)?;
    let (name, to) = (fields.need_bytes("name")?, fields.need_revision("to")?);
    fields.finish()?;
    let db = call.db();
    let reset = |db: &Db| db.open_cursor(&name)?.submit_reset(to);
    let once = submit(&guards, &db, |operation| operation.reset_cursor(&name, to), reset);
    moved(&once.map_err(Problem::of_revision(to))?)
}

pub(super) fn drop(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = Guards::take_id(fields)?;
    let name = fields.need_bytes("name")?;
    fields.finish()?;
    let db = call.db();
    let drop = |db: &Db| db.open_cursor(&name)?.submit_drop();
    let once = submit(&guards, &db, |operation| operation.drop_cursor(&name), drop)?;
    once.mark(Answer::at(once.response.revision)).done()
}

pub(super) fn list(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    fields.finish()?;
    let db = call.db();
    let cursors: Value = db.cursors()?.iter().map(|cursor| cursor_object(cursor, call.form())).collect();
    Answer::at(db.revision()).field("cursors", cursors).done()
}

/// A cursor with its range as `key` and `end` (RV-09).
fn cursor_object(cursor: &CursorStatus, form: Bytes) -> Value {
    let mut object = Object::new();
    set_bytes(&mut object, "name", &cursor.name, form);
    set_bytes(&mut object, "key", cursor.range.start(), form);
    match &cursor.range.end {
        RangeEnd::Key => {}
        RangeEnd::Before(end) => set_bytes(&mut object, "end", end, form),
        RangeEnd::Unbounded => set_bytes(&mut object, "end", b"\0", form),
    }
    object.insert("position".into(), cursor.position.get().into());
    object.insert("lapsed".into(), cursor.lapsed.into());
    Value::Object(object)
}
