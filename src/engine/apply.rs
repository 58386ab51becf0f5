//! The state machine: `State` + `Command` -> `Response` + `Changes`.
//!
//! No clock, no I/O of its own, no randomness, no map order: replay and every replica compute the same. Everything that
//! a command changes is computed first, in a [`Draft`] over the head; a command that fails leaves no trace (CH-12).

mod lease;
mod ttl;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::engine::command::{Command, Kind, Seen};
use crate::engine::cursors::{self, Moves};
use crate::engine::leases::whole_millis;
use crate::engine::operations::{self, Replay};
use crate::engine::query::{self, Answer};
use crate::engine::state::{Changes, LeaseChange, State};
use crate::error::{Error, Invalid, Result};
use crate::kv::{LeaseId, Revision};
use crate::memtable::Bounds;
use crate::op::{
    Advance, AdvanceResponse, Compare, CompareResult, CompareTarget, Delete, DeleteResponse, Op, OpResponse, Put,
    PutResponse, Range, RangeResponse, RevokeResponse, Txn, TxnResponse,
};
use crate::store::Version;
use crate::store::entry::Entry;
use crate::store::key::{attachment_key, bounds, user_key};
use lease::found;

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Put(PutResponse),
    Delete(DeleteResponse),
    Txn(TxnResponse),
    /// Of other lease commands and compactions: the store's revision after them.
    Done(Revision),
    Revoke(RevokeResponse),
    /// Of commands of cursors: the cursor's position after them, and the store's revision.
    Cursor(AdvanceResponse),
}

/// What a command answers and changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) response: Response,
    pub(crate) changes: Changes,
    /// Set if the command was a repetition, which changes nothing.
    pub(crate) replay: Option<Replay>,
}

impl Outcome {
    /// Of a command that changes nothing.
    pub(crate) fn unchanged(state: &State) -> Outcome {
        let revision = state.revision;
        let response = Response::Done(Revision::new(revision));
        Outcome { response, changes: Changes { revision, ..Changes::default() }, replay: None }
    }
}

/// Evaluates a command on the head. Nothing is changed; the caller installs the changes, or drops them.
pub(crate) fn evaluate(state: &State, version: &Version, command: &Command) -> Result<Outcome> {
    match &command.operation {
        None => run(state, version, command),
        Some(operation) => operations::once(state, command, operation, || run(state, version, command)),
    }
}

fn run(state: &State, version: &Version, command: &Command) -> Result<Outcome> {
    let mut draft = Draft::new(state, version, command.seen);
    draft.time_ms = command.time_ms;
    let response = match &command.kind {
        Kind::Put(put) => Response::Put(draft.put(put)?),
        Kind::Delete(delete) => Response::Delete(draft.delete(delete)?),
        Kind::Txn(txn) => Response::Txn(draft.txn(txn)?),
        Kind::Grant { id, ttl_ms, lock_delay_ms, stamp } => {
            draft.grant(*id, (*ttl_ms, *lock_delay_ms), *stamp)?;
            draft.done()
        }
        Kind::Lapse { id, renewal_epoch, stamp } => draft.lapse(*id, *renewal_epoch, *stamp),
        Kind::Revoke { id, cause } => draft.revoke(*id, *cause)?,
        Kind::LeaseCheckpoint { renewed, stamp, remaining } => draft.lease_checkpoint(*renewed, *stamp, remaining),
        Kind::LateGrant { id, renewal_epoch, stamp, remaining_ms } => {
            draft.late_grant(*id, *renewal_epoch, *stamp, *remaining_ms)
        }
        Kind::Compact { revision } => draft.compact(revision.get())?,
        Kind::Cursor(cursor) => {
            let position = Revision::new(draft.cursors.run(state, command.time_ms, cursor)?);
            Response::Cursor(AdvanceResponse { revision: Revision::new(draft.revision()), position })
        }
    };
    Ok(Outcome { response, changes: draft.finish(), replay: None })
}

/// Runs a txn that can only read.
pub(crate) fn read(state: &State, version: &Version, txn: &Txn) -> Result<TxnResponse> {
    Draft::new(state, version, None).txn(txn)
}

/// What the operations of a txn that were checked will have done to leases and cursors.
#[derive(Default)]
struct Ahead {
    /// Granted, or ended.
    leases: BTreeMap<LeaseId, bool>,
    cursors: Moves,
}

/// A command's changes in the making, on top of the head.
struct Draft<'a> {
    state: &'a State,
    version: &'a Version,
    entries: Vec<Entry>,
    /// Stored key -> its newest entry in `entries`.
    newest: BTreeMap<Bytes, usize>,
    /// Changes of user keys so far: the next one's sub-revision.
    sub: u32,
    leases: Vec<(LeaseId, LeaseChange)>,
    /// The last place of a lease in `leases`.
    latest: BTreeMap<LeaseId, usize>,
    /// The hidden leases that this command makes, by when they end.
    shared: BTreeMap<u64, LeaseId>,
    /// What the orderer saw.
    seen: Option<Seen>,
    compact_ordered: Option<u64>,
    cursors: Moves,
    /// When the command was ordered.
    time_ms: u64,
    /// Whether the number of changed keys is bounded: a lease must always be able to end.
    bounded: bool,
}

impl<'a> Draft<'a> {
    fn new(state: &'a State, version: &'a Version, seen: Option<Seen>) -> Self {
        Draft {
            state,
            version,
            entries: Vec::new(),
            newest: BTreeMap::new(),
            sub: 0,
            leases: Vec::new(),
            latest: BTreeMap::new(),
            shared: BTreeMap::new(),
            seen,
            compact_ordered: None,
            cursors: Moves::default(),
            time_ms: 0,
            bounded: true,
        }
    }

    fn finish(self) -> Changes {
        let revision = self.revision();
        let compact_revision = self.compact_revision();
        let Draft { entries, leases, compact_ordered, cursors, .. } = self;
        let cursors = cursors.into_changes();
        Changes { revision, entries, leases, compact_revision, compact_ordered, cursors, operation: None }
    }

    /// The compact revision, if the command moves it: cursors hold back what was ordered.
    fn compact_revision(&self) -> Option<u64> {
        if self.compact_ordered.is_none() && self.cursors.is_empty() {
            return None;
        }
        let ordered = self.compact_ordered.max(self.state.compact_ordered);
        let effective = cursors::effective(ordered, self.cursors.all(self.state));
        effective.filter(|_| effective > self.state.compact_revision)
    }

    /// The revision of the changes, whether there are any yet or not.
    fn next_revision(&self) -> u64 {
        self.state.revision + 1
    }

    /// The revision to report: the new one from the first change on.
    fn revision(&self) -> u64 {
        if self.sub == 0 { self.state.revision } else { self.next_revision() }
    }

    /// The live entry of a stored key, earlier changes of this command included.
    fn get(&self, key: &[u8]) -> Result<Option<Entry>> {
        let found = match self.newest.get(key) {
            Some(&at) => Some(self.entries[at].clone()),
            None => self.version.get(key, self.state.revision)?,
        };
        Ok(found.filter(|entry| !entry.tombstone))
    }

    /// Shows the live entries of a stored key range in order, earlier changes of this command included, until `visit`
    /// says stop.
    fn scan(&self, bounds: Bounds, reverse: bool, visit: &mut dyn FnMut(Entry) -> Result<bool>) -> Result<()> {
        let mut base = self.version.scan(bounds.clone(), self.state.revision, reverse)?;
        let mut changed = changed_in(&self.newest, &bounds, reverse).peekable();
        let mut found = base.next()?;
        loop {
            let from_base = match (&found, changed.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some(entry), Some((key, _))) if entry.key == **key => {
                    found = base.next()?;
                    continue;
                }
                (Some(entry), Some((key, _))) => (entry.key < **key) != reverse,
            };
            let entry = if from_base {
                std::mem::replace(&mut found, base.next()?)
            } else {
                changed.next().map(|(_, at)| self.entries[*at].clone())
            };
            if let Some(entry) = entry.filter(|entry| !entry.tombstone)
                && !visit(entry)?
            {
                return Ok(());
            }
        }
    }

    /// Adds an entry; it shares the sub-revision of the user key's change that it belongs to.
    fn push(&mut self, key: Bytes, tombstone: bool, fields: Fields, value: Bytes) {
        let (mod_revision, sub) = (self.next_revision(), self.sub);
        let Fields { create_revision, version, lease } = fields;
        let entry = Entry { key: key.clone(), mod_revision, sub, create_revision, version, lease, tombstone, value };
        self.newest.insert(key, self.entries.len());
        self.entries.push(entry);
    }

    /// Ends one change of a user key.
    fn count_change(&mut self) -> Result<()> {
        self.sub += 1;
        let max = self.state.command_changes_max;
        if self.bounded && self.sub as usize > max {
            let (len, max) = (u64::from(self.sub), max as u64);
            return Err(Error::TooLarge { what: "number of keys changed by one command", len, max });
        }
        Ok(())
    }

    fn put(&mut self, put: &Put) -> Result<PutResponse> {
        self.check_lease(put.options.lease)?;
        let key = user_key(&put.key);
        let previous = self.get(&key)?;
        if (put.options.ignore_value || put.options.ignore_lease) && previous.is_none() {
            return Err(Error::InvalidArgument(Invalid::KeyNotFound));
        }
        let lease = match put.options.ttl {
            Some(ttl) => self.share_lease(whole_millis(ttl)),
            None => put.options.lease,
        };
        let mut fields = Fields { create_revision: self.next_revision(), version: 1, lease: lease.get() };
        let mut value = put.value.clone();
        let mut previous_lease = 0;
        if let Some(previous) = &previous {
            fields.create_revision = previous.create_revision;
            fields.version = previous.version + 1;
            previous_lease = previous.lease;
            if put.options.ignore_value {
                value = previous.value.clone();
            }
            if put.options.ignore_lease {
                fields.lease = previous.lease;
            }
        }
        self.push(key, false, fields, value);
        self.attach(&put.key, previous_lease, fields.lease);
        self.count_change()?;
        let prev = previous.filter(|_| put.options.prev_kv).map(|entry| entry.to_kv());
        Ok(PutResponse { revision: Revision::new(self.revision()), prev })
    }

    /// Moves a user key from one lease to another, zero being none; the same one again costs nothing (PD-02).
    fn attach(&mut self, key: &[u8], from: i64, to: i64) {
        if from == to {
            return;
        }
        if from != 0 {
            self.push(attachment_key(LeaseId::new(from), key), true, Fields::default(), Bytes::new());
        }
        if to != 0 {
            let fields = Fields { version: 1, ..Fields::default() };
            self.push(attachment_key(LeaseId::new(to), key), false, fields, Bytes::new());
        }
    }

    fn delete(&mut self, delete: &Delete) -> Result<DeleteResponse> {
        let mut victims = Vec::new();
        let max = self.state.command_changes_max;
        if delete.range.is_single() {
            victims.extend(self.get(&user_key(&delete.range.start))?);
        } else {
            self.scan(bounds(&delete.range), false, &mut |entry| {
                victims.push(entry);
                Ok(victims.len() <= max)
            })?;
        }
        let deleted = victims.len() as u64;
        let mut prev_kvs = Vec::new();
        for victim in victims {
            if delete.prev_kv {
                prev_kvs.push(victim.to_kv());
            }
            self.remove(victim)?;
        }
        Ok(DeleteResponse { revision: Revision::new(self.revision()), deleted, prev_kvs })
    }

    /// Deletes one live user key.
    fn remove(&mut self, victim: Entry) -> Result<()> {
        self.attach(&victim.key[1..], victim.lease, 0);
        self.push(victim.key, true, Fields::default(), Bytes::new());
        self.count_change()
    }

    fn range(&self, query: &Range) -> Result<RangeResponse> {
        let backward = query::scans_backward(query);
        let mut answer = Answer::new(query);
        if query.at == Revision::ZERO {
            self.scan(bounds(&query.range), backward, &mut |entry| Ok(answer.add(&entry)))?;
        } else {
            let mut scan = self.version.scan(bounds(&query.range), query.at.get(), backward)?;
            while let Some(entry) = scan.next()? {
                if !answer.add(&entry) {
                    break;
                }
            }
        }
        Ok(answer.finish(self.revision()))
    }

    fn txn(&mut self, txn: &Txn) -> Result<TxnResponse> {
        self.check_fences(&txn.fences)?;
        let branch = self.choose(txn)?;
        self.check_branch(txn, &branch, &mut Ahead::default())?;
        let mut response = self.run(txn, &branch)?;
        response.revision = Revision::new(self.revision());
        Ok(response)
    }

    /// Which branches run, nested ones included, decided on the state before the txn (TX-05).
    fn choose(&self, txn: &Txn) -> Result<Branch> {
        let mut succeeded = true;
        for compare in &txn.compares {
            if !self.holds(compare)? {
                succeeded = false;
                break;
            }
        }
        let mut nested = Vec::new();
        for op in branch_ops(txn, succeeded) {
            if let Op::Txn(txn) = op {
                nested.push(self.choose(txn)?);
            }
        }
        Ok(Branch { succeeded, nested })
    }

    /// Whether a compare holds for every key of its range; no key at all counts as one missing key (TX-03, TX-04).
    fn holds(&self, compare: &Compare) -> Result<bool> {
        match compare.target {
            CompareTarget::Held { create_revision, lease } => {
                return self.is_held(&compare.range.start, create_revision, lease);
            }
            CompareTarget::LeaseAlive(id) => return Ok(self.is_usable(id)),
            _ => {}
        }
        if compare.range.is_single() {
            return Ok(compare_entry(compare, self.get(&user_key(&compare.range.start))?.as_ref()));
        }
        let (mut any, mut all) = (false, true);
        self.scan(bounds(&compare.range), false, &mut |entry| {
            any = true;
            all = compare_entry(compare, Some(&entry));
            Ok(all)
        })?;
        Ok(if any { all } else { compare_entry(compare, None) })
    }

    /// What can fail is checked on the branch taken, against the state before the txn; the first failing operation in
    /// order decides (TX-11). Only of leases and cursors earlier operations count.
    fn check_branch(&self, txn: &Txn, branch: &Branch, ahead: &mut Ahead) -> Result<()> {
        let mut nested = branch.nested.iter();
        for op in branch_ops(txn, branch.succeeded) {
            match op {
                Op::Put(put) => {
                    let granted = ahead.leases.get(&put.options.lease).copied();
                    granted.map_or_else(|| self.check_lease(put.options.lease), found)?;
                    let must_exist = put.options.ignore_value || put.options.ignore_lease;
                    if must_exist && self.get(&user_key(&put.key))?.is_none() {
                        return Err(Error::InvalidArgument(Invalid::KeyNotFound));
                    }
                }
                Op::Range(query) => self.check_revision(query.at)?,
                Op::Delete(_) => {}
                Op::Advance(advance) => ahead.cursors.advance(self.state, self.time_ms, advance.step())?,
                Op::Txn(txn) => {
                    let branch = nested.next().expect("one branch for each nested txn");
                    self.check_branch(txn, branch, ahead)?;
                }
                Op::Grant(grant) => {
                    let taken = ahead.leases.get(&grant.id).copied();
                    if taken.unwrap_or_else(|| self.lease(grant.id).is_some()) {
                        return Err(Error::LeaseExists);
                    }
                    ahead.leases.insert(grant.id, true);
                }
                Op::Revoke(id) => {
                    found(ahead.leases.get(id).copied().unwrap_or_else(|| self.is_revocable(*id)))?;
                    ahead.leases.insert(*id, false);
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, txn: &Txn, branch: &Branch) -> Result<TxnResponse> {
        let mut nested = branch.nested.iter();
        let mut responses = Vec::new();
        for op in branch_ops(txn, branch.succeeded) {
            responses.push(match op {
                Op::Put(put) => OpResponse::Put(self.put(put)?),
                Op::Delete(delete) => OpResponse::Delete(self.delete(delete)?),
                Op::Range(query) => OpResponse::Range(self.range(query)?),
                Op::Advance(advance) => OpResponse::Advance(self.advance(advance)?),
                Op::Txn(txn) => OpResponse::Txn(self.run(txn, nested.next().expect("one branch for each nested txn"))?),
                Op::Grant(grant) => OpResponse::Grant(self.grant_now(grant)?),
                Op::Revoke(id) => OpResponse::Revoke(self.end(*id)?),
            });
        }
        Ok(TxnResponse { revision: Revision::ZERO, succeeded: branch.succeeded, responses })
    }

    fn advance(&mut self, advance: &Advance) -> Result<AdvanceResponse> {
        self.cursors.advance(self.state, self.time_ms, advance.step())?;
        Ok(AdvanceResponse { revision: Revision::new(self.revision()), position: advance.to })
    }

    fn check_revision(&self, at: Revision) -> Result<()> {
        check_revision(at, self.state.revision, self.state.compacted())
    }

    fn done(&self) -> Response {
        Response::Done(Revision::new(self.revision()))
    }

    /// Moves the compact revision (CP-01).
    fn compact(&mut self, revision: u64) -> Result<Response> {
        if revision > self.state.revision {
            return Err(Error::FutureRevision { current: Revision::new(self.state.revision) });
        }
        // A store that was never compacted lies below zero, so that zero is allowed once (CP-01).
        if self.state.compact_revision.is_some_and(|compacted| revision <= compacted) {
            return Err(Error::Compacted { compacted: Revision::new(self.state.compacted()) });
        }
        // What was ordered before and is held back goes on being held.
        if self.state.compact_ordered < Some(revision) {
            self.compact_ordered = Some(revision);
        }
        Ok(self.done())
    }
}

#[derive(Clone, Copy, Default)]
struct Fields {
    create_revision: u64,
    version: u64,
    lease: i64,
}

/// The branch that a txn takes, and those of its nested txns in order.
struct Branch {
    succeeded: bool,
    nested: Vec<Branch>,
}

fn branch_ops(txn: &Txn, succeeded: bool) -> &[Op] {
    if succeeded { &txn.then } else { &txn.or_else }
}

/// Checks that a read at `at` can be answered; zero is the latest (KV-01).
pub(crate) fn check_revision(at: Revision, revision: u64, compact_revision: u64) -> Result<()> {
    if at.get() > revision {
        return Err(Error::FutureRevision { current: Revision::new(revision) });
    }
    if at != Revision::ZERO && at.get() < compact_revision {
        return Err(Error::Compacted { compacted: Revision::new(compact_revision) });
    }
    Ok(())
}

fn compare_entry(compare: &Compare, entry: Option<&Entry>) -> bool {
    let number = |of: fn(&Entry) -> u64| entry.map_or(0, |entry| i64::try_from(of(entry)).unwrap_or(i64::MAX));
    let ordering = match &compare.target {
        CompareTarget::Version(operand) => number(|entry| entry.version).cmp(operand),
        CompareTarget::CreateRevision(operand) => number(|entry| entry.create_revision).cmp(operand),
        CompareTarget::ModRevision(operand) => number(|entry| entry.mod_revision).cmp(operand),
        CompareTarget::Lease(operand) => entry.map_or(0, |entry| entry.lease).cmp(operand),
        CompareTarget::Value(operand) => match entry {
            Some(entry) => entry.value.cmp(operand),
            None => return false,
        },
        CompareTarget::Held { .. } | CompareTarget::LeaseAlive(_) => unreachable!("not a compare of one entry"),
    };
    match compare.result {
        CompareResult::Equal => ordering.is_eq(),
        CompareResult::NotEqual => ordering.is_ne(),
        CompareResult::Greater => ordering.is_gt(),
        CompareResult::Less => ordering.is_lt(),
    }
}

/// The changed keys of a range, in the direction of a scan.
fn changed_in<'d>(
    newest: &'d BTreeMap<Bytes, usize>,
    bounds: &Bounds,
    reverse: bool,
) -> Box<dyn Iterator<Item = (&'d Bytes, &'d usize)> + 'd> {
    if bounds.start >= bounds.end {
        return Box::new(std::iter::empty());
    }
    let changed = newest.range(bounds.start.clone()..bounds.end.clone());
    if reverse { Box::new(changed.rev()) } else { Box::new(changed) }
}
