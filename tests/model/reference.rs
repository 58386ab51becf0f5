//! The reference model: the semantics of the store in the most naive way that could be right.
//!
//! The whole store is one list of every change ever made. Nothing is indexed, nothing is forgotten and nothing is
//! derived ahead of time: each answer walks the list again, each txn clones the store first, so that "the state before
//! the txn" is a value and not an argument. Compaction only moves a number. Where etcd's documents and its code
//! disagree, the ids in the comments name the row of the specification that decides.
//!
//! It shares no code with the engine, so that an error would have to be made twice to go unseen. Other test binaries
//! include it with `#[path = "../model/reference.rs"] mod reference;`.

#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

#[path = "answers.rs"]
mod answers;
#[path = "cursors.rs"]
mod cursors;
#[path = "leases.rs"]
mod leases;
#[path = "remembered.rs"]
mod remembered;
#[path = "vocabulary.rs"]
mod vocabulary;

pub(crate) use answers::*;
pub(crate) use cursors::{AdvanceOp, CURSORS_MAX, Cursor};
pub(crate) use remembered::{OPERATION_IDS_AGE, OPERATION_IDS_MAX, Remembered};
use std::collections::{BTreeMap, BTreeSet};
pub(crate) use vocabulary::*;

/// Every change that was made, the few numbers beside it, leases, watchers and a clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// In order of revision and sub-revision. Those above `revision` belong to the txn that is running.
    changes: Vec<Change>,
    revision: u64,
    /// `None` until the first compaction: not the same as a compaction at 0 (CP-01).
    compacted: Option<u64>,
    /// What was ordered to be compacted; cursors may hold it back.
    ordered: Option<u64>,
    cursors: BTreeMap<Blob, Cursor>,
    leases: BTreeMap<i64, Lease>,
    watchers: BTreeMap<u8, Watcher>,
    /// The operations with an id, oldest first, and the highest revision of one that was forgotten.
    remembered: Vec<Remembered>,
    forgotten: u64,
    now_ms: u64,
    /// The budget of TX-08; unlimited by default (CH-04).
    max_txn_ops: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lease {
    ttl_ms: u64,
    /// When it ends; once it has lapsed, when its keys go.
    deadline_ms: u64,
    delay_ms: u64,
    lapsed: bool,
    /// Made for keys that were put for a time.
    hidden: bool,
}

/// A watcher has seen everything below `next`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Watcher {
    op: WatchOp,
    next: u64,
    /// It began in the past and has not looked yet, so its first revision is unexamined.
    unexamined: bool,
}

impl Model {
    /// A new store: revision 1, nothing compacted (RV-01).
    pub(crate) fn new() -> Self {
        Model {
            changes: Vec::new(),
            revision: 1,
            compacted: None,
            ordered: None,
            cursors: BTreeMap::new(),
            leases: BTreeMap::new(),
            watchers: BTreeMap::new(),
            remembered: Vec::new(),
            forgotten: 0,
            now_ms: 0,
            max_txn_ops: usize::MAX,
        }
    }

    /// A new store with the limit on operations of TX-08, as `serve` has one.
    pub(crate) fn with_txn_budget(max_txn_ops: usize) -> Self {
        Model { max_txn_ops, ..Model::new() }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The compact revision; 0 if nothing was ever compacted.
    pub(crate) fn compact_revision(&self) -> u64 {
        self.compacted.unwrap_or(0)
    }

    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether a lease is there, if only because its keys still are.
    pub(crate) fn lease_exists(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    pub(crate) fn has_lapsed(&self, id: i64) -> bool {
        self.leases.get(&id).is_some_and(|lease| lease.lapsed)
    }

    pub(crate) fn leases_lapsed(&self) -> usize {
        self.leases.values().filter(|lease| lease.lapsed).count()
    }

    fn is_usable(&self, id: i64) -> bool {
        self.leases.get(&id).is_some_and(|lease| !lease.lapsed && !lease.hidden)
    }

    /// The live keys at a revision, or with `u64::MAX` those of the running txn.
    pub(crate) fn state(&self, at: u64) -> BTreeMap<&[u8], &Kv> {
        let mut state = BTreeMap::new();
        for change in self.changes.iter().filter(|change| change.revision <= at) {
            match &change.kv {
                Some(kv) => state.insert(&*change.key, kv),
                None => state.remove(&*change.key),
            };
        }
        state
    }

    /// Runs any operation: what a generated sequence is made of.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<Answer, Failure> {
        let mut answer = self.answer(op)?;
        answer.hide();
        Ok(answer)
    }

    fn answer(&mut self, op: &Op) -> Result<Answer, Failure> {
        Ok(match op {
            Op::Put(put) => Answer::Put(self.put(put)?),
            Op::Range(range) => Answer::Range(self.range(range)?),
            Op::Delete(delete) => Answer::Delete(self.delete(delete)?),
            Op::Txn(txn) => Answer::Txn(self.txn(txn)?),
            Op::Compact(revision) => Answer::Revision(self.compact(*revision)?),
            Op::Hash(revision) => {
                self.check_revision(*revision)?;
                Answer::Hash(None)
            }
            Op::Grant(grant) => Answer::Millis(self.grant_with(grant)?),
            Op::Revoke(id) => Answer::Revision(self.revoke(*id)?),
            Op::KeepAlive(id) => Answer::Millis(self.keep_alive(*id)?),
            Op::TimeToLive(id) => Answer::TimeToLive(self.time_to_live(*id)),
            Op::Leases => Answer::Leases(self.leases()),
            Op::CreateCursor { name, span, no_delete, max_lag, at } => {
                self.create_cursor(name, span, *no_delete, *max_lag, *at)?
            }
            Op::ResetCursor { name, to } => self.reset_cursor(name, *to)?,
            Op::DropCursor(name) => self.drop_cursor(name)?,
            Op::WatchCursor { slot, name } => self.watch_cursor(*slot, name)?,
            Op::Cursors => Answer::Cursors(self.cursors()),
            Op::Once { id, since, op } => self.once(*id, *since, op)?,
            Op::Remembered => Answer::Ids(self.remembered.iter().map(|known| (known.id, known.revision)).collect()),
            Op::Watch { slot, watch } => {
                self.watch(*slot, watch)?;
                Answer::Done
            }
            Op::Drain(slot) => Answer::Batches(self.drain(*slot)?),
            Op::Progress(slot) => Answer::Progress(self.progress(*slot)),
            Op::Advance { ms } => {
                self.advance(*ms);
                Answer::Done
            }
            Op::Reopen { elapsed_ms, renewed } => {
                self.reopen(*elapsed_ms, *renewed);
                Answer::Done
            }
        })
    }

    // Keys and values.

    pub(crate) fn put(&mut self, put: &PutOp) -> Result<PutAnswer, Failure> {
        put.check_shape()?;
        self.check_put(put)?;
        let leases = self.leases.clone();
        let answer = self.write(|model| model.run_put(put));
        if answer.is_err() {
            self.leases = leases;
        }
        answer
    }

    pub(crate) fn delete(&mut self, delete: &DeleteOp) -> Result<DeleteAnswer, Failure> {
        delete.span.check_key()?;
        self.write(|model| Ok(model.run_delete(delete)))
    }

    pub(crate) fn range(&self, range: &RangeOp) -> Result<RangeAnswer, Failure> {
        range.span.check_key()?;
        self.check_revision(range.revision)?;
        Ok(self.run_range(range))
    }

    /// Runs `body`; what it recorded becomes the next revision, or goes if it fails (RV-02, RV-03, CH-12).
    fn write<T>(&mut self, body: impl FnOnce(&mut Model) -> Result<T, Failure>) -> Result<T, Failure> {
        let before = self.changes.len();
        let result = body(self);
        match &result {
            Ok(_) => self.revision = self.seen(),
            Err(_) => self.changes.truncate(before),
        }
        result
    }

    /// The revision that an operation reports: the new one from the first change on (TX-06, TX-13).
    fn seen(&self) -> u64 {
        self.changes.last().map_or(self.revision, |change| self.revision.max(change.revision))
    }

    fn record(&mut self, key: &Blob, kv: Option<Kv>) {
        let revision = self.revision + 1;
        let sub = self.changes.iter().filter(|change| change.revision == revision).count() as u64;
        self.changes.push(Change { revision, sub, key: key.clone(), kv });
    }

    /// What etcd checks before it writes: the lease first, then the missing key (PD-08).
    fn check_put(&self, put: &PutOp) -> Result<(), Failure> {
        if put.lease != 0 && !self.is_usable(put.lease) {
            return Err(Failure::LeaseNotFound);
        }
        let needs_key = put.ignore_value || put.ignore_lease;
        if needs_key && !self.state(u64::MAX).contains_key(&*put.key) { Err(Failure::KeyNotFound) } else { Ok(()) }
    }

    fn check_revision(&self, revision: u64) -> Result<(), Failure> {
        if revision == 0 {
            Ok(())
        } else if revision > self.revision {
            Err(Failure::FutureRevision(self.revision))
        } else if revision < self.compact_revision() {
            Err(Failure::Compacted(self.compact_revision()))
        } else {
            Ok(())
        }
    }

    fn run_put(&mut self, put: &PutOp) -> Result<PutAnswer, Failure> {
        let old = self.state(u64::MAX).get(&*put.key).copied().cloned();
        let revision = self.revision + 1;
        let (create, version) = old.as_ref().map_or((revision, 1), |old| (old.create, old.version + 1));
        let lease = put.ttl_ms.map_or(put.lease, |ttl_ms| self.hidden_lease(ttl_ms.max(1)));
        let mut kv = Kv { key: put.key.clone(), value: put.value.clone(), create, modified: revision, version, lease };
        if put.ignore_value || put.ignore_lease {
            // Passed the check, then an earlier operation of the txn deleted the key: etcd panics here (TX-12).
            let old = old.as_ref().ok_or(Failure::KeyNotFound)?;
            if put.ignore_value {
                kv.value = old.value.clone();
            }
            if put.ignore_lease {
                kv.lease = old.lease;
            }
        }
        self.record(&put.key, Some(kv));
        Ok(PutAnswer { revision, prev: old.filter(|_| put.prev_kv) })
    }

    fn run_delete(&mut self, delete: &DeleteOp) -> DeleteAnswer {
        let gone: Vec<Kv> =
            self.state(u64::MAX).into_values().filter(|kv| delete.span.contains(&kv.key)).cloned().collect();
        for kv in &gone {
            self.record(&kv.key, None);
        }
        let deleted = gone.len() as u64;
        DeleteAnswer { revision: self.seen(), deleted, prev_kvs: if delete.prev_kv { gone } else { Vec::new() } }
    }

    /// Filters, sorts, then cuts (KV-06); the count knows nothing of any of it (KV-03).
    fn run_range(&self, range: &RangeOp) -> RangeAnswer {
        let at = if range.revision == 0 { u64::MAX } else { range.revision };
        let mut kvs: Vec<Kv> =
            self.state(at).into_values().filter(|kv| range.span.contains(&kv.key)).cloned().collect();
        let count = Some(kvs.len() as u64);
        if range.count_only {
            return RangeAnswer { revision: self.seen(), kvs: Vec::new(), more: false, count };
        }
        kvs.retain(|kv| range.passes(kv));
        // The sort is stable and what it sorts is in key order, so ties ascend by key in both directions (CH-14).
        kvs.sort_by(|a, b| {
            let order = range.target.compare(a, b);
            if range.descend { order.reverse() } else { order }
        });
        let limit = if range.limit == 0 { usize::MAX } else { usize::try_from(range.limit).unwrap_or(usize::MAX) };
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        if range.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Blob::default());
        }
        RangeAnswer { revision: self.seen(), kvs, more, count }
    }

    // Txns.

    /// Shape of both branches, duplicates of both, then the checks of the branch taken, then the writes (TX-11).
    pub(crate) fn txn(&mut self, txn: &TxnOp) -> Result<TxnAnswer, Failure> {
        txn.check_shape(self.max_txn_ops)?;
        check_duplicates(&txn.then)?;
        check_duplicates(&txn.or_else)?;
        if !txn.fences.iter().all(|token| self.is_held(token)) {
            return Err(Failure::SessionExpired);
        }
        let before = self.clone();
        before.check_txn(txn, &mut before.clone())?;
        let result = self.write(|model| model.run_txn(txn, &before));
        if result.is_err() {
            self.leases = before.leases;
            self.cursors = before.cursors;
        }
        let answer = result?;
        self.settle_compaction();
        Ok(TxnAnswer { revision: self.revision, ..answer })
    }

    /// Whether a token holds. The model's time stands still while it is asked: no lease is past its deadline.
    fn is_held(&self, token: &TokenOp) -> bool {
        let state = self.state(u64::MAX);
        let lock = state.get(&*token.key).filter(|kv| kv.create == token.create && kv.lease == token.lease);
        lock.is_some() && self.is_usable(token.lease)
    }

    /// `ahead` is the store as it was, but with the leases and cursors as earlier operations leave them: of these, and of
    /// nothing else, they count.
    fn check_txn(&self, txn: &TxnOp, ahead: &mut Model) -> Result<(), Failure> {
        for item in self.branch(txn) {
            match item {
                TxnItem::Put(put) => ahead.check_put(put)?,
                TxnItem::Range(range) => self.check_revision(range.revision)?,
                TxnItem::Delete(_) => {}
                TxnItem::Txn(nested) => self.check_txn(nested, ahead)?,
                TxnItem::Grant(grant) => {
                    ahead.grant_with(grant)?;
                }
                TxnItem::Revoke(id) => {
                    ahead.check_revocable(*id)?;
                    ahead.leases.remove(id);
                }
                TxnItem::Advance(advance) => ahead.advance_cursor(advance)?,
            }
        }
        Ok(())
    }

    fn branch<'a>(&self, txn: &'a TxnOp) -> &'a [TxnItem] {
        if self.holds(&txn.compares) { &txn.then } else { &txn.or_else }
    }

    /// `before` is the store before the outermost txn: it alone decides branches (TX-05).
    fn run_txn(&mut self, txn: &TxnOp, before: &Model) -> Result<TxnAnswer, Failure> {
        let mut answers = Vec::new();
        for item in before.branch(txn) {
            answers.push(match item {
                TxnItem::Put(put) => Answer::Put(self.run_put(put)?),
                TxnItem::Range(range) => Answer::Range(self.run_range(range)),
                TxnItem::Delete(delete) => Answer::Delete(self.run_delete(delete)),
                TxnItem::Txn(nested) => Answer::Txn(self.run_txn(nested, before)?),
                TxnItem::Grant(grant) => Answer::Granted(self.grant_with(grant)?),
                TxnItem::Revoke(id) => {
                    let deleted = self.end(*id)?;
                    Answer::Revoked { revision: self.seen(), deleted }
                }
                TxnItem::Advance(advance) => {
                    self.advance_cursor(advance)?;
                    Answer::Advance { revision: self.seen(), position: advance.to }
                }
            });
        }
        // The caller sets the outermost revision; that of a nested answer is 0 (TX-07).
        Ok(TxnAnswer { revision: 0, succeeded: before.holds(&txn.compares), answers })
    }

    fn holds(&self, compares: &[CompareOp]) -> bool {
        let state = self.state(u64::MAX);
        compares.iter().all(|compare| {
            match &compare.operand {
                Operand::Alive(id) => return self.is_usable(*id),
                Operand::Held { create, lease } => {
                    let key = compare.span.key.clone();
                    return self.is_held(&TokenOp { key, create: *create, lease: *lease });
                }
                _ => {}
            }
            let mut kvs = state.values().filter(|kv| compare.span.contains(&kv.key)).peekable();
            match kvs.peek() {
                Some(_) => kvs.all(|kv| compare.holds(kv)),
                // A value compare of what is missing is false whatever it asks; the rest sees zeros (TX-03, TX-04).
                None => !matches!(compare.operand, Operand::Value(_)) && compare.holds(&Kv::default()),
            }
        })
    }

    // Compaction.

    pub(crate) fn compact(&mut self, revision: u64) -> Result<u64, Failure> {
        match self.compacted {
            Some(compacted) if revision <= compacted => return Err(Failure::Compacted(compacted)),
            _ if revision > self.revision => return Err(Failure::FutureRevision(self.revision)),
            _ => self.ordered = self.ordered.max(Some(revision)),
        }
        self.settle_compaction();
        self.lapse_cursors();
        Ok(self.revision)
    }

    // Watches.

    /// All matching events from a revision to the head, one batch a revision.
    pub(crate) fn events(&self, watch: &WatchOp, from: u64) -> Vec<Vec<Event>> {
        let mut batches: Vec<Vec<Event>> = Vec::new();
        for change in self.changes.iter().filter(|change| change.revision >= from && watch.matches(change)) {
            let event = self.event(change, watch.prev_kv);
            match batches.last_mut() {
                Some(batch) if batch[0].kv.modified == change.revision => batch.push(event),
                _ => batches.push(vec![event]),
            }
        }
        batches
    }

    fn event(&self, change: &Change, prev_kv: bool) -> Event {
        let tombstone = || Kv { key: change.key.clone(), modified: change.revision, ..Kv::default() };
        let creates = change.kv.as_ref().is_some_and(|kv| kv.version == 1);
        let before = change.revision - 1;
        // WA-07: the key at the revision before, unless this creates it or that revision is compacted.
        let prev = (prev_kv && !creates && before >= self.compact_revision())
            .then(|| self.state(before).get(&*change.key).copied().cloned())
            .flatten();
        Event { delete: change.kv.is_none(), kv: change.kv.clone().unwrap_or_else(tombstone), prev }
    }

    pub(crate) fn watch(&mut self, slot: u8, watch: &WatchOp) -> Result<(), Failure> {
        let mut op = watch.clone();
        if op.span.key.is_empty() {
            op.span.key = Blob::from(&[0][..]);
        }
        if !op.span.is_single() && !op.span.is_from_key() && op.span.key >= op.span.end {
            return Err(Failure::EmptyWatchRange);
        }
        if op.from != 0 && op.from < self.compact_revision() {
            return Err(Failure::Compacted(self.compact_revision()));
        }
        let next = if op.from == 0 { self.revision + 1 } else { op.from };
        let unexamined = next <= self.revision;
        self.watchers.insert(slot, Watcher { op, next, unexamined });
        Ok(())
    }

    /// The first revision that a watcher has yet to look at: where it began, or a change of a key that it watches,
    /// whatever its filters say. `None` if nothing is pending.
    fn pending(&self, watcher: &Watcher) -> Option<u64> {
        if watcher.unexamined {
            return Some(watcher.next);
        }
        let is_pending = |change: &&Change| change.revision >= watcher.next && watcher.op.span.contains(&change.key);
        self.changes.iter().find(is_pending).map(|change| change.revision)
    }

    /// Takes what a watcher has pending. It ends only if that, or what it has not looked at, was compacted. A
    /// slot without a watcher has nothing.
    pub(crate) fn drain(&mut self, slot: u8) -> Result<Vec<Vec<Event>>, Failure> {
        let Some(watcher) = self.watchers.get(&slot) else { return Ok(Vec::new()) };
        let batches = self.events(&watcher.op, watcher.next);
        if self.pending(watcher).is_some_and(|revision| revision < self.compact_revision()) {
            self.watchers.remove(&slot);
            return Err(Failure::Compacted(self.compact_revision()));
        }
        let seen = self.revision + 1;
        if let Some(watcher) = self.watchers.get_mut(&slot) {
            watcher.next = watcher.next.max(seen);
            watcher.unexamined = false;
        }
        Ok(batches)
    }

    /// The largest R such that every match up to R was taken: one resumes from R + 1.
    pub(crate) fn progress(&self, slot: u8) -> Option<u64> {
        let watcher = self.watchers.get(&slot)?;
        Some(self.pending(watcher).unwrap_or(self.revision + 1).max(watcher.next) - 1)
    }
}

/// Puts and deletes of one branch, as etcd 3.7 looks for duplicates in it (TX-09) and overlooks some (TX-10).
///
/// The deletes of this level count from the start, those of a nested txn only for what comes after it: so a put in an
/// earlier nested txn against a delete in a later one is gap (b). Gap (a) is in [`Span::hides_put`].
fn check_duplicates(items: &[TxnItem]) -> Result<(BTreeSet<&Blob>, Vec<&Span>), Failure> {
    let mut puts = BTreeSet::new();
    let mut deletes = Vec::new();
    for item in items {
        if let TxnItem::Delete(delete) = item {
            deletes.push(&delete.span);
        }
    }
    for item in items {
        let TxnItem::Txn(nested) = item else { continue };
        let (then_puts, then_deletes) = check_duplicates(&nested.then)?;
        let (else_puts, else_deletes) = check_duplicates(&nested.or_else)?;
        // As a set: only one of the two branches runs, so a key may be in both.
        for key in then_puts.union(&else_puts) {
            add_put(&mut puts, &deletes, key)?;
        }
        deletes.extend(then_deletes);
        deletes.extend(else_deletes);
    }
    for item in items {
        if let TxnItem::Put(put) = item {
            add_put(&mut puts, &deletes, &put.key)?;
        }
    }
    Ok((puts, deletes))
}

fn add_put<'a>(puts: &mut BTreeSet<&'a Blob>, deletes: &[&Span], key: &'a Blob) -> Result<(), Failure> {
    let deleted = deletes.iter().any(|span| span.contains(key) && !span.hides_put());
    if deleted || !puts.insert(key) { Err(Failure::DuplicateKey) } else { Ok(()) }
}
