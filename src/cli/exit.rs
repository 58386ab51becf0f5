//! How a command ends: its exit code, and for a failure the line on stderr with its hint.
//!
//! | exit | meaning |
//! |---|---|
//! | 0 | done; also a missing key, a failed compare, a reader of stdout that went away |
//! | 1 | the request failed |
//! | 2 | usage: unknown command, flag or value; feature not built in |
//! | 3 | with `-e` only: key missing, txn `FAILURE`, lock not acquired, nothing deleted |
//! | 4 | the store is open elsewhere |
//! | 5 | the store is damaged, newer, or no store; `check` found something |
//! | 6 | the disk failed or is full, or the store was poisoned |
//! | 130, 143 | ended by SIGINT, SIGTERM |

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::{Color, Format};
use super::context::Context;
use super::json::{self, Object, with_cause};
use crate::error::{Applied, Code, Error, Holder};

/// The ends that are not failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0.
    Done,
    /// 3, which only `-e` asks for.
    No,
    /// Any other number: that of a child, of a signal, of an error already told.
    Number(u8),
}

impl Exit {
    pub(super) const FAILED: Exit = Exit::Number(1);
    const USAGE: Exit = Exit::Number(2);
    pub(super) const DAMAGED: Exit = Exit::Number(5);

    pub(super) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Exit::Done => 0,
            Exit::No => 3,
            Exit::Number(number) => number,
        })
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The store said no.
    Store(Error),
    /// The command makes no sense as it stands; told like a mistyped flag.
    Usage(String),
    /// A command or flag that another build or a server has.
    Unsupported(String),
    /// Something outside the store could not be read or written: stdin, stdout, a dump file, a child.
    Outside(String, io::Error),
    /// The request cannot be done for a reason that the store knows nothing of.
    Refused(String),
    /// Who read stdout went away; there is nobody left to tell.
    ReaderGone,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Store(error)
    }
}

impl Failure {
    /// Tells of the failure on stderr, and gives the exit code.
    pub(super) fn report(self, context: &Context) -> Exit {
        let store = context.global.db.as_deref().unwrap_or(Path::new("the store"));
        self.tell(context.global.write_out, context.global.color, store, context.applied())
    }

    /// Tells of a command line that cannot be read: nothing was done.
    pub(super) fn report_unread(self, format: Format) -> Exit {
        self.tell(format, Color::Auto, Path::new("the store"), Applied::No)
    }

    fn tell(self, format: Format, color: Color, store: &Path, applied: Applied) -> Exit {
        match &self {
            Failure::ReaderGone => {}
            _ if matches!(format, Format::Json | Format::Jsonl) => tell(self.object(applied)),
            _ => {
                let line = match &self {
                    Failure::Store(Error::Locked { holder: Some(holder) }) => {
                        format!("{} is open in {}", store.display(), holder_line(holder))
                    }
                    _ => self.line(),
                };
                tell_under("error:", color, line);
                if let Some(hint) = self.hint() {
                    tell_under("hint:", color, hint);
                }
            }
        }
        self.exit()
    }

    /// The driver's error object (B-056).
    fn object(&self, applied: Applied) -> Value {
        let code = match self {
            Failure::Store(error) => return json::error_object(error),
            Failure::Outside(..) => Code::IO,
            Failure::Unsupported(_) => Code::UNSUPPORTED,
            _ => Code::INVALID_ARGUMENT,
        };
        let mut object = Object::new();
        json::set_failure(&mut object, code, applied, &self.line());
        if let Failure::Outside(_, cause) = self
            && let Some(number) = cause.raw_os_error()
        {
            object.insert("detail".into(), json!({ "os_error": number }));
        }
        object.into()
    }

    fn line(&self) -> String {
        match self {
            Failure::Store(error) => with_cause(error),
            Failure::Usage(what) | Failure::Unsupported(what) | Failure::Refused(what) => what.clone(),
            Failure::Outside(what, cause) => format!("{what}: {cause}"),
            Failure::ReaderGone => String::new(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Failure::Store(Error::Locked { .. }) => Some("stop it, or use --wait"),
            Failure::Store(Error::Corrupt { .. }) => Some("`etclite STORE check` tells more; restore from a backup"),
            Failure::Store(Error::FormatTooNew { .. }) => Some("use the release of etclite that wrote it"),
            Failure::Store(Error::Indeterminate | Error::Poisoned) => Some("read before you retry"),
            Failure::Usage(_) => Some("`etclite --help` lists the commands"),
            _ => None,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Failure::Store(error) => Exit::Number(exit_of(error.code())),
            Failure::Usage(_) | Failure::Unsupported(_) => Exit::USAGE,
            Failure::Outside(..) => Exit::Number(6),
            Failure::Refused(_) => Exit::FAILED,
            Failure::ReaderGone => Exit::Done,
        }
    }
}

/// Writes a line to stderr, one whatever is in it: a path may hold what ends lines or moves cursors. If nobody reads it,
/// nobody is told; `eprintln!` would panic.
pub(super) fn tell(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", one_line(line));
}

/// The same behind a word that stands out, where colours are wanted.
fn tell_under(word: &str, color: Color, line: impl std::fmt::Display) {
    let is_wanted = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
    };
    let (bold, plain) = if is_wanted { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(io::stderr(), "{bold}{word}{plain} {}", one_line(line));
}

fn one_line(text: impl std::fmt::Display) -> String {
    text.to_string().chars().fold(String::new(), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default())
        } else {
            line.push(c)
        }
        line
    })
}

/// Who has the store open, and since when.
fn holder_line(holder: &Holder) -> String {
    let minutes = holder.since_unix / 60;
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    format!("process {} ({}, since {hour:02}:{minute:02} UTC)", holder.pid, holder.program)
}

/// The exit code that stands for an error's code.
pub(super) fn exit_of(code: Code) -> u8 {
    match code.name {
        "LOCKED" => 4,
        "CORRUPT" | "NOT_A_DATABASE" | "FORMAT_TOO_NEW" => 5,
        "IO" | "POISONED" | "NO_SPACE" => 6,
        "UNSUPPORTED" => 2,
        _ => 1,
    }
}
