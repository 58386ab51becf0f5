//! A runner of its own in place of libtest, because this binary is also the program that its tests start and kill:
//! `main` has to decide before any test thread exists. It speaks as much of libtest's language as `cargo test` needs:
//! filters, `--exact`, `--skip`, `--list` and `--test-threads`.
//!
//! A test that lacks a tool says so by returning [`Outcome::Skipped`]: it is shown and counted as ignored, never as
//! passed, and fails if `ETCLITE_REQUIRE_TOOLS=1`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What a test came to, if it did not panic.
pub(crate) enum Outcome {
    Passed,
    /// It could not run, and why.
    Skipped(String),
}

/// A test by name.
pub(crate) type Test = (&'static str, fn() -> Outcome);

/// Returns from a test as skipped unless the tool is there.
#[macro_export]
macro_rules! require {
    ($tool:expr) => {
        if let Err(missing) = $tool {
            return $crate::runner::Outcome::Skipped(missing);
        }
    };
}

/// What the command line asks for.
#[derive(Default)]
struct Wanted {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
    ignored_only: bool,
    threads: Option<usize>,
}

/// Runs the tests that the command line names.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let wanted = Wanted::parse(std::env::args().skip(1));
    let chosen: Vec<Test> = tests.iter().filter(|test| wanted.takes(test.0)).copied().collect();
    if wanted.list {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let started = Instant::now();
    let default = std::thread::available_parallelism().map_or(2, usize::from);
    let tally = run_on(&chosen, wanted.threads.unwrap_or(default));
    let failed = tally.failed.len();
    if failed > 0 {
        println!("\nfailures:\n    {}", tally.failed.join("\n    "));
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; {} ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        chosen.len() - failed - tally.skipped,
        tally.skipped,
        tests.len() - chosen.len(),
        started.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

#[derive(Default)]
struct Tally {
    failed: Vec<&'static str>,
    skipped: usize,
}

fn run_on(chosen: &[Test], threads: usize) -> Tally {
    let tools_required = std::env::var_os("ETCLITE_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let work = || {
        while let Some((name, test)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(test));
            let seconds = started.elapsed().as_secs_f64();
            let mut tally = tally.lock().unwrap();
            match outcome {
                Ok(Outcome::Passed) => println!("test {name} ... ok ({seconds:.1}s)"),
                Ok(Outcome::Skipped(why)) => {
                    eprintln!("skipped: {name}: {why}");
                    if tools_required {
                        println!("test {name} ... FAILED, a tool that is required is missing: {why}");
                        tally.failed.push(name);
                    } else {
                        println!("test {name} ... ignored, {why}");
                        tally.skipped += 1;
                    }
                }
                Err(_) => {
                    println!("test {name} ... FAILED ({seconds:.1}s)");
                    tally.failed.push(name);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    tally.into_inner().unwrap()
}

impl Wanted {
    fn parse(mut args: impl Iterator<Item = String>) -> Self {
        let mut wanted = Wanted::default();
        while let Some(arg) = args.next() {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (arg, None),
            };
            match name.as_str() {
                "--exact" => wanted.exact = true,
                "--list" => wanted.list = true,
                "--ignored" => wanted.ignored_only = true,
                "--skip" => wanted.skipped.extend(value.or_else(|| args.next())),
                "--test-threads" => {
                    wanted.threads = value.or_else(|| args.next()).and_then(|count| count.parse().ok());
                }
                "--color" | "--format" | "--logfile" | "-Z" if value.is_none() => drop(args.next()),
                flag if flag.starts_with('-') => {}
                _ => wanted.filters.push(name),
            }
        }
        wanted
    }

    fn takes(&self, name: &str) -> bool {
        let fits = |pattern: &String| if self.exact { name == pattern } else { name.contains(pattern.as_str()) };
        !self.ignored_only
            && (self.filters.is_empty() || self.filters.iter().any(fits))
            && !self.skipped.iter().any(fits)
    }
}
