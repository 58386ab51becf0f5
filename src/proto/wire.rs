//! Replies of keys, encoded straight from the store's own values: no message is built, nothing is copied but into the
//! caller's buffer. All else goes through generated code; a test holds both to the same bytes.
//!
//! ```text
//!   field   = tag byte (number << 3 | type), then a varint (type 0), or a varint length and that many bytes (type 2)
//!   default = left out: zero, false, empty
//! ```

use prost::bytes::BufMut;
use prost::encoding::{encode_varint, encoded_len_varint};

use super::etcdserverpb::ResponseHeader;
use crate::kv::KeyValue;

/// The answer to a range, in its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeParts<'a> {
    pub(super) header: ResponseHeader,
    pub(super) kvs: &'a [KeyValue],
    pub(super) more: bool,
    pub(super) count: u64,
}

impl RangeParts<'_> {
    pub(super) fn len(&self) -> usize {
        let kvs: usize = self.kvs.iter().map(|kv| nested_len(kv_len(kv))).sum();
        nested_len(header_len(&self.header)) + kvs + number_len(u64::from(self.more)) + number_len(self.count)
    }

    pub(super) fn write(&self, out: &mut impl BufMut) {
        write_header(1, &self.header, out);
        for kv in self.kvs {
            write_kv(2, kv, out);
        }
        write_number(3, u64::from(self.more), out);
        write_number(4, self.count, out);
    }
}

/// The answer to a put, in its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct PutParts<'a> {
    pub(super) header: ResponseHeader,
    pub(super) prev: Option<&'a KeyValue>,
}

impl PutParts<'_> {
    pub(super) fn len(&self) -> usize {
        nested_len(header_len(&self.header)) + self.prev.map_or(0, |kv| nested_len(kv_len(kv)))
    }

    pub(super) fn write(&self, out: &mut impl BufMut) {
        write_header(1, &self.header, out);
        if let Some(kv) = self.prev {
            write_kv(2, kv, out);
        }
    }
}

/// The numbers of a key-value, each with its field.
fn kv_numbers(kv: &KeyValue) -> [(u32, u64); 4] {
    let lease = kv.lease.get().cast_unsigned();
    [(2, kv.create_revision.get()), (3, kv.mod_revision.get()), (4, kv.version), (6, lease)]
}

fn kv_len(kv: &KeyValue) -> usize {
    let numbers: usize = kv_numbers(kv).iter().map(|(_, number)| number_len(*number)).sum();
    bytes_len(&kv.key) + bytes_len(&kv.value) + numbers
}

fn write_kv(field: u32, kv: &KeyValue, out: &mut impl BufMut) {
    let [create, modified, version, lease] = kv_numbers(kv);
    write_start(field, kv_len(kv), out);
    write_bytes(1, &kv.key, out);
    for (field, number) in [create, modified, version] {
        write_number(field, number, out);
    }
    write_bytes(5, &kv.value, out);
    write_number(lease.0, lease.1, out);
}

/// The numbers of a header, by field.
fn header_numbers(header: &ResponseHeader) -> [u64; 4] {
    [header.cluster_id, header.member_id, header.revision.cast_unsigned(), header.raft_term]
}

fn header_len(header: &ResponseHeader) -> usize {
    header_numbers(header).into_iter().map(number_len).sum()
}

fn write_header(field: u32, header: &ResponseHeader, out: &mut impl BufMut) {
    write_start(field, header_len(header), out);
    for (field, number) in (1..).zip(header_numbers(header)) {
        write_number(field, number, out);
    }
}

/// The length of a field that is left out if it is zero. Every field here has a tag of one byte.
fn number_len(number: u64) -> usize {
    if number == 0 { 0 } else { 1 + encoded_len_varint(number) }
}

fn write_number(field: u32, number: u64, out: &mut impl BufMut) {
    if number != 0 {
        encode_varint(u64::from(field << 3), out);
        encode_varint(number, out);
    }
}

fn bytes_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { nested_len(bytes.len()) }
}

fn write_bytes(field: u32, bytes: &[u8], out: &mut impl BufMut) {
    if !bytes.is_empty() {
        write_start(field, bytes.len(), out);
        out.put_slice(bytes);
    }
}

/// The length of a field that holds `len` bytes and is there in any case.
fn nested_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn write_start(field: u32, len: usize, out: &mut impl BufMut) {
    encode_varint(u64::from(field << 3 | LENGTH_DELIMITED), out);
    encode_varint(len as u64, out);
}

const LENGTH_DELIMITED: u32 = 2;
