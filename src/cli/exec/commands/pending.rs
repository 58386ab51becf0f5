//! What the engine does not do yet: understood as strictly as all else, then refused as unsupported.

use super::super::answer::{Outcome, Problem};
use super::super::request::Fields;

pub(super) fn run(cmd: &str, fields: &mut Fields) -> Outcome {
    let what = match cmd {
        "retain" => retain(fields)?,
        "refresh" => "`refresh` is not supported yet",
        _ => return Err(Problem::invalid("unknown cmd")),
    };
    fields.finish()?;
    Err(Problem::Unsupported(what))
}

fn retain(fields: &mut Fields) -> Result<&'static str, Problem> {
    fields.need_bytes("name")?;
    fields.need_bytes("prefix")?;
    fields.duration("keep_age_ms")?;
    fields.count("keep_revisions")?;
    fields.flag("drop")?;
    Ok("retention is not supported yet")
}
