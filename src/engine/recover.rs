//! Opening: catalog, then run footers, then the tail of the log; and what a torn tail means.
//!
//! 1. The catalog is verified and says what is live. Its checkpoint is the place from which commands are applied again,
//!    one by one, by the same `evaluate` that first applied them.
//! 2. The log is read up to the first frame that fails. Whether that is a tear, to be ignored, or the loss of something
//!    promised, which refuses to open, is `log/scan.rs`'s to say: if a later frame tells that the missing one was synced,
//!    it is lost.
//! 3. Frames that nothing proves durable may exist in the page cache alone, as after a kill or a failed sync. They are
//!    copied into a new segment and synced there (`log/start.rs`) before anything is served. The new segment is
//!    `incoming` until then, so a crash in between leaves everything as it was. The log goes on in the new segment,
//!    never behind a tear.
//! 4. The entries above the checkpoint are applied, then leases get their deadlines (`replay.rs`).
//! 5. Files that the catalog does not name go last.
//!
//! A read-only open does 1, 2 and 4 in memory and writes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::db::signal::Signal;
use crate::engine::command::Stamp;
use crate::engine::commit::{Batch, Commit};
use crate::engine::cursors::cursor;
use crate::engine::operations::Window;
use crate::engine::state::{Lease, Standing, State};
use crate::engine::{Core, Engine, Phase, Writer, background, reorganize};
use crate::error::{Error, Result};
use crate::io::sync;
use crate::io::{Clock, Disk, DiskLock, IoSite, read_full_at};
use crate::kv::LeaseId;
use crate::lease::Lessor;
use crate::log::{Frame, Log, LogOptions, Scan, SegmentInfo, adopted, belongs, holds_frame, scan, segment_path};
use crate::memtable::Memtable;
use crate::options::{LogEvent, Options};
use crate::sabotage::{Bug, is_planted};
use crate::store::Version;
use crate::store::catalog::{
    self, Catalog, Checkpoint, Contents, CursorRow, Edit, LeaseRow, LeaseState, Meta, RunRow, SegmentRow,
};
use crate::store::run::{Run, RunInfo, run_path};
use crate::store::state_file::{self, state_path};
use crate::trace;
use crate::watch::{History, Hub};

/// What opening takes.
pub(crate) struct Opening {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) lock: DiskLock,
}

/// Refuses a directory that is somebody else's before anything is left in it, be it a lock file.
pub(crate) fn refuse_foreign(disk: &Arc<dyn Disk>) -> Result<()> {
    let names = disk.list(IoSite::StoreList, "").map_err(|error| Error::io("list", "", error))?;
    let ours = |name: &str| matches!(name, "LOCK" | "log" | "run" | state_file::DIRECTORY | catalog::TEMPORARY);
    if names.iter().any(|name| name == catalog::FILE) || names.iter().all(|name| ours(name)) {
        return Ok(());
    }
    Err(Error::NotADatabase { path: "".into(), what: "the directory holds other files" })
}

impl Opening {
    /// Opens the store, or creates it if it does not exist and the options allow it.
    pub(crate) fn open(self) -> Result<Arc<Engine>> {
        if !Catalog::exists(&self.disk)? {
            self.check_empty()?;
            if self.options.read_only || !self.options.create {
                let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
                return Err(Error::io("open", catalog::FILE, missing));
            }
            return self.create();
        }
        if self.options.read_only { self.open_read_only() } else { self.open_writable() }
    }

    /// A directory without a catalog is taken for a new store only if it holds nothing of value: nothing foreign, no
    /// run, no log that was written to.
    fn check_empty(&self) -> Result<()> {
        let foreign = |what| Error::NotADatabase { path: "".into(), what };
        for name in self.list("")? {
            match name.as_str() {
                "LOCK" | catalog::TEMPORARY => {}
                "log" | "run" | state_file::DIRECTORY => {
                    for file in self.list(&name)? {
                        self.check_worthless(&name, &file)?;
                    }
                }
                _ => return Err(foreign("the directory holds other files")),
            }
        }
        Ok(())
    }

    /// What a crash during creation leaves behind is the first segment without a frame.
    fn check_worthless(&self, dir: &str, file: &str) -> Result<()> {
        let first = (dir == "log" && format!("log/{file}") == segment_path(1)).then_some(1);
        match first {
            Some(seq) if !holds_frame(&self.disk, seq)? => Ok(()),
            _ => Err(Error::corrupt(catalog::FILE, 0, "the catalog is missing beside runs or a log")),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        self.disk.list(IoSite::StoreList, dir).map_err(|error| Error::io("list", dir, error))
    }

    fn create(self) -> Result<Arc<Engine>> {
        let io = |what, path| move |error| Error::io(what, path, error);
        for dir in ["log", "run", state_file::DIRECTORY] {
            self.disk.create_dir(IoSite::StoreCreateDir, dir).map_err(io("create directory", dir))?;
        }
        self.disk.sync_dir(IoSite::StoreSyncDir, "").map_err(io("sync directory", ""))?;
        for stale in self.list("log")? {
            self.remove(&format!("log/{stale}"))?;
        }
        let meta = new_meta(self.clock.as_ref());
        let (id, options) = (meta.store_id, self.log_options());
        let log = Log::start(self.disk.clone(), id, meta.epoch, options, 1, (0, 0), 1, &[], Vec::new())?;
        let mut contents = Contents { meta: meta.clone(), ..Contents::default() };
        contents.checkpoint.revision = 1;
        for span in log.segments() {
            contents.segments.insert(span.info.seq, reorganize::segment_row(&span.info));
        }
        let catalog = Catalog::create(&self.disk, &contents)?;
        let state = State::new(self.options.command_changes_max);
        let engine = self.engine(meta.clone(), state, Vec::new(), Some(Writer::new(log, catalog, meta)));
        engine.serve()?;
        engine.start_background();
        Ok(engine)
    }

    fn log_options(&self) -> LogOptions {
        let tuning = &self.options.tuning;
        LogOptions { segment_bytes: tuning.segment_bytes, fill_bytes_min: tuning.fill_bytes, spare: tuning.spare }
    }

    fn open_writable(self) -> Result<Arc<Engine>> {
        let (catalog, contents) = Catalog::open(&self.disk).map_err(|error| self.explain(error))?;
        let scan = self.scan(&contents)?;
        self.check_unnamed(&contents, &scan)?;
        self.tell_torn(&scan)?;
        let mut meta = contents.meta.clone();
        meta.epoch += 1;
        self.skip_used_names(&mut meta)?;
        let seq = meta.next_segment;
        meta.next_segment += 1;
        // The checkpoint may be ahead of this: of a relaxed store because its log lost entries, of any because the last
        // frame below it is not proven. The chain of segments tells only of what the log holds.
        let base = scan.proven_last;
        let mut edit = Edit::default();
        edit.meta(meta.clone());
        let incoming = SegmentInfo {
            seq,
            state: crate::log::SegmentState::Incoming,
            base_term: base.0,
            base_index: base.1,
            sealed_len: 0,
        };
        edit.put_segment(seq, reorganize::segment_row(&incoming));
        catalog.edit(&edit)?;
        let log = Log::start(
            self.disk.clone(),
            meta.store_id,
            meta.epoch,
            self.log_options(),
            seq,
            base,
            scan.proven + 1,
            scan.unproven(),
            scan.kept.clone(),
        )?;
        let writer = Writer::new(log, catalog, meta.clone());
        writer.adopt_log(&contents)?;
        let runs = self.open_runs(&contents, self.options.tuning.use_map)?;
        let state = self.state(&contents)?;
        let engine = self.engine(meta, state, runs, Some(writer));
        engine.replay(&scan)?;
        engine.serve()?;
        engine.clean_up()?;
        engine.start_background();
        Ok(engine)
    }

    fn open_read_only(self) -> Result<Arc<Engine>> {
        let contents = Catalog::read(&self.disk).map_err(|error| self.explain(error))?;
        let scan = self.scan(&contents)?;
        self.replayed(&contents, &scan)
    }

    /// What is on the disk, as a store that cannot be written: the tail of the log is applied in memory.
    pub(crate) fn replayed(self, contents: &Contents, scan: &Scan) -> Result<Arc<Engine>> {
        let runs = self.open_runs(contents, false)?;
        let state = self.state(contents)?;
        let engine = self.engine(contents.meta.clone(), state, runs, None);
        engine.replay(scan)?;
        engine.serve()?;
        engine.hub.freeze(None);
        Ok(engine)
    }

    /// A catalog that is not even of redb means that the directory is somebody else's.
    fn explain(&self, error: Error) -> Error {
        let damaged = matches!(error, Error::Corrupt { .. });
        if damaged && matches!(Catalog::is_catalog(&self.disk), Ok(false)) {
            return Error::NotADatabase { path: catalog::FILE.into(), what: "the catalog is not one" };
        }
        error
    }

    pub(crate) fn scan(&self, contents: &Contents) -> Result<Scan> {
        let segments: Vec<SegmentInfo> = contents.segments.iter().map(|(seq, row)| segment_info(*seq, row)).collect();
        let Checkpoint { index, closing_frame, .. } = contents.checkpoint;
        scan(&self.disk, contents.meta.store_id, &segments, closing_frame, index)
    }

    /// A segment that the catalog does not name, with frames that would continue the log, is not rubbish, and neither is
    /// an unfinished copy that was written to since: the catalog fell back. Looked at before anything is changed, so that
    /// every open says so.
    fn check_unnamed(&self, contents: &Contents, scan: &Scan) -> Result<()> {
        let store_id = contents.meta.store_id;
        for name in self.list("log")? {
            let Some(seq) = file_number(&name) else { continue };
            let continues = match contents.segments.get(&seq).map(|row| row.state) {
                None => belongs(&self.disk, store_id, seq, contents.meta.epoch, scan)?,
                Some(catalog::SegmentState::Incoming) => adopted(&self.disk, store_id, seq)?,
                Some(_) => false,
            };
            if continues {
                return Err(Error::corrupt(segment_path(seq), 0, "a log segment that the catalog does not name"));
            }
        }
        Ok(())
    }

    /// Files that a crash left unnamed keep their names for ever.
    fn skip_used_names(&self, meta: &mut Meta) -> Result<()> {
        let highest = |names: Vec<String>| names.iter().filter_map(|name| file_number(name)).max().unwrap_or(0);
        // A state file has the number of the run that it is flushed with.
        meta.next_run = meta.next_run.max(highest(self.list("run")?) + 1);
        meta.next_run = meta.next_run.max(highest(self.list(state_file::DIRECTORY)?) + 1);
        meta.next_segment = meta.next_segment.max(highest(self.list("log")?) + 1);
        Ok(())
    }

    fn open_runs(&self, contents: &Contents, use_map: bool) -> Result<Vec<Arc<Run>>> {
        let mut runs = Vec::with_capacity(contents.runs.len());
        for (id, row) in &contents.runs {
            runs.push(Arc::new(Run::open(&self.disk, contents.meta.store_id, run_info(*id, row), use_map)?));
        }
        // Newest first: their revisions do not overlap.
        runs.sort_by_key(|run| std::cmp::Reverse(run.info.max_revision));
        Ok(runs)
    }

    fn state(&self, contents: &Contents) -> Result<State> {
        let Checkpoint { revision, term, index, compact_revision, compact_ordered, .. } = contents.checkpoint;
        let named = |(name, row): (&Vec<u8>, &CursorRow)| (name.clone().into(), cursor(row));
        let cursors = contents.cursors.iter().map(named).collect();
        let mut remembered = Vec::new();
        for (id, row) in &contents.state_files {
            remembered.extend(state_file::read(&self.disk, contents.meta.store_id, *id, row)?);
        }
        let operations = Window::load(&contents.operations, remembered);
        let new = State::new(self.options.command_changes_max);
        let mut state = State { revision, term, index, compact_revision, compact_ordered, cursors, operations, ..new };
        for (id, row) in &contents.leases {
            state.set_lease(LeaseId::new(*id), Some(lease(row)));
        }
        Ok(state)
    }

    /// Reports a torn tail: bytes behind the last frame that are no frame.
    fn tell_torn(&self, scan: &Scan) -> Result<()> {
        let (seq, offset) = scan.end;
        let path = segment_path(seq);
        let mut behind = [0; 48];
        let file = self.disk.open(IoSite::LogOpen, &path, crate::io::OpenMode::Read);
        let read = file.and_then(|file| read_full_at(file.as_ref(), IoSite::LogRead, &mut behind, offset));
        read.map_err(|error| Error::io("read", &path, error))?;
        if behind != [0; 48] {
            let event = LogEvent::TornTail { file: path, offset };
            trace::log_event(&event);
            self.options.tell(&event);
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<()> {
        self.disk.remove(IoSite::Cleanup, path).map_err(|error| Error::io("remove", path, error))
    }

    fn engine(self, meta: Meta, state: State, runs: Vec<Arc<Run>>, writer: Option<Writer>) -> Arc<Engine> {
        let compacted = runs.iter().map(|run| run.info.compacted).max().unwrap_or(0);
        let version = Version { memtables: vec![Arc::new(Memtable::default())], runs, compacted };
        let (first_run, first_segment) = writer.as_ref().map_or((0, 0), Writer::next_names);
        Arc::new_cyclic(|this: &std::sync::Weak<Engine>| {
            let history: std::sync::Weak<dyn History> = this.clone();
            Engine {
                this: this.clone(),
                clock: self.clock.clone(),
                disk: self.disk,
                commit: Commit::new(state.index),
                version: ArcSwap::from_pointee(version),
                version_edit: Mutex::new(()),
                visible: AtomicU64::new(state.revision),
                compacted: AtomicU64::new(state.compacted()),
                synced: AtomicU64::new(state.revision),
                weighed: AtomicU64::new(0),
                writer,
                meta,
                lessor: Lessor::new(self.clock.alarm()),
                hub: Hub::new(history, self.clock, state.revision, self.options.watches_max),
                cursors: Mutex::new(state.cursors.clone()),
                pins: crate::engine::pin::Pins::default(),
                background: background::Background::default(),
                poison: Mutex::new(None),
                poisoned: AtomicBool::new(false),
                broken: Signal::default(),
                closed: AtomicBool::new(false),
                pid: crate::io::thread::process_id(),
                forks: crate::io::thread::forks(),
                lock: Mutex::new(Some(self.lock)),
                recovered_revision: AtomicU64::new(state.revision),
                first_run,
                first_segment,
                core: Mutex::new(Core {
                    rotated_index: state.index,
                    state,
                    frame: Frame::new(),
                    batch: Batch::new(1),
                    closed: std::collections::VecDeque::new(),
                    dirty_leases: BTreeSet::new(),
                    dirty_cursors: BTreeSet::new(),
                    log_bytes: 0,
                    phase: Phase::Open,
                }),
                options: self.options,
            }
        })
    }
}

impl Engine {
    /// Removes the files that the catalog does not name and that are older than this open.
    fn clean_up(&self) -> Result<()> {
        let contents = self.writer()?.catalog.contents();
        for dir in ["log", "run", state_file::DIRECTORY] {
            let names = self.disk.list(IoSite::StoreList, dir).map_err(|error| Error::io("list", dir, error))?;
            for name in names {
                let path = format!("{dir}/{name}");
                let named = file_number(&name).is_some_and(|number| {
                    (path == state_path(number)
                        && (contents.state_files.contains_key(&number) || number >= self.first_run))
                        || (path == run_path(number)
                            && (contents.runs.contains_key(&number) || number >= self.first_run))
                        || (path == segment_path(number)
                            && (contents.segments.contains_key(&number) || number >= self.first_segment))
                });
                if !named {
                    let removed = self.disk.remove(IoSite::Cleanup, &path);
                    self.tell_failed(removed.map_err(|error| Error::io("remove", path, error)));
                }
            }
        }
        Ok(())
    }
}

impl Writer {
    fn next_names(&self) -> (u64, u64) {
        let names = self.names.lock();
        (names.next_run, names.next_segment)
    }

    fn new(log: Log, catalog: Catalog, names: Meta) -> Self {
        Writer {
            log,
            catalog,
            names: Mutex::new(names),
            flushing: sync::Mutex::default(),
            merging: sync::Mutex::default(),
            editing: sync::Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Makes the new segment the active one and drops the segments behind the proven part, in one edit. From here on the
    /// clean close before no longer vouches for anything.
    fn adopt_log(&self, contents: &Contents) -> Result<()> {
        self.edit(|edit| {
            let live: BTreeSet<u64> = self.log.segments().iter().map(|span| span.info.seq).collect();
            for seq in contents.segments.keys().filter(|seq| !live.contains(seq)) {
                edit.remove_segment(*seq);
            }
            edit.checkpoint(Checkpoint { closing_frame: 0, ..contents.checkpoint.clone() });
        })
    }
}

/// The identity of a new store.
pub(crate) fn new_meta(clock: &dyn Clock) -> Meta {
    let mut bytes = [0; 16];
    clock.random(&mut bytes);
    let mut low = [0; 8];
    low.copy_from_slice(&bytes[..8]);
    let mut high = [0; 8];
    high.copy_from_slice(&bytes[8..]);
    Meta {
        format: catalog::FORMAT,
        store_id: u128::from_le_bytes(bytes).max(1),
        cluster_id: u64::from_le_bytes(low).max(1),
        member_id: u64::from_le_bytes(high).max(1),
        epoch: 1,
        next_run: 1,
        next_segment: 2,
    }
}

/// The number in the name of a segment or run.
fn file_number(name: &str) -> Option<u64> {
    let (digits, _) = name.split_once('.')?;
    if digits.len() == 16 { u64::from_str_radix(digits, 16).ok() } else { None }
}

pub(crate) fn segment_info(seq: u64, row: &SegmentRow) -> SegmentInfo {
    use crate::log::SegmentState as Log;
    use crate::store::catalog::SegmentState;
    let state = match row.state {
        SegmentState::Spare => Log::Spare,
        SegmentState::Active => Log::Active,
        SegmentState::Sealed => Log::Sealed,
        SegmentState::Incoming => Log::Incoming,
    };
    SegmentInfo { seq, state, base_term: row.base_term, base_index: row.base_index, sealed_len: row.sealed_len }
}

pub(crate) fn run_info(id: u64, row: &RunRow) -> RunInfo {
    let row = row.clone();
    RunInfo {
        id,
        first_key: row.first_key,
        last_key: row.last_key,
        min_revision: row.min_revision,
        max_revision: row.max_revision,
        entries: row.entries,
        tombstones: row.tombstones,
        len: row.len,
        footer_crc: row.footer_crc,
        compacted: row.compacted,
        garbage: row.garbage,
    }
}

fn lease(row: &LeaseRow) -> Lease {
    Lease {
        ttl_ms: row.ttl_ms,
        remaining_ms: row.remaining_ms,
        stamp: Stamp { boot_id: row.stamp.boot_id, boot_ms: row.stamp.boot_ms, wall_ms: row.stamp.wall_ms },
        renewed: row.renewed,
        renewal_epoch: row.renewal_epoch,
        grant_revision: row.grant_revision,
        lock_delay_ms: row.lock_delay_ms,
        standing: match row.state {
            LeaseState::Lapsed if !is_planted(Bug::LapseLost) => Standing::Lapsed,
            LeaseState::Alive | LeaseState::Lapsed => Standing::Alive,
            LeaseState::Hidden => Standing::Hidden,
        },
    }
}
