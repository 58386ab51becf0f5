//! Cursors by message: made, asked for, put elsewhere, ended. Advancing one is a write, and is with those.

use super::etclitepb as our;
use super::identity::{Identity, wire_count, wire_revision};
use super::request::{key_range, millis, positive};
use super::response::wire_millis;
use super::write::{once, told};
use crate::db::{CursorStatus, Db};
use crate::error::{Error, Result};
use crate::kv::Revision;
use crate::op::{AdvanceResponse, OnceResponse};

pub(super) fn create(db: &Db, identity: Identity, request: our::CursorCreateRequest) -> Result<our::CursorResponse> {
    let mut builder = db.cursor(&request.name, key_range(request.key, request.range_end));
    if let Some(position) = request.position {
        builder = builder.at(positive(position));
    }
    if request.no_put {
        builder = builder.no_put();
    }
    if request.no_delete {
        builder = builder.no_delete();
    }
    let builder = builder.max_lag(positive(request.max_lag)).max_age(millis(request.max_age_ms));
    let (revision, replay) = match request.operation {
        None => (builder.submit()?.revision, None),
        Some(operation) => {
            let (revision, replay) = told(once(db, operation).create_cursor(builder)?, |_, revision| revision);
            (revision, Some(replay))
        }
    };
    // It may have been dropped since, of a repetition long ago.
    let cursor = match db.open_cursor(&request.name).and_then(|cursor| cursor.status()) {
        Ok(status) => Some(message(status)),
        Err(Error::CursorNotFound) => None,
        Err(error) => return Err(error),
    };
    Ok(our::CursorResponse { header: Some(identity.header(revision)), cursor, replay })
}

pub(super) fn status(db: &Db, identity: Identity, request: our::CursorStatusRequest) -> Result<our::CursorResponse> {
    let cursor = Some(message(db.open_cursor(&request.name)?.status()?));
    Ok(our::CursorResponse { header: Some(identity.header(db.revision())), cursor, replay: None })
}

pub(super) fn reset(
    db: &Db,
    identity: Identity,
    request: our::CursorResetRequest,
) -> Result<our::CursorPositionResponse> {
    let our::CursorResetRequest { name, to, operation } = request;
    match operation {
        None => Ok(moved(identity, db.open_cursor(&name)?.submit_reset(positive(to))?)),
        Some(operation) => Ok(repeatable(identity, once(db, operation).reset_cursor(&name, positive(to))?)),
    }
}

pub(super) fn end(db: &Db, identity: Identity, request: our::CursorDropRequest) -> Result<our::CursorPositionResponse> {
    let our::CursorDropRequest { name, operation } = request;
    match operation {
        None => Ok(moved(identity, db.open_cursor(&name)?.submit_drop()?)),
        Some(operation) => Ok(repeatable(identity, once(db, operation).drop_cursor(&name)?)),
    }
}

fn moved(
    identity: Identity,
    AdvanceResponse { revision, position: at }: AdvanceResponse,
) -> our::CursorPositionResponse {
    position(revision, identity, at, None)
}

fn repeatable(identity: Identity, done: OnceResponse<Revision>) -> our::CursorPositionResponse {
    let ((at, revision), replay) = told(done, |at, revision| (at, revision));
    position(revision, identity, at, Some(replay))
}

fn position(
    revision: Revision,
    identity: Identity,
    at: Revision,
    replay: Option<our::Replay>,
) -> our::CursorPositionResponse {
    our::CursorPositionResponse { header: Some(identity.header(revision)), position: wire_revision(at), replay }
}

pub(super) fn list(db: &Db, identity: Identity, _: our::CursorListRequest) -> Result<our::CursorListResponse> {
    let cursors = db.cursors()?.into_iter().map(message).collect();
    Ok(our::CursorListResponse { header: Some(identity.header(db.revision())), cursors })
}

fn message(status: CursorStatus) -> our::CursorStatus {
    let (key, range_end) = status.range.into_wire();
    our::CursorStatus {
        name: status.name,
        key,
        range_end,
        position: wire_revision(status.position),
        no_put: status.no_put,
        no_delete: status.no_delete,
        max_lag: wire_count(status.max_lag),
        max_age_ms: wire_millis(status.max_age),
        lapsed: status.lapsed,
    }
}
