//! A driver under test: a process of `etclite exec --json`, and what it answers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The program under test.
pub(crate) const ETCLITE: &str = env!("CARGO_BIN_EXE_etclite");

/// An answer that takes longer is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running driver. Killed when dropped, so a test that fails leaves nothing behind.
pub(crate) struct Driver {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Those that came while another one was waited for.
    early: BTreeMap<String, Value>,
    last_id: u64,
}

impl Driver {
    /// On a store in memory.
    pub(crate) fn in_memory() -> Driver {
        Driver::start(["exec", "--json", "--in-memory"])
    }

    /// On a store in a directory.
    pub(crate) fn on(store: &Path) -> Driver {
        Driver::start([store.as_os_str(), "exec".as_ref(), "--json".as_ref()])
    }

    pub(crate) fn start(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Driver {
        let mut command = Command::new(ETCLITE);
        command.args(args).env_remove("ETCLITE_DB");
        Driver::of(command)
    }

    pub(crate) fn of(mut command: Command) -> Driver {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || stdout.lines().try_for_each(|line| sender.send(line.unwrap())));
        Driver { stdin: child.stdin.take(), child, lines, early: BTreeMap::new(), last_id: 0 }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line as it stands.
    pub(crate) fn raw(&mut self, line: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_ref()).and_then(|()| stdin.write_all(b"\n")).unwrap();
    }

    /// Sends a request under an id of its own, which is returned.
    pub(crate) fn send(&mut self, mut request: Value) -> u64 {
        self.last_id += 1;
        request["id"] = self.last_id.into();
        self.raw(request.to_string());
        self.last_id
    }

    /// Sends a request and returns the answer, without its id.
    pub(crate) fn call(&mut self, request: Value) -> Value {
        let id = self.send(request);
        self.answer(id)
    }

    /// Sends a request again and again until its answer is as wanted.
    pub(crate) fn call_until(&mut self, request: &Value, is_wanted: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let answer = self.call(request.clone());
            if is_wanted(&answer) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{request} still answers {answer}");
        }
    }

    /// The answer to a request that was sent, without its id.
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        let id = Value::from(id).to_string();
        loop {
            if let Some(mut answer) = self.early.remove(&id) {
                answer.as_object_mut().unwrap().shift_remove("id");
                return answer;
            }
            let line = self.line();
            let answer: Value = serde_json::from_str(&line).unwrap();
            let known = self.early.insert(answer["id"].to_string(), answer);
            assert_eq!(known, None, "answered twice");
        }
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("an answer in time")
    }

    /// The next line, as JSON.
    pub(crate) fn next(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Whether there is no line for that long.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        match self.lines.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => panic!("the driver has ended"),
            Ok(line) => {
                let answer: Value = serde_json::from_str(&line).unwrap();
                self.early.insert(answer["id"].to_string(), answer);
                false
            }
        }
    }

    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// What was printed until the process ended, and how it ended. Closes the input.
    pub(crate) fn end(mut self) -> (Vec<Value>, ExitStatus) {
        self.close_input();
        self.ended()
    }

    /// The same, leaving the input open.
    pub(crate) fn ended(mut self) -> (Vec<Value>, ExitStatus) {
        let mut rest: Vec<Value> = std::mem::take(&mut self.early).into_values().collect();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(serde_json::from_str(&line).unwrap()),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the driver does not end"),
            }
        }
        (rest, self.child.wait().unwrap())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a driver on these lines, and gives what it prints, its exit code, and what it says on stderr.
pub(crate) fn run(args: &[&str], input: &str) -> (Vec<Value>, Option<i32>, String) {
    let mut command = Command::new(ETCLITE);
    command.args(args).env_remove("ETCLITE_DB");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that ends early does not read it all.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let mut stderr = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut stdout = child.stdout.take().unwrap();
    let (sender, printed) = channel();
    thread::spawn(move || {
        let mut output = String::new();
        stdout.read_to_string(&mut output).unwrap();
        sender.send(output).unwrap();
    });
    let output = printed.recv_timeout(PATIENCE).inspect_err(|_| child.kill().unwrap()).expect("the program ends");
    let status = child.wait().unwrap();
    writer.join().unwrap();
    let lines = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, status.code(), errors.join().unwrap())
}

/// An answer of a request that failed, as far as programs look at it.
pub(crate) fn failure(code: &str, number: i32) -> Value {
    json!({ "ok": false, "code": code, "number": number, "applied": "no" })
}

/// The code and number of an answer that must be a failure without effect.
#[track_caller]
pub(crate) fn assert_fails(answer: &Value, code: &str, number: i32) {
    let mut known = answer.clone();
    let fields = known.as_object_mut().unwrap();
    assert!(fields.shift_remove("message").is_some_and(|message| message.is_string()), "{answer}");
    fields.shift_remove("detail");
    fields.shift_remove("line");
    assert_eq!(known, failure(code, number), "{answer}");
}

/// Measures how long something takes to end. A machine that is busy with other tests gets three attempts.
#[track_caller]
pub(crate) fn assert_within_a_second(attempt: impl Fn() -> Duration) {
    let took: Vec<Duration> = (0..3).map(|_| attempt()).take_while(|took| *took >= Duration::from_secs(1)).collect();
    assert!(took.len() < 3, "{took:?}");
}

/// Sends requests one by one; each must be answered with exactly these fields (the id apart).
macro_rules! expect {
    ($driver:expr, $({$($request:tt)*} => {$($answer:tt)*})*) => {$(
        let request = serde_json::json!({$($request)*});
        let answer = $driver.call(request.clone());
        assert_eq!(answer, serde_json::json!({$($answer)*}), "to {request}");
    )*};
}

/// Sends requests one by one; each must fail with this code and number, and nothing done.
macro_rules! refuse {
    ($driver:expr, $code:literal $number:literal: $({$($request:tt)*})*) => {$(
        let request = serde_json::json!({$($request)*});
        let answer = $driver.call(request.clone());
        println!("{request} {answer}");
        crate::driver::assert_fails(&answer, $code, $number);
    )*};
}
