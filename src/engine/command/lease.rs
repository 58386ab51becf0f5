//! What of a command is about leases: the orderer's clocks, tokens, grants.

use std::time::Duration;

use super::read_owned;
use crate::codec::{Reader, Write};
use crate::engine::leases::whole_millis;
use crate::kv::{LeaseId, Revision};
use crate::op::{GrantOptions, Op, Token, Txn};

/// What `apply` may not ask for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// From when leases of the command run: rounded up, so that a restart never ends one early.
    pub(crate) stamp: Stamp,
    /// Where the ids of the command's hidden leases begin.
    pub(crate) draw: LeaseId,
}

/// When a remaining time was taken, on the clocks that can tell how much of it has passed at a later open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) boot_id: u128,
    pub(crate) boot_ms: u64,
    pub(crate) wall_ms: u64,
}

pub(super) fn begins_time(txn: &Txn) -> bool {
    txn.then.iter().chain(&txn.or_else).any(|op| match op {
        Op::Grant(_) => true,
        Op::Put(put) => put.options.ttl.is_some(),
        Op::Txn(nested) => begins_time(nested),
        Op::Delete(_) | Op::Range(_) | Op::Revoke(_) | Op::Advance(_) => false,
    })
}

pub(super) fn write_fences(out: &mut Vec<u8>, fences: &[Token]) {
    out.put_varint(fences.len() as u64);
    for token in fences {
        out.put_bytes(&token.key);
        out.put_varint(token.revision.get());
        out.put_varint_signed(token.lease.get());
    }
}

pub(super) fn read_token(reader: &mut Reader<'_>) -> Option<Token> {
    let key = read_owned(reader)?;
    Some(Token { key, revision: Revision::new(reader.varint()?), lease: read_lease(reader)? })
}

pub(super) fn write_grant(out: &mut Vec<u8>, grant: &GrantOptions) {
    out.put_varint_signed(grant.id.get());
    out.put_varint(whole_millis(grant.ttl));
    out.put_varint(whole_millis(grant.lock_delay));
}

pub(super) fn read_grant(reader: &mut Reader<'_>) -> Option<GrantOptions> {
    let id = read_lease(reader)?;
    let mut millis = || reader.varint().map(Duration::from_millis);
    Some(GrantOptions { id, ttl: millis()?, lock_delay: millis()? })
}

pub(super) fn write_stamp(out: &mut Vec<u8>, stamp: &Stamp) {
    out.put_u128(stamp.boot_id);
    out.put_varint(stamp.boot_ms);
    out.put_varint(stamp.wall_ms);
}

pub(super) fn read_stamp(reader: &mut Reader<'_>) -> Option<Stamp> {
    Some(Stamp { boot_id: reader.u128()?, boot_ms: reader.varint()?, wall_ms: reader.varint()? })
}

pub(super) fn read_lease(reader: &mut Reader<'_>) -> Option<LeaseId> {
    reader.varint_signed().map(LeaseId::new)
}
