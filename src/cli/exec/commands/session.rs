//! `session`, `session_alive`, `session_close`; and the sessions that clients have without asking for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::answer::{Answer, Outcome, Problem};
use super::super::request::Fields;
use super::{Call, check_open};
use crate::coordination::{SESSION_TTL_DEFAULT, Session, SessionOptions};

pub(super) fn session(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (ttl, lease) = (fields.duration("ttl_ms")?, fields.lease("lease")?);
    let delay = fields.duration("lock_delay_ms")?;
    fields.finish()?;
    let db = call.db();
    let options = SessionOptions::new().ttl(ttl.unwrap_or(SESSION_TTL_DEFAULT)).lease(lease);
    let session = db.session_with(options.lock_delay(delay.unwrap_or_default()))?;
    let lease = session.lease();
    let number = call.driver.handles.add_session(Held::new(session));
    Answer::at(db.revision()).field("session", number).lease("lease", lease).done()
}

pub(super) fn alive(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let number = fields.handle("session")?;
    fields.finish()?;
    let held = call.driver.handles.session(number)?;
    check_open(held.session.db())?;
    Answer::at(call.db().revision()).field("alive", held.session.is_alive()).done()
}

pub(super) fn close(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (number, revoke) = (fields.handle("session")?, fields.flag_or("revoke", true)?);
    fields.finish()?;
    let held = call.driver.handles.session(number)?;
    check_open(held.session.db())?;
    let revoked = if revoke {
        held.session.close()?
    } else {
        held.is_orphan.store(true, Ordering::Release);
        held.session.orphan();
        None
    };
    Answer::at(revoked.unwrap_or_else(|| call.db().revision())).done()
}

/// A session behind a handle.
pub(in crate::cli::exec) struct Held {
    session: Session,
    /// Given up on purpose: its lease ends by itself, also when the driver does.
    is_orphan: AtomicBool,
}

impl Held {
    fn new(session: Session) -> Held {
        Held { session, is_orphan: AtomicBool::new(false) }
    }

    /// Ends it with the driver.
    pub(in crate::cli::exec) fn end(&self) {
        if !self.is_orphan.load(Ordering::Acquire) {
            // If it fails, the lease ends by itself: nobody renews it any more.
            let _ = self.session.close();
        }
    }
}

/// The session that a request names, or that of its client: one of 60 s, replaced once it is lost.
pub(super) fn of(call: &Call<'_>, number: Option<u64>) -> Result<Session, Problem> {
    let handles = &call.driver.handles;
    if let Some(number) = number {
        let session = handles.session(number)?.session.clone();
        check_open(session.db())?;
        return Ok(session);
    }
    // Requests of a client run one after the other, so nobody else makes one for it meanwhile.
    if let Some(held) = handles.session_of_client(call.client)
        && held.session.is_alive()
        && check_open(held.session.db()).is_ok()
    {
        return Ok(held.session.clone());
    }
    let session = call.db().session(SESSION_TTL_DEFAULT)?;
    handles.set_session_of_client(call.client, Arc::new(Held::new(session.clone())));
    Ok(session)
}
