//! What the tests of this crate share: a store, used through the functions that C calls.

#![allow(clippy::undocumented_unsafe_blocks, reason = "all that is passed in lives in the caller's frame")]

use std::ptr;

use crate::code::{ETCLITE_NOT_FOUND, ETCLITE_OK};
use crate::database::{ETCLITE_OPEN_IN_MEMORY, etclite_close, etclite_db, etclite_open, etclite_open_options};
use crate::error::etclite_error;
use crate::kv::{etclite_delete, etclite_get, etclite_put, etclite_put_options};
use crate::result::{
    etclite_header, etclite_kv, etclite_result, etclite_result_free, etclite_result_header, etclite_result_kvs,
};

/// A store in memory. Closed when dropped, if it was not before.
pub(crate) struct Store {
    pub(crate) db: *mut etclite_db,
}

// SAFETY: a handle, which any thread may use.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    pub(crate) fn new() -> Store {
        let mut options = zeroed::<etclite_open_options>();
        options.struct_size = size_of::<etclite_open_options>();
        options.flags = ETCLITE_OPEN_IN_MEMORY;
        let mut db = ptr::null_mut();
        ok(|err| unsafe { etclite_open(ptr::null(), 0, &raw const options, &raw mut db, err) });
        Store { db }
    }

    /// Puts, and returns the revision.
    pub(crate) fn put(&self, key: &str, value: &str) -> i64 {
        self.put_leased(key, value, 0)
    }

    pub(crate) fn put_leased(&self, key: &str, value: &str, lease: i64) -> i64 {
        let mut options = zeroed::<etclite_put_options>();
        options.struct_size = size_of::<etclite_put_options>();
        options.lease = lease;
        let (key, value) = (key.as_bytes(), value.as_bytes());
        let mut result = ptr::null_mut();
        ok(|err| unsafe {
            let (key, value) = ((key.as_ptr(), key.len()), (value.as_ptr(), value.len()));
            etclite_put(self.db, key.0, key.1, value.0, value.1, &raw const options, &raw mut result, err)
        });
        let revision = revision(result);
        assert_eq!(unsafe { etclite_result_free(result) }, ETCLITE_OK);
        revision
    }

    /// Deletes a key, and returns how many there were.
    pub(crate) fn delete(&self, key: &str) -> i64 {
        let key = key.as_bytes();
        let mut deleted = 0;
        ok(|err| unsafe {
            let none = (ptr::null(), ptr::null_mut());
            etclite_delete(self.db, key.as_ptr(), key.len(), none.0, 0, 0, &raw mut deleted, none.1, err)
        });
        deleted
    }

    /// The value of a key at a revision, if it is there.
    pub(crate) fn get(&self, key: &str, revision: i64) -> Option<String> {
        let key = key.as_bytes();
        let mut result = ptr::null_mut();
        let status =
            status(|err| unsafe { etclite_get(self.db, key.as_ptr(), key.len(), revision, &raw mut result, err) });
        if status == ETCLITE_NOT_FOUND {
            return None;
        }
        assert_eq!(status, ETCLITE_OK);
        let value = kvs(result)[0].split_once('=').expect("shown as such").1.to_owned();
        assert_eq!(unsafe { etclite_result_free(result) }, ETCLITE_OK);
        Some(value)
    }

    pub(crate) fn close(&self) {
        ok(|err| unsafe { etclite_close(self.db, err) });
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        unsafe { etclite_close(self.db, ptr::null_mut()) };
    }
}

/// The revision of a result.
pub(crate) fn revision(result: *const etclite_result) -> i64 {
    let mut header = zeroed::<etclite_header>();
    ok(|err| unsafe { etclite_result_header(result, &raw mut header, err) });
    header.revision
}

/// The keys of a result, each as `key=value`.
pub(crate) fn kvs(result: *const etclite_result) -> Vec<String> {
    let (mut views, mut count) = (ptr::null(), 0);
    ok(|err| unsafe { etclite_result_kvs(result, &raw mut views, &raw mut count, err) });
    (0..count).map(|index| show(unsafe { &*views.add(index) })).collect()
}

pub(crate) fn show(kv: &etclite_kv) -> String {
    format!("{}={}", text(kv.key, kv.key_len), text(kv.value, kv.value_len))
}

fn text(start: *const u8, len: usize) -> String {
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(start, len) }).into_owned()
}

/// A struct as C's `= {0}` makes it.
pub(crate) fn zeroed<T: crate::argument::Plain>() -> T {
    unsafe { std::mem::zeroed() }
}

/// A call that must go well.
pub(crate) fn ok(call: impl FnOnce(*mut etclite_error) -> i32) {
    let mut error = empty_error();
    let status = call(&raw mut error);
    assert_eq!(status, ETCLITE_OK, "{}", message(&error));
}

/// A call, whatever it returns.
pub(crate) fn status(call: impl FnOnce(*mut etclite_error) -> i32) -> i32 {
    fails(call).0
}

/// A call with its status and the detail of its error.
pub(crate) fn fails(call: impl FnOnce(*mut etclite_error) -> i32) -> (i32, i64) {
    let mut error = empty_error();
    let status = call(&raw mut error);
    assert_eq!(error.code, status.min(0), "the error tells the status, and is written for none above 0");
    (status, error.detail)
}

fn empty_error() -> etclite_error {
    etclite_error { code: 0, os_error: 0, detail: 0, message: [0; 240] }
}

#[allow(clippy::cast_sign_loss, reason = "bytes of UTF-8")]
fn message(error: &etclite_error) -> String {
    let bytes: Vec<u8> = error.message.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
