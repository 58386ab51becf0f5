//! `load`: what a dump holds, put into a store as ordinary writes.
//!
//! A dump is read twice. The first time nothing is written: every line must make sense, in the order that dumps have, and
//! the last one must agree with what went before. So a dump that was cut off or edited badly changes nothing and creates
//! nothing. The leases, which come last in a dump, are known then and are granted first. Standard input is copied to a
//! file without a name, if it is none that can be read twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Outcome;
use super::args::Format;
use super::context::{Context, Create};
use super::data::new_file;
use super::exit::{Exit, Failure, tell};
use super::json::from_base64;
use super::progress::{Progress, Unit};
use super::report::Report;
use crate::{Db, Delete, LeaseId, Op, Put, PutOptions};

/// How many changes become one revision, at most.
const BATCH_CHANGES_MAX: usize = 1000;

/// And how many bytes of keys and values, unless a single one has more.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The longest line: the largest value in base64, and as much again.
const LINE_BYTES_MAX: u64 = 128 << 20;

/// The most bytes of a key with its value that a store takes for certain: its largest request, without what the log and
/// the request itself put around them.
const CHANGE_BYTES_MAX: usize = (32 << 20) - 512;

/// etcd's longest time to live: 9,000,000,000 s.
const TTL_MAX: Duration = Duration::from_secs(9_000_000_000);

/// Loads a dump.
pub(super) fn load(context: &Context, file: Option<&Path>) -> Outcome {
    let mut file = source(file)?;
    let len = file.metadata().map_err(unreadable)?.len();
    let start = file.stream_position().map_err(unreadable)?;
    let progress = Progress::new(context, "read", Unit::Bytes);
    let summary = examine(Lines::new(&file, &mut |done| progress.set(done, len)))?;
    drop(progress);

    let db = context.open(Create::Allowed)?;
    refuse_taken(&db, &summary)?;
    for (id, ttl) in &summary.leases {
        db.grant_with_id(*id, *ttl)?;
    }
    file.seek(io::SeekFrom::Start(start)).map_err(unreadable)?;
    let progress = Progress::new(context, "load", Unit::Bytes);
    write_all(&db, Lines::new(&file, &mut |done| progress.set(done, len)), &summary)?;
    drop(progress);
    context.changed();
    let revision = db.revision();
    db.close()?;
    let report = Report::new().with("revision", revision.get()).with("kvs", summary.kvs);
    let report = report.with("leases", summary.leases.len());
    match (summary.without_lease, context.global.write_out) {
        (0, _) => report.print(context)?,
        // Words on stderr are not for programs.
        (keys, Format::Json | Format::Jsonl) => report.with("without_lease", keys).print(context)?,
        (keys, _) => {
            report.print(context)?;
            if !context.global.quiet {
                tell(format_args!("put without a lease, as the dump does not hold theirs: {keys} keys"));
            }
        }
    }
    Ok(Exit::Done)
}

/// The dump as a file that can be read twice.
fn source(file: Option<&Path>) -> Result<File, Failure> {
    if let Some(path) = file {
        return File::open(path).map_err(|error| Failure::Outside(format!("cannot read {}", path.display()), error));
    }
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(unreadable)?);
    if stdin.metadata().map_err(unreadable)?.is_file() {
        return Ok(stdin);
    }
    let failed = |error| Failure::Outside("cannot keep the dump in a temporary file".into(), error);
    let mut copy = unnamed_file().map_err(failed)?;
    io::copy(&mut stdin, &mut copy).map_err(failed)?;
    copy.rewind().map_err(failed)?;
    Ok(copy)
}

/// A file that goes away with its descriptor. Until then nobody knows its name, so that nobody can be in its way.
fn unnamed_file() -> io::Result<File> {
    let random = RandomState::new().hash_one(std::process::id());
    let path = std::env::temp_dir().join(format!("etclite-load-{random:016x}"));
    let file = new_file(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

fn unreadable(error: io::Error) -> Failure {
    Failure::Outside("cannot read the dump".into(), error)
}

/// What is known of a dump once it was read to its end.
#[derive(Debug, Default)]
struct Summary {
    kvs: u64,
    leases: BTreeMap<LeaseId, Duration>,
    /// How many keys carry a lease that is not there.
    without_lease: u64,
}

/// Reads a dump and finds it whole, or says what is wrong with which line.
fn examine(mut lines: Lines<'_, '_>) -> Result<Summary, Failure> {
    let mut summary = Summary::default();
    let mut carried: BTreeMap<LeaseId, u64> = BTreeMap::new();
    let history = match lines.next()? {
        Some(Line::Header { history }) => history,
        _ => return Err(lines.wrong("no dump of etclite begins so")),
    };
    loop {
        let line = lines.next()?;
        match line {
            Some(Line::Change(change)) if summary.leases.is_empty() && change.in_history == history => {
                if change.bytes() > CHANGE_BYTES_MAX {
                    return Err(lines.wrong("key and value are larger than a store takes"));
                }
                summary.kvs += 1;
                if !change.lease.is_none() {
                    *carried.entry(change.lease).or_default() += 1;
                }
            }
            Some(Line::Lease(id, ttl)) => {
                if id.is_none() || ttl > TTL_MAX {
                    return Err(lines.wrong("no lease has such an id, or lives so long"));
                }
                if summary.leases.insert(id, ttl).is_some() {
                    return Err(lines.wrong("the lease has been there before"));
                }
            }
            Some(Line::End { kvs, leases }) => {
                if (kvs, leases) != (summary.kvs, summary.leases.len() as u64) {
                    return Err(lines.wrong("lines are missing before this one, or there are too many"));
                }
                break;
            }
            Some(_) => return Err(lines.wrong("it does not belong here")),
            None => return Err(Failure::Refused("the dump was cut off: its last line is missing".into())),
        }
    }
    if lines.next()?.is_some() {
        return Err(lines.wrong("the dump ended before"));
    }
    carried.retain(|id, _| !summary.leases.contains_key(id));
    summary.without_lease = carried.values().sum();
    Ok(summary)
}

/// Granting must not fail half-way.
fn refuse_taken(db: &Db, summary: &Summary) -> Result<(), Failure> {
    match db.leases()?.iter().find(|lease| summary.leases.contains_key(&lease.id)) {
        Some(lease) => {
            let id = super::json::lease_text(lease.id);
            Err(Failure::Refused(format!("lease {id} of the dump exists in the store already, nothing was loaded")))
        }
        None => Ok(()),
    }
}

fn write_all(db: &Db, mut lines: Lines<'_, '_>, summary: &Summary) -> Result<(), Failure> {
    let mut batch = Batch::default();
    while let Some(line) = lines.next()? {
        let Line::Change(mut change) = line else { continue };
        if !summary.leases.contains_key(&change.lease) {
            change.lease = LeaseId::NONE;
        }
        if !batch.takes(&change) {
            batch.commit(db)?;
        }
        batch.add(change);
    }
    batch.commit(db)
}

/// Changes that become one revision.
#[derive(Default)]
struct Batch {
    ops: Vec<Op>,
    keys: BTreeSet<Vec<u8>>,
    bytes: usize,
    /// The revision that they are of, in a dump with history.
    revision: u64,
}

impl Batch {
    /// Whether a change can be part of it: no key twice, revisions apart, within bounds.
    fn takes(&self, change: &Change) -> bool {
        self.ops.is_empty()
            || (self.ops.len() < BATCH_CHANGES_MAX
                && self.bytes + change.bytes() <= BATCH_BYTES_MAX
                && self.revision == change.revision
                && !self.keys.contains(&change.key))
    }

    fn add(&mut self, change: Change) {
        self.bytes += change.bytes();
        self.revision = change.revision;
        self.keys.insert(change.key.clone());
        self.ops.push(match change.value {
            Some(value) => Put::with(change.key, value, PutOptions::new().lease(change.lease)).into(),
            None => Delete::new(change.key.as_slice()).into(),
        });
    }

    fn commit(&mut self, db: &Db) -> Result<(), Failure> {
        let batch = std::mem::take(self);
        if !batch.ops.is_empty() {
            db.txn().then(batch.ops).commit()?;
        }
        Ok(())
    }
}

/// A line of a dump.
#[derive(Debug)]
enum Line {
    Header { history: bool },
    Change(Change),
    Lease(LeaseId, Duration),
    End { kvs: u64, leases: u64 },
}

/// A key-value, or one change of it.
#[derive(Debug)]
struct Change {
    key: Vec<u8>,
    /// `None` if the key was deleted.
    value: Option<Vec<u8>>,
    lease: LeaseId,
    in_history: bool,
    /// 0 outside of a history.
    revision: u64,
}

impl Change {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// The lines of a dump, counted.
struct Lines<'f, 'p> {
    file: BufReader<&'f File>,
    number: u64,
    bytes: u64,
    line: Vec<u8>,
    progress: &'p mut dyn FnMut(u64),
}

impl<'f, 'p> Lines<'f, 'p> {
    fn new(file: &'f File, progress: &'p mut dyn FnMut(u64)) -> Self {
        Lines { file: BufReader::with_capacity(1 << 20, file), number: 0, bytes: 0, line: Vec::new(), progress }
    }

    fn next(&mut self) -> Result<Option<Line>, Failure> {
        self.line.clear();
        let mut limited = (&mut self.file).take(LINE_BYTES_MAX);
        let len = limited.read_until(b'\n', &mut self.line).map_err(unreadable)?;
        if len == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += len as u64;
        (self.progress)(self.bytes);
        let value: Option<Value> = serde_json::from_slice(&self.line).ok();
        match value.as_ref().and_then(Value::as_object).and_then(parse) {
            Some(line) => Ok(Some(line)),
            // Half a line at the end is what is left of a dump that was cut off.
            None if !self.line.ends_with(b"\n") && len as u64 != LINE_BYTES_MAX => Ok(None),
            None => Err(self.wrong("it is no line of a dump")),
        }
    }

    /// Never tells what is in the line: that is somebody's data.
    fn wrong(&self, what: &str) -> Failure {
        Failure::Refused(format!("line {} of the dump: {what}; nothing was loaded", self.number))
    }
}

fn parse(object: &Map<String, Value>) -> Option<Line> {
    let number = |name: &str| object.get(name).and_then(Value::as_u64);
    if let Some(version) = object.get("etclite_dump") {
        return (version == 1).then(|| object.get("history")?.as_bool().map(|history| Line::Header { history }))?;
    }
    if object.contains_key("end") {
        return Some(Line::End { kvs: number("kvs")?, leases: number("leases")? });
    }
    if let Some(kind) = object.get("type") {
        let change = parse_kv(object.get("kv")?.as_object()?, kind == "delete")?;
        let known = kind == "put" || kind == "delete";
        let revision = number("rev")?;
        return known.then_some(Line::Change(Change { in_history: true, revision, ..change }));
    }
    if !object.contains_key("key") && !object.contains_key("key_b64") {
        let id = parse_lease(object.get("lease")?)?;
        return Some(Line::Lease(id, Duration::from_millis(number("granted_ms")?)));
    }
    parse_kv(object, false).map(Line::Change)
}

fn parse_kv(object: &Map<String, Value>, deleted: bool) -> Option<Change> {
    let value = if deleted { None } else { Some(parse_bytes(object, "value")?) };
    let lease = object.get("lease").map_or(Some(LeaseId::NONE), parse_lease)?;
    let key = parse_bytes(object, "key").filter(|key| !key.is_empty())?;
    Some(Change { key, value, lease, in_history: false, revision: 0 })
}

fn parse_bytes(object: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    match (object.get(name), object.get(&format!("{name}_b64"))) {
        (Some(text), None) => Some(text.as_str()?.as_bytes().to_vec()),
        (None, Some(text)) => from_base64(text.as_str()?),
        _ => None,
    }
}

/// A lease id in hex: its 64-bit pattern.
fn parse_lease(value: &Value) -> Option<LeaseId> {
    u64::from_str_radix(value.as_str()?, 16).ok().map(|id| LeaseId::new(id.cast_signed()))
}
