//! A store in a directory of its own, and the program run on it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The program under test.
pub(crate) const ETCLITE: &str = env!("CARGO_BIN_EXE_etclite");

/// A directory with room for a store.
pub(crate) struct Store {
    dir: tempfile::TempDir,
}

impl Store {
    pub(crate) fn new() -> Store {
        Store { dir: tempfile::tempdir().unwrap() }
    }

    /// With each of these keys put, in order.
    pub(crate) fn with(pairs: &[(&str, &str)]) -> Store {
        let store = Store::new();
        pairs.iter().for_each(|(key, value)| assert_eq!(store.out(["put", key, value]), "OK\n"));
        store
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("app.etcl")
    }

    /// A place beside the store.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(ETCLITE);
        command.env("ETCLITE_DB", self.path()).args(args);
        command
    }

    /// Runs it with an empty standard input.
    pub(crate) fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        Ran::of(self.command(args).stdin(Stdio::null()))
    }

    pub(crate) fn run_with(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>, stdin: &[u8]) -> Ran {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        // Beside the reading, so that neither waits for the other. Who does not read to the end may go.
        let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        let ran = Ran::end(child);
        writer.join().unwrap();
        ran
    }

    /// What a command prints that must succeed and say nothing else.
    pub(crate) fn out(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        self.run(args).out()
    }

    /// The one JSON value that a command prints.
    pub(crate) fn json(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Value {
        serde_json::from_str(&self.out(args)).unwrap()
    }

    /// Starts a command that waits.
    pub(crate) fn start(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Running {
        Running::of(&mut self.command(args))
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Ran {
        let output = command.output().unwrap();
        Ran { code: output.status.code(), stdout: output.stdout, stderr: String::from_utf8(output.stderr).unwrap() }
    }

    fn end(child: Child) -> Ran {
        let output = child.wait_with_output().unwrap();
        Ran { code: output.status.code(), stdout: output.stdout, stderr: String::from_utf8(output.stderr).unwrap() }
    }

    #[track_caller]
    pub(crate) fn out(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout.escape_ascii());
        String::from_utf8(self.stdout).unwrap()
    }

    /// The error line of a command that must end with this code and print nothing.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_slice()), (Some(code), &b""[..]), "{}", self.stderr);
        let error = self.stderr.lines().next().unwrap_or_default();
        assert!(error.starts_with("error: ") || error.starts_with('{'), "{}", self.stderr);
        error.to_owned()
    }
}

/// A command that waits. Killed when dropped, so a test that fails leaves nothing behind.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub(crate) fn of(command: &mut Command) -> Running {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Running { child, stdout }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn hush(&mut self) {
        self.child.stdin = None;
    }

    /// Its next line, without the end; empty at the end of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    pub(crate) fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line()).collect()
    }

    /// Sends a signal by name, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for its end: exit code, the rest of stdout, stderr.
    pub(crate) fn end(mut self) -> Ran {
        let (mut stdout, mut stderr) = (Vec::new(), String::new());
        self.stdout.read_to_end(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Ran { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a script under bash, with `etclite` in its path as in a user's.
pub(crate) fn bash(script: &str, dir: &Path) -> Ran {
    let bin = Path::new(ETCLITE).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(bin.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    Ran::of(Command::new("bash").arg("-c").arg(script).current_dir(dir).env("PATH", path.unwrap()).stdin(Stdio::null()))
}

/// Waits until that process has the store open, as the store itself tells. It must have been told to `--wait`, for who
/// looks has the store open for a moment.
pub(crate) fn until_held(path: &Path, pid: u32) {
    let held = format!("process {pid} ");
    loop {
        let look = Ran::of(Command::new(ETCLITE).arg("--db").arg(path).args(["revision"]));
        if look.code == Some(4) && look.stderr.contains(&held) {
            return;
        }
    }
}

/// Waits until that process has a handler for SIGINT: until it has the store open and waits for something.
pub(crate) fn until_listening(pid: u32) {
    let caught = |status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(mask, 16).unwrap() & (1 << (libc::SIGINT - 1)) != 0
    };
    while !caught(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap()) {
        std::thread::yield_now();
    }
}
