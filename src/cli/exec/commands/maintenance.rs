//! The store as a whole: `compact`, `revision`, `check`, `dump`, `backup`, `hash`, `status`, `stats`, `version`,
//! `flush`, `sync`, `reopen`.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::Value;

use super::super::answer::{Answer, Outcome, Problem};
use super::super::request::{Fields, missing};
use super::Call;
use crate::cli::data::{disk_bytes, new_file};
use crate::cli::health::{counters, problem_objects};
use crate::error::Error;
use crate::{CheckOptions, Db, DumpOptions, KeyRange, Revision};

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
    let report = db.check_with(&CheckOptions { deep }, &mut |_, _| {})?;
    let problems = problem_objects(&report);
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
    let (head, tail) = write_dump(&db, &path, &options)?;
    // A dump of the latest state tells its revision in its first line.
    let now = if options.revision == Revision::ZERO { head["revision"].as_u64() } else { None };
    Answer::at(now.map_or_else(|| db.revision(), Revision::new))
        .field("kvs", tail["kvs"].clone())
        .field("hash", tail["hash"].clone())
        .done()
}

/// Writes a dump to a new file, and gives its first and its last line. What exists, perhaps a file of this very store,
/// stays as it is; a dump that fails leaves no file.
fn write_dump(db: &Db, path: &str, options: &DumpOptions) -> Result<(Value, Value), Problem> {
    let failed = |error| Error::io("write", path, error);
    let mut ends = Ends::of(BufWriter::new(new_file(Path::new(path)).map_err(|error| taken_or(error, failed))?));
    let dumped = db.dump(&mut ends, options).map_err(Problem::of_revision(options.revision));
    let Ends { out, first, last, .. } = ends;
    let written = dumped.and_then(|()| {
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        Ok(file.sync_all().map_err(failed)?)
    });
    written.inspect_err(|_| {
        // Best effort: without its last line it is no dump anyway.
        let _ = fs::remove_file(path);
    })?;
    let line = |line: &[u8]| serde_json::from_slice(line).unwrap_or_default();
    Ok((line(&first), line(&last)))
}

/// A path that is taken is the request's fault; anything else that keeps a file from being made is the system's.
fn taken_or(error: io::Error, failed: impl FnOnce(io::Error) -> Error) -> Problem {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Problem::invalid(TAKEN),
        _ => Problem::Store(failed(error)),
    }
}

const TAKEN: &str = "the path exists already";

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
    if Path::new(&path).symlink_metadata().is_ok() {
        return Err(Problem::invalid(TAKEN));
    }
    let revision = call.db().backup(&path)?;
    // Nobody changes what was just written.
    let bytes = disk_bytes(Path::new(&path)).unwrap_or_default();
    Answer::at(revision).field("bytes", bytes).done()
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
        Some(path) => disk_bytes(path).unwrap_or(stats.run_bytes),
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
    counters(&call.db().stats())
        .into_iter()
        .fold(Answer::new(), |answer, (name, value)| answer.field(name, value))
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
    *db = call.driver.place.open_again()?;
    closed?;
    Answer::at(db.revision()).done()
}
