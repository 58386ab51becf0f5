//! Revisions, ranges, puts, deletes and compaction: the model against the rows RV, KV, PD and CP, with values by hand.

use super::reference::{DeleteAnswer, DeleteOp, Failure, Kv, Model, PutOp, RangeOp, SortBy};
use super::shorthand::{
    all, at, batch, between, delete, events, find, from_key, get, keys, kv, one, put, range, store, store_with_lease,
    watch,
};

#[test]
fn rv_01_first_revision() {
    let mut model = Model::new();
    assert_eq!((model.revision(), model.compact_revision()), (1, 0));
    assert_eq!(model.put(&put("a", "1")).unwrap().revision, 2);
}

#[test]
fn rv_02_one_step_per_write() {
    let mut model = store(&[("a", "1"), ("b", "2"), ("c", "3")]);
    assert_eq!(model.delete(&delete(all())).unwrap().revision, 5);
    let subs: Vec<_> = model.changes()[3..].iter().map(|change| (change.revision, change.sub)).collect();
    assert_eq!(subs, [(5, 0), (5, 1), (5, 2)]);
}

#[test]
fn rv_03_writes_without_change() {
    let mut model = store(&[("a", "1")]);
    assert_eq!(model.delete(&delete(one("x"))).unwrap().revision, 2);
    assert_eq!(model.txn(&batch(vec![delete(one("x")).into(), range(all()).into()])).unwrap().revision, 2);
    model.grant(1, std::time::Duration::from_secs(1)).unwrap();
    assert_eq!(model.revoke(1), Ok(2));
    assert_eq!(model.put(&put("a", "1")).unwrap().revision, 3);
}

#[test]
fn rv_04_metadata_of_a_key() {
    let mut model = store(&[("a", "1"), ("a", "2")]);
    assert_eq!(get(&model, "a"), kv("a", "2", [2, 3, 2]));
    model.delete(&delete(one("a"))).unwrap();
    model.put(&put("a", "3")).unwrap();
    assert_eq!(get(&model, "a"), kv("a", "3", [5, 5, 1]));
}

#[test]
fn rv_05_one_key_twice_is_a_re_creation() {
    let mut model = store(&[("a", "1"), ("a", "2")]);
    model.txn(&batch(vec![delete(all()).into(), put("a", "3").into()])).unwrap();
    assert_eq!(get(&model, "a"), kv("a", "3", [4, 4, 1]));
    assert_eq!(events(&model, &watch(all(), 4)), ["-a@4 was 2", "+a=3@4"]);
}

#[test]
fn rv_06_header_is_the_stores_revision() {
    let model = store(&[("a", "1"), ("a", "2")]);
    let answer = model.range(&at(one("a"), 2)).unwrap();
    assert_eq!((answer.revision, &answer.kvs[0].value), (3, &"1".into()));
}

#[test]
fn rv_07_empty_key_and_empty_value() {
    let mut model = Model::new();
    assert_eq!(model.put(&put("", "1")), Err(Failure::EmptyKey));
    assert_eq!(model.range(&range(from_key(""))), Err(Failure::EmptyKey));
    assert_eq!(model.delete(&delete(between("", "b"))), Err(Failure::EmptyKey));
    model.put(&put("a", "")).unwrap();
    assert_eq!(get(&model, "a"), kv("a", "", [2, 2, 1]));
}

#[test]
fn rv_09_range_end() {
    let model = store(&[("a", ""), ("a\0", ""), ("aa", ""), ("b", ""), ("\u{7f}", "")]);
    let of = |span| keys(&model.range(&range(span)).unwrap());
    assert_eq!(of(one("a")), ["a"]);
    assert_eq!(of(from_key("aa")), ["aa", "b", "\u{7f}"]);
    assert_eq!(of(all()), ["a", "a\0", "aa", "b", "\u{7f}"]);
    assert_eq!(of(between("a", "b")), ["a", "a\0", "aa"]);
    assert_eq!(of(between("a", "a")), [""; 0]);
}

#[test]
fn rv_09_inverted_range_is_empty_for_range_and_delete() {
    let mut model = store(&[("a", ""), ("b", "")]);
    assert_eq!(model.range(&range(between("b", "a"))).unwrap().count, Some(0));
    let answer = model.delete(&delete(between("b", "a"))).unwrap();
    assert_eq!(answer, DeleteAnswer { revision: 3, deleted: 0, prev_kvs: vec![] });
}

#[test]
fn kv_01_reading_the_past() {
    let mut model = store(&[("a", "1"), ("a", "2"), ("a", "3")]);
    model.compact(3).unwrap();
    assert_eq!(model.range(&at(one("a"), 3)).unwrap().kvs[0].value, "2".into());
    assert_eq!(model.range(&at(one("a"), 0)).unwrap().kvs[0].value, "3".into());
    assert_eq!(model.range(&at(one("a"), 2)), Err(Failure::Compacted(3)));
    assert_eq!(model.range(&at(one("a"), 5)), Err(Failure::FutureRevision(4)));
}

#[test]
fn kv_01_a_deleted_key_is_there_before_its_delete() {
    let mut model = store(&[("a", "1")]);
    model.delete(&delete(one("a"))).unwrap();
    assert_eq!(find(&model, "a"), None);
    assert_eq!(model.range(&at(one("a"), 2)).unwrap().kvs, [kv("a", "1", [2, 2, 1])]);
}

#[test]
fn kv_02_more_only_when_something_was_cut() {
    let model = store(&[("a", ""), ("b", "")]);
    let limited = |limit| model.range(&RangeOp { limit, ..range(all()) }).unwrap();
    assert_eq!((keys(&limited(1)), limited(1).more), (vec!["a".into()], true));
    assert_eq!((keys(&limited(2)).len(), limited(2).more), (2, false));
    assert_eq!((keys(&limited(0)).len(), limited(0).more), (2, false));
}

#[test]
fn kv_03_count_knows_no_limit_and_no_filter() {
    let model = store(&[("a", ""), ("b", ""), ("c", "")]);
    let answer = model.range(&RangeOp { limit: 1, min_mod: 3, ..range(all()) }).unwrap();
    assert_eq!((keys(&answer), answer.more, answer.count), (vec!["b".into()], true, Some(3)));
    assert_eq!(model.range(&at(all(), 3)).unwrap().count, Some(2));
}

#[test]
fn kv_04_count_only() {
    let model = store(&[("a", ""), ("b", "")]);
    let answer = model.range(&RangeOp { limit: 1, count_only: true, ..range(all()) }).unwrap();
    assert_eq!((answer.kvs.len(), answer.more, answer.count), (0, false, Some(2)));
}

#[test]
fn kv_05_sort_by_each_target() {
    let model = store(&[("c", "1"), ("a", "3"), ("b", "2"), ("c", "1")]);
    let by = |target, descend| keys(&model.range(&RangeOp { target, descend, ..range(all()) }).unwrap());
    assert_eq!(by(SortBy::Key, true), ["c", "b", "a"]);
    assert_eq!(by(SortBy::Create, false), ["c", "a", "b"]);
    assert_eq!(by(SortBy::Mod, false), ["a", "b", "c"]);
    assert_eq!(by(SortBy::Mod, true), ["c", "b", "a"]);
    assert_eq!(by(SortBy::Value, false), ["c", "b", "a"]);
    assert_eq!(by(SortBy::Version, true), ["c", "a", "b"]);
}

#[test]
fn ch_14_sort_ties_ascend_by_key() {
    let model = store(&[("b", "v"), ("a", "v"), ("c", "w")]);
    let by = |descend| keys(&model.range(&RangeOp { target: SortBy::Value, descend, ..range(all()) }).unwrap());
    assert_eq!(by(false), ["a", "b", "c"]);
    assert_eq!(by(true), ["c", "a", "b"]);
}

#[test]
fn kv_06_limit_comes_last() {
    let model = store(&[("a", "3"), ("b", "2"), ("c", "1")]);
    let answer = model.range(&RangeOp { target: SortBy::Value, limit: 1, ..range(all()) }).unwrap();
    assert_eq!((keys(&answer), answer.more), (vec!["c".into()], true));
}

#[test]
fn kv_07_revision_filters_are_inclusive() {
    let model = store(&[("a", ""), ("b", ""), ("c", ""), ("a", "")]);
    let of = |op: RangeOp| keys(&model.range(&op).unwrap());
    assert_eq!(of(RangeOp { min_mod: 4, ..range(all()) }), ["a", "c"]);
    assert_eq!(of(RangeOp { max_mod: 4, ..range(all()) }), ["b", "c"]);
    assert_eq!(of(RangeOp { min_create: 3, max_create: 3, ..range(all()) }), ["b"]);
    let cut = model.range(&RangeOp { max_mod: 3, limit: 1, ..range(all()) }).unwrap();
    assert_eq!((cut.more, cut.count), (false, Some(3)));
}

#[test]
fn kv_08_keys_only_leaves_the_rest() {
    let model = store_with_lease(7, "a");
    let answer = model.range(&RangeOp { keys_only: true, ..range(all()) }).unwrap();
    assert_eq!(answer.kvs, [Kv { lease: 7, ..kv("a", "", [2, 2, 1]) }]);
}

#[test]
fn kv_08_keys_only_still_sorts_by_value() {
    let model = store(&[("a", "2"), ("b", "1")]);
    let answer = model.range(&RangeOp { keys_only: true, target: SortBy::Value, ..range(all()) }).unwrap();
    assert_eq!(answer.kvs, [kv("b", "", [3, 3, 1]), kv("a", "", [2, 2, 1])]);
}

#[test]
fn pd_01_unknown_lease_writes_nothing() {
    let mut model = store(&[("a", "1")]);
    assert_eq!(model.put(&PutOp { lease: 9, ..put("a", "2") }), Err(Failure::LeaseNotFound));
    assert_eq!((model.revision(), get(&model, "a").value), (2, "1".into()));
}

#[test]
fn pd_01_a_put_without_lease_detaches() {
    let mut model = store_with_lease(7, "a");
    model.put(&put("a", "2")).unwrap();
    assert_eq!(get(&model, "a").lease, 0);
    assert_eq!(model.time_to_live(7).unwrap().keys, []);
    assert_eq!(model.revoke(7), Ok(3));
}

#[test]
fn pd_02_another_lease_takes_the_key_over() {
    let mut model = store_with_lease(7, "a");
    model.grant(8, std::time::Duration::from_secs(1)).unwrap();
    model.put(&PutOp { lease: 8, ..put("a", "2") }).unwrap();
    assert_eq!(model.time_to_live(7).unwrap().keys, []);
    assert_eq!(model.time_to_live(8).unwrap().keys, ["a".into()]);
}

#[test]
fn pd_03_prev_kv() {
    let mut model = Model::new();
    assert_eq!(model.put(&PutOp { prev_kv: true, ..put("a", "1") }).unwrap().prev, None);
    assert_eq!(model.put(&put("a", "2")).unwrap().prev, None);
    let answer = model.put(&PutOp { prev_kv: true, ..put("a", "3") }).unwrap();
    assert_eq!(answer.prev, Some(kv("a", "2", [2, 3, 2])));
}

#[test]
fn pd_04_ignore_value() {
    let mut model = store(&[("a", "1")]);
    let keep = PutOp { ignore_value: true, ..put("a", "") };
    model.put(&keep).unwrap();
    assert_eq!(get(&model, "a"), kv("a", "1", [2, 3, 2]));
    assert_eq!(events(&model, &watch(all(), 3)), ["+a=1@3 was 1"]);
    assert_eq!(model.put(&PutOp { value: "x".into(), ..keep.clone() }), Err(Failure::ValueProvided));
    assert_eq!(model.put(&PutOp { key: "b".into(), ..keep }), Err(Failure::KeyNotFound));
}

#[test]
fn pd_05_ignore_lease() {
    let mut model = store_with_lease(7, "a");
    let keep = PutOp { ignore_lease: true, ..put("a", "2") };
    model.put(&keep).unwrap();
    assert_eq!(get(&model, "a"), Kv { lease: 7, ..kv("a", "2", [2, 3, 2]) });
    assert_eq!(model.put(&PutOp { lease: 7, ..keep.clone() }), Err(Failure::LeaseProvided));
    assert_eq!(model.put(&PutOp { key: "b".into(), ..keep }), Err(Failure::KeyNotFound));
}

#[test]
fn pd_05_ignore_lease_of_a_key_without_one() {
    let mut model = store(&[("a", "1")]);
    model.put(&PutOp { ignore_lease: true, ignore_value: true, ..put("a", "") }).unwrap();
    assert_eq!(get(&model, "a"), kv("a", "1", [2, 3, 2]));
}

#[test]
fn pd_06_delete_range_in_key_order() {
    let mut model = store(&[("c", "3"), ("a", "1"), ("b", "2")]);
    let answer = model.delete(&DeleteOp { prev_kv: true, ..delete(between("a", "c")) }).unwrap();
    assert_eq!((answer.revision, answer.deleted), (5, 2));
    assert_eq!(answer.prev_kvs, [kv("a", "1", [3, 3, 1]), kv("b", "2", [4, 4, 1])]);
    assert_eq!(events(&model, &watch(all(), 5)), ["-a@5 was 1", "-b@5 was 2"]);
}

#[test]
fn pd_06_deleted_keys_leave_their_leases() {
    let mut model = store_with_lease(7, "a");
    model.delete(&delete(one("a"))).unwrap();
    assert_eq!(model.time_to_live(7).unwrap().keys, []);
}

#[test]
fn pd_07_delete_event_has_key_and_revision_only() {
    let mut model = store_with_lease(7, "a");
    model.delete(&delete(one("a"))).unwrap();
    let event = &model.events(&watch(all(), 3), 3)[0][0];
    assert_eq!((event.delete, &event.kv), (true, &kv("a", "", [0, 3, 0])));
    assert_eq!(event.prev, Some(Kv { lease: 7, ..kv("a", "v", [2, 2, 1]) }));
}

#[test]
fn pd_08_order_of_checks() {
    let mut model = Model::new();
    let wrong = PutOp { lease: 9, ignore_value: true, ..put("missing", "") };
    let flags = PutOp { value: "x".into(), ..wrong.clone() };
    assert_eq!(model.put(&flags), Err(Failure::ValueProvided));
    assert_eq!(model.put(&wrong), Err(Failure::LeaseNotFound));
    assert_eq!(model.txn(&batch(vec![wrong.clone().into()])), Err(Failure::LeaseNotFound));
    assert_eq!(model.put(&PutOp { lease: 0, ..wrong }), Err(Failure::KeyNotFound));
}

#[test]
fn cp_01_compact_bounds() {
    let mut model = store(&[("a", "1"), ("a", "2"), ("a", "3")]);
    assert_eq!(model.compact(5), Err(Failure::FutureRevision(4)));
    assert_eq!(model.compact(3), Ok(4));
    assert_eq!(model.compact(3), Err(Failure::Compacted(3)));
    assert_eq!(model.compact(2), Err(Failure::Compacted(3)));
    assert_eq!(model.compact(4), Ok(4));
    assert_eq!(model.compact_revision(), 4);
}

#[test]
fn cp_01_compact_at_zero_works_once() {
    let mut model = Model::new();
    assert_eq!(model.compact(0), Ok(1));
    assert_eq!(model.compact(0), Err(Failure::Compacted(0)));
    assert_eq!(model.compact(1), Ok(1));
}

#[test]
fn cp_02_the_compact_revision_keeps_its_tombstone() {
    let mut model = store(&[("a", "1"), ("b", "1")]);
    model.delete(&delete(one("a"))).unwrap();
    model.compact(4).unwrap();
    assert_eq!(events(&model, &watch(all(), 4)), ["-a@4"]);
}

#[test]
fn cp_02_all_records_of_the_compact_revision() {
    let mut model = store(&[("a", "1")]);
    model.txn(&batch(vec![delete(all()).into(), put("a", "2").into(), put("b", "2").into()])).unwrap();
    model.compact(3).unwrap();
    assert_eq!(events(&model, &watch(all(), 3)), ["-a@3", "+a=2@3", "+b=2@3"]);
    assert_eq!(keys(&model.range(&at(all(), 3)).unwrap()), ["a", "b"]);
}

#[test]
fn cp_05_live_keys_survive() {
    let mut model = store(&[("a", "1"), ("b", "1"), ("a", "2")]);
    model.compact(4).unwrap();
    assert_eq!(model.range(&at(all(), 4)).unwrap().kvs, [kv("a", "2", [2, 4, 2]), kv("b", "1", [3, 3, 1])]);
    assert_eq!(model.revision(), 4);
}
