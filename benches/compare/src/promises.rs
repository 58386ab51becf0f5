//! The first promises of the README, judged from the answers of one run: each is a ratio inside it, or a bound.

use crate::contest::Answer;
use crate::measure::median;
use crate::report::void;

/// One line for each promise that the answers can judge.
pub fn lines(answers: &[Answer]) -> Vec<String> {
    let of = |id: &str| answers.iter().find(|answer| answer.question.id == id);
    let mut lines = Vec::new();
    if let Some(answer) = of("put-1")
        && let Some(over) = over_floor(answer, "etclite")
    {
        lines.push(judge(&[answer], "durable put, 1 thread", "x the floor", over, over <= 1.25, "<= 1.25"));
    }
    if let (Some(many), Some(one)) = (of("put-64"), of("put-1"))
        && let (Some(ours), Some(theirs)) = (per_second(many, "etclite"), per_second(one, "sqlite"))
    {
        let ratio = ours / theirs;
        let what = "durable puts, 64 threads, against 1 thread of SQLite (WAL, FULL)";
        lines.push(judge(&[many, one], what, "x", ratio, ratio >= 12.0, ">= 12"));
    }
    if let Some(answer) = of("get-hot")
        && let Some(nanos) = p50(answer, "etclite")
    {
        lines.push(judge(&[answer], "get from the memtable", "ns", nanos, nanos <= 1000.0, "<= 1000"));
    }
    if let Some(answer) = of("get-run")
        && let (Some(ours), Some(theirs)) = (p50(answer, "etclite"), p50(answer, "lmdb"))
    {
        let ratio = theirs / ours;
        lines.push(judge(&[answer], "get from a merged run, against LMDB", "x as fast", ratio, ratio >= 1.0, ">= 1"));
    }
    lines
}

fn judge(answers: &[&Answer], what: &str, unit: &str, figure: f64, met: bool, bound: &str) -> String {
    let verdict = match answers.iter().find_map(|answer| void(answer)) {
        Some(_) => "VOID",
        None if met => "met",
        None => "MISSED",
    };
    format!("{what}: {figure:.2} {unit}, promised {bound}: {verdict}")
}

fn index(answer: &Answer, name: &str) -> Option<usize> {
    answer.contestants.iter().position(|contestant| contestant.name == name)
}

fn p50(answer: &Answer, name: &str) -> Option<f64> {
    let index = index(answer, name)?;
    median(answer.rounds.iter().map(|round| round.samples[index].spread.p50))
}

fn over_floor(answer: &Answer, name: &str) -> Option<f64> {
    let index = index(answer, name)?;
    median(answer.rounds.iter().map(|round| round.samples[index].spread.p50 / round.floor.p50.max(1.0)))
}

fn per_second(answer: &Answer, name: &str) -> Option<f64> {
    let index = index(answer, name)?;
    median(answer.rounds.iter().map(|round| round.samples[index].per_second()))
}
