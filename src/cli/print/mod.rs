//! What commands print, in each format: a [`Form`] per format, chosen once, over one set of answers.
//!
//! `simple` and `fields` are etcdctl's, byte for byte. `json` has etcdctl's field names and order, with one difference:
//! of an answer itself nothing is left out, so that `"succeeded":false` can be told from a mistyped field; keys and
//! events are etcdctl's byte for byte. `jsonl` is the driver's form, a line for each key, event or lease. `table` is
//! drawn for people.
//!
//! A form appends to a buffer and cannot fail; [`Printer`] hands the buffer to the one writer of stdout.

mod fields;
mod jsonl;
mod simple;
mod table;
mod wire;

use std::io::IsTerminal;
use std::time::Duration;

use super::args::Format;
use super::context::Context;
use super::exit::Failure;
use crate::{
    Db, DeleteResponse, Event, KeyValue, LeaseId, LeaseStatus, OpResponse, PutResponse, RangeResponse, Revision,
    TxnResponse,
};

/// etcd's `ResponseHeader`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) cluster_id: u64,
    pub(super) member_id: u64,
    pub(super) revision: Revision,
    pub(super) raft_term: u64,
}

impl Header {
    /// The header of an answer inside a txn, which has a revision only.
    fn inner(revision: Revision) -> Header {
        Header { cluster_id: 0, member_id: 0, revision, raft_term: 0 }
    }
}

/// What was asked for and shows in the answer only by what is missing from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) keys_only: bool,
    pub(super) count_only: bool,
    pub(super) prev_kv: bool,
}

/// One format: appends answers to `text`.
pub(super) trait Form {
    fn put(&self, text: &mut Vec<u8>, header: &Header, answer: &PutResponse);
    fn get(&self, text: &mut Vec<u8>, header: &Header, answer: &RangeResponse, asked: Asked);
    /// One key of a range, for the formats that print keys as they come; see [`Printer::streams`].
    fn kv(&self, text: &mut Vec<u8>, kv: &KeyValue, asked: Asked);
    fn del(&self, text: &mut Vec<u8>, header: &Header, answer: &DeleteResponse, asked: Asked);
    /// `asked` is of the branch taken, one for each response.
    fn txn(&self, text: &mut Vec<u8>, header: &Header, answer: &TxnResponse, asked: &[Asked]);
    /// The answer to one operation of a txn.
    fn response(&self, text: &mut Vec<u8>, response: &OpResponse, asked: Asked) {
        match response {
            OpResponse::Put(put) => self.put(text, &Header::inner(put.revision), put),
            OpResponse::Delete(del) => self.del(text, &Header::inner(del.revision), del, asked),
            OpResponse::Range(range) => self.get(text, &Header::inner(range.revision), range, asked),
            OpResponse::Txn(txn) => self.txn(text, &Header::inner(txn.revision), txn, &[]),
            // The grammar of `txn` has no words for them.
            OpResponse::Grant(_) | OpResponse::Revoke(_) | OpResponse::Advance(_) => {}
        }
    }
    /// Of `create` and `cas`, which are txns of one put.
    fn swapped(&self, text: &mut Vec<u8>, header: &Header, succeeded: bool);
    fn compacted(&self, text: &mut Vec<u8>, header: &Header, asked: Revision, effective: Revision);
    fn revision(&self, text: &mut Vec<u8>, header: &Header, compact: Revision, synced: Revision);
    fn events(&self, text: &mut Vec<u8>, header: &Header, events: &[Event]);
    fn progress(&self, text: &mut Vec<u8>, header: &Header);
    /// The key of a lock; `None` if somebody else has it.
    fn locked(&self, text: &mut Vec<u8>, header: &Header, key: Option<&KeyValue>) {
        let kvs: Vec<KeyValue> = key.cloned().into_iter().collect();
        let count = Some(kvs.len() as u64);
        // As etcdctl: the answer to a get of that key.
        let answer = RangeResponse { revision: header.revision, kvs, more: false, count };
        self.get(text, header, &answer, Asked::default());
    }
    fn granted(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, ttl: Duration);
    fn revoked(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId);
    fn kept_alive(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, ttl: Duration);
    /// A keep-alive that found, or lost, no lease.
    fn lease_gone(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId);
    fn time_to_live(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, lease: Option<&LeaseStatus>, keys: bool);
    fn leases(&self, text: &mut Vec<u8>, header: &Header, leases: &[LeaseStatus]);
}

/// Prints the answers of one store.
pub(super) struct Printer<'c> {
    context: &'c Context,
    form: Box<dyn Form>,
    ids: (u64, u64),
}

impl<'c> Printer<'c> {
    pub(super) fn new(context: &'c Context, db: &Db) -> Printer<'c> {
        Printer::with_form(context, db, false)
    }

    /// As [`Printer::new`], and `simple` leaves the keys out.
    pub(super) fn with_form(context: &'c Context, db: &Db, value_only: bool) -> Printer<'c> {
        let hex = context.global.hex;
        let terminal = std::io::stdout().is_terminal();
        let form: Box<dyn Form> = match context.global.write_out {
            Format::Simple => Box::new(simple::Simple { hex, value_only, terminal }),
            Format::Fields => Box::new(fields::Fields { hex }),
            Format::Json => Box::new(wire::Json { hex }),
            Format::Jsonl => Box::new(jsonl::Jsonl),
            Format::Table => Box::new(table::Table { hex, terminal }),
        };
        let stats = db.stats();
        Printer { context, form, ids: (stats.cluster_id, stats.member_id) }
    }

    /// Whether the format prints the keys of a range one by one, without header and count.
    pub(super) fn streams(&self) -> bool {
        matches!(self.context.global.write_out, Format::Simple | Format::Jsonl)
    }

    /// Prints what `write` appends, and hands it to whoever reads.
    pub(super) fn print(
        &self,
        revision: Revision,
        write: impl FnOnce(&dyn Form, &mut Vec<u8>, &Header),
    ) -> Result<(), Failure> {
        self.append(revision, write)?;
        self.context.out.finish()
    }

    /// As [`Printer::print`], but what is printed may wait for more.
    pub(super) fn append(
        &self,
        revision: Revision,
        write: impl FnOnce(&dyn Form, &mut Vec<u8>, &Header),
    ) -> Result<(), Failure> {
        let (cluster_id, member_id) = self.ids;
        let header = Header { cluster_id, member_id, revision, raft_term: RAFT_TERM };
        let mut text = Vec::new();
        write(&*self.form, &mut text, &header);
        self.context.out.bytes(&text)
    }
}

/// The term of a store without a group (CH-10).
const RAFT_TERM: u64 = 1;

/// A lease id as etcdctl prints it: Go's `%016x`.
fn lease_hex(id: LeaseId) -> String {
    let id = id.get();
    if id < 0 { format!("-{:015x}", id.unsigned_abs()) } else { format!("{id:016x}") }
}

/// Whole seconds of what was granted: rounded up, as a lease is never shorter than told (LE-05).
fn granted_seconds(ttl: Duration) -> u64 {
    ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)
}

/// etcd's name of an event.
pub(super) fn event_name(event: &Event) -> &'static str {
    match event.kind {
        crate::EventKind::Put => "PUT",
        crate::EventKind::Delete => "DELETE",
    }
}
