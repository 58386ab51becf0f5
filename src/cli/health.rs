//! Commands that look at a store as a whole: check, hash, status, stats, endpoint.

use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::{Value, json};

use super::Outcome;
use super::args::Format;
use super::context::{Context, Create};
use super::data::disk_bytes;
use super::exit::{Exit, Failure};
use super::progress::{Progress, Unit};
use super::report::{Report, table};
use crate::error::Error;
use crate::{CheckOptions, CheckReport, Db, HashResponse, KeyRange, Problem, Stats};

#[derive(Debug, Subcommand)]
pub(super) enum HealthCommand {
    /// Verify every checksum, every order, and that the parts agree; exit 5 if not
    ///
    /// It changes nothing, not even in a store that was left by a crash. Each problem is a line: file, offset, what.
    Check {
        /// Read every key as of every retained revision, too, and count that no change is missing
        #[arg(long)]
        deep: bool,
    },
    /// Hash what is retained: equal stores have equal hashes
    Hash {
        /// Up to which revision; 0 is the latest
        #[arg(long, value_name = "N", default_value_t = 0)]
        rev: u64,
    },
    /// Print revision, sizes and numbers of keys, leases and the like
    Status,
    /// Print the counters of the store
    Stats {
        /// In Prometheus' text format, under etcd's names where they mean the same
        #[arg(long)]
        prometheus: bool,
    },
    /// The store as etcdctl shows a server
    #[command(subcommand)]
    Endpoint(EndpointCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum EndpointCommand {
    /// Print the status as etcdctl does: the store is its own only member, and leads
    Status(Cluster),
    /// Print whether the store answers a read
    Health(Cluster),
    /// Print the hash of what is retained
    Hashkv {
        /// Up to which revision; 0 is the latest
        #[arg(long, value_name = "N", default_value_t = 0)]
        rev: u64,
        #[command(flatten)]
        cluster: Cluster,
    },
}

/// Taken for etcdctl's sake.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Cluster {
    /// All members: the store alone
    #[arg(long)]
    cluster: bool,
}

impl HealthCommand {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self {
            HealthCommand::Check { deep } => check(context, &CheckOptions { deep }),
            HealthCommand::Hash { rev } => {
                let hash = with_store(context, |db| db.hash(rev))?;
                hash_report(&hash).print(context)?;
                Ok(Exit::Done)
            }
            HealthCommand::Status => {
                let report = with_store(context, |db| Ok(status(context, db)))??;
                report.print(context)?;
                Ok(Exit::Done)
            }
            HealthCommand::Stats { prometheus } => stats(context, prometheus),
            HealthCommand::Endpoint(command) => command.run(context),
        }
    }
}

/// Opens the store, looks, closes it.
fn with_store<T>(context: &Context, look: impl FnOnce(&Db) -> crate::Result<T>) -> Result<T, Failure> {
    let db = context.open(Create::Never)?;
    let seen = look(&db)?;
    db.close()?;
    Ok(seen)
}

fn check(context: &Context, options: &CheckOptions) -> Outcome {
    // A writable open mends what a crash has left, and that would be a change.
    let opened = context.options(Create::Never).read_only(true).open(context.store()?);
    let report = match opened.and_then(|db| {
        let progress = Progress::new(context, "check", Unit::Bytes);
        db.check_with(options, &mut |done, total| progress.set(done, total))
    }) {
        Err(Error::Corrupt { file, offset, what }) => {
            CheckReport { problems: vec![Problem { file, offset, what: what.to_owned() }] }
        }
        report => report?,
    };
    print_check(context, &report)?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::DAMAGED })
}

/// What a check found: in `simple` a line for each problem.
pub(super) fn print_check(context: &Context, report: &CheckReport) -> Result<(), Failure> {
    match context.global.write_out {
        Format::Json | Format::Jsonl => {
            let object = json!({ "clean": report.is_clean(), "problems": problem_objects(report) });
            context.out.line(object.to_string())
        }
        Format::Table if !report.is_clean() => {
            let row = |p: &Problem| vec![p.file.display().to_string(), p.offset.to_string(), p.what.clone()];
            table(context, &["file", "offset", "what"], report.problems.iter().map(row).collect())
        }
        _ if report.is_clean() => context.out.line("clean"),
        _ => report.problems.iter().try_for_each(|p| {
            let place = if p.file.as_os_str().is_empty() { "store".into() } else { p.file.display().to_string() };
            context.out.line(format!("{place}: offset {}: {}", p.offset, p.what))
        }),
    }
}

/// The problems of a check as JSON: `file`, `offset`, `what`.
pub(super) fn problem_objects(report: &CheckReport) -> Vec<Value> {
    let object = |p: &Problem| json!({ "file": p.file.to_string_lossy(), "offset": p.offset, "what": p.what });
    report.problems.iter().map(object).collect()
}

fn hash_report(hash: &HashResponse) -> Report {
    Report::new()
        .with("hash", format!("{:08x}", hash.hash))
        .with("hash_revision", hash.hash_revision.get())
        .with("compact_revision", hash.compact_revision.get())
}

/// The store in numbers. It is a cluster of one: itself the leader, at term 1, with all that it has applied.
pub(super) fn status(context: &Context, db: &Db) -> Result<Report, Failure> {
    let stats = db.stats();
    Ok(Report::new()
        .with("revision", stats.revision.get())
        .with("compact_revision", stats.compact_revision.get())
        .with("disk_bytes", disk_bytes(&context.store()?)?)
        .with("live_bytes", stats.live_bytes)
        .with("keys", db.count(KeyRange::all())?)
        .with("leases", stats.leases)
        .with("watches", stats.watches)
        .with("member_id", stats.member_id)
        .with("leader_id", stats.member_id)
        .with("raft_term", RAFT_TERM)
        .with("raft_applied", stats.revision.get()))
}

/// The term of a store that never was in a group, as etcd would have it.
const RAFT_TERM: u64 = 1;

fn stats(context: &Context, prometheus: bool) -> Outcome {
    let (stats, keys, disk) = with_store(context, |db| {
        Ok((db.stats(), db.count(KeyRange::all())?, context.store().and_then(|dir| disk_bytes(&dir))))
    })?;
    if prometheus {
        context.out.bytes(metrics(&stats, keys, disk?).as_bytes())?;
    } else {
        counters(&stats)
            .into_iter()
            .fold(Report::new(), |report, (name, value)| report.with(name, value))
            .print(context)?;
    }
    Ok(Exit::Done)
}

/// The counters, named as in [`Stats`].
pub(super) fn counters(stats: &Stats) -> Vec<(&'static str, u64)> {
    vec![
        ("revision", stats.revision.get()),
        ("compact_revision", stats.compact_revision.get()),
        ("synced_revision", stats.synced_revision.get()),
        ("recovered_revision", stats.recovered_revision.get()),
        ("epoch", stats.epoch),
        ("memtable_bytes", stats.memtable_bytes),
        ("memtables", stats.memtables),
        ("runs", stats.runs),
        ("run_bytes", stats.run_bytes),
        ("run_entries", stats.run_entries),
        ("live_bytes", stats.live_bytes),
        ("log_segments", stats.log_segments),
        ("logged_bytes", stats.logged_bytes),
        ("leases", stats.leases),
        ("operation_ids", stats.operation_ids),
        ("cursors", stats.cursors),
        ("watches", stats.watches),
        ("snapshots", stats.snapshots),
        ("pinned_bytes", stats.pinned_bytes),
        ("cluster_id", stats.cluster_id),
        ("member_id", stats.member_id),
    ]
}

/// Prometheus' text format: etcd's names where the meaning is etcd's, `etclite_` before the others.
fn metrics(stats: &Stats, keys: u64, disk_bytes: u64) -> String {
    let etcd = [
        ("etcd_debugging_mvcc_current_revision", stats.revision.get()),
        ("etcd_debugging_mvcc_compact_revision", stats.compact_revision.get()),
        ("etcd_debugging_mvcc_keys_total", keys),
        ("etcd_debugging_mvcc_watcher_total", stats.watches),
        ("etcd_mvcc_db_total_size_in_bytes", disk_bytes),
        ("etcd_mvcc_db_total_size_in_use_in_bytes", stats.live_bytes),
        ("etcd_server_has_leader", 1),
        ("etcd_server_is_leader", 1),
    ];
    let named_by_etcd = ["revision", "compact_revision", "live_bytes", "watches", "cluster_id", "member_id"];
    let own = counters(stats).into_iter().filter(|(name, _)| !named_by_etcd.contains(name));
    let own = own.map(|(name, value)| (format!("etclite_{name}"), value));
    let all = etcd.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(own);
    all.map(|(name, value)| format!("# TYPE {name} gauge\n{name} {value}\n")).collect()
}

impl EndpointCommand {
    fn run(self, context: &Context) -> Outcome {
        let path = context.store()?.display().to_string();
        match self {
            EndpointCommand::Status(_) => {
                let endpoint = with_store(context, |db| Ok(Endpoint::new(context, db, path)))??;
                endpoint.print(context)?;
            }
            EndpointCommand::Health(_) => health(context, &path)?,
            EndpointCommand::Hashkv { rev, .. } => {
                let (hash, stats) = with_store(context, |db| Ok((db.hash(rev)?, db.stats())))?;
                print_hashkv(context, &path, &hash, &stats)?;
            }
        }
        Ok(Exit::Done)
    }
}

/// What etcdctl tells of a server.
struct Endpoint {
    path: String,
    stats: Stats,
    disk_bytes: u64,
}

impl Endpoint {
    fn new(context: &Context, db: &Db, path: String) -> Result<Endpoint, Failure> {
        Ok(Endpoint { path, stats: db.stats(), disk_bytes: disk_bytes(&context.store()?)? })
    }

    fn print(&self, context: &Context) -> Result<(), Failure> {
        let out = &context.out;
        match context.global.write_out {
            Format::Simple => out.line(self.row().join(", ")),
            Format::Table => table(context, &ENDPOINT_HEADER, vec![self.row()]),
            Format::Json | Format::Jsonl => out.line(self.json().to_string()),
            Format::Fields => self.fields().iter().try_for_each(|line| out.line(line)),
        }
    }

    fn row(&self) -> Vec<String> {
        let (stats, revision) = (&self.stats, self.stats.revision.to_string());
        let unused = 100u64.saturating_sub(stats.live_bytes.saturating_mul(100) / self.disk_bytes.max(1));
        vec![
            self.path.clone(),
            format!("{:x}", stats.member_id),
            VERSION.into(),
            String::new(),
            human_bytes(self.disk_bytes),
            human_bytes(stats.live_bytes),
            format!("{unused}%"),
            human_bytes(0),
            "true".into(),
            "false".into(),
            RAFT_TERM.to_string(),
            revision.clone(),
            revision,
            String::new(),
            String::new(),
            "false".into(),
        ]
    }

    fn json(&self) -> Value {
        let stats = &self.stats;
        json!([{ "Endpoint": self.path, "Status": {
            "header": header(stats),
            "version": VERSION,
            "dbSize": self.disk_bytes,
            "leader": stats.member_id,
            "raftIndex": stats.revision.get(),
            "raftTerm": RAFT_TERM,
            "raftAppliedIndex": stats.revision.get(),
            "dbSizeInUse": stats.live_bytes,
        } }])
    }

    fn fields(&self) -> Vec<String> {
        let (stats, revision) = (&self.stats, self.stats.revision);
        let mut lines = header_fields(stats);
        lines.extend([
            format!("\"Version\" : \"{VERSION}\""),
            "\"StorageVersion\" : \"\"".into(),
            format!("\"DBSize\" : {}", self.disk_bytes),
            format!("\"DBSizeInUse\" : {}", stats.live_bytes),
            "\"DBSizeQuota\" : 0".into(),
            format!("\"Leader\" : {}", stats.member_id),
            "\"IsLearner\" : false".into(),
            format!("\"RaftIndex\" : {revision}"),
            format!("\"RaftAppliedIndex\" : {revision}"),
            "\"Errors\" : []".into(),
            format!("\"Endpoint\" : {:?}", self.path),
            "\"DowngradeTargetVersion\" : \"\"".into(),
            "\"DowngradeEnabled\" : false".into(),
            String::new(),
        ]);
        lines
    }
}

/// The release that answers.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const ENDPOINT_HEADER: [&str; 16] = [
    "endpoint",
    "ID",
    "version",
    "storage version",
    "db size",
    "in use",
    "percentage not in use",
    "quota",
    "is leader",
    "is learner",
    "raft term",
    "raft index",
    "raft applied index",
    "errors",
    "downgrade target version",
    "downgrade enabled",
];

fn header(stats: &Stats) -> Value {
    json!({
        "cluster_id": stats.cluster_id,
        "member_id": stats.member_id,
        "revision": stats.revision.get(),
        "raft_term": RAFT_TERM,
    })
}

fn header_fields(stats: &Stats) -> Vec<String> {
    vec![
        format!("\"ClusterID\" : {}", stats.cluster_id),
        format!("\"MemberID\" : {}", stats.member_id),
        format!("\"Revision\" : {}", stats.revision),
        format!("\"RaftTerm\" : {RAFT_TERM}"),
    ]
}

/// As etcdctl, a read decides.
fn health(context: &Context, path: &str) -> Result<(), Failure> {
    let took = with_store(context, |db| {
        let started = Instant::now();
        db.get("health")?;
        Ok(started.elapsed())
    })?;
    let took = short(took);
    let out = &context.out;
    match context.global.write_out {
        Format::Simple => out.line(format!("{path} is healthy: successfully committed proposal: took = {took}")),
        Format::Json | Format::Jsonl => {
            out.line(json!([{ "endpoint": path, "health": true, "took": took }]).to_string())
        }
        Format::Table => {
            let row = vec![path.to_owned(), "true".into(), took, String::new()];
            table(context, &["endpoint", "health", "took", "error"], vec![row])
        }
        Format::Fields => {
            out.line(format!("\"Endpoint\" : {path:?}\n\"Health\" : true\n\"Took\" : {took}\n\"Error\" : \n"))
        }
    }
}

fn print_hashkv(context: &Context, path: &str, hash: &HashResponse, stats: &Stats) -> Result<(), Failure> {
    let out = &context.out;
    match context.global.write_out {
        Format::Simple => out.line(format!("{path}, {}, {}", hash.hash, hash.hash_revision)),
        Format::Table => {
            let row = vec![path.to_owned(), hash.hash.to_string(), hash.hash_revision.to_string()];
            table(context, &["endpoint", "hash", "hash_revision"], vec![row])
        }
        Format::Json | Format::Jsonl => out.line(
            json!([{ "Endpoint": path, "HashKV": {
                "header": header(stats),
                "hash": hash.hash,
                "compact_revision": hash.compact_revision.get(),
                "hash_revision": hash.hash_revision.get(),
            } }])
            .to_string(),
        ),
        Format::Fields => {
            header_fields(stats).iter().try_for_each(|line| out.line(line))?;
            out.line(format!(
                "\"Endpoint\" : {path:?}\n\"Hash\" : {}\n\"HashRevision\" : {}\n",
                hash.hash, hash.hash_revision
            ))
        }
    }
}

/// A size as etcdctl writes it: powers of a thousand, one decimal below ten.
pub(super) fn human_bytes(bytes: u64) -> String {
    let (mut unit, mut scale) = (0, 1u64);
    while bytes / scale >= 1000 && unit + 1 < UNITS.len() {
        scale *= 1000;
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(scale) / 2) / u128::from(scale);
    match (unit, tenths) {
        (0, _) => format!("{bytes} B"),
        (_, 0..100) => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
        // A half goes to the even digit, as Go prints it.
        (_, tenths) => format!("{:.0} {}", tenths as f64 / 10.0, UNITS[unit]),
    }
}

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// A time in the largest unit that leaves a digit before the point.
pub(super) fn short(time: Duration) -> String {
    let nanos = time.as_nanos();
    let (unit, scale) = match nanos {
        0..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => ("µs", 1_000),
        1_000_000..1_000_000_000 => ("ms", 1_000_000),
        _ => ("s", 1_000_000_000),
    };
    format!("{}.{:02}{unit}", nanos / scale, nanos % scale * 100 / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_etcdctl_writes_them() {
        let sizes =
            [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (9_940, "9.9 kB"), (20_480, "20 kB"), (21_500, "22 kB")];
        let sizes = sizes.into_iter().chain([(82_854_982, "83 MB"), (u64::MAX, "18 EB")]);
        sizes.for_each(|(bytes, text)| assert_eq!(human_bytes(bytes), text));
    }

    #[test]
    fn times_keep_a_digit_before_the_point() {
        let times = [(512, "512ns"), (1_234, "1.23µs"), (5_678_000, "5.67ms"), (1_050_000_000, "1.05s")];
        times.into_iter().for_each(|(nanos, text)| assert_eq!(short(Duration::from_nanos(nanos)), text));
    }
}
