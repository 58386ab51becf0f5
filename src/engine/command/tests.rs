//! The encoding comes back as it was, and golden bytes hold it still.

use super::*;
use crate::engine::cursors::Definition;
use crate::engine::operations::Limits;
use crate::op::{GrantOptions, Token};

fn samples() -> Vec<Kind> {
    let nested = Txn::new().when([Compare::value("v").gt("x")]).then([Delete::new("a".."b").prev_kv()]);
    let txn = Txn::new()
        .when([
            Compare::version("k").eq(0),
            Compare::lease(KeyRange::prefix("p")).ne(-7),
            Compare::create_revision("c").lt(u64::MAX),
            Compare::mod_revision(KeyRange::all()).gt(3),
        ])
        .then([Op::from(Put::new("k", "v").prev_kv()), Op::from(nested)])
        .or_else([Range::new("k").at(5).limit(3).reverse().keys_only().min_mod_revision(2)])
        .finish();
    let token = Token::new("lock", 4, -7);
    let tests = [Compare::held(&token), Compare::lease_alive(9)];
    let grant = GrantOptions::new(Duration::from_millis(5)).id(9).lock_delay(Duration::from_millis(7));
    let leases = Txn::new().fenced(&token).when(tests).then([Op::from(grant), Op::revoke(-1)]).finish();
    let stamp = Stamp { boot_id: 1 << 100, boot_ms: 5, wall_ms: 6 };
    let name = Bytes::from_static(b"c");
    let range = KeyRange::prefix("p");
    let definition = Definition { range, no_put: false, no_delete: true, max_lag: 4, max_age_ms: 1 << 30 };
    vec![
        Kind::Txn(leases),
        Kind::Put(Put::new("k", "v").ttl(Duration::from_millis(300))),
        Kind::Lapse { id: LeaseId::new(9), renewal_epoch: 300, stamp },
        Kind::Put(Put::with("k", "v", PutOptions::new().lease(7).ignore_value())),
        Kind::Delete(Delete::new(KeyRange::from_key("x"))),
        Kind::Txn(txn),
        Kind::Grant { id: LeaseId::new(-1), ttl_ms: 5000, lock_delay_ms: 300, stamp },
        Kind::Revoke { id: LeaseId::new(9), cause: Cause::Owner },
        Kind::Revoke { id: LeaseId::new(9), cause: Cause::Expired { renewal_epoch: 300 } },
        Kind::LeaseCheckpoint { renewed: true, stamp, remaining: vec![(LeaseId::new(9), 17)] },
        Kind::LateGrant { id: LeaseId::new(-9), renewal_epoch: 300, stamp, remaining_ms: 1 << 40 },
        Kind::Compact { revision: Revision::new(12) },
        Kind::Txn(Txn::new().then([Op::advance("c", 3, 4)]).finish()),
        Kind::Cursor(CursorCommand::Create { name: name.clone(), definition, at: Some(0), max: 3 }),
        Kind::Cursor(CursorCommand::Reset { name: name.clone(), to: 300 }),
        Kind::Cursor(CursorCommand::Drop { name: name.clone() }),
        Kind::Cursor(CursorCommand::Lapse { name, position: 5 }),
    ]
}

fn encoded(kind: Kind) -> Vec<u8> {
    let seen = kind.needs_clocks().then(Seen::default);
    let mut bytes = Vec::new();
    Command { time_ms: 1_700_000_000_000, seen, operation: None, kind }.encode(&mut bytes);
    bytes
}

#[test]
fn the_format_of_an_operation_is_fixed() {
    let limits = Limits { count: 1, age_ms: 300, result_bytes: 2 };
    let operation = Operation { id: 3 << 120, since: Some(5), fingerprint: 4, limits };
    for since in [None, Some(5)] {
        let operation = Some(Operation { since, ..operation });
        let command =
            Command { time_ms: 300, seen: None, operation, kind: Kind::Compact { revision: Revision::new(9) } };
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        let since: &[u8] = if since.is_some() { &[1, 5] } else { &[0] };
        let wanted = [&[1, 0x87, 0xac, 2], &[0; 15][..], &[3, 4, 0, 0, 0, 0, 0, 0, 0], since, &[1, 0xac, 2, 2, 9]];
        assert_eq!(bytes, wanted.concat());
        assert_eq!(Command::decode(&bytes), Some(command));
        for cut in 0..bytes.len() {
            assert_eq!(Command::decode(&bytes[..cut]), None);
        }
    }
}

#[test]
fn every_command_comes_back() {
    for kind in samples() {
        let decoded = Command::decode(&encoded(kind.clone())).expect("decodes");
        assert_eq!(decoded.kind, kind);
        assert_eq!(decoded.time_ms, 1_700_000_000_000);
    }
}

#[test]
fn the_format_of_a_put_is_fixed() {
    let put = Kind::Put(Put::with("key", "value", PutOptions::new().lease(3).prev_kv()));
    let mut bytes = Vec::new();
    Command { time_ms: 300, seen: None, operation: None, kind: put }.encode(&mut bytes);
    assert_eq!(bytes, b"\x01\x01\xac\x02\x01\x06\x03key\x05value");
}

#[test]
fn the_format_of_what_the_orderer_saw_and_of_fences_is_fixed() {
    let stamp = Stamp { boot_id: 1, boot_ms: 2, wall_ms: 300 };
    let seen = Some(Seen { stamp, draw: LeaseId::new(5) });
    let mut bytes = Vec::new();
    let put = Kind::Put(Put::new("key", "value").ttl(Duration::from_millis(9)));
    Command { time_ms: 300, seen, operation: None, kind: put }.encode(&mut bytes);
    let boot = b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let expected = [&b"\x01\x22"[..], boot, b"\x02\xac\x02\x0a\x01\xac\x02\x08\0\x09\x03key\x05value"];
    assert_eq!(bytes, expected.concat());
    bytes.clear();
    let txn = Txn::new().fenced(Token::new("lock", 4, 7)).then([Op::revoke(7)]).finish();
    Command { time_ms: 300, seen: None, operation: None, kind: Kind::Txn(txn) }.encode(&mut bytes);
    assert_eq!(bytes, b"\x01\x20\xac\x02\x01\x04lock\x04\x0e\0\x01\x22\x0e\0");
}

#[test]
fn damaged_bytes_never_panic() {
    for kind in samples() {
        let bytes = encoded(kind);
        for cut in 0..bytes.len() {
            assert_eq!(Command::decode(&bytes[..cut]), None);
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let _ = Command::decode(&damaged);
            }
        }
    }
}

#[test]
fn deep_nesting_is_refused_by_the_decoder() {
    let mut bytes = vec![VERSION, 3, 0];
    for _ in 0..100_000 {
        bytes.extend([0, 1, 4]);
    }
    assert_eq!(Command::decode(&bytes), None);
    assert_eq!(newer_version(&[2]), Some(2));
}
