//! The commands: each takes its fields, calls one verb of the store, and answers.

mod cursor;
mod guard;
mod kv;
mod lease;
pub(super) mod lock;
mod maintenance;
mod pending;
pub(super) mod session;
mod txn;
pub(super) mod watch;

use std::time::{Duration, Instant};

use super::Driver;
use super::answer::{Answer, Outcome, Problem};
use super::request::{Fields, Request};
use crate::cli::json::Bytes;
use crate::error::{Error, Result};
use crate::{Db, Health};

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
        "session" => session::session(call, fields),
        "session_alive" => session::alive(call, fields),
        "session_close" => session::close(call, fields),
        "lock" => lock::lock(call, fields),
        "unlock" => lock::unlock(call, fields),
        "lock_held" => lock::held(call, fields),
        "elect" => lock::elect(call, fields),
        "proclaim" => lock::proclaim(call, fields),
        "resign" => lock::resign(call, fields),
        "leader" => lock::leader(call, fields),
        "cursor_create" => cursor::create(call, fields),
        "cursor_advance" => cursor::advance(call, fields),
        "cursor_reset" => cursor::reset(call, fields),
        "cursor_drop" => cursor::drop(call, fields),
        "cursor_list" => cursor::list(call, fields),
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

/// What hangs on a store that was closed, by `reopen`, answers so for ever.
fn check_open(db: &Db) -> Result<()> {
    if matches!(db.health(), Health::Closed) { Err(Error::Closed) } else { Ok(()) }
}

/// When a wait that begins now is over; `None` if no clock will ever show it.
fn deadline(duration: Duration) -> Option<Instant> {
    Instant::now().checked_add(duration)
}
