//! `fields`: one `"Name" : value` a line, as etcdctl; keys and values as Go's `%q`.

use std::fmt::Display;
use std::time::Duration;

use super::super::quote::quote;
use super::{Asked, Form, Header, event_name, granted_seconds, lease_hex};
use crate::{DeleteResponse, Event, KeyValue, LeaseId, LeaseStatus, PutResponse, RangeResponse, Revision, TxnResponse};

pub(super) struct Fields {
    pub(super) hex: bool,
}

impl Fields {
    fn header(&self, text: &mut Vec<u8>, header: &Header) {
        if self.hex {
            field(text, "ClusterID", format!("{:x}", header.cluster_id));
            field(text, "MemberID", format!("{:x}", header.member_id));
        } else {
            field(text, "ClusterID", header.cluster_id);
            field(text, "MemberID", header.member_id);
        }
        // etcd leaves out a revision that is not there.
        if header.revision != Revision::ZERO {
            field(text, "Revision", header.revision);
        }
        field(text, "RaftTerm", header.raft_term);
    }

    fn pair(&self, text: &mut Vec<u8>, prefix: &str, kv: &KeyValue) {
        let mut field = |name: &str, value: &dyn Display| field(text, &format!("{prefix}{name}"), value);
        field("Key", &quote(&kv.key));
        field("CreateRevision", &kv.create_revision);
        field("ModRevision", &kv.mod_revision);
        field("Version", &kv.version);
        field("Value", &quote(&kv.value));
        field("Lease", &self.lease(kv.lease));
    }

    fn lease(&self, id: LeaseId) -> String {
        if self.hex { lease_hex(id) } else { id.get().to_string() }
    }
}

impl Form for Fields {
    fn put(&self, text: &mut Vec<u8>, header: &Header, answer: &PutResponse) {
        self.header(text, header);
        answer.prev.iter().for_each(|kv| self.pair(text, "Prev", kv));
    }

    fn get(&self, text: &mut Vec<u8>, header: &Header, answer: &RangeResponse, _: Asked) {
        self.header(text, header);
        answer.kvs.iter().for_each(|kv| self.pair(text, "", kv));
        field(text, "More", answer.more);
        field(text, "Count", answer.count.unwrap_or(0));
    }

    fn kv(&self, text: &mut Vec<u8>, kv: &KeyValue, _: Asked) {
        self.pair(text, "", kv);
    }

    fn del(&self, text: &mut Vec<u8>, header: &Header, answer: &DeleteResponse, _: Asked) {
        self.header(text, header);
        field(text, "Deleted", answer.deleted);
        answer.prev_kvs.iter().for_each(|kv| self.pair(text, "Prev", kv));
    }

    fn txn(&self, text: &mut Vec<u8>, header: &Header, answer: &TxnResponse, asked: &[Asked]) {
        self.header(text, header);
        field(text, "Succeeded", answer.succeeded);
        for (at, response) in answer.responses.iter().enumerate() {
            self.response(text, response, asked.get(at).copied().unwrap_or_default());
        }
    }

    fn swapped(&self, text: &mut Vec<u8>, header: &Header, succeeded: bool) {
        self.header(text, header);
        field(text, "Succeeded", succeeded);
    }

    fn compacted(&self, text: &mut Vec<u8>, header: &Header, _: Revision, effective: Revision) {
        self.header(text, header);
        field(text, "CompactRevision", effective);
    }

    fn revision(&self, text: &mut Vec<u8>, header: &Header, compact: Revision, synced: Revision) {
        self.header(text, header);
        field(text, "CompactRevision", compact);
        field(text, "SyncedRevision", synced);
    }

    fn events(&self, text: &mut Vec<u8>, header: &Header, events: &[Event]) {
        self.header(text, header);
        for event in events {
            field(text, "Type", event_name(event));
            event.prev.iter().for_each(|kv| self.pair(text, "Prev", kv));
            self.pair(text, "", &event.kv);
        }
    }

    fn progress(&self, text: &mut Vec<u8>, header: &Header) {
        text.extend_from_slice(format!("progress notify: {}\n", header.revision).as_bytes());
        self.header(text, header);
    }

    fn granted(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, ttl: Duration) {
        self.header(text, header);
        field(text, "ID", self.lease(id));
        field(text, "TTL", granted_seconds(ttl));
    }

    fn revoked(&self, text: &mut Vec<u8>, header: &Header, _: LeaseId) {
        self.header(text, header);
    }

    fn kept_alive(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, ttl: Duration) {
        self.granted(text, header, id, ttl);
    }

    /// etcdctl says nothing here.
    fn lease_gone(&self, _: &mut Vec<u8>, _: &Header, _: LeaseId) {}

    fn time_to_live(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, lease: Option<&LeaseStatus>, keys: bool) {
        self.header(text, header);
        field(text, "ID", self.lease(id));
        field(text, "TTL", lease.map_or("-1".to_owned(), |lease| lease.remaining.as_secs().to_string()));
        field(text, "GrantedTTL", lease.map_or(0, |lease| granted_seconds(lease.granted)));
        for key in lease.iter().filter(|_| keys).flat_map(|lease| &lease.keys) {
            field(text, "Key", quote(key));
        }
    }

    fn leases(&self, text: &mut Vec<u8>, header: &Header, leases: &[LeaseStatus]) {
        self.header(text, header);
        leases.iter().for_each(|lease| field(text, "ID", self.lease(lease.id)));
    }
}

fn field(text: &mut Vec<u8>, name: &str, value: impl Display) {
    text.extend_from_slice(format!("\"{name}\" : {value}\n").as_bytes());
}
