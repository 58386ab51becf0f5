//! Txns: the model against the rows TX, with values by hand.

use super::reference::{DeleteOp, Failure, Model, Operand, PutOp, Relation, TxnItem};
use super::shorthand::{
    all, at, batch, between, compare, delete, delete_of, events, find, from_key, get, keys, kv, one, put, put_revision,
    range, range_of, store, store_with_lease, txn, txn_of, watch,
};

const RELATIONS: [Relation; 4] = [Relation::Equal, Relation::NotEqual, Relation::Greater, Relation::Less];

fn holds(model: &Model, compares: Vec<super::reference::CompareOp>) -> bool {
    model.clone().txn(&txn(compares, vec![], vec![])).unwrap().succeeded
}

fn refused(items: Vec<TxnItem>) -> bool {
    let mut model = store(&[("a", "1"), ("b", "1")]);
    let before = model.clone();
    let result = model.txn(&batch(items));
    match result {
        Err(Failure::DuplicateKey) => assert_eq!(model, before, "a refused txn changes nothing"),
        Err(failure) => panic!("not a duplicate: {failure:?}"),
        Ok(_) => return false,
    }
    true
}

#[test]
fn tx_01_then_or_else() {
    let mut model = store(&[("a", "1")]);
    let is = |value: &str| compare(one("a"), Relation::Equal, Operand::Value(value.into()));
    let both = |value| txn(vec![is(value)], vec![put("then", "").into()], vec![put("else", "").into()]);
    assert!(model.txn(&both("1")).unwrap().succeeded);
    assert!(!model.txn(&both("2")).unwrap().succeeded);
    assert_eq!(keys(&model.range(&range(from_key("b"))).unwrap()), ["else", "then"]);
}

#[test]
fn tx_01_no_compares_is_true() {
    assert!(holds(&Model::new(), vec![]));
}

#[test]
fn tx_01_all_compares_must_hold() {
    let model = store(&[("a", "1")]);
    let right = compare(one("a"), Relation::Equal, Operand::Version(1));
    let wrong = compare(one("a"), Relation::Equal, Operand::Version(2));
    assert!(!holds(&model, vec![right.clone(), wrong]));
    assert!(holds(&model, vec![right.clone(), right]));
}

#[test]
fn tx_02_targets_and_relations() {
    let mut model = store_with_lease(7, "a");
    model.put(&PutOp { lease: 7, ..put("a", "m") }).unwrap();
    let results =
        |operand: Operand| RELATIONS.map(|relation| holds(&model, vec![compare(one("a"), relation, operand.clone())]));
    assert_eq!(results(Operand::Version(2)), [true, false, false, false]);
    assert_eq!(results(Operand::Version(1)), [false, true, true, false]);
    assert_eq!(results(Operand::Create(3)), [false, true, false, true]);
    assert_eq!(results(Operand::Mod(3)), [true, false, false, false]);
    assert_eq!(results(Operand::Lease(-1)), [false, true, true, false]);
    assert_eq!(results(Operand::Value("n".into())), [false, true, false, true]);
    assert_eq!(results(Operand::Value("".into())), [false, true, true, false]);
}

#[test]
fn tx_03_value_of_a_missing_key_is_always_false() {
    for relation in RELATIONS {
        assert!(!holds(&Model::new(), vec![compare(one("x"), relation, Operand::Value("v".into()))]), "{relation:?}");
    }
}

#[test]
fn tx_03_other_targets_of_a_missing_key_are_zero() {
    let model = store(&[("a", "1")]);
    for operand in [Operand::Create(0), Operand::Mod(0), Operand::Version(0), Operand::Lease(0)] {
        assert!(holds(&model, vec![compare(one("x"), Relation::Equal, operand)]));
    }
    assert!(!holds(&model, vec![compare(one("a"), Relation::Equal, Operand::Create(0))]));
    assert!(holds(&model, vec![compare(one("x"), Relation::Greater, Operand::Version(-1))]));
}

#[test]
fn tx_04_a_range_compare_holds_for_every_key() {
    let model = store(&[("a", "1"), ("b", "2"), ("b", "2")]);
    assert!(holds(&model, vec![compare(all(), Relation::Greater, Operand::Version(0))]));
    assert!(!holds(&model, vec![compare(all(), Relation::Equal, Operand::Version(1))]));
    assert!(holds(&model, vec![compare(between("c", "d"), Relation::Equal, Operand::Version(0))]));
    assert!(!holds(&model, vec![compare(between("c", "d"), Relation::NotEqual, Operand::Value("".into()))]));
    assert!(holds(&model, vec![compare(between("b", "a"), Relation::Equal, Operand::Mod(0))]));
}

#[test]
fn tx_05_compares_see_the_state_before() {
    let mut model = Model::new();
    let absent = compare(one("a"), Relation::Equal, Operand::Version(0));
    let nested = txn(vec![absent], vec![put("then", "").into()], vec![put("else", "").into()]);
    let answer = model.txn(&batch(vec![put("a", "1").into(), nested.into()])).unwrap();
    assert!(txn_of(&answer.answers[1]).succeeded);
    assert_eq!((find(&model, "then").is_some(), find(&model, "else")), (true, None));
}

#[test]
fn tx_06_ranges_see_earlier_writes_and_the_new_revision() {
    let mut model = store(&[("a", "1")]);
    let items = vec![range(one("a")).into(), put("a", "2").into(), range(one("a")).into(), at(one("a"), 2).into()];
    let answers = model.txn(&batch(items)).unwrap().answers;
    let seen = |index: usize| (range_of(&answers[index]).revision, range_of(&answers[index]).kvs[0].clone());
    assert_eq!(seen(0), (2, kv("a", "1", [2, 2, 1])));
    assert_eq!(seen(2), (3, kv("a", "2", [2, 3, 2])));
    assert_eq!(seen(3), (3, kv("a", "1", [2, 2, 1])));
}

#[test]
fn tx_07_nested_revision_is_zero_and_order_kept() {
    let mut model = Model::new();
    let nested = |key| batch(vec![put(key, "").into()]).into();
    let answer = model.txn(&batch(vec![nested("b"), put("a", "").into(), nested("c")])).unwrap();
    assert_eq!((answer.revision, txn_of(&answer.answers[0]).revision), (2, 0));
    assert_eq!(events(&model, &watch(all(), 2)), ["+b=@2", "+a=@2", "+c=@2"]);
}

#[test]
fn tx_08_budget() {
    let puts = |first: usize, count: usize| (first..first + count).map(|n| put(&format!("{n}"), "").into());
    let nested = |outer: usize, inner: usize| {
        let mut items: Vec<TxnItem> = puts(0, outer - 1).collect();
        items.push(batch(puts(1000, inner).collect()).into());
        let mut model = Model::with_txn_budget(128);
        model.txn(&batch(items)).map(|answer| answer.revision)
    };
    assert_eq!(nested(100, 28), Ok(2));
    assert_eq!(nested(100, 29), Err(Failure::TooLarge));
    assert_eq!(nested(129, 0), Err(Failure::TooLarge));
}

#[test]
fn tx_08_budget_counts_the_longest_part() {
    let mut model = Model::with_txn_budget(2);
    let absent = || compare(one("x"), Relation::Equal, Operand::Version(0));
    assert!(model.txn(&txn(vec![absent(), absent()], vec![put("a", "").into()], vec![])).is_ok());
    let many = txn(vec![], vec![], vec![range(all()).into(), range(all()).into(), range(all()).into()]);
    assert_eq!(model.txn(&many), Err(Failure::TooLarge));
}

#[test]
fn tx_09_two_puts_of_a_key() {
    assert!(refused(vec![put("a", "1").into(), put("a", "2").into()]));
    assert!(refused(vec![put("a", "1").into(), batch(vec![put("a", "2").into()]).into()]));
    assert!(refused(vec![batch(vec![put("a", "1").into()]).into(), batch(vec![put("a", "2").into()]).into()]));
}

#[test]
fn tx_09_a_put_inside_a_deleted_range() {
    assert!(refused(vec![put("a", "1").into(), delete(one("a")).into()]));
    assert!(refused(vec![delete(between("a", "c")).into(), put("b", "1").into()]));
    assert!(!refused(vec![delete(between("a", "c")).into(), put("c", "1").into()]));
    assert!(!refused(vec![delete(between("c", "a")).into(), put("b", "1").into()]));
}

#[test]
fn tx_09_a_put_against_the_deletes_of_nested_txns() {
    let nested = || TxnItem::from(batch(vec![delete(one("a")).into()]));
    assert!(refused(vec![put("a", "1").into(), nested()]));
    assert!(refused(vec![nested(), put("a", "1").into()]));
    assert!(refused(vec![batch(vec![put("a", "1").into()]).into(), delete(one("a")).into()]));
}

#[test]
fn tx_09_also_in_the_branch_not_taken() {
    let mut model = Model::new();
    let twice = vec![put("a", "1").into(), put("a", "2").into()];
    assert_eq!(model.txn(&txn(vec![], vec![], twice.clone())), Err(Failure::DuplicateKey));
    let nested = txn(vec![], vec![], twice);
    assert_eq!(model.txn(&batch(vec![nested.into()])), Err(Failure::DuplicateKey));
}

#[test]
fn tx_09_then_and_else_exclude_each_other() {
    let both = || txn(vec![], vec![put("a", "1").into()], vec![put("a", "2").into()]);
    assert!(!refused(vec![both().into()]));
    assert!(refused(vec![both().into(), both().into()]));
    assert!(refused(vec![both().into(), put("a", "3").into()]));
    let mut model = Model::new();
    assert!(model.txn(&txn(vec![], vec![put("a", "1").into()], vec![delete(one("a")).into()])).is_ok());
}

#[test]
fn tx_09_then_put_against_else_delete_of_one_nested_txn() {
    assert!(!refused(vec![txn(vec![], vec![put("a", "1").into()], vec![delete(one("a")).into()]).into()]));
}

#[test]
fn tx_09_overlapping_deletes_are_fine() {
    let mut model = store(&[("a", "1"), ("b", "1")]);
    let items = vec![delete(between("a", "c")).into(), delete(one("a")).into(), delete(all()).into()];
    let answers = model.txn(&batch(items)).unwrap().answers;
    let deleted: Vec<_> = answers.iter().map(|answer| delete_of(answer).deleted).collect();
    assert_eq!((deleted, model.revision()), (vec![2, 0, 0], 4));
}

#[test]
fn tx_10_from_key_delete_then_put() {
    let mut model = store(&[("a", "1"), ("b", "1")]);
    model.txn(&batch(vec![delete(from_key("a")).into(), put("a", "2").into()])).unwrap();
    assert_eq!(get(&model, "a"), kv("a", "2", [4, 4, 1]));
    assert_eq!(events(&model, &watch(all(), 4)), ["-a@4 was 1", "-b@4 was 1", "+a=2@4"]);
}

#[test]
fn tx_10_put_then_from_key_delete() {
    let mut model = store(&[("a", "1")]);
    model.txn(&batch(vec![put("a", "2").into(), delete(all()).into()])).unwrap();
    assert_eq!(find(&model, "a"), None);
    assert_eq!(events(&model, &watch(all(), 3)), ["+a=2@3 was 1", "-a@3 was 1"]);
}

#[test]
fn tx_10_put_in_an_earlier_sibling_of_a_delete() {
    let puts = || TxnItem::from(batch(vec![put("a", "2").into()]));
    let deletes = || TxnItem::from(batch(vec![delete(one("a")).into()]));
    assert!(!refused(vec![puts(), deletes()]));
    assert!(refused(vec![deletes(), puts()]));
    let mut model = store(&[("a", "1")]);
    model.txn(&batch(vec![puts(), deletes()])).unwrap();
    assert_eq!(find(&model, "a"), None);
}

#[test]
fn tx_10_gap_b_in_a_deeper_level_counts_above() {
    // The delete hidden from its sibling is seen by a put of the level above, and by later siblings.
    let inner = || TxnItem::from(batch(vec![batch(vec![delete(one("a")).into()]).into()]));
    assert!(refused(vec![inner(), put("a", "2").into()]));
    assert!(refused(vec![inner(), batch(vec![put("a", "2").into()]).into()]));
    assert!(!refused(vec![batch(vec![put("a", "2").into()]).into(), inner()]));
}

#[test]
fn tx_11_checks_of_the_branch_taken_only() {
    let mut model = store(&[("a", "1")]);
    let bad = || vec![at(all(), 99).into(), PutOp { lease: 9, ..put("x", "") }.into()];
    assert!(model.txn(&txn(vec![], vec![put("b", "1").into()], bad())).is_ok());
    assert_eq!(model.txn(&txn(vec![], bad(), vec![])), Err(Failure::FutureRevision(3)));
}

#[test]
fn tx_11_the_first_failing_operation_decides() {
    let mut model = store(&[("a", "1"), ("a", "2")]);
    model.compact(3).unwrap();
    let (read, write) = (TxnItem::from(at(all(), 2)), TxnItem::from(PutOp { lease: 9, ..put("x", "") }));
    assert_eq!(model.txn(&batch(vec![read.clone(), write.clone()])), Err(Failure::Compacted(3)));
    assert_eq!(model.txn(&batch(vec![write, read])), Err(Failure::LeaseNotFound));
    assert_eq!(model.revision(), 3);
}

#[test]
fn tx_11_a_failure_after_writes_writes_nothing() {
    let mut model = store(&[("a", "1")]);
    let before = model.clone();
    let nested = batch(vec![at(all(), 3).into()]);
    let items = vec![put("b", "1").into(), delete(one("a")).into(), nested.into()];
    // 3 is the revision being made: future.
    assert_eq!(model.txn(&batch(items)), Err(Failure::FutureRevision(2)));
    assert_eq!(model, before);
}

#[test]
fn tx_11_ignore_flags_see_the_state_before() {
    let mut model = Model::new();
    let keep = PutOp { ignore_lease: true, ..put("a", "2") };
    assert_eq!(model.txn(&batch(vec![put("b", "1").into(), keep.into()])), Err(Failure::KeyNotFound));
    assert_eq!(model.revision(), 1);
}

#[test]
fn tx_11_shape_errors_on_either_branch() {
    let mut model = Model::new();
    let other = |item: TxnItem| txn(vec![], vec![], vec![item]);
    assert_eq!(model.txn(&other(put("", "").into())), Err(Failure::EmptyKey));
    assert_eq!(model.txn(&other(range(one("")).into())), Err(Failure::EmptyKey));
    let value = PutOp { ignore_value: true, ..put("a", "1") };
    assert_eq!(model.txn(&other(value.into())), Err(Failure::ValueProvided));
    let lease = PutOp { ignore_lease: true, lease: 1, ..put("a", "1") };
    assert_eq!(model.txn(&other(batch(vec![lease.into()]).into())), Err(Failure::LeaseProvided));
}

#[test]
fn tx_11_shape_before_duplicates_before_the_store() {
    let mut model = Model::new();
    let twice = || vec![put("a", "1").into(), put("a", "2").into()];
    let shape = txn(vec![], twice(), vec![put("", "").into()]);
    assert_eq!(model.txn(&shape), Err(Failure::EmptyKey));
    let mut late = twice();
    late.insert(0, at(all(), 99).into());
    assert_eq!(model.txn(&batch(late)), Err(Failure::DuplicateKey));
}

#[test]
fn tx_15_empty_compare_key() {
    let mut model = Model::new();
    let empty = compare(one(""), Relation::Equal, Operand::Version(0));
    assert_eq!(model.txn(&txn(vec![empty], vec![], vec![])), Err(Failure::EmptyKey));
}

#[test]
fn tx_12_ignore_value_after_from_key_delete() {
    let mut model = store(&[("a", "1")]);
    let before = model.clone();
    let keep = PutOp { ignore_value: true, ..put("a", "") };
    let items = vec![put("\0", "1").into(), delete(from_key("a")).into(), keep.into()];
    assert_eq!(model.txn(&batch(items)), Err(Failure::KeyNotFound));
    assert_eq!(model, before);
    assert_eq!(model.put(&put("b", "1")).unwrap().revision, 3);
}

#[test]
fn tx_13_inner_revisions() {
    let mut model = store(&[("a", "1")]);
    let items = vec![
        delete(one("x")).into(),
        put("b", "1").into(),
        delete(one("x")).into(),
        DeleteOp { prev_kv: true, ..delete(one("a")) }.into(),
    ];
    let answer = model.txn(&batch(items)).unwrap();
    assert_eq!(answer.revision, 3);
    assert_eq!(delete_of(&answer.answers[0]).revision, 2);
    assert_eq!(put_revision(&answer.answers[1]), 3);
    assert_eq!(delete_of(&answer.answers[2]).revision, 3);
    assert_eq!(delete_of(&answer.answers[3]).prev_kvs, [kv("a", "1", [2, 2, 1])]);
}

#[test]
fn tx_13_outer_revision_without_change() {
    let mut model = store(&[("a", "1")]);
    let answer = model.txn(&batch(vec![range(all()).into(), delete(one("x")).into()])).unwrap();
    assert_eq!((answer.revision, model.revision()), (2, 2));
}

#[test]
fn pd_03_prev_kv_sees_earlier_operations_of_the_txn() {
    let mut model = store(&[("a", "1")]);
    let again = PutOp { prev_kv: true, ..put("a", "2") };
    let answer = model.txn(&batch(vec![delete(all()).into(), again.into()])).unwrap();
    let super::reference::Answer::Put(put) = &answer.answers[1] else { panic!("not a put") };
    assert_eq!(put.prev, None);
}

#[test]
fn etcd_18667_compacted_read_fails_whole_txn() {
    let mut model = store(&[("a", "1"), ("a", "2")]);
    model.compact(3).unwrap();
    let before = model.clone();
    assert_eq!(model.txn(&batch(vec![put("b", "1").into(), at(one("a"), 2).into()])), Err(Failure::Compacted(3)));
    assert_eq!(model, before);
}
