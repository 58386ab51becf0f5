//! `lease`: grant, revoke, timetolive, list, keep-alive, as etcdctl.
//!
//! A lease goes on while the store is closed: what is left of it is on disk. So `lease grant` in one process and
//! `put --lease` in the next work together, as against a server.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Outcome;
use super::args::parse_duration;
use super::context::{Context, Create};
use super::exit::{Exit, Failure};
use super::print::Printer;
use super::signals::Signals;
use super::words::IdForm;
use crate::{Db, Error, Lease};

#[derive(Debug, Subcommand)]
pub(super) enum LeaseCommand {
    /// Grant a lease
    Grant {
        /// How long it lives: seconds, or with a unit as in 1500ms, 2m
        #[arg(value_parser = parse_duration)]
        ttl: Duration,
    },
    /// End a lease and delete its keys
    Revoke(LeaseArgs),
    /// Print what is left of a lease
    #[command(name = "timetolive")]
    TimeToLive {
        #[command(flatten)]
        lease: LeaseArgs,
        /// Print the keys that it holds, too
        #[arg(long)]
        keys: bool,
    },
    /// Print all leases, by the time they end
    List,
    /// Renew a lease, again and again until a signal
    KeepAlive {
        #[command(flatten)]
        lease: LeaseArgs,
        /// Renew it once
        #[arg(long)]
        once: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct LeaseArgs {
    /// The lease, in hex
    #[arg(allow_hyphen_values = true)]
    id: String,
    #[command(flatten)]
    form: IdForm,
}

impl LeaseArgs {
    fn open<'c>(&self, context: &'c Context) -> Result<(Db, Lease, Printer<'c>), Failure> {
        let id = self.form.lease(&self.id)?;
        let db = context.open(Create::Never)?;
        let printer = Printer::new(context, &db);
        Ok((db.clone(), db.lease(id), printer))
    }
}

impl LeaseCommand {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self {
            LeaseCommand::Grant { ttl } => grant(ttl, context),
            LeaseCommand::Revoke(args) => {
                let (_, lease, printer) = args.open(context)?;
                let revision = lease.revoke()?;
                context.changed();
                printer.print(revision, |form, text, header| form.revoked(text, header, lease.id()))?;
                Ok(Exit::Done)
            }
            LeaseCommand::TimeToLive { lease, keys } => {
                let (db, lease, printer) = lease.open(context)?;
                let found = lease.time_to_live()?;
                printer.print(db.revision(), |form, text, header| {
                    form.time_to_live(text, header, lease.id(), found.as_ref(), keys);
                })?;
                Ok(Exit::Done)
            }
            LeaseCommand::List => {
                let db = context.open(Create::Never)?;
                let leases = db.leases()?;
                Printer::new(context, &db)
                    .print(db.revision(), |form, text, header| form.leases(text, header, &leases))?;
                Ok(Exit::Done)
            }
            LeaseCommand::KeepAlive { lease, once } => {
                let (db, lease, printer) = lease.open(context)?;
                if once { keep_alive_once(context, &db, &lease, &printer) } else { keep_alive(&db, &lease, &printer) }
            }
        }
    }
}

fn grant(ttl: Duration, context: &Context) -> Outcome {
    let db = context.open(Create::Never)?;
    let lease = db.grant(ttl)?;
    context.changed();
    let granted = lease.granted().unwrap_or(ttl);
    let revision = lease.grant_revision().unwrap_or_else(|| db.revision());
    Printer::new(context, &db).print(revision, |form, text, header| form.granted(text, header, lease.id(), granted))?;
    Ok(Exit::Done)
}

fn keep_alive_once(context: &Context, db: &Db, lease: &Lease, printer: &Printer) -> Outcome {
    let ttl = lease.keep_alive()?;
    context.changed();
    printer.print(db.revision(), |form, text, header| form.kept_alive(text, header, lease.id(), ttl))?;
    Ok(Exit::Done)
}

/// Renews at each third of the TTL, as etcd's clients, until the lease is gone or a signal comes.
fn keep_alive(db: &Db, lease: &Lease, printer: &Printer) -> Outcome {
    let signals = Signals::listen()?;
    loop {
        let ttl = match lease.keep_alive() {
            Ok(ttl) => ttl,
            Err(Error::LeaseNotFound) => {
                printer.print(db.revision(), |form, text, header| form.lease_gone(text, header, lease.id()))?;
                return Ok(Exit::Done);
            }
            Err(error) => return Err(error.into()),
        };
        printer.print(db.revision(), |form, text, header| form.kept_alive(text, header, lease.id(), ttl))?;
        if let Some(exit) = signals.wait(ttl / 3) {
            return Ok(exit);
        }
    }
}
