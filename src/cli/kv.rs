//! Commands on keys, with etcdctl's names and flags: put, get, del, compaction; and create, cas and revision, which are
//! ours.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};

use super::Outcome;
use super::args::Format;
use super::context::{Context, Create};
use super::exit::{Exit, Failure};
use super::print::{Asked, Form, Header, Printer};
use super::words::{IdForm, Keys, bytes, value_or_stdin};
use crate::{
    Compare, Db, Delete, KeyRange, Put, PutOptions, Range, RangeResponse, Revision, SortOrder, SortTarget, TxnResponse,
};

#[derive(Debug, Subcommand)]
pub(super) enum KvCommand {
    /// Put a value at a key
    ///
    /// Without VALUE it comes from standard input: `etclite app.etcl put config < config.yaml`. A value that begins
    /// with a dash follows two: `put key -- -v`. Creates the store if there is none.
    Put(PutArgs),
    /// Print a key, or the keys of a range
    ///
    /// END is not part of the range. A missing key prints nothing and exits with 0, or 3 with -e.
    Get(GetArgs),
    /// Delete a key, or the keys of a range
    ///
    /// Prints how many. END is not part of the range; in place of an END of one zero byte there is --from-key.
    Del(DelArgs),
    /// Drop history below a revision
    #[command(alias = "compact")]
    Compaction(CompactionArgs),
    /// Put a value at a key only if the key does not exist
    Create(CreateArgs),
    /// Put a value at a key only if nobody has changed it since
    Cas(CasArgs),
    /// Print the store's revision
    Revision,
}

#[derive(Debug, Args)]
pub(super) struct PutArgs {
    /// The key
    key: OsString,
    /// The value; without it, standard input
    value: Option<OsString>,
    /// Attach the key to this lease
    #[arg(long, value_name = "ID", default_value = "0", hide_default_value = true, allow_hyphen_values = true)]
    lease: String,
    #[command(flatten)]
    ids: IdForm,
    /// Print the key as it was before
    #[arg(long)]
    prev_kv: bool,
    /// Keep the value that the key has
    #[arg(long, conflicts_with = "value")]
    ignore_value: bool,
    /// Keep the lease that the key has
    #[arg(long)]
    ignore_lease: bool,
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    #[command(flatten)]
    keys: Keys,
    /// At most so many keys
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, allow_negative_numbers = true)]
    limit: i64,
    /// As of this revision
    #[arg(long, value_name = "REV", default_value_t = 0, hide_default_value = true, allow_negative_numbers = true)]
    rev: i64,
    /// The direction of the sort
    #[arg(long, value_enum, ignore_case = true, value_name = "ORDER")]
    order: Option<Order>,
    /// What to sort by; ascends unless --order says otherwise
    #[arg(long, value_enum, ignore_case = true, value_name = "TARGET")]
    sort_by: Option<SortBy>,
    /// Leave the values out
    #[arg(long, conflicts_with = "count_only")]
    keys_only: bool,
    /// Print how many keys there are, none of them
    #[arg(long)]
    count_only: bool,
    /// Print values only (with -w simple)
    #[arg(long)]
    print_value_only: bool,
    /// Only keys created at this revision or later
    #[arg(long, value_name = "REV", default_value_t = 0, hide_default_value = true)]
    min_create_rev: u64,
    /// Only keys created at this revision or before
    #[arg(long, value_name = "REV", default_value_t = 0, hide_default_value = true)]
    max_create_rev: u64,
    /// Only keys last changed at this revision or later
    #[arg(long, value_name = "REV", default_value_t = 0, hide_default_value = true)]
    min_mod_rev: u64,
    /// Only keys last changed at this revision or before
    #[arg(long, value_name = "REV", default_value_t = 0, hide_default_value = true)]
    max_mod_rev: u64,
    /// Taken for etcdctl's sake: a local read is both
    #[arg(long, hide = true, value_parser = PossibleValuesParser::new(["l", "s"]))]
    consistency: Option<String>,
    /// Taken for etcdctl's sake: the answer is the same
    #[arg(long, hide = true)]
    stream: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Order {
    Ascend,
    Descend,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
enum SortBy {
    Create,
    Key,
    Modify,
    Value,
    Version,
}

#[derive(Debug, Args)]
pub(super) struct DelArgs {
    #[command(flatten)]
    keys: Keys,
    /// Print what was deleted
    #[arg(long)]
    prev_kv: bool,
    /// Taken for etcdctl's sake, which waits 2 s before it deletes a range without it
    #[arg(long, hide = true)]
    range: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompactionArgs {
    /// The oldest revision that stays readable
    #[arg(value_name = "REV")]
    revision: u64,
    /// Return once the space is given back
    #[arg(long)]
    physical: bool,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The key
    key: OsString,
    /// The value; without it, standard input
    value: Option<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct CasArgs {
    /// The key
    key: OsString,
    /// The value; without it, standard input
    value: Option<OsString>,
    /// The mod revision that the key must still have; 0: it must not exist
    #[arg(long, value_name = "REV")]
    mod_rev: u64,
}

impl KvCommand {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self {
            KvCommand::Put(args) => put(args, context),
            KvCommand::Get(args) => get(args, context),
            KvCommand::Del(args) => del(args, context),
            KvCommand::Compaction(args) => compaction(args, context),
            KvCommand::Create(args) => {
                let value = value_or_stdin(args.value, "create")?;
                let key = bytes(args.key);
                let absent = Compare::create_revision(KeyRange::key(&key)).eq(0);
                swap(context, absent, Put::new(key, value))
            }
            KvCommand::Cas(args) => {
                let value = value_or_stdin(args.value, "cas")?;
                let key = bytes(args.key);
                let unchanged = Compare::mod_revision(KeyRange::key(&key)).eq(args.mod_rev);
                swap(context, unchanged, Put::new(key, value))
            }
            KvCommand::Revision => revision(context),
        }
    }
}

fn put(args: PutArgs, context: &Context) -> Outcome {
    let options = args.options()?;
    let value = if args.ignore_value { Vec::new() } else { value_or_stdin(args.value, "put")? };
    let db = context.open(Create::Allowed)?;
    let answer = db.put_with(bytes(args.key), value, options)?;
    context.changed();
    Printer::new(context, &db).print(answer.revision, |form, text, header| form.put(text, header, &answer))?;
    Ok(Exit::Done)
}

fn get(args: GetArgs, context: &Context) -> Outcome {
    args.check()?;
    if args.print_value_only && context.global.write_out != Format::Simple {
        return Err(Failure::Usage("--print-value-only is only for -w simple".into()));
    }
    let (asked, value_only) = (args.asked(), args.print_value_only);
    let range = args.range();
    let db = context.open(Create::Never)?;
    let printer = Printer::with_form(context, &db, value_only);
    let found = if printer.streams() && !asked.count_only {
        print_keys(&db, range, asked, &printer, context)?
    } else {
        let answer = db.query(range)?;
        printer.print(answer.revision, |form, text, header| form.get(text, header, &answer, asked))?;
        found(&answer, asked)
    };
    Ok(context.yes_or_no(found))
}

/// Prints a range as it is read, in constant memory.
fn print_keys(db: &Db, range: Range, asked: Asked, printer: &Printer, context: &Context) -> Result<bool, Failure> {
    let kvs = db.range(range)?;
    let revision = kvs.revision();
    let mut found = false;
    for kv in kvs {
        let kv = kv?;
        let write = |form: &dyn Form, text: &mut Vec<u8>, _: &Header| form.kv(text, &kv, asked);
        match context.global.write_out {
            // A line at a time, for whoever reads along.
            Format::Jsonl => printer.print(revision, write)?,
            _ => printer.append(revision, write)?,
        }
        found = true;
    }
    Ok(found)
}

fn found(answer: &RangeResponse, asked: Asked) -> bool {
    if asked.count_only { answer.count.unwrap_or(0) > 0 } else { !answer.kvs.is_empty() }
}

fn del(args: DelArgs, context: &Context) -> Outcome {
    let asked = args.asked();
    let db = context.open(Create::Never)?;
    let answer = db.delete_with(args.delete())?;
    if answer.deleted > 0 {
        context.changed();
    }
    let printer = Printer::new(context, &db);
    printer.print(answer.revision, |form, text, header| form.del(text, header, &answer, asked))?;
    Ok(context.yes_or_no(answer.deleted > 0))
}

fn compaction(args: CompactionArgs, context: &Context) -> Outcome {
    let db = context.open(Create::Never)?;
    let asked = Revision::new(args.revision);
    let answer = if args.physical { db.compact_physical(asked)? } else { db.compact(asked)? };
    context.changed();
    Printer::new(context, &db)
        .print(answer.revision, |form, text, header| form.compacted(text, header, asked, answer.compact_revision))?;
    Ok(Exit::Done)
}

fn swap(context: &Context, condition: Compare, put: Put) -> Outcome {
    let db = context.open(Create::Never)?;
    let TxnResponse { revision, succeeded, .. } = db.txn().when([condition]).then([put]).commit()?;
    if succeeded {
        context.changed();
    }
    Printer::new(context, &db).print(revision, |form, text, header| form.swapped(text, header, succeeded))?;
    Ok(context.yes_or_no(succeeded))
}

fn revision(context: &Context) -> Outcome {
    let db = context.open(Create::Never)?;
    let stats = db.stats();
    Printer::new(context, &db).print(stats.revision, |form, text, header| {
        form.revision(text, header, stats.compact_revision, stats.synced_revision);
    })?;
    Ok(Exit::Done)
}

impl PutArgs {
    fn options(&self) -> Result<PutOptions, Failure> {
        let mut options = PutOptions::new().lease(self.ids.lease(&self.lease)?);
        options = if self.prev_kv { options.prev_kv() } else { options };
        options = if self.ignore_value { options.ignore_value() } else { options };
        Ok(if self.ignore_lease { options.ignore_lease() } else { options })
    }

    /// The put as an operation of a txn, whose own text is on standard input.
    pub(super) fn op(self) -> Result<Put, Failure> {
        let options = self.options()?;
        let value = match self.value {
            Some(value) => bytes(value),
            None if self.ignore_value => Vec::new(),
            None => return Err(Failure::Usage("a put in a txn needs a value".into())),
        };
        Ok(Put::with(bytes(self.key), value, options))
    }
}

impl GetArgs {
    /// What etcdctl refuses before it asks.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let crossed = |min: u64, max: u64| max > 0 && min > max;
        if crossed(self.min_create_rev, self.max_create_rev) || crossed(self.min_mod_rev, self.max_mod_rev) {
            return Err(Failure::Usage("the minimum of a revision is above its maximum".into()));
        }
        Ok(())
    }

    pub(super) fn asked(&self) -> Asked {
        Asked { keys_only: self.keys_only, count_only: self.count_only, prev_kv: false }
    }

    /// The range. A target alone ascends (B-043); etcdctl leaves the direction out then, and a server sorts only what
    /// the limit lets through.
    pub(super) fn range(self) -> Range {
        let target = match self.sort_by {
            None | Some(SortBy::Key) => SortTarget::Key,
            Some(SortBy::Create) => SortTarget::CreateRevision,
            Some(SortBy::Modify) => SortTarget::ModRevision,
            Some(SortBy::Value) => SortTarget::Value,
            Some(SortBy::Version) => SortTarget::Version,
        };
        let order = match self.order {
            None | Some(Order::Ascend) => SortOrder::Ascend,
            Some(Order::Descend) => SortOrder::Descend,
        };
        let not_negative = |number: i64| u64::try_from(number).unwrap_or(0);
        let mut range = Range::new(self.keys.range())
            .at(not_negative(self.rev))
            .limit(not_negative(self.limit))
            .sort(target, order)
            .with_count()
            .min_create_revision(self.min_create_rev)
            .max_create_revision(self.max_create_rev)
            .min_mod_revision(self.min_mod_rev)
            .max_mod_revision(self.max_mod_rev);
        range = if self.keys_only { range.keys_only() } else { range };
        if self.count_only { range.count_only() } else { range }
    }
}

impl DelArgs {
    pub(super) fn asked(&self) -> Asked {
        Asked { prev_kv: self.prev_kv, ..Asked::default() }
    }

    pub(super) fn delete(self) -> Delete {
        let delete = Delete::new(self.keys.range());
        if self.prev_kv { delete.prev_kv() } else { delete }
    }
}
