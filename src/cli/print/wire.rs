//! `json`: etcdctl's objects, field by field in its order; bytes in base64, numbers bare, so that jq scripts carry over.
//!
//! Differs from etcdctl: the fields of an answer itself are there when they are false, zero or empty too. With `--hex`
//! ids of clusters, members and leases are strings of hex digits, which survive a parser that reads integers as
//! doubles, and which the lease commands take as they stand; etcdctl writes hex for ids of members only.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::json::{Object, base64};
use super::{Asked, Form, Header, granted_seconds, lease_hex};
use crate::{
    DeleteResponse, Event, EventKind, KeyValue, LeaseId, LeaseStatus, OpResponse, PutResponse, RangeResponse, Revision,
    TxnResponse,
};

pub(super) struct Json {
    pub(super) hex: bool,
}

impl Json {
    /// The fields of a header, as etcd leaves them out: those that are zero.
    fn header_fields(&self, header: &Header) -> Object {
        let mut object = Object::new();
        for (name, id) in [("cluster_id", header.cluster_id), ("member_id", header.member_id)] {
            if id != 0 {
                object.insert(name.into(), if self.hex { format!("{id:x}").into() } else { id.into() });
            }
        }
        set_number(&mut object, "revision", header.revision.get());
        set_number(&mut object, "raft_term", header.raft_term);
        object
    }

    /// An answer that begins with its header.
    fn answer(&self, header: &Header) -> Object {
        let mut object = Object::new();
        object.insert("header".into(), self.header_fields(header).into());
        object
    }

    fn lease(&self, id: LeaseId) -> Value {
        if self.hex { lease_hex(id).into() } else { id.get().into() }
    }

    fn kv(&self, kv: &KeyValue) -> Value {
        let mut object = Object::new();
        set_bytes(&mut object, "key", &kv.key);
        set_number(&mut object, "create_revision", kv.create_revision.get());
        set_number(&mut object, "mod_revision", kv.mod_revision.get());
        set_number(&mut object, "version", kv.version);
        set_bytes(&mut object, "value", &kv.value);
        if !kv.lease.is_none() {
            object.insert("lease".into(), self.lease(kv.lease));
        }
        object.into()
    }

    fn kvs(&self, kvs: &[KeyValue]) -> Value {
        kvs.iter().map(|kv| self.kv(kv)).collect()
    }

    fn put_object(&self, header: &Header, answer: &PutResponse) -> Object {
        let mut object = self.answer(header);
        if let Some(prev) = &answer.prev {
            object.insert("prev_kv".into(), self.kv(prev));
        }
        object
    }

    fn get_object(&self, header: &Header, answer: &RangeResponse) -> Object {
        let mut object = self.answer(header);
        object.insert("kvs".into(), self.kvs(&answer.kvs));
        object.insert("more".into(), answer.more.into());
        object.insert("count".into(), answer.count.unwrap_or(0).into());
        object
    }

    fn del_object(&self, header: &Header, answer: &DeleteResponse, asked: Asked) -> Object {
        let mut object = self.answer(header);
        object.insert("deleted".into(), answer.deleted.into());
        if asked.prev_kv {
            object.insert("prev_kvs".into(), self.kvs(&answer.prev_kvs));
        }
        object
    }

    fn txn_object(&self, header: &Header, answer: &TxnResponse, asked: &[Asked]) -> Object {
        let mut object = self.answer(header);
        object.insert("succeeded".into(), answer.succeeded.into());
        let asked = asked.iter().copied().chain(std::iter::repeat(Asked::default()));
        let responses = answer.responses.iter().zip(asked).map(|(response, asked)| self.response(response, asked));
        object.insert("responses".into(), responses.collect());
        object
    }

    /// As etcdctl up to 3.6; 3.7 writes `response_put` and so on.
    fn response(&self, response: &OpResponse, asked: Asked) -> Value {
        let (name, object) = match response {
            OpResponse::Put(put) => ("ResponsePut", self.put_object(&Header::inner(put.revision), put)),
            OpResponse::Delete(del) => {
                ("ResponseDeleteRange", self.del_object(&Header::inner(del.revision), del, asked))
            }
            OpResponse::Range(range) => ("ResponseRange", self.get_object(&Header::inner(range.revision), range)),
            OpResponse::Txn(txn) => ("ResponseTxn", self.txn_object(&Header::inner(txn.revision), txn, &[])),
            // The grammar of `txn` has no words for them.
            OpResponse::Grant(_) | OpResponse::Revoke(_) | OpResponse::Advance(_) => return Value::Null,
        };
        json!({ "Response": { name: object } })
    }

    fn event(&self, event: &Event) -> Value {
        let mut object = Object::new();
        if event.kind == EventKind::Delete {
            object.insert("type".into(), 1.into());
        }
        object.insert("kv".into(), self.kv(&event.kv));
        if let Some(prev) = &event.prev {
            object.insert("prev_kv".into(), self.kv(prev));
        }
        object.into()
    }

    fn watch_object(&self, header: &Header, events: &[Event]) -> Value {
        json!({
            "Header": self.header_fields(header),
            "Events": events.iter().map(|event| self.event(event)).collect::<Value>(),
            "CompactRevision": 0,
            "Canceled": false,
            "Created": false,
        })
    }

    fn ttl_object(&self, header: &Header, id: LeaseId, ttl: u64) -> Object {
        let mut object = self.header_fields(header);
        object.insert("ID".into(), self.lease(id));
        object.insert("TTL".into(), ttl.into());
        object
    }
}

impl Form for Json {
    fn put(&self, text: &mut Vec<u8>, header: &Header, answer: &PutResponse) {
        line(text, &self.put_object(header, answer).into());
    }

    fn get(&self, text: &mut Vec<u8>, header: &Header, answer: &RangeResponse, _: Asked) {
        line(text, &self.get_object(header, answer).into());
    }

    fn kv(&self, text: &mut Vec<u8>, kv: &KeyValue, _: Asked) {
        line(text, &Json::kv(self, kv));
    }

    fn del(&self, text: &mut Vec<u8>, header: &Header, answer: &DeleteResponse, asked: Asked) {
        line(text, &self.del_object(header, answer, asked).into());
    }

    fn txn(&self, text: &mut Vec<u8>, header: &Header, answer: &TxnResponse, asked: &[Asked]) {
        line(text, &self.txn_object(header, answer, asked).into());
    }

    fn swapped(&self, text: &mut Vec<u8>, header: &Header, succeeded: bool) {
        let mut object = self.answer(header);
        object.insert("succeeded".into(), succeeded.into());
        line(text, &object.into());
    }

    fn compacted(&self, text: &mut Vec<u8>, header: &Header, _: Revision, effective: Revision) {
        let mut object = self.answer(header);
        object.insert("compact_revision".into(), effective.get().into());
        line(text, &object.into());
    }

    fn revision(&self, text: &mut Vec<u8>, header: &Header, compact: Revision, synced: Revision) {
        let mut object = self.answer(header);
        object.insert("compact_revision".into(), compact.get().into());
        object.insert("synced_revision".into(), synced.get().into());
        line(text, &object.into());
    }

    fn events(&self, text: &mut Vec<u8>, header: &Header, events: &[Event]) {
        line(text, &self.watch_object(header, events));
    }

    fn progress(&self, text: &mut Vec<u8>, header: &Header) {
        // etcdctl prints `progress notify: R` here too, which is no JSON.
        line(text, &self.watch_object(header, &[]));
    }

    fn granted(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, ttl: Duration) {
        let mut object = self.ttl_object(header, id, granted_seconds(ttl));
        object.insert("Error".into(), "".into());
        line(text, &object.into());
    }

    fn revoked(&self, text: &mut Vec<u8>, header: &Header, _: LeaseId) {
        line(text, &self.answer(header).into());
    }

    fn kept_alive(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, ttl: Duration) {
        line(text, &self.ttl_object(header, id, granted_seconds(ttl)).into());
    }

    /// etcdctl says nothing here.
    fn lease_gone(&self, _: &mut Vec<u8>, _: &Header, _: LeaseId) {}

    fn time_to_live(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, lease: Option<&LeaseStatus>, keys: bool) {
        let mut object = self.header_fields(header);
        object.insert("id".into(), self.lease(id));
        object.insert("ttl".into(), lease.map_or(json!(-1), |lease| lease.remaining.as_secs().into()));
        object.insert("granted-ttl".into(), lease.map_or(0, |lease| granted_seconds(lease.granted)).into());
        let keys = lease.filter(|_| keys).map(|lease| lease.keys.iter().map(|key| base64(key)).collect::<Value>());
        object.insert("keys".into(), keys.unwrap_or(Value::Null));
        line(text, &object.into());
    }

    fn leases(&self, text: &mut Vec<u8>, header: &Header, leases: &[LeaseStatus]) {
        let mut object = self.header_fields(header);
        object.insert("leases".into(), leases.iter().map(|lease| json!({ "id": self.lease(lease.id) })).collect());
        line(text, &object.into());
    }
}

fn set_number(object: &mut Object, name: &str, number: u64) {
    if number != 0 {
        object.insert(name.into(), number.into());
    }
}

fn set_bytes(object: &mut Object, name: &str, bytes: &[u8]) {
    if !bytes.is_empty() {
        object.insert(name.into(), base64(bytes).into());
    }
}

fn line(text: &mut Vec<u8>, value: &Value) {
    text.extend_from_slice(value.to_string().as_bytes());
    text.push(b'\n');
}
