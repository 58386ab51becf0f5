//! Sessions, locks and elections as C calls them. Who waits stands in line once its key is there: that is what is waited
//! for before a test goes on.

#![allow(clippy::unwrap_used, reason = "tests")]

mod election;
mod mutex;
mod session;

use std::ptr;
use std::time::Duration;

use etclite::{Db, prefix};

use crate::code::*;
use crate::coordination::session::*;
use crate::database::*;
use crate::error::etclite_error;
use crate::result::*;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const LONG_MS: i64 = 60_000;

/// A handle that other threads may use, as C's are.
struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: a token, which nobody follows.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn get(self) -> *mut T {
        self.0
    }
}

/// Where functions write their errors; none looks at what is in it.
fn nothing() -> etclite_error {
    etclite_error { code: 0, os_error: 0, detail: 0, message: [0; 240] }
}

/// The status of a call, and that what it wrote agrees with it.
fn status(call: impl FnOnce(*mut etclite_error) -> i32) -> i32 {
    let mut error = nothing();
    let status = call(&raw mut error);
    assert_eq!(error.code, status.min(0), "what was written is not what was returned");
    status
}

/// What a call puts into its out parameter.
fn made<T>(call: impl FnOnce(*mut *mut T, *mut etclite_error) -> i32) -> Shared<T> {
    let mut handle = ptr::dangling_mut();
    assert_eq!(status(|err| call(&raw mut handle, err)), ETCLITE_OK);
    Shared(handle)
}

fn memory() -> Shared<etclite_db> {
    // SAFETY: zero is the default of each field.
    let mut options: etclite_open_options = unsafe { std::mem::zeroed() };
    options.struct_size = size_of::<etclite_open_options>();
    options.flags = ETCLITE_OPEN_IN_MEMORY;
    // SAFETY: options and out parameters live until it returns; no path.
    made(|db, err| unsafe { etclite_open(ptr::null(), 0, &raw const options, db, err) })
}

fn close(db: Shared<etclite_db>) {
    // SAFETY: a place for the error.
    assert_eq!(status(|err| unsafe { etclite_close(db.get(), err) }), ETCLITE_OK);
}

/// The same store, for Rust.
fn rust(db: Shared<etclite_db>) -> Db {
    database(db.get()).unwrap().db.clone()
}

fn session_options(ttl_ms: i64, lease: i64, lock_delay_ms: i64) -> etclite_session_options {
    etclite_session_options { struct_size: size_of::<etclite_session_options>(), ttl_ms, lease, lock_delay_ms }
}

fn session(db: Shared<etclite_db>) -> Shared<etclite_session> {
    session_with(db, session_options(0, 0, 0))
}

fn session_with(db: Shared<etclite_db>, options: etclite_session_options) -> Shared<etclite_session> {
    // SAFETY: options and out parameters live until it returns.
    made(|session, err| unsafe { etclite_session_open(db.get(), &raw const options, session, err) })
}

fn end_session(session: Shared<etclite_session>, revoke: i32) -> i32 {
    // SAFETY: a place for the error.
    status(|err| unsafe { etclite_session_close(session.get(), revoke, err) })
}

fn lease(session: Shared<etclite_session>) -> i64 {
    let mut lease = 0;
    // SAFETY: out parameters that live until it returns.
    assert_eq!(status(|err| unsafe { etclite_session_lease(session.get(), &raw mut lease, err) }), ETCLITE_OK);
    lease
}

/// The line of a name: its keys by name.
fn line(db: &Db, name: &str) -> Vec<String> {
    let keys = db.range(prefix(format!("{name}/"))).unwrap().map(|kv| kv.unwrap().key);
    keys.map(|key| String::from_utf8(key.to_vec()).unwrap()).collect()
}

/// Waits until the line of a name has so many keys.
fn await_line(db: &Db, name: &str, count: usize) {
    let mut watch = db.watch(prefix(format!("{name}/"))).start().unwrap();
    while line(db, name).len() != count {
        assert!(watch.next_timeout(LONG).unwrap().is_some(), "the line of {name} never has {count} keys");
    }
}

/// The one key of a result, with its value and its create and mod revisions; the result is freed.
fn only(result: Shared<etclite_result>) -> (String, String, i64, i64) {
    let (mut kvs, mut count) = (ptr::null(), 0);
    // SAFETY: out parameters that live until it returns.
    let read = |err| unsafe { etclite_result_kvs(result.get(), &raw mut kvs, &raw mut count, err) };
    assert_eq!((status(read), count), (ETCLITE_OK, 1));
    // SAFETY: there is one, and its result is not freed yet.
    let kv: &etclite_kv = unsafe { &*kvs };
    let text = |ptr, len| {
        // SAFETY: as above.
        String::from_utf8(unsafe { crate::argument::bytes(ptr, len) }.unwrap().to_vec()).unwrap()
    };
    let only = (text(kv.key, kv.key_len), text(kv.value, kv.value_len), kv.create_revision, kv.mod_revision);
    // SAFETY: it takes any pointer.
    assert_eq!(unsafe { etclite_result_free(result.get()) }, ETCLITE_OK);
    only
}
