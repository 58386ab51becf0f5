//! A store as a whole: figures, copies, checks.

use std::path::Path;

use etclite::{BackupOptions, CheckOptions, CheckReport, Db, Error, Health, Options, Problem, Stats};

use crate::argument::{Plain, SizedStruct, check_flags, check_reserved, options, out, path, signed, unsigned};
use crate::buf::{etclite_buf, out_buf, publish};
use crate::code::ETCLITE_OK;
use crate::database::{database, etclite_db};
use crate::error::{Failure, etclite_error};
use crate::guard::enter;
use crate::json::{Object, array, string};

/// A JSON object.
pub const ETCLITE_STATS_JSON: u32 = 0;
/// Prometheus' text format, with etcd's names where meanings agree.
pub const ETCLITE_STATS_PROMETHEUS: u32 = 1;

/// The copy is compacted at its revision, history being left out: who goes on from before is told so.
pub const ETCLITE_RESTORE_MARK_COMPACTED: u32 = 1;

/// A file without the SHA-256 that a snapshot ends with is accepted, such as a member's `snap/db`, and one that is there is
/// not compared.
pub const ETCLITE_IMPORT_SKIP_HASH_CHECK: u32 = 1;
/// The new store is compacted at its revision, history being left out: who goes on from before is told so.
pub const ETCLITE_IMPORT_MARK_COMPACTED: u32 = 2;

/// Every key is also read as of every revision at which it changed. Takes 16 bytes of memory for each change.
pub const ETCLITE_CHECK_DEEP: u32 = 1;

/// How a restored store differs from the copy. Zero is the default of each field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_restore_options {
    /// `sizeof(etclite_restore_options)`.
    pub struct_size: usize,
    /// How much to add to the revision: above what anybody may have seen since the copy was made, so that no revision
    /// means two things. More than 0 leaves history out.
    pub bump_revision: i64,
    /// `ETCLITE_RESTORE_..`, added up.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: integers.
unsafe impl Plain for etclite_restore_options {}
// SAFETY: `repr(C)`, the size first, no padding, and zero is the default.
unsafe impl SizedStruct for etclite_restore_options {
    const SIZE_MIN: usize = 24;
}

/// How an etcd snapshot is imported. Zero is the default of each field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_import_options {
    /// `sizeof(etclite_import_options)`.
    pub struct_size: usize,
    /// How much to add to the revision: above what clients may have seen since the snapshot was made, so that no revision
    /// means two things.
    pub bump_revision: i64,
    /// `ETCLITE_IMPORT_..`, added up.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: integers.
unsafe impl Plain for etclite_import_options {}
// SAFETY: `repr(C)`, the size first, no padding, and zero is the default.
unsafe impl SizedStruct for etclite_import_options {
    const SIZE_MIN: usize = 24;
}

/// Figures of an open store, in `format`, one of `ETCLITE_STATS_..`. Reads no storage. The buffer must be freed by
/// `etclite_buf_free`. New figures come with new releases.
///
/// Errors: `CLOSED`; `UNSUPPORTED` for `ETCLITE_STATS_PROMETHEUS` without the feature `metrics`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_stats(
    db: *const etclite_db,
    format: u32,
    stats: *mut etclite_buf,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let stats = out_buf(stats)?;
            if !matches!(format, ETCLITE_STATS_JSON | ETCLITE_STATS_PROMETHEUS) {
                return Err(Failure::invalid("an unknown format"));
            }
            let database = database(db)?;
            etclite::host::check_open(&database.db)?;
            let text = match format {
                ETCLITE_STATS_JSON => json(&database.db.stats(), &database.db.health()),
                _ => prometheus(&database.db)?,
            };
            *stats = publish(text.into_bytes())?;
            Ok(ETCLITE_OK)
        })
    }
}

fn json(stats: &Stats, health: &Health) -> String {
    let health = match health {
        Health::Ok => "ok",
        Health::ReadOnly => "read_only",
        Health::Degraded(_) => "degraded",
        Health::Poisoned(_) => "poisoned",
        Health::Closed => "closed",
        _ => "unknown",
    };
    let object = Object::new()
        .with("health", string(health))
        .with("revision", stats.revision.get())
        .with("compact_revision", stats.compact_revision.get())
        .with("synced_revision", stats.synced_revision.get())
        .with("recovered_revision", stats.recovered_revision.get());
    let figures = [
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
    ];
    figures.into_iter().fold(object, |object, (name, figure)| object.with(name, figure)).done()
}

#[cfg(feature = "metrics")]
fn prometheus(db: &Db) -> Result<String, Failure> {
    Ok(db.metrics())
}

#[cfg(not(feature = "metrics"))]
fn prometheus(_db: &Db) -> Result<String, Failure> {
    Err(Failure::unsupported("built without the feature metrics"))
}

/// Writes a copy of the store, as of now, to the new directory `path`: history, leases and all, under an id of its own.
/// It appears whole, durable, or not at all; writes go on meanwhile. Works on a poisoned store too. `flags` must be 0.
///
/// Errors: `IO` if the path exists or cannot be written, `NO_SPACE`, `CORRUPT`, `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_backup(
    db: *const etclite_db,
    path: *const u8,
    path_len: usize,
    flags: u32,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the path.
    unsafe {
        enter(err, || {
            let path = crate::argument::path(path, path_len)?;
            check_flags(flags, 0)?;
            database(db)?.db.backup(path)?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Makes the new store `target` from the copy `source`, which is checked before and stays as it is. The store appears
/// whole, durable, or not at all, under an id of its own; it is not opened. `options` may be null: all defaults.
///
/// Errors: as `etclite_open`, of the copy; `CORRUPT` if it is damaged; `IO` if the target exists or cannot be written,
/// `NO_SPACE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_restore(
    source: *const u8,
    source_len: usize,
    target: *const u8,
    target_len: usize,
    options: *const etclite_restore_options,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the paths and the options.
    unsafe {
        enter(err, || {
            let (source, target) = (path(source, source_len)?, path(target, target_len)?);
            restore(source, target, &restore_options(options)?)?;
            Ok(ETCLITE_OK)
        })
    }
}

/// # Safety
/// As [`options`].
unsafe fn restore_options(place: *const etclite_restore_options) -> Result<BackupOptions, Failure> {
    // SAFETY: as the caller promises.
    let given = unsafe { options(place) }?;
    check_flags(given.flags, ETCLITE_RESTORE_MARK_COMPACTED)?;
    check_reserved(given.reserved)?;
    Ok(BackupOptions {
        bump_revision: unsigned(given.bump_revision)?,
        mark_compacted: given.flags & ETCLITE_RESTORE_MARK_COMPACTED != 0,
    })
}

fn restore(source: &Path, target: &Path, options: &BackupOptions) -> Result<(), Failure> {
    let db = Options::new().create(false).read_only(true).open(source)?;
    if let Some(problem) = db.check()?.problems.into_iter().next() {
        let what = "the copy is damaged, as a check tells";
        return Err(Error::Corrupt { file: problem.file, offset: problem.offset, what }.into());
    }
    db.backup_with(target, options, &mut |_, _| {})?;
    Ok(db.close()?)
}

/// Makes the new store `target` from an etcd snapshot: a file written by `etcdctl snapshot save`, or a member's
/// `member/snap/db` with `ETCLITE_IMPORT_SKIP_HASH_CHECK`. The store appears whole, durable, or not at all; it is not
/// opened. `options` may be null: all defaults.
///
/// Errors: `NOT_A_DATABASE` if the source is no snapshot; `CORRUPT`; `INVALID_ARGUMENT` if it has no hash; `LOCKED` if an
/// etcd has it open; `FORMAT_TOO_NEW`; `REQUEST_TOO_LARGE`; `IO` if the target exists or a file cannot be read or
/// written, `NO_SPACE`; `UNSUPPORTED` without the feature `import-etcd`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_import_etcd(
    source: *const u8,
    source_len: usize,
    target: *const u8,
    target_len: usize,
    options: *const etclite_import_options,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the paths and the options.
    unsafe {
        enter(err, || {
            let (source, target) = (path(source, source_len)?, path(target, target_len)?);
            let given = crate::argument::options(options)?;
            check_flags(given.flags, ETCLITE_IMPORT_SKIP_HASH_CHECK | ETCLITE_IMPORT_MARK_COMPACTED)?;
            check_reserved(given.reserved)?;
            import(source, target, &given, unsigned(given.bump_revision)?)?;
            Ok(ETCLITE_OK)
        })
    }
}

#[cfg(feature = "import-etcd")]
fn import(source: &Path, target: &Path, given: &etclite_import_options, bump_revision: u64) -> Result<(), Failure> {
    let options = etclite::import::ImportOptions {
        skip_hash_check: given.flags & ETCLITE_IMPORT_SKIP_HASH_CHECK != 0,
        mark_compacted: given.flags & ETCLITE_IMPORT_MARK_COMPACTED != 0,
        bump_revision,
    };
    etclite::import::import_etcd(source, target, &options, &mut |_| {})?;
    Ok(())
}

#[cfg(not(feature = "import-etcd"))]
fn import(_source: &Path, _target: &Path, _given: &etclite_import_options, _bump: u64) -> Result<(), Failure> {
    Err(Failure::unsupported("built without the feature import-etcd"))
}

/// Checks the store in the directory `path`, which must not be open elsewhere, and changes nothing. `report` gets a JSON
/// object: `clean` is whether nothing is wrong; `problems` has an object with `file`, `offset` and `what` for each thing
/// that is. The buffer must be freed by `etclite_buf_free`. `flags` are `ETCLITE_CHECK_..`.
///
/// Returns `ETCLITE_OK` when it has looked, whatever it has found.
///
/// Errors: as `etclite_open`, but for `CORRUPT`, which is in the report; `IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_check(
    path: *const u8,
    path_len: usize,
    flags: u32,
    report: *mut etclite_buf,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the path and the out parameter.
    unsafe {
        enter(err, || {
            let report = out_buf(report)?;
            let path = crate::argument::path(path, path_len)?;
            check_flags(flags, ETCLITE_CHECK_DEEP)?;
            let found = check(path, &CheckOptions { deep: flags & ETCLITE_CHECK_DEEP != 0 })?;
            *report = publish(report_of(&found).into_bytes())?;
            Ok(ETCLITE_OK)
        })
    }
}

fn check(path: &Path, options: &CheckOptions) -> Result<CheckReport, Failure> {
    // Opened for writing, what a crash has left would be mended.
    let opened = Options::new().create(false).read_only(true).open(path);
    match opened.and_then(|db| db.check_with(options, &mut |_, _| {})) {
        Err(Error::Corrupt { file, offset, what }) => {
            Ok(CheckReport { problems: vec![Problem { file, offset, what: what.to_owned() }] })
        }
        report => Ok(report?),
    }
}

fn report_of(report: &CheckReport) -> String {
    let problem = |problem: &Problem| {
        Object::new()
            .with("file", string(&problem.file.to_string_lossy()))
            .with("offset", problem.offset)
            .with("what", string(&problem.what))
            .done()
    };
    let problems = array(report.problems.iter().map(problem));
    Object::new().with("clean", report.is_clean()).with("problems", problems).done()
}

/// A hash of everything that is retained up to a revision; 0 is the latest. Stores that are equal have equal hashes, if
/// they are compacted at the same revision. `at_revision` and `compact_revision`, which may be null, get of what it is.
///
/// Errors: `COMPACTED`, `FUTURE_REVISION`, `IO`, `CORRUPT`, `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_hash(
    db: *const etclite_db,
    revision: i64,
    hash: *mut u32,
    at_revision: *mut i64,
    compact_revision: *mut i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let hash = out(hash)?;
            let revision = unsigned(revision)?;
            let answer = database(db)?.db.hash(revision)?;
            *hash = answer.hash;
            for (place, value) in [(at_revision, answer.hash_revision), (compact_revision, answer.compact_revision)] {
                if !place.is_null() {
                    *out(place)? = signed(value.get());
                }
            }
            Ok(ETCLITE_OK)
        })
    }
}

/// Merges what is in memory and in files into as few files as there can be, and gives back the space of what was
/// compacted. Never needed: as much of it as is worth it goes on in the background. Reads and writes go on meanwhile.
///
/// Errors: `READ_ONLY`, `NO_SPACE`, `POISONED`, `CLOSED`, `IO`, `CORRUPT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_defrag(db: *const etclite_db, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            etclite::host::defragment(&database(db)?.db)?;
            Ok(ETCLITE_OK)
        })
    }
}

#[cfg(test)]
mod tests;
