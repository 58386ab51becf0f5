//! The parent's side of a worker process: start it, ask it, kill it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The variable that makes this binary a worker, and what kind.
pub(crate) const ROLE: &str = "ETCLITE_PROCESSES_WORKER";

/// A worker that answers each line with a line.
pub(crate) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// The worker is gone.
#[derive(Debug)]
pub(crate) struct Gone;

impl Worker {
    /// A worker of this role, directly.
    pub(crate) fn start(role: &str) -> Worker {
        Worker::start_under(&[], role)
    }

    /// A worker under another program, such as `strace` or `unshare` with their arguments.
    pub(crate) fn start_under(wrapper: &[&str], role: &str) -> Worker {
        Worker::spawn(command_under(wrapper).env(ROLE, role))
    }

    /// A worker as this command starts it.
    pub(crate) fn spawn(command: &mut Command) -> Worker {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Worker { child, input, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line without waiting for its answer.
    pub(crate) fn send(&mut self, line: &str) -> Result<(), Gone> {
        let input = self.input.as_mut().ok_or(Gone)?;
        input.write_all(format!("{line}\n").as_bytes()).map_err(|_| Gone)
    }

    /// The next whole line; a last line without its end was cut off by death and does not count.
    pub(crate) fn line(&mut self) -> Result<String, Gone> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|_| Gone)?;
        if line.pop() == Some('\n') { Ok(line) } else { Err(Gone) }
    }

    /// Sends a line and waits for its answer.
    pub(crate) fn try_ask(&mut self, line: &str) -> Result<String, Gone> {
        self.send(line)?;
        self.line()
    }

    /// As [`Worker::try_ask`], of a worker that must be alive.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.try_ask(line).unwrap_or_else(|Gone| panic!("the worker died of {line:?}"))
    }

    /// As [`Worker::ask`], and the answer must be `ok`; what follows it is returned.
    pub(crate) fn ok(&mut self, line: &str) -> String {
        let answer = self.ask(line);
        match answer.strip_prefix("ok") {
            Some(rest) => rest.trim_start().to_owned(),
            None => panic!("{line:?} was answered by {answer:?}"),
        }
    }

    /// Asks for the worker's counters until they are as wanted: how a test waits for background work.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Counters) -> bool) -> Counters {
        let started = Instant::now();
        loop {
            let counters = Counters::parse(&self.ok("stats"));
            if wanted(&counters) {
                return counters;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "background work does not end: {counters:?}");
            std::thread::yield_now();
        }
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Kills it with SIGKILL, and waits until it is gone with all that it had locked. Its pipes stay open: a child that it
    /// forked may answer.
    pub(crate) fn kill_and_await(&mut self) {
        self.kill();
        self.child.wait().unwrap();
    }

    /// Closes its input, and waits until nobody has its output any more: the worker, or a child that it forked.
    pub(crate) fn end(mut self) {
        self.input = None;
        assert!(self.line().is_err(), "an answer to nothing");
    }

    /// Closes its input, by which a script worker ends, and waits for it.
    pub(crate) fn finish(mut self) -> ExitStatus {
        self.input = None;
        self.child.wait().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This binary under another program.
pub(crate) fn command_under(wrapper: &[&str]) -> Command {
    let this = std::env::current_exe().unwrap();
    let Some((program, arguments)) = wrapper.split_first() else { return Command::new(this) };
    let mut command = Command::new(program);
    command.args(arguments).arg(this);
    command
}

/// What `stats` answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) revision: u64,
    pub(crate) runs: u64,
    pub(crate) memtables: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
    pub(crate) rss_kib: u64,
    pub(crate) disk: u64,
}

impl Counters {
    pub(crate) fn parse(text: &str) -> Counters {
        let mut counters = Counters::default();
        for (name, value) in text.split(' ').filter_map(|pair| pair.split_once('=')) {
            let value = value.parse().unwrap();
            match name {
                "revision" => counters.revision = value,
                "runs" => counters.runs = value,
                "memtables" => counters.memtables = value,
                "threads" => counters.threads = value,
                "descriptors" => counters.descriptors = value,
                "rss_kib" => counters.rss_kib = value,
                "disk" => counters.disk = value,
                other => panic!("unknown counter {other}"),
            }
        }
        counters
    }
}

/// Whether a program can be run with these arguments; else why not.
pub(crate) fn tool(program: &str, arguments: &[&str]) -> Result<(), String> {
    let tried = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match tried {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{program} is not permitted")),
        Err(_) => Err(format!("{program} is missing")),
    }
}

/// A number that decides nothing but how much is done.
pub(crate) fn budget(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
