//! CT-01, CT-02, CT-04: the command line prints what the real etcdctl printed, byte for byte.
//!
//! Each script of `tests/fixtures/etcdctl/` is run against a fresh store, one process a step, with the arguments as they
//! stand: only `ETCLITE_DB` says which store, as for someone who has aliased etcdctl to etclite. The format of scripts
//! and the placeholders in them are described at the head of `record.py` there. Standard output must be equal; of the
//! rest, that a step fails with something on stderr, or succeeds with nothing there: texts and exit codes are ours.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A step that takes longer has failed.
const STEP_MAX: Duration = Duration::from_secs(60);

#[test]
fn ct_04_put_prints_what_etcdctl_prints() {
    replay("put");
}

#[test]
fn ct_04_get_prints_what_etcdctl_prints() {
    replay("get");
}

#[test]
fn ct_04_del_prints_what_etcdctl_prints() {
    replay("del");
}

#[test]
fn ct_04_txn_prints_what_etcdctl_prints() {
    replay("txn");
}

#[test]
fn ct_04_lease_prints_what_etcdctl_prints() {
    replay("lease");
}

#[test]
fn ct_04_watch_prints_what_etcdctl_prints() {
    replay("watch");
}

#[test]
fn ct_04_interactive_watch_prints_what_etcdctl_prints() {
    replay("watch_interactive");
}

#[test]
fn ct_04_compaction_prints_what_etcdctl_prints() {
    replay("compaction");
}

#[test]
fn ct_04_tutorial_prints_what_etcdctl_prints() {
    replay("tutorial");
}

#[test]
fn ct_02_lock_and_elect_print_what_etcdctl_prints() {
    replay("lock");
}

/// Runs a script and panics with all differences.
fn replay(script: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/etcdctl/{script}.txt"));
    let steps = parse(&fs::read_to_string(&path).expect("the script is a text file"));
    assert!(steps.len() > 4, "{script} has steps");
    let place = Place::new();
    place.init();
    let (mut names, mut report) = (Names::default(), String::new());
    for step in &steps {
        let output = place.run(step, &names);
        for problem in judge(step, &output, &mut names) {
            let (line, text) = (step.line, &step.text);
            writeln!(report, "{script}.txt:{line}: $ {text}\n{problem}").expect("strings grow");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// What is wrong with the answer to a step.
fn judge(step: &Step, output: &Output, names: &mut Names) -> Vec<String> {
    let mut problems = Vec::new();
    if !step.answers_differ() && !names.bind(&step.stdout, &as_etcdctl(&output.stdout)) {
        let (wanted, got) = (step.stdout.escape_ascii(), output.stdout.escape_ascii());
        problems.push(format!("  recorded stdout: {wanted}\n  printed:         {got}"));
    }
    if let Some(success) = output.success {
        if success == step.fails {
            problems.push(format!("  success: {success}, which etcdctl's was not"));
        }
        if output.stderr.is_empty() == step.fails {
            problems.push("  stderr has a text if, and only if, a step fails".into());
        }
    }
    if !problems.is_empty() {
        problems.push(format!("  stderr: {}", output.stderr.escape_ascii()));
    }
    problems
}

/// Standard output without what we add to etcdctl's json: of an answer itself it leaves out what is false, zero or empty,
/// and we do not, so that `"succeeded":false` can be told from a mistyped field.
fn as_etcdctl(stdout: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in stdout.split_inclusive(|&byte| byte == b'\n') {
        match serde_json::from_slice::<Value>(line) {
            Ok(mut value @ Value::Object(_)) => {
                leave_out(&mut value);
                lines.extend(value.to_string().into_bytes());
                lines.extend(line.strip_suffix(b"\n").map(|_| b'\n'));
            }
            _ => lines.extend(line),
        }
    }
    lines
}

fn leave_out(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(leave_out),
        Value::Object(fields) => {
            let added = |name: &str, value: &Value| match name {
                "kvs" | "prev_kvs" | "responses" => *value == json!([]),
                "more" | "succeeded" => *value == json!(false),
                "count" | "deleted" => *value == json!(0),
                _ => false,
            };
            fields.retain(|name, value| !added(name, value));
            // Of a lease without keys.
            fields.iter_mut().filter(|(name, keys)| *name == "keys" && **keys == json!([])).for_each(|(_, keys)| {
                *keys = Value::Null;
            });
            fields.values_mut().for_each(leave_out);
        }
        _ => {}
    }
}

/// The store of one script, and what its steps leave behind.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { directory: tempfile::tempdir().expect("the temporary directory is writable") }
    }

    fn stderr_path(&self) -> PathBuf {
        self.directory.path().join("stderr")
    }

    fn command(&self) -> Command {
        let stderr = File::create(self.stderr_path()).expect("the directory is writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_etclite"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("ETCLITE_DB", self.directory.path().join("store"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        command
    }

    /// A `get` creates no store, so that a script that begins with one needs it made.
    fn init(&self) {
        let status = self.command().arg("init").stdout(Stdio::null()).status().expect("the binary starts");
        assert!(status.success(), "etclite init: {status}");
    }

    fn run(&self, step: &Step, names: &Names) -> Output {
        let arguments = step.argv.iter().map(|word| OsString::from_vec(names.fill(word)));
        let mut child = Running(self.command().args(arguments).spawn().expect("the binary starts"));
        let mut stdin = child.0.stdin.take().expect("it is a pipe");
        // A command that does not read its stdin may have closed it.
        let _ = stdin.write_all(&names.fill(&step.stdin));
        // An endless command reads on; the others must see the end.
        let held = step.endless.then_some(stdin);
        let lines = step.endless.then(|| count_lines(&step.stdout));
        let stdout = child.read(lines);
        let success = match step.endless {
            true => None,
            false => Some(child.0.wait().expect("it is a child").success()),
        };
        drop(held);
        drop(child);
        Output { stdout, stderr: fs::read(self.stderr_path()).expect("the file was made"), success }
    }
}

struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// `None` for a step that had to be ended.
    success: Option<bool>,
}

/// A child that does not outlive the test, whatever becomes of that.
struct Running(Child);

impl Running {
    /// Reads stdout to its end, or until it has so many lines.
    fn read(&mut self, lines: Option<usize>) -> Vec<u8> {
        let mut stdout = self.0.stdout.take().expect("it is a pipe");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(len @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        let (mut read, deadline) = (Vec::new(), Instant::now() + STEP_MAX);
        while lines.is_none_or(|lines| count_lines(&read) < lines) {
            match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(more) => read.extend(more),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    read.extend(b"[and then nothing more, without an end]");
                    let _ = self.0.kill();
                    break;
                }
            }
        }
        read
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn count_lines(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

/// What the placeholders of a script stand for in this run.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// The text with every known placeholder replaced.
    fn fill(&self, text: &[u8]) -> Vec<u8> {
        let mut filled = Vec::new();
        for piece in pieces(text) {
            match piece {
                Piece::Literal(literal) => filled.extend(literal),
                Piece::Name(name) => {
                    let value = self.0.get(name).unwrap_or_else(|| panic!("{{{name}}} was never printed"));
                    filled.extend(value.as_bytes());
                }
            }
        }
        filled
    }

    /// Whether the text is the template with something in place of its placeholders, the same thing as before where
    /// one has been met before. What is met for the first time is remembered.
    fn bind(&mut self, template: &[u8], mut text: &[u8]) -> bool {
        for piece in pieces(template) {
            let rest = match piece {
                Piece::Literal(literal) => text.strip_prefix(literal),
                Piece::Name(name) => self.bind_one(name, text),
            };
            let Some(rest) = rest else { return false };
            text = rest;
        }
        text.is_empty()
    }

    /// Takes the value of one placeholder off the front of the text.
    fn bind_one<'a>(&mut self, name: &str, text: &'a [u8]) -> Option<&'a [u8]> {
        let hexadecimal = name == "session" || name.starts_with("lease") && !name.ends_with(":decimal");
        let belongs = |byte: &u8| byte.is_ascii_digit() || hexadecimal && matches!(byte, b'a'..=b'f');
        let len = text.iter().take_while(|byte| belongs(byte)).count();
        let (value, rest) = text.split_at(len);
        let value = std::str::from_utf8(value).expect("they are digits");
        let number = u64::from_str_radix(value, if hexadecimal { 16 } else { 10 }).ok()?;
        let fits = match name {
            "remaining" | "session" => true,
            "cluster_id" | "member_id" | "raft_term" => number != 0 && self.remember(name, value),
            _ if hexadecimal => len == 16 && self.remember_lease(name, number),
            _ => self.remember_lease(name.trim_end_matches(":decimal"), number),
        };
        fits.then_some(rest)
    }

    fn remember_lease(&mut self, name: &str, id: u64) -> bool {
        self.remember(name, &format!("{id:016x}")) && self.remember(&format!("{name}:decimal"), &id.to_string())
    }

    fn remember(&mut self, name: &str, value: &str) -> bool {
        self.0.entry(name.to_owned()).or_insert_with(|| value.to_owned()) == value
    }
}

enum Piece<'a> {
    Literal(&'a [u8]),
    Name(&'a str),
}

/// A template as text and placeholders, in order. A brace that does not begin a placeholder is text: JSON has them.
fn pieces(template: &[u8]) -> Vec<Piece<'_>> {
    let (mut found, mut literal_from, mut at) = (Vec::new(), 0, 0);
    while at < template.len() {
        let name = name_at(&template[at..]);
        let Some(name) = name else {
            at += 1;
            continue;
        };
        found.push(Piece::Literal(&template[literal_from..at]));
        found.push(Piece::Name(name));
        at += name.len() + 2;
        literal_from = at;
    }
    found.push(Piece::Literal(&template[literal_from..]));
    found
}

/// The name of the placeholder that begins here.
fn name_at(text: &[u8]) -> Option<&str> {
    let inside = text.strip_prefix(b"{")?;
    let end = inside.iter().position(|&byte| byte == b'}')?;
    let name = std::str::from_utf8(&inside[..end]).ok()?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b':');
    (name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(fits)).then_some(name)
}

/// One command of a script and what etcdctl did.
#[derive(Default)]
struct Step {
    line: usize,
    text: String,
    argv: Vec<Vec<u8>>,
    stdin: Vec<u8>,
    endless: bool,
    stdout: Vec<u8>,
    fails: bool,
}

impl Step {
    /// Whether we answer something else on purpose: etcdctl tells of a compaction in words whatever the format.
    fn answers_differ(&self) -> bool {
        self.argv[0] == b"compaction" && self.argv.contains(&b"-w".to_vec())
    }
}

fn parse(script: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, line) in script.lines().enumerate() {
        if let Some(text) = line.strip_prefix("$ ") {
            steps.push(Step { line: index + 1, text: text.into(), argv: words(text), ..Step::default() });
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let step = steps.last_mut().expect("a script begins with a comment or a step");
        match line.as_bytes().first() {
            Some(b'<') => step.stdin.extend(text_bytes(line)),
            Some(b'|') => step.stdout.extend(text_bytes(line)),
            Some(b'@') if line == "@ endless" => step.endless = true,
            Some(b'=') => step.fails = true,
            // The texts of errors are etcdctl's own.
            Some(b'!') => {}
            _ => panic!("line {}: {line}", index + 1),
        }
    }
    steps
}

/// The bytes of a `<` or `|` line.
fn text_bytes(line: &str) -> Vec<u8> {
    let (mark, text) = line.split_once(' ').expect("a space follows the mark");
    let mut bytes = if mark.contains('\\') { unescape(text) } else { text.as_bytes().to_vec() };
    if !mark.contains('-') {
        bytes.push(b'\n');
    }
    bytes
}

/// The arguments of a step: words between spaces, in which "double quotes" hold spaces and escapes.
fn words(text: &str) -> Vec<Vec<u8>> {
    let (mut found, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' if !quoted => found.extend(word.take()),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(['\\'].into_iter().chain(rest.next())),
            _ => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "an open quote: {text}");
    found.extend(word);
    found.iter().map(|word| unescape(word)).collect()
}

/// Knows `\n \t \" \\ \xNN`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        let (byte, len) = match escape.as_bytes() {
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [mark @ (b'"' | b'\\'), ..] => (*mark, 1),
            [b'x', ..] => (u8::from_str_radix(&escape[1..3], 16).expect("two hexadecimal digits"), 3),
            _ => panic!("an unknown escape: {text}"),
        };
        bytes.push(byte);
        rest = &escape[len..];
    }
    bytes.extend(rest.as_bytes());
    bytes
}

#[test]
fn placeholders_stand_for_one_thing_each() {
    let mut names = Names::default();
    assert!(names.bind(b"lease {lease1} granted {\"a\":{raft_term}}", b"lease 00000000000000ff granted {\"a\":1}"));
    assert!(names.bind(b"{lease1:decimal},{remaining}", b"255,9"));
    assert!(!names.bind(b"{lease1:decimal}", b"254"));
    assert!(!names.bind(b"{raft_term}", b"2"));
    assert!(!names.bind(b"{lease2}", b"ff"));
    assert!(!names.bind(b"{remaining}s", b"s"));
    assert!(names.bind(b"lk/{session}.lk/{session}", b"lk/7f.lk/80"));
    assert!(!names.bind(b"a", b"ab"));
    assert_eq!(names.fill(b"--lease={lease1}"), b"--lease=00000000000000ff");
}

#[test]
fn only_what_we_add_is_left_out() {
    let ours = b"{\"header\":{\"revision\":2},\"kvs\":[{\"key\":\"YQ==\"}],\"more\":false,\"count\":1}\nx\n";
    assert_eq!(as_etcdctl(ours), b"{\"header\":{\"revision\":2},\"kvs\":[{\"key\":\"YQ==\"}],\"count\":1}\nx\n");
    let kept = b"{\"leases\":[],\"ttl\":0,\"Canceled\":false,\"CompactRevision\":0,\"more\":true}";
    assert_eq!(as_etcdctl(kept), kept);
}

#[test]
fn scripts_are_read_as_they_were_written() {
    assert_eq!(words(r#"put "a b" "" x"\x00\"y" c"#), [&b"put"[..], b"a b", b"", b"x\x00\"y", b"c"]);
    let step = &parse("# c\n$ put k\n< a\\n\n<- b\n|\\- \\x01\\\\\n| x\n! no\n= 1\n")[0];
    assert_eq!((&step.stdin[..], &step.stdout[..], step.fails), (&b"a\\n\nb"[..], &b"\x01\\x\n"[..], true));
}
