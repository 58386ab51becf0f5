//! `watch`: events of a key or a range, as etcdctl prints them, and a command for each.
//!
//! The store belongs to this process, so what a one-shot watch can see is what is retained, from `--rev` on, and what
//! this process does itself: with `-i` several watches, and leases that end meanwhile.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use clap::{Args, Parser};
use crossbeam_channel::Receiver;

use super::Outcome;
use super::args::{Format, parse_duration};
use super::child::Child;
use super::context::{Context, Create};
use super::exit::{Exit, Failure, tell};
use super::json::with_cause;
use super::print::{Printer, event_name};
use super::quote::quote;
use super::signals::Signals;
use super::txn::words;
use super::words::{TEXT_BYTES_MAX, key_range, read_line};
use crate::{Db, Error, Event, KeyRange, Revision, WatchBatch, WatchBuilder, WatchReceiver};

/// Print the changes of a key, or of a range of keys
///
/// A store belongs to one process at a time, so a watch sees only what its own process does, and with --rev what was
/// done before: from there on all that is retained is printed. It then waits until --count, --timeout or a signal.
///
/// CMD runs once for each event, with ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and ETCD_WATCH_VALUE
/// in its environment, the latter three quoted as in Go. If it fails, the watch ends with its exit code.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The key; also from ETCDCTL_WATCH_KEY
    key: Option<OsString>,
    /// Where the range ends, exclusive; also from ETCDCTL_WATCH_RANGE_END
    #[arg(conflicts_with = "prefix")]
    end: Option<OsString>,
    /// All keys that begin with KEY
    #[arg(long)]
    prefix: bool,
    /// The first revision to print
    #[arg(long, value_name = "REV", default_value_t = 0, hide_default_value = true)]
    rev: u64,
    /// Print each key as it was before, too
    #[arg(long)]
    prev_kv: bool,
    /// Print every ten minutes how far the watch has come
    #[arg(long)]
    progress_notify: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after that time
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Read watches from standard input: `watch KEY [FLAGS]`, `progress`
    #[arg(short, long, conflicts_with_all = ["key", "count", "timeout", "command"])]
    interactive: bool,
    /// Run this for each event
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl WatchArgs {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let interactive = self.interactive;
        let (count, timeout) = (self.count, self.timeout);
        let asked = if interactive { None } else { Some(self.range()?) };
        let db = context.open(Create::Never)?;
        let signals = Signals::listen()?;
        match asked {
            None => Interactive { db: &db, context, signals: &signals, watches: Vec::new() }.run(),
            Some(range) => {
                let watch = self.builder(&db, range).start()?;
                let follower = Follower::new(&db, context, &signals, self.command);
                follow(watch, &follower, End { count, timeout })
            }
        }
    }

    /// The keys to watch, from the arguments or, as etcdctl, from the environment; never from both.
    fn range(&self) -> Result<KeyRange, Failure> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let (env_key, env_end) = (set("ETCDCTL_WATCH_KEY"), set("ETCDCTL_WATCH_RANGE_END"));
        if env_key.is_none() && env_end.is_some() {
            return Err(Failure::Usage("ETCDCTL_WATCH_RANGE_END is set, but ETCDCTL_WATCH_KEY is not".into()));
        }
        match (&self.key, env_key) {
            (Some(_), Some(_)) => Err(Failure::Usage("watch has a key, and ETCDCTL_WATCH_KEY is set as well".into())),
            (None, None) => Err(Failure::Usage("watch needs a key".into())),
            (Some(key), None) => Ok(key_range(key.clone(), self.end.clone(), self.prefix, false)),
            (None, Some(key)) => Ok(key_range(key, env_end.filter(|_| !self.prefix), self.prefix, false)),
        }
    }

    fn builder(&self, db: &Db, range: KeyRange) -> WatchBuilder {
        let mut builder = db.watch(range).from(self.rev);
        builder = if self.prev_kv { builder.with_prev() } else { builder };
        if self.progress_notify { builder.progress_every(PROGRESS_EVERY) } else { builder }
    }
}

/// When a watch ends by itself.
struct End {
    count: Option<u64>,
    timeout: Option<Duration>,
}

fn follow(mut watch: crate::Watch, follower: &Follower, end: End) -> Outcome {
    let signals = follower.signals;
    let canceller = watch.canceller();
    signals.on_signal(move || canceller.cancel());
    // One that is too far away to be told is none.
    let deadline = end.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut left = end.count.unwrap_or(u64::MAX);
    loop {
        let next = match deadline {
            None => watch.next().transpose(),
            Some(deadline) => watch.next_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        let batch = match next {
            Ok(Some(batch)) => batch,
            // The time is over, or nothing can come any more.
            Ok(None) => return Ok(Exit::Done),
            Err(Error::Canceled) => return Ok(signals.exit().unwrap_or(Exit::Done)),
            Err(error) => return Err(error.into()),
        };
        let failed = follower.show(&batch, left)?;
        left = left.saturating_sub(batch.events().len() as u64);
        if let Some(exit) = failed {
            return Ok(exit);
        }
        if left == 0 {
            return Ok(Exit::Done);
        }
    }
}

/// What is done with events: they are printed, and a command runs for each.
struct Follower<'c> {
    db: Db,
    printer: Printer<'c>,
    signals: &'c Signals,
    child: Option<Child>,
}

impl<'c> Follower<'c> {
    fn new(db: &Db, context: &'c Context, signals: &'c Signals, command: Vec<OsString>) -> Follower<'c> {
        Follower { db: db.clone(), printer: Printer::new(context, db), signals, child: Child::new(command, false) }
    }

    /// Tells of at most `max` events. The exit code of a command that failed ends the watch.
    fn show(&self, batch: &WatchBatch, max: u64) -> Result<Option<Exit>, Failure> {
        if batch.is_progress() {
            self.printer.print(batch.revision(), |form, text, header| form.progress(text, header))?;
            return Ok(None);
        }
        let count = batch.events().len().min(usize::try_from(max).unwrap_or(usize::MAX));
        let events = &batch.events()[..count];
        // As etcd's header, which tells where the store is, not the events.
        let revision = self.db.revision();
        self.printer.print(revision, |form, text, header| form.events(text, header, events))?;
        Ok(events.iter().find_map(|event| self.run_child(event, revision)))
    }

    fn run_child(&self, event: &Event, revision: Revision) -> Option<Exit> {
        let environment = [
            ("ETCD_WATCH_REVISION", revision.to_string().into()),
            ("ETCD_WATCH_EVENT_TYPE", quote(event_name(event).as_bytes()).into()),
            ("ETCD_WATCH_KEY", quote(&event.kv.key).into()),
            ("ETCD_WATCH_VALUE", quote(&event.kv.value).into()),
        ];
        let exit = self.child.as_ref()?.run(&environment, self.signals);
        (exit != Exit::Number(0)).then_some(exit)
    }
}

/// `watch -i`: lines from standard input start watches, all of which print here, in this thread.
struct Interactive<'c> {
    db: &'c Db,
    context: &'c Context,
    signals: &'c Signals,
    watches: Vec<Running<'c>>,
}

/// A watch that goes on, and where to resume it.
struct Running<'c> {
    args: WatchArgs,
    range: KeyRange,
    follower: Follower<'c>,
    next: Revision,
    receiver: Option<WatchReceiver>,
}

/// `watch ..`, as on the command line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true, args_override_self = true)]
enum Line {
    Watch(WatchArgs),
    Progress,
}

/// What the loop waits for.
enum Ready {
    Line(Result<Vec<u8>, Failure>),
    EndOfInput,
    Signal,
    Batch(usize, Result<WatchBatch, Error>),
    /// Nothing can come of this watch any more.
    Ended(usize),
}

impl Interactive<'_> {
    /// Until the end of the input, when each watch has told all that was retained when it began.
    fn run(mut self) -> Outcome {
        let signals = self.signals;
        let lines = read_lines();
        let (on_signal, signaled) = crossbeam_channel::bounded(1);
        signals.on_signal(move || drop(on_signal));
        loop {
            match self.wait(&lines, &signaled) {
                Ready::Signal => return Ok(signals.exit().unwrap_or(Exit::Done)),
                Ready::EndOfInput => return Ok(Exit::Done),
                Ready::Line(line) => {
                    if let Some(exit) = self.line(&line?)? {
                        return Ok(exit);
                    }
                }
                Ready::Batch(at, Ok(batch)) => {
                    if let Some(exit) = self.watches[at].show(&batch)? {
                        return Ok(exit);
                    }
                }
                Ready::Batch(at, Err(error)) => {
                    self.canceled(error);
                    self.watches.remove(at);
                }
                Ready::Ended(at) => drop(self.watches.remove(at)),
            }
        }
    }

    fn wait(&self, lines: &Receiver<Result<Vec<u8>, Failure>>, signaled: &Receiver<()>) -> Ready {
        let receivers: Vec<_> = self.watches.iter().filter_map(|watch| watch.receiver.as_deref()).collect();
        let mut select = crossbeam_channel::Select::new();
        select.recv(signaled);
        select.recv(lines);
        receivers.iter().for_each(|receiver| {
            select.recv(receiver);
        });
        let ready = select.select();
        match ready.index() {
            0 => ready.recv(signaled).map_or(Ready::Signal, |()| Ready::Signal),
            1 => ready.recv(lines).map_or(Ready::EndOfInput, Ready::Line),
            at => {
                let item = ready.recv(receivers[at - 2]);
                item.map_or(Ready::Ended(at - 2), |item| Ready::Batch(at - 2, item))
            }
        }
    }

    /// Does what a line asks for; one that makes no sense is told, and the next one is read.
    fn line(&mut self, line: &[u8]) -> Result<Option<Exit>, Failure> {
        let parsed = words(line).and_then(|words| Line::try_parse_from(words).ok());
        match parsed {
            // How a watch ends, and that it is one of several, is said outside.
            Some(Line::Watch(args)) if args.interactive || args.count.is_some() || args.timeout.is_some() => {
                Ok(self.refuse("-i, --count and --timeout are not for a watch beside others"))
            }
            None => Ok(self.refuse("invalid command, expected `watch KEY` with its flags, or `progress`")),
            Some(Line::Progress) => self.progress(),
            Some(Line::Watch(args)) => match args.range() {
                Ok(range) => self.start(args, range),
                Err(failure) => {
                    failure.report(self.context);
                    Ok(None)
                }
            },
        }
    }

    /// Tells why a watch ended, as etcdctl does.
    fn canceled(&self, error: Error) {
        match self.context.global.write_out {
            Format::Json | Format::Jsonl => _ = Failure::Store(error).report(self.context),
            _ => tell(format_args!("error: watch was canceled: {}", with_cause(&error))),
        }
    }

    /// Tells what is wrong with a line.
    fn refuse(&self, what: &str) -> Option<Exit> {
        Failure::Refused(what.to_owned()).report(self.context);
        None
    }

    fn start(&mut self, mut args: WatchArgs, range: KeyRange) -> Result<Option<Exit>, Failure> {
        let command = std::mem::take(&mut args.command);
        let follower = Follower::new(self.db, self.context, self.signals, command);
        let next = if args.rev == 0 { self.db.revision() + 1 } else { Revision::new(args.rev) };
        let mut watch = Running { args, range, follower, next, receiver: None };
        match watch.catch_up(self.db) {
            Ok((exit, _)) => {
                self.watches.push(watch);
                Ok(exit)
            }
            Err(Failure::Store(error)) => {
                self.canceled(error);
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Tells up to which revision all watches have told everything; nothing if there are none, as etcd.
    fn progress(&mut self) -> Result<Option<Exit>, Failure> {
        let mut least = None;
        for watch in &mut self.watches {
            let (exit, progress) = watch.catch_up(self.db)?;
            if exit.is_some() {
                return Ok(exit);
            }
            least = Some(least.map_or(progress, |least: Revision| least.min(progress)));
        }
        if let Some(revision) = least {
            let printer = Printer::new(self.context, self.db);
            printer.print(revision, |form, text, header| form.progress(text, header))?;
        }
        Ok(None)
    }
}

impl Running<'_> {
    /// Starts the watch anew where it has come to, tells all that is there, and leaves the rest to a receiver. Returns
    /// how far it has come then.
    fn catch_up(&mut self, db: &Db) -> Result<(Option<Exit>, Revision), Failure> {
        self.receiver = None;
        let mut watch = self.args.builder(db, self.range.clone()).from(self.next).start()?;
        while let Some(batch) = watch.try_next()? {
            if let Some(exit) = self.show(&batch)? {
                return Ok((Some(exit), watch.progress()));
            }
        }
        let progress = watch.progress();
        self.receiver = Some(watch.receiver(1));
        Ok((None, progress))
    }

    fn show(&mut self, batch: &WatchBatch) -> Result<Option<Exit>, Failure> {
        self.next = batch.revision() + 1;
        self.follower.show(batch, u64::MAX)
    }
}

/// The lines of standard input. The thread that reads them ends with the process: nothing wakes a read.
fn read_lines() -> Receiver<Result<Vec<u8>, Failure>> {
    let (sender, lines) = crossbeam_channel::bounded(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let line = read_line(&mut input, TEXT_BYTES_MAX);
            let (is_end, is_error) = (line.as_ref().is_ok_and(Vec::is_empty), line.is_err());
            // An error is the last thing that is told.
            if is_end || sender.send(line).is_err() || is_error {
                return;
            }
        }
    });
    lines
}

/// As often as an etcd server tells progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(600);
