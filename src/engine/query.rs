//! What a range request makes of the keys that a scan finds: filters, sort, limit, count (KV-01 to KV-08).

use std::cmp::Ordering;

use bytes::Bytes;

use crate::kv::{KeyValue, LeaseId, Revision};
use crate::op::{Range, RangeResponse, SortOrder, SortTarget};
use crate::store::entry::Entry;

/// The answer to a range request in the making: it is shown the live keys of the range, in the direction that
/// [`scans_backward`] says, until it has seen enough.
pub(crate) struct Answer<'q> {
    query: &'q Range,
    kvs: Vec<KeyValue>,
    more: bool,
    /// Keys seen so far.
    count: u64,
    complete: bool,
}

impl<'q> Answer<'q> {
    pub(crate) fn new(query: &'q Range) -> Self {
        Answer { query, kvs: Vec::new(), more: false, count: 0, complete: true }
    }

    /// Looks at the next key; false if no further one can change the answer.
    pub(crate) fn add(&mut self, entry: &Entry) -> bool {
        self.count += 1;
        let query = self.query;
        if query.count_only || !query.passes_filters(entry.create_revision, entry.mod_revision) {
            return true;
        }
        if self.in_key_order() && reached(query.limit, self.kvs.len()) {
            self.more = true;
            self.complete = query.with_count;
            return self.complete;
        }
        self.kvs.push(project(query, entry));
        true
    }

    /// The response, which reports `revision`. The limit comes last (KV-06).
    pub(crate) fn finish(mut self, revision: u64) -> RangeResponse {
        if !self.in_key_order() {
            sort(&mut self.kvs, self.query.sort);
            if reached(self.query.limit, self.kvs.len()) {
                let limit = usize::try_from(self.query.limit).unwrap_or(usize::MAX);
                self.more = self.kvs.len() > limit;
                self.kvs.truncate(limit);
            }
            if self.query.keys_only {
                self.kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
            }
        }
        let count = self.complete.then_some(self.count);
        RangeResponse { revision: Revision::new(revision), kvs: self.kvs, more: self.more, count }
    }

    fn in_key_order(&self) -> bool {
        self.query.sort.0 == SortTarget::Key
    }
}

/// Whether a query is answered by a reverse scan.
pub(crate) fn scans_backward(query: &Range) -> bool {
    query.sort == (SortTarget::Key, SortOrder::Descend)
}

/// A key as the query wants it. A sort by value still needs the value; it is dropped after the sort.
pub(crate) fn project(query: &Range, entry: &Entry) -> KeyValue {
    let mut kv = entry.to_kv();
    if query.keys_only && query.sort.0 == SortTarget::Key {
        kv.value = Bytes::new();
    }
    if query.keys_only && query.blank_lease && query.sort.0 != SortTarget::Value {
        kv.lease = LeaseId::NONE;
    }
    kv
}

fn reached(limit: u64, len: usize) -> bool {
    limit != 0 && len as u64 >= limit
}

/// Sorts by target and order; ties ascend by key in either direction (CH-14). The keys arrive in key order.
fn sort(kvs: &mut [KeyValue], (target, order): (SortTarget, SortOrder)) {
    let compare = |a: &KeyValue, b: &KeyValue| -> Ordering {
        match target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::CreateRevision => a.create_revision.cmp(&b.create_revision),
            SortTarget::ModRevision => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        }
    };
    match order {
        SortOrder::Ascend => kvs.sort_by(compare),
        SortOrder::Descend => kvs.sort_by(|a, b| compare(b, a)),
    }
}
