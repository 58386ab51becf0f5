//! [`etclite::Db`] as a target of the harness.
//!
//! What differs between the suites, where the store lives and whose clock it reads, is a [`Host`]. The clock must stand
//! still between operations, or remaining times cannot be compared.

use super::harness::Target;
use super::reference::{
    Answer, Blob, CURSORS_MAX, Failure, LeaseInfo, OPERATION_IDS_AGE, OPERATION_IDS_MAX, Op, RangeOp, WatchOp,
};
use super::translate::{
    cursor, delete, delete_answer, event, failure, key_range, once, put_answer, put_options, range,
};
use super::translate::{grant, range_answer, txn, txn_answer};
use etclite::{CursorStatus, Db, LeaseId, LeaseStatus, Options, Revision, Watch};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a store lives and what time it is there.
pub(crate) trait Host {
    /// Opens the one store of this host: new the first time, then what was closed.
    fn open(&mut self) -> Db;
    /// Moves the clock on. With a store, returns once it has ended every lease whose deadline has come.
    fn advance(&mut self, ms: u64, db: Option<&Db>);
}

/// The options that the model knows of.
pub(crate) fn model_options(options: Options) -> Options {
    let options = options.operation_ids_max(OPERATION_IDS_MAX).operation_ids_age(OPERATION_IDS_AGE);
    // The model keeps every answer whole.
    options.operation_result_bytes_max(1 << 20).cursors_max(CURSORS_MAX)
}

/// A store on a host, with its open watchers by slot.
pub(crate) struct DbTarget<H> {
    host: H,
    db: Db,
    watches: BTreeMap<u8, Watch>,
}

impl<H: Host> DbTarget<H> {
    /// Opens the store of a new host.
    pub(crate) fn open(mut host: H) -> Self {
        let db = host.open();
        DbTarget { host, db, watches: BTreeMap::new() }
    }

    /// Answers a range, and checks that the iterator gives the same keys.
    fn range(&self, op: &RangeOp) -> Result<Answer, etclite::Error> {
        let response = self.db.query(range(op))?;
        if !op.count_only {
            let listed = self.db.range(range(op))?.collect::<Result<Vec<_>, _>>()?;
            assert_eq!(listed, response.kvs, "the iterator and the response of {op:?} differ");
        }
        Ok(Answer::Range(range_answer(&response)))
    }

    fn watch(&mut self, slot: u8, op: &WatchOp) -> Result<Answer, etclite::Error> {
        let mut request = self.db.watch(key_range(&op.span)).from(op.from);
        if op.no_put {
            request = request.no_put();
        }
        if op.no_delete {
            request = request.no_delete();
        }
        if op.prev_kv {
            request = request.with_prev();
        }
        if slot % 2 == 1 {
            // One revision a batch.
            request = request.batch_bytes(1);
        }
        self.watches.insert(slot, request.start()?);
        Ok(Answer::Done)
    }

    /// All leases; a list has no keys, so each is asked for them.
    fn leases(&self) -> Result<Vec<LeaseInfo>, etclite::Error> {
        let mut listed = Vec::new();
        for status in self.db.leases()? {
            let full = self.db.lease(status.id).time_to_live()?.expect("a lease that is listed");
            assert_eq!(full.key_count, status.key_count, "the list and the lease count keys alike");
            listed.push(lease_info(&full));
        }
        Ok(listed)
    }

    fn drain(&mut self, slot: u8) -> Result<Answer, etclite::Error> {
        let Some(watch) = self.watches.get_mut(&slot) else { return Ok(Answer::Batches(Vec::new())) };
        let mut batches = Vec::new();
        loop {
            match watch.try_next() {
                Ok(Some(batch)) => batches.push(batch.events().iter().map(event).collect()),
                // The end of what was published, as reads of a poisoned store see it.
                Ok(None) | Err(etclite::Error::Poisoned) => return Ok(Answer::Batches(batches)),
                Err(error) => {
                    self.watches.remove(&slot);
                    return Err(error);
                }
            }
        }
    }

    fn reopen(&mut self, elapsed_ms: u64, renewed: bool) -> Result<Answer, etclite::Error> {
        self.watches.clear();
        self.db.close()?;
        self.host.advance(elapsed_ms, None);
        self.db = self.host.open();
        self.host.advance(0, Some(&self.db));
        if renewed {
            for lease in self.db.leases()? {
                self.db.lease(lease.id).keep_alive()?;
            }
        }
        Ok(Answer::Done)
    }

    fn run(&mut self, op: &Op) -> Result<Answer, etclite::Error> {
        let lease = |id: i64| self.db.lease(LeaseId::new(id));
        Ok(match op {
            Op::Put(op) => Answer::Put(put_answer(&self.db.put_with(&*op.key, &*op.value, put_options(op))?)),
            Op::Range(op) => self.range(op)?,
            Op::Delete(op) => Answer::Delete(delete_answer(&self.db.delete_with(delete(op))?)),
            Op::Txn(op) => Answer::Txn(txn_answer(&self.db.execute(txn(op))?)),
            Op::Compact(revision) => Answer::Revision(self.db.compact(Revision::new(*revision))?.revision.get()),
            Op::Hash(revision) => Answer::Hash(Some(self.db.hash(Revision::new(*revision))?.hash.into())),
            Op::Grant(op) => {
                let lease = self.db.grant_with(grant(op))?;
                let status = lease.time_to_live()?.expect("a lease just granted, on a clock that stands still");
                Answer::Millis(millis(status.granted))
            }
            Op::Revoke(id) => Answer::Revision(lease(*id).revoke()?.get()),
            Op::KeepAlive(id) => Answer::Millis(millis(lease(*id).keep_alive()?)),
            Op::TimeToLive(id) => Answer::TimeToLive(lease(*id).time_to_live()?.as_ref().map(lease_info)),
            Op::Leases => Answer::Leases(self.leases()?),
            Op::Watch { slot, watch } => self.watch(*slot, watch)?,
            Op::Drain(slot) => self.drain(*slot)?,
            Op::Progress(slot) => Answer::Progress(self.watches.get(slot).map(|watch| watch.progress().get())),
            Op::Advance { ms } => {
                self.host.advance(*ms, Some(&self.db));
                Answer::Done
            }
            Op::Reopen { elapsed_ms, renewed } => self.reopen(*elapsed_ms, *renewed)?,
            Op::Once { id, since, op } => {
                let (replayed, answer) = once(&self.db, *id, *since, op)?;
                Answer::Once { replayed, answer: Box::new(answer) }
            }
            Op::CreateCursor { name, span, no_delete, max_lag, at } => {
                let cursor = cursor(&self.db, name, span, (*no_delete, *max_lag), *at).create()?;
                Answer::Position(cursor.position()?.get())
            }
            Op::ResetCursor { name, to } => Answer::Position(self.db.open_cursor(&**name)?.reset(*to)?.get()),
            Op::DropCursor(name) => Answer::Position(self.db.open_cursor(&**name)?.drop_cursor()?.get()),
            Op::WatchCursor { slot, name } => {
                let watch = self.db.open_cursor(&**name)?.watch()?.start()?;
                self.watches.insert(*slot, watch);
                Answer::Done
            }
            Op::Cursors => {
                let listed = self.db.cursors()?.into_iter();
                let told = |cursor: CursorStatus| (Blob(cursor.name.to_vec()), cursor.position.get(), cursor.lapsed);
                Answer::Cursors(listed.map(told).collect())
            }
            Op::Remembered => Answer::Ids(etclite::testing::remembered(&self.db)),
        })
    }
}

impl<H: Host> Target for DbTarget<H> {
    fn apply(&mut self, op: &Op) -> Result<Answer, Failure> {
        self.run(op).map_err(|error| failure(&error))
    }

    fn revision(&self) -> u64 {
        self.db.revision().get()
    }

    fn compact_revision(&self) -> u64 {
        self.db.compact_revision().get()
    }
}

fn lease_info(status: &LeaseStatus) -> LeaseInfo {
    LeaseInfo {
        id: status.id.get(),
        granted_ms: millis(status.granted),
        remaining_ms: millis(status.remaining),
        keys: status.keys.iter().map(|key| Blob(key.to_vec())).collect(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("the model's times fit")
}
