//! Commands of promises that the engine does not keep yet: read strictly, answered `UNSUPPORTED`, nothing done.

use crate::driver::Driver;

#[test]
fn they_are_unsupported() {
    let mut driver = Driver::in_memory();
    refuse!(driver, "UNSUPPORTED" -85:
        {"cmd": "retain", "name": "r", "prefix": "p/", "keep_age_ms": 1, "keep_revisions": 1, "drop": false}
        {"cmd": "retain", "name_b64": "/w==", "prefix": ""}
        {"cmd": "refresh"}
    );
}

#[test]
fn they_are_read_strictly() {
    let mut driver = Driver::in_memory();
    refuse!(driver, "INVALID_ARGUMENT" -1:
        {"cmd": "retain", "prefix": "p/"}
        {"cmd": "retain", "name": "r"}
        {"cmd": "retain", "name": "r", "prefix": "p/", "keep_age_ms": -1}
        {"cmd": "retain", "name": "r", "prefix": "p/", "keep_revisions": "1"}
        {"cmd": "retain", "name": "r", "prefix": "p/", "drop": 1}
        {"cmd": "retain", "name": "r", "prefix": "p/", "keep": 1}
        {"cmd": "refresh", "rev": 1}
    );
}
