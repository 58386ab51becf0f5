//! Properties of the model that hold after any operation of any sequence: the invariants of MVCC (I1 to I9), of
//! watches (I16 to I24) and of lease attachments (I28, I31).
//!
//! I6 (indexes agree with data) has no index to look at here; a key read alone must equal the key in a range.

use super::generate::{Profile, sequence};
use super::reference::{Answer, Event, Failure, Kv, Model, Op, TxnAnswer, WatchOp};
use super::shorthand::{all, one, range, watch};
use std::collections::BTreeMap;

/// Enough to meet every rule many times; a run takes about a second.
const SEQUENCES: u64 = 400;
const LENGTH: usize = 40;

type State = BTreeMap<Vec<u8>, Kv>;

fn state(model: &Model, at: u64) -> State {
    model.state(at).into_iter().map(|(key, kv)| (key.to_vec(), kv.clone())).collect()
}

/// Runs many sequences and shows `check` each step: the operation, the model before and after, and the result.
fn each_step(mut check: impl FnMut(&Op, &Model, &Model, &Result<Answer, Failure>)) {
    for seed in 1..=SEQUENCES {
        let mut model = Model::new();
        for op in sequence(seed, LENGTH, &Profile::ALL) {
            let before = model.clone();
            let result = model.apply(&op);
            check(&op, &before, &model, &result);
        }
    }
}

/// Runs many sequences and shows `check` the store each leaves behind.
fn each_history(check: impl Fn(&Model)) {
    for seed in 1..=SEQUENCES {
        let mut model = Model::new();
        for op in sequence(seed, LENGTH, &Profile::ALL) {
            drop(model.apply(&op));
        }
        check(&model);
    }
}

#[test]
fn i1_i8_revision_rises_by_one_with_each_change_and_only_then() {
    each_step(|op, before, after, _| {
        let (step, changes) = (after.revision() - before.revision(), &after.changes()[before.changes().len()..]);
        let revisions = changes.chunk_by(|a, b| a.revision == b.revision).count() as u64;
        assert_eq!(step, revisions, "{op:?}");
        // Only time makes several revisions at once: one for each lease that ends.
        assert!(step <= 1 || matches!(op, Op::Advance { .. } | Op::Reopen { .. }), "{op:?}");
        assert!(changes.iter().all(|change| change.revision > before.revision()), "{op:?}");
    });
}

#[test]
fn i1_history_is_never_rewritten() {
    each_step(|op, before, after, _| assert!(after.changes().starts_with(before.changes()), "{op:?}"));
}

#[test]
fn i2_versions_and_revisions_of_a_key() {
    each_history(|model| {
        let mut last: BTreeMap<&[u8], Option<&Kv>> = BTreeMap::new();
        for change in model.changes() {
            let old = last.insert(&change.key, change.kv.as_ref()).flatten();
            let Some(kv) = &change.kv else {
                assert!(old.is_some(), "a tombstone follows a live key");
                continue;
            };
            assert!(kv.create <= kv.modified && kv.modified == change.revision && kv.key == change.key);
            match old {
                Some(old) => assert_eq!((kv.version, kv.create), (old.version + 1, old.create)),
                None => assert_eq!((kv.version, kv.create), (1, kv.modified)),
            }
        }
    });
}

#[test]
fn i3_changes_of_a_revision_are_numbered_in_order() {
    each_history(|model| {
        for changes in model.changes().chunk_by(|a, b| a.revision == b.revision) {
            assert!(changes.iter().enumerate().all(|(index, change)| change.sub == index as u64));
        }
        assert!(model.changes().is_sorted_by_key(|change| (change.revision, change.sub)));
    });
}

#[test]
fn i4_the_state_at_a_revision_never_changes() {
    for seed in 1..=SEQUENCES {
        let mut model = Model::new();
        let mut seen: BTreeMap<u64, State> = BTreeMap::new();
        for op in sequence(seed, LENGTH, &Profile::ALL) {
            drop(model.apply(&op));
            seen.insert(model.revision(), state(&model, model.revision()));
        }
        for (revision, seen) in seen {
            assert_eq!(state(&model, revision), seen, "seed {seed}, revision {revision}");
        }
    }
}

#[test]
fn i5_the_compact_revision_only_rises_and_stays_below_the_head() {
    each_step(|op, before, after, _| {
        assert!(before.compact_revision() <= after.compact_revision(), "{op:?}");
        assert!(after.compact_revision() <= after.revision(), "{op:?}");
    });
}

#[test]
fn i6_a_key_alone_equals_the_key_in_a_range() {
    each_history(|model| {
        let kvs = model.range(&range(all())).unwrap().kvs;
        assert!(kvs.is_sorted_by(|a, b| a.key < b.key));
        for kv in kvs {
            let mut span = one("");
            span.key = kv.key.clone();
            assert_eq!(model.range(&range(span)).unwrap().kvs, [kv]);
        }
    });
}

#[test]
fn i7_a_failed_operation_changes_nothing() {
    each_step(|op, before, after, result| {
        // A watcher whose compaction was reported is gone; the store is as before.
        if result.is_err() && !matches!(op, Op::Drain(_)) {
            assert_eq!(before, after, "{op:?}");
        }
    });
}

#[test]
fn i8_reads_change_nothing() {
    each_step(|op, before, after, _| {
        if matches!(op, Op::Range(_) | Op::Hash(_) | Op::TimeToLive(_) | Op::Leases | Op::Progress(_)) {
            assert_eq!(before, after, "{op:?}");
        }
    });
}

#[test]
fn i9_i28_i31_every_attached_key_has_its_lease() {
    each_step(|op, _, after, _| {
        let state = state(after, after.revision());
        for kv in state.values().filter(|kv| kv.lease != 0) {
            assert!(after.lease_exists(kv.lease), "{op:?} leaves {kv:?}");
        }
        for lease in after.leases() {
            let attached = state.values().filter(|kv| kv.lease == lease.id).map(|kv| kv.key.clone());
            assert!(attached.eq(lease.keys), "{op:?}");
        }
    });
}

#[test]
fn tx_13_the_outer_revision_is_the_stores_and_the_nested_is_zero() {
    fn nested_are_zero(txn: &TxnAnswer) -> bool {
        txn.answers.iter().all(|answer| match answer {
            Answer::Txn(nested) => nested.revision == 0 && nested_are_zero(nested),
            _ => true,
        })
    }
    each_step(|op, _, after, result| {
        if let Ok(Answer::Txn(txn)) = result {
            assert_eq!(txn.revision, after.revision(), "{op:?}");
            assert!(nested_are_zero(txn), "{op:?}");
        }
    });
}

#[test]
fn i16_i19_batches_are_ordered_whole_revisions() {
    each_history(|model| {
        let batches = model.events(&watch(all(), 1), 1);
        assert!(batches.iter().all(|batch| batch.iter().all(|event| event.kv.modified == batch[0].kv.modified)));
        assert!(batches.is_sorted_by(|a, b| a[0].kv.modified < b[0].kv.modified));
    });
}

#[test]
fn i17_i18_replayed_events_are_the_store() {
    each_history(|model| {
        let mut replayed = State::new();
        for event in model.events(&watch(all(), 1), 1).into_iter().flatten() {
            match event.delete {
                true => replayed.remove(&*event.kv.key),
                false => replayed.insert(event.kv.key.to_vec(), event.kv),
            };
        }
        assert_eq!(replayed, state(model, model.revision()));
    });
}

#[test]
fn i20_a_watch_resumed_after_any_revision_goes_on_exactly_there() {
    each_history(|model| {
        let whole = model.events(&watch(all(), 1), 1);
        for from in model.compact_revision().max(1)..=model.revision() + 1 {
            let rest: Vec<_> = whole.iter().filter(|batch| batch[0].kv.modified >= from).cloned().collect();
            assert_eq!(model.events(&watch(all(), from), from), rest);
        }
    });
}

/// A watcher as its reader sees it: what was asked for, the first revision of it, and what came.
struct Reader {
    watch: WatchOp,
    from: u64,
    got: Vec<Event>,
}

impl Reader {
    /// All matches up to the progress came, in order, each once, and nothing else.
    fn check(&self, model: &Model, progress: u64) {
        let mut span = self.watch.span.clone();
        if span.key.is_empty() {
            span.key = "\0".into();
        }
        let due = model.changes().iter().filter(|change| {
            let wanted = if change.kv.is_some() { !self.watch.no_put } else { !self.watch.no_delete };
            (self.from..=progress).contains(&change.revision) && span.contains(&change.key) && wanted
        });
        let due = due.map(|change| (change.revision, &change.key, change.kv.is_none()));
        assert!(self.got.iter().map(|event| (event.kv.modified, &event.kv.key, event.delete)).eq(due));
    }
}

#[test]
fn i21_i26_watchers_get_everything_up_to_their_progress_or_learn_of_the_compaction() {
    for seed in 1..=SEQUENCES {
        let mut open: BTreeMap<u8, Reader> = BTreeMap::new();
        let mut model = Model::new();
        for op in sequence(seed, LENGTH, &Profile::ALL) {
            match (&op, model.apply(&op)) {
                (Op::Watch { slot, watch }, Ok(_)) => {
                    let from = if watch.from == 0 { model.revision() + 1 } else { watch.from };
                    open.insert(*slot, Reader { watch: watch.clone(), from, got: Vec::new() });
                }
                (Op::Drain(slot), Ok(Answer::Batches(batches))) if open.contains_key(slot) => {
                    let reader = open.get_mut(slot).unwrap();
                    reader.got.extend(batches.into_iter().flatten());
                    assert_eq!(model.progress(*slot), Some(model.revision().max(reader.from - 1)), "seed {seed}");
                }
                (Op::Drain(slot), Err(failure)) => {
                    assert_eq!(failure, Failure::Compacted(model.compact_revision()), "seed {seed}");
                    assert!(open.remove(slot).is_some(), "seed {seed}: the end is told once");
                }
                (Op::WatchCursor { slot, .. }, Ok(_)) => drop(open.remove(slot)),
                (Op::Reopen { .. }, _) => open.clear(),
                _ => {}
            }
            for (slot, reader) in &open {
                reader.check(&model, model.progress(*slot).unwrap());
            }
        }
    }
}

#[test]
fn i22_i24_kind_match_and_creation() {
    each_history(|model| {
        for event in model.events(&watch(all(), 1), 1).iter().flatten() {
            assert_eq!(event.delete, event.kv.version == 0);
            assert_eq!(!event.delete && event.kv.create == event.kv.modified, event.kv.version == 1);
        }
        let puts = model.events(&WatchOp { no_delete: true, ..watch(one("a"), 1) }, 1);
        assert!(puts.iter().flatten().all(|event| !event.delete && *event.kv.key == *b"a"));
    });
}

#[test]
fn i23_the_previous_value_is_the_key_one_revision_earlier() {
    each_history(|model| {
        for event in model.events(&watch(all(), 1), 1).iter().flatten() {
            let before = event.kv.modified - 1;
            let readable = before >= model.compact_revision() && event.kv.version != 1;
            let prev = state(model, before).remove(&*event.kv.key).filter(|_| readable);
            assert_eq!(event.prev, prev);
        }
    });
}

#[test]
fn sequences_meet_the_gaps_of_duplicate_detection() {
    let (mut twice, mut at_compaction, mut nested) = (0, 0, 0);
    each_step(|op, before, after, result| {
        let changes = &after.changes()[before.changes().len()..];
        let mut keys: Vec<_> = changes.iter().map(|change| (change.revision, &change.key)).collect();
        keys.sort();
        twice += u64::from(keys.windows(2).any(|pair| pair[0] == pair[1]));
        if matches!(op, Op::Compact(_)) && result.is_ok() {
            let compacted = after.compact_revision();
            at_compaction += u64::from(after.changes().iter().any(|change| change.revision == compacted));
        }
        let ran = |answers: &[Answer]| answers.iter().any(|answer| matches!(answer, Answer::Txn(_)));
        nested += u64::from(matches!(result, Ok(Answer::Txn(txn)) if ran(&txn.answers)));
    });
    let counts = [twice, at_compaction, nested];
    assert!(counts.iter().all(|count| *count >= 20), "{counts:?}");
}

#[test]
fn sequences_meet_every_kind_of_answer_and_failure() {
    let mut met: BTreeMap<String, u64> = BTreeMap::new();
    each_step(|_, _, _, result| {
        let text = format!("{result:?}");
        let name = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(2);
        *met.entry(name.collect::<Vec<_>>().join(" ")).or_default() += 1;
    });
    let wanted = ["Ok Done", "Ok Put", "Ok Range", "Ok Delete", "Ok Txn", "Ok Revision", "Ok Millis", "Ok TimeToLive"];
    let more =
        ["Ok Leases", "Ok Progress", "Ok Batches", "Ok Hash", "Err EmptyKey", "Err KeyNotFound", "Err ValueProvided"];
    let rest = ["Err LeaseProvided", "Err EmptyWatchRange", "Err TooLarge", "Err DuplicateKey", "Err Compacted"];
    let last = ["Err FutureRevision", "Err LeaseNotFound", "Err LeaseExists", "Err SessionExpired", "Err TwoDeadlines"];
    for name in wanted.iter().chain(&more).chain(&rest).chain(&last) {
        let count = met.get(*name).copied().unwrap_or(0);
        assert!(count >= 20, "{name} was met {count} times only: {met:?}");
    }
}
