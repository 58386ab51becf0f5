//! G14 and storage.md 13 under strace: a SIGKILL at every system call of an operation, and errors of real calls on real
//! files. strace counts by thread and by name of the call, so a place is a name and a number.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use etclite::{Db, KeyRange};

use crate::child::{Gone, Worker, tool};
use crate::runner::Outcome;

/// What a new store is given before the operation under test: keys `a` to `c`, and something in a run.
const SETUP: &[&str] = &["put a 1", "grant 7 1000000000", "attach held 7", "flush", "put b 2", "txn c d 3"];

/// Whether strace can be used.
pub(crate) fn strace() -> Result<(), String> {
    tool("strace", &["-f", "-e", "inject=getppid:error=EPERM", "-o", "/dev/null", "true"])
}

/// A worker under strace.
pub(crate) struct Traced {
    pub(crate) worker: Worker,
    pub(crate) log: PathBuf,
}

impl Traced {
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Traced {
        let log = dir.join("strace.log");
        let mut wrapper = vec!["strace", "-f", "-qq", "-s", "16", "-o", log.to_str().unwrap()];
        wrapper.extend(arguments);
        wrapper.push("--");
        let worker = Worker::start_under(&wrapper, "script");
        Traced { worker, log }
    }
}

/// One system call of the main thread: its name, and its number among those of that name.
type Place = (String, usize);

/// The calls of the main thread between two marks in a trace.
fn places(log: &Path) -> Vec<Place> {
    let text = std::fs::read_to_string(log).unwrap();
    let main = text.split_whitespace().next().unwrap().to_owned();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut marks, mut found) = (0, Vec::new());
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let Some((name, arguments)) = rest.trim_start().split_once('(') else { continue };
        if pid != main || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        // The first line is the exec of the worker itself, which happens before strace counts.
        let count = counts.entry(name.to_owned()).or_default();
        *count += usize::from(name != "execve");
        if name == "write" && arguments.starts_with("1, \"ok mark") {
            marks += 1;
        } else if marks == 1 {
            found.push((name.to_owned(), *count));
        }
    }
    assert_eq!(marks, 2, "both marks are in the trace");
    found
}

/// Asks for each line until the worker dies; the answers.
fn ask_all(worker: &mut Worker, lines: &[String]) -> Vec<String> {
    let mut answers = Vec::new();
    for line in lines {
        match worker.try_ask(line) {
            Ok(answer) => answers.push(answer),
            Err(Gone) => break,
        }
    }
    answers
}

/// An operation that is killed everywhere.
struct Operation {
    name: &'static str,
    /// Before the operation.
    setup: &'static [&'static str],
    lines: &'static [&'static str],
    /// Whether the store exists before the worker opens it, left by a killed process.
    reopen: bool,
}

const OPERATIONS: [Operation; 5] = [
    Operation { name: "open of a new store", setup: &[], lines: &["open"], reopen: false },
    Operation { name: "put", setup: &["open"], lines: &["put key value"], reopen: false },
    Operation { name: "flush", setup: &["open"], lines: &["put key value", "flush"], reopen: false },
    Operation { name: "close", setup: &["open"], lines: &["put key value", "close"], reopen: false },
    Operation { name: "recovery", setup: &[], lines: &["open"], reopen: true },
];

/// Whatever call the process is about to make when it dies, the next open recovers all that was acknowledged.
pub(crate) fn sigkill_at_every_system_call_recovers() -> Outcome {
    require!(strace());
    for operation in &OPERATIONS {
        let count = operation.sweep();
        println!("  {}: killed at each of {count} system calls", operation.name);
    }
    Outcome::Passed
}

impl Operation {
    fn sweep(&self) -> usize {
        let dir = tempfile::tempdir().unwrap();
        let baseline = self.run(dir.path(), &[]);
        assert!(baseline.status.success(), "{}: {:?}", self.name, baseline.answers);
        let places = places(&baseline.log);
        assert!(places.len() > 1, "{} makes no system calls", self.name);
        let mut killed = 0;
        for (name, count) in &places {
            let dir = tempfile::tempdir().unwrap();
            let inject = format!("inject={name}:signal=KILL:when={count}");
            let run = self.run(dir.path(), &["-e", &format!("trace={name}"), "-e", &inject]);
            // Allocation and the threads' timing vary a little: a place that was not reached is none.
            killed += usize::from(run.status.signal() == Some(libc::SIGKILL));
            let context = format!("{}, killed at {name} number {count}", self.name);
            verify(&dir.path().join("store"), &run, self.reopen, &context);
        }
        assert!(killed * 10 >= places.len() * 9, "{}: only {killed} of {} places reached", self.name, places.len());
        killed
    }

    fn run(&self, dir: &Path, arguments: &[&str]) -> Run {
        let store = dir.join("store");
        let expand = |line: &&str| match *line {
            "open" => format!("open {}", store.display()),
            other => other.to_owned(),
        };
        if self.reopen {
            leave_unclean(&store);
        }
        let mut lines: Vec<String> = self.setup.iter().map(expand).collect();
        if !self.setup.is_empty() {
            lines.extend(SETUP.iter().map(|line| (*line).to_owned()));
        }
        lines.push("mark".to_owned());
        lines.extend(self.lines.iter().map(expand));
        lines.push("mark".to_owned());
        let mut traced = Traced::start(dir, arguments);
        let answers = ask_all(&mut traced.worker, &lines);
        let status = traced.worker.finish();
        Run { lines, answers, status, log: traced.log }
    }
}

/// A store as a killed process leaves it.
fn leave_unclean(store: &Path) {
    let mut worker = Worker::start("script");
    worker.ok(&format!("open {}", store.display()));
    SETUP.iter().for_each(|line| drop(worker.ok(line)));
    worker.kill();
}

struct Run {
    lines: Vec<String>,
    answers: Vec<String>,
    status: std::process::ExitStatus,
    log: PathBuf,
}

/// Opens what is left: everything acknowledged is there, nothing is damaged, and the store works.
fn verify(store: &Path, run: &Run, filled: bool, context: &str) {
    let db = Db::open(store).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(db.check().unwrap().problems, [], "{context}");
    let has = |key: &str, value: &str| db.get(key).unwrap().is_some_and(|kv| kv.value == value);
    if filled || run.answers.len() > SETUP.len() {
        for (key, value) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "3"), ("held", "held")] {
            assert!(has(key, value), "{context}: {key} is gone");
        }
        assert_eq!(db.lease(7).time_to_live().unwrap().map(|status| status.key_count), Some(1), "{context}");
    }
    let told =
        |line: &str| run.lines.iter().zip(&run.answers).any(|(asked, said)| asked == line && said.starts_with("ok"));
    let put = db.get("key").unwrap();
    assert!(!told("put key value") || put.is_some(), "{context}: an acknowledged put is gone");
    assert!(put.is_none_or(|kv| kv.value == "value"), "{context}");
    let keys = db.count(KeyRange::all()).unwrap();
    let before = db.revision();
    assert_eq!(db.put("after", context).unwrap().revision, before + 1, "{context}");
    assert_eq!(db.count(KeyRange::all()).unwrap(), keys + 1, "{context}");
    db.close().unwrap();
}

/// What a call that fails does to a store, by storage.md 13. `when` is a number for once, with `+` for ever after.
struct Fault {
    call: &'static str,
    error: &'static str,
    lasting: bool,
}

const FAULTS: [Fault; 7] = [
    Fault { call: "fdatasync", error: "EIO", lasting: false },
    Fault { call: "fsync", error: "EIO", lasting: false },
    Fault { call: "pwrite64", error: "EIO", lasting: false },
    Fault { call: "pwrite64", error: "ENOSPC", lasting: false },
    Fault { call: "pwrite64", error: "ENOSPC", lasting: true },
    Fault { call: "pwrite64", error: "EROFS", lasting: true },
    Fault { call: "openat", error: "EMFILE", lasting: false },
];

/// What is done while calls fail.
const SESSION: &[&str] = &[
    "open",
    "put a 1",
    "put b 2",
    "txn c d 3",
    "flush",
    "put e 5",
    "del a",
    "compact 3",
    "flush",
    "reclaim",
    "put f 6",
    "close",
];

/// Each call that the main thread makes fails once: the answers are typed, what was acknowledged is there after a
/// reopen, and what was refused is not.
pub(crate) fn failing_calls_are_typed_errors() -> Outcome {
    require!(strace());
    for fault in &FAULTS {
        let count = fault.sweep();
        let lasting = if fault.lasting { " from there on" } else { "" };
        println!("  {} of {}{lasting}: at each of {count} calls", fault.error, fault.call);
    }
    Outcome::Passed
}

impl Fault {
    fn sweep(&self) -> usize {
        let plus = if self.lasting { "+" } else { "" };
        // Some calls of that name are the loader's.
        let mut reached = 0;
        for number in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let inject = format!("inject={}:error={}:when={number}{plus}", self.call, self.error);
            let trace = format!("trace={}", self.call);
            let run = self.run(dir.path(), &["-e", &trace, "-e", &inject]);
            if run.answers.is_empty() {
                assert_eq!(self.call, "openat", "only the loader may fail so early: {inject}");
                continue;
            }
            let log = std::fs::read_to_string(&run.log).unwrap_or_default();
            if !log.contains("(INJECTED)") {
                assert!(run.answers.iter().all(|answer| answer.starts_with("ok")), "{inject}: {:?}", run.answers);
                return reached;
            }
            reached += 1;
            self.verify(&dir.path().join("store"), &run, &inject);
        }
        unreachable!("the session ends")
    }

    fn run(&self, dir: &Path, arguments: &[&str]) -> Run {
        let open = format!("open {}", dir.join("store").display());
        let mut traced = Traced::start(dir, arguments);
        let (mut lines, mut answers) = (Vec::new(), Vec::new());
        for line in SESSION {
            let line = if *line == "open" { open.clone() } else { (*line).to_owned() };
            let Ok(answer) = traced.worker.try_ask(&line) else { break };
            lines.push(line);
            answers.push(answer);
            // Reads go on whatever happens to writes.
            let reads = lines.len() > 2 && lines.last().is_some_and(|line| line != "close");
            if let Some(Ok(answer)) = reads.then(|| traced.worker.try_ask("get b")) {
                lines.push("get b".to_owned());
                answers.push(answer);
            }
        }
        let status = traced.worker.finish();
        Run { lines, answers, status, log: traced.log }
    }

    fn verify(&self, store: &Path, run: &Run, context: &str) {
        let told: Vec<_> = run.lines.iter().zip(&run.answers).collect();
        let context = format!("{context}: {told:?}");
        self.verify_answers(&told, &context);
        let db = match Db::open(store) {
            Ok(db) => db,
            Err(error) => panic!("{context}: reopen: {error}"),
        };
        assert_eq!(db.check().unwrap().problems, [], "{context}");
        for key in ["b", "c", "d", "e", "f"] {
            verify_key(&db, key, &told, &context);
        }
        db.put("after", "x").unwrap();
        db.close().unwrap();
    }

    /// The errors that storage.md 13 allows, in the order in which it allows them.
    fn verify_answers(&self, told: &[(&String, &String)], context: &str) {
        let opened = told.first().is_some_and(|(_, answer)| answer.starts_with("ok"));
        let mut poisoned = false;
        // What is full may have room again.
        let passes = matches!(self.error, "ENOSPC" | "EMFILE");
        for (line, answer) in told {
            let error = answer.strip_prefix("error ").map(|rest| rest.split(':').next().unwrap_or_default());
            let verb = line.split(' ').next().unwrap_or_default();
            if verb == "open" {
                assert!(matches!(error, None | Some("Io" | "Full")), "{context}: open");
                continue;
            }
            if !opened {
                continue;
            }
            match (verb, error) {
                ("get", None) => {}
                ("close", None | Some("Io" | "Full" | "Indeterminate")) => {}
                (_, None) => assert!(!poisoned, "{context}: {line} on a poisoned store"),
                (_, Some("Indeterminate")) => {
                    assert!(!poisoned, "{context}: {line} is known to be poisoned");
                    poisoned = true;
                }
                (_, Some("Poisoned")) => poisoned = true,
                (_, Some("Full")) => assert!(passes, "{context}: {line}"),
                ("flush", Some("Io")) => poisoned = true,
                // The compaction is in effect; its space could not be given back, for want of room or for good.
                ("reclaim", Some("NotReclaimed")) => poisoned |= !passes,
                _ => panic!("{context}: {line} must not be answered so"),
            }
        }
    }
}

/// A key is as its last acknowledged put says; one whose put was refused is not there; one in doubt may be.
fn verify_key(db: &Db, key: &str, told: &[(&String, &String)], context: &str) {
    let puts = |line: &str| line.starts_with(&format!("put {key} ")) || (line.starts_with("txn") && "cd".contains(key));
    let found = db.get(key).unwrap().is_some();
    let answer = told.iter().find(|(line, _)| puts(line)).map_or("error never asked", |(_, answer)| answer);
    if answer.starts_with("ok") && !answer.contains("no store") {
        assert!(found, "{context}: {key} is gone");
    } else if !answer.starts_with("error Indeterminate") {
        assert!(!found, "{context}: {key} was refused and is there");
    }
}
