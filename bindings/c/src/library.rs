//! What the library says of itself.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::sync::LazyLock;

use etclite::Code;

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

/// The texts are those of the one table; C wants them with a zero byte at the end.
fn text(status: i32) -> &'static CStr {
    static TEXTS: LazyLock<BTreeMap<i32, CString>> = LazyLock::new(|| {
        let texts = Code::ALL.iter().filter_map(|code| Some((code.number, CString::new(code.text).ok()?)));
        texts.collect()
    });
    TEXTS.get(&status).map_or(c"an unknown status", CString::as_c_str)
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
