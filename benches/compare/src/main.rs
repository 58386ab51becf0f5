//! `compare`: how fast is it beside the stores that people would use instead?
//!
//! A number from a store's own benchmark says little: other machines, other promises, other sizes. Here all stores run in
//! one process, in turns, on one disk, with the same keys and values, and every figure is put beside the floor, which is
//! one `fdatasync`. What makes a figure invalid is checked and printed, not left to the reader:
//!
//! - fewer than three rounds, or a floor above 0.3 ms in any of them: the answer is **void** (on a busy machine `--repeat`
//!   makes such rounds again, and the output says how many);
//! - fewer flushes of the device than syncs in a durable row: the row is marked;
//! - stores that read different bytes: the answer is void.
//!
//! Reading order: [`question`] (what is asked), [`contest`] (rounds and turns), [`work`] (what is done and timed),
//! [`floor`], [`report`]; [`store`] and [`stores`] are the contestants.

mod args;
mod contest;
mod disk;
mod floor;
mod machine;
mod measure;
mod processor;
mod promises;
mod question;
mod report;
mod store;
mod stores;
mod work;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use args::Args;
use contest::Contest;
use store::Result;
use workload::{KEY_LEN, VALUE_LEN};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Args::parse(&words).and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.help {
        print!("{}", args::USAGE);
        return Ok(());
    }
    if args.list {
        args.contestants.iter().for_each(|c| println!("{:<16} {}", c.name, c.settings));
        return Ok(());
    }
    let scratch = Scratch::create(args)?;
    let head = head(args, &scratch.dir);
    head.iter().for_each(|(name, text)| println!("{name}: {text}"));

    let mut contest = Contest::load(&scratch.dir, &args.contestants, args.amount)?;
    let mut answers = Vec::new();
    for question in &args.questions {
        let answer = contest.ask(question, args.rounds, args.repeats_max)?;
        print!("{}", report::table(&answer, args.base));
        answers.push(answer);
    }
    contest.close()?;
    let promises = promises::lines(&answers);
    if !promises.is_empty() {
        println!("\npromises");
        promises.iter().for_each(|line| println!("  {line}"));
    }
    if args.markdown {
        print!("\n{}", report::markdown(&answers, &head, args.base));
        promises.iter().for_each(|line| println!("- {line}"));
    }
    Ok(())
}

/// What was measured where: the lines without which the figures mean nothing.
fn head(args: &Args, dir: &Path) -> Vec<(&'static str, String)> {
    let Args { rounds, amount, .. } = args;
    let mut head = machine::describe(dir);
    let sizes = format!(
        "{} keys of {KEY_LEN} B, values of {VALUE_LEN} B, loaded in random order; puts overwrite with new values",
        amount.keys
    );
    let rounds = format!(
        "{rounds} rounds and one to warm up, stores in turns; a turn is {} ms of puts, {} gets or {} ranges; figures are medians of the rounds, max is that of all",
        amount.slice.as_millis(),
        amount.gets,
        amount.ranges
    );
    head.extend([("sizes", sizes), ("rounds", rounds)]);
    head.extend(args.contestants.iter().map(|c| (c.name, c.settings.to_owned())));
    head.push(("left out", stores::LEFT_OUT.to_owned()));
    head
}

/// The directory of this run, removed at the end however it comes.
struct Scratch {
    dir: PathBuf,
    keep: bool,
}

impl Scratch {
    fn create(args: &Args) -> Result<Scratch> {
        let parent = match &args.dir {
            Some(dir) => dir.clone(),
            None => target_dir()?,
        };
        let dir = parent.join(format!("compare-{}", std::process::id()));
        fs::create_dir_all(&parent)?;
        fs::create_dir(&dir)?;
        Ok(Scratch { dir, keep: args.keep })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("left behind: {}", self.dir.display());
        } else if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("compare: cannot remove {}: {error}", self.dir.display());
        }
    }
}

/// The program lies in `target/<profile>/`, and `target/` is ignored by everybody's tools.
fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target =
        program.parent().and_then(Path::parent).ok_or("the program lies in no directory; name one with --dir")?;
    Ok(target.to_owned())
}
