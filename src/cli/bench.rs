//! `bench`: how fast this store is on this machine, in a few seconds, with all beside each figure that it depends on.
//!
//! A durable write cannot be faster than one `fdatasync`; so that is measured, before and after the writes, in the
//! directory that the store is in, and writes are told as multiples of it. How a store compares with others is not asked
//! here: that takes longer, and turns.

mod machine;
mod measure;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::Outcome;
use super::args::{DurabilityArg, Format, parse_duration};
use super::context::{Context, Create};
use super::exit::{Exit, Failure};
use super::health::short;
use super::progress::{Progress, Unit};
use super::report::{Report, table};
use super::signals::Signals;
use crate::Db;
use measure::{Figure, Latencies};
use work::{Bench, Plan};

/// Measure how fast a store is on this machine
///
/// Without STORE it makes one in the directory it is called in, and removes it. With STORE it uses that one, which must
/// exist: it puts keys of its own under `etclite-bench/` and deletes them at the end, so the revision rises. Beside each
/// figure stand threads, durability and sizes; writes are compared with the floor, which is one fdatasync here.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// How long all of it takes, about
    #[arg(long, value_name = "DUR", value_parser = parse_duration, default_value = "10")]
    seconds: Duration,
    /// How many keys
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    keys: u64,
    /// Bytes of a value
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    value_bytes: u32,
    /// Threads of the rows that have several
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
}

impl BenchArgs {
    pub(super) fn run(self, context: &Context) -> Outcome {
        if context.global.readonly {
            return Err(Failure::Usage("bench writes, which --readonly forbids".into()));
        }
        // While another store is waited for a signal ends all; from then on there is something to clean up.
        let (signals, db, dir, _temporary) = match &context.global.db {
            Some(path) => {
                let db = context.open(Create::Never)?;
                (Signals::listen()?, db, path.clone(), None)
            }
            None => {
                let signals = Signals::listen()?;
                let temporary = Temporary::new()?;
                let db = context.options(Create::Allowed).create(true).open(temporary.path.join("store"))?;
                (signals, db, temporary.path.clone(), Some(temporary))
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        let at_signal = Arc::clone(&stop);
        signals.on_signal(move || at_signal.store(true, Ordering::Relaxed));
        let figures = self.measure(context, &db, &dir, &stop)?;
        db.close()?;
        if let Some(exit) = signals.exit() {
            return Ok(exit);
        }
        self.print(context, &dir, &figures)?;
        Ok(Exit::Done)
    }

    /// Stopped, it comes to an end at once, with figures that mean nothing.
    fn measure(&self, context: &Context, db: &Db, dir: &Path, stop: &AtomicBool) -> Result<Vec<Figure>, Failure> {
        let progress = Progress::new(context, "bench", Unit::Items);
        let plan = Plan {
            keys: self.keys,
            value_bytes: self.value_bytes as usize,
            threads: usize::from(self.threads),
            seconds: self.seconds,
            durable: context.global.durability == DurabilityArg::Synced,
        };
        let mut bench = Bench::new(db, dir, &plan, stop)?;
        let measured = bench.run(&mut |done, total| progress.set(done, total));
        // Also if something failed or was stopped: the store is somebody's.
        let swept = bench.sweep();
        measured.and_then(|figures| swept.map(|()| figures))
    }

    fn print(&self, context: &Context, dir: &Path, figures: &[Figure]) -> Result<(), Failure> {
        let conditions = self.conditions(context, dir);
        match context.global.write_out {
            Format::Json | Format::Jsonl => {
                let mut object = conditions.into_object();
                let floor = floor_of(figures);
                object.insert("figures".into(), figures.iter().map(|figure| figure_object(figure, floor)).collect());
                context.out.line(Value::Object(object).to_string())
            }
            _ => {
                conditions.print(context)?;
                let floor = floor_of(figures);
                table(context, &HEADER, figures.iter().map(|figure| row(figure, floor)).collect())?;
                remarks(figures).iter().try_for_each(|remark| context.out.line(remark))
            }
        }
    }

    /// What all figures depend on.
    fn conditions(&self, context: &Context, dir: &Path) -> Report {
        let durability = match context.global.durability {
            DurabilityArg::Synced => "synced: a put returns once it survives a power cut",
            DurabilityArg::Written => "written: a put survives the end of the process, and a power cut 50 ms later",
            DurabilityArg::Buffered => "buffered: a put survives the end of the process a millisecond later",
        };
        Report::new()
            .with("etclite", env!("CARGO_PKG_VERSION"))
            .with("build", if cfg!(debug_assertions) { "debug: figures mean nothing" } else { "release" })
            .with("machine", machine::processor())
            .with("kernel", machine::kernel())
            .with("file_system", machine::file_system(dir))
            .with("durability", durability)
            .with("keys", self.keys)
            .with("key_bytes", work::KEY_BYTES)
            .with("value_bytes", self.value_bytes)
            .with("seconds", self.seconds.as_secs_f64())
    }
}

const HEADER: [&str; 7] = ["what", "threads", "count", "per second", "median", "p99", "floors"];

fn row(figure: &Figure, floor: Option<Duration>) -> Vec<String> {
    vec![
        figure.what.into(),
        figure.threads.to_string(),
        figure.done.to_string(),
        format!("{:.0}", figure.per_second()),
        short(figure.latencies.percentile(50)),
        short(figure.latencies.percentile(99)),
        figure.floors(floor).map_or_else(String::new, |floors| format!("{floors:.2}")),
    ]
}

fn figure_object(figure: &Figure, floor: Option<Duration>) -> Value {
    let nanos = |percent| u64::try_from(figure.latencies.percentile(percent).as_nanos()).unwrap_or(u64::MAX);
    json!({
        "what": figure.what,
        "threads": figure.threads,
        "count": figure.done,
        "per_second": figure.per_second(),
        "p50_ns": nanos(50),
        "p99_ns": nanos(99),
        "floors": figure.floors(floor),
    })
}

/// The median of one fdatasync, over all that were measured.
fn floor_of(figures: &[Figure]) -> Option<Duration> {
    let mut all = Latencies::default();
    figures.iter().filter(|figure| figure.what == work::FLOOR).for_each(|figure| all.merge(&figure.latencies));
    (all.count() > 0).then(|| all.percentile(50))
}

/// What makes the figures worth less.
fn remarks(figures: &[Figure]) -> Vec<String> {
    let mut floors = figures.iter().filter(|figure| figure.what == work::FLOOR).map(|f| f.latencies.percentile(50));
    let (Some(before), Some(after)) = (floors.next(), floors.next()) else { return Vec::new() };
    let mut remarks =
        vec!["`floors`: the median as a multiple of one fdatasync, the least that a durable put can take".into()];
    if before.max(after) > before.min(after) * 3 / 2 {
        remarks.push("the floor moved by more than half: something else used the disk, measure again".into());
    }
    if before.max(after) < MEMORY_SYNC {
        remarks.push("an fdatasync this fast does not reach a disk: durable figures mean nothing here".into());
    }
    remarks
}

/// No disk syncs faster than this; a file system in memory does.
const MEMORY_SYNC: Duration = Duration::from_micros(5);

/// A directory that is removed in the end.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn new() -> Result<Temporary, Failure> {
        let path = std::env::current_dir().map(|dir| dir.join(format!(".etclite-bench-{}", std::process::id())));
        let made = path.and_then(|path| fs::create_dir(&path).map(|()| path));
        made.map(|path| Temporary { path })
            .map_err(|error| Failure::Outside("cannot make a directory for the store".into(), error))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Its name says whose it is.
        let _ = fs::remove_dir_all(&self.path);
    }
}
