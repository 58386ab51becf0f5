//! The line of those who stand for one name: its keys in the order of their creation.
//!
//! Who waits must know which key is just before its own, and must look again each time that one goes. Asking the store
//! costs a walk over all keys of the name, which with ten thousand waiters is what a hand-over would consist of. So all
//! waiters of a process share a `Line`: the keys as of one revision, and a watch to bring them up to date. Nobody waits
//! on that watch; whoever wants to know reads what is new, which is the one change that woke him.
//!
//! ```text
//!   store:   lk/a@5  lk/b@6  lk/c@8              the first owns the lock; b waits for a, c for b
//!   a goes:          lk/b@6  lk/c@8              b's watch on lk/a wakes b; b looks: it is the first
//!   b dies:                  lk/c@8              c's watch on lk/b wakes c; c looks: it is the first
//! ```
//!
//! A line says what is published, never less than what its caller has been told of: a write that has returned, or an
//! event of a watch that the caller has dropped since. The latter takes the hub's lock, in which all watches of a
//! revision are marked, so that the line's is marked too.
//!
//! A line exists while somebody stands in it, or has a queue of that name. It holds the name of every key below its prefix,
//! some 150 bytes each beside the name itself: with ten million, gigabytes. That is what a look at a queue's oldest item
//! costs, since a store is not ordered by creation; who has longer queues takes one by priority, which is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::coordination::stand::Stands;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::kv::{Event, EventKind, KeyRange, Revision};
use crate::op::{Range, Token};
use crate::watch::Watch;

/// The lines of a store, by prefix.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Taken alone, for a moment.
    known: Mutex<Known>,
    /// How often somebody who waits was woken.
    pub(super) wakes: AtomicU64,
    pub(super) stands: Stands,
}

#[derive(Debug, Default)]
struct Known {
    by_prefix: BTreeMap<Bytes, Weak<Line>>,
    /// How many there may be before those are dropped that nobody stands in.
    bound: usize,
}

/// The keys of one prefix.
#[derive(Debug)]
pub(super) struct Line {
    prefix: Bytes,
    /// `None` until somebody asks, and after the watch has ended. Held while storage is read.
    state: Mutex<Option<Keys>>,
}

#[derive(Debug)]
struct Keys {
    watch: Watch,
    /// In the order of creation, those of one revision by key.
    by_creation: BTreeSet<(Revision, Bytes)>,
    by_key: BTreeMap<Bytes, Revision>,
}

/// Where a key stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is not there any more.
    Gone,
    /// Nothing that blocks it is before it.
    First,
    /// This is the last key before it of those that block it.
    Behind(Bytes),
}

impl Lines {
    /// How often somebody who waits was woken, for tests to see that nobody is for nothing.
    #[cfg(feature = "_testing")]
    pub(crate) fn wakes(&self) -> u64 {
        self.wakes.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The line of a prefix.
    pub(super) fn line(&self, prefix: &Bytes) -> Arc<Line> {
        let mut known = self.known.lock();
        if let Some(line) = known.by_prefix.get(prefix).and_then(Weak::upgrade) {
            return line;
        }
        if known.by_prefix.len() >= known.bound {
            known.by_prefix.retain(|_, line| line.strong_count() > 0);
            known.bound = 2 * known.by_prefix.len() + 16;
        }
        let line = Arc::new(Line { prefix: prefix.clone(), state: Mutex::new(None) });
        known.by_prefix.insert(prefix.clone(), Arc::downgrade(&line));
        line
    }
}

impl Line {
    /// Where a key stands, by its creation, among those that `blocks` says may block it, and the revision as of which that is.
    pub(super) fn place(&self, db: &Db, own: &Token, blocks: &dyn Fn(&[u8]) -> bool) -> Result<(Place, Revision)> {
        let mut state = self.state.lock();
        let keys = self.refresh(db, &mut state)?;
        Ok((keys.place(own, blocks), keys.watch.progress()))
    }

    /// The key that was created first, if there is one, and the revision as of which that is.
    pub(super) fn first(&self, db: &Db) -> Result<(Option<Bytes>, Revision)> {
        let mut state = self.state.lock();
        let keys = self.refresh(db, &mut state)?;
        Ok((keys.by_creation.first().map(|(_, key)| key.clone()), keys.watch.progress()))
    }

    /// Brings the line up to date, from the beginning if need be.
    fn refresh<'s>(&self, db: &Db, state: &'s mut Option<Keys>) -> Result<&'s Keys> {
        loop {
            let keys = match &mut *state {
                Some(keys) => keys,
                none => none.insert(self.load(db)?),
            };
            match keys.watch.try_next() {
                Ok(Some(batch)) => batch.into_iter().for_each(|event| keys.note(event)),
                Ok(None) => break,
                // A compaction was faster: what it has dropped is not missed once the line is read anew.
                Err(Error::Compacted { .. }) => *state = None,
                Err(error) => {
                    *state = None;
                    return Err(error);
                }
            }
        }
        Ok(state.as_ref().expect("loaded above"))
    }

    fn load(&self, db: &Db) -> Result<Keys> {
        let range = KeyRange::prefix(&self.prefix);
        let snapshot = db.snapshot()?;
        let watch = db.watch(range.clone()).from(snapshot.revision() + 1).start()?;
        let mut keys = Keys { watch, by_creation: BTreeSet::new(), by_key: BTreeMap::new() };
        for kv in snapshot.range(Range::new(range).keys_only())? {
            let kv = kv?;
            keys.insert(kv.key, kv.create_revision);
        }
        Ok(keys)
    }
}

impl Keys {
    fn note(&mut self, event: Event) {
        let key = event.kv.key;
        match event.kind {
            EventKind::Put => self.insert(key, event.kv.create_revision),
            EventKind::Delete => self.remove(&key),
        }
    }

    fn insert(&mut self, key: Bytes, created: Revision) {
        if self.by_key.get(&key) != Some(&created) {
            self.remove(&key);
            self.by_creation.insert((created, key.clone()));
            self.by_key.insert(key, created);
        }
    }

    fn remove(&mut self, key: &Bytes) {
        if let Some(created) = self.by_key.remove(key) {
            self.by_creation.remove(&(created, key.clone()));
        }
    }

    fn place(&self, own: &Token, blocks: &dyn Fn(&[u8]) -> bool) -> Place {
        if self.by_key.get(&own.key) != Some(&own.revision) {
            return Place::Gone;
        }
        let before = self.by_creation.range(..(own.revision, own.key.clone())).rev();
        match before.map(|(_, key)| key).find(|key| blocks(key)) {
            None => Place::First,
            Some(key) => Place::Behind(key.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(key: &str, revision: u64) -> Token {
        Token::new(key, revision, 0)
    }

    #[test]
    fn places_are_by_creation() {
        let db = Db::in_memory().expect("a store in memory opens");
        let line = db.lines().line(&"l/".into());
        let place = |key, revision| line.place(&db, &standing(key, revision), &|_| true).expect("it is open");
        db.put("l/b", "").expect("put");
        db.put("l/a", "").expect("put");
        db.put("other", "").expect("put");
        assert_eq!(place("l/b", 2), (Place::First, Revision::new(4)));
        assert_eq!(place("l/a", 3).0, Place::Behind("l/b".into()));
        assert_eq!(place("l/a", 2).0, Place::Gone);
        db.put("l/b", "changed").expect("put");
        assert_eq!(place("l/a", 3).0, Place::Behind("l/b".into()));
        db.delete("l/b").expect("delete");
        db.put("l/b", "").expect("put");
        assert_eq!((place("l/a", 3).0, place("l/b", 7).0), (Place::First, Place::Behind("l/a".into())));
        let only_c = line.place(&db, &standing("l/b", 7), &|key| key == b"l/c").expect("it is open");
        assert_eq!(only_c.0, Place::First);
    }

    #[test]
    fn a_compaction_that_passes_the_line_is_survived() {
        let db = Db::in_memory().expect("a store in memory opens");
        let line = db.lines().line(&"l/".into());
        db.put("l/a", "").expect("put");
        assert_eq!(line.place(&db, &standing("l/a", 2), &|_| true).expect("open").0, Place::First);
        db.delete("l/a").expect("delete");
        db.put("l/b", "").expect("put");
        db.put("x", "").expect("put");
        db.compact(5).expect("compact");
        assert_eq!(line.place(&db, &standing("l/b", 4), &|_| true).expect("open").0, Place::First);
        assert_eq!(line.place(&db, &standing("l/a", 2), &|_| true).expect("open").0, Place::Gone);
    }

    #[test]
    fn lines_go_with_those_who_stand_in_them() {
        let lines = Lines::default();
        let first = lines.line(&"l/".into());
        assert!(Arc::ptr_eq(&first, &lines.line(&"l/".into())));
        for number in 0..1_000 {
            lines.line(&format!("{number}/").into());
        }
        assert!(lines.known.lock().by_prefix.len() < 40);
        assert!(Arc::ptr_eq(&first, &lines.line(&"l/".into())));
    }
}
