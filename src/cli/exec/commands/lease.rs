//! `lease_grant`, `lease_revoke`, `lease_keepalive`, `lease_ttl`, `lease_list`.

use serde_json::{Value, json};

use super::super::answer::{Answer, Outcome, Problem, millis};
use super::super::request::Fields;
use super::Call;
use super::guard::Guards;
use crate::GrantOptions;
use crate::cli::json::{Object, lease_text, set_bytes};
use crate::error::Error;

pub(super) fn grant(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = Guards::take_id(fields)?;
    let options = take_grant(fields)?;
    fields.finish()?;
    let db = call.db();
    let once = guards.once(&db, |operation| operation.grant_with(options), |db| db.grant_with(options))?;
    let (id, ttl) = (once.response.id(), once.response.granted());
    let revision = once.response.grant_revision().unwrap_or_else(|| db.revision());
    let answer = Answer::at(revision).lease("lease", id).maybe("granted_ms", ttl.map(millis));
    once.mark(answer).done()
}

/// The fields of a grant, here and in a txn.
pub(super) fn take_grant(fields: &mut Fields) -> Result<GrantOptions, Problem> {
    let options = GrantOptions::new(fields.need_duration("ttl_ms")?).id(fields.lease("lease")?);
    Ok(options.lock_delay(fields.duration("lock_delay_ms")?.unwrap_or_default()))
}

pub(super) fn revoke(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let guards = Guards::take_id(fields)?;
    let id = fields.need_lease("lease")?;
    fields.finish()?;
    let once = guards.once(&call.db(), |operation| operation.revoke(id), |db| db.lease(id).revoke())?;
    once.mark(Answer::at(once.response)).done()
}

/// The revision is that of before the renewal, so that no lease is seen alive at a revision after its end (LE-04).
pub(super) fn keepalive(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let id = fields.need_lease("lease")?;
    fields.finish()?;
    let db = call.db();
    let before = db.revision();
    match db.lease(id).keep_alive() {
        Ok(granted) => Answer::at(before).field("alive", true).millis("granted_ms", granted).done(),
        Err(Error::LeaseNotFound) => Answer::at(db.revision()).field("alive", false).done(),
        Err(error) => Err(Problem::Store(error)),
    }
}

pub(super) fn ttl(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (id, with_keys) = (fields.need_lease("lease")?, fields.flag("keys")?);
    fields.finish()?;
    let db = call.db();
    let before = db.revision();
    let Some(status) = db.lease(id).time_to_live()? else {
        return Answer::at(db.revision()).field("alive", false).done();
    };
    let named = |key: &bytes::Bytes| {
        let mut object = Object::new();
        set_bytes(&mut object, "key", key, call.form());
        Value::Object(object)
    };
    Answer::at(before)
        .field("alive", true)
        .millis("granted_ms", status.granted)
        .millis("remaining_ms", status.remaining)
        .maybe("keys", with_keys.then(|| status.keys.iter().map(named).collect::<Value>()))
        .done()
}

pub(super) fn list(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    fields.finish()?;
    let db = call.db();
    let listed = db.leases()?;
    let told = listed.iter().map(|lease| {
        json!({
            "lease": lease_text(lease.id),
            "granted_ms": millis(lease.granted),
            "remaining_ms": millis(lease.remaining),
            "keys": lease.key_count,
        })
    });
    Answer::at(db.revision()).field("leases", told.collect::<Value>()).done()
}
