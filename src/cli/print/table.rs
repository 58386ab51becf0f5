//! `table`: drawn for people. etcdctl has no tables for these answers, so their columns are ours.
//!
//! Cells escape control bytes always, line ends and tabs included, so that a cell is one line. Only on a terminal is a
//! table fitted to the width, by wrapping nothing and cutting what is too long.

use std::time::Duration;

use super::super::quote::quote;
use super::super::report::{STYLE, fit};
use super::{Asked, Form, Header, event_name, lease_hex};
use crate::{DeleteResponse, Event, KeyValue, LeaseId, LeaseStatus, PutResponse, RangeResponse, Revision, TxnResponse};

pub(super) struct Table {
    pub(super) hex: bool,
    pub(super) terminal: bool,
}

impl Table {
    fn draw<const N: usize>(&self, text: &mut Vec<u8>, head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
        let mut table = comfy_table::Table::new();
        table.load_style(STYLE);
        fit(&mut table, self.terminal);
        table.set_header(head);
        for row in rows {
            let mut row = comfy_table::Row::from(row);
            row.max_height(1);
            table.add_row(row);
        }
        text.extend_from_slice(table.to_string().as_bytes());
        text.push(b'\n');
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        if self.hex {
            return bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        }
        let quoted = quote(bytes);
        quoted[1..quoted.len() - 1].replace("\\\"", "\"")
    }

    fn row(&self, kv: &KeyValue) -> [String; 6] {
        let lease = if kv.lease.is_none() { String::new() } else { lease_hex(kv.lease) };
        [
            self.bytes(&kv.key),
            self.bytes(&kv.value),
            kv.create_revision.to_string(),
            kv.mod_revision.to_string(),
            kv.version.to_string(),
            lease,
        ]
    }

    fn kvs<'k>(&self, text: &mut Vec<u8>, kvs: impl IntoIterator<Item = &'k KeyValue>) {
        self.draw(text, KV_HEAD, kvs.into_iter().map(|kv| self.row(kv)));
    }

    fn one<const N: usize>(&self, text: &mut Vec<u8>, head: [&str; N], row: [String; N]) {
        self.draw(text, head, [row]);
    }
}

const KV_HEAD: [&str; 6] = ["KEY", "VALUE", "CREATE", "MOD", "VERSION", "LEASE"];

impl Form for Table {
    fn put(&self, text: &mut Vec<u8>, header: &Header, answer: &PutResponse) {
        self.one(text, ["REVISION"], [header.revision.to_string()]);
        if let Some(prev) = &answer.prev {
            self.kvs(text, [prev]);
        }
    }

    fn get(&self, text: &mut Vec<u8>, _: &Header, answer: &RangeResponse, asked: Asked) {
        if asked.count_only {
            return self.one(text, ["COUNT"], [answer.count.unwrap_or(0).to_string()]);
        }
        self.kvs(text, &answer.kvs);
    }

    fn kv(&self, text: &mut Vec<u8>, kv: &KeyValue, _: Asked) {
        self.kvs(text, [kv]);
    }

    fn del(&self, text: &mut Vec<u8>, header: &Header, answer: &DeleteResponse, asked: Asked) {
        self.one(text, ["REVISION", "DELETED"], [header.revision.to_string(), answer.deleted.to_string()]);
        if asked.prev_kv {
            self.kvs(text, &answer.prev_kvs);
        }
    }

    fn txn(&self, text: &mut Vec<u8>, header: &Header, answer: &TxnResponse, asked: &[Asked]) {
        self.one(text, ["REVISION", "SUCCEEDED"], [header.revision.to_string(), answer.succeeded.to_string()]);
        for (at, response) in answer.responses.iter().enumerate() {
            self.response(text, response, asked.get(at).copied().unwrap_or_default());
        }
    }

    fn swapped(&self, text: &mut Vec<u8>, header: &Header, succeeded: bool) {
        self.one(text, ["REVISION", "SUCCEEDED"], [header.revision.to_string(), succeeded.to_string()]);
    }

    fn compacted(&self, text: &mut Vec<u8>, header: &Header, _: Revision, effective: Revision) {
        self.one(text, ["REVISION", "COMPACTED"], [header.revision.to_string(), effective.to_string()]);
    }

    fn revision(&self, text: &mut Vec<u8>, header: &Header, compact: Revision, synced: Revision) {
        let row = [header.revision.to_string(), compact.to_string(), synced.to_string()];
        self.one(text, ["REVISION", "COMPACTED", "SYNCED"], row);
    }

    fn events(&self, text: &mut Vec<u8>, _: &Header, events: &[Event]) {
        let head = ["TYPE", "KEY", "VALUE", "CREATE", "MOD", "VERSION", "LEASE"];
        let row = |event: &Event| {
            let [key, value, create, modified, version, lease] = self.row(&event.kv);
            [event_name(event).to_owned(), key, value, create, modified, version, lease]
        };
        self.draw(text, head, events.iter().map(row));
    }

    fn progress(&self, text: &mut Vec<u8>, header: &Header) {
        self.one(text, ["PROGRESS"], [header.revision.to_string()]);
    }

    fn granted(&self, text: &mut Vec<u8>, _: &Header, id: LeaseId, ttl: Duration) {
        self.one(text, ["LEASE", "GRANTED"], [lease_hex(id), shown(ttl)]);
    }

    fn revoked(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId) {
        self.one(text, ["LEASE", "REVOKED AT"], [lease_hex(id), header.revision.to_string()]);
    }

    fn kept_alive(&self, text: &mut Vec<u8>, header: &Header, id: LeaseId, ttl: Duration) {
        self.granted(text, header, id, ttl);
    }

    fn lease_gone(&self, text: &mut Vec<u8>, _: &Header, id: LeaseId) {
        self.one(text, ["LEASE", "GRANTED"], [lease_hex(id), "gone".to_owned()]);
    }

    fn time_to_live(&self, text: &mut Vec<u8>, _: &Header, id: LeaseId, lease: Option<&LeaseStatus>, keys: bool) {
        let (granted, remaining) =
            lease.map_or(("gone".to_owned(), String::new()), |lease| (shown(lease.granted), shown(lease.remaining)));
        self.one(text, ["LEASE", "GRANTED", "REMAINING"], [lease_hex(id), granted, remaining]);
        if let Some(lease) = lease.filter(|_| keys) {
            self.draw(text, ["KEY"], lease.keys.iter().map(|key| [self.bytes(key)]));
        }
    }

    fn leases(&self, text: &mut Vec<u8>, _: &Header, leases: &[LeaseStatus]) {
        let row = |lease: &LeaseStatus| {
            [lease_hex(lease.id), shown(lease.granted), shown(lease.remaining), lease.key_count.to_string()]
        };
        self.draw(text, ["LEASE", "GRANTED", "REMAINING", "KEYS"], leases.iter().map(row));
    }
}

/// A time with its unit; whole milliseconds, as leases are.
fn shown(time: Duration) -> String {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).as_secs_f64().to_string() + "s"
}
