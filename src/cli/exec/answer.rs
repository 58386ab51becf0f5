//! Answers: what a command has to say, and why one fails, as lines of JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::json::{Object, lease_text, set_error, set_failure};
use crate::error::{Applied, Code, Error};
use crate::{LeaseId, Revision};

/// What a command answers: the fields beyond `id` and `ok`, or why it failed.
pub(super) type Outcome = Result<Object, Problem>;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Problem {
    /// The store said no.
    Store(Error),
    /// The request is malformed.
    Invalid(String),
    /// It asks for a revision that has not been reached.
    Future { asked: Revision, current: Revision },
    /// The wait was ended from outside.
    Canceled,
    /// A promise that the engine does not keep yet.
    Unsupported(&'static str),
    /// A bug of ours.
    Panicked,
}

impl Problem {
    pub(super) fn invalid(what: &str) -> Problem {
        Problem::Invalid(what.to_owned())
    }

    /// For requests with a `rev`: names it, where the store can only name its own.
    pub(super) fn of_revision(asked: Revision) -> impl Fn(Error) -> Problem {
        move |error| match error {
            Error::FutureRevision { current } if asked != Revision::ZERO => Problem::Future { asked, current },
            other => Problem::Store(other),
        }
    }

    /// Adds the fields of an error to a line.
    pub(super) fn describe(&self, line: &mut Object) {
        let no = Applied::No;
        match self {
            Problem::Store(error) => set_error(line, error),
            Problem::Invalid(what) => set_failure(line, Code::INVALID_ARGUMENT, no, what),
            Problem::Future { asked, current } => {
                let code = Error::FutureRevision { current: *current }.code();
                let what = format!("revision {asked} is in the future, current is {current}");
                set_failure(line, code, no, &what);
                line.insert("detail".into(), json!({ "revision": current.get() }));
            }
            Problem::Canceled => set_failure(line, Code::CANCELED, no, "the wait was canceled"),
            Problem::Unsupported(what) => set_failure(line, Code::UNSUPPORTED, no, what),
            Problem::Panicked => set_failure(line, Code::PANIC, Applied::Unknown, "a bug in etclite"),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem::Store(error)
    }
}

/// An answer as it is printed: what names the request first.
pub(super) fn line(id: Option<Value>, number: Option<u64>, outcome: Outcome) -> Object {
    let mut line = Object::new();
    if let Some(id) = id {
        line.insert("id".into(), id);
    }
    if let Some(number) = number {
        line.insert("line".into(), number.into());
    }
    match outcome {
        Ok(fields) => {
            line.insert("ok".into(), true.into());
            line.extend(fields);
        }
        Err(problem) => problem.describe(&mut line),
    }
    line
}

/// The fields of an answer, in their order.
#[derive(Debug, Default)]
pub(super) struct Answer(Object);

impl Answer {
    /// One that did not touch the store.
    pub(super) fn new() -> Answer {
        Answer::default()
    }

    /// One of the store, at this revision.
    pub(super) fn at(revision: Revision) -> Answer {
        Answer::new().field("revision", revision.get())
    }

    #[must_use]
    pub(super) fn field(mut self, name: &str, value: impl Into<Value>) -> Answer {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Left out if there is none.
    #[must_use]
    pub(super) fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Answer {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    #[must_use]
    pub(super) fn lease(self, name: &str, lease: LeaseId) -> Answer {
        self.field(name, lease_text(lease))
    }

    #[must_use]
    pub(super) fn millis(self, name: &str, duration: Duration) -> Answer {
        self.field(name, millis(duration))
    }

    pub(super) fn done(self) -> Outcome {
        Ok(self.0)
    }

    pub(super) fn into_object(self) -> Object {
        self.0
    }
}

/// Whole milliseconds, as durations are told.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
