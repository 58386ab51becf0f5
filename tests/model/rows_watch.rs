//! Watches: the model against the rows WA and X-05, with values by hand.

use super::reference::{Failure, Model, WatchOp};
use super::shorthand::{all, batch, between, delete, events, from_key, one, put, store, text, watch};

fn drained(model: &mut Model, slot: u8) -> Vec<String> {
    model.drain(slot).unwrap().iter().flatten().map(text).collect()
}

#[test]
fn wa_01_atomic_one_batch_a_revision() {
    let mut model = store(&[("a", "1")]);
    model.txn(&batch(vec![put("b", "2").into(), put("c", "3").into()])).unwrap();
    let sizes: Vec<_> = model.events(&watch(all(), 1), 1).iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 2]);
}

#[test]
fn wa_02_start_at_zero_is_the_next_revision() {
    let mut model = store(&[("a", "1")]);
    model.watch(0, &watch(all(), 0)).unwrap();
    assert_eq!(drained(&mut model, 0), [""; 0]);
    model.put(&put("a", "2")).unwrap();
    assert_eq!(drained(&mut model, 0), ["+a=2@3 was 1"]);
}

#[test]
fn wa_02_start_is_inclusive() {
    let mut model = store(&[("a", "1"), ("a", "2")]);
    model.watch(0, &watch(all(), 2)).unwrap();
    assert_eq!(drained(&mut model, 0), ["+a=1@2", "+a=2@3 was 1"]);
}

#[test]
fn wa_02_future_start_waits() {
    let mut model = store(&[("a", "1")]);
    model.watch(0, &watch(all(), 4)).unwrap();
    model.put(&put("a", "2")).unwrap();
    assert_eq!(drained(&mut model, 0), [""; 0]);
    model.put(&put("a", "3")).unwrap();
    assert_eq!(drained(&mut model, 0), ["+a=3@4 was 2"]);
}

#[test]
fn wa_02_start_at_and_below_the_compact_revision() {
    let mut model = store(&[("a", "1"), ("a", "2"), ("a", "3")]);
    model.compact(3).unwrap();
    assert_eq!(model.watch(0, &watch(all(), 2)), Err(Failure::Compacted(3)));
    model.watch(0, &watch(all(), 3)).unwrap();
    assert_eq!(drained(&mut model, 0), ["+a=2@3", "+a=3@4 was 2"]);
}

#[test]
fn wa_03_keys() {
    let model = store(&[("a", "1"), ("b", "2"), ("c", "3")]);
    assert_eq!(events(&model, &watch(one("b"), 1)), ["+b=2@3"]);
    assert_eq!(events(&model, &watch(between("a", "c"), 1)), ["+a=1@2", "+b=2@3"]);
    assert_eq!(events(&model, &watch(from_key("b"), 1)), ["+b=2@3", "+c=3@4"]);
}

#[test]
fn wa_03_empty_key_is_the_zero_byte() {
    let mut model = store(&[("\0", "1"), ("a", "2")]);
    model.watch(0, &watch(one(""), 1)).unwrap();
    model.watch(1, &watch(from_key(""), 1)).unwrap();
    assert_eq!(drained(&mut model, 0), ["+\0=1@2"]);
    assert_eq!(drained(&mut model, 1), ["+\0=1@2", "+a=2@3"]);
}

#[test]
fn wa_03_empty_range_is_refused() {
    let mut model = Model::new();
    assert_eq!(model.watch(0, &watch(between("b", "a"), 0)), Err(Failure::EmptyWatchRange));
    assert_eq!(model.watch(0, &watch(between("a", "a"), 0)), Err(Failure::EmptyWatchRange));
    assert_eq!(model.watch(0, &watch(from_key("b"), 0)), Ok(()));
}

#[test]
fn wa_07_prev_kv_absent_for_a_creation() {
    let mut model = store(&[("a", "1")]);
    model.delete(&delete(one("a"))).unwrap();
    model.put(&put("a", "2")).unwrap();
    assert_eq!(events(&model, &watch(all(), 1)), ["+a=1@2", "-a@3 was 1", "+a=2@4"]);
    assert_eq!(events(&model, &WatchOp { prev_kv: false, ..watch(all(), 3) }), ["-a@3", "+a=2@4"]);
}

#[test]
fn wa_07_prev_kv_goes_with_its_revision() {
    let mut model = store(&[("a", "1"), ("a", "2"), ("a", "3")]);
    model.compact(3).unwrap();
    assert_eq!(events(&model, &watch(all(), 3)), ["+a=2@3", "+a=3@4 was 2"]);
}

#[test]
fn wa_07_prev_kv_of_an_old_key_counts_the_events_revision() {
    // The value before is from revision 2, far below the compaction; what counts is revision 4, which can be read.
    let mut model = store(&[("a", "1"), ("b", "1"), ("b", "2"), ("a", "2")]);
    model.compact(4).unwrap();
    assert_eq!(events(&model, &watch(one("a"), 5)), ["+a=2@5 was 1"]);
}

#[test]
fn wa_07_put_then_delete_in_one_revision() {
    let mut model = store(&[("a", "1")]);
    let puts = batch(vec![put("a", "2").into(), put("b", "2").into()]);
    model.txn(&batch(vec![puts.into(), delete(all()).into()])).unwrap();
    // Both events of a key refer to the revision before; b was not there.
    assert_eq!(events(&model, &watch(all(), 3)), ["+a=2@3 was 1", "+b=2@3", "-a@3 was 1", "-b@3"]);
}

#[test]
fn wa_08_filters() {
    let mut model = store(&[("a", "1")]);
    model.delete(&delete(one("a"))).unwrap();
    assert_eq!(events(&model, &WatchOp { no_put: true, ..watch(all(), 1) }), ["-a@3 was 1"]);
    assert_eq!(events(&model, &WatchOp { no_delete: true, ..watch(all(), 1) }), ["+a=1@2"]);
}

#[test]
fn wa_08_progress_moves_past_what_is_filtered() {
    let mut model = store(&[]);
    model.watch(0, &WatchOp { no_put: true, ..watch(all(), 0) }).unwrap();
    model.put(&put("a", "1")).unwrap();
    assert_eq!((drained(&mut model, 0).len(), model.progress(0)), (0, Some(2)));
}

#[test]
fn wa_17_sub_revision_order() {
    let mut model = Model::new();
    model.txn(&batch(vec![put("c", "1").into(), put("a", "2").into(), put("b", "3").into()])).unwrap();
    assert_eq!(events(&model, &watch(all(), 1)), ["+c=1@2", "+a=2@2", "+b=3@2"]);
}

#[test]
fn x_05_progress_is_what_was_taken() {
    let mut model = store(&[("a", "1")]);
    model.watch(0, &watch(one("a"), 0)).unwrap();
    model.put(&put("b", "1")).unwrap();
    assert_eq!(model.progress(0), Some(3));
    model.put(&put("a", "2")).unwrap();
    model.put(&put("b", "2")).unwrap();
    assert_eq!(model.progress(0), Some(3));
    assert_eq!(drained(&mut model, 0), ["+a=2@4 was 1"]);
    assert_eq!(model.progress(0), Some(5));
}

#[test]
fn x_05_progress_before_a_future_start() {
    let mut model = Model::new();
    model.watch(0, &watch(all(), 9)).unwrap();
    assert_eq!(model.progress(0), Some(8));
}

#[test]
fn x_05_compaction_ends_a_watcher_with_a_pending_match_once() {
    let mut model = store(&[("a", "1")]);
    model.watch(0, &watch(all(), 0)).unwrap();
    model.put(&put("a", "2")).unwrap();
    model.put(&put("a", "3")).unwrap();
    model.compact(4).unwrap();
    assert_eq!(model.drain(0), Err(Failure::Compacted(4)));
    assert_eq!(model.drain(0), Ok(vec![]));
}

#[test]
fn x_05_compaction_never_ends_a_watcher_with_nothing_pending() {
    let mut model = store(&[("a", "1")]);
    model.watch(0, &watch(one("b"), 0)).unwrap();
    model.put(&put("a", "2")).unwrap();
    model.compact(3).unwrap();
    model.put(&put("b", "1")).unwrap();
    assert_eq!(drained(&mut model, 0), ["+b=1@4"]);
}

#[test]
fn x_05_an_unexamined_revision_counts_as_pending() {
    let mut model = store(&[("a", "1")]);
    model.watch(0, &watch(one("b"), 2)).unwrap();
    model.put(&put("a", "2")).unwrap();
    model.compact(3).unwrap();
    assert_eq!(model.drain(0), Err(Failure::Compacted(3)));
}

#[test]
fn x_05_a_match_at_the_compact_revision_is_delivered() {
    let mut model = store(&[("a", "1")]);
    model.watch(0, &watch(all(), 0)).unwrap();
    model.put(&put("a", "2")).unwrap();
    model.compact(3).unwrap();
    assert_eq!(drained(&mut model, 0), ["+a=2@3"]);
}
