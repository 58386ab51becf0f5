//! What is wrong with a command line: one line, as every error, and an object where output is one.
//!
//! clap's own messages are several lines and repeat the word that was not understood, which may be a value in the wrong
//! place. So of what clap knows only what is ours is told: the names of flags and arguments, and what they take.

use std::ffi::{OsStr, OsString};

use clap::ValueEnum;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use super::args::{Format, first_word, grammar, parse_duration};
use super::exit::{Exit, Failure};

/// Says what clap has to say: help and version as they are, errors on one line.
pub(super) fn tell(error: &Error, command: Option<&OsStr>, format: Format) -> Exit {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if matches!(error.kind(), DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand) {
        // A reader of the help that went away is no failure.
        let _ = error.print();
        return Exit::Number(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let mut line = describe(error);
    let known = command.filter(|word| grammar().find_subcommand(word).is_some());
    if let Some(command) = known.filter(|_| error.kind() != ErrorKind::InvalidSubcommand) {
        line = format!("{}: {line}", command.display());
    }
    Failure::Usage(line).report_unread(format)
}

/// What is wrong, without a word of the user's.
fn describe(error: &Error) -> String {
    let ours = |kind| error.get(kind).map(text).unwrap_or_default();
    let suggested = |kind| match error.get(kind).map(text) {
        Some(other) if !other.is_empty() => format!(", did you mean {other}?"),
        _ => String::new(),
    };
    let arg = ours(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            format!("unknown command{}", suggested(ContextKind::SuggestedSubcommand))
        }
        ErrorKind::UnknownArgument => {
            format!("a flag that it does not have, or a word too many{}", suggested(ContextKind::SuggestedArg))
        }
        ErrorKind::MissingRequiredArgument => format!("missing {arg}"),
        ErrorKind::MissingSubcommand => "a command is missing".into(),
        ErrorKind::ArgumentConflict => match ours(ContextKind::PriorArg) {
            other if other == arg => format!("{arg} is given twice"),
            other => format!("{arg} cannot be used with {other}"),
        },
        ErrorKind::InvalidUtf8 => "a word that must be text is not UTF-8".into(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => match reason(error) {
            reason if reason.is_empty() => format!("invalid value for {arg}"),
            reason => format!("invalid value for {arg}: {reason}"),
        },
        ErrorKind::NoEquals => format!("{arg} takes its value behind an equals sign"),
        _ => format!("wrong number of values for {arg}"),
    }
}

/// What a value should have been.
fn reason(error: &Error) -> String {
    match error.get(ContextKind::ValidValue).map(text) {
        Some(valid) if !valid.is_empty() => return format!("it is one of {valid}"),
        _ => {}
    }
    let value = error.get(ContextKind::InvalidValue).map(text).unwrap_or_default();
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    if value.is_empty() || cause.contains(&value) { String::new() } else { cause }
}

fn text(value: &ContextValue) -> String {
    match value {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.join(", "),
        ContextValue::StyledStr(text) => text.to_string(),
        ContextValue::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// The format that words ask for, or the variable, for what is told before, or without, reading them all.
pub(super) fn format_of(args: &[OsString]) -> Format {
    let mut asked = std::env::var("ETCLITE_WRITE_OUT").ok();
    let mut words = own_words(args).into_iter();
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix("--write-out=") {
            asked = Some(value.to_owned());
        } else if word == "--write-out" {
            asked = words.next();
        } else if let Some((_, value)) = short(&word, 'w') {
            asked = if value.is_empty() { words.next() } else { Some(value.to_owned()) };
        }
    }
    asked.and_then(|asked| Format::from_str(&asked, false).ok()).unwrap_or(Format::Simple)
}

/// A short flag among several in one word, and what is behind it.
fn short(word: &str, flag: char) -> Option<(&str, &str)> {
    let flags = word.strip_prefix('-').filter(|flags| !flags.starts_with('-'))?;
    // Behind a flag with a value there are no more flags.
    let at = flags.find(['d', 'w']).filter(|&at| flags[at..].starts_with(flag))?;
    let (before, behind) = flags.split_at(at);
    Some((before, behind[1..].strip_prefix('=').unwrap_or(&behind[1..])))
}

/// Whether a flag names the store.
pub(super) fn names_a_store(args: &[OsString]) -> bool {
    // Which word is the command is not known yet; behind `lock` there may be words of another one.
    let words = args.iter().skip(1).map(|arg| arg.to_string_lossy()).take_while(|word| word != "--" && word != "lock");
    words.into_iter().any(|word| word == "--db" || word.starts_with("--db=") || short(&word, 'd').is_some())
}

/// The words of which each is ours: not those behind `--`, nor the command behind `lock NAME`.
fn own_words(args: &[OsString]) -> Vec<String> {
    let command = first_word(args).filter(|&at| args[at] == "lock");
    let mut words = Vec::new();
    for (at, arg) in args.iter().enumerate().skip(1) {
        let word = arg.to_string_lossy();
        let is_name = command.is_some_and(|command| at > command)
            && !word.starts_with('-')
            && args[at - 1] != "--ttl"
            && args[at - 1] != "-w";
        if word == "--" {
            break;
        }
        words.push(word.into_owned());
        if is_name {
            break;
        }
    }
    words
}

/// Whether `--wait` stands before a word that looks like its time: it would be taken for something else, such as the end
/// of a range.
pub(super) fn waits_for_a_word(args: &[OsString]) -> bool {
    own_words(args).windows(2).any(|pair| pair[0] == "--wait" && parse_duration(&pair[1]).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &str) -> Vec<OsString> {
        std::iter::once("etclite").chain(words.split(' ')).map(OsString::from).collect()
    }

    #[test]
    fn the_format_is_found_wherever_it_stands() {
        for line in [
            "-w json get",
            "-wjson get",
            "-qw json get",
            "--write-out=json",
            "get a --write-out json",
            "lock -w json n",
        ] {
            assert_eq!(format_of(&words(line)), Format::Json, "{line}");
        }
        for line in ["get a", "put a -- -w json", "-dw json", "-w yaml", "lock n x -w json"] {
            assert_eq!(format_of(&words(line)), Format::Simple, "{line}");
        }
    }

    #[test]
    fn a_time_behind_a_space_is_noticed() {
        for line in ["get a --wait 5s", "--wait 1500ms get a", "get --wait 5 a", "lock --ttl 5 --wait 5s n"] {
            assert!(waits_for_a_word(&words(line)), "{line}");
        }
        for line in
            ["get a --wait", "--wait get a", "get --wait=5s 5s", "put a --wait -- 5s", "lock --ttl 5 n x --wait 5s"]
        {
            assert!(!waits_for_a_word(&words(line)), "{line}");
        }
    }
}
