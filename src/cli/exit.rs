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

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::Format;
use super::json::{self, Object};
use crate::error::{Applied, Code, Error};

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
    pub(super) const USAGE: Exit = Exit::Number(2);
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
    pub(super) fn report(self, format: Format) -> Exit {
        let machine = matches!(format, Format::Json | Format::Jsonl);
        match &self {
            Failure::ReaderGone => {}
            Failure::Store(error) if machine => tell(json::error_object(error)),
            _ if machine => tell(self.object()),
            _ => {
                tell(format_args!("error: {}", self.line()));
                if let Some(hint) = self.hint() {
                    tell(format_args!("hint: {hint}"));
                }
            }
        }
        self.exit()
    }

    /// The driver's error object for what the store knows nothing of (B-056).
    fn object(&self) -> Value {
        let code = if matches!(self, Failure::Outside(..)) { Code::IO } else { Code::INVALID_ARGUMENT };
        let mut object = Object::new();
        json::set_failure(&mut object, code, Applied::No, &self.line());
        if let Failure::Outside(_, cause) = self {
            object.insert("detail".into(), json!({ "os_error": cause.raw_os_error() }));
        }
        object.into()
    }

    fn line(&self) -> String {
        match self {
            Failure::Store(error) => with_cause(error),
            Failure::Usage(what) | Failure::Refused(what) => what.clone(),
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
            Failure::Usage(_) => Exit::USAGE,
            Failure::Outside(..) => Exit::Number(6),
            Failure::Refused(_) => Exit::FAILED,
            Failure::ReaderGone => Exit::Done,
        }
    }
}

/// Writes a line to stderr. If nobody reads it, nobody is told; `eprintln!` would panic.
pub(super) fn tell(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
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

/// An error with what caused it, on one line.
fn with_cause(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    line
}
