//! `lock` and `elect`, as etcdctl.
//!
//! The store belongs to this process, so others wait for the store before they can wait for the lock. What a lock does
//! here is to keep out what a process has left behind that died with it: its key stays until its lease ends.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Subcommand};
use crossbeam_channel::{Receiver, bounded, select};

use super::Outcome;
use super::args::parse_duration;
use super::child::Child;
use super::context::{Context, Create};
use super::exit::{Exit, Failure};
use super::print::{Asked, Printer};
use super::signals::Signals;
use super::words::{bytes, os_string};
use crate::coordination::{Cancel, LeaderObserver, LockGuard, SESSION_TTL_DEFAULT, WaitOptions};
use crate::{Db, Error, KeyValue, RangeResponse, Session};

#[derive(Debug, Subcommand)]
pub(super) enum LockCommand {
    /// Take a lock, and hold it while a command runs, or until a signal
    ///
    /// CMD runs with ETCD_LOCK_KEY and ETCD_LOCK_REV, the fencing number, in its environment, and its exit code is
    /// passed on. The store stays held as long as the lock: a CMD that opens it is told that this process has it open.
    ///
    /// Without CMD the key of the lock is printed once the lock is held.
    Lock(LockArgs),
    /// Lead an election, or follow who leads it, until a signal
    ///
    /// Prints the leader's key and value: with VALUE once elected, with --listen each time another one leads. A store
    /// belongs to one process at a time, so candidates of other processes are those that died and whose lease still
    /// runs.
    Elect(ElectArgs),
}

#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// The name of the lock
    name: OsString,
    /// How long the lock outlives this process if that dies
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = parse_duration)]
    ttl: Duration,
    /// Do not wait: exit with 0, or 3 with -e, if somebody holds it
    #[arg(long = "try")]
    no_wait: bool,
    /// Run this under the lock
    #[arg(value_name = "CMD", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct ElectArgs {
    /// The name of the election
    name: OsString,
    /// What the leader has to say
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    value: Option<OsString>,
    /// Follow who leads
    #[arg(short, long)]
    listen: bool,
}

impl LockCommand {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self {
            LockCommand::Lock(args) => lock(args, context),
            LockCommand::Elect(ElectArgs { name, value: Some(value), .. }) => {
                campaign(&bytes(name), &bytes(value), context)
            }
            LockCommand::Elect(ElectArgs { name, value: None, .. }) => observe(&bytes(name), context),
        }
    }
}

fn lock(args: LockArgs, context: &Context) -> Outcome {
    let db = context.open(Create::Never)?;
    let signals = Signals::listen()?;
    let session = db.session(args.ttl)?;
    let mutex = session.mutex(bytes(args.name));
    let printer = Printer::new(context, &db);
    let attempt =
        if args.no_wait { mutex.try_lock() } else { mutex.lock_with(&WaitOptions::new().cancel(&on_signal(&signals))) };
    let guard = match attempt {
        Ok(Some(guard)) => guard,
        Ok(None) => {
            printer.print(db.revision(), |form, text, header| form.locked(text, header, None))?;
            session.close()?;
            return Ok(context.yes_or_no(false));
        }
        Err(error) => return canceled(&signals, error),
    };
    let exit = match Child::new(args.command, true) {
        Some(child) => child.run(&environment(&guard), &signals),
        None => {
            let kv = db.get(guard.key())?.ok_or(Error::SessionExpired)?;
            printer.print(db.revision(), |form, text, header| form.locked(text, header, Some(&kv)))?;
            until_signal(&signals, &session)?
        }
    };
    let unlocked = guard.unlock().and_then(|_| session.close());
    // A command that failed has more to say than a lock that was lost.
    if exit == Exit::Number(0) {
        unlocked?;
    }
    Ok(exit)
}

/// What etcdctl tells the command.
fn environment(guard: &LockGuard) -> [(&'static str, OsString); 2] {
    [("ETCD_LOCK_KEY", os_string(guard.key().to_vec())), ("ETCD_LOCK_REV", guard.revision().to_string().into())]
}

fn campaign(name: &[u8], value: &[u8], context: &Context) -> Outcome {
    let db = context.open(Create::Never)?;
    let signals = Signals::listen()?;
    let session = db.session(SESSION_TTL_DEFAULT)?;
    let options = WaitOptions::new().cancel(&on_signal(&signals));
    let leadership = match session.election(name).campaign_with(value, &options) {
        // Without a time limit there is no other end than these.
        Ok(leadership) => leadership.ok_or(Error::Timeout)?,
        Err(error) => return canceled(&signals, error),
    };
    let kv = db.get(leadership.key())?.ok_or(Error::SessionExpired)?;
    print_leader(&Printer::new(context, &db), &db, kv)?;
    let exit = until_signal(&signals, &session)?;
    leadership.resign()?;
    session.close()?;
    Ok(exit)
}

fn observe(name: &[u8], context: &Context) -> Outcome {
    let db = context.open(Create::Never)?;
    let signals = Signals::listen()?;
    let printer = Printer::new(context, &db);
    let leaders: LeaderObserver = db.observe_leader(name)?;
    let canceller = leaders.canceller();
    signals.on_signal(move || canceller.cancel());
    for leader in leaders {
        match leader {
            Ok(leader) => print_leader(&printer, &db, leader)?,
            Err(Error::Canceled) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(signals.exit().unwrap_or(Exit::Done))
}

/// As etcdctl: the answer to a get of the leader's key.
fn print_leader(printer: &Printer, db: &Db, leader: KeyValue) -> Result<(), Failure> {
    let revision = db.revision();
    let answer = RangeResponse { revision, kvs: vec![leader], more: false, count: Some(1) };
    printer.print(revision, |form, text, header| form.get(text, header, &answer, Asked::default()))
}

/// What cancels a wait at the first signal.
fn on_signal(signals: &Signals) -> Cancel {
    let cancel = Cancel::new();
    let called = cancel.clone();
    signals.on_signal(move || called.cancel());
    cancel
}

/// A wait that did not end well: if that was a signal's doing, with its exit code.
fn canceled(signals: &Signals, error: Error) -> Outcome {
    match (error, signals.exit()) {
        (Error::WaitCanceled, Some(exit)) => Ok(exit),
        (error, _) => Err(error.into()),
    }
}

/// Waits for a signal; a session that is lost before is an error.
fn until_signal(signals: &Signals, session: &Session) -> Outcome {
    let (on_signal, signaled) = bounded::<()>(0);
    signals.on_signal(move || drop(on_signal));
    let lost: Receiver<()> = {
        let (on_loss, lost) = bounded(0);
        let done = session.done();
        std::thread::spawn(move || {
            done.wait();
            drop(on_loss);
        });
        lost
    };
    select! {
        recv(signaled) -> _ => Ok(signals.exit().unwrap_or(Exit::Done)),
        recv(lost) -> _ => Err(Error::SessionExpired.into()),
    }
}
