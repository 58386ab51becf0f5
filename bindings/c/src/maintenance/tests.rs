//! Figures, copies and checks.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests, which are the outside")]

use std::path::PathBuf;
use std::ptr;

use super::*;
use crate::buf::etclite_buf_free;
use crate::code::*;
use crate::database::{
    ETCLITE_OPEN_IN_MEMORY, ETCLITE_OPEN_NO_CREATE, etclite_close, etclite_open, etclite_open_options,
};

/// A place and its length.
fn of(path: &Path) -> (*const u8, usize) {
    let bytes = path.as_os_str().as_encoded_bytes();
    (bytes.as_ptr(), bytes.len())
}

fn open(path: &Path, flags: u32) -> *mut etclite_db {
    // SAFETY: zero is the default of each field.
    let mut options: etclite_open_options = unsafe { std::mem::zeroed() };
    (options.struct_size, options.flags) = (size_of::<etclite_open_options>(), flags);
    let ((path, len), mut db) = (of(path), ptr::null_mut());
    // SAFETY: path, options and out parameters live until it returns.
    let opened = unsafe { etclite_open(path, len, &raw const options, &raw mut db, ptr::null_mut()) };
    assert_eq!(opened, ETCLITE_OK);
    db
}

fn memory() -> *mut etclite_db {
    open(Path::new(""), ETCLITE_OPEN_IN_MEMORY)
}

fn rust(db: *mut etclite_db) -> Db {
    database(db).unwrap().db.clone()
}

fn close(db: *mut etclite_db) {
    // SAFETY: no place for an error.
    assert_eq!(unsafe { etclite_close(db, ptr::null_mut()) }, ETCLITE_OK);
}

/// What a call puts into its buffer, or its status.
fn text(call: impl FnOnce(*mut etclite_buf) -> i32) -> Result<String, i32> {
    let mut buf = etclite_buf { data: ptr::dangling(), len: 7, token: 7 };
    match call(&raw mut buf) {
        ETCLITE_OK => {
            // SAFETY: the buffer's bytes, until it is freed.
            let text = String::from_utf8(unsafe { crate::argument::bytes(buf.data, buf.len) }.unwrap().to_vec());
            // SAFETY: a buffer.
            assert_eq!(unsafe { etclite_buf_free(&raw mut buf) }, ETCLITE_OK);
            Ok(text.unwrap())
        }
        failure => {
            assert_eq!((buf.data.is_null(), buf.len, buf.token), (true, 0, 0));
            Err(failure)
        }
    }
}

fn stats(db: *const etclite_db, format: u32) -> Result<String, i32> {
    // SAFETY: the out parameter lives until it returns.
    text(|buf| unsafe { etclite_stats(db, format, buf, ptr::null_mut()) })
}

fn check(path: &Path, flags: u32) -> Result<String, i32> {
    let (path, len) = of(path);
    // SAFETY: path and out parameter live until it returns.
    text(|buf| unsafe { etclite_check(path, len, flags, buf, ptr::null_mut()) })
}

fn backup(db: *const etclite_db, path: &Path) -> i32 {
    let (path, len) = of(path);
    // SAFETY: the path lives until it returns.
    unsafe { etclite_backup(db, path, len, 0, ptr::null_mut()) }
}

fn restore(source: &Path, target: &Path, bump_revision: i64, flags: u32) -> i32 {
    let options = etclite_restore_options {
        struct_size: size_of::<etclite_restore_options>(),
        bump_revision,
        flags,
        reserved: 0,
    };
    let ((from, from_len), (to, to_len)) = (of(source), of(target));
    // SAFETY: paths and options live until it returns.
    unsafe { etclite_restore(from, from_len, to, to_len, &raw const options, ptr::null_mut()) }
}

fn hash(db: *const etclite_db, revision: i64) -> Result<(u32, i64, i64), i32> {
    let (mut hash, mut at, mut compacted) = (0, -1, -1);
    // SAFETY: the out parameters live until it returns.
    match unsafe { etclite_hash(db, revision, &raw mut hash, &raw mut at, &raw mut compacted, ptr::null_mut()) } {
        ETCLITE_OK => Ok((hash, at, compacted)),
        failure => Err(failure),
    }
}

/// Overwrites a byte in the middle of the first file of a directory.
fn damage(dir: PathBuf) {
    let file = std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn stats_are_json_or_prometheus() {
    let db = memory();
    rust(db).put("a", "1").unwrap();
    let json = stats(db, ETCLITE_STATS_JSON).unwrap();
    assert!(json.starts_with(r#"{"health":"ok","revision":2,"compact_revision":0,"#), "{json}");
    assert!(json.contains(r#","watches":0,"#) && json.ends_with('}'), "{json}");
    let prometheus = stats(db, ETCLITE_STATS_PROMETHEUS);
    if cfg!(feature = "metrics") {
        assert!(prometheus.unwrap().contains("\netcd_debugging_mvcc_current_revision 2\n"));
    } else {
        assert_eq!(prometheus, Err(ETCLITE_E_UNSUPPORTED));
    }
    assert_eq!(stats(db, 2), Err(ETCLITE_E_INVALID_ARGUMENT));
    etclite::host::poison(&rust(db));
    assert!(stats(db, ETCLITE_STATS_JSON).unwrap().starts_with(r#"{"health":"poisoned","#));
    rust(db).close().unwrap();
    assert_eq!(stats(db, ETCLITE_STATS_JSON), Err(ETCLITE_E_CLOSED));
    // SAFETY: null is refused.
    assert_eq!(unsafe { etclite_stats(db, 0, ptr::null_mut(), ptr::null_mut()) }, ETCLITE_E_MISUSE);
    close(db);
}

#[test]
fn a_copy_is_a_store_and_is_restored_above_what_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let [store, copy, restored] = ["store", "copy", "restored"].map(|name| dir.path().join(name));
    let db = open(&store, 0);
    rust(db).put("a", "1").unwrap();
    let revision = rust(db).put("a", "2").unwrap().revision;
    assert_eq!(backup(db, &copy), ETCLITE_OK);
    assert_eq!(backup(db, &copy), ETCLITE_E_IO, "it is there already");
    let (path, len) = of(&restored);
    // SAFETY: the path lives until it returns.
    assert_eq!(unsafe { etclite_backup(db, path, len, 1, ptr::null_mut()) }, ETCLITE_E_INVALID_ARGUMENT);
    assert_eq!(restore(&copy, &restored, 1_000, 0), ETCLITE_OK);
    assert_eq!(restore(&copy, &restored, 0, 0), ETCLITE_E_IO, "it is there already");
    let again = open(&restored, ETCLITE_OPEN_NO_CREATE);
    assert_eq!(rust(again).revision(), revision + 1_000);
    assert_eq!(rust(again).get("a").unwrap().unwrap().value, "2");
    assert!(rust(again).get_at("a", revision).is_err(), "history is left out");
    close(again);
    let copied = open(&copy, ETCLITE_OPEN_NO_CREATE);
    assert_eq!(hash(copied, 0), hash(db, 0));
    assert_eq!(hash(db, 0).unwrap().1, signed(revision.get()));
    assert_eq!(rust(copied).get_at("a", revision - 1).unwrap().unwrap().value, "1");
    close(copied);
    close(db);
}

#[test]
fn a_damaged_copy_is_not_restored_and_a_check_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let [copy, restored] = ["copy", "restored"].map(|name| dir.path().join(name));
    let db = memory();
    rust(db).put("a", vec![b'x'; 10_000]).unwrap();
    assert_eq!(backup(db, &copy), ETCLITE_OK);
    close(db);
    for flags in [0, ETCLITE_CHECK_DEEP] {
        assert_eq!(check(&copy, flags).unwrap(), r#"{"clean":true,"problems":[]}"#);
    }
    assert_eq!(restore(&copy, &restored, 0, ETCLITE_RESTORE_MARK_COMPACTED), ETCLITE_OK);
    damage(copy.join("run"));
    let report = check(&copy, 0).unwrap();
    assert!(report.starts_with(r#"{"clean":false,"problems":[{"file":"run/"#), "{report}");
    assert_eq!(restore(&copy, &restored.with_extension("2"), 0, 0), ETCLITE_E_CORRUPT);
    assert!(!restored.with_extension("2").exists());
    assert_eq!(check(&dir.path().join("nothing"), 0), Err(ETCLITE_E_IO));
    assert_eq!(check(&copy, 2), Err(ETCLITE_E_INVALID_ARGUMENT));
}

#[test]
fn a_store_that_is_open_is_not_checked_beside() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let db = open(&store, 0);
    assert_eq!(check(&store, 0), Err(ETCLITE_E_LOCKED));
    close(db);
    assert_eq!(check(&store, 0).unwrap(), r#"{"clean":true,"problems":[]}"#);
}

#[test]
fn a_hash_is_of_a_revision() {
    let db = memory();
    let rust = rust(db);
    let first = signed(rust.put("a", "1").unwrap().revision.get());
    let before = hash(db, 0).unwrap();
    rust.put("a", "2").unwrap();
    assert_eq!(hash(db, first).unwrap(), before);
    assert_ne!(hash(db, 0).unwrap().0, before.0);
    assert_eq!(hash(db, first + 9), Err(ETCLITE_E_FUTURE_REVISION));
    rust.compact(rust.revision()).unwrap();
    assert_eq!(hash(db, first), Err(ETCLITE_E_COMPACTED));
    assert_eq!(hash(db, -1), Err(ETCLITE_E_INVALID_ARGUMENT));
    let mut alone = 0;
    let none = ptr::null_mut();
    // SAFETY: the out parameter lives until it returns.
    assert_eq!(unsafe { etclite_hash(db, 0, &raw mut alone, none, none, ptr::null_mut()) }, ETCLITE_OK);
    assert_eq!(Ok((alone, first + 1, first + 1)), hash(db, 0));
    close(db);
}

#[test]
fn defragmenting_leaves_one_file_with_what_is_retained() {
    let db = memory();
    let rust = rust(db);
    for round in 0..3 {
        rust.put("a", round.to_string()).unwrap();
        rust.flush().unwrap();
    }
    rust.compact(rust.revision()).unwrap();
    // SAFETY: no place for an error.
    let defrag = || unsafe { etclite_defrag(db, ptr::null_mut()) };
    assert_eq!(defrag(), ETCLITE_OK);
    assert_eq!((rust.stats().runs, rust.stats().run_entries), (1, 1));
    assert_eq!(rust.get("a").unwrap().unwrap().value, "2");
    assert_eq!(defrag(), ETCLITE_OK);
    rust.close().unwrap();
    assert_eq!(defrag(), ETCLITE_E_CLOSED);
    close(db);
}

fn import(source: &Path, target: &Path, flags: u32, bump_revision: i64) -> i32 {
    let struct_size = size_of::<etclite_import_options>();
    let options = etclite_import_options { struct_size, bump_revision, flags, reserved: 0 };
    let ((from, from_len), (to, to_len)) = (of(source), of(target));
    // SAFETY: paths and options live until it returns.
    unsafe { etclite_import_etcd(from, from_len, to, to_len, &raw const options, ptr::null_mut()) }
}

#[test]
fn an_etcd_snapshot_is_imported_or_that_is_unsupported() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/etcd-snapshot/snapshot.db");
    let (as_it_is, bumped) = (dir.path().join("one"), dir.path().join("two"));
    if !cfg!(feature = "import-etcd") {
        assert_eq!(import(&snapshot, &as_it_is, 0, 0), ETCLITE_E_UNSUPPORTED);
        return;
    }
    assert_eq!(import(&snapshot, &as_it_is, 0, 0), ETCLITE_OK);
    assert_eq!(import(&snapshot, &as_it_is, 0, 0), ETCLITE_E_IO, "it is there already");
    assert_eq!(import(&snapshot, &bumped, ETCLITE_IMPORT_MARK_COMPACTED, 1_000), ETCLITE_OK);
    let revisions = [as_it_is, bumped].map(|store| {
        let db = open(&store, ETCLITE_OPEN_NO_CREATE);
        let revisions = (rust(db).revision(), rust(db).compact_revision());
        close(db);
        revisions
    });
    assert_eq!(revisions[1], (revisions[0].0 + 1_000, revisions[0].0 + 1_000));
}

#[test]
fn what_is_no_snapshot_is_not_imported() {
    let dir = tempfile::tempdir().unwrap();
    let (file, target) = (dir.path().join("file"), dir.path().join("target"));
    std::fs::write(&file, vec![7; 100_000]).unwrap();
    let expected = if cfg!(feature = "import-etcd") { ETCLITE_E_NOT_A_DATABASE } else { ETCLITE_E_UNSUPPORTED };
    assert_eq!(import(&file, &target, ETCLITE_IMPORT_SKIP_HASH_CHECK, 0), expected);
    assert_eq!(import(&file, &target, 4, 0), ETCLITE_E_INVALID_ARGUMENT);
    assert_eq!(import(&file, &target, 0, -1), ETCLITE_E_INVALID_ARGUMENT);
    assert!(!target.exists());
}
