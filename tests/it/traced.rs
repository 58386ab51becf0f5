//! What is told to `tracing`: the events that the front page of the crate lists, with their fields, and nothing of a put.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use etclite::Error;
use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk};
use etclite::testing::{Knobs, expire, merge_all, step};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use super::co_mutex::session;
use super::rig::{ROOMY, TINY, drain, ms, open_sim};

/// Writes down what it is told: a line an event, `LEVEL target message field=value .. in span`.
#[derive(Clone)]
struct Recorder {
    level: Level,
    spans: Arc<AtomicU64>,
    told: Arc<Mutex<Told>>,
}

impl Recorder {
    fn new(level: Level) -> Self {
        Recorder { level, spans: Arc::default(), told: Arc::default() }
    }
}

#[derive(Default)]
struct Told {
    lines: Vec<String>,
    /// Those that were made, as text, by id from 1; and those that are entered, innermost last.
    spans: Vec<String>,
    entered: Vec<u64>,
}

/// The fields as text; the message comes without its name.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}").unwrap(),
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // As its own type: that is what a subscriber can make of it.
        assert!(value.downcast_ref::<Error>().is_some());
        write!(self.0, " {}={value}", field.name()).unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("etclite::") && *metadata.level() <= self.level
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut told = self.told.lock().unwrap();
        told.spans.push(format!("{}{}", span.metadata().name(), fields.0));
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        panic!("fields of spans are known from the start");
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut told = self.told.lock().unwrap();
        let inside = told.entered.iter().map(|id| &told.spans[usize::try_from(id - 1).unwrap()]);
        let inside: String = inside.map(|span| format!(" in {span}")).collect();
        told.lines.push(format!("{} {}{}{inside}", metadata.level(), metadata.target(), fields.0));
    }

    fn enter(&self, span: &Id) {
        self.told.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(
            self.told.lock().unwrap().entered.pop(),
            Some(span.into_u64()),
            "spans are left as they are entered"
        );
    }
}

/// What is told in this thread while `work` is done.
///
/// `tracing` remembers for each place of the code, for all threads, whether any recorder wants to know of it. A thread of
/// another test that comes by such a place for the first time, just when a recorder begins, may note that none does. So
/// one that wants all is there from before the first, for ever, and nobody's own.
fn told(level: Level, work: impl FnOnce()) -> Vec<String> {
    static ALL: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Recorder::new(Level::TRACE)));
    LazyLock::force(&ALL);
    let recorder = Recorder::new(level);
    tracing::subscriber::with_default(recorder.clone(), work);
    let told = std::mem::take(&mut *recorder.told.lock().unwrap());
    assert!(told.entered.is_empty());
    told.lines
}

/// The lines of a target, without it.
fn of<'l>(lines: &'l [String], target: &str) -> Vec<&'l str> {
    let parts = |line: &'l String| line.split_once(' ').unwrap().1.split_once(' ').unwrap();
    lines.iter().map(parts).filter(|(of, _)| *of == target).map(|(_, line)| line).collect()
}

/// The number in a field of a line.
fn number(line: &str, field: &str) -> u64 {
    let (_, value) = line.split_once(&format!(" {field}=")).unwrap_or_else(|| panic!("no {field} in {line:?}"));
    value.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{field} in {line:?}"))
}

#[test]
fn a_store_from_open_to_close() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let lines = told(Level::DEBUG, || {
        let db = open_sim(&disk, &clock, ROOMY);
        db.put("a", "1").unwrap();
        db.put("b", "2").unwrap();
        db.flush().unwrap();
        db.close().unwrap();
    });
    assert_eq!(lines.len(), 3, "nothing of puts: {lines:#?}");
    assert_eq!(lines[0], "INFO etclite::engine store opened revision=1 read_only=false took_us=0 in open path=");
    let flushed = &lines[1];
    assert!(
        flushed.starts_with("DEBUG etclite::store memtable flushed run=1 revision=3 entries=2 bytes="),
        "{flushed}"
    );
    assert!(number(flushed, "bytes") > 0 && flushed.ends_with(" took_us=0 in flush"), "{flushed}");
    assert_eq!(lines[2], "INFO etclite::engine store closed revision=3 took_us=0 in close");
}

#[test]
fn what_an_open_replays() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.put("a", "1").unwrap();
    db.flush().unwrap();
    db.put("b", "2").unwrap();
    db.put("c", "3").unwrap();
    // A crash: nothing of the close counts.
    let image = disk.image();
    db.close().unwrap();
    let lines = told(Level::INFO, || {
        open_sim(&SimDisk::from_image(image), &clock, ROOMY).close().unwrap();
    });
    let replayed = of(&lines, "etclite::engine")[0];
    assert!(replayed.starts_with("log replayed frames="), "{replayed}");
    assert!(replayed.contains(" commands=2 checkpoint_revision=2 revision=4 took_us=0 in open path="), "{replayed}");
    assert_eq!(of(&lines, "etclite::engine").len(), 3, "{lines:#?}");
}

/// A batch has one event, and only at the level for it.
#[test]
fn writes_are_traced_by_the_batch() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let write = || {
        db.put("a", "1").unwrap();
        db.get("a").unwrap();
        db.txn().then([etclite::Put::new("b", "2"), etclite::Put::new("c", "3")]).commit().unwrap();
        db.query("b").unwrap();
    };
    assert_eq!(told(Level::DEBUG, write), [""; 0]);
    let lines = told(Level::TRACE, write);
    let expected = ["batch published index=3 revision=4", "batch published index=4 revision=5"];
    assert_eq!(of(&lines, "etclite::engine"), expected);
    assert!(lines.iter().all(|line| line.starts_with("TRACE ")));
}

#[test]
fn a_failed_sync() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    disk.fail(Fault { site: Some(IoSite::LogSync), nth: 1, kind: FaultKind::Eio, forever: false });
    let lines = told(Level::TRACE, || {
        assert!(matches!(db.put("a", "1"), Err(Error::Indeterminate | Error::Io { .. })));
        assert!(matches!(db.put("a", "2"), Err(Error::Poisoned)));
    });
    let [line] = &lines[..] else { panic!("one event: {lines:#?}") };
    assert!(line.starts_with("ERROR etclite::engine store poisoned error=") && line.contains("sync"), "{line}");
}

/// A file that is no longer needed cannot be removed.
#[test]
fn background_work_that_fails() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.put("a", "1").unwrap();
    db.flush().unwrap();
    db.put("a", "2").unwrap();
    db.flush().unwrap();
    disk.fail(Fault { site: Some(IoSite::RunRemove), nth: 1, kind: FaultKind::Eio, forever: false });
    let mut lines = told(Level::DEBUG, || assert!(merge_all(&db).unwrap()));
    lines.retain(|line| line.starts_with("WARN"));
    let [line] = &lines[..] else { panic!("one event: {lines:#?}") };
    assert!(line.starts_with("WARN etclite::engine background work failed error="), "{line}");
    assert!(line.ends_with(" in merge runs=2"), "{line}");
}

#[test]
fn segments_and_runs() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, Knobs { memtable_bytes: 8 << 10, ..TINY });
    let lines = told(Level::DEBUG, || {
        for number in 0..200 {
            db.put(format!("k{number}"), [b'v'; 300]).unwrap();
            while step(&db).unwrap() {}
        }
    });
    let (log, store) = (of(&lines, "etclite::log"), of(&lines, "etclite::store"));
    let count = |lines: &[&str], start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    let begun = log.iter().find(|line| line.starts_with("segment begun")).expect("the log rolls");
    assert!(number(begun, "segment") > 1 && number(begun, "frame") > 1, "{begun}");
    let made = log.iter().find(|line| line.starts_with("spare segment made")).expect("into spares");
    assert!(number(made, "segment") > 1 && number(made, "filled_bytes") > 0, "{made}");
    let dropped = log.iter().find(|line| line.starts_with("segment dropped")).expect("and drops what runs hold");
    assert_eq!(number(dropped, "segment"), 1);
    assert!(count(&store, "memtable flushed") > 2, "{store:#?}");
    let merged = store.iter().find(|line| line.starts_with("runs merged")).expect("runs are merged");
    assert!(number(merged, "runs") >= 2 && number(merged, "run") > 1 && number(merged, "entries") > 10, "{merged}");
    assert!(merged.contains(" in merge runs="), "{merged}");
}

#[test]
fn compaction_and_the_watch_that_it_ends() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let mut watch = db.watch("a").start().unwrap();
    for value in ["1", "2", "3"] {
        db.put("a", value).unwrap();
    }
    let lines = told(Level::DEBUG, || {
        db.compact(4).unwrap();
        assert!(matches!(drain(&mut watch), Err(Error::Compacted { .. })));
    });
    let expected = [
        "DEBUG etclite::engine history compacted compact_revision=4 revision=4",
        "WARN etclite::watch watch ended by compaction progress=1 compact_revision=4",
    ];
    assert_eq!(lines, expected);
}

/// A lease that expires tells so, and the session that it was; one that is closed does not.
#[test]
fn leases_and_sessions() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    let delayed = etclite::GrantOptions::new(ms(100)).id(7).lock_delay(ms(50));
    db.grant_with(delayed).unwrap();
    let (closed, lost) = (session(&db), session(&db));
    let lines = told(Level::DEBUG, || {
        closed.close().unwrap();
        clock.advance(ms(100));
        expire(&db).unwrap();
        clock.advance(ms(50));
        expire(&db).unwrap();
        clock.advance(lost.ttl());
        expire(&db).unwrap();
        // Found out again, told once.
        etclite::testing::renew(&db);
    });
    let lease = lost.lease();
    let expected = [
        "DEBUG etclite::lease lease expired lease=7 lapses=true".to_string(),
        "DEBUG etclite::lease lease expired lease=7 lapses=false".to_string(),
        format!("DEBUG etclite::lease lease expired lease={lease} lapses=false"),
        format!("WARN etclite::session session lost lease={lease}"),
    ];
    assert_eq!(lines, expected);
}
