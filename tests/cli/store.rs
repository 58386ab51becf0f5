//! Runs of the program on a store, for the commands about stores as a whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use etclite::{Db, PutOptions};
use serde_json::Value;
use tempfile::TempDir;

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    fn of(output: Output) -> Run {
        let text = |bytes| String::from_utf8(bytes).expect("these commands print text");
        Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it printed, if it ended well and said nothing else.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.done()).unwrap()
    }

    /// The error that it told of, if it ended so, and printed nothing.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        assert!(self.err.starts_with("error: ") || self.err.starts_with('{'), "{}", self.err);
        self.err
    }
}

/// The program with these words, and nothing of ours in its environment.
pub(crate) fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etclite"));
    command.args(args).env_remove("ETCLITE_DB").stdin(Stdio::null());
    command
}

/// Runs a command of a few words on `store`.
pub(crate) fn on(store: &Path, words: &str) -> Run {
    let words = words.split_whitespace().map(OsStr::new);
    Run::of(command(std::iter::once(store.as_os_str()).chain(words)).output().unwrap())
}

/// The same, with something to read.
pub(crate) fn on_with(store: &Path, words: &str, input: &[u8]) -> Run {
    let words = words.split_whitespace().map(OsStr::new);
    let mut command = command(std::iter::once(store.as_os_str()).chain(words));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses early does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    Run::of(child.wait_with_output().unwrap())
}

/// Runs words that may hold paths.
pub(crate) fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
    Run::of(command(args).output().unwrap())
}

/// As [`run`], with files limited to so many blocks of 512 bytes, as on a disk that is full.
pub(crate) fn run_cramped(blocks: u32, args: &[&OsStr]) -> Run {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_etclite")]);
    Run::of(shell.args(args).env_remove("ETCLITE_DB").stdin(Stdio::null()).output().unwrap())
}

/// A place for stores.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("app.etcl");
    (dir, store)
}

/// A store with text, binary keys and values, history, a deleted key, leases with and without keys.
pub(crate) fn filled(store: &Path) -> Db {
    let db = Db::open(store).unwrap();
    for id in [7, -2] {
        db.grant_with_id(id, Duration::from_secs(3600)).unwrap();
    }
    db.put("colour", "red").unwrap();
    db.put("colour", "bl\"u\ne\u{1f308}").unwrap();
    db.put([0xff, 0, b'k'], [0xfe, 0xfd]).unwrap();
    db.put_with("service/a", "", PutOptions::new().lease(-2)).unwrap();
    db.put_with("service/b", [0x80; 100], PutOptions::new().lease(7)).unwrap();
    db.put("gone", "1").unwrap();
    db.delete("gone").unwrap();
    db.put("gone", "2").unwrap();
    db.delete("gone").unwrap();
    db
}

/// As [`filled`], closed, with runs.
pub(crate) fn filled_and_closed(store: &Path) {
    filled(store).close().unwrap();
}

/// Every file of a directory with its bytes.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A copy of a directory, file by file: of an open store, what a crash would leave.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// The one run of a store.
pub(crate) fn run_file(store: &Path) -> PathBuf {
    fs::read_dir(store.join("run")).unwrap().next().unwrap().unwrap().path()
}

/// Changes one byte of a file.
pub(crate) fn damage(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}
