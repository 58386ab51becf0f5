//! A part of a store that looks like a store of its own: all keys under a prefix, which is put in front of what is asked
//! and taken away from what is answered.

use bytes::Bytes;

use crate::db::{Db, LeaseStatus, RangeIter};
use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyRange, KeyValue, LeaseId, RangeEnd, Revision};
use crate::op::{
    Compare, CompareTarget, Delete, DeleteResponse, Op, OpResponse, Put, PutOptions, PutResponse, Range, RangeResponse,
    Txn, TxnResponse,
};
use crate::watch::{Watch, WatchBuilder};

/// All keys under a prefix, as if it were not there; as etcd's `namespace` package.
///
/// Ranges without an end stop where the namespace does, and keys of others are never seen: not in a range, a watch, or
/// the list of what a lease holds. Revisions, leases and history are the store's. Tokens of locks name whole keys, as
/// sessions and locks are the store's too; for a lock of the namespace's own take [`Namespace::key`] as its name.
///
/// Differs from etcd: a namespace that ends in 0xff works, which etcd's client cannot watch.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let app = db.namespace("app/");
/// app.put("colour", "blue")?;
/// assert_eq!(db.get("app/colour")?.expect("it was put").value, "blue");
/// let keys: Vec<_> = app.range(..)?.map(|kv| Ok(kv?.key)).collect::<etclite::Result<_>>()?;
/// assert_eq!(keys, ["colour"]);
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Namespace {
    db: Db,
    prefix: Bytes,
}

impl Db {
    /// All keys under a prefix, as if it were not there.
    pub fn namespace(&self, prefix: impl AsRef<[u8]>) -> Namespace {
        Namespace { db: self.clone(), prefix: Bytes::copy_from_slice(prefix.as_ref()) }
    }
}

impl Namespace {
    /// The store.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// A key of the namespace as the store has it.
    pub fn key(&self, key: impl AsRef<[u8]>) -> Bytes {
        [&self.prefix, key.as_ref()].concat().into()
    }

    /// As [`Db::namespace`], within this one.
    pub fn namespace(&self, prefix: impl AsRef<[u8]>) -> Namespace {
        Namespace { db: self.db.clone(), prefix: self.key(prefix) }
    }

    /// As [`Db::put`].
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<PutResponse> {
        self.put_with(key, value, PutOptions::new())
    }

    /// As [`Db::put_with`].
    ///
    /// # Errors
    /// As [`Db::put_with`].
    pub fn put_with(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: PutOptions) -> Result<PutResponse> {
        let mut response = self.db.put_with(self.whole(key.as_ref())?, value, options)?;
        self.hide(&mut response.prev);
        Ok(response)
    }

    /// As [`Db::put_if_absent`].
    ///
    /// # Errors
    /// As [`Db::put_if_absent`].
    pub fn put_if_absent(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Revision>> {
        self.db.put_if_absent(self.whole(key.as_ref())?, value)
    }

    /// As [`Db::compare_and_swap`].
    ///
    /// # Errors
    /// As [`Db::compare_and_swap`].
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        mod_revision: impl Into<Revision>,
        value: impl AsRef<[u8]>,
    ) -> Result<Option<Revision>> {
        self.db.compare_and_swap(self.whole(key.as_ref())?, mod_revision, value)
    }

    /// As [`Db::get`].
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<KeyValue>> {
        let mut found = self.db.get(self.whole(key.as_ref())?)?;
        self.hide(&mut found);
        Ok(found)
    }

    /// As [`Db::get_at`].
    ///
    /// # Errors
    /// As [`Db::get_at`].
    pub fn get_at(&self, key: impl AsRef<[u8]>, revision: impl Into<Revision>) -> Result<Option<KeyValue>> {
        let mut found = self.db.get_at(self.whole(key.as_ref())?, revision)?;
        self.hide(&mut found);
        Ok(found)
    }

    /// As [`Db::range`].
    ///
    /// # Errors
    /// As [`Db::range`].
    pub fn range(&self, range: impl Into<Range>) -> Result<RangeIter> {
        Ok(self.db.range(self.whole_query(range.into())?)?.hide(self.prefix.len()))
    }

    /// As [`Db::query`].
    ///
    /// # Errors
    /// As [`Db::query`].
    pub fn query(&self, range: impl Into<Range>) -> Result<RangeResponse> {
        let mut response = self.db.query(self.whole_query(range.into())?)?;
        self.hide(&mut response.kvs);
        Ok(response)
    }

    /// As [`Db::count`].
    ///
    /// # Errors
    /// As [`Db::count`].
    pub fn count(&self, range: impl Into<Range>) -> Result<u64> {
        self.db.count(self.whole_query(range.into())?)
    }

    /// As [`Db::delete`].
    ///
    /// # Errors
    /// As [`Db::delete`].
    pub fn delete(&self, range: impl Into<KeyRange>) -> Result<DeleteResponse> {
        self.delete_with(Delete::new(range))
    }

    /// As [`Db::delete_with`].
    ///
    /// # Errors
    /// As [`Db::delete_with`].
    pub fn delete_with(&self, delete: Delete) -> Result<DeleteResponse> {
        let mut response = self.db.delete_with(Delete { range: self.whole_range(delete.range)?, ..delete })?;
        self.hide(&mut response.prev_kvs);
        Ok(response)
    }

    /// As [`Db::execute`]. Fences and [`Compare::held`] name whole keys.
    ///
    /// # Errors
    /// As [`Db::execute`].
    pub fn execute<S>(&self, txn: Txn<S>) -> Result<TxnResponse> {
        let mut response = self.db.execute(self.whole_txn(txn.finish())?)?;
        self.hide_in(&mut response);
        Ok(response)
    }

    /// As [`Db::watch`].
    pub fn watch(&self, range: impl Into<KeyRange>) -> WatchBuilder {
        let mut range = range.into();
        if range.start.is_empty() {
            // What the store does to it, before the prefix makes another key of it.
            range.start = Bytes::from_static(b"\0");
        }
        self.db.watch(self.prefixed(range)).hide(self.prefix.len())
    }

    /// As [`Db::load_and_watch`].
    ///
    /// # Errors
    /// As [`Db::load_and_watch`].
    pub fn load_and_watch(&self, range: impl Into<KeyRange>) -> Result<(Vec<KeyValue>, Watch)> {
        let range = range.into();
        let loaded = self.range(range.clone())?;
        let watch = self.watch(range).from(loaded.revision() + 1).start()?;
        Ok((loaded.collect::<Result<_>>()?, watch))
    }

    /// As [`Lease::time_to_live`](crate::Lease::time_to_live), with the keys of the namespace alone.
    ///
    /// # Errors
    /// As [`Db::leases`].
    pub fn time_to_live(&self, lease: impl Into<LeaseId>) -> Result<Option<LeaseStatus>> {
        let found = self.db.lease(lease).time_to_live()?;
        Ok(found.map(|mut status| {
            status.keys.retain(|key| key.len() > self.prefix.len() && key.starts_with(&self.prefix));
            status.keys.iter_mut().for_each(|key| *key = key.slice(self.prefix.len()..));
            status.key_count = status.keys.len() as u64;
            status
        }))
    }

    fn whole(&self, key: &[u8]) -> Result<Bytes> {
        if key.is_empty() { Err(Error::InvalidArgument(Invalid::EmptyKey)) } else { Ok(self.key(key)) }
    }

    fn whole_range(&self, range: KeyRange) -> Result<KeyRange> {
        if range.start.is_empty() {
            return Err(Error::InvalidArgument(Invalid::EmptyKey));
        }
        Ok(self.prefixed(range))
    }

    /// The end is computed from what the prefix makes of the range (RV-09): one without an end stops where the namespace
    /// does, and a namespace of nothing but 0xff has no end.
    fn prefixed(&self, range: KeyRange) -> KeyRange {
        let end = match range.end {
            RangeEnd::Key => RangeEnd::Key,
            RangeEnd::Before(end) => RangeEnd::Before(self.key(end)),
            RangeEnd::Unbounded => KeyRange::prefix(&self.prefix).end,
        };
        KeyRange { start: self.key(range.start), end }
    }

    fn whole_query(&self, range: Range) -> Result<Range> {
        Ok(Range { range: self.whole_range(range.range)?, ..range })
    }

    fn whole_txn(&self, mut txn: Txn) -> Result<Txn> {
        let ops = |ops: Vec<Op>| ops.into_iter().map(|op| self.whole_op(op)).collect::<Result<_>>();
        txn.compares = txn.compares.into_iter().map(|compare| self.whole_compare(compare)).collect::<Result<_>>()?;
        (txn.then, txn.or_else) = (ops(txn.then)?, ops(txn.or_else)?);
        Ok(txn)
    }

    fn whole_compare(&self, compare: Compare) -> Result<Compare> {
        match compare.target {
            CompareTarget::Held { .. } | CompareTarget::LeaseAlive(_) => Ok(compare),
            _ => Ok(Compare { range: self.whole_range(compare.range)?, ..compare }),
        }
    }

    fn whole_op(&self, op: Op) -> Result<Op> {
        Ok(match op {
            Op::Put(put) => Put { key: self.whole(&put.key)?, ..put }.into(),
            Op::Delete(delete) => Delete { range: self.whole_range(delete.range)?, ..delete }.into(),
            Op::Range(range) => self.whole_query(range)?.into(),
            Op::Txn(txn) => self.whole_txn(txn)?.into(),
            other => other,
        })
    }

    fn hide<'k>(&self, kvs: impl IntoIterator<Item = &'k mut KeyValue>) {
        kvs.into_iter().for_each(|kv| kv.hide(self.prefix.len()));
    }

    fn hide_in(&self, response: &mut TxnResponse) {
        for response in &mut response.responses {
            match response {
                OpResponse::Put(put) => self.hide(&mut put.prev),
                OpResponse::Delete(delete) => self.hide(&mut delete.prev_kvs),
                OpResponse::Range(range) => self.hide(&mut range.kvs),
                OpResponse::Txn(txn) => self.hide_in(txn),
                _ => {}
            }
        }
    }
}
