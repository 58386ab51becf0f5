//! Runs a sequence on a target and on the model, and compares every answer, every error and, at the end, everything
//! that can be read: each readable revision, a watch from each, all leases.
//!
//! A failing sequence is made smaller by leaving out operations while it still fails, then printed with its seed.
//! `ETCLITE_SEED` replays one seed, `ETCLITE_SEQUENCES` sets how many sequences a run checks.

#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use super::generate::{Profile, sequence};
use super::reference::{
    Answer, Blob, Failure, Model, Op, RangeAnswer, RangeOp, Remembered, Span, TxnAnswer, TxnItem, TxnOp, WatchOp,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A store under test. The model's types are its language.
pub(crate) trait Target {
    /// Runs one operation. [`Op::Drain`] of a slot without an open watcher answers no batches, [`Op::Progress`] none; a watcher that failed
    /// is gone; opening one in a slot replaces the one there; [`Op::Reopen`] drops them all.
    fn apply(&mut self, op: &Op) -> Result<Answer, Failure>;
    /// The store's revision.
    fn revision(&self) -> u64;
    /// The compact revision, 0 if nothing was compacted.
    fn compact_revision(&self) -> u64;
}

/// Where target and model first disagreed.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// Index of the operation; at or past the end of the sequence, one of the final audit.
    pub(crate) index: usize,
    pub(crate) text: String,
}

/// Checks `count` sequences from seed 1 on, on all cores, each on a target of its own; panics at the first mismatch.
pub(crate) fn check_seeds<T: Target>(count: u64, profile: &Profile, fresh: impl Fn() -> T + Sync) {
    if let Some(seed) = environment("ETCLITE_SEED") {
        return report(&check_seed(seed, profile, &fresh));
    }
    let count = environment("ETCLITE_SEQUENCES").unwrap_or(count);
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let failure = std::thread::scope(|scope| {
        let work = |first: u64| {
            let fresh = &fresh;
            move || {
                let seeds = (first..=count).step_by(usize::try_from(workers).expect("few cores"));
                seeds.map(|seed| check_seed(seed, profile, fresh)).find(Option::is_some).flatten()
            }
        };
        let threads: Vec<_> = (1..=workers).map(|first| scope.spawn(work(first))).collect();
        threads.into_iter().map(|thread| thread.join().expect("targets' panics are caught")).find(Option::is_some)
    });
    report(&failure.flatten());
}

/// Checks one sequence, as a fuzz target does; panics if target and model disagree.
pub(crate) fn check_sequence<T: Target>(origin: &str, ops: &[Op], fresh: impl Fn() -> T) {
    report(&failure_of(origin, ops, &fresh));
}

fn environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

fn report(failure: &Option<String>) {
    if let Some(failure) = failure {
        panic!("{failure}");
    }
}

fn check_seed<T: Target>(seed: u64, profile: &Profile, fresh: &impl Fn() -> T) -> Option<String> {
    // Short ones find most and print best; some are long enough for history to pile up.
    let length = [12, 25, 40, 80][usize::try_from(seed % 4).expect("below four")];
    failure_of(&format!("ETCLITE_SEED={seed}"), &sequence(seed, length, profile), fresh)
}

fn failure_of<T: Target>(origin: &str, ops: &[Op], fresh: &impl Fn() -> T) -> Option<String> {
    let mismatch = run(ops, fresh)?;
    let (small, mismatch) = shrink(ops.to_vec(), mismatch, fresh);
    let mut text = format!("{origin}: the store disagrees with the model\n");
    for (index, op) in small.iter().enumerate() {
        let mark = if index == mismatch.index { ">" } else { " " };
        writeln!(text, "{mark} {index:3} {op:?}").expect("a string takes what is written");
    }
    Some(text + &mismatch.text)
}

/// Leaves out what is not needed for the sequence to fail: first what comes after the mismatch, then ever smaller
/// pieces. Any failure counts, not only the first one.
fn shrink<T: Target>(mut ops: Vec<Op>, mut mismatch: Mismatch, fresh: &impl Fn() -> T) -> (Vec<Op>, Mismatch) {
    ops.truncate(mismatch.index + 1);
    let mut piece = ops.len().div_ceil(2).max(1);
    loop {
        let mut start = 0;
        let mut smaller = false;
        while start < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(start..(start + piece).min(ops.len()));
            match run(&fewer, fresh) {
                Some(found) => (ops, mismatch, smaller) = (fewer, found, true),
                None => start += piece,
            }
        }
        match piece {
            1 if !smaller => return (ops, mismatch),
            1 => {}
            _ => piece /= 2,
        }
    }
}

/// The first mismatch of a sequence; a panic of the target is one.
pub(crate) fn run<T: Target>(ops: &[Op], fresh: &impl Fn() -> T) -> Option<Mismatch> {
    let mut index = 0;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut pair = Pair { model: Model::new(), target: fresh(), hashes: BTreeMap::new() };
        for op in ops {
            if let Some(text) = pair.step(op) {
                return Some(text);
            }
            index += 1;
        }
        compare_everything(&pair.model, &mut pair.target)
    }));
    let text = outcome.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Some(format!("the store panicked: {}", message.unwrap_or_default()))
    });
    text.map(|text| Mismatch { index, text })
}

/// Compares everything that can be read, as at the end of a sequence: for a store that was recovered and should now be
/// as this model. It opens a watch of its own and writes nothing.
pub(crate) fn compare_everything<T: Target>(model: &Model, target: &mut T) -> Option<String> {
    let mut pair = Pair { model: model.clone(), target, hashes: BTreeMap::new() };
    audit(model).iter().find_map(|op| pair.step(op).map(|text| format!("in the final audit, {op:?}\n{text}")))
}

impl<T: Target> Target for &mut T {
    fn apply(&mut self, op: &Op) -> Result<Answer, Failure> {
        (**self).apply(op)
    }
    fn revision(&self) -> u64 {
        (**self).revision()
    }
    fn compact_revision(&self) -> u64 {
        (**self).compact_revision()
    }
}

/// Model and target side by side, with the hashes seen so far by revision and compact revision.
struct Pair<T> {
    model: Model,
    target: T,
    hashes: BTreeMap<(u64, u64), u64>,
}

impl<T: Target> Pair<T> {
    /// Runs an operation on both and says how they disagree.
    fn step(&mut self, op: &Op) -> Option<String> {
        let expected = self.model.apply(op);
        let mut actual = self.target.apply(op);
        if let Some(text) = self.check_hash(op, &mut actual) {
            return Some(text);
        }
        if let (Ok(expected), Ok(actual)) = (&expected, &mut actual) {
            forgive(op, expected, actual);
        }
        if expected != actual {
            return Some(format!("  model: {expected:?}\n  store: {actual:?}"));
        }
        let expected = (self.model.revision(), self.model.compact_revision());
        let actual = (self.target.revision(), self.target.compact_revision());
        (expected != actual)
            .then(|| format!("  revision, compact revision of the model: {expected:?}, store: {actual:?}"))
    }

    /// The model has no hash, but one revision has one hash, whatever the store did in the meantime.
    fn check_hash(&mut self, op: &Op, actual: &mut Result<Answer, Failure>) -> Option<String> {
        let (Op::Hash(revision), Ok(Answer::Hash(hash))) = (op, actual) else { return None };
        let hash = hash.take()?;
        let at = if *revision == 0 { self.model.revision() } else { *revision };
        let first = *self.hashes.entry((at, self.model.compact_revision())).or_insert(hash);
        (first != hash).then(|| format!("  the hash at {at} was {first:x} and is {hash:x}"))
    }
}

/// Evens out what a store may answer in more than one way, and only that.
pub(crate) fn forgive(op: &Op, expected: &Answer, actual: &mut Answer) {
    match (op, expected, actual) {
        (Op::Once { op, .. }, Answer::Once { answer: expected, .. }, Answer::Once { answer: actual, .. }) => {
            forgive(op, expected, actual);
        }
        (Op::Range(range), Answer::Range(expected), Answer::Range(actual)) => forgive_count(range, expected, actual),
        (Op::Txn(txn), Answer::Txn(expected), Answer::Txn(actual)) => forgive_txn(txn, expected, actual),
        (Op::Drain(_), Answer::Batches(expected), Answer::Batches(batches)) => {
            // A batch may hold several revisions, but a revision never spans two batches (I19).
            let last = |batch: &[_]| batch.last().map(|event: &super::reference::Event| event.kv.modified);
            let whole = batches.windows(2).all(|pair| last(&pair[0]) < pair[1].first().map(|event| event.kv.modified));
            let same = batches.iter().flatten().eq(expected.iter().flatten());
            if whole && same && batches.iter().all(|batch| !batch.is_empty()) {
                batches.clone_from(expected);
            }
        }
        _ => {}
    }
}

/// The count may be missing where a limit made it unknown and nobody asked for it (KV-03).
fn forgive_count(range: &RangeOp, expected: &RangeAnswer, actual: &mut RangeAnswer) {
    if actual.count.is_none() && range.limit != 0 && !range.with_count && !range.count_only {
        actual.count = expected.count;
    }
}

fn forgive_txn(txn: &TxnOp, expected: &TxnAnswer, actual: &mut TxnAnswer) {
    let items = if expected.succeeded { &txn.then } else { &txn.or_else };
    for ((item, expected), actual) in items.iter().zip(&expected.answers).zip(&mut actual.answers) {
        match (item, expected, actual) {
            (TxnItem::Range(range), Answer::Range(expected), Answer::Range(actual)) => {
                forgive_count(range, expected, actual);
            }
            (TxnItem::Txn(nested), Answer::Txn(expected), Answer::Txn(actual)) => forgive_txn(nested, expected, actual),
            _ => {}
        }
    }
}

/// Reads everything: all keys at each readable revision and one to either side, every event from each revision on,
/// each key alone, the leases, and what is remembered of operations: repeating them changes nothing.
pub(crate) fn audit(model: &Model) -> Vec<Op> {
    let all = Span { key: Blob(vec![0]), end: Blob(vec![0]) };
    let (head, compacted) = (model.revision(), model.compact_revision());
    let mut ops = vec![Op::Leases];
    for revision in compacted.saturating_sub(1)..=head + 1 {
        ops.push(Op::Range(RangeOp { span: all.clone(), revision, ..RangeOp::default() }));
    }
    for from in compacted.saturating_sub(1).max(1)..=head + 1 {
        let slot = u8::MAX;
        let watch = WatchOp { span: all.clone(), from, prev_kv: true, ..WatchOp::default() };
        ops.extend([Op::Watch { slot, watch }, Op::Drain(slot)]);
    }
    for key in model.state(head).into_keys() {
        let span = Span { key: key.into(), end: Blob::default() };
        ops.push(Op::Range(RangeOp { span, ..RangeOp::default() }));
    }
    ops.extend(model.leases().iter().map(|lease| Op::TimeToLive(lease.id)));
    ops.extend([Op::Remembered, Op::Cursors]);
    ops.extend(model.cursors().into_iter().flat_map(|(name, ..)| {
        let slot = u8::MAX;
        [Op::WatchCursor { slot, name }, Op::Drain(slot)]
    }));
    let repeat = |known: &Remembered| Op::Once { id: known.id, since: Some(0), op: Box::new(known.op.clone()) };
    ops.extend(model.remembered().iter().map(repeat));
    ops
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Event, LeaseInfo};
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The model as a target, with a bug planted in what it is asked or in what it answers.
    struct Planted {
        model: Model,
        asked: fn(&mut Op),
        answered: fn(&mut Answer),
    }

    impl Target for Planted {
        fn apply(&mut self, op: &Op) -> Result<Answer, Failure> {
            let mut op = op.clone();
            (self.asked)(&mut op);
            let mut answer = self.model.apply(&op)?;
            (self.answered)(&mut answer);
            Ok(answer)
        }
        fn revision(&self) -> u64 {
            self.model.revision()
        }
        fn compact_revision(&self) -> u64 {
            self.model.compact_revision()
        }
    }

    fn planted(asked: fn(&mut Op), answered: fn(&mut Answer)) -> impl Fn() -> Planted {
        move || Planted { model: Model::new(), asked, answered }
    }

    fn caught(asked: fn(&mut Op), answered: fn(&mut Answer)) -> String {
        let fresh = planted(asked, answered);
        let found = (1..=300).find_map(|seed| check_seed(seed, &Profile::ALL, &fresh));
        found.expect("the planted bug is found within 300 sequences")
    }

    #[test]
    fn a_right_store_passes() {
        check_seeds(300, &Profile::ALL, planted(|_| {}, |_| {}));
    }

    #[test]
    fn batches_of_several_revisions_pass_but_not_half_ones() {
        let join = |answer: &mut Answer| {
            if let Answer::Batches(batches) = answer {
                let joined: Vec<Event> = batches.drain(..).flatten().collect();
                batches.extend((!joined.is_empty()).then_some(joined));
            }
        };
        check_seeds(100, &Profile::ALL, planted(|_| {}, join));
        caught(
            |_| {},
            |answer| {
                if let Answer::Batches(batches) = answer {
                    *batches = batches.drain(..).flatten().map(|event| vec![event]).collect();
                }
            },
        );
    }

    #[test]
    fn a_count_may_only_be_missing_where_it_is_unknown() {
        caught(
            |_| {},
            |answer| {
                if let Answer::Range(range) = answer {
                    range.count = None;
                }
            },
        );
    }

    #[test]
    fn a_watch_that_resumes_off_by_one_is_caught() {
        caught(
            |op| {
                if let Op::Watch { watch, .. } = op {
                    watch.from += u64::from(watch.from != 0);
                }
            },
            |_| {},
        );
    }

    #[test]
    fn a_txn_that_runs_its_nested_parts_first_is_caught() {
        caught(
            |op| {
                if let Op::Txn(txn) = op {
                    txn.then.sort_by_key(|item| !matches!(item, TxnItem::Txn(_)));
                }
            },
            |_| {},
        );
    }

    #[test]
    fn a_from_key_delete_that_stops_at_the_highest_byte_is_caught() {
        caught(
            |op| {
                if let Op::Delete(delete) = op
                    && delete.span.is_from_key()
                {
                    delete.span.end = Blob(vec![0xff]);
                }
            },
            |_| {},
        );
    }

    #[test]
    fn a_compaction_one_revision_too_far_is_caught() {
        caught(
            |op| {
                if let Op::Compact(revision) = op {
                    *revision += 1;
                }
            },
            |_| {},
        );
    }

    #[test]
    fn a_previous_value_in_place_of_none_is_caught() {
        caught(
            |_| {},
            |answer| {
                if let Answer::Batches(batches) = answer {
                    for event in batches.iter_mut().flatten() {
                        event.prev.get_or_insert_default();
                    }
                }
            },
        );
    }

    #[test]
    fn a_hash_that_changes_is_caught() {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        caught(
            |_| {},
            |answer| {
                if let Answer::Hash(hash) = answer {
                    *hash = Some(CALLS.fetch_add(1, Ordering::Relaxed));
                }
            },
        );
    }

    #[test]
    fn a_forgotten_lease_is_caught() {
        caught(
            |op| {
                if let Op::Put(put) = op {
                    put.lease = put.lease.min(0);
                }
            },
            |_| {},
        );
    }

    #[test]
    fn a_refreshed_lease_is_caught() {
        caught(
            |op| {
                if let Op::Reopen { renewed, .. } = op {
                    *renewed = true;
                }
            },
            |_| {},
        );
    }

    #[test]
    fn leases_in_the_wrong_order_are_caught() {
        caught(
            |_| {},
            |answer| {
                if let Answer::Leases(leases) = answer {
                    leases.sort_by_key(|LeaseInfo { id, .. }| *id);
                }
            },
        );
    }

    #[test]
    fn a_panic_is_caught_and_the_sequence_is_small() {
        let text = caught(|op| assert!(!matches!(op, Op::Compact(3)), "planted panic"), |_| {});
        assert!(text.contains("planted panic") && text.contains("ETCLITE_SEED="), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
