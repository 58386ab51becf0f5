//! Answers as bytes: what is remembered of an operation with an id, in memory and in state files.
//!
//! ```text
//! u8 what | body        1 put, 2 delete, 3 txn, 4 done, 5 granted, 8 revoke, 33 cursor;
//!                       in a txn also 6 range, 7 grant, 35 advance
//! ```
//! Numbers are varints, lists have their count in front, bytes their length, what may be missing a u8 0 or 1. An answer
//! that is too long is encoded without keys and values, and if that does not do, without the answers inside a txn.
//! Decoding never panics and trusts no count.

use std::time::Duration;

use bytes::Bytes;

use crate::codec::{Reader, Write};
use crate::engine::apply::Response;
use crate::engine::millis;
use crate::kv::{KeyValue, LeaseId, Revision};
use crate::op::{
    AdvanceResponse, DeleteResponse, GrantResponse, OpResponse, PutResponse, RangeResponse, RevokeResponse, TxnResponse,
};

/// An answer, and what a grant answers besides.
#[derive(Clone, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) response: &'a Response,
    pub(crate) granted: Option<(LeaseId, u64)>,
}

/// How much of an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    All,
    /// No keys and values.
    Counts,
    /// Nor the answers inside a txn.
    Head,
}

pub(crate) fn encode(stored: &Stored<'_>, keep: Keep) -> Vec<u8> {
    let mut out = Vec::new();
    match (stored.response, stored.granted) {
        (Response::Put(put), _) => write_put(&mut out, put, keep),
        (Response::Delete(delete), _) => write_delete(&mut out, delete, keep),
        (Response::Txn(txn), _) => write_txn(&mut out, txn, keep),
        (Response::Revoke(revoke), _) => write_revoke(&mut out, revoke),
        (Response::Cursor(cursor), _) => write_advance(&mut out, CURSOR, cursor),
        (Response::Done(revision), None) => {
            out.put_u8(DONE);
            out.put_varint(revision.get());
        }
        (Response::Done(revision), Some((id, ttl_ms))) => {
            out.put_u8(GRANTED);
            out.put_varint(revision.get());
            out.put_varint_signed(id.get());
            out.put_varint(ttl_ms);
        }
    }
    out
}

/// The answer in `bytes`, all of them.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Response, Option<(LeaseId, u64)>)> {
    let mut reader = Reader::new(bytes);
    let mut granted = None;
    let response = match reader.u8()? {
        PUT => Response::Put(read_put(&mut reader)?),
        DELETE => Response::Delete(read_delete(&mut reader)?),
        TXN => Response::Txn(read_txn(&mut reader, 0)?),
        REVOKE => Response::Revoke(read_revoke(&mut reader)?),
        CURSOR => Response::Cursor(read_advance(&mut reader)?),
        DONE => Response::Done(read_revision(&mut reader)?),
        GRANTED => {
            let revision = read_revision(&mut reader)?;
            granted = Some((LeaseId::new(reader.varint_signed()?), reader.varint()?));
            Response::Done(revision)
        }
        _ => return None,
    };
    reader.is_empty().then_some((response, granted))
}

fn write_put(out: &mut Vec<u8>, put: &PutResponse, keep: Keep) {
    out.put_u8(PUT);
    out.put_varint(put.revision.get());
    match put.prev.as_ref().filter(|_| keep == Keep::All) {
        None => out.put_u8(0),
        Some(prev) => {
            out.put_u8(1);
            write_kv(out, prev);
        }
    }
}

fn read_put(reader: &mut Reader<'_>) -> Option<PutResponse> {
    let revision = read_revision(reader)?;
    let prev = if read_bool(reader)? { Some(read_kv(reader)?) } else { None };
    Some(PutResponse { revision, prev })
}

fn write_delete(out: &mut Vec<u8>, delete: &DeleteResponse, keep: Keep) {
    out.put_u8(DELETE);
    out.put_varint(delete.revision.get());
    out.put_varint(delete.deleted);
    write_kvs(out, &delete.prev_kvs, keep);
}

fn read_delete(reader: &mut Reader<'_>) -> Option<DeleteResponse> {
    Some(DeleteResponse { revision: read_revision(reader)?, deleted: reader.varint()?, prev_kvs: read_kvs(reader)? })
}

fn write_range(out: &mut Vec<u8>, range: &RangeResponse, keep: Keep) {
    out.put_u8(RANGE);
    out.put_varint(range.revision.get());
    out.put_u8(u8::from(range.more));
    match range.count {
        None => out.put_u8(0),
        Some(count) => {
            out.put_u8(1);
            out.put_varint(count);
        }
    }
    write_kvs(out, &range.kvs, keep);
}

fn read_range(reader: &mut Reader<'_>) -> Option<RangeResponse> {
    let revision = read_revision(reader)?;
    let more = read_bool(reader)?;
    let count = if read_bool(reader)? { Some(reader.varint()?) } else { None };
    Some(RangeResponse { revision, kvs: read_kvs(reader)?, more, count })
}

fn write_grant(out: &mut Vec<u8>, grant: &GrantResponse) {
    out.put_u8(GRANT);
    out.put_varint(grant.revision.get());
    out.put_varint_signed(grant.id.get());
    out.put_varint(millis(grant.ttl));
}

fn read_grant(reader: &mut Reader<'_>) -> Option<GrantResponse> {
    let (revision, id) = (read_revision(reader)?, LeaseId::new(reader.varint_signed()?));
    Some(GrantResponse { revision, id, ttl: Duration::from_millis(reader.varint()?) })
}

fn write_revoke(out: &mut Vec<u8>, revoke: &RevokeResponse) {
    out.put_u8(REVOKE);
    out.put_varint(revoke.revision.get());
    out.put_varint(revoke.deleted);
}

fn read_revoke(reader: &mut Reader<'_>) -> Option<RevokeResponse> {
    Some(RevokeResponse { revision: read_revision(reader)?, deleted: reader.varint()? })
}

fn write_advance(out: &mut Vec<u8>, what: u8, advance: &AdvanceResponse) {
    out.put_u8(what);
    out.put_varint(advance.revision.get());
    out.put_varint(advance.position.get());
}

fn read_advance(reader: &mut Reader<'_>) -> Option<AdvanceResponse> {
    Some(AdvanceResponse { revision: read_revision(reader)?, position: read_revision(reader)? })
}

fn write_txn(out: &mut Vec<u8>, txn: &TxnResponse, keep: Keep) {
    out.put_u8(TXN);
    out.put_varint(txn.revision.get());
    out.put_u8(u8::from(txn.succeeded));
    let responses = if keep == Keep::Head { &[] } else { txn.responses.as_slice() };
    out.put_varint(responses.len() as u64);
    for response in responses {
        match response {
            OpResponse::Put(put) => write_put(out, put, keep),
            OpResponse::Delete(delete) => write_delete(out, delete, keep),
            OpResponse::Range(range) => write_range(out, range, keep),
            OpResponse::Txn(nested) => write_txn(out, nested, keep),
            OpResponse::Grant(grant) => write_grant(out, grant),
            OpResponse::Revoke(revoke) => write_revoke(out, revoke),
            OpResponse::Advance(advance) => write_advance(out, ADVANCE, advance),
        }
    }
}

fn read_txn(reader: &mut Reader<'_>, depth: u32) -> Option<TxnResponse> {
    if depth > DEPTH_MAX {
        return None;
    }
    let revision = read_revision(reader)?;
    let succeeded = read_bool(reader)?;
    let mut responses = Vec::new();
    for _ in 0..reader.varint()? {
        responses.push(match reader.u8()? {
            PUT => OpResponse::Put(read_put(reader)?),
            DELETE => OpResponse::Delete(read_delete(reader)?),
            RANGE => OpResponse::Range(read_range(reader)?),
            TXN => OpResponse::Txn(read_txn(reader, depth + 1)?),
            GRANT => OpResponse::Grant(read_grant(reader)?),
            REVOKE => OpResponse::Revoke(read_revoke(reader)?),
            ADVANCE => OpResponse::Advance(read_advance(reader)?),
            _ => return None,
        });
    }
    Some(TxnResponse { revision, succeeded, responses })
}

fn write_kvs(out: &mut Vec<u8>, kvs: &[KeyValue], keep: Keep) {
    let kvs = if keep == Keep::All { kvs } else { &[] };
    out.put_varint(kvs.len() as u64);
    kvs.iter().for_each(|kv| write_kv(out, kv));
}

fn read_kvs(reader: &mut Reader<'_>) -> Option<Vec<KeyValue>> {
    let mut kvs = Vec::new();
    for _ in 0..reader.varint()? {
        kvs.push(read_kv(reader)?);
    }
    Some(kvs)
}

fn write_kv(out: &mut Vec<u8>, kv: &KeyValue) {
    out.put_bytes(&kv.key);
    out.put_bytes(&kv.value);
    for number in [kv.create_revision.get(), kv.mod_revision.get(), kv.version] {
        out.put_varint(number);
    }
    out.put_varint_signed(kv.lease.get());
}

fn read_kv(reader: &mut Reader<'_>) -> Option<KeyValue> {
    Some(KeyValue {
        key: Bytes::copy_from_slice(reader.bytes()?),
        value: Bytes::copy_from_slice(reader.bytes()?),
        create_revision: read_revision(reader)?,
        mod_revision: read_revision(reader)?,
        version: reader.varint()?,
        lease: LeaseId::new(reader.varint_signed()?),
    })
}

fn read_revision(reader: &mut Reader<'_>) -> Option<Revision> {
    reader.varint().map(Revision::new)
}

fn read_bool(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const TXN: u8 = 3;
const DONE: u8 = 4;
const GRANTED: u8 = 5;
const GRANT: u8 = 7;
const REVOKE: u8 = 8;
const RANGE: u8 = 6;
const CURSOR: u8 = 33;
const ADVANCE: u8 = 35;

/// Deeper than any request may nest, so that a hostile file cannot exhaust the stack.
const DEPTH_MAX: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str) -> KeyValue {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let revision = Revision::new(300);
        KeyValue {
            value: key.clone(),
            key,
            create_revision: revision,
            mod_revision: revision + 7,
            version: 2,
            lease: LeaseId::new(-9),
        }
    }

    fn samples() -> Vec<(Response, Option<(LeaseId, u64)>)> {
        let revision = Revision::new(9);
        let put = PutResponse { revision, prev: Some(kv("a")) };
        let delete = DeleteResponse { revision, deleted: 2, prev_kvs: vec![kv("b"), kv("")] };
        let range = RangeResponse { revision, kvs: vec![kv("c")], more: true, count: None };
        let counted = RangeResponse { count: Some(1 << 40), more: false, ..range.clone() };
        let nested = TxnResponse { revision: Revision::ZERO, succeeded: false, responses: vec![] };
        let responses = vec![
            OpResponse::Put(put.clone()),
            OpResponse::Delete(delete.clone()),
            OpResponse::Range(range),
            OpResponse::Range(counted),
            OpResponse::Txn(nested),
            OpResponse::Grant(GrantResponse { revision, id: LeaseId::new(-7), ttl: Duration::from_millis(1500) }),
            OpResponse::Revoke(RevokeResponse { revision, deleted: 300 }),
            OpResponse::Advance(AdvanceResponse { revision, position: revision + 400 }),
        ];
        vec![
            (Response::Put(put), None),
            (Response::Put(PutResponse { revision, prev: None }), None),
            (Response::Delete(delete), None),
            (Response::Txn(TxnResponse { revision, succeeded: true, responses }), None),
            (Response::Done(revision), None),
            (Response::Revoke(RevokeResponse { revision, deleted: 300 }), None),
            (Response::Cursor(AdvanceResponse { revision, position: revision + 300 }), None),
            (Response::Done(revision), Some((LeaseId::new(-3), 5_000))),
        ]
    }

    #[test]
    fn every_answer_comes_back() {
        for (response, granted) in samples() {
            let bytes = encode(&Stored { response: &response, granted }, Keep::All);
            assert_eq!(decode(&bytes), Some((response, granted)));
        }
    }

    #[test]
    fn what_is_cut_keeps_revision_and_counts() {
        for (response, granted) in samples() {
            let stored = Stored { response: &response, granted };
            let counts = decode(&encode(&stored, Keep::Counts)).expect("decodes");
            match (&response, &counts.0) {
                (Response::Put(whole), Response::Put(cut)) => {
                    assert!(cut.revision == whole.revision && cut.prev.is_none())
                }
                (Response::Delete(whole), Response::Delete(cut)) => {
                    assert_eq!(*cut, DeleteResponse { prev_kvs: Vec::new(), ..whole.clone() });
                }
                (Response::Txn(whole), Response::Txn(cut)) => assert_eq!(cut.responses.len(), whole.responses.len()),
                (whole, cut) => assert_eq!(whole, cut),
            }
            let head = decode(&encode(&stored, Keep::Head)).expect("decodes");
            if let Response::Txn(txn) = head.0 {
                assert!(txn.succeeded && txn.responses.is_empty());
            }
        }
    }

    #[test]
    fn damaged_bytes_never_panic() {
        for (response, granted) in samples() {
            let bytes = encode(&Stored { response: &response, granted }, Keep::All);
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), None);
            }
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= 1 << bit;
                    let _ = decode(&damaged);
                }
            }
        }
        let mut deep = Vec::new();
        for _ in 0..100_000 {
            deep.extend([TXN, 0, 1, 1]);
        }
        assert_eq!(decode(&deep), None);
    }
}
