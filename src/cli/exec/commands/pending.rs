//! What the engine does not do yet: understood as strictly as all else, then refused as unsupported.

use std::time::Duration;

use super::super::answer::{Outcome, Problem};
use super::super::request::{Fields, ill_typed, missing};

pub(super) const HELD: &str = "the compare `held` is not supported yet";
pub(super) const LOCK_DELAY: &str = "`lock_delay_ms` is not supported yet";
const FENCE: &str = "`fence` is not supported yet";
const OP_ID: &str = "`op_id` is not supported yet";
const LEASE_OPS: &str = "lease operations in a txn are not supported yet";
const COORDINATION: &str = "sessions, locks and elections are not supported yet";
const CURSORS: &str = "cursors are not supported yet";
const RETENTION: &str = "retention is not supported yet";
const REFRESH: &str = "`refresh` is not supported yet";

pub(super) fn refuse(unsupported: Option<&'static str>) -> Result<(), Problem> {
    unsupported.map_or(Ok(()), |what| Err(Problem::Unsupported(what)))
}

/// A fencing token.
pub(super) struct Token;

impl Token {
    pub(super) fn take(fields: &mut Fields) -> Result<Token, Problem> {
        fields.need_bytes("key")?;
        fields.need_revision("revision")?;
        fields.need_lease("lease")?;
        fields.finish()?;
        Ok(Token)
    }
}

/// What guards a write: fences, and the id that makes it happen once.
pub(super) struct Guards {
    fences: Vec<Token>,
    has_op_id: bool,
}

impl Guards {
    /// `fence?` and `O`.
    pub(super) fn take(fields: &mut Fields) -> Result<Guards, Problem> {
        let fences = fields.one_or_more("fence")?.iter_mut().map(Token::take).collect::<Result<_, _>>()?;
        Ok(Guards { fences, ..Guards::take_op_id(fields)? })
    }

    /// `O`: `op_id?`, 32 hex digits and not zero, and `since?`.
    pub(super) fn take_op_id(fields: &mut Fields) -> Result<Guards, Problem> {
        let (id, since) = (fields.text("op_id")?, fields.count("since")?);
        if let Some(id) = &id {
            let is_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_hex || id.bytes().all(|byte| byte == b'0') {
                return Err(ill_typed("op_id", "32 hex digits, not all of them zero"));
            }
        } else if since.is_some() {
            return Err(missing("op_id"));
        }
        Ok(Guards { fences: Vec::new(), has_op_id: id.is_some() })
    }

    pub(super) fn refuse(&self) -> Result<(), Problem> {
        refuse((!self.fences.is_empty()).then_some(FENCE).or(self.has_op_id.then_some(OP_ID)))
    }
}

/// An operation of a txn.
pub(super) fn take_op(cmd: &str, fields: &mut Fields) -> Result<&'static str, Problem> {
    match cmd {
        "lease_grant" => {
            fields.need_duration("ttl_ms")?;
            fields.need_lease("lease")?;
            fields.duration("lock_delay_ms")?;
            Ok(LEASE_OPS)
        }
        "lease_revoke" => fields.need_lease("lease").map(|_| LEASE_OPS),
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
        "session" | "session_alive" | "session_close" => session(cmd, fields)?,
        "lock" | "unlock" | "lock_held" | "elect" | "proclaim" | "resign" | "leader" => place(cmd, fields)?,
        "cursor_create" | "cursor_advance" | "cursor_reset" | "cursor_drop" | "cursor_list" => cursor(cmd, fields)?,
        "retain" => retain(fields)?,
        "refresh" => REFRESH,
        _ => return Err(Problem::invalid("unknown cmd")),
    };
    fields.finish()?;
    Err(Problem::Unsupported(what))
}

fn session(cmd: &str, fields: &mut Fields) -> Result<&'static str, Problem> {
    if cmd == "session" {
        let _: [Option<Duration>; 2] = [fields.duration("ttl_ms")?, fields.duration("lock_delay_ms")?];
        fields.lease("lease")?;
    } else {
        fields.handle("session")?;
    }
    if cmd == "session_close" {
        fields.flag_or("revoke", true)?;
    }
    Ok(COORDINATION)
}

fn place(cmd: &str, fields: &mut Fields) -> Result<&'static str, Problem> {
    match cmd {
        "unlock" | "lock_held" => _ = fields.handle("lock")?,
        "proclaim" | "resign" => _ = fields.handle("election")?,
        _ => _ = fields.need_bytes("name")?,
    }
    if matches!(cmd, "elect" | "proclaim") {
        fields.need_bytes("value")?;
    }
    if matches!(cmd, "lock" | "elect") {
        fields.optional_handle("session")?;
        fields.patience()?;
    }
    Ok(COORDINATION)
}

fn cursor(cmd: &str, fields: &mut Fields) -> Result<&'static str, Problem> {
    if cmd != "cursor_list" {
        fields.need_bytes("name")?;
    }
    match cmd {
        "cursor_create" => _ = (fields.target()?, fields.revision("rev")?),
        "cursor_advance" => {
            _ = (fields.need_revision("from")?, fields.need_revision("to")?, Guards::take_op_id(fields)?);
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
