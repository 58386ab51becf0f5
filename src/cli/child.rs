//! Commands that are run for `watch -- CMD` and `lock NAME -- CMD`.

use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitStatus, Stdio};

use super::exit::{Exit, tell};
use super::signals::Signals;

/// A command with its words, at least one.
#[derive(Clone, Debug)]
pub(super) struct Child {
    words: Vec<OsString>,
    stdin: bool,
}

impl Child {
    /// `None` if there are no words. Without `stdin` it reads nothing, as etcdctl's.
    pub(super) fn new(words: Vec<OsString>, stdin: bool) -> Option<Child> {
        (!words.is_empty()).then_some(Child { words, stdin })
    }

    /// Runs it with our environment and more, passes signals on to it, and returns the exit code to pass on. After a
    /// signal it is not even started. One that cannot be run ends as in a shell: 127 if it was not found, 126 otherwise.
    pub(super) fn run(&self, environment: &[(&str, OsString)], signals: &Signals) -> Exit {
        if let Some(exit) = signals.exit() {
            return exit;
        }
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).envs(environment.iter().map(|(name, value)| (name, value)));
        if !self.stdin {
            command.stdin(Stdio::null());
        }
        match command.spawn().and_then(|mut child| signals.wait_for(&mut child)) {
            Ok(status) => Exit::Number(code(status)),
            Err(error) => {
                tell(format_args!("error: cannot run {}: {error}", self.words[0].display()));
                Exit::Number(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
            }
        }
    }
}

/// The exit code; of a child that a signal ended, what a shell makes of it.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    #[cfg(not(unix))]
    let signal = None;
    status.code().or(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
