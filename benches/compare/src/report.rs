//! From answers to tables: medians of rounds, ratios inside rounds, and the reasons why a figure does not count.

use std::fmt::Write;

use crate::contest::{Answer, Round};
use crate::floor::FLOOR_MAX;
use crate::measure::{Sample, median};
use crate::question::Headline;
use crate::store::Mode;

/// Rounds below which nothing counts.
pub const ROUNDS_MIN: usize = 3;

/// A durable row with fewer flushes for each sync than this did not do what it says. It is not 1 because another flush
/// can finish just outside of the slice.
const FLUSHES_MIN: f64 = 0.98;

/// Why the answer is void; none if it counts.
pub fn void(answer: &Answer) -> Option<String> {
    if answer.rounds.len() < ROUNDS_MIN {
        return Some(format!("fewer than {ROUNDS_MIN} rounds"));
    }
    let worst = answer.rounds.iter().map(|round| round.floor.p50).fold(0.0, f64::max);
    if worst > FLOOR_MAX.as_nanos() as f64 {
        let (worst, max) = (time(worst), time(FLOOR_MAX.as_nanos() as f64));
        return Some(format!(
            "the floor's p50 reached {worst}, above {max}: other load, large files being deleted, or late wake-ups (try chrt -r 1)"
        ));
    }
    let same = |round: &Round| round.samples.windows(2).all(|pair| pair[0].checksum == pair[1].checksum);
    if !answer.rounds.iter().all(same) {
        return Some("the stores read different bytes".to_owned());
    }
    cfg!(debug_assertions).then(|| "not an optimized build".to_owned())
}

/// One row of a table: medians over the rounds.
struct Row {
    name: &'static str,
    p50: f64,
    p99: f64,
    max: f64,
    per_second: f64,
    over_floor: Option<f64>,
    flushes: Option<f64>,
    bytes: Option<f64>,
    ratio: Option<Ratio>,
    doubt: Option<&'static str>,
}

/// How many times faster the base is: the median of the rounds, the least and the most.
#[derive(Clone, Copy)]
struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

fn rows(answer: &Answer, base: &str) -> Vec<Row> {
    let base = answer.contestants.iter().position(|c| c.name == base);
    (0..answer.contestants.len()).map(|index| row(answer, index, base.filter(|base| *base != index))).collect()
}

fn row(answer: &Answer, index: usize, base: Option<usize>) -> Row {
    let over = |figure: &dyn Fn(&Sample) -> f64| {
        median(answer.rounds.iter().map(|round| figure(&round.samples[index]))).unwrap_or(0.0)
    };
    let known = |figure: &dyn Fn(&Sample) -> Option<f64>| {
        median(answer.rounds.iter().filter_map(|round| figure(&round.samples[index])))
    };
    let lone = answer.question.work.writes() && answer.question.work.threads() == 1;
    let durable = answer.question.work.writes() && answer.question.mode == Mode::Durable;
    let floors = answer.rounds.iter().map(|round| round.samples[index].spread.p50 / round.floor.p50.max(1.0));
    let flushes = known(&Sample::flushes_each);
    let one_each = lone || !answer.contestants[index].shares_syncs;
    let doubt = match flushes {
        _ if !durable => None,
        None => Some("flushes unknown"),
        Some(flushes) => (one_each && flushes < FLUSHES_MIN).then_some("fewer flushes than syncs: not durable"),
    };
    Row {
        name: answer.contestants[index].name,
        p50: over(&|sample| sample.spread.p50),
        p99: over(&|sample| sample.spread.p99),
        max: answer.rounds.iter().map(|round| round.samples[index].spread.max).fold(0.0, f64::max),
        per_second: over(&Sample::per_second),
        over_floor: if durable && lone { median(floors) } else { None },
        flushes,
        bytes: known(&Sample::bytes_each),
        ratio: base.and_then(|base| ratio(answer, index, base)),
        doubt,
    }
}

fn ratio(answer: &Answer, peer: usize, base: usize) -> Option<Ratio> {
    let ratios: Vec<f64> = answer
        .rounds
        .iter()
        .map(|round| match answer.question.headline {
            Headline::P50 => round.samples[peer].spread.p50 / round.samples[base].spread.p50.max(0.1),
            Headline::PerSecond => round.samples[base].per_second() / round.samples[peer].per_second().max(1e-9),
        })
        .collect();
    Some(Ratio {
        median: median(ratios.iter().copied())?,
        least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        most: ratios.iter().copied().fold(0.0, f64::max),
    })
}

/// The readable form of one answer.
pub fn table(answer: &Answer, base: &str) -> String {
    let mut text = format!("\n{} [{}]\n", answer.question.title, answer.question.id);
    line(&mut text, format_args!("  {}", floor_line(answer)));
    if let Some(reason) = void(answer) {
        line(&mut text, format_args!("  VOID: {reason}"));
    }
    if base == "etclite" && !answer.question.bound.is_empty() {
        line(&mut text, format_args!("  etclite is to reach {}", answer.question.bound));
    }
    line(
        &mut text,
        format_args!(
            "  {:<16} {:>9} {:>9} {:>9} {:>9} {:>8} {:>10} {:>8}  {base} is faster by",
            "store", "p50", "p99", "max", "per s", "x floor", "flush/put", "B/put"
        ),
    );
    for row in rows(answer, base) {
        line(
            &mut text,
            format_args!(
                "  {:<16} {:>9} {:>9} {:>9} {:>9} {:>8} {:>10} {:>8}  {}",
                row.name,
                time(row.p50),
                time(row.p99),
                time(row.max),
                rate(row.per_second),
                optional(row.over_floor, 2),
                optional(row.flushes, 3),
                optional(row.bytes, 0),
                verdict(answer, &row, base)
            ),
        );
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

fn floor_line(answer: &Answer) -> String {
    let p50s = || answer.rounds.iter().map(|round| round.floor.p50);
    let flushes = median(answer.rounds.iter().filter_map(|round| round.floor_flushes));
    let repeated = match answer.repeated {
        0 => String::new(),
        n => format!("; {n} rounds above {} thrown away", time(FLOOR_MAX.as_nanos() as f64)),
    };
    format!(
        "fdatasync floor: p50 {} (rounds {} to {}), p99 {}, {} flushes per sync; others used {} of the processors{repeated}",
        time(median(p50s()).unwrap_or(0.0)),
        time(p50s().fold(f64::INFINITY, f64::min)),
        time(p50s().fold(0.0, f64::max)),
        time(median(answer.rounds.iter().map(|round| round.floor.p99)).unwrap_or(0.0)),
        optional(flushes, 2),
        others(answer).map_or("an unknown part".to_owned(), |part| format!("{:.0} %", part * 100.0))
    )
}

/// The part of the processors that others used in the worst round.
fn others(answer: &Answer) -> Option<f64> {
    answer.rounds.iter().filter_map(|round| round.others).reduce(f64::max)
}

/// The ratio with its range over the rounds, the target beside it, and any doubt.
fn verdict(answer: &Answer, row: &Row, base: &str) -> String {
    let mut text = String::new();
    if let Some(ratio) = row.ratio {
        text = format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.least, ratio.most);
        let target = answer.question.targets.iter().find(|(peer, _)| base == "etclite" && *peer == row.name);
        if let Some((_, target)) = target {
            let met = if ratio.median >= *target { "met" } else { "MISSED" };
            text = format!("{text}, target {target} {met}");
        }
    }
    if let Some(doubt) = row.doubt {
        text = format!("{text} ! {doubt}");
    }
    text
}

/// All answers in one table for the README: questions down, stores across; a cell is the headline figure and, in
/// brackets, how many times faster the base is.
pub fn markdown(answers: &[Answer], head: &[(&str, String)], base: &str) -> String {
    let mut names: Vec<&'static str> = Vec::new();
    for contestant in answers.iter().flat_map(|answer| &answer.contestants) {
        if !names.contains(&contestant.name) {
            names.push(contestant.name);
        }
    }
    let mut text = String::new();
    line(&mut text, format_args!("| | floor | {} |", names.join(" | ")));
    line(&mut text, format_args!("|---|---|{}", "---|".repeat(names.len())));
    for answer in answers {
        let rows = rows(answer, base);
        let cells: Vec<String> = names
            .iter()
            .map(|name| rows.iter().find(|row| row.name == *name).map_or("-".to_owned(), |r| cell(answer, r)))
            .collect();
        let mark = if void(answer).is_some() { "**void:** " } else { "" };
        let floor = time(median(answer.rounds.iter().map(|round| round.floor.p50)).unwrap_or(0.0));
        line(&mut text, format_args!("| {mark}{} | {floor} | {} |", answer.question.title, cells.join(" | ")));
    }
    line(&mut text, format_args!("\nIn brackets: how many times faster {base} is, the median of the rounds' ratios."));
    for answer in answers {
        if answer.repeated > 0 {
            let (repeated, id) = (answer.repeated, answer.question.id);
            line(&mut text, format_args!("\nThrown away for a slow floor, and made again ({id}): {repeated} rounds."));
        }
        if let Some(reason) = void(answer) {
            line(&mut text, format_args!("\n**Void** ({}): {reason}.", answer.question.id));
        }
    }
    line(&mut text, format_args!(""));
    for (name, value) in head {
        line(&mut text, format_args!("- {name}: {value}"));
    }
    text
}

fn cell(answer: &Answer, row: &Row) -> String {
    let figure = match answer.question.headline {
        Headline::P50 => time(row.p50),
        Headline::PerSecond => format!("{}/s", rate(row.per_second)),
    };
    let ratio = row.ratio.map_or(String::new(), |ratio| format!(" ({:.1})", ratio.median));
    let doubt = if row.doubt.is_some() { " !" } else { "" };
    format!("{figure}{ratio}{doubt}")
}

/// Nanoseconds for people.
fn time(nanos: f64) -> String {
    match nanos {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e5 => format!("{:.2} µs", n / 1e3),
        n if n < 1e9 => format!("{:.3} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

/// Operations in a second for people.
fn rate(per_second: f64) -> String {
    match per_second {
        n if n < 1e3 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.1} k", n / 1e3),
        n => format!("{:.2} M", n / 1e6),
    }
}

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::disk::Counters;
    use crate::measure::Spread;
    use crate::question::{QUESTIONS, Question};
    use crate::stores;
    use crate::workload::Checksum;

    const FLOOR: f64 = 100e3;

    /// Three rounds in which the first store takes `p50` nanoseconds, and each next one as much more.
    fn answer(id: &str, p50: f64, flushes: u64) -> Answer {
        let question: &Question = QUESTIONS.iter().find(|question| question.id == id).unwrap();
        let contestants: Vec<_> = stores::all().into_iter().filter(|c| question.is_for(c) && c.on_disk).collect();
        let sample = |index: usize| Sample {
            ops: 100,
            elapsed: Duration::from_millis(10 * (index as u64 + 1)),
            spread: Spread { p50: p50 * (index as f64 + 1.0), p99: 2.0 * p50, max: 3.0 * p50 },
            disk: Some(Counters { flushes, bytes: 400_000 }),
            checksum: Checksum::default(),
        };
        let round = || Round {
            floor: Spread { p50: FLOOR, p99: FLOOR, max: FLOOR },
            floor_flushes: Some(1.0),
            others: Some(0.01),
            samples: (0..contestants.len()).map(sample).collect(),
        };
        Answer { question, rounds: vec![round(), round(), round()], contestants, repeated: 0 }
    }

    #[test]
    fn void_for_a_slow_floor_for_few_rounds_and_for_different_bytes() {
        let reason = |answer: &Answer| void(answer).unwrap_or_default();
        let good = answer("put-1", 2.0 * FLOOR, 100);
        assert_eq!(void(&good).is_some(), cfg!(debug_assertions));

        let mut slow = answer("put-1", 2.0 * FLOOR, 100);
        slow.rounds[1].floor.p50 = 4e6;
        assert!(reason(&slow).contains("4.000 ms, above 0.300 ms"), "{}", reason(&slow));
        assert!(table(&slow, "redb").contains("VOID: the floor"));
        assert!(markdown(&[slow], &[], "redb").contains("**Void** (put-1)"));

        let mut few = answer("put-1", 2.0 * FLOOR, 100);
        few.rounds.pop();
        assert!(reason(&few).contains("fewer than 3 rounds"));

        let mut other = answer("get-run", 1e3, 0);
        other.rounds[2].samples[1].checksum.value(b"something else");
        assert!(reason(&other).contains("different bytes"));
    }

    #[test]
    fn a_durable_row_without_its_flushes_is_marked() {
        let marked = |answer: &Answer| rows(answer, "redb").iter().filter(|row| row.doubt.is_some()).count();
        assert_eq!(marked(&answer("put-1", FLOOR, 100)), 0);
        let cheats = answer("put-1", FLOOR, 4);
        assert_eq!(marked(&cheats), cheats.contestants.len());
        assert_eq!(marked(&answer("relaxed", FLOOR, 4)), 0);
        // Those that share syncs may need fewer flushes than puts, but only with several threads.
        let shared = answer("put-16", FLOOR, 4);
        assert_eq!(marked(&shared), shared.contestants.iter().filter(|c| !c.shares_syncs).count());
    }

    #[test]
    fn ratios_say_how_much_faster_the_base_is() {
        let first = |id| {
            let answer = answer(id, 2.0 * FLOOR, 100);
            let rows = rows(&answer, answer.contestants[0].name);
            assert!(rows[0].ratio.is_none());
            (rows[1].ratio.unwrap().median, rows[0].over_floor)
        };
        assert_eq!(first("put-1"), (2.0, Some(2.0)));
        assert_eq!(first("put-16"), (2.0, None));
    }
}
