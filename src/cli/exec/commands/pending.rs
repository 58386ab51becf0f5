//! What the engine does not do yet: understood as strictly as all else, then refused as unsupported.

use super::super::answer::{Outcome, Problem};
use super::super::request::Fields;
use super::guard::Guards;

const CURSORS: &str = "cursors are not supported yet";
const RETENTION: &str = "retention is not supported yet";
const REFRESH: &str = "`refresh` is not supported yet";

pub(super) fn refuse(unsupported: Option<&'static str>) -> Result<(), Problem> {
    unsupported.map_or(Ok(()), |what| Err(Problem::Unsupported(what)))
}

/// An operation of a txn.
pub(super) fn take_op(cmd: &str, fields: &mut Fields) -> Result<&'static str, Problem> {
    match cmd {
        "cursor_advance" => {
            fields.need_bytes("name")?;
            fields.need_revision("from")?;
            fields.need_revision("to")?;
            Ok(CURSORS)
        }
        _ => Err(Problem::invalid("unknown cmd in a txn")),
    }
}

/// A command of its own.
pub(super) fn run(cmd: &str, fields: &mut Fields) -> Outcome {
    let what = match cmd {
        "cursor_create" | "cursor_advance" | "cursor_reset" | "cursor_drop" | "cursor_list" => cursor(cmd, fields)?,
        "retain" => retain(fields)?,
        "refresh" => REFRESH,
        _ => return Err(Problem::invalid("unknown cmd")),
    };
    fields.finish()?;
    Err(Problem::Unsupported(what))
}

fn cursor(cmd: &str, fields: &mut Fields) -> Result<&'static str, Problem> {
    if cmd != "cursor_list" {
        fields.need_bytes("name")?;
    }
    match cmd {
        "cursor_create" => _ = (fields.target()?, fields.revision("rev")?),
        "cursor_advance" => {
            _ = (fields.need_revision("from")?, fields.need_revision("to")?, Guards::take_id(fields)?);
        }
        "cursor_reset" => _ = fields.need_revision("to")?,
        _ => {}
    }
    Ok(CURSORS)
}

fn retain(fields: &mut Fields) -> Result<&'static str, Problem> {
    fields.need_bytes("name")?;
    fields.need_bytes("prefix")?;
    fields.duration("keep_age_ms")?;
    fields.count("keep_revisions")?;
    fields.flag("drop")?;
    Ok(RETENTION)
}
