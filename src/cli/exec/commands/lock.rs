//! `lock`, `unlock`, `lock_held`, `elect`, `proclaim`, `resign`, `leader`.

use std::time::Duration;

use super::super::answer::{Answer, Outcome, Problem};
use super::super::request::Fields;
use super::guard::token_object;
use super::{Call, check_open, session};
use crate::Revision;
use crate::cli::json::{Part, kv_object};
use crate::coordination::{Cancel, WaitOptions};
use crate::error::Result;

pub(super) fn lock(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (name, number) = (fields.need_bytes("name")?, fields.optional_handle("session")?);
    let patience = fields.patience()?;
    fields.finish()?;
    let mutex = session::of(call, number)?.mutex(name);
    let guard = match patience {
        // Who does not wait leaves no trace.
        Some(Duration::ZERO) => mutex.try_lock()?,
        _ => wait(call, patience, |options| mutex.lock_with(options))?,
    };
    let Some(guard) = guard else { return Answer::at(call.db().revision()).field("acquired", false).done() };
    let answer = Answer::at(guard.acquired_revision()).field("acquired", true);
    let token = token_object(guard.token(), call.form());
    answer.field("lock", call.driver.handles.add_lock(guard)).field("token", token).done()
}

pub(super) fn unlock(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let number = fields.handle("lock")?;
    fields.finish()?;
    let guard = call.driver.handles.lock(number)?;
    check_open(guard.session().db())?;
    Answer::at(guard.unlock()?).done()
}

pub(super) fn held(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let number = fields.handle("lock")?;
    fields.finish()?;
    let guard = call.driver.handles.lock(number)?;
    check_open(guard.session().db())?;
    let held = guard.is_held()?;
    Answer::at(call.db().revision()).field("held", held).done()
}

pub(super) fn elect(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (name, value) = (fields.need_bytes("name")?, fields.need_bytes("value")?);
    let (number, patience) = (fields.optional_handle("session")?, fields.patience()?);
    fields.finish()?;
    let election = session::of(call, number)?.election(name);
    let lead = wait(call, patience, |options| election.campaign_with(&value, options))?;
    let Some(lead) = lead else { return Answer::at(call.db().revision()).field("elected", false).done() };
    let answer = Answer::at(lead.elected_revision()).field("elected", true);
    let token = token_object(lead.token(), call.form());
    answer.field("election", call.driver.handles.add_election(lead)).field("token", token).done()
}

pub(super) fn proclaim(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (number, value) = (fields.handle("election")?, fields.need_bytes("value")?);
    fields.finish()?;
    let lead = call.driver.handles.election(number)?;
    check_open(lead.session().db())?;
    Answer::at(lead.proclaim(value)?).done()
}

pub(super) fn resign(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let number = fields.handle("election")?;
    fields.finish()?;
    let lead = call.driver.handles.election(number)?;
    check_open(lead.session().db())?;
    Answer::at(lead.resign()?).done()
}

pub(super) fn leader(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let name = fields.need_bytes("name")?;
    fields.finish()?;
    let db = call.db();
    let before = db.revision();
    let kv = db.leader(name)?;
    // What was read is no older than what was asked before.
    let revision = kv.as_ref().map_or(Revision::ZERO, |kv| kv.mod_revision).max(before);
    let told = kv.as_ref().map(|kv| kv_object(kv, Part::Whole, call.form()));
    Answer::at(revision).field("found", kv.is_some()).maybe("kv", told).done()
}

/// Waits for a place, as long as the request says and the driver runs.
fn wait<T>(
    call: &Call<'_>,
    patience: Option<Duration>,
    attempt: impl Fn(&WaitOptions) -> Result<Option<T>>,
) -> Result<Option<T>, Problem> {
    let cancel = Cancel::new();
    let options = WaitOptions::new().cancel(&cancel);
    let options = match patience {
        Some(timeout) => options.timeout(timeout),
        None => options,
    };
    let _wait = call.driver.board.wait(call.client, patience.is_none(), move || cancel.cancel());
    loop {
        let come = attempt(&options)?;
        if come.is_some() || patience.is_some() {
            return Ok(come);
        }
    }
}
