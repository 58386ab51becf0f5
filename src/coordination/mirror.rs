//! Mirroring: what is under a prefix of one store is kept under a prefix of another.
//!
//! ```text
//!   source          r1   r2   r3   r4   r5           every change under the prefix
//!   target  base of r2 ------> r3   r4               one txn each, with the cursor: `r4`
//! ```
//!
//! First the target is made equal to a snapshot of the source, page by page, writing only what differs. From there a
//! watch goes on, and each of its revisions becomes one txn in the target that also moves the **cursor**, a key of the
//! target that holds the source's revision. So a mirror that is killed at any point goes on exactly where it was. One that
//! a compaction of the source has passed begins with a snapshot again.
//!
//! A base that is under way has no cursor: if it is cut short, the next run begins it anew.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::coordination::wait::{WaitOptions, Waiter};
use crate::db::{Db, Snapshot};
use crate::error::{Error, Invalid, Result};
use crate::kv::{Event, EventKind, KeyRange, KeyValue, Revision};
use crate::op::{Compare, Delete, Op, Put, Txn};
use crate::watch::{Watch, WatchBatch};

/// How many keys one txn of a base writes, as etcd's mirror reads in a page.
const PAGE_KEYS: usize = 1_000;

/// Keeps what is under a prefix of one store under a prefix of another; as etcd's `mirror` and `etcdctl make-mirror`.
///
/// Keys and values are mirrored, with every put and delete in its order; leases, revisions and versions are the target's
/// own. Whatever else is under the target's prefix is deleted. Of several changes of a key in one revision the last counts.
///
/// ```
/// # fn main() -> etclite::Result<()> {
/// # let (source, target) = (etclite::Db::in_memory()?, etclite::Db::in_memory()?);
/// source.put("config/colour", "blue")?;
/// let mirror = source.mirror("config/", &target).into_prefix("copy/");
/// mirror.catch_up()?;
/// assert_eq!(target.get("copy/colour")?.expect("mirrored").value, "blue");
/// source.delete("config/colour")?;
/// mirror.catch_up()?;
/// assert_eq!(target.get("copy/colour")?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Mirror {
    source: Db,
    target: Db,
    from: Bytes,
    into: Bytes,
    cursor: Bytes,
}

/// Where a mirror stands.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// The source's revision up to which everything is in the target.
    position: Revision,
    /// The cursor's own, in the target: it moves with each step, so that of two mirrors one makes it.
    mod_revision: Revision,
}

impl Db {
    /// Describes a mirror of what is under `prefix` into another store, under the same prefix. Nothing is done yet.
    pub fn mirror(&self, prefix: impl AsRef<[u8]>, target: &Db) -> Mirror {
        let from = Bytes::copy_from_slice(prefix.as_ref());
        let cursor = [b"__mirror/", prefix.as_ref()].concat().into();
        Mirror { source: self.clone(), target: target.clone(), into: from.clone(), from, cursor }
    }
}

impl Mirror {
    /// Under which prefix of the target it is kept; by default that of the source.
    #[must_use]
    pub fn into_prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.into = Bytes::copy_from_slice(prefix.as_ref());
        self
    }

    /// The key of the target that holds the cursor; by default `__mirror/` and the source's prefix. Two mirrors into one
    /// store need two. It is never mirrored itself.
    #[must_use]
    pub fn cursor(mut self, key: impl AsRef<[u8]>) -> Self {
        self.cursor = Bytes::copy_from_slice(key.as_ref());
        self
    }

    /// Up to which revision of the source everything is in the target; `None` before the first base is through.
    ///
    /// # Errors
    /// As [`Db::get`]; [`Error::InvalidArgument`] if the cursor's key holds something else.
    pub fn position(&self) -> Result<Option<Revision>> {
        Ok(self.read_cursor()?.map(|cursor| cursor.position))
    }

    /// Mirrors what is there now, and returns the source's revision up to which that is.
    ///
    /// # Errors
    /// Those of reading the source and of writing the target; what was mirrored until then stays, and the next call goes
    /// on from there.
    pub fn catch_up(&self) -> Result<Revision> {
        let wanted = self.source.revision();
        loop {
            let (mut cursor, mut watch) = self.begin()?;
            loop {
                match watch.try_next() {
                    Ok(Some(batch)) => match self.follow(cursor, batch)? {
                        Some(next) => cursor = next,
                        None => break,
                    },
                    // What came after the cursor is of other prefixes.
                    Ok(None) => return Ok(wanted.max(cursor.position)),
                    Err(Error::Compacted { .. }) => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Mirrors what is there and then every change, until the options end it: `Ok` when their time is up.
    ///
    /// # Errors
    /// As [`Mirror::catch_up`]; [`Error::WaitCanceled`].
    pub fn run(&self, options: &WaitOptions) -> Result<()> {
        let waiter = Waiter::new(&self.source, None, options);
        loop {
            let (mut cursor, mut watch) = self.begin()?;
            loop {
                let batch = match waiter.wait_for(|context| watch.poll(context))? {
                    Some(Some(Ok(batch))) => batch,
                    Some(Some(Err(Error::Compacted { .. }))) => break,
                    Some(Some(Err(error))) => return Err(error),
                    Some(None) | None => return Ok(()),
                };
                match self.follow(cursor, batch)? {
                    Some(next) => cursor = next,
                    None => break,
                }
            }
        }
    }

    /// The cursor, made by a base if there is none that can be followed, and a watch from there.
    fn begin(&self) -> Result<(Cursor, Watch)> {
        loop {
            let found = self.read_cursor()?;
            // One that is ahead is of another source, or of one that was put back to an earlier state.
            if let Some(cursor) = found.filter(|cursor| cursor.position <= self.source.revision()) {
                let range = KeyRange::prefix(&self.from);
                match self.source.watch(range).from(cursor.position + 1).start() {
                    Ok(watch) => return Ok((cursor, watch)),
                    Err(Error::Compacted { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            self.base(found)?;
        }
    }

    fn read_cursor(&self) -> Result<Option<Cursor>> {
        let Some(kv) = self.target.get(&self.cursor)? else { return Ok(None) };
        let position = std::str::from_utf8(&kv.value).ok().and_then(|text| text.parse::<u64>().ok());
        let position =
            position.ok_or(Error::InvalidArgument(Invalid::Argument("the mirror's cursor is no revision")))?;
        Ok(Some(Cursor { position: position.into(), mod_revision: kv.mod_revision }))
    }

    /// Makes the target equal to the source as of one revision. If another mirror is faster, it is left to that.
    fn base(&self, found: Option<Cursor>) -> Result<()> {
        let snapshot = self.source.snapshot()?;
        if let Some(cursor) = found
            && !self.write(Some(cursor), vec![Delete::new(&self.cursor).into()])?.succeeded
        {
            return Ok(());
        }
        let mut page = Vec::new();
        for op in Differences::new(self, &snapshot)? {
            page.push(op?);
            if page.len() == PAGE_KEYS && !self.write(None, std::mem::take(&mut page))?.succeeded {
                return Ok(());
            }
        }
        page.push(self.put_cursor(snapshot.revision()));
        self.write(None, page).map(drop)
    }

    /// Writes what a batch brings, revision by revision, each with the cursor. `None` if another mirror was faster.
    fn follow(&self, mut cursor: Cursor, batch: WatchBatch) -> Result<Option<Cursor>> {
        let mut events = batch.into_events().into_iter().peekable();
        while let Some(first) = events.next() {
            let position = first.kv.mod_revision;
            let mut last_of_each = BTreeMap::new();
            let mut note = |event: Event| last_of_each.insert(event.kv.key.clone(), event);
            note(first);
            while let Some(event) = events.next_if(|event| event.kv.mod_revision == position) {
                note(event);
            }
            let mut ops: Vec<Op> = last_of_each.into_values().filter_map(|event| self.op(event)).collect();
            ops.push(self.put_cursor(position));
            let response = self.write(Some(cursor), ops)?;
            if !response.succeeded {
                return Ok(None);
            }
            cursor = Cursor { position, mod_revision: response.revision };
        }
        Ok(Some(cursor))
    }

    fn op(&self, event: Event) -> Option<Op> {
        let key = self.mapped(&event.kv.key);
        (key != self.cursor).then(|| match event.kind {
            EventKind::Put => Put::new(key, &event.kv.value).into(),
            EventKind::Delete => Delete::new(key).into(),
        })
    }

    fn mapped(&self, key: &[u8]) -> Bytes {
        [&self.into, &key[self.from.len()..]].concat().into()
    }

    fn put_cursor(&self, position: Revision) -> Op {
        Put::new(&self.cursor, position.to_string()).into()
    }

    /// Writes if the cursor is still as it was.
    fn write(&self, cursor: Option<Cursor>, ops: Vec<Op>) -> Result<crate::op::TxnResponse> {
        let seen = cursor.map_or(Revision::ZERO, |cursor| cursor.mod_revision);
        let unmoved = Compare::mod_revision(&self.cursor).eq(seen);
        self.target.execute(Txn::new().when([unmoved]).then(ops))
    }
}

type Kvs = std::iter::Peekable<crate::db::RangeIter>;

/// What makes the target's keys those of the source, in key order: both are walked side by side.
struct Differences<'m> {
    mirror: &'m Mirror,
    wanted: Kvs,
    there: Kvs,
}

impl<'m> Differences<'m> {
    fn new(mirror: &'m Mirror, snapshot: &Snapshot) -> Result<Self> {
        let wanted = snapshot.range(KeyRange::prefix(&mirror.from))?.peekable();
        let there = mirror.target.range(KeyRange::prefix(&mirror.into))?.peekable();
        Ok(Differences { mirror, wanted, there })
    }

    /// The next pair of keys that are the same but for the prefix; one of them if the other store lacks it.
    fn pair(&mut self) -> Result<Option<(Option<KeyValue>, Option<KeyValue>)>> {
        let (from, into) = (self.mirror.from.len(), self.mirror.into.len());
        let order = match (self.wanted.peek(), self.there.peek()) {
            (None, None) => return Ok(None),
            // Whichever has failed says so.
            (Some(Err(_)), _) | (Some(_), None) => std::cmp::Ordering::Less,
            (_, Some(Err(_))) | (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(Ok(wanted)), Some(Ok(there))) => wanted.key[from..].cmp(&there.key[into..]),
        };
        let wanted = if order.is_le() { self.wanted.next().transpose()? } else { None };
        let there = if order.is_ge() { self.there.next().transpose()? } else { None };
        Ok(Some((wanted, there)))
    }

    fn step(&mut self) -> Result<Option<Op>> {
        while let Some((wanted, there)) = self.pair()? {
            let op: Op = match (wanted, there) {
                (Some(wanted), Some(there)) if wanted.value == there.value => continue,
                (Some(wanted), _) => Put::new(self.mirror.mapped(&wanted.key), &wanted.value).into(),
                (None, Some(there)) => Delete::new(there.key).into(),
                (None, None) => continue,
            };
            let is_cursor = match &op {
                Op::Put(put) => put.key == self.mirror.cursor,
                Op::Delete(delete) => delete.range.start == self.mirror.cursor,
                _ => false,
            };
            if !is_cursor {
                return Ok(Some(op));
            }
        }
        Ok(None)
    }
}

impl Iterator for Differences<'_> {
    type Item = Result<Op>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
