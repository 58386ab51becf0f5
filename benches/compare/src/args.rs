//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::question::{QUESTIONS, Question};
use crate::report::ROUNDS_MIN;
use crate::store::{Contestant, Result};
use crate::stores;
use crate::work::Amount;

/// What `--help` prints.
pub const USAGE: &str = "\
compare [options]: embedded stores beside each other, in one process, against one fdatasync floor

  --quick             100 k keys, 3 short rounds: under a minute; otherwise 1 M keys, 5 rounds: under 5 minutes
  --questions A,B     only these: get-run range put-1 put-16 put-64 get-hot relaxed
  --stores A,B        only these; `--list` shows all
  --base NAME         the store that ratios refer to (default: the first, which is etclite where it is compiled in)
  --keys N            keys in each store
  --rounds N          rounds that count; fewer than 3 make the run void
  --repeat N          throw away up to N rounds of a question whose floor is slow, and make them again (default 0)
  --slice-ms N        how long each store writes in one round
  --dir DIR           where to work, in a fresh directory (default: the target directory of this build)
  --keep              leave that directory behind
  --markdown          add a table for the README
  --list              name the stores and how they are set up
";

/// The command line, read.
pub struct Args {
    /// Show the stores, and do nothing.
    pub list: bool,
    /// Show the usage, and do nothing.
    pub help: bool,
    /// Add the markdown table.
    pub markdown: bool,
    /// Leave the directory behind.
    pub keep: bool,
    /// The directory in which to make a fresh one.
    pub dir: Option<PathBuf>,
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds of each question that may be made again because of a slow floor.
    pub repeats_max: usize,
    /// How much of everything.
    pub amount: Amount,
    /// The stores.
    pub contestants: Vec<Contestant>,
    /// The questions.
    pub questions: Vec<&'static Question>,
    /// The store that ratios refer to.
    pub base: &'static str,
}

const FULL: Amount =
    Amount { keys: 1_000_000, slice: Duration::from_millis(700), gets: 100_000, ranges: 10_000, syncs: 400 };
const QUICK: Amount =
    Amount { keys: 100_000, slice: Duration::from_millis(200), gets: 20_000, ranges: 2_000, syncs: 200 };

impl Args {
    /// Reads the arguments that follow the program's name.
    pub fn parse(words: &[String]) -> Result<Args> {
        let quick = words.iter().any(|word| word == "--quick");
        let mut args = Args {
            list: false,
            help: false,
            markdown: false,
            keep: false,
            dir: None,
            rounds: if quick { ROUNDS_MIN } else { 5 },
            repeats_max: 0,
            amount: if quick { QUICK } else { FULL },
            contestants: stores::all(),
            questions: QUESTIONS.iter().collect(),
            base: "",
        };
        let mut base = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match word.as_str() {
                "--quick" => {}
                "--list" => args.list = true,
                "--help" | "-h" => args.help = true,
                "--markdown" => args.markdown = true,
                "--keep" => args.keep = true,
                "--dir" => args.dir = Some(value()?.into()),
                "--keys" => args.amount.keys = positive(value()?)?,
                "--rounds" => args.rounds = usize::try_from(positive(value()?)?)?,
                "--repeat" => args.repeats_max = usize::try_from(positive(value()?)?)?,
                "--slice-ms" => args.amount.slice = Duration::from_millis(positive(value()?)?),
                "--base" => base = Some(value()?.as_str()),
                "--stores" => args.contestants = chosen(value()?, args.contestants, |c| c.name)?,
                "--questions" => args.questions = chosen(value()?, args.questions, |q| q.id)?,
                other => return Err(format!("unknown option {other}; --help shows all").into()),
            }
        }
        let found = args.contestants.iter().find(|c| base.is_none_or(|base| base == c.name));
        args.base = found.ok_or("the base is not among the stores")?.name;
        Ok(args)
    }
}

fn positive(text: &str) -> Result<u64> {
    match text.replace('_', "").parse() {
        Ok(0) | Err(_) => Err(format!("{text} is not a number above 0").into()),
        Ok(number) => Ok(number),
    }
}

/// Those of `all` that the comma-separated `names` name, in the order of `all`.
fn chosen<T>(names: &str, all: Vec<T>, name: impl Fn(&T) -> &'static str) -> Result<Vec<T>> {
    let names: Vec<&str> = names.split(',').collect();
    if let Some(unknown) = names.iter().find(|wanted| !all.iter().any(|one| name(one) == **wanted)) {
        return Err(format!("there is no {unknown}; --help and --list show all").into());
    }
    Ok(all.into_iter().filter(|one| names.contains(&name(one))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args> {
        Args::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_after_quick_and_before_it_win() {
        assert_eq!(parse("--keys 5_000 --quick").unwrap().amount.keys, 5_000);
        assert_eq!(parse("--quick --keys 5000").unwrap().amount.keys, 5_000);
        assert_eq!(parse("--quick").unwrap().rounds, ROUNDS_MIN);
    }

    #[test]
    fn names_choose_and_unknown_ones_are_refused() {
        let args = parse("--stores redb,lmdb --questions put-64 --base redb").unwrap();
        assert_eq!(args.contestants.iter().map(|c| c.name).collect::<Vec<_>>(), ["lmdb", "redb"]);
        assert_eq!((args.base, args.questions[0].id), ("redb", "put-64"));
        for line in ["--stores nobody", "--questions why", "--keys 0", "--keys", "--fast", "--stores lmdb --base redb"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
