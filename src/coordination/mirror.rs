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
//! A base that is under way has the cursor `0`, which moves with each of its pages: of two bases only the one that came
//! last writes, and one that was cut short is begun anew by the next run. Nothing is written that is not bounded: a base,
//! or a revision of the source, that is too large for one txn takes several, the last of them with the cursor.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::coordination::wait::{WaitOptions, Waited, Waiter};
use crate::db::{Db, Snapshot};
use crate::error::{Error, Invalid, Result};
use crate::kv::{Event, EventKind, KeyRange, KeyValue, Revision};
use crate::op::{Compare, Delete, Op, Put, Txn};
use crate::watch::{Watch, WatchBatch};

/// How many keys one txn of a base writes, as etcd's mirror reads in a page.
const PAGE_KEYS: usize = 1_000;

/// How many bytes of keys and values one txn writes, about; no more than half of what the target takes in a request. A
/// key with a larger value has a txn of its own.
const PAGE_BYTES: usize = 4 << 20;

/// What an op takes beside key and value, about.
const OP_BYTES: usize = 64;

/// A base of another mirror that has written nothing for so long is taken to be dead.
const STALLED: Duration = Duration::from_secs(1);

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
    /// The source's revision up to which everything is in the target; zero while a base is under way.
    position: Revision,
    /// The cursor's own, in the target: it moves with each step, so that of two mirrors one makes it. Zero if it is not
    /// there.
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
        Ok(self.read_cursor()?.map(|cursor| cursor.position).filter(|position| *position != Revision::ZERO))
    }

    /// Mirrors what is there now, and returns the source's revision up to which that is. What is written meanwhile is left
    /// to the next call.
    ///
    /// # Errors
    /// Those of reading the source and of writing the target; what was mirrored until then stays, and the next call goes
    /// on from there.
    pub fn catch_up(&self) -> Result<Revision> {
        let wanted = self.source.revision();
        loop {
            let (mut cursor, mut watch) = self.begin(&WaitOptions::new())?;
            loop {
                let batch = match watch.try_next() {
                    Ok(batch) => batch.filter(|_| cursor.position < wanted),
                    Err(Error::Compacted { .. }) => break,
                    Err(error) => return Err(error),
                };
                // What else came after the cursor is of other prefixes, or later.
                let Some(batch) = batch else { return Ok(wanted.max(cursor.position)) };
                match self.follow(cursor, batch)? {
                    Some(next) => cursor = next,
                    None => break,
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
            let (mut cursor, mut watch) = self.begin(options)?;
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
    fn begin(&self, options: &WaitOptions) -> Result<(Cursor, Watch)> {
        loop {
            let found = self.read_cursor()?;
            // One that is ahead is of another source, or of one that was put back to an earlier state.
            let followed = Revision::new(1)..=self.source.revision();
            if let Some(cursor) = found.filter(|cursor| followed.contains(&cursor.position)) {
                let range = KeyRange::prefix(&self.from);
                match self.source.watch(range).from(cursor.position + 1).start() {
                    Ok(watch) => return Ok((cursor, watch)),
                    Err(Error::Compacted { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            let through = match self.claim(found)? {
                Some(claimed) => self.base(claimed)?,
                None => false,
            };
            if !through {
                self.await_other(options)?;
            }
        }
    }

    /// Another mirror was faster: if it makes a base, waits until that is through or stands still.
    fn await_other(&self, options: &WaitOptions) -> Result<()> {
        let options = options.clone().timeout(STALLED);
        loop {
            let seen = self.target.revision();
            if self.read_cursor()?.is_none_or(|cursor| cursor.position != Revision::ZERO) {
                return Ok(());
            }
            let mut watch = match self.target.watch(&self.cursor).from(seen + 1).start() {
                Ok(watch) => [watch],
                Err(Error::Compacted { .. }) => continue,
                Err(error) => return Err(error),
            };
            if Waiter::new(&self.target, None, &options).wait(&mut watch)? == Waited::TimedOut {
                return Ok(());
            }
        }
    }

    fn read_cursor(&self) -> Result<Option<Cursor>> {
        let Some(kv) = self.target.get(&self.cursor)? else { return Ok(None) };
        let position = std::str::from_utf8(&kv.value).ok().and_then(|text| text.parse::<u64>().ok());
        let position =
            position.ok_or(Error::InvalidArgument(Invalid::Argument("the mirror's cursor is no revision")))?;
        Ok(Some(Cursor { position: position.into(), mod_revision: kv.mod_revision }))
    }

    /// Begins a base. `None` if another mirror was faster.
    fn claim(&self, found: Option<Cursor>) -> Result<Option<Cursor>> {
        let nothing = Cursor { position: Revision::ZERO, mod_revision: Revision::ZERO };
        let written = self.write(found.unwrap_or(nothing), vec![self.put_cursor(Revision::ZERO)])?;
        Ok(written.map(|mod_revision| Cursor { position: Revision::ZERO, mod_revision }))
    }

    /// Makes the target equal to the source as of one revision; false if another mirror has begun a base since. What is
    /// there is read after the claim: nobody else writes then.
    fn base(&self, mut claimed: Cursor) -> Result<bool> {
        let snapshot = self.source.snapshot()?;
        let mut page = Page::new(self);
        for op in Differences::new(self, &snapshot)? {
            let op = op?;
            if !page.has_room(&op) {
                page.push(self.put_cursor(Revision::ZERO));
                let Some(mod_revision) = self.write(claimed, page.take())? else { return Ok(false) };
                claimed.mod_revision = mod_revision;
            }
            page.push(op);
        }
        page.push(self.put_cursor(snapshot.revision()));
        Ok(self.write(claimed, page.take())?.is_some())
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
            let ops = last_of_each.into_values().filter_map(|event| self.op(event));
            let Some(mod_revision) = self.write_revision(cursor, position, ops)? else { return Ok(None) };
            cursor = Cursor { position, mod_revision };
        }
        Ok(Some(cursor))
    }

    /// Writes a revision of the source. If it takes several txns, the cursor stays until the last: cut short, it is written
    /// again, which comes to the same. Returns the cursor's new mod revision.
    fn write_revision(
        &self,
        cursor: Cursor,
        position: Revision,
        ops: impl Iterator<Item = Op>,
    ) -> Result<Option<Revision>> {
        let mut page = Page::new(self);
        for op in ops {
            if !page.has_room(&op) && self.write(cursor, page.take())?.is_none() {
                return Ok(None);
            }
            page.push(op);
        }
        page.push(self.put_cursor(position));
        self.write(cursor, page.take())
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

    /// Writes if the cursor is still as it was: at the revision that is returned.
    fn write(&self, cursor: Cursor, ops: Vec<Op>) -> Result<Option<Revision>> {
        let unmoved = Compare::mod_revision(&self.cursor).eq(cursor.mod_revision);
        let response = self.target.execute(Txn::new().when([unmoved]).then(ops))?;
        Ok(response.succeeded.then_some(response.revision))
    }
}

/// What one txn writes.
struct Page {
    ops: Vec<Op>,
    bytes: usize,
    bytes_max: usize,
}

impl Page {
    fn new(mirror: &Mirror) -> Self {
        let bytes_max = PAGE_BYTES.min(mirror.target.engine().options.request_bytes_max / 2);
        Page { ops: Vec::new(), bytes: 0, bytes_max }
    }

    /// Whether there is room for an op. One that is too large has a page of its own, and the target may refuse it.
    fn has_room(&self, op: &Op) -> bool {
        self.ops.is_empty() || (self.ops.len() < PAGE_KEYS && self.bytes + op_bytes(op) <= self.bytes_max)
    }

    fn push(&mut self, op: Op) {
        self.bytes += op_bytes(&op);
        self.ops.push(op);
    }

    fn take(&mut self) -> Vec<Op> {
        self.bytes = 0;
        std::mem::take(&mut self.ops)
    }
}

fn op_bytes(op: &Op) -> usize {
    let contents = match op {
        Op::Put(put) => put.key.len() + put.value.len(),
        Op::Delete(delete) => delete.range.start.len(),
        _ => 0,
    };
    contents + OP_BYTES
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Two bases at once: the later had read what the earlier then wrote over with what it had seen, took it for equal and
    /// set the cursor, and what was wrong stayed so.
    #[test]
    fn of_two_bases_the_later_one_writes() {
        let (source, target) = (Db::in_memory().expect("opens"), Db::in_memory().expect("opens"));
        source.put("a", "old").expect("put");
        target.put("a", "new").expect("put");
        let mirror = source.mirror("", &target);
        let earlier = mirror.claim(None).expect("is open").expect("nobody else is there");
        let late = mirror.claim(None).expect("is open");
        assert!(late.is_none(), "it has not seen that another base has begun");
        let later = mirror.claim(mirror.read_cursor().expect("is a cursor")).expect("is open").expect("has seen it");
        assert_eq!(mirror.position().expect("is a cursor"), None);
        assert!(!mirror.base(earlier).expect("is open"));
        assert_eq!(target.get("a").expect("is open").expect("is there").value, "new");
        assert!(mirror.base(later).expect("is open"));
        assert_eq!(target.get("a").expect("is open").expect("is there").value, "old");
        assert_eq!(mirror.position().expect("is a cursor"), Some(source.revision()));
    }
}
