//! G14: SIGKILL under load. A worker writes with several threads and tells every acknowledgement on a pipe; after a
//! number of lines it is killed, and what it told must be there.

use std::path::Path;
use std::process::Stdio;

use crate::child::{ROLE, Worker, budget, command_under};
use crate::expected::{Expected, Told};
use crate::load::ORDER;
use crate::random::Random;
use crate::runner::Outcome;
use crate::worker::options;

/// One store is killed so often before the next one begins.
const CHAIN: u64 = 15;
/// The kinds of stores, in turns.
const KINDS: [&str; 6] = ["synced tiny", "written tiny", "buffered tiny", "synced", "written", "buffered"];

/// Kills of this run, shared by the tests of this module: `ETCLITE_KILLS` in all.
fn kills() -> u64 {
    budget("ETCLITE_KILLS", 300)
}

/// `Synced` and `Written` lose nothing that was acknowledged, whatever the worker was doing; `Buffered` loses at most
/// the last moments, and what is there is a prefix of what was issued.
pub(crate) fn sigkill_under_load_loses_nothing_acknowledged() -> Outcome {
    let seed = budget("ETCLITE_SEED", 1);
    let mut done = 0;
    let mut sums = [0; 4];
    for chain in 0.. {
        if done >= kills() {
            break;
        }
        let kind = KINDS[usize::try_from(chain).unwrap() % KINDS.len()];
        let rounds = CHAIN.min(kills() - done);
        let mut chain = Chain::new(kind, seed.wrapping_mul(1 << 20) + chain);
        for round in 0..rounds {
            let _context = Context(format!("ETCLITE_SEED={seed}, store {kind:?}, after {done} kills, round {round}"));
            chain.round();
            done += 1;
        }
        chain.verify_writable();
        let (expected, verified) = (&chain.expected, chain.verified);
        sums = [sums[0] + expected.certain, sums[1] + expected.lost, sums[2] + verified, sums[3] + chain.early];
    }
    let [certain, lost, verified, early] = sums;
    println!(
        "  {done} kills, {certain} acknowledgements found, {lost} lost by buffered stores, {verified} verifications, \
         {early} kills before the store was open"
    );
    Outcome::Passed
}

/// Says where a panic came from.
struct Context(String);

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("  in {}", self.0);
        }
    }
}

/// One store, killed again and again.
struct Chain {
    dir: tempfile::TempDir,
    kind: &'static str,
    random: Random,
    expected: Expected,
    verified: usize,
    early: usize,
}

impl Chain {
    fn new(kind: &'static str, seed: u64) -> Self {
        let expected = Expected::new(!kind.starts_with("buffered"));
        let dir = tempfile::tempdir().unwrap();
        Chain { dir, kind, random: Random::new(seed), expected, verified: 0, early: 0 }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }

    fn round(&mut self) {
        let threads = 1 + usize::try_from(self.random.below(4)).unwrap();
        let (recovered, told) = self.load_and_kill(threads);
        match recovered {
            Some(revision) => {
                self.expected.settle(revision);
                self.expected.killed(told, threads);
            }
            None => self.early += 1,
        }
        // Sometimes the next worker meets what this one left, sometimes after a reader that changes nothing.
        match self.random.below(4) {
            0 => {}
            1 => self.verify_read_only(),
            _ => self.verify_writable(),
        }
    }

    /// Runs a worker up to a random number of lines and kills it. The revision it opened at, and what it told.
    fn load_and_kill(&mut self, threads: usize) -> (Option<u64>, Told) {
        let order = format!("{} {} {threads} {}", self.path().display(), self.random.next(), self.kind);
        let mut worker = Worker::spawn(command_under(&[]).env(ROLE, "load").env(ORDER, order).stderr(Stdio::inherit()));
        let wanted = match self.random.below(10) {
            0 => 0,
            1..5 => self.random.below(40),
            _ => self.random.below(900),
        };
        assert_eq!(worker.line().unwrap(), "opening");
        let (mut recovered, mut told, mut lines) = (None, Told::default(), 0);
        if wanted == 0 {
            worker.kill();
        }
        // What is in the pipe after the kill was acknowledged, too.
        while let Ok(line) = worker.line() {
            match line.strip_prefix("recovered ") {
                Some(revision) => recovered = Some(revision.parse().unwrap()),
                None => told.add(&line),
            }
            lines += 1;
            if lines == wanted {
                worker.kill();
            }
        }
        assert!(lines >= wanted, "the worker ended by itself");
        (recovered, told)
    }

    fn verify_read_only(&mut self) {
        if !self.path().join("catalog.redb").exists() {
            return;
        }
        let before = names(&self.path());
        let db = options(&["read_only"]).open(self.path()).unwrap();
        self.expected.settle(db.stats().recovered_revision.get());
        self.expected.verify(&db);
        db.close().unwrap();
        assert_eq!(names(&self.path()), before, "a read-only open leaves every file alone");
        self.verified += 1;
    }

    fn verify_writable(&mut self) {
        let words: Vec<&str> = self.kind.split(' ').collect();
        let db = options(&words).open(self.path()).unwrap();
        self.expected.settle(db.stats().recovered_revision.get());
        self.expected.verify(&db);
        self.verified += 1;
        if self.random.below(2) == 0 {
            db.close().unwrap();
        }
    }
}

/// The files of a directory with their lengths.
fn names(dir: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let data = entry.metadata().unwrap();
        if data.is_dir() { found.extend(names(&entry.path())) } else { found.push((entry.path(), data.len())) }
    }
    found.sort();
    found
}
