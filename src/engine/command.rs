//! What is logged, replayed and replicated: one `Command`, encoded by hand.
//!
//! ```text
//! u8 version (1) | [u8 34 | stamp | varint draw] | u8 kind | varint orderer's time, ms since the Unix epoch
//!                 | [operation] | body
//!
//! operation: u128 id | u64 fingerprint | u8 0, or 1 and varint since | varint count, age in ms, bytes of a result
//! ```
//! The first part in brackets is there if the command begins somebody's time: what the orderer's clocks said, and a random
//! number for the ids of hidden leases. The operation is there if bit 7 of the kind is set. A stamp is u128 boot id, varint
//! ms since that boot, varint ms since the Unix epoch.
//!
//! | kind | body |
//! |---|---|
//! | 1 put, 2 delete, 3 txn | the request |
//! | 4 grant | id, TTL ms, lock delay ms, stamp |
//! | 5 revoke | id, u8 0 for the owner's; 1 and the renewal epoch seen for an expiry |
//! | 6 lease checkpoint | u8 renewed, stamp, list of id and remaining ms |
//! | 7 compact | revision |
//! | 32 fenced txn | list of tokens (key, create revision, lease id), the txn |
//! | 36 lapse | id, renewal epoch seen, stamp |
//! | 38 late grant | id, renewal epoch seen, stamp, remaining ms |
//!
//! A put is u8 flags (1 prev_kv, 2 ignore_value, 4 ignore_lease, 8 ttl), lease id, TTL ms if flagged, key, value.
//! Operations of a txn have a tag of their own: 1 put, 2 delete, 3 range, 4 txn, 32 grant (id, TTL ms, lock delay ms),
//! 34 revoke (id). So have the targets of a compare: 1 version, 2 create revision, 3 mod revision, 4 lease, 5 value, 32
//! held (create revision, lease id), 34 lease alive (lease id).
//!
//! Whatever `apply` may not ask for itself (ids, times, draws) stands inside. Bodies are varints and length-prefixed
//! bytes; a new field means a new version byte, and a version that is not known is refused as written by a newer
//! release. Golden bytes in the tests below hold the format still.

mod lease;

use std::time::Duration;

use bytes::Bytes;

use crate::codec::{Reader, Write};
use crate::engine::cursors::CursorCommand;
use crate::engine::leases::whole_millis;
use crate::engine::operations::Operation;
use crate::kv::{KeyRange, LeaseId, RangeEnd, Revision};
use crate::op::{
    Advance, Compare, CompareResult, CompareTarget, Delete, Op, Put, PutOptions, Range, SortOrder, SortTarget, Txn,
};
pub(crate) use lease::{Seen, Stamp};
use lease::{begins_time, read_grant, read_lease, read_stamp, read_token, write_fences, write_grant, write_stamp};

/// One step of the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The orderer's wall clock, in milliseconds since the Unix epoch.
    pub(crate) time_ms: u64,
    /// What the orderer saw, if the command begins somebody's time.
    pub(crate) seen: Option<Seen>,
    /// That it takes effect once, however often it is sent.
    pub(crate) operation: Option<Operation>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put(Put),
    Delete(Delete),
    Txn(Txn),
    Grant {
        id: LeaseId,
        ttl_ms: u64,
        lock_delay_ms: u64,
        stamp: Stamp,
    },
    Revoke {
        id: LeaseId,
        cause: Cause,
    },
    /// The deadline of a lease with a lock delay passed, as the orderer saw it; the delay runs from `stamp`.
    Lapse {
        id: LeaseId,
        renewal_epoch: u64,
        stamp: Stamp,
    },
    LeaseCheckpoint {
        renewed: bool,
        stamp: Stamp,
        remaining: Vec<(LeaseId, u64)>,
    },
    /// What is left of a lease whose grant took long to be published; of no account if a command changed it since.
    LateGrant {
        id: LeaseId,
        renewal_epoch: u64,
        stamp: Stamp,
        remaining_ms: u64,
    },
    Compact {
        revision: Revision,
    },
    Cursor(CursorCommand),
}

/// Why a lease is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its owner asked.
    Owner,
    /// Its deadline passed, or its lock delay, as the orderer saw it when the lease was in this epoch.
    Expired { renewal_epoch: u64 },
}

const VERSION: u8 = 1;

/// Stands before the kind if the command says what the orderer saw.
const SEEN: u8 = 34;

/// The bit of the kind's byte that says that an operation follows the time.
const WITH_OPERATION: u8 = 0x80;

/// The deepest nesting that is decoded: above the deepest that a request may have, so that a hostile file cannot
/// exhaust the stack.
const DEPTH_MAX: u32 = 256;

impl Command {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        if let Some(seen) = &self.seen {
            out.put_u8(SEEN);
            write_stamp(out, &seen.stamp);
            out.put_varint_signed(seen.draw.get());
        }
        let flag = if self.operation.is_some() { WITH_OPERATION } else { 0 };
        out.put_u8(self.kind.tag() | flag);
        out.put_varint(self.time_ms);
        if let Some(operation) = &self.operation {
            operation.write(out);
        }
        self.kind.encode(out);
    }

    /// The command in `bytes`, all of them; `None` if they are damaged or of a version that is not known.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Command> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let mut tag = reader.u8()?;
        let mut seen = None;
        if tag == SEEN {
            seen = Some(Seen { stamp: read_stamp(&mut reader)?, draw: read_lease(&mut reader)? });
            tag = reader.u8()?;
        }
        let time_ms = reader.varint()?;
        let operation = if tag & WITH_OPERATION == 0 { None } else { Some(Operation::read(&mut reader)?) };
        let kind = read_kind(&mut reader, tag & !WITH_OPERATION)?;
        // What needs the clocks of the orderer has them.
        let complete = seen.is_some() == kind.needs_clocks() && reader.is_empty();
        complete.then_some(Command { time_ms, seen, operation, kind })
    }
}

impl Kind {
    /// Appends the body.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Kind::Put(put) => write_put(out, put),
            Kind::Delete(delete) => write_delete(out, delete),
            Kind::Txn(txn) => {
                if !txn.fences.is_empty() {
                    write_fences(out, &txn.fences);
                }
                write_txn(out, txn);
            }
            Kind::Grant { id, ttl_ms, lock_delay_ms, stamp } => {
                out.put_varint_signed(id.get());
                out.put_varint(*ttl_ms);
                out.put_varint(*lock_delay_ms);
                write_stamp(out, stamp);
            }
            Kind::Lapse { id, renewal_epoch, stamp } => {
                out.put_varint_signed(id.get());
                out.put_varint(*renewal_epoch);
                write_stamp(out, stamp);
            }
            Kind::Revoke { id, cause } => {
                out.put_varint_signed(id.get());
                match cause {
                    Cause::Owner => out.put_u8(0),
                    Cause::Expired { renewal_epoch } => {
                        out.put_u8(1);
                        out.put_varint(*renewal_epoch);
                    }
                }
            }
            Kind::LeaseCheckpoint { renewed, stamp, remaining } => {
                out.put_u8(u8::from(*renewed));
                write_stamp(out, stamp);
                out.put_varint(remaining.len() as u64);
                for (id, remaining_ms) in remaining {
                    out.put_varint_signed(id.get());
                    out.put_varint(*remaining_ms);
                }
            }
            Kind::LateGrant { id, renewal_epoch, stamp, remaining_ms } => {
                out.put_varint_signed(id.get());
                out.put_varint(*renewal_epoch);
                write_stamp(out, stamp);
                out.put_varint(*remaining_ms);
            }
            Kind::Compact { revision } => out.put_varint(revision.get()),
            Kind::Cursor(cursor) => cursor.write(out),
        }
    }
}

/// The version byte of an encoded command, if it is one that this release does not know.
pub(crate) fn newer_version(bytes: &[u8]) -> Option<u8> {
    bytes.first().copied().filter(|version| *version > VERSION)
}

impl Kind {
    pub(crate) fn tag(&self) -> u8 {
        match self {
            Kind::Put(_) => 1,
            Kind::Delete(_) => 2,
            Kind::Txn(txn) if txn.fences.is_empty() => 3,
            Kind::Txn(_) => 32,
            Kind::Grant { .. } => 4,
            Kind::Revoke { .. } => 5,
            Kind::LeaseCheckpoint { .. } => 6,
            Kind::Compact { .. } => 7,
            Kind::Lapse { .. } => 36,
            Kind::LateGrant { .. } => 38,
            Kind::Cursor(cursor) => cursor.tag(),
        }
    }
}

impl Kind {
    /// A lower bound of the encoded length in bytes: its keys and values. What is too large by that alone is refused
    /// before it is encoded.
    pub(crate) fn bytes_min(&self) -> usize {
        match self {
            Kind::Put(put) => put_bytes(put),
            Kind::Delete(delete) => range_bytes(&delete.range),
            Kind::Txn(txn) => txn_bytes(txn),
            Kind::Grant { .. }
            | Kind::Revoke { .. }
            | Kind::Lapse { .. }
            | Kind::LeaseCheckpoint { .. }
            | Kind::LateGrant { .. }
            | Kind::Compact { .. }
            | Kind::Cursor(_) => 0,
        }
    }

    /// Whether the command begins somebody's time, and does not say itself when.
    pub(crate) fn needs_clocks(&self) -> bool {
        match self {
            Kind::Put(put) => put.options.ttl.is_some(),
            Kind::Txn(txn) => begins_time(txn),
            _ => false,
        }
    }
}

fn put_bytes(put: &Put) -> usize {
    put.key.len().saturating_add(put.value.len())
}

fn range_bytes(range: &KeyRange) -> usize {
    let end = if let RangeEnd::Before(end) = &range.end { end.len() } else { 0 };
    range.start.len().saturating_add(end)
}

fn txn_bytes(txn: &Txn) -> usize {
    let compares = txn.compares.iter().map(|compare| {
        let operand = if let CompareTarget::Value(value) = &compare.target { value.len() } else { 0 };
        range_bytes(&compare.range).saturating_add(operand)
    });
    let ops = txn.then.iter().chain(&txn.or_else).map(|op| match op {
        Op::Put(put) => put_bytes(put),
        Op::Delete(delete) => range_bytes(&delete.range),
        Op::Range(range) => range_bytes(&range.range),
        Op::Advance(advance) => advance.name.len(),
        Op::Txn(nested) => txn_bytes(nested),
        Op::Grant(_) | Op::Revoke(_) => 0,
    });
    let fences = txn.fences.iter().map(|token| token.key.len());
    fences.chain(compares).chain(ops).fold(0, usize::saturating_add)
}

fn read_kind(reader: &mut Reader<'_>, tag: u8) -> Option<Kind> {
    Some(match tag {
        1 => Kind::Put(read_put(reader)?),
        2 => Kind::Delete(read_delete(reader)?),
        3 => Kind::Txn(read_txn(reader, 0)?),
        4 => Kind::Grant {
            id: read_lease(reader)?,
            ttl_ms: reader.varint()?,
            lock_delay_ms: reader.varint()?,
            stamp: read_stamp(reader)?,
        },
        5 => {
            let id = read_lease(reader)?;
            let cause = match reader.u8()? {
                0 => Cause::Owner,
                1 => Cause::Expired { renewal_epoch: reader.varint()? },
                _ => return None,
            };
            Kind::Revoke { id, cause }
        }
        6 => {
            let renewed = read_bool(reader)?;
            let stamp = read_stamp(reader)?;
            let remaining = read_list(reader, |reader| Some((read_lease(reader)?, reader.varint()?)))?;
            Kind::LeaseCheckpoint { renewed, stamp, remaining }
        }
        7 => Kind::Compact { revision: Revision::new(reader.varint()?) },
        32 => {
            let fences = read_list(reader, read_token)?;
            if fences.is_empty() {
                return None;
            }
            let mut txn = read_txn(reader, 0)?;
            txn.fences = fences;
            Kind::Txn(txn)
        }
        38 => Kind::LateGrant {
            id: read_lease(reader)?,
            renewal_epoch: reader.varint()?,
            stamp: read_stamp(reader)?,
            remaining_ms: reader.varint()?,
        },
        36 => Kind::Lapse { id: read_lease(reader)?, renewal_epoch: reader.varint()?, stamp: read_stamp(reader)? },
        _ => Kind::Cursor(CursorCommand::read(reader, tag)?),
    })
}

fn read_bool(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn read_owned(reader: &mut Reader<'_>) -> Option<Bytes> {
    reader.bytes().map(Bytes::copy_from_slice)
}

/// A list behind its count. The count is not trusted: nothing is allocated ahead of what is really there.
fn read_list<'a, T>(reader: &mut Reader<'a>, mut item: impl FnMut(&mut Reader<'a>) -> Option<T>) -> Option<Vec<T>> {
    let count = reader.varint()?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(item(reader)?);
    }
    Some(list)
}

fn write_flags(out: &mut Vec<u8>, flags: &[bool]) {
    let bits = flags.iter().enumerate().fold(0u8, |bits, (i, flag)| bits | u8::from(*flag) << i);
    out.put_u8(bits);
}

fn read_flags<const N: usize>(reader: &mut Reader<'_>) -> Option<[bool; N]> {
    let bits = reader.u8()?;
    (u32::from(bits) < 1 << N).then(|| std::array::from_fn(|i| bits >> i & 1 == 1))
}

fn write_put(out: &mut Vec<u8>, put: &Put) {
    let PutOptions { lease, ttl, prev_kv, ignore_value, ignore_lease } = put.options;
    write_flags(out, &[prev_kv, ignore_value, ignore_lease, ttl.is_some()]);
    out.put_varint_signed(lease.get());
    if let Some(ttl) = ttl {
        out.put_varint(whole_millis(ttl));
    }
    out.put_bytes(&put.key);
    out.put_bytes(&put.value);
}

fn read_put(reader: &mut Reader<'_>) -> Option<Put> {
    let [prev_kv, ignore_value, ignore_lease, has_ttl] = read_flags(reader)?;
    let lease = read_lease(reader)?;
    let ttl = if has_ttl { Some(Duration::from_millis(reader.varint()?)) } else { None };
    let key = read_owned(reader)?;
    let value = read_owned(reader)?;
    Some(Put { key, value, options: PutOptions { lease, ttl, prev_kv, ignore_value, ignore_lease } })
}

pub(crate) fn write_range(out: &mut Vec<u8>, range: &KeyRange) {
    out.put_bytes(&range.start);
    match &range.end {
        RangeEnd::Key => out.put_u8(0),
        RangeEnd::Unbounded => out.put_u8(1),
        RangeEnd::Before(end) => {
            out.put_u8(2);
            out.put_bytes(end);
        }
    }
}

pub(crate) fn read_range(reader: &mut Reader<'_>) -> Option<KeyRange> {
    let start = read_owned(reader)?;
    let end = match reader.u8()? {
        0 => RangeEnd::Key,
        1 => RangeEnd::Unbounded,
        2 => RangeEnd::Before(read_owned(reader)?),
        _ => return None,
    };
    Some(KeyRange { start, end })
}

fn write_delete(out: &mut Vec<u8>, delete: &Delete) {
    write_flags(out, &[delete.prev_kv]);
    write_range(out, &delete.range);
}

fn read_delete(reader: &mut Reader<'_>) -> Option<Delete> {
    let [prev_kv] = read_flags(reader)?;
    Some(Delete { range: read_range(reader)?, prev_kv })
}

const SORT_TARGETS: [SortTarget; 5] =
    [SortTarget::Key, SortTarget::Version, SortTarget::CreateRevision, SortTarget::ModRevision, SortTarget::Value];

fn write_query(out: &mut Vec<u8>, query: &Range) {
    let descend = query.sort.1 == SortOrder::Descend;
    // What a remembered answer was must not depend on the options of a later open.
    write_flags(out, &[descend, query.keys_only, query.count_only, query.with_count, query.blank_lease]);
    let target = SORT_TARGETS.iter().position(|target| *target == query.sort.0);
    out.put_varint(target.expect("every sort target is in the table") as u64);
    write_range(out, &query.range);
    out.put_varint(query.limit);
    for revision in [query.at, query.min_mod, query.max_mod, query.min_create, query.max_create] {
        out.put_varint(revision.get());
    }
}

fn read_query(reader: &mut Reader<'_>) -> Option<Range> {
    let [descend, keys_only, count_only, with_count, blank_lease] = read_flags(reader)?;
    let target = *SORT_TARGETS.get(usize::try_from(reader.varint()?).ok()?)?;
    let order = if descend { SortOrder::Descend } else { SortOrder::Ascend };
    let mut query = Range::new(read_range(reader)?);
    query.sort = (target, order);
    (query.keys_only, query.count_only, query.with_count) = (keys_only, count_only, with_count);
    query.blank_lease = blank_lease;
    query.limit = reader.varint()?;
    let fields = [&mut query.at, &mut query.min_mod, &mut query.max_mod, &mut query.min_create, &mut query.max_create];
    for field in fields {
        *field = Revision::new(reader.varint()?);
    }
    Some(query)
}

fn write_txn(out: &mut Vec<u8>, txn: &Txn) {
    out.put_varint(txn.compares.len() as u64);
    for compare in &txn.compares {
        write_compare(out, compare);
    }
    for branch in [&txn.then, &txn.or_else] {
        out.put_varint(branch.len() as u64);
        for op in branch {
            write_op(out, op);
        }
    }
}

fn read_txn(reader: &mut Reader<'_>, depth: u32) -> Option<Txn> {
    if depth > DEPTH_MAX {
        return None;
    }
    let compares = read_list(reader, read_compare)?;
    let then = read_list(reader, |reader| read_op(reader, depth))?;
    let or_else = read_list(reader, |reader| read_op(reader, depth))?;
    Some(Txn::from_parts(compares, then, or_else))
}

fn write_op(out: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Put(put) => {
            out.put_u8(1);
            write_put(out, put);
        }
        Op::Delete(delete) => {
            out.put_u8(2);
            write_delete(out, delete);
        }
        Op::Range(query) => {
            out.put_u8(3);
            write_query(out, query);
        }
        Op::Txn(txn) => {
            out.put_u8(4);
            write_txn(out, txn);
        }
        Op::Grant(grant) => {
            out.put_u8(32);
            write_grant(out, grant);
        }
        Op::Revoke(id) => {
            out.put_u8(34);
            out.put_varint_signed(id.get());
        }
        Op::Advance(advance) => {
            out.put_u8(33);
            out.put_bytes(&advance.name);
            out.put_varint(advance.from.get());
            out.put_varint(advance.to.get());
        }
    }
}

fn read_op(reader: &mut Reader<'_>, depth: u32) -> Option<Op> {
    Some(match reader.u8()? {
        1 => Op::Put(read_put(reader)?),
        2 => Op::Delete(read_delete(reader)?),
        3 => Op::Range(read_query(reader)?),
        4 => Op::Txn(read_txn(reader, depth + 1)?),
        32 => Op::Grant(read_grant(reader)?),
        34 => Op::Revoke(read_lease(reader)?),
        33 => Op::Advance(Advance {
            name: read_owned(reader)?,
            from: Revision::new(reader.varint()?),
            to: Revision::new(reader.varint()?),
        }),
        _ => return None,
    })
}

const COMPARE_RESULTS: [CompareResult; 4] =
    [CompareResult::Equal, CompareResult::NotEqual, CompareResult::Greater, CompareResult::Less];

fn write_compare(out: &mut Vec<u8>, compare: &Compare) {
    let result = COMPARE_RESULTS.iter().position(|result| *result == compare.result);
    out.put_varint(result.expect("every compare result is in the table") as u64);
    write_range(out, &compare.range);
    let (tag, number) = match &compare.target {
        CompareTarget::Version(number) => (1, *number),
        CompareTarget::CreateRevision(number) => (2, *number),
        CompareTarget::ModRevision(number) => (3, *number),
        CompareTarget::Lease(number) => (4, *number),
        CompareTarget::Value(value) => {
            out.put_u8(5);
            out.put_bytes(value);
            return;
        }
        CompareTarget::Held { create_revision, lease } => {
            out.put_u8(32);
            out.put_varint(*create_revision);
            out.put_varint_signed(lease.get());
            return;
        }
        CompareTarget::LeaseAlive(lease) => (34, lease.get()),
    };
    out.put_u8(tag);
    out.put_varint_signed(number);
}

fn read_compare(reader: &mut Reader<'_>) -> Option<Compare> {
    let result = *COMPARE_RESULTS.get(usize::try_from(reader.varint()?).ok()?)?;
    let range = read_range(reader)?;
    let target = match reader.u8()? {
        1 => CompareTarget::Version(reader.varint_signed()?),
        2 => CompareTarget::CreateRevision(reader.varint_signed()?),
        3 => CompareTarget::ModRevision(reader.varint_signed()?),
        4 => CompareTarget::Lease(reader.varint_signed()?),
        5 => CompareTarget::Value(read_owned(reader)?),
        32 => CompareTarget::Held { create_revision: reader.varint()?, lease: read_lease(reader)? },
        34 => CompareTarget::LeaseAlive(read_lease(reader)?),
        _ => return None,
    };
    Some(Compare { range, target, result })
}

#[cfg(test)]
mod tests;
