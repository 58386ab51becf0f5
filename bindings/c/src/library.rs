//! What the library says of itself.

use std::ffi::{CStr, c_char};

use crate::argument::bytes;
use crate::code::*;
use crate::error::etclite_error;
use crate::guard::enter;

/// The major version of this header.
pub const ETCLITE_VERSION_MAJOR: u32 = 0;
/// The minor version of this header.
pub const ETCLITE_VERSION_MINOR: u32 = 1;
/// The patch version of this header.
pub const ETCLITE_VERSION_PATCH: u32 = 0;
/// The version of this header as a number: major * 1000000 + minor * 1000 + patch.
pub const ETCLITE_VERSION_NUMBER: u32 = 1000;
/// The binary interface of this header: the number in the shared library's name. It changes when a program must be
/// compiled again.
pub const ETCLITE_ABI_VERSION: u32 = 0;

const _: () = assert!(
    ETCLITE_VERSION_MAJOR * 1_000_000 + ETCLITE_VERSION_MINOR * 1_000 + ETCLITE_VERSION_PATCH == ETCLITE_VERSION_NUMBER
);

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version has no zero byte"),
};

/// The version of the library that the program runs with, such as "0.1.0". The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn etclite_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the library that the program runs with, as a number: `ETCLITE_VERSION_NUMBER` is that of the header it
/// was compiled with.
#[unsafe(no_mangle)]
pub extern "C" fn etclite_version_number() -> u32 {
    ETCLITE_VERSION_NUMBER
}

/// The binary interface of the library that the program runs with: it must equal `ETCLITE_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn etclite_abi_version() -> u32 {
    ETCLITE_ABI_VERSION
}

const FEATURES: [(&str, bool); 2] =
    [("import-etcd", cfg!(feature = "import-etcd")), ("metrics", cfg!(feature = "metrics"))];

/// Whether the library was built with a feature: `ETCLITE_OK`, or `ETCLITE_NOT_FOUND` if not, or if there is no such
/// feature. `import-etcd`: `etclite_import_etcd`; `metrics`: `ETCLITE_STATS_PROMETHEUS`; `replicate`: groups. Without it
/// the functions are there all the same, and answer `UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_has_feature(name: *const u8, name_len: usize, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err` and the bytes.
    unsafe {
        enter(err, || {
            let name = bytes(name, name_len)?;
            let has = FEATURES.iter().any(|(feature, built)| feature.as_bytes() == name && *built);
            Ok(if has { ETCLITE_OK } else { ETCLITE_NOT_FOUND })
        })
    }
}

/// What a status means, in a few words of English. The text is static, and there is one for numbers that are none, too.
#[unsafe(no_mangle)]
pub extern "C" fn etclite_status_text(status: i32) -> *const c_char {
    text(status).as_ptr()
}

fn text(status: i32) -> &'static CStr {
    match status {
        ETCLITE_OK => c"ok",
        ETCLITE_NOT_FOUND => c"not found",
        ETCLITE_TIMEOUT => c"the wait has ended",
        ETCLITE_END => c"the end",
        ETCLITE_NOT_ACQUIRED => c"locked by another session",
        ETCLITE_E_INVALID_ARGUMENT => c"invalid argument",
        ETCLITE_E_EMPTY_KEY => c"key is not provided",
        ETCLITE_E_TOO_MANY_OPS => c"too many operations in txn request",
        ETCLITE_E_DUPLICATE_KEY => c"duplicate key given in txn request",
        ETCLITE_E_REQUEST_TOO_LARGE => c"request is too large",
        ETCLITE_E_INVALID_SORT => c"invalid sort option",
        ETCLITE_E_VALUE_PROVIDED => c"value is provided",
        ETCLITE_E_LEASE_PROVIDED => c"lease is provided",
        ETCLITE_E_KEY_NOT_FOUND => c"key not found",
        _ => text_of_store(status),
    }
}

fn text_of_store(status: i32) -> &'static CStr {
    match status {
        ETCLITE_E_COMPACTED => c"required revision has been compacted",
        ETCLITE_E_FUTURE_REVISION => c"required revision is a future revision",
        ETCLITE_E_NO_SPACE => c"no space left on the disk or in the quota",
        ETCLITE_E_LEASE_NOT_FOUND => c"requested lease not found",
        ETCLITE_E_LEASE_EXISTS => c"lease already exists",
        ETCLITE_E_LEASE_TTL_TOO_LARGE => c"too large lease TTL",
        ETCLITE_E_WATCH_CANCELED => c"watch canceled",
        ETCLITE_E_SESSION_EXPIRED => c"session is expired",
        ETCLITE_E_NOT_LEADER_OF_ELECTION => c"not leader",
        ETCLITE_E_LOCK_RELEASED => c"lock has already been released",
        ETCLITE_E_CURSOR_NOT_FOUND => c"requested cursor not found",
        ETCLITE_E_CURSOR_MOVED => c"the cursor has moved",
        ETCLITE_E_NO_LEADER => c"no leader",
        ETCLITE_E_NOT_LEADER => c"another member leads",
        ETCLITE_E_LEADER_CHANGED => c"leader changed",
        ETCLITE_E_UNAVAILABLE => c"the group has no quorum",
        ETCLITE_E_LOCKED => c"the store is open elsewhere",
        ETCLITE_E_IO => c"the operating system failed",
        ETCLITE_E_CORRUPT => c"a file is damaged",
        ETCLITE_E_NOT_A_DATABASE => c"not an etclite store",
        ETCLITE_E_FORMAT_TOO_NEW => c"written by a newer release",
        ETCLITE_E_READ_ONLY => c"the store was opened read-only",
        ETCLITE_E_POISONED => c"an earlier write failed, reopen the store",
        ETCLITE_E_NOT_RECLAIMED => c"compacted, but the space could not be given back",
        _ => text_of_library(status),
    }
}

fn text_of_library(status: i32) -> &'static CStr {
    match status {
        ETCLITE_E_CLOSED => c"the store is closed",
        ETCLITE_E_CANCELED => c"canceled",
        ETCLITE_E_DEADLINE_EXCEEDED => c"timed out before the write was ordered",
        ETCLITE_E_INDETERMINATE => c"the write may or may not take effect",
        ETCLITE_E_FORKED => c"opened by another process, before a fork",
        ETCLITE_E_UNSUPPORTED => c"not supported",
        ETCLITE_E_MISUSE => c"misuse",
        ETCLITE_E_FULL => c"a maximum is reached",
        ETCLITE_E_PANIC => c"a bug in etclite",
        _ => c"an unknown status",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Name and number of each code, as the header will have them.
    fn codes() -> Vec<(&'static str, i32)> {
        let lines = include_str!("code.rs").lines().filter_map(|line| line.strip_prefix("pub const "));
        let codes = lines.filter_map(|line| line.strip_suffix(';')?.split_once(": i32 = "));
        codes.map(|(name, number)| (name, number.parse().expect("a number"))).collect()
    }

    #[test]
    fn each_code_has_a_text_of_its_own() {
        let texts: BTreeSet<&CStr> = codes().iter().map(|(_, number)| text(*number)).collect();
        assert_eq!(texts.len(), codes().len());
        assert!(codes().len() > 40 && !texts.contains(text(i32::MIN)));
        // SAFETY: a static text.
        assert_eq!(unsafe { CStr::from_ptr(etclite_status_text(ETCLITE_E_LOCKED)) }, c"the store is open elsewhere");
        assert_eq!([5, -1000, i32::MAX, i32::MIN].map(text), [c"an unknown status"; 4]);
    }

    #[test]
    fn the_versions_are_the_packages() {
        let parts = [ETCLITE_VERSION_MAJOR, ETCLITE_VERSION_MINOR, ETCLITE_VERSION_PATCH];
        assert_eq!(parts.map(|part| part.to_string()).join("."), env!("CARGO_PKG_VERSION"));
        // SAFETY: a static text.
        let version = unsafe { CStr::from_ptr(etclite_version()) };
        assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
        assert_eq!((etclite_version_number(), etclite_abi_version()), (ETCLITE_VERSION_NUMBER, ETCLITE_ABI_VERSION));
    }

    #[test]
    fn features_are_found_by_name() {
        let find = |name: &str| {
            // SAFETY: the name lives until it returns.
            unsafe { etclite_has_feature(name.as_ptr(), name.len(), std::ptr::null_mut()) }
        };
        assert_eq!(find("metrics") == ETCLITE_OK, cfg!(feature = "metrics"));
        assert_eq!(find("import-etcd") == ETCLITE_OK, cfg!(feature = "import-etcd"));
        assert_eq!(
            (find("replicate"), find(""), find("Metrics")),
            (ETCLITE_NOT_FOUND, ETCLITE_NOT_FOUND, ETCLITE_NOT_FOUND)
        );
        // SAFETY: null is refused.
        assert_eq!(unsafe { etclite_has_feature(std::ptr::null(), 5, std::ptr::null_mut()) }, ETCLITE_E_MISUSE);
    }
}
