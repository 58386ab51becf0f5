//! What only the test suites call, under the feature `_testing`; not in the header.

use crate::database::{database, etclite_db};
use crate::error::etclite_error;
use crate::guard::enter;

/// Panics inside, as a bug of the library would: `PANIC`, and the store takes no more writes until it is reopened.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_testing_panic(db: *const etclite_db, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            let _inside = database(db)?;
            panic!("a bug that a test has planted");
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::ptr;

    use super::*;
    use crate::code::*;
    use crate::database::{ETCLITE_OPEN_IN_MEMORY, etclite_close, etclite_open, etclite_open_options};
    use crate::kv::etclite_put;

    fn memory() -> *mut etclite_db {
        // SAFETY: zero is the default of each field.
        let mut options: etclite_open_options = unsafe { std::mem::zeroed() };
        (options.struct_size, options.flags) = (size_of::<etclite_open_options>(), ETCLITE_OPEN_IN_MEMORY);
        let mut db = ptr::null_mut();
        // SAFETY: options and out parameters live until it returns; no path.
        let opened = unsafe { etclite_open(ptr::null(), 0, &raw const options, &raw mut db, ptr::null_mut()) };
        assert_eq!(opened, ETCLITE_OK);
        db
    }

    fn put(db: *const etclite_db) -> i32 {
        let none = (ptr::null(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: key and value live until it returns.
        unsafe { etclite_put(db, b"a".as_ptr(), 1, b"1".as_ptr(), 1, none.0, none.1, none.2) }
    }

    #[test]
    fn a_panic_stays_inside_and_poisons_its_store_alone() {
        let (db, other) = (memory(), memory());
        let session = database(db).expect("open").db.session(std::time::Duration::from_secs(60)).expect("a session");
        assert_eq!(put(db), ETCLITE_OK);
        let mut error = etclite_error { code: 0, os_error: 0, detail: 0, message: [0; 240] };
        // SAFETY: a place for the error.
        assert_eq!(unsafe { etclite_testing_panic(db, &raw mut error) }, ETCLITE_E_PANIC);
        // SAFETY: ended by a zero byte.
        let message = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().expect("UTF-8");
        assert!(
            message.starts_with("a bug in the library: a bug that a test has planted (bindings/c/src/"),
            "{message}"
        );
        assert_eq!(error.code, ETCLITE_E_PANIC);
        assert_eq!(put(db), ETCLITE_E_POISONED);
        assert!(!session.is_alive(), "who holds a lock is told");
        let held = database(db).expect("open").db.get("a").expect("reads go on");
        assert_eq!(held.expect("it was put").value, "1");
        // The thread is as before, and so are other stores.
        assert_eq!(put(other), ETCLITE_OK);
        // SAFETY: no place for an error.
        unsafe {
            assert_eq!(etclite_testing_panic(ptr::null(), ptr::null_mut()), ETCLITE_E_MISUSE);
            etclite_close(db, ptr::null_mut());
            assert_eq!(etclite_close(other, ptr::null_mut()), ETCLITE_OK);
        }
    }
}
