//! What the parent knows of a store from the acknowledgements it read, and how it compares that with what is there.
//!
//! After a kill each thread of the worker has at most one operation in doubt. So whatever is found beyond what was
//! acknowledged takes at most one revision for each thread and kill; ends of short leases come on top, and delete
//! nothing but their keys. What was found once must be there for ever after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use etclite::{Db, EventKind, KeyRange, Range};

use crate::load::EXPIRING;

/// The changes of one revision: key, and value or deletion; by key.
pub(crate) type Changes = BTreeMap<String, Option<String>>;

/// What one worker told.
#[derive(Default)]
pub(crate) struct Told {
    acks: Vec<Ack>,
}

struct Ack {
    ms: u64,
    thread: u64,
    what: What,
}

enum What {
    Changed { revision: u64, changes: Changes },
    Granted { id: i64 },
    Revoking { id: i64 },
    Revoked { id: i64, revision: u64, changes: Changes },
    Compacted { revision: u64 },
}

impl Ack {
    fn revision(&self) -> Option<u64> {
        match self.what {
            What::Changed { revision, .. } | What::Revoked { revision, .. } => Some(revision),
            _ => None,
        }
    }
}

impl Told {
    pub(crate) fn add(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap_or_else(|_| panic!("the worker said {line:?}"));
        let id = || words[3].parse().unwrap();
        let what = match words[1] {
            "e" => What::Changed { revision: number(3), changes: changes(&words[4..]) },
            "g" => What::Granted { id: id() },
            "i" => What::Revoking { id: id() },
            "r" => What::Revoked { id: id(), revision: number(4), changes: changes(&words[5..]) },
            "c" => What::Compacted { revision: number(3) },
            _ => panic!("the worker said {line:?}"),
        };
        self.acks.push(Ack { ms: number(0), thread: number(2), what });
    }

    pub(crate) fn len(&self) -> usize {
        self.acks.len()
    }
}

fn changes(items: &[&str]) -> Changes {
    let one = |item: &&str| match item.strip_prefix('-') {
        Some(key) => (key.to_owned(), None),
        None => {
            let (key, value) = item[1..].split_once('=').unwrap();
            (key.to_owned(), Some(value.to_owned()))
        }
    };
    items.iter().map(one).collect()
}

/// Live keys with mod revision and value.
type Live = BTreeMap<String, (u64, String)>;

/// What must be there.
pub(crate) struct Expected {
    /// Whether what was acknowledged survives a kill.
    durable: bool,
    /// By revision: acknowledged, or found by an earlier verification.
    history: BTreeMap<u64, Changes>,
    /// Up to here the history was found whole, with these live keys.
    verified: u64,
    live: Live,
    leases: BTreeSet<i64>,
    compacted: u64,
    /// How many operations are in doubt since the last verification.
    in_doubt: usize,
    /// What was told since the store was last known to be open.
    told: Told,
    /// How many acknowledgements were ever taken for certain, and how many a buffered store lost.
    pub(crate) certain: usize,
    pub(crate) lost: usize,
}

/// A buffered store hands its writes over within a millisecond; a busy machine needs longer.
const LOSS_MAX: Duration = Duration::from_millis(1500);

impl Expected {
    pub(crate) fn new(durable: bool) -> Self {
        Expected {
            durable,
            history: BTreeMap::new(),
            verified: 1,
            live: Live::new(),
            leases: BTreeSet::new(),
            compacted: 0,
            in_doubt: 0,
            told: Told::default(),
            certain: 0,
            lost: 0,
        }
    }

    /// A worker was killed.
    pub(crate) fn killed(&mut self, told: Told, threads: usize) {
        assert_eq!(self.told.len(), 0, "settled before the next worker writes");
        self.told = told;
        self.in_doubt += threads;
    }

    /// The store was opened again and is at `recovered`: now it is known what of the last acknowledgements is certain.
    pub(crate) fn settle(&mut self, recovered: u64) {
        let acks = std::mem::take(&mut self.told).acks;
        let highest = acks.iter().filter_map(Ack::revision).max().unwrap_or(0).max(self.verified);
        if self.durable {
            assert!(recovered >= highest, "revision {highest} was acknowledged, {recovered} recovered");
        }
        self.check_loss(&acks, recovered);
        // The last acknowledgement of each thread that is known to have survived.
        let mut last: BTreeMap<u64, usize> = BTreeMap::new();
        for (at, ack) in acks.iter().enumerate() {
            if self.durable || ack.revision().is_some_and(|revision| revision <= recovered) {
                last.insert(ack.thread, at);
            }
        }
        for (at, ack) in acks.into_iter().enumerate() {
            let certain = last.get(&ack.thread).is_some_and(|last| at <= *last);
            self.take(ack, certain);
        }
    }

    fn check_loss(&mut self, acks: &[Ack], recovered: u64) {
        let end = acks.last().map_or(0, |ack| ack.ms);
        for ack in acks.iter().filter(|ack| ack.revision().is_some_and(|revision| revision > recovered)) {
            self.lost += 1;
            let age = Duration::from_millis(end.saturating_sub(ack.ms));
            assert!(age <= LOSS_MAX, "an acknowledgement {age:?} before the kill was lost");
        }
    }

    fn take(&mut self, ack: Ack, certain: bool) {
        self.certain += usize::from(certain);
        match ack.what {
            What::Changed { revision, changes } if certain => drop(self.history.insert(revision, changes)),
            What::Revoked { id, revision, changes } if certain => {
                self.leases.remove(&id);
                self.history.insert(revision, changes);
            }
            What::Granted { id } if certain => drop(self.leases.insert(id)),
            What::Compacted { revision } if certain => self.compacted = self.compacted.max(revision),
            What::Revoking { id } | What::Revoked { id, .. } => drop(self.leases.remove(&id)),
            What::Changed { .. } | What::Granted { .. } | What::Compacted { .. } => {}
        }
    }

    /// Compares with what is there.
    pub(crate) fn verify(&mut self, db: &Db) {
        let (head, compacted) = (db.revision().get(), db.compact_revision().get());
        assert_eq!(db.check().unwrap().problems, [], "check");
        assert!(compacted >= self.compacted, "compacted at {}, recovered {compacted}", self.compacted);
        let found = history(db, compacted.max(1), head);
        for revision in compacted.max(1) + 1..=head {
            assert!(found.contains_key(&revision), "nothing at revision {revision} of {head}");
        }
        self.verify_revisions(&found, compacted);
        self.verify_live(db, &found, head, compacted);
        let leases: BTreeSet<i64> = db.leases().unwrap().iter().map(|status| status.id.get()).collect();
        let gone: Vec<&i64> = self.leases.difference(&leases).collect();
        assert!(gone.is_empty(), "leases {gone:?} were granted and are gone");
        self.history.extend(found);
        self.verified = head;
        self.in_doubt = 0;
    }

    /// What was acknowledged or seen is there; what else is there was in doubt.
    fn verify_revisions(&self, found: &BTreeMap<u64, Changes>, compacted: u64) {
        for (revision, changes) in self.history.range(compacted.max(1) + 1..) {
            assert_eq!(found.get(revision), Some(changes), "revision {revision} was acknowledged");
        }
        let surplus: Vec<&u64> = found
            .iter()
            .filter(|(revision, changes)| !self.history.contains_key(revision) && !is_expiry(changes))
            .map(|(revision, _)| revision)
            .collect();
        assert!(surplus.len() <= self.in_doubt, "revisions {surplus:?} were never in doubt: {} were", self.in_doubt);
    }

    /// The live keys are what those of the last verification and the history since come to. Below a compaction that was
    /// never read before, what was in doubt may be missing from that history.
    fn verify_live(&mut self, db: &Db, found: &BTreeMap<u64, Changes>, head: u64, compacted: u64) {
        let mut expected = std::mem::take(&mut self.live);
        for (revision, changes) in self.history.range(..=compacted).chain(found) {
            for (key, value) in changes.iter().filter(|_| *revision > self.verified) {
                match value {
                    Some(value) => expected.insert(key.clone(), (*revision, value.clone())),
                    None => expected.remove(key.as_str()),
                };
            }
        }
        for kv in db.range(Range::new(KeyRange::all()).at(head)).unwrap() {
            let kv = kv.unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            self.live.insert(text(&kv.key), (kv.mod_revision.get(), text(&kv.value)));
        }
        let keys: BTreeSet<&String> = expected.keys().chain(self.live.keys()).collect();
        let differing: Vec<_> = keys
            .into_iter()
            .filter(|key| expected.get(*key) != self.live.get(*key))
            .map(|key| (key, expected.get(key), self.live.get(key)))
            .collect();
        let in_doubt = if compacted > self.verified { 3 * self.in_doubt } else { 0 };
        let unread = |key: &String| key.starts_with(EXPIRING) && compacted > self.verified;
        let count = differing.iter().filter(|(key, ..)| !unread(key)).count();
        assert!(count <= in_doubt, "{in_doubt} keys are in doubt, but expected and found are {differing:?}");
    }
}

/// Whether a revision can be the end of a short lease, or a write whose worker died before it could tell.
fn is_expiry(changes: &Changes) -> bool {
    changes.iter().all(|(key, value)| key.starts_with(EXPIRING) && value.is_none())
}

/// The retained changes of every revision above `after`, read by a watch.
fn history(db: &Db, after: u64, head: u64) -> BTreeMap<u64, Changes> {
    let mut found: BTreeMap<u64, Changes> = BTreeMap::new();
    if after >= head {
        return found;
    }
    let mut watch = db.watch(KeyRange::all()).from(after + 1).start().unwrap();
    while found.last_key_value().is_none_or(|(revision, _)| *revision < head) {
        let batch = watch.next().expect("the head is not reached").unwrap();
        // Short leases go on ending meanwhile.
        for event in batch.events().iter().filter(|event| event.kv.mod_revision.get() <= head) {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let value = (event.kind == EventKind::Put).then(|| text(&event.kv.value));
            found.entry(event.kv.mod_revision.get()).or_default().insert(text(&event.kv.key), value);
        }
    }
    found
}
