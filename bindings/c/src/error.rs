//! `etclite_error`, and what becomes of everything that goes wrong.

use std::ffi::c_char;

use etclite::{Code, Error};

use crate::code::{
    ETCLITE_E_FORKED, ETCLITE_E_FULL, ETCLITE_E_INDETERMINATE, ETCLITE_E_INVALID_ARGUMENT, ETCLITE_E_MISUSE,
    ETCLITE_E_UNSUPPORTED,
};

/// What went wrong. It belongs to the caller: nothing in it need be freed. It is written only when a function returns a
/// number below 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_error {
    /// The status that the function returned.
    pub code: i32,
    /// The operating system's error number (`errno`); 0 if it did not come from there.
    pub os_error: i32,
    /// A number that goes with the code, as its description says; else 0.
    pub detail: i64,
    /// What happened, for people: UTF-8, ended by a zero byte, cut off at a character if it is too long.
    pub message: [c_char; 240],
}

/// Why a function does not return `ETCLITE_OK`.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store's answer.
    Store(Error),
    /// Found out at the boundary.
    Boundary { code: i32, message: &'static str, detail: i64 },
    /// A panic, with its message.
    Panic(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Store(error)
    }
}

impl Failure {
    const fn boundary(code: i32, message: &'static str) -> Self {
        Failure::Boundary { code, message, detail: 0 }
    }

    /// A handle or pointer that cannot be.
    pub(crate) const fn misuse() -> Self {
        Failure::boundary(
            ETCLITE_E_MISUSE,
            "a handle that is not open, or of another type, or in use by another thread",
        )
    }

    /// A null pointer where there must be one.
    pub(crate) const fn null() -> Self {
        Failure::boundary(ETCLITE_E_MISUSE, "a null pointer")
    }

    pub(crate) const fn misused(message: &'static str) -> Self {
        Failure::boundary(ETCLITE_E_MISUSE, message)
    }

    pub(crate) const fn forked() -> Self {
        Failure::boundary(ETCLITE_E_FORKED, "the handle is of another process, before a fork")
    }

    /// An argument outside its bounds.
    pub(crate) const fn invalid(message: &'static str) -> Self {
        Failure::boundary(ETCLITE_E_INVALID_ARGUMENT, message)
    }

    pub(crate) const fn unsupported(message: &'static str) -> Self {
        Failure::boundary(ETCLITE_E_UNSUPPORTED, message)
    }

    pub(crate) const fn full(message: &'static str, max: i64) -> Self {
        Failure::Boundary { code: ETCLITE_E_FULL, message, detail: max }
    }

    /// What to tell if the answer to a request cannot be handed out, there being no handle left for it: `FULL` says that
    /// nothing was done, which is not so of one that may have written.
    pub(crate) fn after(self, may_have_written: bool) -> Self {
        match self {
            Failure::Boundary { code: ETCLITE_E_FULL, .. } if may_have_written => Failure::boundary(
                ETCLITE_E_INDETERMINATE,
                "the write may have taken effect, but no handle is left for its answer",
            ),
            other => other,
        }
    }

    pub(crate) fn code(&self) -> i32 {
        match self {
            Failure::Store(error) => error.code().number,
            Failure::Boundary { code, .. } => *code,
            Failure::Panic(_) => Code::PANIC.number,
        }
    }

    fn detail(&self) -> i64 {
        match self {
            Failure::Store(error) => error.detail(),
            Failure::Boundary { detail, .. } => *detail,
            Failure::Panic(_) => 0,
        }
    }

    fn os_error(&self) -> i32 {
        match self {
            Failure::Store(Error::Io { source, .. }) => source.raw_os_error().unwrap_or(0),
            _ => 0,
        }
    }

    /// As the caller gets it.
    pub(crate) fn report(&self) -> etclite_error {
        let (os_error, detail) = (self.os_error(), self.detail());
        etclite_error { code: self.code(), os_error, detail, message: cut(&self.text()) }
    }

    /// What happened, for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Failure::Store(error) => chain(error),
            Failure::Boundary { message, .. } => (*message).to_owned(),
            Failure::Panic(text) => format!("a bug in the library: {text}"),
        }
    }
}

/// An error and what caused it.
pub(crate) fn chain(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// As much of a text as fits, whole characters, ended by a zero byte.
#[allow(clippy::cast_possible_wrap, reason = "bytes of UTF-8 are told as C's char, whatever its sign")]
fn cut(text: &str) -> [c_char; 240] {
    let mut end = text.len().min(239);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut message = [0; 240];
    // A zero inside would end it early; messages name paths, which have none.
    for (to, from) in message.iter_mut().zip(text[..end].bytes()) {
        *to = from as c_char;
    }
    message
}
