//! etcd's six promises, each checked over random histories: every start revision, every compaction point, batches of
//! one revision and large ones, with publication, compaction and reading interleaved at random.

use super::*;

const HISTORIES: u64 = 60;
const REVISIONS: u64 = 11;

/// What one watch did.
struct Transcript {
    seed: u64,
    start: u64,
    tells_next: bool,
    /// Every match from the start on, compacted or not.
    expected: Vec<Event>,
    steps: Vec<Step>,
    /// The compact revision that ended it.
    ended: Option<u64>,
    store: Store,
    range: KeyRange,
}

/// The state after one call of `try_next`.
struct Step {
    batch: Option<WatchBatch>,
    progress: u64,
    matched: u64,
}

impl Transcript {
    fn delivered(&self) -> impl Iterator<Item = &Event> {
        self.steps.iter().filter_map(|step| step.batch.as_ref()).flatten()
    }

    fn name(&self) -> String {
        format!("seed {}, start {}, {:?}, ended {:?}", self.seed, self.start, self.range, self.ended)
    }
}

fn random_changes(random: &mut Random) -> Vec<(EventKind, &'static str)> {
    let keys = ["a", "b/1", "b/2", "c", "d"];
    let first = random.index(keys.len());
    let count = 1 + random.index(3);
    (0..count)
        .map(|i| {
            if random.below(4) == 0 {
                (EventKind::Delete, keys[(first + i) % 5])
            } else {
                (EventKind::Put, keys[(first + i) % 5])
            }
        })
        .collect()
}

/// One watch from `start` while a history is written, which is compacted once at `compaction`.
fn run(seed: u64, start: u64, compaction: u64, batch_bytes: usize) -> Option<Transcript> {
    let mut random = Random(seed);
    let ranges = [prefix("b/"), KeyRange::key("b/1"), KeyRange::all(), KeyRange::between("b/2", "d")];
    let range = ranges[random.index(ranges.len())].clone();
    let changes: Vec<_> = (0..REVISIONS).map(|_| random_changes(&mut random)).collect();
    let tells_next = random.below(2) == 0;
    let mut store = Store::with(tells_next);
    let mut changes = changes.iter();
    let mut all = Vec::new();
    let mut write = |store: &mut Store| {
        let revision = changes.next().map(|changes| store.write(changes))?;
        all.extend(store.fake.events.lock().iter().filter(|event| event.kv.mod_revision == revision).cloned());
        Some(revision)
    };

    // Not the seed alone: the interleaving differs between the runs of one history.
    let mut random = Random(seed ^ (start << 20) ^ (compaction << 30));
    for _ in 0..random.below(REVISIONS) {
        write(&mut store);
    }
    store.publish();
    let mut watch = store.watch(range.clone()).from(start).batch_bytes(batch_bytes).start().ok()?;
    let start = watch.start_revision().get();
    let (mut steps, mut ended, mut compacted_at) = (Vec::new(), None, 0);
    let mut written = true;
    while written || compacted_at < compaction.min(store.revision) {
        match random.below(4) {
            0 | 1 => {
                written = write(&mut store).is_some();
                if random.below(2) == 0 || !written {
                    store.publish();
                }
            }
            2 if store.hub.matched() >= compaction => {
                store.compact(compaction);
                compacted_at = compaction;
            }
            _ => step(&store, &mut watch, &mut steps, &mut ended),
        }
    }
    store.publish();
    let before = steps.len();
    while ended.is_none() && (steps.len() == before || steps.last().is_some_and(|step| step.batch.is_some())) {
        step(&store, &mut watch, &mut steps, &mut ended);
    }
    assert!(ended.is_none() || watch.try_next().unwrap().is_none(), "after the error, the end");
    let expected = all.into_iter().filter(|e| e.kv.mod_revision.get() >= start && range.contains(&e.kv.key)).collect();
    Some(Transcript { seed, start, tells_next, expected, steps, ended, store, range })
}

fn step(store: &Store, watch: &mut Watch, steps: &mut Vec<Step>, ended: &mut Option<u64>) {
    if ended.is_some() {
        return;
    }
    let result = watch.try_next();
    let (progress, matched) = (watch.progress().get(), store.hub.matched());
    match result {
        Ok(batch) => steps.push(Step { batch, progress, matched }),
        Err(Error::Compacted { compacted }) => {
            *ended = Some(compacted.get());
            assert!(progress + 1 < compacted.get(), "ended although progress {progress} was not passed by {compacted}");
        }
        Err(error) => panic!("{error}"),
    }
}

fn for_all(mut check: impl FnMut(&Transcript)) {
    for seed in 0..HISTORIES {
        for start in 0..REVISIONS + 4 {
            for compaction in 0..=REVISIONS + 1 {
                for batch_bytes in [1, 1 << 20] {
                    if let Some(transcript) = run(seed, start, compaction, batch_bytes) {
                        check(&transcript);
                    }
                }
            }
        }
    }
}

#[test]
fn wa_01_ordered() {
    for_all(|t| {
        let revisions: Vec<_> = t.delivered().map(|event| event.kv.mod_revision).collect();
        assert!(revisions.is_sorted(), "{}", t.name());
        // Within a revision the order is that of the changes (WA-17).
        let mut expected = t.expected.iter();
        assert!(t.delivered().all(|event| expected.any(|e| e == &Event { prev: e.prev.clone(), ..event.clone() })));
    });
}

#[test]
fn wa_01_unique() {
    for_all(|t| {
        let mut seen: Vec<_> = t.delivered().map(|event| (event.kv.mod_revision, &event.kv.key, event.kind)).collect();
        let count = seen.len();
        seen.sort_unstable_by_key(|&(revision, key, kind)| (revision, key, kind == EventKind::Put));
        seen.dedup();
        assert_eq!(seen.len(), count, "{}", t.name());
    });
}

#[test]
fn wa_01_reliable() {
    let mut ended = 0;
    for_all(|t| {
        let delivered: Vec<_> = t.delivered().map(|event| event.kv.clone()).collect();
        let expected: Vec<_> = t.expected.iter().map(|event| event.kv.clone()).collect();
        match t.ended {
            None => assert_eq!(delivered, expected, "{}", t.name()),
            Some(_) => assert!(expected.starts_with(&delivered), "{}", t.name()),
        }
        ended += usize::from(t.ended.is_some());
    });
    assert!(ended > 100, "the cases include watches that compaction ended: {ended}");
}

#[test]
fn wa_01_atomic() {
    for_all(|t| {
        for batch in t.steps.iter().filter_map(|step| step.batch.as_ref()) {
            let (Some(first), Some(last)) = (batch.events().first(), batch.events().last()) else {
                panic!("empty batch")
            };
            assert_eq!(batch.revision(), last.kv.mod_revision);
            let whole = t
                .expected
                .iter()
                .filter(|e| (first.kv.mod_revision..=last.kv.mod_revision).contains(&e.kv.mod_revision));
            assert_eq!(whole.count(), batch.events().len(), "{}", t.name());
        }
    });
}

#[test]
fn wa_01_resumable() {
    for_all(|t| {
        for step in &t.steps {
            let from = step.progress + 1;
            let watch = t.store.watch(t.range.clone()).from(from).start();
            if from < t.store.fake.compact_revision() {
                assert_eq!(compacted(watch), Some(t.store.fake.compact_revision()), "{}", t.name());
                continue;
            }
            let rest: Vec<u64> = t.expected.iter().map(|e| e.kv.mod_revision.get()).filter(|&r| r >= from).collect();
            assert_eq!(drain(&mut watch.unwrap()), rest, "{} from {from}", t.name());
        }
    });
}

#[test]
fn wa_01_bookmarkable() {
    for_all(|t| {
        let mut delivered = 0;
        let mut last = 0;
        for step in &t.steps {
            delivered += step.batch.as_ref().map_or(0, |batch| batch.events().len());
            let up_to = |r: u64| t.expected.iter().filter(|e| e.kv.mod_revision <= Revision::new(r)).count();
            assert_eq!(up_to(step.progress), delivered, "{}: progress {} is exact", t.name(), step.progress);
            assert!(step.progress >= last && step.progress + 1 >= t.start, "{}: it never goes back", t.name());
            // And it is the largest such revision: the next one is an unread match, or not published.
            if t.tells_next && step.batch.is_some() && step.progress < step.matched {
                assert!(up_to(step.progress + 1) > delivered, "{}: progress {} lags", t.name(), step.progress);
            }
            last = step.progress;
        }
    });
}
