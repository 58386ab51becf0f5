//! How help reads: short, at 80 columns, a line for each flag.
//!
//! Of a command's description the first paragraph stands above its usage and the rest below its flags. The flags that
//! all commands share are shown by `etclite --help` alone.

use clap::builder::Resettable;
use clap::{Arg, ArgAction, Command};

/// Lays out the help of a command line: with the flags that all commands share, or for one command without them.
pub(super) fn lay_out(mut command: Command, of_one_command: bool) -> Command {
    if let Some(about) = command.get_long_about().cloned() {
        command = command.about(about).long_about(Resettable::Reset);
    }
    command = command.mut_args(|arg| {
        let hidden = arg.is_hide_set() || of_one_command;
        arg.hide_env(true).hide(hidden)
    });
    lay_out_subcommands(short(command))
}

fn lay_out_subcommands(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, lay_out_command))
}

fn lay_out_command(command: Command) -> Command {
    let mut command = short(command);
    let mut after = Vec::new();
    let about = command.get_long_about().map(|about| about.to_string());
    if let Some((_, rest)) = about.as_deref().and_then(|about| about.split_once("\n\n")) {
        after.push(rest.to_owned());
        command = command.long_about(Resettable::Reset);
    }
    after.extend(command.get_after_help().map(|help| help.to_string()));
    after.push("`etclite --help` lists the flags that all commands have.".to_owned());
    lay_out_subcommands(command.after_help(after.join("\n\n")))
}

/// `--help` is as short as `-h`.
fn short(command: Command) -> Command {
    let help = Arg::new("help").short('h').long("help").action(ArgAction::HelpShort).help("Print help");
    command.disable_help_flag(true).arg(help)
}
