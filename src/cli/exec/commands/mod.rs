//! The commands: each takes its fields, calls one verb of the store, and answers.

mod kv;
mod lease;
mod maintenance;
mod pending;
mod txn;
pub(super) mod watch;

use std::time::{Duration, Instant};

use super::Driver;
use super::answer::{Answer, Outcome, Problem};
use super::request::{Fields, Request};
use crate::Db;
use crate::cli::json::Bytes;

/// What a command has besides its fields.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) driver: &'a Driver,
    pub(super) client: u8,
}

impl Call<'_> {
    fn db(&self) -> Db {
        self.driver.db()
    }

    /// How bytes are told.
    fn form(&self) -> Bytes {
        self.driver.form
    }
}

/// Runs a command.
pub(super) fn run(call: &Call<'_>, request: Request) -> Outcome {
    let Request { cmd, mut fields } = request;
    let fields = &mut fields;
    match &cmd[..] {
        "put" => kv::put(call, fields),
        "get" => kv::get(call, fields),
        "range" => kv::range(call, fields),
        "del" => kv::del(call, fields),
        "txn" => txn::txn(call, fields),
        "compact" => maintenance::compact(call, fields),
        "revision" => maintenance::revision(call, fields),
        "lease_grant" => lease::grant(call, fields),
        "lease_revoke" => lease::revoke(call, fields),
        "lease_keepalive" => lease::keepalive(call, fields),
        "lease_ttl" => lease::ttl(call, fields),
        "lease_list" => lease::list(call, fields),
        "watch" => watch::watch(call, fields),
        "watch_next" => watch::next(call, fields),
        "watch_cancel" => watch::cancel(call, fields),
        "check" => maintenance::check(call, fields),
        "dump" => maintenance::dump(call, fields),
        "backup" => maintenance::backup(call, fields),
        "hash" => maintenance::hash(call, fields),
        "status" => maintenance::status(call, fields),
        "stats" => maintenance::stats(call, fields),
        "version" => maintenance::version(fields),
        "flush" => maintenance::flush(call, fields),
        "sync" => maintenance::sync(call, fields),
        "reopen" => maintenance::reopen(call, fields),
        "sleep" => sleep(call, fields),
        other => pending::run(other, fields),
    }
}

fn sleep(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let duration = fields.need_duration("ms")?;
    fields.finish()?;
    let wait = call.driver.board.wait(call.client, false, || {});
    if wait.sleep_until(deadline(duration)) { Answer::new().done() } else { Err(Problem::Canceled) }
}

/// When a wait that begins now is over; `None` if no clock will ever show it.
fn deadline(duration: Duration) -> Option<Instant> {
    Instant::now().checked_add(duration)
}
