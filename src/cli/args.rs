//! The words of the command line: which store, which command, and the flags that all commands share.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::Outcome;
use super::bench::BenchArgs;
use super::completion::CompletionCommand;
use super::context::Context;
use super::data::DataCommand;
use super::etcdctl::{self, ElsewhereCommand, ServerFlags};
use super::exit::{Exit, Failure};
use super::group::GroupCommand;
use super::health::HealthCommand;
use super::help;
use super::kv::KvCommand;
use super::lease::LeaseCommand;
use super::lock::LockCommand;
use super::report::Report;
use super::txn::TxnArgs;
use super::usage;
use super::watch::WatchArgs;
use crate::Durability;
use crate::options::file::duration;

/// etcd's model on a local store: etcdctl's commands without a server.
///
/// STORE is a directory. It comes first (`etclite app.etcl get key`), or from --db, or from ETCLITE_DB; write `./get`
/// for a store that is named like a command. A store belongs to one process at a time: while another one has it open,
/// commands fail at once and name the holder, unless --wait is given.
#[derive(Debug, Parser)]
#[command(name = "etclite", version, max_term_width = 80, override_usage = "etclite [FLAGS] [STORE] COMMAND ..")]
#[command(after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Each flag of all commands can be set by a variable, such as ETCLITE_WRITE_OUT=json or ETCLITE_HEX=1; the store by \
ETCLITE_DB. With it, `alias etcdctl=etclite` runs existing scripts; how to reach a server means nothing here.

Exit codes: 0 done, 1 failed, 2 usage, 3 no (with -e), 4 locked, 5 damaged, 6 disk.";

/// The flags that all commands share.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Flags of all commands")]
pub(super) struct Global {
    /// The store: a directory
    #[arg(short, long, env = "ETCLITE_DB", value_name = "STORE", global = true)]
    pub(super) db: Option<PathBuf>,
    /// How results are printed
    #[arg(short, long, env = "ETCLITE_WRITE_OUT", value_enum, default_value = "simple", global = true)]
    pub(super) write_out: Format,
    /// Print bytes as hex strings, ids in hex
    #[arg(long, env = "ETCLITE_HEX", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new(), global = true)]
    pub(super) hex: bool,
    /// Open the store without writing one byte
    #[arg(long, env = "ETCLITE_READONLY", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new(), global = true)]
    pub(super) readonly: bool,
    /// Wait for a store that is open elsewhere, for ever without DUR
    #[arg(
        long, env = "ETCLITE_WAIT", value_name = "DUR", num_args = 0..=1, require_equals = true,
        default_missing_value = "forever", value_parser = parse_wait, global = true
    )]
    pub(super) wait: Option<Wait>,
    /// Fail if the store does not exist
    #[arg(long, env = "ETCLITE_NO_CREATE", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new(), global = true)]
    pub(super) no_create: bool,
    /// Open a store that belongs to another user
    #[arg(long, env = "ETCLITE_ALLOW_OTHER_OWNER", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new(), global = true)]
    pub(super) allow_other_owner: bool,
    /// When a write is acknowledged
    #[arg(long, env = "ETCLITE_DURABILITY", value_enum, default_value = "synced", global = true)]
    pub(super) durability: DurabilityArg,
    /// No progress bars, no remarks
    #[arg(short, long, env = "ETCLITE_QUIET", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new(), global = true)]
    pub(super) quiet: bool,
    /// Colour on a terminal (NO_COLOR is heeded)
    #[arg(long, env = "ETCLITE_COLOR", value_enum, default_value = "auto", value_name = "WHEN", global = true)]
    pub(super) color: Color,
    /// Exit with 3 for a missing key, a failed compare, a lock not acquired
    #[arg(short, long, env = "ETCLITE_EXIT_CODE", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new(), global = true)]
    pub(super) exit_code: bool,
    #[command(flatten)]
    _server: ServerFlags,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// As etcdctl: keys and values on lines of their own
    Simple,
    /// As etcdctl: one field a line
    Fields,
    /// As etcdctl: etcd's field names, bytes in base64
    Json,
    /// One object a line, text as text
    Jsonl,
    /// A drawn table
    Table,
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DurabilityArg {
    /// Once it survives a power cut
    Synced,
    /// Once it survives the end of the process
    Written,
    /// At once
    Buffered,
}

impl From<DurabilityArg> for Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Synced => Durability::Synced,
            DurabilityArg::Written => Durability::Written,
            DurabilityArg::Buffered => Durability::Buffered,
        }
    }
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How long a store that is open elsewhere is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until it is free.
    ForEver,
    /// As long as this.
    AtMost(Duration),
}

fn parse_wait(text: &str) -> Result<Wait, String> {
    match text {
        // As a variable is set to say yes.
        "forever" | "true" => Ok(Wait::ForEver),
        "false" => Ok(Wait::AtMost(Duration::ZERO)),
        _ => parse_duration(text).map(Wait::AtMost),
    }
}

/// A duration as etcdctl writes it: `1500ms`, `5s`, `2m`, `1h`; a number alone counts seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if is_number { duration(&format!("{text}s")) } else { duration(text) };
    parsed.map_err(str::to_owned)
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Kv(KvCommand),
    Txn(TxnArgs),
    Watch(WatchArgs),
    /// Grant, renew and end leases
    // As etcdctl, a subcommand may be cut short: `lease time`.
    #[command(subcommand, infer_subcommands = true)]
    Lease(LeaseCommand),
    #[command(flatten)]
    Lock(LockCommand),
    /// Print the version of etclite
    Version,
    #[command(flatten)]
    Data(DataCommand),
    #[command(flatten)]
    Health(HealthCommand),
    #[command(flatten)]
    Group(GroupCommand),
    #[command(flatten)]
    Elsewhere(ElsewhereCommand),
    #[command(flatten)]
    Completion(CompletionCommand),
    Bench(BenchArgs),
    /// Answer requests of other programs: one JSON object a line
    Exec(super::exec::Args),
}

impl Command {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self {
            Command::Kv(command) => command.run(context),
            Command::Txn(args) => args.run(context),
            Command::Watch(args) => args.run(context),
            Command::Lease(command) => command.run(context),
            Command::Lock(command) => command.run(context),
            Command::Version => version(context),
            Command::Data(command) => command.run(context),
            Command::Health(command) => command.run(context),
            Command::Group(command) => command.run(),
            Command::Elsewhere(command) => command.run(),
            Command::Completion(command) => command.run(context),
            Command::Bench(args) => args.run(context),
            Command::Exec(args) => super::exec::run(args, context),
        }
    }
}

fn version(context: &Context) -> Outcome {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    match context.global.write_out {
        Format::Simple => context.out.line(format!("etclite version: {VERSION}"))?,
        _ => Report::new().with("version", VERSION).print(context)?,
    }
    Ok(Exit::Done)
}

/// Reads the command line. What clap has to say (help, version, usage errors) is said here.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<(Global, Command), Exit> {
    let variable = std::env::var_os("ETCLITE_DB").is_some_and(|store| !store.is_empty());
    let args =
        prometheus_as_flag(help_as_flag(etcdctl::translate(name_the_store(args.into_iter().collect(), variable))));
    let format = usage::format_of(&args);
    if usage::waits_for_a_word(&args) {
        return Err(
            Failure::Usage("--wait takes its time behind an equals sign: write --wait=5s".into()).report_unread(format)
        );
    }
    let command = first_word(&args).map(|at| args[at].clone());
    let grammar = without_empty_variables(help::lay_out(grammar(), command.is_some()));
    let parsed = grammar.try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(Cli { mut global, command }) => {
            if matches!(command, Command::Group(_) | Command::Elsewhere(_)) {
                // Their words are not read, and the format is among them.
                global.write_out = format;
            }
            Ok((global, command))
        }
        Err(error) => Err(usage::tell(&error, command.as_deref(), format)),
    }
}

/// A variable that is set to nothing is as one that is not set.
fn without_empty_variables(grammar: clap::Command) -> clap::Command {
    grammar.mut_args(|arg| {
        let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        // There is no way to take it away again.
        if is_empty { arg.env("ETCLITE_NOT_SET") } else { arg }
    })
}

/// All there is to say on the command line: for the help, and for completion.
pub(super) fn grammar() -> clap::Command {
    Cli::command()
}

/// Turns a first word that is no command into `--db WORD`. If a store is named already, the word is a mistyped command:
/// `put` would make a store of it. Only what must be a path still goes before the variable.
fn name_the_store(mut args: Vec<OsString>, variable: bool) -> Vec<OsString> {
    let command = Cli::command();
    let is_command = |word: &OsStr| {
        word == "help"
            || command.get_subcommands().any(|c| c.get_name() == word || c.get_all_aliases().any(|a| a == word))
    };
    if let Some(at) = first_word(&args)
        && !is_command(&args[at])
        && !usage::names_a_store(&args)
        && (!variable || is_path(&args[at]))
    {
        args.insert(at, "--db".into());
    }
    args
}

/// Whether a word can only be a path, or is one.
fn is_path(word: &OsStr) -> bool {
    word.as_encoded_bytes().iter().any(|byte| matches!(byte, b'/' | b'\\' | b'.')) || Path::new(word).is_dir()
}

/// Turns `stats -w prometheus` into `stats --prometheus`: no other command has that format.
fn prometheus_as_flag(args: Vec<OsString>) -> Vec<OsString> {
    if first_word(&args).is_none_or(|at| args[at] != "stats") {
        return args;
    }
    let mut kept: Vec<OsString> = Vec::new();
    let mut is_asked = false;
    for arg in args {
        let behind_a_flag = kept.last().is_some_and(|flag| flag == "-w" || flag == "--write-out");
        match arg.to_str() {
            Some("prometheus") if behind_a_flag => (_, is_asked) = (kept.pop(), true),
            Some("-wprometheus" | "-w=prometheus" | "--write-out=prometheus") => is_asked = true,
            _ => kept.push(arg),
        }
    }
    kept.extend(is_asked.then(|| "--prometheus".into()));
    kept
}

/// Turns `help COMMAND ..` into `COMMAND .. --help`.
fn help_as_flag(mut args: Vec<OsString>) -> Vec<OsString> {
    if let Some(at) = first_word(&args)
        && args[at] == "help"
    {
        args.remove(at);
        args.push("--help".into());
    }
    args
}

/// The first argument that is neither a flag nor the value of one.
pub(super) fn first_word(args: &[OsString]) -> Option<usize> {
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        let bytes = arg.as_encoded_bytes();
        if !bytes.starts_with(b"-") || bytes == b"-" {
            return Some(at);
        }
        if bytes == b"--" {
            return None;
        }
        at += if takes_the_next_word(&arg.to_string_lossy()) { 2 } else { 1 };
    }
    None
}

/// Whether the value of a flag, or of the last one of several short ones, is the next word.
fn takes_the_next_word(flag: &str) -> bool {
    if flag.starts_with("--") {
        return TAKES_A_VALUE.contains(&flag) || etcdctl::TAKES_A_VALUE.contains(&flag);
    }
    flag.find(['d', 'w']).is_some_and(|at| at + 1 == flag.len())
}

/// The shared flags whose value is the next word, if it does not follow `=`.
const TAKES_A_VALUE: [&str; 4] = ["--db", "--write-out", "--durability", "--color"];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(args: &[&str]) -> Vec<OsString> {
        name_the_store(std::iter::once("etclite").chain(args.iter().copied()).map(OsString::from).collect(), false)
    }

    #[test]
    fn a_first_word_that_is_no_command_is_the_store() {
        assert_eq!(words(&["app.etcl", "version"])[1..], ["--db", "app.etcl", "version"]);
        assert_eq!(words(&["-w", "json", "app.etcl", "version"])[3..], ["--db", "app.etcl", "version"]);
        assert_eq!(words(&["version"])[1..], ["version"]);
        assert_eq!(words(&["-d", "version", "version"])[1..], ["-d", "version", "version"]);
        assert_eq!(words(&["./version", "version"])[1..], ["--db", "./version", "version"]);
        assert_eq!(words(&["--endpoints", "127.0.0.1:2379", "version"])[3..], ["version"]);
        assert_eq!(words(&["-qw", "json", "version"])[3..], ["version"]);
        assert_eq!(words(&["-wjson", "version"])[2..], ["version"]);
        assert_eq!(words(&["-qd", "a", "put"])[3..], ["put"]);
    }

    #[test]
    fn a_store_that_is_named_leaves_the_first_word_to_be_a_command() {
        for named in [&["-d", "s"][..], &["--db", "s"], &["--db=s"], &["-ds"], &["-qd", "s"]] {
            assert_eq!(words(&[named, &["usr", "put"]].concat())[1 + named.len()..], ["usr", "put"], "{named:?}");
        }
        let beside_the_variable = |word: &str| name_the_store(vec!["etclite".into(), word.into()], true)[1].clone();
        assert_eq!(beside_the_variable("usr"), "usr");
        assert_eq!(beside_the_variable("app.etcl"), "--db");
        assert_eq!(beside_the_variable("./usr"), "--db");
    }

    #[test]
    fn help_of_a_command_is_that_commands_flag() {
        let turned = |args: &[&str]| help_as_flag(words(args))[1..].to_vec();
        assert_eq!(turned(&["help"]), ["--help"]);
        assert_eq!(turned(&["help", "version"]), ["version", "--help"]);
        assert_eq!(turned(&["-d", "x", "help", "version"]), ["-d", "x", "version", "--help"]);
    }

    #[test]
    fn prometheus_is_a_format_of_stats() {
        let turned = |args: &[&str]| prometheus_as_flag(words(args))[1..].to_vec();
        for format in [&["-w", "prometheus"][..], &["--write-out", "prometheus"], &["--write-out=prometheus"]] {
            assert_eq!(turned(&[format, &["stats"]].concat()), ["stats", "--prometheus"], "{format:?}");
            assert_eq!(turned(&[&["stats"], format].concat()), ["stats", "--prometheus"], "{format:?}");
        }
        assert_eq!(turned(&["stats", "-w", "json"]), ["stats", "-w", "json"]);
        assert_eq!(turned(&["get", "-w", "prometheus"]), ["get", "-w", "prometheus"]);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert!(parse_duration("5x").is_err() && parse_duration("-1").is_err() && parse_duration("").is_err());
        assert!(parse_duration("18446744073709551615h").is_err());
    }

    #[test]
    fn the_command_line_is_well_formed() {
        help::lay_out(grammar(), false).debug_assert();
        help::lay_out(grammar(), true).debug_assert();
    }
}
