//! The table of status codes against etcd's (ER-01 to ER-14), and against itself.

use std::collections::HashSet;

use etclite::{Applied, Code, Db, Error, Invalid, Revision, proto};

/// etcd's own table, as far as a store without members, users and versions has such errors: message, gRPC code, ours.
/// From etcd 3.7's `api/v3rpc/rpctypes/error.go` and, where there is no prefix, `client/v3/concurrency`.
const ETCD: &[(&str, u32, &str)] = &[
    ("etcdserver: key is not provided", 3, "EMPTY_KEY"),
    ("etcdserver: key not found", 3, "KEY_NOT_FOUND"),
    ("etcdserver: value is provided", 3, "VALUE_PROVIDED"),
    ("etcdserver: lease is provided", 3, "LEASE_PROVIDED"),
    ("etcdserver: too many operations in txn request", 3, "TOO_MANY_OPS"),
    ("etcdserver: duplicate key given in txn request", 3, "DUPLICATE_KEY"),
    ("etcdserver: invalid sort option", 3, "INVALID_SORT"),
    ("etcdserver: mvcc: required revision has been compacted", 11, "COMPACTED"),
    ("etcdserver: mvcc: required revision is a future revision", 11, "FUTURE_REVISION"),
    ("etcdserver: mvcc: database space exceeded", 8, "NO_SPACE"),
    ("etcdserver: requested lease not found", 5, "LEASE_NOT_FOUND"),
    ("etcdserver: lease already exists", 9, "LEASE_EXISTS"),
    ("etcdserver: too large lease TTL", 11, "LEASE_TTL_TOO_LARGE"),
    ("etcdserver: watch canceled", 1, "WATCH_CANCELED"),
    ("etcdserver: request is too large", 3, "REQUEST_TOO_LARGE"),
    ("etcdserver: too many requests", 8, "FULL"),
    ("etcdserver: no leader", 14, "NO_LEADER"),
    ("etcdserver: not leader", 9, "NOT_LEADER"),
    ("etcdserver: leader changed", 14, "LEADER_CHANGED"),
    ("etcdserver: not capable", 9, "UNSUPPORTED"),
    ("etcdserver: server stopped", 14, "CLOSED"),
    ("etcdserver: request timed out", 14, "INDETERMINATE"),
    ("etcdserver: unhealthy cluster", 14, "UNAVAILABLE"),
    ("etcdserver: corrupt cluster", 15, "CORRUPT"),
    ("etcdserver: request canceled", 1, "CANCELED"),
    ("mutex: Locked by another session", 2, "NOT_ACQUIRED"),
    ("mutex: session is expired", 2, "SESSION_EXPIRED"),
    ("mutex: lock has already been released", 2, "LOCK_RELEASED"),
    ("election: not leader", 2, "NOT_LEADER_OF_ELECTION"),
];

fn named(name: &str) -> Code {
    *Code::ALL.iter().find(|code| code.name == name).unwrap_or_else(|| panic!("no code {name}"))
}

#[test]
fn er_01_texts_and_codes_are_etcds() {
    for (text, grpc, name) in ETCD {
        let code = named(name);
        assert_eq!((code.etcd, code.grpc), (*text, *grpc), "{name}");
    }
    // No text that etcd does not have.
    let texts: HashSet<_> = ETCD.iter().map(|(text, ..)| *text).collect();
    for code in Code::ALL.iter().filter(|code| !code.etcd.is_empty()) {
        let (_, grpc, _) = ETCD.iter().find(|(text, ..)| *text == code.etcd).expect("a text of etcd");
        assert!(texts.contains(code.etcd) && code.grpc == *grpc, "{}", code.name);
    }
}

#[test]
fn er_14_what_etcd_does_not_have_is_told_in_its_words() {
    for (name, text) in [
        ("INDETERMINATE", "etcdserver: request timed out"),
        ("IO", "etcdserver: server stopped"),
        ("POISONED", "etcdserver: server stopped"),
        ("READ_ONLY", "etcdserver: not capable"),
        ("CURSOR_NOT_FOUND", ""),
        ("CURSOR_MOVED", ""),
    ] {
        assert_eq!(named(name).etcd, text, "{name}");
    }
}

#[test]
fn codes_are_unique_in_order_and_say_something() {
    let numbers: HashSet<_> = Code::ALL.iter().map(|code| code.number).collect();
    let names: HashSet<_> = Code::ALL.iter().map(|code| code.name).collect();
    assert_eq!((numbers.len(), names.len()), (Code::ALL.len(), Code::ALL.len()));
    let fine = Code::ALL.iter().take_while(|code| code.number >= 0).count();
    assert_eq!(fine, 5);
    assert!(Code::ALL[..fine].is_sorted_by_key(|code| code.number));
    assert!(Code::ALL[fine..].is_sorted_by_key(|code| -code.number));
    for code in Code::ALL {
        assert!(!code.text.is_empty() && Code::of(code.number) == Some(*code));
        assert!(code.grpc > 0 || code.number >= 0, "{} is an error to gRPC, too", code.name);
    }
    assert_eq!(Code::of(-30), None, "a gap");
}

#[test]
fn the_numbers_of_codes_never_change() {
    let table: Vec<_> = Code::ALL.iter().map(|code| format!("{} {}", code.number, code.name)).collect();
    let pinned = "0 OK, 1 NOT_FOUND, 2 TIMEOUT, 3 END, 4 NOT_ACQUIRED, -1 INVALID_ARGUMENT, -2 EMPTY_KEY, -3 TOO_MANY_OPS, \
        -4 DUPLICATE_KEY, -5 REQUEST_TOO_LARGE, -6 INVALID_SORT, -7 VALUE_PROVIDED, -8 LEASE_PROVIDED, -9 KEY_NOT_FOUND, \
        -20 COMPACTED, -21 FUTURE_REVISION, -22 NO_SPACE, -23 LEASE_NOT_FOUND, -24 LEASE_EXISTS, -25 LEASE_TTL_TOO_LARGE, \
        -26 WATCH_CANCELED, -27 SESSION_EXPIRED, -28 NOT_LEADER_OF_ELECTION, -29 LOCK_RELEASED, -31 CURSOR_NOT_FOUND, \
        -32 CURSOR_MOVED, -40 NO_LEADER, -41 NOT_LEADER, -42 LEADER_CHANGED, -43 UNAVAILABLE, -60 LOCKED, -61 IO, \
        -62 CORRUPT, -63 NOT_A_DATABASE, -64 FORMAT_TOO_NEW, -65 READ_ONLY, -66 POISONED, -67 NOT_RECLAIMED, -80 CLOSED, \
        -81 CANCELED, -82 DEADLINE_EXCEEDED, -83 INDETERMINATE, -84 FORKED, -85 UNSUPPORTED, -86 MISUSE, -87 FULL, -99 PANIC";
    assert_eq!(table.join(", "), pinned);
}

#[test]
fn errors_take_effect_as_their_codes_say() {
    let errors = [
        Error::DuplicateKey,
        Error::Unsupported { what: "that" },
        Error::InvalidArgument(Invalid::SortOption),
        Error::Compacted { compacted: Revision::new(7) },
        Error::Indeterminate,
        Error::NotReclaimed(std::sync::Arc::new(Error::Closed)),
        Error::Timeout,
        Error::Poisoned,
    ];
    for error in &errors {
        assert_eq!(error.applied(), error.code().applied, "{error}");
    }
    assert_eq!(named("INDETERMINATE").applied, Applied::Unknown);
    assert_eq!(errors[3].detail(), 7);
    assert_eq!(Error::TooLarge { what: "request", len: 9, max: 8 }.detail(), 8);
}

#[test]
fn messages_are_etcds_or_else_ours() {
    let message = |error| proto::message(&error);
    assert_eq!(message(Error::InvalidArgument(Invalid::EmptyWatchRange)), "mvcc: watcher range is empty");
    assert_eq!(message(Error::LeaseNotFound), "etcdserver: requested lease not found");
    assert_eq!(message(Error::CursorNotFound), "requested cursor not found");
}

#[test]
fn the_numbers_of_operations_never_change() {
    let table: Vec<_> = proto::OPERATIONS.iter().map(|(name, number)| format!("{number} {name}")).collect();
    let pinned = "1 RANGE, 2 PUT, 3 DELETE_RANGE, 4 TXN, 5 COMPACT, 10 LEASE_GRANT, 11 LEASE_REVOKE, 12 LEASE_KEEPALIVE, \
        13 LEASE_TIME_TO_LIVE, 14 LEASE_LEASES, 20 STATUS, 21 HASH_KV, 22 HASH, 23 ALARM, 24 DEFRAGMENT, 30 MEMBER_ADD, \
        31 MEMBER_REMOVE, 32 MEMBER_UPDATE, 33 MEMBER_LIST, 34 MEMBER_PROMOTE, 1000 PUT_WITH, 1001 DELETE_RANGE_WITH, \
        1002 TXN_WITH, 1003 COMPACT_WITH, 1010 LEASE_GRANT_MS, 1011 LEASE_REVOKE_WITH, 1012 LEASE_KEEPALIVE_MS, \
        1013 LEASE_TIME_TO_LIVE_MS, 1014 LEASE_LIST_MS, 1020 CURSOR_CREATE, 1021 CURSOR_ADVANCE, 1022 CURSOR_RESET, \
        1023 CURSOR_STATUS, 1024 CURSOR_DROP, 1025 CURSOR_LIST, 1030 SYNC, 1031 STATS";
    assert_eq!(table.join(", "), pinned);
    let db = Db::in_memory().unwrap();
    for operation in [0, 6, 30, 31, 32, 33, 34, 999, 1004, u32::MAX] {
        let error = proto::execute(&db, operation, &[]).unwrap_err();
        assert_eq!((error.code().name, &proto::message(&error)[..]), ("UNSUPPORTED", "etcdserver: not capable"));
    }
}
