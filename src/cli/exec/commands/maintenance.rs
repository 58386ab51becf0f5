//! The store as a whole: `compact`, `revision`, `check`, `dump`, `backup`, `hash`, `status`, `stats`, `version`,
//! `flush`, `sync`, `reopen`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::super::answer::{Answer, Outcome, Problem};
use super::super::request::{Fields, missing};
use super::Call;
use crate::error::Error;
use crate::{DumpOptions, KeyRange, Revision};

pub(super) fn compact(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let (revision, physical) = (fields.need_revision("rev")?, fields.flag("physical")?);
    fields.finish()?;
    let db = call.db();
    let done = if physical { db.compact_physical(revision) } else { db.compact(revision) };
    let response = done.map_err(Problem::of_revision(revision))?;
    Answer::at(response.revision).field("compact_revision", response.compact_revision.get()).done()
}

pub(super) fn revision(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    fields.finish()?;
    let stats = call.db().stats();
    Answer::at(stats.revision)
        .field("compact_revision", stats.compact_revision.get())
        .field("synced_revision", stats.synced_revision.get())
        .done()
}

pub(super) fn check(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let deep = fields.flag("deep")?;
    fields.finish()?;
    let db = call.db();
    let report = db.check()?;
    if deep {
        // Recomputing the state from the oldest retained revision visits every version that is retained.
        db.hash(Revision::ZERO)?;
    }
    let problem = |problem: &crate::Problem| json!({ "file": problem.file.to_string_lossy(), "offset": problem.offset, "what": problem.what });
    let problems: Value = report.problems.iter().map(problem).collect();
    Answer::at(db.revision()).field("clean", report.is_clean()).field("problems", problems).done()
}

pub(super) fn dump(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let path = fields.text("path")?.ok_or_else(|| missing("path"))?;
    let options = DumpOptions {
        revision: fields.revision("rev")?,
        prefix: fields.bytes("prefix")?.unwrap_or_default(),
        history: fields.flag("history")?,
    };
    fields.finish()?;
    let db = call.db();
    let failed = |error| Error::io("write", &path, error);
    let mut ends = Ends::of(BufWriter::new(File::create(&path).map_err(failed)?));
    db.dump(&mut ends, &options).map_err(Problem::of_revision(options.revision))?;
    ends.out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()).map_err(failed)?;
    let line = |line: &[u8]| serde_json::from_slice::<Value>(line).unwrap_or_default();
    let (head, tail) = (line(&ends.first), line(&ends.last));
    // A dump of the latest state tells its revision in its first line.
    let now = if options.revision == Revision::ZERO { head["revision"].as_u64() } else { None };
    Answer::at(now.map_or_else(|| db.revision(), Revision::new))
        .field("kvs", tail["kvs"].clone())
        .field("hash", tail["hash"].clone())
        .done()
}

/// Passes lines on, and keeps the first and the last.
struct Ends<W> {
    out: W,
    first: Vec<u8>,
    last: Vec<u8>,
    is_complete: bool,
}

impl<W: Write> Ends<W> {
    fn of(out: W) -> Self {
        Ends { out, first: Vec::new(), last: Vec::new(), is_complete: false }
    }
}

impl<W: Write> Write for Ends<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            if std::mem::replace(&mut self.is_complete, part.ends_with(b"\n")) {
                let line = std::mem::take(&mut self.last);
                if self.first.is_empty() {
                    self.first = line;
                }
            }
            self.last.extend_from_slice(part);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

pub(super) fn backup(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let path = fields.text("path")?.ok_or_else(|| missing("path"))?;
    fields.finish()?;
    let revision = call.db().backup(&path)?;
    let bytes = bytes_below(Path::new(&path)).map_err(|error| Error::io("look at", &path, error))?;
    Answer::at(revision).field("bytes", bytes).done()
}

/// The lengths of the files in a directory and below.
fn bytes_below(path: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        sum += if kind.is_dir() { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}

pub(super) fn hash(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    let revision = fields.revision("rev")?;
    fields.finish()?;
    let hash = call.db().hash(revision).map_err(Problem::of_revision(revision))?;
    Answer::at(hash.revision)
        .field("hash", format!("{:08x}", hash.hash))
        .field("hash_revision", hash.hash_revision.get())
        .field("compact_revision", hash.compact_revision.get())
        .done()
}

/// A process alone is its own leader, in term 1, and has applied its revision (CH-10, CL-05).
pub(super) fn status(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    fields.finish()?;
    let db = call.db();
    let keys = db.count(KeyRange::all())?;
    let stats = db.stats();
    let disk_bytes = match &call.driver.place.path {
        // Files come and go while they are counted; what cannot be counted now was not there.
        Some(path) => bytes_below(path).unwrap_or(stats.run_bytes),
        None => stats.run_bytes,
    };
    Answer::at(stats.revision)
        .field("compact_revision", stats.compact_revision.get())
        .field("disk_bytes", disk_bytes)
        .field("live_bytes", stats.live_bytes)
        .field("keys", keys)
        .field("leases", stats.leases)
        .field("watches", stats.watches)
        .field("member_id", stats.member_id)
        .field("leader_id", stats.member_id)
        .field("raft_term", 1)
        .field("raft_applied", stats.revision.get())
        .done()
}

pub(super) fn stats(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    fields.finish()?;
    let stats = call.db().stats();
    Answer::at(stats.revision)
        .field("compact_revision", stats.compact_revision.get())
        .field("synced_revision", stats.synced_revision.get())
        .field("recovered_revision", stats.recovered_revision.get())
        .field("epoch", stats.epoch)
        .field("memtable_bytes", stats.memtable_bytes)
        .field("memtables", stats.memtables)
        .field("runs", stats.runs)
        .field("run_bytes", stats.run_bytes)
        .field("run_entries", stats.run_entries)
        .field("live_bytes", stats.live_bytes)
        .field("log_segments", stats.log_segments)
        .field("logged_bytes", stats.logged_bytes)
        .field("leases", stats.leases)
        .field("watches", stats.watches)
        .field("snapshots", stats.snapshots)
        .field("pinned_bytes", stats.pinned_bytes)
        .field("cluster_id", stats.cluster_id)
        .field("member_id", stats.member_id)
        .done()
}

/// The protocol of the driver; it only grows.
const PROTOCOL: u32 = 1;

/// What stores are written as: a number rises only with the first write that needs it.
const FORMAT: u32 = 1;

pub(super) fn version(fields: &mut Fields) -> Outcome {
    fields.finish()?;
    Answer::new().field("version", env!("CARGO_PKG_VERSION")).field("protocol", PROTOCOL).field("format", FORMAT).done()
}

pub(super) fn flush(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    fields.finish()?;
    let db = call.db();
    db.flush()?;
    Answer::at(db.revision()).done()
}

pub(super) fn sync(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    fields.finish()?;
    let db = call.db();
    db.sync()?;
    Answer::at(db.revision()).done()
}

/// Closes the store, which ends whatever hangs on it, and opens it again. Other clients wait meanwhile.
pub(super) fn reopen(call: &Call<'_>, fields: &mut Fields) -> Outcome {
    fields.finish()?;
    if call.driver.place.path.is_none() {
        return Err(Problem::Unsupported("a store in memory ends when it is closed"));
    }
    let mut db = call.driver.db.write();
    let closed = db.close();
    *db = call.driver.place.open()?;
    closed?;
    Answer::at(db.revision()).done()
}
