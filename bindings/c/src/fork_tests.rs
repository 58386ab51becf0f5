//! Forks, panics and the last handle in a process of their own. Each test here starts this program once more, for the one test that is
//! its other side, so that no other test's thread stands in the middle of something when it forks.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests, which are the outside")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::ptr::{null, null_mut};

use crate::buf::{etclite_buf, etclite_buf_free};
use crate::call::etclite_call;
use crate::code::*;
use crate::coordination::mutex::*;
use crate::coordination::{election::*, session::*};
use crate::database::*;
use crate::kv::*;
use crate::maintenance::*;
use crate::result::*;
use crate::testing::etclite_testing_panic;
use crate::txn::*;

/// Where the other side finds its directory.
const DIR: &str = "ETCLITE_FFI_TEST_DIR";

/// Runs the test of that name in a process of its own.
fn run(side: &str, dir: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("fork_tests::{side}"), "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    let output = command.env(DIR, dir).output().unwrap();
    let told = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).join("\n");
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    output
}

/// None unless this is the other side.
fn dir() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

/// What C would hold of a store.
struct Held {
    db: *mut etclite_db,
    result: *mut etclite_result,
    buf: etclite_buf,
    session: *mut etclite_session,
    mutex: *mut etclite_mutex,
    election: *mut etclite_election,
}

impl Held {
    /// A store at a path, with a key, a lock that is held and a lead.
    fn new(path: &Path) -> Held {
        let path = path.as_os_str().as_encoded_bytes();
        let mut held = Held {
            db: null_mut(),
            result: null_mut(),
            buf: etclite_buf { data: null(), len: 0, token: 0 },
            session: null_mut(),
            mutex: null_mut(),
            election: null_mut(),
        };
        // SAFETY: all that is passed in lives in this frame.
        let made = unsafe {
            [
                etclite_open(path.as_ptr(), path.len(), null(), &raw mut held.db, null_mut()),
                etclite_put(held.db, b"a".as_ptr(), 1, b"1".as_ptr(), 1, null(), null_mut(), null_mut()),
                etclite_get(held.db, b"a".as_ptr(), 1, 0, &raw mut held.result, null_mut()),
                etclite_stats(held.db, ETCLITE_STATS_JSON, &raw mut held.buf, null_mut()),
                etclite_session_open(held.db, null(), &raw mut held.session, null_mut()),
                etclite_mutex_new(held.session, b"m".as_ptr(), 1, &raw mut held.mutex, null_mut()),
                etclite_mutex_lock(held.mutex, -1, null_mut()),
                etclite_election_new(held.session, b"e".as_ptr(), 1, &raw mut held.election, null_mut()),
                etclite_election_campaign(held.election, b"v".as_ptr(), 1, -1, null_mut()),
            ]
        };
        assert_eq!(made, [ETCLITE_OK; 9]);
        held
    }

    /// Uses each handle once, and lets go of it.
    fn use_up(mut self) -> Vec<i32> {
        let mut lease = 0;
        // SAFETY: all that is passed in lives in this frame.
        unsafe {
            vec![
                etclite_mutex_unlock(self.mutex, null_mut()),
                etclite_election_resign(self.election, null_mut()),
                etclite_session_lease(self.session, &raw mut lease, null_mut()),
                etclite_put(self.db, b"b".as_ptr(), 1, b"2".as_ptr(), 1, null(), null_mut(), null_mut()),
                etclite_mutex_free(self.mutex),
                etclite_election_free(self.election),
                etclite_session_close(self.session, 1, null_mut()),
                etclite_buf_free(&raw mut self.buf),
                etclite_result_free(self.result),
                etclite_close(self.db, null_mut()),
            ]
        }
    }

    /// Every call there is on these handles.
    fn all_calls(&mut self) -> Vec<i32> {
        let mut answers = self.calls_on_database();
        answers.extend(self.calls_on_coordination());
        let (mut kvs, mut kv, mut count, mut total, mut more) = (null(), null(), 0, 0, 0);
        // SAFETY: all that is passed in lives in this frame.
        answers.extend(unsafe {
            let mut header: etclite_header = std::mem::zeroed();
            let none = null_mut();
            [
                etclite_result_header(self.result, &raw mut header, none),
                etclite_result_kvs(self.result, &raw mut kvs, &raw mut count, none),
                etclite_result_count(self.result, &raw mut total, none),
                etclite_result_prev(self.result, &raw mut kv, none),
                etclite_result_more(self.result, &raw mut more, none),
                etclite_result_free(self.result),
                etclite_buf_free(&raw mut self.buf),
                etclite_mutex_free(self.mutex),
                etclite_election_free(self.election),
                etclite_session_close(self.session, 1, none),
                etclite_session_close(self.session, 0, none),
                etclite_close(self.db, none),
            ]
        });
        answers
    }

    fn calls_on_database(&self) -> Vec<i32> {
        let (db, key, none) = (self.db, b"c".as_ptr(), null_mut());
        let (mut result, mut number, mut other, mut hash) = (null_mut(), 0, 0, 0);
        let mut buf = etclite_buf { data: null(), len: 0, token: 0 };
        let mut session = null_mut();
        // SAFETY: all that is passed in lives in this frame.
        unsafe {
            let mut status: etclite_status_info = std::mem::zeroed();
            status.struct_size = size_of::<etclite_status_info>();
            vec![
                etclite_put(db, key, 1, key, 1, null(), null_mut(), none),
                etclite_get(db, key, 1, 0, &raw mut result, none),
                etclite_range(db, key, 1, null(), 0, null(), &raw mut result, none),
                etclite_delete(db, key, 1, null(), 0, 0, null_mut(), null_mut(), none),
                etclite_compact(db, 2, 0, none),
                etclite_status(db, &raw mut status, none),
                etclite_sync(db, none),
                etclite_revision(db, &raw mut number, &raw mut other, none),
                etclite_stats(db, ETCLITE_STATS_JSON, &raw mut buf, none),
                etclite_backup(db, b"/nowhere/at/all".as_ptr(), 15, 0, none),
                etclite_hash(db, 0, &raw mut hash, null_mut(), null_mut(), none),
                etclite_defrag(db, none),
                etclite_session_open(db, null(), &raw mut session, none),
                etclite_testing_panic(db, none),
            ]
        }
    }

    fn calls_on_coordination(&self) -> Vec<i32> {
        let (session, mutex, election, none) = (self.session, self.mutex, self.election, null_mut());
        let (mut number, mut flag, mut len, mut key) = (0, 0, 0, null());
        let (mut result, mut new_mutex, mut new_election) = (null_mut(), null_mut(), null_mut());
        let v = b"v".as_ptr();
        // SAFETY: all that is passed in lives in this frame.
        unsafe {
            vec![
                etclite_session_lease(session, &raw mut number, none),
                etclite_session_expired(session, &raw mut flag, none),
                etclite_mutex_new(session, v, 1, &raw mut new_mutex, none),
                etclite_mutex_lock(mutex, -1, none),
                etclite_mutex_try_lock(mutex, none),
                etclite_mutex_unlock(mutex, none),
                etclite_mutex_revision(mutex, &raw mut number, none),
                etclite_mutex_key(mutex, &raw mut key, &raw mut len, none),
                etclite_mutex_cancel(mutex, none),
                etclite_election_new(session, v, 1, &raw mut new_election, none),
                etclite_election_campaign(election, v, 1, -1, none),
                etclite_election_proclaim(election, v, 1, none),
                etclite_election_resign(election, none),
                etclite_election_leader(election, &raw mut result, none),
                etclite_election_observe(election, -1, &raw mut result, none),
                etclite_election_cancel(election, none),
            ]
        }
    }
}

/// Runs `body` in a forked child, and returns what it came to.
fn in_forked_child(body: impl FnOnce() -> String) -> String {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: pipe has just returned these descriptors, and nobody else knows them.
    let (mut read, mut write) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    // SAFETY: the child only runs `body`, writes its result and exits.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: takes a number. Standing still is an end, too.
        unsafe { libc::alarm(60) };
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        let told = told.unwrap_or_else(|_| "the child panicked".to_owned());
        let _ = write.write_all(told.as_bytes());
        // SAFETY: ends this process without running what the parent would run at its end.
        unsafe { libc::_exit(0) };
    }
    drop(write);
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    // SAFETY: a null status is allowed.
    assert_eq!(unsafe { libc::waitpid(child, null_mut(), 0) }, child);
    text
}

#[test]
fn in_a_child_every_inherited_handle_is_forked_and_other_stores_can_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    run("forks", dir.path());
    let db = etclite::Db::open(dir.path().join("parent")).unwrap();
    assert_eq!(db.get("b").unwrap().unwrap().value, "2");
    assert_eq!(db.get("c").unwrap(), None, "the child did nothing");
}

#[test]
#[ignore = "the other side of the test of forks"]
fn forks() {
    let Some(dir) = dir() else { return };
    let (store, own) = (dir.join("parent"), dir.join("child"));
    let mut held = Held::new(&store);
    // Several: what a child's threads find where its parent's threads were is a matter of chance.
    for round in 0..5 {
        let told = in_forked_child(|| {
            let answers = held.all_calls();
            let again = held.all_calls();
            let mut db = null_mut();
            let path = store.as_os_str().as_encoded_bytes();
            // SAFETY: path and out parameter live until it returns.
            let opened = unsafe { etclite_open(path.as_ptr(), path.len(), null(), &raw mut db, null_mut()) };
            let used = Held::new(&own).use_up();
            let all = [&answers[..], &again].concat();
            format!("{} {:?} {:?} {opened} {used:?}", answers.len(), all.iter().min(), all.iter().max())
        });
        let forked = Some(ETCLITE_E_FORKED);
        let expected = format!("42 {forked:?} {forked:?} {} {:?}", ETCLITE_E_LOCKED, [ETCLITE_OK; 10]);
        assert_eq!(told, expected, "round {round}");
    }
    // The parent notices nothing.
    assert_eq!(held.use_up(), [ETCLITE_OK; 10]);
}

#[test]
fn a_panic_inside_does_not_reach_the_hosts_stderr_and_one_outside_does() {
    let dir = tempfile::tempdir().unwrap();
    let output = run("panics", dir.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!told.contains("a bug that a test has planted"), "{told}");
    assert!(told.contains("a panic of the host's own"), "{told}");
    assert!(!told.contains("a bug in the background"), "{told}");
}

#[test]
#[ignore = "the other side of the test of panics"]
fn panics() {
    let Some(dir) = dir() else { return };
    let held = Held::new(&dir.join("store"));
    // SAFETY: no place for an error.
    assert_eq!(unsafe { etclite_testing_panic(held.db, null_mut()) }, ETCLITE_E_PANIC);
    assert!(std::panic::catch_unwind(|| panic!("a panic of the host's own")).is_err());
    // As the library starts its threads.
    let ours = std::thread::Builder::new().name("etclite-flush".to_owned());
    assert!(ours.spawn(|| panic!("a bug in the background")).unwrap().join().is_err());
    let used = held.use_up();
    // Nothing is written any more; what only lets go works.
    let (poisoned, ok) = (ETCLITE_E_POISONED, ETCLITE_OK);
    assert_eq!(used[..7], [poisoned, poisoned, ok, poisoned, ok, ok, poisoned]);
    assert_eq!(used[7..9], [ok, ok]);
    let again = etclite::Db::open(dir.join("store")).unwrap();
    assert_eq!((again.get("a").unwrap().unwrap().value, again.get("b").unwrap()), ("1".into(), None));
}

#[test]
fn with_no_handle_left_a_read_is_full_and_a_write_is_indeterminate_and_nothing_is_lost() {
    run("full", tempfile::tempdir().unwrap().path());
}

/// Takes up a handle.
struct Filler;

impl crate::handle::Object for Filler {
    type Opaque = ();
    const KIND: u64 = 63;
}

#[test]
#[ignore = "the other side of the test of the last handle"]
fn full() {
    let Some(dir) = dir() else { return };
    let held = Held::new(&dir.join("store"));
    let (key, none) = (b"k".as_ptr(), null_mut());
    // SAFETY: zero is the default of each field.
    let mut options: etclite_put_options = unsafe { std::mem::zeroed() };
    (options.struct_size, options.flags) = (size_of::<etclite_put_options>(), ETCLITE_PUT_PREV_KV);
    let (mut reads, mut writes) = (null_mut(), null_mut());
    // SAFETY: all that is passed in lives in this frame.
    unsafe {
        assert_eq!(etclite_txn_new(&raw mut reads, none), ETCLITE_OK);
        assert_eq!(etclite_txn_get(reads, key, 1, none), ETCLITE_OK);
        assert_eq!(etclite_txn_new(&raw mut writes, none), ETCLITE_OK);
        assert_eq!(etclite_txn_put(writes, key, 1, key, 1, null(), none), ETCLITE_OK);
    }
    let mut last = null_mut();
    while let Ok(filler) = crate::handle::publish(Filler) {
        last = filler;
    }
    let (mut result, mut answers, mut succeeded, mut deleted) = (null_mut(), null_mut(), 9, 9);
    let (mut len, mut spill) = (9, etclite_buf { data: null(), len: 0, token: 0 });
    let mut call = |op: u32, request: &[u8]| {
        let (out, len, spill) = (null_mut(), &raw mut len, &raw mut spill);
        // SAFETY: all that is passed in lives in this frame.
        unsafe { etclite_call(held.db, op, request.as_ptr(), request.len(), out, 0, len, spill, null_mut()) }
    };
    // The key "k", without and with a value.
    let (get, put) = ([0x0a, 1, b'k'], [0x0a, 1, b'k', 0x12, 1, b'v']);
    let [full, unknown] = [ETCLITE_E_FULL, ETCLITE_E_INDETERMINATE];
    assert_eq!([call(1, &get), call(14, &[]), call(20, &[]), call(21, &[])], [full; 4]);
    assert_eq!([call(4, &[]), call(3, &get)], [full; 2], "what could have written and has not");
    assert_eq!(call(2, &put), unknown);
    // SAFETY: all that is passed in lives in this frame.
    unsafe {
        assert_eq!(etclite_txn_commit(held.db, reads, &raw mut succeeded, &raw mut answers, none), full);
        assert_eq!(etclite_txn_commit(held.db, writes, &raw mut succeeded, &raw mut answers, none), unknown);
        let mut delete = |key: *const u8| {
            etclite_delete(held.db, key, 1, null(), 0, 0, &raw mut deleted, &raw mut result, null_mut())
        };
        assert_eq!([delete(b"?".as_ptr()), delete(key)], [full, unknown]);
        assert_eq!(etclite_put(held.db, key, 1, key, 1, &raw const options, &raw mut result, none), unknown);
        assert_eq!(etclite_election_observe(held.election, 0, &raw mut result, none), full);
        assert_eq!(etclite_election_observe(held.election, 0, &raw mut result, none), full);
        assert!(crate::handle::free::<Filler>(last).is_ok());
        assert_eq!(etclite_election_observe(held.election, 0, &raw mut result, none), ETCLITE_OK, "it comes again");
        assert_eq!(etclite_election_observe(held.election, 0, &raw mut result, none), ETCLITE_TIMEOUT);
    }
}
