//! `jsonl`: the driver's form (`exec --json`). A range is a line for each key, a watch a line for each event, a list of
//! leases a line for each lease; every other answer is one result object.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::json::{Bytes, Object, Part, kv_object, lease_text, set_bytes};
use super::{Asked, Form, Header};
use crate::{
    DeleteResponse, Event, EventKind, KeyValue, LeaseId, LeaseStatus, OpResponse, PutResponse, RangeResponse, Revision,
    TxnResponse,
};

pub(super) struct Jsonl;

impl Form for Jsonl {
    fn put(&self, text: &mut Vec<u8>, header: &Header, answer: &PutResponse) {
        let mut object = ok(header);
        set_put(&mut object, answer);
        line(text, &object.into());
    }

    fn get(&self, text: &mut Vec<u8>, header: &Header, answer: &RangeResponse, asked: Asked) {
        if asked.count_only {
            let mut object = ok(header);
            object.insert("count".into(), answer.count.unwrap_or(0).into());
            line(text, &object.into());
        }
        answer.kvs.iter().for_each(|kv| self.kv(text, kv, asked));
    }

    fn kv(&self, text: &mut Vec<u8>, kv: &KeyValue, asked: Asked) {
        line(text, &kv_object(kv, part(asked), Bytes::Text));
    }

    fn del(&self, text: &mut Vec<u8>, header: &Header, answer: &DeleteResponse, asked: Asked) {
        let mut object = ok(header);
        set_del(&mut object, answer, asked);
        line(text, &object.into());
    }

    fn txn(&self, text: &mut Vec<u8>, header: &Header, answer: &TxnResponse, asked: &[Asked]) {
        let mut object = ok(header);
        set_txn(&mut object, answer, asked);
        line(text, &object.into());
    }

    fn swapped(&self, text: &mut Vec<u8>, header: &Header, succeeded: bool) {
        let mut object = ok(header);
        object.insert("succeeded".into(), succeeded.into());
        line(text, &object.into());
    }

    fn compacted(&self, text: &mut Vec<u8>, header: &Header, _: Revision, effective: Revision) {
        let mut object = ok(header);
        object.insert("compact_revision".into(), effective.get().into());
        line(text, &object.into());
    }

    fn revision(&self, text: &mut Vec<u8>, header: &Header, compact: Revision, synced: Revision) {
        let mut object = ok(header);
        object.insert("compact_revision".into(), compact.get().into());
        object.insert("synced_revision".into(), synced.get().into());
        line(text, &object.into());
    }

    fn events(&self, text: &mut Vec<u8>, _: &Header, events: &[Event]) {
        for event in events {
            let (kind, part) = match event.kind {
                EventKind::Put => ("put", Part::Whole),
                EventKind::Delete => ("delete", Part::Deleted),
            };
            let mut object = Object::new();
            object.insert("type".into(), kind.into());
            object.insert("kv".into(), kv_object(&event.kv, part, Bytes::Text));
            if let Some(prev) = &event.prev {
                object.insert("prev".into(), kv_object(prev, Part::Whole, Bytes::Text));
            }
            line(text, &object.into());
        }
    }

    fn progress(&self, text: &mut Vec<u8>, header: &Header) {
        line(text, &json!({ "progress": header.revision.get() }));
    }

    fn granted(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, ttl: Duration) {
        let mut object = ok(header);
        object.insert("lease".into(), lease_text(id).into());
        object.insert("granted_ms".into(), millis(ttl));
        line(text, &object.into());
    }

    fn revoked(&self, text: &mut Vec<u8>, header: &Header, _: LeaseId) {
        line(text, &ok(header).into());
    }

    fn kept_alive(&self, text: &mut Vec<u8>, header: &Header, _: LeaseId, ttl: Duration) {
        let mut object = ok(header);
        object.insert("alive".into(), true.into());
        object.insert("granted_ms".into(), millis(ttl));
        line(text, &object.into());
    }

    fn lease_gone(&self, text: &mut Vec<u8>, header: &Header, _: LeaseId) {
        let mut object = ok(header);
        object.insert("alive".into(), false.into());
        line(text, &object.into());
    }

    fn time_to_live(&self, text: &mut Vec<u8>, header: &Header, _: LeaseId, lease: Option<&LeaseStatus>, keys: bool) {
        let mut object = ok(header);
        object.insert("alive".into(), lease.is_some().into());
        if let Some(lease) = lease {
            set_times(&mut object, lease);
        }
        if let Some(lease) = lease.filter(|_| keys) {
            object.insert("keys".into(), lease.keys.iter().map(|key| key_object(key)).collect());
        }
        line(text, &object.into());
    }

    fn leases(&self, text: &mut Vec<u8>, _: &Header, leases: &[LeaseStatus]) {
        for lease in leases {
            let mut object = Object::new();
            object.insert("lease".into(), lease_text(lease.id).into());
            set_times(&mut object, lease);
            object.insert("keys".into(), lease.key_count.into());
            line(text, &object.into());
        }
    }
}

/// What every result begins with.
fn ok(header: &Header) -> Object {
    let mut object = Object::new();
    object.insert("ok".into(), true.into());
    object.insert("revision".into(), header.revision.get().into());
    object
}

fn part(asked: Asked) -> Part {
    if asked.keys_only { Part::NoValue } else { Part::Whole }
}

fn kvs(kvs: &[KeyValue], part: Part) -> Value {
    kvs.iter().map(|kv| kv_object(kv, part, Bytes::Text)).collect()
}

fn key_object(key: &[u8]) -> Value {
    let mut object = Object::new();
    set_bytes(&mut object, "key", key, Bytes::Text);
    object.into()
}

fn set_put(object: &mut Object, answer: &PutResponse) {
    if let Some(prev) = &answer.prev {
        object.insert("prev".into(), kv_object(prev, Part::Whole, Bytes::Text));
    }
}

fn set_del(object: &mut Object, answer: &DeleteResponse, asked: Asked) {
    object.insert("deleted".into(), answer.deleted.into());
    if asked.prev_kv {
        object.insert("prevs".into(), kvs(&answer.prev_kvs, Part::Whole));
    }
}

fn set_txn(object: &mut Object, answer: &TxnResponse, asked: &[Asked]) {
    object.insert("succeeded".into(), answer.succeeded.into());
    let asked = asked.iter().copied().chain(std::iter::repeat(Asked::default()));
    let responses = answer.responses.iter().zip(asked).map(|(response, asked)| response_object(response, asked));
    object.insert("responses".into(), responses.collect());
}

fn response_object(response: &OpResponse, asked: Asked) -> Value {
    let mut object = Object::new();
    let mut named = |name: &str| object.insert("cmd".into(), name.into());
    match response {
        OpResponse::Put(put) => {
            named("put");
            set_put(&mut object, put);
        }
        OpResponse::Delete(del) => {
            named("del");
            set_del(&mut object, del, asked);
        }
        OpResponse::Range(range) => {
            named("range");
            object.insert("kvs".into(), kvs(&range.kvs, part(asked)));
            object.insert("count".into(), range.count.unwrap_or(0).into());
            object.insert("more".into(), range.more.into());
        }
        OpResponse::Txn(txn) => {
            named("txn");
            set_txn(&mut object, txn, &[]);
        }
        // The grammar of `txn` has no words for them.
        OpResponse::Grant(_) | OpResponse::Revoke(_) | OpResponse::Advance(_) => {}
    }
    object.into()
}

fn set_times(object: &mut Object, lease: &LeaseStatus) {
    object.insert("granted_ms".into(), millis(lease.granted));
    object.insert("remaining_ms".into(), millis(lease.remaining));
}

fn millis(duration: Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

fn line(text: &mut Vec<u8>, value: &Value) {
    text.extend_from_slice(value.to_string().as_bytes());
    text.push(b'\n');
}
