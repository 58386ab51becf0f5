//! Rows of section 13 that the model knows: fences, lock delay, leases in txns.

use super::reference::{Answer, Failure, GrantOp, Model, Operand, PutOp, Relation, Span, TokenOp, TxnItem, TxnOp};
use super::shorthand::{batch, compare, delete, one, put, txn};
use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn grant(id: i64, delay_ms: u64) -> GrantOp {
    GrantOp { id, ttl: ms(100), delay_ms }
}

fn lock(lease: i64) -> PutOp {
    PutOp { lease, ..put("lock", "") }
}

/// Lease 7 holds `lock`, created at revision 2.
fn locked(delay_ms: u64) -> (Model, TokenOp) {
    let mut model = Model::new();
    model.grant_with(&grant(7, delay_ms)).unwrap();
    model.put(&lock(7)).unwrap();
    (model, TokenOp { key: "lock".into(), create: 2, lease: 7 })
}

fn fenced(token: &TokenOp, then: Vec<TxnItem>) -> TxnOp {
    TxnOp { fences: vec![token.clone()], then, ..TxnOp::default() }
}

#[test]
fn x_01_a_fence_holds_until_key_or_lease_change() {
    let change: [fn(&mut Model); 4] = [
        |model| drop(model.delete(&delete(one("lock"))).unwrap()),
        |model| drop(model.put(&lock(0)).unwrap()),
        |model| assert_eq!(model.revoke(7), Ok(4)),
        |model| model.advance(100),
    ];
    for change in change {
        let (mut model, token) = locked(0);
        let write = fenced(&token, vec![put("a", "1").into()]);
        assert_eq!(model.txn(&write).unwrap().revision, 3);
        change(&mut model);
        let before = model.clone();
        assert_eq!(model.txn(&write), Err(Failure::SessionExpired));
        assert_eq!(model, before);
    }
}

#[test]
fn x_01_held_is_an_ordinary_compare() {
    let (mut model, _) = locked(0);
    let held = compare(one("lock"), Relation::Equal, Operand::Held { create: 2, lease: 7 });
    let guarded = txn(vec![held], vec![put("a", "held").into()], vec![put("a", "lost").into()]);
    assert!(model.txn(&guarded).unwrap().succeeded);
    model.revoke(7).unwrap();
    assert!(!model.txn(&guarded).unwrap().succeeded);
}

#[test]
fn x_02_a_lapsed_lease_keeps_its_keys_and_its_id_only() {
    let (mut model, token) = locked(40);
    model.advance(100);
    assert_eq!((model.revision(), model.leases(), model.time_to_live(7)), (2, vec![], None));
    assert_eq!(model.keep_alive(7), Err(Failure::LeaseNotFound));
    assert_eq!(model.put(&lock(7)), Err(Failure::LeaseNotFound));
    assert_eq!(model.grant(7, ms(1)), Err(Failure::LeaseExists));
    assert_eq!(model.txn(&fenced(&token, vec![])), Err(Failure::SessionExpired));
    model.advance(39);
    assert!(model.state(2).contains_key(&b"lock"[..]));
    model.advance(1);
    assert_eq!((model.revision(), model.grant(7, ms(1))), (3, Ok(1)));
}

#[test]
fn x_02_the_delay_left_survives_reopen_and_the_owner_ends_it() {
    let (mut model, _) = locked(40);
    model.advance(100);
    model.reopen(39, true);
    assert_eq!(model.revision(), 2);
    let mut revoked = model.clone();
    assert_eq!(revoked.revoke(7), Ok(3));
    model.reopen(1, false);
    assert_eq!(model.revision(), 3);
}

#[test]
fn x_08_grants_and_revokes_of_a_txn_count_in_order() {
    let (mut model, _) = locked(0);
    let use_of = |id| TxnItem::from(PutOp { lease: id, ..put("a", "") });
    let fails = |model: &mut Model, items| model.txn(&batch(items)).unwrap_err();
    assert_eq!(fails(&mut model, vec![use_of(8), TxnItem::Grant(grant(8, 0))]), Failure::LeaseNotFound);
    assert_eq!(fails(&mut model, vec![TxnItem::Revoke(7), use_of(7)]), Failure::LeaseNotFound);
    assert_eq!(fails(&mut model, vec![TxnItem::Grant(grant(7, 0))]), Failure::LeaseExists);
    let again = vec![TxnItem::Revoke(7), TxnItem::Grant(grant(7, 0)), lock(7).into()];
    let answers = model.txn(&batch(again)).unwrap().answers;
    assert_eq!(answers[..2], [Answer::Revoked { revision: 3, deleted: 1 }, Answer::Granted(100)]);
    let kv = model.state(3)[&b"lock"[..]].clone();
    assert_eq!((kv.create, kv.version), (3, 1));
}

#[test]
fn x_08_a_failed_txn_changes_no_lease() {
    let (mut model, _) = locked(0);
    let keep = PutOp { ignore_value: true, ..put("lock", "") };
    let before = model.clone();
    let items = vec![TxnItem::Grant(grant(8, 0)), TxnItem::Revoke(7), keep.into()];
    assert_eq!(model.txn(&batch(items)), Err(Failure::KeyNotFound));
    assert_eq!(model, before);
    let alive = compare(Span::default(), Relation::Equal, Operand::Alive(8));
    assert!(!model.txn(&txn(vec![alive], vec![], vec![])).unwrap().succeeded);
}
