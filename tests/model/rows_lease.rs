//! Leases: the model against the rows LE, X-07, CH-03 and CH-05, with values by hand.

use super::reference::{Failure, LeaseInfo, Model, PutOp};
use super::shorthand::{all, events, find, get, put, store_with_lease, watch};
use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn ids(model: &Model) -> Vec<i64> {
    model.leases().iter().map(|lease| lease.id).collect()
}

#[test]
fn le_01_grant_takes_no_revision() {
    let mut model = Model::new();
    assert_eq!(model.grant(1, ms(5)), Ok(5));
    assert_eq!(model.revision(), 1);
    assert_eq!(model.grant(1, ms(5)), Err(Failure::LeaseExists));
}

#[test]
fn le_01_too_large_ttl() {
    let mut model = Model::new();
    assert_eq!(model.grant(1, Duration::new(9_000_000_000, 1)), Err(Failure::TooLarge));
    assert_eq!(model.grant(1, Duration::MAX), Err(Failure::TooLarge));
    assert_eq!(model.grant(1, Duration::from_secs(9_000_000_000)), Ok(9_000_000_000_000));
    assert_eq!(model.grant(1, Duration::MAX), Err(Failure::TooLarge));
}

#[test]
fn le_02_negative_ids_are_accepted() {
    let mut model = store_with_lease(-7, "a");
    assert_eq!(get(&model, "a").lease, -7);
    assert_eq!(model.revoke(-7), Ok(3));
}

#[test]
fn ch_03_ttl_rounds_up_to_milliseconds() {
    let mut model = Model::new();
    assert_eq!(model.grant(1, Duration::ZERO), Ok(1));
    assert_eq!(model.grant(2, Duration::from_nanos(1)), Ok(1));
    assert_eq!(model.grant(3, Duration::from_micros(1_001)), Ok(2));
    assert_eq!(model.grant(4, Duration::from_secs(2)), Ok(2_000));
}

#[test]
fn le_03_revoke_deletes_in_key_order_in_one_revision() {
    let mut model = store_with_lease(7, "b");
    model.put(&PutOp { lease: 7, ..put("a", "1") }).unwrap();
    assert_eq!(model.revoke(7), Ok(4));
    assert_eq!(events(&model, &watch(all(), 4)), ["-a@4 was 1", "-b@4 was v"]);
    assert_eq!(model.revoke(7), Err(Failure::LeaseNotFound));
    assert_eq!(model.revoke(0), Err(Failure::LeaseNotFound));
}

#[test]
fn le_03_a_revoked_lease_takes_no_put() {
    let mut model = store_with_lease(7, "a");
    model.revoke(7).unwrap();
    assert_eq!(model.put(&PutOp { lease: 7, ..put("a", "1") }), Err(Failure::LeaseNotFound));
}

#[test]
fn le_04_keep_alive_answers_the_granted_ttl() {
    let mut model = Model::new();
    model.grant(1, ms(10)).unwrap();
    model.advance(9);
    assert_eq!(model.keep_alive(1), Ok(10));
    model.advance(9);
    assert_eq!(model.time_to_live(1).unwrap().remaining_ms, 1);
    assert_eq!(model.keep_alive(2), Err(Failure::LeaseNotFound));
}

#[test]
fn le_05_time_to_live() {
    let mut model = store_with_lease(7, "b");
    model.put(&PutOp { lease: 7, ..put("a", "1") }).unwrap();
    model.advance(1_000);
    let keys = vec!["a".into(), "b".into()];
    let info = LeaseInfo { id: 7, granted_ms: 3_600_000, remaining_ms: 3_599_000, keys };
    assert_eq!(model.time_to_live(7), Some(info));
    assert_eq!(model.time_to_live(8), None);
}

#[test]
fn le_06_leases_by_deadline_then_id() {
    let mut model = Model::new();
    for (id, ttl) in [(4, 20), (3, 10), (-7, 20), (1, 30)] {
        model.grant(id, ms(ttl)).unwrap();
    }
    assert_eq!(ids(&model), [3, -7, 4, 1]);
    model.advance(5);
    model.keep_alive(3).unwrap();
    assert_eq!(ids(&model), [3, -7, 4, 1]);
    model.advance(7);
    model.keep_alive(3).unwrap();
    assert_eq!(ids(&model), [-7, 4, 3, 1]);
}

#[test]
fn x_07_expiry_at_the_deadline_and_never_before() {
    let mut model = Model::new();
    model.grant(1, ms(10)).unwrap();
    model.put(&PutOp { lease: 1, ..put("a", "1") }).unwrap();
    model.advance(9);
    assert!(find(&model, "a").is_some());
    model.advance(1);
    assert_eq!((find(&model, "a"), model.revision()), (None, 3));
    assert_eq!(model.keep_alive(1), Err(Failure::LeaseNotFound));
}

#[test]
fn le_07_one_revision_a_lease_in_order_of_deadline() {
    let mut model = Model::new();
    for (id, ttl, key) in [(1, 20, "a"), (2, 10, "b"), (3, 15, "c")] {
        model.grant(id, ms(ttl)).unwrap();
        model.put(&PutOp { lease: id, ..put(key, "") }).unwrap();
    }
    model.grant(4, ms(5)).unwrap();
    model.advance(100);
    // Lease 4 has no keys, so it ends without a revision.
    assert_eq!(events(&model, &watch(all(), 5)), ["-b@5 was ", "-c@6 was ", "-a@7 was "]);
    assert_eq!(model.leases(), []);
}

#[test]
fn le_08_time_runs_on_while_closed() {
    let mut model = Model::new();
    model.grant(1, ms(100)).unwrap();
    model.advance(50);
    model.reopen(40, false);
    assert_eq!(model.time_to_live(1).unwrap().remaining_ms, 10);
    model.reopen(10, false);
    assert_eq!(model.time_to_live(1), None);
}

#[test]
fn le_08_reopening_does_not_keep_a_lease_alive() {
    let mut model = Model::new();
    model.grant(1, ms(100)).unwrap();
    for _ in 0..100 {
        model.reopen(1, false);
    }
    assert_eq!(model.time_to_live(1), None);
}

#[test]
fn ch_05_only_a_renewal_refreshes() {
    let mut model = Model::new();
    model.grant(1, ms(100)).unwrap();
    model.grant(2, ms(30)).unwrap();
    model.reopen(40, true);
    assert_eq!(ids(&model), [1]);
    assert_eq!(model.time_to_live(1).unwrap().remaining_ms, 100);
}

#[test]
fn le_09_attachments_survive_reopen() {
    let mut model = store_with_lease(7, "a");
    let before = model.clone();
    model.reopen(0, false);
    assert_eq!(model, before);
    assert_eq!(model.time_to_live(7).unwrap().keys, ["a".into()]);
}
