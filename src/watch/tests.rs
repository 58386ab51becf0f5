//! A history in a vector, and the promises of a watch over random ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::io::{Clock, Now};
use crate::kv::{EventKind, KeyValue, Revision, prefix};

mod promises;
mod rules;
mod threads;

/// Splitmix64: small, seeded, the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
struct TestClock(Mutex<Duration>);

impl TestClock {
    fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        Now { mono: *self.0.lock(), ..Now::default() }
    }

    fn random(&self, _: &mut [u8]) {}
}

/// All events ever, in order, and what compaction and damage make of them.
struct Fake {
    events: Mutex<Vec<Event>>,
    compacted: AtomicU64,
    reads: AtomicU64,
    /// Whether a cut page tells where it goes on.
    tells_next: bool,
    fails_with: Mutex<Option<Error>>,
    /// Runs once in the middle of the next read, as another thread could.
    meanwhile: Mutex<Option<Meanwhile>>,
}

/// What an event counts in a page.
fn event_bytes(event: &Event) -> usize {
    96 + event.kv.key.len() + event.kv.value.len()
}

type Meanwhile = Box<dyn FnOnce(&Fake) + Send>;

impl History for Fake {
    fn compact_revision(&self) -> u64 {
        self.compacted.load(Ordering::Acquire)
    }

    fn events(&self, range: &KeyRange, from: u64, to: u64, prev_kv: bool, bytes_max: usize) -> Result<Page> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if let Some(meanwhile) = self.meanwhile.lock().take() {
            meanwhile(self);
        }
        if let Some(error) = self.fails_with.lock().clone() {
            return Err(error);
        }
        let all = self.events.lock();
        let mut page = Page { events: Vec::new(), examined: to, next: None };
        let (mut bytes, mut last) = (0, 0);
        let first = all.partition_point(|event| event.kv.mod_revision.get() < from);
        for event in all[first..].iter().filter(|event| range.contains(&event.kv.key)) {
            let revision = event.kv.mod_revision.get();
            if revision > to {
                break;
            }
            if revision != last && bytes >= bytes_max {
                page.examined = last;
                page.next = self.tells_next.then_some(revision);
                break;
            }
            (bytes, last) = (bytes + event_bytes(event), revision);
            let prev = if prev_kv { event.prev.clone() } else { None };
            page.events.push(Event { prev, ..event.clone() });
        }
        Ok(page)
    }
}

/// A store as its watches see it.
struct Store {
    fake: Arc<Fake>,
    hub: Arc<Hub>,
    clock: Arc<TestClock>,
    revision: u64,
}

impl Store {
    fn new() -> Self {
        Store::with(true)
    }

    fn with(tells_next: bool) -> Self {
        let fake = Arc::new(Fake {
            events: Mutex::default(),
            compacted: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            tells_next,
            fails_with: Mutex::default(),
            meanwhile: Mutex::default(),
        });
        let clock = Arc::new(TestClock::default());
        let as_history: Arc<dyn History> = fake.clone();
        let hub = Hub::new(Arc::downgrade(&as_history), clock.clone(), 1, 100_000);
        Store { fake, hub, clock, revision: 1 }
    }

    /// The next revision's changes: visible, but not published to the hub.
    fn write(&mut self, changes: &[(EventKind, &str)]) -> u64 {
        self.revision += 1;
        for (kind, key) in changes {
            let event = event(*kind, key, self.revision, &self.fake.events.lock());
            self.fake.events.lock().push(event);
        }
        self.revision
    }

    /// Publishes all that is not published.
    fn publish(&self) {
        let all = self.fake.events.lock();
        let matched = Revision::new(self.hub.matched());
        let new: Vec<_> = all.iter().filter(|event| event.kv.mod_revision > matched).cloned().collect();
        drop(all);
        self.hub
            .publish(self.revision, &mut new.iter().map(|event| (event.kv.mod_revision.get(), event.kv.key.clone())));
    }

    fn put(&mut self, key: &str) -> u64 {
        self.commit(&[(EventKind::Put, key)])
    }

    fn delete(&mut self, key: &str) -> u64 {
        self.commit(&[(EventKind::Delete, key)])
    }

    fn commit(&mut self, changes: &[(EventKind, &str)]) -> u64 {
        let revision = self.write(changes);
        self.publish();
        self.hub.wake();
        revision
    }

    /// Publishes the compact revision, and drops what it allows to drop.
    fn compact(&self, revision: u64) {
        self.fake.compact(revision);
    }

    fn watch(&self, range: impl Into<KeyRange>) -> WatchBuilder {
        WatchBuilder::new(Arc::clone(&self.hub), range.into())
    }
}

impl Fake {
    fn compact(&self, revision: u64) {
        self.compacted.store(revision, Ordering::Release);
        self.events.lock().retain(|event| event.kv.mod_revision.get() >= revision);
    }
}

fn event(kind: EventKind, key: &str, revision: u64, before: &[Event]) -> Event {
    let last = before.iter().rev().find(|event| event.kv.key == key);
    let prev = last.filter(|event| event.kind == EventKind::Put).map(|event| event.kv.clone());
    let mut kv =
        KeyValue { key: Bytes::copy_from_slice(key.as_bytes()), mod_revision: revision.into(), ..Default::default() };
    if kind == EventKind::Put {
        kv.create_revision = prev.as_ref().map_or(revision.into(), |prev| prev.create_revision);
        kv.version = prev.as_ref().map_or(1, |prev| prev.version + 1);
        kv.value = Bytes::from(format!("{key}@{revision}"));
    }
    Event { kind, kv, prev }
}

/// The revisions of all batches that are there now.
fn drain(watch: &mut Watch) -> Vec<u64> {
    let mut revisions = Vec::new();
    while let Some(batch) = watch.try_next().unwrap() {
        revisions.extend(batch.events().iter().map(|event| event.kv.mod_revision.get()));
    }
    revisions
}

fn compacted<T>(result: Result<T>) -> Option<u64> {
    match result {
        Err(Error::Compacted { compacted }) => Some(compacted.get()),
        _ => None,
    }
}
