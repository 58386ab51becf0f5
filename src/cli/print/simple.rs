//! `simple`: keys and values on lines of their own, as etcdctl.
//!
//! Into a file or a pipe bytes go as they are. On a terminal control bytes are escaped as `\xNN`, for a value must not
//! steer the terminal; line ends and tabs stay, as in sqlite3's shell.

use std::time::Duration;

use super::super::quote::is_printable;
use super::{Asked, Form, Header, event_name, granted_seconds, lease_hex};
use crate::{DeleteResponse, Event, KeyValue, LeaseId, LeaseStatus, PutResponse, RangeResponse, Revision, TxnResponse};

pub(super) struct Simple {
    pub(super) hex: bool,
    pub(super) value_only: bool,
    pub(super) terminal: bool,
}

impl Simple {
    fn pair(&self, text: &mut Vec<u8>, kv: &KeyValue) {
        if !self.value_only {
            self.bytes(text, &kv.key);
            text.push(b'\n');
        }
        self.bytes(text, &kv.value);
        text.push(b'\n');
    }

    fn bytes(&self, text: &mut Vec<u8>, bytes: &[u8]) {
        if self.hex {
            bytes.iter().for_each(|byte| text.extend_from_slice(format!("\\x{byte:02x}").as_bytes()));
        } else if self.terminal {
            escape(text, bytes);
        } else {
            text.extend_from_slice(bytes);
        }
    }
}

impl Form for Simple {
    fn put(&self, text: &mut Vec<u8>, _: &Header, answer: &PutResponse) {
        line(text, "OK");
        answer.prev.iter().for_each(|kv| self.pair(text, kv));
    }

    fn get(&self, text: &mut Vec<u8>, _: &Header, answer: &RangeResponse, asked: Asked) {
        if asked.count_only {
            line(text, answer.count.unwrap_or(0).to_string());
        }
        answer.kvs.iter().for_each(|kv| self.pair(text, kv));
    }

    fn kv(&self, text: &mut Vec<u8>, kv: &KeyValue, _: Asked) {
        self.pair(text, kv);
    }

    fn del(&self, text: &mut Vec<u8>, _: &Header, answer: &DeleteResponse, _: Asked) {
        line(text, answer.deleted.to_string());
        answer.prev_kvs.iter().for_each(|kv| self.pair(text, kv));
    }

    fn txn(&self, text: &mut Vec<u8>, _: &Header, answer: &TxnResponse, asked: &[Asked]) {
        line(text, if answer.succeeded { "SUCCESS" } else { "FAILURE" });
        for (at, response) in answer.responses.iter().enumerate() {
            text.push(b'\n');
            self.response(text, response, asked.get(at).copied().unwrap_or_default());
        }
    }

    fn swapped(&self, text: &mut Vec<u8>, _: &Header, succeeded: bool) {
        line(text, if succeeded { "SUCCESS" } else { "FAILURE" });
    }

    fn compacted(&self, text: &mut Vec<u8>, _: &Header, asked: Revision, _: Revision) {
        line(text, format!("compacted revision {asked}"));
    }

    fn revision(&self, text: &mut Vec<u8>, header: &Header, _: Revision, _: Revision) {
        line(text, header.revision.to_string());
    }

    fn events(&self, text: &mut Vec<u8>, _: &Header, events: &[Event]) {
        for event in events {
            line(text, event_name(event));
            event.prev.iter().for_each(|kv| self.pair(text, kv));
            self.pair(text, &event.kv);
        }
    }

    fn progress(&self, text: &mut Vec<u8>, header: &Header) {
        line(text, format!("progress notify: {}", header.revision));
    }

    fn granted(&self, text: &mut Vec<u8>, _: &Header, id: LeaseId, ttl: Duration) {
        line(text, format!("lease {} granted with TTL({}s)", lease_hex(id), granted_seconds(ttl)));
    }

    fn revoked(&self, text: &mut Vec<u8>, _: &Header, id: LeaseId) {
        line(text, format!("lease {} revoked", lease_hex(id)));
    }

    fn kept_alive(&self, text: &mut Vec<u8>, _: &Header, id: LeaseId, ttl: Duration) {
        line(text, format!("lease {} keepalived with TTL({})", lease_hex(id), granted_seconds(ttl)));
    }

    fn lease_gone(&self, text: &mut Vec<u8>, _: &Header, id: LeaseId) {
        line(text, format!("lease {} expired or revoked.", lease_hex(id)));
    }

    fn time_to_live(&self, text: &mut Vec<u8>, _: &Header, id: LeaseId, lease: Option<&LeaseStatus>, keys: bool) {
        let id = lease_hex(id);
        let Some(lease) = lease else { return line(text, format!("lease {id} already expired")) };
        let (granted, remaining) = (granted_seconds(lease.granted), lease.remaining.as_secs());
        text.extend_from_slice(format!("lease {id} granted with TTL({granted}s), remaining({remaining}s)").as_bytes());
        if keys {
            text.extend_from_slice(b", attached keys([");
            for (at, key) in lease.keys.iter().enumerate() {
                text.extend_from_slice(if at == 0 { b"" } else { b" " });
                // etcdctl prints them raw with --hex too.
                if self.terminal { escape(text, key) } else { text.extend_from_slice(key) }
            }
            text.extend_from_slice(b"])");
        }
        text.push(b'\n');
    }

    fn leases(&self, text: &mut Vec<u8>, _: &Header, leases: &[LeaseStatus]) {
        line(text, format!("found {} leases", leases.len()));
        leases.iter().for_each(|lease| line(text, lease_hex(lease.id)));
    }
}

fn line(text: &mut Vec<u8>, line: impl AsRef<[u8]>) {
    text.extend_from_slice(line.as_ref());
    text.push(b'\n');
}

/// Bytes for a terminal: printable text as it is, line ends and tabs too, all else as `\xNN`.
pub(super) fn escape(text: &mut Vec<u8>, bytes: &[u8]) {
    let hex = |text: &mut Vec<u8>, bytes: &[u8]| {
        bytes.iter().for_each(|byte| text.extend_from_slice(format!("\\x{byte:02x}").as_bytes()));
    };
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(c) = rest.chars().next() {
            let (this, after) = rest.split_at(c.len_utf8());
            let ends_a_line = c == '\n' || (c == '\r' && after.starts_with('\n'));
            if ends_a_line || c == '\t' || is_printable(c) {
                text.extend_from_slice(this.as_bytes());
            } else {
                hex(text, this.as_bytes());
            }
            rest = after;
        }
        hex(text, chunk.invalid());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_are_escaped_for_a_terminal() {
        let mut text = Vec::new();
        escape(&mut text, b"a\tb\r\nc\rd\x1b[2J\x00\x7f\xff \xc3\xa9 \xc2\x9b \\");
        assert_eq!(text, b"a\tb\r\nc\\x0dd\\x1b[2J\\x00\\x7f\\xff \xc3\xa9 \\xc2\\x9b \\");
    }

    #[test]
    fn lease_ids_are_padded_as_go_pads_them() {
        assert_eq!(lease_hex(LeaseId::new(0x77)), "0000000000000077");
        assert_eq!(lease_hex(LeaseId::new(-7)), "-000000000000007");
    }

    #[test]
    fn le_05_granted_rounds_up() {
        assert_eq!(granted_seconds(Duration::from_millis(1500)), 2);
        assert_eq!(granted_seconds(Duration::from_secs(2)), 2);
    }
}
